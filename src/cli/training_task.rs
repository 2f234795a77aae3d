//! What trainings of every kind do around their work: checks of inputs and output, what is finished already,
//! and the provenance beside the model.

use super::built_in::TrainingRecipe;
use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::train::Arguments;
use super::train_seeds::train_seeds;
use crate::error::{Error, Result};
use crate::learn::CheckpointFile;
use crate::model::Registry;
use crate::observations::{ObservationFiles, Observations, Sample, append_file};
use crate::package::{Trainable, TrainingContext};
use crate::run::identifiers::scan;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::interrupt;
use crate::run::provenance::{Provenance, RUN, sha256_of_file};
use crate::run::{Existing, read_json, require_same_run};
use crate::table::{self, AtomicFile, FolderKind, Shape, Table, check_target_directory, write_directory_atomically};
use crate::train::PROVENANCE_FILE;
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes.
pub const GIBIBYTE: f64 = (1_u64 << 30) as f64;
/// How many times a part of the stars goes into the memory that all may take.
const SHARE_OF_A_PART: u64 = 16;
/// Bytes of a flux, of its error, and of their likes in memory.
const BYTES_OF_A_NUMBER: u64 = 4;

/// Key of the provenance under which the hashes of the model's files stand.
const FILES: &str = "files";

/// A training to be done, by a recipe of some kind.
pub struct Task<'a> {
    /// Where the recipe is from, if it is from a file.
    pub recipe_path: &'a Path,
    pub inputs: &'a [PathBuf],
    pub output: &'a Path,
    pub existing: Existing,
    /// Shortest time between two checkpoints.
    pub checkpoint_every: Duration,
    /// Bytes that fluxes may take in memory where the kind of model can do with parts of them.
    pub most_bytes: u64,
}

/// What `train` does with a recipe of a kind.
pub type Trainer = fn(&TrainingRecipe, &Arguments, &Settings) -> Result<Outcome>;

/// The trainer of a kind.
pub fn trainer<K: Trainable>() -> Trainer {
    |recipe, arguments, settings| {
        if let Some(n) = arguments.seeds {
            return train_seeds::<K>(n, recipe, arguments, settings);
        }
        let package = Task::of(arguments).run_text::<K>(recipe, settings.seed, settings)?;
        let mut summary = json!({ "output": arguments.output, "sha256": package.sha256() });
        if let (Some(summary), serde_json::Value::Object(more)) = (summary.as_object_mut(), package.summary()) {
            summary.extend(more);
        }
        Ok(Outcome::files(summary))
    }
}

impl<'a> Task<'a> {
    /// As the command line has it.
    pub fn of(arguments: &'a Arguments) -> Self {
        Self {
            recipe_path: Path::new(&arguments.recipe),
            inputs: &arguments.observations,
            output: &arguments.output,
            existing: arguments.existing.into(),
            checkpoint_every: Duration::from_secs(arguments.checkpoint_every),
            most_bytes: (arguments.most_memory * GIBIBYTE) as u64,
        }
    }

    /// Whether what is made of its models may replace what is there.
    pub fn may_replace(&self) -> bool {
        self.existing.overwrite || self.existing.resume
    }

    /// As [`Task::run`], by a recipe that is still text, with another seed than its own if there is one.
    ///
    /// # Errors
    /// As [`Task::run`], and when the recipe is not valid.
    pub fn run_text<K: Trainable>(&self, recipe: &TrainingRecipe, seed: Option<u64>, settings: &Settings) -> Result<K> {
        let folder = self.recipe_path.parent().unwrap_or(Path::new(""));
        if seed.is_some() && !K::HAS_SEED {
            warn_once(format!("--seed: trainings of the kind '{}' draw nothing, the model is the same with any seed", K::KIND));
        }
        self.run::<K>(&K::recipe(&recipe.text, &recipe.place, folder, seed)?, settings)
    }

