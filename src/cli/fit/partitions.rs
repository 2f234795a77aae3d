//! A catalogue per partition: what came of each, and of all of them.

use super::catalogue::{CatalogueTask, Made};
use super::raw::Preparations;
use crate::cli::outcome::Outcome;
use crate::cli::prepare::warn_of_tables_without_match;
use crate::cli::settings::Settings;
use crate::cli::stage_times::StageTimes;
use crate::error::{Error, ErrorKind, Result};
use crate::run::provenance::Provenance;
use crate::run::shard::Shard;
use crate::run::tally::Tally;
use crate::run::{Existing, FileState, Finished, Partition, Step, Survey, Walk};
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

impl Finished for Made {
    fn input(&self) -> FileState {
        self.inputs[0].clone()
    }

    fn tally(&self) -> Tally {
        self.tally
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
        let mut results = Results::default();
        for unlisted in &self.survey.unlisted {
            results.fail(&unlisted.path, &unlisted.error);
        }
        for partition in self.walk.in_turn() {
            let output = self.walk.folder().output(&partition.name);
            match self.walk.step(partition, |output, existing| self.make(partition, (output, existing), settings)) {
                Ok(Step::Made(made)) => {
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
                    let (n_done, n) = (results.catalogues.len(), self.walk.len());
                    let remedy = format!("{n_done} of {n} partitions are done; the same command with --resume goes on.");
                    return Err(error.remedy(remedy));
                }
                Err(error) => {
                    results.fail(&partition.input, &error);
                    results.last = Some(error);
                }
            }
        }
        results.outcome(self.walk.folder().root())
    }

    fn make(&self, partition: &Partition, (output, existing): (&Path, Existing), settings: &Settings) -> Result<Made> {
        let inputs = std::slice::from_ref(&partition.input);
        let preparation = self.preparations.of(&partition.input)?;
        let task = CatalogueTask { inputs, output, existing, preparation, ..self.task };
        task.run(&self.preparations.noted_in(&self.provenance, preparation)?, settings)
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
