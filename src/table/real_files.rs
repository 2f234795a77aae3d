//! The real files: that all of them can be read, and that values agree with astropy 8.0.2 and pyarrow 26.0.1.

use super::{Shape, Table, read, read_chunks, read_columns};
use crate::testing::shared_data;
use std::path::Path;

fn value(table: &Table, name: &str, row: usize, position: usize) -> f64 {
    let column = table.column(name).unwrap();
    column.flat_f64().unwrap()[column.range(row).start + position]
}

fn n_null(table: &Table, name: &str) -> usize {
    let column = table.column(name).unwrap();
    (0..table.n_rows()).filter(|&row| !column.is_valid(row)).count()
}

#[test]
fn xp_continuous_spectra_agree_in_all_formats() {
    let Some(data) = shared_data() else { return };
    let folder = data.join("xp_continuous");
    for extension in ["csv", "fits", "xml"] {
        let table = read(&folder.join(format!("XP_CONTINUOUS_RAW_with_missing_BP.{extension}"))).unwrap();
        let ids = table.column("source_id").unwrap().to_i64().unwrap();
        assert_eq!(ids, [5_853_498_713_190_525_696, 5_405_570_973_190_252_288, 5_762_406_957_886_626_816], "{extension}");
        let coefficients = table.column("bp_coefficients").unwrap();
        assert_eq!(coefficients.shape, Shape::Variable(vec![0, 55, 55, 110]), "{extension}");
        assert_eq!(coefficients.valid, Some(vec![true, false, true]), "{extension}");
        assert_eq!(value(&table, "bp_coefficients", 0, 0), 56_947.036_968_401_72, "{extension}");
        assert_eq!(table.column("bp_n_parameters").unwrap().valid, Some(vec![true, false, true]), "{extension}");
        let correlations = table.column("rp_coefficient_correlations").unwrap();
        assert_eq!(correlations.shape, Shape::Variable(vec![0, 1485, 2970, 4455]), "{extension}");
        assert_eq!(value(&table, "rp_coefficient_correlations", 2, 1484) as f32, 0.215_742_29, "{extension}");
        if extension != "csv" {
            assert_eq!(coefficients.schema.ucd, "stat.fit.param");
            assert_eq!(coefficients.schema.description, "Basis function coefficients for the BP spectrum representation");
        }
    }
}

#[test]
fn binary2_and_tabledata_agree() {
    let Some(data) = shared_data() else { return };
    let folder = data.join("xp_continuous");
    let [a, b] = ["XP_CONTINUOUS_RAW_missing_BP_dr3int6.xml", "XP_CONTINUOUS_RAW_missing_BP_votable_dr3int6.xml"]
        .map(|name| read(&folder.join(name)).unwrap());
    // Someone set this one column to 0 in the second file.
    for (a, b) in a.columns().iter().zip(b.columns()).filter(|(a, _)| a.schema.name != "solution_id") {
        assert!(a.same_as(b), "{a:?} is not {b:?}");
    }
    assert_eq!(value(&a, "rp_coefficients", 0, 0), 38.180_185_016_648_83);
}

