//! Eight floats at once: AVX2 with fused multiply-add where the processor has them, plain arrays elsewhere.
//!
//! Kernels are generic over [`Lanes`] and inlined into a caller that carries the processor's features; all
//! their arithmetic is written in it, so that a star's numbers do not depend on what else is computed.

use super::quads::{self, Quad};

/// Number of lanes.
pub const LANES: usize = 8;

/// Eight floats on a cache-friendly boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(32))]
pub struct Block(pub [f32; LANES]);

/// Number of blocks for `n` floats.
pub const fn blocks(n: usize) -> usize {
    n.div_ceil(LANES)
}

/// Blocks filled from values, zeros at the end.
pub fn padded(values: impl IntoIterator<Item = f32>) -> Vec<Block> {
    let mut all: Vec<f32> = values.into_iter().collect();
    all.resize(blocks(all.len()) * LANES, 0.0);
    all.as_chunks::<LANES>().0.iter().map(|chunk| Block(*chunk)).collect()
}

/// The floats of several blocks.
#[inline(always)]
pub fn floats(blocks: &[Block]) -> &[f32] {
    // SAFETY: a `Block` is eight floats without padding (size 32, alignment 32).
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len() * LANES) }
}

/// The floats of several blocks.
#[inline(always)]
pub fn floats_mut(blocks: &mut [Block]) -> &mut [f32] {
    // SAFETY: as in `floats`.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len() * LANES) }
}

/// Work in any lanes. A closure would not do: it is a function without the processor's features, and may stay
/// one.
pub trait Kernel {
    /// Must be `#[inline(always)]`.
    fn run<V: Lanes>(self);
}

/// Eight floats with the arithmetic that the kernels need.
pub trait Lanes: Copy {
    fn splat(value: f32) -> Self;
    fn load(from: &[f32; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    fn add(self, other: Self) -> Self;
    fn subtract(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
    fn divide(self, other: Self) -> Self;
    /// self · factor + summand.
    fn multiply_add(self, factor: Self, summand: Self) -> Self;
    /// The smaller; `other` where self is NaN.
    fn min(self, other: Self) -> Self;
    /// The larger; `other` where self is NaN.
    fn max(self, other: Self) -> Self;
    /// 2^n for whole n in [−126, 127].
    fn power_of_two(self) -> Self;
    /// The nearest whole number, for |self| < 2²².
    fn round(self) -> Self;
    /// Rows become columns.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    /// Runs a kernel as a function of its own: its loops do not compete with those of the caller for
    /// registers.
    fn apart<K: Kernel>(kernel: K);

    /// Four of them in double precision.
    type Quad: Quad;
    /// All eight in double precision.
    fn widen(self) -> [Self::Quad; 2];
}

/// Adding this to a float below 2²² leaves its nearest whole number in the low bits of the mantissa.
const ROUNDING: f32 = 12_582_912.0;

/// Arrays, which compilers turn into whatever vectors there are (NEON, SSE).
#[derive(Clone, Copy)]
pub struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn map(self, other: Self, each: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| each(self.0[lane], other.0[lane])))
    }
}

impl Lanes for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
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

    #[inline(always)]
    fn divide(self, other: Self) -> Self {
        self.map(other, |a, b| a / b)
    }

    /// Not fused: processors without the instruction would call a function for every lane.
    #[inline(always)]
    fn multiply_add(self, factor: Self, summand: Self) -> Self {
        self.multiply(factor).add(summand)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.map(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.map(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.map(|n| f32::from_bits(((n + ROUNDING).to_bits() << 23).wrapping_add(127 << 23))))
    }

    #[inline(always)]
    fn round(self) -> Self {
        Self(self.0.map(|x| (x + ROUNDING) - ROUNDING))
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        std::array::from_fn(|i| Self(std::array::from_fn(|j| rows[j].0[i])))
    }

    #[inline(never)]
    fn apart<K: Kernel>(kernel: K) {
        kernel.run::<Self>();
    }

    type Quad = quads::Portable;

    #[inline(always)]
    fn widen(self) -> [quads::Portable; 2] {
        let [a, b, c, d, e, f, g, h] = self.0.map(f64::from);
        [quads::Portable::load(&[a, b, c, d]), quads::Portable::load(&[e, f, g, h])]
    }
}

/// Whether the processor has AVX2 and FMA, without which [`Avx2`] must not be used.
pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Kernel, LANES, Lanes, ROUNDING, quads};
    use std::arch::x86_64::*;

    /// One 256-bit register. Its values are only made inside functions that were entered after AVX2 and FMA
    /// had been detected.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    // SAFETY (all blocks below): the kernels use this type only behind `is_x86_feature_detected!("avx2")` and
    // `("fma")`; loads and stores go through references to arrays of eight floats.
    impl Lanes for Avx2 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn subtract(self, other: Self) -> Self {
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply(self, other: Self) -> Self {
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn divide(self, other: Self) -> Self {
            Self(unsafe { _mm256_div_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply_add(self, factor: Self, summand: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, summand.0) })
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            Self(unsafe { _mm256_min_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            let biased = self.add(Self::splat(ROUNDING));
            Self(unsafe {
                let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(biased.0));
                _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(127 << 23)))
            })
        }

        #[inline(always)]
        fn round(self) -> Self {
            self.add(Self::splat(ROUNDING)).subtract(Self::splat(ROUNDING))
        }

        #[inline(always)]
        fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
            let r = rows.map(|row| row.0);
            unsafe {
                let pairs = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let ((a0, a1), (a2, a3)) = (pairs(r[0], r[1]), pairs(r[2], r[3]));
                let ((a4, a5), (a6, a7)) = (pairs(r[4], r[5]), pairs(r[6], r[7]));
                let quads = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xEE>(a, b));
                let ((b0, b1), (b2, b3)) = (quads(a0, a2), quads(a1, a3));
                let ((b4, b5), (b6, b7)) = (quads(a4, a6), quads(a5, a7));
                let low = |a, b| Self(_mm256_permute2f128_ps::<0x20>(a, b));
                let high = |a, b| Self(_mm256_permute2f128_ps::<0x31>(a, b));
                [low(b0, b4), low(b1, b5), low(b2, b6), low(b3, b7), high(b0, b4), high(b1, b5), high(b2, b6), high(b3, b7)]
            }
        }

        #[inline(always)]
        fn apart<K: Kernel>(kernel: K) {
            #[inline(never)]
            #[target_feature(enable = "avx2,fma")]
            fn with_features<K: Kernel>(kernel: K) {
                kernel.run::<Avx2>();
            }
            unsafe { with_features(kernel) }
        }

        type Quad = quads::Avx2;

        #[inline(always)]
        fn widen(self) -> [quads::Avx2; 2] {
            let halves = unsafe { [_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0)] };
            halves.map(|half| quads::Avx2::from_register(unsafe { _mm256_cvtps_pd(half) }))
        }
    }
}
