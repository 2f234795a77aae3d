//! Arrow arrays to columns. Values of the types that tables hold are taken over from the decoder without a
//! copy.

use crate::error::{Error, Result};
use crate::table::builder::is_float;
use crate::table::read::unsupported;
use crate::table::{Column, ColumnSchema, Shape, Unheld, Values, limits};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, DecimalType, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, OffsetSizeTrait};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_schema::DataType;
use std::collections::HashMap;
use std::path::Path;

/// Digits of decimals whose every value is a whole number that a 64-bit float holds, and powers of ten that
/// it holds.
const EXACT_DIGITS: u8 = 15;
const EXACT_SCALE: i8 = 22;

/// The file that arrays come from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub path: &'a Path,
    /// Its size, against which is held what texts become in memory.
    pub bytes: u64,
    /// The row of the file with which the arrays begin.
    pub first_row: u64,
}

/// Whether a table can hold values of this type, as scalars or lists. Bytes count as text: whether they are
/// is seen in their values.
pub(super) fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => is_value(item.data_type()),
        other => is_value(other) || is_bytes(other) || is_exact_decimal(other),
    }
}

/// Whether values are bytes, which may be text.
pub(super) fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// A type in words, for messages.
pub(super) fn described(data_type: &DataType) -> String {
    const MOST: usize = 200;
    let text = data_type.to_string();
    match text.char_indices().nth(MOST) {
        Some((position, _)) => format!("values of type {}…", &text[..position]),
        None => format!("values of type {text}"),
    }
}

fn is_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_value(values) && !matches!(**values, DataType::Dictionary(_, _)),
        other => {
            matches!(other, DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
                || other.is_integer()
                || other.is_floating()
        }
    }
}

fn is_exact_decimal(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) | DataType::Decimal128(digits, scale) => {
            *digits <= EXACT_DIGITS && (0..=EXACT_SCALE).contains(scale)
        }
        _ => false,
    }
}

/// The column that an array is. A null row is null, and so is a float that is NaN and a list that holds
/// nothing but NaN or nulls; a null inside a list of floats is NaN. Rows with a null beside values of another
/// type, or with an integer beyond 64 bits with a sign, are null, and the column says so where it is needed
/// ([`Column::require_held`]).
///
/// # Errors
/// When a table cannot hold the type or a value: bytes that are no text.
pub(super) fn column(origin: Origin, schema: ColumnSchema, array: ArrayRef) -> Result<Column> {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let n_rows = array.len();
    let (flat, shape) = match array.data_type() {
        DataType::List(_) => list::<i32>(&array),
        DataType::LargeList(_) => list::<i64>(&array),
        DataType::ListView(_) => return list_view::<i32>(origin, schema, &array, nulls),
        DataType::LargeListView(_) => return list_view::<i64>(origin, schema, &array, nulls),
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            (array.as_fixed_size_list().values().slice(0, n_rows * length), Shape::Fixed(length))
        }
        _ => (array.clone(), Shape::Scalar),
    };
    // The decoder's memory becomes the column's own, unless someone else holds it too.
    drop(array);
    let inner = if shape == Shape::Scalar { None } else { flat.logical_nulls().filter(|nulls| nulls.null_count() > 0) };
    let too_large = too_large(&flat);
    let values = values(origin, &schema.name, flat)?;
    finished(origin, Column { schema, values, shape, valid: None }, n_rows, nulls.as_ref(), &Inner { nulls: inner, too_large })
}

/// What is wrong with single values: within lists they are null, and among all there are integers beyond 64
/// bits with a sign.
struct Inner {
    nulls: Option<NullBuffer>,
    /// Positions and values.
    too_large: Vec<(usize, u64)>,
}

