//! Whole trainings at reduced size, against the simulator's truth.

use super::super::{GradientLibrary, LabelSpace, LabelledSpectra, NetworkEngine, emulate};
use super::trainer::Trainer;
use super::*;
use crate::error::Error;
use crate::per_pixel::PixelNetworks;
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use ndarray::s;

/// Spectra on `w` pixels: `n` to train on, a quarter as many for validation.
pub(super) fn training_set(w: usize, n: usize, references: Option<References>) -> (TrainingSet, Synthesis) {
    let list = LineList { n_pixels: w, ..LineList::default() };
    let (synthesis, population) = (Synthesis::new(&list), Population::default());
    let all = population.observe(&synthesis, population.labels(n + n / 4).view(), [20.0, 120.0]);
    let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
    let library: Option<GradientLibrary> = references.map(|kind| synthesis.library(population.references(kind, 101).view()));
    let set = TrainingSet {
        space: LabelSpace::covering(&names, &units, all.labels.view()).unwrap(),
        wavelength: list.wavelength(),
        spectra: all.select(&(0..n).collect::<Vec<_>>()),
        validation: all.select(&(n..n + n / 4).collect::<Vec<_>>()),
        library,
    };
    (set, synthesis)
}

fn rms_error(training: &Training<PixelNetworks>, synthesis: &Synthesis) -> f64 {
    let labels = Population::default().labels(3000).slice(s![2500.., ..]).to_owned();
    let flux = emulate(&NetworkEngine::new(&training.model), labels.view());
    (flux.mapv(f64::from) - synthesis.flux(labels.view())).mapv(|error| error * error).mean().unwrap().sqrt()
}

#[test]
fn networks_learn_the_flux_and_physics_keeps_them_from_learning_noise() {
    let (set, synthesis) = training_set(24, 1000, Some(References::Scattered));
    let trained = train(&set, &TrainingOptions::default(), &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let without =
        train(&TrainingSet { library: None, ..set.clone() }, &TrainingOptions::default(), &Checkpoint::default(), &|_, _| Ok(()))
            .unwrap();
    let [with, without] = [&trained, &without].map(|training| rms_error(training, &synthesis));
    println!("model error {with:.2e}, without physics {without:.2e}");
    // Seen: 6e-4 and 5e-3.
    assert!(with < 1.2e-3 && without > 2.0 * with, "{with:e}, without physics {without:e}");
    for pixel in &trained.pixels {
        // χ² of good fits, and gradients right to a fraction of their own size.
        assert!(pixel.kept.flux < 1.2 && pixel.kept.gradient < 0.5 && pixel.kept.validation < 1.3, "{:?}", pixel.kept);
    }
}

#[test]
fn a_network_is_the_same_on_any_threads_and_missing_pixels_do_not_count() {
    let (mut set, _) = training_set(5, 300, Some(References::Scattered));
    let options = TrainingOptions { hidden: 6, iterations: 8, ..TrainingOptions::default() };
    let on = |threads: usize, set: &TrainingSet| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(set, &options, &Checkpoint::default(), &|_, _| Ok(()))).unwrap().model
    };
    let whole = on(1, &set);
    assert_eq!(whole, on(2, &set));
    // A star without pixel 3 changes that network alone, whatever stands there.
    set.spectra.inverse_variance[[7, 3]] = 0.0;
    set.spectra.flux[[7, 3]] = f32::NAN;
    let masked = on(2, &set);
    for w in 0..5 {
        assert_eq!(whole.parameters.row(w) == masked.parameters.row(w), w != 3);
    }
    set.spectra.flux[[7, 3]] = 1e20;
    assert_eq!(masked, on(2, &set));
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bits() {
    let (set, _) = training_set(6, 200, Some(References::Scattered));
    let options = TrainingOptions { hidden: 5, iterations: 6, ..TrainingOptions::default() };
    let seen = std::sync::Mutex::new(Checkpoint::default());
    let done = |place: Place, result: &PixelResult| {
        if place.pixel % 2 == 1 {
            seen.lock().unwrap().pixels.insert((place.round, place.pixel), result.clone());
        }
        Ok(())
    };
    let whole = train(&set, &options, &Checkpoint::default(), &done).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    seen.lock().unwrap().write(&path, "this run").unwrap();
    let read = Checkpoint::read(&path, "this run").unwrap();
    assert_eq!(read, *seen.lock().unwrap());
    let again = train(&set, &options, &read, &|_, _| Ok(())).unwrap();
    assert_eq!(again.model, whole.model);
    assert_eq!(again.pixels, whole.pixels);
    let stop = |_: Place, _: &PixelResult| Err(Error::data("the caller").found("enough"));
    assert!(train(&set, &options, &read, &stop).err().unwrap().to_string().contains("enough"));
    let error = Checkpoint::read(&path, "another run").unwrap_err().to_string();
    assert!(error.contains("other inputs") && error.contains("--overwrite"), "{error}");
}

