//! What stands for null in a column: `<VALUES null="-99.0"/>`.

/// A null value as it is written, and as a number: `-99`, `-99.0` and `-9.9e1` are one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Null {
    text: Option<String>,
    integer: Option<i64>,
    float: Option<f64>,
}

impl Null {
    /// The null of the text of the attribute; none where that is empty.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let float = super::cells::float::<f64>(text);
        let integer = super::cells::integer(text).or_else(|| float.and_then(exact_integer));
        Self { text: (!text.is_empty()).then(|| text.to_owned()), integer, float }
    }

    pub fn is_text(&self, text: &str) -> bool {
        self.text.as_deref() == Some(text)
    }

    pub fn is_integer(&self, value: i64) -> bool {
        self.integer == Some(value)
    }

    pub fn is_double(&self, value: f64) -> bool {
        self.float == Some(value)
    }

    /// Whether a 32-bit float is the null, which it has as near as it can.
    pub fn is_float(&self, value: f32) -> bool {
        self.float.is_some_and(|null| null as f32 == value)
    }

    /// Whether floats can be the null at all, which saves looking at each.
    pub fn is_number(&self) -> bool {
        self.float.is_some()
    }
}

/// The integer that a float is, if it is one that floats hold exactly.
fn exact_integer(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_null_in_many_spellings() {
        for text in ["-99", " -99.0 ", "-9.9e1", "-99."] {
            let null = Null::new(text);
            assert!(null.is_integer(-99) && null.is_double(-99.0) && null.is_float(-99.0), "{text}");
            assert!(!null.is_integer(99) && !null.is_double(f64::NAN));
        }
        assert!(Null::new("-99.9").is_float(-99.9) && !Null::new("-99.9").is_integer(-99));
        assert!(Null::new("9223372036854775807").is_integer(i64::MAX));
        assert!(!Null::new("1e300").is_integer(i64::MAX));
        assert!(Null::new("N/A").is_text("N/A") && !Null::new("N/A").is_number());
        let none = Null::new("");
        assert!(!none.is_text("") && !none.is_integer(0) && !none.is_double(0.0));
    }
}
