//! The covariance of the model's zero points ([`Calibration`]), estimated from stars that did not train: the
//! testing stars at the end of a training, or those of `photosphere calibrate`.
//!
//! The flux alone puts a star at Θ + δ(Θ) + noise, its catalogue at Θ + noise. The difference r of the two
//! has a noise that is large, poorly known, and independent between stars; δ is small and common to like
//! stars. So the mean of r_i r_jᵀ over pairs of neighbours i ≠ j estimates K = ⟨δ δᵀ⟩ whatever the noise is.
//! Neighbours are chosen by the labels fitted to flux and catalogue together, with which r is not correlated
//! (neighbours by catalogue or by flux alone would share the noise that chose them).
//!
//! Each r is weighted by its information W = (A_flux⁻¹ + A_cat⁻¹)⁻¹ = A_cat − A_cat (A_flux + A_cat)⁻¹ A_cat,
//! so that no direction that flux or catalogue leave open enters: Σ W_i K W_j = Σ W_i r_i r_jᵀ W_j, linear
//! equations for the elements of K. With the K so found the weights are (W⁻¹ + K)⁻¹, or else the few stars
//! that are known best would tell everything.
//!
//! A star's own error is that of the nearest neighbours. Of all stars of a kind, a 64th part of them, the
//! same sums give less: the part that a mean over the kind keeps (`shared`).
//!
//! Stars that are really two are all brighter than their measurements, which is none of the model's faults:
//! what is expected of that is taken off first (`companions`).
//!
//! Rare stars are described worse than common ones. Where the data show it, K is one of a region of the
//! labels: stars are divided at a quartile of a label as long as the two sides differ by three errors
//! (`regions`).

use super::companions::{UnresolvedPairs, take_off};
use super::difference::{Comparison, Difference, ordinary};
use super::pairs::{NEIGHBOURS, pairs_of, shared_covariance};
use super::recipe::Recipe;
use super::regions::{Region, regions};
use super::state::TrainingState;
use crate::error::Result;
use crate::model::{Calibration, CalibrationRegion, ForwardModel, ParameterSpace};
use crate::observations::Observations;
use crate::optimise::NormalEquations;
use crate::posterior::{Posterior, Terms};
use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, Axis};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of stars among those that are used: a kind is a cell of the Hertzsprung–Russell diagram, as many as
/// are averaged, no matter how many stars tell it.
const KINDS: usize = 64;
/// Largest number of stars used.
pub(super) const STARS: usize = 10_000;
/// Pairs of neighbours that have a parameter measured, at least, for the error of its zero point.
const FEWEST_PAIRS: usize = 30;

/// What stars tell of the zero points of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedCalibration {
    pub calibration: Calibration,
    /// The unresolved pairs that were found among the stars, and whose displacements are none of its; `None`
    /// where there are none to be seen.
    pub unresolved_pairs: Option<UnresolvedPairs>,
}

/// The calibration covariance from the kept testing stars; `None` where they do not tell it.
pub(super) fn estimate(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
) -> Result<Option<LearnedCalibration>> {
    let stars: Vec<usize> = state.single_testing_stars().into_iter().filter(|&star| state.kept[star]).collect();
    calibration_of(&state.model, observations, (&stars, &state.coordinates), &recipe.data.constraints)
}

/// The calibration covariance of a model from these `stars` with `coordinates [N, P]` (of all stars) that are
/// fitted to their fluxes and the measured values of `constraints` together; `None` where they do not tell
/// it.
///
/// # Errors
/// When a constraint is no parameter of the model, or the model cannot be evaluated.
pub fn calibration_of(
    model: &ForwardModel,
    observations: &Observations,
    (stars, coordinates): (&[usize], &Array2<f64>),
    constraints: &[String],
) -> Result<Option<LearnedCalibration>> {
    let space = &model.space;
    let constrained = measured_positions(space, observations, (stars, constraints))?;
    let stars: Vec<usize> = stars.iter().copied().step_by(stars.len().div_ceil(STARS).max(1)).collect();
    let compared = comparisons(model, observations, (&stars, coordinates), &constrained)?;
    let labels = coordinates.select(Axis(0), &stars).select(Axis(1), &space.label_positions());
    let constrained = told_by_pairs(&compared, &pairs_of(&labels, NEIGHBOURS), &constrained);
    let of_star = |(&star, one): (&usize, &Comparison)| Some((star, Difference::of(one, &constrained)?));
    let (stars, mut differences): (Vec<usize>, Vec<Difference>) = stars.iter().zip(&compared).filter_map(of_star).unzip();
    let labels = coordinates.select(Axis(0), &stars).select(Axis(1), &space.label_positions());
    let distance = space.distance_position().and_then(|position| constrained.iter().position(|&other| other == position));
    let unresolved_pairs =
        distance.and_then(|distance| take_off(&mut differences, (&labels, &pairs_of(&labels, NEIGHBOURS)), distance));
    if let Some(UnresolvedPairs { share, n_stars, .. }) = unresolved_pairs {
        tracing::debug!("unresolved pairs: {:.2} % of {n_stars} stars", 100.0 * share);
    }
    let keep = ordinary(&differences, &labels);
    let labels = labels.select(Axis(0), &keep);
    let kept: BTreeSet<usize> = keep.into_iter().collect();
    let differences: Vec<Difference> =
        differences.into_iter().enumerate().filter(|(row, _)| kept.contains(row)).map(|(_, difference)| difference).collect();

    let calibration = calibration_in(space, (&differences, &constrained), (&labels, &Pairs::of(&labels)), None);
    Ok(calibration.map(|calibration| LearnedCalibration { calibration, unresolved_pairs }))
}

