//! `photosphere train`: from a recipe and observations to a model directory.

use super::built_in;
use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::progress::Progress;
use super::self_report::lines;
use super::settings::Settings;
use super::train_pixels::{PixelTask, outcome};
use super::train_regression;
use crate::error::{Error, Result};
use crate::model::{ParameterSpace, Registry, check_measured};
use crate::observations::{Grid, Observations, ReadOptions, columns, require_same_flux_unit};
use crate::quantity::append;
use crate::run::identifiers::scan;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::{Provenance, RUN, sha256_of_file};
use crate::run::read_json;
use crate::run::{Existing, require_same_run};
use crate::table::{self, AtomicFile, FolderKind, Table, check_target_directory, write_directory_atomically};
use crate::train::{Checkpoints, MODEL_FOLDER, PROVENANCE_FILE, Recipe, STARS_FILE, TrainedModel, checkpoint_path, train};
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Key of the provenance under which the hashes of the model's files stand.
pub(super) const FILES: &str = "files";

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

/// A training to be done.
pub struct Task<'a> {
    /// Where the recipe is from, if it is from a file.
    pub recipe_path: &'a Path,
    pub recipe: &'a Recipe,
    pub inputs: &'a [PathBuf],
    pub output: &'a Path,
    pub existing: Existing,
    pub checkpoint_every: Duration,
}

/// Trains.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    if let Some(recipe) = built_in::regression_recipe(&arguments.recipe)? {
        return train_regression::run(arguments, recipe, settings);
    }
    if let Some(mut recipe) = built_in::pixel_recipe(&arguments.recipe)? {
        recipe.training.seed = settings.seed.unwrap_or(recipe.training.seed);
        let task = PixelTask {
            recipe_path: Path::new(&arguments.recipe),
            recipe: &recipe,
            inputs: &arguments.observations,
            output: &arguments.output,
            existing: arguments.existing.into(),
            checkpoint_every: Duration::from_secs(arguments.checkpoint_every),
        };
        return Ok(outcome(&arguments.output, &task.run(settings)?));
    }
    let mut recipe = built_in::training_recipe(&arguments.recipe)?;
    recipe.seed = settings.seed.unwrap_or(recipe.seed);
    let trained = Task {
        recipe_path: Path::new(&arguments.recipe),
        recipe: &recipe,
        inputs: &arguments.observations,
        output: &arguments.output,
        existing: arguments.existing.into(),
        checkpoint_every: Duration::from_secs(arguments.checkpoint_every),
    }
    .run(settings)?;
    Ok(Outcome::files(json!({
        "output": arguments.output,
        "sha256": trained.sha256,
        "training_stars": trained.card.n_training,
        "validation_stars": trained.card.n_validation,
        "metrics": trained.card.metrics,
        "report": trained.log.report,
    })))
}

impl Task<'_> {
    /// Trains and writes the model, or reads it where the same run is finished.
    ///
    /// # Errors
    /// When the output may not be written, an input cannot be read, or training fails.
    pub fn run(&self, settings: &Settings) -> Result<TrainedModel> {
        let (registry, device) = (settings.program.effects.clone(), settings.device()?);
        self.recipe.validate_for(&registry).map_err(|error| error.within(self.recipe_path.display()))?;
        check_output(self.inputs, self.recipe_path, self.output, self.existing, &MODEL_FOLDER)?;
        let inputs = scan(self.inputs)?;
        let provenance = Provenance::new("train").with("recipe", self.recipe.to_toml()?).with_inputs(&inputs);
        if self.existing.resume && self.output.exists() {
            let found = read_provenance(self.output)?;
            require_same_run(self.output, found.get(RUN), &provenance.run())?;
            require_same_files(self.output, &found, &MODEL_FOLDER)?;
            tracing::info!("{}: finished already", self.output.display());
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
            let path = folder.join(PROVENANCE_FILE);
            let mut provenance = provenance.entries();
            provenance.insert(FILES.into(), json!(hashes(folder, &MODEL_FOLDER)?).to_string());
            let text = serde_json::to_string_pretty(&provenance).map_err(|error| Error::writing(&path, error))?;
            table::write_member(&path, text)
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

/// Finds out before the work whether the result can be written, and that neither an input nor an interrupted run is lost by mistake.
///
/// # Errors
/// When the output is an input, or exists and may not be replaced.
pub(super) fn check_output(
    inputs: &[PathBuf],
    recipe_path: &Path,
    output: &Path,
    existing: Existing,
    folder: &FolderKind,
) -> Result<()> {
    require_utf8(output)?;
    let inputs = Inputs::of(inputs.iter().map(PathBuf::as_path).chain([recipe_path]));
    inputs.require_other(output)?;
    inputs.require_none_in(output)?;
    inputs.require_other(&checkpoint_path(output))?;
    if !(existing.resume && output.is_dir()) {
        check_target_directory(output, existing.overwrite, folder)?;
    }
    let checkpoint = checkpoint_path(output);
    if checkpoint.exists() && !existing.overwrite && !existing.resume {
        return Err(Error::output(checkpoint.display().to_string())
            .found("the checkpoint of an interrupted training")
            .expected("none")
            .remedy("Give --resume to go on with it, or --overwrite to start anew."));
    }
    AtomicFile::create(&checkpoint, true).map(drop)
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

/// The rows of all files as one table, and the names of the files.
///
/// # Errors
/// When a file cannot be read, or has other columns than the first or units of another kind.
pub fn read_tables(paths: &[PathBuf]) -> Result<(String, Table)> {
    let mut whole: Option<Table> = None;
    for path in paths {
        let table = table::read(path)?;
        match &mut whole {
            Some(whole) => {
                // The metadata of the first file stand for all.
                let same = Grid::of_table(whole).and_then(|grid| grid.require_same(&Grid::of_table(&table)?));
                let place = path.display().to_string();
                let same = same.and_then(|()| require_same_flux_unit(whole, &table, &place));
                same.and_then(|()| append(whole, table, &place)).map_err(|error| error.within(&place))?;
            }
            None => whole = Some(table),
        }
    }
    let table = whole.ok_or_else(|| {
        Error::usage("observations").found("no file").expected("at least one").remedy("Name the observation files.")
    })?;
    Ok((names(paths), table))
}

/// The names of files, for messages.
pub(super) fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
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

/// The provenance of a model directory; empty where there is none.
///
/// # Errors
/// When it is damaged.
pub fn read_provenance(directory: &Path) -> Result<BTreeMap<String, String>> {
    let path = directory.join(PROVENANCE_FILE);
    if path.is_file() { read_json(&path) } else { Ok(BTreeMap::new()) }
}

/// Hashes of the files in a folder, by name.
pub(super) fn hashes(folder: &Path, kind: &FolderKind) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for name in kind.files {
        let path = folder.join(name);
        if path.is_file() {
            hashes.insert((*name).to_owned(), sha256_of_file(&path)?);
        }
    }
    Ok(hashes)
}

/// Fails when a file of a finished model is not as it was written.
pub(super) fn require_same_files(directory: &Path, provenance: &BTreeMap<String, String>, kind: &FolderKind) -> Result<()> {
    let written: BTreeMap<String, String> =
        provenance.get(FILES).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let found = hashes(directory, kind)?;
    match written.iter().find(|(name, sha256)| found.get(*name) != Some(sha256)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::data(directory.join(name).display().to_string())
            .found("a file of a finished model that is not as it was written, or gone")
            .expected("the model of this run")
            .remedy("Give --overwrite to train again, or name another output.")),
    }
}
