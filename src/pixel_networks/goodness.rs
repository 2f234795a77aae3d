//! χ² of a fit against that of good spectra of about the same signal-to-noise ratio (Zhang et al. 2024, eq.
//! 4), for each degree of freedom: spectra with gaps, and fits with a velocity and a continuum, are judged as
//! whole ones are, and χ² of fewer pixels may scatter more.

use crate::error::{Error, Result};
use crate::statistics::{equal_count_edges, median};
use serde::{Deserialize, Serialize};

/// Fewest spectra that tell anything, …
const FEWEST: usize = 50;
/// … and in each of several bins: of 200 a median absolute deviation is known to 8 %.
const FEWEST_OF_A_BIN: usize = 200;
const MOST_BINS: usize = 10;

/// Medians and median absolute deviations of χ² per degree of freedom in bins of the signal-to-noise ratio:
/// stored with a model, so that a part of a survey is judged as the whole is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goodness {
    /// Edges of the bins, one more than medians; the first and the last bin have no end.
    pub edges: Vec<f64>,
    pub median: Vec<f64>,
    pub deviation: Vec<f64>,
    /// Median degrees of freedom of the spectra of a bin, to which its deviation belongs; empty in models of
    /// versions that took χ² per pixel, whose deviations are those of any number of pixels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degrees: Vec<f64>,
}

/// χ² of a fit, its pixels and its fitted parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fitted {
    pub chi_square: f64,
    pub n_pixels: usize,
    pub n_parameters: usize,
}

impl Fitted {
    fn degrees(&self) -> f64 {
        (self.n_pixels as f64 - self.n_parameters as f64).max(1.0)
    }

    fn reduced(&self) -> f64 {
        self.chi_square / self.degrees()
    }
}

