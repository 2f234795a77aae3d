//! Self-cleaning: stars that disagree with their own measurements are removed (spec 1 §4, phase 4; sec. 3.2 of the paper).
//!
//! Most are unresolved binaries: twice the light of the star that their labels describe, 0.753 mag too bright. Where stars are
//! rare and training has not come far, it is the model that disagrees, with all of them: cleaning would take the cool giants
//! away, and the model would never learn them. So a star that disagrees is compared with its like as well, and goes only if it
//! stands out from them too.

use super::neighbours::nearest;
use super::recipe::Clean;
use super::state::TrainingState;
use crate::error::Result;
use crate::model::Role;
use crate::observations::Observations;
use crate::statistics::median;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Like stars with which a star is compared.
const NEIGHBOURS: usize = 25;

/// How many stars one cleaning removed, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CleaningReport {
    pub stage: String,
    pub n_before: usize,
    /// Stars with a label or distance parameter too far from the measured one.
    pub n_parameters: usize,
    /// Stars with a flux too far from the predicted one.
    pub n_flux: usize,
    /// Stars removed (either reason).
    pub n_removed: usize,
}

/// Marks the stars to remove among the kept ones (training and validation alike).
pub(super) fn clean(state: &mut TrainingState, observations: &Observations, stage: &Clean) -> Result<CleaningReport> {
    let stars: Vec<usize> = (0..state.kept.len()).filter(|&star| state.kept[star]).collect();
    let residuals = Residuals::of(state, observations, &stars)?;
    let labels = state.coordinates.select(Axis(0), &stars).select(Axis(1), &state.model.space.label_positions());
    let verdicts: Vec<(bool, bool)> = (0..stars.len()).into_par_iter().map(|row| residuals.judge(row, &labels, stage)).collect();
    let mut report =
        CleaningReport { stage: stage.name.clone(), n_before: stars.len(), n_parameters: 0, n_flux: 0, n_removed: 0 };
    for (&star, (by_parameters, by_flux)) in stars.iter().zip(verdicts) {
        report.n_parameters += usize::from(by_parameters);
        report.n_flux += usize::from(by_flux);
        report.n_removed += usize::from(by_parameters || by_flux);
        state.kept[star] = !(by_parameters || by_flux);
    }
    Ok(report)
}

/// Relative residuals of stars and their errors: of the checked parameters (labels as differences, the distance parameter as a
/// fraction of the fitted one) and of the fluxes (fractions of the predicted ones).
struct Residuals {
    /// `[n, Q + W]`; NaN where nothing was measured.
    residual: Array2<f64>,
    /// `[n, Q + W]`; infinite where nothing was measured.
    error: Array2<f64>,
    n_parameters: usize,
}

impl Residuals {
    fn of(state: &TrainingState, observations: &Observations, stars: &[usize]) -> Result<Self> {
        let space = &state.model.space;
        let checked: Vec<usize> =
            (0..space.len()).filter(|&p| matches!(space.parameters[p].role, Role::Label | Role::Distance)).collect();
        let n_columns = checked.len() + observations.grid.len();
        let predicted = state.model.predict(state.coordinates.select(Axis(0), stars).view())?;
        let mut residual = Array2::from_elem((stars.len(), n_columns), f64::NAN);
        let mut error = Array2::from_elem(residual.dim(), f64::INFINITY);
        for (row, &star) in stars.iter().enumerate() {
            let parameters = checked.iter().map(|&position| {
                let parameter = &space.parameters[position];
                let (measured, error) = observations.constraint(&parameter.name, star)?;
                let fitted = parameter.model_value(state.coordinates[[star, position]]) / parameter.model_units_per_file_unit;
                let unit = if parameter.is_label() { 1.0 } else { fitted.abs() };
                Some(((fitted - measured) / unit, error / unit))
            });
            let fluxes = (0..observations.grid.len()).map(|w| {
                let (flux, error) = (f64::from(observations.flux[[star, w]]), f64::from(observations.flux_error[[star, w]]));
                let unit = predicted[[row, w]].abs();
                error.is_finite().then(|| ((flux - predicted[[row, w]]) / unit, error / unit))
            });
            for (column, value) in parameters.chain(fluxes).enumerate() {
                if let Some(value) = value {
                    (residual[[row, column]], error[[row, column]]) = value;
                }
            }
        }
        Ok(Self { residual, error, n_parameters: checked.len() })
    }

