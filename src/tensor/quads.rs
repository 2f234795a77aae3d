//! Four doubles at once: AVX2 with fused multiply-add where the processor has them, plain arrays elsewhere;
//! and products of matrices whose elements stay in registers while they are summed.
//!
//! Two processors may differ in the last bits; on one processor a result depends on its own numbers alone.
//! Kernels over [`Quad`] are plain loops: closures and iterators of the standard library are functions
//! without the processor's features, and stay calls.

#![allow(clippy::needless_range_loop)]

use std::ops::Range;

/// Number of doubles.
pub const QUAD: usize = 4;

/// Four doubles with the arithmetic that the kernels need.
pub trait Quad: Copy {
    fn splat(value: f64) -> Self;
    fn load(from: &[f64; QUAD]) -> Self;
    fn store(self, to: &mut [f64; QUAD]);
    fn add(self, other: Self) -> Self;
    fn subtract(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
    /// self · factor + summand, in one rounding where that is one instruction.
    fn multiply_add(self, factor: Self, summand: Self) -> Self;
    /// summand − self · factor, likewise.
    fn subtract_from(self, factor: Self, summand: Self) -> Self;

    /// The larger; `other` where self is NaN.
    fn max(self, other: Self) -> Self;
    /// 2^n for whole n in [−1022, 1023].
    fn power_of_two(self) -> Self;

    /// The sum of the four.
    #[inline(always)]
    fn sum(self) -> f64 {
        let mut values = [0.0; QUAD];
        self.store(&mut values);
        (values[0] + values[1]) + (values[2] + values[3])
    }
}

/// Adding this to a double below 2⁵¹ leaves its nearest whole number in the low bits of the mantissa.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; whole multiples up to 2¹⁰ of the first are exact.
const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
/// 1/k! for k = 2 … 13: on |r| ≤ ½ ln 2 the series stops at r¹⁴/14!, 4e-18.
const SERIES: [f64; 12] = {
    let (mut series, mut factor, mut k) = ([0.0; 12], 1.0, 2);
    while k < 14 {
        factor /= k as f64;
        series[k - 2] = factor;
        k += 1;
    }
    series
};

/// eˣ for x ≤ 0 with a relative error below 1e-15; below x = −700 the value there. NaN becomes e⁻⁷⁰⁰.
#[inline(always)]
pub fn exp_of_negative<Q: Quad>(x: Q) -> Q {
    let x = x.max(Q::splat(-700.0));
    let n = x.multiply(Q::splat(std::f64::consts::LOG2_E)).add(Q::splat(ROUNDING)).subtract(Q::splat(ROUNDING));
    let r = n.subtract_from(Q::splat(LN_2[0]), x);
    let r = n.subtract_from(Q::splat(LN_2[1]), r);
    let mut sum = Q::splat(SERIES[11]);
    for k in (0..11).rev() {
        sum = sum.multiply_add(r, Q::splat(SERIES[k]));
    }
    let sum = sum.multiply_add(r.multiply(r), r);
    sum.add(Q::splat(1.0)).multiply(n.power_of_two())
}

/// Arrays, which compilers turn into whatever vectors there are (NEON, SSE).
#[derive(Clone, Copy)]
pub struct Portable([f64; QUAD]);

impl Portable {
    #[inline(always)]
    fn map(self, other: Self, each: impl Fn(f64, f64) -> f64) -> Self {
        Self(std::array::from_fn(|lane| each(self.0[lane], other.0[lane])))
    }
}

impl Quad for Portable {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self([value; QUAD])
    }

