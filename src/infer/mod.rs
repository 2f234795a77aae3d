//! Inference: maximum a posteriori, Fisher covariance, exact-Hessian test and quality flags for any star (spec 1 §5).

mod calibration;
mod catalogue;
mod estimates;
mod fit;
pub mod flags;
mod options;
mod rivals;
mod start;

pub use estimates::Estimates;
pub use fit::{fit, read_options};
pub use options::{FitOptions, StartOptions};
