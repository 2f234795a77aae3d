//! The covariance of the model's zero points ([`Calibration`]), estimated from the validation stars.
//!
//! The flux alone puts a star at Θ + δ(Θ) + noise, its catalogue at Θ + noise. The difference r of the two has a noise that is
//! large, poorly known, and independent between stars; δ is small and common to like stars. So the mean of r_i r_jᵀ over pairs of
//! neighbours i ≠ j estimates K = ⟨δ δᵀ⟩ whatever the noise is. Neighbours are chosen by the labels fitted to flux and catalogue
//! together, with which r is not correlated (neighbours by catalogue or by flux alone would share the noise that chose them).
//!
//! Each r is weighted by its information W = (A_flux⁻¹ + A_cat⁻¹)⁻¹ = A_cat − A_cat (A_flux + A_cat)⁻¹ A_cat, so that no
//! direction that flux or catalogue leave open enters: Σ W_i K W_j = Σ W_i r_i r_jᵀ W_j, linear equations for the elements of K.
//! Directions of K (in the metric of the mean W) that do not stand out from their jackknife error by a factor of two are zero.

use super::neighbours::nearest;
use super::recipe::Recipe;
use super::state::TrainingState;
use crate::error::Result;
use crate::model::Calibration;
use crate::observations::Observations;
use crate::optimise::NormalEquations;
use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place, invert_positive_semidefinite};
use crate::posterior::{Posterior, Terms};
use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, Axis};
use rayon::prelude::*;

/// Largest number of stars used.
const STARS: usize = 10_000;
/// Neighbours of each star.
const NEIGHBOURS: usize = 20;
/// Stars whose rᵀ W r exceeds this much per parameter are outliers (unresolved binaries that passed the cleaning).
const LARGEST_CHI_SQUARE: f64 = 5.0;
/// Blocks of stars, dealt out in turn, of the jackknife.
const BLOCKS: usize = 16;
/// Jackknife errors by which a direction must stand out.
const SIGNIFICANCE: f64 = 2.0;

/// The calibration covariance from the kept validation stars; `None` where the zero points are no worse than noise can tell.
pub(super) fn estimate(state: &TrainingState, observations: &Observations, recipe: &Recipe) -> Result<Option<Calibration>> {
    let space = &state.model.space;
    let constrained: Vec<usize> = recipe.data.constraints.iter().map(|name| space.position(name)).collect::<Result<_>>()?;
    let stars = state.stars(true);
    let stars: Vec<usize> = stars.iter().copied().step_by(stars.len().div_ceil(STARS).max(1)).collect();
    let terms = Terms { constraints: &[], mixture: None, jacobians: false };
    let posterior = Posterior::new(&state.model, observations, &terms, &[], state.coordinates.clone())?;
    let mut rows = Vec::new();
    let mut differences = Vec::new();
    for chunk in stars.chunks(512) {
        let flux = posterior.normal_equations(chunk, state.coordinates.select(Axis(0), chunk).view())?;
        for (row, &star) in chunk.iter().enumerate() {
            let curvature: Vec<f64> = flux.curvature.index_axis(Axis(0), row).iter().copied().collect();
            let gradient = flux.gradient.row(row).to_vec();
            if let Some(difference) = Difference::of(state, observations, &constrained, star, &curvature, &gradient) {
                rows.push(star);
                differences.push(difference);
            }
        }
    }
    let labels = state.coordinates.select(Axis(0), &rows).select(Axis(1), &space.label_positions());
    let Some((covariance, standard_error)) = shared_covariance(&differences, &labels) else { return Ok(None) };
    let embed = |matrix: &DMatrix<f64>| {
        let mut rows = vec![vec![0.0; space.len()]; space.len()];
        for (i, &a) in constrained.iter().enumerate() {
            constrained.iter().enumerate().for_each(|(j, &b)| rows[a][b] = matrix[(i, j)]);
        }
        rows
    };
    Ok(Some(Calibration { covariance: embed(&covariance), standard_error: embed(&standard_error) }))
}

