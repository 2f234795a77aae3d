//! HDF5 files in which every dataset of the root group is a column: one number, or one row of numbers, per
//! row of the table (as in the mirrors of Gaia's XP spectra; h5py's LZF and gzip). Read only.
//!
//! Datasets of other types, of more dimensions or of another number of rows are no columns; tables of
//! compound values, as astropy and pandas write them, are refused by that name.

use super::builder::is_float;
use super::format::is_gzip;
use super::read::{Chunks, assemble, positions, unsupported};
use super::{Column, ColumnSchema, Shape, Table, Unheld, UnreadColumn, Values, gzip, limits};
use crate::error::{Error, Result};
use hdf5_pure::{Chunk, DType, Dataset, File};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bytes of a value, at most.
const VALUE_BYTES: u64 = 8;
/// Names that messages list.
const SHOWN: usize = 10;

/// Names of the columns; HDF5 has no common place for units and descriptions.
pub(super) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    Ok(Contents::of(path)?.columns.into_iter().map(|column| column.schema).collect())
}

/// Tables of at most `rows` rows.
pub(super) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let Contents { columns: available, mut unread, n_bytes } = Contents::of(path)?;
    if let Some(other) = unread.iter().find(|other| names.is_some_and(|names| names.contains(&other.schema.name.as_str()))) {
        return Err(unsupported(path, &other.schema.name, &other.found));
    }
    let all: Vec<String> = available.iter().map(|column| column.schema.name.clone()).collect();
    let wanted = positions(path, &all, names)?;
    let mut available: Vec<Option<Stored>> = available.into_iter().map(Some).collect();
    let mut columns: Vec<Stored> = wanted.into_iter().filter_map(|position| available[position].take()).collect();
    let n_rows = match names {
        Some(_) => columns.first().map_or(0, |column| column.n_rows),
        None => usual_length(&columns),
    };
    if names.is_none() {
        let of_other_length = |column: &Stored| (column.n_rows != n_rows).then(|| column.unread(n_rows));
        unread.extend(columns.iter().filter_map(of_other_length));
        columns.retain(|column| column.n_rows == n_rows);
    }
    if let Some(other) = columns.iter().find(|column| column.n_rows != n_rows) {
        return Err(Error::data(format!("{}, column '{}'", path.display(), other.schema.name))
            .found(format!("{} rows", other.n_rows))
            .expected(format!("{n_rows}, as in '{}'", columns[0].schema.name))
            .remedy("Name only datasets that have a value for every star."));
    }
    check_size(path, &columns)?;
    columns.iter().try_for_each(|column| column.check_chunks(path, n_bytes))?;
    let path = path.to_owned();
    let mut failed = false;
    let tables = (0..n_rows.div_ceil(rows).max(1)).map(move |chunk| {
        let range = chunk * rows..((chunk + 1) * rows).min(n_rows);
        let columns = columns.iter().map(|column| column.read(&path, range.clone())).collect::<Result<_>>()?;
        let table = assemble(&path, columns, range.len(), &BTreeMap::new())?;
        Ok(Table { unread: unread.clone(), ..table })
    });
    Ok(Box::new(tables.map_while(move |table| {
        let ended = failed;
        failed = table.is_err();
        (!ended).then_some(table)
    })))
}

/// A dataset that is a column.
struct Stored {
    schema: ColumnSchema,
    dataset: Dataset,
    dtype: DType,
    n_rows: usize,
    /// Values per row; `None` for one number.
    length: Option<usize>,
}

/// The number of rows that most datasets have, the largest of them where there are several.
fn usual_length(columns: &[Stored]) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    columns.iter().for_each(|column| *counts.entry(column.n_rows).or_default() += 1);
    counts.into_iter().max_by_key(|&(n_rows, count)| (count, n_rows)).map_or(0, |(n_rows, _)| n_rows)
}

/// Refuses dimensions that were declared without data: chunks that are not in the file need no byte of it.
fn check_size(path: &Path, columns: &[Stored]) -> Result<()> {
    let values = |column: &Stored| (column.n_rows as u64).saturating_mul(column.length.unwrap_or(1) as u64);
    let n_values = columns.iter().fold(0_u64, |sum, column| sum.saturating_add(values(column)));
    let n_bytes = std::fs::metadata(path).map_err(|error| Error::reading(path, error))?.len();
    limits::check(path, n_bytes, n_values.saturating_mul(VALUE_BYTES))
}

