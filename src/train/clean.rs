//! Self-cleaning: stars that disagree with their own measurements are removed (spec 1 §4, phase 4; sec. 3.2
//! of the paper).
//!
//! Most are unresolved binaries: twice the light of the star that their labels describe, 0.753 mag too
//! bright. Where stars are rare and training has not come far, it is the model that disagrees, with all of
//! them: cleaning would take the cool giants away, and the model would never learn them. So a star that
//! disagrees is compared with its like as well, and goes only if it stands out from them too.

use super::neighbours::Neighbours;
use super::recipe::Clean;
use super::state::TrainingState;
use crate::error::Result;
use crate::model::Role;
use crate::observations::Observations;
use crate::statistics::{median, normal_quantile};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Like stars with which a star is compared.
const NEIGHBOURS: usize = 25;

/// Share of perfect stars that a cleaning may take for others.
const SHARE_BY_NOISE: f64 = 0.01;
/// Stars whose fluxes are predicted at once.
const PREDICTED_TOGETHER: usize = 4096;

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
    /// Stars beyond their limits that stayed because no more than a share may go at once.
    #[serde(default)]
    pub n_spared: usize,
    /// Share of the stars beyond their limits in each quarter of the stars by the signal-to-noise ratio of
    /// their fluxes, the lowest first.
    #[serde(default)]
    pub share_by_signal_to_noise: [f64; 4],
}

/// By how many times its limits a star is exceeded, by its parameters and by its fluxes; up to one it is not.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Verdict {
    parameters: f64,
    flux: f64,
}

impl Verdict {
    fn worst(self) -> f64 {
        self.parameters.max(self.flux)
    }
}

/// Marks the stars to remove among the kept ones (training and validation alike).
pub(super) fn clean(state: &mut TrainingState, observations: &Observations, stage: &Clean) -> Result<CleaningReport> {
    let stars = state.kept_stars();
    let residuals = Residuals::of(state, observations, &stars)?;
    let labels = state.coordinates.select(Axis(0), &stars).select(Axis(1), &state.model.space.label_positions());
    let like = Neighbours::among(&labels);
    let verdicts: Vec<Verdict> = (0..stars.len()).into_par_iter().map(|row| residuals.judge(row, &like, stage)).collect();
    let mut report = CleaningReport {
        stage: stage.name.clone(),
        n_before: stars.len(),
        n_parameters: 0,
        n_flux: 0,
        n_removed: 0,
        n_spared: 0,
        share_by_signal_to_noise: share_by_quarter(&verdicts, &signal_to_noise(observations, &stars)),
    };
    let removed = to_remove(&verdicts, stage.largest_share);
    for (row, &star) in stars.iter().enumerate() {
        let Verdict { parameters, flux } = verdicts[row];
        if removed[row] {
            report.n_parameters += usize::from(parameters > 1.0);
            report.n_flux += usize::from(flux > 1.0);
            report.n_removed += 1;
            state.kept[star] = false;
        } else {
            report.n_spared += usize::from(verdicts[row].worst() > 1.0);
        }
    }
    Ok(report)
}

/// Which stars go: those beyond their limits, but no more than a share of all, and of these the furthest.
fn to_remove(verdicts: &[Verdict], largest_share: f64) -> Vec<bool> {
    let mut beyond: Vec<usize> = (0..verdicts.len()).filter(|&row| verdicts[row].worst() > 1.0).collect();
    beyond.sort_by(|&a, &b| verdicts[b].worst().total_cmp(&verdicts[a].worst()).then(a.cmp(&b)));
    beyond.truncate((largest_share * verdicts.len() as f64) as usize);
    let mut removed = vec![false; verdicts.len()];
    beyond.into_iter().for_each(|row| removed[row] = true);
    removed
}

/// Root mean square of f/σ of each star.
fn signal_to_noise(observations: &Observations, stars: &[usize]) -> Vec<f64> {
    let of = |star: usize| {
        let pairs = observations.flux.row(star).into_iter().zip(observations.flux_error.row(star));
        let ratios: Vec<f64> = pairs.filter(|(_, e)| e.is_finite()).map(|(&f, &e)| f64::from(f / e).powi(2)).collect();
        (ratios.iter().sum::<f64>() / ratios.len().max(1) as f64).sqrt()
    };
    stars.iter().map(|&star| of(star)).collect()
}

