//! The whitened streams of one star, L times each of them, and their inner products.
//!
//! A stream is a vector over wavelengths (residual, Jacobian column), padded to whole blocks. Lanes are rows
//! of L: a block of eight rows of a column is read once and meets that column's element of every stream,
//! while the sums of two panels of rows stay in registers.

#![allow(clippy::needless_range_loop)]

use crate::noise::Whitening;
use crate::tensor::lanes::{Block, Kernel, LANES, Lanes, blocks, floats};
use crate::tensor::quads::Quad;

/// Stars whose panels are kept at most …
pub const RECENT: usize = 64;
/// … and bytes of all of them (9 kB a star with 61 XP samples): what the second-level cache of a core holds.
const RECENT_BYTES: usize = 1 << 20;

/// Streams whose sums fit the registers together.
const TOGETHER: usize = 6;

/// L of one star, cut into panels of eight rows, each with its columns one after the other up to the
/// diagonal.
#[derive(Default)]
pub struct Panels {
    entries: Vec<Block>,
    /// Inverse errors of the wavelengths after the dense block, zero before, from block `tail_from` on.
    tail: Vec<Block>,
    tail_from: usize,
    /// Size of the dense block.
    size: usize,
    star: Option<usize>,
}

/// Panels of the stars that were whitened last: a fit comes back to each star of a batch for its starts, its
/// searches and its covariance.
#[derive(Default)]
pub struct RecentPanels {
    /// A star's place is its number modulo their number.
    places: Vec<Panels>,
}

impl RecentPanels {
    /// L of a star. All calls must name the same whitening.
    #[inline(always)]
    pub fn of<V: Lanes>(&mut self, whitening: &Whitening, star: usize) -> &Panels {
        if self.places.is_empty() {
            let bytes = size_of::<Block>() * panel_start(blocks(whitening.block));
            self.places.resize_with((RECENT_BYTES / bytes.max(1)).clamp(1, RECENT), Panels::default);
        }
        let place = star % self.places.len();
        let panels = &mut self.places[place];
        panels.set::<V>(whitening, star);
        panels
    }
}

/// 1 up to the diagonal of a tile, `[row][column]`.
const UP_TO_DIAGONAL: [[f32; LANES]; LANES] = {
    let (mut ones, mut row) = ([[0.0; LANES]; LANES], 0);
    while row < LANES {
        let mut column = 0;
        while column <= row {
            ones[row][column] = 1.0;
            column += 1;
        }
        row += 1;
    }
    ones
};

/// Blocks before panel `panel`, of which panel p has 8 (p + 1).
const fn panel_start(panel: usize) -> usize {
    LANES * panel * (panel + 1) / 2
}

