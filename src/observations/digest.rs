//! What tells observations from others.

use super::Observations;
use sha2::{Digest, Sha256};

impl Observations {
    /// SHA-256 over identifiers, grid, fluxes, errors, whitening, constraints and the numeric columns that
    /// cuts may use.
    pub(crate) fn hash(&self) -> Sha256 {
        let mut hash = Sha256::new();
        self.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        for array in [&self.flux, &self.flux_error] {
            array.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        self.whitening.triangle.iter().for_each(|value| hash.update(value.to_le_bytes()));
        self.grid.wavelength.iter().for_each(|nm| hash.update(nm.to_le_bytes()));
        self.grid.names.iter().for_each(|name| hash.update(name.as_bytes()));
        for values in self.auxiliary.columns().iter().filter_map(|column| column.to_f64().ok()) {
            values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        for (name, constraint) in &self.constraints {
            hash.update(name.as_bytes());
            for star in 0..self.len() {
                let (value, error) = constraint.get(star).unwrap_or((f64::NAN, f64::INFINITY));
                hash.update(value.to_le_bytes());
                hash.update(error.to_le_bytes());
            }
        }
        hash
    }
}
