//! What files state of their numbers (units, masks, identifiers) is followed in every layout, and what stands
//! for no value is none.

use super::samples::{ARMS, Cells, Data, Desi, LOG_PIXELS, LamostKind, image, lamost, log_wavelength, primary, sdss, star};
use super::samples::{table as fits_table, write};
use super::{Fact, Layout, ObservedSpectrum, PixelColumns, ReadOptions, read_spectra};
use crate::error::Result;
use crate::survey::prepare::{Note, PrepareRecipe, Summary, prepare};
use crate::table::{self, Column, ColumnSchema, Table, Values};
use std::path::{Path, PathBuf};

const N: usize = 120;
/// A pixel in the line of the surveys' samples, whose flux no other one has.
const PIXEL: usize = 144;
const FLUX: &str = "1e-17 erg/(s cm2 AA)";
const NO_VELOCITY: &str = "velocity = { source = \"none\" }\nmedium = \"vacuum\"\n";
/// Formats that are written here.
const FORMATS: [&str; 3] = ["parquet", "fits", "ecsv"];

fn read_with(path: &Path, options: &ReadOptions) -> Result<Vec<ObservedSpectrum>> {
    read_spectra(path, options)?.collect()
}

fn read(path: &Path) -> Result<Vec<ObservedSpectrum>> {
    read_with(path, &ReadOptions::default())
}

fn list(name: &str, unit: &str, values: Vec<f64>) -> Column {
    Column::fixed(ColumnSchema::new(name, unit, ""), Values::Float64(values), N)
}

fn number(name: &str, unit: &str, values: Vec<f64>) -> Column {
    Column::nullable(ColumnSchema::new(name, unit, ""), values)
}

fn wavelengths() -> Vec<f64> {
    (0..N).map(|i| 5110.0 + i as f64).collect()
}

/// A table of `n` equal spectra of flux 5.5, with further columns.
fn spectra(n: usize, flux_unit: &str, others: Vec<Column>) -> Table {
    let ids = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..=n as i64).collect()));
    let columns = vec![ids, list("wavelength", "AA", wavelengths().repeat(n)), list("flux", flux_unit, vec![5.5; N * n])];
    Table::new(columns.into_iter().chain(others).collect()).unwrap()
}

fn written(folder: &Path, name: &str, table: &Table) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    table::write(table, &path, true).unwrap();
    path
}

/// Prepares the folder `spectra` of a folder, without a continuum.
fn prepared(folder: &Path, keys: &str) -> Result<(Summary, Table)> {
    let keys = keys.replace('@', &folder.display().to_string());
    let (top, keys) = keys.split_once("---\n").unwrap_or(("", &keys));
    let recipe = format!(
        "labels = []\n{top}[spectra]\nfiles = [\"{}\"]\ngrid = {{ linear = [5120, 5220, 4] }}\ncontinuum = {{ method = \"none\" }}\n{keys}",
        folder.join("spectra").display()
    );
    let output = folder.join("observations.parquet");
    let summary = prepare(PrepareRecipe::parse(&recipe)?, &output, true)?;
    Ok((summary, table::read(&output)?))
}

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().flat_f64().unwrap()
}

