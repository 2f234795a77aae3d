//! The rows of a table, in chunks.

use super::document::{Document, Item};
use super::stream::Stream;
use super::tables::{Head, Tables};
use super::{Misfit, Source, binary, cells};
use crate::error::{Error, Result};
use crate::table::read::assemble;
use crate::table::{Table, UnreadColumn, limits};
use std::collections::BTreeMap;

/// Bytes in memory after which a chunk ends, whatever number of rows is asked for.
const CHUNK_BYTES: u64 = 256 << 20;

/// The rows of a table that are still to come. An iterator that ends after an error.
pub(super) struct Rows {
    tables: Tables,
    sources: Vec<Source>,
    /// Positions of the wanted columns among the sources, in the order wanted.
    wanted: Vec<usize>,
    unread: Vec<UnreadColumn>,
    metadata: BTreeMap<String, String>,
    n_declared: Option<u64>,
    form: Form,
    /// Rows that a chunk has at most.
    rows: usize,
    n_rows: u64,
    limit: Limit,
    state: State,
}

enum Form {
    /// With the number of open elements, TABLEDATA among them.
    TableData(usize),
    Binary(Stream),
    /// With the null flags of the current row.
    Binary2(Stream, Vec<u8>),
}

#[derive(PartialEq)]
enum State {
    Start,
    Going,
    Ended,
}

/// What the rows take in memory. Rows that are not in the file (lists of nulls of a declared length) must not
/// fill it.
struct Limit {
    /// Bytes of the file as it stands.
    file: u64,
    allowed: u64,
    /// Bytes of all rows so far.
    produced: u64,
}

impl Rows {
    /// The rows of the table whose DATA has just been opened, for the sources with a builder.
    ///
    /// # Errors
    /// When the data are in another form, or elsewhere.
    pub fn new(mut tables: Tables, head: Head, sources: Vec<Source>, wanted: Vec<usize>, rows: usize) -> Result<Self> {
        let form = form(&mut tables.document)?;
        let path = tables.document.path();
        let file = std::fs::metadata(path).map_err(|error| Error::reading(path, error))?.len();
        let limit = Limit { file, allowed: limits::allowed(file), produced: 0 };
        let (n_declared, metadata) = (head.n_rows, head.metadata);
        let state = State::Start;
        Ok(Self { tables, sources, wanted, unread: Vec::new(), metadata, n_declared, form, rows, n_rows: 0, limit, state })
    }

    /// The columns that are left out, to be named in every chunk.
    pub fn leaving_out(mut self, unread: Vec<UnreadColumn>) -> Self {
        self.unread = unread;
        self
    }

    /// The next chunk; `None` where no row is left and one chunk has been given.
    fn chunk(&mut self) -> Result<Option<Table>> {
        let (mut n_rows, start) = (0, self.limit.produced);
        let mut is_over = false;
        while n_rows < self.rows && self.limit.produced - start < CHUNK_BYTES {
            if !self.push_row()? {
                is_over = true;
                break;
            }
            n_rows += 1;
            self.n_rows += 1;
        }
        if is_over {
            // What the rest of the document says of the table is known before its last rows are given.
            self.tables.finish(self.n_rows, self.n_declared)?;
            if n_rows == 0 && self.state == State::Going {
                self.state = State::Ended;
                return Ok(None);
            }
        }
        self.state = if is_over { State::Ended } else { State::Going };
        let sources = &mut self.sources;
        let mut column = |i: usize| sources[i].builder.as_mut().map(|builder| builder.take().with_nan_as_null());
        let columns = self.wanted.iter().copied().filter_map(&mut column).collect();
        let mut table = assemble(self.tables.document.path(), columns, n_rows, &self.metadata)?;
        table.unread.clone_from(&self.unread);
        Ok(Some(table))
    }

