//! The mixture network on simulated binaries with known truth: offsets and fractions, what P_binary is worth,
//! and which binaries are found.

use super::identification::Identification;
use super::tests::{numbers, recipe};
use super::{Mixture, RegressionModel, train};
use crate::distance::columns::ColumnMap;
use crate::distance::mass_ratio::{EQUAL_MASSES, LUMINOSITY_POWER, magnitude_offset};
use crate::distance::options::ZeroPointChoice;
use crate::distance::{DistanceEstimator, DistanceOptions};
use crate::observations::{Grid, Observations};
use crate::package::{Package, Request};
use crate::quantity::Notices;
use crate::statistics::median;
use crate::table::{Column, ColumnSchema};
use crate::tensor::Device;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

const MIXTURE: &str = "
kind = 'regression'
description = 'magnitudes of single stars and equal binaries'
layer = [{ layer = 'linear', outputs = 24 }, { layer = 'tanh' }, { layer = 'linear', outputs = 24 }, { layer = 'tanh' }]
[inputs]
step = [{ step = 'standardise' }]
[target]
of = 'mixture_of_magnitudes'
magnitude = 'g_dereddened'
[training]
members = 1
batch = 128
plan = { epochs = 40, learning_rate = 0.004, schedule = { shape = 'cosine', end_fraction = 0.02 } }
[errors]
copies = 0
[baselines]
linear = false
nearest_neighbours = 0
boosting = false
";

/// Scatter of the magnitude that a spectrum does not tell.
const SCATTER: f64 = 0.12;
const WIDTH: usize = 24;

/// Which pairs there are.
#[derive(Clone, Copy)]
enum Pairs {
    None,
    /// A tenth, all of equal masses.
    Tenth,
    /// Two fifths, of mass ratios between 0 and 1.
    AllRatios,
}

/// A star's truth: its primary's M, and the mass ratio of a binary.
struct Truth {
    magnitude: f64,
    mass_ratio: Option<f64>,
}

