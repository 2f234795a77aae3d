//! Direct networks on simulated surveys with known truth, and on the real overlap.

use super::comparison::Comparison;
use super::luminosity_tests::noisy;
use super::objective::{Objective, Scaling};
use super::rows::Copy;
use super::*;
use crate::error::{Error, Result};
use crate::learn::Teacher;
use crate::observations::{Observations, in_validation};
use crate::package::{Package, Request};
use crate::simulate::{SurveyConfig, simulate};
use crate::statistics::pull_statistics;
use crate::table::{Table, Values};
use crate::tensor::{Device, Precision, Tensor, to_f64};
use crate::testing::shared_data;
use rand::SeedableRng;
use std::sync::Arc;
use std::time::Duration;

pub(super) const LABELS: &str = "
kind = 'regression'
description = 'labels from XP spectra'
layer = [{ layer = 'linear', outputs = 24 }, { layer = 'tanh' }]
[inputs]
step = [{ step = 'asinh' }, { step = 'relative_to', entry = 'xp_622' }, { step = 'pca', components = 10 }, { step = 'standardise' }]
[target]
of = 'labels'
names = ['teff', 'feh', 'logg']
[training]
members = 2
batch = 128
plan = { epochs = 25, learning_rate = 0.01, schedule = { shape = 'cosine', end_fraction = 0.02 } }
[errors]
copies = 6
";

pub(super) const LUMINOSITY: &str = "
kind = 'regression'
description = 'absolute magnitudes from spectra and noisy parallaxes'
layer = [{ layer = 'linear', outputs = 32 }, { layer = 'relu' }, { layer = 'linear', outputs = 32 }, { layer = 'relu' }]
[inputs]
step = [{ step = 'subtract_mean' }, { step = 'signed_logarithm' }, { step = 'unit_norm' }, { step = 'standardise' }]
[target]
of = 'luminosity'
magnitude = 'g_dereddened'
[data]
held_out_fraction = 0.25
[training]
members = 3
batch = 256
plan = { epochs = 30, learning_rate = 0.004, schedule = { shape = 'cosine', end_fraction = 0.02 } }
[errors]
copies = 6
[baselines]
boosting = false
";

pub(super) fn recipe(text: &str) -> RegressionRecipe {
    RegressionRecipe::parse(text, "a test").unwrap()
}

pub(super) fn observed(table: Table, recipe: &RegressionRecipe) -> Observations {
    let width = crate::observations::Grid::of_table(&table).unwrap().len();
    Observations::from_table(table, &recipe.read_options(width)).unwrap()
}

pub(super) fn survey(n_stars: usize, first_star: u64) -> Table {
    simulate(&SurveyConfig { n_stars, first_star, binary_fraction: 0.0, ..Default::default() }).unwrap()
}

pub(super) fn trained(text: &str, observations: &Observations) -> (RegressionModel, Table) {
    train(&recipe(text), observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap()
}

pub(super) fn estimate(model: &RegressionModel, table: Table) -> (Table, Vec<i32>) {
    let estimator = Arc::new(model.clone()).estimator(&Request::default()).unwrap();
    let observations = Observations::from_table(table, &estimator.read_options()).unwrap();
    let found = estimator.estimate(&observations, &|_| Ok(())).unwrap();
    (found.table, found.flags)
}

pub(super) fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().to_f64().unwrap()
}

#[test]
fn labels_come_with_errors_that_hold_for_new_stars_and_beat_the_baselines() {
    let observations = observed(survey(6000, 0), &recipe(LABELS));
    let (model, stars) = trained(LABELS, &observations);
    print!("{}", model.log.comparison);
    let is_validation: Vec<bool> = observations.ids.iter().map(|&id| in_validation(id, 0.2)).collect();
    let Values::Bool(column) = &stars.column("is_validation").unwrap().values else { panic!("truth values") };
    assert!((0..6000).all(|star| !column[star] || is_validation[star]), "validation stars are those of every room");

    let new = survey(2000, 1_000_000);
    let (catalogue, flags) = estimate(&model, new.clone());
    for name in ["teff", "feh", "logg"] {
        let (found, error, truth) =
            (numbers(&catalogue, name), numbers(&catalogue, &format!("{name}_error")), numbers(&new, &format!("true_{name}")));
        let pulls: Vec<f64> = (0..2000).map(|star| (found[star] - truth[star]) / error[star]).collect();
        let pulls = pull_statistics(&pulls);
        println!("{name}: {} stars, pulls {:+.2}, {:.2}", pulls.n, pulls.median.value, pulls.scatter.value);
        assert!((0.8..1.2).contains(&pulls.scatter.value) && pulls.median.value.abs() < 0.15, "{name}");
        let of =
            |method: &str| model.log.comparison.rows.iter().find(|row| row.parameter == name && row.method.starts_with(method));
        let (network, linear) = (of("network").unwrap(), of("linear").unwrap());
        assert!(network.squared_error < linear.squared_error && of("k-NN").is_some() && of("gradient").is_some(), "{name}");
    }
    let inside = flags.iter().filter(|flags| *flags & flag::OUTSIDE_DOMAIN == 0).count();
    assert!(inside > 1980, "{inside} of 2000 new stars are like the training stars");
}

