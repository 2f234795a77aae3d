//! The Jacobian of a flat prior on x > 0 in the coordinate u = ln x.
//!
//! A flat density in x is p(u) ∝ x in u, hence the terms −2 ln ϖ − 2 ln E of Zhang, Green & Rix 2023, eqs. 13
//! and 19: they make the optimum in (ln ϖ, ln E) that of the stated priors, and keep E away from zero.

use super::Term;

/// The term −2 ln x = −2u at `u` = ln x.
///
/// It is linear in u, so its own second derivative is zero. The curvature returned, 2, is that of what
/// balances it: at the optimum the data D have ∂D/∂u = 2, and ∂²D/∂u² = x² D'' + x D' exceeds its
/// Gauss–Newton part x² D'' by x D' = ∂D/∂u = 2. Without it the optimiser would overshoot for stars whose E
/// is consistent with zero. An exact Hessian must not include it.
pub fn positivity(u: f64) -> Term {
    Term { loss: -2.0 * u, gradient: -2.0, curvature: 2.0 }
}

/// The x > 0 that minimises ((x − x̂)/σ)² − 2 ln x: (x̂ + √(x̂² + 4σ²))/2.
///
/// So the optimum in ln E is not that in E: a reddening of 0 ± σ comes out as σ. Inference without the
/// Jacobian terms has no such shift.
pub fn maximum_a_posteriori(value: f64, error: f64) -> f64 {
    let root = value.hypot(2.0 * error);
    // For negative x̂ the sum would cancel; (x̂ + √…)(√… − x̂) = 4σ².
    if value < 0.0 { 2.0 * error * error / (root - value) } else { 0.5 * (value + root) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 1 §7: MAP of E with (Ê, σ) = (0, 0.05), (0.1, 0.05), (−0.1, 0.05).
    #[test]
    fn closed_form_of_the_optimum() {
        for ((value, error), expected) in [((0.0, 0.05), 0.05), ((0.1, 0.05), 0.12071), ((-0.1, 0.05), 0.02071)] {
            assert!((maximum_a_posteriori(value, error) - expected).abs() < 5e-6);
        }
        // Far on the negative side the optimum tends to σ²/|x̂|.
        assert!((maximum_a_posteriori(-1e9, 1.0) * 1e9 - 1.0).abs() < 1e-12);
    }
}
