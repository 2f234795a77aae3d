use super::super::options::{BinaryOptions, ParallaxContent, ZeroPointChoice};
use super::super::prior::DistancePrior;
use super::super::simulated::{distances, stars_at};
use super::*;
use crate::statistics::{coverage, median};

fn estimator(options: DistanceOptions) -> DistanceEstimator {
    DistanceEstimator::new(options).unwrap()
}

fn estimates(stars: &[Star], options: DistanceOptions) -> Vec<Estimate> {
    let mut estimator = estimator(options);
    stars.iter().map(|star| estimator.estimate(star)).collect()
}

fn with(value: f64, error: f64) -> Measured {
    Measured { value, error }
}

/// No test of binarity: every star is single.
fn singles(prior: DistancePrior) -> DistanceOptions {
    let mut options = DistanceOptions { prior, ..DistanceOptions::default() };
    options.binary.distance = BinaryDistance::Single;
    options
}

/// Fraction of stars whose true distance is between the 16th and 84th percentile.
fn coverage_of(found: &[Estimate], truth: &[f64]) -> f64 {
    let pulls: Vec<f64> = found
        .iter()
        .zip(truth)
        .filter_map(|(estimate, &truth)| {
            let [low, _, high] = estimate.posterior?.percentiles;
            Some(if (low..=high).contains(&truth) { 0.0 } else { 2.0 })
        })
        .collect();
    assert!(pulls.len() > found.len() * 99 / 100);
    coverage(&pulls, 1.0).value
}

#[test]
fn the_sixty_eight_per_cent_hold_the_truth_in_as_many_stars() {
    let exponential = DistancePrior::ExponentialDensity { scale_length: 2.0 };
    for (prior, power, scale, limit, seed) in [
        (DistancePrior::FlatDistance, 0.0, 1e9, 15.0, 1),
        (DistancePrior::UniformDensity, 2.0, 1e9, 12.0, 2),
        (exponential, 2.0, 2.0, 100.0, 3),
    ] {
        let truth = distances(6000, power, scale, limit, seed);
        let options = DistanceOptions { range: [0.01, limit], ..singles(prior) };
        // Ends of the range that the stars fill are theirs: the density is cut there, and rightly.
        let found = estimates(&stars_at(&truth, 0.25, seed + 10), options);
        let kept: Vec<(Estimate, f64)> = found.into_iter().zip(truth).filter(|(found, _)| found.posterior.is_some()).collect();
        let (found, truth): (Vec<Estimate>, Vec<f64>) = kept.into_iter().unzip();
        let is_inside = |distance: f64| distance < 0.7 * limit;
        let inside: Vec<(Estimate, f64)> = found
            .iter()
            .copied()
            .zip(truth.iter().copied())
            .filter(|(found, _)| is_inside(found.posterior.unwrap().percentiles[1]))
            .collect();
        let (found, truth): (Vec<Estimate>, Vec<f64>) = inside.into_iter().unzip();
        let fraction = coverage_of(&found, &truth);
        assert!((0.66..=0.70).contains(&fraction), "{prior:?}: {fraction} of {}", found.len());
    }
}

/// Beyond 2 kpc the spectrum helps, and it never harms; the naive distance 1/ϖ is far off where parallaxes
/// are noise.
#[test]
fn both_together_beat_the_parallax_alone() {
    let prior = DistancePrior::ExponentialDensity { scale_length: 2.0 };
    for (near, far) in [(0.1, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 14.0)] {
        let truth: Vec<f64> = (0..1000).map(|star| near + (far - near) * (f64::from(star) + 0.5) / 1000.0).collect();
        let stars = stars_at(&truth, 0.25, 22);
        let alone: Vec<Star> = stars.iter().map(|star| Star { absolute_magnitude: NOTHING, ..*star }).collect();
        let spectra: Vec<Star> = stars.iter().map(|star| Star { parallax: NOTHING, ..*star }).collect();
        let errors = |stars: &[Star]| {
            let found = estimates(stars, singles(prior));
            let errors: Vec<f64> =
                found.iter().zip(&truth).map(|(found, truth)| (found.posterior.unwrap().percentiles[1] / truth).ln()).collect();
            median(&errors.iter().map(|error| error.abs()).collect::<Vec<f64>>())
        };
        let [both, parallax, spectrum] = [errors(&stars), errors(&alone), errors(&spectra)];
        assert!(both < 1.03 * parallax && both < 1.03 * spectrum, "{near}–{far}: {both} {parallax} {spectrum}");
        assert!(near < 2.0 || both < 0.95 * parallax, "{near}–{far}: {both} {parallax}");
        let naive: Vec<f64> = stars.iter().map(|star| star.parallax.value.recip().abs()).collect();
        let naive: Vec<f64> = naive.iter().zip(&truth).map(|(found, truth)| (found / truth).ln().abs()).collect();
        assert!(near < 2.0 || median(&naive) > 1.5 * both, "{near}–{far}: {} {both}", median(&naive));
    }
}

