//! Writing tables of any format, whole or chunk by chunk.

use super::format::Format;
use super::{Table, csv, fits, parquet};
use crate::error::{Error, Result};
use crate::warning::warn_once_about;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Writes a table: Parquet, FITS, ECSV or CSV by the extension of `path`, compressed if it ends in `.gz`.
/// Plain CSV keeps only names and values; the other formats keep units, UCDs, descriptions and metadata too.
/// The file appears complete or not at all.
///
/// # Errors
/// When `path` exists and `overwrite` is false, its folder is absent or not writable, the extension names no
/// format, or the format cannot hold a column.
pub fn write(table: &Table, path: &Path, overwrite: bool) -> Result<()> {
    let mut writer = Writer::create(path, overwrite)?;
    writer.write(table)?;
    writer.finish()
}

/// What a format does with chunks; the first one fixes columns and metadata.
pub(super) trait Sink: Send {
    /// Expects metadata at the end, before the first chunk.
    fn expect_late(&mut self) {}
    /// Appends the rows of a chunk, whose columns are those of the first one.
    fn write(&mut self, chunk: &Table) -> Result<()>;
    /// Completes the file with metadata that the first chunk did not have, and gives it its name.
    fn finish(self: Box<Self>, late: &BTreeMap<String, String>) -> Result<()>;
}

/// Writes chunks of rows one after the other to one file, which appears under its name only with
/// [`Writer::finish`]; a writer that is dropped before leaves nothing behind. All chunks have the columns of
/// the first one; its metadata become the file's.
pub struct Writer {
    path: PathBuf,
    sink: Box<dyn Sink>,
    /// The first chunk without its rows.
    columns: Option<Table>,
}

impl Writer {
    /// Prepares writing to `path`; the format follows from the extension as in [`write()`].
    ///
    /// # Errors
    /// When `path` exists and `overwrite` is false, its folder is absent or not writable, or the extension
    /// names no format.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let sink: Box<dyn Sink> = match Format::of_output(path)? {
            Format::Parquet => Box::new(parquet::ParquetSink::create(path, overwrite)?),
            Format::Fits => Box::new(fits::FitsSink::create(path, overwrite)?),
            Format::Ecsv => Box::new(csv::CsvSink::create(path, overwrite, csv::Header::Ecsv)?),
            // The formats that are only read have been refused.
            Format::Csv | Format::VoTable | Format::Hdf5 | Format::Json | Format::Bundle => {
                Box::new(csv::CsvSink::create(path, overwrite, csv::Header::Names)?)
            }
        };
        Ok(Self { path: path.to_owned(), sink, columns: None })
    }

    /// Makes room for metadata that are known only when all rows are written ([`Writer::finish_with`]): to be
    /// called before the first chunk.
    #[must_use]
    pub fn with_late_metadata(mut self) -> Self {
        self.sink.expect_late();
        self
    }

    /// Appends the rows of `chunk`.
    ///
    /// # Errors
    /// When its columns differ from the first chunk's, the format cannot hold a column, or writing fails.
    pub fn write(&mut self, chunk: &Table) -> Result<()> {
        match &self.columns {
            Some(columns) => columns.check_same_columns(chunk).map_err(|error| error.within(self.path.display()))?,
            None => self.columns = Some(chunk.slice(0..0)),
        }
        for column in chunk.columns() {
            if let Err(error) = column.require_held() {
                warn_once_about(
                    &format!("{}, {}, not held", self.path.display(), column.schema.name),
                    format!(
                        "{}: a column that is not needed is written without what no table can hold: {error}",
                        self.path.display()
                    ),
                );
            }
        }
        self.sink.write(chunk)
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// When no chunk was written, or the file cannot be completed or renamed.
    pub fn finish(self) -> Result<()> {
        self.finish_with(&BTreeMap::new())
    }

    /// As [`Writer::finish`], with metadata beside those of the first chunk; CSV has none. In a FITS header
    /// there is room for about 6 kB of them.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn finish_with(self, late: &BTreeMap<String, String>) -> Result<()> {
        if self.columns.is_none() {
            return Err(Error::output(self.path.display().to_string())
                .found("no rows and no columns")
                .expected("a table to write"));
        }
        self.sink.finish(late)
    }
}
