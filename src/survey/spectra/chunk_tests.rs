//! Observation files of many spectra: more than a chunk, plain tables, files that break off.

use super::samples::{Desi, MaskKind, star, write};
use crate::error::Result;
use crate::survey::prepare::{PrepareRecipe, Summary, prepare};
use crate::table::{self, Column, ColumnSchema, Shape, Table, Values};
use crate::text::of_one_line;
use std::path::Path;

/// Rows of a chunk of the output at the grids of this file.
const CHUNK: usize = 8192;

/// Prepares the folder `spectra` of a folder.
fn prepared(folder: &Path, keys: &str) -> Result<(Summary, Table)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let recipe = format!(
        "labels = []\n[spectra]\nfiles = [\"{}\"]\nmedium = \"vacuum\"\ngrid = {{ linear = [5180, 5188, 2] }}\n\
         continuum = {{ method = \"none\" }}\n{}",
        path("spectra"),
        keys.replace('@', &folder.display().to_string())
    );
    let output = folder.join("observations.parquet");
    let summary = prepare(PrepareRecipe::parse(&recipe)?, &output, true)?;
    Ok((summary, table::read(&output)?))
}

const NO_VELOCITY: &str = "velocity = { source = \"none\" }\n";

/// Writes a table of spectra of ten pixels in its rows, with further columns.
fn write_table(folder: &Path, name: &str, ids: Column, others: Vec<Column>) {
    let n = ids.n_rows();
    let wavelength: Vec<f64> = (0..10).map(|i| 5176.0 + 1.7 * f64::from(i)).collect();
    let flux: Vec<f32> = wavelength.iter().map(|&lambda| star(lambda, 0.0) as f32).collect();
    let list = |name: &str, values: Values| Column {
        schema: ColumnSchema::new(name, "", ""),
        values,
        shape: Shape::Fixed(10),
        valid: None,
    };
    let columns = vec![
        ids,
        list("wavelength", Values::Float64(wavelength.repeat(n))),
        list("flux", Values::Float32(flux.repeat(n))),
        list("ivar", Values::Float32(vec![4.0; 10 * n])),
    ];
    let path = folder.join("spectra").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    table::write(&Table::new(columns.into_iter().chain(others).collect()).unwrap(), &path, false).unwrap();
}

fn ids(first: i64, n: usize) -> Column {
    Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((first..).take(n).collect()))
}

#[test]
fn a_table_that_cannot_be_read_is_one_file_that_failed() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_table(folder, "a.parquet", ids(1, 3), Vec::new());
    let names = Values::Text((0..300).map(|row| format!("star {row}")).collect());
    write_table(folder, "b.parquet", Column::scalar(ColumnSchema::new("source_id", "", ""), names), Vec::new());
    let (summary, table) = prepared(folder, NO_VELOCITY).unwrap();
    assert_eq!((summary.n_failed_files, summary.failed_files.len(), table.n_rows()), (1, 1, 3));
    assert!(summary.failed_files[0].contains("b.parquet") && summary.failed_files[0].contains("'source_id'"));
}

/// Exposures of a star that a damaged file does not have any more leave a star of those before, in the order
/// of the input.
#[test]
fn a_file_that_breaks_off_leaves_its_stars_in_order() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let stars: Vec<i64> = (0..40).map(|i| 1_000 - 7 * i).collect();
    let mut desi = Desi { mask: MaskKind::Tiled, status_name: "FIBERSTATUS", ..Desi::new(&[0.0; 80]) };
    desi.ids = stars.repeat(2);
    let mut hdus = desi.hdus(|_, _, _, _, _| ());
    // The last tile of a mask: the third block of rows, 64 to 79, cannot be read.
    let mask = hdus.iter_mut().find(|hdu| String::from_utf8_lossy(&hdu[..2880]).contains("'B_MASK'")).unwrap();
    let last = mask.iter().rposition(|&byte| byte != 0).unwrap();
    mask[last - 6] ^= 0xff;
    write(folder, "spectra/spectra-1.fits", &hdus);
    write(folder, "spectra/spectra-2.fits", &Desi::new(&[0.0]).hdus(|_, _, _, _, _| ()));
    let (summary, table) = prepared(folder, NO_VELOCITY).unwrap();
    assert_eq!(summary.n_failed_files, 1, "{:?}", summary.failed_files);
    let whole = stars[..24].iter().map(|&id| (id, 2));
    let expected: Vec<(i64, i64)> =
        whole.chain(stars[24..].iter().map(|&id| (id, 1))).chain([(39_627_700_000_001_001, 1)]).collect();
    let column = |name: &str| table.column(name).unwrap().to_i64().unwrap();
    let found: Vec<(i64, i64)> = column("source_id").into_iter().zip(column("n_exposures")).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_recipe_is_metadata_on_one_line() {
    let scratch = tempfile::tempdir().unwrap();
    write_table(scratch.path(), "a.parquet", ids(1, 3), Vec::new());
    let (_, table) = prepared(scratch.path(), NO_VELOCITY).unwrap();
    for (key, text) in &table.metadata {
        assert!(!text.contains(char::is_control), "{key}: {text}");
    }
    let text = of_one_line(table.metadata_of("prepare_recipe").unwrap()).into_owned();
    assert!(text.lines().count() > 10, "{text}");
    let recipe = PrepareRecipe::parse(&text).unwrap();
    assert_eq!(recipe.spectra.unwrap().files, [scratch.path().join("spectra")]);
}

