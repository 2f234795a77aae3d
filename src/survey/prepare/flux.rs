//! Flux, errors and covariance of a chunk of stars: XP samples, then photometric bands.

use super::samples::{Samples, XpRows};
use super::{Note, XpSource};
use crate::error::{Error, Result};
use crate::noise::triangle;
use crate::quantity::{LARGEST_FLUX, xp_sample_name};
use crate::survey::photometry::{Measurement, PhotometricBand};
use crate::survey::xp::{Band, Fault, Sampling, Scratch, Spectrum, SpectrumOptions};
use crate::table::Table;
use crate::warning::warn_once;
use rayon::prelude::*;
use std::collections::{BTreeMap, btree_map};

/// Makes flux vectors with one layout.
#[derive(Debug, Clone)]
pub(super) struct FluxMaker {
    xp: Option<XpSource>,
    /// How XP spectra are read, with their instrument.
    options: Option<SpectrumOptions>,
    bands: Vec<Entry>,
    /// Design matrices by numbers of BP and RP coefficients.
    samplings: BTreeMap<(usize, usize), Sampling>,
    /// Wavelengths of the XP samples.
    samples: Vec<f64>,
}

/// A photometric entry of the data vector.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    /// In nm.
    wavelength: f64,
    /// Where it comes from; `None` where it is missing for every star.
    band: Option<PhotometricBand>,
}

/// The fluxes of a chunk, flattened star after star, in 1e-18 W m⁻² nm⁻¹; missing is NaN in flux and error.
#[derive(Debug, Default)]
pub(super) struct ChunkFlux {
    /// `[N, W]`.
    pub(super) flux: Vec<f32>,
    /// `[N, W]`.
    pub(super) error: Vec<f32>,
    /// Row-wise upper triangles of the XP block `[N, B(B+1)/2]`.
    pub(super) covariance: Vec<f32>,
    /// Why spectra cannot be used, by row.
    pub(super) faults: Vec<(usize, Fault)>,
}

/// Where the fluxes of one star go; NaN on entry.
struct StarFlux<'a> {
    flux: &'a mut [f32],
    error: &'a mut [f32],
    covariance: &'a mut [f32],
    notes: &'a mut i32,
}

/// Work space of one thread.
struct WorkSpace {
    scratch: Scratch,
    covariance: Vec<f64>,
}

/// The columns of one band.
struct BandColumns<'a> {
    band: &'a PhotometricBand,
    magnitude: Vec<f64>,
    error: Vec<f64>,
    crowding: Option<Vec<f64>>,
}

impl FluxMaker {
    pub(super) fn new(xp: Option<XpSource>, bands: Vec<PhotometricBand>) -> Result<Self> {
        let options = xp.as_ref().map(XpSource::spectrum_options).transpose()?;
        let grid = xp.as_ref().zip(options.as_ref()).map(|(xp, options)| xp.grid.sampling(&options.instrument, 0, 0));
        let samples = grid.transpose()?.map_or_else(Vec::new, |sampling| sampling.wavelength);
        let entry = |band: PhotometricBand| Entry { name: band.name.clone(), wavelength: band.wavelength, band: Some(band) };
        let bands = bands.into_iter().map(entry).collect();
        Ok(Self { xp, options, bands, samplings: BTreeMap::new(), samples })
    }

    /// Changes to a data vector that begins with the XP samples and holds all bands, in any order; other
    /// entries are missing.
    pub(super) fn extend_to(&mut self, names: &[String], wavelengths: &[f64]) -> Result<()> {
        let n = self.n_samples();
        let own: Vec<(String, f64)> = self.band_names().into_iter().zip(self.wavelengths()).collect();
        let other: Vec<(&String, f64)> = names.iter().zip(wavelengths.iter().copied()).collect();
        let same = |(name, nm): &(String, f64), (other_name, other_nm): &(&String, f64)| {
            name == *other_name && (nm - other_nm).abs() <= 1e-6 * nm
        };
        let absent = own.iter().enumerate().find(|(position, entry)| match *position < n {
            true => !other.get(*position).is_some_and(|other| same(entry, other)),
            false => !other.iter().skip(n).any(|other| same(entry, other)),
        });
        if let Some((position, (name, wavelength))) = absent {
            let place = if position < n { format!("as its entry {position}") } else { "among its bands".into() };
            return Err(Error::usage("prepare recipe and model")
                .found(format!("'{name}' at {wavelength} nm in the recipe"))
                .expected(format!("a model with that {place}; it has {}", names.join(", ")))
                .remedy("Use the XP grid of the model, and only bands that it has."));
        }
        let entry = |(name, wavelength): &(&String, f64)| {
            let band = self.bands.iter().find(|entry| entry.name == **name).and_then(|entry| entry.band.clone());
            Entry { name: (*name).clone(), wavelength: *wavelength, band }
        };
        self.bands = other[n..].iter().map(entry).collect();
        Ok(())
    }

