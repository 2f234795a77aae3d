//! The search of one spectrum: where it is, and its steps within bounds.

use super::{Ending, FIRST_DAMPING};
use crate::tensor::cholesky::Factor;
use crate::tensor::row_products::Strip;

/// A spectrum that is being fitted.
pub(super) struct Search {
    /// Scaled labels, then the other parameters in units of their limits `[K]`.
    pub scaled: Vec<f64>,
    pub flux: Vec<Strip>,
    pub weight: Vec<Strip>,
    pub n_pixels: usize,
    pub prior: Option<Prior>,
    /// With the prior's share.
    pub chi_square: f64,
    /// At `scaled`: the Fisher matrix, row-major, and half the gradient of χ².
    pub matrix: Vec<f64>,
    pub gradient: Vec<f64>,
    pub trial: Vec<f64>,
    /// Of the last step: how much it was to lower χ².
    pub predicted: f64,
    pub damping: f64,
    pub growth: f64,
    pub n_iterations: usize,
    pub ending: Option<Ending>,
    /// Whether it ended where no step, however short, lowers χ² as the model's gradients promise.
    pub is_stalled: bool,
    /// Where it may begin again.
    pub others: Vec<Vec<f64>>,
}

/// What is known of the labels of a spectrum beside its flux: normal errors, independent of each other.
#[derive(Debug, Clone)]
pub(super) struct Prior {
    /// Scaled labels `[L]`, and their inverse variances.
    pub centre: Vec<f64>,
    pub weight: Vec<f64>,
}

/// What a model says at the parameters of a spectrum.
pub(super) struct Evaluated {
    pub chi_square: f64,
    pub matrix: Vec<f64>,
    pub gradient: Vec<f64>,
}

/// Sets the trial to the minimum of the damped quadratic model over the `free` parameters within the bounds:
/// those that would leave them are held there, and the others sought anew. False where there is none.
pub(super) fn bounded_step(search: &mut Search, mut free: Vec<usize>, limits: &[f64], factors: &mut [Option<Factor>]) -> bool {
    let l = search.scaled.len();
    let mut moved = vec![0.0; l];
    while let Some(last) = free.len().checked_sub(1) {
        let m = last + 1;
        let matrix: Vec<f64> = (0..m * m).map(|index| search.matrix[free[index / m] * l + free[index % m]]).collect();
        let damping: Vec<f64> = free.iter().map(|&k| search.damping * search.matrix[k * l + k] + f64::MIN_POSITIVE).collect();
        let factor = factors[last].get_or_insert_with(|| Factor::new(m));
        if !factor.decompose(&matrix, &damping) {
            return false;
        }
        let pull = |k: usize| -> f64 { (0..l).filter(|j| !free.contains(j)).map(|j| search.matrix[k * l + j] * moved[j]).sum() };
        let mut step: Vec<f64> = free.iter().map(|&k| -search.gradient[k] - pull(k)).collect();
        factor.solve(&mut step);
        let leaves = |k: usize, step: f64| (search.scaled[k] + step).abs() > limits[k];
        let is_inside: Vec<bool> = free.iter().zip(&step).map(|(&k, step)| !leaves(k, *step)).collect();
        for (&k, step) in free.iter().zip(&step) {
            let to = if leaves(k, *step) { limits[k].copysign(search.scaled[k] + step) } else { search.scaled[k] + step };
            moved[k] = to - search.scaled[k];
        }
        if is_inside.iter().all(|inside| *inside) {
            break;
        }
        free = free.into_iter().zip(is_inside).filter_map(|(k, inside)| inside.then_some(k)).collect();
    }
    for (trial, moved) in search.trial.iter_mut().zip(moved) {
        *trial += moved;
    }
    true
}

impl Prior {
    /// Of what is known to these inverse variances, about the middle of the range.
    pub fn about_the_middle(weight: Vec<f64>) -> Self {
        Self { centre: vec![0.0; weight.len()], weight }
    }

    /// With as much known more: `weight` of the same parameters, about where it is.
    pub fn with(mut self, weight: &[f64]) -> Self {
        self.weight.iter_mut().zip(weight).for_each(|(own, more)| *own += more);
        self
    }

    /// Adds its share at `parameters [K]`, of which the first are the labels.
    pub fn add(&self, parameters: &[f64], to: &mut Evaluated) {
        let n = parameters.len();
        for (k, (centre, weight)) in self.centre.iter().zip(&self.weight).enumerate() {
            let away = parameters[k] - centre;
            to.chi_square += weight * away * away;
            to.gradient[k] += weight * away;
            to.matrix[k * n + k] += weight;
        }
    }
}

impl Search {
    /// At its start.
    pub fn new(scaled: Vec<f64>, [flux, weight]: [Vec<Strip>; 2], n_pixels: usize) -> Self {
        let k = scaled.len();
        Self {
            trial: scaled.clone(),
            scaled,
            flux,
            weight,
            n_pixels,
            prior: None,
            chi_square: f64::INFINITY,
            matrix: vec![0.0; k * k],
            gradient: vec![0.0; k],
            predicted: f64::INFINITY,
            damping: FIRST_DAMPING,
            growth: 2.0,
            n_iterations: 0,
            ending: None,
            is_stalled: false,
            others: Vec::new(),
        }
    }

    /// Goes to the trial, or begins there.
    pub fn take(&mut self, found: Evaluated) {
        (self.chi_square, self.matrix, self.gradient) = (found.chi_square, found.matrix, found.gradient);
    }

    /// What the quadratic model says that the trial lowers χ² by.
    pub fn promise(&self) -> f64 {
        let l = self.scaled.len();
        let moved: Vec<f64> = (0..l).map(|k| self.trial[k] - self.scaled[k]).collect();
        let linear: f64 = moved.iter().zip(&self.gradient).map(|(d, g)| d * g).sum();
        let quadratic: f64 = (0..l).map(|i| moved[i] * (0..l).map(|j| self.matrix[i * l + j] * moved[j]).sum::<f64>()).sum();
        -2.0 * linear - quadratic
    }

    /// Begins anew elsewhere, with the same spectrum.
    pub fn again(&self, scaled: Vec<f64>) -> Self {
        let prior = self.prior.clone();
        Self { prior, ..Self::new(scaled, [self.flux.clone(), self.weight.clone()], self.n_pixels) }
    }

    /// A shorter step next time.
    pub fn refuse(&mut self) {
        self.damping *= self.growth;
        self.growth *= 2.0;
    }
}
