//! The recipe of a training.

use super::spectral_model::{SpectralModel, TrainingChoices};
use crate::error::{Error, Result};
use crate::quantity::require_free_names;
use crate::text::read_toml;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a family of models of spectra is trained (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, bound = "")]
pub struct SpectraRecipe<M: SpectralModel> {
    /// That of the family.
    pub kind: String,
    pub description: String,
    /// Labels, as the columns of the observations are named.
    pub labels: Vec<String>,
    /// The gradient library (safetensors); a relative path is relative to the recipe. Without one nothing
    /// keeps models from cheating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<PathBuf>,
    /// Resolving power λ/FWHM of the observations, which that of the library must be; 0 where there is no
    /// library.
    pub resolution: f64,
    /// Whether a library of a higher resolving power is smoothed to that of the observations.
    pub smooth_library: bool,
    /// Fraction of the stars, by identifier, that decide when to stop.
    pub validation_fraction: f64,
    /// Training stars from the most similar of which a fit begins.
    pub templates: usize,
    pub training: M::Choices,
}

impl<M: SpectralModel> Default for SpectraRecipe<M> {
    fn default() -> Self {
        Self {
            kind: M::KIND.into(),
            description: String::new(),
            labels: ["teff", "logg", "feh"].map(String::from).to_vec(),
            library: None,
            resolution: 0.0,
            smooth_library: false,
            validation_fraction: 0.1,
            templates: 200,
            training: M::Choices::default(),
        }
    }
}

impl<M: SpectralModel> SpectraRecipe<M> {
    /// From TOML; `place` is for messages.
    ///
    /// # Errors
    /// `Usage` for an unknown key or an impossible value.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let recipe: Self = read_toml(text).map_err(|fault| {
            Error::usage(place)
                .found(fault)
                .remedy(format!("`photosphere recipe {}` prints all keys with their defaults.", M::KIND.replace('_', "-")))
        })?;
        recipe.validate().map_err(|error| error.within(place))?;
        Ok(recipe)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| Err(Error::usage(key).found(found).expected(expected));
        if self.kind != M::KIND {
            return fault("kind", format!("'{}'", self.kind), &format!("'{}'", M::KIND));
        }
        if let Some(twice) = self.labels.iter().enumerate().find(|(i, name)| self.labels[..*i].contains(name)) {
            return fault("labels", format!("'{}' twice", twice.1), "every label once");
        }
        require_free_names("labels", &self.labels)?;
        if self.labels.is_empty() {
            return fault("labels", "none".into(), "at least one");
        }
        if !(0.0..=0.9).contains(&self.validation_fraction) {
            return fault("validation_fraction", self.validation_fraction.to_string(), "a number from 0 to 0.9");
        }
        if !(1..=100_000).contains(&self.templates) {
            return fault("templates", self.templates.to_string(), "1 to 100000");
        }
        let needs_resolution = self.library.is_some();
        if !(self.resolution.is_finite() && self.resolution >= 0.0) || (needs_resolution && self.resolution == 0.0) {
            return fault("resolution", self.resolution.to_string(), "the resolving power λ/FWHM of the observations");
        }
        self.training.validate()
    }

    /// As TOML, with every key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::output("recipe as TOML").found(error.to_string()).source(error))
    }
}
