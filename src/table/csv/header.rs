//! The ECSV header: YAML in comment lines, read and written.

use super::cells::shortened;
use super::yaml::Node;
use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, ColumnType, Layout, Table, ValueType};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// Entry of the metadata in which astropy says how its objects (quantities, times, masked columns) are put
/// together from columns.
const SERIALIZED: &str = "__serialized_columns__";
/// Values of a row that a header may declare: as many as 16 GiB of floats.
const MOST_VALUES: usize = 1 << 31;

/// What an ECSV header says.
#[derive(Debug, Default)]
pub(in crate::table) struct EcsvHeader {
    pub delimiter: u8,
    /// Columns in order.
    pub columns: Vec<(ColumnSchema, Declared)>,
    /// Cells that stand for no value, besides empty ones and `null`.
    pub nulls: Vec<String>,
    pub metadata: BTreeMap<String, String>,
}

/// The type of a column, as far as a header says it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::table) enum Declared {
    Type(ColumnType),
    /// Text without a subtype, which may also be lists that some writers do not declare.
    TextOrList,
    /// A type that a table cannot hold, in words.
    Unreadable(String),
}

/// Parses the text of the header without the leading `# `; also what other formats hold of it (astropy's
/// `table_meta_yaml` in Parquet and its COMMENT cards in FITS), where the first line, `%ECSV 1.0`, may be
/// missing. A unit that stands only in `__serialized_columns__` is the column's.
///
/// # Errors
/// When it is not YAML, or larger than any honest header, or a column has no name. The place is the header;
/// the caller adds the file.
pub(in crate::table) fn parse(text: &str) -> Result<EcsvHeader> {
    let yaml = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with('%') => rest,
        _ if text.starts_with('%') => "",
        _ => text,
    };
    let document = Node::parse(yaml)?.unwrap_or(Node::Map(Vec::new()));
    let delimiter = match document.get("delimiter").map(Node::as_text) {
        None => b' ',
        Some(text) => match text.as_bytes() {
            [delimiter @ (b' ' | b',' | b';' | b'|' | b'\t')] => *delimiter,
            _ => {
                return Err(place()
                    .found(format!("the delimiter '{}'", text.escape_debug()))
                    .expected("a blank or a comma (or a semicolon, a bar or a tabulator)"));
            }
        },
    };
    let Some(Node::List(columns)) = document.get("datatype") else {
        return Err(place().found("no 'datatype'").expected("a list of columns"));
    };
    let mut columns = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let nulls = ["null_value", "null_values"].iter().filter_map(|key| document.get(key)).flat_map(texts).collect();
    let mut metadata = BTreeMap::new();
    for (key, value) in document.get("meta").map(Node::entries).unwrap_or_default() {
        if key == SERIALIZED {
            let mut units = HashMap::new();
            value.entries().iter().for_each(|(_, object)| serialized_units(object, "", &mut units));
            for (schema, _) in columns.iter_mut().filter(|(schema, _)| schema.unit.is_empty()) {
                schema.unit = units.remove(&schema.name).unwrap_or_default();
            }
        } else {
            metadata.insert(key.to_owned(), value.as_text());
        }
    }
    decode_cards(&mut metadata);
    Ok(EcsvHeader { delimiter, columns, nulls, metadata })
}

/// Undoes what our FITS headers do to texts of several lines, which are JSON there and stay so where astropy
/// copies the header, in capitals, to the metadata of another format.
fn decode_cards(metadata: &mut BTreeMap<String, String>) {
    if !metadata.get("PROGRAM").is_some_and(|program| program.starts_with("photosphere")) {
        return;
    }
    let is_of_card = |key: &str| !key.bytes().any(|byte| byte.is_ascii_lowercase());
    for (_, text) in metadata.iter_mut().filter(|(key, text)| is_of_card(key) && text.starts_with('"')) {
        if let Ok(decoded) = serde_json::from_str(text) {
            *text = decoded;
        }
    }
}

fn place() -> Error {
    Error::data("ECSV header")
}

/// A scalar, or the scalars of a list.
fn texts(node: &Node) -> Vec<String> {
    match node {
        Node::List(list) => list.iter().map(Node::as_text).collect(),
        node => vec![node.as_text()],
    }
}

