//! Pseudo-continua: what a spectrum is divided by, so that lines and not colours or flux calibration are
//! compared.
//!
//! | method | what | source |
//! |---|---|---|
//! | `gaussian` | mean under a Gaussian kernel, weighted by inverse variance | Zhang et al. 2024, eqs. 1–2, with weights |
//! | `polynomial` | polynomials between splits, by weighted least squares with clipping, in a Chebyshev basis | |
//! | `savitzky-golay` | local polynomials of equal weights | Savitzky & Golay 1964 |
//!
//! The same spectrum twice as bright has twice the continuum, and its normalised flux is the same. Errors
//! are divided by the continuum; its own errors are not added: they are those of hundreds of pixels.

mod gaussian;
mod polynomial;
mod savitzky_golay;

pub use gaussian::GaussianKernel;
pub use polynomial::PiecewisePolynomial;
pub use savitzky_golay::SavitzkyGolay;

use super::{PixelGrid, Resampled};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the pseudo-continuum is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    #[default]
    Gaussian,
    Polynomial,
    SavitzkyGolay,
    /// Flux stays as it is.
    None,
}

/// The pseudo-continuum of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContinuumOptions {
    pub method: Method,
    /// σ of the Gaussian kernel, Å.
    pub kernel: f64,
    /// Degree of polynomials, and of the local ones of Savitzky and Golay.
    pub degree: usize,
    /// Wavelengths (Å, of the grid) at which one polynomial ends and the next begins.
    pub splits: Vec<f64>,
    /// Pixels further below and above a polynomial, in standard deviations of its residuals, are left out.
    pub clip: [f64; 2],
    /// Fits of the polynomials, the first included.
    pub iterations: usize,
    /// Pixels of the window of Savitzky and Golay; odd.
    pub window: usize,
    /// Whether every arm is normalised by itself before the arms are joined.
    pub per_arm: bool,
    /// Standard windows that the continuum does not see.
    pub mask: Vec<String>,
}

impl Default for ContinuumOptions {
    fn default() -> Self {
        Self {
            method: Method::Gaussian,
            kernel: 20.0,
            degree: 5,
            splits: Vec::new(),
            clip: [1.5, 3.0],
            iterations: 5,
            window: 151,
            per_arm: false,
            mask: ["balmer", "dib"].map(String::from).into(),
        }
    }
}

impl ContinuumOptions {
    /// What decides the continuum, in words: two spectra with the same are comparable.
    pub fn described(&self) -> String {
        let Self { kernel, degree, splits, clip: [below, above], iterations, window, .. } = self;
        let mut text = match self.method {
            Method::None => return "none".into(),
            Method::Gaussian => format!("gaussian, kernel {kernel} Angstrom"),
            Method::Polynomial => {
                format!(
                    "polynomial, degree {degree}, splits {splits:?} Angstrom, clip {below} and {above}, {iterations} iterations"
                )
            }
            Method::SavitzkyGolay => format!("savitzky-golay, window {window}, degree {degree}"),
        };
        if self.per_arm {
            text += ", each arm by itself";
        }
        let mut mask: Vec<&str> = self.mask.iter().map(String::as_str).collect();
        mask.sort_unstable();
        if !mask.is_empty() {
            text += &format!(", without {}", mask.join(", "));
        }
        text
    }

