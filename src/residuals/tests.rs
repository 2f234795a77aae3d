//! Stars that are linear models of their parameters, with offsets in known bands.

use super::*;
use crate::observations::Grid;
use crate::optimise::dense::{dot, invert_positive_semidefinite};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::collections::BTreeMap;

const BANDS: usize = 10;
/// Error of a flux of about 1.
const ERROR: f64 = 0.02;

fn grid(n: usize) -> Grid {
    Grid::new((0..n).map(|k| 400.0 + 50.0 * k as f64).collect(), (0..n).map(|k| format!("b{k}")).collect()).unwrap()
}

/// Residuals of stars with four parameters that every band sees, one of which is also measured (with an
/// error of 0.1); `offsets` in mag, that of the measurement last.
fn stars(n: usize, offsets: [f64; BANDS + 1], seed: u64) -> Responses {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = move || -> f64 { random.sample(StandardNormal) };
    let groups = Groups::of(&grid(BANDS));
    let mut responses = Responses::none(n, &groups, &["parallax".to_owned()]);
    let v = BANDS + 1;
    for star in 0..n {
        let wave = |k: usize, p: usize| ((k + 1) as f64 * (0.3 + 0.4 * p as f64) + 0.2 * (star % 17) as f64).sin();
        let mut jacobian: Vec<f64> = (0..4 * v).map(|at| 0.3 * wave(at % v, at / v) / ERROR).collect();
        for p in 0..4 {
            jacobian[p * v + BANDS] = if p == 0 { 10.0 } else { 0.0 };
        }
        let mut directions = vec![0.0; v * v];
        for k in 0..v {
            directions[k * v + k] = if k < BANDS { MAGNITUDE / ERROR } else { 10.0 };
        }
        let noise: Vec<f64> = (0..v).map(|k| normal() + offsets[k] * directions[k * v + k]).collect();
        let information: Vec<f64> =
            (0..16).map(|at| (0..v).map(|k| jacobian[at / 4 * v + k] * jacobian[at % 4 * v + k]).sum()).collect();
        let covariance = invert_positive_semidefinite(&information, 4).unwrap().matrix;
        let pulled: Vec<f64> = (0..4).map(|p| (0..v).map(|k| jacobian[p * v + k] * noise[k]).sum()).collect();
        let shift: Vec<f64> = (0..4).map(|p| (0..4).map(|q| covariance[p * 4 + q] * pulled[q]).sum()).collect();
        let residual: Vec<f64> = (0..v).map(|k| noise[k] - (0..4).map(|p| jacobian[p * v + k] * shift[p]).sum::<f64>()).collect();
        let row = |rows: &[f64], a: usize| rows[a * v..(a + 1) * v].to_vec();
        let mut products = Products::zeros(v, 4);
        for a in 0..v {
            products.score[a] = dot(&row(&directions, a), &residual);
            (0..=a).for_each(|b| products.plain[packed(a, b)] = dot(&row(&directions, a), &row(&directions, b)));
            (0..4).for_each(|p| products.crossed[a * 4 + p] = dot(&row(&directions, a), &row(&jacobian, p)));
        }
        responses.put(star, &products, &covariance);
        responses.chi_square[star] = residual[..BANDS].iter().map(|r| r * r).sum();
        // Of the four parameters, one is known by its measurement too.
        responses.degrees[star] = BANDS as f64 - 4.0 + 100.0 * covariance[0];
        responses.marks[star] = Mark { is_fitted: true, is_in_cut: true, ..Mark::default() };
    }
    responses
}

fn sums(stars: &Responses) -> ResidualSums {
    let mut sums = ResidualSums::new(&stars.groups, &stars.constraints);
    sums.add(stars).unwrap();
    sums
}

