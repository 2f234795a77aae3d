//! Pixel networks in single precision: lanes are pixels, weights of a block of eight meet several spectra.
//!
//! A layer's bias is the weight of an input that is always one, and inputs and neurons are padded to
//! multiples of four with zeros, so that all loops run over whole tiles of 4 neurons × 2 spectra, whose sums
//! stay in registers. Derivatives go backwards through the network (it has one output): with H = 20 and 15
//! labels a pixel takes 600 multiplications forwards, as many backwards, and 20 activations.

use super::activation::Activation;
use super::engine::{PixelModel, dispatch, whole_blocks};
use super::labels::LabelSpace;
use super::network::PixelNetworks;
use crate::tensor::lanes::{Block, Kernel, LANES, Lanes};
use std::ops::Range;

/// Neurons and inputs are padded to this.
const TILE: usize = 4;

/// A layer of hidden neurons, for all blocks of pixels.
#[derive(Debug, Clone)]
struct Layer {
    /// Inputs with the one of the bias, padded.
    n_inputs: usize,
    /// Neurons, padded.
    n_outputs: usize,
    n_neurons: usize,
    /// `[blocks][n_outputs][n_inputs]`.
    kernel: Vec<Block>,
}

/// The engine of pixel networks.
#[derive(Debug, Clone)]
pub struct NetworkEngine {
    space: LabelSpace,
    n_pixels: usize,
    wavelength: Vec<f64>,
    activation: Activation,
    hidden: Vec<Layer>,
    /// Weights of the output neuron and its bias, `[blocks][outputs of the last hidden layer + 1]`.
    output: Vec<Block>,
}

const fn padded(n: usize) -> usize {
    n.next_multiple_of(TILE)
}

impl NetworkEngine {
    /// Packs the weights.
    pub fn new(networks: &PixelNetworks) -> Self {
        let architecture = &networks.architecture;
        let w = networks.n_pixels();
        let n_blocks = whole_blocks(w);
        let lanes = |block: usize, parameter: usize| {
            Block(std::array::from_fn(|lane| {
                let pixel = block * LANES + lane;
                if pixel < w { networks.parameters[[pixel, parameter]] } else { 0.0 }
            }))
        };
        let n_layers = architecture.widths.len();
        let hidden: Vec<Layer> = architecture
            .layers()
            .take(n_layers - 1)
            .enumerate()
            .map(|(index, (inputs, outputs))| {
                let (weights, bias) = architecture.place(index);
                let (n_inputs, n_outputs) = (padded(inputs + 1), padded(outputs));
                let mut kernel = vec![Block::default(); n_blocks * n_outputs * n_inputs];
                for (block, kernel) in kernel.chunks_exact_mut(n_outputs * n_inputs).enumerate() {
                    for j in 0..outputs {
                        for i in 0..inputs {
                            kernel[j * n_inputs + i] = lanes(block, weights.start + j * inputs + i);
                        }
                        kernel[j * n_inputs + inputs] = lanes(block, bias.start + j);
                    }
                }
                Layer { n_inputs, n_outputs, n_neurons: outputs, kernel }
            })
            .collect();
        let (weights, bias) = architecture.place(n_layers - 1);
        let width = hidden.last().map_or(0, |layer| layer.n_outputs);
        let mut output = vec![Block::default(); n_blocks * (width + 1)];
        for (block, output) in output.chunks_exact_mut(width + 1).enumerate() {
            for (j, parameter) in weights.clone().enumerate() {
                output[j] = lanes(block, parameter);
            }
            output[width] = lanes(block, bias.start);
        }
        let wavelength = networks.wavelength.clone();
        Self { space: networks.space.clone(), n_pixels: w, wavelength, activation: architecture.activation, hidden, output }
    }
}

impl PixelModel for NetworkEngine {
    fn space(&self) -> &LabelSpace {
        &self.space
    }

    fn n_pixels(&self) -> usize {
        self.n_pixels
    }

    fn wavelength(&self) -> &[f64] {
        &self.wavelength
    }

    fn evaluate(&self, blocks: Range<usize>, shared: &[f32], derivatives: bool, out: &mut [Block]) {
        dispatch(Evaluation { engine: self, blocks, scaled: shared, derivatives, out });
    }
}

struct Evaluation<'a> {
    engine: &'a NetworkEngine,
    blocks: Range<usize>,
    scaled: &'a [f32],
    derivatives: bool,
    out: &'a mut [Block],
}

