//! The preparation of small tables, of the same tables in every format, and of real files.

use super::*;
use crate::noise::triangle;
use crate::survey::prepare::NOTES_COLUMN;
use crate::table::{Column, ColumnSchema, Shape, Values};
use crate::testing::shared_data;

fn preparation(text: &str) -> Preparation {
    Preparation::new(PrepareRecipe::parse(text).unwrap()).unwrap()
}

fn lists(name: &str, rows: &[Option<Vec<f64>>]) -> Column {
    let offsets = std::iter::once(0).chain(rows.iter().scan(0, |end, row| {
        *end += row.as_ref().map_or(0, Vec::len);
        Some(*end)
    }));
    let shape = Shape::Variable(offsets.collect());
    let valid = Some(rows.iter().map(Option::is_some).collect());
    let values = Values::Float64(rows.iter().flatten().flatten().copied().collect());
    Column { schema: ColumnSchema::new(name, "", ""), values, shape, valid }
}

/// A table of spectra, one for each pair of (BP, RP) coefficient scales; `None` is a missing band.
fn xp_table(scales: &[(Option<f64>, Option<f64>)]) -> Table {
    let ids: Vec<i64> = (1..=scales.len() as i64).collect();
    let mut table = Table::new(vec![id_column(&ids)]).unwrap();
    for (band, pick) in [("bp", 0), ("rp", 1)] {
        let scale = |pair: &(Option<f64>, Option<f64>)| if pick == 0 { pair.0 } else { pair.1 };
        let coefficients = |pair| scale(pair).map(|scale| (0..55).map(|k| scale * (-f64::from(k)).exp()).collect());
        let constant = |value: f64, n: usize| move |scale: f64| if scale < 0.0 { vec![-value; n] } else { vec![value; n] };
        let with = |make: &dyn Fn(f64) -> Vec<f64>| scales.iter().map(|pair| scale(pair).map(make)).collect::<Vec<_>>();
        table.push(lists(&format!("{band}_coefficients"), &scales.iter().map(coefficients).collect::<Vec<_>>())).unwrap();
        table.push(lists(&format!("{band}_coefficient_errors"), &with(&constant(1.0, 55)))).unwrap();
        table.push(lists(&format!("{band}_coefficient_correlations"), &with(&constant(0.0, 1485)))).unwrap();
    }
    table
}

fn notes(table: &Table) -> Vec<i32> {
    table.column(NOTES_COLUMN).unwrap().to_f64().unwrap().into_iter().map(|notes| notes as i32).collect()
}

#[test]
fn stars_with_bad_spectra_become_noted_rows() {
    let mut preparation = preparation("labels = []\n[xp]\nfiles = [\"x\"]");
    let scales =
        [(Some(1e4), Some(1e4)), (None, Some(1e4)), (None, None), (Some(-1.0), Some(1e4)), (Some(f64::INFINITY), Some(1e4))];
    let table = preparation.chunk(xp_table(&scales)).unwrap();
    let unusable = Note::SpectrumUnusable.bit() | Note::NoFlux.bit();
    let impossible = unusable | Note::FluxImpossible.bit();
    assert_eq!(notes(&table), [0, Note::BpMissing.bit(), unusable, impossible, impossible]);
    let flux = table.column("flux").unwrap().to_matrix(61).unwrap();
    let error = table.column("flux_error").unwrap().to_matrix(61).unwrap();
    let covariance = table.column("xp_covariance_triu").unwrap().to_matrix(1891).unwrap();
    let n_missing = |row: usize| flux.row(row).iter().zip(error.row(row)).filter(|(f, e)| f.is_nan() && e.is_nan()).count();
    assert_eq!((0..5).map(n_missing).collect::<Vec<_>>(), [0, 25, 61, 61, 61]);
    for sample in [0, 25, 60] {
        let variance = covariance[[0, triangle::upper(sample, sample, 61)]];
        assert!((variance.sqrt() / error[[0, sample]] - 1.0).abs() < 1e-6);
        assert!(error[[0, sample]] > 0.005 * flux[[0, sample]].abs());
    }
    assert_eq!(preparation.summary.examples[1], "source_id 4: bp: errors that are not positive");
    assert_eq!(preparation.summary.noted[&Note::SpectrumUnusable], 3);
}

const PHOTOMETRY: &str = "labels = [\"teff\"]\n[[tables]]\nfiles = [\"x\"]\n[photometry]\nsets = [\"2mass\"]";

