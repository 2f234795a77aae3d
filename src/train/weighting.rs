//! Which stars count for more in the gradient of the weights: rare ones, or else a model is taught by dwarfs
//! of the disc alone.

use super::recipe::Recipe;
use super::state::TrainingState;
use super::trained::fit_prior;
use crate::error::{Error, Result};
use crate::model::Role;
use crate::observations::Observations;
use crate::statistics::median;
use ndarray::Axis;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Classes of the values of a parameter.
const CLASSES: usize = 100;
/// Share of a class that makes no difference: stars of empty classes count twenty times as much as those of a
/// class that has nearly all.
const LEAST_SHARE: f64 = 0.05;
/// Density, relative to the largest, that makes no difference.
const LEAST_DENSITY: f64 = 1e-9;
/// Several weightings together may have this many times the largest weight of one.
const TOGETHER: f64 = 2.0;

/// A weighting of the stars of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighting {
    /// `label`: by the density p of the mixture prior at the labels of the star, w = 1/(p/p_max + 10⁻⁹). The
    /// name of a parameter: by the share s of stars that have its value, in a hundred classes of `range`, w =
    /// 1/(s + 0.05) over its median.
    pub by: String,
    /// Large weights are compressed, w/(1 + w/largest), so that they stay below it.
    #[serde(default = "default_largest")]
    pub largest: f64,
    /// Values of a parameter, in its unit in files; stars outside do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

fn default_largest() -> f64 {
    5.0
}

impl Weighting {
    /// Whether it is by the density of all labels.
    pub fn is_by_labels(&self) -> bool {
        self.by == Role::Label.name()
    }
}

/// Weights of all stars `[N]`, by what is known of `stars` at the beginning of their stage; 1 of the others.
///
/// # Errors
/// When a parameter is not of the model, the mixture cannot be fitted, or no star is left with a weight.
pub(super) fn weights_of(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    (stage, weightings, stars): (&str, &[Weighting], &[usize]),
) -> Result<Vec<f64>> {
    let mut of_stars = vec![1.0; stars.len()];
    for weighting in weightings {
        let weights = match weighting.is_by_labels() {
            true => by_density(state, observations, recipe, stars)?,
            false => by_values(state, weighting, stars)?,
        };
        of_stars.iter_mut().zip(weights).for_each(|(product, weight)| *product *= compressed(weight, weighting.largest));
    }
    if weightings.len() > 1 {
        let largest = TOGETHER * weightings.iter().map(|weighting| weighting.largest).fold(0.0, f64::max);
        of_stars.iter_mut().for_each(|weight| *weight = compressed(*weight, largest));
    }
    if !of_stars.iter().any(|weight| *weight > 0.0) {
        return Err(Error::data(format!("stage '{stage}', weight"))
            .found(format!("none of {} stars with a weight", stars.len()))
            .expected("stars within the ranges")
            .remedy("Widen the range, or leave the weight out."));
    }
    let mut weights = vec![1.0; observations.len()];
    stars.iter().zip(of_stars).for_each(|(&star, weight)| weights[star] = weight);
    Ok(weights)
}

fn compressed(weight: f64, largest: f64) -> f64 {
    if weight.is_finite() { weight / (1.0 + weight / largest) } else { 0.0 }
}

/// By the density of the stars in their labels.
fn by_density(state: &TrainingState, observations: &Observations, recipe: &Recipe, stars: &[usize]) -> Result<Vec<f64>> {
    let prior = fit_prior(recipe, observations, state)?;
    let space = &state.model.space;
    let positions = space.label_positions();
    let labels = state.coordinates.select(Axis(0), stars).select(Axis(1), &positions);
    let ln_density: Vec<f64> = (labels.axis_iter(Axis(0)).into_par_iter())
        .map(|row| {
            let values = row.iter().zip(&positions).map(|(&u, &position)| space.parameters[position].model_value(u));
            prior.ln_density(&values.collect::<Vec<f64>>())
        })
        .collect();
    let largest = ln_density.iter().copied().filter(|ln| ln.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    Ok(ln_density.iter().map(|ln| 1.0 / ((ln - largest).exp() + LEAST_DENSITY)).collect())
}

/// By how many stars have the value of a parameter.
fn by_values(state: &TrainingState, weighting: &Weighting, stars: &[usize]) -> Result<Vec<f64>> {
    let position = state.model.space.position(&weighting.by)?;
    let parameter = &state.model.space.parameters[position];
    let value = |&star: &usize| parameter.model_value(state.coordinates[[star, position]]) / parameter.model_units_per_file_unit;
    Ok(by_share(&stars.iter().map(value).collect::<Vec<f64>>(), weighting.range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY])))
}

fn by_share(values: &[f64], [low, high]: [f64; 2]) -> Vec<f64> {
    let class = |value: f64| {
        let place = (value - low) / (high - low) * CLASSES as f64;
        (value >= low && value <= high).then(|| (place as usize).min(CLASSES - 1))
    };
    let mut counts = [0_usize; CLASSES];
    values.iter().filter_map(|&value| class(value)).for_each(|class| counts[class] += 1);
    let share = |class: usize| counts[class] as f64 / values.len().max(1) as f64;
    let weights: Vec<f64> =
        values.iter().map(|&value| class(value).map_or(0.0, |class| 1.0 / (share(class) + LEAST_SHARE))).collect();
    let middle = median(&weights);
    let unit = if middle > 0.0 { middle } else { 1.0 };
    weights.into_iter().map(|weight| weight / unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2.4.6: with 90 values of 0.1, 9 of 0.5 and one of −0.7, and one of 2 outside,
    /// 1/(np.array([90, 9, 1])/101 + 0.05)/(1/(90/101 + 0.05)).
    #[test]
    fn rare_values_count_for_more_and_those_outside_for_nothing() {
        let values: Vec<f64> = [vec![0.1; 90], vec![0.5; 9], vec![-0.7, 2.0]].concat();
        let weights = by_share(&values, [-0.8, 0.8]);
        for (row, expected) in [(0, 1.0), (95, 6.765_124_56), (99, 15.710_743_8), (100, 0.0)] {
            assert!((weights[row] - expected).abs() < 1e-6, "{row}: {}", weights[row]);
        }
        assert!((compressed(15.710_743_8, 5.0) - 3.792_897_05).abs() < 1e-6);
        assert_eq!(compressed(f64::NAN, 5.0), 0.0);
    }
}
