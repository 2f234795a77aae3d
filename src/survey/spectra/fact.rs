//! What a file says of a star beside its spectrum: positions, magnitudes, numbers of fibres.

use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, FitsHeader, Values};
use std::collections::BTreeMap;

/// A value of a header or of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Fact {
    /// The value of a header's keyword.
    pub(super) fn of_header(header: &FitsHeader, keyword: &str) -> Option<Self> {
        let text = header.text(keyword).filter(|text| !text.is_empty())?;
        Some(match (text.parse(), text.parse::<f64>()) {
            (Ok(integer), _) => Self::Integer(integer),
            (_, Ok(number)) => Self::Number(number),
            _ => Self::Text(text.to_owned()),
        })
    }

    /// The value of a row of a scalar column; none where it is null.
    pub(super) fn of_column(column: &Column, row: usize) -> Option<Self> {
        if !column.is_valid(row) || column.range(row).len() != 1 {
            return None;
        }
        let at = column.range(row).start;
        match &column.values {
            Values::Bool(values) => Some(Self::Integer(values[at].into())),
            Values::Int32(values) => Some(Self::Integer(values[at].into())),
            Values::Int64(values) => Some(Self::Integer(values[at])),
            Values::Float32(values) => Some(Self::Number(values[at].into())),
            Values::Float64(values) => Some(Self::Number(values[at])),
            Values::Text(values) => Some(Self::Text(values[at].clone())),
        }
    }

    /// As a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

/// The type that a column of facts has throughout a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FactType {
    Integer,
    Number,
    Text,
}

impl FactType {
    /// The type that holds the facts of a name in the first chunk: text if one is text, numbers if one is
    /// fractional or none is there.
    pub fn of<'a>(facts: impl Iterator<Item = &'a BTreeMap<String, Fact>>, name: &str) -> Self {
        let kinds: Vec<Self> = facts
            .filter_map(|facts| facts.get(name))
            .map(|fact| match fact {
                Fact::Integer(_) => Self::Integer,
                Fact::Number(_) => Self::Number,
                Fact::Text(_) => Self::Text,
            })
            .collect();
        match kinds.as_slice() {
            [] => Self::Number,
            kinds if kinds.contains(&Self::Text) => Self::Text,
            kinds if kinds.contains(&Self::Number) => Self::Number,
            _ => Self::Integer,
        }
    }

    /// The column of a fact, of this type.
    ///
    /// # Errors
    /// When a fact is of a type that this one cannot hold.
    pub fn column<'a>(self, facts: impl Iterator<Item = &'a BTreeMap<String, Fact>>, name: &str) -> Result<Column> {
        let facts: Vec<Option<&Fact>> = facts.map(|facts| facts.get(name)).collect();
        let schema = match name {
            "ra" => ColumnSchema::new(name, "deg", "Right ascension").with_ucd("pos.eq.ra"),
            "dec" => ColumnSchema::new(name, "deg", "Declination").with_ucd("pos.eq.dec"),
            name => ColumnSchema::new(name, "", format!("{} of the spectrum's file", name.to_ascii_uppercase())),
        };
        let fault = |fact: &Fact| {
            Error::data(format!("'{name}' of the spectra"))
                .found(format!("{fact:?}"))
                .expected(format!("{self:?}, as in the spectra before"))
                .remedy("Leave the name out of spectra.carry, or prepare these files by themselves.")
        };
        let valid: Vec<bool> = facts.iter().map(Option::is_some).collect();
        let values = match self {
            Self::Integer => Values::Int64(
                facts
                    .iter()
                    .map(|fact| match fact {
                        Some(Fact::Integer(value)) => Ok(*value),
                        Some(other) => Err(fault(other)),
                        None => Ok(0),
                    })
                    .collect::<Result<_>>()?,
            ),
            Self::Number => {
                let value = |fact: &Option<&Fact>| match fact {
                    Some(fact) => fact.number().ok_or_else(|| fault(fact)),
                    None => Ok(f64::NAN),
                };
                return Ok(Column::nullable(schema, facts.iter().map(value).collect::<Result<_>>()?));
            }
            Self::Text => Values::Text(
                facts
                    .iter()
                    .map(|fact| match fact {
                        Some(Fact::Text(text)) => text.clone(),
                        Some(Fact::Integer(value)) => value.to_string(),
                        Some(Fact::Number(value)) => value.to_string(),
                        None => String::new(),
                    })
                    .collect(),
            ),
        };
        let valid = valid.contains(&false).then_some(valid);
        Ok(Column { valid, ..Column::scalar(schema, values) })
    }
}
