//! The bytes of a BINARY or BINARY2 stream, decoded from base64 piece by piece as rows ask for them.

use super::Misfit;
use super::document::{Document, Item};
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of base64 that are decoded at once: whole groups of four.
const BLOCK: usize = 1 << 16;

/// The stream that a document has come to.
pub(super) struct Stream {
    /// Decoded bytes; those before `position` are used up.
    bytes: Vec<u8>,
    position: usize,
    /// Base64 without blanks that is not decoded yet.
    encoded: Vec<u8>,
    /// Open elements with the STREAM itself.
    depth: usize,
    is_padded: bool,
}

impl Stream {
    /// The stream of the element that was opened last.
    pub fn new(document: &Document) -> Self {
        Self { bytes: Vec::new(), position: 0, encoded: Vec::new(), depth: document.depth(), is_padded: false }
    }

    /// Whether no byte is left.
    ///
    /// # Errors
    /// As [`Stream::take`].
    pub fn is_at_end(&mut self, document: &mut Document) -> Result<bool> {
        Ok(self.available(document, 1)? == 0)
    }

    /// The next `count` bytes; or what is wrong, when fewer are left. Memory grows with the bytes that there
    /// are, whatever is asked for.
    ///
    /// # Errors
    /// When the document is damaged or is not base64 here.
    pub fn take(&mut self, document: &mut Document, count: usize) -> Result<std::result::Result<&[u8], Misfit>> {
        let available = self.available(document, count)?;
        if available < count {
            let found = format!("the end of the data ({available} bytes left)");
            return Ok(Err((found, format!("{count} bytes; the file may be truncated"))));
        }
        let start = self.position;
        self.position += count;
        Ok(Ok(&self.bytes[start..self.position]))
    }

    /// Decodes until `count` bytes are there or the stream ends, and gives back how many there are.
    fn available(&mut self, document: &mut Document, count: usize) -> Result<usize> {
        while self.bytes.len() - self.position < count && document.depth() >= self.depth {
            self.bytes.drain(..self.position);
            self.position = 0;
            self.fill(document)?;
        }
        Ok(self.bytes.len() - self.position)
    }

    /// Takes in one piece of text, or passes over one thing that is no text.
    fn fill(&mut self, document: &mut Document) -> Result<()> {
        let text = document.raw_text()?;
        let length = text.len();
        self.encoded.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
        if length > 0 {
            document.pass(length);
        } else if let Item::Text(text) = document.next()? {
            self.encoded.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        }
        let is_over = document.depth() < self.depth;
        let n_whole = if is_over { self.encoded.len() } else { self.encoded.len() / 4 * 4 };
        if n_whole >= BLOCK || is_over {
            self.decode(n_whole).map_err(|error| {
                Error::reading(document.path(), error)
                    .expected("base64 in the STREAM of the table")
                    .remedy("If the file is damaged, copy or download it again.")
            })?;
        }
        Ok(())
    }

    fn decode(&mut self, length: usize) -> std::result::Result<(), base64::DecodeError> {
        if self.is_padded && length > 0 {
            return Err(base64::DecodeError::InvalidByte(0, self.encoded[0]));
        }
        STANDARD.decode_vec(&self.encoded[..length], &mut self.bytes)?;
        self.is_padded = self.encoded[..length].ends_with(b"=");
        self.encoded.drain(..length);
        Ok(())
    }
}
