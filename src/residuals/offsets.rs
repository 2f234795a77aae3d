//! Offsets that the residuals of a catalogue want: of every group alone, and of the fewest that explain them.

use super::ResidualSums;
use super::responses::packed;
use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place};
use serde::Serialize;

/// Least offset of fluxes that is worth a warning, mag.
pub const LEAST_OFFSET: f64 = 0.02;
/// Least offset of a constraint that is worth a warning, of its typical error.
const LEAST_CONSTRAINT: f64 = 0.2;
/// Errors that an offset has to have at least.
pub const LEAST_ERRORS: f64 = 5.0;
/// Stars whose scatter tells how uncertain a sum over them is.
pub const LEAST_STARS: u64 = 30;

/// An offset with its error: mag for fluxes (positive where the data are too faint), the unit of the
/// constraint for constraints (positive where it is too large).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Offset {
    pub name: String,
    pub offset: f64,
    pub error: f64,
}

/// Score, information and variance of the score of an offset, once others have been solved for.
struct Reduced {
    score: f64,
    information: f64,
    variance: f64,
}

impl Reduced {
    fn offset(&self) -> f64 {
        self.score / self.information
    }

    fn error(&self) -> f64 {
        self.variance.sqrt() / self.information
    }

    fn pull(&self) -> f64 {
        self.score.abs() / self.variance.sqrt()
    }
}

impl ResidualSums {
    /// Name of a group or constraint.
    pub fn name(&self, offset: usize) -> &str {
        self.groups.get(offset).unwrap_or_else(|| &self.constraints[offset - self.groups.len()])
    }

    /// Element of the information matrix.
    pub fn information_of(&self, a: usize, b: usize) -> f64 {
        self.information[packed(a.max(b), a.min(b))]
    }

    /// Element of the covariance of the scores: from their scatter over the stars.
    pub fn scatter_of(&self, a: usize, b: usize) -> f64 {
        let n = self.used.max(2) as f64;
        (self.outer[packed(a.max(b), a.min(b))] - self.score[a] * self.score[b] / n) * n / (n - 1.0)
    }

    /// The smallest offset that counts.
    pub fn floor(&self, offset: usize) -> f64 {
        match offset.checked_sub(self.groups.len()) {
            None => LEAST_OFFSET,
            Some(k) => LEAST_CONSTRAINT * (self.n[offset] as f64 / self.precision[k]).sqrt(),
        }
    }

    /// Offset and error that a group or constraint would need if it alone had one; `None` where the fits
    /// leave nothing of it.
    pub fn alone(&self, offset: usize) -> Option<(f64, f64)> {
        let reduced = self.reduced(offset, &[])?;
        Some((reduced.offset(), reduced.error()))
    }

    /// The fewest offsets that explain the residuals, found one after the other, the most significant first:
    /// those beyond [`LEAST_OFFSET`] and [`LEAST_ERRORS`], solved for together. An offset of a band is partly
    /// taken up by the fits and then shows in its neighbours, which alone look wrong too. None of fewer than
    /// 30 stars.
    pub fn explanation(&self) -> Vec<Offset> {
        if self.used < LEAST_STARS {
            return Vec::new();
        }
        let mut chosen: Vec<usize> = Vec::new();
        loop {
            let others = (0..self.n_offsets()).filter(|a| !chosen.contains(a));
            let candidates = others.filter_map(|a| Some((a, self.reduced(a, &chosen)?)));
            let beyond = candidates.filter(|(a, reduced)| self.counts(*a, reduced));
            let Some((best, _)) = beyond.max_by(|(_, one), (_, two)| one.pull().total_cmp(&two.pull())) else { break };
            chosen.push(best);
        }
        // What was taken for one offset at first may be others'.
        loop {
            let solved: Vec<(usize, Reduced)> = (0..chosen.len())
                .filter_map(|at| {
                    let rest: Vec<usize> = chosen.iter().copied().filter(|&other| other != chosen[at]).collect();
                    Some((chosen[at], self.reduced(chosen[at], &rest)?))
                })
                .collect();
            let weakest = solved.iter().filter(|(a, reduced)| !self.counts(*a, reduced));
            let weakest = weakest.min_by(|(_, one), (_, two)| one.pull().total_cmp(&two.pull())).map(|(a, _)| *a);
            match weakest {
                Some(weakest) => chosen.retain(|&a| a != weakest),
                None => {
                    let mut found: Vec<(usize, Reduced)> = solved;
                    found.sort_by_key(|(a, _)| *a);
                    return found.iter().map(|(a, reduced)| self.described(*a, reduced)).collect();
                }
            }
        }
    }

    fn described(&self, a: usize, reduced: &Reduced) -> Offset {
        Offset { name: self.name(a).to_owned(), offset: reduced.offset(), error: reduced.error() }
    }

    fn counts(&self, a: usize, reduced: &Reduced) -> bool {
        reduced.offset().abs() > self.floor(a) && reduced.pull() > LEAST_ERRORS
    }

    /// The score of one offset after others were solved for. Its variance is the larger of what the errors of
    /// the data say and of the scatter between stars. `None` where nothing is left of it.
    fn reduced(&self, a: usize, others: &[usize]) -> Option<Reduced> {
        let m = others.len();
        let plain = self.information_of(a, a);
        let mut factor: Vec<f64> = others.iter().flat_map(|&i| others.iter().map(move |&j| self.information_of(i, j))).collect();
        if m > 0 && !cholesky_in_place(&mut factor, m) {
            return None;
        }
        // How much of every other offset's score has to be taken off.
        let mut shares: Vec<f64> = others.iter().map(|&i| self.information_of(i, a)).collect();
        cholesky_solve_in_place(&factor, m, &mut shares);
        let sum = |of: &dyn Fn(usize) -> f64| others.iter().zip(&shares).map(|(&i, share)| share * of(i)).sum::<f64>();
        let information = plain - sum(&|i| self.information_of(i, a));
        let score = self.score[a] - sum(&|i| self.score[i]);
        let scatter = self.scatter_of(a, a) - 2.0 * sum(&|i| self.scatter_of(i, a)) + sum(&|i| sum(&|j| self.scatter_of(i, j)));
        (information > 1e-9 * plain).then(|| Reduced { score, information, variance: information.max(scatter) })
    }
}
