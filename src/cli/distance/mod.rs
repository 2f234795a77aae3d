//! `photosphere distance`: distances and binaries, from catalogues with parallaxes and predicted
//! luminosities.

mod calibrate;
mod catalogue;
mod controls;
mod partitions;
mod read;

use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::settings::{Settings, trimmed};
use crate::distance::DistanceRecipe;
use crate::distance::compatibility::PaperNames;
use crate::error::{Error, Result};
use crate::package::read_toml;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::interrupt;
use crate::run::shard::Shard;
use crate::run::{Survey, expand};
use crate::warning::warn_once;
pub(super) use catalogue::DistanceTask;
use std::path::PathBuf;

/// Distances from parallaxes, magnitudes and predicted luminosities, and unresolved binaries.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Catalogues with parallaxes, apparent and predicted absolute magnitudes, or catalogues of `photosphere
    /// fit`; folders, for all tables in them (HATS catalogues too); or @LIST, for the paths in the lines of a
    /// file.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Catalogue of all stars (.parquet, .fits, .ecsv, .csv); or a folder (an existing one, or a name ending
    /// in /) for one catalogue per input, where one bad input does not stop the others and several processes
    /// may share the work.
    #[arg(short, long, value_name = "FILE|FOLDER")]
    output: PathBuf,
    /// Columns and options (TOML; `photosphere recipe distance` prints the defaults).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the columns of a published catalogue, with its names and senses of flags: specdis or ob-stars.
    #[arg(long, value_name = "PAPER")]
    names: Option<PaperNames>,
    /// Calibrate the error model of the predicted magnitudes and the mixture of binaries on the stars of the
    /// inputs with good parallaxes, and write the recipe with them to the output, in place of a catalogue.
    #[arg(long, conflicts_with_all = ["names", "shard", "keep"])]
    calibrate: bool,
    /// Extinctions and absolute magnitudes by stars of like labels (T_eff, log g, [Fe/H]; section
    /// [neighbours] of the recipe), in place of columns: catalogues of controls with labels, magnitudes, and
    /// a map's E(B-V) or parallaxes, which may be the inputs themselves; commas between several.
    #[arg(long, value_name = "CONTROLS", value_delimiter = ',', conflicts_with_all = ["names", "calibrate"])]
    by_neighbours: Vec<PathBuf>,
    /// Only part i of n, 0 ≤ i < n: of the inputs, every n-th, where the output is a folder; of the stars, by
    /// identifier, where it is a file.
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
    /// Copy these scalar columns of the input into the catalogue, besides ra and dec; commas between several.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = trimmed)]
    keep: Vec<String>,
    #[command(flatten)]
    existing: ExistingArguments,
    /// Try inputs again on which two processes ended without a word (out of memory, crashed), and which
    /// --resume passes by since.
    #[arg(long)]
    retry_lost: bool,
}

/// Makes distances.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    require_utf8(&arguments.output)?;
    if settings.seed.is_some() && !arguments.calibrate {
        warn_once("--seed: nothing in `distance` is random, but for the samples of --calibrate");
    }
    let recipe: DistanceRecipe = match &arguments.config {
        Some(path) => read_toml(path)?,
        None => DistanceRecipe::default(),
    };
    recipe.validate().map_err(|error| {
        let place = arguments.config.as_ref().map_or_else(String::new, |path| path.display().to_string());
        error.within(place).or_remedy("Correct it; `photosphere recipe distance` prints all keys with their defaults.")
    })?;
    Inputs::of(arguments.config.iter()).require_other(&arguments.output)?;
    let is_folder = arguments.output.is_dir() || arguments.output.to_string_lossy().ends_with('/');
    if is_folder && arguments.calibrate {
        return Err(Error::usage("--calibrate").found("a folder for the output").expected("the recipe to write (.toml)"));
    }
    // In a folder a shard is one of partitions, not of the stars in them.
    let shard_of_stars = arguments.shard.filter(|_| !is_folder);
    let controls = match arguments.by_neighbours.as_slice() {
        [] => None,
        files => {
            Inputs::of(files).require_other(&arguments.output)?;
            Some(controls::Controls::read(&recipe, files)?)
        }
    };
    let mut task = DistanceTask { recipe, keep: arguments.keep.clone(), names: arguments.names, shard: shard_of_stars, controls };
    if is_folder {
        let survey = Survey::of(&arguments.inputs)?;
        if task.recipe.columns.counts_rows() && survey.partitions.len() > 1 {
            warn_once(
                "columns.source_id = \"row\": every catalogue in the folder counts the rows of its own input, so that identifiers \
                 occur again in the others. Name a column of identifiers, or a file for the output, to have every one once.",
            );
        }
        let needed = survey.columns_to_keep().filter(|name| !arguments.keep.contains(name));
        task.keep.extend(needed.collect::<Vec<String>>());
        let choices = (arguments.shard, arguments.retry_lost);
        return partitions::run(&task, &survey, &arguments.output, arguments.existing.into(), choices, settings);
    }
    let inputs = expand(&arguments.inputs)?;
    Inputs::of(&inputs).require_other(&arguments.output)?;
    if arguments.calibrate {
        return calibrate::run(&task.recipe, &inputs, &arguments.output, arguments.existing.into(), settings);
    }
    let made = task.make(&inputs, &arguments.output, arguments.existing.into(), true, settings)?;
    Ok(Outcome::files(made.summary(&arguments.output)))
}