/// The controls of spec 3 A in their simplest form, without its networks and so without its numbers: one
/// class of giants at 10–30 kpc whose luminosity is to be found. The mean of the label, which is linear in
/// the parallax, is right; a cut in ϖ/σ (of 2: none of these giants has 10) and magnitudes from 1/ϖ > 0 are
/// far too faint.
#[test]
fn cuts_in_signal_to_noise_and_inverted_parallaxes_bias_luminosities() {
    use super::super::magnitude::{absolute_magnitude_of_label, ln_label_of_parallax};
    let truth: Vec<f64> = distances(60_000, 0.0, 1e9, 30.0, 31).into_iter().filter(|d| *d > 10.0).collect();
    let absolute = -0.5;
    let stars: Vec<(f64, Measured)> = stars_at(&truth, 0.1, 32)
        .iter()
        .zip(&truth)
        .map(|(star, distance)| {
            let parallax = &star.parallax;
            let error = 0.08;
            let noise = (parallax.value - distance.recip() - star.astrometry.zero_point().unwrap().value) / parallax.error;
            (absolute + 5.0 * distance.log10() + 10.0, with(distance.recip() + error * noise, error))
        })
        .collect();
    let negative = stars.iter().filter(|(_, parallax)| parallax.value < 0.0).count() as f64 / stars.len() as f64;
    assert!((0.14..0.35).contains(&negative), "{negative}");
    let (mut sums, mut inverted, mut cut) = ([0.0; 2], Vec::new(), Vec::new());
    for (magnitude, parallax) in &stars {
        let scale = 10f64.powf(2.0 - magnitude / 5.0);
        let weight = (scale / parallax.error).powi(2);
        sums[0] += weight * parallax.value / scale;
        sums[1] += weight;
        if let Some(label) = ln_label_of_parallax(*magnitude, parallax.value) {
            inverted.push(absolute_magnitude_of_label(label) - absolute);
            if parallax.value > 2.0 * parallax.error {
                cut.push(absolute_magnitude_of_label(label) - absolute);
            }
        }
    }
    let of_label = absolute_magnitude_of_label((sums[0] / sums[1]).ln()) - absolute;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(of_label.abs() < 0.05, "{of_label}");
    assert!(mean(&inverted) > 0.3, "fainter by {}", mean(&inverted));
    assert!(mean(&cut) > 1.5 && cut.len() > 100, "fainter by {}", mean(&cut));
}

#[test]
fn nothing_that_a_catalogue_holds_stops_it() {
    let good = stars_at(&[1.0], 0.2, 41)[0];
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300, -1e300, 1e-300, 3.0];
    let mut estimator = estimator(DistanceOptions { prior: DistancePrior::Galactic, ..DistanceOptions::default() });
    for value in odd {
        for error in odd {
            let number = with(value, error);
            for star in [
                Star { parallax: number, ..good },
                Star { magnitude: number, ..good },
                Star { extinction: number, ..good },
                Star { absolute_magnitude: number, ..good },
                Star { spectroscopic_parallax: number, ..good },
                Star { parallax: number, absolute_magnitude: number, magnitude: number, ..good },
                Star { position: [value, error], ruwe: value, snr: error, ..good },
            ] {
                let found = estimator.estimate(&star);
                let is_number = |posterior: DistancePosterior| {
                    let [low, middle, high] = posterior.percentiles;
                    low > 0.0 && low <= middle && middle <= high && high.is_finite() && posterior.mean.is_finite()
                };
                assert_eq!(found.posterior.is_none(), found.flags & flags::NO_DISTANCE != 0);
                assert!(found.posterior.is_none_or(is_number), "{star:?}: {found:?}");
            }
        }
    }
    let nothing = estimator.estimate(&Star::MISSING);
    let expected = flags::NO_PARALLAX | flags::NO_MAGNITUDE | flags::NO_ABSOLUTE_MAGNITUDE | flags::NO_EXTINCTION;
    assert_eq!(nothing.flags, expected | flags::NO_DISTANCE | flags::NO_POSITION);
    assert!(nothing.is_binary.is_none() && nothing.combination.is_none());
}

