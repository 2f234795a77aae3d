//! Are errors what they say, for single stars and for means of many? Pulls, coverage, PIT and ranks of all
//! stars, of quarters of them by other columns, and of cells in two columns.

use super::groups::{Cells, GroupPull, MeanPull, OUTLIER, group_pull};
use super::pairs::Pairs;
use super::{CompareOptions, QuantityComparison};
use crate::error::Result;
use crate::statistics::{PullStatistics, chi_square_tail, coverage, equal_count_edges, median, normal_cdf, pull_statistics};
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::validate::number::{percent, significant, with_error};
use serde::Serialize;

/// Classes of the PIT.
const PIT_CLASSES: usize = 10;
/// The probability of each of those of the PIT.
pub(super) const PIT_EXPECTED: [f64; PIT_CLASSES] = [1.0 / PIT_CLASSES as f64; PIT_CLASSES];
/// σ within which a normal value lies in half of all cases.
const HALF: f64 = 0.674_489_750_196_081_7;
/// Probabilities between the five quantiles of posteriors (2.5, 16, 50, 84, 97.5 %).
pub(super) const RANK_CLASSES: [f64; 6] = [0.025, 0.135, 0.34, 0.34, 0.135, 0.025];
/// Fewest stars that a class has to expect.
const LEAST_EXPECTED: f64 = 5.0;

/// By what stars are told apart.
#[derive(Debug, Clone, Default)]
pub struct CalibrationOptions {
    /// Columns of the catalogue by whose quartiles stars are split, by their truths where the reference has
    /// these; those that it lacks are passed over.
    pub split: Vec<String>,
    /// Two such columns in whose cells biases are mapped; none where it lacks one.
    pub cells: [String; 2],
}

/// Which stars a row is of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selection {
    /// Columns (one, two, or none for all stars) with the interval of each.
    pub limits: Vec<(String, [f64; 2])>,
}

/// Errors of one quantity for some stars.
#[derive(Debug, Clone, Serialize)]
pub struct CalibrationRow {
    pub quantity: String,
    pub selection: Selection,
    /// Median of estimate − reference.
    pub bias: f64,
    pub pulls: PullStatistics,
    /// Share within 0.674σ, and its error.
    pub within_50: [f64; 2],
    /// Share of pulls beyond 5.
    pub outliers: f64,
    /// Stars by Φ((reference − estimate)/σ), in tenths, and the probability of a χ² as large if they were
    /// even.
    pub pit: [u64; PIT_CLASSES],
    pub pit_probability: f64,
    /// Stars by the place of the reference among the quantiles of the posterior, and the probability of a χ²
    /// as large for right posteriors; `None` without quantiles, or where the reference has errors.
    pub ranks: Option<[u64; 6]>,
    pub rank_probability: Option<f64>,
    /// Mean pull of the stars (without those beyond 5) over the error that it has where theirs are
    /// independent (1/√n), and over that which it has where they share what the catalogue says (NaN where it
    /// does not): N(0, 1) where that is right.
    pub mean_pull: f64,
    pub mean_pull_sharing: f64,
    /// The same of groups of 100 stars, which are neighbours in the two columns of the cells: their root mean
    /// squares (1 is right) and number; of all stars and of quarters.
    pub group_pull: Option<GroupPull>,
}

/// The errors of a catalogue.
#[derive(Debug, Clone, Serialize)]
pub struct Calibration {
    pub rows: Vec<CalibrationRow>,
}

/// What is compared of one quantity, star by star.
struct Compared<'a> {
    quantity: &'a QuantityComparison,
    /// Class of the reference among the quantiles of the posterior.
    ranks: Option<Vec<Option<usize>>>,
}

impl Calibration {
    /// Of the quantities that were compared with errors.
    ///
    /// # Errors
    /// When a column of the options is not of numbers.
    pub fn of(
        (catalogue, reference): (&Table, &Table),
        (comparison, selection): (&super::Comparison, &CompareOptions),
        options: &CalibrationOptions,
    ) -> Result<Self> {
        let matched = Pairs::join(catalogue, reference)?;
        let pairs = matched.selected(selection)?;
        let has = |name: &String| catalogue.get(name).is_some();
        let mut columns = Vec::new();
        for name in options.split.iter().filter(|name| has(name)) {
            columns.push((name.clone(), pairs.telling(name)?));
        }
        let cells = match options.cells.iter().all(has) {
            true => Some([pairs.telling(&options.cells[0])?, pairs.telling(&options.cells[1])?]),
            false => None,
        };
        let mut rows = Vec::new();
        for quantity in comparison.quantities.iter().filter(|quantity| quantity.pulls.is_some()) {
            let compared = Compared { quantity, ranks: ranks(&pairs, quantity)? };
            let all: Vec<usize> = (0..quantity.values.pull.len()).collect();
            let mut whole = compared.row(&all, Vec::new());
            let map = cells.as_ref().map(|cells| Cells::new(cells, &quantity.values.pull));
            let groups = |is_member: &dyn Fn(&usize) -> bool| {
                let order = map.iter().flat_map(|map| map.order.iter().copied().filter(is_member));
                group_pull(&order.collect::<Vec<usize>>(), &quantity.values)
            };
            whole.group_pull = groups(&|_| true);
            rows.push(whole);
            for (name, values) in &columns {
                let edges = equal_count_edges(values, 4);
                for (quarter, limits) in edges.windows(2).enumerate() {
                    let ([low, high], is_last) = ([limits[0], limits[1]], quarter + 2 == edges.len());
                    let inside = |&star: &usize| values[star] >= low && (values[star] < high || is_last && values[star] <= high);
                    let stars: Vec<usize> = all.iter().copied().filter(inside).collect();
                    let mut row = compared.row(&stars, vec![(name.clone(), [low, high])]);
                    row.group_pull = groups(&inside);
                    rows.push(row);
                }
            }
            for (limits, stars) in map.iter().flat_map(|map| &map.cells) {
                let limits = options.cells.iter().cloned().zip(*limits).collect();
                rows.push(compared.row(stars, limits));
            }
        }
        Ok(Self { rows })
    }

