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
    /// The value of a header's keyword; what stands in quotes is a text.
    pub(super) fn of_header(header: &FitsHeader, keyword: &str) -> Option<Self> {
        let text = header.text(keyword).filter(|text| !text.is_empty())?;
        Some(match (text.parse(), text.parse::<f64>()) {
            _ if header.is_text(keyword) => Self::Text(text.to_owned()),
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

    /// As a number; a text, if it spells one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// As an integer; a text, if it spells one. Never by way of a float.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Number(_) => None,
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn kind(&self) -> FactType {
        match self {
            Self::Integer(_) => FactType::Integer,
            Self::Number(_) => FactType::Number,
            Self::Text(_) => FactType::Text,
        }
    }
}

/// The type of a column of facts; a later one holds what earlier ones do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FactType {
    Integer,
    Number,
    Text,
}

/// What a file says of the facts of all its spectra: their types, by name.
pub(super) type FactTypes = BTreeMap<String, FactType>;

/// The columns of facts of an observation file: those that the recipe names, whatever single files have.
/// Their types are decided with the first chunk that is written, from all that was read until then.
#[derive(Debug)]
pub(super) struct FactColumns {
    columns: Vec<FactColumn>,
    is_decided: bool,
}

#[derive(Debug)]
struct FactColumn {
    name: String,
    kind: Option<FactType>,
    /// Whether a file has it.
    is_known: bool,
}

impl FactColumns {
    /// The position, and what the recipe names.
    pub fn new(carry: &[String]) -> Self {
        let mut columns: Vec<FactColumn> =
            POSITION.map(|name| FactColumn { name: name.to_owned(), kind: Some(FactType::Number), is_known: true }).into();
        for name in carry.iter().map(|name| name.to_ascii_lowercase()) {
            if columns.iter().all(|column| column.name != name) {
                columns.push(FactColumn { name, kind: None, is_known: false });
            }
        }
        Self { columns, is_decided: false }
    }

    /// Takes note of the types that a file states.
    pub fn learn_types(&mut self, types: &FactTypes) {
        types.iter().for_each(|(name, kind)| self.learn(name, *kind));
    }

    /// Takes note of the types of a spectrum's facts.
    pub fn learn_facts(&mut self, facts: &BTreeMap<String, Fact>) {
        facts.iter().for_each(|(name, fact)| self.learn(name, fact.kind()));
    }

    fn learn(&mut self, name: &str, kind: FactType) {
        let is_open = |column: &&mut FactColumn| column.name == name && !POSITION.contains(&name);
        if let Some(column) = self.columns.iter_mut().find(is_open) {
            column.is_known = true;
            if !self.is_decided {
                column.kind = column.kind.max(Some(kind));
            }
        }
    }

    /// The columns of some stars, without those of which `is_wanted` is not.
    ///
    /// # Errors
    /// When a fact is of a type that its column cannot hold.
    pub fn of(&mut self, facts: &[&BTreeMap<String, Fact>], is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Column>> {
        self.is_decided = true;
        let wanted = self.columns.iter_mut().filter(|column| is_wanted(&column.name));
        // What nothing is known of yet is a number from now on.
        wanted.map(|column| column.kind.get_or_insert(FactType::Number).column(facts, &column.name)).collect()
    }

    /// Names that no file knew.
    pub fn unknown(&self) -> Vec<&str> {
        self.columns.iter().filter(|column| !column.is_known).map(|column| column.name.as_str()).collect()
    }
}

/// Names of the facts that every spectrum may have: degrees.
const POSITION: [&str; 2] = ["ra", "dec"];
/// Integers beyond this have no exact float.
const LARGEST_EXACT: u64 = 1 << 53;

impl FactType {
    /// The type of the values of a column.
    pub fn of_values(values: &Values) -> Self {
        match values {
            Values::Bool(_) | Values::Int32(_) | Values::Int64(_) => Self::Integer,
            Values::Float32(_) | Values::Float64(_) => Self::Number,
            Values::Text(_) => Self::Text,
        }
    }

    /// The column of a fact, of this type.
    ///
    /// # Errors
    /// When a fact is of a type that this one cannot hold.
    fn column(self, facts: &[&BTreeMap<String, Fact>], name: &str) -> Result<Column> {
        let facts: Vec<Option<&Fact>> = facts.iter().map(|facts| facts.get(name)).collect();
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
                let is_position = POSITION.contains(&name);
                let value = |fact: &Option<&Fact>| match fact {
                    Some(fact @ Fact::Integer(value)) if value.unsigned_abs() > LARGEST_EXACT => Err(fault(fact)),
                    // Positions may be written as texts; one that is no number is none.
                    Some(fact @ Fact::Text(_)) if !is_position => Err(fault(fact)),
                    Some(fact) => Ok(fact.number().unwrap_or(f64::NAN)),
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
