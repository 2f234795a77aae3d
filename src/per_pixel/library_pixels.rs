//! The pixels of a gradient library that make up those of a training: the same ones, the mean over those that
//! a wider one covers, or those within a line spread that is broader than the library's.

use super::library::GradientLibrary;
use crate::error::{Error, Result};
use crate::spectrum::FWHM_OF_SIGMA;
use ndarray::{Array, Axis, RemoveAxis};

/// Part of a pixel by which two grids may differ.
const SAME_PIXEL: f64 = 0.05;
/// Pixels of the training that are wider than the library's by more than this are means over several of
/// them.
const WIDER: f64 = 1.25;

/// Weights of the library's pixels for each of the training's; they sum to 1.
pub(super) struct PixelMeans(Vec<Vec<(usize, f32)>>);

impl PixelMeans {
    /// Along the last axis.
    pub fn mean<D: RemoveAxis>(&self, values: &Array<f32, D>) -> Array<f32, D> {
        let mut shape = values.raw_dim();
        let last = values.ndim() - 1;
        shape[last] = self.0.len();
        let mut found = Array::zeros(shape);
        for (mut to, from) in found.lanes_mut(Axis(last)).into_iter().zip(values.lanes(Axis(last))) {
            for (value, weights) in to.iter_mut().zip(&self.0) {
                *value = weights.iter().map(|(pixel, weight)| weight * from[*pixel]).sum();
            }
        }
        found
    }
}

/// Widths of pixels by their neighbours: the nearer one's distance, as grids may have gaps.
fn widths(wavelength: &[f64]) -> Vec<f64> {
    let gap = |i: usize| (wavelength[i + 1] - wavelength[i]).abs();
    let last = wavelength.len().saturating_sub(1);
    let of = |i: usize| match (i > 0, i < last) {
        (true, true) => gap(i - 1).min(gap(i)),
        (false, true) => gap(i),
        (true, false) => gap(i - 1),
        (false, false) => f64::NAN,
    };
    (0..wavelength.len()).map(of).collect()
}

/// Standard deviations of the line spread beyond which there is nothing.
const REACH: f64 = 5.0;

impl GradientLibrary {
    /// The same library with the line spread of a lower resolving power (λ/FWHM, Gaussian): flux and
    /// gradients are means of the pixels with weights exp(−Δλ²/2σ²), σ² that of the lower resolution less its
    /// own. As it is where both are the same.
    ///
    /// Lines are smoothed after the division by the continuum, which is right where this changes little over
    /// the line spread; at the ends of the library, and of its gaps, means are of what there is.
    ///
    /// # Errors
    /// `Data` for a resolution above its own.
    pub fn smoothed_to(&self, resolution: f64) -> Result<Self> {
        if self.has_resolution(resolution) {
            return Ok(self.clone());
        }
        if resolution > self.resolution {
            return Err(Error::data(&self.origin)
                .found(format!("a resolution of {}", self.resolution))
                .expected(format!("{resolution} of the training, or more, from which it can be smoothed"))
                .remedy("Compute the library with a narrower line spread."));
        }
        let width = (resolution.powi(-2) - self.resolution.powi(-2)).sqrt() / FWHM_OF_SIGMA;
        let own = widths(&self.wavelength);
        let of_pixel = |&at: &f64| {
            let sigma = width * at;
            let reach = REACH * sigma;
            let first = self.wavelength.partition_point(|&other| other < at - reach);
            let last = self.wavelength.partition_point(|&other| other <= at + reach);
            let share = |pixel: usize| {
                let width = if own[pixel].is_finite() { own[pixel] } else { 1.0 };
                (pixel, (width * (-0.5 * ((self.wavelength[pixel] - at) / sigma).powi(2)).exp()) as f32)
            };
            let shares: Vec<(usize, f32)> = (first..last).map(share).collect();
            let total: f32 = shares.iter().map(|(_, share)| share).sum();
            shares.into_iter().map(|(pixel, share)| (pixel, share / total)).collect()
        };
        let pixels = PixelMeans(self.wavelength.iter().map(of_pixel).collect());
        let (flux, gradient) = (pixels.mean(&self.flux), pixels.mean(&self.gradient));
        Ok(Self { flux, gradient, resolution, ..self.clone() })
    }

