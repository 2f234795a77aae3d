//! One cell to the values of one row. Numbers are parsed straight from the record's buffer.

use super::{is_null, list_content};
use crate::table::builder::ColumnBuilder;
pub(super) use crate::table::lists::shortened;
use crate::table::{Layout, Unheld, ValueType, Values};
use fast_float2::FastFloat;
use std::str::FromStr;

/// What was found in a cell that cannot be read as its column wants, and what was expected.
#[derive(Debug, PartialEq)]
pub(in crate::table) struct Misfit {
    pub found: String,
    pub expected: String,
}

/// Appends the row that `cell` stands for. A float that is NaN and a list of nothing but `null` or NaN are
/// null.
pub(in crate::table) fn push(builder: &mut ColumnBuilder, cell: &str) -> Result<(), Misfit> {
    if is_null(cell) {
        builder.push_null();
        return Ok(());
    }
    let column_type = builder.column_type();
    let misfit = |part: &str| Misfit { found: format!("'{}'", shortened(part)), expected: format!("{column_type}, or nothing") };
    if column_type.layout == Layout::Scalar {
        match builder.values() {
            Values::Bool(values) => values.push(boolean(cell).ok_or_else(|| misfit(cell))?),
            Values::Int32(values) => values.push(number(cell).ok_or_else(|| misfit(cell))?),
            Values::Int64(values) => match number(cell) {
                Some(value) => values.push(value),
                None if is_integer(cell) => {
                    builder.push_unheld(Unheld::too_large(String::new(), shortened(cell)));
                    return Ok(());
                }
                None => return Err(misfit(cell)),
            },
            Values::Float32(values) => match number::<f32>(cell).ok_or_else(|| misfit(cell))? {
                nan if nan.is_nan() => {
                    builder.push_null();
                    return Ok(());
                }
                value => values.push(value),
            },
            Values::Float64(values) => match number::<f64>(cell).ok_or_else(|| misfit(cell))? {
                nan if nan.is_nan() => {
                    builder.push_null();
                    return Ok(());
                }
                value => values.push(value),
            },
            Values::Text(values) => values.push(cell.to_owned()),
        }
    } else {
        let content = list_content(cell).ok_or_else(|| misfit(cell))?;
        let start = builder.values().len();
        let pushed = match builder.values() {
            Values::Bool(values) => list(content, values, boolean),
            Values::Int32(values) => list(content, values, number),
            Values::Int64(values) => list(content, values, number),
            Values::Float32(values) => floats(content, values, f32::NAN),
            Values::Float64(values) => floats(content, values, f64::NAN),
            Values::Text(values) => serde_json::from_str::<Vec<String>>(cell).map(|texts| values.extend(texts)).map_err(|_| cell),
        };
        let is_nothing = match (&pushed, builder.values()) {
            (Ok(()), Values::Float32(values)) => holds_only(&values[start..], |value| value.is_nan()),
            (Ok(()), Values::Float64(values)) => holds_only(&values[start..], |value| value.is_nan()),
            (Ok(()), _) => false,
            (Err(_), _) => content.split(',').all(|item| item.trim_matches(['[', ']', ' ']) == "null"),
        };
        if is_nothing {
            builder.abandon_row();
            builder.push_null();
            return Ok(());
        }
        if let Err(item) = pushed {
            let Some(unheld) = unheld_item(column_type.values, item) else { return Err(misfit(item)) };
            builder.push_unheld(unheld);
            return Ok(());
        }
    }
    builder
        .end_row()
        .map_err(|length| Misfit { found: format!("a list of {length} values"), expected: format!("{}", builder.column_type()) })
}

/// What an item of a list is that did not parse, though the file means it: a null beside values, or an
/// integer beyond 64 bits.
fn unheld_item(values: ValueType, item: &str) -> Option<Unheld> {
    let bare = item.trim_matches([' ', '[', ']', '\n', '\t']);
    let is_null = match values {
        ValueType::Text => serde_json::from_str::<Vec<Option<String>>>(item).is_ok(),
        _ => bare == "null",
    };
    if is_null {
        return Some(Unheld::null_in_list(String::new(), "a null inside a list"));
    }
    (values == ValueType::Int64 && is_integer(bare)).then(|| Unheld::too_large(String::new(), shortened(bare)))
}

/// Whether a cell is nothing but the digits of an integer, of whatever size, with or without a sign.
pub(in crate::table) fn is_integer(cell: &str) -> bool {
    let cell = cell.trim_ascii();
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether there are values, and all of them are such.
fn holds_only<T>(values: &[T], is_such: impl Fn(&T) -> bool) -> bool {
    !values.is_empty() && values.iter().all(is_such)
}

/// Appends the items between commas; inner brackets, of lists of lists, are passed over. Gives back an item
/// that does not parse.
fn list<'a, T>(content: &'a str, values: &mut Vec<T>, parse: impl Fn(&str) -> Option<T>) -> Result<(), &'a str> {
    if content.trim_ascii().is_empty() {
        return Ok(());
    }
    for item in content.split(',') {
        let bare = item.trim_matches([' ', '[', ']', '\n', '\t']);
        values.push(parse(bare).ok_or(item)?);
    }
    Ok(())
}

