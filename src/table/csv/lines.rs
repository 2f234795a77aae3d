//! What stands before the first record: marks of the encoding, comments, the ECSV header, the names of the
//! columns.

use super::blocks::{Cutter, end_of_quotes};
use super::cells::shortened;
use super::header::{self, EcsvHeader};
use super::records::Records;
use crate::error::{Error, Result};
use crate::table::{ColumnSchema, gzip};
use memchr::{memchr, memchr2};
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes before the first record.
const MOST_BYTES: usize = 64 << 20;
/// Columns of a table; catalogues have hundreds, spectra in columns some thousand.
const MOST_COLUMNS: usize = 1 << 17;
/// Lines that the names of the columns may take, where quotes hold line ends.
const MOST_LINES_OF_NAMES: usize = 1000;
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the lines before the first record say.
pub(super) struct Head {
    pub header: Option<EcsvHeader>,
    pub names: Vec<String>,
    pub delimiter: u8,
}

/// A file past its header.
pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    /// What has been read of the records.
    rest: Vec<u8>,
    /// Line of the first record.
    line: u64,
    pub layout: Head,
}

impl Lines {
    /// Opens a file and reads up to its first record.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8, its header is damaged, a name stands twice, or the names are
    /// not what commas part.
    pub fn open(path: &Path) -> Result<Self> {
        let mut lines = LineReader { path, reader: gzip::open(path)?, buffer: Vec::new(), position: 0, n_read: 0, line: 1 };
        lines.skip_mark()?;
        lines.see_line_ends()?;
        let mut delimiter = b',';
        if let Some(named) = lines.delimiter_line()? {
            delimiter = named;
        }
        let mut comments = String::new();
        while lines.peek()? == Some(b'#') {
            let line = lines.read_line()?;
            let line = line.trim_end_matches(['\r', '\n']);
            comments.push_str(line.strip_prefix("# ").or_else(|| line.strip_prefix('#')).unwrap_or(line));
            comments.push('\n');
        }
        let is_ecsv = comments.starts_with("%ECSV");
        let header = is_ecsv.then(|| header::parse(&comments)).transpose().map_err(|error| error.within(path.display()))?;
        if let Some(header) = &header {
            delimiter = header.delimiter;
        }
        while matches!(lines.peek()?, Some(b'\r' | b'\n')) {
            lines.read_line()?;
        }
        let names_line = lines.line;
        let names = lines.read_record(delimiter)?;
        let mut layout = Head { header, names: Vec::new(), delimiter };
        Records::new(&names, delimiter).next(|i, name| -> Result<()> {
            layout.names.push(match name.trim() {
                "" => format!("column_{}", i + 1),
                name => name.to_owned(),
            });
            Ok(())
        })?;
        layout.check(lines.ahead()).map_err(|misfit| misfit.error(format!("{}, line {names_line}", path.display())))?;
        let LineReader { reader, buffer: mut rest, position, line, .. } = lines;
        rest.drain(..position);
        Ok(Self { path: path.to_owned(), reader, rest, line, layout })
    }

    /// The records in blocks.
    pub fn cut(self, rows: usize) -> Cutter {
        Cutter::new(&self.path, self.reader, self.rest, self.line, self.layout.delimiter, rows)
    }
}

/// What is wrong with the names of the columns.
struct BadNames {
    found: String,
    expected: String,
    remedy: &'static str,
}

impl BadNames {
    fn error(self, place: String) -> Error {
        Error::data(place).found(self.found).expected(self.expected).remedy(self.remedy)
    }
}

impl Head {
    /// The columns' descriptions.
    pub fn schemas(&self) -> Vec<ColumnSchema> {
        match &self.header {
            Some(header) => header.columns.iter().map(|(schema, _)| schema.clone()).collect(),
            None => self.names.iter().map(|name| ColumnSchema::new(name, "", "")).collect(),
        }
    }

