//! The training of direct networks by recipes of the kind `regression`.

use super::directory::STARS_FILE;
use super::model::RegressionModel;
use super::recipe::RegressionRecipe;
use super::train::train;
use crate::error::Result;
use crate::model::Registry;
use crate::observations::{Grid, ReadOptions, Sample};
use crate::package::{Trainable, Trained, TrainingContext};
use crate::table::Table;
use serde_json::{Value, json};
use std::path::Path;

impl Trainable for RegressionModel {
    type Recipe = RegressionRecipe;

    const IN_PARTS: bool = true;

    fn recipe(text: &str, place: &str, _folder: &Path, seed: Option<u64>) -> Result<RegressionRecipe> {
        let recipe = RegressionRecipe::parse(text, place)?;
        Ok(RegressionRecipe { seed: seed.unwrap_or(recipe.seed), ..recipe })
    }

    fn choices(recipe: &RegressionRecipe) -> Result<String> {
        recipe.to_toml()
    }

    fn read_options(recipe: &RegressionRecipe, _effects: &Registry, table: &Table) -> Result<ReadOptions> {
        Ok(recipe.read_options(Grid::of_table(table)?.len()))
    }

    fn train(recipe: &RegressionRecipe, stars: &dyn Sample, context: &TrainingContext<'_>) -> Result<Trained<Self>> {
        let report = &mut |done: f64, text: &str| (context.report)(done, text);
        let (package, table) = train(recipe, stars, context.device, Some(context.checkpoints), report)?;
        Ok(Trained { package, tables: vec![(STARS_FILE, table)] })
    }

    fn save_in(&self, folder: &Path) -> Result<()> {
        self.save(folder, true)
    }

    fn summary(&self) -> Value {
        json!({
            "training_stars": self.card.n_training,
            "validation_stars": self.card.n_validation,
            "metrics": self.card.metrics,
            "comparison": self.log.comparison,
        })
    }

    fn conclusions(&self) -> (Vec<String>, Vec<String>) {
        (self.log.comparison.to_string().lines().map(str::to_owned).collect(), self.card.warnings.clone())
    }
}
