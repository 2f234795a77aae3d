//! What a star says of the zero points of a model: the difference of what its flux alone and its catalogue
//! say.

use super::neighbours::Neighbours;
use crate::model::{Calibration, ParameterSpace};
use crate::observations::Observations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::statistics::median;
use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

/// Stars whose difference exceeds that of their like by this much per parameter, as rᵀ W r, are outliers
/// (unresolved binaries that passed the cleaning).
const LARGEST_CHI_SQUARE: f64 = 5.0;
/// Like stars with which one is compared.
const LIKE: usize = 25;

/// What the flux of a star says of its measured values, in the units of zero points (model units, the
/// distance as its logarithm).
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    /// The information of the flux A `[P, P]`, row-major.
    pub flux: Vec<f64>,
    /// A r `[P]`: r is what the flux alone says less what was measured.
    pub pull: Vec<f64>,
    /// The error of the measurement of every parameter `[P]`; infinite where it was not measured.
    pub error: Vec<f64>,
}

impl Comparison {
    /// From curvature `[P, P]` and gradient `[P]` of the star's flux χ² at its `coordinates [P]`; measured
    /// are those of the parameters `constrained` that were.
    pub fn of(
        space: &ParameterSpace,
        (observations, star): (&Observations, usize),
        constrained: &[usize],
        coordinates: ArrayView1<'_, f64>,
        (curvature, gradient): (&[f64], &[f64]),
    ) -> Self {
        let p = space.len();
        // dδ/du of every coordinate, and A_flux (Θ − Θ_cat) + score: what the flux says of the catalogue
        // values.
        let scale: Vec<f64> = (space.parameters.iter().zip(coordinates))
            .map(|(parameter, &u)| parameter.model_value_slope(u) / Calibration::slope(parameter, parameter.model_value(u)))
            .collect();
        let flux: Vec<f64> = (0..p * p).map(|at| 0.5 * curvature[at] / (scale[at / p] * scale[at % p])).collect();
        let (mut errors, mut offset) = (vec![f64::INFINITY; p], vec![0.0; p]);
        for &position in constrained {
            let parameter = &space.parameters[position];
            let Some((measured, error)) = observations.constraint(&parameter.name, star) else { continue };
            let (factor, value) = (parameter.model_units_per_file_unit, parameter.model_value(coordinates[position]));
            let slope = Calibration::slope(parameter, value);
            errors[position] = (error * factor / slope).abs();
            offset[position] = (value - measured * factor) / slope;
        }
        let pull =
            (0..p).map(|i| (0..p).map(|j| flux[i * p + j] * offset[j]).sum::<f64>() - 0.5 * gradient[i] / scale[i]).collect();
        Self { flux, pull, error: errors }
    }
}

/// What a star says of the zero points of the Q constrained parameters: W r `[M, Q]` of M realisations (one,
/// where it is measured) and W `[Q, Q]`, row-major. Sums over stars take the mean over realisations.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    pub weighted: Vec<f64>,
    pub weight: Vec<f64>,
}

impl Difference {
    /// Of the parameters `constrained [Q]`; `None` where nothing determines the star.
    pub fn of(comparison: &Comparison, constrained: &[usize]) -> Option<Self> {
        let Comparison { flux, pull, error } = comparison;
        let p = error.len();
        let catalogue: Vec<f64> = error.iter().map(|error| error.powi(-2)).collect();
        let mut total = flux.clone();
        (0..p).for_each(|i| total[i * p + i] += catalogue[i]);
        let covariance = invert_positive_semidefinite(&total, p)?.matrix;
        let weighted: Vec<f64> =
            (constrained.iter()).map(|&i| catalogue[i] * (0..p).map(|j| covariance[i * p + j] * pull[j]).sum::<f64>()).collect();
        let weight: Vec<f64> = (constrained.iter())
            .flat_map(|&i| constrained.iter().map(move |&j| (i, j)))
            .map(|(i, j)| if i == j { catalogue[i] } else { 0.0 } - catalogue[i] * covariance[i * p + j] * catalogue[j])
            .collect();
        Some(Self { weighted, weight })
    }

    /// Of fits of a star by models whose zero points differ by δ, from the `shifts [M][P]` of its optimum: S
    /// δ with S = A⁻¹ A_flux, A the information of flux and measurements together (and of the parameters' own
    /// priors). The shift is known without noise, and the covariance of δ for which S K Sᵀ is nearest to that
    /// of shifts, in units of A⁻¹, solves the equations with W = Sᵀ A S and W r = Sᵀ A shift. `None` where
    /// nothing determines the star.
    pub fn of_fits(comparison: &Comparison, space: &ParameterSpace, shifts: &[Vec<f64>]) -> Option<Self> {
        let Comparison { flux, error, .. } = comparison;
        let p = error.len();
        let mut total = DMatrix::from_row_slice(p, p, flux);
        let flux = total.clone();
        for (i, parameter) in space.parameters.iter().enumerate() {
            let prior = parameter.prior.map(|prior| prior.standard_deviation);
            total[(i, i)] += std::iter::once(error[i]).chain(prior).map(|error| error.powi(-2)).sum::<f64>();
        }
        let covariance = invert_positive_semidefinite(total.as_slice(), p)?.matrix;
        let weighted = shifts.iter().flat_map(|shift| (&flux * DVector::from_column_slice(shift)).as_slice().to_vec()).collect();
        let weight = &flux * DMatrix::from_row_slice(p, p, &covariance) * &flux;
        let weight = 0.5 * (&weight + weight.transpose());
        Some(Self { weighted, weight: weight.as_slice().to_vec() })
    }

