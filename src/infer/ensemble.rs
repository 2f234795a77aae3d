//! One model of several trainings that differ in their seeds: it costs as much as any, and its errors know of
//! the others.

use super::{FitOptions, Fitter};
use crate::catalogue::flags::BASIC_CUT;
use crate::error::{Error, Result};
use crate::model::{Calibration, EnsembleCard, EnsembleMember, ForwardModel, Parameter, ParameterSpace, Transform};
use crate::observations::{Observations, in_validation, select};
use crate::package::Reached;
use crate::train::{Recipe, Spread, TrainedModel, distances_from_mean, spread_of, zero_points};
use crate::warning::warn_once;
use std::collections::BTreeMap;

/// Fewest stars that tell a spread.
const LEAST_STARS: usize = 50;
/// Fits by all members together, and stars that are fitted in any case: more of them tell the spread no
/// better than few seeds do.
const FITS: usize = 40_000;
const MANY_STARS: usize = 2_000;
/// Seeds below which a warning says how little they tell.
const FEW_SEEDS: usize = 4;
/// Relative difference of distances that rounding may make.
const TIE: f64 = 1e-6;

/// A model that stands for several.
#[derive(Debug, Clone)]
pub struct Ensemble {
    pub trained: TrainedModel,
    /// The member that predicts its fluxes.
    pub chosen: usize,
    /// How far its zero points are from those of the mean of all seeds.
    pub spread: Spread,
}

/// The model of `members`, which the same recipe but for its seed made of the same `observations` (as a
/// training reads them).
///
/// The member that predicts is the one nearest to the mean of all in the fluxes of the stars that were not
/// trained on (of two, which are equally far, the one of the lower seed). Its calibration is made [at
/// least](Calibration::at_least) the covariance of its zero points about those of the mean of all seeds
/// ([`spread_of`]): what held-out stars tell of the errors of one member contains its own distance from that
/// mean. Confidences are left out, with a warning: they belong to the member's errors as they were.
///
/// # Errors
/// `Usage` for fewer than two members, and for members with different parameters or data vectors; when too
/// few stars were not trained on, the fits fail, or `reached` ends the work.
pub fn ensemble(
    recipe: &Recipe,
    members: &[(u64, TrainedModel)],
    observations: &Observations,
    reached: Reached<'_>,
) -> Result<Ensemble> {
    let fault = |found: String, expected: &str| Error::usage("the members of an ensemble").found(found).expected(expected);
    let [(_, first), others @ ..] = members else {
        return Err(fault("none".into(), "at least two").remedy("Train with more seeds."));
    };
    if others.is_empty() {
        return Err(fault("one".into(), "at least two").remedy("Train with more seeds."));
    }
    if others.iter().any(|(_, other)| other.model.space != first.model.space || other.model.grid != first.model.grid) {
        let error =
            fault("different parameters, standardisations or data vectors".into(), "those of one recipe and the same stars");
        return Err(error.remedy("Train all of them anew (--overwrite)."));
    }

    let passing = select(observations, &recipe.data.cuts)?;
    let is_held_out = |star: &usize| in_validation(observations.ids[*star], recipe.data.validation_fraction);
    let held_out: Vec<usize> = passing.into_iter().filter(is_held_out).collect();
    let most = MANY_STARS.max(FITS / members.len());
    let held_out: Vec<usize> = held_out.iter().copied().step_by(held_out.len().div_ceil(most).max(1)).collect();
    let stars = observations.select(&held_out);
    // As new stars are fitted.
    let options = FitOptions { transforms: unbounded(&first.model.space), exact_hessian: false, ..FitOptions::default() };
    let names = first.model.space.named(&options.constraints);
    let is_measured = |name: &String| stars.n_measured(name) > 0;
    let constraints: Vec<String> = names.into_iter().filter(is_measured).collect();
    let options = FitOptions { constraints: constraints.clone(), ..options }.likelihood_only();
    let (mut spaces, mut coordinates, mut is_good) = (Vec::new(), Vec::new(), vec![true; stars.len()]);
    for (seed, member) in members {
        tracing::info!("fitting {} validation stars with the model of seed {seed}", stars.len());
        let fitter = Fitter::new(member.clone(), &options)?;
        let estimates = fitter.fit_in_stages(&stars, reached)?;
        is_good.iter_mut().zip(&estimates.flags).for_each(|(is_good, flags)| *is_good &= *flags < BASIC_CUT);
        spaces.push(fitter.model().space.clone());
        coordinates.push(estimates.coordinates);
    }
    let good: Vec<usize> = (0..stars.len()).filter(|&star| is_good[star]).collect();
    let too_few = |n: usize, which: &str| {
        Error::data("stars that were not trained on")
            .found(format!("{n} {which}, of {}", stars.len()))
            .expected(format!("at least {LEAST_STARS}, which tell how far the members are from one another"))
            .remedy("Give more stars, a larger data.validation_fraction in the recipe, or other seeds (`--seed`, of the first): one bad member counts for all.")
    };
    if good.len() < LEAST_STARS {
        return Err(too_few(good.len(), "in the basic cut of all members"));
    }

    let in_coordinates = |((_, member), space): (&(u64, TrainedModel), &ParameterSpace)| {
        let mut model = member.model.clone();
        model.space = space.clone();
        model
    };
    let models: Vec<ForwardModel> = members.iter().zip(&spaces).map(in_coordinates).collect();
    let all: Vec<&ForwardModel> = models.iter().collect();
    let distances = distances_from_mean(&all, &stars, (&good, &coordinates[0]))?;
    if distances.iter().all(|&distance| distance == 0.0) {
        return Err(fault("models that all predict the same fluxes".into(), "those of several seeds")
            .remedy("Train with different seeds; a recipe in which nothing depends on the seed needs no ensemble."));
    }
    let seeds: Vec<u64> = members.iter().map(|(seed, _)| *seed).collect();
    let chosen = nearest(&distances, &seeds);
    let spread = spread_of((&models[chosen], chosen), &stars, (&good, &coordinates), &constraints)?;
    let spread = spread.ok_or_else(|| {
        Error::numerical("the spread of an ensemble")
            .found(format!("{} stars that do not determine it", good.len()))
            .expected("stars whose fluxes tell all parameters of the model, each of its own")
            .remedy(
                "Give more stars, or a larger data.validation_fraction in the recipe; of two parameters that do the same to fluxes, leave one out.",
            )
    })?;
    if spread.n_stars < LEAST_STARS {
        return Err(too_few(spread.n_stars, "whose optima by all members are like those of their like"));
    }
    if members.len() < FEW_SEEDS {
        let relative = (2.0 / (members.len() - 1) as f64).sqrt();
        warn_once(format!(
            "an ensemble of {} seeds knows the variance between seeds to {:.0} % only: more (5 or 10) tell it better",
            members.len(),
            100.0 * relative
        ));
    }

    let mut trained = members[chosen].1.clone();
    let joined =
        trained.model.calibration.as_ref().map_or_else(|| spread.covariance.clone(), |own| own.at_least(&spread.covariance));
    joined.validate(&trained.model.space)?;
    if let Some(report) = &mut trained.log.report {
        report.zero_points = zero_points(&trained.model.space, Some(&joined));
    }
    trained.model.calibration = Some(joined);
    if trained.confidence.take().is_some() {
        warn_once(
            "the confidences of the member that predicts belong to its errors as they were: the ensemble has none (`photosphere confidence` learns them anew)",
        );
    }
    for (seed, member) in members.iter().enumerate().filter(|(k, _)| *k != chosen).map(|(_, member)| member) {
        trained.card.warnings.extend(member.card.warnings.iter().map(|warning| format!("seed {seed}: {warning}")));
    }
    trained.card.ensemble = Some(card(&trained.model.space, &spread, (members, &distances), chosen));
    trained.sha256 = trained.identity()?;
    Ok(Ensemble { trained, chosen, spread })
}

