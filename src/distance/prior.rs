//! What is known of a star's distance before it is measured: densities p(d) per kpc, up to a constant.
//!
//! | prior | p(d) | for |
//! |---|---|---|
//! | `flat_distance` | 1 | Xiang et al. 2021, sec. 7 |
//! | `flat_log_distance` | 1/d | flat in the modulus, as eqs. 3–5 of Shen et al. 2025 have it |
//! | `uniform_density` | d² | stars of equal density everywhere |
//! | `exponential_density` | d² e^(−d/L) | Bailer-Jones 2015, PASP 127, 994 |
//! | `galactic` | d² ρ(R, z) | two discs and a halo along the line of sight |
//!
//! ρ is that of Jurić et al. 2008 (ApJ 673, 864; table 10, corrected for binaries), in units of the thin disc
//! at the Sun:
//!
//! ```text
//! ρ = e^(−(R − R₀)/2.6 − |z|/0.3) + 0.12 e^(−(R − R₀)/3.6 − |z|/0.9) + 0.0051 (R₀ / √(R² + (z/0.64)²))^2.77      (kpc)
//! ```

use super::position::{LineOfSight, SUN_TO_CENTRE};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A prior of the distance.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DistancePrior {
    #[default]
    FlatDistance,
    FlatLogDistance,
    UniformDensity,
    ExponentialDensity {
        /// L, kpc.
        #[serde(default = "default_scale_length")]
        scale_length: f64,
    },
    Galactic,
}

/// kpc; the scale length of Bailer-Jones 2015 for all stars.
fn default_scale_length() -> f64 {
    1.35
}

/// Radial scale length, height scale (kpc) and local density of the discs.
const DISCS: [[f64; 3]; 2] = [[2.6, 0.3, 1.0], [3.6, 0.9, 0.12]];
/// Power, flattening and local density of the halo.
const HALO: [f64; 3] = [2.77, 0.64, 0.0051];
/// Radius (kpc) within which the halo's power law is not known and is taken as flat.
const HALO_CORE: f64 = 0.5;

impl DistancePrior {
    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::ExponentialDensity { scale_length } if !(scale_length.is_finite() && scale_length > 0.0) => {
                Err(Error::usage("prior.scale_length")
                    .found(scale_length.to_string())
                    .expected("a positive length in kpc")
                    .remedy("Bailer-Jones (2015) has 1.35."))
            }
            _ => Ok(()),
        }
    }

    /// Whether it depends on the position at the sky.
    pub fn needs_position(&self) -> bool {
        *self == Self::Galactic
    }

    /// ln p(d) up to a constant, at d = e^x kpc; a Galactic prior without a line of sight is that of equal
    /// densities.
    pub fn ln_density(&self, x: f64, distance: f64, sight: Option<&LineOfSight>) -> f64 {
        match *self {
            Self::FlatDistance => 0.0,
            Self::FlatLogDistance => -x,
            Self::UniformDensity => 2.0 * x,
            Self::ExponentialDensity { scale_length } => 2.0 * x - distance / scale_length,
            Self::Galactic => 2.0 * x + sight.map_or(0.0, |sight| galactic_density(sight.at(distance)).ln()),
        }
    }
}

/// ρ at a Galactocentric position in kpc.
pub fn galactic_density([x, y, z]: [f64; 3]) -> f64 {
    let radius = x.hypot(y);
    let discs = DISCS.iter().map(|[length, height, local]| local * (-(radius - SUN_TO_CENTRE) / length - z.abs() / height).exp());
    let [power, flattening, local] = HALO;
    let halo_radius = radius.hypot(z / flattening).max(HALO_CORE);
    discs.sum::<f64>() + local * (power * (SUN_TO_CENTRE / halo_radius).ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_are_the_equations() {
        let sight = LineOfSight::towards(150.0, -60.0).unwrap();
        for (prior, expected) in [
            (DistancePrior::FlatDistance, 0.0),
            (DistancePrior::FlatLogDistance, -(2f64.ln())),
            (DistancePrior::UniformDensity, 4f64.ln()),
            (DistancePrior::ExponentialDensity { scale_length: 4.0 }, 4f64.ln() - 0.5),
            (DistancePrior::Galactic, 4f64.ln() + galactic_density(sight.at(2.0)).ln()),
        ] {
            assert!((prior.ln_density(2f64.ln(), 2.0, Some(&sight)) - expected).abs() < 1e-14, "{prior:?}");
        }
        // At the Sun's radius in the plane: 1 + 0.12 + 0.0051
        assert!((galactic_density([SUN_TO_CENTRE, 0.0, 0.0]) - 1.1251).abs() < 1e-12);
        // Far above: the halo alone, 0.0051 (8.122/√(8.122² + 78.125²))^2.77
        assert!((galactic_density([0.0, -SUN_TO_CENTRE, 50.0]) / 9.502_593e-6 - 1.0).abs() < 1e-6);
        assert!(galactic_density([0.0; 3]).is_finite());
    }

    #[test]
    fn recipes_name_them() {
        #[derive(Debug, Deserialize)]
        struct Recipe {
            prior: DistancePrior,
        }
        let parse = |text: &str| toml::from_str::<Recipe>(text).map(|recipe| recipe.prior);
        assert_eq!(parse("prior = { kind = \"galactic\" }").unwrap(), DistancePrior::Galactic);
        let exponential = parse("prior = { kind = \"exponential_density\" }").unwrap();
        assert_eq!(exponential, DistancePrior::ExponentialDensity { scale_length: 1.35 });
        assert!(parse("prior = { kind = \"flat\" }").is_err());
        assert!(DistancePrior::ExponentialDensity { scale_length: 0.0 }.validate().is_err());
    }
}
