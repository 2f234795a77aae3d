//! `photosphere audit`: re-fits a random sample of a catalogue, to see whether its stars are at their best
//! optimum.

mod sample;

use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::infer::audit::{AuditOptions, audit};
use crate::run::expand;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::Provenance;
use crate::table::check_target;
use crate::train::TrainedModel;
use crate::validate::audit::{AuditSummary, audit_table};
use crate::warning::warn_once;
use sample::Sample;
use serde_json::json;
use std::path::PathBuf;

/// Most random starts of a star.
const MOST_STARTS: usize = 100_000;

/// Re-fit a random sample of a catalogue from many starts in double precision: loss gaps, shifts,
/// covariances.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory that the catalogue was made with.
    model: PathBuf,
    /// Observations of its stars: a file, or a folder of partitions.
    observations: PathBuf,
    /// Catalogue of `photosphere fit`: a file, or a folder of partitions.
    catalogue: PathBuf,
    /// Stars to draw, by the seeded hash of their identifiers.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    sample: usize,
    /// Random starts of each star, besides the catalogue's own values.
    #[arg(long, value_name = "N", default_value_t = AuditOptions::default().starts)]
    starts: usize,
    /// Table of the re-fits, one row per star (.parquet, .fits, .ecsv, .csv).
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the table if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Audits.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    if let Some(output) = &arguments.output {
        require_utf8(output)?;
        let mut inputs = expand(std::slice::from_ref(&arguments.observations))?;
        inputs.extend(expand(std::slice::from_ref(&arguments.catalogue))?);
        inputs.push(arguments.model.clone());
        Inputs::of(inputs).require_other(output)?;
        check_target(output, arguments.overwrite)?;
    }
    if arguments.sample == 0 {
        return Err(Error::usage("--sample").found("0").expected("at least one star").remedy("Give a larger number."));
    }
    if arguments.starts > MOST_STARTS {
        return Err(Error::usage("--starts")
            .found(arguments.starts.to_string())
            .expected(format!("at most {MOST_STARTS}"))
            .remedy("Give a smaller number."));
    }
    let options = AuditOptions { starts: arguments.starts, seed: settings.seed.unwrap_or(AuditOptions::default().seed) };
    let package = settings.package(&arguments.model)?;
    let trained: &TrainedModel = package.require("audit")?;
    let sample = Sample::draw(trained, &arguments.catalogue, &arguments.observations, arguments.sample, options.seed)?;
    let n = sample.observations.len();
    tracing::info!("{n} of {} fitted stars drawn, {} starts each", sample.n_fitted, options.starts);
    if sample.n_absent > 0 {
        warn_once(format!("{} stars of the sample are not among the observations", sample.n_absent));
    }
    let result =
        audit(trained, &sample.observations, (sample.values.view(), sample.covariance.view()), &sample.options, &options)?;
    let summary = AuditSummary::new(&result, &sample.flags);
    if let Some(output) = &arguments.output {
        let mut table = audit_table(&result, &sample.flags)?;
        let provenance = Provenance::new("audit")
            .with("model_sha256", &trained.sha256)
            .with("catalogue_runs", sample.runs.into_iter().collect::<Vec<_>>().join(" "))
            .with("sample", arguments.sample.to_string())
            .with("starts", options.starts.to_string())
            .with("seed", options.seed.to_string());
        table.metadata = provenance.metadata();
        crate::table::write(&table, output, arguments.overwrite)?;
    }
    let head = format!(
        "{n} stars drawn from {} in the catalogue ({} fitted), seed {}; {} without observations\n\n",
        sample.n_catalogue, sample.n_fitted, options.seed, sample.n_absent
    );
    let details =
        serde_json::to_value(&summary).map_err(|error| Error::output("audit as JSON").found(error.to_string()).source(error))?;
    Ok(Outcome::answer(
        format!("{head}{summary}"),
        json!({
            "catalogue_stars": sample.n_catalogue,
            "fitted_stars": sample.n_fitted,
            "sampled": n,
            "without_observations": sample.n_absent,
            "seed": options.seed,
            "output": arguments.output,
            "audit": details,
        }),
    ))
}
