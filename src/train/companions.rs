//! Unresolved pairs among the stars that tell the zero points of a model.
//!
//! Two stars of one kind have the flux of one that is √2 nearer: their difference of flux and measurements is
//! displaced by b = ln √2 in ln ϖ, always to the same side. A twentieth of the stars is enough for the mean
//! product of neighbours to take its square for an error of the model, and most of them stay below a limit of
//! outliers, because errors of ϖ and of log g hide them. A cut at less than that cuts noise, on one side more
//! than on the other, and the less right the more the errors of labels are wrong.
//!
//! So every star is single, a pair, or, as a control, displaced as far to the side where no pair is: the
//! shares f₊ and f₋ are those of largest likelihood (expectation maximisation), of what the difference says
//! of its displacement along ln ϖ: x/i ± i^−½ with x = (W (r − r₀))_ϖ and i = W_ϖϖ, where W allows for a
//! first K and r₀ is the median of stars of the kind, less their own displacements. What is expected of a
//! star's displacement, b (w₊ − w₋), is then taken off it. Its mean over the stars is b (f₊ − f₋) whatever
//! the shape of the noise as long as both sides are alike, so that errors of labels that are wrong make no
//! zero point, and no star is chosen by its own noise. Where f₊ does not exceed f₋ by three errors, by the
//! ratio of the likelihoods with and without f₊ = f₋, nothing is done.

use super::difference::Difference;
use super::neighbours::Neighbours;
use super::pairs::shared_covariance;
use crate::statistics::median;
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// b of two equal stars.
const DISPLACEMENT: f64 = 0.5 * LN_2;
/// A star beyond this many errors from all three displacements says nothing.
const LARGEST_CHI_SQUARE: f64 = 25.0;
/// Least 2 Δ ln L between different shares of the two sides and equal ones: three errors.
const LEAST_GAIN: f64 = 9.0;
/// Fewest stars of a kind, and the part that a kind is of all stars.
const FEWEST_LIKE: usize = 25;
const KINDS: usize = 64;
/// Rounds in which displacements and what is like each star follow each other, and those of the shares.
const ROUNDS: usize = 3;
const ROUNDS_OF_SHARES: usize = 200;
/// Share of either side to begin with.
const SHARE: f64 = 0.02;

/// Unresolved pairs among the stars of which zero points were learned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnresolvedPairs {
    /// Their share by likelihood, of equal stars, less that of stars that are as far to the other side.
    pub share: f64,
    /// Stars that are one with a probability above one half, of so many stars.
    pub n_likely: usize,
    pub n_stars: usize,
}

/// Takes what is expected of the displacements of pairs off the differences of stars with `labels [n, L]`,
/// where their logarithmic parallax is parameter `distance` of them and `near` are pairs of neighbours;
/// `None` where no unresolved pairs are found, and nothing is done.
pub(super) fn take_off(
    stars: &mut [Difference],
    (labels, near): (&Array2<f64>, &[(usize, usize)]),
    distance: usize,
) -> Option<UnresolvedPairs> {
    let first = shared_covariance(stars, near)?;
    let weighed: Vec<Difference> = stars.iter().map(|star| star.sharing(&first.covariance)).collect();
    let among = Neighbours::among(labels);
    let n_like = FEWEST_LIKE.max(stars.len() / KINDS);
    let like: Vec<Vec<usize>> = (0..stars.len()).into_par_iter().map(|row| among.of_row(row, n_like)).collect();
    let values: Vec<Vec<f64>> = weighed.par_iter().map(|star| star.values().0).collect();

    let mut displacements = vec![0.0; stars.len()];
    let mut found = None;
    for _ in 0..ROUNDS {
        let evidence: Vec<Evidence> = (0..stars.len())
            .into_par_iter()
            .map(|row| Evidence::of(&weighed[row], &zero(&values, &displacements, &like[row], distance), distance))
            .collect();
        let mixture = Mixture::of(&evidence)?;
        displacements = evidence.iter().map(|star| mixture.displacement(star)).collect();
        let likely = evidence.iter().filter(|star| mixture.probabilities(star)[2] > 0.5).count();
        let n_stars = evidence.iter().filter(|star| star.ratios.is_some()).count();
        found = Some(UnresolvedPairs { share: mixture.shares[1] - mixture.shares[0], n_likely: likely, n_stars });
    }
    let q = stars.first()?.n_parameters();
    for (star, displacement) in stars.iter_mut().zip(displacements) {
        (0..q).for_each(|i| star.weighted[i] -= star.weight[i * q + distance] * displacement);
    }
    found
}

