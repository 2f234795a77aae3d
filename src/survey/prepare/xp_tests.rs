//! Tests of preparing XP spectra of several kinds and instruments, from files.

use super::*;
use crate::survey::Source;
use crate::survey::xp::{Instrument, archive_wavelengths};
use crate::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;

fn integers(name: &str, values: &[i64]) -> Column {
    Column::scalar(ColumnSchema::new(name, "", ""), Values::Int64(values.to_vec()))
}

fn same_lists(name: &str, values: Vec<f64>, n_rows: usize) -> Column {
    let length = values.len();
    Column::fixed(ColumnSchema::new(name, "", ""), Values::Float64(values.repeat(n_rows)), length)
}

/// Three stars with `n` coefficients in either band.
fn continuous(n: usize) -> Table {
    let mut table = Table::new(vec![integers("source_id", &[1, 2, 3])]).unwrap();
    for band in ["bp", "rp"] {
        let coefficients = (0..n).map(|k| 1e4 * (-(k as f64)).exp()).collect();
        for (name, values) in [
            ("coefficients", coefficients),
            ("coefficient_errors", vec![1.0; n]),
            ("coefficient_correlations", vec![0.01; n * (n - 1) / 2]),
        ] {
            table.push(same_lists(&format!("{band}_{name}"), values, 3)).unwrap();
        }
    }
    table
}

fn sampled() -> Table {
    let fluxes: Vec<f64> = (0..343).map(|k| 1e-16 * (1.0 + 0.01 * f64::from(k))).collect();
    let errors = fluxes.iter().map(|flux| 0.05 * flux).collect();
    Table::new(vec![integers("source_id", &[1, 2]), same_lists("flux", fluxes, 2), same_lists("flux_error", errors, 2)]).unwrap()
}

/// The lists of a table as text, as files without arrays have them.
fn with_text(table: &Table) -> Table {
    let columns = table.columns().iter().map(|column| {
        if column.schema.name == "source_id" {
            return column.clone();
        }
        let flat = column.flat_f64().unwrap();
        let texts = (0..column.n_rows()).map(|row| format!("{:?}", &flat[column.range(row)])).collect();
        Column::scalar(column.schema.clone(), Values::Text(texts))
    });
    Table::new(columns.collect()).unwrap()
}

/// Prepares the file of that name with further keys of `[xp]`.
fn prepared(folder: &Path, name: &str, keys: &str) -> crate::error::Result<(Table, Summary)> {
    let file = folder.join(name).display().to_string();
    let recipe = PrepareRecipe::parse(&format!("labels = []\n[xp]\nfiles = [{file:?}]\n{keys}"))?;
    let output = folder.join("prepared.parquet");
    let summary = prepare(recipe, &output, true)?;
    Ok((table::read(&output)?, summary))
}

fn fluxes(table: &Table) -> Vec<f64> {
    table.column("flux").unwrap().flat_f64().unwrap()
}

#[test]
fn every_format_gives_the_same_fluxes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (kind, table) in [("continuous", continuous(55)), ("sampled", sampled())] {
        let text = with_text(&table);
        table::write(&table, &path.join("a.parquet"), true).unwrap();
        let (expected, _) = prepared(path, "a.parquet", "").unwrap();
        assert!(fluxes(&expected).iter().all(|flux| flux.is_finite()), "{kind}");
        assert_eq!(expected.metadata["xp_instrument"], Instrument::standard().unwrap().identity());
        for extension in ["fits", "ecsv", "csv", "csv.gz", "parquet"] {
            for (name, table) in [("lists", &table), ("text", &text)] {
                if name == "lists" && extension.starts_with("csv") {
                    continue;
                }
                let file = format!("{kind}_{name}.{extension}");
                table::write(table, &path.join(&file), true).unwrap();
                let (found, _) = prepared(path, &file, "").unwrap();
                let same = fluxes(&found).iter().zip(fluxes(&expected)).all(|(a, b)| (a / b - 1.0).abs() < 1e-6);
                assert!(same && found.n_rows() == expected.n_rows(), "{file}");
            }
        }
    }
}

