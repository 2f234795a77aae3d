//! What a FIELD element says of the type of a column.

use crate::table::{ColumnSchema, ColumnType, Layout, ValueType};

/// VOTable's primitive types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    Boolean,
    Bit,
    UnsignedByte,
    Short,
    Int,
    Long,
    Char,
    UnicodeChar,
    Float,
    Double,
    FloatComplex,
    DoubleComplex,
}

/// A column as the file declares it.
#[derive(Debug)]
pub(super) struct Field {
    pub schema: ColumnSchema,
    pub datatype: Datatype,
    /// Elements a row; `None` where they vary. Characters are elements.
    pub count: Option<usize>,
    /// Integer that stands for null.
    pub null: Option<i64>,
    /// `None` for types that a table cannot hold.
    pub column_type: Option<ColumnType>,
    /// Datatype and arraysize as written, for messages.
    pub declared: String,
}

impl Field {
    /// # Errors
    /// What was found, when datatype or arraysize are not VOTable's.
    pub fn new(schema: ColumnSchema, datatype: &str, arraysize: &str, null: Option<i64>) -> Result<Self, String> {
        let declared = format!("{datatype} {arraysize}").trim_end().to_owned();
        let unknown = || format!("the type '{declared}'");
        let datatype = Datatype::from_name(datatype).ok_or_else(unknown)?;
        let is_variable = arraysize.ends_with('*');
        let lengths = arraysize.trim_end_matches('*').trim_end_matches('x');
        let product = |product: usize, length: &str| product.checked_mul(length.trim().parse().ok()?);
        let n_fixed = if lengths.is_empty() { 1 } else { lengths.split('x').try_fold(1, product).ok_or_else(unknown)? };
        let layout = match (is_variable, n_fixed) {
            (true, _) => Layout::Variable,
            (false, 1) => Layout::Scalar,
            (false, length) => Layout::Fixed(length),
        };
        let is_text_list = arraysize.contains('x') && matches!(datatype, Datatype::Char | Datatype::UnicodeChar);
        let column_type = datatype.value_type().filter(|_| !is_text_list).map(|values| match values {
            ValueType::Text => ColumnType::scalar(ValueType::Text),
            values => ColumnType { values, layout },
        });
        Ok(Self { schema, datatype, count: (!is_variable).then_some(n_fixed), null, column_type, declared })
    }
}

impl Datatype {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "bit" => Self::Bit,
            "unsignedByte" => Self::UnsignedByte,
            "short" => Self::Short,
            "int" => Self::Int,
            "long" => Self::Long,
            "char" => Self::Char,
            "unicodeChar" => Self::UnicodeChar,
            "float" => Self::Float,
            "double" => Self::Double,
            "floatComplex" => Self::FloatComplex,
            "doubleComplex" => Self::DoubleComplex,
            _ => return None,
        })
    }

    fn value_type(self) -> Option<ValueType> {
        match self {
            Self::Boolean => Some(ValueType::Bool),
            Self::UnsignedByte | Self::Short | Self::Int => Some(ValueType::Int32),
            Self::Long => Some(ValueType::Int64),
            Self::Char | Self::UnicodeChar => Some(ValueType::Text),
            Self::Float => Some(ValueType::Float32),
            Self::Double => Some(ValueType::Float64),
            Self::Bit | Self::FloatComplex | Self::DoubleComplex => None,
        }
    }

    /// Bytes that `count` elements take in BINARY.
    pub fn n_bytes(self, count: usize) -> Option<usize> {
        let size = match self {
            Self::Bit => return Some(count.div_ceil(8)),
            Self::Boolean | Self::UnsignedByte | Self::Char => 1,
            Self::Short | Self::UnicodeChar => 2,
            Self::Int | Self::Float => 4,
            Self::Long | Self::Double | Self::FloatComplex => 8,
            Self::DoubleComplex => 16,
        };
        count.checked_mul(size)
    }
}