    /// Trains and writes the package, or reads it where the same run is finished.
    ///
    /// # Errors
    /// When the output may not be written, an input cannot be read, or training fails.
    pub fn run<K: Trainable>(&self, recipe: &K::Recipe, settings: &Settings) -> Result<K> {
        let (effects, device) = (&settings.program.effects, settings.device()?);
        K::check(recipe, effects).map_err(|error| error.within(self.recipe_path.display()))?;
        let others = K::other_inputs(recipe);
        self.check_output(&K::FOLDER, others.iter().map(|(_, path)| path.as_path()))?;
        let mut provenance = Provenance::new("train").with("recipe", K::choices(recipe)?).with_inputs(&scan(self.inputs)?);
        for (name, path) in &others {
            let content = sha256_of_file(path)?;
            provenance = provenance.with(&format!("{name}_sha256"), content).noted(name, path.display().to_string());
        }
        if self.is_finished(&provenance, &K::FOLDER)? {
            return K::load(self.output, effects, &device);
        }
        let sample = self.sample::<K>(recipe, effects)?;
        let stars = sample.stars();
        tracing::info!("training on {} stars, {} fluxes each", stars.len(), stars.grid.len());
        let progress = Mutex::new(Progress::of_fraction("training", settings));
        let checkpoint = CheckpointFile::path_of(self.output);
        let context = TrainingContext {
            effects,
            device: &device,
            checkpoints: CheckpointFile { path: &checkpoint, interval: self.checkpoint_every, resume: self.existing.resume },
            run: &provenance.run(),
            report: &|done, text| {
                progress.lock().unwrap_or_else(PoisonError::into_inner).fraction(done, text);
                let remedy = "Give --resume to go on from the checkpoint.";
                interrupt::check(|| self.output.display().to_string(), remedy)
            },
        };
        let trained = K::train(recipe, &*sample, &context)?;
        let package = trained.package;
        let provenance = provenance.noted("model_sha256", package.sha256());
        write_directory_atomically(self.output, self.existing.overwrite, &K::FOLDER, |folder| {
            package.save_in(folder)?;
            for (name, mut table) in trained.tables {
                table.metadata.extend(provenance.metadata());
                table::write(&table, &folder.join(name), false)?;
            }
            write_provenance(folder, &K::FOLDER, &provenance)
        })?;
        // What is left of it harms nothing.
        let _ = std::fs::remove_file(&checkpoint);
        let (lines, warnings) = package.conclusions();
        lines.iter().for_each(|line| tracing::info!("{line}"));
        warnings.iter().for_each(|warning| warn_once(format!("{}: {warning}", self.output.display())));
        let seconds = progress.into_inner().unwrap_or_else(PoisonError::into_inner).seconds();
        tracing::info!("{}: model {} in {seconds:.1} s", self.output.display(), package.id());
        Ok(package)
    }

    /// The stars of the inputs: in memory, or in their files where they would take more than is allowed and
    /// this kind of model can do with parts of them.
    ///
    /// # Errors
    /// When an input cannot be read.
    pub fn sample<K: Trainable>(&self, recipe: &K::Recipe, effects: &Registry) -> Result<Box<dyn Sample>> {
        if K::IN_PARTS && bytes_in_memory(self.inputs)?.is_some_and(|bytes| bytes > self.most_bytes) {
            let at_once = (self.most_bytes / SHARE_OF_A_PART) as usize;
            let files = ObservationFiles::open(self.inputs, at_once, |table| K::read_options(recipe, effects, table))?;
            tracing::info!("the fluxes stay in their files, and are read anew for every walk over them");
            return Ok(Box::new(files));
        }
        Ok(Box::new(read_observations::<K>(recipe, effects, self.inputs)?))
    }

    /// Everything that is read: the observations, the recipe, and what that names (`more`).
    pub fn all_inputs<'b>(&'b self, more: impl Iterator<Item = &'b Path>) -> Inputs {
        Inputs::of(self.inputs.iter().map(PathBuf::as_path).chain([self.recipe_path]).chain(more))
    }

    /// Finds out before the work whether the result can be written as a folder of this kind, and that neither
    /// an input (`more` than the observations and the recipe) nor an interrupted run is lost by mistake.
    ///
    /// # Errors
    /// When it cannot, or would be.
    fn check_output<'b>(&'b self, kind: &FolderKind, more: impl Iterator<Item = &'b Path>) -> Result<()> {
        let existing = self.existing;
        require_utf8(self.output)?;
        let inputs = self.all_inputs(more);
        inputs.require_other(self.output)?;
        inputs.require_none_in(self.output)?;
        let checkpoint = CheckpointFile::path_of(self.output);
        inputs.require_other(&checkpoint)?;
        if !(existing.resume && self.output.is_dir()) {
            check_target_directory(self.output, existing.overwrite, kind)?;
        }
        if checkpoint.exists() && !existing.overwrite && !existing.resume {
            return Err(Error::output(checkpoint.display().to_string())
                .found("the checkpoint of an interrupted training")
                .expected("none")
                .remedy("Give --resume to go on with it, or --overwrite to start anew."));
        }
        AtomicFile::create(&checkpoint, true).map(drop)
    }

    /// Whether the same run has finished its model, where an interrupted one is to be taken up.
    ///
    /// # Errors
    /// When there is the model of another run, or one that is not as it was written.
    fn is_finished(&self, provenance: &Provenance, kind: &FolderKind) -> Result<bool> {
        if !(self.existing.resume && self.output.exists()) {
            return Ok(false);
        }
        let path = self.output.join(PROVENANCE_FILE);
        let found: BTreeMap<String, String> = if path.is_file() { read_json(&path)? } else { BTreeMap::new() };
        require_same_run(self.output, found.get(RUN), &provenance.run())?;
        require_same_files(self.output, &found, kind)?;
        tracing::info!("{}: finished already", self.output.display());
        Ok(true)
    }
}

