//! A block's text to records and cells.

use super::blocks::end_of_quotes;
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// The records of a block, one after the other.
pub(super) struct Records<'a> {
    text: &'a str,
    delimiter: u8,
    position: usize,
}

impl<'a> Records<'a> {
    pub fn new(text: &'a str, delimiter: u8) -> Self {
        Self { text, delimiter, position: 0 }
    }

    /// Where the next record starts in the text.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Hands the cells of the next record with their positions to `cell`, which may fail. Gives the number of
    /// cells; `None` at the end. Lines without anything are passed over.
    pub fn next<E>(&mut self, mut cell: impl FnMut(usize, Cow<'a, str>) -> Result<(), E>) -> Result<Option<usize>, E> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.position), Some(b'\n')) || bytes[self.position.min(bytes.len())..].starts_with(b"\r\n") {
            self.position += 1;
        }
        if self.position >= bytes.len() {
            return Ok(None);
        }
        let mut n_cells = 0;
        loop {
            let (content, end) = self.cell(self.position);
            cell(n_cells, content)?;
            n_cells += 1;
            self.position = end + 1;
            if bytes.get(end) != Some(&self.delimiter) {
                return Ok(Some(n_cells));
            }
        }
    }

    /// The content of the cell that starts at `start`, and where the delimiter or the line's end after it
    /// stands.
    fn cell(&self, start: usize) -> (Cow<'a, str>, usize) {
        let bytes = self.text.as_bytes();
        let end_from = |from: usize| memchr2(self.delimiter, b'\n', &bytes[from..]).map_or(bytes.len(), |offset| from + offset);
        if bytes.get(start) != Some(&b'"') {
            let end = end_from(start);
            return (Cow::Borrowed(self.line_end(start, end)), end);
        }
        let close = end_of_quotes(bytes, start + 1).unwrap_or(bytes.len() + 1);
        let inside = &self.text[start + 1..close - 1];
        let end = end_from(close.min(bytes.len()));
        // Text after the closing quote belongs to the cell, as other programs read it.
        let after = if close < end { self.line_end(close, end) } else { "" };
        let content = if after.is_empty() && memchr(b'"', inside.as_bytes()).is_none() {
            Cow::Borrowed(inside)
        } else {
            Cow::Owned(inside.replace("\"\"", "\"") + after)
        };
        (content, end)
    }

    /// The text without the carriage return before a line's end.
    fn line_end(&self, start: usize, end: usize) -> &'a str {
        let text = &self.text[start..end];
        if self.text.as_bytes().get(end) == Some(&self.delimiter) { text } else { text.strip_suffix('\r').unwrap_or(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `csv` crate reads the same cells.
    #[test]
    fn cells_are_those_of_the_csv_crate() {
        for text in [
            "1,\"a\nb\"\r\n\n2,5\" pipe\n3,\"\"\"x\"\"\n\"\n4,end",
            "\"a\"b,\"\"\n,\n\"[1.0, 2.0]\",x\r\n",
            "one\n\r\n\"two\"\r\n",
            "1,\n2,\"open\nquote",
        ] {
            let mut records = Records::new(text, b',');
            let mut found = Vec::new();
            loop {
                let mut cells = Vec::new();
                let push = |_, cell: Cow<str>| -> Result<(), ()> {
                    cells.push(cell.into_owned());
                    Ok(())
                };
                if records.next(push).unwrap().is_none() {
                    break;
                }
                found.push(cells);
            }
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<String>> =
                reader.records().map(|record| record.unwrap().iter().map(String::from).collect()).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
