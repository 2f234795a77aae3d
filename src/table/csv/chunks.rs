//! Lines to tables: blocks of lines come from a thread that reads and decompresses ahead, and are parsed side by side.

use super::blocks::{Block, Cutter};
use super::header::{self, EcsvHeader};
use super::infer::Guess;
use super::records::Records;
use super::{cells, is_null, list_content};
use crate::error::{Error, Result};
use crate::prefetch::prefetch;
use crate::table::builder::ColumnBuilder;
use crate::table::gzip;
use crate::table::read::{Chunks, assemble, positions};
use crate::table::{Column, ColumnSchema, ColumnType, Layout, Table, ValueType};
use memchr::{memchr, memchr_iter};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Blocks that are read ahead.
const BLOCKS_AHEAD: usize = 4;

/// The columns' descriptions, from the header lines alone.
pub(in crate::table) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    Ok(Lines::open(path)?.layout.schemas())
}

/// Tables of at most `rows` rows.
pub(in crate::table) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let lines = Lines::open(path)?;
    let wanted = positions(path, &lines.layout.names, names)?;
    let schemas = lines.layout.schemas();
    let types = types(path, &lines.layout, &wanted)?;
    let columns = wanted.iter().zip(types).map(|(&i, column_type)| (schemas[i].clone(), column_type)).collect();
    let mut place_of = vec![None; lines.layout.names.len()];
    wanted.iter().enumerate().for_each(|(place, &i)| place_of[i] = Some(place));
    let metadata = lines.layout.header.as_ref().map(|header| header.metadata.clone()).unwrap_or_default();
    let parser = Parser { path: path.to_owned(), delimiter: lines.layout.delimiter(), place_of, columns };
    let blocks = prefetch(lines.cut(rows), BLOCKS_AHEAD);
    Ok(Box::new(ParsedChunks { parser, blocks, metadata, state: State::Fresh }))
}

/// Types of the wanted columns: the header's, and where it does not say them, those of all cells.
fn types(path: &Path, head: &Head, wanted: &[usize]) -> Result<Vec<ColumnType>> {
    match &head.header {
        Some(header) => {
            let mut types: Vec<Option<ColumnType>> = wanted.iter().map(|&i| header.columns[i].1).collect();
            if types.contains(&None) {
                each_record(path, |record| {
                    for (known, &i) in types.iter_mut().zip(wanted).filter(|(known, _)| known.is_none()) {
                        *known = text_or_list(&record[i]);
                    }
                    types.contains(&None)
                })?;
            }
            Ok(types.into_iter().map(|known| known.unwrap_or(ColumnType::scalar(ValueType::Text))).collect())
        }
        None => {
            let mut guesses = vec![Guess::default(); wanted.len()];
            each_record(path, |record| {
                guesses.iter_mut().zip(wanted).for_each(|(guess, &i)| guess.see(&record[i]));
                true
            })?;
            Ok(guesses.into_iter().map(Guess::column_type).collect())
        }
    }
}

