//! Dust: optical depth E·R(λ), with an optional one-parameter family of extinction curves.
//!
//! ln R(λ; ξ) = b(λ) + tanh(ξ)·s(λ), ξ ~ N(0, 1), s = 0 in the bands listed (spec 1 §1; Zhang, Green & Rix 2023, eq. 3 and
//! sec. 6). (E, R) has an exact scale degeneracy that only measured reddenings break; (b, s, ξ) a shift degeneracy.

use super::closed_form::ClosedForm;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{GaussianPrior, Parameter, Transform};
use crate::error::Result;
use crate::observations::Grid;
use crate::tensor::{Device, Tensor, WeightSpecification, Weights};
use serde::{Deserialize, Serialize};

/// Subtracts E·R(λ; ξ) from ln flux. E is moved as ln E, which keeps it positive, unless a run chooses otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extinction {
    /// Whether the shape of the curve varies from star to star (parameter `xi`).
    #[serde(default)]
    pub variation: bool,
    /// Bands (names) whose R does not vary.
    #[serde(default = "mid_infrared")]
    pub fixed_bands: Vec<String>,
}

fn mid_infrared() -> Vec<String> {
    vec!["w1".into(), "w2".into()]
}

/// Name of the tensor b(λ) = ln R(λ; ξ = 0), shape `[W]`.
pub const LN_CURVE: &str = "extinction.ln_curve";
/// Name of the tensor s(λ), shape `[W]`.
pub const CURVE_VARIATION: &str = "extinction.variation";

impl Effect for Extinction {
    const KIND: &'static str = "extinction";

    fn parameters(&self) -> Vec<Parameter> {
        let amount = Parameter::new("extinction", "mag", "amount of dust E, in the unit of the training reddenings");
        let mut parameters = vec![amount.with_transform(Transform::Logarithm)];
        if self.variation {
            let prior = Some(GaussianPrior { mean: 0.0, standard_deviation: 1.0 });
            parameters.push(Parameter { prior, ..Parameter::new("xi", "", "variation of the extinction curve") });
        }
        parameters
    }

    /// R starts from the power law 2.9 (λ/550 nm)^−1.4, close to the mean Galactic curve in E(B−V).
    fn weights(&self, grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        let initial = grid.wavelength.iter().map(|nm| 2.9_f64.ln() - 1.4 * (nm / 550.0).ln()).collect();
        let mut weights = vec![WeightSpecification { name: LN_CURVE.into(), shape: vec![grid.len()], initial }];
        if self.variation {
            // A small slope in 1/λ breaks the symmetry ξ → −ξ: positive ξ steepens the curve.
            let initial = grid.wavelength.iter().map(|nm| 0.05 * (550.0 / nm - 1.0)).collect();
            weights.push(WeightSpecification { name: CURVE_VARIATION.into(), shape: vec![grid.len()], initial });
        }
        weights
    }

    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        use crate::tensor::Jet;
        let mut ln_curve = Jet::constant(weights.get::<1>(LN_CURVE)?.unsqueeze());
        if self.variation {
            let slope = weights.get::<1>(CURVE_VARIATION)? * star.device().tensor(&self.varies(grid), [grid.len()]);
            ln_curve = ln_curve.add(&star.value("xi")?.tanh().mul(&Jet::constant(slope.unsqueeze())));
        }
        let optical_depth = star.value("extinction")?.mul(&ln_curve.exp());
        Ok(flux.multiply_exp(&optical_depth.scale(-1.0)))
    }

    fn wavelength_weights(&self) -> Vec<String> {
        vec![LN_CURVE.into()]
    }

    fn closed_form(&self, grid: &Grid) -> Option<ClosedForm> {
        let variation = self.variation.then(|| ("xi".into(), CURVE_VARIATION.into(), self.varies(grid)));
        Some(ClosedForm::Dust { amount: "extinction".into(), ln_curve: LN_CURVE.into(), variation })
    }

    fn penalty_names(&self) -> &'static [&'static str] {
        &["extinction_smoothness", "infrared_power_law"]
    }

    /// `extinction_smoothness`: mean square of the second derivative of ln R in x = 1 µm/λ.
    ///
    /// `infrared_power_law`: the same in ln λ beyond 900 nm. Extinction there is a power law (Cardelli, Clayton & Mathis 1989,
    /// eq. 2), which the data cannot say: a grey part of R trades off against the parallaxes of dusty, distant stars, and W1 and
    /// W2 feel it most.
    fn penalty(&self, name: &str, weights: &Weights, grid: &Grid, device: &Device) -> Result<Tensor<1>> {
        let (limit, abscissa): (f64, fn(f64) -> f64) = match name {
            "infrared_power_law" => (INFRARED, f64::ln),
            _ => (0.0, |nm| 1e3 / nm),
        };
        let members: Vec<usize> = (0..grid.len()).filter(|&i| grid.wavelength[i] > limit).collect();
        let rows = second_difference(&members.iter().map(|&i| abscissa(grid.wavelength[i])).collect::<Vec<f64>>());
        if rows.is_empty() {
            return Ok(weights.get::<1>(LN_CURVE)?.sum() * 0.0);
        }
        let mut operator = vec![0.0; rows.len() * grid.len()];
        for (row, values) in rows.iter().enumerate() {
            for (&member, value) in members.iter().zip(values) {
                operator[row * grid.len() + member] = *value;
            }
        }
        let operator = device.tensor(&operator, [rows.len(), grid.len()]);
        let bend = operator.matmul(weights.get::<1>(LN_CURVE)?.unsqueeze_dim(1));
        Ok((bend.clone() * bend).mean())
    }
}

impl Extinction {
    /// 1 where R varies with ξ, 0 in the fixed bands.
    fn varies(&self, grid: &Grid) -> Vec<f64> {
        grid.names.iter().map(|name| if self.fixed_bands.contains(name) { 0.0 } else { 1.0 }).collect()
    }
}

/// Wavelengths (nm) beyond which extinction is taken for a power law.
const INFRARED: f64 = 900.0;

/// Rows of the second-derivative operator on unevenly spaced points (`n − 2` rows of `n`); empty for fewer than three points.
fn second_difference(x: &[f64]) -> Vec<Vec<f64>> {
    let order = {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
        // Bands at the same wavelength count once.
        order.dedup_by(|a, b| x[*a] == x[*b]);
        order
    };
    order
        .windows(3)
        .map(|at| {
            let (left, right) = (x[at[1]] - x[at[0]], x[at[2]] - x[at[1]]);
            let mut row = vec![0.0; x.len()];
            row[at[0]] = 2.0 / (left * (left + right));
            row[at[1]] = -2.0 / (left * right);
            row[at[2]] = 2.0 / (right * (left + right));
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_difference_is_exact_for_a_parabola() {
        let x = [0.3, 1.1, 0.5, 2.0, 1.4];
        for row in second_difference(&x) {
            let bend: f64 = row.iter().zip(&x).map(|(weight, x)| weight * (3.0 * x * x - x + 2.0)).sum();
            assert!((bend - 6.0).abs() < 1e-10);
        }
    }
}
