//! How far a star's inputs are from those of the training stars.

use super::leftover::LeftoverLimit;
use crate::error::{Error, Result};
use crate::statistics::percentile;
use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView1, ArrayView2};

/// Percentile of the training stars' distances beyond which a star is outside.
const OUTSIDE: f64 = 99.9;
/// Variance, as a fraction of the mean one, that every direction has at least.
const RIDGE: f64 = 1e-4;

/// The ellipsoid of the training stars.
#[derive(Debug, Clone)]
pub struct Domain {
    /// `[D]`.
    pub mean: Vec<f32>,
    /// L `[D, D]`, lower, with d² = |L (x − mean)|².
    pub factor: Array2<f32>,
    /// The largest d/√D inside.
    pub threshold: f64,
    /// What components leave over of training stars; none of inputs that are no components, and of models of
    /// versions that did not look.
    pub leftover: Option<LeftoverLimit>,
}

impl Domain {
    /// Of training rows `[N, D]`.
    ///
    /// # Errors
    /// When their covariance is not positive-definite.
    pub fn of(rows: ArrayView2<'_, f32>) -> Result<Self> {
        let (n, width) = rows.dim();
        let mut mean = vec![0.0_f64; width];
        rows.rows().into_iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / n as f64));
        let centred = Array2::from_shape_fn((n, width), |(i, j)| f64::from(rows[[i, j]]) - mean[j]);
        let scatter = centred.t().dot(&centred) / n as f64;
        let ridge = RIDGE * (0..width).map(|j| scatter[[j, j]]).sum::<f64>() / width.max(1) as f64 + f64::from(f32::MIN_POSITIVE);
        let covariance = DMatrix::from_fn(width, width, |i, j| scatter[[i, j]] + if i == j { ridge } else { 0.0 });
        let inverse = covariance.cholesky().and_then(|factor| factor.l().try_inverse()).ok_or_else(|| {
            Error::numerical("covariance of the inputs")
                .found("a matrix that is not positive-definite")
                .expected("finite inputs")
                .remedy("Standardise the inputs, or use fewer components.")
        })?;
        let factor = Array2::from_shape_fn((width, width), |(i, j)| inverse[(i, j)] as f32);
        let mut domain =
            Self { mean: mean.iter().map(|value| *value as f32).collect(), factor, threshold: f64::INFINITY, leftover: None };
        let distances: Vec<f64> = rows.rows().into_iter().map(|row| domain.distance(row)).collect();
        domain.threshold = percentile(&distances, OUTSIDE);
        Ok(domain)
    }

    /// d/√D of a row, whose leading D entries are looked at: about 1 for a typical training star.
    pub fn distance(&self, row: ArrayView1<'_, f32>) -> f64 {
        let width = self.mean.len();
        let centred: Vec<f64> = row.iter().zip(&self.mean).map(|(x, mean)| f64::from(*x) - f64::from(*mean)).collect();
        let square: f64 =
            (0..width).map(|i| (0..=i).map(|j| f64::from(self.factor[[i, j]]) * centred[j]).sum::<f64>().powi(2)).sum();
        (square / width.max(1) as f64).sqrt()
    }
}