/// Integers that are too large, with their positions; what lies under a null is no value.
fn too_large(array: &ArrayRef) -> Vec<(usize, u64)> {
    match array.data_type() {
        DataType::UInt64 => {
            let array = array.as_primitive::<UInt64Type>();
            let values = array.values().iter().copied().enumerate();
            values.filter(|&(i, value)| i64::try_from(value).is_err() && array.is_valid(i)).collect()
        }
        DataType::Dictionary(_, values) if **values == DataType::UInt64 => {
            let dictionary = array.as_any_dictionary();
            let entries: HashMap<usize, u64> = too_large(dictionary.values()).into_iter().collect();
            if entries.is_empty() {
                return Vec::new();
            }
            let keys = dictionary.normalized_keys().into_iter().enumerate();
            keys.filter(|&(i, _)| array.is_valid(i)).filter_map(|(i, key)| Some((i, *entries.get(&key)?))).collect()
        }
        _ => Vec::new(),
    }
}

/// The column with its null rows; `inner` is told of the flat values.
fn finished(origin: Origin, column: Column, n_rows: usize, nulls: Option<&NullBuffer>, inner: &Inner) -> Result<Column> {
    let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let mut unheld: Option<Unheld> = None;
    let mut is_held = vec![];
    let place = |row: usize| format!("{}, row {}", origin.path.display(), origin.first_row + row as u64);
    if let Some(inner) = inner.nulls.as_ref().filter(|_| !is_float(column.values.value_type())) {
        is_held = vec![true; n_rows];
        for row in (0..n_rows).filter(|&row| is_valid(row) && column.range(row).any(|i| inner.is_null(i))) {
            is_held[row] = false;
            let is_nothing = column.range(row).all(|i| inner.is_null(i));
            if !is_nothing {
                unheld.get_or_insert_with(|| Unheld::null_in_list(place(row), "a null inside the list"));
            }
        }
    }
    if !inner.too_large.is_empty() {
        is_held.resize(n_rows, true);
        let mut large = inner.too_large.iter().peekable();
        for (row, is_held) in is_held.iter_mut().enumerate() {
            let end = column.range(row).end;
            while let Some((_, value)) = large.next_if(|(position, _)| *position < end) {
                *is_held = false;
                // What lies in a list that is null is no value.
                if is_valid(row) {
                    unheld.get_or_insert_with(|| Unheld::too_large(place(row), value.to_string()));
                }
            }
        }
    }
    let has_no_values = |row: usize| match &column.values {
        Values::Float32(values) => is_all_nan(&values[column.range(row)], |value| value.is_nan()),
        Values::Float64(values) => is_all_nan(&values[column.range(row)], |value| value.is_nan()),
        _ => false,
    };
    if nulls.is_none() && is_held.is_empty() && column.shape != Shape::Fixed(0) && !(0..n_rows).any(has_no_values) {
        return Ok(column);
    }
    let is_held = |row: usize| is_held.get(row).is_none_or(|&is_held| is_held);
    let valid = (0..n_rows).map(|row| is_valid(row) && is_held(row) && !has_no_values(row)).collect();
    let column = column.with_valid(valid);
    Ok(match unheld {
        Some(unheld) => column.with_unheld(unheld),
        None => column,
    })
}

fn is_all_nan<T>(values: &[T], is_nan: impl Fn(&T) -> bool) -> bool {
    !values.is_empty() && values.iter().all(is_nan)
}

/// The flat values of a list array and the offsets into them.
fn list<Offset: OffsetSizeTrait>(array: &ArrayRef) -> (ArrayRef, Shape) {
    let list = array.as_list::<Offset>();
    let offsets: Vec<usize> = list.value_offsets().iter().map(|offset| offset.as_usize()).collect();
    let (start, end) = (offsets[0], offsets[offsets.len() - 1]);
    let shape = if start == 0 { offsets } else { offsets.into_iter().map(|offset| offset - start).collect() };
    (list.values().slice(start, end - start), Shape::Variable(shape))
}

