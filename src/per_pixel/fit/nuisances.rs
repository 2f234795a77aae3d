//! What is fitted with the labels: a velocity and a continuum.
//!
//! f(i) = (1 + Σ cₘ Tₘ(i)) · m(λᵢ/(1 + v/c)), with m the model between its pixels.

use super::interpolation::{BEFORE, Interpolation, TAPS};
use super::options::SpectrumFitOptions;
use crate::error::{Error, Result};
use crate::tensor::row_products::{Strip, WIDTH, strips};
use ndarray::{Array2, ArrayView2};

/// km/s.
const LIGHT: f64 = 299_792.458;
/// Part of a step by which the steps of a grid may differ.
const EVEN: f64 = 1e-3;
/// Coefficients of the continuum stay within this.
const LARGEST_COEFFICIENT: f64 = 0.5;

/// Steps of a grid.
#[derive(Debug, Clone, Copy)]
enum Steps {
    /// In ln λ.
    Logarithmic(f64),
    /// In Å.
    Linear(f64),
}

/// Shifted grids.
#[derive(Debug, Clone)]
struct Shift {
    wavelength: Vec<f64>,
    steps: Steps,
    interpolation: Interpolation,
    /// km/s.
    largest: f64,
}

/// Parameters beside the labels, in their order: the velocity, the coefficients of the continuum.
#[derive(Debug, Clone)]
pub(super) struct Nuisances {
    n_pixels: usize,
    shift: Option<Shift>,
    /// Tₘ(i) `[M][W]`.
    polynomials: Vec<Vec<f32>>,
}

impl Nuisances {
    /// Those that the options ask for.
    ///
    /// # Errors
    /// When a velocity is to be fitted on a grid that is neither even in λ nor in ln λ.
    pub fn new(options: &SpectrumFitOptions, wavelength: &[f64], n_pixels: usize) -> Result<Self> {
        let shift = match options.velocity {
            true => Some(Shift::new(wavelength, options.largest_velocity)?),
            false => None,
        };
        let x = |i: usize| 2.0 * i as f64 / (n_pixels.max(2) - 1) as f64 - 1.0;
        let polynomial = |m: usize| (0..n_pixels).map(|i| (m as f64 * x(i).clamp(-1.0, 1.0).acos()).cos() as f32).collect();
        Ok(Self { n_pixels, shift, polynomials: (0..options.continuum_terms).map(polynomial).collect() })
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        usize::from(self.shift.is_some()) + self.polynomials.len()
    }

    /// Names and units.
    pub fn names(&self) -> Vec<(String, &'static str)> {
        let velocity = self.shift.iter().map(|_| ("velocity_shift".to_owned(), "km.s**-1"));
        velocity.chain((0..self.polynomials.len()).map(|m| (format!("continuum_{m}"), ""))).collect()
    }

    /// How far a parameter may go, in its unit `[E]`.
    pub fn limits(&self) -> Vec<f64> {
        let velocity = self.shift.iter().map(|shift| shift.largest);
        velocity.chain(self.polynomials.iter().map(|_| LARGEST_COEFFICIENT)).collect()
    }

    /// Pixels at either end, and around pixels without a model, that shifted spectra do not have.
    pub fn reach(&self) -> usize {
        self.shift.as_ref().map_or(0, Shift::reach)
    }

    /// Rows of a model, flux and derivatives `[1 + L][strips]`, as an observed spectrum has them with the
    /// parameters `values [E]` (of their limits): `[1 + L + E][strips]`.
    pub fn apply(&self, rows: &[Strip], values: &[f64], out: &mut Vec<Strip>) {
        let stride = strips(self.n_pixels);
        let n_rows = rows.len() / stride;
        out.clear();
        out.resize((n_rows + self.len()) * stride, Strip::default());
        let (first, coefficients) = values.split_at(usize::from(self.shift.is_some()));
        let of_row = |row: usize| &flat(rows)[row * stride * WIDTH..][..self.n_pixels];
        let continuum: Vec<f32> = (0..self.n_pixels)
            .map(|i| {
                1.0 + self
                    .polynomials
                    .iter()
                    .zip(coefficients)
                    .map(|(row, c)| row[i] * (LARGEST_COEFFICIENT * c) as f32)
                    .sum::<f32>()
            })
            .collect();
        let flat_out = flat_mut(out);
        let width = stride * WIDTH;
        match &self.shift {
            None => (0..n_rows).for_each(|row| flat_out[row * width..][..self.n_pixels].copy_from_slice(of_row(row))),
            Some(shift) => {
                let velocity = first[0] * shift.largest;
                for i in 0..self.n_pixels {
                    let (displacement, slope) = shift.displacement(i, velocity);
                    let whole = displacement.floor();
                    let start = i as isize + whole as isize - BEFORE as isize;
                    // Beyond the ends there is nothing, and nothing is asked for ([`Self::reach`]).
                    let Some(start) = usize::try_from(start).ok().filter(|start| start + TAPS <= self.n_pixels) else { continue };
                    let (shares, slopes) = shift.interpolation.at(displacement - whole);
                    let (shares, slopes) = (shares.map(|share| share as f32), slopes.map(|share| share as f32));
                    let sum = |shares: &[f32; TAPS], row: usize| -> f32 {
                        of_row(row)[start..start + TAPS].iter().zip(shares).map(|(value, share)| value * share).sum()
                    };
                    for row in 0..n_rows {
                        flat_out[row * width + i] = sum(&shares, row);
                    }
                    flat_out[n_rows * width + i] = (slope * shift.largest) as f32 * sum(&slopes, 0);
                }
            }
        }
        let after = n_rows + first.len();
        for (m, polynomial) in self.polynomials.iter().enumerate() {
            for i in 0..self.n_pixels {
                flat_out[(after + m) * width + i] = LARGEST_COEFFICIENT as f32 * polynomial[i] * flat_out[i];
            }
        }
        if !self.polynomials.is_empty() {
            for row in flat_out[..after * width].chunks_exact_mut(width) {
                row.iter_mut().zip(&continuum).for_each(|(value, continuum)| *value *= continuum);
            }
        }
    }

