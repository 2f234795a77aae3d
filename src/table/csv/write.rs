//! Tables to lines.

use super::header;
use crate::error::{Error, Result};
use crate::table::gzip::Output;
use crate::table::write::Sink;
use crate::table::{Column, Shape, Table, Values};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What stands before the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::table) enum Header {
    /// The names of the columns.
    Names,
    /// An ECSV header and the names.
    Ecsv,
}

enum State {
    Created(Output),
    Writing(Box<csv::Writer<Output>>),
    /// Rows wait in a file of their own for the header, whose last metadata are not known yet.
    Waiting(Output, Box<csv::Writer<BufWriter<File>>>, Box<Table>),
    Failed,
}

/// A CSV or ECSV file being written.
pub(in crate::table) struct CsvSink {
    path: PathBuf,
    header: Header,
    /// Whether there are metadata that come last.
    has_late: bool,
    state: State,
}

impl CsvSink {
    /// # Errors
    /// As [`crate::table::AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool, header: Header) -> Result<Self> {
        Ok(Self { path: path.to_owned(), header, has_late: false, state: State::Created(Output::create(path, overwrite)?) })
    }

    fn start(&self, mut output: Output, first: &Table) -> csv::Result<State> {
        let builder = || {
            let mut builder = csv::WriterBuilder::new();
            builder.buffer_capacity(1 << 16);
            builder
        };
        let names = first.columns().iter().map(|column| &column.schema.name);
        if self.has_late && self.header == Header::Ecsv {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut rows = builder().from_writer(BufWriter::new(tempfile::tempfile_in(folder)?));
            rows.write_record(names)?;
            return Ok(State::Waiting(output, Box::new(rows), Box::new(first.slice(0..0))));
        }
        if self.header == Header::Ecsv {
            output.write_all(header::format(first).as_bytes())?;
        }
        let mut writer = builder().from_writer(output);
        writer.write_record(names)?;
        Ok(State::Writing(Box::new(writer)))
    }

    fn append(&mut self, chunk: &Table) -> csv::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Created(output) => self.start(output, chunk)?,
            other => other,
        };
        match &mut self.state {
            State::Writing(writer) => append(writer, chunk),
            State::Waiting(_, writer, _) => append(writer, chunk),
            _ => Err(io::Error::other("an earlier write failed").into()),
        }
    }

    /// Header and rows, which have waited.
    fn put_together(
        (mut output, rows, mut columns): (Output, csv::Writer<BufWriter<File>>, Table),
        late: &BTreeMap<String, String>,
    ) -> io::Result<Output> {
        columns.metadata.extend(late.iter().map(|(key, value)| (key.clone(), value.clone())));
        output.write_all(header::format(&columns).as_bytes())?;
        let rows = rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        let mut rows = rows.into_inner().map_err(io::IntoInnerError::into_error)?;
        rows.seek(SeekFrom::Start(0))?;
        io::copy(&mut rows, &mut output)?;
        Ok(output)
    }
}

impl Sink for CsvSink {
    fn expect_late(&mut self) {
        self.has_late = true;
    }

    fn write(&mut self, chunk: &Table) -> Result<()> {
        let path = self.path.clone();
        self.append(chunk).map_err(|error| Error::writing(&path, error))
    }

    fn finish(self: Box<Self>, late: &BTreeMap<String, String>) -> Result<()> {
        let writing = |error| Error::writing(&self.path, error);
        let output = match self.state {
            State::Writing(writer) => {
                writer.into_inner().map_err(|error| Error::writing(&self.path, io::Error::other(error.to_string())))?
            }
            State::Waiting(output, rows, columns) => Self::put_together((output, *rows, *columns), late).map_err(writing)?,
            _ => return Err(Error::output(self.path.display().to_string()).found("no chunk that was written")),
        };
        output.commit(&self.path)
    }
}

fn append<W: Write>(writer: &mut csv::Writer<W>, chunk: &Table) -> csv::Result<()> {
    let mut cell = String::new();
    for row in 0..chunk.n_rows() {
        for column in chunk.columns() {
            cell.clear();
            if column.is_valid(row) {
                format_cell(column, row, &mut cell);
            }
            writer.write_field(&cell)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    Ok(())
}

/// Appends the value or list of a valid row.
fn format_cell(column: &Column, row: usize, cell: &mut String) {
    let range = column.range(row);
    if column.shape == Shape::Scalar {
        match &column.values {
            Values::Text(values) => cell.push_str(&values[row]),
            values => format_value(values, row, cell),
        }
        return;
    }
    cell.push('[');
    for i in range.clone() {
        if i > range.start {
            cell.push(',');
        }
        match &column.values {
            Values::Text(values) => cell.push_str(&serde_json::Value::from(values[i].as_str()).to_string()),
            Values::Bool(values) => cell.push_str(if values[i] { "true" } else { "false" }),
            values => format_value(values, i, cell),
        }
    }
    cell.push(']');
}

/// Appends a number with the fewest digits that give it back, or a boolean as astropy writes it. Infinity is
/// spelled as in JSON.
fn format_value(values: &Values, i: usize, cell: &mut String) {
    // Writing to a String cannot fail.
    let _ = match values {
        Values::Bool(values) => write!(cell, "{}", if values[i] { "True" } else { "False" }),
        Values::Int32(values) => write!(cell, "{}", values[i]),
        Values::Int64(values) => write!(cell, "{}", values[i]),
        Values::Float32(values) if values[i].is_infinite() => {
            write!(cell, "{}", if values[i] > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Values::Float64(values) if values[i].is_infinite() => {
            write!(cell, "{}", if values[i] > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Values::Float32(values) => write!(cell, "{:?}", values[i]),
        Values::Float64(values) => write!(cell, "{:?}", values[i]),
        Values::Text(values) => write!(cell, "{}", values[i]),
    };
}
