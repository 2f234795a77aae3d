use super::*;

fn with(value: f64, error: f64) -> Option<Measured> {
    Some(Measured { value, error })
}

fn posterior(parallax: Option<Measured>, ln_distance: Option<Measured>, prior: DistancePrior) -> DistancePosterior {
    let measurements = Measurements { parallax, ln_distance, of_pair: None };
    Density { measurements, prior, sight: None, range: DEFAULT_RANGE }.posterior(&mut Workspace::default()).unwrap()
}

const EXPONENTIAL: DistancePrior = DistancePrior::ExponentialDensity { scale_length: 1.35 };

/// Parallax, ln d, prior; mode, mean, three percentiles, mean and standard deviation of log10 d.
type Case = (Option<Measured>, Option<Measured>, DistancePrior, [f64; 7]);

/// scipy 1.17.1 (integrate.cumulative_simpson, simpson) on two million points, range 0.001–300 kpc, p(d) d
/// per unit of ln d.
fn cases() -> Vec<Case> {
    use DistancePrior::{FlatDistance, FlatLogDistance, UniformDensity};
    vec![
        (
            with(0.2, 0.04),
            with(4f64.ln(), 0.115),
            FlatDistance,
            [4.272437945, 4.346508106, 3.940611763, 4.321629955, 4.752287153, 0.6362322096, 0.04065805152],
        ),
        (
            with(-0.1, 0.1),
            with(6f64.ln(), 0.2),
            FlatDistance,
            [6.912542642, 7.2984452, 5.989304779, 7.167279412, 8.605882387, 0.8560884525, 0.07862944098],
        ),
        (
            with(0.3, 0.1),
            None,
            EXPONENTIAL,
            [3.205186438, 4.036964522, 2.785571963, 3.721038101, 5.272288784, 0.5827435446, 0.1387811643],
        ),
        (
            with(-0.5, 0.3),
            None,
            EXPONENTIAL,
            [4.871590329, 6.118168457, 3.801833176, 5.703921766, 8.440652915, 0.7534827361, 0.1706887263],
        ),
        (
            with(10.0, 0.01),
            with(0.1f64.ln(), 0.12),
            UniformDensity,
            [0.1000002002, 0.1000005, 0.09990050233, 0.1000004, 0.1001004976, -0.9999980458, 0.000434282551],
        ),
        (
            with(1.0, 0.02),
            with(2f64.ln(), 0.12),
            FlatDistance,
            [1.019454249, 1.020707407, 0.9999682982, 1.020288923, 1.041445852, 0.008811496768, 0.008828434776],
        ),
        (
            with(0.5, 0.06),
            with(2f64.ln(), 0.06),
            EXPONENTIAL,
            [2.002977261, 2.01333057, 1.905511943, 2.009873122, 2.121145212, 0.303291025, 0.02327550605],
        ),
        (
            with(0.05, 0.02),
            with(30f64.ln(), 0.3),
            UniformDensity,
            [31.52371506, 36.39040683, 26.13917971, 34.69199116, 46.59222663, 1.542820071, 0.1248970028],
        ),
        (
            None,
            with(2f64.ln(), 0.3),
            FlatDistance,
            [2.000001375, 2.289073569, 1.621168492, 2.188348567, 2.953961588, 0.340116499, 0.1302883446],
        ),
        (
            None,
            with(2f64.ln(), 0.115),
            FlatLogDistance,
            [1.9737234, 2.013268822, 1.782732288, 2.0, 2.243746875, std::f64::consts::LOG10_2, 0.04994386542],
        ),
        // Measurements that contradict each other: a density with two maxima.
        (
            with(1.0, 0.05),
            with(8f64.ln(), 0.1),
            FlatDistance,
            [3.571963836, 3.687210081, 3.175738595, 3.648794579, 4.198713151, 0.5624909309, 0.06040240902],
        ),
        (with(100.0, 0.001), None, EXPONENTIAL, [0.01, 0.01, 0.009999900005, 0.01, 0.0100001, -2.0, 4.342944822e-06]),
    ]
}

#[test]
fn posteriors_are_those_of_numerical_integration() {
    for (parallax, ln_distance, prior, expected) in cases() {
        let found = posterior(parallax, ln_distance, prior);
        let [low, middle, high] = found.percentiles;
        let width = (expected[4] - expected[2]) / 2.0;
        for (name, found, expected, tolerance) in [
            // The reference's mode is the best of its points.
            ("mode", found.mode, expected[0], 1e-3 * width),
            ("mean", found.mean, expected[1], 1e-4 * width),
            ("16 %", low, expected[2], 1e-4 * width),
            ("50 %", middle, expected[3], 1e-4 * width),
            ("84 %", high, expected[4], 1e-4 * width),
            ("log10 d", found.log10.value, expected[5], 1e-4 * expected[6]),
            ("error of log10 d", found.log10.error, expected[6], 1e-4 * expected[6]),
        ] {
            assert!((found - expected).abs() < tolerance, "{parallax:?} {ln_distance:?}: {name} {found}, not {expected}");
        }
        assert!(!found.is_limited && !found.is_unresolved, "{parallax:?} {ln_distance:?}");
    }
}

