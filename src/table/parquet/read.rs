//! A Parquet file to record batches, and those to tables.

use super::arrays::{self, described, is_bytes, is_readable};
use super::file::{Opened, damaged, guarded};
use super::guard::{Guarded, Pages, value_bytes};
use crate::error::{Error, Result};
use crate::table::read::{Chunks, assemble, positions, unsupported};
use crate::table::{ColumnSchema, Table, UnreadColumn, Values, limits};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::Length;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a batch in memory above which it has fewer rows than asked for.
const BATCH_BYTES: u64 = 1 << 30;
/// Rows in which bytes are looked at to see whether they are text.
const BYTES_ROWS: usize = 8192;

/// The columns' descriptions, from the footer alone; without the masks of other columns.
///
/// # Errors
/// When the file cannot be opened or its footer is damaged.
pub(in crate::table) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    let opened = Opened::open(path)?;
    let fields = opened.metadata.schema().fields();
    let names: BTreeSet<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let is_mask = |i: usize| {
        let item = match fields[i].data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.data_type(),
            other => other,
        };
        *item == DataType::Boolean && fields[i].name().strip_suffix(".mask").is_some_and(|name| names.contains(name))
    };
    let columns = opened.description.columns.into_iter().enumerate();
    Ok(columns.filter(|(i, _)| !is_mask(*i)).map(|(_, column)| column).collect())
}

/// Number of rows by the footer.
///
/// # Errors
/// As [`schema`].
pub(in crate::table) fn row_count(path: &Path) -> Result<usize> {
    let rows = Opened::open(path)?.n_rows;
    usize::try_from(rows).map_err(|error| damaged(path, error))
}

/// Record batches of at most `rows` rows, as tables.
///
/// # Errors
/// When the file is damaged, becomes larger than its size allows, or a column that is named cannot be read.
pub(in crate::table) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let opened = Opened::open(path)?;
    let schema = opened.metadata.schema().clone();
    let available: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut wanted = positions(path, &available, names)?;
    let data_type = |i: usize| schema.field(i).data_type();
    let mut unread = Vec::new();
    if names.is_some() {
        if let Some(&i) = wanted.iter().find(|&&i| !is_readable(data_type(i))) {
            return Err(unsupported(path, &available[i], described(data_type(i))));
        }
        if let Some(i) = (0..wanted.len()).find(|&i| wanted[..i].contains(&wanted[i])) {
            return Err(Error::data(format!("{}, column '{}'", path.display(), available[wanted[i]]))
                .found("the name twice")
                .expected("every column once"));
        }
    } else {
        let not_text = bytes_that_are_no_text(&opened)?;
        let others = (0..available.len()).filter(|&i| !is_readable(data_type(i)) || not_text.contains(&i));
        unread = opened.description.unread(others.map(|i| (i, described(data_type(i)))));
        wanted.retain(|&i| is_readable(data_type(i)) && !not_text.contains(&i));
    }
    Ok(Box::new(Tables::new(opened, wanted, unread, rows)?))
}

/// The columns of bytes that are no text in some row: read before all others, because a column is text in
/// every chunk or in none.
fn bytes_that_are_no_text(opened: &Opened) -> Result<BTreeSet<usize>> {
    let fields = opened.metadata.schema().fields();
    let candidates: Vec<usize> = (0..fields.len()).filter(|&i| is_bytes(fields[i].data_type())).collect();
    let mut others = BTreeSet::new();
    for column in candidates {
        let mut batches = Batches::new(opened, &[column], BYTES_ROWS)?;
        while let Some(batch) = batches.next(&opened.path)? {
            let schema = ColumnSchema::new(fields[column].name().clone(), "", "");
            let Some(array) = batch.1.into_iter().next() else { break };
            if arrays::column(opened.origin(), schema, array).is_err() {
                others.insert(column);
                break;
            }
        }
    }
    Ok(others)
}

/// Record batches of some columns of a file.
struct Batches {
    reader: ParquetRecordBatchReader,
    pages: Arc<Pages>,
}

