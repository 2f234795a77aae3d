//! Stars without their fluxes: what cuts, targets and splits look at.

use super::{Constraint, Grid};
use crate::error::{Error, Result};
use crate::table::Table;
use std::collections::BTreeMap;

/// Stars with all that is known of them but their fluxes.
///
/// # Shapes
/// `ids [N]`, `input_flags [N]`.
#[derive(Debug, Clone)]
pub struct Stars {
    pub grid: Grid,
    pub ids: Vec<i64>,
    /// The unit of flux and errors: that of the read options; without one, [`crate::quantity::FLUX_UNIT`]
    /// where the file's unit is of that kind, and the file's elsewhere. Empty where none is known.
    pub flux_unit: String,
    /// Measured values of parameters, by parameter name, in file units.
    pub constraints: BTreeMap<String, Constraint>,
    /// [`super::input_flag`] bits of every star.
    pub input_flags: Vec<u32>,
    /// All other columns of the file, for cuts and for validation.
    pub auxiliary: Table,
}

impl Stars {
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
            flux_unit: self.flux_unit.clone(),
            constraints: self.constraints.iter().map(|(name, constraint)| (name.clone(), constraint.select(stars))).collect(),
            input_flags: stars.iter().map(|&star| self.input_flags[star]).collect(),
            auxiliary: self.auxiliary.select(stars),
        }
    }

    /// Adds the stars of another part of the same files.
    ///
    /// # Errors
    /// When the parts have other columns, or were prepared otherwise.
    pub(super) fn append(&mut self, more: Self) -> Result<()> {
        self.grid.require_same(&more.grid)?;
        self.grid.learn(&more.grid);
        self.auxiliary.append(more.auxiliary)?;
        for (name, constraint) in more.constraints {
            let known = self.constraints.get_mut(&name).ok_or_else(|| {
                Error::data(format!("columns '{name}' and '{name}_error'"))
                    .found("them in a part of the files")
                    .expected("in all")
            })?;
            known.append(constraint);
        }
        self.ids.extend(more.ids);
        self.input_flags.extend(more.input_flags);
        Ok(())
    }

    /// Fails where no star has a measured value and error of a parameter.
    ///
    /// # Errors
    /// `Data`, saying which of the columns there are; `expected` and `remedy` are the caller's.
    pub fn require_measured(&self, name: &str, expected: &str, remedy: &str) -> Result<()> {
        let fault = |found: String| {
            Err(Error::data(format!("columns '{name}' and '{name}_error'")).found(found).expected(expected).remedy(remedy))
        };
        if !self.constraints.contains_key(name) {
            let has = |column: &str| self.auxiliary.get(column).is_some();
            return fault(match (has(name), has(&format!("{name}_error"))) {
                (true, false) => "no errors".into(),
                (false, true) => "no values".into(),
                _ => "neither".into(),
            });
        }
        match self.n_measured(name) {
            0 => fault(format!("no star of {} with a value and a positive error", self.len())),
            _ => Ok(()),
        }
    }

    /// How many stars have a measured value of a parameter, with its error.
    pub fn n_measured(&self, parameter: &str) -> usize {
        (0..self.len()).filter(|&star| self.constraint(parameter, star).is_some()).count()
    }

    /// The measured value and error of a parameter for a star (file units), if there is one.
    pub fn constraint(&self, parameter: &str, star: usize) -> Option<(f64, f64)> {
        self.constraints.get(parameter).and_then(|constraint| constraint.get(star))
    }
}
