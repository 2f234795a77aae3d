//! Networks: reference, engine, files.

use super::engine::CHUNK;
use super::tensor_file::TensorWriter;
use super::*;
use crate::tensor::lanes::{Block, floats};
use crate::testing::central_difference;
use ndarray::{Array2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) fn random_networks(n_labels: usize, hidden: &[usize], activation: Activation, w: usize) -> PixelNetworks {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let architecture = Architecture::new(n_labels, hidden, activation).unwrap();
    let parameters = Array2::from_shape_fn((w, architecture.n_parameters()), |_| random.gen_range(-0.8..0.8_f32));
    let names = (0..n_labels).map(|k| format!("label{k}")).collect();
    let space = LabelSpace::new(names, vec!["dex".into(); n_labels], vec![-1.0; n_labels], vec![2.0; n_labels]).unwrap();
    PixelNetworks::new(space, (0..w).map(|i| 5000.0 + i as f64).collect(), architecture, parameters).unwrap()
}

pub(super) fn random_labels(n: usize, n_labels: usize) -> Array2<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    Array2::from_shape_fn((n, n_labels), |_| random.gen_range(-0.5..0.5))
}

const KINDS: [(&[usize], Activation); 5] = [
    (&[20], Activation::Tanh),
    (&[7], Activation::Sigmoid),
    (&[9], Activation::LeakyRelu),
    (&[6, 5], Activation::Tanh),
    (&[8, 4], Activation::Sigmoid),
];

#[test]
fn label_gradients_are_those_of_central_differences() {
    for (hidden, activation) in KINDS {
        let networks = random_networks(4, hidden, activation, 3);
        let parameters = networks.parameters.mapv(f64::from).row(1).to_vec();
        let x = random_labels(1, 4).row(0).to_vec();
        let (_, gradient) = networks.architecture.evaluate(&parameters, &x);
        let difference = central_difference(|x| networks.architecture.evaluate(&parameters, x).0, &x);
        for (own, difference) in gradient.iter().zip(difference) {
            // Seen: below 1e-11.
            assert!((own - difference).abs() < 1e-9, "{activation:?} {hidden:?}: {own} against {difference}");
        }
    }
}

#[test]
fn the_engine_agrees_with_double_precision_in_any_company() {
    for (hidden, activation) in KINDS {
        for n_labels in [15, 4] {
            let networks = random_networks(n_labels, hidden, activation, 37);
            let engine = NetworkEngine::new(&networks);
            let scaled = random_labels(5, n_labels);
            let single: Vec<f32> = scaled.iter().map(|value| *value as f32).collect();
            let (n_blocks, rows) = (5, 1 + n_labels);
            let mut out = vec![Block::default(); 5 * rows * n_blocks];
            engine.evaluate(0..n_blocks, &single, true, &mut out);
            for i in 0..5 {
                for w in 0..37 {
                    let parameters = networks.parameters.row(w).mapv(f64::from).to_vec();
                    let x: Vec<f64> = single[i * n_labels..(i + 1) * n_labels].iter().map(|value| f64::from(*value)).collect();
                    let (flux, gradient) = networks.architecture.evaluate(&parameters, &x);
                    let own = |row: usize| f64::from(floats(&out[(i * rows + row) * n_blocks..])[w]);
                    // Seen: 1.5e-6.
                    assert!((own(0) - flux).abs() < 5e-6, "{activation:?} {hidden:?}");
                    for (k, gradient) in gradient.iter().enumerate() {
                        assert!((own(1 + k) - gradient).abs() < 5e-6, "{activation:?} {hidden:?}, label {k}");
                    }
                }
            }
            // A star alone, and other blocks.
            let mut alone = vec![Block::default(); rows * 2];
            engine.evaluate(2..4, &single[2 * n_labels..3 * n_labels], true, &mut alone);
            for row in 0..rows {
                assert_eq!(alone[row * 2..row * 2 + 2], out[(2 * rows + row) * n_blocks + 2..(2 * rows + row) * n_blocks + 4]);
            }
        }
    }
}

#[test]
fn emulated_spectra_have_their_pixels() {
    let networks = random_networks(15, &[20], Activation::Tanh, 8 * CHUNK + 13);
    let labels = networks.space.unscale(random_labels(19, 15).view());
    let flux = emulate(&NetworkEngine::new(&networks), labels.view());
    let truth = networks.flux_in_double(networks.space.scale(labels.view()).view());
    let worst = (flux.mapv(f64::from) - truth).iter().fold(0.0_f64, |worst, error| worst.max(error.abs()));
    assert!(worst < 5e-6, "{worst:e}");
}

