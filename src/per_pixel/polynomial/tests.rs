//! Polynomials: terms, derivatives, engine, file, and the closed form against an independent solution.

use super::*;
use crate::per_pixel::engine::{emulate, evaluate_all};
use crate::per_pixel::train::{Checkpoint, Place, TrainingSet};
use crate::per_pixel::{GradientLibrary, LabelledSpectra};
use crate::testing::central_difference;
use ndarray::{Array3, array, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random_polynomials(w: usize) -> PixelPolynomials {
    let names: Vec<String> = ["teff", "logg", "feh", "mg_fe", "al_fe"].map(String::from).to_vec();
    let terms = PolynomialOptions::default().terms(&names).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let coefficients = Array2::from_shape_fn((w, terms.len()), |_| random.gen_range(-1.0..1.0_f32));
    let space = LabelSpace::new(names, vec!["dex".into(); 5], vec![-1.0; 5], vec![2.0; 5]).unwrap();
    PixelPolynomials::new(space, (0..w).map(|i| 5000.0 + i as f64).collect(), terms, coefficients).unwrap()
}

fn random_labels(n: usize, l: usize) -> Array2<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    Array2::from_shape_fn((n, l), |_| random.gen_range(-0.5..0.5))
}

#[test]
fn the_structured_polynomial_has_its_terms() {
    // Spec: core labels to degree 4, [X/Fe] × core to degree 3, X², no X·X'; 466 terms of four core labels
    // and eleven ratios.
    let is_ratio: Vec<bool> = (0..15).map(|k| k >= 4).collect();
    let terms = Terms::structured(&is_ratio, 4, 3, 2).unwrap();
    assert_eq!(terms.len(), 466);
    let ratios = |powers: &Vec<u8>| powers[4..].iter().filter(|power| **power > 0).count();
    assert!(terms.powers().iter().all(|powers| ratios(powers) <= 1));
    assert_eq!((0..466).map(|t| terms.degree(t)).max(), Some(4));
    assert_eq!((0..4).map(|k| terms.acting(k).len()).collect::<Vec<_>>(), [35 + 11 * 15; 4]);
    assert_eq!(terms.acting(14).len(), 36);
    let error = Terms::structured(&[false; 40], 8, 3, 2).unwrap_err().to_string();
    assert!(error.contains("more than 4000"), "{error}");
    assert!(Terms::new(2, vec![vec![1, 0], vec![1, 0]]).unwrap_err().to_string().contains("twice"));
    assert!(Terms::new(2, vec![vec![1, 99]]).is_err() && Terms::new(2, Vec::new()).is_err());
}

#[test]
fn label_gradients_are_those_of_central_differences() {
    let polynomials = random_polynomials(3);
    for x in random_labels(4, 5).rows() {
        let x = x.to_vec();
        let (_, gradient) = polynomials.evaluate(1, &x);
        let difference = central_difference(|x| polynomials.evaluate(1, x).0, &x);
        for (own, difference) in gradient.iter().zip(difference) {
            // Seen: below 1e-9, of gradients of about 1.
            assert!((own - difference).abs() < 1e-7, "{own} against {difference}");
        }
    }
}

#[test]
fn the_engine_agrees_with_double_precision_in_any_company() {
    let polynomials = random_polynomials(8 * 32 + 13);
    let engine = PolynomialEngine::new(&polynomials);
    let scaled = random_labels(70, 5);
    let labels = polynomials.space.unscale(scaled.view());
    let all = evaluate_all(&engine, labels.view());
    let flux = emulate(&engine, labels.view());
    for i in [0, 5, 14, 63, 69] {
        let alone = labels.slice(s![i..=i, ..]);
        assert_eq!(evaluate_all(&engine, alone).index_axis(ndarray::Axis(0), 0), all.index_axis(ndarray::Axis(0), i));
        assert_eq!(emulate(&engine, alone).row(0), flux.row(i));
        assert_eq!(all.slice(s![i, 0, ..]), flux.row(i));
        for w in [0, 7, 100, 268] {
            let (value, gradient) = polynomials.evaluate(w, &scaled.row(i).to_vec());
            // Seen: 1e-6.
            assert!((f64::from(flux[[i, w]]) - value).abs() < 1e-5);
            for (k, slope) in gradient.iter().enumerate() {
                assert!((f64::from(all[[i, 1 + k, w]]) - slope).abs() < 1e-5, "star {i}, pixel {w}, label {k}");
            }
        }
    }
}

