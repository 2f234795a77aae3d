//! How many fits carry which quality flag.

use super::context::Context;
use crate::infer::flags;
use crate::validate::number::percent;
use crate::validate::report::Report;

/// Bits of the catalogue's `quality_flags` with their meaning.
const BITS: [(i32, &str); 14] = [
    (flags::POOR_FIT, "χ² larger than noise makes it for all but one star in a thousand"),
    (flags::UNLIKELY_LABELS, "ln prior below the model's threshold"),
    (flags::PARALLAX_DISAGREES, "parallax more than 10σ from the measured one"),
    (flags::NOT_CONVERGED, "not converged"),
    (flags::NOT_A_MINIMUM, "exact Hessian not positive-definite"),
    (flags::OUTSIDE_TRAINING_RANGE, "labels outside the training range"),
    (flags::SECOND_OPTIMUM, "a second optimum, nearly as good, that is another star"),
    (flags::BAD_FLUX, "some fluxes were unusable"),
    (flags::NOT_FITTED, "not fitted: too few fluxes"),
    (flags::BAD_CONSTRAINT, "a constraint had an impossible error"),
    (flags::COVARIANCE_FLOORED, "flux covariance not positive-definite, floored"),
    (flags::MISSING_CONSTRAINT, "a requested constraint is missing"),
    (flags::CONSTRAINT_VIOLATED, "a constraint more than 10σ from the fit"),
    (flags::AT_LIMIT, "a parameter at its limit"),
];

pub(super) fn section(context: &Context<'_>, report: &mut Report) {
    report.section(
        "Quality flags",
        "Bits of quality_flags in the catalogue of the default fit. The basic cut, quality_flags < 8, leaves the stars with \
         none of these bits. Bits 3 to 6 and 11 say that a fit is wrong or doubtful, the others what to beware of.",
    );
    let map = context.input.map;
    let n = map.len();
    let row = |name: String, meaning: &str, count: usize| {
        vec![name, meaning.to_owned(), count.to_string(), percent(count as f64 / n as f64)]
    };
    let mut rows = vec![row("none".into(), "quality_flags < 8", map.flags.iter().filter(|&&flags| flags < 8).count())];
    for (bit, meaning) in BITS {
        let count = map.flags.iter().filter(|&&flags| flags & bit != 0).count();
        rows.push(row(bit.trailing_zeros().to_string(), meaning, count));
    }
    report.table(format!("Flags of {n} new stars."), ["bit", "meaning", "stars", "fraction"], rows);
}
