//! Calibration of errors by the stars that were held out.

use crate::statistics::{percentile, robust_scatter};
use serde::{Deserialize, Serialize};

/// σ² = (factor · σ_own)² + floor², in the unit of the parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorCalibration {
    /// The factor at values of the parameter, by rising value: between two of them its logarithm is on the
    /// line, beyond them it is that of the last. One alone holds everywhere; none is a factor of one.
    pub factors: Vec<[f64; 2]>,
    pub floor: f64,
    /// Stars that it is from.
    pub n_stars: usize,
}

/// Stars below which nothing can be calibrated: from ten, the error of a scatter is a third.
pub const FEWEST: usize = 10;
/// Stars below which errors get one factor or floor for all.
const FEWEST_FOR_PARTS: usize = 50;
/// Parts, by own error, in each of which pulls should scatter by one.
const PARTS: usize = 3;
/// Percentiles of the predicted luminosities at which their factors are found.
const KNOTS: [f64; 3] = [8.0, 50.0, 92.0];
/// How far, in ln, factors are expected from one: what a few hundred parallaxes with errors of their own size
/// say of the distant stars is little more than that.
const EXPECTED: f64 = 0.5;
/// Smallest of the floors from which the most likely one is looked for, mag.
const SMALLEST_FLOOR: f64 = 0.02;
/// Pulls of parallaxes beyond which a star counts no more: binaries, wrong parallaxes.
const LARGEST_PULL: f64 = 5.0;

/// A residual with the variance of what it is measured by, and that of the prediction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
    pub value: f64,
    pub of_measurement: f64,
    pub of_prediction: f64,
}

/// A parallax beside the one that is predicted.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParallaxResidual {
    /// The predicted magnitude.
    pub magnitude: f64,
    /// Predicted less measured parallax, and the error of the latter, mas.
    pub difference: f64,
    pub error: f64,
    /// Change of the predicted parallax with the magnitude, mas/mag.
    pub slope: f64,
    /// Variance of the magnitude before calibration, mag².
    pub of_prediction: f64,
}

impl ErrorCalibration {
    /// What leaves errors as they are.
    pub const NONE: Self = Self { factors: Vec::new(), floor: 0.0, n_stars: 0 };

    /// The factor at a value of the parameter.
    pub fn factor(&self, value: f64) -> f64 {
        let after = self.factors.partition_point(|[at, _]| *at <= value);
        match (after.checked_sub(1).and_then(|before| self.factors.get(before)), self.factors.get(after)) {
            (None, None) => 1.0,
            (Some([_, factor]), None) | (None, Some([_, factor])) => *factor,
            (Some([low, a]), Some([high, b])) => a * (b / a).powf((value - low) / (high - low)),
        }
    }

    /// The calibrated variance of a prediction `value` whose own variance is `own`.
    pub(super) fn variance(&self, value: f64, own: f64) -> f64 {
        self.factor(value).powi(2) * own + self.floor.powi(2)
    }

    /// The factor and the floor with which the robust scatter of pulls is nearest to one among stars of
    /// small, medium and large own errors alike: by a search over a grid, as the target has steps.
    pub(super) fn of(residuals: &[Residual]) -> Self {
        let residuals: Vec<Residual> =
            residuals.iter().copied().filter(|r| r.value.is_finite() && r.of_prediction.is_finite()).collect();
        let n_stars = residuals.len();
        if n_stars < FEWEST {
            return Self { n_stars, ..Self::NONE };
        }
        let n_parts = if n_stars < FEWEST_FOR_PARTS { 1 } else { PARTS };
        let own: Vec<f64> = residuals.iter().map(|r| r.of_prediction).collect();
        let edges: Vec<f64> = (1..n_parts).map(|k| percentile(&own, 100.0 * k as f64 / n_parts as f64)).collect();
        let part = |r: &Residual| edges.iter().filter(|edge| r.of_prediction > **edge).count();
        let scatter = robust_scatter(&residuals.iter().map(|r| r.value).collect::<Vec<_>>());
        let misfit = |calibration: &Self| -> f64 {
            let mut pulls = vec![Vec::new(); n_parts];
            for r in &residuals {
                pulls[part(r)].push(r.value / (calibration.variance(0.0, r.of_prediction) + r.of_measurement).sqrt());
            }
            let of_part = |pulls: &Vec<f64>| if pulls.len() < 10 { 0.0 } else { robust_scatter(pulls).max(1e-6).ln().powi(2) };
            pulls.iter().map(of_part).sum()
        };
        let factors = (0..25).map(|k| 0.25 * 2f64.powf(f64::from(k) / 6.0));
        let floors: Vec<f64> = std::iter::once(0.0).chain((0..40).map(|k| scatter * 1.5 * 0.88f64.powi(k))).collect();
        let grid =
            factors.flat_map(|factor| floors.iter().map(move |&floor| Self { factors: vec![[0.0, factor]], floor, n_stars }));
        // Of equals the first, which has the smallest factor.
        grid.map(|calibration| (misfit(&calibration), calibration))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(Self { n_stars, ..Self::NONE }, |(_, calibration)| calibration)
    }

