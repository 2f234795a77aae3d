//! As much of Thrift's compact protocol as it takes to look at the footer and the page headers of a Parquet
//! file before the library that decodes them allocates what they declare, or follows their schema down
//! without a limit.

use super::grammar::{FILE_METADATA, PAGE_HEADER, follow};

/// Depth to which values that are passed over may nest.
const MAX_DEPTH: usize = 16;

/// Types of fields, as the protocol numbers them.
pub(super) const TRUE: u8 = 1;
pub(super) const FALSE: u8 = 2;
pub(super) const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
pub(super) const STRUCT: u8 = 12;

/// Bytes that are being read. Every method gives `None` where they end too early or are not of the protocol.
#[derive(Clone)]
pub(super) struct Compact<'a> {
    bytes: &'a [u8],
}

impl<'a> Compact<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes that are left.
    pub fn n_left(&self) -> usize {
        self.bytes.len()
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// An integer of any width.
    pub fn integer(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The number and type of the next field of a struct after the field numbered `last`; within it `None` at
    /// the struct's end.
    pub fn field(&mut self, last: i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        if byte & 15 == 0 {
            return Some(None);
        }
        let number = match i64::from(byte >> 4) {
            0 => self.integer()?,
            step => last.checked_add(step)?,
        };
        // The library would keep as much of a larger one as 16 bits hold.
        i16::try_from(number).ok().map(|_| Some((number, byte & 15)))
    }

    /// Number and type of the elements of a list.
    pub fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let n = match byte >> 4 {
            15 => self.unsigned()?,
            n => u64::from(n),
        };
        // Every element has a byte.
        (n <= self.bytes.len() as u64).then_some((n, byte & 15))
    }

    /// Passes over the value of a field.
    pub fn skip(&mut self, kind: u8) -> Option<()> {
        self.skip_to(kind, MAX_DEPTH, true)
    }

    fn skip_to(&mut self, kind: u8, depth: usize, is_field: bool) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // The type of a field is its value.
            TRUE | FALSE if is_field => Some(()),
            TRUE | FALSE | 3 => self.byte().map(|_| ()),
            4..=6 => self.unsigned().map(|_| ()),
            7 => self.pass(8),
            BINARY => {
                let length = self.unsigned()?;
                self.pass(usize::try_from(length).ok()?)
            }
            13 => self.pass(16),
            LIST | SET => {
                let (n, kind) = self.list()?;
                // The library gives booleans no byte and would go through any number of them; no list that
                // Parquet knows here has any.
                if n > 0 && matches!(kind, TRUE | FALSE) {
                    return None;
                }
                (0..n).try_for_each(|_| self.skip_to(kind, depth, false))
            }
            MAP => {
                let n = self.unsigned().filter(|&n| n <= self.bytes.len() as u64)?;
                let kinds = if n == 0 { 0 } else { self.byte()? };
                if [kinds >> 4, kinds & 15].iter().any(|kind| matches!(*kind, TRUE | FALSE)) {
                    return None;
                }
                (0..n).try_for_each(|_| {
                    self.skip_to(kinds >> 4, depth, false)?;
                    self.skip_to(kinds & 15, depth, false)
                })
            }
            STRUCT => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    self.skip_to(kind, depth, true)?;
                    last = number;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn pass(&mut self, length: usize) -> Option<()> {
        self.bytes = self.bytes.split_at_checked(length)?.1;
        Some(())
    }
}

/// What the header of a page declares.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PageHeader {
    pub is_dictionary: bool,
    /// Bytes of the page in the file and in memory.
    pub compressed: u64,
    pub uncompressed: u64,
    pub n_values: u64,
    /// Bytes before the compressed ones (the levels of a page of the second version).
    pub n_plain: u64,
    /// Bytes of the header itself.
    pub length: u64,
}

impl PageHeader {
    /// Reads the header at the start of `bytes`; `None` where it is none, or goes on beyond them. Negative
    /// sizes count as zero: the decoder refuses them.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let size = |value: i64| u64::try_from(value).unwrap_or(0);
        let mut compact = Compact::new(bytes);
        follow(&mut compact.clone(), &PAGE_HEADER, STRUCT)?;
        let mut header = Self::default();
        let mut last = 0;
        while let Some((number, kind)) = compact.field(last)? {
            last = number;
            match (number, kind) {
                (1, 5) => header.is_dictionary = compact.integer()? == 2,
                (2, 5) => header.uncompressed = size(compact.integer()?),
                (3, 5) => header.compressed = size(compact.integer()?),
                // DataPageHeader, DictionaryPageHeader and DataPageHeaderV2.
                (5 | 7 | 8, STRUCT) => {
                    let mut inner = 0;
                    while let Some((field, kind)) = compact.field(inner)? {
                        inner = field;
                        match (field, kind) {
                            (1, 5) => header.n_values = size(compact.integer()?),
                            (5 | 6, 5) if number == 8 => header.n_plain = header.n_plain.saturating_add(size(compact.integer()?)),
                            _ => compact.skip(kind)?,
                        }
                    }
                }
                _ => compact.skip(kind)?,
            }
        }
        header.length = (bytes.len() - compact.n_left()) as u64;
        Some(header)
    }
}

