//! Joint networks: derivatives, engine, files, the published layout.

use super::*;
use crate::per_pixel::engine::{emulate, evaluate_all};
use crate::per_pixel::tensor_file::TensorWriter;
use crate::testing::central_difference;
use ndarray::s;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn random_network(l: usize, hidden: &[usize], w: usize, activation: Activation) -> JointNetwork {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut inputs = l;
    let layers = hidden.iter().chain([&w]).map(|&outputs| {
        let scale = 1.5 / (inputs as f32).sqrt();
        let kernel = Array2::from_shape_fn((outputs, inputs), |_| scale * random.gen_range(-1.0..1.0_f32));
        inputs = outputs;
        DenseLayer { kernel, bias: Array1::from_shape_fn(outputs, |_| random.gen_range(-1.0..1.0_f32)) }
    });
    let layers = layers.collect();
    let names = (0..l).map(|k| format!("label{k}")).collect();
    let space = LabelSpace::new(names, vec!["dex".into(); l], vec![-1.0; l], vec![2.0; l]).unwrap();
    JointNetwork::new(space, (0..w).map(|i| 5000.0 + i as f64).collect(), activation, layers).unwrap()
}

fn random_labels(n: usize, l: usize) -> Array2<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    Array2::from_shape_fn((n, l), |_| random.gen_range(-0.5..0.5))
}

const KINDS: [(&[usize], Activation); 4] = [
    (&[30, 30], Activation::Sigmoid),
    (&[17, 23], Activation::LeakyRelu),
    (&[16], Activation::Tanh),
    (&[9, 8, 7], Activation::Tanh),
];

#[test]
fn label_gradients_are_those_of_central_differences() {
    for (hidden, activation) in KINDS {
        let network = random_network(5, hidden, 4, activation);
        let x = random_labels(1, 5).row(0).to_vec();
        let (_, slopes) = network.evaluate(&x);
        for w in 0..4 {
            let difference = central_difference(|x| network.evaluate(x).0[w], &x);
            for (own, difference) in slopes.row(w).iter().zip(difference) {
                assert!((own - difference).abs() < 1e-7, "{activation:?} {hidden:?}: {own} against {difference}");
            }
        }
    }
}

#[test]
fn the_engine_agrees_with_double_precision_in_any_company() {
    for (hidden, activation) in KINDS {
        let network = random_network(5, hidden, 8 * 32 + 13, activation);
        let engine = JointEngine::new(&network);
        let scaled = random_labels(70, 5);
        let labels = network.space.unscale(scaled.view());
        let (all, flux) = (evaluate_all(&engine, labels.view()), emulate(&engine, labels.view()));
        for i in [0, 5, 14, 63, 69] {
            let alone = labels.slice(s![i..=i, ..]);
            assert_eq!(evaluate_all(&engine, alone).index_axis(ndarray::Axis(0), 0), all.index_axis(ndarray::Axis(0), i));
            assert_eq!(emulate(&engine, alone).row(0), flux.row(i));
            assert_eq!(all.slice(s![i, 0, ..]), flux.row(i));
            let (values, slopes) = network.evaluate(&scaled.row(i).to_vec());
            for w in 0..network.n_pixels() {
                assert!((f64::from(flux[[i, w]]) - values[w]).abs() < 1e-5, "{activation:?} {hidden:?}");
                for k in 0..5 {
                    assert!((f64::from(all[[i, 1 + k, w]]) - slopes[[w, k]]).abs() < 1e-5, "{activation:?} {hidden:?}");
                }
            }
        }
    }
}