/// astropy.units 8.0.2: 1e-21 W/(m2 nm) are 0.01 of the flux's unit, 1e40 m4 nm2/W2 its power −2 times 100.
#[test]
fn noise_of_plain_tables_is_read_in_its_own_unit() {
    let scratch = tempfile::tempdir().unwrap();
    for format in FORMATS {
        for (name, unit, value) in [("flux_error", "W/(m2 nm)", 1e-20), ("ivar", "m4 nm2 / W2", 1e40), ("flux_error", "", 0.1)] {
            let table = spectra(2, FLUX, vec![list(name, unit, vec![value; 2 * N])]);
            let path = written(scratch.path(), &format!("a.{format}"), &table);
            for spectrum in read(&path).unwrap() {
                assert!(spectrum.segments[0].ivar.iter().all(|ivar| (ivar / 100.0 - 1.0).abs() < 1e-9), "{format}, {unit}");
            }
        }
        for (name, unit) in [("flux_error", "Jy"), ("error", "K"), ("ivar", FLUX)] {
            let path = written(scratch.path(), &format!("a.{format}"), &spectra(1, FLUX, vec![list(name, unit, vec![1.0; N])]));
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(&format!("column '{name}': found the unit '")), "{format}: {message}");
        }
    }
    // A pixel in every row.
    let columns = vec![
        number("wavelength", "AA", wavelengths()),
        number("flux", FLUX, vec![5.5; N]),
        number("flux_error", "W/(m2 nm)", vec![1e-20; N]),
    ];
    let path = written(scratch.path(), "b.ecsv", &Table::new(columns).unwrap());
    assert!(read(&path).unwrap()[0].segments[0].ivar.iter().all(|ivar| (ivar / 100.0 - 1.0).abs() < 1e-9));
}

#[test]
fn noise_beside_noise_is_compared_and_magnitudes_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let both = |error: f64| vec![list("ivar", "", vec![100.0; N]), list("flux_error", "", vec![error; N])];
    let path = written(scratch.path(), "same.parquet", &spectra(1, "", both(0.1)));
    read(&path).unwrap();
    let is_said = |text: &str| crate::warning::said().iter().any(|said| said.contains(text));
    assert!(!is_said("same.parquet"));
    let path = written(scratch.path(), "other.parquet", &spectra(1, "", both(0.2)));
    assert_eq!(read(&path).unwrap()[0].segments[0].ivar[0], 100.0);
    assert!(is_said("other.parquet, row 0: 'flux_error' is 2.0000 of the errors by 'ivar'"), "{:?}", crate::warning::said());
    for format in FORMATS {
        let path = written(scratch.path(), &format!("mag.{format}"), &spectra(1, "mag", vec![list("ivar", "", vec![1.0; N])]));
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("column 'flux': found the unit 'mag', expected a flux"), "{message}");
    }
}

/// The HDU of a name in its place.
fn replaced(hdus: &mut [Vec<u8>], name: &str, with: Vec<u8>) {
    let quoted = format!("'{name}'");
    let place = hdus.iter().position(|hdu| hdu.len() >= 2880 && String::from_utf8_lossy(&hdu[..2880]).contains(&quoted));
    hdus[place.unwrap()] = with;
}

#[test]
fn arms_of_desi_are_read_in_their_own_units() {
    let folder = tempfile::tempdir().unwrap();
    let plain = read(&write(folder.path(), "a.fits", &Desi::new(&[0.0]).hdus(|_, _, _, _, _| ()))).unwrap();
    let (n, bunit) = (ARMS[1].2, |unit: &str| format!("BUNIT   = '{unit}'"));
    let flux: Vec<f32> = plain[0].segments[1].flux.iter().map(|flux| 100.0 * *flux as f32).collect();
    let with = |flux_unit: &str, ivar: f32, ivar_unit: &str| {
        let mut hdus = Desi::new(&[0.0]).hdus(|_, _, _, _, _| ());
        replaced(&mut hdus, "R_FLUX", image("R_FLUX", &[n, 1], &Data::F32(flux.clone()), &[&bunit(flux_unit)]));
        replaced(&mut hdus, "R_IVAR", image("R_IVAR", &[n, 1], &Data::F32(vec![ivar; n]), &[&bunit(ivar_unit)]));
        read(&write(folder.path(), "a.fits", &hdus))
    };
    // 1e-21 W/m²/nm are 1e-2 of the other arm's unit.
    for (ivar, unit) in [(4.0, "10**+34 (s2 cm4 Angstrom2) / erg2"), (4e-4, "1e42 m4 nm2 / W2"), (4e-4, "")] {
        let found = with("1e-21 W/(m2 nm)", ivar, unit).unwrap();
        assert_eq!(found[0].flux_unit, plain[0].flux_unit);
        for arm in 0..2 {
            let (found, plain) = (&found[0].segments[arm], &plain[0].segments[arm]);
            let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() < 1e-6);
            assert!(same(&found.flux, &plain.flux) && same(&found.ivar, &plain.ivar), "{unit}, arm {arm}");
        }
    }
    let message = |result: Result<Vec<ObservedSpectrum>>| result.unwrap_err().to_string();
    assert!(message(with("Jy", 4.0, "")).contains("R_FLUX]: found the unit 'Jy'"));
    assert!(message(with("mag", 4.0, "")).contains("R_FLUX]: found the unit 'mag', expected a flux"));
    let found = message(with("1e-21 W/(m2 nm)", 4.0, "1e-21 W/(m2 nm)"));
    assert!(found.contains("R_IVAR]: found the unit") && found.contains("inverse square"), "{found}");
}

