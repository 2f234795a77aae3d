//! The forms of a JSON table, taken apart into columns of cells that are still text.

use crate::error::{Error, Result};
use crate::table::lists::shortened;
use crate::table::{ColumnSchema, ValueType};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

const FORMS: &str = "a list of records, a record on every line, an object of columns, or an object with 'metadata' and 'data'";
const REMEDY: &str = "Write records, as pandas does with `to_json(orient='records')`, or convert the file to Parquet or ECSV.";

/// A column and its cells.
#[derive(Default)]
pub(super) struct Field<'a> {
    pub schema: ColumnSchema,
    /// The type of the values, where the document declares it.
    pub declared: Option<ValueType>,
    /// Whether the document declares lists.
    pub is_list: bool,
    /// Rows, in order, and what stands there.
    pub cells: Vec<(usize, &'a RawValue)>,
}

/// All columns of a document.
#[derive(Default)]
pub(super) struct Document<'a> {
    pub fields: Vec<Field<'a>>,
    pub n_rows: usize,
}

impl<'a> Document<'a> {
    /// # Errors
    /// When the text is no JSON, or none of the forms.
    pub fn parse(path: &Path, text: &'a str) -> Result<Self> {
        let place = || Error::data(path.display().to_string()).expected(FORMS).remedy(REMEDY);
        match text.trim_ascii_start().as_bytes().first() {
            Some(b'[') => {
                let records: Vec<&RawValue> = parsed(path, text)?;
                let entries = |(row, record): (usize, &'a RawValue)| {
                    serde_json::from_str(record.get()).map_err(|_| {
                        Error::data(format!("{}, row {row}", path.display()))
                            .found(shortened(record.get()))
                            .expected("an object with a value for every column")
                            .remedy(REMEDY)
                    })
                };
                Self::records(path, records.into_iter().enumerate().map(entries))
            }
            Some(b'{') => {
                let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Entries>();
                let entries: Entries = match objects.next() {
                    Some(Ok(first)) => first,
                    _ => parsed(path, text)?,
                };
                let second = objects.next();
                if second.is_some() || is_named_lines(path) {
                    let all = std::iter::once(Ok(entries)).chain(second).chain(objects);
                    let of_lines = |error: serde_json::Error| {
                        Error::reading(path, error).expected("JSON lines: an object on every line").remedy(
                            "If the file is truncated, copy or download it again; write NaN as null, and one record a line or one list.",
                        )
                    };
                    return Self::records(path, all.map(|entries| entries.map_err(of_lines)));
                }
                let part = |name: &str| entries.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
                match (part("metadata"), part("data")) {
                    (Some(metadata), Some(data)) if is_list(data) && is_list_of_objects(metadata) => {
                        Self::tap(path, metadata, data)
                    }
                    _ => Self::columns(path, entries),
                }
            }
            Some(_) => Err(place().found(format!("'{}'", shortened(text)))),
            None => Err(place().found("a read error (an empty file)")),
        }
    }

    fn records(path: &Path, records: impl Iterator<Item = Result<Entries<'a>>>) -> Result<Self> {
        let mut document = Self::default();
        let mut position_of: HashMap<Cow<str>, usize> = HashMap::new();
        for (row, entries) in records.enumerate() {
            let place = || format!("{}, row {row}", path.display());
            document.n_rows += 1;
            for (key, value) in entries?.0 {
                let i = *position_of.entry(key).or_insert_with_key(|key| {
                    document.fields.push(Field { schema: ColumnSchema::new(key.as_ref(), "", ""), ..Field::default() });
                    document.fields.len() - 1
                });
                let field = &mut document.fields[i];
                if field.cells.last().is_some_and(|(before, _)| *before == row) {
                    return Err(twice(format!("{}, key '{}'", place(), shortened(&field.schema.name))));
                }
                field.cells.push((row, value));
            }
        }
        Ok(document)
    }

