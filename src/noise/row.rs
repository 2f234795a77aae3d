//! The whitening of one star, in double precision.

use super::EigenvalueFloor;
use super::factor::InverseFactor;
use super::triangle::{self, lower, upper};
use crate::error::{Error, Result};

/// L of one star over `W` wavelengths: a dense block of `B` and a diagonal tail (see [`super::Whitening`]).
#[derive(Debug, Clone, PartialEq)]
pub struct WhiteningRow {
    /// Lower triangle of L over the block, row by row `[B(B+1)/2]`; rows and columns of missing wavelengths
    /// are zero.
    pub triangle: Vec<f64>,
    /// 1/σ of the wavelengths after the block `[W − B]`; zero where missing.
    pub diagonal: Vec<f64>,
    /// Whether the covariance was not positive-definite and its eigenvalues were raised to the floor.
    pub floored: bool,
}

impl WhiteningRow {
    /// Independent errors `[W]`. Errors that are not finite and positive mean missing.
    pub fn from_errors(errors: &[f64]) -> Self {
        Self { triangle: Vec::new(), diagonal: errors.iter().copied().map(inverse_error).collect(), floored: false }
    }

    /// A covariance block, given as row-wise upper triangle `[B(B+1)/2]`, and independent errors of the other
    /// wavelengths.
    ///
    /// A wavelength whose variance is not finite and positive is missing; of those with covariances that are
    /// not finite, as few as possible, but all where no covariance is finite.
    ///
    /// # Errors
    /// When the triangle's length is not B(B+1)/2 for any B, or a decomposition does not converge.
    pub fn new(covariance: &[f64], tail_errors: &[f64], floor: EigenvalueFloor) -> Result<Self> {
        let block = triangle::side(covariance.len()).ok_or_else(|| {
            Error::data("flux covariance")
                .found(format!("{} values", covariance.len()))
                .expected("B(B+1)/2 values, a row-wise upper triangle")
        })?;
        let element = |i: usize, j: usize| covariance[upper(i.min(j), i.max(j), block)];
        let usable: Vec<usize> = (0..block).filter(|&i| element(i, i).is_finite() && element(i, i) > 0.0).collect();
        let kept = with_finite_covariances(usable, element);
        let mut row = Self::from_errors(tail_errors);
        if kept.len() == block {
            let factor = InverseFactor::new(covariance, block, floor)?;
            (row.triangle, row.floored) = (factor.triangle, factor.floored);
            return Ok(row);
        }
        let finite: Vec<f64> =
            kept.iter().enumerate().flat_map(|(a, &i)| kept[a..].iter().map(move |&j| element(i, j))).collect();
        let factor = InverseFactor::new(&finite, kept.len(), floor)?;
        row.floored = factor.floored;
        row.triangle = vec![0.0; triangle::length(block)];
        for (a, &i) in kept.iter().enumerate() {
            for (b, &j) in kept[..=a].iter().enumerate() {
                row.triangle[lower(i, j)] = factor.triangle[lower(a, b)];
            }
        }
        Ok(row)
    }

    /// Length of the dense block.
    pub fn block(&self) -> usize {
        triangle::side(self.triangle.len()).unwrap_or(0)
    }

    /// Number of wavelengths with finite variance.
    pub fn n_present(&self) -> usize {
        self.pivots().filter(|&pivot| pivot > 0.0).count()
    }

    /// χ² = |L r|² of a residual `[W]`; what stands at missing wavelengths (even NaN) has no influence.
    pub fn chi_square(&self, residual: &[f64]) -> f64 {
        chi_square(&self.triangle, &self.diagonal, self.block(), residual)
    }

    /// ln det C over the wavelengths with finite variance.
    pub fn ln_det_covariance(&self) -> f64 {
        -2.0 * self.pivots().filter(|&pivot| pivot > 0.0).map(f64::ln).sum::<f64>()
    }

    fn pivots(&self) -> impl Iterator<Item = f64> {
        (0..self.block()).map(|i| self.triangle[lower(i, i)]).chain(self.diagonal.iter().copied())
    }
}

/// Members among which all covariances are finite, greedily: as long as some are not, the one with most of
/// these goes, of several the one with the largest variance, then the last. Where no covariance of two
/// members is finite, nothing is known of the noise that they share, and none stays.
fn with_finite_covariances(mut members: Vec<usize>, element: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let is_bad = |i: usize, j: usize| i != j && !element(i, j).is_finite();
    let mut n_bad: Vec<usize> = members.iter().map(|&i| members.iter().filter(|&&j| is_bad(i, j)).count()).collect();
    if members.len() > 1 && n_bad.iter().all(|&n| n == members.len() - 1) {
        return Vec::new();
    }
    loop {
        let order = |&a: &usize, &b: &usize| {
            let variance = |position: usize| element(members[position], members[position]);
            n_bad[a].cmp(&n_bad[b]).then(variance(a).total_cmp(&variance(b))).then(a.cmp(&b))
        };
        let Some(worst) = (0..members.len()).max_by(order).filter(|&worst| n_bad[worst] > 0) else { return members };
        let gone = members.remove(worst);
        n_bad.remove(worst);
        n_bad.iter_mut().zip(&members).for_each(|(n, &i)| *n -= usize::from(is_bad(i, gone)));
    }
}