    /// Checks the settings of the method on a grid; nothing is built, whatever its size.
    ///
    /// # Errors
    /// When a setting is impossible, or would take more memory than it can be worth.
    pub fn validate(&self, grid: &PixelGrid) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("prepare recipe, spectra.continuum.{key}"))
                .found(found)
                .expected(expected)
                .remedy("`photosphere recipe prepare-spectra` prints a recipe that works."))
        };
        match self.method {
            Method::None => {}
            Method::Gaussian => {
                if !(self.kernel > 0.0 && self.kernel.is_finite()) {
                    return fault("kernel", self.kernel.to_string(), "a positive number of Å");
                }
                let n_weights = GaussianKernel::n_weights(grid.centres(), self.kernel);
                if n_weights > GaussianKernel::MOST_WEIGHTS {
                    let found = format!("{} Å: {n_weights} weights on a grid of {} pixels", self.kernel, grid.len());
                    let expected =
                        format!("at most {} weights: a narrower kernel, or a coarser grid", GaussianKernel::MOST_WEIGHTS);
                    return fault("kernel", found, &expected);
                }
            }
            Method::Polynomial => {
                if self.degree > PiecewisePolynomial::MOST_DEGREE {
                    return fault("degree", self.degree.to_string(), "at most 30");
                }
                if !self.splits.is_sorted_by(|a, b| a < b) || self.splits.iter().any(|split| !split.is_finite()) {
                    return fault("splits", format!("{:?}", self.splits), "rising wavelengths");
                }
                let is_possible = self.clip.iter().all(|&clip| clip > 0.0) && (1..=100).contains(&self.iterations);
                if !is_possible {
                    let found = format!("{:?} and {} iterations", self.clip, self.iterations);
                    return fault("clip", found, "positive numbers, and 1 to 100 iterations");
                }
            }
            Method::SavitzkyGolay => SavitzkyGolay::check(self.window, self.degree, grid.len())
                .map_err(|error| error.within("prepare recipe, spectra.continuum.window"))?,
        }
        Ok(())
    }
}

/// A continuum on a grid, ready to be found for many spectra.
#[derive(Debug, Clone)]
pub enum Continuum {
    Gaussian(GaussianKernel),
    Polynomial(PiecewisePolynomial),
    SavitzkyGolay(SavitzkyGolay),
    None,
}

impl Continuum {
    /// For a grid.
    ///
    /// # Errors
    /// As [`ContinuumOptions::validate`].
    pub fn new(options: &ContinuumOptions, grid: &PixelGrid) -> Result<Self> {
        options.validate(grid)?;
        Ok(match options.method {
            Method::None => Self::None,
            Method::Gaussian => Self::Gaussian(GaussianKernel::new(grid.centres(), options.kernel)),
            Method::Polynomial => Self::Polynomial(PiecewisePolynomial::new(grid.centres(), options)),
            Method::SavitzkyGolay => Self::SavitzkyGolay(SavitzkyGolay::new(options.window, options.degree)?),
        })
    }

    /// The continuum `[W]` of a spectrum; pixels with `weight` 0 are not seen. NaN where it cannot be told.
    pub fn of(&self, flux: &[f64], weight: &[f64]) -> Vec<f64> {
        match self {
            Self::Gaussian(kernel) => kernel.of(flux, weight),
            Self::Polynomial(polynomial) => polynomial.of(flux, weight),
            Self::SavitzkyGolay(filter) => filter.of_gapped(flux, weight),
            Self::None => vec![1.0; flux.len()],
        }
    }

    /// Divides a spectrum by its continuum, which does not see the pixels that `is_masked`. Pixels whose
    /// continuum is unknown, or not positive, become missing; their number is given back.
    pub fn normalise(&self, spectrum: &mut Resampled, is_masked: &[bool]) -> usize {
        if matches!(self, Self::None) {
            return 0;
        }
        let seen = |(&ivar, &is_masked): (&f64, &bool)| if is_masked { 0.0 } else { ivar };
        let weight: Vec<f64> = spectrum.ivar.iter().zip(is_masked).map(seen).collect();
        let continuum = self.of(&spectrum.flux, &weight);
        let mut n_lost = 0;
        for (j, continuum) in continuum.into_iter().enumerate() {
            if spectrum.ivar[j] <= 0.0 {
                continue;
            }
            if continuum > 0.0 && continuum.is_finite() {
                spectrum.flux[j] /= continuum;
                spectrum.ivar[j] *= continuum * continuum;
            } else {
                (spectrum.flux[j], spectrum.ivar[j]) = (f64::NAN, 0.0);
                n_lost += 1;
            }
        }
        n_lost
    }
}

#[cfg(test)]
mod tests;
