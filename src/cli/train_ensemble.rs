//! `train --seeds N --ensemble`: the models of all seeds as one, in a folder beside them.

use super::settings::Settings;
use super::training_task::{Task, is_written, write_provenance};
use crate::error::{Error, Result};
use crate::package::{Trainable, no_ensembles};
use crate::run::identifiers::scan;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::interrupt;
use crate::run::provenance::Provenance;
use crate::run::read_json;
use crate::table::{check_target_directory, write_directory_atomically, write_member};
use crate::train::PROVENANCE_FILE;
use crate::warning::warn_once;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Its folder, in that of the models of all seeds.
pub const FOLDER: &str = "ensemble";
/// Entry of its provenance: the hashes of its members.
const MEMBERS: &str = "ensemble";
/// How the files end that a training writes beside those of a package.
const TABLES: &str = ".parquet";

/// Finds out before the trainings whether an ensemble can be made of `n` models of a kind and written into
/// `folder`, where none of the `inputs` may be.
///
/// # Errors
/// `Usage` when it cannot be made, or would replace an input; when there is one that may not be replaced.
pub fn check<K: Trainable>(n: u32, folder: &Path, (task, inputs): (&Task<'_>, &Inputs)) -> Result<()> {
    if !K::ENSEMBLES {
        return Err(no_ensembles(K::KIND));
    }
    if n < 2 {
        let error = Error::usage("--ensemble").found(format!("--seeds {n}")).expected("at least two seeds");
        return Err(error.remedy("Give more seeds, or leave it out."));
    }
    let output = folder.join(FOLDER);
    require_utf8(&output)?;
    inputs.require_other(&output)?;
    inputs.require_none_in(&output)?;
    check_target_directory(&output, task.may_replace(), &K::FOLDER)
}

/// Whether the ensemble in a folder is one of the members with these hashes.
pub fn is_of(output: &Path, hashes: &[String]) -> bool {
    let found = read_json::<BTreeMap<String, String>>(&output.join(PROVENANCE_FILE)).ok();
    found.is_some_and(|found| found.get(MEMBERS) == Some(&hashes.join(" ")))
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
        .with(MEMBERS, hashes.join(" "))
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
        // All else of the member is in the package, or not valid for it.
        for name in K::FOLDER.files.iter().filter(|name| name.ends_with(TABLES)) {
            let (table, copy) = (folders[chosen].join(name), folder.join(name));
            if table.is_file() {
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
