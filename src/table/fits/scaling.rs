//! TSCAL and TZERO: stored integers to what they stand for, exactly where that is an integer (unsigned
//! integers are stored so).

use super::form::Code;
use super::header::Header;
use crate::error::Result;
use crate::table::ValueType;

/// value = TZERO + TSCAL · stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scaling {
    /// As stored.
    None,
    Integer {
        scale: i128,
        zero: i128,
    },
    Float {
        scale: f64,
        zero: f64,
    },
}

/// 2⁶³, the largest factor that is taken for an integer (TZERO of unsigned 64-bit integers).
const LARGEST_FACTOR: f64 = 9_223_372_036_854_775_808.0;

/// The scaling of column `number` (from 1), and the type of its scaled values: integers of 32 bits where all
/// stored values fit, of 64 bits where they may (a value that does not is an error of its row), floats of
/// double precision otherwise (days since 2 457 000 are none in single).
///
/// # Errors
/// When TSCAL or TZERO is not a number, or TSCAL is zero.
pub(super) fn of_column(header: &Header, number: usize, code: Code) -> Result<(Scaling, Option<ValueType>)> {
    let (scaling, values) = of_keywords(header, &format!("TSCAL{number}"), &format!("TZERO{number}"), code)?;
    let is_float = matches!(scaling, Scaling::Float { .. });
    Ok((scaling, if is_float { values.map(|_| ValueType::Float64) } else { values }))
}

/// The scaling of an image (BSCALE, BZERO), with the type of its values. An image of integers with BLANK
/// becomes floats, among which NaN can stand for the blank ones.
///
/// # Errors
/// As [`of_column`]; when BLANK is no integer.
pub(super) fn of_image(header: &Header, code: Code) -> Result<(Scaling, ValueType, Option<i64>)> {
    let (scaling, values) = of_keywords(header, "BSCALE", "BZERO", code)?;
    // Images have no complex pixels.
    let values = values.unwrap_or(ValueType::Float64);
    let keyword = if header.value("ZBLANK").is_some() { "ZBLANK" } else { "BLANK" };
    let is_integer = matches!(code, Code::Byte | Code::Short | Code::Int | Code::Long);
    let Some(text) = header.value(keyword).filter(|_| is_integer) else { return Ok((scaling, values, None)) };
    let blank = text.parse().map_err(|_| header.wrong(keyword, &format!("'{text}'"), "an integer"))?;
    Ok(match scaling {
        Scaling::None => (Scaling::Float { scale: 1.0, zero: 0.0 }, ValueType::Float64, Some(blank)),
        Scaling::Integer { scale, zero } => {
            (Scaling::Float { scale: scale as f64, zero: zero as f64 }, ValueType::Float64, Some(blank))
        }
        Scaling::Float { .. } => (scaling, values, Some(blank)),
    })
}

fn of_keywords(header: &Header, scale: &str, zero: &str, code: Code) -> Result<(Scaling, Option<ValueType>)> {
    let (scale_keyword, zero_keyword) = (scale, zero);
    let stored = match code {
        Code::Logical | Code::Bit => return Ok((Scaling::None, Some(ValueType::Bool))),
        Code::Text => return Ok((Scaling::None, Some(ValueType::Text))),
        Code::Complex | Code::DoubleComplex => return Ok((Scaling::None, None)),
        Code::Float => ValueType::Float32,
        Code::Double => ValueType::Float64,
        Code::Byte | Code::Short | Code::Int => ValueType::Int32,
        Code::Long => ValueType::Int64,
    };
    let scale = factor(header, scale_keyword, 1)?;
    let zero = factor(header, zero_keyword, 0)?;
    if scale.as_f64() == 0.0 {
        return Err(header.wrong(scale_keyword, "0", "a number other than zero"));
    }
    if (scale, zero) == (Factor::Integer(1), Factor::Integer(0)) {
        return Ok((Scaling::None, Some(stored)));
    }
    let range: (i128, i128) = match code {
        Code::Byte => (0, 255),
        Code::Short => (i16::MIN.into(), i16::MAX.into()),
        Code::Int => (i32::MIN.into(), i32::MAX.into()),
        Code::Long => (i64::MIN.into(), i64::MAX.into()),
        _ => {
            let scaling = Scaling::Float { scale: scale.as_f64(), zero: zero.as_f64() };
            return Ok((scaling, Some(stored)));
        }
    };
    if let (Factor::Integer(scale), Factor::Integer(zero)) = (scale, zero) {
        // Factors and stored values are within 2⁶³: no overflow in 128 bits.
        let (a, b) = (zero + scale * range.0, zero + scale * range.1);
        let within = |low: i128, high: i128| a.min(b) >= low && a.max(b) <= high;
        let scaling = Scaling::Integer { scale, zero };
        if within(i32::MIN.into(), i32::MAX.into()) {
            return Ok((scaling, Some(ValueType::Int32)));
        }
        if within(i64::MIN.into(), i64::MAX.into()) || within(0, u64::MAX.into()) {
            return Ok((scaling, Some(ValueType::Int64)));
        }
    }
    let is_short = matches!(code, Code::Byte | Code::Short);
    let is_integer = matches!((scale, zero), (Factor::Integer(_), Factor::Integer(_)));
    let value_type = if is_short && !is_integer { ValueType::Float32 } else { ValueType::Float64 };
    Ok((Scaling::Float { scale: scale.as_f64(), zero: zero.as_f64() }, Some(value_type)))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Factor {
    Integer(i128),
    Float(f64),
}

impl Factor {
    fn as_f64(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// A number of the header, an integer where it is one, however it is written (`32768`, `3.2768E4`,
/// `3.2768D4`).
fn factor(header: &Header, keyword: &str, default: i128) -> Result<Factor> {
    let Some(text) = header.value(keyword) else { return Ok(Factor::Integer(default)) };
    let wrong = || header.wrong(keyword, &format!("'{text}'"), "a number");
    if let Ok(value) = text.parse::<i128>()
        && value.unsigned_abs() <= 1 << 63
    {
        return Ok(Factor::Integer(value));
    }
    let value: f64 = text.replace(['D', 'd'], "E").parse().map_err(|_| wrong())?;
    if !value.is_finite() {
        return Err(wrong());
    }
    let is_integer = value.fract() == 0.0 && value.abs() <= LARGEST_FACTOR;
    Ok(if is_integer { Factor::Integer(value as i128) } else { Factor::Float(value) })
}
