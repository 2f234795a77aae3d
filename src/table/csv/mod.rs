//! CSV, plain or with an ECSV header (astropy's Enhanced Character-Separated Values, which the Gaia archive's
//! bulk files are too).
//!
//! Empty cells and those of blanks, `null`, NaN and lists of nothing but `null` or NaN are null, in text
//! columns too the first three; an ECSV header may name others (`null_values`). Any other word among numbers
//! (`NA`, `-`, `\\N`) makes text of a column whose type is inferred, and an error that names its line where
//! numbers are asked for. Lists stand in one cell as `[1.0, 2.0]` or `(1.0, 2.0)`. Without a header that says
//! types they are inferred from all rows: integers stay 64-bit integers, with or without blanks. A column
//! without a name, as pandas writes for its index, is called `column_1` by its position; a name that stands
//! twice is an error. A byte-order mark of UTF-8, line ends of any kind and a first line `sep=;` are
//! understood.

mod blocks;
pub(super) mod cells;
mod chunks;
#[cfg(test)]
mod dialects;
pub(super) mod header;
pub(super) mod infer;
mod lines;
mod records;
mod write;
mod yaml;

pub(super) use chunks::{chunks, schema};
pub(super) use write::{CsvSink, Header};

/// Whether a cell holds nothing, or nothing but blanks.
fn is_null(cell: &str) -> bool {
    cell.bytes().all(|byte| matches!(byte, b' ' | b'\t')) || cell == "null"
}

/// What stands between the brackets of a list cell.
fn list_content(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    let content = cell.strip_prefix('[').and_then(|cell| cell.strip_suffix(']'));
    content.or_else(|| cell.strip_prefix('(').and_then(|cell| cell.strip_suffix(')')))
}
