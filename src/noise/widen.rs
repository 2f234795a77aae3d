//! Independent errors on top of those that a whitening holds.

use super::factor::EigenvalueFloor;
use super::row::WhiteningRow;
use super::triangle::{length, lower, upper};
use super::whitening::Whitening;
use crate::error::Result;
use ndarray::ArrayView2;
use rayon::prelude::*;

impl Whitening {
    /// The whitening of the same data with `variances [N, W]` added to the diagonal of their covariances.
    ///
    /// # Errors
    /// When a decomposition does not converge.
    pub fn widened(&self, variances: ArrayView2<'_, f64>) -> Result<Self> {
        let (block, n_wavelengths) = (self.block, variances.ncols());
        let widen = |star: usize| {
            let row = self.row(star);
            let mut covariance = covariance(&row.triangle, block);
            (0..block).for_each(|i| covariance[upper(i, i, block)] += variances[[star, i]]);
            let tail = row.diagonal.iter().enumerate();
            let errors: Vec<f64> =
                tail.map(|(i, inverse)| inverse.powi(-2) + variances[[star, block + i]]).map(f64::sqrt).collect();
            WhiteningRow::new(&covariance, &errors, EigenvalueFloor::default())
        };
        let rows = (0..self.len()).into_par_iter().map(widen).collect::<Result<Vec<_>>>()?;
        let mut whole = Self::empty(block, n_wavelengths);
        rows.iter().try_for_each(|row| whole.push(row))?;
        Ok(whole)
    }
}

/// C = L⁻¹ L⁻ᵀ, row-wise upper triangle, from the lower triangle of L; NaN where a wavelength is missing.
fn covariance(triangle: &[f64], n: usize) -> Vec<f64> {
    let is_present = |i: usize| triangle[lower(i, i)] > 0.0;
    let mut inverse = vec![0.0; n * n];
    for column in (0..n).filter(|&i| is_present(i)) {
        inverse[column * n + column] = triangle[lower(column, column)].recip();
        for row in (column + 1..n).filter(|&i| is_present(i)) {
            let sum: f64 = (column..row).map(|k| triangle[lower(row, k)] * inverse[k * n + column]).sum();
            inverse[row * n + column] = -sum / triangle[lower(row, row)];
        }
    }
    let mut covariance = vec![f64::NAN; length(n)];
    for i in (0..n).filter(|&i| is_present(i)) {
        for j in (i..n).filter(|&j| is_present(j)) {
            covariance[upper(i, j, n)] = (0..=i).map(|k| inverse[i * n + k] * inverse[j * n + k]).sum();
        }
    }
    covariance
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn widened_is_the_whitening_of_the_wider_covariance() {
        // Two stars: three correlated fluxes and one of its own; the second lacks the second flux.
        let covariances = array![[4.0, 1.0, 0.5, 9.0, -2.0, 5.0], [4.0, f64::NAN, 0.5, f64::NAN, f64::NAN, 5.0]];
        let tail = array![[2.0], [f64::INFINITY]];
        let variances = array![[1.0, 0.5, 2.0, 5.0], [0.0, 1.0, 3.0, 1.0]];
        let whitening = |covariances: &ndarray::Array2<f64>, tail: &ndarray::Array2<f64>| {
            Whitening::from_covariances(covariances.view(), tail.view(), EigenvalueFloor::default()).unwrap()
        };
        let found = whitening(&covariances, &tail).widened(variances.view()).unwrap();
        let wide = array![[5.0, 1.0, 0.5, 9.5, -2.0, 7.0], [4.0, f64::NAN, 0.5, f64::NAN, f64::NAN, 8.0]];
        let expected = whitening(&wide, &array![[3.0], [f64::INFINITY]]);
        for (star, residual) in [(0, [1.0, -2.0, 0.5, 3.0]), (1, [1.0, f64::NAN, 2.0, f64::NAN])] {
            let [found, expected] = [&found, &expected].map(|whitening| whitening.chi_square(star, &residual));
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
        }
    }
}
