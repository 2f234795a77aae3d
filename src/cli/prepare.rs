//! `photosphere prepare`: from survey files to an observation file.

use super::built_in::{self, Purpose};
use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::run::inputs::{Inputs, require_utf8};
use crate::survey::prepare::{PrepareRecipe, Summary, prepare};
use crate::table::Format;
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Join spectra, photometry, parallaxes and labels on source_id into an observation file.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Recipe (TOML) that names the files, or a built-in one (`photosphere recipe` lists them).
    recipe: String,
    /// Observation file to write (.parquet, .fits, .ecsv).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Prepares.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    if settings.seed.is_some() {
        warn_once("--seed: nothing in `prepare` is random");
    }
    let clock = Instant::now();
    require_utf8(&arguments.output)?;
    let recipe = recipe(&arguments.recipe)?;
    Inputs::of(recipe.paths().chain([Path::new(&arguments.recipe)])).require_other(&arguments.output)?;
    Format::of_observations(&arguments.output)?;
    let summary = prepare(recipe, &arguments.output, arguments.overwrite)?;
    log(&summary, &arguments.output, clock);
    let n_failed = summary.n_failed_files;
    let nothing_matched = summary.n_stars > 0 && warn_of_tables_without_match(&summary.n_matched);
    let noted: serde_json::Map<String, serde_json::Value> =
        summary.noted.iter().map(|(note, count)| (note.description().to_owned(), (*count).into())).collect();
    let summary = json!({
        "output": arguments.output,
        "stars": summary.n_stars,
        "notes": noted,
        "unusable_spectra": summary.examples,
        "not_stars": summary.n_not_stars,
        "without_identifier": summary.n_without_id,
        "failed_files": summary.n_failed_files,
        "duplicates_dropped": summary.n_duplicates,
        "matched_stars": summary.n_matched,
        "unmatched_rows": summary.n_unmatched,
    });
    Ok(Outcome { nothing_matched, n_failed, ..Outcome::files(summary) })
}

/// Warns of joined tables in which no star was found, by the numbers found in each; returns whether there is
/// one.
pub fn warn_of_tables_without_match(n_matched: &BTreeMap<String, usize>) -> bool {
    let without = || n_matched.iter().filter(|(_, n_matched)| **n_matched == 0);
    for (table, _) in without() {
        warn_once(format!(
            "{table}: NOTHING WAS JOINED: none of its identifiers is among the stars. Check that both have identifiers of the same \
             catalogue and release (exit code 4)."
        ));
    }
    without().next().is_some()
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
    for example in summary.examples.iter().chain(&summary.failed_files) {
        warn_once(example.clone());
    }
    if summary.n_failed_files > 0 {
        warn_once(format!("{} files could not be read, or not to their end (exit code 3)", summary.n_failed_files));
    }
    if summary.n_duplicates > 0 {
        warn_once(format!("{} rows dropped as duplicates", summary.n_duplicates));
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
            .expected(format!("a recipe (TOML) or one of {}", built_in::names(Purpose::Prepare)))
            .remedy("`photosphere recipe` lists the built-in recipes, `photosphere recipe prepare` prints all keys.")),
    }
}
