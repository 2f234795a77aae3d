//! `photosphere inspect`: what is in a model, a table, or the fit of one star.

mod model;
mod star;
mod table;

use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use std::path::PathBuf;

/// Show what is in a model directory or a table; or one star: data, fit, residuals and posterior.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory, or a table of any format.
    path: PathBuf,
    /// Identifier of a star to fit with the model.
    #[arg(long, value_name = "SOURCE_ID", requires = "data", allow_hyphen_values = true)]
    star: Option<i64>,
    /// Observation file that holds the star.
    #[arg(long, value_name = "FILE", requires = "star")]
    data: Option<PathBuf>,
    /// Figure of the star to write (.svg or .png).
    #[arg(short, long, value_name = "FILE", requires = "star")]
    output: Option<PathBuf>,
    /// Replace the figure if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Inspects.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    match (arguments.star, &arguments.data) {
        (Some(star), Some(data)) => star::inspect(arguments, star, data, settings),
        _ if arguments.path.is_dir() => model::inspect(&arguments.path, settings),
        _ if arguments.path.exists() => table::inspect(&arguments.path),
        _ => Err(Error::data(arguments.path.display().to_string())
            .found("no such file or folder")
            .expected("a model directory or a table")),
    }
}
