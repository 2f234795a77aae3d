//! One table with every kind of column through every writable format, and what goes wrong on the way.

use super::sample::sample_table;
use super::{Column, ColumnSchema, Table, Values, Writer, read, read_chunks, read_columns, read_schema, write};
use crate::error::ErrorKind;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::path::Path;

const NAMES: [&str; 6] = ["a.parquet", "a.fits", "a.ecsv", "a.parquet.gz", "a.fits.gz", "a.ecsv.gz"];

pub(super) fn assert_same(read: &Table, written: &Table, name: &str) {
    assert_eq!(read.n_rows(), written.n_rows(), "{name}");
    assert_eq!(read.metadata, written.metadata, "{name}");
    assert_eq!(read.columns().len(), written.columns().len(), "{name}");
    for (column, expected) in read.columns().iter().zip(written.columns()) {
        assert!(column.same_as(expected), "{name}: {column:?} is not {expected:?}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn whole_tables() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        write(&sample_table(), &path, false).unwrap();
        assert_same(&read(&path).unwrap(), &sample_table(), name);
        let schemas: Vec<ColumnSchema> = sample_table().columns().iter().map(|column| column.schema.clone()).collect();
        assert_eq!(read_schema(&path).unwrap(), schemas);
    }
    assert_eq!(names(folder.path()).len(), NAMES.len());
}

#[test]
fn in_chunks_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path, false).unwrap();
        // The third name is longer than those of the first chunk, which FITS must make room for.
        writer.write(&sample_table().slice(2..3)).unwrap();
        writer.write(&sample_table().slice(0..2)).unwrap();
        writer.write(&sample_table().slice(3..4)).unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();
        let expected = sample_table().select(&[2, 0, 1, 3]);
        assert_same(&read(&path).unwrap().select(&[0, 1, 2, 3]), &expected, name);
        let mut chunks = read_chunks(&path, 3).unwrap();
        let mut whole = chunks.next().unwrap().unwrap();
        assert_eq!(whole.n_rows(), 3);
        whole.append(chunks.next().unwrap().unwrap()).unwrap();
        assert!(chunks.next().is_none());
        assert_same(&whole, &expected, name);
    }
}

#[test]
fn metadata_that_come_last_stand_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let late = |n: usize| BTreeMap::from([("check".to_owned(), format!("{{\"n\": \"{}\"}}", "x".repeat(n)))]);
    let written = |path: &Path, n: usize| {
        let mut writer = Writer::create(path, true).unwrap().with_late_metadata();
        sample_table().slices(3).for_each(|chunk| writer.write(&chunk).unwrap());
        writer.finish_with(&late(n)).unwrap();
        read(path).unwrap()
    };
    for name in NAMES {
        for n in [0, 100, 1500, 3000, 6000] {
            let mut expected = sample_table();
            expected.metadata.extend(late(n));
            assert_same(&written(&folder.path().join(name), n), &expected, name);
        }
    }
    // Where pyarrow and astropy look.
    let file = std::fs::File::open(folder.path().join("a.parquet")).unwrap();
    let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
    assert_eq!(schema.metadata()["check"], late(6000)["check"]);
    assert!(schema.metadata()["table_meta_yaml"].contains("check"));
    // What a FITS header has no room for is left out, and said.
    assert_same(&written(&folder.path().join("b.fits"), 20_000), &sample_table(), "b.fits");
    assert!(crate::warning::said().iter().any(|text| text.contains("b.fits: the header has no room for 'check'")));
}

#[test]
fn plain_csv_keeps_values_and_integers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv.gz");
    let table = sample_table();
    write(&table, &path, false).unwrap();
    let read = read(&path).unwrap();
    assert_eq!(read.column("source_id").unwrap().to_i64().unwrap(), table.column("source_id").unwrap().to_i64().unwrap());
    assert_eq!(read.column("optional_id").unwrap().values, table.column("optional_id").unwrap().values);
    assert_eq!(read.column("optional_id").unwrap().valid, table.column("optional_id").unwrap().valid);
    assert_eq!(read.column("coefficients").unwrap().values, table.column("coefficients").unwrap().values);
    assert_eq!(read.column("name").unwrap().values, table.column("name").unwrap().values);
    assert_eq!(read.column("flag").unwrap().values, table.column("flag").unwrap().values);
}

