//! The whole of a training, and the trained model with its prior on disk.

use super::clean::CleaningReport;
use super::recipe::{DataRecipe, Recipe};
use super::run::{Report, StageRecord, run};
use super::self_report::SelfReport;
use super::state::{EpochRecord, Part, TrainingState};
use super::{calibration, data_check, global_step, label_errors, model_error};
use crate::confidence::{CONFIDENCE_FILE, Classifiers};
use crate::error::{Error, Result};
use crate::learn::{CheckpointFile, Checkpoints};
use crate::model::{ForwardModel, ModelCard, Parameter, ParameterSpace, Registry, check_kelvin, check_measured};
use crate::observations::{Observations, select};
use crate::package::MODEL_FOLDER;
use crate::prior::{GaussianMixture, NoisyLabels};
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::tensor::Device;
use crate::text::hexadecimal;
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The mixture prior, beside `model.toml`.
pub const PRIOR_FILE: &str = "prior.toml";
/// History and cleanings, beside `model.toml`.
const TRAINING_FILE: &str = "training.json";

/// The training sample, which the command line puts into the model directory: measured and fitted parameters,
/// who was removed, who never trained.
pub const STARS_FILE: &str = "training_stars.parquet";
/// Where the model comes from, which the command line puts beside.
pub const PROVENANCE_FILE: &str = "provenance.json";

/// A trained model with its prior, its card and the history of its training.
#[derive(Debug, Clone)]
pub struct TrainedModel {
    pub model: ForwardModel,
    pub prior: GaussianMixture,
    pub card: ModelCard,
    pub log: TrainingLog,
    /// How far its estimates can be trusted, if it was taught that.
    pub confidence: Option<Classifiers>,
    /// SHA-256 over grid, effects, standardisation, model errors, calibration, weights, prior and
    /// classifiers; its beginning is the catalogue's `model_id`.
    pub sha256: String,
}

/// History of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingLog {
    pub history: Vec<EpochRecord>,
    pub cleanings: Vec<CleaningReport>,
    /// What every stage did; empty for models of earlier versions.
    #[serde(default)]
    pub stages: Vec<StageRecord>,
    /// What the training knows of its own faults; absent for models of earlier versions.
    #[serde(default)]
    pub report: Option<SelfReport>,
}

