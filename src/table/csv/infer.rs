//! Types of columns from all their cells, where no header says them.

use super::cells::{boolean, list_type};
use super::is_null;
use crate::table::{ColumnType, Layout, ValueType};

/// What the cells of a column so far can all be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Guess {
    /// Only nulls so far.
    #[default]
    Nothing,
    Known(ColumnType),
}

impl Guess {
    /// Takes one more cell into account.
    pub fn see(&mut self, cell: &str) {
        let scalar = |values| Self::Known(ColumnType::scalar(values));
        if is_null(cell) || *self == scalar(ValueType::Text) {
            return;
        }
        let list = |values| Self::Known(ColumnType { values, layout: Layout::Variable });
        let seen = if cell.trim_ascii_start().starts_with(['[', '(']) {
            // A list of floats stays one; its items are checked when they are read.
            if *self == list(ValueType::Float64) {
                return;
            }
            list_type(cell).map_or(scalar(ValueType::Text), list)
        } else {
            scalar(scalar_type(cell))
        };
        *self = match (*self, seen) {
            (Self::Nothing, seen) => seen,
            (Self::Known(before), Self::Known(now)) if before == now => seen,
            (Self::Known(before), Self::Known(now)) if before.layout == now.layout => {
                let is_number = |values| matches!(values, ValueType::Int64 | ValueType::Float64);
                let values = if is_number(before.values) && is_number(now.values) { ValueType::Float64 } else { ValueType::Text };
                match values {
                    ValueType::Text => scalar(ValueType::Text),
                    values => Self::Known(ColumnType { values, layout: now.layout }),
                }
            }
            _ => scalar(ValueType::Text),
        };
    }

    /// The type; columns of nothing but nulls are floats.
    pub fn column_type(self) -> ColumnType {
        match self {
            Self::Nothing => ColumnType::scalar(ValueType::Float64),
            Self::Known(column_type) => column_type,
        }
    }
}

/// Integers too large for 64 bits are text, so that no digit is lost.
fn scalar_type(cell: &str) -> ValueType {
    let cell = cell.trim_ascii();
    if cell.parse::<i64>().is_ok() {
        ValueType::Int64
    } else if cell.parse::<f64>().is_ok() {
        let is_integer = cell.trim_start_matches(['+', '-']).bytes().all(|byte| byte.is_ascii_digit());
        if is_integer { ValueType::Text } else { ValueType::Float64 }
    } else if boolean(cell).is_some() {
        ValueType::Bool
    } else {
        ValueType::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(cells: &[&str]) -> String {
        let mut guess = Guess::default();
        cells.iter().for_each(|cell| guess.see(cell));
        guess.column_type().to_string()
    }

    #[test]
    fn types_of_columns() {
        assert_eq!(guess(&["5853498713190525696", "", "null", "1"]), "64-bit integer");
        assert_eq!(guess(&["1", "2.5"]), "64-bit float");
        assert_eq!(guess(&["18446744073709551615"]), "text");
        assert_eq!(guess(&["True", "false"]), "boolean");
        assert_eq!(guess(&["True", "1"]), "text");
        assert_eq!(guess(&["1.5", "STAR"]), "text");
        assert_eq!(guess(&["", ""]), "64-bit float");
        assert_eq!(guess(&["[1, 2]", "[3]"]), "64-bit integer list of varying length");
        assert_eq!(guess(&["[1, 2]", "(3.5)", ""]), "64-bit float list of varying length");
        assert_eq!(guess(&["(a note)", "[1.0]"]), "text");
    }
}