/// Finds the units of the columns that an object of astropy is made of: a quantity has a unit, and its value
/// is a column, perhaps within a masked array.
fn serialized_units(object: &Node, outer: &str, units: &mut HashMap<String, String>) {
    let unit = match object.get("unit") {
        Some(unit @ Node::Map(_)) => unit.get("unit").map(Node::as_text).unwrap_or_default(),
        Some(unit @ Node::Scalar { .. }) if !unit.is_null() => unit.as_text(),
        _ => outer.to_owned(),
    };
    for (key, part) in object.entries() {
        // A part that is another object has a unit of its own.
        let unit = if matches!(key, "value" | "data") { unit.as_str() } else { "" };
        match part.get("name").map(Node::as_text) {
            Some(column) if !unit.is_empty() => {
                units.insert(column, unit.to_owned());
            }
            Some(_) => {}
            None => serialized_units(part, unit, units),
        }
    }
}

fn column(entry: &Node) -> Result<(ColumnSchema, Declared)> {
    let text = |key: &str| entry.get(key).filter(|value| !value.is_null()).map(Node::as_text).unwrap_or_default();
    let name = text("name");
    if name.is_empty() {
        return Err(place().found("a column without a name").expected("a name for every column"));
    }
    let ucd = match text("ucd") {
        ucd if ucd.is_empty() => {
            let meta = entry.get("meta").map(Node::entries).unwrap_or_default();
            meta.iter().find(|(key, _)| *key == "ucd").map(|(_, ucd)| ucd.as_text()).unwrap_or_default()
        }
        ucd => ucd,
    };
    let declared = declared(&name, &text("datatype"), &text("subtype"))?;
    Ok((ColumnSchema { name, unit: text("unit"), ucd, description: text("description"), ..ColumnSchema::default() }, declared))
}

/// # Errors
/// When lists are declared that no file can hold.
fn declared(name: &str, datatype: &str, subtype: &str) -> Result<Declared> {
    let text = if subtype.contains('[') { subtype } else { datatype };
    let unreadable = || Declared::Unreadable(format!("values of the type '{}'", shortened(text)));
    if let Some((base, shape)) = text.split_once('[') {
        let Some(values) = value_type(base) else { return Ok(unreadable()) };
        let lengths: Vec<&str> = shape.trim_end_matches(']').split(',').map(str::trim).collect();
        if lengths.contains(&"null") {
            return Ok(Declared::Type(ColumnType { values, layout: Layout::Variable }));
        }
        if lengths.iter().any(|length| length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit())) {
            return Ok(unreadable());
        }
        let product = lengths.iter().try_fold(1_usize, |product, length| product.checked_mul(length.parse().ok()?));
        return match product {
            Some(length) if length <= MOST_VALUES => Ok(Declared::Type(ColumnType { values, layout: Layout::Fixed(length) })),
            _ => Err(place()
                .within(format!("column '{name}'"))
                .found(format!("lists of the type '{}'", shortened(text)))
                .expected(format!("at most {MOST_VALUES} values in a row"))
                .remedy("Correct the length in the header.")),
        };
    }
    Ok(match value_type(datatype) {
        None => unreadable(),
        Some(ValueType::Text) if subtype.is_empty() => Declared::TextOrList,
        Some(values) => Declared::Type(ColumnType::scalar(values)),
    })
}

