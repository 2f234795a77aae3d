//! A catalogue of distances per partition.

use super::catalogue::{DistanceTask, Made};
use crate::cli::outcome::Outcome;
use crate::cli::partition_results::{PartitionResults, Stands};
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::run::shard::Shard;
use crate::run::tally::Tally;
use crate::run::{Existing, FileState, Finished, Partition, Survey, Walk};
use std::path::Path;

impl Finished for Made {
    fn input(&self) -> FileState {
        self.inputs[0].clone()
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// Works through the partitions of a survey, into the folder `output`.
///
/// # Errors
/// As [`Walk::enter`]; when a signal stops the work; or when no partition succeeds: the last failure.
pub fn run(
    task: &DistanceTask,
    survey: &Survey,
    output: &Path,
    existing: Existing,
    choices: (Option<Shard>, bool),
    settings: &Settings,
) -> Result<Outcome> {
    let walk = Walk::enter(output, &task.provenance()?, survey, existing, choices)?;
    let make = |partition: &Partition, output: &Path, existing| {
        task.make(std::slice::from_ref(&partition.input), output, existing, false, settings)
    };
    let results = PartitionResults::collect((&walk, survey), "no distances", make, |stands, output| match stands {
        Stands::Made(made) => made.summary(output),
        Stands::Before(tally) => Made { tally, inputs: Vec::new(), seconds: 0.0 }.summary(output),
    })?;
    results.outcome(walk.folder().root(), "")
}
