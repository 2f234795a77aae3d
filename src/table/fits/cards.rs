//! Header cards: 80 characters each, with long text in CONTINUE cards and long or lower-case names in
//! HIERARCH cards, where FITS spells them in capitals: they are read in lower case.

use super::text;

/// Characters of a card.
const WIDTH: usize = 80;

/// The cards that store the text `value` under `keyword`.
///
/// FITS spells names in capitals. Names of up to 8 letters, digits, `-` and `_` are ordinary keywords; others
/// become HIERARCH cards. Text that does not fit continues in CONTINUE cards; text that is not printable
/// ASCII is stored as a JSON string (in double quotes). So is text with ` = ` under a HIERARCH name, its
/// equals signs escaped: cfitsio 4 takes the last ` = ` of such a card for the one before the value.
pub(super) fn text_cards(keyword: &str, value: &str) -> Vec<String> {
    let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let keyword = keyword.to_ascii_uppercase();
    let is_standard = is_standard(&keyword);
    let is_json = value.starts_with('"') && value.ends_with('"');
    let misleads = !is_standard && value.contains(" = ");
    let encoded = match printable(value) && !is_json && !misleads && !value.ends_with([' ', '&']) {
        true => value.to_owned(),
        false if is_standard => ascii_json(value),
        false => ascii_json(value).replace('=', "\\u003d"),
    };
    let mut start = if is_standard { format!("{keyword:<8}= ") } else { format!("HIERARCH {keyword} = ") };
    let mut cards = Vec::new();
    let mut piece = String::new();
    let mut width = 0;
    for character in encoded.chars() {
        let needed = if character == '\'' { 2 } else { 1 };
        // Two quotes, and the ampersand that announces a continuation.
        if width + needed > WIDTH - start.len() - 3 {
            cards.push(format!("{start}'{piece}&'"));
            start = "CONTINUE  ".into();
            piece.clear();
            width = 0;
        }
        piece.extend(std::iter::repeat_n(character, needed));
        width += needed;
    }
    cards.push(format!("{start}'{piece:<8}'"));
    cards
}

/// Whether metadata of that name can be stored at all: printable ASCII without `=`, short enough to leave
/// room for values.
pub(super) fn is_storable(keyword: &str) -> bool {
    !keyword.is_empty()
        && keyword.len() <= 40
        && keyword.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=' && byte != b'\'')
}

/// Whether a name in capitals can be a keyword of its own, with a value.
fn is_standard(keyword: &str) -> bool {
    const WITHOUT_VALUE: [&str; 5] = ["COMMENT", "HISTORY", "CONTINUE", "HIERARCH", "END"];
    keyword.len() <= 8
        && keyword.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
        && !WITHOUT_VALUE.contains(&keyword)
}

/// JSON with everything outside ASCII escaped.
pub(super) fn ascii_json(value: impl Into<serde_json::Value>) -> String {
    let json = value.into().to_string();
    let mut ascii = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            character.encode_utf16(&mut units).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
        }
    }
    ascii
}

/// What a text that [`text_cards`] has stored stands for.
pub(super) fn decoded(text: String) -> String {
    let is_json = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
    is_json.then(|| serde_json::from_str(&text).ok()).flatten().unwrap_or(text)
}

/// A keyword and its value. Names of HIERARCH cards, which are nobody's keywords, are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub keyword: String,
    pub value: String,
    /// Whether the value is ASCII, or UTF-8, rather than unknown bytes read as Latin-1.
    pub is_utf8: bool,
    /// Whether the value stands in quotes: a text, though it may spell a number.
    pub is_text: bool,
}

/// Keywords and values of a header, in order, with continued text put together and text decoded. Cards
/// without a value are left out.
pub(super) fn parse(cards: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for card in cards.as_chunks::<WIDTH>().0 {
        if let Some(rest) = card.strip_prefix(b"CONTINUE") {
            if let (Some((_, Value::Text(text))), Some(Value::Text(more))) = (entries.last_mut(), value(rest))
                && text.ends_with(b"&")
            {
                text.pop();
                text.extend(more);
            }
        } else if let Some((keyword, field)) = split(card)
            && let Some(value) = value(field)
        {
            entries.push((keyword, value));
        }
    }
    entries.into_iter().map(|(keyword, value)| value.entry(keyword)).collect()
}

enum Value {
    Text(Vec<u8>),
    Other(Vec<u8>),
}

