//! One small network per pixel: f = w₁·h(w₀ x + b₀) + b₁, or with a second hidden layer, of scaled labels x.

use super::activation::Activation;
use super::labels::LabelSpace;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

/// Widths of the layers and the activation of the hidden ones; the same for all pixels.
///
/// The parameters of a pixel are one vector: kernel (row by row, a row per neuron) and bias of every layer,
/// the last layer having one neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// L, then one or two hidden widths.
    pub widths: Vec<usize>,
    pub activation: Activation,
}

impl Architecture {
    /// For `n_labels` labels with the hidden widths.
    ///
    /// # Errors
    /// `Usage` for none or more than two hidden layers, or a width of zero.
    pub fn new(n_labels: usize, hidden: &[usize], activation: Activation) -> Result<Self> {
        if !(1..=2).contains(&hidden.len()) || hidden.contains(&0) || n_labels == 0 {
            return Err(Error::usage("hidden layers of a pixel's network")
                .found(format!("widths {hidden:?} for {n_labels} labels"))
                .expected("one or two widths above 0, as in [20] or [10, 10]"));
        }
        Ok(Self { widths: [&[n_labels], hidden].concat(), activation })
    }

    /// Inputs and outputs of every layer, the last one included.
    pub fn layers(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let outputs = self.widths[1..].iter().copied().chain([1]);
        self.widths.iter().copied().zip(outputs)
    }

    /// Where kernel and bias of layer `index` lie in a pixel's parameters.
    pub fn place(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let start: usize = self.layers().take(index).map(|(inputs, outputs)| outputs * (inputs + 1)).sum();
        let (inputs, outputs) = self.layers().nth(index).unwrap_or_default();
        let middle = start + inputs * outputs;
        (start..middle, middle..middle + outputs)
    }

    /// Number of parameters of a pixel.
    pub fn n_parameters(&self) -> usize {
        self.layers().map(|(inputs, outputs)| outputs * (inputs + 1)).sum()
    }

    /// Flux and its gradient with respect to the scaled labels, for one pixel in double precision.
    pub fn evaluate(&self, parameters: &[f64], scaled: &[f64]) -> (f64, Vec<f64>) {
        let mut value = scaled.to_vec();
        // ∂value/∂x, a row per neuron.
        let mut slopes = Array2::<f64>::eye(scaled.len());
        let last = self.widths.len() - 1;
        for (index, (inputs, outputs)) in self.layers().enumerate() {
            let (kernel, bias) = self.place(index);
            let kernel = &parameters[kernel];
            let sums = (0..outputs).map(|j| {
                let row = &kernel[j * inputs..(j + 1) * inputs];
                parameters[bias.start + j] + row.iter().zip(&value).map(|(w, v)| w * v).sum::<f64>()
            });
            let sums: Vec<f64> = sums.collect();
            let mut next = Array2::zeros((outputs, scaled.len()));
            for j in 0..outputs {
                for i in 0..inputs {
                    let weight = kernel[j * inputs + i];
                    next.row_mut(j).zip_mut_with(&slopes.row(i), |to, from| *to += weight * from);
                }
            }
            value = sums;
            if index < last {
                for (j, value) in value.iter_mut().enumerate() {
                    *value = self.activation.value(*value);
                    next.row_mut(j).mapv_inplace(|slope| slope * self.activation.derivatives(*value).0);
                }
            }
            slopes = next;
        }
        (value[0], slopes.row(0).to_vec())
    }
}

/// Networks for all pixels of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelNetworks {
    pub space: LabelSpace,
    /// `[W]`, vacuum Å; empty where an imported model has none.
    pub wavelength: Vec<f64>,
    pub architecture: Architecture,
    /// `[W, P]` ([`Architecture`]).
    pub parameters: Array2<f32>,
}

impl PixelNetworks {
    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// `Model`.
    pub fn new(space: LabelSpace, wavelength: Vec<f64>, architecture: Architecture, parameters: Array2<f32>) -> Result<Self> {
        let networks = Self { space, wavelength, architecture, parameters };
        let (w, p) = networks.parameters.dim();
        let expected = networks.architecture.n_parameters();
        if w == 0 || p != expected || networks.architecture.widths[0] != networks.space.len() {
            return Err(Error::model("pixel networks")
                .found(format!("{p} parameters on {w} pixels for {} labels", networks.space.len()))
                .expected(format!("{expected} parameters on one pixel or more for {} labels", networks.architecture.widths[0])));
        }
        if !(networks.wavelength.is_empty() || networks.wavelength.len() == w) {
            return Err(Error::model("wavelengths of pixel networks")
                .found(networks.wavelength.len().to_string())
                .expected(format!("{w}, one a pixel")));
        }
        match networks.parameters.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(networks),
            Some(((pixel, _), value)) => Err(Error::model(format!("network of pixel {pixel}"))
                .found(value.to_string())
                .expected("finite weights")
                .remedy("The training of this pixel failed: train it again, or leave it out.")),
        }
    }

    /// Number of pixels W.
    pub fn n_pixels(&self) -> usize {
        self.parameters.nrows()
    }

    /// The reference evaluation in double precision: flux `[N, W]` at scaled labels `[N, L]`.
    pub fn flux_in_double(&self, scaled: ArrayView2<f64>) -> Array2<f64> {
        let parameters = self.parameters.mapv(f64::from);
        Array2::from_shape_fn((scaled.nrows(), self.n_pixels()), |(i, w)| {
            self.architecture.evaluate(&parameters.row(w).to_vec(), &scaled.row(i).to_vec()).0
        })
    }
}