    /// Appends a row to the builders; false where there is none.
    fn push_row(&mut self) -> Result<bool> {
        let document = &mut self.tables.document;
        let (row, sources) = (self.n_rows, &mut self.sources);
        let limit = &mut self.limit;
        limit.add(document, sources.iter().filter(|source| source.builder.is_some()).count() as u64 * 16)?;
        let (stream, flags) = match &mut self.form {
            Form::TableData(depth) => return push_cells(document, *depth, sources, row, limit),
            Form::Binary(stream) => (stream, None),
            Form::Binary2(stream, flags) => (stream, Some(flags)),
        };
        if stream.is_at_end(document)? {
            return Ok(false);
        }
        match binary::push_row(document, stream, sources, flags, row)? {
            Ok(0) => Err(document.place().found("rows without a byte").expected("a FIELD whose values are in the data")),
            Ok(length) => limit.add(document, length).map(|()| true),
            Err((i, misfit)) => Err(at(document, row, &sources[i], misfit)),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let chunk = self.chunk();
        if chunk.is_err() {
            self.state = State::Ended;
        }
        chunk.transpose()
    }
}

impl Limit {
    fn add(&mut self, document: &Document, bytes: u64) -> Result<()> {
        self.produced = self.produced.saturating_add(bytes);
        if self.produced <= self.allowed { Ok(()) } else { limits::check(document.path(), self.file, self.produced) }
    }
}

fn at(document: &Document, row: u64, source: &Source, (found, expected): Misfit) -> Error {
    Error::data(format!("{}, row {row}, column '{}'", document.path().display(), source.field.schema.name))
        .found(found)
        .expected(expected)
        .remedy("Convert the cell or the column, or read only the columns that are needed.")
}

/// In which form the data are, from the element within DATA.
fn form(document: &mut Document) -> Result<Form> {
    let depth = document.depth();
    let mut has_flags = None;
    while document.depth() >= depth {
        let n_open = document.depth();
        let Item::Open(element) = document.next()? else { continue };
        match (element.name(), has_flags) {
            ("TABLEDATA", None) => return Ok(Form::TableData(n_open + 1)),
            ("BINARY", None) => has_flags = Some(false),
            ("BINARY2", None) => has_flags = Some(true),
            ("STREAM", Some(has_flags)) => {
                let [href, encoding] = element.attributes(["href", "encoding"])?;
                if !href.is_empty() || encoding != "base64" {
                    return Err(document
                        .place()
                        .found("a STREAM elsewhere or in another encoding")
                        .expected("base64 inside the file")
                        .remedy("Write the table as TABLEDATA or BINARY2, or as Parquet or FITS."));
                }
                let stream = Stream::new(document);
                return Ok(if has_flags { Form::Binary2(stream, Vec::new()) } else { Form::Binary(stream) });
            }
            _ => document.skip(n_open + 1)?,
        }
    }
    Err(document
        .place()
        .found("data in another form")
        .expected("TABLEDATA, BINARY or BINARY2")
        .remedy("Write the table as TABLEDATA or BINARY2, or as Parquet or FITS."))
}

/// Whether the table whose DATA has just been opened holds a row.
///
/// # Errors
/// As [`Rows::new`], and when the document is damaged here.
pub(super) fn has_row(document: &mut Document) -> Result<bool> {
    let depth = match form(document)? {
        Form::TableData(depth) => depth,
        Form::Binary(mut stream) | Form::Binary2(mut stream, _) => return Ok(!stream.is_at_end(document)?),
    };
    loop {
        match document.next()? {
            Item::Open(element) if element.name() == "TR" => return Ok(true),
            Item::Open(_) => document.skip(depth + 1)?,
            Item::Close | Item::End => return Ok(false),
            _ => {}
        }
    }
}

/// Appends the row of the next TR; false where TABLEDATA ends.
fn push_cells(document: &mut Document, depth: usize, sources: &mut [Source], row: u64, limit: &mut Limit) -> Result<bool> {
    loop {
        match document.next()? {
            Item::Open(element) if element.name() == "TR" => break,
            Item::Open(_) => document.skip(depth + 1)?,
            Item::Close => return Ok(false),
            _ => {}
        }
    }
    let (mut n_cells, mut text) = (0, String::new());
    while document.depth() > depth {
        match document.next()? {
            Item::Open(element) if element.name() == "TD" => {
                match sources.get_mut(n_cells) {
                    Some(source) => push_cell(document, source, &mut text, row, limit)?,
                    None => document.skip(depth + 2)?,
                }
                n_cells += 1;
            }
            Item::Open(_) => document.skip(depth + 2)?,
            _ => {}
        }
    }
    if n_cells != sources.len() {
        return Err(Error::data(format!("{}, row {row}", document.path().display()))
            .found(format!("{n_cells} cells"))
            .expected(format!("{}, one for every FIELD", sources.len()))
            .remedy("If the file is damaged, copy or download it again."));
    }
    Ok(true)
}

fn push_cell(document: &mut Document, source: &mut Source, text: &mut String, row: u64, limit: &mut Limit) -> Result<()> {
    if source.builder.is_none() {
        return document.skip(document.depth());
    }
    document.read_text(text)?;
    let is_empty = text.trim_ascii().is_empty();
    limit.add(document, if is_empty { source.field.n_null_bytes() } else { text.len() as u64 })?;
    let Some(builder) = &mut source.builder else { return Ok(()) };
    let pushed = cells::push(builder, &source.field, text);
    if let Some(place) = builder.unplaced() {
        *place = format!("{}, row {row}", document.path().display());
    }
    pushed.map_err(|misfit| at(document, row, source, misfit))
}
