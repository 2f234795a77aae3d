//! By which factors the errors of measured values are off, by marginal likelihood.
//!
//! What the flux of a star says of its parameters less what was measured, r, has the covariance V = A⁻¹ + C
//! with the information A of the flux and C = diag(f² σ²) + K, for errors σ of the measurements that are off
//! by factors f and the covariance K of the model's zero points. Of stars that did not train, the f are
//! those that maximise Π N(r | 0, V), by Fisher scoring in ln f, with W = V⁻¹ and u = W r:
//!
//! ∂(−2 ln p)/∂ln f_k = 2 f_k² σ_k² (W_kk − u_k²), and information 2 (f_k² σ_k² f_l² σ_l²) W_kl² of ln p.
//!
//! W = Λ − Λ (A + Λ)⁻¹ Λ and u = Λ (A + Λ)⁻¹ A r, Λ = C⁻¹ of the measured parameters, exist where the flux
//! leaves directions open. Outliers (binaries, wrong spectra) are a second Gaussian, of five times the
//! width, whose share is found along with the f: otherwise a few of them would make all errors too small.

use super::calibration::comparisons;
use super::difference::Comparison;
use super::recipe::Recipe;
use super::star_step;
use super::state::TrainingState;
use crate::error::Result;
use crate::model::{Calibration, ForwardModel, ParameterSpace};
use crate::observations::Observations;
use crate::optimise::Method;
use crate::statistics::{median, scatter_about_zero};
use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Most stars that are used; they tell a factor to a per cent.
const STARS: usize = 10_000;
/// Fewest stars with a measured parameter.
const LEAST_STARS: usize = 100;
/// Width of the outliers in errors, and their share to begin with.
const WIDTH: f64 = 5.0;
const SHARE: f64 = 0.02;
/// ln f before the stars speak: 0 ± this.
const PRIOR: f64 = 2.0;
/// Most steps, and the largest one in ln f; the last is smaller than the second number.
const STEPS: usize = 60;
const LONGEST_STEP: f64 = 0.5;
const LAST_STEP: f64 = 1e-4;
/// A factor whose logarithm is less well known is none.
const LARGEST_ERROR: f64 = 0.25;
/// From how many variances more than expected on the search does not start from a factor of one.
const LARGE: f64 = 4.0;
/// Factors beyond this, or below its inverse, by more than some of their errors, are told.
const FAR: f64 = 1.25;
const SIGNIFICANCE: f64 = 4.0;

/// By how much the errors of a parameter's measured values are off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelError {
    pub parameter: String,
    /// The true errors over those that are said, and its error.
    pub factor: f64,
    pub error: f64,
    /// Stars that tell it.
    pub n_stars: usize,
}

impl LabelError {
    /// What a user should know, where the factor is far from one.
    pub fn warning(&self) -> Option<String> {
        let Self { parameter, factor, error, .. } = self;
        let is_far = factor.ln().abs() - SIGNIFICANCE * error / factor > FAR.ln();
        is_far.then(|| {
            let (kind, by) = if *factor < 1.0 { ("large", factor.recip()) } else { ("small", *factor) };
            format!(
                "the errors of the measured {parameter} look {by:.2} times too {kind} (factor {factor:.2} \u{b1} {error:.2}): \
                 [data.error_factors] of the recipe multiplies them, and learn_error_factors = true under [data] does so by itself"
            )
        })
    }
}

