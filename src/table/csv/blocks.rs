//! Text cut into blocks of whole records, so that blocks can be parsed side by side.

use crate::error::{Error, Result};
use crate::table::gzip;
use memchr::{memchr, memchr_iter, memchr2};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a block, as long as no single record is longer.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of a record; a star's spectra with all their correlations have some hundred thousand.
const MOST_RECORD_BYTES: usize = 256 << 20;

/// Whole records that follow one another in a file.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub text: String,
    /// Line of the file, from 1, at which the text starts.
    pub first_line: u64,
    /// Number of records.
    pub n_records: usize,
    /// Whether these are the last records of a chunk of the rows that the cutter was asked for.
    pub ends_chunk: bool,
}

/// Cuts a stream into blocks; a block ends at the latest where a chunk of `rows` records does. The iterator
/// ends after an error.
pub(super) struct Cutter {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    /// Bytes read and not yet given away.
    buffer: Vec<u8>,
    delimiter: u8,
    rows: usize,
    /// Records of the present chunk that have been given away.
    n_given: usize,
    line: u64,
    at_end: bool,
    failed: bool,
}

/// What a scan over the bytes at hand has found.
struct Found {
    /// End of the last whole record.
    end: usize,
    n_records: usize,
    /// A quote after which the file ends without another one.
    open_quote: Option<usize>,
}

impl Cutter {
    /// Blocks of a stream that continues `buffer`, whose first byte is on `line`.
    pub fn new(path: &Path, reader: Box<dyn Read + Send>, buffer: Vec<u8>, line: u64, delimiter: u8, rows: usize) -> Self {
        let path = path.to_owned();
        Self { path, reader, buffer, delimiter, rows, n_given: 0, line, at_end: false, failed: false }
    }

    fn block(&mut self) -> Result<Option<Block>> {
        let mut wanted = BLOCK_BYTES;
        let found = loop {
            self.fill(wanted)?;
            let found = self.find_records();
            if let Some(at) = found.open_quote.filter(|_| found.n_records == 0) {
                return Err(Error::data(format!("{}, line {}", self.path.display(), self.line + line_ends(&self.buffer[..at])))
                    .found("a quote that is not closed before the file ends")
                    .expected("a second quote at the end of the cell")
                    .remedy("Close the quote, or remove it; if the file is truncated, copy or download it again."));
            }
            if found.n_records > 0 || self.at_end {
                break found;
            }
            if self.buffer.len() >= MOST_RECORD_BYTES {
                return Err(Error::data(format!("{}, line {}", self.path.display(), self.line))
                    .found(format!("a record of more than {} MiB", MOST_RECORD_BYTES >> 20))
                    .expected("the end of its line")
                    .remedy("Check that the file is a table of text, and that its quotes are closed."));
            }
            wanted = (2 * self.buffer.len().max(BLOCK_BYTES)).min(MOST_RECORD_BYTES);
        };
        if found.end == 0 {
            return Ok(None);
        }
        let rest = self.buffer.split_off(found.end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let first_line = self.line;
        self.line += line_ends(&bytes);
        self.n_given += found.n_records;
        let ends_chunk = self.n_given == self.rows;
        if ends_chunk {
            self.n_given = 0;
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = first_line + line_ends(valid);
            Error::data(format!("{}, line {line}", self.path.display()))
                .found(format!("bytes that are not UTF-8 ({})", error.utf8_error()))
                .expected("UTF-8 text")
                .remedy("Save the file as UTF-8.")
        })?;
        Ok(Some(Block { text, first_line, n_records: found.n_records, ends_chunk }))
    }

    fn fill(&mut self, wanted: usize) -> Result<()> {
        let missing = wanted.saturating_sub(self.buffer.len());
        self.buffer.reserve(missing);
        let limited = self.reader.by_ref().take(missing as u64);
        let n_read = { limited }.read_to_end(&mut self.buffer).map_err(|error| gzip::damaged(&self.path, error))?;
        self.at_end |= n_read < missing;
        Ok(())
    }

