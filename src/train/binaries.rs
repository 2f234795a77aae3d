//! Unresolved binaries that no cleaning can find.
//!
//! Two stars of one kind have the flux of one that is √2 nearer. Where the parallax is good the pair stands out and cleaning
//! removes it. Where it is not, the pair stays, and such stars are the distant ones, which have the dust: left alone they make dusty stars
//! brighter than their parallaxes allow, and R(λ) takes that up as a grey part, which W1 and W2 feel most (1 in 40 stars of the simulation
//! moved R at W2 by a fifth).
//!
//! So the measured parallax of a star is one of a mixture, (1 − f) N(ϖ; x, σ) + f N(ϖ; x/√2, σ), with x the parallax that its flux
//! shows. What labels and flux say of x is a Gaussian (the star's loss without its parallax); it gives the probability w that the
//! star is a pair, and x as the mean of its two optima. A Gaussian constraint that leads to the same optimum then stands in place of the
//! measured parallax: the gradient of the weights is that of the mixture (the E step of expectation maximisation; all that moves weights
//! is the M step). f is the mean of w over the stars that can tell one from two, also those that cleaning removed.

use super::recipe::Recipe;
use super::star_step;
use super::state::TrainingState;
use crate::error::Result;
use crate::observations::{Constraint, Observations};
use crate::optimise::NormalEquations;
use crate::optimise::dense::invert_positive_semidefinite;
use ndarray::Axis;
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// The share of binaries stays within these.
const SHARES: [f64; 2] = [1e-4, 0.5];
/// Rounds in which the share and the probabilities follow each other.
const ROUNDS: u32 = 30;
/// Errors by which one star and two must differ where the share is estimated.
const DECISIVE: f64 = 4.0;
/// A flux that says so little of the parallax, in units of the information of the measured one, decides nothing.
const LEAST_INFORMATION: f64 = 1e-6;

/// What a training knows of binaries among its stars.
#[derive(Debug, Clone, PartialEq)]
pub struct Binaries {
    /// f, the share of the stars.
    pub share: f64,
    /// Probability w of every star `[N]`; NaN where it has no parallax, or was gone before the first estimate.
    pub probability: Vec<f64>,
    /// Whether its flux and parallax can tell one star from two `[N]`.
    pub is_decisive: Vec<bool>,
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
    /// ln of the ratio of the likelihoods of two stars and of one.
    fn ln_ratio(self) -> f64 {
        let ((measured, noise), (expected, spread)) = (self.measured, self.expected);
        let ln_normal = |mean: f64, variance: f64| -0.5 * ((measured - mean).powi(2) / variance + (TAU * variance).ln());
        ln_normal(expected * FRAC_1_SQRT_2, noise + 0.5 * spread) - ln_normal(expected, noise + spread)
    }

    /// Whether one star and two lie `DECISIVE` errors from each other. Of other stars the probability follows the share, not the share their
    /// probability: any fault of model or errors looks like some binaries more or less.
    fn is_decisive(self) -> bool {
        let ((_, noise), (expected, spread)) = (self.measured, self.expected);
        ((1.0 - FRAC_1_SQRT_2) * expected).powi(2) > DECISIVE * DECISIVE * (noise + spread)
    }

    /// Value and error of the constraint whose optimum is the mean of those of one star and of two, which has the probability `w`.
    fn constraint(self, w: f64) -> (f64, f64) {
        let ((measured, noise), (expected, spread)) = (self.measured, self.expected);
        let (single, double, prior) = (1.0 / noise, 0.5 / noise, 1.0 / spread);
        let shift = (1.0 - w) * single * (measured - expected) / (prior + single)
            + w * (FRAC_1_SQRT_2 * measured - 0.5 * expected) * single / (prior + double);
        let information = (1.0 - w) * single + w * double;
        (expected + shift + prior * shift / information, information.recip().sqrt())
    }
}

