//! `photosphere confidence`: teaches a model how far its estimates can be trusted.

use super::changed_model;
use super::fit::held;
use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::training_task::read_tables;
use crate::catalogue::flags::BASIC_CUT;
use crate::confidence::{Agreement, Classifier, ConfidenceOptions, Measured, train};
use crate::error::{Error, Result};
use crate::infer::{Estimates, FitOptions, Fitter, read_options};
use crate::model::{Parameter, check_measured};
use crate::observations::{Observations, ReadOptions};
use crate::package::{Estimator, read_toml};
use crate::run::identifiers::scan;
use crate::run::interrupt;
use crate::run::provenance::Provenance;
use crate::train::TrainedModel;
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Differences that do not matter, where nothing else is said: of temperatures, K, and of logarithms, dex.
const FLOOR_OF_TEMPERATURES: f64 = 100.0;
const FLOOR_OF_LOGARITHMS: f64 = 0.1;

/// Teach a forward model how far its estimates can be trusted, from stars with measured labels.
///
/// The stars are fitted without their labels, as `fit` does by default; classifiers learn which estimates
/// agree with the measurements, and are written with the model. Catalogues of it have columns
/// <label>_confidence, and bits 0-2 of quality_flags.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory (a forward model).
    model: PathBuf,
    /// Observation files of stars with measured labels (teff, teff_error, …); several are taken as one.
    #[arg(required = true)]
    observations: Vec<PathBuf>,
    /// Model directory to write: the model with its classifiers.
    #[arg(short, long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// Options (TOML; `photosphere recipe confidence` prints the defaults).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Difference of a label, in its unit in files, below which nothing matters [default: 100 K, 0.1 dex].
    /// May be repeated.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = held)]
    floor: Vec<(String, f64)>,
    /// Replace the output if it exists; an input is never replaced.
    #[arg(long)]
    overwrite: bool,
}

/// Teaches it.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    let Arguments { model, observations, output, .. } = arguments;
    let inputs = observations.iter().map(PathBuf::as_path).chain([model.as_path()]).chain(arguments.config.as_deref());
    changed_model::check_output(output, arguments.overwrite, inputs)?;
    let options: ConfidenceOptions = match &arguments.config {
        Some(path) => read_toml(path)?,
        None => ConfidenceOptions::default(),
    };
    options.validate()?;
    let package = settings.package(model)?;
    let trained = Arc::new(TrainedModel { confidence: None, ..package.require::<TrainedModel>("confidence")?.clone() });
    let floors: BTreeMap<String, f64> = arguments.floor.iter().cloned().collect();
    let labels = labels(&trained, &floors)?;

    let fitter = Fitter::new(trained.clone(), &FitOptions::default())?;
    let (place, table) = read_tables(observations)?;
    let mut read = read_options(&trained, fitter.options());
    let names = labels.iter().map(|(parameter, _)| parameter.name.clone());
    read.constraints.extend(names.filter(|name| !read.constraints.contains(name)).collect::<Vec<_>>());
    let stars = Observations::from_table_of(&place, table, &ReadOptions { ..read }).map_err(|error| error.within(&place))?;
    check_measured(&trained.model.space, &stars)?;
    for (parameter, _) in &labels {
        let remedy = "Give stars with measured labels, as those of a training.";
        stars.require_measured(&parameter.name, "measured values to compare the estimates with", remedy)?;
    }
    tracing::info!("fitting {} stars without their labels", stars.len());
    let estimates = fitter.fit_in_stages(&stars, &|_| interrupt::check(|| place.clone(), "Nothing was written."))?;
    let measured: Vec<Measured> =
        labels.iter().map(|(label, floor)| agreement((&trained, label, *floor), &stars, &estimates, options.basic_cut)).collect();
    let (feature_names, features) = fitter.confidence_features(&stars, &estimates)?;
    let seed = settings.seed.unwrap_or(1);
    let mut progress = Progress::of_fraction("confidences", settings);
    let mut report = |done: f64, text: &str| {
        progress.fraction(done, text);
        interrupt::check(|| output.display().to_string(), "Nothing was written.")
    };
    let device = settings.device()?;
    let (mut classifiers, left_out) =
        train(&options, (feature_names, features.view()), &stars.ids, &measured, (seed, &device), &mut report)?;
    for label in &left_out {
        warn_once(format!("{label}: hardly an estimate is bad (or good), or nothing tells the bad ones: it gets no confidence"));
    }
    measured.iter().filter_map(disagreement).for_each(|text| warn_once(format!("{place}: {text}")));
    classifiers.taught_with = fitter.deciding_choices()?;
    let text = classifiers.labels.iter().map(describe).collect::<String>();
    let reports: BTreeMap<&str, _> = classifiers.labels.iter().map(|one| (one.label.as_str(), one.report.clone())).collect();
    let summary = json!({ "output": output, "labels": reports, "without": left_out });
    let mut taught = TrainedModel { confidence: Some(classifiers), ..(*trained).clone() };
    taught.sha256 = taught.identity()?;
    let provenance = Provenance::new("confidence")
        .with("model_sha256", &trained.sha256)
        .with("options", json!({ "options": options, "floors": floors, "seed": seed }).to_string())
        .with_inputs(&scan(observations)?);
    changed_model::write(&taught, model, (output, arguments.overwrite), &provenance)?;
    Ok(Outcome::answer(text, summary))
}

