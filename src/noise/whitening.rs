//! Whitening of a batch of stars: a leading dense block (packed triangle) and a diagonal tail.

use super::kernel::InverseCholesky;
use super::row::{chi_square, inverse_error};
use super::triangle::{self, lower};
use super::{EigenvalueFloor, WhiteningRow};
use crate::error::{Error, Result};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Whitening matrices L of `N` stars over `W` wavelengths with LᵀL = C⁻¹.
///
/// The first `block` wavelengths share a dense covariance; the others are independent. `block = 0` is the
/// diagonal case. A wavelength with infinite variance (missing) has a zero row and a zero column: it adds
/// nothing to χ² or to a gradient. Every star's numbers depend on that star alone, bit for bit, whatever the
/// batch or the number of threads.
///
/// # Shapes
/// * `triangle [N, block·(block+1)/2]`: lower triangle of L row by row, `L[i][j]` at `i(i+1)/2 + j` for `j ≤
///   i`;
/// * `diagonal [N, W − block]`: 1/σ, zero where missing;
/// * `floored [N]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    /// Length of the leading dense block.
    pub block: usize,
    /// Packed lower triangles, star after star.
    pub triangle: Vec<f32>,
    /// Inverse errors of the wavelengths after the block, star after star.
    pub diagonal: Vec<f32>,
    /// Number of wavelengths.
    pub n_wavelengths: usize,
    /// Stars whose covariance was not positive-definite and whose eigenvalues were raised to the floor.
    pub floored: Vec<bool>,
}

impl Whitening {
    /// No stars yet.
    pub fn empty(block: usize, n_wavelengths: usize) -> Self {
        Self { block, triangle: Vec::new(), diagonal: Vec::new(), n_wavelengths, floored: Vec::new() }
    }

    /// Independent errors `[N, W]`; errors that are not finite and positive mean missing.
    pub fn diagonal<T: Copy + Into<f64>>(errors: ArrayView2<T>) -> Self {
        Self {
            diagonal: errors.iter().map(|&error| inverse_error(error.into()) as f32).collect(),
            floored: vec![false; errors.nrows()],
            ..Self::empty(0, errors.ncols())
        }
    }

    /// Covariances `[N, B(B+1)/2]` (row-wise upper triangles) of the leading block and independent errors
    /// `[N, W − B]` of the tail, decomposed in f64 and in parallel over stars.
    ///
    /// # Errors
    /// When the shapes do not fit or a decomposition does not converge.
    pub fn from_covariances<T>(covariances: ArrayView2<T>, tail_errors: ArrayView2<T>, floor: EigenvalueFloor) -> Result<Self>
    where
        T: Copy + Into<f64> + Sync + Send,
    {
        let length = covariances.ncols();
        let block = triangle::side(length).ok_or_else(|| {
            Error::data("flux covariances")
                .found(format!("{length} values a star"))
                .expected("B(B+1)/2 values, a row-wise upper triangle")
        })?;
        let n_stars = covariances.nrows();
        if n_stars != tail_errors.nrows() {
            return Err(Error::data("flux covariance")
                .found(format!("{n_stars} stars with covariances, {} with errors", tail_errors.nrows()))
                .expected("as many of both"));
        }
        let mut whitening = Self {
            triangle: vec![0.0; n_stars * length],
            diagonal: tail_errors.iter().map(|&error| inverse_error(error.into()) as f32).collect(),
            floored: vec![false; n_stars],
            ..Self::empty(block, block + tail_errors.ncols())
        };
        let stars = whitening.triangle.par_chunks_mut(length.max(1)).zip(&mut whitening.floored).enumerate();
        stars.try_for_each_init(
            || InverseCholesky::new(block),
            |work, (star, (triangle, floored))| {
                let row = covariances.row(star);
                let decomposed = match row.as_slice() {
                    Some(row) => work.decompose(row),
                    None => work.decompose(&row.to_vec()),
                };
                if decomposed {
                    work.write(triangle, |value| value as f32);
                    return Ok(());
                }
                let covariance: Vec<f64> = row.iter().map(|&value| value.into()).collect();
                let row = WhiteningRow::new(&covariance, &[], floor)?;
                triangle.iter_mut().zip(&row.triangle).for_each(|(to, value)| *to = *value as f32);
                *floored = row.floored;
                Ok(())
            },
        )?;
        Ok(whitening)
    }

