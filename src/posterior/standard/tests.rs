//! The standard engine against the tensor engine in double precision.

use super::super::{LocalParts, Posterior, Slices, Terms};
use super::StandardEngine;
use crate::model::{ForwardModel, Registry, SecondStar, Transform};
use crate::noise::{EigenvalueFloor, Whitening};
use crate::observations::{Grid, Observations};
use crate::optimise::{NormalEquations, Point, Problems};
use crate::tensor::{Device, Order, Precision};
use ndarray::{Array2, Array3, ArrayView1, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const N: usize = 6;
const BLOCK: usize = 13;

/// A model over 19 wavelengths (13 of them with a covariance) with weights that make the flux vary by tens of
/// per cent.
fn model(effects: &[&str]) -> ForwardModel {
    let wavelength: Vec<f64> = (0..19).map(|i| 400.0 + 60.0 * i as f64).collect();
    let grid = Grid::new(wavelength, (0..19).map(|i| format!("band_{i}")).collect()).unwrap();
    let tables: Vec<toml::Table> = effects.iter().map(|text| text.parse().unwrap()).collect();
    let mut model = ForwardModel::new(&Registry::standard(), &tables, grid, 3, &Device::cpu()).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for name in model.weights.names().to_vec() {
        let values: Vec<f64> =
            model.weights.values(&name).unwrap().iter().map(|value| value + random.gen_range(-0.1..0.1)).collect();
        model.weights.set(&name, &values, &Device::cpu()).unwrap();
    }
    model
}

fn observations(model: &ForwardModel, coordinates: &Array2<f64>) -> Observations {
    let w = model.grid.len();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut flux = model.predict(coordinates.view()).unwrap().mapv(|value| value as f32);
    flux.iter_mut().for_each(|value| *value *= 1.0 + random.gen_range(-0.05..0.05));
    // One flux of the block and one of the tail are missing.
    let error =
        |star: usize, i: usize| if (star, i) == (1, 4) || (star, i) == (2, 17) { f32::INFINITY } else { 0.01 + 0.002 * i as f32 };
    let flux_error = Array2::from_shape_fn((N, w), |(star, i)| error(star, i));
    let covariance = Array2::from_shape_fn((N, BLOCK * (BLOCK + 1) / 2), |(star, k)| {
        let (mut i, mut rest) = (0, k);
        while rest >= BLOCK - i {
            rest -= BLOCK - i;
            i += 1;
        }
        let (a, b) = (error(star, i), error(star, i + rest));
        if rest == 0 { a * a } else { a * b * 0.6_f32.powi(rest as i32) }
    });
    let tail = flux_error.slice(ndarray::s![.., BLOCK..]);
    let whitening = Whitening::from_covariances(covariance.view(), tail, EigenvalueFloor::default()).unwrap();
    let stars = Observations::new(model.grid.clone(), (0..N as i64).collect(), flux, flux_error).unwrap();
    Observations { whitening, ..stars }
}

/// Within the rounding of 32-bit fluxes.
fn require_close(found: &Array3<f64>, expected: &Array3<f64>, scale: &Array3<f64>, what: &str) {
    for ((index, found), expected) in found.indexed_iter().zip(expected) {
        let (star, a, b) = index;
        let scale = (scale[[star, a, a]] * scale[[star, b, b]]).sqrt();
        assert!((found - expected).abs() < 2e-5 * scale, "{what} {index:?}: {found} {expected}, scale {scale}");
    }
}

fn compare(model: &ForwardModel, held: &[String]) {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let coordinates = Array2::from_shape_fn((N, model.space.len()), |_| random.gen_range(-1.0..1.0));
    let data = observations(model, &(&coordinates + 0.03));
    let terms = Terms::default();
    let fast = Posterior::new(model, &data, &terms, held, coordinates.clone()).unwrap();
    assert_eq!(fast.engine_name(), "standard");
    let double = model.to(&Device::cpu().with_precision(Precision::Double));
    let reference = Posterior::new(&double, &data, &terms, held, coordinates.clone()).unwrap();
    assert_eq!(reference.engine_name(), "tensor");
    let free = fast.free_coordinates(coordinates.view());
    let stars: Vec<usize> = (0..N).collect();
    let (found, expected) =
        (fast.normal_equations(&stars, free.view()).unwrap(), reference.normal_equations(&stars, free.view()).unwrap());
    for star in 0..N {
        let loss = expected.loss[star];
        assert!((found.loss[star] - loss).abs() < 1e-4 * (1.0 + loss), "χ²: {} {loss}", found.loss[star]);
        for a in 0..free.ncols() {
            let scale = (expected.curvature[[star, a, a]] * (1.0 + loss)).sqrt();
            let (found, expected) = (found.gradient[[star, a]], expected.gradient[[star, a]]);
            assert!((found - expected).abs() < 1e-4 * scale, "gradient of star {star}, {a}: {found} {expected}, scale {scale}");
        }
    }
    require_close(&found.curvature, &expected.curvature, &expected.curvature, "curvature");
    let scale = Array3::from_shape_fn(expected.curvature.dim(), |(star, a, b)| {
        expected.curvature[[star, a, b]] * (1.0 + expected.loss[star]).sqrt()
    });
    let hessians = [&fast, &reference].map(|posterior| posterior.hessian(&stars, free.view()).unwrap());
    require_close(&hessians[0], &hessians[1], &scale, "Hessian");
    assert!(
        (&hessians[1] - &expected.curvature).iter().any(|difference| difference.abs() > 1.0),
        "no second derivatives to test"
    );
    // What is left behind of both engines, of which one is in single precision.
    let is_pair = model.effects.iter().any(|effect| effect.kind() == "second_star");
    // Second derivatives of two stars are left to tensors.
    let parts = LocalParts { hessian: !is_pair, whitened: true };
    let [left, exact] =
        [&fast, &reference].map(|posterior| posterior.local(&stars, free.view(), parts).unwrap().whitened.unwrap());
    assert_eq!((&left.1.gradient, &left.1.curvature), (&found.gradient, &found.curvature));
    for star in 0..N {
        let close = |found: ArrayView1<'_, f32>, expected: ArrayView1<'_, f32>, scale: f64, what: &str| {
            for (found, expected) in found.iter().zip(expected) {
                let difference = f64::from(found - expected).abs();
                assert!(difference < 1e-4 * scale, "{what} of star {star}: {found} {expected}, scale {scale}");
            }
        };
        let brightest = left.0.flux.row(star).iter().fold(0.0, |most: f64, flux| most.max(f64::from(*flux)));
        close(left.0.flux.row(star), exact.0.flux.row(star), brightest, "flux");
        close(left.0.residual.row(star), exact.0.residual.row(star), 1.0 + expected.loss[star].sqrt(), "residual");
        for a in 0..free.ncols() {
            let (found, exact) = (left.0.jacobian.slice(s![star, a, ..]), exact.0.jacobian.slice(s![star, a, ..]));
            close(found, exact, expected.curvature[[star, a, a]].sqrt(), "slope");
        }
    }
    // One star after the other, and back: the same bits, whatever was evaluated before.
    let mut evaluator = fast.evaluator().unwrap();
    for star in (0..N).chain((0..N).rev()) {
        let mut point = Point::new(free.ncols());
        point.coordinates.copy_from_slice(&free.row(star).to_vec());
        evaluator.evaluate(star, &mut point);
        assert_eq!((point.loss, &point.gradient), (found.loss[star], &found.gradient.row(star).to_vec()));
        assert!(point.curvature.iter().eq(found.curvature.index_axis(ndarray::Axis(0), star)));
    }
    let values = fast.loss(&stars, free.view()).unwrap();
    for (value, loss) in values.iter().zip(&found.loss) {
        assert!((value - loss).abs() < 1e-5 * (1.0 + loss), "χ² alone: {value} {loss}");
    }
    // The engine without vector instructions.
    let engine = StandardEngine::of(model).unwrap().unwrap();
    let all = fast.all_coordinates(&stars, free.view());
    let vector = engine.flux_normal(&data, &stars, &all, fast.free(), (Order::First, false)).unwrap().normal.curvature;
    let engine = StandardEngine { vectorised: false, ..engine };
    let portable = engine.flux_normal(&data, &stars, &all, fast.free(), (Order::First, false)).unwrap();
    require_close(&portable.normal.curvature, &vector, &vector, "portable curvature");
}

#[test]
fn the_paper_network_agrees_with_the_tensor_engine() {
    let model = model(&["kind = 'emulator'", "kind = 'extinction'", "kind = 'distance'"]);
    compare(&model, &[]);
    compare(&model, &["logg".into()]);
}

#[test]
fn many_labels_skips_and_varying_extinction_agree() {
    let emulator = "kind = 'emulator'\nlabels = ['teff', 'feh', 'logg', 'cfe', 'nfe', 'mgfe', 'sife', 'cafe']\nhidden = [20, 9]\nskip_connections = true";
    let extinction = "kind = 'extinction'\nvariation = true\nfixed_bands = ['band_18']";
    let mut model = model(&["kind = 'distance'", extinction, emulator]);
    compare(&model, &[]);
    for name in ["extinction", "parallax"] {
        model.set_transform(name, Transform::Identity).unwrap();
    }
    compare(&model, &["xi".into()]);
    compare(&model, &[]);
}

#[test]
fn two_stars_with_dust_that_varies_agree() {
    let emulator = "kind = 'emulator'\nlabels = ['logg', 'feh', 'teff', 'alpha_fe']\nhidden = [20, 9]\nskip_connections = true";
    let single = model(&[emulator, "kind = 'extinction'\nvariation = true", "kind = 'distance'"]);
    let mut pair = single.with_second_star(SecondStar::default()).unwrap();
    compare(&pair, &[]);
    compare(&pair, &["feh".into(), "companion_logg".into()]);
    compare(&pair, &["teff".into(), "companion_teff".into()]);
    // A second star in a standardisation of its own is left to tensors.
    pair.space.parameters.last_mut().unwrap().centre = 0.3;
    assert!(StandardEngine::of(&pair).unwrap().is_none());
}

#[test]
fn other_models_and_precisions_use_tensors() {
    let sigmoid = model(&["kind = 'emulator'\nactivation = 'sigmoid'", "kind = 'distance'"]);
    assert!(StandardEngine::of(&sigmoid).unwrap().is_none());
    let standard = model(&["kind = 'emulator'", "kind = 'distance'"]);
    assert!(StandardEngine::of(&standard).unwrap().is_some());
    assert!(StandardEngine::of(&standard.to(&Device::cpu().with_precision(Precision::Double))).unwrap().is_none());
    let data = observations(&standard, &Array2::zeros((N, standard.space.len())));
    let fixed = Array2::zeros((N, standard.space.len()));
    let posterior = Posterior::new(&standard, &data, &Terms::default(), &[], fixed).unwrap().with_tensors();
    assert_eq!(posterior.engine_name(), "tensor");
}

#[test]
fn a_star_has_the_same_bits_in_any_company() {
    let model = model(&["kind = 'emulator'", "kind = 'extinction'", "kind = 'distance'"]);
    let coordinates = Array2::from_shape_fn((N, model.space.len()), |(i, p)| ((3 * i + p) % 5) as f64 / 5.0 - 0.4);
    let data = observations(&model, &coordinates);
    let posterior = Posterior::new(&model, &data, &Terms::default(), &[], coordinates.clone()).unwrap();
    let stars: Vec<usize> = (0..N).collect();
    let all = posterior.normal_equations(&stars, coordinates.view()).unwrap();
    for star in 0..N {
        let alone = posterior.normal_equations(&[star], coordinates.slice(ndarray::s![star..star + 1, ..])).unwrap();
        assert_eq!(alone.loss[0].to_bits(), all.loss[star].to_bits());
        assert_eq!(alone.curvature.index_axis(ndarray::Axis(0), 0), all.curvature.index_axis(ndarray::Axis(0), star));
    }
    let mut lost = coordinates.clone();
    lost[[2, 0]] = f64::NAN;
    assert!(posterior.normal_equations(&stars, lost.view()).unwrap().loss[2].is_nan());
}

/// Of points at the same labels the network is evaluated once.
#[test]
fn slices_have_the_same_bits_whatever_was_evaluated_before() {
    let model = model(&["kind = 'emulator'", "kind = 'extinction'", "kind = 'distance'"]);
    let coordinates = Array2::from_shape_fn((N, model.space.len()), |(i, p)| ((3 * i + p) % 5) as f64 / 5.0 - 0.4);
    let data = observations(&model, &coordinates);
    let posterior = Posterior::new(&model, &data, &Terms::default(), &[], coordinates.clone()).unwrap();
    let f = posterior.free().len();
    let moving = [f - 2, f - 1].map(|column| posterior.free()[column]);
    let mut slices = Slices::new(&posterior, &moving).unwrap();
    let mut points: Vec<Vec<f64>> = vec![coordinates.row(1).to_vec(); 4];
    points[1][f - 1] += 0.3;
    points[2][f - 2] -= 0.1;
    points[3][0] += 0.2;
    let (mut gradient, mut curvature, mut loss) = ([0.0; 2], [0.0; 4], [0.0]);
    for at in [0, 1, 2, 0, 3, 1] {
        slices.slopes(1, &points[at], &mut gradient, &mut curvature).unwrap();
        slices.loss(1, &points[at], &mut loss).unwrap();
        let point = ndarray::ArrayView2::from_shape((1, f), &points[at]).unwrap();
        let alone = posterior.normal_equations(&[1], point).unwrap();
        assert_eq!(loss[0].to_bits(), alone.loss[0].to_bits(), "point {at}");
        for (a, &left) in [f - 2, f - 1].iter().enumerate() {
            assert_eq!(gradient[a].to_bits(), alone.gradient[[0, left]].to_bits(), "point {at}");
            for (b, &right) in [f - 2, f - 1].iter().enumerate() {
                assert_eq!(curvature[2 * a + b].to_bits(), alone.curvature[[0, left, right]].to_bits(), "point {at}");
            }
        }
    }
    // By tensors, several at once.
    let tensors = Posterior::new(&model, &data, &Terms::default(), &[], coordinates.clone()).unwrap().with_tensors();
    let mut of_tensors = Slices::new(&tensors, &moving).unwrap();
    assert!(slices.at_once() == 1 && of_tensors.at_once() > 1);
    let (flat, mut all) = (points.concat(), ([0.0; 8], [0.0; 16], [0.0; 4]));
    of_tensors.slopes(1, &flat, &mut all.0, &mut all.1).unwrap();
    of_tensors.loss(1, &flat, &mut all.2).unwrap();
    for (i, point) in points.iter().enumerate() {
        slices.slopes(1, point, &mut gradient, &mut curvature).unwrap();
        slices.loss(1, point, &mut loss).unwrap();
        assert!((all.2[i] / loss[0] - 1.0).abs() < 1e-3, "{} {}", all.2[i], loss[0]);
        for k in 0..4 {
            let scale = (curvature[0] * curvature[3]).sqrt();
            assert!((all.1[4 * i + k] - curvature[k]).abs() < 1e-4 * scale, "{:?} {curvature:?}", all.1);
        }
        assert!((all.0[2 * i] - gradient[0]).abs() < 1e-3 * curvature[0].sqrt() * loss[0].sqrt().max(1.0));
    }
}
