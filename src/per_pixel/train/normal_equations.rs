//! Gauss–Newton equations of a network from products of rows; those of two layers are another file's.
//!
//! With q_h = v_h h′, p_h = v_h h″ and x = (ℓ, 1), the derivatives of the flux by the weights of neuron h are
//! q_h x, and JᵀJ is Σᵢ (q_h q_h')ᵢ (x_l x_l')ᵢ, a product of matrices of which the right one is the same for
//! all pixels. Derivatives of ∂f/∂ℓₖ by them are p_h W_hk x_l + δ_lk q_h; summed over k with weights ωₖ, the
//! first parts of all labels collapse into the same product with the left rows p_h p_h' Σₖ ωₖ W_hk W_h'k, one
//! row per reference in place of one per label.

#![allow(clippy::needless_range_loop)] // rows and columns of matrices go by their indices

use super::super::engine::dispatch;
use super::super::strip_rows::{halves, halves_mut, multiply};
use super::pass::{Pass, StripTask, combine, hidden_kernel};
use super::shared::{Section, Shared, pair};
use super::two_layers::{Places, TwoLayerEquations};
use crate::tensor::lanes::{Block, Kernel, Lanes};
use crate::tensor::row_products::{LEFT, RIGHT, Strip, Sums};

/// JᵀJ and Jᵀr of half the loss's second and first derivatives, with work space.
#[derive(Debug, Clone)]
pub(super) struct NormalEquations {
    n_labels: usize,
    n_hidden: usize,
    /// Upper triangle, row-major `[P, P]`.
    pub matrix: Vec<f64>,
    pub gradient: Vec<f64>,
    /// (h ≤ h') by (l ≤ l').
    pairs: Sums,
    /// (h, m) by l, where m counts neurons' outputs, then 1, then the residual.
    mixed: Sums,
    /// m by m'.
    outputs: Sums,
    /// (h, h') by (l', l), l' < L.
    cross: Sums,
    /// (h, h') of q h′, (h ≤ h') of q q, h of q, by ω_l and ω_l d_l.
    diagonal: Sums,
    /// Of the gradient alone: h by l, and h by ω_l d_l.
    single: Sums,
    by_pull: Sums,
    rows: Rows,
    /// Of networks with a second hidden layer.
    two_layers: Option<Box<TwoLayerEquations>>,
}

/// Rows of the samples of a section.
#[derive(Debug, Clone, Default)]
struct Rows {
    /// q `[H][n]`, and times the weights.
    q: Vec<Strip>,
    weighted: Vec<Strip>,
    /// Outputs of the neurons, 1, residual, zeros `[padded][n]`, and times the weights.
    outputs: Vec<Strip>,
    weighted_outputs: Vec<Strip>,
    /// Left rows that are being multiplied `[LEFT][n]`.
    left: Vec<Strip>,
    right: Vec<Strip>,
    p: Vec<Strip>,
    omega: Vec<Strip>,
    collapsed: Vec<Strip>,
    pull: Vec<Strip>,
}

impl Rows {
    /// q, p, ω and ω d of the references, zero beyond the last, and Σₖ ωₖ dₖ W_hk of every neuron.
    fn of_references(&mut self, section: &Section, task: &StripTask, pass: &Pass, kernel: &[f32], weights: &[f32]) {
        let n = section.n;
        let n_labels = task.strength.len();
        let [_, first, second] = &pass.of_references;
        scaled(first, weights, n, &mut self.q);
        scaled(second, weights, n, &mut self.p);
        self.omega.resize((2 * n_labels).next_multiple_of(RIGHT) * n, Strip::default());
        for k in 0..n_labels {
            for s in 0..n {
                for lane in 0..16 {
                    let is_sample = s * 16 + lane < section.n_samples;
                    let d = f64::from(pass.deviations[k * n + s].0[lane]);
                    let root = (d * d + task.smoothing[k] * task.smoothing[k]).sqrt();
                    let omega = if is_sample && root > 0.0 { 0.5 * task.strength[k] / root } else { 0.0 };
                    self.omega[k * n + s].0[lane] = omega as f32;
                    self.omega[(n_labels + k) * n + s].0[lane] = (omega * d) as f32;
                }
            }
        }
        self.pull.resize(weights.len() * n, Strip::default());
        for (factors, pull) in kernel.chunks_exact(n_labels + 1).zip(self.pull.chunks_exact_mut(n)) {
            combine(&self.omega[n_labels * n..2 * n_labels * n], &factors[..n_labels], pull);
        }
    }
}

