//! Products of rows with rows, C_ij = Σ_s a_i(s) b_j(s), in single precision: sums over thousands of samples,
//! of which the left rows are made on the way, a few at a time, and stay in the first-level cache. AVX-512 or
//! AVX2 where the processor has them.
//!
//! Sums stay in registers for a pass over the samples of a block; then they are folded to a quarter and added
//! to memory.

#![allow(clippy::needless_range_loop)] // see `quads` on loops

/// Floats of a strip.
pub const WIDTH: usize = 16;

/// Sixteen samples of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Strip(pub [f32; WIDTH]);

impl Default for Strip {
    fn default() -> Self {
        Self([0.0; WIDTH])
    }
}

/// Number of strips for `n` samples.
pub const fn strips(n: usize) -> usize {
    n.div_ceil(WIDTH)
}

/// Left rows that are multiplied together.
pub const LEFT: usize = 6;
/// Right rows that are multiplied together; their number is a multiple of it.
pub const RIGHT: usize = 4;

/// Sums of a matrix of products while they are collected: for a left row and a group of four right rows, a
/// strip with four (or fewer) parts of each of the four sums.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    parts: Vec<Strip>,
    n_groups: usize,
}

impl Sums {
    /// Zeros for `n_left × n_right` sums.
    pub fn zeros(n_left: usize, n_right: usize) -> Self {
        let n_groups = n_right.div_ceil(RIGHT);
        Self { parts: vec![Strip::default(); n_left.next_multiple_of(LEFT) * n_groups], n_groups }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.parts.fill(Strip::default());
    }

    /// Sum (i, j).
    #[inline(always)]
    pub fn get(&self, i: usize, j: usize) -> f64 {
        let strip = &self.parts[i * self.n_groups + j / RIGHT].0;
        let j = j % RIGHT;
        (f64::from(strip[j]) + f64::from(strip[4 + j])) + (f64::from(strip[8 + j]) + f64::from(strip[12 + j]))
    }

    /// Adds the products of [`LEFT`] rows, which are rows `first` … of the sums, with all right rows: `left
    /// [LEFT][n]`, `right [groups · 4][n]`.
    pub fn add(&mut self, first: usize, left: &[Strip], right: &[Strip], n: usize) {
        assert!(left.len() == LEFT * n && right.len() == self.n_groups * RIGHT * n && n > 0);
        let parts = &mut self.parts[first * self.n_groups..(first + LEFT) * self.n_groups];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the feature was detected; lengths were checked.
                unsafe { x86::add_avx512(parts, left, right, n) };
                return;
            }
            if super::lanes::has_avx2() {
                // SAFETY: as above.
                unsafe { x86::add_avx2(parts, left, right, n) };
                return;
            }
        }
        add_portable(parts, left, right, n);
    }
}

