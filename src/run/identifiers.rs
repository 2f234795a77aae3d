//! The identifiers of the inputs: is every one an integer, and every star there once?

use super::interrupt;
use super::provenance::{Input, sha256_of_file};
use crate::error::{Error, Result};
use crate::observations::columns;
use crate::table::{Column, Table, read_column_chunks};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Rows read at once.
const ROWS: usize = 65_536;

/// The identifiers that have occurred (16 bytes each).
#[derive(Debug, Default)]
pub struct Identifiers {
    seen: HashSet<i64>,
}

impl Identifiers {
    /// Takes note of the stars of a chunk of the file at `path`, whose first row is row `first` of the file.
    ///
    /// # Errors
    /// When the chunk has no identifiers, or one is null, no integer, or has occurred before; row of the file
    /// included.
    pub fn add(&mut self, chunk: &Table, path: &Path, first: usize) -> Result<()> {
        let column = chunk.column(columns::ID).map_err(|error| error.within(path.display()))?;
        self.add_column(column, path, first).map(|_| ())
    }

    /// As [`Identifiers::add`], of a column of any name; returns the identifiers in it.
    ///
    /// # Errors
    /// As there.
    pub fn add_column(&mut self, column: &Column, path: &Path, first: usize) -> Result<Vec<i64>> {
        let place = |row: usize| format!("{}, column '{}', row {}", path.display(), column.schema.name, first + row);
        if let Some(row) = (0..column.n_rows()).find(|&row| !column.is_valid(row)) {
            return Err(Error::data(place(row))
                .found("null")
                .expected("an integer")
                .remedy("Remove the row, or give it an identifier."));
        }
        let ids = column.to_i64().map_err(|error| error.within(path.display()))?;
        match ids.iter().position(|&id| !self.seen.insert(id)) {
            None => Ok(ids),
            Some(row) => Err(Error::data(place(row))
                .found(format!("identifier {}, which occurs more than once", ids[row]))
                .expected("every star once")
                .remedy("Remove the repeated rows.")),
        }
    }
}

/// A first look at inputs that are needed whole, before long work: reads the identifiers of all of them.
///
/// # Errors
/// When a file is damaged, and as [`Identifiers::add`].
pub fn scan(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut identifiers = Identifiers::default();
    let mut inputs = Vec::new();
    for path in paths {
        // What is no table is found out before all of it is hashed.
        let chunks = read_column_chunks(path, &[columns::ID], ROWS)?;
        let sha256 = sha256_of_file(path)?;
        let mut n_rows = 0;
        for chunk in chunks {
            interrupt::check(|| path.display().to_string(), "Nothing was written; run the command again.")?;
            let chunk = chunk?;
            identifiers.add(&chunk, path, n_rows)?;
            n_rows += chunk.n_rows();
        }
        inputs.push(Input { path: path.clone(), n_rows: Some(n_rows), sha256 });
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ColumnSchema, Values};

    fn chunk(ids: &[i64], valid: Option<Vec<bool>>) -> Table {
        let column = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(ids.to_vec()));
        Table::new(vec![Column { valid, ..column }]).unwrap()
    }

    #[test]
    fn faults_name_file_column_and_row_of_the_file() {
        let mut identifiers = Identifiers::default();
        let (a, b) = (Path::new("a.csv"), Path::new("b.csv"));
        identifiers.add(&chunk(&[1, 2], None), a, 0).unwrap();
        let twice = identifiers.add(&chunk(&[3, 2], None), b, 40).unwrap_err().to_string();
        assert!(twice.contains("b.csv, column 'source_id', row 41: found identifier 2, which occurs more than once"), "{twice}");
        let null = identifiers.add(&chunk(&[5, 0], Some(vec![true, false])), b, 7).unwrap_err().to_string();
        assert!(null.contains("b.csv, column 'source_id', row 8: found null"), "{null}");
        let named = Column::scalar(ColumnSchema::new("gaia", "", ""), Values::Int64(vec![9, 1]));
        let twice = identifiers.add_column(&named, b, 50).unwrap_err().to_string();
        assert!(twice.contains("b.csv, column 'gaia', row 51: found identifier 1"), "{twice}");
        assert!(identifiers.add(&Table::default(), b, 0).unwrap_err().to_string().contains("b.csv"));
    }
}