#[test]
fn spectra_of_another_instrument_end_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for n in [51, 54] {
        table::write(&continuous(n), &path.join("cut.fits"), true).unwrap();
        for keys in ["", "truncation = \"published\""] {
            let message = prepared(path, "cut.fits", keys).unwrap_err().to_string();
            for said in ["3 of 3", &format!("{n} coefficients and no bp_basis_function_id"), "gaia-dr3", "xp.instrument"] {
                assert!(message.contains(said), "{said}: {message}");
            }
            assert!(!path.join("prepared.parquet").exists());
        }
    }
    // One good star, and the others are noted rows.
    let mut mixed = continuous(55);
    mixed.push(integers("bp_basis_function_id", &[56, 99, 99])).unwrap();
    table::write(&mixed, &path.join("mixed.fits"), true).unwrap();
    let (_, summary) = prepared(path, "mixed.fits", "").unwrap();
    assert_eq!(summary.noted[&Note::SpectrumUnusable], 2);
    assert!(summary.examples[0].contains("basis functions number 99"), "{:?}", summary.examples);
}

#[test]
fn instruments_are_named_and_files_of_them_enter_the_choices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    table::write(&continuous(55), &path.join("a.parquet"), true).unwrap();
    let usual = prepared(path, "a.parquet", "instrument = \"gaia-dr3\"").unwrap().0;
    assert!(!usual.metadata["prepare_recipe"].contains("instrument"), "a default is not written");
    let mine = path.join("mine.safetensors");
    std::fs::write(&mine, include_bytes!("../data/xp_instrument_dr3.safetensors")).unwrap();
    let key = format!("instrument = {:?}", mine.display().to_string());
    assert_eq!(fluxes(&prepared(path, "a.parquet", &key).unwrap().0), fluxes(&usual));
    let recipe = PrepareRecipe::parse(&format!("[xp]\nfiles = [\"x\"]\n{key}")).unwrap();
    let choices = Preparation::new(recipe).unwrap().choices().unwrap();
    assert!(choices.contains(&Instrument::standard().unwrap().identity()), "{choices}");
    for (key, said) in [
        ("instrument = \"gaia-dr4\"", "gaia-dr3, gaia-cycle04-toy"),
        ("instrument = \"gaia-cycle04-toy\"", "no external calibration"),
        ("columns = { bp_coeff = \"x\" }", "'bp_coeff'"),
    ] {
        let message = prepared(path, "a.parquet", key).unwrap_err().to_string();
        assert!(message.contains(said), "{key}: {message}");
    }
}

#[test]
fn columns_of_other_names_are_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let plain = continuous(55);
    table::write(&plain, &path.join("plain.parquet"), true).unwrap();
    let mut renamed = plain.clone();
    for (from, to) in [("source_id", "id"), ("bp_coefficients", "blue"), ("rp_coefficient_errors", "red_errors")] {
        let mut column = renamed.take(from).unwrap();
        column.schema.name = to.into();
        renamed.push(column).unwrap();
    }
    table::write(&renamed, &path.join("renamed.parquet"), true).unwrap();
    let keys = "columns = { source_id = \"id\", bp_coefficients = \"blue\", rp_coefficient_errors = \"red_errors\" }";
    let expected = prepared(path, "plain.parquet", "").unwrap().0;
    let found = prepared(path, "renamed.parquet", keys).unwrap().0;
    assert_eq!(fluxes(&found), fluxes(&expected));
    assert_eq!(found.column("source_id").unwrap().to_i64().unwrap(), [1, 2, 3]);
}

#[test]
fn epoch_spectra_are_refused_by_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut epochs = sampled();
    epochs.push(integers("transit_id", &[5, 6])).unwrap();
    epochs.push(integers("xp", &[0, 0])).unwrap();
    for file in ["epochs.parquet", "epochs.fits", "epochs.ecsv"] {
        table::write(&epochs, &path.join(file), true).unwrap();
        let message = prepared(path, file, "").unwrap_err().to_string();
        assert!(message.contains(file) && message.contains("EPOCH_SPECTRUM_XP") && message.contains("mean spectra"), "{message}");
    }
}

