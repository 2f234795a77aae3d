//! Spectra as their files have them, one star or exposure after the other, with bad pixels marked.

use super::fact::{Fact, FactTypes};
use super::recipe::PixelColumns;
use super::{Layout, desi, lamost, sdss, table};
use crate::error::Result;
use crate::quantity::is_sentinel;
use crate::spectrum::Medium;
use crate::statistics::median;
use crate::survey::prepare::Note;
use crate::table::FitsFile;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// An arm of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its name in lower case (`b`, `r`, `z`); empty where there is only one.
    pub arm: String,
    /// Å, rising, in the medium and frame of the file.
    pub wavelength: Arc<Vec<f64>>,
    pub flux: Vec<f64>,
    /// Inverse variance; 0 for bad pixels (masked, without a flux that is one, or without a finite positive
    /// inverse variance).
    pub ivar: Vec<f64>,
    /// σ of the line spread, Å, where it was asked for and the file tells it; empty otherwise.
    pub line_spread: Vec<f64>,
}

/// A star's spectrum, or one exposure of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedSpectrum {
    /// The identifier by the file.
    pub id: Option<i64>,
    /// Where it stands: file, and row where there are many.
    pub place: String,
    pub segments: Vec<Segment>,
    /// What the file says of its wavelengths.
    pub medium: Option<Medium>,
    /// Unit of the flux by the file; empty where none is stated or it is relative.
    pub flux_unit: String,
    /// Radial velocity by the file, km/s, positive receding: c z.
    pub velocity: Option<f64>,
    /// Facts that were asked for, and the position (`ra`, `dec`).
    pub facts: BTreeMap<String, Fact>,
    /// [`Note`] bits.
    pub notes: i32,
    /// What makes it unusable, in words; it becomes a row without flux.
    pub fault: Option<String>,
    /// Exposures of the same star that follow in the file.
    pub n_following: usize,
}

/// What is read of files.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The layout; told by the content where this is absent.
    pub layout: Option<Layout>,
    /// Header keywords or columns of the fibre map to be carried along.
    pub carry: Vec<String>,
    /// Whether the line spread is wanted.
    pub line_spread: bool,
    /// Whether pixels are bad that were bad in one exposure of several (LAMOST's ORMASK; SDSS's BADSKYCHI,
    /// REDMONSTER).
    pub or_mask: bool,
    /// Columns of plain tables.
    pub columns: PixelColumns,
}

/// The spectra of a file.
pub struct Spectra {
    pub layout: Layout,
    /// Rows that are no stars (sky, unassigned and stuck fibres).
    pub n_not_stars: usize,
    /// The stars' identifiers by the file, where they are known beforehand.
    pub(super) ids: Option<Vec<i64>>,
    /// Types and units of the facts, where the file states them for all its spectra.
    pub(super) fact_types: FactTypes,
    pub(super) spectra: Box<dyn Iterator<Item = Result<ObservedSpectrum>> + Send>,
}

impl Spectra {
    /// The spectrum of a file that has one.
    pub(super) fn single(layout: Layout, spectrum: ObservedSpectrum) -> Self {
        Self { layout, n_not_stars: 0, ids: None, fact_types: FactTypes::new(), spectra: Box::new(std::iter::once(Ok(spectrum))) }
    }

    /// A file whose one spectrum is of no star.
    pub(super) fn of_no_star(layout: Layout) -> Self {
        Self { layout, n_not_stars: 1, ids: None, fact_types: FactTypes::new(), spectra: Box::new(std::iter::empty()) }
    }

