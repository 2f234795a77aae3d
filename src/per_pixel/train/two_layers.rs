//! Networks with a second hidden layer: what they make of the samples, and their Gauss–Newton equations from
//! explicit rows of derivatives, a row per parameter.
//!
//! With a = W₁x + b₁, h = s(a), c = W₂h + b₂, g = s(c) and f = v·g + b₃, where t_jk = Σᵢ W₂_ji h′ᵢ W₁_ik are
//! the derivatives of c by the labels: ∂f/∂ℓₖ = Σⱼ vⱼ g′ⱼ t_jk. The rows are the reverse mode of these by
//! hand.

use super::super::strip_rows::multiply;
use super::normal_equations::in_tiles;
use super::pass::{Pass, StripTask, combine};
use super::shared::{Section, Shared};
use crate::tensor::row_products::{LEFT, RIGHT, Strip, Sums};

/// The second hidden layer at all samples.
#[derive(Debug, Clone, Default)]
pub(super) struct Second {
    /// Values of the first layer, then ones `[sections][H + 1][n]`.
    pub inputs: Vec<Vec<Strip>>,
    /// g `[sections][H2][n]`.
    pub values: Vec<Vec<Strip>>,
    /// The same of the references, with g, g′ and g″.
    pub reference_inputs: Vec<Strip>,
    pub of_references: [Vec<Strip>; 3],
    /// t `[L][H2][n]` of the references.
    pub tangents: Vec<Strip>,
    /// v g′ t of a label `[H2][n]`.
    pub along: Vec<Strip>,
}

impl Second {
    /// Space for `n_hidden` and `n_second` neurons.
    pub fn new(shared: &Shared, n_hidden: usize, n_second: usize) -> Self {
        let rows = |section: &Section, n_rows: usize| vec![Strip::default(); n_rows * section.n];
        let of_references = |n_rows: usize| shared.references.as_ref().map_or_else(Vec::new, |section| rows(section, n_rows));
        Self {
            inputs: shared.sections.iter().map(|section| rows(section, n_hidden + 1)).collect(),
            values: shared.sections.iter().map(|section| rows(section, n_second)).collect(),
            reference_inputs: of_references(n_hidden + 1),
            of_references: std::array::from_fn(|_| of_references(n_second)),
            tangents: of_references(shared.n_labels * n_second),
            along: of_references(n_second),
        }
    }
}

/// Where weights and biases lie among the parameters of a network ([`super::super::network::Architecture`]).
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub n_labels: usize,
    pub n_hidden: usize,
    pub n_second: usize,
}

impl Places {
    pub fn first_bias(self) -> usize {
        self.n_hidden * self.n_labels
    }

    /// The kernel of the second layer; of a network with one layer the weights of the output.
    pub fn second(self) -> usize {
        self.first_bias() + self.n_hidden
    }

    pub fn second_bias(self) -> usize {
        self.second() + self.n_second * self.n_hidden
    }

    /// Weights of the output, its bias behind them.
    pub fn output(self) -> usize {
        self.second_bias() + self.n_second
    }

    /// Neurons of the last hidden layer.
    pub fn n_last(self) -> usize {
        if self.n_second > 0 { self.n_second } else { self.n_hidden }
    }

    pub fn n_parameters(self) -> usize {
        self.output() + self.n_last() + 1
    }
}

/// Rows of derivatives, and their products.
#[derive(Debug, Clone)]
pub(super) struct TwoLayerEquations {
    places: Places,
    /// All parameters and the residual by the same.
    products: Sums,
    /// All parameters by the weighted residual.
    pulls: Sums,
    /// Derivatives by every parameter, then the residual, then zeros `[padded][n]`.
    rows: Vec<Strip>,
    left: Vec<Strip>,
    weight: Vec<Strip>,
    /// v g′, and what it pulls on the first layer's values.
    q: Vec<Strip>,
    pull: Vec<Strip>,
    first: Vec<Strip>,
    /// v g″ t, and what it pulls on the first layer's values.
    p: Vec<Strip>,
    bent: Vec<Strip>,
    scratch: Vec<Strip>,
}

