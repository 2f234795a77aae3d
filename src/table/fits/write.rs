//! Columns to a FITS binary table. Rows are written as they come; the lists of varying length wait in a file
//! of their own, since the heap follows the rows; the header, whose cards only change their values, is
//! written again at the end.

use super::checksum::{self, Sum};
use super::encode::{self, ColumnForm};
use super::header::BLOCK;
use super::write_header::{Numbers, primary, table_cards};
use crate::error::{Error, Result};
use crate::table::atomic::AtomicFile;
use crate::table::format::wants_gzip;
use crate::table::gzip::Output;
use crate::table::write::Sink;
use crate::table::{Column, Table, Values};
use crate::warning::warn_once;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of rows put together before they are written.
const BUFFER: usize = 1 << 20;

/// Cards that are kept free for metadata that come last.
const ROOM: usize = 108;

/// A FITS table being written. A compressed one is written plain first, beside the output.
pub(in crate::table) struct FitsSink {
    path: PathBuf,
    body: Option<Body>,
    /// Cards to be kept free.
    room: usize,
    plain: AtomicFile,
    compressed: Option<Output>,
}

/// The table from the first chunk on.
struct Body {
    path: PathBuf,
    file: File,
    /// The first chunk without its rows.
    columns: Table,
    forms: Vec<ColumnForm>,
    /// Cards of the header, blank ones among them.
    n_cards: usize,
    /// First byte of the rows.
    start: u64,
    n_rows: usize,
    /// Sum of the rows so far; none after they have been moved.
    sum: Option<Sum>,
    heap: File,
    heap_bytes: u64,
}

impl FitsSink {
    /// # Errors
    /// As [`crate::table::AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let plain = AtomicFile::create(path, overwrite)?;
        let compressed = wants_gzip(path).then(|| Output::create(path, overwrite)).transpose()?;
        Ok(Self { path: path.to_owned(), body: None, room: 0, plain, compressed })
    }

    fn start(&self, first: &Table) -> Result<Body> {
        let writing = |error| Error::writing(&self.path, error);
        let forms = first.columns().iter().map(|column| ColumnForm::new(&self.path, column)).collect::<Result<Vec<_>>>()?;
        let temporary = self.plain.temporary_path();
        let file = OpenOptions::new().read(true).write(true).open(temporary).map_err(writing)?;
        let folder = temporary.parent().unwrap_or(Path::new("."));
        let heap = tempfile::tempfile_in(folder).map_err(writing)?;
        let columns = first.slice(0..0);
        let cards = table_cards(&self.path, &columns, &forms, Numbers::default())?;
        let n_cards = cards.len() + self.room;
        let cards = table_cards(&self.path, &columns, &forms, Numbers { n_cards, ..Numbers::default() })?;
        let start = BLOCK + checksum::header_bytes(&cards).len() as u64;
        let path = self.path.clone();
        Ok(Body { n_cards, path, file, columns, forms, start, n_rows: 0, sum: Some(Sum::default()), heap, heap_bytes: 0 })
    }
}

impl Sink for FitsSink {
    fn expect_late(&mut self) {
        self.room = ROOM;
    }

    fn write(&mut self, chunk: &Table) -> Result<()> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.start(chunk)?,
        };
        let result = body.append(chunk);
        self.body = Some(body);
        result
    }

    fn finish(mut self: Box<Self>, late: &BTreeMap<String, String>) -> Result<()> {
        if let Some(body) = self.body.take() {
            body.finish(late)?;
        }
        let Some(mut compressed) = self.compressed else { return self.plain.commit() };
        let mut plain = File::open(self.plain.temporary_path()).map_err(|error| Error::writing(&self.path, error))?;
        io::copy(&mut plain, &mut compressed).map_err(|error| Error::writing(&self.path, error))?;
        compressed.commit(&self.path)
    }
}

impl Body {
    fn append(&mut self, chunk: &Table) -> Result<()> {
        self.widen(chunk)?;
        for column in chunk.columns() {
            check_values(column).map_err(|error| error.within(self.path.display()))?;
        }
        let writing = |error| Error::writing(&self.path, error);
        let width = encode::row_bytes(&self.forms);
        let rows_per_buffer = BUFFER.checked_div(width).unwrap_or(usize::MAX).max(1);
        let mut buffer = Vec::new();
        let mut lists = Vec::new();
        let mut next = 0;
        self.file.seek(SeekFrom::Start(self.start + (self.n_rows * width) as u64)).map_err(writing)?;
        self.heap.seek(SeekFrom::Start(self.heap_bytes)).map_err(writing)?;
        while next < chunk.n_rows() {
            let rows = next..chunk.n_rows().min(next.saturating_add(rows_per_buffer));
            buffer.clear();
            buffer.resize(rows.len() * width, 0);
            let mut offset = 0;
            for (form, column) in self.forms.iter_mut().zip(chunk.columns()) {
                lists.clear();
                form.encode(column, rows.clone(), &mut buffer, width, offset, self.heap_bytes, &mut lists);
                self.heap.write_all(&lists).map_err(|error| Error::writing(&self.path, error))?;
                self.heap_bytes += lists.len() as u64;
                offset += form.width();
            }
            self.file.write_all(&buffer).map_err(|error| Error::writing(&self.path, error))?;
            if let Some(sum) = &mut self.sum {
                sum.add(&buffer);
            }
            next = rows.end;
        }
        self.n_rows += chunk.n_rows();
        Ok(())
    }

