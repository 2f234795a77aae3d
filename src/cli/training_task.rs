//! What trainings of every kind do around their work: checks of inputs and output, what is finished already, and the
//! provenance beside the model.

use super::train::Arguments;
use crate::error::{Error, Result};
use crate::observations::{Grid, require_same_flux_unit};
use crate::quantity::append;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::{Provenance, RUN, sha256_of_file};
use crate::run::{Existing, read_json, require_same_run};
use crate::table::{self, AtomicFile, FolderKind, Table, check_target_directory};
use crate::train::{PROVENANCE_FILE, checkpoint_path};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Key of the provenance under which the hashes of the model's files stand.
const FILES: &str = "files";

/// A training to be done, by a recipe of some kind.
pub struct Task<'a, R> {
    /// Where the recipe is from, if it is from a file.
    pub recipe_path: &'a Path,
    pub recipe: &'a R,
    pub inputs: &'a [PathBuf],
    pub output: &'a Path,
    pub existing: Existing,
    /// Shortest time between two checkpoints.
    pub checkpoint_every: Duration,
}

impl<'a, R> Task<'a, R> {
    /// What the command line asks for.
    pub fn of(arguments: &'a Arguments, recipe: &'a R) -> Self {
        Self {
            recipe_path: Path::new(&arguments.recipe),
            recipe,
            inputs: &arguments.observations,
            output: &arguments.output,
            existing: arguments.existing.into(),
            checkpoint_every: Duration::from_secs(arguments.checkpoint_every),
        }
    }

    /// Finds out before the work whether the result can be written as a folder of this kind, and that neither an input
    /// (`more` than the observations and the recipe) nor an interrupted run is lost by mistake.
    ///
    /// # Errors
    /// When it cannot, or would be.
    pub fn check_output(&self, kind: &FolderKind, more: Option<&Path>) -> Result<()> {
        let existing = self.existing;
        require_utf8(self.output)?;
        let inputs = Inputs::of(self.inputs.iter().map(PathBuf::as_path).chain([self.recipe_path]).chain(more));
        inputs.require_other(self.output)?;
        inputs.require_none_in(self.output)?;
        let checkpoint = checkpoint_path(self.output);
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
    pub fn is_finished(&self, provenance: &Provenance, kind: &FolderKind) -> Result<bool> {
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
pub fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
