//! Fits of new simulated stars with the emulator that was trained on 20 000 noisy ones
//! (`models/xp-simulated`): spec 1 §7, last row.

use arrow_array::RecordBatch;
use nalgebra::{DMatrix, DVector};
use ndarray::Array2;
use photosphere::error::Error;
use photosphere::infer::{FitOptions, Fitter, fit, flags, read_options};
use photosphere::model::{Registry, Transform};
use photosphere::observations::Observations;
use photosphere::optimise::{Bounds, Method, Minimiser, OwnMethod, Problems, Solution, Status};
use photosphere::package::{Estimator, FitStage, Reached};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::statistics::{median, pull_statistics};
use photosphere::table::Table;
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

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
    let reduced = |&star: &usize| estimates.chi_square[star] / estimates.degrees_of_freedom[star];
    let reduced = median(&chosen.iter().map(reduced).collect::<Vec<f64>>());
    assert!((0.97..1.05).contains(&reduced), "χ²/n_dof {reduced}");
    let n_converged = estimates.flags.iter().filter(|bits| **bits & flags::NOT_CONVERGED == 0).count();
    assert!(n_converged as f64 >= 0.995 * stars.len() as f64, "{n_converged} converged");
}

/// The description in docs/src/file-formats.md is one that loads, with the shapes, the order and the prior
/// that the page says.
#[test]
fn the_documented_description_is_a_model() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/file-formats.md")).unwrap();
    let (_, section) = page.split_once("### A description in full").unwrap();
    let (_, text) = section.split_once("```toml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.toml"), text).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> = text.parse::<toml::Table>().unwrap()["tensors"].clone().try_into().unwrap();
    let bytes: BTreeMap<&str, Vec<u8>> = shapes
        .iter()
        .map(|(name, shape)| {
            let values = (0..shape.iter().product()).map(|i: usize| (0.1 * (i as f32).sin()).to_le_bytes());
            (name.as_str(), values.flatten().collect())
        })
        .collect();
    let views = shapes.iter().map(|(name, shape)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), &bytes[name.as_str()]);
        (name.clone(), view.unwrap())
    });
    std::fs::write(folder.path().join("weights.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    std::fs::write(
        folder.path().join("prior.toml"),
        "format = 1\nparameters = [\"teff\", \"feh\", \"logg\"]\n[[components]]\nweight = 1.0\nmean = [5.0, -0.1, 4.3]\n\
         covariance = [[0.5, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.5]]\n",
    )
    .unwrap();
    let model = TrainedModel::load(folder.path(), &Registry::standard(), &Device::cpu()).unwrap().model;
    let names: Vec<&str> = model.space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["teff", "feh", "logg", "extinction", "xi", "parallax"]);
    // At the centres, a distance of 1 kpc and E = 1: ln flux moves with ξ as the page says.
    let flux = |xi: f64| {
        let point = ndarray::array![[0.0, 0.0, 0.0, 0.0, xi, 0.0]];
        model.predict(point.view()).unwrap()
    };
    let weight = |index: usize| f64::from(0.1 * (index as f32).sin());
    let (curve, varied): (Vec<f64>, Vec<f64>) =
        (0..4).map(|w| (weight(w).exp(), (weight(w) + 1.0_f64.tanh() * weight(w)).exp())).unzip();
    for w in 0..4 {
        let change = (flux(1.0)[[0, w]] / flux(0.0)[[0, w]]).ln();
        assert!((change - (curve[w] - varied[w])).abs() < 1e-5, "{w}: {change}");
    }
}

/// Coordinates and values of a fit are those of the model as the fit moves it, whose E is moved as itself or
/// as ln E.
#[test]
fn the_flux_at_an_estimate_has_the_chi_square_of_the_fit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let trained = TrainedModel::load(&folder, &Registry::standard(), &Device::cpu()).unwrap();
    let survey = SurveyConfig { n_stars: 60, first_star: 4_000_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    let negative = FitOptions { transforms: [("extinction".to_owned(), Transform::Identity)].into(), ..FitOptions::default() };
    for options in [FitOptions::default(), FitOptions { jacobians: true, ..FitOptions::default() }, negative] {
        let stars = Observations::from_table(simulate(&survey).unwrap(), &read_options(&trained, &options)).unwrap();
        let fitter = Fitter::new(trained.clone(), &options).unwrap();
        let estimates = fitter.fit(&stars).unwrap();
        let of_values = fitter.flux(estimates.values.view()).unwrap().unwrap();
        let of_coordinates = fitter.model().predict(estimates.coordinates.view()).unwrap();
        for flux in [of_values, of_coordinates] {
            for star in (0..stars.len()).filter(|&star| estimates.flags[star] & flags::NOT_FITTED == 0) {
                let residual: Vec<f64> =
                    flux.row(star).iter().zip(stars.flux.row(star)).map(|(fit, data)| fit - f64::from(*data)).collect();
                let chi_square = stars.whitening.chi_square(star, &residual);
                let expected = estimates.chi_square[star];
                assert!((chi_square - expected).abs() < 1e-2 * expected.max(10.0), "{star}: {chi_square}, {expected}");
            }
        }
    }
}

