//! Moments and quantiles of weighted draws.

use ndarray::ArrayView2;

/// Mean `[P]` and covariance `[P, P]` (row-major).
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
}

/// Moments of draws `[n, P]` with normalised weights; NaN where no draw has one.
pub fn moments(draws: ArrayView2<'_, f64>, weights: &[f64]) -> Moments {
    let p = draws.ncols();
    if !weights.iter().any(|weight| *weight > 0.0) {
        return Moments { mean: vec![f64::NAN; p], covariance: vec![f64::NAN; p * p] };
    }
    let (mut mean, mut covariance) = (vec![0.0; p], vec![0.0; p * p]);
    let heavy = || draws.rows().into_iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    for (row, weight) in heavy() {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += weight * x);
    }
    for (row, weight) in heavy() {
        for i in 0..p {
            for j in 0..=i {
                covariance[i * p + j] += weight * (row[i] - mean[i]) * (row[j] - mean[j]);
            }
        }
    }
    for i in 0..p {
        for j in 0..i {
            covariance[j * p + i] = covariance[i * p + j];
        }
    }
    Moments { mean, covariance }
}

/// The probabilities at which [`quantiles`] of so many effective draws have the wanted `probabilities` in the
/// mean.
pub fn unbiased<const K: usize>(probabilities: [f64; K], effective_size: f64) -> [f64; K] {
    probabilities.map(|p| (p + (p - 0.5) / effective_size.max(1.0)).clamp(0.0, 1.0))
}

/// Quantiles of draws with normalised weights, at `probabilities` in ascending order: linear between the
/// draws, each of which stands at the middle of its weight. NaN where no draw has a weight.
///
/// Of n independent draws, the place of the k-th has the mean k/(n + 1), not (k − ½)/n: intervals between
/// quantiles of few draws hold less than they say. [`unbiased`] turns probabilities into those whose
/// quantiles hold them in the mean.
pub fn quantiles<const K: usize>(draws: impl IntoIterator<Item = f64>, weights: &[f64], probabilities: [f64; K]) -> [f64; K] {
    let mut order: Vec<(f64, f64)> = draws.into_iter().zip(weights.iter().copied()).filter(|(_, weight)| *weight > 0.0).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut found = [f64::NAN; K];
    let Some(&(first, _)) = order.first() else { return found };
    let (mut before, mut reached, mut next) = (first, 0.0, 0);
    let mut sum = 0.0;
    for &(x, weight) in &order {
        let middle = sum + 0.5 * weight;
        while next < K && probabilities[next] <= middle {
            let share = if middle > reached { (probabilities[next] - reached) / (middle - reached) } else { 1.0 };
            found[next] = if sum == 0.0 { x } else { before + share * (x - before) };
            next += 1;
        }
        (before, reached) = (x, middle);
        sum += weight;
    }
    found[next..].fill(before);
    found
}
