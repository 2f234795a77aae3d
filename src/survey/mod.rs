//! Surveys: what instruments deliver, turned into flux with noise, and joined into the observation file. Knows no models.

pub mod photometry;
pub mod prepare;
pub mod spectra;
pub mod xp;
