//! What a training of polynomials takes, before it begins.

use crate::error::{Error, Result};

/// Bytes beyond which equations are refused.
const MOST_BYTES: f64 = (1_u64 << 36) as f64;
/// Multiplications and additions beyond which a training warns: half an hour of a core of 60 GFLOP/s.
const MANY_OPERATIONS: f64 = 1e14;

/// Sizes of a training.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub n_spectra: usize,
    /// References times labels.
    pub n_slopes: usize,
    pub n_terms: usize,
    /// Equations that are made and solved, those of all rounds.
    pub n_equations: usize,
    pub n_threads: usize,
}

impl Cost {
    /// Products of labels, their derivatives, and for every thread a matrix with its factor.
    fn bytes(&self) -> f64 {
        let t = self.n_terms as f64;
        8.0 * t * (self.n_spectra as f64 + self.n_slopes as f64 + t * (1.0 + 2.0 * self.n_threads as f64))
    }

    /// Of the upper triangles, and of their factors.
    fn operations(&self) -> f64 {
        let (t, n) = (self.n_terms as f64, self.n_spectra as f64);
        self.n_equations as f64 * (n * t * t + t * t * t / 3.0) + self.n_slopes as f64 * t * t
    }

    /// Warns of long trainings.
    ///
    /// # Errors
    /// `Usage` where it would take more memory than is sensible.
    pub fn check(&self) -> Result<()> {
        let remedy = "Lower the degrees in the recipe.";
        if self.bytes() > MOST_BYTES {
            return Err(Error::usage("degrees of a polynomial")
                .found(format!("{} terms, whose equations take {:.0} GiB", self.n_terms, self.bytes() / (1_u64 << 30) as f64))
                .expected(format!("{:.0} GiB at most", MOST_BYTES / (1_u64 << 30) as f64))
                .remedy(remedy));
        }
        if self.operations() > MANY_OPERATIONS {
            tracing::warn!(
                "{} terms and {} equations take {:.0} TFLOP, half an hour of a core for every 100: lower the degrees for less",
                self.n_terms,
                self.n_equations,
                1e-12 * self.operations()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_that_no_memory_holds_are_refused() {
        // 3 600 spectra with errors of their own at 7 214 pixels, 466 terms: 5.9e12 operations.
        let cost = Cost { n_spectra: 3600, n_slopes: 101 * 15, n_terms: 466, n_equations: 7214, n_threads: 2 };
        assert!((cost.operations() / 5.88e12 - 1.0).abs() < 0.01, "{}", cost.operations());
        assert!((cost.bytes() / 2.78e7 - 1.0).abs() < 0.02, "{}", cost.bytes());
        cost.check().unwrap();
        let error = Cost { n_spectra: 3_000_000, n_terms: 3876, ..cost }.check().unwrap_err().to_string();
        assert!(error.contains("3876 terms") && error.contains("Lower the degrees"), "{error}");
    }
}
