//! Gaia XP spectra: coefficients of BP and RP → flux and covariance on any wavelength grid.
//!
//! ```
//! use photosphere::survey::xp;
//! let sampling = xp::Instrument::standard()?.sampling(&xp::DEFAULT_WAVELENGTHS, 55, 55)?;
//! assert_eq!(sampling.bp.dim(), (61, 55));
//! # Ok::<(), photosphere::error::Error>(())
//! ```

#[cfg(test)]
mod avro;
mod basis;
mod built_in;
mod columns;
mod covariance;
mod instrument;
mod instrument_file;
mod internal;
mod lists;
#[cfg(test)]
mod parity;
mod quadratic_form;
mod read;
#[cfg(test)]
mod read_tests;
mod sampled;
mod sampling;
mod spectrum;
mod spline;

pub use basis::BasisKind;
pub use built_in::DEFAULT_INSTRUMENT;
pub use columns::{ColumnMap, SpectrumKind, columns_of_spectra, refuse_epoch_spectra, spectrum_columns};
pub use covariance::Encoding;
pub use instrument::{Instrument, archive_wavelengths};
pub use internal::{InternalSampling, InternalSpectrum};
pub use quadratic_form::Scratch;
pub use read::{SpectrumOptions, SpectrumReader, Truncation, spectra_from_table};
pub use sampled::{SampledReader, SampledSpectrum};
pub use sampling::{ErrorConvention, FluxParts, Sampling};
pub use spectrum::{Band, Fault, Spectrum};

/// The 61 wavelengths of Zhang, Green & Rix (2023), in nm: 392, 402, … 992.
pub const DEFAULT_WAVELENGTHS: [f64; 61] = {
    let mut wavelengths = [0.0; 61];
    let mut sample = 0;
    while sample < wavelengths.len() {
        wavelengths[sample] = 392.0 + 10.0 * sample as f64;
        sample += 1;
    }
    wavelengths
};

/// Flux unit of design matrices, flux and (squared) covariance, in W m⁻² nm⁻¹.
pub const FLUX_UNIT: f64 = 1e-18;

/// The wavelengths, in nm, that a grid may cover, where the instrument's file does not say otherwise.
pub const WAVELENGTH_RANGE: std::ops::RangeInclusive<f64> = 336.0..=1020.0;
