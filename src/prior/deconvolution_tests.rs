//! Against an outside program, with a control that does not deconvolve, and what is refused.

use super::super::MixtureFit;
use super::*;
use ndarray::{Array2, Array3, s};

const N: usize = 1500;

/// The clouds of the tests of the fit with correlated noise of different widths, so that Python makes the
/// same ones: g the root of x⁸ = x + 1; u_k = (0.5 + arange(1, 1501)/g**k) % 1; z = √(−2 ln u2)·(cos, sin)(2π
/// u3), e the same of u6 and u7; x, y = (1 + 0.5 z0, 0.3 z1 + 0.2 z0), or where u1 > 0.6 (4 + z0, −1 + 0.8
/// z1); σ = (0.1 + 0.9 u4, 0.05 + 0.45 u5), noise (σ_x e0, σ_y (0.5 e0 + √0.75 e1)).
fn noisy_clouds() -> (Array2<f64>, Array3<f64>) {
    let g = 1.0969815577985598_f64;
    let (mut values, mut covariances) = (Array2::zeros((N, 2)), Array3::zeros((N, 2, 2)));
    for i in 0..N {
        let u = |power: i32| (0.5 + (i + 1) as f64 / g.powi(power)) % 1.0;
        let normal = |a: f64, b: f64| [(TAU * b).cos(), (TAU * b).sin()].map(|side| (-2.0 * a.ln()).sqrt() * side);
        let (z, e) = (normal(u(2), u(3)), normal(u(6), u(7)));
        let point = if u(1) > 0.6 { [4.0 + z[0], -1.0 + 0.8 * z[1]] } else { [1.0 + 0.5 * z[0], 0.3 * z[1] + 0.2 * z[0]] };
        let sigma = [0.1 + 0.9 * u(4), 0.05 + 0.45 * u(5)];
        values[[i, 0]] = point[0] + sigma[0] * e[0];
        values[[i, 1]] = point[1] + sigma[1] * (0.5 * e[0] + 0.75_f64.sqrt() * e[1]);
        let covariance = 0.5 * sigma[0] * sigma[1];
        covariances
            .slice_mut(s![i, .., ..])
            .assign(&ndarray::arr2(&[[sigma[0].powi(2), covariance], [covariance, sigma[1].powi(2)]]));
    }
    (values, covariances)
}

fn names() -> Vec<String> {
    vec!["x".into(), "y".into()]
}

fn settings() -> MixtureFit {
    let (n_components, threshold_samples) = (2, 1000);
    MixtureFit { n_components, tolerance: 1e-6, max_iterations: 3000, threshold_samples, ..Default::default() }
}

fn fitted(values: &Array2<f64>, covariances: &Array3<f64>) -> GaussianMixture {
    settings().fit_noisy(NoisyLabels { values: values.view(), covariances: covariances.view() }, &names(), 1).unwrap()
}

/// Weight, mean and covariance of the Gaussian on the left, and of the other one.
fn sorted(mixture: &GaussianMixture) -> [&Component; 2] {
    let [a, b] = &mixture.components[..] else { panic!("two Gaussians") };
    if a.mean[0] < b.mean[0] { [a, b] } else { [b, a] }
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < tolerance, "{found} {expected}");
    }
}

/// astroML 1.0.2: XDGMM(2, max_iter=3000, tol=1e-7, random_state=0).fit(X, Xerr): alpha, mu, V.
#[test]
fn noise_is_taken_off_as_astroml_does() {
    let (values, covariances) = noisy_clouds();
    let mixture = fitted(&values, &covariances);
    let [left, right] = sorted(&mixture);
    assert!((left.weight - 0.5997293242519534).abs() < 2e-4, "{}", left.weight);
    assert_near(&left.mean, &[0.9952361661457445, -0.0024136713286716685], 2e-4);
    assert_near(&right.mean, &[4.000750687003226, -1.005042531492634], 5e-4);
    assert_near(&left.covariance, &[0.24543792384647378, 0.1010976480463054, 0.1010976480463054, 0.13174731664830827], 3e-4);
    assert_near(&right.covariance, &[0.937186558615533, 0.03072499817144741, 0.03072499817144741, 0.6517139941966543], 1e-3);
    // The truth: variances of 0.25 and 0.13. The control keeps the noise: ⟨σ²⟩ = 0.37 and 0.09 more.
    let naive = settings().fit(values.view(), &names(), 1).unwrap();
    assert_near(
        &sorted(&naive)[0].covariance,
        &[0.5908740816254924, 0.17010562025258452, 0.17010562025258452, 0.2235315178061302],
        2e-3,
    );
}

