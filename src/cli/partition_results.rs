//! What came of the partitions of a run, for the log, the summary and the exit code.

use super::outcome::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::run::tally::Tally;
use crate::run::{Existing, Finished, Partition, Step, Survey, Walk};
use serde_json::{Value, json};
use std::path::Path;

/// A partition whose output stands.
pub enum Stands<M> {
    Made(M),
    /// It was finished before.
    Before(Tally),
}

/// What came of all partitions of this process.
pub struct PartitionResults {
    /// How the log says that nothing came of an input.
    failure: &'static str,
    catalogues: Vec<Value>,
    failures: Vec<Value>,
    elsewhere: Vec<Value>,
    last: Option<Error>,
}

impl PartitionResults {
    /// Works through the partitions of a walk: `make` writes the output of one, `summary` says for `--json`
    /// what stands at an output. `failure` is how the log says that nothing came of an input: "not fitted".
    ///
    /// # Errors
    /// When a signal stops the work.
    pub fn collect<M: Finished>(
        (walk, survey): (&Walk<'_>, &Survey),
        failure: &'static str,
        make: impl Fn(&Partition, &Path, Existing) -> Result<M>,
        mut summary: impl FnMut(Stands<M>, &Path) -> Value,
    ) -> Result<Self> {
        let (catalogues, failures, elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        let mut results = Self { failure, catalogues, failures, elsewhere, last: None };
        for unlisted in &survey.unlisted {
            results.fail(&unlisted.path, &unlisted.error);
        }
        for partition in walk.in_turn() {
            let output = walk.folder().output(&partition.name);
            match walk.step(partition, |output, existing| make(partition, output, existing)) {
                Ok(Step::Made(made)) => results.catalogues.push(summary(Stands::Made(made), &output)),
                Ok(Step::DoneBefore(tally)) => {
                    tracing::info!("{}: finished already", output.display());
                    results.catalogues.push(summary(Stands::Before(tally), &output));
                }
                Ok(Step::Elsewhere(holder)) => {
                    tracing::warn!("{}: {holder} works on it; skipped", output.display());
                    results.elsewhere.push(json!({ "output": output.display().to_string(), "holder": holder }));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted(_)) => {
                    let (n_done, n) = (results.catalogues.len(), walk.len());
                    let remedy = format!("{n_done} of {n} partitions are done; the same command with --resume goes on.");
                    return Err(error.remedy(remedy));
                }
                Err(error) => {
                    results.fail(&partition.input, &error);
                    results.last = Some(error);
                }
            }
        }
        Ok(results)
    }

    fn fail(&mut self, input: &Path, error: &Error) {
        tracing::error!("{}: {}: {error}", input.display(), self.failure);
        self.failures.push(json!({ "input": input.display().to_string(), "error": error.to_string() }));
    }

    /// The outcome of the run in the folder `root`; `total` is what the log adds of all outputs together.
    ///
    /// # Errors
    /// When no partition succeeded: the last failure.
    pub fn outcome(self, root: &Path, total: &str) -> Result<Outcome> {
        if let Some(error) = self.last.filter(|_| self.catalogues.is_empty() && self.elsewhere.is_empty()) {
            return Err(error);
        }
        let n_failed = self.failures.len();
        tracing::info!("{}: {} partitions, {n_failed} failed{total}", root.display(), self.catalogues.len());
        let summary = json!({ "catalogues": self.catalogues, "failures": self.failures, "elsewhere": self.elsewhere });
        Ok(Outcome { n_failed, ..Outcome::files(summary) })
    }
}
