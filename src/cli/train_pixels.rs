//! `photosphere train` with a recipe of pixel networks.

use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::training_task::{Task, read_tables, write_provenance};
use crate::error::Result;
use crate::observations::{Observations, ReadOptions};
use crate::package::{Kind, Package};
use crate::per_pixel::GradientLibrary;
use crate::per_pixel::train::Checkpoint;
use crate::pixel_networks::{PIXEL_FOLDER, PIXELS_FILE, PixelPackage, PixelRecipe, STARS_FILE, train};
use crate::run::identifiers::scan;
use crate::run::provenance::{Provenance, sha256_of_file};
use crate::table;
use crate::train::checkpoint_path;
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Finished pixels, the last time that they were written, and how many are known.
struct Progressed {
    progress: Progress,
    checkpoint: Checkpoint,
    written: Instant,
}

impl Task<'_, PixelRecipe> {
    /// Trains and writes the model, or reads it where the same run is finished.
    ///
    /// # Errors
    /// When the output may not be written, an input cannot be read, or training fails.
    pub fn run(&self, settings: &Settings) -> Result<PixelPackage> {
        let existing = self.existing;
        let library = self.recipe.library.as_deref();
        self.check_output(&PIXEL_FOLDER, library)?;
        // The library's content decides the model, its place does not.
        let recipe = PixelRecipe { library: None, ..self.recipe.clone() };
        let mut provenance = Provenance::new("train").with("recipe", recipe.to_toml()?).with_inputs(&scan(self.inputs)?);
        if let Some(path) = library {
            provenance = provenance.with("library_sha256", sha256_of_file(path)?).noted("library", path.display().to_string());
        }
        if self.is_finished(&provenance, &PIXEL_FOLDER)? {
            return PixelPackage::load(self.output, &settings.program.effects, &settings.device()?);
        }
        let checkpoint_file = checkpoint_path(self.output);
        let library = library.map(GradientLibrary::read).transpose()?;
        let (place, table) = read_tables(self.inputs)?;
        let options = ReadOptions { constraints: self.recipe.labels.clone(), ..ReadOptions::default() };
        let observations = Observations::from_table_of(&place, table, &options).map_err(|error| error.within(&place))?;
        let n_pixels = observations.grid.len();
        tracing::info!("training on {} stars, {n_pixels} pixels each", observations.len());
        let finished = match existing.resume && checkpoint_file.exists() {
            true => Checkpoint::read(&checkpoint_file, &provenance.run())?,
            false => Checkpoint::default(),
        };
        let state = Mutex::new(Progressed {
            progress: Progress::of_fraction("training", settings),
            checkpoint: finished.clone(),
            written: Instant::now(),
        });
        let n_done = AtomicUsize::new(0);
        let trained = train(self.recipe, &observations, library, &finished, &|pixel, result| {
            let n_done = 1 + n_done.fetch_add(1, Ordering::Relaxed);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.progress.fraction(n_done as f64 / n_pixels as f64, &format!("{n_done} of {n_pixels} pixels"));
            state.checkpoint.pixels.insert(pixel, result.clone());
            if state.written.elapsed() >= self.checkpoint_every {
                state.written = Instant::now();
                // A training that cannot be gone on with is still a training.
                if let Err(error) = state.checkpoint.write(&checkpoint_file, &provenance.run()) {
                    tracing::warn!("{error}");
                }
            }
        })?;
        let package = trained.package;
        let provenance = provenance.noted("model_sha256", package.sha256());
        package.save(self.output, existing.overwrite, |folder| {
            let mut stars = trained.stars;
            stars.metadata.extend(provenance.metadata());
            table::write(&stars, &folder.join(STARS_FILE), false)?;
            table::write(&trained.pixels, &folder.join(PIXELS_FILE), false)?;
            write_provenance(folder, &PIXEL_FOLDER, &provenance)
        })?;
        // What is left of it harms nothing.
        let _ = std::fs::remove_file(&checkpoint_file);
        let seconds = state.into_inner().unwrap_or_else(PoisonError::into_inner).progress.seconds();
        tracing::info!("{}: model {} in {seconds:.1} s", self.output.display(), package.id());
        Ok(package)
    }
}

/// What the command answers.
pub fn outcome(output: &Path, package: &PixelPackage) -> Outcome {
    Outcome::files(json!({
        "output": output,
        "sha256": package.sha256(),
        "training_stars": package.card.n_training,
        "validation_stars": package.card.n_validation,
        "metrics": package.card.metrics,
    }))
}
