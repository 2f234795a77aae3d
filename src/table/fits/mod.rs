//! FITS binary tables, through cfitsio: scalars, lists of fixed and varying length, text, booleans, integers with TNULL, unsigned and
//! scaled columns; units, UCDs and descriptions as TUNIT, TUCD and TCOMM (which TOPCAT shows) and in astropy's own COMMENT block; the
//! table's metadata as header cards.
//!
//! NaN, empty text and empty lists are what FITS has for missing values, so they are read as null (as astropy does for the first
//! two), and nulls are written so.

mod astropy;
mod cards;
mod cfitsio;
mod read;
mod write;

pub(super) use read::{chunks, row_count, schema};
pub(super) use write::FitsSink;
