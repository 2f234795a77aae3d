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
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::tensor::{Device, Precision, Tensor, to_f64};
use crate::testing::shared_data;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;
use std::time::Duration;

const LABELS: &str = "
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

const LUMINOSITY: &str = "
kind = 'regression'
description = 'absolute magnitudes from spectra and noisy parallaxes'
layer = [{ layer = 'linear', outputs = 32 }, { layer = 'relu' }, { layer = 'linear', outputs = 32 }, { layer = 'relu' }]
[inputs]
step = [{ step = 'subtract_mean' }, { step = 'signed_logarithm' }, { step = 'unit_norm' }, { step = 'standardise' }]
[target]
of = 'luminosity'
magnitude = 'g_dereddened'
[training]
members = 3
batch = 256
plan = { epochs = 30, learning_rate = 0.004, schedule = { shape = 'cosine', end_fraction = 0.02 } }
[errors]
copies = 6
[baselines]
boosting = false
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

/// A survey like that of Li et al. (2025): spectra of 80 pixels with a signal-to-noise ratio of 30, whose lines tell temperature,
/// abundance and luminosity, of stars of 15 < G < 19, of whose parallaxes one in seven is negative. With the true M.
fn noisy(n: usize, first: usize) -> (Observations, Vec<f64>) {
    let width = 80;
    let wavelength: Vec<f64> = (0..width).map(|w| 500.0 + w as f64).collect();
    let names = (0..width).map(|w| format!("pixel_{w}")).collect();
    let grid = crate::observations::Grid::new(wavelength, names).unwrap();
    let (mut flux, mut truth, mut parallax, mut sigma, mut apparent) =
        (ndarray::Array2::<f32>::zeros((n, width)), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for star in 0..n {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64((first + star) as u64);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let (a, b, feh) = (normal(), normal(), -0.3 + 0.5 * normal());
        // Seven in ten are dwarfs, whose temperature follows their magnitude; giants have a narrow range of it.
        let is_dwarf = normal() < 0.52;
        let (m, teff) = match is_dwarf {
            true => (5.2 + 1.2 * a, 0.9 - 0.45 * a + 0.1 * b - 0.1 * feh),
            false => (0.3 + 1.1 * a, -0.7 + 0.25 * a + 0.15 * b - 0.2 * feh),
        };
        let g = 17.3 + 0.7 * normal();
        let error = 0.05 * 10f64.powf(0.2 * (g - 16.0));
        let row = flux.row_mut(star);
        for (w, pixel) in row.into_iter().enumerate() {
            let x = w as f64;
            let line = |centre: f64, deep: f64| deep * (-0.5 * ((x - centre) / 1.8).powi(2)).exp();
            let lines = line(12.0, 0.25 * (teff + 1.0).max(0.0).tanh())
                + line(24.0, 0.15 * (1.0 - 0.7 * teff + feh).exp().min(4.0))
                + line(36.0, 0.10 * (0.25 * m - 0.4 * teff).exp())
                + line(48.0, 0.15 * (0.8 * feh - 0.15 * m).exp())
                + line(60.0, 0.12 * (0.5 - 0.3 * teff * teff + 0.1 * m).exp());
            *pixel = (1.0 - lines + 0.033 * normal()) as f32;
        }
        truth.push(m);
        parallax.push(10f64.powf(0.2 * (m - g + 10.0)) + error * normal());
        sigma.push(error);
        apparent.push(g);
    }
    let ids = (0..n).map(|star| ((first + star) as i64) << 20).collect();
    let errors = ndarray::Array2::from_elem((n, width), 0.033_f32);
    let mut observations =
        Observations::new(grid, ids, flux, errors).unwrap().with_constraint("parallax", parallax, sigma).unwrap();
    observations.auxiliary.push(Column::nullable(ColumnSchema::new("g_dereddened", "mag", ""), apparent)).unwrap();
    (observations, truth)
}

fn luminosities(n: usize, text: &str, limits: [f64; 2]) {
    let recipe = recipe(text);
    let (observations, _) = noisy(n, 0);
    let all = parallaxes(&observations, &recipe.target).unwrap();
    let negative = all.iter().filter(|star| star[0] < 0.0).count() as f64 / n as f64;
    let start = std::time::Instant::now();
    let (model, _) = trained(text, &observations);
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.1} % negative parallaxes; trained in {seconds:.1} s\n{}", 100.0 * negative, model.log.comparison);
    assert!((0.08..0.22).contains(&negative), "{negative}");

    let (new, truth) = noisy(n.max(6000) / 3, 10_000_000);
    let estimator = Arc::new(model).estimator(&Request::default()).unwrap();
    let catalogue = estimator.estimate(&new, &|_| Ok(())).unwrap().table;
    let (found, error) = (numbers(&catalogue, "absolute_magnitude"), numbers(&catalogue, "absolute_magnitude_error"));
    let stars = parallaxes(&new, &recipe.target).unwrap();
    let distance = |m: f64, star: usize| 10f64.powf(0.2 * (stars[star][2] - m - 10.0));
    for (name, magnitudes, distances) in [
        ("dwarfs within 2 kpc", 2.8..10.0, 0.0..2.0),
        ("dwarfs beyond 2 kpc", 2.8..10.0, 2.0..20.0),
        ("giants of 5–10 kpc", -5.0..2.8, 5.0..10.0),
        ("giants of 10–30 kpc", -5.0..2.8, 10.0..30.0),
    ] {
        let inside = |star: &usize| magnitudes.contains(&truth[*star]) && distances.contains(&distance(truth[*star], *star));
        let differences: Vec<f64> = (0..found.len()).filter(inside).map(|star| found[star] - truth[star]).collect();
        println!("{name}: {} stars, median ΔM {:+.3}", differences.len(), median(&differences));
        let limit = if name.contains("dwarfs") { limits[0] } else { limits[1] };
        assert!(differences.len() < 50 || median(&differences).abs() < limit, "{name}");
    }
    // In bins of the predicted distance the parallaxes agree: no bias that the truth is needed to see.
    for bin in [[0.0, 1.0], [1.0, 2.0], [2.0, 4.0], [4.0, 8.0], [8.0, 40.0]] {
        let (mut sum, mut weight) = (0.0, 0.0);
        for star in (0..found.len()).filter(|&star| (bin[0]..bin[1]).contains(&distance(found[star], star))) {
            let predicted = 1.0 / distance(found[star], star);
            // What the model's own error adds to that of the parallax.
            let variance = stars[star][1].powi(2) + (0.46 * error[star] * predicted).powi(2);
            sum += (stars[star][0] - predicted) / variance;
            weight += 1.0 / variance;
        }
        println!("predicted {}–{} kpc: z = {:+.2}", bin[0], bin[1], sum / f64::sqrt(weight));
    }
    let pulls: Vec<f64> = (0..found.len()).map(|star| (found[star] - truth[star]) / error[star]).collect();
    let scatter = scatter_about_zero(&pulls);
    println!("pulls of M less the truth: {scatter:.2}");
    assert!((0.8..1.25).contains(&scatter), "{scatter}");
}

#[test]
fn noisy_parallaxes_teach_luminosities_without_bias() {
    luminosities(6000, LUMINOSITY, [0.12, 0.5]);
}

/// `cargo test --release --lib regress -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of minutes"]
fn luminosities_of_a_hundred_thousand_stars() {
    let text = LUMINOSITY.replace("outputs = 32", "outputs = 100").replace("batch = 256", "batch = 1024");
    luminosities(100_000, &text.replace("members = 3", "members = 2"), [0.05, 0.2]);
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
