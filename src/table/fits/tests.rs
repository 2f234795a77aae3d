//! Tables of every form, chosen and joined, checked and refused.

use super::craft::{Craft, file, hdu};
use super::read::chunks_of_bytes;
use crate::error::Result;
use crate::table::{Column, ColumnSchema, Location, Shape, Table, Values, read, read_columns, read_schema, row_count};
use crate::warning;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// All rows of the table that brackets after `stars.fits` choose.
fn read_bytes(bytes: Vec<u8>, brackets: &str) -> Result<Table> {
    let location = Location::parse(Path::new(&format!("stars.fits{brackets}")));
    let mut chunks = chunks_of_bytes(bytes, &location, 2)?;
    let mut table = chunks.next().expect("at least one chunk")?;
    for chunk in chunks {
        table.append(chunk?)?;
    }
    Ok(table)
}

fn error_of(bytes: Vec<u8>, brackets: &str) -> String {
    read_bytes(bytes, brackets).map(|table| table.n_rows()).expect_err("a faulty file").to_string()
}

fn values<'a>(table: &'a Table, name: &str) -> &'a Values {
    &table.column(name).unwrap().values
}

fn text(texts: &[&str]) -> Values {
    Values::Text(texts.iter().map(|&text| text.to_owned()).collect())
}

/// Two rows with all of L, X, B, I, J, K, E, D, C and A; integers behind TSCAL and TZERO have the types of
/// cfitsio's `ffeqtyll`, others are double, as `astropy.io.fits` 8.0.2 has them.
#[test]
fn numbers_booleans_and_bits() {
    let columns = [
        ("flag", "2L"),
        ("bits", "10X"),
        ("bit", "X"),
        ("byte", "B"),
        ("signed", "B"),
        ("u16", "I"),
        ("u32", "J"),
        ("u64", "K"),
        ("scaled", "I"),
        ("scaled64", "J"),
        ("short", "I"),
        ("e", "1E"),
        ("d", "2D"),
        ("z", "C"),
        ("smallest", "J"),
    ];
    let row = |i: u8| -> Vec<u8> {
        let first = i == 0;
        let mut row = if first { b"TF".to_vec() } else { vec![0, 0] };
        row.extend(if first { [0b1010_0000, 0b0100_0000] } else { [0, 0xff] });
        row.extend([if first { 0x80 } else { 0x7f }, 7 + i, i]);
        row.extend(if first { i16::MIN } else { i16::MAX }.to_be_bytes());
        row.extend(if first { i32::MIN } else { i32::MAX }.to_be_bytes());
        row.extend((if first { i64::MIN } else { i64::MIN + 5_853_498_713_190_525_696 }).to_be_bytes());
        row.extend((if first { 5_i16 } else { 20 }).to_be_bytes());
        row.extend((if first { 5_i32 } else { -99 }).to_be_bytes());
        row.extend((if first { 3_i16 } else { -99 }).to_be_bytes());
        row.extend((if first { 1.5_f32 } else { f32::NAN }).to_be_bytes());
        row.extend([1.0_f64, if first { f64::NAN } else { 2.0 }].map(f64::to_be_bytes).concat());
        row.extend([0; 8]);
        row.extend((if first { i32::MIN } else { 1 }).to_be_bytes());
        row
    };
    let cards = [
        "TZERO5  = -128",
        "TZERO6  = 32768",
        "TZERO7  = 2.147483648E9",
        "TZERO8  = 9223372036854775808",
        "TSCAL9  = 0.5",
        "TZERO9  = 5",
        "TSCAL10 = 0.1",
        "TNULL10 = -99",
        "TNULL11 = -99",
    ];
    let table = Craft::new(&columns, 2, [row(0), row(1)].concat()).with(&cards);
    let table = read_bytes(file(&[table.bytes()]), "").unwrap();
    assert_eq!(values(&table, "flag"), &Values::Bool(vec![true, false, false, false]));
    assert_eq!(table.column("flag").unwrap().valid, Some(vec![true, false]));
    let Values::Bool(bits) = values(&table, "bits") else { panic!("booleans") };
    let set: Vec<usize> = (0..20).filter(|&i| bits[i]).collect();
    assert_eq!(set, [0, 2, 9, 18, 19], "the most significant bit is the first");
    assert_eq!(table.column("bits").unwrap().shape, Shape::Fixed(10));
    assert_eq!(values(&table, "bit"), &Values::Bool(vec![true, false]));
    assert_eq!(values(&table, "byte"), &Values::Int32(vec![7, 8]));
    assert_eq!(values(&table, "signed"), &Values::Int32(vec![-128, -127]));
    assert_eq!(values(&table, "u16"), &Values::Int32(vec![0, 65_535]));
    assert_eq!(values(&table, "u32"), &Values::Int64(vec![0, 4_294_967_295]));
    assert_eq!(values(&table, "u64"), &Values::Int64(vec![0, 5_853_498_713_190_525_696]));
    assert_eq!(values(&table, "scaled"), &Values::Float64(vec![7.5, 15.0]));
    assert_eq!(table.column("scaled64").unwrap().valid, Some(vec![true, false]));
    assert_eq!(table.column("scaled64").unwrap().to_f64().unwrap()[0], 0.5);
    assert_eq!(table.column("short").unwrap().valid, Some(vec![true, false]));
    assert_eq!(table.column("e").unwrap().valid, Some(vec![true, false]));
    assert!(table.column("d").unwrap().valid.is_none(), "a list is null where all of it is");
    assert_eq!(values(&table, "smallest"), &Values::Int32(vec![i32::MIN, 1]), "may be the flag of bit 31");
    assert!(table.metadata.is_empty());
    assert_eq!((table.unread.len(), table.unread[0].found.as_str()), (1, "complex numbers"));
    let error = table.column("z").unwrap_err().to_string();
    assert!(error.contains("column 'z': found complex numbers"), "{error}");
}

