//! The error of a model's zero points in the covariance of a star.
//!
//! The flux draws a star by δ, the constraints hold it: with the Fisher information A = A_flux +
//! A_constraints, a zero-point error δ of the model shifts the optimum by S δ, S = A⁻¹ A_flux = 1 − A⁻¹
//! A_constraints. So Cov = A⁻¹ + S K Sᵀ with K = Cov(δ) ([`Calibration`]): error propagation, which leaves
//! the estimate and its weights as they are. Parameters that are held take no part.

use crate::model::{Calibration, ParameterSpace};
use crate::observations::Observations;

/// Adds S K Sᵀ to the covariances of fits.
pub(super) struct ZeroPoints<'a> {
    pub calibration: &'a Calibration,
    pub space: &'a ParameterSpace,
    /// Positions of the fitted parameters.
    pub free: &'a [usize],
    /// Parameters whose measured values constrain the fit.
    pub constraints: &'a [String],
}

impl ZeroPoints<'_> {
    /// Widens the covariance `[F, F]` (row-major, file units) of a star with fitted `values [P]` (file
    /// units).
    pub fn widen(&self, observations: &Observations, star: usize, values: &[f64], covariance: &mut [f64]) {
        let f = self.free.len();
        // A_constraints, and d(value)/d(zero point) in file units.
        let (mut constraints, mut slopes) = (vec![0.0; f], vec![0.0; f]);
        for (i, &position) in self.free.iter().enumerate() {
            let parameter = &self.space.parameters[position];
            let factor = parameter.model_units_per_file_unit;
            let measured =
                if self.constraints.contains(&parameter.name) { observations.constraint(&parameter.name, star) } else { None };
            let prior = parameter.prior.map(|prior| prior.standard_deviation / factor);
            constraints[i] = measured.map(|(_, error)| error).into_iter().chain(prior).map(|error| error.powi(-2)).sum();
            slopes[i] = Calibration::slope(parameter, values[position] * factor) / factor;
        }
        // S times the slopes; column j belongs to the zero point of the j-th fitted parameter.
        let response: Vec<f64> = (0..f * f)
            .map(|at| {
                let (i, j) = (at / f, at % f);
                (if i == j { 1.0 } else { 0.0 } - covariance[at] * constraints[j]) * slopes[j]
            })
            .collect();
        let model_values: Vec<f64> = self
            .space
            .parameters
            .iter()
            .zip(values)
            .map(|(parameter, value)| parameter.model_units_per_file_unit * value)
            .collect();
        let shared = self.calibration.at(self.space, &model_values);
        for i in 0..f {
            for j in 0..=i {
                let mut sum = 0.0;
                for (k, &a) in self.free.iter().enumerate() {
                    for (l, &b) in self.free.iter().enumerate() {
                        sum += response[i * f + k] * shared[a][b] * response[j * f + l];
                    }
                }
                covariance[i * f + j] += sum;
                if i != j {
                    covariance[j * f + i] += sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parameter;
    use crate::observations::{Constraint, Grid};
    use std::collections::BTreeMap;

    /// Two parameters, T_eff (kK in the model, K in files) and ϖ, with flux information A and a parallax of
    /// error σ.
    #[test]
    fn the_covariance_is_that_of_refits_with_shifted_zero_points() {
        let space =
            ParameterSpace { parameters: vec![Parameter::label("teff"), Parameter::distance("parallax", "mas", "", 1.0)] };
        let (parallax, sigma) = (0.5, 0.1_f64);
        let flux = [4e-4, 0.05, 0.05, 90.0]; // K⁻², K⁻¹ mas⁻¹, mas⁻²
        let total = [flux[0], flux[1], flux[2], flux[3] + sigma.powi(-2)];
        let formal = crate::optimise::dense::invert_positive_semidefinite(&total, 2).unwrap().matrix;
        let calibration = Calibration {
            covariance: vec![vec![4e-4, 1e-4], vec![1e-4, 9e-4]], // (20 K)², (3 %)²
            standard_error: vec![vec![0.0; 2]; 2],
            regions: Vec::new(),
        };
        let constraint = Constraint::new(vec![parallax], vec![sigma]).0;
        let grid = Grid::new(vec![500.0], vec!["a".into()]).unwrap();
        let one = ndarray::Array2::ones((1, 1));
        let mut observations = Observations::new(grid, vec![1], ndarray::Array2::zeros((1, 1)), one).unwrap();
        observations.constraints = BTreeMap::from([("parallax".into(), constraint)]);
        let mut found = formal.clone();
        let zero_points =
            ZeroPoints { calibration: &calibration, space: &space, free: &[0, 1], constraints: &["parallax".into()] };
        zero_points.widen(&observations, 0, &[5000.0, parallax], &mut found);
        // Shift of the optimum for a zero point of 1 kK and of 1 in ln ϖ, by solving A x = A_flux d.
        let shift = |d: [f64; 2]| -> [f64; 2] {
            let pull = [flux[0] * d[0] + flux[1] * d[1], flux[2] * d[0] + flux[3] * d[1]];
            [formal[0] * pull[0] + formal[1] * pull[1], formal[2] * pull[0] + formal[3] * pull[1]]
        };
        let shifts = [shift([1e3, 0.0]), shift([0.0, parallax])];
        for i in 0..2 {
            for j in 0..2 {
                let mut expected = formal[2 * i + j];
                for k in 0..2 {
                    for l in 0..2 {
                        expected += shifts[k][i] * calibration.covariance[k][l] * shifts[l][j];
                    }
                }
                assert!((found[2 * i + j] / expected - 1.0).abs() < 1e-12);
            }
        }
    }
}
