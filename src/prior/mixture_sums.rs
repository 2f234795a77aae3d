//! −2 ln p of a mixture with gradient and curvature, four Gaussians at a time.

use super::mixture::Component;
use crate::tensor::quads::{QUAD, Quad, exp_of_negative, vectorised};

/// The Gaussians of a mixture, lane by lane, with working memory.
#[derive(Debug, Clone, Default)]
pub(super) struct MixtureSums {
    /// Number of parameters.
    n: usize,
    /// ln amplitudes `[Q]`, means `[n, Q]` and precisions `[n, n, Q]`; Q quads hold all Gaussians, and lanes
    /// beyond the last have no weight.
    ln_amplitudes: Vec<[f64; QUAD]>,
    means: Vec<[f64; QUAD]>,
    precisions: Vec<[f64; QUAD]>,
    /// ∂ ln N/∂x `[n, Q]`, ln densities and then shares `[Q]`.
    pulls: Vec<[f64; QUAD]>,
    terms: Vec<[f64; QUAD]>,
}

impl MixtureSums {
    pub fn new(components: &[Component], n: usize) -> Self {
        let lanes = |value: &dyn Fn(&Component) -> f64, beyond: f64| -> Vec<[f64; QUAD]> {
            let quad = |quad: &[Component]| std::array::from_fn(|lane| quad.get(lane).map_or(beyond, value));
            components.chunks(QUAD).map(quad).collect()
        };
        let n_quads = components.len().div_ceil(QUAD);
        Self {
            n,
            ln_amplitudes: lanes(&|component| component.ln_amplitude, f64::NEG_INFINITY),
            means: (0..n).flat_map(|i| lanes(&|component| component.mean[i], 0.0)).collect(),
            precisions: (0..n * n).flat_map(|ij| lanes(&|component| component.precision[ij], 0.0)).collect(),
            pulls: vec![[0.0; QUAD]; n * n_quads],
            terms: vec![[0.0; QUAD]; n_quads],
        }
    }
}

vectorised! {
    /// −2 ln p at `x [n]`; its gradient is added to `gradient [n]`, twice the mean precision, weighted by the
    /// shares of the Gaussians in the density, to `curvature [n, n]`.
    pub(super) fn add_loss(sums: &mut MixtureSums, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 = add_loss_with
}

#[inline(always)]
fn add_loss_with<Q: Quad>(sums: &mut MixtureSums, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
    // With the number of labels known to the compiler, the loops become straight code.
    match sums.n {
        2 => add_loss_sized::<Q>(2, sums, x, gradient, curvature),
        3 => add_loss_sized::<Q>(3, sums, x, gradient, curvature),
        4 => add_loss_sized::<Q>(4, sums, x, gradient, curvature),
        n => add_loss_sized::<Q>(n, sums, x, gradient, curvature),
    }
}

#[inline(always)]
fn add_loss_sized<Q: Quad>(n: usize, sums: &mut MixtureSums, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
    let MixtureSums { ln_amplitudes, means, precisions, pulls, terms, .. } = sums;
    let n_quads = terms.len();
    let mut largest = f64::NEG_INFINITY;
    for q in 0..n_quads {
        let mut term = Q::load(&ln_amplitudes[q]);
        for i in 0..n {
            let mut pull = Q::splat(0.0);
            for j in 0..n {
                let away = Q::load(&means[j * n_quads + q]).subtract(Q::splat(x[j]));
                pull = Q::load(&precisions[(i * n + j) * n_quads + q]).multiply_add(away, pull);
            }
            let away = Q::load(&means[i * n_quads + q]).subtract(Q::splat(x[i]));
            term = away.multiply(Q::splat(-0.5)).multiply_add(pull, term);
            pull.store(&mut pulls[i * n_quads + q]);
        }
        term.store(&mut terms[q]);
        for lane in terms[q] {
            largest = if lane > largest { lane } else { largest };
        }
    }
    let mut total = Q::splat(0.0);
    for term in terms.iter_mut() {
        let share = exp_of_negative(Q::load(term).subtract(Q::splat(largest)));
        share.store(term);
        total = total.add(share);
    }
    let total = total.sum();
    let factor = 2.0 / total;
    for i in 0..n {
        let mut sum = Q::splat(0.0);
        for q in 0..n_quads {
            sum = Q::load(&terms[q]).multiply_add(Q::load(&pulls[i * n_quads + q]), sum);
        }
        gradient[i] -= factor * sum.sum();
        for j in 0..=i {
            let mut sum = Q::splat(0.0);
            for q in 0..n_quads {
                sum = Q::load(&terms[q]).multiply_add(Q::load(&precisions[(i * n + j) * n_quads + q]), sum);
            }
            let sum = factor * sum.sum();
            curvature[i * n + j] += sum;
            if j < i {
                curvature[j * n + i] += sum;
            }
        }
    }
    // A NaN stays one.
    if x.iter().any(|x| x.is_nan()) { f64::NAN } else { -2.0 * (largest + total.ln()) }
}
