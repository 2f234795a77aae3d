//! Unresolved binaries that no cleaning can find.
//!
//! Two stars of one kind have the flux of one that is √2 nearer. Where the parallax is good the pair stands
//! out and cleaning removes it. Where it is not, the pair stays, and such stars are the distant ones, which
//! have the dust: left alone they make dusty stars brighter than their parallaxes allow, and R(λ) takes that
//! up as a grey part, which W1 and W2 feel most (1 in 40 stars of the simulation moved R at W2 by a fifth).
//!
//! So the measured parallax of a star is one of a mixture, (1 − f) N(ϖ; x, σ) + f N(ϖ; x/√2, σ), with x the
//! parallax that its flux shows. What labels and flux say of x is a Gaussian (the star's loss without its
//! parallax); it gives the probability w that the star is a pair, and x as the mean of its two optima. A
//! Gaussian constraint that leads to the same optimum then stands in place of the measured parallax: the
//! gradient of the weights is that of the mixture (the E step of expectation maximisation; all that moves
//! weights is the M step). f is estimated from the stars that can tell one from two, also those that cleaning
//! removed.

use super::neighbours::nearest_to;
use super::recipe::Recipe;
use super::star_step;
use super::state::TrainingState;
use crate::error::Result;
use crate::observations::{Constraint, Observations};
use crate::optimise::{LevenbergMarquardt, Method};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2, TAU};

/// The share of binaries stays within these.
const SHARES: [f64; 2] = [1e-4, 0.5];
/// Rounds in which the share and the probabilities follow each other.
const ROUNDS: u32 = 30;
/// Iterations with which stars that are gone follow the weights.
const FOLLOWING_ITERATIONS: u32 = 6;
/// Like stars with which one is compared, and the number of stars among which they are looked for.
const LIKE: usize = 32;
const REFERENCE: usize = 4000;
/// Errors by which one star and two must differ where the share is estimated.
const DECISIVE: f64 = 4.0;
/// Fewest stars that tell the share; with fewer it is that of the recipe.
const FEWEST: usize = 200;
/// A flux that says so little of the parallax, in units of the information of the measured one, decides
/// nothing.
const LEAST_INFORMATION: f64 = 1e-6;

/// What a training knows of binaries among its stars.
#[derive(Debug, Clone, PartialEq)]
pub struct Binaries {
    /// f, the share of the stars.
    pub share: f64,
    /// Probability w of every star `[N]`; NaN where it has no parallax.
    pub probability: Vec<f64>,
    /// What stands in place of the measured parallaxes.
    pub constraint: Constraint,
}

/// A measured parallax and what the rest says of it, both as value and variance in the same unit.
#[derive(Debug, Clone, Copy)]
struct Pair {
    measured: (f64, f64),
    expected: (f64, f64),
}

impl Pair {
    /// ln of the ratio of the likelihoods of a parallax that is `factor` times the expected one and of the
    /// expected one.
    fn ln_ratio(self, factor: f64) -> f64 {
        let ((measured, noise), (expected, spread)) = (self.measured, self.expected);
        let ln_normal = |mean: f64, variance: f64| -0.5 * ((measured - mean).powi(2) / variance + (TAU * variance).ln());
        ln_normal(expected * factor, noise + factor * factor * spread) - ln_normal(expected, noise + spread)
    }

    /// Whether one star and two lie `DECISIVE` errors from each other. Of other stars the probability follows
    /// the share, not the share their probability: any fault of model or errors looks like some binaries more
    /// or less.
    ///
    /// It goes by the measured parallax, with the relative spread of the expected one. The latter is √2 too
    /// large for a pair, and too large by chance for many that pass a limit: by it, 5 % became 7, and the
    /// more the tighter the limit.
    fn is_decisive(self) -> bool {
        let ((measured, noise), (expected, spread)) = (self.measured, self.expected);
        let relative = spread / (expected * expected);
        let difference = (1.0 - FRAC_1_SQRT_2) * measured.max(0.0);
        difference * difference > DECISIVE * DECISIVE * (noise + relative * measured * measured)
    }