    /// Checks the names; `ahead` is the beginning of the records.
    fn check(&self, ahead: &[u8]) -> std::result::Result<(), BadNames> {
        let bad = |found: String, expected: &str, remedy| Err(BadNames { found, expected: expected.to_owned(), remedy });
        let names = &self.names;
        if names.is_empty() {
            return bad("nothing".into(), "the names of the columns", "Check that the file is whole.");
        }
        if let Some(name) = names.iter().find(|name| name.contains('\0')) {
            let found = format!("the name '{}' with a byte that is zero", shortened(name));
            return bad(found, "text in UTF-8", "Save the file as UTF-8, or name it by the format that it has.");
        }
        if names.len() > MOST_COLUMNS {
            let remedy = "Store the values of a star as a list in one column.";
            return bad(format!("{} columns", names.len()), &format!("at most {MOST_COLUMNS}"), remedy);
        }
        if let Some(header) = &self.header {
            let declared: Vec<&str> = header.columns.iter().map(|(schema, _)| schema.name.as_str()).collect();
            if declared != *names {
                let found = format!("the columns {}", listed(names));
                let remedy = "Write the file again with a program that writes ECSV, or remove the header.";
                return bad(found, &format!("those of the ECSV header: {}", listed(&declared)), remedy);
            }
        }
        let mut positions = HashMap::new();
        for (i, name) in names.iter().enumerate() {
            if let Some(before) = positions.insert(name.as_str(), i) {
                let found = format!("the name '{}' twice, for columns {} and {}", shortened(name), before + 1, i + 1);
                return bad(found, "distinct names", "Rename one of the two columns, or remove it.");
            }
        }
        if self.header.is_none() {
            if let Some(other) = self.other_delimiter(ahead) {
                let found = format!("no comma, but {other} between what seem to be names ('{}')", shortened(&names[0]));
                let remedy = "Write the file with commas, or with a first line such as `sep=;` that says what parts the cells, or as ECSV.";
                return bad(found, "names parted by commas", remedy);
            }
            if names.iter().all(|name| name.parse::<f64>().is_ok_and(f64::is_finite)) {
                let remedy = "Put a line with the names before the first record; it must not start with '#'.";
                return bad(format!("nothing but numbers ({})", listed(names)), "the names of the columns", remedy);
            }
        }
        Ok(())
    }

    /// What seems to part the cells where commas part nothing. Blanks may belong to a name: they count only
    /// if the first record has as many.
    fn other_delimiter(&self, ahead: &[u8]) -> Option<&'static str> {
        let [name] = &self.names[..] else { return None };
        if self.delimiter != b',' {
            return None;
        }
        let delimiters = [(';', "semicolons"), ('\t', "tabulators"), ('|', "bars")];
        let found = delimiters.iter().find(|(delimiter, _)| name.contains(*delimiter)).map(|(_, words)| *words);
        let mut lines = ahead.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let n_words = name.split_whitespace().count();
        let has_as_many = |line: &[u8]| {
            let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            !line.contains(&b',') && !line.contains(&b'"') && words.count() == n_words
        };
        found.or_else(|| (n_words > 1 && lines.next().is_some_and(has_as_many)).then_some("blanks"))
    }
}

/// Names with commas between them, the beginning of many.
fn listed(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = names.iter().take(20).map(|name| shortened(name.as_ref())).collect();
    format!("{}{}", shown.join(", "), if names.len() > 20 { ", \u{2026}" } else { "" })
}

/// The lines before the records, one by one.
struct LineReader<'a> {
    path: &'a Path,
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Where the next line starts in the buffer.
    position: usize,
    n_read: usize,
    line: u64,
}

