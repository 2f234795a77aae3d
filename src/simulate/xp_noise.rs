//! Noise of simulated XP spectra: correlated coefficient errors sent through the real design matrices, and
//! calibration errors.
//!
//! f_obs = f_true + J z + calibration,   J = D diag(e) ρ^(1/2),   C = J Jᵀ + inflation
//!
//! Coefficient errors e and correlations ρ follow the law that `scripts/fit_xp_noise_law.py` fits to real
//! stars: e_i² = exp a_i + F exp b_i + F² exp c_i (background, photons, calibration) with F the band's mean
//! flux, and ρ is a two-factor model, so that ρ^(1/2) is `[diag(u), L]` with u_i² = 1 − Σ_k L_ik². The
//! calibration errors are drawn from the terms of [`Inflation`] (eq. 2 of Zhang, Green & Rix 2023) evaluated
//! at the true flux: the covariance stated with a simulated spectrum is exactly that of its noise.
//!
//! The same noise can be had as coefficients, as the archive publishes spectra: of all coefficients that give
//! the flux at the band's wavelengths, those of least norm, c = D⁺ f (1 + calibration) + diag(e) ρ^(1/2) z.
//! Between and beyond the default wavelengths such spectra mean nothing.

use super::xp_noise_law::{BP, RP, TRANSIT_SCATTER};
use crate::error::{Error, Result};
use crate::noise::{Inflation, triangle};
use crate::survey::xp::{Band, DEFAULT_WAVELENGTHS, Instrument};
use nalgebra::DMatrix;
use ndarray::{Array1, Array2, s};
use rand::Rng;
use rand_distr::StandardNormal;
use std::ops::Range;

/// Coefficients per band in Gaia DR3.
pub(super) const N_COEFFICIENTS: usize = 55;
const N_FACTORS: usize = 2;

/// The numbers of a band's law: polynomials in x = 2i/54 − 1 (powers 0, 1, …) for ln of the three variance
/// terms, and factor loadings.
pub(super) struct BandLaw {
    pub background: [f64; 6],
    pub photon: [f64; 6],
    pub calibration: [f64; 6],
    pub loadings: [[f64; N_COEFFICIENTS]; N_FACTORS],
}

impl BandLaw {
    /// Coefficient errors at the band's mean flux in 1e-18 W m⁻² nm⁻¹.
    pub fn errors(&self, flux: f64) -> Array1<f64> {
        let flux = flux.max(0.0);
        Array1::from_shape_fn(N_COEFFICIENTS, |i| {
            let x = 2.0 * i as f64 / (N_COEFFICIENTS - 1) as f64 - 1.0;
            let term = |polynomial: &[f64; 6]| polynomial.iter().rev().fold(0.0, |sum, c| sum * x + c).exp();
            (term(&self.background) + flux * term(&self.photon) + flux * flux * term(&self.calibration)).sqrt()
        })
    }

    /// The strict lower triangle of ρ, row by row `[1485]`, with every factor loading changed by about a
    /// thousandth of it.
    fn correlations(&self, rng: &mut impl Rng) -> Vec<f64> {
        let loadings = self.loadings.map(|column| column.map(|loading| loading * (1.0 + 1e-3 * normal(rng))));
        let pairs = (0..N_COEFFICIENTS).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| loadings.iter().map(|column| column[i] * column[j]).sum()).collect()
    }

    /// [diag(u), L] `[55, 57]`, a square root of the correlation matrix.
    fn correlation_root(&self) -> Array2<f64> {
        let mut root = Array2::zeros((N_COEFFICIENTS, N_COEFFICIENTS + N_FACTORS));
        for i in 0..N_COEFFICIENTS {
            let shared: f64 = self.loadings.iter().map(|column| column[i] * column[i]).sum();
            root[[i, i]] = (1.0 - shared).sqrt();
            for (k, column) in self.loadings.iter().enumerate() {
                root[[i, N_COEFFICIENTS + k]] = column[i];
            }
        }
        root
    }
}

/// One band: where it contributes, and how.
struct BandNoise {
    law: &'static BandLaw,
    /// Wavelengths with weight.
    range: Range<usize>,
    /// Merged design matrix w · D on `range` `[range, 55]`.
    design: Array2<f64>,
    correlation_root: Array2<f64>,
    /// Merge weights `[W]`.
    weight: Vec<f64>,
    /// Pseudo-inverse D⁺ of the unweighted design matrix `[55, range]`.
    inverse_design: Array2<f64>,
}

/// The random numbers of one star's spectrum.
pub(super) struct Deviates {
    /// Factor of all coefficient errors (number of transits, colour).
    scale: f64,
    /// z of both bands `[57]`.
    bands: [Array1<f64>; 2],
    /// Relative calibration errors: of all wavelengths, of either band, of every wavelength `[61]`.
    common: f64,
    parts: [f64; 2],
    independent: Vec<f64>,
}

