//! Readers on files in the surveys' layouts, written for the purpose: what is good, what is bad, and what
//! is refused.

use super::samples::{
    ARMS, Cells, Data, Desi, LOG_PIXELS, LamostKind, MaskKind, arm_wavelength, image, lamost, log_wavelength, primary, sdss,
    star, table, write,
};
use super::{Fact, Layout, ObservedSpectrum, PixelColumns, ReadOptions, read_spectra};
use crate::spectrum::Medium;
use crate::survey::prepare::Note;
use crate::table::{Column, ColumnSchema, Shape, Table, Values};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

fn read(path: &Path, options: &ReadOptions) -> crate::error::Result<(Layout, usize, Vec<ObservedSpectrum>)> {
    let spectra = read_spectra(path, options)?;
    let (layout, n_not_stars) = (spectra.layout, spectra.n_not_stars);
    Ok((layout, n_not_stars, spectra.collect::<crate::error::Result<Vec<_>>>()?))
}

fn message(path: &Path) -> String {
    read(path, &ReadOptions::default()).unwrap_err().to_string()
}

fn unchanged(_: usize, _: usize, _: &mut [f32], _: &mut [f32], _: &mut [u32]) {}

/// Pixels with ivar > 0.
fn n_good(spectrum: &ObservedSpectrum, arm: usize) -> usize {
    spectrum.segments[arm].ivar.iter().filter(|&&ivar| ivar > 0.0).count()
}

#[test]
fn desi_masks_mean_the_same_in_all_encodings() {
    let folder = tempfile::tempdir().unwrap();
    let change = |arm: usize, row: usize, flux: &mut [f32], ivar: &mut [f32], mask: &mut [u32]| match (arm, row) {
        // Masked in every exposure, with ivar > 0 all the same.
        (1, 0) => {
            mask[10..35].fill(128);
            flux[10..35].fill(3e3);
        }
        // Bad column, NaN without ivar, and NaN and an infinite ivar that nothing covers.
        (0, 1) => {
            mask[20..40].fill(1027);
            ivar[20..40].fill(0.0);
            flux[25] = f32::NAN;
            (flux[60], ivar[61], ivar[62]) = (f32::NAN, f32::INFINITY, -4.0);
        }
        // A dead arm: zeros, and mask 0.
        (0, 2) => {
            flux.fill(0.0);
            ivar.fill(0.0);
        }
        _ => {}
    };
    let mut all = Vec::new();
    for mask in [MaskKind::Plain, MaskKind::Unsigned, MaskKind::Tiled] {
        let desi = Desi { mask, ..Desi::new(&[-200.0, 30.0, 0.0]) };
        let path = write(folder.path(), "any-name.fits", &desi.hdus(change));
        let (layout, n_not_stars, spectra) = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!((layout, n_not_stars, spectra.len()), (Layout::Desi, 0, 3));
        all.push(spectra);
    }
    assert!(all[0] == all[1] && all[0] == all[2], "the encoding of a mask is no part of what it says");
    let spectra = &all[0];
    assert_eq!(spectra[0].id, Some(39_627_700_000_001_001), "odd, beyond 2⁵³");
    assert_eq!(spectra[1].segments.iter().map(|segment| segment.arm.as_str()).collect::<Vec<_>>(), ["b", "r"]);
    let [b, r] = [0, 1].map(|arm| ARMS[arm].2);
    assert_eq!([n_good(&spectra[0], 0), n_good(&spectra[0], 1)], [b, r - 25]);
    assert_eq!([n_good(&spectra[1], 0), n_good(&spectra[2], 0), n_good(&spectra[2], 1)], [b - 20 - 3, 0, r]);
    let notes = |row: usize| spectra[row].notes;
    assert_eq!((notes(0), notes(1), notes(2)), (0, Note::BadPixels.bit(), Note::ArmMissing.bit()));
    assert!(
        spectra.iter().all(|spectrum| spectrum.segments.iter().all(|segment| segment.flux.iter().all(|flux| flux.is_finite())))
    );
    assert_eq!((spectra[0].medium, spectra[0].velocity), (Some(Medium::Vacuum), None));
    assert_eq!(spectra[2].facts["ra"], Fact::Number(12.0));
    // Without masks, ivar alone decides.
    let path = write(folder.path(), "b.fits", &Desi { mask: MaskKind::Absent, ..Desi::new(&[0.0; 3]) }.hdus(change));
    assert_eq!(n_good(&read(&path, &ReadOptions::default()).unwrap().2[0], 1), r);
}

