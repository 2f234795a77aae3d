//! `train --seeds N`: the same training with several seeds, and what its figures are in the mean, with their
//! spread: the figures of one seed, or of the best, are not those of the method.

use super::built_in::TrainingRecipe;
use super::existing::make_folder;
use super::outcome::Outcome;
use super::settings::Settings;
use super::train::Arguments;
use super::train_ensemble;
use super::training_task::Task;
use crate::error::{Error, Result};
use crate::package::Trainable;
use crate::run::inputs::Inputs;
use crate::run::read_json;
use crate::table::{FolderKind, check_target_directory, write_atomically};
use crate::warning::warn_once;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Most seeds of a command.
const MOST: u32 = 1000;
/// The figures in the folder of the models.
const FILE: &str = "seeds.json";
/// How the folder of a seed's model begins.
const OF_SEED: &str = "seed-";
/// How its checkpoint ends.
const CHECKPOINT: &str = "checkpoint";

/// A figure over the seeds whose trainings have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub n: usize,
    pub mean: f64,
    /// Standard deviation from seed to seed; none of one seed.
    pub scatter: Option<f64>,
    pub lowest: f64,
    pub highest: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            n,
            mean,
            scatter: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
            lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
            highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Trains with `n` seeds, the first of which is that of the command line, or 1; every model is a folder
/// `seed-…` of the output.
///
/// # Errors
/// When a training fails: those before it are finished, and `--resume` goes on.
pub fn train_seeds<K: Trainable>(n: u32, text: &TrainingRecipe, arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    if !K::HAS_SEED {
        return Err(Error::usage("--seeds")
            .found(format!("it with a recipe of the kind '{}', whose training draws nothing", K::KIND))
            .expected("a kind whose trainings differ by their seeds")
            .remedy("Leave the option out: one training is all there is."));
    }
    if !(1..=MOST).contains(&n) {
        return Err(Error::usage("--seeds").found(n.to_string()).expected(format!("from 1 to {MOST}")));
    }
    let folder = arguments.output.as_path();
    if folder.join("model.toml").exists() {
        return Err(Error::usage(format!("--output {}", folder.display()))
            .found("a model")
            .expected("a folder for the models of all seeds")
            .remedy("Name another one."));
    }
    let first = settings.seed.unwrap_or(1);
    if first.checked_add(u64::from(n) - 1).is_none() {
        return Err(Error::usage("--seed").found(first.to_string()).expected(format!("one with {n} seeds from it on")));
    }
    // A recipe that is not valid leaves nothing behind.
    let recipe_folder = Path::new(&arguments.recipe).parent().unwrap_or(Path::new(""));
    let recipe = K::recipe(&text.text, &text.place, recipe_folder, Some(first))?;
    let whole = Task::of(arguments);
    let others = K::other_inputs(&recipe);
    let inputs = whole.all_inputs(others.iter().map(|(_, path)| path.as_path()));
    if arguments.ensemble {
        train_ensemble::check::<K>(n, folder, (&whole, &inputs))?;
    }
    make_folder(folder, "for the models of all seeds")?;
    let (mut models, mut all) = (Vec::new(), BTreeMap::<String, Vec<f64>>::new());
    let (mut members, mut folders, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for seed in (0..u64::from(n)).map(|k| first + k) {
        let output = folder.join(format!("{OF_SEED}{seed}"));
        let task = Task { output: &output, ..Task::of(arguments) };
        let package = task.run_text::<K>(text, Some(seed), settings)?;
        let mut figures = BTreeMap::new();
        flatten("", &package.summary(), &mut figures);
        for (name, value) in &figures {
            all.entry(name.clone()).or_default().push(*value);
        }
        models.push(json!({ "seed": seed, "output": output, "sha256": package.sha256(), "figures": figures }));
        folders.push(output);
        hashes.push(package.sha256().to_owned());
        if arguments.ensemble {
            members.push((seed, package));
        }
    }
    let spreads: BTreeMap<String, Spread> = all.into_iter().map(|(name, values)| (name, Spread::of(&values))).collect();
    let mut summary = json!({ "output": folder, "seeds": models, "figures": spreads });
    let mut text = table(&spreads);
    let output = folder.join(train_ensemble::FOLDER);
    if whole.existing.overwrite {
        // An ensemble of the models that were replaced is gone even if the new one cannot be made.
        remove_others(folder, &folders, (&K::FOLDER, &inputs))?;
    } else if !arguments.ensemble
        && output.exists()
        && let Some(earlier) = earlier_ensemble(folder, &output, &hashes)
    {
        summary["ensemble"] = earlier;
    }
    // The figures of the seeds are there in that case too.
    write(&folder.join(FILE), &summary)?;
    if arguments.ensemble {
        let package = train_ensemble::make(&recipe, (&members, &folders), (&output, &whole), settings)?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "ensemble {}: {}", package.id(), output.display());
        summary["ensemble"] = json!({ "output": output, "sha256": package.sha256(), "summary": package.summary() });
        write(&folder.join(FILE), &summary)?;
    }
    Ok(Outcome::answer(text, summary))
}