/// Lists that may lie anywhere among the values, in any order, are put one after the other.
fn list_view<Offset: OffsetSizeTrait>(
    origin: Origin,
    schema: ColumnSchema,
    array: &ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<Column> {
    let list = array.as_list_view::<Offset>();
    let is_valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let ranges: Vec<std::ops::Range<usize>> = (0..list.len())
        .map(|row| {
            let start = list.value_offset(row).as_usize();
            if is_valid(row) { start..start + list.value_size(row).as_usize() } else { start..start }
        })
        .collect();
    let mut offsets = vec![0];
    offsets.extend(ranges.iter().scan(0, |end, range| {
        *end += range.len();
        Some(*end)
    }));
    limits::check(origin.path, origin.bytes, offsets.last().map_or(0, |&n| n as u64 * 8))?;
    let inner = list.values().logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let inner = inner.map(|nulls| ranges.iter().cloned().flatten().map(|i| nulls.is_valid(i)).collect::<NullBuffer>());
    let large: HashMap<usize, u64> = too_large(list.values()).into_iter().collect();
    let too_large = match large.is_empty() {
        true => Vec::new(),
        false => {
            let all = ranges.iter().cloned().flatten().enumerate();
            all.filter_map(|(position, i)| Some((position, *large.get(&i)?))).collect()
        }
    };
    let values = values(origin, &schema.name, list.values().clone())?.gather(ranges.iter().cloned().flatten());
    let column = Column { schema, values, shape: Shape::Variable(offsets), valid: None };
    finished(origin, column, array.len(), nulls.as_ref(), &Inner { nulls: inner, too_large })
}

/// All values of an array; nulls are NaN for floats, and anything for other types.
fn values(origin: Origin, name: &str, array: ArrayRef) -> Result<Values> {
    macro_rules! widened {
        ($arrow:ty, $variant:ident, $to:ty) => {
            Values::$variant(array.as_primitive::<$arrow>().values().iter().map(|&value| <$to>::from(value)).collect())
        };
    }
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    let mut values = match array.data_type() {
        DataType::Boolean => Values::Bool(array.as_boolean().values().iter().collect()),
        DataType::Int8 => widened!(Int8Type, Int32, i32),
        DataType::Int16 => widened!(Int16Type, Int32, i32),
        DataType::Int32 => Values::Int32(taken::<Int32Type>(array)),
        DataType::UInt8 => widened!(UInt8Type, Int32, i32),
        DataType::UInt16 => widened!(UInt16Type, Int32, i32),
        DataType::UInt32 => widened!(UInt32Type, Int64, i64),
        DataType::Int64 => Values::Int64(taken::<Int64Type>(array)),
        // Those that are too large have been taken note of.
        DataType::UInt64 => Values::Int64(
            array.as_primitive::<UInt64Type>().values().iter().map(|&value| i64::try_from(value).unwrap_or(0)).collect(),
        ),
        DataType::Float16 => widened!(Float16Type, Float32, f32),
        DataType::Float32 => Values::Float32(taken::<Float32Type>(array)),
        DataType::Float64 => Values::Float64(taken::<Float64Type>(array)),
        DataType::Decimal32(_, scale) => Values::Float64(decimals::<Decimal32Type>(&array, *scale)),
        DataType::Decimal64(_, scale) => Values::Float64(decimals::<Decimal64Type>(&array, *scale)),
        DataType::Decimal128(_, scale) => Values::Float64(decimals::<Decimal128Type>(&array, *scale)),
        // A column that is null throughout, as pandas writes it.
        DataType::Null => Values::Float64(vec![f64::NAN; array.len()]),
        DataType::Utf8 => owned(origin, array.as_string::<i32>().iter())?,
        DataType::LargeUtf8 => owned(origin, array.as_string::<i64>().iter())?,
        DataType::Utf8View => owned(origin, array.as_string_view().iter())?,
        DataType::Binary => bytes(origin, name, array.as_binary::<i32>().iter())?,
        DataType::LargeBinary => bytes(origin, name, array.as_binary::<i64>().iter())?,
        DataType::BinaryView => bytes(origin, name, array.as_binary_view().iter())?,
        DataType::FixedSizeBinary(_) => bytes(origin, name, array.as_fixed_size_binary().iter())?,
        DataType::Dictionary(_, _) => return dictionary(origin, name, &array),
        other => return Err(unsupported(origin.path, name, described(other))),
    };
    if is_float(values.value_type())
        && let Some(nulls) = nulls
    {
        (0..nulls.len()).filter(|&i| nulls.is_null(i)).for_each(|i| values.fill_null(i..i + 1));
    }
    Ok(values)
}

/// The values of an array in its own memory, if nothing else holds it.
fn taken<T: ArrowPrimitiveType>(array: ArrayRef) -> Vec<T::Native> {
    let primitive = array.as_primitive::<T>().clone();
    drop(array);
    let (_, values, _) = primitive.into_parts();
    values.into_inner().into_vec().unwrap_or_else(|buffer| ScalarBuffer::<T::Native>::from(buffer).to_vec())
}

fn decimals<T: DecimalType>(array: &ArrayRef, scale: i8) -> Vec<f64>
where
    T::Native: Into<i128>,
{
    let power = 10_f64.powi(scale.into());
    // Both are exact, so that the quotient is the float next to the decimal.
    let exact = |&value: &T::Native| Into::<i128>::into(value) as f64;
    array.as_primitive::<T>().values().iter().map(|value| exact(value) / power).collect()
}

fn owned<'a>(origin: Origin, texts: impl Iterator<Item = Option<&'a str>> + Clone) -> Result<Values> {
    check_text(origin, texts.clone().map(|text| text.map_or(0, str::len)))?;
    Ok(Values::Text(texts.map(|text| text.unwrap_or_default().to_owned()).collect()))
}

