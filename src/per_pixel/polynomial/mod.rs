//! A polynomial in the labels for every pixel, f = Σₜ cₜ Πₖ xₖ^pₜₖ of scaled labels x: the second kind of a
//! model of pixels. Which products of powers there are is the same for all pixels and part of the model, so
//! that a quadratic model (The Cannon; Ness et al. 2015) is one too.
//!
//! The structured polynomial has what stellar spectra need: core labels (T_eff, log g, v_mic, \[Fe/H\]) to a
//! high degree, every abundance ratio times core labels to a lower one, its square, and no products of two
//! abundance ratios. Its coefficients solve linear equations, with the gradients of stellar physics in them
//! ([`train_polynomials`]): no iterations, no starts, one optimum. It is a model of its own, and an oracle of
//! networks.
//!
//! | file | concept |
//! |---|---|
//! | `terms` | products of powers, and their derivatives |
//! | `engine` | polynomials in single precision, lanes being pixels |
//! | `file` | named tensors |
//! | `options`, `closed_form`, `cost` | choices of a training, its equations, what they take |

mod closed_form;
mod cost;
mod engine;
mod file;
mod options;
mod terms;
#[cfg(test)]
mod tests;

pub use closed_form::{train_polynomials, train_polynomials_at};
pub use engine::PolynomialEngine;
pub use options::PolynomialOptions;
pub use terms::Terms;

use super::labels::LabelSpace;
use crate::error::{Error, Result};
use ndarray::Array2;

/// Polynomials for all pixels of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelPolynomials {
    pub space: LabelSpace,
    /// `[W]`, vacuum Å; empty where an imported model has none.
    pub wavelength: Vec<f64>,
    pub terms: Terms,
    /// `[W, T]`, of products of powers of the labels scaled to ±½.
    pub coefficients: Array2<f32>,
}

impl PixelPolynomials {
    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// `Model`.
    pub fn new(space: LabelSpace, wavelength: Vec<f64>, terms: Terms, coefficients: Array2<f32>) -> Result<Self> {
        let (w, t) = coefficients.dim();
        if w == 0 || t != terms.len() || terms.n_labels() != space.len() {
            return Err(Error::model("pixel polynomials")
                .found(format!("{t} coefficients on {w} pixels, terms of {} labels", terms.n_labels()))
                .expected(format!("{} coefficients on one pixel or more, terms of {} labels", terms.len(), space.len())));
        }
        if !(wavelength.is_empty() || wavelength.len() == w) {
            return Err(Error::model("wavelengths of pixel polynomials")
                .found(wavelength.len().to_string())
                .expected(format!("{w}, one a pixel")));
        }
        match coefficients.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(Self { space, wavelength, terms, coefficients }),
            Some(((pixel, _), value)) => Err(Error::model(format!("polynomial of pixel {pixel}"))
                .found(value.to_string())
                .expected("finite coefficients")
                .remedy("The training of this pixel failed: train it again, or leave it out.")),
        }
    }

    /// Number of pixels W.
    pub fn n_pixels(&self) -> usize {
        self.coefficients.nrows()
    }

    /// The reference evaluation in double precision: flux of a pixel and its gradient by the scaled labels
    /// `[L]`.
    pub fn evaluate(&self, pixel: usize, scaled: &[f64]) -> (f64, Vec<f64>) {
        let coefficients = self.coefficients.row(pixel);
        let sum = |products: &mut dyn Iterator<Item = (usize, f64)>| -> f64 {
            products.map(|(term, product)| f64::from(coefficients[term]) * product).sum()
        };
        let flux = sum(&mut self.terms.values(scaled).into_iter().enumerate());
        let slope = |k: usize| {
            let acting = self.terms.acting(k).iter().map(|&term| term as usize);
            sum(&mut acting.zip(self.terms.slopes(k, scaled)))
        };
        (flux, (0..scaled.len()).map(slope).collect())
    }
}
