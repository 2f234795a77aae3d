//! One TABLEDATA cell to the values of one row.

use super::Misfit;
use super::field::Field;
use crate::table::builder::ColumnBuilder;
use crate::table::{Layout, Values};
use std::str::FromStr;

/// Appends the row that `cell` stands for.
pub(super) fn push(builder: &mut ColumnBuilder, field: &Field, cell: &str) -> Result<(), Misfit> {
    if cell.trim_ascii().is_empty() {
        builder.push_null();
        return Ok(());
    }
    let expected = builder.column_type().to_string();
    let is_scalar = builder.column_type().layout == Layout::Scalar;
    let null = field.null.map(|null| null.to_string());
    let is_null = |item: &str| null.as_deref() == Some(item) || item == "?";
    if is_scalar && is_null(cell.trim_ascii()) {
        builder.push_null();
        return Ok(());
    }
    let misfit = |item: &str| (format!("'{item}'"), expected.clone());
    if let Values::Text(values) = builder.values() {
        values.push(cell.trim_end_matches('\0').to_owned());
    } else {
        for item in cell.split_ascii_whitespace() {
            if is_null(item) {
                return Err((format!("a null ({item}) inside a list"), expected.clone()));
            }
            match builder.values() {
                Values::Bool(values) => values.push(boolean(item).ok_or_else(|| misfit(item))?),
                Values::Int32(values) => values.push(number(item).ok_or_else(|| misfit(item))?),
                Values::Int64(values) => values.push(number(item).ok_or_else(|| misfit(item))?),
                Values::Float32(values) => values.push(number(item).ok_or_else(|| misfit(item))?),
                Values::Float64(values) => values.push(number(item).ok_or_else(|| misfit(item))?),
                Values::Text(_) => {}
            }
        }
    }
    builder.end_row().map_err(|length| (format!("{length} values"), expected))
}

fn number<T: FromStr>(item: &str) -> Option<T> {
    item.parse().ok()
}

/// `T`, `t`, `1`, `true` and their opposites.
pub(super) fn boolean(item: &str) -> Option<bool> {
    match item.to_ascii_lowercase().as_str() {
        "t" | "1" | "true" => Some(true),
        "f" | "0" | "false" => Some(false),
        _ => None,
    }
}