    /// How XP spectra are read; `None` without them.
    pub(super) fn spectrum_options(&self) -> Option<&SpectrumOptions> {
        self.options.as_ref()
    }

    /// Wavelengths of the XP samples, nm `[B]`.
    pub(super) fn sample_wavelengths(&self) -> &[f64] {
        &self.samples
    }

    /// Number of XP samples, B.
    pub(super) fn n_samples(&self) -> usize {
        self.samples.len()
    }

    /// All wavelengths in nm `[W]`.
    pub(super) fn wavelengths(&self) -> Vec<f64> {
        self.samples.iter().copied().chain(self.bands.iter().map(|band| band.wavelength)).collect()
    }

    /// Names of all wavelengths `[W]`: `xp_392`, … for the XP samples, then the photometric bands.
    pub(super) fn band_names(&self) -> Vec<String> {
        let samples = self.samples.iter().copied().map(xp_sample_name);
        samples.chain(self.bands.iter().map(|band| band.name.clone())).collect()
    }

    /// The fluxes of all stars, in parallel; `stars` holds the photometric columns.
    ///
    /// # Errors
    /// When a photometric column is absent or not numeric.
    pub(super) fn make(&mut self, spectra: Option<&XpRows>, stars: &Table, notes: &mut [i32]) -> Result<ChunkFlux> {
        if let (Some(xp), Some(options), Some(XpRows::Continuous(spectra))) = (&self.xp, &self.options, spectra) {
            for (n_bp, n_rp) in spectra.coefficient_counts() {
                if let btree_map::Entry::Vacant(place) = self.samplings.entry((n_bp, n_rp)) {
                    place.insert(xp.grid.sampling(&options.instrument, n_bp, n_rp)?);
                }
            }
        }
        let bands = self.bands.iter().map(|entry| entry.band.as_ref().map(|band| BandColumns::new(band, stars)).transpose());
        let bands: Vec<Option<BandColumns>> = bands.collect::<Result<_>>()?;
        let (n_rows, n_samples, n_wavelengths) = (stars.n_rows(), self.n_samples(), self.n_samples() + bands.len());
        let length = triangle::length(n_samples);
        let missing = |length: usize| vec![f32::NAN; n_rows * length];
        let mut chunk = ChunkFlux {
            flux: missing(n_wavelengths),
            error: missing(n_wavelengths),
            covariance: missing(length),
            faults: Vec::new(),
        };
        let covariances: Vec<&mut [f32]> = match length {
            0 => (0..n_rows).map(|_| [].as_mut_slice()).collect(),
            length => chunk.covariance.chunks_mut(length).collect(),
        };
        let fluxes = chunk.flux.par_chunks_mut(n_wavelengths).zip(chunk.error.par_chunks_mut(n_wavelengths));
        let rows = (fluxes, covariances, notes).into_par_iter().enumerate();
        let faults: Vec<Option<Fault>> = rows
            .map_init(
                || WorkSpace { scratch: Scratch::default(), covariance: vec![0.0; length] },
                |work, (row, ((flux, error), covariance, notes))| {
                    let mut star = StarFlux { flux, error, covariance, notes };
                    let fault = spectra.and_then(|spectra| self.star(spectra, row, work, &mut star).err());
                    *star.notes |= if fault.is_some() { Note::SpectrumUnusable.bit() } else { 0 };
                    let is_impossible = fault.as_ref().is_some_and(Fault::is_impossible);
                    *star.notes |= if is_impossible { Note::FluxImpossible.bit() } else { 0 };
                    for (position, band) in bands.iter().enumerate() {
                        if let Some(band) = band {
                            band.measure(row, n_samples + position, &mut star);
                        }
                    }
                    if star.flux.iter().all(|flux| flux.is_nan()) {
                        *star.notes |= Note::NoFlux.bit();
                    }
                    fault
                },
            )
            .collect();
        chunk.faults = faults.into_iter().enumerate().filter_map(|(row, fault)| Some((row, fault?))).collect();
        Ok(chunk)
    }

    /// XP samples of the star in a row.
    fn star(&self, spectra: &XpRows, row: usize, work: &mut WorkSpace, star: &mut StarFlux) -> std::result::Result<(), Fault> {
        match spectra {
            XpRows::Continuous(spectra) => {
                self.sample(&spectra.spectrum(row)?, work, star);
                *star.notes |= if spectra.lacks_freedom(row) { Note::NoFreedom.bit() } else { 0 };
            }
            XpRows::Sampled(spectra, weights) => {
                let samples = Samples::of(&spectra.spectrum(row)?, weights, &mut work.covariance);
                if self.put(&samples, work, star) {
                    *star.notes |= Note::CorrelationsMissing.bit();
                }
            }
        }
        Ok(())
    }

