//! Networks on the processor, eight stars in the lanes of its registers: a star's numbers depend neither on
//! the other seven nor on how many there are.

use super::{Form, Layer, Network};
use crate::error::Result;
use crate::tensor::Weights;
use crate::tensor::functions::{exp, tanh};
use crate::tensor::lanes::{Block, Kernel, LANES, Lanes, Portable};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

/// Outputs that are summed at once: as many as hide the latency of a fused multiply-add.
const GROUP: usize = 8;

/// y = x W + b with the weights in the order in which the kernel reads them.
#[derive(Debug, Clone)]
pub struct PackedLinear {
    inputs: usize,
    outputs: usize,
    /// `[⌈outputs/8⌉, inputs, 8]`, zeros at the end.
    weight: Vec<f32>,
    /// `[⌈outputs/8⌉ · 8]`.
    bias: Vec<f32>,
}

impl PackedLinear {
    /// From the weight between an input and an output, and biases `[outputs]`.
    pub fn new(inputs: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Self {
        let outputs = bias.len();
        let groups = outputs.div_ceil(GROUP);
        let mut packed = Vec::with_capacity(groups * inputs * GROUP);
        for group in 0..groups {
            for input in 0..inputs {
                for output in group * GROUP..(group + 1) * GROUP {
                    packed.push(if output < outputs { weight(input, output) } else { 0.0 });
                }
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(groups * GROUP, 0.0);
        Self { inputs, outputs, weight: packed, bias }
    }

    /// `[N, outputs]` of rows `[N, inputs]`.
    ///
    /// # Panics
    /// When the rows have another length (a programming error).
    pub fn apply(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        in_lanes(rows, self.inputs, self.outputs, |x, _| run(LinearStep { layer: self, x, windows: 1, stride: 0 }))
    }
}

/// What is done to the values of eight stars.
#[derive(Debug, Clone)]
enum Step {
    Linear(PackedLinear),
    /// The channels inside: sample l of channel c is at l·C + c, so that a window is one piece.
    Convolution {
        layer: PackedLinear,
        length: usize,
        channels: usize,
        reach: usize,
    },
    MaxPooling {
        size: usize,
        channels: usize,
    },
    /// From the channels inside to the channels outside.
    Flatten {
        channels: usize,
        length: usize,
    },
    Activation(Layer),
}

/// A network with its weights, ready to predict.
#[derive(Debug, Clone)]
pub struct Predictor {
    inputs: usize,
    outputs: usize,
    steps: Vec<Step>,
}

impl Predictor {
    /// # Errors
    /// When the layers do not fit each other, or a tensor is missing.
    pub fn new(network: &Network, weights: &Weights) -> Result<Self> {
        let forms = network.forms()?;
        let values = |position: usize, part: &str| -> Result<Vec<f32>> {
            Ok(weights.values(&network.tensor(position, part))?.into_iter().map(|value| value as f32).collect())
        };
        let mut steps = Vec::new();
        for (position, layer) in network.layers.iter().enumerate() {
            let form = forms[position];
            match *layer {
                Layer::Linear { outputs } => {
                    let weight = values(position, "weight")?;
                    let linear = PackedLinear::new(form.len(), &values(position, "bias")?, |i, o| weight[i * outputs + o]);
                    steps.push(Step::Linear(linear));
                }
                Layer::Convolution { kernel, .. } => {
                    let (channels, length) = form.as_signal();
                    let weight = values(position, "weight")?;
                    // Input j of a window is channel j mod C at tap j / C.
                    let of = |j: usize, o: usize| weight[(o * channels + j % channels) * kernel + j / channels];
                    let layer = PackedLinear::new(channels * kernel, &values(position, "bias")?, of);
                    steps.push(Step::Convolution { layer, length, channels, reach: kernel / 2 });
                }
                Layer::MaxPooling { size } => steps.push(Step::MaxPooling { size, channels: form.as_signal().0 }),
                Layer::Flatten => {
                    if let Form::Signal { channels, length } = form {
                        steps.push(Step::Flatten { channels, length });
                    }
                }
                Layer::Dropout { .. } => {}
                activation => steps.push(Step::Activation(activation)),
            }
        }
        Ok(Self { inputs: network.inputs, outputs: network.n_outputs()?, steps })
    }

    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.outputs
    }

    /// Outputs `[N, outputs]` of inputs `[N, inputs]`.
    ///
    /// # Panics
    /// When the rows have another length (a programming error).
    pub fn predict(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        in_lanes(rows, self.inputs, self.outputs, |x, scratch| {
            let mut x = x;
            for step in &self.steps {
                x = step.apply(x, scratch);
            }
            x
        })
    }
}

impl Step {
    fn apply(&self, mut x: Vec<Block>, scratch: &mut Vec<Block>) -> Vec<Block> {
        match self {
            Self::Linear(layer) => run(LinearStep { layer, x, windows: 1, stride: 0 }),
            Self::Convolution { layer, length, channels, reach } => {
                let zeros = reach * channels;
                scratch.clear();
                scratch.resize(zeros, Block::default());
                scratch.extend_from_slice(&x);
                scratch.resize(x.len() + 2 * zeros, Block::default());
                std::mem::swap(&mut x, scratch);
                run(LinearStep { layer, x, windows: *length, stride: *channels })
            }
            Self::MaxPooling { size, channels } => {
                let pooled = x.len() / channels / size;
                for l in 0..pooled {
                    for c in 0..*channels {
                        let first = x[l * size * channels + c];
                        let largest = (1..*size).fold(first, |a, k| larger(a, x[(l * size + k) * channels + c]));
                        x[l * channels + c] = largest;
                    }
                }
                x.truncate(pooled * channels);
                x
            }
            Self::Flatten { channels, length } => {
                scratch.clear();
                scratch.extend((0..channels * length).map(|f| x[(f % length) * channels + f / length]));
                std::mem::swap(&mut x, scratch);
                x
            }
            Self::Activation(layer) => run(Activation { layer: *layer, x }),
        }
    }
}

fn larger(a: Block, b: Block) -> Block {
    Block(std::array::from_fn(|k| a.0[k].max(b.0[k])))
}

/// Rows in groups of eight, in parallel.
fn in_lanes(
    rows: ArrayView2<'_, f32>,
    inputs: usize,
    outputs: usize,
    work: impl Fn(Vec<Block>, &mut Vec<Block>) -> Vec<Block> + Sync,
) -> Array2<f32> {
    assert_eq!(rows.ncols(), inputs, "columns of a network's inputs");
    let mut result = Array2::zeros((rows.nrows(), outputs));
    let chunks = result.axis_chunks_iter_mut(ndarray::Axis(0), LANES).into_par_iter().enumerate();
    chunks.for_each_init(Vec::new, |scratch, (chunk, mut result)| {
        let stars = rows.slice(s![chunk * LANES..chunk * LANES + result.nrows(), ..]);
        let mut x = vec![Block::default(); inputs];
        for (lane, row) in stars.rows().into_iter().enumerate() {
            x.iter_mut().zip(row).for_each(|(block, value)| block.0[lane] = *value);
        }
        let found = work(x, scratch);
        for (lane, mut row) in result.rows_mut().into_iter().enumerate() {
            row.iter_mut().zip(&found).for_each(|(value, block)| *value = block.0[lane]);
        }
    });
    result
}

/// Work that gives blocks.
trait Work: Sized {
    fn with<V: Lanes>(self) -> Vec<Block>;
}

struct Running<'a, W: Work> {
    work: W,
    found: &'a mut Vec<Block>,
}

impl<W: Work> Kernel for Running<'_, W> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        *self.found = self.work.with::<V>();
    }
}

