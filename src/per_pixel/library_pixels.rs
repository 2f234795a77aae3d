//! The pixels of a gradient library that make up those of a training: the same ones, or the mean over those
//! that a wider one covers.

use super::library::GradientLibrary;
use crate::error::{Error, Result};
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

impl GradientLibrary {
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
