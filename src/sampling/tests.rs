//! Targets with known moments.

use super::*;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::statistics::{normal_cdf, normal_quantile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Two bananas: outer x and z from two Gaussians, inner y (positive where `positive`) about a parabola of x.
struct Bananas {
    /// Share, centre and width of x, of each.
    modes: [(f64, f64, f64); 2],
    /// y = bend x² + offset + width · N(0, 1).
    bend: f64,
    offset: f64,
    width: f64,
    at_once: usize,
}

impl Bananas {
    fn ln_outer(&self, x: f64, z: f64) -> f64 {
        let term = |(share, centre, width): (f64, f64, f64)| share / width * (-0.5 * ((x - centre) / width).powi(2)).exp();
        self.modes.into_iter().map(term).sum::<f64>().max(1e-300).ln() - 0.5 * z * z
    }

    fn residual(&self, point: &[f64]) -> f64 {
        (point[2] - self.bend * point[0] * point[0] - self.offset) / self.width
    }

    fn at(&self, point: &[f64]) -> f64 {
        -2.0 * self.ln_outer(point[0], point[1]) + self.residual(point).powi(2)
    }

    /// Laplace's approximation of each mode, as an optimiser would leave it.
    fn local(&self) -> Vec<Mode> {
        let mode = |(share, centre, width): (f64, f64, f64)| {
            let slope = -2.0 * self.bend * centre / self.width;
            let across = 1.0 / self.width;
            let information =
                [width.powi(-2) + slope * slope, 0.0, slope * across, 0.0, 1.0, 0.0, slope * across, 0.0, across * across];
            Mode {
                centre: vec![centre, 0.0, (self.bend * centre * centre + self.offset).max(0.0)],
                covariance: invert_positive_semidefinite(&information, 3).unwrap().matrix,
                weight: share,
            }
        };
        self.modes.into_iter().map(mode).collect()
    }
}

impl Target for Bananas {
    fn at_once(&self) -> usize {
        self.at_once
    }

    fn along_inner(&mut self, points: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> Result<()> {
        for (i, point) in points.chunks_exact(3).enumerate() {
            gradient[i] = 2.0 * self.residual(point) / self.width;
            curvature[i] = 2.0 / (self.width * self.width);
        }
        Ok(())
    }

    fn loss(&mut self, points: &[f64], loss: &mut [f64]) -> Result<()> {
        loss.iter_mut().zip(points.chunks_exact(3)).for_each(|(loss, point)| *loss = self.at(point));
        Ok(())
    }
}

/// The same with all coordinates outer: a Student-like mixture of Gaussians alone.
struct AllOuter<'a>(&'a mut Bananas);

impl Target for AllOuter<'_> {
    fn at_once(&self) -> usize {
        1
    }

    fn along_inner(&mut self, _points: &[f64], _gradient: &mut [f64], _curvature: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn loss(&mut self, points: &[f64], loss: &mut [f64]) -> Result<()> {
        self.0.loss(points, loss)
    }
}

fn layout(least: f64) -> Layout {
    let mut bounds = Bounds::unbounded(3);
    bounds.lower[2] = least;
    Layout { outer: vec![0, 1], inner: vec![2], bounds }
}

const SETTINGS: Settings = Settings { draws: 400, least_effective: 50.0 };

/// Mean of the estimates of many seeds, with its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn moments_and_shares_of_two_bananas_are_the_analytic_ones() {
    let mut target = Bananas { modes: [(0.7, 0.0, 0.5), (0.3, 6.0, 0.3)], bend: 3.0, offset: 1.0, width: 0.02, at_once: 1 };
    let modes = target.local();
    let layout = layout(f64::NEG_INFINITY);
    let found: Vec<Sample> = (0..200).map(|seed| sample(&mut target, &layout, &modes, &SETTINGS, seed).unwrap()).collect();
    let of = |value: &dyn Fn(&Sample) -> f64| mean_and_error(&found.iter().map(value).collect::<Vec<f64>>());
    // ⟨x⟩ = Σ s c, ⟨x²⟩ = Σ s (c² + w²), ⟨y⟩ = bend ⟨x²⟩ + offset.
    let (mean, second) = (0.3 * 6.0, 0.7 * 0.25 + 0.3 * (36.0 + 0.09));
    type Check<'a> = (&'a str, f64, &'a dyn Fn(&Sample) -> f64);
    let checks: [Check<'_>; 5] = [
        ("x", mean, &|s| moments(s.points.view(), &s.weights).mean[0]),
        ("z", 0.0, &|s| moments(s.points.view(), &s.weights).mean[1]),
        ("y", 3.0 * second + 1.0, &|s| moments(s.points.view(), &s.weights).mean[2]),
        ("variance of x", second - mean * mean, &|s| moments(s.points.view(), &s.weights).covariance[0]),
        ("share", 0.3, &|s| s.shares[1]),
    ];
    for (name, expected, value) in checks {
        let (mean, error) = of(value);
        assert!((mean - expected).abs() < 4.0 * error + 1e-3 * expected.abs(), "{name}: {mean} ± {error}, {expected}");
    }
    let (size, _) = of(&|s| s.effective_size);
    let draws = of(&|s| s.weights.len() as f64).0;
    assert!(size > 0.45 * draws, "{size} of {draws}");
    // However many points are evaluated together.
    target.at_once = usize::MAX;
    let together = sample(&mut target, &layout, &modes, &SETTINGS, 3).unwrap();
    assert!(together.points == found[3].points && together.weights == found[3].weights);
    // A Gaussian proposal in all coordinates, as good as it can be adapted, does not follow the bend.
    let all = Layout { outer: vec![0, 1, 2], inner: Vec::new(), bounds: Bounds::unbounded(3) };
    let naive = sample(&mut AllOuter(&mut target), &all, &modes, &SETTINGS, 1).unwrap();
    let draws = naive.weights.len() as f64;
    assert!(naive.effective_size < 0.2 * draws, "{} of {draws}", naive.effective_size);
    // And one that knows a single mode misses the other.
    let single = sample(&mut target, &layout, &modes[..1], &SETTINGS, 1).unwrap();
    assert!(moments(single.points.view(), &single.weights).mean[0] < 0.5);
}

