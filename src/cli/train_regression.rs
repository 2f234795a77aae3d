//! `photosphere train` with a recipe of the kind `regression`.

use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::training_task::{Task, read_tables, write_provenance};
use crate::error::Result;
use crate::observations::{Grid, Observations};
use crate::package::Package;
use crate::regress::{MODEL_FOLDER, RegressionModel, RegressionRecipe, STARS_FILE, Taking, train};
use crate::run::identifiers::scan;
use crate::run::provenance::Provenance;
use crate::table::{self, write_directory_atomically};
use crate::train::checkpoint_path;
use serde_json::json;
use std::path::Path;

impl Task<'_, RegressionRecipe> {
    /// Trains and writes the model, or reads it where the same run is finished.
    ///
    /// # Errors
    /// When the output may not be written, an input cannot be read, or training fails.
    pub fn run(&self, settings: &Settings) -> Result<RegressionModel> {
        self.check_output(&MODEL_FOLDER, None)?;
        let provenance = Provenance::new("train").with("recipe", self.recipe.to_toml()?).with_inputs(&scan(self.inputs)?);
        if self.is_finished(&provenance, &MODEL_FOLDER)? {
            return RegressionModel::read(self.output);
        }
        let (place, table) = read_tables(self.inputs)?;
        let width = Grid::of_table(&table).map_err(|error| error.within(&place))?.len();
        let options = self.recipe.read_options(width);
        let observations = Observations::from_table_of(&place, table, &options).map_err(|error| error.within(&place))?;
        tracing::info!("training on {} stars, {width} fluxes each", observations.len());
        let mut progress = Progress::of_fraction("training", settings);
        let path = checkpoint_path(self.output);
        let taking = Taking { path: &path, interval: self.checkpoint_every, resume: self.existing.resume };
        let (model, mut stars) = train(self.recipe, &observations, &settings.device()?, Some(taking), &mut |done, text| {
            progress.fraction(done, text);
            Ok(())
        })?;
        let provenance = provenance.noted("model_sha256", &model.sha256);
        stars.metadata.extend(provenance.metadata());
        write_directory_atomically(self.output, self.existing.overwrite, &MODEL_FOLDER, |folder| {
            model.save(folder, true)?;
            table::write(&stars, &folder.join(STARS_FILE), false)?;
            write_provenance(folder, &MODEL_FOLDER, &provenance)
        })?;
        // What is left of it harms nothing.
        let _ = std::fs::remove_file(&path);
        for line in model.log.comparison.to_string().lines() {
            tracing::info!("{line}");
        }
        tracing::info!("{}: model {} in {:.1} s", self.output.display(), model.id(), progress.seconds());
        Ok(model)
    }
}

/// What the command answers.
pub fn outcome(output: &Path, model: &RegressionModel) -> Outcome {
    Outcome::files(json!({
        "output": output,
        "sha256": model.sha256,
        "training_stars": model.card.n_training,
        "validation_stars": model.card.n_validation,
        "metrics": model.card.metrics,
        "comparison": model.log.comparison,
    }))
}
