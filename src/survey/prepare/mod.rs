//! `prepare`: Gaia XP spectra, photometry, parallaxes and labels, joined on `source_id` into the observation
//! file.
//!
//! ```text
//! XP files ──► chunk of stars ──► flux + covariance ─┐
//! (or the first table)   │                           ├─► chunk of the observation file
//! other tables ──────────┴► joined columns ──► photometry, constraints
//! ```

mod bands;
mod chunk;
pub(super) mod constraints;
mod flux;
mod join;
mod note;
pub(super) mod observation;
mod recipe;
mod run;
mod samples;
mod source;
mod used;
#[cfg(test)]
mod xp_tests;

pub use bands::PhotometrySource;
pub(super) use join::{JoinTable, id_column};
pub use note::Note;
pub(super) use recipe::expand;
pub use recipe::{Duplicates, Grid, PrepareRecipe, TableSource, XpSource};
pub(super) use run::JoinedSource;
pub(super) use run::as_text;
pub use run::{Preparation, Summary, prepare, source_of};
pub(super) use used::Used;

/// Name of the column of input notes, whose bits are [`Note`]s.
pub const NOTES_COLUMN: &str = "input_notes";