/// Whether a folder has the model of this very run, as it was written.
pub fn is_written(folder: &Path, provenance: &Provenance, kind: &FolderKind) -> bool {
    let found: Option<BTreeMap<String, String>> = read_json(&folder.join(PROVENANCE_FILE)).ok();
    let is_same = |found: &BTreeMap<String, String>| found.get(RUN) == Some(&provenance.run());
    found.filter(is_same).is_some_and(|found| require_same_files(folder, &found, kind).is_ok())
}

/// Writes the provenance of a model into its `folder`, with the hashes of what is there.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write_provenance(folder: &Path, kind: &FolderKind, provenance: &Provenance) -> Result<()> {
    let path = folder.join(PROVENANCE_FILE);
    let mut entries = provenance.entries();
    entries.insert(FILES.into(), json!(hashes(folder, kind)?).to_string());
    let text = serde_json::to_string_pretty(&entries).map_err(|error| Error::writing(&path, error))?;
    table::write_member(&path, text)
}

/// Hashes of the files in a folder, by name.
fn hashes(folder: &Path, kind: &FolderKind) -> Result<BTreeMap<String, String>> {
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
fn require_same_files(directory: &Path, provenance: &BTreeMap<String, String>, kind: &FolderKind) -> Result<()> {
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

/// Warns of files of a model that are not as its training wrote them: damaged, or changed by hand. Tables,
/// which decide no estimate, are not read; nor is anything outside the folder.
pub fn warn_of_changed_files(directory: &Path) {
    let written = read_json::<BTreeMap<String, String>>(&directory.join(PROVENANCE_FILE)).ok();
    let written: BTreeMap<String, String> =
        written.and_then(|entries| serde_json::from_str(entries.get(FILES)?).ok()).unwrap_or_default();
    for (name, sha256) in written.iter().filter(|(name, _)| !name.contains(['/', '\\']) && !name.ends_with(".parquet")) {
        let path = directory.join(name);
        if sha256_of_file(&path).is_ok_and(|found| found != *sha256) {
            warn_once(format!("{}: not as the training wrote it (its hash in {PROVENANCE_FILE} is another)", path.display()));
        }
    }
}

/// What the lists of numbers of all files take in memory; `None` where a file does not say how many rows it
/// has.
///
/// # Errors
/// When a file cannot be read.
fn bytes_in_memory(paths: &[PathBuf]) -> Result<Option<u64>> {
    let mut bytes = 0;
    for path in paths {
        let Some(rows) = table::row_count(path)? else { return Ok(None) };
        let Some(beginning) = table::read_chunks(path, 1)?.next().transpose()? else { continue };
        let lists = beginning.columns().iter().filter(|column| column.shape != Shape::Scalar && column.n_rows() > 0);
        bytes += rows as u64 * BYTES_OF_A_NUMBER * lists.map(|column| column.range(0).len() as u64).sum::<u64>();
    }
    Ok(Some(bytes))
}

/// The observations in all files, as a recipe wants them.
///
/// # Errors
/// When a file cannot be read, files have other columns than the first or units of another kind, or a row is
/// impossible.
pub fn read_observations<K: Trainable>(recipe: &K::Recipe, effects: &Registry, paths: &[PathBuf]) -> Result<Observations> {
    let (place, table) = read_tables(paths)?;
    let options = K::read_options(recipe, effects, &table)?;
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
                let place = path.display().to_string();
                append_file(whole, table, &place).map_err(|error| error.within(&place))?;
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
fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
