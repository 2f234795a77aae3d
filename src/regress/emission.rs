//! Stars with emission lines, by what their clean windows say that their spectrum should be (Xiang et al.
//! 2021, sec. 3): principal components of the clean windows, and the full spectra of stars without emission
//! as a linear function of their coefficients (P B = X, by least squares). The excess is the mean of observed
//! less reconstructed flux over a line.
//!
//! The print starts from all stars; here those that differ from the median spectrum in the line by more than
//! three times the scatter are left out at first, so that emitters do not enter the reconstruction by which
//! they are found.

use super::pca::{Pca, PcaMethod, walk_in_blocks};
use crate::error::{Error, Result};
use crate::statistics::{median, robust_scatter};
use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Rows that are worked on at once.
const BLOCK: usize = 2048;
/// Ridge of the least squares, relative to the largest variance of a coefficient: beyond the rank of the
/// sample there is nothing to be learned.
const RIDGE: f64 = 1e-9;
/// Scatters in the line beyond which a star does not take part in the first reconstruction.
const FIRST_CUT: f64 = 3.0;

/// Windows in the unit of the wavelengths, and when a star has emission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmissionOptions {
    pub components: usize,
    /// Where no emission is expected: what the coefficients are found in.
    pub clean: Vec<[f64; 2]>,
    /// The line: 6557–6571 Å in vacuum for Hα.
    pub line: [f64; 2],
    /// Beside it, where χ² says whether the reconstruction holds.
    pub beside: Vec<[f64; 2]>,
    /// Mean excess in the line, of the continuum, above which a star has emission. The paper prints no
    /// number.
    pub threshold: f64,
    /// Reconstructions, each without the stars that the last one found.
    pub iterations: usize,
}

/// What is known of normal stars.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    options: EmissionOptions,
    clean: Vec<usize>,
    line: Vec<usize>,
    beside: Vec<usize>,
    components: Pca,
    /// Full spectrum at coefficients of zero `[W]`, and its change with each `[K, W]`.
    mean: Array1<f64>,
    loadings: Array2<f64>,
}

/// What was found of a star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Emission {
    /// Mean of observed less reconstructed flux in the line; NaN where it has no flux.
    pub excess: f64,
    /// χ² per pixel of the reconstruction beside the line.
    pub reduced_chi2: f64,
    pub has_emission: bool,
}

fn positions(wavelength: &[f64], windows: &[[f64; 2]]) -> Vec<usize> {
    let is_inside = |nm: f64| windows.iter().any(|[low, high]| (*low..=*high).contains(&nm));
    (0..wavelength.len()).filter(|&w| is_inside(wavelength[w])).collect()
}

impl Reconstruction {
    /// Learns from normalised spectra `[N, W]` at `wavelength [W]`; pixels that are NaN are taken as the
    /// median of the sample.
    ///
    /// # Errors
    /// When a window holds no pixel, or there are fewer normal stars than components.
    pub fn fit(wavelength: &[f64], flux: ArrayView2<'_, f32>, options: &EmissionOptions, seed: u64) -> Result<Self> {
        let of = |name: &str, windows: &[[f64; 2]]| -> Result<Vec<usize>> {
            let found = positions(wavelength, windows);
            if found.is_empty() {
                return Err(Error::usage(format!("emission, {name}"))
                    .found(format!("no pixel in {windows:?}"))
                    .expected("windows in the unit of the wavelengths, inside the spectra")
                    .remedy("Correct the windows."));
            }
            Ok(found)
        };
        let (clean, line) = (of("clean", &options.clean)?, of("line", &[options.line])?);
        let beside = of("beside", &options.beside)?;
        let medians: Vec<f32> = (0..flux.ncols())
            .map(|w| median(&flux.column(w).iter().map(|value| f64::from(*value)).collect::<Vec<_>>()) as f32)
            .collect();
        let in_line: Vec<f64> = (flux.rows().into_iter())
            .map(|row| mean_of(line.iter().map(|&w| f64::from(row[w]) - f64::from(medians[w]))))
            .collect();
        let (centre, scatter) = (median(&in_line), robust_scatter(&in_line));
        let mut normal: Vec<usize> =
            (0..flux.nrows()).filter(|&star| ((in_line[star] - centre) / scatter).abs() <= FIRST_CUT).collect();
        let mut found = None;
        for _ in 0..options.iterations.max(1) {
            let model = Self::of_normal(flux, (&clean, &line, &beside), &medians, &normal, options, seed)?;
            normal = (0..flux.nrows()).filter(|&star| model.excess(flux, star).abs() <= options.threshold).collect();
            found = Some(model);
        }
        found.ok_or_else(|| Error::usage("emission, iterations").found("none").expected("at least one"))
    }

