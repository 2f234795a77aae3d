//! The rows of a chunk of XP spectra, of either kind, and their samples.

use super::flux::FluxMaker;
use crate::error::{Error, Result};
use crate::noise::triangle;
use crate::survey::xp::{
    ColumnMap, SampledReader, SampledSpectrum, SpectrumKind, SpectrumOptions, SpectrumReader, columns_of_spectra,
};
use crate::table::{ColumnSchema, Table};

/// A chunk of XP spectra.
pub(super) enum XpRows<'a> {
    Continuous(Box<SpectrumReader<'a>>),
    /// With the weights of BP and RP `[B]`.
    Sampled(Box<SampledReader<'a>>, [Vec<f64>; 2]),
}

/// One star at the XP wavelengths `[B]`, 1e-18 W m⁻² nm⁻¹: merged flux and the shares of both bands.
pub(super) struct Samples {
    pub(super) flux: Vec<f64>,
    pub(super) bp: Vec<f64>,
    pub(super) rp: Vec<f64>,
}

impl<'a> XpRows<'a> {
    /// The spectra of a chunk, of the kind that its columns show.
    ///
    /// # Errors
    /// When there are neither coefficients nor fluxes, or a column has the wrong type.
    pub(super) fn new(chunk: &'a Table, options: &'a SpectrumOptions, maker: &FluxMaker) -> Result<Self> {
        let schemas: Vec<ColumnSchema> = chunk.columns().iter().map(|column| column.schema.clone()).collect();
        match columns_of_spectra(&schemas, &ColumnMap::default()).map(|(kind, _)| kind) {
            Some(SpectrumKind::Sampled) => {
                let wavelengths = maker.sample_wavelengths();
                let (bp, rp) = options.instrument.merge_weights(wavelengths)?;
                Ok(Self::Sampled(Box::new(SampledReader::new(chunk, wavelengths)?), [bp, rp]))
            }
            // Without coefficients, the reader names the column that is absent.
            Some(SpectrumKind::Continuous) | None => Ok(Self::Continuous(Box::new(SpectrumReader::new(chunk, options)?))),
        }
    }
}

impl Samples {
    /// Those of a sampled spectrum; `covariance`, a packed upper triangle, becomes the diagonal one of its
    /// errors.
    pub(super) fn of(spectrum: &SampledSpectrum, [bp, rp]: &[Vec<f64>; 2], covariance: &mut [f64]) -> Self {
        let n = spectrum.flux.len();
        covariance.fill(0.0);
        for (sample, error) in spectrum.error.iter().enumerate() {
            covariance[triangle::upper(sample, sample, n)] = error * error;
            if error.is_nan() {
                (0..n).for_each(|other| covariance[triangle::upper(sample.min(other), sample.max(other), n)] = f64::NAN);
            }
        }
        let share = |weights: &[f64]| spectrum.flux.iter().zip(weights).map(|(flux, weight)| flux * weight).collect();
        Self { flux: spectrum.flux.clone(), bp: share(bp), rp: share(rp) }
    }
}

/// Spectra of which some are usable, unless something is wrong with all of them.
pub(super) const FEWEST_SPECTRA: usize = 10;

/// The end of a preparation none of whose spectra has errors and correlations that can be.
pub(super) fn none_usable(n: usize) -> Error {
    Error::data("XP spectra")
        .found(format!("{n} of {n} that cannot be used: their errors and correlations make no covariance, or values are missing"))
        .expected("spectra as the archive has them, the correlations in the order of its documentation")
        .remedy("Compare the file with what the archive delivers; xp.covariance in the recipe says how covariances are packed.")
}

/// The end of a preparation none of whose spectra is of the instrument.
pub(super) fn all_refused(n: usize, example: &str, options: &SpectrumOptions) -> Error {
    let ((n_bp, n_rp), (bp, rp)) = (options.instrument.n_bases(), options.instrument.basis_function_ids());
    Error::data("XP spectra")
        .found(format!("{n} of {n} that cannot be used ({example})"))
        .expected(format!(
            "spectra of the instrument {} ({n_bp} BP and {n_rp} RP coefficients, basis_function_id {bp} and {rp})",
            options.instrument.name()
        ))
        .remedy("Name the instrument of their release in the recipe (xp.instrument); `photosphere instruments` lists what is built in.")
}
