//! Fits on a device against those of the processor's engine: here the device is the processor.

use super::*;
use crate::per_pixel::{Activation, Architecture, NetworkEngine, PixelNetworks};
use crate::tensor::Precision;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

const L: usize = 5;
const W: usize = 83;

fn networks(hidden: &[usize], activation: Activation) -> PixelNetworks {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let architecture = Architecture::new(L, hidden, activation).unwrap();
    let parameters = Array2::from_shape_fn((W, architecture.n_parameters()), |_| random.gen_range(-0.8..0.8_f32));
    let names = (0..L).map(|k| format!("label{k}")).collect();
    let space = LabelSpace::new(names, vec!["dex".into(); L], vec![-1.0; L], vec![2.0; L]).unwrap();
    PixelNetworks::new(space, (0..W).map(|i| 5000.0 + i as f64).collect(), architecture, parameters).unwrap()
}

/// Scaled labels well within the range.
fn labels(n: usize, seed: u64) -> Array2<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((n, L), |_| random.gen_range(-0.35..0.35))
}

fn spectra(networks: &PixelNetworks, n: usize, ratio: f64) -> (Array2<f32>, Array2<f32>) {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let flux = networks.flux_in_double(labels(n, 4).view()).mapv(|flux| {
        let normal: f64 = StandardNormal.sample(&mut random);
        (flux + normal / ratio) as f32
    });
    (flux, Array2::from_elem((n, W), (ratio * ratio) as f32))
}

/// Both to the last digits, so that the engines are compared and not the rules by which they end.
fn fitters(networks: &PixelNetworks, device: &Device) -> (DeviceFitter, SpectrumFitter) {
    let options = SpectrumFitOptions { tolerance: 1e-8, ..SpectrumFitOptions::default() };
    let engine = NetworkEngine::new(networks);
    let templates = networks.space.unscale(labels(40, 5).view());
    let tensors = Box::new(TensorNetworks::new(networks, device));
    let on_device = DeviceFitter::new(tensors, &engine, templates.view(), &options).unwrap();
    (on_device, SpectrumFitter::new(Arc::new(engine), templates.view(), options).unwrap())
}

const KINDS: [(&[usize], Activation); 4] =
    [(&[20], Activation::Tanh), (&[7], Activation::Sigmoid), (&[9], Activation::LeakyRelu), (&[6, 5], Activation::Tanh)];

#[test]
fn flux_and_derivatives_are_those_of_double_precision() {
    for (hidden, activation) in KINDS {
        let networks = networks(hidden, activation);
        let scaled = labels(7, 6);
        for (precision, tolerance) in [(Precision::Single, 5e-6), (Precision::Double, 1e-12)] {
            let device = Device::cpu().with_precision(precision);
            let at = device.tensor(&scaled.iter().copied().collect::<Vec<_>>(), [7, L]);
            let (flux, slopes) = TensorNetworks::new(&networks, &device).evaluate(at);
            assert_eq!((flux.dims(), slopes.dims()), ([7, W], [7, W, L]));
            let (flux, slopes) = (to_f64(flux), to_f64(slopes));
            for (i, w) in (0..7).flat_map(|i| (0..W).map(move |w| (i, w))) {
                let parameters = networks.parameters.row(w).mapv(f64::from).to_vec();
                let (exact, gradient) = networks.architecture.evaluate(&parameters, &scaled.row(i).to_vec());
                assert!((flux[i * W + w] - exact).abs() < tolerance, "{activation:?} {hidden:?}");
                for (k, exact) in gradient.iter().enumerate() {
                    assert!((slopes[(i * W + w) * L + k] - exact).abs() < tolerance, "{activation:?} {hidden:?}, label {k}");
                }
            }
        }
    }
}