    fn of_normal(
        flux: ArrayView2<'_, f32>,
        (clean, line, beside): (&[usize], &[usize], &[usize]),
        medians: &[f32],
        normal: &[usize],
        options: &EmissionOptions,
        seed: u64,
    ) -> Result<Self> {
        let filled = |star: usize, w: usize| if flux[[star, w]].is_finite() { flux[[star, w]] } else { medians[w] };
        let rows = Array2::from_shape_fn((normal.len(), clean.len()), |(i, j)| filled(normal[i], clean[j]));
        let mut walk = |each: &mut dyn FnMut(ArrayView2<'_, f32>)| walk_in_blocks(rows.view(), BLOCK, each);
        let components = Pca::of_blocks(clean.len(), options.components, PcaMethod::Automatic, seed, &mut walk)?;
        let (n, k, width) = (normal.len(), options.components, flux.ncols());
        let mut coefficients = Array2::<f64>::zeros((n, k));
        for (i, row) in rows.rows().into_iter().enumerate() {
            coefficients.row_mut(i).assign(&components.project(row.iter().map(|value| f64::from(*value))));
        }
        let full = Array2::from_shape_fn((n, width), |(i, w)| f64::from(filled(normal[i], w)));
        let mean = full.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(width));
        // Coefficients of the sample have a mean of zero.
        let (square, product) = (coefficients.t().dot(&coefficients), coefficients.t().dot(&(&full - &mean)));
        let largest = (0..k).map(|a| square[[a, a]]).fold(0.0, f64::max);
        let normal_matrix = DMatrix::from_fn(k, k, |a, b| square[[a, b]] + if a == b { RIDGE * largest } else { 0.0 });
        let factor = normal_matrix.cholesky().ok_or_else(|| {
            Error::numerical("reconstruction of spectra").found("coefficients that do not vary").expected("spectra that differ")
        })?;
        let solved = factor.solve(&DMatrix::from_fn(k, width, |a, w| product[[a, w]]));
        let loadings = Array2::from_shape_fn((k, width), |(a, w)| solved[(a, w)]);
        Ok(Self {
            options: options.clone(),
            clean: clean.to_vec(),
            line: line.to_vec(),
            beside: beside.to_vec(),
            components,
            mean,
            loadings,
        })
    }

    /// The spectrum `[W]` that the clean windows of a star stand for; missing pixels there are those of the
    /// mean.
    pub fn spectrum(&self, flux: ArrayView2<'_, f32>, star: usize) -> Array1<f64> {
        let of = |(j, w): (usize, &usize)| {
            let value = f64::from(flux[[star, *w]]);
            if value.is_finite() { value } else { self.components.centre[j] }
        };
        let coefficients = self.components.project(self.clean.iter().enumerate().map(of));
        &self.mean + &coefficients.dot(&self.loadings)
    }

    fn excess(&self, flux: ArrayView2<'_, f32>, star: usize) -> f64 {
        let expected = self.spectrum(flux, star);
        mean_of(self.line.iter().map(|&w| f64::from(flux[[star, w]]) - expected[w]))
    }

