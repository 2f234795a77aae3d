//! From coefficients to flux and covariance on a wavelength grid.

use super::{Band, Fault, Spectrum};
use crate::noise::triangle;
use ndarray::{Array1, Array2, ArrayView1, s};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Design matrices and merge weights on a wavelength grid.
///
/// The design matrices do **not** contain the merge weights: flux = w_bp · (D_bp c_bp) + w_rp · (D_rp c_rp), in
/// 1e-18 W m⁻² nm⁻¹. Their rows are zero where the band's weight is zero. Because the grid increases, BP has weight on a
/// leading and RP on a trailing run of wavelengths.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Wavelengths in nm `[W]`, strictly increasing.
    pub wavelength: Vec<f64>,
    /// BP design matrix `[W, n_bp]`, 1e-18 W m⁻² nm⁻¹ per coefficient.
    pub bp: Array2<f64>,
    /// RP design matrix `[W, n_rp]`, 1e-18 W m⁻² nm⁻¹ per coefficient.
    pub rp: Array2<f64>,
    /// Merge weight of BP `[W]`.
    pub bp_weight: Vec<f64>,
    /// Merge weight of RP `[W]`; the two add up to one.
    pub rp_weight: Vec<f64>,
}

/// How published coefficient errors become a covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorConvention {
    /// C_ij = e_i ρ_ij e_j with the published errors, which contain the factor s = `standard_deviation`.
    #[default]
    Published,
    /// C_ij = e_i ρ_ij e_j / s², GaiaXPy's covariance before it multiplies errors by s.
    DividedByStandardDeviation,
}

/// The shares of BP and RP in the merged flux, in 1e-18 W m⁻² nm⁻¹; flux = bp + rp.
#[derive(Debug, Clone, PartialEq)]
pub struct FluxParts {
    /// w_bp · D_bp c_bp `[W]`; NaN where the flux is missing.
    pub bp: Vec<f64>,
    /// w_rp · D_rp c_rp `[W]`; NaN where the flux is missing.
    pub rp: Vec<f64>,
}

impl FluxParts {
    /// The merged flux `[W]`.
    pub fn flux(&self) -> Vec<f64> {
        self.bp.iter().zip(&self.rp).map(|(bp, rp)| bp + rp).collect()
    }
}

/// One band on the wavelengths where it contributes to the merged flux.
struct Contribution<'a> {
    range: Range<usize>,
    design: &'a Array2<f64>,
    /// Weights on `range`.
    weight: Array1<f64>,
    band: &'a Band,
}

impl Sampling {
    /// Number of wavelengths.
    pub fn n_wavelengths(&self) -> usize {
        self.wavelength.len()
    }

    /// Checks that a spectrum has the numbers of coefficients that this sampling was made for.
    pub fn check(&self, spectrum: &Spectrum) -> Result<(), Fault> {
        for (name, band, design) in [("bp", &spectrum.bp, &self.bp), ("rp", &spectrum.rp, &self.rp)] {
            let found = band.as_ref().map_or(design.ncols(), |band| band.coefficients.len());
            if found != design.ncols() {
                return Err(Fault::Length { band: name, what: "coefficients", found, expected: design.ncols() });
            }
        }
        Ok(())
    }

    /// Which wavelengths have flux: those where a present band has weight.
    pub fn present(&self, spectrum: &Spectrum) -> Vec<bool> {
        let (bp, rp) = (spectrum.bp.is_some(), spectrum.rp.is_some());
        self.bp_weight.iter().zip(&self.rp_weight).map(|(&w_bp, &w_rp)| bp && w_bp > 0.0 || rp && w_rp > 0.0).collect()
    }

    /// Flux `[W]` in 1e-18 W m⁻² nm⁻¹.
    ///
    /// Where one band is missing, the other stands alone wherever it has weight (as in GaiaXPy); elsewhere the flux is missing (NaN).
    ///
    /// # Panics
    /// When the number of coefficients is not the one that this sampling was made for (see [`Sampling::check`]).
    pub fn flux(&self, spectrum: &Spectrum) -> Vec<f64> {
        self.parts(spectrum).flux()
    }