fn photometry_table() -> Table {
    let column = |name: &str, values: [f64; 3]| Column::nullable(ColumnSchema::new(name, "", ""), values.into());
    let nan = f64::NAN;
    Table::new(vec![
        id_column(&[10, 11, 12]),
        column("j_mag", [12.0, 12.0, nan]),
        column("j_mag_error", [0.03, 0.0, nan]),
        column("h_mag", [11.5, nan, nan]),
        column("h_mag_error", [0.03, nan, nan]),
        column("ks_mag", [11.4, 11.4, 11.4]),
        column("ks_mag_error", [0.03, 0.03, 0.03]),
        column("norm_dg", [-20.0, nan, -1.0]),
        column("teff", [5800.0, 4800.0, 4000.0]),
        column("teff_error", [80.0, 90.0, -1.0]),
        column("bprp", [0.8, 1.1, 1.3]),
    ])
    .unwrap()
}

#[test]
fn photometry_alone_makes_an_observation_file() {
    let table = preparation(PHOTOMETRY).chunk(photometry_table()).unwrap();
    let nothing = Note::Crowded.bit() | Note::LabelInvalid.bit() | Note::NoFlux.bit();
    assert_eq!(notes(&table), [0, Note::MagnitudeInvalid.bit() | Note::FluxImpossible.bit(), nothing]);
    let flux = table.column("flux").unwrap().to_matrix(3).unwrap();
    assert!(flux.row(0).iter().all(|flux| *flux > 0.0) && flux[[1, 0]].is_nan() && flux[[1, 2]] > 0.0);
    assert_eq!(table.metadata["wavelengths"], "[1235.0,1662.0,2159.0]");
    assert_eq!(table.metadata["bands"], "[\"j\",\"h\",\"ks\"]");
    assert!(table.get("xp_covariance_triu").is_none() && table.get("bprp").is_some() && table.get("parallax").is_none());
    assert!(table.column("teff").unwrap().to_f64().unwrap()[2].is_nan());
}

/// Issue 9, section 1.4: what is stated and impossible sets bit 10 of the catalogue, what is missing does
/// not.
#[test]
fn impossible_magnitudes_flag_the_star_and_missing_ones_do_not() {
    use crate::observations::{Observations, ReadOptions, input_flag};
    let nan = f64::NAN;
    for (magnitude, error, is_flagged) in [
        (12.0, 0.03, false),
        (nan, nan, false),
        (nan, 0.03, false),
        (12.0, nan, false),
        (12.0, -1.0, true),
        (12.0, 0.0, true),
        (12.0, f64::INFINITY, true),
        (12.0, -9999.0, true),
        (99.0, 0.03, true),
        (99.0, nan, true),
        (-999.0, -999.0, true),
    ] {
        let mut table = photometry_table();
        for (name, value) in [("j_mag", magnitude), ("j_mag_error", error)] {
            let Values::Float64(values) = &mut table.take(name).unwrap().values else { panic!("{name}") };
            values[0] = value;
            table.push(Column::nullable(ColumnSchema::new(name, "", ""), values.clone())).unwrap();
        }
        let observations =
            Observations::from_table(preparation(PHOTOMETRY).chunk(table).unwrap(), &ReadOptions::default()).unwrap();
        let is_missing = observations.flux_error[[0, 0]].is_infinite();
        let expected = if is_flagged { input_flag::BAD_FLUX } else { 0 };
        assert_eq!(
            (observations.input_flags[0], is_missing),
            (expected, (magnitude, error) != (12.0, 0.03)),
            "{magnitude} {error}"
        );
    }
}

