//! Reading tables of any format: whole, by column, or in chunks of rows.

use super::format::{Format, is_gzip};
use super::{Column, ColumnSchema, Location, Table, Unheld, absent, bundle, csv, fits, json, mask, parquet, votable};
use crate::error::{Error, Result};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Tables with the same columns that follow one another in a file.
pub type Chunks = Box<dyn Iterator<Item = Result<Table>> + Send>;

/// Rows read at once where the whole table is wanted.
const BLOCK: usize = 65_536;

/// Reads a table. The format follows from the extension, or else from the content; gzip is seen through. A
/// path may choose a table of the file (see [`Location`]). Columns of types that [`super::Values`] cannot
/// hold are left out and named in [`Table::unread`].
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read(path: &Path) -> Result<Table> {
    whole(chunks(path, None, BLOCK)?)
}

/// Reads only the named columns, in the order given.
///
/// # Errors
/// As [`read`]; and when a name is absent or given twice, or its column is of a type that [`super::Values`]
/// cannot hold.
pub fn read_columns(path: &Path, names: &[&str]) -> Result<Table> {
    whole(chunks(path, Some(names), BLOCK)?)
}

/// Reads a table in chunks of at most `rows` rows, and at least one chunk (perhaps without rows). Memory is
/// bounded by the chunk for Parquet (plus one row group's pages), FITS, CSV and VOTables; compressed FITS and
/// Parquet files, JSON and zip archives are held whole.
///
/// # Errors
/// As [`read`], at once or from the iterator, which ends after an error.
pub fn read_chunks(path: &Path, rows: usize) -> Result<Chunks> {
    chunks(path, None, rows)
}

/// As [`read_chunks`], with only the named columns, in the order given.
///
/// # Errors
/// As [`read_columns`] and [`read_chunks`].
pub fn read_column_chunks(path: &Path, names: &[&str], rows: usize) -> Result<Chunks> {
    chunks(path, Some(names), rows)
}

/// The descriptions of all columns, without reading their values where the format allows it.
///
/// # Errors
/// When the file cannot be read or its header is damaged.
pub fn read_schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    let location = Location::parse(path);
    let path = location.file.as_path();
    match format_of(&location)? {
        Format::Parquet => parquet::schema(path),
        Format::Fits => fits::schema(&location),
        Format::Csv | Format::Ecsv => csv::schema(path),
        Format::VoTable => votable::schema(&location),
        Format::Json => Ok(schemas(&json::read(path, None)?)),
        Format::Bundle => bundle::schema(&location),
        #[cfg(feature = "hdf5")]
        Format::Hdf5 => super::hdf5::schema(path),
        #[cfg(not(feature = "hdf5"))]
        Format::Hdf5 => Err(without_hdf5(path)),
    }
}

/// Number of rows of a table whose file says it beforehand (Parquet and FITS that are not compressed as a
/// whole); `None` where the rows would have to be read.
///
/// # Errors
/// When the file cannot be read or its header is damaged.
pub fn row_count(path: &Path) -> Result<Option<usize>> {
    let location = Location::parse(path);
    let path = location.file.as_path();
    match format_of(&location)? {
        Format::Parquet if !is_gzip(path)? => parquet::row_count(path).map(Some),
        Format::Fits if !is_gzip(path)? => fits::row_count(&location).map(Some),
        _ => Ok(None),
    }
}

/// The format of a file, in which a table may be chosen only where there can be several.
fn format_of(location: &Location) -> Result<Format> {
    let format = Format::of_file(&location.file)?;
    match format {
        Format::Fits | Format::VoTable | Format::Bundle => {}
        Format::Parquet => location.require_only_table("Parquet")?,
        Format::Csv | Format::Ecsv => location.require_only_table("CSV")?,
        Format::Hdf5 => location.require_only_table("HDF5")?,
        Format::Json => location.require_only_table("JSON")?,
    }
    Ok(format)
}

fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let rows = rows.max(1);
    let location = Location::parse(path);
    let path = location.file.as_path();
    match format_of(&location)? {
        Format::Parquet => parquet::chunks(path, names, rows),
        Format::Fits => fits::chunks(&location, names, rows),
        Format::Csv | Format::Ecsv => csv::chunks(path, names, rows),
        Format::VoTable => votable::chunks(&location, names, rows),
        Format::Json => Ok(sliced(json::read(path, names)?, rows)),
        Format::Bundle => Ok(sliced(bundle::read(&location, names)?, rows)),
        #[cfg(feature = "hdf5")]
        Format::Hdf5 => super::hdf5::chunks(path, names, rows),
        #[cfg(not(feature = "hdf5"))]
        Format::Hdf5 => Err(without_hdf5(path)),
    }
}

