//! What a training knows of its own faults, in lines for people.

use crate::model::{EnsembleCard, EnsembleMember, Parameter, ParameterSpace};
use crate::train::{Drift, LabelError, SelfReport, UnresolvedPairs, ZeroPoints};
use crate::validate::number::{percent, significant, with_error};

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
    lines.extend(of_zero_points(&report.zero_points));
    lines.extend(report.unresolved_pairs.map(of_unresolved_pairs));
    lines.extend(of_label_errors(&report.label_errors));
    for Drift { parameter, group, n_stars, difference, pull } in &report.drifts {
        let difference = significant(*difference, 2);
        lines.push(format!(
            "{parameter} of {group} ({n_stars}): fitted less measured {difference}, {pull:+.2} errors, in the median"
        ));
    }
    lines
}

/// What was taken off the stars that tell the zero points.
pub fn of_unresolved_pairs(UnresolvedPairs { share, n_likely, n_stars }: UnresolvedPairs) -> String {
    format!(
        "unresolved pairs among the stars of the zero points: {} of {n_stars}, {n_likely} by themselves; taken off by their expectation",
        percent(share)
    )
}

/// By which factors the errors of measured values are off.
pub fn of_label_errors(found: &[LabelError]) -> Vec<String> {
    let one = |LabelError { parameter, factor, error, .. }: &LabelError| format!("{parameter} {}", with_error(*factor, *error));
    let all = found.iter().map(one).collect::<Vec<_>>().join(", ");
    if found.is_empty() { Vec::new() } else { vec![format!("errors of measured values, times what is said of them: {all}")] }
}

/// The members of an ensemble, and how far they are from one another.
pub fn of_ensemble(
    EnsembleCard { spread, shared_spread, n_stars, n_outliers, members }: &EnsembleCard,
    space: &ParameterSpace,
) -> Vec<String> {
    let one = |(name, value): (&String, &f64)| {
        let shared = shared_spread.get(name).copied().unwrap_or(f64::NAN);
        let is_fraction = space.get(name).is_ok_and(Parameter::is_distance);
        let [value, shared] = [*value, shared].map(|value| if is_fraction { percent(value) } else { significant(value, 2) });
        format!("{name} {value} (shared {shared})")
    };
    let spread: Vec<String> = spread.iter().map(one).collect();
    let without = if *n_outliers > 0 { format!(" (without {n_outliers} in other optima)") } else { String::new() };
    let first = format!(
        "an ensemble of {} seeds; its zero points about those of their mean, by {n_stars} stars{without}: {}",
        members.len(),
        spread.join(", ")
    );
    let member = |EnsembleMember { seed, sha256, predicts, distance, metrics }: &EnsembleMember| {
        let metrics: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {}", significant(*value, 4))).collect();
        let predicts = if *predicts { ", which predicts" } else { "" };
        let id: String = sha256.chars().take(16).collect();
        format!("seed {seed} ({id}){predicts}: {} from the mean; {}", significant(*distance, 3), metrics.join(", "))
    };
    std::iter::once(first).chain(members.iter().map(member)).collect()
}

/// The errors of the zero points of groups of stars.
pub fn of_zero_points(groups: &[ZeroPoints]) -> Vec<String> {
    let line = |ZeroPoints { group, errors, unknown, fractions }: &ZeroPoints| {
        let one = |(name, error): (&String, &f64)| match fractions.contains(name) {
            true => format!("{name} {}", percent(*error)),
            false => format!("{name} {}", significant(*error, 2)),
        };
        let unknown = unknown.iter().map(|name| format!("{name} not known"));
        format!("errors of zero points, {group}: {}", errors.iter().map(one).chain(unknown).collect::<Vec<_>>().join(", "))
    };
    groups.iter().map(line).collect()
}
