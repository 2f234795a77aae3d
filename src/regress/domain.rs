//! How far a star's inputs are from those of the training stars.
//!
//! The ellipsoid is made by the very stars whose distances set its limit, which are nearer to it than others,
//! the more so the fewer they are for its axes. So each of them is judged by the ellipsoid of all others.

use super::leftover::LeftoverLimit;
use crate::error::{Error, Result};
use crate::statistics::{percentile, percentiles};
use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView1, ArrayView2};

/// Percentile of the training stars' distances beyond which a star is outside.
const OUTSIDE: f64 = 99.9;
/// A median flux this many times beyond those of the training stars is of other spectra.
const OTHER_FLUX: f64 = 3.0;
/// Percentiles of the training stars' median fluxes.
const FLUXES: [f64; 2] = [0.1, 99.9];
/// Variance, as a fraction of the mean one, that every direction has at least.
const RIDGE: f64 = 1e-4;

/// The ellipsoid of the training stars.
#[derive(Debug, Clone)]
pub struct Domain {
    /// `[D]`.
    pub mean: Vec<f32>,
    /// L `[D, D]`, lower, with d² = |L (x − mean)|².
    pub factor: Array2<f32>,
    /// The largest d/√D inside.
    pub threshold: f64,
    /// Percentiles of the training stars' median absolute fluxes, where the inputs depend on them: spectra of
    /// another normalisation have others. None where the steps take the brightness off, and of models of
    /// versions that did not look.
    pub flux: Option<[f64; 2]>,
    /// What components leave over of training stars; none of inputs that are no components, and of models of
    /// versions that did not look.
    pub leftover: Option<LeftoverLimit>,
}

impl Domain {
    /// Of training rows `[N, D]`.
    ///
    /// # Errors
    /// When their covariance is not positive-definite.
    pub fn of(rows: ArrayView2<'_, f32>) -> Result<Self> {
        let (n, width) = rows.dim();
        let mut mean = vec![0.0_f64; width];
        rows.rows().into_iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / n as f64));
        let centred = Array2::from_shape_fn((n, width), |(i, j)| f64::from(rows[[i, j]]) - mean[j]);
        let scatter = centred.t().dot(&centred) / n as f64;
        let ridge = RIDGE * (0..width).map(|j| scatter[[j, j]]).sum::<f64>() / width.max(1) as f64 + f64::from(f32::MIN_POSITIVE);
        let covariance = DMatrix::from_fn(width, width, |i, j| scatter[[i, j]] + if i == j { ridge } else { 0.0 });
        let inverse = covariance.cholesky().and_then(|factor| factor.l().try_inverse()).ok_or_else(|| {
            Error::numerical("covariance of the inputs")
                .found("a matrix that is not positive-definite")
                .expected("finite inputs")
                .remedy("Standardise the inputs, or use fewer components.")
        })?;
        let factor = Array2::from_shape_fn((width, width), |(i, j)| inverse[(i, j)] as f32);
        let mean = mean.iter().map(|value| *value as f32).collect();
        let mut domain = Self { mean, factor, threshold: f64::INFINITY, leftover: None, flux: None };
        let distances: Vec<f64> =
            rows.rows().into_iter().map(|row| left_out(domain.distance(row), n as f64, width as f64)).collect();
        domain.threshold = percentile(&distances, OUTSIDE);
        Ok(domain)
    }

    /// The limits for median fluxes of training stars.
    pub fn fluxes(of_training: &[f64]) -> Option<[f64; 2]> {
        let known: Vec<f64> = of_training.iter().copied().filter(|value| value.is_finite()).collect();
        let found = percentiles(&known, FLUXES);
        (found[0] > 0.0 && found[1].is_finite()).then_some(found)
    }

    /// Whether a median flux is far from those of the training.
    pub fn is_other_flux(&self, median: f64) -> bool {
        self.flux.is_some_and(|[low, high]| median < low / OTHER_FLUX || median > OTHER_FLUX * high)
    }

    /// d/√D of a row, whose leading D entries are looked at: about 1 for a typical training star.
    pub fn distance(&self, row: ArrayView1<'_, f32>) -> f64 {
        let width = self.mean.len();
        let centred: Vec<f64> = row.iter().zip(&self.mean).map(|(x, mean)| f64::from(*x) - f64::from(*mean)).collect();
        let square: f64 =
            (0..width).map(|i| (0..=i).map(|j| f64::from(self.factor[[i, j]]) * centred[j]).sum::<f64>().powi(2)).sum();
        (square / width.max(1) as f64).sqrt()
    }
}

