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
        if (0..column.n_rows()).all(|row| !column.is_valid(row)) {
            return Ok(Self(None));
        }
        match (&column.shape, &column.values) {
            (_, Values::Bool(_)) => column.flat_f64().map(|_| Self(None)),
            (Shape::Scalar, Values::Text(texts)) => Ok(Self(Some(Cow::Owned(parsed(column, texts)?)))),
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

/// A text column as lists of numbers.
fn parsed(column: &Column, texts: &[String]) -> Result<Column> {
    let mut flat = Vec::new();
    let mut offsets = Vec::with_capacity(texts.len() + 1);
    offsets.push(0);
    for (row, text) in texts.iter().enumerate() {
        if column.is_valid(row) {
            push_numbers(text, &mut flat).map_err(|element| {
                let shown: String = element.chars().take(40).collect();
                Error::data(format!("column '{}', row {row}", column.schema.name))
                    .found(format!("text that is no list of numbers (\u{2018}{shown}\u{2019})"))
                    .expected("numbers in [ ] or ( ), between commas or blanks")
                    .remedy("Correct the cell, or save the arrays as such.")
            })?;
        }
        offsets.push(flat.len());
    }
    let values = Values::Float64(flat);
    Ok(Column { schema: column.schema.clone(), values, shape: Shape::Variable(offsets), valid: column.valid.clone() })
}

/// Adds the numbers of `[1, 2]`, `(1, 2)`, `{1, 2}` or `1 2`; nothing for an empty text or `null`. Elements that say "nothing" are NaN.
fn push_numbers<'a>(text: &'a str, flat: &mut Vec<f64>) -> std::result::Result<(), &'a str> {
    let text = text.trim();
    if ["", "null", "nan", "--"].iter().any(|nothing| text.eq_ignore_ascii_case(nothing)) {
        return Ok(());
    }
    let pairs = [('[', ']'), ('(', ')'), ('{', '}')];
    let inside = pairs.iter().find_map(|&(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    let inside = inside.unwrap_or(text).trim();
    if inside.is_empty() {
        return Ok(());
    }
    let mut push = |element: &'a str| {
        let element = element.trim();
        let nothing = ["null", "none", "nan", "--"].iter().any(|nothing| element.eq_ignore_ascii_case(nothing));
        flat.push(if nothing { f64::NAN } else { element.parse().map_err(|_| element)? });
        Ok(())
    };
    match inside.contains(',') {
        // Python writes a tuple of one number with a comma.
        true => inside.strip_suffix(',').unwrap_or(inside).split(',').try_for_each(&mut push),
        false => inside.split_whitespace().try_for_each(&mut push),
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
        for bad in ["[1, 2", "[1,,2]", "x", "[[1, 2], [3]]", "1;2"] {
            let column = column(&["[1]", bad]);
            let message = Lists::new(&column).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains("'bp_coefficients', row 1") && message.contains("no list of numbers"), "{bad}: {message}");
        }
    }
}