#[test]
fn polynomials_come_back_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polynomials.safetensors");
    let polynomials = random_polynomials(6);
    polynomials.write(&path, false).unwrap();
    assert_eq!(PixelPolynomials::read(&path).unwrap(), polynomials);
    let write = |coefficients: [usize; 2], power: f32| {
        let mut file = crate::per_pixel::tensor_file::TensorWriter::default();
        file.single("coefficients", &coefficients, vec![0.5; coefficients[0] * coefficients[1]]);
        file.single("powers", &[2, 1], [0.0, power]);
        file.double("minimum", &[1], [0.0]);
        file.double("maximum", &[1], [1.0]);
        file.text("label_names", "teff");
        file.write(&path, true).unwrap();
        PixelPolynomials::read(&path)
    };
    assert_eq!(write([3, 2], 1.0).unwrap().terms.powers(), [vec![0], vec![1]]);
    for (coefficients, power, expected) in [
        ([3, 4], 1.0, "tensor 'powers'"),
        ([3, 2], 1.5, "whole numbers"),
        ([3, 2], 0.0, "twice"),
        ([0, 1 << 40], 1.0, "no axis of length 0"),
        ([3, 2], 200.0, "powers from 0 to 12"),
    ] {
        let error = write(coefficients, power).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("polynomials.safetensors"), "{error}");
    }
    let mut broken = polynomials;
    broken.coefficients[[2, 3]] = f32::NAN;
    broken.write(&path, true).unwrap();
    assert!(PixelPolynomials::read(&path).unwrap_err().to_string().contains("pixel 2"));
}

/// A small set by formulas, with missing pixels and other weights in every pixel.
fn small_set() -> TrainingSet {
    let (n, r, w, l) = (40, 7, 2, 3);
    let f = |x: usize| x as f64;
    let space = LabelSpace::new(
        ["teff", "feh", "mg_fe"].map(String::from).to_vec(),
        vec!["dex".into(); l],
        vec![-1.0; l],
        vec![1.0, 1.5, 1.25],
    );
    let labels = Array2::from_shape_fn((n, l), |(i, k)| (1.3 * f(i) + 2.1 * f(k) + 0.7 * f(k * i)).sin());
    let flux = Array2::from_shape_fn((n, w), |(i, w)| {
        let inside = 0.3 * labels[[i, 0]] + 0.2 * labels[[i, 1]] * f(w + 1) + 0.4 * labels[[i, 2]];
        (1.0 - 0.2 * inside.exp() + 0.01 * (3.0 * f(i) + f(w)).cos()) as f32
    });
    let weight =
        |(i, w): (usize, usize)| if (i + 5 * w) % 9 == 0 { 0.0 } else { 400.0 * (1.0 + 0.5 * (f(i) + 2.0 * f(w)).sin()) };
    let inverse_variance = Array2::from_shape_fn((n, w), |at| weight(at) as f32);
    let spectra = LabelledSpectra { labels, label_errors: None, flux, inverse_variance };
    let gradient = |(j, k, w): (usize, usize, usize)| (-0.05 * (1.0 + 0.2 * (f(j) + f(k) + f(w)).sin())) as f32;
    let library = GradientLibrary {
        names: ["teff", "feh", "mg_fe"].map(String::from).to_vec(),
        units: vec!["dex".into(); l],
        wavelength: vec![5000.0, 5001.0],
        resolution: 2000.0,
        labels: Array2::from_shape_fn((r, l), |(j, k)| 0.9 * (0.8 * f(j) + 1.7 * f(k) + 1.1 * f(k * j)).sin()),
        flux: Array2::ones((r, w)),
        gradient: Array3::from_shape_fn((r, l, w), gradient),
        steps: vec![0.0; l],
        origin: "formulas".into(),
    };
    TrainingSet {
        space: space.unwrap(),
        wavelength: vec![5000.0, 5001.0],
        validation: spectra.select(&[]),
        spectra,
        library: Some(library),
    }
}