#[test]
fn an_arm_that_is_not_whole_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (missing, words) in [("B_WAVELENGTH", "B_WAVELENGTH"), ("R_FLUX", "R_FLUX"), ("R_IVAR", "R_IVAR")] {
        let mut hdus = Desi::new(&[0.0]).hdus(|_, _, _, _, _| ());
        replaced(&mut hdus, missing, Vec::new());
        let message = read(&write(folder.path(), "a.fits", &hdus)).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("no such HDU"), "{message}");
    }
    // An arm of which nothing is there is none.
    let mut hdus = Desi::new(&[0.0]).hdus(|_, _, _, _, _| ());
    for what in ["WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION"] {
        replaced(&mut hdus, &format!("B_{what}"), Vec::new());
    }
    assert_eq!(read(&write(folder.path(), "a.fits", &hdus)).unwrap()[0].segments.len(), 1);
    let mut hdus = lamost(LamostKind::Dr10, &[]);
    let second = String::from_utf8_lossy(&hdus[1][..2880]).replace("'COADD'", "'COADR'").into_bytes();
    hdus.push([second, hdus[1][2880..].to_vec()].concat());
    let message = read(&write(folder.path(), "b.fits", &hdus)).unwrap_err().to_string();
    assert!(message.contains("2 tables of spectra (COADD, COADR)") && message.contains("[COADD]"), "{message}");
}

/// The pixel of −9999 or 10²⁰ goes, and its neighbours on the new grid are of the star.
#[test]
fn numbers_for_no_value_do_not_reach_the_grid() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut flux = vec![5.5; 3 * N];
    (flux[50], flux[N + 50], flux[2 * N + 50]) = (-9999.0, 1e20, -99.9);
    for format in FORMATS {
        let mut table = spectra(3, "", vec![list("flux_error", "", vec![0.1; 3 * N])]);
        table.replace(list("flux", "", flux.clone())).unwrap();
        let path = written(folder, &format!("spectra/a.{format}"), &table);
        let (summary, table) = prepared(folder, NO_VELOCITY).unwrap();
        assert_eq!(summary.noted, [(Note::BadPixels, 3)].into(), "{format}");
        assert!(numbers(&table, "flux").iter().all(|flux| (flux - 5.5).abs() < 1e-6), "{format}");
        std::fs::remove_file(path).unwrap();
    }
    let change = |_: usize, _: usize, flux: &mut [f32], _: &mut [f32], _: &mut [u32]| flux[PIXEL] = -9999.0;
    let mut files = vec![write(folder, "desi.fits", &Desi::new(&[0.0]).hdus(change))];
    // Bytes of that flux in the other layouts.
    for (name, hdus, value) in [
        ("lamost.fits", lamost(LamostKind::Dr10, &[]), 200.0 * star(log_wavelength(PIXEL), -150.0) as f32),
        ("image.fits", lamost(LamostKind::Dr5, &[]), 200.0 * star(log_wavelength(PIXEL), -150.0) as f32),
        ("sdss.fits", sdss(false, &[]), star(log_wavelength(PIXEL), -150.0) as f32),
    ] {
        let mut bytes = hdus.concat();
        let word = value.to_be_bytes();
        let places: Vec<usize> = (0..bytes.len() - 4).step_by(4).filter(|&at| bytes[at..at + 4] == word).collect();
        places.iter().for_each(|&at| bytes[at..at + 4].copy_from_slice(&1e20_f32.to_be_bytes()));
        assert!(places.len() == 1);
        files.push(write(folder, name, &[bytes]));
    }
    for file in files {
        let spectrum = &read(&file).unwrap()[0];
        assert!(spectrum.notes & Note::BadPixels.bit() != 0, "{}", file.display());
        assert!(spectrum.segments[0].flux.iter().all(|flux| flux.abs() < 1e5), "{}", file.display());
        assert_eq!(spectrum.segments[0].ivar[PIXEL], 0.0, "{}", file.display());
    }
}

