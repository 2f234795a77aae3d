//! HDF5 files in which every dataset of the root group is a column: one number, or one row of numbers, per row of the table (as in
//! the mirrors of Gaia's XP spectra; h5py's LZF and gzip). Read only.

use super::builder::is_float;
use super::format::is_gzip;
use super::read::{Chunks, assemble, positions, unsupported};
use super::{Column, ColumnSchema, Shape, Values, gzip};
use crate::error::{Error, Result};
use hdf5_pure::{DType, Dataset, File};
use std::collections::BTreeMap;
use std::path::Path;

/// Names of the columns; HDF5 has no common place for units and descriptions.
pub(super) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    Ok(columns(path)?.iter().map(|column| ColumnSchema::new(&column.name, "", "")).collect())
}

/// Tables of at most `rows` rows.
pub(super) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let available = columns(path)?;
    let all: Vec<String> = available.iter().map(|column| column.name.clone()).collect();
    let wanted = positions(path, &all, names)?;
    let mut available: Vec<Option<Stored>> = available.into_iter().map(Some).collect();
    let columns: Vec<Stored> = wanted.into_iter().filter_map(|position| available[position].take()).collect();
    let n_rows = columns.first().map_or(0, |column| column.n_rows);
    if let Some(other) = columns.iter().find(|column| column.n_rows != n_rows) {
        return Err(Error::data(format!("{}, column '{}'", path.display(), other.name))
            .found(format!("{} rows", other.n_rows))
            .expected(format!("{n_rows}, as in '{}'", columns[0].name)));
    }
    let path = path.to_owned();
    let mut failed = false;
    let tables = (0..n_rows.div_ceil(rows).max(1)).map(move |chunk| {
        let range = chunk * rows..((chunk + 1) * rows).min(n_rows);
        let columns = columns.iter().map(|column| column.read(&path, range.clone())).collect::<Result<_>>()?;
        assemble(&path, columns, range.len(), &BTreeMap::new())
    });
    Ok(Box::new(tables.map_while(move |table| {
        let ended = failed;
        failed = table.is_err();
        (!ended).then_some(table)
    })))
}

/// A dataset that is a column.
struct Stored {
    name: String,
    dataset: Dataset,
    n_rows: usize,
    /// Values per row; `None` for one number.
    length: Option<usize>,
}

/// The datasets with one or two dimensions, by name.
fn columns(path: &Path) -> Result<Vec<Stored>> {
    let file = if is_gzip(path)? { File::from_bytes(gzip::read_all(path)?) } else { File::open_streaming(path) };
    let file = file.map_err(|error| damaged(path, error))?;
    let mut names = file.root().datasets().map_err(|error| damaged(path, error))?;
    names.sort();
    let mut columns = Vec::new();
    for name in names {
        let dataset = file.dataset(&name).map_err(|error| damaged(path, error))?;
        let (n_rows, length) = match dataset.shape().map_err(|error| damaged(path, error))?[..] {
            [n_rows] => (n_rows as usize, None),
            [n_rows, length] => (n_rows as usize, Some(length as usize)),
            _ => continue,
        };
        columns.push(Stored { name, dataset, n_rows, length });
    }
    Ok(columns)
}

impl Stored {
    fn read(&self, path: &Path, rows: std::ops::Range<usize>) -> Result<Column> {
        let damaged = |error| damaged(path, error).within(format!("column '{}'", self.name));
        let (start, count) = (rows.start as u64, rows.len() as u64);
        let dataset = &self.dataset;
        let small = |values: std::result::Result<Vec<i32>, _>| values.map(Values::Int32);
        let values = match dataset.dtype().map_err(damaged)? {
            DType::F32 => dataset.read_f32_rows(start, count).map(Values::Float32),
            DType::F64 => dataset.read_f64_rows(start, count).map(Values::Float64),
            DType::I8 | DType::I16 | DType::I32 | DType::U8 | DType::U16 => small(dataset.read_i32_rows(start, count)),
            DType::I64 | DType::U32 => dataset.read_i64_rows(start, count).map(Values::Int64),
            DType::String => dataset.read_string_rows(start, count).map(Values::Text),
            other => return Err(unsupported(path, &self.name, format!("values of type {other:?}"))),
        };
        let values = values.map_err(damaged)?;
        let shape = self.length.map_or(Shape::Scalar, Shape::Fixed);
        let is_nullable = is_float(values.value_type());
        let column = Column { schema: ColumnSchema::new(&self.name, "", ""), values, shape, valid: None };
        Ok(if is_nullable { column.with_nan_as_null() } else { column })
    }
}

fn damaged(path: &Path, error: hdf5_pure::Error) -> Error {
    Error::reading(path, error).expected("a whole HDF5 file").remedy("If it is truncated, copy or download it again.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ValueType, read, read_chunks, read_columns};
    use std::path::PathBuf;

    /// Written by h5py 3.16.0: six rows in chunks of two and four, with LZF, gzip, shuffle and checksums; row 4 is NaN.
    fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/h5py_table.h5")
    }

    #[test]
    fn lzf_and_gzip_of_h5py() {
        let names = ["source_id", "bp_n_parameters", "bp_coefficients", "bp_coefficient_errors"];
        let table = read_columns(&file(), &names).unwrap();
        assert_eq!(table.column("source_id").unwrap().to_i64().unwrap()[5], 5_853_498_713_190_525_701);
        assert_eq!(table.column("bp_n_parameters").unwrap().values, Values::Int32(vec![3; 6]));
        let coefficients = table.column("bp_coefficients").unwrap();
        assert_eq!(coefficients.valid, Some(vec![true, true, true, true, false, true]));
        assert_eq!(coefficients.to_matrix(3).unwrap()[[5, 2]], 17.0 / 8.0);
        let errors = table.column("bp_coefficient_errors").unwrap();
        assert_eq!((errors.values.value_type(), errors.to_matrix(3).unwrap()[[1, 0]]), (ValueType::Float32, 0.875));
        let sizes: Vec<usize> = super::chunks(&file(), Some(&names), 4).unwrap().map(|chunk| chunk.unwrap().n_rows()).collect();
        assert_eq!(sizes, [4, 2]);
    }

    #[test]
    fn other_types_and_damaged_files_are_named() {
        let error = read_chunks(&file(), 10).unwrap().next().unwrap().unwrap_err().to_string();
        assert!(error.contains("'flag'"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let bytes = std::fs::read(file()).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("a.h5"));
    }
}