#[test]
fn offsets_are_found_in_the_right_bands_and_nowhere_else() {
    for n in [100, 3000] {
        let clean = CatalogueCheck::of(&sums(&stars(n, [0.0; 11], 1)));
        assert_eq!((clean.warning(), clean.offsets.len()), (None, 0), "{n}");
        let mut offsets = [0.0; 11];
        (offsets[2], offsets[7]) = (0.05, -0.04);
        let sums = sums(&stars(n, offsets, 2));
        let found = sums.explanation();
        let names: Vec<&str> = found.iter().map(|offset| offset.name.as_str()).collect();
        assert_eq!(names, ["b2", "b7"], "{n}: {found:?}");
        for (found, truth) in found.iter().zip([0.05_f64, -0.04]) {
            // Stars that fit badly because of the offsets have less weight.
            let tolerance = 4.0 * found.error + 0.05 * truth.abs();
            assert!((found.offset - truth).abs() < tolerance && found.error < 0.008, "{n}: {found:?}");
        }
        // What a look at the mean residuals would say: half of it gone, and in the wrong bands too.
        let mean = |a: usize| sums.left[a][1] / sums.left[a][0];
        assert!(mean(2) < 0.04, "{}", mean(2));
        let others = (0..BANDS).filter(|a| ![2, 7].contains(a)).map(|a| mean(a).abs()).fold(0.0, f64::max);
        assert!(others > 0.01, "{others}");
        let warning = CatalogueCheck::of(&sums).warning().unwrap();
        assert!(warning.contains("b2 +0.0") && warning.contains("b7 -0.0") && !warning.contains("b3"), "{warning}");
    }
}

#[test]
fn scores_have_the_mean_and_the_variance_that_they_should() {
    let stars = stars(4000, [0.0; 11], 3);
    let sums = sums(&stars);
    for a in 0..11 {
        let ratio = sums.scatter_of(a, a) / sums.information_of(a, a);
        assert!((0.93..1.05).contains(&ratio), "{a}: {ratio}");
        let (offset, error) = sums.alone(a).unwrap();
        assert!(offset.abs() < 3.5 * error, "{a}: {offset} {error}");
    }
    let (median, error) = sums.median_pull(0).unwrap();
    assert!(median.abs() < 4.0 * error && (error / 0.0198 - 1.0).abs() < 0.01, "{median} {error}");
    let uneven = sums.tails.iter().map(|&n| (n as f64 - 400.0).powi(2) / 400.0).sum::<f64>();
    assert!(uneven < 27.9, "chi-square of 9 degrees at 0.001: {uneven}, {:?}", sums.tails);
}

#[test]
fn offsets_of_a_measurement_are_told_by_its_pulls() {
    let mut offsets = [0.0; 11];
    offsets[10] = 0.08;
    let check = CatalogueCheck::of(&sums(&stars(3000, offsets, 4)));
    let found = check.offsets.iter().find(|offset| offset.name == "parallax").unwrap();
    assert!(check.offsets.len() == 1 && (found.offset - 0.08).abs() < 4.0 * found.error, "{found:?}");
    let warning = check.warning().unwrap();
    assert!(warning.contains("the median pull of parallax is +0.") && warning.contains("offset of +0.0"), "{warning}");
}

#[test]
fn sums_do_not_depend_on_batches_and_merge() {
    let mut offsets = [0.0; 11];
    offsets[4] = 0.03;
    let all = stars(500, offsets, 5);
    let whole = sums(&all);
    let mut parts = ResidualSums::new(&all.groups, &all.constraints);
    for rows in [0..17, 17..300, 300..500] {
        let mut part = Responses::none(rows.len(), &Groups::of(&grid(BANDS)), &all.constraints);
        rows.clone().enumerate().for_each(|(i, star)| part.put_row(i, &all, star));
        parts.add(&part).unwrap();
    }
    assert_eq!(parts, whole);
    let mut merged = whole.clone();
    merged.merge(&whole).unwrap();
    assert_eq!((merged.stars, merged.n[0], merged.score[3]), (1000, 1000, 2.0 * whole.score[3]));
    let other = ResidualSums::new(&["z".to_owned()], &[]);
    assert!(merged.merge(&other).unwrap_err().to_string().contains("one model"));
    let text = serde_json::to_string(&whole).unwrap();
    let read: ResidualSums = serde_json::from_str(&text).unwrap();
    assert!((read.score[4] / whole.score[4] - 1.0).abs() < 1e-14 && read.tails == whole.tails);
}

