//! Continuous spectra in pseudo-wavelength: what the photometers saw, before any external calibration
//! (GaiaXPy's `convert`).

use super::{Band, Fault, Instrument};
use crate::error::{Error, Result};
use ndarray::Array2;

/// The basis functions of both bands on a grid of pseudo-wavelengths.
#[derive(Debug, Clone, PartialEq)]
pub struct InternalSampling {
    /// Pseudo-wavelengths `[U]`.
    pub pseudo_wavelength: Vec<f64>,
    /// `[U, n_bp]`, e⁻ s⁻¹ per coefficient.
    pub bp: Array2<f64>,
    /// `[U, n_rp]`, e⁻ s⁻¹ per coefficient.
    pub rp: Array2<f64>,
}

/// A band's spectrum on a grid of pseudo-wavelengths.
#[derive(Debug, Clone, PartialEq)]
pub struct InternalSpectrum {
    /// `[U]`, e⁻ s⁻¹.
    pub flux: Vec<f64>,
    /// `[U]`, e⁻ s⁻¹, of the published errors (which contain the standard deviation).
    pub error: Vec<f64>,
    /// Strict lower triangle, row by row `[U(U−1)/2]`.
    pub correlation: Vec<f64>,
}

impl Instrument {
    /// The basis functions at pseudo-wavelengths (0 … 60 covers both photometers); outside a spline's knots
    /// its last polynomial is continued, as GaiaXPy does.
    ///
    /// # Errors
    /// When there are no pseudo-wavelengths, or one is not finite.
    pub fn internal_sampling(&self, pseudo_wavelength: &[f64]) -> Result<InternalSampling> {
        if pseudo_wavelength.is_empty() || !pseudo_wavelength.iter().all(|position| position.is_finite()) {
            return Err(Error::data("pseudo-wavelengths")
                .found(format!("{pseudo_wavelength:?}"))
                .expected("finite numbers, at least one"));
        }
        let positions: Vec<Option<(f64, f64)>> = pseudo_wavelength.iter().map(|&position| Some((position, 1.0))).collect();
        let (n_bp, n_rp) = self.n_bases();
        Ok(InternalSampling {
            pseudo_wavelength: pseudo_wavelength.to_vec(),
            bp: self.bp.basis.design(&positions, n_bp),
            rp: self.rp.basis.design(&positions, n_rp),
        })
    }
}

impl InternalSampling {
    /// Flux, error and correlations of a BP spectrum.
    ///
    /// # Errors
    /// When it has more coefficients than there are basis functions, or its lists have other lengths.
    pub fn convert_bp(&self, band: &Band) -> std::result::Result<InternalSpectrum, Fault> {
        convert(&self.bp, band, "bp")
    }

    /// Flux, error and correlations of an RP spectrum.
    ///
    /// # Errors
    /// As [`InternalSampling::convert_bp`].
    pub fn convert_rp(&self, band: &Band) -> std::result::Result<InternalSpectrum, Fault> {
        convert(&self.rp, band, "rp")
    }
}

fn convert(design: &Array2<f64>, band: &Band, name: &'static str) -> std::result::Result<InternalSpectrum, Fault> {
    band.check(name)?;
    let n = band.coefficients.len();
    if n > design.ncols() {
        return Err(Fault::Length { band: name, what: "coefficients", found: n, expected: design.ncols() });
    }
    let coefficients = ndarray::ArrayView1::from(&band.coefficients);
    let design = design.slice(ndarray::s![.., ..n]);
    let covariance = Array2::from_shape_fn((n, n), |(i, j)| {
        let (row, column) = (i.max(j), i.min(j));
        let correlation = match &band.correlations {
            _ if i == j => 1.0,
            Some(correlations) => correlations[row * (row - 1) / 2 + column],
            None => 0.0,
        };
        band.errors[i] * correlation * band.errors[j]
    });
    let covariance = design.dot(&covariance).dot(&design.t());
    let error: Vec<f64> = covariance.diag().iter().map(|variance| variance.sqrt()).collect();
    let below = (0..error.len()).flat_map(|row| (0..row).map(move |column| (row, column)));
    let correlation = below.map(|(row, column)| covariance[[row, column]] / error[row] / error[column]).collect();
    Ok(InternalSpectrum { flux: design.dot(&coefficients).to_vec(), error, correlation })
}
