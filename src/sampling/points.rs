//! Evenly spread points of the unit cube: an additive recurrence with the irrational steps of Roberts (2018),
//! shifted by a seed.
//!
//! Each point alone is uniform over all shifts, so that estimates are unbiased; together they leave fewer
//! gaps than independent ones.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A sequence of points.
pub(super) struct Points {
    steps: Vec<f64>,
    point: Vec<f64>,
}

impl Points {
    pub fn new(dimension: usize, seed: u64) -> Self {
        // The root of g^(d + 1) = g + 1.
        let mut ratio: f64 = 1.5;
        for _ in 0..64 {
            ratio = (1.0 + ratio).powf(1.0 / (dimension as f64 + 1.0));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self {
            steps: (1..=dimension).map(|k| ratio.powi(-(k as i32))).collect(),
            point: (0..dimension).map(|_| random.r#gen()).collect(),
        }
    }

    /// The next point; no coordinate is 0 or 1.
    pub fn next(&mut self) -> &[f64] {
        for (x, step) in self.point.iter_mut().zip(&self.steps) {
            *x = (*x + step).fract().clamp(1e-15, 1.0 - 1e-15);
        }
        &self.point
    }
}
