//! Flux and exact label gradients of a star.

use super::lines::{FIRST_RATIO, LABELS, Line, LineList, N_LABELS};
use crate::per_pixel::GradientLibrary;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};
use std::f64::consts::LN_10;

/// 5040 K/eV, of θ = 5040/T_eff.
const THETA: f64 = 5040.0;
/// θ₀, that of 5500 K.
const THETA_0: f64 = THETA / 5500.0;
/// log g at which ionic lines have their tabulated strength, and their slope.
const LOGG_0: f64 = 4.4;
const IONIC_SLOPE: f64 = -0.3;
/// Å of equivalent width in one unit of the curve of growth.
const WIDTH_SCALE: f64 = 0.2;
/// Lines reach this many standard deviations of the line spread.
const REACH: f64 = 5.0;

/// f = exp(−Σ w φ(λ)) over the lines of a list, with
///
/// log10 τ = a + \[X/H\] − (θ − θ₀)(χ − 3) − 0.3 (log g − 4.4) for ions, w = 0.2 Å · v ln(1 + 1.3 τ/v), v =
/// v_mic/(km/s),
///
/// φ a Gaussian of the resolution's width.
#[derive(Debug, Clone)]
pub struct Synthesis {
    list: LineList,
    lines: Vec<Line>,
    /// For every line, its first pixel and φ there and on the following ones, 1/Å.
    profiles: Vec<(usize, Vec<f64>)>,
}

impl Synthesis {
    /// Prepares the profiles of the lines.
    pub fn new(list: &LineList) -> Self {
        let lines = list.lines();
        let profiles = lines
            .iter()
            .map(|line| {
                let sigma = line.wavelength / list.resolution / (8.0 * 2_f64.ln()).sqrt();
                let pixel = |at: f64| ((at - list.start) / list.pixel).clamp(0.0, list.n_pixels as f64);
                let first = pixel(line.wavelength - REACH * sigma).ceil() as usize;
                let end = pixel(line.wavelength + REACH * sigma).ceil() as usize;
                let at = |i: usize| {
                    let x = (list.start + list.pixel * i as f64 - line.wavelength) / sigma;
                    (-0.5 * x * x).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt())
                };
                (first, (first..end).map(at).collect())
            })
            .collect();
        Self { list: list.clone(), lines, profiles }
    }

    /// The list that was asked for.
    pub fn list(&self) -> &LineList {
        &self.list
    }

    /// Normalised flux `[N, W]` at `labels [N, 15]`.
    pub fn flux(&self, labels: ArrayView2<f64>) -> Array2<f64> {
        let mut flux = Array2::zeros((labels.nrows(), self.list.n_pixels));
        for (labels, out) in labels.outer_iter().zip(flux.outer_iter_mut()) {
            self.star(&labels.to_vec(), out, None);
        }
        flux
    }

    /// Flux `[N, W]` and ∂flux/∂label `[N, 15, W]`.
    pub fn flux_and_gradient(&self, labels: ArrayView2<f64>) -> (Array2<f64>, Array3<f64>) {
        let (n, w) = (labels.nrows(), self.list.n_pixels);
        let (mut flux, mut gradient) = (Array2::zeros((n, w)), Array3::zeros((n, N_LABELS, w)));
        for ((labels, out), gradient) in labels.outer_iter().zip(flux.outer_iter_mut()).zip(gradient.axis_iter_mut(Axis(0))) {
            self.star(&labels.to_vec(), out, Some(gradient));
        }
        (flux, gradient)
    }

    /// The gradient library at reference `labels [N, 15]`; derivatives are exact, steps 0.
    pub fn library(&self, labels: ArrayView2<f64>) -> GradientLibrary {
        let (flux, gradient) = self.flux_and_gradient(labels);
        GradientLibrary {
            names: LABELS.iter().map(|(name, _)| (*name).into()).collect(),
            units: LABELS.iter().map(|(_, unit)| (*unit).into()).collect(),
            wavelength: self.list.wavelength(),
            resolution: self.list.resolution,
            labels: labels.to_owned(),
            flux: flux.mapv(|value| value as f32),
            gradient: gradient.mapv(|value| value as f32),
            steps: vec![0.0; N_LABELS],
            origin: format!("the line list of seed {} (strengths wrong by {} dex)", self.list.seed, self.list.strength_error),
        }
    }

    /// The same with central differences of these half-`steps [15]` for derivatives, as a library of a code
    /// without exact ones has them.
    pub fn library_of_differences(&self, labels: ArrayView2<f64>, steps: [f64; N_LABELS]) -> GradientLibrary {
        let mut library = self.library(labels);
        for (k, step) in steps.into_iter().enumerate() {
            let at = |sign: f64| {
                let mut shifted = labels.to_owned();
                shifted.column_mut(k).mapv_inplace(|value| value + sign * step);
                self.flux(shifted.view())
            };
            let difference = (at(1.0) - at(-1.0)) / (2.0 * step);
            library.gradient.index_axis_mut(Axis(1), k).assign(&difference.mapv(|value| value as f32));
        }
        library.steps = steps.to_vec();
        library
    }

    fn star(&self, labels: &[f64], mut flux: ArrayViewMut1<f64>, mut gradient: Option<ArrayViewMut2<f64>>) {
        let [teff, logg, v, feh] = [labels[0], labels[1], labels[2], labels[3]];
        for (line, (first, profile)) in self.lines.iter().zip(&self.profiles) {
            // Iron has no ratio.
            let ratio = FIRST_RATIO + line.element.saturating_sub(1);
            let abundance = if line.element == 0 { feh } else { feh + labels[ratio] };
            let gravity = if line.ionic { IONIC_SLOPE } else { 0.0 };
            let logarithm =
                line.strength + abundance - (THETA / teff - THETA_0) * (line.excitation - 3.0) + gravity * (logg - LOGG_0);
            let q = 1.3 * 10_f64.powf(logarithm) / v;
            let width = WIDTH_SCALE * v * q.ln_1p();
            let mut depth = flux.slice_mut(ndarray::s![*first..first + profile.len()]);
            depth.iter_mut().zip(profile).for_each(|(depth, phi)| *depth -= width * phi);
            let Some(gradient) = &mut gradient else { continue };
            // ∂w/∂log10 τ, and ∂w/∂v at the same τ.
            let growth = WIDTH_SCALE * v * LN_10 * q / (1.0 + q);
            let broadening = WIDTH_SCALE * (q.ln_1p() - q / (1.0 + q));
            let slopes = [
                (0, growth * (line.excitation - 3.0) * THETA / (teff * teff)),
                (1, growth * gravity),
                (2, broadening),
                (3, growth),
                (ratio, growth),
            ];
            for (label, slope) in &slopes[..if line.element == 0 { 4 } else { 5 }] {
                let mut row = gradient.slice_mut(ndarray::s![*label, *first..first + profile.len()]);
                row.iter_mut().zip(profile).for_each(|(row, phi)| *row -= slope * phi);
            }
        }
        flux.mapv_inplace(f64::exp);
        if let Some(mut gradient) = gradient {
            gradient.outer_iter_mut().for_each(|mut row| row *= &flux);
        }
    }
}
