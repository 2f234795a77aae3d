//! One photometric band: how its magnitudes become flux.

use crate::error::{Error, Result};
use crate::quantity::is_declared_sentinel;
use crate::survey::xp::FLUX_UNIT;
use serde::{Deserialize, Serialize};

/// Speed of light in m/s.
const SPEED_OF_LIGHT: f64 = 2.997_924_58e8;
/// Magnitudes that can be.
const LIMITS: std::ops::RangeInclusive<f64> = -30.0..=60.0;
/// Errors above this (mag) say nothing.
const LARGEST_ERROR: f64 = 100.0;
/// Differences of zero points beyond this (mag) are no magnitudes: those of photometric systems are below 6.
const LARGEST_OFFSET: f64 = 20.0;
/// What is left of an error without its floor, as a part of that, at least: the two are rounded.
const LEAST_LEFT: f64 = 0.1;
/// Relative rounding of a table's errors: 0.02 as 0.0199.
const FLOOR_ROUNDING: f64 = 0.01;
/// No table adds more, mag.
const LARGEST_FLOOR: f64 = 1.0;
/// Flux density of AB magnitude zero, 3631 Jy, in W m⁻² Hz⁻¹.
const AB_ZERO_POINT: f64 = 3631e-26;

/// A photometric band of a data table.
///
/// Flux (eq. 5 of Zhang, Green & Rix 2023): f = 3631 Jy · c/λ² · 10^(−0.4 (m + Δm)), in 1e-18 W m⁻² nm⁻¹; its
/// error is 0.4 ln 10 · σ_m · f.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotometricBand {
    /// Name of the band in the observation file.
    pub name: String,
    /// Effective wavelength λ in nm.
    pub wavelength: f64,
    /// Magnitude system, which sets Δm.
    #[serde(default)]
    pub system: MagnitudeSystem,
    /// Added to the magnitude, in mag.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: f64,
    /// Column of the magnitude.
    pub magnitude_column: String,
    /// Column of the magnitude's error.
    pub error_column: String,
    /// Added to the magnitude's error in quadrature, in mag.
    #[serde(default)]
    pub error_floor: f64,
    /// Taken off the magnitude's error in quadrature, in mag: a floor that the table has added. What is left
    /// is a tenth of it at least; an error that is smaller than the floor does not contain it, and stays.
    /// Absent: that of the photometry as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included_error_floor: Option<f64>,
    /// Drops measurements that neighbouring stars contaminate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crowding: Option<CrowdingCut>,
    /// A number that means "missing" in the magnitude or error column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<f64>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// The zero-point of a magnitude system.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MagnitudeSystem {
    /// AB magnitudes: Δm = 0.
    #[default]
    Ab,
    /// Vega magnitudes with the given Δm = m_AB − m_Vega.
    Vega(f64),
}

/// Measurements whose value in `column` exceeds `limit` are dropped; those without a value have no neighbour
/// and stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrowdingCut {
    pub column: String,
    pub limit: f64,
}

/// What a magnitude and its error amount to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measurement {
    /// Flux and its error in 1e-18 W m⁻² nm⁻¹.
    Flux { value: f64, error: f64 },
    /// Nothing was measured.
    Missing,
    /// There is a magnitude, of which no error is known.
    WithoutError,
    /// There is a magnitude, but it or its error is not possible.
    Invalid,
    /// Dropped by the crowding cut.
    Crowded,
}

