//! The ECSV header: YAML in comment lines, read and written.

use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, ColumnType, Layout, Table, ValueType};
use serde_json::json;
use std::collections::BTreeMap;
use yaml_rust2::{Yaml, YamlLoader};

/// What an ECSV header says.
#[derive(Debug, Default)]
pub(in crate::table) struct EcsvHeader {
    pub delimiter: u8,
    /// Columns in order. The type is `None` for text without a subtype, which may also be lists that some writers do not declare.
    pub columns: Vec<(ColumnSchema, Option<ColumnType>)>,
    pub metadata: BTreeMap<String, String>,
}

/// Parses the text of the header without the leading `# `, which starts with `%ECSV`.
///
/// # Errors
/// When it is not YAML, a column has no name, or its type is unknown. The place is the header; the caller adds the file.
pub(in crate::table) fn parse(text: &str) -> Result<EcsvHeader> {
    let yaml = text.split_once('\n').map_or("", |(_, rest)| rest);
    let documents =
        YamlLoader::load_from_str(yaml).map_err(|error| place().found(format!("no valid YAML ({error})")).source(error))?;
    let document = documents.first().unwrap_or(&Yaml::BadValue);
    let delimiter = match document["delimiter"].as_str() {
        None => b' ',
        Some(delimiter) if delimiter.len() == 1 => delimiter.as_bytes()[0],
        Some(other) => return Err(place().found(format!("the delimiter '{other}'")).expected("one character")),
    };
    let columns = document["datatype"].as_vec().ok_or_else(|| place().found("no 'datatype'").expected("a list of columns"))?;
    let columns = columns.iter().map(column).collect::<Result<_>>()?;
    let metadata = entries(&document["meta"]).into_iter().map(|(key, value)| (key, as_text(value))).collect();
    Ok(EcsvHeader { delimiter, columns, metadata })
}

fn place() -> Error {
    Error::data("ECSV header")
}

fn column(entry: &Yaml) -> Result<(ColumnSchema, Option<ColumnType>)> {
    let text = |key: &str| match &entry[key] {
        Yaml::BadValue | Yaml::Null => String::new(),
        value => as_text(value),
    };
    let name = text("name");
    if name.is_empty() {
        return Err(place().found("a column without a name"));
    }
    let ucd = match text("ucd") {
        ucd if ucd.is_empty() => {
            entries(&entry["meta"]).into_iter().find(|(key, _)| key == "ucd").map(|(_, ucd)| as_text(ucd)).unwrap_or_default()
        }
        ucd => ucd,
    };
    let column_type = column_type(&name, &text("datatype"), &text("subtype"))?;
    Ok((ColumnSchema { name, unit: text("unit"), ucd, description: text("description") }, column_type))
}

fn column_type(name: &str, datatype: &str, subtype: &str) -> Result<Option<ColumnType>> {
    let unknown = |found: &str| {
        Error::data(format!("ECSV header, column '{name}'"))
            .found(format!("the type '{found}'"))
            .expected("bool, int8 to int64, uint8 to uint64, float16 to float64 or string, or lists of them")
            .remedy("Convert the column, or remove it from the file.")
    };
    let declared = if subtype.contains('[') { subtype } else { datatype };
    if let Some((base, shape)) = declared.split_once('[') {
        let values = value_type(base).ok_or_else(|| unknown(declared))?;
        let lengths: Vec<&str> = shape.trim_end_matches(']').split(',').map(str::trim).collect();
        let layout = if lengths.contains(&"null") {
            Layout::Variable
        } else {
            let product = lengths.iter().try_fold(1_usize, |product, length| product.checked_mul(length.parse().ok()?));
            Layout::Fixed(product.ok_or_else(|| unknown(declared))?)
        };
        return Ok(Some(ColumnType { values, layout }));
    }
    match value_type(datatype).ok_or_else(|| unknown(datatype))? {
        ValueType::Text if subtype.is_empty() => Ok(None),
        values => Ok(Some(ColumnType::scalar(values))),
    }
}

fn value_type(name: &str) -> Option<ValueType> {
    Some(match name {
        "bool" => ValueType::Bool,
        "int8" | "int16" | "int32" | "uint8" | "uint16" => ValueType::Int32,
        "int64" | "uint32" | "uint64" => ValueType::Int64,
        "float16" | "float32" => ValueType::Float32,
        "float64" => ValueType::Float64,
        "string" => ValueType::Text,
        _ => return None,
    })
}

/// Keys and values of a mapping, or of a list of mappings (YAML's `!!omap`).
fn entries(value: &Yaml) -> Vec<(String, &Yaml)> {
    match value {
        Yaml::Hash(map) => map.iter().map(|(key, value)| (as_text(key), value)).collect(),
        Yaml::Array(list) => list.iter().flat_map(entries).collect(),
        _ => Vec::new(),
    }
}

/// Scalars as they are, lists and mappings as JSON.
fn as_text(value: &Yaml) -> String {
    match value {
        Yaml::String(text) => text.clone(),
        other => match as_json(other) {
            serde_json::Value::String(text) => text,
            json => json.to_string(),
        },
    }
}

