//! A catalogue per partition: each is locked, fitted, written and marked as done, one after the other; a bad one does not stop the
//! others, even where it makes the program fail, and one that has ended processes (out of memory, say) is passed by. Any number of
//! processes may do so in one output folder.

use super::catalogue::{CatalogueTask, Made};
use super::raw::Preparations;
use crate::cli::crash::guarded;
use crate::cli::inputs::Inputs;
use crate::cli::interrupt;
use crate::cli::outcome::Outcome;
use crate::cli::output::Existing;
use crate::cli::prepare::warn_of_tables_without_match;
use crate::cli::provenance::Provenance;
use crate::cli::run::{Attempt, FileState, Holder, Lock, Manifest, Marker, Partition, RunFolder, Survey, make_folder_of};
use crate::cli::settings::Settings;
use crate::cli::shard::Shard;
use crate::cli::stage_times::StageTimes;
use crate::cli::tally::Tally;
use crate::error::{Error, ErrorKind, Result};
use crate::table::remove_leftovers;
use crate::warning::warn_once;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Processes that may end while they work on a partition, before it is passed by.
const MOST_LOST: u32 = 2;

/// What came of a partition.
enum Step {
    Fitted(Made),
    DoneBefore(Tally),
    /// The process of this name works on it.
    Elsewhere(String),
}

/// This process's part of a run.
pub struct PartitionedRun<'a> {
    /// What is the same for all partitions.
    task: CatalogueTask<'a>,
    preparations: &'a Preparations<'a>,
    /// Whether partitions that ended processes are tried again.
    retry_lost: bool,
    folder: RunFolder,
    provenance: Provenance,
    settings_sha256: String,
    survey: &'a Survey,
    partitions: Vec<&'a Partition>,
}

/// What came of all partitions of this process.
#[derive(Default)]
struct Results {
    catalogues: Vec<Value>,
    failures: Vec<Value>,
    elsewhere: Vec<Value>,
    last: Option<Error>,
    total: Tally,
    times: StageTimes,
    /// Stars found in each joined table by the partitions that were fitted.
    matches: BTreeMap<String, usize>,
    n_done_before: usize,
}

impl<'a> PartitionedRun<'a> {
    /// Enters the run into the output folder of `task`, before any work.
    ///
    /// # Errors
    /// When the folder has a run with other settings, or partitions that were made from other inputs, or finished ones without
    /// `--resume` or `--overwrite`; when a catalogue would take the place of an input; and when it cannot be written to.
    pub fn enter(
        task: CatalogueTask<'a>,
        preparations: &'a Preparations<'a>,
        survey: &'a Survey,
        (shard, retry_lost): (Option<Shard>, bool),
    ) -> Result<Self> {
        let provenance = task.provenance()?;
        let folder = RunFolder::new(task.output);
        require_outputs_beside_inputs(&folder, survey)?;
        Manifest::new(provenance.settings(), survey).enter(&folder, task.existing.overwrite)?;
        let all = survey.partitions.iter().enumerate();
        let mine = all.filter(|(position, _)| shard.is_none_or(|shard| shard.contains_partition(*position)));
        let partitions: Vec<&Partition> = mine.map(|(_, partition)| partition).collect();
        if let Some(shard) = shard {
            tracing::info!("shard {shard}: {} of {} partitions", partitions.len(), survey.partitions.len());
        }
        let settings_sha256 = provenance.run();
        let run = Self { task, preparations, retry_lost, folder, settings_sha256, provenance, survey, partitions };
        if !task.existing.overwrite {
            run.check_done()?;
        }
        Ok(run)
    }

    /// Fails when partitions that are done belong to another run, or are in the way.
    fn check_done(&self) -> Result<()> {
        let mut n_done = 0;
        for partition in &self.partitions {
            // A damaged marker is met again when the partition's turn comes.
            if let Ok(Some(marker)) = Marker::read(&self.folder, &partition.name) {
                marker.require_same(&self.settings_sha256, &partition.name, &partition.input)?;
                n_done += 1;
            }
        }
        if n_done > 0 && !self.task.existing.resume {
            return Err(Error::output(self.folder.root().display().to_string())
                .found(format!("{n_done} of {} partitions finished", self.partitions.len()))
                .expected("none")
                .remedy("Give --resume to go on, or --overwrite to replace them."));
        }
        Ok(())
    }

    /// Works through the partitions.
    ///
    /// # Errors
    /// When a signal stops the work, or when no partition succeeds: the last failure.
    pub fn run(&self, settings: &Settings) -> Result<Outcome> {
        let mut results = Results::default();
        for unlisted in &self.survey.unlisted {
            results.fail(&unlisted.path, &unlisted.error);
        }
        for partition in self.in_turn() {
            let output = self.folder.output(&partition.name);
            let work = || self.step(partition, settings);
            let step = self.check_signal().and_then(|()| guarded(|| partition.input.display().to_string(), work));
            match step {
                Ok(Step::Fitted(made)) => {
                    results.total += made.tally;
                    results.times += made.times;
                    results.catalogues.push(made.summary(&output));
                    for (table, n_matched) in made.matches.into_iter().flatten() {
                        *results.matches.entry(table).or_default() += n_matched;
                    }
                }
                Ok(Step::DoneBefore(tally)) => {
                    tracing::info!("{}: finished already", output.display());
                    results.n_done_before += 1;
                    results.total += tally;
                    results.catalogues.push(Made::before(tally, Vec::new()).summary(&output));
                }
                Ok(Step::Elsewhere(holder)) => {
                    tracing::warn!("{}: {holder} works on it; skipped", output.display());
                    results.elsewhere.push(json!({ "output": output.display().to_string(), "holder": holder }));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted(_)) => {
                    let (n_done, n) = (results.catalogues.len(), self.partitions.len());
                    let remedy = format!("{n_done} of {n} partitions are done; the same command with --resume goes on.");
                    return Err(error.remedy(remedy));
                }
                Err(error) => {
                    results.fail(&partition.input, &error);
                    results.last = Some(error);
                }
            }
        }
        results.outcome(self.folder.root())
    }

