//! A Parquet file to Arrow arrays, and Arrow arrays to columns.

use super::{DESCRIPTION, UCD, UNIT};
use crate::error::{Error, Result};
use crate::table::builder::is_float;
use crate::table::format::is_gzip;
use crate::table::gzip;
use crate::table::read::{Chunks, assemble, positions, unsupported};
use crate::table::{Column, ColumnSchema, Shape, Table, Values};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, OffsetSizeTrait, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderBuilder, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Keys in the file's metadata that describe its encoding, not the table.
const ENCODING_KEYS: [&str; 2] = ["ARROW:schema", "pandas"];

/// The columns' descriptions, from the footer alone.
pub(in crate::table) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    Ok(open(path, None, 1)?.0.iter().map(|field| column_schema(field)).collect())
}

/// Number of rows by the footer.
pub(in crate::table) fn row_count(path: &Path) -> Result<usize> {
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(path, error))?;
    Ok(usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0))
}

/// Record batches of at most `rows` rows.
pub(in crate::table) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let (fields, metadata, batches) = open(path, names, rows)?;
    let path = path.to_owned();
    let empty = RecordBatch::new_empty(std::sync::Arc::new(arrow_schema::Schema::new(fields.clone())));
    let to_table = move |batch: std::result::Result<RecordBatch, arrow_schema::ArrowError>| {
        let batch = batch.map_err(|error| damaged(&path, error))?;
        table(&path, &fields, &batch, &metadata)
    };
    let mut batches = batches.peekable();
    if batches.peek().is_none() {
        return Ok(Box::new(std::iter::once(to_table(Ok(empty)))));
    }
    let mut failed = false;
    let until_error = batches.map(to_table).map_while(move |table| {
        let ended = failed;
        failed = table.is_err();
        (!ended).then_some(table)
    });
    Ok(Box::new(until_error))
}

type Opened = (Vec<std::sync::Arc<Field>>, BTreeMap<String, String>, ParquetRecordBatchReader);

/// The wanted fields in the order wanted, the metadata, and the batches (with the columns in file order).
fn open(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Opened> {
    let reading = |error: ParquetError| damaged(path, error);
    if is_gzip(path)? {
        let bytes = bytes::Bytes::from(gzip::read_all(path)?);
        configure(path, ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(reading)?, names, rows, |builder| builder.build())
    } else {
        let file = File::open(path).map_err(|error| Error::reading(path, error))?;
        configure(path, ParquetRecordBatchReaderBuilder::try_new(file).map_err(reading)?, names, rows, |builder| builder.build())
    }
}

fn configure<T>(
    path: &Path,
    builder: ArrowReaderBuilder<T>,
    names: Option<&[&str]>,
    rows: usize,
    build: impl FnOnce(ArrowReaderBuilder<T>) -> std::result::Result<ParquetRecordBatchReader, ParquetError>,
) -> Result<Opened> {
    let schema: SchemaRef = builder.schema().clone();
    let available: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let wanted = positions(path, &available, names)?;
    let file = builder.metadata().file_metadata();
    let metadata = file
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter(|entry| !ENCODING_KEYS.contains(&entry.key.as_str()))
        .map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()))
        .collect();
    let n_rows = usize::try_from(file.num_rows()).unwrap_or(0);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let builder = builder.with_projection(mask).with_batch_size(rows.min(n_rows).max(1));
    let batches = build(builder).map_err(|error| damaged(path, error))?;
    Ok((wanted.iter().map(|&i| schema.fields()[i].clone()).collect(), metadata, batches))
}

pub(super) fn damaged(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::reading(path, error).expected("a whole Parquet file").remedy("If it is truncated, copy or download it again.")
}

fn table(
    path: &Path,
    fields: &[std::sync::Arc<Field>],
    batch: &RecordBatch,
    metadata: &BTreeMap<String, String>,
) -> Result<Table> {
    let columns = fields.iter().map(|field| {
        let array = batch
            .column_by_name(field.name())
            .ok_or_else(|| Error::data(format!("{}, column '{}'", path.display(), field.name())).found("the name twice"))?;
        column(path, column_schema(field), array)
    });
    assemble(path, columns.collect::<Result<_>>()?, batch.num_rows(), metadata)
}

