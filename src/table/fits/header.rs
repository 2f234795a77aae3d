//! The header of one HDU (header and data unit): cards of 80 bytes in blocks of 2880, up to the card END.

use super::cards::{self, Entry};
use super::source::Source;
use super::text;
use crate::error::{Error, Result};
use std::collections::HashMap;

/// Bytes of a block, of which headers and data are multiples.
pub(super) const BLOCK: u64 = 2880;
/// Bytes of a card.
pub(super) const CARD: usize = 80;
/// Cards of a header that are read; a table of 999 columns needs some ten thousand.
const MOST_CARDS: usize = 1 << 18;

/// Keywords and values of a header, and where it ends.
#[derive(Debug)]
pub(super) struct Header {
    /// The file and, beyond the first, the number of the HDU: for errors.
    pub place: String,
    /// All cards before END.
    cards: Vec<u8>,
    entries: Vec<Entry>,
    /// The first entry of every keyword.
    index: HashMap<String, usize>,
    /// The first byte after the header's last block.
    pub end: u64,
}

impl Header {
    /// The header that starts at byte `start`; none where no HDU starts there.
    ///
    /// # Errors
    /// When the file ends, or the header goes on, without END.
    pub fn read(source: &Source, start: u64, number: usize) -> Result<Option<Self>> {
        let place = format!("{}, HDU {number}", source.path.display());
        let first: &[u8] = if number == 0 { b"SIMPLE  =" } else { b"XTENSION=" };
        let mut cards = Vec::new();
        let mut block = Vec::new();
        let mut next = start;
        loop {
            let length = BLOCK.min(source.length().saturating_sub(next));
            block.resize(length as usize, 0);
            source.read_at(next, &mut block)?;
            if next == start && !block.starts_with(first) {
                return Ok(None);
            }
            let (whole, _) = block.as_chunks::<CARD>();
            let end = whole.iter().position(|card| card.starts_with(b"END") && card[3..].iter().all(|&byte| byte == b' '));
            cards.extend(whole[..end.unwrap_or(whole.len())].iter().flatten());
            next += BLOCK;
            if end.is_some() {
                break;
            }
            if length < BLOCK {
                return Err(Error::data(place)
                    .found("the end of the file in the middle of a header")
                    .expected("a card END")
                    .remedy("The file is truncated: copy or download it again."));
            }
            if cards.len() > MOST_CARDS * CARD {
                return Err(Error::data(place)
                    .found(format!("a header of more than {MOST_CARDS} cards"))
                    .expected("a card END before")
                    .remedy("The file is damaged: copy or download it again."));
            }
        }
        let entries = cards::parse(&cards);
        let mut index = HashMap::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            index.entry(entry.keyword.clone()).or_insert(position);
        }
        Ok(Some(Self { place, cards, entries, index, end: next }))
    }

    /// Keywords with their values, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a keyword.
    pub fn entry(&self, keyword: &str) -> Option<&Entry> {
        self.index.get(keyword).and_then(|&position| self.entries.get(position))
    }

    /// The value of a keyword.
    pub fn value(&self, keyword: &str) -> Option<&str> {
        self.entry(keyword).map(|entry| entry.value.as_str())
    }

    /// Whether a logical keyword is there and true.
    pub fn is_true(&self, keyword: &str) -> bool {
        self.value(keyword) == Some("T")
    }

    /// The value of a keyword that counts something, if it is there.
    ///
    /// # Errors
    /// When it is no whole number from zero on.
    pub fn count(&self, keyword: &str) -> Result<Option<u64>> {
        let Some(value) = self.value(keyword) else { return Ok(None) };
        match value.parse() {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(self.wrong(keyword, &format!("'{value}'"), "a count")),
        }
    }

    /// As [`Self::count`], where the keyword has to be there.
    ///
    /// # Errors
    /// When it is absent or no count.
    pub fn required_count(&self, keyword: &str) -> Result<u64> {
        self.count(keyword)?.ok_or_else(|| self.wrong(keyword, "nothing", "a count"))
    }

    /// The error for a keyword with an impossible value.
    pub fn wrong(&self, keyword: &str, found: &str, expected: &str) -> Error {
        Error::data(format!("{}, header keyword {keyword}", self.place))
            .found(found)
            .expected(expected)
            .remedy("The file is damaged or was written wrongly: copy or download it again, or write it with another program.")
    }

    /// The texts of the COMMENT cards.
    pub fn comments(&self) -> impl Iterator<Item = String> + '_ {
        let cards = self.cards.as_chunks::<CARD>().0.iter();
        cards.filter_map(|card| card.strip_prefix(b"COMMENT ")).map(|comment| text::decode(comment).0.trim_end().to_owned())
    }
}
