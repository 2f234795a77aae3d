//! `photosphere train`: from a recipe and observations to a model directory.

use super::built_in;
use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::progress::Progress;
use super::self_report::lines;
use super::settings::Settings;
use super::train_pixels::outcome;
use super::train_regression;
use super::training_task::{Task, names, read_tables, write_provenance};
use crate::error::Result;
use crate::model::{ParameterSpace, Registry, check_measured};
use crate::observations::{Observations, ReadOptions, columns};
use crate::run::identifiers::scan;
use crate::run::provenance::Provenance;
use crate::table::{self, Table, write_directory_atomically};
use crate::train::{Checkpoints, MODEL_FOLDER, Recipe, STARS_FILE, TrainedModel, train};
use crate::warning::warn_once;
use serde_json::json;
use std::path::PathBuf;

/// Train a model; it is written as a directory, with the table of its training stars (training_stars.parquet) in it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Recipe (TOML), or the name of a built-in one (`photosphere recipe` lists them).
    pub(super) recipe: String,
    /// Observation files; several are taken as one.
    #[arg(required = true)]
    pub(super) observations: Vec<PathBuf>,
    /// Model directory to write.
    #[arg(short, long, value_name = "DIRECTORY")]
    pub(super) output: PathBuf,
    /// Shortest time between two checkpoints, in seconds; they lie in <DIRECTORY>.checkpoint until the model is finished.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(super) checkpoint_every: u64,
    #[command(flatten)]
    pub(super) existing: ExistingArguments,
}

/// Trains.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    if let Some(mut recipe) = built_in::regression_recipe(&arguments.recipe)? {
        recipe.seed = settings.seed.unwrap_or(recipe.seed);
        return Ok(train_regression::outcome(&arguments.output, &Task::of(arguments, &recipe).run(settings)?));
    }
    if let Some(mut recipe) = built_in::pixel_recipe(&arguments.recipe)? {
        recipe.training.seed = settings.seed.unwrap_or(recipe.training.seed);
        return Ok(outcome(&arguments.output, &Task::of(arguments, &recipe).run(settings)?));
    }
    let mut recipe = built_in::training_recipe(&arguments.recipe)?;
    recipe.seed = settings.seed.unwrap_or(recipe.seed);
    let trained = Task::of(arguments, &recipe).run(settings)?;
    Ok(Outcome::files(json!({
        "output": arguments.output,
        "sha256": trained.sha256,
        "training_stars": trained.card.n_training,
        "validation_stars": trained.card.n_validation,
        "metrics": trained.card.metrics,
        "report": trained.log.report,
    })))
}

impl Task<'_, Recipe> {
    /// Trains and writes the model, or reads it where the same run is finished.
    ///
    /// # Errors
    /// When the output may not be written, an input cannot be read, or training fails.
    pub fn run(&self, settings: &Settings) -> Result<TrainedModel> {
        let (registry, device) = (settings.program.effects.clone(), settings.device()?);
        self.recipe.validate_for(&registry).map_err(|error| error.within(self.recipe_path.display()))?;
        self.check_output(&MODEL_FOLDER, None)?;
        let inputs = scan(self.inputs)?;
        let provenance = Provenance::new("train").with("recipe", self.recipe.to_toml()?).with_inputs(&inputs);
        if self.is_finished(&provenance, &MODEL_FOLDER)? {
            return TrainedModel::load(self.output, &registry, &device);
        }
        let observations = read_observations(self.recipe, &registry, self.inputs)?;
        let effects = registry.effects(&self.recipe.effects)?;
        let space = ParameterSpace::union(effects.iter().flat_map(|effect| effect.parameters()))?;
        check_measured(&space, &observations).map_err(|error| error.within(names(self.inputs)))?;
        tracing::info!("training on {} stars, {} fluxes each", observations.len(), observations.grid.len());
        let mut progress = Progress::of_fraction("training", settings);
        let checkpoints = Checkpoints { output: self.output, interval: self.checkpoint_every, resume: self.existing.resume };
        let (trained, mut stars) =
            train(self.recipe, &observations, &registry, &device, Some(checkpoints), &mut |done, text| {
                progress.fraction(done, text);
            })?;
        let provenance = provenance.noted("model_sha256", &trained.sha256);
        stars.metadata.extend(provenance.metadata());
        write_directory_atomically(self.output, self.existing.overwrite, &MODEL_FOLDER, |folder| {
            trained.save(folder, true)?;
            table::write(&stars, &folder.join(STARS_FILE), false)?;
            write_provenance(folder, &MODEL_FOLDER, &provenance)
        })?;
        checkpoints.remove();
        for cleaning in &trained.log.cleanings {
            tracing::info!("{}: {} of {} stars removed", cleaning.stage, cleaning.n_removed, cleaning.n_before);
        }
        if let Some(report) = &trained.log.report {
            lines(report).iter().for_each(|line| tracing::info!("{line}"));
            report.warnings.iter().for_each(|warning| warn_once(format!("{}: {warning}", self.output.display())));
        }
        tracing::info!("{}: model {} in {:.1} s", self.output.display(), trained.id(), progress.seconds());
        Ok(trained)
    }
}

/// The observations in all files, as a recipe wants them.
///
/// # Errors
/// When a file cannot be read, files have other columns than the first or units of another kind, or a row is impossible.
pub fn read_observations(recipe: &Recipe, registry: &Registry, paths: &[PathBuf]) -> Result<Observations> {
    let (place, table) = read_tables(paths)?;
    let options = read_options(recipe, &recipe.constraints(registry)?, &table);
    Observations::from_table_of(&place, table, &options).map_err(|error| error.within(&place))
}

/// How a table is read for training: the recipe's constraints, offsets and fractional error.
fn read_options(recipe: &Recipe, constraints: &[String], table: &Table) -> ReadOptions {
    let length = table.get(columns::FLUX).filter(|flux| flux.n_rows() > 0).map_or(0, |flux| flux.range(0).len());
    ReadOptions {
        constraints: constraints.to_vec(),
        offsets: recipe.data.offsets.clone(),
        model_error: vec![recipe.data.fractional_error; length],
        ..Default::default()
    }
}
