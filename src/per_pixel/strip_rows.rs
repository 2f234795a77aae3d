//! Arithmetic on rows of strips.

use super::engine::dispatch;
use crate::tensor::lanes::{Block, Kernel, Lanes};
use crate::tensor::quads::Quad;
use crate::tensor::row_products::Strip;

/// The halves of strips, as the kernels of eight lanes take them.
pub(super) fn halves(strips: &[Strip]) -> &[Block] {
    // SAFETY: a `Strip` is sixteen floats on a boundary of 64 bytes, a `Block` eight on one of 32.
    unsafe { std::slice::from_raw_parts(strips.as_ptr().cast(), 2 * strips.len()) }
}

/// As [`halves`].
pub(super) fn halves_mut(strips: &mut [Strip]) -> &mut [Block] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(strips.as_mut_ptr().cast(), 2 * strips.len()) }
}

/// χ² of residuals, in double precision.
pub(super) fn weighted_squares(weight: &[Strip], residuals: &[Strip]) -> f64 {
    struct Squares<'a>(&'a [Block], &'a [Block], &'a mut f64);
    impl Kernel for Squares<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self) {
            let mut sums = [V::Quad::splat(0.0); 2];
            for s in 0..self.0.len() {
                let (weight, residual) = (V::load(&self.0[s].0).widen(), V::load(&self.1[s].0).widen());
                for half in 0..2 {
                    sums[half] = weight[half].multiply(residual[half]).multiply_add(residual[half], sums[half]);
                }
            }
            *self.2 = sums[0].add(sums[1]).sum();
        }
    }
    let mut sum = 0.0;
    dispatch(Squares(halves(weight), halves(residuals), &mut sum));
    sum
}

/// `to` less `other`.
pub(super) fn subtract(to: &mut [Strip], other: &[Strip]) {
    struct Subtract<'a>(&'a mut [Block], &'a [Block]);
    impl Kernel for Subtract<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self) {
            for (to, other) in self.0.iter_mut().zip(self.1) {
                V::load(&to.0).subtract(V::load(&other.0)).store(&mut to.0);
            }
        }
    }
    dispatch(Subtract(halves_mut(to), halves(other)));
}

/// The products of two rows.
pub(super) fn multiply(a: &[Strip], b: &[Strip], out: &mut [Strip]) {
    struct Multiply<'a>(&'a [Block], &'a [Block], &'a mut [Block]);
    impl Kernel for Multiply<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self) {
            for ((a, b), out) in self.0.iter().zip(self.1).zip(self.2) {
                V::load(&a.0).multiply(V::load(&b.0)).store(&mut out.0);
            }
        }
    }
    dispatch(Multiply(halves(a), halves(b), halves_mut(out)));
}