/// 1/σ, or zero when σ is not finite and positive.
pub(super) fn inverse_error(error: f64) -> f64 {
    if error.is_finite() && error > 0.0 { error.recip() } else { 0.0 }
}

/// |L r|², skipping the wavelengths with a zero pivot.
pub(super) fn chi_square<T: Copy + Into<f64>>(triangle: &[T], diagonal: &[T], block: usize, residual: &[f64]) -> f64 {
    let present = |i: usize| triangle[lower(i, i)].into() > 0.0;
    let cleaned: Vec<f64> = (0..block).map(|i| if present(i) { residual[i] } else { 0.0 }).collect();
    let correlated: f64 = (0..block)
        .map(|i| {
            let row = &triangle[lower(i, 0)..=lower(i, i)];
            row.iter().zip(&cleaned).map(|(&factor, residual)| factor.into() * residual).sum::<f64>().powi(2)
        })
        .sum();
    let independent: f64 = diagonal
        .iter()
        .zip(&residual[block..])
        .map(|(&inverse, &residual)| (inverse.into(), residual))
        .filter(|&(inverse, _)| inverse > 0.0)
        .map(|(inverse, residual)| (inverse * residual).powi(2))
        .sum();
    correlated + independent
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 1, section 7: C = [[1, 0.9], [0.9, 1]].
    #[test]
    fn chi_square_of_a_correlated_pair() {
        let row = WhiteningRow::new(&[1.0, 0.9, 1.0], &[], EigenvalueFloor::default()).unwrap();
        assert!((row.chi_square(&[1.0, 1.0]) - 1.052_631_578_947).abs() < 1e-9);
        assert!((row.chi_square(&[1.0, -1.0]) - 20.0).abs() < 1e-9);
        assert!((row.ln_det_covariance() - 0.19_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn missing_wavelengths_have_no_influence() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let full = WhiteningRow::new(&[1.0, 0.9, 1.0], &[2.0], EigenvalueFloor::default()).unwrap();
        for bad in [inf, nan, 0.0, -1.0] {
            let covariance = [1.0, nan, 0.9, bad, nan, 1.0];
            let row = WhiteningRow::new(&covariance, &[2.0, bad], EigenvalueFloor::default()).unwrap();
            assert_eq!(row.n_present(), 3);
            for hole in [0.0, nan, inf, 1e30] {
                assert_eq!(row.chi_square(&[1.0, hole, -1.0, 4.0, hole]), full.chi_square(&[1.0, -1.0, 4.0]));
            }
            assert_eq!(row.ln_det_covariance(), full.ln_det_covariance());
        }
        let nothing = WhiteningRow::new(&[nan; 6], &[inf], EigenvalueFloor::default()).unwrap();
        assert_eq!((nothing.n_present(), nothing.chi_square(&[nan; 4])), (0, 0.0));
    }

    #[test]
    fn covariances_that_are_not_finite_drop_as_few_wavelengths_as_possible() {
        let whiten = |covariance: &[f64]| WhiteningRow::new(covariance, &[], EigenvalueFloor::default()).unwrap();
        let present = |row: &WhiteningRow| (0..row.block()).filter(|&i| row.triangle[lower(i, i)] > 0.0).collect::<Vec<_>>();
        let nan = f64::NAN;
        // One element: of its two wavelengths the one with the larger variance goes, of equal ones the last.
        assert_eq!(present(&whiten(&[2.0, nan, 0.1, 1.0, 0.2, 4.0])), [1, 2]);
        let equal = whiten(&[1.0, f64::INFINITY, 0.1, 1.0, 0.2, 4.0]);
        assert_eq!(present(&equal), [0, 2]);
        assert_eq!(equal.chi_square(&[1.0, 9.0, -1.0]), whiten(&[1.0, 0.1, 4.0]).chi_square(&[1.0, -1.0]));
        // A row: that wavelength alone, not those of which it has covariances.
        let n = 5;
        let row_2 = |i: usize, j: usize| {
            if i == j {
                1.0
            } else if i == 2 || j == 2 {
                nan
            } else {
                0.1
            }
        };
        let covariance: Vec<f64> = (0..n).flat_map(|i| (i..n).map(move |j| row_2(i, j))).collect();
        assert_eq!(present(&whiten(&covariance)), [0, 1, 3, 4]);
        // All of them: variances alone say nothing of the common noise.
        let covariance: Vec<f64> = (0..n).flat_map(|i| (i..n).map(move |j| if i == j { 1.0 } else { nan })).collect();
        assert_eq!(whiten(&covariance).n_present(), 0);
    }

    #[test]
    fn covariances_that_are_not_positive_definite_are_floored_and_recorded() {
        let row = WhiteningRow::new(&[1.0, 1.1, 1.0], &[], EigenvalueFloor::Relative(0.01)).unwrap();
        assert!(row.floored);
        let least = 0.021;
        assert!((row.chi_square(&[1.0, -1.0]) - 2.0 / least).abs() < 1e-9);
        assert!(WhiteningRow::new(&[1.0, 0.0], &[], EigenvalueFloor::default()).is_err());
    }
}
