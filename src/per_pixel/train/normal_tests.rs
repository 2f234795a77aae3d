//! The equations from products of rows against the loss in double precision.

use super::super::activation::Activation;
use super::super::network::Architecture;
use super::loss::{PixelTask, loss_and_gradient};
use super::loss_tests::{random_parameters, with_task};
use super::normal_equations::NormalEquations;
use super::pass::{Pass, StripTask};
use super::shared::Shared;

/// JᵀJ of the loss at fixed weights ω of the gradient term, by differences of fluxes and label derivatives.
fn gauss_newton(architecture: &Architecture, parameters: &[f64], task: &PixelTask) -> Vec<f64> {
    let p = parameters.len();
    let mut matrix = vec![0.0; p * p];
    let mut add = |weight: f64, derivatives: &[f64]| {
        for i in 0..p {
            for j in i..p {
                matrix[i * p + j] += weight * derivatives[i] * derivatives[j];
            }
        }
    };
    let differences = |scaled: &[f64], part: Option<usize>| {
        crate::testing::central_difference(
            |parameters| {
                let (flux, slopes) = architecture.evaluate(parameters, scaled);
                part.map_or(flux, |k| slopes[k])
            },
            parameters,
        )
    };
    for (i, scaled) in task.scaled.outer_iter().enumerate() {
        add(task.weight[i], &differences(&scaled.to_vec(), None));
    }
    for (j, scaled) in task.references.outer_iter().enumerate() {
        let (_, slopes) = architecture.evaluate(parameters, &scaled.to_vec());
        for (k, slope) in slopes.iter().enumerate() {
            let root = (slope - task.gradient[[j, k]]).hypot(task.smoothing[k]);
            add(0.5 * task.strength[k] / root, &differences(&scaled.to_vec(), Some(k)));
        }
    }
    (0..p - 1).for_each(|i| matrix[i * p + i] += task.decay);
    matrix
}

#[test]
fn equations_and_losses_are_those_of_double_precision() {
    // More samples than a section holds, and a number of neurons that fills no tile.
    let shapes = [(1100, 21, 3, 5, 0), (40, 17, 4, 6, 0), (40, 0, 2, 3, 0), (1100, 21, 3, 5, 4), (40, 0, 2, 3, 7)];
    for (n, r, n_labels, n_hidden, n_second) in shapes {
        for activation in [Activation::Tanh, Activation::Sigmoid, Activation::LeakyRelu] {
            let widths = [n_hidden, n_second];
            with_task(n, r, n_labels, |task| {
                let architecture =
                    Architecture::new(n_labels, if n_second > 0 { &widths } else { &widths[..1] }, activation).unwrap();
                let parameters = random_parameters(&architecture);
                let shared = Shared::new(task.scaled, task.references);
                let strips = StripTask::new(task, &shared, activation, [n_hidden, n_second]);
                let mut pass = Pass::new(&shared, [n_hidden, n_second]);
                pass.parameters.copy_from_slice(&parameters);
                pass.evaluate(&shared, &strips);
                let (loss, gradient) = loss_and_gradient(&architecture, &parameters, task);
                for (own, expected) in
                    [(pass.loss.flux, loss.flux), (pass.loss.gradient, loss.gradient), (pass.loss.decay, loss.decay)]
                {
                    assert!((own - expected).abs() < 1e-5 * expected.max(0.1), "{own} against {expected}");
                }
                let mut equations = NormalEquations::new(n_labels, [n_hidden, n_second]);
                for _ in 0..2 {
                    equations.set(&shared, &strips, &pass);
                }
                let scale = gradient.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
                for (own, expected) in equations.gradient.iter().zip(&gradient) {
                    assert!((2.0 * own - expected).abs() < 1e-5 * scale, "{activation:?}: {} against {expected}", 2.0 * own);
                }
                // The gradient alone, section by section.
                let whole = equations.gradient.clone();
                let mut part = |at: usize, share: f64| {
                    equations.set_gradient(&shared, &strips, &pass, at, share);
                    equations.gradient.clone()
                };
                let mut sum = part(0, 0.0);
                for at in 0..shared.sections.len() {
                    let (with, without) = (part(at, 1.0), part(at, 0.0));
                    sum.iter_mut().zip(with.iter().zip(&without)).for_each(|(sum, (with, without))| *sum += with - without);
                }
                for (own, expected) in sum.iter().zip(&whole) {
                    assert!((own - expected).abs() < 1e-6 * scale, "{activation:?}: {own} against {expected}");
                }
                equations.set(&shared, &strips, &pass);
                // Differences of slopes know nothing where a step crosses a kink.
                if activation == Activation::LeakyRelu {
                    return;
                }
                let expected = gauss_newton(&architecture, &parameters, task);
                let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
                for (own, expected) in equations.matrix.iter().zip(&expected) {
                    // Seen: 3e-7 of the largest.
                    assert!((own - expected).abs() < 3e-6 * largest, "{activation:?}: {own} against {expected}");
                }
            });
        }
    }
}
