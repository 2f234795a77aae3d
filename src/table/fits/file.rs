//! A FITS file whose HDUs are read one by one: headers, images and tables of one file that belong together.

use super::hdu::{self, Hdu, Kind};
use super::header::Header;
use super::image::ImageRows;
use super::layout;
use super::read;
use super::source::Source;
use crate::error::{Error, Result};
use crate::table::read::Chunks;
use crate::table::{Table, in_any_case};
use std::path::Path;
use std::sync::Arc;

/// An open FITS file. A compressed one is decompressed once, and held whole.
#[derive(Debug, Clone)]
pub struct FitsFile {
    source: Arc<Source>,
    hdus: Vec<Hdu>,
}

/// What an HDU (header and data unit) holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HduKind {
    /// An image; compressed in tiles or not.
    Image,
    /// A binary table.
    Table,
    /// A header without data.
    Empty,
    /// ASCII tables, tables in tiles, extensions of other kinds.
    Other,
}

/// The header of an HDU.
#[derive(Debug)]
pub struct FitsHeader(Header);

impl FitsFile {
    /// Opens a file and lists its HDUs; gzip is seen through.
    ///
    /// # Errors
    /// When it cannot be opened or is no FITS file, and when it ends within one of its HDUs.
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_source(Source::open(path)?)
    }

    /// As [`Self::open`], from bytes in memory under the name of a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::from_source(Source::from_bytes(path, bytes))
    }

    fn from_source(source: Source) -> Result<Self> {
        let listing = hdu::list(&source)?;
        match listing.ended_by {
            Some(error) => Err(error.within(source.path.display())),
            None => Ok(Self { source: Arc::new(source), hdus: listing.hdus }),
        }
    }

    /// Number of HDUs, the primary one included.
    pub fn n_hdus(&self) -> usize {
        self.hdus.len()
    }

    /// EXTNAME of an HDU; may be empty.
    pub fn name(&self, number: usize) -> &str {
        self.hdus.get(number).map_or("", |hdu| &hdu.name)
    }

    /// What an HDU holds.
    pub fn kind(&self, number: usize) -> HduKind {
        match self.hdus.get(number) {
            Some(Hdu { kind: Kind::Image, length, .. }) if *length > 0 => HduKind::Image,
            Some(Hdu { kind: Kind::CompressedImage, .. }) => HduKind::Image,
            Some(Hdu { kind: Kind::Table, .. }) => HduKind::Table,
            Some(Hdu { kind: Kind::Image, .. }) | None => HduKind::Empty,
            Some(_) => HduKind::Other,
        }
    }

    /// Rows of a table; zero for what is none.
    pub fn n_rows(&self, number: usize) -> u64 {
        self.hdus.get(number).map_or(0, |hdu| hdu.n_rows)
    }

    /// The HDU of a name, whatever its case.
    ///
    /// # Errors
    /// When two have the name.
    pub fn find(&self, name: &str) -> Result<Option<usize>> {
        let mut same = self.hdus.iter().filter(|hdu| hdu.name.eq_ignore_ascii_case(name));
        match (same.next(), same.next()) {
            (Some(first), Some(second)) => Err(Error::data(self.place(name))
                .found(format!("the name twice (HDU {} and HDU {})", first.number, second.number))
                .expected("one HDU of the name")
                .remedy("Write the file again with distinct names (EXTNAME).")),
            (first, _) => Ok(first.map(|hdu| hdu.number)),
        }
    }

    /// As [`Self::find`], where the HDU has to be there.
    ///
    /// # Errors
    /// Names the HDUs that there are when it is absent.
    pub fn require(&self, name: &str) -> Result<usize> {
        self.find(name)?.ok_or_else(|| {
            let names: Vec<&str> = self.hdus.iter().map(|hdu| hdu.name.as_str()).filter(|name| !name.is_empty()).collect();
            Error::data(self.place(name))
                .found(format!("no such HDU (there are: {})", names.join(", ")))
                .expected("that HDU")
                .remedy("Get the whole file again; programs that copy parts of it leave out what they do not know.")
        })
    }

    /// The header of an HDU.
    ///
    /// # Errors
    /// When there is no such HDU or its header is damaged.
    pub fn header(&self, number: usize) -> Result<FitsHeader> {
        self.raw_header(number).map(FitsHeader)
    }

    fn raw_header(&self, number: usize) -> Result<Header> {
        let hdu = self.hdu(number)?;
        Header::read(&self.source, hdu.start, number)?.ok_or_else(|| self.source.truncated(hdu.data))
    }

    fn hdu(&self, number: usize) -> Result<&Hdu> {
        self.hdus.get(number).ok_or_else(|| {
            Error::data(self.source.path.display().to_string())
                .found(format!("{} HDUs", self.hdus.len()))
                .expected(format!("an HDU {number}"))
        })
    }

    /// Reads an image from its first row on.
    ///
    /// # Errors
    /// When the HDU is no image, its header contradicts itself or the size of the file, or its tiles are
    /// compressed in a way that is not read.
    pub fn image(&self, number: usize) -> Result<ImageRows> {
        ImageRows::new(Arc::clone(&self.source), self.hdu(number)?, self.raw_header(number)?)
    }

    /// The name of a table's column, as the table spells it, from that name in whatever case (see
    /// [`in_any_case`]).
    pub fn column_in_any_case(&self, number: usize, name: &str) -> Option<String> {
        in_any_case(self.columns(number), String::as_str, name)
    }

    /// Names of the columns of a table.
    pub fn columns(&self, number: usize) -> Vec<String> {
        self.hdus.get(number).map_or_else(Vec::new, |hdu| layout::names(&self.source, hdu))
    }

    /// The rows of a table, in chunks of at most `rows`, with only the named columns where names are given.
    ///
    /// # Errors
    /// As [`crate::table::read_chunks`].
    pub fn chunks(&self, number: usize, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
        read::chunks_of(&self.source, &self.hdus, self.hdu(number)?, names, rows)
    }

    /// All rows of a table.
    ///
    /// # Errors
    /// As [`crate::table::read_columns`].
    pub fn table(&self, number: usize, names: Option<&[&str]>) -> Result<Table> {
        let mut chunks = self.chunks(number, names, usize::MAX)?;
        chunks.next().unwrap_or_else(|| Ok(Table::default()))
    }

    /// The file with an HDU in brackets: for errors.
    pub fn place(&self, name: &str) -> String {
        format!("{}[{name}]", self.source.path.display())
    }
}

