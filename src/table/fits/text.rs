//! Bytes of text to characters. FITS knows only ASCII; what programs write beyond it is UTF-8, or one byte a
//! character.

/// The text, and whether it was UTF-8. Bytes that are not are read as Latin-1, in which every byte has a
/// character of its own, so that different texts stay different.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), true),
        Err(_) => (bytes.iter().map(|&byte| char::from(byte)).collect(), false),
    }
}

/// A text of a table: up to the first NUL, without the blanks that fill the field.
pub(super) fn field(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let text = &bytes[..end];
    let blanks = text.iter().rev().take_while(|&&byte| byte == b' ').count();
    &text[..end - blanks]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_nul_and_before_blanks() {
        assert_eq!(field(b" a b  "), b" a b");
        assert_eq!(field(b"ab \0cd"), b"ab");
        assert_eq!(field(b"   "), b"");
        assert_eq!(decode(b"\xce\xb1 Cen"), ("\u{3b1} Cen".into(), true));
        assert_eq!(decode(b"\xb5 Ara"), ("\u{b5} Ara".into(), false));
    }
}