impl Batches {
    /// Batches of at most `rows` rows of the given columns, which come in the order of the file.
    fn new(opened: &Opened, columns: &[usize], rows: usize) -> Result<Self> {
        let (path, metadata) = (&opened.path, opened.metadata.metadata());
        let leaves: Vec<usize> = columns.iter().flat_map(|&column| opened.leaves(column)).collect();
        let n_bytes = Length::len(&opened.source);
        check_chunks(path, metadata, &leaves, n_bytes)?;
        let row_bytes = row_bytes(opened, columns);
        limits::check(path, n_bytes, row_bytes.saturating_mul(opened.n_rows))?;
        let most = usize::try_from(BATCH_BYTES / row_bytes.max(1)).unwrap_or(usize::MAX);
        let rows = rows.min(most).min(usize::try_from(opened.n_rows).unwrap_or(usize::MAX)).max(1);
        let pages = Pages::new(path, n_bytes, metadata, &leaves);
        let file = Guarded::new(opened.source.clone(), pages.clone());
        let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), columns.iter().copied());
        let build = || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.metadata.clone())
                .with_projection(mask)
                .with_batch_size(rows)
                .build()
                .map_err(|error| damaged(path, error))
        };
        let reader = guarded(path, build).map_err(|error| pages.refusal().unwrap_or(error))?;
        Ok(Self { reader, pages })
    }

    /// The number of rows and the arrays of the next batch.
    fn next(&mut self, path: &Path) -> Result<Option<(usize, Vec<ArrayRef>)>> {
        self.pages.begin_batch();
        let next = || self.reader.next().transpose().map_err(|error| damaged(path, error));
        let batch = guarded(path, next).map_err(|error| self.pages.refusal().unwrap_or(error))?;
        Ok(batch.map(|batch| {
            let (_, arrays, n_rows) = batch.into_parts();
            (n_rows, arrays)
        }))
    }
}

/// Refuses columns that lie outside the file, on which the decoder would fail.
fn check_chunks(path: &Path, metadata: &ParquetMetaData, leaves: &[usize], n_bytes: u64) -> Result<()> {
    for group in metadata.row_groups() {
        for &leaf in leaves {
            let column = group.column(leaf);
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let end =
                u64::try_from(start).ok().and_then(|start| start.checked_add(u64::try_from(column.compressed_size()).ok()?));
            if column.num_values() < 0 || end.is_none_or(|end| end > n_bytes) {
                return Err(Error::data(format!("{}, column '{}'", path.display(), column.column_path()))
                    .found(format!("{} values in {} bytes from {start} on", column.num_values(), column.compressed_size()))
                    .expected(format!("a place within the {n_bytes} bytes of the file"))
                    .remedy("If the file is truncated, copy or download it again."));
            }
        }
    }
    Ok(())
}

/// Bytes in memory that a row of these columns has by the footer: of the row group in which it has most.
fn row_bytes(opened: &Opened, columns: &[usize]) -> u64 {
    let metadata = opened.metadata.metadata();
    let of_leaf = |leaf: usize| {
        let of_group = |group: &RowGroupMetaData| {
            let column = group.column(leaf);
            let n_rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
            let a_row = |n: i64| u64::try_from(n).unwrap_or(u64::MAX).div_ceil(n_rows);
            // The characters of texts, as far as each stands in the file.
            let text = if column.column_type() == Type::BYTE_ARRAY { a_row(column.uncompressed_size()) } else { 0 };
            a_row(column.num_values()).saturating_mul(value_bytes(column.column_type())).saturating_add(text)
        };
        metadata.row_groups().iter().map(of_group).max().unwrap_or(0)
    };
    let of_column = |&column: &usize| {
        let declared: u64 = opened.leaves(column).map(of_leaf).fold(0, u64::saturating_add);
        match opened.metadata.schema().field(column).data_type() {
            // A list that is null has its length all the same.
            DataType::FixedSizeList(_, length) => {
                let size = opened.leaves(column).map(|leaf| {
                    let descriptor = metadata.file_metadata().schema_descr().column(leaf);
                    value_bytes(descriptor.physical_type())
                });
                declared.max(u64::try_from(*length).unwrap_or(u64::MAX).saturating_mul(size.max().unwrap_or(0)))
            }
            _ => declared,
        }
    };
    columns.iter().map(of_column).fold(0, u64::saturating_add)
}

