//! Continuous XP spectra: coefficients, errors and correlations of BP and RP.

use super::Encoding;

/// One photometer's continuous spectrum of one star.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Coefficients of the basis functions `[n]`.
    pub coefficients: Vec<f64>,
    /// Published errors of the coefficients `[n]`, which contain the factor `standard_deviation`.
    pub errors: Vec<f64>,
    /// Correlations as the strict lower triangle, row by row `[n(n−1)/2]`; `None` when the file has none
    /// (then taken as zero).
    pub correlations: Option<Vec<f64>>,
    /// Standard deviation s of the least-squares solution; NaN when the file has none.
    pub standard_deviation: f64,
}

/// The continuous spectrum of one star; at least one band is present when it comes from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    pub source_id: i64,
    pub bp: Option<Band>,
    pub rp: Option<Band>,
}

/// Why a star's spectrum cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("neither BP nor RP coefficients")]
    NoBand,
    #[error("{band}: {found} {what} where {expected} belong to the coefficients")]
    Length { band: &'static str, what: &'static str, found: usize, expected: usize },
    #[error("{band}: {what} that are not finite")]
    NotFinite { band: &'static str, what: &'static str },
    #[error("{band}: errors that are not positive")]
    ErrorNotPositive { band: &'static str },
    #[error("{band}: a correlation of {value} (beyond ±1)")]
    CorrelationOutOfRange { band: &'static str, value: f64 },
    #[error(
        "{band}: {found} coefficients, the instrument {instrument} has {expected} basis functions; name the instrument of their release \
         (xp.instrument){alternative}"
    )]
    Count { band: &'static str, found: usize, expected: usize, instrument: String, alternative: &'static str },
    #[error(
        "{band}: {found} coefficients and no {band}_basis_function_id that says of which basis; the instrument {instrument} has {expected}: \
         keep that column of the archive, or name the instrument of their release (xp.instrument)"
    )]
    CountWithoutBasis { band: &'static str, found: usize, expected: usize, instrument: String },
    #[error(
        "{band}: basis functions number {found}, the instrument {instrument} has number {expected}; name the instrument of their release \
         (xp.instrument)"
    )]
    Basis { band: &'static str, found: i64, expected: i64, instrument: String },
    #[error("{band}: a variance of {value} for coefficient {coefficient} in its {encoding}; is it packed another way?")]
    Variance { band: &'static str, encoding: Encoding, coefficient: usize, value: f64 },
    #[error(
        "{band}: its {encoding} gives coefficient {coefficient} the error {found:e}, its coefficient_errors {expected:e}; is it packed another way?"
    )]
    ErrorDiffers { band: &'static str, encoding: Encoding, coefficient: usize, found: f64, expected: f64 },
    #[error("{band}: its {encoding} and its {other} differ by {difference:.3} in a correlation; one is packed another way")]
    EncodingsDiffer { band: &'static str, encoding: Encoding, other: Encoding, difference: f64 },
    #[error(
        "{band}: columns of its normalised factor between {shortest:e} and {longest:e} long, where all are equal; is it packed another way?"
    )]
    NotNormalised { band: &'static str, shortest: f64, longest: f64 },
    #[error("{band}: no errors of the coefficients in any known column")]
    NoErrors { band: &'static str },
    #[error(
        "{band}: a standard deviation of {value} with {degrees_of_freedom} degrees of freedom, by which the errors cannot be divided; use \
         error_convention = \"published\""
    )]
    NoStandardDeviation { band: &'static str, value: f64, degrees_of_freedom: f64 },
}

impl Fault {
    /// Whether the spectrum belongs to another instrument: no matter of this star, but of the file.
    pub fn is_of_instrument(&self) -> bool {
        matches!(self, Self::Count { .. } | Self::CountWithoutBasis { .. } | Self::Basis { .. })
    }

    /// Whether the spectrum has numbers that cannot be, rather than lacking some.
    pub fn is_impossible(&self) -> bool {
        matches!(
            self,
            Self::NotFinite { .. }
                | Self::ErrorNotPositive { .. }
                | Self::CorrelationOutOfRange { .. }
                | Self::Variance { .. }
                | Self::ErrorDiffers { .. }
                | Self::EncodingsDiffer { .. }
                | Self::NotNormalised { .. }
        )
    }
}

impl Band {
    /// Checks lengths and values; `name` is `bp` or `rp`, for the message.
    pub fn check(&self, name: &'static str) -> Result<(), Fault> {
        let n = self.coefficients.len();
        let length = |what, found, expected| match found == expected {
            true => Ok(()),
            false => Err(Fault::Length { band: name, what, found, expected }),
        };
        // Without a way out before the end, which would keep compilers from using vectors.
        let finite = |what, values: &[f64]| match values.iter().fold(true, |all, value| all & value.is_finite()) {
            true => Ok(()),
            false => Err(Fault::NotFinite { band: name, what }),
        };
        length("errors", self.errors.len(), n)?;
        finite("coefficients", &self.coefficients)?;
        finite("errors", &self.errors)?;
        if self.errors.iter().any(|&error| error <= 0.0) {
            return Err(Fault::ErrorNotPositive { band: name });
        }
        if let Some(correlations) = &self.correlations {
            length("correlations", correlations.len(), n * n.saturating_sub(1) / 2)?;
            finite("correlations", correlations)?;
            let most = correlations.iter().fold(true, |all, value| all & (value.abs() <= 1.0 + 1e-6));
            if let Some(&value) = correlations.iter().find(|value| !most && value.abs() > 1.0 + 1e-6) {
                return Err(Fault::CorrelationOutOfRange { band: name, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_say_what_is_wrong() {
        let good = Band {
            coefficients: vec![5.0, 1.0, 0.1],
            errors: vec![0.1; 3],
            correlations: Some(vec![0.1, 0.2, 0.3]),
            standard_deviation: 1.0,
        };
        assert_eq!(good.check("bp"), Ok(()));
        let fault = |change: fn(&mut Band)| {
            let mut band = good.clone();
            change(&mut band);
            band.check("bp").unwrap_err().to_string()
        };
        assert_eq!(fault(|band| band.errors.truncate(2)), "bp: 2 errors where 3 belong to the coefficients");
        assert_eq!(fault(|band| band.errors[1] = -0.1), "bp: errors that are not positive");
        assert_eq!(fault(|band| band.coefficients[1] = f64::NAN), "bp: coefficients that are not finite");
        assert_eq!(fault(|band| band.correlations = Some(vec![0.1, 0.2, 1.3])), "bp: a correlation of 1.3 (beyond ±1)");
        assert_eq!(fault(|band| band.correlations = Some(vec![0.0; 6])), "bp: 6 correlations where 3 belong to the coefficients");
    }
}
