//! Rows of the same star in two tables: the join, the selection, and one quantity's residuals and pulls.

use super::{CompareOptions, ComparedValues, QuantityComparison};
use crate::error::{Error, Result};
use crate::model;
use crate::quantity::{Notices, Quantity, Role, in_unit};
use crate::run::provenance;
use crate::statistics::{median, percentiles, pull_statistics, robust_scatter};
use crate::table::{Column, Shape, Table, Values};
use crate::unit;
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

    /// A column of one side, pair by pair, as numbers.
    fn of(&self, side: Side, name: &str) -> Result<Vec<f64>> {
        let values = self.column(side, name)?.to_f64().map_err(|error| error.within(side.name()))?;
        Ok(self.rows.iter().map(|&pair| values[side.row(pair)]).collect())
    }

    fn column(&self, side: Side, name: &str) -> Result<&'t Column> {
        let table = match side {
            Side::Catalogue => self.catalogue,
            Side::Reference => self.reference,
        };
        table.column(name).map_err(|error| error.within(side.name()))
    }

    /// Values of a quantity, or their errors, in the catalogue's unit (that of the quantity where the
    /// catalogue states none), pair by pair; NaN also where a number is beyond reason. Values without a unit
    /// are in the unit in which the quantity is used, whatever the other table has.
    pub(super) fn read(&self, side: Side, quantity: &str, role: Role) -> Result<Vec<f64>> {
        let column_name = match side {
            Side::Catalogue => quantity.to_owned(),
            Side::Reference => reference_name(self.reference, quantity),
        };
        let unit = self.catalogue.get(quantity).map_or("", |column| column.schema.unit.as_str());
        let values = self.column(side, &column_name)?;
        let known = Quantity::of(quantity);
        let stated = Some(values.schema.unit.clone()).filter(|unit| !unit::is_absent(unit));
        let partner = stated.or_else(|| known.unit.clone());
        let column = match role {
            Role::Value => values,
            Role::Error => self.column(side, &error_name(&column_name))?,
        };
        let mut notices = Notices::default();
        let read = known
            .with_unit(unit)
            .read(column.clone(), role, partner.as_deref(), &mut notices)
            .and_then(|column| column.to_f64())
            .map_err(|error| error.within(side.name()))?;
        notices.say(side.name());
        let finite = |value: f64| if value.is_finite() { value } else { f64::NAN };
        Ok(self.rows.iter().map(|&pair| finite(read[side.row(pair)])).collect())
    }

    /// Values by which stars are told apart: the truth where the reference has it; the mean of both by their
    /// errors where both are measured, with which their difference is not correlated; or else the
    /// catalogue's. (Stars that are chosen by an estimate have errors that are not centred on zero, however
    /// right.)
    pub(super) fn telling(&self, name: &str) -> Result<Vec<f64>> {
        if self.reference.get(&truth_name(name)).is_some() {
            return self.read(Side::Reference, name, Role::Value);
        }
        let mut values = self.read(Side::Catalogue, name, Role::Value)?;
        let (error, value) = (error_name(name), self.reference.get(name));
        if value.is_some() && self.reference.get(&error).is_some() && self.catalogue.get(&error).is_some() {
            let others = self.read(Side::Reference, name, Role::Value)?;
            let [error, of_others] = [Side::Catalogue, Side::Reference].map(|side| self.read(side, name, Role::Error));
            let (error, of_others) = (error?, of_others?);
            for (star, value) in values.iter_mut().enumerate() {
                let [own, other] = [error[star], of_others[star]].map(|error| error.powi(-2));
                let mean = (own * *value + other * others[star]) / (own + other);
                *value = if mean.is_finite() { mean } else { *value };
            }
        }
        Ok(values)
    }

    /// Quantiles of the posterior of a quantity `[5]`, pair by pair, in the unit of its values; `None` where
    /// the catalogue has none, or the reference has errors of its own.
    ///
    /// # Errors
    /// When they are in a unit that measures something else.
    pub(super) fn quantiles(&self, name: &str, reference_column: &str) -> Result<Option<Vec<Vec<f64>>>> {
        const LENGTH: usize = 5;
        let has_errors = self.reference.get(&error_name(reference_column)).is_some();
        let Some(column) = self.catalogue.get(&quantiles_name(name)).filter(|_| !has_errors) else { return Ok(None) };
        let matrix = column.to_matrix(LENGTH).map_err(|error| error.within(Side::Catalogue.name()))?;
        let (from, to) = (column.schema.unit.as_str(), self.column(Side::Catalogue, name)?.schema.unit.as_str());
        let conversion = match from == to || unit::is_absent(from) || unit::is_absent(to) {
            true => None,
            false => Some(unit::conversion(from, to).ok_or_else(|| {
                Error::data(format!("catalogue, column '{}'", column.schema.name))
                    .found(format!("the unit '{from}'"))
                    .expected(format!("quantiles of '{name}', which is in '{to}'"))
                    .remedy("Correct the unit of one of the columns.")
            })?),
        };
        let convert = |value: f64| conversion.map_or(value, |conversion| conversion.value(value));
        Ok(Some(self.rows.iter().map(|&(row, _)| matrix.row(row).iter().map(|value| convert(*value)).collect()).collect()))
    }

    /// The pairs that pass the selection.
    pub(super) fn selected(&self, options: &CompareOptions) -> Result<Self> {
        let mut keep = vec![true; self.rows.len()];
        for (name, &least) in &options.minimum_signal {
            let truth = self.read(Side::Reference, name, Role::Value)?;
            let error = self.read(Side::Catalogue, name, Role::Error)?;
            keep.iter_mut().zip(truth.iter().zip(&error)).for_each(|(keep, (truth, error))| *keep &= *truth > least * error);
        }
        for (name, &(low, high)) in &options.ranges {
            let truth = self.read(Side::Reference, name, Role::Value)?;
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
            let flags = self.of(Side::Catalogue, "quality_flags")?;
            keep.iter_mut().zip(&flags).for_each(|(keep, flags)| *keep &= *flags < limit as f64);
        }
        let rows = self.rows.iter().zip(keep).filter(|(_, keep)| *keep).map(|(&pair, _)| pair).collect();
        Ok(Self { rows, ..*self })
    }

    /// Residuals and pulls of one quantity.
    pub(super) fn quantity(&self, name: &str) -> Result<QuantityComparison> {
        let reference_column = reference_name(self.reference, name);
        let estimate = self.read(Side::Catalogue, name, Role::Value)?;
        let reference = self.read(Side::Reference, name, Role::Value)?;
        let residual: Vec<f64> = estimate.iter().zip(&reference).map(|(estimate, reference)| estimate - reference).collect();
        let has_error = self.catalogue.get(&error_name(name)).is_some();
        let error = if has_error { self.errors(name, &reference_column)? } else { vec![f64::NAN; residual.len()] };
        let pull: Vec<f64> = residual.iter().zip(&error).map(|(residual, error)| residual / error).collect();
        let over_error = |shared: f64, error: f64| if shared > 0.0 { (shared / error).min(1.0) } else { 0.0 };
        let shared = self.shared_errors(name)?;
        let shared = shared.map(|shared| shared.iter().zip(&error).map(|(&shared, &error)| over_error(shared, error)).collect());
        Ok(QuantityComparison {
            name: name.to_owned(),
            unit: self.catalogue.column(name)?.schema.unit.clone(),
            was_constraint: was_constraint(self.catalogue, name),
            n: residual.iter().filter(|residual| residual.is_finite()).count(),
            median: median(&residual),
            scatter: robust_scatter(&residual),
            interval_68: percentiles(&residual, [16.0, 84.0]),
            pulls: has_error.then(|| pull_statistics(&pull)),
            kolmogorov_smirnov: has_error.then(|| kolmogorov_smirnov_normal(&pull)),
            reference_column,
            values: ComparedValues { estimate, reference, pull, shared },
        })
    }

    /// Quadratic sum of both errors; NaN where the catalogue's error is not positive.
    fn errors(&self, name: &str, reference_column: &str) -> Result<Vec<f64>> {
        let error = self.read(Side::Catalogue, name, Role::Error)?;
        let reference_error = match self.reference.get(&error_name(reference_column)) {
            Some(_) => self.read(Side::Reference, name, Role::Error)?,
            None => vec![0.0; error.len()],
        };
        let both = |(&error, &of_reference): (&f64, &f64)| if error > 0.0 { error.hypot(of_reference) } else { f64::NAN };
        Ok(error.iter().zip(&reference_error).map(both).collect())
    }

    /// What like stars share of the catalogue's errors, pair by pair; `None` where it does not say of any.
    fn shared_errors(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(column) = self.catalogue.get(&shared_name(name)) else { return Ok(None) };
        let unit = self.catalogue.column(name)?.schema.unit.as_str();
        let converted =
            in_unit(column, unit).and_then(|column| column.to_f64()).map_err(|error| error.within(Side::Catalogue.name()))?;
        let values: Vec<f64> = self.rows.iter().map(|&(row, _)| converted[row]).collect();
        Ok(values.iter().any(|value| value.is_finite()).then_some(values))
    }
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Catalogue,
    Reference,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Reference => "reference",
        }
    }

    fn row(self, (catalogue, reference): (usize, usize)) -> usize {
        match self {
            Self::Catalogue => catalogue,
            Self::Reference => reference,
        }
    }
}

/// Whether a catalogue of `photosphere fit` was constrained by measured values of a quantity.
fn was_constraint(catalogue: &Table, name: &str) -> bool {
    let role = (name == "parallax").then(|| model::Role::Distance.name());
    let names: Vec<&str> = std::iter::once(name).chain(role).collect();
    provenance::was_constraint(catalogue, &names) == Some(true)
}

pub(super) fn error_name(name: &str) -> String {
    format!("{name}_error")
}

pub(super) fn quantiles_name(name: &str) -> String {
    format!("{name}_quantiles")
}

/// What like stars share of an error.
pub fn shared_name(name: &str) -> String {
    format!("{name}_shared_error")
}

pub(super) fn truth_name(name: &str) -> String {
    format!("true_{name}")
}

/// `true_<name>` where the reference has it, else `<name>`.
fn reference_name(reference: &Table, name: &str) -> String {
    let truth = truth_name(name);
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
    // A column of nothing has a type by chance.
    if table.get("source_id").is_some() && table.n_rows() == 0 {
        return Err(Error::data(which).found("no rows").expected("stars to compare").remedy("Name another table."));
    }
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