#[test]
fn flags_say_what_was_not_used() {
    let good = stars_at(&[1.0], 0.2, 51)[0];
    let flags_of = |star: Star| estimator(DistanceOptions::default()).estimate(&star).flags;
    assert_eq!(flags_of(good) & !flags::PARALLAX_ALONE, 0);
    let zero_point = flags::NO_ZERO_POINT | flags::ZERO_POINT_EXTRAPOLATED;
    assert_eq!(flags_of(Star { astrometry: Astrometry::MISSING, ..good }) & zero_point, flags::NO_ZERO_POINT);
    let bright = Astrometry { g_magnitude: 4.0, ..good.astrometry };
    assert_eq!(flags_of(Star { astrometry: bright, ..good }) & zero_point, flags::ZERO_POINT_EXTRAPOLATED);
    // The ecliptic latitude follows from the position.
    let somewhere = Astrometry { ecliptic_latitude: f64::NAN, ..good.astrometry };
    assert_eq!(flags_of(Star { astrometry: somewhere, ..good }) & zero_point, 0);
    let reddening = |value, error| {
        let found =
            estimator(DistanceOptions::default()).estimate(&Star { extinction: with(value, error), parallax: NOTHING, ..good });
        (found.flags & (flags::NEGATIVE_EXTINCTION | flags::NO_EXTINCTION | flags::BAD_PHOTOMETRY), found.posterior.is_some())
    };
    assert_eq!(reddening(-0.05, 0.05), (flags::NEGATIVE_EXTINCTION, true));
    assert_eq!(reddening(-0.5, 0.05), (flags::NEGATIVE_EXTINCTION, false));
    assert_eq!(reddening(-0.1, f64::NAN), (flags::NEGATIVE_EXTINCTION, false));
    assert_eq!(reddening(f64::NAN, 0.1), (flags::NO_EXTINCTION, false));
    assert_eq!(reddening(0.3, -1.0), (flags::BAD_PHOTOMETRY, false));
    let limited = Star { absolute_magnitude: NOTHING, parallax: with(0.05, 0.1), ..good };
    let expected = flags::RANGE_LIMITED | flags::NO_DISTANCE | flags::NO_ABSOLUTE_MAGNITUDE;
    assert_eq!(flags_of(limited), expected);
    assert_eq!(flags_of(Star { ruwe: 3.0, ..good }) & flags::HIGH_RUWE, flags::HIGH_RUWE);
}

#[test]
fn binaries_have_the_distance_of_their_parallax() {
    // An equal-mass binary at 1 kpc: the magnitude is 0.75 mag brighter than the primary's.
    let star = Star {
        parallax: with(1.0, 0.01),
        magnitude: with(12.0 - 0.7526, 0.01),
        extinction: with(0.0, 0.01),
        absolute_magnitude: with(2.0, 0.12),
        ..Star::MISSING
    };
    let options = DistanceOptions { zero_point: ZeroPointChoice::None, ..DistanceOptions::default() };
    let found = estimator(options).estimate(&star);
    assert!(found.is_binary == Some(true) && found.parallax_excess.unwrap() > 4.0 && found.binary_probability.unwrap() > 0.95);
    assert_eq!(found.flags, flags::PARALLAX_ALONE | flags::DISAGREE);
    assert!((found.posterior.unwrap().mode - 1.0).abs() < 0.001 && !found.combination.unwrap().has_spectrum);
    let mut mixed = options;
    mixed.binary.criterion = BinaryCriterion::Mixture;
    assert_eq!(estimator(mixed).estimate(&star).is_binary, Some(true));
    mixed.binary.distance = BinaryDistance::Single;
    assert!(estimator(mixed).estimate(&star).posterior.unwrap().mode < 0.997, "pulled towards the spectrum");
    // Fainter than predicted: whatever the mixture makes of it, no binary.
    let faint = Star { magnitude: with(13.2, 0.01), ..star };
    assert_eq!(estimator(mixed).estimate(&faint).is_binary, Some(false));
    assert_eq!(estimator(options).estimate(&Star { parallax: NOTHING, ..star }).is_binary, None);
}