#[test]
fn desi_fibres_that_are_no_stars_are_counted_and_bad_ones_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut desi = Desi::new(&[0.0; 7]);
    desi.ids[1] = -5;
    (desi.kinds[1], desi.kinds[2], desi.kinds[3]) = ("", "SKY", "BAD");
    // RESTRICTED and POORPOSITION are no reason; 512 is; bit 22 ends B alone.
    desi.status = vec![8 | 1 << 10, 0, 0, 0, 512, 1 << 22, 0];
    let options =
        ReadOptions { carry: vec!["GAIA_PHOT_G_MEAN_MAG".into(), "survey".into(), "ABSENT".into()], ..Default::default() };
    let (_, n_not_stars, spectra) = read(&write(folder.path(), "a.fits", &desi.hdus(unchanged)), &options).unwrap();
    assert_eq!((n_not_stars, spectra.len()), (3, 4));
    let good: Vec<[usize; 2]> = spectra.iter().map(|spectrum| [n_good(spectrum, 0), n_good(spectrum, 1)]).collect();
    let [b, r] = [0, 1].map(|arm| ARMS[arm].2);
    assert_eq!(good, [[b, r], [0, 0], [0, r], [b, r]]);
    let (bad, missing) = (Note::FiberBad.bit(), Note::ArmMissing.bit());
    assert_eq!(spectra.iter().map(|spectrum| spectrum.notes).collect::<Vec<_>>(), [0, bad | missing, missing, 0]);
    assert_eq!(spectra[0].facts["gaia_phot_g_mean_mag"], Fact::Number(15.5));
    assert_eq!((&spectra[0].facts["survey"], spectra[0].facts.len()), (&Fact::Text("main".into()), 4));
    assert!(spectra[3].place.contains("FIBERMAP") && spectra[3].place.ends_with("row 6"));
}

#[test]
fn desi_exposures_are_counted_and_resolution_is_read_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut desi = Desi { status_name: "FIBERSTATUS", ..Desi::new(&[0.0; 4]) };
    desi.ids = vec![7, 8, 7, 7];
    let path = write(folder.path(), "a.fits", &desi.hdus(unchanged));
    let (_, _, spectra) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(spectra.iter().map(|spectrum| spectrum.n_following).collect::<Vec<_>>(), [2, 0, 1, 0]);
    assert!(spectra[0].segments[0].line_spread.is_empty());
    let (_, _, spectra) = read(&path, &ReadOptions { line_spread: true, ..Default::default() }).unwrap();
    let sigma = spectra[0].segments[1].line_spread[70];
    // Weights ¼, ½, ¼: a variance of half a pixel, of 0.8 Å.
    assert!((sigma - 0.8 * 0.5_f64.sqrt()).abs() < 1e-6, "{sigma}");
}

