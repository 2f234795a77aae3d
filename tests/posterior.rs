//! Posteriors by weighted draws, of stars whose truth is a draw of the very prior: joint regions hold what
//! they say where those of the Fisher matrix do not; the draws of a star depend on nothing but that star, and
//! not on which point of the posterior the optimum is.

use ndarray::{Array2, s};
use photosphere::infer::{Estimates, FitOptions, PosteriorMethod, PosteriorOptions, fit, flags};
use photosphere::model::Registry;
use photosphere::observations::Observations;
use photosphere::optimise::dense::invert_positive_semidefinite;
use photosphere::statistics::percentile;
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::path::PathBuf;

const N_STARS: usize = 900;
/// Errors of the fluxes over those of a star of the least parallax and the typical flux.
const SIGNAL: f64 = 40.0;
const LARGEST_EXTINCTION: f64 = 1.5;
const LARGEST_PARALLAX: f64 = 2.0;
const PARALLAX_ERROR: f64 = 0.2;

fn model() -> TrainedModel {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    TrainedModel::load(&directory, &Registry::standard(), &Device::cpu()).unwrap()
}

fn options() -> FitOptions {
    let posterior = PosteriorOptions { method: PosteriorMethod::Importance, ..PosteriorOptions::default() };
    FitOptions { model_error: false, posterior, ..FitOptions::default() }
}

