//! Tables of several files as one: columns of the same name in the same unit.

use super::standard::is_sentinel;
use crate::error::{Error, Result};
use crate::table::{Column, Table, Values};
use crate::unit::{self, Conversion};
use crate::warning::warn_once;

/// Appends the rows of another file, in the units of the first. Columns may stand in another order, and have
/// another inferred type. `place` names the other file.
///
/// # Errors
/// When a column's unit measures something else than in the first file, or the columns are not the same.
pub fn append(whole: &mut Table, more: Table, place: &str) -> Result<()> {
    let differs = |column: &Column| {
        whole.get(&column.schema.name).is_some_and(|first| first.schema.unit.trim() != column.schema.unit.trim())
    };
    if !more.columns().iter().any(differs) {
        return whole.append_alike(more);
    }
    let mut converted = Table::with_rows(more.n_rows());
    converted.metadata.clone_from(&more.metadata);
    converted.unread.clone_from(&more.unread);
    for column in more.columns() {
        let column = match whole.get(&column.schema.name) {
            Some(first) => like(column, &first.schema.unit, place)?,
            None => column.clone(),
        };
        converted.push(column)?;
    }
    whole.append_alike(converted)
}

/// The column in the unit of the first file's.
fn like(column: &Column, target: &str, place: &str) -> Result<Column> {
    let (name, stated) = (&column.schema.name, column.schema.unit.trim());
    if stated == target.trim() {
        return Ok(column.clone());
    }
    if unit::is_absent(stated) || unit::is_absent(target) || unit::parse(stated).is_err() || unit::parse(target).is_err() {
        let taken = |text: &str| if unit::is_absent(text) { "no unit".to_owned() } else { format!("the unit '{text}'") };
        warn_once(format!("{place}, column '{name}' has {}, the first file {}: taken as the same", taken(stated), taken(target)));
        return Ok(column.clone());
    }
    in_unit(column, target)
}

/// A column of numbers, scalars or lists, in another unit; its type stays where it is a float. A column of
/// errors (`…_error`) is not shifted where its values would be.
///
/// # Errors
/// When the column's unit is none that is known or measures something else, or the column is not of numbers.
pub fn in_unit(column: &Column, target: &str) -> Result<Column> {
    let stated = column.schema.unit.trim();
    let conversion = unit::conversion(stated, target).ok_or_else(|| {
        Error::data(format!("column '{}'", column.schema.name))
            .found(format!("the unit '{stated}'"))
            .expected(format!("a unit of the same kind as {target}"))
            .remedy("Correct the unit in the file, or convert the column.")
    })?;
    let is_error = column.schema.name.ends_with("_error");
    let conversion = if is_error { Conversion { offset: 0.0, ..conversion } } else { conversion };
    let mut column = column.clone();
    column.schema.unit = target.to_owned();
    if conversion.is_identity() {
        return Ok(column);
    }
    // What stands for no value does so by its digits, which are no measurement in any unit.
    let converted = |value: f64| if is_sentinel(value) { value } else { conversion.value(value) };
    column.values = match column.values {
        Values::Float32(values) => Values::Float32(values.into_iter().map(|value| converted(value.into()) as f32).collect()),
        Values::Float64(values) => Values::Float64(values.into_iter().map(converted).collect()),
        _ => Values::Float64(column.flat_f64()?.into_iter().map(converted).collect()),
    };
    Ok(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnSchema;

    fn table(unit: &str, value: f32) -> Table {
        let flux = Column::fixed(ColumnSchema::new("flux", unit, ""), Values::Float32(vec![value, 2.0 * value]), 2);
        Table::new(vec![flux]).unwrap()
    }

    #[test]
    fn files_in_other_units_are_brought_to_those_of_the_first() {
        let mut whole = table("10**-18 W.m**-2.nm**-1", 10.0);
        append(&mut whole, table("1e-15 erg / (Angstrom s cm2)", 1.0), "b.fits").unwrap();
        append(&mut whole, table("1e-18 W / (nm m2)", 10.0), "c.fits").unwrap();
        append(&mut whole, table("", 10.0), "d.fits").unwrap();
        assert_eq!(whole.column("flux").unwrap().values, Values::Float32([10.0, 20.0].repeat(4)));
        append(&mut whole, table("1e-15 erg / (Angstrom s cm2)", -9999.0), "sentinel.fits").unwrap();
        let flux = whole.column("flux").unwrap().flat_f64().unwrap();
        assert_eq!(flux[8..], [-9999.0, -199_980.0], "a sentinel stays what it means");
        let message = append(&mut whole, table("Jy", 1.0), "e.fits").unwrap_err().to_string();
        assert!(message.contains("column 'flux': found the unit 'Jy'"), "{message}");
    }
}