    /// Number of stars.
    pub fn len(&self) -> usize {
        self.floored.len()
    }

    /// Whether there are no stars.
    pub fn is_empty(&self) -> bool {
        self.floored.is_empty()
    }

    /// Adds a star.
    ///
    /// # Errors
    /// When its shape differs.
    pub fn push(&mut self, row: &WhiteningRow) -> Result<()> {
        let found = (row.block(), row.block() + row.diagonal.len());
        if found != (self.block, self.n_wavelengths) {
            return Err(shape_error(found, (self.block, self.n_wavelengths)));
        }
        self.triangle.extend(row.triangle.iter().map(|&value| value as f32));
        self.diagonal.extend(row.diagonal.iter().map(|&value| value as f32));
        self.floored.push(row.floored);
        Ok(())
    }

    /// Adds the stars of another batch.
    ///
    /// # Errors
    /// When its shape differs.
    pub fn extend(&mut self, other: &Self) -> Result<()> {
        if (other.block, other.n_wavelengths) != (self.block, self.n_wavelengths) {
            return Err(shape_error((other.block, other.n_wavelengths), (self.block, self.n_wavelengths)));
        }
        self.triangle.extend_from_slice(&other.triangle);
        self.diagonal.extend_from_slice(&other.diagonal);
        self.floored.extend_from_slice(&other.floored);
        Ok(())
    }

    /// The given stars, in the given order.
    pub fn select(&self, stars: &[usize]) -> Self {
        Self {
            triangle: stars.iter().flat_map(|&star| self.triangle_of(star)).copied().collect(),
            diagonal: stars.iter().flat_map(|&star| self.diagonal_of(star)).copied().collect(),
            floored: stars.iter().map(|&star| self.floored[star]).collect(),
            ..Self::empty(self.block, self.n_wavelengths)
        }
    }

    /// The whitening of data that were multiplied by `factors [W]`.
    pub fn scale(&mut self, factors: &[f64]) {
        let (block, tail) = factors.split_at(self.block.min(factors.len()));
        for triangle in self.triangle.chunks_exact_mut(triangle::length(block.len()).max(1)) {
            let mut entries = triangle.iter_mut();
            for row in 0..block.len() {
                entries
                    .by_ref()
                    .take(row + 1)
                    .zip(block)
                    .for_each(|(entry, factor)| *entry = (f64::from(*entry) / factor) as f32);
            }
        }
        for diagonal in self.diagonal.chunks_exact_mut(tail.len().max(1)) {
            diagonal.iter_mut().zip(tail).for_each(|(entry, factor)| *entry = (f64::from(*entry) / factor) as f32);
        }
    }

    /// Packed lower triangle of one star `[B(B+1)/2]`.
    pub fn triangle_of(&self, star: usize) -> &[f32] {
        let length = triangle::length(self.block);
        &self.triangle[star * length..(star + 1) * length]
    }

    /// Inverse errors of one star's tail `[W − B]`.
    pub fn diagonal_of(&self, star: usize) -> &[f32] {
        let length = self.n_wavelengths - self.block;
        &self.diagonal[star * length..(star + 1) * length]
    }

    /// One star in double precision.
    pub fn row(&self, star: usize) -> WhiteningRow {
        WhiteningRow {
            triangle: self.triangle_of(star).iter().map(|&value| value.into()).collect(),
            diagonal: self.diagonal_of(star).iter().map(|&value| value.into()).collect(),
            floored: self.floored[star],
        }
    }

