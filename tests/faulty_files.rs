//! The files that were read wrongly, refused wrongly, or that harm the reader (`faulty_files` of the shared
//! data), through the program: each gives what its README says. Inputs of the same kinds, written anew, are
//! in the tests of the rooms; this file skips with a notice where the data are absent.

mod common;

use common::{run, succeed};
use photosphere::infer::flags;
use photosphere::table::{self, Table};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// The folder of faulty files, or `None` with a notice.
fn faulty_files() -> Option<PathBuf> {
    let shared = std::env::var_os("PHOTOSPHERE_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let folder = shared.join("faulty_files");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("PHOTOSPHERE_REQUIRE_DATA").is_none(), "{} is absent", folder.display());
    eprintln!("notice: {} is absent; tests on faulty files are skipped", folder.display());
    None
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated")
}

/// A folder with the eight stars' spectra, and the table to be joined without a fault (`good.csv`).
fn stars(faulty: &Path) -> TempDir {
    let folder = tempdir().unwrap();
    succeed(folder.path(), "simulate --stars 8 --new --raw xp.ecsv -o stars.parquet");
    let text = std::fs::read_to_string(faulty.join("csv_dialects__bom.csv")).unwrap();
    std::fs::write(folder.path().join("good.csv"), text.trim_start_matches('\u{feff}')).unwrap();
    folder
}

/// Fits the spectra with a joined table, or an observation file; the catalogue and what was said.
fn fit(folder: &TempDir, arguments: &str) -> (Table, String) {
    let (code, _, said) = run(folder.path(), &format!("fit {} {arguments} -o out.parquet --overwrite", model().display()));
    assert_eq!(code, 0, "{arguments}: {said}");
    (table::read(&folder.path().join("out.parquet")).unwrap(), said)
}

fn numbers(catalogue: &Table, name: &str) -> Vec<f64> {
    catalogue.column(name).unwrap().to_f64().unwrap()
}

fn bits(catalogue: &Table) -> Vec<i32> {
    catalogue.column("quality_flags").unwrap().to_i64().unwrap().into_iter().map(|bits| bits as i32).collect()
}

/// Whether two catalogues have the same estimates for all stars, to a thousandth of their errors.
fn same_estimates(a: &Table, b: &Table) -> bool {
    ["teff", "logg", "feh", "extinction", "parallax"].iter().all(|name| {
        let (x, y, error) = (numbers(a, name), numbers(b, name), numbers(b, &format!("{name}_error")));
        x.len() == y.len() && (0..x.len()).all(|i| (x[i] - y[i]).abs() <= 1e-3 * error[i])
    })
}

#[test]
fn joined_tables_give_what_they_say() {
    let Some(faulty) = faulty_files() else { return };
    let folder = stars(&faulty);
    let join = |name: &str| fit(&folder, &format!("xp.ecsv --join {}", faulty.join(name).display()));
    let good = fit(&folder, "xp.ecsv --join good.csv").0;

    for name in [
        "csv_dialects__bom.csv",
        "ecsv_details__bom.ecsv",
        "ecsv_details__object.ecsv",
        "fits_forms__bits.fits",
        "bytes_columns__j.parquet",
        "parquet_interop__timestamp_binary.parquet",
        "votable_details__types_tabledata.xml",
        // Other units than the model's are converted.
        "units__plx_err_uas.fits",
        "units__plx_arcsec.ecsv",
        "units__mag_err_mmag.fits",
    ] {
        assert!(same_estimates(&join(name).0, &good), "{name}");
    }
    let (padded, said) = join("fits_forms__nopad.fits");
    assert!(same_estimates(&padded, &good) && said.contains("WARN") && said.contains("padding"), "{said}");

    // Several tables: the first, and a warning that names both.
    for (name, chosen, other) in [("fits_extensions__two.fits", "CATALOGUE", "SUPERSEDED"), ("votable_tables__two.xml", "2", "1")]
    {
        let (first, said) = join(name);
        assert!(said.contains("WARN") && said.contains(other) && said.contains(chosen), "{name}: {said}");
        let (second, said) = join(&format!("{name}[{chosen}]"));
        assert!(!said.contains("is read, not"), "{name}: {said}");
        assert!(same_estimates(&second, &good) && !same_estimates(&first, &good), "{name}");
    }

    // What is masked, or null by its column's word, is missing.
    for name in ["astropy_parquet_mask__left_join.parquet", "votable_float_null__tabledata.xml"] {
        let (catalogue, _) = join(name);
        let input = table::read(&faulty.join(name)).unwrap();
        let null = input.column("parallax").unwrap();
        let n_null = (0..input.n_rows()).filter(|&row| !null.is_valid(row)).count();
        let missing = bits(&catalogue).iter().filter(|bits| **bits & flags::MISSING_CONSTRAINT != 0).count();
        assert!(n_null > 0 && missing == n_null, "{name}: {n_null} null, {missing} missing");
        assert!(input.get("parallax.mask").is_none(), "{name}");
    }
    for name in ["astropy_parquet_mask__labels.parquet", "votable_float_null__labels.xml"] {
        let teff = table::read(&faulty.join(name)).unwrap().column("teff").unwrap().to_f64().unwrap();
        assert!(teff.iter().any(|value| value.is_nan()) && teff.iter().all(|value| value.is_nan() || *value > 2000.0), "{name}");
    }
}

#[test]
fn tables_that_cannot_be_understood_are_refused_by_name() {
    let Some(faulty) = faulty_files() else { return };
    let folder = stars(&faulty);
    for (name, words) in [
        ("csv_dialects__null_NA.csv", vec!["csv_dialects__null_NA.csv, line 3", "j_mag", "<NA>"]),
        ("csv_dialects__dupname.csv", vec!["csv_dialects__dupname.csv", "line 1", "parallax", "twice"]),
        ("ztable__ztable.fits", vec!["ztable__ztable.fits", "tile-compressed"]),
        ("votable_details__error.xml", vec!["votable_details__error.xml", "query timed out"]),
    ] {
        let arguments = format!("fit {} xp.ecsv --join {} -o out.parquet", model().display(), faulty.join(name).display());
        let (code, _, said) = run(folder.path(), &arguments);
        assert!(code == 1 && words.iter().all(|word| said.contains(word)), "{name}: {code} {said}");
    }
    let arguments =
        format!("fit {} xp.ecsv --join {} -o out.parquet", model().display(), faulty.join("no_match__other_ids.fits").display());
    let (code, _, said) = run(folder.path(), &arguments);
    assert!(code == 4 && said.contains("NOTHING WAS JOINED"), "{code} {said}");
    assert!(folder.path().join("out.parquet").is_file(), "the fit is done all the same");
}

#[test]
fn spectra_and_observation_files_of_other_programs_are_fitted() {
    let Some(faulty) = faulty_files() else { return };
    let folder = stars(&faulty);
    let plain = fit(&folder, "xp.ecsv").0;
    let observed = |name: &str| fit(&folder, &faulty.join(name).display().to_string());
    assert!(same_estimates(&observed("parquet_interop__c_lz4.parquet").0, &plain));
    let (catalogue, said) = observed("votable_details__xp_overflow.xml");
    assert!(said.contains("WARN") && said.contains("OVERFLOW"), "{said}");
    assert!(catalogue.n_rows() > 0);

    let own = observed("astropy_observation_file__own.fits").0;
    assert!(same_estimates(&observed("astropy_observation_file__with_timestamp.parquet").0, &own));
    let subset = observed("astropy_observation_file__subset.fits").0;
    assert!(subset.n_rows() == 5 && same_estimates(&subset, &own.select(&[0, 1, 2, 3, 4])));
}

#[test]
fn offending_samples_go_alone_and_constraints_far_off_are_flagged() {
    let Some(faulty) = faulty_files() else { return };
    let folder = stars(&faulty);
    let observed = |name: &str| fit(&folder, &faulty.join(name).display().to_string()).0;
    let own = observed("astropy_observation_file__own.fits");
    let n_flux = |catalogue: &Table| numbers(catalogue, "n_flux");
    let catalogue = observed("bad_covariance__nan_row_of_one_flux.parquet");
    let lost: Vec<f64> = n_flux(&own).iter().zip(n_flux(&catalogue)).map(|(all, left)| all - left).collect();
    assert!(lost.iter().all(|&lost| (0.0..=1.0).contains(&lost)) && lost.contains(&1.0), "{lost:?}");
    let flagged = bits(&catalogue).iter().map(|bits| f64::from(u8::from(bits & flags::BAD_FLUX != 0))).collect::<Vec<_>>();
    assert_eq!(flagged, lost);
    // One star twice, the second time with a row of its covariance that is no number.
    let catalogue = observed("hostile__D1_covariance_row_30_nan.parquet");
    let n_flux_of_both = n_flux(&catalogue);
    assert_eq!(n_flux_of_both[0] - n_flux_of_both[1], 1.0);
    assert_eq!(bits(&catalogue).iter().map(|bits| bits & flags::BAD_FLUX).collect::<Vec<_>>(), [0, flags::BAD_FLUX]);
    for name in ["bad_covariance__null_first.parquet", "bad_covariance__only_variances.parquet"] {
        let catalogue = observed(name);
        let lost: Vec<f64> = n_flux(&own).iter().zip(n_flux(&catalogue)).map(|(all, left)| all - left).collect();
        let flagged = bits(&catalogue).iter().map(|bits| bits & (flags::BAD_FLUX | flags::NOT_FITTED) != 0).collect::<Vec<_>>();
        assert!(lost.iter().zip(&flagged).all(|(lost, flagged)| (*lost > 0.0) == *flagged), "{name}: {lost:?} {flagged:?}");
        assert!(flagged.contains(&true), "{name}");
    }
    let (catalogue, _) = fit(
        &folder,
        &format!("{} --constraint parallax,extinction", faulty.join("hostile__D2_extinction_minus_5.parquet").display()),
    );
    assert!(bits(&catalogue).iter().any(|bits| bits & flags::CONSTRAINT_VIOLATED != 0), "{:?}", bits(&catalogue));
}

#[test]
fn references_of_validate_are_converted_and_need_only_their_columns() {
    let Some(faulty) = faulty_files() else { return };
    let folder = stars(&faulty);
    fit(&folder, "xp.ecsv --join good.csv");
    let validated = |name: &str| {
        let (code, said, log) = run(folder.path(), &format!("validate out.parquet {} --json", faulty.join(name).display()));
        assert_eq!(code, 0, "{name}: {log}");
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    let parallax = |name: &str| {
        let summary = validated(name);
        let rows = summary["quantities"].as_array().unwrap_or_else(|| panic!("{summary}")).clone();
        let row = rows.into_iter().find(|row| row["name"] == "parallax").unwrap_or_else(|| panic!("{summary}"));
        (row["n"].as_u64().unwrap(), row["median"].as_f64().unwrap())
    };
    let (converted, plain) = (parallax("validate_reference__arcsec.fits"), parallax("validate_reference__dates.parquet"));
    assert!(converted.0 == plain.0 && (converted.1 - plain.1).abs() < 1e-9, "{converted:?} {plain:?}");
}

/// No hostile file may panic, end by a signal, or take long: all of them in one test, so that the times add
/// up.
#[test]
fn hostile_files_are_refused_at_once() {
    let Some(faulty) = faulty_files() else { return };
    let folder = tempdir().unwrap();
    let mut names: Vec<PathBuf> = std::fs::read_dir(&faulty).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hostile__A")));
    names.sort();
    assert!(names.len() >= 12);
    for path in names {
        let begun = std::time::Instant::now();
        let (code, _, said) = run(folder.path(), &format!("inspect {}", path.display()));
        // A text of 29 000 bytes and a name of 65 536 characters are valid: what harmed was how they were
        // read.
        let is_valid = ["__A1_", "__A6_"].iter().any(|name| path.to_string_lossy().contains(name));
        assert_eq!(code, i32::from(!is_valid), "{}: {said}", path.display());
        assert!(!said.contains("panicked"), "{}: {said}", path.display());
        // A second on an idle machine; tests run side by side.
        assert!(begun.elapsed().as_secs() < 10, "{} took {:?}", path.display(), begun.elapsed());
    }
}
