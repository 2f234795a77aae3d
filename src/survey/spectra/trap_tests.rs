//! Traps of the surveys' files (negative fluxes, padded texts, sums left over, identifiers as floats) and bad
//! input of plain tables: what is data stays, what is none is an error by name or a flagged row.

use super::samples::{Cells, Desi, LamostKind, lamost, sdss, star, table as fits_table, write};
use super::{ObservedSpectrum, ReadOptions, read_spectra};
use crate::error::Result;
use crate::survey::prepare::{Note, PrepareRecipe, Summary, prepare};
use crate::table::{self, Column, ColumnSchema, Shape, Table, Values};
use std::path::Path;

fn read(path: &Path) -> Result<Vec<ObservedSpectrum>> {
    read_spectra(path, &ReadOptions::default())?.collect()
}

/// Prepares `spectra` of a folder on the line's part, without a continuum.
fn prepared(folder: &Path, keys: &str) -> Result<(Summary, Table)> {
    prepared_over("method = \"none\"", folder, keys)
}

fn prepared_over(continuum: &str, folder: &Path, keys: &str) -> Result<(Summary, Table)> {
    let recipe = format!(
        "labels = []\n[spectra]\nfiles = [\"{}\"]\ngrid = {{ linear = [5120, 5220, 1] }}\ncontinuum = {{ {continuum} }}\n{keys}",
        folder.join("spectra").display()
    );
    let output = folder.join("observations.parquet");
    let summary = prepare(PrepareRecipe::parse(&recipe)?, &output, true)?;
    Ok((summary, table::read(&output)?))
}

fn flux(table: &Table) -> ndarray::Array2<f64> {
    table.column("flux").unwrap().to_matrix(101).unwrap()
}

const NO_VELOCITY: &str = "velocity = { source = \"none\" }\n";

#[test]
fn negative_fluxes_are_data() {
    let folder = tempfile::tempdir().unwrap();
    let change = |_: usize, row: usize, flux: &mut [f32], _: &mut [f32], _: &mut [u32]| {
        if row == 0 {
            flux.iter_mut().for_each(|flux| *flux -= 12.0);
        }
    };
    let path = write(folder.path(), "spectra/coadd.fits", &Desi::new(&[0.0, 0.0]).hdus(change));
    let spectra = read(&path).unwrap();
    assert!(
        spectra[0].segments[0].flux.iter().all(|&flux| flux < 0.0) && spectra[0].segments[0].ivar.iter().all(|&ivar| ivar == 4.0)
    );
    let (summary, table) = prepared(folder.path(), NO_VELOCITY).unwrap();
    let flux = flux(&table);
    assert!(summary.noted.is_empty());
    assert!((0..101).all(|j| (flux[[1, j]] - flux[[0, j]] - 12.0).abs() < 1e-5));
    assert!((table.column("snr").unwrap().to_f64().unwrap()[0] + 4.0).abs() < 1.0, "a negative median");
    // Only a continuum that is not positive ends them, with a note.
    let (summary, _) = prepared_over("method = \"polynomial\", degree = 1", folder.path(), NO_VELOCITY).unwrap();
    assert_eq!(summary.noted, [(Note::NoFlux, 1), (Note::ContinuumUnknown, 1)].into());
}

#[test]
fn texts_are_padded_with_blanks_or_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let mut desi = Desi::new(&[0.0; 4]);
    desi.kinds = vec!["TGT", "SKY", "\0\0\0", "BAD"];
    let read_ids = |hdus: &[Vec<u8>]| {
        let spectra = read_spectra(&write(folder.path(), "a.fits", hdus), &ReadOptions::default()).unwrap();
        (spectra.n_not_stars, spectra.filter_map(|spectrum| spectrum.unwrap().id).collect::<Vec<i64>>())
    };
    let mut hdus = desi.hdus(|_, _, _, _, _| ());
    assert_eq!(read_ids(&hdus), (3, vec![desi.ids[0]]));
    for kinds in [["TGT   ", "SKY   ", "      ", "TGT\0\0\0"], ["TGT\0  ", "SKY\0\0\0", "\0\0\0\0\0\0", "TGT"]] {
        let columns = [("TARGETID", Cells::K(desi.ids.clone())), ("OBJTYPE", Cells::A(6, kinds.to_vec()))];
        hdus[1] = fits_table("FIBERMAP", 4, &columns);
        assert_eq!(read_ids(&hdus), (2, vec![desi.ids[0], desi.ids[3]]));
    }
}

