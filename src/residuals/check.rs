//! What of a catalogue is beyond expectation, in numbers and in words.

use super::{LEAST_ERRORS, LEAST_OFFSET, Offset, ResidualSums};
use serde_json::{Value, json};

/// Share of the stars whose χ² may be too large, which noise makes of one in a thousand: real catalogues have
/// binaries, blends, and spectra that no model knows.
const MOST_POOR: f64 = 0.15;
/// Share of the stars whose χ² may be among the smallest tenth: beyond it, errors are too large.
const MOST_SMALL: f64 = 0.8;
/// Share of the stars that may lie outside of the training.
const MOST_OUTSIDE: f64 = 0.2;
/// Share of the stars that may fail the basic cut.
const MOST_CUT: f64 = 0.5;
/// Median pull of a constraint that may be.
const MOST_PULL: f64 = 0.2;

/// The check of a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogueCheck {
    /// The fewest offsets that explain the residuals, as far as they are beyond their limits.
    pub offsets: Vec<Offset>,
    /// What is beyond expectation, a sentence each.
    pub findings: Vec<String>,
    /// What can be done.
    pub remedies: Vec<&'static str>,
    details: Value,
}

impl CatalogueCheck {
    /// Judges the sums over a catalogue.
    pub fn of(sums: &ResidualSums) -> Self {
        let mut offsets = sums.explanation();
        // Of a constraint, the pull decides.
        let position = |name: &String| sums.constraints.iter().position(|other| other == name);
        offsets.retain(|offset| position(&offset.name).is_none_or(|k| pull_beyond(sums, k).is_some()));
        let mut check = Self { offsets, findings: Vec::new(), remedies: Vec::new(), details: details(sums) };
        check.judge_offsets(sums);
        check.judge_shares(sums);
        check.judge_pulls(sums);
        check
    }

    /// The warning, where there is one.
    pub fn warning(&self) -> Option<String> {
        let findings = self.findings.join("; ");
        (!self.findings.is_empty())
            .then(|| format!("the catalogue as a whole does not fit the model: {findings}. {}", self.remedies.join(" ")))
    }

    /// For `--json` and for metadata.
    pub fn summary(&self) -> Value {
        let mut summary = self.details.clone();
        summary["offsets"] = json!(
            self.offsets
                .iter()
                .map(|offset| (&offset.name, rounded([offset.offset, offset.error])))
                .collect::<std::collections::BTreeMap<_, _>>()
        );
        summary["findings"] = json!(self.findings);
        summary["remedies"] = json!(self.remedies);
        summary
    }

    fn judge_offsets(&mut self, sums: &ResidualSums) {
        let of_bands = |offset: &&Offset| sums.groups.contains(&offset.name);
        let said: Vec<String> =
            self.offsets.iter().filter(of_bands).map(|offset| format!("{} {}", offset.name, signed(offset))).collect();
        if !said.is_empty() {
            self.findings.push(format!(
                "the residuals of {} stars want other zero points, data less model in mag: {} (limits: {LEAST_OFFSET} mag and {LEAST_ERRORS} errors)",
                sums.used,
                said.join(", ")
            ));
            self.remedies.push(
                "Compare the photometric system, its zero points and the reduction with those of the training sample; until then labels and \
                 distances of all stars are shifted together, by much more than their errors.",
            );
        }
    }