    /// Value and error of the constraint whose optimum is the mean of those of one star and of two, which has
    /// the probability `w`.
    fn constraint(self, w: f64) -> (f64, f64) {
        let ((measured, noise), (expected, spread)) = (self.measured, self.expected);
        let (single, double, prior) = (1.0 / noise, 0.5 / noise, 1.0 / spread);
        let shift = (1.0 - w) * single * (measured - expected) / (prior + single)
            + w * (FRAC_1_SQRT_2 * measured - 0.5 * expected) * single / (prior + double);
        let information = (1.0 - w) * single + w * double;
        (expected + shift + prior * shift / information, information.recip().sqrt())
    }
}

/// Estimates the binaries among the stars, the kept ones being at their optima, and puts the constraints that
/// follow in place of the measured parallaxes. Nothing happens where the recipe has none, or no parallax
/// constrains; returns whether something did.
pub(super) fn estimate(state: &mut TrainingState, observations: &Observations, recipe: &Recipe) -> Result<bool> {
    let Some(position) = state.model.space.distance_position().filter(|_| recipe.binaries.share > 0.0) else { return Ok(false) };
    let name = state.model.space.parameters[position].name.clone();
    if !recipe.data.constraints.contains(&name) || !observations.constraints.contains_key(&name) {
        return Ok(false);
    }
    // Stars that cleaning removed have not followed the weights. Most are pairs, and some were taken for such
    // by a worse model.
    let n = observations.len();
    let gone: Vec<usize> = (0..n).filter(|&star| !state.kept[star]).collect();
    let method = LevenbergMarquardt { max_iterations: FOLLOWING_ITERATIONS, ..LevenbergMarquardt::default() };
    star_step::minimise(state, observations, recipe, &gone, &Method::LevenbergMarquardt(method))?;
    let pairs = pairs(state, observations, recipe, position)?;
    let labels = state.coordinates.select(Axis(1), &state.model.space.label_positions());
    let beside = beside_their_like(&pairs, &labels);
    let ratios: Vec<Option<f64>> = beside.iter().map(|pair| pair.map(|pair| pair.ln_ratio(FRAC_1_SQRT_2))).collect();
    let of = |ratio: f64, share: f64| (1.0 + (1.0 - share) / share * (-ratio).exp()).recip();
    let is_decisive = |star: &usize| pairs[*star].is_some_and(Pair::is_decisive);
    let decisive: Vec<Pair> = (0..n).filter(is_decisive).filter_map(|star| beside[star]).collect();
    let share = share(&decisive).unwrap_or(recipe.binaries.share);
    tracing::debug!("binaries: {:.2} % of {} stars with good parallaxes", 100.0 * share, decisive.len());
    let probability: Vec<f64> = ratios.iter().map(|ratio| ratio.map_or(f64::NAN, |ratio| of(ratio, share))).collect();
    let (values, errors) = (0..n)
        .map(|star| match pairs[star] {
            Some(pair) => pair.constraint(probability[star]),
            None => observations.constraint(&name, star).unwrap_or((f64::NAN, f64::INFINITY)),
        })
        .unzip();
    state.binaries = Some(Binaries { share, probability, constraint: Constraint::new(values, errors).0 });
    Ok(true)
}

/// The share of pairs among stars that can tell, without what is as far from one star on the side where no
/// pair is: labels that are wrong, or more noisy than they say, scatter to both. `None` where they are too
/// few.
fn share(decisive: &[Pair]) -> Option<f64> {
    let ratios: Vec<[f64; 2]> = decisive.iter().map(|pair| [FRAC_1_SQRT_2, SQRT_2].map(|at| pair.ln_ratio(at).exp())).collect();
    let mut shares = [0.05, 0.01];
    for _ in 0..ROUNDS {
        let mut sums = [0.0; 2];
        for ratio in &ratios {
            let parts = [shares[0] * ratio[0], shares[1] * ratio[1]];
            let whole = 1.0 - shares[0] - shares[1] + parts[0] + parts[1];
            // A ratio beyond all numbers is a certainty.
            (0..2).for_each(|side| sums[side] += if parts[side].is_infinite() { 1.0 } else { parts[side] / whole });
        }
        shares = sums.map(|sum| sum / ratios.len() as f64);
    }
    (ratios.len() >= FEWEST).then(|| (shares[0] - shares[1]).clamp(SHARES[0], SHARES[1]))
}

