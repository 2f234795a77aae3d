//! The bytes of an XML document as UTF-8: UTF-8 with or without a byte-order mark, and UTF-16 and Latin-1
//! where the document says so. Other encodings are refused by name.

use crate::error::{Error, Result};
use crate::table::gzip;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// Bytes that are decoded at once.
const BLOCK: usize = 1 << 16;
/// Bytes at the start of a document in which its declaration must stand.
const START: u64 = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    Utf16 { is_big_endian: bool },
}

/// Opens a document, decompressing it if it is gzip.
///
/// # Errors
/// When it cannot be opened or its encoding is not read.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let mut reader = BufReader::with_capacity(BLOCK, gzip::open(path)?);
    let mut start = Vec::new();
    reader.by_ref().take(START).read_to_end(&mut start).map_err(|error| gzip::damaged(path, error))?;
    let (encoding, mark) = encoding_of(&start).map_err(|name| {
        Error::data(path.display().to_string())
            .found(format!("the encoding '{name}'"))
            .expected("UTF-8, UTF-16 or ISO-8859-1")
            .remedy("Convert the file to UTF-8 (iconv does so) and change the declaration in its first line.")
    })?;
    let bytes = Cursor::new(start.split_off(mark)).chain(reader);
    Ok(match encoding {
        Encoding::Utf8 => Box::new(bytes),
        other => Box::new(BufReader::with_capacity(BLOCK, Decoded::new(bytes, other))),
    })
}

/// The encoding and the length of the byte-order mark; the name of an encoding that is not read.
fn encoding_of(start: &[u8]) -> std::result::Result<(Encoding, usize), String> {
    let utf16 = |is_big_endian| Encoding::Utf16 { is_big_endian };
    match start {
        [0xff, 0xfe, ..] => return Ok((utf16(false), 2)),
        [0xfe, 0xff, ..] => return Ok((utf16(true), 2)),
        [b'<', 0, ..] => return Ok((utf16(false), 0)),
        [0, b'<', ..] => return Ok((utf16(true), 0)),
        _ => {}
    }
    let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let Some(name) = declared(&start[mark..]) else { return Ok((Encoding::Utf8, mark)) };
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Ok((Encoding::Utf8, mark)),
        // A program that decoded the file may have left the declaration as it was.
        "utf-16" if mark == 3 => Ok((Encoding::Utf8, mark)),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" if mark == 0 => Ok((Encoding::Latin1, 0)),
        _ => Err(name),
    }
}

/// What the XML declaration gives as encoding.
fn declared(start: &[u8]) -> Option<String> {
    let end = start.starts_with(b"<?xml").then(|| start.windows(2).position(|pair| pair == b"?>"))??;
    let declaration = String::from_utf8_lossy(&start[..end]);
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(name, _)| name.trim().to_owned())
}

/// Another encoding as UTF-8.
struct Decoded<R> {
    bytes: R,
    encoding: Encoding,
    /// Bytes that are not decoded yet: at most a block, and what a unit or pair lacked before it.
    raw: Vec<u8>,
    text: String,
    position: usize,
}

impl<R: Read> Decoded<R> {
    fn new(bytes: R, encoding: Encoding) -> Self {
        Self { bytes, encoding, raw: Vec::new(), text: String::new(), position: 0 }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.position = 0;
        while self.text.is_empty() {
            let n_new = self.bytes.by_ref().take(BLOCK as u64).read_to_end(&mut self.raw)?;
            if n_new == 0 {
                let is_whole = self.raw.is_empty();
                return if is_whole { Ok(()) } else { Err(invalid("half a character at the end of the file")) };
            }
            self.decode()?;
        }
        Ok(())
    }

    fn decode(&mut self) -> io::Result<()> {
        let Encoding::Utf16 { is_big_endian } = self.encoding else {
            self.text.extend(self.raw.drain(..).map(char::from));
            return Ok(());
        };
        let (pairs, _) = self.raw.as_chunks::<2>();
        let unit = |pair: &[u8; 2]| if is_big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
        // The first half of a surrogate pair waits for the second one.
        let is_cut = pairs.last().is_some_and(|pair| (0xd800..0xdc00).contains(&unit(pair)));
        let n_whole = pairs.len() - usize::from(is_cut);
        for character in char::decode_utf16(pairs[..n_whole].iter().map(unit)) {
            self.text.push(character.map_err(|_| invalid("an unpaired surrogate in UTF-16"))?);
        }
        self.raw.drain(..2 * n_whole);
        Ok(())
    }
}

fn invalid(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, found)
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.position == self.text.len() {
            self.refill()?;
        }
        let n_read = (&self.text.as_bytes()[self.position..]).read(into)?;
        self.position += n_read;
        Ok(n_read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_declarations() {
        let utf16 = |is_big_endian| Encoding::Utf16 { is_big_endian };
        for (start, expected) in [
            (&b"<VOTABLE>"[..], Ok((Encoding::Utf8, 0))),
            (b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>", Ok((Encoding::Utf8, 3))),
            (b"<?xml version=\"1.0\" encoding = \"ISO-8859-1\"?>", Ok((Encoding::Latin1, 0))),
            (b"<?xml version=\"1.0\"?><VOTABLE encoding='x'>", Ok((Encoding::Utf8, 0))),
            (b"\xfe\xff\0<", Ok((utf16(true), 2))),
            (b"<\0?\0", Ok((utf16(false), 0))),
            (b"<?xml encoding='Shift_JIS'?>", Err("Shift_JIS".to_owned())),
            (b"", Ok((Encoding::Utf8, 0))),
        ] {
            assert_eq!(encoding_of(start), expected);
        }
    }

    #[test]
    fn other_encodings_become_utf_8_across_blocks() {
        let text = "a\u{e9}".repeat(BLOCK);
        let latin: Vec<u8> = text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect();
        assert_eq!(io::read_to_string(Decoded::new(&latin[..], Encoding::Latin1)).unwrap(), text);
        let text = format!("a{}", "\u{1f31f}".repeat(BLOCK));
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16 = Encoding::Utf16 { is_big_endian: false };
        assert_eq!(io::read_to_string(Decoded::new(&units[..], utf16)).unwrap(), text);
        for cut in [1, 2] {
            let error = io::read_to_string(Decoded::new(&units[..units.len() - cut], utf16)).unwrap_err();
            assert!(error.to_string().contains("half a character"), "{error}");
        }
    }
}
