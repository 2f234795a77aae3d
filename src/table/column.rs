//! One column: its description and its values.

use super::column_type::{ColumnType, Layout, ValueType};
use crate::error::{Error, Result};
use ndarray::Array2;

/// Description of a column, used by every reader and writer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnSchema {
    /// Name, lower snake case in files that photosphere writes.
    pub name: String,
    /// VOUnit string (`mas`, `K`, `W.m**-2.nm**-1`); empty for dimensionless.
    pub unit: String,
    /// Unified content descriptor (`pos.parallax`); may be empty.
    pub ucd: String,
    /// One line that says what the column is.
    pub description: String,
    /// The cell that made text of what is otherwise a column of numbers, where a reader had to infer the
    /// type.
    pub odd_cell: Option<Box<OddCell>>,
    /// What of the column no table can hold, or what makes its meaning unsure: no obstacle as long as nobody
    /// needs the column (see [`Column::require_held`]).
    pub unheld: Option<Box<Unheld>>,
}

/// The first cell of a column that no [`Values`] can hold (an integer beyond 64 bits with a sign, a null
/// within a list of integers), or another fault of the column as a whole (its name twice, a mask that is
/// none). Rows with such a cell are null.
#[derive(Debug, Clone, PartialEq)]
pub struct Unheld {
    /// File, and line or row where there is one.
    pub place: String,
    /// What stands there.
    pub found: String,
    /// What would have been held.
    pub expected: String,
    /// What to do where the column is needed.
    pub remedy: String,
}

/// A cell that is no number among numbers, for the error where numbers are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct OddCell {
    /// File and line, or file and row.
    pub place: String,
    /// What stands there, shortened.
    pub text: String,
}

/// The values of all rows, flattened for list columns.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Bool(Vec<bool>),
    /// 32-bit integers; 8- and 16-bit ones are widened to this on reading.
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Text(Vec<String>),
}

/// How many values a row has.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// One value a row.
    Scalar,
    /// The same number of values in every row.
    Fixed(usize),
    /// Row `i` has the values `offsets[i]..offsets[i + 1]`; `offsets` has one entry more than there are rows.
    Variable(Vec<usize>),
}

/// A named column with values, shape and nulls.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub schema: ColumnSchema,
    pub values: Values,
    pub shape: Shape,
    /// `valid[i] == false` marks row `i` as null; `None` means that every row is valid. Floats that are null
    /// also hold NaN.
    pub valid: Option<Vec<bool>>,
}

impl ColumnSchema {
    /// Schema with name, unit and description.
    pub fn new(name: impl Into<String>, unit: impl Into<String>, description: impl Into<String>) -> Self {
        Self { name: name.into(), unit: unit.into(), description: description.into(), ..Self::default() }
    }

    /// The same schema with a unified content descriptor.
    pub fn with_ucd(mut self, ucd: impl Into<String>) -> Self {
        self.ucd = ucd.into();
        self
    }
}

impl Unheld {
    /// A null within a list of a type that has no null for single values.
    pub(super) fn null_in_list(place: String, found: impl Into<String>) -> Self {
        Self {
            place,
            found: found.into(),
            expected: "lists of integers, booleans or text without nulls, or null throughout".to_owned(),
            remedy: "Fill the nulls, or write the list as floats, which can be NaN.".to_owned(),
        }
    }

    /// An integer that 64 bits with a sign do not hold.
    pub(super) fn too_large(place: String, found: impl Into<String>) -> Self {
        Self {
            place,
            found: found.into(),
            expected: format!("at most {}, the largest 64-bit integer with a sign", i64::MAX),
            remedy: "Write the column as 64-bit integers with a sign, or as text.".to_owned(),
        }
    }
}

