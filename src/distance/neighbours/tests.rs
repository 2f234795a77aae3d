//! Neighbours against simulated truth.

use super::bands::Band;
use super::flags;
use super::luminosity::{LuminosityControl, LuminosityControls, by_inverse_parallaxes};
use super::options::NeighbourOptions;
use super::reddening::ColourControls;
use super::simulated::{Simulated, Survey, distance_options, neighbours};
use super::{LabelledStar, Neighbours};
use crate::distance::{DistanceEstimator, Star};
use crate::statistics::{Measured, median, pull_statistics, robust_scatter};

/// Estimate less truth, and its error, of E and M of all stars that have both, and of log₁₀ d of magnitude,
/// extinction and absolute magnitude.
#[derive(Default)]
struct Compared {
    reddening: Vec<[f64; 2]>,
    magnitude: Vec<[f64; 2]>,
    log10_distance: Vec<[f64; 2]>,
    n_poor: usize,
    flags: i32,
}

fn compared(found: &Neighbours, targets: &[Simulated]) -> Compared {
    let mut compared = Compared::default();
    let mut estimator = DistanceEstimator::new(distance_options()).unwrap();
    for target in targets {
        let estimate = found.estimate(target.id, &target.labelled);
        compared.flags |= estimate.flags;
        if estimate.flags & !(flags::POOR_COLOURS | flags::OTHER_BAND) != 0 {
            continue;
        }
        compared.n_poor += usize::from(estimate.flags & flags::POOR_COLOURS != 0);
        let pair = estimate.reddening.as_ref().unwrap().reddening;
        compared.reddening.push([pair.value - target.reddening, pair.error]);
        let magnitude = estimate.absolute_magnitude.as_ref().unwrap().magnitude;
        compared.magnitude.push([magnitude.value - target.absolute_magnitude, magnitude.error]);
        let mut star = target.star;
        estimate.put_into(&mut star);
        let parallax = estimator.estimate(&star).spectroscopic_parallax.unwrap();
        let error = std::f64::consts::LOG10_E * parallax.error / parallax.value;
        compared.log10_distance.push([-parallax.value.log10() - target.distance.log10(), error]);
    }
    compared
}

/// Median and scatter of the pulls, median and scatter of the differences.
fn numbers(pairs: &[[f64; 2]]) -> [f64; 4] {
    let pulls: Vec<f64> = pairs.iter().map(|[difference, error]| difference / error).collect();
    let differences: Vec<f64> = pairs.iter().map(|[difference, _]| *difference).collect();
    let found = pull_statistics(&pulls);
    [found.median.value, found.scatter.value, median(&differences), robust_scatter(&differences)]
}

fn of_seed(controls: usize, targets: usize, seed: u64) -> Compared {
    let found = neighbours(&Survey::controls(controls, seed).stars(), &NeighbourOptions::default()).unwrap();
    compared(&found, &Survey::targets(targets, seed).stars())
}

#[test]
fn reddenings_magnitudes_and_distances_are_the_truth_within_their_errors() {
    for seed in [1, 2] {
        let found = of_seed(6000, 1500, seed);
        for (what, pairs, largest) in
            [("E", &found.reddening, 0.03), ("M", &found.magnitude, 0.3), ("log d", &found.log10_distance, 0.06)]
        {
            let [centre, width, bias, scatter] = numbers(pairs);
            println!("seed {seed}, {what}: pulls {centre:.3} {width:.3}; {bias:.4} +- {scatter:.4} of {}", pairs.len());
            assert!(
                centre.abs() < 0.15 && (0.9..1.1).contains(&width) && scatter < largest,
                "{what}: {centre} {width} {scatter}"
            );
        }
        assert!(found.reddening.len() > 1200, "most stars are surrounded by controls: {}", found.reddening.len());
        assert!(found.n_poor < 15, "{} of a thousand are poor", found.n_poor);
    }
}

/// The same at full size, for the documentation.
#[test]
#[ignore = "minutes; figures of the documentation"]
fn the_same_in_full() {
    let mut all: Vec<[[f64; 4]; 3]> = Vec::new();
    for seed in 1..=5 {
        let found = of_seed(20_000, 10_000, seed);
        let of_seed = [&found.reddening, &found.magnitude, &found.log10_distance].map(|pairs| numbers(pairs));
        println!("seed {seed}: {of_seed:.4?}, {} stars, {} poor", found.reddening.len(), found.n_poor);
        all.push(of_seed);
    }
    for (place, what) in ["E(B-V)", "M", "log10 d"].into_iter().enumerate() {
        let row: Vec<String> = (0..4)
            .map(|number| {
                let values: Vec<f64> = all.iter().map(|of_seed| of_seed[place][number]).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
                format!("{mean:.4} ± {:.4}", variance.sqrt())
            })
            .collect();
        println!("{what}: pulls' median, scatter, median and scatter of the differences: {}", row.join(", "));
    }
    controls_of_reddening(20_000, 10_000, 1);
    controls_of_magnitudes(20_000, 3000, 1);
}

