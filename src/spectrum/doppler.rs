//! Radial velocities: positive is receding, so that a star's lines lie at λ_observed = λ_rest · factor with
//! a factor above one.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// km/s.
pub const SPEED_OF_LIGHT: f64 = 299_792.458;
/// Largest speed of a star that is believed, km/s; the fastest known stars move at some 2000.
pub const LARGEST_VELOCITY: f64 = 3000.0;

/// How a velocity becomes a factor of wavelengths. Both differ by v²/2c in velocity: 0.07 km/s at 200, 1.7
/// km/s at 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doppler {
    /// λ_observed / λ_rest = 1 + v/c: what a redshift z times c is.
    #[default]
    Classical,
    /// √((1 + v/c) / (1 − v/c)): what rvspecfit, and so DESI's VRAD, is.
    Relativistic,
}

impl Doppler {
    /// λ_observed / λ_rest for a velocity in km/s.
    ///
    /// # Errors
    /// When the velocity is not finite or beyond [`LARGEST_VELOCITY`].
    pub fn factor(self, velocity: f64) -> Result<f64> {
        if velocity.is_nan() || velocity.abs() > LARGEST_VELOCITY {
            return Err(Error::data("radial velocity")
                .found(format!("{velocity} km/s"))
                .expected(format!("at most {LARGEST_VELOCITY} km/s"))
                .remedy("Check the unit of the column: it is km/s, and redshifts are to be multiplied by c."));
        }
        let beta = velocity / SPEED_OF_LIGHT;
        Ok(match self {
            Self::Classical => 1.0 + beta,
            Self::Relativistic => ((1.0 + beta) / (1.0 - beta)).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conventions() {
        assert_eq!(Doppler::Classical.factor(0.0).unwrap(), 1.0);
        let [classical, relativistic] = [Doppler::Classical, Doppler::Relativistic].map(|law| law.factor(1000.0).unwrap());
        assert!((classical - 1.003_335_640_951_981_6).abs() < 1e-15);
        // astropy 8.0.2: (1000 km/s).to(u.AA, u.doppler_relativistic(5000 AA)) / 5000.
        assert!((relativistic - 1.003_341_222_805_847_1).abs() < 1e-12, "{relativistic}");
        // The difference in velocity that the documentation states.
        assert!(((relativistic - classical) * SPEED_OF_LIGHT - 1.67).abs() < 0.01);
        for absurd in [f64::NAN, f64::INFINITY, 5e4, -3001.0] {
            assert!(Doppler::Classical.factor(absurd).unwrap_err().to_string().contains("radial velocity"));
        }
    }
}
