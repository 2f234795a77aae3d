//! Levenberg–Marquardt for the network of one pixel.
//!
//! Damping μ diag(JᵀJ) after Nielsen (1999); the gradient term is reweighted in every iteration, with ω =
//! D/2√(d² + ε²), and its smoothing ε goes down in stages. All decisions are taken on the pixel's numbers:
//! neither threads nor other pixels change a bit.

#![allow(clippy::needless_range_loop)] // rows and columns of matrices go by their indices

use super::loss::Loss;
use super::normal_equations::NormalEquations;
use super::options::TrainingOptions;
use super::pass::{Pass, StripTask};
use super::shared::Shared;
use super::two_layers::Places;
use crate::tensor::cholesky::Factor;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Standard deviation of the first weights of core labels, and of abundance ratios relative to it: lines of
/// single elements act nearly linearly.
const FIRST_WEIGHTS: f64 = 0.7;
const OF_RATIOS: f64 = 0.3;
/// Damping beyond which no step is sought any more.
const LARGEST_DAMPING: f64 = 1e8;
const SMALLEST_DAMPING: f64 = 1e-12;

/// Work space for one pixel after the other.
pub(super) struct Workspace {
    pub current: Pass,
    trial: Pass,
    validation: Pass,
    pub equations: NormalEquations,
    factor: Factor,
}

impl Workspace {
    pub fn new(shared: &Shared, validation: &Shared, widths: [usize; 2]) -> Self {
        let current = Pass::new(shared, widths);
        Self {
            trial: current.clone(),
            validation: Pass::new(validation, widths),
            equations: NormalEquations::new(shared.n_labels, widths),
            factor: Factor::new(current.parameters.len()),
            current,
        }
    }
}

/// An iteration of a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iteration {
    /// Stage of the smoothing, of those that were gone through.
    pub stage: usize,
    /// χ² per training spectrum.
    pub flux: f64,
    /// The gradient term without smoothing.
    pub gradient: f64,
    /// χ² per validation spectrum; 0 without one.
    pub validation: f64,
}

impl Iteration {
    /// By which the best network is chosen.
    pub(super) fn criterion(&self) -> f64 {
        self.validation + self.gradient
    }
}

/// The network of a pixel.
#[derive(Debug, Clone)]
pub(super) struct Trained {
    pub parameters: Vec<f64>,
    /// From the start to the network that is kept, and what came after it.
    pub history: Vec<Iteration>,
    /// That of the network that is kept.
    pub kept: Iteration,
    /// Iterations of all members of a committee, from their starts on.
    pub n_iterations: usize,
}

/// A pixel to be trained.
pub(super) struct Pixel<'a> {
    pub shared: &'a Shared,
    pub task: StripTask,
    pub validation: (&'a Shared, StripTask),
    /// εₖ of every stage.
    pub smoothing: Vec<Vec<f64>>,
    pub is_ratio: &'a [bool],
    /// Labels that may act; the weights of the others are and stay zero.
    pub acts: Vec<bool>,
    pub seed: u64,
    /// Weights and biases of the hidden layers to begin with; random ones where there are none.
    pub hidden: Option<Vec<f64>>,
}