impl NormalEquations {
    /// For networks of neurons in two hidden layers, of the second maybe none.
    pub fn new(n_labels: usize, [n_hidden, n_second]: [usize; 2]) -> Self {
        let places = Places { n_labels, n_hidden, n_second };
        let p = places.n_parameters();
        let two_layers = (n_second > 0).then(|| Box::new(TwoLayerEquations::new(places)));
        // Sums of one layer alone are none of two.
        let (n_labels, n_hidden) = if n_second > 0 { (0, 0) } else { (n_labels, n_hidden) };
        let n_inputs = n_labels + 1;
        let n_pairs = n_hidden * (n_hidden + 1) / 2;
        Self {
            n_labels,
            n_hidden,
            two_layers,
            matrix: vec![0.0; p * p],
            gradient: vec![0.0; p],
            pairs: Sums::zeros(n_pairs, n_inputs * (n_inputs + 1) / 2),
            mixed: Sums::zeros(n_hidden * (n_hidden + 2), n_inputs),
            outputs: Sums::zeros(n_hidden + 2, n_hidden + 2),
            cross: Sums::zeros(n_hidden * n_hidden, n_labels * n_inputs),
            diagonal: Sums::zeros(n_hidden * n_hidden + n_pairs + n_hidden, 2 * n_labels),
            single: Sums::zeros(n_hidden, n_inputs),
            by_pull: Sums::zeros(n_hidden, (2 * n_labels).next_multiple_of(RIGHT) - first_pull(n_labels)),
            rows: Rows::default(),
        }
    }

    /// Sets up the equations at a pass.
    pub fn set(&mut self, shared: &Shared, task: &StripTask, pass: &Pass) {
        match &mut self.two_layers {
            Some(equations) => equations.set(shared, task, pass, &mut self.matrix, &mut self.gradient),
            None => self.set_one_layer(shared, task, pass),
        }
        let last = self.gradient.len() - 1;
        for i in 0..last {
            self.matrix[i * (last + 1) + i] += task.decay;
            self.gradient[i] += task.decay * pass.parameters[i];
        }
    }

    fn set_one_layer(&mut self, shared: &Shared, task: &StripTask, pass: &Pass) {
        for sums in [&mut self.pairs, &mut self.mixed, &mut self.outputs, &mut self.cross, &mut self.diagonal] {
            sums.clear();
        }
        for (at, section) in shared.sections.iter().enumerate() {
            self.add_fluxes(section, task, pass, at);
        }
        let (mut of_outputs, mut pulls) = (vec![0.0; self.n_hidden * self.n_hidden], vec![0.0; self.n_hidden]);
        if let Some(section) = &shared.references {
            self.add_references(section, task, pass, &mut of_outputs, &mut pulls);
        }
        self.assemble(pass, &of_outputs, &pulls);
    }

    /// The gradient alone, of half the loss: that of a section's fluxes times `share`, and of the references.
    pub fn set_gradient(&mut self, shared: &Shared, task: &StripTask, pass: &Pass, at: usize, share: f64) {
        match &mut self.two_layers {
            Some(equations) => equations.set_gradient(shared, task, pass, (at, share), &mut self.gradient),
            None => self.set_gradient_of_one_layer(shared, task, pass, at, share),
        }
        let last = self.gradient.len() - 1;
        for i in 0..last {
            self.gradient[i] += task.decay * pass.parameters[i];
        }
    }

