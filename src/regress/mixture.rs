//! The mixture density of absolute magnitudes (Li et al. 2025, eqs. 7–9): a network says, of each star, the
//! fraction α of single stars, their magnitude μ₁ ± σ₁, and that of equal binaries μ₂ ± σ₂, μ₂ < μ₁.
//!
//! ```text
//! P(ϖ) = ∫ [α N(M; μ₁, σ₁) + (1 − α) N(M; μ₂, σ₂)] N(ϖ; 10^((M − m + 10)/5), σ_ϖ) dM
//! ```
//!
//! The factor of M that the print of eq. 8 has is a prior that the mixture has already; it is left out. The
//! integral is a sum over nodes that a star's parallax chooses, not the network: it can be differentiated.

use super::target::{default_magnitude, default_parallax};
use serde::{Deserialize, Serialize};

/// A mixture network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureOfMagnitudes {
    #[serde(default = "default_parallax")]
    pub parallax: String,
    #[serde(default = "default_magnitude")]
    pub magnitude: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extinction: Option<String>,
}

/// Magnitudes between which a star may be.
const RANGE: [f64; 2] = [-10.0, 18.0];
/// Nodes of the integral.
pub(super) const NODES: usize = 192;
/// Least scatter of a component, mag: below it the nodes of stars without a good parallax would be too far
/// apart (28 mag / 191 = 0.15 mag, for which the sum of a Gaussian of σ ≥ 0.1 mag is right to 1e-4).
pub(super) const LEAST_SCATTER: f64 = 0.1;

/// Offsets lie between zero and this, mag: two equal stars are 2.5 log₁₀ 2 = 0.753 brighter than one, which
/// is the middle, three 1.19.
pub(super) const LARGEST_OFFSET: f64 = 1.505_149_978_319_906;
/// ln 9: networks begin with a tenth of pairs. Where they begin decides where they end: with halves of equal
/// rank, one makes the faint and the other the bright stars its own, and of five trainings none finds the
/// pairs.
pub(super) const FIRST_LOGIT: f64 = 2.197_224_577_336_219_6;
/// softplus⁻¹ of 0.2: they begin with scatters of 0.3 mag.
pub(super) const FIRST_SCATTER: f64 = -1.507_771_554_548_797_2;
/// What outputs other than the magnitude are multiplied by: these follow it, rather than share in its first
/// large steps.
pub(super) const PACE: f64 = 0.3;

/// Nodes of a star: magnitudes and ln of weight times likelihood of its parallax, up to the constant
/// −½ ln(2π σ_ϖ²).
///
/// They reach over the parallaxes within seven errors of the measured one, as far as these are possible.
pub(super) fn nodes(magnitude: f64, parallax: f64, error: f64) -> Vec<[f64; 2]> {
    let at = |parallax: f64| match parallax > 0.0 {
        true => (magnitude - 10.0 + 5.0 * parallax.log10()).clamp(RANGE[0], RANGE[1]),
        false => RANGE[0],
    };
    let (low, high) = (at(parallax - 7.0 * error), at(parallax + 7.0 * error));
    // A parallax that no star can have leaves a narrow window at the end of the range, not none.
    let (low, high) = if high - low > 1e-3 { (low, high) } else { ((high - 0.5).max(RANGE[0]), (low + 0.5).min(RANGE[1])) };
    let step = (high - low) / (NODES - 1) as f64;
    (0..NODES)
        .map(|k| {
            let m = low + step * k as f64;
            let residual = (parallax - 10f64.powf((m - magnitude + 10.0) / 5.0)) / error;
            let end = if k == 0 || k == NODES - 1 { 0.5_f64.ln() } else { 0.0 };
            [m, step.ln() + end - 0.5 * residual * residual]
        })
        .collect()
}

/// What the outputs of a network stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    pub single_fraction: f64,
    pub single: f64,
    pub binary: f64,
    pub single_scatter: f64,
    pub binary_scatter: f64,
}

impl Mixture {
    /// From outputs, given centre and scale of magnitudes; as `super::objective` has it on tensors.
    pub fn of_outputs(outputs: &[f64], centre: f64, scale: f64) -> Self {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let single = centre + scale * outputs[1];
        Self {
            single_fraction: logistic(FIRST_LOGIT + PACE * outputs[0]),
            single,
            binary: single - LARGEST_OFFSET * logistic(PACE * outputs[2]),
            single_scatter: LEAST_SCATTER + softplus(FIRST_SCATTER + PACE * outputs[3]),
            binary_scatter: LEAST_SCATTER + softplus(FIRST_SCATTER + PACE * outputs[4]),
        }
    }

