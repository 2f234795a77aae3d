//! The metadata of a dataset, that is of many Parquet files with the same columns: `_common_metadata` has
//! their schema, `_metadata` the footers of all of them too, so that readers need not open every file.

use super::file::damaged;
use crate::error::{Error, Result};
use crate::table::write_atomically;
use crate::warning::warn_once;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Most files whose footers are put together (0.8 GB of memory).
const MOST_FOOTERS: usize = 20_000;

/// Writes `_common_metadata` and `_metadata` into `folder` for the Parquet files in it, named by their
/// relative paths, with the given metadata; an older pair is replaced. About 40 kB a file are held meanwhile;
/// of more than 20 000 files, therefore, there is no `_metadata`, which readers take for a convenience.
///
/// # Errors
/// When a file cannot be read or has other columns than the first, there is none, or the metadata cannot be
/// written.
pub fn write_dataset_metadata(folder: &Path, files: &[String], metadata: &BTreeMap<String, String>) -> Result<()> {
    let mut first: Option<FileMetaData> = None;
    let mut row_groups = Vec::new();
    let mut n_rows = 0;
    let has_footers = files.len() <= MOST_FOOTERS;
    for name in files {
        let path = folder.join(name);
        let footer = footer(&path)?;
        let file = footer.file_metadata();
        n_rows += file.num_rows();
        match &first {
            Some(first) if first.schema() != file.schema() => {
                return Err(Error::data(path.display().to_string())
                    .found("other columns, or columns of other types")
                    .expected(format!("those of {}", files[0]))
                    .remedy("Fit all partitions with the same options and columns to keep."));
            }
            Some(_) => {}
            None => first = Some(file.clone()),
        }
        for group in footer.row_groups().iter().filter(|_| has_footers) {
            row_groups.push(located(group, name).map_err(|error| damaged(&path, error))?);
        }
    }
    let Some(first) = first else {
        return Err(Error::output(folder.display().to_string())
            .found("no file")
            .expected("a dataset of at least one file")
            .remedy("Fit a partition first."));
    };
    let entries = key_values(&first, metadata).map_err(|error| damaged(&folder.join(&files[0]), error))?;
    let describe = |n_rows, row_groups| {
        let (version, created_by) = (first.version(), first.created_by().map(str::to_owned));
        let file = FileMetaData::new(version, n_rows, created_by, Some(entries.clone()), first.schema_descr_ptr(), None);
        ParquetMetaData::new(file, row_groups)
    };
    write(&folder.join("_common_metadata"), &describe(0, Vec::new()))?;
    let all = folder.join("_metadata");
    if has_footers {
        return write(&all, &describe(n_rows, row_groups));
    }
    warn_once(format!("{}: not written for {} files, more than {MOST_FOOTERS}", all.display(), files.len()));
    match std::fs::remove_file(&all) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::writing(&all, error)),
        _ => Ok(()),
    }
}

fn footer(path: &Path) -> Result<ParquetMetaData> {
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| damaged(path, error))
}

/// A row group that says in which file it is.
fn located(group: &RowGroupMetaData, name: &str) -> std::result::Result<RowGroupMetaData, ParquetError> {
    let columns = group.columns().iter().map(|column| column.clone().into_builder().set_file_path(name.to_owned()).build());
    group.clone().into_builder().set_column_metadata(columns.collect::<std::result::Result<_, _>>()?).build()
}

/// The dataset's metadata, plain and in the Arrow schema, in place of those of its first file.
fn key_values(first: &FileMetaData, metadata: &BTreeMap<String, String>) -> std::result::Result<Vec<KeyValue>, ParquetError> {
    let schema = parquet_to_arrow_schema(first.schema_descr(), first.key_value_metadata())?;
    let schema = schema.with_metadata(metadata.clone().into_iter().collect::<HashMap<_, _>>());
    let plain = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Ok(plain.chain([KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema))]).collect())
}

fn write(path: &Path, metadata: &ParquetMetaData) -> Result<()> {
    write_atomically(path, true, |file| {
        file.write_all(b"PAR1")?;
        ParquetMetaDataWriter::new(file, metadata).finish().map_err(std::io::Error::other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, ColumnSchema, Table, Values, write};

    #[test]
    fn footers_are_joined_and_other_columns_refused() {
        let folder = tempfile::tempdir().unwrap();
        let table = |name: &str, values| {
            let mut table = Table::new(vec![Column::scalar(ColumnSchema::new(name, "K", ""), Values::Float64(values))]).unwrap();
            table.metadata.insert("inputs".into(), "of this file alone".into());
            table
        };
        std::fs::create_dir(folder.path().join("x")).unwrap();
        write(&table("teff", vec![1.0, 2.0]), &folder.path().join("x/a.parquet"), false).unwrap();
        write(&table("teff", vec![3.0]), &folder.path().join("b.parquet"), false).unwrap();
        let names = ["x/a.parquet".to_owned(), "b.parquet".to_owned()];
        let metadata = BTreeMap::from([("program".to_owned(), "photosphere".to_owned())]);
        write_dataset_metadata(folder.path(), &names, &metadata).unwrap();

        let all = footer(&folder.path().join("_metadata")).unwrap();
        assert_eq!((all.file_metadata().num_rows(), all.num_row_groups()), (3, 2));
        assert_eq!(all.row_group(0).column(0).file_path(), Some("x/a.parquet"));
        let common = footer(&folder.path().join("_common_metadata")).unwrap();
        let file = common.file_metadata();
        assert_eq!((file.num_rows(), common.num_row_groups()), (0, 0));
        let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).unwrap();
        assert_eq!(schema.field(0).metadata()["unit"], "K");
        assert!(schema.metadata().contains_key("program") && !schema.metadata().contains_key("inputs"));

        write(&table("logg", vec![3.0]), &folder.path().join("b.parquet"), true).unwrap();
        let error = write_dataset_metadata(folder.path(), &names, &metadata).unwrap_err().to_string();
        assert!(error.contains("b.parquet: found other columns"), "{error}");
    }
}