/// Star 2 is in the joined table, stars 1 and 3 are not, and 99 has no spectrum.
#[test]
fn spectra_and_tables_are_joined_on_the_identifier() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.csv");
    let header = "id,j_mag,j_mag_error,h_mag,h_mag_error,ks_mag,ks_mag_error,teff,teff_error,plx,plx_error,ebv,ebv_error,name\n";
    let rows = "2,12,0.03,11.5,0.03,-99,0.03,5000,80,-0.1,0.05,0.2,0.02,b\n99,1,1,1,1,1,1,1,1,1,1,1,1,z\n";
    std::fs::write(&file, format!("{header}{rows}")).unwrap();
    let mut preparation = preparation(&format!(
        "labels = [\"teff\"]\n[xp]\nfiles = [\"x\"]\n[photometry]\nsets = [\"2mass\"]\ncrowding = false\n[[tables]]\n\
         files = [{:?}]\nid = \"id\"\nsentinels = {{ ks_mag = -99 }}\n[tables.rename]\nplx = \"parallax\"\n\
         plx_error = \"parallax_error\"\nebv = \"extinction\"\nebv_error = \"extinction_error\"",
        file.display().to_string()
    ));
    let table = preparation.chunk(xp_table(&[(Some(1e4), Some(1e4)); 3])).unwrap();
    let flux = table.column("flux").unwrap().to_matrix(64).unwrap();
    let missing: Vec<usize> = flux.rows().into_iter().map(|row| row.iter().filter(|flux| flux.is_nan()).count()).collect();
    assert_eq!((missing, notes(&table)), (vec![3, 1, 3], vec![0; 3]));
    for (name, expected) in [("parallax", -0.1), ("teff", 5000.0), ("extinction_error", 0.02)] {
        let values = table.column(name).unwrap().to_f64().unwrap();
        assert!(values[0].is_nan() && values[1] == expected && values[2].is_nan(), "{name}: {values:?}");
    }
    assert_eq!(table.column("name").unwrap().valid, Some(vec![false, true, false]));
    assert_eq!(preparation.finish().n_unmatched.into_values().sum::<usize>(), 1);
}

/// A joined table of one star in other units, and of four that hold what cannot be.
fn in_other_units() -> Table {
    let column = |name: &str, unit: &str, values: [f64; 5]| Column::nullable(ColumnSchema::new(name, unit, ""), values.into());
    let mut id = id_column(&[1, 2, 3, 4, 9]);
    id.valid = Some(vec![true, true, true, true, false]);
    Table::new(vec![
        id,
        column("parallax", "arcsec", [2e-3, -9999.0, 1e20, f64::NAN, 1.0]),
        column("parallax_error", "uas", [20.0, 20.0, 20.0, 20.0, 1.0]),
        column("j_mag", "mag", [12.0, -999.0, 12.0, 12.0, 1.0]),
        column("j_mag_error", "mmag", [20.0, 20.0, -1.0, 1e6, 1.0]),
        column("h_mag", "mag(AB)", [12.0, 12.0, 12.0, 99.0, 1.0]),
        column("h_mag_error", "mag", [0.02, 0.0, 0.02, 0.02, 1.0]),
        column("ks_mag", "", [12.0, f64::INFINITY, 12.0, f64::NAN, 1.0]),
        column("ks_mag_error", "", [0.02, 0.02, 0.02, 0.02, 1.0]),
        column("teff", "kK", [5.8, -9999.0, 9.97e36, 0.0, 1.0]),
        column("teff_error", "K", [80.0, 80.0, 80.0, 80.0, 1.0]),
        column("extinction", "mmag", [150.0, 1e20, -9999.0, 20.0, 1.0]),
        column("extinction_error", "mag", [0.02, 0.02, 0.02, 1e20, 1.0]),
    ])
    .unwrap()
}

fn votable(table: &Table) -> String {
    let datatype = |column: &Column| if column.schema.name == "source_id" { "long" } else { "double" };
    let field = |column: &Column| {
        let ColumnSchema { name, unit, .. } = &column.schema;
        let null = if name == "source_id" { "<VALUES null=\"-1\"/>" } else { "" };
        format!("<FIELD name=\"{name}\" datatype=\"{}\" unit=\"{unit}\">{null}</FIELD>", datatype(column))
    };
    let cell = |column: &Column, row: usize| match &column.values {
        Values::Int64(values) => format!("<TD>{}</TD>", if column.is_valid(row) { values[row] } else { -1 }),
        _ => format!("<TD>{}</TD>", column.to_f64().unwrap()[row].to_string().replace("inf", "Inf")),
    };
    let rows = (0..table.n_rows())
        .map(|row| format!("<TR>{}</TR>", table.columns().iter().map(|column| cell(column, row)).collect::<String>()));
    format!(
        "<VOTABLE version=\"1.4\" xmlns=\"http://www.ivoa.net/xml/VOTable/v1.3\"><RESOURCE><TABLE>{}<DATA><TABLEDATA>{}\
         </TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>",
        table.columns().iter().map(field).collect::<String>(),
        rows.collect::<String>()
    )
}

