//! Cholesky factors of symmetric matrices of some tens to thousands of rows: blocks of four rows, whose sums
//! stay in registers (see [`super::quads`]).

#![allow(clippy::needless_range_loop)] // see `quads` on loops

use super::quads::{Panels, QUAD, Quad, Tile, add_product, padded, vectorised, zeros};

/// U with UᵀU = A + diag(damping), and solutions with it. The work space is used again for matrices of the
/// same size.
#[derive(Debug, Clone)]
pub struct Factor {
    n: usize,
    factor: Panels,
}

impl Factor {
    /// For `n × n` matrices.
    pub fn new(n: usize) -> Self {
        Self { n, factor: Panels::zeros(padded(n), n) }
    }

    /// From the upper triangle of A, row-major `[n, n]`, with `damping [n]` added to its diagonal; false when
    /// a pivot is lost in rounding, because the sum is not positive-definite or not finite.
    pub fn decompose(&mut self, matrix: &[f64], damping: &[f64]) -> bool {
        let n = self.n;
        debug_assert!(matrix.len() == n * n && damping.len() == n);
        for row in 0..n {
            self.factor.set_row_from(row, row, &matrix[row * n + row..(row + 1) * n]);
            self.factor.quad_mut(row, row / QUAD)[row % QUAD] += damping[row];
        }
        for row in n..padded(n) {
            self.factor.set_row_from(row, row, &[1.0]);
        }
        decompose(&mut self.factor, n)
    }

    /// Solves UᵀU x = `vector` in place, after a success.
    pub fn solve(&self, vector: &mut [f64]) {
        let n = self.n;
        let row = |k: usize| (k + 1..n).map(move |c| (c, self.factor.quad(k, c / QUAD)[c % QUAD]));
        let diagonal = |k: usize| self.factor.quad(k, k / QUAD)[k % QUAD];
        for k in 0..n {
            vector[k] /= diagonal(k);
            let value = vector[k];
            row(k).for_each(|(c, factor)| vector[c] -= factor * value);
        }
        for k in (0..n).rev() {
            let sum: f64 = row(k).map(|(c, factor)| factor * vector[c]).sum();
            vector[k] = (vector[k] - sum) / diagonal(k);
        }
    }
}

vectorised! {
    fn decompose(factor: &mut Panels, n: usize) -> bool = decompose_with
}

#[inline(always)]
fn decompose_with<Q: Quad>(factor: &mut Panels, n: usize) -> bool {
    let tolerance = n as f64 * f64::EPSILON;
    for block in 0..factor.n_panels() {
        let Some(pivots) = diagonal_tile::<Q>(factor, block, tolerance) else { return false };
        factor_rows::<Q>(factor, block, &pivots);
        for r in 0..QUAD {
            for c in r..QUAD {
                let mut value = [0.0; QUAD];
                pivots.factor[r][c].store(&mut value);
                factor.quad_mut(block * QUAD + r, block)[c] = value[0];
            }
        }
    }
    true
}

/// The factor of a 4 × 4 block on the diagonal.
pub struct Pivots<Q> {
    /// Element (q, r) of U, q ≤ r.
    pub factor: [[Q; QUAD]; QUAD],
    /// Inverses of the diagonal of U.
    pub scale: [Q; QUAD],
}

/// C − Σ_k U_kᵀ U_k over the rows of U above block `block`, in its rows and in the panels from `panel` on.
#[inline(always)]
fn remainder<Q: Quad, const V: usize>(factor: &Panels, block: usize, panel: usize) -> Tile<Q, V> {
    let first = block * QUAD;
    let mut tile = add_product(zeros::<Q, V>(), (factor, block), (factor, panel), 0..first);
    for v in 0..V {
        for r in 0..QUAD {
            tile[r][v] = Q::load(factor.quad(first + r, panel + v)).subtract(tile[r][v]);
        }
    }
    tile
}

/// The pivots of a block; none where one is lost in rounding. The block of U itself is nowhere needed but in
/// them.
#[inline(always)]
pub fn diagonal_tile<Q: Quad>(factor: &Panels, block: usize, tolerance: f64) -> Option<Pivots<Q>> {
    let mut diagonal = [0.0; QUAD];
    for r in 0..QUAD {
        diagonal[r] = factor.quad(block * QUAD + r, block)[r];
    }
    Pivots::find(remainder(factor, block, block), diagonal, tolerance)
}