impl PhotometricBand {
    /// Checks the numbers of the definition.
    ///
    /// # Errors
    /// When the wavelength is not positive or an error floor negative.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: f64, expected: &str| {
            Err(Error::usage(format!("band '{}', {key}", self.name))
                .found(found.to_string())
                .expected(expected)
                .remedy("Correct it under [photometry] in the recipe."))
        };
        if !(self.wavelength.is_finite() && self.wavelength > 0.0) {
            return fault("wavelength", self.wavelength, "a positive number of nm");
        }
        if !(self.error_floor.is_finite() && self.error_floor >= 0.0) {
            return fault("error_floor", self.error_floor, "zero or a positive number of mag");
        }
        let included = self.included_error_floor.unwrap_or(0.0);
        if !(0.0..=LARGEST_FLOOR).contains(&included) {
            let expected = format!("zero or a positive number of mag, at most {LARGEST_FLOOR}");
            return fault("included_error_floor", included, &expected);
        }
        let expected = format!("at most {LARGEST_OFFSET} mag from 0");
        let is_possible = |offset: f64| offset.abs() <= LARGEST_OFFSET;
        match self.system {
            _ if !is_possible(self.offset) => fault("offset", self.offset, &expected),
            MagnitudeSystem::Vega(offset) if !is_possible(offset) => fault("system", offset, &expected),
            _ => Ok(()),
        }
    }

    /// Flux of a magnitude, in 1e-18 W m⁻² nm⁻¹.
    pub fn flux(&self, magnitude: f64) -> f64 {
        let offset = match self.system {
            MagnitudeSystem::Ab => 0.0,
            MagnitudeSystem::Vega(offset) => offset,
        };
        let metres = self.wavelength * 1e-9;
        let per_metre = AB_ZERO_POINT * SPEED_OF_LIGHT / (metres * metres);
        per_metre * 1e-9 / FLUX_UNIT * 10_f64.powf(-0.4 * (magnitude + self.offset + offset))
    }

    /// Whether an error (mag) is too small to contain the floor that the table is said to have added, by more
    /// than it may have been rounded.
    pub fn lacks_floor(&self, error: f64) -> bool {
        self.included_error_floor.is_some_and(|included| error > 0.0 && error < (1.0 - FLOOR_ROUNDING) * included)
    }

    /// Flux and error of a magnitude with its error (NaN where null) and the value of the crowding column, if
    /// there is a cut.
    pub fn measure(&self, magnitude: f64, error: f64, crowding: Option<f64>) -> Measurement {
        let is_no_value = |value: f64| self.sentinel.is_some_and(|sentinel| is_declared_sentinel(value, sentinel));
        let declared = |value: f64| if is_no_value(value) { f64::NAN } else { value };
        let (magnitude, error) = (declared(magnitude), declared(error));
        if magnitude.is_nan() {
            return Measurement::Missing;
        }
        let is_possible = LIMITS.contains(&magnitude) && (error.is_nan() || error > 0.0 && error < LARGEST_ERROR);
        if !is_possible {
            return Measurement::Invalid;
        }
        if error.is_nan() {
            return Measurement::WithoutError;
        }
        let limit = self.crowding.as_ref().map(|cut| cut.limit);
        if limit.zip(crowding).is_some_and(|(limit, value)| value > limit) {
            return Measurement::Crowded;
        }
        let value = self.flux(magnitude);
        let included = self.included_error_floor.unwrap_or(0.0);
        let left = (error * error - included * included).max(0.0).sqrt().max(LEAST_LEFT * included);
        let error = if self.lacks_floor(error) { error } else { left };
        Measurement::Flux { value, error: 0.4 * std::f64::consts::LN_10 * error.hypot(self.error_floor) * value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::photometry::standard_set;

    /// Zero-magnitude fluxes in W cm⁻² µm⁻¹: 2MASS from Cohen et al. (2003), WISE from Jarrett et al. (2011).
    /// They refer to isophotal wavelengths; at the wavelengths of spec 1 the flux of eq. 5 differs from them
    /// by −1.3, −3.3, −0.8, −1.4 and −1.8 %.
    #[test]
    fn vega_zero_points_are_those_of_the_surveys() {
        let published = [3.129e-13, 1.133e-13, 4.283e-14, 8.1787e-15, 2.4150e-15];
        let bands = [standard_set("2mass").unwrap(), standard_set("wise").unwrap()].concat();
        for (band, published) in bands.iter().zip(published) {
            let flux = band.flux(0.0) * FLUX_UNIT * 1e3 * 1e-4;
            assert!((flux / published - 1.0).abs() < 0.035, "{}: {flux:e} against {published:e}", band.name);
        }
    }

    /// astropy 8.0.2: `(3631 * u.Jy).to(u.W / u.m**2 / u.nm, u.spectral_density(481.1 * u.nm))`.
    #[test]
    fn ab_zero_point_agrees_with_astropy() {
        let bands = standard_set("lamost-overlap").unwrap();
        let band = bands.iter().find(|band| band.name == "ps_g").unwrap();
        assert!((band.flux(0.0) * FLUX_UNIT / 4.703013636939631e-11 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn errors_carry_the_factor_and_the_floor() {
        let mut band = standard_set("2mass").unwrap().remove(0);
        let Measurement::Flux { value, error } = band.measure(12.0, 0.03, None) else { panic!("a measurement") };
        assert!((error / value - 0.921_034_037 * 0.03).abs() < 1e-9);
        band.error_floor = 0.04;
        let Measurement::Flux { value, error } = band.measure(12.0, 0.03, None) else { panic!("a measurement") };
        assert!((error / value - 0.921_034_037 * 0.05).abs() < 1e-9);
        // A floor of 0.03 taken off 0.05, then the other one added; the floor itself leaves a tenth of it,
        // and what is smaller has none in it.
        band.included_error_floor = Some(0.03);
        for (error, expected, lacks) in [(0.05, 0.04, false), (0.03, 0.003, false), (0.0299, 0.003, false), (0.01, 0.01, true)] {
            let expected = f64::hypot(expected, 0.04);
            assert_eq!(band.lacks_floor(error), lacks, "{error}");
            let Measurement::Flux { value, error } = band.measure(12.0, error, None) else { panic!("a measurement") };
            assert!((error / value - 0.921_034_037 * expected).abs() < 1e-9);
        }
        band.included_error_floor = Some(-0.02);
        assert!(band.validate().unwrap_err().to_string().contains("included_error_floor: found -0.02"));
    }

    #[test]
    fn bad_measurements_are_told_apart() {
        let mut band = standard_set("2mass").unwrap().remove(0);
        band.sentinel = Some(-999.0);
        assert_eq!(band.measure(f64::NAN, 0.1, None), Measurement::Missing);
        assert_eq!(band.measure(-999.0, -999.0, None), Measurement::Missing);
        for error in [0.0, -0.1, f64::INFINITY, f64::NEG_INFINITY, -99.0, 101.0] {
            assert_eq!(band.measure(12.0, error, None), Measurement::Invalid, "{error}");
        }
        for error in [f64::NAN, -999.0] {
            assert_eq!(band.measure(12.0, error, None), Measurement::WithoutError, "{error}");
            assert_eq!(band.measure(99.0, error, None), Measurement::Invalid, "{error}");
        }
        assert_eq!(band.measure(12.0, 0.1, Some(-4.9)), Measurement::Crowded);
        assert!(matches!(band.measure(12.0, 0.1, Some(-5.0)), Measurement::Flux { .. }));
        assert!(matches!(band.measure(12.0, 0.1, Some(f64::NAN)), Measurement::Flux { .. }));
        band.wavelength = -1.0;
        assert!(band.validate().unwrap_err().to_string().contains("'j', wavelength"));
    }
}