/// Programs that cut rows out of a file keep the sums of the whole.
#[test]
fn sums_of_a_whole_file_do_not_condemn_its_slice() {
    let folder = tempfile::tempdir().unwrap();
    let mut hdus = Desi::new(&[0.0, 0.0]).hdus(|_, _, _, _, _| ());
    for hdu in hdus.iter_mut().skip(1) {
        let end = (0..36).map(|card| 80 * card).find(|&card| hdu[card..card + 80].starts_with(b"END ")).unwrap();
        let cards = format!("{:<80}{:<80}{:<80}", "CHECKSUM= 'abcdefghijklmnop'", "DATASUM = '12345'", "END");
        hdu[end..end + 240].copy_from_slice(cards.as_bytes());
    }
    let spectra = read(&write(folder.path(), "a.fits", &hdus)).unwrap();
    assert_eq!(spectra.len(), 2);
    assert!(crate::warning::said().iter().any(|text| text.contains("DATASUM")));
}

#[test]
fn inverse_variances_that_are_none_are_bad_pixels_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 0.0];
    let check = |spectrum: &ObservedSpectrum, first: usize| {
        let ivar = &spectrum.segments[0].ivar;
        assert!((first..first + 5).all(|i| ivar[i] == 0.0) && ivar[first + 5] > 0.0, "{}", spectrum.place);
        assert_eq!(spectrum.notes & Note::BadPixels.bit(), Note::BadPixels.bit(), "{}", spectrum.place);
    };
    let change = |_: usize, _: usize, _: &mut [f32], ivar: &mut [f32], _: &mut [u32]| ivar[100..105].copy_from_slice(&bad);
    let desi = Desi::new(&[0.0]).hdus(change);
    check(&read(&write(folder.path(), "desi.fits", &desi)).unwrap()[0], 100);
    // The same bytes at the pixels from 100 on of the other layouts: 4 or 0.01 are their good values.
    for (name, hdus, good) in
        [("lamost.fits", lamost(LamostKind::Dr10, &[]), 0.01_f32), ("image.fits", lamost(LamostKind::Dr5, &[]), 0.01)]
    {
        let mut bytes = hdus.concat();
        let run = good.to_be_bytes().repeat(150);
        let start = bytes.windows(run.len()).position(|part| part == run).unwrap() + 400;
        bytes[start..start + 20].copy_from_slice(&bad.map(f32::to_be_bytes).concat());
        check(&read(&write(folder.path(), name, &[bytes])).unwrap()[0], 100);
    }
    // A table with a pixel in every row: 5 columns of 4 bytes and a last one, ivar the third.
    let mut bytes = sdss(false, &[]).concat();
    let row = 6 * 4;
    let first = bytes.windows(4).position(|word| word == 4.0_f32.to_be_bytes()).unwrap() - 10 * row;
    for (i, value) in bad.iter().enumerate() {
        let place = first + (100 + i) * row;
        bytes[place..place + 4].copy_from_slice(&value.to_be_bytes());
    }
    check(&read(&write(folder.path(), "sdss.fits", &[bytes])).unwrap()[0], 100);
}

fn lists(name: &str, rows: &[Vec<f64>], valid: Option<Vec<bool>>) -> Column {
    let mut offsets = vec![0];
    rows.iter().for_each(|row| offsets.push(offsets[offsets.len() - 1] + row.len()));
    Column {
        schema: ColumnSchema::new(name, "", ""),
        values: Values::Float64(rows.concat()),
        shape: Shape::Variable(offsets),
        valid,
    }
}