#[test]
fn lists_of_text_of_varying_length() {
    let folder = tempfile::tempdir().unwrap();
    let values = Values::Text(vec!["a,b".into(), "\"c\"".into(), "d".into()]);
    let shape = super::Shape::Variable(vec![0, 2, 3]);
    let column = Column { schema: ColumnSchema::new("flags", "", ""), values, shape, valid: None };
    let table = Table::new(vec![column]).unwrap();
    for name in ["a.parquet", "a.ecsv"] {
        write(&table, &folder.path().join(name), false).unwrap();
        assert_same(&read(&folder.path().join(name)).unwrap(), &table, name);
    }
    let error = write(&table, &folder.path().join("a.fits"), false).unwrap_err().to_string();
    assert!(error.contains("column 'flags': found lists of text of varying length"), "{error}");
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn tables_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        write(&sample_table().slice(0..0), &path, false).unwrap();
        let table = read(&path).unwrap();
        assert_eq!((table.n_rows(), table.columns().len()), (0, sample_table().columns().len()), "{name}");
        assert_eq!(read_chunks(&path, 10).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn wanted_columns_in_the_order_wanted() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        write(&sample_table(), &path, false).unwrap();
        let table = read_columns(&path, &["coefficients", "source_id"]).unwrap();
        assert!(table.columns()[0].same_as(sample_table().column("coefficients").unwrap()), "{name}");
        assert!(table.columns()[1].same_as(sample_table().column("source_id").unwrap()), "{name}");
        let error = read_columns(&path, &["teff"]).unwrap_err().to_string();
        assert!(error.contains("column 'teff': found no such column (there are: source_id, parallax"), "{error}");
        // A wrongly typed column is the accessor's error.
        let error = table.column("coefficients").unwrap().to_f64().unwrap_err().to_string();
        assert!(error.contains("found 64-bit float list of varying length, expected one number per row"), "{error}");
    }
}

#[test]
fn truncated_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "a.fits", "a.parquet.gz", "a.fits.gz", "a.ecsv.gz"] {
        let whole = folder.path().join(name);
        write(&sample_table(), &whole, false).unwrap();
        let bytes = std::fs::read(&whole).unwrap();
        // FITS pads its data to a multiple of 2880 bytes: less than that must go for anything to be lost.
        for length in [0, 1, 10, bytes.len() / 4, bytes.len() / 2, bytes.len().saturating_sub(2900).max(20)] {
            let cut = folder.path().join(format!("cut-{name}"));
            std::fs::write(&cut, &bytes[..length]).unwrap();
            let error = read(&cut).map(|table| table.n_rows()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert!(error.to_string().contains(&format!("cut-{name}")), "{error}");
        }
    }
}

#[test]
fn wrong_content_under_a_known_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "a.fits", "a.xml"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "not what the name says\n".repeat(1000)).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Data);
    }
    assert_eq!(read(&folder.path().join("absent.csv")).unwrap_err().kind(), ErrorKind::Data);
}

#[test]
fn outputs_that_exist_or_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "a.fits", "a.ecsv", "a.csv", "a.fits.gz"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "mine").unwrap();
        let error = write(&sample_table(), &path, false).unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        write(&sample_table(), &path, true).unwrap();
        assert_eq!(read(&path).unwrap().n_rows(), 4);
        let error = write(&sample_table(), &folder.path().join("absent").join(name), false).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("no such folder")), (ErrorKind::Output, true), "{error}");
    }
    assert_eq!(names(folder.path()).len(), 5);
}

#[test]
fn abandoned_and_failed_writers_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path, false).unwrap();
        writer.write(&sample_table()).unwrap();
        drop(writer);
        let mut writer = Writer::create(&path, false).unwrap();
        writer.write(&sample_table()).unwrap();
        let mut other = sample_table();
        other.take("flag");
        let error = writer.write(&other).unwrap_err().to_string();
        assert!(error.contains("found count (32-bit integer), expected flag (boolean)"), "{error}");
        drop(writer);
        assert!(Writer::create(&path, false).unwrap().finish().is_err());
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn smallest_integers_are_refused_in_fits() {
    let folder = tempfile::tempdir().unwrap();
    let table = Table::new(vec![Column::scalar(ColumnSchema::new("n", "", ""), Values::Int32(vec![i32::MIN]))]).unwrap();
    let error = write(&table, &folder.path().join("a.fits"), false).unwrap_err().to_string();
    assert!(error.contains("found the smallest integer"), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