    /// The shares of BP and RP in [`Sampling::flux`].
    ///
    /// # Panics
    /// As [`Sampling::flux`].
    pub fn parts(&self, spectrum: &Spectrum) -> FluxParts {
        let present = self.present(spectrum);
        let missing = || present.iter().map(|&is| if is { 0.0 } else { f64::NAN }).collect::<Vec<f64>>();
        let mut parts = FluxParts { bp: missing(), rp: missing() };
        for (part, contribution) in [(&mut parts.bp, self.bp(spectrum)), (&mut parts.rp, self.rp(spectrum))] {
            let Some(Contribution { range, design, weight, band }) = contribution else { continue };
            let flux = design.slice(s![range.clone(), ..]).dot(&ArrayView1::from(&band.coefficients[..])) * weight;
            part[range].copy_from_slice(flux.as_slice().unwrap_or_default());
        }
        parts
    }

    /// Covariance of the flux: row-wise upper triangle `[W(W+1)/2]` (see [`triangle`]), in (1e-18 W m⁻² nm⁻¹)²; NaN in rows and columns
    /// of missing wavelengths.
    ///
    /// C = Σ_bands J ρ Jᵀ with J = diag(w) D diag(e): the merge weights enter as an outer product. Coefficients without
    /// published correlations count as uncorrelated.
    ///
    /// # Panics
    /// As [`Sampling::flux`].
    pub fn covariance(&self, spectrum: &Spectrum, convention: ErrorConvention) -> Vec<f64> {
        let n = self.n_wavelengths();
        let present = self.present(spectrum);
        let mut packed = vec![0.0; triangle::length(n)];
        for contribution in [self.bp(spectrum), self.rp(spectrum)].into_iter().flatten() {
            let start = contribution.range.start;
            let block = contribution.covariance(convention);
            for (row, values) in block.rows().into_iter().enumerate() {
                let at = triangle::upper(start + row, start + row, n);
                packed[at..].iter_mut().zip(values.slice(s![row..])).for_each(|(to, value)| *to += value);
            }
        }
        if present.contains(&false) {
            for row in 0..n {
                let at = triangle::upper(row, row, n);
                for column in (row..n).filter(|&column| !(present[row] && present[column])) {
                    packed[at + column - row] = f64::NAN;
                }
            }
        }
        packed
    }

    fn bp<'a>(&'a self, spectrum: &'a Spectrum) -> Option<Contribution<'a>> {
        let band = spectrum.bp.as_ref()?;
        let end = self.bp_weight.iter().rposition(|&weight| weight > 0.0).map_or(0, |last| last + 1);
        Some(Contribution::new(0..end, &self.bp, &self.bp_weight, band, spectrum.rp.is_some()))
    }

    fn rp<'a>(&'a self, spectrum: &'a Spectrum) -> Option<Contribution<'a>> {
        let band = spectrum.rp.as_ref()?;
        let start = self.rp_weight.iter().position(|&weight| weight > 0.0).unwrap_or(self.n_wavelengths());
        Some(Contribution::new(start..self.n_wavelengths(), &self.rp, &self.rp_weight, band, spectrum.bp.is_some()))
    }
}

impl<'a> Contribution<'a> {
    fn new(range: Range<usize>, design: &'a Array2<f64>, weight: &[f64], band: &'a Band, merged: bool) -> Self {
        let weight = range.clone().map(|sample| if merged { weight[sample] } else { 1.0 }).collect();
        Self { range, design, weight, band }
    }

    /// J ρ Jᵀ `[len, len]`.
    fn covariance(&self, convention: ErrorConvention) -> Array2<f64> {
        let scale = match convention {
            ErrorConvention::Published => 1.0,
            ErrorConvention::DividedByStandardDeviation => self.band.standard_deviation.recip(),
        };
        let errors: Array1<f64> = self.band.errors.iter().map(|error| scale * error).collect();
        let mut jacobian = &self.design.slice(s![self.range.clone(), ..]) * &errors;
        for (mut row, &weight) in jacobian.rows_mut().into_iter().zip(&self.weight) {
            row *= weight;
        }
        match &self.band.correlations {
            None => jacobian.dot(&jacobian.t()),
            Some(strict_lower) => jacobian.dot(&full_correlation(strict_lower, errors.len())).dot(&jacobian.t()),
        }
    }
}

/// The full correlation matrix from its strict lower triangle, row by row.
fn full_correlation(strict_lower: &[f64], n: usize) -> Array2<f64> {
    let mut full = Array2::eye(n);
    let mut values = strict_lower.iter();
    for row in 1..n {
        for (column, &value) in (0..row).zip(&mut values) {
            full[[row, column]] = value;
            full[[column, row]] = value;
        }
    }
    full
}
