//! Calibration of errors by the stars that were held out.

use crate::statistics::{percentile, robust_scatter};
use serde::{Deserialize, Serialize};

/// σ² = (factor · σ_own)² + floor², in the unit of the parameter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorCalibration {
    pub factor: f64,
    pub floor: f64,
    /// Stars that it is from; with fewer than [`FEWEST`] the errors are as they come.
    pub n_stars: usize,
}

/// Stars below which nothing is calibrated.
pub const FEWEST: usize = 50;
/// Parts, by own error, in each of which pulls should scatter by one.
const PARTS: usize = 3;

/// A residual with the variance of what it is measured by, and that of the prediction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
    pub value: f64,
    pub of_measurement: f64,
    pub of_prediction: f64,
}

impl ErrorCalibration {
    /// What leaves errors as they are.
    pub const NONE: Self = Self { factor: 1.0, floor: 0.0, n_stars: 0 };

    pub(super) fn variance(&self, own: f64) -> f64 {
        self.factor.powi(2) * own + self.floor.powi(2)
    }

    /// The factor and the floor with which the robust scatter of pulls is nearest to one among stars of small, medium and
    /// large own errors alike: by a search over a grid, as the target has steps.
    pub(super) fn of(residuals: &[Residual]) -> Self {
        let residuals: Vec<Residual> =
            residuals.iter().copied().filter(|r| r.value.is_finite() && r.of_prediction.is_finite()).collect();
        let n_stars = residuals.len();
        if n_stars < FEWEST {
            return Self { n_stars, ..Self::NONE };
        }
        let own: Vec<f64> = residuals.iter().map(|r| r.of_prediction).collect();
        let edges: Vec<f64> = (1..PARTS).map(|k| percentile(&own, 100.0 * k as f64 / PARTS as f64)).collect();
        let part = |r: &Residual| edges.iter().filter(|edge| r.of_prediction > **edge).count();
        let scatter = robust_scatter(&residuals.iter().map(|r| r.value).collect::<Vec<_>>());
        let misfit = |calibration: &Self| -> f64 {
            let mut pulls = vec![Vec::new(); PARTS];
            for r in &residuals {
                pulls[part(r)].push(r.value / (calibration.variance(r.of_prediction) + r.of_measurement).sqrt());
            }
            let of_part = |pulls: &Vec<f64>| if pulls.len() < 10 { 0.0 } else { robust_scatter(pulls).max(1e-6).ln().powi(2) };
            pulls.iter().map(of_part).sum()
        };
        Self::best(n_stars, scatter, misfit)
    }

    /// The same where most stars are measured worse than they are predicted: the most likely factor and floor, with what
    /// is further off than three errors counted as three (a Gaussian loses a hundredth of its variance so).
    pub(super) fn of_noisy(residuals: &[Residual]) -> Self {
        let is_number = |r: &&Residual| r.value.is_finite() && r.of_prediction.is_finite() && r.of_measurement.is_finite();
        let residuals: Vec<Residual> = residuals.iter().filter(is_number).copied().collect();
        let n_stars = residuals.len();
        if n_stars < FEWEST {
            return Self { n_stars, ..Self::NONE };
        }
        let misfit = |calibration: &Self| -> f64 {
            let of = |r: &Residual| {
                let variance = calibration.variance(r.of_prediction) + r.of_measurement;
                variance.max(f64::MIN_POSITIVE).ln() + (r.value * r.value / variance).min(9.0)
            };
            residuals.iter().map(of).sum()
        };
        // The tenth that is measured best bounds what the prediction may be off.
        let mut best = residuals.clone();
        best.sort_by(|a, b| a.of_measurement.total_cmp(&b.of_measurement));
        best.truncate((n_stars / 10).max(FEWEST));
        Self::best(n_stars, robust_scatter(&best.iter().map(|r| r.value).collect::<Vec<_>>()), misfit)
    }

    /// On a grid of factors and of floors up to 1.5 times `scatter`, the calibration of the smallest misfit.
    fn best(n_stars: usize, scatter: f64, misfit: impl Fn(&Self) -> f64) -> Self {
        let factors = (0..25).map(|k| 0.25 * 2f64.powf(f64::from(k) / 6.0));
        let floors: Vec<f64> = std::iter::once(0.0).chain((0..40).map(|k| scatter * 1.5 * 0.88f64.powi(k))).collect();
        let grid = factors.flat_map(|factor| floors.iter().map(move |&floor| Self { factor, floor, n_stars }));
        // Of equals the first, which has the smallest factor.
        grid.map(|calibration| (misfit(&calibration), calibration))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(Self { n_stars, ..Self::NONE }, |(_, calibration)| calibration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, StandardNormal};

    /// Of 4000 stars nine in ten are measured three to thirty times worse than they are predicted.
    #[test]
    fn noisy_measurements_say_how_good_predictions_are() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let mut star = |_| {
            let own: f64 = 0.05 * 4f64.powf(random.r#gen::<f64>());
            let measured: f64 = 0.05 * 100f64.powf(random.r#gen::<f64>());
            let sigma = ((1.5 * own).powi(2) + 0.1f64.powi(2) + measured.powi(2)).sqrt();
            let z: f64 = StandardNormal.sample(&mut random);
            let value = if random.r#gen::<f64>() < 0.02 { 8.0 * sigma } else { z * sigma };
            Residual { value, of_measurement: measured * measured, of_prediction: own * own }
        };
        let found = ErrorCalibration::of_noisy(&(0..4000).map(&mut star).collect::<Vec<_>>());
        println!("{found:?}");
        for own in [0.05_f64, 0.1, 0.2] {
            let ratio = (found.variance(own * own) / ((1.5 * own).powi(2) + 0.1f64.powi(2))).sqrt();
            assert!((0.85..1.2).contains(&ratio), "{own}: {ratio} {found:?}");
        }
    }

    #[test]
    fn errors_that_are_too_small_and_lack_a_floor_are_found_out() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let residuals: Vec<Residual> = (0..6000)
            .map(|_| {
                let own: f64 = 0.05 * 10f64.powf(random.r#gen::<f64>() * 1.5);
                let sigma = (0.1f64.powi(2) + (1.6 * own).powi(2) + 0.08f64.powi(2)).sqrt();
                let z: f64 = StandardNormal.sample(&mut random);
                // One star in twenty is an outlier.
                let value = if random.r#gen::<f64>() < 0.05 { 20.0 } else { z * sigma };
                Residual { value, of_measurement: 0.01, of_prediction: own * own }
            })
            .collect();
        let found = ErrorCalibration::of(&residuals);
        println!("{found:?}");
        // Outliers of one in twenty raise a robust scatter by 7 %, and floor and factor can give way to each other: what counts is
        // the error at either end.
        for own in [0.05_f64, 0.2, 1.0] {
            let ratio = (found.variance(own * own) / ((1.6 * own).powi(2) + 0.08f64.powi(2))).sqrt();
            assert!((0.9..1.2).contains(&ratio), "{own}: {ratio} {found:?}");
        }
        assert_eq!(ErrorCalibration::of(&residuals[..20]), ErrorCalibration { n_stars: 20, ..ErrorCalibration::NONE });
    }
}