#[test]
fn fits_end_where_those_of_the_processor_do() {
    const N: usize = 400;
    for (hidden, activation) in KINDS {
        let networks = networks(hidden, activation);
        let (mut flux, mut weight) = spectra(&networks, N, 100.0);
        // Missing pixels, too few of them, none.
        for (bad, value) in [f32::NAN, f32::INFINITY, 1e30, -1e30].into_iter().enumerate() {
            flux[[5, 3 * bad]] = value;
            weight[[5, 3 * bad]] = [0.0, f32::NAN, -1.0, 0.0][bad];
        }
        weight.row_mut(7).slice_mut(ndarray::s![9..]).fill(0.0);
        weight.row_mut(8).fill(0.0);
        // One far beyond the bounds.
        flux.row_mut(9).fill(3.0);
        let (on_device, processor) = fitters(&networks, &Device::cpu());
        let found = on_device.fit(flux.view(), weight.view(), None, &processor).unwrap();
        // What is right: the processor's sums of χ² do not tell its last steps.
        let double = Device::cpu().with_precision(Precision::Double);
        let exact = fitters(&networks, &double).0.fit(flux.view(), weight.view(), None, &processor).unwrap();
        let expected = processor.fit(flux.view(), weight.view()).unwrap();
        assert_eq!(found.n_pixels, expected.n_pixels);
        let too_few = |fits: &SpectrumFits| (0..N).filter(|&i| fits.endings[i] == Ending::TooFewPixels).collect::<Vec<_>>();
        assert_eq!((too_few(&found), too_few(&expected)), (vec![7, 8], vec![7, 8]));
        assert!(found.labels.row(7).iter().all(|value| value.is_nan()) && found.chi_square[8].is_nan());
        let are_converged = |i: &usize| [&found, &expected].iter().all(|fits| fits.endings[*i] == Ending::Converged);
        let stars: Vec<usize> = (0..N).filter(are_converged).collect();
        // Another optimum is no fault of rounding.
        let is_near =
            |fits: &SpectrumFits, i: usize| (fits.chi_square[i] - exact.chi_square[i]).abs() < 0.1 + 1e-4 * exact.chi_square[i];
        let is_same = |i: &usize| is_near(&found, *i) && is_near(&expected, *i);
        let same: Vec<usize> = stars.iter().copied().filter(is_same).collect();
        let (mut shifts, mut of_processor, mut covariances, mut losses) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
        for &i in &same {
            assert_eq!(found.at_bound[i], expected.at_bound[i], "star {i}");
            losses = losses.max((found.chi_square[i] / expected.chi_square[i] - 1.0).abs());
            for j in 0..L {
                let shift = |fits: &SpectrumFits| {
                    (fits.labels[[i, j]] - exact.labels[[i, j]]).abs() / expected.covariance[[i, j, j]].sqrt()
                };
                shifts.push(shift(&found));
                of_processor.push(shift(&expected));
                for k in 0..L {
                    let scale = (expected.covariance[[i, j, j]] * expected.covariance[[i, k, k]]).sqrt();
                    covariances.push((found.covariance[[i, j, k]] - expected.covariance[[i, j, k]]).abs() / scale);
                }
            }
        }
        let quantiles = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            [0.5, 0.99, 1.0].map(|part| values[(part * (values.len() - 1) as f64) as usize])
        };
        let [shifts, of_processor, covariances] = [&mut shifts, &mut of_processor, &mut covariances].map(quantiles);
        let said = |values: [f64; 3]| values.map(|value| format!("{value:.1e}")).join(" ");
        println!(
            "{activation:?} {hidden:?}: {} of {N} converged, {} at the same optimum; shifts {} σ (processor {}), covariance {}, χ² \
             {losses:.1e}",
            stars.len(),
            same.len(),
            said(shifts),
            said(of_processor),
            said(covariances)
        );
        let is_smooth = activation != Activation::LeakyRelu;
        let (least, most) = if is_smooth { (N - 10, 2) } else { (N * 8 / 10, N / 20) };
        assert!(stars.len() >= least && stars.len() - same.len() <= most, "{} {}", stars.len(), same.len());
        // Derivatives jump at kinks, and optima lie there.
        let at = if is_smooth { 1 } else { 0 };
        assert!(losses < 1e-4 && shifts[at] < 1e-3 && covariances[at] < 1e-3, "{shifts:?} {covariances:?} {losses}");
    }
}

#[test]
fn starts_are_taken_and_batches_change_little() {
    let networks = networks(&[20], Activation::Tanh);
    let (flux, weight) = spectra(&networks, 70, 100.0);
    let (on_device, processor) = fitters(&networks, &Device::cpu());
    let starts = networks.space.unscale(labels(70, 4).view());
    let all = on_device.fit(flux.view(), weight.view(), None, &processor).unwrap();
    let from = on_device.fit(flux.view(), weight.view(), Some(starts.view()), &processor).unwrap();
    assert!((0..70).all(|i| (all.chi_square[i] - from.chi_square[i]).abs() < 0.01));
    // 70 are three batches; one alone is another.
    let rows = ndarray::s![69..70, ..];
    let alone = on_device.fit(flux.slice(rows), weight.slice(rows), None, &processor).unwrap();
    for k in 0..L {
        assert!((alone.labels[[0, k]] - all.labels[[69, k]]).abs() < 1e-3 * all.covariance[[69, k, k]].sqrt());
    }
    let error = on_device.fit(flux.view(), weight.slice(rows), None, &processor).unwrap_err().to_string();
    assert!(error.contains("as many of both"), "{error}");
}

