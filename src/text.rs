//! Text from files as it may be shown: nothing in it moves the cursor, colours the terminal or turns the
//! direction of writing. And hashes as texts.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Characters that a terminal obeys rather than shows: control characters of both sets, line and paragraph
/// separators, marks that turn the direction of writing, and the byte-order mark.
fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text on one line with every character that a terminal obeys written out, `\x1b` for escape; line ends
/// and tabulators become spaces. Applied twice it changes nothing more.
///
/// ```
/// assert_eq!(photosphere::text::printable("a\u{1b}[31mb\nc"), "a\\x1b[31mb c");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\r' | '\t').then_some(' '))
}

/// As [`printable`], with line ends and tabulators as they are.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t').then_some(character))
}

fn escaped(text: &str, kept: impl Fn(char) -> Option<char>) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match (is_obeyed(character), kept(character)) {
            (false, _) => shown.push(character),
            (true, Some(kept)) => shown.push(kept),
            (true, None) => {
                let code = u32::from(character);
                // Writing to a string cannot fail.
                let _ = if code < 0x100 { write!(shown, "\\x{code:02x}") } else { write!(shown, "\\u{{{code:x}}}") };
            }
        }
    }
    Cow::Owned(shown)
}

/// The text with numbers of more than 25 characters in powers of ten: `1e300` in place of 301 digits.
pub fn with_short_numbers(text: &str) -> Cow<'_, str> {
    const MOST: usize = 25;
    let is_of_number = |character: char| character.is_ascii_digit() || matches!(character, '.' | '-');
    // Digits of a name are none of a number.
    let is_of_name =
        |character: Option<char>| character.is_some_and(|found| found.is_alphanumeric() || matches!(found, '_' | '/'));
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(is_of_number) {
        let end = rest[start..].find(|character| !is_of_number(character)).map_or(rest.len(), |length| start + length);
        // A full stop is the sentence's.
        let end = start + rest[start..end].trim_end_matches('.').len().max(1);
        shown.push_str(&rest[..start]);
        let is_alone = !is_of_name(shown.chars().next_back()) && !is_of_name(rest[end..].chars().next());
        let long = Some(&rest[start..end]).filter(|number| is_alone && number.len() > MOST);
        let number = long.and_then(|number| number.parse::<f64>().ok()).filter(|number| number.is_finite());
        match number {
            // Writing to a string cannot fail.
            Some(number) => _ = write!(shown, "{number:e}"),
            None => shown.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    match shown.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(shown + rest),
    }
}

/// JSON text in which those characters are escaped too that JSON itself lets stand (the second set of control
/// characters, say).
pub fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' => shown.push(character),
            // All of them have four hexadecimal digits at most.
            _ if is_obeyed(character) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{:04x}", u32::from(character));
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// A text on one line, for metadata: as it is, or as a JSON string where it has several lines or other
/// control characters, which no FITS card can hold and which astropy drops from other formats' metadata when
/// it writes FITS. [`of_one_line`] is the way back.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_obeyed) || text.starts_with('"') {
        return Cow::Owned(printable_json(&serde_json::Value::from(text).to_string()));
    }
    Cow::Borrowed(text)
}

/// The text that [`on_one_line`] put on one line; any other as it is.
pub fn of_one_line(text: &str) -> Cow<'_, str> {
    let quoted = text.starts_with('"').then(|| serde_json::from_str::<String>(text).ok()).flatten();
    quoted.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The first `most` characters, and `…` where there are more.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Reads a TOML text, all of it: a list with more values than are taken is a fault. (The parser leaves out
/// what is too much for a pair.)
///
/// # Errors
/// What is wrong, and where.
pub fn read_toml<T: DeserializeOwned + Serialize>(text: &str) -> Result<T, String> {
    let value: T = toml::from_str(text).map_err(|error| fault_in_toml(text, &error))?;
    let given = toml::from_str::<toml::Value>(text).ok();
    let taken = toml::Value::try_from(&value).ok();
    match given.zip(taken).and_then(|(given, taken)| cut_list(&given, &taken)) {
        None => Ok(value),
        Some((place, given, taken)) => Err(format!("{given} values in {place}, of which {taken} are taken")),
    }
}

/// The first list of which values were left out: its place, how many it has and how many were taken.
fn cut_list(given: &toml::Value, taken: &toml::Value) -> Option<(String, usize, usize)> {
    let within = |name: String, found: Option<(String, usize, usize)>| {
        let join = |place: String| if place.is_empty() { name.clone() } else { format!("{name}.{place}") };
        found.map(|(place, given, taken)| (join(place), given, taken))
    };
    match (given, taken) {
        (toml::Value::Table(given), toml::Value::Table(taken)) => {
            given.iter().find_map(|(key, value)| within(key.clone(), cut_list(value, taken.get(key)?)))
        }
        (toml::Value::Array(given), toml::Value::Array(taken)) if given.len() > taken.len() => {
            Some((String::new(), given.len(), taken.len()))
        }
        (toml::Value::Array(given), toml::Value::Array(taken)) => {
            let mut pairs = given.iter().zip(taken).enumerate();
            pairs.find_map(|(i, (given, taken))| within(format!("{}", i + 1), cut_list(given, taken)))
        }
        _ => None,
    }
}

/// What is wrong in a TOML text, and where: line, column and the beginning of that line.
pub fn fault_in_toml(source: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim();
    let Some(before) = error.span().and_then(|span| source.get(..span.start)) else { return message.to_owned() };
    let (number, start) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
    let line = source[start..].lines().next().unwrap_or_default().trim();
    let column = before[start..].chars().count() + 1;
    format!("{}, at line {number}, column {column} ({})", without_types(message), shortened(line, 60))
}

/// A message of the parser with what is written in place of names of Rust types.
fn without_types(message: &str) -> String {
    if let Some(count) = message.strip_prefix("wanted exactly 1 element, ") {
        let count = if count.starts_with("more") { "more than one key" } else { "no key" };
        return format!("a table of {count}, expected one key alone, which says of what kind it is");
    }
    let Some((before, name)) = message.rsplit_once("expected ") else { return message.to_owned() };
    let is_type = ["struct ", "enum ", "internally tagged enum ", "tuple struct "].iter().any(|kind| name.starts_with(kind));
    if is_type { format!("{before}expected a table") } else { message.to_owned() }
}

/// The first name that occurs a second time.
pub(crate) fn first_repeated<'a, Name: AsRef<str> + ?Sized>(names: impl IntoIterator<Item = &'a Name>) -> Option<&'a Name> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|&name| !seen.insert(name.as_ref()))
}

