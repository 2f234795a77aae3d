//! Rows of the same star in two tables: the join, the selection, and one quantity's residuals and pulls.

use super::{CompareOptions, ComparedValues, QuantityComparison};
use crate::error::{Error, Result};
use crate::statistics::{median, percentiles, pull_statistics, robust_scatter};
use crate::table::{Column, Shape, Table, Values};
use crate::validate::normality::kolmogorov_smirnov_normal;
use std::collections::HashMap;

/// Pairs of rows (catalogue, reference) of the same star.
pub(super) struct Pairs<'t> {
    catalogue: &'t Table,
    reference: &'t Table,
    pub(super) rows: Vec<(usize, usize)>,
}

impl<'t> Pairs<'t> {
    /// Joins two tables on `source_id`, in the catalogue's order.
    pub(super) fn join(catalogue: &'t Table, reference: &'t Table) -> Result<Self> {
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

    /// The pairs that pass the selection.
    pub(super) fn selected(&self, options: &CompareOptions) -> Result<Self> {
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
            let in_reference = self.reference.get(name);
            let column = in_reference.map_or_else(|| self.catalogue.column(name), Ok)?;
            for (keep, &(catalogue_row, reference_row)) in keep.iter_mut().zip(&self.rows) {
                *keep &= !is_set(column, if in_reference.is_some() { reference_row } else { catalogue_row })?;
            }
        }
        if let Some(limit) = options.quality_flags_below {
            let flags = self.of_catalogue("quality_flags")?;
            keep.iter_mut().zip(&flags).for_each(|(keep, flags)| *keep &= *flags < limit as f64);
        }
        let rows = self.rows.iter().zip(keep).filter(|(_, keep)| *keep).map(|(&pair, _)| pair).collect();
        Ok(Self { rows, ..*self })
    }

    /// Residuals and pulls of one quantity.
    pub(super) fn quantity(&self, name: &str) -> Result<QuantityComparison> {
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
pub(super) fn common_quantities(catalogue: &Table, reference: &Table) -> Vec<String> {
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
            .found(values.value_type().to_string())
            .expected("one boolean or integer per row, to exclude by")
            .remedy("Name another column with --exclude.")),
    }
}
