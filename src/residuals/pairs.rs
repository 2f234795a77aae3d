//! Unresolved pairs among the stars of a catalogue. Two like stars are 0.75 mag too bright in all bands at
//! once, which is what a zero point of all bands is too: one pair among twenty stars would move that by 0.03
//! mag, by ten of its errors.
//!
//! So a star with the score g and information M of its offsets δ is one of a mixture, as in the training
//! (`train/binaries.rs`): single, with ln L = δᵀg − δᵀMδ/2, or a pair, whose offsets are δ − a in all groups,
//! a ~ N(α, s²). With the probability w that it is a pair, and what it says of its own a, the mixture has the
//! score g + ⟨a⟩ M 1 and the information M − Var(a) M 1 1ᵀ M at δ = 0, ⟨a⟩ and Var(a) over singles (a = 0)
//! and pairs.

use super::responses::packed;
use serde::{Deserialize, Serialize};

/// How much brighter pairs are than one star, mag: α and s. Of 0.75 mag of two equal stars fits leave 0.64 in
/// the median (the rest is taken for a lower log g), and few pairs are of equal stars.
const BRIGHTER: (f64, f64) = (0.63, 0.2);
/// Share that is expected, and the number of stars that this expectation is worth.
pub const USUAL_SHARE: f64 = 0.05;
const WORTH: f64 = 20.0;
/// Logarithm of the largest ratio of likelihoods that counts.
const MOST_LN_RATIO: f64 = 300.0;
/// Shares whose likelihood is added up, from the first to the last in equal steps of the logarithm.
const N_SHARES: usize = 48;
const SHARES: [f64; 2] = [1e-4, 0.6];

/// A star as one of singles and pairs.
pub(super) struct Mixed {
    /// Of its offsets `[Q]`, and the lower triangle of their information.
    pub score: Vec<f64>,
    pub information: Vec<f64>,
    /// L of a pair over that of a single star.
    ratio: f64,
}

impl Mixed {
    /// Of a star with `score` and `information` of G groups, and of constraints after them, among stars of
    /// which `share` are pairs.
    pub fn of(score: &[f64], information: &[f64], n_groups: usize, share: f64) -> Self {
        let q = score.len();
        let element = |a: usize, b: usize| information[packed(a.max(b), a.min(b))];
        // M 1, of the groups: a pair does not move measured values.
        let grey: Vec<f64> = (0..q).map(|a| (0..n_groups).map(|b| element(a, b)).sum()).collect();
        let (pull, total) = (score[..n_groups].iter().sum::<f64>(), grey[..n_groups].iter().sum::<f64>());
        let precision = BRIGHTER.1.powi(-2);
        let variance = 1.0 / (precision + total.max(0.0));
        let mean = (BRIGHTER.0 * precision - pull) * variance;
        let ln_ratio = 0.5 * (mean * mean / variance - BRIGHTER.0.powi(2) * precision + (precision * variance).ln());
        let ratio = ln_ratio.min(MOST_LN_RATIO).exp();
        let probability = share * ratio / (share * ratio + 1.0 - share);
        let first = probability * mean;
        let second = probability * (variance + mean * mean) - first * first;
        let mut of_mixture = information.to_vec();
        for a in 0..q {
            (0..=a).for_each(|b| of_mixture[packed(a, b)] -= second * grey[a] * grey[b]);
        }
        Self {
            score: score.iter().zip(&grey).map(|(score, grey)| score + first * grey).collect(),
            information: of_mixture,
            ratio,
        }
    }
}

/// What the stars say of the share f of pairs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PairShares {
    /// Σ ln (1 − f + f L₂/L₁) for every share; empty where no star was taken for one of the mixture.
    ln_likelihood: Vec<f64>,
}

impl PairShares {
    /// The share of pairs that the stars tell, near [`USUAL_SHARE`] where they tell nothing.
    pub fn share(&self) -> f64 {
        let prior = |share: f64| WORTH * (USUAL_SHARE * share.ln() + (1.0 - USUAL_SHARE) * (1.0 - share).ln());
        let of = |at: usize| self.ln_likelihood.get(at).copied().unwrap_or(0.0) + prior(share_at(at as f64));
        let best = (0..N_SHARES).max_by(|&one, &other| of(one).total_cmp(&of(other))).unwrap_or(0);
        // The top of the parabola through it and its neighbours.
        let inner = best.clamp(1, N_SHARES - 2);
        let [before, at, after] = [of(inner - 1), of(inner), of(inner + 1)];
        let curvature = before - 2.0 * at + after;
        let shift = if curvature < 0.0 { (0.5 * (before - after) / curvature).clamp(-1.0, 1.0) } else { 0.0 };
        share_at(if best == inner { inner as f64 + shift } else { best as f64 })
    }

    /// Whether the sums are of all shares, or of none, and finite.
    pub(super) fn is_whole(&self) -> bool {
        [0, N_SHARES].contains(&self.ln_likelihood.len()) && self.ln_likelihood.iter().all(|value| value.is_finite())
    }

    pub(super) fn add(&mut self, star: &Mixed) {
        self.ln_likelihood.resize(N_SHARES, 0.0);
        for (at, sum) in self.ln_likelihood.iter_mut().enumerate() {
            *sum += (share_at(at as f64) * (star.ratio - 1.0)).ln_1p();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.ln_likelihood.resize(self.ln_likelihood.len().max(other.ln_likelihood.len()), 0.0);
        self.ln_likelihood.iter_mut().zip(&other.ln_likelihood).for_each(|(sum, other)| *sum += other);
    }
}

/// The share at a place, which may lie between two.
fn share_at(place: f64) -> f64 {
    let [first, last] = SHARES;
    first * (last / first).powf(place / (N_SHARES - 1) as f64)
}
