//! A model directory: card, parameters, tensors, metrics, model error.

use crate::cli::confidence::describe as describe_classifier;
use crate::cli::outcome::Outcome;
use crate::cli::self_report::{lines, of_ensemble};
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::model::{Parameter, Transform};
use crate::statistics::median;
use crate::train::TrainedModel;
use crate::validate::number::{percent, significant};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Describes the model in `directory`.
pub fn inspect(directory: &Path, settings: &Settings) -> Result<Outcome> {
    let package = settings.package(directory)?;
    let Ok(trained) = package.require::<TrainedModel>("inspect") else {
        let (text, summary) = package.describe();
        return Ok(Outcome::answer(text, summary));
    };
    let shapes = trained.model.weights.names().iter().map(|name| Ok((name.clone(), trained.model.weights.shape(name)?.to_vec())));
    let tensors = shapes.collect::<Result<Vec<(String, Vec<usize>)>>>()?;
    let (model, card) = (&trained.model, &trained.card);
    let effects: Vec<&str> = model.effects.iter().map(|effect| effect.kind()).collect();
    let summary = json!({
        "kind": "model",
        "sha256": trained.sha256,
        "model_id": trained.id(),
        "card": card,
        "effects": effects,
        "parameters": model.space,
        "bands": model.grid.names,
        "wavelengths": model.grid.wavelength,
        "model_error": model.model_error,
        "tensors": tensors.iter().map(|(name, shape)| json!({ "name": name, "shape": shape })).collect::<Vec<_>>(),
        "n_weights": model.n_weights(),
        "prior": { "parameters": trained.prior.parameters(), "ln_density_threshold": trained.prior.ln_density_threshold() },
        "epochs": trained.log.history.len(),
        "cleanings": trained.log.cleanings,
        "stages": trained.log.stages,
        "report": trained.log.report,
        "confidence": trained.confidence.iter().flat_map(|all| &all.labels).map(|one| (one.label.clone(), json!(one.report))).collect::<BTreeMap<_, _>>(),
    });

    let mut text = format!("model {}\n", directory.display());
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<26}{value}");
        }
    };
    line("description", &card.description);
    line("SHA-256", &trained.sha256);
    line("trained by", &card.program);
    line("stars", &format!("{} trained, {} for validation", card.n_training, card.n_validation));
    line("data", &card.data);
    line("limits", &card.limits);
    line("licence", &card.licence);
    line("citation", &card.citation);
    line("effects", &effects.join(", "));
    line("fluxes", &format!("{}, {}", model.grid.len(), wavelength_range(&model.grid.wavelength)));
    let largest = model.model_error.iter().copied().fold(0.0, f64::max);
    line("model error", &format!("median {}, largest {}", percent(median(&model.model_error)), percent(largest)));
    for (name, value) in &card.metrics {
        line(name, &significant(*value, 4));
    }
    if let Some(report) = &trained.log.report {
        text.push_str("what the training knows of its faults\n");
        for found in lines(report) {
            let _ = writeln!(text, "  {found}");
        }
    }
    if let Some(ensemble) = &card.ensemble {
        text.push_str("members\n");
        for found in of_ensemble(ensemble, &model.space) {
            let _ = writeln!(text, "  {found}");
        }
    }
    if let Some(confidence) = &trained.confidence {
        text.push_str("how far its estimates can be trusted\n");
        for classifier in &confidence.labels {
            describe_classifier(classifier).lines().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    }
    if !card.warnings.is_empty() {
        text.push_str("warnings of the training\n");
        for warning in &card.warnings {
            let _ = writeln!(text, "  {warning}");
        }
    }
    text.push_str("parameters\n");
    for parameter in &model.space.parameters {
        let _ = writeln!(text, "  {}", describe(parameter));
    }
    let _ = writeln!(text, "tensors ({} values)", model.n_weights());
    for (name, shape) in &tensors {
        let _ = writeln!(text, "  {name:<32}{shape:?}");
    }
    Ok(Outcome::answer(text, summary))
}

fn describe(parameter: &Parameter) -> String {
    let transform = if parameter.transform == Transform::Logarithm { ", fitted as its logarithm" } else { "" };
    let range = parameter.training_range.map_or_else(String::new, |[low, high]| {
        let [low, high] = [low, high].map(|value| significant(value / parameter.model_units_per_file_unit, 4));
        format!(", trained from {low} to {high}")
    });
    format!("{:<14}{:<6}{}{transform}{range}", parameter.name, parameter.unit, parameter.description)
}

fn wavelength_range(wavelengths: &[f64]) -> String {
    let low = wavelengths.iter().copied().fold(f64::INFINITY, f64::min);
    let high = wavelengths.iter().copied().fold(0.0, f64::max);
    format!("{low} to {high} nm")
}