    /// The partitions in their order, but last those on which a process is at work or has ended: what ended that one shall end this one only
    /// when everything else is done.
    fn in_turn(&self) -> Vec<&'a Partition> {
        let (held, free): (Vec<&Partition>, Vec<&Partition>) =
            self.partitions.iter().partition(|partition| self.folder.lock(&partition.name).exists());
        free.into_iter().chain(held).collect()
    }

    fn check_signal(&self) -> Result<()> {
        interrupt::check(|| self.folder.root().display().to_string(), "")
    }

    /// One partition, under its lock.
    fn step(&self, partition: &Partition, settings: &Settings) -> Result<Step> {
        let output = self.folder.output(&partition.name);
        make_folder_of(&output)?;
        let lock_path = self.folder.lock(&partition.name);
        let before = Lock::last_holder(&lock_path);
        let lock = match Lock::try_take(&lock_path)? {
            Attempt::Taken(lock) => lock,
            Attempt::Busy(holder) => return Ok(Step::Elsewhere(holder)),
        };
        if lock.n_lost() >= MOST_LOST && !self.retry_lost {
            let error = passed_by(partition, lock.n_lost(), before);
            lock.leave();
            return Err(error);
        }
        if lock.n_lost() > 0 {
            warn_once(format!(
                "{}: the last process that worked on it ended without a word (killed, out of memory or crashed); tried again",
                partition.input.display()
            ));
        }
        remove_leftovers(&output);
        let mut existing = self.task.existing;
        if !existing.overwrite {
            // A damaged marker tells as much as none: the catalogue, if there is one, is made again.
            let marker = Marker::read(&self.folder, &partition.name);
            let marker = marker.inspect_err(|error| warn_once(error.to_string())).ok().flatten();
            if let Some(marker) = marker {
                if marker.has_output(&output)? {
                    return Ok(Step::DoneBefore(marker.tally));
                }
                warn_once(format!("{}: not as it was written, and made again", output.display()));
                existing = Existing { overwrite: true, resume: false };
            }
        }
        let inputs = std::slice::from_ref(&partition.input);
        let preparation = self.preparations.of(&partition.input)?;
        let task = CatalogueTask { inputs, output: &output, existing, preparation, ..self.task };
        let made = task.run(&self.preparations.noted_in(&self.provenance, preparation)?, settings)?;
        let marker = Marker {
            settings_sha256: self.settings_sha256.clone(),
            input: made.inputs[0].clone(),
            output: FileState::read(&output)?,
            tally: made.tally,
        };
        marker.write(&self.folder, &partition.name)?;
        Ok(Step::Fitted(made))
    }
}

impl Results {
    fn fail(&mut self, input: &Path, error: &Error) {
        tracing::error!("{}: not fitted: {error}", input.display());
        self.failures.push(json!({ "input": input.display().to_string(), "error": error.to_string() }));
    }

    fn outcome(self, root: &Path) -> Result<Outcome> {
        if let Some(error) = self.last.filter(|_| self.catalogues.is_empty() && self.elsewhere.is_empty()) {
            return Err(error);
        }
        let n_failed = self.failures.len();
        tracing::info!("{}: {} partitions, {n_failed} failed; {}", root.display(), self.catalogues.len(), self.total);
        if self.times.total() > 0.0 {
            tracing::info!("{}", self.times);
        }
        // What the partitions that were done before have found is not known.
        let nothing_matched = self.n_done_before == 0 && warn_of_tables_without_match(&self.matches);
        let summary = json!({
            "catalogues": self.catalogues,
            "failures": self.failures,
            "elsewhere": self.elsewhere,
            "processor_seconds": self.times,
        });
        Ok(Outcome { n_failed, nothing_matched, ..Outcome::files(summary) })
    }
}

/// The error for a partition that ended the processes which worked on it.
fn passed_by(partition: &Partition, n_lost: u32, last: Option<Holder>) -> Error {
    let last = last.map_or_else(String::new, |holder| format!(", {} last", holder.name));
    Error::data(partition.input.display().to_string())
        .found(format!("a partition on which {n_lost} processes ended without a word (killed, out of memory or crashed{last})"))
        .expected("one that can be fitted")
        .remedy("It is passed by. Once the cause is gone (more memory, another file), --resume --retry-lost tries it again.")
}

/// Fails when a catalogue would take the place of an input, or the output folder is one that is read from: the next run would take
/// catalogues for observations, and `finalize` would replace the metadata of a HATS catalogue.
fn require_outputs_beside_inputs(folder: &RunFolder, survey: &Survey) -> Result<()> {
    let inputs = Inputs::of(survey.partitions.iter().map(|partition| &partition.input));
    survey.partitions.iter().try_for_each(|partition| inputs.require_other(&folder.output(&partition.name)))?;
    Inputs::of_folders(&survey.folders).require_other(folder.root())
}