/// With the features of the processor that it runs on.
fn run<W: Work>(work: W) -> Vec<Block> {
    let mut found = Vec::new();
    let running = Running { work, found: &mut found };
    #[cfg(target_arch = "x86_64")]
    if crate::tensor::lanes::has_avx2() {
        crate::tensor::lanes::Avx2::apart(running);
        return found;
    }
    Portable::apart(running);
    found
}

/// A linear layer at every `stride` values of `x`.
struct LinearStep<'a> {
    layer: &'a PackedLinear,
    x: Vec<Block>,
    windows: usize,
    stride: usize,
}

impl Work for LinearStep<'_> {
    #[inline(always)]
    fn with<V: Lanes>(self) -> Vec<Block> {
        let Self { layer, x, windows, stride } = self;
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let mut y = vec![Block::default(); windows * outputs];
        for (group, weights) in layer.weight.chunks_exact((inputs * GROUP).max(1)).enumerate() {
            let weights = weights.as_chunks::<GROUP>().0;
            let first = group * GROUP;
            for window in 0..windows {
                let x = &x[window * stride..window * stride + inputs];
                let mut sums: [V; GROUP] = std::array::from_fn(|k| V::splat(layer.bias[first + k]));
                for (x, weights) in x.iter().zip(weights) {
                    let x = V::load(&x.0);
                    for k in 0..GROUP {
                        sums[k] = x.multiply_add(V::splat(weights[k]), sums[k]);
                    }
                }
                let y = &mut y[window * outputs + first..];
                for (sum, y) in sums.into_iter().zip(y.iter_mut().take(outputs - first)) {
                    sum.store(&mut y.0);
                }
            }
        }
        y
    }
}

struct Activation {
    layer: Layer,
    x: Vec<Block>,
}

impl Work for Activation {
    #[inline(always)]
    fn with<V: Lanes>(self) -> Vec<Block> {
        let Self { layer, mut x } = self;
        for block in &mut x {
            let x = V::load(&block.0);
            let zero = V::splat(0.0);
            let y = match layer {
                Layer::Relu => x.max(zero),
                Layer::LeakyRelu { slope } => x.min(zero).multiply_add(V::splat(slope as f32), x.max(zero)),
                Layer::Sigmoid => V::splat(1.0).divide(V::splat(1.0).add(exp(zero.subtract(x)))),
                Layer::Tanh => tanh(x),
                _ => x,
            };
            y.store(&mut block.0);
        }
        x
    }
}