/// The factors of the measured parameters that the `stars` tell, at coordinates `[N, P]` (of all stars) that
/// are fitted to fluxes and measurements together.
///
/// # Errors
/// When a constraint is no parameter of the model, or the model cannot be evaluated.
pub fn label_errors(
    model: &ForwardModel,
    observations: &Observations,
    (stars, coordinates): (&[usize], &Array2<f64>),
    constraints: &[String],
    calibration: Option<&Calibration>,
) -> Result<Vec<LabelError>> {
    let space = &model.space;
    let stars: Vec<usize> = stars.iter().copied().step_by(stars.len().div_ceil(STARS).max(1)).collect();
    let constrained: Vec<usize> = constraints.iter().map(|name| space.position(name)).collect::<Result<_>>()?;
    let compared = comparisons(model, observations, (&stars, coordinates), &constrained)?;
    let measured: Vec<Measured> = (stars.iter().zip(&compared))
        .filter_map(|(&star, one)| Measured::of(one, &zero_points(space, calibration, coordinates, star)))
        .collect();
    let count = |position: usize| measured.iter().filter(|star| star.positions.contains(&position)).count();
    let told: Vec<usize> = constrained.iter().copied().filter(|&position| count(position) >= LEAST_STARS).collect();
    let (factors, errors) = solve(&measured, &told);
    // One that is poorly known can be known to be far from one.
    let is_told = |factor: f64, error: f64| error < LARGEST_ERROR || factor.abs() - SIGNIFICANCE * error > FAR.ln();
    let found = told.iter().zip(factors.iter().zip(&errors)).filter(|(_, (factor, error))| is_told(**factor, **error));
    Ok(found
        .map(|(&position, (ln_factor, error))| LabelError {
            parameter: space.parameters[position].name.clone(),
            factor: ln_factor.exp(),
            error: ln_factor.exp() * error,
            n_stars: count(position),
        })
        .collect())
}

/// The factors that the testing stars tell at the end of a training; those that self-cleaning removed are
/// among them, or else what is left would look as if its errors were smaller.
pub(super) fn of_testing(state: &TrainingState, observations: &Observations, recipe: &Recipe) -> Result<Vec<LabelError>> {
    let stars = state.single_testing_stars();
    let removed: Vec<usize> = stars.iter().copied().filter(|&star| !state.kept[star]).collect();
    let mut all = state.clone();
    star_step::minimise(&mut all, observations, recipe, &removed, &Method::default())?;
    let coordinates = all.coordinates.select(Axis(0), &stars);
    let subset = widened(&state.model, observations.select(&stars), recipe.data.fractional_error)?;
    let rows: Vec<usize> = (0..stars.len()).collect();
    let calibration = state.model.calibration.as_ref();
    label_errors(&state.model, &subset, (&rows, &coordinates), &recipe.data.constraints, calibration)
}

/// The observations with the model's own errors in those of the fluxes, which have a fractional error
/// `already`.
fn widened(model: &ForwardModel, observations: Observations, already: f64) -> Result<Observations> {
    let variance = |star: usize, w: usize| {
        let flux = f64::from(observations.flux[[star, w]]);
        (model.model_error[w].powi(2) - already * already).max(0.0) * flux * flux
    };
    let variances = Array2::from_shape_fn(observations.flux.dim(), |(star, w)| variance(star, w));
    let whitening = observations.whitening.widened(variances.view())?;
    Ok(Observations { whitening, ..observations })
}

/// The covariance of the zero points of a star `[P, P]`.
fn zero_points(
    space: &ParameterSpace,
    calibration: Option<&Calibration>,
    coordinates: &Array2<f64>,
    star: usize,
) -> DMatrix<f64> {
    let p = space.len();
    let Some(calibration) = calibration else { return DMatrix::zeros(p, p) };
    let values: Vec<f64> =
        space.parameters.iter().zip(coordinates.row(star)).map(|(parameter, &u)| parameter.model_value(u)).collect();
    let [rows, _] = calibration.at(space, &values);
    DMatrix::from_fn(p, p, |i, j| rows[i][j])
}

/// A star with measured parameters.
struct Measured {
    /// Positions of the measured parameters [M], their variances, and the covariance of zero points `[M, M]`.
    positions: Vec<usize>,
    variances: Vec<f64>,
    shared: DMatrix<f64>,
    /// A `[P, P]` and A r `[P]`.
    flux: DMatrix<f64>,
    pull: DVector<f64>,
    /// rᵀ A r.
    square: f64,
}

