//! Velocity and continuum beside the labels, on spectra of lines whose truth is exact between pixels.

use super::nuisances::Nuisances;
use super::*;
use crate::per_pixel::LabelSpace;
use crate::statistics::{median, robust_scatter};
use crate::tensor::lanes::{Block, LANES};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) const L: usize = 3;
const W: usize = 161;
const N_STARS: usize = 6000;
pub(super) const LIGHT: f64 = 299_792.458;

/// Lines of three labels; their depth goes with the label. FWHM of 3 pixels.
pub(super) struct Lines {
    pub space: LabelSpace,
    pub wavelength: Vec<f64>,
    /// Places in Å, labels and depths.
    pub lines: Vec<(f64, usize, f64)>,
    pub width: f64,
}

impl Lines {
    pub fn new(is_logarithmic: bool) -> Self {
        let step: f64 = 0.5;
        let at = |i: usize| match is_logarithmic {
            true => 5000.0 * (1e-4 * i as f64).exp(),
            false => 5000.0 + step * i as f64,
        };
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let lines = (0..30).map(|i| (random.gen_range(4995.0..5085.0), i % L, random.gen_range(0.1..0.5))).collect();
        let names = ["teff", "logg", "feh"].map(String::from).to_vec();
        let space = LabelSpace::new(names, vec!["K".into(), "dex".into(), "dex".into()], vec![0.0; L], vec![1.0; L]).unwrap();
        Self { space, wavelength: (0..W).map(at).collect(), lines, width: 3.0 * step / 2.3548 }
    }

    /// Flux and derivatives at a wavelength.
    pub fn at(&self, wavelength: f64, scaled: &[f64]) -> [f64; L + 1] {
        let mut found = [1.0, 0.0, 0.0, 0.0];
        for &(place, label, depth) in &self.lines {
            let shape = depth * (-0.5 * ((wavelength - place) / self.width).powi(2)).exp();
            found[0] -= shape * (0.5 + 0.5 * scaled[label] + 0.2 * scaled[label] * scaled[label]);
            found[1 + label] -= shape * (0.5 + 0.4 * scaled[label]);
        }
        found
    }

    /// As it is seen, with a velocity and the coefficients of a continuum.
    fn observed(&self, scaled: &[f64], velocity: f64, continuum: &[f64]) -> Vec<f64> {
        let factor = |i: usize| {
            let x = 2.0 * i as f64 / (W - 1) as f64 - 1.0;
            1.0 + continuum.iter().enumerate().map(|(m, c)| c * (m as f64 * x.acos()).cos()).sum::<f64>()
        };
        (0..W).map(|i| factor(i) * self.at(self.wavelength[i] / (1.0 + velocity / LIGHT), scaled)[0]).collect()
    }
}

impl PixelModel for Lines {
    fn space(&self) -> &LabelSpace {
        &self.space
    }

    fn n_pixels(&self) -> usize {
        self.wavelength.len()
    }

    fn wavelength(&self) -> &[f64] {
        &self.wavelength
    }

    fn evaluate(&self, blocks: Range<usize>, scaled: &[f32], derivatives: bool, out: &mut [Block]) {
        let n_rows = if derivatives { 1 + L } else { 1 };
        for (scaled, out) in scaled.chunks(L).zip(out.chunks_exact_mut(n_rows * blocks.len())) {
            let scaled: Vec<f64> = scaled.iter().map(|value| f64::from(*value)).collect();
            for (at, block) in blocks.clone().enumerate() {
                for lane in 0..LANES {
                    let pixel = (block * LANES + lane).min(self.n_pixels() - 1);
                    let found = self.at(self.wavelength[pixel], &scaled);
                    (0..n_rows).for_each(|row| out[row * blocks.len() + at].0[lane] = found[row] as f32);
                }
            }
        }
    }
}

struct Observed {
    scaled: Array2<f64>,
    /// Velocity, two coefficients.
    nuisances: Array2<f64>,
    flux: Array2<f32>,
    weight: Array2<f32>,
}

fn observed(lines: &Lines, n: usize, ratio: f64) -> Observed {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let scaled = Array2::from_shape_fn((n, L), |_| random.gen_range(-0.35..0.35));
    let sizes = [60.0, 0.05, 0.05];
    let nuisances = Array2::from_shape_fn((n, 3), |(_, k)| sizes[k] * random.gen_range(-1.0..1.0));
    let mut flux = Array2::zeros((n, W));
    for i in 0..n {
        let row = lines.observed(&scaled.row(i).to_vec(), nuisances[[i, 0]], &[nuisances[[i, 1]], nuisances[[i, 2]]]);
        for (w, value) in row.into_iter().enumerate() {
            let normal: f64 = StandardNormal.sample(&mut random);
            flux[[i, w]] = (value + normal / ratio) as f32;
        }
    }
    Observed { scaled, nuisances, flux, weight: Array2::from_elem((n, W), (ratio * ratio) as f32) }
}

