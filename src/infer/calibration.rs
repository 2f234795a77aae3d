//! The error of a model's zero points in the covariance of a star.
//!
//! The flux draws a star by δ, the constraints hold it: with the Fisher information A = A_flux +
//! A_constraints, a zero-point error δ of the model shifts the optimum by S δ, S = A⁻¹ A_flux = 1 − A⁻¹
//! A_constraints. So Cov = A⁻¹ + S K Sᵀ with K = Cov(δ) ([`Calibration`]): error propagation, which leaves
//! the estimate and its weights as they are. The zero point δ_h of a parameter that is held shifts the others
//! too, by A⁻¹ A_flux,fh δ_h with the information of the flux between them and it: the value is known, what
//! the model makes of it is not.

use crate::model::{Calibration, ParameterSpace};
use crate::observations::Observations;

/// Makes S K Sᵀ for the covariances of fits.
pub(super) struct ZeroPoints<'a> {
    pub calibration: &'a Calibration,
    pub space: &'a ParameterSpace,
    /// Positions of the fitted parameters.
    pub free: &'a [usize],
    /// Positions of the parameters that are held.
    pub held: &'a [usize],
    /// Parameters whose measured values constrain the fit.
    pub constraints: &'a [String],
}

/// What the zero points add to the covariance of a star `[F, F]` (row-major, file units), and the part of it
/// that stars of a kind share; with working memory.
pub(super) struct Added {
    pub whole: Vec<f64>,
    pub shared: Vec<f64>,
    model_values: Vec<f64>,
    /// A_constraints `[F]`, and d(value)/d(zero point) in file units `[F + H]`, of the fitted before the held
    /// parameters.
    constraints: Vec<f64>,
    slopes: Vec<f64>,
    /// S times the slopes `[F, F + H]`; column j belongs to the zero point of the j-th parameter, the fitted
    /// before the held ones.
    response: Vec<f64>,
}

impl Added {
    /// Nothing, to `f` parameters.
    pub fn none(f: usize) -> Self {
        let (model_values, constraints, slopes, response) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { whole: vec![0.0; f * f], shared: vec![0.0; f * f], model_values, constraints, slopes, response }
    }
}

