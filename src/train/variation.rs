//! The scale, zero point and sign of the variation ξ of the extinction curve.
//!
//! ln R = b + s tanh ξ is the same for s/c and c ξ as long as ξ is small, and stars pay for large ξ by their
//! prior N(0, 1) while weights pay nothing for large s: found together, ξ shrinks and s grows without end.
//! (The joint optimum of latent variables and weights is not that of the weights alone.) So after every stage
//! ξ is brought to the mean and variance of its prior, as the maximum of the marginal likelihood has it:
//! ⟨ξ⟩ = 0 and ⟨ξ² + σ²⟩ = 1, over the stars whose data tell most of ξ, and b and s take up the difference
//! (expectation maximisation in two numbers, the posterior of every star taken for a Gaussian). A curve with
//! more in the red has the larger ξ, as with R_V.

use super::recipe::Recipe;
use super::star_step;
use super::state::{Part, TrainingState};
use crate::error::Result;
use crate::model::{CURVE_VARIATION, LN_CURVE, Role};
use crate::observations::Observations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::optimise::{LevenbergMarquardt, Method, NormalEquations};
use ndarray::Axis;

/// Part of the training stars, those with the smallest variances of ξ, that tell it, and how many there must
/// be.
const TELLING: usize = 5;
const FEWEST: usize = 100;
/// Rounds of scaling and following, and what is near enough to the prior.
const ROUNDS: u32 = 12;
const NEAR: f64 = 0.02;
/// Iterations with which stars follow.
const FOLLOWING_ITERATIONS: u32 = 6;

/// Brings ξ to its prior's mean and variance; does nothing where the model has none, or too few stars tell
/// it.
pub(super) fn normalise(state: &mut TrainingState, observations: &Observations, recipe: &Recipe) -> Result<()> {
    let names = state.model.weights.names();
    if ![LN_CURVE, CURVE_VARIATION].iter().all(|name| names.iter().any(|known| known == name)) {
        return Ok(());
    }
    let is_variation = |parameter: &crate::model::Parameter| parameter.role == Role::Shape && parameter.prior.is_some();
    let Some(position) = state.model.space.parameters.iter().position(is_variation) else { return Ok(()) };
    let all = state.kept_stars();
    let method = LevenbergMarquardt { max_iterations: FOLLOWING_ITERATIONS, ..LevenbergMarquardt::default() };
    let method = Method::LevenbergMarquardt(method);
    let mut telling = told(state, observations, recipe, (position, &state.stars(Part::Training)))?;
    telling.sort_by(|one, other| one.variance.total_cmp(&other.variance));
    telling.truncate(telling.len() / TELLING);
    let telling: Vec<usize> = telling.iter().map(|told| told.star).collect();
    if telling.len() < FEWEST {
        return Ok(());
    }
    for round in 0..ROUNDS {
        let told = told(state, observations, recipe, (position, &telling))?;
        let n = told.len().max(1) as f64;
        let mean = told.iter().map(|told| told.xi).sum::<f64>() / n;
        let scale = (told.iter().map(|told| (told.xi - mean).powi(2) + told.variance).sum::<f64>() / n).sqrt();
        if !(scale > 0.0 && scale.is_finite()) {
            return Ok(());
        }
        let sign = if redder(state)? { 1.0 } else { -1.0 };
        if mean.abs() < NEAR && (scale - 1.0).abs() < NEAR && sign > 0.0 {
            break;
        }
        tracing::debug!(round, mean, scale, sign, "variation of the extinction curve");
        let device = state.model.device().clone();
        let [curve, slope] = [LN_CURVE, CURVE_VARIATION].map(|name| state.model.weights.values(name));
        let (mut curve, mut slope) = (curve?, slope?);
        let zero = mean.tanh();
        curve.iter_mut().zip(&slope).for_each(|(b, s)| *b += s * zero);
        slope.iter_mut().for_each(|s| *s *= sign * scale * (1.0 - zero * zero));
        state.model.weights.set(LN_CURVE, &curve, &device)?;
        state.model.weights.set(CURVE_VARIATION, &slope, &device)?;
        for &star in &all {
            let xi = &mut state.coordinates[[star, position]];
            *xi = sign * (*xi - mean) / scale;
        }
        star_step::minimise(state, observations, recipe, &all, &method)?;
    }
    Ok(())
}

/// What the data of a star say of its ξ.
struct Told {
    star: usize,
    xi: f64,
    variance: f64,
}

/// Of these stars, as far as they have an optimum.
fn told(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    (position, stars): (usize, &[usize]),
) -> Result<Vec<Told>> {
    let p = state.model.space.len();
    let posterior = star_step::posterior(state, observations, recipe)?;
    let mut all = Vec::with_capacity(stars.len());
    for chunk in stars.chunks(512) {
        let normal = posterior.normal_equations(chunk, state.coordinates.select(Axis(0), chunk).view())?;
        for (row, &star) in chunk.iter().enumerate() {
            let half: Vec<f64> = normal.curvature.index_axis(Axis(0), row).iter().map(|value| 0.5 * value).collect();
            let Some(covariance) = invert_positive_semidefinite(&half, p) else { continue };
            let (xi, variance) = (state.coordinates[[star, position]], covariance.matrix[position * p + position]);
            if xi.is_finite() && variance.is_finite() {
                all.push(Told { star, xi, variance });
            }
        }
    }
    Ok(all)
}

/// Whether ln R rises with ξ in the red rather than in the blue, among the wavelengths that vary.
fn redder(state: &TrainingState) -> Result<bool> {
    let slope = state.model.weights.values(CURVE_VARIATION)?;
    let fixed = ["w1", "w2"];
    let grid = &state.model.grid;
    let varies: Vec<(f64, f64)> = (grid.wavelength.iter().zip(&slope).zip(&grid.names))
        .filter(|(_, name)| !fixed.contains(&name.to_lowercase().as_str()))
        .map(|((nm, slope), _)| (nm.ln(), *slope))
        .collect();
    let middle = varies.iter().map(|(x, _)| x).sum::<f64>() / varies.len().max(1) as f64;
    Ok(varies.iter().map(|(x, slope)| (x - middle) * slope).sum::<f64>() >= 0.0)
}
