//! What the demos that train and fit more than one model do alike: times of their steps, and a model with its
//! catalogue.

use super::demo::fit_new_stars;
use super::settings::Settings;
use super::training_task::Task;
use crate::error::{Error, Result};
use crate::package::{Request, Trainable};
use crate::run::Existing;
use crate::table::{self, Table, write_atomically};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// Seconds by step.
pub struct Laps {
    pub seconds: BTreeMap<&'static str, f64>,
    lap: Instant,
}

impl Laps {
    pub fn start() -> Self {
        Self { seconds: BTreeMap::new(), lap: Instant::now() }
    }

    /// What was done since the last call was this step, or more of it.
    pub fn step(&mut self, name: &'static str) {
        *self.seconds.entry(name).or_insert(0.0) += self.lap.elapsed().as_secs_f64();
        self.lap = Instant::now();
    }

    /// For people.
    pub fn text(&self) -> String {
        self.seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect::<Vec<_>>().join(", ")
    }
}

/// Stars of a demo, which are in memory at once.
const MOST_STARS: usize = 2_000_000;

/// Fails where an option asks for too few stars, or more than fit in memory.
///
/// # Errors
/// `Usage`.
pub fn require_stars(options: [(&str, usize); 2], fewest: usize) -> Result<()> {
    match options.into_iter().find(|(_, n)| !(fewest..=MOST_STARS).contains(n)) {
        Some((option, n)) => Err(Error::usage(option).found(n.to_string()).expected(format!("from {fewest} to {MOST_STARS}"))),
        None => Ok(()),
    }
}

/// A model of the demo in `folder`, whose files have a suffix.
pub struct DemoModel<'a> {
    pub folder: &'a Path,
    pub suffix: &'a str,
    /// Its recipe, TOML.
    pub recipe: &'a str,
    pub training: &'a PathBuf,
    pub new_stars: &'a PathBuf,
    /// Columns of the new stars that the catalogue carries on, beside the truth.
    pub keep: &'a [String],
    pub existing: Existing,
}

impl DemoModel<'_> {
    /// Writes the recipe, trains by it and fits the new stars; the training is a step of the name `step`.
    /// Gives the package and its catalogue.
    ///
    /// # Errors
    /// When something cannot be written, or training or fit fails.
    pub fn make<K: Trainable>(&self, step: &'static str, laps: &mut Laps, settings: &Settings) -> Result<(Arc<K>, Table)> {
        let path = |name: &str, end: &str| self.folder.join(format!("{name}{}{end}", self.suffix));
        let (recipe_path, model, catalogue) = (path("recipe", ".toml"), path("model", ""), path("catalogue", ".parquet"));
        write_atomically(&recipe_path, true, |file| file.write_all(self.recipe.as_bytes()))?;
        let recipe = K::recipe(self.recipe, &recipe_path.display().to_string(), self.folder, None)?;
        let task = Task {
            recipe_path: &recipe_path,
            inputs: std::slice::from_ref(self.training),
            output: &model,
            existing: self.existing,
            checkpoint_every: CHECKPOINT_EVERY,
            most_bytes: u64::MAX,
        };
        let package = Arc::new(task.run::<K>(&recipe, settings)?);
        laps.step(step);
        let estimator = package.clone().estimator(&Request::default())?;
        let files = (self.new_stars, catalogue.as_path(), self.keep);
        fit_new_stars((package.as_ref(), estimator.as_ref(), &model), files, self.existing, settings)?;
        let catalogue = table::read(&catalogue)?;
        laps.step("fit");
        Ok((package, catalogue))
    }
}
