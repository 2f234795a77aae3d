//! A unit's text as tokens.

/// A token of a unit's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A number; the text tells `10` from `1e1`, for the CDS power `10-17`.
    Number(f64, String),
    Name(String),
    /// `*`, `.`, `·`, `×`.
    Times,
    /// A space between two factors.
    Space,
    Divide,
    /// `**`, `^`.
    Power,
    Open(char),
    Close(char),
}

/// The tokens of a text; what cannot be one is the error.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let characters: Vec<char> = text.trim().chars().map(normal).collect();
    let mut tokens = Vec::new();
    let mut position = 0;
    while let Some(&character) = characters.get(position) {
        let next = characters.get(position + 1).copied();
        position += 1;
        match character {
            ' ' | '\t' | '_' => {
                if tokens.last() != Some(&Token::Space) {
                    tokens.push(Token::Space);
                }
            }
            '*' if next == Some('*') => {
                position += 1;
                tokens.push(Token::Power);
            }
            '^' => tokens.push(Token::Power),
            '*' | '·' | '⋅' | '×' => tokens.push(Token::Times),
            '/' => tokens.push(Token::Divide),
            '(' | '[' | '{' => tokens.push(Token::Open(character)),
            ')' | ']' | '}' => tokens.push(Token::Close(character)),
            // VOUnit quotes names that it does not know; a single quote or two alone are minutes and seconds
            // of arc.
            '\'' | '"' => match quoted(&characters[position..], character) {
                Some(name) => {
                    position += name.chars().count() + 1;
                    tokens.push(Token::Name(name));
                }
                None => tokens.push(Token::Name(character.to_string())),
            },
            '.' if !next.is_some_and(|next| next.is_ascii_digit()) || is_factor(tokens.last()) => tokens.push(Token::Times),
            '0'..='9' | '.' | '+' | '-' => {
                let (value, length) = number(&characters[position - 1..]).ok_or_else(|| character.to_string())?;
                let text: String = characters[position - 1..position - 1 + length].iter().collect();
                position += length - 1;
                tokens.push(Token::Number(value, text));
            }
            '⁺' | '⁻' | '⁰'..='⁹' | '²' | '³' | '¹' => {
                let rest = &characters[position - 1..];
                let digits: String = rest.iter().map_while(|&character| superscript(character)).collect();
                let value = digits.parse::<f64>().map_err(|_| digits.clone())?;
                position += digits.chars().count() - 1;
                tokens.extend([Token::Power, Token::Number(value, digits)]);
            }
            character if is_name(character) => {
                let rest = &characters[position..];
                let more: String = rest.iter().take_while(|&&character| is_name(character) || character == '_').collect();
                position += more.chars().count();
                let mut name = format!("{character}{more}");
                // `e-` is an electron where no number follows.
                if name == "e" && rest.first() == Some(&'-') && !rest.get(1).is_some_and(char::is_ascii_digit) {
                    position += 1;
                    name.push('-');
                }
                if name.eq_ignore_ascii_case("log") && characters[position..].starts_with(&['1', '0']) {
                    position += 2;
                }
                tokens.push(Token::Name(name));
            }
            other => return Err(other.to_string()),
        }
    }
    while tokens.last() == Some(&Token::Space) {
        tokens.pop();
    }
    Ok(tokens)
}

/// One character for the several that look alike.
fn normal(character: char) -> char {
    match character {
        'μ' => 'µ',
        '\u{212b}' => 'Å',
        '\u{2212}' | '\u{2013}' => '-',
        '\u{2019}' => '\'',
        '\u{a0}' | '\u{2009}' | '\u{202f}' => ' ',
        other => other,
    }
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphabetic() || matches!(character, 'µ' | 'Å' | '%' | '°' | '′' | '″' | '⊙' | '☉')
}

/// Whether a dot after this token is a product even though a digit follows (`cm.2s` is no unit, `2.5` is one
/// number already).
fn is_factor(last: Option<&Token>) -> bool {
    matches!(last, Some(Token::Name(_) | Token::Close(_)))
}

/// The name up to the closing quote, where there is one.
fn quoted(rest: &[char], quote: char) -> Option<String> {
    let length = rest.iter().position(|&character| character == quote)?;
    let name: String = rest[..length].iter().collect();
    (!name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric())).then_some(name)
}

fn superscript(character: char) -> Option<char> {
    Some(match character {
        '⁺' => '+',
        '⁻' => '-',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁰'..='⁹' => char::from_digit(character as u32 - '⁰' as u32, 10)?,
        _ => return None,
    })
}

/// A signed decimal number at the start, and how many characters it has. An exponent is one only where digits
/// follow its `e`; a dot only where a digit does (`m-2.nm`).
fn number(characters: &[char]) -> Option<(f64, usize)> {
    let digits = |from: usize| characters[from..].iter().take_while(|character| character.is_ascii_digit()).count();
    let is_sign = |position: usize| matches!(characters.get(position), Some('+' | '-'));
    let mut length = usize::from(is_sign(0));
    let whole = digits(length);
    length += whole;
    let mut fraction = 0;
    if characters.get(length) == Some(&'.') {
        fraction = digits(length + 1);
        length += if fraction > 0 { fraction + 1 } else { 0 };
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(characters.get(length), Some('e' | 'E')) {
        let start = length + 1 + usize::from(is_sign(length + 1));
        let exponent = if start <= characters.len() { digits(start) } else { 0 };
        length = if exponent > 0 { start + exponent } else { length };
    }
    let text: String = characters[..length].iter().collect();
    Some((text.parse().ok()?, length))
}
