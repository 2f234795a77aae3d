//! Small symmetric matrices in f64 (P ≈ 2–20): Cholesky solves, covariances from Fisher matrices,
//! eigenvalues, packed triangles.
//!
//! A matrix of order `n` is a row-major slice of `n²` numbers, so that the rows of an `[N, P, P]` array are
//! used in place.

use nalgebra::{DMatrix, SymmetricEigen};

/// Dot product summed in f64, in four lanes.
#[inline(always)]
pub fn dot<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a_chunks, a_rest) = a.as_chunks::<4>();
    let (b_chunks, b_rest) = b.as_chunks::<4>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..4 {
            lanes[lane] += a[lane].into() * b[lane].into();
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| a.into() * b.into()).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Replaces the lower triangle of `matrix [n, n]` by its Cholesky factor L with L Lᵀ = matrix; the upper
/// triangle is not read.
///
/// Returns `false`, with the content undefined, where the matrix is not numerically positive-definite or not
/// finite.
#[must_use]
pub fn cholesky_in_place(matrix: &mut [f64], n: usize) -> bool {
    debug_assert_eq!(matrix.len(), n * n);
    // With the order known to the compiler, the loops become straight code.
    match n {
        3 => cholesky(matrix, 3),
        4 => cholesky(matrix, 4),
        5 => cholesky(matrix, 5),
        6 => cholesky(matrix, 6),
        _ => cholesky(matrix, n),
    }
}

#[inline(always)]
fn cholesky(matrix: &mut [f64], n: usize) -> bool {
    let matrix = &mut matrix[..n * n];
    for i in 0..n {
        for j in 0..=i {
            let mut sum = matrix[i * n + j];
            for k in 0..j {
                sum -= matrix[i * n + k] * matrix[j * n + k];
            }
            if i == j {
                // A pivot lost in the rounding of its own diagonal element means a numerically singular
                // matrix.
                let smallest = f64::EPSILON * matrix[i * n + i].abs();
                if !(sum > smallest && sum.is_finite()) {
                    return false;
                }
                matrix[i * n + i] = sum.sqrt();
            } else {
                matrix[i * n + j] = sum / matrix[j * n + j];
            }
        }
    }
    true
}

/// Solves L Lᵀ x = `vector` in place, with `factor` from [`cholesky_in_place`].
pub fn cholesky_solve_in_place(factor: &[f64], n: usize, vector: &mut [f64]) {
    match n {
        3 => solve(factor, 3, vector),
        4 => solve(factor, 4, vector),
        5 => solve(factor, 5, vector),
        6 => solve(factor, 6, vector),
        _ => solve(factor, n, vector),
    }
}

#[inline(always)]
fn solve(factor: &[f64], n: usize, vector: &mut [f64]) {
    let (factor, vector) = (&factor[..n * n], &mut vector[..n]);
    for i in 0..n {
        for k in 0..i {
            vector[i] -= factor[i * n + k] * vector[k];
        }
        vector[i] /= factor[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            vector[i] -= factor[k * n + i] * vector[k];
        }
        vector[i] /= factor[i * n + i];
    }
}

/// Solves L x = `vector` in place (the whitening of a residual), with `factor` from [`cholesky_in_place`].
pub fn solve_lower_in_place(factor: &[f64], n: usize, vector: &mut [f64]) {
    for i in 0..n {
        for k in 0..i {
            vector[i] -= factor[i * n + k] * vector[k];
        }
        vector[i] /= factor[i * n + i];
    }
}

/// Inverse of a positive semi-definite matrix, itself exactly symmetric and positive semi-definite.
#[derive(Debug, Clone, PartialEq)]
pub struct Inverse {
    /// The inverse, row-major `[n, n]`.
    pub matrix: Vec<f64>,
    /// Number of directions whose information was raised to the floor: the matrix constrains only `n −
    /// n_floored` directions, and the variances along the others are a finite stand-in for "unknown".
    pub n_floored: usize,
}

/// Smallest eigenvalue, relative to the unit diagonal, that [`invert_positive_semidefinite`] takes as
/// information.
pub const RELATIVE_EIGENVALUE_FLOOR: f64 = 1e-12;