/// Estimates the binaries among the kept stars, which are at their optima, and puts the constraints that follow in place of the measured
/// parallaxes. Nothing happens where the recipe has none, or no parallax constrains.
pub(super) fn estimate(state: &mut TrainingState, observations: &Observations, recipe: &Recipe) -> Result<()> {
    let Some(position) = state.model.space.distance_position().filter(|_| recipe.binaries.share > 0.0) else { return Ok(()) };
    let parameter = state.model.space.parameters[position].clone();
    if !recipe.data.constraints.contains(&parameter.name) || !observations.constraints.contains_key(&parameter.name) {
        return Ok(());
    }
    let (n, p) = (observations.len(), state.model.space.len());
    let factor = parameter.model_units_per_file_unit;
    let measured: Vec<Option<(f64, f64)>> = (0..n).map(|star| observations.constraint(&parameter.name, star)).collect();
    let mut pairs: Vec<Option<Pair>> = vec![None; n];
    let posterior = star_step::posterior(state, observations, recipe)?;
    for chunk in state.kept_stars().chunks(512) {
        let normal = posterior.normal_equations(chunk, state.coordinates.select(Axis(0), chunk).view())?;
        for (row, &star) in chunk.iter().enumerate() {
            let Some((value, error)) = measured[star] else { continue };
            let curvature: Vec<f64> = normal.curvature.index_axis(Axis(0), row).iter().map(|value| 0.5 * value).collect();
            let Some(covariance) = invert_positive_semidefinite(&curvature, p) else { continue };
            let u = state.coordinates[[star, position]];
            let variance = covariance.matrix[position * p + position] * (parameter.model_value_slope(u) / factor).powi(2);
            let now = state.binaries.as_ref().and_then(|binaries| binaries.constraint.get(star)).unwrap_or((value, error));
            let of_now = 1.0 / (now.1 * now.1);
            // The posterior of x is that of the rest times the constraint.
            let information = 1.0 / variance - of_now;
            let fitted = parameter.model_value(u) / factor;
            let expected = fitted + of_now * (fitted - now.0) / information;
            if information > LEAST_INFORMATION / (error * error) && expected.is_finite() {
                pairs[star] = Some(Pair { measured: (value, error * error), expected: (expected, 1.0 / information) });
            }
        }
    }
    drop(posterior);
    let before = state.binaries.as_ref();
    let gone = |star: usize| before.filter(|_| !state.kept[star]).map(|binaries| binaries.probability[star]);
    let ratios: Vec<Option<f64>> = pairs.iter().map(|pair| pair.map(Pair::ln_ratio)).collect();
    let mut share = before.map_or(recipe.binaries.share, |binaries| binaries.share);
    let of = |star: usize, share: f64| match (gone(star), ratios[star]) {
        (Some(probability), _) => probability,
        (None, Some(ratio)) => (1.0 + (1.0 - share) / share * (-ratio).exp()).recip(),
        (None, None) => f64::NAN,
    };
    let is_decisive = |star: usize| match before.filter(|_| !state.kept[star]) {
        Some(binaries) => binaries.is_decisive[star],
        None => pairs[star].is_some_and(Pair::is_decisive),
    };
    let is_decisive: Vec<bool> = (0..n).map(is_decisive).collect();
    let decisive: Vec<usize> = (0..n).filter(|&star| is_decisive[star] && of(star, share).is_finite()).collect();
    for _ in 0..ROUNDS {
        let known: Vec<f64> = decisive.iter().map(|&star| of(star, share)).collect();
        if known.is_empty() {
            break;
        }
        share = (known.iter().sum::<f64>() / known.len() as f64).clamp(SHARES[0], SHARES[1]);
    }
    let probability: Vec<f64> = (0..n).map(|star| of(star, share)).collect();
    let (values, errors) = (0..n)
        .map(|star| match pairs[star] {
            Some(pair) => pair.constraint(probability[star]),
            None => measured[star].unwrap_or((f64::NAN, f64::INFINITY)),
        })
        .unzip();
    tracing::debug!("binaries: {:.2} % of {} stars with good parallaxes", 100.0 * share, decisive.len());
    state.binaries = Some(Binaries { share, probability, is_decisive, constraint: Constraint::new(values, errors).0 });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

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

    /// Stars of x = 1 ± 0.1 with parallaxes of 3 to 30 errors, one in twenty a pair: the share is found, and the mean of the
    /// residuals that the weights see is that of the singles; with the measured parallaxes it is 2.5 errors beside.
    #[test]
    fn the_share_is_found_and_pairs_no_longer_pull() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut normal = || -> f64 { random.sample(rand_distr::StandardNormal) };
        let n = 20_000;
        let pairs: Vec<Pair> = (0..n)
            .map(|star| {
                let error = 1.0 / (3.0 + 27.0 * f64::from(star % 100) / 100.0);
                let truth = if star % 20 == 7 { FRAC_1_SQRT_2 } else { 1.0 };
                let measured = truth + error * normal();
                Pair { measured: (measured, error * error), expected: (1.0 + 0.05 * normal(), 0.05_f64.powi(2)) }
            })
            .collect();
        let mut share = 0.2;
        let probability = |pair: &Pair, share: f64| (1.0 + (1.0 - share) / share * (-pair.ln_ratio()).exp()).recip();
        for _ in 0..ROUNDS {
            share = pairs.iter().map(|pair| probability(pair, share)).sum::<f64>() / n as f64;
        }
        assert!((share - 0.05).abs() < 0.006, "{share}");
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