#[test]
fn fitted_parallaxes_take_the_place_of_magnitudes() {
    let options = DistanceOptions { zero_point: ZeroPointChoice::None, ..DistanceOptions::default() };
    let star = Star { parallax: with(0.5, 0.05), spectroscopic_parallax: with(0.55, 0.03), ..Star::MISSING };
    let found = estimator(options).estimate(&star);
    assert!(found.flags == 0 && (found.parallax_excess.unwrap() - 0.05 / 0.03f64.hypot(0.05)).abs() < 1e-12);
    let posterior = found.posterior.unwrap();
    assert!((posterior.mode - 1.0 / 0.537).abs() < 0.03 && posterior.log10.error < 0.024, "{posterior:?}");
    // Photometry that is not needed is not flagged, whatever it is.
    for number in [with(f64::INFINITY, 0.1), with(-5.0, 0.1), with(12.0, -1.0)] {
        let odd = Star { magnitude: number, extinction: number, absolute_magnitude: number, ..star };
        let flagged = estimator(options).estimate(&odd);
        assert_eq!((flagged.flags, flagged.posterior), (0, found.posterior), "{number:?}");
        assert_ne!(estimator(options).estimate(&Star { spectroscopic_parallax: NOTHING, ..odd }).flags, 0);
    }
    // A fit that had the parallax in it: 1/σ² adds, so that the flux alone is what was put in above.
    let weights = [0.03f64.powi(-2), 0.05f64.powi(-2)];
    let whole =
        with((0.55 * weights[0] + 0.5 * weights[1]) / (weights[0] + weights[1]), (weights[0] + weights[1]).sqrt().recip());
    let fitted = DistanceOptions { spectroscopic_parallax: ParallaxContent::FluxAndParallax, ..options };
    let again = estimator(fitted).estimate(&Star { spectroscopic_parallax: whole, ..star });
    assert!((again.parallax_excess.unwrap() - found.parallax_excess.unwrap()).abs() < 1e-9);
    assert!((again.posterior.unwrap().percentiles[1] / posterior.percentiles[1] - 1.0).abs() < 0.01);
    // Nothing of the flux is left to test where the fit is no better than the measurement.
    let same = estimator(fitted).estimate(&Star { spectroscopic_parallax: star.parallax, ..star });
    assert!(same.parallax_excess.is_none() && same.posterior.is_some());
}

