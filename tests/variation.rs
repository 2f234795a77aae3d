//! Fits of a model whose extinction curve varies (ξ): searches end, and their optima are the best, also where
//! the model does not explain the fluxes.
//!
//! The model is the shipped one of the simulation with the family of curves of Cardelli, Clayton & Mathis
//! (1989) in R_V, the stars are simulated with R_V scattered by 0.3.

use photosphere::infer::audit::{AuditOptions, audit};
use photosphere::infer::{Estimates, FitOptions, fit, flags, read_options};
use photosphere::model::{CURVE_VARIATION, ForwardModel, LN_CURVE, Registry};
use photosphere::observations::Observations;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::spectrum::extinction_law::ccm89_optical_depth;
use photosphere::table::{Column, Table, Values};
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use photosphere::validate::audit::AuditSummary;
use std::path::PathBuf;

const N_STARS: usize = 3000;
/// R_V at tanh ξ = 1, less 3.1.
const REACH: f64 = 0.6;

/// The shipped model of the simulation with a curve that varies.
fn model() -> TrainedModel {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let device = Device::cpu();
    let shipped = TrainedModel::load(&directory, &Registry::standard(), &device).unwrap();
    let effects = [
        "kind = 'emulator'\nlabels = ['teff', 'feh', 'logg']\nhidden = [32, 32, 32]",
        "kind = 'extinction'\nvariation = true\nfixed_bands = []",
        "kind = 'distance'",
    ];
    let effects = effects.map(|text| text.parse().unwrap());
    let mut model = ForwardModel::new(&Registry::standard(), &effects, shipped.model.grid.clone(), 1, &device).unwrap();
    for name in shipped.model.weights.names() {
        model.weights.set(name, &shipped.model.weights.values(name).unwrap(), &device).unwrap();
    }
    let ln_curve =
        |r_v: f64| -> Vec<f64> { ccm89_optical_depth(&model.grid.wavelength, r_v).unwrap().iter().map(|r| r.ln()).collect() };
    let variation: Vec<f64> = ln_curve(3.1 + REACH).iter().zip(ln_curve(3.1)).map(|(wide, mean)| wide - mean).collect();
    assert_eq!(variation.len(), shipped.model.weights.values(LN_CURVE).unwrap().len());
    model.weights.set(CURVE_VARIATION, &variation, &device).unwrap();
    for parameter in &mut model.space.parameters {
        if let Ok(known) = shipped.model.space.get(&parameter.name) {
            parameter.clone_from(known);
        }
    }
    model.flux_unit.clone_from(&shipped.model.flux_unit);
    TrainedModel { model, ..shipped }
}

/// Simulated stars whose errors are said to be smaller than they are by this factor.
fn stars(trained: &TrainedModel, options: &FitOptions, too_small: f64) -> Observations {
    let survey = SurveyConfig {
        n_stars: N_STARS,
        first_star: 7_000_000,
        labelled_fraction: 0.0,
        binary_fraction: 0.0,
        r_v_scatter: 0.3,
        ..Default::default()
    };
    let mut table = simulate(&survey).unwrap();
    shrink(&mut table, "flux_error", too_small);
    shrink(&mut table, "xp_covariance_triu", too_small * too_small);
    Observations::from_table(table, &read_options(trained, options)).unwrap()
}

fn shrink(table: &mut Table, name: &str, factor: f64) {
    let old = table.take(name).unwrap();
    let values: Vec<f64> = old.flat_f64().unwrap().into_iter().map(|value| value / factor).collect();
    table.push(Column { values: Values::Float64(values), valid: None, ..old }).unwrap();
}

/// Stars that are not at an optimum, by the fit's own word.
fn unconverged(estimates: &Estimates) -> Vec<usize> {
    (0..estimates.len()).filter(|&star| estimates.flags[star] & flags::NOT_CONVERGED != 0).collect()
}

#[test]
fn searches_end_also_where_the_model_does_not_explain_the_fluxes() {
    let trained = model();
    for (constraints, too_small) in
        [(vec!["parallax".to_owned()], 1.0), (vec!["parallax".to_owned()], 10_f64.sqrt()), (vec![], 10_f64.sqrt())]
    {
        let options = FitOptions { constraints, ..FitOptions::default() };
        let observations = stars(&trained, &options, too_small);
        let estimates = fit(&trained, &observations, &options).unwrap();
        let left = unconverged(&estimates);
        println!("errors too small by {too_small:.1}, {:?}: {} of {N_STARS} unconverged", options.constraints, left.len());
        for &star in &left {
            println!(
                "  {}: chi2 {:.1}, eigenvalue {:.2}, {} iterations",
                estimates.ids[star],
                estimates.chi_square[star],
                estimates.smallest_eigenvalue[star],
                estimates.n_iterations[star]
            );
        }
        // One of 3 000 is more than the goal of 0.02 %, and as few as a sample of this size can tell.
        assert!(left.len() <= 2, "{left:?}");
    }
}

#[test]
fn optima_with_a_varying_curve_are_the_best() {
    let (trained, options) = (model(), FitOptions::default());
    let some: Vec<usize> = (0..400).collect();
    let observations = stars(&trained, &options, 1.0).select(&some);
    let estimates = fit(&trained, &observations, &options).unwrap();
    let found = (estimates.values.view(), estimates.covariance.view());
    let audited = audit(&trained, &observations, found, &options, &AuditOptions { starts: 8, seed: 5 }).unwrap();
    let summary = AuditSummary::new(&audited, &estimates.flags);
    println!("{summary}");
    assert!(summary.all.gaps[0].n <= 1);
}
