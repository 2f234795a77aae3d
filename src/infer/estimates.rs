//! What a fit says of every star.

use super::sampled::SampledPosterior;
use super::second_star::SecondStars;
use crate::catalogue;
use crate::model::Derived;
use crate::residuals::Responses;
use ndarray::{Array2, Array3};
use std::ops::{Deref, DerefMut};

/// Fitted parameters of N stars with covariances and diagnostics, in file units.
///
/// # Shapes
/// Those of the core, over all parameters of the model in its order; `information [N, F, F]` over the fitted
/// ones; the others `[N]`. Numbers that could not be had are NaN, and a flag says why.
#[derive(Debug, Clone)]
pub struct Estimates {
    /// What every estimate has. The covariance is the inverse of the information, widened by the error of the
    /// model's zero points where it has one.
    pub core: catalogue::Estimates,
    /// Coordinates in which the optimiser worked `[N, P]`.
    pub coordinates: Array2<f64>,
    /// The part of the covariance that like stars share, and that means of them keep `[N, F, F]`; `None`
    /// where the model does not know it, or the options leave it out.
    pub shared: Option<Array3<f64>>,
    /// Fisher information of fluxes, constraints and Gaussian priors: formal, without the error of the
    /// model's zero points.
    pub information: Array3<f64>,
    /// χ² of the flux alone.
    pub chi_square: Vec<f64>,
    /// Fluxes with a finite error.
    pub n_fluxes: Vec<i32>,
    /// Degrees of freedom of χ²: finite fluxes less the number of parameters that they determine, which
    /// parallax and prior lower (see `infer/degrees.rs`).
    pub degrees_of_freedom: Vec<f64>,
    /// ln of the mixture prior at the fitted labels (per kK dex …).
    pub ln_prior: Vec<f64>,
    /// −½ of the minimised loss.
    pub ln_posterior: Vec<f64>,
    /// Smallest eigenvalue of the exact Hessian of −2 ln P in the optimiser's coordinates.
    pub smallest_eigenvalue: Vec<f64>,
    pub n_iterations: Vec<u32>,
    /// Quantities that the model's effects derive from the parameters, with their values: A(550 nm) of an
    /// extinction curve.
    pub derived: Vec<(Derived, Vec<f64>)>,
    /// Fitted parameters at the second optimum `[N, F]`; NaN where there is none.
    pub second: Array2<f64>,
    /// −2 ln P there less that of the estimate.
    pub second_delta_loss: Vec<f64>,
    /// Share of the second optimum in the posterior by Laplace's approximation; NaN where there is none.
    pub second_weight: Vec<f64>,
    /// Probabilities that estimates are good, by label; none where the model has no classifiers.
    pub confidence: Vec<(String, Vec<f64>)>,
    /// Posteriors by weighted draws, where the options want them.
    pub posterior: Option<SampledPosterior>,
    /// Fits of two stars to every star, where the options want them.
    pub second_star: Option<SecondStars>,
    /// What the residuals say of offsets of the data; of no star where they are not judged.
    pub residuals: Responses,
}

impl Deref for Estimates {
    type Target = catalogue::Estimates;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}

impl DerefMut for Estimates {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.core
    }
}
