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
//! those of pairs, all N + 1 shifts of a star together: stars are as many as there are, not N + 1 times.

use super::calibration::{Pairs, STARS, calibration_in, comparisons, measured_positions};
use super::difference::{Comparison, Difference, ordinary};
use super::pairs::shared_covariance;
use crate::error::{Error, Result};
use crate::model::{Calibration, ForwardModel, Parameter, ParameterSpace};
use crate::observations::Observations;
use ndarray::{Array2, Axis};

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

/// How far a member is from the mean of all seeds.
#[derive(Debug, Clone)]
pub struct Spread {
    /// The covariance of its zero points about those of that mean.
    pub covariance: Calibration,
    /// Stars that told it.
    pub n_stars: usize,
    /// Stars that did not: some member has put them into another optimum than their like, which is no matter
    /// of zero points.
    pub n_outliers: usize,
}

/// The spread of the zero points of the member `chosen` about those of the mean of all seeds: from `stars` at
/// the optima of all members, `coordinates [N, P]` each (of all stars), in the same coordinates and with the
/// measured values of `constraints`; `model` is that member. `None` where they do not tell it, there are
/// fewer than two members, or not this one.
///
/// However many stars there are, N members tell a covariance to N − 1 degrees of freedom: its standard errors
/// hold this, and regions are divided only where they differ by more.
///
/// # Errors
/// When a constraint is no parameter, the model cannot be evaluated, or the fluxes of no star tell a
/// parameter.
pub fn spread_of(
    (model, chosen): (&ForwardModel, usize),
    observations: &Observations,
    (stars, coordinates): (&[usize], &[Array2<f64>]),
    constraints: &[String],
) -> Result<Option<Spread>> {
    let space = &model.space;
    let Some(optima) = coordinates.get(chosen) else { return Ok(None) };
    let constrained = measured_positions(space, observations, (stars, constraints))?;
    let stars: Vec<usize> = stars.iter().copied().step_by(stars.len().div_ceil(STARS).max(1)).collect();
    let compared = comparisons(model, observations, (&stars, optima), &constrained)?;
    let p = space.len();
    let is_unknown = |i: &usize| compared.iter().all(|one| one.flux[i * p + i].abs() <= f64::MIN_POSITIVE);
    match (0..p).find(|i| !stars.is_empty() && is_unknown(i)) {
        None => Ok(spread_from(space, (&stars, &compared), (coordinates, chosen))),
        Some(i) => Err(Error::numerical("the spread of an ensemble")
            .found(format!("no star whose fluxes depend on '{}'", space.parameters[i].name))
            .expected("fluxes that depend on all parameters of the model")
            .remedy("Leave the effect of this parameter out of the recipe, or train and use a single seed.")),
    }
}

/// The same from what fluxes and measurements of the `stars` tell.
fn spread_from(
    space: &ParameterSpace,
    (stars, compared): (&[usize], &[Comparison]),
    (coordinates, chosen): (&[Array2<f64>], usize),
) -> Option<Spread> {
    let degrees = (coordinates.len() as f64 - 1.0).max(0.0);
    if degrees == 0.0 {
        return None;
    }
    let difference = |(&star, compared): (&usize, &Comparison)| {
        let difference = Difference::of_fits(compared, space, &shifts(space, coordinates, chosen, star))?;
        difference.is_finite().then_some((star, difference))
    };
    let (rows, differences): (Vec<usize>, Vec<Difference>) = stars.iter().zip(compared).filter_map(difference).unzip();
    let labels = coordinates[chosen].select(Axis(0), &rows).select(Axis(1), &space.label_positions());
    let own = |n: usize| -> Vec<(usize, usize)> { (0..n).map(|row| (row, row)).collect() };
    // Shifts have no noise: what is ordinary is that of zero points with the covariance of all.
    let all = shared_covariance(&differences, &own(rows.len()))?;
    let weighted: Vec<Difference> = differences.iter().map(|star| star.sharing(&all.covariance)).collect();
    let kept = ordinary(&weighted, &labels);
    let labels = labels.select(Axis(0), &kept);
    let differences: Vec<Difference> = kept.iter().map(|&row| differences[row].clone()).collect();
    let pairs = Pairs { near: own(kept.len()), of_a_kind: Pairs::of_kinds(&labels) };
    let of_all: Vec<usize> = (0..space.len()).collect();
    let covariance = calibration_in(space, (&differences, &of_all), (&labels, &pairs), Some(degrees))?;
    Some(Spread { covariance, n_stars: kept.len(), n_outliers: rows.len() - kept.len() })
}

/// N + 1 shifts `[P]` of a star, in the units of zero points (of the distance its logarithm), the mean of
/// whose squares is the expected square of the distance of the chosen member from the mean of all seeds: Θ_c
/// − Θ̄ and (Θ_k − Θ̄)/√(N(N − 1)), times √(N + 1).
fn shifts(space: &ParameterSpace, coordinates: &[Array2<f64>], chosen: usize, star: usize) -> Vec<Vec<f64>> {
    let n = coordinates.len() as f64;
    let value = |(parameter, &u): (&Parameter, &f64)| {
        let value = parameter.model_value(u);
        if parameter.is_distance() { value.ln() } else { value }
    };
    let of_member = |of_member: &Array2<f64>| space.parameters.iter().zip(of_member.row(star)).map(value).collect();
    let values: Vec<Vec<f64>> = coordinates.iter().map(of_member).collect();
    let from_mean = |member: &[f64], scale: f64| -> Vec<f64> {
        let mean = |i: usize| values.iter().map(|values| values[i]).sum::<f64>() / n;
        member.iter().enumerate().map(|(i, value)| scale * (value - mean(i))).collect()
    };
    let scale = (n + 1.0).sqrt();
    let others = values.iter().map(|member| from_mean(member, scale / (n * (n - 1.0)).sqrt()));
    std::iter::once(from_mean(&values[chosen], scale)).chain(others).collect()
}

