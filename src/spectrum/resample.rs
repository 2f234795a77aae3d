//! Flux-conserving resampling onto a grid, with variance.
//!
//! The flux density of a new pixel is the mean over what it covers of the old ones: f_j = Σᵢ o_ij f_i / Σᵢ
//! o_ij, with o_ij the overlap of both in Å (as Carnall 2017, arXiv:1705.05165, and the
//! `FluxConservingResampler` of specutils). Bad pixels take no part; a new pixel of which too little is
//! covered by good ones is missing.
//!
//! New pixels that share an old one are correlated. A likelihood that takes pixels for independent would
//! count such noise twice, so that the variance comes in two kinds ([`Variance`]).

use super::PixelGrid;
use super::grid::pixel_bounds;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Which variance a resampled pixel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variance {
    /// That of the pixel and its covariances with its neighbours together, which is what a feature wider
    /// than a pixel sees: fits that take pixels for independent have the right errors. On a finer grid it
    /// is larger than the scatter of the pixels.
    #[default]
    WithNeighbours,
    /// That of the pixel alone, Σ w² σ², as SpectRes and specutils give: the scatter of single pixels is
    /// right, and errors of fits are too small where pixels are correlated (by √2 on a grid of the same
    /// step, shifted by half a pixel).
    Alone,
}

/// How spectra are resampled.
#[derive(Debug, Clone)]
pub struct Resampler {
    grid: PixelGrid,
    variance: Variance,
    /// Part of a pixel that good pixels have to cover.
    least_coverage: f64,
}

/// A spectrum on the grid `[W]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// NaN where missing.
    pub flux: Vec<f64>,
    /// Inverse variance; 0 where missing.
    pub ivar: Vec<f64>,
    /// A further quantity (σ of the line spread), averaged likewise; empty where none was given.
    pub other: Vec<f64>,
}

impl Resampler {
    /// For a grid.
    pub fn new(grid: PixelGrid, variance: Variance, least_coverage: f64) -> Self {
        Self { grid, variance, least_coverage }
    }

    /// The grid.
    pub fn grid(&self) -> &PixelGrid {
        &self.grid
    }

    /// A spectrum of wavelengths (Å), flux densities and inverse variances `[n]`, whose wavelengths are
    /// divided by `factor` first (see [`super::Doppler`]): the flux density stays as it was observed. A
    /// pixel with a flux that is not finite, or an inverse variance that is not finite and positive, is
    /// bad. `other` is averaged with the same weights, or empty.
    ///
    /// # Errors
    /// When the wavelengths are not positive and rising.
    pub fn resample(&self, wavelength: &[f64], flux: &[f64], ivar: &[f64], other: &[f64], factor: f64) -> Result<Resampled> {
        let bounds = pixel_bounds(wavelength)?;
        Ok(self.resample_bounds(&bounds, flux, ivar, other, factor))
    }

    /// As [`Self::resample`], with the pixels' bounds as [`pixel_bounds`] gives them.
    pub fn resample_bounds(&self, bounds: &[(f64, f64)], flux: &[f64], ivar: &[f64], other: &[f64], factor: f64) -> Resampled {
        let w = self.grid.len();
        let mut resampled = Resampled { flux: vec![f64::NAN; w], ivar: vec![0.0; w], other: Vec::new() };
        if !other.is_empty() {
            resampled.other = vec![f64::NAN; w];
        }
        let mut first = 0;
        for (j, edge) in self.grid.edges().windows(2).enumerate() {
            let (low, high) = (edge[0] * factor, edge[1] * factor);
            while first < bounds.len() && bounds[first].1 <= low {
                first += 1;
            }
            let mut sums = Sums::default();
            for i in first..bounds.len() {
                let (start, end) = bounds[i];
                if start >= high {
                    break;
                }
                let overlap = end.min(high) - start.max(low);
                if overlap > 0.0 && ivar[i] > 0.0 && ivar[i].is_finite() && flux[i].is_finite() {
                    sums.add(overlap, end - start, flux[i], ivar[i], other.get(i).copied().unwrap_or(0.0));
                }
            }
            if sums.covered > 0.0 && sums.covered >= self.least_coverage * (high - low) * (1.0 - 1e-9) {
                resampled.flux[j] = sums.flux / sums.covered;
                let alone = sums.variance / sums.covered.powi(2);
                let variance = match self.variance {
                    Variance::Alone => alone,
                    Variance::WithNeighbours => alone * sums.correlation(),
                };
                resampled.ivar[j] = 1.0 / variance;
                if let Some(value) = resampled.other.get_mut(j) {
                    *value = sums.other / sums.covered;
                }
            }
        }
        resampled
    }
}

#[derive(Debug, Default)]
struct Sums {
    /// Σ o.
    covered: f64,
    /// Σ o f.
    flux: f64,
    /// Σ o² σ².
    variance: f64,
    /// Σ o².
    squares: f64,
    /// Σ o / δ with δ the width of the old pixel.
    pixels: f64,
    other: f64,
}

impl Sums {
    fn add(&mut self, overlap: f64, width: f64, flux: f64, ivar: f64, other: f64) {
        self.covered += overlap;
        self.flux += overlap * flux;
        self.variance += overlap * overlap / ivar;
        self.squares += overlap * overlap;
        self.pixels += overlap / width;
        self.other += overlap * other;
    }

    /// The sum of a pixel's covariances with all pixels over its variance. For old pixels of equal variance
    /// σ² it is exact: the sum is σ² / Σ(o/δ), and the variance σ² Σo² / (Σo)².
    fn correlation(&self) -> f64 {
        (self.covered.powi(2) / (self.pixels * self.squares)).max(1.0)
    }
}

#[cfg(test)]
mod tests;
