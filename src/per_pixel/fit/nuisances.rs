//! What is fitted with the labels: a broadening, a velocity and a continuum.
//!
//! f(i) = (1 + Σ cₘ Tₘ(i)) · m(λᵢ/(1 + v/c)), with m the broadened model between its pixels.
//!
//! Parameters are linear in what the search moves, within ±1. That of a broadening is the square of its
//! velocity, by which a spectrum's derivative does not vanish at zero; zero is a bound.

use super::broadening::Broadening;
use super::interpolation::{BEFORE, Interpolation, TAPS};
use super::options::SpectrumFitOptions;
use super::velocity_starts::VelocityStarts;
use super::windows::is_outside;
use crate::error::{Error, Result};
use crate::tensor::row_products::{Strip, WIDTH, strips};
use ndarray::{Array2, ArrayView2};

/// km/s.
const LIGHT: f64 = 299_792.458;
/// Part of a step by which the steps of a grid may differ.
const EVEN: f64 = 1e-3;
/// Coefficients of the continuum stay within this.
const LARGEST_COEFFICIENT: f64 = 0.5;

/// The column of a shift, what follows the name of a broadening, and what precedes the order of a term of the
/// continuum.
const SHIFT: &str = "velocity_shift";
const SQUARED: &str = "_squared";
const CONTINUUM: &str = "continuum_";

/// Whether a catalogue's column is that of a parameter which fits may have beside the labels.
pub fn is_beside_labels(column: &str) -> bool {
    let is_broadening = column.strip_suffix(SQUARED).is_some_and(|of| [ROTATION.name, GAUSSIAN.name].contains(&of));
    let is_continuum = column.strip_prefix(CONTINUUM).is_some_and(|order| order.parse::<usize>().is_ok());
    column == SHIFT || is_broadening || is_continuum || is_outside(column)
}

/// Steps of a grid.
#[derive(Debug, Clone, Copy)]
enum Steps {
    /// In ln λ.
    Logarithmic(f64),
    /// In Å.
    Linear(f64),
}

/// An even grid.
#[derive(Debug, Clone)]
struct EvenGrid {
    wavelength: Vec<f64>,
    steps: Steps,
}

/// Shifted grids.
#[derive(Debug, Clone)]
struct Shift {
    grid: EvenGrid,
    interpolation: Interpolation,
    /// km/s.
    largest: f64,
}

/// A parameter beside the labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Nuisance {
    /// Of its column.
    pub name: String,
    pub unit: String,
    /// What it is, for catalogues.
    pub description: String,
    /// What it is the square of, where it is one.
    pub square_of: Option<Velocity>,
    /// The option of fits that asks for it.
    pub option: &'static str,
    /// The option that sets its bounds; `None` where these are fixed.
    pub largest: Option<&'static str>,
}

impl Nuisance {
    /// The columns that catalogues have of it: value and error, and those of the velocity whose square it is.
    pub fn columns(&self) -> Vec<String> {
        let of = |name: &str, endings: &[&str]| endings.iter().map(|ending| format!("{name}{ending}")).collect::<Vec<_>>();
        let mut found = of(&self.name, &["", "_error"]);
        found.extend(self.square_of.iter().flat_map(|velocity| of(velocity.name, &["", "_error", "_upper", "_at_zero"])));
        found
    }

    /// What to do about values beyond the bounds.
    pub(super) fn widened(&self) -> String {
        match self.largest {
            Some(option) => format!("Raise the fit option {option}, or leave out what is beyond it."),
            None => "Leave out what is beyond.".into(),
        }
    }
}

/// The velocity of a broadening, whose square is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Velocity {
    /// Of its column.
    pub name: &'static str,
    pub description: &'static str,
    pub ucd: &'static str,
}

const ROTATION: Velocity =
    Velocity { name: "rotation", description: "projected rotational velocity v sin i", ucd: "phys.veloc.rotat" };