/// Rows of U in block `block`, in the panels from `panel` on.
#[inline(always)]
fn factor_tile<Q: Quad, const V: usize>(factor: &mut Panels, block: usize, panel: usize, pivots: &Pivots<Q>) {
    let tile = solve(remainder::<Q, V>(factor, block, panel), pivots);
    factor.store(block * QUAD, panel, tile);
}

/// Rows of U in block `block`, in all panels after its diagonal.
#[inline(always)]
pub fn factor_rows<Q: Quad>(factor: &mut Panels, block: usize, pivots: &Pivots<Q>) {
    let n_panels = factor.n_panels();
    let mut panel = block + 1;
    while panel + 2 <= n_panels {
        factor_tile::<Q, 2>(factor, block, panel, pivots);
        panel += 2;
    }
    if panel < n_panels {
        factor_tile::<Q, 1>(factor, block, panel, pivots);
    }
}

impl<Q: Quad> Pivots<Q> {
    /// From what is left of a block of C; none when a pivot is lost in rounding against the `diagonal` of C,
    /// or not finite.
    #[inline(always)]
    fn find(tile: Tile<Q, 1>, diagonal: [f64; QUAD], tolerance: f64) -> Option<Self> {
        let mut rows = [[0.0; QUAD]; QUAD];
        let mut pivots = Self { factor: [[Q::splat(0.0); QUAD]; QUAD], scale: [Q::splat(0.0); QUAD] };
        for r in 0..QUAD {
            tile[r][0].store(&mut rows[r]);
        }
        for r in 0..QUAD {
            let pivot = rows[r][r];
            if pivot.is_nan() || pivot <= tolerance * diagonal[r] {
                return None;
            }
            let scale = pivot.sqrt().recip();
            pivots.scale[r] = Q::splat(scale);
            for c in r..QUAD {
                rows[r][c] *= scale;
                pivots.factor[r][c] = Q::splat(rows[r][c]);
            }
            for q in r + 1..QUAD {
                for c in q..QUAD {
                    rows[q][c] -= rows[r][q] * rows[r][c];
                }
            }
        }
        Some(pivots)
    }
}

/// The rows that Uᵀ of a diagonal block takes to those of the tile.
#[inline(always)]
pub fn solve<Q: Quad, const V: usize>(mut tile: Tile<Q, V>, pivots: &Pivots<Q>) -> Tile<Q, V> {
    for r in 0..QUAD {
        for v in 0..V {
            let mut value = tile[r][v];
            for q in 0..r {
                value = pivots.factor[q][r].subtract_from(tile[q][v], value);
            }
            tile[r][v] = value.multiply(pivots.scale[r]);
        }
    }
    tile
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DVector};

    #[test]
    fn solutions_agree_with_nalgebra() {
        for n in [1, 4, 23, 141] {
            let root = DMatrix::from_fn(n, n + 3, |i, j| ((i * 7 + j * 13) as f64 * 0.37).sin());
            let matrix = &root * root.transpose();
            let damping: Vec<f64> = (0..n).map(|i| 1.0 + 0.1 * i as f64).collect();
            let damped = &matrix + DMatrix::from_diagonal(&DVector::from_vec(damping.clone()));
            let right = DVector::from_fn(n, |i, _| (i as f64 * 1.3).cos());
            let expected = damped.cholesky().unwrap().solve(&right);
            let mut work = Factor::new(n);
            let flat: Vec<f64> = matrix.transpose().iter().copied().collect();
            assert!(work.decompose(&flat, &damping) && work.decompose(&flat, &damping), "the second time in used work space");
            let mut found = right.as_slice().to_vec();
            work.solve(&mut found);
            assert!(found.iter().zip(expected.iter()).all(|(a, b)| (a - b).abs() < 1e-11 * expected.amax()), "{n}");
        }
        assert!(!Factor::new(2).decompose(&[1.0, 2.0, 0.0, 1.0], &[0.0; 2]), "not positive-definite");
        assert!(!Factor::new(2).decompose(&[1.0, f64::NAN, 0.0, 1.0], &[0.0; 2]), "not finite");
    }
}