/// Share of the stars beyond their limits in each quarter by `quantity`.
fn share_by_quarter(verdicts: &[Verdict], quantity: &[f64]) -> [f64; 4] {
    let mut order: Vec<usize> = (0..verdicts.len()).collect();
    order.sort_by(|&a, &b| quantity[a].total_cmp(&quantity[b]).then(a.cmp(&b)));
    let n = order.len();
    std::array::from_fn(|quarter| {
        let rows = &order[quarter * n / 4..(quarter + 1) * n / 4];
        rows.iter().filter(|&&row| verdicts[row].worst() > 1.0).count() as f64 / rows.len().max(1) as f64
    })
}

/// Relative residuals of stars and their errors: of the checked parameters (labels as differences, the
/// distance parameter as a fraction of the fitted one) and of the fluxes (fractions of the predicted ones).
struct Residuals {
    /// `[n, Q + W]`; NaN where nothing was measured.
    residual: Array2<f32>,
    /// `[n, Q + W]`; infinite where nothing was measured.
    error: Array2<f32>,
    n_parameters: usize,
}

impl Residuals {
    fn of(state: &TrainingState, observations: &Observations, stars: &[usize]) -> Result<Self> {
        let space = &state.model.space;
        let checked: Vec<usize> =
            (0..space.len()).filter(|&p| matches!(space.parameters[p].role, Role::Label | Role::Distance)).collect();
        let n_columns = checked.len() + observations.grid.len();
        let mut residual = Array2::from_elem((stars.len(), n_columns), f32::NAN);
        let mut error = Array2::from_elem(residual.dim(), f32::INFINITY);
        let mut predicted = Array2::zeros((0, 0));
        for (row, &star) in stars.iter().enumerate() {
            let place = row % PREDICTED_TOGETHER;
            if place == 0 {
                let together = &stars[row..(row + PREDICTED_TOGETHER).min(stars.len())];
                predicted = state.model.predict(state.coordinates.select(Axis(0), together).view())?;
            }
            let parameters = checked.iter().map(|&position| {
                let parameter = &space.parameters[position];
                let (measured, error) = observations.constraint(&parameter.name, star)?;
                let fitted = parameter.model_value(state.coordinates[[star, position]]) / parameter.model_units_per_file_unit;
                let unit = if parameter.is_label() { 1.0 } else { fitted.abs() };
                Some(((fitted - measured) / unit, error / unit))
            });
            let fluxes = (0..observations.grid.len()).map(|w| {
                let (flux, error) = (f64::from(observations.flux[[star, w]]), f64::from(observations.flux_error[[star, w]]));
                let unit = predicted[[place, w]].abs();
                error.is_finite().then(|| ((flux - predicted[[place, w]]) / unit, error / unit))
            });
            for (column, value) in parameters.chain(fluxes).enumerate() {
                if let Some((difference, sigma)) = value {
                    (residual[[row, column]], error[[row, column]]) = (difference as f32, sigma as f32);
                }
            }
        }
        Ok(Self { residual, error, n_parameters: checked.len() })
    }

    /// By how much a star exceeds its limits: in comparison with the model or with its like, whichever is
    /// kinder.
    fn judge(&self, row: usize, among: &Neighbours<'_>, stage: &Clean) -> Verdict {
        let against_model = self.excess(row, None, stage);
        if against_model.worst() <= 1.0 {
            return against_model;
        }
        let like = self.medians(&among.of_row(row, NEIGHBOURS));
        let against_like = self.excess(row, Some(&like), stage);
        Verdict {
            parameters: against_model.parameters.min(against_like.parameters),
            flux: against_model.flux.min(against_like.flux),
        }
    }

    /// By how many times its limits a star lies from `zero` (that of the model without one).
    fn excess(&self, row: usize, zero: Option<&[f64]>, stage: &Clean) -> Verdict {
        let pull = |column: usize| {
            let zero = zero.map_or(0.0, |zero| zero[column]);
            let error = f64::from(self.error[[row, column]]);
            (error != f64::INFINITY).then(|| (f64::from(self.residual[[row, column]]) - zero) / error)
        };
        let pulls: Vec<f64> = (0..self.n_parameters).filter_map(pull).collect();
        let combined = pulls.iter().map(|pull| pull * pull).sum::<f64>().sqrt();
        let largest = |pulls: &mut dyn Iterator<Item = f64>| pulls.map(distance).fold(0.0, f64::max);
        let single = largest(&mut pulls.iter().copied()) / stage.parameter_sigma;
        let n_fluxes = self.error.row(row).iter().skip(self.n_parameters).filter(|error| **error != f32::INFINITY).count();
        let fluxes = || (self.n_parameters..self.residual.ncols()).filter_map(pull);
        let by_mean_square = stage
            .mean_square_flux
            .map_or(0.0, |limit| distance(fluxes().map(|pull| pull * pull).sum::<f64>() / n_fluxes.max(1) as f64) / limit);
        Verdict {
            parameters: single.max(distance(combined) / stage.combined_sigma),
            flux: (largest(&mut fluxes()) / flux_limit(stage, n_fluxes)).max(by_mean_square),
        }
    }

