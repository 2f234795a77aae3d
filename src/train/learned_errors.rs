//! Errors of measured values that a training finds to be off are mended by a second training.
//!
//! Overstated errors bend a model: labels are moved to where the fluxes of the first epochs want them, and
//! the emulator learns these. What the errors are is known from the stars that did not train
//! ([`LabelError`](super::LabelError)), but only at the end; a training with those factors from its beginning
//! is free of it.

use super::recipe::{DataRecipe, Recipe};
use super::run::Report;
use super::trained::{TrainedModel, train_once};
use crate::error::Result;
use crate::learn::CheckpointFile;
use crate::model::Registry;
use crate::observations::Observations;
use crate::table::Table;
use crate::tensor::Device;
use std::collections::BTreeMap;

/// Trains a model; returns it with a table of the training sample (one row per star: measured, fitted, kept,
/// validation). Where the recipe says so (`data.learn_error_factors`) and errors of measured values are off
/// by more than a quarter, and surely, it is trained again with the factors that were found.
///
/// # Errors
/// When recipe and observations do not fit each other, or as [`CheckpointFile`] and the stages say.
pub fn train(
    recipe: &Recipe,
    observations: &Observations,
    registry: &Registry,
    device: &Device,
    checkpoints: Option<CheckpointFile<'_>>,
    report: Report<'_>,
) -> Result<(TrainedModel, Table)> {
    if !recipe.data.learn_error_factors {
        return train_once(recipe, observations, registry, device, checkpoints, report);
    }
    // The checkpoint of the first training stays until the second one is done: an interrupted second one
    // needs the factors, which the end of the first gives again.
    let path = checkpoints.as_ref().map(CheckpointFile::path_before);
    let first_file = checkpoints.as_ref().zip(path.as_ref()).map(|(file, path)| CheckpointFile { path, ..*file });
    let first = train_once(recipe, observations, registry, device, first_file, &mut |done, text| report(0.5 * done, text))?;
    let found = first.0.log.report.iter().flat_map(|report| &report.label_errors);
    let far: BTreeMap<String, f64> =
        found.filter(|error| error.warning().is_some()).map(|error| (error.parameter.clone(), error.factor)).collect();
    let done = if far.is_empty() {
        first
    } else {
        let listed: Vec<String> = far.iter().map(|(name, factor)| format!("{name} {factor:.2}")).collect();
        tracing::info!("errors of measured values are off by the factors {}: training again with these", listed.join(", "));
        let mut error_factors = recipe.data.error_factors.clone();
        far.into_iter().for_each(|(name, factor)| *error_factors.entry(name).or_insert(1.0) *= factor);
        let data = DataRecipe { error_factors, learn_error_factors: false, ..recipe.data.clone() };
        let again = Recipe { data, ..recipe.clone() };
        train_once(&again, observations, registry, device, checkpoints, &mut |done, text| report(0.5 + 0.5 * done, text))?
    };
    // What is left of it harms nothing.
    let _ = path.map(std::fs::remove_file);
    Ok(done)
}
