//! The options that say what happens to an output that exists, and outputs that are folders of several
//! things.

use crate::error::{Error, Result};
use crate::run::Existing;
use clap::Args;
use std::path::Path;

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

/// Makes the folder of --output, where it is not there; `content` says what for.
///
/// # Errors
/// `Usage` when there is a file of that name; when it cannot be made.
pub fn make_folder(folder: &Path, content: &str) -> Result<()> {
    if folder.is_file() {
        return Err(Error::usage(format!("--output {}", folder.display()))
            .found("a file")
            .expected(format!("a folder, {content}"))
            .remedy("Name another one."));
    }
    std::fs::create_dir_all(folder).map_err(|error| Error::writing(folder, error))
}
