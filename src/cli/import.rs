//! `photosphere import`: a model of spectra that was trained elsewhere becomes a model directory.

use super::diagnose::table_labels;
use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::Result;
use crate::pixel_networks::{Import, import, import_labels};
use crate::run::inputs::{Inputs, require_utf8};
use crate::table;
use crate::warning::warn_once;
use serde_json::json;
use std::path::PathBuf;

/// Make a model directory of networks or polynomials for spectra that were trained elsewhere: `fit`,
/// `predict`, `inspect` and `diagnose` take it.
///
/// The family is told by the tensors: networks per pixel (published layout `w_array_0 [W,H,L]`, or `w0`), one
/// network (`w_array_0 [H,L]`, The Payne's, or `w0`), or polynomials (`coefficients`). Names and units of the
/// labels stand in the metadata, wavelengths (vacuum Å) in the tensor `wavelength`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File of the tensors (.safetensors).
    file: PathBuf,
    /// Model directory to write.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Resolving power λ/FWHM of the spectra that trained it; with it spectra of another one are warned of.
    #[arg(long, value_name = "RESOLUTION", default_value_t = 0.0, hide_default_value = true)]
    resolution: f64,
    /// Table with the labels of the training stars (columns of the labels' names), at some of which fits
    /// begin [default: fits begin at labels that fill the model's ranges].
    #[arg(long, value_name = "FILE")]
    stars: Option<PathBuf>,
    /// What the model is, in words.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Replace the model if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Imports.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let output = &arguments.output;
    require_utf8(output)?;
    Inputs::of([Some(&arguments.file), arguments.stars.as_ref()].into_iter().flatten()).require_other(output)?;
    if settings.seed.is_some() {
        warn_once("--seed: nothing in `import` is random");
    }
    let stars = match &arguments.stars {
        Some(path) => {
            let (space, place) = (import_labels(&arguments.file)?, path.display().to_string());
            let labels = table_labels(&table::read(path)?, &space, &place)?;
            Some((place, labels))
        }
        None => None,
    };
    let choices = Import { description: arguments.description.clone(), resolution: arguments.resolution, stars };
    let core = import(&arguments.file, &choices, output, arguments.overwrite)?;
    tracing::info!("{}: {} of {} labels on {} pixels", output.display(), core.kind, core.space().len(), core.card.grid.len());
    Ok(Outcome::files(json!({
        "output": output,
        "kind": core.kind,
        "sha256": core.sha256(),
        "labels": core.space().names,
        "pixels": core.card.grid.len(),
    })))
}
