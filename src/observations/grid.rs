//! The wavelengths of a data vector.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Wavelengths (nm) and names of the W entries of a data vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Wavelength of each entry, nm.
    pub wavelength: Vec<f64>,
    /// Name of each entry (`xp_392`, `j`).
    pub names: Vec<String>,
}

impl Grid {
    /// A grid.
    ///
    /// # Errors
    /// When it is empty, a wavelength is not positive and finite, or the numbers of wavelengths and names differ.
    pub fn new(wavelength: Vec<f64>, names: Vec<String>) -> Result<Self> {
        if wavelength.is_empty() || wavelength.len() != names.len() {
            return Err(Error::data("wavelength grid")
                .found(format!("{} wavelengths and {} names", wavelength.len(), names.len()))
                .expected("as many names as wavelengths, at least one"));
        }
        if let Some((name, bad)) = names.iter().zip(&wavelength).find(|(_, nm)| !(nm.is_finite() && **nm > 0.0)) {
            return Err(Error::data(format!("wavelength of '{name}'")).found(format!("{bad} nm")).expected("a positive number"));
        }
        Ok(Self { wavelength, names })
    }

    /// Number of entries W.
    pub fn len(&self) -> usize {
        self.wavelength.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.wavelength.is_empty()
    }

    /// Fails when `other` is not the same data vector.
    ///
    /// # Errors
    /// Names the first entry that differs.
    pub fn require_same(&self, other: &Self) -> Result<()> {
        let differs = |i: &usize| {
            self.names.get(*i) != other.names.get(*i)
                || self.wavelength.get(*i).zip(other.wavelength.get(*i)).is_none_or(|(a, b)| (a - b).abs() > 1e-6 * a)
        };
        let describe = |grid: &Self, i: usize| {
            grid.names.get(i).map_or("no such entry".into(), |name| format!("'{name}' at {} nm", grid.wavelength[i]))
        };
        match (0..self.len().max(other.len())).find(differs) {
            None => Ok(()),
            Some(i) => Err(Error::data(format!("data vector, entry {i}"))
                .found(format!("{} ({} entries)", describe(other, i), other.len()))
                .expected(format!("{} ({} entries)", describe(self, i), self.len()))
                .remedy("Prepare the observations with the bands and the grid of the model.")),
        }
    }
}
