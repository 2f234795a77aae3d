//! What a network is to predict.

use super::mixture::MixtureOfMagnitudes;
use crate::error::{Error, Result};
use crate::quantity::Facts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The target of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// Measured labels; a star that lacks some teaches the others.
    Labels {
        names: Vec<String>,
        #[serde(default)]
        loss: LabelLoss,
    },
    /// The luminosity, from parallaxes of any quality.
    Luminosity(Luminosity),
    /// The magnitudes of a single star and of an equal binary with their scatters, from parallaxes.
    MixtureOfMagnitudes(MixtureOfMagnitudes),
}

/// The loss of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelLoss {
    /// Mean squared error of standardised labels; errors of labels are not used.
    SquaredError,
    /// −2 ln of a Gaussian whose variance is that of the label plus one that the network predicts.
    #[default]
    Gaussian,
}

/// ln(1/√L) of Li et al. (2025, eqs. 3 and 4): label = ϖ · 10^(m/5 − 2), with the loss in the parallax.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Luminosity {
    #[serde(default = "default_parallax")]
    pub parallax: String,
    /// Column of the apparent magnitude, dereddened unless `extinction` is given.
    #[serde(default = "default_magnitude")]
    pub magnitude: String,
    /// Column of the extinction in the magnitude's band.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extinction: Option<String>,
    /// Fraction of the predicted parallax that is added to its error: how well a spectrum can tell a
    /// luminosity at all, so that the nearest stars do not rule the sum.
    #[serde(default = "default_floor")]
    pub model_floor: f64,
    #[serde(default)]
    pub output: LuminosityOutput,
}

/// What the last layer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LuminosityOutput {
    /// ln(1/√L): positive whatever the network says, and even over ten magnitudes.
    #[default]
    Logarithm,
    /// 1/√L itself, as printed; where it is not positive there is no magnitude.
    Linear,
}

pub(super) fn default_parallax() -> String {
    "parallax".into()
}

pub(super) fn default_magnitude() -> String {
    "phot_g_mean_mag".into()
}

fn default_floor() -> f64 {
    0.12
}

/// The parameter that luminosities become in catalogues.
pub const ABSOLUTE_MAGNITUDE: &str = "absolute_magnitude";

impl Target {
    /// Name, unit in files and description of a parameter; `units` are those of quantities that are not known
    /// by their names.
    pub fn described(&self, name: &str, units: &BTreeMap<String, String>) -> (String, String, String) {
        let facts = Facts::of(name);
        let magnitude = match self {
            Self::Labels { .. } => None,
            _ if name.ends_with("fraction") => Some(("", "fraction of single stars among stars of such a spectrum")),
            _ if name.ends_with("scatter") => Some(("mag", "scatter of the magnitudes of such stars")),
            _ if name == "binary_offset" => Some(("mag", "by how much binaries of such a spectrum are brighter")),
            _ => Some(("mag", "absolute magnitude in the band of the training magnitudes")),
        };
        let (unit, description) = match &magnitude {
            Some((unit, text)) => ((*unit).to_owned(), (*text).to_owned()),
            None => {
                let unit =
                    facts.unit.as_ref().map_or_else(|| units.get(name).cloned(), |_| Some(facts.unit_in_files().to_owned()));
                (unit.unwrap_or_default(), facts.description.clone())
            }
        };
        (name.to_owned(), unit, description)
    }

    /// Names of the parameters of catalogues.
    pub fn parameters(&self) -> Vec<String> {
        match self {
            Self::Labels { names, .. } => names.clone(),
            Self::Luminosity(_) => vec![ABSOLUTE_MAGNITUDE.into()],
            Self::MixtureOfMagnitudes(_) => MixtureOfMagnitudes::PARAMETERS.map(String::from).to_vec(),
        }
    }

    /// Measured quantities that training needs.
    pub fn measured(&self) -> Vec<String> {
        match self {
            Self::Labels { names, .. } => names.clone(),
            Self::Luminosity(luminosity) => vec![luminosity.parallax.clone()],
            Self::MixtureOfMagnitudes(mixture) => vec![mixture.parallax.clone()],
        }
    }

    /// Number of outputs of the network.
    pub fn n_outputs(&self) -> usize {
        match self {
            Self::Labels { names, loss: LabelLoss::SquaredError } => names.len(),
            Self::Labels { names, loss: LabelLoss::Gaussian } => 2 * names.len(),
            Self::Luminosity(_) => 1,
            Self::MixtureOfMagnitudes(_) => 5,
        }
    }

    /// # Errors
    /// `Usage`, naming what is impossible.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("target, {key}")).found(found).expected(expected).remedy("Correct the recipe."))
        };
        match self {
            Self::Labels { names, .. } if names.is_empty() => fault("names", "none".into(), "at least one label"),
            Self::Labels { names, .. } => match names.iter().enumerate().find(|(k, name)| names[..*k].contains(name)) {
                Some((_, name)) => fault("names", format!("'{name}' twice"), "distinct labels"),
                None => Ok(()),
            },
            Self::Luminosity(Luminosity { model_floor, .. }) if !(0.0..1.0).contains(model_floor) => {
                fault("model_floor", model_floor.to_string(), "a fraction from 0 to below 1")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_not_known_has_the_unit_of_its_column() {
        let target = Target::Labels { names: ["age", "teff"].map(String::from).into(), loss: LabelLoss::default() };
        let units = BTreeMap::from([("age".to_owned(), "Gyr".to_owned())]);
        let unit = |name: &str, units: &BTreeMap<String, String>| target.described(name, units).1;
        assert_eq!([unit("age", &units), unit("teff", &units), unit("age", &BTreeMap::new())], ["Gyr", "K", ""]);
    }
}