impl ZeroPoints<'_> {
    /// S K Sᵀ of a star with the covariance A⁻¹ `[F, F]` (row-major, file units) at fitted `values [P]` (file
    /// units), and with the information A_flux,fh `[F, H]` (row-major, file units) of its flux between fitted
    /// and held parameters.
    pub fn add(
        &self,
        (observations, star): (&Observations, usize),
        values: &[f64],
        (covariance, with_held): (&[f64], &[f64]),
        added: &mut Added,
    ) {
        let (f, h) = (self.free.len(), self.held.len());
        let Added { whole, shared, model_values, constraints, slopes, response } = added;
        [&mut *constraints, slopes, model_values, response].into_iter().for_each(Vec::clear);
        let slope = |&position: &usize| {
            let parameter = &self.space.parameters[position];
            let factor = parameter.model_units_per_file_unit;
            Calibration::slope(parameter, values[position] * factor) / factor
        };
        slopes.extend(self.free.iter().chain(self.held).map(slope));
        let (of_free, of_held) = slopes.split_at(f);
        for &position in self.free {
            let parameter = &self.space.parameters[position];
            let factor = parameter.model_units_per_file_unit;
            let measured =
                if self.constraints.contains(&parameter.name) { observations.constraint(&parameter.name, star) } else { None };
            let prior = parameter.prior.map(|prior| prior.standard_deviation / factor);
            constraints.push(measured.map(|(_, error)| error).into_iter().chain(prior).map(|error| error.powi(-2)).sum());
        }
        for (i, row) in covariance.chunks_exact(f).enumerate() {
            let each = row.iter().zip(&*constraints).zip(of_free).enumerate();
            response.extend(
                each.map(|(j, ((element, constraint), slope))| (if i == j { 1.0 } else { 0.0 } - element * constraint) * slope),
            );
            response.extend(of_held.iter().enumerate().map(|(k, slope)| {
                let information = with_held.iter().skip(k).step_by(h);
                row.iter().zip(information).map(|(element, information)| element * information).sum::<f64>() * slope
            }));
        }
        let parameters = self.space.parameters.iter().zip(values);
        model_values.extend(parameters.map(|(parameter, value)| parameter.model_units_per_file_unit * value));
        let [of_all, of_shared] = self.calibration.at(self.space, model_values);
        self.propagate(of_all, response, whole);
        match std::ptr::eq(of_all, of_shared) {
            true => shared.clone_from(whole),
            false => self.propagate(of_shared, response, shared),
        }
    }

    /// R K Rᵀ `[F, F]` with the response R and the covariance K of all parameters' zero points.
    fn propagate(&self, of_zero_points: &[Vec<f64>], response: &[f64], out: &mut Vec<f64>) {
        let (f, width) = (self.free.len(), self.free.len() + self.held.len());
        let all = || self.free.iter().chain(self.held);
        out.clear();
        out.resize(f * f, 0.0);
        for (i, row) in response.chunks_exact(width).enumerate() {
            for (l, &column) in all().enumerate() {
                // K is symmetric.
                let of_column = &of_zero_points[column];
                let left: f64 = row.iter().zip(all()).map(|(response, &position)| response * of_column[position]).sum();
                for j in 0..=i {
                    out[i * f + j] += left * response[j * width + l];
                }
            }
            for j in 0..i {
                out[j * f + i] = out[i * f + j];
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
            shared: vec![vec![1e-4, 0.25e-4], vec![0.25e-4, 2.25e-4]], // a quarter
            regions: Vec::new(),
        };
        let constraint = Constraint::new(vec![parallax], vec![sigma]).0;
        let grid = Grid::new(vec![500.0], vec!["a".into()]).unwrap();
        let one = ndarray::Array2::ones((1, 1));
        let mut observations = Observations::new(grid, vec![1], ndarray::Array2::zeros((1, 1)), one).unwrap();
        observations.constraints = BTreeMap::from([("parallax".into(), constraint)]);
        let zero_points =
            ZeroPoints { calibration: &calibration, space: &space, free: &[0, 1], held: &[], constraints: &["parallax".into()] };
        let mut added = Added::none(2);
        zero_points.add((&observations, 0), &[5000.0, parallax], (&formal, &[]), &mut added);
        let (found, shared) = (&added.whole, &added.shared);
        // Shift of the optimum for a zero point of 1 kK and of 1 in ln ϖ, by solving A x = A_flux d.
        let shift = |d: [f64; 2]| -> [f64; 2] {
            let pull = [flux[0] * d[0] + flux[1] * d[1], flux[2] * d[0] + flux[3] * d[1]];
            [formal[0] * pull[0] + formal[1] * pull[1], formal[2] * pull[0] + formal[3] * pull[1]]
        };
        let shifts = [shift([1e3, 0.0]), shift([0.0, parallax])];
        for i in 0..2 {
            for j in 0..2 {
                let mut expected = 0.0;
                for k in 0..2 {
                    for l in 0..2 {
                        expected += shifts[k][i] * calibration.covariance[k][l] * shifts[l][j];
                    }
                }
                assert!((found[2 * i + j] / expected - 1.0).abs() < 1e-12);
                assert!((shared[2 * i + j] / (0.25 * expected) - 1.0).abs() < 1e-12);
            }
        }
        // With the parallax held, T_eff follows both zero points: A_tt d_t + A_tp d_p over A_tt.
        let held = ZeroPoints { calibration: &calibration, space: &space, free: &[0], held: &[1], constraints: &[] };
        held.add((&observations, 0), &[5000.0, parallax], (&[1.0 / flux[0]], &[flux[1]]), &mut added);
        let slopes = [1e3, flux[1] / flux[0] * parallax];
        let expected: f64 = (0..2)
            .flat_map(|k| (0..2).map(move |l| (k, l)))
            .map(|(k, l)| slopes[k] * calibration.covariance[k][l] * slopes[l])
            .sum();
        assert!((added.whole[0] / expected - 1.0).abs() < 1e-12);
        assert!(added.whole[0] > (20.0_f64).powi(2), "more than that of T_eff alone");
    }
}
