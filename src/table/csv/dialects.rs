//! Tests of the dialects of CSV and ECSV that programs write, and of files that are none.

use crate::error::Result;
use crate::table::{Shape, Table, Values, read, read_columns, read_schema};

fn of(name: &str, content: &[u8]) -> Result<Table> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read(&path)
}

fn failing(name: &str, content: &[u8]) -> String {
    of(name, content).unwrap_err().to_string()
}

#[test]
fn marks_line_ends_and_declared_delimiters() {
    for text in [
        "\u{feff}id,name\n1,a\n2,b\n",
        "id,name\r\n1,a\r\n2,b\r\n",
        "id,name\r1,a\r2,b\r",
        "id,name\r1,a\r2,b",
        "\u{feff}sep=,\r\nid,name\r\n1,a\r\n2,b\r\n",
        "sep=;\nid;name\n1;a\n2;b\n",
        "SEP=\t\nid\tname\n1\ta\n2\tb\n",
        "# a comment\rid,name\r1,a\r2,b\r",
        "\"id\",\"name\"\n\"1\",\"a\"\n\n2,b\n\n",
    ] {
        let table = of("a.csv", text.as_bytes()).unwrap();
        assert_eq!(table.column("id").unwrap().to_i64().unwrap(), [1, 2], "{text:?}");
        assert_eq!(table.column("name").unwrap().values, Values::Text(vec!["a".into(), "b".into()]), "{text:?}");
    }
    let quoted = of("a.csv", b"id,\"two\nlines\"\n1,\"a\rb\"\n").unwrap();
    assert_eq!(quoted.columns()[1].schema.name, "two\nlines");
    assert_eq!(quoted.columns()[1].values, Values::Text(vec!["a\rb".into()]), "a carriage return in quotes is text");
    let ecsv = "\u{feff}# %ECSV 1.0\r\n# ---\r\n# datatype:\r\n# - {name: id, datatype: int64}\r\nid\r\n5\r\n";
    assert_eq!(of("a.ecsv", ecsv.as_bytes()).unwrap().column("id").unwrap().to_i64().unwrap(), [5]);
}

#[test]
fn other_encodings_are_refused_by_name() {
    let utf16: Vec<u8> = "\u{feff}id,x\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = failing("a.csv", &utf16);
    assert!(error.contains("a.csv: found text in UTF-16") && error.contains("iconv"), "{error}");
    let swapped: Vec<u8> = "\u{feff}id,x\n1,2\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(failing("a.ecsv", &swapped).contains("UTF-16"));
    let error = failing("a.csv", &utf16[2..]);
    assert!(error.contains("line 1: found the name 'i\\u{0}d\\u{0}' with a byte that is zero"), "{error}");
    assert!(failing("a.csv", b"id,\xe9\n1,2\n").contains("line 1: found bytes that are not UTF-8"));
}

#[test]
fn a_word_among_numbers_is_named_where_numbers_are_asked_for() {
    for word in ["NA", "N/A", "<NA>", "-", "--", "NULL", "None", "\\N", "n/a", "1,5"] {
        let table = of("a.csv", format!("id,x,f\n1,1.5,[1.0]\n2,\"{word}\",\"{word}\"\n3,2.5,[2.0]\n").as_bytes()).unwrap();
        let x = table.column("x").unwrap();
        // A decimal comma is a list of two numbers where lists are asked for.
        let as_list = x.to_matrix(1).err().filter(|_| word != "1,5");
        for error in [x.to_f64().unwrap_err(), x.to_i64().unwrap_err()].into_iter().chain(as_list) {
            let error = error.to_string();
            assert!(error.contains(&format!("a.csv, line 3, column 'x': found '{word}'")) && error.contains("empty"), "{error}");
        }
        let error = table.column("f").unwrap().to_f64().unwrap_err().to_string();
        assert!(error.contains(&format!("a.csv, line 3, column 'f': found '{word}'")), "{error}");
    }
    // What all understand.
    let table = of("a.csv", b"id,x\n1,\n2,null\n3,nan\n4,NaN\n5,2.5\n").unwrap();
    assert_eq!(table.column("x").unwrap().valid, Some(vec![false, false, false, false, true]));
    // Text stays text, whatever words are in it.
    let table = of("a.csv", b"name\nHD 1\nNA\n-\n").unwrap();
    assert_eq!(table.column("name").unwrap().values.len(), 3);
}