pub(super) fn fitter(lines: Lines, options: SpectrumFitOptions) -> SpectrumFitter {
    let templates = Array2::from_shape_fn((9, L), |(i, k)| 0.1 + 0.1 * ((i * (k + 1)) % 9) as f64);
    SpectrumFitter::new(Arc::new(lines), templates.view(), options).unwrap()
}

/// Velocity and continuum, with a broadening or none; the largest velocity, rotation and broadening.
pub(super) const fn both_with(rotation: bool, broadening: bool, largest: [f64; 3]) -> SpectrumFitOptions {
    let [largest_velocity, largest_rotation, largest_broadening] = largest;
    SpectrumFitOptions {
        iterations: 60,
        tolerance: 1e-3,
        margin: 0.3,
        pixels_per_label: 2.0,
        velocity: true,
        largest_velocity,
        continuum_terms: 2,
        rotation,
        largest_rotation,
        limb_darkening: 0.6,
        broadening,
        largest_broadening,
        engine: SpectrumEngine::Auto,
        device_memory: 4.0,
        windows_of: BTreeMap::new(),
    }
}

pub(super) const BOTH: SpectrumFitOptions = both_with(false, false, [100.0, 200.0, 100.0]);

/// MAD-σ and median of the pulls of labels and nuisances.
fn pulls(fits: &SpectrumFits, seen: &Observed) -> Vec<[f64; 2]> {
    let space = Lines::new(true).space;
    let truth = space.unscale(seen.scaled.view());
    (0..fits.covariance.dim().1)
        .map(|k| {
            let difference = |i: usize| match k < L {
                true => fits.labels[[i, k]] - truth[[i, k]],
                false => fits.nuisances[[i, k - L]] - seen.nuisances[[i, k - L]],
            };
            let free = (0..fits.labels.nrows()).filter(|&i| !fits.at_bound[i]);
            let all: Vec<f64> = free.map(|i| difference(i) / fits.covariance[[i, k, k]].sqrt()).collect();
            assert!(all.len() > fits.labels.nrows() * 9 / 10);
            [robust_scatter(&all), median(&all)]
        })
        .collect()
}

#[test]
fn velocity_and_continuum_are_found_with_the_labels() {
    for is_logarithmic in [true, false] {
        let seen = observed(&Lines::new(is_logarithmic), N_STARS, 100.0);
        let both = fitter(Lines::new(is_logarithmic), BOTH);
        let fits = both.fit(seen.flux.view(), seen.weight.view()).unwrap();
        assert_eq!(fits.endings.iter().filter(|ending| **ending != Ending::Converged).count(), 0);
        let found = pulls(&fits, &seen);
        println!("logarithmic {is_logarithmic}: {found:.3?}");
        for [scatter, middle] in &found {
            // They know them to 0.015.
            assert!((0.95..1.05).contains(scatter) && middle.abs() < 0.08, "{found:?}");
        }
        let n_used = W - 2 * both.reach();
        let mean = fits.chi_square.iter().sum::<f64>() / N_STARS as f64;
        assert!(fits.n_pixels.iter().all(|n| *n == n_used) && (mean - (n_used - L - 3) as f64).abs() < 1.0, "{mean}");

        // The control: what is not fitted is taken for labels.
        for without in [SpectrumFitOptions { velocity: false, ..BOTH }, SpectrumFitOptions { continuum_terms: 0, ..BOTH }] {
            let fits = fitter(Lines::new(is_logarithmic), without).fit(seen.flux.view(), seen.weight.view()).unwrap();
            let chi_square = median(&(0..N_STARS).map(|i| fits.chi_square[i] / fits.n_pixels[i] as f64).collect::<Vec<_>>());
            let truth = Lines::new(true).space.unscale(seen.scaled.view());
            let difference = |i: usize, k: usize| (fits.labels[[i, k]] - truth[[i, k]]) / fits.covariance[[i, k, k]].sqrt();
            let scatters: Vec<f64> =
                (0..L).map(|k| robust_scatter(&(0..N_STARS).map(|i| difference(i, k)).collect::<Vec<_>>())).collect();
            println!("control: {scatters:.2?}, chi-square {chi_square:.2}");
            // Seen: 8.9 and more of every label, 6.6.
            assert!(scatters.iter().all(|scatter| *scatter > 5.0) && chi_square > 4.0, "{scatters:?}, {chi_square}");
        }
    }
}

