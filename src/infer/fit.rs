//! Fitting: starts, optimum, Fisher matrix, exact Hessian and flags for all stars of a set of observations.

use super::estimates::Estimates;
use super::flags;
use super::options::FitOptions;
use super::problem::{Problem, Setup};
use super::searches::{Search, Searches};
use super::start::StartGrid;
use crate::error::Result;
use crate::model::{ForwardModel, LN_CURVE};
use crate::observations::{Observations, ReadOptions};
use crate::optimise::Status;
use crate::optimise::dense::smallest_eigenvalue;
use crate::posterior::{Local, Posterior};
use crate::train::TrainedModel;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rayon::prelude::*;

/// Two optima whose −2 ln P differ by less than this are both likely.
const SECOND_OPTIMUM_DIFFERENCE: f64 = 4.0;
/// … when a label differs by more than this many σ.
const SECOND_OPTIMUM_DISTANCE: f64 = 3.0;

/// How an observation file has to be read for a fit with these options: constraints, offsets and the model's error.
pub fn read_options(trained: &TrainedModel, options: &FitOptions) -> ReadOptions {
    ReadOptions {
        constraints: trained.model.space.parameters.iter().map(|parameter| parameter.name.clone()).collect(),
        model_error: if options.model_error { trained.model.model_error.clone() } else { Vec::new() },
        offsets: options.offsets.clone(),
        ..Default::default()
    }
}

/// A part of a fit that has been finished, for those who measure time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitStage {
    /// Starting points of all stars.
    Start,
    /// Optima from all starts, by this many evaluations of the normal equations of a star.
    Optimum { n_evaluations: u64 },
    /// Covariances, exact Hessians and flags.
    Description,
}

/// Fits every star; for one set of observations after another, make one [`Fitter`].
///
/// # Errors
/// As [`Fitter::new`] and [`Fitter::fit`].
pub fn fit(trained: &TrainedModel, observations: &Observations, options: &FitOptions) -> Result<Estimates> {
    Fitter::new(trained, options)?.fit(observations)
}

/// What a model and options need to fit stars, made once.
pub struct Fitter<'a> {
    setup: Setup<'a>,
    starts: StartGrid,
}

impl<'a> Fitter<'a> {
    /// For a trained model.
    ///
    /// # Errors
    /// When an option names an unknown parameter, every parameter is held, or the model cannot be evaluated.
    pub fn new(trained: &'a TrainedModel, options: &'a FitOptions) -> Result<Self> {
        let setup = Setup::new(trained, options)?;
        let starts = StartGrid::new(&setup.model, &trained.prior, &setup.held, &setup.fixed, &options.start)?;
        Ok(Self { setup, starts })
    }

    /// The model.
    pub fn trained(&self) -> &'a TrainedModel {
        self.setup.trained
    }

    /// The options.
    pub fn options(&self) -> &'a FitOptions {
        self.setup.options
    }

    /// Fits every star.
    ///
    /// # Errors
    /// When model and observations have different data vectors, or the engine fails. A star with too few fluxes is a flagged row of NaN.
    pub fn fit(&self, observations: &Observations) -> Result<Estimates> {
        self.fit_in_stages(observations, &|_| ())
    }

    /// [`Self::fit`], which says at the end of every stage that it is finished.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_in_stages(&self, observations: &Observations, finished: &dyn Fn(FitStage)) -> Result<Estimates> {
        let Self { setup, starts } = self;
        let (trained, options) = (setup.trained, setup.options);
        let problem = Problem::new(setup, observations);
        let posterior = problem.posterior()?;
        let fittable: Vec<usize> =
            (0..observations.len()).filter(|&star| observations.n_fluxes(star) > posterior.free().len()).collect();
        let starts = starts.starts(problem.model, observations, &problem.constraints, &fittable);
        finished(FitStage::Start);
        tracing::debug!("{} stars, {} engine", fittable.len(), posterior.engine_name());

        let bounds = problem.bounds(posterior.free());
        let searches = Searches::run(&posterior, &fittable, &starts, &bounds, options)?;
        finished(FitStage::Optimum { n_evaluations: searches.n_evaluations() });
        let mut estimates = empty(problem.model, &posterior, observations);
        let rows: Vec<usize> = (0..fittable.len()).collect();
        let parts = rows
            .par_chunks(posterior.batch(options.chunk))
            .map(|rows| describe(&problem, trained, &posterior, observations, options, &fittable, &searches, rows))
            .collect::<Result<Vec<_>>>()?;
        for part in parts {
            for (i, &star) in part.stars.iter().enumerate() {
                put(&mut estimates, &part, i, star);
            }
        }
        for star in 0..observations.len() {
            let missing = options.constraints.iter().any(|name| observations.constraint(name, star).is_none());
            estimates.flags[star] |= flags::of_input(observations.input_flags[star]);
            estimates.flags[star] |= if missing { flags::MISSING_CONSTRAINT } else { 0 };
        }
        finished(FitStage::Description);
        Ok(estimates)
    }
}