#[test]
fn positions_are_in_degrees_and_what_is_carried_keeps_its_unit() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let with = |extinction: f64, unit: &str, position: &str, factor: f64| {
        let others = vec![
            list("flux_error", "", vec![0.1; 2 * N]),
            number("ra", position, vec![10.0 * factor, 200.0 * factor]),
            number("dec", position, vec![-5.0 * factor, -9999.0]),
            number("extinction", unit, vec![extinction, 2.0 * extinction]),
        ];
        spectra(2, "", others)
    };
    let keys = format!("{NO_VELOCITY}carry = [\"extinction\"]\n");
    for format in FORMATS {
        let first = written(folder, &format!("spectra/a.{format}"), &with(0.05, "mag", "rad", 1_f64.to_radians()));
        let mut second = with(50.0, "mmag", "deg", 1.0);
        second.replace(Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![3, 4]))).unwrap();
        let second = written(folder, &format!("spectra/b.{format}"), &second);
        let (_, table) = prepared(folder, &keys).unwrap();
        let close = |name: &str, expected: [f64; 4]| {
            let found = numbers(&table, name);
            let same = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-9 || found.is_nan() && expected.is_nan();
            assert!(found.iter().zip(&expected).all(same), "{format}, {name}: {found:?}");
        };
        close("ra", [10.0, 200.0, 10.0, 200.0]);
        close("dec", [-5.0, f64::NAN, -5.0, f64::NAN]);
        close("extinction", [0.05, 0.1, 0.05, 0.1]);
        assert_eq!(table.column("extinction").unwrap().schema.unit, "mag");
        let mut other = with(50.0, "K", "deg", 1.0);
        other.replace(Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![3, 4]))).unwrap();
        written(folder, &format!("spectra/b.{format}"), &other);
        let message = prepared(folder, &keys).unwrap_err().to_string();
        assert!(message.contains("'extinction'") && message.contains("found the unit 'K'"), "{message}");
        let path = written(folder, "c.parquet", &with(0.0, "mag", "K", 1.0));
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("column 'ra': found the unit 'K'"), "{message}");
        for path in [first, second] {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// SDSS's and LAMOST's names of columns do not make a table theirs where it has identifiers.
#[test]
fn tables_with_identifiers_are_plain_tables() {
    let folder = tempfile::tempdir().unwrap();
    let logarithms = || (0..N).map(|i| 3.7 + 1e-4 * i as f64);
    let ints = || Cells::J(vec![0; 2 * N]);
    let columns = |ids: bool| {
        let mut columns = vec![
            ("loglam", Cells::D(logarithms().chain(logarithms()).collect())),
            ("flux", Cells::D(vec![5.5; 2 * N])),
            ("ivar", Cells::D(vec![100.0; 2 * N])),
            ("and_mask", ints()),
            ("or_mask", ints()),
        ];
        if ids {
            columns.push(("source_id", Cells::K([vec![11; N], vec![12; N]].concat())));
        }
        columns
    };
    let options = ReadOptions::default();
    let path = write(folder.path(), "a.fits", &[primary(&[]), fits_table("", 2 * N, &columns(true))]);
    assert_eq!(read_spectra(&path, &options).unwrap().layout, Layout::Table);
    let found = read(&path).unwrap();
    assert_eq!(found.iter().map(|spectrum| spectrum.id).collect::<Vec<_>>(), [Some(11), Some(12)]);
    assert!(found.iter().all(|spectrum| spectrum.fault.is_none() && spectrum.segments[0].flux.len() == N));
    // Without them, two spectra in one are no spectrum of SDSS.
    let path = write(folder.path(), "a.fits", &[primary(&[]), fits_table("", 2 * N, &columns(false))]);
    let message = read(&path).unwrap_err().to_string();
    assert!(message.contains("'loglam', row 120") && message.contains("layout = \"table\""), "{message}");
    // LAMOST's names in one row, and vectors with SDSS's in several.
    let lists = |value: f32, n: usize| Cells::Lists(N, vec![value; n * N]);
    let lambda = |n: usize, logarithm: bool| {
        let one = logarithms().map(|log| if logarithm { log as f32 } else { 10_f64.powf(log) as f32 });
        Cells::Lists(N, one.collect::<Vec<f32>>().repeat(n))
    };
    let columns = [
        ("SOURCE_ID", Cells::K(vec![77])),
        ("FLUX", lists(5.5, 1)),
        ("WAVELENGTH", lambda(1, false)),
        ("IVAR", lists(100.0, 1)),
        ("ANDMASK", lists(0.0, 1)),
        ("ORMASK", lists(0.0, 1)),
    ];
    let path = write(folder.path(), "b.fits", &[primary(&[]), fits_table("", 1, &columns)]);
    assert_eq!(read(&path).unwrap()[0].id, Some(77));
    let columns = |ids: bool| {
        let mut columns = vec![("FLUX", lists(5.5, 2)), ("LOGLAM", lambda(2, true)), ("IVAR", lists(100.0, 2))];
        if ids {
            columns.push(("source_id", Cells::K(vec![5, 6])));
        }
        columns
    };
    let path = write(folder.path(), "c.fits", &[primary(&[]), fits_table("", 2, &columns(true))]);
    assert_eq!(read(&path).unwrap().iter().map(|spectrum| spectrum.id).collect::<Vec<_>>(), [Some(5), Some(6)]);
    let path = write(folder.path(), "c.fits", &[primary(&[]), fits_table("", 2, &columns(false))]);
    let message = read(&path).unwrap_err().to_string();
    assert!(message.contains("'FLUX'") && message.contains("found lists") && message.contains("layout = \"table\""), "{message}");
    assert_eq!(read_with(&path, &ReadOptions { layout: Some(Layout::Table), ..options }).unwrap().len(), 2);
}

/// Two targets of one star: with keep-first the first of the file, whatever the order of the exposures.
#[test]
fn two_targets_of_a_star_are_not_mixed() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    std::fs::write(folder.join("ids.csv"), "target,gaia\n101,9\n202,9\n").unwrap();
    let keys = "identifiers = { files = [\"@/ids.csv\"], key = \"target\", id = \"gaia\" }\nvelocity = { source = \"none\" }\n";
    for order in [[101, 101, 202, 202], [101, 202, 101, 202], [101, 202, 202, 101]] {
        let mut desi = Desi { status_name: "FIBERSTATUS", ..Desi::new(&[0.0; 4]) };
        desi.ids = order.to_vec();
        let change = |_: usize, row: usize, flux: &mut [f32], _: &mut [f32], _: &mut [u32]| {
            flux.fill(if order[row] == 101 { 2.5 } else { 50.5 });
        };
        write(folder, "spectra/spectra-1.fits", &desi.hdus(change));
        let (summary, table) = prepared(folder, &format!("duplicates = \"keep-first\"\n---\n{keys}")).unwrap();
        assert_eq!((summary.n_duplicates, table.column("n_exposures").unwrap().to_i64().unwrap()), (1, vec![2]), "{order:?}");
        assert!(numbers(&table, "flux").iter().all(|flux| (flux - 2.5).abs() < 1e-6), "{order:?}");
        let message = prepared(folder, keys).unwrap_err().to_string();
        assert!(message.contains("the identifier 9 again"), "{message}");
    }
}

