//! `confidence`: a model is taught how far its estimates can be trusted, and its catalogues say it.

use photosphere::cli::{Program, run};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::table::{self, Table};
use std::path::Path;

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
}