/// What is wrong with a footer (FileMetaData): fields of other types than they have in Parquet, lists that
/// declare more than follows, or a schema that is deeper than `max_depth`, has more than `max_elements`
/// elements or declares children that are not there. The decoder goes through any declared number of
/// booleans, calls itself for every level and allocates for every declared child.
pub(super) fn footer_fault(footer: &[u8], max_depth: usize, max_elements: u64) -> Option<String> {
    let (mut compact, mut whole) = (Compact::new(footer), Compact::new(footer));
    let cannot = |at: &Compact| Some(format!("a footer that cannot be followed, {} bytes before its end", at.n_left()));
    match footer_walk(&mut compact, max_depth, max_elements) {
        None => cannot(&compact),
        Some(None) if follow(&mut whole, &FILE_METADATA, STRUCT).is_none() => cannot(&whole),
        Some(fault) => fault,
    }
}

/// Within it `None` where there is no fault; `None` where the bytes end too early or are not of the protocol.
fn footer_walk(compact: &mut Compact, max_depth: usize, max_elements: u64) -> Option<Option<String>> {
    let mut last = 0;
    while let Some((number, kind)) = compact.field(last)? {
        last = number;
        if number != 2 || kind != LIST {
            compact.skip(kind)?;
            continue;
        }
        let (n, _) = compact.list()?;
        if n > max_elements {
            return Some(Some(format!("a schema of {n} elements")));
        }
        // Children still to come, of every open group.
        let mut open: Vec<u64> = Vec::new();
        for i in 0..n {
            let n_children = children(compact)?;
            if n_children > n - 1 - i {
                return Some(Some(format!("a schema that declares {n_children} columns where {} follow", n - 1 - i)));
            }
            if let Some(left) = open.last_mut() {
                *left = left.saturating_sub(1);
            }
            if n_children > 0 {
                open.push(n_children);
            }
            if open.len() > max_depth {
                return Some(Some(format!("a schema of more than {max_depth} levels")));
            }
            while open.last() == Some(&0) {
                open.pop();
            }
        }
    }
    Some(None)
}

/// Passes over a SchemaElement and gives its number of children.
fn children(compact: &mut Compact) -> Option<u64> {
    let (mut n, mut last) = (0, 0);
    while let Some((number, kind)) = compact.field(last)? {
        last = number;
        match (number, kind) {
            (5, 5) => n = u64::try_from(compact.integer()?).unwrap_or(0),
            _ => compact.skip(kind)?,
        }
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_headers() {
        // DATA_PAGE of 300 values, 1000 bytes from 77, with encodings; then a page.
        let bytes =
            [0x15, 0, 0x15, 0xd0, 0x0f, 0x15, 0x9a, 0x01, 0x2c, 0x15, 0xd8, 0x04, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 99, 99];
        let header = PageHeader::parse(&bytes).unwrap();
        let expected = PageHeader { compressed: 77, uncompressed: 1000, n_values: 300, length: 20, ..PageHeader::default() };
        assert_eq!(header, expected);
        for length in 0..20 {
            assert_eq!(PageHeader::parse(&bytes[..length]), None, "{length}");
        }
    }

    /// A footer whose schema elements have these numbers of children and no other field.
    fn footer(children: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, 2, 0x19, 0xfc, u8::try_from(children.len()).unwrap()];
        children.iter().for_each(|&n| bytes.extend(if n == 0 { vec![0] } else { vec![0x55, 2 * n, 0] }));
        bytes
    }

    #[test]
    fn schemas_that_would_overrun_the_decoder() {
        assert_eq!(footer_fault(&[footer(&[2, 0, 1, 0]), vec![0]].concat(), 2, 10), None);
        assert_eq!(footer_fault(&footer(&[1, 1, 1, 0]), 2, 10), Some("a schema of more than 2 levels".into()));
        assert_eq!(footer_fault(&footer(&[3, 0, 0]), 2, 10), Some("a schema that declares 3 columns where 2 follow".into()));
        assert_eq!(footer_fault(&footer(&[2, 0, 0]), 2, 2), Some("a schema of 3 elements".into()));
        assert!(footer_fault(b"garbage", 2, 2).unwrap().contains("cannot be followed"));
    }

    #[test]
    fn lists_that_the_decoder_would_go_through_without_end() {
        // Field 15 with 2³¹ − 1 booleans, of which none has a byte; in a set, in a list of lists, in a map.
        let many = [0xff, 0xff, 0xff, 0xff, 0x07];
        for head in [&[0xd9_u8, 0xf1][..], &[0xda, 0xf2], &[0xd9, 0x19, 0xf1], &[0xdb, 0x7f, 0x11], &[0xd9, 0xf3]] {
            let mut bytes = footer(&[1, 0]);
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(&many);
            bytes.push(0);
            assert!(footer_fault(&bytes, 4, 10).is_some_and(|found| found.contains("cannot be followed")), "{head:x?}");
            assert_eq!(PageHeader::parse(&bytes), None);
        }
        // Who wrote the file, as a number: its byte would be taken for the length of a text.
        assert!(footer_fault(&[footer(&[1, 0]), vec![0x45, 2, 0]].concat(), 4, 10).is_some());
        let mut sound = footer(&[1, 0]);
        sound.extend([0xd9, 0x35, 2, 4, 6, 0x1d]);
        sound.extend([7; 16]);
        sound.extend([0x1b, 0, 0]);
        assert_eq!(footer_fault(&sound, 4, 10), None, "integers, a UUID and an empty map");
    }
}