#[test]
fn desi_files_that_contradict_themselves_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hdus = || Desi::new(&[0.0, 0.0]).hdus(unchanged);
    let at = |name: &str, hdus: &[Vec<u8>]| {
        hdus.iter().position(|hdu| String::from_utf8_lossy(&hdu[..2880]).contains(&format!("'{name}'"))).unwrap()
    };
    let replaced = |name: &str, new: Vec<u8>| {
        let mut all = hdus();
        let place = at(name, &all);
        all[place] = new;
        message(&write(folder.path(), "a.fits", &all))
    };
    let found = replaced("B_IVAR", Vec::new());
    assert!(found.contains("a.fits[B_IVAR]: found no such HDU") && found.contains("B_FLUX"), "{found}");
    let n = ARMS[0].2;
    assert!(
        replaced("B_IVAR", image("B_IVAR", &[n - 1, 2], &Data::F32(vec![1.0; 2 * n - 2]), &[]))
            .contains("expected 2 spectra of 200 pixels")
    );
    assert!(replaced("B_MASK", image("B_MASK", &[n, 2], &Data::F32(vec![0.0; 2 * n]), &[])).contains("expected integers"));
    let found = replaced("FIBERMAP", table("FIBERMAP", 3, &[("TARGETID", Cells::K(vec![1, 2, 3]))]));
    assert!(found.contains("found 3 rows, expected 2") && found.contains("EXP_FIBERMAP"), "{found}");
    let found = replaced("FIBERMAP", table("FIBERMAP", 2, &[("TARGETID", Cells::D(vec![1.0, 2.0]))]));
    assert!(found.contains("'TARGETID'") && found.contains("64-bit integers"), "identifiers never pass through floats: {found}");
    assert!(replaced("FIBERMAP", table("OTHER", 2, &[("TARGETID", Cells::K(vec![1, 2]))])).contains("without FIBERMAP"));
    let wavelength =
        |values: Vec<f64>, cards: &[&str]| replaced("B_WAVELENGTH", image("B_WAVELENGTH", &[n], &Data::F64(values), cards));
    let mut falling = arm_wavelength(0);
    falling.reverse();
    assert!(wavelength(falling, &[]).contains("expected rising wavelengths"));
    assert!(wavelength(arm_wavelength(0), &["BUNIT   = 'Hz'"]).contains("the unit 'Hz'"));
    // Another unit of length is converted.
    let mut all = hdus();
    let place = at("B_WAVELENGTH", &all);
    let nm = arm_wavelength(0).iter().map(|lambda| lambda / 10.0).collect();
    all[place] = image("B_WAVELENGTH", &[n], &Data::F64(nm), &["BUNIT   = 'nm'"]);
    let (_, _, spectra) = read(&write(folder.path(), "a.fits", &all), &ReadOptions::default()).unwrap();
    assert!((spectra[0].segments[0].wavelength[0] - 5100.0).abs() < 1e-9);
    let mut twice = hdus();
    let copy = twice[at("B_FLUX", &twice)].clone();
    twice.push(copy);
    assert!(message(&write(folder.path(), "a.fits", &twice)).contains("the name twice"));
    let whole = hdus().concat();
    for length in [whole.len() / 2, whole.len() - 2881] {
        let found = message(&write(folder.path(), "a.fits", &[whole[..length].to_vec()]));
        assert!(
            found.contains("a.fits") && (found.contains("as its header says") || found.contains("the end of the file")),
            "{found}"
        );
    }
    let results = [primary(&[]), table("RVTAB", 1, &[("TARGETID", Cells::K(vec![1])), ("VRAD", Cells::D(vec![1.0]))])];
    let found = message(&write(folder.path(), "a.fits", &results));
    assert!(found.contains("a table of results (RVTAB)") && found.contains("[[tables]]"), "{found}");
}

