//! Direct networks on simulated surveys with known truth, and on the real overlap.

use super::comparison::Comparison;
use super::inputs::Copy;
use super::objective::{Objective, Scaling, parallaxes};
use super::*;
use crate::error::{Error, Result};
use crate::observations::{Observations, in_validation};
use crate::package::{Package, Request};
use crate::simulate::{SurveyConfig, simulate};
use crate::statistics::{median, pull_statistics, scatter_about_zero};
use crate::table::{Column, ColumnSchema, Table};
use crate::tensor::{Device, Precision, Tensor, to_f64};
use crate::testing::shared_data;
use std::sync::Arc;
use std::time::Duration;

const LABELS: &str = "
kind = 'regression'
description = 'labels from XP spectra'
layer = [{ layer = 'linear', outputs = 24 }, { layer = 'tanh' }]
[inputs]
step = [{ step = 'asinh' }, { step = 'pca', components = 8 }, { step = 'standardise' }]
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

const LUMINOSITY: &str = "
kind = 'regression'
description = 'absolute magnitudes from XP spectra and noisy parallaxes'
layer = [{ layer = 'linear', outputs = 32 }, { layer = 'relu' }, { layer = 'linear', outputs = 32 }, { layer = 'relu' }]
[inputs]
step = [{ step = 'asinh' }, { step = 'relative_to', entry = 'xp_622' }, { step = 'standardise' }]
[target]
of = 'luminosity'
magnitude = 'g_dereddened'
[training]
members = 3
batch = 256
plan = { epochs = 30, learning_rate = 0.004, schedule = { shape = 'cosine', end_fraction = 0.02 } }
[errors]
copies = 6
";

fn recipe(text: &str) -> RegressionRecipe {
    RegressionRecipe::parse(text, "a test").unwrap()
}

fn observed(table: Table, recipe: &RegressionRecipe) -> Observations {
    let width = crate::observations::Grid::of_table(&table).unwrap().len();
    Observations::from_table(table, &recipe.read_options(width)).unwrap()
}

fn survey(n_stars: usize, first_star: u64) -> Table {
    simulate(&SurveyConfig { n_stars, first_star, binary_fraction: 0.0, ..Default::default() }).unwrap()
}

fn trained(text: &str, observations: &Observations) -> (RegressionModel, Table) {
    train(&recipe(text), observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap()
}

fn estimate(model: &RegressionModel, table: Table) -> (Table, Vec<i32>) {
    let estimator = Arc::new(model.clone()).estimator(&Request::default()).unwrap();
    let observations = Observations::from_table(table, &estimator.read_options()).unwrap();
    let found = estimator.estimate(&observations, &|_| Ok(())).unwrap();
    (found.table, found.flags)
}

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().to_f64().unwrap()
}

#[test]
fn labels_come_with_errors_that_hold_for_new_stars_and_beat_the_baselines() {
    let observations = observed(survey(6000, 0), &recipe(LABELS));
    let (model, stars) = trained(LABELS, &observations);
    print!("{}", model.log.comparison);
    let is_validation: Vec<bool> = observations.ids.iter().map(|&id| in_validation(id, 0.2)).collect();
    let column = numbers(&stars, "is_validation");
    assert!((0..6000).all(|star| column[star] == 0.0 || is_validation[star]), "validation stars are those of every room");

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
    // What does not belong together is refused with its place.
    let weights = path.join("weights.safetensors");
    let description = std::fs::read_to_string(path.join("model.toml")).unwrap();
    for (from, to, place) in [
        ("members = 2", "members = 3", "member_2"),
        ("format = 1", "format = 9", "format"),
        ("outputs = 24", "outputs = 25", "tensor"),
    ] {
        std::fs::write(path.join("model.toml"), description.replace(from, to)).unwrap();
        let error = RegressionModel::read(&path).unwrap_err();
        assert!(error.to_string().contains(place), "{error}");
    }
    std::fs::write(path.join("model.toml"), description).unwrap();
    std::fs::write(weights, b"nothing").unwrap();
    assert!(RegressionModel::read(&path).is_err());
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
        let taking = super::train::Taking { path: &path, interval: Duration::ZERO, resume };
        train(&recipe(&text), &observations, &Device::cpu(), Some(taking), &mut |_, _| {
            epochs += 1;
            if epochs == stop { Err(Error::numerical("a test").found("a stop")) } else { Ok(()) }
        })
    };
    assert!(run(false, 6).is_err());
    assert_eq!(run(true, usize::MAX).unwrap().0.sha256, whole.sha256);
}