/// Inputs, activations and slopes of a pair of spectra.
struct Tape {
    /// `[layer][spectrum][n_inputs]`; the last entry holds the activations that meet the output neuron.
    values: Vec<[Vec<Block>; 2]>,
    /// `[hidden layer][spectrum][n_outputs]`: h′, then ∂f/∂sum.
    slopes: Vec<[Vec<Block>; 2]>,
    /// ∂f/∂inputs of the first layer.
    gradient: [Vec<Block>; 2],
}

impl Tape {
    fn new(engine: &NetworkEngine) -> Self {
        let pair = |n: usize| [vec![Block::default(); n], vec![Block::default(); n]];
        let mut values: Vec<[Vec<Block>; 2]> = engine.hidden.iter().map(|layer| pair(layer.n_inputs)).collect();
        values.push(pair(engine.hidden.last().map_or(0, |layer| padded(layer.n_outputs + 1))));
        let slopes = engine.hidden.iter().map(|layer| pair(layer.n_outputs)).collect();
        Self { values, slopes, gradient: pair(engine.hidden[0].n_inputs) }
    }
}

impl Kernel for Evaluation<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { engine, blocks, scaled, derivatives, out } = self;
        let n_labels = engine.space.len();
        let n = scaled.len() / n_labels;
        let rows = if derivatives { 1 + n_labels } else { 1 };
        let mut tape = Tape::new(engine);
        let n_blocks = blocks.len();
        for block in blocks.clone() {
            let mut star = 0;
            while star < n {
                // The last of an odd number goes twice, so that a spectrum's arithmetic is the same in any
                // company.
                let pair = [star, (star + 1).min(n - 1)];
                for (side, &star) in pair.iter().enumerate() {
                    let inputs = &mut tape.values[0][side];
                    for (input, label) in inputs.iter_mut().zip(&scaled[star * n_labels..(star + 1) * n_labels]) {
                        V::splat(*label).store(&mut input.0);
                    }
                    inputs[n_labels] = Block([1.0; LANES]);
                }
                let flux = forward::<V>(engine, block, &mut tape);
                if derivatives {
                    backward::<V>(engine, block, &mut tape);
                }
                for (side, &star) in pair.iter().enumerate() {
                    let out = &mut out[star * rows * n_blocks..(star + 1) * rows * n_blocks];
                    let at = block - blocks.start;
                    flux[side].store(&mut out[at].0);
                    if derivatives {
                        for k in 0..n_labels {
                            out[(1 + k) * n_blocks + at] = tape.gradient[side][k];
                        }
                    }
                }
                star += 2;
            }
        }
    }
}

/// The flux of a pair, with activations and slopes left on the tape.
#[inline(always)]
fn forward<V: Lanes>(engine: &NetworkEngine, block: usize, tape: &mut Tape) -> [V; 2] {
    for (index, layer) in engine.hidden.iter().enumerate() {
        let size = layer.n_outputs * layer.n_inputs;
        let (before, after) = tape.values.split_at_mut(index + 1);
        let [left, right] = &mut after[0];
        let [left_slopes, right_slopes] = &mut tape.slopes[index];
        V::apart(Forward {
            kernel: &layer.kernel[block * size..(block + 1) * size],
            n_inputs: layer.n_inputs,
            inputs: [&before[index][0], &before[index][1]],
            values: [left, right],
            slopes: [left_slopes, right_slopes],
            activation: engine.activation,
        });
        // The next layer's bias; neurons that are none have no weights behind them, but a value where the
        // bias belongs.
        for values in [left, right] {
            if layer.n_neurons < values.len() {
                values[layer.n_neurons] = Block([1.0; LANES]);
            }
        }
    }
    let width = engine.hidden.last().map_or(0, |layer| layer.n_outputs);
    let weights = &engine.output[block * (width + 1)..(block + 1) * (width + 1)];
    let values = &tape.values[engine.hidden.len()];
    // No closure: it would be a function without the processor's features.
    let mut flux = [V::splat(0.0); 2];
    for side in 0..2 {
        let mut sums = [V::splat(0.0); TILE];
        sums[0] = V::load(&weights[width].0);
        for (weights, values) in weights[..width].as_chunks::<TILE>().0.iter().zip(values[side].as_chunks::<TILE>().0) {
            for t in 0..TILE {
                sums[t] = V::load(&weights[t].0).multiply_add(V::load(&values[t].0), sums[t]);
            }
        }
        flux[side] = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
    }
    flux
}

