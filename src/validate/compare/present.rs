//! A comparison as a table for files and as text for terminals and reports.

use super::{Comparison, QuantityComparison};
use crate::error::Result;
use crate::statistics::PullStatistics;
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::validate::number::{aligned, percent, significant, with_error};
use std::fmt;

impl Comparison {
    /// The comparison as a table with one row per quantity.
    ///
    /// # Errors
    /// Never for a comparison made by [`compare`](super::compare), whose columns have distinct names and
    /// equal lengths.
    pub fn to_table(&self) -> Result<Table> {
        let text = |name: &str, description: &str, pick: fn(&QuantityComparison) -> &String| {
            let values = self.quantities.iter().map(|quantity| pick(quantity).clone()).collect();
            Column::scalar(ColumnSchema::new(name, "", description), Values::Text(values))
        };
        let number = |name: &str, description: &str, pick: &dyn Fn(&QuantityComparison) -> f64| {
            Column::nullable(ColumnSchema::new(name, "", description), self.quantities.iter().map(pick).collect())
        };
        let pulls = |pick: fn(&PullStatistics) -> f64| {
            move |quantity: &QuantityComparison| quantity.pulls.as_ref().map_or(f64::NAN, pick)
        };
        let counts = self.quantities.iter().map(|quantity| quantity.n as i64).collect();
        let mut table = Table::new(vec![
            text("quantity", "column of the catalogue", |quantity| &quantity.name),
            text("reference_column", "column of the reference", |quantity| &quantity.reference_column),
            text("unit", "unit of the residuals", |quantity| &quantity.unit),
            Column::scalar(
                ColumnSchema::new("was_constraint", "", "whether measured values of it constrained the fit"),
                Values::Bool(self.quantities.iter().map(|quantity| quantity.was_constraint).collect()),
            ),
            Column::scalar(ColumnSchema::new("n", "", "stars with both values"), Values::Int64(counts)),
            number("residual_median", "median of estimate - reference", &|quantity| quantity.median),
            number("residual_scatter", "1.4826 MAD of estimate - reference", &|quantity| quantity.scatter),
            number("residual_p16", "16th percentile of estimate - reference", &|quantity| quantity.interval_68[0]),
            number("residual_p84", "84th percentile of estimate - reference", &|quantity| quantity.interval_68[1]),
            number("pull_median", "median of the pulls", &pulls(|pulls| pulls.median.value)),
            number("pull_median_error", "its Monte-Carlo error", &pulls(|pulls| pulls.median.error)),
            number("pull_scatter", "1.4826 MAD of the pulls", &pulls(|pulls| pulls.scatter.value)),
            number("pull_scatter_error", "its Monte-Carlo error", &pulls(|pulls| pulls.scatter.error)),
            number("within_68", "fraction of pulls within 1 sigma (0.683 expected)", &pulls(|pulls| pulls.within_68.value)),
            number("within_95", "fraction of pulls within 1.96 sigma (0.95 expected)", &pulls(|pulls| pulls.within_95.value)),
            number("ks_p_value", "Kolmogorov-Smirnov p-value of the pulls against N(0, 1)", &|quantity| {
                quantity.kolmogorov_smirnov.map_or(f64::NAN, |test| test.p_value)
            }),
        ])?;
        for (key, value) in [("n_catalogue", self.n_catalogue), ("n_matched", self.n_matched), ("n_selected", self.n_selected)] {
            table.metadata.insert(key.into(), value.to_string());
        }
        Ok(table)
    }

    /// What is to be known of the numbers: which quantities were constraints of the fit.
    pub fn notes(&self) -> Vec<String> {
        let constraints = self.quantities.iter().filter(|quantity| quantity.was_constraint);
        let note = |quantity: &QuantityComparison| {
            let name = &quantity.name;
            format!(
                "{name} was a constraint of the fit: where the reference has the same measurements, its residuals and pulls are no test."
            )
        };
        constraints.map(note).collect()
    }

    /// Titles of the columns of [`Comparison::rows`].
    pub const HEADER: [&'static str; 8] =
        ["quantity", "stars", "median Δ", "scatter", "pull median", "pull MAD-σ", "in 68 %", "in 95 %"];

    /// The comparison as rows of text, for terminals and reports.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |quantity: &QuantityComparison| {
            let unit = if quantity.unit.is_empty() { String::new() } else { format!(" ({})", quantity.unit) };
            let pulls = match &quantity.pulls {
                Some(pulls) => [
                    with_error(pulls.median.value, pulls.median.error),
                    with_error(pulls.scatter.value, pulls.scatter.error),
                    percent(pulls.within_68.value),
                    percent(pulls.within_95.value),
                ],
                None => std::array::from_fn(|_| "–".to_owned()),
            };
            let residuals = [significant(quantity.median, 2), significant(quantity.scatter, 3)];
            let name = [format!("{}{unit}", quantity.name), quantity.n.to_string()];
            name.into_iter().chain(residuals).chain(pulls).collect()
        };
        self.quantities.iter().map(row).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} stars compared ({} rows in the catalogue, {} in the reference, {} in both)",
            self.n_selected, self.n_catalogue, self.n_reference, self.n_matched
        )?;
        let mut rows = vec![Self::HEADER.map(str::to_owned).to_vec()];
        rows.extend(self.rows());
        formatter.write_str(&aligned(&rows))?;
        self.notes().iter().try_for_each(|note| writeln!(formatter, "{note}"))
    }
}
