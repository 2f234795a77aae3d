//! A trained ensemble of direct networks.

use super::calibration::ErrorCalibration;
use super::comparison::Comparison;
use super::domain::Domain;
use super::inputs::Inputs;
use super::objective::Scaling;
use super::target::Target;
use crate::learn::EpochRecord;
use crate::model::ModelCard;
use crate::tensor::Weights;
use crate::tensor::layers::{Network, Predictor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A model of the kind `regression`.
#[derive(Debug, Clone)]
pub struct RegressionModel {
    pub inputs: Inputs,
    pub flux_unit: String,
    /// Units of targets and measured inputs whose quantities are not known by name, as the training file had
    /// them.
    pub units: BTreeMap<String, String>,
    /// Constants that were added to measured quantities, by name.
    pub offsets: BTreeMap<String, f64>,
    /// Fractional error that was added to the errors of fluxes.
    pub fractional_error: f64,
    pub target: Target,
    pub scaling: Scaling,
    pub network: Network,
    /// Weights of the members, on the host.
    pub members: Vec<Weights>,
    /// The same, ready to predict.
    pub predictors: Vec<Predictor>,
    /// Copies with noise for the errors of a star, and the seed of their noise.
    pub copies: u32,
    pub seed: u64,
    pub calibration: Vec<ErrorCalibration>,
    pub domain: Domain,
    /// 0.5 and 99.5 percentile of what training stars had, by parameter; of luminosities, of what was
    /// predicted.
    pub training_range: Vec<[f64; 2]>,
    pub card: ModelCard,
    pub log: TrainingLog,
    /// SHA-256 over everything that decides a prediction.
    pub sha256: String,
}

/// How the training went, beside the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingLog {
    /// Epochs of every member.
    pub histories: Vec<Vec<EpochRecord>>,
    pub comparison: Comparison,
}
