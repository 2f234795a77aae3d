//! Apache Parquet through Arrow: zstd, fixed-size lists for [`super::Shape::Fixed`], lists for
//! [`super::Shape::Variable`]. Unit, UCD and description are Arrow field metadata under the keys `unit`,
//! `ucd` and `description`; the table's metadata are the file's key-value metadata. Both are repeated under
//! `table_meta_yaml` in the Arrow schema, where astropy looks for them (and from where they are read, when
//! astropy has written the file).

mod arrays;
mod dataset;
mod description;
mod file;
mod grammar;
mod guard;
#[cfg(test)]
mod hostile;
mod read;
mod record_batch;
#[cfg(test)]
mod tests;
mod thrift;
mod write;

pub use dataset::write_dataset_metadata;
pub(super) use read::{chunks, row_count, schema};
pub(super) use write::ParquetSink;

const UNIT: &str = "unit";
const UCD: &str = "ucd";
const DESCRIPTION: &str = "description";