#[test]
fn shares_beyond_their_limits_are_said_where_there_are_stars_enough() {
    let marks = |n: usize, n_poor: usize, n_outside: usize| {
        let mut stars = Responses::none(n, &Groups::of(&grid(3)), &[]);
        for (i, mark) in stars.marks.iter_mut().enumerate() {
            *mark = Mark { is_fitted: true, is_in_cut: i >= n_poor, is_poor: i < n_poor, is_outside: i < n_outside };
        }
        CatalogueCheck::of(&sums(&stars)).warning().unwrap_or_default()
    };
    assert_eq!(marks(1000, 150, 200), "");
    assert_eq!(marks(10, 5, 6), "", "too few to say");
    assert!(marks(1000, 300, 0).contains("30 % have a chi2"));
    assert!(marks(1000, 600, 0).contains("60 % fail the basic cut"));
    assert!(marks(1000, 0, 300).contains("30 % lie outside"));
}

#[test]
fn groups_follow_the_data_vector() {
    let names: Vec<String> = (0..61).map(|k| format!("xp_{}", 392 + 10 * k)).chain(["j", "w1"].map(String::from)).collect();
    let wavelength = (0..61).map(|k| 392.0 + 10.0 * f64::from(k)).chain([1235.0, 3353.0]).collect();
    let groups = Groups::of(&Grid::new(wavelength, names).unwrap());
    assert_eq!(groups.names, ["xp_392-482", "xp_492-632", "xp_642-822", "xp_832-992", "j", "w1"]);
    assert_eq!((groups.of_entry[9], groups.of_entry[10], groups.of_entry[62]), (0, 1, 5));
    let pixels = Groups::of(&grid(7001));
    assert_eq!((pixels.len(), pixels.of_entry.len(), pixels.of_entry[7000]), (16, 7001, 15));
}

/// Numbers that were read may be others than were written.
#[test]
fn sums_that_lack_something_are_not_whole() {
    let sums = ResidualSums::new(&["g".to_owned(), "r".to_owned()], &["parallax".to_owned()]);
    assert!(sums.is_whole());
    let damage: [fn(&mut ResidualSums); 5] = [
        |sums| sums.score.truncate(1),
        |sums| sums.tails.truncate(3),
        |sums| sums.pulls[0].truncate(7),
        |sums| sums.groups.truncate(1),
        |sums| sums.outer[0] = f64::NAN,
    ];
    for (at, damage) in damage.iter().enumerate() {
        let mut damaged = sums.clone();
        damage(&mut damaged);
        assert!(!damaged.is_whole(), "{at}");
    }
}

/// Stars that tell all bands together to a quarter of a magnitude, by their parallaxes, and nothing else;
/// `brighter` in mag.
fn grey_stars(n: usize, brighter: f64, random: &mut ChaCha8Rng) -> Responses {
    let mut stars = Responses::none(n, &Groups::of(&grid(BANDS)), &[]);
    for star in 0..n {
        let noise: f64 = random.sample(StandardNormal);
        let score = (noise / 0.25 - brighter / 0.25_f64.powi(2)) / BANDS as f64;
        stars.score.row_mut(star).fill(score);
        stars.information.row_mut(star).fill((0.25 * BANDS as f64).powi(-2));
        (stars.chi_square[star], stars.degrees[star]) = (BANDS as f64, BANDS as f64);
        stars.marks[star] = Mark { is_fitted: true, is_in_cut: true, ..Mark::default() };
    }
    stars
}

