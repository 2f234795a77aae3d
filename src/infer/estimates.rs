//! What a fit says of every star.

use crate::model::Derived;
use ndarray::{Array2, Array3};

/// Fitted parameters of N stars with covariances and diagnostics, in file units.
///
/// # Shapes
/// `values [N, P]` over all parameters of the model; `covariance` and `information [N, F, F]` over the fitted ones; the others
/// `[N]`. Numbers that could not be had are NaN, and a flag says why.
#[derive(Debug, Clone)]
pub struct Estimates {
    pub ids: Vec<i64>,
    /// Names and units of all parameters, in the model's order.
    pub parameters: Vec<(String, String, String)>,
    /// Positions of the fitted parameters among all.
    pub fitted: Vec<usize>,
    pub values: Array2<f64>,
    /// Coordinates in which the optimiser worked `[N, P]`.
    pub coordinates: Array2<f64>,
    /// The inverse of the information, widened by the error of the model's zero points where it has one.
    pub covariance: Array3<f64>,
    /// Fisher information of fluxes, constraints and Gaussian priors: formal, without the error of the model's zero points.
    pub information: Array3<f64>,
    /// χ² of the flux alone.
    pub chi_square: Vec<f64>,
    /// Fluxes with a finite error.
    pub n_fluxes: Vec<i32>,
    /// Degrees of freedom of χ²: finite fluxes less the number of parameters that they determine, which parallax and prior lower (see `infer/degrees.rs`).
    pub degrees_of_freedom: Vec<f64>,
    /// ln of the mixture prior at the fitted labels (per kK dex …).
    pub ln_prior: Vec<f64>,
    /// −½ of the minimised loss.
    pub ln_posterior: Vec<f64>,
    /// Smallest eigenvalue of the exact Hessian of −2 ln P in the optimiser's coordinates.
    pub smallest_eigenvalue: Vec<f64>,
    pub flags: Vec<i32>,
    pub n_iterations: Vec<u32>,
    /// Quantities that the model's effects derive from the parameters, with their values: A(550 nm) of an extinction curve.
    pub derived: Vec<(Derived, Vec<f64>)>,
    /// Fitted parameters at the second optimum `[N, F]`; NaN where there is none.
    pub second: Array2<f64>,
    /// −2 ln P there less that of the estimate.
    pub second_delta_loss: Vec<f64>,
}

impl Estimates {
    /// Number of stars N.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no stars.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// 1σ error of a fitted parameter (`index` among the fitted) of a star.
    pub fn error(&self, star: usize, index: usize) -> f64 {
        self.covariance[[star, index, index]].sqrt()
    }
}
