//! A Parquet file whose footer has been read. What it declares is held against its size before it is
//! believed, and the decoder, which is not ours, may fail in any way.

use super::arrays::Origin;
use super::description::Description;
use super::thrift;
use crate::error::{Error, Result};
use crate::table::format::is_gzip;
use crate::table::gzip;
use arrow_schema::{DataType, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Levels and elements that a schema may have: the decoder calls itself for every level.
const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: u64 = 1 << 20;

/// The bytes of a file: where they lie, or decompressed.
#[derive(Clone)]
pub(super) enum Source {
    File(Arc<File>),
    Bytes(Bytes),
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(&**file),
            Self::Bytes(bytes) => Length::len(bytes),
        }
    }
}

impl ChunkReader for Source {
    type T = Box<dyn std::io::Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(match self {
            Self::File(file) => Box::new(file.get_read(start)?),
            Self::Bytes(bytes) => Box::new(bytes.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let is_inside = start.checked_add(length as u64).is_some_and(|end| end <= Length::len(self));
        if !is_inside {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on")));
        }
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Bytes(bytes) => bytes.get_bytes(start, length),
        }
    }
}

/// A file whose footer has been read.
pub(super) struct Opened {
    pub path: PathBuf,
    pub source: Source,
    pub metadata: ArrowReaderMetadata,
    pub description: Description,
    /// The leaf columns of every column.
    leaves: Vec<Range<usize>>,
    pub n_rows: u64,
}

impl Opened {
    /// # Errors
    /// When the file cannot be opened, or its footer is damaged or one on which the decoder would fail.
    pub fn open(path: &Path) -> Result<Self> {
        let source = if is_gzip(path)? {
            Source::Bytes(Bytes::from(gzip::read_all(path)?))
        } else {
            Source::File(Arc::new(File::open(path).map_err(|error| Error::reading(path, error))?))
        };
        check_footer(path, &source)?;
        let load = || ArrowReaderMetadata::load(&source, ArrowReaderOptions::new()).map_err(|error| damaged(path, error));
        let metadata = guarded(path, load)?;
        let description = Description::new(path, metadata.metadata().file_metadata().key_value_metadata(), metadata.schema());
        let metadata = with_views(metadata);
        let n_rows = n_rows(path, metadata.metadata())?;
        let leaves = leaves(metadata.metadata(), metadata.schema().fields().len());
        Ok(Self { path: path.to_owned(), source, metadata, description, leaves, n_rows })
    }

    pub fn origin(&self) -> Origin<'_> {
        Origin { path: &self.path, bytes: Length::len(&self.source), first_row: 0 }
    }

    /// The leaf columns of a column of the table.
    pub fn leaves(&self, column: usize) -> Range<usize> {
        self.leaves.get(column).cloned().unwrap_or_default()
    }
}

/// The leaf columns of every column, which follow one another.
fn leaves(metadata: &ParquetMetaData, n_columns: usize) -> Vec<Range<usize>> {
    let schema = metadata.file_metadata().schema_descr();
    let mut leaves = vec![0..0; n_columns];
    for leaf in 0..schema.num_columns() {
        if let Some(range) = leaves.get_mut(schema.get_column_root_idx(leaf)) {
            *range = if range.start == range.end { leaf..leaf + 1 } else { range.start..leaf + 1 };
        }
    }
    leaves
}

/// Refuses a footer on which the decoder would overrun its stack or its memory.
fn check_footer(path: &Path, source: &Source) -> Result<()> {
    let reading = |error: ParquetError| damaged(path, error);
    let n_bytes = Length::len(source);
    let Some(tail) = n_bytes.checked_sub(8) else { return Ok(()) };
    let tail_bytes = source.get_bytes(tail, 8).map_err(reading)?;
    let length = tail_bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let Some(start) = tail.checked_sub(length.into()).filter(|_| tail_bytes.ends_with(b"PAR1")) else { return Ok(()) };
    let footer = source.get_bytes(start, usize::try_from(length).unwrap_or(0)).map_err(reading)?;
    match thrift::footer_fault(&footer, MAX_DEPTH, MAX_ELEMENTS) {
        None => Ok(()),
        Some(found) => Err(Error::data(path.display().to_string())
            .found(found)
            .expected(format!("a whole footer, with a schema of at most {MAX_DEPTH} levels and {MAX_ELEMENTS} elements"))
            .remedy("Copy or download the file again; if it stays so, it is no table of stars, or made to do harm.")),
    }
}

/// The same file with texts and bytes read as views, which share the bytes of a dictionary instead of
/// repeating them for every row.
fn with_views(metadata: ArrowReaderMetadata) -> ArrowReaderMetadata {
    let schema = metadata.schema();
    let view = |data_type: &DataType| match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => Some(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => Some(DataType::BinaryView),
        _ => None,
    };
    if !schema.fields().iter().any(|field| view(field.data_type()).is_some()) {
        return metadata;
    }
    let fields = schema.fields().iter().map(|field| match view(field.data_type()) {
        Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
        None => field.clone(),
    });
    let fields: Vec<_> = fields.collect();
    let viewed = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(viewed);
    let other = catch_unwind(AssertUnwindSafe(|| ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)));
    match other {
        Ok(Ok(other)) => other,
        _ => metadata,
    }
}

/// Number of rows, on which the footer and its row groups must agree.
fn n_rows(path: &Path, metadata: &ParquetMetaData) -> Result<u64> {
    let declared = metadata.file_metadata().num_rows();
    let groups = metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).ok());
    let sum = groups.sum::<Option<u64>>();
    match (u64::try_from(declared), sum) {
        (Ok(declared), Some(sum)) if declared == sum => Ok(sum),
        _ => Err(Error::data(path.display().to_string())
            .found(format!("a footer of {declared} rows over row groups of other numbers"))
            .expected("numbers that agree")
            .remedy("The file is damaged: copy or download it again.")),
    }
}

pub(super) fn damaged(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::reading(path, error).expected("a whole Parquet file").remedy("If it is truncated, copy or download it again.")
}

/// Calls the decoder. It checks much of what it reads, but not all: a panic within it is an error of the
/// file, as any other.
pub(super) fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::data(path.display().to_string())
            .found(format!("content that the decoder cannot follow ({})", text.unwrap_or("it gives no reason")))
            .expected("a whole Parquet file")
            .remedy("The file is damaged: copy or download it again."))
    })
}