/// ∂f/∂inputs of a pair.
#[inline(always)]
fn backward<V: Lanes>(engine: &NetworkEngine, block: usize, tape: &mut Tape) {
    let width = engine.hidden.last().map_or(0, |layer| layer.n_outputs);
    let weights = &engine.output[block * (width + 1)..][..width];
    for slopes in tape.slopes[engine.hidden.len() - 1].iter_mut() {
        for (slope, weight) in slopes.iter_mut().zip(weights) {
            V::load(&slope.0).multiply(V::load(&weight.0)).store(&mut slope.0);
        }
    }
    for (index, layer) in engine.hidden.iter().enumerate().rev() {
        let size = layer.n_outputs * layer.n_inputs;
        let (below, own) = tape.slopes.split_at_mut(index);
        let [left, right] = match below.last_mut() {
            // Activations are not needed any more: the pull on them takes their place.
            Some(_) => {
                let [left, right] = &mut tape.values[index];
                [left, right]
            }
            None => {
                let [left, right] = &mut tape.gradient;
                [left, right]
            }
        };
        V::apart(Backward {
            kernel: &layer.kernel[block * size..(block + 1) * size],
            n_inputs: layer.n_inputs,
            sums: [&own[0][0], &own[0][1]],
            inputs: [left, right],
        });
        if let Some(slopes) = below.last_mut() {
            for (slopes, pulls) in slopes.iter_mut().zip([&*left, &*right]) {
                for (slope, pull) in slopes.iter_mut().zip(pulls) {
                    V::load(&slope.0).multiply(V::load(&pull.0)).store(&mut slope.0);
                }
            }
        }
    }
}

/// h(kernel · inputs) and h′ of a pair.
struct Forward<'a> {
    kernel: &'a [Block],
    n_inputs: usize,
    inputs: [&'a [Block]; 2],
    values: [&'a mut [Block]; 2],
    slopes: [&'a mut [Block]; 2],
    activation: Activation,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let n = self.n_inputs;
        let [left_inputs, right_inputs] = self.inputs.map(|inputs| &inputs[..n]);
        let [left_values, right_values] = self.values;
        let [left_slopes, right_slopes] = self.slopes;
        for (tile, rows) in self.kernel.chunks_exact(TILE * n).enumerate() {
            let [a, b, c, d] = [&rows[..n], &rows[n..2 * n], &rows[2 * n..3 * n], &rows[3 * n..4 * n]];
            let mut left = [V::splat(0.0); TILE];
            let mut right = [V::splat(0.0); TILE];
            for i in 0..n {
                let (x, y) = (V::load(&left_inputs[i].0), V::load(&right_inputs[i].0));
                let weights = [V::load(&a[i].0), V::load(&b[i].0), V::load(&c[i].0), V::load(&d[i].0)];
                for t in 0..TILE {
                    left[t] = weights[t].multiply_add(x, left[t]);
                    right[t] = weights[t].multiply_add(y, right[t]);
                }
            }
            for t in 0..TILE {
                let at = tile * TILE + t;
                let (value, slope) = self.activation.in_lanes(left[t]);
                value.store(&mut left_values[at].0);
                slope.store(&mut left_slopes[at].0);
                let (value, slope) = self.activation.in_lanes(right[t]);
                value.store(&mut right_values[at].0);
                slope.store(&mut right_slopes[at].0);
            }
        }
    }
}

/// kernelᵀ · sums of a pair.
struct Backward<'a> {
    kernel: &'a [Block],
    n_inputs: usize,
    sums: [&'a [Block]; 2],
    inputs: [&'a mut [Block]; 2],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let n = self.n_inputs;
        let [left_inputs, right_inputs] = self.inputs;
        for at in (0..n).step_by(TILE) {
            let mut left = [V::splat(0.0); TILE];
            let mut right = [V::splat(0.0); TILE];
            for ((row, x), y) in self.kernel.chunks_exact(n).zip(self.sums[0]).zip(self.sums[1]) {
                let (x, y) = (V::load(&x.0), V::load(&y.0));
                let row = &row[at..at + TILE];
                for t in 0..TILE {
                    let weight = V::load(&row[t].0);
                    left[t] = weight.multiply_add(x, left[t]);
                    right[t] = weight.multiply_add(y, right[t]);
                }
            }
            for t in 0..TILE {
                left[t].store(&mut left_inputs[at + t].0);
                right[t].store(&mut right_inputs[at + t].0);
            }
        }
    }
}
