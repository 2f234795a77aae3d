//! A joint network in single precision: rows of numbers of several spectra meet the weights of sixteen pixels
//! at a time, in tiles that stay in registers. A row is a spectrum, or one of its derivatives by a label,
//! which goes forwards beside it. Biases are weights of an input that is one for spectra and zero for
//! derivatives.

use super::super::activation::Activation;
use super::super::engine::{PixelModel, dispatch};
use super::super::labels::LabelSpace;
use super::super::pixel_map::{PixelMap, Places, Rows};
use super::{DenseLayer, JointNetwork};
use crate::tensor::lanes::{Block, Kernel, Lanes, floats};
use std::ops::Range;

/// The engine of a joint network.
#[derive(Debug, Clone)]
pub struct JointEngine {
    space: LabelSpace,
    wavelength: Vec<f64>,
    activation: Activation,
    n_pixels: usize,
    /// Neurons and weights of the hidden layers.
    hidden: Vec<(usize, PixelMap)>,
    output: PixelMap,
}

impl JointEngine {
    /// Packs the weights.
    pub fn new(network: &JointNetwork) -> Self {
        let map = |layer: &DenseLayer| {
            let (outputs, inputs) = layer.kernel.dim();
            let weight = |output: usize, input: usize| match input < inputs {
                true => layer.kernel[[output, input]],
                false => layer.bias[output],
            };
            (outputs, PixelMap::new(outputs, inputs + 1, weight))
        };
        let mut layers: Vec<(usize, PixelMap)> = network.layers.iter().map(map).collect();
        let (n_pixels, output) = layers.pop().unwrap_or_else(|| (0, PixelMap::new(0, 1, |_, _| 0.0)));
        Self {
            space: network.space.clone(),
            wavelength: network.wavelength.clone(),
            activation: network.activation,
            n_pixels,
            hidden: layers,
            output,
        }
    }
}

impl PixelModel for JointEngine {
    fn space(&self) -> &LabelSpace {
        &self.space
    }

    fn n_pixels(&self) -> usize {
        self.n_pixels
    }

    fn wavelength(&self) -> &[f64] {
        &self.wavelength
    }

    /// What the last hidden layer makes of the labels, with a one; then its derivatives, with zeros.
    fn shared(&self, scaled: &[f32], derivatives: bool) -> Vec<f32> {
        let l = self.space.len();
        let n_rows = if derivatives { 1 + l } else { 1 };
        let n = scaled.len() / l * n_rows;
        let mut stride = l + 1;
        let mut values = vec![0.0; n * stride];
        for (labels, rows) in scaled.chunks_exact(l).zip(values.chunks_exact_mut(n_rows * stride)) {
            rows[..l].copy_from_slice(labels);
            rows[l] = 1.0;
            (1..n_rows).for_each(|row| rows[row * stride + row - 1] = 1.0);
        }
        for (n_neurons, map) in &self.hidden {
            let n_blocks = map.n_blocks();
            let mut sums = vec![Block::default(); n * n_blocks];
            let rows = Rows { values: &values, n, stride, first: 0 };
            map.apply(0..n_blocks, rows, None, &mut sums, Places { first: 0, stride: 1 });
            dispatch(Activate { activation: self.activation, n_rows, n_blocks, sums: &mut sums });
            stride = n_neurons + 1;
            values = vec![0.0; n * stride];
            for (row, (values, sums)) in values.chunks_exact_mut(stride).zip(sums.chunks_exact(n_blocks)).enumerate() {
                values[..*n_neurons].copy_from_slice(&floats(sums)[..*n_neurons]);
                values[*n_neurons] = if row % n_rows == 0 { 1.0 } else { 0.0 };
            }
        }
        values
    }

    fn evaluate(&self, blocks: Range<usize>, shared: &[f32], _derivatives: bool, out: &mut [Block]) {
        let stride = self.hidden.last().map_or(self.space.len(), |(n_neurons, _)| *n_neurons) + 1;
        let rows = Rows { values: shared, n: shared.len() / stride, stride, first: 0 };
        self.output.apply(blocks, rows, None, out, Places { first: 0, stride: 1 });
    }
}

/// The sums of spectra become activations, those of their derivatives are multiplied by the activations'.
struct Activate<'a> {
    activation: Activation,
    n_rows: usize,
    n_blocks: usize,
    sums: &'a mut [Block],
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { activation, n_rows, n_blocks, sums } = self;
        for spectrum in sums.chunks_exact_mut(n_rows * n_blocks) {
            let (own, others) = spectrum.split_at_mut(n_blocks);
            for (at, own) in own.iter_mut().enumerate() {
                let (value, slope) = activation.in_lanes(V::load(&own.0));
                value.store(&mut own.0);
                for other in others.iter_mut().skip(at).step_by(n_blocks) {
                    V::load(&other.0).multiply(slope).store(&mut other.0);
                }
            }
        }
    }
}