impl Goodness {
    /// From spectra that are known to be good: their signal-to-noise ratios and fits. None of fewer than 50.
    pub(super) fn of(ratio: &[f64], fits: &[Fitted]) -> Self {
        let known: Vec<usize> = (0..ratio.len()).filter(|&i| ratio[i].is_finite() && fits[i].chi_square.is_finite()).collect();
        let ratios: Vec<f64> = known.iter().map(|&i| ratio[i]).collect();
        if known.len() < FEWEST {
            return Self::default();
        }
        let mut edges = equal_count_edges(&ratios, (known.len() / FEWEST_OF_A_BIN).clamp(1, MOST_BINS));
        // One bin where all ratios are the same.
        edges.resize(edges.len().max(2), ratios[0]);
        let mut goodness = Self { edges, ..Self::default() };
        for bin in 0..goodness.edges.len() - 1 {
            let of_bin: Vec<Fitted> = known.iter().filter(|&&i| goodness.bin(ratio[i]) == bin).map(|&i| fits[i]).collect();
            let inside: Vec<f64> = of_bin.iter().map(Fitted::reduced).collect();
            let middle = median(&inside);
            goodness.degrees.push(median(&of_bin.iter().map(Fitted::degrees).collect::<Vec<_>>()));
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

    /// (χ²/ν − median)/MAD, with the MAD that is expected of ν degrees of freedom, in proportion to ν^−½ for
    /// fewer than usual; NaN where the model knows no good spectra.
    pub(super) fn judge(&self, ratio: f64, fit: Fitted) -> f64 {
        let bin = self.bin(ratio);
        let (Some(median), Some(deviation)) = (self.median.get(bin), self.deviation.get(bin)) else { return f64::NAN };
        match self.degrees.get(bin) {
            Some(usual) => (fit.reduced() - median) / (deviation * (usual / fit.degrees()).max(1.0).sqrt()),
            None => (fit.chi_square / fit.n_pixels as f64 - median) / deviation,
        }
    }

    /// Checks what a file says.
    ///
    /// # Errors
    /// When edges, medians and deviations do not belong together.
    pub fn validate(&self) -> Result<()> {
        let lengths = (self.edges.len(), self.median.len(), self.deviation.len());
        let n = lengths.1;
        let all = [&self.edges, &self.median, &self.deviation, &self.degrees];
        let are_numbers = all.into_iter().flatten().all(|value| value.is_finite());
        let is_ordered = self.edges.is_sorted() && self.deviation.iter().all(|value| *value >= 0.0);
        let has_degrees = self.degrees.is_empty() || self.degrees.len() == n && self.degrees.iter().all(|value| *value > 0.0);
        let is_whole = n > 0 && (lengths.0, lengths.2) == (n + 1, n);
        if has_degrees && (lengths == (0, 0, 0) || is_whole && are_numbers && is_ordered) {
            return Ok(());
        }
        Err(Error::model("goodness")
            .found(format!("{} edges, {} medians and {} deviations", lengths.0, lengths.1, lengths.2))
            .expected(
                "as many deviations (and degrees, or none) as medians, and an edge more; finite numbers, edges that rise, deviations that \
                 are not negative, positive degrees",
            )
            .remedy("The folder is damaged: get it again, or train the model again."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fits with 1 000 degrees of freedom.
    fn fit(reduced: f64) -> Fitted {
        Fitted { chi_square: 1000.0 * reduced, n_pixels: 1015, n_parameters: 15 }
    }

    fn fits(reduced: &[f64]) -> Vec<Fitted> {
        reduced.iter().map(|reduced| fit(*reduced)).collect()
    }

    #[test]
    fn spectra_of_one_ratio_are_one_bin() {
        let reduced: Vec<f64> = (0..100).map(|i| 0.9 + 0.002 * f64::from(i)).collect();
        let goodness = Goodness::of(&[300.0; 100], &fits(&reduced));
        goodness.validate().unwrap();
        assert!((goodness.judge(20.0, fit(1.099)) - 2.0).abs() < 0.05 && goodness.judge(300.0, fit(0.999)).abs() < 1e-9);
    }

    #[test]
    fn a_fit_is_judged_by_spectra_of_its_own_ratio() {
        // χ² grows with the ratio, as model errors make it.
        let ratio: Vec<f64> = (0..2000).map(|i| 10.0 + 0.05 * f64::from(i)).collect();
        let reduced: Vec<f64> = (0..2000).map(|i| 1.0 + 5e-4 * f64::from(i) + 0.1 * (f64::from(i) * 2.4).sin()).collect();
        let goodness = Goodness::of(&ratio, &fits(&reduced));
        assert_eq!(goodness.median.len(), 10);
        assert!(goodness.median.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(goodness.judge(15.0, fit(1.05)).abs() < 1.0 && goodness.judge(15.0, fit(1.9)) > 5.0);
        assert!(goodness.judge(105.0, fit(1.95)).abs() < 1.0);
        assert!(
            goodness.judge(1e4, fit(1.95)).abs() < 2.0 && goodness.judge(0.0, fit(1.05)).abs() < 1.0,
            "beyond the last edges"
        );
        let unknown = Goodness::of(&ratio[..20], &fits(&reduced[..20]));
        assert!(unknown.judge(10.0, fit(1.0)).is_nan() && unknown.validate().is_ok() && goodness.validate().is_ok());
        let damaged = Goodness { deviation: vec![1.0], ..goodness };
        assert!(damaged.validate().unwrap_err().to_string().contains("11 edges, 10 medians and 1 deviations"));
    }

    /// χ² of good spectra of which a fifth of the pixels is there, and with parameters beside the labels: as
    /// few are beyond three deviations. Judged for each pixel, and by the deviation of whole spectra, the one
    /// are poor three times as often or more, and the other never.
    #[test]
    fn gaps_and_more_parameters_do_not_make_a_fit_poor_or_good() {
        use rand::SeedableRng;
        use rand_distr::{ChiSquared, Distribution};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let mut draw = |n_pixels: usize, n_parameters: usize| {
            let chi_square = ChiSquared::new((n_pixels - n_parameters) as f64).unwrap().sample(&mut random);
            Fitted { chi_square, n_pixels, n_parameters }
        };
        let good: Vec<Fitted> = (0..2000).map(|_| draw(300, 15)).collect();
        let goodness = Goodness::of(&[100.0; 2000], &good);
        let before = Goodness { degrees: Vec::new(), ..goodness.clone() };
        let mut poor = |goodness: &Goodness, pixels: usize, parameters: usize| {
            (0..4000).filter(|_| goodness.judge(100.0, draw(pixels, parameters)) >= 3.0).count() as f64 / 4000.0
        };
        for (pixels, parameters) in [(300, 15), (60, 15), (300, 37)] {
            let share = poor(&goodness, pixels, parameters);
            assert!((0.012..0.04).contains(&share), "{pixels} pixels, {parameters} parameters: {share}");
        }
        assert!(poor(&before, 300, 37) < 0.005);
    }
}
