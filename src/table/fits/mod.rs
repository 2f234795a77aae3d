//! FITS binary tables, read and written by our own code: scalars, lists of fixed and varying length, text,
//! booleans and bits, integers with TNULL, unsigned and scaled columns; units, UCDs and descriptions as
//! TUNIT, TUCD and TCOMM (which TOPCAT shows) and in astropy's own COMMENT block; the table's metadata as
//! header cards; CHECKSUM and DATASUM. Images are read too ([`FitsFile`], [`ImageRows`]).
//!
//! | stored | read as | null |
//! |---|---|---|
//! | L | boolean | the byte 0 |
//! | nX | n booleans | none |
//! | B, I, J | 32-bit integer | TNULL |
//! | K | 64-bit integer | TNULL, or else the smallest integer |
//! | with integer TSCAL, TZERO | the smallest of both types that holds all | TNULL |
//! | with other TSCAL, TZERO | f32 for B and I, f64 for J and K | TNULL |
//! | E, D | f32, f64 | NaN |
//! | A, rAw, TDIM | text, lists of text; UTF-8, or else Latin-1 | empty text |
//! | P, Q | lists of varying length, or one text | empty list |
//! | C, M | not read ([`crate::table::Table::unread`]) | |
//!
//! A list is null when all of it is. Every size that a header declares is compared with the size of the file
//! before anything is allocated, and lists that share a heap may not become larger than compressed files may
//! ([`crate::table::limits`]).

mod astropy;
mod cards;
mod checksum;
mod choose;
#[cfg(test)]
mod craft;
#[cfg(test)]
mod damage;
mod decode;
mod encode;
mod file;
mod form;
mod hdu;
mod header;
mod heap;
mod image;
#[cfg(test)]
mod image_tests;
mod layout;
mod metadata;
mod read;
mod rice;
mod rows;
mod scaling;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod tiles;
mod votmeta;
mod write;
mod write_header;

pub use file::{FitsFile, FitsHeader, HduKind};
pub use image::ImageRows;
pub(super) use metadata::of_copy;
pub(super) use read::{chunks, row_count, schema};
pub(super) use write::FitsSink;
