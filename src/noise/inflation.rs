//! Inflation of a flux covariance by errors of the calibration.

use super::triangle;
use serde::{Deserialize, Serialize};

/// Fractions of the flux that are added to a covariance: eq. 2 of Zhang, Green & Rix (2023),
///
/// C′ = C + diag(a f)² + b² f fᵀ + Σ_p c_p² f_p f_pᵀ,
///
/// with `independent` a, `common` b and `parts` c_p for the parts f = Σ_p f_p of the merged flux (BP and RP
/// of Gaia XP).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inflation {
    /// Error of each wavelength for itself, as a fraction of its flux.
    pub independent: f64,
    /// Error of the whole spectrum's zero-point, as a fraction of the flux.
    pub common: f64,
    /// Error of the zero-point of each part (BP, RP), as a fraction of the part.
    pub parts: [f64; 2],
}

impl Default for Inflation {
    fn default() -> Self {
        Self { independent: 0.005, common: 0.005, parts: [0.001, 0.001] }
    }
}

impl Inflation {
    /// Adds the errors to `covariance`, the row-wise upper triangle of a `W × W` matrix; `parts` are the
    /// parts of the flux `[W]` each.
    ///
    /// Missing wavelengths, where the parts are NaN, become NaN.
    pub fn apply(&self, covariance: &mut [f64], parts: [&[f64]; 2]) {
        let n = parts[0].len();
        debug_assert!(parts[1].len() == n && covariance.len() == triangle::length(n));
        let flux: Vec<f64> = parts[0].iter().zip(parts[1]).map(|(first, second)| first + second).collect();
        let [first_square, second_square] = self.parts.map(|fraction| fraction * fraction);
        let (independent_square, common_square) = (self.independent * self.independent, self.common * self.common);
        let mut rest = covariance;
        for i in 0..n {
            let (row, after) = rest.split_at_mut(n - i);
            let (whole, first, second) = (common_square * flux[i], first_square * parts[0][i], second_square * parts[1][i]);
            for (offset, value) in row.iter_mut().enumerate() {
                let j = i + offset;
                *value += whole * flux[j] + first * parts[0][j] + second * parts[1][j];
            }
            row[0] += independent_square * flux[i] * flux[i];
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_every_term_of_equation_2() {
        let inflation = Inflation { independent: 0.1, common: 0.2, parts: [0.3, 0.4] };
        let mut covariance = vec![1.0, 0.5, 2.0];
        inflation.apply(&mut covariance, [&[10.0, 2.0], &[0.0, 3.0]]);
        let expected = [1.0 + 1.0 + 4.0 + 9.0, 0.5 + 0.04 * 50.0 + 0.09 * 20.0, 2.0 + 0.25 + 1.0 + 0.36 + 0.16 * 9.0];
        for (found, expected) in covariance.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{covariance:?}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_and_defaults_are_the_papers() {
        assert_eq!(toml::from_str::<Inflation>("").unwrap(), Inflation::default());
        assert!(toml::from_str::<Inflation>("independant = 0.01").is_err());
    }
}
