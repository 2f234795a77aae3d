//! Estimates of some stars on their way into those of all.

use super::estimates::Estimates;
use super::modes::Modes;
use super::sampled::StarPosterior;
use super::second_star::PairOfStar;
use crate::residuals::Responses;
use ndarray::{Array2, Array3, ArrayView2, Axis};

/// Estimates of a chunk of stars.
pub(super) struct Part {
    pub stars: Vec<usize>,
    pub values: Array2<f64>,
    pub coordinates: Array2<f64>,
    pub covariance: Array3<f64>,
    pub information: Array3<f64>,
    pub chi_square: Vec<f64>,
    pub degrees_of_freedom: Vec<f64>,
    pub ln_prior: Vec<f64>,
    pub loss: Vec<f64>,
    pub eigenvalue: Vec<f64>,
    pub flags: Vec<i32>,
    pub n_iterations: Vec<u32>,
    /// Of every star, the derived quantities.
    pub derived: Vec<Vec<f64>>,
    pub second: Array2<f64>,
    pub second_delta_loss: Vec<f64>,
    pub second_weight: Vec<f64>,
    /// The optima as modes of the posterior, where they were wanted.
    pub modes: Vec<Option<Modes>>,
    /// The part of the covariances that like stars share `[n, F, F]`, and by what the error of the model's
    /// zero points widens those of posteriors that are not cut at zero.
    pub shared: Array3<f64>,
    pub widening: Array3<f64>,
    /// Posteriors by weighted draws, of all stars or none.
    pub sampled: Vec<Option<StarPosterior>>,
    /// Fits of two stars, of all stars or none.
    pub pairs: Vec<Option<PairOfStar>>,
    pub residuals: Responses,
}

impl Part {
    /// Takes the `i`-th star over into the estimates of all, where it is number `star`.
    pub fn put(&self, estimates: &mut Estimates, i: usize, star: usize) {
        let row = |view: ArrayView2<'_, f64>| view.row(i).to_owned();
        estimates.values.row_mut(star).assign(&row(self.values.view()));
        estimates.coordinates.row_mut(star).assign(&row(self.coordinates.view()));
        estimates.covariance.index_axis_mut(Axis(0), star).assign(&self.covariance.index_axis(Axis(0), i));
        if let Some(shared) = &mut estimates.shared {
            shared.index_axis_mut(Axis(0), star).assign(&self.shared.index_axis(Axis(0), i));
        }
        estimates.information.index_axis_mut(Axis(0), star).assign(&self.information.index_axis(Axis(0), i));
        estimates.chi_square[star] = self.chi_square[i];
        estimates.degrees_of_freedom[star] = self.degrees_of_freedom[i];
        estimates.ln_prior[star] = self.ln_prior[i];
        estimates.ln_posterior[star] = -0.5 * self.loss[i];
        estimates.smallest_eigenvalue[star] = self.eigenvalue[i];
        estimates.flags[star] = self.flags[i];
        if !self.residuals.is_empty() {
            estimates.residuals.put_row(star, &self.residuals, i);
        }
        estimates.n_iterations[star] = self.n_iterations[i];
        for ((_, values), value) in estimates.derived.iter_mut().zip(&self.derived[i]) {
            values[star] = *value;
        }
        estimates.second.row_mut(star).assign(&row(self.second.view()));
        estimates.second_delta_loss[star] = self.second_delta_loss[i];
        estimates.second_weight[star] = self.second_weight[i];
        if let (Some(posterior), Some(found)) = (&mut estimates.posterior, self.sampled.get(i).and_then(Option::as_ref)) {
            posterior.put(star, found);
        }
        if let (Some(pairs), Some(found)) = (&mut estimates.second_star, self.pairs.get(i).and_then(Option::as_ref)) {
            pairs.put(star, found);
        }
    }
}
