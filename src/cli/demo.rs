//! `photosphere demo`: everything from nothing, on a simulated survey.

use super::built_in;
use super::demo_direct::DirectDemo;
use super::demo_payne::PayneDemo;
use super::existing::{ExistingArguments, make_folder};
use super::fit::CatalogueTask;
use super::outcome::Outcome;
use super::settings::Settings;
use super::simulate::{new_stars, survey};
use super::training_task::{Task, read_observations};
use crate::error::{Error, Result};
use crate::infer::{FitOptions, Fitter, fit, read_options};
use crate::model::Registry;
use crate::observations::Observations;
use crate::package::{Estimator, Package};
use crate::run::Existing;
use crate::run::inputs::require_utf8;
use crate::simulate::SurveyConfig;
use crate::table;
use crate::train::{Recipe, STARS_FILE, TrainedModel};
use crate::validate::compare::{CompareOptions, compare};
use crate::validate::standard::{ControlOptions, SurveyReportInput, controls, survey_report};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Simulate a survey, train a model on it, fit new stars, and write a report that compares them with the
/// truth.
///
/// An interrupted demo goes on where it was when it is started again with the same options.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is demonstrated.
    #[arg(value_enum, default_value_t = Subject::Xp)]
    subject: Subject,
    /// Folder to write.
    #[arg(short, long, value_name = "FOLDER", default_value = "photosphere-demo")]
    output: PathBuf,
    /// Stars with measured labels, to train on [default: 20000, of payne 3600].
    #[arg(long, value_name = "N")]
    stars: Option<usize>,
    /// New stars, to fit [default: 5000, of payne 1000].
    #[arg(long, value_name = "N")]
    new: Option<usize>,
    /// Recipe of the training (TOML), or the name of a built-in one [default: xp; payne and direct have their
    /// own].
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// Leave the negative controls (naive ways of doing it, shown to fail) out of the report; they take about
    /// 15 s.
    #[arg(long)]
    no_controls: bool,
    #[command(flatten)]
    existing: ExistingArguments,
}

/// Subjects of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// Gaia XP spectra with 2MASS and WISE: labels, extinction and parallax.
    Xp,
    /// Blended spectra of fifteen labels: a network per pixel, held to physics.
    Payne,
    /// Absolute magnitudes from spectra and noisy parallaxes, and the distances that they give.
    Direct,
}

/// Metadata key of the true R(λ) of a simulated survey.
const TRUE_CURVE: &str = "true_extinction_curve";

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

/// Makes the catalogue of the new stars, with their truth.
pub(super) fn fit_new_stars(
    (package, estimator, model_path): (&dyn Package, &dyn Estimator, &Path),
    (stars, output, keep): (&PathBuf, &Path, &[String]),
    existing: Existing,
    settings: &Settings,
) -> Result<()> {
    let task = CatalogueTask {
        package,
        estimator,
        model_path,
        inputs: std::slice::from_ref(stars),
        source: None,
        output,
        existing,
        has_record: true,
        shard: None,
        keep,
        keep_truth: true,
        other_instrument: false,
    };
    task.run(&task.provenance()?, settings).map(drop)
}