/// Rows of a table that cannot be spectra are rows without flux; identifiers as floats are an error.
#[test]
fn rows_that_are_no_spectra_are_flagged_and_float_identifiers_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    std::fs::create_dir_all(folder.join("spectra")).unwrap();
    let wavelength: Vec<f64> = (0..120).map(|i| 5110.0 + f64::from(i)).collect();
    let good: Vec<f64> = wavelength.iter().map(|&lambda| star(lambda, 0.0)).collect();
    let ones = vec![1.0; 120];
    let nan = f64::NAN;
    // Good; null; empty; without inverse variances; infinite fluxes; wavelengths below zero; all pixels bad.
    let flux = [good.clone(), Vec::new(), Vec::new(), good.clone(), vec![f64::INFINITY; 120], good.clone(), good.clone()];
    let ivar = [ones.clone(), ones.clone(), Vec::new(), vec![nan; 120], ones.clone(), ones.clone(), vec![0.0; 120]];
    let negative: Vec<f64> = wavelength.iter().map(|lambda| lambda - 5200.0).collect();
    let all = |row: usize| if row == 5 { negative.clone() } else { wavelength.clone() };
    let table = |ids: Values| {
        Table::new(vec![
            Column::scalar(ColumnSchema::new("source_id", "", ""), ids),
            lists("wavelength", &(0..7).map(all).collect::<Vec<_>>(), None),
            lists("flux", &flux, Some((0..7).map(|row| row != 1).collect())),
            lists("ivar", &ivar, None),
        ])
        .unwrap()
    };
    let path = folder.join("spectra/a.parquet");
    table::write(&table(Values::Int64((1..8).collect())), &path, true).unwrap();
    let vacuum = format!("{NO_VELOCITY}medium = \"vacuum\"\n");
    let (summary, found) = prepared(folder, &vacuum).unwrap();
    assert_eq!((summary.n_stars, summary.n_failed_files), (7, 0));
    let Values::Int32(notes) = &found.column("input_notes").unwrap().values else { panic!("no notes") };
    let (none, unreadable, bad) = (Note::NoFlux.bit(), Note::SpectrumUnreadable.bit(), Note::BadPixels.bit());
    // A list of nothing but NaN is null, as everywhere.
    let expected = [0, none | unreadable, none | unreadable, none | unreadable, none | bad, none | unreadable, none];
    assert_eq!(*notes, expected);
    assert!(flux_is_known(&found, 0) && (1..7).all(|row| !flux_is_known(&found, row)));
    assert!(summary.examples.iter().any(|text| text.contains("row 5") && text.contains("hardly Å")), "{:?}", summary.examples);
    table::write(&table(Values::Float64((1..8).map(f64::from).collect())), &path, true).unwrap();
    let message = prepared(folder, &vacuum).unwrap_err().to_string();
    assert!(message.contains("a.parquet") && message.contains("'source_id'") && message.contains("integers"), "{message}");
    // A table without rows is no error, and no star.
    let empty = table(Values::Int64((1..8).collect())).select(&[]);
    table::write(&empty, &path, true).unwrap();
    assert_eq!(prepared(folder, &vacuum).unwrap().0.n_stars, 0);
}

fn flux_is_known(table: &Table, row: usize) -> bool {
    flux(table).row(row).iter().all(|flux| flux.is_finite())
}

#[test]
fn fluxes_of_two_units_go_together_only_over_their_continua() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write(folder, "spectra/spec-a.fits", &lamost(LamostKind::Dr5, &[]));
    write(folder, "spectra/spec-b.fits", &sdss(true, &[]));
    assert_eq!(prepared_over("kernel = 20", folder, "").unwrap().0.n_stars, 2);
    let message = prepared(folder, "").unwrap_err().to_string();
    assert!(message.contains("spec-b.fits: found flux in '1E-17 erg/cm^2/s/Ang', expected ''"), "{message}");
}

/// The sky is at rest for the observer: in a star's frame its window moves.
#[test]
fn windows_of_the_sky_move_with_the_star() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    // At -150 km/s.
    write(folder, "spectra/spec-a.fits", &sdss(true, &[]));
    let windows = |frame: &str| {
        let (_, table) = prepared(folder, &format!("windows = [{{ low = 5150, high = 5160, frame = \"{frame}\" }}]\n")).unwrap();
        let flux = flux(&table);
        (0..101)
            .filter(|&j| flux[[0, j]].is_nan())
            .map(|j| 5120 + j)
            .filter(|lambda| (5140..5175).contains(lambda))
            .collect::<Vec<_>>()
    };
    assert_eq!(windows("rest"), (5150..=5160).collect::<Vec<_>>());
    // 5150 to 5160 Å of the observer are 2.58 Å longer for the star.
    assert_eq!(windows("observed"), (5153..=5162).collect::<Vec<_>>());
}
