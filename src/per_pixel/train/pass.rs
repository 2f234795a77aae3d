//! A network at all samples, in single precision with sums in double: fluxes and deviations of the label
//! gradients.

use super::super::activation::Activation;
use super::super::engine::dispatch;
use super::super::strip_rows::{halves, halves_mut, multiply, weighted_squares};
use super::loss::{Loss, PixelTask};
use super::shared::{Section, Shared};
use super::two_layers::{Places, Second};
use crate::tensor::lanes::{Block, Kernel, Lanes};
use crate::tensor::row_products::Strip;

/// Neurons whose sums are in registers together.
const TILE: usize = 4;

/// What a pixel's network is to learn, in the strips of the sections ([`super::loss::PixelTask`] in double
/// precision).
#[derive(Debug, Clone)]
pub(super) struct StripTask {
    pub activation: Activation,
    /// Number of hidden neurons H.
    pub n_hidden: usize,
    /// Those of the second hidden layer; 0 where there is none.
    pub n_second: usize,
    /// `[sections][n]`; 0 where the weight is.
    pub flux: Vec<Vec<Strip>>,
    /// 1/(N σ²) `[sections][n]`.
    pub weight: Vec<Vec<Strip>>,
    /// `[L][n]` over the references.
    pub gradient: Vec<Strip>,
    /// Dₖ/R.
    pub strength: Vec<f64>,
    pub smoothing: Vec<f64>,
    pub decay: f64,
}

impl StripTask {
    /// Where the parameters of its networks lie.
    pub fn places(&self, n_labels: usize) -> Places {
        Places { n_labels, n_hidden: self.n_hidden, n_second: self.n_second }
    }

    /// The same in strips, for a network with neurons in two hidden layers, of the second maybe none.
    pub fn new(task: &PixelTask, shared: &Shared, activation: Activation, [n_hidden, n_second]: [usize; 2]) -> Self {
        let weight = |section: &Section| section.strips_of(|i| task.weight[section.first + i] as f32);
        // A missing flux may be anything.
        let known = |i: usize| if task.weight[i] > 0.0 { task.flux[i] as f32 } else { 0.0 };
        let gradient =
            |section: &Section| (0..shared.n_labels).flat_map(|k| section.strips_of(|j| task.gradient[[j, k]] as f32)).collect();
        Self {
            activation,
            n_hidden,
            n_second,
            flux: shared.sections.iter().map(|section| section.strips_of(|i| known(section.first + i))).collect(),
            weight: shared.sections.iter().map(weight).collect(),
            gradient: shared.references.as_ref().map_or_else(Vec::new, gradient),
            strength: task.strength.clone(),
            smoothing: task.smoothing.clone(),
            decay: task.decay,
        }
    }
}

/// A network's parameters, in the order of [`super::super::network::Architecture`], with what it makes of the
/// samples.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub parameters: Vec<f64>,
    /// `[sections][H][n]`.
    pub activations: Vec<Vec<Strip>>,
    /// f − fᵢ `[sections][n]`.
    pub residuals: Vec<Vec<Strip>>,
    /// h, h′, h″ of the references, `[H][n]` each.
    pub of_references: [Vec<Strip>; 3],
    /// ∂f/∂ℓₖ − gₖ of the references `[L][n]`.
    pub deviations: Vec<Strip>,
    pub second: Second,
    pub loss: Loss,
    /// The gradient term without smoothing.
    pub exact_gradient: f64,
}

impl Pass {
    /// Space for a pass over the samples.
    pub fn new(shared: &Shared, [n_hidden, n_second]: [usize; 2]) -> Self {
        let places = Places { n_labels: shared.n_labels, n_hidden, n_second };
        let rows = |section: &Section, rows: usize| vec![Strip::default(); rows * section.n];
        let of_references = |rows_of: usize| shared.references.as_ref().map_or_else(Vec::new, |section| rows(section, rows_of));
        Self {
            parameters: vec![0.0; places.n_parameters()],
            activations: shared.sections.iter().map(|section| rows(section, n_hidden)).collect(),
            residuals: shared.sections.iter().map(|section| rows(section, 1)).collect(),
            of_references: std::array::from_fn(|_| of_references(n_hidden)),
            deviations: of_references(shared.n_labels),
            second: if n_second > 0 { Second::new(shared, n_hidden, n_second) } else { Second::default() },
            loss: Loss::default(),
            exact_gradient: 0.0,
        }
    }

