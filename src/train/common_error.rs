//! The model's error common to all wavelengths, estimated from the validation stars.
//!
//! The colours of an emulator are known to the flux errors; the luminosity of a star of given labels only as well as noisy
//! labels and parallaxes of the training stars could tell, and like stars share that error. It goes into the surface gravity
//! first. The fractional error σ_c, C + σ_c² f fᵀ, is the one with which the label whose errors it widens most, fitted to the
//! validation stars without labels, differs from its measurement by what both errors promise: MAD-σ of
//! (x − x̂)/√(σ_x² + σ_x̂²) = 1. Zero where it differs by no more than that within twice the Monte-Carlo error.

use super::recipe::Recipe;
use super::state::TrainingState;
use crate::error::Result;
use crate::observations::Observations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::optimise::{Method, minimise_in_chunks};
use crate::posterior::{Posterior, Terms};
use ndarray::Axis;

/// Largest number of stars used.
const STARS: usize = 3000;
/// Common error with which the label that it widens most is found.
const TRIAL: f64 = 0.05;
/// Largest common error that is looked for.
const LARGEST: f64 = 0.2;
/// Halvings of the range.
const HALVINGS: usize = 7;
/// Constraint of the fits.
const PARALLAX: &str = "parallax";

/// Common fractional error of the model from the kept validation stars.
pub(super) fn estimate(state: &TrainingState, observations: &Observations, recipe: &Recipe) -> Result<f64> {
    let stars = state.stars(true);
    if stars.is_empty() {
        return Ok(0.0);
    }
    let stars: Vec<usize> = stars.iter().copied().step_by(stars.len().div_ceil(STARS).max(1)).collect();
    let sample = Sample {
        state,
        data: observations.select(&stars),
        constraints: if recipe.data.constraints.iter().any(|name| name == PARALLAX) { vec![PARALLAX.into()] } else { Vec::new() },
        stars,
    };
    let (without, with) = (sample.scatters(0.0)?, sample.scatters(TRIAL)?);
    // The label whose errors a common error widens most: the one that stands for the luminosity.
    let relief = |label: usize| without[label].0 - with[label].0;
    let labels = state.model.space.label_positions();
    let Some(label) = labels.into_iter().max_by(|&a, &b| relief(a).total_cmp(&relief(b))) else { return Ok(0.0) };
    let (scatter, n) = without[label];
    if scatter <= 1.0 + 2.0 * 1.17 / (2.0 * n.max(1) as f64).sqrt() {
        return Ok(0.0);
    }
    let (mut low, mut high) = (0.0, LARGEST);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if sample.scatters(middle)?[label].0 > 1.0 { low = middle } else { high = middle }
    }
    Ok(high)
}

struct Sample<'a> {
    state: &'a TrainingState,
    stars: Vec<usize>,
    data: Observations,
    constraints: Vec<String>,
}

impl Sample<'_> {
    /// MAD-σ of the pulls of every measured label, and the number of stars, for a common error.
    fn scatters(&self, common_error: f64) -> Result<Vec<(f64, usize)>> {
        let data = Observations { common_error, ..self.data.clone() };
        let (model, p) = (&self.state.model, self.state.model.space.len());
        let terms = Terms { constraints: &self.constraints, mixture: None, jacobians: false };
        let start = self.state.coordinates.select(Axis(0), &self.stars);
        let posterior = Posterior::new(model, &data, &terms, &[], start.clone())?;
        let solution = minimise_in_chunks(&Method::default(), &posterior, start.view(), None, 256)?;
        let all: Vec<usize> = (0..self.stars.len()).collect();
        let information = posterior.local(&all, solution.coordinates.view(), false)?.information;
        let mut pulls = vec![Vec::new(); p];
        for star in all {
            let matrix: Vec<f64> = information.index_axis(Axis(0), star).iter().copied().collect();
            let Some(covariance) = invert_positive_semidefinite(&matrix, p) else { continue };
            for position in model.space.label_positions() {
                let parameter = &model.space.parameters[position];
                let Some((measured, error)) = data.constraint(&parameter.name, star) else { continue };
                let factor = parameter.model_units_per_file_unit;
                let value = parameter.model_value(solution.coordinates[[star, position]]);
                let variance = covariance.matrix[position * (p + 1)] + (error * factor).powi(2);
                pulls[position].push(((value - measured * factor) / variance.sqrt()).abs());
            }
        }
        Ok(pulls.into_iter().map(|pulls| (pulls.len(), median_to_sigma(pulls))).map(|(n, scatter)| (scatter, n)).collect())
    }
}

/// 1.4826 times the median of absolute pulls.
pub(super) fn median_to_sigma(mut pulls: Vec<f64>) -> f64 {
    // Infinite pulls count: they sort last.
    pulls.retain(|pull| !pull.is_nan());
    pulls.sort_by(f64::total_cmp);
    pulls.get(pulls.len() / 2).map_or(0.0, |median| 1.4826 * median)
}