/// A few bytes of a dictionary may be the text of every row.
fn check_text(origin: Origin, lengths: impl Iterator<Item = usize>) -> Result<()> {
    limits::check(origin.path, origin.bytes, lengths.fold(0_u64, |sum, length| sum.saturating_add(length as u64)))
}

/// Bytes as text, without the NULs that fill up texts of a fixed length.
fn bytes<'a>(origin: Origin, name: &str, cells: impl Iterator<Item = Option<&'a [u8]>> + Clone) -> Result<Values> {
    check_text(origin, cells.clone().map(|cell| cell.map_or(0, <[u8]>::len)))?;
    let text = |(row, cell): (usize, Option<&[u8]>)| {
        let text = str::from_utf8(cell.unwrap_or_default()).map_err(|error| {
            Error::data(format!("{}, column '{name}'", origin.path.display()))
                .found(format!("bytes in value {row} that are no text in UTF-8"))
                .expected("text")
                .remedy("Convert the column, or read only the columns that are needed.")
                .source(error)
        })?;
        Ok(text.trim_end_matches('\0').to_owned())
    };
    Ok(Values::Text(cells.enumerate().map(text).collect::<Result<_>>()?))
}

fn dictionary(origin: Origin, name: &str, array: &ArrayRef) -> Result<Values> {
    let dictionary = array.as_any_dictionary();
    let mut entries = values(origin, name, dictionary.values().clone())?;
    if dictionary.values().is_empty() {
        entries.resize_with_null(array.len());
        return Ok(entries);
    }
    let keys = dictionary.normalized_keys();
    if let Values::Text(texts) = &entries {
        check_text(origin, keys.iter().map(|&key| texts[key].len()))?;
    }
    let mut values = entries.gather(keys.into_iter());
    if is_float(values.value_type())
        && let Some(nulls) = array.logical_nulls()
    {
        (0..nulls.len()).filter(|&i| nulls.is_null(i)).for_each(|i| values.fill_null(i..i + 1));
    }
    Ok(values)
}
