//! Columns of lists of numbers, also where a file has them as text.

use crate::error::{Error, Result};
use crate::table::{Column, Shape, Values};
use std::borrow::Cow;

/// A list column of numbers; `None` for a column without any value.
pub(super) struct Lists<'a>(Option<Cow<'a, Column>>);

impl<'a> Lists<'a> {
    /// No lists at all.
    pub(super) const ABSENT: Self = Self(None);

    /// # Errors
    /// When the column holds no lists, or a text that is none (row and text are named).
    pub(super) fn new(column: &'a Column) -> Result<Self> {
        column.require_held()?;
        if (0..column.n_rows()).all(|row| !column.is_valid(row)) {
            return Ok(Self(None));
        }
        match (&column.shape, &column.values) {
            (_, Values::Bool(_)) => column.flat_f64().map(|_| Self(None)),
            (Shape::Scalar, Values::Text(_)) => Ok(Self(Some(Cow::Owned(column.parsed_lists()?)))),
            (_, Values::Text(_)) => column.flat_f64().map(|_| Self(None)),
            (Shape::Scalar, _) if column.flat_f64()?.iter().all(|value| value.is_nan()) => Ok(Self(None)),
            (Shape::Scalar, _) => Err(Error::data(format!("column '{}'", column.schema.name))
                .found("one number per row")
                .expected("a list of numbers per row")
                .remedy("Use the archive's xp_continuous_mean_spectrum files, whose cells hold arrays.")),
            (Shape::Fixed(_) | Shape::Variable(_), _) => Ok(Self(Some(Cow::Borrowed(column)))),
        }
    }

    /// Whether there is any value.
    pub(super) fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// The values of a row; `None` when it is null, empty or all NaN.
    pub(super) fn row(&self, row: usize) -> Option<Vec<f64>> {
        let column = self.0.as_deref().filter(|column| column.is_valid(row))?;
        let range = column.range(row);
        let values: Vec<f64> = match &column.values {
            Values::Float32(values) => values[range].iter().map(|&value| value.into()).collect(),
            Values::Float64(values) => values[range].to_vec(),
            Values::Int32(values) => values[range].iter().map(|&value| value.into()).collect(),
            Values::Int64(values) => values[range].iter().map(|&value| value as f64).collect(),
            Values::Bool(_) | Values::Text(_) => return None,
        };
        values.iter().any(|value| !value.is_nan()).then_some(values)
    }

    /// Number of values of a row; zero when there are none.
    pub(super) fn length(&self, row: usize) -> usize {
        let is_present = |column: &&Column| match &column.values {
            Values::Float32(values) => values[column.range(row)].iter().any(|value| !value.is_nan()),
            Values::Float64(values) => values[column.range(row)].iter().any(|value| !value.is_nan()),
            _ => true,
        };
        self.0.as_deref().filter(|column| column.is_valid(row)).filter(is_present).map_or(0, |column| column.range(row).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnSchema;

    #[test]
    fn texts_are_lists_or_named() {
        let column = |texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            Column::scalar(ColumnSchema::new("bp_coefficients", "", ""), Values::Text(texts))
        };
        let texts = column(&["[1.5, -2e3]", "(1,)", " 1 2\n 3 ", "null", "[]", "[1, null]", "[nan, nan]"]);
        let lists = Lists::new(&texts).unwrap();
        let found: Vec<usize> = (0..7).map(|row| lists.length(row)).collect();
        assert_eq!(found, [2, 1, 3, 0, 0, 2, 0]);
        assert_eq!(lists.row(0), Some(vec![1.5, -2000.0]));
        assert_eq!(lists.row(2), Some(vec![1.0, 2.0, 3.0]));
        assert!(lists.row(5).unwrap()[1].is_nan() && lists.row(3).is_none() && lists.row(6).is_none());
        for bad in ["[1, 2", "[1,,2]", "x", "[1, masked]"] {
            let column = column(&["[1]", bad]);
            let message = Lists::new(&column).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(
                message.contains("'bp_coefficients', row 1") && message.contains("expected a list of numbers"),
                "{bad}: {message}"
            );
        }
    }
}
