//! `photosphere calibrate`: learns from stars with measured labels which errors of a model like stars share.

use super::changed_model;
use super::outcome::Outcome;
use super::self_report::{of_label_errors, of_unresolved_pairs, of_zero_points};
use super::settings::Settings;
use super::training_task::read_tables;
use crate::catalogue::flags::BASIC_CUT;
use crate::error::{Error, Result};
use crate::infer::flags::MISSING_CONSTRAINT;
use crate::infer::{FitOptions, Fitter, read_options};
use crate::model::{Calibration, check_measured};
use crate::observations::Observations;
use crate::run::identifiers::scan;
use crate::run::interrupt;
use crate::run::provenance::Provenance;
use crate::train::{LabelError, LearnedCalibration, TrainedModel, calibration_of, label_errors, zero_points};
use crate::warning::warn_once;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Fewest stars: their neighbours are hardly alike if there are fewer.
const LEAST_STARS: usize = 150;

/// Learn anew which errors of a forward model like stars share, from stars with measured labels.
///
/// Training learns them from the stars that it keeps aside; more of them, or stars of another survey, tell
/// them better. The stars are fitted with their measurements; what fluxes and measurements of neighbours
/// among the labels have in common in their differences is the model's. It widens the errors of fits, and
/// stands apart in catalogues (<parameter>_shared_error), for means of many stars.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory (a forward model).
    model: PathBuf,
    /// Observation files of stars with measured labels (teff, teff_error, …) that the model was not trained
    /// with; several are taken as one.
    #[arg(required = true)]
    observations: Vec<PathBuf>,
    /// Model directory to write: the model with what was learned.
    #[arg(short, long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// Replace the output if it exists; an input is never replaced.
    #[arg(long)]
    overwrite: bool,
}