    /// Computes everything at the pass's parameters.
    pub fn evaluate(&mut self, shared: &Shared, task: &StripTask) {
        self.loss = Loss::default();
        for at in 0..shared.sections.len() {
            self.loss.flux += self.evaluate_section(shared, task, at);
        }
        self.evaluate_references(shared, task);
        let decayed = &self.parameters[..self.parameters.len() - 1];
        self.loss.decay = task.decay * decayed.iter().map(|value| value * value).sum::<f64>();
    }

    /// The part of a section's samples; its χ².
    pub fn evaluate_section(&mut self, shared: &Shared, task: &StripTask, at: usize) -> f64 {
        let (n_labels, n_hidden) = (shared.n_labels, task.n_hidden);
        let places = task.places(n_labels);
        let single: Vec<f32> = self.parameters.iter().map(|value| *value as f32).collect();
        let outputs = &single[places.output()..];
        let (activations, residuals) = (&mut self.activations[at], &mut self.residuals[at]);
        hidden(&shared.sections[at], &hidden_kernel(&single, n_labels, n_hidden), task, n_labels, activations);
        let last = match task.n_second {
            0 => activations,
            _ => {
                let values = &mut self.second.values[at];
                second_layer(task, &single[places.second()..], activations, &mut self.second.inputs[at], values);
                values
            }
        };
        // The flux is negated so that residuals are sums.
        dispatch(Combine {
            rows: halves(last),
            weights: &outputs[..places.n_last()],
            offset: outputs[places.n_last()],
            subtracted: halves(&task.flux[at]),
            out: halves_mut(residuals),
        });
        weighted_squares(&task.weight[at], residuals)
    }

    /// The part of the references, with the gradient terms of the loss.
    pub fn evaluate_references(&mut self, shared: &Shared, task: &StripTask) {
        let (n_labels, n_hidden) = (shared.n_labels, task.n_hidden);
        let single: Vec<f32> = self.parameters.iter().map(|value| *value as f32).collect();
        let kernel = hidden_kernel(&single, n_labels, n_hidden);
        let places = task.places(n_labels);
        let outputs = &single[places.output()..];
        (self.loss.gradient, self.exact_gradient) = (0.0, 0.0);
        if let Some(section) = &shared.references {
            let n = section.n;
            let [values, first, second] = &mut self.of_references;
            hidden(section, &kernel, task, n_labels, values);
            dispatch(Derivatives {
                activation: task.activation,
                values: halves(values),
                first: halves_mut(first),
                second: halves_mut(second),
            });
            if task.n_second > 0 {
                let own = &mut self.second;
                let [values_of_second, first_of_second, second_of_second] = &mut own.of_references;
                second_layer(task, &single[places.second()..], values, &mut own.reference_inputs, values_of_second);
                dispatch(Derivatives {
                    activation: task.activation,
                    values: halves(values_of_second),
                    first: halves_mut(first_of_second),
                    second: halves_mut(second_of_second),
                });
            }
            for k in 0..n_labels {
                let factor = |h: usize| kernel[h * (n_labels + 1) + k];
                let rows = k * n..(k + 1) * n;
                let (weights, first): (Vec<f32>, &[Strip]) = match task.n_second {
                    0 => ((0..n_hidden).map(|h| outputs[h] * factor(h)).collect(), first),
                    n_second => {
                        let Second { tangents, along, of_references: [_, first_of_second, _], .. } = &mut self.second;
                        for j in 0..n_second {
                            let row = |j: usize| j * n..(j + 1) * n;
                            let tangent = &mut tangents[row(k * n_second + j)];
                            let weight = |h: usize| single[places.second() + j * n_hidden + h] * factor(h);
                            combine(first, &(0..n_hidden).map(weight).collect::<Vec<f32>>(), tangent);
                            multiply(&first_of_second[row(j)], tangent, &mut along[row(j)]);
                        }
                        (outputs[..n_second].to_vec(), along)
                    }
                };
                dispatch(Combine {
                    rows: halves(first),
                    weights: &weights,
                    offset: 0.0,
                    subtracted: halves(&task.gradient[rows.clone()]),
                    out: halves_mut(&mut self.deviations[rows.clone()]),
                });
                let epsilon = task.smoothing[k];
                let (mut smooth, mut exact) = (0.0, 0.0);
                for d in self.deviations[rows].iter().flat_map(|strip| strip.0).take(section.n_samples) {
                    let d = f64::from(d);
                    smooth += (d * d + epsilon * epsilon).sqrt() - epsilon;
                    exact += d.abs();
                }
                self.loss.gradient += task.strength[k] * smooth;
                self.exact_gradient += task.strength[k] * exact;
            }
        }
    }
}