/// Estimates of a chunk of stars.
struct Part {
    stars: Vec<usize>,
    values: Array2<f64>,
    coordinates: Array2<f64>,
    covariance: Array3<f64>,
    information: Array3<f64>,
    chi_square: Vec<f64>,
    ln_prior: Vec<f64>,
    loss: Vec<f64>,
    eigenvalue: Vec<f64>,
    flags: Vec<i32>,
    n_iterations: Vec<u32>,
    a_550: Vec<f64>,
}

#[allow(clippy::too_many_arguments)]
fn describe(
    problem: &Problem<'_>,
    trained: &TrainedModel,
    posterior: &Posterior<'_>,
    observations: &Observations,
    options: &FitOptions,
    fittable: &[usize],
    searches: &Searches,
    rows: &[usize],
) -> Result<Part> {
    let model = problem.model;
    let (n, f) = (rows.len(), posterior.free().len());
    let stars: Vec<usize> = rows.iter().map(|&row| fittable[row]).collect();
    let best: Vec<Search<'_>> = rows.iter().map(|&row| searches.best(row)).collect();
    let free = Array2::from_shape_fn((n, f), |(i, p)| best[i].coordinate(p));
    let all = posterior.all_coordinates(&stars, free.view());
    let file_factor: Vec<f64> = model.space.parameters.iter().map(|p| p.model_units_per_file_unit).collect();
    let values = Array2::from_shape_fn(all.dim(), |(i, p)| model.space.parameters[p].model_value(all[[i, p]]) / file_factor[p]);
    let Local { chi_square, information, hessian } = posterior.local(&stars, free.view(), options.exact_hessian)?;
    let (information, covariance) = problem.covariances(posterior, &stars, free.view(), information);
    let eigenvalue = match hessian {
        None => vec![f64::NAN; n],
        Some(hessian) => {
            hessian.axis_iter(Axis(0)).map(|h| smallest_eigenvalue(&h.iter().copied().collect::<Vec<_>>(), f)).collect()
        }
    };
    let labels: Vec<usize> = trained.prior.parameters().iter().map(|name| model.space.position(name)).collect::<Result<_>>()?;
    let ln_prior = (0..n)
        .map(|i| trained.prior.ln_density(&labels.iter().map(|&p| values[[i, p]] * file_factor[p]).collect::<Vec<_>>()))
        .collect();
    let curve = curve_at_550(model)?;
    let extinction = model.space.position("extinction").ok();
    let mut part = Part {
        a_550: (0..n)
            .map(|i| match (curve, extinction) {
                // 1.0857 = 2.5/ln 10 turns an optical depth into magnitudes.
                (Some(curve), Some(p)) => 2.5 / std::f64::consts::LN_10 * curve * values[[i, p]],
                _ => f64::NAN,
            })
            .collect(),
        loss: best.iter().map(Search::loss).collect(),
        n_iterations: best.iter().map(Search::n_iterations).collect(),
        flags: vec![0; n],
        stars,
        values,
        coordinates: all,
        covariance,
        information,
        chi_square,
        ln_prior,
        eigenvalue,
    };
    for i in 0..n {
        let second = searches.of(rows[i]).any(|search| is_second_optimum(search, best[i], posterior, &part, i, model));
        part.flags[i] = quality(model, trained, observations, posterior, &part, i, best[i].status(), second);
    }
    Ok(part)
}

/// Whether a search ended nearly as well as the best, at labels far from it.
fn is_second_optimum(
    search: Search<'_>,
    best: Search<'_>,
    posterior: &Posterior<'_>,
    part: &Part,
    i: usize,
    model: &ForwardModel,
) -> bool {
    search.has_converged()
        && search.loss() - best.loss() < SECOND_OPTIMUM_DIFFERENCE
        && posterior.free().iter().enumerate().any(|(p, &position)| {
            let parameter = &model.space.parameters[position];
            let value = parameter.model_value(search.coordinate(p)) / parameter.model_units_per_file_unit;
            let error = part.covariance[[i, p, p]].sqrt();
            parameter.is_label && (value - part.values[[i, position]]).abs() > SECOND_OPTIMUM_DISTANCE * error
        })
}

