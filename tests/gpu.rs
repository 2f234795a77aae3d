//! Operations, fluxes and fits on an accelerator and on the processor, in double precision. Needs a GPU:
//! `cargo test --release --features cuda --test gpu -- --ignored`. The variable `PHOTOSPHERE_TEST_DEVICE`
//! names another device; with `cpu` the same paths run in single precision on the processor, as a check of
//! these tests (`scripts/check_gpu.sh --cpu`).

use ndarray::Array2;
use photosphere::infer::{Engine, FitOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::{Grid, Observations};
use photosphere::optimise::{LevenbergMarquardt, Method};
use photosphere::package::{Package, Request};
use photosphere::per_pixel::{Activation, Architecture, LabelSpace, LabelledSpectra, NetworkEngine, PixelNetworks, emulate};
use photosphere::pixel_networks::{PixelCard, PixelPackage};
use photosphere::simulate::line_list::{LABELS, LineList};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::spectrum::Medium;
use photosphere::tensor::{Device, Factor, Precision, Tensor, matmul, to_f64};
use photosphere::train::TrainedModel;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const N_STARS: usize = 2000;

/// The device under test.
fn tested() -> Device {
    Device::named(&std::env::var("PHOTOSPHERE_TEST_DEVICE").unwrap_or_else(|_| "cuda".into())).unwrap()
}

fn load(device: &Device) -> TrainedModel {
    // On a machine without the sources, `scripts/check_gpu.sh` says where the model lies.
    let directory = std::env::var_os("PHOTOSPHERE_MODEL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated"), PathBuf::from);
    TrainedModel::load(&directory, &Registry::standard(), device).unwrap()
}

fn observe(trained: &TrainedModel) -> Observations {
    let config = SurveyConfig { n_stars: N_STARS, first_star: 5_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    Observations::from_table(simulate(&config).unwrap(), &read_options(trained, &FitOptions::default())).unwrap()
}

/// The largest |a − b|/b, with which neither number is found.
fn largest_relative<'a>(pairs: impl Iterator<Item = (&'a f64, &'a f64)>) -> f64 {
    pairs.map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max)
}

/// Numbers between −1 and 1 that look random.
fn noise<const D: usize>(device: &Device, shape: [usize; D], seed: f64) -> Tensor<D> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|i: usize| (seed * (i as f64 + 0.5)).sin()).collect();
    device.tensor(&values, shape)
}