#[test]
fn lamost_is_the_same_in_its_three_layouts() {
    let folder = tempfile::tempdir().unwrap();
    let one = |kind, options: &ReadOptions| {
        let path = write(folder.path(), "spec-55862-B6212_sp06-018.fits", &lamost(kind, &[]));
        let (layout, _, mut spectra) = read(&path, options).unwrap();
        assert_eq!(spectra.len(), 1);
        (layout, spectra.remove(0))
    };
    let options = ReadOptions { carry: vec!["PLANID".into(), "FIBERID".into()], ..Default::default() };
    let [(dr1_layout, dr1), (_, dr5), (dr10_layout, dr10)] =
        [LamostKind::Dr1, LamostKind::Dr5, LamostKind::Dr10].map(|kind| one(kind, &options));
    assert_eq!((dr1_layout, dr10_layout), (Layout::LamostImage, Layout::LamostTable));
    assert!(dr1.segments == dr5.segments && dr5 == dr10, "the layout is no part of what it says");
    let segment = &dr1.segments[0];
    assert!(
        segment.wavelength.iter().enumerate().all(|(i, lambda)| *lambda == log_wavelength(i)),
        "from the coefficients, always"
    );
    let good: Vec<usize> = (0..LOG_PIXELS).filter(|&i| segment.ivar[i] == 0.0).collect();
    assert_eq!(good, [vec![80], (290..300).collect()].concat(), "ANDMASK and ivar; ORMASK alone is usable");
    let (_, strict) = one(LamostKind::Dr5, &ReadOptions { or_mask: true, ..options.clone() });
    assert!(strict.segments[0].ivar[40] == 0.0);
    assert!((dr5.velocity.unwrap() + 150.0).abs() < 1e-3, "Z c, receding is positive: {:?}", dr5.velocity);
    assert_eq!((dr5.id, dr5.medium, dr5.flux_unit.as_str()), (Some(123_401_001), Some(Medium::Vacuum), ""));
    assert_eq!(
        dr1.id,
        Some(super::identifiers::stable_id("55862-B6212_sp6-18")),
        "without OBSID: from the names of plan and fibre"
    );
    assert_eq!(
        (&dr5.facts["planid"], &dr5.facts["fiberid"], &dr5.facts["dec"]),
        (&Fact::Text("B6212".into()), &Fact::Integer(18), &Fact::Number(30.25))
    );
}

#[test]
fn lamost_files_that_contradict_themselves_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = |kind, cards: &[&str]| message(&write(folder.path(), "a.fits", &lamost(kind, cards)));
    let found = message(LamostKind::Dr5, &["COEFF0  = 3.5682"]);
    assert!(found.contains("a.fits") && found.contains("by COEFF0 and COEFF1"), "{found}");
    assert!(message(LamostKind::Dr10, &["COEFF1  = 0.0002"]).contains("by COEFF0 and COEFF1"));
    assert!(message(LamostKind::Dr1, &["HELIO   = F"]).contains("HELIO"));
    assert!(message(LamostKind::Dr1, &["COEFF1  = 'x'"]).contains("COEFF1"));
    let one = |cards: &[&str]| {
        read(&write(folder.path(), "a.fits", &lamost(LamostKind::Dr5, cards)), &ReadOptions::default()).unwrap().2.remove(0)
    };
    assert_eq!(one(&["VACUUM  = F"]).medium, Some(Medium::Air));
    assert_eq!(one(&["Z       = -9999.0"]).velocity, None);
    assert_eq!(one(&["FIBERMAS= 128"]).notes, Note::FiberBad.bit());
    let wrong = ReadOptions { layout: Some(Layout::Sdss), ..Default::default() };
    let path = write(folder.path(), "a.fits", &lamost(LamostKind::Dr1, &[]));
    let found = read(&path, &wrong).unwrap_err().to_string();
    assert!(found.contains("found spectra in the layout of LAMOST, expected SDSS"), "{found}");
    let picture = image("", &[3, 4], &Data::F32(vec![0.0; 12]), &[]);
    assert!(
        super::reader_tests::message(&write(folder.path(), "a.fits", &[picture])).contains("an image that is no LAMOST spectrum")
    );
}

