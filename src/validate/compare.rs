//! A catalogue of estimates against a truth or a reference table: joined on `source_id`, quantity by quantity.

use super::normality::{KolmogorovSmirnov, kolmogorov_smirnov_normal};
use super::number::{percent, significant, with_error};
use super::statistics::{PullStatistics, median, percentiles, pull_statistics, robust_scatter};
use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, Shape, Table, Values};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What is compared, and for which stars. The default compares everything that it can for all stars in both tables.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Names of catalogue columns; empty means every scalar column of numbers that has an error (`<name>_error`) in the
    /// catalogue or a truth (`true_<name>`) in the reference, and a counterpart in the reference.
    pub quantities: Vec<String>,
    /// For a quantity, the least ratio of its reference value to the catalogue's error ("true E > 3 σ_E").
    pub minimum_signal: BTreeMap<String, f64>,
    /// For a quantity, the closed interval of its reference value (the training domain).
    pub ranges: BTreeMap<String, (f64, f64)>,
    /// Boolean or integer columns of either table that must be false, zero or null (`true_binary`, …).
    pub exclude: Vec<String>,
    /// Rows with `quality_flags` at or above this are left out (8 is the basic cut).
    pub quality_flags_below: Option<i64>,
}

/// The result of [`compare`].
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Rows of the catalogue and of the reference.
    pub n_catalogue: usize,
    pub n_reference: usize,
    /// Stars in both.
    pub n_matched: usize,
    /// Stars that pass the selection.
    pub n_selected: usize,
    pub quantities: Vec<QuantityComparison>,
}

/// Residuals and pulls of one quantity over the selected stars.
#[derive(Debug, Clone, Serialize)]
pub struct QuantityComparison {
    pub name: String,
    /// Column of the reference that it was compared with.
    pub reference_column: String,
    pub unit: String,
    /// Stars with both values.
    pub n: usize,
    /// Median of estimate − reference.
    pub median: f64,
    /// 1.4826·MAD of estimate − reference.
    pub scatter: f64,
    /// 16th and 84th percentiles of estimate − reference.
    pub interval_68: [f64; 2],
    /// Of (estimate − reference)/σ; `None` without an error column. σ holds the reference's error too, where it has one.
    pub pulls: Option<PullStatistics>,
    /// Of the pulls against N(0, 1).
    pub kolmogorov_smirnov: Option<KolmogorovSmirnov>,
    /// Estimate, reference and pull of each selected star, NaN where missing; for figures.
    #[serde(skip)]
    pub values: ComparedValues,
}

/// The numbers behind a [`QuantityComparison`], one entry per selected star.
#[derive(Debug, Clone, Default)]
pub struct ComparedValues {
    pub estimate: Vec<f64>,
    pub reference: Vec<f64>,
    /// NaN also where there is no valid error.
    pub pull: Vec<f64>,
}

/// Compares a catalogue with a reference table, star by star.
///
/// # Errors
/// When an id column is missing or not of integers, an id appears twice, no star is in both tables, or a named quantity or
/// column does not exist.
pub fn compare(catalogue: &Table, reference: &Table, options: &CompareOptions) -> Result<Comparison> {
    let matched = Pairs::join(catalogue, reference)?;
    let pairs = matched.selected(options)?;
    let names = if options.quantities.is_empty() { common_quantities(catalogue, reference) } else { options.quantities.clone() };
    if names.is_empty() {
        return Err(Error::data("comparison")
            .found("no quantity with an error or a truth in both tables")
            .expected("columns such as 'teff', with 'teff_error', beside 'teff' or 'true_teff' in the reference")
            .remedy("Rename columns, or name the quantities to compare."));
    }
    let quantities = names.iter().map(|name| pairs.quantity(name)).collect::<Result<Vec<_>>>()?;
    Ok(Comparison {
        n_catalogue: catalogue.n_rows(),
        n_reference: reference.n_rows(),
        n_matched: matched.rows.len(),
        n_selected: pairs.rows.len(),
        quantities,
    })
}

/// Pairs of rows (catalogue, reference) of the same star.
struct Pairs<'t> {
    catalogue: &'t Table,
    reference: &'t Table,
    rows: Vec<(usize, usize)>,
}

