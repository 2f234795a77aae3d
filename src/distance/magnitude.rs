//! Magnitudes, luminosities and parallaxes (ϖ in mas, d in kpc, magnitudes dereddened or with their
//! extinction A).

use crate::statistics::Measured;

/// ln 10 / 5: a magnitude as a change of ln d.
pub const LN_DISTANCE_PER_MAGNITUDE: f64 = std::f64::consts::LN_10 / 5.0;

/// M = 5 log₁₀(label) of SpecDis' label 1/√L = ϖ·10^(m/5 − 2), given as ln(label) (Li et al. 2025, eq. 3).
pub fn absolute_magnitude_of_label(ln_label: f64) -> f64 {
    ln_label / LN_DISTANCE_PER_MAGNITUDE
}

/// ln(1/√L) of an absolute magnitude.
pub fn ln_label(absolute_magnitude: f64) -> f64 {
    absolute_magnitude * LN_DISTANCE_PER_MAGNITUDE
}

/// ln(1/√L) of a star from its parallax; `None` where that is not positive.
pub fn ln_label_of_parallax(magnitude: f64, parallax: f64) -> Option<f64> {
    (parallax > 0.0).then(|| parallax.ln() + (magnitude - 10.0) * LN_DISTANCE_PER_MAGNITUDE)
}

/// Spectro-photometric parallax 10^(−0.2 (m − M − 10 − A)), mas (Xiang et al. 2021, eq. 15).
pub fn spectroscopic_parallax(magnitude: f64, absolute_magnitude: f64, extinction: f64) -> f64 {
    (-LN_DISTANCE_PER_MAGNITUDE * (magnitude - absolute_magnitude - 10.0 - extinction)).exp()
}

/// Absolute magnitude m + 5 log₁₀ ϖ − 10 of a dereddened magnitude at a parallax, with the error of eq. 12 of
/// Xiang et al. 2021; `None` where the parallax is not positive.
pub fn geometric_absolute_magnitude(dereddened: Measured, parallax: Measured) -> Option<Measured> {
    let value = absolute_magnitude_of_label(ln_label_of_parallax(dereddened.value, parallax.value)?);
    let of_parallax = parallax.error / parallax.value / LN_DISTANCE_PER_MAGNITUDE;
    Some(Measured { value, error: of_parallax.hypot(dereddened.error) })
}

/// A magnitude's error as a fraction of the distance, 10^(0.2 σ) − 1 (Li et al. 2025).
pub fn distance_fraction(magnitude_error: f64) -> f64 {
    (LN_DISTANCE_PER_MAGNITUDE * magnitude_error).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_of_the_specification() {
        let found = spectroscopic_parallax(10.0, -1.0, 0.2);
        assert!((found - 0.691_831).abs() < 5e-7, "{found}");
        assert!((distance_fraction(0.25) - 0.122).abs() < 5e-4, "0.25 mag are 12 %, as the paper's abstract says");
    }

    #[test]
    fn labels_and_magnitudes_are_one_relation() {
        // ϖ = 4 mas, m = 8: label 4·10^(8/5 − 2), M = 8 + 5 log10(0.04)
        let label: f64 = 4.0 * 10f64.powf(-0.4);
        let found = ln_label_of_parallax(8.0, 4.0).unwrap();
        assert!((found - label.ln()).abs() < 1e-14);
        assert!((absolute_magnitude_of_label(found) - 1.010_299_956_639_812).abs() < 1e-12);
        assert!((ln_label(absolute_magnitude_of_label(found)) - found).abs() < 1e-15);
        assert!((spectroscopic_parallax(8.0, absolute_magnitude_of_label(found), 0.0) - 4.0).abs() < 1e-12);
        assert!(ln_label_of_parallax(8.0, 0.0).is_none() && ln_label_of_parallax(8.0, -1.0).is_none());
    }

    #[test]
    fn geometric_magnitudes_carry_both_errors() {
        let magnitude = Measured { value: 10.0, error: 0.03 };
        let found = geometric_absolute_magnitude(magnitude, Measured { value: 1.0, error: 0.05 }).unwrap();
        assert!(found.value.abs() < 1e-12 && (found.error - (0.108_573_620_f64.hypot(0.03))).abs() < 1e-9);
        assert!(geometric_absolute_magnitude(magnitude, Measured { value: -1.0, error: 0.05 }).is_none());
    }
}
