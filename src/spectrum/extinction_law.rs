//! The R_V-dependent mean extinction law of the Milky Way by Cardelli, Clayton & Mathis (1989, ApJ 345, 245),
//! "CCM89".
//!
//! A(λ)/A(V) = a(x) + b(x)/R_V with x = 1/λ in µm⁻¹ (their eq. 1); a and b are a power law in the infrared
//! (eq. 2), a polynomial in the optical (eq. 3), and analytic in the ultraviolet (eqs. 4 and 5).

use crate::error::{Error, Result};
use std::ops::RangeInclusive;

/// Wavelengths in nm for which [`ccm89`] gives a value. The law was measured for 100–3333 nm (0.3–10 µm⁻¹);
/// beyond 3333 nm, where W1 and W2 lie, its infrared power law λ^−1.61 is extrapolated, which is good to
/// about 30 % of an extinction that is itself small.
pub const CCM89_WAVELENGTHS: RangeInclusive<f64> = 100.0..=6000.0;

/// Ratios of total to selective extinction for which the law was measured.
pub const CCM89_R_V: RangeInclusive<f64> = 2.0..=6.0;

/// Magnitudes per unit of optical depth, 2.5 log₁₀ e.
pub const MAGNITUDES_PER_OPTICAL_DEPTH: f64 = 1.085_736_204_758_129_6;

/// A(λ)/A(V) by CCM89 at wavelengths in nm.
///
/// # Errors
/// A wavelength outside [`CCM89_WAVELENGTHS`] or an `r_v` outside [`CCM89_R_V`].
pub fn ccm89(wavelength_nm: &[f64], r_v: f64) -> Result<Vec<f64>> {
    if !CCM89_R_V.contains(&r_v) {
        return Err(out_of_range("R_V of the CCM89 extinction law", r_v, &CCM89_R_V));
    }
    let ratio = |&wavelength: &f64| {
        if !CCM89_WAVELENGTHS.contains(&wavelength) {
            return Err(out_of_range("wavelength (nm) of the CCM89 extinction law", wavelength, &CCM89_WAVELENGTHS));
        }
        let (a, b) = coefficients(1e3 / wavelength);
        Ok(a + b / r_v)
    };
    wavelength_nm.iter().map(ratio).collect()
}

/// Optical depth per unit of reddening, R(λ) = A(λ) / (1.0857 E(B−V)) = R_V · A(λ)/A(V) / 1.0857, at
/// wavelengths in nm.
///
/// # Errors
/// As [`ccm89`].
pub fn ccm89_optical_depth(wavelength_nm: &[f64], r_v: f64) -> Result<Vec<f64>> {
    let mut curve = ccm89(wavelength_nm, r_v)?;
    curve.iter_mut().for_each(|value| *value *= r_v / MAGNITUDES_PER_OPTICAL_DEPTH);
    Ok(curve)
}

fn out_of_range(place: &str, found: f64, range: &RangeInclusive<f64>) -> Error {
    Error::usage(place).found(found.to_string()).expected(format!("a value from {} to {}", range.start(), range.end()))
}

/// a(x) and b(x) for x in µm⁻¹.
fn coefficients(x: f64) -> (f64, f64) {
    match x {
        ..1.1 => (0.574 * x.powf(1.61), -0.527 * x.powf(1.61)),
        ..3.3 => optical(x - 1.82),
        ..=8.0 => near_ultraviolet(x),
        _ => far_ultraviolet(x - 8.0),
    }
}

fn optical(y: f64) -> (f64, f64) {
    (
        polynomial(y, &[1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999]),
        polynomial(y, &[0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002]),
    )
}

fn near_ultraviolet(x: f64) -> (f64, f64) {
    let y = (x - 5.9).max(0.0);
    (
        1.752 - 0.316 * x - 0.104 / ((x - 4.67).powi(2) + 0.341) + polynomial(y, &[0.0, 0.0, -0.04473, -0.009779]),
        -3.090 + 1.825 * x + 1.206 / ((x - 4.62).powi(2) + 0.263) + polynomial(y, &[0.0, 0.0, 0.2130, 0.1207]),
    )
}

fn far_ultraviolet(y: f64) -> (f64, f64) {
    (polynomial(y, &[-1.073, -0.628, 0.137, -0.070]), polynomial(y, &[13.670, 4.257, -0.420, 0.374]))
}

/// Σ cᵢ yⁱ by Horner's rule.
fn polynomial(y: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * y + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shared_data;

    /// Table 3 of the paper at R_V = 3.1 (U, J, H, K, L), to its rounding (x has two digits).
    #[test]
    fn agrees_with_the_papers_table() {
        let inverse_micron = [2.78, 0.80, 0.63, 0.46, 0.29];
        let table = [1.569, 0.282, 0.190, 0.114, 0.056];
        let law = ccm89(&inverse_micron.map(|x| 1e3 / x), 3.1).unwrap();
        for (value, expected) in law.iter().zip(table) {
            assert!((value - expected).abs() < 3e-3, "{value} {expected}");
        }
    }

    /// Ultraviolet values that dust_extinction's own test of CCM89 holds for R_V = 3.1.
    #[test]
    fn agrees_with_dust_extinction_in_the_ultraviolet() {
        let inverse_micron = [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.6, 4.0];
        let recorded = [5.23835484, 4.13406452, 3.33685933, 2.77962453, 2.52195399, 2.84252644, 3.18598916, 2.31531711];
        let law = ccm89(&inverse_micron.map(|x| 1e3 / x), 3.1).unwrap();
        for (value, expected) in law.iter().zip(recorded) {
            assert!((value / expected - 1.0).abs() < 1e-8, "{value} {expected}");
        }
    }

    #[test]
    fn agrees_with_reference_curves() {
        let Some(folder) = shared_data() else { return };
        let mut reader = csv::Reader::from_path(folder.join("extinction_curves/reference_A_over_AV.csv")).unwrap();
        let r_v = [2.6, 3.1, 4.5];
        let mut worst = 0.0_f64;
        for record in reader.records() {
            let numbers: Vec<f64> = record.unwrap().iter().map(|field| field.parse().unwrap()).collect();
            for (r_v, expected) in r_v.iter().zip(&numbers[1..4]) {
                worst = worst.max((ccm89(&numbers[..1], *r_v).unwrap()[0] - expected).abs());
            }
        }
        assert!(worst < 1e-8, "largest difference {worst}"); // observed: the file's rounding, 5e-9
    }

    #[test]
    fn optical_depth_is_scaled_to_reddening() {
        // A(V) = 3.1 E(B−V) at x = 1.82 µm⁻¹.
        let curve = ccm89_optical_depth(&[1e3 / 1.82], 3.1).unwrap();
        assert!((curve[0] * MAGNITUDES_PER_OPTICAL_DEPTH - 3.1).abs() < 1e-12);
    }

    #[test]
    fn refuses_what_it_was_not_made_for() {
        assert!(ccm89(&[550.0], 1.0).unwrap_err().to_string().contains("2 to 6"));
        assert!(ccm89(&[50.0], 3.1).is_err());
        assert!(ccm89(&[f64::NAN], 3.1).is_err());
    }
}