/// Julian days in two bytes; astropy.io.fits 8.0.2 gives float64 for all of these.
#[test]
fn scaled_columns_are_computed_in_double_precision() {
    let columns = [("short", "I"), ("byte", "B"), ("single", "E"), ("list", "1PE(2)"), ("null", "E")];
    let row = |value: u8| -> Vec<u8> {
        let float = f32::from(value).to_be_bytes();
        [&u16::from(value).to_be_bytes()[..], &[value], &float, &[1_i32, 0].map(i32::to_be_bytes).concat(), &float].concat()
    };
    let scaled = (1..=5).flat_map(|i| [format!("TSCAL{i}  = 0.001"), format!("TZERO{i}  = 2457000.0")]).collect::<Vec<_>>();
    let mut cards: Vec<&str> = scaled.iter().map(String::as_str).collect();
    cards.push("TNULL5  = 8");
    let craft = Craft::new(&columns, 2, [row(7), row(8)].concat()).with_heap(7.0_f32.to_be_bytes().to_vec()).with(&cards);
    let table = read_bytes(file(&[craft.bytes()]), "").unwrap();
    for name in ["short", "byte", "single", "list", "null"] {
        let values = table.column(name).unwrap().flat_f64().unwrap();
        assert!((values[0] - 2_457_000.007).abs() < 1e-9, "{name}: {}", values[0]);
    }
    assert_eq!(table.column("null").unwrap().valid, Some(vec![true, false]));
}

#[test]
fn what_cannot_be_held_is_no_obstacle_until_it_is_needed() {
    let large = [0, 1, i64::MAX].map(i64::to_be_bytes).concat();
    let lists = [[1_i16, -9], [-9, -9], [1, 2]].concat().into_iter().flat_map(i16::to_be_bytes).collect();
    let descriptors = [[2_i32, 0], [0, 8], [1, 8]].concat().into_iter().flat_map(i32::to_be_bytes).collect();
    let heap = [5, -9, 7].map(i32::to_be_bytes).concat();
    for (craft, valid, place, found) in [
        // The stored integers are 2⁶³ too small: all three are beyond.
        (
            Craft::new(&[("n", "K")], 3, large).with(&["TZERO1  = 9223372036854775808"]),
            [false, false, false],
            0,
            "9223372036854775808",
        ),
        (Craft::new(&[("n", "L")], 3, b"TFx".to_vec()), [true, true, false], 2, "the byte 120 in a column of booleans"),
        (Craft::new(&[("n", "2I")], 3, lists).with(&["TNULL1  = -9"]), [false, false, true], 0, "a null (TNULL) inside the list"),
        (
            Craft::new(&[("n", "1PJ(2)")], 3, descriptors).with_heap(heap).with(&["TNULL1  = -9"]),
            [false, false, true],
            0,
            "a null (TNULL) inside the list",
        ),
    ] {
        let table = read_bytes(file(&[craft.bytes()]), "").unwrap();
        let column = table.get("n").unwrap();
        let is_valid: Vec<bool> = (0..3).map(|row| column.is_valid(row)).collect();
        assert_eq!(is_valid, valid, "{found}");
        let error = table.column("n").unwrap_err().to_string();
        assert!(error.starts_with(&format!("stars.fits, row {place}, column 'n': found {found}")), "{error}");
    }
}

#[test]
fn a_name_twice_is_no_obstacle_until_it_is_needed() {
    let craft = Craft::new(&[("a", "J"), ("b", "J"), ("a", "E")], 1, [1_i32, 2, 3].map(i32::to_be_bytes).concat());
    let table = read_bytes(file(&[craft.bytes()]), "").unwrap();
    assert_eq!((table.columns().len(), values(&table, "b")), (2, &Values::Int32(vec![2])));
    let error = table.column("a").unwrap_err().to_string();
    assert!(error.contains("stars.fits, column 'a': found the name twice"), "{error}");
}