/// What is carried along has its columns in all chunks, whichever file has it, and the types that its files
/// state.
#[test]
fn columns_that_are_carried_along_do_not_hang_on_the_first_chunk() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let text = |name: &str, values: Vec<&str>| {
        let valid = Some(values.iter().map(|text| !text.is_empty()).collect());
        let values = Values::Text(values.into_iter().map(str::to_owned).collect());
        Column { valid, ..Column::scalar(ColumnSchema::new(name, "", ""), values) }
    };
    let number = |name: &str, values: Vec<f64>| Column::nullable(ColumnSchema::new(name, "", ""), values);
    let n = CHUNK + 10;
    // Of the first file the whole first chunk has no plan; the second has magnitudes and positions, the first
    // not.
    let plans = (0..n).map(|row| if row < CHUNK { "" } else { "P7" }).collect();
    let runs = Column::scalar(ColumnSchema::new("RUN", "", ""), Values::Int64(vec![(1 << 53) + 1; n]));
    write_table(folder, "a.parquet", ids(1, n), vec![text("PLAN", plans), runs]);
    let others = vec![number("mag", vec![15.5, f64::NAN]), number("RA", vec![10.0, 11.0]), text("plan", vec!["P8", ""])];
    write_table(folder, "b.parquet", ids(100_001, 2), others);
    // Known from then on alone, when it counts as a number already.
    let late = Column::scalar(ColumnSchema::new("LATE", "", ""), Values::Int64(vec![7, 8]));
    write_table(folder, "c.parquet", ids(150_001, 2), vec![late]);
    let keys = format!("{NO_VELOCITY}carry = [\"Plan\", \"MAG\", \"run\", \"absent\", \"late\"]\n");
    let (summary, table) = prepared(folder, &keys).unwrap();
    assert_eq!((summary.n_stars, summary.n_failed_files), (n + 4, 0));
    let Values::Text(plans) = &table.column("plan").unwrap().values else { panic!("no text") };
    assert_eq!([&plans[0], &plans[CHUNK], &plans[n], &plans[n + 1]], ["", "P7", "P8", ""]);
    let column = |name: &str| table.column(name).unwrap().to_f64().unwrap();
    assert!(column("mag")[..n].iter().all(|value| value.is_nan()) && column("mag")[n] == 15.5 && column("mag")[n + 1].is_nan());
    assert!(column("late")[..n + 2].iter().all(|value| value.is_nan()) && column("late")[n + 2..] == [7.0, 8.0]);
    assert!(
        column("ra")[0].is_nan() && column("ra")[n..n + 2] == [10.0, 11.0] && column("absent").iter().all(|value| value.is_nan())
    );
    let runs = table.column("run").unwrap();
    assert!(matches!(&runs.values, Values::Int64(values) if values[0] == (1 << 53) + 1) && !runs.is_valid(n));
    // An integer that a column of floats cannot hold is no float.
    write_table(folder, "0.parquet", ids(200_001, 2), vec![number("run", vec![1.5, 2.5])]);
    let message = prepared(folder, &keys).unwrap_err().to_string();
    assert!(message.contains("'run' of the spectra: found Integer(9007199254740993)"), "{message}");
}
