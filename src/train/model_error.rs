//! The model's own error per wavelength, estimated from the validation stars.
//!
//! No emulator is exact: stars with equal labels differ in rotation, abundances, activity or an unseen companion. The
//! fractional error m_w of the flux is the one with which the residuals of the validation stars, fitted with all their
//! constraints, have the scatter that the errors promise: MAD-σ of (f − f̂)/√(σ² + m²f²) = √(1 − P/W), where P/W is the share
//! of the residual variance that the star's own P parameters take up. It is stored with the model and added to the diagonal of
//! the flux covariance when stars are fitted. Zero where the residuals are no larger than their errors.

use super::state::TrainingState;
use crate::error::Result;
use crate::observations::Observations;
use ndarray::Axis;

/// Largest fractional error that is looked for.
const LARGEST: f64 = 1.0;

/// Fractional model error per wavelength `[W]` from the kept validation stars.
///
/// `already` is the fractional error that the observations' errors contain (the recipe's); the estimate includes it.
pub(super) fn estimate(state: &TrainingState, observations: &Observations, already: f64) -> Result<Vec<f64>> {
    let stars = state.stars(true);
    let predicted = state.model.predict(state.coordinates.select(Axis(0), &stars).view())?;
    let n_parameters = state.model.space.len() as f64;
    Ok((0..state.model.grid.len())
        .map(|w| {
            let mut residuals = Vec::new();
            for (row, &star) in stars.iter().enumerate() {
                let error = f64::from(observations.flux_error[[star, w]]);
                if error.is_finite() {
                    let flux = f64::from(observations.flux[[star, w]]);
                    let target = (1.0 - n_parameters / observations.n_fluxes(star) as f64).max(0.1).sqrt();
                    let variance = (error * error - (already * flux).powi(2)).max(0.0);
                    residuals.push(((flux - predicted[[row, w]]) / target, variance, flux));
                }
            }
            fractional_error(&residuals)
        })
        .collect())
}

/// m with MAD-σ of r/√(σ² + m²f²) = 1 for residuals `(r, σ², f)`, by bisection.
fn fractional_error(residuals: &[(f64, f64, f64)]) -> f64 {
    let scatter = |m: f64| {
        let mut pulls: Vec<f64> =
            residuals.iter().map(|(r, variance, f)| (r / (variance + (m * f).powi(2)).sqrt()).abs()).collect();
        pulls.retain(|pull| pull.is_finite());
        pulls.sort_by(f64::total_cmp);
        pulls.get(pulls.len() / 2).map_or(0.0, |median| 1.4826 * median)
    };
    if scatter(0.0) <= 1.0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, LARGEST);
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
    }
}