/// Runs the demo.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let clock = Instant::now();
    let folder = &arguments.output;
    require_utf8(folder)?;
    make_folder(folder, "in which everything is written")?;
    remove_leftovers(folder);
    if let (Subject::Payne | Subject::Direct, Some(recipe)) = (arguments.subject, &arguments.recipe) {
        return Err(Error::usage("--recipe")
            .found(format!("'{recipe}' with a demo that writes its own"))
            .expected("none")
            .remedy("Leave the option out, or train with `photosphere train`."));
    }
    let with_controls = !arguments.no_controls;
    match arguments.subject {
        Subject::Xp => {}
        Subject::Payne => {
            let (n_stars, n_new) = (arguments.stars.unwrap_or(3_600), arguments.new.unwrap_or(1_000));
            let demo = PayneDemo { folder, n_stars, n_new, with_control: with_controls, existing: arguments.existing };
            return demo.run(settings);
        }
        Subject::Direct => {
            let (n_stars, n_new) = (arguments.stars.unwrap_or(20_000), arguments.new.unwrap_or(5_000));
            return DirectDemo { folder, n_stars, n_new, with_controls, existing: arguments.existing }.run(settings);
        }
    }
    let files = Files::new(folder);
    // Unless it is told to start anew, a demo goes on.
    let existing = Existing { overwrite: arguments.existing.overwrite, resume: !arguments.existing.overwrite };
    let mut seconds = Vec::new();
    let mut lap = Instant::now();
    let mut step = |name: &'static str| {
        seconds.push((name, lap.elapsed().as_secs_f64()));
        lap = Instant::now();
    };

    let recipe_name = arguments.recipe.as_deref().unwrap_or("xp");
    let mut config = SurveyConfig { n_stars: arguments.stars.unwrap_or(20_000), ..SurveyConfig::default() };
    let named = built_in::TrainingRecipe::named(recipe_name)?;
    let mut recipe = Recipe::parse(&named.text, &named.place)?;
    config.seed = settings.seed.unwrap_or(config.seed);
    recipe.seed = settings.seed.unwrap_or(recipe.seed);
    survey(&config, &files.overlap, existing, settings)?;
    survey(&new_stars(SurveyConfig { n_stars: arguments.new.unwrap_or(5_000), ..config }), &files.new_stars, existing, settings)?;
    step("simulate");

    let inputs = [files.overlap.clone()];
    let checkpoint_every = Duration::from_secs(5);
    let recipe_path = Path::new(recipe_name);
    let task = Task { recipe_path, inputs: &inputs, output: &files.model, existing, checkpoint_every, most_bytes: u64::MAX };
    let trained: TrainedModel = task.run(&recipe, settings)?;
    step("train");

    for (output, options) in
        [(&files.catalogue, FitOptions::default()), (&files.likelihood, FitOptions::default().likelihood_only())]
    {
        let estimator = Fitter::new(trained.clone(), &options)?.judging();
        fit_new_stars((&trained, &estimator, &files.model), (&files.new_stars, output, &[]), existing, settings)?;
    }
    step("fit");

    let page = write_report(&files, &recipe, &trained, with_controls)?;
    step("report");
    let times: Vec<String> = seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    let text = format!(
        "{}\nreport:    {}\nmodel:     {}\ncatalogue: {}\ntimes:     {}\n",
        comparison(&files)?,
        page.display(),
        files.model.display(),
        files.catalogue.display(),
        times.join(", "),
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
            "seconds": seconds.into_iter().collect::<BTreeMap<_, _>>(),
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

/// Writes the standard report, which replaces that of an earlier run.
fn write_report(files: &Files, recipe: &Recipe, trained: &TrainedModel, with_controls: bool) -> Result<PathBuf> {
    let training_stars = table::read(&files.model.join(STARS_FILE))?;
    let training = read_observations::<TrainedModel>(recipe, &Registry::standard(), std::slice::from_ref(&files.overlap))?;
    let new_stars = table::read(&files.new_stars)?;
    let truth_curve: Option<Vec<f64>> = new_stars.metadata.get(TRUE_CURVE).and_then(|text| serde_json::from_str(text).ok());
    let options = FitOptions::default();
    let new_stars = Observations::from_table(new_stars, &read_options(trained, &options))?;
    let map = fit(trained, &new_stars, &options)?;
    let likelihood = fit(trained, &new_stars, &options.likelihood_only())?;
    let controls = match with_controls {
        true => controls(trained, &training, &Registry::standard(), &ControlOptions::default())?,
        false => Vec::new(),
    };
    let input = SurveyReportInput {
        truth_curve: truth_curve.as_deref(),
        training: Some(&training),
        likelihood: Some(&likelihood),
        controls: &controls,
        ..SurveyReportInput::new(trained, &training_stars, &new_stars, &map)
    };
    survey_report(&input)?.write(&files.report, true)
}
