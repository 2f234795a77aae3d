//! Products with the whitening of one star, in the precision of the caller.

use super::Whitening;
use std::ops::{AddAssign, Mul};

/// Floats in which residuals are whitened.
pub trait Real: Copy + Default + From<f32> + Mul<Output = Self> + AddAssign + Into<f64> {}

impl Real for f32 {}
impl Real for f64 {}

impl Whitening {
    /// L·v for each of several vectors of one star; `vectors` and `whitened` are `[k, W]`, row-major.
    pub fn whiten<T: Real>(&self, star: usize, vectors: &[T], whitened: &mut [T]) {
        let (w, block) = (self.n_wavelengths, self.block);
        let triangle = self.triangle_of(star);
        let diagonal = self.diagonal_of(star);
        for (vector, out) in vectors.chunks_exact(w).zip(whitened.chunks_exact_mut(w)) {
            let mut start = 0;
            for (i, out) in out[..block].iter_mut().enumerate() {
                *out = dot(&triangle[start..=start + i], &vector[..=i]);
                start += i + 1;
            }
            for ((out, &value), &inverse_error) in out[block..].iter_mut().zip(&vector[block..]).zip(diagonal) {
                *out = value * T::from(inverse_error);
            }
        }
    }

    /// Lᵀ·v of one star, `[W] → [W]`; after [`Whitening::whiten`] this gives C⁻¹ times the original vector.
    pub fn transpose_whiten<T: Real>(&self, star: usize, vector: &[T], out: &mut [T]) {
        let block = self.block;
        let triangle = self.triangle_of(star);
        out[..block].fill(T::default());
        let mut start = 0;
        for (i, &value) in vector[..block].iter().enumerate() {
            for (out, &entry) in out[..=i].iter_mut().zip(&triangle[start..=start + i]) {
                *out += T::from(entry) * value;
            }
            start += i + 1;
        }
        let tail = out[block..].iter_mut().zip(&vector[block..]).zip(self.diagonal_of(star));
        for ((out, &value), &inverse_error) in tail {
            *out = value * T::from(inverse_error);
        }
    }

    /// C⁻¹ = LᵀL of one star as a dense `[W, W]` matrix, row-major; zero rows and columns where missing.
    pub fn inverse_covariance(&self, star: usize) -> Vec<f64> {
        let (w, block) = (self.n_wavelengths, self.block);
        let mut matrix = vec![0.0; w * w];
        let mut start = 0;
        let triangle = self.triangle_of(star);
        for k in 0..block {
            let row = &triangle[start..=start + k];
            for (i, &left) in row.iter().enumerate() {
                for (element, &right) in matrix[i * w..i * w + k + 1].iter_mut().zip(row) {
                    *element += f64::from(left) * f64::from(right);
                }
            }
            start += k + 1;
        }
        for (i, &inverse_error) in self.diagonal_of(star).iter().enumerate() {
            matrix[(block + i) * (w + 1)] = f64::from(inverse_error).powi(2);
        }
        matrix
    }
}

/// Dot product in eight lanes, which the compiler turns into vector instructions.
fn dot<T: Real>(a: &[f32], b: &[T]) -> T {
    let mut lanes = [T::default(); 8];
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += T::from(a[lane]) * b[lane];
        }
    }
    let mut sum = T::default();
    for lane in lanes {
        sum += lane;
    }
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        sum += T::from(a) * b;
    }
    sum
}