/// The chunks of a table that is held whole; at least one.
fn sliced(table: Table, rows: usize) -> Chunks {
    let n_chunks = table.n_rows().div_ceil(rows).max(1);
    let slice = move |i: usize| Ok(table.slice(i * rows..((i + 1) * rows).min(table.n_rows())));
    Box::new((0..n_chunks).map(slice))
}

fn schemas(table: &Table) -> Vec<ColumnSchema> {
    table.columns().iter().map(|column| column.schema.clone()).collect()
}

#[cfg(not(feature = "hdf5"))]
fn without_hdf5(path: &Path) -> Error {
    Error::usage(path.display().to_string())
        .found("HDF5, which this build does not read")
        .expected("a build that does")
        .remedy("Build with `cargo build --release --features hdf5`, or convert the file to Parquet.")
}

fn whole(mut chunks: Chunks) -> Result<Table> {
    let mut table = chunks.next().unwrap_or_else(|| Ok(Table::default()))?;
    for chunk in chunks {
        table.append(chunk?)?;
    }
    Ok(table)
}

/// The positions of the wanted columns among the available ones, in the order wanted, and of their masks,
/// which [`assemble`] folds into them; all of them where none are named.
///
/// # Errors
/// When a wanted column is not there, or there are two of its name.
pub(super) fn positions(path: &Path, available: &[String], wanted: Option<&[&str]>) -> Result<Vec<usize>> {
    let Some(wanted) = wanted else { return Ok((0..available.len()).collect()) };
    let position = |name: &str| {
        let place = || Error::data(format!("{}, column '{name}'", path.display()));
        let mut found = available.iter().enumerate().filter(|(_, column)| *column == name).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(position), None) => Ok(position),
            (Some(_), Some(_)) => Err(place()
                .found("the name twice")
                .expected("distinct names")
                .remedy("Rename one of the two columns, or remove it.")),
            (None, _) => {
                let available: Vec<&str> = available.iter().map(String::as_str).collect();
                Err(absent(format!("{}, column '{name}'", path.display()), name, &available))
            }
        }
    };
    let mut positions = wanted.iter().map(|name| position(name)).collect::<Result<Vec<_>>>()?;
    positions.extend(mask::beside(available, &positions));
    Ok(positions)
}

/// A table of these columns, with the file named in errors and astropy's masks folded into the columns that
/// they cover.
pub(super) fn assemble(
    path: &Path,
    columns: Vec<Column>,
    n_rows: usize,
    metadata: &std::collections::BTreeMap<String, String>,
) -> Result<Table> {
    let table = Table::of_rows(distinct(path, columns), n_rows).map_err(|error| error.within(path.display()))?;
    Ok(mask::fold(path, Table { metadata: metadata.clone(), ..table }))
}

/// The columns with the first of those of one name, at fault: who needs it has to say which one is meant.
fn distinct(path: &Path, mut columns: Vec<Column>) -> Vec<Column> {
    let mut first_of: HashMap<&str, usize> = HashMap::with_capacity(columns.len());
    let mut repeated: Vec<(usize, usize)> = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        match first_of.entry(&column.schema.name) {
            Entry::Vacant(entry) => drop(entry.insert(i)),
            Entry::Occupied(entry) => repeated.push((*entry.get(), i)),
        }
    }
    for &(first, _) in &repeated {
        columns[first].schema.unheld.get_or_insert_with(|| {
            Box::new(Unheld {
                place: path.display().to_string(),
                found: "the name twice".to_owned(),
                expected: "distinct names".to_owned(),
                remedy: "Rename one of the two columns, or remove it.".to_owned(),
            })
        });
    }
    if !repeated.is_empty() {
        let again: HashSet<usize> = repeated.into_iter().map(|(_, again)| again).collect();
        let mut position = 0..;
        columns.retain(|_| position.next().is_none_or(|i| !again.contains(&i)));
    }
    columns
}

/// The error for a column that was asked for and whose type has no counterpart in [`super::Values`].
pub(super) fn unsupported(path: &Path, name: &str, found: impl std::fmt::Display) -> Error {
    unreadable(format!("{}, column '{name}'", path.display()), &found.to_string())
}

/// As [`unsupported`], at a place.
pub(super) fn unreadable(place: String, found: &str) -> Error {
    Error::data(place)
        .found(found)
        .expected("booleans, integers of up to 64 bits, floats or text, or lists of them")
        .remedy("Convert the column, or read only the columns that are needed.")
}
