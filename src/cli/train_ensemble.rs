//! `train --seeds N --ensemble`: the models of all seeds as one, in a folder beside them.

use super::settings::Settings;
use super::training_task::{Task, is_written, write_provenance};
use crate::error::{Error, Result};
use crate::package::{Trainable, no_ensembles};
use crate::run::identifiers::scan;
use crate::run::interrupt;
use crate::run::provenance::Provenance;
use crate::table::{check_target_directory, write_directory_atomically, write_member};
use crate::train::PROVENANCE_FILE;
use crate::warning::warn_once;
use std::path::{Path, PathBuf};

/// Its folder, in that of the models of all seeds.
pub const FOLDER: &str = "ensemble";

/// Finds out before the trainings whether an ensemble can be made of `n` models of a kind and written into
/// `folder`.
///
/// # Errors
/// `Usage` when it cannot be made; when there is one that may not be replaced.
pub fn check<K: Trainable>(n: u32, folder: &Path, task: &Task<'_>) -> Result<()> {
    if !K::ENSEMBLES {
        return Err(no_ensembles(K::KIND));
    }
    if n < 2 {
        let error = Error::usage("--ensemble").found(format!("--seeds {n}")).expected("at least two seeds");
        return Err(error.remedy("Give more seeds, or leave it out."));
    }
    check_target_directory(&folder.join(FOLDER), task.may_replace(), &K::FOLDER)
}

/// Makes the ensemble of `members`, with their seeds, which lie in `folders` in the same order, or reads it
/// where the same one is finished. One of other members that an earlier run left is replaced when this run
/// may go on with it.
///
/// # Errors
/// When the members do not make one, an input cannot be read, or something cannot be written.
pub fn make<K: Trainable>(
    recipe: &K::Recipe,
    (members, folders): (&[(u64, K)], &[PathBuf]),
    (output, task): (&Path, &Task<'_>),
    settings: &Settings,
) -> Result<K> {
    let (effects, device) = (&settings.program.effects, settings.device()?);
    let hashes: Vec<&str> = members.iter().map(|(_, member)| member.sha256()).collect();
    let provenance = Provenance::new("train")
        .with("recipe", K::choices(recipe)?)
        .with("ensemble", hashes.join(" "))
        .with_inputs(&scan(task.inputs)?);
    if task.existing.resume && is_written(output, &provenance, &K::FOLDER) {
        tracing::info!("{}: finished already", output.display());
        return K::load(output, effects, &device);
    }
    let sample = task.sample::<K>(recipe, effects)?;
    let remedy = "Give --resume to go on from the trained models.";
    let check = || interrupt::check(|| output.display().to_string(), remedy);
    let (package, chosen) = K::ensemble(recipe, members, &*sample, &check)?;
    let provenance = provenance.noted("model_sha256", package.sha256());
    write_directory_atomically(output, task.may_replace(), &K::FOLDER, |folder| {
        package.save_in(folder)?;
        for name in K::FOLDER.files.iter().filter(|name| **name != PROVENANCE_FILE) {
            let (table, copy) = (folders[chosen].join(name), folder.join(name));
            if table.is_file() && !copy.exists() {
                write_member(&copy, std::fs::read(&table).map_err(|error| Error::reading(&table, error))?)?;
            }
        }
        write_provenance(folder, &K::FOLDER, &provenance)
    })?;
    let (lines, warnings) = package.conclusions();
    lines.iter().for_each(|line| tracing::info!("{line}"));
    warnings.iter().for_each(|warning| warn_once(format!("{}: {warning}", output.display())));
    tracing::info!("{}: model {}, an ensemble of {} seeds", output.display(), package.id(), members.len());
    Ok(package)
}