#[test]
fn sdss_columns_have_any_case_and_only_bad_pixels_go() {
    let folder = tempfile::tempdir().unwrap();
    let one = |is_v: bool, options: &ReadOptions, cards: &[&str]| {
        let (layout, _, mut spectra) = read(&write(folder.path(), "a.fits", &sdss(is_v, cards)), options).unwrap();
        assert_eq!((layout, spectra.len()), (Layout::Sdss, 1));
        spectra.remove(0)
    };
    let options = ReadOptions { line_spread: true, ..Default::default() };
    let (boss, v) = (one(false, &options, &[]), one(true, &options, &[]));
    assert_eq!(boss.segments, v.segments);
    let segment = &boss.segments[0];
    let bad: Vec<usize> = (0..LOG_PIXELS).filter(|&i| segment.ivar[i] == 0.0).collect();
    assert_eq!(bad, [(0..10).collect(), vec![80]].concat(), "COMBINEREJ is a healed cosmic");
    let strict = one(false, &ReadOptions { or_mask: true, ..Default::default() }, &[]);
    assert_eq!(strict.segments[0].ivar.iter().filter(|&&ivar| ivar == 0.0).count(), 11 + 5, "bad sky, grown by two pixels");
    assert!(
        segment.wavelength.iter().enumerate().all(|(i, lambda)| *lambda == log_wavelength(i)),
        "not the jitter of the column"
    );
    assert!((segment.line_spread[0] - 1.1 * log_wavelength(0) * 1e-4 * 10_f64.ln()).abs() < 1e-6);
    assert_eq!((v.id, v.medium), (Some(27_021_598_150_201_533), Some(Medium::Vacuum)));
    assert!(boss.id != v.id && (boss.velocity.unwrap() + 150.0).abs() < 1e-3);
    assert_eq!(v.facts["dec"], Fact::Number(30.25));
    for (card, row) in [("COEFF0  = 3.70005", 0), ("COEFF1  = 0.00011", 1)] {
        let found = message(&write(folder.path(), "a.fits", &sdss(false, &[card])));
        let place = format!("'loglam', row {row}");
        assert!(found.contains(&place) && found.contains("contradicts itself"), "{found}");
    }
    let later = one(false, &options, &["COEFF0  = 3.6987"]);
    let same = |pair: (&f64, &f64)| (pair.0 - pair.1).abs() < 1e-9;
    assert!(later.segments[0].wavelength.iter().zip(segment.wavelength.iter()).all(same), "13 pixels were cut off");
}

fn lists(name: &str, unit: &str, rows: &[Vec<f64>]) -> Column {
    let mut offsets = vec![0];
    rows.iter().for_each(|row| offsets.push(offsets[offsets.len() - 1] + row.len()));
    Column {
        schema: ColumnSchema::new(name, unit, ""),
        values: Values::Float64(rows.concat()),
        shape: Shape::Variable(offsets),
        valid: None,
    }
}

#[test]
fn plain_tables_have_a_spectrum_in_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let wavelength: Vec<f64> = (0..50).map(|i| 510.0 + 0.1 * f64::from(i)).collect();
    let flux: Vec<f64> = wavelength.iter().map(|nm| star(10.0 * nm, 0.0)).collect();
    let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<f64>>();
    let mut zigzag = wavelength.clone();
    zigzag.swap(3, 4);
    let mut error = vec![0.5; 50];
    (error[0], error[1], error[2]) = (f64::NAN, 0.0, -1.0);
    let mut table = Table::new(vec![
        Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![3_698_400_000_000_000_001, 2, 3, 4])),
        lists("wave", "nm", &[wavelength.clone(), reversed(&wavelength), zigzag, wavelength.clone()]),
        lists("flux", "", &[flux.clone(), reversed(&flux), flux.clone(), flux[1..].to_vec()]),
        lists("sigma", "", &[error.clone(), vec![0.5; 50], error.clone(), error.clone()]),
    ])
    .unwrap();
    table.metadata.insert("medium".into(), "air".into());
    let columns = PixelColumns { wavelength: Some("wave".into()), error: Some("sigma".into()), ..Default::default() };
    let options = ReadOptions { columns, ..Default::default() };
    let mut read_all = Vec::new();
    for name in ["a.parquet", "a.fits", "a.ecsv"] {
        let path = folder.path().join(name);
        crate::table::write(&table, &path, false).unwrap();
        let (layout, _, spectra) = read(&path, &options).unwrap();
        assert_eq!((layout, spectra.len()), (Layout::Table, 4), "{name}");
        assert_eq!(spectra[0].id, Some(3_698_400_000_000_000_001));
        assert_eq!(n_good(&spectra[0], 0), 47, "{name}");
        assert_eq!(spectra[0].notes, Note::BadPixels.bit());
        assert_eq!(spectra[0].medium, Some(Medium::Air), "{name}");
        assert!((spectra[0].segments[0].wavelength[1] - 5101.0).abs() < 1e-9 && spectra[0].segments[0].ivar[9] == 4.0);
        assert_eq!(spectra[1].segments[0].wavelength, spectra[0].segments[0].wavelength, "falling wavelengths are turned round");
        assert_eq!(spectra[1].segments[0].flux, spectra[0].segments[0].flux);
        let fault = |row: usize| spectra[row].fault.clone().unwrap_or_default();
        assert!(
            fault(2).contains("expected rising wavelengths") && fault(3).contains("[49, 50, 50"),
            "{} {}",
            fault(2),
            fault(3)
        );
        assert!(spectra[3].segments.is_empty() && spectra[3].id == Some(4), "a bad row is a row");
        read_all.push(spectra.iter().map(|spectrum| spectrum.segments.clone()).collect::<Vec<_>>());
    }
    assert!(read_all[0] == read_all[1] && read_all[1] == read_all[2]);
}

