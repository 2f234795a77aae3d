//! The device's path on the processor, against the host's path and against differences.

use super::*;
use crate::model::{ForwardModel, GaussianPrior, Registry, Role, Transform};
use crate::observations::{Observations, ReadOptions};
use crate::optimise::dense::invert_positive_semidefinite;
use crate::optimise::{Method, NormalEquations, Status, minimise_in_chunks};
use crate::posterior::Terms;
use crate::prior::GaussianMixture;
use crate::simulate::{SurveyConfig, simulate};
use crate::tensor::to_f64;
use crate::testing::central_difference;
use std::path::Path;

struct Survey {
    model: ForwardModel,
    constraints: Vec<String>,
    prior: GaussianMixture,
    observations: Observations,
    /// Starts near the truth, all parameters.
    start: Array2<f64>,
}

/// Stars without labels and the model of the repository that was trained on their like.
fn survey(n_stars: usize, precision: Precision) -> Survey {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let device = Device::cpu().with_precision(precision);
    let (model, _) = ForwardModel::load(&folder, &Registry::standard(), &device).unwrap();
    let prior = GaussianMixture::from_toml(&std::fs::read_to_string(folder.join("prior.toml")).unwrap()).unwrap();
    let config = SurveyConfig { n_stars, first_star: 5_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    let constraints = vec!["parallax".to_string()];
    let options =
        ReadOptions { constraints: constraints.clone(), model_error: model.model_error.clone(), ..ReadOptions::default() };
    let observations = Observations::from_table(simulate(&config).unwrap(), &options).unwrap();
    let truth = |name: &str| observations.auxiliary.column(&format!("true_{name}")).unwrap().to_f64().unwrap();
    let mut start = Array2::zeros((n_stars, model.space.len()));
    for (parameter, mut column) in model.space.parameters.iter().zip(start.columns_mut()) {
        for (i, (slot, value)) in column.iter_mut().zip(truth(&parameter.name)).enumerate() {
            let value = if parameter.name == "extinction" { value.max(0.02) } else { value };
            *slot = parameter.coordinate_from_file(value) + 0.2 * (i as f64).sin();
        }
    }
    Survey { model, constraints, prior, observations, start }
}

impl Survey {
    fn posterior(&self, held: &[&str]) -> Posterior<'_> {
        let terms = Terms { constraints: &self.constraints, mixture: Some(&self.prior), jacobians: true };
        let held: Vec<String> = held.iter().map(|name| name.to_string()).collect();
        Posterior::new(&self.model, &self.observations, &terms, &held, self.start.clone()).unwrap()
    }
}

#[test]
fn normal_equations_are_those_of_the_host_and_the_gradient_is_that_of_the_loss() {
    for held in [&[][..], &["logg"][..]] {
        let mut survey = survey(20, Precision::Double);
        if !held.is_empty() {
            survey.model.set_transform("extinction", Transform::Identity).unwrap();
            survey.model.space.parameters[1].prior = Some(GaussianPrior { mean: -0.3, standard_deviation: 0.4 });
        }
        let posterior = survey.posterior(held);
        let stars: Vec<usize> = (3..20).collect();
        let free = posterior.free_coordinates(survey.start.select(Axis(0), &stars).view());
        let (n, p) = free.dim();
        let host = posterior.normal_equations(&stars, free.view()).unwrap();
        let resident = Resident::upload(&posterior, &stars);
        let upload = |x: &Array2<f64>| resident.device().tensor(&x.iter().copied().collect::<Vec<_>>(), [n, p]);
        let normal = resident.normal_equations(upload(&free)).unwrap();
        let pairs = to_f64(normal.loss)
            .into_iter()
            .zip(host.loss)
            .chain(to_f64(normal.gradient.clone()).into_iter().zip(host.gradient))
            .chain(to_f64(normal.curvature).into_iter().zip(host.curvature));
        for (found, expected) in pairs {
            assert!((found - expected).abs() < 1e-8 * expected.abs().max(1e3), "{found} {expected}");
        }
        let loss = |x: &[f64]| {
            let mut moved = free.clone();
            moved.row_mut(0).iter_mut().zip(x).for_each(|(to, from)| *to = *from);
            to_f64(resident.normal_equations(upload(&moved)).unwrap().loss)[0]
        };
        let expected = central_difference(loss, &free.row(0).to_vec());
        let scale = expected.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
        for (found, expected) in to_f64(normal.gradient).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * scale, "{found} {expected}");
        }
    }
}

/// Largest distance of each star's coordinates from those of a reference in units of their errors, sorted.
fn shifts(found: &Solution, reference: &Solution, covariance: &[Vec<f64>]) -> Vec<f64> {
    let p = found.coordinates.ncols();
    let distance = |(star, covariance): (usize, &Vec<f64>)| {
        let in_errors =
            |i: usize| (found.coordinates[[star, i]] - reference.coordinates[[star, i]]).abs() / covariance[i * (p + 1)].sqrt();
        (0..p).map(in_errors).fold(0.0, f64::max)
    };
    let mut shifts: Vec<f64> = covariance.iter().enumerate().map(distance).collect();
    shifts.sort_by(f64::total_cmp);
    shifts
}