#[test]
fn mode_and_mean_of_a_modulus_are_those_of_the_paper() {
    // Shen et al. 2025, eqs. 3–5: with k = σ ln 10/5, mode d₀ exp(−k²), mean d₀ exp(k²/2)
    for sigma in [0.05, 0.25, 0.6] {
        let modulus = Measured { value: 11.3, error: sigma };
        let ln_distance = Measurements::ln_distance_of_modulus(modulus);
        let found = posterior(None, Some(ln_distance), DistancePrior::FlatLogDistance);
        let (k, d0): (f64, f64) = (sigma * std::f64::consts::LN_10 / 5.0, 10f64.powf(0.2 * 1.3));
        assert!((found.mode / (d0 * (-k * k).exp()) - 1.0).abs() < 1e-9);
        assert!((found.mean / (d0 * (0.5 * k * k).exp()) - 1.0).abs() < 1e-9);
        assert!((found.percentiles[1] / d0 - 1.0).abs() < 1e-7);
        // Under a density flat in d the mode is d₀ itself.
        let flat = posterior(None, Some(ln_distance), DistancePrior::FlatDistance);
        assert!((flat.mode / d0 - 1.0).abs() < 1e-9 && (flat.mean / (d0 * (1.5 * k * k).exp()) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn evidences_are_integrals() {
    // ∫ N(x; μ, k) dx over all x is 1, whatever μ and k: without its constants, k √(2π)
    for k in [1e-4, 0.1, 0.5] {
        let found = posterior(None, with(0.7, k), DistancePrior::FlatLogDistance);
        assert!((found.ln_evidence - (k * (2.0 * std::f64::consts::PI).sqrt()).ln()).abs() < 1e-9);
    }
}

#[test]
fn a_density_without_an_end_is_said_to_have_none() {
    for (value, error) in [(-1.0, 0.1), (0.1, 0.1), (0.0, 1e10), (-1e4, 0.001), (1e4, 0.01)] {
        let found = posterior(with(value, error), None, DistancePrior::FlatDistance);
        assert!(found.is_limited, "{value} ± {error}: {found:?}");
    }
    assert!(!posterior(with(0.1, 0.1), None, EXPONENTIAL).is_limited);
    assert!(!posterior(with(-1.0, 0.1), with(0.5, 0.2), DistancePrior::FlatDistance).is_limited);
}

#[test]
fn extreme_numbers_neither_panic_nor_pass_for_distances() {
    for parallax in [None, with(1e300, 1e-300), with(-1e300, 1e300), with(1e-300, 1e-300), with(5.0, 1e-12)] {
        for ln_distance in [None, with(700.0, 1e-6), with(-700.0, 1e6), with(1e300, 1.0), with(0.0, 1e-300)] {
            for prior in [DistancePrior::FlatDistance, EXPONENTIAL, DistancePrior::Galactic] {
                let measurements = Measurements { parallax, ln_distance, of_pair: None };
                let density = Density { measurements, prior, sight: None, range: DEFAULT_RANGE };
                if let Some(found) = density.posterior(&mut Workspace::default()) {
                    let [low, middle, high] = found.percentiles;
                    assert!(low <= middle && middle <= high && found.mode.is_finite(), "{measurements:?}: {found:?}");
                }
            }
        }
    }
}

/// Two moduli against a sum of 400 000 points: percentiles and modes, of densities with one maximum and with
/// two.
#[test]
fn two_moduli_are_summed_as_one_density() {
    use super::super::measurements::OfPair;
    let with = |value, error| Measured { value, error };
    for (parallax, single, pair, fraction) in [
        (Some(with(0.5, 0.02)), with(0.4, 0.06), with(0.75, 0.06), 0.1),
        (Some(with(0.5, 0.2)), with(0.4, 0.06), with(0.75, 0.06), 0.3),
        (None, with(0.4, 0.03), with(0.75, 0.1), 0.5),
        (Some(with(-0.1, 0.3)), with(1.4, 0.1), with(1.75, 0.02), 0.2),
    ] {
        let measurements =
            Measurements { parallax, ln_distance: Some(single), of_pair: Some(OfPair { ln_distance: pair, fraction }) };
        let density = Density { measurements, prior: DistancePrior::FlatLogDistance, sight: None, range: DEFAULT_RANGE };
        let found = density.posterior(&mut Workspace::default()).unwrap();
        let normal = |x: f64, of: Measured| (-0.5 * ((x - of.value) / of.error).powi(2)).exp() / of.error;
        let (n, low, high) = (400_000, -2.0, 4.0);
        let step = (high - low) / f64::from(n);
        let values: Vec<f64> = (0..n)
            .map(|i| {
                let x: f64 = low + step * (f64::from(i) + 0.5);
                let of_parallax = parallax.map_or(1.0, |of| (-0.5 * (((-x).exp() - of.value) / of.error).powi(2)).exp());
                of_parallax * ((1.0 - fraction) * normal(x, single) + fraction * normal(x, pair))
            })
            .collect();
        let total: f64 = values.iter().sum();
        let (mut cumulative, mut expected) = (0.0, Vec::new());
        for (i, value) in values.iter().enumerate() {
            cumulative += value;
            while expected.len() < 3 && cumulative >= PROBABILITIES[expected.len()] * total {
                expected.push(low + step * (i as f64 + 0.5));
            }
        }
        for (found, expected) in found.percentiles.iter().zip(&expected) {
            assert!((found.ln() - expected).abs() < 1e-4, "{measurements:?}: {} {expected}", found.ln());
        }
    }
}