/// The datasets of the root group.
struct Contents {
    /// By name.
    columns: Vec<Stored>,
    /// Those that are no columns.
    unread: Vec<UnreadColumn>,
    /// Of the file, uncompressed.
    n_bytes: u64,
}

impl Contents {
    fn of(path: &Path) -> Result<Self> {
        let bytes = is_gzip(path)?.then(|| gzip::read_all(path)).transpose()?;
        let n_bytes = match &bytes {
            Some(bytes) => bytes.len() as u64,
            None => std::fs::metadata(path).map_err(|error| Error::reading(path, error))?.len(),
        };
        let (mut columns, mut unread, mut compound) = (Vec::new(), Vec::new(), Vec::new());
        let groups = guarded(path, || {
            let file = match bytes {
                Some(bytes) => File::from_bytes(bytes)?,
                None => File::open_streaming(path)?,
            };
            let mut names = file.root().datasets()?;
            names.sort();
            for name in names {
                let dataset = file.dataset(&name)?;
                let (shape, dtype) = (dataset.shape()?, dataset.dtype()?);
                let schema = ColumnSchema::new(&name, "", "");
                let found = match (&shape[..], &dtype) {
                    (_, DType::Compound(fields)) => {
                        let fields: Vec<&str> = fields.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
                        compound.push(format!("'{name}' with {}", fields.join(", ")));
                        "a table of compound values".to_owned()
                    }
                    ([] | [_, _, _, ..], _) => format!("an array of {} dimensions", shape.len()),
                    (_, dtype) if !is_readable(dtype) => format!("values of type {dtype}"),
                    ([n_rows, lengths @ ..], _) => {
                        let (n_rows, length) = (size(*n_rows), lengths.first().copied().map(size));
                        columns.push(Stored { schema, dataset, dtype, n_rows, length });
                        continue;
                    }
                };
                unread.push(UnreadColumn { schema, found });
            }
            let mut groups = file.root().groups()?;
            groups.sort();
            Ok(groups)
        })?;
        if columns.is_empty() {
            let mut found = compound;
            found.extend(groups.iter().take(SHOWN).map(|group| format!("the group '{group}'")));
            found.extend(unread.iter().take(SHOWN).map(|other| format!("'{}', {}", other.schema.name, other.found)));
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join("; ") };
            return Err(Error::data(path.display().to_string())
                .found(format!("no columns but {found}"))
                .expected("a dataset of numbers for every column, in the root group")
                .remedy(
                    "Read it with the program that wrote it (astropy's Table.read, pandas' read_hdf), and write Parquet or FITS.",
                ));
        }
        Ok(Self { columns, unread, n_bytes })
    }
}

/// A size of the file as one of memory; one that is too large for it is refused by [`check_size`].
fn size(declared: u64) -> usize {
    usize::try_from(declared).unwrap_or(usize::MAX)
}

fn is_readable(dtype: &DType) -> bool {
    use DType::{F32, F64, I8, I16, I32, I64, String, U8, U16, U32, U64};
    matches!(dtype, F32 | F64 | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64 | String)
}

impl Stored {
    fn unread(&self, n_rows: usize) -> UnreadColumn {
        UnreadColumn { schema: self.schema.clone(), found: format!("{} rows, where most datasets have {n_rows}", self.n_rows) }
    }

    /// Refuses chunks that are larger than the file justifies or not wholly in it: the library takes memory
    /// and time for what is declared.
    fn check_chunks(&self, path: &Path, n_bytes: u64) -> Result<()> {
        let dataset = &self.dataset;
        let found = guarded(path, || match dataset.chunk_shape()? {
            Some(shape) => Ok(Some((shape, dataset.chunks()?))),
            None => Ok(None),
        });
        let within = |error: Error| error.within(format!("column '{}'", self.schema.name));
        let Some((shape, chunks)) = found.map_err(within)? else { return Ok(()) };
        let of_chunk = shape.iter().fold(VALUE_BYTES, |product, &length| product.saturating_mul(length.max(1)));
        let stored = chunks.iter().fold(0_u64, |sum, chunk| sum.saturating_add(chunk.storage_size));
        // Chunks may lie over one another, in the file and in the dataset.
        let expanded = of_chunk.saturating_mul(chunks.len().max(1) as u64).max(stored);
        limits::check(path, n_bytes, expanded).map_err(within)?;
        let is_outside = |chunk: &&Chunk| chunk.address.saturating_add(chunk.storage_size) > n_bytes;
        match chunks.iter().find(is_outside) {
            Some(chunk) => Err(Error::data(format!("{}, column '{}'", path.display(), self.schema.name))
                .found(format!("a chunk of {} bytes at byte {} of {n_bytes}", chunk.storage_size, chunk.address))
                .expected("chunks that are in the file")
                .remedy("If it is truncated, copy or download it again.")),
            None => Ok(()),
        }
    }

