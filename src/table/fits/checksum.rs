//! CHECKSUM and DATASUM (FITS 4.0, section 4.4.2.7 and appendix J): the ones'-complement sum of the 32-bit
//! words of an HDU.

use super::hdu::Hdu;
use super::header::{BLOCK, CARD, Header};
use super::source::Source;
use crate::error::{Error, Result};
use crate::warning::warn_once;

/// A running ones'-complement sum of big-endian words over bytes that come in pieces of any length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    /// Sum of the words, folded to less than 33 bits.
    total: u64,
    /// Bytes of the word that has begun.
    pending: [u8; 4],
    n_pending: usize,
}

impl Sum {
    /// Adds bytes.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while self.n_pending > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.pending[self.n_pending] = byte;
            self.n_pending = (self.n_pending + 1) % 4;
            bytes = rest;
            if self.n_pending == 0 {
                self.fold(u32::from_be_bytes(self.pending).into());
            }
        }
        // 2²⁰ words of 32 bits fit into 52 bits.
        for piece in bytes.chunks(1 << 22) {
            let (words, rest) = piece.as_chunks::<4>();
            self.fold(words.iter().map(|&word| u64::from(u32::from_be_bytes(word))).sum());
            self.pending[..rest.len()].copy_from_slice(rest);
            self.n_pending = rest.len();
        }
    }

    fn fold(&mut self, words: u64) {
        let total = self.total + words;
        self.total = (total & 0xffff_ffff) + (total >> 32);
    }

    /// The sum, with zeros after the last byte up to a whole word.
    pub fn value(mut self) -> u32 {
        if self.n_pending > 0 {
            self.pending[self.n_pending..].fill(0);
            self.fold(u32::from_be_bytes(self.pending).into());
        }
        while self.total >> 32 != 0 {
            self.total = (self.total & 0xffff_ffff) + (self.total >> 32);
        }
        self.total as u32
    }

    /// The sum of an HDU from those of its header and its data.
    pub fn together(header: u32, data: u32) -> u32 {
        let total = u64::from(header) + u64::from(data);
        ((total & 0xffff_ffff) + (total >> 32)) as u32
    }
}

/// The 16 characters of CHECKSUM for a sum over an HDU in which it was 16 zeros (appendix J, "ASCII
/// encoding").
pub(super) fn encode(sum: u32) -> String {
    let mut quarters = [[0_u8; 4]; 4];
    for (quarter, byte) in quarters.iter_mut().zip((!sum).to_be_bytes()) {
        let (quotient, remainder) = (byte / 4, byte % 4);
        *quarter = [b'0' + quotient + remainder, b'0' + quotient, b'0' + quotient, b'0' + quotient];
        // Pairs are moved apart until all characters are letters or digits; their sum stays.
        let is_punctuation = |byte: u8| (0x3a..=0x40).contains(&byte) || (0x5b..=0x60).contains(&byte);
        while quarter.iter().any(|&byte| is_punctuation(byte)) {
            for pair in quarter.chunks_exact_mut(2) {
                if pair.iter().any(|&byte| is_punctuation(byte)) {
                    pair[0] += 1;
                    pair[1] -= 1;
                }
            }
        }
    }
    let characters: Vec<u8> = (0..4).flat_map(|i| quarters.iter().map(move |quarter| quarter[i])).collect();
    // Rotated by one, since the value begins one byte after a word does.
    (0..16).map(|i| char::from(characters[(i + 15) % 16])).collect()
}

/// What the header says of the sums.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    datasum: Option<u32>,
    /// Sum over the header, where it has a CHECKSUM.
    header: Option<u32>,
    /// The table: for messages.
    place: String,
}

