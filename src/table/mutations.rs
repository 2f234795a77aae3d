//! Files of every text format, damaged at random with fixed seeds: read or refused by name, in bounded time,
//! and never a panic.

use super::{Column, Format, Shape, Values, read, read_columns, read_schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Write;
use std::time::{Duration, Instant};

/// Files per kind.
const FILES: u64 = 700;
/// Far more than any of them takes, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(10);

const CSV: &str = "# a comment\nsource_id,x,\"two words\",f,flag\n5853498713190525696,1.5,\"a \"\"quoted\"\" cell\",\"[1.0, 2.0, null]\",True\n\
                   2,,null,\"(3, 4)\",False\n3,nan,\"two\nlines\",[],\n4,-1e300,plain,\"[NaN]\",true\n";
const ECSV: &str = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# null_values: ['-99']\n# datatype:\n# - {name: id, datatype: int64, unit: &u mas, \
                    description: 'it''s: one'}\n# - name: f\n#   datatype: string\n#   subtype: float64[2]\n# - {name: v, datatype: string, subtype: \
                    'int32[null]'}\n# - {name: c, datatype: complex64, unit: *u}\n# - {name: t, datatype: string}\n# - {name: t.mask, datatype: \
                    bool}\n# meta: !!omap\n# - {a: [1, {b: c}]}\n# - __serialized_columns__: {f: {unit: {unit: mas}, value: {name: f}}}\n\
                    # schema: astropy-2.0\nid,f,v,c,t,t.mask\n1,\"[1.0,2.0]\",\"[1]\",(1+2j),a,False\n-99,,\"[1,2,3]\",,,True\n";
const RECORDS: &str = r#"[{"id": 5853498713190525696, "x": 1.5, "s": "a\u00e9\n", "f": [1, null, [2.5]], "b": ["g"], "ok": true, "o": {"a": {}}},
                         {"s": null, "id": 4, "f": [], "ok": false}]"#;
const TAP: &str = r#"{"metadata": [{"name": "id", "datatype": "long", "unit": null}, {"name": "f", "datatype": "double", "arraysize": "*"}],
                      "data": [[1, [1.0, null]], [2, "(1.0, 2.0)"], [3, null]]}"#;
/// What damages text in ways that single bytes hardly do.
const TOKENS: [&str; 34] = [
    "\"",
    "\"\"",
    ",",
    ";",
    "\n",
    "\r",
    "\r\n",
    "\0",
    "[",
    "]",
    "(",
    "{",
    "}",
    ":",
    "&a ",
    "*a",
    "- ",
    "? ",
    "!!omap",
    "null",
    "nan",
    "1e999",
    "9223372036854775808",
    "float64[99999999999]",
    "[null,null]",
    "\u{feff}",
    "sep=;\n",
    "# ",
    "|",
    "\t",
    "--",
    "\\u12",
    "\u{fffd}",
    "'",
];

fn damaged(original: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..random.gen_range(1..=4) {
        let at = random.gen_range(0..=bytes.len());
        let end = (at + random.gen_range(0..40)).min(bytes.len());
        match random.gen_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, bytes[at..end].repeat(random.gen_range(1..50)))),
            3 if at < bytes.len() => bytes[at] = random.r#gen(),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.gen_range(0..8),
            5 => drop(bytes.splice(at..end, (0..random.gen_range(1..20)).map(|_| random.r#gen()).collect::<Vec<u8>>())),
            _ => {
                let token = TOKENS[random.gen_range(0..TOKENS.len())].repeat([1, 1, 1, 3, 300][random.gen_range(0..5)]);
                drop(bytes.splice(at..at, token.into_bytes()));
            }
        }
    }
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Reads a file in all ways; what comes out must hold together.
fn try_file(name: &str, bytes: &[u8], seed: u64) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let started = Instant::now();
    let table = read(&path);
    let _ = read_schema(&path);
    let _ = read_columns(&path, &["id", "f"]);
    let is_read = match table {
        Ok(table) => {
            for column in table.columns() {
                assert_eq!(column.n_rows(), table.n_rows(), "{name}, seed {seed}");
                check(column);
            }
            true
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(name), "{name}, seed {seed}: {error}");
            assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{name}, seed {seed}: {error:?}");
            false
        }
    };
    assert!(started.elapsed() < LIMIT, "{name}, seed {seed}: {:?}", started.elapsed());
    is_read
}

fn check(column: &Column) {
    if let Shape::Variable(offsets) = &column.shape {
        assert!(offsets.is_sorted() && offsets.last() == Some(&column.values.len()));
    }
    // Null rows hold no number.
    if let (Ok(flat), Values::Float64(_)) = (column.flat_f64(), &column.values) {
        assert!(
            (0..column.n_rows())
                .filter(|&row| !column.is_valid(row))
                .all(|row| flat[column.range(row)].iter().all(|x| x.is_nan()))
        );
    }
    let _ = (column.to_f64(), column.to_i64(), column.to_matrix(2), column.parsed_lists());
}

/// Tries many damaged files; some are still read, and most are not.
fn try_many(name: &str, seed: u64, damaged: impl Fn(&mut ChaCha8Rng) -> Vec<u8>) {
    let n_read = (0..FILES).filter(|i| try_file(name, &damaged(&mut ChaCha8Rng::seed_from_u64(seed + i)), seed + i)).count();
    assert!(n_read < FILES as usize && Format::from_extension(std::path::Path::new(name)).is_some());
}

#[test]
fn csv() {
    try_many("stars.csv", 10_000, |random| damaged(CSV.as_bytes(), random));
}

#[test]
fn ecsv() {
    try_many("stars.ecsv", 20_000, |random| damaged(ECSV.as_bytes(), random));
}

#[test]
fn gzip() {
    try_many("stars.csv.gz", 30_000, |random| match random.r#gen() {
        true => damaged(&gzipped(CSV.repeat(20).as_bytes()), random),
        false => gzipped(&damaged(CSV.as_bytes(), random)),
    });
}

#[test]
fn json() {
    try_many("stars.json", 40_000, |random| damaged(if random.r#gen() { RECORDS } else { TAP }.as_bytes(), random));
}

#[test]
fn bundles() {
    let names = ["XP-Gaia DR3 5853498713190525696.csv", "b/c.ecsv", "d.json"];
    try_many("stars.zip", 50_000, |random| {
        let csv = damaged(CSV.as_bytes(), random);
        match random.gen_range(0..3) {
            0 => damaged(&zipped(&[(names[0], CSV.as_bytes()), ("e.csv", CSV.as_bytes())]), random),
            1 => zipped(&[(names[0], CSV.as_bytes()), ("e.csv", &csv)]),
            _ => zipped(&[(names[1], ECSV.as_bytes()), (names[2], RECORDS.as_bytes()), ("e.csv.gz", &gzipped(&csv))]),
        }
    });
}

#[cfg(feature = "hdf5")]
#[test]
fn hdf5() {
    let original = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/h5py_table.h5")).unwrap();
    try_many("stars.h5", 60_000, |random| damaged(&original, random));
}
