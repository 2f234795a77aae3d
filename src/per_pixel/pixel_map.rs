//! A linear map from numbers that all pixels share to the pixels, in single precision: from the terms of a
//! polynomial, or from the last hidden layer of a joint network. Lanes are pixels; a tile of six rows of
//! numbers and sixteen pixels stays in registers.

#![allow(clippy::needless_range_loop)] // see `tensor::quads` on loops

use super::engine::{dispatch, whole_blocks};
use crate::tensor::lanes::{Block, Kernel, LANES, Lanes};
use std::ops::Range;

/// Rows of a whole tile.
const TILE: usize = 6;

/// The weights of a map, packed.
#[derive(Debug, Clone)]
pub(super) struct PixelMap {
    n_inputs: usize,
    /// `[pairs of blocks][inputs][2]`: sixteen pixels for all inputs, then the next.
    weights: Vec<Block>,
}

/// Rows of numbers that are mapped: `n` rows, `stride` apart, of which the numbers from `first` on count.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub values: &'a [f32],
    pub n: usize,
    pub stride: usize,
    pub first: usize,
}

/// Which rows of an output `[rows][blocks]` are written: `first`, then every `stride`-th.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub first: usize,
    pub stride: usize,
}

impl PixelMap {
    /// From the weight of every pixel and input.
    pub fn new(n_pixels: usize, n_inputs: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let n_pairs = whole_blocks(n_pixels) / 2;
        let mut weights = vec![Block::default(); n_pairs * n_inputs * 2];
        for (pair, weights) in weights.chunks_exact_mut((2 * n_inputs).max(1)).enumerate() {
            for pixel in pair * 2 * LANES..((pair + 1) * 2 * LANES).min(n_pixels) {
                let (half, lane) = (pixel / LANES % 2, pixel % LANES);
                for input in 0..n_inputs {
                    weights[2 * input + half].0[lane] = weight(pixel, input);
                }
            }
        }
        Self { n_inputs, weights }
    }

    /// Number of blocks of eight pixels, even.
    pub fn n_blocks(&self) -> usize {
        self.weights.len() / self.n_inputs.max(1)
    }

    /// `out[places] = rows · weights` on some blocks (an even number of them, from an even one on). With
    /// `inputs` the numbers of a row belong to these inputs, otherwise to all.
    pub fn apply(&self, blocks: Range<usize>, rows: Rows, inputs: Option<&[u32]>, out: &mut [Block], places: Places) {
        let n_numbers = inputs.map_or(self.n_inputs, <[u32]>::len);
        assert!(blocks.start.is_multiple_of(2) && blocks.len().is_multiple_of(2) && blocks.end <= self.n_blocks());
        assert!(rows.n == 0 || rows.values.len() >= (rows.n - 1) * rows.stride + rows.first + n_numbers);
        dispatch(Application { map: self, blocks, rows, inputs, n_numbers, out, places });
    }
}

struct Application<'a> {
    map: &'a PixelMap,
    blocks: Range<usize>,
    rows: Rows<'a>,
    inputs: Option<&'a [u32]>,
    n_numbers: usize,
    out: &'a mut [Block],
    places: Places,
}

impl Kernel for Application<'_> {
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let size = 2 * self.map.n_inputs;
        for pair in self.blocks.start / 2..self.blocks.end / 2 {
            let weights = &self.map.weights[pair * size..(pair + 1) * size];
            let mut row = 0;
            while row < self.rows.n {
                row += match self.rows.n - row {
                    TILE.. => self.tile::<V, TILE>(weights, pair, row),
                    4 | 5 => self.tile::<V, 4>(weights, pair, row),
                    2 | 3 => self.tile::<V, 2>(weights, pair, row),
                    _ => self.tile::<V, 1>(weights, pair, row),
                };
            }
        }
    }
}

impl Application<'_> {
    /// R rows of a pair of blocks.
    #[inline(always)]
    fn tile<V: Lanes, const R: usize>(&mut self, weights: &[Block], pair: usize, row: usize) -> usize {
        let mut sums = [[Block::default(); 2]; R];
        let mut rows: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            let start = (row + r) * self.rows.stride + self.rows.first;
            rows[r] = &self.rows.values[start..start + self.n_numbers];
        }
        match self.inputs {
            None => V::apart(Dense { weights, rows, sums: &mut sums }),
            Some(inputs) => V::apart(Sparse { weights, rows, inputs, sums: &mut sums }),
        }
        let n_blocks = self.blocks.len();
        for r in 0..R {
            let at = (self.places.first + (row + r) * self.places.stride) * n_blocks + 2 * pair - self.blocks.start;
            self.out[at..at + 2].copy_from_slice(&sums[r]);
        }
        R
    }
}

/// Numbers of all inputs.
struct Dense<'a, const R: usize> {
    weights: &'a [Block],
    rows: [&'a [f32]; R],
    sums: &'a mut [[Block; 2]; R],
}

impl<const R: usize> Kernel for Dense<'_, R> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let weights = self.weights.as_chunks::<2>().0;
        add_products::<V, R>(weights.iter(), self.rows, self.sums);
    }
}

/// Numbers of some inputs.
struct Sparse<'a, const R: usize> {
    weights: &'a [Block],
    rows: [&'a [f32]; R],
    inputs: &'a [u32],
    sums: &'a mut [[Block; 2]; R],
}

impl<const R: usize> Kernel for Sparse<'_, R> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let weights = self.weights.as_chunks::<2>().0;
        add_products::<V, R>(self.inputs.iter().map(|input| &weights[*input as usize]), self.rows, self.sums);
    }
}

/// Sums over the numbers of every row times the weights of their inputs.
#[inline(always)]
fn add_products<'a, V: Lanes, const R: usize>(
    weights: impl ExactSizeIterator<Item = &'a [Block; 2]>,
    rows: [&[f32]; R],
    out: &mut [[Block; 2]; R],
) {
    let mut sums = [[V::splat(0.0); 2]; R];
    for row in rows {
        assert!(row.len() >= weights.len());
    }
    for (n, [left, right]) in weights.enumerate() {
        let (left, right) = (V::load(&left.0), V::load(&right.0));
        for r in 0..R {
            // SAFETY: rows are as long as there are weights, see above.
            let number = V::splat(unsafe { *rows[r].get_unchecked(n) });
            sums[r] = [number.multiply_add(left, sums[r][0]), number.multiply_add(right, sums[r][1])];
        }
    }
    for r in 0..R {
        sums[r][0].store(&mut out[r][0].0);
        sums[r][1].store(&mut out[r][1].0);
    }
}
