//! `photosphere fit`: from a model and observations to a catalogue, chunk by chunk.

mod catalogue;
mod input;
mod raw;

use super::outcome::Outcome;
use super::output::Existing;
use super::settings::Settings;
use super::shard::Shard;
use super::simulate::read_toml;
use crate::error::{Error, Result};
use crate::infer::FitOptions;
use crate::model::Registry;
use crate::survey::prepare::Preparation;
use crate::table::Format;
use crate::train::TrainedModel;
pub use catalogue::CatalogueTask;
use catalogue::Tally;
use raw::RawArguments;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Fit stars: labels, extinction and parallax with covariances and quality flags.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory.
    model: PathBuf,
    /// Observation files, or files of Gaia XP spectra as the archive publishes them.
    #[arg(required = true)]
    observations: Vec<PathBuf>,
    /// Catalogue of all stars (.parquet, .fits, .ecsv, .csv); or a folder (an existing one, or a name ending in /) for one
    /// catalogue per input, where one bad input does not stop the others.
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
    /// Parameters whose measured values constrain the fit, in place of parallax; commas between several, none for none.
    #[arg(long, value_name = "PARAMETERS", value_delimiter = ',')]
    constraint: Vec<String>,
    /// Fit only part i of n of the stars, 0 ≤ i < n; parts follow from identifiers.
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
    /// Copy these scalar columns of the observations into the catalogue, besides ra and dec; commas between several.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    keep: Vec<String>,
    /// Copy the true values of a simulated survey (true_*) into the catalogue.
    #[arg(long)]
    keep_truth: bool,
    #[command(flatten)]
    existing: Existing,
    #[command(flatten)]
    raw: RawArguments,
}

fn held(text: &str) -> std::result::Result<(String, f64), String> {
    let parse = || {
        let (name, value) = text.split_once('=')?;
        let value: f64 = value.trim().parse().ok()?;
        (value.is_finite() && !name.trim().is_empty()).then(|| (name.trim().to_owned(), value))
    };
    parse().ok_or_else(|| "expected <parameter>=<number>, as in extinction=0".into())
}

/// Fits.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let options = arguments.options(settings)?;
    let trained = TrainedModel::load(&arguments.model, &Registry::standard(), &settings.device()?)?;
    require_parameters(&trained, &options)?;
    let preparation = arguments.preparation(&trained, &options)?;
    let task = |inputs: &[PathBuf], output: &Path| {
        CatalogueTask {
            trained: &trained,
            model_path: &arguments.model,
            options: &options,
            inputs,
            preparation: preparation.as_ref(),
            output,
            existing: arguments.existing,
            shard: arguments.shard,
            keep: &arguments.keep,
            keep_truth: arguments.keep_truth,
        }
        .run(settings)
    };
    if arguments.output.is_dir() || arguments.output.to_string_lossy().ends_with('/') {
        one_by_one(arguments, &task)
    } else {
        let tally = task(&arguments.observations, &arguments.output)?;
        Ok(Outcome::files(tally.summary(&arguments.output)))
    }
}

/// One catalogue per input; a bad input does not stop the others.
fn one_by_one(arguments: &Arguments, task: &dyn Fn(&[PathBuf], &Path) -> Result<Tally>) -> Result<Outcome> {
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| Error::writing(folder, error))?;
    let outputs = partition_names(folder, &arguments.observations)?;
    let (mut catalogues, mut failures, mut last) = (Vec::new(), Vec::new(), None);
    for (input, output) in arguments.observations.iter().zip(&outputs) {
        match task(std::slice::from_ref(input), output) {
            Ok(tally) => catalogues.push(tally.summary(output)),
            Err(error) => {
                tracing::error!("{}: not fitted: {error}", input.display());
                failures.push(json!({ "input": input, "error": error.to_string() }));
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if catalogues.is_empty() => Err(error),
        _ => {
            let n_failed = failures.len();
            let summary = json!({ "catalogues": catalogues, "failures": failures });
            Ok(Outcome { n_failed, ..Outcome::files(summary) })
        }
    }
}

/// A Parquet file for every input, by its name without extensions.
fn partition_names(folder: &Path, inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut taken = BTreeSet::new();
    inputs
        .iter()
        .map(|input| {
            let name = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            let stem = if Format::from_extension(Path::new(name)).is_some() {
                name.rsplit_once('.').map_or(name, |(stem, _)| stem)
            } else {
                name
            };
            if !taken.insert(stem.to_owned()) {
                return Err(Error::usage(input.display().to_string())
                    .found(format!("a second input that would give {stem}.parquet"))
                    .remedy("Fit inputs of the same name into different folders."));
            }
            Ok(folder.join(format!("{stem}.parquet")))
        })
        .collect()
}

impl Arguments {
    /// How raw XP spectra are prepared; `None` where there are none.
    fn preparation(&self, trained: &TrainedModel, options: &FitOptions) -> Result<Option<Preparation>> {
        let parameters = trained.model.space.parameters.iter().flat_map(|parameter| {
            let name = parameter.name.as_str();
            [name.to_owned(), format!("{name}_error")]
        });
        let beside = ["ra", "dec"].map(String::from).into_iter().chain(self.keep.iter().cloned());
        let truth = self.keep_truth.then(|| "true_*".to_owned());
        let keep = parameters.chain(beside).chain(truth).collect();
        self.raw.preparation(&self.observations, &trained.model.grid, options, &keep)
    }

    fn options(&self, settings: &Settings) -> Result<FitOptions> {
        let mut options: FitOptions = match &self.config {
            Some(path) => read_toml(path)?,
            None => FitOptions::default(),
        };
        if self.likelihood_only {
            options = options.likelihood_only();
        }
        if !self.constraint.is_empty() {
            options.constraints = self.constraint.iter().filter(|name| *name != "none").cloned().collect();
        }
        options.hold.extend(self.hold.iter().cloned());
        options.start.seed = settings.seed.unwrap_or(options.start.seed);
        options.validate()?;
        Ok(options)
    }
}

/// Fails when an option names a parameter that the model does not have.
fn require_parameters(trained: &TrainedModel, options: &FitOptions) -> Result<()> {
    let names: Vec<&str> = trained.model.space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let lists = [
        ("constraints", options.constraints.iter().collect::<Vec<_>>()),
        ("hold", options.hold.keys().collect()),
        ("offsets", options.offsets.keys().collect()),
        ("transforms", options.transforms.keys().collect()),
    ];
    for (option, used) in lists {
        if let Some(unknown) = used.into_iter().find(|name| !names.contains(&name.as_str())) {
            return Err(Error::usage(format!("fit option {option}"))
                .found(format!("'{unknown}'"))
                .expected(format!("parameters of the model ({})", names.join(", "))));
        }
    }
    if options.hold.len() == names.len() {
        return Err(Error::usage("fit option hold").found("every parameter of the model").expected("at least one to be fitted"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_parameters_are_names_with_numbers() {
        assert_eq!(held("extinction=0"), Ok(("extinction".into(), 0.0)));
        for bad in ["extinction", "=1", "a=b", "a=nan"] {
            assert!(held(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_are_named_after_their_inputs() {
        let names = |inputs: [&str; 2]| partition_names(Path::new("out"), &inputs.map(PathBuf::from));
        let expected = ["out/a.parquet", "out/b.c.parquet"].map(PathBuf::from);
        assert_eq!(names(["x/a.csv.gz", "b.c.fits"]).unwrap(), expected);
        assert_eq!(names(["a.fits", "y/a.csv"]).unwrap_err().exit_code(), 2);
    }
}
