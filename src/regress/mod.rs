//! Direct networks: from the fluxes of any observation file to labels, or to the luminosity by way of noisy
//! parallaxes (Li et al. 2025), with errors.
//!
//! ```text
//! flux ± error ─ Inputs (steps that are stored) ─► rows ─ ensemble of networks ─► values
//!        └─ Monte-Carlo copies through the same steps ─► scatter ┴─ scatter of the seeds, calibrated ─► covariance
//! ```
//!
//! The sample is divided by hashes of the identifiers: *validation* stars (those of every other room) are
//! used by nothing but the comparison at the end; of the others, the stars *held out* say when to stop and
//! calibrate the errors.

mod attribution;
mod attribution_maps;
#[cfg(test)]
mod attribution_tests;
mod baselines;
mod boosting;
mod calibration;
mod check;
mod comparison;
mod directory;
#[cfg(test)]
mod directory_tests;
mod domain;
#[cfg(test)]
mod domain_tests;
mod emission;
mod identification;
mod inputs;
mod leftover;
#[cfg(test)]
mod luminosity_tests;
mod mixture;
#[cfg(test)]
mod mixture_tests;
mod model;
mod normals;
mod objective;
mod package;
mod pca;
mod predict;
mod recipe;
mod rows;
#[cfg(test)]
mod sample_tests;
mod slopes;
#[cfg(test)]
mod solar_like_tests;
#[cfg(test)]
mod start_tests;
mod steps;
mod target;
#[cfg(test)]
mod tests;
mod train;
mod trainable;

pub use attribution::Attribution;
pub use attribution_maps::{AttributionMaps, Class, MapOptions};
pub use calibration::ErrorCalibration;
pub use comparison::{Comparison, Row};
pub use directory::STARS_FILE;
pub use domain::Domain;
pub use emission::{Emission, EmissionOptions, Reconstruction};
pub use inputs::{Inputs, InputsRecipe};
pub use leftover::{Leftover, LeftoverLimit};
pub use mixture::{Mixture, MixtureOfMagnitudes};
pub use model::{RegressionModel, TrainingLog};
pub use package::{RegressionOptions, flag};
pub use pca::{Pca, PcaMethod};
pub use recipe::{BaselinesRecipe, DataRecipe, ErrorsRecipe, RegressionRecipe, TrainingRecipe};
pub use steps::{FittedStep, Step};
pub use target::{LabelLoss, Luminosity, LuminosityOutput, Target};
pub use train::train;
