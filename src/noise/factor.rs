//! The inverse Cholesky factor of one covariance, with an eigenvalue floor where the covariance is not
//! positive-definite.

use super::kernel::InverseCholesky;
use super::triangle::{self, upper};
use crate::error::{Error, Result};
use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

/// What replaces eigenvalues that are too small, in covariances that are not numerically positive-definite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EigenvalueFloor {
    /// A fraction of the covariance's largest eigenvalue.
    Relative(f64),
    /// A value in flux² (1e-9 in Zhang, Green & Rix 2023, eq. 3).
    Absolute(f64),
}

impl Default for EigenvalueFloor {
    /// 1e-7 of the largest eigenvalue: about the rounding of a covariance stored in single precision.
    fn default() -> Self {
        Self::Relative(1e-7)
    }
}

/// L with LᵀL = C⁻¹ for a finite symmetric matrix C.
pub(super) struct InverseFactor {
    /// Lower triangle, row by row.
    pub(super) triangle: Vec<f64>,
    /// Whether eigenvalues were raised to the floor.
    pub(super) floored: bool,
}

impl InverseFactor {
    /// From the row-wise upper triangle of a finite `n × n` matrix with positive diagonal.
    ///
    /// # Errors
    /// When the eigen-decomposition that a matrix needs that is not positive-definite does not converge.
    pub(super) fn new(covariance: &[f64], n: usize, floor: EigenvalueFloor) -> Result<Self> {
        let mut work = InverseCholesky::new(n);
        if work.decompose(covariance) {
            let mut triangle = vec![0.0; covariance.len()];
            work.write(&mut triangle, |value| value);
            return Ok(Self { triangle, floored: false });
        }
        Ok(Self { triangle: floored_inverse_factor(covariance, n, floor)?, floored: true })
    }
}

/// C = VΛVᵀ with Λ raised to the floor; then W = Λ^(−½)Vᵀ has WᵀW = C⁻¹, and a QR decomposition of W with its
/// columns reversed brings it to the lower triangle without forming C⁻¹.
fn floored_inverse_factor(covariance: &[f64], n: usize, floor: EigenvalueFloor) -> Result<Vec<f64>> {
    let matrix = DMatrix::from_fn(n, n, |i, j| covariance[upper(i.min(j), i.max(j), n)]);
    let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, 100 * n).ok_or_else(|| {
        Error::numerical("a covariance that is not positive-definite")
            .found("an eigen-decomposition that does not converge")
            .remedy("Check the star's errors and correlations.")
    })?;
    let least = match floor {
        EigenvalueFloor::Relative(fraction) => fraction * eigen.eigenvalues.max(),
        EigenvalueFloor::Absolute(value) => value,
    };
    let root = DMatrix::from_fn(n, n, |i, j| eigen.eigenvectors[(n - 1 - j, i)] / eigen.eigenvalues[i].max(least).sqrt());
    let reversed = root.qr().r();
    let mut triangle = Vec::with_capacity(triangle::length(n));
    for i in 0..n {
        let sign = reversed[(n - 1 - i, n - 1 - i)].signum();
        triangle.extend((0..=i).map(|j| sign * reversed[(n - 1 - i, n - 1 - j)]));
    }
    Ok(triangle)
}

#[cfg(test)]
mod tests {
    use super::super::triangle::lower;
    use super::*;

    /// LᵀL for a lower triangle.
    fn gram(triangle: &[f64], n: usize) -> DMatrix<f64> {
        let factor = DMatrix::from_fn(n, n, |i, j| if j <= i { triangle[lower(i, j)] } else { 0.0 });
        factor.transpose() * factor
    }

    #[test]
    fn both_paths_invert_the_covariance() {
        let n = 7;
        let matrix =
            DMatrix::from_fn(n, n, |i, j| (-(i as f64 - j as f64).powi(2) / 4.0).exp() * (1.0 + i as f64) * (1.0 + j as f64));
        let packed: Vec<f64> = (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).map(|index| matrix[index]).collect();
        let inverse = matrix.try_inverse().unwrap();
        let direct = InverseFactor::new(&packed, n, EigenvalueFloor::default()).unwrap();
        let floored = floored_inverse_factor(&packed, n, EigenvalueFloor::Absolute(0.0)).unwrap();
        assert!(!direct.floored);
        for triangle in [&direct.triangle, &floored] {
            assert!((gram(triangle, n) - &inverse).amax() < 1e-10 * inverse.amax());
        }
        assert!(direct.triangle.iter().zip(&floored).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    /// C = [[1, 2], [2, 1]] has the eigenvalues 3 and −1 with eigenvectors (1, ±1)/√2.
    #[test]
    fn the_floor_is_relative_or_absolute() {
        for (floor, least) in [(EigenvalueFloor::Relative(0.1), 0.3), (EigenvalueFloor::Absolute(0.5), 0.5)] {
            let factor = InverseFactor::new(&[1.0, 2.0, 1.0], 2, floor).unwrap();
            assert!(factor.floored);
            let precision = gram(&factor.triangle, 2);
            assert!((precision[(0, 0)] - 0.5 * (1.0 / 3.0 + 1.0 / least)).abs() < 1e-12);
            assert!((precision[(0, 1)] - 0.5 * (1.0 / 3.0 - 1.0 / least)).abs() < 1e-12);
        }
    }
}
