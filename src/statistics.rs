//! Robust statistics of residuals and pulls. Non-finite values are ignored everywhere; a statistic of nothing
//! is NaN.

use serde::Serialize;

/// σ of a normal distribution over its median absolute deviation, 1/Φ⁻¹(3/4).
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Standard error of the median of n normal values is this times σ/√n: √(π/2).
const MEDIAN_ERROR: f64 = 1.253_314_137_315_500_3;

/// Standard error of 1.4826·MAD of n normal values is this times σ/√n: 1/(4 q φ(q)) with q = Φ⁻¹(3/4)
/// (Rousseeuw & Croux 1993, sec. 2: asymptotic efficiency 36.74 %).
pub const MAD_SIGMA_ERROR: f64 = 1.166_4;

/// Probability that a normal value lies within ±1σ.
pub const WITHIN_ONE_SIGMA: f64 = 0.682_689_492_137_086;

/// Probability that a normal value lies within ±1.959964σ is 95 %; this is that factor.
pub const SIGMA_OF_95_PERCENT: f64 = 1.959_963_984_540_054;

/// A measured number with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    pub value: f64,
    pub error: f64,
}

/// Distribution function of N(0, 1).
pub fn normal_cdf(value: f64) -> f64 {
    0.5 * libm::erfc(-value * std::f64::consts::FRAC_1_SQRT_2)
}

/// The smallest count of `n` trials, each of which is one with the probability `share`, up to which lie at
/// least a `probability` of all cases: exact, but for variances so large that the normal distribution is as
/// good as that.
pub fn binomial_quantile(n: u64, share: f64, probability: f64) -> f64 {
    let (mean, variance) = (n as f64 * share, n as f64 * share * (1.0 - share));
    if variance > LARGE_VARIANCE {
        return (mean + normal_quantile(probability) * variance.sqrt()).round().clamp(0.0, n as f64);
    }
    // Up to this variance, the first term is no smaller than numbers can be.
    let odds = share / (1.0 - share);
    let (mut count, mut term) = (0, (n as f64 * (-share).ln_1p()).exp());
    let mut sum = term;
    while sum < probability && count < n {
        term *= odds * (n - count) as f64 / (count + 1) as f64;
        count += 1;
        sum += term;
    }
    count as f64
}

/// Of binomial distributions that are taken for normal ones.
const LARGE_VARIANCE: f64 = 200.0;

/// The value below which N(0, 1) has the `probability`: the rational approximations of Wichura (1988,
/// algorithm AS 241), with a relative error of 1e-15. Infinite at 0 and 1, NaN beyond.
pub fn normal_quantile(probability: f64) -> f64 {
    let ratio = |x: f64, above: [f64; 8], below: [f64; 8]| {
        let polynomial = |c: [f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * x + c);
        polynomial(above) / polynomial(below)
    };
    let q = probability - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(0.180_625 - q * q, CENTRE[0], CENTRE[1]);
    }
    let tail = probability.min(1.0 - probability);
    if tail <= 0.0 || tail.is_nan() {
        return if tail == 0.0 { f64::INFINITY.copysign(q) } else { f64::NAN };
    }
    let r = (-tail.ln()).sqrt();
    let value = if r <= 5.0 { ratio(r - 1.6, SHOULDER[0], SHOULDER[1]) } else { ratio(r - 5.0, TAIL[0], TAIL[1]) };
    value.copysign(q)
}

/// Numerators and denominators of AS 241, lowest power first: near the median, …
const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];
/// … away from it, …
const SHOULDER: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];
/// … and below e⁻²⁵.
const TAIL: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_7e-15,
    ],
];

