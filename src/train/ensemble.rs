//! Several trainings that differ in their seeds: which of them stands for all, and how far the others are
//! from it.
//!
//! The same stars, fitted by all members, differ in their optima by S δ: δ is the difference of the zero
//! points of two members, S = A⁻¹ A_flux the response of an optimum, with the information A of fluxes and
//! measurements together. Data and noise are the same for both, so that δ is known without noise.
//!
//! With the optima Θ_k of N members, their mean Θ̄ and the chosen one c, the expected square of the distance
//! of c from the mean of arbitrarily many seeds is (Θ_c − Θ̄)² + Σ_k (Θ_k − Θ̄)²/(N(N − 1)): of a member that
//! is taken at random, that is the variance between seeds; of the one nearest to the mean it is less. (The
//! scatter of the others about a member taken at random is twice as much.) Its covariance over stars is that
//! of [`Calibration`] (`calibration_in`): of a star from its own shifts, and the part that a kind shares from
//! those of pairs.

use super::calibration::{Pairs, STARS, calibration_in, comparisons, measured_positions};
use super::difference::Difference;
use crate::error::Result;
use crate::model::{Calibration, ForwardModel, Parameter, ParameterSpace};
use crate::observations::Observations;
use ndarray::{Array2, Axis, concatenate};

/// How far every member is from the mean of all in the fluxes of `stars` at `coordinates [N, P]` (of all
/// stars): the mean over stars of its squared distance in units of the errors, over that of all members; one
/// where all are equally far.
///
/// # Errors
/// When a member cannot be evaluated.
pub fn distances_from_mean(
    members: &[&ForwardModel],
    observations: &Observations,
    (stars, coordinates): (&[usize], &Array2<f64>),
) -> Result<Vec<f64>> {
    let mut sums = vec![0.0; members.len()];
    for chunk in stars.chunks(512) {
        let at = coordinates.select(Axis(0), chunk);
        let fluxes = members.iter().map(|member| member.predict(at.view())).collect::<Result<Vec<_>>>()?;
        for (row, &star) in chunk.iter().enumerate() {
            let mut squares = vec![0.0; members.len()];
            for (w, &error) in observations.flux_error.row(star).iter().enumerate().filter(|(_, error)| error.is_finite()) {
                let mean = fluxes.iter().map(|flux| flux[[row, w]]).sum::<f64>() / members.len() as f64;
                for (sum, flux) in squares.iter_mut().zip(&fluxes) {
                    *sum += ((flux[[row, w]] - mean) / f64::from(error)).powi(2);
                }
            }
            let mean = squares.iter().sum::<f64>() / members.len() as f64;
            if mean > 0.0 && mean.is_finite() {
                sums.iter_mut().zip(&squares).for_each(|(sum, square)| *sum += square / mean);
            }
        }
    }
    Ok(sums.into_iter().map(|sum| sum / stars.len() as f64).collect())
}

/// The covariance of the zero points of the member `chosen` about those of the mean of all seeds: from
/// `stars` at the optima of all members, `coordinates [N, P]` each (of all stars), in the same coordinates
/// and with the measured values of `constraints`; `model` is that member. `None` where they do not tell it,
/// there are fewer than two members, or not this one.
///
/// # Errors
/// When a constraint is no parameter, or the model cannot be evaluated.
pub fn spread_of(
    (model, chosen): (&ForwardModel, usize),
    observations: &Observations,
    (stars, coordinates): (&[usize], &[Array2<f64>]),
    constraints: &[String],
) -> Result<Option<Calibration>> {
    let (space, n) = (&model.space, coordinates.len());
    let Some(optima) = coordinates.get(chosen) else { return Ok(None) };
    let constrained = measured_positions(space, observations, (stars, constraints))?;
    let stars: Vec<usize> = stars.iter().copied().step_by((stars.len() * (n + 1)).div_ceil(STARS).max(1)).collect();
    let compared = comparisons(model, observations, (&stars, optima), &constrained)?;
    let shifts: Vec<Vec<Vec<f64>>> = stars.iter().map(|&star| shifts(space, coordinates, chosen, star)).collect();
    // One kind of shift after the other; pairs are of stars with the same.
    let (mut differences, mut labels) = (Vec::new(), Vec::new());
    let mut pairs = Pairs { near: Vec::new(), of_a_kind: Vec::new() };
    for kind in (0..=n).filter(|_| n > 1) {
        let (first, mut rows) = (differences.len(), Vec::new());
        for ((&star, compared), shifts) in stars.iter().zip(&compared).zip(&shifts) {
            let difference = Difference::of_fits(compared, space, &shifts[kind]).filter(Difference::is_finite);
            if let Some(difference) = difference {
                differences.push(difference);
                rows.push(star);
            }
        }
        let of_rows = optima.select(Axis(0), &rows).select(Axis(1), &space.label_positions());
        pairs.near.extend((first..differences.len()).map(|row| (row, row)));
        pairs.of_a_kind.extend(Pairs::of_kinds(&of_rows).into_iter().map(|(i, j)| (first + i, first + j)));
        labels.push(of_rows);
    }
    let views: Vec<_> = labels.iter().map(Array2::view).collect();
    let Ok(labels) = concatenate(Axis(0), &views) else { return Ok(None) };
    let all: Vec<usize> = (0..space.len()).collect();
    Ok(calibration_in(space, (&differences, &all), &labels, &pairs))
}

