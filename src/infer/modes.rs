//! The optima of a star as modes of its posterior, with their weights by Laplace's approximation.
//!
//! The mass of a mode is its height times √((2π)^F det C), in the measure of the flat priors; a Gaussian in
//! an amount counts as far as it lies above zero.

use super::problem::Problem;
use crate::error::Result;
use crate::model::Transform;
use crate::optimise::NormalEquations;
use crate::optimise::dense::{cholesky_in_place, invert_positive_semidefinite};
use crate::posterior::Posterior;
use crate::sampling::Mode;
use ndarray::{Array2, ArrayView2, Axis};

/// The optima of one star, the best first.
pub(super) struct Modes {
    modes: Vec<Optimum>,
}

struct Optimum {
    /// Free coordinates `[F]` of the mean of the local Gaussian, inside of the bounds.
    centre: Vec<f64>,
    covariance: Vec<f64>,
    loss: f64,
    /// ln of its mass, up to a constant.
    ln_mass: f64,
}

impl Modes {
    /// Of several stars at once: row `i` of `coordinates [n, F]` is an optimum of `stars[i]`; optima of one
    /// star follow one another, the best first.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn of(
        problem: &Problem<'_>,
        posterior: &Posterior<'_>,
        stars: &[usize],
        coordinates: ArrayView2<'_, f64>,
    ) -> Result<Vec<Self>> {
        if stars.is_empty() {
            return Ok(Vec::new());
        }
        let normal = posterior.normal_equations(stars, coordinates)?;
        let bounds = problem.bounds(posterior.free());
        let parameters: Vec<_> = posterior.free().iter().map(|&position| &problem.model.space.parameters[position]).collect();
        let f = parameters.len();
        let mut found: Vec<Self> = Vec::new();
        for (row, &star) in stars.iter().enumerate() {
            let point = coordinates.row(row);
            let curvature: Vec<f64> = normal.curvature.index_axis(Axis(0), row).iter().map(|c| 0.5 * c).collect();
            let covariance = invert_positive_semidefinite(&curvature, f).map_or_else(|| identity(f), |inverse| inverse.matrix);
            // The density in the logarithm u of x is that in x times x.
            let is_logarithm = |p: usize| parameters[p].transform == Transform::Logarithm;
            let pull: Vec<f64> = (0..f).map(|p| if is_logarithm(p) { parameters[p].scale } else { 0.0 }).collect();
            let ln_jacobian: f64 =
                (0..f).filter(|&p| is_logarithm(p)).map(|p| parameters[p].centre + parameters[p].scale * point[p]).sum();
            let centre = (0..f)
                .map(|p| {
                    let shift: f64 = (0..f).map(|q| covariance[p * f + q] * pull[q]).sum();
                    (point[p] + shift).clamp(bounds.lower[p], bounds.upper[p])
                })
                .collect();
            let mut ln_mass = -0.5 * normal.loss[row] + ln_jacobian + half_ln_determinant(&covariance, f);
            for p in (0..f).filter(|&p| bounds.lower[p].is_finite() && parameters[p].is_amount() && !is_logarithm(p)) {
                let sigma = covariance[p * f + p].sqrt();
                let above = (point[p] - bounds.lower[p]) / sigma;
                let slope = if above <= 0.0 { 0.5 * sigma * normal.gradient[[row, p]].max(0.0) } else { 0.0 };
                ln_mass += ln_part_above(above, slope);
            }
            let optimum = Optimum { centre, covariance, loss: normal.loss[row], ln_mass };
            match found.last_mut().filter(|_| row > 0 && stars[row - 1] == star) {
                Some(last) => last.modes.push(optimum),
                None => found.push(Self { modes: vec![optimum] }),
            }
        }
        Ok(found)
    }

    /// −2 ln P of the best.
    pub fn loss(&self) -> f64 {
        self.modes[0].loss
    }

    /// Masses, normalised.
    pub fn weights(&self) -> Vec<f64> {
        let most = self.modes.iter().map(|mode| mode.ln_mass).fold(f64::NEG_INFINITY, f64::max);
        let masses: Vec<f64> = self.modes.iter().map(|mode| (mode.ln_mass - most).exp()).collect();
        let total: f64 = masses.iter().sum();
        masses.into_iter().map(|mass| mass / total).collect()
    }

    /// As local Gaussians.
    pub fn gaussians(&self) -> Vec<Mode> {
        let of_mode = |(mode, weight): (&Optimum, f64)| Mode {
            centre: mode.centre.clone(),
            covariance: mode.covariance.clone(),
            weight: if weight.is_finite() { weight } else { 1.0 },
        };
        self.modes.iter().zip(self.weights()).map(of_mode).collect()
    }
}

fn identity(n: usize) -> Vec<f64> {
    Array2::<f64>::eye(n).into_iter().collect()
}

fn half_ln_determinant(matrix: &[f64], n: usize) -> f64 {
    let mut factor = matrix.to_vec();
    if !cholesky_in_place(&mut factor, n) {
        return f64::NEG_INFINITY;
    }
    (0..n).map(|i| factor[i * n + i].ln()).sum()
}

/// ln of ∫ φ(t + α) dt over t ≥ −a, over φ(α): the part of a Gaussian above its bound, which lies `above` (a)
/// standard deviations below the optimum, or at it where −2 ln P rises with 2α.
fn ln_part_above(above: f64, alpha: f64) -> f64 {
    if alpha > 25.0 {
        return -(alpha * (2.0 * std::f64::consts::PI).sqrt()).ln();
    }
    0.5 * alpha * alpha + crate::statistics::normal_cdf(above.max(0.0) - alpha).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the integral of exp(−½ t² − α t) over t ≥ −a, divided by √(2π).
    #[test]
    fn the_part_of_a_gaussian_above_its_bound_is_that_of_the_integral() {
        for (above, alpha) in [(0.0, 0.0), (1.3, 0.0), (6.0, 0.0), (0.0, 0.7), (0.0, 5.0), (0.0, 24.0), (0.0, 26.0)] {
            let step = 1e-4 / (1.0 + alpha);
            let n = ((above + 12.0) / step) as usize;
            let integral: f64 =
                (0..n).map(|k| (k as f64 + 0.5) * step - above).map(|t| (-0.5 * t * t - alpha * t).exp() * step).sum();
            let expected = (integral / (2.0 * std::f64::consts::PI).sqrt()).ln();
            let found = ln_part_above(above, alpha);
            assert!((found - expected).abs() < 2e-3, "{above} {alpha}: {found} {expected}");
        }
    }
}
