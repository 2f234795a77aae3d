//! The scale, zero point and sign of the variation ξ of the extinction curve.
//!
//! ln R = b + s tanh ξ is the same for s/c and c ξ as long as ξ is small, and stars pay for large ξ by their
//! prior N(0, 1) while weights pay nothing for large s: found together, ξ shrinks and s grows without end.
//! (The joint optimum of latent variables and weights is not that of the weights alone.) So after every stage
//! ξ is brought to the mean and variance of its prior, as the maximum of the marginal likelihood has it:
//! ⟨ξ⟩ = 0 and ⟨ξ² + σ²⟩ = σ₀², over the stars whose data tell most of ξ, and b and s take up the difference
//! (expectation maximisation in two numbers, the posterior of every star taken for a Gaussian). A curve with
//! more in the red has the larger ξ, as with R_V. Before the first stage that solves, while the emulator is
//! still wrong, ξ waits at 0: s would take up whatever the emulator lacks.
//!
//! Where ξ is measured of some stars it waits at its measurements, and its scale, zero point and sign are
//! theirs: it is brought to no prior. (Scaled to the prior and brought back to what was measured, s would
//! change by the same factor in every round.)

use super::recipe::{Recipe, Stage};
use super::star_step;
use super::state::{Part, TrainingState};
use crate::error::Result;
use crate::model::{ClosedForm, ForwardModel};
use crate::observations::Observations;
use crate::optimise::{LevenbergMarquardt, Method};

/// Part of the training stars, those with the smallest variances of ξ, that tell it, and how many there must
/// be.
const TELLING: usize = 5;
const FEWEST: usize = 100;
/// Rounds of scaling and following, and what is near enough to the prior.
const ROUNDS: u32 = 12;
const NEAR: f64 = 0.02;
/// What is near enough not to be warned of, at the end of a training.
const CLOSE: f64 = 0.1;
/// Iterations with which stars follow.
const FOLLOWING_ITERATIONS: u32 = 6;

/// Where a model has ξ and its curve.
pub(super) struct Variation {
    /// Of ξ among the parameters.
    pub position: usize,
    /// Standard deviation of the prior of ξ, whose mean is 0.
    scatter: f64,
    /// Names of the weights b and s `[W]`.
    ln_curve: String,
    slope: String,
    /// 1 where the curve varies, 0 in the bands whose curve is fixed `[W]`.
    varies: Vec<f64>,
}

impl Variation {
    pub fn of(model: &ForwardModel) -> Result<Option<Self>> {
        let dust = model.effects.iter().find_map(|effect| match effect.closed_form(&model.grid) {
            Some(ClosedForm::Dust { ln_curve, variation: Some((xi, slope, varies)), .. }) => Some((xi, ln_curve, slope, varies)),
            _ => None,
        });
        let of_model = |(xi, ln_curve, slope, varies): (String, _, _, _)| {
            let position = model.space.position(&xi)?;
            let scatter = model.space.parameters[position].prior.map_or(1.0, |prior| prior.standard_deviation);
            Ok(Self { position, scatter, ln_curve, slope, varies })
        };
        dust.map(of_model).transpose()
    }

    /// Whether ln R rises with ξ in the red rather than in the blue, where it varies.
    fn is_redder(&self, model: &ForwardModel) -> Result<bool> {
        let slope = model.weights.values(&self.slope)?;
        let n = self.varies.iter().sum::<f64>();
        let of = |value: &dyn Fn(f64, f64) -> f64| -> f64 {
            let points = model.grid.wavelength.iter().zip(&slope).zip(&self.varies);
            points.map(|((nm, slope), varies)| varies * value(nm.ln(), *slope)).sum()
        };
        let middle = of(&|x, _| x) / n.max(1.0);
        Ok(of(&|x, slope| (x - middle) * slope) >= 0.0)
    }
}

/// The name of ξ in a stage of `recipe` in which it does not move yet, unless the stage names it: those
/// before the first that solves.
pub(super) fn waits(recipe: &Recipe, stage: usize, model: &ForwardModel) -> Result<Option<String>> {
    let solves = |stages: &[Stage]| stages.iter().any(|stage| matches!(stage, Stage::Solve(_)));
    let (until, after) = recipe.stages.split_at((stage + 1).min(recipe.stages.len()));
    if solves(until) || !solves(after) {
        return Ok(None);
    }
    Ok(Variation::of(model)?.map(|variation| model.space.parameters[variation.position].name.clone()))
}

