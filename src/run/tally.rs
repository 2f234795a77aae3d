//! Numbers of stars of a catalogue.

use crate::catalogue::flags;
use crate::error::Result;
use crate::table::read_column_chunks;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Numbers of stars of a finished catalogue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    pub stars: usize,
    pub basic_cut: usize,
    pub not_converged: usize,
    pub not_fitted: usize,
}

/// The quality flags of a catalogue's column; a number that holds no flags of ours counts as all of them.
pub fn flags_of(bits: i64) -> i32 {
    i32::try_from(bits).unwrap_or(i32::MAX)
}

impl Tally {
    /// Counts the stars of a chunk by their quality flags.
    pub fn add(&mut self, quality_flags: impl Iterator<Item = i32>) {
        for bits in quality_flags {
            self.stars += 1;
            self.basic_cut += usize::from(bits < flags::BASIC_CUT);
            self.not_converged += usize::from(bits & flags::NOT_CONVERGED != 0);
            self.not_fitted += usize::from(bits & flags::NOT_FITTED != 0);
        }
    }

    /// The numbers of a finished catalogue: as recorded, or counted where the record has none.
    ///
    /// # Errors
    /// When it has to be counted and cannot be read, or has no quality flags.
    pub fn of_finished(recorded: Option<Self>, path: &Path) -> Result<Self> {
        recorded.map_or_else(|| Self::of_table(path), Ok)
    }

    /// Counts the stars of a catalogue.
    fn of_table(path: &Path) -> Result<Self> {
        let mut tally = Self::default();
        for chunk in read_column_chunks(path, &["quality_flags"], 65_536)? {
            let bits = chunk?.column("quality_flags")?.to_i64()?;
            tally.add(bits.into_iter().map(flags_of));
        }
        Ok(tally)
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stars, basic_cut, not_converged, not_fitted } = self;
        let rest = format!("{basic_cut} pass the basic cut, {not_converged} did not converge, {not_fitted} could not be fitted");
        write!(formatter, "{stars} stars; {rest}")?;
        match *not_fitted {
            0 => Ok(()),
            _ => formatter.write_str(" (too few usable fluxes: a fit needs more than it has free parameters)"),
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.stars += other.stars;
        self.basic_cut += other.basic_cut;
        self.not_converged += other.not_converged;
        self.not_fitted += other.not_fitted;
    }
}
