//! Sums over stars, which are added in the order of the stars: the same whatever the batches and threads.

use super::Responses;
use super::pairs::{Mixed, PairShares};
use super::responses::packed;
use crate::error::{Error, Result};
use crate::statistics::chi_square_tail;
use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

/// Classes of the tail probability of χ².
pub const TAIL_CLASSES: usize = 10;
/// Width of a class of pulls; the first and the last class have no end.
const PULL_STEP: f64 = 0.1;
/// Classes of pulls, from −5 to 5.
const PULL_CLASSES: usize = 100;

/// Sums over the stars of a catalogue, or of several that were made with the same model and options.
///
/// A star whose χ² is larger than noise makes it (by three standard deviations) enters with so much less
/// weight, as if its errors were widened until it fits: one that is something else (a blend, a variable) says
/// little.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualSums {
    /// Names of groups `[G]` and constraints `[K]`.
    pub groups: Vec<String>,
    pub constraints: Vec<String>,
    pub stars: u64,
    pub fitted: u64,
    /// By flags: χ² too large, outside of the training, in the basic cut.
    pub poor: u64,
    pub outside: u64,
    pub in_cut: u64,
    /// Stars in the sums below.
    pub used: u64,
    /// Stars by their tail probability of χ², in tenths.
    pub tails: Vec<u64>,
    /// Stars with data of a group or a measured constraint `[Q]`.
    pub n: Vec<u64>,
    /// Of the mean residuals of groups: Σω, Σωm, Σω²m² `[G]`, ω the star's information of an offset.
    pub left: Vec<[f64; 3]>,
    /// Of constraints `[K]`: Σ1/σ².
    pub precision: Vec<f64>,
    /// Stars by the pull of a constraint `[K][100]`.
    pub pulls: Vec<Vec<u64>>,
    /// Σ score `[Q]`; Σ information and Σ score·scoreᵀ, lower triangles `[Q(Q+1)/2]`.
    pub score: Vec<f64>,
    pub information: Vec<f64>,
    pub outer: Vec<f64>,
    /// Stars that were taken for one of singles and unresolved pairs, where they were.
    #[serde(default)]
    pub pairs: PairShares,
}

impl ResidualSums {
    /// Of no stars.
    pub fn new(groups: &[String], constraints: &[String]) -> Self {
        let (g, k) = (groups.len(), constraints.len());
        let q = g + k;
        let triangle = vec![0.0; q * (q + 1) / 2];
        Self {
            groups: groups.to_vec(),
            constraints: constraints.to_vec(),
            stars: 0,
            fitted: 0,
            poor: 0,
            outside: 0,
            in_cut: 0,
            used: 0,
            tails: vec![0; TAIL_CLASSES],
            n: vec![0; q],
            left: vec![[0.0; 3]; g],
            precision: vec![0.0; k],
            pulls: vec![vec![0; PULL_CLASSES]; k],
            score: vec![0.0; q],
            information: triangle.clone(),
            outer: triangle,
            pairs: PairShares::default(),
        }
    }

    /// Whether all lists have the lengths that belong together, and finite numbers: what was read may have
    /// been damaged.
    pub fn is_whole(&self) -> bool {
        let (g, k, q) = (self.groups.len(), self.constraints.len(), self.n_offsets());
        let lengths = [self.tails.len(), self.n.len(), self.left.len(), self.precision.len(), self.pulls.len()];
        let triangle = q * (q + 1) / 2;
        let numbers = self.left.iter().flatten().chain(&self.precision).chain(&self.score);
        lengths == [TAIL_CLASSES, q, g, k, k]
            && self.pulls.iter().all(|counts| counts.len() == PULL_CLASSES)
            && [self.score.len(), self.information.len(), self.outer.len()] == [q, triangle, triangle]
            && numbers.chain(&self.information).chain(&self.outer).all(|number| number.is_finite())
            && self.pairs.is_whole()
    }

    /// Number of groups and constraints Q.
    pub fn n_offsets(&self) -> usize {
        self.groups.len() + self.constraints.len()
    }

    /// Adds stars, one after the other.
    ///
    /// # Errors
    /// When they have other groups or constraints.
    pub fn add(&mut self, stars: &Responses) -> Result<()> {
        self.add_mixed(stars, None)
    }

    /// Adds stars of which the given `share` are unresolved pairs, two equal stars that are 0.75 mag brighter
    /// than one, so that these do not pass for a zero point of all bands.
    ///
    /// # Errors
    /// When they have other groups or constraints.
    pub fn add_with_pairs(&mut self, stars: &Responses, share: f64) -> Result<()> {
        self.add_mixed(stars, Some(share))
    }

    fn add_mixed(&mut self, stars: &Responses, share: Option<f64>) -> Result<()> {
        self.require_same(&stars.groups, &stars.constraints)?;
        (0..stars.len()).for_each(|star| self.add_star(stars, star, share));
        Ok(())
    }

