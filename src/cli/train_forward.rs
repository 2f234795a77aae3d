//! The training of forward models.

use super::self_report::{lines, of_ensemble};
use crate::error::Result;
use crate::infer::{Ensemble, ensemble};
use crate::model::{ParameterSpace, Registry, check_measured};
use crate::observations::{ReadOptions, Sample, columns};
use crate::package::{Check, Trainable, Trained, TrainingContext};
use crate::table::Table;
use crate::train::{Recipe, STARS_FILE, TrainedModel, train};
use serde_json::{Value, json};
use std::path::Path;

impl Trainable for TrainedModel {
    type Recipe = Recipe;

    fn recipe(text: &str, place: &str, _folder: &Path, seed: Option<u64>) -> Result<Recipe> {
        let recipe = Recipe::parse(text, place)?;
        Ok(Recipe { seed: seed.unwrap_or(recipe.seed), ..recipe })
    }

    fn check(recipe: &Recipe, effects: &Registry) -> Result<()> {
        recipe.validate_for(effects)
    }

    fn choices(recipe: &Recipe) -> Result<String> {
        recipe.to_toml()
    }

    /// The recipe's constraints, offsets and fractional error.
    fn read_options(recipe: &Recipe, effects: &Registry, table: &Table) -> Result<ReadOptions> {
        let length = table.get(columns::FLUX).filter(|flux| flux.n_rows() > 0).map_or(0, |flux| flux.range(0).len());
        Ok(ReadOptions {
            constraints: recipe.constraints(effects)?,
            offsets: recipe.data.offsets.clone(),
            model_error: vec![recipe.data.fractional_error; length],
            ..Default::default()
        })
    }

    fn train(recipe: &Recipe, stars: &dyn Sample, context: &TrainingContext<'_>) -> Result<Trained<Self>> {
        let observations = &*stars.whole()?;
        let effects = context.effects.effects(&recipe.effects)?;
        let space = ParameterSpace::union(effects.iter().flat_map(|effect| effect.parameters()))?;
        check_measured(&space, observations)?;
        let report = &mut |done: f64, text: &str| (context.report)(done, text);
        let (effects, device) = (context.effects, context.device);
        let (package, stars) = train(recipe, observations, effects, device, Some(context.checkpoints), report)?;
        Ok(Trained { package, tables: vec![(STARS_FILE, stars)] })
    }

    const ENSEMBLES: bool = true;

    fn ensemble(recipe: &Recipe, members: &[(u64, Self)], stars: &dyn Sample, check: Check<'_>) -> Result<(Self, usize)> {
        let Ensemble { trained, chosen, .. } = ensemble(recipe, members, &*stars.whole()?, &|_| check())?;
        Ok((trained, chosen))
    }

    fn save_in(&self, folder: &Path) -> Result<()> {
        self.save(folder, true)
    }

    fn summary(&self) -> Value {
        json!({
            "training_stars": self.card.n_training,
            "validation_stars": self.card.n_validation,
            "metrics": self.card.metrics,
            "report": self.log.report,
            "ensemble": self.card.ensemble,
        })
    }

    fn conclusions(&self) -> (Vec<String>, Vec<String>) {
        let cleaned = self.log.cleanings.iter();
        let cleaned = cleaned.map(|one| format!("{}: {} of {} stars removed", one.stage, one.n_removed, one.n_before));
        let report = self.log.report.as_ref();
        let warnings = report.map_or_else(Vec::new, |report| report.warnings.clone());
        let ensemble = self.card.ensemble.iter().flat_map(|ensemble| of_ensemble(ensemble, &self.model.space));
        (cleaned.chain(report.map(lines).into_iter().flatten()).chain(ensemble).collect(), warnings)
    }
}
