//! Networks against counts from outside, central differences, and each other.

use super::*;
use crate::tensor::{Device, Precision, Weights, to_f64};
use ndarray::Array2;
use rand::Rng;

fn network(inputs: usize, layers: &[Layer]) -> Network {
    Network { name: "network".into(), inputs, layers: layers.to_vec() }
}

/// Shen et al. (2025), sec. 3: kernels of 3, pooling of 3 after each convolution, 512 and 256 neurons, five
/// labels.
fn solardis() -> Network {
    let convolution =
        |channels| [Layer::Convolution { channels, kernel: 3 }, Layer::LeakyRelu { slope: 0.01 }, Layer::MaxPooling { size: 3 }];
    let linear = |outputs| [Layer::Linear { outputs }, Layer::LeakyRelu { slope: 0.01 }];
    let mut layers = [64, 128, 256].map(convolution).concat();
    layers.push(Layer::Flatten);
    layers.extend([512, 256].map(linear).concat());
    layers.push(Layer::Linear { outputs: 5 });
    network(4875, &layers)
}

fn every_kind() -> Network {
    network(
        14,
        &[
            Layer::Convolution { channels: 3, kernel: 3 },
            Layer::Tanh,
            Layer::MaxPooling { size: 2 },
            Layer::Convolution { channels: 9, kernel: 5 },
            Layer::LeakyRelu { slope: 0.1 },
            Layer::Flatten,
            Layer::Linear { outputs: 10 },
            Layer::Sigmoid,
            Layer::Dropout { probability: 0.3 },
            Layer::Linear { outputs: 6 },
            Layer::Relu,
            Layer::Linear { outputs: 2 },
        ],
    )
}

fn rows(n: usize, width: usize) -> Array2<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    Array2::from_shape_simple_fn((n, width), || random.r#gen::<f32>() * 2.0 - 1.0)
}

#[test]
fn the_network_of_solardis_has_the_published_number_of_parameters() {
    let network = solardis();
    assert_eq!(network.n_parameters().unwrap(), 23_849_605);
    // By hand: 64·3·4875 + 128·192·1625 + 256·384·541 + 46080·512 + 512·256 + 256·5.
    assert_eq!(network.n_products().unwrap(), 117_779_776);
    let forms = network.forms().unwrap();
    assert!(forms.contains(&Form::Features(46_080)) && network.n_outputs().unwrap() == 5);
    let small = every_kind();
    let weights = Weights::new(&small.specifications(1).unwrap(), &Device::cpu()).unwrap();
    assert_eq!(weights.n_values(), small.n_parameters().unwrap());
}

#[test]
fn layers_that_do_not_fit_are_refused_by_their_position() {
    for (layers, text) in [
        (vec![Layer::Convolution { channels: 2, kernel: 3 }, Layer::Linear { outputs: 1 }], "layer 1"),
        (vec![Layer::Convolution { channels: 2, kernel: 4 }], "odd"),
        (vec![Layer::MaxPooling { size: 3 }], "layer 0"),
        (vec![Layer::Linear { outputs: 0 }], "no outputs"),
        (vec![Layer::Convolution { channels: 2, kernel: 3 }], "at its end"),
        (vec![Layer::Dropout { probability: 1.0 }, Layer::Linear { outputs: 1 }], "probability"),
    ] {
        let error = network(8, &layers).forms().unwrap_err();
        assert!(error.to_string().contains(text) && error.exit_code() == 2, "{error}");
    }
}

#[test]
fn layers_survive_toml_and_unknown_ones_are_refused() {
    let network = every_kind();
    let text = toml::to_string(&network).unwrap();
    assert_eq!(toml::from_str::<Network>(&text).unwrap(), network);
    assert!(toml::from_str::<Network>(&text.replace("sigmoid", "sigmoidal")).is_err());
}

