//! Networks per pixel as tensors: flux of all spectra at all pixels, and its derivatives by the labels in
//! closed form. A layer is one product of matrices for every pixel, `[W, n, inputs] · [W, inputs, outputs]`.

use super::TensorModel;
use crate::per_pixel::{Activation, PixelNetworks};
use crate::tensor::{Device, Factor, Tensor, matmul};

/// A layer of the networks of all pixels.
struct Layer {
    /// `[W, inputs, outputs]`, and for derivatives, which go backwards, `[W, outputs, inputs]`.
    kernel: Factor<3>,
    transposed: Factor<3>,
    /// `[W, 1, outputs]`.
    bias: Tensor<3>,
}

/// Networks on a device.
pub(in crate::pixel_networks) struct TensorNetworks {
    device: Device,
    activation: Activation,
    hidden: Vec<Layer>,
    /// Of the output neuron `[W, H]` and `[W]`.
    output: [Tensor<2>; 2],
    /// L and the hidden widths.
    widths: Vec<usize>,
}

impl TensorNetworks {
    /// Uploads the weights.
    pub fn new(networks: &PixelNetworks, device: &Device) -> Self {
        let architecture = &networks.architecture;
        let w = networks.n_pixels();
        // Of some parameters of a pixel, those of all.
        let numbers = |part: &dyn Fn() -> Vec<usize>| -> Vec<f32> {
            let part = part();
            networks.parameters.rows().into_iter().flat_map(|row| part.iter().map(|&at| row[at]).collect::<Vec<f32>>()).collect()
        };
        let n_hidden = architecture.widths.len() - 1;
        let hidden = architecture.layers().take(n_hidden).enumerate().map(|(index, (inputs, outputs))| {
            let (weights, bias) = architecture.place(index);
            let transposed: Tensor<3> = device.tensor_f32(numbers(&|| weights.clone().collect()), [w, outputs, inputs]);
            Layer {
                kernel: Factor::new(transposed.clone().swap_dims(1, 2)),
                transposed: Factor::new(transposed),
                bias: device.tensor_f32(numbers(&|| bias.clone().collect()), [w, 1, outputs]),
            }
        });
        let (weights, bias) = architecture.place(n_hidden);
        let width = architecture.widths[n_hidden];
        Self {
            hidden: hidden.collect(),
            output: [
                device.tensor_f32(numbers(&|| weights.clone().collect()), [w, width]),
                device.tensor_f32(numbers(&|| bias.clone().collect()), [w, 1]),
            ],
            device: device.clone(),
            activation: architecture.activation,
            widths: architecture.widths.clone(),
        }
    }

    /// h(z) and h′(z).
    fn activated(&self, z: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        match self.activation {
            Activation::Tanh => {
                let h = z.tanh();
                let slope = (h.clone() * h.clone()).neg() + 1.0;
                (h, slope)
            }
            Activation::Sigmoid => {
                let h = (z.neg().exp() + 1.0).recip();
                let slope = h.clone() - h.clone() * h.clone();
                (h, slope)
            }
            Activation::LeakyRelu => {
                let is_above = z.clone().greater_elem(0.0);
                let slope = (z.zeros_like() + self.activation.derivatives(-1.0).0).mask_fill(is_above, 1.0);
                (z * slope.clone(), slope)
            }
        }
    }
}

impl TensorModel for TensorNetworks {
    fn device(&self) -> &Device {
        &self.device
    }

    fn n_labels(&self) -> usize {
        self.widths[0]
    }

    fn evaluate(&self, scaled: Tensor<2>) -> (Tensor<2>, Tensor<3>) {
        let ([n, l], [w, width]) = (scaled.dims(), self.output[0].dims());
        let mut values = scaled.reshape([1, n, l]).expand([w, n, l]);
        let mut slopes = Vec::new();
        for layer in &self.hidden {
            let (value, slope) = self.activated(layer.kernel.product(values) + layer.bias.clone());
            values = value;
            slopes.push(slope);
        }
        let [weights, bias] = &self.output;
        let weights = weights.clone().reshape([w, 1, width]);
        let flux = (values * weights.clone()).sum_dim(2).reshape([w, n]) + bias.clone();
        // ∂f/∂sum of the last hidden layer, then of those before it.
        let mut pull = weights.expand([w, n, width]);
        for (layer, slope) in self.hidden.iter().zip(slopes).rev() {
            pull = layer.transposed.product(pull * slope);
        }
        (flux.swap_dims(0, 1), pull.swap_dims(0, 1))
    }

    fn numbers_per_star(&self) -> usize {
        let w = self.output[0].dims()[0];
        // Sums, activations and slopes of a layer, and what products of factors that are split need; rows of
        // derivatives, weighted and not.
        w * (8 * self.widths[1..].iter().sum::<usize>() + 8 * self.widths[0] + 8)
    }
}

/// JᵀWJ `[n, L, L]` and JᵀWr `[n, L]` of rows `[n, W, L]`, weights and residuals `[n, W]`.
pub(super) fn products(slopes: Tensor<3>, weight: Tensor<2>, residual: Tensor<2>) -> (Tensor<3>, Tensor<2>) {
    let [n, w, l] = slopes.dims();
    let weighted = slopes.clone() * weight.reshape([n, w, 1]);
    let gradient = (weighted.clone() * residual.reshape([n, w, 1])).sum_dim(1).reshape([n, l]);
    (matmul(weighted.swap_dims(1, 2), slopes), gradient)
}
