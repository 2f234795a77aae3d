//! How learning rates change over epochs.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// As a function of the epoch alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    #[default]
    Constant,
    /// Times `factor` at each of the `epochs`.
    Steps { epochs: Vec<u32>, factor: f64 },
    /// Half a cosine down to `end_fraction` of the first rate.
    Cosine { end_fraction: f64 },
}

impl Schedule {
    /// Factor on the rate in an epoch of `n_epochs`.
    pub fn factor(&self, epoch: u32, n_epochs: u32) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Steps { epochs, factor } => factor.powi(epochs.iter().filter(|at| epoch >= **at).count() as i32),
            Self::Cosine { end_fraction } => {
                let phase = f64::from(epoch) / f64::from(n_epochs.max(1));
                end_fraction + (1.0 - end_fraction) * 0.5 * (1.0 + (std::f64::consts::PI * phase).cos())
            }
        }
    }

    /// # Errors
    /// `Usage`, naming a factor that is not positive or above one.
    pub fn validate(&self) -> Result<()> {
        let (name, value) = match self {
            Self::Constant => return Ok(()),
            Self::Steps { factor, .. } => ("factor", *factor),
            Self::Cosine { end_fraction } => ("end_fraction", *end_fraction),
        };
        in_unit_interval(&format!("schedule.{name}"), value)
    }
}

/// The rate falls by `factor` after `patience` epochs without a better loss, counted anew after each fall.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plateau {
    pub factor: f64,
    pub patience: u32,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.5, patience: 5 }
    }
}

impl Plateau {
    /// # Errors
    /// `Usage`, naming a factor that is not positive or above one.
    pub fn validate(&self) -> Result<()> {
        in_unit_interval("plateau.factor", self.factor)
    }
}

fn in_unit_interval(key: &str, value: f64) -> Result<()> {
    match value > 0.0 && value <= 1.0 {
        true => Ok(()),
        false => {
            Err(Error::usage(key).found(value.to_string()).expected("a number above 0, at most 1").remedy("Correct the recipe."))
        }
    }
}