    /// The same by parallaxes, most of which may be worse than what they judge: the most likely floor and
    /// factors, these a function of the predicted magnitude, of ϖ = ϖ̂ ± √(σ² + (slope · s)²) with s² the
    /// calibrated variance.
    ///
    /// The mean parallax of stars that are predicted alike is the predicted one, because the loss of training
    /// is a mean square of parallaxes: their scatter is about it, and not about the median that errors in M
    /// would give (that would make s of the distant stars too small, by a third among simulated giants).
    /// Stars whose parallaxes say nothing of s leave the factor at one.
    pub(super) fn of_parallaxes(residuals: &[ParallaxResidual]) -> Self {
        let is_number = |r: &&ParallaxResidual| {
            [r.magnitude, r.difference, r.error, r.slope, r.of_prediction].iter().all(|value| value.is_finite())
        };
        let residuals: Vec<ParallaxResidual> = residuals.iter().filter(is_number).copied().collect();
        let n_stars = residuals.len();
        if n_stars < FEWEST {
            return Self { n_stars, ..Self::NONE };
        }
        let magnitudes: Vec<f64> = residuals.iter().map(|r| r.magnitude).collect();
        let percents = if n_stars < FEWEST_FOR_PARTS { &KNOTS[1..2] } else { &KNOTS[..] };
        let mut knots: Vec<f64> = percents.iter().map(|&percent| percentile(&magnitudes, percent)).collect();
        knots.dedup_by(|a, b| *a - *b < 1e-3);
        let with = |x: &[f64]| Self {
            factors: knots.iter().zip(&x[1..]).map(|(knot, ln)| [*knot, ln.exp()]).collect(),
            floor: x[0].abs(),
            n_stars,
        };
        let misfit = |x: &[f64]| -> f64 {
            let calibration = with(x);
            let of = |r: &ParallaxResidual| {
                let variance = r.error.powi(2) + r.slope.powi(2) * calibration.variance(r.magnitude, r.of_prediction);
                variance.ln() + (r.difference * r.difference / variance).min(LARGEST_PULL * LARGEST_PULL)
            };
            let expected: f64 = x[1..].iter().map(|ln| (ln / EXPECTED).powi(2)).sum();
            residuals.iter().map(of).sum::<f64>() + expected
        };
        // Floor and factors give way to each other, which steps along the axes do not follow: from floors of
        // all sizes.
        let floors = std::iter::once(0.0).chain((0..10).map(|k| SMALLEST_FLOOR * 1.6f64.powi(k)));
        let found = floors.map(|floor| {
            let start: Vec<f64> = std::iter::once(floor).chain(knots.iter().map(|_| 0.0)).collect();
            compass(start, misfit)
        });
        let lowest = found.min_by(|a, b| a.1.total_cmp(&b.1));
        lowest.map_or(Self { n_stars, ..Self::NONE }, |(x, _)| with(&x))
    }
}