#[test]
fn the_closed_form_is_the_least_squares_solution_of_numpy() {
    // numpy 2.4.6: numpy.linalg.lstsq(rows, right, rcond=None) with a row for every spectrum, reference and
    // label, and coefficient, times the root of its weight; the same formulas, fluxes, weights and gradients
    // rounded to float32. The last two numbers are χ² per spectrum and the gradient term, Σ Dₖ/R |d|.
    let expected = [
        array![
            0.76595424,
            -0.126928,
            -0.00538194,
            -0.10165079,
            -0.00346045,
            -0.01665759,
            -0.1246187,
            -0.01443567,
            0.0132335,
            -0.00428989,
            0.4437122988765581,
            0.3055217808963728
        ],
        array![
            7.60306185e-01,
            -1.39813100e-01,
            -5.91990519e-03,
            -1.05895172e-01,
            3.20173796e-03,
            -1.21045414e-03,
            -1.25268628e-01,
            -3.18010059e-02,
            7.77648820e-03,
            4.39428465e-04,
            1.1922896473087654,
            0.4110368660256549
        ],
    ];
    let options = PolynomialOptions { core_degree: 2, cross_degree: 1, smoothing: 0.1, ..PolynomialOptions::default() };
    let set = small_set();
    let places = std::sync::Mutex::new(Vec::new());
    let trained = train_polynomials(&set, &options, &Checkpoint::default(), &|place, _| {
        places.lock().unwrap().push(place);
        Ok(())
    })
    .unwrap();
    places.lock().unwrap().sort_unstable();
    assert_eq!(*places.lock().unwrap(), [0, 1].map(|pixel| Place { round: 0, n_rounds: 1, pixel }));
    let powers: Vec<[u8; 3]> = trained.model.terms.powers().iter().map(|powers| [powers[0], powers[1], powers[2]]).collect();
    let of_numpy = [[0, 0, 0], [0, 1, 0], [0, 2, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [0, 0, 2]];
    assert_eq!(powers, of_numpy);
    for (w, expected) in expected.iter().enumerate() {
        for t in 0..10 {
            let own = f64::from(trained.model.coefficients[[w, t]]);
            assert!((own - expected[t]).abs() < 1e-7, "pixel {w}, term {t}: {own} against {}", expected[t]);
        }
        let kept = trained.pixels[w].kept;
        // Of the coefficients in single precision.
        assert!((kept.flux - expected[10]).abs() < 1e-5 && (kept.gradient - expected[11]).abs() < 1e-5, "{kept:?}");
        let [flux, gradient] = metrics(&set, &trained.model, w);
        assert!((kept.flux - flux).abs() < 1e-12 && (kept.gradient - gradient).abs() < 1e-12, "{kept:?}: {flux}, {gradient}");
    }
    // The control: another weight of the gradient term is another solution.
    let other = PolynomialOptions { regularisation: 0.5, ..options.clone() };
    let other = train_polynomials(&set, &other, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    assert!((&other.model.coefficients - &trained.model.coefficients).iter().any(|d| d.abs() > 1e-3));
    let unknown = PolynomialOptions { regularisation_of: [("al_fe".to_owned(), 1.0)].into(), ..options.clone() };
    let error = train_polynomials(&set, &unknown, &Checkpoint::default(), &|_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("'al_fe'") && error.contains("mg_fe"), "{error}");
    let error =
        train_polynomials(&set, &options, &Checkpoint::default(), &|_, _| Err(Error::usage("stopped"))).unwrap_err().to_string();
    assert!(error.contains("stopped"), "{error}");
}

/// χ² per spectrum and the gradient term, D′ = 1, of a saved polynomial.
fn metrics(set: &TrainingSet, model: &PixelPolynomials, w: usize) -> [f64; 2] {
    let scaled = set.space.scale(set.spectra.labels.view());
    let good: Vec<usize> = (0..set.spectra.len()).filter(|&i| set.spectra.inverse_variance[[i, w]] > 0.0).collect();
    let square = |&i: &usize| {
        let missed = model.evaluate(w, &scaled.row(i).to_vec()).0 - f64::from(set.spectra.flux[[i, w]]);
        f64::from(set.spectra.inverse_variance[[i, w]]) * missed * missed
    };
    let library = set.library.as_ref().unwrap();
    let (references, rms) = (set.space.scale(library.labels.view()), library.gradient_rms(&set.space));
    let mut gradient = 0.0;
    for (j, at) in references.rows().into_iter().enumerate() {
        for (k, slope) in model.evaluate(w, &at.to_vec()).1.into_iter().enumerate() {
            let truth = f64::from(library.gradient[[j, k, w]]) * set.space.width(k);
            gradient += (slope - truth).abs() / rms[k] / references.nrows() as f64;
        }
    }
    [good.iter().map(square).sum::<f64>() / good.len() as f64, gradient]
}

/// Some pixels of a set are as in a training of all, although a label may have no line on them.
#[test]
fn polynomials_at_some_pixels_are_those_of_a_training_of_all() {
    let mut set = small_set();
    set.library.as_mut().unwrap().gradient.slice_mut(s![.., 2, 1]).fill(0.0);
    let options = PolynomialOptions { core_degree: 2, cross_degree: 1, ..PolynomialOptions::default() };
    let all = train_polynomials(&set, &options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let some = train_polynomials_at(&set, &[1], None, &options, &|_, _| Ok(())).unwrap();
    let apart = |coefficients: ndarray::ArrayView1<f32>| {
        coefficients.iter().zip(all.model.coefficients.row(1)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(apart(some.model.coefficients.row(0)) < 1e-6, "{:?}", some.model.coefficients);
    let (own, expected) = (some.pixels[0].kept, all.pixels[1].kept);
    assert!((own.flux - expected.flux).abs() < 1e-5 && (own.gradient - expected.gradient).abs() < 1e-5, "{own:?} {expected:?}");
    // The control: on its own the pixel knows nothing of the label's gradients elsewhere.
    let alone = train_polynomials(&set.at_pixels(&[1], None), &options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    assert!(apart(alone.model.coefficients.row(0)) > 1e-3 && (alone.pixels[0].kept.gradient - expected.gradient).abs() > 1e-3);
}

#[test]
fn pixels_with_the_same_weights_and_alone_have_the_same_solution() {
    let mut set = small_set();
    let options = PolynomialOptions::default();
    let of = |set: &TrainingSet, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train_polynomials(set, &options, &Checkpoint::default(), &|_, _| Ok(()))).unwrap()
    };
    let column = set.spectra.inverse_variance.column(0).to_owned();
    set.spectra.inverse_variance.column_mut(1).assign(&column);
    let together = of(&set, 2);
    assert_eq!(together.model, of(&set, 1).model);
    // One missing spectrum more in pixel 1, whose weight is next to nothing in place of nothing.
    set.spectra.inverse_variance[[3, 1]] = 1e-12;
    set.spectra.inverse_variance[[3, 0]] = 1e-12;
    let next = of(&set, 1);
    set.spectra.inverse_variance[[3, 1]] = 1.0001e-12;
    let apart = of(&set, 1);
    assert_eq!(next.model.coefficients.row(0), apart.model.coefficients.row(0));
    let difference = &next.model.coefficients.row(1) - &apart.model.coefficients.row(1);
    assert!(difference.iter().all(|d| d.abs() < 1e-6), "{difference}");
    // Pixels without a spectrum have what the library says of their gradients, and a constant near zero.
    set.spectra.inverse_variance.column_mut(1).fill(0.0);
    set.spectra.flux.column_mut(1).fill(f32::NAN);
    let without = of(&set, 1);
    assert!(without.pixels[1].kept.flux == 0.0 && without.model.coefficients.iter().all(|value| value.is_finite()));
}