fn column_schema(field: &Field) -> ColumnSchema {
    let text = |key: &str| field.metadata().get(key).cloned().unwrap_or_default();
    ColumnSchema {
        name: field.name().clone(),
        unit: text(UNIT),
        ucd: text(UCD),
        description: text(DESCRIPTION),
        ..ColumnSchema::default()
    }
}

fn column(path: &Path, schema: ColumnSchema, array: &dyn Array) -> Result<Column> {
    let valid = valid_rows(array);
    let (flat, shape) = match array.data_type() {
        DataType::List(_) => list::<i32>(array),
        DataType::LargeList(_) => list::<i64>(array),
        DataType::FixedSizeList(_, length) => (array.as_fixed_size_list().values().clone(), Shape::Fixed(*length as usize)),
        _ => {
            let values = values(path, &schema.name, array)?;
            return Ok(Column { schema, values, shape: Shape::Scalar, valid: None }.with_valid(valid));
        }
    };
    let values = values(path, &schema.name, flat.as_ref())?;
    let column = Column { schema, values, shape, valid: None };
    // Long lists without nulls, as those of spectra, are not looked through.
    let stray = flat
        .logical_nulls()
        .and_then(|nulls| (0..valid.len()).filter(|&row| valid[row]).find(|&row| column.range(row).any(|i| nulls.is_null(i))));
    match stray {
        Some(row) if !is_float(column.values.value_type()) => {
            Err(Error::data(format!("{}, column '{}'", path.display(), column.schema.name))
                .found(format!("a null inside the list of row {row}"))
                .expected("lists of integers, booleans or text without nulls"))
        }
        _ => Ok(column.with_valid(valid)),
    }
}

fn valid_rows(array: &dyn Array) -> Vec<bool> {
    array.logical_nulls().map_or_else(|| vec![true; array.len()], |nulls| nulls.iter().collect())
}

/// The flat values of a list array and the offsets into them.
fn list<Offset: OffsetSizeTrait>(array: &dyn Array) -> (arrow_array::ArrayRef, Shape) {
    let list = array.as_list::<Offset>();
    let offsets: Vec<usize> = list.value_offsets().iter().map(|offset| offset.as_usize()).collect();
    let (start, end) = (offsets[0], offsets[offsets.len() - 1]);
    (list.values().slice(start, end - start), Shape::Variable(offsets.iter().map(|offset| offset - start).collect()))
}

/// All values of an array; nulls are NaN for floats, and anything for other types.
fn values(path: &Path, name: &str, array: &dyn Array) -> Result<Values> {
    macro_rules! numbers {
        ($arrow:ty, $variant:ident, $to:ty) => {
            Values::$variant(array.as_primitive::<$arrow>().values().iter().map(|&value| <$to>::from(value)).collect())
        };
    }
    let mut values = match array.data_type() {
        DataType::Boolean => Values::Bool(array.as_boolean().values().iter().collect()),
        DataType::Int8 => numbers!(Int8Type, Int32, i32),
        DataType::Int16 => numbers!(Int16Type, Int32, i32),
        DataType::Int32 => numbers!(Int32Type, Int32, i32),
        DataType::UInt8 => numbers!(UInt8Type, Int32, i32),
        DataType::UInt16 => numbers!(UInt16Type, Int32, i32),
        DataType::UInt32 => numbers!(UInt32Type, Int64, i64),
        DataType::Int64 => numbers!(Int64Type, Int64, i64),
        DataType::UInt64 => Values::Int64(signed(path, name, array)?),
        DataType::Float16 => numbers!(Float16Type, Float32, f32),
        DataType::Float32 => numbers!(Float32Type, Float32, f32),
        DataType::Float64 => numbers!(Float64Type, Float64, f64),
        // A column that is null throughout, as pandas writes it.
        DataType::Null => Values::Float64(vec![f64::NAN; array.len()]),
        DataType::Utf8 => Values::Text(owned(array.as_string::<i32>().iter())),
        DataType::LargeUtf8 => Values::Text(owned(array.as_string::<i64>().iter())),
        DataType::Utf8View => Values::Text(owned(array.as_string_view().iter())),
        DataType::Dictionary(_, _) => return dictionary(path, name, array),
        other => return Err(unsupported(path, name, format!("values of type {other}"))),
    };
    if is_float(values.value_type())
        && let Some(nulls) = array.nulls()
    {
        (0..array.len()).filter(|&i| nulls.is_null(i)).for_each(|i| values.fill_null(i..i + 1));
    }
    Ok(values)
}

