//! Documents that are made to fill the memory, to take for ever or to stop the program, and sound ones that
//! are damaged at random.

use super::tests::{document, error_of, path_of, stream};
use crate::table::{read, read_columns};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

fn with_field(field: &str, data: &str) -> String {
    format!("<VOTABLE><RESOURCE><TABLE>{field}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>")
}

fn nested(n: usize, element: impl Fn(usize) -> String) -> String {
    (0..n).map(element).collect()
}

#[test]
fn hostile_documents_are_errors_at_once() {
    let null = "<TABLEDATA><TR><TD/></TR></TABLEDATA>";
    let entities = "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY a 'xxxx'><!ENTITY b '&a;&a;'>]>";
    let cases = [
        (with_field("<FIELD name='a' datatype='float' arraysize='100000000000'/>", null), "bytes that become"),
        (with_field("<FIELD name='a' datatype='double' arraysize='9223372036854775807'/>", null), "bytes that become"),
        (with_field("<FIELD name='a' datatype='double' arraysize='99999999999999999999'/>", null), "the arraysize"),
        (with_field("<FIELD name='a' datatype='double' arraysize='4294967296x4294967296x2'/>", null), "the arraysize"),
        (with_field("<FIELD name='a' datatype='char' arraysize='0x9'/>", null), "the arraysize"),
        (with_field("<FIELD name='a' datatype='char' arraysize='2x99999999999'/>", null), "bytes that become"),
        (with_field("", &stream("BINARY", b"abc")), "a table without FIELDs"),
        (with_field("", "<TABLEDATA><TR/></TABLEDATA>"), "a table without FIELDs"),
        (with_field("<FIELD name='a' datatype='int' arraysize='0'/>", &stream("BINARY", b"abc")), "rows without a byte"),
        (
            with_field("<FIELD name='a' datatype='int' arraysize='99999999999'/>", &stream("BINARY", b"abc")),
            "the end of the data",
        ),
        (
            with_field("<FIELD name='a' datatype='int' arraysize='*'/>", &stream("BINARY", b"\x7f\xff\xff\xff")),
            "the end of the data",
        ),
        (
            with_field("<FIELD name='a' datatype='int' arraysize='*'/>", &stream("BINARY", b"\xff\xff\xff\xff")),
            "a list of -1 values",
        ),
        (nested(5000, |i| format!("<VOTABLE xmlns:n{i}='u{i}'>")), "elements inside one another"),
        (
            format!("{entities}{}", with_field("<FIELD name='a' datatype='char' arraysize='*'/>", null)),
            "a DOCTYPE that declares entities",
        ),
        ("<!DOCTYPE a [<!ATTLIST FIELD arraysize CDATA '9'>]><VOTABLE/>".to_owned(), "a DOCTYPE with declarations"),
        (nested(3_000_000, |_| "<".to_owned()), "no well-formed XML"),
        (format!("<VOTABLE><RESOURCE a='{}", "x".repeat(1 << 20)), "no well-formed XML"),
    ];
    for (content, expected) in cases {
        let start = Instant::now();
        let error = error_of(&content);
        assert!(error.contains(expected), "{}: {error}", content.chars().take(200).collect::<String>());
        assert!(start.elapsed() < Duration::from_secs(1), "{error}");
    }
}

#[test]
fn sound_but_large_parts_are_read() {
    let start = Instant::now();
    let namespaces = nested(5000, |i| format!(" xmlns:n{i}='u{i}'"));
    let name = "n".repeat(65_536);
    let content = format!(
        "<VOTABLE{namespaces}><RESOURCE><TABLE><FIELD name='{name}' datatype='int'/><FIELD name='b' datatype='float' arraysize='1000'/>\
         <DATA><TABLEDATA>{}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>",
        "<TR><TD>1</TD><TD/></TR>".repeat(1000)
    );
    let table = read(path_of(&content).path()).unwrap();
    assert_eq!((table.n_rows(), table.columns()[0].schema.name.len()), (1000, 65_536));
    // Rows of nothing but nulls of a declared length are bounded by what the file may become.
    let content = content.replace("'1000'", "'1000000'");
    let error = error_of(&content);
    assert!(error.contains("--max-expansion"), "{error}");
    assert_eq!(read_columns(path_of(&content).path(), &[&name]).unwrap().n_rows(), 1000);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn damage_at_random_is_an_error_or_a_table() {
    let row = "<TR><TD>585</TD><TD>-9</TD><TD> 1.5  NaN\n2</TD><TD>T</TD><TD>\u{3b1} &amp; b</TD></TR>";
    let binary = |flags: &[u8]| {
        let row =
            [flags, &7_i64.to_be_bytes(), &[0, 3], &2_i32.to_be_bytes(), &[0; 8], b"T", &1_i32.to_be_bytes(), b"\0a"].concat();
        [row.clone(), row].concat()
    };
    let sound = [
        document(&format!("<TABLEDATA>{row}{row}<TR><TD/><TD/><TD/><TD>?</TD><TD/></TR></TABLEDATA>")),
        document(&stream("BINARY", &binary(&[]))),
        document(&stream("BINARY2", &binary(&[8]))),
    ];
    let pieces: [&[u8]; 16] = [
        b"<",
        b">",
        b"/>",
        b"</TR>",
        b"<TD>",
        b"<!DOCTYPE a [",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"&amp",
        b"&#1114112;",
        b"99999999999",
        b"-1",
        b"\"",
        b"\xff\xfe",
        b"<STREAM>",
    ];
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let file = path_of("");
    let start = Instant::now();
    let (mut n_read, n_cases) = (0, 3000);
    for case in 0..n_cases {
        let mut bytes = sound[case % sound.len()].clone().into_bytes();
        for _ in 0..random.gen_range(1..4) {
            let at = random.gen_range(0..bytes.len());
            let end = (at + random.gen_range(0..30)).min(bytes.len());
            match random.gen_range(0..6) {
                0 => bytes[at] = random.r#gen(),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.truncate(at.max(1)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let piece = pieces.choose(&mut random).copied().unwrap_or_default();
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        std::fs::write(file.path(), &bytes).unwrap();
        n_read += usize::from(read(file.path()).is_ok());
    }
    assert!(n_read > n_cases / 20 && n_read < n_cases, "{n_read} were read");
    assert!(start.elapsed() < Duration::from_secs(60));
}
