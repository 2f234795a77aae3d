//! Absolute magnitudes by the parallaxes of neighbours in label space.
//!
//! ```text
//! ϖᵢ ~ N(10^(0.2 (Mᵢ − m₀ᵢ + 10)), σ_ϖᵢ)      Mᵢ ~ N(M + β·xᵢ, s² + errors of m₀ and of labels)
//! ```
//!
//! The likelihood of parallaxes, not of 1/ϖ: no control is left out by its parallax, whose error would be
//! part of the choice, so that negative ones count as what they are (Lutz & Kelker 1973; Arenou & Luri 1999).
//! M, β and the scatter s are found by iterated weighted least squares and Fisher scoring of the variance;
//! the mean of the parallax over a scatter in magnitudes is the factor exp(½ (0.46 s)²). Every control may be
//! a pair of equal stars, 0.75 mag brighter, with a share that is found with the rest, and counts by the
//! probability that it is single (expectation maximisation of a mixture).

use super::columns::LabelledStar;
use super::space::{LabelSpace, Neighbourhood};
use crate::distance::magnitude::{LN_DISTANCE_PER_MAGNITUDE, absolute_magnitude_of_label};
use crate::distance::mass_ratio::EQUAL_MASSES;
use crate::statistics::{Measured, median};
use nalgebra::{DMatrix, DVector};

/// Rounds of least squares.
const ROUNDS: usize = 30;
/// Controls beyond this many deviations of single stars are left out.
const OUTLIERS: f64 = 3.5;
/// Rounds that take every control for a single star.
const ALL_SINGLE: usize = 3;
/// Share of pairs among controls, and how many controls that is worth beside what they say.
const PAIRS: [f64; 2] = [0.1, 20.0];
/// No step of M is longer, mag.
const LONGEST_STEP: f64 = 1.0;
/// Parallaxes that leave M less certain than this say nothing, mag.
const LARGEST_ERROR: f64 = 2.0;
/// What holds slopes at zero that the parallaxes do not tell: their deviation, mag per scale.
const SLOPE: f64 = 1.0;
/// Where parallaxes do not tell s², what it is taken for, mag², and how surely.
const VARIANCE: Measured = Measured { value: 0.04, error: 0.06 };

/// A star with a parallax and a magnitude without extinction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LuminosityControl {
    /// mas, zero point subtracted.
    pub parallax: Measured,
    /// m − A.
    pub magnitude: Measured,
}

/// Controls of absolute magnitudes in one band.
#[derive(Debug)]
pub struct LuminosityControls {
    space: LabelSpace,
    controls: Vec<LuminosityControl>,
    /// Squares of the errors of the coordinates.
    labels: Vec<Vec<f64>>,
}

/// An absolute magnitude by neighbours.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighbourMagnitude {
    /// M of a star of these labels, the scatter of such stars and the star's own label errors in its error.
    pub magnitude: Measured,
    /// Scatter of M at given labels, mag.
    pub scatter: f64,
    /// ∂M/∂coordinate.
    pub per_label: Vec<f64>,
    pub n_controls: usize,
    pub nearest: f64,
    pub is_surrounded: bool,
}

impl LuminosityControls {
    /// Of stars with labels.
    pub fn new(stars: &[(i64, &LabelledStar, LuminosityControl)]) -> Self {
        let dimensions = stars.first().map_or(1, |(_, star, _)| star.coordinates.len());
        Self {
            space: LabelSpace::new(
                dimensions,
                stars.iter().map(|(_, star, _)| star.point()).collect(),
                stars.iter().map(|(id, ..)| *id).collect(),
            ),
            labels: stars.iter().map(|(_, star, _)| star.variances()).collect(),
            controls: stars.iter().map(|(.., control)| *control).collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.controls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.controls.is_empty()
    }

    /// M of a star by at most `count` and at least `least` controls; `None` where these are too few or say
    /// too little.
    pub fn magnitude(&self, (id, star): (i64, &LabelledStar), (count, least): (usize, usize)) -> Option<NeighbourMagnitude> {
        let around = self.space.around(&star.point(), count, id);
        if around.rows.len() < least {
            return None;
        }
        let fitted = Likelihood::of(self, &around).fitted()?;
        let used = around.kernel.iter().zip(&fitted.is_used).filter(|(kernel, used)| **kernel > 0.0 && **used).count();
        let own: f64 = star.variances().iter().zip(&fitted.squares).map(|(variance, square)| variance * square).sum();
        let error = (fitted.variance + fitted.scatter + own).sqrt();
        let is_good =
            used + 1 >= least && fitted.variance.sqrt() < LARGEST_ERROR && fitted.at_star.is_finite() && error.is_finite();
        is_good.then(|| NeighbourMagnitude {
            magnitude: Measured { value: fitted.at_star, error },
            scatter: fitted.scatter.sqrt(),
            per_label: fitted.slopes,
            n_controls: used,
            nearest: around.nearest,
            is_surrounded: around.surrounds(),
        })
    }
}

/// The likelihood of the parallaxes of a neighbourhood.
struct Likelihood<'a> {
    around: &'a Neighbourhood,
    controls: Vec<LuminosityControl>,
    labels: Vec<&'a [f64]>,
}

