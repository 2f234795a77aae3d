//! Audit of estimates: are they the optimum? Re-fits in double precision from the estimates and from random
//! starts.
//!
//! Nothing of the search for starting points is used, and no start depends on another star: labels are drawn
//! from the mixture prior, every other parameter from its own prior or over its training range.

use super::options::FitOptions;
use super::problem::{Covariances, Problem, Setup};
use crate::error::{Error, Result};
use crate::model::{Parameter, Transform};
use crate::observations::{Observations, hash64};
use crate::optimise::dense::invert_positive_semidefinite;
use crate::optimise::{EQUAL_LOSS, LevenbergMarquardt, Method, NormalEquations, Solution, Subset, minimise_in_chunks};
use crate::posterior::{LocalParts, Posterior};
use crate::statistics::largest;
use crate::tensor::Precision;
use crate::train::TrainedModel;
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::sync::Arc;

/// Runs in memory at once on a thread.
const CHUNK: usize = 256;
/// Smallest draw of a parameter that is moved as a logarithm, over the largest.
const POSITIVE_DRAWS: f64 = 1e-2;

/// Size of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOptions {
    /// Random starts of every star.
    pub starts: usize,
    /// Seed of the starts; with the identifier of a star it decides them.
    pub seed: u64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { starts: 32, seed: 1 }
    }
}

/// What re-fits of N stars found. Values are in file units; numbers that could not be had are NaN.
///
/// # Shapes
/// `estimate`, `polished`, `best`, `second` and `error` are `[N, F]` over the fitted parameters, the others
/// `[N]`.
#[derive(Debug, Clone)]
pub struct Audit {
    pub ids: Vec<i64>,
    /// Name, unit and description of the fitted parameters.
    pub parameters: Vec<(String, String, String)>,
    /// The estimates under audit.
    pub estimate: Array2<f64>,
    /// The optimum that is reached from the estimate.
    pub polished: Array2<f64>,
    /// The best optimum of all runs.
    pub best: Array2<f64>,
    /// 1σ errors at the estimate, from the Fisher matrix in double precision.
    pub error: Array2<f64>,
    /// −2 ln P at the estimate, at the optimum reached from it, and at the best one.
    pub loss: Vec<f64>,
    pub polished_loss: Vec<f64>,
    pub best_loss: Vec<f64>,
    /// The best optimum that a random start ended at and that is another star than the best one (see
    /// [`SecondOptimumOptions`](super::SecondOptimumOptions)); NaN where there is none.
    pub second: Array2<f64>,
    /// −2 ln P there less that of the best one.
    pub second_delta_loss: Vec<f64>,
    /// How many of the random starts end within 0.01 in −2 ln P of the best.
    pub n_reached: Vec<u32>,
    /// Largest |C − C₆₄|ᵢⱼ/(σᵢσⱼ) between the covariance under audit and that in double precision at the same
    /// values.
    pub covariance_difference: Vec<f64>,
    /// Largest shift of a parameter, in σ, by the rounding of the engine that fits: that of a Newton step
    /// from the estimate with the engine's gradient from one with the gradient in double precision.
    pub rounding: Vec<f64>,
    /// Random starts of every star.
    pub n_starts: usize,
}

impl Audit {
    /// Number of stars N.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no stars.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// By how much −2 ln P at the estimate exceeds the best known; infinite where the estimate is impossible
    /// (a parameter that must be positive is not), NaN where there is no estimate.
    pub fn gap(&self, star: usize) -> f64 {
        if self.estimate.row(star).iter().any(|value| value.is_nan()) {
            return f64::NAN;
        }
        if self.loss[star].is_finite() { self.loss[star] - self.best_loss[star] } else { f64::INFINITY }
    }

    /// Largest |Δ|/σ of any parameter between the estimate and the optimum reached from it.
    pub fn shift(&self, star: usize) -> f64 {
        let rows = self.estimate.row(star).into_iter().zip(self.polished.row(star)).zip(self.error.row(star));
        largest(rows.map(|((estimate, polished), error)| (polished - estimate).abs() / error))
    }
}

