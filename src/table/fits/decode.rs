//! Stored bytes (big-endian) to values, column by column.

use super::form::{Code, Storage};
use super::layout::{Decoder, is_whole};
use super::scaling::Scaling;
use super::text;
use crate::table::builder::is_float;
use crate::table::{Column, ColumnSchema, Layout, Shape, ValueType, Values};

/// A column that grows row by row.
pub(super) struct Growing {
    decoder: Decoder,
    pub values: Values,
    /// Positions in `values` of integers and booleans that are null.
    nulls: Vec<usize>,
    /// End of every list of varying length, with a leading zero.
    offsets: Vec<usize>,
    /// The first cell that cannot be held; it is among the nulls too.
    problem: Option<Problem>,
    /// Whether a text was not UTF-8.
    pub is_latin: bool,
}

/// What is wrong with a cell, by its position among the values.
#[derive(Debug, Clone, Copy)]
enum Problem {
    /// A byte that is neither T, F nor 0 in a column of booleans.
    Logical { position: usize, byte: u8 },
    /// A scaled integer beyond 64 bits.
    TooLarge { position: usize, value: i128 },
}

/// What of a column cannot be held, with the row, counted in the rows of the column: no obstacle where the
/// column is not needed.
#[derive(Debug)]
pub(super) enum Fault {
    Logical {
        row: usize,
        byte: u8,
    },
    TooLarge {
        row: usize,
        value: i128,
    },
    /// A null within a list of values that cannot be null by themselves.
    NullInList {
        row: usize,
    },
}

impl Growing {
    /// An empty column with room for `rows` rows of fixed length.
    pub fn new(decoder: Decoder, rows: usize) -> Self {
        let room = match decoder.column_type.layout {
            Layout::Scalar => rows,
            Layout::Fixed(length) => rows.saturating_mul(length),
            Layout::Variable => 0,
        };
        let values = match decoder.column_type.values {
            ValueType::Bool => Values::Bool(Vec::with_capacity(room)),
            ValueType::Int32 => Values::Int32(Vec::with_capacity(room)),
            ValueType::Int64 => Values::Int64(Vec::with_capacity(room)),
            ValueType::Float32 => Values::Float32(Vec::with_capacity(room)),
            ValueType::Float64 => Values::Float64(Vec::with_capacity(room)),
            ValueType::Text => Values::Text(Vec::with_capacity(room)),
        };
        Self { decoder, values, nulls: Vec::new(), offsets: vec![0], problem: None, is_latin: false }
    }