#[test]
fn a_null_that_fits_has_not_for_floats_is_believed() {
    let rows = [-99.9_f32, 1.5].map(f32::to_be_bytes).concat();
    let craft = Craft::new(&[("parallax", "E")], 2, rows).with(&["TNULL1  = -99.9"]);
    let column = read_bytes(file(&[craft.bytes()]), "").unwrap().take("parallax").unwrap();
    assert_eq!((column.valid.clone(), column.to_f64().unwrap()[1]), (Some(vec![false, true]), 1.5));
    assert!(warning::said().iter().any(|text| text.contains("column 'parallax': TNULL1 = -99.9 in a column of floats")));
    let rows = [-9.0_f64, 1.5].map(f64::to_be_bytes).concat();
    let craft = Craft::new(&[("x", "D")], 2, rows).with(&["TNULL1  = -9", "TSCAL1  = 2.0"]);
    let column = read_bytes(file(&[craft.bytes()]), "").unwrap().take("x").unwrap();
    assert_eq!((column.is_valid(0), column.to_f64().unwrap()[1]), (false, 3.0), "the stored number is the null");
}

#[test]
fn text_of_every_form() {
    let columns = [("plain", "5A"), ("list", "6A3"), ("grid", "6A"), ("none", "0A"), ("latin", "2A"), ("heap", "1PA(9)")];
    let row = |plain: &[u8; 5], list: &[u8; 6], latin: &[u8; 2], descriptor: [i32; 2]| -> Vec<u8> {
        [plain, &list[..], &list[..], latin, &descriptor.map(i32::to_be_bytes).concat()].concat()
    };
    let rows = [row(b" ab  ", b"abcd\0e", b"ok", [9, 0]), row(b"\0\0\0\0\0", b"      ", b"\xe9\xe8", [0, 0])].concat();
    let table = Craft::new(&columns, 2, rows).with(&["TDIM3   = '(2,3)'"]).with_heap("\u{3b1} Cen  \0".as_bytes().to_vec());
    let table = read_bytes(file(&[table.bytes()]), "").unwrap();
    assert_eq!(values(&table, "plain"), &text(&[" ab", ""]));
    assert_eq!(table.column("plain").unwrap().valid, Some(vec![true, false]));
    assert_eq!(values(&table, "list"), &text(&["abc", "d", "", ""]));
    assert_eq!(table.column("list").unwrap().valid, Some(vec![true, false]));
    assert_eq!(values(&table, "grid"), &text(&["ab", "cd", "", "", "", ""]));
    assert_eq!(values(&table, "none"), &text(&["", ""]));
    assert_eq!(values(&table, "latin"), &text(&["ok", "\u{e9}\u{e8}"]));
    assert_eq!(values(&table, "heap"), &text(&["\u{3b1} Cen", ""]));
    assert!(warning::said().iter().any(|text| text.contains("column 'latin': it holds text that is not UTF-8")));
}

/// A text list longer than cfitsio's buffer of 28 800 bytes, a gap before the heap, 64-bit descriptors and
/// shared lists.
#[test]
fn lists_of_varying_length() {
    let gap = 7;
    let mut heap = vec![0xff; gap];
    heap.extend([1.0_f32, 2.0, 3.0].map(f32::to_be_bytes).concat());
    heap.extend([0b0110_0000]);
    heap.extend([b'x'; 29_000]);
    let row = |e: [u64; 2], x: [i32; 2], a: [i32; 2]| -> Vec<u8> {
        [e.map(u64::to_be_bytes).concat(), x.map(i32::to_be_bytes).concat(), a.map(i32::to_be_bytes).concat()].concat()
    };
    let rows = [row([3, 0], [3, 12], [29_000, 13]), row([0, 0], [0, 0], [2, 14]), row([2, 4], [3, 12], [0, -1])].concat();
    let table = Craft::new(&[("e", "QE(3)"), ("x", "1PX"), ("a", "1PA(29000)")], 3, rows);
    let table = table.with_heap(heap).with(&[&format!("THEAP   = {}", 3 * 32 + gap)]);
    let read = read_bytes(file(&[table.bytes()]), "").unwrap();
    let e = read.column("e").unwrap();
    assert_eq!((&e.values, &e.shape), (&Values::Float32(vec![1.0, 2.0, 3.0, 2.0, 3.0]), &Shape::Variable(vec![0, 3, 3, 5])));
    assert_eq!(e.valid, Some(vec![true, false, true]));
    assert_eq!(values(&read, "x"), &Values::Bool(vec![false, true, true, false, true, true]));
    let Values::Text(texts) = values(&read, "a") else { panic!("text") };
    assert_eq!((texts[0].len(), texts[1].as_str(), texts[2].as_str()), (29_000, "xx", ""));
    for (name, place, row) in [("e", 0, [4_u64, 1 << 40]), ("e", 0, [u64::MAX, 0]), ("e", 8, [29_013, 0])] {
        let mut damaged = table.clone();
        damaged.rows[place..place + 16].copy_from_slice(&row.map(u64::to_be_bytes).concat());
        let error = error_of(file(&[damaged.bytes()]), "");
        assert!(
            error.contains(&format!("column '{name}', row 0: found a list of")) && error.contains("within the heap"),
            "{error}"
        );
    }
}

