//! Fits of new simulated stars with the emulator that was trained on 20 000 noisy ones (`models/xp-simulated`): spec 1 §7, last row.

use photosphere::infer::{FitOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::Observations;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::statistics::{median, pull_statistics};
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use std::path::Path;

/// Single stars inside the training range, by their true values, with true E > 3σ.
#[test]
fn likelihood_pulls_of_new_stars_are_standard_normal() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let trained = TrainedModel::load(&folder, &Registry::standard(), &Device::cpu()).unwrap();
    let survey = SurveyConfig {
        n_stars: 8000,
        first_star: 3_000_000_000,
        labelled_fraction: 0.0,
        binary_fraction: 0.0,
        ..SurveyConfig::default()
    };
    let options = FitOptions::default().likelihood_only();
    let stars = Observations::from_table(simulate(&survey).unwrap(), &read_options(&trained, &options)).unwrap();
    let estimates = fit(&trained, &stars, &options).unwrap();
    let truth = |name: &str| stars.auxiliary.column(&format!("true_{name}")).unwrap().to_f64().unwrap();
    let position = |name: &str| estimates.parameters.iter().position(|parameter| parameter.0 == name).unwrap();
    let labels: Vec<_> = trained.model.space.parameters.iter().filter(|parameter| parameter.is_label()).collect();
    let true_labels: Vec<Vec<f64>> = labels.iter().map(|parameter| truth(&parameter.name)).collect();
    let is_known = |star: usize| {
        labels.iter().zip(&true_labels).all(|(parameter, values)| {
            let value = values[star] * parameter.model_units_per_file_unit;
            parameter.training_range.is_none_or(|[low, high]| (low..=high).contains(&value))
        })
    };
    let (extinction, e) = (truth("extinction"), position("extinction"));
    let inside: Vec<usize> = (0..stars.len()).filter(|&star| is_known(star)).collect();
    let chosen: Vec<usize> = inside.into_iter().filter(|&star| extinction[star] > 3.0 * estimates.error(star, e)).collect();
    assert!(chosen.len() > 5000, "{} stars", chosen.len());
    for name in ["teff", "feh", "logg", "extinction", "parallax"] {
        let (true_value, p) = (truth(name), position(name));
        let pulls: Vec<f64> =
            chosen.iter().map(|&star| (estimates.values[[star, p]] - true_value[star]) / estimates.error(star, p)).collect();
        let pulls = pull_statistics(&pulls);
        println!("{name}: median {:+.3}, MAD-sigma {:.3}", pulls.median.value, pulls.scatter.value);
        assert!(pulls.median.value.abs() < 0.1 && (0.9..1.1).contains(&pulls.scatter.value), "{name}");
    }
    let reduced = |&star: &usize| estimates.chi_square[star] / f64::from(estimates.degrees_of_freedom[star]);
    let reduced = median(&chosen.iter().map(reduced).collect::<Vec<f64>>());
    assert!((0.97..1.05).contains(&reduced), "χ²/n_dof {reduced}");
    let n_converged = estimates.flags.iter().filter(|bits| **bits & flags::NOT_CONVERGED == 0).count();
    assert!(n_converged as f64 >= 0.995 * stars.len() as f64, "{n_converged} converged");
}