#[test]
fn what_is_saved_is_what_was_trained_and_stars_do_not_depend_on_their_company() {
    let mut observations = observed(survey(600, 0), &recipe(LABELS));
    // A star without its labels teaches nothing, one that lacks one teaches the others.
    let text = LABELS.replace("epochs = 25", "epochs = 3");
    let lost = observations.constraints.remove("feh").unwrap();
    let (value, error): (Vec<f64>, Vec<f64>) =
        (0..600).map(|star| if star % 3 == 0 { (f64::NAN, f64::NAN) } else { lost.get(star).unwrap() }).unzip();
    let observations = observations.with_constraint("feh", value, error).unwrap();
    let (model, _) = trained(&text, &observations);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    model.save(&path, false).unwrap();
    let read = RegressionModel::read(&path).unwrap();
    assert_eq!((&read.sha256, &read.log), (&model.sha256, &model.log));
    assert!(read.describe().0.contains("k-NN"));

    let new = survey(50, 5000);
    let (whole, _) = estimate(&model, new.clone());
    let (again, _) = estimate(&read, new.clone());
    let (part, _) = estimate(&read, new.select(&[17, 3]));
    for name in ["teff", "logg_error", "domain_distance"] {
        let (whole, part) = (numbers(&whole, name), numbers(&part, name));
        assert_eq!(whole, numbers(&again, name));
        assert_eq!([whole[17], whole[3]], [part[0], part[1]], "{name}, bit for bit");
    }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_model() {
    let text =
        LABELS.replace("epochs = 25", "epochs = 4").replace("tanh' }", "tanh' }, { layer = 'dropout', probability = 0.1 }");
    let observations = observed(survey(400, 0), &recipe(&text));
    let (whole, _) = trained(&text, &observations);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.checkpoint");
    let run = |resume: bool, stop: usize| -> Result<(RegressionModel, Table)> {
        let mut epochs = 0;
        let taking = crate::learn::CheckpointFile { path: &path, interval: Duration::ZERO, resume };
        train(&recipe(&text), &observations, &Device::cpu(), Some(taking), &mut |_, _| {
            epochs += 1;
            if epochs == stop { Err(Error::numerical("a test").found("a stop")) } else { Ok(()) }
        })
    };
    assert!(run(false, 6).is_err());
    assert_eq!(run(true, usize::MAX).unwrap().0.sha256, whole.sha256);
}

#[test]
fn the_losses_slopes_are_central_differences() {
    let device = Device::cpu().with_precision(Precision::Double);
    let labelled = survey(60, 0);
    for target in [
        "of = 'labels'\nnames = ['teff', 'logg']\nloss = 'gaussian'",
        "of = 'labels'\nnames = ['teff', 'logg']\nloss = 'squared_error'",
        "of = 'luminosity'\nmagnitude = 'g_dereddened'\nmodel_floor = 0.0",
        "of = 'luminosity'\nmagnitude = 'g_dereddened'\nmodel_floor = 0.0\noutput = 'linear'",
        "of = 'mixture_of_magnitudes'\nmagnitude = 'g_dereddened'",
    ] {
        let text = LUMINOSITY.replace("of = 'luminosity'\nmagnitude = 'g_dereddened'", target);
        let recipe = recipe(&text);
        let observations = match recipe.target {
            Target::Labels { .. } => observed(labelled.clone(), &recipe),
            _ => noisy(60, 0).0,
        };
        let everyone: Vec<usize> = (0..60).collect();
        let scaling = Scaling::of(&recipe.target, &observations, &everyone).unwrap();
        let objective = Objective::new(&recipe.target, &scaling, &observations).unwrap();
        let width = recipe.target.n_outputs();
        let outputs: Vec<f64> = (0..60 * width).map(|i| 0.4 * (i as f64 * 0.7).sin() + 0.3).collect();
        let at = |values: &[f64], device: &Device| -> Tensor<2> { device.tensor(values, [60, width]) };
        let taped = device.taped();
        let x = at(&outputs, &taped).require_grad();
        let gradients = objective.loss(x.clone(), &everyone, &taped).gradient.backward();
        let found = to_f64(x.grad(&gradients).unwrap());
        let mut worst = 0.0_f64;
        for i in (0..outputs.len()).step_by(7) {
            let value = |step: f64| {
                let mut moved = outputs.clone();
                moved[i] += step;
                to_f64(objective.loss(at(&moved, &device), &everyone, &device).gradient)[0]
            };
            let difference = (value(1e-5) - value(-1e-5)) / 2e-5;
            worst = worst.max((difference - found[i]).abs() / (difference.abs() + found[i].abs() + 1.0));
        }
        println!("{}: {worst:.1e}", target.lines().next().unwrap());
        assert!(worst < 1e-5, "{target}: {worst}");
    }
}

#[test]
fn components_are_those_of_the_exact_decomposition() {
    use ndarray::{Array2, ArrayView2};
    use rand::Rng;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let (n, width, k) = (500_usize, 90_usize, 4_usize);
    let scales: Vec<f64> = (0..width).map(|j| 10.0 * 0.7f64.powi(j as i32)).collect();
    let rows = Array2::from_shape_fn((n, width), |(_, j)| (3.0 + scales[j] * (random.r#gen::<f64>() - 0.5)) as f32);
    let walk = |block: usize| {
        let rows = rows.view();
        move |each: &mut dyn FnMut(ArrayView2<'_, f32>)| pca::walk_in_blocks(rows, block, each)
    };
    let found = |method, block| Pca::of_blocks(width, k, method, 1, &mut walk(block)).unwrap();
    let (exact, random) = (found(PcaMethod::Covariance, 500), found(PcaMethod::Randomised, 500));
    // nalgebra's singular values of the centred rows as a third opinion.
    let centred = nalgebra::DMatrix::from_fn(n, width, |i, j| f64::from(rows[[i, j]]) - exact.centre[j]);
    let singular = centred.singular_values();
    for component in 0..k {
        let variance = singular[component].powi(2) / (n - 1) as f64;
        for pca in [&exact, &random] {
            assert!((pca.variances[component] / variance - 1.0).abs() < 1e-4, "{component}");
        }
        let product: f64 = (0..width).map(|j| exact.components[[component, j]] * random.components[[component, j]]).sum();
        assert!((product - 1.0).abs() < 1e-4, "{component}: {product}");
    }
    let blocks = found(PcaMethod::Randomised, 64);
    assert!((0..k).all(|c| (blocks.variances[c] / random.variances[c] - 1.0).abs() < 1e-5), "blocks change nothing");
    assert!(Pca::of_blocks(width, 91, PcaMethod::Automatic, 1, &mut walk(64)).is_err());
}

#[test]
fn copies_have_the_noise_of_the_covariance() {
    let recipe = recipe(LABELS);
    let observations = observed(survey(1, 3), &recipe);
    let inputs = Inputs::fit(&InputsRecipe { steps: vec![], ..recipe.inputs }, &observations, &[0], 1).unwrap();
    let base = inputs.rows(&observations, &[0], None).unwrap().values;
    let chi: Vec<f64> = (0..400)
        .map(|copy| {
            let noisy = inputs.rows(&observations, &[0], Some(Copy { seed: 5, copy })).unwrap().values;
            let difference: Vec<f64> = noisy.iter().zip(&base).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
            observations.whitening.chi_square(0, &difference)
        })
        .collect();
    let (mean, w) = (chi.iter().sum::<f64>() / 400.0, observations.n_fluxes(0) as f64);
    // χ² of w fluxes: w ± √(2w), of a mean of 400 a twentieth
    assert!((mean - w).abs() < 4.0 * (2.0 * w).sqrt() / 20.0, "{mean} of {w}");
}

/// ϖ/√flux of copies has the noise of both: of a flux with 10 % and a parallax with none, half of 10 %.
#[test]
fn copies_of_the_luminosity_have_noise_of_parallax_and_flux() {
    let mut observations = noisy(1, 5).0;
    observations.flux[[0, 0]] = 1.0;
    let error = 0.1;
    let (parallax, _) = observations.constraint("parallax", 0).unwrap();
    let mut flux_error = observations.flux_error.clone();
    flux_error[[0, 0]] = error;
    let (grid, ids, flux) = (observations.grid.clone(), observations.ids.clone(), observations.flux.clone());
    let observations = Observations::new(grid, ids, flux, flux_error).unwrap();
    let observations = observations.with_constraint("parallax", vec![parallax], vec![1e-9 * parallax]).unwrap();
    let recipe = InputsRecipe {
        steps: vec![],
        luminosity: Some(inputs::LuminosityInput { parallax: "parallax".into(), entry: "pixel_0".into() }),
        ..InputsRecipe::default()
    };
    let inputs = Inputs::fit(&recipe, &observations, &[0], 1).unwrap();
    let [scale, mean, deviation] = inputs.further[0];
    let ln: Vec<f64> = (0..1000)
        .map(|copy| {
            let row = inputs.rows(&observations, &[0], Some(Copy { seed: 5, copy })).unwrap().values;
            (scale * (f64::from(row[[0, row.ncols() - 1]]) * deviation + mean).sinh()).ln()
        })
        .collect();
    let average = ln.iter().sum::<f64>() / 1000.0;
    let scatter = (ln.iter().map(|ln| (ln - average).powi(2)).sum::<f64>() / 1000.0).sqrt();
    assert!((scatter - 0.5 * f64::from(error)).abs() < 0.006, "{scatter}");
}

#[test]
fn recipes_print_and_read_back_and_name_what_is_wrong() {
    let recipe = recipe(LABELS);
    assert_eq!(RegressionRecipe::parse(&recipe.to_toml().unwrap(), "printed").unwrap(), recipe);
    let kind = |text: &str| crate::package::kind_of(text);
    assert!(kind(LABELS).as_deref() == Some(super::recipe::KIND) && kind("description = 'x'").is_none());
    for (from, to, name) in [
        ("members = 2", "members = 0", "members"),
        ("batch = 128", "batch = 0", "batch"),
        ("epochs = 25", "epochs = 0", "epochs"),
        ("['teff', 'feh', 'logg']", "[]", "names"),
        ("copies = 6", "copy = 6", "copy"),
        ("copies = 6", "copies = 1", "copies"),
        ("batch = 128", "optimiser = { method = 'adam', beta_1 = 1.5 }", "training.optimiser.beta_1"),
    ] {
        let error = RegressionRecipe::parse(&LABELS.replace(from, to), "r.toml").unwrap_err();
        assert!(error.to_string().contains(name) && error.to_string().starts_with("r.toml") && error.exit_code() == 2, "{error}");
    }
    let no_errors = LABELS.replace("['teff', 'feh', 'logg']", "['teff']\nloss = 'squared_error'");
    let no_errors = no_errors.replace("members = 2", "members = 1").replace("copies = 6", "copies = 0");
    let error = RegressionRecipe::parse(&no_errors, "r.toml").unwrap_err().to_string();
    assert!(error.contains("one network and a loss that predicts no errors"), "{error}");
    let observations = observed(survey(60, 0), &recipe);
    let absent = RegressionRecipe::parse(&LABELS.replace("'logg'", "'vsini'"), "r").unwrap();
    let error = train(&absent, &observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("vsini"), "{error}");
}

/// Errors of networks are wrong by any factor before they are calibrated.
#[test]
fn errors_that_cannot_be_calibrated_are_refused_and_few_stars_calibrate_them_roughly() {
    let train = |text: &str, table: Table| {
        let recipe = recipe(text);
        train(&recipe, &observed(table, &recipe), &Device::cpu(), None, &mut |_, _| Ok(()))
    };
    let few = LABELS.replace("epochs = 25", "epochs = 3");
    let fewer = few.replace("[target]", "[data]\nheld_out_fraction = 0.02\n[target]");
    let error = train(&fewer, survey(60, 0)).unwrap_err().to_string();
    assert!(error.contains("held-out stars with 'teff'") && error.contains("held_out_fraction"), "{error}");
    let (model, _) = train(&few, survey(300, 0)).unwrap();
    assert!((10..50).contains(&model.calibration[0].n_stars) && model.calibration[0].factors.len() == 1);
    let new = survey(1000, 1_000_000);
    let (catalogue, _) = estimate(&model, new.clone());
    let (found, error, truth) = (numbers(&catalogue, "teff"), numbers(&catalogue, "teff_error"), numbers(&new, "true_teff"));
    let pulls: Vec<f64> = (0..1000).map(|star| (found[star] - truth[star]) / error[star]).collect();
    let scatter = pull_statistics(&pulls).scatter.value;
    // Of some twenty stars the scatter is known to a quarter.
    assert!((0.5..2.0).contains(&scatter), "{scatter}");
}

#[test]
fn magnitudes_are_magnitudes() {
    let recipe = recipe(&LUMINOSITY.replace("'g_dereddened'", "'teff'"));
    let error =
        train(&recipe, &observed(survey(60, 0), &recipe), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("target.magnitude") && error.contains("'teff'") && error.contains("unit 'K'"), "{error}");
    let recipe = super::tests::recipe(&LUMINOSITY.replace("[data]", "parallax = 'nope'\n[data]"));
    let error =
        train(&recipe, &observed(survey(60, 0), &recipe), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("'nope' and 'nope_error'"), "{error}");
}

/// Shen et al. (2025), sec. 3, and Li et al. (2025): three layers of 100 for 100 coefficients.
#[test]
fn published_recipes_have_the_published_networks() {
    let count = |text: &str, inputs: usize| recipe(text).network(inputs).unwrap().n_parameters().unwrap();
    assert_eq!(count(include_str!("../../models/regression/solardis.toml"), 4875), 23_849_605);
    assert_eq!(count(include_str!("../../models/regression/specdis.toml"), 100), 3 * 10_100 + 101);
    assert_eq!(count(include_str!("../../models/regression/ob-stars.toml"), 3000), 300_100 + 10_100 + 101);
}

/// The 13 bands of the LAMOST overlap: the stars, cuts and split of scripts/real_overlap.py.
fn overlap() -> Option<Table> {
    let file = shared_data()?.join("overlap_photometry/lamost_overlap_8964.fits");
    let text = include_str!("../../models/recipes/prepare-photometry-lamost.toml");
    let text = text.replace("lamost_overlap_8964.fits", file.to_str().unwrap());
    let mut whole: Option<Table> = None;
    let source = crate::survey::prepare::source_of(crate::survey::prepare::PrepareRecipe::parse(&text).unwrap()).unwrap();
    crate::survey::read_all(source.as_ref(), |chunk| match &mut whole {
        None => {
            whole = Some(chunk);
            Ok(())
        }
        Some(table) => table.append(chunk),
    })
    .unwrap();
    whole
}

/// `cargo test --release --lib regress -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of minutes"]
fn the_real_overlap() {
    let Some(table) = overlap() else { return };
    let text = include_str!("../../models/regression/photometry-lamost.toml");
    let mut tables: Vec<Comparison> = Vec::new();
    for seed in 1..=5 {
        let recipe = RegressionRecipe { seed, ..recipe(text) };
        let observations = observed(table.clone(), &recipe);
        let start = std::time::Instant::now();
        let (model, _) = train(&recipe, &observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
        println!("seed {seed}, {:.0} s\n{}", start.elapsed().as_secs_f64(), model.log.comparison);
        tables.push(model.log.comparison);
    }
    for (at, row) in tables[0].rows.iter().enumerate() {
        let of = |pick: fn(&Row) -> f64| -> (f64, f64) {
            let values: Vec<f64> = tables.iter().map(|table| pick(&table.rows[at])).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
            (mean, variance.sqrt())
        };
        let (bias, scatter, pulls) = (of(|row| row.bias), of(|row| row.scatter), of(|row| row.pulls.unwrap_or(f64::NAN)));
        println!(
            "{} {}: {} stars, bias {:+.4}, scatter {:.4} ± {:.4}, pulls {:.2}",
            row.parameter, row.method, row.n_stars, bias.0, scatter.0, scatter.1, pulls.0
        );
    }
}
