//! The options that say what happens to an output that exists.

use crate::run::Existing;
use clap::Args;

/// `--overwrite` or `--resume`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ExistingArguments {
    /// Replace the output if it exists; an input of the command is never replaced.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on with an interrupted run; what is finished already, from the same inputs and options, is kept.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
}

impl From<ExistingArguments> for Existing {
    fn from(ExistingArguments { overwrite, resume }: ExistingArguments) -> Self {
        Self { overwrite, resume }
    }
}
