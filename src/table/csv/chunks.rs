//! Lines to tables: blocks of lines come from a thread that reads and decompresses ahead, and are parsed side
//! by side.

use super::blocks::Block;
use super::header::Declared;
use super::infer::Guess;
use super::lines::{Head, Lines};
use super::records::Records;
use super::{cells, is_null, list_content};
use crate::error::{Error, Result};
use crate::prefetch::prefetch;
use crate::table::builder::ColumnBuilder;
use crate::table::limits;
use crate::table::read::{Chunks, assemble, positions, unsupported};
use crate::table::{Column, ColumnSchema, ColumnType, Layout, OddCell, Table, UnreadColumn, ValueType};
use memchr::memchr_iter;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks that are read ahead.
const BLOCKS_AHEAD: usize = 4;
/// Bytes that stand for a value of a null list.
const VALUE_BYTES: u64 = 8;

/// The columns' descriptions, from the header lines alone.
pub(in crate::table) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    Ok(Lines::open(path)?.layout.schemas())
}

/// Tables of at most `rows` rows.
pub(in crate::table) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let lines = Lines::open(path)?;
    let (wanted, unread) = wanted(path, &lines.layout, names)?;
    let columns = types(path, &lines.layout, &wanted)?;
    let mut place_of = vec![None; lines.layout.names.len()];
    wanted.iter().enumerate().for_each(|(place, &i)| place_of[i] = Some(place));
    let header = lines.layout.header.as_ref();
    let metadata = header.map(|header| header.metadata.clone()).unwrap_or_default();
    let nulls = header.map(|header| header.nulls.clone()).unwrap_or_default();
    let parser = Parser {
        path: path.to_owned(),
        delimiter: lines.layout.delimiter,
        nulls,
        place_of,
        columns,
        n_bytes: AtomicU64::new(0),
        filled: AtomicU64::new(0),
    };
    let blocks = prefetch(lines.cut(rows), BLOCKS_AHEAD);
    Ok(Box::new(ParsedChunks { parser, blocks, metadata, unread, state: State::Fresh }))
}

/// The positions of the wanted columns; and, where none are named, the columns whose declared types no table
/// can hold.
fn wanted(path: &Path, head: &Head, names: Option<&[&str]>) -> Result<(Vec<usize>, Vec<UnreadColumn>)> {
    let mut wanted = positions(path, &head.names, names)?;
    let Some(header) = &head.header else { return Ok((wanted, Vec::new())) };
    let mut unread = Vec::new();
    for &i in &wanted {
        if let (schema, Declared::Unreadable(found)) = &header.columns[i] {
            if names.is_some() {
                return Err(unsupported(path, &schema.name, found));
            }
            unread.push(UnreadColumn { schema: schema.clone(), found: found.clone() });
        }
    }
    wanted.retain(|&i| !matches!(header.columns[i].1, Declared::Unreadable(_)));
    Ok((wanted, unread))
}

/// Descriptions and types of the wanted columns: the header's, and where it does not say the types, those of
/// all cells.
fn types(path: &Path, head: &Head, wanted: &[usize]) -> Result<Vec<(ColumnSchema, ColumnType)>> {
    let mut schemas: Vec<ColumnSchema> = match &head.header {
        Some(header) => wanted.iter().map(|&i| header.columns[i].0.clone()).collect(),
        None => wanted.iter().map(|&i| ColumnSchema::new(&head.names[i], "", "")).collect(),
    };
    let types = match &head.header {
        Some(header) => {
            let known = |&i: &usize| match header.columns[i].1 {
                Declared::Type(known) => Some(known),
                _ => None,
            };
            let mut types: Vec<Option<ColumnType>> = wanted.iter().map(known).collect();
            if types.contains(&None) {
                each_record(path, |record, _| {
                    for (known, &i) in types.iter_mut().zip(wanted).filter(|(known, _)| known.is_none()) {
                        *known = text_or_list(&record[i]);
                    }
                    types.contains(&None)
                })?;
            }
            types.into_iter().map(|known| known.unwrap_or(ColumnType::scalar(ValueType::Text))).collect()
        }
        None => {
            let mut guesses = vec![Guess::default(); wanted.len()];
            each_record(path, |record, line| {
                guesses.iter_mut().zip(wanted).for_each(|(guess, &i)| guess.see(&record[i], line));
                true
            })?;
            let types: Vec<ColumnType> = guesses.iter().map(Guess::column_type).collect();
            for (schema, guess) in schemas.iter_mut().zip(guesses) {
                schema.odd_cell = guess
                    .odd_cell()
                    .map(|(line, text)| Box::new(OddCell { place: format!("{}, line {line}", path.display()), text }));
            }
            types
        }
    };
    Ok(schemas.into_iter().zip(types).collect())
}