/// W `[M, M]`, u `[M]` and rᵀ W r.
struct Judged {
    weight: DMatrix<f64>,
    weighted: DVector<f64>,
    chi_square: f64,
}

impl Measured {
    /// `None` where a number is not finite or nothing was measured.
    fn of(comparison: &Comparison, zero_points: &DMatrix<f64>) -> Option<Self> {
        let p = comparison.error.len();
        let positions: Vec<usize> = (0..p).filter(|&i| comparison.error[i].is_finite()).collect();
        let is_finite = comparison.flux.iter().chain(&comparison.pull).all(|value| value.is_finite());
        if positions.is_empty() || !is_finite {
            return None;
        }
        let (flux, pull) = (DMatrix::from_row_slice(p, p, &comparison.flux), DVector::from_column_slice(&comparison.pull));
        // Directions that the flux leaves open have no pull, whatever stands for their information.
        let mut regular = flux.clone();
        (0..p).for_each(|i| regular[(i, i)] = if flux[(i, i)] > 0.0 { flux[(i, i)] * (1.0 + 1e-10) } else { 1.0 });
        let square = pull.dot(&regular.cholesky()?.solve(&pull));
        Some(Self {
            variances: positions.iter().map(|&i| comparison.error[i].powi(2)).collect(),
            shared: zero_points.select_rows(&positions).select_columns(&positions),
            positions,
            flux,
            pull,
            square,
        })
    }

    /// With factors of the errors of all parameters `[P]` (one where none is sought).
    fn judged(&self, factor: &dyn Fn(usize) -> f64) -> Option<Judged> {
        let m = self.positions.len();
        let mut covariance = self.shared.clone();
        (0..m).for_each(|k| covariance[(k, k)] += factor(self.positions[k]).powi(2) * self.variances[k]);
        let precision = covariance.cholesky()?.inverse();
        let mut total = self.flux.clone();
        for (k, &i) in self.positions.iter().enumerate() {
            self.positions.iter().enumerate().for_each(|(l, &j)| total[(i, j)] += precision[(k, l)]);
        }
        // A parameter that neither flux nor measurements tell.
        (0..total.nrows()).filter(|&i| total[(i, i)] <= 0.0).collect::<Vec<_>>().iter().for_each(|&i| total[(i, i)] = 1.0);
        let total = total.cholesky()?;
        let solved = total.solve(&self.pull);
        let inverse = total.inverse().select_rows(&self.positions).select_columns(&self.positions);
        Some(Judged {
            weighted: &precision * solved.select_rows(&self.positions),
            weight: &precision - &precision * inverse * &precision,
            chi_square: (self.square - self.pull.dot(&solved)).max(0.0),
        })
    }
}

/// What a step needs of some stars: gradient of −2 ln p, information, stars and outliers among them.
#[derive(Clone)]
struct Sums {
    gradient: DVector<f64>,
    information: DMatrix<f64>,
    n: f64,
    outliers: f64,
}

impl Sums {
    fn zero(q: usize) -> Self {
        Self { gradient: DVector::zeros(q), information: DMatrix::zeros(q, q), n: 0.0, outliers: 0.0 }
    }

    fn add(mut self, other: &Self) -> Self {
        self.gradient += &other.gradient;
        self.information += &other.information;
        self.n += other.n;
        self.outliers += other.outliers;
        self
    }

