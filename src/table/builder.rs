//! Filling a column row by row, for the readers of text formats.

use super::column::{Column, ColumnSchema, Shape, Unheld, Values};
use super::column_type::{ColumnType, Layout, ValueType};

/// A column under construction. A row is either [`ColumnBuilder::push_null`], or values appended to
/// [`ColumnBuilder::values`] and [`ColumnBuilder::end_row`].
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    schema: ColumnSchema,
    column_type: ColumnType,
    values: Values,
    /// End of every row in `values`, with a leading zero.
    offsets: Vec<usize>,
    valid: Vec<bool>,
    unheld: Option<Unheld>,
}

impl ColumnBuilder {
    pub fn new(schema: ColumnSchema, column_type: ColumnType) -> Self {
        Self { schema, column_type, values: column_type.values.empty(), offsets: vec![0], valid: Vec::new(), unheld: None }
    }

    pub fn name(&self) -> &str {
        &self.schema.name
    }

    pub fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// Where the values of the current row are appended.
    pub fn values(&mut self) -> &mut Values {
        &mut self.values
    }

    /// Ends a null row: placeholders (NaN for floats) where the layout needs values.
    pub fn push_null(&mut self) {
        let n_placeholders = match self.column_type.layout {
            Layout::Scalar => 1,
            Layout::Fixed(length) => length,
            Layout::Variable => 0,
        };
        let length = self.values.len() + n_placeholders;
        self.values.resize_with_null(length);
        self.offsets.push(length);
        self.valid.push(false);
    }

    /// Ends a row that holds something no table can hold: it is null. The caller says where
    /// ([`ColumnBuilder::unplaced`]).
    pub fn push_unheld(&mut self, unheld: Unheld) {
        self.abandon_row();
        self.push_null();
        self.unheld.get_or_insert(unheld);
    }

    /// The place of what no table can hold, where it is not known yet.
    pub fn unplaced(&mut self) -> Option<&mut String> {
        self.unheld.as_mut().map(|unheld| &mut unheld.place).filter(|place| place.is_empty())
    }

    /// Ends a row whose values have been appended.
    ///
    /// # Errors
    /// The number of values that there are, when the layout wants another one.
    pub fn end_row(&mut self) -> Result<(), usize> {
        let start = self.offsets[self.offsets.len() - 1];
        let n_values = self.values.len() - start;
        let fits = match self.column_type.layout {
            Layout::Scalar => n_values == 1,
            Layout::Fixed(length) => n_values == length,
            Layout::Variable => true,
        };
        if !fits {
            return Err(n_values);
        }
        self.offsets.push(self.values.len());
        self.valid.push(true);
        Ok(())
    }

    /// Forgets the values that have been appended for the current row.
    pub fn abandon_row(&mut self) {
        let start = self.offsets[self.offsets.len() - 1];
        self.values.truncate(start);
    }

    /// The column so far; the builder starts anew.
    pub fn take(&mut self) -> Column {
        let values = std::mem::replace(&mut self.values, self.column_type.values.empty());
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let valid = std::mem::take(&mut self.valid);
        let shape = match self.column_type.layout {
            Layout::Scalar => Shape::Scalar,
            Layout::Fixed(length) => Shape::Fixed(length),
            Layout::Variable => Shape::Variable(offsets),
        };
        let column = Column { schema: self.schema.clone(), values, shape, valid: None }.with_valid(valid);
        match self.unheld.take() {
            Some(unheld) => column.with_unheld(unheld),
            None => column,
        }
    }
}

impl Values {
    /// Lengthens to `length` with what stands for null: NaN, false, 0 or empty text.
    pub(super) fn resize_with_null(&mut self, length: usize) {
        match self {
            Self::Bool(values) => values.resize(length, false),
            Self::Int32(values) => values.resize(length, 0),
            Self::Int64(values) => values.resize(length, 0),
            Self::Float32(values) => values.resize(length, f32::NAN),
            Self::Float64(values) => values.resize(length, f64::NAN),
            Self::Text(values) => values.resize(length, String::new()),
        }
    }

    fn truncate(&mut self, length: usize) {
        match self {
            Self::Bool(values) => values.truncate(length),
            Self::Int32(values) => values.truncate(length),
            Self::Int64(values) => values.truncate(length),
            Self::Float32(values) => values.truncate(length),
            Self::Float64(values) => values.truncate(length),
            Self::Text(values) => values.truncate(length),
        }
    }

    /// Writes what stands for null over `range`.
    pub(super) fn fill_null(&mut self, range: std::ops::Range<usize>) {
        match self {
            Self::Bool(values) => values[range].fill(false),
            Self::Int32(values) => values[range].fill(0),
            Self::Int64(values) => values[range].fill(0),
            Self::Float32(values) => values[range].fill(f32::NAN),
            Self::Float64(values) => values[range].fill(f64::NAN),
            Self::Text(values) => values[range].fill(String::new()),
        }
    }
}

impl Column {
    /// The same column with these null marks (none are kept where every row is valid) and placeholders in the
    /// null rows.
    pub(super) fn with_valid(mut self, valid: Vec<bool>) -> Self {
        for row in (0..valid.len()).filter(|&row| !valid[row]) {
            let range = self.range(row);
            self.values.fill_null(range);
        }
        let needed = self.shape == Shape::Fixed(0) || valid.iter().any(|&is| !is);
        self.valid = needed.then_some(valid);
        self
    }

    /// The same column with NaN floats marked as null rows: the only null that FITS and VOTable have for
    /// floats. A list is null when it is empty or holds nothing but NaN.
    pub(super) fn with_nan_as_null(self) -> Self {
        let valid: Vec<bool> = (0..self.n_rows())
            .map(|row| {
                let range = self.range(row);
                self.is_valid(row)
                    && match &self.values {
                        Values::Float32(values) => values[range].iter().any(|value| !value.is_nan()),
                        Values::Float64(values) => values[range].iter().any(|value| !value.is_nan()),
                        _ => !range.is_empty(),
                    }
            })
            .collect();
        self.with_valid(valid)
    }
}

/// Whether a type is a float, whose single values can be NaN.
pub(super) fn is_float(values: ValueType) -> bool {
    matches!(values, ValueType::Float32 | ValueType::Float64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_nulls_and_reuse() {
        let column_type = ColumnType { values: ValueType::Float64, layout: Layout::Fixed(2) };
        let mut builder = ColumnBuilder::new(ColumnSchema::new("flux", "", ""), column_type);
        for length in [2, 1] {
            let Values::Float64(values) = builder.values() else { panic!("floats") };
            values.extend(std::iter::repeat_n(1.0, length));
            assert_eq!(builder.end_row(), if length == 2 { Ok(()) } else { Err(1) });
        }
        let mut builder = ColumnBuilder::new(ColumnSchema::new("flux", "", ""), column_type);
        builder.push_null();
        let column = builder.take();
        assert_eq!((column.n_rows(), column.is_valid(0)), (1, false));
        assert!(column.to_matrix(2).is_ok_and(|matrix| matrix.iter().all(|value| value.is_nan())));
        assert_eq!(builder.take().n_rows(), 0);
    }
}