    fn judge_shares(&mut self, sums: &ResidualSums) {
        let is_beyond = |count: u64, of: u64, most: f64| {
            let n = of as f64;
            n > 0.0 && count as f64 - most * n > LEAST_ERRORS * (most * (1.0 - most) * n).sqrt()
        };
        let percent = |count: u64, of: u64| 100.0 * count as f64 / of as f64;
        let mut found = Vec::new();
        if is_beyond(sums.poor, sums.fitted, MOST_POOR) {
            let share = percent(sums.poor, sums.fitted);
            let text = format!("{share:.0} % have a chi2 too large for their errors (limit {:.0} %)", 100.0 * MOST_POOR);
            found.push((
                text,
                "Are the errors of the fluxes what they should be, and the stars single and of the kind that the model knows?",
            ));
        }
        let small = sums.tails.last().copied().unwrap_or(0);
        if is_beyond(small, sums.used, MOST_SMALL) {
            let share = percent(small, sums.used);
            let text =
                format!("{share:.0} % have a chi2 as small as noise gives one in ten stars (limit {:.0} %)", 100.0 * MOST_SMALL);
            found.push((
                text,
                "Are the errors of the fluxes too large, or given as variances? Errors of fits are too large with them.",
            ));
        }
        if is_beyond(sums.outside, sums.fitted, MOST_OUTSIDE) {
            let share = percent(sums.outside, sums.fitted);
            let text = format!("{share:.0} % lie outside of the training (limit {:.0} %)", 100.0 * MOST_OUTSIDE);
            found.push((text, "Use a model that was trained with such stars, or none of these."));
        }
        // Of all stars: those that could not be fitted are not in the cut either.
        let cut = sums.stars.saturating_sub(sums.in_cut);
        if is_beyond(cut, sums.stars, MOST_CUT) {
            let unfitted = match sums.stars.saturating_sub(sums.fitted) {
                0 => String::new(),
                n => format!("; {n} could not be fitted"),
            };
            let share = percent(cut, sums.stars);
            let text = format!("{share:.0} % fail the basic cut (limit {:.0} %{unfitted})", 100.0 * MOST_CUT);
            found.push((text, "`photosphere finalize` of a folder, or the column quality_flags, tells which flags."));
        }
        for (text, remedy) in found {
            self.findings.push(text);
            self.remedies.push(remedy);
        }
    }

    fn judge_pulls(&mut self, sums: &ResidualSums) {
        for (k, name) in sums.constraints.iter().enumerate() {
            let offset = self.offsets.iter().find(|offset| offset.name == *name);
            let offset = offset.map_or_else(String::new, |offset| format!(", as an offset of {} would make it", signed(offset)));
            if let Some((median, error)) = pull_beyond(sums, k) {
                self.findings
                    .push(format!("the median pull of {name} is {median:+.2} \u{b1} {error:.2}{offset} (limit {MOST_PULL})"));
                let remedy = "Is its zero point that of the training sample (`offsets` of the fit's options)?";
                if !self.remedies.contains(&remedy) {
                    self.remedies.push(remedy);
                }
            }
        }
    }
}

/// The median pull of a constraint with its error, where it is beyond its limits.
fn pull_beyond(sums: &ResidualSums, constraint: usize) -> Option<(f64, f64)> {
    sums.median_pull(constraint).filter(|(median, error)| median.abs() > MOST_PULL && median.abs() > LEAST_ERRORS * error)
}

fn signed(offset: &Offset) -> String {
    format!("{:+.3} \u{b1} {:.3}", offset.offset, offset.error)
}

/// Numbers to five digits, as metadata have them.
fn rounded<const N: usize>(values: [f64; N]) -> [f64; N] {
    values.map(|value| format!("{value:.4e}").parse().unwrap_or(value))
}

fn details(sums: &ResidualSums) -> Value {
    let share = |count: u64| match sums.fitted {
        0 => Value::Null,
        n => json!(rounded([count as f64 / n as f64])[0]),
    };
    let band = |(a, name): (usize, &String)| {
        let [weight, sum, squares] = sums.left[a];
        let left = (weight > 0.0).then(|| {
            let mean = sum / weight;
            let variance = squares - sum * sum / sums.n[a].max(1) as f64;
            rounded([mean, variance.max(0.0).sqrt() / weight])
        });
        let alone = sums.alone(a).map(|(offset, error)| rounded([offset, error]));
        (name.clone(), json!({ "n": sums.n[a], "residual": left, "offset_alone": alone }))
    };
    let bands: serde_json::Map<String, Value> = sums.groups.iter().enumerate().map(band).collect();
    let constraint = |(k, name): (usize, &String)| {
        let a = sums.groups.len() + k;
        let alone = sums.alone(a).map(|(offset, error)| rounded([offset, error]));
        let pull = sums.median_pull(k).map(|(median, error)| rounded([median, error]));
        (name.clone(), json!({ "n": sums.n[a], "median_pull": pull, "offset_alone": alone }))
    };
    let constraints: serde_json::Map<String, Value> = sums.constraints.iter().enumerate().map(constraint).collect();
    json!({
        "stars": sums.stars,
        "fitted": sums.fitted,
        "used": sums.used,
        "share_chi2_above_expectation": share(sums.poor),
        "share_outside_training": share(sums.outside),
        "share_in_basic_cut": share(sums.in_cut),
        "chi2_tail_tenths": sums.tails,
        "bands": bands,
        "constraints": constraints,
    })
}