impl Panels {
    /// Takes the whitening of a star, if it is not there already from the last call. All calls must name the
    /// same whitening.
    #[inline(always)]
    fn set<V: Lanes>(&mut self, whitening: &Whitening, star: usize) {
        if self.star == Some(star) {
            return;
        }
        self.star = Some(star);
        self.size = whitening.block;
        let triangle = whitening.triangle_of(star);
        let n_panels = blocks(self.size);
        self.entries.resize(panel_start(n_panels), Block::default());
        for panel in 0..n_panels {
            let entries = &mut self.entries[panel_start(panel)..panel_start(panel + 1)];
            let (full, diagonal) = entries.split_at_mut(panel * LANES);
            // Rows beyond the block stay zero.
            let mut eights = [[[0.0; LANES]; 0].as_slice(); LANES];
            let mut rows = [V::splat(0.0); LANES];
            let n_rows = (self.size - panel * LANES).min(LANES);
            for lane in 0..n_rows {
                let row = panel * LANES + lane;
                let start = row * (row + 1) / 2;
                eights[lane] = &triangle[start..][..row + 1].as_chunks().0[..panel];
                // What follows the diagonal belongs to the next row.
                rows[lane] = match triangle[start + panel * LANES..].first_chunk() {
                    Some(eight) => V::load(eight).multiply(V::load(&UP_TO_DIAGONAL[lane])),
                    None => {
                        let mut eight = [0.0; LANES];
                        eight[..=lane].copy_from_slice(&triangle[start + panel * LANES..][..=lane]);
                        V::load(&eight)
                    }
                };
            }
            let turned = V::transpose(rows);
            for column in 0..LANES {
                turned[column].store(&mut diagonal[column].0);
            }
            for (tile, columns) in full.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                for lane in 0..n_rows {
                    rows[lane] = V::load(&eights[lane][tile]);
                }
                let turned = V::transpose(rows);
                for column in 0..LANES {
                    turned[column].store(&mut columns[column].0);
                }
            }
        }
        self.tail_from = self.size / LANES;
        self.tail.clear();
        self.tail.resize(blocks(whitening.n_wavelengths) - self.tail_from, Block::default());
        for (i, &inverse_error) in whitening.diagonal_of(star).iter().enumerate() {
            let wavelength = self.size + i;
            self.tail[wavelength / LANES - self.tail_from].0[wavelength % LANES] = inverse_error;
        }
    }

    /// `whitened` = L · each of the `streams`, both `[S, width]`; S is even.
    #[inline(always)]
    pub fn whiten<V: Lanes>(&self, streams: &[Block], whitened: &mut [Block], width: usize) {
        let groups = streams.chunks(TOGETHER * width).zip(whitened.chunks_mut(TOGETHER * width));
        for (streams, whitened) in groups {
            match streams.len() / width {
                6 => V::apart(Group::<6> { panels: self, streams, whitened, width }),
                4 => V::apart(Group::<4> { panels: self, streams, whitened, width }),
                _ => V::apart(Group::<2> { panels: self, streams, whitened, width }),
            }
        }
    }

    #[inline(always)]
    fn whiten_group<V: Lanes, const S: usize>(&self, streams: &[Block], whitened: &mut [Block], width: usize) {
        let n_panels = blocks(self.size);
        let mut columns = [&[][..]; S];
        for s in 0..S {
            columns[s] = &floats(&streams[s * width..(s + 1) * width])[..self.size];
        }
        let mut panel = 0;
        while panel + 2 <= n_panels {
            self.two_panels::<V, S>(panel, columns, whitened, width);
            panel += 2;
        }
        if panel < n_panels {
            let sums = self.one_panel::<V, S>(panel, 0, columns, [V::splat(0.0); S]);
            for s in 0..S {
                sums[s].store(&mut whitened[s * width + panel].0);
            }
        }
        for (i, inverse_errors) in self.tail.iter().enumerate() {
            let block = self.tail_from + i;
            for s in 0..S {
                let at = s * width + block;
                let dense = if block < n_panels { V::load(&whitened[at].0) } else { V::splat(0.0) };
                V::load(&inverse_errors.0).multiply_add(V::load(&streams[at].0), dense).store(&mut whitened[at].0);
            }
        }
    }

    /// Two panels of rows from `panel` on.
    #[inline(always)]
    fn two_panels<V: Lanes, const S: usize>(&self, panel: usize, columns: [&[f32]; S], whitened: &mut [Block], width: usize) {
        let shared = (panel + 1) * LANES;
        let (upper, lower) = (&self.entries[panel_start(panel)..][..shared], &self.entries[panel_start(panel + 1)..][..shared]);
        let mut heads = [&[][..]; S];
        for s in 0..S {
            heads[s] = &columns[s][..shared];
        }
        let (mut above, mut below) = ([V::splat(0.0); S], [V::splat(0.0); S]);
        for j in 0..shared {
            let (left, right) = (V::load(&upper[j].0), V::load(&lower[j].0));
            for s in 0..S {
                let value = V::splat(heads[s][j]);
                above[s] = left.multiply_add(value, above[s]);
                below[s] = right.multiply_add(value, below[s]);
            }
        }
        let below = self.one_panel::<V, S>(panel + 1, shared, columns, below);
        for s in 0..S {
            above[s].store(&mut whitened[s * width + panel].0);
            below[s].store(&mut whitened[s * width + panel + 1].0);
        }
    }

    /// `sums` and the columns of one panel from `first` on.
    #[inline(always)]
    fn one_panel<V: Lanes, const S: usize>(&self, panel: usize, first: usize, columns: [&[f32]; S], mut sums: [V; S]) -> [V; S] {
        let last = ((panel + 1) * LANES).min(self.size);
        let entries = &self.entries[panel_start(panel)..][first..last];
        let mut tails = [&[][..]; S];
        for s in 0..S {
            tails[s] = &columns[s][first..last];
        }
        for j in 0..entries.len() {
            let entry = V::load(&entries[j].0);
            for s in 0..S {
                sums[s] = entry.multiply_add(V::splat(tails[s][j]), sums[s]);
            }
        }
        sums
    }
}

/// L times `S` streams.
struct Group<'a, const S: usize> {
    panels: &'a Panels,
    streams: &'a [Block],
    whitened: &'a mut [Block],
    width: usize,
}

impl<const S: usize> Kernel for Group<'_, S> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        self.panels.whiten_group::<V, S>(self.streams, self.whitened, self.width);
    }
}

