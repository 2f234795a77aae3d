//! The training of pixel networks.

use crate::error::Result;
use crate::model::Registry;
use crate::observations::{ReadOptions, Sample};
use crate::package::{Trainable, Trained, TrainingContext};
use crate::per_pixel::GradientLibrary;
use crate::per_pixel::train::Checkpoint;
use crate::pixel_networks::{PIXEL_FOLDER, PIXELS_FILE, PixelPackage, PixelRecipe, STARS_FILE, train};
use crate::table::{FolderKind, Table};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Finished pixels, and the last time that they were written.
struct Finished {
    checkpoint: Checkpoint,
    written: Instant,
    n_done: usize,
}

impl Trainable for PixelPackage {
    type Recipe = PixelRecipe;

    const FOLDER: FolderKind = PIXEL_FOLDER;

    fn recipe(text: &str, place: &str, folder: &Path, seed: Option<u64>) -> Result<PixelRecipe> {
        let mut recipe = PixelRecipe::parse(text, place)?;
        recipe.library = recipe.library.map(|library| folder.join(library));
        recipe.training.seed = seed.unwrap_or(recipe.training.seed);
        Ok(recipe)
    }

    /// The library's content decides the model, its place does not.
    fn choices(recipe: &PixelRecipe) -> Result<String> {
        PixelRecipe { library: None, ..recipe.clone() }.to_toml()
    }

    fn other_inputs(recipe: &PixelRecipe) -> Vec<(&'static str, PathBuf)> {
        recipe.library.iter().map(|library| ("library", library.clone())).collect()
    }

    fn read_options(recipe: &PixelRecipe, _effects: &Registry, _table: &Table) -> Result<ReadOptions> {
        Ok(ReadOptions { constraints: recipe.labels.clone(), ..ReadOptions::default() })
    }

    fn train(recipe: &PixelRecipe, stars: &dyn Sample, context: &TrainingContext<'_>) -> Result<Trained<Self>> {
        let observations = &*stars.whole()?;
        let library = recipe.library.as_deref().map(GradientLibrary::read).transpose()?;
        let checkpoints = context.checkpoints;
        let finished = match checkpoints.is_taken_up() {
            true => Checkpoint::read(checkpoints.path, context.run)?,
            false => Checkpoint::default(),
        };
        let n_pixels = observations.grid.len();
        let state = Mutex::new(Finished { checkpoint: finished.clone(), written: Instant::now(), n_done: 0 });
        let trained = train(recipe, observations, library, &finished, &|place, result| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.n_done += 1;
            state.checkpoint.pixels.insert((place.round, place.pixel), result.clone());
            let n_pixels = place.n_rounds * n_pixels;
            let text = format!("{} of {n_pixels} pixels", state.n_done);
            let goes_on = (context.report)(state.n_done as f64 / n_pixels as f64, &text);
            if goes_on.is_err() || state.written.elapsed() >= checkpoints.interval {
                state.written = Instant::now();
                // A training that cannot be gone on with is still a training.
                if let Err(error) = state.checkpoint.write(checkpoints.path, context.run) {
                    tracing::warn!("{error}");
                }
            }
            goes_on
        })?;
        Ok(Trained { package: trained.package, tables: vec![(STARS_FILE, trained.stars), (PIXELS_FILE, trained.pixels)] })
    }

    fn save_in(&self, folder: &Path) -> Result<()> {
        self.save(folder, true, |_| Ok(()))
    }

    fn summary(&self) -> Value {
        json!({
            "training_stars": self.card.n_training,
            "validation_stars": self.card.n_validation,
            "metrics": self.card.metrics,
        })
    }
}