/// What measurement and the rest say of the parallax of every star, if both say something.
fn pairs(state: &TrainingState, observations: &Observations, recipe: &Recipe, position: usize) -> Result<Vec<Option<Pair>>> {
    let n = observations.len();
    let parameter = &state.model.space.parameters[position];
    let factor = parameter.model_units_per_file_unit;
    let variances = star_step::variances(state, observations, recipe, (position, &(0..n).collect::<Vec<usize>>()))?;
    let pair = |(star, variance): (usize, Option<f64>)| -> Option<Pair> {
        let (value, error) = observations.constraint(&parameter.name, star)?;
        let u = state.coordinates[[star, position]];
        let variance = variance? * (parameter.model_value_slope(u) / factor).powi(2);
        let now = state.binaries.as_ref().and_then(|binaries| binaries.constraint.get(star)).unwrap_or((value, error));
        let of_now = 1.0 / (now.1 * now.1);
        // The posterior of x is that of the rest times the constraint.
        let information = 1.0 / variance - of_now;
        let fitted = parameter.model_value(u) / factor;
        let expected = fitted + of_now * (fitted - now.0) / information;
        let is_told = information > LEAST_INFORMATION / (error * error) && expected.is_finite();
        is_told.then_some(Pair { measured: (value, error * error), expected: (expected, 1.0 / information) })
    };
    Ok(variances.into_iter().enumerate().map(pair).collect())
}

/// The same with what is expected multiplied by the median ratio of measured and expected parallax of the
/// stars next to each in the labels `[N, L]`: a kind of stars that the model has too bright is no kind of
/// pairs, and taken for one it would stay too bright.
fn beside_their_like(pairs: &[Option<Pair>], labels: &Array2<f64>) -> Vec<Option<Pair>> {
    let known: Vec<usize> = (0..pairs.len()).filter(|&star| pairs[star].is_some()).collect();
    let reference: Vec<usize> = known.iter().copied().step_by(known.len().div_ceil(REFERENCE).max(1)).collect();
    let labels_of_reference = labels.select(Axis(0), &reference);
    let ratio = |pair: Pair| {
        let ((measured, noise), (expected, spread)) = (pair.measured, pair.expected);
        (measured / expected, expected * expected / (noise + spread))
    };
    (0..pairs.len())
        .into_par_iter()
        .map(|star| {
            let pair = pairs[star]?;
            // A star is no evidence against itself.
            let itself = reference.binary_search(&star).ok();
            let like = nearest_to(&labels_of_reference, labels.row(star), LIKE, itself);
            let mut ratios: Vec<(f64, f64)> = like.into_iter().filter_map(|row| pairs[reference[row]].map(ratio)).collect();
            let zero = weighted_median(&mut ratios);
            Some(Pair { expected: (pair.expected.0 * zero, pair.expected.1), ..pair })
        })
        .collect()
}

