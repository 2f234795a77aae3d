//! `confidence` and `calibrate`: a model is taught how far its estimates can be trusted and which errors like
//! stars share, and its catalogues say it.

use photosphere::cli::{Program, run};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::table::{self, Column, Table};
use photosphere::validate::compare::{Calibration, CalibrationOptions, CompareOptions, compare};
use std::path::Path;
use std::process::Command;

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().to_f64().unwrap()
}

#[test]
fn confidences_tell_bad_estimates_of_new_stars() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let survey = |n_stars, first_star| simulate(&SurveyConfig { n_stars, first_star, ..Default::default() }).unwrap();
    let (overlap, new) = (path("overlap.parquet"), path("new.parquet"));
    table::write(&survey(12_000, 5_000_000), overlap.as_ref(), false).unwrap();
    let stars = survey(6_000, 9_000_000);
    table::write(&stars, new.as_ref(), false).unwrap();
    std::fs::write(path("options.toml"), "hidden = [32, 32]\nplan = { epochs = 60 }\n").unwrap();
    let command = |arguments: &str| {
        let words = ["photosphere", "--quiet"].into_iter().chain(arguments.split(' ')).map(Into::into);
        run(Program::standard(), words.collect::<Vec<_>>())
    };
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated").display().to_string();
    let (taught, catalogue) = (path("taught"), path("catalogue.parquet"));
    // Small floors: half a cool star's error, so that some estimates are bad.
    let teach = |output: &str, more: &str| {
        command(&format!(
            "confidence {model} {overlap} -o {output} --config {} --floor logg=0.02 --floor teff=10{more}",
            path("options.toml")
        ))
    };
    assert_eq!(teach(&taught, " --floor vsini=1"), 2, "no label of the model");
    assert_eq!(teach(&taught, ""), 0);
    assert_eq!(teach(&taught, ""), 1, "it exists");
    assert_eq!(command(&format!("inspect {taught}")), 0);
    assert_eq!(command(&format!("fit {taught} {new} -o {catalogue} --keep-truth")), 0);
    let found = table::read(catalogue.as_ref()).unwrap();
    let flags = found.column("quality_flags").unwrap().to_i64().unwrap();
    let mut n_taught = 0;
    for (bit, (label, floor)) in [("teff", 10.0), ("feh", 0.1), ("logg", 0.02)].into_iter().enumerate() {
        let (confidence, value, error, truth) = (
            numbers(&found, &format!("{label}_confidence")),
            numbers(&found, label),
            numbers(&found, &format!("{label}_error")),
            numbers(&found, &format!("true_{label}")),
        );
        if confidence.iter().all(|p| p.is_nan()) {
            continue;
        }
        n_taught += 1;
        // The truth is a measurement without error.
        let is_bad = |star: usize| (value[star] - truth[star]).powi(2) > 9.0 * (error[star].powi(2) + f64::powi(floor, 2));
        let chosen: Vec<usize> = (0..6_000).filter(|&star| flags[star] < 8 && confidence[star].is_finite()).collect();
        let rate = |trusted: bool| {
            let stars: Vec<usize> = chosen.iter().copied().filter(|&star| (confidence[star] >= 0.5) == trusted).collect();
            (stars.iter().filter(|star| is_bad(**star)).count() as f64 / stars.len().max(1) as f64, stars.len())
        };
        let ((trusted, n_trusted), (others, n_others)) = (rate(true), rate(false));
        println!("{label}: bad {trusted:.4} of {n_trusted} trusted ones, {others:.4} of the {n_others} others");
        assert!(chosen.iter().all(|&star| (flags[star] >> bit & 1 == 1) == (confidence[star] < 0.5)), "{label}: the bit");
        assert!(n_others == 0 || others > 5.0 * trusted, "{label}");
    }
    assert!(n_taught > 0);
    // Fitted otherwise, the features mean something else: no confidence.
    std::fs::write(path("other.toml"), "mixture_prior = false").unwrap();
    for (at, choice) in ["--constraint none".to_owned(), format!("--config {}", path("other.toml"))].iter().enumerate() {
        let other = path(&format!("other_{at}.parquet"));
        assert_eq!(command(&format!("fit {taught} {new} -o {other} {choice}")), 0);
        assert!(numbers(&table::read(other.as_ref()).unwrap(), "logg_confidence").iter().all(|p| p.is_nan()), "{choice}");
    }
    // A star without a parallax is of a kind that taught nothing; the others keep their confidences.
    let mut some = stars.slice(0..600);
    for name in ["parallax", "parallax_error"] {
        let mut values = numbers(&some, name);
        values[..200].fill(f64::NAN);
        let schema = some.column(name).unwrap().schema.clone();
        some.replace(Column::nullable(schema, values)).unwrap();
    }
    table::write(&some, path("some.parquet").as_ref(), false).unwrap();
    assert_eq!(command(&format!("fit {taught} {} -o {}", path("some.parquet"), path("some_fitted.parquet"))), 0);
    let fitted = table::read(path("some_fitted.parquet").as_ref()).unwrap();
    for label in ["teff", "feh", "logg"].map(|label| format!("{label}_confidence")) {
        let (alone, before) = (numbers(&fitted, &label), numbers(&found, &label));
        assert!(alone[..200].iter().all(|p| p.is_nan()), "{label}");
        assert!(alone[200..].iter().zip(&before[200..600]).all(|(a, b)| a.to_bits() == b.to_bits()), "{label}");
    }
}