    /// Makes room for longer text than before: moves the rows that are written, the last first.
    fn widen(&mut self, chunk: &Table) -> Result<()> {
        let wider: Vec<ColumnForm> = self.forms.iter().zip(chunk.columns()).map(|(form, column)| form.widened(column)).collect();
        let (old, new) = (encode::row_bytes(&self.forms), encode::row_bytes(&wider));
        if old == new {
            return Ok(());
        }
        let writing = |error| Error::writing(&self.path, error);
        let rows_per_buffer = BUFFER.checked_div(new).unwrap_or(usize::MAX).max(1);
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let mut end = self.n_rows;
        while end > 0 {
            let first = end.saturating_sub(rows_per_buffer);
            from.resize((end - first) * old, 0);
            self.file.seek(SeekFrom::Start(self.start + (first * old) as u64)).map_err(writing)?;
            self.file.read_exact(&mut from).map_err(writing)?;
            to.clear();
            for row in from.chunks_exact(old.max(1)) {
                let mut rest = row;
                for (narrow, wide) in self.forms.iter().zip(&wider) {
                    let (cell, others) = rest.split_at(narrow.width());
                    wide.append_widened(cell, narrow, &mut to);
                    rest = others;
                }
            }
            self.file.seek(SeekFrom::Start(self.start + (first * new) as u64)).map_err(writing)?;
            self.file.write_all(&to).map_err(writing)?;
            end = first;
        }
        if self.n_rows > 0 {
            self.sum = None;
        }
        self.forms = wider;
        Ok(())
    }

    /// Adds metadata as far as there is room for them.
    fn add_late(&mut self, late: &BTreeMap<String, String>) -> Result<()> {
        for (key, value) in late {
            let mut columns = self.columns.clone();
            columns.metadata.insert(key.clone(), value.clone());
            let n_cards = table_cards(&self.path, &columns, &self.forms, Numbers::default())?.len();
            match n_cards <= self.n_cards {
                true => self.columns = columns,
                false => warn_once(format!("{}: the header has no room for '{key}', which is left out", self.path.display())),
            }
        }
        Ok(())
    }

    /// Writes heap, padding and headers.
    fn finish(mut self, late: &BTreeMap<String, String>) -> Result<()> {
        self.add_late(late)?;
        let path = self.path.clone();
        let writing = |error| Error::writing(&path, error);
        let row_bytes = (self.n_rows * encode::row_bytes(&self.forms)) as u64;
        let mut sum = match self.sum {
            Some(sum) => sum,
            None => self.sum_of_rows(row_bytes).map_err(writing)?,
        };
        self.file.seek(SeekFrom::Start(self.start + row_bytes)).map_err(writing)?;
        self.heap.seek(SeekFrom::Start(0)).map_err(writing)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = self.heap.read(&mut buffer).map_err(writing)?;
            if n == 0 {
                break;
            }
            sum.add(&buffer[..n]);
            self.file.write_all(&buffer[..n]).map_err(writing)?;
        }
        let padding = checksum::padding(row_bytes + self.heap_bytes);
        self.file.write_all(&vec![0; padding]).map_err(writing)?;
        let (n_rows, heap_bytes, n_cards) = (self.n_rows, self.heap_bytes, self.n_cards);
        let numbers = Numbers { n_rows, heap_bytes, data_sum: sum.value(), n_cards };
        let table = checksum::header_bytes(&table_cards(&path, &self.columns, &self.forms, numbers)?);
        self.file.seek(SeekFrom::Start(0)).map_err(writing)?;
        self.file.write_all(&checksum::header_bytes(&primary())).map_err(writing)?;
        self.file.write_all(&table).map_err(writing)
    }

    fn sum_of_rows(&mut self, row_bytes: u64) -> io::Result<Sum> {
        let mut sum = Sum::default();
        self.file.seek(SeekFrom::Start(self.start))?;
        let mut buffer = vec![0; BUFFER];
        let mut left = row_bytes;
        while left > 0 {
            let n = left.min(BUFFER as u64) as usize;
            self.file.read_exact(&mut buffer[..n])?;
            sum.add(&buffer[..n]);
            left -= n as u64;
        }
        Ok(sum)
    }
}

/// Refuses values that FITS cannot hold: the smallest integers stand for null, and NUL ends a text.
fn check_values(column: &Column) -> Result<()> {
    let holds_smallest = |row: usize| match &column.values {
        Values::Int32(values) => values[column.range(row)].contains(&i32::MIN),
        Values::Int64(values) => values[column.range(row)].contains(&i64::MIN),
        _ => false,
    };
    let place = || Error::output(format!("column '{}'", column.schema.name));
    if (0..column.n_rows()).any(|row| column.is_valid(row) && holds_smallest(row)) {
        return Err(place()
            .found("the smallest integer of its type")
            .expected("another value: this one stands for null in FITS")
            .remedy("Write .parquet or .ecsv instead."));
    }
    if let Values::Text(texts) = &column.values
        && texts.iter().any(|text| text.contains('\0'))
    {
        return Err(place()
            .found("a text with a NUL character")
            .expected("what FITS can hold: NUL ends a text")
            .remedy("Write .parquet or .ecsv instead."));
    }
    Ok(())
}