impl Value {
    fn entry(self, keyword: String) -> Entry {
        match self {
            Self::Other(token) => {
                let (value, is_utf8) = text::decode(&token);
                Entry { keyword, value, is_utf8, is_text: false }
            }
            Self::Text(text) => {
                let (value, is_utf8) = text::decode(text.trim_ascii_end());
                Entry { keyword, value: decoded(value), is_utf8, is_text: true }
            }
        }
    }
}

/// Keyword and value field of a card.
fn split(card: &[u8; WIDTH]) -> Option<(String, &[u8])> {
    if let Some(rest) = card.strip_prefix(b"HIERARCH ") {
        let equals = memchr::memchr(b'=', rest)?;
        return Some((text::decode(rest[..equals].trim_ascii()).0.to_ascii_lowercase(), &rest[equals + 1..]));
    }
    let field = card[8..].strip_prefix(b"= ")?;
    Some((text::decode(card[..8].trim_ascii_end()).0, field))
}

/// The value before any comment: text in single quotes (doubled inside), or a bare token.
fn value(field: &[u8]) -> Option<Value> {
    let field = field.trim_ascii_start();
    let Some(quoted) = field.strip_prefix(b"'") else {
        let token = field.split(|&byte| byte == b'/').next().unwrap_or_default().trim_ascii();
        return (!token.is_empty()).then(|| Value::Other(token.to_owned()));
    };
    let mut text = Vec::new();
    let mut bytes = quoted.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte != b'\'' {
            text.push(byte);
        } else if bytes.next_if_eq(&&b'\'').is_some() {
            text.push(b'\'');
        } else {
            break;
        }
    }
    // Trailing blanks of text that goes on are part of it, but stand before the ampersand.
    text.truncate(text.trim_ascii_end().len());
    Some(Value::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(cards: &[String]) -> Vec<u8> {
        cards.iter().flat_map(|card| format!("{card:<80}").into_bytes()).collect()
    }

    #[test]
    fn values_of_any_length_and_content_come_back() {
        let long = "It's a long 'text' & ".repeat(20);
        for (keyword, text) in [
            ("TCOMM1", "short"),
            ("model_id", "lower case"),
            ("wavelength_centres_of_all_bands", long.trim_end()),
            ("TCOMM12", &long),
            ("recipe", "[train]\nrate = 1 # \u{c5} \u{1f31f}"),
            ("extinction_law", "CCM89, R_V = 3.1; optical depth = E(B-V) R = = \" = "),
            ("A", ""),
            ("comment", "no comment"),
            ("quoted", "\"already\""),
            ("QUOTES", &"'".repeat(150)),
        ] {
            let cards = text_cards(keyword, text);
            assert!(cards.iter().all(|card| card.len() <= WIDTH && card.is_ascii()), "{cards:?}");
            // cfitsio 4.6 reads `HIERARCH A_LONG_NAME = 'a = E'` as the number `E'` under the name
            // `A_LONG_NAME = 'a`.
            assert!(cards.iter().all(|card| !card.starts_with("HIERARCH") || card.matches(" = ").count() == 1), "{cards:?}");
            let entries = parse(&bytes(&cards));
            assert_eq!(entries.len(), 1);
            assert_eq!(
                (entries[0].keyword.to_ascii_lowercase(), entries[0].value.as_str()),
                (keyword.to_ascii_lowercase(), text)
            );
        }
    }

    #[test]
    fn cards_of_other_programs() {
        let cards = [
            "NAXIS1  =                  892 / length",
            "TUNIT1  = 'km/s    '           / it's",
            "COMMENT = none",
            "HISTORY x",
            "T = T",
            "HIERARCH ESO TEL = 'a = b'",
        ];
        let entries = parse(&bytes(&cards.map(str::to_owned)));
        let found: Vec<(&str, &str)> = entries.iter().map(|entry| (entry.keyword.as_str(), entry.value.as_str())).collect();
        assert_eq!(found, [("NAXIS1", "892"), ("TUNIT1", "km/s"), ("COMMENT", "none"), ("eso tel", "a = b")]);
        let mut card = bytes(&["TTYPE1  = 'flux_XX'".to_owned()]);
        card[16..18].copy_from_slice(&[0xb5, 0xb5]);
        assert_eq!(
            parse(&card),
            [Entry { keyword: "TTYPE1".into(), value: "flux_\u{b5}\u{b5}".into(), is_utf8: false, is_text: true }]
        );
    }
}