#[cfg(test)]
mod tests {
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
                Difference::of_fits(&comparison, &space, &[shift.as_slice().to_vec()]).unwrap()
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

    /// Members whose zero points are off by √0.0009 N(0, 1) for all stars of a kind (a member has one number:
    /// many members, so that it is known) and by √0.0016 N(0, 1) star by star; the fluxes tell all.
    fn fields(n_members: usize, n_stars: usize) -> (ParameterSpace, Vec<Array2<f64>>, Vec<Comparison>) {
        let space = ParameterSpace { parameters: ["feh", "logg"].map(Parameter::label).to_vec() };
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(8);
        let mut normal = || -> f64 { random.sample(StandardNormal) };
        let at: Vec<[f64; 2]> = (0..n_stars).map(|_| [normal(), normal()]).collect();
        let member = |_| {
            let common = [0.03 * normal(), 0.03 * normal()];
            Array2::from_shape_fn((n_stars, 2), |(star, i)| at[star][i] + common[i] + 0.04 * normal())
        };
        let coordinates = (0..n_members).map(member).collect();
        let of_star = |_| Comparison { flux: vec![1e6, 0.0, 0.0, 1e6], pull: vec![0.0; 2], error: vec![f64::INFINITY; 2] };
        (space, coordinates, (0..n_stars).map(of_star).collect())
    }

    #[test]
    fn a_spread_has_what_stars_share_and_what_they_do_not() {
        let (n_members, n_stars) = (300, 600);
        let (space, coordinates, compared) = fields(n_members, n_stars);
        let stars: Vec<usize> = (0..n_stars).collect();
        let found = spread_from(&space, (&stars, &compared), (&coordinates, 0)).unwrap();
        println!("{:?} {:?} {:?}", found.covariance.covariance, found.covariance.shared, found.covariance.standard_error);
        assert_eq!((found.n_stars + found.n_outliers, found.covariance.regions.len()), (n_stars, 0));
        assert!(found.n_outliers < 6, "{}", found.n_outliers);
        // The chosen one is at its own distance from the mean, which is known exactly.
        let distance = |i: usize| {
            let of_star = |star: usize| {
                let mean = coordinates.iter().map(|member| member[[star, i]]).sum::<f64>() / n_members as f64;
                coordinates[0][[star, i]] - mean
            };
            let all: Vec<f64> = stars.iter().map(|&star| of_star(star)).collect();
            let mean = all.iter().sum::<f64>() / n_stars as f64;
            (mean * mean, all.iter().map(|one| one * one).sum::<f64>() / n_stars as f64)
        };
        for i in 0..2 {
            let (shared, whole) = distance(i);
            let [expected_shared, expected] = [shared + 0.0009 / 300.0, whole + 0.0025 / 300.0];
            let [found_shared, found] = [found.covariance.shared[i][i], found.covariance.covariance[i][i]];
            assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected}");
            assert!((found_shared - expected_shared).abs() < 0.00015, "{found_shared} {expected_shared}");
            assert!(found - found_shared > 0.0012, "{found} {found_shared}");
        }
    }

    #[test]
    fn few_seeds_tell_little_whatever_the_stars_and_a_star_in_another_optimum_tells_nothing() {
        let (space, mut coordinates, compared) = fields(4, 600);
        let stars: Vec<usize> = (0..600).collect();
        let before = spread_from(&space, (&stars, &compared), (&coordinates, 1)).unwrap();
        let [variance, error] = [before.covariance.covariance[0][0], before.covariance.standard_error[0][0]];
        assert!(error > 0.999 * variance * (2.0_f64 / 3.0).sqrt() && error < 1.2 * variance, "{variance} {error}");
        coordinates[2][[77, 1]] += 2.0;
        let after = spread_from(&space, (&stars, &compared), (&coordinates, 1)).unwrap();
        assert!(after.n_outliers > 0);
        let ratio = after.covariance.covariance[1][1] / before.covariance.covariance[1][1];
        assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
        assert!(spread_from(&space, (&stars, &compared), (&coordinates[..1], 0)).is_none());
    }

    #[test]
    fn a_star_with_itself_and_realisations_of_it_are_not_more_stars() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(6);
        let draws: Vec<f64> = (0..500).map(|_| random.sample(StandardNormal)).collect();
        let of = |copies: usize| {
            let stars: Vec<Difference> =
                draws.iter().map(|&r| Difference { weighted: vec![r; copies], weight: vec![1.0] }).collect();
            let own: Vec<(usize, usize)> = (0..500).map(|row| (row, row)).collect();
            let found = shared_covariance(&stars, &own).unwrap();
            (found.estimate[(0, 0)], found.standard_error[(0, 0)])
        };
        let mean = draws.iter().map(|r| r * r).sum::<f64>() / 500.0;
        let error = (draws.iter().map(|r| (r * r - mean).powi(2)).sum::<f64>()).sqrt() / 500.0;
        for copies in [1, 7] {
            let found = of(copies);
            assert!((found.0 - mean).abs() < 1e-12 && (found.1 / error - 1.0).abs() < 1e-9, "{copies}: {found:?} {error}");
        }
    }
}
