//! Self-cleaning: stars that disagree with their own measurements are removed (spec 1 §4, phase 4; sec. 3.2 of the paper).
//!
//! Most are unresolved binaries: twice the light of the star that their labels describe, 0.753 mag too bright.

use super::recipe::Clean;
use super::state::TrainingState;
use crate::error::Result;
use crate::observations::Observations;
use ndarray::Axis;
use serde::{Deserialize, Serialize};

/// How many stars one cleaning removed, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CleaningReport {
    pub stage: String,
    pub n_before: usize,
    /// Stars with a label or parallax too far from the measured one.
    pub n_parameters: usize,
    /// Stars with a flux too far from the predicted one.
    pub n_flux: usize,
    /// Stars removed (either reason).
    pub n_removed: usize,
}

/// Marks the stars to remove among the kept ones (training and validation alike).
pub(super) fn clean(state: &mut TrainingState, observations: &Observations, stage: &Clean) -> Result<CleaningReport> {
    let stars: Vec<usize> = (0..state.kept.len()).filter(|&star| state.kept[star]).collect();
    let mut report =
        CleaningReport { stage: stage.name.clone(), n_before: stars.len(), n_parameters: 0, n_flux: 0, n_removed: 0 };
    for chunk in stars.chunks(4096) {
        let predicted = state.model.predict(state.coordinates.select(Axis(0), chunk).view())?;
        for (row, &star) in chunk.iter().enumerate() {
            let pulls: Vec<f64> = checked_pulls(state, observations, star).collect();
            let combined = pulls.iter().map(|pull| pull * pull).sum::<f64>().sqrt();
            let by_parameters =
                pulls.iter().any(|&pull| exceeds(pull, stage.parameter_sigma)) || exceeds(combined, stage.combined_sigma);
            let by_flux = (0..observations.grid.len()).any(|w| {
                let error = f64::from(observations.flux_error[[star, w]]);
                error.is_finite()
                    && exceeds((f64::from(observations.flux[[star, w]]) - predicted[[row, w]]) / error, stage.flux_sigma)
            });
            report.n_parameters += usize::from(by_parameters);
            report.n_flux += usize::from(by_flux);
            report.n_removed += usize::from(by_parameters || by_flux);
            state.kept[star] = !(by_parameters || by_flux);
        }
    }
    Ok(report)
}

/// (x − x̂)/σ of the labels and the parallax of a star, where they were measured.
fn checked_pulls(state: &TrainingState, observations: &Observations, star: usize) -> impl Iterator<Item = f64> {
    state.model.space.parameters.iter().enumerate().filter_map(move |(position, parameter)| {
        let (measured, error) = observations.constraint(&parameter.name, star)?;
        let value = parameter.model_value(state.coordinates[[star, position]]) / parameter.model_units_per_file_unit;
        (parameter.is_label || parameter.name == "parallax").then_some((value - measured) / error)
    })
}

/// |pull| above the limit; a pull that is not a number counts as too far.
fn exceeds(pull: f64, limit: f64) -> bool {
    pull.is_nan() || pull.abs() > limit
}