/// What a star says of the zero points of the Q constrained parameters: W r `[Q]` and W `[Q, Q]`, row-major.
struct Difference {
    weighted: Vec<f64>,
    weight: Vec<f64>,
}

impl Difference {
    /// From curvature `[P, P]` and gradient `[P]` of the star's flux χ² at its coordinates; `None` for outliers and for stars
    /// without measured values.
    fn of(
        state: &TrainingState,
        observations: &Observations,
        constrained: &[usize],
        star: usize,
        curvature: &[f64],
        gradient: &[f64],
    ) -> Option<Self> {
        let space = &state.model.space;
        let p = space.len();
        // dδ/du of every coordinate, A_flux, A_cat, and A_flux (Θ − Θ_cat) + score: what the flux says of the catalogue values.
        let scale: Vec<f64> = (space.parameters.iter().zip(state.coordinates.row(star)))
            .map(|(parameter, &u)| parameter.model_value_slope(u) / Calibration::slope(parameter, parameter.model_value(u)))
            .collect();
        let flux: Vec<f64> = (0..p * p).map(|at| 0.5 * curvature[at] / (scale[at / p] * scale[at % p])).collect();
        let (mut catalogue, mut offset) = (vec![0.0; p], vec![0.0; p]);
        for &position in constrained {
            let parameter = &space.parameters[position];
            let Some((measured, error)) = observations.constraint(&parameter.name, star) else { continue };
            let (factor, value) =
                (parameter.model_units_per_file_unit, parameter.model_value(state.coordinates[[star, position]]));
            let slope = Calibration::slope(parameter, value);
            catalogue[position] = (slope / (error * factor)).powi(2);
            offset[position] = (value - measured * factor) / slope;
        }
        let mut total = flux.clone();
        (0..p).for_each(|i| total[i * p + i] += catalogue[i]);
        let covariance = invert_positive_semidefinite(&total, p)?.matrix;
        let pull: Vec<f64> =
            (0..p).map(|i| (0..p).map(|j| flux[i * p + j] * offset[j]).sum::<f64>() - 0.5 * gradient[i] / scale[i]).collect();
        let weighted: Vec<f64> =
            (constrained.iter()).map(|&i| catalogue[i] * (0..p).map(|j| covariance[i * p + j] * pull[j]).sum::<f64>()).collect();
        let weight: Vec<f64> = (constrained.iter())
            .flat_map(|&i| constrained.iter().map(move |&j| (i, j)))
            .map(|(i, j)| if i == j { catalogue[i] } else { 0.0 } - catalogue[i] * covariance[i * p + j] * catalogue[j])
            .collect();
        let difference = Self { weighted, weight };
        difference.is_ordinary().then_some(difference)
    }

    /// Whether rᵀ W r is that of noise, over the parameters that were measured.
    fn is_ordinary(&self) -> bool {
        let q = self.weighted.len();
        let measured: Vec<usize> = (0..q).filter(|&i| self.weight[i * q + i] > 0.0).collect();
        let weight: Vec<f64> = measured.iter().flat_map(|&i| measured.iter().map(move |&j| self.weight[i * q + j])).collect();
        let n = measured.len();
        let Some(variance) = invert_positive_semidefinite(&weight, n) else { return false };
        let chi_square: f64 =
            (0..n * n).map(|at| self.weighted[measured[at / n]] * variance.matrix[at] * self.weighted[measured[at % n]]).sum();
        n > 0 && chi_square < LARGEST_CHI_SQUARE * n as f64
    }
}

