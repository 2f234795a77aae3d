//! A catalogue per partition.

use super::catalogue::{CatalogueTask, Made};
use super::raw::Preparations;
use super::warn_of_check;
use crate::cli::outcome::Outcome;
use crate::cli::partition_results::{PartitionResults, Stands};
use crate::cli::prepare::warn_of_tables_without_match;
use crate::cli::settings::Settings;
use crate::cli::stage_times::StageTimes;
use crate::error::Result;
use crate::residuals::{CatalogueCheck, ResidualSums};
use crate::run::provenance::Provenance;
use crate::run::shard::Shard;
use crate::run::tally::Tally;
use crate::run::{Existing, FileState, Finished, Partition, Survey, Walk};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// This process's part of a run.
pub struct PartitionedRun<'a> {
    /// What is the same for all partitions.
    task: CatalogueTask<'a>,
    preparations: &'a Preparations<'a>,
    provenance: Provenance,
    survey: &'a Survey,
    walk: Walk<'a>,
}

/// What all partitions of this process have in common.
#[derive(Default)]
struct Total {
    tally: Tally,
    times: StageTimes,
    /// Stars found in each joined table by the partitions that were fitted.
    matches: BTreeMap<String, usize>,
    n_done_before: usize,
}

impl Finished for Made {
    fn input(&self) -> FileState {
        self.inputs[0].clone()
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn residuals(&self) -> Option<ResidualSums> {
        self.residuals.clone()
    }
}

impl<'a> PartitionedRun<'a> {
    /// Enters the run into the output folder of `task`, before any work.
    ///
    /// # Errors
    /// As [`Walk::enter`].
    pub fn enter(
        task: CatalogueTask<'a>,
        preparations: &'a Preparations<'a>,
        survey: &'a Survey,
        choices: (Option<Shard>, bool),
    ) -> Result<Self> {
        let provenance = task.provenance()?;
        let walk = Walk::enter(task.output, &provenance, survey, task.existing, choices)?;
        Ok(Self { task, preparations, provenance, survey, walk })
    }

    /// Works through the partitions.
    ///
    /// # Errors
    /// When a signal stops the work, or when no partition succeeds: the last failure.
    pub fn run(&self, settings: &Settings) -> Result<Outcome> {
        let mut total = Total::default();
        let make = |partition: &Partition, output: &Path, existing| self.make(partition, (output, existing), settings);
        let results =
            PartitionResults::collect((&self.walk, self.survey), "not fitted", make, |made, output| total.add(made, output))?;
        let mut outcome = results.outcome(self.walk.folder().root(), &format!("; {}", total.tally))?;
        if total.times.total() > 0.0 {
            tracing::info!("{}", total.times);
        }
        // What the partitions that were done before have found is not known.
        outcome.nothing_matched = total.n_done_before == 0 && warn_of_tables_without_match(&total.matches);
        outcome.summary["processor_seconds"] = json!(total.times);
        // Of all that is done by now, by whomever: a run that goes on says the same as one in one go.
        if let Some(residuals) = self.walk.residuals(self.survey)? {
            warn_of_check(self.walk.folder().root(), Some(&residuals));
            outcome.summary["check"] = CatalogueCheck::of(&residuals).summary();
        }
        Ok(outcome)
    }

    fn make(&self, partition: &Partition, (output, existing): (&Path, Existing), settings: &Settings) -> Result<Made> {
        let inputs = std::slice::from_ref(&partition.input);
        let source = self.preparations.of(&partition.input)?;
        let task = CatalogueTask { inputs, output, existing, source, ..self.task };
        task.run(&self.preparations.noted_in(&self.provenance, source)?, settings)
    }
}

impl Total {
    /// Adds what stands at `output`, and returns its summary.
    fn add(&mut self, stands: Stands<Made>, output: &Path) -> Value {
        let made = match stands {
            Stands::Made(made) => made,
            Stands::Before(tally) => {
                self.n_done_before += 1;
                Made::before(tally, Vec::new())
            }
        };
        self.tally += made.tally;
        self.times += made.times;
        let summary = made.summary(output);
        for (table, n_matched) in made.matches.into_iter().flatten() {
            *self.matches.entry(table).or_default() += n_matched;
        }
        summary
    }
}
