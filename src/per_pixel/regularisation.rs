//! How strongly the gradients of labels are held to physics, as recipes of all families say it.

use super::labels::LabelSpace;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// D′: weights of the gradient term of labels, in units of the label's own gradients.
#[derive(Debug, Clone, Copy)]
pub struct Regularisation<'a> {
    /// Of labels that are not named (`regularisation`).
    pub usual: f64,
    /// Of single labels (`regularisation_of`).
    pub of: &'a BTreeMap<String, f64>,
}

impl Regularisation<'_> {
    /// D′ of a label.
    pub fn strength(&self, label: &str) -> f64 {
        self.of.get(label).copied().unwrap_or(self.usual)
    }

    /// Checks every weight.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let named = self.of.iter().map(|(name, value)| (format!("regularisation_of.{name}"), *value));
        let is_faulty = |(_, value): &(String, f64)| !(*value >= 0.0 && value.is_finite());
        match [("regularisation".to_owned(), self.usual)].into_iter().chain(named).find(is_faulty) {
            None => Ok(()),
            Some((option, value)) => Err(Error::usage(format!("training option {option}"))
                .found(value.to_string())
                .expected("a number that is not negative")
                .remedy("Correct the recipe.")),
        }
    }

    /// Refuses labels that are not those of a training.
    ///
    /// # Errors
    /// `Usage`, naming one.
    pub fn require_known(&self, space: &LabelSpace) -> Result<()> {
        require_known("regularisation_of", self.of.keys(), space)
    }

    /// Dₖ `[L]`: D′ over the root mean square of the label's scaled gradients `rms [L]`; 0 for labels that
    /// have none.
    pub fn weights(&self, space: &LabelSpace, rms: &[f64]) -> Vec<f64> {
        let weight = |(name, rms): (&String, &f64)| if *rms > 0.0 { self.strength(name) / rms } else { 0.0 };
        space.names.iter().zip(rms).map(weight).collect()
    }
}

/// Refuses an option for labels that are not those of a training.
///
/// # Errors
/// `Usage`, naming one.
pub(super) fn require_known<'a>(option: &str, mut names: impl Iterator<Item = &'a String>, space: &LabelSpace) -> Result<()> {
    match names.find(|name| !space.names.contains(name)) {
        None => Ok(()),
        Some(unknown) => Err(Error::usage(format!("training option {option}"))
            .found(format!("'{unknown}'"))
            .expected(format!("labels of the training: {}", space.names.join(", ")))
            .remedy("Correct the recipe.")),
    }
}
