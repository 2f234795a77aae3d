//! How strongly the gradients of labels are held to physics, as recipes of all families say it.

use super::labels::LabelSpace;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// D′: weights of the gradient term of labels, in units of the label's own gradients or absolute.
#[derive(Debug, Clone, Copy)]
pub struct Regularisation<'a> {
    /// Of labels that are not named (`regularisation`).
    pub usual: f64,
    /// Of single labels (`regularisation_of`).
    pub of: &'a BTreeMap<String, f64>,
    /// Whether weights are in units of the labels' own gradients (`relative_regularisation`); otherwise they
    /// are Dₖ as published (Zhang et al. 2024, eq. 3).
    pub is_relative: bool,
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

    /// Dₖ `[L]`: D′ over the root mean square of the label's scaled gradients `rms [L]`, or D′ itself where
    /// weights are absolute; 0 for labels that have no gradients.
    pub fn weights(&self, space: &LabelSpace, rms: &[f64]) -> Vec<f64> {
        let unit = |rms: f64| if self.is_relative { rms } else { 1.0 };
        let weight = |(name, rms): (&String, &f64)| if *rms > 0.0 { self.strength(name) / unit(*rms) } else { 0.0 };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 for temperature and 50 for the abundance, as published, is what a recipe gives D′ = D rms for.
    #[test]
    fn absolute_weights_are_those_of_the_published_loss() {
        let [names, units] = [["teff", "mg_fe"], ["K", "dex"]].map(|words| words.map(str::to_owned).to_vec());
        let space = LabelSpace::new(names, units, vec![4000.0, -0.5], vec![7000.0, 0.5]).unwrap();
        let of = BTreeMap::from([("mg_fe".to_owned(), 50.0)]);
        let rms = [0.24, 0.022];
        let absolute = Regularisation { usual: 5.0, of: &of, is_relative: false };
        assert_eq!(absolute.weights(&space, &rms), [5.0, 50.0]);
        assert_eq!(absolute.weights(&space, &[0.24, 0.0]), [5.0, 0.0]);
        let of = BTreeMap::from([("mg_fe".to_owned(), 50.0 * 0.022)]);
        let relative = Regularisation { usual: 5.0 * 0.24, of: &of, is_relative: true };
        let difference = |k: usize| (relative.weights(&space, &rms)[k] / absolute.weights(&space, &rms)[k] - 1.0).abs();
        assert!(difference(0) < 1e-12 && difference(1) < 1e-12);
        assert_ne!(Regularisation { is_relative: true, ..absolute }.weights(&space, &rms), [5.0, 50.0], "the control");
    }
}