    /// Appends cells of `count` elements each (bits, for columns of bits).
    pub fn extend<'a>(&mut self, cells: impl Iterator<Item = &'a [u8]>, count: usize) {
        let Decoder { form, scaling, null, float_null, .. } = self.decoder;
        if let Some(null) = float_null {
            return nullable_floats(cells, &mut self.values, form.code, scaling, null);
        }
        match (&mut self.values, form.code, scaling) {
            (Values::Float32(values), Code::Float, Scaling::None) => plain(cells, values, f32::from_be_bytes),
            (Values::Float64(values), Code::Double, Scaling::None) => plain(cells, values, f64::from_be_bytes),
            (Values::Float32(values), Code::Float, Scaling::Float { scale, zero }) => {
                plain(cells, values, |bytes| (f64::from(f32::from_be_bytes(bytes)) * scale + zero) as f32);
            }
            // A column; images stay in single precision.
            (Values::Float64(values), Code::Float, Scaling::Float { scale, zero }) => {
                plain(cells, values, |bytes| f64::from(f32::from_be_bytes(bytes)) * scale + zero);
            }
            (Values::Float64(values), Code::Double, Scaling::Float { scale, zero }) => {
                plain(cells, values, |bytes| f64::from_be_bytes(bytes) * scale + zero);
            }
            (Values::Int32(values), Code::Byte, Scaling::None) => {
                whole(cells, values, null, &mut self.nulls, |bytes| u8::from_be_bytes(bytes).into());
            }
            (Values::Int32(values), Code::Short, Scaling::None) => {
                whole(cells, values, null, &mut self.nulls, |bytes| i16::from_be_bytes(bytes).into());
            }
            (Values::Int32(values), Code::Int, Scaling::None) => {
                whole(cells, values, null, &mut self.nulls, i32::from_be_bytes);
            }
            (Values::Int64(values), Code::Long, Scaling::None) => {
                whole(cells, values, null, &mut self.nulls, i64::from_be_bytes);
            }
            (Values::Bool(values), Code::Bit, _) => {
                let bit = |cell: &'a [u8], i: usize| cell.get(i / 8).is_some_and(|byte| byte >> (7 - i % 8) & 1 == 1);
                cells.for_each(|cell| values.extend((0..count).map(|i| bit(cell, i))));
            }
            (Values::Bool(values), _, _) => logical(cells, values, &mut self.nulls, &mut self.problem),
            (Values::Text(texts), _, _) => {
                let width = if form.storage == Storage::Row { form.text_width } else { count };
                // A text of no bytes is one text all the same.
                let n_texts = count.checked_div(width).unwrap_or(1);
                for cell in cells {
                    for i in 0..n_texts {
                        let bytes = cell.get(i * width..(i + 1) * width).unwrap_or_default();
                        let (text, is_utf8) = text::decode(text::field(bytes));
                        self.is_latin |= !is_utf8;
                        texts.push(text);
                    }
                }
            }
            (values, code, scaling) => scaled(cells, values, (&mut self.nulls, &mut self.problem), code, scaling, null),
        }
    }

    /// The first integer that was too large, if any was.
    pub fn too_large(&self) -> Option<i128> {
        match self.problem {
            Some(Problem::TooLarge { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// Ends a list of varying length.
    pub fn end_list(&mut self) {
        self.offsets.push(self.values.len());
    }

    /// The column of `rows` rows, and what of it cannot be held: such rows, and lists of integers or booleans
    /// with nulls beside values, are null.
    pub fn finish(self, schema: ColumnSchema, rows: usize) -> (Column, Option<Fault>) {
        let column_type = self.decoder.column_type;
        let shape = match column_type.layout {
            Layout::Scalar => Shape::Scalar,
            Layout::Fixed(length) => Shape::Fixed(length),
            Layout::Variable => Shape::Variable(self.offsets),
        };
        let column = Column { schema, values: self.values, shape, valid: None };
        if column.shape == Shape::Fixed(0) {
            return (column.with_valid(vec![false; rows]), None);
        }
        if is_float(column_type.values) {
            return (column.with_nan_as_null(), None);
        }
        let (mut valid, mut fault) = (Vec::with_capacity(rows), None);
        let mut nulls = self.nulls.iter().peekable();
        for row in 0..rows {
            let range = column.range(row);
            let is_null = match &column.values {
                Values::Text(texts) => texts[range].iter().all(String::is_empty),
                _ => {
                    let mut n_null = 0;
                    while nulls.next_if(|&&position| position < range.end).is_some() {
                        n_null += 1;
                    }
                    match self.problem {
                        Some(Problem::Logical { position, byte }) if range.contains(&position) => {
                            fault = Some(Fault::Logical { row, byte });
                        }
                        Some(Problem::TooLarge { position, value }) if range.contains(&position) => {
                            fault = Some(Fault::TooLarge { row, value });
                        }
                        _ => {}
                    }
                    let is_partial = is_whole(column_type.values) && n_null > 0 && n_null < range.len();
                    if is_partial && fault.is_none() {
                        fault = Some(Fault::NullInList { row });
                    }
                    is_partial || n_null == range.len()
                }
            };
            valid.push(!is_null);
        }
        (column.with_valid(valid), fault)
    }
}

fn plain<'a, T, const N: usize>(cells: impl Iterator<Item = &'a [u8]>, values: &mut Vec<T>, convert: impl Fn([u8; N]) -> T) {
    for cell in cells {
        values.extend(cell.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes)));
    }
}

