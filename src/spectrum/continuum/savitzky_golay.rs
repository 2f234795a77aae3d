//! The smoothing filter of Savitzky & Golay (1964, Anal. Chem. 36, 1627): the value at its centre of a
//! polynomial fitted to a window of pixels, all of equal weight. At both ends the polynomial of the last
//! whole window is taken (SciPy's `mode="interp"`).

use crate::error::{Error, Result};
use nalgebra::DMatrix;

/// A filter.
#[derive(Debug, Clone)]
pub struct SavitzkyGolay {
    window: usize,
    /// The hat matrix of a window `[window, window]`: row p gives the polynomial at pixel p from the pixels
    /// of the window.
    hat: Vec<f64>,
}

impl SavitzkyGolay {
    /// Highest degree: beyond it the window's equations lose digits.
    pub const MOST_DEGREE: usize = 9;

    /// With an odd `window` of pixels and polynomials of `degree`.
    ///
    /// # Errors
    /// When the window is even or not larger than the degree, or the degree above [`Self::MOST_DEGREE`].
    pub fn new(window: usize, degree: usize) -> Result<Self> {
        let fault = || {
            Error::usage("Savitzky-Golay filter")
                .found(format!("a window of {window} pixels and degree {degree}"))
                .expected(format!("an odd window above the degree, which is at most {}", Self::MOST_DEGREE))
        };
        if window.is_multiple_of(2) || degree >= window || degree > Self::MOST_DEGREE {
            return Err(fault());
        }
        let half = (window / 2) as f64;
        // Chebyshev polynomials on [-1, 1]; their orthonormal basis gives the projection on all polynomials
        // of the degree.
        let design = DMatrix::from_fn(window, degree + 1, |pixel, k| {
            let x = if half > 0.0 { (pixel as f64 - half) / half } else { 0.0 };
            (k as f64 * x.clamp(-1.0, 1.0).acos()).cos()
        });
        let q = design.qr().q();
        let hat = &q * q.transpose();
        Ok(Self { window, hat: hat.transpose().iter().copied().collect() })
    }

    /// Weights of the window's pixels for its centre.
    fn centre(&self) -> &[f64] {
        let half = self.window / 2;
        &self.hat[half * self.window..(half + 1) * self.window]
    }

    /// The smoothed values; as they are where there are fewer than a window.
    pub fn of(&self, values: &[f64]) -> Vec<f64> {
        let (n, window, half) = (values.len(), self.window, self.window / 2);
        if n < window {
            return values.to_vec();
        }
        let dot = |weights: &[f64], start: usize| -> f64 { weights.iter().zip(&values[start..]).map(|(w, v)| w * v).sum() };
        (0..n)
            .map(|i| match i {
                i if i < half => dot(&self.hat[i * window..(i + 1) * window], 0),
                i if i + half >= n => {
                    let row = i + window - n;
                    dot(&self.hat[row * window..(row + 1) * window], n - window)
                }
                i => dot(self.centre(), i - half),
            })
            .collect()
    }

    /// The smoothed values of a spectrum with gaps, which straight lines between good neighbours bridge;
    /// NaN before the first and after the last good pixel.
    pub fn of_gapped(&self, flux: &[f64], weight: &[f64]) -> Vec<f64> {
        let good: Vec<usize> = (0..flux.len()).filter(|&i| weight[i] > 0.0 && flux[i].is_finite()).collect();
        let (Some(&first), Some(&last)) = (good.first(), good.last()) else { return vec![f64::NAN; flux.len()] };
        let mut filled = flux.to_vec();
        for pair in good.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            for (k, value) in filled[a + 1..b].iter_mut().enumerate() {
                *value = flux[a] + (k + 1) as f64 / (b - a) as f64 * (flux[b] - flux[a]);
            }
        }
        let mut smooth = vec![f64::NAN; flux.len()];
        smooth[first..=last].copy_from_slice(&self.of(&filled[first..=last]));
        smooth
    }

    /// Variance of the smoothed values for uncorrelated pixels of these variances, away from the ends: Σ c²
    /// σ².
    pub fn variance(&self, variance: &[f64]) -> Vec<f64> {
        let half = self.window / 2;
        let n = variance.len();
        let at = |i: usize| -> f64 {
            self.centre().iter().enumerate().map(|(k, c)| c * c * variance[(i + k).saturating_sub(half).min(n - 1)]).sum()
        };
        (0..n).map(at).collect()
    }
}