impl Declared {
    /// DATASUM, and the sum of the header's bytes if there is a CHECKSUM.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(source: &Source, hdu: &Hdu, header: &Header) -> Result<Self> {
        let datasum = header.value("DATASUM").and_then(|text| text.trim().parse().ok());
        // Blank or zero stands for a sum that is not known.
        let has_sum = header.value("CHECKSUM").is_some_and(|text| text.len() == 16 && text.bytes().any(|byte| byte != b'0'));
        let mut sum = None;
        if has_sum {
            let length = (hdu.data - hdu.start).min(source.length() - hdu.start);
            let mut bytes = vec![0; length as usize];
            source.read_at(hdu.start, &mut bytes)?;
            let mut running = Sum::default();
            running.add(&bytes);
            sum = Some(running.value());
        }
        Ok(Self { datasum, header: sum, place: header.place.clone() })
    }

    /// Whether there is anything to compare the data with.
    pub fn is_present(&self) -> bool {
        self.datasum.is_some() || self.header.is_some()
    }

    /// Compares the sum of the data that were read.
    ///
    /// A header that agrees with its own DATASUM is the one that the sums were made for: data of another sum
    /// are damaged. A header that does not has been changed, or was copied to other data (astropy's
    /// `Table.write` keeps the sums of the table it read): that is a warning, since nothing can be said of
    /// the data.
    ///
    /// # Errors
    /// When the data are not those of the sum.
    pub fn check(&self, data: u32) -> Result<()> {
        const NONE: u32 = u32::MAX;
        let whole = |data| self.header.map(|header| [0, NONE].contains(&Sum::together(header, data)));
        let (is_wrong, expected) = match self.datasum {
            Some(declared) if data == declared || (data, declared) == (0, NONE) || (data, declared) == (NONE, 0) => {
                if whole(declared) == Some(false) {
                    warn_once(format!(
                        "{}: CHECKSUM is not that of the header: it was changed after the sum was made; the data are as DATASUM says",
                        self.place
                    ));
                }
                (false, declared)
            }
            Some(declared) if whole(declared) == Some(false) => {
                warn_once(format!(
                    "{}: CHECKSUM and DATASUM are those of another table, as copies by other programs have them: not verified",
                    self.place
                ));
                (false, declared)
            }
            Some(declared) => (true, declared),
            None => (whole(data) == Some(false), self.header.map_or(0, |header| !header)),
        };
        if !is_wrong {
            return Ok(());
        }
        Err(Error::data(self.place.clone())
            .found(format!("data of the sum {data}"))
            .expected(format!("{expected} (DATASUM)"))
            .remedy("The file is damaged: copy or download it again."))
    }
}

/// Bytes up to a whole block.
pub(super) fn padding(length: u64) -> usize {
    (length.next_multiple_of(BLOCK) - length) as usize
}

/// The cards of a header as its bytes, with END and padding.
pub(super) fn header_bytes(cards: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(cards.len() * CARD + BLOCK as usize);
    for card in cards.iter().map(String::as_str).chain(["END"]) {
        bytes.extend_from_slice(card.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(CARD), b' ');
    }
    bytes.resize(bytes.len() + padding(bytes.len() as u64), b' ');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_the_pieces() {
        let bytes: Vec<u8> = (0..10_001_u32).map(|i| ((i * 7919) >> 3) as u8).collect();
        let naive = bytes.chunks(4).fold(0_u64, |sum, word| {
            let mut whole = [0; 4];
            whole[..word.len()].copy_from_slice(word);
            let sum = sum + u64::from(u32::from_be_bytes(whole));
            (sum & 0xffff_ffff) + (sum >> 32)
        });
        for length in [1, 3, 4, 1000, 20_000] {
            let mut sum = Sum::default();
            bytes.chunks(length).for_each(|piece| sum.add(piece));
            assert_eq!(u64::from(sum.value()), naive, "{length}");
        }
    }

    /// The example of appendix J; astropy 8.0.2 gives the same, `PrimaryHDU()._char_encode(0xffffffff -
    /// 868229149)`.
    #[test]
    fn the_standard_s_example() {
        assert_eq!(encode(868_229_149), "hcHjjc9ghcEghc9g");
    }
}
