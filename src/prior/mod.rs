//! Prior terms of the posterior of one star: Gaussian constraints, the mixture of Gaussians over the labels,
//! positivity.
//!
//! All terms are contributions to the loss −2 ln P, small functions in f64 on slices, called per star on the
//! host. Knows nothing of models or of the coordinates' names.

mod constraint;
mod deconvolution;
mod mixture;
mod mixture_file;
mod mixture_fit;
mod mixture_sums;
mod positivity;

pub use constraint::{Coordinate, GaussianConstraint};
pub use deconvolution::NoisyLabels;
pub use mixture::{GaussianMixture, MixtureWork};
pub use mixture_fit::MixtureFit;
pub use positivity::{maximum_a_posteriori, positivity};

/// Contribution of a prior to the loss −2 ln P along one coordinate c.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Term {
    /// The loss itself.
    pub loss: f64,
    /// ∂loss/∂c.
    pub gradient: f64,
    /// The curvature an optimiser should use: never negative, ≈ ∂²loss/∂c².
    pub curvature: f64,
}