    /// ln of the two terms of P(ϖ), without the constant of [`nodes`].
    pub(super) fn terms(&self, nodes: &[[f64; 2]]) -> [f64; 2] {
        let component = |fraction: f64, centre: f64, scatter: f64| {
            let logs = nodes.iter().map(|[m, ln]| ln - 0.5 * ((m - centre) / scatter).powi(2));
            let all: Vec<f64> = logs.collect();
            let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = all.iter().map(|ln| (ln - largest).exp()).sum();
            largest + sum.ln() + (fraction / scatter).ln() - 0.5 * std::f64::consts::TAU.ln()
        };
        [
            component(self.single_fraction, self.single, self.single_scatter),
            component(1.0 - self.single_fraction, self.binary, self.binary_scatter),
        ]
    }

    /// ln P(ϖ) of a star (apparent magnitude, parallax and its error in mas).
    pub fn ln_likelihood(&self, magnitude: f64, parallax: f64, error: f64) -> f64 {
        let [single, binary] = self.terms(&nodes(magnitude, parallax, error));
        let largest = single.max(binary);
        largest + ((single - largest).exp() + (binary - largest).exp()).ln() - error.ln() - 0.5 * std::f64::consts::TAU.ln()
    }

    /// P_binary of a star.
    pub fn binary_probability(&self, magnitude: f64, parallax: f64, error: f64) -> f64 {
        let [single, binary] = self.terms(&nodes(magnitude, parallax, error));
        1.0 / (1.0 + (single - binary).exp())
    }
}

impl MixtureOfMagnitudes {
    /// Parameters of catalogues.
    pub const PARAMETERS: [&'static str; 5] =
        ["absolute_magnitude", "binary_offset", "single_fraction", "single_scatter", "binary_scatter"];

    /// A mixture of parameters in this order.
    pub(super) fn mixture(parameters: [f64; 5]) -> Mixture {
        let [single, offset, single_fraction, single_scatter, binary_scatter] = parameters;
        Mixture { single_fraction, single, binary: single - offset, single_scatter, binary_scatter }
    }

    /// The parameters of a mixture, in this order.
    pub(super) fn parameters(mixture: &Mixture) -> [f64; 5] {
        [mixture.single, mixture.single - mixture.binary, mixture.single_fraction, mixture.single_scatter, mixture.binary_scatter]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANCHOR: Mixture =
        Mixture { single_fraction: 0.85, single: 6.0, binary: 5.3, single_scatter: 0.12, binary_scatter: 0.12 };

    /// Spec 3 A.6: without the printed factor.
    #[test]
    fn anchors_of_the_specification() {
        for (magnitude, expected, tolerance) in [(16.0, 3.4e-5, 5e-7), (15.7, 0.058216, 5e-7), (15.3, 0.999749, 5e-7)] {
            let found = ANCHOR.binary_probability(magnitude, 1.0, 0.05);
            assert!((found - expected).abs() < tolerance, "m = {magnitude}: {found}");
        }
    }

    /// The sum over nodes against one of 200 000 over the whole range, for good, bad, negative and impossible
    /// parallaxes.
    #[test]
    fn likelihoods_are_the_integral() {
        let wide = Mixture { single_fraction: 0.6, single: 1.2, binary: 0.4, single_scatter: 0.1, binary_scatter: 0.3 };
        for mixture in [ANCHOR, wide] {
            for (magnitude, parallax, error) in
                [(10.0, 6.0, 0.02), (16.0, 1.0, 0.05), (18.0, 0.1, 0.2), (18.5, -0.3, 0.2), (15.0, 0.6, 0.3), (12.0, 2.5, 0.05)]
            {
                let n = 200_000;
                let step = (RANGE[1] - RANGE[0]) / f64::from(n);
                let normal = |x: f64, s: f64| (-0.5 * (x / s).powi(2)).exp() / (s * std::f64::consts::TAU.sqrt());
                let sum: f64 = (0..=n)
                    .map(|k| {
                        let m = RANGE[0] + step * f64::from(k);
                        let prior = mixture.single_fraction * normal(m - mixture.single, mixture.single_scatter)
                            + (1.0 - mixture.single_fraction) * normal(m - mixture.binary, mixture.binary_scatter);
                        prior * normal(parallax - 10f64.powf((m - magnitude + 10.0) / 5.0), error) * step
                    })
                    .sum();
                let found = mixture.ln_likelihood(magnitude, parallax, error);
                // Beyond seven errors the integral is below 1e-11 of a likelihood.
                let is_likely = sum > 1e-8;
                assert!(!is_likely || (found - sum.ln()).abs() < 2e-3, "{magnitude} {parallax} {error}: {found} {}", sum.ln());
                assert!(found.is_finite());
            }
        }
    }
}
