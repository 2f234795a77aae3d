//! Correlation matrices from covariances stored as row-wise upper triangles, as catalogues have them.

use crate::error::{Error, Result};
use crate::statistics::median;
use ndarray::{Array2, ArrayView2};

/// Correlation matrix `[P, P]` of a covariance packed as a row-wise upper triangle with P(P+1)/2 numbers.
/// Where a variance is not positive or not finite, the row and the column are NaN.
///
/// # Errors
/// When the length is not that of a triangle of `n_parameters`.
pub fn correlation_from_packed(packed: &[f64], n_parameters: usize) -> Result<Array2<f64>> {
    let expected = n_parameters * (n_parameters + 1) / 2;
    if packed.len() != expected {
        return Err(Error::data("packed covariance")
            .found(format!("{} numbers", packed.len()))
            .expected(format!("{expected} for the upper triangle of {n_parameters} parameters")));
    }
    let position = |row: usize, column: usize| row * n_parameters - row * (row + 1) / 2 + column;
    let deviation = |i: usize| {
        let variance = packed[position(i, i)];
        if variance > 0.0 { variance.sqrt() } else { f64::NAN }
    };
    let deviations: Vec<f64> = (0..n_parameters).map(deviation).collect();
    Ok(Array2::from_shape_fn((n_parameters, n_parameters), |(i, j)| {
        packed[position(i.min(j), i.max(j))] / (deviations[i] * deviations[j])
    }))
}

/// Element-wise median over stars of their correlation matrices: `packed [N, P(P+1)/2]` → `[P, P]`. Stars
/// without a finite correlation are ignored element by element.
///
/// # Errors
/// When the rows do not have the length of a triangle of `n_parameters`.
pub fn median_correlation(packed: ArrayView2<f64>, n_parameters: usize) -> Result<Array2<f64>> {
    let matrices = packed
        .outer_iter()
        .map(|row| correlation_from_packed(&row.to_vec(), n_parameters))
        .collect::<Result<Vec<Array2<f64>>>>()?;
    Ok(Array2::from_shape_fn((n_parameters, n_parameters), |element| {
        median(&matrices.iter().map(|matrix| matrix[element]).collect::<Vec<f64>>())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, array};

    #[test]
    fn packed_triangle_becomes_the_full_symmetric_matrix() {
        // covariance [[4, 3, -1], [3, 9, 0], [-1, 0, 1]]
        let found = correlation_from_packed(&[4.0, 3.0, -1.0, 9.0, 0.0, 1.0], 3).unwrap();
        assert_eq!(found, arr2(&[[1.0, 0.5, -0.5], [0.5, 1.0, 0.0], [-0.5, 0.0, 1.0]]));
    }

    #[test]
    fn wrong_length_is_an_error_and_no_variance_is_nan() {
        let message = correlation_from_packed(&[1.0, 0.0], 2).unwrap_err().to_string();
        assert!(message.contains("2 numbers") && message.contains("3 for"), "{message}");
        let found = correlation_from_packed(&[0.0, 0.0, 1.0], 2).unwrap();
        assert!(found[[0, 0]].is_nan() && found[[0, 1]].is_nan() && found[[1, 1]] == 1.0);
    }

    #[test]
    fn median_over_stars_ignores_stars_without_covariance() {
        let packed = array![[1.0, 0.1, 1.0], [1.0, 0.3, 1.0], [1.0, 0.9, 1.0], [f64::NAN, f64::NAN, f64::NAN]];
        assert_eq!(median_correlation(packed.view(), 2).unwrap()[[0, 1]], 0.3);
    }
}