/// The minimum near a point, by steps along each axis that are halved where none leads lower (Kolda, Lewis &
/// Torczon 2003, compass search), and its value: it wants no slopes.
pub(super) fn compass(start: Vec<f64>, misfit: impl Fn(&[f64]) -> f64) -> (Vec<f64>, f64) {
    let (mut best, mut step) = (start, 0.4);
    let mut lowest = misfit(&best);
    while step > 0.01 {
        let mut is_lower = false;
        for axis in 0..best.len() {
            for sign in [1.0, -1.0] {
                let mut moved = best.clone();
                moved[axis] += sign * step;
                let there = misfit(&moved);
                if there < lowest {
                    (best, lowest, is_lower) = (moved, there, true);
                    break;
                }
            }
        }
        step *= if is_lower { 1.0 } else { 0.5 };
    }
    (best, lowest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, StandardNormal};

    /// Errors of 0.6 of the own ones among dwarfs, 1.3 among giants, and a floor; parallaxes of giants are
    /// measured worse than they are predicted, and two in a hundred are wrong.
    #[test]
    fn parallaxes_say_how_good_predictions_are() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let factor = |magnitude: f64| if magnitude < 2.0 { 1.3 } else { 0.6 };
        let true_error = |magnitude: f64, own: f64| ((factor(magnitude) * own).powi(2) + 0.1f64.powi(2)).sqrt();
        let mut star = |_| {
            let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
            let magnitude = if normal() < 0.5 { 5.0 + normal() } else { 0.5 + 0.5 * normal() };
            let apparent = 15.5 + 0.7 * normal();
            let parallax = 10f64.powf(0.2 * (magnitude - apparent + 10.0));
            let error = 0.05 * 10f64.powf(0.2 * (apparent - 16.0));
            let own = 0.3 * (0.5 * normal()).exp();
            let s = true_error(magnitude, own) * 0.2 * std::f64::consts::LN_10;
            // Mean one, as the loss leaves it.
            let true_parallax = parallax * (s * normal() - 0.5 * s * s).exp();
            let wrong = if normal() > 2.05 { 10.0 * error } else { 0.0 };
            let difference = parallax - true_parallax - error * normal() - wrong;
            let slope = parallax * 0.2 * std::f64::consts::LN_10;
            ParallaxResidual { magnitude, difference, error, slope, of_prediction: own * own }
        };
        let found = ErrorCalibration::of_parallaxes(&(0..8000).map(&mut star).collect::<Vec<_>>());
        println!("{found:?}");
        for (magnitude, own) in [(5.0, 0.2_f64), (5.0, 0.5), (0.5, 0.3), (0.5, 0.6)] {
            let ratio = (found.variance(magnitude, own * own)).sqrt() / true_error(magnitude, own);
            assert!((0.8..1.25).contains(&ratio), "{magnitude}, {own}: {ratio} {found:?}");
        }
        let few: Vec<ParallaxResidual> = (0..9).map(&mut star).collect();
        assert_eq!(ErrorCalibration::of_parallaxes(&few), ErrorCalibration { n_stars: 9, ..ErrorCalibration::NONE });
    }

    #[test]
    fn factors_are_on_lines_of_their_logarithm() {
        let found = ErrorCalibration { factors: vec![[1.0, 0.5], [3.0, 2.0]], floor: 0.0, n_stars: 100 };
        for (value, factor) in [(0.0, 0.5), (1.0, 0.5), (2.0, 1.0), (3.0, 2.0), (9.0, 2.0)] {
            assert!((found.factor(value) - factor).abs() < 1e-12, "{value}");
        }
        assert_eq!(ErrorCalibration::NONE.factor(4.0), 1.0);
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
        // Outliers of one in twenty raise a robust scatter by 7 %, and floor and factor can give way to each
        // other: what counts is the error at either end.
        for own in [0.05_f64, 0.2, 1.0] {
            let ratio = (found.variance(0.0, own * own) / ((1.6 * own).powi(2) + 0.08f64.powi(2))).sqrt();
            assert!((0.9..1.2).contains(&ratio), "{own}: {ratio} {found:?}");
        }
        assert_eq!(ErrorCalibration::of(&residuals[..9]), ErrorCalibration { n_stars: 9, ..ErrorCalibration::NONE });
    }
}
