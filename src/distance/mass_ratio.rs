//! How much brighter an unresolved pair is than its primary, by its mass ratio q: Δ = 2.5 log₁₀(1 + q^γ) mag,
//! with γ = 3 where luminosity goes with the third power of mass (Li et al. 2025, eq. 6).

/// Power of mass in the luminosity that eq. 6 has.
pub const LUMINOSITY_POWER: f64 = 3.0;

/// Δ of two equal stars, mag.
pub const EQUAL_MASSES: f64 = 0.752_574_989_159_953;

/// Δ(q), mag.
pub fn magnitude_offset(mass_ratio: f64, power: f64) -> f64 {
    2.5 * mass_ratio.powf(power).ln_1p() * std::f64::consts::LOG10_E
}

/// q(Δ); `None` where no pair is that much brighter than its primary: below zero, or above two equal stars
/// (three or more, or no pair at all).
pub fn mass_ratio(offset: f64, power: f64) -> Option<f64> {
    let luminosity = (offset / (2.5 * std::f64::consts::LOG10_E)).exp_m1();
    (0.0..=1.0 + 1e-12).contains(&luminosity).then(|| luminosity.min(1.0).powf(power.recip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_anchors_of_the_specification() {
        for (mass_ratio, expected) in [(1.0, 0.752_575), (0.9, 0.594_487), (0.8, 0.448_879), (0.0, 0.0)] {
            let found = magnitude_offset(mass_ratio, LUMINOSITY_POWER);
            assert!((found - expected).abs() < 5e-7, "{found} is not {expected}");
        }
        assert!((magnitude_offset(1.0, 3.5) - EQUAL_MASSES).abs() < 1e-14, "whatever the power");
    }

    #[test]
    fn the_way_back() {
        for power in [2.5, LUMINOSITY_POWER, 4.0] {
            for q in [0.1, 0.55, 1.0] {
                assert!((mass_ratio(magnitude_offset(q, power), power).unwrap() - q).abs() < 1e-12);
            }
        }
        for none in [-0.01, 0.76, f64::NAN, f64::INFINITY] {
            assert_eq!(mass_ratio(none, LUMINOSITY_POWER), None);
        }
    }
}