/// The covariance that neighbours in `labels [n, L]` share, and its standard errors; `None` where there is none.
fn shared_covariance(stars: &[Difference], labels: &Array2<f64>) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
    let q = stars.first()?.weighted.len();
    let parts: Vec<Equations> = (0..stars.len())
        .into_par_iter()
        .map(|row| {
            let mut sum = Difference { weighted: vec![0.0; q], weight: vec![0.0; q * q] };
            for other in nearest(labels, row, NEIGHBOURS) {
                sum.weighted.iter_mut().zip(&stars[other].weighted).for_each(|(sum, value)| *sum += value);
                sum.weight.iter_mut().zip(&stars[other].weight).for_each(|(sum, value)| *sum += value);
            }
            Equations::of_pair(&stars[row], &sum)
        })
        .collect();
    let mut blocks: Vec<Equations> = (0..BLOCKS).map(|_| Equations::zero(q)).collect();
    parts.iter().enumerate().for_each(|(row, part)| blocks[row % BLOCKS].add(part, 1.0));
    let mut whole = Equations::zero(q);
    blocks.iter().for_each(|block| whole.add(block, 1.0));
    let estimate = whole.solve()?;
    let without = (blocks.iter())
        .map(|block| {
            let mut rest = Equations::zero(q);
            rest.add(&whole, 1.0);
            rest.add(block, -1.0);
            rest.solve()
        })
        .collect::<Option<Vec<DMatrix<f64>>>>()?;
    let mut metric = DMatrix::zeros(q, q);
    stars.iter().for_each(|star| metric += DMatrix::from_row_slice(q, q, &star.weight) / stars.len() as f64);
    let root = metric.cholesky()?.l();
    let whiten = |matrix: &DMatrix<f64>| root.transpose() * matrix * &root;
    let eigen = SymmetricEigen::new(whiten(&estimate));
    let inverse_root = root.clone().try_inverse()?.transpose();
    let mut covariance = DMatrix::zeros(q, q);
    for (direction, &value) in eigen.eigenvectors.column_iter().zip(eigen.eigenvalues.iter()) {
        let error = jackknife_error(without.iter().map(|matrix| (direction.transpose() * whiten(matrix) * direction)[0]));
        if value > SIGNIFICANCE * error {
            let axis = &inverse_root * direction;
            covariance += &axis * axis.transpose() * value;
        }
    }
    let standard_error = DMatrix::from_fn(q, q, |i, j| jackknife_error(without.iter().map(|matrix| matrix[(i, j)])));
    (covariance.amax() > 0.0).then_some((covariance, standard_error))
}

/// Standard error from the estimates without one block each.
fn jackknife_error(without: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let n = without.len() as f64;
    let mean = without.clone().sum::<f64>() / n;
    ((n - 1.0) / n * without.map(|value| (value - mean).powi(2)).sum::<f64>()).sqrt()
}

/// The equations Σ W_i K W_j = Σ W_i r_i r_jᵀ W_j for the elements of the upper triangle of K `[Q, Q]`.
struct Equations {
    elements: Vec<(usize, usize)>,
    matrix: Vec<f64>,
    right: Vec<f64>,
}

impl Equations {
    fn zero(q: usize) -> Self {
        let elements: Vec<(usize, usize)> = (0..q).flat_map(|i| (i..q).map(move |j| (i, j))).collect();
        let m = elements.len();
        Self { elements, matrix: vec![0.0; m * m], right: vec![0.0; m] }
    }

    fn of_pair(star: &Difference, others: &Difference) -> Self {
        let q = star.weighted.len();
        let mut equations = Self::zero(q);
        let m = equations.elements.len();
        // An element off the diagonal stands for two equal ones.
        let places = |(i, j): (usize, usize)| [(i, j), (j, i)].into_iter().take(if i == j { 1 } else { 2 });
        for (row, &element) in equations.elements.iter().enumerate() {
            for (i, j) in places(element) {
                equations.right[row] += star.weighted[i] * others.weighted[j];
                for (column, &unknown) in equations.elements.iter().enumerate() {
                    for (k, l) in places(unknown) {
                        equations.matrix[row * m + column] += star.weight[i * q + k] * others.weight[l * q + j];
                    }
                }
            }
        }
        equations
    }

    fn add(&mut self, other: &Self, factor: f64) {
        self.matrix.iter_mut().zip(&other.matrix).for_each(|(sum, value)| *sum += factor * value);
        self.right.iter_mut().zip(&other.right).for_each(|(sum, value)| *sum += factor * value);
    }

