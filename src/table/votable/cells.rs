//! One TABLEDATA cell to the values of one row.

use super::Misfit;
use super::field::{Datatype, Field};
use crate::table::builder::ColumnBuilder;
use crate::table::csv::cells::is_integer;
use crate::table::{Layout, Unheld, ValueType, Values};
use fast_float2::FastFloat;
use std::str::FromStr;

/// Appends the row that `cell` stands for.
pub(super) fn push(builder: &mut ColumnBuilder, field: &Field, cell: &str) -> Result<(), Misfit> {
    let bare = cell.trim_ascii();
    let is_scalar = builder.column_type().layout == Layout::Scalar;
    if bare.is_empty() || is_scalar && field.null.is_text(bare) {
        builder.push_null();
        return Ok(());
    }
    let column_type = builder.column_type();
    let misfit = |item: &str| (format!("'{}'", shortened(item)), column_type.to_string());
    let n_before = builder.values().len();
    let null = match builder.values() {
        Values::Text(values) => {
            if is_scalar {
                values.push(cell.trim_end_matches('\0').to_owned());
            } else {
                push_texts(values, field, cell);
            }
            Ok(None)
        }
        Values::Bool(values) if field.datatype == Datatype::Bit => items(bits(bare), values, |item| match item {
            "0" => Some(Some(false)),
            "1" => Some(Some(true)),
            _ => None,
        }),
        Values::Bool(values) => items(bare.split_ascii_whitespace(), values, |item| match item {
            "?" => Some(None),
            item if field.null.is_text(item) => Some(None),
            item => boolean(item).map(Some),
        }),
        Values::Int32(values) => items(bare.split_ascii_whitespace(), values, |item| match integer_or_null(field, item)? {
            Some(value) => i32::try_from(value).ok().map(Some),
            None => Some(None),
        }),
        Values::Int64(values) => items(bare.split_ascii_whitespace(), values, |item| integer_or_null(field, item)),
        Values::Float32(values) => items(bare.split_ascii_whitespace(), values, |item| match float(item) {
            Some(value) if !field.null.is_float(value) => Some(Some(value)),
            Some(_) => Some(Some(f32::NAN)),
            None => is_null(field, item).then_some(Some(f32::NAN)),
        }),
        Values::Float64(values) => items(bare.split_ascii_whitespace(), values, |item| match float(item) {
            Some(value) if !field.null.is_double(value) => Some(Some(value)),
            Some(_) => Some(Some(f64::NAN)),
            None => is_null(field, item).then_some(Some(f64::NAN)),
        }),
    };
    let null = match null {
        Err(item) if is_long_integer(builder, item) => {
            builder.push_unheld(Unheld::too_large(String::new(), shortened(item)));
            return Ok(());
        }
        null => null.map_err(misfit)?,
    };
    match null {
        None => builder.end_row().map_err(|length| (format!("{length} values"), column_type.to_string())),
        Some(_) if is_scalar => {
            builder.values().resize_with_null(n_before);
            builder.push_null();
            Ok(())
        }
        Some(item) => {
            builder.push_unheld(Unheld::null_in_list(String::new(), format!("a null ({item}) inside a list")));
            Ok(())
        }
    }
}

/// Whether an item that did not parse is an integer beyond 64 bits with a sign among others of 64.
fn is_long_integer(builder: &ColumnBuilder, item: &str) -> bool {
    builder.column_type().values == ValueType::Int64 && is_integer(item)
}

/// Appends the items that parse. Gives back an item that is null for a type that has no null for single
/// values, if there is one.
///
/// # Errors
/// The item that does not parse.
fn items<'a, T: Default>(
    items: impl Iterator<Item = &'a str>,
    values: &mut Vec<T>,
    parse: impl Fn(&'a str) -> Option<Option<T>>,
) -> Result<Option<&'a str>, &'a str> {
    let mut null = None;
    for item in items {
        let value = parse(item).ok_or(item)?;
        null = if value.is_none() { Some(item) } else { null };
        values.push(value.unwrap_or_default());
    }
    Ok(null)
}

/// Bits stand with or without blanks between them.
fn bits(cell: &str) -> impl Iterator<Item = &str> {
    cell.char_indices()
        .filter(|(_, character)| !character.is_ascii_whitespace())
        .map(|(position, character)| &cell[position..position + character.len_utf8()])
}

fn is_null(field: &Field, item: &str) -> bool {
    item == "?" || field.null.is_text(item)
}

fn integer_or_null(field: &Field, item: &str) -> Option<Option<i64>> {
    if is_null(field, item) {
        return Some(None);
    }
    integer(item).map(|value| (!field.null.is_integer(value)).then_some(value))
}

/// A decimal or hexadecimal (`0x1f`) integer.
pub(super) fn integer(item: &str) -> Option<i64> {
    let hexadecimal = || i64::from_str_radix(item.strip_prefix("0x").or_else(|| item.strip_prefix("0X"))?, 16).ok();
    item.parse().ok().or_else(hexadecimal)
}

/// A float, `NaN`, `Inf`, `+Inf` or `-Inf` in any case.
pub(super) fn float<T: FastFloat + FromStr>(item: &str) -> Option<T> {
    fast_float2::parse(item).ok().or_else(|| item.parse().ok())
}

/// Appends texts of a fixed width that follow one another: as many as a row has, the missing ones empty.
fn push_texts(values: &mut Vec<String>, field: &Field, cell: &str) {
    let n_before = values.len();
    let mut rest = cell;
    while !rest.is_empty() && field.width > 0 {
        let end = rest.char_indices().nth(field.width).map_or(rest.len(), |(position, _)| position);
        values.push(trimmed(&rest[..end]));
        rest = &rest[end..];
    }
    if let Some(Layout::Fixed(length)) = field.column_type.map(|column_type| column_type.layout)
        && values.len() > n_before
    {
        values.resize(values.len().max(n_before + length), String::new());
    }
}

/// A text of a list without what fills it up to its width.
pub(super) fn trimmed(text: &str) -> String {
    text.split('\0').next().unwrap_or_default().trim_end_matches(' ').to_owned()
}

/// `T`, `t`, `1`, `true` and their opposites.
pub(super) fn boolean(item: &str) -> Option<bool> {
    match item.to_ascii_lowercase().as_str() {
        "t" | "1" | "true" => Some(true),
        "f" | "0" | "false" => Some(false),
        _ => None,
    }
}

/// The start of a cell, for messages.
fn shortened(item: &str) -> String {
    const MOST: usize = 60;
    match item.char_indices().nth(MOST) {
        Some((position, _)) => format!("{}…", &item[..position]),
        None => item.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_votable_spells_them() {
        assert_eq!((integer("+12"), integer("0x1F"), integer("-7"), integer("1.0")), (Some(12), Some(31), Some(-7), None));
        for (text, expected) in
            [("Inf", f64::INFINITY), ("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY), ("+1.5E2", 150.0), (".5", 0.5)]
        {
            assert_eq!(float::<f64>(text), Some(expected), "{text}");
        }
        assert!(float::<f32>("nan").is_some_and(f32::is_nan) && float::<f32>("NaN").is_some_and(f32::is_nan));
        assert_eq!((float::<f64>("1,5"), float::<f64>("")), (None, None));
    }
}
