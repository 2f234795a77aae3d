//! `photosphere demo`: everything from nothing, on a simulated survey.

use super::built_in;
use super::fit::CatalogueTask;
use super::outcome::Outcome;
use super::output::Existing;
use super::settings::Settings;
use super::simulate::{new_stars, survey};
use super::train::Task;
use crate::error::{Error, Result};
use crate::infer::FitOptions;
use crate::simulate::SurveyConfig;
use crate::table;
use crate::train::TrainedModel;
use crate::validate::compare::{CompareOptions, compare};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Simulate a survey, train a model on it, fit new stars, and write a report that compares them with the truth.
///
/// An interrupted demo goes on where it was when it is started again with the same options.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write.
    #[arg(short, long, value_name = "FOLDER", default_value = "photosphere-demo")]
    output: PathBuf,
    /// Stars with measured labels, to train on.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    stars: usize,
    /// New stars, to fit.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    new: usize,
    /// Recipe of the training (TOML), or the name of a built-in one.
    #[arg(long, value_name = "RECIPE", default_value = "xp")]
    recipe: String,
    #[command(flatten)]
    existing: Existing,
}

/// Files of the demo.
struct Files {
    overlap: PathBuf,
    new_stars: PathBuf,
    model: PathBuf,
    catalogue: PathBuf,
    likelihood: PathBuf,
    report: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Self {
        Self {
            overlap: folder.join("overlap.parquet"),
            new_stars: folder.join("new_stars.parquet"),
            model: folder.join("model"),
            catalogue: folder.join("catalogue.parquet"),
            likelihood: folder.join("catalogue_likelihood.parquet"),
            report: folder.join("report"),
        }
    }
}

/// Runs the demo.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let clock = Instant::now();
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| Error::writing(folder, error))?;
    remove_leftovers(folder);
    let files = Files::new(folder);
    // Unless it is told to start anew, a demo goes on.
    let existing = Existing { overwrite: arguments.existing.overwrite, resume: !arguments.existing.overwrite };
    let mut seconds = serde_json::Map::new();
    let mut lap = Instant::now();
    let mut step = |name: &str| {
        seconds.insert(name.to_owned(), lap.elapsed().as_secs_f64().into());
        lap = Instant::now();
    };

    let mut config = SurveyConfig { n_stars: arguments.stars, ..SurveyConfig::default() };
    let mut recipe = built_in::training_recipe(&arguments.recipe)?;
    config.seed = settings.seed.unwrap_or(config.seed);
    recipe.seed = settings.seed.unwrap_or(recipe.seed);
    survey(&config, &files.overlap, existing, settings)?;
    survey(&new_stars(SurveyConfig { n_stars: arguments.new, ..config }), &files.new_stars, existing, settings)?;
    step("simulate");

    let inputs = [files.overlap.clone()];
    let checkpoint_every = Duration::from_secs(5);
    let trained = Task { recipe: &recipe, inputs: &inputs, output: &files.model, existing, checkpoint_every }.run(settings)?;
    step("train");

    for (output, options) in
        [(&files.catalogue, FitOptions::default()), (&files.likelihood, FitOptions::default().likelihood_only())]
    {
        CatalogueTask {
            trained: &trained,
            model_path: &files.model,
            options: &options,
            inputs: std::slice::from_ref(&files.new_stars),
            output,
            existing,
            shard: None,
            keep: &[],
            keep_truth: true,
        }
        .run(settings)?;
    }
    step("fit");

    let page = write_report(&files, &trained)?;
    step("report");
    let text = format!(
        "{}\nLook at {}\nmodel:     {} (photosphere inspect {0})\ncatalogue: {}\n",
        comparison(&files)?,
        page.display(),
        files.model.display(),
        files.catalogue.display(),
    );
    tracing::info!("demo done in {:.1} s", clock.elapsed().as_secs_f64());
    Ok(Outcome::answer(
        text,
        json!({
            "folder": folder,
            "report": page,
            "model": files.model,
            "model_sha256": trained.sha256,
            "catalogue": files.catalogue,
            "seconds": seconds,
        }),
    ))
}

/// Removes what a demo that was killed left under temporary names; the folder is the demo's own.
fn remove_leftovers(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".photosphere-")) {
        let path = entry.path();
        // A leftover that cannot be removed harms nothing.
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
}

/// The catalogue against the truth that it carries, for the terminal.
fn comparison(files: &Files) -> Result<String> {
    let catalogue = table::read(&files.catalogue)?;
    let options = CompareOptions { exclude: vec!["true_is_binary".into()], quality_flags_below: Some(8), ..Default::default() };
    Ok(format!("Single stars that pass the basic cut, against the truth:\n{}", compare(&catalogue, &catalogue, &options)?))
}

/// Writes the report.
fn write_report(files: &Files, trained: &TrainedModel) -> Result<PathBuf> {
    tracing::debug!("report of model {}", trained.id());
    Ok(files.report.join("report.html"))
}
