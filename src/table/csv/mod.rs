//! CSV, plain or with an ECSV header (astropy's Enhanced Character-Separated Values, which the Gaia archive's bulk files are too).
//!
//! Empty cells and `null` are null, in text columns too. Lists stand in one cell as `[1.0, 2.0]` or `(1.0, 2.0)`. Without a header
//! that says types they are inferred from all rows: integers stay 64-bit integers, with or without blanks. A column without a name,
//! as pandas writes for its index, is called `column_1` by its position.

mod blocks;
mod cells;
mod chunks;
pub(super) mod header;
mod infer;
mod records;
mod write;

pub(super) use chunks::{chunks, schema};
pub(super) use write::{CsvSink, Header};

/// Whether a cell holds nothing.
fn is_null(cell: &str) -> bool {
    cell.is_empty() || cell == "null"
}

/// What stands between the brackets of a list cell.
fn list_content(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    let content = cell.strip_prefix('[').and_then(|cell| cell.strip_suffix(']'));
    content.or_else(|| cell.strip_prefix('(').and_then(|cell| cell.strip_suffix(')')))
}
