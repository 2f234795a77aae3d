//! J ρ Jᵀ of one band: the covariance of coefficients to that of fluxes.

#![allow(clippy::needless_range_loop)] // see `quads` on loops

use crate::noise::triangle;
use crate::tensor::quads::{Panels, QUAD, Quad, Tile, add_product, padded, vectorised, zeros};

/// Work space for the covariance of one star at a time.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    pub(super) bp: Work,
    pub(super) rp: Work,
}

/// Work space of one band.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    n_coefficients: usize,
    n_samples: usize,
    /// Jᵀ `[n_coefficients, n_samples]`.
    jacobian: Panels,
    /// (J K)ᵀ, likewise.
    product: Panels,
    /// K `[n_coefficients, n_coefficients]`, lower triangle.
    half: Panels,
}

impl Work {
    /// Makes room for a band of other sizes.
    pub(super) fn resize(&mut self, n_coefficients: usize, n_samples: usize) {
        if (self.n_coefficients, self.n_samples) != (n_coefficients, n_samples) {
            let n = padded(n_coefficients);
            let jacobian = Panels::zeros(n, n_samples);
            *self = Self { n_coefficients, n_samples, product: jacobian.clone(), jacobian, half: Panels::zeros(n, n) };
        }
    }

    /// Sets the row of Jᵀ of a coefficient `[n_samples]`.
    pub(super) fn set_row(&mut self, coefficient: usize, row: &[f64]) {
        self.jacobian.set_row_from(coefficient, 0, row);
    }

    /// Adds J ρ Jᵀ to the leading rows and columns of a packed upper triangle of side `n`; `strict_lower` is
    /// that of ρ, row by row, or empty where ρ is the unit matrix.
    ///
    /// ρ = K + Kᵀ with K the strict lower triangle and half the diagonal (1/2), so that J ρ Jᵀ = (J K) Jᵀ + J
    /// (J K)ᵀ: half the work of a product with the full ρ.
    pub(super) fn add_quadratic_form(&mut self, strict_lower: &[f64], packed: &mut [f64], n: usize) {
        let mut rest = strict_lower;
        for row in 0..self.n_coefficients {
            if strict_lower.is_empty() {
                // What an earlier star has left.
                (0..=row / QUAD).for_each(|panel| *self.half.quad_mut(row, panel) = [0.0; QUAD]);
            } else {
                let (values, after) = rest.split_at(row);
                self.half.set_row_from(row, 0, values);
                rest = after;
            }
            self.half.quad_mut(row, row / QUAD)[row % QUAD] = 0.5;
        }
        add_quadratic_form(self, packed, n);
    }
}

vectorised! {
    fn add_quadratic_form(work: &mut Work, packed: &mut [f64], n: usize) = add_quadratic_form_with
}

#[inline(always)]
fn add_quadratic_form_with<Q: Quad>(work: &mut Work, packed: &mut [f64], n: usize) {
    let n_panels = work.jacobian.n_panels();
    for block in 0..work.half.n_panels() {
        let mut panel = 0;
        while panel + 2 <= n_panels {
            product_tile::<Q, 2>(work, block, panel);
            panel += 2;
        }
        if panel < n_panels {
            product_tile::<Q, 1>(work, block, panel);
        }
    }
    for block in 0..n_panels {
        let mut panel = block;
        while panel + 2 <= n_panels {
            covariance_tile::<Q, 2>(work, block, panel, packed, n);
            panel += 2;
        }
        if panel < n_panels {
            covariance_tile::<Q, 1>(work, block, panel, packed, n);
        }
    }
}

/// Rows of (J K)ᵀ in block `block`, in the panels from `panel` on. K is zero above its diagonal.
#[inline(always)]
fn product_tile<Q: Quad, const V: usize>(work: &mut Work, block: usize, panel: usize) {
    let Work { jacobian, product, half, .. } = work;
    let tile: Tile<Q, V> = add_product(zeros(), (half, block), (jacobian, panel), block * QUAD..padded(work.n_coefficients));
    product.store(block * QUAD, panel, tile);
}

/// Adds the covariances of the samples of panel `block` with those of the panels from `panel` on.
#[inline(always)]
fn covariance_tile<Q: Quad, const V: usize>(work: &Work, block: usize, panel: usize, packed: &mut [f64], n: usize) {
    let Work { n_coefficients, n_samples, jacobian, product, .. } = work;
    let tile: Tile<Q, V> = add_product(zeros(), (product, block), (jacobian, panel), 0..*n_coefficients);
    let tile = add_product(tile, (jacobian, block), (product, panel), 0..*n_coefficients);
    let (first, column) = (block * QUAD, panel * QUAD);
    for r in 0..QUAD.min(n_samples - first) {
        let mut values = [[0.0; QUAD]; V];
        for v in 0..V {
            tile[r][v].store(&mut values[v]);
        }
        // On the diagonal a tile holds elements of the lower triangle, at the end those of samples that are
        // not there.
        let (row, from) = (first + r, column.max(first + r));
        let to = &mut packed[triangle::upper(row, from, n)..];
        let values = &values.as_flattened()[from - column..];
        to.iter_mut().zip(values).take(n_samples - from).for_each(|(to, value)| *to += value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::quads::Portable;
    use ndarray::Array2;

    #[test]
    fn quadratic_forms_are_those_of_dense_matrices() {
        for (n, n_samples) in [(1, 1), (4, 3), (11, 6), (55, 26), (9, 36)] {
            let jacobian = Array2::from_shape_fn((n, n_samples), |(i, w)| (1.0 + i as f64 * 0.7 + w as f64 * 1.3).sin());
            let strict_lower: Vec<f64> = (0..n * (n - 1) / 2).map(|k| (k as f64).cos() * 0.3).collect();
            let correlation = Array2::from_shape_fn((n, n), |(i, j)| match (i.max(j), i.min(j)) {
                (i, j) if i == j => 1.0,
                (i, j) => strict_lower[i * (i - 1) / 2 + j],
            });
            let side = n_samples + 2;
            let mut work = Work::default();
            work.resize(n, n_samples);
            jacobian.rows().into_iter().enumerate().for_each(|(i, row)| work.set_row(i, &row.to_vec()));
            for (correlated, expected) in
                [(true, jacobian.t().dot(&correlation).dot(&jacobian)), (false, jacobian.t().dot(&jacobian))]
            {
                let [mut packed, mut portable] = [vec![1.0; triangle::length(side)], vec![1.0; triangle::length(side)]];
                work.add_quadratic_form(if correlated { &strict_lower } else { &[] }, &mut packed, side);
                add_quadratic_form_with::<Portable>(&mut work, &mut portable, side);
                for (w, v) in (0..side).flat_map(|w| (w..side).map(move |v| (w, v))) {
                    let added = if v < n_samples { expected[[w, v]] } else { 0.0 };
                    for packed in [&packed, &portable] {
                        assert!((packed[triangle::upper(w, v, side)] - 1.0 - added).abs() < 1e-12);
                    }
                }
            }
        }
    }
}