    /// A row per quantity and selection.
    ///
    /// # Errors
    /// Never: the columns have distinct names and equal lengths.
    pub fn to_table(&self) -> Result<Table> {
        let number = |name: &str, description: &str, pick: &dyn Fn(&CalibrationRow) -> f64| {
            Column::nullable(ColumnSchema::new(name, "", description), self.rows.iter().map(pick).collect())
        };
        let text = |name: &str, description: &str, pick: &dyn Fn(&CalibrationRow) -> String| {
            Column::scalar(ColumnSchema::new(name, "", description), Values::Text(self.rows.iter().map(pick).collect()))
        };
        let limit =
            |row: &CalibrationRow, at: usize, end: usize| row.selection.limits.get(at).map_or(f64::NAN, |(_, of)| of[end]);
        let split =
            |row: &CalibrationRow, at: usize| row.selection.limits.get(at).map_or_else(String::new, |(name, _)| name.clone());
        let counts = |name: &str, description: &str, length: usize, pick: &dyn Fn(&CalibrationRow) -> Vec<u64>| {
            let values = self.rows.iter().flat_map(pick).map(|count| count as i64).collect();
            Column::fixed(ColumnSchema::new(name, "", description), Values::Int64(values), length)
        };
        Table::new(vec![
            text("quantity", "column of the catalogue", &|row| row.quantity.clone()),
            text("split", "column whose values limit the stars (empty: all stars)", &|row| split(row, 0)),
            number("low", "its least value", &|row| limit(row, 0, 0)),
            number("high", "its largest value", &|row| limit(row, 0, 1)),
            text("split_2", "a second such column", &|row| split(row, 1)),
            number("low_2", "its least value", &|row| limit(row, 1, 0)),
            number("high_2", "its largest value", &|row| limit(row, 1, 1)),
            number("n", "stars with both values and an error", &|row| row.pulls.n as f64),
            number("bias", "median of estimate - reference, unit of the quantity", &|row| row.bias),
            number("pull_median", "median of the pulls", &|row| row.pulls.median.value),
            number("pull_median_error", "its Monte-Carlo error", &|row| row.pulls.median.error),
            number("pull_scatter", "1.4826 MAD of the pulls", &|row| row.pulls.scatter.value),
            number("pull_scatter_error", "its Monte-Carlo error", &|row| row.pulls.scatter.error),
            number("within_50", "fraction of pulls within 0.674 sigma (0.5 expected)", &|row| row.within_50[0]),
            number("within_68", "fraction within 1 sigma (0.683 expected)", &|row| row.pulls.within_68.value),
            number("within_95", "fraction within 1.96 sigma (0.95 expected)", &|row| row.pulls.within_95.value),
            number("outliers", "fraction of pulls beyond 5", &|row| row.outliers),
            counts("pit", "stars by the normal probability of the reference, in tenths", PIT_CLASSES, &|row| row.pit.to_vec()),
            number("pit_probability", "probability of a chi-square as large if they were even", &|row| row.pit_probability),
            counts("ranks", "stars by the place of the reference among the posterior's quantiles (zeros: none)", 6, &|row| {
                row.ranks.unwrap_or_default().to_vec()
            }),
            number("rank_probability", "probability of a chi-square as large for right posteriors", &|row| {
                row.rank_probability.unwrap_or(f64::NAN)
            }),
            number("mean_pull", "mean pull times the root of the number of stars, without pulls beyond 5", &|row| row.mean_pull),
            number("mean_pull_sharing", "the same over the error that it has with what stars share", &|row| {
                row.mean_pull_sharing
            }),
            number("group_pull", "root mean square of mean pulls of 100 neighbours, times 10 (1 expected)", &|row| {
                row.group_pull.map_or(f64::NAN, |pull| pull.independent)
            }),
            number("group_pull_sharing", "the same with what stars share (1 expected)", &|row| {
                row.group_pull.map_or(f64::NAN, |pull| pull.sharing)
            }),
        ])
    }