/// Its maximum.
struct Fitted {
    at_star: f64,
    /// Of `at_star`.
    variance: f64,
    slopes: Vec<f64>,
    /// Squares of the slopes, less what their errors add to them.
    squares: Vec<f64>,
    /// s².
    scatter: f64,
    is_used: Vec<bool>,
}

/// The same by the numbers of one control.
struct Term {
    /// ∂ predicted/∂M.
    per_magnitude: f64,
    residual: f64,
    variance: f64,
    /// Density as a pair of equal stars over that as a single star.
    as_pair: f64,
}

impl<'a> Likelihood<'a> {
    fn of(controls: &'a LuminosityControls, around: &'a Neighbourhood) -> Self {
        Self {
            around,
            controls: around.rows.iter().map(|&row| controls.controls[row]).collect(),
            labels: around.rows.iter().map(|&row| controls.labels[row].as_slice()).collect(),
        }
    }

    /// Label that is linear in the parallax, 10^(0.2 M) (Arenou & Luri 1999), per mas.
    fn per_parallax(control: &LuminosityControl) -> f64 {
        (LN_DISTANCE_PER_MAGNITUDE * (control.magnitude.value - 10.0)).exp()
    }

    /// M to begin with: of the weighted mean of 10^(0.2 M), whatever the signs of the parallaxes.
    fn start(&self) -> Option<f64> {
        let labels: Vec<f64> = self.controls.iter().map(|control| Self::per_parallax(control) * control.parallax.value).collect();
        let typical = median(&labels);
        let (mut sum, mut whole) = (0.0, 0.0);
        for ((control, label), kernel) in self.controls.iter().zip(&labels).zip(&self.around.kernel) {
            let error = Self::per_parallax(control) * control.parallax.error;
            let weight = kernel / (error * error + (0.3 * typical).powi(2));
            sum += weight * label;
            whole += weight;
        }
        let label = if typical > 0.0 { typical } else { sum / whole };
        (label > 0.0 && label.is_finite()).then(|| absolute_magnitude_of_label(label.ln()))
    }

    fn term(&self, i: usize, parameters: &DVector<f64>, squares: &[f64], scatter: f64) -> Term {
        let per = LN_DISTANCE_PER_MAGNITUDE;
        let control = &self.controls[i];
        let slopes = || parameters.iter().skip(1);
        let magnitude = parameters[0] + self.around.offsets[i].iter().zip(slopes()).map(|(x, slope)| x * slope).sum::<f64>();
        let of_labels: f64 = self.labels[i].iter().zip(squares).map(|(variance, square)| variance * square).sum();
        let of_magnitude = scatter + of_labels + control.magnitude.error.powi(2);
        let exponent = per * (magnitude - control.magnitude.value + 10.0) + 0.5 * per * per * of_magnitude.min(1.0);
        let predicted = exponent.clamp(-50.0, 50.0).exp();
        let of = |predicted: f64| {
            let variance = control.parallax.error.powi(2) + (per * predicted).powi(2) * of_magnitude;
            (control.parallax.value - predicted, variance)
        };
        let (residual, variance) = of(predicted);
        let (of_pair, variance_of_pair) = of(predicted * (-per * EQUAL_MASSES).exp());
        let exponent = 0.5 * (residual * residual / variance - of_pair * of_pair / variance_of_pair);
        Term {
            per_magnitude: per * predicted,
            residual,
            variance,
            as_pair: exponent.min(50.0).exp() * (variance / variance_of_pair).sqrt(),
        }
    }

