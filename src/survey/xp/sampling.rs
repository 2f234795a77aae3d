//! From coefficients to flux and covariance on a wavelength grid.

use super::quadratic_form::{Scratch, Work};
use super::{Band, Fault, Spectrum};
use crate::noise::triangle;
use ndarray::{Array2, CowArray, Ix2, s};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Design matrices and merge weights on a wavelength grid.
///
/// The design matrices do **not** contain the merge weights: flux = w_bp · (D_bp c_bp) + w_rp · (D_rp c_rp),
/// in 1e-18 W m⁻² nm⁻¹. Their rows are zero where the band's weight is zero. Because the grid increases, BP
/// has weight on a leading and RP on a trailing run of wavelengths.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Wavelengths in nm `[W]`, strictly increasing.
    pub wavelength: Vec<f64>,
    /// BP design matrix `[W, n_bp]`, 1e-18 W m⁻² nm⁻¹ per coefficient; fastest where it lies in memory column
    /// by column.
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
    /// Dᵀ on `range`, the rows of a coefficient one after the other.
    design: CowArray<'a, f64, Ix2>,
    /// Weights on `range`.
    weight: Vec<f64>,
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
    /// Where one band is missing, the other stands alone wherever it has weight (as in GaiaXPy); elsewhere
    /// the flux is missing (NaN).
    ///
    /// # Panics
    /// When the number of coefficients is not the one that this sampling was made for (see
    /// [`Sampling::check`]).
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
            let Some(contribution) = contribution else { continue };
            let flux = &mut part[contribution.range.clone()];
            flux.fill(0.0);
            for (row, coefficient) in contribution.rows().zip(&contribution.band.coefficients) {
                flux.iter_mut().zip(row).for_each(|(flux, design)| *flux += coefficient * design);
            }
            flux.iter_mut().zip(&contribution.weight).for_each(|(flux, weight)| *flux *= weight);
        }
        parts
    }

    /// Covariance of the flux: row-wise upper triangle `[W(W+1)/2]` (see [`triangle`]), in (1e-18 W m⁻²
    /// nm⁻¹)²; NaN in rows and columns of missing wavelengths.
    ///
    /// C = Σ_bands J ρ Jᵀ with J = diag(w) D diag(e): the merge weights enter as an outer product.
    /// Coefficients without published correlations count as uncorrelated.
    ///
    /// # Panics
    /// As [`Sampling::flux`].
    pub fn covariance(&self, spectrum: &Spectrum, convention: ErrorConvention) -> Vec<f64> {
        let mut packed = vec![0.0; triangle::length(self.n_wavelengths())];
        self.covariance_into(spectrum, convention, &mut Scratch::default(), &mut packed);
        packed
    }

    /// As [`Sampling::covariance`], into `packed` `[W(W+1)/2]`.
    ///
    /// # Panics
    /// As [`Sampling::flux`].
    pub fn covariance_into(&self, spectrum: &Spectrum, convention: ErrorConvention, scratch: &mut Scratch, packed: &mut [f64]) {
        let n = self.n_wavelengths();
        let present = self.present(spectrum);
        packed.fill(0.0);
        for (contribution, work) in [(self.bp(spectrum), &mut scratch.bp), (self.rp(spectrum), &mut scratch.rp)] {
            if let Some(contribution) = contribution {
                contribution.add_covariance(convention, work, packed, n);
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
        assert_eq!(band.coefficients.len(), design.ncols(), "coefficients of the sampling");
        let weight = range.clone().map(|sample| if merged { weight[sample] } else { 1.0 }).collect();
        let design = design.slice(s![range.clone(), ..]).reversed_axes();
        // Rows are contiguous unless someone made the matrix the other way round.
        let design = if design.strides()[1] == 1 { design.into() } else { design.as_standard_layout().into_owned().into() };
        Self { range, design, weight, band }
    }

    /// The rows of Dᵀ, coefficient by coefficient.
    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.design.outer_iter().map(|row| row.to_slice().unwrap_or_default())
    }

    /// Adds J ρ Jᵀ to a packed covariance of `n` wavelengths.
    fn add_covariance(&self, convention: ErrorConvention, work: &mut Work, packed: &mut [f64], n: usize) {
        let scale = match convention {
            ErrorConvention::Published => 1.0,
            ErrorConvention::DividedByStandardDeviation => self.band.standard_deviation.recip(),
        };
        work.resize(self.band.errors.len(), self.range.len());
        let mut jacobian = vec![0.0; self.range.len()];
        for (coefficient, (row, error)) in self.rows().zip(&self.band.errors).enumerate() {
            let error = scale * error;
            for ((to, design), weight) in jacobian.iter_mut().zip(row).zip(&self.weight) {
                *to = weight * design * error;
            }
            work.set_row(coefficient, &jacobian);
        }
        let start = self.range.start;
        let correlations = self.band.correlations.as_deref().unwrap_or_default();
        work.add_quadratic_form(correlations, &mut packed[triangle::upper(start, start, n)..], n - start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_WAVELENGTHS, Instrument};
    use super::*;
    use crate::noise::{EigenvalueFloor, WhiteningRow};
    use nalgebra::{DMatrix, DVector};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    const N: usize = 55;

    /// A band with random correlations, and the Cholesky factor of its coefficient covariance.
    fn random_band(rng: &mut ChaCha8Rng) -> (Band, DMatrix<f64>) {
        let factors = DMatrix::from_fn(N, 2 * N, |_, _| rng.sample::<f64, _>(StandardNormal));
        let gram = &factors * factors.transpose();
        let correlation = DMatrix::from_fn(N, N, |i, j| gram[(i, j)] / (gram[(i, i)] * gram[(j, j)]).sqrt());
        let errors: Vec<f64> = (0..N).map(|k| 1.0 + 30.0 * (-(k as f64) / 15.0).exp()).collect();
        let correlations = (0..N).flat_map(|i| (0..i).map(move |j| (i, j))).map(|index| correlation[index]).collect();
        let factor = DMatrix::from_diagonal(&DVector::from_column_slice(&errors)) * correlation.cholesky().unwrap().l();
        let coefficients = (0..N).map(|k| 1e4 * (-(k as f64) / 5.0).exp()).collect();
        (Band { coefficients, errors, correlations: Some(correlations), standard_deviation: 1.1 }, factor)
    }

    /// Spec 1, section 7: E[χ²] = 61 over the 61 samples, 61.35 where the merge weights enter twice (as their
    /// squares' outer product).
    #[test]
    fn mean_chi_square_is_the_number_of_samples_and_reveals_wrong_weights() {
        let sampling = Instrument::standard().unwrap().sampling(&DEFAULT_WAVELENGTHS, N, N).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(61);
        let ((bp, bp_factor), (rp, rp_factor)) = (random_band(&mut rng), random_band(&mut rng));
        let spectrum = Spectrum { source_id: 1, bp: Some(bp), rp: Some(rp) };
        let mut slipped = sampling.clone();
        slipped.bp_weight.iter_mut().chain(&mut slipped.rp_weight).for_each(|weight| *weight *= *weight);
        let whitening = |sampling: &Sampling| {
            let covariance = sampling.covariance(&spectrum, ErrorConvention::Published);
            WhiteningRow::new(&covariance, &[], EigenvalueFloor::default()).unwrap()
        };
        let (right, wrong) = (whitening(&sampling), whitening(&slipped));
        assert!(!right.floored && !wrong.floored);
        let n_draws = 40_000;
        let (mut right_mean, mut wrong_mean) = (0.0, 0.0);
        let mut noise = spectrum.clone();
        for _ in 0..n_draws {
            for (band, factor) in [(&mut noise.bp, &bp_factor), (&mut noise.rp, &rp_factor)] {
                let draw = factor * DVector::from_fn(N, |_, _| rng.sample::<f64, _>(StandardNormal));
                band.as_mut().unwrap().coefficients.copy_from_slice(draw.as_slice());
            }
            let residual = sampling.flux(&noise);
            right_mean += right.chi_square(&residual) / n_draws as f64;
            wrong_mean += wrong.chi_square(&residual) / n_draws as f64;
        }
        let monte_carlo_error = (2.0 * 61.0 / n_draws as f64).sqrt();
        assert!((right_mean - 61.0).abs() < 3.0 * monte_carlo_error, "{right_mean} ± {monte_carlo_error}");
        assert!((wrong_mean - right_mean - 0.35).abs() < 0.05, "{wrong_mean} against {right_mean}");
    }

    #[test]
    fn a_missing_band_leaves_the_other_where_it_has_weight() {
        let sampling = Instrument::standard().unwrap().sampling(&[500.0, 635.0, 640.0, 643.0, 800.0], N, N).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let both = Spectrum { source_id: 1, bp: Some(random_band(&mut rng).0), rp: Some(random_band(&mut rng).0) };
        let only_rp = Spectrum { bp: None, ..both.clone() };
        let flux = sampling.flux(&only_rp);
        assert_eq!(flux.iter().map(|flux| flux.is_nan()).collect::<Vec<_>>(), [true, true, false, false, false]);
        assert_eq!(flux[4], sampling.flux(&both)[4]);
        assert!((flux[2] * sampling.rp_weight[2] - sampling.parts(&both).rp[2]).abs() < 1e-9 * flux[2].abs());
        let covariance = sampling.covariance(&only_rp, ErrorConvention::Published);
        assert!((0..5).all(|column| covariance[triangle::upper(0, column, 5)].is_nan()));
        assert!(covariance[triangle::upper(2, 4, 5)].is_finite());
        let whitening = WhiteningRow::new(&covariance, &[], EigenvalueFloor::default()).unwrap();
        assert_eq!(whitening.n_present(), 3);
    }

    #[test]
    fn conventions_and_counts() {
        let sampling = Instrument::standard().unwrap().sampling(&[500.0, 550.0], N, N).unwrap();
        let (band, _) = random_band(&mut ChaCha8Rng::seed_from_u64(3));
        let mut spectrum = Spectrum { source_id: 1, bp: Some(band), rp: None };
        let published = sampling.covariance(&spectrum, ErrorConvention::Published);
        let divided = sampling.covariance(&spectrum, ErrorConvention::DividedByStandardDeviation);
        assert!(published.iter().zip(&divided).all(|(a, b)| (a / b / 1.21 - 1.0).abs() < 1e-12));
        assert_eq!(sampling.check(&spectrum), Ok(()));
        spectrum.bp.as_mut().unwrap().coefficients.pop();
        assert_eq!(sampling.check(&spectrum), Err(Fault::Length { band: "bp", what: "coefficients", found: 54, expected: 55 }));
    }
}
