//! `photosphere train`: from a recipe and observations to a model directory, of whatever kind the recipe is.

use super::built_in;
use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::package::{Kind, kind_of};
use crate::run::interrupt;
use crate::train::TrainedModel;
use std::path::PathBuf;

/// Train a model; it is written as a directory, with the table of its training stars (training_stars.parquet)
/// in it.
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
    /// Train N models, with seeds that rise from that of --seed (or 1), into folders seed-… of <DIRECTORY>,
    /// and report the mean and the spread of every figure.
    #[arg(long, value_name = "N")]
    pub(super) seeds: Option<u32>,
    /// Make one model of them too, <DIRECTORY>/ensemble: that of the seed nearest to the mean of all, whose
    /// errors know how far the seeds are from one another. Forward models only.
    #[arg(long, requires = "seeds")]
    pub(super) ensemble: bool,
    /// Shortest time between two checkpoints, in seconds; they lie in <DIRECTORY>.checkpoint until the model
    /// is finished.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(super) checkpoint_every: u64,
    /// Fluxes, errors and covariances that would take more than so many GiB of memory stay in their files
    /// (Parquet or FITS) and are read anew, part by part, for every walk of the training over them. Only
    /// trainings of regressions can do so; the model is the same.
    #[arg(long, value_name = "GIB", default_value_t = 4.0, value_parser = gibibytes)]
    pub(super) most_memory: f64,
    #[command(flatten)]
    pub(super) existing: ExistingArguments,
}

fn gibibytes(text: &str) -> std::result::Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("expected a positive number of GiB".into()),
    }
}

/// Trains.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    let recipe = built_in::TrainingRecipe::named(&arguments.recipe)?;
    let kind = kind_of(&recipe.text).unwrap_or_else(|| TrainedModel::KIND.to_owned());
    let trainers = &settings.program.trainers;
    let Some(trainer) = trainers.get(kind.as_str()) else {
        let known: Vec<String> = trainers.keys().map(|kind| format!("'{kind}'")).collect();
        return Err(Error::usage(format!("{}, kind", recipe.place))
            .found(format!("'{kind}'"))
            .expected(known.join(" or "))
            .remedy("Correct it; a recipe without it is one of a forward model."));
    };
    trainer(&recipe, arguments, settings)
}
