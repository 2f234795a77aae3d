//! Whole trainings at reduced size, against the simulator's truth.

use super::super::{GradientLibrary, LabelSpace, LabelledSpectra, NetworkEngine, emulate};
use super::*;
use crate::error::Error;
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

fn rms_error(training: &Training, synthesis: &Synthesis) -> f64 {
    let labels = Population::default().labels(3000).slice(s![2500.., ..]).to_owned();
    let flux = emulate(&NetworkEngine::new(&training.networks), labels.view());
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
        pool.install(|| train(set, &options, &Checkpoint::default(), &|_, _| Ok(()))).unwrap().networks
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
    let done = |pixel: usize, result: &PixelResult| {
        if pixel % 2 == 1 {
            seen.lock().unwrap().pixels.insert(pixel, result.clone());
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
    assert_eq!(again.networks, whole.networks);
    assert_eq!(again.pixels, whole.pixels);
    let stop = |_: usize, _: &PixelResult| Err(Error::data("the caller").found("enough"));
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