    fn set_gradient_of_one_layer(&mut self, shared: &Shared, task: &StripTask, pass: &Pass, at: usize, share: f64) {
        let (section, n_hidden, n_labels) = (&shared.sections[at], self.n_hidden, self.n_labels);
        let weights: Vec<f32> = self.output_weights(pass).iter().map(|value| *value as f32).collect();
        let output = n_hidden * (n_labels + 1);
        self.gradient.fill(0.0);
        let (n, rows) = (section.n, &mut self.rows);
        rows.left.resize(LEFT * n, Strip::default());
        rows.q.resize(n_hidden * n, Strip::default());
        rows.pull.resize(n, Strip::default());
        slopes(task, &pass.activations[at], &weights, n, &mut rows.q);
        multiply(&pass.residuals[at], &task.weight[at], &mut rows.pull);
        self.single.clear();
        let Rows { q, left, pull, .. } = rows;
        let of = |h: usize| h * n..(h + 1) * n;
        in_tiles(left, n, 0..n_hidden, &mut self.single, 0, &section.inputs, |h, out| multiply(&q[of(h)], pull, out));
        for h in 0..n_hidden {
            for l in 0..=n_labels {
                let place = if l < n_labels { h * n_labels + l } else { n_hidden * n_labels + h };
                self.gradient[place] = share * self.single.get(h, l);
            }
            self.gradient[output + h] = share * dot(&pass.activations[at][of(h)], pull);
        }
        self.gradient[output + n_hidden] = share * pull.iter().flat_map(|strip| strip.0).map(f64::from).sum::<f64>();
        if let Some(section) = &shared.references {
            self.add_reference_gradient(section, task, pass, &weights);
        }
    }

    fn add_reference_gradient(&mut self, section: &Section, task: &StripTask, pass: &Pass, weights: &[f32]) {
        let (n, n_hidden, n_labels) = (section.n, self.n_hidden, self.n_labels);
        let kernel: Vec<f32> = hidden_kernel(&pass.parameters, n_labels, n_hidden).iter().map(|value| *value as f32).collect();
        self.rows.of_references(section, task, pass, &kernel, weights);
        let Rows { q, p, omega, pull, left, .. } = &mut self.rows;
        left.resize(LEFT * n, Strip::default());
        let at = |h: usize| h * n..(h + 1) * n;
        self.single.clear();
        in_tiles(left, n, 0..n_hidden, &mut self.single, 0, &section.inputs, |h, out| multiply(&p[at(h)], &pull[at(h)], out));
        self.by_pull.clear();
        let first = first_pull(n_labels);
        in_tiles(left, n, 0..n_hidden, &mut self.by_pull, 0, &omega[first * n..], |h, out| out.copy_from_slice(&q[at(h)]));
        for h in 0..n_hidden {
            for l in 0..=n_labels {
                let place = if l < n_labels { h * n_labels + l } else { n_hidden * n_labels + h };
                self.gradient[place] += self.single.get(h, l);
                if l < n_labels {
                    self.gradient[place] += self.by_pull.get(h, n_labels - first + l);
                }
            }
            self.gradient[n_hidden * (n_labels + 1) + h] += dot(&pass.of_references[1][at(h)], &pull[at(h)]);
        }
    }