impl Pixel<'_> {
    /// Trains the network.
    pub fn train(&mut self, options: &TrainingOptions, work: &mut Workspace) -> Trained {
        self.task.smoothing.clone_from(&self.smoothing[0]);
        self.start(work);
        let mut history = Vec::new();
        let mut kept = None;
        let (mut damping, mut growth) = (options.damping, 2.0);
        for stage in 0..self.smoothing.len() {
            self.task.smoothing.clone_from(&self.smoothing[stage]);
            work.current.evaluate(self.shared, &self.task);
            let first = self.iteration(stage, work);
            history.push(first);
            // The best of a stage: networks of an earlier one were not held to the physics as closely.
            let mut best = (first, work.current.parameters.clone());
            let (mut n_small, mut n_rising) = (0, 0);
            while history.len() <= options.iterations {
                let before = work.current.loss.total();
                if !self.step(work, &mut damping, &mut growth) {
                    break;
                }
                let iteration = self.iteration(stage, work);
                history.push(iteration);
                if iteration.criterion() <= best.0.criterion() || self.validation.0.sections.is_empty() {
                    best = (iteration, work.current.parameters.clone());
                    n_rising = 0;
                } else {
                    n_rising += 1;
                }
                n_small = if before - work.current.loss.total() < options.tolerance * before { n_small + 1 } else { 0 };
                if n_small >= 2 || n_rising >= options.patience {
                    break;
                }
            }
            work.current.parameters.clone_from(&best.1);
            kept = Some(best);
        }
        let (kept, parameters) = kept.unwrap_or_else(|| (self.iteration(0, work), work.current.parameters.clone()));
        let n_iterations = history.len();
        Trained { parameters, history, kept, n_iterations }
    }

    /// Hidden neurons as they are given, or random ones; the output is that of least squares.
    pub(super) fn start(&self, work: &mut Workspace) {
        let places = self.task.places(self.shared.n_labels);
        let Places { n_labels, n_hidden, n_second } = places;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let parameters = &mut work.current.parameters;
        for h in 0..n_hidden {
            for k in 0..n_labels {
                let normal: f64 = StandardNormal.sample(&mut random);
                let weight = FIRST_WEIGHTS * normal * if self.is_ratio[k] { OF_RATIOS } else { 1.0 };
                parameters[h * n_labels + k] = if self.acts[k] { weight } else { 0.0 };
            }
            parameters[n_hidden * n_labels + h] = random.gen_range(-1.0..1.0);
        }
        // Sums of the second layer are about as large as its biases.
        let of_second = (n_hidden as f64).sqrt().recip();
        for weight in &mut parameters[places.second()..places.second_bias()] {
            let normal: f64 = StandardNormal.sample(&mut random);
            *weight = of_second * normal;
        }
        for bias in parameters[places.second_bias()..].iter_mut().take(n_second) {
            *bias = random.gen_range(-1.0..1.0);
        }
        let first = places.output();
        if let Some(hidden) = &self.hidden {
            parameters[..first].copy_from_slice(hidden);
        }
        parameters[first..].fill(0.0);
        work.current.evaluate(self.shared, &self.task);
        work.equations.set(self.shared, &self.task, &work.current);
        let (size, n_outputs) = (work.current.parameters.len(), places.n_last() + 1);
        let block: Vec<f64> =
            (first..size).flat_map(|i| &work.equations.matrix[i * size + first..(i + 1) * size]).copied().collect();
        let mut factor = Factor::new(n_outputs);
        let damping: Vec<f64> = (0..n_outputs).map(|i| 1e-6 * block[i * n_outputs + i] + f64::MIN_POSITIVE).collect();
        if factor.decompose(&block, &damping) {
            let mut outputs: Vec<f64> = work.equations.gradient[first..].iter().map(|value| -value).collect();
            factor.solve(&mut outputs);
            work.current.parameters[first..].copy_from_slice(&outputs);
        }
    }

    /// One accepted step; false where there is none.
    fn step(&self, work: &mut Workspace, damping: &mut f64, growth: &mut f64) -> bool {
        work.equations.set(self.shared, &self.task, &work.current);
        let size = work.current.parameters.len();
        self.hold(&mut work.equations, size);
        let diagonal: Vec<f64> = (0..size).map(|i| work.equations.matrix[i * size + i]).collect();
        while *damping < LARGEST_DAMPING {
            let damped: Vec<f64> = diagonal.iter().map(|value| *damping * value + f64::MIN_POSITIVE).collect();
            if work.factor.decompose(&work.equations.matrix, &damped) {
                let mut step: Vec<f64> = work.equations.gradient.iter().map(|value| -value).collect();
                work.factor.solve(&mut step);
                let predicted: f64 = (0..size).map(|i| step[i] * (damped[i] * step[i] - work.equations.gradient[i])).sum();
                for i in 0..size {
                    work.trial.parameters[i] = work.current.parameters[i] + step[i];
                }
                work.trial.evaluate(self.shared, &self.task);
                let gain = (work.current.loss.total() - work.trial.loss.total()) / predicted;
                if gain > 0.0 && predicted > 0.0 {
                    *damping = (*damping * (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0)).max(SMALLEST_DAMPING);
                    *growth = 2.0;
                    std::mem::swap(&mut work.current, &mut work.trial);
                    return true;
                }
            }
            *damping *= *growth;
            *growth *= 2.0;
        }
        *damping = 1.0;
        *growth = 2.0;
        false
    }

    /// Places of the weights of labels that may not act.
    fn held(&self) -> impl Iterator<Item = usize> + '_ {
        let n_labels = self.shared.n_labels;
        let labels = (0..n_labels).filter(|&k| !self.acts[k]);
        labels.flat_map(move |k| (0..self.task.n_hidden).map(move |h| h * n_labels + k))
    }

    /// Takes them out of the equations.
    fn hold(&self, equations: &mut NormalEquations, size: usize) {
        for i in self.held() {
            for j in 0..size {
                equations.matrix[i * size + j] = 0.0;
                equations.matrix[j * size + i] = 0.0;
            }
            equations.matrix[i * size + i] = 1.0;
        }
        self.hold_gradient(&mut equations.gradient);
    }

    /// Takes them out of a gradient.
    pub(super) fn hold_gradient(&self, gradient: &mut [f64]) {
        self.held().for_each(|i| gradient[i] = 0.0);
    }

    pub(super) fn iteration(&self, stage: usize, work: &mut Workspace) -> Iteration {
        let (shared, task) = (self.validation.0, &self.validation.1);
        work.validation.parameters.copy_from_slice(&work.current.parameters);
        work.validation.evaluate(shared, task);
        let Loss { flux, .. } = work.current.loss;
        Iteration { stage, flux, gradient: work.current.exact_gradient, validation: work.validation.loss.flux }
    }
}