/// Learns them.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    let Arguments { model, observations, output, overwrite } = arguments;
    let inputs = observations.iter().chain([model]).map(PathBuf::as_path);
    changed_model::check_output(output, *overwrite, inputs)?;
    let package = settings.package(model)?;
    let trained = Arc::new(package.require::<TrainedModel>("calibrate")?.clone());
    let space = &trained.model.space;

    let (place, table) = read_tables(observations)?;
    let usual = FitOptions { constraints: Vec::new(), exact_hessian: false, ..FitOptions::default().likelihood_only() };
    let stars =
        Observations::from_table_of(&place, table, &read_options(&trained, &usual)).map_err(|error| error.within(&place))?;
    check_measured(space, &stars)?;
    for position in space.label_positions() {
        let (name, remedy) = (&space.parameters[position].name, "Give stars with measured labels, as those of a training.");
        stars.require_measured(name, "measured values to compare the fluxes with", remedy)?;
        let measured = (0..stars.len()).filter_map(|star| stars.constraint(name, star)).map(|(value, _)| value);
        let [low, high] = measured.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| [low.min(x), high.max(x)]);
        if low == high {
            let error = Error::data(format!("column '{name}'")).found(format!("{low} for all stars"));
            return Err(error.expected("values that differ from star to star").remedy(remedy));
        }
    }
    let names = space.parameters.iter().map(|parameter| parameter.name.clone());
    let is_measured = |name: &String| stars.n_measured(name) > 0;
    let constraints: Vec<String> = names.filter(is_measured).collect();
    let fitter = Fitter::new(trained.clone(), &FitOptions { constraints: constraints.clone(), ..usual })?;
    tracing::info!("fitting {} stars with their measured {}", stars.len(), constraints.join(", "));
    let estimates = fitter.fit_in_stages(&stars, &|_| interrupt::check(|| place.clone(), "Nothing was written."))?;
    // A star that lacks some of the measured values tells of the others.
    let is_good = |flags: i32| flags & !MISSING_CONSTRAINT < BASIC_CUT;
    let good: Vec<usize> = (0..stars.len()).filter(|&star| is_good(estimates.flags[star])).collect();
    for name in &constraints {
        let n_without = good.iter().filter(|&&star| stars.constraint(name, star).is_none()).count();
        if n_without > 0 {
            tracing::info!(
                "{n_without} of the {} stars in the basic cut have no measured {name}, and tell of the others",
                good.len()
            );
        }
    }
    let too_few = |found: String| {
        Error::data(&place)
            .found(found)
            .expected(format!("at least {LEAST_STARS} stars in the basic cut, with labels that differ"))
            .remedy("Give more stars of the kind that the model was trained with.")
    };
    if good.len() < LEAST_STARS {
        return Err(too_few(format!("{} such stars of {}", good.len(), stars.len())));
    }
    let learned = calibration_of(fitter.model(), &stars, (&good, &estimates.coordinates), &constraints)?;
    let LearnedCalibration { calibration: learned, unresolved_pairs } =
        learned.ok_or_else(|| too_few(format!("{} stars that tell nothing in common", good.len())))?;

    let learned = with_former(&trained, learned);

    let factors = label_errors(fitter.model(), &stars, (&good, &estimates.coordinates), &constraints, Some(&learned))?;
    factors.iter().filter_map(LabelError::warning).for_each(warn_once);
    let mut more: Vec<String> = unresolved_pairs.map(of_unresolved_pairs).into_iter().collect();
    more.extend(of_label_errors(&factors));
    let text = format!("{}{}", describe(&trained, &learned), indented(more));
    let mut changed = TrainedModel { confidence: None, ..(*trained).clone() };
    if trained.confidence.is_some() {
        warn_once(
            "the model's confidences belong to its errors as they were: they are left out (`photosphere confidence` learns them anew)",
        );
    }
    if changed.card.ensemble.take().is_some() {
        warn_once(
            "the spread between the seeds of an ensemble belongs to its calibration as it was: it is left out, and the card no longer names the members",
        );
    }
    let summary = json!({
        "output": output,
        "n_stars": good.len(),
        "zero_points": zero_points(space, Some(&learned)),
        "unresolved_pairs": unresolved_pairs,
        "label_errors": factors,
    });
    if let Some(report) = &mut changed.log.report {
        report.zero_points = zero_points(space, Some(&learned));
        report.unresolved_pairs = unresolved_pairs;
    }
    changed.model.calibration = Some(learned);
    changed.sha256 = changed.identity()?;
    let provenance = Provenance::new("calibrate").with("model_sha256", &trained.sha256).with_inputs(&scan(observations)?);
    changed_model::write(&changed, model, (output, *overwrite), &provenance)?;
    Ok(Outcome::answer(format!("{} stars\n{text}", good.len()), summary))
}

/// What was learned, with what the model knew of parameters that these stars do not tell.
fn with_former(trained: &TrainedModel, learned: Calibration) -> Calibration {
    let space = &trained.model.space;
    let Some(former) = &trained.model.calibration else { return learned };
    let positions = 0..space.len();
    let kept: Vec<usize> = positions
        .filter(|&position| learned.covariance[position][position] == 0.0 && former.covariance[position][position] > 0.0)
        .collect();
    if kept.is_empty() {
        return learned;
    }
    let names: Vec<&str> = kept.iter().map(|&position| space.parameters[position].name.as_str()).collect();
    warn_once(format!(
        "no star, or too few beside others like them, have a measured {}: the errors of its zero points stay what they were, without what \
         they have in common with the others",
        names.join(" or ")
    ));
    learned.at_least(&former.only(&kept))
}

/// What was learned, and what the model said before.
fn describe(trained: &TrainedModel, learned: &Calibration) -> String {
    let space = &trained.model.space;
    let lines = |calibration: Option<&Calibration>| of_zero_points(&zero_points(space, calibration));
    let before = match lines(trained.model.calibration.as_ref()) {
        lines if lines.is_empty() => vec!["nothing".to_owned()],
        lines => lines,
    };
    format!("{}before\n{}", indented(lines(Some(learned))), indented(before))
}

fn indented(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}
