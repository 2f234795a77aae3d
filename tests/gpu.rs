//! The same fit on a CUDA device and on the processor. Needs a GPU: `cargo test --release --features cuda --test gpu -- --ignored`.

#![cfg(feature = "cuda")]

use photosphere::infer::{FitOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::Observations;
use photosphere::optimise::{LevenbergMarquardt, Method};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::tensor::{Device, Precision};
use photosphere::train::TrainedModel;
use std::path::{Path, PathBuf};

const N_STARS: usize = 2000;

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

#[test]
#[ignore = "needs a CUDA device"]
fn flux_is_that_of_the_processor() {
    let (cpu, cuda) = (load(&Device::cpu()), load(&Device::named("cuda").unwrap()));
    let observations = observe(&cpu);
    let coordinates = fit(&cpu, &observations, &FitOptions::default()).unwrap().coordinates;
    let flux = |trained: &TrainedModel| trained.model.predict(coordinates.view()).unwrap();
    let (cpu_flux, cuda_flux) = (flux(&cpu), flux(&cuda));
    let largest = largest_relative(cuda_flux.iter().zip(&cpu_flux));
    println!("largest relative difference of the flux: {largest:.1e}");
    assert!(cuda_flux.iter().all(|flux| flux.is_finite()) && largest < 1e-5);
}

#[test]
#[ignore = "needs a CUDA device"]
fn optima_and_covariances_are_those_of_the_processor() {
    // Both to the last digits of single precision, so that the engines are compared and not the stopping rule.
    let rule = LevenbergMarquardt { decrease_tolerance: 1e-7, gradient_tolerance: 1e-3, ..LevenbergMarquardt::default() };
    let options = FitOptions { optimiser: Method::LevenbergMarquardt(rule), ..FitOptions::default() };
    let double = load(&Device::cpu().with_precision(Precision::Double));
    let observations = observe(&double);
    let expected = fit(&double, &observations, &options).unwrap();
    let found = fit(&load(&Device::named("cuda").unwrap()), &observations, &FitOptions { chunk: N_STARS, ..options }).unwrap();
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
    assert!(largest < 1e-3);
}
