//! `photosphere fit`: from a model and observations to one catalogue, or to a catalogue per partition.

mod catalogue;
mod input;
mod offsets;
mod options;
mod partitions;
mod raw;
pub mod zero_points;

use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::prepare::warn_of_tables_without_match;
use super::settings::{Settings, trimmed};
use crate::error::Result;
use crate::residuals::{CatalogueCheck, ResidualSums};
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::interrupt;
use crate::run::shard::Shard;
use crate::run::{Survey, expand};
use crate::warning::warn_once;
pub use catalogue::CatalogueTask;
pub use options::held;
use partitions::PartitionedRun;
use raw::RawArguments;
use std::path::{Path, PathBuf};

/// Fit stars: labels, extinction and parallax with covariances and quality flags.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory.
    model: PathBuf,
    /// Observation files, or files of Gaia XP spectra as the archive publishes them; folders, for all tables
    /// in them (HATS catalogues too); or @LIST, for the paths in the lines of a file.
    #[arg(required = true)]
    observations: Vec<PathBuf>,
    /// Catalogue of all stars (.parquet, .fits, .ecsv, .csv); or a folder (an existing one, or a name ending
    /// in /) for one catalogue per input, where one bad input does not stop the others and several processes
    /// may share the work.
    #[arg(short, long, value_name = "FILE|FOLDER")]
    output: PathBuf,
    /// Options (TOML; `photosphere recipe fit` prints the defaults).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Leave out the mixture prior of the labels and the Jacobians of the positive parameters.
    #[arg(long)]
    likelihood_only: bool,
    /// Hold a parameter at a value (in the file's unit), as in extinction=0; may be repeated.
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = held)]
    hold: Vec<(String, f64)>,
    /// Parameters whose measured values constrain the fit, in place of the distance parameter; names or roles
    /// (label, amount, distance, shape), commas between several, none for none.
    #[arg(long, value_name = "PARAMETERS", value_delimiter = ',', value_parser = trimmed)]
    constraint: Vec<String>,
    /// How posteriors are described: by the optimum and its covariance alone (laplace), or besides by
    /// weighted draws (importance): means, covariances, quantiles, joint regions, the weight of the second
    /// optimum.
    #[arg(long, value_name = "METHOD", value_parser = ["laplace", "importance"])]
    posterior: Option<String>,
    /// Fit two stars of one composition, distance and dust to every star as well: by how much they are better
    /// (pair_delta_loss, and a flag), and the labels of both.
    #[arg(long)]
    second_star: bool,
    /// Take the zero points of this file off the data: one that `photosphere zero-points` made with this
    /// model.
    #[arg(long, value_name = "FILE")]
    zero_points: Option<PathBuf>,
    /// Start every fit from what a direct network of the same data vector predicts (a model directory of the
    /// kind regression that predicts all labels), in place of draws of the prior; fits of models of spectra
    /// also from what another one estimates.
    #[arg(long, value_name = "MODEL")]
    start_from: Option<PathBuf>,
    /// Fit only part i of n, 0 ≤ i < n: of the inputs, every n-th, where the output is a folder; of the
    /// stars, by identifier, where it is a file.
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
    /// Copy these scalar columns of the observations into the catalogue, besides ra and dec; commas between
    /// several. One with the name of an estimate becomes measured_<name>.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = trimmed)]
    keep: Vec<String>,
    /// Copy the true values of a simulated survey (true_*) into the catalogue.
    #[arg(long)]
    keep_truth: bool,
    /// Fit XP spectra of another instrument than the model's all the same; the offsets of the bands at the
    /// first stars are logged.
    #[arg(long)]
    other_instrument: bool,
    #[command(flatten)]
    existing: ExistingArguments,
    /// Try inputs again on which two processes ended without a word (out of memory, crashed), and
    /// which --resume passes by since.
    #[arg(long)]
    retry_lost: bool,
    #[command(flatten)]
    raw: RawArguments,
}

/// Says what of a catalogue is beyond expectation.
fn warn_of_check(place: &Path, residuals: Option<&ResidualSums>) {
    if let Some(warning) = residuals.and_then(|sums| CatalogueCheck::of(sums).warning()) {
        warn_once(format!("{}: {warning}", place.display()));
    }
}

/// Fits.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    require_utf8(&arguments.output)?;
    let package = settings.package(&arguments.model)?;
    let zero_points = arguments.solved_zero_points(package.as_ref())?;
    let estimator = package.clone().estimator(&arguments.request(zero_points.as_ref(), settings)?)?;
    arguments.require_zero_points(zero_points.as_ref(), package.as_ref(), estimator.as_ref())?;
    Inputs::of(arguments.other_inputs()?).require_other(&arguments.output)?;
    let is_folder = arguments.output.is_dir() || arguments.output.to_string_lossy().ends_with('/');
    let survey = if is_folder { Some(Survey::of(&arguments.observations)?) } else { None };
    let mut keep = arguments.keep.clone();
    keep.extend(survey.iter().flat_map(Survey::columns_to_keep).filter(|name| !arguments.keep.contains(name)));
    let preparations = arguments.preparations(&keep, package.as_ref(), estimator.as_ref())?;
    let task = CatalogueTask {
        package: package.as_ref(),
        estimator: estimator.as_ref(),
        model_path: &arguments.model,
        inputs: &[],
        source: None,
        output: &arguments.output,
        existing: arguments.existing.into(),
        has_record: false,
        shard: None,
        keep: &keep,
        keep_truth: arguments.keep_truth,
        other_instrument: arguments.other_instrument,
    };
    match &survey {
        Some(survey) => {
            let each = CatalogueTask { source: preparations.asked_for(), ..task };
            PartitionedRun::enter(each, &preparations, survey, (arguments.shard, arguments.retry_lost))?.run(settings)
        }
        None => {
            let inputs = expand(&arguments.observations)?;
            Inputs::of(&inputs).require_other(&arguments.output)?;
            let source = preparations.of_any(&inputs)?;
            let task = CatalogueTask { inputs: &inputs, source, has_record: true, shard: arguments.shard, ..task };
            let made = task.run(&task.provenance()?, settings)?;
            warn_of_check(&arguments.output, made.residuals.as_ref());
            let nothing_matched = made.matches.as_ref().is_some_and(warn_of_tables_without_match);
            let n_failed = made.n_failed_files;
            Ok(Outcome { nothing_matched, n_failed, ..Outcome::files(made.summary(&arguments.output)) })
        }
    }
}