/// The calibration covariance that the differences of stars with `labels [n, L]` in the parameters
/// `constrained` tell; `None` where they do not. Those between `realisations` models less one tell it to as
/// many degrees of freedom, however many stars there are.
pub(super) fn calibration_in(
    space: &ParameterSpace,
    (differences, constrained): (&[Difference], &[usize]),
    (labels, pairs): (&Array2<f64>, &Pairs),
    realisations: Option<f64>,
) -> Option<Calibration> {
    let label_positions = space.label_positions();
    let first = shared_covariance(differences, &pairs.near)?;
    let differences: Vec<Difference> = differences.iter().map(|star| star.sharing(&first.covariance)).collect();
    let embed = |matrix: &DMatrix<f64>| {
        let mut rows = vec![vec![0.0; space.len()]; space.len()];
        for (i, &a) in constrained.iter().enumerate() {
            constrained.iter().enumerate().for_each(|(j, &b)| rows[a][b] = matrix[(i, j)]);
        }
        rows
    };
    let of_region = |region: Region| {
        let ZeroPoints { covariance, mut standard_error, shared } = ZeroPoints::of(&region, &differences, pairs)?;
        if let Some(realisations) = realisations {
            // Wishart's distribution.
            let square = |i: usize, j: usize| covariance[(i, j)].powi(2) + covariance[(i, i)] * covariance[(j, j)];
            standard_error = DMatrix::from_fn(covariance.nrows(), covariance.nrows(), |i, j| {
                standard_error[(i, j)].hypot((square(i, j) / realisations).sqrt())
            });
        }
        let bounds = bounds(space, &label_positions, &region);
        let (covariance, standard_error) = (embed(&covariance), embed(&standard_error));
        Some(CalibrationRegion { bounds, covariance, standard_error, shared: embed(&shared) })
    };
    let CalibrationRegion { covariance, standard_error, shared, .. } = of_region(Region::whole(labels))?;
    let regions = regions(&differences, labels, &pairs.of_a_kind, realisations).into_iter().filter_map(of_region).collect();
    Some(Calibration { covariance, standard_error, shared, regions })
}

/// Pairs of stars whose labels are as near as can be, and of a kind.
pub(super) struct Pairs {
    pub near: Vec<(usize, usize)>,
    pub of_a_kind: Vec<(usize, usize)>,
}

impl Pairs {
    pub fn of(labels: &Array2<f64>) -> Self {
        Self { near: pairs_of(labels, NEIGHBOURS), of_a_kind: Self::of_kinds(labels) }
    }

    /// Those of a kind alone.
    pub fn of_kinds(labels: &Array2<f64>) -> Vec<(usize, usize)> {
        pairs_of(labels, NEIGHBOURS.max(labels.nrows() / KINDS))
    }
}

/// The zero points of the stars of a region `[Q, Q]`: that of a star, and the part that its kind shares.
struct ZeroPoints {
    covariance: DMatrix<f64>,
    standard_error: DMatrix<f64>,
    shared: DMatrix<f64>,
}

impl ZeroPoints {
    /// `None` where the stars do not determine them.
    fn of(region: &Region, stars: &[Difference], pairs: &Pairs) -> Option<Self> {
        let near = region.shared_covariance(stars, &pairs.near)?;
        let of_a_kind = region.shared_covariance(stars, &pairs.of_a_kind)?;
        // What neighbours have beyond their kind: of few pairs, so that expectations would be mostly noise.
        let own = not_negative_part(&near.estimate - &of_a_kind.estimate, &near.covariance)?;
        let covariance = &of_a_kind.covariance + own;
        Some(Self { covariance, standard_error: near.standard_error, shared: of_a_kind.covariance })
    }
}

