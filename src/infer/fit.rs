//! Fitting: starts, optimum, Fisher matrix, exact Hessian and flags for all stars of a set of observations.

use super::calibration::ZeroPoints;
use super::engine::Engine;
use super::estimates::Estimates;
use super::flags;
use super::options::FitOptions;
use super::rivals::{Search, Searches};
use super::start::StartGrid;
use crate::error::Result;
use crate::model::{ForwardModel, LN_CURVE, Transform};
use crate::observations::{Observations, ReadOptions};
use crate::optimise::dense::{invert_positive_semidefinite, smallest_eigenvalue};
use crate::optimise::{Bounds, Status};
use crate::posterior::{Local, Posterior, Terms};
use crate::train::TrainedModel;
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Two optima whose −2 ln P differ by less than this are both likely.
const SECOND_OPTIMUM_DIFFERENCE: f64 = 4.0;
/// … when a label differs by more than this many σ.
const SECOND_OPTIMUM_DISTANCE: f64 = 3.0;

/// Range of parameters that are moved as logarithms, in model units.
const POSITIVE_RANGE: [f64; 2] = [1e-4, 1e4];

/// How an observation file has to be read for a fit with these options: constraints, offsets and the model's error.
pub fn read_options(trained: &TrainedModel, options: &FitOptions) -> ReadOptions {
    ReadOptions {
        constraints: trained.model.space.parameters.iter().map(|parameter| parameter.name.clone()).collect(),
        model_error: if options.model_error { trained.model.model_error.clone() } else { Vec::new() },
        offsets: options.offsets.clone(),
        ..Default::default()
    }
}

/// Fits every star.
///
/// # Errors
/// When model and observations have different data vectors, an option names an unknown parameter, or the engine fails. A star
/// with too few fluxes is a flagged row of NaN.
pub fn fit(trained: &TrainedModel, observations: &Observations, options: &FitOptions) -> Result<Estimates> {
    options.validate()?;
    let mut model = trained.model.clone();
    for (name, transform) in &options.transforms {
        model.set_transform(name, *transform)?;
    }
    for name in options.offsets.keys() {
        model.space.position(name).map_err(|error| error.within("fit options"))?;
    }
    let constraints: Vec<String> =
        options.constraints.iter().filter(|name| observations.constraints.contains_key(*name)).cloned().collect();
    let mut fixed = vec![0.0; model.space.len()];
    let mut held = Vec::new();
    for (name, &value) in &options.hold {
        let position = model.space.position(name)?;
        let parameter = &mut model.space.parameters[position];
        if value <= 0.0 && parameter.transform == Transform::Logarithm {
            // A positive parameter held at zero has no logarithm; held, it needs none.
            parameter.transform = Transform::Identity;
        }
        fixed[position] = parameter.coordinate(value * parameter.model_units_per_file_unit);
        held.push(position);
    }
    let template = Array2::from_shape_fn((observations.len(), model.space.len()), |(_, p)| fixed[p]);
    let terms = Terms {
        constraints: &constraints,
        mixture: options.mixture_prior.then_some(&trained.prior),
        jacobians: options.jacobians,
    };
    let held_names: Vec<String> = options.hold.keys().cloned().collect();
    let posterior = Posterior::new(&model, observations, &terms, &held_names, template)?;
    let posterior = if options.engine == Engine::Auto { posterior } else { posterior.with_tensors() };
    let grid = StartGrid::new(&model, &trained.prior, &held, &fixed, &options.start)?;
    let starts = grid.starts(&model, observations, &constraints);

    let fittable: Vec<usize> =
        (0..observations.len()).filter(|&star| observations.n_fluxes(star) > posterior.free().len()).collect();
    let bounds = bounds(&model, posterior.free());
    let starts: Vec<Array2<f64>> = fittable.iter().map(|&star| starts[star].clone()).collect();
    let searches = Searches::run(&posterior, &fittable, &starts, &bounds, options)?;
    let mut estimates = empty(&model, &posterior, observations);
    let rows: Vec<usize> = (0..fittable.len()).collect();
    let parts = rows
        .par_chunks(posterior.batch(options.chunk))
        .map(|rows| describe(&model, trained, &posterior, observations, options, &fittable, &searches, rows))
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
    Ok(estimates)
}

/// Bounds of the free coordinates, far outside of what data prefer: they stop ln E of a star without dust on its way to −∞, and
/// labels where the network was never trained.
fn bounds(model: &ForwardModel, free: &[usize]) -> Bounds {
    let limits = free.iter().map(|&position| {
        let parameter = &model.space.parameters[position];
        match (parameter.transform, parameter.training_range) {
            (Transform::Logarithm, _) => (parameter.coordinate(POSITIVE_RANGE[0]), parameter.coordinate(POSITIVE_RANGE[1])),
            (Transform::Identity, Some([low, high])) if parameter.is_label => {
                let width = high - low;
                (parameter.coordinate(low - width), parameter.coordinate(high + width))
            }
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        }
    });
    let (lower, upper) = limits.unzip();
    Bounds { lower, upper }
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
    model: &ForwardModel,
    trained: &TrainedModel,
    posterior: &Posterior<'_>,
    observations: &Observations,
    options: &FitOptions,
    fittable: &[usize],
    searches: &Searches,
    rows: &[usize],
) -> Result<Part> {
    let (n, f) = (rows.len(), posterior.free().len());
    let stars: Vec<usize> = rows.iter().map(|&row| fittable[row]).collect();
    let best: Vec<Search<'_>> = rows.iter().map(|&row| searches.best(row)).collect();
    let free = Array2::from_shape_fn((n, f), |(i, p)| best[i].coordinate(p));
    let all = posterior.all_coordinates(&stars, free.view());
    let file_factor: Vec<f64> = model.space.parameters.iter().map(|p| p.model_units_per_file_unit).collect();
    let values = Array2::from_shape_fn(all.dim(), |(i, p)| model.space.parameters[p].model_value(all[[i, p]]) / file_factor[p]);
    let Local { chi_square, mut information, hessian } = posterior.local(&stars, free.view(), options.exact_hessian)?;
    let mut covariance = Array3::from_elem((n, f, f), f64::NAN);
    let zero_points = model.calibration.as_ref().filter(|_| options.model_error).map(|calibration| ZeroPoints {
        calibration,
        space: &model.space,
        free: posterior.free(),
        constraints: &options.constraints,
    });
    for i in 0..n {
        for (p, &a) in posterior.free().iter().enumerate() {
            for (q, &b) in posterior.free().iter().enumerate() {
                information[[i, p, q]] *= file_factor[a] * file_factor[b];
            }
        }
        let flat: Vec<f64> = information.slice(s![i, .., ..]).iter().copied().collect();
        if let Some(mut inverse) = invert_positive_semidefinite(&flat, f) {
            if let Some(zero_points) = &zero_points {
                zero_points.widen(observations, stars[i], &values.row(i).to_vec(), &mut inverse.matrix);
            }
            covariance.slice_mut(s![i, .., ..]).iter_mut().zip(inverse.matrix).for_each(|(to, from)| *to = from);
        }
    }
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
