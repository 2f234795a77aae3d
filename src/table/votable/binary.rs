//! Rows of BINARY and BINARY2 streams: big-endian values one after the other, with a count before lists of varying length.

use super::field::{Datatype, Field};
use super::{Misfit, Source, cells};
use crate::table::builder::ColumnBuilder;
use crate::table::{Layout, Values};

/// Bytes not read yet.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Misfit> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| {
            (format!("the end of the data ({} bytes left)", self.rest.len()), format!("{count} bytes; the file may be truncated"))
        })?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Appends one row to the builders.
///
/// # Errors
/// The position of the column in which something is wrong, and what.
pub(super) fn push_row(cursor: &mut Cursor, sources: &mut [Source], has_flags: bool) -> Result<(), (usize, Misfit)> {
    let flags = if has_flags { cursor.take(sources.len().div_ceil(8)).map_err(|misfit| (0, misfit))? } else { &[] };
    for (i, source) in sources.iter_mut().enumerate() {
        let is_null = flags.get(i / 8).is_some_and(|byte| byte & (128 >> (i % 8)) != 0);
        push_cell(cursor, source, is_null).map_err(|misfit| (i, misfit))?;
    }
    Ok(())
}

fn push_cell(cursor: &mut Cursor, source: &mut Source, is_null: bool) -> Result<(), Misfit> {
    let field = &source.field;
    let count = match field.count {
        Some(count) => count,
        None => {
            let count = i32::from_be_bytes(numbers::<4>(cursor.take(4)?)[0]);
            usize::try_from(count)
                .map_err(|_| (format!("a list of {count} values"), "a count that is not negative".to_owned()))?
        }
    };
    let n_bytes = field.datatype.n_bytes(count).ok_or_else(|| (format!("{count} values"), "fewer".to_owned()))?;
    let bytes = cursor.take(n_bytes)?;
    match &mut source.builder {
        None => Ok(()),
        Some(builder) if is_null => {
            builder.push_null();
            Ok(())
        }
        Some(builder) => push_values(builder, field, bytes),
    }
}

fn push_values(builder: &mut ColumnBuilder, field: &Field, bytes: &[u8]) -> Result<(), Misfit> {
    let expected = builder.column_type().to_string();
    if field.datatype == Datatype::Boolean {
        return push_booleans(builder, bytes);
    }
    let integers: Option<Vec<i64>> = match field.datatype {
        Datatype::UnsignedByte => Some(bytes.iter().map(|&byte| byte.into()).collect()),
        Datatype::Short => Some(numbers(bytes).into_iter().map(|bytes| i16::from_be_bytes(bytes).into()).collect()),
        Datatype::Int => Some(numbers(bytes).into_iter().map(|bytes| i32::from_be_bytes(bytes).into()).collect()),
        Datatype::Long => Some(numbers(bytes).into_iter().map(i64::from_be_bytes).collect()),
        _ => None,
    };
    if let (Some(null), Some(integers)) = (field.null, &integers)
        && integers.contains(&null)
    {
        if builder.column_type().layout != Layout::Scalar {
            return Err((format!("a null ({null}) inside a list"), expected));
        }
        builder.push_null();
        return Ok(());
    }
    match (builder.values(), integers) {
        // Every integer type that becomes a 32-bit one fits.
        (Values::Int32(values), Some(integers)) => values.extend(integers.into_iter().map(|integer| integer as i32)),
        (Values::Int64(values), Some(integers)) => values.extend(integers),
        (Values::Float32(values), _) => values.extend(numbers(bytes).into_iter().map(f32::from_be_bytes)),
        (Values::Float64(values), _) => values.extend(numbers(bytes).into_iter().map(f64::from_be_bytes)),
        (Values::Text(values), _) => {
            let text = if field.datatype == Datatype::UnicodeChar {
                String::from_utf16_lossy(&numbers(bytes).into_iter().map(u16::from_be_bytes).collect::<Vec<_>>())
            } else {
                String::from_utf8_lossy(bytes).into_owned()
            };
            values.push(text.split('\0').next().unwrap_or_default().to_owned());
        }
        _ => return Err((field.declared.clone(), expected)),
    }
    builder.end_row().map_err(|length| (format!("{length} values"), expected))
}

fn push_booleans(builder: &mut ColumnBuilder, bytes: &[u8]) -> Result<(), Misfit> {
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

fn numbers<const SIZE: usize>(bytes: &[u8]) -> Vec<[u8; SIZE]> {
    bytes.as_chunks::<SIZE>().0.to_vec()
}