    /// What makes up the pixels of a training at `wavelength` (vacuum Å).
    ///
    /// # Errors
    /// `Data` for pixels that the library does not have, or does not cover.
    pub(super) fn pixels_for(&self, wavelength: &[f64]) -> Result<PixelMeans> {
        let own = widths(&self.wavelength);
        let theirs = widths(wavelength);
        let nearest: Vec<usize> = wavelength.iter().map(|&at| self.nearest(at)).collect();
        let mut ratios: Vec<f64> = nearest.iter().zip(&theirs).map(|(&pixel, width)| width / own[pixel]).collect();
        ratios.retain(|ratio| ratio.is_finite());
        let ratio = crate::statistics::median(&ratios);
        if ratio.is_nan() || ratio <= WIDER {
            let sampled = |(&at, &pixel): (&f64, &usize)| {
                let width = if own[pixel].is_finite() { own[pixel] } else { f64::MIN_POSITIVE };
                if (self.wavelength[pixel] - at).abs() <= SAME_PIXEL * width {
                    return Ok(vec![(pixel, 1.0)]);
                }
                Err(self.without(at, pixel))
            };
            return Ok(PixelMeans(wavelength.iter().zip(&nearest).map(sampled).collect::<Result<_>>()?));
        }
        tracing::info!(
            "pixels of the training are {ratio:.2} times as wide as those of {}: flux and gradients are means over them",
            self.origin
        );
        let mean = |(i, &at): (usize, &f64)| {
            let width = if theirs[i].is_finite() { theirs[i] } else { ratio * own[nearest[i]] };
            let (low, high) = (at - 0.5 * width, at + 0.5 * width);
            let overlap = |pixel: usize| {
                let half = 0.5 * own[pixel];
                ((self.wavelength[pixel] + half).min(high) - (self.wavelength[pixel] - half).max(low)).max(0.0)
            };
            let first = self.wavelength.partition_point(|own| *own < low - width);
            let last = self.wavelength.partition_point(|own| *own <= high + width);
            let parts: Vec<(usize, f64)> =
                (first..last).map(|pixel| (pixel, overlap(pixel))).filter(|(_, part)| *part > 0.0).collect();
            let covered: f64 = parts.iter().map(|(_, part)| part).sum();
            if (covered / width - 1.0).abs() > SAME_PIXEL {
                return Err(self.without(at, nearest[i]));
            }
            Ok(parts.into_iter().map(|(pixel, part)| (pixel, (part / covered) as f32)).collect())
        };
        Ok(PixelMeans(wavelength.iter().enumerate().map(mean).collect::<Result<_>>()?))
    }

    fn nearest(&self, wavelength: f64) -> usize {
        let after = self.wavelength.partition_point(|own| *own < wavelength);
        let near = [after.saturating_sub(1), after.min(self.wavelength.len() - 1)];
        let distance = |i: usize| (self.wavelength[i] - wavelength).abs();
        if distance(near[0]) < distance(near[1]) { near[0] } else { near[1] }
    }

    fn without(&self, at: f64, nearest: usize) -> Error {
        let (first, last) = (self.wavelength[0], self.wavelength[self.wavelength.len() - 1]);
        Error::data(&self.origin)
            .found(format!("pixels from {first:.2} to {last:.2} Å, the nearest at {:.3}", self.wavelength[nearest]))
            .expected(format!("some that make up that at {at:.3} Å, a pixel of the training"))
            .remedy("Resample the library onto the training's grid (vacuum Å), or train on the pixels that it has.")
    }
}
