//! Whole documents.

use crate::table::{Shape, Table, Values, read, read_chunks, read_columns, read_schema};
use crate::warning::said;
use base64::Engine;
use std::path::{Path, PathBuf};

pub(super) fn document(data: &str) -> String {
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

pub(super) fn path_of(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".xml").tempfile().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

fn table_of(content: impl AsRef<[u8]>) -> Table {
    read(path_of(content).path()).unwrap()
}

pub(super) fn error_of(content: impl AsRef<[u8]>) -> String {
    read(path_of(content).path()).unwrap_err().to_string()
}

fn chosen(path: &Path, table: &str) -> PathBuf {
    format!("{}[{table}]", path.display()).into()
}

pub(super) fn stream(form: &str, bytes: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    // Lines, as writers make them.
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("<{form}><STREAM encoding=\"base64\">\n{}\n</STREAM></{form}>", lines.join("\r\n"))
}

#[test]
fn tabledata() {
    let rows = "<TR><TD>5853498713190525696</TD><TD>-9</TD><TD> 1.5  NaN\n2</TD><TD>T</TD><TD>\u{3b1} &amp; b</TD></TR>\
                <TR><TD>2</TD><TD>3</TD><TD/><TD>?</TD><TD></TD></TR>";
    let file = path_of(document(&format!("<TABLEDATA>{rows}</TABLEDATA>")));
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
        (document("<BINARY><STREAM encoding=\"base64\">AAA=AAAA</STREAM></BINARY>"), "base64 in the STREAM"),
        (document("<FITS/>"), "data in another form"),
        (document("")[..300].to_owned(), "a whole VOTable"),
        (document("<TABLEDATA></TR></TABLEDATA>"), "no well-formed XML"),
        ("<html><body>503</body></html>".to_owned(), "found an XML document of <html>, expected <VOTABLE>"),
        (
            "<VOTABLE><RESOURCE><TABLE name='x'><FIELD name='a' datatype='int'/></TABLE></RESOURCE></VOTABLE>".to_owned(),
            "no table with data",
        ),
        (document("").replace("\"*\" unit", "\"3y\" unit"), "FIELD 'x': found the arraysize '3y'"),
    ] {
        let error = error_of(content);
        assert!(error.contains(found), "{error}");
    }
}

/// One row of values that are null by `VALUES null`, however it is spelled, and one of others, in a form.
fn with_nulls(data: &str) -> String {
    let field = |name: &str, kind: &str, null: &str| format!("<FIELD name='{name}' {kind}><VALUES null='{null}'/></FIELD>");
    format!(
        "<VOTABLE><RESOURCE><TABLE>{}{}{}{}{}{}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>",
        field("d", "datatype='double'", "-99.0"),
        field("f", "datatype='float'", "-99.9"),
        field("n", "datatype='int'", "-5.0"),
        field("l", "datatype='double' arraysize='2'", "-9.9e1"),
        field("v", "datatype='float' arraysize='*'", "-99"),
        field("t", "datatype='char' arraysize='3'", "N/A")
    )
}

fn check_nulls(table: &Table) {
    for name in ["d", "f", "n", "t"] {
        assert_eq!(table.column(name).unwrap().valid, Some(vec![false, true]), "{name}");
    }
    assert!(table.column("d").unwrap().to_f64().unwrap()[0].is_nan());
    assert_eq!(table.column("n").unwrap().values, Values::Int32(vec![0, 7]));
    let list = table.column("l").unwrap();
    let flat = list.flat_f64().unwrap();
    assert!(flat[0] == 1.5 && flat[1].is_nan() && flat[2..] == [2.5, 3.5], "{flat:?}");
    let list = table.column("v").unwrap();
    assert_eq!((&list.shape, &list.valid), (&Shape::Variable(vec![0, 2, 3]), &Some(vec![false, true])));
    assert_eq!(list.flat_f64().unwrap()[2], 4.0);
}