/// The digits of a finished hash.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_short_and_types_are_not_named() {
        let long = format!("{} to {}, source 4611686018427387904, 0.12345678901234567", 1e300, -1e-40);
        assert_eq!(with_short_numbers(&long), "1e300 to -1e-40, source 4611686018427387904, 0.12345678901234567");
        assert_eq!(with_short_numbers(&format!("found {}.", 1e300)), "found 1e300.");
        for same in
            ["", "no number. .. 4.", "…-… 3", "1111111111111111111111111111.1.1", "/a/0000000000000000000000000000001.fits"]
        {
            assert_eq!(with_short_numbers(same), same);
        }

        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[allow(dead_code)]
            guard: Inner,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Inner {}
        let text = "guard = 1.0";
        let error = toml::from_str::<Outer>(text).unwrap_err();
        let message = fault_in_toml(text, &error);
        assert!(message.contains("expected a table, at line 1"), "{message}");
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Grid {
            Log,
            Linear,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Spectra {
            #[allow(dead_code)]
            grid: Grid,
        }
        for (text, found) in [("[grid]\nfirst = 3.0\nlast = 4.0", "more than one key"), ("grid = {}", "no key")] {
            let message = fault_in_toml(text, &toml::from_str::<Spectra>(text).unwrap_err());
            assert!(message.starts_with(&format!("a table of {found}")), "{message}");
        }
    }

    #[test]
    fn texts_of_several_lines_on_one_and_back() {
        for text in ["", "a b", "[start]\ndraws = 3\npath = \"a\\b\"\n", "\"quoted\"", "\"", "a\tb\u{85}c\u{2028}"] {
            let line = on_one_line(text);
            assert!(!line.chars().any(is_obeyed), "{line}");
            assert_eq!(of_one_line(&line), text);
        }
        assert_eq!(on_one_line("draws = 3\nruns = 4"), "\"draws = 3\\nruns = 4\"");
        assert_eq!(of_one_line("draws = 3\nruns = 4"), "draws = 3\nruns = 4", "as catalogues had it before");
    }

    #[test]
    fn terminals_are_shown_what_they_would_obey() {
        assert!(matches!(printable("T_eff, α, 温度"), Cow::Borrowed(_)));
        let hostile = "a\u{1b}]0;title\u{7}\u{9b}2J\u{202e}b\r\nc";
        assert_eq!(printable(hostile), "a\\x1b]0;title\\x07\\x9b2J\\u{202e}b  c");
        assert_eq!(printable(&printable(hostile)), printable(hostile));
        assert_eq!(printable_lines("a\n\tb\r\u{0}"), "a\n\tb\\x0d\\x00");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "name": "a\u{9b}b\u{202e}\n" });
        let shown = printable_json(&format!("{value:#}"));
        assert!(!shown.contains('\u{9b}') && !shown.contains('\u{202e}'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn faults_of_toml_have_a_place() {
        let text = "a = 1\n[b]\n  c = [1, 2\n";
        let fault = fault_in_toml(text, &toml::from_str::<toml::Table>(text).unwrap_err());
        assert!(fault.contains("at line ") && fault.contains("(c = [1, 2)") || fault.contains("line 4"), "{fault}");
        let text = "a = 1\nb = 2";
        let error = toml::from_str::<std::collections::BTreeMap<String, bool>>(text).unwrap_err();
        assert!(fault_in_toml(text, &error).ends_with("at line 1, column 5 (a = 1)"), "{}", fault_in_toml(text, &error));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shortened("αβγ", 2), "αβ…");
        assert_eq!(shortened("αβγ", 3), "αβγ");
    }

    #[test]
    fn lists_are_read_whole_or_not_at_all() {
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        struct Inner {
            range: [f64; 2],
        }
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        struct Outer {
            inner: Vec<Inner>,
        }
        let of = |text: &str| read_toml::<Outer>(text);
        assert_eq!(of("inner = [{ range = [1.0, 2.0] }]").unwrap().inner[0].range, [1.0, 2.0]);
        let fault = of("inner = [{ range = [0.0, 1.0] }, { range = [3.0, 4.0, 5.0] }]").unwrap_err();
        assert_eq!(fault, "3 values in inner.2.range, of which 2 are taken");
        assert!(of("inner = [{ range = [1.0] }]").is_err());
    }
}
