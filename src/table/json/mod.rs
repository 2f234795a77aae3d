//! JSON, read only, in the forms in which programs write tables: a list of records (`[{"a": 1}, …]`), a
//! record on every line (JSON lines),
//! an object of columns (`{"a": [1, …]}`), and that of TAP services (`{"metadata": [{"name": "a", "datatype":
//! "long"}, …], "data": [[1], …]}`), whose types, units, UCDs and descriptions are believed.
//!
//! `null`, empty text, NaN, a key that a record lacks, and lists of nothing but `null` are null. Without
//! declared types they are inferred from all records; numbers are taken from the text itself, so that no
//! digit of an identifier is lost.

mod document;

use super::builder::ColumnBuilder;
use super::csv::{cells, infer::Guess};
use super::read::{assemble, positions, unsupported};
use super::{Column, ColumnType, Layout, OddCell, Table, UnreadColumn, ValueType, gzip, limits};
use crate::error::{Error, Result};
use document::{Document, Field};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes in memory that a null needs, at least.
const NULL_BYTES: u64 = 8;

/// Reads the table.
///
/// # Errors
/// When it is no JSON of the forms that are read, or a value is not of its column's type.
pub(super) fn read(path: &Path, names: Option<&[&str]>) -> Result<Table> {
    let bytes = gzip::read_all(path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| Error::reading(path, error).expected("JSON in UTF-8").remedy("Save the file as UTF-8."))?;
    let document = Document::parse(path, text.strip_prefix('\u{feff}').unwrap_or(text))?;
    // Records that share no keys are a table of nothing but nulls.
    let n_cells = (document.n_rows as u64).saturating_mul(document.fields.len() as u64);
    if n_cells.saturating_mul(NULL_BYTES) > limits::allowed(bytes.len() as u64) {
        return Err(Error::data(path.display().to_string())
            .found(format!("{} records of {} different keys altogether", document.n_rows, document.fields.len()))
            .expected("records that have their keys in common")
            .remedy("If the file is to be trusted, give --max-expansion with a larger number."));
    }
    let available: Vec<String> = document.fields.iter().map(|field| field.schema.name.clone()).collect();
    let wanted = positions(path, &available, names)?;
    let (mut columns, mut unread) = (Vec::with_capacity(wanted.len()), Vec::new());
    for &i in &wanted {
        let field = &document.fields[i];
        match column_type(field) {
            Ok((column_type, odd)) => {
                let mut schema = field.schema.clone();
                schema.odd_cell =
                    odd.map(|(row, text)| Box::new(OddCell { place: format!("{}, row {row}", path.display()), text }));
                let builder = ColumnBuilder::new(schema, column_type);
                columns.push(column(path, field, document.n_rows, builder)?);
            }
            Err(found) if names.is_some() => return Err(unsupported(path, &field.schema.name, found)),
            Err(found) => unread.push(UnreadColumn { schema: field.schema.clone(), found: found.into() }),
        }
    }
    let table = assemble(path, columns, document.n_rows, &BTreeMap::new())?;
    Ok(Table { unread, ..table })
}

/// The first cell that is no number among numbers, and its row.
type Odd = Option<(u64, String)>;

/// The declared type, or the one that all cells have; what is found in words where no column can hold it.
fn column_type(field: &Field) -> std::result::Result<(ColumnType, Odd), &'static str> {
    let starts_with = |start: &[char]| field.cells.iter().any(|(_, cell)| cell.get().starts_with(start));
    let has_lists = starts_with(&['[']);
    if let Some(values) = field.declared {
        // Some services leave out the size of arrays.
        let layout = if field.is_list || has_lists { Layout::Variable } else { Layout::Scalar };
        return Ok((ColumnType { values, layout }, None));
    }
    if starts_with(&['{']) {
        return Err("JSON objects");
    }
    let holds_text = |cell: &RawValue| cell.get().starts_with('[') && cell.get().contains('"');
    if has_lists && field.cells.iter().any(|(_, cell)| holds_text(cell)) {
        let is_list = |cell: &RawValue| cell.get().starts_with('[') || cell.get() == "null";
        return if field.cells.iter().all(|(_, cell)| is_list(cell)) {
            Ok((ColumnType { values: ValueType::Text, layout: Layout::Variable }, None))
        } else {
            Err("JSON lists of text among other values")
        };
    }
    let mut guess = Guess::default();
    for (row, cell) in &field.cells {
        let at = || *row as u64;
        if cell.get().starts_with('"') { guess.see_text(&content(cell), at) } else { guess.see(cell.get(), at) }
    }
    let column_type = guess.column_type();
    Ok((column_type, guess.odd_cell()))
}