/// Dwarfs at 0.1 to 1 kpc with spectra of their primaries, and parallaxes of 1 to 6 %.
fn survey(n: usize, first: i64, pairs: Pairs) -> (Observations, Vec<Truth>) {
    let mut flux = Array2::<f32>::zeros((n, WIDTH));
    let mut columns = [const { Vec::<f64>::new() }; 3];
    let mut truth = Vec::new();
    for (star, mut row) in flux.rows_mut().into_iter().enumerate() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(first as u64 + star as u64);
        let mass_ratio = match pairs {
            Pairs::None => None,
            Pairs::Tenth => (random.r#gen::<f64>() < 0.1).then_some(1.0),
            Pairs::AllRatios => {
                let ratio = random.r#gen::<f64>();
                (random.r#gen::<f64>() < 0.4).then_some(ratio)
            }
        };
        let distance = random.gen_range(0.1f64.ln()..0.0).exp();
        let fraction: f64 = random.gen_range(0.01..0.06);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let [temperature, metallicity] = [normal(), 0.3 * normal()];
        let magnitude = 5.2 - 1.2 * temperature - 0.5 * metallicity + 0.15 * temperature * temperature + SCATTER * normal();
        let brighter = mass_ratio.map_or(0.0, |ratio| magnitude_offset(ratio, LUMINOSITY_POWER));
        let parallax = distance.recip();
        for (w, pixel) in row.iter_mut().enumerate() {
            let x = w as f64 / WIDTH as f64 - 0.5;
            let depth = 0.3 * (temperature * x).tanh() + 0.2 * metallicity * (9.0 * x).cos();
            *pixel = (1.0 + depth + 0.005 * normal()) as f32;
        }
        let values =
            [magnitude - brighter + 5.0 * distance.log10() + 10.0, parallax * (1.0 + fraction * normal()), parallax * fraction];
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        truth.push(Truth { magnitude, mass_ratio });
    }
    let names = (0..WIDTH).map(|w| format!("p{w}")).collect();
    let grid = Grid::new((0..WIDTH).map(|w| 400.0 + w as f64).collect(), names).unwrap();
    let ids = (0..n as i64).map(|star| (first + star) << 20).collect();
    let [apparent, parallax, error] = columns;
    let observations = Observations::new(grid, ids, flux, Array2::from_elem((n, WIDTH), 0.005)).unwrap();
    let mut observations = observations.with_constraint("parallax", parallax, error).unwrap();
    observations.auxiliary.push(Column::nullable(ColumnSchema::new("g_dereddened", "mag", ""), apparent)).unwrap();
    (observations, truth)
}

/// Mixtures of new stars by a model, with their P_binary.
fn judged(model: RegressionModel, observations: &Observations) -> Vec<(Mixture, f64)> {
    let estimator = Arc::new(model).estimator(&Request::default()).unwrap();
    let table = estimator.estimate(observations, &|_| Ok(())).unwrap().table;
    let of = |name: &str| numbers(&table, name);
    let (single, offset, fraction) = (of("absolute_magnitude"), of("binary_offset"), of("single_fraction"));
    let (single_scatter, binary_scatter) = (of("single_scatter"), of("binary_scatter"));
    let apparent = observations.auxiliary.column("g_dereddened").unwrap().to_f64().unwrap();
    (0..single.len())
        .map(|star| {
            let mixture = Mixture {
                single_fraction: fraction[star],
                single: single[star],
                binary: single[star] - offset[star],
                single_scatter: single_scatter[star],
                binary_scatter: binary_scatter[star],
            };
            let (parallax, error) = observations.constraint("parallax", star).unwrap();
            (mixture, mixture.binary_probability(apparent[star], parallax, error))
        })
        .collect()
}

/// The recipe with so many networks, taught.
fn taught(members: usize, observations: &Observations) -> RegressionModel {
    let text = MIXTURE.replace("members = 1", &format!("members = {members}"));
    train(&recipe(&text), observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0
}

/// Of stars whose P_binary is in a bin, the mean of it and the share of binaries; prints all, and asks that
/// they agree within 0.02 and four errors.
fn reliability(judged: &[(Mixture, f64)], is_binary: &dyn Fn(usize) -> bool) {
    for edges in [0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.01].windows(2) {
        let inside: Vec<usize> = (0..judged.len()).filter(|&star| (edges[0]..edges[1]).contains(&judged[star].1)).collect();
        let n = inside.len() as f64;
        let mean = inside.iter().map(|&star| judged[star].1).sum::<f64>() / n;
        let share = inside.iter().filter(|&&star| is_binary(star)).count() as f64 / n;
        println!("P of {} to {}: {n} stars, P {mean:.3}, binaries {share:.3}", edges[0], edges[1]);
        let error = (mean * (1.0 - mean) / n).sqrt();
        assert!(inside.len() < 20 || (mean - share).abs() < 0.02 + 4.0 * error, "{edges:?}");
    }
}

/// Five networks of different seeds on `n` stars with a tenth of equal pairs, and what they say of `n_new`
/// others: offset and fraction of each network within the limits, and of all P_binary, purity and
/// completeness.
fn offsets_fractions_and_probabilities(n: usize, n_new: usize, limits: [f64; 2]) {
    let model = taught(5, &survey(n, 0, Pairs::Tenth).0);
    assert_eq!(model.card.warnings, Vec::<String>::new());
    let (new, truth) = survey(n_new, 50_000_000, Pairs::Tenth);
    let everyone: Vec<usize> = (0..n_new).collect();
    let rows = model.inputs.rows(&new, &everyone, None).unwrap().values;
    let identified = Identification::of(&model, &new, &rows, &everyone).unwrap().unwrap();
    println!("offsets and fractions of five networks {:.4?}, ln L above one Gaussian {:.0}", identified.members, identified.gain);
    for [offset, fraction] in &identified.members {
        assert!((offset - EQUAL_MASSES).abs() < limits[0] && (fraction - 0.9).abs() < limits[1], "{identified:?}");
    }
    // The control: one Gaussian is worse by e^100 and more.
    assert!(identified.gain > 100.0, "{identified:?}");
    let found = judged(model, &new);
    let all = |of: &dyn Fn(&Mixture) -> f64| median(&found.iter().map(|(mixture, _)| of(mixture)).collect::<Vec<_>>());
    let scatters = [all(&|mixture| mixture.single_scatter), all(&|mixture| mixture.binary_scatter)];
    let shift = median(&(0..n_new).map(|star| found[star].0.single - truth[star].magnitude).collect::<Vec<_>>());
    println!("scatters {scatters:.3?}, M of single stars {shift:+.4}");
    assert!(shift.abs() < 0.02 && scatters.iter().all(|scatter| (scatter - SCATTER).abs() < 0.03), "{shift} {scatters:?}");
    reliability(&found, &|star| truth[star].mass_ratio.is_some());
    let binaries = truth.iter().filter(|star| star.mass_ratio.is_some()).count() as f64;
    for threshold in [0.1, 0.3, 0.5, 0.7, 0.9, 0.99] {
        let flagged: Vec<usize> = (0..n_new).filter(|&star| found[star].1 > threshold).collect();
        let right = flagged.iter().filter(|&&star| truth[star].mass_ratio.is_some()).count() as f64;
        let (purity, completeness) = (right / flagged.len() as f64, right / binaries);
        println!("P > {threshold}: purity {purity:.3}, completeness {completeness:.3}");
        assert!(threshold != 0.7 || purity > 0.97 && completeness > 0.94, "{purity} {completeness}");
    }
}

#[test]
fn equal_binaries_are_told_apart_with_probabilities_that_mean_what_they_say() {
    offsets_fractions_and_probabilities(6000, 6000, [0.03, 0.015]);
}

/// The control: where there are no pairs, none is found, and the training says that it tells none.
#[test]
fn single_stars_alone_are_no_pairs() {
    let model = taught(2, &survey(4000, 200_000_000, Pairs::None).0);
    println!("{:?}", model.card.warnings);
    assert!(model.card.warnings.iter().any(|warning| warning.contains("pairs are not told")), "{:?}", model.card.warnings);
    let (text, _) = model.describe();
    assert!(text.contains("warning: "), "{text}");
    let found = judged(model, &survey(4000, 250_000_000, Pairs::None).0);
    let flagged = found.iter().filter(|(_, probability)| *probability > 0.7).count();
    assert!(flagged < 12, "{flagged} of 4000");
}

/// What `distance` makes of a catalogue of mixtures is what the network says: two sums of the same integral.
#[test]
fn distances_take_the_mixture_of_every_star() {
    let model = taught(1, &survey(2000, 400_000_000, Pairs::Tenth).0);
    let (new, _) = survey(300, 450_000_000, Pairs::Tenth);
    let estimator = Arc::new(model.clone()).estimator(&Request::default()).unwrap();
    let mut table = estimator.estimate(&new, &|_| Ok(())).unwrap().table;
    let measured: Vec<(f64, f64)> = (0..300).map(|star| new.constraint("parallax", star).unwrap()).collect();
    let (value, error): (Vec<f64>, Vec<f64>) = measured.into_iter().unzip();
    let apparent = new.auxiliary.column("g_dereddened").unwrap().to_f64().unwrap();
    for (name, unit, values) in [("parallax", "mas", value), ("parallax_error", "mas", error), ("g_dereddened", "mag", apparent)]
    {
        table.push(Column::nullable(ColumnSchema::new(name, unit, ""), values)).unwrap();
    }
    let columns = ColumnMap { magnitude: "g_dereddened".into(), extinction: "none".into(), ..ColumnMap::default() };
    let options = DistanceOptions { zero_point: ZeroPointChoice::None, ..DistanceOptions::default() };
    let stars = columns.find(&table, &options).unwrap().stars(&table, 0, &mut Notices::default()).unwrap();
    let mut distances = DistanceEstimator::new(options).unwrap();
    for (star, (_, expected)) in stars.iter().zip(judged(model, &new)) {
        let found = distances.estimate(star).binary_probability.unwrap();
        assert!((found - expected).abs() < 2e-3, "{found} {expected}");
    }
}

/// Mixtures of other versions stand for other numbers: they are refused.
#[test]
fn mixtures_of_another_format_are_refused() {
    let model = taught(1, &survey(400, 300_000_000, Pairs::Tenth).0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    model.save(&path, false).unwrap();
    assert_eq!(RegressionModel::read(&path).unwrap().sha256, model.sha256);
    let description = path.join("model.toml");
    let text = std::fs::read_to_string(&description).unwrap();
    std::fs::write(&description, text.replacen("format = 2", "format = 1", 1)).unwrap();
    let error = RegressionModel::read(&path).unwrap_err().to_string();
    assert!(error.contains("format") && error.contains("train it again"), "{error}");
}

/// Pairs of all mass ratios, of which the mixture knows two classes alone: equal masses are found, low ratios
/// are not, and hardly a single star passes for one.
fn curves(n: usize, n_new: usize) {
    let (observations, _) = survey(n, 100_000_000, Pairs::AllRatios);
    let model = taught(2, &observations);
    println!("pairs of all mass ratios: {:?} {:?}", model.card.metrics, model.card.warnings);
    let (new, truth) = survey(n_new, 150_000_000, Pairs::AllRatios);
    let found = judged(model, &new);
    let flagged = |star: usize| found[star].1 > 0.7;
    let share = |stars: &dyn Fn(&Truth) -> bool| {
        let inside: Vec<usize> = (0..n_new).filter(|&star| stars(&truth[star])).collect();
        (inside.len(), inside.iter().filter(|&&star| flagged(star)).count() as f64 / inside.len() as f64)
    };
    let mut completeness = Vec::new();
    for low in [0.0, 0.4, 0.6, 0.7, 0.8, 0.9] {
        let high = if low < 0.6 { [0.4, 0.6][(low * 2.5) as usize] } else { low + 0.1 };
        let (n, found) = share(&|star| star.mass_ratio.is_some_and(|ratio| (low..high).contains(&ratio)));
        println!("q {low} to {high:.1}: {n} pairs, found {found:.3}");
        completeness.push(found);
    }
    let (n_single, false_positives) = share(&|star| star.mass_ratio.is_none());
    let all = (0..n_new).filter(|&star| flagged(star));
    let above = all.clone().filter(|&star| truth[star].mass_ratio.is_some_and(|ratio| ratio > 0.6)).count() as f64;
    let (pairs, n_flagged) = (all.clone().filter(|&star| truth[star].mass_ratio.is_some()).count() as f64, all.count() as f64);
    println!(
        "of {n_single} single stars {false_positives:.4} pass; of {n_flagged} found {:.3} are pairs, {:.3} of q > 0.6",
        pairs / n_flagged,
        above / n_flagged
    );
    assert!(completeness.windows(2).all(|pair| pair[1] > pair[0] - 0.03), "{completeness:?}");
    assert!(completeness[0] < 0.1 && completeness[5] > 0.7 && false_positives < 0.03 && pairs / n_flagged > 0.85);
}

#[test]
fn pairs_are_found_the_better_the_more_equal_they_are() {
    curves(6000, 6000);
}

/// `cargo test --release --lib regress::mixture_tests -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of minutes: the figures of the documentation"]
fn the_figures_of_the_documentation() {
    offsets_fractions_and_probabilities(20_000, 40_000, [0.01, 0.01]);
    curves(20_000, 40_000);
}
