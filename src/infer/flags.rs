//! The catalogue's quality flags.

pub use crate::catalogue::flags::{BASIC_CUT, NOT_CONVERGED, NOT_FITTED};
use crate::observations::input_flag;

/// Probability of χ² as large, or larger, by noise alone, below which a fit is flagged: one good star in a
/// thousand.
pub const SMALLEST_TAIL_PROBABILITY: f64 = 1e-3;
/// |x − x̂|/σ of a measured parameter above which a fit is flagged.
pub const LARGEST_PULL: f64 = 10.0;

/// The labels of bits 0–2.
pub const CONFIDENCES: [&str; 3] = ["teff", "feh", "logg"];
/// Bits 0–2 belong to the confidences of T_eff, [Fe/H] and log g (spec 1 §5); they stay unset while a model
/// has no classifiers.
pub const POOR_FIT: i32 = 1 << 3;
pub const UNLIKELY_LABELS: i32 = 1 << 4;
pub const PARALLAX_DISAGREES: i32 = 1 << 5;
pub const NOT_A_MINIMUM: i32 = 1 << 7;
pub const OUTSIDE_TRAINING_RANGE: i32 = 1 << 8;
pub const SECOND_OPTIMUM: i32 = 1 << 9;
pub const BAD_FLUX: i32 = 1 << 10;
pub const BAD_CONSTRAINT: i32 = 1 << 12;
pub const COVARIANCE_FLOORED: i32 = 1 << 13;
pub const MISSING_CONSTRAINT: i32 = 1 << 14;
pub const CONSTRAINT_VIOLATED: i32 = 1 << 15;
pub const AT_LIMIT: i32 = 1 << 16;
pub const POOR_SAMPLE: i32 = 1 << 17;

/// Meaning of every bit, for the column's description and the documentation.
pub const DESCRIPTION: &str = "bit 0-2: confidence of teff, feh, logg below 0.5 (unset without classifiers); 3: chi2 with a tail probability below 0.001 for n_dof degrees of freedom; \
4: ln prior below the model's threshold; 5: parallax more than 10 sigma from the measured one (sigma of both where the measured one did not enter); 6: not converged; \
7: exact Hessian not positive-definite; 8: labels outside the training range; 9: a second optimum, nearly as good, that is another star (columns second_...); \
10: some fluxes were unusable; 11: not fitted (too few fluxes); 12: a constraint had an impossible value or error; \
13: flux covariance not positive-definite, floored; 14: a requested constraint is missing whose column the file has; 15: a constraint more than 10 sigma from the fit; \
16: a parameter at its limit (an amount of dust of zero is none); 17: the posterior's draws say little: their effective number is below the option \
posterior.least_effective, or the tail of their weights unreliable. Below 8: the basic cut";

/// The catalogue bits of a star's input flags.
pub fn of_input(input: u32) -> i32 {
    [
        (input_flag::BAD_FLUX, BAD_FLUX),
        (input_flag::NO_FLUX, NOT_FITTED),
        (input_flag::BAD_CONSTRAINT, BAD_CONSTRAINT),
        (input_flag::COVARIANCE_FLOORED, COVARIANCE_FLOORED),
    ]
    .into_iter()
    .filter(|(bit, _)| input & bit != 0)
    .fold(0, |flags, (_, flag)| flags | flag)
}
