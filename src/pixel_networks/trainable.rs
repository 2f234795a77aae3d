//! The training of models of spectra by recipes.

use super::package::{HISTORY_FILE, PIXELS_FILE, STARS_FILE, SpectralPackage};
use super::recipe::SpectraRecipe;
use super::sample_checks::units_of_spellings;
use super::spectral_model::{SpectralModel, TrainingChoices};
use super::training::train;
use crate::error::Result;
use crate::model::Registry;
use crate::observations::{ReadOptions, Sample};
use crate::package::{Trainable, Trained, TrainingContext};
use crate::per_pixel::GradientLibrary;
use crate::table::Table;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

impl<M: SpectralModel> Trainable for SpectralPackage<M> {
    type Recipe = SpectraRecipe<M>;

    const HAS_SEED: bool = M::Choices::HAS_SEED;

    fn recipe(text: &str, place: &str, folder: &Path, seed: Option<u64>) -> Result<SpectraRecipe<M>> {
        let mut recipe = SpectraRecipe::<M>::parse(text, place)?;
        recipe.library = recipe.library.map(|library| folder.join(library));
        seed.into_iter().for_each(|seed| recipe.training.set_seed(seed));
        Ok(recipe)
    }

    /// The library's content decides the model, its place does not.
    fn choices(recipe: &SpectraRecipe<M>) -> Result<String> {
        SpectraRecipe { library: None, ..recipe.clone() }.to_toml()
    }

    fn other_inputs(recipe: &SpectraRecipe<M>) -> Vec<(&'static str, PathBuf)> {
        recipe.library.iter().map(|library| ("library", library.clone())).collect()
    }

    fn read_options(recipe: &SpectraRecipe<M>, _effects: &Registry, _table: &Table) -> Result<ReadOptions> {
        let units = units_of_spellings(&recipe.labels);
        Ok(ReadOptions { constraints: recipe.labels.clone(), units, ..ReadOptions::default() })
    }

    fn train(recipe: &SpectraRecipe<M>, stars: &dyn Sample, context: &TrainingContext<'_>) -> Result<Trained<Self>> {
        let observations = &*stars.whole()?;
        let library = recipe.library.as_deref().map(GradientLibrary::read).transpose()?;
        let trained = train(recipe, observations, library, context)?;
        let tables = vec![(STARS_FILE, trained.stars), (PIXELS_FILE, trained.pixels), (HISTORY_FILE, trained.history)];
        Ok(Trained { package: trained.package, tables })
    }

    fn save_in(&self, folder: &Path) -> Result<()> {
        self.save(folder, true, |_| Ok(()))
    }

    fn summary(&self) -> Value {
        json!({
            "training_stars": self.core.card.n_training,
            "validation_stars": self.core.card.n_validation,
            "metrics": self.core.card.metrics,
        })
    }
}