    /// K; `None` where the stars do not determine it.
    fn solve(&self) -> Option<DMatrix<f64>> {
        let m = self.right.len();
        // Elements of very different units: unit diagonal first.
        let scale: Vec<f64> = (0..m).map(|i| self.matrix[i * m + i].sqrt()).collect();
        let mut factor: Vec<f64> = (0..m * m).map(|at| self.matrix[at] / (scale[at / m] * scale[at % m])).collect();
        let mut solution: Vec<f64> = self.right.iter().zip(&scale).map(|(value, scale)| value / scale).collect();
        if !cholesky_in_place(&mut factor, m) {
            return None;
        }
        cholesky_solve_in_place(&factor, m, &mut solution);
        let q = self.elements.last().map_or(0, |last| last.0 + 1);
        let mut matrix = DMatrix::zeros(q, q);
        for (&(i, j), (value, scale)) in self.elements.iter().zip(solution.iter().zip(&scale)) {
            matrix[(i, j)] = value / scale;
            matrix[(j, i)] = value / scale;
        }
        Some(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;

    /// Stars at random places with δ = amplitude·(√2 sin 2x, √2 sin 2y + √2 sin 2x) and noise of very different covariances.
    fn sample(amplitude: f64, seed: u64) -> (Vec<Difference>, Array2<f64>) {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let n = 4000;
        let labels = Array2::from_shape_fn((n, 2), |_| random.gen_range(0.0..std::f64::consts::PI));
        let stars = (0..n).map(|row| {
            let (x, y) = (std::f64::consts::SQRT_2 * (2.0 * labels[[row, 0]]).sin(), (2.0 * labels[[row, 1]]).sin());
            let field = [amplitude * x, amplitude * (x + std::f64::consts::SQRT_2 * y)];
            let (sigma, slope): (f64, f64) = (random.gen_range(0.5..2.0), random.gen_range(-0.8..0.8));
            // Noise = σ (u, slope·u + v): the inverse of its covariance is the weight.
            let (u, v): (f64, f64) = (random.sample(StandardNormal), random.sample(StandardNormal));
            let r = [field[0] + sigma * u, field[1] + sigma * (slope * u + v)];
            let weight = [1.0 + slope * slope, -slope, -slope, 1.0].map(|value| value / (sigma * sigma));
            let weighted = vec![weight[0] * r[0] + weight[1] * r[1], weight[2] * r[0] + weight[3] * r[1]];
            Difference { weighted, weight: weight.to_vec() }
        });
        (stars.collect(), labels)
    }

    #[test]
    fn a_known_field_of_zero_points_is_recovered_from_stars_that_are_three_times_noisier() {
        let amplitude: f64 = 0.3;
        let (stars, labels) = sample(amplitude, 1);
        let (covariance, error) = shared_covariance(&stars, &labels).unwrap();
        for (i, j, expected) in [(0, 0, 1.0), (0, 1, 1.0), (1, 1, 2.0)] {
            let (found, expected) = (covariance[(i, j)], expected * amplitude.powi(2));
            println!("K[{i}, {j}] = {found:.4} ± {:.4}, true {expected:.4}", error[(i, j)]);
            assert!((found - expected).abs() < 4.0 * error[(i, j)] && error[(i, j)] < 0.2 * expected);
        }
    }

    #[test]
    fn without_a_field_next_to_nothing_is_found() {
        for seed in 2..6 {
            let (stars, labels) = sample(0.0, seed);
            let variance = shared_covariance(&stars, &labels).map_or(0.0, |(covariance, _)| covariance.diagonal().max());
            assert!(variance < 0.03, "{variance}"); // 1/n_pairs^½ = 0.005 times the variance of the noise, 1–4, twice
        }
    }

    #[test]
    fn outliers_and_stars_without_measured_values_say_nothing() {
        let difference = |pull: f64, weight: f64| Difference { weighted: vec![pull * weight.sqrt()], weight: vec![weight] };
        assert!(difference(2.0, 3.0).is_ordinary() && !difference(4.0, 3.0).is_ordinary() && !difference(0.0, 0.0).is_ordinary());
    }
}