/// All derivatives by weights of a loss with a fixed dropout mask, in double precision.
#[test]
fn gradients_are_central_differences() {
    let network = every_kind();
    let device = Device::cpu().with_precision(Precision::Double).taped();
    let specifications = network.specifications(3).unwrap();
    let weights = Weights::new(&specifications, &device).unwrap();
    let x: Vec<f64> = rows(5, 14).iter().map(|&value| f64::from(value)).collect();
    let loss = |weights: &Weights| {
        let mut dropouts = Dropouts::new(1, 2, &device);
        let y = network.forward(weights, device.tensor(&x, [5, 14]), Some(&mut dropouts)).unwrap();
        (y.clone() * y).sum()
    };
    let gradients = weights.host_gradients(loss(&weights));
    let mut worst = 0.0_f64;
    for (tensor, specification) in specifications.iter().enumerate() {
        for value in (0..specification.initial.len()).step_by(3) {
            let at = |step: f64| {
                let mut moved = specification.initial.clone();
                moved[value] += step;
                let mut weights = weights.clone();
                weights.set(&specification.name, &moved, &device).unwrap();
                to_f64(loss(&weights))[0]
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            worst = worst.max((difference - gradients[tensor][value]).abs() / (1.0 + difference.abs()));
        }
    }
    println!("largest difference {worst:.1e}");
    assert!(worst < 1e-8, "{worst}");
}

#[test]
fn the_processors_kernels_are_the_same_network_and_know_no_company() {
    for network in [every_kind(), network(13, &[Layer::Linear { outputs: 11 }, Layer::Tanh, Layer::Linear { outputs: 3 }])] {
        let device = Device::cpu();
        let weights = Weights::new(&network.specifications(4).unwrap(), &device).unwrap();
        let x = rows(21, network.inputs);
        let values: Vec<f64> = x.iter().map(|&value| f64::from(value)).collect();
        let expected = to_f64(network.forward(&weights, device.tensor(&values, [21, network.inputs]), None).unwrap());
        let predictor = Predictor::new(&network, &weights).unwrap();
        let found = predictor.predict(x.view());
        let worst = found.iter().zip(expected).fold(0.0_f64, |worst, (a, b)| worst.max((f64::from(*a) - b).abs()));
        assert!(worst < 2e-6, "{worst}");
        for star in [0, 7, 20] {
            let alone = predictor.predict(x.slice(ndarray::s![star..star + 1, ..]));
            assert_eq!(alone.row(0), found.row(star), "bit for bit");
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_is_repeatable() {
    let device = Device::cpu();
    let network = network(1000, &[Layer::Dropout { probability: 0.2 }]);
    let weights = Weights::new(&[], &device).unwrap();
    let drop = |step| {
        let mut dropouts = Dropouts::new(9, step, &device);
        to_f64(network.forward(&weights, device.tensor(&vec![1.0; 20_000], [20, 1000]), Some(&mut dropouts)).unwrap())
    };
    let values = drop(1);
    let mean = values.iter().sum::<f64>() / 20_000.0;
    // 1.25 with probability 0.8: deviation 0.5, of the mean of 20 000 values 0.0035
    assert!((mean - 1.0).abs() < 0.0141 && values.iter().all(|value| *value == 0.0 || (value - 1.25).abs() < 1e-6), "{mean}");
    assert!(values == drop(1) && values != drop(2));
}

/// `cargo test --release --lib layers -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let mlp = |inputs| {
        let hidden = |outputs| [Layer::Linear { outputs }, Layer::Relu];
        let mut layers = [100, 100].map(hidden).concat();
        layers.push(Layer::Linear { outputs: 4 });
        network(inputs, &layers)
    };
    for (name, network, n) in [("MLP of 66 inputs", mlp(66), 20_000), ("SolarDis", solardis(), 16)] {
        let weights = Weights::new(&network.specifications(1).unwrap(), &Device::cpu()).unwrap();
        let predictor = Predictor::new(&network, &weights).unwrap();
        let x = rows(n, network.inputs);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let best = (0..5)
            .map(|_| {
                let start = std::time::Instant::now();
                pool.install(|| predictor.predict(x.view()));
                start.elapsed().as_secs_f64()
            })
            .fold(f64::MAX, f64::min);
        println!("{name}: {:.2} us per star", best / n as f64 * 1e6);
    }
}
