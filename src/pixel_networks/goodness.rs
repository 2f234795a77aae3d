//! χ² of a fit against that of good spectra of about the same signal-to-noise ratio (Zhang et al. 2024, eq.
//! 4).

use crate::error::{Error, Result};
use crate::statistics::{equal_count_edges, median};
use serde::{Deserialize, Serialize};

/// Fewest spectra in a bin.
const FEWEST: usize = 50;
const MOST_BINS: usize = 10;

/// Medians and median absolute deviations of χ² per pixel in bins of the signal-to-noise ratio: stored with a
/// model, so that a part of a survey is judged as the whole is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goodness {
    /// Edges of the bins, one more than medians; the first and the last bin have no end.
    pub edges: Vec<f64>,
    pub median: Vec<f64>,
    pub deviation: Vec<f64>,
}

impl Goodness {
    /// From spectra that are known to be good: their signal-to-noise ratios and χ² per pixel. None of fewer
    /// than 50.
    pub fn of(ratio: &[f64], chi_square: &[f64]) -> Self {
        let known: Vec<usize> = (0..ratio.len()).filter(|&i| ratio[i].is_finite() && chi_square[i].is_finite()).collect();
        let ratios: Vec<f64> = known.iter().map(|&i| ratio[i]).collect();
        if known.len() < FEWEST {
            return Self::default();
        }
        let mut edges = equal_count_edges(&ratios, (known.len() / FEWEST).clamp(1, MOST_BINS));
        // One bin where all ratios are the same.
        edges.resize(edges.len().max(2), ratios[0]);
        let mut goodness = Self { edges, ..Self::default() };
        for bin in 0..goodness.edges.len() - 1 {
            let inside: Vec<f64> = known.iter().filter(|&&i| goodness.bin(ratio[i]) == bin).map(|&i| chi_square[i]).collect();
            let middle = median(&inside);
            goodness.median.push(middle);
            goodness.deviation.push(median(&inside.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>()));
        }
        goodness
    }

    fn bin(&self, ratio: f64) -> usize {
        let last = self.edges.len().saturating_sub(2);
        self.edges.partition_point(|edge| *edge <= ratio).saturating_sub(1).min(last)
    }

    /// Whether no good spectra are known.
    pub fn is_none(&self) -> bool {
        self.median.is_empty()
    }

    /// (χ² − median)/MAD; NaN where the model knows no good spectra.
    pub fn judge(&self, ratio: f64, chi_square: f64) -> f64 {
        let bin = self.bin(ratio);
        match (self.median.get(bin), self.deviation.get(bin)) {
            (Some(median), Some(deviation)) => (chi_square - median) / deviation,
            _ => f64::NAN,
        }
    }

    /// Checks what a file says.
    ///
    /// # Errors
    /// When edges, medians and deviations do not belong together.
    pub fn validate(&self) -> Result<()> {
        let lengths = (self.edges.len(), self.median.len(), self.deviation.len());
        let n = lengths.1;
        let are_numbers = [&self.edges, &self.median, &self.deviation].into_iter().flatten().all(|value| value.is_finite());
        let is_ordered = self.edges.is_sorted() && self.deviation.iter().all(|value| *value >= 0.0);
        if lengths == (0, 0, 0) || n > 0 && (lengths.0, lengths.2) == (n + 1, n) && are_numbers && is_ordered {
            return Ok(());
        }
        Err(Error::model("goodness")
            .found(format!("{} edges, {} medians and {} deviations", lengths.0, lengths.1, lengths.2))
            .expected("as many deviations as medians, and an edge more; finite numbers, edges that rise, deviations that are not negative")
            .remedy("The folder is damaged: get it again, or train the model again."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spectra_of_one_ratio_are_one_bin() {
        let chi_square: Vec<f64> = (0..100).map(|i| 0.9 + 0.002 * f64::from(i)).collect();
        let goodness = Goodness::of(&[300.0; 100], &chi_square);
        goodness.validate().unwrap();
        assert!((goodness.judge(20.0, 1.099) - 2.0).abs() < 0.05 && goodness.judge(300.0, 0.999).abs() < 1e-9);
    }

    #[test]
    fn a_fit_is_judged_by_spectra_of_its_own_ratio() {
        // χ² grows with the ratio, as model errors make it.
        let ratio: Vec<f64> = (0..1000).map(|i| 10.0 + 0.1 * f64::from(i)).collect();
        let chi_square: Vec<f64> = (0..1000).map(|i| 1.0 + 1e-3 * f64::from(i) + 0.1 * (f64::from(i) * 2.4).sin()).collect();
        let goodness = Goodness::of(&ratio, &chi_square);
        assert_eq!(goodness.median.len(), 10);
        assert!(goodness.median.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(goodness.judge(15.0, 1.05).abs() < 1.0 && goodness.judge(15.0, 1.9) > 5.0);
        assert!(goodness.judge(105.0, 1.95).abs() < 1.0);
        assert!(goodness.judge(1e4, 1.95).abs() < 2.0 && goodness.judge(0.0, 1.05).abs() < 1.0, "beyond the last edges");
        let unknown = Goodness::of(&ratio[..20], &chi_square[..20]);
        assert!(unknown.judge(10.0, 1.0).is_nan() && unknown.validate().is_ok() && goodness.validate().is_ok());
        let damaged = Goodness { deviation: vec![1.0], ..goodness };
        assert!(damaged.validate().unwrap_err().to_string().contains("11 edges, 10 medians and 1 deviations"));
    }
}