const GAUSSIAN: Velocity = Velocity {
    name: "broadening",
    description: "standard deviation of the Gaussian that broadens the model's lines",
    ucd: "phys.veloc.dispersion",
};
/// Parts of the largest velocity of a broadening among which a fit begins.
const FIRST_PARTS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

/// The square of a velocity as the search has it, for a part of the largest.
fn first_scaled(part: f64) -> f64 {
    2.0 * part * part - 1.0
}

/// The square of a velocity that the search has so.
fn squared(largest: f64, scaled: f64) -> f64 {
    0.5 * largest.powi(2) * (1.0 + scaled)
}

/// Parameters beside the labels, in their order: the square of a broadening, the velocity, the coefficients
/// of the continuum.
#[derive(Debug, Clone)]
pub(super) struct Nuisances {
    n_pixels: usize,
    broadening: Option<Broadening>,
    shift: Option<Shift>,
    /// Tₘ(i) `[M][W]`.
    polynomials: Vec<Vec<f32>>,
}

impl Nuisances {
    /// Those that the options ask for.
    ///
    /// # Errors
    /// When a broadening or a velocity is to be fitted on a grid that is neither even in λ nor in ln λ, or
    /// that is too short for it.
    pub fn new(options: &SpectrumFitOptions, wavelength: &[f64], n_pixels: usize) -> Result<Self> {
        let kind = options.broadened();
        let grid = kind.map(|(name, _)| EvenGrid::new(name, wavelength)).transpose()?;
        let shift = match options.velocity {
            true => Some(Shift::new(wavelength, options.largest_velocity)?),
            false => None,
        };
        let of_shift = shift.as_ref().map_or(0, Shift::reach);
        let too_far = |of_broadening: usize| {
            let velocity = ("velocity", options.largest_velocity);
            let (option, largest) = kind.filter(|_| of_broadening >= of_shift).unwrap_or(velocity);
            let reach = of_broadening.saturating_add(of_shift);
            Error::usage(format!("fit option {option}"))
                .found(format!("{largest} km/s at most, for which {reach} pixels at either end take no part, of {n_pixels}"))
                .expected("pixels that are left between them")
                .remedy(format!("Lower largest_{option}."))
        };
        let broadening = match (kind, grid) {
            (Some((_, largest)), Some(grid)) => {
                let limb_darkening = options.rotation.then_some(options.limb_darkening);
                let is_even = matches!(grid.steps, Steps::Logarithmic(_));
                let found = Broadening::new(limb_darkening, largest, n_pixels, is_even, |i| grid.pixels_of_velocity(i));
                let mut found = found.map_err(too_far)?;
                found.remember(FIRST_PARTS.iter().map(|part| squared(largest, first_scaled(*part))));
                Some(found)
            }
            _ => None,
        };
        let x = |i: usize| 2.0 * i as f64 / (n_pixels.max(2) - 1) as f64 - 1.0;
        let polynomial = |m: usize| (0..n_pixels).map(|i| (m as f64 * x(i).clamp(-1.0, 1.0).acos()).cos() as f32).collect();
        let polynomials = (0..options.continuum_terms).map(polynomial).collect();
        let found = Self { n_pixels, broadening, shift, polynomials };
        match 2 * found.reach() >= n_pixels {
            true => Err(too_far(found.reach() - of_shift)),
            false => Ok(found),
        }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.n_broadenings() + usize::from(self.shift.is_some()) + self.polynomials.len()
    }

    fn n_broadenings(&self) -> usize {
        usize::from(self.broadening.is_some())
    }

