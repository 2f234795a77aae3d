//! Two stars in the light of one: every star is fitted again as an unresolved pair, and by how much −2 ln P
//! of that is lower tells whether it is one.
//!
//! ```text
//! f = ϖ² (f_abs(Θ₁) + f_abs(Θ₂)) exp(−E·R)
//! −2 ln P(pair) = χ² + constraints − 2 ln p(Θ₁) − 2 ln [p(Θ₂)/p(labels shared with Θ₁)]
//! Δ = −2 ln P(single) + 2 ln P(pair)
//! ```
//!
//! p is the model's mixture prior: the second star is another draw of the sample among stars of the same
//! composition, which keeps it on the sequences of stars without saying which. Both densities are normalised,
//! in the units of models (per kK and dex), and Δ compares the heights of two optima. Whether a star is
//! rather a pair beforehand is not in it: the threshold of the flag is that of a share of single stars.
//!
//! A pair of two main-sequence stars differs from a star by less than the errors of labels where the mass
//! ratio is near one (its excess of luminosity is all there is to see, so that the parallax decides), and
//! where the second star is too faint.

mod fits;
mod found;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::model::SecondStar;
use crate::text::first_repeated;
pub(super) use fits::PairFits;
pub(super) use found::PairOfStar;
pub use found::SecondStars;
use serde::{Deserialize, Serialize};

/// Most second stars from which a fit may start: those draws of the prior that are next to the star in the
/// labels that both share.
const NEXT: usize = 64;

const REMEDY: &str = "Leave the option out for its default; `photosphere recipe fit` prints all of them.";

/// Fits of a second star.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecondStarOptions {
    /// Whether there are any.
    pub fit: bool,
    /// Labels that the second star has of its own; all else is that of both.
    pub labels: Vec<String>,
    /// Δ(−2 ln P) above which a star is flagged (bit 18).
    pub flag_above: f64,
    /// Second stars from which the fits of a star start: a twin, and draws of the prior that differ as much
    /// as can be. All are evaluated, and the optimiser runs from those that promise an optimum of their own.
    pub starts: usize,
}

impl Default for SecondStarOptions {
    fn default() -> Self {
        Self { fit: false, labels: SecondStar::default().labels, flag_above: 6.0, starts: 16 }
    }
}

impl SecondStarOptions {
    /// Checks the options.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("fit option second_star.{option}")).found(found).expected(expected).remedy(REMEDY))
        };
        if self.labels.is_empty() {
            return fault("labels", "none".into(), "labels of the model");
        }
        if let Some(label) = first_repeated(self.labels.iter().map(String::as_str)) {
            return fault("labels", format!("'{label}' twice"), "distinct names");
        }
        if !(self.flag_above >= 0.0 && self.flag_above.is_finite()) {
            return fault("flag_above", self.flag_above.to_string(), "zero or a positive number");
        }
        match (1..=NEXT).contains(&self.starts) {
            true => Ok(()),
            false => fault("starts", self.starts.to_string(), &format!("1 to {NEXT}")),
        }
    }
}
