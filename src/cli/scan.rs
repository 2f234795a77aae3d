//! A first look at the inputs, before hours of work: can every row be read, and is every star there once?

use super::interrupt;
use super::provenance::{Input, sha256_of_file};
use super::shard::Shard;
use crate::error::{Error, Result};
use crate::observations::columns;
use crate::table::read_column_chunks;
use std::collections::HashSet;
use std::path::PathBuf;

/// Rows read at once.
const ROWS: usize = 65_536;

/// Reads the identifiers of all inputs (16 bytes a star are held meanwhile). Returns the inputs and the number of stars that the
/// shard takes of them.
///
/// # Errors
/// When a file is damaged, or an identifier is null, no integer, or occurs twice.
pub fn scan(paths: &[PathBuf], shard: Option<Shard>) -> Result<(Vec<Input>, usize)> {
    let mut seen = HashSet::new();
    let mut n_selected = 0;
    let mut inputs = Vec::new();
    for path in paths {
        let sha256 = sha256_of_file(path)?;
        let mut n_rows = 0;
        for chunk in read_column_chunks(path, &[columns::ID], ROWS)? {
            interrupt::check(|| path.display().to_string(), "Nothing was written; run the command again.")?;
            let ids = chunk?.column(columns::ID)?.to_i64().map_err(|error| error.within(path.display()))?;
            for (row, &id) in ids.iter().enumerate() {
                if !seen.insert(id) {
                    return Err(Error::data(format!("{}, column '{}', row {}", path.display(), columns::ID, n_rows + row))
                        .found(format!("identifier {id}, which occurs more than once"))
                        .expected("every star once")
                        .remedy("Remove the repeated rows."));
                }
                n_selected += usize::from(shard.is_none_or(|shard| shard.contains(id)));
            }
            n_rows += ids.len();
        }
        inputs.push(Input { path: path.clone(), n_rows, sha256 });
    }
    Ok((inputs, n_selected))
}