/// Values of the second hidden layer from those of the first; `parameters` begin with its kernel and bias.
fn second_layer(task: &StripTask, parameters: &[f32], first: &[Strip], inputs: &mut [Strip], out: &mut [Strip]) {
    let n = out.len() / task.n_second;
    inputs[..first.len()].copy_from_slice(first);
    inputs[first.len()..].fill(Strip([1.0; 16]));
    dispatch(Hidden {
        inputs: halves(inputs),
        n: 2 * n,
        n_inputs: task.n_hidden + 1,
        kernel: &hidden_kernel(parameters, task.n_hidden, task.n_second),
        activation: task.activation,
        out: halves_mut(out),
    });
}

/// Σ factor · row.
pub(super) fn combine(rows: &[Strip], factors: &[f32], out: &mut [Strip]) {
    struct Sum<'a>(&'a [Block], &'a [f32], &'a mut [Block]);
    impl Kernel for Sum<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self) {
            let n = self.2.len();
            for s in 0..n {
                let mut sum = V::splat(0.0);
                for k in 0..self.1.len() {
                    sum = V::load(&self.0[k * n + s].0).multiply_add(V::splat(self.1[k]), sum);
                }
                sum.store(&mut self.2[s].0);
            }
        }
    }
    dispatch(Sum(halves(rows), factors, halves_mut(out)));
}

/// Weights of the hidden neurons with their bias behind them `[H][L + 1]`.
pub(super) fn hidden_kernel<T: Copy>(parameters: &[T], n_labels: usize, n_hidden: usize) -> Vec<T> {
    let row = |h: usize| parameters[h * n_labels..(h + 1) * n_labels].iter().chain([&parameters[n_hidden * n_labels + h]]);
    (0..n_hidden).flat_map(row).copied().collect()
}

/// Activations of a section's samples.
pub(super) fn hidden(section: &Section, kernel: &[f32], task: &StripTask, n_labels: usize, out: &mut [Strip]) {
    dispatch(Hidden {
        inputs: halves(&section.inputs),
        n: 2 * section.n,
        n_inputs: n_labels + 1,
        kernel,
        activation: task.activation,
        out: halves_mut(out),
    });
}

/// h(W x) for all neurons.
struct Hidden<'a> {
    inputs: &'a [Block],
    n: usize,
    n_inputs: usize,
    kernel: &'a [f32],
    activation: Activation,
    out: &'a mut [Block],
}

impl Kernel for Hidden<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { inputs, n, n_inputs, kernel, activation, out } = self;
        let tile = TILE * n_inputs;
        let whole = kernel.len() / tile * TILE;
        for (kernel, out) in kernel.chunks_exact(tile).zip(out.chunks_exact_mut(TILE * n)) {
            rows::<V, TILE>(inputs, n, n_inputs, kernel, activation, out);
        }
        for (kernel, out) in kernel[whole * n_inputs..].chunks_exact(n_inputs).zip(out[whole * n..].chunks_exact_mut(n)) {
            rows::<V, 1>(inputs, n, n_inputs, kernel, activation, out);
        }
    }
}

#[inline(always)]
fn rows<V: Lanes, const T: usize>(
    inputs: &[Block],
    n: usize,
    n_inputs: usize,
    kernel: &[f32],
    activation: Activation,
    out: &mut [Block],
) {
    for s in 0..n {
        let mut sums = [V::splat(0.0); T];
        for l in 0..n_inputs {
            let x = V::load(&inputs[l * n + s].0);
            for t in 0..T {
                sums[t] = x.multiply_add(V::splat(kernel[t * n_inputs + l]), sums[t]);
            }
        }
        for t in 0..T {
            activation.in_lanes(sums[t]).0.store(&mut out[t * n + s].0);
        }
    }
}

/// offset + Σ weight · row − subtracted.
struct Combine<'a> {
    rows: &'a [Block],
    weights: &'a [f32],
    offset: f32,
    subtracted: &'a [Block],
    out: &'a mut [Block],
}

impl Kernel for Combine<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let n = self.out.len();
        for s in 0..n {
            let mut sum = V::splat(self.offset);
            for h in 0..self.weights.len() {
                sum = V::load(&self.rows[h * n + s].0).multiply_add(V::splat(self.weights[h]), sum);
            }
            sum.subtract(V::load(&self.subtracted[s].0)).store(&mut self.out[s].0);
        }
    }
}

/// h′ and h″ of activations.
struct Derivatives<'a> {
    activation: Activation,
    values: &'a [Block],
    first: &'a mut [Block],
    second: &'a mut [Block],
}

impl Kernel for Derivatives<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for s in 0..self.values.len() {
            let (first, second) = self.activation.derivatives_in_lanes(V::load(&self.values[s].0));
            first.store(&mut self.first[s].0);
            second.store(&mut self.second[s].0);
        }
    }
}
