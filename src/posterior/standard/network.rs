//! The network of the standard family: y(z) with its slopes, and what its Hessian needs, for one star.
//!
//! Lanes are neurons: kernels are stored with rows padded to whole blocks of eight, and one row meets the
//! value and the slopes of all labels while it is in registers. The Hessian of Σ c_w y_w needs no
//! second-order pass: with the adjoints α of the hidden neurons' sums a (one pass backwards), ∂²(Σ c
//! y)/∂z_k∂z_l = Σ α·tanh''(a)/tanh'(a)·∂_k a·∂_l a over all hidden neurons.

#![allow(clippy::needless_range_loop)]

use crate::tensor::functions;
use crate::tensor::lanes::{Block, Kernel, LANES, Lanes, blocks, floats, floats_mut, padded};

/// One layer: a = bias + Σ input·kernel row.
#[derive(Debug, Clone)]
pub struct Layer {
    pub n_inputs: usize,
    pub n_outputs: usize,
    /// Rows of `blocks(n_outputs)` blocks.
    kernel: Vec<Block>,
    bias: Vec<Block>,
}

impl Layer {
    /// From a row-major kernel `[inputs, outputs]`.
    pub fn new(kernel: &[f64], bias: &[f64]) -> Self {
        let n_outputs = bias.len();
        let rows = kernel.chunks_exact(n_outputs);
        Self {
            n_inputs: kernel.len() / n_outputs,
            n_outputs,
            kernel: rows.flat_map(|row| padded(row.iter().map(|&value| value as f32))).collect(),
            bias: padded(bias.iter().map(|&value| value as f32)),
        }
    }

    fn width(&self) -> usize {
        self.bias.len()
    }
}

/// A tanh network with a linear last layer.
#[derive(Debug, Clone)]
pub struct Network {
    pub layers: Vec<Layer>,
    pub n_labels: usize,
    pub skip_connections: bool,
}

/// The state of a network for one star. Streams are the value (0) and the slopes for every label (1 + k).
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// Inputs of every layer, `[stream][blocks(n_inputs)]`; the last entry is y.
    activations: Vec<Vec<Block>>,
    /// Slopes of the sums a of every hidden layer, `[label][blocks(n_outputs)]`.
    sums: Vec<Vec<Block>>,
}

impl Tape {
    /// y (stream 0) or its slope for label `stream − 1`, `blocks(W)`.
    #[inline(always)]
    pub fn output(&self, stream: usize, width: usize) -> &[Block] {
        &self.activations[self.activations.len() - 1][stream * width..(stream + 1) * width]
    }
}

impl Network {
    /// Number of floats at the input of layer `index`, whose padded length is the stride of its streams.
    fn input_blocks(&self, index: usize) -> usize {
        blocks(self.layers[index].n_inputs)
    }

    /// A tape of the right size.
    pub fn tape(&self) -> Tape {
        let streams = 1 + self.n_labels;
        let inputs = (0..self.layers.len()).map(|index| vec![Block::default(); streams * self.input_blocks(index)]);
        let outputs = self.layers.last().map_or(0, Layer::width);
        let hidden = &self.layers[..self.layers.len() - 1];
        Tape {
            activations: inputs.chain([vec![Block::default(); streams * outputs]]).collect(),
            sums: hidden.iter().map(|layer| vec![Block::default(); self.n_labels * layer.width()]).collect(),
        }
    }

