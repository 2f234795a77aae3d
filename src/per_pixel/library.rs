//! A gradient library: spectra and their label gradients, computed by a synthesis code at reference labels.

use super::labels::{LabelSpace, canonical_name, check_columns, is_abundance_ratio};
use crate::error::{Error, Result};
use crate::unit;
use ndarray::{Array2, Array3, Axis, s};

/// Spread of a label over the references, relative to the width of the training's range, below which its
/// gradients are known along one line only.
const LITTLE_SPREAD: f64 = 0.08;
/// Correlation between an abundance ratio and another label over the references above which one stands for
/// the other.
const STRONG_CORRELATION: f64 = 0.8;
/// Relative difference between two resolutions that does not matter.
const SAME_RESOLUTION: f64 = 0.01;
/// Part of the training's range that references have to reach over.
const LITTLE_REACH: f64 = 0.6;
/// References are outside of the training's range when they are by more than this part of its width; …
const OUTSIDE: f64 = 0.1;
/// … more than this part of them are too many.
const MANY_OUTSIDE: f64 = 0.25;

/// Spectra and gradients at N reference points of L labels on W pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientLibrary {
    /// `[L]`, canonical names ([`canonical_name`]).
    pub names: Vec<String>,
    /// `[L]`.
    pub units: Vec<String>,
    /// `[W]`, vacuum Å, rising.
    pub wavelength: Vec<f64>,
    /// Resolving power λ/FWHM of the (Gaussian) line spread.
    pub resolution: f64,
    /// `[N, L]`, in `units`.
    pub labels: Array2<f64>,
    /// Continuum-normalised flux `[N, W]`.
    pub flux: Array2<f32>,
    /// ∂flux/∂label `[N, L, W]`, per unit of the label.
    pub gradient: Array3<f32>,
    /// Half-steps of the central differences `[L]`; 0 for exact derivatives.
    pub steps: Vec<f64>,
    /// Where the library comes from, for messages and provenance.
    pub origin: String,
}