/// A model of 20 000 stars is wrong by less than the error of a star, and by several times that of the mean
/// of a hundred: what it learns of that from one sample holds for means of stars of another.
#[test]
fn means_of_new_stars_have_the_errors_that_their_catalogue_claims() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let survey = |n_stars, first_star| simulate(&SurveyConfig { n_stars, first_star, ..Default::default() }).unwrap();
    let (overlap, new) = (path("overlap.parquet"), path("new.parquet"));
    // The errors of T_eff are half of what they say, those of log g twice.
    let mut labelled = survey(8_000, 7_000_000);
    for (name, factor) in [("teff_error", 2.0), ("logg_error", 0.5)] {
        let column = labelled.column(name).unwrap();
        let values = numbers(&labelled, name).iter().map(|error| factor * error).collect();
        labelled.replace(Column::nullable(column.schema.clone(), values)).unwrap();
    }
    table::write(&labelled, overlap.as_ref(), false).unwrap();
    let truth = survey(7_000, 8_000_000);
    table::write(&truth, new.as_ref(), false).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated").display().to_string();
    let (calibrated, catalogue) = (path("calibrated"), path("catalogue.parquet"));
    let command = |arguments: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_photosphere")).args(["--quiet", "--json"]).args(arguments.split(' ')).output();
        let output = output.unwrap();
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default())
    };
    let (code, said) = command(&format!("calibrate {model} {overlap} -o {calibrated}"));
    assert_eq!(code, Some(0));
    for found in said["label_errors"].as_array().unwrap() {
        let (name, factor, error) = (&found["parameter"], found["factor"].as_f64().unwrap(), found["error"].as_f64().unwrap());
        println!("errors of {name}: {factor:.3} \u{b1} {error:.3} of what they say");
        let expected: f64 = match name.as_str().unwrap() {
            "teff" => 0.5,
            "logg" => 2.0,
            _ => 1.0,
        };
        // Unresolved pairs among the stars are outliers in the parallax.
        assert!((factor / expected - 1.0).abs() < if name == "parallax" { 0.3 } else { 0.15 }, "{name}: {factor}");
    }
    assert_eq!(command(&format!("calibrate {model} {overlap} -o {calibrated}")).0, Some(1), "it exists");
    let mut same = labelled.slice(0..400);
    let column = same.column("feh").unwrap().schema.clone();
    same.replace(Column::nullable(column, vec![-0.1; 400])).unwrap();
    table::write(&same, path("same.parquet").as_ref(), false).unwrap();
    let (code, _) = command(&format!("calibrate {model} {} -o {}", path("same.parquet"), path("same")));
    assert_eq!(code, Some(1), "labels that are all equal tell nothing");
    assert_eq!(command(&format!("calibrate {model} {new} -o {}", path("none"))).0, Some(0), "these have labels too");
    assert_eq!(command(&format!("fit {calibrated} {new} -o {catalogue} --likelihood-only")).0, Some(0));
    let found = table::read(catalogue.as_ref()).unwrap();
    let options = CompareOptions {
        exclude: vec!["true_is_binary".into()],
        quality_flags_below: Some(8),
        quantities: ["teff", "feh", "logg", "extinction", "parallax"].map(String::from).to_vec(),
        ..Default::default()
    };
    let comparison = compare(&found, &truth, &options).unwrap();
    let cells = CalibrationOptions { split: Vec::new(), cells: ["teff", "logg"].map(String::from) };
    let calibration = Calibration::of((&found, &truth), (&comparison, &options), &cells).unwrap();
    for row in calibration.rows.iter().filter(|row| row.selection.limits.is_empty()) {
        let (groups, pulls) = (row.group_pull.unwrap(), row.pulls);
        println!(
            "{}: MAD of pulls {:.3}, within one error {:.3}; means of 100: {:.2}, with what they share {:.2} ({})",
            row.quantity, pulls.scatter.value, pulls.within_68.value, groups.independent, groups.sharing, groups.n_groups
        );
        // Observed 0.91 for log g, 0.98 to 1.03 for the others.
        assert!((pulls.scatter.value - 1.0).abs() < 0.12, "{}", row.quantity);
        // Of some 60 groups, a root mean square is known to 9 %.
        assert!((0.75..1.3).contains(&groups.sharing), "{}", row.quantity);
        // The control: without it, means are off by several of their errors.
        assert!(row.quantity == "parallax" || groups.independent > 1.4, "{}", row.quantity);
    }
}
