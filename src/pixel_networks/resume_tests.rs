//! Trainings that are told to end are taken up again to the same bits, with the same history.

use super::*;
use crate::error::Error;
use crate::learn::CheckpointFile;
use crate::package::TrainingContext;
use crate::per_pixel::train::{AdamOptions, Iteration, Optimiser, Training, TrainingOptions, TrainingSet};
use crate::per_pixel::{JointNetwork, LabelSpace, PixelNetworks, PixelPolynomials, PolynomialOptions};
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The last row of the last round is what is kept; iterations lower the loss, and all losses are there.
fn check_history<M>(trained: &Training<M>) {
    let n = trained.pixels.len() as f64;
    let mean = |of: fn(&Iteration) -> f64| trained.pixels.iter().map(|pixel| of(&pixel.kept)).sum::<f64>() / n;
    let (first, last) = (&trained.history[0], trained.history.last().unwrap());
    assert!(last.is_kept && last.n_training == 0 && trained.history.iter().filter(|row| row.is_kept).count() == 1);
    for (found, expected) in [
        (last.flux, mean(|kept| kept.flux)),
        (last.gradient, mean(|kept| kept.gradient)),
        (last.validation, mean(|kept| kept.validation)),
    ] {
        assert!((found / expected - 1.0).abs() < 1e-12 && found > 0.0, "{found} {expected}");
    }
    assert!(trained.history.len() == 1 || first.flux + first.gradient > last.flux + last.gradient, "{first:?} {last:?}");
}

/// Trains, is told to end, and is taken up again to the same bits.
fn interrupted<M: SpectralModel + PartialEq>(set: &TrainingSet, choices: &M::Choices, reports: usize) -> Training<M> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
    let told = AtomicUsize::new(0);
    let train = |run: &str, resume: bool, most: usize| {
        told.store(0, Ordering::Relaxed);
        let context = TrainingContext {
            effects: &effects,
            device: &device,
            checkpoints: CheckpointFile { path: &path, interval: std::time::Duration::ZERO, resume },
            run,
            report: &|_, _| match told.fetch_add(1, Ordering::Relaxed) < most {
                true => Ok(()),
                false => Err(Error::usage("told to end")),
            },
        };
        M::train(set, choices, &context)
    };
    let whole = train("run", false, usize::MAX).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(train("run", false, reports).unwrap_err().to_string().contains("told to end"));
    assert!(path.exists() && train("another", true, usize::MAX).is_err(), "{}", M::NAME);
    let again = train("run", true, usize::MAX).unwrap();
    assert!(whole.model == again.model, "{}", M::NAME);
    assert_eq!((&again.history, &again.pixels), (&whole.history, &whole.pixels), "{}", M::NAME);
    check_history(&whole);
    whole
}

#[test]
fn trainings_of_all_families_are_taken_up_after_an_interruption() {
    // More pixels than are solved together.
    let list = LineList { n_pixels: 70, ..LineList::default() };
    let (synthesis, population) = (Synthesis::new(&list), Population::default());
    let all = population.observe(&synthesis, population.labels(60).view(), [50.0, 150.0]);
    let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
    let set = TrainingSet {
        space: LabelSpace::covering(&names, &units, all.labels.view()).unwrap(),
        wavelength: list.wavelength(),
        spectra: all.select(&(0..50).collect::<Vec<_>>()),
        validation: all.select(&(50..60).collect::<Vec<_>>()),
        library: Some(synthesis.library(population.references(References::Scattered, 10).view())),
    };
    let options = PolynomialOptions { core_degree: 2, cross_degree: 1, ..PolynomialOptions::default() };
    interrupted::<PixelPolynomials>(&set, &options, 66);
    let mut options = JointOptions { hidden: vec![6, 5], batch: 16, ..JointOptions::default() };
    options.plan.epochs = 8;
    interrupted::<JointNetwork>(&set, &options, 3);
    let options = TrainingOptions { hidden: 3, iterations: 6, oracle_pixels: 5, ..TrainingOptions::default() };
    let trained = interrupted::<PixelNetworks>(&set, &options, 20);
    // A committee by Adam: epochs are those of the judgements.
    let adam = AdamOptions { epochs: 25, judge_every: 10, ..AdamOptions::default() };
    let options_of_adam = TrainingOptions { optimiser: Optimiser::Adam, committee: 2, adam, ..options.clone() };
    let by_adam = interrupted::<PixelNetworks>(&set, &options_of_adam, 20);
    assert_eq!(by_adam.history.iter().map(|row| row.iteration).collect::<Vec<_>>(), [0, 10, 20, 25, 25]);

    // Comparisons are told to end too.
    let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
    let checkpoints = CheckpointFile { path: Path::new("none"), interval: std::time::Duration::from_secs(3600), resume: false };
    let compared = |report: crate::package::Report<'_>| {
        let context = TrainingContext { effects: &effects, device: &device, checkpoints, run: "run", report };
        PixelNetworks::compared(&set, &options, &trained, &context)
    };
    assert_eq!(compared(&|_, _| Ok(())).unwrap().len(), 4);
    assert!(compared(&|_, _| Err(Error::usage("told to end"))).is_err());
}