#[allow(clippy::too_many_arguments)]
fn quality(
    model: &ForwardModel,
    trained: &TrainedModel,
    observations: &Observations,
    posterior: &Posterior<'_>,
    part: &Part,
    i: usize,
    status: Status,
    second_optimum: bool,
) -> i32 {
    let star = part.stars[i];
    let degrees = observations.n_fluxes(star) as f64 - posterior.free().len() as f64;
    let parallax = model.space.position("parallax").ok().zip(observations.constraint("parallax", star));
    let outside = model.space.parameters.iter().enumerate().any(|(p, parameter)| {
        let value = part.values[[i, p]] * parameter.model_units_per_file_unit;
        parameter.is_label && parameter.training_range.is_some_and(|[low, high]| !(low..=high).contains(&value))
    });
    [
        (part.chi_square[i] > flags::LARGEST_REDUCED_CHI_SQUARE * degrees, flags::POOR_FIT),
        (trained.prior.ln_density_threshold().is_some_and(|limit| part.ln_prior[i] < limit), flags::UNLIKELY_LABELS),
        (
            parallax
                .is_some_and(|(p, (value, error))| (part.values[[i, p]] - value).abs() > flags::LARGEST_PARALLAX_PULL * error),
            flags::PARALLAX_DISAGREES,
        ),
        (!matches!(status, Status::Converged | Status::AtBound), flags::NOT_CONVERGED),
        (part.eigenvalue[i] <= 0.0, flags::NOT_A_MINIMUM),
        (outside, flags::OUTSIDE_TRAINING_RANGE),
        (second_optimum, flags::SECOND_OPTIMUM),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .fold(0, |sum, (_, flag)| sum | flag)
}

/// R at 550 nm, interpolated in ln R against ln λ; `None` without an extinction curve or outside its range.
fn curve_at_550(model: &ForwardModel) -> Result<Option<f64>> {
    if !model.weights.names().iter().any(|name| name == LN_CURVE) {
        return Ok(None);
    }
    let ln_curve = model.weights.values(LN_CURVE)?;
    let mut points: Vec<(f64, f64)> = model.grid.wavelength.iter().map(|nm| nm.ln()).zip(ln_curve).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = 550.0_f64.ln();
    Ok(points.windows(2).find(|pair| pair[0].0 <= at && at <= pair[1].0).map(|pair| {
        let fraction = (at - pair[0].0) / (pair[1].0 - pair[0].0);
        (pair[0].1 + fraction * (pair[1].1 - pair[0].1)).exp()
    }))
}

/// Rows of NaN, for stars that cannot be fitted.
fn empty(model: &ForwardModel, posterior: &Posterior<'_>, observations: &Observations) -> Estimates {
    let (n, p, f) = (observations.len(), model.space.len(), posterior.free().len());
    let nan = || vec![f64::NAN; n];
    let describe =
        |parameter: &crate::model::Parameter| (parameter.name.clone(), parameter.unit.clone(), parameter.description.clone());
    Estimates {
        ids: observations.ids.clone(),
        parameters: model.space.parameters.iter().map(describe).collect(),
        fitted: posterior.free().to_vec(),
        values: Array2::from_elem((n, p), f64::NAN),
        coordinates: Array2::from_elem((n, p), f64::NAN),
        covariance: Array3::from_elem((n, f, f), f64::NAN),
        information: Array3::from_elem((n, f, f), f64::NAN),
        chi_square: nan(),
        degrees_of_freedom: (0..n).map(|star| observations.n_fluxes(star) as i32 - f as i32).collect(),
        ln_prior: nan(),
        ln_posterior: nan(),
        smallest_eigenvalue: nan(),
        flags: vec![flags::NOT_FITTED; n],
        n_iterations: vec![0; n],
        a_550: nan(),
    }
}

fn put(estimates: &mut Estimates, part: &Part, i: usize, star: usize) {
    let row = |view: ArrayView2<'_, f64>| view.row(i).to_owned();
    estimates.values.row_mut(star).assign(&row(part.values.view()));
    estimates.coordinates.row_mut(star).assign(&row(part.coordinates.view()));
    estimates.covariance.index_axis_mut(Axis(0), star).assign(&part.covariance.index_axis(Axis(0), i));
    estimates.information.index_axis_mut(Axis(0), star).assign(&part.information.index_axis(Axis(0), i));
    estimates.chi_square[star] = part.chi_square[i];
    estimates.ln_prior[star] = part.ln_prior[i];
    estimates.ln_posterior[star] = -0.5 * part.loss[i];
    estimates.smallest_eigenvalue[star] = part.eigenvalue[i];
    estimates.flags[star] = part.flags[i];
    estimates.n_iterations[star] = part.n_iterations[i];
    estimates.a_550[star] = part.a_550[i];
}