/// As [`super::train`], with the errors of measured values as the recipe has them.
///
/// # Errors
/// As there.
pub(super) fn train_once(
    recipe: &Recipe,
    observations: &Observations,
    registry: &Registry,
    device: &Device,
    checkpoints: Option<CheckpointFile<'_>>,
    report: Report<'_>,
) -> Result<(TrainedModel, Table)> {
    recipe.validate_for(registry)?;
    let as_written = recipe.to_toml()?;
    let (constraints, optional) = (recipe.constraints(registry)?, recipe.optional(registry)?);
    let recipe = &Recipe { data: DataRecipe { constraints, optional, ..recipe.data.clone() }, ..recipe.clone() };
    let mut model = ForwardModel::new(registry, &recipe.effects, observations.grid.clone(), recipe.seed, device)?;
    model.flux_unit.clone_from(&observations.flux_unit);
    check_measured(&model.space, observations)?;
    data_check::require_flux(observations)?;
    for (name, transform) in &recipe.transforms {
        data_check::check_transform(model.space.get(name)?, *transform, observations)?;
        model.set_transform(name, *transform)?;
    }
    let data_sha256 = hexadecimal(observations.hash());
    let rescaled = with_error_factors(&recipe.data.error_factors, observations);
    let observations = rescaled.as_ref().unwrap_or(observations);
    let passing = match recipe.data.cuts.as_slice() {
        [] => None,
        cuts => Some(observations.select(&select(observations, cuts)?)),
    };
    let observations = passing.as_ref().unwrap_or(observations);
    let identity = {
        let mut hash = Sha256::new();
        hash.update(&as_written);
        hash.update(&data_sha256);
        hash.update(env!("CARGO_PKG_VERSION"));
        hexadecimal(hash)
    };
    let state = TrainingState::start(model, observations, &recipe.data)?;
    data_check::check(recipe, observations, &state)?;
    let mut doubts = data_check::doubts(recipe, observations, &state.model.space);
    doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
    let outcome = run(recipe, observations, state, checkpoints.map(|file| Checkpoints { file, run: &identity }), report)?;
    doubts.extend(outcome.doubts);
    let mut state = outcome.state;
    let prior = fit_prior(recipe, observations, &state)?;
    state.model.model_error = model_error::estimate(&state, observations, recipe)?;
    let learned = calibration::estimate(&state, observations, recipe)?;
    let unresolved_pairs = learned.as_ref().and_then(|learned| learned.unresolved_pairs);
    state.model.calibration = learned.map(|learned| learned.calibration);
    let not_told =
        calibration::not_told(&state.model.space, observations, &recipe.data.constraints, state.model.calibration.as_ref())?;
    if !not_told.is_empty() {
        let doubt = format!(
            "errors of the zero points of {} are not known: too few of the stars that test the training have it measured beside others like \
             them, and errors of fits say nothing of it. Give more stars with measured values, or run `photosphere calibrate` with such",
            not_told.join(", ")
        );
        tracing::warn!("{doubt}");
        doubts.push(doubt);
    }

    let validation: Vec<usize> = [Part::Stopping, Part::Testing].map(|part| state.stars(part)).concat();
    let loss = |stars: &[usize]| -> Result<f64> {
        Ok(global_step::evaluate(&state.model, observations, stars, &state.coordinates, &recipe.loss)?.mean())
    };
    let validation_loss = loss(&validation)?;
    let factors = label_errors::of_testing(&state, observations, recipe)?;
    let mut report = SelfReport {
        unresolved_pairs,
        ..SelfReport::of(&state, observations, (&outcome.stages, &outcome.cleanings), factors, validation_loss)
    };
    report.warnings.extend(doubts);
    let metrics =
        [("training_loss_per_flux", loss(&state.stars(Part::Training))?), ("validation_loss_per_flux", validation_loss)];
    let (warnings, history) = (report.warnings.clone(), state.history.clone());
    let log = TrainingLog { history, cleanings: outcome.cleanings, stages: outcome.stages, report: Some(report) };
    let card = ModelCard {
        description: recipe.description.clone(),
        data: recipe.card.data.clone(),
        n_training: state.stars(Part::Training).len(),
        n_validation: validation.len(),
        data_sha256,
        limits: recipe.card.limits.clone(),
        licence: recipe.card.licence.clone(),
        citation: recipe.card.citation.clone(),
        program: concat!("photosphere ", env!("CARGO_PKG_VERSION")).into(),
        seed: recipe.seed,
        metrics: metrics.map(|(name, value)| (name.into(), value)).into(),
        recipe: as_written,
        warnings,
        ensemble: None,
    };
    let stars = stars_table(&state, observations)?;
    // The transforms of the recipe are those of the training; a fit chooses its own.
    for declared in state.model.effects.clone().iter().flat_map(|effect| effect.parameters()) {
        if recipe.transforms.contains_key(&declared.name) {
            state.model.set_transform(&declared.name, declared.transform)?;
        }
    }
    let sha256 = state.model.sha256(&prior.to_toml()?)?;
    Ok((TrainedModel { model: state.model, prior, card, log, confidence: None, sha256 }, stars))
}

impl TrainedModel {
    /// A model that was not trained here: without a card, a history and classifiers.
    ///
    /// # Errors
    /// When its hash cannot be computed.
    pub fn new(model: ForwardModel, prior: GaussianMixture) -> Result<Self> {
        let (card, log) = (ModelCard::default(), TrainingLog::default());
        let mut new = Self { model, prior, card, log, confidence: None, sha256: String::new() };
        new.sha256 = new.identity()?;
        Ok(new)
    }

