//! How pixel networks are trained: every choice, with visible defaults.

use super::super::activation::Activation;
use super::super::regularisation::Regularisation;
use super::adam::AdamOptions;
use super::history::stride;
use super::two_layers::Places;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most weights of a second layer: matrices have the square of it.
const LARGEST_SECOND_LAYER: usize = 2500;
/// Weights between the hidden layers of the mean of a committee: 0.25 MB a pixel.
const LARGEST_MEAN_LAYER: usize = 65_536;

/// How networks are optimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Second order: seconds in place of minutes.
    LevenbergMarquardt,
    /// As published; `iterations`, `tolerance`, `damping` and all but the last of `smoothing` are not its.
    Adam,
}

/// Choices of a training (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingOptions {
    /// Neurons of the hidden layer.
    pub hidden: usize,
    /// Neurons of a second hidden layer; 0: there is none.
    pub second_hidden: usize,
    pub activation: Activation,
    pub optimiser: Optimiser,
    /// Networks of a pixel, from different starts, whose mean is the model: one network with the neurons of
    /// all. More than one where references are few.
    pub committee: usize,
    /// D′: weight of the gradient term of every label, in units of the label's own gradients. 0: no physics.
    pub regularisation: f64,
    /// Whether weights are in these units; otherwise they are Dₖ itself, of gradients by labels scaled to ±½.
    pub relative_regularisation: bool,
    /// The same for single labels.
    pub regularisation_of: BTreeMap<String, f64>,
    /// Windows (Å, from and to) of the pixels that a label may act on; on all others it has no effect at all.
    /// Labels that are not named act everywhere.
    pub windows_of: BTreeMap<String, Vec<[f64; 2]>>,
    /// λ of the weight decay λ/N |θ|².
    pub weight_decay: f64,
    /// How many times the labels of the training stars are freed within their errors and the networks taught
    /// anew, where errors matter; 0: labels are taken for exact.
    pub label_alternations: usize,
    /// Pixels on which structured polynomials are trained too, to say what the networks are worth; 0: none.
    pub oracle_pixels: usize,
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
    pub adam: AdamOptions,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            hidden: 20,
            second_hidden: 0,
            activation: Activation::Tanh,
            optimiser: Optimiser::LevenbergMarquardt,
            committee: 1,
            regularisation: 1.0,
            relative_regularisation: true,
            regularisation_of: BTreeMap::new(),
            windows_of: BTreeMap::new(),
            weight_decay: 1.0,
            label_alternations: 2,
            oracle_pixels: 64,
            smoothing: vec![0.3, 0.1, 0.03],
            iterations: 30,
            tolerance: 1e-3,
            patience: 3,
            damping: 1e-2,
            seed: 1,
            adam: AdamOptions::default(),
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
            Err(Error::usage(format!("training option {option}")).found(found).expected(expected).remedy("Correct the recipe."))
        };
        self.adam.validate()?;
        if !(1..=512).contains(&self.hidden) {
            return fault("hidden", self.hidden.to_string(), "1 to 512 neurons");
        }
        if self.second_hidden > 512 || self.hidden * self.second_hidden > LARGEST_SECOND_LAYER {
            return fault("second_hidden", self.second_hidden.to_string(), "0 to 512 neurons, with 2500 weights at most");
        }
        if !(1..=64).contains(&self.committee) || self.committee * self.hidden > 512 {
            return fault("committee", self.committee.to_string(), "1 to 64 networks, with 512 neurons together at most");
        }
        // The mean of a committee has the zeros between its members too.
        let between = self.committee * self.committee * self.hidden * self.second_hidden;
        if self.committee * self.second_hidden > 512 || between > LARGEST_MEAN_LAYER {
            let found = format!("{} networks of {} and {} neurons", self.committee, self.hidden, self.second_hidden);
            return fault("committee", found, "512 neurons of each layer together at most, and 65536 weights between the layers");
        }
        if !(1..=10_000).contains(&self.iterations) {
            return fault("iterations", self.iterations.to_string(), "1 to 10000");
        }
        if self.label_alternations > 20 {
            return fault("label_alternations", self.label_alternations.to_string(), "0 to 20");
        }
        if self.patience == 0 {
            return fault("patience", "0".into(), "at least 1");
        }
        self.gradient_weights().validate()?;
        for (option, value) in [("weight_decay", self.weight_decay), ("tolerance", self.tolerance)] {
            if !(value >= 0.0 && value.is_finite()) {
                return fault(option, value.to_string(), "a number that is not negative");
            }
        }
        if !(self.damping > 0.0 && self.damping.is_finite()) {
            return fault("damping", self.damping.to_string(), "a positive number");
        }
        for (label, windows) in &self.windows_of {
            let is_impossible = |window: &&[f64; 2]| !(window[0] < window[1] && window[1].is_finite());
            if let Some([from, to]) = windows.iter().find(is_impossible) {
                return fault(&format!("windows_of.{label}"), format!("[{from}, {to}]"), "wavelengths in Å, the second larger");
            }
        }
        match self.smoothing.iter().find(|value| !(**value > 0.0 && value.is_finite())) {
            Some(value) => fault("smoothing", value.to_string(), "positive numbers"),
            None if self.smoothing.is_empty() => fault("smoothing", "no stage".into(), "at least one"),
            None => Ok(()),
        }
    }

    /// Neurons of the two hidden layers of a network, of the second maybe none.
    pub fn widths(&self) -> [usize; 2] {
        [self.hidden, self.second_hidden]
    }

    /// Iterations of a pixel from one point of its history to the next.
    pub(super) fn history_stride(&self) -> usize {
        match self.optimiser {
            Optimiser::LevenbergMarquardt => stride(self.iterations),
            Optimiser::Adam => stride(self.adam.epochs / self.adam.judge_every),
        }
    }

    /// Iterations, or epochs, that are over at a point of a stage's history.
    pub(super) fn iteration_of(&self, place: usize) -> usize {
        let place = place * self.history_stride();
        match self.optimiser {
            Optimiser::LevenbergMarquardt => place,
            Optimiser::Adam => (place * self.adam.judge_every).min(self.adam.epochs),
        }
    }

    /// Number of parameters of a network with so many labels.
    pub fn n_parameters(&self, n_labels: usize) -> usize {
        Places { n_labels, n_hidden: self.hidden, n_second: self.second_hidden }.n_parameters()
    }

    /// Whether a label may act on a pixel at a wavelength (Å).
    pub fn acts(&self, label: &str, wavelength: f64) -> bool {
        let within = |[from, to]: &[f64; 2]| (*from..=*to).contains(&wavelength);
        self.windows_of.get(label).is_none_or(|windows| windows.iter().any(within))
    }

    /// D′ of the labels.
    pub fn gradient_weights(&self) -> Regularisation<'_> {
        Regularisation { usual: self.regularisation, of: &self.regularisation_of, is_relative: self.relative_regularisation }
    }
}