    fn columns(path: &Path, entries: Entries<'a>) -> Result<Self> {
        let mut document = Self::default();
        let mut seen = HashMap::new();
        for (i, (key, value)) in entries.0.into_iter().enumerate() {
            let place = |what: &str| format!("{}, {what} '{}'", path.display(), shortened(&key));
            let Ok(cells) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
                return Err(Error::data(place("key")).found(shortened(value.get())).expected(FORMS).remedy(REMEDY));
            };
            if seen.insert(key.clone(), i).is_some() {
                return Err(twice(place("key")));
            }
            if i > 0 && cells.len() != document.n_rows {
                return Err(Error::data(place("column"))
                    .found(format!("{} values", cells.len()))
                    .expected(format!("{}, as in the first column", document.n_rows))
                    .remedy("Write a value, or null, for every row."));
            }
            document.n_rows = cells.len();
            let schema = ColumnSchema::new(key.as_ref(), "", "");
            document.fields.push(Field { schema, cells: cells.into_iter().enumerate().collect(), ..Field::default() });
        }
        Ok(document)
    }

    fn tap(path: &Path, metadata: &'a RawValue, data: &'a RawValue) -> Result<Self> {
        let described: Vec<serde_json::Map<String, serde_json::Value>> = parsed(path, metadata.get())?;
        let mut document = Self { fields: Vec::with_capacity(described.len()), n_rows: 0 };
        for (i, entry) in described.iter().enumerate() {
            let text = |key: &str| match entry.get(key) {
                Some(serde_json::Value::String(text)) => text.trim().to_owned(),
                Some(serde_json::Value::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            let schema = ColumnSchema::new(text("name"), text("unit"), text("description")).with_ucd(text("ucd"));
            if schema.name.is_empty() {
                return Err(Error::data(format!("{}, column {} of 'metadata'", path.display(), i + 1))
                    .found("no name")
                    .expected("a name for every column")
                    .remedy(REMEDY));
            }
            let (datatype, size) = (text("datatype").to_ascii_lowercase(), text("arraysize"));
            let declared = value_type(&datatype);
            let is_list = declared.is_some_and(|values| values != ValueType::Text) && !matches!(size.as_str(), "" | "1");
            document.fields.push(Field { schema, declared, is_list, cells: Vec::new() });
        }
        for (row, record) in parsed::<Vec<&RawValue>>(path, data.get())?.into_iter().enumerate() {
            let place = || Error::data(format!("{}, row {row}", path.display()));
            let cells: Vec<&RawValue> = serde_json::from_str(record.get()).map_err(|_| {
                place().found(shortened(record.get())).expected("a list with a value for every column").remedy(REMEDY)
            })?;
            if cells.len() != document.fields.len() {
                return Err(place()
                    .found(format!("{} values", cells.len()))
                    .expected(format!("{}, one for every column of 'metadata'", document.fields.len()))
                    .remedy("If the file is truncated, download it again."));
            }
            document.fields.iter_mut().zip(cells).for_each(|(field, cell)| field.cells.push((row, cell)));
            document.n_rows += 1;
        }
        Ok(document)
    }
}

/// Whether the name of a file says that every line is a record.
fn is_named_lines(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

fn parsed<'a, T: Deserialize<'a>>(path: &Path, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::reading(path, error)
            .expected("whole JSON, in which what is no number is null")
            .remedy("If the file is truncated, copy or download it again; write NaN as null.")
    })
}

fn twice(place: String) -> Error {
    Error::data(place).found("the key twice").expected("distinct names").remedy("Rename one of the two, or remove it.")
}

fn is_list(value: &RawValue) -> bool {
    value.get().starts_with('[')
}

fn is_list_of_objects(value: &RawValue) -> bool {
    value.get().strip_prefix('[').is_some_and(|rest| rest.trim_ascii_start().starts_with(['{', ']']))
}

/// VOTable's names of types, which TAP services use in JSON too; anything else is inferred.
fn value_type(datatype: &str) -> Option<ValueType> {
    Some(match datatype {
        "boolean" => ValueType::Bool,
        "short" | "int" | "unsignedbyte" => ValueType::Int32,
        "long" => ValueType::Int64,
        "float" => ValueType::Float32,
        "double" => ValueType::Float64,
        "char" | "unicodechar" | "string" => ValueType::Text,
        _ => return None,
    })
}

/// Keys and values of an object, in order.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Entries(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A key that is copied only where it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