    /// Writes the model directory (`model.toml`, `weights.safetensors`, `prior.toml`, `training.json`, and
    /// `confidence.json` where it has classifiers): first under a temporary name beside it, then renamed.
    ///
    /// # Errors
    /// When the directory exists and `overwrite` is not set, or a file cannot be written.
    pub fn save(&self, directory: &Path, overwrite: bool) -> Result<()> {
        crate::table::write_directory_atomically(directory, overwrite, &MODEL_FOLDER, |folder| {
            self.model.save(folder, &self.card)?;
            let json = serde_json::to_string_pretty(&self.log)
                .map_err(|error| Error::output(TRAINING_FILE).found(error.to_string()).source(error))?;
            for (name, text) in [(PRIOR_FILE, self.prior.to_toml()?), (TRAINING_FILE, json)] {
                let path = folder.join(name);
                crate::table::write_member(&path, text)?;
            }
            if let Some(confidence) = &self.confidence {
                crate::table::write_member(&folder.join(CONFIDENCE_FILE), confidence.to_json()?)?;
            }
            Ok(())
        })
    }

    /// Reads a model directory.
    ///
    /// # Errors
    /// As [`ForwardModel::load`], and when the prior is missing or not a density of labels of the model.
    pub fn load(directory: &Path, registry: &Registry, device: &Device) -> Result<Self> {
        let (model, card) = ForwardModel::load(directory, registry, device)?;
        let path = directory.join(PRIOR_FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::model(path.display().to_string())
                .found(error.to_string())
                .expected("the mixture prior of the labels")
                .remedy("Get the file again, or train or export the model again.")
                .source(error)
        })?;
        let prior = GaussianMixture::from_toml(&text).map_err(|error| error.within(directory.display()))?;
        check_prior(&prior, &model.space).map_err(|error| error.within(path.display()))?;
        let path = directory.join(TRAINING_FILE);
        let log = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                Error::model(path.display().to_string())
                    .found(error.to_string())
                    .expected("the history of a training")
                    .remedy("Remove it: a model need not have one.")
                    .source(error)
            })?,
            // A model brought in from elsewhere need not have a history.
            Err(_) => TrainingLog::default(),
        };
        let confidence = Classifiers::read(directory)?;
        let mut trained = Self { model, prior, card, log, confidence, sha256: String::new() };
        trained.sha256 = trained.identity()?;
        Ok(trained)
    }

    /// The hash of what decides its estimates.
    ///
    /// # Errors
    /// When a part cannot be written as text.
    pub fn identity(&self) -> Result<String> {
        let of_model = self.model.sha256(&self.prior.to_toml()?)?;
        let Some(confidence) = &self.confidence else { return Ok(of_model) };
        let mut hash = Sha256::new();
        hash.update(of_model);
        hash.update(confidence.to_json()?);
        Ok(hexadecimal(hash))
    }

    /// The first 16 digits of the hash, as catalogues name the model.
    pub fn id(&self) -> &str {
        &self.sha256[..16]
    }
}

/// Fails when the prior is not one of the labels of a model with these parameters, or is in another unit than
/// they.
fn check_prior(prior: &GaussianMixture, space: &ParameterSpace) -> Result<()> {
    for (name, mean) in prior.parameters().iter().zip(prior.mean()) {
        let parameter = space.get(name)?;
        if !parameter.is_label() {
            return Err(Error::model(format!("parameter '{name}'"))
                .found("a parameter that is no label")
                .expected("labels, which the mixture prior covers")
                .remedy("Fit the prior to the labels alone."));
        }
        let factor = parameter.model_units_per_file_unit;
        check_kelvin(parameter, mean / factor).map_err(|error| error.within("mean of the components"))?;
        if let Some([low, high]) = parameter.training_range.filter(|[low, high]| !(*low..=*high).contains(&mean)) {
            return Err(Error::model(format!("mean of the components, '{name}'"))
                .found((mean / factor).to_string())
                .expected(format!("a value within the training range, {} to {}", low / factor, high / factor))
                .remedy("Give the names under `parameters` in the order of the means, or fit the prior again."));
        }
    }
    Ok(())
}

/// The observations with the errors of measured values times these factors; `None` without any.
fn with_error_factors(factors: &BTreeMap<String, f64>, observations: &Observations) -> Option<Observations> {
    if factors.is_empty() {
        return None;
    }
    let mut rescaled = observations.clone();
    for (name, factor) in factors {
        if let Some(constraint) = rescaled.constraints.remove(name) {
            rescaled.constraints.insert(name.clone(), constraint.with_errors_times(*factor));
        }
    }
    Some(rescaled)
}

