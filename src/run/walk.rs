//! One process's way through the partitions of a run: each is locked, made, and marked as done, one after the
//! other; a bad one does not stop the others, even where it makes the program fail, and one that has ended
//! processes (out of memory, say) is passed by. Any number of processes may do so in one output folder.

use super::crash::guarded;
use super::inputs::Inputs;
use super::provenance::Provenance;
use super::shard::Shard;
use super::tally::Tally;
use super::{
    Attempt, Existing, FileState, Holder, Lock, Manifest, Marker, Partition, RunFolder, Survey, interrupt, make_folder_of,
};
use crate::error::{Error, Result};
use crate::residuals::ResidualSums;
use crate::table::remove_leftovers;
use crate::warning::warn_once;
use std::path::Path;

/// Processes that may end while they work on a partition, before it is passed by.
const MOST_LOST: u32 = 2;

/// What the work on a partition says when it has written the partition's output.
pub trait Finished {
    /// The input as it was read.
    fn input(&self) -> FileState;
    /// Numbers of stars in the output.
    fn tally(&self) -> Tally;

    /// Sums over its residuals, where it has any.
    fn residuals(&self) -> Option<ResidualSums> {
        None
    }
}

/// What came of a partition.
pub enum Step<M> {
    Made(M),
    DoneBefore(Tally),
    /// The process of this name works on it.
    Elsewhere(String),
}

/// This process's part of a run.
pub struct Walk<'a> {
    folder: RunFolder,
    existing: Existing,
    /// Whether partitions that ended processes are tried again.
    retry_lost: bool,
    settings_sha256: String,
    partitions: Vec<&'a Partition>,
}

impl<'a> Walk<'a> {
    /// Enters the run into the folder `output`, before any work; `provenance` is what decides all outputs.
    ///
    /// # Errors
    /// When the folder has a run with other settings, or partitions that were made from other inputs, or
    /// finished ones without leave to go on or to replace them; when an output would take the place of an
    /// input; and when the folder cannot be written to.
    pub fn enter(
        output: &Path,
        provenance: &Provenance,
        survey: &'a Survey,
        existing: Existing,
        (shard, retry_lost): (Option<Shard>, bool),
    ) -> Result<Self> {
        let folder = RunFolder::new(output);
        require_outputs_beside_inputs(&folder, survey)?;
        Manifest::new(provenance.settings(), survey).enter(&folder, existing.overwrite)?;
        let all = survey.partitions.iter().enumerate();
        let mine = all.filter(|(position, _)| shard.is_none_or(|shard| shard.contains_partition(*position)));
        let partitions: Vec<&Partition> = mine.map(|(_, partition)| partition).collect();
        if let Some(shard) = shard {
            tracing::info!("shard {shard}: {} of {} partitions", partitions.len(), survey.partitions.len());
        }
        let walk = Self { folder, existing, retry_lost, settings_sha256: provenance.run(), partitions };
        if !existing.overwrite {
            walk.check_done()?;
        }
        Ok(walk)
    }

    /// Where everything of the run lies.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Sums over the residuals of all partitions of `survey` that are done by now.
    ///
    /// # Errors
    /// As [`Marker::residuals_of`].
    pub fn residuals(&self, survey: &Survey) -> Result<Option<ResidualSums>> {
        Marker::residuals_of(&self.folder, &self.settings_sha256, survey.partitions.iter().map(|partition| &partition.name))
    }

    /// Number of this process's partitions.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Whether this process has none.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
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
        if n_done > 0 && !self.existing.resume {
            return Err(Error::output(self.folder.root().display().to_string())
                .found(format!("{n_done} of {} partitions finished", self.partitions.len()))
                .expected("none")
                .remedy("Give --resume to go on, or --overwrite to replace them."));
        }
        Ok(())
    }

    /// The partitions in their order, but last those on which a process is at work or has ended: what ended
    /// that one shall end this one only when everything else is done.
    pub fn in_turn(&self) -> Vec<&'a Partition> {
        let (held, free): (Vec<&Partition>, Vec<&Partition>) =
            self.partitions.iter().partition(|partition| self.folder.lock(&partition.name).exists());
        free.into_iter().chain(held).collect()
    }

    /// One partition, under its lock: `make` writes its output, which may replace what is there if it is told
    /// so.
    ///
    /// # Errors
    /// Those of `make`, faults of the program included, and a signal.
    pub fn step<M: Finished>(&self, partition: &Partition, make: impl FnOnce(&Path, Existing) -> Result<M>) -> Result<Step<M>> {
        interrupt::check(|| self.folder.root().display().to_string(), "")?;
        guarded(|| partition.input.display().to_string(), || self.locked(partition, make))
    }

    fn locked<M: Finished>(&self, partition: &Partition, make: impl FnOnce(&Path, Existing) -> Result<M>) -> Result<Step<M>> {
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
        let mut existing = self.existing;
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
        let made = make(&output, existing)?;
        let marker = Marker {
            settings_sha256: self.settings_sha256.clone(),
            input: made.input(),
            output: FileState::read(&output)?,
            tally: made.tally(),
            residuals: made.residuals(),
        };
        marker.write(&self.folder, &partition.name)?;
        Ok(Step::Made(made))
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

/// Fails when a catalogue would take the place of an input, or the output folder is one that is read from:
/// the next run would take catalogues for observations, and `finalize` would replace the metadata of a HATS
/// catalogue.
fn require_outputs_beside_inputs(folder: &RunFolder, survey: &Survey) -> Result<()> {
    let inputs = Inputs::of(survey.partitions.iter().map(|partition| &partition.input));
    survey.partitions.iter().try_for_each(|partition| inputs.require_other(&folder.output(&partition.name)))?;
    Inputs::of_folders(&survey.folders).require_other(folder.root())
}