    fn output_weights<'a>(&self, pass: &'a Pass) -> &'a [f64] {
        let start = self.n_hidden * (self.n_labels + 1);
        &pass.parameters[start..start + self.n_hidden]
    }

    fn add_fluxes(&mut self, section: &Section, task: &StripTask, pass: &Pass, at: usize) {
        let (n, n_hidden) = (section.n, self.n_hidden);
        let weights: Vec<f32> = self.output_weights(pass).iter().map(|value| *value as f32).collect();
        let (activations, residuals, weight) = (&pass.activations[at], &pass.residuals[at], &task.weight[at]);
        let rows = &mut self.rows;
        rows.left.resize(LEFT * n, Strip::default());
        rows.q.resize(n_hidden * n, Strip::default());
        rows.weighted.resize(n_hidden * n, Strip::default());
        slopes(task, activations, &weights, n, &mut rows.q);
        rows.outputs.clear();
        rows.outputs.extend_from_slice(activations);
        rows.outputs.resize((n_hidden + 1) * n, Strip([1.0; 16]));
        rows.outputs.extend_from_slice(residuals);
        let n_outputs = n_hidden + 2;
        rows.outputs.resize(n_outputs.next_multiple_of(RIGHT) * n, Strip::default());
        rows.weighted_outputs.resize(n_outputs * n, Strip::default());
        for h in 0..n_hidden {
            multiply(&rows.q[h * n..(h + 1) * n], weight, &mut rows.weighted[h * n..(h + 1) * n]);
        }
        for m in 0..n_outputs {
            multiply(&rows.outputs[m * n..(m + 1) * n], weight, &mut rows.weighted_outputs[m * n..(m + 1) * n]);
        }
        let Rows { q, weighted, outputs, weighted_outputs, left, .. } = rows;
        in_tiles(left, n, pairs_of(n_hidden), &mut self.pairs, 0, &section.products, |(h, h2), out| {
            multiply(&weighted[h * n..(h + 1) * n], &q[h2 * n..(h2 + 1) * n], out);
        });
        let mixed = (0..n_hidden).flat_map(|h| (0..n_outputs).map(move |m| (h, m)));
        in_tiles(left, n, mixed, &mut self.mixed, 0, &section.inputs, |(h, m), out| {
            multiply(&weighted[h * n..(h + 1) * n], &outputs[m * n..(m + 1) * n], out);
        });
        in_tiles(left, n, 0..n_outputs, &mut self.outputs, 0, outputs, |m, out| {
            out.copy_from_slice(&weighted_outputs[m * n..(m + 1) * n]);
        });
    }

    fn add_references(&mut self, section: &Section, task: &StripTask, pass: &Pass, of_outputs: &mut [f64], pulls: &mut [f64]) {
        let (n, n_hidden, n_labels) = (section.n, self.n_hidden, self.n_labels);
        let kernel: Vec<f32> = hidden_kernel(&pass.parameters, n_labels, n_hidden).iter().map(|value| *value as f32).collect();
        let w = |h: usize, k: usize| kernel[h * (n_labels + 1) + k];
        let weights: Vec<f32> = self.output_weights(pass).iter().map(|value| *value as f32).collect();
        let [_, first, _] = &pass.of_references;
        let rows = &mut self.rows;
        rows.left.resize(LEFT * n, Strip::default());
        rows.of_references(section, task, pass, &kernel, &weights);
        // Σₖ ωₖ W_hk W_h'k.
        let n_pairs = n_hidden * (n_hidden + 1) / 2;
        rows.collapsed.resize(n_pairs * n, Strip::default());
        for (index, (h, h2)) in pairs_of(n_hidden).enumerate() {
            let factors: Vec<f32> = (0..n_labels).map(|k| w(h, k) * w(h2, k)).collect();
            combine(&rows.omega[..n_labels * n], &factors, &mut rows.collapsed[index * n..(index + 1) * n]);
        }
        // ω_l' x_l.
        let n_inputs = n_labels + 1;
        rows.right.resize((n_labels * n_inputs).next_multiple_of(RIGHT) * n, Strip::default());
        for (index, (l2, l)) in (0..n_labels).flat_map(|l2| (0..n_inputs).map(move |l| (l2, l))).enumerate() {
            let (omega, input) = (&rows.omega[l2 * n..(l2 + 1) * n], &section.inputs[l * n..(l + 1) * n]);
            multiply(omega, input, &mut rows.right[index * n..(index + 1) * n]);
        }
        let Rows { q, p, left, omega, collapsed, pull, right, .. } = rows;
        let at = |h: usize| h * n..(h + 1) * n;
        let collapsed = |h: usize, h2: usize| &collapsed[at(pair(h.min(h2), h.max(h2), n_hidden))];
        in_tiles(left, n, pairs_of(n_hidden), &mut self.pairs, 0, &section.products, |(h, h2), out| {
            multiply_three(&p[at(h)], &p[at(h2)], collapsed(h, h2), out);
        });
        let n_outputs = n_hidden + 2;
        let mixed = (0..n_hidden).flat_map(|h| (0..n_outputs).map(move |m| (h, m)));
        in_tiles(left, n, mixed, &mut self.mixed, 0, &section.inputs, |(h, m), out| {
            if m < n_hidden {
                multiply_three(&p[at(h)], &first[at(m)], collapsed(h, m), out);
            } else if m == n_hidden {
                out.fill(Strip::default());
            } else {
                multiply(&p[at(h)], &pull[at(h)], out);
            }
        });
        let squares = (0..n_hidden).flat_map(|h| (0..n_hidden).map(move |h2| (h, h2)));
        in_tiles(left, n, squares.clone(), &mut self.cross, 0, right, |(h, h2), out| multiply(&p[at(h)], &q[at(h2)], out));
        let lists = squares
            .map(|(h, h2)| (h, Some((h2, false))))
            .chain(pairs_of(n_hidden).map(|(h, h2)| (h, Some((h2, true)))))
            .chain((0..n_hidden).map(|h| (h, None)));
        in_tiles(left, n, lists, &mut self.diagonal, 0, omega, |(h, other), out| match other {
            Some((h2, false)) => multiply(&q[at(h)], &first[at(h2)], out),
            Some((h2, true)) => multiply(&q[at(h)], &q[at(h2)], out),
            None => out.copy_from_slice(&q[at(h)]),
        });
        for h in 0..n_hidden {
            pulls[h] = dot(&first[at(h)], &pull[at(h)]);
            for h2 in h..n_hidden {
                multiply(&first[at(h)], &first[at(h2)], &mut left[..n]);
                of_outputs[h * n_hidden + h2] = dot(&left[..n], collapsed(h, h2));
            }
        }
    }

    /// From the sums to the matrix in the order of the parameters.
    fn assemble(&mut self, pass: &Pass, of_outputs: &[f64], pulls: &[f64]) {
        let (n_labels, n_hidden) = (self.n_labels, self.n_hidden);
        let n_inputs = n_labels + 1;
        let size = self.gradient.len();
        let place = |h: usize, l: usize| if l < n_labels { h * n_labels + l } else { n_hidden * n_labels + h };
        let output = |h: usize| n_hidden * n_inputs + h;
        let w = |h: usize, k: usize| pass.parameters[h * n_labels + k];
        let matrix = &mut self.matrix;
        let mut put = |i: usize, j: usize, value: f64| matrix[i.min(j) * size + i.max(j)] = value;
        let n_pairs = n_hidden * (n_hidden + 1) / 2;
        for (index, (h, h2)) in pairs_of(n_hidden).enumerate() {
            let squares = n_hidden * n_hidden + index;
            for l in 0..n_inputs {
                for l2 in if h == h2 { l } else { 0 }..n_inputs {
                    let mut value = self.pairs.get(index, pair(l.min(l2), l.max(l2), n_inputs));
                    if l2 < n_labels {
                        value += w(h, l2) * self.cross.get(h * n_hidden + h2, l2 * n_inputs + l);
                    }
                    if l < n_labels {
                        value += w(h2, l) * self.cross.get(h2 * n_hidden + h, l * n_inputs + l2);
                        if l == l2 {
                            value += self.diagonal.get(squares, l);
                        }
                    }
                    put(place(h, l), place(h2, l2), value);
                }
            }
            put(output(h), output(h2), self.outputs.get(h, h2) + of_outputs[h * n_hidden + h2]);
        }
        let n_outputs = n_hidden + 2;
        for h in 0..n_hidden {
            for l in 0..n_inputs {
                for m in 0..=n_hidden {
                    let mut value = self.mixed.get(h * n_outputs + m, l);
                    if m < n_hidden && l < n_labels {
                        value += w(m, l) * self.diagonal.get(h * n_hidden + m, l);
                    }
                    put(place(h, l), output(m), value);
                }
                let mut value = self.mixed.get(h * n_outputs + n_hidden + 1, l);
                if l < n_labels {
                    value += self.diagonal.get(n_hidden * n_hidden + n_pairs + h, n_labels + l);
                }
                self.gradient[place(h, l)] = value;
            }
            put(output(h), output(n_hidden), self.outputs.get(h, n_hidden));
            self.gradient[output(h)] = self.outputs.get(h, n_hidden + 1) + pulls[h];
        }
        put(output(n_hidden), output(n_hidden), self.outputs.get(n_hidden, n_hidden));
        self.gradient[output(n_hidden)] = self.outputs.get(n_hidden, n_hidden + 1);
    }
}

