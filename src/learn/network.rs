//! One network that learns by epochs, whatever it is taught.

use super::epochs::{Judged, Learner, Losses, Turn};
use super::snapshot::Parts;
use crate::error::Result;
use crate::observations::shuffled;
use crate::tensor::layers::{Dropouts, Network};
use crate::tensor::{Descent, DescentMethod, Device, Tensor, Weights, to_f64};
use ndarray::Array2;

/// Stars of a batch whose loss is only looked at.
const LOOKED_AT: usize = 4096;

/// What networks are taught by.
pub trait Teacher: Sync {
    /// Sums over some stars. `outputs [n, outputs]` are those of these stars.
    fn loss(&self, outputs: Tensor<2>, stars: &[usize], device: &Device) -> LossSums;
}

/// Sums over stars.
pub struct LossSums {
    /// The loss that is differentiated.
    pub gradient: Tensor<1>,
    /// That by which epochs are compared.
    pub judged: Tensor<1>,
    /// What they are sums over.
    pub count: f64,
}

/// What all networks of an ensemble learn from.
#[derive(Clone, Copy)]
pub struct Lesson<'a> {
    pub network: &'a Network,
    pub optimiser: &'a DescentMethod,
    /// Stars of a step.
    pub batch: usize,
    /// Norm to which the gradient of a batch is scaled down where it is larger.
    pub largest_gradient: Option<f64>,
    /// Inputs of all stars `[N, D]`.
    pub inputs: &'a Array2<f32>,
    pub teacher: &'a dyn Teacher,
    pub training: &'a [usize],
    /// Those that say which epoch is the best.
    pub held_out: &'a [usize],
    pub device: &'a Device,
}

/// A network with its optimiser.
pub struct NetworkLearner<'a> {
    lesson: Lesson<'a>,
    seed: u64,
    weights: Weights,
    descent: Descent,
}

impl<'a> NetworkLearner<'a> {
    /// # Errors
    /// When the network's layers do not fit each other.
    pub fn start(lesson: Lesson<'a>, seed: u64) -> Result<Self> {
        let weights = Weights::new(&lesson.network.specifications(seed)?, &lesson.device.taped())?;
        Ok(Self { lesson, seed, weights, descent: Descent::new(lesson.optimiser) })
    }

    fn batch(&self, stars: &[usize], device: &Device) -> Tensor<2> {
        let width = self.lesson.inputs.ncols();
        let values = stars.iter().flat_map(|&star| self.lesson.inputs.row(star).to_vec()).collect();
        device.tensor_f32(values, [stars.len(), width])
    }

    /// Mean loss of some stars.
    fn look(&self, stars: &[usize]) -> Result<f64> {
        let device = self.lesson.device.untaped();
        let weights = self.weights.to(&device);
        let (mut sum, mut count) = (0.0, 0.0);
        for stars in stars.chunks(LOOKED_AT) {
            let outputs = self.lesson.network.forward(&weights, self.batch(stars, &device), None)?;
            let losses = self.lesson.teacher.loss(outputs, stars, &device);
            sum += to_f64(losses.judged)[0];
            count += losses.count;
        }
        Ok(sum / f64::max(count, 1.0))
    }
}

impl Learner for NetworkLearner<'_> {
    fn epoch(&mut self, turn: &Turn) -> Result<Losses> {
        let epoch = turn.epoch;
        let device = self.lesson.device.taped();
        let order = shuffled(self.lesson.training, self.seed, u64::from(epoch));
        let n_batches = order.len().div_ceil(self.lesson.batch) as u64;
        let (mut sum, mut count) = (0.0, 0.0);
        for (batch, stars) in order.chunks(self.lesson.batch).enumerate() {
            let mut dropouts = Dropouts::new(self.seed, u64::from(epoch) * n_batches + batch as u64, &device);
            let inputs = self.batch(stars, &device);
            let outputs = self.lesson.network.forward(&self.weights, inputs, Some(&mut dropouts))?;
            let losses = self.lesson.teacher.loss(outputs, stars, &device);
            sum += to_f64(losses.judged.inner())[0];
            count += losses.count;
            let mean = losses.gradient / f64::max(losses.count, 1.0);
            self.descent.step(&mut self.weights, mean, turn.learning_rate, self.lesson.largest_gradient);
        }
        let training = sum / f64::max(count, 1.0);
        let validation = if self.lesson.held_out.is_empty() { training } else { self.look(self.lesson.held_out)? };
        Ok(Losses { training, validation: Judged::of(validation), terms: None })
    }

    fn learned(&self) -> Result<Parts> {
        Parts::of_weights(&self.weights)
    }

    fn restore(&mut self, learned: &Parts) -> Result<()> {
        learned.restore_weights(&mut self.weights, &self.lesson.device.taped())
    }

    fn momentum(&self) -> Result<Vec<u8>> {
        self.descent.to_bytes()
    }

    fn restore_momentum(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.descent = Descent::from_bytes(self.lesson.optimiser, bytes, self.lesson.device)?;
        Ok(())
    }

    fn forget_momentum(&mut self) {
        self.descent = Descent::new(self.lesson.optimiser);
    }
}
