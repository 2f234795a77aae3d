//! Property tests: random tables come back as they were written, and damaged ones are read or refused,
//! without a panic and without taking more memory than their files account for.

use super::craft::{Craft, file};
use super::read::chunks_of_bytes;
use crate::table::{Column, ColumnSchema, Location, Shape, Table, Values, limits, write};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Tables, and damaged copies of each.
const TABLES: usize = 60;
const COPIES: usize = 60;

/// A table with every type in random shapes, with nulls.
fn random_table(random: &mut ChaCha8Rng) -> Table {
    let n_rows = random.gen_range(0..6);
    let mut table = Table::with_rows(n_rows);
    for i in 0..random.gen_range(1..6) {
        let shape = match random.gen_range(0..3) {
            0 => Shape::Scalar,
            // FITS has no lists of length one.
            1 => Shape::Fixed(random.gen_range(2..5)),
            _ => {
                let lengths: Vec<usize> = (0..n_rows).map(|_| random.gen_range(0..4)).collect();
                Shape::Variable(
                    [0].into_iter()
                        .chain(lengths.iter().scan(0, |end, length| {
                            *end += length;
                            Some(*end)
                        }))
                        .collect(),
                )
            }
        };
        let n = match &shape {
            Shape::Scalar => n_rows,
            Shape::Fixed(length) => n_rows * length,
            Shape::Variable(offsets) => offsets[n_rows],
        };
        let is_variable = matches!(shape, Shape::Variable(_));
        let values = match random.gen_range(0..if is_variable { 5 } else { 6 }) {
            0 => Values::Bool((0..n).map(|_| random.gen_bool(0.5)).collect()),
            1 => Values::Int32((0..n).map(|_| random.gen_range(-9..i32::MAX)).collect()),
            2 => Values::Int64((0..n).map(|_| random.gen_range(-9..i64::MAX)).collect()),
            3 => Values::Float32((0..n).map(|_| random.gen_range(-1.0..1e30)).collect()),
            4 => Values::Float64((0..n).map(|_| random.gen_range(-1.0..1e300)).collect()),
            _ => Values::Text((0..n).map(|_| "\u{e9}a b".repeat(random.gen_range(1..4))).collect()),
        };
        let column = Column { schema: ColumnSchema::new(format!("c{i}"), "mas", "a column"), values, shape, valid: None };
        // Lists without values are null in FITS.
        let valid = (0..n_rows).map(|row| !column.range(row).is_empty() && random.gen_bool(0.8)).collect();
        let column = column.with_valid(valid);
        // Null lists of varying length have no values.
        let valid_rows: Vec<usize> = (0..n_rows).filter(|&row| column.is_valid(row) || !is_variable).collect();
        if valid_rows.len() == n_rows {
            table.push(column).unwrap();
        }
    }
    table.metadata.insert("recipe".into(), "a = 'b'\n".repeat(random.gen_range(0..9)));
    table
}

/// A table of random forms, text, bits and heaps among them.
fn random_craft(random: &mut ChaCha8Rng) -> Craft {
    const FORMS: [(&str, usize); 16] = [
        ("3L", 3),
        ("9X", 2),
        ("B", 1),
        ("2I", 4),
        ("J", 4),
        ("K", 8),
        ("5A", 5),
        ("6A3", 6),
        ("E", 4),
        ("2D", 16),
        ("C", 8),
        ("M", 16),
        ("1PE(3)", 8),
        ("QA", 16),
        ("0D", 0),
        ("PX", 8),
    ];
    let chosen: Vec<(&str, usize)> = (0..random.gen_range(1..7)).map(|_| FORMS[random.gen_range(0..FORMS.len())]).collect();
    let columns: Vec<(String, String)> =
        chosen.iter().enumerate().map(|(i, (form, _))| (format!("c{i}"), (*form).to_owned())).collect();
    let n_rows = random.gen_range(1..5);
    let rows = (0..n_rows).flat_map(|_| {
        let cell = |(form, bytes): &(&str, usize)| match (*form, *bytes) {
            ("3L", _) => b"TF\0".to_vec(),
            ("1PE(3)" | "PX", _) => [2, 4_i32].map(i32::to_be_bytes).concat(),
            ("QA", _) => [3, 5_i64].map(i64::to_be_bytes).concat(),
            (_, bytes) => vec![b'1'; bytes],
        };
        chosen.iter().flat_map(cell).collect::<Vec<u8>>()
    });
    let rows: Vec<u8> = rows.collect();
    // Booleans with nulls in lists are errors by themselves.
    let columns: Vec<(&str, &str)> = columns.iter().map(|(name, form)| (name.as_str(), form.as_str())).collect();
    Craft::new(&columns, n_rows, rows).with_heap(vec![b'h'; 16]).with(&["TSCAL1  = 2.5", "TNULL2  = 49", "TDIM3   = '(2,3)'"])
}