fn two_tables() -> Vec<u8> {
    let row = |id: i64, value: f32| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
    let rows = |shift: f32| (0..3_i16).flat_map(|i| row(i64::from(i) + (1 << 60), f32::from(i) + shift)).collect::<Vec<u8>>();
    let labels = Craft::new(&[("TARGETID", "K"), ("TEFF", "E")], 3, rows(4000.0)).with(&["EXTNAME = 'RVTAB'"]);
    let fluxes = Craft::new(&[("TARGETID", "K"), ("FLUX_G", "E")], 3, rows(1.0)).with(&["EXTNAME = 'FIBERMAP'"]);
    let image = ["XTENSION= 'IMAGE'", "BITPIX  = -32", "NAXIS   = 2", "NAXIS1  = 3", "NAXIS2  = 5", "PCOUNT  = 0", "GCOUNT  = 1"];
    let image = hdu(&image.map(str::to_owned), &[0; 60]);
    let compressed = Craft::new(&[("COMPRESSED_DATA", "1PB(0)")], 1, vec![0; 8]).with(&["ZIMAGE  = T", "EXTNAME = 'MASK'"]);
    let tiles = Craft::new(&[("flux", "QB(64)")], 1, vec![0; 16]).with(&["ZTABLE  = T", "EXTNAME = 'TILES'"]);
    let ascii = [
        "XTENSION= 'TABLE   '",
        "BITPIX  = 8",
        "NAXIS   = 2",
        "NAXIS1  = 3",
        "NAXIS2  = 1",
        "PCOUNT  = 0",
        "GCOUNT  = 1",
        "TFIELDS = 1",
    ];
    let ascii = hdu(&ascii.map(str::to_owned), b"1.0");
    file(&[image, compressed.bytes(), labels.bytes(), fluxes.bytes(), tiles.bytes(), ascii])
}

#[test]
fn one_of_several_tables_is_chosen_aloud() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mws.fits");
    std::fs::write(&path, two_tables()).unwrap();
    let chosen = |brackets: &str| PathBuf::from(format!("{}{brackets}", path.display()));
    assert_eq!(read(&path).unwrap().columns()[1].schema.name, "TEFF");
    let warning = warning::said().into_iter().find(|text| text.starts_with(&path.display().to_string())).unwrap();
    assert!(warning.contains("RVTAB (3 rows, 2 columns) is read, not FIBERMAP (3 rows, 2 columns), TILES"), "{warning}");
    assert!(warning.contains("mws.fits[RVTAB]`"), "{warning}");
    for brackets in ["[fibermap]", "[4]"] {
        assert_eq!(read(&chosen(brackets)).unwrap().columns()[1].schema.name, "FLUX_G");
    }
    let error = read_columns(&path, &["FLUX_G"]).unwrap_err().to_string();
    assert!(error.contains("The table FIBERMAP (3 rows, 2 columns) has all of them: name it, as in"), "{error}");
    let error = read_columns(&path, &["TEFF", "FLUX_G"]).unwrap_err().to_string();
    assert!(error.contains("join them, as in") && error.contains("mws.fits[RVTAB+FIBERMAP]`"), "{error}");
    assert_eq!(row_count(&chosen("[FIBERMAP]")).unwrap(), Some(3));

    let joined = chosen("[RVTAB+FIBERMAP]");
    let names: Vec<String> = read_schema(&joined).unwrap().into_iter().map(|schema| schema.name).collect();
    assert_eq!(names, ["TARGETID", "TEFF", "FLUX_G"]);
    let table = read_columns(&joined, &["FLUX_G", "TEFF"]).unwrap();
    assert_eq!(values(&table, "FLUX_G"), &Values::Float32(vec![1.0, 2.0, 3.0]));
    assert_eq!(table.columns().len(), 2);
    assert_eq!(read(&joined).unwrap().columns().len(), 3);

    for (brackets, found) in [
        (
            "[STARS]",
            "found no such table, expected one of: HDU 0 (an image) [0], HDU 1 (an image) [1], MASK (a tile-compressed image) [2]",
        ),
        ("[9]", "found no such table"),
        ("[1]", "found an image (HDU 1), expected a binary table"),
        ("[MASK]", "found a tile-compressed image"),
        ("[TILES]", "found a tile-compressed table (HDU 5), expected a binary table. Uncompress it with `funpack`"),
        ("[6]", "found an ASCII table"),
        ("[RVTAB+3]", "the table 3 twice"),
    ] {
        let error = read(&chosen(brackets)).unwrap_err().to_string();
        assert!(error.contains(found), "{brackets}: {error}");
    }
}

