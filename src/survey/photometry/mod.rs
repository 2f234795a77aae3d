//! Broad-band photometry: magnitudes → flux and flux error, with crowding cuts.

mod band;
mod sets;

pub use band::{CrowdingCut, MagnitudeSystem, Measurement, PhotometricBand};
pub use sets::{standard_set, standard_set_names};
