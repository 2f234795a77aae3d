//! The encodings of the coefficients' covariance in files, turned into errors and correlations.
//!
//! | encoding | column `<band>_…` | values, n coefficients |
//! |---|---|---|
//! | correlations | `coefficient_correlations` with `coefficient_errors` | strict lower triangle, row by row: n(n−1)/2 |
//! | covariance | `coefficient_covariances` | upper triangle with diagonal, column by column (= lower, row by row): n(n+1)/2 |
//! | factor | `sqrt_covariance` | lower triangular L with C = LᵀL, row by row: n(n+1)/2 |
//! | normalised factor | `norm_sqrt_covariance` with `formal_errors` | integers, the same of the correlations: n(n+1)/2 |
//!
//! Published errors e contain the standard deviation s of the least-squares solution; covariances, factors
//! and formal errors of Gaia's processing do not (GaiaXPy 2.1.5 multiplies the errors that it makes of them
//! by s). Where a file has both, they say which.

use super::{Band, Fault};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Relative difference of errors up to which they are the same: single precision and printed digits.
const SAME_ERROR: f64 = 1e-3;
/// Difference of correlations up to which two encodings are the same.
const SAME_CORRELATION: f64 = 1e-3;

/// How a file holds the covariance of coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    Correlations,
    Covariance,
    Factor,
    NormalisedFactor,
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Correlations => "correlations",
            Self::Covariance => "covariance",
            Self::Factor => "factor of the covariance",
            Self::NormalisedFactor => "normalised factor of the covariance",
        })
    }
}

/// The numbers of a band that say how large its errors are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scale<'a> {
    /// Published errors `[n]`.
    pub(super) errors: Option<&'a [f64]>,
    /// Errors without s `[n]`.
    pub(super) formal_errors: Option<&'a [f64]>,
    /// s; 1 where it means nothing.
    pub(super) standard_deviation: f64,
}

/// Errors `[n]` and the strict lower triangle of the correlations, row by row `[n(n−1)/2]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ErrorsAndCorrelations {
    pub(super) errors: Vec<f64>,
    pub(super) correlations: Vec<f64>,
}

impl Encoding {
    /// Number of packed values of `n` coefficients.
    fn n_values(self, n: usize) -> usize {
        match self {
            Self::Correlations => n * n.saturating_sub(1) / 2,
            _ => n * (n + 1) / 2,
        }
    }

    /// Errors and correlations of `n` coefficients from the packed values of an encoding other than
    /// correlations.
    ///
    /// # Errors
    /// When the values are not as many or not finite, a variance is not positive, a correlation lies beyond
    /// ±1, the errors are not those that the file states, or columns of a normalised factor differ in length:
    /// signs that the values are packed in another way.
    pub(super) fn unpack(
        self,
        band: &'static str,
        packed: &[f64],
        n: usize,
        scale: Scale<'_>,
    ) -> Result<ErrorsAndCorrelations, Fault> {
        if packed.len() != self.n_values(n) {
            return Err(Fault::Length {
                band,
                what: "values of its covariance",
                found: packed.len(),
                expected: self.n_values(n),
            });
        }
        if !packed.iter().all(|value| value.is_finite()) {
            return Err(Fault::NotFinite { band, what: "values of its covariance" });
        }
        for (what, errors) in [("errors", scale.errors), ("formal errors", scale.formal_errors)] {
            if let Some(errors) = errors.filter(|errors| errors.len() != n) {
                return Err(Fault::Length { band, what, found: errors.len(), expected: n });
            }
        }
        let product;
        let covariance = match self {
            Self::Factor | Self::NormalisedFactor => {
                // The diagonal of a triangular factor of a covariance is positive: another order of the
                // values puts others there.
                if let Some(coefficient) = (0..n).find(|&k| packed[lower(k, k)] <= 0.0) {
                    return Err(Fault::Variance {
                        band,
                        encoding: self,
                        coefficient,
                        value: packed[lower(coefficient, coefficient)],
                    });
                }
                product = transposed_times_itself(packed, n);
                product.as_slice()
            }
            Self::Correlations | Self::Covariance => packed,
        };
        let deviations: Vec<f64> = (0..n).map(|k| lower_diagonal(covariance, k).sqrt()).collect();
        if let Some(coefficient) = deviations.iter().position(|deviation| !(*deviation > 0.0 && deviation.is_finite())) {
            let value = lower_diagonal(covariance, coefficient);
            return Err(Fault::Variance { band, encoding: self, coefficient, value });
        }
        let correlations: Vec<f64> = (0..n)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|(row, column)| covariance[lower(row, column)] / deviations[row] / deviations[column])
            .collect();
        if let Some(&value) = correlations.iter().find(|value| value.abs() > 1.0 + 1e-6) {
            return Err(Fault::CorrelationOutOfRange { band, value });
        }
        let formal = match self {
            Self::NormalisedFactor => {
                require_equal_lengths(band, packed, &deviations)?;
                scale.formal_errors.or(scale.errors).ok_or(Fault::NoErrors { band })?
            }
            _ => &deviations,
        };
        Ok(ErrorsAndCorrelations { errors: self.published_errors(band, formal, scale)?, correlations })
    }

    /// The errors with s from those that a covariance gives: these are with or without s, as the stated
    /// errors say; without stated ones, without.
    fn published_errors(self, band: &'static str, found: &[f64], scale: Scale<'_>) -> Result<Vec<f64>, Fault> {
        let Some(stated) = scale.errors else {
            return Ok(found.iter().map(|error| error * scale.standard_deviation).collect());
        };
        let worst = |factor: f64| {
            let difference = |(found, stated): (&f64, &f64)| (factor * found / stated - 1.0).abs();
            let differences = found.iter().zip(stated).map(difference).map(|d| if d.is_nan() { f64::INFINITY } else { d });
            differences.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
        };
        let (with, without) = (worst(1.0), worst(scale.standard_deviation));
        let (factor, (coefficient, difference)) =
            if with.1 <= without.1 { (1.0, with) } else { (scale.standard_deviation, without) };
        if difference > SAME_ERROR {
            let (found, expected) = (factor * found[coefficient], stated[coefficient]);
            return Err(Fault::ErrorDiffers { band, encoding: self, coefficient, found, expected });
        }
        Ok(found.iter().map(|error| factor * error).collect())
    }
}