    /// What the spectra say `[N]`, given their errors.
    pub fn judge(&self, flux: ArrayView2<'_, f32>, error: ArrayView2<'_, f32>) -> Vec<Emission> {
        let of = |star: usize| {
            let expected = self.spectrum(flux, star);
            let difference = |w: usize| f64::from(flux[[star, w]]) - expected[w];
            let excess = mean_of(self.line.iter().map(|&w| difference(w)));
            let reduced_chi2 = mean_of(self.beside.iter().map(|&w| (difference(w) / f64::from(error[[star, w]])).powi(2)));
            Emission { excess, reduced_chi2, has_emission: excess > self.options.threshold }
        };
        (0..flux.nrows()).map(of).collect()
    }
}

/// Mean of what is finite; NaN of nothing.
fn mean_of(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.filter(|value| value.is_finite()).fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn options() -> EmissionOptions {
        EmissionOptions {
            components: 20,
            clean: vec![[4000.0, 4080.0], [4125.0, 4310.0], [4370.0, 4830.0], [6400.0, 6545.0], [6600.0, 6690.0]],
            line: [6557.0, 6571.0],
            beside: vec![[6400.0, 6550.0], [6590.0, 6690.0]],
            threshold: 0.10,
            iterations: 2,
        }
    }

    /// OB stars of R = 1800 with a signal-to-noise ratio of 50 to 150: hydrogen that follows temperature and
    /// gravity, helium that tells them; and the equivalent widths of Hα emission (Å), 0 for seven in eight.
    fn stars(n: usize, seed: u64) -> (Vec<f64>, Array2<f32>, Array2<f32>, Vec<f64>) {
        let wavelength: Vec<f64> =
            (0..450).map(|w| 4000.0 + 2.0 * f64::from(w)).chain((0..150).map(|w| 6400.0 + 2.0 * f64::from(w))).collect();
        let (mut flux, mut error) = (Array2::zeros((n, wavelength.len())), Array2::zeros((n, wavelength.len())));
        let mut widths = Vec::new();
        for star in 0..n {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(star as u64);
            let mut uniform = |low: f64, high: f64| low + (high - low) * random.r#gen::<f64>();
            let (hot, dense, ratio) = (uniform(0.0, 1.0), uniform(0.0, 1.0), uniform(50.0, 150.0));
            let emits = uniform(0.0, 1.0) < 0.125;
            let width = if emits { 0.5 * 60f64.powf(uniform(0.0, 1.0)) } else { 0.0 };
            let sigma = uniform(2.5, 6.0);
            widths.push(width);
            let gaussian = |x: f64, centre: f64, sigma: f64| (-0.5 * ((x - centre) / sigma).powi(2)).exp();
            let hydrogen = (0.55 - 0.35 * hot) * (0.7 + 0.3 * dense);
            for (w, x) in wavelength.iter().enumerate() {
                let mut value = 1.0;
                for (centre, strength) in [(4102.9, 1.0), (4341.7, 0.95), (4862.7, 0.9), (6564.6, 0.75)] {
                    value -= strength * hydrogen * gaussian(*x, centre, 6.0 + 6.0 * dense);
                }
                for (centre, strength) in [(4027.3, 0.15), (4472.7, 0.2), (4713.2, 0.08), (6680.0, 0.15)] {
                    value -= strength * (4.0 * hot * (1.0 - 0.6 * hot)) * gaussian(*x, centre, 3.5);
                }
                value -= 0.25 * (hot - 0.5).max(0.0) * gaussian(*x, 4687.0, 3.5) + 0.1 * (1.0 - hot) * gaussian(*x, 4482.4, 3.5);
                for (centre, share) in [(6564.6, 1.0), (4862.7, 0.2), (4341.7, 0.07)] {
                    value += share * width / (sigma * std::f64::consts::TAU.sqrt()) * gaussian(*x, centre, sigma);
                }
                let normal: f64 = StandardNormal.sample(&mut random);
                flux[[star, w]] = (value + normal / ratio) as f32;
                error[[star, w]] = (1.0 / ratio) as f32;
            }
        }
        (wavelength, flux, error, widths)
    }

    /// Spec 3 C: purity ≥ 0.98 and completeness ≥ 0.97 above 2 Å at S/N ≥ 50, among stars that were not
    /// learned from.
    #[test]
    fn emitters_are_found_and_no_others() {
        let (wavelength, flux, _, _) = stars(2000, 1);
        let model = Reconstruction::fit(&wavelength, flux.view(), &options(), 1).unwrap();
        let (_, flux, error, widths) = stars(3000, 2);
        let found = model.judge(flux.view(), error.view());
        let flagged = found.iter().filter(|star| star.has_emission).count();
        let right = found.iter().zip(&widths).filter(|(star, width)| star.has_emission && **width > 0.0).count();
        let purity = right as f64 / flagged as f64;
        for (low, high) in [(0.5, 1.0), (1.0, 1.5), (1.5, 2.0), (2.0, 4.0), (4.0, 100.0)] {
            let of: Vec<bool> = (found.iter().zip(&widths))
                .filter(|(_, width)| (low..high).contains(*width))
                .map(|(star, _)| star.has_emission)
                .collect();
            let share = of.iter().filter(|found| **found).count() as f64 / of.len() as f64;
            println!("equivalent width {low}–{high} Å: {} stars, {share:.3} found", of.len());
            assert!(low < 2.0 || share >= 0.97, "{low}: {share}");
        }
        println!("{flagged} flagged, purity {purity:.3}");
        assert!(purity >= 0.98 && flagged > 200, "{purity} of {flagged}");
        let normal: Vec<f64> =
            found.iter().zip(&widths).filter(|(_, width)| **width == 0.0).map(|(star, _)| star.reduced_chi2).collect();
        let chi2 = median(&normal);
        assert!((0.8..1.3).contains(&chi2), "{chi2}");
    }

    /// The naive reconstruction, from all pixels of all stars, follows the emission and loses it.
    #[test]
    fn components_of_all_pixels_reconstruct_the_emission_too() {
        let (wavelength, flux, _, _) = stars(2000, 1);
        let all = EmissionOptions { clean: vec![[4000.0, 6700.0]], threshold: 1e9, iterations: 1, ..options() };
        let naive = Reconstruction { options: options(), ..Reconstruction::fit(&wavelength, flux.view(), &all, 1).unwrap() };
        let (_, flux, error, widths) = stars(3000, 2);
        let found = naive.judge(flux.view(), error.view());
        let strong: Vec<bool> =
            found.iter().zip(&widths).filter(|(_, width)| **width > 2.0).map(|(star, _)| star.has_emission).collect();
        let share = strong.iter().filter(|found| **found).count() as f64 / strong.len() as f64;
        println!("{share:.3} of {} found", strong.len());
        assert!(share < 0.9, "{share}");
    }

    #[test]
    fn windows_without_pixels_and_missing_pixels() {
        let (wavelength, mut flux, mut error, widths) = stars(400, 3);
        let wrong = EmissionOptions { line: [656.0, 657.0], ..options() };
        let message = Reconstruction::fit(&wavelength, flux.view(), &wrong, 1).unwrap_err();
        assert!(message.to_string().contains("line"), "{message}");
        for star in 0..400 {
            flux[[star, star]] = f32::NAN;
            error[[star, star]] = f32::INFINITY;
        }
        let line = positions(&wavelength, &[options().line]);
        line.iter().for_each(|&w| flux[[7, w]] = f32::NAN);
        let model = Reconstruction::fit(&wavelength, flux.view(), &options(), 1).unwrap();
        let found = model.judge(flux.view(), error.view());
        assert!(found[7].excess.is_nan() && !found[7].has_emission);
        let right = (0..400).filter(|&star| widths[star] > 3.0 && star != 7).all(|star| found[star].has_emission);
        assert!(right && found.iter().enumerate().all(|(star, found)| star == 7 || found.excess.is_finite()));
    }
}
