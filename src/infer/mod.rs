//! Inference: maximum a posteriori, Fisher covariance, exact-Hessian test and quality flags for any star (spec 1 §5).

pub mod audit;
mod catalogue;
mod estimates;
mod fit;
pub mod flags;
mod options;
mod problem;
mod start;

pub use estimates::Estimates;
pub use fit::{FitStage, fit, fit_in_stages, read_options};
pub use options::{FitOptions, StartOptions};
