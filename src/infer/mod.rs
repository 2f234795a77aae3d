//! Inference: maximum a posteriori, Fisher covariance, exact-Hessian test and quality flags for any star
//! (spec 1 §5).

pub mod audit;
mod breadth;
mod calibration;
mod catalogue;
mod confidence;
mod degrees;
mod engine;
mod ensemble;
mod estimates;
mod fit;
pub mod flags;
mod guide;
mod importance;
mod modes;
mod options;
mod package;
mod part;
mod problem;
mod quality;
mod reading;
mod residuals;
mod sampled;
mod searches;
mod second_optimum;
mod second_star;
mod start;
mod truncated;

pub use crate::package::FitStage;
pub use engine::Engine;
pub use ensemble::{Ensemble, ensemble};
pub use estimates::Estimates;
pub use fit::{Fitter, fit};
pub use options::{FitOptions, StartOptions};
pub(crate) use quality::is_poor;
pub use reading::read_options;
pub use sampled::{PosteriorMethod, PosteriorOptions, SampledPosterior};
pub use second_optimum::SecondOptimumOptions;
pub use second_star::{SecondStarOptions, SecondStars};
