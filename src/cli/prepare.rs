//! `photosphere prepare`: from survey files to an observation file.

use super::built_in::{self, Purpose};
use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::survey::prepare::{PrepareRecipe, Summary, prepare};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Join Gaia XP spectra, photometry, parallaxes and labels on source_id into an observation file.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Recipe (TOML) that names the files, or a built-in one (`photosphere recipe` lists them).
    recipe: String,
    /// Observation file to write (.parquet, .fits, .ecsv, .csv).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Prepares.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    if settings.seed.is_some() {
        tracing::warn!("--seed: nothing in `prepare` is random");
    }
    let clock = Instant::now();
    let summary = prepare(recipe(&arguments.recipe)?, &arguments.output, arguments.overwrite)?;
    log(&summary, &arguments.output, clock);
    let noted: serde_json::Map<String, serde_json::Value> =
        summary.noted.iter().map(|(note, count)| (note.description().to_owned(), (*count).into())).collect();
    Ok(Outcome::files(json!({
        "output": arguments.output,
        "stars": summary.n_stars,
        "notes": noted,
        "unusable_spectra": summary.examples,
        "duplicates_dropped": summary.n_duplicates,
        "unmatched_rows": summary.n_unmatched,
    })))
}

fn log(summary: &Summary, output: &Path, clock: Instant) {
    tracing::info!("{}: {} stars in {:.1} s", output.display(), summary.n_stars, clock.elapsed().as_secs_f64());
    log_notes(summary);
}

/// Logs what was wrong with the stars.
pub fn log_notes(summary: &Summary) {
    for (note, count) in &summary.noted {
        tracing::info!("{count} stars: {}", note.description());
    }
    for example in &summary.examples {
        tracing::warn!("{example}");
    }
    if summary.n_duplicates > 0 {
        tracing::warn!("{} rows dropped as duplicates", summary.n_duplicates);
    }
    for (table, count) in summary.n_unmatched.iter().filter(|(_, count)| **count > 0) {
        tracing::info!("{table}: {count} rows belong to no star");
    }
}

/// A recipe for `prepare`, built in or in a file.
///
/// # Errors
/// When there is none of that name, or it is not valid.
pub fn recipe(name_or_path: &str) -> Result<PrepareRecipe> {
    let path = Path::new(name_or_path);
    match built_in::find(name_or_path).filter(|recipe| recipe.purpose == Purpose::Prepare) {
        Some(recipe) => PrepareRecipe::parse(recipe.text),
        None if path.exists() => PrepareRecipe::read(path),
        None => Err(Error::usage(format!("recipe '{name_or_path}'"))
            .found("no such file")
            .expected(format!("a recipe (TOML) or one of {}", built_in::names(Purpose::Prepare)))),
    }
}