/// The median difference `[Q]` of the stars `like` one, whose values are `[n][Q]`, less their displacements;
/// zero where none was measured.
fn zero(values: &[Vec<f64>], displacements: &[f64], like: &[usize], distance: usize) -> Vec<f64> {
    let q = like.first().map_or(0, |&row| values[row].len());
    let of = |i: usize, row: usize| values[row][i] - if i == distance { displacements[row] } else { 0.0 };
    (0..q)
        .map(|i| like.iter().map(|&row| of(i, row)).filter(|value| value.is_finite()).collect::<Vec<f64>>())
        .map(|values| if values.is_empty() { 0.0 } else { median(&values) })
        .collect()
}

/// What the difference of a star says of its displacement.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    /// Likelihoods of −b, 0 and b over the largest of them; `None` where it says nothing.
    ratios: Option<[f64; 3]>,
    /// Logarithm of that largest one, over that of 0.
    ln_largest: f64,
}

impl Evidence {
    /// Of a star whose like are displaced by `zero [Q]`.
    fn of(star: &Difference, zero: &[f64], distance: usize) -> Self {
        let q = star.n_parameters();
        let row = &star.weight[distance * q..(distance + 1) * q];
        let pull = star.weighted[distance] - row.iter().zip(zero).map(|(weight, zero)| weight * zero).sum::<f64>();
        Self::from(pull, row[distance])
    }

    /// Of a displacement of `pull`/`information`, known with this information.
    fn from(pull: f64, information: f64) -> Self {
        let nothing = Self { ratios: None, ln_largest: 0.0 };
        if !(information > 0.0 && pull.is_finite()) {
            return nothing;
        }
        let logarithms = [-1.0, 0.0, 1.0].map(|side: f64| side * DISPLACEMENT * (pull - 0.5 * side * DISPLACEMENT * information));
        let largest = logarithms.into_iter().fold(f64::NEG_INFINITY, f64::max);
        if pull * pull / information - 2.0 * largest > LARGEST_CHI_SQUARE {
            return nothing;
        }
        Self { ratios: Some(logarithms.map(|logarithm| (logarithm - largest).exp())), ln_largest: largest }
    }
}

/// The shares of stars displaced by −b and by b.
#[derive(Debug, Clone, Copy)]
struct Mixture {
    shares: [f64; 2],
}

impl Mixture {
    /// The most likely one; `None` where the side of pairs does not stand out from the other.
    fn of(evidence: &[Evidence]) -> Option<Self> {
        let [alike, free] = [true, false].map(|is_alike| {
            let mut mixture = Self { shares: [SHARE; 2] };
            for _ in 0..ROUNDS_OF_SHARES {
                let told = evidence.iter().filter(|star| star.ratios.is_some()).map(|star| mixture.probabilities(star));
                let (count, sums) = told.fold((0.0, [0.0; 2]), |(n, [low, high]), [a, _, b]| (n + 1.0, [low + a, high + b]));
                let mean = 0.5 * (sums[0] + sums[1]);
                mixture.shares = (if is_alike { [mean; 2] } else { sums }).map(|sum| sum / f64::max(count, 1.0));
            }
            mixture
        });
        let gain = 2.0 * (free.ln_likelihood(evidence) - alike.ln_likelihood(evidence));
        tracing::debug!("displaced as pairs are: {:?} (2 \u{394} ln L {gain:.1})", free.shares);
        (free.shares[1] > free.shares[0] && gain > LEAST_GAIN).then_some(free)
    }

    fn weights(&self) -> [f64; 3] {
        let [low, high] = self.shares;
        [low, 1.0 - low - high, high]
    }

    /// Of −b, 0 and b for one star.
    fn probabilities(&self, star: &Evidence) -> [f64; 3] {
        let Some(ratios) = star.ratios else { return [0.0, 1.0, 0.0] };
        let parts: [f64; 3] = std::array::from_fn(|side| self.weights()[side] * ratios[side]);
        parts.map(|part| part / parts.iter().sum::<f64>())
    }

    /// b (w₊ − w₋).
    fn displacement(&self, star: &Evidence) -> f64 {
        let [low, _, high] = self.probabilities(star);
        DISPLACEMENT * (high - low)
    }

    fn ln_likelihood(&self, evidence: &[Evidence]) -> f64 {
        let of_star = |star: &Evidence| -> f64 {
            let Some(ratios) = star.ratios else { return 0.0 };
            star.ln_largest + self.weights().iter().zip(ratios).map(|(weight, ratio)| weight * ratio).sum::<f64>().ln()
        };
        evidence.iter().map(of_star).sum()
    }
}

#[cfg(test)]
#[path = "companions_tests.rs"]
mod tests;
