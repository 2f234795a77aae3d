//! Cuts: which stars of a set enter a stage of training.

use super::Stars;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// An allowed range of a quantity. Stars without the quantity do not pass.
///
/// A quantity is a column of the file (`ruwe`, `teff`), the error of a constraint (`teff_error`), or a
/// constraint's signal-to-noise ratio (`parallax_over_error`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    pub quantity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
}

impl Cut {
    fn values(&self, stars: &Stars) -> Result<Vec<f64>> {
        let constraint = |name: &str, pick: fn((f64, f64)) -> f64| -> Option<Vec<f64>> {
            let constraint = stars.constraints.get(name)?;
            Some((0..stars.len()).map(|star| constraint.get(star).map_or(f64::NAN, pick)).collect())
        };
        let derived = match self.quantity.strip_suffix("_over_error") {
            Some(name) => constraint(name, |(value, error)| value / error),
            None => match self.quantity.strip_suffix("_error") {
                Some(name) => constraint(name, |(_, error)| error),
                None => constraint(&self.quantity, |(value, _)| value),
            },
        };
        match derived {
            Some(values) => Ok(values),
            None => stars
                .auxiliary
                .column(&self.quantity)
                .and_then(|column| column.to_f64())
                .map_err(|error| Error::usage(format!("cut on '{}'", self.quantity)).found(error.to_string())),
        }
    }
}

/// The stars that pass all cuts, in order.
///
/// # Errors
/// When a cut names a quantity that the stars do not have.
pub fn select(stars: &Stars, cuts: &[Cut]) -> Result<Vec<usize>> {
    let mut passes = vec![true; stars.len()];
    for cut in cuts {
        for (passes, value) in passes.iter_mut().zip(cut.values(stars)?) {
            let inside = cut.minimum.is_none_or(|minimum| value >= minimum) && cut.maximum.is_none_or(|maximum| value <= maximum);
            *passes &= inside && !value.is_nan();
        }
    }
    Ok((0..passes.len()).filter(|&star| passes[star]).collect())
}
