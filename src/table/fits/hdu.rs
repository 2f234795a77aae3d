//! The list of a file's HDUs (header and data units): what each is, and where its data lie.

use super::header::{BLOCK, Header};
use super::source::Source;
use crate::error::{Error, Result};
use crate::warning::warn_once;

/// HDUs of a file that are listed.
const MOST: usize = 1 << 16;

/// What an HDU holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::table) enum Kind {
    Image,
    /// An image in tiles, stored as a binary table.
    CompressedImage,
    Table,
    /// A table in tiles, stored as a binary table of bytes.
    CompressedTable,
    AsciiTable,
    /// Anything else, or no data at all.
    Other,
}

/// One header and data unit.
#[derive(Debug, Clone)]
pub(super) struct Hdu {
    /// Number in the file, from 0.
    pub number: usize,
    /// EXTNAME; may be empty.
    pub name: String,
    pub kind: Kind,
    /// Rows of a table.
    pub n_rows: u64,
    /// Columns of a table.
    pub n_columns: u64,
    /// First byte of the header.
    pub start: u64,
    /// First byte of the data.
    pub data: u64,
    /// Bytes of the data without padding, as the header says.
    pub length: u64,
}

impl Hdu {
    /// How a user names it.
    pub fn label(&self) -> String {
        if self.name.is_empty() { self.number.to_string() } else { self.name.clone() }
    }

    /// Name, number and size, for warnings and errors.
    pub fn describe(&self) -> String {
        let name = if self.name.is_empty() { format!("HDU {}", self.number) } else { self.name.clone() };
        match self.kind {
            Kind::Table => format!("{name} ({} rows, {} columns)", self.n_rows, self.n_columns),
            kind => format!("{name} ({})", kind.words()),
        }
    }
}

impl Kind {
    /// What it is called in messages.
    pub fn words(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::CompressedImage => "a tile-compressed image",
            Self::Table => "a binary table",
            Self::CompressedTable => "a tile-compressed table",
            Self::AsciiTable => "an ASCII table",
            Self::Other => "no table",
        }
    }
}

/// The HDUs of a file as far as they can be told, and the error that ends the list early.
pub(super) struct Listing {
    pub hdus: Vec<Hdu>,
    pub ended_by: Option<Error>,
}

/// Lists a file's HDUs by their headers alone.
///
/// # Errors
/// When the file does not begin as FITS does.
pub(super) fn list(source: &Source) -> Result<Listing> {
    let mut hdus = Vec::new();
    let mut start = 0;
    let mut ended_by = None;
    while start < source.length() {
        match unit(source, start, hdus.len()) {
            Ok(Some(hdu)) => {
                let end = hdu.data.saturating_add(hdu.length);
                if end > source.length() {
                    ended_by = Some(source.truncated(end).within(format!("HDU {}", hdu.number)));
                }
                start = end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
                if end <= source.length() && source.length() < start && hdu.length > 0 {
                    warn_once(format!(
                        "{}: its last block is {} bytes short of a multiple of 2880: the padding is missing, the data are whole",
                        source.path.display(),
                        start - source.length()
                    ));
                }
                hdus.push(hdu);
            }
            Ok(None) => break,
            Err(error) if hdus.is_empty() => return Err(error),
            Err(error) => {
                ended_by = Some(error);
                break;
            }
        }
        if hdus.len() == MOST {
            ended_by = Some(
                Error::data(source.path.display().to_string())
                    .found(format!("more than {MOST} HDUs"))
                    .expected("fewer")
                    .remedy("Write the table that is needed to a file of its own."),
            );
            break;
        }
    }
    if hdus.is_empty() {
        return Err(Error::data(source.path.display().to_string())
            .found("a file that does not begin with 'SIMPLE  ='")
            .expected("a FITS file with a binary table")
            .remedy("Check the name of the file, or copy or download it again."));
    }
    Ok(Listing { hdus, ended_by })
}

fn unit(source: &Source, start: u64, number: usize) -> Result<Option<Hdu>> {
    let Some(header) = Header::read(source, start, number)? else { return Ok(None) };
    let kind = match header.value("XTENSION") {
        _ if number == 0 => Kind::Image,
        Some("BINTABLE" | "A3DTABLE") if header.is_true("ZIMAGE") => Kind::CompressedImage,
        Some("BINTABLE" | "A3DTABLE") if header.is_true("ZTABLE") => Kind::CompressedTable,
        Some("BINTABLE" | "A3DTABLE") => Kind::Table,
        Some("TABLE") => Kind::AsciiTable,
        Some("IMAGE" | "IUEIMAGE") => Kind::Image,
        _ => Kind::Other,
    };
    let is_table = matches!(kind, Kind::Table | Kind::CompressedTable | Kind::AsciiTable);
    Ok(Some(Hdu {
        number,
        name: header.value("EXTNAME").unwrap_or_default().trim().to_owned(),
        kind,
        n_rows: if is_table { header.required_count("NAXIS2")? } else { 0 },
        n_columns: if is_table { header.required_count("TFIELDS")? } else { 0 },
        start,
        data: header.end,
        length: data_length(&header)?,
    }))
}

/// Bytes of the data: |BITPIX|/8 · GCOUNT · (PCOUNT + product of the axes), FITS 4.0, eq. 2.
fn data_length(header: &Header) -> Result<u64> {
    let n_axes = header.required_count("NAXIS")?;
    if n_axes == 0 {
        return Ok(0);
    }
    if n_axes > 999 {
        return Err(header.wrong("NAXIS", &n_axes.to_string(), "at most 999"));
    }
    let bits = header.value("BITPIX").and_then(|value| value.parse::<i64>().ok()).map(i64::unsigned_abs);
    let bits = bits.filter(|bits| [8, 16, 32, 64].contains(bits));
    let bits =
        bits.ok_or_else(|| header.wrong("BITPIX", header.value("BITPIX").unwrap_or("nothing"), "8, 16, 32, 64, -32 or -64"))?;
    let axes = (1..=n_axes).map(|axis| header.required_count(&format!("NAXIS{axis}"))).collect::<Result<Vec<u64>>>()?;
    // Random groups have no first axis.
    let axes = if axes[0] == 0 && header.is_true("GROUPS") { &axes[1..] } else { &axes[..] };
    let (parameters, groups) = (header.count("PCOUNT")?.unwrap_or(0), header.count("GCOUNT")?.unwrap_or(1));
    let product = axes.iter().try_fold(1_u64, |product, &axis| product.checked_mul(axis));
    let elements = product.and_then(|product| product.checked_add(parameters)).and_then(|sum| sum.checked_mul(groups));
    elements
        .and_then(|elements| elements.checked_mul(bits / 8))
        .ok_or_else(|| header.wrong("NAXISn", "axes whose product exceeds 64 bits", "what a file can hold"))
}
