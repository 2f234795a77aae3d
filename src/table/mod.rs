//! Tables: columns with name, unit, UCD, description, shape and nulls, and the files they live in
//! (Parquet, FITS, CSV and ECSV, VOTable). Knows nothing of instruments.
//!
//! | format | extensions | nulls | unit, UCD, description | metadata |
//! |---|---|---|---|---|
//! | Parquet | `parquet`, `pq`, `parq` | null | Arrow field metadata `unit`, `ucd`, `description` | key-value metadata |
//! | FITS binary table | `fits`, `fit`, `fts` | NaN, TNULL, empty text, empty list | TUNIT, TUCD, TCOMM | header cards |
//! | ECSV | `ecsv`, `csv` with an ECSV header | empty, blanks, `null`, NaN, `null_values` of the header | header | header |
//! | CSV | `csv` | empty, blanks, `null`, NaN | none | none |
//! | VOTable (read only) | `xml`, `vot`, `votable` | empty, NaN, VALUES null, BINARY2 flags | FIELD | PARAM, INFO |
//! | JSON (read only) | `json`, `jsonl`, `ndjson` | `null`, NaN, absent keys | TAP's `metadata` | none |
//! | Bundle: a table for every source (read only) | `zip` | as its members | as its first member | as its first member |
//! | HDF5 (read only, feature `hdf5`) | `h5`, `hdf5` | NaN | none | none |
//!
//! Each also with `.gz`. [`read()`], [`read_columns`] and [`read_chunks`] read them, [`write()`] and
//! [`Writer`] write them.

mod alike;
mod atomic;
mod builder;
mod bundle;
mod column;
mod column_type;
mod csv;
mod directory;
mod fits;
mod format;
mod gzip;
#[cfg(feature = "hdf5")]
mod hdf5;
mod json;
mod limits;
mod lists;
mod location;
mod mask;
#[cfg(test)]
mod mutations;
mod parquet;
mod read;
#[cfg(test)]
mod real_files;
#[cfg(test)]
mod round_trip;
mod rows;
#[cfg(test)]
mod sample;
mod votable;
mod write;

pub use atomic::{AtomicFile, check_target, remove_leftovers, write_atomically};
pub use column::{Column, ColumnSchema, OddCell, Shape, Unheld, Values};
pub use column_type::{ColumnType, Layout, ValueType};
pub use directory::{FolderKind, check_target_directory, write_directory_atomically, write_member};
pub use fits::{FitsFile, FitsHeader, HduKind, ImageRows};
pub use format::Format;
pub use limits::{DEFAULT_EXPANSION, set_max_expansion};
pub use location::{Location, file_of};
pub use parquet::write_dataset_metadata;
pub use read::{Chunks, read, read_chunks, read_column_chunks, read_columns, read_schema, row_count};
pub use write::{Writer, write};

use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashSet};

/// Columns of equal length, with file-level metadata (provenance, wavelengths …) as text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    n_rows: usize,
    /// Columns of the file that a table cannot hold (times, bits, complex numbers …): they are in nobody's
    /// way, and named by whom asks.
    pub unread: Vec<UnreadColumn>,
    /// Metadata of the whole table.
    pub metadata: BTreeMap<String, String>,
}

/// The error for a column `name` that is not among `names`, at a place.
fn absent(place: String, name: &str, names: &[&str]) -> Error {
    let error = Error::data(place).expected("that column");
    match names.iter().find(|other| other.eq_ignore_ascii_case(name)) {
        Some(other) => error
            .found(format!("no such column, but '{other}'"))
            .remedy(format!("Capitals and small letters are told apart: rename the column to '{name}' in the file.")),
        None => error
            .found(format!("no such column (there are: {})", names.join(", ")))
            .remedy("Rename the column in the file, or name the right one."),
    }
}

/// The item of that name, or else the only one whose name differs in capitals and small letters alone: of
/// several such, none is meant more than the others.
pub fn in_any_case<T>(items: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &str, wanted: &str) -> Option<T> {
    let (mut alike, mut is_unique) = (None, true);
    for item in items {
        if name(&item) == wanted {
            return Some(item);
        }
        if name(&item).eq_ignore_ascii_case(wanted) {
            is_unique = alike.is_none();
            alike = Some(item);
        }
    }
    alike.filter(|_| is_unique)
}

/// A column of a file whose type has no counterpart in [`Values`].
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadColumn {
    /// What the file says of it.
    pub schema: ColumnSchema,
    /// Its type, in words.
    pub found: String,
}

impl Table {
    /// An empty table with `n_rows` rows and no columns.
    pub fn with_rows(n_rows: usize) -> Self {
        Self { n_rows, ..Self::default() }
    }

    /// A table from columns.
    ///
    /// # Errors
    /// When the columns differ in length or two have the same name.
    pub fn new(columns: Vec<Column>) -> Result<Self> {
        let n_rows = columns.first().map_or(0, Column::n_rows);
        Self::of_rows(columns, n_rows)
    }

    /// A table of `n_rows` rows from columns, of which there may be very many.
    fn of_rows(columns: Vec<Column>, n_rows: usize) -> Result<Self> {
        let mut names = HashSet::with_capacity(columns.len());
        for column in &columns {
            Self::check_column(column, n_rows, !names.insert(column.schema.name.as_str()))?;
        }
        Ok(Self { columns, n_rows, ..Self::default() })
    }

