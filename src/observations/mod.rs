//! Observations: identifiers, flux, noise, constraints, selections and batches; the same for every survey and
//! for the simulator.

mod constraint;
mod cut;
mod digest;
mod files;
mod flux;
mod flux_unit;
#[cfg(test)]
mod formats;
mod grid;
mod in_code;
mod read;
mod sample;
mod split;
mod stars;

pub use constraint::Constraint;
pub use cut::{Cut, select};
pub use files::ObservationFiles;
pub use flux_unit::PURE_NUMBER;
pub use grid::Grid;
pub use read::{ReadOptions, append_file, columns};
pub use sample::Sample;
pub use split::{hash64, in_validation, shuffled};
pub use stars::Stars;

use crate::error::{Error, Result};
use crate::noise::Whitening;
use ndarray::{Array2, Axis};
use std::ops::{Deref, DerefMut};

/// Bits that say what was wrong with a star's input; they are shifted into the catalogue's `quality_flags`.
pub mod input_flag {
    /// A flux was infinite or beyond reason, had an error or a variance that is not finite and positive, or
    /// covariances that are not finite, or came from a magnitude or coefficients that are impossible; that
    /// flux counts as missing, and the others stay.
    pub const BAD_FLUX: u32 = 1;
    /// No flux has a finite variance: nothing can be fitted.
    pub const NO_FLUX: u32 = 1 << 1;
    /// A constraint (parallax, label …) is beyond reason, or its error is, or is zero or negative; it is
    /// ignored.
    pub const BAD_CONSTRAINT: u32 = 1 << 2;
    /// The flux covariance was not positive-definite and its eigenvalues were raised to the floor.
    pub const COVARIANCE_FLOORED: u32 = 1 << 3;
}

/// Stars with data, noise and constraints.
///
/// # Shapes
/// `flux [N, W]` (0 where missing), `flux_error [N, W]` (1σ of the diagonal, infinite where missing).
#[derive(Debug, Clone)]
pub struct Observations {
    /// Who they are, and what else is known of them; its fields and functions are those of the observations
    /// too.
    pub stars: Stars,
    pub flux: Array2<f32>,
    pub flux_error: Array2<f32>,
    pub whitening: Whitening,
}

impl Deref for Observations {
    type Target = Stars;

    fn deref(&self) -> &Stars {
        &self.stars
    }
}

impl DerefMut for Observations {
    fn deref_mut(&mut self) -> &mut Stars {
        &mut self.stars
    }
}

impl Observations {
    /// The given stars, in the given order.
    pub fn select(&self, stars: &[usize]) -> Self {
        Self {
            stars: self.stars.select(stars),
            flux: self.flux.select(Axis(0), stars),
            flux_error: self.flux_error.select(Axis(0), stars),
            whitening: self.whitening.select(stars),
        }
    }

    /// χ² of no flux at all: what there is of a star beyond noise.
    pub fn chi_square_of_nothing(&self, star: usize) -> f64 {
        let flux: Vec<f64> = self.flux.row(star).iter().map(|flux| f64::from(*flux)).collect();
        self.whitening.chi_square(star, &flux)
    }

    /// Adds the stars of another part of the same files.
    ///
    /// # Errors
    /// When the parts have other columns or other shapes.
    pub(crate) fn append(&mut self, more: Self) -> Result<()> {
        let shape = |error: ndarray::ShapeError| Error::data("parts of observations").found(error.to_string());
        self.flux.append(Axis(0), more.flux.view()).map_err(shape)?;
        self.flux_error.append(Axis(0), more.flux_error.view()).map_err(shape)?;
        self.whitening.extend(&more.whitening)?;
        self.stars.append(more.stars)
    }

    /// Every flux, its error and its covariances times a factor `[W]`; as they are where there are none.
    #[must_use]
    pub fn with_flux_factors(mut self, factors: &[f64]) -> Self {
        if factors.is_empty() {
            return self;
        }
        for (mut flux, mut error) in self.flux.outer_iter_mut().zip(self.flux_error.outer_iter_mut()) {
            for ((flux, error), factor) in flux.iter_mut().zip(&mut error).zip(factors) {
                *flux = (f64::from(*flux) * factor) as f32;
                *error = (f64::from(*error) * factor) as f32;
            }
        }
        self.whitening.scale(factors);
        self
    }

    /// Number of fluxes of a star with finite variance.
    pub fn n_fluxes(&self, star: usize) -> usize {
        self.flux_error.row(star).iter().filter(|error| error.is_finite()).count()
    }
}
