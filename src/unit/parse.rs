//! From a unit's text to the unit.

use super::atoms;
use super::dimensions::{Base, Dimensions};
use super::lexer::{Token, tokens};
use super::{Scale, Unit, Zero, ZeroPoint};
use std::fmt;

/// Longest text that can be a unit.
const LONGEST: usize = 200;
/// Deepest nesting of brackets.
const DEEPEST: usize = 8;

/// A text that is no unit known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The part that is not understood.
    pub part: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' is not understood", self.part)
    }
}

impl std::error::Error for Unknown {}

/// The unit that a text spells; a pure number for an empty one.
///
/// # Errors
/// When a part is not understood.
pub fn parse(text: &str) -> Result<Unit, Unknown> {
    let text = unquoted(text.trim());
    if super::is_absent(text) {
        return Ok(Unit::ONE);
    }
    let unknown = |part: &str| Unknown { part: part.chars().take(LONGEST).collect() };
    if text.len() > LONGEST {
        return Err(unknown(text));
    }
    if let Some(unit) = whole_text(text.trim()) {
        return Ok(unit);
    }
    let tokens = tokens(text).map_err(|part| unknown(&part))?;
    let mut parser = Parser { tokens: &tokens, position: 0 };
    let unit = parser.scaled(0).map_err(|part| unknown(&part.unwrap_or_else(|| text.trim().into())))?;
    let is_possible = unit.factor.is_finite() && unit.factor > 0.0;
    if parser.position < tokens.len() || !is_possible { Err(unknown(text.trim())) } else { Ok(unit) }
}

/// Texts that archives write and that are no unit expressions.
fn whole_text(text: &str) -> Option<Unit> {
    let magnitude = |zero_point| Some(Unit { scale: Scale::Magnitude(zero_point), ..linear(atoms::find("mag")?) });
    match text.to_ascii_lowercase().as_str() {
        // Gaia: logg_gspphot; APOGEE: LOGG.
        "log cgs" | "log(cgs)" | "log (cgs)" | "dex(cgs)" | "cgs" | "[cgs]" => {
            parse("cm/s2").ok().map(|inner| Unit { scale: Scale::Decadic, ..inner })
        }
        "abmag" | "mag_ab" | "mag ab" | "ab mag" | "ab" => magnitude(ZeroPoint::Ab),
        "stmag" | "mag_st" | "st mag" => magnitude(ZeroPoint::St),
        "vegamag" | "vega mag" | "mag_vega" | "mag vega" => magnitude(ZeroPoint::Vega),
        "deg_c" | "degc" | "deg c" | "celsius" | "°c" | "℃" => Some(shifted(1.0, Zero::Celsius)),
        "deg_f" | "degf" | "deg f" | "fahrenheit" | "°f" | "℉" => Some(shifted(5.0 / 9.0, Zero::Fahrenheit)),
        "log" | "log10" | "[-]" | "[---]" | "[]" => Some(Unit { scale: Scale::Decadic, ..Unit::ONE }),
        _ => None,
    }
}

fn linear((factor, dimensions): (f64, Dimensions)) -> Unit {
    Unit { factor, dimensions, scale: Scale::Linear }
}

/// A temperature of another zero, in degrees of so many kelvins.
fn shifted(factor: f64, zero: Zero) -> Unit {
    Unit { factor, dimensions: Dimensions::of(&[(Base::Kelvin, 1)]), scale: Scale::Shifted(zero) }
}

/// Why a text is no unit: the name that is not known, if it is one name.
type Fault = Option<String>;

