//! The stars of a training, whose fluxes need not be in memory together.

use super::{Observations, Stars};
use crate::error::Result;
use crate::text::hexadecimal;
use std::borrow::Cow;

/// The stars of a training: in memory ([`Observations`]), or in files that are read anew for every walk over
/// their fluxes ([`super::ObservationFiles`]).
pub trait Sample: Sync {
    /// All of them, without their fluxes.
    fn stars(&self) -> &Stars;

    /// Number of fluxes of a star with finite variance.
    fn n_fluxes(&self, star: usize) -> usize;

    /// SHA-256 over all that a training may look at, in hexadecimal digits.
    fn sha256(&self) -> String;

    /// Visits the given stars, which are in rising order, part by part: `visit` gets a part and which of its
    /// stars these are. What depends on a star alone is the same in whatever parts they come.
    ///
    /// # Errors
    /// When a file cannot be read or has changed since, and those of `visit`.
    fn visit(&self, stars: &[usize], visit: &mut dyn FnMut(&Observations, &[usize]) -> Result<()>) -> Result<()>;

    /// The given stars, which are in rising order, in memory: observations, and which of their stars these
    /// are.
    ///
    /// # Errors
    /// As [`Sample::visit`].
    fn held(&self, stars: &[usize]) -> Result<(Cow<'_, Observations>, Vec<usize>)>;

    /// All stars in memory.
    ///
    /// # Errors
    /// As [`Sample::visit`].
    fn whole(&self) -> Result<Cow<'_, Observations>> {
        let all: Vec<usize> = (0..self.stars().len()).collect();
        Ok(self.held(&all)?.0)
    }
}

impl Sample for Observations {
    fn stars(&self) -> &Stars {
        &self.stars
    }

    fn n_fluxes(&self, star: usize) -> usize {
        Self::n_fluxes(self, star)
    }

    fn sha256(&self) -> String {
        hexadecimal(self.hash())
    }

    fn visit(&self, stars: &[usize], visit: &mut dyn FnMut(&Observations, &[usize]) -> Result<()>) -> Result<()> {
        visit(self, stars)
    }

    fn held(&self, stars: &[usize]) -> Result<(Cow<'_, Observations>, Vec<usize>)> {
        Ok((Cow::Borrowed(self), stars.to_vec()))
    }
}