/// A symmetric matrix without its negative eigenvalues, in units of the variances of `scale`; `None` where
/// one of these is zero.
fn not_negative_part(matrix: DMatrix<f64>, scale: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let n = matrix.nrows();
    let units: Vec<f64> = (0..n).map(|i| scale[(i, i)].sqrt()).collect();
    if !units.iter().all(|unit| *unit > 0.0 && unit.is_finite()) {
        return None;
    }
    let eigen = SymmetricEigen::new(DMatrix::from_fn(n, n, |i, j| matrix[(i, j)] / (units[i] * units[j])));
    let values = eigen.eigenvalues.map(|value| value.max(0.0));
    let kept = &eigen.eigenvectors * DMatrix::from_diagonal(&values) * eigen.eigenvectors.transpose();
    Some(DMatrix::from_fn(n, n, |i, j| 0.5 * (kept[(i, j)] + kept[(j, i)]) * units[i] * units[j]))
}

/// The bounds of a region in model values, of the labels that have some.
fn bounds(space: &ParameterSpace, label_positions: &[usize], region: &Region) -> BTreeMap<String, [f64; 2]> {
    let pairs = label_positions.iter().zip(&region.bounds).filter(|(_, [low, high])| low.is_finite() || high.is_finite());
    pairs
        .map(|(&position, bounds)| {
            let parameter = &space.parameters[position];
            (parameter.name.clone(), bounds.map(|bound| if bound.is_finite() { parameter.model_value(bound) } else { bound }))
        })
        .collect()
}

/// What the fluxes of stars say of their measured values, at `coordinates [N, P]` (of all stars).
pub(super) fn comparisons(
    model: &ForwardModel,
    observations: &Observations,
    (stars, coordinates): (&[usize], &Array2<f64>),
    constrained: &[usize],
) -> Result<Vec<Comparison>> {
    let terms = Terms { constraints: &[], mixture: None, jacobians: false };
    let posterior = Posterior::around(model, observations, &terms, (coordinates, &[]))?;
    let mut all = Vec::with_capacity(stars.len());
    for chunk in stars.chunks(512) {
        let flux = posterior.normal_equations(chunk, coordinates.select(Axis(0), chunk).view())?;
        for (row, &star) in chunk.iter().enumerate() {
            let curvature: Vec<f64> = flux.curvature.index_axis(Axis(0), row).iter().copied().collect();
            let of_flux = (curvature.as_slice(), &*flux.gradient.row(row).to_vec());
            all.push(Comparison::of(&model.space, (observations, star), constrained, coordinates.row(star), of_flux));
        }
    }
    Ok(all)
}

/// Those of the measured parameters of which enough pairs of neighbours tell something: products of the
/// differences of a few pairs are noise, and without a pair K would have no solution, for the others neither.
fn told_by_pairs(compared: &[Comparison], pairs: &[(usize, usize)], constrained: &[usize]) -> Vec<usize> {
    let is_measured = |star: usize, position: usize| compared[star].error[position].is_finite();
    let n_pairs = |position| pairs.iter().filter(|&&(i, j)| is_measured(i, position) && is_measured(j, position)).count();
    constrained.iter().copied().filter(|&position| n_pairs(position) >= FEWEST_PAIRS).collect()
}

/// The names of the parameters, of these `constraints`, of which the stars have measurements that are too few
/// or too far apart to tell the error of a zero point.
pub fn not_told(
    space: &ParameterSpace,
    observations: &Observations,
    constraints: &[String],
    learned: Option<&Calibration>,
) -> Result<Vec<String>> {
    let all: Vec<usize> = (0..observations.len()).collect();
    let is_told = |position: usize| learned.is_some_and(|learned| learned.covariance[position][position] > 0.0);
    let measured = measured_positions(space, observations, (&all, constraints))?;
    Ok(measured.into_iter().filter(|&at| !is_told(at)).map(|at| space.parameters[at].name.clone()).collect())
}

/// The positions of those of the `constraints` that some of these stars have: one that no star has would make
/// the rest unknown too.
pub(super) fn measured_positions(
    space: &ParameterSpace,
    observations: &Observations,
    (stars, constraints): (&[usize], &[String]),
) -> Result<Vec<usize>> {
    let measured = constraints.iter().filter(|name| stars.iter().any(|&star| observations.constraint(name, star).is_some()));
    measured.map(|name| space.position(name)).collect()
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