    /// Names and units.
    pub fn names(&self) -> Vec<Nuisance> {
        let broadening = self.broadening.iter().map(|broadening| {
            let (of, largest) = match broadening.is_rotation() {
                true => (ROTATION, "largest_rotation"),
                false => (GAUSSIAN, "largest_broadening"),
            };
            Nuisance {
                name: format!("{}{SQUARED}", of.name),
                unit: "km**2.s**-2".into(),
                description: format!("Square of the {}; zero is a bound of the fit", of.description),
                square_of: Some(of),
                option: of.name,
                largest: Some(largest),
            }
        });
        let velocity = self.shift.iter().map(|_| Nuisance {
            name: SHIFT.into(),
            unit: "km.s**-1".into(),
            description: "Velocity beyond that which the spectrum was freed of, positive receding".into(),
            square_of: None,
            option: "velocity",
            largest: Some("largest_velocity"),
        });
        let continuum = (0..self.polynomials.len()).map(|order| Nuisance {
            name: format!("{CONTINUUM}{order}"),
            unit: String::new(),
            description: format!(
                "Coefficient of the Chebyshev polynomial of order {order} over the grid in the fitted continuum"
            ),
            square_of: None,
            option: "continuum_terms",
            largest: None,
        });
        broadening.chain(velocity).chain(continuum).collect()
    }

    /// Values in the parameters' units where the search has 0 and how many of them it has as 1, `[E]`.
    pub fn scales(&self) -> Vec<[f64; 2]> {
        let broadening = self.broadening.iter().map(|broadening| [0.5 * broadening.largest.powi(2); 2]);
        let velocity = self.shift.iter().map(|shift| [0.0, shift.largest]);
        broadening.chain(velocity).chain(self.polynomials.iter().map(|_| [0.0, LARGEST_COEFFICIENT])).collect()
    }

    /// Whether a parameter is at a bound beyond which there is nothing: no broadening.
    pub fn is_none(&self, parameter: usize, scaled: f64) -> bool {
        parameter < self.n_broadenings() && scaled < 0.0
    }

    /// As the search has it.
    pub fn scaled(&self, values: impl IntoIterator<Item = f64>) -> Vec<f64> {
        values.into_iter().zip(self.scales()).map(|(value, [centre, width])| (value - centre) / width).collect()
    }

    /// Velocities among which a search may begin.
    pub fn velocity_starts(&self) -> Option<VelocityStarts> {
        let shift = self.shift.as_ref()?;
        Some(VelocityStarts::new(self.n_pixels, |i, part| shift.displacement(i, part * shift.largest).0))
    }

    /// Where a search may begin `[S][E]`: among broadenings from little to much, with a velocity as a part of
    /// the largest.
    pub fn starts(&self, velocity: f64) -> Vec<Vec<f64>> {
        let start = |first: Option<f64>| {
            let mut start = vec![0.0; self.len()];
            if self.shift.is_some() {
                start[self.n_broadenings()] = velocity;
            }
            first.into_iter().for_each(|part| start[0] = first_scaled(part));
            start
        };
        match self.broadening {
            None => vec![start(None)],
            Some(_) => FIRST_PARTS.iter().map(|part| start(Some(*part))).collect(),
        }
    }

    /// Pixels at either end, and around pixels without a model, that broadened and shifted spectra do not
    /// have.
    pub fn reach(&self) -> usize {
        self.broadening.as_ref().map_or(0, Broadening::reach) + self.shift.as_ref().map_or(0, Shift::reach)
    }

