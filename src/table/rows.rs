//! Tables cut into chunks of rows and put together again.

use super::{Column, Shape, Table, Values};
use crate::error::{Error, Result};
use std::ops::Range;

impl Values {
    pub(super) fn append(&mut self, other: Self) -> bool {
        match (self, other) {
            (Self::Bool(values), Self::Bool(mut more)) => values.append(&mut more),
            (Self::Int32(values), Self::Int32(mut more)) => values.append(&mut more),
            (Self::Int64(values), Self::Int64(mut more)) => values.append(&mut more),
            (Self::Float32(values), Self::Float32(mut more)) => values.append(&mut more),
            (Self::Float64(values), Self::Float64(mut more)) => values.append(&mut more),
            (Self::Text(values), Self::Text(mut more)) => values.append(&mut more),
            _ => return false,
        }
        true
    }

    fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Bool(values) => Self::Bool(values[range].to_vec()),
            Self::Int32(values) => Self::Int32(values[range].to_vec()),
            Self::Int64(values) => Self::Int64(values[range].to_vec()),
            Self::Float32(values) => Self::Float32(values[range].to_vec()),
            Self::Float64(values) => Self::Float64(values[range].to_vec()),
            Self::Text(values) => Self::Text(values[range].to_vec()),
        }
    }
}

impl Column {
    /// Appends the rows of `other`, which must be of the same type.
    ///
    /// # Errors
    /// When value type or layout differ.
    pub fn append(&mut self, other: Self) -> Result<()> {
        if self.column_type() != other.column_type() {
            return Err(Error::data(format!("column '{}'", self.schema.name))
                .found(other.column_type().to_string())
                .expected(format!("{}, as in the rows before", self.column_type())));
        }
        let (n_before, n_more, n_values) = (self.n_rows(), other.n_rows(), self.values.len());
        if self.valid.is_some() || other.valid.is_some() {
            let valid = self.valid.get_or_insert_with(|| vec![true; n_before]);
            valid.extend(other.valid.unwrap_or_else(|| vec![true; n_more]));
        }
        if let (Shape::Variable(offsets), Shape::Variable(more)) = (&mut self.shape, other.shape) {
            offsets.extend(more.iter().skip(1).map(|offset| offset + n_values));
        }
        self.values.append(other.values);
        if self.schema.unheld.is_none() {
            self.schema.unheld = other.schema.unheld;
        }
        Ok(())
    }

    /// The rows of `range`.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let (shape, flat) = match &self.shape {
            Shape::Variable(offsets) => {
                let flat = offsets[range.start]..offsets[range.end];
                (Shape::Variable(offsets[range.start..=range.end].iter().map(|offset| offset - flat.start).collect()), flat)
            }
            Shape::Fixed(length) => (self.shape.clone(), range.start * length..range.end * length),
            Shape::Scalar => (Shape::Scalar, range.clone()),
        };
        Self {
            schema: self.schema.clone(),
            values: self.values.slice(flat),
            shape,
            valid: self.valid.as_ref().map(|valid| valid[range].to_vec()),
        }
    }
}

impl Table {
    /// Appends the rows of `other`, which must have the same columns in the same order; the metadata stay as
    /// they are.
    ///
    /// # Errors
    /// When names, value types or layouts differ. The table is then as it was.
    pub fn append(&mut self, other: Self) -> Result<()> {
        self.check_same_columns(&other)?;
        self.n_rows += other.n_rows;
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.append(more)?;
        }
        Ok(())
    }

    /// Errors unless `other` has the same column names and types, in the same order.
    pub(super) fn check_same_columns(&self, other: &Self) -> Result<()> {
        let describe = |table: &Self| -> Vec<String> {
            table.columns.iter().map(|column| format!("{} ({})", column.schema.name, column.column_type())).collect()
        };
        let (mine, theirs) = (describe(self), describe(other));
        if mine == theirs {
            return Ok(());
        }
        let position = mine.iter().zip(&theirs).position(|(mine, theirs)| mine != theirs).unwrap_or(mine.len().min(theirs.len()));
        let at = |list: &[String]| list.get(position).cloned().unwrap_or_else(|| "no column".into());
        Err(Error::data(format!("chunk of a table, column {}", position + 1))
            .found(at(&theirs))
            .expected(format!("{}, as in the rows before", at(&mine))))
    }

    /// The rows of `range`, with the metadata.
    ///
    /// # Panics
    /// When the range goes beyond the rows.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            columns: self.columns.iter().map(|column| column.slice(range.clone())).collect(),
            n_rows: range.len(),
            unread: self.unread.clone(),
            metadata: self.metadata.clone(),
        }
    }

    /// Successive slices of at most `rows` rows.
    pub(super) fn slices(&self, rows: usize) -> impl Iterator<Item = Self> + '_ {
        (0..self.n_rows).step_by(rows.max(1)).map(move |start| self.slice(start..(start + rows.max(1)).min(self.n_rows)))
    }
}

#[cfg(test)]
mod tests {
    use crate::table::sample::sample_table;

    #[test]
    fn slices_put_together_are_the_table() {
        let table = sample_table();
        for rows in [1, 2, 5] {
            let mut slices = table.slices(rows);
            let mut whole = slices.next().unwrap();
            slices.for_each(|slice| whole.append(slice).unwrap());
            assert_eq!(whole.n_rows(), table.n_rows());
            for (whole, column) in whole.columns().iter().zip(table.columns()) {
                assert!(whole.same_as(column), "{} in slices of {rows}", column.schema.name);
            }
        }
    }

    #[test]
    fn other_columns_are_refused() {
        let mut table = sample_table();
        let mut other = sample_table();
        other.take("parallax");
        let error = table.append(other).unwrap_err().to_string();
        assert!(error.contains("found flag (boolean), expected parallax (64-bit float)"), "{error}");
    }
}
