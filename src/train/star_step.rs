//! The star step: the stars' own parameters, global weights fixed (eqs. 13–14).

use super::recipe::Recipe;
use super::state::TrainingState;
use crate::error::Result;
use crate::learn::Judged;
use crate::observations::Observations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::optimise::{Method, NormalEquations, Problems, Subset, minimise_in_chunks};
use crate::posterior::{Posterior, Terms};
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

/// Stars per chunk: small enough for the tensors of a chunk to stay in a core's cache, and for a batch to
/// occupy two cores.
const CHUNK: usize = 256;

/// The loss of the stars, whose measured parallaxes are those that the binaries among them leave.
pub(super) fn posterior<'a>(
    state: &'a TrainingState,
    observations: &'a Observations,
    recipe: &'a Recipe,
) -> Result<Posterior<'a>> {
    posterior_holding(state, observations, recipe, &[])
}

/// The same, with the parameters in `held` where they are.
pub(super) fn posterior_holding<'a>(
    state: &'a TrainingState,
    observations: &'a Observations,
    recipe: &'a Recipe,
    held: &[String],
) -> Result<Posterior<'a>> {
    let terms = Terms { constraints: &recipe.data.constraints, mixture: None, jacobians: recipe.loss.jacobians };
    let posterior = Posterior::around(&state.model, observations, &terms, (&state.coordinates, held))?;
    let distance = state.model.space.distance_position().map(|position| &state.model.space.parameters[position].name);
    match state.binaries.as_ref().zip(distance) {
        Some((binaries, name)) => posterior.with_measured(name, &binaries.constraint),
        None => Ok(posterior),
    }
}

/// Moves the named stars towards their optimum with `method`.
pub(super) fn minimise(
    state: &mut TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    stars: &[usize],
    method: &Method,
) -> Result<()> {
    minimise_holding(state, observations, recipe, (stars, &[]), method)
}

/// The same, with the parameters in `held` where they are.
pub(super) fn minimise_holding(
    state: &mut TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    (stars, held): (&[usize], &[String]),
    method: &Method,
) -> Result<()> {
    let (solution, free) = {
        let posterior = posterior_holding(state, observations, recipe, held)?;
        let subset = Subset::new(&posterior, stars);
        let start = posterior.free_coordinates(state.coordinates.select(Axis(0), stars).view());
        let solution = minimise_in_chunks(method, &subset, start.view(), None, CHUNK)?;
        (solution.coordinates, posterior.free().to_vec())
    };
    for (row, &star) in stars.iter().enumerate() {
        free.iter().enumerate().for_each(|(column, &position)| state.coordinates[[star, position]] = solution[[row, column]]);
    }
    Ok(())
}

/// One step of gradient descent of the named stars; the gradient to a parameter, over these stars, is scaled
/// down to the norm `largest` where it is larger.
pub(super) fn descend(
    state: &mut TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    (stars, held): (&[usize], &[String]),
    learning_rate: f64,
    largest: Option<f64>,
) -> Result<()> {
    let (mut gradient, free) = {
        let posterior = posterior_holding(state, observations, recipe, held)?;
        let here = posterior.free_coordinates(state.coordinates.select(Axis(0), stars).view());
        (posterior.gradient(stars, here.view())?.1, posterior.free().to_vec())
    };
    gradient.mapv_inplace(|slope| if slope.is_finite() { slope } else { 0.0 });
    for mut column in gradient.columns_mut() {
        let norm = column.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        if let Some(largest) = largest.filter(|&largest| norm > largest) {
            column.mapv_inplace(|slope| slope * largest / norm);
        }
    }
    for (row, &star) in stars.iter().enumerate() {
        let steps = free.iter().zip(gradient.row(row));
        steps.for_each(|(&position, slope)| state.coordinates[[star, position]] -= learning_rate * slope);
    }
    Ok(())
}

/// Variance of the coordinate of parameter `position` of the named stars, all others free, where the stars
/// are; `None` where the data and the priors do not tell it.
pub(super) fn variances(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    of: (usize, &[usize]),
) -> Result<Vec<Option<f64>>> {
    variances_at(state, observations, recipe, of, state.coordinates.view())
}

/// The same, were the stars at `coordinates`.
pub(super) fn variances_at(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    (position, stars): (usize, &[usize]),
    coordinates: ArrayView2<'_, f64>,
) -> Result<Vec<Option<f64>>> {
    let p = state.model.space.len();
    let posterior = posterior(state, observations, recipe)?;
    let mut all = Vec::with_capacity(stars.len());
    for chunk in stars.chunks(2 * CHUNK) {
        let normal = posterior.normal_equations(chunk, coordinates.select(Axis(0), chunk).view())?;
        all.extend(normal.curvature.outer_iter().map(|curvature| {
            let half: Vec<f64> = curvature.iter().map(|value| 0.5 * value).collect();
            Some(invert_positive_semidefinite(&half, p)?.matrix[position * p + position])
        }));
    }
    Ok(all)
}

/// Losses of stars where they are, each per finite flux; the flux part robust as in the global step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Losses {
    /// Of the fluxes.
    pub flux: f64,
    /// Of the fluxes and the constraints.
    pub whole: f64,
    /// Stars whose loss is not finite; they are not in the means.
    pub n_lost: usize,
}

impl Losses {
    /// Whether these are lower than `other`, of the same stars: a state that loses stars is not.
    pub fn lower_than(&self, other: &Self) -> bool {
        self.judged().lower_than(&other.judged())
    }

    /// As what says which epoch is the best.
    pub fn judged(&self) -> Judged {
        Judged { loss: self.whole, n_lost: self.n_lost }
    }

    pub fn is_finite(&self) -> bool {
        self.flux.is_finite() && self.whole.is_finite()
    }
}

/// The losses of the named stars.
pub(super) fn losses(state: &TrainingState, observations: &Observations, recipe: &Recipe, stars: &[usize]) -> Result<Losses> {
    let posterior = posterior(state, observations, recipe)?;
    let parts = stars
        .par_chunks(CHUNK)
        .map(|stars| {
            let coordinates = state.coordinates.select(Axis(0), stars);
            let flux = posterior.flux_chi_square(stars, coordinates.view())?;
            let prior = posterior.prior_loss(stars, coordinates.view());
            let mut sum = Sum::default();
            for (&star, (chi_square, prior)) in stars.iter().zip(flux.iter().zip(prior)) {
                sum.add(recipe.loss.robust_value(*chi_square), prior, observations.n_fluxes(star));
            }
            Ok(sum)
        })
        .collect::<Result<Vec<Sum>>>()?;
    let total = |pick: fn(&Sum) -> f64| parts.iter().map(pick).sum::<f64>();
    let n_fluxes = total(|sum| sum.n_fluxes as f64);
    Ok(Losses {
        flux: total(|sum| sum.flux) / n_fluxes,
        whole: total(|sum| sum.flux + sum.prior) / n_fluxes,
        n_lost: parts.iter().map(|sum| sum.n_lost).sum(),
    })
}

#[derive(Default)]
struct Sum {
    flux: f64,
    prior: f64,
    n_fluxes: usize,
    n_lost: usize,
}

impl Sum {
    fn add(&mut self, flux: f64, prior: f64, n_fluxes: usize) {
        if (flux + prior).is_finite() {
            self.flux += flux;
            self.prior += prior;
            self.n_fluxes += n_fluxes;
        } else {
            self.n_lost += 1;
        }
    }
}
