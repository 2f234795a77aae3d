//! Configuration of a simulated survey.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What to simulate. Every key has a default; unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SurveyConfig {
    /// Number of stars.
    pub n_stars: usize,
    /// Seed of the sky. A star depends on the seed and its number only.
    pub seed: u64,
    /// Number of the first star: a second survey that starts where the first one ends has other stars of the
    /// same sky.
    pub first_star: u64,
    /// Fraction of stars with measured labels and reddening (the overlap with a spectroscopic survey); the
    /// others are new stars, whose labels and reddening are null.
    pub labelled_fraction: f64,
    /// Fraction of unresolved binaries.
    pub binary_fraction: f64,
    /// Least and greatest mass ratio of their stars, uniform between both. At one, as by default, both are
    /// equal (twice the flux at the same labels); below, the second one is a main-sequence star of the same
    /// [Fe/H], and has its labels in the columns true_companion_….
    pub mass_ratios: [f64; 2],
    /// Standard deviation of R_V between stars; the mean is 3.1.
    pub r_v_scatter: f64,
    /// Bright and faint limit in G, mag.
    pub g_limits: [f64; 2],
    /// How strongly the survey prefers bright stars: a star of magnitude G is chosen with a probability ∝
    /// 10^(−preference · G).
    pub brightness_preference: f64,
    /// Scale of the probability that a near-infrared band is missing: 1 leaves out about a sixth, 0 none.
    pub infrared_missing: f64,
    /// Shares of the evolutionary phases among the stars.
    pub phases: PhaseShares,
}

/// Relative numbers of stars by evolutionary phase; they need not add up to one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhaseShares {
    pub main_sequence: f64,
    pub subgiant: f64,
    pub red_giant: f64,
    pub red_clump: f64,
}

impl Default for PhaseShares {
    fn default() -> Self {
        Self { main_sequence: 0.55, subgiant: 0.12, red_giant: 0.18, red_clump: 0.15 }
    }
}

impl Default for SurveyConfig {
    fn default() -> Self {
        Self {
            n_stars: 25_000,
            seed: 1,
            first_star: 0,
            labelled_fraction: 1.0,
            binary_fraction: 0.05,
            mass_ratios: [1.0, 1.0],
            r_v_scatter: 0.0,
            g_limits: [10.0, 17.5],
            brightness_preference: 0.3,
            infrared_missing: 1.0,
            phases: PhaseShares::default(),
        }
    }
}

impl SurveyConfig {
    /// Stars have numbers below this, so that their identifiers are distinct.
    pub const MAX_STAR: u64 = 1 << 35;

    /// Whether all binaries are of equal stars.
    pub fn are_twins(&self) -> bool {
        self.mass_ratios[0] == 1.0
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the key, the value found and the values allowed.
    pub fn validate(&self) -> Result<()> {
        let in_range = |key: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(refuse(key, value, format!("a number from {low} to {high}"))) }
        };
        in_range("labelled_fraction", self.labelled_fraction, 0.0, 1.0)?;
        in_range("binary_fraction", self.binary_fraction, 0.0, 1.0)?;
        in_range("r_v_scatter", self.r_v_scatter, 0.0, 0.35)?;
        in_range("brightness_preference", self.brightness_preference, 0.0, 1.0)?;
        in_range("infrared_missing", self.infrared_missing, 0.0, 4.0)?;
        let [least, greatest] = self.mass_ratios;
        in_range("mass_ratios", greatest, 0.1, 1.0)?;
        in_range("mass_ratios", least, 0.1, greatest)?;
        let [bright, faint] = self.g_limits;
        in_range("g_limits", bright, 5.0, 20.0)?;
        in_range("g_limits", faint, 5.0, 20.0)?;
        if faint - bright < 1.0 {
            return Err(refuse("g_limits", format!("[{bright}, {faint}]"), "a faint limit at least 1 mag below the bright one"));
        }
        let shares = self.phases.as_array();
        if shares.iter().any(|share| !(0.0..=1e6).contains(share)) || shares.iter().sum::<f64>() <= 0.0 {
            return Err(refuse("phases", format!("{shares:?}"), "shares that are not negative, and one above zero"));
        }
        if self.first_star.checked_add(self.n_stars as u64).is_none_or(|end| end > Self::MAX_STAR) {
            let found = format!("first_star {} and {} stars", self.first_star, self.n_stars);
            return Err(refuse("first_star", found, format!("star numbers below {}", Self::MAX_STAR)));
        }
        Ok(())
    }
}

impl PhaseShares {
    /// The shares in the order of the fields.
    pub fn as_array(&self) -> [f64; 4] {
        [self.main_sequence, self.subgiant, self.red_giant, self.red_clump]
    }
}

fn refuse(key: &str, found: impl ToString, expected: impl Into<String>) -> Error {
    Error::usage(format!("simulated survey, key '{key}'"))
        .found(found.to_string())
        .expected(expected)
        .remedy("Leave the key out for its default; `photosphere recipe simulate` prints all of them.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_toml_and_are_valid() {
        let config: SurveyConfig = toml::from_str(&toml::to_string(&SurveyConfig::default()).unwrap()).unwrap();
        assert_eq!(config, SurveyConfig::default());
        config.validate().unwrap();
    }

    #[test]
    fn impossible_values_and_unknown_keys_are_refused() {
        assert!(toml::from_str::<SurveyConfig>("n_star = 3").is_err());
        for text in [
            "binary_fraction = 1.5",
            "labelled_fraction = nan",
            "mass_ratios = [0.8, 0.3]",
            "mass_ratios = [0.0, 1.0]",
            "g_limits = [17, 12]",
            "first_star = 34359738368",
            "phases = { subgiant = -1 }",
        ] {
            let error = toml::from_str::<SurveyConfig>(text).unwrap().validate().unwrap_err();
            assert!(error.to_string().contains(text.split(' ').next().unwrap()), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
