//! What tells observations from others.

use super::{Grid, Observations};
use crate::table::{Column, Shape, ValueType};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// SHA-256 over identifiers, grid, fluxes, errors, whitening, constraints and the columns of numbers that
/// cuts may use; the same for stars together and part after part.
#[derive(Clone, Default)]
pub(super) struct Digest {
    /// By what they are of: a hash of each array, so that its parts need not be adjacent.
    arrays: BTreeMap<String, Sha256>,
}

impl Digest {
    /// Takes up the next stars.
    pub(super) fn add(&mut self, part: &Observations) {
        self.of("source_id", part.ids.iter().map(|id| id.to_le_bytes()));
        self.of("flux", part.flux.iter().map(|value| value.to_le_bytes()));
        self.of("flux error", part.flux_error.iter().map(|value| value.to_le_bytes()));
        self.of("whitening", part.whitening.triangle.iter().map(|value| value.to_le_bytes()));
        let is_number = |column: &&Column| column.shape == Shape::Scalar && column.values.value_type() != ValueType::Text;
        for column in part.auxiliary.columns().iter().filter(is_number) {
            if let Ok(values) = column.to_f64() {
                self.of(&format!("column {}", column.schema.name), values.iter().map(|value| value.to_le_bytes()));
            }
        }
        for (name, constraint) in &part.constraints {
            let measured = (0..part.len()).flat_map(|star| {
                let (value, error) = constraint.get(star).unwrap_or((f64::NAN, f64::INFINITY));
                [value.to_le_bytes(), error.to_le_bytes()]
            });
            self.of(&format!("measured {name}"), measured);
        }
    }

    fn of<const N: usize>(&mut self, name: &str, values: impl Iterator<Item = [u8; N]>) {
        // Absent and empty are the same: a part may have no stars.
        let hash = self.arrays.entry(name.to_owned()).or_default();
        values.for_each(|bytes| hash.update(bytes));
    }

    /// The hash of all that was taken up.
    pub(super) fn finish(self, grid: &Grid) -> Sha256 {
        let mut hash = Sha256::new();
        grid.wavelength.iter().for_each(|nm| hash.update(nm.to_le_bytes()));
        for name in &grid.names {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
        }
        for (name, array) in self.arrays {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(array.finalize());
        }
        hash
    }
}

impl Observations {
    /// See [`Digest`].
    pub(crate) fn hash(&self) -> Sha256 {
        let mut digest = Digest::default();
        digest.add(self);
        digest.finish(&self.grid)
    }
}