/// Of stars whose distance is measured, a twentieth are two: without the mixture they are a zero point.
#[test]
fn pairs_are_no_zero_point_of_all_bands() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let parts = [grey_stars(7600, 0.0, &mut random), grey_stars(400, 0.64, &mut random)];
    let mut without = ResidualSums::new(&parts[0].groups, &[]);
    parts.iter().for_each(|part| without.add(part).unwrap());
    let mut share = USUAL_SHARE;
    let mut with = without.clone();
    for _ in 0..3 {
        with = ResidualSums::new(&parts[0].groups, &[]);
        parts.iter().for_each(|part| with.add_with_pairs(part, share).unwrap());
        share = with.pairs.share();
    }
    let grey = |sums: &ResidualSums| {
        let names: Vec<String> = (0..BANDS).map(|k| format!("b{k}")).collect();
        let step = sums.zero_point_step(&BTreeMap::new(), &names, 0.05).unwrap();
        step.zero_points.values().map(|point| point.offset).sum::<f64>() / BANDS as f64
    };
    let offsets = [grey(&with), grey(&without)];
    assert!((share - 0.05).abs() < 0.02, "{share}");
    assert!(offsets[0].abs() < 0.01 && offsets[1] < -0.025, "{offsets:?}");
    // Where there are none, none are found.
    let single = grey_stars(8000, 0.0, &mut random);
    let mut sums = ResidualSums::new(&single.groups, &[]);
    sums.add_with_pairs(&single, USUAL_SHARE).unwrap();
    assert!(sums.pairs.share() < 0.01, "{}", sums.pairs.share());
}

/// Score and information of the mixture are the derivatives of ln((1 − f) L₁ + f L₂) with respect to the
/// offsets, L₂ the mean over pairs of all brightnesses.
#[test]
fn mixture_of_pairs_has_the_derivatives_of_its_likelihood() {
    let (score, information) = ([1.5, -4.0, 0.7], [3.0, 0.5, 4.0, 0.2, -0.3, 2.0]);
    let share = 0.2;
    let of_offsets = |d: [f64; 3]| {
        let likelihood = |d: [f64; 3]| {
            let element = |a: usize, b: usize| information[packed(a.max(b), a.min(b))];
            let square: f64 = (0..9).map(|at| d[at / 3] * d[at % 3] * element(at / 3, at % 3)).sum();
            ((0..3).map(|a| d[a] * score[a]).sum::<f64>() - 0.5 * square).exp()
        };
        // 0.63 ± 0.2 mag; the third is no band.
        let normal = |x: f64| 0.01 * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let of_pair = |x: f64| normal(x) * likelihood([d[0] - 0.63 - 0.2 * x, d[1] - 0.63 - 0.2 * x, d[2]]);
        let of_pairs: f64 = (-800..=800).map(|k| of_pair(0.01 * f64::from(k))).sum();
        ((1.0 - share) * likelihood(d) + share * of_pairs).ln()
    };
    let mixed = pairs::Mixed::of(&score, &information, 2, share);
    let h = 1e-4;
    let moved = |steps: [(usize, f64); 2]| {
        let mut d = [0.0; 3];
        steps.iter().for_each(|(a, step)| d[*a] += step);
        of_offsets(d)
    };
    for a in 0..3 {
        let slope = (moved([(a, h), (a, 0.0)]) - moved([(a, -h), (a, 0.0)])) / (2.0 * h);
        assert!((mixed.score[a] - slope).abs() < 1e-6, "{a}: {} {slope}", mixed.score[a]);
        for b in 0..=a {
            let cross = moved([(a, h), (b, h)]) - moved([(a, h), (b, -h)]) - moved([(a, -h), (b, h)]) + moved([(a, -h), (b, -h)]);
            let curvature = -cross / (4.0 * h * h);
            assert!((mixed.information[packed(a, b)] - curvature).abs() < 1e-5, "{a} {b}: {curvature}");
        }
    }
}
