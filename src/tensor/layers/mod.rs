//! Networks as data: a list of layers over named tensors of [`super::Weights`], run by burn's functions where
//! they train, and by the processor's own kernels where they predict ([`Predictor`]).
//!
//! | layer | tensors | acts on |
//! |---|---|---|
//! | `linear` | `weight [inputs, outputs]`, `bias [outputs]` | features `[N, F]` |
//! | `convolution` | `weight [channels out, channels in, kernel]`, `bias [channels out]` | signals `[N, C, L]`; features are a signal of one channel |
//! | `max_pooling`, `flatten` | | signals; `flatten` has the channels outside: feature c·L + l |
//! | `dropout`, activations | | either |
//!
//! The tensors of the layer at position i of a network `n` are `n.layer_i.weight` and `n.layer_i.bias`.

mod forward;
mod predictor;
#[cfg(test)]
mod tests;

pub use forward::Dropouts;
pub use predictor::{PackedLinear, Predictor};

use super::WeightSpecification;
use crate::error::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// y = x W + b.
    Linear {
        outputs: usize,
    },
    /// Correlation with an odd kernel along the signal, zeros beyond its ends: as many samples as before.
    Convolution {
        channels: usize,
        kernel: usize,
    },
    /// The largest of every `size` neighbours; samples left over at the end are dropped.
    MaxPooling {
        size: usize,
    },
    /// A signal becomes features.
    Flatten,
    /// In training each value is zero with this probability, the others are raised to keep the mean.
    Dropout {
        probability: f64,
    },
    Relu,
    LeakyRelu {
        #[serde(default = "default_slope")]
        slope: f64,
    },
    Sigmoid,
    Tanh,
}

/// Most values of a star between two layers.
const MOST_VALUES: usize = 1 << 24;

fn default_slope() -> f64 {
    0.01
}

/// What a layer sees of a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Features(usize),
    Signal { channels: usize, length: usize },
}

impl Form {
    /// Number of values of a star.
    pub fn len(self) -> usize {
        match self {
            Self::Features(n) => n,
            Self::Signal { channels, length } => channels.saturating_mul(length),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As a signal: features are one channel.
    fn as_signal(self) -> (usize, usize) {
        match self {
            Self::Features(length) => (1, length),
            Self::Signal { channels, length } => (channels, length),
        }
    }
}

/// A network from `inputs` features to features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// In front of the names of its tensors.
    pub name: String,
    pub inputs: usize,
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
}

impl Network {
    /// What every layer sees, and after it what the last one leaves `[layers + 1]`.
    ///
    /// # Errors
    /// When a layer cannot follow its predecessor, or the last one leaves a signal.
    pub fn forms(&self) -> Result<Vec<Form>> {
        let mut forms = vec![Form::Features(self.inputs)];
        for (position, layer) in self.layers.iter().enumerate() {
            let form = forms[position];
            let fault = |found: String, expected: &str| {
                Err(Error::usage(format!("network '{}', layer {position}", self.name))
                    .found(found)
                    .expected(expected)
                    .remedy("Correct the layers of the recipe."))
            };
            let next = match (*layer, form) {
                (Layer::Linear { outputs: 0 }, _) | (Layer::Convolution { channels: 0, .. }, _) => {
                    return fault("no outputs".into(), "at least one");
                }
                (Layer::Linear { outputs }, Form::Features(_)) => Form::Features(outputs),
                (Layer::Linear { .. }, Form::Signal { .. }) => return fault("linear after a signal".into(), "flatten before it"),
                (Layer::Convolution { kernel, .. }, _) if kernel % 2 == 0 => {
                    return fault(format!("a kernel of {kernel}"), "an odd number, which has a middle");
                }
                (Layer::Convolution { channels, .. }, form) => Form::Signal { channels, length: form.as_signal().1 },
                (Layer::MaxPooling { size }, Form::Signal { channels, length }) if size > 0 && length >= size => {
                    Form::Signal { channels, length: length / size }
                }
                (Layer::MaxPooling { size }, form) => {
                    return fault(format!("pooling of {size} in {form:?}"), "a signal of at least as many samples");
                }
                (Layer::Flatten, form) => Form::Features(form.len()),
                (Layer::Dropout { probability }, _) if !(0.0..1.0).contains(&probability) => {
                    return fault(format!("a probability of {probability}"), "a number from 0 to below 1");
                }
                (Layer::LeakyRelu { slope }, _) if !(0.0..1.0).contains(&slope) => {
                    return fault(format!("a slope of {slope}"), "a number from 0 to below 1");
                }
                _ => form,
            };
            if next.len() > MOST_VALUES {
                return fault(format!("{} values of a star after it", next.len()), &format!("at most {MOST_VALUES}"));
            }
            forms.push(next);
        }
        match forms.last() {
            Some(Form::Features(n)) if *n > 0 => Ok(forms),
            other => Err(Error::usage(format!("network '{}'", self.name))
                .found(format!("{other:?} at its end"))
                .expected("features")
                .remedy("End the layers with flatten and linear ones.")),
        }
    }

