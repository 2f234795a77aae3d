//! Polynomials in single precision: all pixels share the products of powers and their derivatives, which are
//! computed once for a spectrum; a pixel's flux and derivatives are sums of them with its coefficients.
//!
//! Of the structured polynomial with four core labels and eleven ratios (466 terms) a flux takes 466
//! multiplications, and its fifteen derivatives 1 196.

use super::super::engine::PixelModel;
use super::super::labels::LabelSpace;
use super::super::pixel_map::{PixelMap, Places, Rows};
use super::{PixelPolynomials, Terms};
use crate::tensor::lanes::Block;
use std::ops::Range;

/// The engine of polynomials.
#[derive(Debug, Clone)]
pub struct PolynomialEngine {
    space: LabelSpace,
    n_pixels: usize,
    wavelength: Vec<f64>,
    terms: Terms,
    map: PixelMap,
}

impl PolynomialEngine {
    /// Packs the coefficients.
    pub fn new(polynomials: &PixelPolynomials) -> Self {
        let (w, t) = polynomials.coefficients.dim();
        Self {
            space: polynomials.space.clone(),
            n_pixels: w,
            wavelength: polynomials.wavelength.clone(),
            terms: polynomials.terms.clone(),
            map: PixelMap::new(w, t, |pixel, term| polynomials.coefficients[[pixel, term]]),
        }
    }

    /// Numbers of a spectrum that all pixels share: products, then their derivatives by every label.
    fn n_shared(&self, derivatives: bool) -> usize {
        let slopes = (0..self.space.len()).map(|k| self.terms.acting(k).len()).sum::<usize>();
        self.terms.len() + if derivatives { slopes } else { 0 }
    }
}

impl PixelModel for PolynomialEngine {
    fn space(&self) -> &LabelSpace {
        &self.space
    }

    fn n_pixels(&self) -> usize {
        self.n_pixels
    }

    fn wavelength(&self) -> &[f64] {
        &self.wavelength
    }

    fn shared(&self, scaled: &[f32], derivatives: bool) -> Vec<f32> {
        let l = self.space.len();
        let mut shared = Vec::with_capacity(scaled.len() / l * self.n_shared(derivatives));
        for labels in scaled.chunks_exact(l) {
            let at: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
            shared.extend(self.terms.values(&at).into_iter().map(|value| value as f32));
            if derivatives {
                (0..l).for_each(|k| shared.extend(self.terms.slopes(k, &at).map(|value| value as f32)));
            }
        }
        shared
    }

    fn evaluate(&self, blocks: Range<usize>, shared: &[f32], derivatives: bool, out: &mut [Block]) {
        let stride = self.n_shared(derivatives);
        let n_rows = if derivatives { 1 + self.space.len() } else { 1 };
        let rows = Rows { values: shared, n: shared.len() / stride, stride, first: 0 };
        self.map.apply(blocks.clone(), rows, None, out, Places { first: 0, stride: n_rows });
        let mut first = self.terms.len();
        for k in 0..n_rows - 1 {
            let acting = self.terms.acting(k);
            let places = Places { first: 1 + k, stride: n_rows };
            self.map.apply(blocks.clone(), Rows { first, ..rows }, Some(acting), out, places);
            first += acting.len();
        }
    }
}
