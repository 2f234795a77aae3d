//! Stars of the benchmark: labels with correlated abundances, training spectra with noise, reference points.

use super::lines::{FIRST_RATIO, LABELS, N_LABELS};
use super::synthesis::Synthesis;
use crate::per_pixel::LabelledSpectra;
use ndarray::{Array2, ArrayView2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// \[X/Fe\] of C, N, O, Mg, Al, Si, Ca, Ti, Cr, Mn, Ni per dex of \[α/Fe\], and per dex of \[Fe/H\].
const TRACK: [(f64, f64); N_LABELS - FIRST_RATIO] = [
    (0.4, -0.05),
    (-0.7, 0.15),
    (1.3, -0.08),
    (1.0, -0.05),
    (0.9, 0.1),
    (0.7, 0.0),
    (0.7, -0.02),
    (0.8, -0.02),
    (0.1, 0.03),
    (-0.6, 0.15),
    (0.15, 0.03),
];
/// Private scatter of every \[X/Fe\] about the track, dex.
const PRIVATE_SCATTER: f64 = 0.03;

/// Which stars.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    pub seed: u64,
    /// Dwarfs and giants of 4300–6800 K and \[Fe/H\] −2.5 to 0.4 in place of dwarfs of 4800–6200 K and −1 to
    /// 0.4.
    pub wide: bool,
}

impl Default for Population {
    fn default() -> Self {
        Self { seed: 1, wide: false }
    }
}

/// Where \[X/Fe\] of the reference points lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum References {
    /// All at 0, as published: a control that lets networks cheat.
    Solar,
    /// On the α track: the same.
    AlphaTrack,
    /// On the track with an independent offset of up to ±0.25 dex each.
    Scattered,
}

impl References {
    /// As configurations spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Solar => "solar",
            Self::AlphaTrack => "alpha-track",
            Self::Scattered => "scattered",
        }
    }
}

impl Population {
    /// Labels of the first `n` stars `[n, 15]`; a star's do not depend on `n`.
    pub fn labels(&self, n: usize) -> Array2<f64> {
        self.labels_of(0..n as u64)
    }

    /// Labels `[n, 15]` of the stars of these numbers.
    pub fn labels_of(&self, stars: Range<u64>) -> Array2<f64> {
        self.rows(stars, 0, |random| self.star(random, PRIVATE_SCATTER))
    }

    /// Labels of `n` reference points, whose core labels fill the range of the stars.
    pub fn references(&self, kind: References, n: usize) -> Array2<f64> {
        self.references_of(kind, 0..n as u64)
    }

    /// Labels `[n, 15]` of the reference points of these numbers.
    pub fn references_of(&self, kind: References, points: Range<u64>) -> Array2<f64> {
        self.rows(points, 1, |random| {
            let mut labels = self.star(random, 0.0);
            for ratio in &mut labels[FIRST_RATIO..] {
                match kind {
                    References::Solar => *ratio = 0.0,
                    References::AlphaTrack => {}
                    References::Scattered => *ratio += random.gen_range(-0.25..0.25),
                }
            }
            labels
        })
    }

    /// `labels` whose columns of abundance ratios are permuted among the stars, each on its own: the cheat
    /// test's stars.
    pub fn permuted(&self, labels: ArrayView2<f64>) -> Array2<f64> {
        let mut random = self.random(2, 0);
        let mut permuted = labels.to_owned();
        for mut column in permuted.columns_mut().into_iter().skip(FIRST_RATIO) {
            for i in (1..column.len()).rev() {
                column.swap(i, random.gen_range(0..=i));
            }
        }
        permuted
    }

    /// Spectra at `labels [N, 15]` whose signal-to-noise ratio per pixel is uniform between the two `limits`.
    pub fn observe(&self, synthesis: &Synthesis, labels: ArrayView2<f64>, limits: [f64; 2]) -> LabelledSpectra {
        self.observe_from(synthesis, 0, labels, limits)
    }

