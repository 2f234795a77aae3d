//! The type of a column without its values: what a reader learns from a header and a writer must know before
//! the first row.

use super::column::Values;
use std::fmt;

/// The type of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Bool,
    Int32,
    Int64,
    Float32,
    Float64,
    Text,
}

/// How many values a row has; [`super::Shape`] without the offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One value a row.
    Scalar,
    /// The same number of values in every row.
    Fixed(usize),
    /// Any number of values.
    Variable,
}

/// Value type and layout of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    pub values: ValueType,
    pub layout: Layout,
}

impl ValueType {
    /// No values of this type.
    pub fn empty(self) -> Values {
        match self {
            Self::Bool => Values::Bool(Vec::new()),
            Self::Int32 => Values::Int32(Vec::new()),
            Self::Int64 => Values::Int64(Vec::new()),
            Self::Float32 => Values::Float32(Vec::new()),
            Self::Float64 => Values::Float64(Vec::new()),
            Self::Text => Values::Text(Vec::new()),
        }
    }
}

impl ColumnType {
    /// One value a row.
    pub fn scalar(values: ValueType) -> Self {
        Self { values, layout: Layout::Scalar }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bool => "boolean",
            Self::Int32 => "32-bit integer",
            Self::Int64 => "64-bit integer",
            Self::Float32 => "32-bit float",
            Self::Float64 => "64-bit float",
            Self::Text => "text",
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layout {
            Layout::Scalar => write!(formatter, "{}", self.values),
            Layout::Fixed(length) => write!(formatter, "{} list of length {length}", self.values),
            Layout::Variable => write!(formatter, "{} list of varying length", self.values),
        }
    }
}
