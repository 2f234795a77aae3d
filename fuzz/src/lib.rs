//! What the fuzz targets share: bytes become a file, and the file goes through the readers as a user's would.

use photosphere::observations::{Observations, ReadOptions};
use photosphere::survey::prepare::PrepareRecipe;
use photosphere::survey::spectra;
use photosphere::survey::xp::{DEFAULT_WAVELENGTHS, ErrorConvention, Instrument, spectra_from_table};
use photosphere::table::{self, FitsFile, Table};
use std::path::PathBuf;

/// The file that holds the bytes; one a process, in memory where the system has such a folder.
fn file(bytes: &[u8], name: &str) -> Option<PathBuf> {
    let folder = ["/dev/shm"].iter().map(PathBuf::from).find(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir);
    let path = folder.join(format!("photosphere-fuzz-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).ok().map(|()| path)
}

fn read(bytes: &[u8], name: &str) -> Option<Table> {
    let path = file(bytes, name)?;
    let table = table::read(&path).ok();
    let schema = table::read_schema(&path);
    let _ = table::row_count(&path);
    // What can be read whole has columns that can be listed and read one by one.
    if let (Some(table), Ok(schema)) = (&table, schema) {
        for column in table.columns().iter().take(3) {
            let name = column.schema.name.as_str();
            assert!(schema.iter().any(|known| known.name == name), "column {name:?} is not in the schema");
            let _ = table::read_columns(&path, &[name]);
        }
    }
    table
}

/// Reads bytes as a table whose format the name shows.
pub fn read_table(bytes: &[u8], name: &str) {
    if let Some(table) = read(bytes, name) {
        for column in table.columns() {
            let _ = (column.flat_f64(), column.to_i64(), column.to_matrix(3));
        }
    }
}

/// Reads bytes as an HDF5 table. The fuzzer takes any panic for a crash, also one that the reader catches; so
/// those of the HDF5 library alone are passed over, as the reader does.
pub fn read_hdf5(bytes: &[u8]) {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|place| place.file().contains("hdf5-pure")) {
                abort(panic);
            }
        }));
    });
    read_table(bytes, "table.h5");
}

/// Reads bytes as a file of spectra of a survey, some spectra of it.
pub fn read_survey_spectra(bytes: &[u8]) {
    let Some(path) = file(bytes, "spectra.fits") else { return };
    let Ok(found) = spectra::read_spectra(&path, &spectra::ReadOptions::default()) else { return };
    for spectrum in found.take(20).flatten() {
        for segment in &spectrum.segments {
            assert_eq!(segment.wavelength.len(), segment.flux.len());
        }
    }
}

/// Reads bytes as a FITS file of images beside tables, a few rows of each at a time.
pub fn read_images(bytes: &[u8]) {
    let Ok(file) = FitsFile::from_bytes(std::path::Path::new("images.fits"), bytes.to_vec()) else { return };
    for number in 0..file.n_hdus().min(8) {
        let _ = (file.header(number), file.table(number, None));
        let Ok(mut image) = file.image(number) else { continue };
        for _ in 0..3 {
            let _ = image.read(2);
        }
    }
}

/// Reads bytes as an observation file and whitens it.
pub fn read_observations(bytes: &[u8]) {
    let constraints = ["teff", "logg", "feh", "parallax", "extinction"].map(String::from).to_vec();
    if let Some(table) = read(bytes, "observations.ecsv") {
        let _ = Observations::from_table(table, &ReadOptions { constraints, ..ReadOptions::default() });
    }
}

/// Reads bytes as XP spectra and samples those that can be used.
pub fn read_spectra(bytes: &[u8]) {
    let (Some(table), Ok(instrument)) = (read(bytes, "spectra.ecsv"), Instrument::standard()) else { return };
    for spectrum in spectra_from_table(&table).into_iter().flatten().flatten() {
        let count = |band: &Option<photosphere::survey::xp::Band>| band.as_ref().map_or(0, |band| band.coefficients.len());
        let Ok(sampling) = instrument.sampling(&DEFAULT_WAVELENGTHS, count(&spectrum.bp), count(&spectrum.rp)) else { continue };
        if sampling.check(&spectrum).is_ok() {
            let _ = (sampling.flux(&spectrum), sampling.covariance(&spectrum, ErrorConvention::Published));
        }
    }
}

/// Reads bytes as the file of an XP instrument and makes the design matrices that it can.
pub fn read_instrument(bytes: &[u8]) {
    let Some(Ok(instrument)) = file(bytes, "instrument.safetensors").map(|path| Instrument::read(&path)) else { return };
    let (n_bp, n_rp) = instrument.n_bases();
    let _ = (instrument.sampling(&DEFAULT_WAVELENGTHS, n_bp, n_rp), instrument.archive_sampling(n_bp, n_rp));
    if let Some(range) = instrument.wavelength_range() {
        let _ = instrument.sampling(&[*range.start(), *range.end()], n_bp.min(2), n_rp.min(2));
    }
}

/// Parses bytes as a recipe of every kind.
pub fn read_recipes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = PrepareRecipe::parse(text);
    let _ = photosphere::train::Recipe::parse(text, "recipe");
}