    /// Adds a star.
    fn take(&mut self, star: &Measured, told: &[usize], ln_factors: &DVector<f64>, share: f64) {
        let place = |position: usize| told.iter().position(|&other| other == position);
        let Some(judged) = star.judged(&|position| place(position).map_or(1.0, |k| ln_factors[k].exp())) else { return };
        let m = star.positions.len() as f64;
        // By logarithms: χ² of errors that are hundreds of times too small leaves nothing of either.
        let ordinary = (1.0 - share).ln() - 0.5 * judged.chi_square;
        let outlier = share.ln() - 0.5 * judged.chi_square / WIDTH.powi(2) - m * WIDTH.ln();
        let probability = 1.0 / (1.0 + (ordinary - outlier).exp());
        // Of both Gaussians, the mean of 1/width².
        let narrowness = (1.0 - probability) + probability / WIDTH.powi(2);
        let slopes: Vec<Option<(usize, f64)>> = (star.positions.iter().zip(&star.variances))
            .map(|(&position, variance)| place(position).map(|k| (k, 2.0 * (2.0 * ln_factors[k]).exp() * variance)))
            .collect();
        for (a, slope) in slopes.iter().enumerate() {
            let Some((k, slope)) = *slope else { continue };
            self.gradient[k] += slope * (judged.weight[(a, a)] - narrowness * judged.weighted[a].powi(2));
            for (b, other) in slopes.iter().enumerate() {
                let Some((l, other)) = *other else { continue };
                self.information[(k, l)] += 0.5 * slope * other * judged.weight[(a, b)].powi(2) * (1.0 - probability);
            }
        }
        self.n += 1.0;
        self.outliers += probability;
    }
}

/// ln f from which the search starts: 0, but where the squared residuals of a parameter, given the others,
/// are beyond V by many times the variance that is said, from that excess. Errors a thousand times too small
/// have no part in V, and so no slope by which a search from 0 would leave it.
fn start(stars: &[Measured], told: &[usize]) -> DVector<f64> {
    let judged: Vec<(&Measured, Judged)> = stars.iter().filter_map(|star| Some((star, star.judged(&|_| 1.0)?))).collect();
    let of_parameter = |position: &usize| {
        let of_star = |(star, judged): &(&Measured, Judged)| {
            let at = star.positions.iter().position(|other| other == position)?;
            let variance = judged.weight[(at, at)].recip();
            let residual = judged.weighted[at] * variance;
            (variance > 0.0 && residual.is_finite()).then_some([residual, variance, star.variances[at]])
        };
        let of_stars: Vec<[f64; 3]> = judged.iter().filter_map(of_star).collect();
        let [residuals, variances, said] = [0, 1, 2].map(|i| of_stars.iter().map(|star| star[i]).collect::<Vec<f64>>());
        let excess = (scatter_about_zero(&residuals).powi(2) - median(&variances)) / median(&said);
        if excess > LARGE { 0.5 * (1.0 + excess).ln() } else { 0.0 }
    };
    DVector::from_iterator(told.len(), told.iter().map(of_parameter))
}

/// ln f of the parameters `told [Q]`, and its errors.
fn solve(stars: &[Measured], told: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let q = told.len();
    let (mut ln_factors, mut share) = (start(stars, told), SHARE);
    let mut errors = vec![f64::INFINITY; q];
    for _ in 0..STEPS {
        // In chunks of fixed length: the sums do not depend on the number of threads.
        let chunk = |stars: &[Measured]| {
            let mut sums = Sums::zero(q);
            stars.iter().for_each(|star| sums.take(star, told, &ln_factors, share));
            sums
        };
        let parts: Vec<Sums> = stars.par_chunks(256).map(chunk).collect();
        let sums = parts.iter().fold(Sums::zero(q), Sums::add);
        let information = &sums.information + DMatrix::identity(q, q) * PRIOR.powi(-2);
        let gradient = &sums.gradient * 0.5 + &ln_factors * PRIOR.powi(-2);
        let Some(inverse) = information.cholesky().map(|factor| factor.inverse()) else { break };
        errors = (0..q).map(|k| inverse[(k, k)].sqrt()).collect();
        let step = (inverse * gradient).map(|step| (-step).clamp(-LONGEST_STEP, LONGEST_STEP));
        ln_factors += &step;
        share = (sums.outliers / sums.n.max(1.0)).clamp(1e-6, 0.5);
        if step.amax() < LAST_STEP {
            break;
        }
    }
    (ln_factors.as_slice().to_vec(), errors)
}

#[cfg(test)]
#[path = "label_errors_tests.rs"]
mod tests;