/// A survey like that of Li et al. (2025): faint stars of whose parallaxes one in seven is negative.
fn noisy(n_stars: usize, first_star: u64) -> Table {
    let config = SurveyConfig {
        n_stars,
        first_star,
        binary_fraction: 0.0,
        g_limits: [15.5, 19.0],
        brightness_preference: 0.05,
        infrared_missing: 0.0,
        ..Default::default()
    };
    let mut table = simulate(&config).unwrap();
    let magnitudes = numbers(&table, "phot_g_mean_mag").into_iter().zip(numbers(&table, "true_extinction"));
    let dereddened = magnitudes.map(|(g, reddening)| g - 2.5 * reddening).collect();
    table.push(Column::nullable(ColumnSchema::new("g_dereddened", "mag", ""), dereddened)).unwrap();
    table
}

/// Median of predicted less true magnitude, and the number, of stars within magnitudes and distances (kpc).
fn bias(found: &[f64], table: &Table, magnitudes: [f64; 2], distances: [f64; 2]) -> (f64, usize) {
    let (g, parallax) = (numbers(table, "g_dereddened"), numbers(table, "true_parallax"));
    let truth = |star: usize| g[star] - 10.0 + 5.0 * parallax[star].log10();
    let inside = |range: [f64; 2], value: f64| (range[0]..range[1]).contains(&value);
    let stars = (0..found.len()).filter(|&star| inside(magnitudes, truth(star)) && inside(distances, 1.0 / parallax[star]));
    let differences: Vec<f64> = stars.map(|star| found[star] - truth(star)).filter(|difference| difference.is_finite()).collect();
    (median(&differences), differences.len())
}

fn luminosities(n: usize, text: &str) {
    let recipe = recipe(text);
    let observations = observed(noisy(n, 0), &recipe);
    let all = parallaxes(&observations, &recipe.target).unwrap();
    let negative = all.iter().filter(|star| star[0] < 0.0).count() as f64 / n as f64;
    let start = std::time::Instant::now();
    let (model, _) = trained(text, &observations);
    println!(
        "{:.1} % negative parallaxes; trained in {:.1} s\n{}",
        100.0 * negative,
        start.elapsed().as_secs_f64(),
        model.log.comparison
    );
    assert!((0.08..0.25).contains(&negative), "{negative}");
    let new = noisy(n / 3, 10_000_000);
    let (catalogue, _) = estimate(&model, new.clone());
    let (found, error) = (numbers(&catalogue, "absolute_magnitude"), numbers(&catalogue, "absolute_magnitude_error"));
    for (name, magnitudes, distances) in [
        ("dwarfs within 2 kpc", [4.0, 9.0], [0.0, 2.0]),
        ("dwarfs beyond 2 kpc", [4.0, 9.0], [2.0, 10.0]),
        ("giants of 5–10 kpc", [-3.0, 2.0], [5.0, 10.0]),
        ("giants of 10–30 kpc", [-3.0, 2.0], [10.0, 30.0]),
    ] {
        let (difference, n) = bias(&found, &new, magnitudes, distances);
        println!("{name}: {n} stars, median ΔM {difference:+.3}");
        let limit = if name.contains("dwarfs") { 0.1 } else { 0.3 };
        assert!(n < 100 || difference.abs() < limit, "{name}: {difference}");
    }
    // In bins of the predicted distance the parallaxes agree: no bias that the truth is needed to see.
    let (g, parallax, sigma) = (numbers(&new, "g_dereddened"), numbers(&new, "parallax"), numbers(&new, "parallax_error"));
    let predicted: Vec<f64> = (0..found.len()).map(|star| 10f64.powf((found[star] - g[star] + 10.0) / 5.0)).collect();
    for [low, high] in [[0.0, 1.0], [1.0, 2.0], [2.0, 4.0], [4.0, 8.0], [8.0, 30.0]] {
        let stars = (0..found.len()).filter(|&star| (low..high).contains(&(1.0 / predicted[star])));
        let (mut sum, mut weight) = (0.0, 0.0);
        for star in stars {
            // What the model's own error adds to the parallax.
            let own = 0.46 * error[star] * predicted[star];
            let variance = sigma[star].powi(2) + own * own;
            sum += (parallax[star] - predicted[star]) / variance;
            weight += 1.0 / variance;
        }
        println!("predicted {low}–{high} kpc: z = {:+.2}", sum / f64::sqrt(weight));
    }
    let truth = |star: usize| g[star] - 10.0 + 5.0 * numbers(&new, "true_parallax")[star].log10();
    let some = (0..found.len()).step_by(7).filter(|&star| found[star].is_finite());
    let pulls: Vec<f64> = some.map(|star| (found[star] - truth(star)) / error[star]).collect();
    println!("pulls of M less the truth: {:.2}", scatter_about_zero(&pulls));
    assert!((0.75..1.3).contains(&scatter_about_zero(&pulls)));
}