    /// Q.
    pub fn n_parameters(&self) -> usize {
        self.weight.len().isqrt()
    }

    /// W r `[Q]` of every realisation.
    pub fn realisations(&self) -> impl Iterator<Item = &[f64]> {
        self.weighted.chunks(self.n_parameters().max(1))
    }

    /// Whether all of it are numbers.
    pub fn is_finite(&self) -> bool {
        self.weighted.iter().chain(&self.weight).all(|value| value.is_finite())
    }

    /// The same star with the weight (W⁻¹ + K)⁻¹: where stars share errors of the covariance K `[Q, Q]`, one
    /// that is known much better than that tells no more than others.
    pub fn sharing(&self, shared: &DMatrix<f64>) -> Self {
        let q = self.n_parameters();
        let weight = DMatrix::from_row_slice(q, q, &self.weight);
        // (1 + W K)⁻¹, which exists: W and K have no negative eigenvalues.
        let Some(inverse) = (DMatrix::identity(q, q) + &weight * shared).try_inverse() else { return self.clone() };
        let of_one = |one: &[f64]| (&inverse * DVector::from_column_slice(one)).as_slice().to_vec();
        let weighted = self.realisations().flat_map(of_one).collect();
        let weight = &inverse * weight;
        let weight = 0.5 * (&weight + weight.transpose());
        Self { weighted, weight: weight.as_slice().to_vec() }
    }

    /// r `[M, Q]`, NaN where it was not measured, and the positions of the measured parameters.
    pub fn values(&self) -> (Vec<f64>, Vec<usize>) {
        let q = self.n_parameters();
        let measured: Vec<usize> = (0..q).filter(|&i| self.weight[i * q + i] > 0.0).collect();
        let n = measured.len();
        let weight: Vec<f64> = measured.iter().flat_map(|&i| measured.iter().map(move |&j| self.weight[i * q + j])).collect();
        let mut values = vec![f64::NAN; self.weighted.len()];
        if let Some(variance) = invert_positive_semidefinite(&weight, n) {
            for (one, values) in self.realisations().zip(values.chunks_mut(q)) {
                for (row, &i) in measured.iter().enumerate() {
                    values[i] = measured.iter().enumerate().map(|(at, &j)| variance.matrix[row * n + at] * one[j]).sum();
                }
            }
        }
        (values, measured)
    }

    /// Whether (r − r₀)ᵀ W (r − r₀) is that of noise, over the measured parameters, in the mean over
    /// realisations.
    fn is_ordinary(&self, values: &[f64], measured: &[usize], zero: &[f64]) -> bool {
        let q = self.n_parameters();
        let of_one = |(values, zero): (&[f64], &[f64])| -> f64 {
            let from_zero = |i: usize| values[i] - zero[i];
            let sum = |i: usize| measured.iter().map(|&j| self.weight[i * q + j] * from_zero(j)).sum::<f64>();
            measured.iter().map(|&i| from_zero(i) * sum(i)).sum()
        };
        let all = values.chunks(q.max(1)).zip(zero.chunks(q.max(1)));
        let n = all.len() as f64;
        let chi_square = all.map(of_one).sum::<f64>() / n;
        !measured.is_empty() && chi_square < LARGEST_CHI_SQUARE * measured.len() as f64
    }
}

/// The rows of the stars that do not stand out from their like, the nearest in `labels [n, L]`.
///
/// A model that is wrong for a kind of stars puts them all beside their measurements; a binary stands out
/// from its like. Only the latter is an outlier.
pub(super) fn ordinary(stars: &[Difference], labels: &Array2<f64>) -> Vec<usize> {
    let values: Vec<(Vec<f64>, Vec<usize>)> = stars.iter().map(Difference::values).collect();
    let among = Neighbours::among(labels);
    (0..stars.len())
        .into_par_iter()
        .filter(|&row| {
            let like = among.of_row(row, LIKE);
            let zero: Vec<f64> = (0..values[row].0.len())
                .map(|i| like.iter().map(|&other| values[other].0[i]).filter(|value| value.is_finite()).collect::<Vec<f64>>())
                .map(|values| if values.is_empty() { 0.0 } else { median(&values) })
                .collect();
            stars[row].is_ordinary(&values[row].0, &values[row].1, &zero)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_are_those_that_stand_out_from_their_like_and_a_fault_of_the_model_is_kept() {
        // The model is off by 5σ for all of the second half; two stars stand out, one has no measured values.
        let labels = Array2::from_shape_fn((100, 1), |(row, _)| row as f64 + if row < 50 { 0.0 } else { 1e3 });
        let stars: Vec<Difference> = (0..100)
            .map(|row| {
                let r = if row < 50 { 0.0 } else { 5.0 } + if row == 10 || row == 60 { 4.0 } else { 0.1 };
                let weight = if row == 20 { 0.0 } else { 1.0 };
                Difference { weighted: vec![r * weight], weight: vec![weight] }
            })
            .collect();
        let kept = ordinary(&stars, &labels);
        let gone: Vec<usize> = (0..100).filter(|row| !kept.contains(row)).collect();
        assert_eq!(gone, [10, 20, 60]);
    }
}