/// The distance d/√D of one of n stars that make an ellipsoid, from the ellipsoid of the n − 1 others: with
/// x = star − mean and C = Σ x xᵀ/n + ridge, d² = xᵀ C⁻¹ x becomes n/(n − 1) · d²/(1 − d²/(n − 1)), by
/// Sherman and Morrison's formula (the ridge being kept).
fn left_out(distance: f64, n: f64, width: f64) -> f64 {
    if n < 2.0 {
        return f64::INFINITY;
    }
    let square = distance * distance * width.max(1.0);
    let rest = (1.0 - square / (n - 1.0)).max(f64::EPSILON);
    (n / (n - 1.0) * square / rest / width.max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    /// Spectra of some few kinds of stars with noise, standardised as inputs are.
    fn rows(n: usize, width: usize, seed: u64) -> Array2<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || -> f64 { StandardNormal.sample(&mut random) };
        let mut rows = Array2::zeros((n, width));
        for mut row in rows.rows_mut() {
            let of_star = [draw(), draw(), draw()];
            for (j, value) in row.iter_mut().enumerate() {
                let wave: f64 = (0..3).map(|k| of_star[k] * (0.02 * (j * (k + 1)) as f64).cos()).sum();
                *value = (0.8 * wave + 0.5 * draw()) as f32;
            }
        }
        rows
    }

    #[test]
    fn a_star_is_judged_by_the_ellipsoid_of_the_others() {
        let all = rows(40, 6, 1);
        let domain = Domain::of(all.view()).unwrap();
        for star in [0, 17, 39] {
            let others: Vec<usize> = (0..40).filter(|&other| other != star).collect();
            let without = Domain::of(all.select(ndarray::Axis(0), &others).view()).unwrap();
            let (expected, found) = (without.distance(all.row(star)), left_out(domain.distance(all.row(star)), 40.0, 6.0));
            assert!((found / expected - 1.0).abs() < 2e-3, "{found} {expected}");
        }
    }

    /// Of new stars of the same sample about one in a thousand is outside, however few have made the
    /// ellipsoid; by the distances of the training stars themselves all were, of 300 inputs and 255 stars.
    #[test]
    fn new_stars_of_the_sample_are_inside() {
        let new = rows(2000, 300, 99);
        for (n, most) in [(255, 0.01), (489, 0.006), (2584, 0.004)] {
            let training = rows(n, 300, 3);
            let domain = Domain::of(training.view()).unwrap();
            let outside = |rows: &Array2<f32>, limit: f64| {
                rows.rows().into_iter().filter(|row| domain.distance(row.view()) > limit).count() as f64 / rows.nrows() as f64
            };
            let found = outside(&new, domain.threshold);
            assert!(found <= most, "{n} stars: {found}");
            let own: Vec<f64> = training.rows().into_iter().map(|row| domain.distance(row)).collect();
            let before = outside(&new, percentile(&own, OUTSIDE));
            assert!(n > 2000 || before > 0.9, "{n} stars, by their own distances: {before}");
            // What is no star is outside still.
            let mut saw = rows(100, 300, 5);
            saw.indexed_iter_mut().for_each(|((_, j), value)| *value += if j % 2 == 0 { 2.0 } else { -2.0 });
            assert!(outside(&saw, domain.threshold) > 0.99, "{n}");
        }
    }

    #[test]
    fn other_normalisations_are_other_fluxes() {
        let fluxes: Vec<f64> = (0..2000).map(|i| 0.9 + 1e-4 * f64::from(i)).collect();
        let limits = Domain::fluxes(&fluxes);
        let domain = Domain { flux: limits, ..Domain::of(rows(30, 2, 1).view()).unwrap() };
        assert!([0.5, 1.0, 2.0].iter().all(|&median| !domain.is_other_flux(median)));
        assert!([0.0, 0.1, 10.0, 1e6].iter().all(|&median| domain.is_other_flux(median)));
        assert_eq!(Domain::fluxes(&[]), None);
        assert!(!Domain { flux: None, ..domain }.is_other_flux(1e6));
    }
}