#[test]
fn units_nulls_and_absurd_numbers_mean_the_same_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "a.fits", "a.ecsv", "a.vot"] {
        let file = folder.path().join(name);
        match name.ends_with(".vot") {
            true => std::fs::write(&file, votable(&in_other_units())).unwrap(),
            false => table::write(&in_other_units(), &file, false).unwrap(),
        }
        // As a joined table and as the stars' own.
        for own in [false, true] {
            let xp = if own { "" } else { "[xp]\nfiles = [\"x\"]\n" };
            let recipe = format!(
                "labels = [\"teff\"]\n{xp}[photometry]\nsets = [\"2mass\"]\ncrowding = false\n[[tables]]\nfiles = [{:?}]",
                file.display().to_string()
            );
            let mut preparation = preparation(&recipe);
            let stars = if own { table::read(&file).unwrap() } else { xp_table(&[(Some(1e4), Some(1e4)); 4]) };
            let prepared = preparation.chunk(stars).unwrap_or_else(|error| panic!("{name}: {error}"));
            let place = format!("{name}, the stars' own: {own}");
            let number = |column: &str, row: usize| prepared.column(column).unwrap().to_f64().unwrap()[row];
            let of_star_1 = ["parallax", "parallax_error", "teff", "teff_error", "extinction", "extinction_error"];
            for (column, expected) in of_star_1.into_iter().zip([2.0, 0.02, 5800.0, 80.0, 0.15, 0.02]) {
                assert!((number(column, 0) / expected - 1.0).abs() < 1e-12, "{place}, {column}: {}", number(column, 0));
                assert!((1..4).all(|row| number(column, row).is_nan()), "{place}, {column}");
            }
            assert_eq!(prepared.column("parallax").unwrap().schema.unit, "mas", "{place}");
            let wavelengths = if own { 3 } else { 64 };
            let flux = prepared.column("flux").unwrap().to_matrix(wavelengths).unwrap();
            let error = prepared.column("flux_error").unwrap().to_matrix(wavelengths).unwrap();
            let [j, h, ks] = [3, 2, 1].map(|from_end| wavelengths - from_end);
            for (band, offset) in [(j, 0.0), (h, -1.39), (ks, 0.0)] {
                let set = crate::survey::photometry::standard_set("2mass").unwrap();
                let expected = set[band - j].flux(12.0 + offset);
                assert!((flux[[0, band]] / expected - 1.0).abs() < 1e-6, "{place}, {band}");
                assert!((error[[0, band]] / flux[[0, band]] - 0.921_034_037 * 0.02).abs() < 1e-6, "{place}, {band}");
            }
            let present = |row: usize| [j, h, ks].map(|band| flux[[row, band]].is_finite());
            assert_eq!([1, 2, 3].map(present), [[false, false, false], [false, true, true], [false; 3]], "{place}");
            let bits =
                [Note::MagnitudeInvalid, Note::ParallaxInvalid, Note::LabelInvalid, Note::ExtinctionInvalid].map(Note::bit);
            let expected = |row: usize| {
                let no_flux = if own && row != 2 { Note::NoFlux.bit() } else { 0 };
                let parallax = if row == 3 { 0 } else { bits[1] };
                bits[0] | Note::FluxImpossible.bit() | parallax | bits[2] | bits[3] | no_flux
            };
            let found = notes(&prepared);
            assert_eq!(found, [0, expected(1), expected(2), expected(3)], "{place}");
            let summary = preparation.finish();
            assert_eq!((summary.n_stars, summary.n_without_id), (4, usize::from(own)), "{place}");
            assert!(own || summary.n_matched.values().eq([&4]));
        }
    }
}