fn as_json(value: &Yaml) -> serde_json::Value {
    match value {
        Yaml::Real(number) => number.parse::<serde_json::Number>().map_or(json!(number), serde_json::Value::Number),
        Yaml::Integer(number) => json!(number),
        Yaml::String(text) => json!(text),
        Yaml::Boolean(value) => json!(value),
        Yaml::Array(list) => list.iter().map(as_json).collect(),
        Yaml::Hash(map) => map.iter().map(|(key, value)| (as_text(key), as_json(value))).collect(),
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => serde_json::Value::Null,
    }
}

/// The header of a table with commas between cells.
pub(super) fn format(table: &Table) -> String {
    let mut lines = vec!["%ECSV 1.0".to_owned(), "---".into(), "delimiter: ','".into()];
    lines.extend(yaml_lines(table));
    lines.iter().map(|line| format!("# {line}\n")).collect()
}

/// Columns and metadata as YAML. Every entry is a JSON object on one line, which is YAML too.
pub(in crate::table) fn yaml_lines(table: &Table) -> Vec<String> {
    let mut lines = vec!["datatype:".to_owned()];
    lines.extend(table.columns().iter().map(|column| format!("- {}", column_entry(column))));
    if !table.metadata.is_empty() {
        lines.push("meta: !!omap".into());
        lines.extend(table.metadata.iter().map(|(key, value)| format!("- {}", json!({ key: value }))));
    }
    lines.push("schema: astropy-2.0".into());
    lines
}

/// Name, type, unit, description and UCD of a column, as ECSV has them.
pub(in crate::table) fn column_entry(column: &Column) -> serde_json::Value {
    let column_type = column.column_type();
    let base = match column_type.values {
        ValueType::Bool => "bool",
        ValueType::Int32 => "int32",
        ValueType::Int64 => "int64",
        ValueType::Float32 => "float32",
        ValueType::Float64 => "float64",
        ValueType::Text => "string",
    };
    let subtype = match column_type.layout {
        Layout::Scalar => None,
        Layout::Fixed(length) => Some(format!("{base}[{length}]")),
        Layout::Variable => Some(format!("{base}[null]")),
    };
    let schema = &column.schema;
    let mut entry = serde_json::Map::new();
    entry.insert("name".into(), json!(schema.name));
    entry.insert("datatype".into(), json!(if subtype.is_some() { "string" } else { base }));
    entry.extend(subtype.map(|subtype| ("subtype".to_owned(), json!(subtype))));
    for (key, text) in [("unit", &schema.unit), ("description", &schema.description)] {
        if !text.is_empty() {
            entry.insert(key.into(), json!(text));
        }
    }
    if !schema.ucd.is_empty() {
        entry.insert("meta".into(), json!({ "ucd": schema.ucd }));
    }
    entry.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by astropy 8.0.2, `Table.write(format="ascii.ecsv")`.
    const ASTROPY: &str = "%ECSV 1.0
---
datatype:
- name: source_id
  datatype: int64
  description: 'it''s: an id, 64-bit'
  meta: !!omap
  - {ucd: meta.id;meta.main}
- {name: parallax, unit: mas, datatype: float64, description: parallax}
- {name: flux, unit: W / (nm m2), datatype: string, subtype: 'float32[3]'}
- {name: var, datatype: string, subtype: 'float64[null]'}
- {name: grid, datatype: string, subtype: 'int64[2,2]'}
meta: !!omap
- {model: 'xp: 1'}
- {n_rows: 2}
- list: [1, 2]
schema: astropy-2.0
";

    #[test]
    fn astropy_s_flow_style() {
        let header = parse(ASTROPY).unwrap();
        assert_eq!(header.delimiter, b' ');
        let id = &header.columns[0].0;
        assert_eq!((id.name.as_str(), id.ucd.as_str()), ("source_id", "meta.id;meta.main"));
        assert_eq!(id.description, "it's: an id, 64-bit");
        assert_eq!(header.columns[1].0.unit, "mas");
        let types: Vec<String> =
            header.columns.iter().filter_map(|(_, column_type)| column_type.map(|known| known.to_string())).collect();
        assert_eq!(
            types[2..],
            ["32-bit float list of length 3", "64-bit float list of varying length", "64-bit integer list of length 4"]
        );
        let metadata: Vec<(&str, &str)> = header.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(metadata, [("list", "[1,2]"), ("model", "xp: 1"), ("n_rows", "2")]);
    }

    #[test]
    fn the_archive_s_block_style() {
        let text = "%ECSV 1.0\n---\ndelimiter: ','\ndatatype:\n-\n  name: bp_coefficients\n  datatype: string\n  subtype: float64[null]\n  \
                    description: \"Basis function coefficients: BP\"\n  ucd: stat.fit.param\n-\n  name: rp_chi_squared\n  datatype: float32\n  \
                    unit: \"'electron'.s**-1\"\n-\n  name: designation\n  datatype: string\n";
        let header = parse(text).unwrap();
        assert_eq!(header.delimiter, b',');
        assert_eq!(header.columns[0].0.ucd, "stat.fit.param");
        assert_eq!(header.columns[1].0.unit, "'electron'.s**-1");
        assert_eq!(header.columns[2].1, None);
    }

    #[test]
    fn damaged_headers() {
        for (text, found) in [
            ("%ECSV 1.0\n---\ndatatype: [", "no valid YAML"),
            ("%ECSV 1.0\n---\n", "no 'datatype'"),
            ("%ECSV 1.0\n---\ndatatype:\n- {name: x, datatype: complex64}\n", "column 'x': found the type 'complex64'"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }
}
