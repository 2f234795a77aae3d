//! What a Parquet file says of its columns and of itself: in Arrow's field metadata and the key-value
//! metadata, as we and pyarrow write them; under `table_meta_yaml` or as a VOTable without data, as astropy
//! does; and under `PANDAS_ATTRS`, as pandas does.

use super::{DESCRIPTION, UCD, UNIT};
use crate::error::Result;
use crate::table::csv::header;
use crate::table::{ColumnSchema, UnreadColumn, votable};
use crate::warning::warn_once;
use arrow_schema::{Field, Schema};
use parquet::file::metadata::KeyValue;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const ASTROPY: &str = "table_meta_yaml";
const PANDAS: &str = "PANDAS_ATTRS";
/// A VOTable without data (IVOA Note "VOTable in Parquet", 1.0).
const VOTABLE: &str = "IVOA.VOTable-Parquet.content";
const VOTABLE_VERSION: &str = "IVOA.VOTable-Parquet.version";
/// Keys of metadata that describe the file's encoding, or are taken apart here.
const OTHER_KEYS: [&str; 6] = ["ARROW:schema", "pandas", ASTROPY, PANDAS, VOTABLE, VOTABLE_VERSION];

/// Descriptions of all columns of a file, and its metadata.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub columns: Vec<ColumnSchema>,
    pub metadata: BTreeMap<String, String>,
}

impl Description {
    /// From the file's own metadata and its Arrow schema. What stands at a column or in the metadata itself
    /// goes before what astropy repeats in YAML, which an older program may have left behind.
    pub fn new(path: &Path, entries: Option<&Vec<KeyValue>>, schema: &Schema) -> Self {
        let own = entries.into_iter().flatten().map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()));
        let mut all: BTreeMap<String, String> = schema.metadata().clone().into_iter().collect();
        all.extend(own);
        let attributes = all.get(PANDAS).cloned();
        let others = [(ASTROPY, all.get(ASTROPY).cloned()), (VOTABLE, all.get(VOTABLE).cloned())];
        let mut metadata: BTreeMap<String, String> =
            all.into_iter().filter(|(key, _)| !OTHER_KEYS.contains(&key.as_str())).collect();
        let mut columns: Vec<ColumnSchema> = schema.fields().iter().map(|field| column_schema(field)).collect();
        // Our own files and what pyarrow makes of them say all that at the columns.
        let is_described =
            |column: &ColumnSchema| !(column.unit.is_empty() && column.ucd.is_empty() && column.description.is_empty());
        let is_complete = !metadata.is_empty() && columns.iter().all(is_described);
        for (key, text) in others.into_iter().filter(|_| !is_complete) {
            let Some(text) = text else { continue };
            let described = if key == ASTROPY { yaml(&text) } else { votable::described(path, text, 1) };
            match described {
                Ok((schemas, more)) => {
                    fill(&mut columns, schemas.into_iter());
                    for (key, value) in more {
                        metadata.entry(key).or_insert(value);
                    }
                }
                Err(error) => warn_once(format!(
                    "{}: the units and metadata that stand under '{key}' cannot be read: {error}",
                    path.display()
                )),
            }
        }
        if let Some(serde_json::Value::Object(attributes)) = attributes.and_then(|text| serde_json::from_str(&text).ok()) {
            for (key, value) in attributes {
                if let (true, serde_json::Value::Object(units)) =
                    (["unit", "units"].iter().any(|name| key.eq_ignore_ascii_case(name)), &value)
                {
                    let units = units.iter().filter_map(|(name, unit)| Some((name.clone(), unit.as_str()?)));
                    fill(&mut columns, units.map(|(name, unit)| ColumnSchema::new(name, unit, "")));
                    continue;
                }
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                metadata.entry(key).or_insert(text);
            }
        }
        Self { columns, metadata }
    }

    /// Columns that a table cannot hold, with their types in words.
    pub fn unread(&self, others: impl Iterator<Item = (usize, String)>) -> Vec<UnreadColumn> {
        others.map(|(i, found)| UnreadColumn { schema: self.columns[i].clone(), found }).collect()
    }
}

/// Columns and metadata by astropy's YAML.
fn yaml(text: &str) -> Result<(Vec<ColumnSchema>, BTreeMap<String, String>)> {
    let header = header::parse(&format!("%ECSV 1.0\n{text}"))?;
    Ok((header.columns.into_iter().map(|(schema, _)| schema).collect(), header.metadata))
}

/// Fills in what columns do not say themselves.
fn fill(columns: &mut [ColumnSchema], others: impl Iterator<Item = ColumnSchema>) {
    let mut others: HashMap<String, ColumnSchema> = others.map(|schema| (schema.name.clone(), schema)).collect();
    for column in columns {
        let Some(other) = others.remove(&column.name) else { continue };
        for (own, other) in
            [(&mut column.unit, other.unit), (&mut column.ucd, other.ucd), (&mut column.description, other.description)]
        {
            if own.is_empty() {
                *own = other;
            }
        }
    }
}

fn column_schema(field: &Field) -> ColumnSchema {
    // Other programs write `units`, or capitals; the key that we write goes first.
    let unit_by_any_name = || {
        let metadata = field.metadata();
        let named = |name: &str| metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, text)| text.clone());
        metadata.get(UNIT).cloned().or_else(|| [UNIT, "units"].into_iter().find_map(named)).unwrap_or_default()
    };
    let text = |key: &str| match key {
        UNIT => unit_by_any_name(),
        key => field.metadata().get(key).cloned().unwrap_or_default(),
    };
    ColumnSchema::new(field.name().clone(), text(UNIT), text(DESCRIPTION)).with_ucd(text(UCD))
}
