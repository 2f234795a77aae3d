//! Networks by burn's functions, on any device and with its tape.

use super::{Layer, Network};
use crate::error::Result;
use crate::tensor::{Device, Tensor, Weights, matmul};
use burn::tensor::activation::{leaky_relu, relu, sigmoid};
use burn::tensor::module::{conv1d, max_pool1d};
use burn::tensor::ops::ConvOptions;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The values that dropout removes, drawn on the host: the same on every device, and after a resume.
pub struct Dropouts {
    random: ChaCha8Rng,
    device: Device,
}

impl Dropouts {
    /// Those of a step of training. `device` is that of the network's inputs.
    pub fn new(seed: u64, step: u64, device: &Device) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(step);
        Self { random, device: device.clone() }
    }

    fn apply<const D: usize>(&mut self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        let shape = x.dims();
        let kept = (1.0 / (1.0 - probability)) as f32;
        let n = shape.iter().product();
        let mask = (0..n).map(|_| if self.random.r#gen::<f64>() < probability { 0.0 } else { kept }).collect();
        x * self.device.tensor_f32(mask, shape)
    }
}

enum Signal {
    Features(Tensor<2>),
    Channels(Tensor<3>),
}

impl Signal {
    fn map(self, features: impl FnOnce(Tensor<2>) -> Tensor<2>, channels: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Self {
        match self {
            Self::Features(x) => Self::Features(features(x)),
            Self::Channels(x) => Self::Channels(channels(x)),
        }
    }

    fn channels(self) -> Tensor<3> {
        match self {
            Self::Features(x) => {
                let [n, length] = x.dims();
                x.reshape([n, 1, length])
            }
            Self::Channels(x) => x,
        }
    }

    fn features(self) -> Tensor<2> {
        match self {
            Self::Features(x) => x,
            Self::Channels(x) => {
                let [n, channels, length] = x.dims();
                x.reshape([n, channels * length])
            }
        }
    }
}

impl Network {
    /// Outputs `[N, outputs]` of inputs `[N, inputs]` on the device of both. Without `dropouts` nothing is
    /// dropped, as for predictions.
    ///
    /// # Errors
    /// When a tensor of the network is missing from the weights or has another number of axes.
    pub fn forward(&self, weights: &Weights, x: Tensor<2>, mut dropouts: Option<&mut Dropouts>) -> Result<Tensor<2>> {
        let mut signal = Signal::Features(x);
        for (position, layer) in self.layers.iter().enumerate() {
            let bias = || weights.get::<1>(&self.tensor(position, "bias"));
            signal = match *layer {
                Layer::Linear { .. } => {
                    let product = matmul(signal.features(), weights.get(&self.tensor(position, "weight"))?);
                    Signal::Features(product + bias()?.unsqueeze())
                }
                Layer::Convolution { kernel, .. } => {
                    let options = ConvOptions::new([1], [kernel / 2], [1], 1);
                    let weight = weights.get(&self.tensor(position, "weight"))?;
                    Signal::Channels(conv1d(signal.channels(), weight, Some(bias()?), options))
                }
                Layer::MaxPooling { size } => Signal::Channels(max_pool1d(signal.channels(), size, size, 0, 1, false)),
                Layer::Flatten => Signal::Features(signal.features()),
                Layer::Dropout { probability } => match &mut dropouts {
                    Some(dropouts) if probability > 0.0 => match signal {
                        Signal::Features(x) => Signal::Features(dropouts.apply(x, probability)),
                        Signal::Channels(x) => Signal::Channels(dropouts.apply(x, probability)),
                    },
                    _ => signal,
                },
                Layer::Relu => signal.map(relu, relu),
                Layer::LeakyRelu { slope } => signal.map(|x| leaky_relu(x, slope), |x| leaky_relu(x, slope)),
                Layer::Sigmoid => signal.map(sigmoid, sigmoid),
                Layer::Tanh => signal.map(Tensor::tanh, Tensor::tanh),
            };
        }
        Ok(signal.features())
    }
}