impl<'t> Pairs<'t> {
    fn join(catalogue: &'t Table, reference: &'t Table) -> Result<Self> {
        let ids = unique_ids(catalogue, "catalogue")?;
        let reference_rows = row_of_id(&unique_ids(reference, "reference")?);
        let rows: Vec<(usize, usize)> =
            ids.iter().enumerate().filter_map(|(row, id)| Some((row, *reference_rows.get(id)?))).collect();
        if rows.is_empty() {
            return Err(Error::data("comparison, column 'source_id'")
                .found(format!("no star in common ({} and {} rows)", catalogue.n_rows(), reference.n_rows()))
                .expected("the same stars in the catalogue and the reference")
                .remedy("Check that both tables come from the same sample."));
        }
        Ok(Self { catalogue, reference, rows })
    }

    /// The catalogue's column, pair by pair.
    fn of_catalogue(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.catalogue.column(name).and_then(Column::to_f64).map_err(|error| error.within("catalogue"))?;
        Ok(self.rows.iter().map(|&(row, _)| values[row]).collect())
    }

    /// The reference's column, pair by pair.
    fn of_reference(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.reference.column(name).and_then(Column::to_f64).map_err(|error| error.within("reference"))?;
        Ok(self.rows.iter().map(|&(_, row)| values[row]).collect())
    }

    /// Reference values of a quantity, from `true_<name>` or `<name>`.
    fn truth(&self, name: &str) -> Result<Vec<f64>> {
        self.of_reference(&reference_name(self.reference, name))
    }

    fn selected(&self, options: &CompareOptions) -> Result<Self> {
        let mut keep = vec![true; self.rows.len()];
        for (name, &least) in &options.minimum_signal {
            let (truth, error) = (self.truth(name)?, self.of_catalogue(&error_name(name))?);
            keep.iter_mut().zip(truth.iter().zip(&error)).for_each(|(keep, (truth, error))| *keep &= *truth > least * error);
        }
        for (name, &(low, high)) in &options.ranges {
            let truth = self.truth(name)?;
            keep.iter_mut().zip(&truth).for_each(|(keep, truth)| *keep &= (low..=high).contains(truth));
        }
        for name in &options.exclude {
            let marked = match (self.reference.get(name), self.catalogue.get(name)) {
                (Some(column), _) => self.rows.iter().map(|&(_, row)| is_set(column, row)).collect::<Result<Vec<bool>>>(),
                (None, _) => {
                    let column = self.catalogue.column(name)?;
                    self.rows.iter().map(|&(row, _)| is_set(column, row)).collect()
                }
            }?;
            keep.iter_mut().zip(marked).for_each(|(keep, marked)| *keep &= !marked);
        }
        if let Some(limit) = options.quality_flags_below {
            let flags = self.of_catalogue("quality_flags")?;
            keep.iter_mut().zip(&flags).for_each(|(keep, flags)| *keep &= *flags < limit as f64);
        }
        let rows = self.rows.iter().zip(keep).filter(|(_, keep)| *keep).map(|(&pair, _)| pair).collect();
        Ok(Self { rows, ..*self })
    }

    fn quantity(&self, name: &str) -> Result<QuantityComparison> {
        let reference_column = reference_name(self.reference, name);
        let (estimate, reference) = (self.of_catalogue(name)?, self.of_reference(&reference_column)?);
        let residual: Vec<f64> = estimate.iter().zip(&reference).map(|(estimate, reference)| estimate - reference).collect();
        let has_error = self.catalogue.get(&error_name(name)).is_some();
        let pull = if has_error { self.pulls(name, &reference_column, &residual)? } else { vec![f64::NAN; residual.len()] };
        Ok(QuantityComparison {
            name: name.to_owned(),
            unit: self.catalogue.column(name)?.schema.unit.clone(),
            n: residual.iter().filter(|residual| residual.is_finite()).count(),
            median: median(&residual),
            scatter: robust_scatter(&residual),
            interval_68: percentiles(&residual, [16.0, 84.0]),
            pulls: has_error.then(|| pull_statistics(&pull)),
            kolmogorov_smirnov: has_error.then(|| kolmogorov_smirnov_normal(&pull)),
            reference_column,
            values: ComparedValues { estimate, reference, pull },
        })
    }

    /// Residual over the quadratic sum of both errors; NaN where the catalogue's error is not positive.
    fn pulls(&self, name: &str, reference_column: &str, residual: &[f64]) -> Result<Vec<f64>> {
        let error = self.of_catalogue(&error_name(name))?;
        let reference_error = match self.reference.get(&error_name(reference_column)) {
            Some(_) => self.of_reference(&error_name(reference_column))?,
            None => vec![0.0; error.len()],
        };
        Ok((residual.iter().zip(&error).zip(&reference_error))
            .map(|((residual, &error), &of_reference)| if error > 0.0 { residual / error.hypot(of_reference) } else { f64::NAN })
            .collect())
    }
}