    fn read(&self, path: &Path, rows: std::ops::Range<usize>) -> Result<Column> {
        let (start, count) = (rows.start as u64, rows.len() as u64);
        let dataset = &self.dataset;
        let within = |error: Error| error.within(format!("column '{}'", self.schema.name));
        let read = || match self.dtype {
            DType::F32 => dataset.read_f32_rows(start, count).map(Values::Float32),
            DType::F64 => dataset.read_f64_rows(start, count).map(Values::Float64),
            DType::I64 | DType::U32 => dataset.read_i64_rows(start, count).map(Values::Int64),
            DType::String => dataset.read_string_rows(start, count).map(Values::Text),
            _ => dataset.read_i32_rows(start, count).map(Values::Int32),
        };
        let mut large: Vec<(usize, u64)> = Vec::new();
        let values = match self.dtype {
            DType::U64 => {
                let unsigned = guarded(path, || dataset.read_u64_rows(start, count)).map_err(within)?;
                let is_large = |&(_, value): &(usize, u64)| i64::try_from(value).is_err();
                large.extend(unsigned.iter().copied().enumerate().filter(is_large));
                Values::Int64(unsigned.into_iter().map(|value| i64::try_from(value).unwrap_or(0)).collect())
            }
            _ => guarded(path, read).map_err(within)?,
        };
        let expected = rows.len().saturating_mul(self.length.unwrap_or(1));
        if values.len() != expected {
            return Err(Error::data(format!("{}, column '{}'", path.display(), self.schema.name))
                .found(format!("{} values", values.len()))
                .expected(format!("{expected}, as its dimensions say"))
                .remedy("Copy or download the file again."));
        }
        let shape = self.length.map_or(Shape::Scalar, Shape::Fixed);
        let is_nullable = is_float(values.value_type());
        let column = Column { schema: self.schema.clone(), values, shape, valid: None };
        Ok(match self.length {
            // A list without values has no rows but those that are marked.
            Some(0) => column.with_valid(vec![true; rows.len()]),
            _ if is_nullable => column.with_nan_as_null(),
            _ => match large.first() {
                Some(&(first, value)) => {
                    let length = self.length.unwrap_or(1).max(1);
                    let mut valid = vec![true; rows.len()];
                    large.iter().for_each(|&(position, _)| valid[position / length] = false);
                    let place = format!("{}, row {}", path.display(), rows.start + first / length);
                    column.with_valid(valid).with_unheld(Unheld::too_large(place, value.to_string()))
                }
                None => column,
            },
        })
    }
}

