//! A catalogue of distances per partition: what came of each, and of all of them.

use super::catalogue::{DistanceTask, Made};
use crate::cli::outcome::Outcome;
use crate::cli::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::run::tally::Tally;
use crate::run::{Existing, FileState, Finished, Step, Survey, Walk};
use serde_json::{Value, json};
use std::path::Path;

impl Finished for Made {
    fn input(&self) -> FileState {
        self.inputs[0].clone()
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

#[derive(Default)]
struct Results {
    catalogues: Vec<Value>,
    failures: Vec<Value>,
    elsewhere: Vec<Value>,
    last: Option<Error>,
}

/// Works through the partitions of a survey, into the folder `output`.
///
/// # Errors
/// As [`Walk::enter`]; when a signal stops the work; or when no partition succeeds: the last failure.
pub fn run(
    task: &DistanceTask,
    survey: &Survey,
    output: &Path,
    (existing, retry_lost): (Existing, bool),
    settings: &Settings,
) -> Result<Outcome> {
    // A shard is one of partitions here, not of the stars in them.
    let each = DistanceTask { recipe: task.recipe.clone(), keep: task.keep.clone(), names: task.names, shard: None };
    let walk = Walk::enter(output, &each.provenance()?, survey, existing, (task.shard, retry_lost))?;
    let mut results = Results::default();
    for unlisted in &survey.unlisted {
        results.fail(&unlisted.path, &unlisted.error);
    }
    for partition in walk.in_turn() {
        let output = walk.folder().output(&partition.name);
        let inputs = std::slice::from_ref(&partition.input);
        match walk.step(partition, |output, existing| each.make(inputs, output, existing, false, settings)) {
            Ok(Step::Made(made)) => results.catalogues.push(made.summary(&output)),
            Ok(Step::DoneBefore(tally)) => {
                tracing::info!("{}: finished already", output.display());
                let made = Made { tally, inputs: Vec::new(), seconds: 0.0 };
                results.catalogues.push(made.summary(&output));
            }
            Ok(Step::Elsewhere(holder)) => {
                tracing::warn!("{}: {holder} works on it; skipped", output.display());
                results.elsewhere.push(json!({ "output": output.display().to_string(), "holder": holder }));
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted(_)) => {
                return Err(error.remedy("The same command with --resume goes on."));
            }
            Err(error) => {
                results.fail(&partition.input, &error);
                results.last = Some(error);
            }
        }
    }
    results.outcome(walk.folder().root())
}

impl Results {
    fn fail(&mut self, input: &Path, error: &Error) {
        tracing::error!("{}: no distances: {error}", input.display());
        self.failures.push(json!({ "input": input.display().to_string(), "error": error.to_string() }));
    }

    fn outcome(self, root: &Path) -> Result<Outcome> {
        if let Some(error) = self.last.filter(|_| self.catalogues.is_empty() && self.elsewhere.is_empty()) {
            return Err(error);
        }
        let n_failed = self.failures.len();
        tracing::info!("{}: {} partitions, {n_failed} failed", root.display(), self.catalogues.len());
        let summary = json!({ "catalogues": self.catalogues, "failures": self.failures, "elsewhere": self.elsewhere });
        Ok(Outcome { n_failed, ..Outcome::files(summary) })
    }
}