    fn check_column(column: &Column, n_rows: usize, is_taken: bool) -> Result<()> {
        let place = || Error::data(format!("column '{}'", column.schema.name));
        if column.n_rows() != n_rows {
            return Err(place()
                .found(format!("{} rows", column.n_rows()))
                .expected(format!("{n_rows}, as in the other columns"))
                .remedy("Write the table again: all its columns must have a value, or a null, for every row."));
        }
        if is_taken {
            return Err(place()
                .found("the name twice")
                .expected("distinct names")
                .remedy("Rename one of the two columns, or remove it."));
        }
        Ok(())
    }

    /// Adds a column.
    ///
    /// # Errors
    /// When its length differs from the table's or its name is taken.
    pub fn push(&mut self, column: Column) -> Result<()> {
        Self::check_column(&column, self.n_rows, self.get(&column.schema.name).is_some())?;
        self.columns.push(column);
        Ok(())
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// All columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.schema.name == name)
    }

    /// The column of that name.
    ///
    /// # Errors
    /// Names the columns that there are when `name` is not among them; says what of the column no table can
    /// hold.
    pub fn column(&self, name: &str) -> Result<&Column> {
        if let Some(column) = self.get(name) {
            return column.require_held().map(|()| column);
        }
        if let Some(unread) = self.unread.iter().find(|unread| unread.schema.name == name) {
            return Err(read::unreadable(format!("column '{name}'"), &unread.found));
        }
        let names: Vec<&str> = self.columns.iter().map(|column| column.schema.name.as_str()).collect();
        Err(absent(format!("column '{name}'"), name, &names))
    }

    /// The column of that name, or else the only one whose name differs in case alone.
    pub fn get_in_any_case(&self, name: &str) -> Option<&Column> {
        in_any_case(&self.columns, |column| &column.schema.name, name)
    }

    /// As [`Self::get_in_any_case`], where the column has to be there.
    ///
    /// # Errors
    /// As [`Self::column`].
    pub fn column_in_any_case(&self, name: &str) -> Result<&Column> {
        self.get_in_any_case(name).map_or_else(|| self.column(name), |column| column.require_held().map(|()| column))
    }

    /// The column of that name, or none where the table has nothing like it: what no program can read, and a
    /// name in other capitals, is not passed over as if it were absent.
    ///
    /// # Errors
    /// As [`Self::column`], for such a column.
    pub fn column_if_any(&self, name: &str) -> Result<Option<&Column>> {
        let unread = self.unread.iter().map(|unread| &unread.schema);
        let mut schemas = self.columns.iter().map(|column| &column.schema).chain(unread);
        match schemas.any(|schema| schema.name.eq_ignore_ascii_case(name)) {
            true => self.column(name).map(Some),
            false => Ok(None),
        }
    }

    /// The metadata of that name, in whatever case: FITS headers know capitals alone, and programs that copy
    /// them to other formats keep these.
    pub fn metadata_of(&self, key: &str) -> Option<&String> {
        in_any_case(&self.metadata, |(name, _)| name, key).map(|(_, text)| text)
    }

    /// Removes and returns the column of that name, if there is one.
    pub fn take(&mut self, name: &str) -> Option<Column> {
        let position = self.columns.iter().position(|column| column.schema.name == name)?;
        Some(self.columns.remove(position))
    }

    /// Puts a column in the place of the one of its name.
    ///
    /// # Errors
    /// When there is none of its name, or its length differs from the table's.
    pub fn replace(&mut self, column: Column) -> Result<()> {
        let name = &column.schema.name;
        self.column(name)?;
        if column.n_rows() != self.n_rows {
            return Err(Error::data(format!("column '{name}'"))
                .found(format!("{} rows", column.n_rows()))
                .expected(format!("{}", self.n_rows)));
        }
        if let Some(place) = self.columns.iter_mut().find(|other| other.schema.name == column.schema.name) {
            *place = column;
        }
        Ok(())
    }

    /// The table with only the given rows, in the given order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            columns: self.columns.iter().map(|column| column.select(rows)).collect(),
            n_rows: rows.len(),
            unread: self.unread.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_are_the_exact_one_or_the_only_one_alike() {
        let found = |names: &[&'static str], wanted: &str| in_any_case(names.iter().copied(), |name| *name, wanted);
        assert_eq!(found(&["FLUX", "flux", "Flux"], "flux"), Some("flux"));
        assert_eq!(found(&["ivar", "FLUX"], "flux"), Some("FLUX"));
        assert_eq!(
            (found(&["FLUX", "Flux"], "flux"), found(&["FLUX", "Flux", "fLUX"], "flux"), found(&[], "flux")),
            (None, None, None)
        );
        let column = |name: &str| Column::scalar(ColumnSchema::new(name, "", ""), Values::Int32(vec![1]));
        let table = Table::new(vec![column("Flux"), column("FLUX"), column("IVAR")]).unwrap();
        assert_eq!(table.column_in_any_case("ivar").unwrap().schema.name, "IVAR");
        assert!(table.column_in_any_case("flux").unwrap_err().to_string().contains("but 'Flux'"));
    }
}
