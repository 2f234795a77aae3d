//! Surveys: what instruments deliver, turned into flux with noise, and joined into the observation file.
//! Knows no models.

pub mod photometry;
pub mod prepare;
mod source;
pub mod spectra;
pub mod xp;

pub use source::{AllStars, Source, SourceChunk, SourceReader, Stars, read_all};