#[test]
fn errors_of_a_joined_table_name_file_row_column_and_cell() {
    let folder = tempfile::tempdir().unwrap();
    let join = |name: &str, table: &Table| {
        let file = folder.path().join(name);
        table::write(table, &file, false).unwrap();
        let recipe = format!("labels = []\n[xp]\nfiles = [\"x\"]\n[[tables]]\nfiles = [{:?}]", file.display().to_string());
        Preparation::new(PrepareRecipe::parse(&recipe).unwrap())
    };
    let text = |cells: [&str; 3]| {
        let column =
            |name: &str| Column::scalar(ColumnSchema::new(name, "mas", ""), Values::Text(cells.map(String::from).into()));
        Table::new(vec![id_column(&[1, 2, 3]), column("parallax"), column("parallax_error")]).unwrap()
    };
    let message = join("text.parquet", &text(["1.5", "2.5", "N/A"])).unwrap_err().to_string();
    assert!(message.contains("text.parquet, column 'parallax', row 2: found the text \"N/A\""), "{message}");
    let mut kelvin = in_other_units();
    let mut parallax = kelvin.column("parallax").unwrap().clone();
    parallax.schema.unit = "K".into();
    kelvin.replace(parallax).unwrap();
    let message = join("kelvin.fits", &kelvin).unwrap_err().to_string();
    assert!(message.contains("kelvin.fits, column 'parallax': found the unit 'K'"), "{message}");
    let message = join("twice.ecsv", &Table::new(vec![id_column(&[1, 2, 1])]).unwrap()).unwrap_err().to_string();
    assert!(message.contains("twice.ecsv, column 'source_id', row 2: found 1 identifiers again (1)"), "{message}");
    let mut nobody = join("nobody.fits", &Table::new(vec![id_column(&[77, 78])]).unwrap()).unwrap();
    nobody.chunk(xp_table(&[(Some(1e4), Some(1e4)); 2])).unwrap();
    let summary = nobody.finish();
    let without = |(name, n): (&String, &usize)| *n == 0 && name.ends_with("nobody.fits");
    assert!(summary.n_matched.len() == 1 && summary.n_matched.iter().all(without), "{summary:?}");
}

/// The given sample files of the kind hold the same eight stars in different units.
#[test]
fn the_sample_files_say_the_same_in_all_their_units() {
    let Some(data) = shared_data() else { return };
    let mut found = Vec::new();
    for name in ["units__plx_err_uas.fits", "units__plx_arcsec.ecsv", "units__mag_err_mmag.fits"] {
        let file = data.join("faulty_files").join(name);
        if !file.is_file() {
            return;
        }
        let recipe = "labels = []\n[photometry]\nsets = [\"2mass\"]\ncrowding = false\n[[tables]]\nfiles = [";
        let recipe = PrepareRecipe::parse(&format!("{recipe}{:?}]", file.display().to_string())).unwrap();
        let output = tempfile::tempdir().unwrap();
        let output = output.path().join("out.parquet");
        prepare(recipe, &output, false).unwrap();
        let table = table::read(&output).unwrap();
        let numbers = |column: &str| table.column(column).unwrap().flat_f64().unwrap();
        found.push(["parallax", "parallax_error", "flux", "flux_error"].map(numbers));
    }
    for other in &found[1..] {
        for (first, other) in found[0].iter().zip(other) {
            let same = |(a, b): (&f64, &f64)| a.is_nan() && b.is_nan() || (a / b - 1.0).abs() < 1e-6;
            assert!(first.iter().zip(other).all(same), "{first:?} {other:?}");
        }
    }
}

#[test]
fn absurd_coefficients_are_no_spectrum() {
    let mut preparation = preparation("labels = []\n[xp]\nfiles = [\"x\"]");
    let table = preparation.chunk(xp_table(&[(Some(1e30), Some(1e4)), (Some(1e4), Some(1e4))])).unwrap();
    assert_eq!(notes(&table), [Note::SpectrumUnusable.bit() | Note::FluxImpossible.bit() | Note::NoFlux.bit(), 0]);
    let covariance = table.column("xp_covariance_triu").unwrap().to_matrix(1891).unwrap();
    assert!(covariance.row(0).iter().all(|value| value.is_nan()));
}

#[test]
fn bands_of_a_model_that_no_table_has_are_missing() {
    let names = ["j", "u", "h", "ks"].map(String::from);
    let fitted = |wavelengths: [f64; 4]| preparation(PHOTOMETRY).for_data_vector(&names, &wavelengths);
    let table = fitted([1235.0, 360.0, 1662.0, 2159.0]).unwrap().chunk(photometry_table()).unwrap();
    let flux = table.column("flux").unwrap().to_matrix(4).unwrap();
    assert!(flux[[0, 0]] > 0.0 && flux[[0, 3]] > 0.0 && flux.column(1).iter().all(|flux| flux.is_nan()));
    assert_eq!(table.metadata["bands"], "[\"j\",\"u\",\"h\",\"ks\"]");
    let message = fitted([1235.0, 360.0, 1600.0, 2159.0]).unwrap_err().to_string();
    assert!(message.contains("'h' at 1662 nm"), "{message}");
    let xp = || preparation("[xp]\nfiles = [\"x\"]\ngrid = { wavelengths = [400, 500] }");
    let names = ["xp_400", "xp_500", "j"].map(String::from);
    assert!(xp().for_data_vector(&names, &[400.0, 500.0, 1235.0]).is_ok());
    let message = xp().for_data_vector(&names[1..], &[500.0, 1235.0]).unwrap_err().to_string();
    assert!(message.contains("'xp_400' at 400 nm"), "{message}");
}

