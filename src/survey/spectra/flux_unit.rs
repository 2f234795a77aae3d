//! Units of fluxes, and the way from those of their errors and inverse variances to them: a file may state
//! each by itself.

use crate::error::{Error, Result};
use crate::unit;
use crate::warning::warn_once;

/// What a column or image of noise holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// In the unit of the flux.
    Flux,
    /// In that unit to the power of −2.
    InverseVariance,
}

/// Fails where a unit says that the numbers are magnitudes or other logarithms: a continuum divides fluxes.
///
/// # Errors
/// Names the place and the unit.
pub(super) fn require_flux(stated: &str, place: &str) -> Result<()> {
    let is_logarithm = unit::parse(stated).is_ok_and(|unit| unit.scale == unit::Scale::Decadic);
    if unit::is_absent(stated) || !is_logarithm && unit::conversion(stated, "mag").is_none() {
        return Ok(());
    }
    Err(Error::data(place)
        .found(format!("the unit '{stated}'"))
        .expected("a flux")
        .remedy("Convert magnitudes to fluxes, or name another column under [spectra.columns]."))
}

/// By what numbers in the unit `stated` become such in the unit of the flux, or its power of −2. Numbers
/// without a unit are in the flux's; where one of both is not understood they are taken so, with a warning.
///
/// # Errors
/// When the unit measures something else; `place` names column or image.
pub(super) fn factor(measure: Measure, stated: &str, flux: &str, place: &str) -> Result<f64> {
    if unit::is_absent(stated) || measure == Measure::Flux && stated.trim() == flux.trim() {
        return Ok(1.0);
    }
    let (Ok(own), Ok(target), false) = (unit::parse(stated), unit::parse(flux), unit::is_absent(flux)) else {
        let of_flux = if unit::is_absent(flux) { "no unit".to_owned() } else { format!("the unit '{flux}'") };
        warn_once(format!("{place} has the unit '{stated}' and the flux {of_flux}: taken as if they belonged together"));
        return Ok(1.0);
    };
    let (target, expected) = match measure {
        Measure::Flux => (Some(target), format!("a unit of the same kind as that of the flux, '{flux}'")),
        Measure::InverseVariance => (target.inverse_squared(), format!("the inverse square of the flux's unit, '{flux}'")),
    };
    let conversion = target.and_then(|target| own.conversion(&target)).filter(|conversion| conversion.offset == 0.0);
    conversion.map(|conversion| conversion.factor).ok_or_else(|| {
        Error::data(place)
            .found(format!("the unit '{stated}'"))
            .expected(expected)
            .remedy("Correct the unit in the file, or convert the numbers.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// astropy.units 8.0.2: `(1 * u.Unit(stated)).to(flux)`.
    #[test]
    fn noise_is_brought_to_the_unit_of_the_flux() {
        let flux = "1e-17 erg/(s cm2 AA)";
        let error = |stated: &str| factor(Measure::Flux, stated, flux, "column 'flux_error'");
        let ivar = |stated: &str| factor(Measure::InverseVariance, stated, flux, "column 'ivar'");
        for (found, expected) in [
            (error("W/(m2 nm)"), 1e19),
            (error(""), 1.0),
            (error("10**-17 erg.s**-1.cm**-2.Angstrom**-1"), 1.0),
            (ivar("10**+34 (s2 cm4 Angstrom2) / erg2"), 1.0),
            (ivar("10**+38 (s2 cm4 Angstrom2) / erg2"), 1e4),
            (ivar("m4 nm2 / W2"), 1e-38),
            (ivar("no unit"), 1.0),
            (error("nonsense"), 1.0),
        ] {
            let found = found.unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
        }
        for (found, words) in
            [(error("Jy"), "'Jy'"), (error("K"), "'K'"), (ivar(flux), "inverse square"), (error("mag"), "'mag'")]
        {
            let message = found.unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("column '"), "{message}");
        }
    }

    #[test]
    fn magnitudes_and_logarithms_are_no_fluxes() {
        for unit in ["mag", "mmag", "mag(AB)", "ABmag", "dex(erg/s/cm2/AA)", "[Jy]"] {
            let message = require_flux(unit, "a.ecsv, column 'flux'").unwrap_err().to_string();
            assert!(message.contains("a.ecsv, column 'flux'") && message.contains(unit), "{message}");
        }
        for unit in ["", "adu", "Jy", "1E-17 erg/cm^2/s/Ang", "nonsense", "1"] {
            require_flux(unit, "x").unwrap();
        }
    }
}