/// Bytes changed, cut, inserted, and numbers and forms of the header replaced by extreme ones.
fn damaged(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    const NUMBERS: [&str; 12] = [
        "-1",
        "0",
        "7",
        "999",
        "1000",
        "2147483648",
        "999999999999",
        "9223372036854775807",
        "18446744073709551615",
        "1E400",
        "T",
        "''",
    ];
    const FORMS: [&str; 10] =
        ["'999999999A'", "'0E'", "'1QD'", "'PX'", "'8X'", "'99999999999999999999J'", "'PPE'", "'M'", "'3A2'", "''"];
    let mut bytes = bytes.to_vec();
    match random.gen_range(0..6) {
        0 => (0..random.gen_range(1..9)).for_each(|_| {
            let place = random.gen_range(0..bytes.len());
            bytes[place] = random.r#gen();
        }),
        1 => bytes.truncate(random.gen_range(0..bytes.len())),
        2 => {
            let place = random.gen_range(0..bytes.len());
            let inserted = vec![random.r#gen::<u8>(); random.gen_range(1..3000)];
            bytes.splice(place..place, inserted);
        }
        3 => {
            // Descriptors and values of the rows.
            let place = random.gen_range(0..bytes.len());
            let end = bytes.len().min(place + 8);
            let byte = [0, 0x7f, 0x80, 0xff][random.gen_range(0..4)];
            bytes[place..end].fill(byte);
        }
        kind => {
            let is_wanted = |card: &[u8]| card[8..].starts_with(b"= ") && (kind == 4 || card.starts_with(b"TFORM"));
            let cards: Vec<usize> = (0..bytes.len() / 80).filter(|&card| is_wanted(&bytes[card * 80..card * 80 + 80])).collect();
            if cards.is_empty() {
                return bytes;
            }
            let start = cards[random.gen_range(0..cards.len())] * 80;
            let value =
                if kind == 4 { NUMBERS[random.gen_range(0..NUMBERS.len())] } else { FORMS[random.gen_range(0..FORMS.len())] };
            bytes[start + 10..start + 80].copy_from_slice(format!("{value:<70}").as_bytes());
        }
    }
    bytes
}

/// Reads all rows; the bytes that the values take in memory.
fn read_all(bytes: Vec<u8>) -> Option<usize> {
    let location = Location { file: "random.fits".into(), tables: Vec::new() };
    let mut taken = 0;
    for chunk in chunks_of_bytes(bytes, &location, 3).ok()? {
        taken += chunk.ok()?.columns().iter().map(|column| column.values.len() * 8 + column.n_rows()).sum::<usize>();
    }
    Some(taken)
}

#[test]
fn random_tables_come_back_and_damaged_ones_do_no_harm() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.fits");
    let (mut n_read, mut n_refused) = (0, 0);
    for _ in 0..TABLES {
        let table = random_table(&mut random);
        write(&table, &path, true).unwrap();
        let written = std::fs::read(&path).unwrap();
        let location = Location::parse(Path::new("random.fits"));
        let back: Vec<Table> = chunks_of_bytes(written.clone(), &location, 100).unwrap().map(Result::unwrap).collect();
        assert_eq!((back.len(), back[0].n_rows()), (1, table.n_rows()));
        for (back, column) in back[0].columns().iter().zip(table.columns()) {
            assert!(back.same_as(column), "{back:?} is not {column:?}");
        }
        let crafted = file(&[random_craft(&mut random).bytes()]);
        for bytes in [written, crafted] {
            for _ in 0..COPIES {
                let bytes = damaged(&bytes, &mut random);
                let length = bytes.len();
                match read_all(bytes) {
                    Some(taken) => {
                        n_read += 1;
                        assert!(taken as u64 <= limits::allowed(length as u64), "{taken} bytes from {length}");
                    }
                    None => n_refused += 1,
                }
            }
        }
    }
    assert!(n_read > 500 && n_refused > 2000, "{n_read} read, {n_refused} refused");
}
