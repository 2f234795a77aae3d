//! Exposures of a star in several files, against the same exposures in one file.

use super::SpectraPreparation;
use super::samples::{Desi, LamostKind, lamost, write};
use crate::error::Result;
use crate::survey::prepare::{Note, PrepareRecipe};
use crate::survey::source::read_all;
use crate::table::Table;
use std::path::Path;

/// An exposure: the star, the level of its flux, the inverse variance, and arms that are bad.
#[derive(Clone, Copy)]
struct Exposed(i64, f32, f32, &'static [usize]);

fn file(folder: &Path, name: &str, exposures: &[Exposed]) {
    let mut desi = Desi::new(&vec![0.0; exposures.len()]);
    desi.ids = exposures.iter().map(|exposed| exposed.0).collect();
    let hdus = desi.hdus(|arm, row, flux, ivar, mask| {
        let Exposed(id, level, weight, bad) = exposures[row];
        for (pixel, flux) in flux.iter_mut().enumerate() {
            // Noise of a tenth of the error, of its own in every exposure.
            *flux = level * (*flux + 0.1 * weight.powf(-0.5) * (pixel as f32 * (1.0 + id as f32 + level)).sin());
        }
        ivar.fill(weight);
        mask.fill(u32::from(bad.contains(&arm)));
    });
    write(folder, name, &hdus);
}

/// Stars 1 to 6 in one to three of the files: of 3 every file lacks another arm, of 4 one exposure is wholly
/// bad, 5 is in one file twice and in another, of 6 all is bad.
fn exposures() -> [(&'static str, Vec<Exposed>); 3] {
    let (none, both): (&[usize], &[usize]) = (&[], &[0, 1]);
    [
        (
            "a.fits",
            vec![Exposed(1, 1.0, 4.0, none), Exposed(2, 1.0, 4.0, none), Exposed(3, 1.0, 4.0, &[1]), Exposed(6, 1.0, 4.0, both)],
        ),
        (
            "b.fits",
            vec![
                Exposed(5, 1.0, 4.0, none),
                Exposed(3, 1.1, 2.0, &[0]),
                Exposed(2, 0.8, 9.0, none),
                Exposed(5, 1.2, 1.0, none),
                Exposed(4, 1.0, 4.0, none),
            ],
        ),
        (
            "c.fits",
            vec![Exposed(4, 1.0, 4.0, both), Exposed(3, 0.9, 4.0, none), Exposed(5, 1.1, 3.0, none), Exposed(6, 1.0, 4.0, both)],
        ),
    ]
}

/// Prepares the folder `spectra`; few stars of several files may be open at once.
fn prepared(folder: &Path, keys: &str, most_open: usize) -> Result<Table> {
    let (top, keys) = keys.split_once("---\n").unwrap_or(("", keys));
    let recipe = format!(
        "labels = []\n{top}[spectra]\nfiles = [\"{}\"]\ngrid = {{ linear = [5110, 5330, 1.6] }}\nvelocity = {{ source = \"none\" }}\n{}",
        folder.join("spectra").display(),
        keys.replace('@', &folder.display().to_string())
    );
    let mut whole: Option<Table> = None;
    let source = SpectraPreparation::new(PrepareRecipe::parse(&recipe)?)?.with_most_open(most_open);
    read_all(&source, |chunk| match &mut whole {
        None => {
            whole = Some(chunk);
            Ok(())
        }
        Some(whole) => whole.append(chunk),
    })?;
    Ok(whole.unwrap_or_default())
}

fn ids(table: &Table) -> Vec<i64> {
    table.column("source_id").unwrap().to_i64().unwrap()
}

/// Flux, error and everything that is counted, of a star.
fn row(table: &Table, id: i64) -> (Vec<u64>, Vec<i64>) {
    let row = ids(table).iter().position(|other| *other == id).unwrap();
    let one = table.select(&[row]);
    let bits = ["flux", "flux_error"].iter().flat_map(|name| one.column(name).unwrap().flat_f64().unwrap()).map(f64::to_bits);
    let counts = ["n_exposures", "n_good_pixels", "input_notes"].map(|name| one.column(name).unwrap().to_i64().unwrap()[0]);
    (bits.collect(), counts.to_vec())
}

#[test]
fn exposures_in_several_files_are_joined_as_those_in_one() {
    for continuum in ["", "continuum = { method = \"none\" }\n"] {
        let (apart, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let all = exposures();
        all.iter().for_each(|(name, exposures)| file(&apart.path().join("spectra"), name, exposures));
        let whole: Vec<Exposed> = all.iter().flat_map(|(_, exposures)| exposures.clone()).collect();
        file(&together.path().join("spectra"), "all.fits", &whole);
        let expected = prepared(together.path(), continuum, 16).unwrap();
        for most_open in [16, 2, 1] {
            let found = prepared(apart.path(), &format!("{continuum}join_files = true\n"), most_open).unwrap();
            let mut sorted = ids(&found);
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3, 4, 5, 6], "{most_open}");
            for id in 1..=6 {
                assert_eq!(row(&found, id), row(&expected, id), "{id}, {most_open}");
            }
            let counts = |id: i64| row(&found, id).1;
            assert_eq!((1..=6).map(|id| counts(id)[0]).collect::<Vec<_>>(), [1, 2, 3, 1, 3, 0]);
            assert!(counts(3)[1] > 0 && counts(3)[2] & i64::from(Note::ArmMissing.bit()) == 0, "every arm is in a file");
            assert!(counts(6)[2] & i64::from(Note::NoFlux.bit()) != 0 && counts(6)[1] == 0);
        }
        // The controls: not joined without the option, and another spectrum where the first one is kept.
        let message = prepared(apart.path(), continuum, 16).unwrap_err().to_string();
        assert!(message.contains("again") && message.contains("join_files = true"), "{message}");
        let first = prepared(apart.path(), &format!("duplicates = \"keep-first\"\n---\n{continuum}"), 16).unwrap();
        assert_eq!(row(&first, 1), row(&expected, 1));
        assert_ne!(row(&first, 2), row(&expected, 2));
    }
}

/// Means are weighted by inverse variances, which add up.
#[test]
fn weights_of_exposures_add_up() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("spectra");
    file(&folder, "a.fits", &[Exposed(1, 1.0, 4.0, &[]), Exposed(2, 1.0, 4.0, &[])]);
    file(&folder, "b.fits", &[Exposed(2, 2.0, 12.0, &[])]);
    let keys = "continuum = { method = \"none\" }\njoin_files = true\n";
    let table = prepared(scratch.path(), keys, 16).unwrap();
    let of = |name: &str, id: i64| -> Vec<f64> {
        let row = ids(&table).iter().position(|other| *other == id).unwrap();
        table.select(&[row]).column(name).unwrap().flat_f64().unwrap()
    };
    for (one, other) in of("flux_error", 1).iter().zip(of("flux_error", 2)) {
        // Weights 4 and 12 in place of 4.
        assert!((one / other - 2.0).abs() < 1e-5, "{one} {other}");
    }
    for (one, other) in of("flux", 1).iter().zip(of("flux", 2)) {
        // (4 · 1 + 12 · 2)/16 of the level, and the noise of both.
        assert!((other / one - 1.75).abs() < 0.05, "{one} {other}");
    }
}

