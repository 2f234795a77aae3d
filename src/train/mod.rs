//! Training: from observations and a recipe to a model directory.
//!
//! Alternating optimisation (spec 1 §4; Zhang, Green & Rix 2023, sec. 3.2): the global weights move by burn's
//! optimisers with the stars fixed, the stars by Levenberg–Marquardt with the weights fixed, in the stages of
//! a [`Recipe`]; then the mixture prior is fitted to the labels, and the errors of the model are estimated
//! from the validation stars.

mod binaries;
mod calibration;
mod checkpoint;
mod clean;
mod companions;
mod data_check;
mod difference;
mod ensemble;
mod global_step;
mod label_errors;
mod learn;
mod learned_errors;
mod model_error;
mod neighbours;
mod pairs;
mod recipe;
mod recipe_check;
mod regions;
mod run;
mod self_report;
mod star_step;
mod state;
mod trained;
mod variation;
mod wavelength_step;
mod weighting;

pub use calibration::{LearnedCalibration, calibration_of, not_told};
pub use clean::CleaningReport;
pub use companions::UnresolvedPairs;
pub use ensemble::{Spread, distances_from_mean, spread_of};
pub use label_errors::{LabelError, label_errors};
pub use learned_errors::train;
pub use recipe::{BinaryRecipe, CardText, Clean, DataRecipe, Learn, LossRecipe, Recipe, Refine, Solve, Stage, StarUpdate};
pub use run::{Report, StageRecord};
pub use self_report::{Drift, SelfReport, ZeroPoints, zero_points};
pub use state::EpochRecord;
pub use trained::{PRIOR_FILE, PROVENANCE_FILE, STARS_FILE, TrainedModel, TrainingLog};
pub use weighting::Weighting;