/// Lines of a label whose strength is another one outside of its windows are found as they are within, beside
/// a velocity and a continuum: windows move with the star.
#[test]
fn labels_with_windows_are_found_with_velocity_and_continuum() {
    for is_logarithmic in [true, false] {
        let windows = [[5000.0, 5030.0], [5060.0, 5080.0]];
        // Of the label no lines at the edges of its windows.
        let within = |place: f64, by: f64| windows.iter().any(|[from, to]| (from + by..=to - by).contains(&place));
        let lines = || {
            let mut lines = Lines::new(is_logarithmic);
            lines.lines.retain(|(place, label, _)| *label != 2 || within(*place, 3.0) == within(*place, -3.0));
            lines
        };
        let mut elsewhere = lines();
        elsewhere.lines.iter_mut().filter(|(place, label, _)| *label == 2 && !within(*place, 0.0)).for_each(|line| line.2 *= 1.2);
        let seen = observed(&elsewhere, N_STARS, 100.0);
        let windows_of: BTreeMap<_, _> = [("feh".to_owned(), windows.to_vec())].into();
        let fit = |windows_of| {
            let options = SpectrumFitOptions { windows_of, ..BOTH };
            fitter(lines(), options).fit(seen.flux.view(), seen.weight.view()).unwrap()
        };
        let fits = fit(windows_of);
        let truth = elsewhere.space.unscale(seen.scaled.view());
        let pull = |fits: &SpectrumFits, k: usize, at: usize| {
            let value = |i: usize| {
                if k < L { fits.labels[[i, k]] - truth[[i, k]] } else { fits.nuisances[[i, at]] - seen.nuisances[[i, k - L]] }
            };
            let place = if k < L { k } else { L + at };
            let all: Vec<f64> = (0..N_STARS)
                .filter(|&i| !fits.at_bound[i])
                .map(|i| value(i) / fits.covariance[[i, place, place]].sqrt())
                .collect();
            [robust_scatter(&all), median(&all)]
        };
        // The label outside is the first beside the labels.
        let found: Vec<[f64; 2]> = (0..L + 3).map(|k| pull(&fits, k, (k + 1).saturating_sub(L))).collect();
        let plain = fit(BTreeMap::new());
        let without: Vec<[f64; 2]> = (0..L).map(|k| pull(&plain, k, 0)).collect();
        println!("logarithmic {is_logarithmic}: {found:.3?}; without windows {without:.3?}");
        assert!(found.iter().all(|[scatter, middle]| (0.95..1.05).contains(scatter) && middle.abs() < 0.08), "{found:.3?}");
        assert!(without[2][1].abs() > 2.0, "{without:.3?}");
    }
}

#[test]
fn rows_of_observed_spectra_are_their_derivatives() {
    for is_logarithmic in [true, false] {
        let lines = Lines::new(is_logarithmic);
        let nuisances = Nuisances::new(&BOTH, &lines.wavelength, W).unwrap();
        let at = [0.1_f32, -0.2, 0.3];
        let values = [0.37, 0.06, -0.04];
        let n = strips(W);
        let rows_at = |scaled: &[f32]| {
            let mut rows = vec![Strip::default(); (L + 1) * n];
            lines.evaluate(0..2 * n, scaled, true, crate::per_pixel::strip_rows::halves_mut(&mut rows));
            rows
        };
        let apply = |scaled: &[f32], values: &[f64]| {
            let mut out = Vec::new();
            nuisances.apply(&mut rows_at(scaled), values, &mut out);
            out
        };
        let own = apply(&at, &values);
        let get = |rows: &[Strip], row: usize, i: usize| f64::from(rows[row * n + i / WIDTH].0[i % WIDTH]);
        let ends = nuisances.reach();
        // Exact, in double precision: velocities and coefficients are in units of their limits.
        let truth = |values: &[f64]| {
            let scaled: Vec<f64> = at.iter().map(|value| f64::from(*value)).collect();
            lines.observed(&scaled, 100.0 * values[0], &[0.5 * values[1], 0.5 * values[2]])
        };
        let exact = truth(&values);
        for (i, exact) in exact.iter().enumerate().take(W - ends).skip(ends) {
            // Seen: 9e-5, of interpolation.
            assert!((get(&own, 0, i) - exact).abs() < 3e-4, "pixel {i}");
        }
        for k in 0..3 {
            let h = 1e-3;
            let shifted = |sign: f64| {
                let mut values = values;
                values[k] += sign * h;
                truth(&values)
            };
            let [plus, minus] = [shifted(1.0), shifted(-1.0)];
            for i in ends..W - ends {
                let difference = (plus[i] - minus[i]) / (2.0 * h);
                assert!((get(&own, 1 + L + k, i) - difference).abs() < 2e-3, "{k}, pixel {i}: {difference}");
            }
        }
        for k in 0..L {
            let h = 1e-2;
            let shifted = |sign: f32| {
                let mut scaled = at;
                scaled[k] += sign * h;
                apply(&scaled, &values)
            };
            let [plus, minus] = [shifted(1.0), shifted(-1.0)];
            for i in ends..W - ends {
                let difference = (get(&plus, 0, i) - get(&minus, 0, i)) / (2.0 * f64::from(h));
                assert!((get(&own, 1 + k, i) - difference).abs() < 1e-4, "label {k}, pixel {i}");
            }
        }
    }
}