/// The value at which half of the weight is reached, of (value, weight); 1 without any.
fn weighted_median(values: &mut [(f64, f64)]) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * values.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut sum = 0.0;
    let reached = |&&(_, weight): &&(f64, f64)| {
        sum += weight;
        sum >= half
    };
    values.iter().find(reached).map_or(1.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn a_kind_of_stars_that_is_too_bright_is_no_kind_of_pairs() {
        // 100 stars as expected, 100 beside them a fifth too bright, one pair among each; errors of 3 %.
        let labels = Array2::from_shape_fn((200, 1), |(row, _)| row as f64 + if row < 100 { 0.0 } else { 1e3 });
        let pairs: Vec<Option<Pair>> = (0..200)
            .map(|row| {
                let ratio = if row < 100 { 1.0 } else { 0.8 } * if row % 100 == 50 { FRAC_1_SQRT_2 } else { 1.0 };
                Some(Pair { measured: (2.0 * ratio, 0.0036), expected: (2.0, 0.0) })
            })
            .collect();
        let likely = |pairs: &[Option<Pair>]| -> Vec<usize> {
            (0..200).filter(|&row| pairs[row].is_some_and(|pair| pair.ln_ratio(FRAC_1_SQRT_2) > 0.0)).collect()
        };
        assert_eq!(likely(&beside_their_like(&pairs, &labels)), [50, 150]);
        assert!(likely(&pairs).len() > 100);
        assert!((weighted_median(&mut [(3.0, 1.0), (1.0, 1.0), (2.0, 5.0)]) - 2.0).abs() < 1e-12);
        assert!((weighted_median(&mut []) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_constraint_leads_to_the_mean_of_the_two_optima() {
        let pair = Pair { measured: (1.3, 0.04), expected: (1.7, 0.01) };
        let optimum = |(value, error): (f64, f64)| {
            let (prior, information) = (100.0, 1.0 / (error * error));
            (prior * 1.7 + information * value) / (prior + information)
        };
        let single = (100.0 * 1.7 + 25.0 * 1.3) / 125.0;
        // τ (x − 1.7)² + (x/√2 − 1.3)²/σ²
        let double = (100.0 * 1.7 + 25.0 * FRAC_1_SQRT_2 * 1.3) / (100.0 + 12.5);
        for w in [0.0, 0.3, 1.0] {
            assert!((optimum(pair.constraint(w)) - ((1.0 - w) * single + w * double)).abs() < 1e-12);
        }
        let (value, error) = pair.constraint(0.0);
        assert!((value - 1.3).abs() < 1e-12 && (error - 0.2).abs() < 1e-12);
    }

    #[test]
    fn what_scatters_to_both_sides_is_no_share_of_pairs() {
        // One star in ten has an error ten times larger than it says.
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let pairs: Vec<Pair> = (0..20_000)
            .map(|star| {
                let normal: f64 = random.sample(rand_distr::StandardNormal);
                let error = if star % 10 == 3 { 0.4 } else { 0.04 };
                Pair { measured: (1.0 + error * normal, 0.0016), expected: (1.0, 0.0001) }
            })
            .collect();
        let share = share(&pairs).unwrap();
        assert!(share < 0.012, "{share}");
        assert!(super::share(&[]).is_none());
    }

    /// Stars of x = 1 ± 0.03 with parallaxes of 3 to 60 errors, one in twenty a pair: the share is found, and
    /// the mean of the residuals that the weights see is that of the singles; with the measured parallaxes it
    /// is more than five errors beside.
    #[test]
    fn the_share_is_found_and_pairs_no_longer_pull() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut normal = || -> f64 { random.sample(rand_distr::StandardNormal) };
        let n = 20_000;
        let pairs: Vec<Pair> = (0..n)
            .map(|star| {
                let error = 1.0 / (3.0 + 57.0 * f64::from(star % 100) / 100.0);
                let truth = if star % 20 == 7 { FRAC_1_SQRT_2 } else { 1.0 };
                let measured = truth + error * normal();
                Pair { measured: (measured, error * error), expected: (1.0 + 0.03 * normal(), 0.03_f64.powi(2)) }
            })
            .collect();
        // Among the nearest there are fewer pairs: at the same flux they are √2 further.
        let decisive: Vec<usize> = (0..pairs.len()).filter(|&star| pairs[star].is_decisive()).collect();
        let among = decisive.iter().filter(|star| **star % 20 == 7).count() as f64 / decisive.len() as f64;
        let share = share(&decisive.iter().map(|&star| pairs[star]).collect::<Vec<_>>()).unwrap();
        let probability = |pair: &Pair, share: f64| (1.0 + (1.0 - share) / share * (-pair.ln_ratio(FRAC_1_SQRT_2)).exp()).recip();
        assert!((share - among).abs() < 0.004 && (0.03..0.05).contains(&among), "{share}, {among}");
        // The weighted mean of what a constraint says of the zero point of x, 0 if it is right.
        let zero_point = |of: &dyn Fn(&Pair) -> (f64, f64)| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for pair in &pairs {
                let (value, error) = of(pair);
                let information = 1.0 / (error * error + pair.expected.1);
                sum += information * (value - pair.expected.0);
                weight += information;
            }
            (sum / weight, 1.0 / weight.sqrt())
        };
        let (naive, error) = zero_point(&|pair| (pair.measured.0, pair.measured.1.sqrt()));
        let (mixed, _) = zero_point(&|pair| pair.constraint(probability(pair, share)));
        println!("zero point with the measured parallaxes {naive:.5}, with those of the mixture {mixed:.5} ± {error:.5}");
        assert!(naive < -5.0 * error && mixed.abs() < 3.0 * error);
    }
}
