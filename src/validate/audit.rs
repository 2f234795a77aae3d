//! What an audit says of a catalogue: how many stars are not at their best optimum, by how much, and whether
//! covariances agree.

use super::number::{aligned, percent, significant};
use crate::error::Result;
use crate::infer::audit::Audit;
use crate::infer::flags;
use crate::statistics::{percentiles, wilson_interval};
use crate::table::{Column, ColumnSchema, Table, Values};
use serde::Serialize;
use std::fmt;

/// Differences of −2 ln P above which a star counts as not at its best optimum: the goal of the fit, and a
/// larger one.
const GAPS: [f64; 2] = [0.01, 0.1];
/// Flags that warn of another optimum.
const WARNINGS: i32 = flags::NOT_CONVERGED | flags::NOT_A_MINIMUM | flags::SECOND_OPTIMUM;

/// Results of an audit over the sampled stars. Gaps that are infinite are null in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditSummary {
    /// Random starts of every star, besides the estimate itself.
    pub n_starts: usize,
    /// Mean fraction of the random starts that end within 0.01 in −2 ln P of the best: the power of the
    /// audit.
    pub reached: f64,
    /// Stars with estimates.
    pub all: GapStatistics,
    /// Those of them in the basic cut.
    pub basic_cut: GapStatistics,
}

/// Gaps, shifts and covariances of some stars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GapStatistics {
    pub n_stars: usize,
    /// Stars whose −2 ln P is above the best known by more than 0.01 and 0.1.
    pub gaps: Vec<GapCount>,
    pub largest_gap: f64,
    pub largest_gap_id: Option<i64>,
    /// Of the stars with a gap above 0.1, those with a flag for a second optimum, no convergence or no
    /// minimum.
    pub n_warned: usize,
    /// Stars of which a random start found an optimum that is another star, nearly as good as the best.
    pub n_second: usize,
    /// Of these, those with the flag for it.
    pub n_second_flagged: usize,
    /// Largest shift of a parameter (in σ) between a star's estimate and the optimum reached from it: median,
    /// 99th percentile, largest.
    pub shift: [f64; 3],
    /// Largest element of the difference to the covariance in double precision, over σᵢσⱼ: median, 99th
    /// percentile, largest.
    pub covariance_difference: [f64; 3],
    /// Shift of a parameter (in σ) by the rounding of the engine that fits: median, 99th percentile, largest.
    pub rounding: [f64; 3],
}

/// How many stars have a larger gap than some value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GapCount {
    pub above: f64,
    pub n: usize,
    pub fraction: f64,
    /// 95 % (Wilson).
    pub interval: [f64; 2],
}

impl AuditSummary {
    /// Of an audit of stars with these quality flags `[N]`.
    pub fn new(audit: &Audit, quality_flags: &[i32]) -> Self {
        let stars: Vec<usize> = (0..audit.len()).filter(|&star| !audit.gap(star).is_nan()).collect();
        let basic: Vec<usize> = stars.iter().copied().filter(|&star| quality_flags[star] < flags::BASIC_CUT).collect();
        let n_reached: f64 = stars.iter().map(|&star| f64::from(audit.n_reached[star])).sum();
        Self {
            n_starts: audit.n_starts,
            reached: n_reached / (stars.len() * audit.n_starts) as f64,
            all: GapStatistics::new(audit, quality_flags, &stars),
            basic_cut: GapStatistics::new(audit, quality_flags, &basic),
        }
    }
}

