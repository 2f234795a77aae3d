//! How polynomials are trained: every choice, with visible defaults.

use super::terms::Terms;
use crate::error::{Error, Result};
use crate::per_pixel::{Regularisation, is_abundance_ratio};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest degree of a recipe.
const LARGEST_DEGREE: u8 = 8;

/// Choices of a training (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolynomialOptions {
    /// Degree of the core labels, all that are no abundance ratios.
    pub core_degree: u8,
    /// Degree of the core labels that an abundance ratio is multiplied with.
    pub cross_degree: u8,
    /// Largest power of an abundance ratio alone.
    pub ratio_degree: u8,
    /// D′: weight of the gradient term of every label, in units of the label's own gradients. 0: no physics.
    pub regularisation: f64,
    /// Whether weights are in these units; otherwise they are Dₖ itself, of gradients by labels scaled to ±½.
    pub relative_regularisation: bool,
    /// The same for single labels.
    pub regularisation_of: BTreeMap<String, f64>,
    /// ε in units of the label's own gradients: squares d²/2ε stand for the absolute values √(d² + ε²) − ε of
    /// networks.
    pub smoothing: f64,
    /// λ of the ridge λ/N Σ (2^−degree · coefficient)², which leaves the constant out.
    pub ridge: f64,
    /// How many times the labels of the training stars are freed within their errors and the polynomials
    /// solved anew, where errors matter; 0: labels are taken for exact.
    pub label_alternations: usize,
}

impl Default for PolynomialOptions {
    fn default() -> Self {
        Self {
            core_degree: 4,
            cross_degree: 3,
            ratio_degree: 2,
            regularisation: 1.0,
            relative_regularisation: true,
            regularisation_of: BTreeMap::new(),
            smoothing: 0.1,
            ridge: 1.0,
            label_alternations: 2,
        }
    }
}

impl PolynomialOptions {
    /// Checks every choice.
    ///
    /// # Errors
    /// `Usage`, naming the choice and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("training option {option}")).found(found).expected(expected).remedy("Correct the recipe."))
        };
        let degrees =
            [("core_degree", self.core_degree), ("cross_degree", self.cross_degree), ("ratio_degree", self.ratio_degree)];
        for (option, degree) in degrees {
            if degree > LARGEST_DEGREE || (option != "cross_degree" && degree == 0) {
                let least = if option == "cross_degree" { 0 } else { 1 };
                return fault(option, degree.to_string(), &format!("{least} to {LARGEST_DEGREE}"));
            }
        }
        self.gradient_weights().validate()?;
        if !(self.ridge >= 0.0 && self.ridge.is_finite()) {
            return fault("ridge", self.ridge.to_string(), "a number that is not negative");
        }
        if !(self.smoothing > 0.0 && self.smoothing.is_finite()) {
            return fault("smoothing", self.smoothing.to_string(), "a positive number");
        }
        match self.label_alternations > 20 {
            true => fault("label_alternations", self.label_alternations.to_string(), "0 to 20"),
            false => Ok(()),
        }
    }

    /// The terms of a polynomial in these labels.
    ///
    /// # Errors
    /// `Usage` where there are too many.
    pub fn terms(&self, names: &[String]) -> Result<Terms> {
        let is_ratio: Vec<bool> = names.iter().map(|name| is_abundance_ratio(name)).collect();
        Terms::structured(&is_ratio, self.core_degree, self.cross_degree, self.ratio_degree)
            .map_err(|error| Error::usage("degrees of a polynomial").found(error.to_string()).remedy("Lower them in the recipe."))
    }

    /// D′ of the labels.
    pub fn gradient_weights(&self) -> Regularisation<'_> {
        Regularisation { usual: self.regularisation, of: &self.regularisation_of, is_relative: self.relative_regularisation }
    }
}