#[test]
fn networks_come_back_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("networks.safetensors");
    for (hidden, activation) in KINDS {
        let networks = random_networks(4, hidden, activation, 6);
        networks.write(&path, true).unwrap();
        assert_eq!(PixelNetworks::read(&path).unwrap(), networks);
    }
    // Labels keep the names of the columns that they were trained with.
    let mut named = random_networks(4, &[5], Activation::Tanh, 6);
    named.space.names = ["Teff", "log_g", "FE_H", "vmic"].map(String::from).to_vec();
    named.write(&path, true).unwrap();
    assert_eq!(PixelNetworks::read(&path).unwrap(), named);
    // Tensors without numbers claim what would take terabytes.
    for (first, second) in [([1, 1, 1], [0, 1 << 40]), ([0, 1 << 40, 1], [1, 1])] {
        let mut file = TensorWriter::default();
        let zeros = |shape: &[usize]| vec![0.0_f32; shape.iter().product()];
        file.single("w0", &first, zeros(&first));
        file.single("b1", &second, zeros(&second));
        file.single("w2", &[1, 1], [0.0_f32]);
        file.text("activation", "tanh");
        file.write(&path, true).unwrap();
        let error = PixelNetworks::read(&path).unwrap_err().to_string();
        assert!(error.contains("no axis of length 0"), "{error}");
    }
    let mut broken = random_networks(4, &[5], Activation::Tanh, 6);
    broken.parameters[[2, 3]] = f32::NAN;
    broken.write(&path, true).unwrap();
    let error = PixelNetworks::read(&path).unwrap_err().to_string();
    assert!(error.contains("pixel 2") && error.contains("networks.safetensors"), "{error}");
}

/// The per-pixel layout of Ting et al. (2017) and El-Badry et al. (2018): `w_array_0 [W,5,5]`, one sigmoid
/// layer, (labels − x_min)/(x_max − x_min) − ½; evaluated here as published, with einsum('ijk,k->ij') and
/// einsum('ij,ij->i').
#[test]
fn the_published_layout_is_imported() {
    let (w, n) = (11, 5);
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut draw = |length: usize| -> Vec<f32> { (0..length).map(|_| random.gen_range(-3.0..3.0)).collect() };
    let (w0, b0, w1, b1) = (draw(w * n * n), draw(w * n), draw(w * n), draw(w));
    let (x_min, x_max) = ([4000.0, 0.0, -2.5, -0.3, 0.5], [8000.0, 5.0, 0.5, 0.6, 3.0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("published.safetensors");
    let mut file = TensorWriter::default();
    file.single("w_array_0", &[w, n, n], w0.iter().copied());
    file.single("b_array_0", &[w, n], b0.iter().copied());
    file.single("w_array_1", &[w, n], w1.iter().copied());
    file.single("b_array_1", &[w], b1.iter().copied());
    file.double("x_min", &[n], x_min);
    file.double("x_max", &[n], x_max);
    file.text("label_names", "teff,logg,feh,alpha_fe,vmacro");
    file.write(&path, false).unwrap();

    let networks = PixelNetworks::read(&path).unwrap();
    let labels = [5800.0, 4.4, -0.2, 0.1, 1.0];
    let scaled: Vec<f64> = (0..n).map(|k| (labels[k] - x_min[k]) / (x_max[k] - x_min[k]) - 0.5).collect();
    let row = Array2::from_shape_vec((1, n), labels.to_vec()).unwrap();
    let flux = emulate(&NetworkEngine::new(&networks), row.view());
    for i in 0..w {
        let mut expected = f64::from(b1[i]);
        for j in 0..n {
            let inside: f64 =
                (0..n).map(|k| f64::from(w0[(i * n + j) * n + k]) * scaled[k]).sum::<f64>() + f64::from(b0[i * n + j]);
            expected += f64::from(w1[i * n + j]) / (1.0 + (-inside).exp());
        }
        assert!((f64::from(flux[[0, i]]) - expected).abs() < 1e-5);
    }

    let mut file = TensorWriter::default();
    file.single("w_array_0", &[w, n, n], w0.iter().copied());
    file.single("b_array_0", &[w, n + 1], vec![0.0; w * (n + 1)]);
    file.write(&path, true).unwrap();
    let error = PixelNetworks::read(&path).unwrap_err().to_string();
    assert!(error.contains("b_array_0") && error.contains("[11, 6]"), "{error}");
}

#[test]
fn impossible_networks_are_refused() {
    assert!(Architecture::new(3, &[], Activation::Tanh).is_err());
    assert!(Architecture::new(3, &[4, 0], Activation::Tanh).is_err());
    assert!(Architecture::new(3, &[4, 4, 4], Activation::Tanh).is_err());
    let good = random_networks(3, &[4], Activation::Tanh, 2);
    let short = good.parameters.slice(s![.., 1..]).to_owned();
    assert!(PixelNetworks::new(good.space.clone(), Vec::new(), good.architecture.clone(), short).is_err());
}