#[test]
fn masks_are_applied_by_their_name_and_may_be_booleans() {
    let scratch = tempfile::tempdir().unwrap();
    let mut flags = vec![false; 2 * N];
    flags[15..30].fill(true);
    let ints = |flags: &[bool]| Values::Int32(flags.iter().map(|&flag| i32::from(flag)).collect());
    for format in FORMATS {
        for values in [Values::Bool(flags.clone()), ints(&flags)] {
            let mask = Column::fixed(ColumnSchema::new("mask", "", ""), values, N);
            let table = spectra(2, "", vec![list("ivar", "", vec![100.0; 2 * N]), mask]);
            let path = written(scratch.path(), &format!("a.{format}"), &table);
            let named = ReadOptions {
                columns: PixelColumns { mask: Some("mask".into()), ..PixelColumns::default() },
                ..ReadOptions::default()
            };
            for options in [ReadOptions::default(), named] {
                let found = read_with(&path, &options).unwrap();
                let n_bad = |row: usize| found[row].segments[0].ivar.iter().filter(|ivar| **ivar == 0.0).count();
                assert_eq!((n_bad(0), n_bad(1)), (15, 0), "{format}");
            }
        }
    }
    // One for a whole spectrum, and a pixel in every row.
    let mask = Column::scalar(ColumnSchema::new("mask", "", ""), Values::Bool(vec![false, true]));
    let path = written(scratch.path(), "b.parquet", &spectra(2, "", vec![list("ivar", "", vec![100.0; 2 * N]), mask]));
    let found = read(&path).unwrap();
    assert!(found[0].segments[0].ivar[0] > 0.0 && found[1].segments[0].ivar.iter().all(|ivar| *ivar == 0.0));
    let row = |(i, lambda): (usize, &f64)| format!("{lambda},5.5,100,{}\n", if flags[i] { "True" } else { "False" });
    let text: String = wavelengths().iter().enumerate().map(row).collect();
    let path = scratch.path().join("c.csv");
    std::fs::write(&path, format!("wavelength,flux,ivar,mask\n{text}")).unwrap();
    assert_eq!(read(&path).unwrap()[0].segments[0].ivar.iter().filter(|ivar| **ivar == 0.0).count(), 15);
}