/// astroML has no missing values: there, those of the second label of every fifth star have a variance of
/// 10⁸.
#[test]
fn stars_without_a_label_tell_the_others() {
    let (mut values, mut covariances) = noisy_clouds();
    for star in (2..N).step_by(5) {
        values[[star, 1]] = f64::NAN;
        // What belongs to a label that is missing is not read.
        for at in [[star, 0, 1], [star, 1, 0], [star, 1, 1]] {
            covariances[at] = f64::NAN;
        }
    }
    let mixture = fitted(&values, &covariances);
    let [left, right] = sorted(&mixture);
    assert!((left.weight - 0.6020362512585241).abs() < 2e-4, "{}", left.weight);
    assert_near(&left.mean, &[1.0015288877705102, 0.002795605561266085], 2e-4);
    assert_near(&right.mean, &[4.0057789345091575, -1.0098621990878516], 5e-4);
    assert_near(&left.covariance, &[0.25174614067972684, 0.10772315466969762, 0.10772315466969762, 0.13251930770793646], 3e-4);
    assert_near(&right.covariance, &[0.9432559249366763, 0.010531630698703724, 0.010531630698703724, 0.641935070876635], 1e-3);
}

/// Without noise there is nothing to take off; with more than there is scatter, widths stay at the least one.
#[test]
fn no_noise_changes_nothing_and_too_much_leaves_the_least_width() {
    let (values, covariances) = noisy_clouds();
    let naive = settings().fit(values.view(), &names(), 1).unwrap();
    let same = fitted(&values, &(&covariances * 0.0));
    for (found, expected) in sorted(&same).iter().zip(sorted(&naive)) {
        assert_near(&found.covariance, &expected.covariance, 2e-3);
        assert_near(&found.mean, &expected.mean, 2e-3);
    }
    let overstated = fitted(&values, &(&covariances * 100.0));
    let spread = |column: usize| {
        let mut sorted = values.column(column).to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |percent: f64| super::super::mixture_fit::percentile(&sorted, percent).unwrap();
        0.5 * (at(84.0) - at(16.0))
    };
    let least = |column: usize| (settings().least_width * spread(column)).powi(2);
    for component in &overstated.components {
        assert!(component.covariance[0] > 0.99 * least(0) && component.covariance[3] > 0.99 * least(1));
        assert!(component.covariance.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_likelihood_never_falls_and_threads_change_no_bit() {
    let (values, covariances) = noisy_clouds();
    let noisy = NoisyLabels { values: values.view(), covariances: covariances.view() };
    let stars = noisy.stars().unwrap();
    let first = settings().fit(values.view(), &names(), 1).unwrap();
    let mut gaussians: Vec<Gaussian> = first.components.iter().map(Gaussian::of).collect();
    let mut before = f64::NEG_INFINITY;
    for _ in 0..200 {
        let sums = expectation(&stars, &gaussians, 2);
        assert!(sums.ln_density >= before - 1e-9 * before.abs().min(1e9), "{} {before}", sums.ln_density);
        before = sums.ln_density;
        maximisation(&mut gaussians, &sums, N, 2, 0.05);
    }
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fitted(&values, &covariances))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn what_is_no_noise_is_refused_with_its_place() {
    let (values, covariances) = noisy_clouds();
    let message = |covariances: &Array3<f64>| {
        let noisy = NoisyLabels { values: values.view(), covariances: covariances.view() };
        settings().fit_noisy(noisy, &names(), 1).unwrap_err().to_string()
    };
    for (at, value) in [([7, 1, 1], f64::NAN), ([7, 0, 0], -1.0), ([7, 0, 1], 10.0)] {
        let mut damaged = covariances.clone();
        damaged[at] = value;
        let message = message(&damaged);
        assert!(message.contains("covariance of their noise"), "{message}");
    }
    assert!(message(&covariances.slice(s![1.., .., ..]).to_owned()).contains("as many as values"));
    assert!(MixtureFit { least_width: 0.0, ..Default::default() }.validate().unwrap_err().to_string().contains("least_width"));
}

/// A first Gaussian that is thinner than the least width is raised to it before anything else, or the first
/// step would lower the likelihood and end the search.
#[test]
fn a_thin_start_does_not_end_the_search() {
    let (values, covariances) = noisy_clouds();
    let noisy = NoisyLabels { values: values.view(), covariances: covariances.view() };
    let first = settings().fit(values.view(), &names(), 1).unwrap();
    let weights: Vec<f64> = first.components.iter().map(|component| component.weight).collect();
    let means: Vec<Vec<f64>> = first.components.iter().map(|component| component.mean.clone()).collect();
    let thin = vec![vec![1e-6, 0.0, 0.0, 1e-6]; weights.len()];
    let thin = GaussianMixture::new(names(), &weights, &means, &thin).unwrap();
    let limits = |max_iterations| Limits { least_width: 0.05, tolerance: 1e-7, max_iterations };
    let mean_ln_density = |mixture: &GaussianMixture| {
        let gaussians: Vec<Gaussian> = mixture.components.iter().map(Gaussian::of).collect();
        expectation(&noisy.stars().unwrap(), &gaussians, 2).ln_density / N as f64
    };
    let [from_thin, usual] = [&thin, &first].map(|start| mean_ln_density(&deconvolve(noisy, start, limits(300)).unwrap()));
    println!("mean ln p from thin Gaussians {from_thin:.4}, from the usual start {usual:.4}");
    assert!((from_thin - usual).abs() < 0.01);
}
