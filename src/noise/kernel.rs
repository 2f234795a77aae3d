//! The inverse Cholesky factor of one covariance: blocks of four rows, whose sums stay in registers (see
//! [`crate::tensor::quads`]).

#![allow(clippy::needless_range_loop)] // see `quads` on loops

use super::triangle;
use crate::tensor::cholesky::{Pivots, diagonal_tile, factor_rows, solve};
use crate::tensor::quads::{Panels, QUAD, Quad, add_product, padded, vectorised, zeros};

/// Work space for the factors of matrices of one size.
#[derive(Debug, Clone)]
pub(super) struct InverseCholesky {
    n: usize,
    /// C, and above its diagonal blocks U with UᵀU = C; filled up to whole quads as by a unit matrix. What
    /// stands below the diagonal has no meaning.
    factor: Panels,
    /// L = (Uᵀ)⁻¹, zero above the diagonal.
    inverse: Panels,
}

impl InverseCholesky {
    /// For `n × n` matrices.
    pub(super) fn new(n: usize) -> Self {
        let zeros = Panels::zeros(padded(n), n);
        Self { n, factor: zeros.clone(), inverse: zeros }
    }

    /// From the row-wise upper triangle of C `[n(n+1)/2]`; false when a pivot is lost in rounding, because C
    /// is not positive-definite, or C is not finite.
    pub(super) fn decompose<T: Copy + Into<f64>>(&mut self, packed: &[T]) -> bool {
        debug_assert_eq!(packed.len(), triangle::length(self.n));
        let mut rest = packed;
        for row in 0..self.n {
            let (values, after) = rest.split_at(self.n - row);
            self.factor.set_row_from(row, row, values);
            rest = after;
        }
        for row in self.n..padded(self.n) {
            self.factor.set_row_from(row, row, &[1.0]);
        }
        decompose(&mut self.factor, &mut self.inverse, self.n)
    }

    /// Writes the lower triangle of L with LᵀL = C⁻¹, row by row `[n(n+1)/2]`, after a success.
    pub(super) fn write<T>(&self, triangle: &mut [T], round: impl Fn(f64) -> T) {
        let mut rest = triangle;
        for row in 0..self.n {
            let (to, after) = rest.split_at_mut(row + 1);
            for (panel, to) in to.chunks_mut(QUAD).enumerate() {
                to.iter_mut().zip(self.inverse.quad(row, panel)).for_each(|(to, &value)| *to = round(value));
            }
            rest = after;
        }
    }
}

vectorised! {
    fn decompose(factor: &mut Panels, inverse: &mut Panels, n: usize) -> bool = decompose_with
}

#[inline(always)]
fn decompose_with<Q: Quad>(factor: &mut Panels, inverse: &mut Panels, n: usize) -> bool {
    let tolerance = n as f64 * f64::EPSILON;
    let n_panels = factor.n_panels();
    for block in 0..n_panels {
        let Some(pivots) = diagonal_tile::<Q>(factor, block, tolerance) else { return false };
        factor_rows::<Q>(factor, block, &pivots);
        let mut panel = 0;
        while panel + 2 <= block {
            inverse_tile::<Q, 2>(factor, inverse, block, panel, &pivots);
            panel += 2;
        }
        if panel < block {
            inverse_tile::<Q, 1>(factor, inverse, block, panel, &pivots);
        }
        let mut unit = zeros::<Q, 1>();
        for r in 0..QUAD {
            let mut row = [0.0; QUAD];
            row[r] = 1.0;
            unit[r][0] = Q::load(&row);
        }
        inverse.store(block * QUAD, block, solve(unit, &pivots));
    }
    true
}

/// Rows of L in block `block`, in panels before its diagonal: row i is −Σ_{k<i} U_ki · row k, over U_ii.
#[inline(always)]
fn inverse_tile<Q: Quad, const V: usize>(factor: &Panels, inverse: &mut Panels, block: usize, panel: usize, pivots: &Pivots<Q>) {
    // The rows of L before the panel's own are zero in it.
    let (from, first) = (panel * QUAD, block * QUAD);
    let mut tile = add_product(zeros::<Q, V>(), (factor, block), (inverse, panel), from..first);
    for v in 0..V {
        for r in 0..QUAD {
            tile[r][v] = Q::splat(0.0).subtract(tile[r][v]);
        }
    }
    inverse.store(first, panel, solve(tile, pivots));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::quads::Portable;
    use nalgebra::DMatrix;

    fn lower(work: &InverseCholesky) -> Vec<f64> {
        let mut lower = vec![f64::NAN; triangle::length(work.n)];
        work.write(&mut lower, |value| value);
        lower
    }

    #[test]
    fn fused_and_plain_agree_with_nalgebra() {
        for n in [1, 4, 23, 61] {
            let root = DMatrix::from_fn(n, n + 3, |i, j| ((i * 7 + j * 13) as f64 * 0.37).sin());
            let matrix = &root * root.transpose() + DMatrix::identity(n, n);
            let packed: Vec<f64> = (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).map(|index| matrix[index]).collect();
            let expected = matrix.cholesky().unwrap().l().try_inverse().unwrap();
            let mut work = InverseCholesky::new(n);
            let mut portable = work.clone();
            assert!(work.decompose(&packed) && work.decompose(&packed), "the second time in used work space");
            let mut rest = &packed[..];
            for row in 0..padded(n) {
                let (values, after) = rest.split_at(n.saturating_sub(row));
                portable.factor.set_row_from(row, row, if values.is_empty() { &[1.0] } else { values });
                rest = after;
            }
            assert!(decompose_with::<Portable>(&mut portable.factor, &mut portable.inverse, n));
            for found in [lower(&work), lower(&portable)] {
                for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                    assert!((found[triangle::lower(i, j)] - expected[(i, j)]).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_or_finite_has_no_factor() {
        let mut work = InverseCholesky::new(5);
        let identity: Vec<f64> = (0..5).flat_map(|i| (i..5).map(move |j| if i == j { 1.0 } else { 0.0 })).collect();
        assert!(!InverseCholesky::new(2).decompose(&[1.0, 2.0, 1.0]));
        for position in 0..identity.len() {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut packed = identity.clone();
                packed[position] = bad;
                assert!(!work.decompose(&packed), "{bad} at {position}");
            }
        }
        assert!(work.decompose(&identity), "what failed before leaves no trace");
        for (i, j) in (0..5).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            assert_eq!(lower(&work)[triangle::lower(i, j)], if i == j { 1.0 } else { 0.0 });
        }
    }
}