/// The tensor operations that models and methods are made of, in the shapes in which they occur: three
/// labels, 66 fluxes, and a leading block of 61, none of which is a multiple of what a kernel likes.
#[test]
#[ignore = "needs an accelerator"]
fn operations_are_those_of_the_processor() {
    type Operation = (&'static str, fn(&Device) -> Tensor<3>);
    const N: usize = 1000;
    let operations: &[Operation] = &[
        ("[N, 3] · [3, 32]", |d| matmul(noise(d, [N, 3], 0.7), noise(d, [3, 32], 1.3)).unsqueeze()),
        ("[N, 32] · [32, 32]", |d| matmul(noise(d, [N, 32], 0.7), noise(d, [32, 32], 1.3)).unsqueeze()),
        ("[N, 35] · [35, 66]", |d| matmul(noise(d, [N, 35], 0.7), noise(d, [35, 66], 1.3)).unsqueeze()),
        ("[1, 3] · [3, 32]", |d| matmul(noise(d, [1, 3], 0.7), noise(d, [3, 32], 1.3)).unsqueeze()),
        ("[N, 3] · [3, 1]", |d| matmul(noise(d, [N, 3], 0.7), noise(d, [3, 1], 1.3)).unsqueeze()),
        ("[N, 6, 61] · [N, 61, 61]", |d| matmul(noise(d, [N, 6, 61], 0.7), noise(d, [N, 61, 61], 1.3))),
        ("a factor's [N, 6, 61] · [N, 61, 61]", |d| Factor::new(noise(d, [N, 61, 61], 1.3)).product(noise(d, [N, 6, 61], 0.7))),
        ("rows with each other", |d| {
            let rows = noise(d, [N, 6, 66], 0.7);
            matmul(rows.clone(), rows.swap_dims(1, 2))
        }),
        ("rows of swapped axes", |d| {
            let rows = noise(d, [6, N, 61], 0.7).swap_dims(0, 1);
            matmul(rows, noise(d, [N, 61, 61], 1.3))
        }),
        ("tanh", |d| (noise(d, [3, N, 32], 0.7) * 4.0).tanh()),
        ("exp, log, reciprocal, root", |d| {
            let x = (noise(d, [1, N, 66], 0.7) * 20.0).exp();
            Tensor::cat(vec![x.clone().log(), x.clone().recip(), x.sqrt()], 0)
        }),
        ("rows times columns, broadcast", |d| noise(d, [5, N, 1], 0.7) * noise(d, [5, 1, 66], 1.3) + noise(d, [1, N, 66], 0.3)),
        ("sums along axes", |d| {
            let x = noise(d, [N, 6, 66], 0.7);
            let middle = x.clone().sum_dim(1).expand([N, 6, 66]);
            middle + x.clone().sum_dim(2).expand([N, 6, 66]) + x.sum_dim(0).expand([N, 6, 66]) * 1e-3
        }),
        ("largest along an axis", |d| noise(d, [N, 6, 66], 0.7).max_dim(2)),
        ("slices side by side", |d| {
            let x = noise(d, [N, 6, 66], 0.7);
            Tensor::cat(vec![x.clone().slice([0..N, 1..6, 61..66]), x.slice([0..N, 0..5, 0..61])], 2)
        }),
        ("chosen rows and columns", |d| {
            let positions: Vec<usize> = (0..N / 3).map(|i| (7 * i) % N).collect();
            noise(d, [N, 6, 66], 0.7)
                .select(0, d.indices(&positions))
                .select(1, d.indices(&[4, 0, 2]))
                .select(2, d.indices(&[65, 1]))
        }),
        ("masks", |d| {
            let (x, y) = (noise(d, [N, 6, 66], 0.7), noise(d, [N, 6, 66], 1.3));
            let mask = x.clone().greater(y.clone()).bool_and(x.clone().lower_elem(0.5)).bool_not();
            x.clone().mask_where(mask.clone(), y.clone()).mask_fill(x.clone().is_finite().bool_not(), 2.0)
                + x.max_pair(y).clamp_min(0.1)
        }),
    ];
    let (processor, device) = (Device::cpu().with_precision(Precision::Double), tested());
    let mut wrong = Vec::new();
    for (name, operation) in operations {
        let expected = to_f64(operation(&processor));
        let start = Instant::now();
        let found = to_f64(operation(&device));
        let scale = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        // NaN counts as infinitely wrong.
        let of =
            |(a, b): (&f64, &f64)| if (a - b).is_finite() { (a - b).abs() / b.abs().max(1e-3 * scale) } else { f64::INFINITY };
        let largest = found.iter().zip(&expected).map(of).fold(0.0, f64::max);
        println!("{name}: largest relative difference {largest:.1e}, {:.2} s", start.elapsed().as_secs_f64());
        // Inputs are rounded to single precision, and sums of up to 66 products cancel.
        if found.len() != expected.len() || largest > 1e-3 {
            wrong.push(*name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
#[ignore = "needs an accelerator"]
fn flux_is_that_of_the_processor() {
    let (double, single) = (load(&Device::cpu().with_precision(Precision::Double)), load(&tested()));
    let observations = observe(&double);
    // The coordinates of the model itself: a fit moves amounts on scales of its own.
    let truth = |name: &str| observations.auxiliary.column(&format!("true_{name}")).unwrap().to_f64().unwrap();
    let mut coordinates = ndarray::Array2::zeros((N_STARS, double.model.space.len()));
    for (parameter, mut column) in double.model.space.parameters.iter().zip(coordinates.columns_mut()) {
        for (slot, value) in column.iter_mut().zip(truth(&parameter.name)) {
            *slot = parameter.coordinate_from_file(if parameter.is_amount() { value.max(0.01) } else { value });
        }
    }
    let flux = |trained: &TrainedModel| trained.model.predict(coordinates.view()).unwrap();
    let (expected, found) = (flux(&double), flux(&single));
    let largest = largest_relative(found.iter().zip(&expected));
    println!("largest relative difference of the flux: {largest:.1e}");
    assert!(found.iter().all(|flux| flux.is_finite()) && largest < 1e-5);
}

#[test]
#[ignore = "needs an accelerator"]
fn optima_and_covariances_are_those_of_the_processor() {
    // Both to the last digits of single precision, so that the engines are compared and not the stopping
    // rule.
    let rule = LevenbergMarquardt { decrease_tolerance: 1e-7, gradient_tolerance: 1e-3, ..LevenbergMarquardt::default() };
    let options = FitOptions { optimiser: Method::LevenbergMarquardt(rule), ..FitOptions::default() };
    let double = load(&Device::cpu().with_precision(Precision::Double));
    let observations = observe(&double);
    let expected = fit(&double, &observations, &options).unwrap();
    let found = fit(&load(&tested()), &observations, &FitOptions { chunk: N_STARS, engine: Engine::Device, ..options }).unwrap();
    let clear = flags::NOT_CONVERGED | flags::NOT_FITTED | flags::SECOND_OPTIMUM;
    let stars: Vec<usize> = (0..N_STARS).filter(|&star| (expected.flags[star] | found.flags[star]) & clear == 0).collect();
    assert!(stars.len() as f64 > 0.95 * N_STARS as f64, "{} stars", stars.len());
    let mut shifts: Vec<f64> = stars
        .iter()
        .map(|&star| {
            let of = |(index, &position): (usize, &usize)| {
                (found.values[[star, position]] - expected.values[[star, position]]).abs() / expected.error(star, index)
            };
            expected.fitted.iter().enumerate().map(of).fold(0.0, f64::max)
        })
        .collect();
    shifts.sort_by(f64::total_cmp);
    let quantile = |fraction: f64| shifts[(fraction * (shifts.len() - 1) as f64) as usize];
    println!("shift in sigma: median {:.1e}, 99 % {:.1e}, largest {:.1e}", quantile(0.5), quantile(0.99), quantile(1.0));
    assert!(quantile(0.99) < 1e-3);
    let errors = stars.iter().flat_map(|&star| (0..expected.fitted.len()).map(move |index| (star, index)));
    let errors: Vec<(f64, f64)> = errors.map(|(star, index)| (found.error(star, index), expected.error(star, index))).collect();
    let largest = largest_relative(errors.iter().map(|(found, expected)| (found, expected)));
    println!("largest relative difference of an error: {largest:.1e}");
    // 1.3e-3 on the processor in single precision, of stars with E near zero.
    assert!(largest < 3e-3);
}

/// Fits of spectra by networks per pixel that are the truth: 20 neurons, 15 labels, 1000 pixels.
#[test]
#[ignore = "needs an accelerator"]
fn fits_of_spectra_are_those_of_the_processor() {
    const W: usize = 1000;
    let list = LineList { n_pixels: W, ..LineList::default() };
    let random = |n: usize, seed: f64| (0..n).map(move |i| 2.0 * ((seed * (i as f64 + 0.5)).sin() * 1e4).fract().abs() - 1.0);
    let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
    let l = names.len();
    let space = LabelSpace::new(names.to_vec(), units.to_vec(), vec![0.0; l], vec![1.0; l]).unwrap();
    let architecture = Architecture::new(l, &[20], Activation::Tanh).unwrap();
    let n_parameters = architecture.n_parameters();
    let parameters: Vec<f32> = random(W * n_parameters, 0.7).map(|x| 0.3 * x as f32).collect();
    let parameters = Array2::from_shape_vec((W, n_parameters), parameters).unwrap();
    let networks = PixelNetworks::new(space.clone(), list.wavelength(), architecture, parameters).unwrap();
    let within = |n: usize, seed: f64| {
        let scaled = Array2::from_shape_vec((n, l), random(n * l, seed).map(|x| 0.3 * x).collect()).unwrap();
        space.unscale(scaled.view())
    };
    let (labels, templates) = (within(N_STARS, 1.3), within(100, 1.7));
    let mut flux = emulate(&NetworkEngine::new(&networks), labels.view());
    // Noise of S/N 100: sums of four numbers of variance a third.
    let noises: Vec<f64> = random(4 * N_STARS * W, 2.3).collect();
    flux.iter_mut().zip(noises.chunks(4)).for_each(|(flux, four)| *flux += (0.00866 * four.iter().sum::<f64>()) as f32);
    let inverse_variance = Array2::from_elem(flux.dim(), 1e4);
    let spectra = LabelledSpectra { labels, label_errors: None, flux, inverse_variance };
    let table = list.observations(&spectra, 1, false).unwrap();
    let wavelength: Vec<f64> = list.wavelength().iter().map(|angstrom| angstrom / 10.0).collect();
    let mut grid = Grid::new(wavelength, (0..W).map(|pixel| format!("pixel_{pixel}")).collect()).unwrap();
    grid.medium = Some(Medium::Vacuum);
    let card = PixelCard::of_grid::<PixelNetworks>(grid);
    // To the last digits, as above.
    let folder = std::env::temp_dir().join(format!("photosphere-gpu-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let fit = |engine: &str, device: &Device| {
        let config = folder.join(format!("{engine}.toml"));
        std::fs::write(&config, format!("engine = \"{engine}\"\ntolerance = 1e-8\n")).unwrap();
        let request = Request { config: Some(config), ..Request::default() };
        let package = PixelPackage::new(card.clone(), networks.clone(), templates.clone()).unwrap().on(device);
        let estimator = Arc::new(package).estimator(&request).unwrap();
        let observations = Observations::from_table(table.clone(), &estimator.read_options()).unwrap();
        // The first time with the compilation of kernels.
        let timed = || {
            let start = Instant::now();
            let found = estimator.estimate(&observations, &|_| Ok(())).unwrap();
            println!("{engine}: {:.3} ms a star", start.elapsed().as_secs_f64() / N_STARS as f64 * 1e3);
            found
        };
        timed();
        timed()
    };
    let (expected, found) = (fit("processor", &Device::cpu()), fit("device", &tested()));
    std::fs::remove_dir_all(&folder).unwrap();
    let (mut shifts, mut errors) = (Vec::new(), Vec::new());
    for (k, (name, _)) in LABELS.iter().enumerate() {
        let column = |table: &photosphere::table::Table| table.column(&format!("{name}_error")).unwrap().to_f64().unwrap();
        let (of_expected, of_found) = (column(&expected.table), column(&found.table));
        let usual = flags::NOT_CONVERGED | flags::NOT_FITTED | flags::AT_LIMIT;
        for star in (0..N_STARS).filter(|&star| (expected.flags[star] | found.flags[star]) & usual == 0) {
            shifts.push((found.values[[star, k]] - expected.values[[star, k]]).abs() / of_expected[star]);
            errors.push((of_found[star] / of_expected[star] - 1.0).abs());
        }
    }
    assert!(shifts.len() > N_STARS * l / 2, "{}", shifts.len());
    shifts.sort_by(f64::total_cmp);
    errors.sort_by(f64::total_cmp);
    let at = |values: &[f64], part: f64| values[(part * (values.len() - 1) as f64) as usize];
    let (middle, most, of_errors) = (at(&shifts, 0.5), at(&shifts, 0.99), at(&errors, 0.99));
    println!("shift in sigma: median {middle:.1e}, 99 % {most:.1e}; errors 99 % {of_errors:.1e}");
    assert!(most < 1e-3 && of_errors < 1e-3);
}
