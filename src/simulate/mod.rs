//! Simulated surveys with known truth, in the same observation file as real data.
//!
//! Stars lie on a plausible Hertzsprung–Russell diagram in a simple model of the Galaxy and its dust; their
//! XP spectra go through the real instrument's design matrices with realistic, correlated coefficient errors;
//! photometry, parallaxes, labels and reddenings have the errors of 2MASS, WISE, Gaia, LAMOST and Bayestar.
//! Everything random about a star derives from its `source_id` and the seed, so that neither the number of
//! stars nor the order or size of chunks changes a star.
//!
//! ```
//! use photosphere::simulate::{SurveyConfig, simulate};
//! let survey = simulate(&SurveyConfig { n_stars: 10, ..SurveyConfig::default() })?;
//! assert_eq!(survey.column("flux")?.to_matrix(66)?.dim(), (10, 66));
//! # Ok::<(), photosphere::error::Error>(())
//! ```

mod catalogue_errors;
mod columns;
mod config;
mod identity;
pub mod line_list;
mod near_infrared;
mod placement;
mod population;
mod raw;
mod simulator;
mod spectral_energy;
#[cfg(test)]
mod tests;
pub mod truth;
mod xp_noise;
mod xp_noise_law;

pub use config::{PhaseShares, SurveyConfig};
pub use raw::RawSurvey;
pub use simulator::{Simulator, simulate};
pub use spectral_energy::{Labels, SpectralEnergy};