/// As [`list`], for floats in the usual style, number after number without looking for commas first; `null`
/// is NaN.
fn floats<'a, T: FastFloat + FromStr>(content: &'a str, values: &mut Vec<T>, null: T) -> Result<(), &'a str> {
    let n_before = values.len();
    let bytes = content.as_bytes();
    let mut position = 0;
    while let Ok((value, length)) = fast_float2::parse_partial(&bytes[position..]) {
        values.push(value);
        position += length;
        if position == bytes.len() {
            return Ok(());
        }
        if bytes[position] != b',' {
            break;
        }
        position += if bytes.get(position + 1) == Some(&b' ') { 2 } else { 1 };
    }
    values.truncate(n_before);
    list(content, values, |item| if item == "null" { Some(null) } else { number(item) })
}

fn number<T: FromStr>(cell: &str) -> Option<T> {
    // Blanks are rare: parse first, and trim only what does not parse.
    cell.parse().ok().or_else(|| cell.trim_ascii().parse().ok())
}

/// `True` or `false` in any case.
pub(in crate::table) fn boolean(cell: &str) -> Option<bool> {
    let cell = cell.trim_ascii();
    if cell.eq_ignore_ascii_case("true") {
        Some(true)
    } else if cell.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The narrowest of 64-bit integer and 64-bit float that all items of a list parse as; `None` for anything
/// else.
pub(in crate::table) fn list_type(cell: &str) -> Option<ValueType> {
    let content = list_content(cell)?;
    let mut values = ValueType::Int64;
    for item in content.split(',').map(|item| item.trim_matches([' ', '[', ']'])) {
        if item.parse::<i64>().is_ok() {
            continue;
        }
        if item.is_empty() && content.trim_ascii().is_empty() {
            break;
        }
        if item != "null" && item.parse::<f64>().is_err() {
            return None;
        }
        values = ValueType::Float64;
        break;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ColumnSchema, ColumnType, Shape};

    fn parsed(values: ValueType, layout: Layout, cells: &[&str]) -> Result<crate::table::Column, Misfit> {
        let mut builder = ColumnBuilder::new(ColumnSchema::new("x", "", ""), ColumnType { values, layout });
        cells.iter().try_for_each(|cell| push(&mut builder, cell))?;
        Ok(builder.take())
    }

    #[test]
    fn lists_in_the_archive_s_and_the_tool_s_style() {
        let cells = ["[1.5, null,-2e-3]", "(1.0, NaN, 3.0)", "null", "", "[]"];
        let column = parsed(ValueType::Float64, Layout::Variable, &cells).unwrap();
        assert_eq!(column.shape, Shape::Variable(vec![0, 3, 6, 6, 6, 6]));
        assert_eq!(column.valid, Some(vec![true, true, false, false, true]));
        assert_eq!(column.flat_f64().unwrap()[2], -2e-3);
        let texts = parsed(ValueType::Text, Layout::Fixed(2), &["[\"a, b\", \"c\"]"]).unwrap();
        assert_eq!(texts.values, Values::Text(vec!["a, b".into(), "c".into()]));
    }

    #[test]
    fn nothing_but_nan_or_null_is_null() {
        let column = parsed(ValueType::Float32, Layout::Scalar, &["1", "nan", "NaN", "-NaN", "inf"]).unwrap();
        assert_eq!(column.valid, Some(vec![true, false, false, false, true]));
        // As astropy 8.0.2 writes a masked column with `serialize_method = 'null_value'`.
        let column = parsed(ValueType::Float64, Layout::Fixed(2), &["[1.0,null]", "[null,null]", "[NaN,NaN]"]).unwrap();
        assert_eq!(column.valid, Some(vec![true, false, false]));
        let column = parsed(ValueType::Int64, Layout::Fixed(2), &["[1,2]", "[null,null]"]).unwrap();
        assert_eq!((column.valid, column.values), (Some(vec![true, false]), Values::Int64(vec![1, 2, 0, 0])));
        let column = parsed(ValueType::Bool, Layout::Variable, &["[null]", "[true]"]).unwrap();
        assert_eq!((column.valid, column.shape), (Some(vec![false, true]), Shape::Variable(vec![0, 0, 1])));
        let column = parsed(ValueType::Int64, Layout::Fixed(2), &["[1,null]", "[3,4]"]).unwrap();
        assert_eq!((column.valid.clone(), column.require_held().is_err()), (Some(vec![false, true]), true));
        let column = parsed(ValueType::Text, Layout::Variable, &["[\"a\",null]", "[]"]).unwrap();
        assert!(column.require_held().unwrap_err().to_string().contains("a null inside a list"));
        let column = parsed(ValueType::Int64, Layout::Scalar, &["18446744073709551615", "7"]).unwrap();
        assert_eq!(column.valid, Some(vec![false, true]));
        assert!(
            column.to_i64().unwrap_err().to_string().contains("found 18446744073709551615, expected at most 9223372036854775807")
        );
    }

    #[test]
    fn misfits_say_what_was_found() {
        let misfit = parsed(ValueType::Float64, Layout::Fixed(3), &["[1.0,x,2.0]"]).unwrap_err();
        assert_eq!((misfit.found.as_str(), misfit.expected.as_str()), ("'x'", "64-bit float list of length 3, or nothing"));
        assert_eq!(parsed(ValueType::Float64, Layout::Fixed(3), &["[1.0,2.0]"]).unwrap_err().found, "a list of 2 values");
        assert_eq!(parsed(ValueType::Float64, Layout::Variable, &["[1.0,,2.0]"]).unwrap_err().found, "''");
        assert_eq!(parsed(ValueType::Int64, Layout::Scalar, &["1.5"]).unwrap_err().found, "'1.5'");
        assert_eq!(parsed(ValueType::Int32, Layout::Scalar, &["3000000000"]).unwrap_err().found, "'3000000000'");
    }
}