/// Shows all records of a file, with a function that gives the line of one, to `see`, as long as it wants to
/// see more.
fn each_record(path: &Path, mut see: impl FnMut(&[std::borrow::Cow<str>], &dyn Fn() -> u64) -> bool) -> Result<()> {
    let lines = Lines::open(path)?;
    let (delimiter, n_columns) = (lines.layout.delimiter, lines.layout.names.len());
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
                Some(_) if !see(&cells, &|| block.line(start)) => return Ok(()),
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
        .remedy("Put cells with commas in quotes; if the file is truncated, copy or download it again.")
}

/// Turns blocks into columns.
struct Parser {
    path: PathBuf,
    delimiter: u8,
    /// What the header says that stands for no value, besides nothing and `null`.
    nulls: Vec<String>,
    /// For every column of the file, its place among the wanted ones.
    place_of: Vec<Option<usize>>,
    columns: Vec<(ColumnSchema, ColumnType)>,
    /// Bytes of the records so far.
    n_bytes: AtomicU64,
    /// Bytes in memory that stand for null lists of declared length.
    filled: AtomicU64,
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
                let builder = &mut builders[place];
                let cell = if self.nulls.iter().any(|null| *null == cell) { "" } else { &*cell };
                // A header can declare lists of any length, which a null costs nothing in the file.
                if let Layout::Fixed(length) = builder.column_type().layout
                    && (is_null(cell) || cell.len() < length)
                {
                    self.fill(length).map_err(|()| self.endless(block.line(start), builder))?;
                }
                let pushed = cells::push(builder, cell);
                if let Some(place) = builder.unplaced() {
                    *place = format!("{}, line {}", self.path.display(), block.line(start));
                }
                pushed.map_err(|misfit| {
                    let place = format!("{}, line {}, column '{}'", self.path.display(), block.line(start), builder.name());
                    Error::data(place)
                        .found(misfit.found)
                        .expected(misfit.expected)
                        .remedy("Write a value of the column's type, or leave the cell empty where there is none.")
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

    /// Counts a null list of a declared length; fails where nulls become far more than there are bytes.
    fn fill(&self, length: usize) -> std::result::Result<(), ()> {
        let bytes = (length as u64).saturating_mul(VALUE_BYTES);
        // Far from overflowing: lengths have a limit, and the file ends where too much has been filled.
        let filled = self.filled.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if filled <= limits::allowed(self.n_bytes.load(Ordering::Relaxed)) { Ok(()) } else { Err(()) }
    }

    fn endless(&self, line: u64, builder: &ColumnBuilder) -> Error {
        Error::data(format!("{}, line {line}, column '{}'", self.path.display(), builder.name()))
            .found(format!("nulls of the type {}, which need far more memory than the file has bytes", builder.column_type()))
            .expected("a declared length that most rows fill")
            .remedy("Declare lists of varying length ([null]), or if the file is to be trusted, give --max-expansion with a larger number.")
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
    unread: Vec<UnreadColumn>,
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
            self.parser.n_bytes.fetch_add(wave.iter().map(|block| block.text.len() as u64).sum(), Ordering::Relaxed);
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
        let table = assemble(&self.parser.path, columns, n_rows, &self.metadata)?;
        Ok(Table { unread: self.unread.clone(), ..table })
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
