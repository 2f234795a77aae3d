//! Adam as published (Kingma & Ba 2015; Zhang et al. 2024): batches of spectra, all references in every step,
//! rates that go down from the first to the last, the best epoch kept.

use super::levenberg_marquardt::{Pixel, Trained, Workspace};
use super::options::TrainingOptions;
use crate::error::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const DECAY: [f64; 2] = [0.9, 0.999];
const SMALL: f64 = 1e-8;
/// Sets the order of batches apart from the start.
const ORDER: u64 = 0xADA3;

/// Choices of Adam.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamOptions {
    /// Most epochs.
    pub epochs: usize,
    /// Spectra of a batch, rounded up to sixteens.
    pub batch: usize,
    /// Learning rates at the first and at the last epoch.
    pub rates: [f64; 2],
    /// Epochs between two judgements by the spectra for validation.
    pub judge_every: usize,
    /// Judgements without a better one after which a pixel ends.
    pub patience: usize,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { epochs: 2000, batch: 512, rates: [1e-2, 1e-4], judge_every: 10, patience: 100 }
    }
}

impl AdamOptions {
    /// Checks every choice.
    ///
    /// # Errors
    /// `Usage`, naming the choice.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("epochs", self.epochs, 1_000_000),
            ("batch", self.batch, 100_000),
            ("judge_every", self.judge_every, 1_000_000),
            ("patience", self.patience, 1_000_000),
        ];
        for (name, value, most) in counts {
            if !(1..=most).contains(&value) {
                return Err(Error::usage(format!("training option adam.{name}"))
                    .found(value.to_string())
                    .expected(format!("1 to {most}")));
            }
        }
        match self.rates.iter().all(|rate| *rate > 0.0 && *rate <= 1.0) {
            true => Ok(()),
            false => Err(Error::usage("training option adam.rates")
                .found(format!("{:?}", self.rates))
                .expected("two numbers above 0, 1 at most")),
        }
    }

    fn rate(&self, epoch: usize) -> f64 {
        let part = epoch as f64 / (self.epochs.max(2) - 1) as f64;
        self.rates[0] * (self.rates[1] / self.rates[0]).powf(part)
    }
}

/// Moments of the gradient.
struct Moments {
    first: Vec<f64>,
    second: Vec<f64>,
    n_steps: i32,
}

impl Moments {
    /// A step of the parameters against a gradient.
    fn step(&mut self, parameters: &mut [f64], gradient: impl Iterator<Item = f64>, rate: f64) {
        self.n_steps += 1;
        let corrections = DECAY.map(|decay| 1.0 - decay.powi(self.n_steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, (first, second)), slope) in parameters.iter_mut().zip(moments).zip(gradient) {
            *first += (1.0 - DECAY[0]) * (slope - *first);
            *second += (1.0 - DECAY[1]) * (slope * slope - *second);
            *parameter -= rate * (*first / corrections[0]) / ((*second / corrections[1]).sqrt() + SMALL);
        }
    }
}

impl Pixel<'_> {
    /// Trains with Adam, at the last smoothing. The sections of what is shared are the batches.
    pub fn train_with_adam(&mut self, options: &TrainingOptions, work: &mut Workspace) -> Trained {
        let stage = self.smoothing.len() - 1;
        self.task.smoothing.clone_from(&self.smoothing[stage]);
        self.start(work);
        work.current.evaluate(self.shared, &self.task);
        let size = work.current.parameters.len();
        let mut moments = Moments { first: vec![0.0; size], second: vec![0.0; size], n_steps: 0 };
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ ORDER);
        let mut batches: Vec<usize> = (0..self.shared.sections.len()).collect();
        let share = batches.len() as f64;
        let first = self.iteration(stage, work);
        let mut history = vec![first];
        let mut best = (first, work.current.parameters.clone());
        let mut n_worse = 0;
        for epoch in 0..options.adam.epochs {
            batches.shuffle(&mut random);
            for &at in &batches {
                work.current.evaluate_section(self.shared, &self.task, at);
                work.current.evaluate_references(self.shared, &self.task);
                work.equations.set_gradient(self.shared, &self.task, &work.current, at, share);
                self.hold_gradient(&mut work.equations.gradient);
                // The equations are of half the loss.
                let gradient = work.equations.gradient.iter().map(|slope| 2.0 * slope);
                moments.step(&mut work.current.parameters, gradient, options.adam.rate(epoch));
            }
            if (epoch + 1) % options.adam.judge_every != 0 && epoch + 1 < options.adam.epochs {
                continue;
            }
            work.current.evaluate(self.shared, &self.task);
            let iteration = self.iteration(stage, work);
            history.push(iteration);
            if iteration.criterion() <= best.0.criterion() || self.validation.0.sections.is_empty() {
                best = (iteration, work.current.parameters.clone());
                n_worse = 0;
            } else {
                n_worse += 1;
            }
            if n_worse >= options.adam.patience {
                break;
            }
        }
        work.current.parameters.clone_from(&best.1);
        let n_iterations = history.len();
        Trained { parameters: best.1, history, kept: best.0, n_iterations }
    }
}