/// Probability that χ² with `degrees_of_freedom` (not necessarily an integer) is `chi_square` or larger: the
/// regularised incomplete gamma function Q(n/2, χ²/2), by its series below the mean and by its continued
/// fraction (Lentz's method) above (Press et al. 2007, sec. 6.2). NaN for numbers that make no sense.
pub fn chi_square_tail(chi_square: f64, degrees_of_freedom: f64) -> f64 {
    let (a, x) = (0.5 * degrees_of_freedom, 0.5 * chi_square);
    if !(a > 0.0 && a.is_finite() && x >= 0.0) {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return if x == 0.0 { 1.0 } else { 0.0 };
    }
    let front = (a * x.ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > f64::EPSILON * sum {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (1.0 - front * sum).max(0.0);
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (f64::MAX, 1.0 / b);
    let mut fraction = d;
    for i in 1..10_000 {
        let i = f64::from(i);
        let numerator = i * (a - i);
        b += 2.0;
        d = 1.0 / nonzero(numerator * d + b);
        c = nonzero(b + numerator / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    front * fraction
}

/// What stands for zero in a denominator of Lentz's method.
fn nonzero(x: f64) -> f64 {
    if x.abs() < 1e-290 { 1e-290 } else { x }
}

/// What pulls, (estimate − truth)/σ, say about the errors; all numbers would be 0, 1, 0.683, 0.95 for perfect
/// ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PullStatistics {
    /// Number of finite pulls.
    pub n: usize,
    /// Median and its Monte-Carlo error.
    pub median: Measured,
    /// 1.4826·MAD about the median and its Monte-Carlo error.
    pub scatter: Measured,
    /// Fraction within ±1σ (68.3 % expected) and its binomial error.
    pub within_68: Measured,
    /// Fraction within ±1.96σ (95 % expected) and its binomial error.
    pub within_95: Measured,
}

/// Running percentiles of y in one bin of x.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RunningBin {
    /// Median of x in the bin.
    pub centre: f64,
    /// Number of pairs in the bin.
    pub n: usize,
    /// 16th percentile of y.
    pub low: f64,
    /// Median of y.
    pub median: f64,
    /// 84th percentile of y.
    pub high: f64,
    /// Standard error of the median, from the bin's robust scatter.
    pub median_error: f64,
}

/// The finite values in ascending order.
fn finite_sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Percentile of ascending values with linear interpolation (numpy's default, type 7 of Hyndman & Fan 1996).
fn percentile_of_sorted(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// Percentile (0–100) of the finite values, linearly interpolated; NaN when there are none.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    percentile_of_sorted(&finite_sorted(values), percent)
}

/// Several percentiles (0–100) of the finite values with one sort.
pub fn percentiles<const K: usize>(values: &[f64], percents: [f64; K]) -> [f64; K] {
    let sorted = finite_sorted(values);
    percents.map(|percent| percentile_of_sorted(&sorted, percent))
}

/// Median of the finite values; NaN when there are none.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// Robust standard deviation 1.4826·MAD about the median; NaN when there are no finite values.
pub fn robust_scatter(values: &[f64]) -> f64 {
    let centre = median(values);
    let deviations: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    MAD_TO_SIGMA * median(&deviations)
}

/// 1.4826 times the median absolute value: the scatter of pulls about zero. Infinite values count as large;
/// NaN for none.
pub fn scatter_about_zero(values: &[f64]) -> f64 {
    let mut absolute: Vec<f64> = values.iter().map(|value| value.abs()).filter(|value| !value.is_nan()).collect();
    absolute.sort_unstable_by(f64::total_cmp);
    absolute.get(absolute.len() / 2).map_or(f64::NAN, |median| MAD_TO_SIGMA * median)
}

/// Fraction of the finite pulls with |pull| ≤ `n_sigma`, with its binomial standard error.
pub fn coverage(pulls: &[f64], n_sigma: f64) -> Measured {
    let finite = pulls.iter().filter(|pull| pull.is_finite()).count();
    let inside = pulls.iter().filter(|pull| pull.abs() <= n_sigma).count();
    let value = inside as f64 / finite as f64;
    Measured { value, error: (value * (1.0 - value) / finite as f64).sqrt() }
}

/// 95 % interval of the probability of which `count` of `n` trials are a sample (Wilson 1927): right also
/// where `count` is zero or `n`; the whole range where there are no trials.
pub fn wilson_interval(count: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (n, z_square) = (n as f64, SIGMA_OF_95_PERCENT * SIGMA_OF_95_PERCENT);
    let fraction = count as f64 / n;
    let centre = fraction + z_square / (2.0 * n);
    let width = SIGMA_OF_95_PERCENT * (fraction * (1.0 - fraction) / n + z_square / (4.0 * n * n)).sqrt();
    let bound = |sign: f64| ((centre + sign * width) / (1.0 + z_square / n)).clamp(0.0, 1.0);
    [bound(-1.0), bound(1.0)]
}

/// Median, scatter and coverage of pulls, with the errors that they have for as many normal values.
pub fn pull_statistics(pulls: &[f64]) -> PullStatistics {
    let n = pulls.iter().filter(|pull| pull.is_finite()).count();
    let scatter = robust_scatter(pulls);
    let unit = scatter / (n as f64).sqrt();
    PullStatistics {
        n,
        median: Measured { value: median(pulls), error: MEDIAN_ERROR * unit },
        scatter: Measured { value: scatter, error: MAD_SIGMA_ERROR * unit },
        within_68: coverage(pulls, 1.0),
        within_95: coverage(pulls, SIGMA_OF_95_PERCENT),
    }
}

/// At most `n_bins + 1` increasing edges that put about equally many of the finite values of `x` in each bin.
pub fn equal_count_edges(x: &[f64], n_bins: usize) -> Vec<f64> {
    let sorted = finite_sorted(x);
    if sorted.is_empty() || n_bins == 0 {
        return Vec::new();
    }
    let mut edges: Vec<f64> = (0..=n_bins).map(|i| percentile_of_sorted(&sorted, 100.0 * i as f64 / n_bins as f64)).collect();
    edges.dedup();
    edges
}

/// Median and 16th–84th percentiles of y in bins of x: `[edge, next edge)`, the last bin closed. Pairs in
/// which either is not finite, and bins without pairs, are left out.
pub fn running_median(x: &[f64], y: &[f64], edges: &[f64]) -> Vec<RunningBin> {
    let Some(n_bins) = edges.len().checked_sub(1) else { return Vec::new() };
    let mut bins: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); n_bins];
    for (&x, &y) in x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()) {
        let after = edges.partition_point(|&edge| edge <= x);
        let bin = if x == edges[n_bins] { n_bins } else { after };
        if (1..=n_bins).contains(&bin) {
            bins[bin - 1].0.push(x);
            bins[bin - 1].1.push(y);
        }
    }
    bins.iter()
        .filter(|(_, y)| !y.is_empty())
        .map(|(x, y)| {
            let [low, middle, high] = percentiles(y, [16.0, 50.0, 84.0]);
            let median_error = MEDIAN_ERROR * robust_scatter(y) / (y.len() as f64).sqrt();
            RunningBin { centre: median(x), n: y.len(), low, median: middle, high, median_error }
        })
        .collect()
}