    /// Fluxes `[N, W]` of a model with the parameters `values [N, E]` (in their units); NaN where a shifted
    /// spectrum has no flux.
    pub fn fluxes(&self, flux: ArrayView2<f32>, values: ArrayView2<f64>) -> Array2<f32> {
        let limits = self.limits();
        let mut found = Array2::from_elem(flux.dim(), f32::NAN);
        let mut rows = vec![Strip::default(); strips(self.n_pixels)];
        let mut out = Vec::new();
        for (i, row) in flux.outer_iter().enumerate() {
            flat_mut(&mut rows)[..self.n_pixels].iter_mut().zip(row).for_each(|(to, from)| *to = *from);
            let scaled: Vec<f64> = values.row(i).iter().zip(&limits).map(|(value, limit)| value / limit).collect();
            self.apply(&rows, &scaled, &mut out);
            for w in self.reach()..self.n_pixels.saturating_sub(self.reach()) {
                found[[i, w]] = flat(&out)[w];
            }
        }
        found
    }
}

impl Shift {
    fn new(wavelength: &[f64], largest: f64) -> Result<Self> {
        let even = |of: fn(f64) -> f64| {
            let n = wavelength.len();
            let step = (of(wavelength[n - 1]) - of(wavelength[0])) / (n - 1) as f64;
            let is_even = |pair: &[f64]| ((of(pair[1]) - of(pair[0])) / step - 1.0).abs() < EVEN;
            (step > 0.0 && wavelength.windows(2).all(is_even)).then_some(step)
        };
        let steps = match wavelength.len() {
            0 | 1 => None,
            _ => even(f64::ln).map(Steps::Logarithmic).or_else(|| even(|x| x).map(Steps::Linear)),
        };
        let Some(steps) = steps else {
            return Err(Error::usage("fit option velocity")
                .found(format!("a grid of {} pixels with steps of several sizes, or without wavelengths", wavelength.len()))
                .expected("steps that are the same in wavelength or in its logarithm")
                .remedy("Train on spectra that are prepared onto one grid, or leave the velocity out."));
        };
        Ok(Self { wavelength: wavelength.to_vec(), steps, interpolation: Interpolation::new(), largest })
    }

    /// Pixels from pixel i to the place in the model that is seen there, and its derivative by the velocity.
    fn displacement(&self, i: usize, velocity: f64) -> (f64, f64) {
        let factor = 1.0 + velocity / LIGHT;
        match self.steps {
            Steps::Logarithmic(step) => (-factor.ln() / step, -1.0 / (LIGHT * factor * step)),
            Steps::Linear(step) => {
                let pixels = self.wavelength[i] / step;
                (pixels * (1.0 / factor - 1.0), -pixels / (LIGHT * factor * factor))
            }
        }
    }

    fn reach(&self) -> usize {
        let last = self.wavelength.len() - 1;
        let far = self.displacement(last, self.largest).0.abs().max(self.displacement(last, -self.largest).0.abs());
        far.ceil() as usize + TAPS / 2
    }
}

/// The floats of strips.
fn flat(strips: &[Strip]) -> &[f32] {
    // SAFETY: a `Strip` is sixteen floats without padding.
    unsafe { std::slice::from_raw_parts(strips.as_ptr().cast(), WIDTH * strips.len()) }
}

/// As [`flat`].
fn flat_mut(strips: &mut [Strip]) -> &mut [f32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(strips.as_mut_ptr().cast(), WIDTH * strips.len()) }
}