/// The mixture of the labels of the kept training stars, as measured or without the noise of their errors,
/// with its flag threshold.
pub(super) fn fit_prior(recipe: &Recipe, observations: &Observations, state: &TrainingState) -> Result<GaussianMixture> {
    let labels: Vec<&Parameter> = state.model.space.parameters.iter().filter(|parameter| parameter.is_label()).collect();
    let names: Vec<String> = labels.iter().map(|parameter| parameter.name.clone()).collect();
    let (stars, n) = (state.stars(Part::Training), labels.len());
    let measured = |(row, i): (usize, usize)| {
        let factor = labels[i].model_units_per_file_unit;
        let (value, error) = observations.constraint(&names[i], stars[row]).unwrap_or((f64::NAN, f64::NAN));
        (value * factor, error * factor)
    };
    let values = Array2::from_shape_fn((stars.len(), n), |at| measured(at).0);
    if !recipe.prior.deconvolve {
        return recipe.prior.fit(values.view(), &names, recipe.seed);
    }
    let covariances = Array3::from_shape_fn((stars.len(), n, n), |(row, i, j)| match i == j {
        true => measured((row, i)).1.powi(2),
        false => 0.0,
    });
    recipe.prior.fit_noisy(NoisyLabels { values: values.view(), covariances: covariances.view() }, &names, recipe.seed)
}

/// One row per star of the sample: measured and fitted parameters (file units), whether it was kept and
/// whether it trained.
fn stars_table(state: &TrainingState, observations: &Observations) -> Result<Table> {
    let n = observations.len();
    let flag = |name: &str, text: &str, is: &dyn Fn(usize) -> bool| {
        Column::scalar(ColumnSchema::new(name, "", text), Values::Bool((0..n).map(is).collect()))
    };
    let mut table = Table::new(vec![
        Column::scalar(
            ColumnSchema::new("source_id", "", "identifier").with_ucd("meta.id;meta.main"),
            Values::Int64(observations.ids.clone()),
        ),
        flag("is_validation", "never trained on", &|star| state.part[star] != Part::Training),
        flag("is_stopping", "decided which state of the weights was kept", &|star| state.part[star] == Part::Stopping),
        flag("is_kept", "not removed by self-cleaning", &|star| state.kept[star]),
    ])?;
    for (position, parameter) in state.model.space.parameters.iter().enumerate() {
        let factor = parameter.model_units_per_file_unit;
        let fitted = (0..n).map(|star| parameter.model_value(state.coordinates[[star, position]]) / factor).collect();
        let name = &parameter.name;
        let describe = |text: &str| format!("{}, {text}", parameter.description);
        table.push(Column::nullable(
            ColumnSchema::new(format!("fitted_{name}"), &parameter.unit, describe("fitted with its constraint")),
            fitted,
        ))?;
        if observations.constraints.contains_key(name) {
            let measured: Vec<Option<(f64, f64)>> = (0..n).map(|star| observations.constraint(name, star)).collect();
            let column = |pick: fn((f64, f64)) -> f64| measured.iter().map(|m| m.map_or(f64::NAN, pick)).collect();
            table.push(Column::nullable(ColumnSchema::new(name, &parameter.unit, describe("measured")), column(|m| m.0)))?;
            let error_schema = ColumnSchema::new(format!("{name}_error"), &parameter.unit, describe("error of the measurement"));
            table.push(Column::nullable(error_schema, column(|m| m.1)))?;
        }
    }
    if let Some(binaries) = &state.binaries {
        let schema = ColumnSchema::new("binary_probability", "", "probability that it is an unresolved pair of like stars");
        table.push(Column::nullable(schema, binaries.probability.clone()))?;
    }
    for column in observations.auxiliary.columns() {
        let is_scalar = column.shape == crate::table::Shape::Scalar;
        if is_scalar && table.get(&column.schema.name).is_none() {
            table.push(column.clone())?;
        }
    }
    Ok(table)
}