/// Covariance from an information (Fisher) matrix `[n, n]`.
///
/// The matrix is symmetrised and scaled to unit diagonal first, so parameters of very different units do not
/// spoil the solution. Cholesky is the common path; where it fails or is badly conditioned, eigenvalues are
/// raised to [`RELATIVE_EIGENVALUE_FLOOR`] and counted. A parameter with no information at all (zero
/// diagonal) keeps unit scale.
///
/// `None` where an element is not finite.
pub fn invert_positive_semidefinite(matrix: &[f64], n: usize) -> Option<Inverse> {
    if !matrix.iter().all(|element| element.is_finite()) {
        return None;
    }
    let scale: Vec<f64> = (0..n)
        .map(|i| {
            let diagonal = matrix[i * n + i];
            if diagonal > 0.0 { diagonal.sqrt() } else { 1.0 }
        })
        .collect();
    let scaled = |i: usize, j: usize| 0.5 * (matrix[i * n + j] + matrix[j * n + i]) / (scale[i] * scale[j]);
    // Rows of `root` are vectors r with Σ = Σ r rᵀ: columns of L⁻ᵀ, or eigenvectors over the root of their
    // eigenvalues.
    let (root, n_floored) = match inverse_factor(&scaled, n) {
        Some(root) => (root, 0),
        None => floored_eigenvectors(&scaled, n),
    };
    let mut inverse = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..n).map(|k| root[k * n + i] * root[k * n + j]).sum();
            inverse[i * n + j] = sum / (scale[i] * scale[j]);
            inverse[j * n + i] = inverse[i * n + j];
        }
    }
    Some(Inverse { matrix: inverse, n_floored })
}

/// L⁻¹ row-major, or `None` where the Cholesky factorisation fails or a pivot falls below the floor.
fn inverse_factor(scaled: &impl Fn(usize, usize) -> f64, n: usize) -> Option<Vec<f64>> {
    let mut factor: Vec<f64> = (0..n * n).map(|index| scaled(index / n, index % n)).collect();
    if !cholesky_in_place(&mut factor, n) {
        return None;
    }
    let mut inverse = vec![0.0; n * n];
    let mut column = vec![0.0; n];
    for j in 0..n {
        column.fill(0.0);
        column[j] = 1.0;
        solve_lower_in_place(&factor, n, &mut column);
        for i in 0..n {
            inverse[i * n + j] = column[i];
        }
    }
    // |L⁻¹|² (Frobenius) bounds the largest eigenvalue of the inverse from above.
    let largest: f64 = inverse.iter().map(|element| element * element).sum();
    (largest < 1.0 / RELATIVE_EIGENVALUE_FLOOR).then_some(inverse)
}

/// Eigenvectors divided by the root of their floored eigenvalues, one a row, and the number of floored ones.
fn floored_eigenvectors(scaled: &impl Fn(usize, usize) -> f64, n: usize) -> (Vec<f64>, usize) {
    let eigen = SymmetricEigen::new(DMatrix::from_fn(n, n, scaled));
    let n_floored = eigen.eigenvalues.iter().filter(|value| **value < RELATIVE_EIGENVALUE_FLOOR).count();
    let mut root = Vec::with_capacity(n * n);
    for (vector, value) in eigen.eigenvectors.column_iter().zip(eigen.eigenvalues.iter()) {
        let length = value.max(RELATIVE_EIGENVALUE_FLOOR).sqrt();
        root.extend(vector.iter().map(|element| element / length));
    }
    (root, n_floored)
}

/// Smallest eigenvalue of a symmetric matrix `[n, n]`; NaN where an element is not finite or `n` is zero.
pub fn smallest_eigenvalue(matrix: &[f64], n: usize) -> f64 {
    if n == 0 || !matrix.iter().all(|element| element.is_finite()) {
        return f64::NAN;
    }
    DMatrix::from_row_slice(n, n, matrix).symmetric_eigenvalues().min()
}

