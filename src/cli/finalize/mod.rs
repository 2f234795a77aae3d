//! `photosphere finalize`: is a run over partitions complete, and what is in it? Metadata of the whole
//! catalogue.

mod hats;
mod statistics;
mod unique;

use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::residuals::CatalogueCheck;
use crate::run::hats::N_ROWS;
use crate::run::interrupt;
use crate::run::provenance::sha256_of_settings;
use crate::run::{Attempt, Lock, Manifest, Marker, RunFolder, expand, is_gone, replace};
use crate::warning::warn_once;
use serde_json::{Value, json};
use statistics::Statistics;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use unique::Identifiers;

/// The summary's name in the output folder.
const SUMMARY_FILE: &str = "summary.json";

/// Check that a run over partitions is complete and every star there once, and write the whole catalogue's
/// metadata.
///
/// Every catalogue is compared with the hash that was taken when it was written. summary.json has counts,
/// flags and statistics of all columns; a HATS catalogue gets its properties, list of pixels and Parquet
/// metadata. May be run again at any time; exit code 3 when partitions are missing.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Output folder of `photosphere fit`.
    folder: PathBuf,
}

/// Finalises.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    let folder = RunFolder::new(&arguments.folder);
    let manifest = Manifest::read(&folder)?;
    let place = || folder.root().display().to_string();
    let _lock = match Lock::try_take(&folder.finalize_lock())? {
        Attempt::Taken(lock) => lock,
        Attempt::Busy(holder) => {
            return Err(Error::output(place())
                .found(format!("{holder}, which finalises it"))
                .expected("one process at a time")
                .remedy("Wait until it is done."));
        }
    };
    let settings_sha256 = sha256_of_settings(&manifest.settings);
    let mut identifiers = Identifiers::new(&folder.bookkeeping())?;
    let mut statistics = Statistics::default();
    let (mut finished, mut missing, mut withdrawn) = (Vec::new(), Vec::new(), Vec::new());
    let mut progress = Progress::of_fraction("finalising", settings);
    for (position, (name, input)) in manifest.partitions.iter().enumerate() {
        interrupt::check(place, "Run the command again.")?;
        match what_is_missing(&folder, name, &settings_sha256)? {
            None => {
                let number = u32::try_from(finished.len()).map_err(|_| too_many(&folder, finished.len()))?;
                statistics.add(&folder.output(name), |ids| identifiers.add(number, ids))?;
                finished.push(name);
            }
            Some(_) if is_withdrawn(&folder, name, input) => {
                warn_once(format!(
                    "{name}: no part of the run any more: its input {} is gone, and its catalogue was deleted",
                    input.display()
                ));
                withdrawn.push(name);
            }
            Some(reason) => {
                tracing::error!("{name}: {reason} (input {})", input.display());
                missing.push(json!({ "partition": name, "input": input, "reason": reason }));
            }
        }
        progress.fraction((position + 1) as f64 / manifest.partitions.len() as f64, name);
    }
    if finished.is_empty() {
        return Err(Error::data(place()).found("no finished partition").expected("at least one").remedy(go_on(&manifest)));
    }
    if let Some(repeated) = identifiers.repeated()? {
        let both = repeated.partitions.map(|number| finished[number as usize]);
        let gone = both.into_iter().find(|name| manifest.partitions.get(*name).is_some_and(|input| is_gone(input)));
        let remedy = match gone {
            Some(name) => format!(
                "The input of {name} is gone (renamed, or removed since): delete {}, and finalise again.",
                folder.output(name).display()
            ),
            None => {
                "Remove it from one of the two inputs, and fit that input alone, with the same options, into this folder with \
                     --overwrite: the other partitions stay as they are."
                    .to_owned()
            }
        };
        return Err(Error::data(place())
            .found(format!("identifier {} in {} and in {}", repeated.id, both[0], both[1]))
            .expected("every star once")
            .remedy(remedy));
    }
    warn_of_strays(&folder, &manifest);
    let residuals = Marker::residuals_of(&folder, &settings_sha256, finished.iter().copied())?;
    let check = residuals.as_ref().map(CatalogueCheck::of);
    if let Some(warning) = check.as_ref().and_then(CatalogueCheck::warning) {
        warn_once(format!("{}: {warning}", place()));
    }
    let check = check.map(|check| check.summary());
    if let Some(properties) = &manifest.hats {
        let mut metadata = manifest.settings.clone();
        metadata.extend(check.as_ref().map(|check| ("check".to_owned(), check.to_string())));
        hats::write(&folder, &metadata, properties, &finished, statistics.tally.stars)?;
    }
    let mut summary = summary(&manifest, &finished, &missing, &statistics);
    if !withdrawn.is_empty() {
        summary["withdrawn"] = json!(withdrawn);
    }
    // Of a shard or an unfinished run nothing can be said.
    let stated = manifest.hats.as_ref().and_then(|properties| properties.get(N_ROWS)?.parse::<usize>().ok());
    if let Some(stated) = stated.filter(|stated| missing.is_empty() && *stated != statistics.tally.stars) {
        warn_once(format!(
            "{}: {} stars, where the properties of the input say {N_ROWS} = {stated}: rows are missing there, or the number is wrong",
            place(),
            statistics.tally.stars
        ));
        summary["input_rows_stated"] = json!(stated);
    }
    if let Some(check) = check {
        summary["check"] = check;
    }
    replace(&folder.root().join(SUMMARY_FILE), &format!("{summary:#}\n"))?;
    let (n, n_missing) = (manifest.partitions.len() - withdrawn.len(), missing.len());
    tracing::info!("{}: {} of {n} partitions, each star once; {}", place(), finished.len(), statistics.tally);
    if n_missing > 0 {
        tracing::error!("{n_missing} partitions are missing. {}", go_on(&manifest));
    }
    Ok(Outcome { n_failed: n_missing, ..Outcome::files(summary) })
}

