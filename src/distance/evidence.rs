//! How probable a parallax is for a star whose absolute magnitude is known up to a Gaussian: ∫ N(M; μ, s)
//! N(ϖ; 10^((M − m + 10)/5), σ_ϖ) dM (Li et al. 2025, eq. 8, without its Jacobian), as an integral over x =
//! ln d.

use super::measurements::Measurements;
use super::posterior::{Density, Workspace};
use super::prior::DistancePrior;
use crate::statistics::Measured;

/// Half the number of nodes, half a width apart: the trapezoidal rule for what falls like a Gaussian errs by
/// e^(−8π²).
const HALF: i32 = 16;
/// Widths between nodes.
const SPACING: f64 = 0.5;
/// ln of the integrand, relative to its maximum, that may be left at the ends.
const ENDS: f64 = -20.0;

/// An integral, and the moments of x in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// ln of the integral, in mas⁻¹.
    pub ln: f64,
    pub mean: f64,
    pub variance: f64,
}

/// The probability density of `parallax` (mas) for a star of ln d = `ln_distance`.
pub fn evidence(parallax: Measured, ln_distance: Measured, workspace: &mut Workspace) -> Evidence {
    let measurements = Measurements { parallax: Some(parallax), ln_distance: Some(ln_distance), of_pair: None };
    let value = |x: f64| measurements.ln_likelihood(x, (-x).exp());
    let from_prior = measurements.climb(ln_distance.value);
    let from_parallax = measurements.peaks().next().map_or(from_prior, |peak| measurements.climb(peak.value));
    let peak = if value(from_parallax.value) > value(from_prior.value) { from_parallax } else { from_prior };
    let constants = -(2.0 * std::f64::consts::PI * parallax.error * ln_distance.error).ln();
    let greatest = value(peak.value);
    let step = SPACING * peak.error;
    let ends = [-HALF, HALF].map(|i| value(peak.value + f64::from(i) * step) - greatest);
    if ends.iter().any(|&end| end > ENDS) {
        return by_grid(measurements, ln_distance, constants, workspace);
    }
    let (mut inverse, nearer) = ((-peak.value + f64::from(HALF) * step).exp(), (-step).exp());
    let [mut sum, mut first, mut second] = [0.0; 3];
    for i in -HALF..=HALF {
        let offset = f64::from(i) * step;
        let weight = (measurements.ln_likelihood(peak.value + offset, inverse) - greatest).exp();
        sum += weight;
        first += weight * offset;
        second += weight * offset * offset;
        inverse *= nearer;
    }
    let mean = first / sum;
    Evidence { ln: constants + greatest + (sum * step).ln(), mean: peak.value + mean, variance: second / sum - mean * mean }
}

/// The same where the integrand is far from a Gaussian.
fn by_grid(measurements: Measurements, ln_distance: Measured, constants: f64, workspace: &mut Workspace) -> Evidence {
    let reach = 60.0 * ln_distance.error;
    let range = [(ln_distance.value - reach).exp(), (ln_distance.value + reach).exp()];
    let density = Density { measurements, prior: DistancePrior::FlatLogDistance, sight: None, range };
    let none = Evidence { ln: f64::NEG_INFINITY, mean: ln_distance.value, variance: ln_distance.error.powi(2) };
    density.posterior(workspace).map_or(none, |found| Evidence {
        ln: constants + found.ln_evidence,
        mean: found.log10.value * std::f64::consts::LN_10,
        variance: (found.log10.error * std::f64::consts::LN_10).powi(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::magnitude::LN_DISTANCE_PER_MAGNITUDE;

    fn of_magnitude(magnitude: f64, absolute: f64, scatter: f64, parallax: Measured) -> Evidence {
        let modulus = Measured { value: magnitude - absolute, error: scatter };
        evidence(parallax, Measurements::ln_distance_of_modulus(modulus), &mut Workspace::default())
    }

    #[test]
    fn integrals_are_those_of_scipy() {
        // scipy 1.17.1, integrate.quad of norm.pdf(M, mu, s) norm.pdf(10**((M - m + 10)/5), parallax, error)
        // over M, epsrel=1e-12
        let parallax = Measured { value: 1.0, error: 0.05 };
        for (magnitude, absolute, expected) in [
            (16.0, 6.0, 1.677_806_909_092_757_6),
            (16.0, 5.3, -6.876_200_888_291_878),
            (15.7, 6.0, -0.136_460_989_356_198_8),
            (15.3, 6.0, -8.346_529_356_166_558),
        ] {
            let found = of_magnitude(magnitude, absolute, 0.12, parallax).ln;
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    #[test]
    fn fast_sums_agree_with_the_grid() {
        for parallax in [1.0, 0.1, -0.3] {
            for error in [0.02, 0.2, 1.0] {
                for scatter in [0.05, 0.3, 1.0] {
                    let parallax = Measured { value: parallax, error };
                    let modulus = Measurements::ln_distance_of_modulus(Measured { value: 10.8, error: scatter });
                    let fast = evidence(parallax, modulus, &mut Workspace::default());
                    let measurements = Measurements { parallax: Some(parallax), ln_distance: Some(modulus), of_pair: None };
                    let constants = -(2.0 * std::f64::consts::PI * parallax.error * modulus.error).ln();
                    let slow = by_grid(measurements, modulus, constants, &mut Workspace::default());
                    assert!((fast.ln - slow.ln).abs() < 1e-6, "{parallax:?} {scatter}: {fast:?} {slow:?}");
                    assert!((fast.mean - slow.mean).abs() < 1e-6 && (fast.variance / slow.variance - 1.0).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn a_jacobian_would_shift_the_magnitude() {
        // Spec 3 A6: the factor 10^((M − m + 10)/5) that eq. 8 prints moves M by 0.0226 mag at ϖ/σ = 10; it
        // is N(M; μ, s) with μ moved by s² ln 10/5, here with s so wide that the parallax alone decides.
        let parallax = Measured { value: 1.0, error: 0.1 };
        let scatter = 3.0;
        let mean = |shift: f64| {
            let modulus = Measured { value: 10.0 - shift, error: scatter };
            let ln_distance = Measurements::ln_distance_of_modulus(modulus);
            10.0 - 10.0 - evidence(parallax, ln_distance, &mut Workspace::default()).mean / LN_DISTANCE_PER_MAGNITUDE
        };
        let shift = mean(scatter * scatter * LN_DISTANCE_PER_MAGNITUDE) - mean(0.0);
        assert!((shift - 0.0226).abs() < 3e-4, "{shift}");
    }
}