impl Values {
    /// Number of values (rows times list length).
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Float32(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the values.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Bool(_) => ValueType::Bool,
            Self::Int32(_) => ValueType::Int32,
            Self::Int64(_) => ValueType::Int64,
            Self::Float32(_) => ValueType::Float32,
            Self::Float64(_) => ValueType::Float64,
            Self::Text(_) => ValueType::Text,
        }
    }

    pub(super) fn gather(&self, positions: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Bool(values) => Self::Bool(positions.map(|i| values[i]).collect()),
            Self::Int32(values) => Self::Int32(positions.map(|i| values[i]).collect()),
            Self::Int64(values) => Self::Int64(positions.map(|i| values[i]).collect()),
            Self::Float32(values) => Self::Float32(positions.map(|i| values[i]).collect()),
            Self::Float64(values) => Self::Float64(positions.map(|i| values[i]).collect()),
            Self::Text(values) => Self::Text(positions.map(|i| values[i].clone()).collect()),
        }
    }
}

impl Column {
    /// A scalar column without nulls.
    pub fn scalar(schema: ColumnSchema, values: Values) -> Self {
        Self { schema, values, shape: Shape::Scalar, valid: None }
    }

    /// A column with `length` values in every row, flattened row by row.
    pub fn fixed(schema: ColumnSchema, values: Values, length: usize) -> Self {
        Self { schema, values, shape: Shape::Fixed(length), valid: None }
    }

    /// A scalar column of floats in which NaN is null.
    pub fn nullable(schema: ColumnSchema, values: Vec<f64>) -> Self {
        let valid: Vec<bool> = values.iter().map(|value| !value.is_nan()).collect();
        let valid = if valid.iter().all(|&is| is) { None } else { Some(valid) };
        Self { schema, values: Values::Float64(values), shape: Shape::Scalar, valid }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match &self.shape {
            Shape::Scalar => self.values.len(),
            Shape::Fixed(0) => self.valid.as_ref().map_or(0, Vec::len),
            Shape::Fixed(length) => self.values.len() / length,
            Shape::Variable(offsets) => offsets.len().saturating_sub(1),
        }
    }