impl BandNoise {
    fn new(law: &'static BandLaw, design: &Array2<f64>, weight: &[f64]) -> Result<Self> {
        let start = weight.iter().position(|&w| w > 0.0).unwrap_or(0);
        let end = weight.iter().rposition(|&w| w > 0.0).map_or(start, |last| last + 1);
        let mut merged = design.slice(s![start..end, ..]).to_owned();
        let dense = DMatrix::from_fn(merged.nrows(), merged.ncols(), |row, column| merged[[row, column]]);
        let inverse = dense
            .pseudo_inverse(0.0)
            .map_err(|reason| Error::numerical("pseudo-inverse of an XP design matrix").found(reason.to_string()))?;
        merged.rows_mut().into_iter().zip(&weight[start..end]).for_each(|(mut row, &w)| row *= w);
        Ok(Self {
            law,
            range: start..end,
            design: merged,
            correlation_root: law.correlation_root(),
            weight: weight.to_vec(),
            inverse_design: Array2::from_shape_fn((N_COEFFICIENTS, end - start), |index| inverse[index]),
        })
    }

    /// Errors of the coefficients of a star with this true flux `[61]`.
    fn errors(&self, flux: &[f64], scale: f64) -> Array1<f64> {
        let alone: Vec<f64> = flux.iter().zip(&self.weight).filter(|(_, w)| **w == 1.0).map(|(flux, _)| *flux).collect();
        self.law.errors(alone.iter().sum::<f64>() / alone.len() as f64) * scale
    }

    /// J = w D diag(scale · e) ρ^(1/2) `[range, 57]`.
    fn noise_root(&self, flux: &[f64], scale: f64) -> Array2<f64> {
        let scaled = &self.design * &self.errors(flux, scale);
        // ρ^(1/2) = [diag(u), L]: its first block only scales columns.
        let mut root = Array2::zeros((scaled.nrows(), N_COEFFICIENTS + N_FACTORS));
        root.slice_mut(s![.., ..N_COEFFICIENTS]).assign(&(&scaled * &self.correlation_root.diag()));
        root.slice_mut(s![.., N_COEFFICIENTS..]).assign(&scaled.dot(&self.correlation_root.slice(s![.., N_COEFFICIENTS..])));
        root
    }
}

/// Draws noise and states its covariance, on the default XP wavelengths.
pub(super) struct XpNoise {
    bands: [BandNoise; 2],
    inflation: Inflation,
}

impl XpNoise {
    /// The noise of Gaia DR3.
    ///
    /// # Errors
    /// When the instrument tables cannot be read.
    pub fn new() -> Result<Self> {
        let sampling = Instrument::standard()?.sampling(&DEFAULT_WAVELENGTHS, N_COEFFICIENTS, N_COEFFICIENTS)?;
        let bands =
            [BandNoise::new(&BP, &sampling.bp, &sampling.bp_weight)?, BandNoise::new(&RP, &sampling.rp, &sampling.rp_weight)?];
        Ok(Self { bands, inflation: Inflation::default() })
    }

    /// The random numbers of a star, the same for its flux and its coefficients.
    pub fn draw(&self, rng: &mut impl Rng) -> Deviates {
        Deviates {
            scale: (TRANSIT_SCATTER * normal(rng)).exp(),
            bands: [0, 1].map(|_| Array1::from_shape_fn(N_COEFFICIENTS + N_FACTORS, |_| normal(rng))),
            common: self.inflation.common * normal(rng),
            parts: self.inflation.parts.map(|fraction| fraction * normal(rng)),
            independent: DEFAULT_WAVELENGTHS.iter().map(|_| self.inflation.independent * normal(rng)).collect(),
        }
    }

    /// Adds noise to `flux` `[61]` (true on entry) and returns the covariance of that noise, the row-wise
    /// upper triangle `[1891]`.
    pub fn apply(&self, deviates: &Deviates, flux: &mut [f64]) -> Vec<f64> {
        let n = flux.len();
        let parts: [Vec<f64>; 2] =
            [0, 1].map(|band: usize| flux.iter().zip(&self.bands[band].weight).map(|(flux, weight)| flux * weight).collect());
        let mut covariance = vec![0.0; triangle::length(n)];
        let roots = [0, 1].map(|band: usize| self.bands[band].noise_root(flux, deviates.scale));
        for ((band, root), deviates) in self.bands.iter().zip(&roots).zip(&deviates.bands) {
            flux[band.range.clone()].iter_mut().zip(root.dot(deviates)).for_each(|(flux, noise)| *flux += noise);
            for (row, values) in root.dot(&root.t()).rows().into_iter().enumerate() {
                let at = triangle::upper(band.range.start + row, band.range.start + row, n);
                covariance[at..].iter_mut().zip(values.slice(s![row..])).for_each(|(to, value)| *to += value);
            }
        }
        for (sample, value) in flux.iter_mut().enumerate() {
            let [bp, rp] = [parts[0][sample], parts[1][sample]];
            let fraction = deviates.common + deviates.independent[sample];
            *value += fraction * (bp + rp) + deviates.parts[0] * bp + deviates.parts[1] * rp;
        }
        self.inflation.apply(&mut covariance, [&parts[0], &parts[1]]);
        covariance
    }

