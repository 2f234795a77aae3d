//! The one-sample Kolmogorov–Smirnov test against N(0, 1): do pulls have the distribution that their errors
//! promise?

use crate::statistics::normal_cdf;
use serde::Serialize;
use std::f64::consts::PI;

/// Result of a Kolmogorov–Smirnov test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KolmogorovSmirnov {
    /// Largest distance between the empirical and the normal distribution function.
    pub statistic: f64,
    /// Probability of a larger distance if the values are drawn from N(0, 1); NaN when there are no values.
    pub p_value: f64,
}

/// Two-sided Kolmogorov–Smirnov test of the finite values against N(0, 1).
///
/// The p-value is the asymptotic one at (√n + 0.12 + 0.11/√n)·D (Stephens 1970, J. R. Stat. Soc. B 32, 115),
/// accurate to about 0.005 from n = 5 on.
pub fn kolmogorov_smirnov_normal(values: &[f64]) -> KolmogorovSmirnov {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if sorted.is_empty() {
        return KolmogorovSmirnov { statistic: f64::NAN, p_value: f64::NAN };
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let statistic = sorted.iter().enumerate().fold(0.0_f64, |largest, (i, &value)| {
        let cdf = normal_cdf(value);
        largest.max(cdf - i as f64 / n).max((i + 1) as f64 / n - cdf)
    });
    let scaled = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * statistic;
    KolmogorovSmirnov { statistic, p_value: kolmogorov_survival(scaled) }
}

/// Survival function of the Kolmogorov distribution, by whichever of its two series converges fast.
fn kolmogorov_survival(x: f64) -> f64 {
    const TERMS: i32 = 8;
    if x <= 0.0 {
        return 1.0;
    }
    let survival = if x < 1.0 {
        let sum: f64 = (1..=TERMS).map(|j| (-(f64::from(2 * j - 1) * PI / x).powi(2) / 8.0).exp()).sum();
        1.0 - (2.0 * PI).sqrt() / x * sum
    } else {
        let sign = |j: i32| if j % 2 == 1 { 2.0 } else { -2.0 };
        (1..=TERMS).map(|j| sign(j) * (-2.0 * (f64::from(j) * x).powi(2)).exp()).sum()
    };
    survival.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survival_function_is_that_of_scipy() {
        // scipy 1.17.1: scipy.stats.kstwobign.sf([0.3, 0.7, 0.9999, 1.0, 1.36, 2.0])
        let expected = [
            (0.3, 0.9999906941986655),
            (0.7, 0.7112351950296893),
            (0.9999, 0.2701068819688554),
            (1.0, 0.26999967167735456),
            (1.36, 0.049485876755377876),
            (2.0, 0.0006709252557796953),
        ];
        for (x, expected) in expected {
            assert!((kolmogorov_survival(x) - expected).abs() < 1e-12, "{x}: {}", kolmogorov_survival(x));
        }
    }

    #[test]
    fn test_against_the_normal_is_that_of_scipy() {
        // scipy 1.17.1: scipy.stats.kstest(v, "norm"), exact p-values; observed differences of p: see
        // tolerances
        let centred = [-1.3, -0.2, 0.1, 0.4, 0.9, 1.7, -0.6, 0.05, -2.1, 1.1, f64::NAN];
        let shifted: Vec<f64> = (0..60).map(|i| 0.35 + 0.05 * f64::from(i - 30)).collect();
        let found = kolmogorov_smirnov_normal(&centred);
        assert!(
            (found.statistic - 0.12074029056089697).abs() < 1e-12 && (found.p_value - 0.9944670623305146).abs() < 0.005,
            "{found:?}"
        );
        let found = kolmogorov_smirnov_normal(&shifted);
        assert!(
            (found.statistic - 0.14241354891659308).abs() < 1e-12 && (found.p_value - 0.15906750439231176).abs() < 0.002,
            "{found:?}"
        );
        assert!(kolmogorov_smirnov_normal(&[f64::NAN]).p_value.is_nan());
    }
}