    /// Number of features at the end.
    ///
    /// # Errors
    /// As [`Network::forms`].
    pub fn n_outputs(&self) -> Result<usize> {
        Ok(self.forms()?.last().map_or(0, |form| form.len()))
    }

    /// Its tensors: normal weights of variance 2/inputs before rectifiers (He et al. 2015), 1/inputs
    /// elsewhere; biases of zero. Each layer draws from a stream of its own.
    ///
    /// # Errors
    /// As [`Network::forms`].
    pub fn specifications(&self, seed: u64) -> Result<Vec<WeightSpecification>> {
        let forms = self.forms()?;
        let mut found = Vec::new();
        for (position, layer) in self.layers.iter().enumerate() {
            let (shape, fan_in, outputs) = match *layer {
                Layer::Linear { outputs } => (vec![forms[position].len(), outputs], forms[position].len(), outputs),
                Layer::Convolution { channels, kernel } => {
                    let before = forms[position].as_signal().0;
                    (vec![channels, before, kernel], before * kernel, channels)
                }
                _ => continue,
            };
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(position as u64);
            let deviation = (self.gain(position) / fan_in as f64).sqrt();
            let n = shape.iter().product();
            let draw = |_| deviation * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut random);
            let initial = (0..n).map(draw).collect();
            let name = |part: &str| self.tensor(position, part);
            found.push(WeightSpecification { name: name("weight"), shape, initial });
            found.push(WeightSpecification { name: name("bias"), shape: vec![outputs], initial: vec![0.0; outputs] });
        }
        Ok(found)
    }

    /// Number of multiply-adds of the products of a prediction.
    ///
    /// # Errors
    /// As [`Network::forms`].
    pub fn n_products(&self) -> Result<usize> {
        let forms = self.forms()?;
        let of = |(position, layer): (usize, &Layer)| match *layer {
            Layer::Linear { outputs } => forms[position].len().saturating_mul(outputs),
            Layer::Convolution { channels, kernel } => forms[position].len().saturating_mul(kernel).saturating_mul(channels),
            _ => 0,
        };
        Ok(self.layers.iter().enumerate().map(of).fold(0, usize::saturating_add))
    }

    /// Number of weights and biases.
    ///
    /// # Errors
    /// As [`Network::forms`].
    pub fn n_parameters(&self) -> Result<usize> {
        let forms = self.forms()?;
        let of = |(position, layer): (usize, &Layer)| match *layer {
            Layer::Linear { outputs } => forms[position].len().saturating_add(1).saturating_mul(outputs),
            Layer::Convolution { channels, kernel } => {
                forms[position].as_signal().0.saturating_mul(kernel).saturating_add(1).saturating_mul(channels)
            }
            _ => 0,
        };
        Ok(self.layers.iter().enumerate().map(of).fold(0, usize::saturating_add))
    }

    /// Twice the variance that a layer's outputs should have, by the first activation after it.
    fn gain(&self, position: usize) -> f64 {
        let after = self.layers[position + 1..].iter();
        let first = after.take_while(|layer| !matches!(layer, Layer::Linear { .. } | Layer::Convolution { .. }));
        let is_rectified = first.into_iter().any(|layer| matches!(layer, Layer::Relu | Layer::LeakyRelu { .. }));
        if is_rectified { 2.0 } else { 1.0 }
    }

    /// The name of a tensor of a layer.
    fn tensor(&self, position: usize, part: &str) -> String {
        format!("{}.layer_{position}.{part}", self.name)
    }
}
