//! LAMOST low-resolution spectra in their three layouts, told apart by structure: an image of five rows
//! whose third is flux/continuum (pilot, DR1), the same with wavelengths there (to DR8), and a table of one
//! row (from DR9). Wavelengths are 10^(COEFF0 + COEFF1 i).

use super::Layout;
use super::fact::{Fact, POSITION};
use super::flux_unit::{self, Measure};
use super::identifiers::stable_id;
use super::observed::{ObservedSpectrum, ReadOptions, Segment, Spectra, mark_bad};
use crate::error::{Error, Result};
use crate::spectrum::{Medium, SPEED_OF_LIGHT};
use crate::survey::prepare::Note;
use crate::table::{FitsFile, FitsHeader, HduKind};
use std::path::Path;
use std::sync::Arc;

/// Relative difference between a stored wavelength and that of the coefficients beyond which they
/// contradict each other: 3 km/s. Files seen differ by 0.003 Å, 0.2 km/s.
const LARGEST_DIFFERENCE: f64 = 1e-5;
/// A redshift below this is a sentinel (−9999).
const LEAST_REDSHIFT: f64 = -1.0;

/// What FIBERTYP calls fibres that see no star.
const NO_STARS: [&str; 3] = ["sky", "unused", "dead"];

/// Rows of an image or columns of a table.
struct Arrays {
    flux: Vec<f64>,
    ivar: Vec<f64>,
    /// Stored wavelengths, where there are any.
    wavelength: Option<Vec<f64>>,
    and_mask: Vec<f64>,
    or_mask: Vec<f64>,
}

/// Pilot to DR8.
///
/// # Errors
/// When a header value is absent, or wavelengths contradict themselves.
pub(super) fn read_image(path: &Path, file: &FitsFile, options: &ReadOptions) -> Result<Spectra> {
    let header = file.header(0)?;
    let mut image = file.image(0)?;
    let mut row = || image.read_f64(1);
    let (flux, ivar, third, and_mask, or_mask) = (row()?, row()?, row()?, row()?, row()?);
    // The third row is wavelengths or flux over continuum; its name differs between releases.
    let is_wavelength = third.first().is_some_and(|&first| first > 3000.0) && third.is_sorted_by(|a, b| a < b);
    let wavelength = is_wavelength.then_some(third);
    one(path, Layout::LamostImage, &header, Arrays { flux, ivar, wavelength, and_mask, or_mask }, options)
}

/// From DR9.
///
/// # Errors
/// When a column or header value is absent, or wavelengths contradict themselves.
pub(super) fn read_table(path: &Path, file: &FitsFile, options: &ReadOptions) -> Result<Spectra> {
    let is_spectrum =
        |&number: &usize| file.kind(number) == HduKind::Table && file.column_in_any_case(number, "ANDMASK").is_some();
    let numbers: Vec<usize> = (0..file.n_hdus()).filter(is_spectrum).collect();
    let number = match numbers.as_slice() {
        [] => 1,
        [number] => *number,
        [first, ..] => {
            let names: Vec<&str> = numbers.iter().map(|&number| file.name(number)).collect();
            return Err(Error::data(path.display().to_string())
                .found(format!("{} tables of spectra ({})", numbers.len(), names.join(", ")))
                .expected("one, as low-resolution files have")
                .remedy(format!(
                    "Of other files (medium resolution), name one table: `….fits[{}]`, with medium = \"vacuum\" under [spectra].",
                    if file.name(*first).is_empty() { first.to_string() } else { file.name(*first).to_owned() }
                )));
        }
    };
    let table = file.table(number, None)?;
    if table.n_rows() != 1 {
        return Err(Error::data(file.place(file.name(number)))
            .found(format!("{} rows", table.n_rows()))
            .expected("one, with the spectrum in its lists")
            .remedy("Read tables of many spectra with `layout = \"table\"` and [spectra.columns]."));
    }
    let column = |wanted: &str| table.column_in_any_case(wanted)?.flat_f64();
    let stated = |name: &str| table.get_in_any_case(name).map_or("", |column| column.schema.unit.trim());
    let place = |name: &str| format!("{}, column '{name}'", file.place(file.name(number)));
    flux_unit::require_flux(stated("FLUX"), &place("FLUX"))?;
    let factor = flux_unit::factor(Measure::InverseVariance, stated("IVAR"), stated("FLUX"), &place("IVAR"))?;
    let arrays = Arrays {
        flux: column("FLUX")?,
        ivar: column("IVAR")?.into_iter().map(|ivar| factor * ivar).collect(),
        wavelength: Some(column("WAVELENGTH")?),
        and_mask: column("ANDMASK")?,
        or_mask: column("ORMASK")?,
    };
    one(path, Layout::LamostTable, &file.header(0)?, arrays, options)
}