#[test]
fn tables_are_joined_only_where_rows_match() {
    let table = |name: &str, ids: &[i64], extra: f32| {
        let rows = ids.iter().flat_map(|id| [&id.to_be_bytes()[..], &extra.to_be_bytes()[..]].concat()).collect();
        Craft::new(&[("TARGETID", "K"), (if extra < 0.0 { "FEH" } else { "CHI" }, "E")], ids.len(), rows)
            .with(&[&format!("EXTNAME = '{name}'")])
    };
    let bytes = file(&[
        table("A", &[1, 2, 3], 1.0).bytes(),
        table("B", &[1, 3, 2], -1.0).bytes(),
        table("C", &[1, 2], -1.0).bytes(),
        table("D", &[1, 2, 3], 2.0).bytes(),
    ]);
    let error = error_of(bytes.clone(), "[A+B]");
    assert!(error.starts_with("stars.fits[A+B], column 'TARGETID', row 1: found different values in A and B"), "{error}");
    let error = error_of(bytes.clone(), "[A+C]");
    assert!(error.starts_with("stars.fits[A+C]: found 2 rows in C, expected 3, as in A."), "{error}");
    let error = error_of(bytes, "[A+D]");
    assert!(error.starts_with("stars.fits[A+D], column 'CHI', row 0: found different values in A and D"), "{error}");
}

#[test]
fn identifiers_of_joined_tables_are_compared_in_any_capitals() {
    let table = |name: &str, id: &str, ids: &[i64], other: &str| {
        let rows = ids.iter().flat_map(|id| [&id.to_be_bytes()[..], &1_f32.to_be_bytes()[..]].concat()).collect();
        Craft::new(&[(id, "K"), (other, "E")], ids.len(), rows).with(&[&format!("EXTNAME = '{name}'")])
    };
    let bytes = file(&[
        table("SPEC", "SOURCE_ID", &[1, 2, 3], "FLUX").bytes(),
        table("LAB", "source_id", &[1, 2, 3], "TEFF").bytes(),
        table("OTHER", "source_id", &[1, 3, 2], "FEH").bytes(),
    ]);
    let joined = read_bytes(bytes.clone(), "[SPEC+LAB]").unwrap();
    let names: Vec<&str> = joined.columns().iter().map(|column| column.schema.name.as_str()).collect();
    assert_eq!(names, ["SOURCE_ID", "FLUX", "source_id", "TEFF"], "both stay");
    let error = error_of(bytes, "[SPEC+OTHER]");
    assert!(error.starts_with("stars.fits[SPEC+OTHER], column 'SOURCE_ID', row 1: found different values"), "{error}");
}

#[test]
fn absent_padding_is_a_warning_and_absent_data_an_error() {
    let table = Craft::new(&[("id", "K")], 3, [1, 2, 3_i64].map(i64::to_be_bytes).concat());
    let mut bytes = file(&[table.bytes()]);
    bytes.truncate(2 * 2880 + 24);
    assert_eq!(values(&read_bytes(bytes.clone(), "").unwrap(), "id"), &Values::Int64(vec![1, 2, 3]));
    assert!(warning::said().iter().any(|text| text.starts_with("stars.fits: its last block is 2856 bytes short")));
    bytes.pop();
    let error = error_of(bytes, "");
    assert!(error.contains("found 5783 bytes, expected 5784, as its header says. The file is truncated"), "{error}");
}

#[test]
fn sums_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.fits");
    crate::table::write(&crate::table::sample::sample_table(), &path, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(read_bytes(bytes.clone(), "").is_ok());
    // One bit of the data: the last byte of the heap.
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    let mut damaged = bytes.clone();
    damaged[last] ^= 1;
    let error = error_of(damaged, "");
    assert!(error.starts_with("stars.fits, HDU 1: found data of the sum ") && error.contains("(DATASUM)"), "{error}");
    // The header of this table before other data, as astropy leaves it: nothing can be said.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let place = text.find("equinox").or_else(|| text.find("EQUINOX")).unwrap();
    let mut stale = bytes.clone();
    stale[last] ^= 1;
    stale[place..place + 7].copy_from_slice(b"EPOCH_1");
    assert!(read_bytes(stale, "").is_ok());
    assert!(warning::said().iter().any(|text| text.contains("CHECKSUM and DATASUM are those of another table")));
    let mut edited = bytes;
    edited[place..place + 7].copy_from_slice(b"EPOCH_2");
    assert_eq!(read_bytes(edited, "").unwrap().metadata["epoch_2"], "2016");
    assert!(warning::said().iter().any(|text| text.contains("CHECKSUM is not that of the header")));
}

