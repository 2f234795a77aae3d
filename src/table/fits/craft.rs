//! FITS files made card by card and byte by byte, for tests.

use super::checksum::{header_bytes, padding};

/// A binary table.
#[derive(Debug, Clone, Default)]
pub(super) struct Craft {
    /// Name and TFORM of every column.
    pub columns: Vec<(String, String)>,
    pub n_rows: usize,
    pub rows: Vec<u8>,
    pub heap: Vec<u8>,
    /// Further cards.
    pub cards: Vec<String>,
}

impl Craft {
    /// A table of `n_rows` rows with these columns and bytes.
    pub fn new(columns: &[(&str, &str)], n_rows: usize, rows: Vec<u8>) -> Self {
        let columns = columns.iter().map(|&(name, form)| (name.to_owned(), form.to_owned())).collect();
        Self { columns, n_rows, rows, ..Self::default() }
    }

    /// The same table with further cards.
    pub fn with(mut self, cards: &[&str]) -> Self {
        self.cards.extend(cards.iter().map(|&card| card.to_owned()));
        self
    }

    /// The same table with a heap.
    pub fn with_heap(mut self, heap: Vec<u8>) -> Self {
        self.heap = heap;
        self
    }

    /// The cards of its header.
    pub fn header(&self) -> Vec<String> {
        let width = self.rows.len() / self.n_rows.max(1);
        let mut cards: Vec<String> = vec![
            "XTENSION= 'BINTABLE'".into(),
            "BITPIX  = 8".into(),
            "NAXIS   = 2".into(),
            format!("NAXIS1  = {width}"),
            format!("NAXIS2  = {}", self.n_rows),
            format!("PCOUNT  = {}", self.heap.len()),
            "GCOUNT  = 1".into(),
            format!("TFIELDS = {}", self.columns.len()),
        ];
        for (i, (name, form)) in self.columns.iter().enumerate() {
            cards.push(format!("TTYPE{:<3}= '{name}'", i + 1));
            cards.push(format!("TFORM{:<3}= '{form}'", i + 1));
        }
        cards.extend(self.cards.iter().cloned());
        cards
    }

    /// Its bytes, with padding.
    pub fn bytes(&self) -> Vec<u8> {
        hdu(&self.header(), &[self.rows.clone(), self.heap.clone()].concat())
    }
}

/// A header with data and padding.
pub(super) fn hdu(cards: &[String], data: &[u8]) -> Vec<u8> {
    let mut bytes = header_bytes(cards);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len() + padding(data.len() as u64), 0);
    bytes
}

/// A file of these HDUs after an empty primary one.
pub(super) fn file(hdus: &[Vec<u8>]) -> Vec<u8> {
    let primary = ["SIMPLE  =                    T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T"].map(str::to_owned);
    let mut bytes = header_bytes(&primary);
    hdus.iter().for_each(|hdu| bytes.extend_from_slice(hdu));
    bytes
}
