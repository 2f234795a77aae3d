//! What a kind of package says of its recipes, so that the program can train it.

use super::folder::MODEL_FOLDER;
use super::kinds::Kind;
use crate::error::{Error, Result};
use crate::learn::CheckpointFile;
use crate::model::Registry;
use crate::observations::{ReadOptions, Sample};
use crate::table::{FolderKind, Table};
use crate::tensor::Device;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A kind whose packages come from recipes (TOML, with its [`Kind::KIND`] as `kind`) and observations.
///
/// The program reads the observations, checks that nothing is written over, keeps the provenance, takes up
/// what was interrupted, and writes the folder.
pub trait Trainable: Kind {
    /// What a recipe says.
    type Recipe;

    /// The folder in which packages are saved, with all files that may be in it; a kind with files of its own
    /// lists them.
    const FOLDER: FolderKind = MODEL_FOLDER;

    /// Whether a training visits stars part by part, so that it can be given those of files larger than
    /// memory; others ask for the [`Sample::whole`].
    const IN_PARTS: bool = false;

    /// Whether a training draws anything, so that another seed is another training.
    const HAS_SEED: bool = true;

    /// Reads a recipe; `place` is for messages, `folder` that to which paths in it are relative, and `seed`
    /// takes the place of its own.
    ///
    /// # Errors
    /// `Usage` for an unknown key or an impossible value.
    fn recipe(text: &str, place: &str, folder: &Path, seed: Option<u64>) -> Result<Self::Recipe>;

    /// Checks what the recipe says against the effects that the program knows.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    fn check(_recipe: &Self::Recipe, _effects: &Registry) -> Result<()> {
        Ok(())
    }

    /// All of a recipe that decides the package, but for other files, as text.
    ///
    /// # Errors
    /// When it cannot be written.
    fn choices(recipe: &Self::Recipe) -> Result<String>;

    /// The files that a training reads besides the observations, by what they are; their content decides the
    /// package too.
    fn other_inputs(_recipe: &Self::Recipe) -> Vec<(&'static str, PathBuf)> {
        Vec::new()
    }

    /// How the observations are read, whose table begins as this one.
    ///
    /// # Errors
    /// When the recipe names an effect that is not there.
    fn read_options(recipe: &Self::Recipe, effects: &Registry, table: &Table) -> Result<ReadOptions>;

    /// Trains.
    ///
    /// # Errors
    /// When recipe and observations do not fit each other, the training fails, or it is told to end.
    fn train(recipe: &Self::Recipe, stars: &dyn Sample, context: &TrainingContext<'_>) -> Result<Trained<Self>>;

    /// Whether several packages that differ in their seeds can be made one ([`Trainable::ensemble`]).
    const ENSEMBLES: bool = false;

    /// One package of `members`, with their seeds, that the same recipe (but for its seed) made of the same
    /// stars; and which of them it stands for, whose tables are kept beside it.
    ///
    /// # Errors
    /// When the kind has no ensembles, the members do not belong together, or the stars do not tell what it
    /// needs.
    fn ensemble(
        _recipe: &Self::Recipe,
        _members: &[(u64, Self)],
        _stars: &dyn Sample,
        _check: Check<'_>,
    ) -> Result<(Self, usize)> {
        Err(no_ensembles(Self::KIND))
    }

    /// Writes the package into a folder that is there.
    ///
    /// # Errors
    /// When something cannot be written.
    fn save_in(&self, folder: &Path) -> Result<()>;

    /// What `train --json` says of it beside its hash.
    fn summary(&self) -> Value;

    /// What a training says at its end: lines, and warnings.
    fn conclusions(&self) -> (Vec<String>, Vec<String>) {
        (Vec::new(), Vec::new())
    }
}

/// The error for a kind without ensembles of seeds.
pub fn no_ensembles(kind: &str) -> Error {
    Error::usage("--ensemble")
        .found(format!("a recipe of the kind '{kind}'"))
        .expected("one of a kind whose trainings can be made one model (a forward model)")
        .remedy("Leave it out; direct networks are ensembles by their recipe (training.members).")
}

/// Asked while work goes on; its error ends it.
pub type Check<'a> = &'a (dyn Fn() -> Result<()> + Send + Sync);

/// What a training has besides its recipe and the observations.
pub struct TrainingContext<'a> {
    pub effects: &'a Registry,
    pub device: &'a Device,
    /// Where the state of the training may lie meanwhile, which the program removes at the end.
    pub checkpoints: CheckpointFile<'a>,
    /// Recipe and inputs as a hash: a checkpoint of another run is refused.
    pub run: &'a str,
    /// Told of the fraction done and where the training stands; its error (the program is told to stop) ends
    /// the training, after a checkpoint.
    pub report: Report<'a>,
}

/// See [`TrainingContext::report`].
pub type Report<'a> = &'a (dyn Fn(f64, &str) -> Result<()> + Sync);

/// A trained package, and tables that are kept beside it, by their names among the files of its folder.
pub struct Trained<K> {
    pub package: K,
    pub tables: Vec<(&'static str, Table)>,
}