/// Single stars and a fifth of equal pairs at 0.5 to 4 kpc, parallaxes within 0.01 to 0.04 mas, M of single
/// stars known to 0.15 mag: the distance that weighs both moduli holds the truth as often as it says, and is
/// better than those of the parallax alone and of a single star.
#[test]
fn distances_by_mixtures_hold_for_single_stars_and_pairs() {
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, StandardNormal};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(71);
    let mixture = StarMixture { single_fraction: 0.8, offset: 0.7526, scatters: [0.15, 0.2] };
    let (mut stars, mut truth) = (Vec::new(), Vec::new());
    for _ in 0..6000 {
        let ln_distance = random.gen_range(0.5f64.ln()..4f64.ln());
        let is_pair = random.r#gen::<f64>() < 0.2;
        // It must not follow the distance, of which it would tell then.
        let error = random.gen_range(0.01..0.04);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let predicted = 5.0;
        let absolute = if is_pair { predicted - 0.7526 + 0.2 * normal() } else { predicted + 0.15 * normal() };
        let parallax = (-ln_distance).exp();
        stars.push(Star {
            parallax: with(parallax + error * normal(), error),
            magnitude: with(absolute + 10.0 + 5.0 * ln_distance * std::f64::consts::LOG10_E, 0.001),
            extinction: with(0.0, 0.001),
            // The error that the network gives for it is not the scatter of stars.
            absolute_magnitude: with(predicted, 0.03),
            mixture: Some(mixture),
            ..Star::MISSING
        });
        truth.push((ln_distance, is_pair));
    }
    let of = |distance: BinaryDistance| {
        let mut options = DistanceOptions {
            zero_point: ZeroPointChoice::None,
            prior: DistancePrior::FlatLogDistance,
            ..DistanceOptions::default()
        };
        options.binary = BinaryOptions { distance, criterion: BinaryCriterion::Mixture, ..options.binary };
        let mut estimator = estimator(options);
        let (mut inside, mut squares) = ([0.0; 2], 0.0);
        let mut probabilities = Vec::new();
        for (star, (ln_distance, is_pair)) in stars.iter().zip(&truth) {
            let found = estimator.estimate(star);
            let [low, median, high] = found.posterior.unwrap().percentiles.map(f64::ln);
            inside[usize::from(*is_pair)] += f64::from(u8::from((low..high).contains(ln_distance)));
            squares += (median - ln_distance).powi(2);
            probabilities.push(found.binary_probability.unwrap());
        }
        let pairs = truth.iter().filter(|(_, is_pair)| *is_pair).count() as f64;
        let n = truth.len() as f64;
        let all = (inside[0] + inside[1]) / n;
        let (single, pair, scatter) = (inside[0] / (n - pairs), inside[1] / pairs, (squares / n).sqrt());
        println!("{distance:?}: in 68 % {all:.3} (single stars {single:.3}, pairs {pair:.3}), r.m.s. of ln d {scatter:.4}");
        let expected: f64 = probabilities.iter().sum();
        assert!((expected - pairs).abs() < 4.0 * (n * 0.16f64).sqrt(), "{expected} of {pairs}");
        (all, scatter)
    };
    let (held, scatter) = of(BinaryDistance::Mixture);
    // 0.006 is the error of a share of 6 000; the prior has no edges where the stars have.
    assert!((0.66..0.72).contains(&held), "{held}");
    for control in [BinaryDistance::ParallaxAlone, BinaryDistance::Single] {
        let (_, worse) = of(control);
        assert!(scatter < 0.97 * worse, "{control:?}: {scatter} {worse}");
    }
}

/// Eq. 11 of Li et al. (2025) asks more than eq. 10; a star of impossible mixtures has no magnitude.
#[test]
fn mixtures_of_stars_are_used_or_said_to_be_none() {
    let mixture = StarMixture { single_fraction: 0.85, offset: 0.7, scatters: [0.12, 0.12] };
    let star = Star {
        parallax: with(1.0, 0.05),
        magnitude: with(15.7, 1e-6),
        extinction: with(0.0, 1e-6),
        absolute_magnitude: with(6.0, 0.5),
        mixture: Some(mixture),
        ..Star::MISSING
    };
    let mut options = DistanceOptions { zero_point: ZeroPointChoice::None, ..DistanceOptions::default() };
    options.binary.criterion = BinaryCriterion::Mixture;
    let found = estimator(options).estimate(&star);
    // Spec 3 A6 has 0.058216.
    assert!((found.binary_probability.unwrap() - 0.058_215_5).abs() < 1e-6, "{found:?}");
    assert!((found.absolute_magnitude.unwrap().error - 0.12).abs() < 1e-9);
    // M_geo brighter than predicted by 0.1 and 0.6 mag, of which 0.16 are errors.
    options.binary.probability_threshold = 1e-9;
    for (magnitude, of_ten, of_eleven) in [(15.9, true, false), (15.4, true, true), (16.1, false, false)] {
        let star = Star { magnitude: with(magnitude, 1e-6), ..star };
        let by = |fainter_by: f64| {
            let mut options = options;
            options.binary.fainter_by = fainter_by;
            estimator(options).estimate(&star).is_binary
        };
        assert_eq!((by(0.0), by(1.0)), (Some(of_ten), Some(of_eleven)), "{magnitude}");
    }
    assert!(!StarMixture { offset: -0.1, ..mixture }.is_possible() && mixture.is_possible());
    assert!(!StarMixture { single_fraction: f64::NAN, ..mixture }.is_possible());
}