#[test]
fn names_that_stand_twice_are_an_error_with_both_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "# from a join\nid,parallax,x,parallax\n1,2,3,4\n").unwrap();
    let found = "a.csv, line 2: found the name 'parallax' twice, for columns 2 and 4";
    for error in [read(&path).unwrap_err(), read_columns(&path, &["id"]).unwrap_err(), read_schema(&path).unwrap_err()] {
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[test]
fn other_delimiters_and_missing_names_are_named() {
    for (text, found) in [
        ("id;x\n1;2\n", "semicolons"),
        ("id\tx\n1\t2\n", "tabulators"),
        ("id|x\n1|2\n", "bars"),
        ("id x y\n1 2 3\n", "blanks"),
        ("1.5,2.5\n3,4\n", "nothing but numbers (1.5, 2.5)"),
        ("#id,x\n1,2\n3,4\n", "nothing but numbers (1, 2)"),
        ("", "found nothing"),
    ] {
        let error = failing("a.csv", text.as_bytes());
        assert!(error.contains("a.csv, line ") && error.contains(found), "{error}");
    }
    assert_eq!(of("a.csv", b"my name\nAlpha Cen A\n").unwrap().columns().len(), 1, "a name may have blanks");
    let many = (0..200_000).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    assert!(failing("a.csv", many.as_bytes()).contains("200000 columns"));
}

#[test]
fn very_many_columns_do_not_take_long() {
    let names = (0..100_000).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    let started = std::time::Instant::now();
    assert!(failing("a.csv", format!("{names}\n1\n").as_bytes()).contains("found 1 cells, expected 100000"));
    let row = vec!["1"; 100_000].join(",");
    assert_eq!(of("a.csv", format!("{names}\n{row}\n").as_bytes()).unwrap().columns().len(), 100_000);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn headers_that_declare_too_much() {
    let ecsv = |subtype: &str, rows: &str| {
        format!(
            "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {{name: a, datatype: string, subtype: '{subtype}'}}\n# - {{name: b, datatype: int64}}\na,b\n{rows}"
        )
    };
    let error = failing("a.ecsv", ecsv("float64[1000000000]", "\"\",1\n").as_bytes());
    assert!(error.contains("line 8, column 'a': found nulls of the type 64-bit float list of length 1000000000"), "{error}");
    assert!(error.contains("--max-expansion"), "{error}");
    // 65 536 values in each of 10 000 rows of three bytes.
    let error = failing("a.ecsv", ecsv("float32[256,256]", &",1\n".repeat(10_000)).as_bytes());
    assert!(error.contains("column 'a': found nulls"), "{error}");
    for length in ["100000000000", "9223372036854775808", "4294967296,4294967296"] {
        let error = failing("a.ecsv", ecsv(&format!("float64[{length}]"), ",1\n").as_bytes());
        assert!(error.contains("column 'a'") && error.contains(&format!("float64[{length}]")), "{error}");
    }
    for length in ["-1", "", "x"] {
        let table = of("a.ecsv", ecsv(&format!("float64[{length}]"), ",1\n").as_bytes()).unwrap();
        assert_eq!(table.column("b").unwrap().to_i64().unwrap(), [1], "a column that nobody needs is no obstacle");
        let error = table.column("a").unwrap_err().to_string();
        assert!(error.contains(&format!("column 'a': found values of the type 'float64[{length}]'")), "{error}");
    }
    let empty = of("a.ecsv", ecsv("float64[0]", ",1\n[],2\n").as_bytes()).unwrap();
    assert_eq!(empty.column("a").unwrap().valid, Some(vec![false, true]));
    let name = "n".repeat(1 << 16);
    assert_eq!(of("a.csv", format!("{name}\n1\n").as_bytes()).unwrap().columns()[0].schema.name, name);
    let error = failing("a.csv", &vec![b'#'; 65 << 20]);
    assert!(error.contains("line 1: found comments and names of more than 64 MiB"), "{error}");
}

#[test]
fn what_has_no_type_of_ours_is_unread_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ecsv");
    let text = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: id, datatype: int64}\n# - {name: o, datatype: object}\n# - {name: c, datatype: complex64}\n# schema: astropy-2.0\nid o c\n1 x (1+2j)\n";
    std::fs::write(&path, text).unwrap();
    let table = read(&path).unwrap();
    assert_eq!(table.columns().len(), 1);
    assert_eq!(
        table.unread.iter().map(|unread| unread.found.as_str()).collect::<Vec<_>>(),
        ["values of the type 'object'", "values of the type 'complex64'"]
    );
    assert!(table.column("o").unwrap_err().to_string().contains("column 'o': found values of the type 'object'"));
    let error = read_columns(&path, &["id", "c"]).unwrap_err().to_string();
    assert!(error.contains("a.ecsv, column 'c': found values of the type 'complex64'"), "{error}");
    assert_eq!(read_columns(&path, &["id"]).unwrap().columns().len(), 1);
}

