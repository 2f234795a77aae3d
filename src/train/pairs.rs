//! The covariance that like stars share, from products of the differences of pairs.
//!
//! Σ W_i K W_j = Σ W_i r_i r_jᵀ W_j over pairs of neighbours i ≠ j: linear equations for the elements k of K.
//! The errors of k are those of sums over pairs that have stars in common: with the deviation e_p of a pair
//! and a_i the sum of those of the pairs of star i, the covariance of Σ e_p is Σ_i a_i a_iᵀ − Σ_p e_p e_pᵀ
//! (every pair is in the first sum twice; Aronow, Samii & Assenova 2015; one of a star with itself is in it
//! once, and not in the second). A jackknife over stars counts it
//! twice, or half where a star leaves only its own list of neighbours.

use super::difference::Difference;
use super::neighbours::Neighbours;
use crate::statistics::normal_cdf;
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::f64::consts::PI;

/// Fewest neighbours of each star. Fewer are more alike, more are less noisy.
pub(super) const NEIGHBOURS: usize = 12;
/// Pairs whose deviations are held at a time.
const AT_A_TIME: usize = 1 << 16;

/// A covariance that like stars share, with the standard errors of its elements.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// The expectation given that it is a covariance: no direction has a variance below zero.
    pub covariance: DMatrix<f64>,
    /// With whatever sign noise gives it.
    pub estimate: DMatrix<f64>,
    pub standard_error: DMatrix<f64>,
}

/// The pairs of `count` neighbours of every star in `labels [n, L]`, each once, the smaller row first.
pub(super) fn pairs_of(labels: &Array2<f64>, count: usize) -> Vec<(usize, usize)> {
    let among = Neighbours::among(labels);
    let lists: Vec<Vec<usize>> = (0..labels.nrows()).into_par_iter().map(|row| among.of_row(row, count)).collect();
    let ordered =
        lists.iter().enumerate().flat_map(|(row, list)| list.iter().map(move |&other| (row.min(other), row.max(other))));
    ordered.collect::<BTreeSet<(usize, usize)>>().into_iter().collect()
}

/// The covariance that the stars of the pairs share; `None` where they do not determine one.
pub(super) fn shared_covariance(stars: &[Difference], pairs: &[(usize, usize)]) -> Option<Shared> {
    let q = stars.first()?.n_parameters();
    let of = |&(i, j): &(usize, usize)| Equations::of_pair(&stars[i], &stars[j]);
    // In chunks of fixed length: the sums do not depend on the number of threads.
    let chunks: Vec<Equations> =
        pairs.par_chunks(512).map(|pairs| pairs.iter().map(of).fold(Equations::zero(q), |sum, pair| sum.add(&pair))).collect();
    let whole = chunks.iter().fold(Equations::zero(q), Equations::add);
    let inverse = whole.inverse()?;
    let elements = &inverse * DVector::from_column_slice(&whole.right);
    let m = elements.len();

    let deviation = |pair: &(usize, usize)| {
        let pair = of(pair);
        DVector::from_column_slice(&pair.right) - DMatrix::from_row_slice(m, m, &pair.matrix) * &elements
    };
    let mut of_stars = vec![DVector::zeros(m); stars.len()];
    let mut variance = DMatrix::zeros(m, m);
    for pairs in pairs.chunks(AT_A_TIME) {
        let deviations: Vec<DVector<f64>> = pairs.par_iter().map(deviation).collect();
        for (&(i, j), deviation) in pairs.iter().zip(&deviations) {
            of_stars[i] += deviation;
            if i != j {
                of_stars[j] += deviation;
                variance.ger(-1.0, deviation, deviation, 1.0);
            }
        }
    }
    of_stars.iter().for_each(|sum| variance.ger(1.0, sum, sum, 1.0));
    let variance = &inverse * variance * &inverse;
    // Of c · k; rounding and few stars may leave a negative variance.
    let error = |coefficients: &DVector<f64>| (coefficients.transpose() * &variance * coefficients)[0].max(0.0).sqrt();

    let symmetric = |of: &dyn Fn(usize) -> f64| {
        let mut matrix = DMatrix::zeros(q, q);
        for (at, &(i, j)) in whole.elements.iter().enumerate() {
            (matrix[(i, j)], matrix[(j, i)]) = (of(at), of(at));
        }
        matrix
    };
    let estimate = symmetric(&|at| elements[at]);
    let standard_error = symmetric(&|at| variance[(at, at)].max(0.0).sqrt());
    let mut metric = DMatrix::zeros(q, q);
    stars.iter().for_each(|star| metric += DMatrix::from_row_slice(q, q, &star.weight) / stars.len() as f64);
    let root = metric.cholesky()?.l();
    let eigen = SymmetricEigen::new(root.transpose() * &estimate * &root);
    let inverse_root = root.clone().try_inverse()?.transpose();
    let mut covariance = DMatrix::zeros(q, q);
    for (direction, &value) in eigen.eigenvectors.column_iter().zip(eigen.eigenvalues.iter()) {
        let axis = &root * direction;
        let coefficient = |&(i, j): &(usize, usize)| axis[i] * axis[j] * if i == j { 1.0 } else { 2.0 };
        let coefficients = DVector::from_iterator(m, whole.elements.iter().map(coefficient));
        let axis = &inverse_root * direction;
        covariance += &axis * axis.transpose() * not_negative(value, error(&coefficients));
    }
    Some(Shared { covariance, estimate, standard_error })
}

