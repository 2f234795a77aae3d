//! Products with the whitening of one star, in the precision of the caller.

use super::Whitening;
use std::ops::{AddAssign, Mul, Range};

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

    /// L·v of one star, `[W] → [W]`, where v is zero outside of `entries`; what L·v is zero outside of is
    /// returned, and is all that is written.
    pub fn whiten_part<T: Real>(&self, star: usize, entries: Range<usize>, vector: &[T], whitened: &mut [T]) -> Range<usize> {
        let block = self.block;
        if entries.is_empty() {
            return entries;
        }
        let triangle = self.triangle_of(star);
        for (i, out) in whitened[..block].iter_mut().enumerate().skip(entries.start) {
            let row = &triangle[i * (i + 1) / 2..];
            let together = entries.start..entries.end.min(i + 1);
            *out = dot(&row[together.clone()], &vector[together]);
        }
        let diagonal = self.diagonal_of(star);
        for at in entries.start.max(block)..entries.end {
            whitened[at] = vector[at] * T::from(diagonal[at - block]);
        }
        let end = if entries.start < block { entries.end.max(block) } else { entries.end };
        entries.start..end
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

#[cfg(test)]
mod tests {
    use super::super::{EigenvalueFloor, Whitening};
    use ndarray::Array2;

    #[test]
    fn a_part_of_a_vector_is_whitened_as_the_vector_that_is_zero_elsewhere() {
        let (block, w) = (11, 14);
        let mut covariances = Array2::zeros((2, block * (block + 1) / 2));
        let mut k = 0;
        for i in 0..block {
            for j in i..block {
                let value = if i == j { 1.5 + 0.1 * i as f64 } else { 0.3 / (1.0 + (j - i) as f64) };
                covariances.column_mut(k).fill(value);
                k += 1;
            }
        }
        let errors = Array2::from_shape_fn((2, w - block), |(star, k)| 0.5 + star as f64 + k as f64);
        let whitening = Whitening::from_covariances(covariances.view(), errors.view(), EigenvalueFloor::default()).unwrap();
        for (entries, support) in [(0..4, 0..11), (3..9, 3..11), (9..13, 9..13), (12..13, 12..13), (11..14, 11..14), (5..5, 5..5)]
        {
            let mut vector = vec![0.0_f64; w];
            entries.clone().for_each(|k| vector[k] = 1.0 + (k as f64).sin());
            let (mut whole, mut part) = (vec![0.0; w], vec![0.0; w]);
            whitening.whiten(1, &vector, &mut whole);
            // What is outside of the entries is not looked at.
            let outside: Vec<f64> = (0..w).map(|k| if entries.contains(&k) { vector[k] } else { f64::NAN }).collect();
            assert_eq!(whitening.whiten_part(1, entries.clone(), &outside, &mut part), support, "{entries:?}");
            for (k, (whole, part)) in whole.iter().zip(&part).enumerate() {
                assert!((whole - part).abs() < 1e-14, "{entries:?}, {k}: {whole}, {part}");
            }
        }
    }
}