impl GapStatistics {
    fn new(audit: &Audit, quality_flags: &[i32], stars: &[usize]) -> Self {
        let n_stars = stars.len();
        let above = |limit: f64| stars.iter().copied().filter(move |&star| audit.gap(star) > limit);
        let count = |above_limit: f64| {
            let n = above(above_limit).count();
            GapCount { above: above_limit, n, fraction: n as f64 / n_stars as f64, interval: wilson_interval(n, n_stars) }
        };
        let second: Vec<usize> = stars.iter().copied().filter(|&star| audit.second_delta_loss[star].is_finite()).collect();
        let is_flagged = |star: &&usize| quality_flags[**star] & flags::SECOND_OPTIMUM != 0;
        let worst = stars.iter().copied().max_by(|&a, &b| audit.gap(a).total_cmp(&audit.gap(b)));
        let spread = |pick: &dyn Fn(usize) -> f64| {
            percentiles(&stars.iter().map(|&star| pick(star)).collect::<Vec<_>>(), [50.0, 99.0, 100.0])
        };
        Self {
            n_stars,
            gaps: GAPS.map(count).to_vec(),
            largest_gap: worst.map_or(f64::NAN, |star| audit.gap(star)),
            largest_gap_id: worst.map(|star| audit.ids[star]),
            n_second: second.len(),
            n_second_flagged: second.iter().filter(is_flagged).count(),
            n_warned: above(GAPS[1]).filter(|&star| quality_flags[star] & WARNINGS != 0).count(),
            shift: spread(&|star| audit.shift(star)),
            covariance_difference: spread(&|star| audit.covariance_difference[star]),
            rounding: spread(&|star| audit.rounding[star]),
        }
    }

    fn column(&self) -> Vec<String> {
        let mut cells = vec![self.n_stars.to_string()];
        for gap in &self.gaps {
            let [fraction, low, high] = [gap.fraction, gap.interval[0], gap.interval[1]].map(|fraction| 100.0 * fraction);
            cells.push(format!("{}: {fraction:.2} % ({low:.2} to {high:.2})", gap.n));
        }
        let gap = if self.largest_gap.is_infinite() { "∞".into() } else { significant(self.largest_gap, 3) };
        cells.push(self.largest_gap_id.map_or_else(|| gap.clone(), |id| format!("{gap} ({id})")));
        cells.push(self.n_warned.to_string());
        let share = if self.n_second > 0 { self.n_second_flagged as f64 / self.n_second as f64 } else { f64::NAN };
        cells.push(format!("{}: {} flagged ({})", self.n_second, self.n_second_flagged, percent(share)));
        cells.extend(
            [self.shift, self.rounding, self.covariance_difference].map(|spread| spread.map(|x| significant(x, 2)).join(", ")),
        );
        cells
    }
}

impl fmt::Display for AuditSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "all", "basic cut"].map(str::to_owned).to_vec();
        let names = [
            "stars re-fitted",
            "−2 ln P above the best by more than 0.01",
            "… by more than 0.1",
            "largest gap (source_id)",
            "gaps above 0.1 of which a flag warns",
            "stars with a second optimum that is another star",
            "shift to the optimum in σ: median, 99 %, largest",
            "of which rounding of the engine",
            "ΔC_ij/(σ_i σ_j): median, 99 %, largest",
        ];
        let cells = names.iter().zip(self.all.column().into_iter().zip(self.basic_cut.column()));
        let rows = std::iter::once(head).chain(cells.map(|(name, (all, basic))| vec![(*name).to_owned(), all, basic]));
        formatter.write_str(&aligned(&rows.collect::<Vec<_>>()))?;
        if self.n_starts > 0 {
            let (n, reached) = (self.n_starts, percent(self.reached));
            writeln!(formatter, "{n} random starts a star, of which {reached} end at the best optimum; intervals are 95 %.")?;
        }
        Ok(())
    }
}

