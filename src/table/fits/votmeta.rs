//! TOPCAT's and STILTS's format `fits-plus`: the primary HDU holds a VOTable without rows that describes the
//! binary tables behind it, with the metadata for which their headers have no place.

use super::hdu::Hdu;
use super::header::Header;
use super::source::Source;
use crate::error::{Error, Result};
use crate::table::{ColumnSchema, votable};
use crate::warning::warn_once;
use std::collections::BTreeMap;

/// What the primary HDU says of a table.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub columns: Vec<ColumnSchema>,
    pub metadata: BTreeMap<String, String>,
}

impl Described {
    /// The description of a table in the primary HDU of its file; nothing where that holds none. One that
    /// cannot be read is a warning: the table is whole without it.
    ///
    /// # Errors
    /// When the file is one of TOPCAT's with a column in each cell (`colfits`), or its first header is
    /// damaged.
    pub fn read(source: &Source, hdu: &Hdu) -> Result<Self> {
        let primary = if hdu.number == 0 { None } else { Header::read(source, 0, 0)? };
        let Some(primary) = primary.filter(|primary| primary.is_true("VOTMETA")) else { return Ok(Self::default()) };
        if primary.is_true("COLFITS") {
            return Err(Error::data(source.path.display().to_string())
                .found("a table that is stored column by column in one row (TOPCAT's and STILTS's format colfits)")
                .expected("a row for every star")
                .remedy("Write it as `fits-plus`, or as a VOTable."));
        }
        Ok(Self::parse(source, &primary, hdu).unwrap_or_else(|error| {
            warn_once(format!(
                "{}: TOPCAT's description of the table in the primary HDU (VOTMETA) cannot be read, and its metadata are lost: {error}",
                source.path.display()
            ));
            Self::default()
        }))
    }

    fn parse(source: &Source, primary: &Header, hdu: &Hdu) -> Result<Self> {
        let length = primary.required_count("NAXIS1")?;
        // The tables follow their description.
        let length = usize::try_from(length.min(hdu.start.saturating_sub(primary.end))).unwrap_or(0);
        let mut bytes = vec![0; length];
        source.read_at(primary.end, &mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (columns, metadata) = votable::described(&source.path, text, hdu.number)?;
        Ok(Self { columns, metadata })
    }
}