    /// Spectra that are read in blocks, until there is none or one cannot be read: a file that breaks off has
    /// one error, and nothing that comes after it.
    pub(super) fn in_blocks(
        layout: Layout,
        n_not_stars: usize,
        fact_types: FactTypes,
        mut next: impl FnMut() -> Option<Result<Vec<ObservedSpectrum>>> + Send + 'static,
    ) -> Self {
        let mut has_failed = false;
        let blocks = std::iter::from_fn(move || {
            let block = (!has_failed).then(&mut next).flatten();
            has_failed = matches!(block, Some(Err(_)));
            block
        });
        let spectra = blocks.flat_map(|block| {
            let (spectra, error) = match block {
                Ok(spectra) => (spectra, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            spectra.into_iter().map(Ok).chain(error)
        });
        Self { layout, n_not_stars, ids: None, fact_types, spectra: Box::new(spectra) }
    }
}

impl Iterator for Spectra {
    type Item = Result<ObservedSpectrum>;

    fn next(&mut self) -> Option<Self::Item> {
        self.spectra.next()
    }
}

/// Opens a file of spectra and tells its layout by what is in it.
///
/// # Errors
/// When it cannot be read, holds no spectra or spectra of a layout that is not known, or contradicts itself.
pub fn read_spectra(path: &Path, options: &ReadOptions) -> Result<Spectra> {
    match layout(path, options)? {
        (Layout::Table, _) => table::read(path, options),
        (Layout::Desi, Some(file)) => desi::read(&file, options),
        (Layout::LamostImage, Some(file)) => lamost::read_image(path, &file, options),
        (Layout::LamostTable, Some(file)) => lamost::read_table(path, &file, options),
        (Layout::Sdss, Some(file)) => sdss::read(path, &file, options),
        (_, None) => table::read(path, options),
    }
    .map_err(|error| error.within(path.display()))
}

fn layout(path: &Path, options: &ReadOptions) -> Result<(Layout, Option<FitsFile>)> {
    if options.layout == Some(Layout::Table) || !super::layout::is_fits(path)? {
        return Ok((Layout::Table, None));
    }
    let file = FitsFile::open(path)?;
    let found = Layout::of(&file, &options.columns).map_err(|error| error.within(path.display()))?;
    match options.layout {
        Some(wanted) if wanted != found && wanted.family() != found.family() => {
            Err(crate::error::Error::data(path.display().to_string())
                .found(format!("spectra in the layout of {}", found.name()))
                .expected(format!("{}, as the recipe says", wanted.name()))
                .remedy("Correct `layout` in the recipe, or leave it out."))
        }
        _ => Ok((found, Some(file))),
    }
}

/// Fluxes and errors beyond this are none, …
const LARGEST: f64 = 1e15;
/// … unless the spectrum is of such numbers: models in erg/s/cm²/cm have 10¹⁵. This many of its medians are
/// none in any unit.
const LARGEST_OF_MEDIANS: f64 = 1e6;
/// Numbers for "no value" from this on downwards are none whatever the others are.
const SURE_SENTINEL: f64 = -9999.0;

/// Which fluxes of a spectrum are such, as the file has them, before any unit is converted.
struct Possible {
    largest: f64,
    /// Whether the fluxes are whole numbers, among which −99 and −999 are counts.
    are_whole: bool,
}

impl Possible {
    fn of(flux: &[f64]) -> Self {
        let finite = || flux.iter().copied().filter(|flux| flux.is_finite());
        let largest = match finite().any(|flux| flux.abs() > LARGEST) {
            true => LARGEST.max(LARGEST_OF_MEDIANS * median(&finite().map(f64::abs).collect::<Vec<f64>>())),
            false => LARGEST,
        };
        let mut others = finite().filter(|flux| !is_sentinel(*flux)).peekable();
        let are_whole = finite().any(is_sentinel) && others.peek().is_some() && others.all(|flux| flux.fract() == 0.0);
        Self { largest, are_whole }
    }

    fn flux(&self, flux: f64) -> bool {
        let is_count = self.are_whole && flux.fract() == 0.0 && flux > SURE_SENTINEL;
        flux.abs() <= self.largest && (!is_sentinel(flux) || is_count)
    }

    fn ivar(&self, ivar: f64) -> bool {
        ivar.is_finite() && ivar >= 0.0 && (ivar == 0.0 || ivar.sqrt().recip() <= self.largest)
    }
}

/// Marks pixels that cannot be used by an inverse variance of 0. Given back are notes: pixels that have an
/// impossible flux (none that is finite, a number that stands for "no value" or one beyond reason) or an
/// impossible inverse variance, and that no mask had covered.
pub(super) fn mark_bad(flux: &mut [f64], ivar: &mut [f64], is_masked: impl Fn(usize) -> bool) -> i32 {
    let possible = Possible::of(flux);
    let mut notes = 0;
    for i in 0..flux.len() {
        let is_bad = is_masked(i);
        let has_flux = possible.flux(flux[i]);
        let is_possible = has_flux && possible.ivar(ivar[i]);
        // A number for "no value" that the file itself gives no weight is no news.
        let has_no_weight = flux[i].is_finite() && ivar[i] == 0.0;
        if !(is_bad || is_possible || has_no_weight) {
            notes |= Note::BadPixels.bit();
        }
        if is_bad || !is_possible {
            ivar[i] = 0.0;
        }
        if !has_flux {
            flux[i] = 0.0;
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marked pixels of a spectrum of errors 0.1, and whether there is a note.
    fn marked(flux: &[f64]) -> (Vec<usize>, bool) {
        let (mut flux, mut ivar) = (flux.to_vec(), vec![100.0; flux.len()]);
        let notes = mark_bad(&mut flux, &mut ivar, |_| false);
        let marked: Vec<usize> = (0..flux.len()).filter(|&i| ivar[i] == 0.0).collect();
        assert!(marked.iter().all(|&i| flux[i] == 0.0));
        (marked, notes == Note::BadPixels.bit())
    }

    #[test]
    fn numbers_for_no_value_are_no_fluxes() {
        assert_eq!(
            marked(&[5.5, -9999.0, 6.5, 1e20, -99.0, f64::from(-99.9_f32), -999.0, 7.5, -98.9]),
            (vec![1, 3, 4, 5, 6], true)
        );
        // Counts may be −99 and −999; −9999 and −99.9 are none among them either.
        assert_eq!(marked(&[-99.0, -999.0, 12.0, -13.0, -9999.0, -99.9]), (vec![4, 5], true));
        assert_eq!(marked(&[-99.0, -99.0]), (vec![0, 1], true), "nothing else");
        assert_eq!(marked(&[1.0, -2.0, 0.5]), (vec![], false));
        // Models in erg/s/cm²/cm.
        assert_eq!(marked(&[2e15, 8e15, 1e16, 3e30]), (vec![3], true));
        assert_eq!(marked(&[1e-17, 1e-18, 9.97e36, -2e15, 3e-18]), (vec![2, 3], true));
    }

    #[test]
    fn errors_beyond_reason_are_none() {
        let (mut flux, mut ivar) = (vec![1.0; 4], vec![1e-40, 0.0, 1e40, 1.0]);
        assert_eq!(mark_bad(&mut flux, &mut ivar, |_| false), Note::BadPixels.bit());
        assert_eq!(ivar, [0.0, 0.0, 1e40, 1.0]);
        let (mut flux, mut ivar) = (vec![-9999.0, 1.0], vec![0.0, 1.0]);
        assert_eq!(mark_bad(&mut flux, &mut ivar, |_| false), 0, "the file says so itself");
    }
}
