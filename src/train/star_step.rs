//! The star step: the stars' own parameters, global weights fixed (eqs. 13–14).

use super::recipe::Recipe;
use super::state::TrainingState;
use crate::error::Result;
use crate::observations::Observations;
use crate::optimise::{Method, Problems, Subset, minimise_in_chunks};
use crate::posterior::{Posterior, Terms};
use ndarray::Axis;
use rayon::prelude::*;

/// Stars per chunk: small enough for the tensors of a chunk to stay in a core's cache, and for a batch to occupy two cores.
const CHUNK: usize = 256;

/// Moves the named stars towards their optimum with `method`.
pub(super) fn minimise(
    state: &mut TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    stars: &[usize],
    method: &Method,
) -> Result<()> {
    let terms = Terms { constraints: &recipe.data.constraints, mixture: None, jacobians: recipe.loss.jacobians };
    let posterior = Posterior::new(&state.model, observations, &terms, &[], state.coordinates.clone())?;
    let subset = Subset::new(&posterior, stars);
    let start = state.coordinates.select(Axis(0), stars);
    let solution = minimise_in_chunks(method, &subset, start.view(), None, CHUNK)?;
    for (row, &star) in stars.iter().enumerate() {
        state.coordinates.row_mut(star).assign(&solution.coordinates.row(row));
    }
    Ok(())
}

/// One step of gradient descent of the named stars; the gradient to a parameter, over these stars, is scaled down to the norm
/// `largest` where it is larger.
pub(super) fn descend(
    state: &mut TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    stars: &[usize],
    learning_rate: f64,
    largest: Option<f64>,
) -> Result<()> {
    let mut gradient = {
        let terms = Terms { constraints: &recipe.data.constraints, mixture: None, jacobians: recipe.loss.jacobians };
        let posterior = Posterior::new(&state.model, observations, &terms, &[], state.coordinates.clone())?;
        posterior.gradient(stars, state.coordinates.select(Axis(0), stars).view())?.1
    };
    gradient.mapv_inplace(|slope| if slope.is_finite() { slope } else { 0.0 });
    for mut column in gradient.columns_mut() {
        let norm = column.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        if let Some(largest) = largest.filter(|&largest| norm > largest) {
            column.mapv_inplace(|slope| slope * largest / norm);
        }
    }
    for (row, &star) in stars.iter().enumerate() {
        state.coordinates.row_mut(star).scaled_add(-learning_rate, &gradient.row(row));
    }
    Ok(())
}

/// Sum of the full losses (flux and constraints) of the named stars where they are; the flux part robust as in the global step.
pub(super) fn loss(state: &TrainingState, observations: &Observations, recipe: &Recipe, stars: &[usize]) -> Result<f64> {
    let terms = Terms { constraints: &recipe.data.constraints, mixture: None, jacobians: recipe.loss.jacobians };
    let posterior = Posterior::new(&state.model, observations, &terms, &[], state.coordinates.clone())?;
    let parts = stars
        .par_chunks(CHUNK)
        .map(|stars| {
            let coordinates = state.coordinates.select(Axis(0), stars);
            let flux = posterior.flux_chi_square(stars, coordinates.view())?;
            let prior = posterior.prior_loss(stars, coordinates.view());
            let total = |(chi_square, prior): (&f64, &f64)| {
                if chi_square.is_finite() { recipe.loss.robust_value(*chi_square) + prior } else { f64::INFINITY }
            };
            Ok(flux.iter().zip(&prior).map(total).sum::<f64>())
        })
        .collect::<Result<Vec<f64>>>()?;
    Ok(parts.into_iter().sum())
}