/// What the library gives; its errors, and panics that damaged files make it fall into, are errors of the
/// file.
fn guarded<T>(path: &Path, read: impl FnOnce() -> std::result::Result<T, hdf5_pure::Error>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| {
            Error::reading(path, error).expected("a whole HDF5 file").remedy("If it is truncated, copy or download it again.")
        }),
        Err(_) => Err(Error::data(path.display().to_string())
            .found("content that the HDF5 library cannot cope with")
            .expected("a whole HDF5 file")
            .remedy("Copy or download it again, or write Parquet or FITS with the program that wrote it.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ValueType, read, read_chunks, read_columns};
    use std::path::PathBuf;

    /// Written by h5py 3.16.0: six rows in chunks of two and four, with LZF, gzip, shuffle and checksums; row
    /// 4 is NaN.
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
    fn datasets_that_are_no_columns_are_in_nobodys_way() {
        let chunk = read_chunks(&file(), 10).unwrap().next().unwrap().unwrap();
        assert!(chunk.column("flag").unwrap_err().to_string().contains("column 'flag': found values of type"));
        assert_eq!(chunk.n_rows(), 6);
        let error = read_columns(&file(), &["flag"]).unwrap_err().to_string();
        assert!(error.contains("h5py_table.h5, column 'flag': found values of type"), "{error}");
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let bytes = std::fs::read(file()).unwrap();
        for length in [0, 10, bytes.len() / 3, bytes.len() - 100] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains("a.h5"), "{length} bytes");
        }
    }

    fn written(build: impl FnOnce(&mut hdf5_pure::FileBuilder)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let mut builder = hdf5_pure::FileBuilder::new();
        build(&mut builder);
        builder.write(&path).unwrap();
        (folder, path)
    }

    #[test]
    fn lengths_and_unsigned_integers() {
        let (_folder, path) = written(|file| {
            file.create_dataset("id").with_u64_data(&[1, 2, 1 << 62]);
            file.create_dataset("x").with_f64_data(&[1.0, 2.0, 3.0]);
            file.create_dataset("wavelength").with_f64_data(&[400.0, 500.0]);
        });
        let table = read(&path).unwrap();
        assert_eq!(table.column("id").unwrap().to_i64().unwrap(), [1, 2, 1 << 62]);
        let error = table.column("wavelength").unwrap_err().to_string();
        assert!(error.contains("found 2 rows, where most datasets have 3"), "{error}");
        assert_eq!(read_columns(&path, &["wavelength"]).unwrap().n_rows(), 2);
        assert!(read_columns(&path, &["x", "wavelength"]).unwrap_err().to_string().contains("found 2 rows, expected 3"));
        let (_folder, path) = written(|file| {
            file.create_dataset("id").with_u64_data(&[u64::MAX]);
        });
        let error = read(&path).unwrap().column("id").unwrap_err().to_string();
        assert!(error.contains("row 0, column 'id': found 18446744073709551615, expected at most"), "{error}");
    }

    #[test]
    fn tables_of_compound_values_are_refused_by_that_name() {
        let (_folder, path) = written(|file| {
            file.create_dataset("t").with_complex64_data(&[(1.0, 2.0)]);
        });
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("a.h5: found no columns but 't' with r"), "{error}");
        assert!(read_columns(&path, &["t"]).unwrap_err().to_string().contains("no columns but 't'"));
    }

    #[test]
    fn dimensions_without_data_are_refused() {
        let mut columns = Contents::of(&file()).unwrap().columns;
        assert!(check_size(&file(), &columns).is_ok());
        columns[0].n_rows = 1 << 40;
        assert!(check_size(&file(), &columns).unwrap_err().to_string().contains("--max-expansion"));
        columns[0].length = Some(usize::MAX);
        assert!(check_size(&file(), &columns).is_err());
    }

    /// What the fuzzer found: gigabytes for a chunk that was declared, and an hour over one that is not
    /// there.
    #[test]
    fn chunks_beyond_reason_or_the_file_are_refused() {
        let whole = std::fs::read(file()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let refusal = |pattern: &[u8], put: &[u8]| {
            let place = whole.windows(pattern.len()).position(|bytes| bytes == pattern).unwrap();
            let mut bytes = whole.clone();
            bytes[place..place + put.len()].copy_from_slice(put);
            std::fs::write(&path, &bytes).unwrap();
            read_columns(&path, &["source_id"]).unwrap_err().to_string()
        };
        // Layout of chunks of four values of eight bytes, whose tree is at 1400.
        let layout = [&[3, 2, 2][..], &1400_u64.to_le_bytes(), &4_u32.to_le_bytes(), &8_u32.to_le_bytes()].concat();
        let long = [&layout[..11], &u32::MAX.to_le_bytes()].concat();
        let error = refusal(&layout, &long);
        assert!(error.contains("column 'source_id'") && error.contains("--max-expansion"), "{error}");
        // The first key of the tree: bytes of the chunk, filters passed over.
        let key = |bytes: u32| [&b"TREE\x01\x00\x02\x00"[..], &[255; 16], &bytes.to_le_bytes(), &2_u32.to_le_bytes()].concat();
        let error = refusal(&key(32), &key(20_000));
        assert!(error.contains("found a chunk of 20000 bytes at byte") && error.contains("of 14408"), "{error}");
        let error = refusal(&key(32), &key(0x7fff_ffff));
        assert!(error.contains("--max-expansion") && error.contains("14408 bytes that become 2147483"), "{error}");
    }
}