    #[inline(always)]
    fn load(from: &[f64; QUAD]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f64; QUAD]) {
        *to = self.0;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.map(other, |a, b| a + b)
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        self.map(other, |a, b| a - b)
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        self.map(other, |a, b| a * b)
    }

    /// Fused only where every processor has the instruction: others would call a function for every lane.
    #[inline(always)]
    fn multiply_add(self, factor: Self, summand: Self) -> Self {
        match cfg!(target_arch = "aarch64") {
            true => Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], summand.0[lane]))),
            false => self.multiply(factor).add(summand),
        }
    }

    #[inline(always)]
    fn subtract_from(self, factor: Self, summand: Self) -> Self {
        Self(self.0.map(|value| -value)).multiply_add(factor, summand)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.map(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.map(|n| f64::from_bits(((n + ROUNDING).to_bits() << 52).wrapping_add(1023 << 52))))
    }
}

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{QUAD, Quad, ROUNDING};
    use std::arch::x86_64::*;

    /// One 256-bit register. Its values are only made inside functions that were entered after AVX2 and FMA
    /// had been detected.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256d);

    impl Avx2 {
        /// Four doubles in a register.
        #[inline(always)]
        pub fn from_register(register: __m256d) -> Self {
            Self(register)
        }
    }

    // SAFETY (all blocks below): the kernels use this type only behind `has_avx2()`; loads and stores go
    // through references to arrays of four doubles.
    impl Quad for Avx2 {
        #[inline(always)]
        fn splat(value: f64) -> Self {
            Self(unsafe { _mm256_set1_pd(value) })
        }

        #[inline(always)]
        fn load(from: &[f64; QUAD]) -> Self {
            Self(unsafe { _mm256_loadu_pd(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f64; QUAD]) {
            unsafe { _mm256_storeu_pd(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm256_add_pd(self.0, other.0) })
        }

        #[inline(always)]
        fn subtract(self, other: Self) -> Self {
            Self(unsafe { _mm256_sub_pd(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply(self, other: Self) -> Self {
            Self(unsafe { _mm256_mul_pd(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply_add(self, factor: Self, summand: Self) -> Self {
            Self(unsafe { _mm256_fmadd_pd(self.0, factor.0, summand.0) })
        }

        #[inline(always)]
        fn subtract_from(self, factor: Self, summand: Self) -> Self {
            Self(unsafe { _mm256_fnmadd_pd(self.0, factor.0, summand.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            Self(unsafe { _mm256_max_pd(self.0, other.0) })
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            let biased = self.add(Self::splat(ROUNDING));
            Self(unsafe {
                let exponent = _mm256_slli_epi64::<52>(_mm256_castpd_si256(biased.0));
                _mm256_castsi256_pd(_mm256_add_epi64(exponent, _mm256_set1_epi64x(1023 << 52)))
            })
        }
    }
}

/// Defines a function that runs `$body::<Q>` compiled for AVX2 and FMA where the processor has both, and
/// portably elsewhere.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? = $body:ident) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[cfg(target_arch = "x86_64")]
            if $crate::tensor::lanes::has_avx2() {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($argument: $type),*) $(-> $output)? {
                    $body::<$crate::tensor::quads::Avx2>($($argument),*)
                }
                // SAFETY: the processor has both features.
                return unsafe { with_avx2($($argument),*) };
            }
            $body::<$crate::tensor::quads::Portable>($($argument),*)
        }
    };
}
pub(crate) use vectorised;

/// A matrix cut into panels of four columns, each with its rows one after the other, so that products run
/// through memory from start to end. Columns beyond those asked for fill the last panel.
#[derive(Debug, Clone, Default)]
pub struct Panels {
    values: Vec<[f64; QUAD]>,
    n_rows: usize,
}

impl Panels {
    /// A matrix of zeros.
    pub fn zeros(n_rows: usize, n_columns: usize) -> Self {
        Self { values: vec![[0.0; QUAD]; n_rows * n_columns.div_ceil(QUAD)], n_rows }
    }

    /// Number of panels.
    #[inline(always)]
    pub fn n_panels(&self) -> usize {
        self.values.len().checked_div(self.n_rows).unwrap_or(0)
    }

    /// The rows of a panel.
    #[inline(always)]
    pub fn panel(&self, panel: usize) -> &[[f64; QUAD]] {
        &self.values[panel * self.n_rows..][..self.n_rows]
    }

    /// Four columns of a row.
    #[inline(always)]
    pub fn quad(&self, row: usize, panel: usize) -> &[f64; QUAD] {
        &self.values[panel * self.n_rows + row]
    }

    /// Four columns of a row, to be changed.
    #[inline(always)]
    pub fn quad_mut(&mut self, row: usize, panel: usize) -> &mut [f64; QUAD] {
        &mut self.values[panel * self.n_rows + row]
    }

    /// Sets a row from column `column` on; zeros follow the values to the end of their panel.
    pub fn set_row_from<T: Copy + Into<f64>>(&mut self, row: usize, column: usize, values: &[T]) {
        let first = (QUAD - column % QUAD) % QUAD;
        let (before, values) = values.split_at(first.min(values.len()));
        if first > 0 {
            let to = &mut self.quad_mut(row, column / QUAD)[QUAD - first..];
            to.fill(0.0);
            to.iter_mut().zip(before).for_each(|(to, &value)| *to = value.into());
        }
        let (quads, rest) = values.as_chunks::<QUAD>();
        let mut panel = column.div_ceil(QUAD);
        for quad in quads {
            *self.quad_mut(row, panel) = quad.map(Into::into);
            panel += 1;
        }
        if !rest.is_empty() {
            let to = self.quad_mut(row, panel);
            *to = [0.0; QUAD];
            to.iter_mut().zip(rest).for_each(|(to, &value)| *to = value.into());
        }
    }

    /// Stores a tile whose first element is (`row`, 4 `panel`).
    #[inline(always)]
    pub fn store<Q: Quad, const V: usize>(&mut self, row: usize, panel: usize, tile: Tile<Q, V>) {
        for v in 0..V {
            for r in 0..QUAD {
                tile[r][v].store(self.quad_mut(row + r, panel + v));
            }
        }
    }
}

/// A tile of a matrix in registers: four rows of `V` quads.
pub type Tile<Q, const V: usize> = [[Q; V]; QUAD];

/// A tile of zeros.
#[inline(always)]
pub fn zeros<Q: Quad, const V: usize>() -> Tile<Q, V> {
    [[Q::splat(0.0); V]; QUAD]
}

/// tile + aᵀ b over rows `rows` of panel number `left` of `a` and of the `V` panels of `b` from `right` on.
#[inline(always)]
pub fn add_product<Q: Quad, const V: usize>(
    mut tile: Tile<Q, V>,
    (a, left): (&Panels, usize),
    (b, right): (&Panels, usize),
    rows: Range<usize>,
) -> Tile<Q, V> {
    let n = rows.len();
    let factors = &a.panel(left)[rows.clone()];
    let mut panels = [&factors[..0]; V];
    for v in 0..V {
        panels[v] = &b.panel(right + v)[rows.clone()][..n];
    }
    for k in 0..n {
        let mut quads = [Q::splat(0.0); V];
        for v in 0..V {
            quads[v] = Q::load(&panels[v][k]);
        }
        for r in 0..QUAD {
            let factor = Q::splat(factors[k][r]);
            for v in 0..V {
                tile[r][v] = factor.multiply_add(quads[v], tile[r][v]);
            }
        }
    }
    tile
}

/// `n` rounded up to whole quads.
pub const fn padded(n: usize) -> usize {
    n.div_ceil(QUAD) * QUAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst_exponential<Q: Quad>() -> f64 {
        let mut worst = 0.0_f64;
        for start in 0..50_000 {
            let x: [f64; QUAD] = std::array::from_fn(|k| -700.0 * (4 * start + k) as f64 / 200_000.0);
            let mut found = [0.0; QUAD];
            exp_of_negative(Q::load(&x)).store(&mut found);
            x.iter().zip(found).for_each(|(x, found)| worst = worst.max((found / x.exp() - 1.0).abs()));
        }
        worst
    }

    #[test]
    fn exponentials_have_the_stated_error() {
        assert!(worst_exponential::<Portable>() < 1e-15, "{}", worst_exponential::<Portable>());
        #[cfg(target_arch = "x86_64")]
        if crate::tensor::lanes::has_avx2() {
            assert!(worst_exponential::<Avx2>() < 1e-15, "{}", worst_exponential::<Avx2>());
        }
    }

    fn product<Q: Quad>() -> Vec<f64> {
        let rows = |scale: f64| (0..8).map(move |k| (0..11).map(|c| (scale * f64::from(k * 11 + c)).sin()).collect::<Vec<f64>>());
        let (mut a, mut b) = (Panels::zeros(8, 11), Panels::zeros(8, 11));
        rows(0.3).enumerate().for_each(|(k, row)| a.set_row_from(k, 0, &row));
        rows(0.7).enumerate().for_each(|(k, row)| b.set_row_from(k, 0, &row));
        let mut out = Panels::zeros(4, 8);
        out.store(0, 0, add_product::<Q, 2>([[Q::splat(1.0); 2]; 4], (&a, 2), (&b, 1), 1..8));
        // The last column of the third panel is filled up with zeros.
        let expected = |r: usize, c: usize| match r {
            3 => 1.0,
            r => 1.0 + rows(0.3).zip(rows(0.7)).skip(1).map(|(a, b)| a[8 + r] * b.get(4 + c).unwrap_or(&0.0)).sum::<f64>(),
        };
        for (r, c) in (0..4).flat_map(|r| (0..8).map(move |c| (r, c))) {
            assert!((out.quad(r, c / 4)[c % 4] - expected(r, c)).abs() < 1e-14);
        }
        out.values.concat()
    }

    #[test]
    fn products_are_sums_over_rows() {
        let portable = product::<Portable>();
        #[cfg(target_arch = "x86_64")]
        if crate::tensor::lanes::has_avx2() {
            let vectors = product::<Avx2>();
            assert!(portable.iter().zip(&vectors).all(|(a, b)| (a - b).abs() < 1e-14));
        }
        assert_eq!(portable.len(), 32);
    }
}