/// Irrational steps of an additive recurrence whose points fill the unit cube evenly: powers of the inverse
/// of the root of g^(d + 1) = g + 1 (Roberts 2018).
pub fn evenly_filling_steps(dimension: usize) -> Vec<f64> {
    let root = (0..64).fold(1.5_f64, |root, _| (1.0 + root).powf(1.0 / (dimension as f64 + 1.0)));
    (1..=dimension).map(|k| root.powi(-(k as i32))).collect()
}

/// The largest of values that are not negative, zero without any; NaN where one is NaN, so that what is not
/// known is not small.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |largest, value| if largest.is_nan() || value <= largest { largest } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;

    const VALUES: [f64; 9] = [2.0, -1.0, 7.5, 3.0, 3.5, 100.0, f64::NAN, 0.25, -4.0];

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    /// Python 3: sums of math.comb(n, k) p**k (1 - p)**(n - k).
    #[test]
    fn binomial_quantiles_are_those_of_the_sums_of_terms() {
        for (n, share, low, high) in
            [(10, 0.1, 0.0, 3.0), (10, 0.025, 0.0, 1.0), (200, 0.135, 18.0, 37.0), (1800, 0.1, 155.0, 205.0)]
        {
            assert_eq!([0.025, 0.975].map(|of| binomial_quantile(n, share, of)), [low, high], "{n} {share}");
        }
        let [low, high] = [0.025, 0.975].map(|of| binomial_quantile(20_000, 0.1, of));
        assert!((low - 1917.0).abs() <= 1.0 && (high - 2084.0).abs() <= 1.0, "{low} {high}");
        assert_eq!(binomial_quantile(0, 0.1, 0.975), 0.0);
    }

    /// SciPy 1.17.1: scipy.stats.norm.ppf.
    #[test]
    fn normal_quantiles_are_those_of_scipy() {
        for (probability, expected) in [
            (1e-300, -37.0471),
            (1e-20, -9.262340089798408),
            (0.025, -1.9599639845400545),
            (0.1, -1.2815515655446004),
            (0.5, 0.0),
            (0.84, 0.994457883209753),
            (0.975, 1.959963984540054),
        ] {
            let found = normal_quantile(probability);
            assert!(
                (found - expected).abs() <= 1e-13 * expected.abs() + if probability < 1e-100 { 1e-4 } else { 0.0 },
                "{found} {expected}"
            );
        }
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(normal_quantile(1.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    #[test]
    fn robust_statistics_are_those_of_scipy() {
        // numpy 2.4.6 and scipy 1.17.1 on VALUES without the NaN: np.median, np.percentile(v, [5, 16, 84]),
        // scipy.stats.median_abs_deviation(v, scale="normal")
        close(median(&VALUES), 2.5);
        let [p5, p16, p84] = percentiles(&VALUES, [5.0, 16.0, 84.0]);
        close(p5, -2.95);
        close(p16, -0.85);
        close(p84, 7.02);
        assert!((robust_scatter(&VALUES) - 4.262_481_378_203_606).abs() < 1e-12);
    }

    /// SciPy 1.17.1: scipy.stats.chi2.sf(x, n).
    #[test]
    fn tails_of_chi_square_are_those_of_scipy() {
        for (degrees, chi_square, expected) in [
            (1.0, 0.01, 0.920344325445942),
            (1.0, 3.84, 0.05004352124870519),
            (3.0, 6.0, 0.11161022509471268),
            (4.3, 19.1, 0.0009975868166725718),
            (0.2, 5.0, 0.0029437976039277513),
            (61.0, 60.0, 0.5121852443117401),
            (61.0, 122.0, 5.85509393074879e-06),
            (2.0, 1400.0, 9.85967654375939e-305),
            (5000.0, 5200.0, 0.023818998020740657),
            (5.7, 0.001, 0.9999999999216256),
        ] {
            let found = chi_square_tail(chi_square, degrees);
            assert!((found / expected - 1.0).abs() < 1e-10, "{degrees}, {chi_square}: {found} is not {expected}");
        }
        assert_eq!((chi_square_tail(0.0, 3.0), chi_square_tail(f64::INFINITY, 3.0)), (1.0, 0.0));
        assert!(chi_square_tail(1.0, 0.0).is_nan() && chi_square_tail(-1.0, 3.0).is_nan());
    }

    #[test]
    fn nothing_gives_nan_not_a_panic() {
        for empty in [&[][..], &[f64::NAN; 3], &[f64::INFINITY]] {
            assert!(median(empty).is_nan() && robust_scatter(empty).is_nan() && coverage(empty, 1.0).value.is_nan());
            assert_eq!(pull_statistics(empty).n, 0);
            assert!(equal_count_edges(empty, 4).is_empty());
        }
        assert!(running_median(&[1.0], &[1.0], &[]).is_empty());
    }

    #[test]
    fn pulls_of_normal_noise_agree_with_their_own_errors() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let trials = 400;
        let n = 500;
        let mut deviations = [Vec::new(), Vec::new()];
        for _ in 0..trials {
            let pulls: Vec<f64> = (0..n).map(|_| rng.sample(StandardNormal)).collect();
            let statistics = pull_statistics(&pulls);
            deviations[0].push(statistics.median.value / statistics.median.error);
            deviations[1].push((statistics.scatter.value - 1.0) / statistics.scatter.error);
        }
        // 400 normal values have a standard deviation of 1 ± 0.035; observed 0.955 and 0.969
        for deviations in deviations {
            let spread = (deviations.iter().map(|value| value * value).sum::<f64>() / trials as f64).sqrt();
            assert!((spread - 1.0).abs() < 0.12, "{spread}");
        }
    }

    #[test]
    fn coverage_counts_inclusive_and_ignores_nan() {
        let found = coverage(&[0.5, -1.0, 2.0, f64::NAN, -3.0], 1.0);
        assert_eq!(found, Measured { value: 0.5, error: 0.25 });
    }

    #[test]
    fn wilson_intervals_are_those_of_scipy() {
        // scipy 1.17.1: binomtest(k, n).proportion_ci(method="wilson")
        for (count, n, low, high) in [
            (0, 1000, 0.0, 0.003_826_758_485_555_123),
            (3, 1000, 0.001_020_783_881_138_619, 0.008_783_014_053_503_17),
            (50, 50, 0.928_652_400_866_641_2, 1.0),
        ] {
            let [found_low, found_high] = wilson_interval(count, n);
            close(found_low, low);
            close(found_high, high);
        }
        assert_eq!(wilson_interval(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn running_median_closes_the_last_bin_and_skips_empty_ones() {
        let x = [0.0, 0.5, 1.0, 3.0, f64::NAN, 4.0];
        let y = [1.0, 3.0, 5.0, 7.0, 9.0, f64::NAN];
        let bins = running_median(&x, &y, &[0.0, 1.0, 2.0, 2.5, 3.0]);
        let found: Vec<(f64, usize, f64)> = bins.iter().map(|bin| (bin.centre, bin.n, bin.median)).collect();
        assert_eq!(found, vec![(0.25, 2, 2.0), (1.0, 1, 5.0), (3.0, 1, 7.0)]);
    }

    #[test]
    fn equal_count_edges_hold_equal_counts() {
        let x: Vec<f64> = (0..100).map(|i| (i as f64).exp2()).collect();
        let bins = running_median(&x, &x, &equal_count_edges(&x, 5));
        assert!(bins.len() == 5 && bins.iter().all(|bin| bin.n == 20), "{bins:?}");
        assert_eq!(equal_count_edges(&[3.0; 10], 5), vec![3.0]);
    }
}