#[test]
fn networks_come_back_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joint.safetensors");
    for (hidden, activation) in KINDS {
        let network = random_network(4, hidden, 6, activation);
        network.write(&path, true).unwrap();
        assert_eq!(JointNetwork::read(&path).unwrap(), network);
    }
    let mut broken = random_network(4, &[5], 6, Activation::Tanh);
    broken.layers[1].kernel[[2, 3]] = f32::INFINITY;
    broken.write(&path, true).unwrap();
    let error = JointNetwork::read(&path).unwrap_err().to_string();
    assert!(error.contains("layer 1") && error.contains("joint.safetensors"), "{error}");
    let write = |second: [usize; 2], bias: usize| {
        let mut file = TensorWriter::default();
        file.single("w0", &[3, 2], vec![0.1; 6]);
        file.single("b0", &[3], vec![0.1; 3]);
        file.single("w1", &second, vec![0.1; second[0] * second[1]]);
        file.single("b1", &[bias], vec![0.1; bias]);
        file.double("minimum", &[2], [0.0; 2]);
        file.double("maximum", &[2], [1.0; 2]);
        file.text("label_names", "teff,logg");
        file.text("activation", "sigmoid");
        file.write(&path, true).unwrap();
        JointNetwork::read(&path)
    };
    assert_eq!(write([7, 3], 7).unwrap().hidden(), [3]);
    assert!(write([7, 4], 7).unwrap_err().to_string().contains("as many inputs"));
    assert!(write([7, 3], 6).unwrap_err().to_string().contains("'b1'"));
    assert!(write([0, 1 << 40], 0).unwrap_err().to_string().contains("no axis of length 0"));
    let mut file = TensorWriter::default();
    for layer in [0, 2] {
        file.single(&format!("w{layer}"), &[2, 2], vec![0.1; 4]);
        file.single(&format!("b{layer}"), &[2], vec![0.1; 2]);
    }
    file.write(&path, true).unwrap();
    let error = JointNetwork::read(&path).unwrap_err().to_string();
    assert!(error.contains("'w1'"), "{error}");
    assert!(JointNetwork::new(broken.space.clone(), Vec::new(), Activation::Tanh, Vec::new()).is_err());
}

/// The layout of The Payne's `NN_normalized_spectra.npz`, evaluated here as its `spectral_model.py` does:
/// einsum('ij,j->i', w_array_0, scaled) + b_array_0, leaky ReLU z·(z > 0) + 0.01 z·(z < 0), and so on.
#[test]
fn the_published_layout_is_imported() {
    let (l, h, w) = (5, 10, 21);
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut draw = |length: usize| -> Vec<f32> { (0..length).map(|_| random.gen_range(-1.0..1.0)).collect() };
    let kernels = [draw(h * l), draw(h * h), draw(w * h)];
    let biases = [draw(h), draw(h), draw(w)];
    let (x_min, x_max) = ([4000.0, 0.0, -2.5, -0.3, 0.5], [8000.0, 5.0, 0.5, 0.6, 3.0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("published.safetensors");
    let mut file = TensorWriter::default();
    for (index, shape) in [[h, l], [h, h], [w, h]].into_iter().enumerate() {
        file.single(&format!("w_array_{index}"), &shape, kernels[index].iter().copied());
        file.single(&format!("b_array_{index}"), &shape[..1], biases[index].iter().copied());
    }
    file.double("x_min", &[l], x_min);
    file.double("x_max", &[l], x_max);
    file.text("label_names", "Teff,log_g,FE_H,alpha_fe,vmacro");
    file.write(&path, false).unwrap();
    let network = JointNetwork::read(&path).unwrap();
    assert_eq!(network.space.names, ["teff", "logg", "feh", "alpha_fe", "vmacro"]);

    let labels = [5800.0, 4.4, -0.2, 0.1, 1.0];
    let mut value: Vec<f64> = (0..l).map(|k| (labels[k] - x_min[k]) / (x_max[k] - x_min[k]) - 0.5).collect();
    for index in 0..3 {
        let n = value.len();
        value = (0..biases[index].len())
            .map(|i| {
                let sum: f64 = (0..n).map(|j| f64::from(kernels[index][i * n + j]) * value[j]).sum();
                let z = sum + f64::from(biases[index][i]);
                if index < 2 && z < 0.0 { 0.01 * z } else { z }
            })
            .collect();
    }
    let row = Array2::from_shape_vec((1, l), labels.to_vec()).unwrap();
    let flux = emulate(&JointEngine::new(&network), row.view());
    assert!(flux.row(0).iter().zip(&value).all(|(own, expected)| (f64::from(*own) - expected).abs() < 1e-5));
}