#[test]
fn warnings_of_velocities_may_be_booleans() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    written(folder, "spectra/a.parquet", &spectra(2, "", vec![list("ivar", "", vec![100.0; 2 * N])]));
    let ids = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![1, 2]));
    let warning = Column::scalar(ColumnSchema::new("bad", "", ""), Values::Bool(vec![false, true]));
    let table = Table::new(vec![ids, number("rv", "km/s", vec![1.0, 2.0]), warning]).unwrap();
    written(folder, "rv.parquet", &table);
    let keys = "medium = \"vacuum\"\nvelocity = { source = \"column\", column = \"rv\", warning = \"bad\" }\n\
                [[tables]]\nfiles = [\"@/rv.parquet\"]\n";
    let (summary, table) = prepared(folder, keys).unwrap();
    assert_eq!(summary.noted[&Note::VelocityInvalid], 1);
    let velocity = numbers(&table, "radial_velocity_applied");
    assert!(velocity[0] == 1.0 && velocity[1].is_nan());
}

/// The same unit in two spellings is one; sky fibres are left out and counted.
#[test]
fn spellings_of_a_unit_are_one_and_sky_is_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write(folder, "spectra/coadd-a.fits", &Desi::new(&[0.0]).hdus(|_, _, _, _, _| ()));
    write(folder, "spectra/spec-a.fits", &sdss(false, &[]));
    write(folder, "spectra/spec-sky.fits", &sdss(false, &["OBJTYPE = 'SKY'"]));
    write(folder, "spectra/spec-v.fits", &sdss(true, &["CATEGORY= 'sky_boss'"]));
    let (summary, table) = prepared(folder, "velocity = { source = \"none\" }\n").unwrap();
    assert_eq!((summary.n_stars, summary.n_not_stars, table.n_rows()), (2, 2, 2));
    for (kind, fibre, n) in [(LamostKind::Dr5, "Sky", 0), (LamostKind::Dr10, "Unused", 0), (LamostKind::Dr10, "Obj", 1)] {
        let path = write(folder, "l.fits", &lamost(kind, &[&format!("FIBERTYP= '{fibre}'")]));
        let spectra = read_spectra(&path, &ReadOptions::default()).unwrap();
        assert_eq!((spectra.n_not_stars, spectra.count()), (1 - n, n), "{fibre}");
    }
}

