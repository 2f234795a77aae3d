//! How pixel networks are trained: every choice, with visible defaults.

use super::super::activation::Activation;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Choices of a training (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingOptions {
    /// Neurons of the hidden layer.
    pub hidden: usize,
    pub activation: Activation,
    /// D′: weight of the gradient term of every label, in units of the label's own gradients. 0: no physics.
    pub regularisation: f64,
    /// The same for single labels.
    pub regularisation_of: BTreeMap<String, f64>,
    /// λ of the weight decay λ/N |θ|².
    pub weight_decay: f64,
    /// Smoothing of the absolute values, in units of the label's own gradients, one stage after the other.
    pub smoothing: Vec<f64>,
    /// Most iterations of a pixel.
    pub iterations: usize,
    /// A stage ends when two iterations in a row lower the loss by less than this fraction.
    pub tolerance: f64,
    /// A stage ends when the validation loss has risen for this many iterations; the best is kept.
    pub patience: usize,
    /// Damping of the first step, relative to the diagonal.
    pub damping: f64,
    pub seed: u64,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            hidden: 20,
            activation: Activation::Tanh,
            regularisation: 1.0,
            regularisation_of: BTreeMap::new(),
            weight_decay: 1.0,
            smoothing: vec![0.3, 0.1, 0.03],
            iterations: 30,
            tolerance: 1e-3,
            patience: 3,
            damping: 1e-2,
            seed: 1,
        }
    }
}

impl TrainingOptions {
    /// Checks every choice.
    ///
    /// # Errors
    /// `Usage`, naming the choice and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("training option {option}")).found(found).expected(expected))
        };
        if !(1..=512).contains(&self.hidden) {
            return fault("hidden", self.hidden.to_string(), "1 to 512 neurons");
        }
        if !(1..=10_000).contains(&self.iterations) {
            return fault("iterations", self.iterations.to_string(), "1 to 10000");
        }
        if self.patience == 0 {
            return fault("patience", "0".into(), "at least 1");
        }
        let strengths = self.regularisation_of.iter().map(|(name, value)| (format!("regularisation_of.{name}"), *value));
        let numbers =
            [("regularisation", self.regularisation), ("weight_decay", self.weight_decay), ("tolerance", self.tolerance)];
        for (option, value) in numbers.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(strengths) {
            if !(value >= 0.0 && value.is_finite()) {
                return fault(&option, value.to_string(), "a number that is not negative");
            }
        }
        if !(self.damping > 0.0 && self.damping.is_finite()) {
            return fault("damping", self.damping.to_string(), "a positive number");
        }
        match self.smoothing.iter().find(|value| !(**value > 0.0 && value.is_finite())) {
            Some(value) => fault("smoothing", value.to_string(), "positive numbers"),
            None if self.smoothing.is_empty() => fault("smoothing", "no stage".into(), "at least one"),
            None => Ok(()),
        }
    }

    /// D′ of a label.
    pub fn strength(&self, label: &str) -> f64 {
        self.regularisation_of.get(label).copied().unwrap_or(self.regularisation)
    }
}