/// Written by astropy 8.0.2: `Table.write("a.ecsv", delimiter=…)` of masked columns with
/// `info.serialize_method["ecsv"]` of both kinds.
const DATA_MASK: &str = "# %ECSV 1.0
# ---
# datatype:
# - {name: source_id, datatype: int64}
# - {name: source_id.mask, datatype: bool}
# - {name: parallax, unit: mas, datatype: float64}
# - {name: parallax.mask, datatype: bool}
# - {name: name, datatype: string}
# - {name: name.mask, datatype: bool}
# - {name: flag, datatype: bool}
# - {name: flag.mask, datatype: bool}
# - {name: flux, datatype: string, subtype: 'float32[2]'}
# - {name: flux.mask, datatype: string, subtype: 'bool[2]'}
# - {name: n, datatype: string, subtype: 'int64[2]'}
# - {name: n.mask, datatype: string, subtype: 'bool[2]'}
# - {name: var, datatype: string, subtype: 'float64[null]'}
# - {name: c, datatype: complex128}
# - {name: o, datatype: string, subtype: json}
# - {name: f16, datatype: float16}
# delimiter: ','
# meta: !!omap
# - list: [1, 2.5]
# - {text: 'two
# 
#     lines'}
# - {n: 3}
# - map:
#     a: {b: 1}
# - __serialized_columns__:
#     flag:
#       __class__: astropy.table.column.MaskedColumn
#       data: !astropy.table.SerializedColumn {name: flag}
#       mask: !astropy.table.SerializedColumn {name: flag.mask}
#     flux:
#       __class__: astropy.table.column.MaskedColumn
#       data: !astropy.table.SerializedColumn {name: flux}
#       mask: !astropy.table.SerializedColumn {name: flux.mask}
# schema: astropy-2.0
source_id,source_id.mask,parallax,parallax.mask,name,name.mask,flag,flag.mask,flux,flux.mask,n,n.mask,var,c,o,f16
1,False,1.5,False,a,False,True,False,\"[1.0,2.0]\",\"[false,true]\",\"[1,2]\",\"[false,false]\",\"[1.0,2.0]\",(1+2j),\"{\"\"a\"\":1}\",1.0
2,True,99.0,True,zz,True,True,True,\"[3.0,4.0]\",\"[true,true]\",\"[3,4]\",\"[true,true]\",[3.0],(3+0j),2,2.0
3,False,2.5,False,,False,False,False,\"[5.0,6.0]\",\"[false,false]\",\"[5,6]\",\"[false,false]\",\"[4.0,5.0,6.0]\",(4+0j),null,3.0
";

