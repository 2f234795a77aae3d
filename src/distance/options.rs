//! How distances are made.

use super::combine::CombinationLimits;
use super::error_model::ErrorModel;
use super::excess;
use super::mass_ratio::EQUAL_MASSES;
use super::mixture::LARGEST;
use super::posterior::DEFAULT_RANGE;
use super::prior::DistancePrior;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is subtracted from parallaxes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ZeroPointChoice {
    /// Lindegren et al. 2021, for parallaxes of Gaia EDR3 and DR3.
    #[default]
    Lindegren2021,
    /// One number for all stars, mas (about −0.05 in Gaia DR2).
    Constant { value: f64 },
    /// Nothing: parallaxes that are corrected already.
    None,
}

/// What a spectroscopic parallax in the file (that of a fit, say) was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParallaxContent {
    /// Flux alone: it is combined with the measured parallax.
    #[default]
    Flux,
    /// Flux and the measured parallax: it is the combination already, and the measured one is taken out again
    /// for the tests of binaries.
    FluxAndParallax,
}

/// The mixture by which P_binary is judged: single stars about the predicted M, binaries brighter by an
/// offset (Li et al. 2025, eq. 7).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinaryMixture {
    /// Fraction of single stars, α.
    pub single_fraction: f64,
    /// μ₁ − M of single stars, mag.
    pub shift: f64,
    /// μ₁ − μ₂, mag.
    pub offset: f64,
    /// σ₁ beside the error of M, mag.
    pub single_scatter: f64,
    /// σ₂ beside the error of M, mag.
    pub binary_scatter: f64,
}

impl Default for BinaryMixture {
    fn default() -> Self {
        Self { single_fraction: 0.9, shift: 0.0, offset: EQUAL_MASSES, single_scatter: 0.0, binary_scatter: 0.1 }
    }
}

/// Which test decides `is_binary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryCriterion {
    /// S/N_Δϖ above the threshold (Xiang et al. 2021).
    #[default]
    ParallaxExcess,
    /// P_binary above the threshold and predicted M fainter than the geometric one (Li et al. 2025, eq. 10).
    Mixture,
    /// Both.
    Both,
}

/// What the distance of what may be a binary follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryDistance {
    /// Of what `is_binary` says is one, the parallax alone.
    #[default]
    ParallaxAlone,
    /// Of every star, the parallax and both moduli of the mixture, each with its probability: nothing is
    /// decided.
    Mixture,
    /// Of every star, the parallax and the modulus of a single star.
    Single,
}

/// How binaries are told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinaryOptions {
    pub criterion: BinaryCriterion,
    /// S/N_Δϖ.
    pub excess_threshold: f64,
    /// P_binary.
    pub probability_threshold: f64,
    /// By how many errors of both M_predicted must be fainter than M_geo for a binary by the mixture: 0 is
    /// eq. 10 of Li et al. 2025, 1 their eq. 11.
    pub fainter_by: f64,
    /// For stars that have no mixture of their own.
    pub mixture: BinaryMixture,
    pub distance: BinaryDistance,
}

impl Default for BinaryOptions {
    fn default() -> Self {
        Self {
            criterion: BinaryCriterion::default(),
            excess_threshold: excess::THRESHOLD,
            probability_threshold: 0.7,
            fainter_by: 0.0,
            mixture: BinaryMixture::default(),
            distance: BinaryDistance::default(),
        }
    }
}

/// Options of [`super::DistanceEstimator`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistanceOptions {
    /// Nearest and farthest distance, kpc.
    pub range: [f64; 2],
    /// Factor on the errors of the parallaxes.
    pub parallax_error_factor: f64,
    /// Added in quadrature to the errors of magnitudes, mag.
    pub magnitude_error_floor: f64,
    pub spectroscopic_parallax: ParallaxContent,
    pub zero_point: ZeroPointChoice,
    pub prior: DistancePrior,
    /// Errors of predicted absolute magnitudes, and what is wrong with their scale.
    pub error_model: ErrorModel,
    pub binary: BinaryOptions,
    pub combination: CombinationLimits,
}

