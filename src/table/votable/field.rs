//! What a FIELD element says of the type of a column.

use super::null::Null;
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
    /// One that VOTable does not know.
    Unknown,
}

/// A column as the file declares it.
#[derive(Debug)]
pub(super) struct Field {
    pub schema: ColumnSchema,
    pub datatype: Datatype,
    /// Elements a row; `None` where they vary. Characters are elements.
    pub count: Option<usize>,
    /// Characters of each text in a list of texts.
    pub width: usize,
    /// What stands for null.
    pub null: Null,
    /// `None` for types that a table cannot hold.
    pub column_type: Option<ColumnType>,
    /// Datatype and arraysize as written, for messages.
    pub declared: String,
}

impl Field {
    /// A field of this datatype, which need not be one of VOTable's, and arraysize.
    ///
    /// # Errors
    /// What was found, when the arraysize is none.
    pub fn new(schema: ColumnSchema, datatype: &str, arraysize: &str, null: Null) -> Result<Self, String> {
        let declared = format!("{datatype} {arraysize}").trim_end().to_owned();
        let unknown = || format!("the arraysize '{arraysize}'");
        let datatype = Datatype::from_name(datatype);
        let is_variable = arraysize.ends_with('*');
        let lengths = arraysize.trim_end_matches('*').trim_end_matches('x');
        let lengths = if lengths.is_empty() { Vec::new() } else { lengths.split('x').collect() };
        let lengths = lengths.into_iter().map(|length| length.trim().parse().ok()).collect::<Option<Vec<usize>>>();
        let lengths = lengths.ok_or_else(unknown)?;
        let n_fixed = lengths.iter().try_fold(1_usize, |product, &length| product.checked_mul(length)).ok_or_else(unknown)?;
        let is_text = matches!(datatype, Datatype::Char | Datatype::UnicodeChar);
        let is_text_list = is_text && arraysize.contains('x');
        // The first length of a list of texts is that of the texts.
        let width = if is_text_list { lengths.first().copied().unwrap_or(0) } else { 1 };
        if width == 0 {
            return Err(unknown());
        }
        let layout = match (is_variable, n_fixed / width) {
            _ if is_text && !is_text_list => Layout::Scalar,
            (true, _) => Layout::Variable,
            (false, 1) if !is_text_list => Layout::Scalar,
            (false, length) => Layout::Fixed(length),
        };
        let column_type = datatype.value_type().map(|values| ColumnType { values, layout });
        Ok(Self { schema, datatype, count: (!is_variable).then_some(n_fixed), width, null, column_type, declared })
    }

    /// The type, in words.
    pub fn found(&self) -> String {
        format!("the type '{}'", self.declared)
    }

    /// Bytes in memory of what stands for a row that is null.
    pub fn n_null_bytes(&self) -> u64 {
        let size: u64 = match self.column_type.map(|column_type| column_type.values) {
            Some(ValueType::Bool) => 1,
            Some(ValueType::Int32 | ValueType::Float32) => 4,
            Some(ValueType::Int64 | ValueType::Float64) => 8,
            Some(ValueType::Text) => 24,
            None => 0,
        };
        match self.column_type.map(|column_type| column_type.layout) {
            Some(Layout::Fixed(length)) => u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(size),
            _ => size,
        }
    }
}

impl Datatype {
    fn from_name(name: &str) -> Self {
        match name {
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
            _ => Self::Unknown,
        }
    }

    fn value_type(self) -> Option<ValueType> {
        match self {
            Self::Boolean | Self::Bit => Some(ValueType::Bool),
            Self::UnsignedByte | Self::Short | Self::Int => Some(ValueType::Int32),
            Self::Long => Some(ValueType::Int64),
            Self::Char | Self::UnicodeChar => Some(ValueType::Text),
            Self::Float => Some(ValueType::Float32),
            Self::Double => Some(ValueType::Float64),
            Self::FloatComplex | Self::DoubleComplex | Self::Unknown => None,
        }
    }

    /// Bytes that `count` elements take in BINARY, where they can be told.
    pub fn n_bytes(self, count: usize) -> Option<usize> {
        let size = match self {
            Self::Bit => return Some(count.div_ceil(8)),
            Self::Boolean | Self::UnsignedByte | Self::Char => 1,
            Self::Short | Self::UnicodeChar => 2,
            Self::Int | Self::Float => 4,
            Self::Long | Self::Double | Self::FloatComplex => 8,
            Self::DoubleComplex => 16,
            Self::Unknown => return None,
        };
        count.checked_mul(size)
    }
}
