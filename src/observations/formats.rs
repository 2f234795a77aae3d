//! The same observations in every format: units, nulls and covariances with holes mean the same in each.

use super::{Observations, ReadOptions, input_flag};
use crate::noise::triangle;
use crate::quantity::{COVARIANCE_UNIT, FLUX_UNIT};
use crate::table::{self, Column, ColumnSchema, Shape, Table, Values};
use std::path::PathBuf;

const CGS: &str = "1e-15 erg / (Angstrom s cm2)";
const CGS_SQUARED: &str = "1e-30 erg2 / (Angstrom2 s2 cm4)";
const N: usize = 4;
const W: usize = 4;
const B: usize = 3;

fn schema(name: &str, unit: &str) -> ColumnSchema {
    ColumnSchema::new(name, unit, "")
}

/// Lists of equal length, or, for formats and programs that have no such type, of varying length; `None` is
/// null.
fn lists(schema: ColumnSchema, rows: &[Option<Vec<f32>>], is_fixed: bool) -> Column {
    let length = rows.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let valid: Vec<bool> = rows.iter().map(Option::is_some).collect();
    let valid = valid.contains(&false).then_some(valid);
    if is_fixed {
        let values = rows.iter().flat_map(|row| row.clone().unwrap_or_else(|| vec![f32::NAN; length])).collect();
        return Column { valid, ..Column::fixed(schema, Values::Float32(values), length) };
    }
    let mut offsets = vec![0];
    rows.iter().for_each(|row| offsets.push(offsets[offsets.len() - 1] + row.as_ref().map_or(0, Vec::len)));
    Column {
        schema,
        values: Values::Float32(rows.iter().flatten().flatten().copied().collect()),
        shape: Shape::Variable(offsets),
        valid,
    }
}

