//! The error of an amount whose optimum lies at zero, where its posterior is a part of a Gaussian.
//!
//! With a flat prior on E ≥ 0 and −2 ln P = g E + E²/σ² + const above the optimum E = 0, the posterior of E
//! is a Gaussian of width σ about −g σ²/2, cut at zero. Its root mean square about zero is the error: σ √(1 +
//! α² − α λ(α)) with α = g σ/2 and λ = φ/(1 − Φ), the inverse Mills ratio. It is σ for g = 0, where an
//! optimum inside begins, and tends to 2√2/g where the data speak against any dust. Where the model's own
//! errors widen σ, the centre stays. The other parameters follow E as they do in the covariance: what is
//! added to Var E is added along with it.
//!
//! What stars share moves the centre of the Gaussian, and by so much less the estimate: an error of the
//! centre counts as ⟨E²⟩/σ² of itself, in the other parameters along with E.

use libm::erfc;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// ⟨E²⟩/σ² of a Gaussian of unit width about −α, cut at zero.
fn mean_square(alpha: f64) -> f64 {
    if alpha > 25.0 {
        // 1 + α² − αλ cancels; the series of the Mills ratio does not.
        let x = (alpha * alpha).recip();
        return 2.0 * x * (1.0 - 5.0 * x + 37.0 * x * x);
    }
    let mills = (2.0 / PI).sqrt() * (-0.5 * alpha * alpha).exp() / erfc(alpha * FRAC_1_SQRT_2);
    1.0 + alpha * (alpha - mills)
}

/// Changes a covariance `[n, n]` (row-wise) for the parameter `p` at its lower bound of zero, where −2 ln P
/// has the slope `slope`, per unit of the parameter. `formal` is the variance of the parameter that belongs
/// to the slope, before the model's own errors widened it: the slope says that the Gaussian is centred on
/// −slope · `formal`/2, however wide it is.
/// `shared` is the part of the covariance that like stars share.
pub(super) fn truncate((covariance, shared): (&mut [f64], &mut [f64]), n: usize, p: usize, slope: f64, formal: f64) {
    let variance = covariance[p * n + p];
    if !(variance > 0.0 && variance.is_finite() && slope.is_finite() && formal.is_finite()) {
        return;
    }
    let change = mean_square(0.5 * slope.max(0.0) * formal / variance.sqrt()) - 1.0;
    let with: Vec<f64> = (0..n).map(|q| covariance[p * n + q]).collect();
    for i in 0..n {
        for j in 0..n {
            covariance[i * n + j] += change * with[i] * with[j] / variance;
        }
    }
    // x → x + change · (with/variance) E, of what is shared: from both sides.
    let along: Vec<f64> = with.iter().map(|with| change * with / variance).collect();
    let row: Vec<f64> = (0..n).map(|q| shared[p * n + q]).collect();
    let own = row[p];
    for i in 0..n {
        for j in 0..n {
            shared[i * n + j] += along[i] * row[j] + row[i] * along[j] + along[i] * along[j] * own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the integral of the cut Gaussian.
    #[test]
    fn mean_squares_are_those_of_the_integral() {
        for alpha in [0.0, 0.3, 1.0, 4.0, 12.0, 24.9, 25.1, 80.0] {
            let n = 200_000;
            let step = (30.0 / (1.0 + alpha)) / n as f64;
            let (mut sum, mut norm) = (0.0, 0.0);
            for k in 0..n {
                let x = (k as f64 + 0.5) * step;
                let density = (-0.5 * x * x - alpha * x).exp();
                sum += x * x * density;
                norm += density;
            }
            let expected = sum / norm;
            assert!((mean_square(alpha) / expected - 1.0).abs() < 1e-3 / (1.0 + alpha) + 2e-5, "{alpha}: {expected}");
        }
    }

    #[test]
    fn the_other_parameters_follow() {
        // x = E + noise of variance 1, Var E = 4.
        let mut covariance = vec![4.0, 4.0, 4.0, 5.0];
        // Of that, an error of E of 1 is shared, in which x follows.
        let mut shared = vec![1.0, 1.0, 1.0, 1.0];
        truncate((&mut covariance, &mut shared), 2, 0, 0.0, 4.0);
        assert_eq!(covariance, [4.0, 4.0, 4.0, 5.0], "an optimum at zero without a slope has the whole error");
        assert_eq!(shared, [1.0; 4]);
        truncate((&mut covariance, &mut shared), 2, 0, 1.5, 4.0);
        let part = mean_square(1.5).powi(2);
        assert!(shared.iter().all(|value| (value - part).abs() < 1e-12), "{shared:?}");
        let variance = 4.0 * mean_square(1.5);
        let expected = [variance, variance, variance, variance + 1.0];
        assert!(covariance.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{covariance:?}");
        // Widened fourfold, with the centre where it was: −1.5 · 4/2 = −3, which is 0.75 of the new width
        // of 4.
        let mut covariance = vec![16.0];
        truncate((&mut covariance, &mut [0.0]), 1, 0, 1.5, 4.0);
        assert!((covariance[0] / (16.0 * mean_square(0.75)) - 1.0).abs() < 1e-12);
    }
}
