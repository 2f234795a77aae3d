//! Tables from Arrow record batches in memory, and the other way: the way in and out for programs that have
//! no file, as a Python module has.

use super::arrays::{self, Origin, described, is_bytes, is_readable};
use super::description::Description;
use super::write::{arrow_schema, to_batch};
use crate::error::{Error, Result};
use crate::table::read::assemble;
use crate::table::{ColumnSchema, Table};
use arrow_array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow_schema::Schema;
use std::path::Path;
use std::sync::Arc;

/// What errors name in the place of a file.
const PLACE: &str = "record batches";

impl Table {
    /// A table from Arrow record batches of one schema, as [`read`](super::super::read()) would give it from
    /// a Parquet file that holds them: units, UCDs and descriptions from the fields' metadata (keys `unit`,
    /// `ucd`, `description`), or from what astropy or pandas put into the schema's; null where an array is
    /// null, and for floats also where it is NaN. No batches at all are a table without rows. Columns of
    /// other types are left out and named in [`Table::unread`].
    ///
    /// # Errors
    /// When a batch has other columns than the schema. A column with a value that a table cannot hold is at
    /// fault only where it is needed ([`Column::require_held`](crate::table::Column::require_held)).
    pub fn from_record_batches(schema: &Schema, batches: impl IntoIterator<Item = RecordBatch>) -> Result<Self> {
        let description = Description::new(Path::new(PLACE), None, schema);
        let batches: Vec<RecordBatch> = batches.into_iter().collect();
        let types = || schema.fields().iter().map(|field| field.data_type());
        for (i, batch) in batches.iter().enumerate() {
            let has = batch.columns().iter().map(|array| array.data_type());
            let names = batch.schema_ref().fields().iter().map(|field| field.name());
            if !has.eq(types()) || !names.eq(schema.fields().iter().map(|field| field.name())) {
                return Err(Error::data(format!("{PLACE}, batch {i}"))
                    .found(format!("the columns {}", listed(batch.schema_ref())))
                    .expected(format!("those of the schema: {}", listed(schema)))
                    .remedy("Give batches of one schema."));
            }
        }
        let is_text = |array: &ArrayRef, column: &ColumnSchema| {
            !is_bytes(array.data_type()) || arrays::column(origin(array), column.clone(), array.clone()).is_ok()
        };
        // A column is text in every batch or in none.
        let is_held = |i: &usize| {
            let column = &description.columns[*i];
            is_readable(schema.field(*i).data_type()) && batches.iter().all(|batch| is_text(batch.column(*i), column))
        };
        let (held, others): (Vec<usize>, Vec<usize>) = (0..schema.fields().len()).partition(is_held);
        let unread = description.unread(others.into_iter().map(|i| (i, described(schema.field(i).data_type()))));
        let of_batch = |arrays: &[ArrayRef], n_rows: usize| {
            let column = |&i: &usize| arrays::column(origin(&arrays[i]), description.columns[i].clone(), arrays[i].clone());
            let columns = held.iter().map(column).collect::<Result<Vec<_>>>()?;
            assemble(Path::new(PLACE), columns, n_rows, &description.metadata)
        };
        let nothing: Vec<ArrayRef> = types().map(new_empty_array).collect();
        let mut table = of_batch(&nothing, 0)?;
        for batch in batches {
            table.append(of_batch(batch.columns(), batch.num_rows())?)?;
        }
        table.unread = unread;
        Ok(table)
    }

    /// The table as one Arrow record batch, as it would stand in a Parquet file: scalars, fixed-size lists
    /// for columns of one shape and lists for others; unit, UCD and description as the fields' metadata, the
    /// table's as the schema's (and all again under `table_meta_yaml`, for astropy).
    ///
    /// # Errors
    /// When a list is longer than Arrow can say.
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        to_batch(self, Arc::new(arrow_schema(self)))
            .map_err(|error| Error::data("table as a record batch").found(error.to_string()).source(error))
    }
}

fn origin(array: &ArrayRef) -> Origin<'static> {
    Origin { path: Path::new(PLACE), bytes: array.get_array_memory_size() as u64, first_row: 0 }
}

fn listed(schema: &Schema) -> String {
    let named = |field: &Arc<arrow_schema::Field>| format!("'{}' ({})", field.name(), field.data_type());
    schema.fields().iter().map(named).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::round_trip::assert_same;
    use crate::table::sample::sample_table;
    use arrow_array::{Float64Array, Int64Array, TimestampSecondArray};
    use arrow_schema::{DataType, Field, TimeUnit};

    #[test]
    fn a_table_goes_through_arrow_and_back() {
        let table = sample_table();
        let batch = table.to_record_batch().unwrap();
        let schema = batch.schema();
        assert_same(&Table::from_record_batches(&schema, [batch.clone()]).unwrap(), &table, "whole");
        let parts = [batch.slice(0, 1), batch.slice(1, 0), batch.slice(1, table.n_rows() - 1)];
        assert_same(&Table::from_record_batches(&schema, parts).unwrap(), &table, "in parts, one of them empty");
        let none = Table::from_record_batches(&schema, []).unwrap();
        let columns = |table: &Table| -> Vec<_> {
            table.columns().iter().map(|column| (column.schema.clone(), column.column_type())).collect()
        };
        assert_eq!((none.n_rows(), columns(&none), &none.metadata), (0, columns(&table), &table.metadata));
        assert_eq!(none.to_record_batch().unwrap().num_rows(), 0);
        assert_eq!(Table::with_rows(3).to_record_batch().unwrap().num_rows(), 3, "rows without columns");
    }

    #[test]
    fn what_a_table_cannot_hold_is_named() {
        let time = DataType::Timestamp(TimeUnit::Second, None);
        let schema = Schema::new(vec![
            Field::new("source_id", DataType::Int64, false),
            Field::new("teff", DataType::Float64, true).with_metadata([("unit".to_owned(), "K".to_owned())]),
            Field::new("epoch", time, true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(Float64Array::from(vec![Some(5000.0), None, Some(f64::NAN)])),
            Arc::new(TimestampSecondArray::from(vec![0, 1, 2])),
        ];
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap();
        let table = Table::from_record_batches(&schema, [batch.clone()]).unwrap();
        assert_eq!((table.columns().len(), table.unread[0].schema.name.as_str()), (2, "epoch"));
        let teff = table.column("teff").unwrap();
        assert_eq!(
            (teff.schema.unit.as_str(), (0..3).map(|row| teff.is_valid(row)).collect::<Vec<_>>()),
            ("K", vec![true, false, false])
        );
        let other = Schema::new(vec![Field::new("source_id", DataType::Int32, false)]);
        let message = Table::from_record_batches(&other, [batch]).unwrap_err().to_string();
        assert!(message.contains("batch 0") && message.contains("'teff' (Float64)"), "{message}");
    }
}
