//! Derivatives, engines, and what the options do.

use super::{PairFits, SecondStarOptions, SecondStars};
use crate::infer::engine::Engine;
use crate::infer::options::FitOptions;
use crate::infer::problem::Setup;
use crate::infer::{Estimates, fit, flags, read_options};
use crate::model::{Registry, Transform};
use crate::observations::Observations;
use crate::optimise::{NormalEquations, Problems};
use crate::simulate::{SurveyConfig, simulate};
use crate::tensor::{Device, Precision};
use crate::train::TrainedModel;
use ndarray::{Array2, s};
use std::sync::Arc;

fn trained(device: &Device) -> TrainedModel {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    TrainedModel::load(&folder, &Registry::standard(), device).unwrap()
}

fn options() -> FitOptions {
    FitOptions { second_star: SecondStarOptions { fit: true, ..SecondStarOptions::default() }, ..FitOptions::default() }
}

fn observed(n_stars: usize, trained: &TrainedModel) -> Observations {
    let config = SurveyConfig { n_stars, first_star: 7_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    Observations::from_table(simulate(&config).unwrap(), &read_options(trained, &options())).unwrap()
}

/// Gradient and exact Hessian of −2 ln P of two stars, the conditional prior included, against central
/// differences in f64; and the prior itself against densities by hand.
#[test]
fn derivatives_of_the_posterior_of_pairs_are_those_of_differences() {
    let trained = trained(&Device::cpu().with_precision(Precision::Double));
    let observations = observed(4, &trained);
    let options = FitOptions { transforms: [("extinction".to_owned(), Transform::Logarithm)].into(), ..options() };
    let pairs = PairFits::new(&Setup::new(Arc::new(trained.clone()), &options).unwrap()).unwrap();
    let problem = pairs.problem(&observations);
    let posterior = pairs.posterior(&problem).unwrap();
    assert_eq!(posterior.engine_name(), "tensor");
    let f = posterior.free().len();
    let point = |star: usize, p: usize| 0.3 * ((star + 3 * p) as f64).sin() - if p == 4 { 1.0 } else { 0.0 };
    let here = Array2::from_shape_fn((4, f), |(star, p)| point(star, p));
    let stars = [0, 1, 2, 3];
    let (normal, hessian) =
        (posterior.normal_equations(&stars, here.view()).unwrap(), posterior.hessian(&stars, here.view()).unwrap());
    let h = 1e-4;
    let moved = |p: usize, by: f64| {
        let mut there = here.clone();
        there.column_mut(p).iter_mut().for_each(|u| *u += by);
        there
    };
    for p in 0..f {
        let [plus, minus, far_plus, far_minus] =
            [h, -h, 2.0 * h, -2.0 * h].map(|by| posterior.normal_equations(&stars, moved(p, by).view()).unwrap());
        for star in 0..4 {
            let scale = normal.curvature[[star, p, p]];
            let of = |values: [f64; 4]| (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * h);
            let slope = of([plus.loss[star], minus.loss[star], far_plus.loss[star], far_minus.loss[star]]);
            let found = normal.gradient[[star, p]];
            assert!((found - slope).abs() < 1e-6 * (scale + found.abs()), "star {star}, {p}: {found} {slope}");
            for q in 0..f {
                let bend = of([&plus, &minus, &far_plus, &far_minus].map(|normal| normal.gradient[[star, q]]));
                let found = hessian[[star, p, q]];
                let scale = (scale * normal.curvature[[star, q, q]]).sqrt();
                assert!((found - bend).abs() < 1e-6 * (scale + found.abs()), "star {star}, {p} {q}: {found} {bend}");
            }
        }
    }
    // What the second star adds to the prior: −2 ln p(T₂, [Fe/H], log g₂) + 2 ln p([Fe/H]).
    let space = &problem.model.space;
    let value = |name: &str| {
        let position = space.position(name).unwrap();
        let column = posterior.free().iter().position(|free| *free == position).unwrap();
        space.parameters[position].model_value(here[[0, column]])
    };
    let prior = &trained.prior;
    let of_feh = prior.marginal(&["feh".to_owned()]).unwrap().unwrap().ln_density(&[value("feh")]);
    let density = |names: [&str; 3]| {
        let order = prior.parameters().iter().map(|name| {
            let which = names.iter().position(|own| own.trim_start_matches("companion_") == name).unwrap();
            value(names[which])
        });
        prior.ln_density(&order.collect::<Vec<f64>>())
    };
    let second = -2.0 * (density(["companion_teff", "feh", "companion_logg"]) - of_feh);
    let without = problem.posterior().unwrap();
    let first = here.slice(s![..1, ..]);
    let added = posterior.prior_loss(&[0], first)[0] - without.prior_loss(&[0], first)[0];
    assert!((added - second).abs() < 1e-9 * (1.0 + second.abs()), "{added} {second}");
}

/// Either engine finds the same pairs; a star has the same fit in any company; nothing is said without
/// the option.
#[test]
fn stars_are_fitted_as_pairs_on_demand() {
    let trained = trained(&Device::cpu());
    let observations = observed(60, &trained);
    let fitted = |options: &FitOptions, stars: &Observations| -> Estimates { fit(&trained, stars, options).unwrap() };
    let both = fitted(&options(), &observations);
    let alone = fitted(&FitOptions::default(), &observations);
    assert!(alone.second_star.is_none() && alone.values.iter().map(|v| v.to_bits()).eq(both.values.iter().map(|v| v.to_bits())));
    let pairs = both.second_star.as_ref().unwrap();
    let names: Vec<&str> = pairs.names().collect();
    let expected = ["pair_teff", "pair_feh", "pair_logg", "pair_extinction", "pair_parallax", "companion_teff", "companion_logg"];
    assert_eq!(names, expected);
    for star in 0..60 {
        assert!((0.0..=0.5).contains(&pairs.flux_fraction[star]), "{star}: {}", pairs.flux_fraction[star]);
        let is_flagged = both.flags[star] & flags::SECOND_STAR != 0;
        assert_eq!(is_flagged, pairs.delta_loss[star] > options().second_star.flag_above);
    }
    let some = observations.select(&[3, 17, 41]);
    let few = fitted(&options(), &some).second_star.unwrap();
    for (row, star) in [3, 17, 41].into_iter().enumerate() {
        assert_eq!(few.delta_loss[row].to_bits(), pairs.delta_loss[star].to_bits(), "{star}");
    }
    let tensors = fitted(&FitOptions { engine: Engine::Tensor, ..options() }, &some).second_star.unwrap();
    for row in 0..3 {
        assert!((tensors.delta_loss[row] - few.delta_loss[row]).abs() < 0.05, "{:?} {:?}", tensors.delta_loss, few.delta_loss);
    }
    let unknown = SecondStarOptions { labels: vec!["vsini".into()], ..options().second_star };
    let message = fit(&trained, &some, &FitOptions { second_star: unknown, ..options() }).unwrap_err().to_string();
    assert!(message.contains("'vsini'") && message.contains("teff"), "{message}");
    let none = SecondStarOptions { labels: Vec::new(), ..SecondStarOptions::default() };
    assert!(none.validate().unwrap_err().to_string().contains("second_star.labels"));
}

/// What is true of the fainter star is true whichever of the two the search had as the second: an exchange
/// puts no companion beyond the limits, behind much dust a fraction is still one, and a fit that did not
/// converge flags nothing.
#[test]
fn companions_stay_within_the_limits_whichever_star_was_the_second() {
    let trained = trained(&Device::cpu());
    let observations = observed(600, &trained);
    let found = fit(&trained, &observations, &options()).unwrap();
    let pairs = found.second_star.as_ref().unwrap();
    let names: Vec<&str> = pairs.names().collect();
    for label in ["teff", "logg"] {
        let parameter = trained.model.space.parameters.iter().find(|parameter| parameter.name == label).unwrap();
        let [low, high] = parameter.limits().map(|u| parameter.model_value(u) / parameter.model_units_per_file_unit);
        for name in [format!("companion_{label}"), format!("pair_{label}")] {
            let column = names.iter().position(|own| **own == name).unwrap();
            let beyond = |value: &&f64| **value < low - 1e-6 * low.abs() || **value > high + 1e-6 * high.abs();
            let found: Vec<&f64> = pairs.values.column(column).into_iter().filter(beyond).collect();
            assert!(found.is_empty(), "{name} beyond {low} to {high}: {found:?}");
        }
    }
    for star in 0..600 {
        let is_sure = found.flags[star] & flags::NOT_CONVERGED == 0 && pairs.has_converged[star];
        assert!(found.flags[star] & flags::SECOND_STAR == 0 || is_sure, "{star}");
    }
    let mut hidden = SecondStars { has_converged: vec![false], delta_loss: vec![50.0], ..pair_fits(&trained).empty(1) };
    assert!(!hidden.is_flagged(0));
    hidden.has_converged[0] = true;
    assert!(hidden.is_flagged(0));
}

/// Without a prior of both stars, the one that the search calls the second would have the prior of the
/// fainter, whichever it is.
#[test]
fn pairs_need_the_prior_of_labels() {
    let error = options().likelihood_only().validate().unwrap_err().to_string();
    assert!(error.contains("--second-star") && error.contains("--likelihood-only"), "{error}");
}

fn pair_fits(trained: &TrainedModel) -> PairFits {
    PairFits::new(&Setup::new(Arc::new(trained.clone()), &options()).unwrap()).unwrap()
}
