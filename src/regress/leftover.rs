//! What principal components leave over of a star's inputs, against what noise and the training stars leave.
//!
//! Components see of a spectrum what training stars differ in, and of one that is no star's perhaps nothing:
//! what is left over tells it. Noise leaves something too: as much as a copy with the star's own noise
//! differs from it outside of the components.

use super::inputs::{Inputs, InputsRecipe};
use super::rows::{Copy, TOGETHER, fluxes};
use super::steps::FittedStep;
use crate::error::Result;
use crate::observations::{Observations, Sample};
use crate::statistics::{median, percentile};
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

/// Percentile of the training stars' values beyond which a star is outside.
const OUTSIDE: f64 = 99.9;
/// Seed of the copies, in place of the model's, so that networks are not taught by the same noise.
const NOISE: u64 = 0x01ef_70e4;

/// Squares of what is left over of a star, and of what noise leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leftover {
    pub square: f64,
    pub of_noise: f64,
}

/// What training stars leave over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeftoverLimit {
    /// The median square beyond that of noise.
    pub typical: f64,
    /// The largest [`Self::of`] inside.
    pub limit: f64,
}

impl LeftoverLimit {
    /// Of training stars; none without any.
    pub fn of_training(found: &[Leftover]) -> Option<Self> {
        let beyond: Vec<f64> = found.iter().map(|star| (star.square - star.of_noise).max(0.0)).collect();
        let smallest = f64::from(f32::EPSILON).powi(2);
        let unlimited = Self { typical: median(&beyond).max(smallest), limit: f64::INFINITY };
        let values: Vec<f64> = found.iter().map(|star| unlimited.of(*star)).filter(|value| value.is_finite()).collect();
        let limit = percentile(&values, OUTSIDE);
        (limit > 0.0).then_some(Self { limit, ..unlimited })
    }

    /// With a limit for stars that the components did not learn from, and leave more over the fewer have
    /// taught them: wider by as much as the median of some that were held out is above that of the training
    /// stars.
    #[must_use]
    pub fn widened(self, training: &[Leftover], held_out: &[Leftover]) -> Self {
        let middle = |found: &[Leftover]| {
            median(&found.iter().map(|star| self.of(*star)).filter(|value| value.is_finite()).collect::<Vec<_>>())
        };
        let ratio = middle(held_out) / middle(training);
        Self { limit: if ratio.is_finite() { self.limit * ratio.max(1.0) } else { self.limit }, ..self }
    }

    /// √(square/(typical + of_noise)): about 1 for a typical training star, whatever its noise.
    pub fn of(&self, star: Leftover) -> f64 {
        (star.square / (self.typical + star.of_noise)).sqrt()
    }
}

impl Inputs {
    /// What the last components of the steps leave over of some stars; none where the steps have none.
    pub(super) fn leftovers(&self, observations: &Observations, stars: &[usize]) -> Option<Vec<Leftover>> {
        let position = self.steps.iter().rposition(|step| matches!(step, FittedStep::Pca { .. }))?;
        let FittedStep::Pca { centre, .. } = &self.steps[position] else { return None };
        let before = |stars: &[usize], copy: Option<Copy>| {
            let rows = fluxes(&self.recipe, observations, stars, &self.untrained, copy);
            let mut rows = self.steps[..position].iter().fold(rows, |rows, step| step.apply(rows));
            for mut row in rows.rows_mut() {
                row.iter_mut().zip(centre).for_each(|(value, centre)| *value = if value.is_finite() { *value } else { *centre });
            }
            rows
        };
        let of_some = |stars: &[usize]| {
            let own = before(stars, None);
            let noisy = before(stars, Some(Copy { seed: NOISE, copy: 0 }));
            // About the centre, as the step takes them.
            let moved = Array2::from_shape_fn(own.dim(), |(star, w)| noisy[[star, w]] - own[[star, w]] + centre[w]);
            let coefficients = [&own, &moved].map(|rows| self.steps[position].apply(rows.clone()));
            let square = |which: usize, row: ArrayView1<'_, f32>, star: usize| -> f64 {
                let whole: f64 = row.iter().zip(centre).map(|(value, centre)| f64::from(value - centre).powi(2)).sum();
                let inside: f64 = coefficients[which].row(star).iter().map(|value| f64::from(*value).powi(2)).sum();
                (whole - inside).max(0.0)
            };
            let of = |star| Leftover { square: square(0, own.row(star), star), of_noise: square(1, moved.row(star), star) };
            (0..stars.len()).map(of).collect::<Vec<_>>()
        };
        Some(stars.par_chunks(TOGETHER).flat_map_iter(of_some).collect())
    }

    /// The same of stars of a sample.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn leftovers_of(&self, sample: &dyn Sample, stars: &[usize]) -> Result<Vec<Leftover>> {
        let mut found = Vec::new();
        sample.visit(stars, &mut |part, stars| {
            found.extend(self.leftovers(part, stars).into_iter().flatten());
            Ok(())
        })?;
        Ok(found)
    }
}

impl InputsRecipe {
    /// Whether a step takes components, which leave something over.
    pub(super) fn has_components(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, super::steps::Step::Pca { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 1000 stars one is outside; noise that a star has does not move it outside, a spectrum of another
    /// kind lies there.
    #[test]
    fn noise_is_taken_into_account() {
        let star = |i: usize| {
            let of_noise = 1e-4 * (1.0 + (i % 10) as f64);
            Leftover { square: of_noise + 1e-4 * (1.0 + 1e-4 * i as f64), of_noise }
        };
        let limit = LeftoverLimit::of_training(&(0..1000).map(star).collect::<Vec<_>>()).unwrap();
        assert_eq!((0..1000).filter(|&i| limit.of(star(i)) > limit.limit).count(), 1);
        assert!(limit.of(Leftover { square: 1.02, of_noise: 1.0 }) < limit.limit, "a noisy star");
        assert!(limit.of(Leftover { square: 0.05, of_noise: 1e-3 }) > 2.0 * limit.limit, "no star");
        let twice = |i: usize| Leftover { square: 4.0 * star(i).square, ..star(i) };
        let training: Vec<Leftover> = (0..1000).map(star).collect();
        let widened = limit.widened(&training, &(0..50).map(twice).collect::<Vec<_>>());
        assert!((widened.limit / limit.limit - 2.0).abs() < 0.1 && limit.widened(&training, &[]) == limit);
        assert!(limit.widened(&training, &training) == limit, "stars that nobody was taught by are no wider");
        assert_eq!(LeftoverLimit::of_training(&[]), None);
        let exact = LeftoverLimit::of_training(&[Leftover { square: 0.0, of_noise: 0.0 }; 20]);
        assert_eq!(exact, None, "components that leave nothing over");
    }
}
