//! `photosphere inspect`: what is in a model, a table, or the fit of one star.

mod model;
mod spectrum;
mod star;
mod table;

use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::package::MODEL_FOLDER;
use crate::run::expand;
use crate::table::file_of;
use std::path::{Path, PathBuf};

/// Show what is in a model directory or a table; or one star: data, fit, residuals and posterior.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory, or a table of any format.
    path: PathBuf,
    /// Identifier of a star to fit with the model, a forward one.
    #[arg(long, value_name = "SOURCE_ID", requires = "data", allow_hyphen_values = true)]
    star: Option<i64>,
    /// Observation file that holds the star.
    #[arg(long, value_name = "FILE", requires = "star")]
    data: Option<PathBuf>,
    /// Options of the fit (TOML), as `fit --config` takes them.
    #[arg(long, value_name = "FILE", requires = "star")]
    config: Option<PathBuf>,
    /// Label whose lines the figure marks, with models of spectra: where the flux goes with it most.
    #[arg(long, value_name = "LABEL", requires = "output")]
    mark: Option<String>,
    /// Figure of the star to write (.svg or .png).
    #[arg(short, long, value_name = "FILE", requires = "star")]
    output: Option<PathBuf>,
    /// Replace the figure if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Inspects.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let path = &arguments.path;
    match (arguments.star, &arguments.data) {
        (Some(star), Some(data)) => star::inspect(arguments, star, data, settings),
        _ if path.is_dir() && !path.join(MODEL_FOLDER.mark).exists() => Err(no_model(path)),
        _ if path.is_dir() => model::inspect(path, settings),
        _ if file_of(path).exists() => table::inspect(path),
        _ => Err(Error::data(path.display().to_string())
            .found("no such file or folder")
            .expected("a model directory or a table")
            .remedy("Correct the name; it is relative to the working directory.")),
    }
}

/// The error for a folder that is no model directory, with the tables in it if there are some.
fn no_model(folder: &Path) -> Error {
    let error = Error::model(folder.display().to_string()).expected("a model directory (model.toml), or one table");
    match expand(&[folder.to_owned()]).unwrap_or_default().as_slice() {
        [] => error
            .found(format!("a folder without {}", MODEL_FOLDER.mark))
            .remedy("Name the folder that `photosphere train` wrote."),
        [first, rest @ ..] => {
            let n_tables = 1 + rest.len();
            error
                .found(format!("a folder with tables ({n_tables})"))
                .remedy(format!("Name one of them, {} say.", first.display()))
        }
    }
}
