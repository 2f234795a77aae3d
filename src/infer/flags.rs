//! The catalogue's quality flags.

use crate::catalogue::flags::Flag;
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
pub const SECOND_STAR: i32 = 1 << 18;

/// Every bit of a catalogue of fits.
pub const FLAGS: [Flag; 19] = [
    Flag::new(1, "poor_confidence_teff", "confidence of teff below 0.5 (unset without classifiers)"),
    Flag::new(1 << 1, "poor_confidence_feh", "confidence of feh below 0.5"),
    Flag::new(1 << 2, "poor_confidence_logg", "confidence of logg below 0.5"),
    Flag::new(POOR_FIT, "poor_fit", "chi2 with a tail probability below 0.001 for n_dof degrees of freedom"),
    Flag::new(UNLIKELY_LABELS, "unlikely_labels", "ln prior below the model's threshold"),
    Flag::new(
        PARALLAX_DISAGREES,
        "parallax_disagrees",
        "parallax more than 10 sigma from the measured one (sigma of both where the measured one did not enter)",
    ),
    Flag::new(
        NOT_CONVERGED,
        "not_converged",
        "not converged, or without errors or a signal: the data do not tell the parameters",
    ),
    Flag::new(NOT_A_MINIMUM, "not_a_minimum", "exact Hessian not positive-definite"),
    Flag::new(OUTSIDE_TRAINING_RANGE, "outside_training_range", "labels outside the training range"),
    Flag::new(SECOND_OPTIMUM, "second_optimum", "a second optimum, nearly as good, that is another star (columns second_...)"),
    BAD_FLUX_FLAG,
    Flag::new(NOT_FITTED, "not_fitted", "not fitted (too few fluxes)"),
    Flag::new(BAD_CONSTRAINT, "bad_constraint", "a constraint had an impossible value or error"),
    COVARIANCE_FLOORED_FLAG,
    Flag::new(MISSING_CONSTRAINT, "missing_constraint", "a requested constraint is missing whose column the file has"),
    Flag::new(CONSTRAINT_VIOLATED, "constraint_violated", "a constraint more than 10 sigma from the fit"),
    Flag::new(AT_LIMIT, "at_limit", "a parameter at its limit (an amount of dust of zero is none)"),
    Flag::new(
        POOR_SAMPLE,
        "poor_sample",
        "the posterior's draws say little: their effective number is below the option posterior.least_effective, or the \
         tail of their weights unreliable",
    ),
    Flag::new(
        SECOND_STAR,
        "second_star",
        "two stars fit better than one: pair_delta_loss above the option second_star.flag_above (columns pair_... and companion_...)",
    ),
];

/// Bits that say the same in catalogues of every kind of model.
pub const BAD_FLUX_FLAG: Flag = Flag::new(BAD_FLUX, "bad_flux", "some fluxes were unusable");
/// As [`BAD_FLUX_FLAG`].
pub const COVARIANCE_FLOORED_FLAG: Flag =
    Flag::new(COVARIANCE_FLOORED, "covariance_floored", "flux covariance not positive-definite, floored");

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_in_words_and_the_page_has_every_bit() {
        let page = include_str!("../../docs/src/file-formats.md");
        let row = |flag: &Flag| match flag.bit() {
            0..=2 => "| 0–2 | 1, 2, 4 |".to_owned(),
            bit => format!("| {bit} | {} |", flag.value),
        };
        crate::catalogue::flags::tests::check(&FLAGS, page, row);
        let text = |value: i32| FLAGS.iter().find(|flag| flag.value == value).map_or("", |flag| flag.text);
        assert!(text(POOR_FIT).contains(&format!("{SMALLEST_TAIL_PROBABILITY} ")));
        for value in [PARALLAX_DISAGREES, CONSTRAINT_VIOLATED] {
            assert!(text(value).contains(&format!("{LARGEST_PULL} sigma")));
        }
        for (k, label) in CONFIDENCES.into_iter().enumerate() {
            assert!(text(1 << k).contains(label));
        }
    }
}