#[test]
fn optima_are_those_of_the_host_whatever_the_batch() {
    const N: usize = 300;
    let stars: Vec<usize> = (0..N).collect();
    let exact = LevenbergMarquardt {
        gradient_tolerance: 1e-6,
        decrease_tolerance: 1e-12,
        loss_precision: 1e-13,
        max_iterations: 500,
        ..LevenbergMarquardt::default()
    };
    let survey = [Precision::Double, Precision::Single].map(|precision| survey(N, precision));
    let posterior = [survey[0].posterior(&[]), survey[1].posterior(&[]).with_tensors(), survey[1].posterior(&[])];
    let on_host = |posterior: &Posterior<'_>, method: &LevenbergMarquardt| {
        let method = Method::LevenbergMarquardt(method.clone());
        minimise_in_chunks(&method, posterior, survey[0].start.view(), None, 128).unwrap()
    };
    let on_device = |posterior: &Posterior<'_>, method: &LevenbergMarquardt, batch: usize| {
        minimise_on_device(posterior, &stars, survey[0].start.clone(), None, method, batch).unwrap()
    };
    let reference = on_host(&posterior[0], &exact);
    let curvature = posterior[0].normal_equations(&stars, reference.coordinates.view()).unwrap().curvature;
    let covariance: Vec<Vec<f64>> = curvature
        .axis_iter(Axis(0))
        .map(|matrix| {
            let information: Vec<f64> = matrix.iter().map(|value| 0.5 * value).collect();
            invert_positive_semidefinite(&information, matrix.nrows()).unwrap().matrix
        })
        .collect();
    let working = LevenbergMarquardt { gradient_tolerance: 3e-4, decrease_tolerance: 1e-7, ..LevenbergMarquardt::default() };
    let single = on_device(&posterior[1], &working, N);
    // In single precision the losses of slow paths cannot be told apart before their end, on the host as on
    // the device: 2 of 300 stars stop 0.01 σ short.
    for (name, run, percentile_99, largest, unfinished) in [
        ("device, double precision", &on_device(&posterior[0], &exact, N), 1e-6, 1e-6, 1),
        ("device, single precision", &single, 3e-3, 0.03, 1),
        ("host, single precision", &on_host(&posterior[1], &working), 3e-3, 0.03, 1),
        // At the same point the gradients agree within 4e-4 σ; the rest is where each path stops, which
        // depends on the model (observed 0.01 and 0.05 σ with the one that is shipped, 5 paths that creep).
        // Fits end these by steps of the exact Hessian.
        ("standard engine", &on_host(&posterior[2], &working), 0.03, 0.1, 6),
    ] {
        let shifts = shifts(run, &reference, &covariance);
        let converged = run.status.iter().filter(|status| **status == Status::Converged).count();
        let (far, farthest) = (shifts[N * 99 / 100], shifts[N - 1]);
        println!("{name}: median {:.1e} σ, 99 % {far:.1e} σ, largest {farthest:.1e} σ, {converged} converged", shifts[N / 2]);
        assert!(far < percentile_99 && farthest < largest && converged >= N - unfinished);
    }
    assert_eq!(on_device(&posterior[1], &working, 37), single);
}

#[test]
fn only_an_amount_that_is_moved_as_a_logarithm_with_its_jacobian_has_a_barrier() {
    let mut survey = survey(3, Precision::Double);
    let position = |survey: &Survey, held: &[&str]| survey.posterior(held).barriers().first().map(|barrier| barrier.position);
    assert_eq!((position(&survey, &[]), position(&survey, &["teff"])), (Some(3), Some(2)));
    assert_eq!(position(&survey, &["extinction"]), None);
    // A label moved as a logarithm before it takes no part.
    survey.model.space.parameters[1].transform = Transform::Logarithm;
    assert_eq!((position(&survey, &[]), position(&survey, &["extinction"])), (Some(3), None));
    survey.model.space.parameters[1].transform = Transform::Identity;
    let terms = Terms { constraints: &survey.constraints, mixture: Some(&survey.prior), jacobians: false };
    let flat = Posterior::new(&survey.model, &survey.observations, &terms, &[], survey.start.clone()).unwrap();
    assert_eq!(flat.barriers(), []);
    survey.model.set_transform("extinction", Transform::Identity).unwrap();
    assert_eq!(position(&survey, &[]), None);
    // Every amount has its own, whatever its name.
    survey.model.set_transform("extinction", Transform::Logarithm).unwrap();
    let parameter = &mut survey.model.space.parameters[1];
    (parameter.role, parameter.transform, parameter.scale) = (Role::Amount, Transform::Logarithm, 0.4);
    let barriers = survey.posterior(&[]).barriers();
    assert_eq!(barriers.iter().map(|barrier| (barrier.position, barrier.scale)).collect::<Vec<_>>(), [(1, 0.4), (3, 1.0)]);
}
