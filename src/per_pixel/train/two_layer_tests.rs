//! Networks with two hidden layers are trained.

use super::trainer_tests::training_set;
use super::*;
use crate::per_pixel::PixelNetworks;
use crate::simulate::line_list::References;

/// Means over the pixels: the exact loss without decay, and the validation loss.
fn losses(training: &Training<PixelNetworks>) -> [f64; 2] {
    let n = training.pixels.len() as f64;
    let mean = |of: fn(&PixelResult) -> f64| training.pixels.iter().map(of).sum::<f64>() / n;
    [mean(|pixel| pixel.kept.flux + pixel.kept.gradient), mean(|pixel| pixel.kept.validation)]
}

#[test]
fn two_layers_learn_as_well_as_one_with_either_optimiser() {
    let (set, _) = training_set(4, 500, Some(References::Scattered));
    let one = TrainingOptions { hidden: 10, ..TrainingOptions::default() };
    let two = TrainingOptions { hidden: 8, second_hidden: 6, ..one.clone() };
    let adam = AdamOptions { epochs: 400, batch: 128, judge_every: 20, ..AdamOptions::default() };
    let by_adam = TrainingOptions { optimiser: Optimiser::Adam, adam, ..two.clone() };
    let of = |options: &TrainingOptions| train(&set, options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let found = [&one, &two, &by_adam].map(|options| losses(&of(options)));
    println!("one layer {:.4?}, two {:.4?}, by Adam {:.4?}", found[0], found[1], found[2]);
    assert_eq!(of(&two).model.architecture.widths, [set.space.len(), 8, 6]);
    assert!(found[1][0] < 1.1 * found[0][0] && found[1][1] < 1.05 * found[0][1], "{found:?}");
    assert!(found[2][0] < 1.6 * found[1][0] && found[2][1] < 1.1 * found[1][1], "{found:?}");
}

#[test]
fn a_committee_of_two_layers_is_the_mean_of_its_members_and_goes_on_from_them() {
    let (mut set, _) = training_set(3, 250, Some(References::Scattered));
    let options = TrainingOptions { hidden: 5, second_hidden: 3, committee: 3, iterations: 6, ..TrainingOptions::default() };
    let of = |set: &TrainingSet, options: &TrainingOptions| train(set, options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    let together = of(&set, &options);
    assert_eq!(together.model.architecture.widths, [set.space.len(), 15, 9]);
    // The loss of the mean network, as it is evaluated from its parameters in double precision.
    let trainer = super::trainer::Trainer::with_labels(&set, &options, None).unwrap();
    for (w, pixel) in together.pixels.iter().enumerate() {
        let parameters: Vec<f64> = pixel.parameters.iter().map(|value| f64::from(*value)).collect();
        let (loss, _) = loss_and_gradient(&together.model.architecture, &parameters, &trainer.task(w));
        assert!((loss.flux / pixel.kept.flux - 1.0).abs() < 1e-4, "{loss:?}, {:?}", pixel.kept);
    }
    // Labels in error: the second round begins where the first ended, and mends more than it breaks.
    let errors = ndarray::Array2::from_shape_fn(set.spectra.labels.dim(), |(_, k)| 0.02 * set.space.width(k));
    set.spectra.label_errors = Some(errors);
    let validation = ndarray::Array2::from_shape_fn(set.validation.labels.dim(), |(_, k)| 0.02 * set.space.width(k));
    set.validation.label_errors = Some(validation);
    let freed = of(&set, &options);
    assert!(freed.freed.is_some());
    assert!(losses(&freed)[0] < losses(&together)[0], "{:?} {:?}", losses(&freed), losses(&together));
}