#[test]
fn an_image_before_a_table_is_no_spectrum_and_topcat_s_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let table = fits_table(
        "",
        N,
        &[("wavelength", Cells::D(wavelengths())), ("flux", Cells::D(vec![5.5; N])), ("ivar", Cells::D(vec![1.0; N]))],
    );
    let with = |cards: &[&str]| write(folder.path(), "a.fits", &[image("", &[7], &Data::I32(vec![1; 7]), cards), table.clone()]);
    assert_eq!(read(&with(&["VOTMETA = T"])).unwrap()[0].segments[0].flux.len(), N);
    let path = with(&[]);
    let message = read(&path).unwrap_err().to_string();
    assert!(message.contains(".fits[1]") && message.contains("layout = \"table\""), "{message}");
    assert_eq!(read(format!("{}[1]", path.display()).as_ref()).unwrap().len(), 1);
    assert_eq!(read_with(&path, &ReadOptions { layout: Some(Layout::Table), ..Default::default() }).unwrap().len(), 1);
}

/// Columns of SDSS's results have units too.
#[test]
fn units_of_sdss_columns_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mut hdus = sdss(false, &[]);
    let n = LOG_PIXELS;
    let cells = |value: f32| Cells::E(vec![value; n]);
    let columns = [
        ("flux", cells(5.5)),
        ("loglam", Cells::E((0..n).map(|i| (3.7 + 1e-4 * i as f64) as f32).collect())),
        ("ivar", cells(0.04)),
        ("and_mask", Cells::J(vec![0; n])),
        ("or_mask", Cells::J(vec![0; n])),
    ];
    let header = String::from_utf8(fits_table("COADD", n, &columns)[..2880].to_vec()).unwrap();
    let end = header.find(&format!("{:<80}", "END")).unwrap();
    let unit = |number: usize, unit: &str| format!("{:<80}", format!("TUNIT{number}  = '{unit}'"));
    let cards = format!("{}{}{}{:<80}", &header[..end], unit(1, FLUX), unit(3, "1e36 cm4 s2 AA2 / erg2"), "END");
    let data = fits_table("COADD", n, &columns)[2880..].to_vec();
    hdus[1] = [format!("{cards:<2880}").into_bytes(), data].concat();
    let spectrum = &read(&write(folder.path(), "a.fits", &hdus)).unwrap()[0];
    assert_eq!(spectrum.flux_unit, FLUX);
    assert!((spectrum.segments[0].ivar[50] - 4.0).abs() < 1e-5, "{}", spectrum.segments[0].ivar[50]);
    assert_eq!(spectrum.facts["ra"], Fact::Number(12.5));
}
