//! The mixture of the labels themselves, from labels with errors: extreme deconvolution.
//!
//! Star i has the measured labels w_i = R_i v_i + noise, noise ~ N(0, S_i), where R_i picks the labels that
//! it has. Of the mixture Σ α_j N(v | m_j, V_j) of the v, T_ij = R_i V_j R_iᵀ + S_i is the covariance of what
//! is measured, and expectation–maximisation takes, with q_ij the share of j in the density of star i and
//! u_ij = T_ij⁻¹ (w_i − R_i m_j),
//!
//! m_j ← m_j + V_j ⟨R_iᵀ u_ij⟩, V_j ← V_j + V_j ⟨R_iᵀ (u_ij u_ijᵀ − T_ij⁻¹) R_i⟩ V_j − δ_j δ_jᵀ,
//!
//! with means ⟨ ⟩ over stars by q_ij, and the step δ_j of m_j. (These are eq. 17 of the source with its b_ij
//! and B_ij written out.) Eigenvalues of V_j below a least width are raised to it, which is the maximum of
//! the likelihood of mixtures whose Gaussians are that wide. A Gaussian that no more stars tell than there
//! are labels is left out.
//!
//! Source: Bovy, Hogg & Roweis 2011, Ann. Appl. Stat. 5, 1657.

use super::GaussianMixture;
use super::mixture::Component;
use crate::error::{Error, Result};
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use ndarray::{ArrayView2, ArrayView3, Axis};
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Stars of a partial sum: sums are those of the chunks in their order, whatever the number of threads.
const CHUNK: usize = 512;

/// ln of a share of the density that is lost in the rounding of the others.
const NEGLIGIBLE: f64 = -40.0;

/// Measured labels, each with the covariance of its noise.
#[derive(Debug, Clone, Copy)]
pub struct NoisyLabels<'a> {
    /// `[N, n]`; not a number where a star lacks a label.
    pub values: ArrayView2<'a, f64>,
    /// `[N, n, n]`; rows and columns of labels that a star lacks are not read.
    pub covariances: ArrayView3<'a, f64>,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Least width of a Gaussian in any direction, in the units of the values.
    pub least_width: f64,
    /// Converged where an iteration raises the mean ln p of a star by less.
    pub tolerance: f64,
    pub max_iterations: u64,
}

/// The labels that a star has.
struct Star {
    /// Their positions `[m]`, values `[m]` and the covariance of their noise `[m, m]`.
    positions: Vec<usize>,
    values: Vec<f64>,
    noise: Vec<f64>,
}

impl NoisyLabels<'_> {
    /// What every star has that has anything.
    ///
    /// # Errors
    /// `Data` where shapes differ, or a noise is no covariance.
    fn stars(&self) -> Result<Vec<Star>> {
        let (n_stars, n) = self.values.dim();
        if self.covariances.dim() != (n_stars, n, n) {
            return Err(Error::data("covariances of the labels")
                .found(format!("the shape {:?}", self.covariances.dim()))
                .expected(format!("{:?}, as many as values", (n_stars, n, n))));
        }
        let rows = self.values.rows().into_iter().zip(self.covariances.axis_iter(Axis(0)));
        let mut stars = Vec::with_capacity(n_stars);
        for (row, (values, covariance)) in rows.enumerate() {
            let positions: Vec<usize> = (0..n).filter(|&i| values[i].is_finite()).collect();
            let pairs = positions.iter().flat_map(|&i| positions.iter().map(move |&j| (i, j)));
            let noise: Vec<f64> = pairs.clone().map(|pair| covariance[pair]).collect();
            let is_fault = |(i, j): (usize, usize)| {
                let (this, [a, b]) = (covariance[[i, j]], [covariance[[i, i]], covariance[[j, j]]]);
                // A NaN is one.
                let is_bounded = this * this <= a * b * (1.0 + 1e-9);
                !(a >= 0.0 && is_bounded && (this - covariance[[j, i]]).abs() <= 1e-9 * (a * b).sqrt())
            };
            if let Some((i, j)) = pairs.clone().find(|pair| is_fault(*pair)) {
                return Err(Error::data(format!("labels of star {row}, covariance of their noise, element ({i}, {j})"))
                    .found(format!("{} beside {} and {}", covariance[[i, j]], covariance[[i, i]], covariance[[j, j]]))
                    .expected("a symmetric covariance")
                    .remedy("Leave the value empty (not a number) where its error is not known."));
            }
            if !positions.is_empty() {
                stars.push(Star { values: positions.iter().map(|&i| values[i]).collect(), positions, noise });
            }
        }
        Ok(stars)
    }
}

/// A Gaussian on its way.
struct Gaussian {
    weight: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

/// What a step needs of some stars and every Gaussian: Σ q, Σ q Rᵀu `[n]`, Σ q Rᵀ(u uᵀ − T⁻¹)R `[n, n]`; and
/// Σ ln p of the stars.
struct Sums {
    share: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    ln_density: f64,
}

impl Sums {
    fn zero(k: usize, n: usize) -> Self {
        Self { share: vec![0.0; k], first: vec![0.0; k * n], second: vec![0.0; k * n * n], ln_density: 0.0 }
    }