/// What is lost without the dependence of extinctions on labels, and with the nearest neighbour alone.
fn controls_of_reddening(controls: usize, targets: usize, seed: u64) -> [[f64; 4]; 3] {
    let (controls, targets) = (Survey::controls(controls, seed).stars(), Survey::targets(targets, seed).stars());
    let options = NeighbourOptions::default();
    let good = compared(&neighbours(&controls, &options).unwrap(), &targets).reddening;
    let constant = |band: &Band| Band {
        temperature: [band.extinction_at(5800.0, 0.0, 1e-6, 1.0).value / 1e-6, 0.0, 0.0, 0.0],
        extinction: [0.0; 3],
        mixed: [0.0; 3],
        ..band.clone()
    };
    let same_for_all = NeighbourOptions { bands: options.bands.iter().map(constant).collect(), ..options.clone() };
    let without_labels = compared(&neighbours(&controls, &same_for_all).unwrap(), &targets).reddening;
    let nearest = targets.iter().map(|target| {
        let square = |control: &&Simulated| -> f64 {
            let pairs = control.labelled.coordinates.iter().zip(&target.labelled.coordinates);
            pairs.map(|(a, b)| (a.value - b.value).powi(2)).sum()
        };
        let control = controls.iter().min_by(|a, b| square(a).total_cmp(&square(b))).unwrap();
        // Of BP − RP, as a star pair.
        let at =
            |star: &LabelledStar, band: usize, reddening| options.bands[band].extinction_at(star.teff, star.feh, reddening, 3.1);
        let colour = |star: &LabelledStar| star.magnitudes[0].value - star.magnitudes[2].value;
        let of_map = |band| at(&control.labelled, band, control.labelled.map.value).value;
        let excess = colour(&target.labelled) - colour(&control.labelled) + of_map(0) - of_map(2);
        let mut reddening = 0.0;
        for _ in 0..20 {
            let [bp, rp] = [0, 2].map(|band| at(&target.labelled, band, reddening));
            reddening += (excess - bp.value + rp.value) / (bp.per_reddening - rp.per_reddening);
        }
        [reddening - target.reddening, 1.0]
    });
    let nearest: Vec<[f64; 2]> = nearest.collect();
    let found = [&good, &without_labels, &nearest].map(|pairs| numbers(pairs));
    println!("E(B-V), without dependence on labels, nearest alone: {found:.4?}");
    found
}

#[test]
fn neither_constant_coefficients_nor_one_neighbour_do_it() {
    let [good, without_labels, nearest] = controls_of_reddening(6000, 1500, 3);
    assert!((0.9..1.1).contains(&good[1]), "{good:?}");
    assert!(without_labels[1] > 1.2 || without_labels[0].abs() > 0.3, "{without_labels:?}");
    assert!(nearest[3] > 1.3 * good[3], "{nearest:?}");
}

/// M of giants so far that parallaxes are of one to ten errors: by the likelihood and by 1/ϖ above five
/// errors.
fn controls_of_magnitudes(controls: usize, targets: usize, seed: u64) -> [[f64; 4]; 2] {
    let far = |survey: Survey| Survey { farther: 4.0, ..survey }.stars();
    let controls: Vec<Simulated> = far(Survey::controls(controls, seed)).into_iter().filter(|star| star.is_giant).collect();
    let targets: Vec<Simulated> = far(Survey::targets(targets, seed)).into_iter().filter(|star| star.is_giant).collect();
    let options = NeighbourOptions::default();
    let dereddened = |star: &Simulated| {
        let extinction = options.bands[1].extinction_at(star.labelled.teff, star.labelled.feh, star.labelled.map.value, 3.1);
        let magnitude = Measured { value: star.labelled.magnitudes[1].value - extinction.value, error: 0.02 };
        LuminosityControl { parallax: star.star.parallax, magnitude }
    };
    let of: Vec<(i64, &LabelledStar, LuminosityControl)> =
        controls.iter().map(|star| (star.id, &star.labelled, dereddened(star))).collect();
    let ratio: Vec<f64> = controls.iter().map(|star| star.star.parallax.value / star.star.parallax.error).collect();
    println!("median parallax over error {:.2}, negative {}", median(&ratio), ratio.iter().filter(|ratio| **ratio < 0.0).count());
    let space = LuminosityControls::new(&of);
    let (mut likelihood, mut cut) = (Vec::new(), Vec::new());
    for target in &targets {
        let truth = target.absolute_magnitude;
        let star = (target.id, &target.labelled);
        if let Some(found) = space.magnitude(star, (100, 30)).filter(|found| found.is_surrounded) {
            likelihood.push([found.magnitude.value - truth, found.magnitude.error]);
        }
        if let Some(found) = by_inverse_parallaxes(&space, star, 100, 5.0) {
            cut.push([found.value - truth, found.error]);
        }
    }
    let found = [&likelihood, &cut].map(|pairs| numbers(pairs));
    println!("M by the likelihood, by inverse parallaxes above five errors: {found:.4?}, {} stars", likelihood.len());
    found
}