    /// Whether a star's flux at a wavelength has finite variance.
    pub fn is_present(&self, star: usize, wavelength: usize) -> bool {
        match wavelength.checked_sub(self.block) {
            None => self.triangle_of(star)[lower(wavelength, wavelength)] > 0.0,
            Some(tail) => self.diagonal_of(star)[tail] > 0.0,
        }
    }

    /// Number of a star's fluxes with finite variance.
    pub fn n_present(&self, star: usize) -> usize {
        (0..self.n_wavelengths).filter(|&wavelength| self.is_present(star, wavelength)).count()
    }

    /// χ² = |L r|² of a star's residual `[W]`, summed in f64; what stands at missing wavelengths (even NaN)
    /// has no influence.
    pub fn chi_square(&self, star: usize, residual: &[f64]) -> f64 {
        chi_square(self.triangle_of(star), self.diagonal_of(star), self.block, residual)
    }

    /// ln det C of a star over its wavelengths with finite variance.
    pub fn ln_det_covariance(&self, star: usize) -> f64 {
        self.row(star).ln_det_covariance()
    }
}

fn shape_error(found: (usize, usize), expected: (usize, usize)) -> Error {
    let text = |(block, wavelengths): (usize, usize)| format!("{wavelengths} wavelengths with a block of {block}");
    Error::data("whitening").found(text(found)).expected(text(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn two_stars() -> Whitening {
        let covariances = array![[1.0, 0.9, 1.0], [4.0, f64::NAN, f64::INFINITY]];
        Whitening::from_covariances(covariances.view(), array![[0.5], [f64::NAN]].view(), EigenvalueFloor::default()).unwrap()
    }

    #[test]
    fn batches_keep_the_numbers_of_their_stars() {
        let whitening = two_stars();
        assert_eq!((whitening.len(), whitening.n_present(0), whitening.n_present(1)), (2, 3, 1));
        assert!((whitening.chi_square(0, &[1.0, -1.0, 1.0]) - 24.0).abs() < 1e-4);
        assert_eq!(whitening.chi_square(1, &[4.0, f64::NAN, f64::NAN]), 4.0);
        let turned = whitening.select(&[1, 0]);
        assert_eq!(turned.row(1), whitening.row(0));
        let mut joined = turned.select(&[1]);
        joined.extend(&turned.select(&[0])).unwrap();
        assert_eq!(joined, whitening);
        assert!(joined.push(&WhiteningRow::from_errors(&[1.0; 3])).is_err());
    }

    #[test]
    fn the_whitening_of_scaled_data_gives_the_same_chi_square() {
        let mut whitening = two_stars();
        let before = whitening.chi_square(0, &[1.0, -1.0, 1.0]);
        whitening.scale(&[2.0, 0.5, 4.0]);
        assert!((whitening.chi_square(0, &[2.0, -0.5, 4.0]) - before).abs() < 1e-4);
        assert_eq!(whitening.n_present(1), 1);
    }

    #[test]
    fn independent_errors_need_no_block() {
        let whitening = Whitening::diagonal(array![[0.5_f32, f32::INFINITY, 2.0]].view());
        assert_eq!(whitening.chi_square(0, &[1.0, f64::NAN, 2.0]), 5.0);
        assert!((whitening.ln_det_covariance(0)).abs() < 1e-7);
    }

    #[test]
    fn results_do_not_depend_on_threads_or_batches() {
        let n = 9;
        let covariances = Array2::from_shape_fn((40, triangle::length(n)), |(star, k)| {
            let diagonal = (0..n).any(|i| triangle::upper(i, i, n) == k);
            if diagonal { 2.0 + star as f64 } else { (k as f64 * 0.7 + star as f64).sin() * 0.2 }
        });
        let tail = Array2::from_elem((40, 2), 0.3);
        let make = || Whitening::from_covariances(covariances.view(), tail.view(), EigenvalueFloor::default()).unwrap();
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(make);
        let several = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(make);
        assert_eq!(single, several);
    }
}