#[test]
fn declared_nulls_of_every_type_in_every_form() {
    let row = |cells: [&str; 6]| format!("<TR>{}</TR>", cells.map(|cell| format!("<TD>{cell}</TD>")).concat());
    let rows = [row(["-99", "-99.90", "-5", "1.5 -99.00", "-99 -99.0", "N/A"]), row(["1", "2", "7", "2.5 3.5", "4", "abc"])];
    check_nulls(&table_of(with_nulls(&format!("<TABLEDATA>{}</TABLEDATA>", rows.concat()))));

    let bytes = |flags: &[u8]| -> Vec<u8> {
        let row = |d: f64, f: f32, n: i32, l: [f64; 2], v: &[f32], t: &[u8]| -> Vec<u8> {
            let list = l.map(f64::to_be_bytes).concat();
            let length = i32::try_from(v.len()).unwrap().to_be_bytes();
            let varying: Vec<u8> = v.iter().flat_map(|value| value.to_be_bytes()).collect();
            [flags, &d.to_be_bytes(), &f.to_be_bytes(), &n.to_be_bytes(), &list, &length, &varying, t].concat()
        };
        [row(-99.0, -99.9, -5, [1.5, -99.0], &[-99.0, -99.0], b"N/A"), row(1.0, 2.0, 7, [2.5, 3.5], &[4.0], b"abc")].concat()
    };
    check_nulls(&table_of(with_nulls(&stream("BINARY", &bytes(&[])))));
    check_nulls(&table_of(with_nulls(&stream("BINARY2", &bytes(&[0])))));

    let within_list = table_of(
        with_nulls("<TABLEDATA><TR><TD/><TD/><TD/><TD/><TD/><TD/></TR></TABLEDATA>")
            .replace("'double' arraysize", "'int' arraysize")
            .replace("<TD/><TD/><TD/></TR>", "<TD>1 -99</TD><TD/><TD/></TR>"),
    );
    let error = within_list.column("l").unwrap_err().to_string();
    assert!(error.contains("row 0, column 'l': found a null (-99) inside a list"), "{error}");
}

#[test]
fn the_flags_of_binary2_are_nulls() {
    let row = |flags: u8, id: i64| {
        [&[flags][..], &id.to_be_bytes(), &3_i16.to_be_bytes(), &0_i32.to_be_bytes(), b"T", &0_i32.to_be_bytes()].concat()
    };
    let table = table_of(document(&stream("BINARY2", &[row(0b1101_0000, 1), row(0, 2)].concat())));
    for name in ["id", "n", "ok"] {
        assert_eq!(table.column(name).unwrap().valid, Some(vec![false, true]), "{name}");
    }
    assert_eq!(table.column("x").unwrap().valid, Some(vec![false, false]));
    assert_eq!(table.column("name").unwrap().valid, Some(vec![false, false]));
}

