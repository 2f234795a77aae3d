use super::*;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;

/// Stars at random places with δ = amplitude·(√2 sin 2x, √2 sin 2y + √2 sin 2x) and noise of very different
/// covariances.
pub(crate) fn sample(n: usize, amplitude: f64, seed: u64) -> (Vec<Difference>, Array2<f64>) {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let labels = Array2::from_shape_fn((n, 2), |_| random.gen_range(0.0..std::f64::consts::PI));
    let stars = (0..n).map(|row| {
        let (x, y) = (std::f64::consts::SQRT_2 * (2.0 * labels[[row, 0]]).sin(), (2.0 * labels[[row, 1]]).sin());
        let field = [amplitude * x, amplitude * (x + std::f64::consts::SQRT_2 * y)];
        let (sigma, slope): (f64, f64) = (random.gen_range(0.5..2.0), random.gen_range(-0.8..0.8));
        // Noise = σ (u, slope·u + v): the inverse of its covariance is the weight.
        let (u, v): (f64, f64) = (random.sample(StandardNormal), random.sample(StandardNormal));
        let r = [field[0] + sigma * u, field[1] + sigma * (slope * u + v)];
        let weight = [1.0 + slope * slope, -slope, -slope, 1.0].map(|value| value / (sigma * sigma));
        let weighted = vec![weight[0] * r[0] + weight[1] * r[1], weight[2] * r[0] + weight[3] * r[1]];
        Difference { weighted, weight: weight.to_vec() }
    });
    (stars.collect(), labels)
}

const ELEMENTS: [(usize, usize, f64); 3] = [(0, 0, 1.0), (0, 1, 1.0), (1, 1, 2.0)];

#[test]
fn a_known_field_of_zero_points_is_recovered_from_stars_that_are_three_times_noisier() {
    let amplitude: f64 = 0.3;
    let (stars, labels) = sample(4000, amplitude, 1);
    let shared = shared_covariance(&stars, &pairs_of(&labels, NEIGHBOURS)).unwrap();
    for (i, j, expected) in ELEMENTS {
        let (found, error, expected) = (shared.covariance[(i, j)], shared.standard_error[(i, j)], expected * amplitude.powi(2));
        println!("K[{i}, {j}] = {found:.4} ± {error:.4}, true {expected:.4}");
        assert!((found - expected).abs() < 4.0 * error && error < 0.25 * expected);
    }
}

/// Null fields, and the jackknife over blocks of stars, each with its own list of neighbours, as the negative
/// control.
#[test]
fn without_a_field_the_intervals_cover_zero_as_often_as_they_say_and_a_jackknife_of_lists_does_not() {
    let (n_fields, n) = (400, 400);
    let (mut covered, mut of_jackknife, mut found) = (0, 0, 0);
    for seed in 0..n_fields {
        let (stars, labels) = sample(n, 0.0, 100 + seed);
        let shared = shared_covariance(&stars, &pairs_of(&labels, NEIGHBOURS)).unwrap();
        found += usize::from(shared.covariance.amax() > 0.0);
        let jackknife = jackknife_of_lists(&stars, &labels);
        for (at, (i, j, _)) in ELEMENTS.into_iter().enumerate() {
            covered += usize::from(shared.estimate[(i, j)].abs() < 1.96 * shared.standard_error[(i, j)]);
            of_jackknife += usize::from(jackknife.0[at].abs() < 1.96 * jackknife.1[at]);
        }
    }
    let share = |count: usize| count as f64 / (3 * n_fields as usize) as f64;
    println!(
        "95 % intervals cover {:.3}, by a jackknife of lists {:.3}; something is found in {found} of {n_fields} null fields",
        share(covered),
        share(of_jackknife)
    );
    assert!((share(covered) - 0.95).abs() < 0.02 && share(of_jackknife) < 0.90);
}

/// Elements and errors as they were computed until 2026-11: blocks of stars leave with their own lists only.
fn jackknife_of_lists(stars: &[Difference], labels: &Array2<f64>) -> (Vec<f64>, Vec<f64>) {
    const BLOCKS: usize = 16;
    let q = 2;
    let mut blocks: Vec<Equations> = (0..BLOCKS).map(|_| Equations::zero(q)).collect();
    for row in 0..stars.len() {
        for other in Neighbours::among(labels).of_row(row, NEIGHBOURS) {
            let block = std::mem::replace(&mut blocks[row % BLOCKS], Equations::zero(q));
            blocks[row % BLOCKS] = block.add(&Equations::of_pair(&stars[row], &stars[other]));
        }
    }
    let solve = |without: Option<usize>| {
        let sum = (0..BLOCKS).filter(|&at| Some(at) != without).fold(Equations::zero(q), |sum, at| sum.add(&blocks[at]));
        sum.inverse().unwrap() * DVector::from_column_slice(&sum.right)
    };
    let parts: Vec<DVector<f64>> = (0..BLOCKS).map(|at| solve(Some(at))).collect();
    let mean = parts.iter().fold(DVector::zeros(3), |sum, part| sum + part) / BLOCKS as f64;
    let error = |at: usize| {
        let sum: f64 = parts.iter().map(|part| (part[at] - mean[at]).powi(2)).sum();
        ((BLOCKS - 1) as f64 / BLOCKS as f64 * sum).sqrt()
    };
    (solve(None).iter().copied().collect(), (0..3).map(error).collect())
}

/// By numerical integration of a normal distribution over variances that are not negative.
#[test]
fn the_expectation_of_a_variance_that_noise_hides_is_that_of_the_cut_distribution() {
    for measured in [-30.0, -8.1, -7.9, -2.0, 0.0, 1.5, 7.9, 8.1, 30.0] {
        let (n, error) = (400_000, 0.5);
        let peak: f64 = f64::max(measured, 0.0);
        let width = if measured < 0.0 { 40.0 / (1.0 - measured) } else { 10.0 };
        let (low, high) = (f64::max(peak - width, 0.0), peak + width);
        let (mut sum, mut norm) = (0.0, 0.0);
        for k in 0..n {
            let x = low + (high - low) * (f64::from(k) + 0.5) / f64::from(n);
            let density = (-0.5 * (x - measured).powi(2) + 0.5 * (peak - measured).powi(2)).exp();
            sum += x * density;
            norm += density;
        }
        let (found, expected) = (not_negative(measured * error, error), sum / norm * error);
        assert!((found / expected - 1.0).abs() < 2e-3, "{measured}: {found} {expected}");
    }
}
