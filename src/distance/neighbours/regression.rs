//! Weighted linear regression about a star, of several outputs at once (local linear regression: Fan &
//! Gijbels 1996).

use nalgebra::{DMatrix, DVector};

/// What holds slopes that the points do not tell at zero, as a part of the sum of weights.
const RIDGE: f64 = 1e-6;

/// y = y₀ + Sᵀx of n points x about the star, L coordinates and K outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFit {
    /// y₀ `[K]`.
    pub at_star: DVector<f64>,
    /// S `[L, K]`.
    pub slopes: DMatrix<f64>,
    /// Covariance of the residuals, by their degrees of freedom `[K, K]`.
    pub residuals: DMatrix<f64>,
    /// Variance of y₀ over that of the residuals: Σ lᵢ² for y₀ = Σ lᵢ yᵢ.
    pub leverage: f64,
}

impl LocalFit {
    /// By points `[n][L]`, weights `[n]` and outputs `[n, K]`; `None` where the weights leave too few points.
    pub fn of(points: &[Vec<f64>], weights: &[f64], outputs: &DMatrix<f64>) -> Option<Self> {
        let (n, l, k) = (points.len(), points.first()?.len(), outputs.ncols());
        let p = l + 1;
        let row = |i: usize, a: usize| if a == 0 { 1.0 } else { points[i][a - 1] };
        let used = |i: &usize| weights[*i] > 0.0;
        let mut normal = DMatrix::<f64>::zeros(p, p);
        let mut right = DMatrix::<f64>::zeros(p, k);
        for i in (0..n).filter(used) {
            for a in 0..p {
                let weighted = weights[i] * row(i, a);
                (0..p).for_each(|b| normal[(a, b)] += weighted * row(i, b));
                (0..k).for_each(|b| right[(a, b)] += weighted * outputs[(i, b)]);
            }
        }
        let whole = normal[(0, 0)];
        (1..p).for_each(|axis| normal[(axis, axis)] += RIDGE * whole);
        let factor = normal.cholesky()?;
        let coefficients = factor.solve(&right);
        let inverse = factor.inverse();
        let mut residuals = DMatrix::<f64>::zeros(k, k);
        let (mut freedom, mut leverage) = (0.0, 0.0);
        let mut residual = vec![0.0; k];
        for i in (0..n).filter(used) {
            for (b, residual) in residual.iter_mut().enumerate() {
                *residual = outputs[(i, b)] - (0..p).map(|a| row(i, a) * coefficients[(a, b)]).sum::<f64>();
            }
            for (a, of_a) in residual.iter().enumerate() {
                residual.iter().enumerate().for_each(|(b, of_b)| residuals[(a, b)] += weights[i] * of_a * of_b);
            }
            let by_inverse = |a: usize| (0..p).map(|b| inverse[(a, b)] * row(i, b)).sum::<f64>();
            let hat: f64 = (0..p).map(|a| row(i, a) * by_inverse(a)).sum();
            freedom += weights[i] * (1.0 - weights[i] * hat);
            leverage += (weights[i] * by_inverse(0)).powi(2);
        }
        (freedom > 1e-3 * whole).then(|| Self {
            at_star: coefficients.row(0).transpose(),
            slopes: coefficients.rows(1, l).into_owned(),
            residuals: residuals / freedom,
            leverage,
        })
    }
}

/// A symmetric matrix without what is negative in it: variances that were subtracted may leave less than
/// nothing.
pub fn not_negative(matrix: DMatrix<f64>) -> DMatrix<f64> {
    let mut parts = matrix.symmetric_eigen();
    parts.eigenvalues.iter_mut().for_each(|value| *value = value.max(0.0));
    parts.recompose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2.4.6: numpy.linalg.solve of the weighted normal equations without the ridge.
    #[test]
    fn fits_are_those_of_least_squares() {
        let points: Vec<Vec<f64>> = (0..8).map(|i| vec![f64::from(i) - 3.2, f64::from(i * i % 5) - 1.7]).collect();
        let weights: Vec<f64> = (0..8).map(|i| 1.0 / (1.0 + 0.3 * f64::from(i))).collect();
        let outputs = DMatrix::from_fn(8, 2, |i, k| {
            let (x, y) = (points[i][0], points[i][1]);
            if k == 0 { 1.5 - 0.5 * x + 0.25 * y } else { 0.3 * (i as f64 * 1.7).sin() + x }
        });
        let fit = LocalFit::of(&points, &weights, &outputs).unwrap();
        assert!((fit.at_star[0] - 1.5).abs() < 1e-5 && (fit.slopes[(0, 0)] + 0.5).abs() < 1e-5);
        assert!((fit.slopes[(1, 0)] - 0.25).abs() < 1e-5 && fit.residuals[(0, 0)] < 1e-10);
        let expected = EXPECTED;
        let found = [fit.at_star[1], fit.slopes[(0, 1)], fit.slopes[(1, 1)], fit.residuals[(1, 1)], fit.leverage];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} is not {expected}");
        }
        let none = LocalFit::of(&points[..3], &weights[..3], &outputs.rows(0, 3).into_owned());
        assert!(none.is_none(), "three points for three numbers leave no scatter");
        assert!(LocalFit::of(&[], &[], &DMatrix::zeros(0, 2)).is_none());
    }

    const EXPECTED: [f64; 5] =
        [0.006858199566219283, 0.9892868470354242, -0.06691765886138736, 0.039428066873530024, 0.12830921926052202];

    #[test]
    fn what_is_negative_is_taken_out() {
        let found = not_negative(DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0]));
        assert!(found.iter().all(|value| (value - 1.5).abs() < 1e-12), "{found}");
    }
}