/// Inner products of streams `[S, width]` in `products [S, S]`, the lower triangle; `S` is even.
///
/// In double precision: parameters may be correlated to 0.999, and a covariance magnifies the rounding of
/// these sums by the inverse of what that leaves.
#[inline(always)]
pub fn inner_products<V: Lanes>(streams: &[Block], width: usize, products: &mut [f64]) {
    let n = streams.len() / width;
    for row in (0..n).step_by(2) {
        let mut column = 0;
        while column < row + 2 {
            match row + 2 - column {
                2 => two_rows::<V, 2, true>(streams, width, row, column, products),
                4 => two_rows::<V, 4, true>(streams, width, row, column, products),
                6 => two_rows::<V, 6, true>(streams, width, row, column, products),
                _ => two_rows::<V, 6, false>(streams, width, row, column, products),
            }
            column += TOGETHER;
        }
    }
}

/// Products of rows `row` and `row + 1` with `C` streams from `column` on, of which they are the last two
/// where `LAST`.
#[inline(always)]
fn two_rows<V: Lanes, const C: usize, const LAST: bool>(
    streams: &[Block],
    width: usize,
    row: usize,
    column: usize,
    products: &mut [f64],
) {
    let n = streams.len() / width;
    let stream = |s: usize| &streams[s * width..][..width];
    let (first, second) = (stream(row), stream(row + 1));
    let mut others = [first; C];
    for c in 0..C {
        others[c] = stream(column + c);
    }
    let (mut above, mut below) = ([V::Quad::splat(0.0); C], [V::Quad::splat(0.0); C]);
    for block in 0..width {
        let mut wide = [[V::Quad::splat(0.0); 2]; C];
        for c in 0..C {
            wide[c] = V::load(&others[c][block].0).widen();
        }
        let (left, right) = match LAST {
            true => (wide[C - 2], wide[C - 1]),
            false => (V::load(&first[block].0).widen(), V::load(&second[block].0).widen()),
        };
        for half in 0..2 {
            for c in 0..C {
                above[c] = left[half].multiply_add(wide[c][half], above[c]);
                below[c] = right[half].multiply_add(wide[c][half], below[c]);
            }
        }
    }
    for c in 0..C {
        products[row * n + column + c] = above[c].sum();
        products[(row + 1) * n + column + c] = below[c].sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::triangle;
    use crate::tensor::lanes::{Portable, floats_mut};

    #[test]
    fn panels_of_any_size_whiten_several_streams() {
        for (size, tail, n_streams) in [(0, 5, 2), (1, 0, 2), (7, 2, 4), (8, 8, 4), (9, 0, 6), (23, 6, 6), (61, 5, 8)] {
            let (n, width) = (size + tail, blocks(size + tail));
            let entry = |k: usize| (k as f32 * 0.37).sin();
            let n_stars = RECENT + 1;
            let whitening = Whitening {
                block: size,
                triangle: (0..n_stars * triangle::length(size)).map(entry).collect(),
                diagonal: (0..n_stars * tail).map(|k| 1.0 + entry(k)).collect(),
                n_wavelengths: n,
                floored: vec![false; n_stars],
            };
            let vectors: Vec<f32> = (0..n_streams * n).map(|k| (k as f32 * 0.71).cos()).collect();
            let mut streams = vec![Block::default(); n_streams * width];
            for (stream, vector) in streams.chunks_exact_mut(width).zip(vectors.chunks_exact(n)) {
                floats_mut(stream)[..n].copy_from_slice(vector);
            }
            let mut recent = RecentPanels::default();
            // The first and the last share a place.
            for star in [0, 1, RECENT, 1, 0] {
                let (mut whitened, mut expected) = (vec![Block::default(); n_streams * width], vec![0.0; n_streams * n]);
                let panels = recent.of::<Portable>(&whitening, star);
                panels.whiten::<Portable>(&streams, &mut whitened, width);
                whitening.whiten(star, &vectors, &mut expected);
                for (found, expected) in whitened.chunks_exact(width).zip(expected.chunks_exact(n)) {
                    assert!(floats(found)[..n].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{size}, {tail}");
                    assert!(floats(found)[n..].iter().all(|value| *value == 0.0));
                }
                let mut products = vec![0.0; n_streams * n_streams];
                inner_products::<Portable>(&whitened, width, &mut products);
                let product = |i: usize, j: usize| {
                    (0..n).map(|k| f64::from(expected[i * n + k]) * f64::from(expected[j * n + k])).sum::<f64>()
                };
                for (i, j) in (0..n_streams).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                    assert!((products[i * n_streams + j] - product(i, j)).abs() < 1e-4, "{size}, {tail}, ({i}, {j})");
                }
            }
        }
    }
}
