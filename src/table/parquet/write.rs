//! Columns to Arrow arrays, and Arrow arrays to a Parquet file.

use super::{DESCRIPTION, UCD, UNIT};
use crate::error::{Error, Result};
use crate::table::csv::header;
use crate::table::gzip::Output;
use crate::table::write::Sink;
use crate::table::{Column, ColumnSchema, Layout, Shape, Table, ValueType, Values};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, ArrowWriter, encode_arrow_schema};
use parquet::basic::{Compression, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows a row group has at most; fewer where the group would exceed [`ROW_GROUP_BYTES`].
const ROW_GROUP_ROWS: usize = 65_536;
const ROW_GROUP_BYTES: usize = 256 << 20;
/// Rows turned into one Arrow batch at a time.
const BATCH_ROWS: usize = 16_384;

enum State {
    Created(Output),
    /// With columns and metadata of the table, without rows.
    Writing(Box<ArrowWriter<Output>>, SchemaRef, Table),
    Failed,
}

/// A Parquet file being written.
pub(in crate::table) struct ParquetSink {
    path: PathBuf,
    state: State,
}

impl ParquetSink {
    /// # Errors
    /// As [`crate::table::AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        Ok(Self { path: path.to_owned(), state: State::Created(Output::create(path, overwrite)?) })
    }

    fn writer(&mut self, first: &Table) -> Result<(&mut ArrowWriter<Output>, SchemaRef)> {
        let writing = |error: ParquetError| Error::writing(&self.path, error);
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Created(output) => {
                let metadata = first.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
                let schema = Arc::new(arrow_schema(first));
                let mut properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .set_key_value_metadata(Some(metadata));
                // Measured values hardly repeat: a dictionary of them takes time, and more room than they do.
                let columns = ArrowSchemaConverter::new().convert(&schema).map_err(writing)?;
                for column in
                    columns.columns().iter().filter(|column| matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE))
                {
                    properties = properties.set_column_dictionary_enabled(column.path().clone(), false);
                }
                let properties = properties.build();
                // The schema has the metadata too, of which some are known at the end alone.
                let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(output, schema.clone(), options).map_err(writing)?;
                State::Writing(Box::new(writer), schema, first.select(&[]))
            }
            other => other,
        };
        match &mut self.state {
            State::Writing(writer, schema, _) => Ok((writer, schema.clone())),
            _ => Err(Error::output(self.path.display().to_string()).found("an earlier write that failed")),
        }
    }
}

impl Sink for ParquetSink {
    fn write(&mut self, chunk: &Table) -> Result<()> {
        let path = self.path.clone();
        let (writer, schema) = self.writer(chunk)?;
        for slice in chunk.slices(BATCH_ROWS) {
            let batch = to_batch(&slice, schema.clone()).map_err(|error| Error::writing(&path, error))?;
            writer.write(&batch).map_err(|error| Error::writing(&path, error))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, late: &BTreeMap<String, String>) -> Result<()> {
        match self.state {
            State::Writing(mut writer, _, mut like) => {
                for (key, value) in late {
                    writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
                    like.metadata.insert(key.clone(), value.clone());
                }
                let schema = encode_arrow_schema(&arrow_schema(&like));
                writer.append_key_value_metadata(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), schema));
                writer.into_inner().map_err(|error| Error::writing(&self.path, error))?.commit(&self.path)
            }
            _ => Err(Error::output(self.path.display().to_string()).found("no chunk that was written")),
        }
    }
}

/// The Arrow schema of tables like this one. The metadata stand in it too, where pyarrow's and pandas'
/// schemas show them; and all of it once more for astropy.
pub(super) fn arrow_schema(table: &Table) -> Schema {
    let fields: Vec<Field> = table.columns().iter().map(field).collect();
    let mut metadata: HashMap<String, String> = table.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.insert("table_meta_yaml".to_owned(), header::yaml_lines(table).join("\n"));
    Schema::new_with_metadata(fields, metadata)
}

/// The rows of a table in the given schema, that of [`arrow_schema`].
pub(super) fn to_batch(table: &Table, schema: SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
    let arrays = table.columns().iter().map(to_array).collect::<std::result::Result<Vec<_>, _>>()?;
    RecordBatch::try_new_with_options(schema, arrays, &RecordBatchOptions::new().with_row_count(Some(table.n_rows())))
}

fn field(column: &Column) -> Field {
    let column_type = column.column_type();
    let item = value_data_type(column_type.values);
    let data_type = match column_type.layout {
        Layout::Scalar => item,
        Layout::Fixed(length) => DataType::FixedSizeList(item_field(item), i32::try_from(length).unwrap_or(i32::MAX)),
        Layout::Variable => DataType::List(item_field(item)),
    };
    Field::new(&column.schema.name, data_type, true).with_metadata(field_metadata(&column.schema))
}

fn field_metadata(schema: &ColumnSchema) -> HashMap<String, String> {
    [(UNIT, &schema.unit), (UCD, &schema.ucd), (DESCRIPTION, &schema.description)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

fn value_data_type(values: ValueType) -> DataType {
    match values {
        ValueType::Bool => DataType::Boolean,
        ValueType::Int32 => DataType::Int32,
        ValueType::Int64 => DataType::Int64,
        ValueType::Float32 => DataType::Float32,
        ValueType::Float64 => DataType::Float64,
        ValueType::Text => DataType::Utf8,
    }
}

fn item_field(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", item, true))
}

fn to_array(column: &Column) -> std::result::Result<ArrayRef, ArrowError> {
    let nulls = column.valid.clone().map(NullBuffer::from);
    let item = || item_field(value_data_type(column.values.value_type()));
    Ok(match &column.shape {
        Shape::Scalar => values_array(&column.values, nulls),
        Shape::Fixed(length) => {
            let length = i32::try_from(*length).map_err(|_| ArrowError::InvalidArgumentError(format!("lists of {length}")))?;
            let values = values_array(&column.values, None);
            Arc::new(FixedSizeListArray::try_new_with_length(item(), length, values, nulls, column.n_rows())?)
        }
        Shape::Variable(offsets) => {
            let lengths = offsets.windows(2).map(|pair| pair[1] - pair[0]);
            let values = values_array(&column.values, None);
            Arc::new(ListArray::try_new(item(), OffsetBuffer::from_lengths(lengths), values, nulls)?)
        }
    })
}

fn values_array(values: &Values, nulls: Option<NullBuffer>) -> ArrayRef {
    match values {
        Values::Bool(values) => Arc::new(BooleanArray::new(values.clone().into(), nulls)),
        Values::Int32(values) => Arc::new(Int32Array::new(values.clone().into(), nulls)),
        Values::Int64(values) => Arc::new(Int64Array::new(values.clone().into(), nulls)),
        Values::Float32(values) => Arc::new(Float32Array::new(values.clone().into(), nulls)),
        Values::Float64(values) => Arc::new(Float64Array::new(values.clone().into(), nulls)),
        Values::Text(values) => {
            let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let text = values.iter().enumerate().map(|(row, text)| (!is_null(row)).then_some(text.as_str()));
            Arc::new(text.collect::<StringArray>())
        }
    }
}
