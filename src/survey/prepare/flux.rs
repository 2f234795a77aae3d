//! Flux, errors and covariance of a chunk of stars: XP samples, then photometric bands.

use super::{Note, XpSource};
use crate::error::Result;
use crate::noise::triangle;
use crate::survey::photometry::{Measurement, PhotometricBand};
use crate::survey::xp::{Band, Fault, Sampling, Spectrum};
use crate::table::Table;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Makes flux vectors with one layout.
#[derive(Debug)]
pub(super) struct FluxMaker {
    xp: Option<XpSource>,
    bands: Vec<PhotometricBand>,
    /// Design matrices by numbers of BP and RP coefficients.
    samplings: BTreeMap<(usize, usize), Sampling>,
    /// Wavelengths of the XP samples.
    samples: Vec<f64>,
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
}

/// The fluxes of one star.
struct StarFlux {
    flux: Vec<f64>,
    error: Vec<f64>,
    covariance: Vec<f64>,
    notes: i32,
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
        let grid = xp.as_ref().map(|xp| xp.grid.sampling(0, 0)).transpose()?;
        let samples = grid.map_or_else(Vec::new, |sampling| sampling.wavelength);
        Ok(Self { xp, bands, samplings: BTreeMap::new(), samples })
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
        let samples = self.samples.iter().map(|wavelength| format!("xp_{wavelength}"));
        samples.chain(self.bands.iter().map(|band| band.name.clone())).collect()
    }

    /// The fluxes of all stars, in parallel; `stars` holds the photometric columns.
    ///
    /// # Errors
    /// When a photometric column is absent or not numeric.
    pub(super) fn make(
        &mut self,
        spectra: &[std::result::Result<Spectrum, Fault>],
        stars: &Table,
        notes: &mut [i32],
    ) -> Result<ChunkFlux> {
        if let Some(xp) = &self.xp {
            for spectrum in spectra.iter().flatten() {
                let (n_bp, n_rp) = counts(spectrum);
                if let Entry::Vacant(place) = self.samplings.entry((n_bp, n_rp)) {
                    place.insert(xp.grid.sampling(n_bp, n_rp)?);
                }
            }
        }
        let bands: Vec<BandColumns> = self.bands.iter().map(|band| BandColumns::new(band, stars)).collect::<Result<_>>()?;
        let made: Vec<StarFlux> = (0..stars.n_rows())
            .into_par_iter()
            .map(|row| {
                let mut star = self.sample(spectra.get(row));
                bands.iter().for_each(|band| band.measure(row, &mut star));
                if star.flux.iter().all(|flux| flux.is_nan()) {
                    star.notes |= Note::NoFlux.bit();
                }
                star
            })
            .collect();
        let mut chunk = ChunkFlux::default();
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32);
        for (star, notes) in made.into_iter().zip(notes) {
            chunk.flux.extend(single(star.flux));
            chunk.error.extend(single(star.error));
            chunk.covariance.extend(single(star.covariance));
            *notes |= star.notes;
        }
        Ok(chunk)
    }

    /// XP samples of one star with inflated covariance.
    fn sample(&self, spectrum: Option<&std::result::Result<Spectrum, Fault>>) -> StarFlux {
        let n = self.n_samples();
        let unusable = StarFlux {
            flux: vec![f64::NAN; n],
            error: vec![f64::NAN; n],
            covariance: vec![f64::NAN; triangle::length(n)],
            notes: if self.xp.is_some() { Note::SpectrumUnusable.bit() } else { 0 },
        };
        let (Some(xp), Some(Ok(spectrum))) = (&self.xp, spectrum) else { return unusable };
        let Some(sampling) = self.samplings.get(&counts(spectrum)) else { return unusable };
        let parts = sampling.parts(spectrum);
        let mut covariance = sampling.covariance(spectrum, xp.error_convention);
        xp.inflation.apply(&mut covariance, [&parts.bp, &parts.rp]);
        let error: Vec<f64> = (0..n).map(|sample| covariance[triangle::upper(sample, sample, n)].sqrt()).collect();
        let mut star = StarFlux { flux: parts.flux(), error, covariance, notes: 0 };
        let present = |sample: usize| star.error[sample] > 0.0 && star.error[sample].is_finite() && star.flux[sample].is_finite();
        let missing: Vec<usize> = (0..n).filter(|&sample| !present(sample)).collect();
        for sample in missing {
            (star.flux[sample], star.error[sample]) = (f64::NAN, f64::NAN);
        }
        let without_correlations = [&spectrum.bp, &spectrum.rp].into_iter().flatten().any(|band| band.correlations.is_none());
        for (is, note) in [
            (spectrum.bp.is_none(), Note::BpMissing),
            (spectrum.rp.is_none(), Note::RpMissing),
            (without_correlations, Note::CorrelationsMissing),
        ] {
            star.notes |= if is { note.bit() } else { 0 };
        }
        star
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

    fn measure(&self, row: usize, star: &mut StarFlux) {
        let crowding = self.crowding.as_ref().map(|values| values[row]);
        let (flux, error) = match self.band.measure(self.magnitude[row], self.error[row], crowding) {
            Measurement::Flux { value, error } => (value, error),
            Measurement::Missing => (f64::NAN, f64::NAN),
            Measurement::Invalid => {
                star.notes |= Note::MagnitudeInvalid.bit();
                (f64::NAN, f64::NAN)
            }
            Measurement::Crowded => {
                star.notes |= Note::Crowded.bit();
                (f64::NAN, f64::NAN)
            }
        };
        star.flux.push(flux);
        star.error.push(error);
    }
}
