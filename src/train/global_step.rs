//! The global step: the mean flux loss of a batch of stars, held fixed, and its gradient for the global
//! weights (eq. 12).
//!
//! The prediction is taped; χ² and its cotangent ∂χ²/∂f = 2 LᵀL(f − f_obs) are computed on the host in f64
//! from the packed whitening, and the tape is entered with ⟨f, cotangent⟩, whose gradient is that of χ². So
//! no dense [W, W] matrix per star is ever built.

use super::recipe::LossRecipe;
use crate::error::{Error, Result};
use crate::model::ForwardModel;
use crate::observations::Observations;
use crate::tensor::{Descent, Order, to_f64};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What a batch contributed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BatchLoss {
    /// Sum of the (robust) flux losses.
    pub sum: f64,
    /// Number of finite fluxes.
    pub n_fluxes: usize,
}

impl BatchLoss {
    pub fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.n_fluxes += other.n_fluxes;
    }

    /// Loss per finite flux; NaN where no star has a finite loss.
    pub fn mean(&self) -> f64 {
        if self.n_fluxes == 0 { f64::NAN } else { self.sum / self.n_fluxes as f64 }
    }
}

impl LossRecipe {
    /// The robust loss of a χ².
    pub(super) fn robust_value(&self, chi_square: f64) -> f64 {
        self.robust(chi_square).0
    }

    /// Derivative of the robust loss to χ².
    pub(super) fn robust_slope(&self, chi_square: f64) -> f64 {
        self.robust(chi_square).1
    }

    /// Robust loss F·asinh(χ²/F) and its derivative to χ²; χ² itself for F = 0.
    fn robust(&self, chi_square: f64) -> (f64, f64) {
        let scale = self.robust_scale;
        if scale == 0.0 {
            return (chi_square, 1.0);
        }
        let ratio = chi_square / scale;
        (scale * ratio.asinh(), 1.0 / ratio.hypot(1.0))
    }
}

/// One step of the weights of `model`, which must live on a taped device, for the named stars; `strengths`
/// are those of the penalties, `weights [N]` those of all stars, if they do not count alike.
///
/// # Errors
/// `Numerical` where a predicted flux is not finite.
#[allow(clippy::too_many_arguments)]
pub(super) fn step(
    model: &mut ForwardModel,
    descent: &mut Descent,
    observations: &Observations,
    (stars, weights): (&[usize], Option<&[f64]>),
    coordinates: &Array2<f64>,
    loss: &LossRecipe,
    strengths: &BTreeMap<String, f64>,
    learning_rate: f64,
    largest_gradient: Option<f64>,
) -> Result<BatchLoss> {
    let flat: Vec<f64> = coordinates.select(Axis(0), stars).into_iter().collect();
    let points = model.device().tensor(&flat, [stars.len(), model.space.len()]);
    let predicted = model.flux(points, &[], Order::Value)?.value;
    let host = to_f64(predicted.clone());
    if host.iter().any(|flux| !flux.is_finite()) {
        return Err(Error::numerical("global step")
            .found("a predicted flux that is not finite")
            .remedy("Lower the learning rate."));
    }
    let (batch, cotangent) = flux_loss(observations, stars, &host, loss);
    let shares = shares(stars, weights);
    let cotangent: Vec<f64> = cotangent
        .chunks_exact(model.grid.len())
        .zip(shares)
        .flat_map(|(row, share)| row.iter().map(move |value| value * share))
        .collect();
    let mut total = (predicted * model.device().tensor(&cotangent, [stars.len(), model.grid.len()])).sum();
    if let Some(penalty) = model.penalty(strengths)? {
        total = total + penalty;
    }
    descent.step(&mut model.weights, total, learning_rate, largest_gradient);
    Ok(batch)
}

/// What each star of a batch is of its mean; a batch without any weight moves nothing.
fn shares(stars: &[usize], weights: Option<&[f64]>) -> Vec<f64> {
    let weight = |&star: &usize| weights.map_or(1.0, |weights| weights[star]);
    let total: f64 = stars.iter().map(weight).sum();
    stars.iter().map(|star| if total > 0.0 { weight(star) / total } else { 0.0 }).collect()
}

/// The flux loss of the named stars at their coordinates.
pub(super) fn evaluate(
    model: &ForwardModel,
    observations: &Observations,
    stars: &[usize],
    coordinates: &Array2<f64>,
    loss: &LossRecipe,
) -> Result<BatchLoss> {
    let parts: Vec<BatchLoss> = stars
        .par_chunks(512)
        .map(|stars| {
            let predicted = model.predict(coordinates.select(Axis(0), stars).view())?;
            Ok(flux_loss(observations, stars, predicted.as_slice().unwrap_or(&[]), loss).0)
        })
        .collect::<Result<_>>()?;
    let mut sum = BatchLoss::default();
    parts.into_iter().for_each(|part| sum.add(part));
    Ok(sum)
}

/// Summed loss and its derivative to the predicted flux `[n, W]`. A star whose χ² is not finite adds neither.
fn flux_loss(observations: &Observations, stars: &[usize], predicted: &[f64], loss: &LossRecipe) -> (BatchLoss, Vec<f64>) {
    let w = observations.grid.len();
    let mut cotangent = vec![0.0; stars.len() * w];
    let parts: Vec<BatchLoss> = stars
        .par_iter()
        .zip(predicted.par_chunks_exact(w))
        .zip(cotangent.par_chunks_exact_mut(w))
        .with_min_len(64)
        .map(|((&star, predicted), cotangent)| {
            let residual: Vec<f64> =
                predicted.iter().zip(observations.flux.row(star)).map(|(f, &observed)| f - f64::from(observed)).collect();
            let mut whitened = vec![0.0; w];
            observations.whitening.whiten(star, &residual, &mut whitened);
            let chi_square: f64 = whitened.iter().map(|value| value * value).sum();
            if !chi_square.is_finite() {
                return BatchLoss::default();
            }
            let (value, slope) = loss.robust(chi_square);
            observations.whitening.transpose_whiten(star, &whitened, cotangent);
            cotangent.iter_mut().for_each(|value| *value *= 2.0 * slope);
            BatchLoss { sum: value, n_fluxes: observations.n_fluxes(star) }
        })
        .collect();
    let mut sum = BatchLoss::default();
    parts.into_iter().for_each(|part| sum.add(part));
    (sum, cotangent)
}