/// Amounts moved as themselves, without a bound at zero, where the response of an optimum to a gradient is
/// another.
fn unbounded(space: &ParameterSpace) -> BTreeMap<String, Transform> {
    let can_be = |parameter: &&Parameter| parameter.is_amount() && (parameter.centre, parameter.scale) == (0.0, 1.0);
    space.parameters.iter().filter(can_be).map(|parameter| (parameter.name.clone(), Transform::Identity)).collect()
}

/// The member at the least of the `distances`; where several are, that of the lowest of the `seeds`.
fn nearest(distances: &[f64], seeds: &[u64]) -> usize {
    let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
    let are_least = (0..distances.len()).filter(|&k| distances[k] <= (1.0 + TIE) * least);
    are_least.min_by_key(|&k| seeds[k]).unwrap_or(0)
}

fn card(
    space: &ParameterSpace,
    Spread { covariance: spread, n_stars, n_outliers }: &Spread,
    (members, distances): (&[(u64, TrainedModel)], &[f64]),
    chosen: usize,
) -> EnsembleCard {
    let deviations = |matrix: &[Vec<f64>]| {
        let whole = Calibration { covariance: matrix.to_vec(), regions: Vec::new(), ..spread.clone() };
        zero_points(space, Some(&whole)).into_iter().next().map(|all| all.errors).unwrap_or_default()
    };
    let shared = if spread.shared.is_empty() { &spread.covariance } else { &spread.shared };
    let member = |(k, ((seed, member), &distance)): (usize, (&(u64, TrainedModel), &f64))| EnsembleMember {
        seed: *seed,
        sha256: member.sha256.clone(),
        predicts: k == chosen,
        distance,
        metrics: member.card.metrics.clone(),
    };
    EnsembleCard {
        spread: deviations(&spread.covariance),
        shared_spread: deviations(shared),
        n_stars: *n_stars,
        n_outliers: *n_outliers,
        members: members.iter().zip(distances).enumerate().map(member).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_members_that_are_equally_far_the_lowest_seed_predicts() {
        assert_eq!(nearest(&[1.0, 1.0 - 1e-12], &[3, 4]), 0);
        assert_eq!(nearest(&[1.0 - 1e-12, 1.0], &[4, 3]), 1);
        assert_eq!(nearest(&[1.2, 0.9, 0.9], &[1, 3, 2]), 2);
    }
}
