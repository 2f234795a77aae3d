//! VOTable, read only: TABLEDATA, BINARY and BINARY2 of one table of the document (IVOA Recommendation
//! VOTable 1.4), as a stream: a document is never held whole, nor trusted in what it says of its own size.
//!
//! Empty cells, NaN, empty lists, `VALUES null` and BINARY2's flags are null. Bits are booleans, texts of two
//! lengths (`5x3`) lists of text; complex numbers and types that VOTable does not know are left out, and
//! named when they are asked for.

mod binary;
mod cells;
mod choice;
mod document;
mod encoding;
mod field;
#[cfg(test)]
mod hostile;
mod null;
mod rows;
mod stream;
mod tables;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::table::builder::ColumnBuilder;
use crate::table::fits;
use crate::table::read::{Chunks, positions, unsupported};
use crate::table::{ColumnSchema, Location, UnreadColumn};
use field::Field;
use rows::Rows;
use std::collections::BTreeMap;
use std::path::Path;
use tables::Tables;

/// A column of the file, with a builder where it is wanted.
struct Source {
    field: Field,
    builder: Option<ColumnBuilder>,
}

/// What is wrong with a cell: what was found and what was expected.
type Misfit = (String, String);

/// The columns' descriptions, from the document up to the data of the table.
///
/// # Errors
/// As [`chunks`], as far as the document is read.
pub(super) fn schema(location: &Location) -> Result<Vec<ColumnSchema>> {
    let fields = Tables::open(location)?.find()?.fields;
    Ok(fields.into_iter().map(|field| field.schema).collect())
}

/// The columns that a VOTable without data describes, which stands in another file, and its metadata.
/// `number` counts the tables of the document from 1.
///
/// # Errors
/// When it is damaged or does not have the table.
pub(super) fn described(path: &Path, text: String, number: usize) -> Result<(Vec<ColumnSchema>, BTreeMap<String, String>)> {
    let head = Tables::described(path, text, number)?;
    Ok((head.fields.into_iter().map(|field| field.schema).collect(), fits::of_copy(head.metadata)))
}

/// Chunks of at most `rows` rows. The end of the document is read before the last one is given, with what it
/// says of the table.
///
/// # Errors
/// When the document is damaged or no VOTable, does not have the table, or a column that is named cannot be
/// read.
pub(super) fn chunks(location: &Location, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let path = location.file.as_path();
    let mut tables = Tables::open(location)?;
    let mut head = tables.find()?;
    head.metadata = fits::of_copy(head.metadata);
    let available: Vec<String> = head.fields.iter().map(|field| field.schema.name.clone()).collect();
    let mut wanted = positions(path, &available, names)?;
    let mut unread = Vec::new();
    if names.is_none() {
        wanted.retain(|&i| head.fields[i].column_type.is_some());
        let others = head.fields.iter().filter(|field| field.column_type.is_none());
        unread.extend(others.map(|field| UnreadColumn { schema: field.schema.clone(), found: field.found() }));
    }
    let fields = std::mem::take(&mut head.fields);
    let mut sources: Vec<Source> = fields.into_iter().map(|field| Source { field, builder: None }).collect();
    for &i in &wanted {
        let field = &sources[i].field;
        let column_type = field.column_type.ok_or_else(|| unsupported(path, &field.schema.name, field.found()))?;
        sources[i].builder = Some(ColumnBuilder::new(field.schema.clone(), column_type));
    }
    Ok(Box::new(Rows::new(tables, head, sources, wanted, rows)?.leaving_out(unread)))
}
