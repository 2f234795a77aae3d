//! VOTable, read only: TABLEDATA, BINARY and BINARY2 of the first table in the document (IVOA Recommendation VOTable 1.4).
//!
//! Empty cells, NaN, empty lists, `VALUES null` and BINARY2's flags are null.

mod binary;
mod cells;
mod field;

use crate::error::{Error, Result};
use crate::table::builder::ColumnBuilder;
use crate::table::gzip;
use crate::table::read::{assemble, positions, unsupported};
use crate::table::{ColumnSchema, Location, Table};
use base64::Engine;
use field::Field;
use roxmltree::{Document, Node, ParsingOptions};
use std::path::Path;

/// A column of the file, with a builder where it is wanted.
struct Source {
    field: Field,
    builder: Option<ColumnBuilder>,
}

/// What is wrong with a cell: what was found and what was expected.
type Misfit = (String, String);

/// Reads the first table.
pub(super) fn read(location: &Location, names: Option<&[&str]>) -> Result<Table> {
    let path = location.file.as_path();
    let bytes = gzip::read_all(path)?;
    let text = String::from_utf8(bytes).map_err(|error| Error::reading(path, error).expected("a VOTable in UTF-8"))?;
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text, options).map_err(|error| {
        Error::reading(path, error).expected("a whole VOTable").remedy("If it is truncated, copy or download it again.")
    })?;
    let place = || Error::data(path.display().to_string());
    let data = document.descendants().find(|node| is(node, "DATA")).ok_or_else(|| place().found("no table with data"))?;
    let table = data.parent().ok_or_else(|| place().found("data without a table"))?;
    let fields = children(table, "FIELD").map(|node| Field::parse(path, node)).collect::<Result<Vec<_>>>()?;
    let available: Vec<String> = fields.iter().map(|field| field.schema.name.clone()).collect();
    let wanted = positions(path, &available, names)?;
    let mut sources: Vec<Source> = fields.into_iter().map(|field| Source { field, builder: None }).collect();
    for &i in &wanted {
        let field = &sources[i].field;
        let column_type = field.column_type.ok_or_else(|| unsupported(path, &field.schema.name, &field.declared))?;
        sources[i].builder = Some(ColumnBuilder::new(field.schema.clone(), column_type));
    }
    let n_rows = read_data(path, data, &mut sources)?;
    if let Some(declared) = table.attribute("nrows").and_then(|count| count.trim().parse::<usize>().ok())
        && declared != n_rows
    {
        return Err(place().found(format!("{n_rows} rows")).expected(format!("{declared}, as the table says")));
    }
    let columns =
        wanted.iter().filter_map(|&i| sources[i].builder.take()).map(|mut builder| builder.take().with_nan_as_null()).collect();
    assemble(path, columns, n_rows, &metadata(table))
}

/// Fills the builders and gives back the number of rows.
fn read_data(path: &Path, data: Node, sources: &mut [Source]) -> Result<usize> {
    let at = |row: usize, name: &str, (found, expected): Misfit| {
        Error::data(format!("{}, row {row}, column '{name}'", path.display())).found(found).expected(expected)
    };
    if let Some(cells) = children(data, "TABLEDATA").next() {
        let mut n_rows = 0;
        for row in children(cells, "TR") {
            let texts: Vec<String> = children(row, "TD").map(text).collect();
            if texts.len() != sources.len() {
                return Err(Error::data(format!("{}, row {n_rows}", path.display()))
                    .found(format!("{} cells", texts.len()))
                    .expected(format!("{}, one for every FIELD", sources.len())));
            }
            for (source, cell) in sources.iter_mut().zip(&texts) {
                if let Some(builder) = &mut source.builder {
                    cells::push(builder, &source.field, cell).map_err(|misfit| at(n_rows, &source.field.schema.name, misfit))?;
                }
            }
            n_rows += 1;
        }
        return Ok(n_rows);
    }
    let has_flags = children(data, "BINARY2").next().is_some();
    let stream = children(data, if has_flags { "BINARY2" } else { "BINARY" }).flat_map(|node| children(node, "STREAM")).next();
    let place = || Error::data(path.display().to_string());
    let stream = stream.ok_or_else(|| place().found("data in another form").expected("TABLEDATA, BINARY or BINARY2"))?;
    if stream.attribute("href").is_some() || stream.attribute("encoding") != Some("base64") {
        return Err(place().found("a STREAM elsewhere or in another encoding").expected("base64 inside the file"));
    }
    let encoded: Vec<u8> = text(stream).bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|error| Error::reading(path, error))?;
    let mut cursor = binary::Cursor::new(&bytes);
    let mut n_rows = 0;
    while !cursor.is_at_end() {
        binary::push_row(&mut cursor, sources, has_flags)
            .map_err(|(i, misfit)| at(n_rows, &sources[i].field.schema.name, misfit))?;
        n_rows += 1;
    }
    Ok(n_rows)
}

