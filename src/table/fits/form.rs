//! TFORM: the storage of a column, `rT`, `rAw`, `1PT(max)` or `1QT(max)`.

/// The stored type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Logical,
    Bit,
    Byte,
    Short,
    Int,
    Long,
    Text,
    Float,
    Double,
    Complex,
    DoubleComplex,
}

/// Where the elements of a row lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// In the row.
    Row,
    /// In the heap; the row holds length and offset, of 32 bits each.
    Heap32,
    /// As [`Self::Heap32`], of 64 bits each.
    Heap64,
}

/// A parsed TFORM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub code: Code,
    pub storage: Storage,
    /// Elements a row (bytes for text, bits for bits; descriptors for lists in the heap).
    pub repeat: usize,
    /// Bytes of one text.
    pub text_width: usize,
}

impl Code {
    fn parse(letter: u8) -> Option<Self> {
        Some(match letter {
            b'L' => Self::Logical,
            b'X' => Self::Bit,
            b'B' => Self::Byte,
            b'I' => Self::Short,
            b'J' => Self::Int,
            b'K' => Self::Long,
            b'A' => Self::Text,
            b'E' => Self::Float,
            b'D' => Self::Double,
            b'C' => Self::Complex,
            b'M' => Self::DoubleComplex,
            _ => return None,
        })
    }

    /// Bytes of `count` elements, if they can be counted.
    pub fn bytes(self, count: usize) -> Option<usize> {
        let size = match self {
            Self::Bit => return Some(count.div_ceil(8)),
            Self::Logical | Self::Byte | Self::Text => 1,
            Self::Short => 2,
            Self::Int | Self::Float => 4,
            Self::Long | Self::Double | Self::Complex => 8,
            Self::DoubleComplex => 16,
        };
        count.checked_mul(size)
    }
}

impl Form {
    /// A TFORM; none where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let repeat = if digits == 0 { 1 } else { text[..digits].parse().ok()? };
        let mut letters = text[digits..].bytes();
        let first = letters.next()?;
        let storage = match first {
            b'P' => Storage::Heap32,
            b'Q' => Storage::Heap64,
            _ => Storage::Row,
        };
        let code = Code::parse(if storage == Storage::Row { first } else { letters.next()? })?;
        // A list in the heap has one descriptor a row, or none.
        if storage != Storage::Row && repeat > 1 {
            return None;
        }
        let rest = &text[digits + 1..];
        let width = rest.parse().ok().filter(|&width: &usize| width > 0 && width <= repeat);
        Some(Self { code, storage, repeat, text_width: width.unwrap_or(repeat) })
    }

    /// Bytes of a row, if they can be counted.
    pub fn width(&self) -> Option<usize> {
        match self.storage {
            Storage::Row => self.code.bytes(self.repeat),
            Storage::Heap32 => self.repeat.checked_mul(8),
            Storage::Heap64 => self.repeat.checked_mul(16),
        }
    }

    /// Texts of a row by TDIM, `(characters,n,m…)`, where TFORM does not say it and both agree.
    pub fn with_dimensions(mut self, dimensions: &str) -> Self {
        let inner = dimensions.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let lengths =
            inner.map(|inner| inner.split(',').map(|length| length.trim().parse::<usize>()).collect::<Result<Vec<_>, _>>());
        if let (Code::Text, Storage::Row, Some(Ok(lengths))) = (self.code, self.storage, lengths)
            && let Some(product) = lengths.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))
            && self.text_width == self.repeat
            && product == self.repeat
            && lengths[0] > 0
        {
            self.text_width = lengths[0];
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = |code, storage, repeat, text_width| Some(Form { code, storage, repeat, text_width });
        assert_eq!(Form::parse("D"), form(Code::Double, Storage::Row, 1, 1));
        assert_eq!(Form::parse(" 66E "), form(Code::Float, Storage::Row, 66, 66));
        assert_eq!(Form::parse("60A12"), form(Code::Text, Storage::Row, 60, 12));
        assert_eq!(Form::parse("5A12"), form(Code::Text, Storage::Row, 5, 5));
        assert_eq!(Form::parse("1PD(1485)"), form(Code::Double, Storage::Heap32, 1, 1));
        assert_eq!(Form::parse("QA(29000)"), form(Code::Text, Storage::Heap64, 1, 1));
        assert_eq!(Form::parse("0PE"), form(Code::Float, Storage::Heap32, 0, 0));
        assert_eq!(Form::parse("11X").and_then(|form| form.width()), Some(2));
        assert_eq!(Form::parse(&format!("{}M", usize::MAX)).and_then(|form| form.width()), None);
        for wrong in ["", "3", "F8.3", "2PE", "P", "99999999999999999999A", "\u{e9}A"] {
            assert_eq!(Form::parse(wrong), None, "{wrong}");
        }
        let dimensions = |text, dimensions| Form::parse(text).map(|form: Form| form.with_dimensions(dimensions).text_width);
        assert_eq!(dimensions("12A", "(4,3)"), Some(4));
        assert_eq!(dimensions("12A", "(5,3)"), Some(12), "more than there is: not believed");
        assert_eq!(dimensions("12A6", "(4,3)"), Some(6));
        assert_eq!(dimensions("12A", "4,3"), Some(12));
    }
}
