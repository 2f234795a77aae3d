//! Histograms with equal bins.

use crate::statistics::percentiles;

/// Counts in equal bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Edges of the bins, one more than counts.
    pub edges: Vec<f64>,
    /// Number of values in each bin; the last bin is closed.
    pub counts: Vec<f64>,
    /// Finite values outside the range.
    pub outside: usize,
}

impl Histogram {
    /// Counts the finite values in `n_bins` equal bins over `range`.
    pub fn new(values: &[f64], (low, high): (f64, f64), n_bins: usize) -> Self {
        let width = (high - low) / n_bins as f64;
        let edges = (0..=n_bins).map(|i| low + width * i as f64).collect();
        let mut histogram = Self { edges, counts: vec![0.0; n_bins], outside: 0 };
        for value in values.iter().filter(|value| value.is_finite()) {
            if (low..=high).contains(value) && n_bins > 0 {
                histogram.counts[(((value - low) / width) as usize).min(n_bins - 1)] += 1.0;
            } else {
                histogram.outside += 1;
            }
        }
        histogram
    }

    /// Counts divided by the number of finite values (outside the range or not) and the bin width.
    pub fn density(&self) -> Vec<f64> {
        let total = self.counts.iter().sum::<f64>() + self.outside as f64;
        let width = self.edges[1] - self.edges[0];
        self.counts.iter().map(|count| count / (total.max(1.0) * width)).collect()
    }
}

/// Number of bins by Freedman & Diaconis (1981), 2·IQR·n^(−1/3) wide over `range`, between 10 and 80.
pub fn number_of_bins(values: &[f64], range: (f64, f64)) -> usize {
    let [low, high] = percentiles(values, [25.0, 75.0]);
    let n = values.iter().filter(|value| value.is_finite()).count() as f64;
    let bins = (range.1 - range.0) / (2.0 * (high - low) / n.cbrt());
    if bins.is_finite() { (bins.ceil() as usize).clamp(10, 80) } else { 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_numpy() {
        // numpy 2.4.6: np.histogram([-2, 0, 0.49, 0.5, 1, 1.5, 2], bins=4, range=(0, 2)) gives [2, 1, 1, 2]
        let histogram = Histogram::new(&[-2.0, 0.0, 0.49, 0.5, 1.0, 1.5, 2.0, f64::NAN], (0.0, 2.0), 4);
        assert_eq!((histogram.counts.clone(), histogram.outside), (vec![2.0, 1.0, 1.0, 2.0], 1));
        assert!((histogram.density().iter().sum::<f64>() * 0.5 - 6.0 / 7.0).abs() < 1e-12);
        assert_eq!(number_of_bins(&[], (0.0, 1.0)), 10);
    }
}
