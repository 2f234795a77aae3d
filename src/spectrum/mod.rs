//! Spectra: what happens to flux between star and instrument. Knows no surveys.

pub mod extinction_law;
