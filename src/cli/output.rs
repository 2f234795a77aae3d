//! What happens to an output that exists already.

use super::provenance::RUN;
use crate::error::{Error, Result};
use crate::table::{check_target, read_chunks};
use clap::Args;
use std::path::Path;

/// `--overwrite` or `--resume`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Existing {
    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on with an interrupted run; what is finished already, from the same inputs and options, is kept.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
}

impl Existing {
    /// Whether the table at `path` is the finished result of the run with this hash, to be kept under `--resume`.
    ///
    /// # Errors
    /// When it exists and may neither be kept (another run made it) nor replaced.
    pub fn is_finished_table(self, path: &Path, run: &str) -> Result<bool> {
        if !(self.resume && path.is_file()) {
            check_target(path, self.overwrite)?;
            return Ok(false);
        }
        let first = read_chunks(path, 1)?.next().transpose()?;
        require_same_run(path, first.as_ref().and_then(|table| table.metadata.get(RUN)), run)?;
        tracing::info!("{}: finished already", path.display());
        Ok(true)
    }
}

/// Fails when an existing output was made from other inputs or with other options.
///
/// # Errors
/// `Usage`, naming the output.
pub fn require_same_run(path: &Path, found: Option<&String>, run: &str) -> Result<()> {
    if found.is_some_and(|found| found == run) {
        return Ok(());
    }
    Err(Error::usage(path.display().to_string())
        .found("the result of a run with other inputs, options or program version")
        .expected("that of this run")
        .remedy("Give --overwrite to replace it, or name another output."))
}
