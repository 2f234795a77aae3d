//! What a file says of a star beside its spectrum: positions, magnitudes, numbers of fibres.

use crate::error::{Error, Result};
use crate::quantity::{Notices, Quantity, Role, is_sentinel};
use crate::table::{Column, ColumnSchema, FitsHeader, Shape, Table, Values};
use crate::unit::{self, Conversion};
use crate::warning::warn_once;
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

    /// In another unit; a text and a number for "no value" stay what they are.
    fn convert(&mut self, conversion: Conversion) {
        if let (Some(value), false) = (self.number(), matches!(self, Self::Text(_)))
            && !is_sentinel(value)
        {
            *self = Self::Number(conversion.value(value));
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

/// What a file says of a fact of all its spectra.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FactKind {
    kind: FactType,
    /// As the file spells it; empty for texts.
    unit: String,
}

impl FactKind {
    fn of_column(column: &Column) -> Self {
        let kind = FactType::of_values(&column.values);
        Self { kind, unit: if kind == FactType::Text { String::new() } else { column.schema.unit.trim().to_owned() } }
    }
}

/// What a file says of the facts of all its spectra, by name.
pub(super) type FactTypes = BTreeMap<String, FactKind>;

/// How the facts of a file come into the units of the first file that has them, by name.
pub(super) type Conversions = BTreeMap<String, Conversion>;

/// Brings a spectrum's facts into the units of the output.
pub(super) fn convert(facts: &mut BTreeMap<String, Fact>, conversions: &Conversions) {
    for (name, conversion) in conversions {
        if let Some(fact) = facts.get_mut(name) {
            fact.convert(*conversion);
        }
    }
}

/// Columns of a table that say something of its stars, by the names of the facts: the position in degrees,
/// and what is carried along.
pub(super) struct FactSource(Vec<(String, Column)>);

impl FactSource {
    /// Of the columns that a table has of these pairs (name of the fact, name of the column in any capitals).
    ///
    /// # Errors
    /// When a position is in a unit that measures something else.
    pub fn new<'a>(table: &Table, names: impl IntoIterator<Item = (&'a str, &'a str)>, place: &str) -> Result<Self> {
        let mut columns = Vec::new();
        for (name, column) in names {
            if let Some(column) = table.get_in_any_case(column) {
                columns.push((name.to_ascii_lowercase(), degrees(name, column, place)?));
            }
        }
        Ok(Self(columns))
    }

    /// The facts of a row.
    pub fn row(&self, row: usize) -> BTreeMap<String, Fact> {
        // A position beyond reason is none.
        let is_none =
            |name: &str, fact: &Fact| POSITION.contains(&name) && matches!(fact, Fact::Number(value) if !value.is_finite());
        let fact = |name: &str, column: &Column| Fact::of_column(column, row).filter(|fact| !is_none(name, fact));
        self.0.iter().filter_map(|(name, column)| Some((name.clone(), fact(name, column)?))).collect()
    }

    /// Types and units of what is carried along.
    pub fn types(&self) -> FactTypes {
        let carried = self.0.iter().filter(|(name, _)| !POSITION.contains(&name.as_str()));
        carried.map(|(name, column)| (name.clone(), FactKind::of_column(column))).collect()
    }
}

/// A column of positions in degrees, ∞ where beyond reason; others, and positions that are texts, as they
/// are.
fn degrees(name: &str, column: &Column, place: &str) -> Result<Column> {
    let is_number = !matches!(column.values, Values::Text(_) | Values::Bool(_));
    if !POSITION.contains(&name) || !is_number || column.shape != Shape::Scalar || column.schema.unheld.is_some() {
        return Ok(column.clone());
    }
    let mut notices = Notices::default();
    let read = Quantity::of(name).read(column.clone(), Role::Value, None, &mut notices);
    notices.say_of_first(place);
    read.map_err(|error| error.within(place))
}

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
    /// That of the first file that states a type.
    unit: Option<String>,
    /// Whether a file has it.
    is_known: bool,
}