#[test]
fn impossible_trainings_are_refused() {
    let (set, _) = training_set(4, 60, Some(References::Scattered));
    let refused = |set: &TrainingSet, options: TrainingOptions, expected: &str| {
        let error = train(set, &options, &Checkpoint::default(), &|_, _| Ok(())).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let options = TrainingOptions::default;
    refused(&set, TrainingOptions { hidden: 0, ..options() }, "hidden");
    refused(&set, TrainingOptions { smoothing: vec![0.1, 0.0], ..options() }, "smoothing");
    refused(&set, TrainingOptions { regularisation_of: [("eu_fe".to_owned(), 1.0)].into(), ..options() }, "'eu_fe'");
    refused(&set, TrainingOptions { windows_of: [("eu_fe".to_owned(), vec![])].into(), ..options() }, "'eu_fe'");
    refused(&set, TrainingOptions { windows_of: [("feh".to_owned(), vec![[2.0, 1.0]])].into(), ..options() }, "windows_of.feh");
    refused(
        &set,
        TrainingOptions { windows_of: [("feh".to_owned(), vec![[500.0, 501.0]])].into(), ..options() },
        "without a pixel",
    );
    refused(&set, TrainingOptions { committee: 30, ..options() }, "committee");
    let mut faulty = set.clone();
    faulty.spectra.flux[[3, 2]] = f32::NAN;
    refused(&faulty, options(), "star 3, pixel 2");
    let mut faulty = set.clone();
    faulty.spectra.inverse_variance[[3, 2]] = -1.0;
    refused(&faulty, options(), "star 3, pixel 2");
    let empty = LabelledSpectra { ..set.spectra.select(&[]) };
    refused(&TrainingSet { spectra: empty, ..set.clone() }, options(), "0 spectra");
    let mut other = set.clone();
    other.library.as_mut().unwrap().names.reverse();
    refused(&other, options(), "those of the training");
}

#[test]
fn a_label_acts_within_its_windows_alone() {
    let (set, _) = training_set(6, 300, Some(References::Scattered));
    let windows = vec![[set.wavelength[1], set.wavelength[2]], [set.wavelength[5], 1e9]];
    let options = TrainingOptions {
        hidden: 6,
        iterations: 10,
        committee: 2,
        windows_of: [("mg_fe".to_owned(), windows)].into(),
        ..TrainingOptions::default()
    };
    let trained = train(&set, &options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let free =
        train(&set, &TrainingOptions { windows_of: Default::default(), ..options }, &Checkpoint::default(), &|_, _| Ok(()));
    let free = free.unwrap();
    let k = set.space.names.iter().position(|name| name == "mg_fe").unwrap();
    let gradient = crate::per_pixel::evaluate_all(&NetworkEngine::new(&trained.model), set.spectra.labels.view());
    for w in 0..6 {
        let acts = [1, 2, 5].contains(&w);
        assert_eq!(gradient.slice(s![.., 1 + k, w]).iter().any(|slope| *slope != 0.0), acts, "pixel {w}");
        // Other pixels are as they were.
        assert_eq!(trained.model.parameters.row(w) == free.model.parameters.row(w), acts);
        assert!(trained.pixels[w].kept.flux < 3.0, "{:?}", trained.pixels[w].kept);
    }
}

#[test]
fn a_committee_is_the_mean_of_its_members() {
    let (set, _) = training_set(3, 200, Some(References::Scattered));
    let options = TrainingOptions { hidden: 5, iterations: 6, ..TrainingOptions::default() };
    let of = |options: &TrainingOptions| train(&set, options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let together = of(&TrainingOptions { committee: 3, ..options.clone() });
    assert_eq!(together.model.architecture.widths, [set.space.len(), 15]);
    // The first member is the network that is trained alone; the seeds of the others are reached by options.
    let scaled = set.space.scale(set.spectra.labels.slice(s![..20, ..]));
    let mean: ndarray::Array2<f64> = (0..3)
        .map(|member| {
            let step = super::committee::seed_of_member(0, member);
            // (seed + δ) · factor = seed · factor + step
            let inverse = inverse_of(0x9E37_79B9_7F4A_7C15);
            let seed = options.seed.wrapping_add(step.wrapping_mul(inverse));
            of(&TrainingOptions { seed, ..options.clone() }).model.flux_in_double(scaled.view()) / 3.0
        })
        .reduce(|a, b| a + b)
        .unwrap();
    let difference = (together.model.flux_in_double(scaled.view()) - mean).mapv(f64::abs);
    assert!(difference.iter().all(|difference| *difference < 1e-6), "{difference}");
    let first = of(&options);
    for (pixel, alone) in together.pixels.iter().zip(&first.pixels) {
        assert!(pixel.n_iterations > 2 * alone.n_iterations && pixel.kept.flux < 2.0 * alone.kept.flux, "{pixel:?}");
    }
    let task = Trainer::with_labels(&set, &options, None).unwrap();
    let exact = |w: usize, found: &Training<PixelNetworks>| {
        let parameters: Vec<f64> = found.pixels[w].parameters.iter().map(|value| f64::from(*value)).collect();
        loss_and_gradient(&found.model.architecture, &parameters, &task.task(w)).0
    };
    for w in 0..3 {
        let loss = exact(w, &together);
        assert!((loss.flux / together.pixels[w].kept.flux - 1.0).abs() < 1e-4, "{loss:?}, {:?}", together.pixels[w].kept);
    }
}

/// Means over the pixels: the exact loss without decay, and the validation loss.
fn losses(training: &Training<PixelNetworks>) -> [f64; 2] {
    let n = training.pixels.len() as f64;
    let mean = |of: fn(&PixelResult) -> f64| training.pixels.iter().map(of).sum::<f64>() / n;
    [mean(|pixel| pixel.kept.flux + pixel.kept.gradient), mean(|pixel| pixel.kept.validation)]
}

#[test]
fn adam_goes_to_the_same_loss_more_slowly() {
    let (set, _) = training_set(3, 400, Some(References::Scattered));
    let second_order = TrainingOptions { hidden: 8, ..TrainingOptions::default() };
    let adam = AdamOptions { epochs: 400, batch: 100, judge_every: 20, ..AdamOptions::default() };
    let options = TrainingOptions { optimiser: Optimiser::Adam, adam, ..second_order.clone() };
    let of = |options: &TrainingOptions| train(&set, options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let [best, start, found] =
        [&second_order, &TrainingOptions { adam: AdamOptions { epochs: 1, ..adam }, ..options.clone() }, &options].map(of);
    let [best_loss, start_loss, loss] = [&best, &start, &found].map(|training| losses(training)[0]);
    println!("second order {best_loss:.4}, Adam after an epoch {start_loss:.4}, after 400 {loss:.4}");
    // Seen: 2.04, 54.9, 2.91.
    assert!(loss < 1.6 * best_loss && loss > 0.97 * best_loss && start_loss > 5.0 * loss, "{best_loss} {start_loss} {loss}");
    assert_eq!(found.model, of(&options).model);
    let refused = TrainingOptions { adam: AdamOptions { rates: [0.0, 1.0], ..adam }, ..options };
    let error = train(&set, &refused, &Checkpoint::default(), &|_, _| Ok(())).err().unwrap().to_string();
    assert!(error.contains("adam.rates"), "{error}");
}

/// `cargo test --release --lib second_order_against_adam -- --ignored --nocapture`: processor times at which
/// trainings of several lengths end, and how far they come.
#[test]
#[ignore = "a measurement of minutes"]
fn second_order_against_adam() {
    let (set, _) = training_set(4, 3600, Some(References::Scattered));
    let measured = |name: &str, options: TrainingOptions| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let seconds = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
        };
        let start = seconds();
        let trained = pool.install(|| train(&set, &options, &Checkpoint::default(), &|_, _| Ok(()))).unwrap();
        let [loss, validation] = losses(&trained);
        println!("{name}: {:.3} s a pixel, exact loss {loss:.5}, validation {validation:.5}", (seconds() - start) / 4.0);
    };
    for iterations in [3, 5, 8, 12, 20, 30, 60] {
        measured(&format!("second order, 20, {iterations}"), TrainingOptions { iterations, ..TrainingOptions::default() });
    }
    for hidden in [20, 40] {
        for epochs in [100, 300, 1000, 3000] {
            let adam = AdamOptions { epochs, patience: 1_000_000, ..AdamOptions::default() };
            let options = TrainingOptions { optimiser: Optimiser::Adam, hidden, adam, ..TrainingOptions::default() };
            measured(&format!("Adam, {hidden}, {epochs}"), options);
        }
    }
}

/// Modulo 2⁶⁴, by Newton.
fn inverse_of(odd: u64) -> u64 {
    (0..6).fold(odd, |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse))))
}