#[test]
fn types_that_nobody_needs_are_no_obstacle() {
    let fields = "<FIELD name='id' datatype='int'/><FIELD name='bit' datatype='bit'/><FIELD name='bits' datatype='bit' arraysize='10'/>\
                  <FIELD name='z' datatype='doubleComplex'/><FIELD name='texts' datatype='char' arraysize='3x2'/>\
                  <FIELD name='time' datatype='char' arraysize='*' xtype='timestamp'/>";
    let document =
        |fields: &str, data: &str| format!("<VOTABLE><RESOURCE><TABLE>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>");
    let cells =
        ["1", "1", "10 10000001", "1.5 2.5", "ab cde", "2026-11-27T00:00:00"].map(|cell| format!("<TD>{cell}</TD>")).concat();
    let odd = format!("{fields}<FIELD name='odd' datatype='int128'/>");
    let text = table_of(document(&odd, &format!("<TABLEDATA><TR>{cells}<TD>1</TD></TR></TABLEDATA>")));
    let mut bytes = [&1_i32.to_be_bytes()[..], &[128, 0b1010_0000, 0b0100_0000], &[0; 16], b"ab cde"].concat();
    bytes.extend([&19_i32.to_be_bytes()[..], b"2026-11-27T00:00:00"].concat());
    let binary = table_of(document(fields, &stream("BINARY", &bytes)));
    for table in [&text, &binary] {
        assert_eq!(table.column("bit").unwrap().values, Values::Bool(vec![true]));
        let bits = table.column("bits").unwrap();
        let Values::Bool(values) = &bits.values else { panic!("{bits:?}") };
        assert_eq!((&bits.shape, &values[..4], values[9]), (&Shape::Fixed(10), &[true, false, true, false][..], true));
        let texts = table.column("texts").unwrap();
        assert_eq!((&texts.shape, &texts.values), (&Shape::Fixed(2), &Values::Text(vec!["ab".into(), "cde".into()])));
        assert_eq!(table.column("time").unwrap().values, Values::Text(vec!["2026-11-27T00:00:00".into()]));
        let error = table.column("z").unwrap_err().to_string();
        assert!(error.starts_with("column 'z': found the type 'doubleComplex', expected booleans"), "{error}");
    }
    assert_eq!(text.unread.len(), 2);
    let file = path_of(document(&odd, &format!("<TABLEDATA><TR>{cells}<TD>1</TD></TR></TABLEDATA>")));
    assert_eq!(read_columns(file.path(), &["id"]).unwrap().columns().len(), 1);
    let error = read_columns(file.path(), &["odd"]).unwrap_err().to_string();
    assert!(error.contains("column 'odd': found the type 'int128'"), "{error}");
    let error = error_of(document(&odd, &stream("BINARY", &bytes)));
    assert!(error.contains("row 0, column 'odd': found 1 values of the type 'int128'"), "{error}");
}

fn table(attributes: &str, value: &str) -> String {
    format!(
        "<TABLE {attributes}><FIELD name='x' datatype='int'/><DATA><TABLEDATA><TR><TD>{value}</TD></TR></TABLEDATA></DATA></TABLE>"
    )
}

#[test]
fn one_bit_is_true_by_any_bit_of_its_byte() {
    // astropy 8.0 writes 0x08 for a true scalar; 0x80 is the standard's.
    let fields =
        "<FIELD name='x' datatype='double'/><FIELD name='x.mask' datatype='bit'/><FIELD name='b' datatype='bit' arraysize='3'/>";
    let row = |x: f64, mask: u8| [&x.to_be_bytes()[..], &[mask, 0b1010_0000]].concat();
    let rows = [row(99.0, 0x08), row(1.5, 0), row(99.0, 0x80), row(99.0, 1)];
    let flagged: Vec<u8> = rows.iter().flat_map(|row| [&[0], &row[..]].concat()).collect();
    let cells =
        [(99.0, 1), (1.5, 0), (99.0, 1), (99.0, 1)].map(|(x, bit)| format!("<TR><TD>{x}</TD><TD>{bit}</TD><TD>101</TD></TR>"));
    for data in
        [stream("BINARY", &rows.concat()), stream("BINARY2", &flagged), format!("<TABLEDATA>{}</TABLEDATA>", cells.concat())]
    {
        let table = table_of(format!("<VOTABLE><RESOURCE><TABLE>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"));
        assert_eq!(table.column("x").unwrap().valid, Some(vec![false, true, false, false]), "{data}");
        assert_eq!(table.column("b").unwrap().values, Values::Bool([true, false, true].repeat(4)));
    }
}

#[test]
fn tables_without_rows_are_passed_over() {
    let field = "<FIELD name='x' datatype='int'/>";
    let empty = [
        format!("<TABLE name='e'>{}<DATA><TABLEDATA/></DATA></TABLE>", field.replace('x', "y")),
        format!("<TABLE name='e' nrows='0'>{field}<DATA><TABLEDATA><INFO name='a' value='b'/></TABLEDATA></DATA></TABLE>"),
        format!("<TABLE>{field}<DATA>{}</DATA></TABLE>", stream("BINARY", &[])),
        format!("<TABLE>{field}<DATA>{}</DATA></TABLE>", stream("BINARY2", &[])),
    ];
    for empty in &empty {
        let file = path_of(format!("<VOTABLE><RESOURCE>{empty}{}</RESOURCE></VOTABLE>", table("name='full'", "7")));
        for table in [read(file.path()).unwrap(), read_columns(file.path(), &["x"]).unwrap()] {
            assert_eq!(table.column("x").unwrap().to_i64().unwrap(), [7], "{empty}");
        }
        assert_eq!(read_schema(file.path()).unwrap()[0].name, "x");
        assert_eq!(read(&chosen(file.path(), "1")).unwrap().n_rows(), 0, "by number");
        assert!(
            said()
                .iter()
                .any(|text| text.contains(&*file.path().to_string_lossy()) && text.contains("2 ('full') is read, not 1"))
        );
        let file = path_of(format!("<VOTABLE><RESOURCE>{empty}{empty}</RESOURCE></VOTABLE>"));
        assert_eq!(read(file.path()).unwrap().n_rows(), 0, "none has rows: the first");
    }
}