    /// Median residual of some stars in every column; zero where none was measured.
    fn medians(&self, rows: &[usize]) -> Vec<f64> {
        (self.residual.columns().into_iter())
            .map(|column| median(&rows.iter().map(|&row| f64::from(column[row])).collect::<Vec<f64>>()))
            .map(|median| if median.is_finite() { median } else { 0.0 })
            .collect()
    }
}

/// The limit of a star's fluxes, in errors: that of the stage, or where so many fluxes exceed that by noise
/// alone, the one which noise exceeds in one star of a hundred.
fn flux_limit(stage: &Clean, n_fluxes: usize) -> f64 {
    let by_noise = normal_quantile(1.0 - 0.5 * SHARE_BY_NOISE / n_fluxes.max(1) as f64);
    stage.flux_sigma.max(by_noise)
}

/// |pull|; one that is not a number is further than any (but not than an infinite limit).
fn distance(pull: f64) -> f64 {
    if pull.is_nan() { f64::MAX } else { pull.abs().min(f64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(largest_share: f64) -> Clean {
        let (name, mean_square_flux) = (String::new(), None);
        Clean { name, parameter_sigma: 4.0, combined_sigma: 4.0, flux_sigma: 4.0, mean_square_flux, largest_share }
    }

    #[test]
    fn a_star_goes_if_it_stands_out_from_the_model_and_from_its_like() {
        // Two groups of thirty stars; one parameter and one flux, errors 1. The model is off by 6σ for all of
        // the second.
        let n = 60;
        let labels = Array2::from_shape_fn((n, 1), |(row, _)| row as f64 + if row < 30 { 0.0 } else { 100.0 });
        let mut residual = Array2::from_shape_fn((n, 2), |(row, _)| if row < 30 { 0.5_f32 } else { 6.0 });
        residual[[5, 0]] = 6.0; // as far as the model's error elsewhere
        residual[[50, 0]] = 12.0;
        residual[[55, 1]] = f32::NAN;
        let mut error = Array2::ones((n, 2));
        error[[7, 1]] = f32::INFINITY;
        residual[[7, 1]] = f32::NAN; // missing
        let residuals = Residuals { residual, error, n_parameters: 1 };
        let verdicts: Vec<Verdict> = (0..n).map(|row| residuals.judge(row, &Neighbours::among(&labels), &stage(1.0))).collect();
        let removed: Vec<(usize, (bool, bool))> = (0..n)
            .map(|row| (row, (verdicts[row].parameters > 1.0, verdicts[row].flux > 1.0)))
            .filter(|(_, gone)| gone.0 || gone.1)
            .collect();
        assert_eq!(removed, [(5, (true, false)), (50, (true, false)), (55, (false, true))]);
    }

    /// One of 25 perfect stars of 5 500 fluxes has one beyond 4σ, and is none the worse for it.
    #[test]
    fn limits_grow_with_the_number_of_fluxes() {
        // scipy 1.17.1: norm.isf(0.005 / n), where it is more than 4
        for (n, limit) in [(1, 4.0), (66, 4.0), (5500, 4.772_649_356_0), (100_000, 5.326_723_886_4)] {
            let found = flux_limit(&stage(1.0), n);
            assert!((found - limit).abs() < 1e-6, "{n}: {found}");
        }
    }

    #[test]
    fn no_more_than_a_share_goes_at_once_and_of_these_the_furthest() {
        let verdicts: Vec<Verdict> = (0..100).map(|row| Verdict { parameters: 0.5, flux: f64::from(row) / 50.0 }).collect();
        let removed = |share: f64| -> Vec<usize> {
            let removed = to_remove(&verdicts, share);
            (0..100).filter(|&row| removed[row]).collect()
        };
        assert_eq!(removed(1.0), (51..100).collect::<Vec<_>>());
        assert_eq!(removed(0.05), (95..100).collect::<Vec<_>>());
        let quarters = share_by_quarter(&verdicts, &(0..100).map(f64::from).collect::<Vec<_>>());
        assert_eq!(quarters, [0.0, 0.0, 0.96, 1.0]);
    }
}