#[test]
fn catalogues_agree_with_astropy() {
    let Some(data) = shared_data() else { return };
    let table = read(&data.join("catalogues/galah_1061.fits")).unwrap();
    assert_eq!((table.n_rows(), table.columns().len()), (1061, 215));
    assert_eq!(table.column("dr3_source_id").unwrap().to_i64().unwrap()[0], 4_667_213_730_748_377_728);
    assert_eq!(value(&table, "teff", 0, 0), 4_230.414_550_781_25);
    let table = read(&data.join("catalogues/apogee_hipparcos_3244.fits.gz")).unwrap();
    assert_eq!((table.n_rows(), table.columns().len()), (3244, 182));
    assert_eq!(value(&table, "PARAM_COV", 0, 2), 0.0);
    assert_eq!(value(&table, "STABLERV_CHI2", 5, 1), f64::from(338.077_64_f32));
    assert_eq!((n_null(&table, "STARFLAGS"), n_null(&table, "GroupID")), (972, 2795));
    let table = read(&data.join("catalogues/gaia_lamost_1838.csv")).unwrap();
    assert_eq!(table.column("source_id").unwrap().to_i64().unwrap()[0], 3_089_803_084_812_330_368);
    assert_eq!(value(&table, "parallax", 0, 0), 1.355_037_090_439_571_2);
    let table = read(&data.join("overlap_photometry/lamost_overlap_8964.fits")).unwrap();
    assert_eq!((table.n_rows(), n_null(&table, "w1_mag"), n_null(&table, "ps_z_mag")), (8964, 6059, 1854));
    assert_eq!(value(&table, "teff", 0, 0), f64::from(6_294.191_4_f32));
    assert_eq!(table.column("parallax").unwrap().schema.unit, "mas");
    let table = read(&data.join("xp_calspec/calspec10_flux.parquet")).unwrap();
    assert_eq!(table.n_rows(), 10);
    assert_eq!(value(&table, "wavelength", 0, 0), 335.999_999_999_999_94);
    let path = data.join("xp_field/field2000_xp_coeff_err.fits.gz");
    let chunks: Vec<Table> = read_chunks(&path, 300).unwrap().map(Result::unwrap).collect();
    assert_eq!(chunks.iter().map(Table::n_rows).sum::<usize>(), 2000);
    assert_eq!(value(&chunks[6], "bp_coeff_0", 199, 0), f64::from(59.481_625_f32));
    assert_eq!(value(&chunks[2], "e_rp_coeff_54", 100, 0), f64::from(0.049_529_165_f32));
    assert_eq!(read_columns(&path, &["source_id"]).unwrap().columns().len(), 1);
}

/// Every table in the folder of real data, whatever it holds.
#[test]
fn everything_else_is_read_or_refused_by_name() {
    fn visit(folder: &Path, n_read: &mut usize) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                // The faulty ones have tests of their own.
                if !path.ends_with("faulty_files") {
                    visit(&path, n_read);
                }
            } else if super::Format::from_extension(&path).is_some() {
                match read(&path) {
                    Ok(_) => *n_read += 1,
                    // LAMOST's spectra are images, and Gaia's calibrations are XML of another kind.
                    Err(error) => {
                        let error = error.to_string();
                        assert!(
                            ["no binary table in it", "no table with data", "an XML document of <"]
                                .iter()
                                .any(|found| error.contains(found)),
                            "{error}"
                        );
                    }
                }
            }
        }
    }
    let Some(data) = shared_data() else { return };
    let mut n_read = 0;
    visit(&data, &mut n_read);
    assert!(n_read > 50);
}

/// The text formats among `faulty_files`, whose README says what must come out.
#[test]
fn faulty_text_files_are_read_or_refused_by_name() {
    let Some(data) = shared_data() else { return };
    let folder = data.join("faulty_files");
    let path = |name: &str| folder.join(name);
    for name in ["csv_dialects__bom.csv", "ecsv_details__bom.ecsv", "ecsv_details__object.ecsv"] {
        let table = read(&path(name)).unwrap();
        assert_eq!(table.column("source_id").unwrap().to_i64().unwrap()[0], 5_058_332_089_556_183_073, "{name}");
    }
    let table = read(&path("csv_dialects__null_NA.csv")).unwrap();
    let error = table.column("j_mag").unwrap().to_f64().unwrap_err().to_string();
    assert!(error.contains("null_NA.csv, line 3, column 'j_mag': found '<NA>'"), "{error}");
    let started = std::time::Instant::now();
    for (name, found) in [
        ("csv_dialects__dupname.csv", "dupname.csv, line 1: found the name 'parallax' twice, for columns 2 and 14"),
        ("hostile__A2_ecsv_yaml_aliases_HANG.ecsv", "YAML whose aliases stand for very much"),
    ] {
        let error = read(&path(name)).unwrap_err().to_string();
        assert!(error.contains(found), "{error}");
    }
    for name in ["hostile__A4_ecsv_length_1e11_SIGABRT.ecsv", "hostile__A4_ecsv_length_2e63_PANIC.ecsv"] {
        let error = read(&path(name)).unwrap_err().to_string();
        assert!(error.contains("column 'a'") && error.contains("found lists of the type 'float64["), "{error}");
    }
    assert_eq!(read(&path("hostile__A6_column_name_65536_PANIC_inspect.csv")).unwrap().columns().len(), 1);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