fn add_portable(parts: &mut [Strip], left: &[Strip], right: &[Strip], n: usize) {
    let n_groups = parts.len() / LEFT;
    for (i, parts) in parts.chunks_exact_mut(n_groups).enumerate() {
        let left = &left[i * n..(i + 1) * n];
        for (group, part) in parts.iter_mut().enumerate() {
            for c in 0..RIGHT {
                let right = &right[(group * RIGHT + c) * n..][..n];
                let mut sums = [0.0_f32; WIDTH];
                for (a, b) in left.iter().zip(right) {
                    for lane in 0..WIDTH {
                        sums[lane] += a.0[lane] * b.0[lane];
                    }
                }
                for quarter in 0..4 {
                    part.0[4 * quarter + c] += (sums[quarter] + sums[4 + quarter]) + (sums[8 + quarter] + sums[12 + quarter]);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LEFT, RIGHT, Strip};
    use std::arch::x86_64::*;

    /// # Safety
    /// The processor has AVX-512F; `parts [LEFT][groups]`, `left [LEFT][n]`, `right [groups · RIGHT][n]`.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn add_avx512(parts: &mut [Strip], left: &[Strip], right: &[Strip], n: usize) {
        let n_groups = parts.len() / LEFT;
        for group in 0..n_groups {
            let a = left.as_ptr().cast::<f32>();
            // SAFETY: all offsets are below the lengths that the caller promises.
            unsafe {
                let b = right.as_ptr().add(group * RIGHT * n).cast::<f32>();
                let mut sums = [[_mm512_setzero_ps(); RIGHT]; LEFT];
                for s in 0..n {
                    let mut columns = [_mm512_setzero_ps(); RIGHT];
                    for c in 0..RIGHT {
                        columns[c] = _mm512_load_ps(b.add((c * n + s) * 16));
                    }
                    for r in 0..LEFT {
                        let row = _mm512_load_ps(a.add((r * n + s) * 16));
                        for c in 0..RIGHT {
                            sums[r][c] = _mm512_fmadd_ps(row, columns[c], sums[r][c]);
                        }
                    }
                }
                for r in 0..LEFT {
                    let [w, x, y, z] = sums[r];
                    let wx = _mm512_add_ps(_mm512_unpacklo_ps(w, x), _mm512_unpackhi_ps(w, x));
                    let yz = _mm512_add_ps(_mm512_unpacklo_ps(y, z), _mm512_unpackhi_ps(y, z));
                    let folded = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(wx, yz), _mm512_shuffle_ps::<0xEE>(wx, yz));
                    let part = parts.as_mut_ptr().add(r * n_groups + group).cast::<f32>();
                    _mm512_store_ps(part, _mm512_add_ps(_mm512_load_ps(part), folded));
                }
            }
        }
    }

    /// # Safety
    /// The processor has AVX2 and FMA; shapes as above.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn add_avx2(parts: &mut [Strip], left: &[Strip], right: &[Strip], n: usize) {
        const ROWS: usize = LEFT / 2;
        let n_groups = parts.len() / LEFT;
        for half in 0..2 {
            for group in 0..n_groups {
                // SAFETY: as above.
                unsafe {
                    let a = left.as_ptr().add(half * ROWS * n).cast::<f32>();
                    let b = right.as_ptr().add(group * RIGHT * n).cast::<f32>();
                    let mut sums = [[_mm256_setzero_ps(); RIGHT]; ROWS];
                    for s in 0..2 * n {
                        let mut rows = [_mm256_setzero_ps(); ROWS];
                        for r in 0..ROWS {
                            rows[r] = _mm256_load_ps(a.add((r * 2 * n + s) * 8));
                        }
                        for c in 0..RIGHT {
                            let column = _mm256_load_ps(b.add((c * 2 * n + s) * 8));
                            for r in 0..ROWS {
                                sums[r][c] = _mm256_fmadd_ps(rows[r], column, sums[r][c]);
                            }
                        }
                    }
                    for r in 0..ROWS {
                        let [w, x, y, z] = sums[r];
                        let wx = _mm256_add_ps(_mm256_unpacklo_ps(w, x), _mm256_unpackhi_ps(w, x));
                        let yz = _mm256_add_ps(_mm256_unpacklo_ps(y, z), _mm256_unpackhi_ps(y, z));
                        let folded = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(wx, yz), _mm256_shuffle_ps::<0xEE>(wx, yz));
                        let part = parts.as_mut_ptr().add((half * ROWS + r) * n_groups + group).cast::<f32>();
                        _mm256_store_ps(part, _mm256_add_ps(_mm256_load_ps(part), folded));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Adder = unsafe fn(&mut [Strip], &[Strip], &[Strip], usize);

    #[test]
    fn products_are_sums_over_samples_in_any_vectors() {
        let (n, n_right) = (5, 8);
        let row = |scale: f32, r: usize, s: usize| -> Strip {
            Strip(std::array::from_fn(|lane| (scale * (r * 100 + s * WIDTH + lane) as f32).sin()))
        };
        let rows = |scale: f32, n_rows: usize| -> Vec<Strip> {
            (0..n_rows).flat_map(|r| (0..n).map(move |s| (r, s))).map(|(r, s)| row(scale, r, s)).collect()
        };
        let (left, right) = (rows(0.37, LEFT), rows(0.73, n_right));
        let mut sums = Sums::zeros(2 * LEFT, n_right);
        sums.add(LEFT, &left, &right, n);
        sums.add(LEFT, &left, &right, n);
        let expected = |i: usize, j: usize| -> f64 {
            let pairs = left[i * n..(i + 1) * n].iter().zip(&right[j * n..(j + 1) * n]);
            pairs.flat_map(|(a, b)| a.0.into_iter().zip(b.0)).map(|(a, b)| f64::from(a) * f64::from(b)).sum()
        };
        for (i, j) in (0..LEFT).flat_map(|i| (0..n_right).map(move |j| (i, j))) {
            assert_eq!(sums.get(i, j), 0.0);
            assert!((sums.get(LEFT + i, j) - 2.0 * expected(i, j)).abs() < 2e-5);
        }
        let mut adders: Vec<Adder> = vec![|parts, left, right, n| add_portable(parts, left, right, n)];
        #[cfg(target_arch = "x86_64")]
        if crate::tensor::lanes::has_avx2() {
            adders.push(x86::add_avx2);
        }
        for add in adders {
            let mut own = Sums::zeros(LEFT, n_right);
            // SAFETY: detected above; shapes are those of `Sums::add`.
            unsafe { add(&mut own.parts, &left, &right, n) };
            for (i, j) in (0..LEFT).flat_map(|i| (0..n_right).map(move |j| (i, j))) {
                assert!((own.get(i, j) - expected(i, j)).abs() < 1e-5);
            }
        }
    }
}
