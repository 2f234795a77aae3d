//! What a run asks of an estimator.

use super::kinds::Package;
use crate::error::{Error, Result};
use crate::text;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model whose predictions are where fits of another one start.
#[derive(Clone)]
pub struct StartFrom(pub Arc<dyn Package>);

impl fmt::Debug for StartFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("StartFrom").field(&self.0.id()).finish()
    }
}

/// The choices of a command line.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// File of options (TOML) of this kind of model.
    pub config: Option<PathBuf>,
    /// Leave prior knowledge out.
    pub likelihood_only: bool,
    /// Parameters (or roles) whose measured values enter, in place of the usual ones.
    pub constraints: Option<Vec<String>>,
    /// Parameters held at values, file units.
    pub hold: Vec<(String, f64)>,
    /// How posteriors are described (`laplace`, `importance`).
    pub posterior: Option<String>,
    /// Whether two stars are fitted to every star besides.
    pub second_star: bool,
    /// Magnitudes by which bands are too faint, by name.
    pub zero_points: BTreeMap<String, f64>,
    /// Where fits start, in place of draws of the prior.
    pub start_from: Option<StartFrom>,
    /// Whether values are wanted without errors.
    pub values_alone: bool,
    pub seed: Option<u64>,
}

impl Request {
    /// The options of the file, or the defaults where none is named.
    ///
    /// # Errors
    /// When it cannot be read, or a key is unknown or impossible.
    pub fn options<T: DeserializeOwned + Serialize + Default>(&self) -> Result<T> {
        self.config.as_ref().map_or_else(|| Ok(T::default()), |path| read_toml(path))
    }

    /// The options of the command line that choose how a generative model is fitted, as far as they are
    /// given: a kind of model refuses those that it does not have.
    pub fn choices_of_fits(&self) -> impl Iterator<Item = &'static str> + use<> {
        let choices = [
            ("--likelihood-only", self.likelihood_only),
            ("--constraint", self.constraints.is_some()),
            ("--hold", !self.hold.is_empty()),
            ("--posterior", self.posterior.is_some()),
            ("--second-star", self.second_star),
            ("--zero-points", !self.zero_points.is_empty()),
            ("--start-from", self.start_from.is_some()),
        ];
        choices.into_iter().filter(|(_, is_made)| *is_made).map(|(choice, _)| choice)
    }

    /// Fails where the run chooses what only fits of a generative model have.
    ///
    /// # Errors
    /// `Usage`, naming the choice.
    pub fn require_no_fit(&self, kind: &str) -> Result<()> {
        match self.choices_of_fits().next() {
            None => Ok(()),
            Some(choice) => Err(Error::usage(choice)
                .found(format!("it with a model of the kind '{kind}', which predicts directly"))
                .expected("no choice of a fit")
                .remedy("Leave the option out, or name a generative model.")),
        }
    }
}

/// Options from a TOML file.
///
/// # Errors
/// `Usage` when it cannot be read or has an unknown key or a value of another type.
pub fn read_toml<T: DeserializeOwned + Serialize>(path: &Path) -> Result<T> {
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::usage(place()).found(error.to_string()).expected("options (TOML)").remedy("Correct the name.").source(error)
    })?;
    text::read_toml(&text).map_err(|fault| {
        Error::usage(place())
            .found(fault)
            .remedy("`photosphere recipe fit` (or simulate, distance, prepare, confidence, fit-pixel-networks) prints all keys with their defaults.")
    })
}
