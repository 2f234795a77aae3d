//! Labels in error: what they do to gradients, and what freeing them mends.

use super::super::{Fidelity, LabelSpace, LabelledSpectra, NetworkEngine, gradient_fidelity};
use super::trainer_tests::training_set;
use super::*;
use crate::per_pixel::PixelNetworks;
use crate::simulate::line_list::{Population, References, Synthesis};
use ndarray::{Array2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Errors of the labels, relative to their range.
const ERROR: f64 = 0.03;

/// A set whose labels are in error, with the true ones. The errors that it states are the true ones times
/// `stated`.
fn in_error(w: usize, n: usize, references: Option<References>, stated: f64) -> (TrainingSet, Array2<f64>, Synthesis) {
    let (mut set, synthesis) = training_set(w, n, references);
    let truth = set.spectra.labels.clone();
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let space = set.space.clone();
    for spectra in [&mut set.spectra, &mut set.validation] {
        let mut normal = |k: usize| -> f64 {
            let normal: f64 = StandardNormal.sample(&mut random);
            ERROR * space.width(k) * normal
        };
        spectra.labels = Array2::from_shape_fn(spectra.labels.dim(), |at| spectra.labels[at] + normal(at.1));
        let errors = Array2::from_shape_fn(spectra.labels.dim(), |(_, k)| stated * ERROR * space.width(k));
        spectra.label_errors = Some(errors);
    }
    set.space = LabelSpace::covering(&space.names, &space.units, set.spectra.labels.view()).unwrap();
    (set, truth, synthesis)
}

fn taught(set: &TrainingSet, options: &TrainingOptions) -> Training<PixelNetworks> {
    train(set, options, &Checkpoint::default(), &|_, _| Ok(())).unwrap()
}

/// Fidelity of the gradients at fresh stars.
fn fidelity(training: &Training<PixelNetworks>, synthesis: &Synthesis) -> Vec<Fidelity> {
    let labels = Population::default().labels(3060).slice(s![3000.., ..]).to_owned();
    let (_, gradient) = synthesis.flux_and_gradient(labels.view());
    gradient_fidelity(&NetworkEngine::new(&training.model), labels.view(), gradient.view())
}

/// Errors of the freed labels relative to those of the given ones, rms over the stars.
fn improvement(set: &TrainingSet, training: &Training<PixelNetworks>, truth: &Array2<f64>) -> Vec<f64> {
    let rms = |labels: &Array2<f64>| (labels - truth).mapv(|d| d * d).mean_axis(ndarray::Axis(0)).unwrap().mapv(f64::sqrt);
    let freed = training.freed.as_ref().map_or(&set.spectra.labels, |freed| &freed.training);
    (rms(freed) / rms(&set.spectra.labels)).to_vec()
}

#[test]
#[ignore = "a measurement of minutes"]
fn label_errors_in_figures() {
    for references in [Some(References::Scattered), None] {
        let (set, truth, synthesis) = in_error(96, 1500, references, 1.0);
        let (exact, _) = training_set(96, 1500, references);
        let amplitudes = fidelity(&taught(&exact, &TrainingOptions::default()), &synthesis);
        println!("{references:?}, true labels: {:.3?}", amplitudes.iter().map(|label| label.amplitude).collect::<Vec<_>>());
        for label_alternations in 0..=3 {
            let clock = std::time::Instant::now();
            let training = taught(&set, &TrainingOptions { label_alternations, ..TrainingOptions::default() });
            let (fidelity, better) = (fidelity(&training, &synthesis), improvement(&set, &training, &truth));
            println!("{references:?}, {label_alternations} alternations, {:.1} s", clock.elapsed().as_secs_f64());
            let mean = |of: fn(&Iteration) -> f64| training.pixels.iter().map(|p| of(&p.kept)).sum::<f64>() / 96.0;
            println!(
                "  chi2 {:.3} validation {:.3} gradient {:.3}",
                mean(|k| k.flux),
                mean(|k| k.validation),
                mean(|k| k.gradient)
            );
            for (k, fidelity) in fidelity.iter().enumerate() {
                let errors = training.freed.as_ref().map(|freed| &freed.errors[k]);
                println!(
                    "  {:6} r {:.4} amplitude {:.3}; errors of the labels {:.2}; attenuation {:.2}, ratio {:.2?}, {:?} stars",
                    fidelity.label,
                    fidelity.correlation,
                    fidelity.amplitude,
                    better[k],
                    errors.map_or(f64::NAN, |errors| errors.attenuation),
                    errors.and_then(|errors| errors.ratio),
                    errors.map(|errors| errors.n_stars)
                );
            }
        }
    }
}

#[test]
fn labels_in_error_weaken_lines_and_freed_ones_do_not() {
    // Without physics, which holds lines to their strength whatever the labels are.
    let (set, truth, synthesis) = in_error(64, 1000, None, 1.0);
    let options = TrainingOptions { hidden: 10, ..TrainingOptions::default() };
    let exact = taught(&set, &TrainingOptions { label_alternations: 0, ..options.clone() });
    let freed = taught(&set, &options);
    assert!(exact.freed.is_none());
    let amplitudes = |training: &Training<PixelNetworks>| {
        fidelity(training, &synthesis).iter().map(|label| label.amplitude).collect::<Vec<_>>()
    };
    let [control, amplitudes] = [&exact, &freed].map(amplitudes);
    let better = improvement(&set, &freed, &truth);
    println!("taken for exact {control:.3?}, freed {amplitudes:.3?}, errors of the labels {better:.2?}");
    let errors = &freed.freed.as_ref().unwrap().errors;
    // Labels that the spectra know: T_eff, v_mic, [Fe/H].
    for k in [0, 2, 3] {
        println!("{:?}", errors[k]);
        assert!((0.8..1.2).contains(&errors[k].ratio.unwrap()), "{:?}", errors[k]);
        assert!(control[k] < 0.92 && amplitudes[k] > control[k] + 0.04, "{k}: {} from {}", amplitudes[k], control[k]);
        assert!((0.91..1.06).contains(&amplitudes[k]) && better[k] < 0.97, "{k}: {}, {}", amplitudes[k], better[k]);
    }
    assert!(better[3] < 0.6, "{better:?}");
}

#[test]
fn errors_that_are_not_true_are_told() {
    for (stated, expected) in [(0.4, 1.4..3.0), (3.0, 0.2..0.75)] {
        let (set, ..) = in_error(48, 400, Some(References::Scattered), stated);
        let options = TrainingOptions { hidden: 6, iterations: 15, ..TrainingOptions::default() };
        let freed = taught(&set, &options).freed.unwrap();
        let ratios: Vec<f64> = freed.errors.iter().filter_map(|errors| errors.ratio).collect();
        println!("stated {stated}: {ratios:.2?}");
        let iron = freed.errors[3].ratio.unwrap();
        assert!(expected.contains(&iron), "{stated}: {iron}");
    }
}

#[test]
fn freed_labels_and_networks_are_the_same_bits_on_any_threads_and_after_an_interruption() {
    let (mut set, ..) = in_error(20, 200, Some(References::Scattered), 1.0);
    // A star without a spectrum keeps its labels, a label that is a guess has no prior, an exact one stays.
    set.spectra.inverse_variance.row_mut(9).fill(0.0);
    let errors = set.spectra.label_errors.as_mut().unwrap();
    errors[[5, 0]] = f64::INFINITY;
    errors[[6, 3]] = 0.0;
    let window = vec![[set.wavelength[2], set.wavelength[11]]];
    let second_order = TrainingOptions {
        hidden: 4,
        iterations: 5,
        committee: 2,
        label_alternations: 2,
        windows_of: [("mg_fe".to_owned(), window)].into(),
        ..TrainingOptions::default()
    };
    let adam = AdamOptions { epochs: 6, batch: 64, judge_every: 3, ..AdamOptions::default() };
    for options in [second_order.clone(), TrainingOptions { optimiser: Optimiser::Adam, adam, ..second_order }] {
        let on =
            |threads: usize, finished: &Checkpoint, done: &(dyn Fn(Place, &PixelResult) -> crate::error::Result<()> + Sync)| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| train(&set, &options, finished, done)).unwrap()
            };
        let seen = std::sync::Mutex::new(Checkpoint::default());
        let whole = on(1, &Checkpoint::default(), &|place, result| {
            assert_eq!(place.n_rounds, 3);
            // Killed in the second round.
            if place.round == 0 || place.round == 1 && place.pixel < 7 {
                seen.lock().unwrap().pixels.insert((place.round, place.pixel), result.clone());
            }
            Ok(())
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        seen.lock().unwrap().write(&path, "run").unwrap();
        let again = on(2, &Checkpoint::read(&path, "run").unwrap(), &|_, _| Ok(()));
        assert_eq!((again.model, &again.pixels), (whole.model.clone(), &whole.pixels));
        let [freed, freed_again] = [whole.freed.unwrap(), again.freed.unwrap()];
        assert_eq!((&freed.training, &freed.validation), (&freed_again.training, &freed_again.validation));
        assert_eq!((freed.training.row(9), freed.n_unfitted), (set.spectra.labels.row(9), 1));
        let moved = |i: usize, k: usize| (freed.training[[i, k]] - set.spectra.labels[[i, k]]).abs() / set.space.width(k);
        assert!(moved(6, 3) < 1e-4 && moved(6, 0) > 1e-3, "{} {}", moved(6, 3), moved(6, 0));
        let k = set.space.names.iter().position(|name| name == "mg_fe").unwrap();
        let gradient = crate::per_pixel::evaluate_all(&NetworkEngine::new(&whole.model), set.spectra.labels.view());
        assert!(gradient.slice(s![.., 1 + k, 12..]).iter().all(|slope| *slope == 0.0));
    }
}

#[test]
fn errors_that_do_not_matter_change_nothing_and_impossible_ones_are_refused() {
    let (set, ..) = in_error(4, 200, Some(References::Scattered), 1e-3);
    let options = TrainingOptions { hidden: 4, iterations: 5, ..TrainingOptions::default() };
    let with = taught(&set, &options);
    let exact = |spectra: &LabelledSpectra| LabelledSpectra { label_errors: None, ..spectra.clone() };
    let without = TrainingSet { spectra: exact(&set.spectra), validation: exact(&set.validation), ..set.clone() };
    assert!(with.freed.is_none());
    assert_eq!(with.model, taught(&without, &options).model);
    let mut faulty = set;
    faulty.spectra.label_errors.as_mut().unwrap()[[3, 1]] = f64::NAN;
    let error = train(&faulty, &options, &Checkpoint::default(), &|_, _| Ok(())).err().unwrap().to_string();
    assert!(error.contains("star 3, error of label 'logg'"), "{error}");
    let many = TrainingOptions { label_alternations: 30, ..options };
    let error = train(&without, &many, &Checkpoint::default(), &|_, _| Ok(())).err().unwrap().to_string();
    assert!(error.contains("label_alternations"), "{error}");
}
