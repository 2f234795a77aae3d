//! Spectra of surveys: files in the layouts of DESI, LAMOST and SDSS and plain tables, told apart by what
//! is in them, turned into observation files on one grid.
//!
//! ```text
//! files ─ layout ─► reader ─► arms, bad pixels marked ─ rest frame, grid ─► resampled ─ arms and exposures
//!                                                                                    joined, pseudo-continuum
//! joined tables (velocities, labels) ──────────────────────────────────────────► observation file
//! ```
//!
//! | layout | file | told by |
//! |---|---|---|
//! | [`Layout::Desi`] | coadd, spectra: many spectra in arms | HDUs `B_WAVELENGTH`, `B_FLUX`, … and FIBERMAP |
//! | [`Layout::LamostImage`] | pilot to DR8: one spectrum | a primary image of 5 rows |
//! | [`Layout::LamostTable`] | from DR9: one spectrum | a table of one row with vectors FLUX, IVAR, WAVELENGTH, ANDMASK |
//! | [`Layout::Sdss`] | legacy, BOSS, SDSS-V: one spectrum | a table with a pixel in every row, `loglam`, `flux`, `ivar` |
//! | [`Layout::Table`] | Parquet, FITS, CSV …: a spectrum, or a pixel, in every row | the columns that the recipe names |

#[cfg(test)]
mod chunk_tests;
mod desi;
mod fact;
mod flux_unit;
mod identifiers;
mod lamost;
mod layout;
mod observed;
mod output;
mod prepare;
#[cfg(test)]
mod reader_tests;
mod recipe;
mod repeats;
#[cfg(test)]
mod repeats_tests;
#[cfg(test)]
mod sample_files;
#[cfg(test)]
mod sample_truth;
#[cfg(test)]
mod samples;
mod sdss;
mod source;
mod star;
#[cfg(test)]
mod statement_tests;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trap_tests;
mod velocity;
#[cfg(test)]
mod velocity_tests;

pub use fact::Fact;
pub use layout::Layout;
pub use observed::{ObservedSpectrum, ReadOptions, Segment, Spectra, read_spectra};
pub use recipe::{PixelColumns, Smoothing, SpectraSource, VelocityOptions, VelocitySource};
pub use source::SpectraPreparation;
