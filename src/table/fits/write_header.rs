//! The cards of the headers that we write.

use super::cards::{is_storable, text_cards};
use super::checksum::{self, Sum, encode};
use super::encode::{self, ColumnForm};
use super::header::CARD;
use super::{astropy, metadata};
use crate::error::{Error, Result};
use crate::table::Table;
use std::collections::BTreeSet;
use std::path::Path;

/// What is known of a table only when all of it is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers {
    pub n_rows: usize,
    pub heap_bytes: u64,
    /// Sum of the data.
    pub data_sum: u32,
    /// Cards that the header has at least: the last of them are blank.
    pub n_cards: usize,
}

/// The header of the primary HDU, which is empty.
pub(super) fn primary() -> Vec<String> {
    let cards = [
        logical_card("SIMPLE", "file conforms to FITS standard"),
        number_card("BITPIX", 8),
        number_card("NAXIS", 0),
        logical_card("EXTEND", "file contains extensions"),
    ];
    with_sums(cards.into(), Numbers::default())
}

/// The header of the table. The number of cards depends on the columns and metadata alone.
///
/// # Errors
/// When FITS cannot hold a name, a unit, or so many columns.
pub(super) fn table_cards(path: &Path, columns: &Table, forms: &[ColumnForm], numbers: Numbers) -> Result<Vec<String>> {
    let place = || Error::output(path.display().to_string());
    if forms.len() > 999 {
        return Err(place()
            .found(format!("{} columns", forms.len()))
            .expected("at most 999 in FITS")
            .remedy("Write .parquet or .ecsv instead."));
    }
    let mut cards = vec![
        "XTENSION= 'BINTABLE'           / binary table extension".to_owned(),
        number_card("BITPIX", 8),
        number_card("NAXIS", 2),
        number_card("NAXIS1", encode::row_bytes(forms)),
        number_card("NAXIS2", numbers.n_rows),
        number_card("PCOUNT", numbers.heap_bytes),
        number_card("GCOUNT", 1),
        number_card("TFIELDS", forms.len()),
    ];
    for (i, (column, form)) in columns.columns().iter().zip(forms).enumerate() {
        let (number, schema) = (i + 1, &column.schema);
        if let Some(text) = [&schema.name, &schema.unit].into_iter().find(|text| !text.is_ascii() || text.len() > 60) {
            return Err(place()
                .found(format!("the column name or unit '{text}'"))
                .expected("at most 60 ASCII characters in FITS")
                .remedy("Write .parquet or .ecsv instead."));
        }
        cards.extend(text_cards(&format!("TTYPE{number}"), &schema.name));
        cards.extend(text_cards(&format!("TFORM{number}"), &form.form()));
        cards.extend(form.dimensions().iter().flat_map(|text| text_cards(&format!("TDIM{number}"), text)));
        cards.extend(form.null().map(|null| number_card(&format!("TNULL{number}"), null)));
        for (root, text) in [("TUNIT", &schema.unit), ("TUCD", &schema.ucd), ("TCOMM", &schema.description)] {
            if !text.is_empty() {
                cards.extend(text_cards(&format!("{root}{number}"), text));
            }
        }
    }
    cards.extend(astropy::cards(columns));
    let mut names = BTreeSet::new();
    for (keyword, value) in &columns.metadata {
        let name = keyword.to_ascii_lowercase();
        if !is_storable(keyword) || metadata::is_reserved(&name) || !names.insert(name) {
            return Err(Error::output(format!("{}, metadata '{keyword}'", path.display()))
                .found("a name that a FITS header cannot hold")
                .expected("up to 40 printable characters without blanks, quotes and '=', no keyword of the layout, different in more than case")
                .remedy("Write .parquet or .ecsv instead."));
        }
        cards.extend(text_cards(keyword, value));
    }
    Ok(with_sums(cards, numbers))
}

/// The cards with CHECKSUM and DATASUM, and blank ones up to the wanted number.
fn with_sums(mut cards: Vec<String>, numbers: Numbers) -> Vec<String> {
    let (position, data_sum) = (cards.len(), numbers.data_sum);
    cards.push(format!("CHECKSUM= '{}'", "0".repeat(16)));
    cards.extend(text_cards("DATASUM", &data_sum.to_string()));
    cards.resize(cards.len().max(numbers.n_cards), " ".repeat(CARD));
    let mut sum = Sum::default();
    sum.add(&checksum::header_bytes(&cards));
    cards[position] = format!("CHECKSUM= '{}'", encode(Sum::together(sum.value(), data_sum)));
    cards
}

fn number_card(keyword: &str, value: impl std::fmt::Display) -> String {
    format!("{keyword:<8}= {value:>20}")
}

fn logical_card(keyword: &str, comment: &str) -> String {
    format!("{keyword:<8}= {:>20} / {comment}", "T")
}