impl LineReader<'_> {
    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool> {
        if self.position == self.buffer.len() {
            self.buffer.clear();
            self.position = 0;
        }
        let mut more = self.reader.by_ref().take(1 << 16);
        let n_read = more.read_to_end(&mut self.buffer).map_err(|error| gzip::damaged(self.path, error))?;
        self.n_read += n_read;
        if self.n_read > MOST_BYTES {
            return Err(Error::data(format!("{}, line {}", self.path.display(), self.line))
                .found(format!("comments and names of more than {} MiB", MOST_BYTES >> 20))
                .expected("the first record")
                .remedy("Check that the file is a table of text with lines."));
        }
        Ok(n_read > 0)
    }

    /// What has been read and not yet given away.
    fn ahead(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    /// The first byte of the next line; `None` at the end.
    fn peek(&mut self) -> Result<Option<u8>> {
        if self.ahead().is_empty() {
            self.fill()?;
        }
        Ok(self.ahead().first().copied())
    }

    /// Passes over the mark of UTF-8.
    fn skip_mark(&mut self) -> Result<()> {
        self.peek()?;
        if self.buffer.starts_with(b"\xff\xfe") || self.buffer.starts_with(b"\xfe\xff") {
            return Err(Error::data(self.path.display().to_string())
                .found("text in UTF-16 or UTF-32 (by its byte-order mark)")
                .expected("UTF-8")
                .remedy("Save the file as UTF-8, for instance with `iconv -f UTF-16 -t UTF-8`."));
        }
        if self.buffer.starts_with(UTF8_MARK) {
            self.position = UTF8_MARK.len();
        }
        Ok(())
    }

    /// Where the first line ends with a carriage return alone, as on old Macintoshes, all do.
    fn see_line_ends(&mut self) -> Result<()> {
        self.peek()?;
        let mut from = self.position;
        let end = loop {
            match memchr2(b'\r', b'\n', &self.buffer[from..]) {
                // The byte after it decides.
                Some(offset) if from + offset + 1 < self.buffer.len() => break Some(from + offset),
                found if self.fill()? => from = found.map_or(from, |offset| from + offset),
                found => break found.map(|offset| from + offset),
            }
        };
        if end.is_some_and(|end| self.buffer[end] == b'\r' && self.buffer.get(end + 1) != Some(&b'\n')) {
            as_line_feeds(&mut self.buffer);
            let reader = std::mem::replace(&mut self.reader, Box::new(io::empty()));
            self.reader = Box::new(CarriageReturns(reader));
        }
        Ok(())
    }

    /// The delimiter that a first line `sep=;` says, as Excel writes and reads it.
    fn delimiter_line(&mut self) -> Result<Option<u8>> {
        let line = self.ahead();
        let line = line[..memchr(b'\n', line).unwrap_or(line.len())].trim_ascii_end();
        match line {
            // A tabulator or blank after the sign has been trimmed off.
            [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter @ ..] => {
                let named = match delimiter {
                    [delimiter @ (b',' | b';' | b'|' | b'\t' | b' ')] => *delimiter,
                    [] => match self.ahead().get(b"sep=".len()) {
                        Some(delimiter @ (b'\t' | b' ')) => *delimiter,
                        _ => return Ok(None),
                    },
                    _ => return Ok(None),
                };
                self.read_line()?;
                Ok(Some(named))
            }
            _ => Ok(None),
        }
    }

    fn read_line(&mut self) -> Result<String> {
        let mut from = 0;
        let end = loop {
            match memchr(b'\n', &self.ahead()[from..]) {
                Some(end) => break from + end + 1,
                None => {
                    from = self.ahead().len();
                    if !self.fill()? {
                        break from;
                    }
                }
            }
        };
        let line = self.ahead()[..end].to_vec();
        self.position += end;
        self.line += 1;
        String::from_utf8(line).map_err(|error| {
            Error::data(format!("{}, line {}", self.path.display(), self.line - 1))
                .found(format!("bytes that are not UTF-8 ({})", error.utf8_error()))
                .expected("UTF-8 text")
                .remedy("Save the file as UTF-8.")
        })
    }

    /// A line, and those after it that a quote opened in it holds.
    fn read_record(&mut self, delimiter: u8) -> Result<String> {
        let first_line = self.line;
        let mut record = self.read_line()?;
        for _ in 1..MOST_LINES_OF_NAMES {
            if !ends_in_quotes(record.as_bytes(), delimiter) {
                return Ok(record);
            }
            if self.peek()?.is_none() {
                break;
            }
            record.push_str(&self.read_line()?);
        }
        if !ends_in_quotes(record.as_bytes(), delimiter) {
            return Ok(record);
        }
        Err(Error::data(format!("{}, line {first_line}", self.path.display()))
            .found("a quote among the names of the columns that is not closed")
            .expected("a second quote")
            .remedy("Close the quote, or remove it."))
    }
}

/// Whether a quote is open at the end of a record's beginning. A quote opens a quoted cell only at the start
/// of a cell.
fn ends_in_quotes(record: &[u8], delimiter: u8) -> bool {
    let mut position = 0;
    while let Some(offset) = memchr(b'"', &record[position..]) {
        let at = position + offset;
        position = at + 1;
        if at == 0 || record[at - 1] == delimiter {
            match end_of_quotes(record, position) {
                Some(end) => position = end,
                None => return true,
            }
        }
    }
    false
}

fn as_line_feeds(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
}

/// A stream whose carriage returns are line ends.
struct CarriageReturns(Box<dyn Read + Send>);

impl Read for CarriageReturns {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.0.read(buffer)?;
        as_line_feeds(&mut buffer[..n_read]);
        Ok(n_read)
    }
}