#[test]
fn one_of_several_tables_is_chosen() {
    let tables =
        [table("name='Old'", "1"), "<TABLE name='empty'/>".into(), table("ID='t2' name='2'", "2"), table("name='OLD'", "3")];
    let file = path_of(format!("<VOTABLE><RESOURCE>{}</RESOURCE></VOTABLE>", tables.concat()));
    let path = file.path();
    let value = |path: &Path| read(path).unwrap().column("x").unwrap().to_i64().unwrap()[0];
    assert_eq!(value(path), 1);
    let shown = path.display();
    let expected =
        format!("{shown}: 3 tables with data: 1 ('Old') is read, not 3 ('2'), 4 ('OLD'). Name one in brackets: {shown}[3].");
    assert!(said().contains(&expected), "{:?}", said());
    for (name, expected) in [("old", 1), ("3", 2), ("T2", 2), ("4", 3)] {
        assert_eq!(value(&chosen(path, name)), expected, "{name}");
    }
    assert!(said().iter().any(|text| text.contains("several tables are named 'old': 1 ('Old') is read, not 4 ('OLD')")));
    let error = read(&chosen(path, "new")).unwrap_err().to_string();
    assert!(error.contains("[new]: found no such table with data (there are: 1 ('Old'), 3 ('2'), 4 ('OLD'))"), "{error}");
    let error = read(&chosen(path, "old+t2")).unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
}

#[test]
fn what_a_service_says_of_its_answer() {
    let status = |value: &str| format!("<INFO name='QUERY_STATUS' value='{value}'>query\n timed out</INFO>");
    let document = |resource: &str| format!("<VOTABLE><RESOURCE type='results'>{resource}</RESOURCE></VOTABLE>");
    let table = table("nrows='1'", "1");
    for content in [status("ERROR") + &table, table.clone() + &status("error"), status("ERROR")] {
        let error = error_of(document(&content));
        assert!(error.contains("found the error of a service instead of its answer: query timed out"), "{error}");
    }
    let truncated = table.replace("nrows='1'", "nrows='9'") + &status("OVERFLOW");
    let file = path_of(document(&truncated));
    assert_eq!(read(file.path()).unwrap().n_rows(), 1);
    assert!(said().iter().any(|text| text.contains(&*file.path().to_string_lossy()) && text.contains("after 1 rows")));
    let file = path_of(document(&(status("OVERFLOW") + &table)));
    assert_eq!(read(file.path()).unwrap().metadata["QUERY_STATUS"], "OVERFLOW");
    assert!(said().iter().any(|text| text.contains(&*file.path().to_string_lossy()) && text.contains("QUERY_STATUS OVERFLOW")));
    // The status of another answer in the same document.
    let other = format!("<VOTABLE><RESOURCE>{table}</RESOURCE><RESOURCE>{}</RESOURCE></VOTABLE>", status("ERROR"));
    assert_eq!(table_of(other).n_rows(), 1);
    let error = error_of(document(&table.replace("nrows='1'", "nrows='2'")));
    assert!(error.contains("found 1 rows, expected 2, as the table says"), "{error}");
}

