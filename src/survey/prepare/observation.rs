//! Columns and metadata that observation files have whatever their flux is of.

use super::{NOTES_COLUMN, Note};
use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::text::on_one_line;
use std::collections::BTreeMap;

/// A column with `length` values in every row.
pub(in crate::survey) fn list(name: &str, unit: &str, described: &str, ucd: &str, values: Vec<f32>, length: usize) -> Column {
    Column::fixed(ColumnSchema::new(name, unit, described).with_ucd(ucd), Values::Float32(values), length)
}

/// Fluxes and their errors `[n, W]`; `what` says of what and where.
pub(in crate::survey) fn flux_columns(unit: &str, what: &str, flux: Vec<f32>, error: Vec<f32>, w: usize) -> [Column; 2] {
    let described = format!("{what}; NaN where missing");
    [
        list("flux", unit, &described, "phot.flux.density;em.wl", flux, w),
        list("flux_error", unit, "Error of the flux; NaN where missing", "stat.error;phot.flux.density;em.wl", error, w),
    ]
}

/// The bits of [`Note`]s.
pub(in crate::survey) fn notes_column(notes: Vec<i32>) -> Column {
    let schema = ColumnSchema::new(NOTES_COLUMN, "", "What was wrong with the star's input: bits as in the metadata");
    Column::scalar(schema.with_ucd("meta.code.qual"), Values::Int32(notes))
}

/// Wavelengths and names of the fluxes, their unit (where they have one), the meaning of the notes, the
/// program, and the recipe, on one line as all metadata.
pub(in crate::survey) fn metadata(wavelengths: &[f64], bands: &[String], unit: &str, recipe: &str) -> BTreeMap<String, String> {
    let json = |value: serde_json::Value| value.to_string();
    [
        ("wavelengths", json(wavelengths.into())),
        ("bands", json(bands.into())),
        ("flux_unit", unit.into()),
        ("input_notes", Note::legend()),
        ("program", concat!("photosphere ", env!("CARGO_PKG_VERSION"), " prepare").into()),
        ("prepare_recipe", on_one_line(recipe).into_owned()),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(key, text)| (key.to_owned(), text))
    .collect()
}

/// Adds the columns of joined tables that are carried along, all but the identifier.
///
/// # Errors
/// When one has the name of a column that the table has already.
pub(in crate::survey) fn pass_through(table: &mut Table, others: &Table) -> Result<()> {
    for column in others.columns().iter().filter(|column| column.schema.name != "source_id") {
        let name = &column.schema.name;
        table.push(column.clone()).map_err(|_| {
            Error::data(format!("column '{name}'"))
                .found("a name that the observation file uses itself")
                .expected("another name")
                .remedy("Rename the column in the recipe (tables.rename).")
        })?;
    }
    Ok(())
}
