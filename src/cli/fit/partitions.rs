//! A catalogue per partition: each is locked, fitted, written and marked as done, one after the other; a bad one does not stop the
//! others. Any number of processes may do so in one output folder.

use super::catalogue::{CatalogueTask, Made};
use crate::cli::interrupt;
use crate::cli::outcome::Outcome;
use crate::cli::output::Existing;
use crate::cli::provenance::Provenance;
use crate::cli::run::{Attempt, FileState, Lock, Manifest, Marker, Partition, RunFolder, Survey, make_folder_of};
use crate::cli::settings::Settings;
use crate::cli::shard::Shard;
use crate::cli::stage_times::StageTimes;
use crate::cli::tally::Tally;
use crate::error::{Error, ErrorKind, Result};
use crate::table::remove_leftovers;
use serde_json::json;

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
    folder: RunFolder,
    provenance: Provenance,
    settings_sha256: String,
    partitions: Vec<&'a Partition>,
}

impl<'a> PartitionedRun<'a> {
    /// Enters the run into the output folder of `task`, before any work.
    ///
    /// # Errors
    /// When the folder has a run with other settings, or partitions that were made from other inputs, or finished ones without
    /// `--resume` or `--overwrite`; and when it cannot be written to.
    pub fn enter(task: CatalogueTask<'a>, survey: &'a Survey, shard: Option<Shard>) -> Result<Self> {
        let provenance = task.provenance()?;
        let folder = RunFolder::new(task.output);
        Manifest::new(provenance.settings(), survey).enter(&folder, task.existing.overwrite)?;
        let all = survey.partitions.iter().enumerate();
        let mine = all.filter(|(position, _)| shard.is_none_or(|shard| shard.contains_partition(*position)));
        let partitions: Vec<&Partition> = mine.map(|(_, partition)| partition).collect();
        if let Some(shard) = shard {
            tracing::info!("shard {shard}: {} of {} partitions", partitions.len(), survey.partitions.len());
        }
        let run = Self { task, folder, settings_sha256: provenance.run(), provenance, partitions };
        if !task.existing.overwrite {
            run.check_done()?;
        }
        Ok(run)
    }

    /// Fails when partitions that are done belong to another run, or are in the way.
    fn check_done(&self) -> Result<()> {
        let mut n_done = 0;
        for partition in &self.partitions {
            if let Some(marker) = Marker::read(&self.folder, &partition.name)? {
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
        let (mut catalogues, mut failures, mut elsewhere, mut last) = (Vec::new(), Vec::new(), Vec::new(), None);
        let (mut total, mut times) = (Tally::default(), StageTimes::default());
        for partition in &self.partitions {
            let output = self.folder.output(&partition.name);
            let step = self.check_signal().and_then(|()| self.step(partition, settings));
            match step {
                Ok(Step::Fitted(made)) => {
                    total += made.tally;
                    times += made.times;
                    catalogues.push(made.summary(&output));
                }
                Ok(Step::DoneBefore(tally)) => {
                    tracing::info!("{}: finished already", output.display());
                    total += tally;
                    catalogues.push(Made::before(tally, Vec::new()).summary(&output));
                }
                Ok(Step::Elsewhere(holder)) => {
                    tracing::warn!("{}: {holder} works on it; skipped", output.display());
                    elsewhere.push(json!({ "output": output, "holder": holder }));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted(_)) => {
                    let (n_done, n) = (catalogues.len(), self.partitions.len());
                    let remedy = format!("{n_done} of {n} partitions are done; the same command with --resume goes on.");
                    return Err(error.remedy(remedy));
                }
                Err(error) => {
                    tracing::error!("{}: not fitted: {error}", partition.input.display());
                    failures.push(json!({ "input": partition.input, "error": error.to_string() }));
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if catalogues.is_empty() && elsewhere.is_empty() => Err(error),
            _ => {
                let n_failed = failures.len();
                tracing::info!("{}: {} partitions, {n_failed} failed; {total}", self.folder.root().display(), catalogues.len());
                if times.total() > 0.0 {
                    tracing::info!("{times}");
                }
                let summary = json!({
                    "catalogues": catalogues,
                    "failures": failures,
                    "elsewhere": elsewhere,
                    "processor_seconds": times,
                });
                Ok(Outcome { n_failed, ..Outcome::files(summary) })
            }
        }
    }

    fn check_signal(&self) -> Result<()> {
        interrupt::check(|| self.folder.root().display().to_string(), "")
    }

    /// One partition, under its lock.
    fn step(&self, partition: &Partition, settings: &Settings) -> Result<Step> {
        let output = self.folder.output(&partition.name);
        make_folder_of(&output)?;
        let _lock = match Lock::try_take(&self.folder.lock(&partition.name))? {
            Attempt::Taken(lock) => lock,
            Attempt::Busy(holder) => return Ok(Step::Elsewhere(holder)),
        };
        remove_leftovers(&output);
        let mut existing = self.task.existing;
        if !existing.overwrite
            && let Some(marker) = Marker::read(&self.folder, &partition.name)?
        {
            if marker.has_output(&output)? {
                return Ok(Step::DoneBefore(marker.tally));
            }
            tracing::warn!("{}: not as it was written, and made again", output.display());
            existing = Existing { overwrite: true, resume: false };
        }
        let inputs = std::slice::from_ref(&partition.input);
        let made = CatalogueTask { inputs, output: &output, existing, ..self.task }.run(&self.provenance, settings)?;
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
