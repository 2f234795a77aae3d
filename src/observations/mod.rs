//! Observations: identifiers, flux, noise, constraints, selections and batches; the same for every survey and
//! for the simulator.

mod constraint;
mod cut;
mod digest;
mod flux;
mod flux_unit;
#[cfg(test)]
mod formats;
mod grid;
mod in_code;
mod read;
mod split;

pub use constraint::Constraint;
pub use cut::{Cut, select};
pub use flux_unit::require_same_flux_unit;
pub use grid::Grid;
pub use read::{ReadOptions, columns};
pub use split::{hash64, in_validation, shuffled};

use crate::error::{Error, Result};
use crate::noise::Whitening;
use crate::table::Table;
use ndarray::Array2;
use std::collections::BTreeMap;

/// Bits that say what was wrong with a star's input; they are shifted into the catalogue's `quality_flags`.
pub mod input_flag {
    /// A flux was infinite or beyond reason, had an error or a variance that is not finite and positive, or
    /// covariances that are not finite; that flux counts as missing, and the others stay.
    pub const BAD_FLUX: u32 = 1;
    /// No flux has a finite variance: nothing can be fitted.
    pub const NO_FLUX: u32 = 1 << 1;
    /// A constraint (parallax, label …) is beyond reason, or its error is, or is zero or negative; it is
    /// ignored.
    pub const BAD_CONSTRAINT: u32 = 1 << 2;
    /// The flux covariance was not positive-definite and its eigenvalues were raised to the floor.
    pub const COVARIANCE_FLOORED: u32 = 1 << 3;
}

/// Stars with data, noise and constraints.
///
/// # Shapes
/// `ids [N]`, `flux [N, W]` (0 where missing), `flux_error [N, W]` (1σ of the diagonal, infinite where
/// missing).
#[derive(Debug, Clone)]
pub struct Observations {
    pub grid: Grid,
    pub ids: Vec<i64>,
    pub flux: Array2<f32>,
    pub flux_error: Array2<f32>,
    /// The unit of both: that of the read options; without one, [`crate::quantity::FLUX_UNIT`] where the
    /// file's unit is of that kind, and the file's elsewhere. Empty where none is known.
    pub flux_unit: String,
    pub whitening: Whitening,
    /// Measured values of parameters, by parameter name, in file units.
    pub constraints: BTreeMap<String, Constraint>,
    /// [`input_flag`] bits of every star.
    pub input_flags: Vec<u32>,
    /// All other columns of the file, for cuts and for validation.
    pub auxiliary: Table,
}

impl Observations {
    /// Number of stars N.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no stars.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The given stars, in the given order.
    pub fn select(&self, stars: &[usize]) -> Self {
        Self {
            grid: self.grid.clone(),
            ids: stars.iter().map(|&star| self.ids[star]).collect(),
            flux: self.flux.select(ndarray::Axis(0), stars),
            flux_error: self.flux_error.select(ndarray::Axis(0), stars),
            flux_unit: self.flux_unit.clone(),
            whitening: self.whitening.select(stars),
            constraints: self.constraints.iter().map(|(name, constraint)| (name.clone(), constraint.select(stars))).collect(),
            input_flags: stars.iter().map(|&star| self.input_flags[star]).collect(),
            auxiliary: self.auxiliary.select(stars),
        }
    }

    /// Number of fluxes of a star with finite variance.
    pub fn n_fluxes(&self, star: usize) -> usize {
        self.flux_error.row(star).iter().filter(|error| error.is_finite()).count()
    }

    /// Fails where no star has a measured value and error of a parameter.
    ///
    /// # Errors
    /// `Data`, saying which of the columns there are; `expected` and `remedy` are the caller's.
    pub fn require_measured(&self, name: &str, expected: &str, remedy: &str) -> Result<()> {
        let fault = |found: String| {
            Err(Error::data(format!("columns '{name}' and '{name}_error'")).found(found).expected(expected).remedy(remedy))
        };
        let Some(constraint) = self.constraints.get(name) else {
            let has = |column: &str| self.auxiliary.get(column).is_some();
            return fault(match (has(name), has(&format!("{name}_error"))) {
                (true, false) => "no errors".into(),
                (false, true) => "no values".into(),
                _ => "neither".into(),
            });
        };
        match (0..self.len()).any(|star| constraint.get(star).is_some()) {
            true => Ok(()),
            false => fault(format!("no star of {} with a value and a positive error", self.len())),
        }
    }

    /// The measured value and error of a parameter for a star (file units), if there is one.
    pub fn constraint(&self, parameter: &str, star: usize) -> Option<(f64, f64)> {
        self.constraints.get(parameter).and_then(|constraint| constraint.get(star))
    }
}