#[test]
fn a_bound_cuts_the_inner_coordinate() {
    // y ~ N(offset, width) above zero, whatever x is.
    for offset in [0.5, 0.0, -0.02, -0.2, -1.0] {
        let mut target = Bananas { modes: [(1.0, 0.0, 0.5), (1e-9, 0.0, 0.5)], bend: 0.0, offset, width: 0.1, at_once: 7 };
        let modes = target.local();
        let found: Vec<f64> = (0..60)
            .map(|seed| {
                let sample = sample(&mut target, &layout(0.0), &modes[..1], &SETTINGS, seed).unwrap();
                assert!(sample.points.column(2).iter().all(|y| *y >= 0.0));
                moments(sample.points.view(), &sample.weights).mean[2]
            })
            .collect();
        let alpha = -offset / 0.1_f64;
        let mills = (-0.5 * alpha * alpha).exp() / (2.0 * std::f64::consts::PI).sqrt() / normal_cdf(-alpha);
        let (expected, (mean, error)) = (offset + 0.1 * mills, mean_and_error(&found));
        assert!((mean - expected).abs() < 4.0 * error + 2e-3 * expected, "{offset}: {mean} ± {error}, {expected}");
    }
}

/// Weights that are quantiles of a Pareto distribution of known shape.
#[test]
fn the_shape_of_a_pareto_tail_is_found_and_a_light_tail_is_trusted() {
    for (shape, least, most) in [(0.2, 0.1, 0.35), (0.9, 0.75, 1.0)] {
        let mut ln_weights: Vec<f64> = (0..4000).map(|i| (1.0 - (f64::from(i) + 0.5) / 4000.0).powf(-shape).ln()).collect();
        let found = smooth_tail(&mut ln_weights);
        assert!(found > least && found < most, "{shape}: {found}");
    }
    let mut equal = vec![-3.0; 200];
    assert!(smooth_tail(&mut equal).is_nan() && equal == [-3.0; 200]);
    let mut few = vec![0.0, -1.0, f64::NEG_INFINITY, -2.0];
    assert!(smooth_tail(&mut few).is_nan());
}

#[test]
fn quantiles_of_equal_weights_are_those_of_numpy() {
    // numpy.quantile([3, 1, 2, 10], [0.1, 0.5, 0.9], method="hazen")
    let found = quantiles([3.0, 1.0, 2.0, 10.0], &[0.25; 4], [0.1, 0.5, 0.9]);
    assert!(found.iter().zip([1.0, 2.5, 10.0]).all(|(found, expected)| (found - expected).abs() < 1e-12), "{found:?}");
    // A draw without a weight is none; one of double weight stands for two.
    let found = quantiles([3.0, 1.0, -7.0], &[0.5, 0.5, 0.0], [0.025, 0.5, 0.975]);
    assert!(found.iter().zip([1.0, 2.0, 3.0]).all(|(found, expected)| (found - expected).abs() < 1e-12), "{found:?}");
    assert!(quantiles([1.0], &[0.0], [0.5])[0].is_nan());
    let nothing = moments(ndarray::array![[1.0, 2.0]].view(), &[0.0]);
    assert!(nothing.mean.iter().chain(&nothing.covariance).all(|x| x.is_nan()));
}

#[test]
fn intervals_of_few_draws_hold_what_they_say_in_the_mean() {
    // Of 40 draws of a uniform distribution, whose intervals are as wide as what they hold.
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut of = |probabilities: [f64; 2]| {
        let widths = (0..4000).map(|_| {
            let draws = (0..40).map(|_| random.r#gen::<f64>());
            let [low, high] = quantiles(draws, &[1.0 / 40.0; 40], probabilities);
            high - low
        });
        mean_and_error(&widths.collect::<Vec<f64>>())
    };
    let (plain, error) = of([0.05, 0.95]);
    assert!(plain < 0.9 - 10.0 * error, "{plain} ± {error}");
    let (corrected, error) = of(unbiased([0.05, 0.95], 40.0));
    assert!((corrected - 0.9).abs() < 4.0 * error, "{corrected} ± {error}");
}

#[test]
fn points_are_even_and_normal_quantiles_invert_the_distribution() {
    let mut points = super::points::Points::new(5, 3);
    let mut counts = [[0; 8]; 5];
    for _ in 0..256 {
        for (count, x) in counts.iter_mut().zip(points.next()) {
            count[(x * 8.0) as usize] += 1;
        }
    }
    assert!(counts.iter().flatten().all(|count| (28..=36).contains(count)), "{counts:?}");
    for p in [1e-12, 1e-4, 0.025, 0.3, 0.5, 0.84, 0.999] {
        assert!((normal_cdf(normal_quantile(p)) / p - 1.0).abs() < 1e-12, "{p}");
    }
}