#[test]
fn a_table_of_pixels_is_one_spectrum_and_units_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.csv");
    let text = |scale: f64, head: &str| {
        (0..40).fold(format!("{head}\n"), |text, i| text + &format!("{},{},0.1\n", scale * (5000.0 + f64::from(i)), 1.0))
    };
    std::fs::write(&path, text(1.0, "Wavelength,Flux,Error")).unwrap();
    let (_, _, spectra) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!((spectra.len(), spectra[0].segments[0].flux.len(), spectra[0].medium), (1, 40, None));
    assert_eq!(spectra[0].id, Some(super::identifiers::stable_id("template.csv")));
    std::fs::write(&path, text(0.1, "wavelength,flux,error")).unwrap();
    let (_, _, spectra) = read(&path, &ReadOptions::default()).unwrap();
    assert!(spectra[0].fault.as_ref().unwrap().contains("hardly Å"), "{:?}", spectra[0].fault);
    let columns = PixelColumns { wavelength_unit: Some("nm".into()), ..Default::default() };
    let (_, _, spectra) = read(&path, &ReadOptions { columns, ..Default::default() }).unwrap();
    assert!((spectra[0].segments[0].wavelength[0] - 5000.0).abs() < 1e-9);
    let columns = PixelColumns { wavelength_unit: Some("Hz".into()), ..Default::default() };
    assert!(read(&path, &ReadOptions { columns, ..Default::default() }).unwrap_err().to_string().contains("'Hz'"));
    let columns = PixelColumns { flux: Some("f".into()), ..Default::default() };
    assert!(read(&path, &ReadOptions { columns, ..Default::default() }).unwrap_err().to_string().contains("'f'"));
    std::fs::write(&path, "x,y\n1,2\n").unwrap();
    assert!(message(&path).contains("template.csv") && message(&path).contains("'flux'"));
}

#[test]
fn pixels_of_several_spectra_are_told_apart_by_their_identifiers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv");
    let row = |id: &str, i: i32| format!("{id},{},{},0.1\n", 5000 + i, if id == "8" { 0.5 } else { 1.0 });
    let text = (0..40).fold("source_id,wavelength,flux,error\n".to_owned(), |text, i| text + &row("8", i) + &row("3", i));
    std::fs::write(&path, &text).unwrap();
    let (_, _, spectra) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(spectra.iter().map(|spectrum| spectrum.id).collect::<Vec<_>>(), [Some(8), Some(3)]);
    assert!(spectra.iter().all(|spectrum| spectrum.fault.is_none() && spectrum.segments[0].flux.len() == 40));
    assert!(spectra[0].segments[0].flux.iter().all(|flux| *flux == 0.5) && spectra[0].place.ends_with("long.csv, source_id 8"));
    std::fs::write(&path, text + &row("", 41)).unwrap();
    assert!(message(&path).contains("column 'source_id', row 80: found no identifier"), "{}", message(&path));
}