impl FitsHeader {
    /// The value of a keyword as text.
    pub fn text(&self, keyword: &str) -> Option<&str> {
        self.0.value(keyword).map(str::trim)
    }

    /// Whether the value of a keyword stands in quotes: a text, though it may spell a number.
    pub fn is_text(&self, keyword: &str) -> bool {
        self.0.entry(keyword).is_some_and(|entry| entry.is_text)
    }

    /// Whether a logical keyword is there, and its value. Texts `True` and `False` count too, as some
    /// programs write them.
    pub fn logical(&self, keyword: &str) -> Option<bool> {
        match self.text(keyword)? {
            "T" | "True" | "true" => Some(true),
            "F" | "False" | "false" => Some(false),
            _ => None,
        }
    }

    /// The value of a keyword that is a number, if it is there.
    ///
    /// # Errors
    /// When it is no number.
    pub fn number(&self, keyword: &str) -> Result<Option<f64>> {
        let Some(text) = self.text(keyword) else { return Ok(None) };
        match text.replace(['D', 'd'], "E").parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(self.0.wrong(keyword, &format!("'{text}'"), "a finite number")),
        }
    }

    /// The value of a keyword that is an integer, if it is there: never by way of a float.
    ///
    /// # Errors
    /// When it is no integer of 64 bits.
    pub fn integer(&self, keyword: &str) -> Result<Option<i64>> {
        let Some(text) = self.text(keyword) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.0.wrong(keyword, &format!("'{text}'"), "an integer of 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::craft::{Craft, file};
    use super::*;

    /// HDUs are told by their numbers, whatever they are called: two of one name, one whose name is another's
    /// number.
    #[test]
    fn tables_are_read_by_number_whatever_their_names() {
        let table = |value: u8, name: &str| {
            let table = Craft::new(&[("x", "B")], 1, vec![value]);
            let table = if name.is_empty() { table } else { table.with(&[&format!("EXTNAME = '{name}'")]) };
            table.bytes()
        };
        let tables = [table(11, "SAME"), table(12, "SAME"), table(13, "4"), table(14, "")];
        let fits = FitsFile::from_bytes(Path::new("stars.fits"), file(&tables)).unwrap();
        for (number, expected) in (1..5).zip([11.0, 12.0, 13.0, 14.0]) {
            assert_eq!(fits.table(number, None).unwrap().column("x").unwrap().to_f64().unwrap(), [expected], "HDU {number}");
        }
        assert!(fits.table(4, Some(&["y"])).unwrap_err().to_string().contains("'y'"));
        assert!(fits.table(5, None).unwrap_err().to_string().contains("an HDU 5"));
    }
}