#[test]
fn names_in_capitals_are_ours_where_the_file_is() {
    let craft = |names: [&str; 2], program: &str| {
        let table = Craft::new(&names.map(|name| (name, "1J")), 1, vec![0, 0, 0, 1, 0, 0, 0, 2]);
        read_bytes(file(&[table.with(&[&format!("PROGRAM = '{program}'")]).bytes()]), "")
    };
    let ours = craft(["SOURCE_ID", "J_MAG"], "photosphere 0.1.0 fit").unwrap();
    assert_eq!(ours.column("j_mag").unwrap().to_i64().unwrap(), [2]);
    for (names, program) in [(["SOURCE_ID", "J_MAG"], "topcat"), (["SOURCE_ID", "j_Mag"], "photosphere 0.1.0 fit")] {
        let table = craft(names, program).unwrap();
        assert_eq!(table.columns()[1].schema.name, names[1]);
        let error = table.column("source_id").unwrap_err().to_string();
        assert!(
            error.contains("no such column, but 'SOURCE_ID'") && error.contains("rename the column to 'source_id'"),
            "{error}"
        );
    }
}

/// Columns whose names differ in case alone keep their own descriptions where only astropy's comments have
/// them.
#[test]
fn descriptions_belong_to_the_exact_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.fits");
    let column = |name: &str, text: &str| Column::scalar(ColumnSchema::new(name, "", text), Values::Int32(vec![1]));
    let table = Table::new(vec![column("Z", "redshift"), column("z", "height")]).unwrap();
    crate::table::write(&table, &path, false).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    while let Some(place) = bytes.windows(5).position(|card| card == b"TCOMM") {
        bytes[place] = b'X';
    }
    let read = read_bytes(bytes, "").unwrap();
    let texts: Vec<&str> = read.columns().iter().map(|column| column.schema.description.as_str()).collect();
    assert_eq!(texts, ["redshift", "height"]);
}

#[test]
fn names_that_are_not_utf8_or_absent() {
    let table = Craft::new(&[("flux_XX", "E"), ("", "E")], 1, vec![0; 8]);
    let mut bytes = file(&[table.bytes()]);
    let place = bytes.windows(7).position(|name| name == b"flux_XX").unwrap();
    bytes[place + 5..place + 7].copy_from_slice(&[0xb5, 0xb5]);
    let table = read_bytes(bytes, "").unwrap();
    let names: Vec<&str> = table.columns().iter().map(|column| column.schema.name.as_str()).collect();
    assert_eq!(names, ["flux_\u{b5}\u{b5}", "col2"]);
    assert!(warning::said().iter().any(|text| text.starts_with("stars.fits, column 1: its name is not UTF-8")));
}

#[test]
fn metadata_in_whatever_spelling() {
    // As astropy 8.0.2 writes what it read from HIERARCH cards of ours: short names as keywords of their own.
    let cards = [
        "BANDS   = '[\"j\",&'",
        "CONTINUE  '\"h\"]'",
        "HIERARCH flux_unit = 'mJy'",
        "TDISP1  = 'F8.3'",
        "DATE    = '2026'",
        "END_TIME= 5",
    ];
    let table = read_bytes(file(&[Craft::new(&[("a", "E")], 1, vec![0; 4]).with(&cards).bytes()]), "").unwrap();
    let found: Vec<(&str, &str)> = table.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(found, [("bands", "[\"j\",\"h\"]"), ("date", "2026"), ("end_time", "5"), ("flux_unit", "mJy")]);
}

/// Copies by programs that drop TNULL (fitsio 1.4.2, `fitsio.write(file, data, header=header)`).
#[test]
fn smallest_integers_without_tnull() {
    let rows = [&i32::MIN.to_be_bytes()[..], &i64::MIN.to_be_bytes()[..]].concat();
    let table = Craft::new(&[("n", "J"), ("id", "K")], 1, rows);
    let read = read_bytes(file(&[table.bytes()]), "").unwrap();
    assert_eq!((read.column("n").unwrap().is_valid(0), read.column("id").unwrap().is_valid(0)), (true, false));
    let read = read_bytes(file(&[table.with(&["HIERARCH PROGRAM = 'photosphere 0.1.0'"]).bytes()]), "").unwrap();
    assert!(!read.column("n").unwrap().is_valid(0));
}