#[test]
fn a_table_without_rows_has_no_spectra_and_a_row_without_an_identifier_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.csv");
    std::fs::write(&path, "source_id,wavelength,flux,error\n").unwrap();
    assert!(read(&path, &ReadOptions::default()).unwrap().2.is_empty());
    let mut table = Table::new(vec![
        Column {
            valid: Some(vec![true, false]),
            ..Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![5, 0]))
        },
        lists("wavelength", "Angstrom", &[vec![5000.0, 5001.0], vec![5000.0, 5001.0]]),
        lists("flux", "", &[vec![1.0, 1.0], vec![1.0, 1.0]]),
        lists("error", "", &[vec![0.1, 0.1], vec![0.1, 0.1]]),
    ])
    .unwrap();
    for n_rows in [2, 0] {
        let path = folder.path().join(format!("rows-{n_rows}.parquet"));
        table = table.select(&(0..n_rows).collect::<Vec<_>>());
        crate::table::write(&table, &path, false).unwrap();
        let ids: Vec<Option<i64>> = read(&path, &ReadOptions::default()).unwrap().2.iter().map(|spectrum| spectrum.id).collect();
        let expected = [Some(5), Some(super::identifiers::stable_id("rows-2.parquet, row 1"))];
        assert_eq!(ids, expected[..n_rows]);
    }
}

/// Bytes changed and cut, and numbers of headers replaced by extreme ones: read or refused by name, and never
/// a panic.
#[test]
fn damaged_files_do_no_harm() {
    const NUMBERS: [&str; 9] = ["-1", "0", "1", "7", "2147483648", "9223372036854775807", "1E400", "'x'", "T"];
    let folder = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(21);
    let tiled = Desi { mask: MaskKind::Tiled, ..Desi::new(&[0.0, 10.0]) };
    let samples = [tiled.hdus(unchanged), lamost(LamostKind::Dr1, &[]), lamost(LamostKind::Dr10, &[]), sdss(true, &[])];
    let options = ReadOptions { line_spread: true, ..Default::default() };
    let (mut n_read, mut n_refused) = (0, 0);
    for sample in samples {
        let original = sample.concat();
        let is_value = |card: &usize| original[card * 80 + 8..].starts_with(b"= ");
        let cards: Vec<usize> = (0..original.len() / 80).filter(is_value).collect();
        for _ in 0..250 {
            let mut bytes = original.clone();
            match random.gen_range(0..4) {
                0 => bytes.truncate(random.gen_range(0..original.len())),
                1 => (0..random.gen_range(1..20)).for_each(|_| bytes[random.gen_range(0..original.len())] = random.r#gen()),
                _ => {
                    let start = cards[random.gen_range(0..cards.len())] * 80;
                    let value = NUMBERS[random.gen_range(0..NUMBERS.len())];
                    bytes[start + 10..start + 80].copy_from_slice(format!("{value:<70}").as_bytes());
                }
            }
            let path = write(folder.path(), "damaged.fits", &[bytes]);
            match read(&path, &options) {
                Ok((_, _, spectra)) => {
                    n_read += 1;
                    for segment in spectra.iter().flat_map(|spectrum| &spectrum.segments) {
                        assert!(segment.ivar.iter().all(|ivar| ivar.is_finite() && *ivar >= 0.0));
                        assert!(segment.flux.len() == segment.ivar.len() && segment.flux.len() == segment.wavelength.len());
                    }
                }
                Err(error) => {
                    n_refused += 1;
                    assert!(error.to_string().contains("damaged.fits"), "{error}");
                }
            }
        }
    }
    assert!(n_read > 200 && n_refused > 200, "{n_read} read, {n_refused} refused");
}
