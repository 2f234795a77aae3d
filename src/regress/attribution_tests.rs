//! Attributions against central differences, their sum, and exact Shapley values.

use super::luminosity_tests::noisy;
use super::tests::{LABELS, LUMINOSITY, observed, recipe, survey, trained};
use super::*;
use crate::tensor::Device;
use ndarray::Array2;

#[test]
fn slopes_of_the_steps_are_central_differences() {
    let width = 9;
    let row: Vec<f64> = (0..width).map(|w| 0.6 + 0.5 * (w as f64 * 1.7).sin() + 0.07 * w as f64).collect();
    let components = Array2::from_shape_fn((4, width), |(k, w)| ((k * 3 + w) as f32 * 0.8).cos());
    let scales: Vec<f32> = (0..width).map(|w| 0.3 + 0.1 * w as f32).collect();
    let steps = [
        FittedStep::DivideByMedian,
        FittedStep::SubtractMean,
        FittedStep::SignedLogarithm,
        FittedStep::UnitNorm,
        FittedStep::Asinh { softening: scales.clone() },
        FittedStep::ReplaceOutside { minimum: 0.3, maximum: 1.3, value: 1.0 },
        FittedStep::RelativeTo { position: 3 },
        FittedStep::Standardise { mean: vec![0.1; width], deviation: scales },
        FittedStep::of_components(vec![0.2; width], components),
    ];
    for step in steps {
        let apply = |row: &[f64]| step.apply(Array2::from_shape_fn((1, width), |(_, w)| row[w] as f32)).row(0).to_vec();
        let after: Vec<f64> = (0..apply(&row).len()).map(|k| 1.0 + 0.3 * k as f64).collect();
        let sum = |row: &[f64]| apply(row).iter().zip(&after).map(|(y, weight)| f64::from(*y) * weight).sum::<f64>();
        let found = step.pull_back(&row, &after);
        for w in 0..width {
            let at = |change: f64| {
                let mut moved = row.clone();
                moved[w] += change;
                sum(&moved)
            };
            // Steps work in single precision.
            let difference = (at(2e-3) - at(-2e-3)) / 4e-3;
            assert!((difference - found[w]).abs() < 5e-3 * (1.0 + difference.abs()), "{step:?}, {w}: {difference} {}", found[w]);
        }
    }
}

/// Completeness below 1 %, for labels and for luminosities, and what is known of the spectra: lines tell more
/// than what is between them.
#[test]
fn attributions_sum_to_the_prediction() {
    let text = LABELS.replace("epochs = 25", "epochs = 8");
    let observations = observed(survey(1500, 0), &recipe(&text));
    let (model, _) = trained(&text, &observations);
    let whole: Vec<usize> =
        (0..observations.len()).filter(|&star| observations.n_fluxes(star) == observations.grid.len()).take(8).collect();
    let rows: Vec<Vec<f32>> = whole.iter().map(|&star| observations.flux.row(star).to_vec()).collect();
    for row in &rows[1..] {
        let found = model.attribution(row, &rows[0], 1024).unwrap();
        for (k, difference) in found.difference.iter().enumerate() {
            // Of stars that hardly differ, one per cent of what stars differ by.
            let error = (found.values.row(k).sum() - difference).abs();
            assert!(error < 0.01 * difference.abs().max(model.scaling.scale[k]), "{k}: {error} of {difference}");
        }
    }
    assert!(model.attribution(&rows[0][1..], &rows[1], 8).is_err());

    let text = LUMINOSITY.replace("epochs = 30", "epochs = 12");
    let (observations, _) = noisy(3000, 0);
    let (model, _) = trained(&text, &observations);
    let mean = observations.flux.mean_axis(ndarray::Axis(0)).unwrap().to_vec();
    let mut share = vec![0.0; observations.grid.len()];
    for star in 0..20 {
        let found = model.attribution(&observations.flux.row(star).to_vec(), &mean, 1024).unwrap();
        assert!(found.incompleteness() < 0.01 || found.difference[0].abs() < 0.2, "{}", found.incompleteness());
        share.iter_mut().zip(found.values.row(0)).for_each(|(sum, value)| *sum += value.abs());
    }
    // Lines at 12, 24, 36, 48 and 60, 1.8 pixels wide; a network that has seen few stars uses other pixels
    // too.
    let is_core = |w: usize| [12, 24, 36, 48, 60].iter().any(|line| w.abs_diff(*line) <= 1);
    let of = |cores: bool| {
        let shares: Vec<f64> = (0..share.len()).filter(|w| is_core(*w) == cores).map(|w| share[w]).collect();
        shares.iter().sum::<f64>() / shares.len() as f64
    };
    println!("mean share of pixels in the cores of lines {:.3}, of others {:.3}", of(true), of(false));
    assert!(of(true) > of(false));
}