    fn fitted(&self) -> Option<Fitted> {
        let (n, l) = (self.controls.len(), self.around.offsets.first()?.len());
        let mut parameters = DVector::zeros(l + 1);
        parameters[0] = self.start()?;
        let mut scatter = VARIANCE.value;
        let (mut is_used, mut pairs) = (vec![true; n], PAIRS[0]);
        let mut variance = f64::NAN;
        let mut squares_of_slopes = vec![0.0; l];
        let row = |offset: &Vec<f64>| DVector::from_iterator(l + 1, std::iter::once(1.0).chain(offset.iter().copied()));
        let rows: Vec<DVector<f64>> = self.around.offsets.iter().map(row).collect();
        for round in 0..ROUNDS {
            let terms: Vec<Term> = (0..n).map(|i| self.term(i, &parameters, &squares_of_slopes, scatter)).collect();
            // Of every control, its weight by distance times the probability that it is single.
            let mut kernel = self.around.kernel.clone();
            if round >= ALL_SINGLE {
                let (mut expected, mut whole) = (PAIRS[0] * PAIRS[1], PAIRS[1]);
                let squares: f64 = kernel.iter().map(|kernel| kernel * kernel).sum();
                let scale = kernel.iter().sum::<f64>() / squares;
                for (i, term) in terms.iter().enumerate() {
                    let pair = pairs * term.as_pair / (1.0 - pairs + pairs * term.as_pair);
                    is_used[i] = term.residual.powi(2) < OUTLIERS * OUTLIERS * term.variance;
                    expected += scale * kernel[i] * pair;
                    whole += scale * kernel[i];
                    kernel[i] *= if is_used[i] { 1.0 - pair } else { 0.0 };
                }
                pairs = (expected / whole).clamp(0.0, 0.5);
            }
            let mut normal = DMatrix::<f64>::zeros(l + 1, l + 1);
            let mut middle = normal.clone();
            let mut right = DVector::<f64>::zeros(l + 1);
            let [mut whole, mut squares] = [0.0; 2];
            let [mut score, mut information] = [0.0; 2];
            for i in (0..n).filter(|&i| kernel[i] > 0.0) {
                let (kernel, term) = (kernel[i], &terms[i]);
                let x = &rows[i];
                let weight = kernel * term.per_magnitude * term.per_magnitude / term.variance;
                for a in 0..=l {
                    for b in 0..=l {
                        normal[(a, b)] += weight * x[a] * x[b];
                        middle[(a, b)] += kernel * weight * x[a] * x[b];
                    }
                    right[a] += kernel * term.per_magnitude * term.residual / term.variance * x[a];
                }
                whole += kernel;
                squares += kernel * kernel;
                let part = term.per_magnitude * term.per_magnitude / term.variance;
                information += kernel * part * part;
                score += kernel * part * (term.residual * term.residual / term.variance);
            }
            // What of the effective number of controls the parameters use up.
            let effective = whole * whole / squares;
            let freedom = effective / (effective - (l + 1) as f64);
            if !(freedom > 0.0 && freedom.is_finite() && information > 0.0) {
                return None;
            }
            for axis in 1..=l {
                normal[(axis, axis)] += SLOPE.powi(-2);
                right[axis] -= parameters[axis] * SLOPE.powi(-2);
            }
            let factor = normal.cholesky()?;
            let step = factor.solve(&right);
            let inverse = factor.inverse();
            let covariance = &inverse * &middle * &inverse;
            variance = covariance[(0, 0)];
            let expected: f64 = (0..n).map(|i| kernel[i] * terms[i].per_magnitude.powi(2) / terms[i].variance).sum();
            let held = 2.0 * VARIANCE.error.powi(-2);
            let change = (freedom * score - expected + held * (VARIANCE.value - scatter)) / (information + held);
            let shorten = (LONGEST_STEP / step.amax()).min(1.0);
            parameters.axpy(shorten, &step, 1.0);
            for axis in 1..=l {
                squares_of_slopes[axis - 1] = (parameters[axis].powi(2) - covariance[(axis, axis)]).max(0.0);
            }
            let next = (scatter + change).clamp(0.0, 4.0 * scatter + 0.01);
            let is_done = step.amax() < 1e-3 && (next - scatter).abs() < 1e-4 && round > ALL_SINGLE + 2;
            scatter = next;
            if is_done {
                break;
            }
        }
        Some(Fitted {
            at_star: parameters[0],
            variance,
            slopes: parameters.iter().skip(1).copied().collect(),
            squares: squares_of_slopes,
            scatter,
            is_used,
        })
    }
}

/// What is done otherwise, for comparisons: M = m₀ + 5 log₁₀ ϖ − 10 of the neighbours with ϖ/σ above a limit,
/// by least squares. Too faint where parallaxes are poor (Lutz & Kelker 1973).
#[cfg(test)]
pub(super) fn by_inverse_parallaxes(
    controls: &LuminosityControls,
    star: (i64, &LabelledStar),
    count: usize,
    parallax_over_error: f64,
) -> Option<Measured> {
    let around = controls.space.around(&star.1.point(), count, star.0);
    let of = |row: usize| {
        let LuminosityControl { parallax, magnitude } = controls.controls[row];
        (parallax.value > parallax_over_error * parallax.error && parallax.value > 0.0)
            .then(|| magnitude.value + absolute_magnitude_of_label(parallax.value.ln()) - 10.0)
    };
    let found: Vec<Option<f64>> = around.rows.iter().map(|&row| of(row)).collect();
    let outputs = DMatrix::from_fn(found.len(), 1, |i, _| found[i].unwrap_or(0.0));
    let weights: Vec<f64> =
        around.kernel.iter().zip(&found).map(|(kernel, found)| if found.is_some() { *kernel } else { 0.0 }).collect();
    let fit = super::regression::LocalFit::of(&around.offsets, &weights, &outputs)?;
    let error = crate::statistics::MAD_TO_SIGMA
        * median(&found.iter().flatten().map(|found| (found - fit.at_star[0]).abs()).collect::<Vec<_>>());
    Some(Measured { value: fit.at_star[0], error })
}
