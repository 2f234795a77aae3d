//! Columns to a FITS binary table.

use super::astropy;
use super::cards::{is_storable, text_cards};
use super::cfitsio::{Element, FitsFile, Logical, Status};
use crate::error::{Error, Result};
use crate::table::atomic::AtomicFile;
use crate::table::format::wants_gzip;
use crate::table::gzip::Output;
use crate::table::write::Sink;
use crate::table::{Column, Layout, Shape, Table, ValueType, Values};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A FITS table being written. A compressed one is written plain first, beside the output.
pub(in crate::table) struct FitsSink {
    path: PathBuf,
    /// Declared before the files, so that it is closed before they are removed.
    table: Option<FitsFile>,
    n_rows: usize,
    /// Characters a text column holds so far; 0 for others.
    widths: Vec<usize>,
    /// Rows written column by column before going on.
    block: usize,
    plain: AtomicFile,
    compressed: Option<Output>,
}

impl FitsSink {
    /// # Errors
    /// As [`crate::table::AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let plain = AtomicFile::create(path, overwrite)?;
        let compressed = wants_gzip(path).then(|| Output::create(path, overwrite)).transpose()?;
        Ok(Self { path: path.to_owned(), table: None, n_rows: 0, widths: Vec::new(), block: 1, plain, compressed })
    }

    fn start(&mut self, first: &Table) -> Result<FitsFile> {
        let mut forms = Vec::new();
        let mut cards = Vec::new();
        for (i, column) in first.columns().iter().enumerate() {
            let width = text_width(column);
            forms.push(self.form(column, width)?);
            self.widths.push(width);
            let (number, schema) = (i + 1, &column.schema);
            let null = match column.values.value_type() {
                ValueType::Int32 if column.column_type().layout != Layout::Variable => Some(i64::from(i32::MIN)),
                ValueType::Int64 if column.column_type().layout != Layout::Variable => Some(i64::MIN),
                _ => None,
            };
            cards.extend(null.map(|null| format!("{:<8}= {null:>20}", format!("TNULL{number}"))));
            if let (Shape::Fixed(length), true) = (&column.shape, width > 0) {
                cards.extend(text_cards(&format!("TDIM{number}"), &format!("({width},{length})")));
            }
            for (root, text) in [("TUCD", &schema.ucd), ("TCOMM", &schema.description)] {
                if !text.is_empty() {
                    cards.extend(text_cards(&format!("{root}{number}"), text));
                }
            }
        }
        cards.extend(astropy::cards(first));
        for (keyword, value) in &first.metadata {
            if !is_storable(keyword) {
                return Err(Error::output(format!("{}, metadata '{keyword}'", self.path.display()))
                    .found("a name that a FITS header cannot hold")
                    .expected("up to 40 printable characters without blanks, quotes and '='"));
            }
            cards.extend(text_cards(keyword, value));
        }
        let names: Vec<String> = first.columns().iter().map(|column| column.schema.name.clone()).collect();
        let units: Vec<String> = first.columns().iter().map(|column| column.schema.unit.clone()).collect();
        if let Some(text) = names.iter().chain(&units).find(|text| !text.is_ascii() || text.len() > 60) {
            return Err(Error::output(self.path.display().to_string())
                .found(format!("the column name or unit '{text}'"))
                .expected("at most 60 ASCII characters in FITS"));
        }
        let temporary = self.plain.temporary_path();
        // cfitsio creates the file by itself.
        std::fs::remove_file(temporary).map_err(|error| Error::writing(&self.path, error))?;
        let writing = |error: Status| Error::writing(&self.path, error);
        let mut table = FitsFile::create_table(temporary, &names, &forms, &units).map_err(writing)?;
        table.append_cards(&cards).map_err(writing)?;
        self.block = table.rows_per_block().map_err(writing)?;
        Ok(table)
    }

    /// TFORM of a column.
    fn form(&self, column: &Column, width: usize) -> Result<String> {
        let code = match column.values.value_type() {
            ValueType::Bool => 'L',
            ValueType::Int32 => 'J',
            ValueType::Int64 => 'K',
            ValueType::Float32 => 'E',
            ValueType::Float64 => 'D',
            ValueType::Text => 'A',
        };
        Ok(match (column.column_type().layout, code) {
            (Layout::Scalar, 'A') => format!("{width}A"),
            (Layout::Fixed(length), 'A') => format!("{}A{width}", length * width),
            (Layout::Variable, 'A') => {
                return Err(Error::output(format!("{}, column '{}'", self.path.display(), column.schema.name))
                    .found("lists of text of varying length")
                    .expected("what a FITS table can hold")
                    .remedy("Write .parquet or .ecsv instead."));
            }
            (Layout::Scalar, code) => format!("1{code}"),
            (Layout::Fixed(length), code) => format!("{length}{code}"),
            (Layout::Variable, code) => format!("1Q{code}"),
        })
    }

    /// Makes room for longer text than before.
    fn widen(&mut self, table: &mut FitsFile, chunk: &Table) -> Result<()> {
        for (i, column) in chunk.columns().iter().enumerate() {
            let width = text_width(column);
            if width <= self.widths[i] {
                continue;
            }
            if column.shape != Shape::Scalar {
                return Err(Error::output(format!("{}, column '{}'", self.path.display(), column.schema.name))
                    .found(format!("a text of {width} bytes in a list"))
                    .expected(format!("at most {}, as in the first rows", self.widths[i]))
                    .remedy("Write .parquet or .ecsv instead."));
            }
            table.widen(i + 1, width).map_err(|error| Error::writing(&self.path, error))?;
            self.widths[i] = width;
        }
        Ok(())
    }

    fn append(&mut self, table: &mut FitsFile, chunk: &Table) -> Result<()> {
        self.widen(table, chunk)?;
        table.append_rows(self.n_rows, chunk.n_rows()).map_err(|error| Error::writing(&self.path, error))?;
        for block in chunk.slices(self.block) {
            for (i, column) in block.columns().iter().enumerate() {
                check_no_sentinel(column).map_err(|error| error.within(self.path.display()))?;
                write_column(table, i + 1, self.n_rows, column)
                    .map_err(|error| Error::writing(&self.path, error).within(format!("column '{}'", column.schema.name)))?;
            }
            self.n_rows += block.n_rows();
        }
        Ok(())
    }
}

