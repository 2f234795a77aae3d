//! What a training knows of its own faults, in lines for people.

use crate::train::{Drift, SelfReport, ZeroPoints};
use crate::validate::number::{percent, significant};

/// The report of a training on itself.
pub fn lines(report: &SelfReport) -> Vec<String> {
    let mut lines = Vec::new();
    if report.n_stars > 0 {
        let share = percent(report.n_removed as f64 / report.n_stars as f64);
        lines.push(format!("cleaning removed {} of {} stars ({share})", report.n_removed, report.n_stars));
    }
    if let Some(share) = report.binaries {
        lines.push(format!("{} of the stars are unresolved binaries, those that were removed included", percent(share)));
    }
    for ZeroPoints { group, errors, fractions } in &report.zero_points {
        let one = |(name, error): (&String, &f64)| match fractions.contains(name) {
            true => format!("{name} {}", percent(*error)),
            false => format!("{name} {}", significant(*error, 2)),
        };
        lines.push(format!("errors of zero points, {group}: {}", errors.iter().map(one).collect::<Vec<_>>().join(", ")));
    }
    for Drift { parameter, group, n_stars, difference, pull } in &report.drifts {
        let difference = significant(*difference, 2);
        lines.push(format!(
            "{parameter} of {group} ({n_stars}): fitted less measured {difference}, {pull:+.2} errors, in the median"
        ));
    }
    lines
}