/// Whether the training takes measured values of ξ from some star.
fn is_measured(recipe: &Recipe, observations: &Observations, name: &String) -> bool {
    recipe.data.constraints.contains(name) && observations.n_measured(name) > 0
}

/// Brings ξ to its prior's mean and variance; does nothing where the model has none, it is measured, or too
/// few stars tell it. Returns whether it is there, or nothing was to be done.
pub(super) fn normalise(state: &mut TrainingState, observations: &Observations, recipe: &Recipe) -> Result<bool> {
    let Some(variation) = Variation::of(&state.model)? else { return Ok(true) };
    if is_measured(recipe, observations, &state.model.space.parameters[variation.position].name) {
        return Ok(true);
    }
    let all = state.kept_stars();
    let method = LevenbergMarquardt { max_iterations: FOLLOWING_ITERATIONS, ..LevenbergMarquardt::default() };
    let method = Method::LevenbergMarquardt(method);
    let telling = telling(state, observations, recipe, variation.position)?;
    if telling.len() < FEWEST {
        return Ok(true);
    }
    let mut is_close = false;
    for round in 0..ROUNDS {
        let told = told(state, observations, recipe, (variation.position, &telling))?;
        let n = told.len().max(1) as f64;
        let mean = told.iter().map(|(xi, _)| xi).sum::<f64>() / n;
        let square = told.iter().map(|(xi, variance)| (xi - mean).powi(2) + variance).sum::<f64>() / n;
        let scale = square.sqrt() / variation.scatter;
        if !(scale > 0.0 && scale.is_finite()) {
            return Ok(false);
        }
        let sign = if variation.is_redder(&state.model)? { 1.0 } else { -1.0 };
        let is_within = |limit: f64| mean.abs() < limit * variation.scatter && (scale - 1.0).abs() < limit && sign > 0.0;
        is_close = is_within(CLOSE);
        if is_within(NEAR) {
            break;
        }
        tracing::debug!(round, mean, scale, sign, "variation of the extinction curve");
        let device = state.model.device().clone();
        let weights = &mut state.model.weights;
        let (mut curve, mut slope) = (weights.values(&variation.ln_curve)?, weights.values(&variation.slope)?);
        let zero = mean.tanh();
        // In fixed bands s has a value that does nothing.
        curve.iter_mut().zip(&slope).zip(&variation.varies).for_each(|((b, s), varies)| *b += varies * s * zero);
        slope.iter_mut().for_each(|s| *s *= sign * scale * (1.0 - zero * zero));
        weights.set(&variation.ln_curve, &curve, &device)?;
        weights.set(&variation.slope, &slope, &device)?;
        for &star in &all {
            let xi = &mut state.coordinates[[star, variation.position]];
            *xi = sign * (*xi - mean) / scale;
        }
        star_step::minimise(state, observations, recipe, &all, &method)?;
    }
    Ok(is_close)
}

/// The training stars whose data tell most of ξ.
///
/// They are judged as if their ξ were 0: tanh saturates and what there is of extinction grows with ξ, so that
/// by their errors where they are stars of certain ξ would be chosen, and mean and variance of all missed.
fn telling(state: &TrainingState, observations: &Observations, recipe: &Recipe, position: usize) -> Result<Vec<usize>> {
    let stars = state.stars(Part::Training);
    let mut coordinates = state.coordinates.clone();
    coordinates.column_mut(position).fill(0.0);
    let variances = star_step::variances_at(state, observations, recipe, (position, &stars), coordinates.view())?;
    let mut told: Vec<(usize, f64)> =
        stars.into_iter().zip(variances).filter_map(|(star, variance)| Some((star, variance?))).collect();
    told.sort_by(|one, other| one.1.total_cmp(&other.1));
    told.truncate(told.len() / TELLING);
    Ok(told.into_iter().map(|(star, _)| star).collect())
}

/// Optima of ξ and their variances, of these stars as far as they have them.
fn told(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    (position, stars): (usize, &[usize]),
) -> Result<Vec<(f64, f64)>> {
    let variances = star_step::variances(state, observations, recipe, (position, stars))?;
    let of_star = |(&star, variance): (&usize, Option<f64>)| {
        let (xi, variance) = (state.coordinates[[star, position]], variance?);
        (xi.is_finite() && variance.is_finite()).then_some((xi, variance))
    };
    Ok(stars.iter().zip(variances).filter_map(of_star).collect())
}