fn whole<'a, T: Copy + Into<i64>, const N: usize>(
    cells: impl Iterator<Item = &'a [u8]>,
    values: &mut Vec<T>,
    null: Option<i64>,
    nulls: &mut Vec<usize>,
    convert: impl Fn([u8; N]) -> T,
) {
    let start = values.len();
    plain(cells, values, convert);
    if let Some(null) = null {
        nulls.extend((start..values.len()).filter(|&position| values[position].into() == null));
    }
}

fn logical<'a>(
    cells: impl Iterator<Item = &'a [u8]>,
    values: &mut Vec<bool>,
    nulls: &mut Vec<usize>,
    problem: &mut Option<Problem>,
) {
    for &byte in cells.flatten() {
        if !matches!(byte, b'T' | b'F') {
            nulls.push(values.len());
            if byte != 0 {
                problem.get_or_insert(Problem::Logical { position: values.len(), byte });
            }
        }
        values.push(byte == b'T');
    }
}

/// Floats in a column whose header states a number for null, as FITS has it for integers alone.
fn nullable_floats<'a>(cells: impl Iterator<Item = &'a [u8]>, values: &mut Values, code: Code, scaling: Scaling, null: f64) {
    let scaled = |value: f64| match scaling {
        Scaling::Float { scale, zero } => value * scale + zero,
        _ => value,
    };
    match values {
        Values::Float32(values) => plain(cells, values, |bytes| {
            let value = f32::from_be_bytes(bytes);
            if value == null as f32 { f32::NAN } else { scaled(value.into()) as f32 }
        }),
        Values::Float64(values) if code == Code::Float => plain(cells, values, |bytes| {
            let value = f32::from_be_bytes(bytes);
            if value == null as f32 { f64::NAN } else { scaled(value.into()) }
        }),
        Values::Float64(values) => plain(cells, values, |bytes| {
            let value = f64::from_be_bytes(bytes);
            if value == null { f64::NAN } else { scaled(value) }
        }),
        // The decoder gives such a null to floats alone.
        _ => {}
    }
}

/// Integers behind TSCAL and TZERO.
fn scaled<'a>(
    cells: impl Iterator<Item = &'a [u8]>,
    values: &mut Values,
    (nulls, problem): (&mut Vec<usize>, &mut Option<Problem>),
    code: Code,
    scaling: Scaling,
    null: Option<i64>,
) {
    let mut stored: Vec<i64> = Vec::new();
    match code {
        Code::Byte => plain(cells, &mut stored, |bytes| u8::from_be_bytes(bytes).into()),
        Code::Short => plain(cells, &mut stored, |bytes| i16::from_be_bytes(bytes).into()),
        Code::Int => plain(cells, &mut stored, |bytes| i32::from_be_bytes(bytes).into()),
        _ => plain(cells, &mut stored, i64::from_be_bytes),
    }
    for stored in stored {
        let position = values.len();
        let is_null = null == Some(stored);
        match (&mut *values, scaling) {
            (Values::Float32(values), Scaling::Float { scale, zero }) => {
                values.push(if is_null { f32::NAN } else { (stored as f64 * scale + zero) as f32 });
            }
            (Values::Float64(values), Scaling::Float { scale, zero }) => {
                values.push(if is_null { f64::NAN } else { stored as f64 * scale + zero });
            }
            (values, scaling) => {
                let value = match scaling {
                    _ if is_null => 0,
                    Scaling::Integer { scale, zero } => zero + scale * i128::from(stored),
                    _ => stored.into(),
                };
                let is_held = match values {
                    Values::Int32(values) => {
                        let held = i32::try_from(value);
                        values.push(held.unwrap_or(0));
                        held.is_ok()
                    }
                    Values::Int64(values) => {
                        let held = i64::try_from(value);
                        values.push(held.unwrap_or(0));
                        held.is_ok()
                    }
                    // Other types have no integer scaling.
                    _ => true,
                };
                if !is_held {
                    problem.get_or_insert(Problem::TooLarge { position, value });
                }
                if is_null || !is_held {
                    nulls.push(position);
                }
            }
        }
    }
}