/// PARAM and INFO of the table and its resource.
fn metadata(table: Node) -> std::collections::BTreeMap<String, String> {
    let nodes = table.parent().into_iter().chain([table]).flat_map(|node| node.children());
    nodes
        .filter(|node| is(node, "PARAM") || is(node, "INFO"))
        .filter_map(|node| Some((node.attribute("name")?.to_owned(), node.attribute("value")?.to_owned())))
        .collect()
}

fn is(node: &Node, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn children<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| is(child, name))
}

fn text(node: Node) -> String {
    node.children().filter(Node::is_text).filter_map(|child| child.text()).collect()
}

impl Field {
    fn parse(path: &Path, node: Node) -> Result<Self> {
        let attribute = |name: &str| node.attribute(name).map(str::trim).unwrap_or_default();
        let name = [attribute("name"), attribute("ID")].into_iter().find(|name| !name.is_empty());
        let name = name.ok_or_else(|| Error::data(format!("{}, a FIELD", path.display())).found("no name").expected("a name"))?;
        let description = children(node, "DESCRIPTION").next().map(text).unwrap_or_default();
        let schema = ColumnSchema {
            name: name.to_owned(),
            unit: attribute("unit").to_owned(),
            ucd: attribute("ucd").to_owned(),
            description: description.split_whitespace().collect::<Vec<_>>().join(" "),
            ..ColumnSchema::default()
        };
        let null =
            children(node, "VALUES").next().and_then(|values| values.attribute("null")).and_then(|null| null.trim().parse().ok());
        Self::new(schema, attribute("datatype"), attribute("arraysize"), null).map_err(|found| {
            Error::data(format!("{}, FIELD '{name}'", path.display())).found(found).expected("a type of VOTable 1.4")
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{Shape, Values, read, read_columns};

    fn document(data: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><VOTABLE xmlns=\"http://www.ivoa.net/xml/VOTable/v1.3\"><RESOURCE><TABLE>\
             <PARAM name=\"release\" datatype=\"char\" arraysize=\"*\" value=\"DR3\"/>\
             <FIELD name=\"id\" datatype=\"long\" ucd=\"meta.id\"><DESCRIPTION>The\n identifier</DESCRIPTION></FIELD>\
             <FIELD name=\"n\" datatype=\"short\"><VALUES null=\"-9\"/></FIELD>\
             <FIELD name=\"x\" datatype=\"float\" arraysize=\"*\" unit=\"mas\"/>\
             <FIELD name=\"ok\" datatype=\"boolean\"/><FIELD name=\"name\" datatype=\"unicodeChar\" arraysize=\"8*\"/>\
             <DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"
        )
    }

    fn path_of(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".xml").tempfile().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn tabledata() {
        let rows = "<TR><TD>5853498713190525696</TD><TD>-9</TD><TD> 1.5  NaN\n2</TD><TD>T</TD><TD>\u{3b1} &amp; b</TD></TR>\
                    <TR><TD>2</TD><TD>3</TD><TD/><TD>?</TD><TD></TD></TR>";
        let file = path_of(&document(&format!("<TABLEDATA>{rows}</TABLEDATA>")));
        let table = read(file.path()).unwrap();
        assert_eq!(table.metadata["release"], "DR3");
        let id = table.column("id").unwrap();
        assert_eq!(id.to_i64().unwrap()[0], 5_853_498_713_190_525_696);
        assert_eq!((id.schema.ucd.as_str(), id.schema.description.as_str()), ("meta.id", "The identifier"));
        assert_eq!(table.column("n").unwrap().valid, Some(vec![false, true]));
        let x = table.column("x").unwrap();
        assert_eq!((&x.shape, &x.valid), (&Shape::Variable(vec![0, 3, 3]), &Some(vec![true, false])));
        assert_eq!(table.column("ok").unwrap().valid, Some(vec![true, false]));
        assert_eq!(table.column("name").unwrap().values, Values::Text(vec!["\u{3b1} & b".into(), String::new()]));
        assert_eq!(read_columns(file.path(), &["x", "id"]).unwrap().columns()[0].schema.unit, "mas");
    }

    #[test]
    fn damaged_documents() {
        let row = "<TR><TD>1</TD><TD>2</TD><TD>3</TD><TD>T</TD></TR>";
        // A row of id 1 without its other cells, in base64.
        let cut = "<BINARY><STREAM encoding=\"base64\">AAAAAAAAAAE=</STREAM></BINARY>";
        for (content, found) in [
            (document(&format!("<TABLEDATA>{row}</TABLEDATA>")), "row 0: found 4 cells, expected 5"),
            (document("<TABLEDATA><TR><TD>one</TD><TD/><TD/><TD/><TD/></TR></TABLEDATA>"), "row 0, column 'id': found 'one'"),
            (document(cut), "row 0, column 'n': found the end of the data"),
            (document("<BINARY><STREAM encoding=\"base64\">A?</STREAM></BINARY>"), "read error"),
            (document("<FITS/>"), "data in another form"),
            (document("")[..300].to_owned(), "a whole VOTable"),
        ] {
            let error = read(path_of(&content).path()).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }
}