    /// Whether a star goes for its parameters, and for its fluxes.
    fn judge(&self, row: usize, labels: &Array2<f64>, stage: &Clean) -> (bool, bool) {
        let against_model = self.exceed(row, None, stage);
        if against_model == (false, false) {
            return against_model;
        }
        let like = self.medians(&nearest(labels, row, NEIGHBOURS));
        let against_like = self.exceed(row, Some(&like), stage);
        (against_model.0 && against_like.0, against_model.1 && against_like.1)
    }

    /// Whether the parameters and the fluxes of a star lie too far from `zero` (that of the model without one).
    fn exceed(&self, row: usize, zero: Option<&[f64]>, stage: &Clean) -> (bool, bool) {
        let pull = |column: usize| {
            let zero = zero.map_or(0.0, |zero| zero[column]);
            let error = self.error[[row, column]];
            (error != f64::INFINITY).then(|| (self.residual[[row, column]] - zero) / error)
        };
        let pulls: Vec<f64> = (0..self.n_parameters).filter_map(pull).collect();
        let combined = pulls.iter().map(|pull| pull * pull).sum::<f64>().sqrt();
        let by_parameters =
            pulls.iter().any(|&pull| exceeds(pull, stage.parameter_sigma)) || exceeds(combined, stage.combined_sigma);
        let by_flux = (self.n_parameters..self.residual.ncols()).filter_map(pull).any(|pull| exceeds(pull, stage.flux_sigma));
        (by_parameters, by_flux)
    }

    /// Median residual of some stars in every column; zero where none was measured.
    fn medians(&self, rows: &[usize]) -> Vec<f64> {
        (self.residual.columns().into_iter())
            .map(|column| median(&rows.iter().map(|&row| column[row]).collect::<Vec<f64>>()))
            .map(|median| if median.is_finite() { median } else { 0.0 })
            .collect()
    }
}

/// |pull| above the limit; a pull that is not a number counts as too far.
fn exceeds(pull: f64, limit: f64) -> bool {
    pull.is_nan() || pull.abs() > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_goes_if_it_stands_out_from_the_model_and_from_its_like() {
        // Two groups of thirty stars; one parameter and one flux, errors 1. The model is off by 6σ for all of the second.
        let n = 60;
        let labels = Array2::from_shape_fn((n, 1), |(row, _)| row as f64 + if row < 30 { 0.0 } else { 100.0 });
        let mut residual = Array2::from_shape_fn((n, 2), |(row, _)| if row < 30 { 0.5 } else { 6.0 });
        residual[[5, 0]] = 6.0; // as far as the model's error elsewhere
        residual[[50, 0]] = 12.0;
        residual[[55, 1]] = f64::NAN;
        let mut error = Array2::ones((n, 2));
        error[[7, 1]] = f64::INFINITY;
        residual[[7, 1]] = f64::NAN; // missing
        let residuals = Residuals { residual, error, n_parameters: 1 };
        let stage = Clean { name: String::new(), parameter_sigma: 4.0, combined_sigma: 4.0, flux_sigma: 4.0 };
        let removed: Vec<(usize, (bool, bool))> =
            (0..n).map(|row| (row, residuals.judge(row, &labels, &stage))).filter(|(_, gone)| gone.0 || gone.1).collect();
        assert_eq!(removed, [(5, (true, false)), (50, (true, false)), (55, (false, true))]);
    }
}