impl Default for DistanceOptions {
    fn default() -> Self {
        Self {
            range: DEFAULT_RANGE,
            parallax_error_factor: 1.0,
            magnitude_error_floor: 0.0,
            spectroscopic_parallax: ParallaxContent::default(),
            zero_point: ZeroPointChoice::default(),
            prior: DistancePrior::default(),
            error_model: ErrorModel::default(),
            binary: BinaryOptions::default(),
            combination: CombinationLimits::default(),
        }
    }
}

impl DistanceOptions {
    /// Whether all numbers are possible.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let [near, far] = self.range;
        if !(near > 0.0 && far > near && far.is_finite()) {
            return Err(Error::usage("range")
                .found(format!("{near} to {far}"))
                .expected("two increasing positive distances in kpc"));
        }
        let mixture = &self.binary.mixture;
        let constant = if let ZeroPointChoice::Constant { value } = self.zero_point { value } else { 0.0 };
        let scatters = [mixture.single_scatter, mixture.binary_scatter];
        let is_scatter = |value: f64| (0.0..=LARGEST).contains(&value);
        let scatter = "from 0 to 10 mag";
        for (key, value, is_possible, expected) in [
            (
                "parallax_error_factor",
                self.parallax_error_factor,
                (0.01..=100.0).contains(&self.parallax_error_factor),
                "a factor from 0.01 to 100",
            ),
            ("magnitude_error_floor", self.magnitude_error_floor, is_scatter(self.magnitude_error_floor), scatter),
            ("zero_point.value", constant, constant.abs() < 10.0, "mas, of which the zero point has few hundredths"),
            ("binary.excess_threshold", self.binary.excess_threshold, true, "a number"),
            ("binary.probability_threshold", self.binary.probability_threshold, true, "a number"),
            ("binary.fainter_by", self.binary.fainter_by, self.binary.fainter_by >= 0.0, "no negative number"),
            (
                "binary.mixture.single_fraction",
                mixture.single_fraction,
                (0.0..=1.0).contains(&mixture.single_fraction),
                "a fraction between 0 and 1",
            ),
            (
                "binary.mixture.offset",
                mixture.offset,
                mixture.offset > 0.0 && is_scatter(mixture.offset),
                "above 0, and 10 mag at most",
            ),
            ("binary.mixture.shift", mixture.shift, is_scatter(mixture.shift.abs()), "from -10 to 10 mag"),
            ("binary.mixture.single_scatter", scatters[0], is_scatter(scatters[0]), scatter),
            ("binary.mixture.binary_scatter", scatters[1], is_scatter(scatters[1]), scatter),
            ("combination.ruwe", self.combination.ruwe, self.combination.ruwe > 0.0, "a positive number"),
            ("combination.parallax_over_error", self.combination.parallax_over_error, true, "a number"),
        ] {
            if !(value.is_finite() && is_possible) {
                return Err(Error::usage(key).found(value.to_string()).expected(expected));
            }
        }
        self.prior.validate()?;
        self.error_model.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_possible_and_survive_a_file() {
        let options = DistanceOptions::default();
        options.validate().unwrap();
        let text = toml::to_string(&options).unwrap();
        assert_eq!(toml::from_str::<DistanceOptions>(&text).unwrap(), options);
        assert!(toml::from_str::<DistanceOptions>("ranges = [1, 2]").is_err());
    }

    #[test]
    fn impossible_numbers_are_refused_by_name() {
        let refused = |text: &str, key: &str| {
            let message = toml::from_str::<DistanceOptions>(text).unwrap().validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        refused("range = [0.0, 3.0]", "range");
        refused("parallax_error_factor = 0.0", "parallax_error_factor");
        refused("zero_point = { kind = \"constant\", value = -50.0 }", "zero_point.value");
        refused("[binary.mixture]\nsingle_fraction = 1.2", "binary.mixture.single_fraction");
        refused("parallax_error_factor = 1e300", "parallax_error_factor");
        refused("[binary.mixture]\noffset = 1e9", "binary.mixture.offset");
        refused("[binary.mixture]\nshift = -1e9", "binary.mixture.shift");
        refused("[binary.mixture]\nbinary_scatter = 1e300", "binary.mixture.binary_scatter");
        refused("[error_model]\nintrinsic = -0.1", "error_model.intrinsic");
        refused("[error_model]\nslope = -1.0", "error_model.slope");
    }
}