    /// Finds whole records, at most as many as the chunk still wants. A quote opens a quoted cell only at the
    /// start of a cell.
    fn find_records(&self) -> Found {
        let bytes = &self.buffer[..];
        let mut found = Found { end: 0, n_records: 0, open_quote: None };
        let mut position = 0;
        while self.n_given + found.n_records < self.rows {
            let Some(at) = memchr2(b'"', b'\n', &bytes[position..]).map(|offset| position + offset) else {
                // The last line may lack its end.
                if self.at_end && found.end < bytes.len() {
                    found.n_records += usize::from(!is_blank(&bytes[found.end..]));
                    found.end = bytes.len();
                }
                break;
            };
            position = at + 1;
            if bytes[at] == b'\n' {
                found.n_records += usize::from(!is_blank(&bytes[found.end..at]));
                found.end = position;
            } else if at == found.end || bytes[at - 1] == self.delimiter {
                position = match end_of_quotes(bytes, position) {
                    Some(end) => end,
                    None => {
                        found.open_quote = self.at_end.then_some(at);
                        break;
                    }
                };
            }
        }
        found
    }
}

impl Iterator for Cutter {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Result<Block>> {
        if self.failed {
            return None;
        }
        let block = self.block();
        self.failed = block.is_err();
        block.transpose()
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// Whether a line holds nothing: no record.
fn is_blank(line: &[u8]) -> bool {
    line.is_empty() || line == b"\r"
}

/// The position after the quote that closes a cell whose content starts at `start`; a doubled quote stands
/// for one.
pub(super) fn end_of_quotes(bytes: &[u8], start: usize) -> Option<usize> {
    let mut position = start;
    loop {
        position += memchr(b'"', &bytes[position..])? + 1;
        if bytes.get(position) != Some(&b'"') {
            return Some(position);
        }
        position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str, rows: usize) -> Vec<Block> {
        let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        Cutter::new(Path::new("a.csv"), reader, Vec::new(), 1, b',', rows).map(Result::unwrap).collect()
    }

    #[test]
    fn records_are_kept_whole() {
        let text = "1,\"a\nb\"\r\n\n2,5\" pipe\n3,\"\"\"x\"\"\n\"\n4,end";
        for rows in [1, 2, 3, 4, 9] {
            let blocks = blocks(text, rows);
            assert_eq!(blocks.iter().map(|block| block.text.as_str()).collect::<String>(), text, "{rows} rows");
            assert_eq!(blocks.iter().map(|block| block.n_records).sum::<usize>(), 4, "{rows} rows");
            assert!(blocks.iter().all(|block| block.n_records <= rows));
        }
        let single = blocks(text, 1);
        assert_eq!(single[1].text, "\n2,5\" pipe\n");
        assert_eq!(single.iter().map(|block| block.first_line).collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert!(single.iter().all(|block| block.ends_chunk));
    }

    #[test]
    fn a_record_may_be_longer_than_a_block() {
        let long = format!("\"[{}]\"", "1.5,".repeat(BLOCK_BYTES));
        let blocks = blocks(&format!("{long}\n{long}\n1\n"), 100);
        assert_eq!(blocks.iter().map(|block| block.n_records).sum::<usize>(), 3);
        assert!(blocks.len() >= 2);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_with_its_line() {
        let reader = Box::new(std::io::Cursor::new(b"1,2\n\n3,\"four\n5,6\n".to_vec()));
        let blocks: Vec<Result<Block>> = Cutter::new(Path::new("a.csv"), reader, Vec::new(), 2, b',', 9).collect();
        assert_eq!(blocks.len(), 2, "the records before it come first");
        assert_eq!(blocks[0].as_ref().unwrap().n_records, 1);
        let error = blocks[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("a.csv, line 4: found a quote that is not closed"), "{error}");
    }

    #[test]
    fn a_record_without_end_is_refused() {
        let reader = Box::new(std::io::repeat(b'1'));
        let mut blocks = Cutter::new(Path::new("a.csv"), reader, Vec::new(), 7, b',', 9);
        let error = blocks.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("a.csv, line 7: found a record of more than 256 MiB"), "{error}");
        assert!(blocks.next().is_none());
    }
}