#[test]
fn poor_parallaxes_tell_magnitudes_without_bias_and_a_cut_does_not() {
    let [likelihood, cut] = controls_of_magnitudes(8000, 3000, 4);
    assert!(likelihood[2].abs() < 0.04 && (0.85..1.15).contains(&likelihood[1]), "{likelihood:?}");
    assert!(cut[2].abs() > 4.0 * likelihood[2].abs().max(0.01), "{cut:?}");
}

#[test]
fn pairs_among_the_controls_leave_the_magnitude_that_of_single_stars() {
    let controls = Survey { pairs: 0.1, ..Survey::controls(6000, 5) }.stars();
    let found = neighbours(&controls, &NeighbourOptions::default()).unwrap();
    let of = |pairs: f64| {
        let targets = Survey { pairs, ..Survey::targets(800, 6) }.stars();
        let mut estimator = DistanceEstimator::new(distance_options()).unwrap();
        let estimates = targets.iter().map(|target| {
            let mut star = target.star;
            found.estimate(target.id, &target.labelled).put_into(&mut star);
            (estimator.estimate(&star), target.clone())
        });
        estimates.collect::<Vec<_>>()
    };
    let near = |star: &Star| star.parallax.value > 20.0 * star.parallax.error;
    let found_of = |pairs: f64| {
        let stars: Vec<_> =
            of(pairs).into_iter().filter(|(estimate, of)| near(&of.star) && estimate.is_binary.is_some()).collect();
        stars.iter().filter(|(estimate, _)| estimate.is_binary == Some(true)).count() as f64 / stars.len() as f64
    };
    let [single, pair] = [found_of(0.0), found_of(1.0)];
    println!("taken for pairs: {single:.3} of single stars, {pair:.3} of pairs");
    assert!(single < 0.06 && pair > 0.5, "{single} {pair}");
    let magnitudes = compared(&found, &Survey::targets(800, 6).stars()).magnitude;
    let [_, _, bias, _] = numbers(&magnitudes);
    assert!(bias.abs() < 0.05, "{bias}");
}

#[test]
fn controls_leave_themselves_out_and_missing_bands_are_done_without() {
    let stars = Survey::controls(3000, 7).stars();
    let found = neighbours(&stars, &NeighbourOptions::default()).unwrap();
    // Its own colours, of a thousand magnitudes, would pull the estimate.
    let mut odd = stars[0].labelled.clone();
    odd.magnitudes.iter_mut().enumerate().for_each(|(band, magnitude)| magnitude.value += band as f64);
    let mut others = stars.clone();
    others[0].labelled = odd;
    let with_odd = neighbours(&others, &NeighbourOptions::default()).unwrap();
    let of = |found: &Neighbours, star: &LabelledStar| found.estimate(stars[0].id, star).reddening.unwrap().reddening;
    assert_eq!(of(&found, &stars[0].labelled), of(&with_odd, &stars[0].labelled));
    let target = &Survey::targets(1, 8).stars()[0];
    let whole = found.estimate(target.id, &target.labelled);
    let without = |bands: &[usize]| {
        let mut star = target.labelled.clone();
        bands.iter().for_each(|&band| star.magnitudes[band] = Measured { value: f64::NAN, error: f64::NAN });
        found.estimate(target.id, &star)
    };
    let [all, some] = [whole, without(&[0, 4])].map(|estimate| estimate.reddening.unwrap());
    assert!(some.n_dof == 2 && all.n_dof == 4 && some.reddening.error > all.reddening.error);
    assert!((some.reddening.value - all.reddening.value).abs() < 5.0 * some.reddening.error);
    let two = without(&[0, 3, 4, 5]);
    assert!(two.flags & flags::FEW_BANDS != 0 && two.reddening.unwrap().n_dof == 0);
    let one = without(&[0, 1, 2, 3, 4]);
    assert!(one.flags & flags::NO_COLOUR != 0 && one.flags & flags::OTHER_BAND != 0 && one.reddening.is_none());
    assert!(without(&[1, 5]).flags & flags::NO_BAND != 0);
    let mut no_labels = target.labelled.clone();
    no_labels.coordinates[1].value = f64::INFINITY;
    assert_eq!(found.estimate(target.id, &no_labels).flags, flags::NO_LABELS);
    let mut hot = target.labelled.clone();
    hot.coordinates[0].value += 30.0;
    let far = found.estimate(target.id, &hot);
    assert!(far.flags & flags::FAR != 0 && far.flags & flags::NOT_SURROUNDED != 0, "{}", far.flags);
}