/// The column of a field, in which rows without a cell are null.
fn column(path: &Path, field: &Field, n_rows: usize, mut builder: ColumnBuilder) -> Result<Column> {
    let mut row = 0;
    for (at, cell) in &field.cells {
        (row..*at).for_each(|_| builder.push_null());
        row = at + 1;
        let pushed = cells::push(&mut builder, &content(cell));
        if let Some(place) = builder.unplaced() {
            *place = format!("{}, row {at}", path.display());
        }
        pushed.map_err(|misfit| {
            Error::data(format!("{}, row {at}, column '{}'", path.display(), field.schema.name))
                .found(misfit.found)
                .expected(misfit.expected)
                .remedy("Write a value of the column's type, or null where there is none.")
        })?;
    }
    (row..n_rows).for_each(|_| builder.push_null());
    Ok(builder.take())
}

/// The text of a string without its quotes; anything else as it is written.
fn content(cell: &RawValue) -> Cow<'_, str> {
    let raw = cell.get();
    match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        Some(bare) if !bare.contains('\\') => Cow::Borrowed(bare),
        Some(_) => serde_json::from_str(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
        None => Cow::Borrowed(raw),
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{Shape, Table, Values, read, read_columns};

    fn of(text: &str) -> crate::error::Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stars.json");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn three_forms_of_the_same_table() {
        let records = r#"[{"source_id": 5853498713190525696, "x": 1.5, "name": "a\u00e9\"b", "f": [1, null, 2.5], "ok": true},
                         {"name": null, "source_id": 4, "f": null, "ok": false}]"#;
        let columns = r#" {"source_id": [5853498713190525696, 4], "x": [1.5, null], "name": ["a\u00e9\"b", ""], "f": [[1, null, 2.5], [null]],
                         "ok": [true, false]}"#;
        let tap = r#"{"metadata": [{"name": "source_id", "datatype": "long", "ucd": "meta.id"},
                                   {"name": "x", "datatype": "double", "unit": "mas", "description": "Parallax"},
                                   {"name": "name", "datatype": "char", "arraysize": "*"},
                                   {"name": "f", "datatype": "double", "arraysize": "*"}, {"name": "ok", "datatype": "boolean"}],
                      "data": [[5853498713190525696, 1.5, "a\u00e9\"b", "[1.0, null, 2.5]", true], [4, "NaN", null, null, false]]}"#;
        let lines: String = records.trim_matches(['[', ']']).replace("},\n", "}\n") + "\n";
        for text in [records, columns, tap, &format!("\u{feff}{records}"), &lines] {
            let table = of(text).unwrap();
            let names: Vec<&str> = table.columns().iter().map(|column| column.schema.name.as_str()).collect();
            assert_eq!(names, ["source_id", "x", "name", "f", "ok"]);
            assert_eq!(table.column("source_id").unwrap().to_i64().unwrap(), [5_853_498_713_190_525_696, 4]);
            let x = table.column("x").unwrap();
            assert_eq!((x.to_f64().unwrap()[0], x.is_valid(1)), (1.5, false));
            let name = table.column("name").unwrap();
            assert_eq!((&name.values, name.is_valid(1)), (&Values::Text(vec!["a\u{e9}\"b".into(), String::new()]), false));
            let lists = table.column("f").unwrap();
            assert_eq!((&lists.shape, lists.is_valid(1)), (&Shape::Variable(vec![0, 3, 3]), false));
            assert!(lists.flat_f64().unwrap()[1].is_nan());
            assert_eq!(table.column("ok").unwrap().values, Values::Bool(vec![true, false]));
        }
        let schema = &of(tap).unwrap().columns()[1].schema.clone();
        assert_eq!((schema.unit.as_str(), schema.description.as_str()), ("mas", "Parallax"));
        assert_eq!(of(tap).unwrap().columns()[0].schema.ucd, "meta.id");
    }

    #[test]
    fn lists_of_text_objects_and_odd_cells() {
        let text = r#"[{"bands": ["g", "bp"], "o": {"a": 1}, "x": 1.5}, {"bands": [], "o": null, "x": "NA"}]"#;
        let table = of(text).unwrap();
        assert_eq!(table.column("bands").unwrap().values, Values::Text(vec!["g".into(), "bp".into()]));
        let error = table.column("o").unwrap_err().to_string();
        assert!(error.contains("found JSON objects"), "{error}");
        let error = table.column("x").unwrap().to_f64().unwrap_err().to_string();
        assert!(error.contains("stars.json, row 1, column 'x': found 'NA', expected numbers, or nothing"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stars.json");
        std::fs::write(&path, text).unwrap();
        assert!(read_columns(&path, &["o"]).unwrap_err().to_string().contains("column 'o': found JSON objects"));
        assert_eq!(read_columns(&path, &["bands"]).unwrap().columns().len(), 1);
        assert_eq!(crate::table::read_schema(&path).unwrap().len(), 2);
        assert_eq!(crate::table::read_chunks(&path, 1).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_table_is_refused_by_name() {
        for (text, found) in [
            ("", "a read error"),
            ("[1, 2]", "row 0: found 1"),
            ("\"text\"", "found '\"text\"'"),
            ("[{\"a\": 1, \"a\": 2}]", "row 0, key 'a': found the key twice"),
            ("{\"a\": [1, 2], \"b\": [1]}", "column 'b': found 1 values, expected 2"),
            ("{\"a\": {\"0\": 1}}", "orient"),
            ("{\"a\": 5}", "key 'a': found 5"),
            ("{\"a\": [1], \"a\": [2]}", "the key twice"),
            ("[{\"a\": NaN}]", "a read error"),
            ("[{\"a\": 1}", "a read error"),
            (
                "{\"metadata\": [{\"name\": \"a\", \"datatype\": \"int\"}], \"data\": [[1, 2]]}",
                "row 0: found 2 values, expected 1",
            ),
            ("{\"metadata\": [{\"name\": \"a\", \"datatype\": \"int\"}], \"data\": [[1.5]]}", "row 0, column 'a': found '1.5'"),
            ("{\"metadata\": [{\"datatype\": \"int\"}], \"data\": []}", "no name"),
            (&"[".repeat(100_000), "a read error"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains("stars.json") && error.contains(found), "{text:.80}: {error}");
        }
        assert_eq!(of("[]").unwrap().n_rows(), 0);
        let error = of("{\"a\": 1}\n{\"a\": 2}\n{\"a\":").unwrap_err().to_string();
        assert!(error.contains("JSON lines") && error.contains("line 3"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.jsonl");
        std::fs::write(&path, "{\"a\": 1}\n").unwrap();
        assert_eq!(read(&path).unwrap().column("a").unwrap().to_i64().unwrap(), [1], "one record by the name of the file");
        let many: Vec<String> = (0..20_000).map(|i| format!("{{\"k{i}\":1}}")).collect();
        let error = of(&format!("[{}]", many.join(","))).unwrap_err().to_string();
        assert!(error.contains("20000 records of 20000 different keys"), "{error}");
    }
}