/// Shows all records of a file to `see`, as long as it wants to see more.
fn each_record(path: &Path, mut see: impl FnMut(&[std::borrow::Cow<str>]) -> bool) -> Result<()> {
    let lines = Lines::open(path)?;
    let (delimiter, n_columns) = (lines.layout.delimiter(), lines.layout.names.len());
    for block in prefetch(lines.cut(usize::MAX), BLOCKS_AHEAD) {
        let block = block?;
        let mut records = Records::new(&block.text, delimiter);
        let mut cells = Vec::with_capacity(n_columns);
        loop {
            let start = records.position();
            cells.clear();
            let found = records.next(|_, cell| -> Result<()> {
                cells.push(cell);
                Ok(())
            })?;
            match found {
                None => break,
                Some(found) if found != n_columns => return Err(unequal(path, block.line(start), found, n_columns)),
                Some(_) if !see(&cells) => return Ok(()),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Whether the first value of a text column is a text or a list of numbers whose subtype is not declared.
fn text_or_list(cell: &str) -> Option<ColumnType> {
    if is_null(cell) {
        return None;
    }
    let is_list = list_content(cell).is_some() && cells::list_type(cell).is_some();
    Some(if is_list {
        ColumnType { values: ValueType::Float64, layout: Layout::Variable }
    } else {
        ColumnType::scalar(ValueType::Text)
    })
}

/// What the lines before the first record say.
struct Head {
    header: Option<EcsvHeader>,
    names: Vec<String>,
}

/// A file past its header.
struct Lines {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    /// What has been read of the records.
    rest: Vec<u8>,
    /// Line of the first record.
    line: u64,
    layout: Head,
}

impl Head {
    fn delimiter(&self) -> u8 {
        self.header.as_ref().map_or(b',', |header| header.delimiter)
    }

    fn schemas(&self) -> Vec<ColumnSchema> {
        match &self.header {
            Some(header) => header.columns.iter().map(|(schema, _)| schema.clone()).collect(),
            None => self.names.iter().map(|name| ColumnSchema::new(name, "", "")).collect(),
        }
    }
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let mut lines = LineReader { path, reader: gzip::open(path)?, buffer: Vec::new(), line: 1 };
        let mut comments = String::new();
        while lines.peek()? == Some(b'#') {
            let line = lines.read_line()?;
            let line = line.trim_end_matches(['\r', '\n']);
            comments.push_str(line.strip_prefix("# ").or_else(|| line.strip_prefix('#')).unwrap_or(line));
            comments.push('\n');
        }
        let is_ecsv = comments.starts_with("%ECSV");
        let header = is_ecsv.then(|| header::parse(&comments)).transpose().map_err(|error| error.within(path.display()))?;
        while matches!(lines.peek()?, Some(b'\r' | b'\n')) {
            lines.read_line()?;
        }
        let names_line = lines.line;
        let names = lines.read_line()?;
        let mut layout = Head { header, names: Vec::new() };
        Records::new(&names, layout.delimiter()).next(|i, name| -> Result<()> {
            layout.names.push(match name.trim() {
                "" => format!("column_{}", i + 1),
                name => name.to_owned(),
            });
            Ok(())
        })?;
        layout.check(path, names_line)?;
        let LineReader { reader, buffer: rest, line, .. } = lines;
        Ok(Self { path: path.to_owned(), reader, rest, line, layout })
    }

    /// The records in blocks.
    fn cut(self, rows: usize) -> Cutter {
        let delimiter = self.layout.delimiter();
        Cutter::new(&self.path, self.reader, self.rest, self.line, delimiter, rows)
    }
}

impl Head {
    fn check(&self, path: &Path, line: u64) -> Result<()> {
        let place = || Error::data(format!("{}, line {line}", path.display()));
        if self.names.is_empty() {
            return Err(place().found("nothing").expected("the names of the columns"));
        }
        let declared: Vec<&str> =
            self.header.iter().flat_map(|header| &header.columns).map(|(schema, _)| schema.name.as_str()).collect();
        if self.header.is_some() && declared != self.names {
            return Err(place()
                .found(format!("the columns {}", self.names.join(", ")))
                .expected(format!("those of the ECSV header: {}", declared.join(", "))));
        }
        Ok(())
    }
}

/// The lines before the records, one by one.
struct LineReader<'a> {
    path: &'a Path,
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    line: u64,
}

impl LineReader<'_> {
    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool> {
        let mut more = self.reader.by_ref().take(1 << 16);
        let n_read = more.read_to_end(&mut self.buffer).map_err(|error| gzip::damaged(self.path, error))?;
        Ok(n_read > 0)
    }

    /// The first byte of the next line; `None` at the end.
    fn peek(&mut self) -> Result<Option<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(self.buffer.first().copied())
    }

    fn read_line(&mut self) -> Result<String> {
        let end = loop {
            match memchr(b'\n', &self.buffer) {
                Some(end) => break end + 1,
                None if self.fill()? => {}
                None => break self.buffer.len(),
            }
        };
        let rest = self.buffer.split_off(end);
        let line = std::mem::replace(&mut self.buffer, rest);
        self.line += 1;
        String::from_utf8(line).map_err(|error| {
            Error::data(format!("{}, line {}", self.path.display(), self.line - 1))
                .found(format!("bytes that are not UTF-8 ({error})"))
                .expected("UTF-8 text")
        })
    }
}

impl Block {
    /// The line of the file at a position of the text.
    fn line(&self, position: usize) -> u64 {
        let text = &self.text[position..];
        let blank = text.len() - text.trim_start_matches(['\r', '\n']).len();
        self.first_line + memchr_iter(b'\n', &self.text.as_bytes()[..position + blank]).count() as u64
    }
}

fn unequal(path: &Path, line: u64, found: usize, expected: usize) -> Error {
    Error::data(format!("{}, line {line}", path.display()))
        .found(format!("{found} cells"))
        .expected(format!("{expected}, one for every column"))
}

/// Turns blocks into columns.
struct Parser {
    path: PathBuf,
    delimiter: u8,
    /// For every column of the file, its place among the wanted ones.
    place_of: Vec<Option<usize>>,
    columns: Vec<(ColumnSchema, ColumnType)>,
}