/// Re-fits all stars of `observations`, whose estimates are `values [N, P]` (all parameters, file units) with
/// `covariance [N, F, F]` (the fitted ones), made by [`fit`](super::fit()) with `options`.
///
/// # Errors
/// As [`fit`](super::fit()), and when the shapes do not belong together.
pub fn audit(
    trained: &TrainedModel,
    observations: &Observations,
    (values, covariance): (ArrayView2<'_, f64>, ArrayView3<'_, f64>),
    options: &FitOptions,
    audit: &AuditOptions,
) -> Result<Audit> {
    let as_fitted = Setup::new(Arc::new(trained.clone()), options)?;
    let as_fitted = Problem::new(&as_fitted, observations);
    let double = trained.model.device().with_precision(Precision::Double);
    let trained = TrainedModel { model: trained.model.to(&double), ..trained.clone() };
    let setup = Setup::new(Arc::new(trained), options)?;
    let problem = Problem::new(&setup, observations);
    let posterior = problem.posterior()?;
    let (n, free) = (observations.len(), posterior.free().to_vec());
    let shapes = (values.dim(), covariance.dim());
    let expected = ((n, problem.model.space.len()), (n, free.len(), free.len()));
    if shapes != expected {
        return Err(Error::usage("estimates of an audit").found(format!("{shapes:?}")).expected(format!("{expected:?}")));
    }
    let parameters: Vec<&Parameter> = free.iter().map(|&position| &problem.model.space.parameters[position]).collect();
    let estimate = values.select(Axis(1), &free);
    let start = Array2::from_shape_fn(estimate.dim(), |(star, p)| parameters[p].coordinate_from_file(estimate[[star, p]]));
    let loss = posterior.loss(&(0..n).collect::<Vec<_>>(), start.view())?;
    let runs = Runs { problem: &problem, posterior: &posterior };

    let polished = runs.minimise(&runs.each_once(), start.clone(), &tight())?;
    let members: Vec<usize> = (0..n * audit.starts).map(|row| row / audit.starts).collect();
    let random = runs.minimise(&members, runs.random_starts(audit), &loose())?;
    let winner: Vec<Option<usize>> = (0..n)
        .map(|star| {
            let rows = star * audit.starts..(star + 1) * audit.starts;
            rows.filter(|&row| random.loss[row].is_finite()).min_by(|&a, &b| random.loss[a].total_cmp(&random.loss[b]))
        })
        .collect();
    let from_winner = Array2::from_shape_fn(start.dim(), |(star, p)| match winner[star] {
        Some(row) => random.coordinates[[row, p]],
        None => start[[star, p]],
    });
    let challenger = runs.minimise(&runs.each_once(), from_winner, &tight())?;
    let finite_or_infinite = |loss: f64| if loss.is_finite() { loss } else { f64::INFINITY };
    let wins: Vec<bool> =
        (0..n).map(|star| finite_or_infinite(challenger.loss[star]) < finite_or_infinite(polished.loss[star])).collect();
    let best = Array2::from_shape_fn(start.dim(), |(star, p)| {
        if wins[star] { challenger.coordinates[[star, p]] } else { polished.coordinates[[star, p]] }
    });
    let best_loss: Vec<f64> = (0..n).map(|star| if wins[star] { challenger.loss[star] } else { polished.loss[star] }).collect();
    let separations = problem.separations(&free);
    let second_row = |star: usize| {
        let rows = star * audit.starts..(star + 1) * audit.starts;
        rows.filter(|&row| random.status[row].is_optimum())
            .filter(|&row| random.loss[row] - best_loss[star] <= separations.window)
            .filter(|&row| separations.are_apart(random.coordinates.row(row), best.row(star)))
            .min_by(|&a, &b| random.loss[a].total_cmp(&random.loss[b]))
    };
    let second: Vec<Option<usize>> = (0..n).map(second_row).collect();
    let second_coordinates =
        Array2::from_shape_fn(start.dim(), |(star, p)| second[star].map_or(f64::NAN, |row| random.coordinates[[row, p]]));
    let reached = |star: usize| {
        let rows = star * audit.starts..(star + 1) * audit.starts;
        random.loss[rows].iter().filter(|&&loss| loss - best_loss[star] < EQUAL_LOSS).count() as u32
    };
    let information = posterior.local(&runs.each_once(), start.view(), LocalParts::default())?.information;
    let Covariances { covariance: exact, .. } = problem.covariances(&posterior, &runs.each_once(), start.view(), information)?;
    let error = Array2::from_shape_fn(start.dim(), |(star, p)| exact[[star, p, p]].sqrt());
    let rounding = rounding(&as_fitted.posterior()?, &posterior, &parameters, start.view(), error.view())?;
    Ok(Audit {
        ids: observations.ids.clone(),
        parameters: parameters.iter().map(|p| (p.name.clone(), p.unit.clone(), p.description.clone())).collect(),
        polished: problem.values(&free, polished.coordinates.view()),
        best: problem.values(&free, best.view()),
        second: problem.values(&free, second_coordinates.view()),
        second_delta_loss: (0..n).map(|star| second[star].map_or(f64::NAN, |row| random.loss[row] - best_loss[star])).collect(),
        error,
        rounding,
        n_reached: (0..n).map(reached).collect(),
        covariance_difference: covariance_difference(covariance, &exact),
        estimate,
        loss,
        polished_loss: polished.loss,
        best_loss,
        n_starts: audit.starts,
    })
}

/// For comparing many starts.
fn loose() -> Method {
    let rule = LevenbergMarquardt { max_iterations: 200, loss_precision: 1e-12, ..LevenbergMarquardt::default() };
    Method::LevenbergMarquardt(rule)
}

/// For the optimum itself.
fn tight() -> Method {
    Method::LevenbergMarquardt(LevenbergMarquardt {
        max_iterations: 500,
        gradient_tolerance: 1e-5,
        decrease_tolerance: 1e-10,
        loss_precision: 1e-13,
        ..LevenbergMarquardt::default()
    })
}

