//! How far an estimate can be trusted, learned from stars whose labels were measured better: a classifier per
//! label says from what is known of every star (errors, χ², prior, residuals of fluxes) with which
//! probability its estimate agrees with the measurement (Zhang et al. 2023, sec. 4.4 and appendix B).
//!
//! | file | concept |
//! |---|---|
//! | `agreement` | which estimates agree with measurements, and which do not (eq. 27) |
//! | `classifier` | probabilities from features, and their calibration |
//! | `train` | the training on the stars that were measured |
//! | `report` | what the probabilities are worth on stars that decided nothing |
//! | `file` | the file beside the model |

mod agreement;
mod classifier;
mod file;
mod report;
#[cfg(test)]
mod tests;
mod train;

pub use agreement::Agreement;
pub use classifier::{Classifier, Classifiers, FLUX_FEATURE, measurement_feature};
pub use file::CONFIDENCE_FILE;
pub use report::{Bin, Report};
pub use train::{ConfidenceOptions, Measured, train};

/// Probability below which an estimate is not trusted.
pub const TRUSTED: f64 = 0.5;
