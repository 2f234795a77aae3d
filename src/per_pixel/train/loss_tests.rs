//! The loss and its gradient against central differences.

use super::super::activation::Activation;
use super::super::network::Architecture;
use super::loss::{PixelTask, loss_and_gradient};
use crate::testing::central_difference;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A task with `n` spectra and `r` references of `n_labels` labels, some pixels of which are missing.
pub(super) fn with_task<T>(n: usize, r: usize, n_labels: usize, work: impl FnOnce(&PixelTask) -> T) -> T {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut matrix = |rows: usize| Array2::from_shape_fn((rows, n_labels), |_| random.gen_range(-0.5..0.5));
    let (scaled, references, gradient) = (matrix(n), matrix(r), matrix(r));
    let mut draw = |low: f64, high: f64| random.gen_range(low..high);
    let task = PixelTask {
        scaled: scaled.view(),
        flux: (0..n).map(|_| draw(0.2, 1.0)).collect(),
        weight: (0..n).map(|i| if i % 5 == 3 { 0.0 } else { draw(0.1, 2.0) / n as f64 }).collect(),
        references: references.view(),
        gradient: gradient * 0.3,
        strength: (0..n_labels).map(|k| (1.0 + k as f64) / r as f64).collect(),
        smoothing: (0..n_labels).map(|k| 0.1 + 0.05 * k as f64).collect(),
        decay: 3e-3,
    };
    work(&task)
}

pub(super) fn random_parameters(architecture: &Architecture) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    (0..architecture.n_parameters()).map(|_| random.gen_range(-0.8..0.8)).collect()
}

#[test]
fn the_gradient_of_the_full_loss_is_that_of_central_differences() {
    with_task(11, 4, 3, |task| {
        for (hidden, activation) in [
            (&[5][..], Activation::Tanh),
            (&[5], Activation::Sigmoid),
            (&[5], Activation::LeakyRelu),
            (&[4, 3], Activation::Tanh),
            (&[4, 3], Activation::Sigmoid),
        ] {
            let architecture = Architecture::new(3, hidden, activation).unwrap();
            let parameters = random_parameters(&architecture);
            let (loss, gradient) = loss_and_gradient(&architecture, &parameters, task);
            assert!(loss.flux > 0.0 && loss.gradient > 0.0 && loss.decay > 0.0);
            let total = |parameters: &[f64]| loss_and_gradient(&architecture, parameters, task).0.total();
            let difference = central_difference(total, &parameters);
            let scale = gradient.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let worst = gradient.iter().zip(difference).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
            println!("{activation:?} {hidden:?}: {:.1e}", worst / scale);
            // Seen: 1e-11.
            assert!(worst < 1e-7 * scale, "{activation:?} {hidden:?}: {worst:e} of {scale:e}");
        }
    });
}

#[test]
fn without_smoothing_the_gradient_term_is_the_sum_of_absolute_differences() {
    with_task(6, 5, 3, |task| {
        let architecture = Architecture::new(3, &[4], Activation::Tanh).unwrap();
        let parameters = random_parameters(&architecture);
        let exact = PixelTask { smoothing: vec![0.0; 3], ..task.clone() };
        let expected: f64 = (0..5)
            .map(|j| {
                let (_, slopes) = architecture.evaluate(&parameters, &task.references.row(j).to_vec());
                (0..3).map(|k| task.strength[k] * (slopes[k] - task.gradient[[j, k]]).abs()).sum::<f64>()
            })
            .sum();
        let (loss, _) = loss_and_gradient(&architecture, &parameters, &exact);
        assert!((loss.gradient - expected).abs() < 1e-14);
    });
}