/// Files of one spectrum each, told by the identifiers of another catalogue; the one that is damaged is named
/// once and costs its own exposure only.
#[test]
fn files_of_one_spectrum_are_joined_by_the_identifiers_that_they_get() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let spectra = folder.join("spectra");
    for name in ["a.fits", "b.fits", "c.fits"] {
        write(&spectra, name, &lamost(LamostKind::Dr5, &[]));
    }
    write(&spectra, "d.fits", &[b"SIMPLE  = damaged".to_vec()]);
    std::fs::write(folder.join("names.csv"), "filename,id\na.fits,7\nb.fits,9\nc.fits,7\nd.fits,9\n").unwrap();
    let identifiers = "identifiers = { files = [\"@/names.csv\"], key = \"filename\", id = \"id\" }\n";
    let keys = format!("continuum = {{ method = \"none\" }}\njoin_files = true\n{identifiers}");
    let table = prepared(folder, &keys, 1).unwrap();
    let exposures = |table: &Table| table.column("n_exposures").unwrap().to_i64().unwrap();
    assert_eq!((ids(&table), exposures(&table)), (vec![9, 7], vec![1, 2]));
    let errors = table.column("flux_error").unwrap().flat_f64().unwrap();
    let (one, two) = errors.split_at(errors.len() / 2);
    let ratios: Vec<f64> = one.iter().zip(two).filter(|(one, _)| one.is_finite()).map(|(one, two)| one / two).collect();
    assert!(ratios.len() > 50 && ratios.iter().all(|ratio| (ratio - 2_f64.sqrt()).abs() < 1e-5), "{ratios:?}");
}