fn one(path: &Path, layout: Layout, header: &FitsHeader, arrays: Arrays, options: &ReadOptions) -> Result<Spectra> {
    let fibre = header.text("FIBERTYP").unwrap_or_default().trim().to_ascii_lowercase();
    if NO_STARS.contains(&fibre.as_str()) {
        return Ok(Spectra::of_no_star(layout));
    }
    let Arrays { mut flux, mut ivar, wavelength, and_mask, or_mask } = arrays;
    let n = flux.len();
    if [ivar.len(), and_mask.len(), or_mask.len(), wavelength.as_ref().map_or(n, Vec::len)].iter().any(|&length| length != n) {
        return Err(Error::data("columns of the spectrum")
            .found("lists of different lengths")
            .expected("a value for every pixel"));
    }
    let wavelength = wavelengths(header, wavelength, n)?;
    // Masks are stored as floats. ORMASK says that one exposure of several was bad: its pixels are usable.
    let is_set = |mask: &[f64], pixel: usize| mask[pixel] != 0.0;
    let mut notes =
        mark_bad(&mut flux, &mut ivar, |pixel| is_set(&and_mask, pixel) || options.or_mask && is_set(&or_mask, pixel));
    if header.integer("FIBERMAS")?.is_some_and(|mask| mask != 0) {
        notes |= Note::FiberBad.bit();
    }
    if header.logical("HELIO") == Some(false) {
        return Err(Error::data("header keyword HELIO")
            .found("F: wavelengths as the telescope saw them")
            .expected("heliocentric wavelengths")
            .remedy("Apply the correction (HELIO_RV) to the file first; velocities of catalogues are heliocentric."));
    }
    let names = options.carry.iter().map(String::as_str);
    let facts = POSITION.into_iter().chain(names);
    let facts = facts.filter_map(|name| Some((name.to_ascii_lowercase(), Fact::of_header(header, &name.to_ascii_uppercase())?)));
    let redshift = header.number("Z")?.filter(|&redshift| redshift > LEAST_REDSHIFT);
    let spectrum = ObservedSpectrum {
        id: Some(match header.integer("OBSID")? {
            Some(id) if id > 0 => id,
            _ => stable_id(&name(header, path)),
        }),
        place: path.display().to_string(),
        segments: vec![Segment { arm: String::new(), wavelength: Arc::new(wavelength), flux, ivar, line_spread: Vec::new() }],
        medium: header.logical("VACUUM").map(|is_vacuum| if is_vacuum { Medium::Vacuum } else { Medium::Air }),
        // Relative, in counts or so: never a unit.
        flux_unit: String::new(),
        velocity: redshift.map(|redshift| redshift * SPEED_OF_LIGHT),
        facts: facts.collect(),
        notes,
        fault: None,
        n_following: 0,
    };
    Ok(Spectra::single(layout, spectrum))
}

/// What identifies a spectrum without OBSID: `LMJD-PLANID_spSPID-FIBERID`, as files are named; the file's
/// name where that is not known.
fn name(header: &FitsHeader, path: &Path) -> String {
    let parts = ["LMJD", "PLANID", "SPID", "FIBERID"].map(|keyword| header.text(keyword));
    match parts {
        [Some(day), Some(plan), Some(spectrograph), Some(fiber)] => format!("{day}-{plan}_sp{spectrograph}-{fiber}"),
        _ => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

fn wavelengths(header: &FitsHeader, stored: Option<Vec<f64>>, n: usize) -> Result<Vec<f64>> {
    let computed = match (header.number("COEFF0")?, header.number("COEFF1")?) {
        (Some(first), Some(step)) => Some((0..n).map(|i| 10_f64.powf(first + step * i as f64)).collect::<Vec<f64>>()),
        _ => None,
    };
    match (computed, stored) {
        (Some(computed), Some(stored)) => {
            let differs =
                |pair: &(usize, (&f64, &f64))| (pair.1.0 / pair.1.1 - 1.0).abs() > LARGEST_DIFFERENCE || pair.1.0.is_nan();
            match stored.iter().zip(&computed).enumerate().find(differs) {
                Some((pixel, (stored, computed))) => Err(Error::data(format!("wavelengths, pixel {pixel}"))
                    .found(format!("{stored} Å"))
                    .expected(format!("{computed:.3}, by COEFF0 and COEFF1"))
                    .remedy("The file contradicts itself: get it again.")),
                None => Ok(computed),
            }
        }
        (Some(wavelength), None) | (None, Some(wavelength)) => Ok(wavelength),
        (None, None) => Err(Error::data("header keyword COEFF0")
            .found("nothing, and no wavelengths in the data")
            .expected("log10 of the first wavelength (Å), and COEFF1, its step")),
    }
}
