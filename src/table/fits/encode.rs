//! Values to the bytes of rows (big-endian), and lists of varying length to those of the heap.

use crate::error::{Error, Result};
use crate::table::{Column, Layout, ValueType, Values};
use std::ops::Range;
use std::path::Path;

/// Bytes of a descriptor of a list in the heap: length and offset, of 64 bits each.
const DESCRIPTOR: usize = 16;

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnForm {
    values: ValueType,
    layout: Layout,
    /// Bytes of a text.
    text_width: usize,
    /// Values of the longest list of varying length.
    longest: usize,
}

impl ColumnForm {
    /// The form that holds these values.
    ///
    /// # Errors
    /// For lists of text of varying length, which FITS does not have.
    pub fn new(path: &Path, column: &Column) -> Result<Self> {
        let column_type = column.column_type();
        if (column_type.values, column_type.layout) == (ValueType::Text, Layout::Variable) {
            return Err(Error::output(format!("{}, column '{}'", path.display(), column.schema.name))
                .found("lists of text of varying length")
                .expected("what a FITS table can hold")
                .remedy("Write .parquet or .ecsv instead."));
        }
        Ok(Self { values: column_type.values, layout: column_type.layout, text_width: longest_text(column), longest: 0 })
    }

    /// The form that also holds these values. Text grows by steps, so that rows are seldom moved.
    pub fn widened(&self, column: &Column) -> Self {
        let needed = longest_text(column);
        let text_width = if needed > self.text_width { needed.next_multiple_of(8) } else { self.text_width };
        Self { text_width, ..*self }
    }

    /// Bytes in a row.
    pub fn width(&self) -> usize {
        match self.layout {
            Layout::Scalar => self.element(),
            Layout::Fixed(length) => length * self.element(),
            Layout::Variable => DESCRIPTOR,
        }
    }

    fn element(&self) -> usize {
        match self.values {
            ValueType::Bool => 1,
            ValueType::Int32 | ValueType::Float32 => 4,
            ValueType::Int64 | ValueType::Float64 => 8,
            ValueType::Text => self.text_width,
        }
    }

    /// TFORM.
    pub fn form(&self) -> String {
        let code = match self.values {
            ValueType::Bool => 'L',
            ValueType::Int32 => 'J',
            ValueType::Int64 => 'K',
            ValueType::Float32 => 'E',
            ValueType::Float64 => 'D',
            ValueType::Text => 'A',
        };
        match (self.layout, self.text_width) {
            (Layout::Scalar, 0) => format!("1{code}"),
            (Layout::Scalar, width) => format!("{width}A"),
            (Layout::Fixed(length), 0) => format!("{length}{code}"),
            (Layout::Fixed(length), width) => format!("{}A{width}", length * width),
            (Layout::Variable, _) => format!("1Q{code}({})", self.longest),
        }
    }

    /// TDIM, for lists of text.
    pub fn dimensions(&self) -> Option<String> {
        match self.layout {
            Layout::Fixed(length) if self.text_width > 0 => Some(format!("({},{length})", self.text_width)),
            _ => None,
        }
    }

    /// TNULL, for integers in the row.
    pub fn null(&self) -> Option<i64> {
        match (self.values, self.layout) {
            (_, Layout::Variable) => None,
            (ValueType::Int32, _) => Some(i32::MIN.into()),
            (ValueType::Int64, _) => Some(i64::MIN),
            _ => None,
        }
    }

    /// Writes `rows` of a column into `buffer`, whose rows have `width` bytes, from byte `offset` of each on;
    /// lists of varying length go to `lists`, which will stand at byte `heap` of the heap.
    #[expect(clippy::too_many_arguments, reason = "where the bytes go, and what they are")]
    pub fn encode(
        &mut self,
        column: &Column,
        rows: Range<usize>,
        buffer: &mut [u8],
        width: usize,
        offset: usize,
        heap: u64,
        lists: &mut Vec<u8>,
    ) {
        let cells = self.width();
        for (row, bytes) in rows.zip(buffer.chunks_exact_mut(width.max(1))) {
            let cell = &mut bytes[offset..offset + cells];
            if self.layout == Layout::Variable {
                let range = column.range(row);
                self.longest = self.longest.max(range.len());
                if column.is_valid(row) && !range.is_empty() {
                    cell[..8].copy_from_slice(&(range.len() as u64).to_be_bytes());
                    cell[8..].copy_from_slice(&(heap + lists.len() as u64).to_be_bytes());
                    let start = lists.len();
                    lists.resize(start + range.len() * self.element(), 0);
                    self.put(column, range, true, &mut lists[start..]);
                }
            } else {
                self.put(column, column.range(row), column.is_valid(row), cell);
            }
        }
    }

    fn put(&self, column: &Column, range: Range<usize>, is_valid: bool, cell: &mut [u8]) {
        match &column.values {
            Values::Bool(values) if is_valid => {
                cell.iter_mut().zip(&values[range]).for_each(|(byte, &value)| *byte = if value { b'T' } else { b'F' });
            }
            // Null booleans are 0.
            Values::Bool(_) => {}
            Values::Int32(values) if is_valid => put(cell, &values[range], |value| value.to_be_bytes()),
            Values::Int64(values) if is_valid => put(cell, &values[range], |value| value.to_be_bytes()),
            Values::Int32(_) => put(cell, &vec![i32::MIN; range.len()], |value| value.to_be_bytes()),
            Values::Int64(_) => put(cell, &vec![i64::MIN; range.len()], |value| value.to_be_bytes()),
            Values::Float32(values) => put(cell, &values[range], |value| value.to_be_bytes()),
            Values::Float64(values) => put(cell, &values[range], |value| value.to_be_bytes()),
            Values::Text(texts) => {
                for (field, text) in cell.chunks_exact_mut(self.text_width.max(1)).zip(&texts[range]) {
                    field[..text.len()].copy_from_slice(text.as_bytes());
                }
            }
        }
    }

    /// Appends a cell of the narrower form `narrow` in this form.
    pub fn append_widened(&self, cell: &[u8], narrow: &Self, to: &mut Vec<u8>) {
        if narrow.text_width == self.text_width {
            to.extend_from_slice(cell);
            return;
        }
        for text in cell.chunks_exact(narrow.text_width.max(1)) {
            to.extend_from_slice(text);
            to.resize(to.len() + self.text_width - narrow.text_width, 0);
        }
    }
}

fn put<T: Copy, const N: usize>(cell: &mut [u8], values: &[T], convert: impl Fn(T) -> [u8; N]) {
    for (bytes, &value) in cell.as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *bytes = convert(value);
    }
}

/// Bytes of a row.
pub(super) fn row_bytes(forms: &[ColumnForm]) -> usize {
    forms.iter().map(ColumnForm::width).sum()
}

/// Bytes of the longest text, at least 1; 0 for columns that are not text.
fn longest_text(column: &Column) -> usize {
    match &column.values {
        Values::Text(texts) => texts.iter().map(String::len).max().unwrap_or(1).max(1),
        _ => 0,
    }
}
