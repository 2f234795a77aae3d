use super::super::pairs::tests::sample;
use super::super::pairs::{NEIGHBOURS, Shared, pairs_of};
use super::*;
use rand::{Rng, SeedableRng};

/// The parameter that is the distance: its noise is correlated with that of the other.
const DISTANCE: usize = 1;

/// A field of zero points, errors of 0.05 to 0.2 in either parameter, and a share of pairs; noise that is
/// `wider` than its errors.
fn field(n: usize, (amplitude, share, wider): (f64, f64, f64), seed: u64) -> (Vec<Difference>, Array2<f64>) {
    let (mut stars, labels) = sample(n, 10.0 * amplitude / wider, seed);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1_000_000 + seed);
    for star in &mut stars {
        star.weight.iter_mut().for_each(|weight| *weight *= 100.0);
        star.weighted.iter_mut().for_each(|weighted| *weighted *= 10.0 * wider);
        if random.gen_bool(share) {
            (0..2).for_each(|i| star.weighted[i] += DISPLACEMENT * star.weight[2 * i + DISTANCE]);
        }
    }
    (stars, labels)
}

fn near(labels: &Array2<f64>) -> Vec<(usize, usize)> {
    pairs_of(labels, NEIGHBOURS)
}

/// Shares of the 95 % intervals of the elements of K that hold zero, with the model of pairs and without, and
/// how often pairs are found.
fn coverage(n_fields: u64, n: usize, (share, wider): (f64, f64)) -> ([f64; 2], usize) {
    let (mut covered, mut found) = ([0; 2], 0);
    for seed in 0..n_fields {
        let (before, labels) = field(n, (0.0, share, wider), 100 + seed);
        let near = near(&labels);
        let mut after = before.clone();
        let pairs = take_off(&mut after, (&labels, &near), DISTANCE);
        found += usize::from(pairs.is_some());
        assert!(pairs.is_some() || (0..n).all(|row| after[row].weighted == before[row].weighted), "nothing was found");
        for (stars, covered) in [after, before].iter().zip(&mut covered) {
            let Shared { estimate, standard_error, .. } = shared_covariance(stars, &near).unwrap();
            let elements = [(0, 0), (0, 1), (1, 1)].into_iter();
            *covered += elements.filter(|&at| estimate[at].abs() < 1.96 * standard_error[at]).count();
        }
    }
    let shares = covered.map(|count| count as f64 / (3 * n_fields) as f64);
    println!("{share} pairs, noise of {wider}: found in {found} of {n_fields}; 95 % intervals cover {shares:.3?}");
    (shares, found)
}

#[test]
fn pairs_are_no_zero_points_and_without_pairs_nothing_changes() {
    // The share of 180 elements is known to 0.016.
    let ([after, before], found) = coverage(60, 4000, (0.05, 1.0));
    assert!(found == 60 && (after - 0.95).abs() < 0.05 && before < after - 0.06);
    let ([after, before], found) = coverage(120, 1000, (0.0, 1.0));
    assert!(found <= 2 && (after - before).abs() < 0.01 && (after - 0.95).abs() < 0.035);
    // Errors that are half of what they should be, on both sides alike: pairs are hidden by them.
    let ([after, _], found) = coverage(120, 1000, (0.0, 2.0));
    assert!(found <= 2 && (after - 0.95).abs() < 0.035);
}

/// Means of ten fields.
#[test]
fn share_and_field_are_those_put_in() {
    let (amplitude, share) = (0.03, 0.05);
    let (mut share_found, mut variances) = (0.0, [0.0; 2]);
    for seed in 0..10 {
        let (mut stars, labels) = field(4000, (amplitude, share, 1.0), 900 + seed);
        let near = near(&labels);
        let variance = |stars: &[Difference]| shared_covariance(stars, &near).unwrap().estimate[(DISTANCE, DISTANCE)];
        variances[0] += 0.1 * variance(&stars);
        let found = take_off(&mut stars, (&labels, &near), DISTANCE).unwrap();
        variances[1] += 0.1 * variance(&stars);
        share_found += 0.1 * found.share;
        assert!(found.n_stars > 3900 && (60..200).contains(&found.n_likely), "{found:?}");
    }
    let [before, after] = variances.map(|variance| variance / (2.0 * amplitude.powi(2)));
    println!("share {share_found:.4}; variance of the field {after:.3} of what it is, and {before:.3} with the pairs");
    // A field that the stars of a kind do not have alike widens what is said of a displacement: 0.043.
    assert!((0.04..0.055).contains(&share_found) && (after - 1.0).abs() < 0.12 && before > after + 0.1);
}

/// A kind of stars that the model has too bright is a fault of the model.
#[test]
fn a_kind_that_is_too_bright_is_no_kind_of_pairs() {
    let (mut stars, labels) = field(2000, (0.0, 0.0, 1.0), 7);
    for (_, star) in stars.iter_mut().enumerate().filter(|(row, _)| labels[[*row, 0]] > 2.0) {
        (0..2).for_each(|i| star.weighted[i] += 0.3 * star.weight[2 * i + DISTANCE]);
    }
    let near = near(&labels);
    let before = shared_covariance(&stars, &near).unwrap().estimate[(DISTANCE, DISTANCE)];
    let found = take_off(&mut stars, (&labels, &near), DISTANCE);
    let after = shared_covariance(&stars, &near).unwrap().estimate[(DISTANCE, DISTANCE)];
    println!("{found:?}, {before:.4} and {after:.4}");
    assert!(found.is_none_or(|found| found.share < 0.02) && (after / before - 1.0).abs() < 0.1);
}

#[test]
fn what_says_nothing_stays_as_it_is() {
    let mixture = Mixture { shares: [0.01, 0.05] };
    for evidence in [Evidence::from(1.0, 0.0), Evidence::from(f64::NAN, 1.0), Evidence::from(1e4, 100.0)] {
        assert!(evidence.ratios.is_none() && mixture.displacement(&evidence).abs() < 1e-12);
    }
    // 2 Δ ln L of a displacement of b in ten errors, and what no information says.
    let (clear, vague) = (Evidence::from(DISPLACEMENT * 800.0, 800.0), Evidence::from(0.0, 1e-9));
    assert!((mixture.displacement(&clear) / DISPLACEMENT - 1.0).abs() < 1e-6);
    assert!((mixture.displacement(&vague) / DISPLACEMENT - 0.04).abs() < 1e-6);
    assert!(Mixture::of(&[]).is_none());
}