fn value_type(name: &str) -> Option<ValueType> {
    Some(match name {
        "bool" => ValueType::Bool,
        "int8" | "int16" | "int32" | "uint8" | "uint16" => ValueType::Int32,
        "int64" | "uint32" | "uint64" => ValueType::Int64,
        "float16" | "float32" => ValueType::Float32,
        "float64" | "float128" => ValueType::Float64,
        "string" => ValueType::Text,
        _ => return None,
    })
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

    fn words(declared: &Declared) -> String {
        match declared {
            Declared::Type(known) => known.to_string(),
            Declared::TextOrList => "text or list".into(),
            Declared::Unreadable(found) => found.clone(),
        }
    }

    #[test]
    fn astropy_s_flow_style() {
        let header = parse(ASTROPY).unwrap();
        assert_eq!(header.delimiter, b' ');
        let id = &header.columns[0].0;
        assert_eq!((id.name.as_str(), id.ucd.as_str()), ("source_id", "meta.id;meta.main"));
        assert_eq!(id.description, "it's: an id, 64-bit");
        assert_eq!(header.columns[1].0.unit, "mas");
        let types: Vec<String> = header.columns.iter().map(|(_, declared)| words(declared)).collect();
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
        assert_eq!(header.columns[2].1, Declared::TextOrList);
    }

    #[test]
    fn damaged_headers() {
        for (text, found) in [
            ("%ECSV 1.0\n---\ndatatype: [", "no valid YAML"),
            ("%ECSV 1.0\n---\n", "no 'datatype'"),
            ("datatype:\n- {datatype: int64}\n", "a column without a name"),
            ("delimiter: '::'\ndatatype: []\n", "the delimiter '::'"),
            ("delimiter: '\"'\ndatatype: []\n", "the delimiter"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }

    #[test]
    fn types_that_no_table_holds_are_no_obstacle() {
        let types = ["complex64", "object", "string, subtype: 'complex128[2]'", "string, subtype: 'float64[x]'"];
        let lines: Vec<String> =
            (types.iter().enumerate()).map(|(i, text)| format!("- {{name: c{i}, datatype: {text}}}\n")).collect();
        // As in Parquet, without the first line.
        let header = parse(&format!("datatype:\n{}- {{name: x, datatype: float128}}\n", lines.concat())).unwrap();
        let found: Vec<String> = header.columns.iter().map(|(_, declared)| words(declared)).collect();
        assert_eq!(found[0], "values of the type 'complex64'");
        assert!(found[..4].iter().all(|found| found.starts_with("values of the type")), "{found:?}");
        assert_eq!(found[4], "64-bit float");
    }

    /// `Table.read("ours.fits").write("a.ecsv")` by astropy keeps the values of the cards.
    #[test]
    fn texts_of_our_fits_headers_come_back() {
        let header = parse(
            r#"datatype:
- {name: x, datatype: float64}
meta:
  PROGRAM: photosphere 0.1.0
  OPTIONS: '"\"seed = 1\\n[start]\\n\""'
  TITLE: '"half'
  model: '"as it is"'
"#,
        )
        .unwrap();
        let value = |key: &str| header.metadata[key].as_str();
        assert_eq!(crate::text::of_one_line(value("OPTIONS")), "seed = 1\n[start]\n");
        assert_eq!((value("TITLE"), value("model")), ("\"half", "\"as it is\""));
        let other = parse("datatype:\n- {name: x, datatype: float64}\nmeta: {TITLE: '\"a\"'}\n").unwrap();
        assert_eq!(other.metadata["TITLE"], "\"a\"", "of another program");
    }

    /// From `QTable.write("q.ecsv")` of astropy 8.0.2, with the units of the columns removed: a masked
    /// quantity, a quantity and a longitude.
    #[test]
    fn units_of_quantities_stand_in_the_metadata_too() {
        let header = parse(
            "%ECSV 1.0
---
datatype:
- {name: parallax, datatype: float64}
- {name: parallax.mask, datatype: bool}
- {name: perr, datatype: float64, unit: mas}
- {name: pos.ra, datatype: float64}
- {name: t.jd1, datatype: float64}
meta: !!omap
- {n: 3}
- __serialized_columns__:
    parallax:
      __class__: astropy.units.quantity.Quantity
      unit: !astropy.units.Unit {unit: uas}
      value: !astropy.table.SerializedColumn
        __class__: astropy.utils.masked.core.MaskedNDArray
        data: !astropy.table.SerializedColumn {name: parallax}
        mask: !astropy.table.SerializedColumn {name: parallax.mask}
    perr:
      __class__: astropy.units.quantity.Quantity
      unit: !astropy.units.Unit {unit: mas}
      value: !astropy.table.SerializedColumn {name: perr}
    pos:
      __class__: astropy.coordinates.sky_coordinate.SkyCoord
      frame: icrs
      ra: !astropy.table.SerializedColumn
        __class__: astropy.coordinates.angles.core.Longitude
        unit: &id001 !astropy.units.Unit {unit: deg}
        value: !astropy.table.SerializedColumn {name: pos.ra}
        wrap_angle: !astropy.coordinates.Angle
          unit: *id001
          value: 360.0
    t:
      __class__: astropy.time.core.Time
      format: iso
      in_subfmt: '*'
      jd1: !astropy.table.SerializedColumn {name: t.jd1}
",
        )
        .unwrap();
        let units: Vec<&str> = header.columns.iter().map(|(schema, _)| schema.unit.as_str()).collect();
        assert_eq!(units, ["uas", "", "mas", "deg", ""]);
        assert_eq!(header.metadata.into_iter().collect::<Vec<_>>(), [("n".to_owned(), "3".to_owned())]);
    }
}