/// First right row of the group of four that has the first ω d: products take whole groups.
const fn first_pull(n_labels: usize) -> usize {
    n_labels - n_labels % RIGHT
}

fn pairs_of(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |h| (h..n).map(move |h2| (h, h2)))
}

/// Makes the left rows of all `items` a tile at a time, and adds their products with the right rows.
pub(super) fn in_tiles<T>(
    left: &mut [Strip],
    n: usize,
    items: impl Iterator<Item = T>,
    sums: &mut Sums,
    first: usize,
    right: &[Strip],
    mut make: impl FnMut(T, &mut [Strip]),
) {
    let (mut items, mut at) = (items.peekable(), first);
    while items.peek().is_some() {
        for row in left.chunks_exact_mut(n) {
            match items.next() {
                Some(item) => make(item, row),
                None => row.fill(Strip::default()),
            }
        }
        sums.add(at, left, right, n);
        at += LEFT;
    }
}

/// v h′ of activations.
pub(super) fn slopes(task: &StripTask, activations: &[Strip], weights: &[f32], n: usize, out: &mut [Strip]) {
    struct Slopes<'a>(&'a StripTask, &'a [Block], f32, &'a mut [Block]);
    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self) {
            let weight = V::splat(self.2);
            for s in 0..self.1.len() {
                let (first, _) = self.0.activation.derivatives_in_lanes(V::load(&self.1[s].0));
                first.multiply(weight).store(&mut self.3[s].0);
            }
        }
    }
    for ((rows, out), weight) in activations.chunks_exact(n).zip(out.chunks_exact_mut(n)).zip(weights) {
        dispatch(Slopes(task, halves(rows), *weight, halves_mut(out)));
    }
}