fn owned<'a>(text: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    text.map(|text| text.unwrap_or_default().to_owned()).collect()
}

fn signed(path: &Path, name: &str, array: &dyn Array) -> Result<Vec<i64>> {
    let signed = |value: &u64| {
        i64::try_from(*value).map_err(|_| {
            Error::data(format!("{}, column '{name}'", path.display()))
                .found(value.to_string())
                .expected(format!("at most {}, the largest signed 64-bit integer", i64::MAX))
        })
    };
    array.as_primitive::<UInt64Type>().values().iter().map(signed).collect()
}

fn dictionary(path: &Path, name: &str, array: &dyn Array) -> Result<Values> {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        let mut values = values(path, name, dictionary.values().as_ref())?;
        values.resize_with_null(array.len());
        return Ok(values);
    }
    let entries = values(path, name, dictionary.values().as_ref())?;
    Ok(entries.gather(dictionary.normalized_keys().into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int8Type;
    use arrow_array::{
        ArrayRef, Decimal128Array, DictionaryArray, LargeListArray, LargeStringArray, StringViewArray, UInt16Array, UInt64Array,
    };
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    fn written(columns: Vec<(&str, ArrayRef)>) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file
    }

    #[test]
    fn types_that_other_programs_write() {
        let lists = LargeListArray::from_iter_primitive::<Float32Type, _, _>([Some(vec![Some(1.0), None]), None, Some(vec![])]);
        let file = written(vec![
            ("small", Arc::new(UInt16Array::from(vec![Some(65_535), None, Some(1)]))),
            ("id", Arc::new(UInt64Array::from(vec![1, 5_853_498_713_190_525_696, 3]))),
            ("view", Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a text longer than twelve bytes")]))),
            ("large", Arc::new(LargeStringArray::from(vec!["x", "y", "z"]))),
            ("band", Arc::new(DictionaryArray::<Int8Type>::from_iter([Some("g"), None, Some("g")]))),
            ("lists", Arc::new(lists)),
        ]);
        let table = crate::table::read(file.path()).unwrap();
        assert_eq!(table.column("small").unwrap().values, Values::Int32(vec![65_535, 0, 1]));
        assert_eq!(table.column("small").unwrap().valid, Some(vec![true, false, true]));
        assert_eq!(table.column("id").unwrap().to_i64().unwrap()[1], 5_853_498_713_190_525_696);
        assert_eq!(table.column("band").unwrap().values, Values::Text(vec!["g".into(), String::new(), "g".into()]));
        assert_eq!(table.column("band").unwrap().valid, Some(vec![true, false, true]));
        assert_eq!(table.column("view").unwrap().valid, Some(vec![true, false, true]));
        let lists = table.column("lists").unwrap();
        assert_eq!(
            (lists.shape.clone(), lists.valid.clone()),
            (Shape::Variable(vec![0, 2, 2, 2]), Some(vec![true, false, true]))
        );
        assert!(lists.flat_f64().unwrap()[1].is_nan());
    }

    #[test]
    fn decimals_and_too_large_integers_are_refused_by_name() {
        let decimal = Decimal128Array::from(vec![1]).with_precision_and_scale(10, 2).unwrap();
        let file = written(vec![("price", Arc::new(decimal)), ("id", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
        let error = crate::table::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("column 'price': found values of type Decimal128(10, 2)"), "{error}");
        let error = crate::table::read_columns(file.path(), &["id"]).unwrap_err().to_string();
        assert!(error.contains("column 'id': found 18446744073709551615"), "{error}");
    }
}
