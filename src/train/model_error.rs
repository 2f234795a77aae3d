//! The model's own error per wavelength, estimated from the testing stars (those validation stars that did
//! not stop the training).
//!
//! No emulator is exact: stars with equal labels differ in rotation, abundances, activity or an unseen
//! companion. The fractional error m_w of the flux is the one with which the residuals of these stars, fitted
//! with all their constraints, have the scatter that the errors promise: MAD-σ of (f − f̂)/(t √(σ² + m²f²)) =
//! 1, where t² = 1 − (J A⁻¹ Jᵀ)_ww/σ² is the share of the variance that the star's own parameters leave in
//! the residual (A: half the curvature of the star's loss). It is stored with the model and added to the
//! diagonal of the flux covariance when stars are fitted. Zero where the residuals are no larger than their
//! errors within twice the Monte-Carlo error of a MAD.

use super::recipe::Recipe;
use super::star_step;
use super::state::{Part, TrainingState};
use crate::error::Result;
use crate::observations::Observations;
use crate::optimise::NormalEquations;
use crate::optimise::dense::{cholesky_in_place, solve_lower_in_place};
use crate::statistics::scatter_about_zero;
use crate::tensor::{Order, to_f64};
use crate::warning::warn_once;
use ndarray::Axis;

/// The fractional error that is looked for first; larger ones are found by doubling, up to the second number.
const SOUGHT: [f64; 2] = [1.0, 1e6];

/// Smallest share of the variance that a residual may keep: below it, the star's parameters follow that one
/// flux.
const SMALLEST_SHARE: f64 = 0.1;

/// Fractional model error per wavelength `[W]` from the kept testing stars.
///
/// `recipe.data.fractional_error` is in the observations' errors already; the estimate includes it.
pub(super) fn estimate(state: &TrainingState, observations: &Observations, recipe: &Recipe) -> Result<Vec<f64>> {
    let (w, p) = (state.model.grid.len(), state.model.space.len());
    let already = recipe.data.fractional_error;
    let posterior = star_step::posterior(state, observations, recipe)?;
    let free: Vec<usize> = (0..p).collect();
    let mut residuals = vec![Vec::new(); w];
    for stars in state.stars(Part::Testing).chunks(512) {
        let coordinates = state.coordinates.select(Axis(0), stars);
        let normal = posterior.normal_equations(stars, coordinates.view())?;
        let flat: Vec<f64> = coordinates.iter().copied().collect();
        let jet = state.model.flux(state.model.device().tensor(&flat, [stars.len(), p]), &free, Order::First)?;
        let predicted = to_f64(jet.value.clone());
        let jacobian = jet.jacobian(p).map_or_else(|| vec![0.0; stars.len() * p * w], to_f64);
        for (row, &star) in stars.iter().enumerate() {
            let mut factor: Vec<f64> = normal.curvature.index_axis(Axis(0), row).iter().map(|value| 0.5 * value).collect();
            if !cholesky_in_place(&mut factor, p) {
                continue;
            }
            for (i, residuals) in residuals.iter_mut().enumerate() {
                let error = f64::from(observations.flux_error[[star, i]]);
                if !error.is_finite() {
                    continue;
                }
                let mut column: Vec<f64> = (0..p).map(|q| jacobian[(row * p + q) * w + i]).collect();
                solve_lower_in_place(&factor, p, &mut column);
                let taken_up: f64 = column.iter().map(|value| value * value).sum::<f64>() / (error * error);
                let share = (1.0 - taken_up).max(SMALLEST_SHARE).sqrt();
                let flux = f64::from(observations.flux[[star, i]]);
                let variance = (error * error - (already * flux).powi(2)).max(0.0);
                residuals.push(((flux - predicted[row * w + i]) / share, variance, flux));
            }
        }
    }
    let errors: Vec<f64> = residuals.iter().map(|residuals| fractional_error(residuals)).collect();
    for (name, error) in state.model.grid.names.iter().zip(&errors).filter(|(_, error)| **error > 1.0) {
        let percent = 100.0 * error;
        warn_once(format!(
            "the model's error of '{name}' is {percent:.0} % of the flux: it says nothing there (units, or a band's zero-point?)"
        ));
    }
    Ok(errors)
}

/// m with MAD-σ of r/√(σ² + m²f²) = 1 for residuals `(r, σ², f)`, by bisection.
fn fractional_error(residuals: &[(f64, f64, f64)]) -> f64 {
    let scatter = |m: f64| {
        let pulls: Vec<f64> = residuals.iter().map(|(r, variance, f)| r / (variance + (m * f).powi(2)).sqrt()).collect();
        scatter_about_zero(&pulls)
    };
    // The standard error of MAD-σ is 1.17/√(2n).
    if scatter(0.0) <= 1.0 + 2.0 * 1.17 / (2.0 * residuals.len().max(1) as f64).sqrt() {
        return 0.0;
    }
    let [mut high, most] = SOUGHT;
    while scatter(high) > 1.0 && high < most {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if scatter(middle) > 1.0 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn a_known_model_error_is_recovered_and_none_is_invented() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut draw = |m: f64| -> Vec<(f64, f64, f64)> {
            (0..20_000)
                .map(|_| {
                    let (flux, error) = (random.gen_range(1.0..9.0_f64), random.gen_range(0.01..0.2_f64));
                    let normal: f64 = random.sample(rand_distr::StandardNormal);
                    (normal * (error * error + (m * flux).powi(2)).sqrt(), error * error, flux)
                })
                .collect()
        };
        assert!((fractional_error(&draw(0.03)) / 0.03 - 1.0).abs() < 0.03);
        assert!(fractional_error(&draw(0.0)) < 2e-3);
        // A model that says nothing is off by more than the flux; that is what is reported.
        assert!((fractional_error(&draw(7.0)) / 7.0 - 1.0).abs() < 0.03);
    }
}