/// Thirds make the whole, attributions miss little of what predictions differ by (with one point much), lines
/// tell more than what is between them, and an entry that no star has tells nothing.
#[test]
fn maps_of_a_sample() {
    let text = LUMINOSITY.replace("epochs = 30", "epochs = 12");
    let (mut observations, _) = noisy(2000, 0);
    let (model, _) = trained(&text, &observations);
    observations.flux_error.column_mut(30).fill(f32::INFINITY);
    let options = MapOptions { stars: 90, baselines: 3, points: 32, split: vec!["absolute_magnitude".into()] };
    let of = |options: &MapOptions| model.attribution_maps(&observations, options, &mut |_| Ok(())).unwrap();
    let maps = of(&options);
    assert_eq!(maps.classes.iter().map(|class| class.n_stars).collect::<Vec<_>>(), [90, 30, 30, 30]);
    for w in (0..observations.grid.len()).filter(|w| *w != 30) {
        let thirds = maps.classes[1..].iter().map(|class| class.modulus[[0, w]]).sum::<f64>() / 3.0;
        assert!((thirds - maps.classes[0].modulus[[0, w]]).abs() < 1e-9 * thirds);
    }
    assert!(maps.classes.iter().all(|class| class.modulus[[0, 30]].is_nan()));
    let coarse = of(&MapOptions { points: 1, ..options.clone() });
    println!("incompleteness {:?}, with one point {:?}", maps.incompleteness, coarse.incompleteness);
    assert!(maps.incompleteness[0] < 0.01 && coarse.incompleteness[0] > 3.0 * maps.incompleteness[0]);
    let mean = |at: &[usize]| at.iter().map(|w| maps.classes[0].modulus[[0, *w]]).sum::<f64>() / at.len() as f64;
    assert!(mean(&[12, 24, 36, 48, 60]) > mean(&[6, 18, 42, 54, 66]));

    // What every second star lacks is averaged over those that have it, and over baselines that do; half of
    // the baselines scatter a little more. (Divided by all baselines it would be a half.)
    let mut gappy = observations.clone();
    (0..gappy.len()).step_by(2).for_each(|star| gappy.flux_error[[star, 12]] = f32::INFINITY);
    let many = MapOptions { baselines: 16, ..options.clone() };
    let entry = |observations: &crate::observations::Observations| {
        model.attribution_maps(observations, &many, &mut |_| Ok(())).unwrap().classes[0].modulus[[0, 12]]
    };
    let (whole, with_gaps) = (entry(&observations), entry(&gappy));
    println!("entry 12: {whole:.4}, half of it missing {with_gaps:.4}");
    assert!((0.8..1.35).contains(&(with_gaps / whole)));

    let refused = |options: &MapOptions| model.attribution_maps(&observations, options, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(refused(&MapOptions { split: vec!["age".into()], ..options.clone() }).contains("absolute_magnitude"));
    let twice = vec!["absolute_magnitude".to_owned(); 2];
    assert!(refused(&MapOptions { split: twice, ..options.clone() }).contains("it twice"));
    assert!(refused(&MapOptions { stars: 5, ..options }).contains("at least 6"));
}

/// Exact Shapley values of six entries, by all 64 subsets.
#[test]
fn attributions_are_near_exact_shapley_values() {
    let text = LUMINOSITY
        .replace("{ step = 'subtract_mean' }, { step = 'signed_logarithm' }, { step = 'unit_norm' }, ", "")
        .replace("epochs = 30", "epochs = 6");
    let (observations, _) = noisy(2000, 0);
    let kept = [12, 24, 36, 48, 60, 70];
    let flux = observations.flux.select(ndarray::Axis(1), &kept);
    let errors = observations.flux_error.select(ndarray::Axis(1), &kept);
    let grid =
        crate::observations::Grid::new(kept.map(|w| 500.0 + w as f64).to_vec(), kept.map(|w| format!("pixel_{w}")).to_vec());
    let mut small = crate::observations::Observations::new(grid.unwrap(), observations.ids.clone(), flux, errors).unwrap();
    let (parallax, error) = (0..2000).map(|star| observations.constraints["parallax"].get(star).unwrap()).unzip();
    small = small.with_constraint("parallax", parallax, error).unwrap();
    small.auxiliary = observations.stars.auxiliary;
    let (model, _) = train(&recipe(&text), &small, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
    let mean = small.flux.mean_axis(ndarray::Axis(0)).unwrap().to_vec();
    let factorial = |n: usize| (1..=n).product::<usize>() as f64;
    let (mut off, mut whole) = (0.0, 0.0);
    for star in 0..5 {
        let row = small.flux.row(star).to_vec();
        let of = |subset: usize| {
            let mixed: Vec<f32> = (0..6).map(|w| if subset >> w & 1 == 1 { row[w] } else { mean[w] }).collect();
            model.attribution(&mixed, &mean, 1).unwrap().difference[0]
        };
        let all: Vec<f64> = (0..64).map(of).collect();
        let found = model.attribution(&row, &mean, 256).unwrap();
        for w in 0..6 {
            let shapley: f64 = (0..64_usize)
                .filter(|subset| subset >> w & 1 == 0)
                .map(|subset| {
                    let n = subset.count_ones() as usize;
                    factorial(n) * factorial(5 - n) / factorial(6) * (all[subset | 1 << w] - all[subset])
                })
                .sum();
            println!("star {star}, entry {w}: {:+.3} mag, Shapley {shapley:+.3}", found.values[[0, w]]);
            off += (found.values[[0, w]] - shapley).abs();
            whole += shapley.abs();
        }
    }
    // Both divide the same difference among the entries, and a network that is not additive differently.
    println!("differences from Shapley values: {:.0} % of these", 100.0 * off / whole);
    assert!(off < 0.3 * whole, "{off} of {whole}");
}