#[test]
fn duplicates_across_chunks_are_named_or_dropped() {
    let mut strict = preparation(PHOTOMETRY);
    strict.chunk(photometry_table()).unwrap();
    let message = strict.chunk(photometry_table()).unwrap_err().to_string();
    assert!(message.contains("3 identifiers again (10, 11, 12)"), "{message}");
    let mut lenient = preparation(&format!("duplicates = \"keep-first\"\n{PHOTOMETRY}"));
    lenient.chunk(photometry_table()).unwrap();
    assert_eq!(lenient.chunk(photometry_table()).unwrap().n_rows(), 0);
    assert_eq!((lenient.summary.n_stars, lenient.summary.n_duplicates), (3, 3));
}

#[test]
fn missing_and_reserved_columns_are_named() {
    let message = |change: fn(&mut Table)| {
        let mut table = photometry_table();
        change(&mut table);
        preparation(PHOTOMETRY).chunk(table).unwrap_err().to_string()
    };
    assert!(message(|table| drop(table.take("norm_dg"))).contains("photometry.crowding = false"));
    assert!(message(|table| drop(table.take("teff"))).contains("'teff'"));
    assert!(message(|table| drop(table.take("h_mag_error"))).contains("'h_mag_error'"));
    let reserved = message(|table| {
        let mut column = table.take("bprp").unwrap();
        column.schema.name = "flux".into();
        table.push(column).unwrap();
    });
    assert!(reserved.contains("'flux'") && reserved.contains("tables.rename"), "{reserved}");
}

/// The real overlap: all 8 964 stars, and in every band as many fluxes as astropy 8.0.2 finds unmasked
/// magnitudes.
#[test]
fn the_lamost_overlap_is_prepared_completely() {
    let Some(data) = shared_data() else { return };
    let text = include_str!("../../../../models/recipes/prepare-photometry-lamost.toml");
    let recipe = PrepareRecipe::parse(
        &text.replace("lamost_overlap_8964.fits", &data.join("overlap_photometry/lamost_overlap_8964.fits").to_string_lossy()),
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("lamost.parquet");
    let summary = prepare(recipe.clone(), &output, false).unwrap();
    assert_eq!((summary.n_stars, summary.noted.len()), (8964, 0), "{summary:?}");
    assert!(prepare(recipe, &output, false).unwrap_err().to_string().contains("lamost.parquet"));
    let table = table::read(&output).unwrap();
    let flux = table.column("flux").unwrap().to_matrix(13).unwrap();
    let missing: Vec<usize> = flux.columns().into_iter().map(|band| band.iter().filter(|flux| flux.is_nan()).count()).collect();
    assert_eq!(missing, [0, 8, 8, 1249, 2210, 2732, 1854, 975, 511, 692, 1111, 6059, 2701]);
    let parallax = table.column("parallax").unwrap().to_f64().unwrap();
    let mean = parallax.iter().sum::<f64>() / parallax.len() as f64;
    assert!((mean - 1.016_733).abs() < 1e-5, "{mean}");
    assert!(table.get("extinction").is_some() && table.get("g_mag").is_some());
}

#[test]
fn real_spectra_are_prepared_from_a_file() {
    let Some(data) = shared_data() else { return };
    let file = data.join("xp_continuous/XP_CONTINUOUS_RAW_with_missing_BP.fits");
    let recipe = PrepareRecipe::parse(&format!("labels = []\n[xp]\nfiles = [{:?}]", file.display().to_string())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("xp.parquet");
    prepare(recipe, &output, false).unwrap();
    let table = table::read(&output).unwrap();
    assert_eq!(table.column("source_id").unwrap().to_i64().unwrap()[1], 5405570973190252288);
    assert_eq!(notes(&table), [0, Note::BpMissing.bit(), 0]);
    assert_eq!(table.column("xp_covariance_triu").unwrap().to_matrix(1891).unwrap().nrows(), 3);
}
