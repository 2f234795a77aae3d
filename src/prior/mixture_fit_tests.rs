//! Against scikit-learn, and what is refused.

use super::*;
use std::f64::consts::TAU;

/// 3000 points of two correlated Gaussians from an additive recurrence, so that Python makes the same
/// ones: g = 1.2207440846057596; u = (0.5 + arange(1, 3001)[:, None] / g**[1, 2, 3]) % 1; component =
/// u0 > 0.6; z = sqrt(−2 ln u1)·(cos, sin)(2π u2); x, y = (1 + 0.5 z0, 0.3 z1 + 0.2 z0) or (4 + z0, −1 +
/// 0.8 z1).
fn two_clouds() -> Array2<f64> {
    let g = 1.2207440846057596_f64;
    let mut samples = Array2::zeros((3000, 2));
    for (i, mut row) in samples.rows_mut().into_iter().enumerate() {
        let u = |power: i32| (0.5 + (i + 1) as f64 / g.powi(power)) % 1.0;
        let (radius, angle) = ((-2.0 * u(2).ln()).sqrt(), TAU * u(3));
        let z = [radius * angle.cos(), radius * angle.sin()];
        let point = if u(1) > 0.6 { [4.0 + z[0], -1.0 + 0.8 * z[1]] } else { [1.0 + 0.5 * z[0], 0.3 * z[1] + 0.2 * z[0]] };
        row.iter_mut().zip(point).for_each(|(slot, value)| *slot = value);
    }
    samples
}

fn names() -> Vec<String> {
    vec!["x".into(), "y".into()]
}

/// scikit-learn 1.9.1: GaussianMixture(2, tol=1e-6, max_iter=1000, n_init=5, random_state=0).fit(X):
/// score, weights_, means_.
#[test]
fn fit_reaches_the_likelihood_of_scikit_learn() {
    let samples = two_clouds();
    let settings = MixtureFit { n_components: 2, threshold_samples: 1000, tolerance: 1e-6, ..Default::default() };
    let mixture = settings.fit(samples.view(), &names(), 1).unwrap();
    let score = samples.rows().into_iter().map(|row| mixture.ln_density(&row.to_vec())).sum::<f64>() / 3000.0;
    assert!((score + 2.259313230017796).abs() < 1e-4, "{score}");
    let dense = if mixture.components[0].weight > 0.5 { &mixture.components[0] } else { &mixture.components[1] };
    assert!((dense.weight - 0.59902559).abs() < 2e-3, "{}", dense.weight);
    assert!((dense.mean[0] - 1.00118857).abs() < 5e-3 && (dense.mean[1] - 0.00290601).abs() < 5e-3);
    assert!(mixture.ln_density_threshold().unwrap() < score);
}

#[test]
fn same_seed_same_mixture_and_outliers_do_no_harm() {
    let mut samples = two_clouds();
    let settings = MixtureFit { n_components: 4, n_restarts: 2, threshold_samples: 500, max_samples: 2000, ..Default::default() };
    let first = settings.fit(samples.view(), &names(), 7).unwrap();
    assert_eq!(settings.fit(samples.view(), &names(), 7).unwrap(), first);
    samples[[0, 0]] = 1e9;
    samples[[1, 1]] = f64::NAN;
    assert!(settings.fit(samples.view(), &names(), 7).is_ok());
}

#[test]
fn hopeless_samples_are_refused() {
    let message = |samples: &Array2<f64>| MixtureFit::default().fit(samples.view(), &names(), 1).unwrap_err().to_string();
    assert!(message(&Array2::zeros((100, 2))).contains("parameter 'x': found a spread of 0"));
    assert!(message(&two_clouds().slice_move(ndarray::s![..20, ..])).contains("at least 48"));
    assert!(message(&Array2::zeros((100, 3))).contains("3 columns"));
    assert!(MixtureFit { n_components: 0, ..Default::default() }.validate().is_err());
}

#[test]
fn percentiles_interpolate_between_ranks() {
    // numpy.percentile([1, 2, 4, 8], [0, 50, 90, 100])
    let found: Vec<_> =
        [0.0, 50.0, 90.0, 100.0].iter().map(|percent| percentile(&[1.0, 2.0, 4.0, 8.0], *percent).unwrap()).collect();
    for (found, expected) in found.iter().zip([1.0, 3.0, 6.8, 8.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
    assert_eq!(percentile(&[], 50.0), None);
}