/// The labels of the model with their floors.
fn labels<'a>(trained: &'a TrainedModel, floors: &BTreeMap<String, f64>) -> Result<Vec<(&'a Parameter, f64)>> {
    let space = &trained.model.space;
    let labels: Vec<&Parameter> = space.label_positions().into_iter().map(|position| &space.parameters[position]).collect();
    if let Some((name, value)) =
        floors.iter().find(|(name, value)| **value < 0.0 || !labels.iter().any(|label| label.name == **name))
    {
        let known: Vec<&str> = labels.iter().map(|label| label.name.as_str()).collect();
        return Err(Error::usage("--floor")
            .found(format!("{name}={value}"))
            .expected(format!("a label of the model ({}) and a number that is not negative", known.join(", ")))
            .remedy("Correct it."));
    }
    let usual = |label: &Parameter| match label.unit.as_str() {
        "K" => FLOOR_OF_TEMPERATURES,
        "" | "dex" => FLOOR_OF_LOGARITHMS,
        _ => 0.0,
    };
    Ok(labels.into_iter().map(|label| (label, floors.get(&label.name).copied().unwrap_or_else(|| usual(label)))).collect())
}

/// How the estimates of a label agree with its measurements; with `basic_cut`, those of the stars in it.
fn agreement(
    (trained, label, floor): (&TrainedModel, &Parameter, f64),
    stars: &Observations,
    estimates: &Estimates,
    basic_cut: bool,
) -> Measured {
    let position = trained.model.space.parameters.iter().position(|parameter| parameter.name == label.name).unwrap_or(0);
    let fitted = estimates.fitted.iter().position(|fitted| *fitted == position);
    let of = |star: usize| {
        if basic_cut && estimates.flags[star] >= BASIC_CUT {
            return Agreement::Unknown;
        }
        let error = fitted.map_or(f64::NAN, |k| estimates.covariance[[star, k, k]].sqrt());
        Agreement::of((estimates.values[[star, position]], error), stars.constraint(&label.name, star), floor)
    };
    Measured { label: label.name.clone(), floor, agreement: (0..stars.len()).map(of).collect() }
}

/// A warning where most estimates of a label are bad: a classifier can learn that too, and whether
/// measurements or model are wrong it cannot know.
fn disagreement(measured: &Measured) -> Option<String> {
    let n = |which: Agreement| measured.agreement.iter().filter(|agreement| **agreement == which).count();
    let (good, bad) = (n(Agreement::Good), n(Agreement::Bad));
    (bad > good).then(|| {
        format!(
            "{bad} of {} estimates of {} disagree with what was measured: look whether the measurements are of these stars, \
             and on the model's scale",
            good + bad,
            measured.label
        )
    })
}

/// For people.
pub fn describe(classifier: &Classifier) -> String {
    let report = &classifier.report;
    let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}: {} validation stars, {} good, {} bad; Brier score {:.4} (constant: {:.4}), {:.3} off the diagonal at most beyond two errors",
        classifier.label, report.n, report.n_good, report.n_bad, report.brier, report.brier_of_constant, report.largest_departure
    );
    let _ = writeln!(
        text,
        "  bad ones among those of confidence above 0.5: {}; among the {} others: {}",
        percent(report.outliers_trusted),
        report.n_others,
        percent(report.outliers_others)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_of_other_stars_are_suspected() {
        let of = |good: usize, bad: usize| {
            let agreement = [vec![Agreement::Good; good], vec![Agreement::Bad; bad], vec![Agreement::Unknown; 50]].concat();
            disagreement(&Measured { label: "teff".into(), floor: 0.0, agreement })
        };
        assert_eq!(of(60, 40), None);
        assert_eq!(of(0, 0), None);
        let text = of(20, 80).unwrap_or_default();
        assert!(text.contains("80 of 100 estimates of teff disagree"), "{text}");
    }
}