const NULL_VALUE: &str = "# %ECSV 1.0
# ---
# datatype:
# - {name: source_id, datatype: int64}
# - {name: parallax, unit: mas, datatype: float64}
# - {name: name, datatype: string}
# - {name: flag, datatype: bool}
# - {name: flux, datatype: string, subtype: 'float32[2]'}
# - {name: n, datatype: string, subtype: 'int64[2]'}
# - {name: var, datatype: string, subtype: 'float64[null]'}
# - {name: c, datatype: complex128}
# - {name: o, datatype: string, subtype: json}
# - {name: f16, datatype: float16}
# meta: !!omap
# - list: [1, 2.5]
# - {text: 'two
# 
#     lines'}
# - {n: 3}
# - map:
#     a: {b: 1}
# schema: astropy-2.0
source_id parallax name flag flux n var c o f16
1 1.5 a True [1.0,null] [1,2] [1.0,2.0] (1+2j) \"{\"\"a\"\":1}\" 1.0
\"\" \"\" \"\" \"\" [null,null] [null,null] [3.0] (3+0j) 2 2.0
3 2.5 \"\" False [5.0,6.0] [5,6] [4.0,5.0,6.0] (4+0j) null 3.0
";

#[test]
fn astropy_s_masked_columns_in_both_ways_of_writing_them() {
    for text in [DATA_MASK, NULL_VALUE] {
        let table = of("a.ecsv", text.as_bytes()).unwrap();
        let names: Vec<&str> = table.columns().iter().map(|column| column.schema.name.as_str()).collect();
        assert_eq!(names, ["source_id", "parallax", "name", "flag", "flux", "n", "var", "o", "f16"]);
        for name in ["source_id", "parallax", "name", "flag", "flux", "n"] {
            let valid = table.column(name).unwrap().valid.clone().unwrap();
            // Empty text is null wherever it stands.
            assert_eq!(valid, [true, false, name != "name"], "{name}");
        }
        assert!(table.column("parallax").unwrap().to_f64().unwrap()[1].is_nan());
        assert_eq!(table.column("parallax").unwrap().schema.unit, "mas");
        let flux = table.column("flux").unwrap().flat_f64().unwrap();
        assert!(flux[0] == 1.0 && flux[1..4].iter().all(|value| value.is_nan()) && flux[4..] == [5.0, 6.0]);
        assert_eq!(table.column("var").unwrap().shape, Shape::Variable(vec![0, 2, 3, 6]));
        let metadata: Vec<(&str, &str)> = table.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(metadata, [("list", "[1,2.5]"), ("map", "{\"a\":{\"b\":1}}"), ("n", "3"), ("text", "two\nlines")]);
        assert_eq!(table.unread.len(), 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ecsv");
    std::fs::write(&path, DATA_MASK).unwrap();
    let chosen = read_columns(&path, &["parallax"]).unwrap();
    assert_eq!((chosen.columns().len(), chosen.columns()[0].is_valid(1)), (1, false), "a mask goes with its column");
}

/// Written by astropy 8.0.2: `QTable.write("q.ecsv")` with a masked quantity (`data_mask`), a quantity, times
/// and a position.
#[test]
fn astropy_s_quantities_times_and_positions() {
    let text = "# %ECSV 1.0
# ---
# datatype:
# - {name: source_id, datatype: int64}
# - {name: parallax, unit: mas, datatype: float64}
# - {name: parallax.mask, datatype: bool}
# - {name: perr, unit: uas, datatype: float64}
# - {name: flux, unit: 1e-18 erg / (Angstrom s cm2), datatype: string, subtype: 'float64[2]'}
# - {name: tm, datatype: string}
# - {name: pos.ra, unit: deg, datatype: float64}
# meta: !!omap
# - __serialized_columns__:
#     parallax:
#       __class__: astropy.units.quantity.Quantity
#       unit: !astropy.units.Unit {unit: mas}
#       value: !astropy.table.SerializedColumn
#         __class__: astropy.utils.masked.core.MaskedNDArray
#         data: !astropy.table.SerializedColumn {name: parallax}
#         mask: !astropy.table.SerializedColumn {name: parallax.mask}
#     tm:
#       __class__: astropy.time.core.Time
#       format: iso
#       value: !astropy.table.SerializedColumn
#         __class__: astropy.utils.masked.core.MaskedNDArray
#         data: !astropy.table.SerializedColumn {name: tm}
# schema: astropy-2.0
source_id parallax parallax.mask perr flux tm pos.ra
1 1.5 False 10.0 [0.0,1.0] \"2016-01-01 00:00:00.000\" 1.0
2 99.0 True 20.0 [2.0,3.0] \"\" 2.0
";
    let table = of("q.ecsv", text.as_bytes()).unwrap();
    let units: Vec<&str> = table.columns().iter().map(|column| column.schema.unit.as_str()).collect();
    assert_eq!(units, ["", "mas", "uas", "1e-18 erg / (Angstrom s cm2)", "", "deg"]);
    assert_eq!(table.column("parallax").unwrap().valid, Some(vec![true, false]));
    assert!(table.column("tm").unwrap().to_f64().is_err());
    assert!(table.metadata.is_empty(), "how astropy puts its objects together is nobody's metadata");
}

#[test]
fn nulls_that_the_header_names() {
    let text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# null_values: ['-999', N/A]\n# datatype:\n# - {name: x, datatype: float64}\n# - {name: s, datatype: string}\nx,s\n-999,a\n-99,N/A\n";
    let table = of("a.ecsv", text.as_bytes()).unwrap();
    assert_eq!(table.column("x").unwrap().valid, Some(vec![false, true]));
    assert_eq!(table.column("s").unwrap().valid, Some(vec![true, false]));
}

#[test]
fn aliases_in_headers_end() {
    let mut text =
        String::from("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: float64}\n# a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(",");
        text.push_str(&format!("# a{i}: &a{i} [{aliases}]\n"));
    }
    text.push_str("a\n1\n");
    let error = failing("a.ecsv", text.as_bytes());
    assert!(error.contains("a.ecsv, ECSV header: found YAML whose aliases stand for very much"), "{error}");
}

#[test]
fn cells_of_blanks_are_empty() {
    let table = of("a.csv", b"id,x,s,l\n1, ,a,\"[1.0]\"\n2,1.5,  ,\t\n").unwrap();
    assert_eq!(table.column("x").unwrap().valid, Some(vec![false, true]), "numbers stay numbers");
    assert_eq!(table.column("s").unwrap().valid, Some(vec![true, false]));
    assert_eq!(table.column("l").unwrap().valid, Some(vec![true, false]));
}

#[test]
fn masks_of_every_spelling_in_text() {
    for [no, yes] in [["False", "True"], ["false", "true"], ["F", "T"], ["0", "1"], ["no", "yes"], ["f", "t"]] {
        let table = of("a.csv", format!("id,x,x.mask\n1,1.5,{no}\n2,99.0,{yes}\n").as_bytes()).unwrap();
        assert_eq!((table.columns().len(), &table.column("x").unwrap().valid), (2, &Some(vec![true, false])), "{yes}");
    }
    let error = of("a.csv", b"id,x,x.mask\n1,1.5,ok\n2,99.0,bad\n").unwrap().column("x").unwrap_err().to_string();
    assert!(error.contains("a.csv, column 'x': found \"ok\" in 'x.mask', which cannot be its mask"), "{error}");
}

/// As astropy 8.0 writes an unsigned column, and a masked one of lists of integers.
#[test]
fn what_cannot_be_held_is_no_obstacle_until_it_is_needed() {
    let text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: id, datatype: int64}\n# - {name: h, datatype: uint64}\n\
                # - {name: n, datatype: string, subtype: 'int64[2]'}\nid,h,n\n1,18446744073709551615,\"[1,null]\"\n2,7,\"[3,4]\"\n";
    let table = of("a.ecsv", text.as_bytes()).unwrap();
    assert_eq!(table.column("id").unwrap().to_i64().unwrap(), [1, 2]);
    let error = table.column("h").unwrap_err().to_string();
    assert!(
        error.contains("a.ecsv, line 9, column 'h': found 18446744073709551615, expected at most 9223372036854775807"),
        "{error}"
    );
    let error = table.column("n").unwrap_err().to_string();
    assert!(error.contains("a.ecsv, line 9, column 'n': found a null inside a list"), "{error}");
    assert_eq!(table.get("n").unwrap().valid, Some(vec![false, true]));
}