    fn add_star(&mut self, stars: &Responses, star: usize, share_of_pairs: Option<f64>) {
        let mark = stars.marks[star];
        self.stars += 1;
        for (count, is_set) in [
            (&mut self.fitted, mark.is_fitted),
            (&mut self.poor, mark.is_poor),
            (&mut self.outside, mark.is_outside),
            (&mut self.in_cut, mark.is_in_cut),
        ] {
            *count += u64::from(is_set);
        }
        let (chi_square, degrees) = (stars.chi_square[star], stars.degrees[star]);
        let score = stars.score.row(star);
        let tail = chi_square_tail(chi_square, degrees);
        if !tail.is_finite() || score.iter().any(|value| !value.is_finite()) {
            return;
        }
        self.used += 1;
        self.tails[((tail * TAIL_CLASSES as f64) as usize).min(TAIL_CLASSES - 1)] += 1;
        // Only where noise does not make such a χ²: a weight that depended on every noise would pull offsets
        // towards zero.
        let weight = ((degrees + 3.0 * (2.0 * degrees).sqrt()) / chi_square).min(1.0);
        let single = stars.information.row(star);
        let n_groups = self.groups.len();
        let mixed = share_of_pairs.map(|share| Mixed::of(&score.to_vec(), &single.to_vec(), n_groups, share));
        mixed.iter().for_each(|mixed| self.pairs.add(mixed));
        let (score, information) = match &mixed {
            Some(mixed) => (ArrayView1::from(&mixed.score), ArrayView1::from(&mixed.information)),
            None => (score, single),
        };
        for a in 0..self.n_offsets() {
            let own = single[packed(a, a)];
            self.n[a] += u64::from(own > 0.0);
            self.score[a] += weight * score[a];
            for b in 0..=a {
                self.information[packed(a, b)] += weight * information[packed(a, b)];
                self.outer[packed(a, b)] += weight * weight * score[a] * score[b];
            }
            let left = stars.left.row(star).get(a).copied().filter(|left| left.is_finite());
            if let (Some(sums), Some(left)) = (self.left.get_mut(a), left) {
                let weight = weight * own;
                sums[0] += weight;
                sums[1] += weight * left;
                sums[2] += (weight * left).powi(2);
            }
        }
        for k in 0..self.constraints.len() {
            self.precision[k] += stars.precision[[star, k]];
            let pull = stars.pull(star, k);
            if pull.is_finite() {
                let class = (pull / PULL_STEP).floor() + (PULL_CLASSES / 2) as f64;
                self.pulls[k][class.clamp(0.0, (PULL_CLASSES - 1) as f64) as usize] += 1;
            }
        }
    }

    /// Adds those of other stars.
    ///
    /// # Errors
    /// When they have other groups or constraints.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.require_same(&other.groups, &other.constraints)?;
        for (to, from) in [
            (&mut self.stars, other.stars),
            (&mut self.fitted, other.fitted),
            (&mut self.poor, other.poor),
            (&mut self.outside, other.outside),
            (&mut self.in_cut, other.in_cut),
            (&mut self.used, other.used),
        ] {
            *to += from;
        }
        let counts = self.tails.iter_mut().chain(&mut self.n).chain(self.pulls.iter_mut().flatten());
        self.pairs.merge(&other.pairs);
        counts.zip(other.tails.iter().chain(&other.n).chain(other.pulls.iter().flatten())).for_each(|(to, from)| *to += from);
        let sums = self.left.iter_mut().flatten().chain(&mut self.precision).chain(&mut self.score);
        let sums = sums.chain(&mut self.information).chain(&mut self.outer);
        let others = other.left.iter().flatten().chain(&other.precision).chain(&other.score);
        let others = others.chain(&other.information).chain(&other.outer);
        sums.zip(others).for_each(|(to, from)| *to += from);
        Ok(())
    }

    fn require_same(&self, groups: &[String], constraints: &[String]) -> Result<()> {
        if self.groups == groups && self.constraints == constraints {
            return Ok(());
        }
        Err(Error::data("residuals of a catalogue")
            .found(format!("{}; {}", groups.join(", "), constraints.join(", ")))
            .expected(format!("{}; {}", self.groups.join(", "), self.constraints.join(", ")))
            .remedy("Fit all partitions with one model and one set of options."))
    }

    /// Median pull of a constraint, to a hundredth, and its standard error; `None` without stars.
    pub fn median_pull(&self, constraint: usize) -> Option<(f64, f64)> {
        let counts = &self.pulls[constraint];
        let n: u64 = counts.iter().sum();
        let (half, mut below) = (n as f64 / 2.0, 0.0);
        for (class, &count) in counts.iter().enumerate() {
            let count = count as f64;
            if n > 0 && below + count >= half {
                let part = if count > 0.0 { (half - below) / count } else { 0.0 };
                let median = PULL_STEP * (class as f64 + part - (PULL_CLASSES / 2) as f64);
                // √(π/2) of the error of the mean.
                return Some((median, (std::f64::consts::FRAC_PI_2 / n as f64).sqrt()));
            }
            below += count;
        }
        None
    }
}
