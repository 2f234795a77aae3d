//! Rows of BINARY and BINARY2 streams: big-endian values one after the other, with a count before lists of
//! varying length.

use super::document::Document;
use super::field::{Datatype, Field};
use super::stream::Stream;
use super::{Misfit, Source, cells};
use crate::error::Result;
use crate::table::builder::ColumnBuilder;
use crate::table::{Layout, Unheld, Values};

/// A column, and what is wrong with its cell.
type At = (usize, Misfit);

/// Appends one row to the builders. The result within is the number of bytes that the row has; or the
/// position of the column in which something is wrong, and what. `row` is the row of the table.
///
/// # Errors
/// As [`Stream::take`].
pub(super) fn push_row(
    document: &mut Document,
    stream: &mut Stream,
    sources: &mut [Source],
    flags: Option<&mut Vec<u8>>,
    row: u64,
) -> Result<std::result::Result<u64, At>> {
    let mut n_bytes = 0;
    let mut is_null: &[u8] = &[];
    if let Some(flags) = flags {
        match stream.take(document, sources.len().div_ceil(8))? {
            Ok(bytes) => {
                flags.clear();
                flags.extend_from_slice(bytes);
                n_bytes += flags.len() as u64;
                is_null = flags;
            }
            Err(misfit) => return Ok(Err((0, misfit))),
        }
    }
    for (i, source) in sources.iter_mut().enumerate() {
        let is_null = is_null.get(i / 8).is_some_and(|byte| byte & (128 >> (i % 8)) != 0);
        match push_cell(document, stream, source, is_null)? {
            Ok(length) => n_bytes += length,
            Err(misfit) => return Ok(Err((i, misfit))),
        }
        if let Some(place) = source.builder.as_mut().and_then(ColumnBuilder::unplaced) {
            *place = format!("{}, row {row}", document.path().display());
        }
    }
    Ok(Ok(n_bytes))
}

fn push_cell(
    document: &mut Document,
    stream: &mut Stream,
    source: &mut Source,
    is_null: bool,
) -> Result<std::result::Result<u64, Misfit>> {
    let field = &source.field;
    let mut n_bytes = 0;
    let count = match field.count {
        Some(count) => count,
        None => {
            let count = match stream.take(document, 4)? {
                Ok(bytes) => bytes.first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes)),
                Err(misfit) => return Ok(Err(misfit)),
            };
            n_bytes += 4;
            match usize::try_from(count) {
                Ok(count) => count,
                Err(_) => return Ok(Err((format!("a list of {count} values"), "a count that is not negative".to_owned()))),
            }
        }
    };
    let Some(length) = field.datatype.n_bytes(count) else {
        return Ok(Err((format!("{count} values of the type '{}'", field.declared), "a size that can be told".to_owned())));
    };
    n_bytes += length as u64;
    let bytes = match stream.take(document, length)? {
        Ok(bytes) => bytes,
        Err(misfit) => return Ok(Err(misfit)),
    };
    Ok(match &mut source.builder {
        None => Ok(()),
        Some(builder) if is_null => {
            builder.push_null();
            Ok(())
        }
        Some(builder) => push_values(builder, field, bytes, count),
    }
    .map(|()| n_bytes))
}

fn push_values(builder: &mut ColumnBuilder, field: &Field, bytes: &[u8], count: usize) -> std::result::Result<(), Misfit> {
    let column_type = builder.column_type();
    let is_scalar = column_type.layout == Layout::Scalar;
    let null = &field.null;
    let has_null = match (builder.values(), field.datatype) {
        // One bit fills up a byte: at its upper end by the standard, at its lower end or as the whole byte by
        // other programs (astropy writes 0x08).
        (Values::Bool(values), Datatype::Bit) if count == 1 => {
            values.push(bytes.first().is_some_and(|&byte| byte != 0));
            false
        }
        (Values::Bool(values), Datatype::Bit) => {
            values.extend((0..count).map(|i| bytes[i / 8] & (128 >> (i % 8)) != 0));
            false
        }
        (Values::Bool(_), _) => return push_booleans(builder, bytes),
        (Values::Int32(values), Datatype::UnsignedByte) => {
            values.extend(bytes.iter().map(|&byte| i32::from(byte)));
            bytes.iter().any(|&byte| null.is_integer(byte.into()))
        }
        (Values::Int32(values), Datatype::Short) => integers(bytes, values, null, |bytes| i16::from_be_bytes(bytes).into()),
        (Values::Int32(values), _) => integers(bytes, values, null, i32::from_be_bytes),
        (Values::Int64(values), _) => integers(bytes, values, null, i64::from_be_bytes),
        (Values::Float32(values), _) => {
            let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_be_bytes(*bytes));
            match null.is_number() {
                false => values.extend(numbers),
                true => values.extend(numbers.map(|value| if null.is_float(value) { f32::NAN } else { value })),
            }
            false
        }
        (Values::Float64(values), _) => {
            let numbers = bytes.as_chunks().0.iter().map(|bytes| f64::from_be_bytes(*bytes));
            match null.is_number() {
                false => values.extend(numbers),
                true => values.extend(numbers.map(|value| if null.is_double(value) { f64::NAN } else { value })),
            }
            false
        }
        (Values::Text(values), datatype) => {
            if is_scalar {
                let text = text(bytes, datatype).split('\0').next().unwrap_or_default().to_owned();
                if text.is_empty() || null.is_text(text.trim_ascii()) {
                    builder.push_null();
                    return Ok(());
                }
                values.push(text);
            } else {
                let width = datatype.n_bytes(field.width).unwrap_or(1).max(1);
                values.extend(bytes.chunks(width).map(|bytes| cells::trimmed(&text(bytes, datatype))));
            }
            false
        }
    };
    if !has_null {
        return builder.end_row().map_err(|length| (format!("{length} values"), column_type.to_string()));
    }
    if !is_scalar {
        builder.push_unheld(Unheld::null_in_list(String::new(), "a null inside a list"));
        return Ok(());
    }
    let n_before = builder.values().len() - 1;
    builder.values().resize_with_null(n_before);
    builder.push_null();
    Ok(())
}

/// Appends integers and says whether a null is among them.
fn integers<const SIZE: usize, T: Copy + Into<i64>>(
    bytes: &[u8],
    values: &mut Vec<T>,
    null: &super::null::Null,
    value: impl Fn([u8; SIZE]) -> T,
) -> bool {
    let n_before = values.len();
    values.extend(bytes.as_chunks::<SIZE>().0.iter().map(|bytes| value(*bytes)));
    null.is_number() && values[n_before..].iter().any(|&value| null.is_integer(value.into()))
}

fn text(bytes: &[u8], datatype: Datatype) -> String {
    if datatype == Datatype::UnicodeChar {
        char::decode_utf16(bytes.as_chunks().0.iter().map(|bytes| u16::from_be_bytes(*bytes)))
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn push_booleans(builder: &mut ColumnBuilder, bytes: &[u8]) -> std::result::Result<(), Misfit> {
    let expected = builder.column_type().to_string();
    let is_null = |byte: &u8| matches!(byte, b'?' | b' ' | 0);
    if !bytes.is_empty() && bytes.iter().all(is_null) {
        builder.push_null();
        return Ok(());
    }
    for byte in bytes {
        let value = cells::boolean(&char::from(*byte).to_string());
        let value = value.ok_or_else(|| (format!("the byte {byte} for a boolean"), "T, F, 1, 0, or ? for null".to_owned()))?;
        if let Values::Bool(values) = builder.values() {
            values.push(value);
        }
    }
    builder.end_row().map_err(|length| (format!("{length} values"), expected))
}
