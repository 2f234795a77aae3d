//! The covariance of the model's zero points ([`Calibration`]), estimated from the testing stars.
//!
//! The flux alone puts a star at Θ + δ(Θ) + noise, its catalogue at Θ + noise. The difference r of the two
//! has a noise that is large, poorly known, and independent between stars; δ is small and common to like
//! stars. So the mean of r_i r_jᵀ over pairs of neighbours i ≠ j estimates K = ⟨δ δᵀ⟩ whatever the noise is.
//! Neighbours are chosen by the labels fitted to flux and catalogue together, with which r is not correlated
//! (neighbours by catalogue or by flux alone would share the noise that chose them).
//!
//! Each r is weighted by its information W = (A_flux⁻¹ + A_cat⁻¹)⁻¹ = A_cat − A_cat (A_flux + A_cat)⁻¹ A_cat,
//! so that no direction that flux or catalogue leave open enters: Σ W_i K W_j = Σ W_i r_i r_jᵀ W_j, linear
//! equations for the elements of K. Directions of K (in the metric of the mean W) that do not stand out from
//! their error by a factor of two are zero.
//!
//! Rare stars are described worse than common ones. Where the data show it, K is one of a region of the
//! labels: stars are divided at a quartile of a label as long as the two sides differ by three errors
//! (`regions`).

use super::difference::{Difference, ordinary};
use super::pairs::{Shared, pairs_of, shared_covariance};
use super::recipe::Recipe;
use super::regions::{Region, regions};
use super::state::{Part, TrainingState};
use crate::error::Result;
use crate::model::{Calibration, CalibrationRegion};
use crate::observations::Observations;
use crate::optimise::NormalEquations;
use crate::posterior::{Posterior, Terms};
use nalgebra::DMatrix;
use ndarray::Axis;
use std::collections::{BTreeMap, BTreeSet};

/// Largest number of stars used.
const STARS: usize = 10_000;

/// The calibration covariance from the kept testing stars; `None` where the zero points are no worse than
/// noise can tell.
pub(super) fn estimate(state: &TrainingState, observations: &Observations, recipe: &Recipe) -> Result<Option<Calibration>> {
    let space = &state.model.space;
    // One that no testing star has would make the rest unknown too.
    let testing = state.stars(Part::Testing);
    let constrained: Vec<usize> = (recipe.data.constraints.iter())
        .filter(|name| testing.iter().any(|&star| observations.constraint(name, star).is_some()))
        .map(|name| space.position(name))
        .collect::<Result<_>>()?;
    let (stars, differences) = differences(state, observations, &constrained)?;
    let label_positions = space.label_positions();
    let labels = state.coordinates.select(Axis(0), &stars).select(Axis(1), &label_positions);
    let keep = ordinary(&differences, &labels);
    let labels = labels.select(Axis(0), &keep);
    let kept: BTreeSet<usize> = keep.into_iter().collect();
    let differences: Vec<Difference> =
        differences.into_iter().enumerate().filter(|(row, _)| kept.contains(row)).map(|(_, difference)| difference).collect();

    let pairs = pairs_of(&labels);
    let Some(whole) = shared_covariance(&differences, &pairs) else { return Ok(None) };
    let embed = |matrix: &DMatrix<f64>| {
        let mut rows = vec![vec![0.0; space.len()]; space.len()];
        for (i, &a) in constrained.iter().enumerate() {
            constrained.iter().enumerate().for_each(|(j, &b)| rows[a][b] = matrix[(i, j)]);
        }
        rows
    };
    let regions: Vec<CalibrationRegion> = regions(&differences, &labels, &pairs)
        .into_iter()
        .filter_map(|region| {
            let Shared { covariance, standard_error, .. } = region.shared_covariance(&differences, &pairs)?;
            let bounds = bounds(state, &label_positions, &region);
            Some(CalibrationRegion { bounds, covariance: embed(&covariance), standard_error: embed(&standard_error) })
        })
        .collect();
    let something = whole.covariance.amax() > 0.0 || !regions.is_empty();
    Ok(something.then(|| Calibration {
        covariance: embed(&whole.covariance),
        standard_error: embed(&whole.standard_error),
        regions,
    }))
}

/// The bounds of a region in model values, of the labels that have some.
fn bounds(state: &TrainingState, label_positions: &[usize], region: &Region) -> BTreeMap<String, [f64; 2]> {
    let pairs = label_positions.iter().zip(&region.bounds).filter(|(_, [low, high])| low.is_finite() || high.is_finite());
    pairs
        .map(|(&position, bounds)| {
            let parameter = &state.model.space.parameters[position];
            (parameter.name.clone(), bounds.map(|bound| if bound.is_finite() { parameter.model_value(bound) } else { bound }))
        })
        .collect()
}

/// The differences of the testing stars, and whose they are.
fn differences(
    state: &TrainingState,
    observations: &Observations,
    constrained: &[usize],
) -> Result<(Vec<usize>, Vec<Difference>)> {
    // A pair says nothing of the zero point of its parallax.
    let is_pair = |star: usize| state.binaries.as_ref().is_some_and(|binaries| binaries.probability[star] > 0.5);
    let stars: Vec<usize> = state.stars(Part::Testing).into_iter().filter(|&star| !is_pair(star)).collect();
    let stars: Vec<usize> = stars.iter().copied().step_by(stars.len().div_ceil(STARS).max(1)).collect();
    let terms = Terms { constraints: &[], mixture: None, jacobians: false };
    let posterior = Posterior::around(&state.model, observations, &terms, &state.coordinates)?;
    let mut rows = Vec::new();
    let mut differences = Vec::new();
    for chunk in stars.chunks(512) {
        let flux = posterior.normal_equations(chunk, state.coordinates.select(Axis(0), chunk).view())?;
        for (row, &star) in chunk.iter().enumerate() {
            let curvature: Vec<f64> = flux.curvature.index_axis(Axis(0), row).iter().copied().collect();
            let gradient = flux.gradient.row(row).to_vec();
            if let Some(difference) = Difference::of(state, observations, constrained, star, &curvature, &gradient) {
                rows.push(star);
                differences.push(difference);
            }
        }
    }
    Ok((rows, differences))
}