#[test]
fn too_few_controls_are_said() {
    let stars = Survey::controls(20, 9).stars();
    let error = neighbours(&stars, &NeighbourOptions::default()).unwrap_err().to_string();
    assert!(error.contains("at least 30 stars"), "{error}");
    let none = ColourControls::new(&[], &NeighbourOptions::default().bands, vec![0, 1], 3.1);
    assert!(none.is_empty());
}

#[test]
fn errors_of_labels_that_move_extinction_and_magnitude_together_are_counted_together() {
    let found = neighbours(&Survey::controls(6000, 10).stars(), &NeighbourOptions::default()).unwrap();
    let targets = Survey { label_errors: 2.0, ..Survey::targets(1000, 10) }.stars();
    let with = compared(&found, &targets).log10_distance;
    let mut estimator = DistanceEstimator::new(distance_options()).unwrap();
    let apart: Vec<[f64; 2]> = targets
        .iter()
        .filter_map(|target| {
            let mut star = target.star;
            found.estimate(target.id, &target.labelled).put_into(&mut star);
            star.magnitude_covariance = 0.0;
            let parallax = estimator.estimate(&star).spectroscopic_parallax?;
            let error = std::f64::consts::LOG10_E * parallax.error / parallax.value;
            Some([-parallax.value.log10() - target.distance.log10(), error])
        })
        .collect();
    let [with, apart] = [&with, &apart].map(|pairs| numbers(pairs));
    println!("log d with and without the covariance: {with:.3?} {apart:.3?}");
    assert!((with[1] - 1.0).abs() < (apart[1] - 1.0).abs() + 0.05, "{with:?} {apart:?}");
}

/// Over errors of labels far larger than their scales, colours and magnitudes are no straight lines.
#[test]
fn labels_that_say_little_are_flagged() {
    let found = neighbours(&Survey::controls(6000, 11).stars(), &NeighbourOptions::default()).unwrap();
    let of = |label_errors: f64| {
        let targets = Survey { label_errors, ..Survey::targets(1500, 11) }.stars();
        let surrounded = targets.iter().filter_map(|target| {
            let estimate = found.estimate(target.id, &target.labelled);
            let is_surrounded = estimate.flags & (flags::NOT_SURROUNDED | flags::FAR) == 0;
            let pair = estimate.reddening.filter(|_| is_surrounded)?.reddening;
            Some((estimate.flags & flags::UNCERTAIN_LABELS != 0, [pair.value - target.reddening, pair.error]))
        });
        let surrounded: Vec<(bool, [f64; 2])> = surrounded.collect();
        let flagged = surrounded.iter().filter(|(is_flagged, _)| *is_flagged).count() as f64 / surrounded.len() as f64;
        let pulls = numbers(&surrounded.iter().map(|(_, pair)| *pair).collect::<Vec<_>>());
        println!("labels in error {label_errors} times as usual: pulls {:.3} {:.3}, {flagged:.3} flagged", pulls[0], pulls[1]);
        (pulls[1], flagged)
    };
    let [usual, several, _, large] = [1.0, 3.0, 6.0, 15.0].map(of);
    assert!(usual.1 == 0.0 && (0.9..1.1).contains(&usual.0), "{usual:?}");
    assert!(several.1 == 0.0 && (0.85..1.15).contains(&several.0), "{several:?}");
    assert!(large.1 == 1.0, "{large:?}");
}