fn error_name(name: &str) -> String {
    format!("{name}_error")
}

/// `true_<name>` where the reference has it, else `<name>`.
fn reference_name(reference: &Table, name: &str) -> String {
    let truth = format!("true_{name}");
    if reference.get(&truth).is_some() { truth } else { name.to_owned() }
}

/// Scalar number columns of the catalogue with an error or a truth, and a counterpart in the reference.
fn common_quantities(catalogue: &Table, reference: &Table) -> Vec<String> {
    let is_quantity = |column: &&Column| {
        let name = &column.schema.name;
        let counterpart = reference_name(reference, name);
        let is_number = column.shape == Shape::Scalar && matches!(column.values, Values::Float32(_) | Values::Float64(_));
        let is_known = counterpart != **name || catalogue.get(&error_name(name)).is_some();
        is_number && is_known && reference.get(&counterpart).is_some()
    };
    catalogue.columns().iter().filter(is_quantity).map(|column| column.schema.name.clone()).collect()
}

fn unique_ids(table: &Table, which: &str) -> Result<Vec<i64>> {
    let ids = table.column("source_id").and_then(Column::to_i64).map_err(|error| error.within(which))?;
    let first_rows = row_of_id(&ids);
    // `row_of_id` keeps the last row of an id: any other row with it is a duplicate
    match ids.iter().enumerate().find(|(row, id)| first_rows[id] != *row) {
        None => Ok(ids),
        Some((row, id)) => Err(Error::data(format!("{which}, column 'source_id', rows {row} and {}", first_rows[id]))
            .found(format!("the id {id} twice"))
            .expected("distinct ids")
            .remedy("Remove the duplicates: it is not clear which row to compare.")),
    }
}

fn row_of_id(ids: &[i64]) -> HashMap<i64, usize> {
    ids.iter().enumerate().map(|(row, &id)| (id, row)).collect()
}

/// Whether a boolean or integer column is true or not zero in a row; null is not.
fn is_set(column: &Column, row: usize) -> Result<bool> {
    if !column.is_valid(row) {
        return Ok(false);
    }
    match (&column.values, &column.shape) {
        (Values::Bool(values), Shape::Scalar) => Ok(values[row]),
        (Values::Int32(values), Shape::Scalar) => Ok(values[row] != 0),
        (Values::Int64(values), Shape::Scalar) => Ok(values[row] != 0),
        (values, _) => Err(Error::data(format!("column '{}'", column.schema.name))
            .found(values.type_name())
            .expected("one boolean or integer per row, to exclude by")),
    }
}

impl Comparison {
    /// The comparison as a table with one row per quantity.
    ///
    /// # Errors
    /// Never for a comparison made by [`compare`], whose columns have distinct names and equal lengths.
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
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..Self::HEADER.len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells
                .map(|(column, (cell, &width))| if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
                .collect();
            writeln!(formatter, "{}", line.join("  "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i64]) -> Column {
        Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(ids.to_vec()))
    }

    fn numbers(name: &str, unit: &str, values: &[f64]) -> Column {
        Column::nullable(ColumnSchema::new(name, unit, ""), values.to_vec())
    }

    fn table(columns: Vec<Column>) -> Table {
        Table::new(columns).unwrap()
    }

    /// Six stars; star 6 is not in the reference, star 5 has no estimate, star 4 an impossible error, star 2 is a binary.
    fn catalogue() -> Table {
        table(vec![
            ids(&[4, 2, 1, 3, 5, 6]),
            numbers("teff", "K", &[5400.0, 5300.0, 5100.0, 4900.0, f64::NAN, 9000.0]),
            numbers("teff_error", "K", &[0.0, 50.0, 50.0, 100.0, 50.0, 50.0]),
            numbers("chi2", "", &[1.0; 6]),
            numbers("extinction", "", &[0.2, 0.3, 0.1, 0.5, 0.1, 0.1]),
        ])
    }

    fn reference() -> Table {
        table(vec![
            ids(&[1, 2, 3, 4, 5, 7]),
            numbers("true_teff", "K", &[5000.0, 5000.0, 5000.0, 5000.0, 5000.0, 5000.0]),
            numbers("extinction", "", &[0.1; 6]),
            numbers("chi2", "", &[1.0; 6]),
            Column::scalar(ColumnSchema::new("true_binary", "", ""), Values::Bool(vec![false, true, false, false, false, false])),
        ])
    }