    /// Puts samples with their inflated covariance; none where one is absurd: such coefficients make a
    /// spectrum that is wrong as a whole, though some of its samples may look like fluxes. Returns whether it
    /// did.
    fn put(&self, samples: &Samples, work: &mut WorkSpace, star: &mut StarFlux) -> bool {
        let (Some(xp), n, covariance) = (&self.xp, self.n_samples(), &mut work.covariance) else { return false };
        if samples.flux.iter().any(|flux| flux.abs() > LARGEST_FLUX || flux.is_infinite()) {
            *star.notes |= Note::SpectrumUnusable.bit() | Note::FluxImpossible.bit();
            return false;
        }
        xp.inflation.apply(covariance, [&samples.bp, &samples.rp]);
        star.covariance.iter_mut().zip(covariance.iter()).for_each(|(to, value)| *to = *value as f32);
        for (sample, flux) in samples.flux.iter().enumerate() {
            let variance = covariance[triangle::upper(sample, sample, n)];
            let error = variance.sqrt();
            if error > 0.0 && error.is_finite() && flux.is_finite() {
                (star.flux[sample], star.error[sample]) = (*flux as f32, error as f32);
            } else if flux.is_finite() && !variance.is_nan() {
                *star.notes |= Note::FluxImpossible.bit();
            }
        }
        true
    }

    /// XP samples of one star with inflated covariance.
    fn sample(&self, spectrum: &Spectrum, work: &mut WorkSpace, star: &mut StarFlux) {
        let Some((xp, sampling)) = self.xp.as_ref().zip(self.samplings.get(&counts(spectrum))) else { return };
        let parts = sampling.parts(spectrum);
        let WorkSpace { scratch, covariance } = work;
        sampling.covariance_into(spectrum, xp.error_convention, scratch, covariance);
        let samples = Samples { flux: parts.flux(), bp: parts.bp, rp: parts.rp };
        if !self.put(&samples, work, star) {
            return;
        }
        let without_correlations = [&spectrum.bp, &spectrum.rp].into_iter().flatten().any(|band| band.correlations.is_none());
        for (is, note) in [
            (spectrum.bp.is_none(), Note::BpMissing),
            (spectrum.rp.is_none(), Note::RpMissing),
            (without_correlations, Note::CorrelationsMissing),
        ] {
            *star.notes |= if is { note.bit() } else { 0 };
        }
    }
}

/// Numbers of BP and RP coefficients; zero for a missing band.
fn counts(spectrum: &Spectrum) -> (usize, usize) {
    let count = |band: &Option<Band>| band.as_ref().map_or(0, |band| band.coefficients.len());
    (count(&spectrum.bp), count(&spectrum.rp))
}

impl<'a> BandColumns<'a> {
    fn new(band: &'a PhotometricBand, stars: &Table) -> Result<Self> {
        let values = |name: &str| {
            stars.column(name).and_then(|column| column.to_f64()).map_err(|error| error.within(format!("band '{}'", band.name)))
        };
        let crowding = band.crowding.as_ref().map(|cut| {
            values(&cut.column)
                .map_err(|error| error.remedy("Join a table with that column, or set photometry.crowding = false in the recipe."))
        });
        Ok(Self {
            band,
            magnitude: values(&band.magnitude_column)?,
            error: values(&band.error_column)?,
            crowding: crowding.transpose()?,
        })
    }

    /// Puts the star's flux and error at `position` of its data vector.
    fn measure(&self, row: usize, position: usize, star: &mut StarFlux) {
        let crowding = self.crowding.as_ref().map(|values| values[row]);
        match self.band.measure(self.magnitude[row], self.error[row], crowding) {
            Measurement::Flux { value, error } => {
                (star.flux[position], star.error[position]) = (value as f32, error as f32);
                if self.band.lacks_floor(self.error[row]) {
                    *star.notes |= Note::FloorNotIncluded.bit();
                    warn_once(format!(
                        "band '{}': errors below its included_error_floor of {} mag, which therefore do not contain it: they are taken as \
                         they are (input_notes, bit {}). Leave the floor out if the table has added none",
                        self.band.name,
                        self.band.included_error_floor.unwrap_or(0.0),
                        Note::FloorNotIncluded as i32
                    ));
                }
            }
            Measurement::Missing => {}
            Measurement::WithoutError => *star.notes |= Note::MagnitudeInvalid.bit(),
            Measurement::Invalid => *star.notes |= Note::MagnitudeInvalid.bit() | Note::FluxImpossible.bit(),
            Measurement::Crowded => *star.notes |= Note::Crowded.bit(),
        }
    }
}