/// What a Python module needs: Arrow in, Arrow out, a fitter of its own in another thread, and a way to stop
/// it.
#[test]
fn a_fit_from_arrow_to_arrow_can_be_stopped() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let trained = TrainedModel::load(&folder, &Registry::standard(), &Device::cpu()).unwrap();
    let fitter = Fitter::new(trained, &FitOptions::default()).unwrap();
    let survey = SurveyConfig { n_stars: 40, first_star: 5_000_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    let batch = simulate(&survey).unwrap().to_record_batch().unwrap();
    let schema = batch.schema();
    std::thread::spawn(move || {
        let fit = |batches: &[RecordBatch], reached: Reached<'_>| {
            let table = Table::from_record_batches(&schema, batches.iter().cloned())?;
            let options = read_options(fitter.trained(), fitter.options());
            let estimates = fitter.fit_in_stages(&Observations::from_table(table, &options)?, reached)?;
            estimates.to_table(fitter.trained().id())?.to_record_batch()
        };
        let all = fit(std::slice::from_ref(&batch), &|_| Ok(())).unwrap();
        let none = fit(&[], &|_| Ok(())).unwrap();
        assert_eq!((all.num_rows(), none.num_rows()), (40, 0));
        assert_eq!(all.schema().fields(), none.schema().fields(), "no star has the same columns");
        let teff = all.schema().field_with_name("teff").unwrap().clone();
        assert_eq!(teff.metadata().get("unit").map(|unit| unit.to_string()).as_deref(), Some("K"));
        let stop = |stage| match stage {
            FitStage::Optimum { .. } => Err(Error::usage("the user").found("enough")),
            _ => Ok(()),
        };
        assert!(fit(&[batch], &stop).unwrap_err().to_string().contains("the user: found enough"));
    })
    .join()
    .unwrap();
}

/// Gauss–Newton steps, halved until the loss falls: a method from outside, which uses nothing but normal
/// equations and losses.
#[derive(Debug)]
struct HalvedSteps;

impl Minimiser for HalvedSteps {
    fn minimise(&self, problem: &dyn Problems, mut at: Array2<f64>, bounds: Option<&Bounds>) -> Result<Solution, Error> {
        let (n, p) = at.dim();
        let all: Vec<usize> = (0..n).collect();
        let inside = |k: usize, x: f64| bounds.map_or(x, |bounds| x.clamp(bounds.lower[k], bounds.upper[k]));
        let mut steps = vec![0_u32; n];
        for _ in 0..60 {
            let normal = problem.normal_equations(&all, at.view())?;
            for (star, n_steps) in steps.iter_mut().enumerate() {
                let (slope, here) = (normal.gradient.row(star), at.row(star).to_owned());
                let is_free = |k: usize| here[k] != inside(k, here[k] - 1e-9 * slope[k].signum()) || slope[k] == 0.0;
                let curvature = DMatrix::from_fn(p, p, |i, j| match (is_free(i) && is_free(j), i == j) {
                    (true, _) => normal.curvature[[star, i, j]] * if i == j { 1.0 + 1e-6 } else { 1.0 },
                    (false, is_diagonal) => f64::from(u8::from(is_diagonal)),
                });
                let gradient = DVector::from_fn(p, |k, _| if is_free(k) { slope[k] } else { 0.0 });
                let Some(factor) = curvature.cholesky() else { continue };
                let step = factor.solve(&gradient);
                let length = step.amax().max(0.5) / 0.5;
                for halving in 0..12 {
                    let share = 0.5_f64.powi(halving) / length;
                    let trial = Array2::from_shape_fn((1, p), |(_, k)| inside(k, here[k] - share * step[k]));
                    if problem.loss(&[star], trial.view())?[0] < normal.loss[star] {
                        at.row_mut(star).assign(&trial.row(0));
                        *n_steps += 1;
                        break;
                    }
                }
            }
        }
        let normal = problem.normal_equations(&all, at.view())?;
        Ok(Solution {
            coordinates: at,
            gradient: normal.gradient,
            curvature: normal.curvature,
            loss: normal.loss,
            status: vec![Status::Converged; n],
            n_iterations: steps,
        })
    }
}

#[test]
fn a_method_of_the_program_fits_stars() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let trained = TrainedModel::load(&folder, &Registry::standard(), &Device::cpu()).unwrap();
    let survey = SurveyConfig { n_stars: 60, first_star: 6_000_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    let own = FitOptions { optimiser: Method::Own(OwnMethod(Arc::new(HalvedSteps))), ..FitOptions::default() };
    let [ours, theirs] = [FitOptions::default(), own].map(|options| {
        let stars = Observations::from_table(simulate(&survey).unwrap(), &read_options(&trained, &options)).unwrap();
        fit(&trained, &stars, &options).unwrap()
    });
    let difference = |star: usize| 2.0 * (ours.ln_posterior[star] - theirs.ln_posterior[star]);
    let fitted: Vec<usize> = (0..60).filter(|&star| ours.flags[star] & flags::NOT_FITTED == 0).collect();
    let n_same = fitted.iter().filter(|&&star| difference(star).abs() < 0.01).count();
    println!("{n_same} of {} at the same optimum", fitted.len());
    assert!(fitted.len() > 50 && n_same * 10 >= fitted.len() * 9, "{n_same}");
}