impl FactColumns {
    /// The position, and what the recipe names.
    pub fn new(carry: &[String]) -> Self {
        let mut columns: Vec<FactColumn> = POSITION
            .map(|name| FactColumn { name: name.to_owned(), kind: Some(FactType::Number), unit: None, is_known: true })
            .into();
        for name in carry.iter().map(|name| name.to_ascii_lowercase()) {
            if columns.iter().all(|column| column.name != name) {
                columns.push(FactColumn { name, kind: None, unit: None, is_known: false });
            }
        }
        Self { columns, is_decided: false }
    }

    /// Takes note of the types and units that a file states; `place` names it. What it has in another unit
    /// than the files before has to be converted.
    ///
    /// # Errors
    /// When a unit measures something else than in the files before.
    pub fn learn_types(&mut self, types: &FactTypes, place: &str) -> Result<Conversions> {
        let mut conversions = Conversions::new();
        for (name, FactKind { kind, unit }) in types {
            let column = self.columns.iter_mut().find(|column| column.name == *name && *kind != FactType::Text);
            let conversion = match column {
                Some(column) => conversion(name, unit, column.unit.get_or_insert_with(|| unit.clone()), place)?,
                None => Conversion::IDENTITY,
            };
            if conversion.is_identity() {
                self.learn(name, *kind);
            } else {
                self.learn(name, FactType::Number);
                conversions.insert(name.clone(), conversion);
            }
        }
        Ok(conversions)
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
        let column = |column: &mut FactColumn| {
            let unit = column.unit.as_deref().filter(|unit| !unit::is_absent(unit)).unwrap_or_default();
            column.kind.get_or_insert(FactType::Number).column(facts, &column.name, unit)
        };
        wanted.map(column).collect()
    }

    /// Names that no file knew.
    pub fn unknown(&self) -> Vec<&str> {
        self.columns.iter().filter(|column| !column.is_known).map(|column| column.name.as_str()).collect()
    }
}

/// From a file's unit of a fact to that of the files before. Errors are not shifted.
fn conversion(name: &str, stated: &str, first: &str, place: &str) -> Result<Conversion> {
    let is_known = |text: &str| !unit::is_absent(text) && unit::parse(text).is_ok();
    if stated == first || unit::is_absent(stated) && unit::is_absent(first) {
        return Ok(Conversion::IDENTITY);
    }
    if !is_known(stated) || !is_known(first) {
        let taken = |text: &str| if unit::is_absent(text) { "no unit".to_owned() } else { format!("the unit '{text}'") };
        warn_once(format!("{place}, '{name}' has {}, the files before {}: taken as the same", taken(stated), taken(first)));
        return Ok(Conversion::IDENTITY);
    }
    let conversion = unit::conversion(stated, first).ok_or_else(|| {
        Error::data(format!("{place}, '{name}'"))
            .found(format!("the unit '{stated}'"))
            .expected(format!("a unit of the same kind as '{first}', that of the files before"))
            .remedy("Leave the name out of spectra.carry, or prepare these files by themselves.")
    })?;
    Ok(if name.ends_with("_error") { Conversion { offset: 0.0, ..conversion } } else { conversion })
}

/// Names of the facts that every spectrum may have: degrees.
pub(super) const POSITION: [&str; 2] = ["ra", "dec"];
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

    /// The column of a fact, of this type and in this unit.
    ///
    /// # Errors
    /// When a fact is of a type that this one cannot hold.
    fn column(self, facts: &[&BTreeMap<String, Fact>], name: &str, unit: &str) -> Result<Column> {
        let facts: Vec<Option<&Fact>> = facts.iter().map(|facts| facts.get(name)).collect();
        let schema = match name {
            "ra" => ColumnSchema::new(name, "deg", "Right ascension").with_ucd("pos.eq.ra"),
            "dec" => ColumnSchema::new(name, "deg", "Declination").with_ucd("pos.eq.dec"),
            name => ColumnSchema::new(
                name,
                if self == Self::Text { "" } else { unit },
                format!("{} of the spectrum's file", name.to_ascii_uppercase()),
            ),
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