    #[test]
    fn tiny_table_has_the_answer_worked_out_by_hand() {
        let options = CompareOptions { exclude: vec!["true_binary".into()], ..Default::default() };
        let comparison = compare(&catalogue(), &reference(), &options).unwrap();
        assert_eq!((comparison.n_matched, comparison.n_selected), (5, 4));
        // chi2 has neither error nor truth, extinction neither: only teff is a quantity
        assert_eq!(comparison.quantities.len(), 1);
        let teff = &comparison.quantities[0];
        // residuals of stars 4, 1, 3: 400, 100, −100; pulls: none, 2, −1
        assert_eq!((teff.n, teff.median, teff.unit.as_str()), (3, 100.0, "K"));
        assert!((teff.scatter - 200.0 * 1.482_602_218_505_602).abs() < 1e-9);
        let pulls = teff.pulls.unwrap();
        assert_eq!((pulls.n, pulls.median.value, pulls.within_68.value), (2, 0.5, 0.5));
        assert_eq!(teff.values.pull.iter().filter(|pull| pull.is_nan()).count(), 2);
    }

    #[test]
    fn reference_errors_add_in_quadrature() {
        let catalogue = table(vec![ids(&[1]), numbers("feh", "", &[0.5]), numbers("feh_error", "", &[0.3])]);
        let reference = table(vec![ids(&[1]), numbers("feh", "", &[0.0]), numbers("feh_error", "", &[0.4])]);
        let comparison = compare(&catalogue, &reference, &CompareOptions::default()).unwrap();
        assert!((comparison.quantities[0].values.pull[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn selection_by_signal_range_and_flags() {
        let catalogue = table(vec![
            ids(&[1, 2, 3, 4]),
            numbers("extinction", "", &[0.1, 0.2, 0.3, 0.4]),
            numbers("extinction_error", "", &[0.05, 0.05, 0.05, 0.05]),
            Column::scalar(ColumnSchema::new("quality_flags", "", ""), Values::Int32(vec![0, 0, 8, 1])),
        ]);
        let reference = table(vec![ids(&[1, 2, 3, 4]), numbers("true_extinction", "", &[0.1, 0.2, 0.3, 0.4])]);
        let named = |value| BTreeMap::from([("extinction".to_owned(), value)]);
        let count = |options: CompareOptions| compare(&catalogue, &reference, &options).unwrap().n_selected;
        assert_eq!(count(CompareOptions { minimum_signal: named(3.0), ..Default::default() }), 3);
        assert_eq!(
            count(CompareOptions { ranges: BTreeMap::from([("extinction".to_owned(), (0.2, 0.3))]), ..Default::default() }),
            2
        );
        assert_eq!(count(CompareOptions { quality_flags_below: Some(8), ..Default::default() }), 3);
        assert_eq!(count(CompareOptions { exclude: vec!["quality_flags".into()], ..Default::default() }), 2);
    }

    #[test]
    fn bad_tables_are_errors_that_name_the_place() {
        let twice = table(vec![ids(&[1, 2, 1]), numbers("teff", "K", &[1.0; 3])]);
        let message = compare(&twice, &reference(), &CompareOptions::default()).unwrap_err().to_string();
        assert!(message.contains("catalogue") && message.contains("rows 0 and 2") && message.contains("id 1"), "{message}");
        let strangers = table(vec![ids(&[100]), numbers("teff", "K", &[1.0])]);
        assert!(compare(&strangers, &reference(), &CompareOptions::default()).is_err());
        let nameless = table(vec![ids(&[1]), numbers("vsini", "km/s", &[1.0])]);
        assert!(compare(&nameless, &reference(), &CompareOptions::default()).is_err());
        let options = CompareOptions { exclude: vec!["absent".into()], ..Default::default() };
        assert!(compare(&catalogue(), &reference(), &options).unwrap_err().to_string().contains("absent"));
        assert!(compare(&table(vec![numbers("teff", "K", &[1.0])]), &reference(), &CompareOptions::default()).is_err());
    }

    #[test]
    fn prints_as_text_table_and_json() {
        let comparison = compare(&catalogue(), &reference(), &CompareOptions::default()).unwrap();
        let text = comparison.to_string();
        assert!(text.lines().count() == 3 && text.contains("teff (K)") && text.contains("5 in both"), "{text}");
        let table = comparison.to_table().unwrap();
        assert_eq!((table.n_rows(), table.column("n").unwrap().to_i64().unwrap()), (1, vec![4]));
        assert!(serde_json::to_string(&comparison).unwrap().contains("\"within_68\""));
    }
}