#[test]
fn what_is_not_had_on_a_device_is_refused_by_name() {
    let networks = networks(&[6], Activation::Tanh);
    let engine = NetworkEngine::new(&networks);
    let templates = networks.space.unscale(labels(4, 5).view());
    let refused = |options: SpectrumFitOptions| {
        let model = Box::new(TensorNetworks::new(&networks, &Device::cpu()));
        DeviceFitter::new(model, &engine, templates.view(), &options).err().map_or_else(String::new, |error| error.to_string())
    };
    let usual = SpectrumFitOptions::default;
    assert_eq!(refused(usual()), "");
    for (option, options) in [
        ("velocity", SpectrumFitOptions { velocity: true, ..usual() }),
        ("continuum_terms", SpectrumFitOptions { continuum_terms: 1, ..usual() }),
        ("rotation", SpectrumFitOptions { rotation: true, ..usual() }),
        ("broadening", SpectrumFitOptions { broadening: true, ..usual() }),
        ("windows_of", SpectrumFitOptions { windows_of: [("label1".to_owned(), vec![[5000.0, 5010.0]])].into(), ..usual() }),
    ] {
        let error = refused(options);
        assert!(error.contains(&format!("fit option {option}")) && error.contains("engine = \"processor\""), "{error}");
    }
    assert!(refused(SpectrumFitOptions { device_memory: 0.0, ..usual() }).contains("device_memory"));
}

/// By files and commands; here `engine = "device"` says what `--device` says elsewhere.
#[test]
fn catalogues_are_those_of_the_processor() {
    use crate::pixel_networks::PolynomialRecipe;
    use crate::pixel_networks::tests::{command, files};
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let labels = ["teff", "logg", "v_mic", "feh"].map(String::from).to_vec();
    write("polynomials.toml", &PolynomialRecipe { labels, resolution: 2500.0, ..PolynomialRecipe::default() }.to_toml().unwrap());
    for (recipe, model) in [("recipe.toml", "model"), ("polynomials.toml", "polynomials")] {
        assert_eq!(command(&format!("train {} {} -o {}", path(recipe), path("training.parquet"), path(model))), 0);
    }
    write("device.toml", "engine = \"device\"\n");
    write("processor.toml", "engine = \"processor\"\n");
    write("velocity.toml", "engine = \"device\"\nvelocity = true\n");
    let fit = |model: &str, config: &str, to: &str| {
        let (model, stars) = (path(model), path("new.parquet"));
        command(&format!("fit {model} {stars} -o {} --config {}", path(to), path(config)))
    };
    for (config, to) in [("device.toml", "device.parquet"), ("processor.toml", "processor.parquet")] {
        assert_eq!(fit("model", config, to), 0, "{to}");
    }
    assert_eq!(fit("polynomials", "device.toml", "none.parquet"), 2, "polynomials are the processor's");
    assert_eq!(fit("model", "velocity.toml", "none.parquet"), 2, "a velocity is");
    let [found, expected] =
        ["device.parquet", "processor.parquet"].map(|name| crate::table::read(&folder.path().join(name)).unwrap());
    for name in ["teff", "logg", "v_mic", "feh"] {
        let column = |table: &crate::table::Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
        let (a, b, error) = (column(&found, name), column(&expected, name), column(&expected, &format!("{name}_error")));
        let apart = (0..200).filter(|&i| i != 3 && (a[i] - b[i]).abs() >= 0.1 * error[i]).count();
        println!("{name}: {apart} of 199 apart by a tenth of an error");
        assert!(apart <= 4 && a[3].is_nan(), "{name}: {apart}");
    }
    let bits = |table: &crate::table::Table| table.column("quality_flags").unwrap().to_i64().unwrap();
    let differ = bits(&found).iter().zip(bits(&expected)).filter(|(a, b)| **a != *b).count();
    assert!(differ <= 4, "{differ}");
}