    /// Titles of the columns of [`Calibration::text_rows`].
    pub const HEADER: [&'static str; 12] = [
        "quantity",
        "stars of",
        "n",
        "pull median",
        "MAD-σ",
        "in 50 %",
        "in 68 %",
        "in 95 %",
        "PIT p",
        "ranks p",
        "means of 100",
        "sharing",
    ];

    /// Rows of text of all stars and of quarters of them; with `cells`, those of the cells instead.
    pub fn text_rows(&self, cells: bool) -> Vec<Vec<String>> {
        let rows = self.rows.iter().filter(|row| (row.selection.limits.len() == 2) == cells);
        rows.map(|row| {
            let limits = row.selection.limits.iter();
            let limits = limits.map(|(name, [low, high])| format!("{name} {}–{}", significant(*low, 3), significant(*high, 3)));
            let stars: Vec<String> = limits.collect();
            let probability = |p: Option<f64>| p.map_or_else(|| "–".to_owned(), |p| significant(p, 2));
            vec![
                row.quantity.clone(),
                if stars.is_empty() { "all".to_owned() } else { stars.join(", ") },
                row.pulls.n.to_string(),
                with_error(row.pulls.median.value, row.pulls.median.error),
                with_error(row.pulls.scatter.value, row.pulls.scatter.error),
                percent(row.within_50[0]),
                percent(row.pulls.within_68.value),
                percent(row.pulls.within_95.value),
                probability(Some(row.pit_probability)),
                probability(row.rank_probability),
                row.group_pull
                    .map_or_else(|| "–".to_owned(), |pull| format!("{} ({})", significant(pull.independent, 3), pull.n_groups)),
                row.group_pull
                    .filter(|pull| pull.sharing.is_finite())
                    .map_or_else(|| "–".to_owned(), |pull| significant(pull.sharing, 3)),
            ]
        })
        .collect()
    }
}

impl Compared<'_> {
    fn row(&self, stars: &[usize], limits: Vec<(String, [f64; 2])>) -> CalibrationRow {
        let values = &self.quantity.values;
        let pulls: Vec<f64> = stars.iter().map(|&star| values.pull[star]).filter(|pull| pull.is_finite()).collect();
        let mut pit = [0; PIT_CLASSES];
        for pull in &pulls {
            pit[((normal_cdf(-pull) * PIT_CLASSES as f64) as usize).min(PIT_CLASSES - 1)] += 1;
        }
        let ranks = self.ranks.as_ref().map(|ranks| {
            let mut counts = [0; 6];
            stars.iter().filter_map(|&star| ranks[star]).for_each(|class| counts[class] += 1);
            counts
        });
        let half = coverage(&pulls, HALF);
        let compared = stars.iter().filter(|star| values.pull[**star].is_finite());
        let residuals: Vec<f64> = compared.map(|&star| values.estimate[star] - values.reference[star]).collect();
        let mean = MeanPull::of(stars, values);
        let n_outliers = pulls.iter().filter(|pull| pull.abs() > OUTLIER).count();
        CalibrationRow {
            quantity: self.quantity.name.clone(),
            selection: Selection { limits },
            bias: median(&residuals),
            within_50: [half.value, half.error],
            outliers: n_outliers as f64 / pulls.len() as f64,
            pit,
            pit_probability: probability(&pit, &PIT_EXPECTED),
            rank_probability: ranks.map(|counts| probability(&counts, &RANK_CLASSES)),
            ranks,
            mean_pull: mean.map_or(f64::NAN, |mean| mean.independent),
            mean_pull_sharing: mean.map_or(f64::NAN, |mean| mean.sharing),
            group_pull: None,
            pulls: pull_statistics(&pulls),
        }
    }
}

/// Probability of a χ² of the counts as large as theirs, for classes of these probabilities; NaN where one of
/// them expects so few that χ² has another distribution.
fn probability(counts: &[u64], expected: &[f64]) -> f64 {
    let n: u64 = counts.iter().sum();
    let least = expected.iter().copied().fold(f64::INFINITY, f64::min);
    if least * (n as f64) < LEAST_EXPECTED {
        return f64::NAN;
    }
    let squares = counts.iter().zip(expected).map(|(&count, share)| {
        let mean = share * n as f64;
        (count as f64 - mean).powi(2) / mean
    });
    chi_square_tail(squares.sum(), (counts.len() - 1) as f64)
}

/// The class of every reference value among the quantiles of the posterior, where the catalogue has these and
/// the reference no errors of its own.
fn ranks(pairs: &Pairs<'_>, quantity: &QuantityComparison) -> Result<Option<Vec<Option<usize>>>> {
    let Some(quantiles) = pairs.quantiles(&quantity.name, &quantity.reference_column)? else { return Ok(None) };
    let class = |(quantiles, reference): (&Vec<f64>, &f64)| {
        let is_known = reference.is_finite() && quantiles.iter().all(|value| value.is_finite());
        is_known.then(|| quantiles.iter().filter(|value| *reference > **value).count())
    };
    Ok(Some(quantiles.iter().zip(&quantity.values.reference).map(class).collect()))
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