impl ErrorsAndCorrelations {
    /// Fails when another encoding of the same spectrum has other correlations.
    pub(super) fn require_same(
        &self,
        band: &'static str,
        [this, other]: [Encoding; 2],
        correlations: &[f64],
    ) -> Result<(), Fault> {
        let differences = self.correlations.iter().zip(correlations).map(|(a, b)| (a - b).abs());
        let difference = differences.fold(0.0, f64::max);
        match self.correlations.len() == correlations.len() && difference <= SAME_CORRELATION {
            true => Ok(()),
            false => Err(Fault::EncodingsDiffer { band, encoding: this, other, difference }),
        }
    }
}

impl Band {
    /// The leading `n` coefficients alone. Correlations are packed such that theirs lead too.
    pub(super) fn truncate(&mut self, n: usize) {
        self.coefficients.truncate(n);
        self.errors.truncate(n);
        if let Some(correlations) = &mut self.correlations {
            correlations.truncate(Encoding::Correlations.n_values(n));
        }
    }
}

/// Position of an element on or below the diagonal in a lower triangle, row by row.
fn lower(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

fn lower_diagonal(packed: &[f64], k: usize) -> f64 {
    packed[lower(k, k)]
}

/// LᵀL of a lower triangular L, its lower triangle row by row.
fn transposed_times_itself(factor: &[f64], n: usize) -> Vec<f64> {
    let mut product = vec![0.0; factor.len()];
    for k in 0..n {
        let values = &factor[lower(k, 0)..=lower(k, k)];
        for (row, value) in values.iter().enumerate() {
            let to = &mut product[lower(row, 0)..=lower(row, row)];
            to.iter_mut().zip(values).for_each(|(to, other)| *to += value * other);
        }
    }
    product
}

/// The columns of a normalised factor are equally long, but for the rounding to integers.
fn require_equal_lengths(band: &'static str, factor: &[f64], lengths: &[f64]) -> Result<(), Fault> {
    let shortest = lengths.iter().copied().fold(f64::INFINITY, f64::min);
    let longest = lengths.iter().copied().fold(0.0, f64::max);
    // Every value is rounded by up to one half: at most √n/2 in the length of a column.
    let rounding = if factor.iter().all(|value| value.fract() == 0.0) { (lengths.len() as f64).sqrt() } else { 0.0 };
    match longest - shortest <= SAME_ERROR * longest + rounding {
        true => Ok(()),
        false => Err(Fault::NotNormalised { band, shortest, longest }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 6;

    /// A lower triangular L, the C = LᵀL of `numpy`'s convention, its errors and correlations.
    fn truth() -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>) {
        let factor: Vec<f64> = (0..N)
            .flat_map(|row| (0..=row).map(move |column| (row, column)))
            .map(|(row, column)| if row == column { 1.0 + row as f64 } else { (1.3 * (row * 7 + column) as f64).sin() })
            .collect();
        let dense = |row: usize, column: usize| if column <= row { factor[lower(row, column)] } else { 0.0 };
        let covariance = |i: usize, j: usize| (0..N).map(|k| dense(k, i) * dense(k, j)).sum::<f64>();
        let errors: Vec<f64> = (0..N).map(|i| covariance(i, i).sqrt()).collect();
        let triangle = |with: usize| (0..N).flat_map(move |i| (0..i + with).map(move |j| (i, j)));
        let packed = triangle(1).map(|(i, j)| covariance(i, j)).collect();
        let correlations = triangle(0).map(|(i, j)| covariance(i, j) / errors[i] / errors[j]).collect();
        (factor, packed, errors, correlations)
    }

    fn worst(found: &[f64], expected: &[f64]) -> f64 {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn all_encodings_give_the_same_covariance() {
        let (factor, covariance, errors, correlations) = truth();
        let s = 1.3;
        let published: Vec<f64> = errors.iter().map(|error| s * error).collect();
        // Integers of the normalised factor: columns of L over their length, times 2^30.
        let integers: Vec<f64> = (0..N)
            .flat_map(|row| (0..=row).map(move |column| (row, column)))
            .map(|(row, column)| (factor[lower(row, column)] / errors[column] * f64::from(1 << 30)).round())
            .collect();
        let formal = Scale { standard_deviation: s, formal_errors: Some(&errors), ..Scale::default() };
        let stated = Scale { standard_deviation: s, errors: Some(&published), ..Scale::default() };
        for scale in [formal, stated] {
            for (encoding, packed) in [(Encoding::Covariance, &covariance), (Encoding::Factor, &factor)] {
                let found = encoding.unpack("bp", packed, N, scale).unwrap();
                assert!(worst(&found.errors, &published) < 1e-12 && worst(&found.correlations, &correlations) < 1e-12);
            }
        }
        for scale in [formal, stated] {
            let found = Encoding::NormalisedFactor.unpack("bp", &integers, N, scale);
            let found = found.unwrap();
            assert!(worst(&found.correlations, &correlations) < 1e-8);
            assert!(worst(&found.errors, &published) < 1e-12);
        }
        // A covariance that contains s already, as the stated errors show.
        let scale = Scale { standard_deviation: s, errors: Some(&errors), ..Scale::default() };
        assert!(worst(&Encoding::Covariance.unpack("bp", &covariance, N, scale).unwrap().errors, &errors) < 1e-12);
    }

    #[test]
    fn wrong_readings_are_detected() {
        let (factor, covariance, errors, correlations) = truth();
        let scale = Scale { standard_deviation: 1.0, errors: Some(&errors), ..Scale::default() };
        let alone = Scale { standard_deviation: 1.0, ..Scale::default() };
        // The same matrices packed as the upper triangle row by row.
        let otherwise = |packed: &[f64]| -> Vec<f64> {
            (0..N).flat_map(|i| (i..N).map(move |j| (i, j))).map(|(i, j)| packed[lower(j, i)]).collect()
        };
        for (encoding, packed) in [
            (Encoding::Covariance, otherwise(&covariance)),
            (Encoding::Factor, otherwise(&factor)),
            (Encoding::Factor, covariance.clone()),
            (Encoding::Covariance, factor.clone()),
        ] {
            let fault = encoding.unpack("bp", &packed, N, scale).unwrap_err();
            assert!(!matches!(fault, Fault::Length { .. }), "{fault}");
        }
        assert!(Encoding::Covariance.unpack("bp", &otherwise(&covariance), N, alone).is_err());
        let fault = Encoding::NormalisedFactor.unpack("bp", &factor, N, scale).unwrap_err();
        assert!(matches!(fault, Fault::NotNormalised { .. }), "{fault}");
        let fault = Encoding::Covariance.unpack("bp", &correlations, N, scale).unwrap_err();
        assert!(matches!(fault, Fault::Length { found: 15, expected: 21, .. }), "{fault}");
        let twice: Vec<f64> = errors.iter().map(|error| 2.0 * error).collect();
        let other = Scale { errors: Some(&twice), ..scale };
        let fault = Encoding::Covariance.unpack("bp", &covariance, N, other).unwrap_err();
        assert!(fault.to_string().contains("its coefficient_errors"), "{fault}");
        let unpacked = Encoding::Covariance.unpack("bp", &covariance, N, scale).unwrap();
        let encodings = [Encoding::Covariance, Encoding::Correlations];
        assert_eq!(unpacked.require_same("bp", encodings, &correlations), Ok(()));
        let reversed: Vec<f64> = correlations.iter().rev().copied().collect();
        assert!(matches!(unpacked.require_same("bp", encodings, &reversed), Err(Fault::EncodingsDiffer { .. })));
    }
}