fn covariance(element: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..B).flat_map(|i| (i..B).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

fn regular(i: usize, j: usize) -> f32 {
    if i == j { 1.0 + i as f32 } else { 0.1 }
}

/// Four stars: a regular one, one without covariance, one whose flux 1 has no covariances, one without flux.
/// `unit` multiplies flux and error, and its square the covariance.
fn observations(unit: [&str; 2], scale: f32, is_fixed: bool, nulls_first: bool) -> Table {
    let nan = f32::NAN;
    let flux = |scale: f32| Some((0..W).map(|i| scale * (10.0 + i as f32)).collect::<Vec<f32>>());
    let error = Some((0..W).map(|i| scale * (1.0 + i as f32).sqrt()).collect::<Vec<f32>>());
    let hole = |i: usize, j: usize| if (i == 1) != (j == 1) { nan } else { regular(i, j) };
    let scaled = |mut list: Vec<f32>| {
        list.iter_mut().for_each(|value| *value *= scale * scale);
        Some(list)
    };
    let mut covariances = vec![scaled(covariance(regular)), None, scaled(covariance(hole)), scaled(covariance(regular))];
    let mut fluxes = vec![flux(scale), flux(scale), flux(scale), None];
    let mut ids = vec![1, 2, 3, 4];
    if nulls_first {
        covariances.swap(0, 1);
        fluxes.swap(0, 1);
        ids.swap(0, 1);
    }
    let mut table = Table::new(vec![
        Column::scalar(schema("source_id", ""), Values::Int64(ids)),
        lists(schema("flux", unit[0]), &fluxes, is_fixed),
        lists(schema("flux_error", unit[0]), &vec![error; N], is_fixed),
        lists(schema("xp_covariance_triu", unit[1]), &covariances, is_fixed),
        Column::nullable(schema("parallax", "arcsec"), vec![2e-3, -9999.0, f64::NAN, 1e-3]),
        Column::nullable(schema("parallax_error", "uas"), vec![20.0, 20.0, 20.0, 1e20]),
        Column::nullable(schema("teff", "kK"), vec![5.8, 1e20, 5.0, 4.0]),
        Column::nullable(schema("teff_error", "K"), vec![80.0, 80.0, f64::NAN, 70.0]),
    ])
    .unwrap();
    for (key, value) in [("wavelengths", "[400.0, 410.0, 420.0, 1235.0]"), ("bands", r#"["xp_400", "xp_410", "xp_420", "j"]"#)] {
        table.metadata.insert(key.into(), value.into());
    }
    table.metadata.insert("flux_unit".into(), FLUX_UNIT.into());
    table
}

fn options() -> ReadOptions {
    ReadOptions {
        constraints: ["parallax", "teff"].map(String::from).into(),
        flux_unit: Some(FLUX_UNIT.into()),
        ..Default::default()
    }
}

/// A VOTable with these columns, as TABLEDATA: a null list is an empty cell.
fn votable(table: &Table) -> String {
    let metadata = table.metadata.iter().map(|(key, value)| {
        format!("<PARAM name=\"{key}\" datatype=\"char\" arraysize=\"*\" value=\"{}\"/>", value.replace('"', "&quot;"))
    });
    let field = |column: &Column| {
        let (datatype, size) = match (&column.values, &column.shape) {
            (Values::Int64(_), _) => ("long", ""),
            (Values::Float32(_), _) => ("float", " arraysize=\"*\""),
            _ => ("double", ""),
        };
        let ColumnSchema { name, unit, .. } = &column.schema;
        format!("<FIELD name=\"{name}\" datatype=\"{datatype}\"{size} unit=\"{unit}\"/>")
    };
    let cell = |column: &Column, row: usize| -> String {
        let range = if column.is_valid(row) { column.range(row) } else { 0..0 };
        let texts: Vec<String> = match &column.values {
            Values::Int64(values) => values[range].iter().map(i64::to_string).collect(),
            Values::Float32(values) => values[range].iter().map(f32::to_string).collect(),
            Values::Float64(values) => values[range].iter().map(f64::to_string).collect(),
            _ => Vec::new(),
        };
        format!("<TD>{}</TD>", texts.join(" "))
    };
    let rows = (0..table.n_rows())
        .map(|row| format!("<TR>{}</TR>", table.columns().iter().map(|column| cell(column, row)).collect::<String>()));
    format!(
        "<VOTABLE version=\"1.4\" xmlns=\"http://www.ivoa.net/xml/VOTable/v1.3\"><RESOURCE><TABLE>{}{}<DATA><TABLEDATA>{}\
         </TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>",
        metadata.collect::<String>(),
        table.columns().iter().map(field).collect::<String>(),
        rows.collect::<String>()
    )
}

/// The table through files of every format that can hold it.
fn through_files(table: &Table) -> Vec<(String, Table)> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| -> PathBuf {
        let path = folder.path().join(name);
        match name.ends_with(".vot") {
            true => std::fs::write(&path, votable(table)).unwrap(),
            false => table::write(table, &path, false).unwrap(),
        }
        path
    };
    ["a.parquet", "a.fits", "a.ecsv", "a.vot"].iter().map(|name| (name.to_string(), table::read(&write(name)).unwrap())).collect()
}

fn require_same(found: &Observations, expected: &Observations, place: &str) {
    let close = |a: &f32, b: &f32| a == b || (a / b - 1.0).abs() < 1e-6;
    assert_eq!(found.ids, expected.ids, "{place}");
    assert!(found.flux.iter().zip(&expected.flux).all(|(a, b)| close(a, b)), "{place}: {} {}", found.flux, expected.flux);
    assert!(found.flux_error.iter().zip(&expected.flux_error).all(|(a, b)| close(a, b)), "{place}");
    assert!(found.whitening.triangle.iter().zip(&expected.whitening.triangle).all(|(a, b)| (a - b).abs() < 1e-6), "{place}");
    assert_eq!(found.input_flags, expected.input_flags, "{place}");
    assert_eq!(found.flux_unit, expected.flux_unit, "{place}");
}

#[test]
fn holes_and_units_mean_the_same_in_every_format() {
    let expected = Observations::from_table(observations([FLUX_UNIT, COVARIANCE_UNIT], 1.0, true, false), &options()).unwrap();
    let bad = input_flag::BAD_FLUX;
    let constraint = input_flag::BAD_CONSTRAINT;
    assert_eq!(expected.input_flags, [0, bad | constraint, bad, input_flag::NO_FLUX | constraint]);
    assert_eq!((0..N).map(|star| expected.n_fluxes(star)).collect::<Vec<_>>(), [4, 1, 3, 0]);
    assert!(expected.flux_error[[2, 1]].is_infinite() && expected.flux[[2, 1]] == 0.0);
    assert_eq!((0..N).map(|star| expected.whitening.n_present(star)).collect::<Vec<_>>(), [4, 1, 3, 0]);
    for (unit, scale) in [([FLUX_UNIT, COVARIANCE_UNIT], 1.0), ([CGS, CGS_SQUARED], 0.1), (["", ""], 1.0)] {
        for is_fixed in [true, false] {
            for (format, table) in through_files(&observations(unit, scale, is_fixed, false)) {
                let place = format!("{format}, {}, fixed: {is_fixed}", unit[0]);
                let found = Observations::from_table(table, &options()).unwrap_or_else(|error| panic!("{place}: {error}"));
                require_same(&found, &expected, &place);
                assert_eq!(found.constraint("parallax", 0), Some((2.0, 0.02)), "{place}");
                assert_eq!((1..N).filter(|&star| found.constraint("parallax", star).is_some()).count(), 0, "{place}");
                assert_eq!(found.constraint("teff", 0), Some((5800.0, 80.0)), "{place}");
                assert_eq!(found.constraint("teff", 3), Some((4000.0, 70.0)), "{place}");
                assert_eq!((found.constraint("teff", 1), found.constraint("teff", 2)), (None, None), "{place}");
                let parallax = found.auxiliary.column("parallax").unwrap();
                assert_eq!(parallax.schema.unit, "mas");
                assert!(parallax.to_f64().unwrap()[1].is_nan(), "what is beyond reason is carried on as missing");
            }
        }
    }
}

/// A number that means "no value" is judged as the file has it: times a factor and divided by it again it is
/// another one.
#[test]
fn sentinels_among_fluxes_are_found_in_every_unit() {
    let sentinels = [-99.0, -99.9, -99.99, -999.0, -999.9, -999.99, -9999.0, -9999.9, -99_999.0];
    for (unit, scale) in
        [(FLUX_UNIT, 1.0), (CGS, 0.1), ("1e-17 erg/s/cm2/AA", 10.0), ("mW/m2/nm", 1e-15), ("1e-14 erg/s/cm2/AA", 0.01)]
    {
        for sentinel in sentinels {
            for is_double in [false, true] {
                let mut table = observations([unit, ""], 1.0, true, false);
                table.take("xp_covariance_triu");
                table.metadata.remove("flux_unit");
                for name in ["flux", "flux_error"] {
                    let mut column = table.take(name).unwrap();
                    let mut values: Vec<f64> = column.flat_f64().unwrap().into_iter().map(|value| scale * value).collect();
                    if name == "flux" {
                        values[2] = sentinel;
                    }
                    column.values = match is_double {
                        true => Values::Float64(values),
                        false => Values::Float32(values.into_iter().map(|value| value as f32).collect()),
                    };
                    table.push(column).unwrap();
                }
                let found = Observations::from_table(table, &options()).unwrap();
                let place = format!("{sentinel} in {unit}, double: {is_double}");
                assert!(found.flux_error[[0, 2]].is_infinite(), "{place}");
                assert_eq!((found.flux[[0, 2]], found.n_fluxes(0)), (0.0, 3), "{place}");
                assert!(found.input_flags[0] & input_flag::BAD_FLUX != 0, "{place}");
            }
        }
    }
}

/// Flux in another unit than the metadata say, as programs leave them that convert a column: a covariance
/// without a unit could be of either.
#[test]
fn covariances_that_could_be_of_two_units_are_refused() {
    let mut table = observations([CGS, ""], 0.1, true, false);
    let error = Observations::from_table(table.clone(), &options()).unwrap_err().to_string();
    assert!(error.contains("'xp_covariance_triu': found no unit, beside flux in") && error.contains(FLUX_UNIT), "{error}");
    table.metadata.remove("flux_unit");
    assert!(
        Observations::from_table(table, &options()).is_ok(),
        "with one statement, errors and covariances are in the unit of the flux"
    );
}

#[test]
fn a_null_covariance_may_come_first_or_be_all_there_is() {
    let expected = Observations::from_table(observations([FLUX_UNIT, COVARIANCE_UNIT], 1.0, true, true), &options()).unwrap();
    for is_fixed in [true, false] {
        for (format, table) in through_files(&observations([FLUX_UNIT, COVARIANCE_UNIT], 1.0, is_fixed, true)) {
            require_same(&Observations::from_table(table, &options()).unwrap(), &expected, &format);
        }
        for name in ["xp_covariance_triu", "flux_covariance_triu"] {
            let mut table = observations([FLUX_UNIT, COVARIANCE_UNIT], 1.0, is_fixed, false);
            table.take("xp_covariance_triu");
            table.push(lists(schema(name, ""), &vec![None; N], false)).unwrap();
            let found = Observations::from_table(table, &options()).unwrap();
            let n_present = if name == "xp_covariance_triu" { 1 } else { 0 };
            assert_eq!((0..3).map(|star| found.n_fluxes(star)).collect::<Vec<_>>(), [n_present; 3], "{name}");
            assert!(found.input_flags[..3].iter().all(|flags| flags & input_flag::BAD_FLUX != 0));
        }
    }
}

#[test]
fn variances_that_cannot_be_go_alone() {
    for (bad, is_flagged) in [(0.0, true), (-1.0, true), (f32::NAN, true), (f32::INFINITY, true), (2.0, false)] {
        let mut table = observations([FLUX_UNIT, COVARIANCE_UNIT], 1.0, true, false);
        let mut covariances = table.column("xp_covariance_triu").unwrap().clone();
        if let Values::Float32(values) = &mut covariances.values {
            values[triangle::upper(1, 1, B)] = bad;
        }
        table.replace(covariances).unwrap();
        // The model's error must not make a variance positive that was not.
        let options = ReadOptions { model_error: vec![0.5; W], ..options() };
        let found = Observations::from_table(table, &options).unwrap();
        assert_eq!(found.n_fluxes(0), if is_flagged { 3 } else { 4 }, "{bad}");
        assert_eq!(found.input_flags[0] & input_flag::BAD_FLUX != 0, is_flagged, "{bad}");
    }
}

#[test]
fn flux_units_of_another_kind_are_refused_and_others_are_kept() {
    let read = |unit: [&str; 2], wanted: Option<&str>| {
        let options = ReadOptions { flux_unit: wanted.map(String::from), ..options() };
        let mut table = observations(unit, 1.0, true, false);
        table.metadata.remove("flux_unit");
        Observations::from_table(table, &options)
    };
    for (unit, column) in [(["Jy", ""], "'flux'"), ([FLUX_UNIT, FLUX_UNIT], "'xp_covariance_triu'"), (["dex", ""], "'flux'")] {
        let message = read(unit, Some(FLUX_UNIT)).unwrap_err().to_string();
        assert!(message.contains(column) && message.contains(FLUX_UNIT), "{message}");
    }
    // A training takes the unit of its observations: that of this program for flux of stars, another as it
    // is.
    assert_eq!(read([CGS, CGS_SQUARED], None).unwrap().flux_unit, FLUX_UNIT);
    assert_eq!(read([CGS, CGS_SQUARED], None).unwrap().flux[[0, 0]], 100.0);
    let counts = read(["ct/s", "ct2/s2"], None).unwrap();
    assert_eq!((counts.flux_unit.as_str(), counts.flux[[0, 0]]), ("ct/s", 10.0));
    assert_eq!(read(["", ""], None).unwrap().flux_unit, "");
    assert_eq!(read(["foo", ""], None).unwrap().flux_unit, "");
    assert_eq!(read([CGS, ""], Some("")).unwrap().flux[[0, 0]], 10.0, "a model that knows no unit takes flux as it is");
    // The column's unit wins over metadata that a program left behind.
    let mut stale = observations([CGS, CGS_SQUARED], 0.1, true, false);
    stale.metadata.insert("flux_unit".into(), FLUX_UNIT.into());
    assert_eq!(Observations::from_table(stale, &options()).unwrap().flux[[0, 0]], 10.0);
    let mut by_metadata = observations(["", ""], 0.1, true, false);
    by_metadata.metadata.insert("flux_unit".into(), CGS.into());
    assert_eq!(Observations::from_table(by_metadata, &options()).unwrap().flux[[0, 0]], 10.0);
}

#[test]
fn wavelengths_and_positions_may_have_other_units() {
    let mut table = observations([FLUX_UNIT, COVARIANCE_UNIT], 1.0, true, false);
    table.metadata.insert("wavelengths".into(), "[4000, 4100, 4200, 12350]".into());
    table.metadata.insert("wavelength_unit".into(), "Angstrom".into());
    table.push(Column::nullable(schema("ra", "rad"), vec![1.0; N])).unwrap();
    table.push(Column::scalar(schema("dec", "deg"), Values::Text(vec!["+12:30".into(); N]))).unwrap();
    let found = Observations::from_table(table.clone(), &options()).unwrap();
    assert!((found.grid.wavelength[3] - 1235.0).abs() < 1e-9);
    let ra = found.auxiliary.column("ra").unwrap();
    assert!((ra.to_f64().unwrap()[0] - 57.295_779_513_082_32).abs() < 1e-12 && ra.schema.unit == "deg");
    table.metadata.insert("wavelength_unit".into(), "Hz".into());
    let message = Observations::from_table(table, &options()).unwrap_err().to_string();
    assert!(message.contains("wavelength_unit") && message.contains("'Hz'"), "{message}");
}

/// The given sample files of the kind, whose README asks for this.
#[test]
fn the_sample_files_keep_their_other_fluxes() {
    let Some(data) = crate::testing::shared_data() else { return };
    let folder = data.join("faulty_files");
    let options = ReadOptions { constraints: vec!["parallax".into()], flux_unit: Some(FLUX_UNIT.into()), ..Default::default() };
    for (name, star, n_fluxes) in [
        ("bad_covariance__nan_row_of_one_flux.parquet", 0, 1),
        ("bad_covariance__null_first.parquet", 0, 61),
        ("bad_covariance__only_variances.parquet", 0, 61),
        ("hostile__D1_covariance_row_30_nan.parquet", 1, 1),
    ] {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let mut table = table::read(&path).unwrap();
        let read = Observations::from_table(table.clone(), &options).unwrap();
        table.take("xp_covariance_triu");
        let without = Observations::from_table(table, &options).unwrap();
        assert_eq!(without.n_fluxes(star) - read.n_fluxes(star), n_fluxes, "{name}");
        assert!(read.input_flags[star] & input_flag::BAD_FLUX != 0, "{name}");
        assert_eq!(read.n_fluxes(star), read.whitening.n_present(star), "{name}");
    }
}

#[test]
fn warnings_name_the_first_of_several_files() {
    for file in ["first of many.fits", "second of many.fits"] {
        let mut table = observations(["furlong", ""], 1.0, true, false);
        table.metadata.remove("flux_unit");
        let mut parallax = table.column("parallax").unwrap().clone();
        parallax.schema.unit = "arcs of warmth".into();
        table.replace(parallax).unwrap();
        Observations::from_table_of(file, table, &options()).unwrap();
    }
    let said = crate::warning::said();
    let about = |text: &str| said.iter().filter(|warning| warning.contains(text)).cloned().collect::<Vec<_>>();
    let [flux, parallax] = [about("column 'flux': the unit 'furlong'"), about("column 'parallax': the unit 'arcs of warmth'")];
    assert_eq!(
        flux,
        ["first of many.fits, column 'flux': the unit 'furlong' is not known ('furlong' is not understood) and taken for none"]
    );
    assert_eq!(
        parallax,
        ["first of many.fits, column 'parallax': the unit 'arcs of warmth' is not known; its numbers are taken in mas"]
    );
}