    /// Whether row `row` holds a value.
    pub fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid[row])
    }

    /// The range of flat positions that row `row` occupies in [`Column::values`].
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        match &self.shape {
            Shape::Scalar => row..row + 1,
            Shape::Fixed(length) => row * length..(row + 1) * length,
            Shape::Variable(offsets) => offsets[row]..offsets[row + 1],
        }
    }

    /// Type and layout, which all chunks of one file share.
    pub fn column_type(&self) -> ColumnType {
        let layout = match self.shape {
            Shape::Scalar => Layout::Scalar,
            Shape::Fixed(length) => Layout::Fixed(length),
            Shape::Variable(_) => Layout::Variable,
        };
        ColumnType { values: self.values.value_type(), layout }
    }

    /// The same column with a fault that whoever needs it must know of; the first one is kept.
    pub(super) fn with_unheld(mut self, unheld: Unheld) -> Self {
        self.schema.unheld.get_or_insert_with(|| Box::new(unheld));
        self
    }

    /// Fails where the column has something that no table can hold: to be called where it is needed, except
    /// through the methods that say so themselves.
    ///
    /// # Errors
    /// Names the place, what stands there, and the remedy.
    pub fn require_held(&self) -> Result<()> {
        let Some(unheld) = &self.schema.unheld else { return Ok(()) };
        Err(Error::data(format!("{}, column '{}'", unheld.place, self.schema.name))
            .found(unheld.found.clone())
            .expected(unheld.expected.clone())
            .remedy(unheld.remedy.clone()))
    }

    pub(super) fn type_error(&self, expected: &str) -> Error {
        if let (Some(odd), Values::Text(_)) = (&self.schema.odd_cell, &self.values) {
            return Error::data(format!("{}, column '{}'", odd.place, self.schema.name))
                .found(format!("'{}'", odd.text))
                .expected(format!("{expected}, or nothing"))
                .remedy("Where there is no value, leave the cell empty (or write null or NaN, which also mean that).");
        }
        Error::data(format!("column '{}'", self.schema.name))
            .found(self.column_type().to_string())
            .expected(expected)
            .remedy("Convert the column, or name another one in the recipe.")
    }

    /// All flat values as f64; null rows are NaN. Text and booleans are errors.
    pub fn flat_f64(&self) -> Result<Vec<f64>> {
        self.require_held()?;
        let mut flat: Vec<f64> = match &self.values {
            Values::Int32(values) => values.iter().map(|&value| value as f64).collect(),
            Values::Int64(values) => values.iter().map(|&value| value as f64).collect(),
            Values::Float32(values) => values.iter().map(|&value| value as f64).collect(),
            Values::Float64(values) => values.clone(),
            Values::Bool(_) | Values::Text(_) => return Err(self.type_error("numbers")),
        };
        if let Some(valid) = &self.valid {
            for row in (0..valid.len()).filter(|&row| !valid[row]) {
                flat[self.range(row)].fill(f64::NAN);
            }
        }
        Ok(flat)
    }

    /// As [`Self::flat_f64`], of what says yes or no: booleans are 1 and 0.
    pub fn flat_flags(&self) -> Result<Vec<f64>> {
        let Values::Bool(values) = &self.values else { return self.flat_f64() };
        self.require_held()?;
        let mut flat: Vec<f64> = values.iter().map(|&value| f64::from(u8::from(value))).collect();
        for row in (0..self.n_rows()).filter(|&row| !self.is_valid(row)) {
            flat[self.range(row)].fill(f64::NAN);
        }
        Ok(flat)
    }

    /// One f64 per row; null is NaN. List columns, text and booleans are errors.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        if self.shape != Shape::Scalar {
            return Err(self.type_error("one number per row"));
        }
        self.flat_f64()
    }

    /// One i64 per row. Nulls, floats and text are errors: identifiers must never pass through a float.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        self.require_held()?;
        if self.shape != Shape::Scalar {
            return Err(self.type_error("one integer per row"));
        }
        if let Some(row) = (0..self.n_rows()).find(|&row| !self.is_valid(row)) {
            return Err(Error::data(format!("column '{}', row {row}", self.schema.name)).found("null").expected("an integer"));
        }
        match &self.values {
            Values::Int32(values) => Ok(values.iter().map(|&value| value as i64).collect()),
            Values::Int64(values) => Ok(values.clone()),
            _ => Err(self.type_error("64-bit integers")),
        }
    }

    /// A fixed-length list column as `[rows, length]`; null rows are NaN.
    ///
    /// # Errors
    /// When the rows do not have `length` numbers each (the row is named). Lists may stand as text (see
    /// [`Column::parsed_lists`]).
    pub fn to_matrix(&self, length: usize) -> Result<Array2<f64>> {
        self.require_held()?;
        if matches!((&self.values, &self.shape), (Values::Text(_), Shape::Scalar)) {
            return self.parsed_lists()?.to_matrix(length);
        }
        if let Some(row) = (0..self.n_rows()).find(|&row| self.is_valid(row) && self.range(row).len() != length) {
            return Err(Error::data(format!("column '{}', row {row}", self.schema.name))
                .found(format!("{} values", self.range(row).len()))
                .expected(format!("{length}"))
                .remedy("Check that the file was made for this model's wavelengths."));
        }
        let flat = self.flat_f64()?;
        let mut matrix = Array2::from_elem((self.n_rows(), length), f64::NAN);
        for row in (0..self.n_rows()).filter(|&row| self.is_valid(row)) {
            matrix.row_mut(row).iter_mut().zip(&flat[self.range(row)]).for_each(|(to, &from)| *to = from);
        }
        Ok(matrix)
    }

    /// The column with only the given rows, in the given order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let shape = match &self.shape {
            Shape::Variable(_) => {
                let mut offsets = vec![0];
                let mut end = 0;
                for &row in rows {
                    end += self.range(row).len();
                    offsets.push(end);
                }
                Shape::Variable(offsets)
            }
            other => other.clone(),
        };
        Self {
            schema: self.schema.clone(),
            values: self.values.gather(rows.iter().flat_map(|&row| self.range(row))),
            shape,
            valid: self.valid.as_ref().map(|valid| rows.iter().map(|&row| valid[row]).collect()),
        }
    }
}