/// What the folder of all seeds says of the ensemble `output` that an earlier run made in it, where that is
/// one of the models with these hashes; a warning where it is not.
fn earlier_ensemble(folder: &Path, output: &Path, hashes: &[String]) -> Option<Value> {
    if train_ensemble::is_of(output, hashes) {
        return read_json::<Value>(&folder.join(FILE)).ok()?.get("ensemble").cloned();
    }
    warn_once(format!(
        "{}: not the ensemble of the models beside it: give --ensemble to make it anew, or remove it",
        output.display()
    ));
    None
}

/// Removes models of seeds, and of an ensemble of them, that a run with --overwrite has not replaced, because
/// it has fewer or others: with them the folder would tell of two runs. Folders that hold anything but a
/// model, or an input of the run, stay with a warning.
fn remove_others(folder: &Path, kept: &[PathBuf], (kind, inputs): (&FolderKind, &Inputs)) -> Result<()> {
    let reading = |error| Error::reading(folder, error);
    for entry in std::fs::read_dir(folder).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str().filter(|_| !kept.contains(&path)) else { continue };
        let stem = name.strip_suffix(&format!(".{CHECKPOINT}")).unwrap_or(name);
        let is_of_seed = stem.strip_prefix(OF_SEED).is_some_and(|seed| seed.parse::<u64>().is_ok_and(|n| n.to_string() == seed));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_ours = is_of_seed || name == train_ensemble::FOLDER && is_folder;
        if !is_ours || stem == name && !is_folder {
            continue;
        }
        let may_go = inputs.require_other(&path).and_then(|()| inputs.require_none_in(&path));
        let removed = may_go.and_then(|()| match is_folder {
            true => {
                check_target_directory(&path, true, kind)?;
                std::fs::remove_dir_all(&path).map_err(|error| Error::writing(&path, error))
            }
            false => std::fs::remove_file(&path).map_err(|error| Error::writing(&path, error)),
        });
        match removed {
            Ok(()) => tracing::info!("{}: of an earlier run, removed", path.display()),
            Err(error) => warn_once(format!("{}: of an earlier run, and not removed: {error}", path.display())),
        }
    }
    Ok(())
}

fn write(path: &Path, summary: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(summary).map_err(|error| Error::writing(path, error))?;
    write_atomically(path, true, |file| file.write_all(text.as_bytes()))
}

/// The numbers of a summary by their places in it; entries of lists go by their texts, or by their number.
fn flatten(place: &str, value: &Value, into: &mut BTreeMap<String, f64>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match value {
        Value::Number(number) => into.extend(number.as_f64().map(|number| (place.to_owned(), number))),
        Value::Object(entries) => entries.iter().for_each(|(name, value)| flatten(&below(name), value, into)),
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                let texts = entry.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
                let texts: Vec<&str> = texts.collect();
                let name = if texts.is_empty() { (index + 1).to_string() } else { texts.join(", ") };
                // Two entries of the same texts are told apart by their number.
                let mut here = below(&name);
                if into.range(here.clone()..).next().is_some_and(|(key, _)| key.starts_with(&here)) {
                    here = format!("{here}, {}", index + 1);
                }
                flatten(&here, entry, into);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// For people.
fn table(spreads: &BTreeMap<String, Spread>) -> String {
    let width = spreads.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
    let mut text =
        format!("{:<width$} {:>5} {:>12} {:>12} {:>12} {:>12}\n", "figure", "seeds", "mean", "scatter", "lowest", "highest");
    let number = |value: f64| {
        if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) { format!("{value:.3e}") } else { format!("{value:.4}") }
    };
    for (name, Spread { n, mean, scatter, lowest, highest }) in spreads {
        let scatter = scatter.map_or_else(|| "-".to_owned(), number);
        let [mean, lowest, highest] = [mean, lowest, highest].map(|value| number(*value));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<width$} {n:>5} {mean:>12} {scatter:>12} {lowest:>12} {highest:>12}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_names_of_their_places() {
        let summary = json!({
            "stars": 300, "metrics": { "chi": 1.5, "none": null },
            "comparison": [{ "parameter": "teff", "method": "linear", "bias": -2.0 }, { "parameter": "teff", "method": "network", "bias": 1 }],
            "ends": [0.5, 0.25],
        });
        let mut found = BTreeMap::new();
        flatten("", &summary, &mut found);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["comparison.linear, teff.bias", "comparison.network, teff.bias", "ends.1", "ends.2", "metrics.chi", "stars"]
        );
        assert_eq!((found["comparison.linear, teff.bias"], found["ends.2"]), (-2.0, 0.25));
    }

    #[test]
    fn a_spread_is_the_standard_deviation_of_a_sample() {
        // numpy 2.4.6: numpy.std([1, 2, 4], ddof=1)
        let spread = Spread::of(&[1.0, 2.0, 4.0]);
        assert!((spread.scatter.unwrap() - 1.527_525_231_651_946_6).abs() < 1e-15 && spread.mean == 7.0 / 3.0);
        assert_eq!((spread.n, spread.lowest, spread.highest), (3, 1.0, 4.0));
        assert_eq!(Spread::of(&[3.0]).scatter, None);
        let text = table(&BTreeMap::from([("a".to_owned(), spread), ("loss".to_owned(), Spread::of(&[1e-5]))]));
        assert!(text.contains("2.3333") && text.contains("1.000e-5") && text.lines().count() == 3, "{text}");
    }
}