impl GradientLibrary {
    /// Checks shapes, wavelengths and numbers.
    ///
    /// # Errors
    /// `Data`, naming the tensor and the place in it.
    pub fn check(&self) -> Result<()> {
        let (n, l, w) = (self.labels.nrows(), self.names.len(), self.wavelength.len());
        let at = |what: &str| format!("{}, {what}", self.origin);
        if n == 0 || l == 0 || w == 0 {
            return Err(Error::data(&self.origin)
                .found(format!("{n} references of {l} labels on {w} pixels"))
                .expected("at least one of each"));
        }
        let shapes = [
            ("label_units", vec![self.units.len()], vec![l]),
            ("steps", vec![self.steps.len()], vec![l]),
            ("flux", self.flux.shape().to_vec(), vec![n, w]),
            ("gradient", self.gradient.shape().to_vec(), vec![n, l, w]),
        ];
        for (name, found, expected) in shapes {
            if found != expected {
                return Err(Error::data(at(name))
                    .found(format!("shape {found:?}"))
                    .expected(format!("{expected:?} ({n} references, {l} labels, {w} pixels)")));
            }
        }
        check_columns(&at("labels"), l, self.labels.view())?;
        if let Some(k) = (1..l).find(|&k| self.names[..k].contains(&self.names[k])) {
            return Err(Error::data(at("label_names")).found(format!("'{}' twice", self.names[k])).expected("every label once"));
        }
        if let Some(i) = (1..w).find(|&i| !(self.wavelength[i] > self.wavelength[i - 1] && self.wavelength[i].is_finite())) {
            return Err(Error::data(at(&format!("wavelength of pixel {i}")))
                .found(format!("{} after {}", self.wavelength[i], self.wavelength[i - 1]))
                .expected("rising wavelengths in Å"));
        }
        if let Some(k) = (0..self.steps.len()).find(|&k| !(self.steps[k] >= 0.0 && self.steps[k].is_finite())) {
            return Err(Error::data(at("steps"))
                .found(format!("{} of '{}'", self.steps[k], self.names[k]))
                .expected("half-steps of central differences, 0 for exact derivatives"));
        }
        let not_finite = |name: &str, place: String, value: f32| {
            Err(Error::data(at(&format!("{name} {place}")))
                .found(value.to_string())
                .expected("a finite number")
                .remedy("Leave the reference out where the synthesis failed."))
        };
        if let Some((place, &value)) = self.flux.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return not_finite("flux", format!("{place:?}"), value);
        }
        if let Some((place, &value)) = self.gradient.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return not_finite("gradient", format!("{place:?}"), value);
        }
        if !(self.resolution > 0.0 && self.resolution.is_finite()) {
            return Err(Error::data(at("resolution"))
                .found(self.resolution.to_string())
                .expected("the resolving power λ/FWHM, above 0"));
        }
        Ok(())
    }

    /// The references named by `keep`.
    pub fn select(&self, keep: &[usize]) -> Self {
        Self {
            labels: self.labels.select(Axis(0), keep),
            flux: self.flux.select(Axis(0), keep),
            gradient: self.gradient.select(Axis(0), keep),
            ..self.clone()
        }
    }

    /// The same on some of its pixels.
    pub fn at_pixels(&self, pixels: &[usize]) -> Self {
        Self {
            wavelength: pixels.iter().map(|&pixel| self.wavelength[pixel]).collect(),
            flux: self.flux.select(Axis(1), pixels),
            gradient: self.gradient.select(Axis(2), pixels),
            ..self.clone()
        }
    }

    /// This library with the labels of a training, in their order, on its pixels; other labels of the library
    /// stay at their reference values and are left out.
    ///
    /// # Errors
    /// `Data` for labels that the library lacks, other units, pixels that it does not have and another
    /// resolution.
    pub fn for_training(&self, space: &LabelSpace, wavelength: &[f64], resolution: f64) -> Result<Self> {
        let mut columns = Vec::new();
        for (name, unit) in space.names.iter().zip(&space.units) {
            let Some(k) = self.names.iter().position(|own| *own == canonical_name(name)) else {
                return Err(Error::data(&self.origin)
                    .found(format!("gradients for {}", self.names.join(", ")))
                    .expected(format!("'{name}' among them, a label of the training"))
                    .remedy("Compute the gradient for it, or leave the label out of the training."));
            };
            if !(self.units[k].is_empty()
                || unit.is_empty()
                || unit::conversion(&self.units[k], unit).is_some_and(|way| way.is_identity()))
            {
                return Err(Error::data(format!("{}, label '{name}'", self.origin))
                    .found(format!("unit {}", self.units[k]))
                    .expected(format!("{unit}, that of the training"))
                    .remedy("Convert labels, steps and gradients (which are per unit of the label)."));
            }
            columns.push(k);
        }
        if !self.has_resolution(resolution) {
            return Err(Error::data(&self.origin)
                .found(format!("a resolution of {}", self.resolution))
                .expected(format!("{resolution}, that of the training"))
                .remedy(
                    "Smooth continuum and flux of the synthesis to the training's line spread, each apart, then divide; or have the library \
                     smoothed (`smooth_library = true` in the recipe).",
                ));
        }
        let pixels = self.pixels_for(wavelength)?;
        Ok(Self {
            names: space.names.clone(),
            units: space.units.clone(),
            wavelength: wavelength.to_vec(),
            labels: self.labels.select(Axis(1), &columns),
            flux: pixels.mean(&self.flux),
            gradient: pixels.mean(&self.gradient.select(Axis(1), &columns)),
            steps: columns.iter().map(|&k| self.steps[k]).collect(),
            ..self.clone()
        })
    }

    /// Its file and the number of its references, as models store it.
    pub fn described(&self) -> String {
        let name = self.origin.rsplit('/').next().unwrap_or_default();
        format!("{name}, {} references", self.labels.nrows())
    }

    /// Whether its resolving power is this one, to a hundredth.
    pub(super) fn has_resolution(&self, resolution: f64) -> bool {
        (self.resolution / resolution - 1.0).abs() <= SAME_RESOLUTION
    }

    /// What makes a training with these references cheat: an abundance ratio (or any label) with little
    /// spread, or one whose references run with another label. One sentence each, none for a good library.
    /// `space` has the training's ranges.
    pub fn weaknesses(&self, space: &LabelSpace) -> Vec<String> {
        let mut found = Vec::new();
        let columns: Vec<(usize, Vec<f64>)> = space
            .names
            .iter()
            .enumerate()
            .filter_map(|(k, name)| {
                let own = self.names.iter().position(|own| *own == canonical_name(name))?;
                Some((k, self.labels.column(own).to_vec()))
            })
            .collect();
        for (i, (k, column)) in columns.iter().enumerate() {
            let name = &space.names[*k];
            let spread = standard_deviation(column) / space.width(*k);
            if spread < LITTLE_SPREAD {
                found.push(format!(
                    "the references of {} spread in {name} by {:.3} of the training's range only (below {LITTLE_SPREAD})",
                    self.origin, spread
                ));
            }
            let (low, high) = (space.minimum[*k], space.maximum[*k]);
            let (first, last) = column.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
            let reach = ((last.min(high) - first.max(low)) / space.width(*k)).max(0.0);
            // Those with little spread, or without any, were named.
            if reach < LITTLE_REACH && spread >= LITTLE_SPREAD {
                found.push(format!(
                    "the references of {} are from {first:.6} to {last:.6} in {name}, {:.0} % of the training's range ({low:.6} to \
                     {high:.6})",
                    self.origin,
                    100.0 * reach
                ));
            }
            // Abundance ratios are scattered more widely on purpose.
            let margin = if is_abundance_ratio(name) { f64::INFINITY } else { OUTSIDE * space.width(*k) };
            let n_outside = column.iter().filter(|value| **value < low - margin || **value > high + margin).count();
            if n_outside as f64 > MANY_OUTSIDE * column.len() as f64 {
                found.push(format!(
                    "{n_outside} of {} references of {} are outside of the training's range in {name} ({low:.6} to {high:.6})",
                    column.len(),
                    self.origin
                ));
            }
            for (other, second) in &columns[..i] {
                let other = &space.names[*other];
                let r = correlation(column, second);
                if r.abs() > STRONG_CORRELATION && (is_abundance_ratio(name) || is_abundance_ratio(other)) {
                    found.push(format!(
                        "{name} and {other} run together over the references of {} (correlation {r:.2})",
                        self.origin
                    ));
                }
            }
        }
        found
    }

    /// Root mean square of the scaled gradient of every label of `space` over references and pixels `[L]`:
    /// per width of the training's range. For a library from [`Self::for_training`].
    pub fn gradient_rms(&self, space: &LabelSpace) -> Vec<f64> {
        (0..self.names.len())
            .map(|k| {
                let values = self.gradient.slice(s![.., k, ..]);
                let sum: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
                space.width(k) * (sum / values.len() as f64).sqrt()
            })
            .collect()
    }
}

fn standard_deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Pearson's; 0 where one of them does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let covariance = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / n;
    let scale = standard_deviation(a) * standard_deviation(b);
    if scale > 0.0 { covariance / scale } else { 0.0 }
}