/// The tables of a file's batches: at least one, and none after an error.
struct Tables {
    opened: Opened,
    batches: Batches,
    /// For every column, in the order wanted, its position among the arrays of a batch and among the file's
    /// columns.
    order: Vec<(usize, usize)>,
    unread: Vec<UnreadColumn>,
    n_read: u64,
    /// Bytes in memory of all tables so far.
    produced: u64,
    is_over: bool,
}

impl Tables {
    fn new(opened: Opened, wanted: Vec<usize>, unread: Vec<UnreadColumn>, rows: usize) -> Result<Self> {
        let mut sorted = wanted.clone();
        sorted.sort_unstable();
        let batches = Batches::new(&opened, &sorted, rows)?;
        let position = |column: usize| sorted.partition_point(|&other| other < column);
        let order = wanted.iter().map(|&column| (position(column), column)).collect();
        Ok(Self { opened, batches, order, unread, n_read: 0, produced: 0, is_over: false })
    }

    fn advance(&mut self) -> Result<Option<Table>> {
        let Some((n_rows, arrays)) = self.batches.next(&self.opened.path)? else {
            self.is_over = true;
            if self.n_read != self.opened.n_rows {
                return Err(Error::data(self.opened.path.display().to_string())
                    .found(format!("{} rows", self.n_read))
                    .expected(format!("{}, as the footer says", self.opened.n_rows))
                    .remedy("The file is damaged: copy or download it again."));
            }
            return Ok(None);
        };
        self.n_read += n_rows as u64;
        let path = self.opened.path.clone();
        guarded(&path, || self.table(n_rows, arrays)).map(Some)
    }

    fn table(&mut self, n_rows: usize, arrays: Vec<ArrayRef>) -> Result<Table> {
        let origin = arrays::Origin { first_row: self.n_read.saturating_sub(n_rows as u64), ..self.opened.origin() };
        let mut arrays: Vec<Option<ArrayRef>> = arrays.into_iter().map(Some).collect();
        let column = |&(position, column): &(usize, usize)| {
            let schema = self.opened.description.columns[column].clone();
            let array = arrays.get_mut(position).and_then(Option::take);
            let array = array.filter(|array| array.len() == n_rows).ok_or_else(|| {
                Error::data(format!("{}, column '{}'", origin.path.display(), schema.name))
                    .found("fewer or more values than rows")
                    .expected(format!("{n_rows}"))
                    .remedy("The file is damaged: copy or download it again.")
            })?;
            arrays::column(origin, schema, array)
        };
        let columns = self.order.iter().map(column).collect::<Result<Vec<_>>>()?;
        self.produced = columns.iter().fold(self.produced, |sum, column| sum.saturating_add(n_bytes(&column.values)));
        limits::check(origin.path, origin.bytes, self.produced)?;
        let mut table = assemble(origin.path, columns, n_rows, &self.opened.description.metadata)?;
        table.unread.clone_from(&self.unread);
        Ok(table)
    }

    /// A table without rows, of a file that has none.
    fn empty(&mut self) -> Result<Table> {
        let schema = self.opened.metadata.schema();
        let arrays = {
            let mut columns: Vec<usize> = self.order.iter().map(|&(_, column)| column).collect();
            columns.sort_unstable();
            columns.into_iter().map(|i| arrow_array::new_empty_array(schema.field(i).data_type())).collect()
        };
        let path = self.opened.path.clone();
        guarded(&path, || self.table(0, arrays))
    }
}

impl Iterator for Tables {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let is_first = self.n_read == 0;
        let table = match self.advance() {
            Ok(None) if is_first => self.empty().map(Some),
            other => other,
        };
        self.is_over |= table.is_err();
        table.transpose()
    }
}

/// Bytes of values in memory.
fn n_bytes(values: &Values) -> u64 {
    let size = match values {
        Values::Bool(_) => 1,
        Values::Int32(_) | Values::Float32(_) => 4,
        Values::Int64(_) | Values::Float64(_) => 8,
        Values::Text(texts) => return texts.iter().map(|text| 24 + text.len() as u64).sum(),
    };
    values.len() as u64 * size
}
