//! A table of any format: columns, units, types, nulls, first values, metadata. Read in chunks.

use crate::cli::outcome::Outcome;
use crate::error::Result;
use crate::table::{Column, Table, Values, read_chunks};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Rows in memory at once.
const CHUNK: usize = 8192;
/// Values that are shown of a column.
const SHOWN: usize = 3;
/// Characters that are shown of a text.
const SHOWN_CHARACTERS: usize = 70;
/// Characters to which names are aligned; the width of a format has a limit.
const WIDEST_NAME: usize = 40;

/// Describes the table at `path`.
pub fn inspect(path: &Path) -> Result<Outcome> {
    let mut first: Option<Table> = None;
    let (mut n_rows, mut n_null) = (0, Vec::new());
    // What of columns no table can hold, by their positions.
    let mut unheld: BTreeMap<usize, String> = BTreeMap::new();
    for chunk in read_chunks(path, CHUNK)? {
        let chunk = chunk?;
        n_rows += chunk.n_rows();
        n_null.resize(chunk.columns().len(), 0);
        for (count, column) in n_null.iter_mut().zip(chunk.columns()) {
            *count += (0..chunk.n_rows()).filter(|&row| !column.is_valid(row)).count();
        }
        for (i, column) in chunk.columns().iter().enumerate() {
            if let Err(error) = column.require_held() {
                unheld.entry(i).or_insert_with(|| error.to_string());
            }
        }
        first.get_or_insert_with(|| chunk.slice(0..SHOWN.min(chunk.n_rows())));
    }
    let head = first.unwrap_or_default();
    let columns: Vec<serde_json::Value> = (head.columns().iter().zip(&n_null).enumerate())
        .map(|(i, (column, n_null))| {
            let mut entry = json!({
                "name": column.schema.name,
                "type": column.column_type().to_string(),
                "unit": column.schema.unit,
                "ucd": column.schema.ucd,
                "description": column.schema.description,
                "nulls": n_null,
                "first": first_values(column),
            });
            if let Some(fault) = unheld.get(&i) {
                entry["unheld"] = json!(fault);
            }
            entry
        })
        .collect();

    let unread: Vec<serde_json::Value> = (head.unread.iter())
        .map(|column| json!({ "name": column.schema.name, "type": column.found, "unit": column.schema.unit }))
        .collect();

    let mut text = format!("table {}: {n_rows} rows, {} columns\n", path.display(), columns.len());
    let names = head.columns().iter().map(|column| &column.schema.name);
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0).min(WIDEST_NAME);
    for (i, (column, n_null)) in head.columns().iter().zip(&n_null).enumerate() {
        let unit = if column.schema.unit.is_empty() { String::new() } else { format!(" [{}]", column.schema.unit) };
        let nulls = if *n_null == 0 { String::new() } else { format!(", {n_null} null") };
        let name = shortened(&column.schema.name);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<width$}  {}{unit}{nulls}: {}", column.column_type(), first_values(column).join(", "));
        if !column.schema.description.is_empty() {
            let _ = writeln!(text, "  {:<width$}  {}", "", column.schema.description);
        }
        if let Some(fault) = unheld.get(&i) {
            let _ = writeln!(text, "  {:<width$}  an error where it is needed: {fault}", "");
        }
    }
    if !head.unread.is_empty() {
        text.push_str("unread (no command needs columns of these types; one that is asked for is refused)\n");
    }
    for column in &head.unread {
        let _ = writeln!(text, "  {:<width$}  {}", shortened(&column.schema.name), shortened(&column.found));
    }
    if !head.metadata.is_empty() {
        text.push_str("metadata\n");
    }
    for (key, value) in &head.metadata {
        let _ = writeln!(text, "  {}: {}", shortened(key), shortened(value));
    }
    let summary = json!({ "kind": "table", "rows": n_rows, "columns": columns, "unread": unread, "metadata": head.metadata });
    Ok(Outcome::answer(text, summary))
}

/// The first rows of a column; of lists, the beginning of each.
fn first_values(column: &Column) -> Vec<String> {
    let row = |row: usize| {
        let range = column.range(row);
        if !column.is_valid(row) {
            return "null".into();
        }
        let is_scalar = column.shape == crate::table::Shape::Scalar;
        let shown: Vec<String> = range.clone().take(SHOWN).map(|position| value(&column.values, position)).collect();
        match (is_scalar, range.len() > SHOWN) {
            (true, _) => shown.concat(),
            (false, more) => format!("[{}{}]", shown.join(" "), if more { " …" } else { "" }),
        }
    };
    (0..column.n_rows().min(SHOWN)).map(row).collect()
}

fn value(values: &Values, position: usize) -> String {
    match values {
        Values::Bool(values) => values[position].to_string(),
        Values::Int32(values) => values[position].to_string(),
        Values::Int64(values) => values[position].to_string(),
        Values::Float32(values) => values[position].to_string(),
        Values::Float64(values) => values[position].to_string(),
        Values::Text(values) => shortened(&values[position]),
    }
}

fn shortened(text: &str) -> String {
    crate::text::shortened(&text.replace('\n', " ⏎ "), SHOWN_CHARACTERS).into_owned()
}
