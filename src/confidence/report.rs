//! What probabilities are worth on stars that decided nothing about them.

use super::{Agreement, TRUSTED};
use serde::{Deserialize, Serialize};

/// Parts of the reliability diagram.
const BINS: usize = 10;

/// Stars of similar probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    pub n: usize,
    /// Mean probability.
    pub confidence: f64,
    /// Fraction of good estimates.
    pub good: f64,
}

/// Of one label, on validation stars.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Stars with a measurement, those among them that are good, and bad.
    pub n: usize,
    pub n_good: usize,
    pub n_bad: usize,
    /// Mean squared difference of probability and outcome, of good and bad ones; of the constant probability
    /// that is right in the mean.
    pub brier: f64,
    pub brier_of_constant: f64,
    /// By equal numbers of stars, in the order of their probability.
    pub reliability: Vec<Bin>,
    /// Greatest distance of a bin from the diagonal beyond two of its errors.
    pub largest_departure: f64,
    /// Fraction of bad ones among all that are trusted, and among the others; 0 of none.
    pub outliers_trusted: f64,
    pub outliers_others: f64,
    pub n_others: usize,
}

impl Report {
    pub(super) fn of(stars: &[(f64, Agreement)]) -> Self {
        let mut decided: Vec<(f64, bool)> = stars
            .iter()
            .filter(|(_, agreement)| matches!(agreement, Agreement::Good | Agreement::Bad))
            .map(|(p, agreement)| (*p, *agreement == Agreement::Good))
            .collect();
        decided.sort_by(|a, b| a.0.total_cmp(&b.0));
        let n_good = decided.iter().filter(|(_, good)| *good).count();
        let number = |is: bool| f64::from(u8::from(is));
        let mean = |values: &mut dyn Iterator<Item = f64>, n: usize| if n == 0 { 0.0 } else { values.sum::<f64>() / n as f64 };
        let base = n_good as f64 / decided.len().max(1) as f64;
        let bin = |part: &[(f64, bool)]| Bin {
            n: part.len(),
            confidence: mean(&mut part.iter().map(|(p, _)| *p), part.len()),
            good: mean(&mut part.iter().map(|(_, good)| number(*good)), part.len()),
        };
        let reliability: Vec<Bin> = decided.chunks(decided.len().div_ceil(BINS).max(1)).map(bin).collect();
        let departure = |bin: &Bin| {
            let error = (bin.confidence * (1.0 - bin.confidence) / bin.n as f64).sqrt();
            ((bin.confidence - bin.good).abs() - 2.0 * error).max(0.0)
        };
        let with = |trusted: bool| {
            let known = stars.iter().filter(|(p, agreement)| (*p >= TRUSTED) == trusted && *agreement != Agreement::Unknown);
            let bad: Vec<f64> = known.map(|(_, agreement)| number(*agreement == Agreement::Bad)).collect();
            (mean(&mut bad.iter().copied(), bad.len()), bad.len())
        };
        let ((outliers_trusted, _), (outliers_others, n_others)) = (with(true), with(false));
        Self {
            n: stars.iter().filter(|(_, agreement)| *agreement != Agreement::Unknown).count(),
            n_good,
            n_bad: decided.len() - n_good,
            brier: mean(&mut decided.iter().map(|(p, good)| (p - number(*good)).powi(2)), decided.len()),
            brier_of_constant: base * (1.0 - base),
            largest_departure: reliability.iter().map(departure).fold(0.0, f64::max),
            reliability,
            outliers_trusted,
            outliers_others,
            n_others,
        }
    }
}