impl Sink for FitsSink {
    fn write(&mut self, chunk: &Table) -> Result<()> {
        let mut table = match self.table.take() {
            Some(table) => table,
            None => self.start(chunk)?,
        };
        let result = self.append(&mut table, chunk);
        self.table = Some(table);
        result
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if let Some(table) = self.table.take() {
            table.close().map_err(|error| Error::writing(&self.path, error))?;
        }
        let Some(mut compressed) = self.compressed else { return self.plain.commit() };
        let mut plain = File::open(self.plain.temporary_path()).map_err(|error| Error::writing(&self.path, error))?;
        std::io::copy(&mut plain, &mut compressed).map_err(|error| Error::writing(&self.path, error))?;
        compressed.commit(&self.path)
    }
}

/// Bytes of the longest text, at least 1; 0 for columns that are not text.
fn text_width(column: &Column) -> usize {
    match &column.values {
        Values::Text(texts) => texts.iter().map(String::len).max().unwrap_or(1).max(1),
        _ => 0,
    }
}

/// The smallest integers stand for null.
fn check_no_sentinel(column: &Column) -> Result<()> {
    let holds = |row: usize| match &column.values {
        Values::Int32(values) => values[column.range(row)].contains(&i32::MIN),
        Values::Int64(values) => values[column.range(row)].contains(&i64::MIN),
        _ => false,
    };
    match (0..column.n_rows()).find(|&row| column.is_valid(row) && holds(row)) {
        Some(_) => Err(Error::output(format!("column '{}'", column.schema.name))
            .found("the smallest integer of its type")
            .expected("another value: this one stands for null in FITS")),
        None => Ok(()),
    }
}

fn write_column(table: &mut FitsFile, number: usize, row: usize, column: &Column) -> std::result::Result<(), Status> {
    match &column.values {
        Values::Int32(values) => write_values(table, number, row, column, &with_sentinel(column, values, i32::MIN)),
        Values::Int64(values) => write_values(table, number, row, column, &with_sentinel(column, values, i64::MIN)),
        Values::Float32(values) => write_values(table, number, row, column, values),
        Values::Float64(values) => write_values(table, number, row, column, values),
        Values::Text(texts) => table.write_text(number, row, texts),
        Values::Bool(values) => {
            let values: Vec<Logical> = values.iter().map(|&value| value.into()).collect();
            write_values(table, number, row, column, &values)?;
            (0..column.n_rows())
                .filter(|&i| !column.is_valid(i) && !column.range(i).is_empty())
                .try_for_each(|i| table.write_null(number, row + i, column.range(i).len()))
        }
    }
}

fn with_sentinel<T: Copy>(column: &Column, values: &[T], sentinel: T) -> Vec<T> {
    let mut values = values.to_vec();
    (0..column.n_rows()).filter(|&row| !column.is_valid(row)).for_each(|row| values[column.range(row)].fill(sentinel));
    values
}

fn write_values<T: Element>(
    table: &mut FitsFile,
    number: usize,
    row: usize,
    column: &Column,
    values: &[T],
) -> std::result::Result<(), Status> {
    match column.shape {
        Shape::Variable(_) => (0..column.n_rows()).try_for_each(|i| table.write(number, row + i, &values[column.range(i)])),
        _ => table.write(number, row, values),
    }
}