/// Every row times a number of its own.
fn scaled(rows: &[Strip], factors: &[f32], n: usize, out: &mut Vec<Strip>) {
    out.clear();
    let scaled = |(row, factor): (&[Strip], &f32)| row.iter().map(|strip| Strip(strip.0.map(|x| x * factor))).collect::<Vec<_>>();
    out.extend(rows.chunks_exact(n).zip(factors).flat_map(scaled));
}

fn multiply_three(a: &[Strip], b: &[Strip], c: &[Strip], out: &mut [Strip]) {
    struct Multiply<'a>(&'a [Block], &'a [Block], &'a [Block], &'a mut [Block]);
    impl Kernel for Multiply<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self) {
            for s in 0..self.3.len() {
                let product = V::load(&self.0[s].0).multiply(V::load(&self.1[s].0)).multiply(V::load(&self.2[s].0));
                product.store(&mut self.3[s].0);
            }
        }
    }
    dispatch(Multiply(halves(a), halves(b), halves(c), halves_mut(out)));
}

fn dot(a: &[Strip], b: &[Strip]) -> f64 {
    let products = a.iter().zip(b).flat_map(|(a, b)| a.0.into_iter().zip(b.0));
    products.map(|(a, b)| f64::from(a) * f64::from(b)).sum()
}