/// N + 1 shifts `[P]` of a star, in the units of zero points, the mean of whose squares is the expected
/// square of the distance of the chosen member from the mean of all seeds: Θ_c − Θ̄ and (Θ_k − Θ̄)/√(N(N −
/// 1)), times √(N + 1).
fn shifts(space: &ParameterSpace, coordinates: &[Array2<f64>], chosen: usize, star: usize) -> Vec<Vec<f64>> {
    let n = coordinates.len() as f64;
    let values: Vec<Vec<f64>> = coordinates
        .iter()
        .map(|of_member| space.parameters.iter().zip(of_member.row(star)).map(|(one, &u)| one.model_value(u)).collect())
        .collect();
    let from_mean = |member: &[f64], scale: f64| -> Vec<f64> {
        let of_parameter = |(i, parameter): (usize, &Parameter)| {
            let mean = values.iter().map(|values| values[i]).sum::<f64>() / n;
            scale * (member[i] - mean) / Calibration::slope(parameter, values[chosen][i])
        };
        space.parameters.iter().enumerate().map(of_parameter).collect()
    };
    let scale = (n + 1.0).sqrt();
    let others = values.iter().map(|member| from_mean(member, scale / (n * (n - 1.0)).sqrt()));
    std::iter::once(from_mean(&values[chosen], scale)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::super::difference::Comparison;
    use super::super::pairs::shared_covariance;
    use super::*;
    use ndarray::array;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;

    #[test]
    fn shifts_are_those_from_the_mean_of_all_seeds() {
        let space = ParameterSpace { parameters: vec![Parameter::label("feh")] };
        let coordinates = [array![[0.1]], array![[0.4]], array![[0.7]], array![[-0.2]]];
        let expected = |chosen: usize| {
            let all = shifts(&space, &coordinates, chosen, 0);
            assert_eq!(all.len(), 5);
            all.iter().map(|shift| shift[0].powi(2)).sum::<f64>() / 5.0
        };
        // numpy 2.4.6: v = [0.1, 0.4, 0.7, -0.2]; (v[2] - mean(v))**2 + var(v, ddof=1)/4 = 0.2025 + 0.0375
        assert!((expected(2) - 0.24).abs() < 1e-12, "{}", expected(2));
        // Of a member taken at random it is the variance between seeds.
        let mean = (0..4).map(expected).sum::<f64>() / 4.0;
        assert!((mean - 0.15).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn the_covariance_of_zero_points_follows_from_the_shifts_of_optima() {
        let space = ParameterSpace { parameters: vec![Parameter::label("feh"), Parameter::distance("parallax", "mas", "", 1.0)] };
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut normal = || -> f64 { random.sample(StandardNormal) };
        // (0.05, 0.1) with a correlation of 0.6; fluxes tell a direction well and the other badly, parallaxes
        // help.
        let differences: Vec<Difference> = (0..20_000)
            .map(|_| {
                let (a, b) = (normal(), normal());
                let delta = nalgebra::Vector2::new(0.05 * a, 0.1 * (0.6 * a + 0.8 * b));
                let (direction, good, bad) = (3.0 * normal(), 1e4 * normal().exp(), 10.0 * normal().exp());
                let axes = nalgebra::Matrix2::new(direction.cos(), -direction.sin(), direction.sin(), direction.cos());
                let flux = axes * nalgebra::Matrix2::from_diagonal(&nalgebra::Vector2::new(good, bad)) * axes.transpose();
                let error = 0.3 * normal().exp();
                let total = flux + nalgebra::Matrix2::from_diagonal(&nalgebra::Vector2::new(0.0, error.powi(-2)));
                let shift = total.try_inverse().unwrap() * flux * delta;
                let comparison =
                    Comparison { flux: flux.as_slice().to_vec(), pull: vec![0.0; 2], error: vec![f64::INFINITY, error] };
                Difference::of_fits(&comparison, &space, shift.as_slice()).unwrap()
            })
            .collect();
        let own: Vec<(usize, usize)> = (0..differences.len()).map(|row| (row, row)).collect();
        let first = shared_covariance(&differences, &own).unwrap();
        let weighted: Vec<Difference> = differences.iter().map(|one| one.sharing(&first.covariance)).collect();
        let found = shared_covariance(&weighted, &own).unwrap().estimate;
        println!("{found}");
        for (element, expected) in [((0, 0), 0.0025), ((0, 1), 0.003), ((1, 1), 0.01)] {
            assert!((found[element] / expected - 1.0).abs() < 0.05, "{element:?}: {}", found[element]);
        }
    }
}
