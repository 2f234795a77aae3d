//! One network for all pixels, labels → hidden layers → all pixels, as The Payne has it (Ting et al. 2019):
//! the third family. Pixels share what the hidden layers make of the labels; a pixel has only a row of the
//! last layer for itself.
//!
//! | file | concept |
//! |---|---|
//! | `engine` | the network in single precision, lanes being pixels |
//! | `file` | named tensors, the published layout |

mod engine;
mod file;
#[cfg(test)]
mod tests;

pub use engine::JointEngine;
#[cfg(test)]
pub(crate) use tests::random_network;

use super::activation::Activation;
use super::labels::LabelSpace;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2};

/// Most hidden layers, and widest.
const MOST_LAYERS: usize = 8;
const WIDEST: usize = 8192;

/// A layer: outputs = kernel · inputs + bias.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseLayer {
    /// `[outputs, inputs]`.
    pub kernel: Array2<f32>,
    /// `[outputs]`.
    pub bias: Array1<f32>,
}

/// One network for all pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct JointNetwork {
    pub space: LabelSpace,
    /// `[W]`, vacuum Å; empty where an imported model has none.
    pub wavelength: Vec<f64>,
    /// Of the hidden layers; the last layer has none.
    pub activation: Activation,
    /// From labels scaled to ±½ to the flux of all pixels; at least two.
    pub layers: Vec<DenseLayer>,
}

impl JointNetwork {
    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// `Model`.
    pub fn new(space: LabelSpace, wavelength: Vec<f64>, activation: Activation, layers: Vec<DenseLayer>) -> Result<Self> {
        let shapes: Vec<[usize; 2]> = layers.iter().map(|layer| [layer.kernel.nrows(), layer.kernel.ncols()]).collect();
        let mut inputs = space.len();
        let mut fits = (2..=MOST_LAYERS + 1).contains(&layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let widest = if index + 1 < layers.len() { WIDEST } else { usize::MAX };
            fits &= layer.kernel.ncols() == inputs && layer.bias.len() == layer.kernel.nrows();
            fits &= (1..=widest).contains(&layer.kernel.nrows());
            inputs = layer.kernel.nrows();
        }
        if !fits {
            return Err(Error::model("layers of a joint network")
                .found(format!("{shapes:?} (outputs, inputs) for {} labels", space.len()))
                .expected(format!(
                    "one to {MOST_LAYERS} hidden layers of at most {WIDEST} neurons and one of pixels, \
                     each with as many inputs as the one before has outputs"
                )));
        }
        if !(wavelength.is_empty() || wavelength.len() == inputs) {
            return Err(Error::model("wavelengths of a joint network")
                .found(wavelength.len().to_string())
                .expected(format!("{inputs}, one a pixel")));
        }
        let numbers = |layer: &DenseLayer| layer.kernel.iter().chain(&layer.bias).all(|value| value.is_finite());
        match layers.iter().position(|layer| !numbers(layer)) {
            None => Ok(Self { space, wavelength, activation, layers }),
            Some(index) => Err(Error::model(format!("layer {index} of a joint network"))
                .found("weights that are not finite")
                .expected("numbers")
                .remedy("The training failed: train with a lower learning rate.")),
        }
    }

    /// Number of pixels W.
    pub fn n_pixels(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.len())
    }

    /// Neurons of the hidden layers.
    pub fn hidden(&self) -> Vec<usize> {
        self.layers.iter().rev().skip(1).rev().map(|layer| layer.bias.len()).collect()
    }

    /// The reference evaluation in double precision: flux of all pixels `[W]` and its derivatives by the
    /// scaled labels `[W, L]`.
    pub fn evaluate(&self, scaled: &[f64]) -> (Array1<f64>, Array2<f64>) {
        let mut value = Array1::from_vec(scaled.to_vec());
        let mut slopes = Array2::<f64>::eye(scaled.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let kernel = layer.kernel.mapv(f64::from);
            value = kernel.dot(&value) + layer.bias.mapv(f64::from);
            slopes = kernel.dot(&slopes);
            if index + 1 < self.layers.len() {
                for (value, mut slopes) in value.iter_mut().zip(slopes.rows_mut()) {
                    *value = self.activation.value(*value);
                    slopes *= self.activation.derivatives(*value).0;
                }
            }
        }
        (value, slopes)
    }
}