/// Sampled spectra at the archive's own wavelengths: the fluxes themselves, errors on the diagonal with those
/// of the calibration.
#[test]
fn sampled_spectra_have_no_correlations() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    table::write(&sampled(), &path.join("sampled.fits"), true).unwrap();
    let none = "inflation = { independent = 0, common = 0, parts = [0, 0] }";
    let (table, summary) =
        prepared(path, "sampled.fits", &format!("{none}\ngrid = {{ wavelengths = [336, 642, 1020] }}")).unwrap();
    assert_eq!(summary.noted[&Note::CorrelationsMissing], 2);
    let position = |nm: f64| archive_wavelengths().iter().position(|node| *node == nm).unwrap() as f64;
    let expected = [336.0, 642.0, 1020.0].map(|nm| 100.0 * (1.0 + 0.01 * position(nm)));
    let covariance = table.column("xp_covariance_triu").unwrap().to_matrix(6).unwrap();
    for (sample, (flux, at)) in expected.into_iter().zip([0, 3, 5]).enumerate() {
        assert!((fluxes(&table)[sample] / flux - 1.0).abs() < 1e-6);
        assert!((covariance[[0, at]] / (0.05 * flux).powi(2) - 1.0).abs() < 1e-5);
    }
    assert!([1, 2, 4].into_iter().all(|at| covariance[[0, at]] == 0.0));
    let message = prepared(path, "sampled.fits", "grid = { wavelengths = [337, 342] }").unwrap_err().to_string();
    assert!(message.contains("337 nm") && message.contains("sampled"), "{message}");
}

#[test]
fn a_bias_of_parallaxes_is_subtracted_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stars.csv");
    let header = "source_id,parallax,parallax_error,tentative_parallax_bias,j_mag,j_mag_error";
    std::fs::write(&file, format!("{header}\n1,1.0,0.1,-0.03,12,0.03\n2,2.0,0.1,,12,0.03\n3,,,-0.02,12,0.03\n")).unwrap();
    let parallaxes = |file: &Path, keys: &str| {
        let text = format!(
            "labels = []\n{keys}\n[[tables]]\nfiles = [{:?}]\n[[photometry.bands]]\nname = \"j\"\nwavelength = 1235\n\
             magnitude_column = \"j_mag\"\nerror_column = \"j_mag_error\"",
            file.display().to_string()
        );
        let output = folder.path().join("out.parquet");
        prepare(PrepareRecipe::parse(&text)?, &output, true)?;
        let table = table::read(&output)?;
        let notes = table.column(NOTES_COLUMN)?.to_i64()?;
        Ok::<_, crate::error::Error>((table.column("parallax")?.to_f64()?, notes, table.get("tentative_parallax_bias").is_some()))
    };
    let (plain, _, _) = parallaxes(&file, "").unwrap();
    assert!(plain[0] == 1.0 && plain[1] == 2.0 && plain[2].is_nan());
    let (values, notes, kept) = parallaxes(&file, "parallax_bias_column = \"tentative_parallax_bias\"").unwrap();
    assert!((values[0] - 1.03).abs() < 1e-12 && values[1].is_nan() && values[2].is_nan() && kept, "{values:?}");
    assert_eq!(notes, [0, i64::from(Note::ParallaxInvalid.bit()), 0]);
    // In units of their own, each is converted; a bias without one is in that of the parallaxes.
    let ecsv = folder.path().join("stars.ecsv");
    for (unit, number) in [("uas", -30.0), ("arcsec", -3e-5), ("", -3e-5)] {
        let column = |name: &str, unit: &str| match unit {
            "" => format!("# - {{name: {name}, datatype: float64}}\n"),
            unit => format!("# - {{name: {name}, datatype: float64, unit: {unit}}}\n"),
        };
        let columns: String =
            [("parallax", "arcsec"), ("parallax_error", "mas"), ("bias", unit), ("j_mag", "mag"), ("j_mag_error", "mag")]
                .map(|(name, unit)| column(name, unit))
                .concat();
        let head =
            format!("# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {{name: source_id, datatype: int64}}\n{columns}");
        std::fs::write(
            &ecsv,
            format!("{head}source_id,parallax,parallax_error,bias,j_mag,j_mag_error\n1,0.001,0.1,{number},12,0.03\n"),
        )
        .unwrap();
        let values = parallaxes(&ecsv, "parallax_bias_column = \"bias\"").unwrap().0;
        assert!((values[0] - 1.03).abs() < 1e-12, "{unit}: {values:?}");
    }
    let message = parallaxes(&file, "parallax_bias_column = \"bias\"").unwrap_err().to_string();
    assert!(message.contains("parallax_bias_column") && message.contains("'bias'"), "{message}");
}
