//! Fits of a model whose extinction curve varies (ξ): searches end, and their optima are the best, also where
//! the model does not explain the fluxes. And the training of one.
//!
//! The model of the fits is the shipped one of the simulation with the family of curves of Cardelli, Clayton
//! & Mathis (1989) in R_V, the stars are simulated with R_V scattered by 0.3.

use photosphere::infer::audit::{AuditOptions, audit};
use photosphere::infer::{Estimates, FitOptions, fit, flags, read_options};
use photosphere::model::{CURVE_VARIATION, ForwardModel, LN_CURVE, Registry};
use photosphere::observations::{Observations, ReadOptions};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::spectrum::extinction_law::ccm89_optical_depth;
use photosphere::table::{Column, Table, Values};
use photosphere::tensor::Device;
use photosphere::train::{Recipe, TrainedModel, train};
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

/// The recipe `xp` with a curve that varies finds what R_V does, from ξ = 0 and a slope in 1/λ: ξ of new
/// stars follows their R_V, and [Fe/H] does not. Without it, [Fe/H] follows R_V.
#[test]
fn a_training_finds_how_the_curve_varies() {
    let survey = SurveyConfig { n_stars: 5000, r_v_scatter: 0.3, ..Default::default() };
    let overlap = simulate(&survey).unwrap();
    let new = simulate(&SurveyConfig { n_stars: 2500, first_star: 8_000_000, binary_fraction: 0.0, seed: 5, ..survey }).unwrap();
    let truth = |name: &str| new.column(name).unwrap().to_f64().unwrap();
    let (xi, reddening, metallicity) = (truth("true_xi"), truth("true_extinction"), truth("true_feh"));
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let constant = std::fs::read_to_string(directory.join("models/recipes/xp.toml")).unwrap();
    let varying = constant.replacen("kind = \"extinction\"", "kind = \"extinction\"\nvariation = true\nshape_scatter = 0.3", 1);
    let metallicity_with_xi = [&varying, &constant].map(|text| {
        let recipe = Recipe::parse(text, "xp").unwrap();
        let read = ReadOptions { constraints: recipe.data.constraints.clone(), ..Default::default() };
        let stars = Observations::from_table(overlap.clone(), &read).unwrap();
        let trained = train(&recipe, &stars, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0;
        let options = FitOptions::default().likelihood_only();
        let observations = Observations::from_table(new.clone(), &read_options(&trained, &options)).unwrap();
        let fitted = fit(&trained, &observations, &options).unwrap();
        let column = |name: &str| fitted.parameters.iter().position(|(other, _, _)| other == name);
        let good: Vec<usize> = (0..2500).filter(|&i| reddening[i] > 0.3 && fitted.flags[i] < 8).collect();
        if let Some(at) = column("xi") {
            let dusty: Vec<usize> = good.iter().copied().filter(|&i| reddening[i] > 0.5).collect();
            let of = |stars: &[usize]| {
                let found: Vec<f64> = stars.iter().map(|&i| fitted.values[[i, at]]).collect();
                line(&stars.iter().map(|&i| xi[i]).collect::<Vec<_>>(), &found)
            };
            let ([_, all], [slope, r]) = (of(&good), of(&dusty));
            println!("{} stars, r {all:.3}; {} with E > 0.5, r {r:.3}, slope {:.2}", good.len(), dusty.len(), slope / 0.3);
            assert!(all > 0.87 && r > 0.9 && (0.7..1.1).contains(&(slope / 0.3)));
        }
        let at = column("feh").unwrap();
        let pulls: Vec<f64> = good
            .iter()
            .map(|&i| (fitted.values[[i, at]] - metallicity[i]) / fitted.covariance[[i, at, at]].sqrt())
            .map(|pull| pull.clamp(-5.0, 5.0))
            .collect();
        line(&good.iter().map(|&i| xi[i]).collect::<Vec<_>>(), &pulls)[0]
    });
    println!(
        "pull of [Fe/H] per unit of ξ: {:.2} with a curve that varies, {:.2} without",
        metallicity_with_xi[0], metallicity_with_xi[1]
    );
    assert!(metallicity_with_xi[0].abs() < 0.35 && metallicity_with_xi[1] < -0.8);
}

/// Where ξ is measured its scale is that of the measurements, not that of its prior. (Brought to the prior's
/// after every stage, and back to the measurements, s(λ) went to zero.)
#[test]
fn measured_values_of_the_variation_set_its_scale() {
    const SCALE: f64 = 0.15;
    let survey = SurveyConfig { n_stars: 2500, r_v_scatter: 0.3, ..Default::default() };
    let mut overlap = simulate(&survey).unwrap();
    let xi = overlap.column("true_xi").unwrap().clone();
    let measured = xi.to_f64().unwrap().into_iter().map(|xi| SCALE * xi).collect();
    for (name, values) in [("xi", measured), ("xi_error", vec![0.05; 2500])] {
        let mut column = Column { values: Values::Float64(values), ..xi.clone() };
        column.schema.name = name.into();
        overlap.push(column).unwrap();
    }
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(directory.join("models/recipes/xp.toml")).unwrap();
    let text = text.replacen("kind = \"extinction\"", "kind = \"extinction\"\nvariation = true\nshape_scatter = 0.3", 1);
    let mut recipe = Recipe::parse(&text, "xp").unwrap();
    recipe.data.constraints.push("xi".into());
    let read = ReadOptions { constraints: recipe.data.constraints.clone(), ..Default::default() };
    let stars = Observations::from_table(overlap, &read).unwrap();
    let trained = train(&recipe, &stars, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0;
    let new = simulate(&SurveyConfig { n_stars: 1500, first_star: 8_000_000, binary_fraction: 0.0, seed: 5, ..survey }).unwrap();
    let truth = |name: &str| new.column(name).unwrap().to_f64().unwrap();
    let (xi, reddening) = (truth("true_xi"), truth("true_extinction"));
    let options = FitOptions::default().likelihood_only();
    let fitted = fit(&trained, &Observations::from_table(new, &read_options(&trained, &options)).unwrap(), &options).unwrap();
    let at = fitted.parameters.iter().position(|(name, _, _)| name == "xi").unwrap();
    let dusty: Vec<usize> = (0..1500).filter(|&i| reddening[i] > 0.4 && fitted.flags[i] < 8).collect();
    let found: Vec<f64> = dusty.iter().map(|&i| fitted.values[[i, at]]).collect();
    let [slope, r] = line(&dusty.iter().map(|&i| SCALE * xi[i]).collect::<Vec<_>>(), &found);
    println!("{} stars with E > 0.4: slope {slope:.2} on the scale of the measurements, r {r:.3}", dusty.len());
    assert!((0.7..1.3).contains(&slope) && r > 0.7);
}

/// Slope of y over x, and the correlation.
fn line(x: &[f64], y: &[f64]) -> [f64; 2] {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sum = |of: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(x, y)| of(x - mx, y - my)).sum::<f64>();
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    [xy / xx, xy / (xx * yy).sqrt()]
}