impl Parser {
    fn columns(&self, block: &Block) -> Result<Vec<Column>> {
        let mut builders: Vec<ColumnBuilder> =
            self.columns.iter().map(|(schema, column_type)| ColumnBuilder::new(schema.clone(), *column_type)).collect();
        let mut records = Records::new(&block.text, self.delimiter);
        loop {
            let start = records.position();
            let found = records.next(|i, cell| {
                let Some(place) = self.place_of.get(i).copied().flatten() else { return Ok(()) };
                cells::push(&mut builders[place], &cell).map_err(|misfit| {
                    let name = builders[place].name();
                    let place = format!("{}, line {}, column '{name}'", self.path.display(), block.line(start));
                    Error::data(place).found(misfit.found).expected(misfit.expected)
                })
            })?;
            match found {
                None => break,
                Some(found) if found == self.place_of.len() => {}
                Some(found) => return Err(unequal(&self.path, block.line(start), found, self.place_of.len())),
            }
        }
        Ok(builders.iter_mut().map(ColumnBuilder::take).collect())
    }
}

#[derive(PartialEq)]
enum State {
    Fresh,
    Running,
    Ended,
}

/// Chunks of records one after the other; at least one, perhaps empty.
struct ParsedChunks {
    parser: Parser,
    blocks: Box<dyn Iterator<Item = Result<Block>> + Send>,
    metadata: BTreeMap<String, String>,
    state: State,
}

impl ParsedChunks {
    fn read(&mut self) -> Result<Table> {
        let mut parts: Vec<Vec<Column>> = Vec::new();
        let mut n_rows = 0;
        let mut is_whole = false;
        while !is_whole {
            // As many blocks at once as there are threads, so that little text is in memory.
            let mut wave = Vec::new();
            while wave.len() < 2 * rayon::current_num_threads() && !is_whole {
                let Some(block) = self.blocks.next().transpose()? else {
                    self.state = State::Ended;
                    is_whole = true;
                    break;
                };
                n_rows += block.n_records;
                is_whole = block.ends_chunk;
                wave.push(block);
            }
            parts.extend(wave.par_iter().map(|block| self.parser.columns(block)).collect::<Result<Vec<_>>>()?);
        }
        let mut parts = parts.into_iter();
        let mut columns = match parts.next() {
            Some(columns) => columns,
            None => self.parser.columns(&Block::default())?,
        };
        for part in parts {
            columns.iter_mut().zip(part).try_for_each(|(column, more)| column.append(more))?;
        }
        assemble(&self.parser.path, columns, n_rows, &self.metadata)
    }
}

impl Iterator for ParsedChunks {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let is_first = std::mem::replace(&mut self.state, State::Running) == State::Fresh;
        let table = self.read();
        if table.is_err() {
            self.state = State::Ended;
        }
        let is_nothing = table.as_ref().is_ok_and(|table| table.n_rows() == 0);
        (is_first || !is_nothing).then_some(table)
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{read, read_chunks};
    use std::io::Write;

    fn failing(name: &str, content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn bad_lines_are_named() {
        let error = failing("a.csv", b"# a comment\nx,y\n1,2\n3\n");
        assert!(error.contains("a.csv, line 4: found 1 cells, expected 2"), "{error}");
        let header = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: x, datatype: float64}\n";
        let error = failing("a.ecsv", format!("{header}x\n1.5\nbright\n").as_bytes());
        assert!(error.contains("line 8, column 'x': found 'bright', expected 64-bit float"), "{error}");
        let error = failing("a.ecsv", format!("{header}y\n1.5\n").as_bytes());
        assert!(error.contains("found the columns y, expected those of the ECSV header: x"), "{error}");
        let error = failing("a.csv", b"name\n\xff\n");
        assert!(error.contains("not UTF-8"), "{error}");
    }

    #[test]
    fn truncated_gzip_is_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writeln!(encoder, "x").unwrap();
        (0..5000).for_each(|i| writeln!(encoder, "{}", i * 7919 % 4093).unwrap());
        let bytes = encoder.finish().unwrap();
        for length in [bytes.len() - 4, bytes.len() / 2, 11] {
            let error = failing("a.csv.gz", &bytes[..length]);
            assert!(error.contains("truncated"), "{error}");
        }
    }

    #[test]
    fn chunks_agree_on_types_that_only_late_rows_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "id,x\n1,\n2,5\n3,2.5\n").unwrap();
        let chunks: Vec<_> = read_chunks(&path, 2).unwrap().map(Result::unwrap).collect();
        assert_eq!(chunks.iter().map(crate::table::Table::n_rows).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(chunks[0].column("x").unwrap().valid, Some(vec![false, true]));
        assert_eq!(chunks[0].column("x").unwrap().column_type(), chunks[1].column("x").unwrap().column_type());
        std::fs::write(&path, "id,\n").unwrap();
        assert_eq!(crate::table::read_schema(&path).unwrap()[1].name, "column_2");
        assert_eq!(read_chunks(&path, 2).unwrap().map(|chunk| chunk.unwrap().n_rows()).collect::<Vec<_>>(), [0]);
    }
}
