//! Wavelengths in vacuum and in air. A line list in air beside spectra in vacuum is wrong by 80 km/s in the
//! optical.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What wavelengths are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    Vacuum,
    Air,
}

/// Shortest wavelength that air's formula is used for, Å; below it, air and vacuum are the same by
/// convention.
const SHORTEST: f64 = 2000.0;

/// Refractive index of standard air (15 °C, 101 325 Pa, 450 ppm CO₂) at a wavelength in vacuum, Å: Ciddor
/// 1996, eq. 1.
fn index(vacuum: f64) -> f64 {
    let s2 = (1e4 / vacuum).powi(2);
    1.0 + 0.057_921_05 / (238.018_5 - s2) + 0.001_679_17 / (57.362 - s2)
}

impl Medium {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vacuum => "vacuum",
            Self::Air => "air",
        }
    }

    /// The medium of a name.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "vacuum" | "vac" => Some(Self::Vacuum),
            "air" => Some(Self::Air),
            _ => None,
        }
    }

    /// A wavelength (Å) of this medium in another one.
    pub fn convert(self, wavelength: f64, to: Self) -> f64 {
        if self == to || wavelength < SHORTEST {
            return wavelength;
        }
        match to {
            Self::Air => wavelength / index(wavelength),
            // The index hardly changes over its own shift: two steps reach the last digit.
            Self::Vacuum => (0..3).fold(wavelength, |vacuum, _| wavelength * index(vacuum)),
        }
    }

    /// The medium that holds, from what a recipe and a file say.
    ///
    /// # Errors
    /// When both speak and contradict each other, or neither does.
    pub fn agreed(declared: Option<Self>, stated: Option<Self>, place: &str) -> Result<Self> {
        match (declared, stated) {
            (Some(declared), Some(stated)) if declared != stated => Err(Error::data(place)
                .found(format!("wavelengths in {} by the file itself", stated.name()))
                .expected(format!("{}, as the recipe declares", declared.name()))
                .remedy("Correct `medium` in the recipe, or leave it out where files say it themselves.")),
            (Some(medium), _) | (None, Some(medium)) => Ok(medium),
            (None, None) => Err(Error::data(place)
                .found("nothing that tells whether its wavelengths are in vacuum or in air")
                .expected("one of both")
                .remedy("Add `medium = \"vacuum\"` or `medium = \"air\"` to [spectra] in the recipe.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// specutils 2.4.0: `vac_to_air(w * u.AA, method="Ciddor1996")`.
    #[test]
    fn against_specutils() {
        for (vacuum, air) in VALUES {
            assert!((Medium::Vacuum.convert(vacuum, Medium::Air) - air).abs() < 1e-7, "{vacuum}");
            let back = Medium::Air.convert(Medium::Vacuum.convert(vacuum, Medium::Air), Medium::Vacuum);
            assert!((back - vacuum).abs() < 1e-9, "{vacuum} {back}");
        }
        assert_eq!(Medium::Air.convert(5000.0, Medium::Air), 5000.0);
        assert_eq!(Medium::Vacuum.convert(1500.0, Medium::Air), 1500.0);
    }

    const VALUES: [(f64, f64); 3] =
        [(4000.0, 3_998.869_272_432_66), (5000.0, 4_998.605_519_970_397), (9000.0, 8_997.529_883_585_137)];

    #[test]
    fn contradictions_are_refused() {
        use Medium::{Air, Vacuum};
        assert_eq!(Medium::agreed(None, Some(Vacuum), "x").unwrap(), Vacuum);
        assert_eq!(Medium::agreed(Some(Air), None, "x").unwrap(), Air);
        let error = Medium::agreed(Some(Air), Some(Vacuum), "a.fits").unwrap_err().to_string();
        assert!(error.contains("a.fits: found wavelengths in vacuum") && error.contains("expected air"), "{error}");
        assert!(Medium::agreed(None, None, "a.fits").unwrap_err().to_string().contains("medium = "));
        assert_eq!((Medium::parse(" VAC "), Medium::parse("water")), (Some(Vacuum), None));
    }
}