/// Stars with their true values `[N, P]` (file units): labels of the mixture inside of the limits, E and
/// parallax uniform, noise that is the same share of the flux of a common star whatever the star is. Kept by
/// what is observed: a median signal between 10 and 300.
fn stars(trained: &TrainedModel) -> (Observations, Array2<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let space = &trained.model.space;
    let (n, p) = (60 * N_STARS, space.len());
    let labels = trained.prior.sample(n, &mut random);
    let positions: Vec<usize> = trained.prior.parameters().iter().map(|name| space.position(name).unwrap()).collect();
    let [extinction, parallax] = ["extinction", "parallax"].map(|name| space.position(name).unwrap());
    let mut coordinates = Array2::zeros((n, p));
    for (mut star, labels) in coordinates.rows_mut().into_iter().zip(labels.rows()) {
        for (&position, &value) in positions.iter().zip(labels) {
            star[position] = space.parameters[position].coordinate(value);
        }
        star[extinction] = space.parameters[extinction].coordinate(LARGEST_EXTINCTION * random.r#gen::<f64>());
        star[parallax] = space.parameters[parallax].coordinate(LARGEST_PARALLAX * random.r#gen::<f64>());
    }
    let flux = trained.model.predict(coordinates.view()).unwrap();
    let middle = flux.ncols() / 2;
    let typical = percentile(&flux.column(middle).to_vec(), 50.0);
    let mut kept = Vec::new();
    let (mut noisy, mut errors) = (Vec::new(), Vec::new());
    for (i, flux) in flux.rows().into_iter().enumerate() {
        let within = |position: usize| {
            let [low, high] = space.parameters[position].limits();
            coordinates[[i, position]] > low && coordinates[[i, position]] < high
        };
        let error = typical / SIGNAL * 10.0_f64.powf(random.r#gen::<f64>() * 2.0 - 1.0);
        let observed: Vec<f64> = flux.iter().map(|flux| flux + error * random.sample::<f64, _>(StandardNormal)).collect();
        let signal = percentile(&observed, 50.0) / error;
        if (10.0..300.0).contains(&signal) && positions.iter().all(|&position| within(position)) && kept.len() < N_STARS {
            kept.push(i);
            noisy.extend(observed.iter().map(|&flux| flux as f32));
            errors.extend(std::iter::repeat_n(error as f32, observed.len()));
        }
    }
    assert_eq!(kept.len(), N_STARS);
    let shape = (N_STARS, flux.ncols());
    let of_file = |i: usize, q: usize| {
        let parameter = &space.parameters[q];
        parameter.model_value(coordinates[[kept[i], q]]) / parameter.model_units_per_file_unit
    };
    let truth = Array2::from_shape_fn((N_STARS, p), |(i, q)| of_file(i, q));
    let measured = truth.column(parallax).iter().map(|x| x + PARALLAX_ERROR * random.sample::<f64, _>(StandardNormal)).collect();
    let observations = Observations::new(
        trained.model.grid.clone(),
        (1..=N_STARS as i64).collect(),
        Array2::from_shape_vec(shape, noisy).unwrap(),
        Array2::from_shape_vec(shape, errors).unwrap(),
    );
    let observations = observations.unwrap().with_constraint("parallax", measured, vec![PARALLAX_ERROR; N_STARS]).unwrap();
    (observations, truth)
}

/// −2 ln P of the truths less that of the estimates, in the prior that is flat in E and in the parallax.
fn delta_at_truth(trained: &TrainedModel, observations: &Observations, estimates: &Estimates, truth: &Array2<f64>) -> Vec<f64> {
    let space = &trained.model.space;
    let parallax = space.position("parallax").unwrap();
    let loss = |values: &Array2<f64>| -> Vec<f64> {
        let coordinates = Array2::from_shape_fn(values.dim(), |(i, q)| {
            // No dust has no logarithm.
            let least = if space.parameters[q].is_amount() { 1e-9 } else { f64::NEG_INFINITY };
            space.parameters[q].coordinate_from_file(values[[i, q]].max(least))
        });
        let flux = trained.model.predict(coordinates.view()).unwrap();
        (0..values.nrows())
            .map(|i| {
                let residuals = flux.row(i).into_iter().zip(observations.flux.row(i)).zip(observations.flux_error.row(i));
                let chi_square: f64 =
                    residuals.map(|((f, observed), error)| ((f - f64::from(*observed)) / f64::from(*error)).powi(2)).sum();
                let (measured, error) = observations.constraint("parallax", i).unwrap();
                let labels = trained.prior.parameters().iter().map(|name| {
                    let q = space.position(name).unwrap();
                    values[[i, q]] * space.parameters[q].model_units_per_file_unit
                });
                let prior = trained.prior.ln_density(&labels.collect::<Vec<f64>>());
                chi_square + ((values[[i, parallax]] - measured) / error).powi(2) - 2.0 * prior
            })
            .collect()
    };
    loss(truth).into_iter().zip(loss(&estimates.values)).map(|(truth, best)| truth - best).collect()
}

#[test]
fn joint_regions_and_intervals_hold_the_truth_as_often_as_they_say() {
    let trained = model();
    let (observations, truth) = stars(&trained);
    let estimates = fit(&trained, &observations, &options()).unwrap();
    let posterior = estimates.posterior.as_ref().unwrap();
    let delta = delta_at_truth(&trained, &observations, &estimates, &truth);
    let p = truth.ncols();
    // Stars that may lie beyond the ends of the prior are left out, by their posteriors.
    let most = |i: usize, q: usize| posterior.quantiles[[i, q, 4]];
    let is_inside = |i: &usize| most(*i, p - 2) < LARGEST_EXTINCTION && most(*i, p - 1) < LARGEST_PARALLAX;
    let usable: Vec<usize> = (0..N_STARS).filter(is_inside).collect();
    let share = |holds: &dyn Fn(usize) -> bool| usable.iter().filter(|&&i| holds(i)).count() as f64 / usable.len() as f64;
    assert!(usable.len() > 400, "{}", usable.len());
    let error = |expected: f64| (expected * (1.0 - expected) / usable.len() as f64).sqrt();
    for (k, expected) in [0.68, 0.95].into_iter().enumerate() {
        let found = share(&|i| delta[i] <= posterior.regions[[i, k]]);
        println!("{} stars, joint {expected}: {found:.3}", usable.len());
        assert!((found - expected).abs() < 3.5 * error(expected), "joint {expected}: {found}");
        for q in 0..p {
            let (low, high) = if k == 0 { (1, 3) } else { (0, 4) };
            let found = share(&|i| {
                let quantiles = posterior.quantiles.slice(s![i, q, ..]);
                quantiles[low] <= truth[[i, q]] && truth[[i, q]] <= quantiles[high]
            });
            assert!((found - expected).abs() < 4.0 * error(expected), "parameter {q} {expected}: {found}");
        }
    }
    // The control: the ellipsoids of the Fisher matrix, 95 % of χ² with 5 degrees of freedom.
    let fisher = share(&|i| {
        let covariance: Vec<f64> = estimates.covariance.slice(s![i, .., ..]).iter().copied().collect();
        let inverse = invert_positive_semidefinite(&covariance, p).unwrap().matrix;
        let away: Vec<f64> = (0..p).map(|q| truth[[i, q]] - estimates.values[[i, q]]).collect();
        (0..p * p).map(|at| away[at / p] * inverse[at] * away[at % p]).sum::<f64>() <= 11.070
    });
    println!("Fisher alone, joint 0.95: {fisher:.3}");
    assert!(fisher < 0.85, "{fisher}");
    let sizes = percentile(&posterior.effective_size, 5.0);
    let poor = estimates.flags.iter().filter(|flag| **flag & flags::POOR_SAMPLE != 0).count();
    println!("effective size of 5 %: {sizes:.0}; {poor} flagged");
    assert!(sizes > 40.0 && poor < N_STARS / 15, "{sizes} {poor}");
}

#[test]
fn the_draws_of_a_star_are_its_own_and_do_not_depend_on_the_point_that_is_the_optimum() {
    let trained = model();
    let (observations, _) = stars(&trained);
    let first = observations.select(&(0..120).collect::<Vec<_>>());
    let all = fit(&trained, &first, &options()).unwrap();
    let whole = all.posterior.as_ref().unwrap();
    // Other company, other chunks, one thread.
    let members: Vec<usize> = (0..120).rev().step_by(3).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let some = pool.install(|| fit(&trained, &observations.select(&members), &FitOptions { chunk: 7, ..options() }).unwrap());
    let part = some.posterior.as_ref().unwrap();
    for (row, &star) in members.iter().enumerate() {
        assert_eq!(part.mean.row(row), whole.mean.row(star));
        assert_eq!(part.quantiles.slice(s![row, .., ..]), whole.quantiles.slice(s![star, .., ..]));
        assert_eq!(part.effective_size[row].to_bits(), whole.effective_size[star].to_bits());
    }
    // Another seed: other draws.
    let mut other = options();
    other.start.seed = 2;
    let other = fit(&trained, &first, &other).unwrap();
    assert_ne!(other.posterior.as_ref().unwrap().mean, whole.mean);
    // The optimum in ln E and ln ϖ is another point of the same posterior; and the tensor engine's is the
    // same.
    let logarithmic = fit(&trained, &first, &FitOptions { jacobians: true, ..options() }).unwrap();
    let tensor = fit(&trained, &first, &FitOptions { engine: photosphere::infer::Engine::Tensor, ..options() }).unwrap();
    for (what, estimates) in [("jacobians", &logarithmic), ("tensor", &tensor)] {
        let found = estimates.posterior.as_ref().unwrap();
        let mut differences: Vec<f64> = Vec::new();
        for star in (0..120).filter(|&star| found.effective_size[star].min(whole.effective_size[star]) > 60.0) {
            for q in 0..whole.mean.ncols() {
                let width = whole.covariance[[star, q, q]].sqrt();
                differences.push((found.mean[[star, q]] - whole.mean[[star, q]]).abs() / width);
            }
        }
        let [median, most] = [50.0, 99.0].map(|percent| percentile(&differences, percent));
        println!("{what}: means differ by {median:.3} sigma in the median, {most:.3} for 99 %");
        assert!(differences.len() > 400 && median < 0.08 && most < 0.5, "{what}: {} {median} {most}", differences.len());
    }
}
