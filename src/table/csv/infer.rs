//! Types of columns from all their cells, where no header says them.

use super::cells::{boolean, list_type, shortened};
use super::is_null;
use crate::table::{ColumnType, Layout, ValueType};

/// What the cells of a column so far can all be read as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::table) struct Guess {
    /// `None` for only nulls so far.
    known: Option<ColumnType>,
    has_numbers: bool,
    /// The first cell that is no number, with its line.
    odd: Option<(u64, String)>,
}

const TEXT: ColumnType = ColumnType { values: ValueType::Text, layout: Layout::Scalar };

impl Guess {
    /// Takes one more cell into account; `line` says where it stands.
    pub fn see(&mut self, cell: &str, line: impl FnOnce() -> u64) {
        if is_null(cell) {
            return;
        }
        if self.known == Some(TEXT) {
            // Only to say later that there are numbers too: what does not start as one is not looked at.
            if !self.has_numbers && cell.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
                self.has_numbers = is_number(scalar_type(cell));
            }
            return;
        }
        let list = |values| ColumnType { values, layout: Layout::Variable };
        let seen = if cell.trim_ascii_start().starts_with(['[', '(']) {
            // A list of floats stays one; its items are checked when they are read.
            if self.known == Some(list(ValueType::Float64)) {
                return;
            }
            list_type(cell).map_or(TEXT, list)
        } else {
            ColumnType::scalar(scalar_type(cell))
        };
        self.has_numbers |= is_number(seen.values);
        let both = match self.known {
            None => seen,
            Some(before) if before == seen => seen,
            Some(before) if before.layout == seen.layout && is_number(before.values) && is_number(seen.values) => {
                ColumnType { values: ValueType::Float64, layout: seen.layout }
            }
            Some(_) => TEXT,
        };
        if self.odd.is_none() && (both == TEXT || !is_number(seen.values)) {
            self.odd = Some((line(), shortened(cell)));
        }
        self.known = Some(both);
    }

    /// Takes one more cell into account that is text whatever it looks like.
    pub fn see_text(&mut self, cell: &str, line: impl FnOnce() -> u64) {
        if is_null(cell) {
            return;
        }
        if self.odd.is_none() {
            self.odd = Some((line(), shortened(cell)));
        }
        self.known = Some(TEXT);
    }

    /// The type; columns of nothing but nulls are floats.
    pub fn column_type(&self) -> ColumnType {
        self.known.unwrap_or(ColumnType::scalar(ValueType::Float64))
    }

    /// The first cell that made text of a column in which there are numbers, and its line.
    pub fn odd_cell(self) -> Option<(u64, String)> {
        self.odd.filter(|_| self.known == Some(TEXT) && self.has_numbers)
    }
}

fn is_number(values: ValueType) -> bool {
    matches!(values, ValueType::Int64 | ValueType::Float64)
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

    fn guessed(cells: &[&str]) -> Guess {
        let mut guess = Guess::default();
        cells.iter().zip(2..).for_each(|(cell, line)| guess.see(cell, || line));
        guess
    }

    #[test]
    fn types_of_columns() {
        let guess = |cells: &[&str]| guessed(cells).column_type().to_string();
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

    #[test]
    fn the_cell_among_numbers_that_is_none() {
        let odd = |cells: &[&str]| guessed(cells).odd_cell().map(|(line, text)| format!("{line}: {text}"));
        assert_eq!(odd(&["1.5", "", "NA", "--"]).as_deref(), Some("4: NA"));
        assert_eq!(odd(&["N/A", "HD 1", "-1.5"]).as_deref(), Some("2: N/A"));
        assert_eq!(odd(&["1", "True", "18446744073709551615"]).as_deref(), Some("3: True"));
        assert_eq!(odd(&["True", "1"]).as_deref(), Some("2: True"));
        assert_eq!(odd(&["[1.0]", "NA"]).as_deref(), Some("3: NA"));
        assert_eq!(odd(&["[1.0]", "2.5"]).as_deref(), Some("3: 2.5"));
        assert_eq!(odd(&["HD 1", "2MASS J1", "-"]), None, "text without numbers is text");
        assert_eq!(odd(&["True", "False"]), None);
        assert_eq!(odd(&["1", "2.5", "nan"]), None);
    }
}