#[test]
fn noisy_parallaxes_teach_luminosities_without_bias() {
    luminosities(6000, LUMINOSITY);
}

/// `cargo test --release --lib regress -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of minutes"]
fn luminosities_of_a_hundred_thousand_stars() {
    let text = LUMINOSITY.replace("outputs = 32", "outputs = 100").replace("batch = 256", "batch = 1024");
    luminosities(100_000, &text.replace("members = 3", "members = 2"));
}

#[test]
fn the_losses_slopes_are_central_differences() {
    let device = Device::cpu().with_precision(Precision::Double);
    let table = noisy(60, 0);
    for target in [
        "of = 'labels'\nnames = ['teff', 'logg']\nloss = 'gaussian'",
        "of = 'labels'\nnames = ['teff', 'logg']\nloss = 'squared_error'",
        "of = 'luminosity'\nmagnitude = 'g_dereddened'\nmodel_floor = 0.0",
        "of = 'luminosity'\nmagnitude = 'g_dereddened'\nmodel_floor = 0.0\noutput = 'linear'",
        "of = 'mixture_of_magnitudes'\nmagnitude = 'g_dereddened'",
    ] {
        let text = LUMINOSITY.replace("of = 'luminosity'\nmagnitude = 'g_dereddened'", target);
        let recipe = recipe(&text);
        let observations = observed(table.clone(), &recipe);
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
    use rand::{Rng, SeedableRng};
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

#[test]
fn recipes_print_and_read_back_and_name_what_is_wrong() {
    let recipe = recipe(LABELS);
    assert_eq!(RegressionRecipe::parse(&recipe.to_toml().unwrap(), "printed").unwrap(), recipe);
    assert!(RegressionRecipe::is_meant(LABELS) && !RegressionRecipe::is_meant("description = 'x'"));
    for (from, to, name) in [
        ("members = 2", "members = 0", "members"),
        ("batch = 128", "batch = 0", "batch"),
        ("epochs = 25", "epochs = 0", "epochs"),
        ("['teff', 'feh', 'logg']", "[]", "names"),
        ("copies = 6", "copy = 6", "copy"),
    ] {
        let error = RegressionRecipe::parse(&LABELS.replace(from, to), "r.toml").unwrap_err();
        assert!(error.to_string().contains(name) && error.to_string().starts_with("r.toml") && error.exit_code() == 2, "{error}");
    }
    let observations = observed(survey(60, 0), &recipe);
    let absent = RegressionRecipe::parse(&LABELS.replace("'logg'", "'vsini'"), "r").unwrap();
    let error = train(&absent, &observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("vsini"), "{error}");
}

/// The 13 bands of the LAMOST overlap: the stars, cuts and split of scripts/real_overlap.py.
fn overlap() -> Option<Table> {
    let file = shared_data()?.join("overlap_photometry/lamost_overlap_8964.fits");
    let text = include_str!("../../models/recipes/prepare-photometry-lamost.toml");
    let text = text.replace("lamost_overlap_8964.fits", file.to_str().unwrap());
    let mut whole: Option<Table> = None;
    let preparation = crate::survey::prepare::Preparation::new(crate::survey::prepare::PrepareRecipe::parse(&text).unwrap());
    preparation
        .unwrap()
        .run(|chunk| match &mut whole {
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