/// One row per star: losses, shift and values at the estimate, at the optimum reached from it and at the best
/// one.
///
/// # Errors
/// When two columns would have the same name.
pub fn audit_table(audit: &Audit, quality_flags: &[i32]) -> Result<Table> {
    let stars = 0..audit.len();
    let number = |name: String, unit: &str, description: String, values: Vec<f64>| {
        Column::nullable(ColumnSchema::new(name, unit, description), values)
    };
    let plain = |name: &str, description: &str, values: Vec<f64>| number(name.into(), "", description.into(), values);
    let id = ColumnSchema::new("source_id", "", "identifier of the star").with_ucd("meta.id;meta.main");
    let bits = ColumnSchema::new("quality_flags", "", "flags in the catalogue").with_ucd("meta.code.qual");
    let reached = ColumnSchema::new("n_reached", "", "random starts that end within 0.01 in -2 ln P of the best");
    let mut table = Table::new(vec![
        Column::scalar(id, Values::Int64(audit.ids.clone())),
        Column::scalar(bits, Values::Int32(quality_flags.to_vec())),
        plain("loss", "-2 ln P at the catalogue's values, in double precision", audit.loss.clone()),
        plain("polished_loss", "-2 ln P at the optimum reached from there", audit.polished_loss.clone()),
        plain("best_loss", "-2 ln P at the best optimum of all starts", audit.best_loss.clone()),
        plain("gap", "loss less best_loss; infinite where the catalogue's values are impossible", {
            stars.clone().map(|star| audit.gap(star)).collect()
        }),
        plain("second_delta_loss", "-2 ln P at the best optimum of the random starts that is another star, less best_loss", {
            audit.second_delta_loss.clone()
        }),
        plain("shift", "largest shift of a parameter to the optimum reached, in its sigma", {
            stars.map(|star| audit.shift(star)).collect()
        }),
        plain("covariance_difference", "largest difference to the covariance in double precision, over sigma_i sigma_j", {
            audit.covariance_difference.clone()
        }),
        plain("rounding", "largest shift of a parameter by the rounding of the engine, in its sigma", audit.rounding.clone()),
        Column::scalar(reached, Values::Int32(audit.n_reached.iter().map(|&n| n as i32).collect())),
    ])?;
    for (p, (name, unit, description)) in audit.parameters.iter().enumerate() {
        for (suffix, what, values) in [
            ("", "in the catalogue", &audit.estimate),
            ("_error", "1-sigma error in double precision", &audit.error),
            ("_polished", "at the optimum reached from the catalogue's values", &audit.polished),
            ("_best", "at the best optimum of all starts", &audit.best),
            ("_second", "at the best optimum of the random starts that is another star", &audit.second),
        ] {
            table.push(number(format!("{name}{suffix}"), unit, format!("{description}, {what}"), values.column(p).to_vec()))?;
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Three stars of one parameter: at the optimum, in a local minimum, with an impossible value; and one
    /// that was not fitted.
    fn audit() -> Audit {
        let (nan, values) = (f64::NAN, array![[1.0], [1.0], [-1.0], [f64::NAN]]);
        Audit {
            ids: vec![10, 11, 12, 13],
            parameters: vec![("extinction".into(), "mag".into(), "dust".into())],
            polished: array![[1.001], [1.0], [0.5], [nan]],
            best: array![[1.001], [2.0], [0.5], [nan]],
            error: array![[0.1], [0.1], [nan], [nan]],
            estimate: values,
            loss: vec![5.001, 9.0, nan, nan],
            polished_loss: vec![5.0, 9.0, 3.0, nan],
            best_loss: vec![5.0, 4.0, 3.0, nan],
            second: array![[nan], [1.0], [0.1], [nan]],
            second_delta_loss: vec![nan, 5.0, 2.0, nan],
            n_reached: vec![4, 2, 0, 0],
            covariance_difference: vec![0.001, 0.002, nan, nan],
            rounding: vec![1e-4, 1e-4, nan, nan],
            n_starts: 4,
        }
    }

    #[test]
    fn gaps_are_counted_by_star() {
        let summary = AuditSummary::new(&audit(), &[0, flags::SECOND_OPTIMUM, 0, flags::NOT_FITTED]);
        assert_eq!((summary.all.n_stars, summary.basic_cut.n_stars), (3, 2));
        assert_eq!(summary.all.gaps.iter().map(|gap| gap.n).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(summary.basic_cut.gaps[0].n, 1);
        assert_eq!((summary.all.largest_gap, summary.all.largest_gap_id), (f64::INFINITY, Some(12)));
        assert_eq!((summary.all.n_warned, summary.reached), (1, 0.5));
        assert_eq!((summary.all.n_second, summary.all.n_second_flagged, summary.basic_cut.n_second), (2, 1, 1));
        assert!((summary.all.shift[2] - 0.01).abs() < 1e-12);
        let text = summary.to_string();
        assert!(text.contains("∞ (12)") && text.contains("2: 66.67 % (20.77 to 93.85)"), "{text}");
    }

    #[test]
    fn every_star_is_a_row() {
        let table = audit_table(&audit(), &[0; 4]).unwrap();
        assert_eq!(table.n_rows(), 4);
        assert_eq!(table.column("gap").unwrap().to_f64().unwrap()[1], 5.0);
        assert_eq!(table.column("extinction_best").unwrap().schema.unit, "mag");
    }
}
