//! Spectra with known labels.

use super::labels::{LabelSpace, check_columns};
use crate::error::{Error, Result};
use ndarray::{Array2, Axis};

/// Spectra of N stars with known labels, on W pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledSpectra {
    /// `[N, L]`, in the units of the labels.
    pub labels: Array2<f64>,
    /// 1σ of the labels `[N, L]`, in their units: 0 where a label is exact, infinite where it is but a guess.
    /// None: all are exact.
    pub label_errors: Option<Array2<f64>>,
    /// Normalised flux `[N, W]`.
    pub flux: Array2<f32>,
    /// Inverse variance `[N, W]`; 0 where a pixel is missing, whatever its flux.
    pub inverse_variance: Array2<f32>,
}

impl LabelledSpectra {
    /// Number of stars.
    pub fn len(&self) -> usize {
        self.labels.nrows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stars named by `keep`.
    pub fn select(&self, keep: &[usize]) -> Self {
        Self {
            labels: self.labels.select(Axis(0), keep),
            label_errors: self.label_errors.as_ref().map(|errors| errors.select(Axis(0), keep)),
            flux: self.flux.select(Axis(0), keep),
            inverse_variance: self.inverse_variance.select(Axis(0), keep),
        }
    }

    /// Checks shapes, labels and errors. Fluxes that are not finite are missing pixels: their inverse
    /// variance must be zero.
    ///
    /// # Errors
    /// `Data`, naming the star and pixel.
    pub fn check(&self, place: &str, space: &LabelSpace, n_pixels: usize) -> Result<()> {
        check_columns(place, space.len(), self.labels.view())?;
        let expected = (self.labels.nrows(), n_pixels);
        for (name, found) in [("fluxes", self.flux.dim()), ("inverse variances", self.inverse_variance.dim())] {
            if found != expected {
                return Err(Error::data(place)
                    .found(format!("{name} {found:?}"))
                    .expected(format!("{expected:?} (stars, pixels)"))
                    .remedy("Give arrays of these shapes."));
            }
        }
        if let Some(errors) = &self.label_errors {
            if errors.dim() != self.labels.dim() {
                return Err(Error::data(place)
                    .found(format!("errors of labels {:?}", errors.dim()))
                    .expected(format!("{:?} (stars, labels)", self.labels.dim()))
                    .remedy("Give an error for every label."));
            }
            if let Some(((star, k), error)) = errors.indexed_iter().find(|(_, error)| error.is_nan() || **error < 0.0) {
                return Err(Error::data(format!("{place}, star {star}, error of label '{}'", space.names[k]))
                    .found(error.to_string())
                    .expected("a number that is not negative, or infinity where the label is not measured")
                    .remedy("Correct the error, or leave the star out."));
            }
        }
        let faulty = |((star, pixel), weight): ((usize, usize), &f32)| {
            let is_used = *weight > 0.0;
            (!weight.is_finite() || *weight < 0.0 || (is_used && !self.flux[[star, pixel]].is_finite())).then_some((star, pixel))
        };
        match self.inverse_variance.indexed_iter().find_map(faulty) {
            None => Ok(()),
            Some((star, pixel)) => Err(Error::data(format!("{place}, star {star}, pixel {pixel}"))
                .found(format!(
                    "flux {} with inverse variance {}",
                    self.flux[[star, pixel]],
                    self.inverse_variance[[star, pixel]]
                ))
                .expected("finite numbers, or an inverse variance of 0 for a missing pixel")),
        }
    }
}
