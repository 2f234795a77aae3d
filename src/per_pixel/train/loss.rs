//! The loss of one pixel's network and its gradient, in double precision: what training minimises, and the
//! oracle of the fast path.
//!
//! L = 1/N Σᵢ (f(ℓᵢ) − fᵢ)² /σᵢ² + 1/R Σⱼ Σₖ Dₖ s(∂f/∂ℓₖ(ℓⱼ) − gⱼₖ) + λ/N |θ|², s(d) = √(d² + ε²) − ε, which
//! is |d| for ε = 0 (Zhang et al. 2024, eq. 3, with its indices repaired; labels are the scaled ones; θ
//! without the bias of the output).

#![allow(clippy::needless_range_loop)] // rows and columns of matrices go by their indices

use super::super::network::Architecture;
use ndarray::{Array2, ArrayView2};

/// What the network of a pixel is to learn.
#[derive(Debug, Clone)]
pub struct PixelTask<'a> {
    /// Scaled labels of the training spectra `[N, L]`.
    pub scaled: ArrayView2<'a, f64>,
    /// `[N]`.
    pub flux: Vec<f64>,
    /// 1/(N σ²) `[N]`; 0 for missing pixels, which do not count in N.
    pub weight: Vec<f64>,
    /// Scaled labels of the references `[R, L]`; R may be 0.
    pub references: ArrayView2<'a, f64>,
    /// Gradients by the scaled labels `[R, L]`.
    pub gradient: Array2<f64>,
    /// Dₖ/R `[L]`.
    pub strength: Vec<f64>,
    /// εₖ of the smoothed absolute value `[L]`.
    pub smoothing: Vec<f64>,
    /// λ/N.
    pub decay: f64,
}

/// The parts of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// χ² per spectrum.
    pub flux: f64,
    /// The gradient term.
    pub gradient: f64,
    /// Weight decay.
    pub decay: f64,
}

impl Loss {
    /// Their sum.
    pub fn total(self) -> f64 {
        self.flux + self.gradient + self.decay
    }
}

/// A layer's inputs and what came out, for one spectrum.
struct Tape {
    /// Inputs, and their tangents along every label `[inputs, L]`.
    value: Vec<f64>,
    tangent: Array2<f64>,
    /// Tangents of the sums `[outputs, L]`, before the activation.
    sums: Array2<f64>,
}

/// The loss at `parameters` and its gradient `[P]`. Reverse mode through the network and its label
/// derivatives.
pub fn loss_and_gradient(architecture: &Architecture, parameters: &[f64], task: &PixelTask) -> (Loss, Vec<f64>) {
    let mut gradient = vec![0.0; parameters.len()];
    let mut loss = Loss::default();
    let no_pull = vec![0.0; task.scaled.ncols()];
    for (i, scaled) in task.scaled.outer_iter().enumerate() {
        let weight = task.weight[i];
        if weight > 0.0 {
            let (tapes, flux, _) = forward(architecture, parameters, &scaled.to_vec());
            let residual = flux - task.flux[i];
            loss.flux += weight * residual * residual;
            backward(architecture, parameters, &tapes, 2.0 * weight * residual, &no_pull, &mut gradient);
        }
    }
    for (j, scaled) in task.references.outer_iter().enumerate() {
        let (tapes, _, slopes) = forward(architecture, parameters, &scaled.to_vec());
        let pulls: Vec<f64> = (0..slopes.len())
            .map(|k| {
                let (d, epsilon) = (slopes[k] - task.gradient[[j, k]], task.smoothing[k]);
                let root = d.hypot(epsilon);
                loss.gradient += task.strength[k] * (root - epsilon);
                if root > 0.0 { task.strength[k] * d / root } else { 0.0 }
            })
            .collect();
        backward(architecture, parameters, &tapes, 0.0, &pulls, &mut gradient);
    }
    let last = parameters.len() - 1;
    for (to, parameter) in gradient[..last].iter_mut().zip(parameters) {
        loss.decay += task.decay * parameter * parameter;
        *to += 2.0 * task.decay * parameter;
    }
    (loss, gradient)
}

/// Flux and its label derivatives, with a tape of every layer.
fn forward(architecture: &Architecture, parameters: &[f64], scaled: &[f64]) -> (Vec<Tape>, f64, Vec<f64>) {
    let n_labels = scaled.len();
    let (mut value, mut tangent) = (scaled.to_vec(), Array2::<f64>::eye(n_labels));
    let mut tapes = Vec::new();
    let last = architecture.widths.len() - 1;
    for (index, (inputs, outputs)) in architecture.layers().enumerate() {
        let (kernel, bias) = architecture.place(index);
        let kernel = &parameters[kernel];
        let row = |j: usize| &kernel[j * inputs..(j + 1) * inputs];
        let mut next: Vec<f64> = (0..outputs)
            .map(|j| parameters[bias.start + j] + row(j).iter().zip(&value).map(|(w, v)| w * v).sum::<f64>())
            .collect();
        let sums =
            Array2::from_shape_fn((outputs, n_labels), |(j, k)| row(j).iter().zip(tangent.column(k)).map(|(w, t)| w * t).sum());
        let mut slopes = sums.clone();
        if index < last {
            for (j, next) in next.iter_mut().enumerate() {
                *next = architecture.activation.value(*next);
                let (first, _) = architecture.activation.derivatives(*next);
                slopes.row_mut(j).mapv_inplace(|slope| first * slope);
            }
        }
        tapes.push(Tape { value: std::mem::replace(&mut value, next), tangent: std::mem::replace(&mut tangent, slopes), sums });
    }
    (tapes, value[0], tangent.row(0).to_vec())
}

/// Adds to the gradient what pulls on the flux and on its label derivatives do to the parameters.
fn backward(architecture: &Architecture, parameters: &[f64], tapes: &[Tape], flux: f64, slopes: &[f64], gradient: &mut [f64]) {
    let n_labels = slopes.len();
    // Pulls on a layer's sums, and on their tangents.
    let (mut pull, mut pulls) = (vec![flux], Array2::from_shape_fn((1, n_labels), |(_, k)| slopes[k]));
    for (index, (inputs, outputs)) in architecture.layers().enumerate().collect::<Vec<_>>().into_iter().rev() {
        let (kernel, bias) = architecture.place(index);
        let tape = &tapes[index];
        let (mut below, mut tangents_below) = (vec![0.0; inputs], Array2::<f64>::zeros((inputs, n_labels)));
        for j in 0..outputs {
            gradient[bias.start + j] += pull[j];
            for i in 0..inputs {
                let at = kernel.start + j * inputs + i;
                let weight = parameters[at];
                gradient[at] += pull[j] * tape.value[i] + pulls.row(j).dot(&tape.tangent.row(i));
                below[i] += weight * pull[j];
                tangents_below.row_mut(i).scaled_add(weight, &pulls.row(j));
            }
        }
        if index > 0 {
            for i in 0..inputs {
                let (first, second) = architecture.activation.derivatives(tape.value[i]);
                below[i] = below[i] * first + second * tangents_below.row(i).dot(&tapes[index - 1].sums.row(i));
                tangents_below.row_mut(i).mapv_inplace(|pull| pull * first);
            }
        }
        (pull, pulls) = (below, tangents_below);
    }
}
