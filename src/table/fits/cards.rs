//! Header cards: 80 characters each, with long text in CONTINUE cards and long or lower-case names in HIERARCH cards, where FITS
//! spells them in capitals: they are read in lower case.

/// Characters of a card.
const WIDTH: usize = 80;

/// The cards that store the text `value` under `keyword`.
///
/// Names of up to 8 capitals, digits, `-` and `_` are ordinary keywords; others become HIERARCH cards. Text that does not fit
/// continues in CONTINUE cards; text that is not printable ASCII is stored as a JSON string (in double quotes).
pub(super) fn text_cards(keyword: &str, value: &str) -> Vec<String> {
    let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let looks_encoded = value.starts_with('"') && value.ends_with('"');
    let encoded =
        if printable(value) && !looks_encoded && !value.ends_with([' ', '&']) { value.to_owned() } else { ascii_json(value) };
    let mut start =
        if is_standard(keyword) { format!("{keyword:<8}= ") } else { format!("HIERARCH {} = ", keyword.to_ascii_uppercase()) };
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

/// Whether metadata of that name can be stored at all: printable ASCII without `=`, short enough to leave room for values.
pub(super) fn is_storable(keyword: &str) -> bool {
    !keyword.is_empty()
        && keyword.len() <= 40
        && keyword.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=' && byte != b'\'')
}

fn is_standard(keyword: &str) -> bool {
    keyword.len() <= 8
        && keyword.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
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

/// Keywords and values of a header, in order, with continued text put together and text decoded. Cards without a value are left out.
pub(super) fn parse(cards: &[String]) -> Vec<(String, String)> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for card in cards {
        if let Some(rest) = card.strip_prefix("CONTINUE") {
            if let (Some((_, Value::Text(text))), Some(Value::Text(more))) = (entries.last_mut(), value(rest))
                && text.ends_with('&')
            {
                text.pop();
                text.push_str(&more);
            }
        } else if let Some((keyword, text)) = split(card)
            && let Some(value) = value(text)
        {
            entries.push((keyword, value));
        }
    }
    entries.into_iter().map(|(keyword, value)| (keyword, value.decoded())).collect()
}

enum Value {
    Text(String),
    Other(String),
}

impl Value {
    fn decoded(self) -> String {
        match self {
            Self::Other(token) => token,
            Self::Text(text) => {
                let text = text.trim_end();
                let is_json = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
                is_json.then(|| serde_json::from_str(text).ok()).flatten().unwrap_or_else(|| text.to_owned())
            }
        }
    }
}

/// Keyword and value field of a card.
fn split(card: &str) -> Option<(String, &str)> {
    if let Some(rest) = card.strip_prefix("HIERARCH ") {
        let (keyword, value) = rest.split_once('=')?;
        return Some((keyword.trim().to_ascii_lowercase(), value));
    }
    let (keyword, rest) = (card.get(..8)?, card.get(8..)?);
    Some((keyword.trim_end().to_owned(), rest.strip_prefix("= ")?))
}

/// The value before any comment: text in single quotes (doubled inside), or a bare token.
fn value(field: &str) -> Option<Value> {
    let field = field.trim_start();
    let Some(quoted) = field.strip_prefix('\'') else {
        let token = field.split('/').next().unwrap_or_default().trim();
        return (!token.is_empty()).then(|| Value::Other(token.to_owned()));
    };
    let mut text = String::new();
    let mut characters = quoted.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            break;
        }
    }
    let end = text.trim_end().len();
    // Trailing blanks of text that goes on are part of it, but stand before the ampersand.
    text.truncate(end);
    Some(Value::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_and_content_come_back() {
        let long = "It's a long 'text' & ".repeat(20);
        for (keyword, text) in [
            ("TCOMM1", "short"),
            ("model_id", "lower case"),
            ("wavelength_centres_of_all_bands", long.trim_end()),
            ("TCOMM12", &long),
            ("recipe", "[train]\nrate = 1 # \u{c5} \u{1f31f}"),
            ("A", ""),
            ("quoted", "\"already\""),
            ("QUOTES", &"'".repeat(150)),
        ] {
            let cards = text_cards(keyword, text);
            assert!(cards.iter().all(|card| card.len() <= WIDTH && card.is_ascii()), "{cards:?}");
            assert_eq!(parse(&cards), [(keyword.to_owned(), text.to_owned())]);
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
        ];
        let cards: Vec<String> = cards.iter().map(|&card| card.to_owned()).collect();
        let expected = [("NAXIS1", "892"), ("TUNIT1", "km/s"), ("COMMENT", "none")];
        assert_eq!(parse(&cards), expected.map(|(keyword, value)| (keyword.to_owned(), value.to_owned())));
    }
}