/// The remedy for a run that is not finished.
fn go_on(manifest: &Manifest) -> String {
    let command = manifest.settings.get("command").map_or("fit", String::as_str);
    format!("Run the same `photosphere {command}` again with --resume.")
}

/// Why a partition does not count as finished, if it does not.
fn what_is_missing(folder: &RunFolder, name: &str, settings_sha256: &str) -> Result<Option<String>> {
    let marker = match Marker::read(folder, name) {
        Ok(Some(marker)) => marker,
        Ok(None) => {
            let holder = Lock::last_holder(&folder.lock(name)).map(|holder| match holder.n_lost {
                0 => format!(", taken by {}", holder.name),
                n_lost => format!(", taken by {} after {n_lost} processes that ended with it", holder.name),
            });
            return Ok(Some(format!("not done{}", holder.unwrap_or_default())));
        }
        Err(error) => return Ok(Some(error.to_string())),
    };
    Ok(match () {
        () if marker.settings_sha256 != settings_sha256 => Some("made with other settings".into()),
        () if !marker.has_output(&folder.output(name))? => Some("not as it was written, or gone".into()),
        () => None,
    })
}

/// Whether a partition was done, its catalogue is gone since, and so is its input: who deletes both takes it
/// out of the run.
fn is_withdrawn(folder: &RunFolder, name: &str, input: &Path) -> bool {
    is_gone(input) && !folder.output(name).exists() && matches!(Marker::read(folder, name), Ok(Some(_)))
}

/// The error for more partitions than can be numbered.
fn too_many(folder: &RunFolder, found: usize) -> Error {
    Error::data(folder.root().display().to_string())
        .found(format!("more than {found} partitions"))
        .expected(format!("at most {}", u32::MAX))
        .remedy("Fit them into several folders.")
}

/// Warns of tables in the folder that belong to no partition.
fn warn_of_strays(folder: &RunFolder, manifest: &Manifest) {
    let ours: HashSet<PathBuf> = manifest.partitions.keys().map(|name| folder.output(name)).collect();
    match expand(&[folder.root().to_owned()]) {
        Ok(found) => {
            let strays: Vec<PathBuf> = found.into_iter().filter(|path| !ours.contains(path)).collect();
            if let [first, ..] = strays.as_slice() {
                warn_once(format!("{} tables belong to no partition of the run, {} for one", strays.len(), first.display()));
            }
        }
        Err(error) => warn_once(format!("whether other tables lie among the catalogues is not known: {error}")),
    }
}

fn summary(manifest: &Manifest, finished: &[&String], missing: &[Value], statistics: &Statistics) -> Value {
    let (quality_flags, columns) = statistics.summary();
    json!({
        "settings": manifest.settings,
        "partitions": manifest.partitions.len(),
        "finished": finished.len(),
        "missing": missing,
        "tally": statistics.tally,
        "quality_flags": quality_flags,
        "columns": columns,
    })
}