#[test]
fn encodings_line_ends_and_references() {
    let content = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!DOCTYPE VOTABLE SYSTEM \"http://us-vo.org/xml/VOTable.dtd\">\r\
                   <VOTABLE><RESOURCE><TABLE>\r<FIELD name=\"n&#97;me\" datatype=\"char\" arraysize=\"*\"/><DATA><TABLEDATA>\r\n<TR>\
                   <TD>\u{e9}&#x41;<![CDATA[<&>]]><!-- no -->&lt;\r\nb</TD>\r</TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>\r";
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let latin = content.replace("utf-8", "ISO-8859-1");
    let latin = latin.chars().map(|character| u8::try_from(u32::from(character)).unwrap());
    let contents = [
        content.as_bytes().to_vec(),
        ["\u{feff}", content].concat().into_bytes(),
        utf16(&content.replace("utf-8", "UTF-16")),
        utf16(&["\u{feff}", content].concat()),
        latin.collect(),
    ];
    for content in contents {
        let table = table_of(content);
        assert_eq!(table.column("name").unwrap().values, Values::Text(vec!["\u{e9}A<&><\nb".into()]));
    }
    let error = error_of(content.replace("utf-8", "EUC-JP"));
    assert!(error.contains("found the encoding 'EUC-JP', expected UTF-8, UTF-16 or ISO-8859-1"), "{error}");
    let error = error_of(content.replace("&lt;", "&eacute;"));
    assert!(error.contains("found the entity '&eacute;'"), "{error}");
    let error = error_of(content.replace("n&#97;me", "&eacute;"));
    assert!(error.contains("no well-formed XML"), "{error}");
    assert!(read(path_of(b"<VOTABLE>\xff</VOTABLE>").path()).is_err());
}

#[test]
fn chunks_are_the_table_and_the_schema_needs_no_rows() {
    let rows: String = (0..100).map(|i| format!("<TR><TD>{i}</TD><TD>1</TD><TD>{i} 2</TD><TD>F</TD><TD>a</TD></TR>")).collect();
    let file = path_of(document(&format!("<TABLEDATA>{rows}</TABLEDATA>")));
    let whole = read(file.path()).unwrap();
    for n in [1, 7, 50, 100, 1000] {
        let mut chunks = read_chunks(file.path(), n).unwrap().map(Result::unwrap);
        let mut together = chunks.next().unwrap();
        chunks.for_each(|chunk| together.append(chunk).unwrap());
        assert_eq!(together, whole, "{n}");
    }
    let cut = document("<TABLEDATA><TR>");
    let file = path_of(&cut[..cut.find("<TR>").unwrap()]);
    assert_eq!(read_schema(file.path()).unwrap().len(), 5);
    let mut chunks = read_chunks(file.path(), 10).unwrap();
    assert!(chunks.next().unwrap().is_err() && chunks.next().is_none());
    let empty = table_of(document("<TABLEDATA/>"));
    assert_eq!((empty.n_rows(), empty.columns().len()), (0, 5));
    assert_eq!(table_of(document("<BINARY2><STREAM encoding='base64'/></BINARY2>")).n_rows(), 0);
}

/// STILTS 3.4.7 of our own FITS file, `ofmt=votable-tabledata`: names of parameters are those of FITS.
#[test]
fn parameters_of_copies_by_stilts_are_our_metadata() {
    let cells = "<TABLEDATA><TR><TD>1</TD><TD/><TD/><TD/><TD/></TR></TABLEDATA>";
    let parameters = r#"<PARAM arraysize="17" datatype="char" name="PROGRAM" value="photosphere 0.1.0"/>
<PARAM arraysize="64" datatype="char" name="HIERARCH MODEL_SHA256" value="fd5b0d91"/>
<PARAM arraysize="66" datatype="char" name="OPTIONS" value='"\"chunk = 512\\n\""'/>
<PARAM arraysize="10" datatype="char" name="DATASUM" value="2893003046"/>
<PARAM name="release""#;
    let table = table_of(document(cells).replacen("<PARAM name=\"release\"", parameters, 1));
    let expected =
        [("model_sha256", "fd5b0d91"), ("options", "\"chunk = 512\\n\""), ("program", "photosphere 0.1.0"), ("release", "DR3")];
    let found: Vec<(&str, &str)> = table.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}
