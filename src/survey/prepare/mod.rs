//! `prepare`: Gaia XP spectra, photometry, parallaxes and labels, joined on `source_id` into the observation file.
//!
//! ```text
//! XP files ──► chunk of stars ──► flux + covariance ─┐
//! (or the first table)   │                           ├─► chunk of the observation file
//! other tables ──────────┴► joined columns ──► photometry, constraints
//! ```

mod chunk;
mod constraints;
mod flux;
mod join;
mod note;
mod recipe;
mod run;
mod samples;
mod used;
#[cfg(test)]
mod xp_tests;

pub use note::Note;
pub use recipe::{Duplicates, Grid, PhotometrySource, PrepareRecipe, TableSource, XpSource};
pub use run::{Preparation, Summary, prepare};

/// Name of the column of input notes, whose bits are [`Note`]s.
pub const NOTES_COLUMN: &str = "input_notes";