    /// Rows of a model, flux and derivatives `[1 + L][strips]`, as an observed spectrum has them with the
    /// parameters `values [E]` (as the search has them): `[1 + L + E][strips]`. The rows are lost.
    pub fn apply(&self, rows: &mut Vec<Strip>, values: &[f64], out: &mut Vec<Strip>) {
        let stride = strips(self.n_pixels);
        let (broadenings, values) = values.split_at(self.n_broadenings());
        if let (Some(broadening), [scaled]) = (&self.broadening, broadenings) {
            let n_rows = rows.len() / stride;
            rows.resize((n_rows + 1) * stride, Strip::default());
            let width = stride * WIDTH;
            let (rows, slope) = flat_mut(rows).split_at_mut(n_rows * width);
            let half = 0.5 * broadening.largest.powi(2);
            broadening.apply(rows, slope, [self.n_pixels, width], squared(broadening.largest, *scaled));
            slope.iter_mut().for_each(|slope| *slope *= half as f32);
        }
        let rows = &*rows;
        let n_rows = rows.len() / stride;
        out.clear();
        out.resize((n_rows + values.len()) * stride, Strip::default());
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
    /// spectrum has no flux, and where a parameter is NaN.
    pub fn fluxes(&self, flux: ArrayView2<f32>, values: ArrayView2<f64>) -> Array2<f32> {
        let mut found = Array2::from_elem(flux.dim(), f32::NAN);
        let mut rows = vec![Strip::default(); strips(self.n_pixels)];
        let mut out = Vec::new();
        for (i, row) in flux.outer_iter().enumerate().filter(|(i, _)| values.row(*i).iter().all(|value| !value.is_nan())) {
            rows.truncate(strips(self.n_pixels));
            flat_mut(&mut rows)[..self.n_pixels].iter_mut().zip(row).for_each(|(to, from)| *to = *from);
            self.apply(&mut rows, &self.scaled(values.row(i).iter().copied()), &mut out);
            for w in self.reach()..self.n_pixels.saturating_sub(self.reach()) {
                found[[i, w]] = flat(&out)[w];
            }
        }
        found
    }
}

impl EvenGrid {
    /// For a fit option.
    fn new(option: &str, wavelength: &[f64]) -> Result<Self> {
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
        let falls = |pair: &[f64]| pair[1] < pair[0];
        if wavelength.len() > 1 && wavelength.windows(2).all(falls) {
            return Err(Error::usage(format!("fit option {option}"))
                .found(format!("wavelengths that fall, from {} to {} Å", wavelength[0], wavelength[wavelength.len() - 1]))
                .expected("spectra in the order of rising wavelengths")
                .remedy("Turn the spectra of the training and those to be fitted around, or leave the option out."));
        }
        let Some(steps) = steps else {
            return Err(Error::usage(format!("fit option {option}"))
                .found(format!("a grid of {} pixels with steps of several sizes, or without wavelengths", wavelength.len()))
                .expected("steps that are the same in wavelength or in its logarithm")
                .remedy("Train on spectra that are prepared onto one grid, or leave the option out."));
        };
        Ok(Self { wavelength: wavelength.to_vec(), steps })
    }

    /// Pixels of a km/s at pixel i, which may be beyond the last.
    fn pixels_of_velocity(&self, i: usize) -> f64 {
        match self.steps {
            Steps::Logarithmic(step) => 1.0 / (LIGHT * step),
            Steps::Linear(step) => (self.wavelength[0] / step + i as f64) / LIGHT,
        }
    }
}

impl Shift {
    fn new(wavelength: &[f64], largest: f64) -> Result<Self> {
        Ok(Self { grid: EvenGrid::new("velocity", wavelength)?, interpolation: Interpolation::new(), largest })
    }

    /// Pixels from pixel i to the place in the model that is seen there, and its derivative by the velocity.
    fn displacement(&self, i: usize, velocity: f64) -> (f64, f64) {
        let factor = 1.0 + velocity / LIGHT;
        match self.grid.steps {
            Steps::Logarithmic(step) => (-factor.ln() / step, -1.0 / (LIGHT * factor * step)),
            Steps::Linear(step) => {
                let pixels = self.grid.wavelength[i] / step;
                (pixels * (1.0 / factor - 1.0), -pixels / (LIGHT * factor * factor))
            }
        }
    }

    fn reach(&self) -> usize {
        let last = self.grid.wavelength.len() - 1;
        let far = self.displacement(last, self.largest).0.abs().max(self.displacement(last, -self.largest).0.abs());
        far.ceil() as usize + TAPS / 2
    }
}

/// The floats of strips.
pub(super) fn flat(strips: &[Strip]) -> &[f32] {
    // SAFETY: a `Strip` is sixteen floats without padding.
    unsafe { std::slice::from_raw_parts(strips.as_ptr().cast(), WIDTH * strips.len()) }
}

/// As [`flat`].
pub(super) fn flat_mut(strips: &mut [Strip]) -> &mut [f32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(strips.as_mut_ptr().cast(), WIDTH * strips.len()) }
}