struct Parser<'a> {
    tokens: &'a [Token],
    position: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn take_if(&mut self, is_wanted: impl Fn(&Token) -> bool) -> bool {
        let is = self.peek().is_some_and(is_wanted);
        self.position += usize::from(is);
        is
    }

    fn skip_space(&mut self) {
        self.take_if(|token| *token == Token::Space);
    }

    /// A whole text or what stands in the brackets of a logarithm: a logarithm, a magnitude with its
    /// zero-point, or an expression.
    fn scaled(&mut self, depth: usize) -> Result<Unit, Fault> {
        let start = self.position;
        if let Some(Token::Open('[')) = self.peek() {
            return self.decadic(depth);
        }
        if let Some(Token::Name(name)) = self.peek().cloned() {
            self.position += 1;
            let lower = name.to_ascii_lowercase();
            let has_argument = {
                self.skip_space();
                matches!(self.peek(), Some(Token::Open('(' | '[')))
            };
            match lower.as_str() {
                "dex" if !has_argument => return Ok(Unit { scale: Scale::Decadic, ..Unit::ONE }),
                "dex" | "log" | "lg" if has_argument => return self.decadic(depth),
                "mag" | "mmag" if has_argument => return self.magnitude(&name, depth),
                _ => self.position = start,
            }
        }
        self.product(depth)
    }

    /// The logarithm of what stands in brackets.
    fn decadic(&mut self, depth: usize) -> Result<Unit, Fault> {
        let inner = self.bracketed(depth)?;
        if inner.scale == Scale::Linear { Ok(Unit { scale: Scale::Decadic, ..inner }) } else { Err(None) }
    }

    /// `mag(AB)`, `mag(Vega)`, `mag(ct/s)`.
    fn magnitude(&mut self, name: &str, depth: usize) -> Result<Unit, Fault> {
        let zero_point = match self.tokens.get(self.position + 1) {
            Some(Token::Name(system)) => match system.to_ascii_lowercase().as_str() {
                "ab" => Some(ZeroPoint::Ab),
                "st" => Some(ZeroPoint::St),
                "vega" => Some(ZeroPoint::Vega),
                "bol" => Some(ZeroPoint::Other),
                _ => None,
            },
            _ => None,
        };
        match zero_point {
            Some(_) => {
                self.position += 2;
                if !self.take_if(|token| matches!(token, Token::Close(_))) {
                    return Err(None);
                }
            }
            None => {
                self.bracketed(depth)?;
            }
        }
        let unit = linear(atoms::find(name).ok_or_else(|| Some(name.to_owned()))?);
        Ok(Unit { scale: Scale::Magnitude(zero_point.unwrap_or(ZeroPoint::Other)), ..unit })
    }

    /// What stands in brackets.
    fn bracketed(&mut self, depth: usize) -> Result<Unit, Fault> {
        let closing = match self.peek() {
            Some(Token::Open('(')) => ')',
            Some(Token::Open('[')) => ']',
            _ => return Err(None),
        };
        if depth == DEEPEST {
            return Err(None);
        }
        self.position += 1;
        self.skip_space();
        let unit = self.product(depth + 1)?;
        self.skip_space();
        if self.take_if(|token| *token == Token::Close(closing)) { Ok(unit) } else { Err(None) }
    }

    /// Factors, of which all that follow the first slash are divided by, as astropy reads them: `erg / s cm2`
    /// is erg/(s cm²).
    fn product(&mut self, depth: usize) -> Result<Unit, Fault> {
        self.skip_space();
        let mut is_below = self.peek() == Some(&Token::Divide);
        let mut unit = if is_below { Unit::ONE } else { self.factor(depth)? };
        loop {
            let before = self.position;
            self.skip_space();
            match self.peek() {
                Some(Token::Divide) => {
                    self.position += 1;
                    is_below = true;
                }
                Some(Token::Times) => self.position += 1,
                Some(Token::Name(_) | Token::Number(..) | Token::Open('(')) => {}
                _ => {
                    self.position = before;
                    return Ok(unit);
                }
            }
            self.skip_space();
            let next = self.factor(depth)?;
            let factor = if is_below { unit.factor / next.factor } else { unit.factor * next.factor };
            let exponent = if is_below { -1.0 } else { 1.0 };
            unit = linear((factor, unit.dimensions.times(next.dimensions, exponent)));
        }
    }

    /// A number, a name or a bracket, with its power.
    fn factor(&mut self, depth: usize) -> Result<Unit, Fault> {
        let unit = match self.peek().cloned() {
            Some(Token::Number(value, text)) => {
                self.position += 1;
                // CDS: 10-17 is 10⁻¹⁷.
                if let ("10", Some(Token::Number(exponent, signed))) = (text.as_str(), self.peek().cloned())
                    && signed.starts_with(['+', '-'])
                {
                    self.position += 1;
                    return Ok(linear((10_f64.powf(exponent), Dimensions::NONE)));
                }
                linear((value, Dimensions::NONE))
            }
            Some(Token::Name(name)) => {
                self.position += 1;
                linear(atoms::find(&name).ok_or(Some(name))?)
            }
            Some(Token::Open('(')) => self.bracketed(depth)?,
            _ => return Err(None),
        };
        let Some(exponent) = self.exponent(&unit)? else { return Ok(unit) };
        Ok(linear((unit.factor.powf(exponent), unit.dimensions.power(exponent as f32))))
    }

    /// The power after a factor: `**-2`, `^{-2}`, `^(1/2)`, `(1/2)` as FITS has it, or a number at once
    /// (`m2`, `s-1`), the last only after names and brackets.
    fn exponent(&mut self, base: &Unit) -> Result<Option<f64>, Fault> {
        let is_marked = self.take_if(|token| *token == Token::Power);
        let opens = matches!(self.peek(), Some(Token::Open('(' | '{')));
        let holds_number = matches!(self.tokens.get(self.position + 1), Some(Token::Number(..)));
        if opens && (is_marked || holds_number && self.closes_after_number()) {
            return self.ratio().map(Some);
        }
        if is_marked {
            return self.number().map(Some);
        }
        let follows = matches!(self.peek(), Some(Token::Number(..)));
        let is_number =
            base.dimensions.is_none() && matches!(self.tokens.get(self.position.wrapping_sub(1)), Some(Token::Number(..)));
        if follows && !is_number { self.number().map(Some) } else { Ok(None) }
    }

    /// Whether the bracket ahead holds a number, or a ratio of two, and nothing else.
    fn closes_after_number(&self) -> bool {
        let is_close = |ahead: usize| matches!(self.tokens.get(self.position + ahead), Some(Token::Close(_)));
        let is_ratio = self.tokens.get(self.position + 2) == Some(&Token::Divide);
        is_close(2) || is_ratio && is_close(4)
    }

    /// A number, or a ratio of two, in brackets.
    fn ratio(&mut self) -> Result<f64, Fault> {
        self.position += 1;
        self.skip_space();
        let mut value = self.number()?;
        self.skip_space();
        if self.take_if(|token| *token == Token::Divide) {
            self.skip_space();
            value /= self.number()?;
            self.skip_space();
        }
        let is_closed = self.take_if(|token| matches!(token, Token::Close(_)));
        if is_closed && value.is_finite() { Ok(value) } else { Err(None) }
    }

    fn number(&mut self) -> Result<f64, Fault> {
        match self.peek() {
            Some(Token::Number(value, _)) if value.abs() <= 300.0 => {
                let value = *value;
                self.position += 1;
                Ok(value)
            }
            _ => Err(None),
        }
    }
}
/// A unit without the quotes that enclose the whole of it.
fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).filter(|inside| !inside.contains(quote));
    inside('\'').or_else(|| inside('"')).filter(|inside| inside.contains(['.', '*', ' ', '/'])).unwrap_or(text)
}
