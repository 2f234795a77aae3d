//! The smoothing filter of Savitzky & Golay (1964, Anal. Chem. 36, 1627): the value at its centre of a
//! polynomial fitted to a window of pixels, all of equal weight. At both ends the polynomial of the last
//! whole window is taken (SciPy's `mode="interp"`).

use crate::error::{Error, Result};
use nalgebra::DMatrix;
use std::ops::Range;

/// A filter.
#[derive(Debug, Clone)]
pub struct SavitzkyGolay {
    window: usize,
    /// Orthonormal polynomials over a window `[window, degree + 1]`, row by row.
    basis: Vec<f64>,
    /// Weights of the window's pixels for the value at its centre `[window]`.
    centre: Vec<f64>,
}

impl SavitzkyGolay {
    /// Highest degree: beyond it the window's equations lose digits.
    pub const MOST_DEGREE: usize = 9;
    /// Longest window; every pixel of a spectrum costs as many products.
    pub const MOST_WINDOW: usize = 9_999;

    /// Whether there is a filter of a `window` and a `degree` for spectra of `n_pixels`.
    ///
    /// # Errors
    /// When the window is even, not larger than the degree, longer than the spectrum or than
    /// [`Self::MOST_WINDOW`], or the degree above [`Self::MOST_DEGREE`].
    pub fn check(window: usize, degree: usize, n_pixels: usize) -> Result<()> {
        let longest = n_pixels.min(Self::MOST_WINDOW);
        if !window.is_multiple_of(2) && degree < window && degree <= Self::MOST_DEGREE && window <= longest {
            return Ok(());
        }
        Err(Error::usage("Savitzky-Golay filter")
            .found(format!("a window of {window} pixels and degree {degree}"))
            .expected(format!(
                "an odd window of at most {longest} pixels (within the grid), above the degree, which is at most {}",
                Self::MOST_DEGREE
            ))
            .remedy("`photosphere recipe prepare-spectra` prints a recipe that works."))
    }

    /// With an odd `window` of pixels and polynomials of `degree`.
    ///
    /// # Errors
    /// As [`Self::check`], for spectra of any length.
    pub fn new(window: usize, degree: usize) -> Result<Self> {
        Self::check(window, degree, usize::MAX)?;
        let half = (window / 2) as f64;
        // Chebyshev polynomials on [-1, 1]; their orthonormal basis gives the projection on all polynomials
        // of the degree.
        let design = DMatrix::from_fn(window, degree + 1, |pixel, k| {
            let x = if half > 0.0 { (pixel as f64 - half) / half } else { 0.0 };
            (k as f64 * x.clamp(-1.0, 1.0).acos()).cos()
        });
        let basis: Vec<f64> = design.qr().q().transpose().iter().copied().collect();
        let row = |pixel: usize| &basis[pixel * (degree + 1)..(pixel + 1) * (degree + 1)];
        let centre = (0..window).map(|pixel| dot(row(pixel), row(window / 2))).collect();
        Ok(Self { window, basis, centre })
    }

    /// The polynomial through a window of values, at the pixels of a range of it.
    fn polynomial(&self, values: &[f64], pixels: Range<usize>, smooth: &mut [f64]) {
        let k = self.basis.len() / self.window;
        let mut coefficients = vec![0.0; k];
        for (row, value) in self.basis.chunks_exact(k).zip(values) {
            coefficients.iter_mut().zip(row).for_each(|(sum, basis)| *sum += basis * value);
        }
        let rows = self.basis.chunks_exact(k).skip(pixels.start).take(pixels.len());
        smooth.iter_mut().zip(rows).for_each(|(smooth, row)| *smooth = dot(row, &coefficients));
    }

    /// The smoothed values; as they are where there are fewer than a window.
    pub fn of(&self, values: &[f64]) -> Vec<f64> {
        let (n, window, half) = (values.len(), self.window, self.window / 2);
        if n < window {
            return values.to_vec();
        }
        let mut smooth = vec![0.0; n];
        self.polynomial(&values[..window], 0..half, &mut smooth[..half]);
        for (smooth, window) in smooth[half..].iter_mut().zip(values.windows(window)) {
            *smooth = dot(&self.centre, window);
        }
        self.polynomial(&values[n - window..], half + 1..window, &mut smooth[n - half..]);
        smooth
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
            self.centre.iter().enumerate().map(|(k, c)| c * c * variance[(i + k).saturating_sub(half).min(n - 1)]).sum()
        };
        (0..n).map(at).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