/// The expectation of a variance that is not negative and was measured with a normal error: μ + σ λ(−μ/σ)
/// with the inverse Mills ratio λ = φ/(1 − Φ). What noise hides is not taken for zero: errors are then too
/// small wherever there is something.
fn not_negative(measured: f64, error: f64) -> f64 {
    let x = measured / error;
    if error == 0.0 || x > 8.0 {
        return measured.max(0.0);
    }
    if x < -8.0 {
        // The series of the Mills ratio, where the difference cancels.
        return error / -x * (1.0 - 2.0 / x.powi(2) + 10.0 / x.powi(4));
    }
    measured + error * (-0.5 * x * x).exp() / ((2.0 * PI).sqrt() * normal_cdf(x))
}

/// The equations Σ W_i K W_j = Σ W_i r_i r_jᵀ W_j for the elements of the upper triangle of K `[Q, Q]`, the
/// right side in the mean over realisations.
struct Equations {
    elements: Vec<(usize, usize)>,
    matrix: Vec<f64>,
    right: Vec<f64>,
}

impl Equations {
    fn zero(q: usize) -> Self {
        let elements: Vec<(usize, usize)> = (0..q).flat_map(|i| (i..q).map(move |j| (i, j))).collect();
        let m = elements.len();
        Self { elements, matrix: vec![0.0; m * m], right: vec![0.0; m] }
    }

    fn of_pair(star: &Difference, others: &Difference) -> Self {
        let q = star.n_parameters();
        // ⟨W_i r_i r_jᵀ W_j⟩
        let mut products = vec![0.0; q * q];
        let share = q as f64 / star.weighted.len() as f64;
        for (a, b) in star.realisations().zip(others.realisations()) {
            products.iter_mut().enumerate().for_each(|(at, sum)| *sum += share * a[at / q] * b[at % q]);
        }
        let mut equations = Self::zero(q);
        let m = equations.elements.len();
        // An element off the diagonal stands for two equal ones.
        let places = |(i, j): (usize, usize)| [(i, j), (j, i)].into_iter().take(if i == j { 1 } else { 2 });
        for (row, &element) in equations.elements.iter().enumerate() {
            for (i, j) in places(element) {
                equations.right[row] += products[i * q + j];
                for (column, &unknown) in equations.elements.iter().enumerate() {
                    for (k, l) in places(unknown) {
                        equations.matrix[row * m + column] += star.weight[i * q + k] * others.weight[l * q + j];
                    }
                }
            }
        }
        equations
    }

    fn add(mut self, other: &Self) -> Self {
        self.matrix.iter_mut().zip(&other.matrix).for_each(|(sum, value)| *sum += value);
        self.right.iter_mut().zip(&other.right).for_each(|(sum, value)| *sum += value);
        self
    }

    /// The inverse of the matrix; `None` where the stars do not determine K.
    fn inverse(&self) -> Option<DMatrix<f64>> {
        let m = self.right.len();
        // Elements of very different units: unit diagonal first.
        let scale: Vec<f64> = (0..m).map(|i| self.matrix[i * m + i].sqrt()).collect();
        let scaled = DMatrix::from_fn(m, m, |i, j| self.matrix[i * m + j] / (scale[i] * scale[j]));
        let inverse = scaled.cholesky()?.inverse();
        Some(DMatrix::from_fn(m, m, |i, j| inverse[(i, j)] / (scale[i] * scale[j])))
    }
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
pub(super) mod tests;