    fn add(mut self, other: &Self) -> Self {
        for (sum, part) in [(&mut self.share, &other.share), (&mut self.first, &other.first), (&mut self.second, &other.second)] {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        self.ln_density += other.ln_density;
        self
    }
}

/// Working memory for a star: T⁻¹ `[K, m, m]`, u `[K, m]`, ln densities and then shares `[K]`.
struct Work {
    inverse: Vec<f64>,
    pull: Vec<f64>,
    terms: Vec<f64>,
    factor: Vec<f64>,
}

/// The mixture of what `labels` are noisy measurements of, from a first `mixture` of the measured values.
///
/// # Errors
/// As [`NoisyLabels::stars`], and `Numerical` where nothing is left.
pub(super) fn deconvolve(labels: NoisyLabels<'_>, mixture: &GaussianMixture, limits: Limits) -> Result<GaussianMixture> {
    let n = mixture.parameters.len();
    let stars = labels.stars()?;
    if stars.is_empty() {
        return Err(Error::data("labels of the mixture prior").found("no star with a label").expected("noisy labels"));
    }
    let mut gaussians: Vec<Gaussian> = mixture.components.iter().map(Gaussian::of).collect();
    // The likelihood rises from a start that is possible itself.
    for gaussian in &mut gaussians {
        let covariance = DMatrix::from_row_slice(n, n, &gaussian.covariance);
        gaussian.covariance = at_least(covariance, limits.least_width * limits.least_width);
    }
    let mut before = f64::NEG_INFINITY;
    for iteration in 0..=limits.max_iterations {
        let sums = expectation(&stars, &gaussians, n);
        let mean_ln_density = sums.ln_density / stars.len() as f64;
        tracing::trace!(iteration, mean_ln_density, "deconvolution of the mixture prior");
        if !mean_ln_density.is_finite() {
            return Err(Error::numerical("deconvolution of the mixture prior")
                .found(format!("the mean ln p {mean_ln_density} in iteration {iteration}"))
                .expected("a finite one")
                .remedy("Look for impossible labels or errors, or set deconvolve = false in [prior]."));
        }
        if mean_ln_density - before < limits.tolerance {
            break;
        }
        // The last sums are of the likelihood alone.
        if iteration == limits.max_iterations {
            tracing::warn!(
                "deconvolution of the mixture prior: mean ln p still rose by {:.1e} in the last of {iteration} iterations \
                 (raise max_iterations in [prior])",
                mean_ln_density - before
            );
            break;
        }
        before = mean_ln_density;
        if maximisation(&mut gaussians, &sums, stars.len(), n, limits.least_width) {
            // Without the Gaussian that was left out, the likelihood may be lower for once.
            before = f64::NEG_INFINITY;
        }
    }
    let weights: Vec<f64> = gaussians.iter().map(|gaussian| gaussian.weight).collect();
    let means: Vec<Vec<f64>> = gaussians.iter().map(|gaussian| gaussian.mean.clone()).collect();
    let covariances: Vec<Vec<f64>> = gaussians.iter().map(|gaussian| gaussian.covariance.clone()).collect();
    GaussianMixture::new(mixture.parameters.clone(), &weights, &means, &covariances)
}

impl Gaussian {
    fn of(component: &Component) -> Self {
        Self { weight: component.weight, mean: component.mean.clone(), covariance: component.covariance.clone() }
    }
}

fn expectation(stars: &[Star], gaussians: &[Gaussian], n: usize) -> Sums {
    let k = gaussians.len();
    let of_chunk = |stars: &[Star]| {
        let mut sums = Sums::zero(k, n);
        let mut work =
            Work { inverse: vec![0.0; k * n * n], pull: vec![0.0; k * n], terms: vec![0.0; k], factor: vec![0.0; n * n] };
        stars.iter().for_each(|star| add_star(&mut sums, star, gaussians, n, &mut work));
        sums
    };
    let parts: Vec<Sums> = stars.par_chunks(CHUNK).map(of_chunk).collect();
    parts.iter().fold(Sums::zero(k, n), Sums::add)
}

fn add_star(sums: &mut Sums, star: &Star, gaussians: &[Gaussian], n: usize, work: &mut Work) {
    let m = star.positions.len();
    let Work { inverse, pull, terms, factor } = work;
    let mut largest = f64::NEG_INFINITY;
    for (k, gaussian) in gaussians.iter().enumerate() {
        let (inverse, pull) = (&mut inverse[k * m * m..(k + 1) * m * m], &mut pull[k * m..(k + 1) * m]);
        for (a, &i) in star.positions.iter().enumerate() {
            for (b, &j) in star.positions[..=a].iter().enumerate() {
                factor[a * m + b] = gaussian.covariance[i * n + j] + star.noise[a * m + b];
            }
        }
        let ln_determinant = invert(&mut factor[..m * m], inverse, m);
        let mut square = 0.0;
        for a in 0..m {
            let away = |b: usize| star.values[b] - gaussian.mean[star.positions[b]];
            pull[a] = (0..m).map(|b| inverse[a * m + b] * away(b)).sum();
            square += pull[a] * away(a);
        }
        terms[k] = gaussian.weight.ln() - 0.5 * (m as f64 * TAU.ln() + ln_determinant + square);
        largest = largest.max(terms[k]);
    }
    let total: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
    sums.ln_density += largest + total.ln();
    for (k, term) in terms.iter().enumerate() {
        if term - largest < NEGLIGIBLE {
            continue;
        }
        let share = (term - largest).exp() / total;
        let (inverse, pull) = (&inverse[k * m * m..(k + 1) * m * m], &pull[k * m..(k + 1) * m]);
        sums.share[k] += share;
        for (a, &i) in star.positions.iter().enumerate() {
            sums.first[k * n + i] += share * pull[a];
            for (b, &j) in star.positions.iter().enumerate() {
                sums.second[(k * n + i) * n + j] += share * (pull[a] * pull[b] - inverse[a * m + b]);
            }
        }
    }
}

/// The inverse of a symmetric matrix `[m, m]`, of which the lower half is read and lost; returns ln det. Not
/// a number where it is not definite.
fn invert(matrix: &mut [f64], inverse: &mut [f64], m: usize) -> f64 {
    let mut ln_determinant = 0.0;
    for i in 0..m {
        for j in 0..=i {
            let sum: f64 = matrix[i * m + j] - (0..j).map(|l| matrix[i * m + l] * matrix[j * m + l]).sum::<f64>();
            matrix[i * m + j] = if i == j { sum.sqrt() } else { sum / matrix[j * m + j] };
        }
        ln_determinant += 2.0 * matrix[i * m + i].ln();
    }
    // The inverse of the factor in its place, then its square.
    for i in 0..m {
        let diagonal = 1.0 / matrix[i * m + i];
        for j in 0..i {
            let sum: f64 = (j..i).map(|l| matrix[i * m + l] * matrix[l * m + j]).sum();
            matrix[i * m + j] = -sum * diagonal;
        }
        matrix[i * m + i] = diagonal;
    }
    for i in 0..m {
        for j in 0..=i {
            let sum: f64 = (i..m).map(|l| matrix[l * m + i] * matrix[l * m + j]).sum();
            (inverse[i * m + j], inverse[j * m + i]) = (sum, sum);
        }
    }
    ln_determinant
}

/// Moves the Gaussians; whether some were left out.
fn maximisation(gaussians: &mut Vec<Gaussian>, sums: &Sums, n_stars: usize, n: usize, least_width: f64) -> bool {
    let least_share = (n + 1) as f64;
    let most = sums.share.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let before = gaussians.len();
    let stays = |share: f64| share >= least_share.min(most);
    let moved = std::mem::take(gaussians).into_iter().zip(&sums.share).enumerate().filter(|(_, (_, share))| stays(**share));
    *gaussians = moved
        .map(|(k, (gaussian, &share))| {
            let covariance = DMatrix::from_row_slice(n, n, &gaussian.covariance);
            let first = DVector::from_row_slice(&sums.first[k * n..(k + 1) * n]) / share;
            let second = DMatrix::from_row_slice(n, n, &sums.second[k * n * n..(k + 1) * n * n]) / share;
            let step = &covariance * first;
            let moved = &covariance + &covariance * second * &covariance - &step * step.transpose();
            Gaussian {
                weight: share / n_stars as f64,
                mean: gaussian.mean.iter().zip(step.iter()).map(|(mean, step)| mean + step).collect(),
                covariance: at_least(moved, least_width * least_width),
            }
        })
        .collect();
    let total: f64 = gaussians.iter().map(|gaussian| gaussian.weight).sum();
    gaussians.iter_mut().for_each(|gaussian| gaussian.weight /= total);
    gaussians.len() < before
}

/// A symmetric matrix with eigenvalues of at least `least`, by rows.
fn at_least(matrix: DMatrix<f64>, least: f64) -> Vec<f64> {
    let n = matrix.nrows();
    let symmetric = 0.5 * (&matrix + matrix.transpose());
    let eigen = SymmetricEigen::new(symmetric.clone());
    let raised = match eigen.eigenvalues.iter().all(|value| *value >= least) {
        true => symmetric,
        false => {
            let values = eigen.eigenvalues.map(|value| value.max(least));
            &eigen.eigenvectors * DMatrix::from_diagonal(&values) * eigen.eigenvectors.transpose()
        }
    };
    (0..n * n).map(|index| 0.5 * (raised[(index / n, index % n)] + raised[(index % n, index / n)])).collect()
}

#[cfg(test)]
#[path = "deconvolution_tests.rs"]
mod tests;
