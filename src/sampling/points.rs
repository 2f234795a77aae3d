//! Evenly spread points of the unit cube: an additive recurrence with irrational steps, shifted by a seed.
//!
//! Each point alone is uniform over all shifts, so that estimates are unbiased; together they leave fewer
//! gaps than independent ones.

use crate::statistics::evenly_filling_steps;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A sequence of points.
pub(super) struct Points {
    steps: Vec<f64>,
    point: Vec<f64>,
}

impl Points {
    pub fn new(dimension: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self { steps: evenly_filling_steps(dimension), point: (0..dimension).map(|_| random.r#gen()).collect() }
    }

    /// The next point; no coordinate is 0 or 1.
    pub fn next(&mut self) -> &[f64] {
        for (x, step) in self.point.iter_mut().zip(&self.steps) {
            *x = (*x + step).fract().clamp(1e-15, 1.0 - 1e-15);
        }
        &self.point
    }
}
