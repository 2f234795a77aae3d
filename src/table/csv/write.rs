//! Tables to lines.

use super::header;
use crate::error::{Error, Result};
use crate::table::gzip::Output;
use crate::table::write::Sink;
use crate::table::{Column, Shape, Table, Values};
use std::fmt::Write as _;
use std::io::Write;
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
    Failed,
}

/// A CSV or ECSV file being written.
pub(in crate::table) struct CsvSink {
    path: PathBuf,
    header: Header,
    state: State,
}

impl CsvSink {
    /// # Errors
    /// As [`crate::table::AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool, header: Header) -> Result<Self> {
        Ok(Self { path: path.to_owned(), header, state: State::Created(Output::create(path, overwrite)?) })
    }

    fn writer(&mut self, first: &Table) -> csv::Result<&mut csv::Writer<Output>> {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Created(mut output) => {
                if self.header == Header::Ecsv {
                    output.write_all(header::format(first).as_bytes())?;
                }
                let mut writer = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(output);
                writer.write_record(first.columns().iter().map(|column| &column.schema.name))?;
                State::Writing(Box::new(writer))
            }
            other => other,
        };
        match &mut self.state {
            State::Writing(writer) => Ok(writer),
            _ => Err(std::io::Error::other("an earlier write failed").into()),
        }
    }
}

impl Sink for CsvSink {
    fn write(&mut self, chunk: &Table) -> Result<()> {
        let path = self.path.clone();
        append(self.writer(chunk).map_err(|error| Error::writing(&path, error))?, chunk)
            .map_err(|error| Error::writing(&path, error))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let State::Writing(writer) = self.state else {
            return Err(Error::output(self.path.display().to_string()).found("no chunk that was written"));
        };
        let output = writer.into_inner().map_err(|error| Error::writing(&self.path, std::io::Error::other(error.to_string())))?;
        output.commit(&self.path)
    }
}

fn append(writer: &mut csv::Writer<Output>, chunk: &Table) -> csv::Result<()> {
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