    /// y at labels `z`, with slopes where `slopes`.
    #[inline(always)]
    pub fn forward<V: Lanes>(&self, z: &[f32], slopes: bool, tape: &mut Tape) {
        let streams = if slopes { 1 + self.n_labels } else { 1 };
        let first = self.input_blocks(0);
        self.write_labels(&mut tape.activations[0], first, 0, z, streams);
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, after) = tape.activations.split_at_mut(index + 1);
            let (inputs, outputs) = (&before[index], &mut after[0]);
            let is_last = index + 1 == self.layers.len();
            let stride = if is_last { layer.width() } else { self.input_blocks(index + 1) };
            let from = self.input_blocks(index);
            let mut stream = 0;
            while stream < streams {
                let many = (streams - stream).min(4);
                match many {
                    4 => V::apart(Dense::<4> { layer, inputs, from, outputs, stride, stream }),
                    3 => V::apart(Dense::<3> { layer, inputs, from, outputs, stride, stream }),
                    2 => V::apart(Dense::<2> { layer, inputs, from, outputs, stride, stream }),
                    _ => V::apart(Dense::<1> { layer, inputs, from, outputs, stride, stream }),
                }
                stream += many;
            }
            if !is_last {
                activate::<V>(layer.width(), outputs, stride, streams, &mut tape.sums[index]);
                if self.skip_connections {
                    self.write_labels(outputs, stride, layer.n_outputs, z, streams);
                }
            }
        }
    }

    /// z and the unit vectors of its slopes from position `at` of every stream.
    #[inline(always)]
    fn write_labels(&self, inputs: &mut [Block], stride: usize, at: usize, z: &[f32], streams: usize) {
        let values = floats_mut(inputs);
        values[at..at + z.len()].copy_from_slice(z);
        for stream in 1..streams {
            let start = stream * stride * LANES + at;
            values[start..start + z.len()].fill(0.0);
            values[start + stream - 1] = 1.0;
        }
    }

    /// Adds the Hessian of Σ c_w y_w over the labels to `hessian [n_labels, n_labels]` (the lower triangle),
    /// after [`Self::forward`] with slopes. `adjoint` holds c `blocks(W)` and is working memory with `other`,
    /// as long as any layer.
    #[inline(always)]
    pub fn add_hessian(&self, tape: &Tape, adjoint: &mut [Block], other: &mut [Block], hessian: &mut [f64]) {
        let n = self.n_labels;
        let (mut adjoint, mut other) = (adjoint, other);
        for index in (1..self.layers.len()).rev() {
            let (layer, below) = (&self.layers[index], &self.layers[index - 1]);
            let (width, hidden) = (layer.width(), below.n_outputs);
            let value = &floats(&tape.activations[index])[..hidden];
            let sums = floats(&tape.sums[index - 1]);
            for (i, &t) in value.iter().enumerate() {
                let row = floats(&layer.kernel[i * width..(i + 1) * width]);
                let pull: f32 = lane_dot(row, &floats(adjoint)[..width * LANES]);
                let slope = 1.0 - t * t;
                // α tanh''/tanh' with α = pull·tanh'.
                let bend = -2.0 * t * slope * pull;
                for k in 0..n {
                    let left = bend * sums[k * below.width() * LANES + i];
                    for l in 0..=k {
                        hessian[k * n + l] += f64::from(left * sums[l * below.width() * LANES + i]);
                    }
                }
                floats_mut(other)[i] = pull * slope;
            }
            floats_mut(other)[hidden..below.width() * LANES].fill(0.0);
            std::mem::swap(&mut adjoint, &mut other);
        }
    }
}

/// Σ a b in eight lanes.
#[inline(always)]
fn lane_dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum()
}

/// `S` streams from `stream` on through a layer; the bias belongs to stream 0. Streams of inputs and outputs
/// have `from` and `stride` blocks.
struct Dense<'a, const S: usize> {
    layer: &'a Layer,
    inputs: &'a [Block],
    from: usize,
    outputs: &'a mut [Block],
    stride: usize,
    stream: usize,
}

impl<const S: usize> Kernel for Dense<'_, S> {
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let width = self.layer.width();
        let mut block = 0;
        while block < width {
            // Two and two rather than three and one: a single block has too few sums to hide the latency of
            // one another.
            let many = match width - block {
                4 => 2,
                rest => rest.min(3),
            };
            match many {
                3 => self.tile::<V, 3>(block),
                2 => self.tile::<V, 2>(block),
                _ => self.tile::<V, 1>(block),
            }
            block += many;
        }
    }
}

impl<const S: usize> Dense<'_, S> {
    /// `B` blocks of outputs of all streams, held in registers.
    #[inline(always)]
    fn tile<V: Lanes, const B: usize>(&mut self, block: usize) {
        let Self { layer, inputs, from, stride, stream, .. } = *self;
        let width = layer.width();
        let n = layer.n_inputs;
        let mut sums = [[V::splat(0.0); B]; S];
        if stream == 0 {
            for (sum, bias) in sums[0].iter_mut().zip(&layer.bias[block..block + B]) {
                *sum = V::load(&bias.0);
            }
        }
        let columns: [&[f32]; S] = std::array::from_fn(|s| &floats(&inputs[(stream + s) * from..(stream + s + 1) * from])[..n]);
        for (i, row) in layer.kernel.chunks_exact(width).enumerate() {
            let row = &row[block..block + B];
            let weights: [V; B] = std::array::from_fn(|b| V::load(&row[b].0));
            for s in 0..S {
                let input = V::splat(columns[s][i]);
                for b in 0..B {
                    sums[s][b] = input.multiply_add(weights[b], sums[s][b]);
                }
            }
        }
        for s in 0..S {
            for b in 0..B {
                sums[s][b].store(&mut self.outputs[(stream + s) * stride + block + b].0);
            }
        }
    }
}

/// tanh of the sums, in place; their slopes are kept and then multiplied with 1 − tanh².
#[inline(always)]
fn activate<V: Lanes>(width: usize, outputs: &mut [Block], stride: usize, streams: usize, sums: &mut [Block]) {
    let (values, slopes) = outputs.split_at_mut(stride);
    let values = &mut values[..width];
    for value in values.iter_mut() {
        functions::tanh(V::load(&value.0)).store(&mut value.0);
    }
    if streams < 2 {
        return;
    }
    let labels = slopes.chunks_exact_mut(stride).zip(sums.chunks_exact_mut(width)).take(streams - 1);
    for (slopes, sums) in labels {
        for ((slope, sum), value) in slopes.iter_mut().zip(sums).zip(&*values) {
            let (before, value) = (V::load(&slope.0), V::load(&value.0));
            before.store(&mut sum.0);
            before.multiply(V::splat(1.0).subtract(value.multiply(value))).store(&mut slope.0);
        }
    }
}