impl TwoLayerEquations {
    pub fn new(places: Places) -> Self {
        let n = places.n_parameters() + 1;
        Self {
            places,
            products: Sums::zeros(n, n),
            pulls: Sums::zeros(n, RIGHT),
            rows: Vec::new(),
            left: Vec::new(),
            weight: Vec::new(),
            q: Vec::new(),
            pull: Vec::new(),
            first: Vec::new(),
            p: Vec::new(),
            bent: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// JᵀJ (upper triangle) and Jᵀr of half the loss without decay.
    pub fn set(&mut self, shared: &Shared, task: &StripTask, pass: &Pass, matrix: &mut [f64], gradient: &mut [f64]) {
        self.products.clear();
        for (at, section) in shared.sections.iter().enumerate() {
            self.rows_of_fluxes(section, task, pass, at);
            self.add_products(section.n);
        }
        if let Some(section) = &shared.references {
            for k in 0..self.places.n_labels {
                self.rows_of_label(section, task, pass, k);
                self.add_products(section.n);
            }
        }
        let n = self.places.n_parameters();
        for i in 0..n {
            gradient[i] = self.products.get(i, n);
            for j in i..n {
                matrix[i * n + j] = self.products.get(i, j);
            }
        }
    }

    /// Jᵀr alone: that of a section's fluxes times `share`, and of the references.
    pub fn set_gradient(
        &mut self,
        shared: &Shared,
        task: &StripTask,
        pass: &Pass,
        (at, share): (usize, f64),
        gradient: &mut [f64],
    ) {
        self.pulls.clear();
        let section = &shared.sections[at];
        self.rows_of_fluxes(section, task, pass, at);
        self.weight.iter_mut().for_each(|strip| strip.0 = strip.0.map(|weight| share as f32 * weight));
        self.add_pulls(section.n);
        if let Some(section) = &shared.references {
            for k in 0..self.places.n_labels {
                self.rows_of_label(section, task, pass, k);
                self.add_pulls(section.n);
            }
        }
        (0..self.places.n_parameters()).for_each(|i| gradient[i] = self.pulls.get(i, 0));
    }

    fn add_products(&mut self, n: usize) {
        let Self { products, rows, left, weight, .. } = self;
        left.resize(LEFT * n, Strip::default());
        let n_rows = self.places.n_parameters() + 1;
        in_tiles(&mut left[..LEFT * n], n, 0..n_rows, products, 0, rows, |i, out| {
            multiply(&rows[i * n..(i + 1) * n], weight, out);
        });
    }

    fn add_pulls(&mut self, n: usize) {
        let Self { pulls, rows, left, weight, scratch, .. } = self;
        left.resize(LEFT * n, Strip::default());
        let n_rows = self.places.n_parameters();
        scratch.clear();
        scratch.resize(RIGHT * n, Strip::default());
        multiply(&rows[n_rows * n..(n_rows + 1) * n], weight, &mut scratch[..n]);
        in_tiles(&mut left[..LEFT * n], n, 0..n_rows, pulls, 0, scratch, |i, out| {
            out.copy_from_slice(&rows[i * n..(i + 1) * n]);
        });
    }

    /// Makes room for rows of `n` strips.
    fn clear(&mut self, n: usize) {
        let Places { n_hidden, n_second, .. } = self.places;
        let n_rows = (self.places.n_parameters() + 1).next_multiple_of(RIGHT);
        for (rows, size) in [
            (&mut self.rows, n_rows),
            (&mut self.q, n_second),
            (&mut self.p, n_second),
            (&mut self.pull, n_hidden),
            (&mut self.first, n_hidden),
            (&mut self.bent, n_hidden),
            (&mut self.scratch, n_hidden),
        ] {
            rows.clear();
            rows.resize(size * n, Strip::default());
        }
    }

    /// v of the output and the columns of the second layer's kernel, in single precision.
    fn weights(&self, pass: &Pass) -> (Vec<f32>, Vec<Vec<f32>>) {
        let Places { n_hidden, n_second, .. } = self.places;
        let at = |place: usize| pass.parameters[place] as f32;
        let output = (0..n_second).map(|j| at(self.places.output() + j)).collect();
        let column = |i: usize| (0..n_second).map(|j| at(self.places.second() + j * n_hidden + i)).collect();
        (output, (0..n_hidden).map(column).collect())
    }

    fn rows_of_fluxes(&mut self, section: &Section, task: &StripTask, pass: &Pass, at: usize) {
        let (n, places) = (section.n, self.places);
        let Places { n_labels, n_hidden, n_second } = places;
        self.clear(n);
        self.weight.clone_from(&task.weight[at]);
        let (output, columns) = self.weights(pass);
        let Self { rows, q, pull, first, .. } = self;
        let row = |i: usize| i * n..(i + 1) * n;
        let (inputs, values) = (&pass.second.inputs[at], &pass.second.values[at]);
        for j in 0..n_second {
            slopes(task, &values[row(j)], output[j], &mut q[row(j)]);
        }
        for i in 0..n_hidden {
            combine(q, &columns[i], &mut pull[row(i)]);
            slopes(task, &inputs[row(i)], 1.0, &mut first[row(i)]);
            let to = row(places.first_bias() + i);
            multiply(&pull[row(i)], &first[row(i)], &mut rows[to.clone()]);
            let (before, own) = rows.split_at_mut(to.start);
            for l in 0..n_labels {
                multiply(&own[..n], &section.inputs[row(l)], &mut before[row(i * n_labels + l)]);
            }
        }
        for j in 0..n_second {
            for i in 0..n_hidden {
                multiply(&q[row(j)], &inputs[row(i)], &mut rows[row(places.second() + j * n_hidden + i)]);
            }
            rows[row(places.second_bias() + j)].copy_from_slice(&q[row(j)]);
            rows[row(places.output() + j)].copy_from_slice(&values[row(j)]);
        }
        rows[row(places.output() + n_second)].fill(Strip([1.0; 16]));
        rows[row(places.n_parameters())].copy_from_slice(&pass.residuals[at]);
    }

    /// Of the derivatives of the flux by label `k` at the references.
    fn rows_of_label(&mut self, section: &Section, task: &StripTask, pass: &Pass, k: usize) {
        let (n, places) = (section.n, self.places);
        let Places { n_labels, n_hidden, n_second } = places;
        self.clear(n);
        let (output, columns) = self.weights(pass);
        let Self { rows, q, pull, first, p, bent, scratch, weight, .. } = self;
        let row = |i: usize| i * n..(i + 1) * n;
        let [values, first_of_values, second_of_values] = &pass.of_references;
        let [_, first_of_second, second_of_second] = &pass.second.of_references;
        let tangent = |j: usize| &pass.second.tangents[row(k * n_second + j)];
        for j in 0..n_second {
            scale(&first_of_second[row(j)], output[j], &mut q[row(j)]);
            multiply(&first_of_second[row(j)], tangent(j), &mut rows[row(places.output() + j)]);
            multiply(&second_of_second[row(j)], tangent(j), &mut scratch[..n]);
            scale(&scratch[..n], output[j], &mut p[row(j)]);
            rows[row(places.second_bias() + j)].copy_from_slice(&p[row(j)]);
        }
        for i in 0..n_hidden {
            let factor = pass.parameters[i * n_labels + k] as f32;
            combine(q, &columns[i], &mut pull[row(i)]);
            combine(p, &columns[i], &mut bent[row(i)]);
            // h′ W₁, the tangent of the neuron.
            scale(&first_of_values[row(i)], factor, &mut first[row(i)]);
            let to = row(places.first_bias() + i);
            multiply(&bent[row(i)], &first_of_values[row(i)], &mut rows[to.clone()]);
            scale(&second_of_values[row(i)], factor, &mut scratch[..n]);
            add_product(&pull[row(i)], &scratch[..n], &mut rows[to.clone()]);
            let (before, own) = rows.split_at_mut(to.start);
            for l in 0..n_labels {
                multiply(&own[..n], &section.inputs[row(l)], &mut before[row(i * n_labels + l)]);
            }
            add_product(&pull[row(i)], &first_of_values[row(i)], &mut before[row(i * n_labels + k)]);
        }
        for j in 0..n_second {
            for i in 0..n_hidden {
                let to = row(places.second() + j * n_hidden + i);
                multiply(&p[row(j)], &values[row(i)], &mut rows[to.clone()]);
                add_product(&q[row(j)], &first[row(i)], &mut rows[to]);
            }
        }
        let deviations = &pass.deviations[row(k)];
        rows[row(places.n_parameters())].copy_from_slice(deviations);
        weight.clear();
        weight.extend((0..n).map(|s| {
            let omega = |lane: usize| {
                let d = f64::from(deviations[s].0[lane]);
                let root = (d * d + task.smoothing[k] * task.smoothing[k]).sqrt();
                let is_sample = s * 16 + lane < section.n_samples;
                if is_sample && root > 0.0 { (0.5 * task.strength[k] / root) as f32 } else { 0.0 }
            };
            Strip(std::array::from_fn(omega))
        }));
    }
}

fn scale(row: &[Strip], factor: f32, out: &mut [Strip]) {
    out.iter_mut().zip(row).for_each(|(out, strip)| *out = Strip(strip.0.map(|value| factor * value)));
}

fn add_product(a: &[Strip], b: &[Strip], out: &mut [Strip]) {
    for ((a, b), out) in a.iter().zip(b).zip(out) {
        for lane in 0..16 {
            out.0[lane] += a.0[lane] * b.0[lane];
        }
    }
}

/// factor · s′ of activated values.
fn slopes(task: &StripTask, values: &[Strip], factor: f32, out: &mut [Strip]) {
    super::normal_equations::slopes(task, values, &[factor], values.len(), out);
}
