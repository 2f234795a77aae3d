//! Committees: networks of a pixel from different starts, whose mean is the model. Between the references
//! each errs in its own way, and the mean errs less; at the references and stars all agree.

use super::history::mean_history;
use super::levenberg_marquardt::{Iteration, Pixel, Trained};
use super::options::TrainingOptions;
use super::pass::{Pass, StripTask};
use super::shared::Shared;
use super::two_layers::Places;

/// Odd, so that members of a committee have starts of their own.
const BETWEEN_MEMBERS: u64 = 0xD1B5_4A32_D192_ED03;

/// Seed of a member's start; that of the first is the pixel's.
pub(super) fn seed_of_member(seed: u64, member: usize) -> u64 {
    seed.wrapping_add(BETWEEN_MEMBERS.wrapping_mul(member as u64))
}

/// The mean of networks of the same shape, as one network with the neurons of all
/// ([`super::super::network::Architecture`]); neurons of the second layer take nothing from other members.
fn mean_network(members: &[Trained], places: Places) -> Vec<f64> {
    let Places { n_hidden, n_second, .. } = places;
    let (biases, second, outputs) = (places.first_bias(), places.second(), places.output());
    let last = outputs + places.n_last();
    let share = 1.0 / members.len() as f64;
    let parts = |from: usize, to: usize| members.iter().flat_map(move |member| &member.parameters[from..to]).copied();
    let mut mean: Vec<f64> = parts(0, biases).chain(parts(biases, second)).collect();
    for (index, member) in members.iter().enumerate() {
        for row in member.parameters[second..places.second_bias()].chunks_exact(n_hidden).take(n_second) {
            mean.extend((0..n_hidden * members.len()).map(|i| match i / n_hidden == index {
                true => row[i % n_hidden],
                false => 0.0,
            }));
        }
    }
    mean.extend(parts(places.second_bias(), outputs));
    mean.extend(parts(outputs, last).map(|weight| share * weight));
    mean.push(share * parts(last, last + 1).sum::<f64>());
    mean
}

/// Work space for the mean networks of pixels.
pub(super) struct Committee {
    training: Pass,
    validation: Pass,
}

impl Committee {
    pub fn new(shared: &Shared, validation: &Shared, options: &TrainingOptions) -> Self {
        let widths = options.widths().map(|width| width * options.committee);
        Self { training: Pass::new(shared, widths), validation: Pass::new(validation, widths) }
    }

    /// The mean of a pixel's networks, with its own loss, and the mean history of all.
    pub fn mean(&mut self, pixel: &Pixel, members: &[Trained]) -> Trained {
        let parameters = mean_network(members, pixel.task.places(pixel.shared.n_labels));
        let [n_hidden, n_second] = [pixel.task.n_hidden, pixel.task.n_second].map(|width| width * members.len());
        let passed = |shared: &Shared, task: &StripTask, pass: &mut Pass| {
            let task = StripTask { n_hidden, n_second, ..task.clone() };
            pass.parameters.copy_from_slice(&parameters);
            pass.evaluate(shared, &task);
        };
        passed(pixel.shared, &pixel.task, &mut self.training);
        passed(pixel.validation.0, &pixel.validation.1, &mut self.validation);
        let kept = Iteration {
            stage: members.last().map_or(0, |member| member.kept.stage),
            flux: self.training.loss.flux,
            gradient: self.training.exact_gradient,
            validation: self.validation.loss.flux,
        };
        let histories: Vec<(&[Iteration], Iteration)> =
            members.iter().map(|member| (member.history.as_slice(), member.kept)).collect();
        let mut history: Vec<Iteration> = mean_history(&histories).into_iter().map(|(mean, _)| mean).collect();
        // The mean of what members keep is not what their mean is.
        history.pop();
        Trained { parameters, history, kept, n_iterations: members.iter().map(|member| member.n_iterations).sum() }
    }
}
