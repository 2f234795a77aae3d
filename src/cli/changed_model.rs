//! A model that a command has added to, written as a model directory of its own.

use super::training_task::write_provenance;
use crate::error::{Error, Result};
use crate::package::MODEL_FOLDER;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::Provenance;
use crate::table::{check_target_directory, write_directory_atomically, write_member};
use crate::train::{STARS_FILE, TrainedModel};
use std::path::Path;

/// Fails when `output` cannot be written, or is an input.
///
/// # Errors
/// As said.
pub fn check_output<'a>(output: &Path, overwrite: bool, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    require_utf8(output)?;
    let inputs = Inputs::of(inputs);
    inputs.require_other(output)?;
    inputs.require_none_in(output)?;
    check_target_directory(output, overwrite, &MODEL_FOLDER)
}

/// Writes `changed`, made of the model in the folder `model`, with that one's table of stars.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(changed: &TrainedModel, model: &Path, (output, overwrite): (&Path, bool), provenance: &Provenance) -> Result<()> {
    write_directory_atomically(output, overwrite, &MODEL_FOLDER, |folder| {
        changed.save(folder, true)?;
        let stars = model.join(STARS_FILE);
        if stars.is_file() {
            let copy = folder.join(STARS_FILE);
            write_member(&copy, std::fs::read(&stars).map_err(|error| Error::reading(&stars, error))?)?;
        }
        write_provenance(folder, &MODEL_FOLDER, provenance)
    })?;
    tracing::info!("{}: model {}", output.display(), changed.id());
    Ok(())
}