/// Headers that promise more than there is, within a second.
#[test]
fn sizes_beyond_the_file_are_refused() {
    let start = Instant::now();
    let table = |columns: &[(&str, &str)], replaced: &[(&str, &str)]| {
        let craft = Craft::new(columns, 1, vec![0; 8]);
        let replace = |card: String| match replaced.iter().find(|(keyword, _)| card.starts_with(keyword)) {
            Some((keyword, value)) => format!("{keyword:<8}= {value}"),
            None => card,
        };
        file(&[hdu(&craft.header().into_iter().map(replace).collect::<Vec<_>>(), &[0; 8])])
    };
    let one = [("a", "D")];
    for (bytes, found) in [
        (table(&one, &[("NAXIS1", "0"), ("NAXIS2", "1000000000000"), ("TFORM1", "'0E'")]), "1000000000000 rows of 0 bytes"),
        (table(&one, &[("NAXIS2", "1000000000000")]), "The file is truncated"),
        (table(&one, &[("NAXIS2", "18446744073709551615")]), "axes whose product exceeds 64 bits"),
        (table(&one, &[("NAXIS2", "-1")]), "found '-1', expected a count"),
        (table(&one, &[("NAXIS ", "1000")]), "NAXIS: found 1000"),
        (table(&one, &[("PCOUNT", "99999999999")]), "The file is truncated"),
        (table(&one, &[("PCOUNT", "18446744073709551615")]), "exceeds 64 bits"),
        (table(&one, &[("TFIELDS", "1000")]), "at most 999 columns"),
        (table(&one, &[("TFIELDS", "2")]), "header keyword TFORM2: found nothing"),
        (table(&one, &[("TFORM1", "'999999999A'")]), "NAXIS1: found 8, expected 999999999"),
        (table(&one, &[("TFORM1", "'99999999999999999999D'")]), "TFORM1: found '99999999999999999999D'"),
        (table(&one, &[("TFORM1", "'18446744073709551615M'")]), "TFORM1: found '18446744073709551615M'"),
        (table(&one, &[("GCOUNT", "2")]), "GCOUNT: found 2, expected 1"),
        (table(&one, &[("BITPIX", "16")]), "BITPIX: found 16, expected 8"),
        (table(&one, &[("TTYPE1", "'a'"), ("TFORM1", "'2PD'")]), "TFORM1: found '2PD'"),
    ] {
        let error = error_of(bytes, "");
        assert!(error.contains(found), "{found}: {error}");
    }
    let craft = Craft::new(&[("n", "J")], 2, vec![0; 8]);
    for (card, found) in
        [("TSCAL1  = 0", "found 0"), ("TZERO1  = 'x'", "found 'x'"), ("TZERO1  = NaN", "'NaN'"), ("TNULL1  = 1.5", "'1.5'")]
    {
        let error = error_of(file(&[craft.clone().with(&[card]).bytes()]), "");
        assert!(error.contains(found), "{error}");
    }
    let heap = Craft::new(&[("n", "PJ")], 1, vec![0; 8]).with_heap(vec![0; 8]);
    for theap in ["7", "17", "18446744073709551615"] {
        let error = error_of(file(&[heap.clone().with(&[&format!("THEAP   = {theap}")]).bytes()]), "");
        assert!(error.contains("keyword THEAP"), "{error}");
    }
    // 100 000 rows share one list of a megabyte.
    let shared = [250_000_i32.to_be_bytes(), [0; 4]].concat().repeat(100_000);
    let error = error_of(file(&[Craft::new(&[("n", "PE")], 100_000, shared).with_heap(vec![0; 1_000_000]).bytes()]), "");
    assert!(error.contains("column 'n': found lists that share a heap of 1000000 bytes"), "{error}");
    // A header without END, and thousands of HDUs.
    let mut endless = file(&[]);
    endless.extend(format!("{:<80}", "XTENSION= 'BINTABLE'").into_bytes());
    endless.resize(endless.len() + 2880 * 3000, b' ');
    assert!(error_of(endless, "").contains("found the end of the file in the middle of a header"));
    let image = hdu(&["XTENSION= 'IMAGE'", "BITPIX  = 8", "NAXIS   = 0"].map(str::to_owned), &[]);
    let many = file(&vec![image; 5000]);
    assert!(error_of(many, "").contains("found no binary table in it"));
    // Checked in a build without optimisation too.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// The sample files of the issue.
#[test]
fn faulty_files() {
    let Some(data) = crate::testing::shared_data() else { return };
    let folder = data.join("faulty_files");
    let open = |name: &str| read(&folder.join(name));
    assert_eq!(open("fits_forms__nopad.fits").unwrap().n_rows(), 8);
    let bits = open("fits_forms__bits.fits").unwrap();
    assert_eq!(bits.column("flags").unwrap().shape, Shape::Fixed(8));
    let error = open("ztable__ztable.fits").unwrap_err().to_string();
    assert!(error.contains("tile-compressed table") && error.contains("funpack"), "{error}");
    let error = open("hostile__A5_fits_zero_width_1e12_rows_ENDLESS.fits").unwrap_err().to_string();
    assert!(error.contains("1000000000000 rows of 0 bytes"), "{error}");
    assert!(open("hostile__A7_fits_TFORM_999999999A1_SIGABRT.fits.gz").is_err());
    let list = open("hostile__A1_fits_vla_text_29000_SIGSEGV.fits").unwrap();
    assert_eq!(list.n_rows(), 1);
    let own = open("astropy_observation_file__own.fits").unwrap();
    let subset = open("astropy_observation_file__subset.fits").unwrap();
    assert_eq!(subset.metadata, own.metadata);
    for (column, original) in subset.columns().iter().zip(own.columns()) {
        let mut expected = original.select(&[0, 1, 2, 3, 4]);
        expected.schema.unit.clone_from(&column.schema.unit);
        assert!(column.same_as(&expected), "{}", column.schema.name);
    }
    let path = folder.join("fits_extensions__two.fits");
    assert_eq!(open("fits_extensions__two.fits").unwrap().n_rows(), 8);
    let warning = warning::said().into_iter().find(|text| text.starts_with(&path.display().to_string())).unwrap();
    assert!(warning.contains("SUPERSEDED (8 rows, 13 columns) is read, not CATALOGUE"), "{warning}");
    let mws = data.join("spectra_formats/mwsall-pix-sample.fits");
    let joined = PathBuf::from(format!("{}[RVTAB+FIBERMAP+GAIA]", mws.display()));
    assert_eq!(read_columns(&joined, &["TARGETID", "TEFF", "FLUX_G", "SOURCE_ID"]).unwrap().n_rows(), 12);
}

/// A subset of our own file as STILTS 3.4.7 writes it with `ofmt=fits-plus`: metadata stand in a VOTable in
/// the primary HDU, under the names of the header's cards. The cards and the document are STILTS's own,
/// shortened.
#[test]
fn descriptions_of_topcat_in_the_primary_hdu_are_read() {
    let document = r#"<?xml version='1.0'?>
<VOTABLE version="1.4"
 xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<!--
 !  VOTable written by STIL version 4.1.3-debian (uk.ac.starlink.votable.VOTableWriter)
 !-->
<RESOURCE>
<!-- Describes BINTABLE extensions in the following HDU.-->
<TABLE name="obs.fits" nrows="1">
<PARAM arraysize="13" datatype="char" name="BANDS" value='["xp_392","j"]'/>
<PARAM arraysize="54" datatype="char" name="HIERARCH EXTINCTION_LAW" value='"CCM89, R_V \u003d 3.1"'/>
<PARAM arraysize="66" datatype="char" name="OPTIONS" value='"\"chunk = 512\\n\""'/>
<PARAM arraysize="17" datatype="char" name="PROGRAM" value="photosphere 0.1.0"/>
<PARAM arraysize="14" datatype="char" name="HIERARCH WAVELENGTHS" value="[392.0,1235.0]"/>
<PARAM arraysize="16" datatype="char" name="CHECKSUM" value="GRa2JPZ1GPa1GPW1"/>
<PARAM arraysize="71x1" datatype="char" name="COMMENT" value='--BEGIN-ASTROPY-SERIALIZED-COLUMNS--'>
<DESCRIPTION>FITS COMMENT card values</DESCRIPTION>
</PARAM>
<FIELD datatype="long" name="source_id" ucd="meta.id;meta.main">
<DESCRIPTION>Identifier of the star</DESCRIPTION>
<VALUES null='-9223372036854775808'/>
</FIELD>
<!-- Dummy VOTable - no DATA element -->
</TABLE>
</RESOURCE>
</VOTABLE>"#;
    let table = Craft::new(&[("source_id", "K")], 1, 7_i64.to_be_bytes().to_vec()).with(&["EXTNAME = 'obs.fits'"]);
    let file = |document: &str, further: &[&str]| {
        let length = format!("NAXIS1  = {}", document.len());
        let cards = ["SIMPLE  =                    T", "BITPIX  = 8", "NAXIS   = 1", &length];
        let cards: Vec<String> = cards.iter().chain(further).map(|&card| card.to_owned()).collect();
        [hdu(&cards, document.as_bytes()), table.bytes()].concat()
    };
    let read = |bytes: Vec<u8>| read_bytes(bytes, "");
    let found = read(file(document, &["VOTMETA =                    T"])).unwrap();
    let said = |key: &str| found.metadata.get(key).map(String::as_str);
    assert_eq!(said("wavelengths"), Some("[392.0,1235.0]"));
    assert_eq!((said("bands"), said("extinction_law")), (Some("[\"xp_392\",\"j\"]"), Some("CCM89, R_V = 3.1")));
    assert_eq!((said("options"), said("program")), (Some("\"chunk = 512\\n\""), Some("photosphere 0.1.0")));
    assert_eq!((said("checksum"), said("comment"), said("COMMENT")), (None, None, None));
    let id = found.column("source_id").unwrap();
    assert_eq!((id.schema.ucd.as_str(), id.schema.description.as_str()), ("meta.id;meta.main", "Identifier of the star"));
    assert_eq!(id.to_i64().unwrap(), [7]);
    // Without the word that it is one, a document is an image that nobody reads; a damaged one is a warning.
    assert!(!read(file(document, &[])).unwrap().metadata.contains_key("wavelengths"));
    let damaged = read(file(&document[..900], &["VOTMETA =                    T"])).unwrap();
    assert!(!damaged.metadata.contains_key("wavelengths"));
    assert!(warning::said().iter().any(|text| text.starts_with("stars.fits: TOPCAT's description")), "{:?}", warning::said());
    let columns = ["COLFITS =                    T", "VOTMETA =                    T"];
    assert!(read(file(document, &columns)).unwrap_err().to_string().contains("fits-plus"));
}
