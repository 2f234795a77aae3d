//! Lists of numbers that stand as text in one cell, as programs without list columns write them.

use super::{Column, Shape, Values};
use crate::error::{Error, Result};
use fast_float2::FastFloat;

/// Characters of a cell that an error shows.
const SHOWN_CHARACTERS: usize = 40;

impl Column {
    /// A text column whose cells are lists of numbers, `[1.0, 2.0]`, `(1.0, 2.0)`, `{1.0, 2.0}` or `1.0 2.0`
    /// (with commas, semicolons or blanks between the numbers, over several lines as numpy prints them, or
    /// lists within lists), as a column of lists of 64-bit floats. `null`, `none`, `nan` and `--` within a
    /// list are NaN; they alone, empty cells and `[]` are null. A column of anything but text is given back
    /// as it is.
    ///
    /// # Errors
    /// When something in a cell is no number, as `...` where a program has left numbers out (the row is
    /// named).
    pub fn parsed_lists(&self) -> Result<Self> {
        self.require_held()?;
        let (Values::Text(texts), Shape::Scalar) = (&self.values, &self.shape) else { return Ok(self.clone()) };
        let (mut values, mut offsets) = (Vec::new(), vec![0]);
        let mut valid = Vec::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            if self.is_valid(row) {
                numbers(text, &mut values).map_err(|found| self.not_a_list(row, text, found))?;
            }
            valid.push(offsets.last() != Some(&values.len()));
            offsets.push(values.len());
        }
        let column =
            Self { schema: self.schema.clone(), values: Values::Float64(values), shape: Shape::Variable(offsets), valid: None };
        Ok(column.with_valid(valid))
    }

    fn not_a_list(&self, row: usize, text: &str, found: &str) -> Error {
        if self.schema.odd_cell.as_ref().is_some_and(|odd| text.contains(&odd.text)) {
            return self.type_error("a list of numbers");
        }
        let cell = shortened(text);
        Error::data(format!("column '{}', row {row}", self.schema.name))
            .found(format!("'{}' in the text '{cell}'", shortened(found)))
            .expected("a list of numbers, as [1.0, 2.0]")
            .remedy("Write all numbers of the list, or store the column as a list.")
    }
}

/// Appends the numbers of a list; gives back what is none.
fn numbers<'a>(text: &'a str, values: &mut Vec<f64>) -> std::result::Result<(), &'a str> {
    let is_between = |character: char| character.is_ascii_whitespace() || matches!(character, ',' | ';');
    let is_bracket = |character: char| matches!(character, '[' | ']' | '(' | ')' | '{' | '}');
    let bare = text.trim_matches(|character: char| character.is_ascii_whitespace());
    if bare.is_empty() || is_nothing(bare) {
        return Ok(());
    }
    // Two commas, or one at an end, are a value that is missing.
    let mut awaits_value = false;
    let start = values.len();
    for part in bare.split_inclusive(|character| is_between(character) || is_bracket(character)) {
        let item = part.trim_end_matches(|character| is_between(character) || is_bracket(character));
        let has_comma = part.ends_with([',', ';']);
        if !item.is_empty() {
            values.push(number(item).ok_or(item)?);
            awaits_value = has_comma;
        } else if has_comma {
            if values.len() == start || awaits_value {
                return Err(",");
            }
            awaits_value = true;
        }
    }
    // A cell that was cut off must not pass for a shorter list.
    let n_open = bare.matches(['[', '(', '{']).count();
    if n_open != bare.matches([']', ')', '}']).count() {
        return Err(if n_open == 0 { "a bracket that closes" } else { "a bracket that stays open" });
    }
    // Python writes a tuple of one number with a comma.
    if awaits_value && !(values.len() == start + 1 && bare.starts_with('(') && bare.ends_with(",)")) { Err(",") } else { Ok(()) }
}

/// Whether a word says that there is no value.
fn is_nothing(word: &str) -> bool {
    ["null", "none", "nan", "--"].iter().any(|nothing| word.eq_ignore_ascii_case(nothing))
}

fn number(item: &str) -> Option<f64> {
    if is_nothing(item) {
        return Some(f64::NAN);
    }
    <f64 as FastFloat>::parse_float(item).ok()
}

/// The beginning of a cell, in which control characters are spelled out.
pub(super) fn shortened(text: &str) -> String {
    let text = text.trim_ascii();
    let end = text.char_indices().nth(SHOWN_CHARACTERS).map(|(end, _)| end);
    let beginning = &text[..end.unwrap_or(text.len())];
    let spelled: String = beginning
        .chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if end.is_some() { format!("{spelled} \u{2026}") } else { spelled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnSchema;

    fn column(cells: &[&str]) -> Column {
        let texts = cells.iter().map(|&cell| cell.to_owned()).collect();
        Column::scalar(ColumnSchema::new("bp_coefficients", "", ""), Values::Text(texts))
    }

    #[test]
    fn all_spellings_are_the_same_list() {
        let cells =
            ["[1.0, -2e-3]", "(1,-0.002)", "1.0 -0.002", "{1;-.002}", "[ 1.00e+00\n -2.0e-03]", "[[1.0], [-0.002]]", "1,-0.002"];
        let matrix = column(&cells).to_matrix(2).unwrap();
        assert!(matrix.rows().into_iter().all(|row| row[0] == 1.0 && row[1] == -2e-3), "{matrix}");
        let lists = column(&["[nan, null, --, 1]", "", "null", "[]", "(5,)", "NaN"]).parsed_lists().unwrap();
        assert_eq!(lists.shape, Shape::Variable(vec![0, 4, 4, 4, 4, 5, 5]));
        assert_eq!(lists.valid, Some(vec![true, false, false, false, true, false]));
        let flat = lists.flat_f64().unwrap();
        assert!(flat[..3].iter().all(|value| value.is_nan()) && flat[3..] == [1.0, 5.0]);
        assert_eq!(lists.parsed_lists().unwrap().shape, lists.shape);
    }

    #[test]
    fn what_is_no_number_is_named_with_its_row() {
        for (cell, found) in [
            ("[1.0 2.0 ... 3.0]", "'...'"),
            ("[1.0,,2.0]", "','"),
            ("[,1.0]", "','"),
            ("[1.0,]", "','"),
            ("[1.0, 2.0", "'a bracket that stays open'"),
            ("1.0, 2.0]", "'a bracket that closes'"),
            ("[1.0, -]", "'-'"),
            ("[1.0, masked]", "'masked'"),
            ("\u{1b}[2J", "'\\u{1b}'"),
        ] {
            let error = column(&["[1.0]", cell]).parsed_lists().unwrap_err().to_string();
            assert!(error.starts_with(&format!("column 'bp_coefficients', row 1: found {found} in the text")), "{error}");
        }
        let error = column(&["[1.0]"]).to_matrix(2).unwrap_err().to_string();
        assert!(error.contains("row 0: found 1 values, expected 2"), "{error}");
    }
}