/// Runs of the optimiser on stars of one posterior.
struct Runs<'a> {
    problem: &'a Problem<'a>,
    posterior: &'a Posterior<'a>,
}

impl Runs<'_> {
    fn each_once(&self) -> Vec<usize> {
        (0..self.posterior.n_problems()).collect()
    }

    /// From `start [rows, F]`, of which row `i` belongs to star `members[i]`.
    fn minimise(&self, members: &[usize], start: Array2<f64>, method: &Method) -> Result<Solution> {
        let bounds = self.problem.bounds(self.posterior.free());
        minimise_in_chunks(method, &Subset::new(self.posterior, members), start.view(), Some(&bounds), CHUNK)
    }

    /// Coordinates `[N · starts, F]`, star after star.
    fn random_starts(&self, audit: &AuditOptions) -> Array2<f64> {
        let (prior, space) = (self.problem.prior(), &self.problem.model.space);
        let mut coordinates = Array2::zeros((self.posterior.n_problems() * audit.starts, self.posterior.free().len()));
        for (mut block, id) in coordinates.axis_chunks_iter_mut(Axis(0), audit.starts.max(1)).zip(self.problem.ids()) {
            let mut random = ChaCha8Rng::seed_from_u64(hash64(*id, audit.seed));
            let draws = prior.sample(block.nrows(), &mut random);
            for (p, &position) in self.posterior.free().iter().enumerate() {
                let parameter = &space.parameters[position];
                let label = prior.parameters().iter().position(|name| *name == parameter.name);
                for (row, coordinate) in block.column_mut(p).iter_mut().enumerate() {
                    *coordinate = match label {
                        Some(label) => parameter.coordinate(draws[[row, label]]),
                        None => random_coordinate(parameter, &mut random),
                    };
                }
            }
        }
        coordinates
    }
}

/// A coordinate from the parameter's own Gaussian prior, or else uniform over its training range (its
/// logarithm where it is moved so), or else from N(0, 1).
fn random_coordinate(parameter: &Parameter, random: &mut impl Rng) -> f64 {
    let normal: f64 = random.sample(StandardNormal);
    match (parameter.prior, parameter.training_range) {
        (Some(prior), _) if parameter.transform == Transform::Identity => {
            parameter.coordinate(prior.mean + prior.standard_deviation * normal)
        }
        (_, Some([low, high])) if high > 0.0 || parameter.transform == Transform::Identity => {
            let low = if parameter.transform == Transform::Logarithm { low.max(POSITIVE_DRAWS * high) } else { low };
            let (low, high) = (parameter.coordinate(low), parameter.coordinate(high));
            low + (high - low) * random.r#gen::<f64>()
        }
        _ => normal,
    }
}

/// The difference of the Newton steps of two engines at the same coordinates, in σ (`error [N, F]`, file
/// units).
fn rounding(
    found: &Posterior<'_>,
    exact: &Posterior<'_>,
    parameters: &[&Parameter],
    coordinates: ArrayView2<'_, f64>,
    error: ArrayView2<'_, f64>,
) -> Result<Vec<f64>> {
    let stars: Vec<usize> = (0..coordinates.nrows()).collect();
    let (found, exact) = (found.normal_equations(&stars, coordinates)?, exact.normal_equations(&stars, coordinates)?);
    let difference = &found.gradient - &exact.gradient;
    let of_star = |star: usize| {
        let curvature: Vec<f64> = exact.curvature.index_axis(Axis(0), star).iter().copied().collect();
        let Some(inverse) = invert_positive_semidefinite(&curvature, parameters.len()) else { return f64::NAN };
        let rows = inverse.matrix.chunks_exact(parameters.len()).zip(parameters).enumerate();
        largest(rows.map(|(p, (row, parameter))| {
            let step: f64 = row.iter().zip(difference.row(star)).map(|(element, gradient)| element * gradient).sum();
            let per_coordinate = parameter.model_value_slope(coordinates[[star, p]]) / parameter.model_units_per_file_unit;
            (step * per_coordinate / error[[star, p]]).abs()
        }))
    };
    Ok(stars.iter().map(|&star| of_star(star)).collect())
}

/// Largest |C − C₆₄|ᵢⱼ/(σᵢσⱼ) of every star.
fn covariance_difference(found: ArrayView3<'_, f64>, exact: &Array3<f64>) -> Vec<f64> {
    let of_star = |(found, exact): (ArrayView2<'_, f64>, ArrayView2<'_, f64>)| {
        let scale = |p: usize, q: usize| (exact[[p, p]] * exact[[q, q]]).sqrt();
        largest(found.indexed_iter().map(|((p, q), value)| (value - exact[[p, q]]).abs() / scale(p, q)))
    };
    found.axis_iter(Axis(0)).zip(exact.axis_iter(Axis(0))).map(of_star).collect()
}
