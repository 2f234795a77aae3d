//! `photosphere train` of a recipe of the kind `regression`.

use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::train::{Arguments, FILES, check_output, hashes, read_provenance, read_tables, require_same_files};
use crate::error::{Error, Result};
use crate::observations::{Grid, Observations};
use crate::package::Package;
use crate::regress::{MODEL_FOLDER, PROVENANCE_FILE, RegressionModel, RegressionRecipe, STARS_FILE, Taking, train};
use crate::run::identifiers::scan;
use crate::run::provenance::{Provenance, RUN};
use crate::run::{Existing, require_same_run};
use crate::table::{self, write_directory_atomically};
use crate::train::checkpoint_path;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Trains and writes the model, or reads it where the same run is finished.
pub(super) fn run(arguments: &Arguments, mut recipe: RegressionRecipe, settings: &Settings) -> Result<Outcome> {
    recipe.seed = settings.seed.unwrap_or(recipe.seed);
    let (output, existing) = (arguments.output.as_path(), Existing::from(arguments.existing));
    check_output(&arguments.observations, Path::new(&arguments.recipe), output, existing, &MODEL_FOLDER)?;
    let inputs = scan(&arguments.observations)?;
    let provenance = Provenance::new("train").with("recipe", recipe.to_toml()?).with_inputs(&inputs);
    if existing.resume && output.exists() {
        let found = read_provenance(output)?;
        require_same_run(output, found.get(RUN), &provenance.run())?;
        require_same_files(output, &found, &MODEL_FOLDER)?;
        tracing::info!("{}: finished already", output.display());
        return Ok(outcome(output, &RegressionModel::read(output)?));
    }
    let (place, table) = read_tables(&arguments.observations)?;
    let options = recipe.read_options(Grid::of_table(&table).map_err(|error| error.within(&place))?.len());
    let observations = Observations::from_table_of(&place, table, &options).map_err(|error| error.within(&place))?;
    tracing::info!("training on {} stars, {} fluxes each", observations.len(), observations.grid.len());
    let mut progress = Progress::of_fraction("training", settings);
    let path = checkpoint_path(output);
    let interval = Duration::from_secs(arguments.checkpoint_every);
    let taking = Taking { path: &path, interval, resume: existing.resume };
    let (model, mut stars) = train(&recipe, &observations, &settings.device()?, Some(taking), &mut |done, text| {
        progress.fraction(done, text);
        Ok(())
    })?;
    let provenance = provenance.noted("model_sha256", &model.sha256);
    stars.metadata.extend(provenance.metadata());
    write_directory_atomically(output, existing.overwrite, &MODEL_FOLDER, |folder| {
        model.save(folder, true)?;
        table::write(&stars, &folder.join(STARS_FILE), false)?;
        let path = folder.join(PROVENANCE_FILE);
        let mut provenance = provenance.entries();
        provenance.insert(FILES.into(), json!(hashes(folder, &MODEL_FOLDER)?).to_string());
        let text = serde_json::to_string_pretty(&provenance).map_err(|error| Error::writing(&path, error))?;
        table::write_member(&path, text)
    })?;
    // That it is gone already is no fault.
    let _ = std::fs::remove_file(&path);
    for line in model.log.comparison.to_string().lines() {
        tracing::info!("{line}");
    }
    tracing::info!("{}: model {} in {:.1} s", output.display(), model.id(), progress.seconds());
    Ok(outcome(output, &model))
}

fn outcome(output: &Path, model: &RegressionModel) -> Outcome {
    Outcome::files(json!({
        "output": output,
        "sha256": model.sha256,
        "training_stars": model.card.n_training,
        "validation_stars": model.card.n_validation,
        "metrics": model.card.metrics,
        "comparison": model.log.comparison,
    }))
}