#[test]
fn a_spectrum_is_fitted_alone_and_impossible_choices_are_refused() {
    let mut seen = observed(&Lines::new(true), 20, 50.0);
    seen.flux[[3, 60]] = f32::NAN;
    seen.weight[[4, 70]] = 0.0;
    seen.flux[[4, 70]] = 1e30;
    let both = fitter(Lines::new(true), BOTH);
    let together = both.fit(seen.flux.view(), seen.weight.view()).unwrap();
    for i in [0, 3, 4, 19] {
        let rows = s![i..=i, ..];
        let alone = both.fit(seen.flux.slice(rows), seen.weight.slice(rows)).unwrap();
        assert_eq!(alone.labels.row(0), together.labels.row(i));
        assert_eq!(alone.nuisances.row(0), together.nuisances.row(i));
    }
    assert_eq!(together.n_pixels[3..6], [W - 2 * both.reach() - 1, W - 2 * both.reach() - 1, W - 2 * both.reach()]);
    // What was fitted is what is predicted.
    let values = ndarray::concatenate![ndarray::Axis(1), together.labels, together.nuisances];
    let flux = both.flux(values.view()).unwrap();
    assert!(flux[[0, 0]].is_nan() && flux[[0, W - 1]].is_nan());
    let ends = both.reach();
    let chi_square: f64 = (ends..W - ends).map(|w| f64::from((flux[[0, w]] - seen.flux[[0, w]]) * 50.0).powi(2)).sum();
    assert!((chi_square / together.chi_square[0] - 1.0).abs() < 1e-3, "{chi_square} {}", together.chi_square[0]);

    let uneven = Lines { wavelength: (0..W).map(|i| 5000.0 + (i as f64).powf(1.1)).collect(), ..Lines::new(true) };
    let templates = Array2::from_elem((1, L), 0.5);
    let refused = |lines: Lines, options: SpectrumFitOptions| {
        SpectrumFitter::new(Arc::new(lines), templates.view(), options).err().unwrap().to_string()
    };
    assert!(refused(uneven, BOTH).contains("steps of several sizes"));
    let options = SpectrumFitOptions { largest_velocity: f64::NAN, ..BOTH };
    assert!(refused(Lines::new(true), options).contains("largest_velocity"));
    let options = SpectrumFitOptions { continuum_terms: 99, ..BOTH };
    assert!(refused(Lines::new(true), options).contains("continuum_terms"));
}

/// Velocities of many line widths are found from rest: on pixels of 30 km/s, with lines of 90 km/s FWHM.
#[test]
fn velocities_far_beyond_the_width_of_a_line_are_found() {
    const N: usize = 300;
    for is_logarithmic in [true, false] {
        let lines = Lines::new(is_logarithmic);
        let mut random = ChaCha8Rng::seed_from_u64(6);
        let scaled = Array2::from_shape_fn((N, L), |_| random.gen_range(-0.35..0.35));
        let velocity: Vec<f64> = (0..N).map(|_| random.gen_range(-600.0..600.0)).collect();
        let mut flux = Array2::zeros((N, W));
        for i in 0..N {
            for (w, value) in lines.observed(&scaled.row(i).to_vec(), velocity[i], &[0.02, -0.02]).into_iter().enumerate() {
                let normal: f64 = StandardNormal.sample(&mut random);
                flux[[i, w]] = (value + 0.01 * normal) as f32;
            }
        }
        let weight = Array2::from_elem((N, W), 1e4);
        let wide = SpectrumFitOptions { largest_velocity: 700.0, ..BOTH };
        for broadening in [false, true] {
            let options = SpectrumFitOptions { broadening, ..wide.clone() };
            let at = usize::from(broadening);
            let fits = fitter(Lines::new(is_logarithmic), options).fit(flux.view(), weight.view()).unwrap();
            let far = (0..N).filter(|&i| {
                let error = fits.covariance[[i, L + at, L + at]].sqrt();
                let difference = (fits.nuisances[[i, at]] - velocity[i]).abs();
                difference.is_nan() || difference >= 5.0 * error
            });
            let far = far.count();
            println!("logarithmic {is_logarithmic}, broadening {broadening}: {far} of {N} elsewhere");
            assert!(far <= N / 100, "{far}");
        }
    }
}
