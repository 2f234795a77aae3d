//! Direct networks as starts of generative fits: what they save, and what they miss, beside the draws of the
//! prior.

use super::RegressionModel;
use super::tests::{LABELS, observed, recipe, survey, trained};
use crate::infer::{Estimates, FitOptions, Fitter};
use crate::model::Registry;
use crate::observations::Observations;
use crate::package::{Estimator, Kind, Package, StartFrom};
use crate::run::clock::Clock;
use crate::statistics::percentiles;
use crate::tensor::Device;
use crate::train::TrainedModel;
use std::path::Path;
use std::sync::Arc;

fn forward_model() -> Arc<TrainedModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    Arc::new(<TrainedModel as Kind>::load(&folder, &Registry::standard(), &Device::cpu()).unwrap())
}

fn network(n: usize, epochs: u32) -> RegressionModel {
    let text = LABELS
        .replace("['teff', 'feh', 'logg']", "['teff', 'feh', 'logg', 'extinction']")
        .replace("epochs = 25", &format!("epochs = {epochs}"));
    let text = format!("{text}[baselines]\nlinear = false\nnearest_neighbours = 0\nboosting = false\n");
    trained(&text, &observed(survey(n, 0), &recipe(&text))).0
}

/// Estimates from the prior's draws and from the network, with processor time in µs a star.
fn both(model: &Arc<TrainedModel>, from: &StartFrom, options: &FitOptions, new: &Observations) -> [(Estimates, f64); 2] {
    let drawn = Fitter::new(model.clone(), options).unwrap();
    let guided = Fitter::new(model.clone(), options).unwrap().starting_from(from).unwrap();
    [&drawn, &guided].map(|fitter| {
        fitter.fit(new).unwrap();
        let mut clock = Clock::start();
        let found = fitter.fit(new).unwrap();
        (found, 1e6 * clock.lap().cpu / new.len() as f64)
    })
}

/// Shares of stars whose guided optimum is worse, and better, by more than 0.01 in −2 ln P, and prints them.
fn compare(name: &str, [(drawn, time_drawn), (guided, time_guided)]: &[(Estimates, f64); 2]) -> [f64; 2] {
    let losses: Vec<f64> = drawn.ln_posterior.iter().zip(&guided.ln_posterior).map(|(a, b)| 2.0 * (a - b)).collect();
    let known: Vec<f64> = losses.into_iter().filter(|loss| loss.is_finite()).collect();
    let n = known.len() as f64;
    let share = |is_so: &dyn Fn(f64) -> bool| known.iter().filter(|loss| is_so(**loss)).count() as f64 / n;
    let (worse, better) = (share(&|loss| loss > 0.01), share(&|loss| loss < -0.01));
    let second = |found: &Estimates| found.second_delta_loss.iter().filter(|loss| loss.is_finite()).count();
    let high = percentiles(&known, [99.0, 99.9, 100.0]);
    println!(
        "{name}: {n} stars; {time_drawn:.1} and {time_guided:.1} µs; worse {:.2} %, better {:.2} %; 99, 99.9, 100 % of the loss {high:.3?}; second optima {} and {}",
        100.0 * worse,
        100.0 * better,
        second(drawn),
        second(guided)
    );
    [worse, better]
}

fn observations(model: &Arc<TrainedModel>, n: usize) -> Observations {
    let fitter = Fitter::new(model.clone(), &FitOptions::default()).unwrap();
    Observations::from_table(survey(n, 1_000_000), &fitter.read_options()).unwrap()
}

#[test]
fn a_network_starts_fits_near_their_optima() {
    let model = forward_model();
    let from = StartFrom(Arc::new(network(3000, 20)));
    let new = observations(&model, 600);
    let found = both(&model, &from, &FitOptions::default(), &new);
    let [worse, _] = compare("with parallaxes", &found);
    assert!(worse < 0.05, "{worse}");
    let converged = |found: &Estimates| found.ln_posterior.iter().filter(|loss| loss.is_finite()).count();
    assert_eq!(converged(&found[0].0), converged(&found[1].0));
    // The network is part of what decides the catalogue, and audits read the options of it as before.
    let guided = Fitter::new(model.clone(), &FitOptions::default()).unwrap().starting_from(&from).unwrap();
    let choices = guided.choices().unwrap();
    assert!(choices.contains(from.0.sha256()));
    assert_eq!(&toml::from_str::<FitOptions>(&choices).unwrap(), guided.options());
    // A star without a prediction starts from the prior: nothing is lost.
    let mut poor = new.clone();
    poor.flux_error.row_mut(3).iter_mut().skip(30).for_each(|error| *error = f32::INFINITY);
    let [(_, _), (guided, _)] = both(&model, &from, &FitOptions::default(), &poor);
    assert!(guided.ln_posterior[3].is_finite());
    assert_eq!(guided.ln_posterior[5], found[1].0.ln_posterior[5], "whatever its company");
}

#[test]
fn networks_that_do_not_fit_the_fit_are_refused() {
    let model = forward_model();
    let refused = |network: RegressionModel| {
        let from = StartFrom(Arc::new(network));
        match Fitter::new(model.clone(), &FitOptions::default()).unwrap().starting_from(&from) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    };
    let text = LABELS.replace("['teff', 'feh', 'logg']", "['teff', 'feh']").replace("epochs = 25", "epochs = 1");
    let text = format!("{text}[baselines]\nlinear = false\nnearest_neighbours = 0\nboosting = false\n");
    let without_gravity = trained(&text, &observed(survey(600, 0), &recipe(&text))).0;
    let message = refused(without_gravity.clone());
    assert!(message.starts_with("--start-from") && message.contains("'logg'"), "{message}");
    let mut other_grid = network(600, 1);
    other_grid.inputs.grid.names[0] = "another".into();
    assert!(refused(other_grid).contains("another"));
    let mut other_unit = network(600, 1);
    other_unit.flux_unit = "Jy".into();
    assert!(refused(other_unit).contains("Jy"));
    // What is predicted in another unit than the fit's is told when it is.
    let mut other = TrainedModel::clone(&model);
    other.model.space.parameters.iter_mut().find(|parameter| parameter.name == "teff").unwrap().unit = "kK".into();
    let from = StartFrom(Arc::new(network(600, 1)));
    let fitter = Fitter::new(Arc::new(other), &FitOptions::default()).unwrap().starting_from(&from).unwrap();
    let error = fitter.fit(&observations(&model, 3)).err().unwrap().to_string();
    assert!(error.contains("'teff' in 'K'") && error.contains("'kK'"), "{error}");
    // A network takes no start itself.
    let request = crate::package::Request { start_from: Some(StartFrom(Arc::new(network(600, 1)))), ..Default::default() };
    let error = Arc::new(without_gravity).estimator(&request).err().unwrap().to_string();
    assert!(error.starts_with("--start-from"), "{error}");
}

/// `cargo test --release --lib regress::start_tests -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of minutes: the figures of the documentation"]
fn the_figures_of_the_documentation() {
    let model = forward_model();
    let from = StartFrom(Arc::new(network(20_000, 60)));
    let new = observations(&model, 20_000);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_thread.install(|| {
        compare("with parallaxes", &both(&model, &from, &FitOptions::default(), &new));
        let without = FitOptions { constraints: Vec::new(), ..FitOptions::default() };
        compare("without", &both(&model, &from, &without, &new));
        compare("without prior", &both(&model, &from, &without.likelihood_only(), &new));
    });
}
