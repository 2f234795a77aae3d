//! χ², Fisher matrices and gradients of a group of spectra.

use super::nuisances::Nuisances;
use super::search::{Evaluated, Search};
use super::{GROUP, Strip};
use crate::per_pixel::engine::{CHUNK, PixelModel, whole_blocks};
use crate::per_pixel::strip_rows::{halves_mut, multiply, subtract, weighted_squares};
use crate::tensor::cholesky::Factor;
use crate::tensor::lanes::LANES;
use crate::tensor::row_products::{LEFT, RIGHT, Sums, WIDTH, strips};
use std::ops::Range;

/// Strips of a chunk of pixels.
const CHUNK_STRIPS: usize = CHUNK * LANES / WIDTH;

/// Work space of a group.
pub(super) struct Work {
    n_labels: usize,
    /// Number of parameters K: labels and what is fitted with them.
    n_parameters: usize,
    out: Vec<Strip>,
    products: Products,
    /// Rows of one spectrum, and as it is observed.
    whole: [Vec<Strip>; 2],
    /// For every number of free parameters.
    pub factors: Vec<Option<Factor>>,
}

/// Sums over pixels, for the spectra of a group.
struct Products {
    left: Vec<Strip>,
    right: Vec<Strip>,
    sums: Vec<Sums>,
    chi_square: Vec<f64>,
}

impl Work {
    pub fn new(n_labels: usize, n_parameters: usize) -> Self {
        let rows = |n: usize| vec![Strip::default(); n * CHUNK_STRIPS];
        let n_right = (n_parameters + 1).next_multiple_of(RIGHT);
        Self {
            n_labels,
            n_parameters,
            out: rows(GROUP * (n_parameters + 1)),
            products: Products {
                left: rows(LEFT),
                right: rows(n_right),
                sums: (0..GROUP).map(|_| Sums::zeros(n_parameters + 1, n_right)).collect(),
                chi_square: vec![0.0; GROUP],
            },
            whole: [Vec::new(), Vec::new()],
            factors: (0..n_parameters).map(|_| None).collect(),
        }
    }

    /// At the trials of some searches.
    pub fn evaluate(
        &mut self,
        model: &dyn PixelModel,
        nuisances: &Nuisances,
        searches: &[Search],
        which: &[usize],
    ) -> Vec<Evaluated> {
        self.products.sums.iter_mut().for_each(Sums::clear);
        self.products.chi_square.fill(0.0);
        match nuisances.len() {
            0 => self.labels_alone(model, searches, which),
            _ => which.iter().enumerate().for_each(|(at, &i)| self.with_nuisances(model, nuisances, at, &searches[i])),
        }
        let k = self.n_parameters;
        let evaluated = |at: usize| {
            let sums = &self.products.sums[at];
            let mut found = Evaluated {
                chi_square: self.products.chi_square[at],
                matrix: (0..k * k)
                    .map(|index| sums.get(1 + (index / k).min(index % k), 1 + (index / k).max(index % k)))
                    .collect(),
                gradient: (0..k).map(|k| sums.get(0, 1 + k)).collect(),
            };
            let search = &searches[which[at]];
            if let Some(prior) = &search.prior {
                prior.add(&search.trial, &mut found);
            }
            found
        };
        (0..which.len()).map(evaluated).collect()
    }

    /// A chunk of pixels for all spectra, then the next.
    fn labels_alone(&mut self, model: &dyn PixelModel, searches: &[Search], which: &[usize]) {
        let n_rows = self.n_labels + 1;
        let n_blocks = whole_blocks(model.n_pixels());
        let scaled: Vec<f32> = which.iter().flat_map(|&i| searches[i].trial.iter().map(|value| *value as f32)).collect();
        let shared = model.shared(&scaled, true);
        for start in (0..n_blocks).step_by(CHUNK) {
            let range = start..(start + CHUNK).min(n_blocks);
            let n = range.len() * LANES / WIDTH;
            let strips = start * LANES / WIDTH..start * LANES / WIDTH + n;
            let out = &mut self.out[..which.len() * n_rows * n];
            model.evaluate(range, &shared, true, halves_mut(out));
            for (at, (&i, out)) in which.iter().zip(out.chunks_exact_mut(n_rows * n)).enumerate() {
                self.products.add(at, &searches[i], strips.clone(), out);
            }
        }
    }

    /// The whole of a spectrum, since a broadened or shifted pixel is made of its neighbours.
    fn with_nuisances(&mut self, model: &dyn PixelModel, nuisances: &Nuisances, at: usize, search: &Search) {
        let n_strips = strips(model.n_pixels());
        let n_rows = self.n_parameters + 1;
        let (labels, others) = search.trial.split_at(self.n_labels);
        let scaled: Vec<f32> = labels.iter().map(|value| *value as f32).collect();
        let [rows, observed] = &mut self.whole;
        rows.resize((self.n_labels + 1) * n_strips, Strip::default());
        model.evaluate(0..whole_blocks(model.n_pixels()), &model.shared(&scaled, true), true, halves_mut(rows));
        nuisances.apply(rows, others, observed);
        for start in (0..n_strips).step_by(CHUNK_STRIPS) {
            let range = start..(start + CHUNK_STRIPS).min(n_strips);
            let n = range.len();
            let out = &mut self.out[..n_rows * n];
            for (to, from) in out.chunks_exact_mut(n).zip(observed.chunks_exact(n_strips)) {
                to.copy_from_slice(&from[range.clone()]);
            }
            self.products.add(at, search, range, out);
        }
    }
}

impl Products {
    /// Adds some strips: `rows [1 + K][n]`, the flux first, which becomes the residual.
    fn add(&mut self, at: usize, search: &Search, strips: Range<usize>, rows: &mut [Strip]) {
        let n = strips.len();
        let (flux, weight) = (&search.flux[strips.clone()], &search.weight[strips]);
        subtract(&mut rows[..n], flux);
        self.chi_square[at] += weighted_squares(weight, &rows[..n]);
        let n_rows = rows.len() / n;
        let right = &mut self.right[..n_rows.next_multiple_of(RIGHT) * n];
        right[..rows.len()].copy_from_slice(rows);
        right[rows.len()..].fill(Strip::default());
        let left = &mut self.left[..LEFT * n];
        for first in (0..n_rows).step_by(LEFT) {
            for (r, row) in left.chunks_exact_mut(n).enumerate() {
                match first + r < n_rows {
                    true => multiply(&rows[(first + r) * n..(first + r + 1) * n], weight, row),
                    false => row.fill(Strip::default()),
                }
            }
            self.sums[at].add(first, left, right, n);
        }
    }
}
