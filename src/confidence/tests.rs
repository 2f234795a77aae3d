//! Classifiers on features whose probabilities are known.

use super::classifier::calibrate;
use super::*;
use crate::learn::Plan;
use crate::tensor::Device;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn estimates_agree_within_errors_and_a_floor() {
    let of = |estimate: f64, measured, floor| Agreement::of((estimate, 0.3), measured, floor);
    for (estimate, floor, expected) in
        [(0.9, 0.0, Agreement::Good), (1.2, 0.0, Agreement::Undecided), (1.6, 0.0, Agreement::Bad), (1.6, 1.0, Agreement::Good)]
    {
        assert_eq!(of(estimate, Some((0.0, 0.4)), floor), expected, "{estimate}");
    }
    assert_eq!(of(f64::NAN, Some((0.0, 0.4)), 0.0), Agreement::Unknown);
    assert_eq!(of(0.0, None, 0.0), Agreement::Unknown);
}

/// scikit-learn 1.9.1, sklearn.calibration._sigmoid_calibration(outputs, is_good): (−a, −b).
#[test]
fn outputs_become_probabilities_as_with_scikit_learn() {
    let outputs = [-2.0, -1.0, -0.5, 0.2, 0.4, 0.9, 1.5, 2.2, 3.0, -1.5];
    let is_good = [false, false, true, false, true, true, true, true, true, false];
    let (slope, offset) = calibrate(&outputs, &is_good);
    assert!(
        (slope - 0.902_030_047_741_426_9).abs() < 1e-4 && (offset - 0.259_867_085_673_356_5).abs() < 1e-4,
        "{slope} {offset}"
    );
    // What ranks the wrong way round says no more than the fraction of good ones.
    let reversed: Vec<bool> = is_good.iter().map(|good| !good).collect();
    let (slope, offset) = calibrate(&outputs, &reversed);
    assert!(slope == 0.0 && (1.0 / (1.0 + (-offset).exp()) - 5.0 / 12.0).abs() < 1e-12, "{slope} {offset}");
}

const N: usize = 12_000;

/// Features of which three decide how often an estimate is good.
fn sample() -> (Vec<i64>, Array2<f64>, Vec<Agreement>, Vec<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut features = Array2::<f64>::from_shape_fn((N, 6), |_| StandardNormal.sample(&mut random));
    let probability: Vec<f64> =
        features.rows().into_iter().map(|x| 1.0 / (1.0 + (-(2.5 - 2.0 * x[0] + x[1] * x[2])).exp())).collect();
    let agreement = probability.iter().map(|p| if random.r#gen::<f64>() < *p { Agreement::Good } else { Agreement::Bad });
    let agreement = agreement.collect();
    // Of some stars a feature that decides nothing is unknown.
    features.column_mut(5).iter_mut().step_by(9).for_each(|x| *x = f64::NAN);
    ((0..N as i64).map(|i| i << 20).collect(), features, agreement, probability)
}

fn options() -> ConfidenceOptions {
    ConfidenceOptions {
        hidden: vec![32, 32],
        plan: Plan { epochs: 40, ..ConfidenceOptions::default().plan },
        ..Default::default()
    }
}

#[test]
fn probabilities_are_those_of_the_sample_and_come_back_from_the_file() {
    let (ids, features, agreement, probability) = sample();
    let names: Vec<String> = (0..6).map(|k| format!("x{k}")).collect();
    let measured = [
        Measured { label: "logg".into(), floor: 0.1, agreement },
        Measured { label: "feh".into(), floor: 0.1, agreement: vec![Agreement::Good; N] },
    ];
    let device = Device::cpu();
    let train =
        || train(&options(), (names.clone(), features.view()), &ids, &measured, (1, &device), &mut |_, _| Ok(())).unwrap();
    let (classifiers, left_out) = train();
    assert_eq!(left_out, ["feh"], "of a label without bad estimates nothing can be learned");
    let report = &classifiers.labels[0].report;
    println!("{report:?}");
    assert!(report.brier < 0.8 * report.brier_of_constant && report.largest_departure < 0.05);
    assert!(report.outliers_others > 5.0 * report.outliers_trusted && report.n_others > 50);
    let found = classifiers.confidence(features.view()).unwrap();
    let distance: f64 = found.column(0).iter().zip(&probability).map(|(found, p)| (found - p).abs()).sum::<f64>() / N as f64;
    assert!(distance < 0.05, "{distance}");
    // A linear function cannot say what the product of two features does.
    let linear = ConfidenceOptions { hidden: vec![1], dropout: 0.0, ..options() };
    let (linear, _) =
        super::train(&linear, (names.clone(), features.view()), &ids, &measured, (1, &device), &mut |_, _| Ok(())).unwrap();
    assert!(linear.labels[0].report.brier > 1.03 * report.brier, "{} {}", linear.labels[0].report.brier, report.brier);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CONFIDENCE_FILE);
    assert!(Classifiers::read(folder.path()).unwrap().is_none());
    let text = classifiers.to_json().unwrap();
    std::fs::write(&path, &text).unwrap();
    let read = Classifiers::read(folder.path()).unwrap().unwrap();
    assert_eq!(read.confidence(features.view()).unwrap(), found);
    assert_eq!((read.to_json().unwrap(), &read.labels[0].report), (text.clone(), report));
    assert!(read.confidence(features.slice(ndarray::s![.., ..5])).is_err());
    for (from, to) in [
        ("\"format\":1", "\"format\":9"),
        ("\"outputs\":32", "\"outputs\":400000000"),
        ("\"x5\"", "\"x5\",\"x6\""),
        ("\"layer\":\"relu\"", "\"layer\":\"rel\""),
        ("\"slope\":", "\"slope\":1e999,\"slop\":"),
    ] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = Classifiers::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(CONFIDENCE_FILE), "{from}: {error}");
    }
    assert_eq!(train().0.to_json().unwrap(), text, "the same seed, the same bits");
}

#[test]
fn impossible_options_are_refused() {
    for (options, key) in [
        (ConfidenceOptions { hidden: Vec::new(), ..options() }, "hidden"),
        (ConfidenceOptions { dropout: 1.0, ..options() }, "dropout"),
        (ConfidenceOptions { batch: 0, ..options() }, "batch"),
        (ConfidenceOptions { held_out_fraction: 0.0, ..options() }, "held_out_fraction"),
        (ConfidenceOptions { weight_decay: -1.0, ..options() }, "weight_decay"),
    ] {
        assert!(options.validate().unwrap_err().to_string().contains(key), "{key}");
    }
}