    /// The spectra of BP and RP as coefficients with errors and correlations, of a star with the true flux
    /// `[61]`. Sampled at the default wavelengths they have the noise of [`XpNoise::apply`]. Published
    /// correlations differ from star to star, here by the thousandth part of the factor loadings: nothing for
    /// the noise, but as many digits to store as real ones have.
    pub fn coefficients(&self, rng: &mut impl Rng, deviates: &Deviates, flux: &[f64]) -> [Band; 2] {
        [0, 1].map(|index: usize| {
            let band = &self.bands[index];
            let calibrated = band.range.clone().map(|sample| {
                let fraction = deviates.common + deviates.independent[sample] + deviates.parts[index];
                flux[sample] * (1.0 + fraction)
            });
            let errors = band.errors(flux, deviates.scale);
            let noise = &errors * &band.correlation_root.dot(&deviates.bands[index]);
            Band {
                coefficients: (band.inverse_design.dot(&Array1::from_iter(calibrated)) + noise).to_vec(),
                errors: errors.to_vec(),
                correlations: Some(band.law.correlations(rng)),
                standard_deviation: 1.0,
            }
        })
    }
}

fn normal(rng: &mut impl Rng) -> f64 {
    rng.sample(StandardNormal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{EigenvalueFloor, WhiteningRow};
    use rand::SeedableRng;

    /// χ² of the noise with the stated covariance has mean 61 and variance 122.
    #[test]
    fn stated_covariance_is_that_of_the_noise() {
        let noise = XpNoise::new().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let n_stars = 3000;
        for level in [3.0, 300.0] {
            let truth: Vec<f64> = (0..61).map(|sample| level * (1.0 - 0.01 * sample as f64)).collect();
            let sum: f64 = (0..n_stars)
                .map(|_| {
                    let mut flux = truth.clone();
                    let covariance = noise.apply(&noise.draw(&mut rng), &mut flux);
                    let residual: Vec<f64> = flux.iter().zip(&truth).map(|(flux, truth)| flux - truth).collect();
                    WhiteningRow::new(&covariance, &[], EigenvalueFloor::default()).unwrap().chi_square(&residual)
                })
                .sum();
            let deviation = (sum / n_stars as f64 - 61.0) / (122.0 / n_stars as f64).sqrt();
            assert!(deviation.abs() < 4.0, "mean chi² {} at level {level}", sum / n_stars as f64);
        }
    }

    /// The law against the coefficient errors of 2,000 real stars: median over coefficients and stars, by
    /// flux, and pixel errors.
    #[test]
    fn law_agrees_with_real_stars() {
        let Some(folder) = crate::testing::shared_data() else { return };
        let file = folder.join("xp_field/field2000_xp_coeff_err.fits.gz");
        let noise = XpNoise::new().unwrap();
        let table = crate::table::read(&file).unwrap();
        let columns = |prefix: &str| -> Vec<Vec<f64>> {
            (0..N_COEFFICIENTS).map(|i| table.column(&format!("{prefix}_{i}")).unwrap().to_f64().unwrap()).collect()
        };
        let coefficients = [columns("bp_coeff"), columns("rp_coeff")];
        let errors = [columns("e_bp_coeff"), columns("e_rp_coeff")];
        let n_stars = errors[0][0].len();
        for (band, noise) in noise.bands.iter().enumerate() {
            let unmixed: Vec<usize> = noise.range.clone().filter(|&sample| noise.weight[sample] == 1.0).collect();
            let flux: Vec<f64> = (0..n_stars)
                .map(|star| {
                    let star_coefficients: Array1<f64> = coefficients[band].iter().map(|column| column[star]).collect();
                    let sampled = noise.design.dot(&star_coefficients);
                    unmixed.iter().map(|sample| sampled[sample - noise.range.start]).sum::<f64>() / unmixed.len() as f64
                })
                .collect();
            for limits in [1.0..3.0, 3.0..10.0, 10.0..30.0, 30.0..100.0, 100.0..300.0] {
                let mut coefficient_ratios = Vec::new();
                let mut pixel_ratios = Vec::new();
                for star in (0..n_stars).filter(|&star| limits.contains(&flux[star])) {
                    let law = noise.law.errors(flux[star]);
                    let real: Array1<f64> = errors[band].iter().map(|column| column[star]).collect();
                    coefficient_ratios.extend((&law / &real).iter());
                    let pixel =
                        |errors: &Array1<f64>| (&noise.design * errors).mapv(|value| value * value).sum_axis(ndarray::Axis(1));
                    pixel_ratios.extend((pixel(&law) / pixel(&real)).mapv(f64::sqrt));
                }
                // Observed: 0.99–1.01 for coefficients, 0.95–1.08 for pixels.
                for ratios in [&mut coefficient_ratios, &mut pixel_ratios] {
                    ratios.sort_by(f64::total_cmp);
                    let median = ratios[ratios.len() / 2];
                    assert!((0.85..1.15).contains(&median), "law over data {median} in band {band}, flux {limits:?}");
                }
            }
        }
    }
}