    /// The same, of stars whose numbers begin with `first`: the noise of a star is that of its number.
    pub fn observe_from(&self, synthesis: &Synthesis, first: u64, labels: ArrayView2<f64>, limits: [f64; 2]) -> LabelledSpectra {
        let flux = synthesis.flux(labels);
        let (n, w) = flux.dim();
        let (mut noisy, mut inverse_variance) = (Array2::zeros((n, w)), Array2::zeros((n, w)));
        for i in 0..n {
            let mut random = self.random(3, first + i as u64);
            let ratio = limits[0] + (limits[1] - limits[0]) * random.r#gen::<f64>();
            for p in 0..w {
                let normal: f64 = StandardNormal.sample(&mut random);
                noisy[[i, p]] = (flux[[i, p]] + normal / ratio) as f32;
                inverse_variance[[i, p]] = (ratio * ratio) as f32;
            }
        }
        LabelledSpectra { labels: labels.to_owned(), label_errors: None, flux: noisy, inverse_variance }
    }

    /// Numbers of a star for a purpose of its own.
    pub(super) fn random(&self, purpose: u64, star: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ (purpose << 56));
        random.set_stream(star);
        random
    }

    fn rows(&self, numbers: Range<u64>, purpose: u64, star: impl Fn(&mut ChaCha8Rng) -> [f64; N_LABELS]) -> Array2<f64> {
        let mut labels = Array2::zeros((numbers.clone().count(), LABELS.len()));
        for (number, mut row) in numbers.zip(labels.outer_iter_mut()) {
            let drawn = star(&mut self.random(purpose, number));
            row.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        }
        labels
    }

    fn star(&self, random: &mut ChaCha8Rng, private_scatter: f64) -> [f64; N_LABELS] {
        let mut normal = || -> f64 { StandardNormal.sample(random) };
        let (scatter_logg, scatter_v, scatter_alpha) = (normal(), normal(), normal());
        let private: [f64; N_LABELS - FIRST_RATIO] = std::array::from_fn(|_| private_scatter * normal());
        let mut uniform = |low: f64, high: f64| low + (high - low) * random.r#gen::<f64>();
        let (teff, logg, feh) = if self.wide {
            let giant = uniform(0.0, 1.0) < 0.4;
            let teff = if giant { uniform(4300.0, 5300.0) } else { uniform(4600.0, 6800.0) };
            let logg = if giant { 1.0 + (teff - 4300.0) / 450.0 + 0.25 * scatter_logg } else { 4.5 - (teff - 4600.0) / 5500.0 };
            (teff, if giant { logg } else { logg + 0.12 * scatter_logg }, 0.4 - 2.9 * uniform(0.0, 1.0).powf(1.7))
        } else {
            let teff = uniform(4800.0, 6200.0);
            (teff, 4.55 - (teff - 4800.0) / 3500.0 + 0.15 * scatter_logg, uniform(-1.0, 0.4))
        };
        let rich = uniform(0.0, 1.0) < (0.35 - 0.5 * feh).clamp(0.05, 0.95);
        // Rich and poor sequences meet at [Fe/H] = 0.2.
        let alpha = if rich { (0.28_f64).min(0.05 + 0.35 * (0.2 - feh).max(0.0)) } else { 0.02 + 0.06 * (-feh).clamp(-0.3, 1.0) };
        let alpha = alpha + 0.02 * scatter_alpha;
        let v = (1.0 + (teff - 5500.0) * 4e-4 + 0.35 * (4.4 - logg) + 0.1 * scatter_v).clamp(0.5, 3.0);
        let mut labels = [0.0; N_LABELS];
        labels[..FIRST_RATIO].copy_from_slice(&[teff, logg, v, feh]);
        for ((ratio, (slope, trend)), private) in labels[FIRST_RATIO..].iter_mut().zip(TRACK).zip(private) {
            *ratio = slope * alpha + trend * feh + private;
        }
        labels
    }
}