/// Upper triangle of `matrix [n, n]`, row by row (`n(n+1)/2` numbers): the order of the catalogue's `*_triu`
/// columns.
pub fn pack_upper_triangle(matrix: &[f64], n: usize) -> Vec<f64> {
    (0..n).flat_map(|i| matrix[i * n + i..(i + 1) * n].iter().copied()).collect()
}

/// The symmetric matrix `[n, n]` whose upper triangle is `packed`; the inverse of [`pack_upper_triangle`].
pub fn unpack_upper_triangle(packed: &[f64], n: usize) -> Vec<f64> {
    debug_assert_eq!(packed.len(), n * (n + 1) / 2);
    let mut matrix = vec![0.0; n * n];
    let mut elements = packed.iter();
    for i in 0..n {
        for (j, element) in (i..n).zip(elements.by_ref()) {
            matrix[i * n + j] = *element;
            matrix[j * n + i] = *element;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLUTION: [f64; 3] = [-0.1598851124940163, 0.8281474389660125, 1.6227860220201054];
    const INVERSE_ROW: [f64; 3] = [0.2853039731929153, -0.10052656773575874, -0.08137865007180468];
    const SMALLEST: f64 = 1.6928770621373779;
    const MATRIX: [f64; 9] = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];

    /// numpy 2.4.6: numpy.linalg.solve(MATRIX, [1, 2, 3]); numpy.linalg.inv(MATRIX)[0];
    /// numpy.linalg.eigvalsh(MATRIX)[0].
    #[test]
    fn solves_and_eigenvalues_agree_with_numpy() {
        let mut factor = MATRIX;
        assert!(cholesky_in_place(&mut factor, 3));
        let mut solution = [1.0, 2.0, 3.0];
        cholesky_solve_in_place(&factor, 3, &mut solution);
        for (found, expected) in solution.iter().zip(SOLUTION) {
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
        let inverse = invert_positive_semidefinite(&MATRIX, 3).unwrap();
        assert_eq!(inverse.n_floored, 0);
        for (found, expected) in inverse.matrix.iter().zip(INVERSE_ROW) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
        assert!((smallest_eigenvalue(&MATRIX, 3) - SMALLEST).abs() < 1e-13);
    }

    #[test]
    fn units_apart_by_twelve_decades_do_not_matter() {
        let units = [1e6, 1e-6, 1.0];
        let scaled: Vec<f64> = (0..9).map(|k| MATRIX[k] * units[k / 3] * units[k % 3]).collect();
        let reference = invert_positive_semidefinite(&MATRIX, 3).unwrap();
        let inverse = invert_positive_semidefinite(&scaled, 3).unwrap();
        for k in 0..9 {
            let expected = reference.matrix[k] / (units[k / 3] * units[k % 3]);
            assert!((inverse.matrix[k] / expected - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn singular_information_is_flagged_and_stays_positive() {
        // Two parameters known only through their sum, a third not at all.
        let matrix = [2.0, 2.0, 0.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        assert!(!cholesky_in_place(&mut matrix.to_vec(), 3));
        let inverse = invert_positive_semidefinite(&matrix, 3).unwrap();
        assert_eq!(inverse.n_floored, 2);
        assert!(smallest_eigenvalue(&inverse.matrix, 3) > -1e-3 * inverse.matrix[0] * f64::EPSILON);
        // The information on the sum of the first two is 2.
        let sum = inverse.matrix[0] + inverse.matrix[4] + 2.0 * inverse.matrix[1];
        assert!((sum - 0.5).abs() < 1e-3, "{sum}");
        assert!(invert_positive_semidefinite(&[f64::NAN], 1).is_none());
        assert!(smallest_eigenvalue(&[f64::NAN], 1).is_nan());
    }

    #[test]
    fn packed_triangles_are_row_wise_and_come_back() {
        let packed = pack_upper_triangle(&MATRIX, 3);
        assert_eq!(packed, [4.0, 1.0, 0.5, 3.0, -0.2, 2.0]);
        assert_eq!(unpack_upper_triangle(&packed, 3), MATRIX);
    }
}
