//! The inverse-variance combination of log₁₀ d of Zhang et al. 2024 (DD-Payne for DESI, sec. 4.3): log d_geom
//! = −log₁₀ ϖ and log d_spec of the modulus (eqs. 5, 6), without a prior. The parallax is left out below ϖ/σ
//! = 2 and above RUWE = 1.4, the spectrum for binaries.

use super::measurements::Measurements;
use crate::statistics::Measured;
use serde::{Deserialize, Serialize};

/// What is left out of the combination.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CombinationLimits {
    /// Least ϖ/σ of a parallax that enters.
    pub parallax_over_error: f64,
    /// Greatest RUWE of a star whose parallax enters.
    pub ruwe: f64,
}

impl Default for CombinationLimits {
    fn default() -> Self {
        Self { parallax_over_error: 2.0, ruwe: 1.4 }
    }
}

/// A combined distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combination {
    /// log₁₀(d/kpc).
    pub log10: Measured,
    pub has_parallax: bool,
    pub has_spectrum: bool,
}

/// log₁₀ d of a parallax in mas, and of a modulus whose ln d is given; `None` where neither may enter. A
/// missing RUWE (NaN) leaves nothing out.
pub fn combine(
    parallax: Option<Measured>,
    ln_distance: Option<Measured>,
    (ruwe, is_binary): (f64, bool),
    limits: &CombinationLimits,
) -> Option<Combination> {
    let per_e = std::f64::consts::LOG10_E;
    let log10 = |ln: Measured| Measured { value: per_e * ln.value, error: per_e * ln.error };
    let geometric = parallax.and_then(Measurements::ln_distance_of_parallax).map(log10);
    let spectroscopic = ln_distance.map(log10);
    let is_good = parallax.is_some_and(|parallax| parallax.value >= limits.parallax_over_error * parallax.error)
        && (ruwe.is_nan() || ruwe <= limits.ruwe);
    let of = |log10: Option<Measured>, has_parallax: bool| {
        log10.map(|log10| Combination { log10, has_parallax, has_spectrum: !has_parallax })
    };
    match (geometric, spectroscopic) {
        (Some(geometric), _) if is_binary => of(Some(geometric), true),
        (_, _) if is_binary => None,
        (Some(geometric), Some(spectroscopic)) if is_good => {
            let [by_parallax, by_spectrum] = [geometric, spectroscopic].map(|log10| log10.error.powi(-2));
            let weight = by_parallax + by_spectrum;
            let value = (by_parallax * geometric.value + by_spectrum * spectroscopic.value) / weight;
            let log10 = Measured { value, error: weight.sqrt().recip() };
            Some(Combination { log10, has_parallax: true, has_spectrum: true })
        }
        (_, Some(spectroscopic)) => of(Some(spectroscopic), false),
        (geometric, None) => of(geometric.filter(|_| is_good), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CombinationLimits = CombinationLimits { parallax_over_error: 2.0, ruwe: 1.4 };

    fn with(value: f64, error: f64) -> Option<Measured> {
        Some(Measured { value, error })
    }

    #[test]
    fn weights_are_inverse_variances() {
        // numpy: log10 d = 0.30103 ± 0.043429 (ϖ = 0.5 ± 0.05) and 0.39794 ± 0.05 (2.5 kpc)
        let ln = Measured { value: 2.5f64.ln(), error: 0.05 * std::f64::consts::LN_10 };
        let found = combine(with(0.5, 0.05), Some(ln), (1.0, false), &LIMITS).unwrap();
        let [a, b] = [0.043_429_448_190_325_18_f64.powi(-2), 0.05f64.powi(-2)];
        let expected = (a * 2f64.log10() + b * 2.5f64.log10()) / (a + b);
        assert!((found.log10.value - expected).abs() < 1e-14 && (found.log10.error - (a + b).sqrt().recip()).abs() < 1e-14);
        assert!(found.has_parallax && found.has_spectrum && found.log10.error < 0.0434);
    }

    #[test]
    fn what_the_paper_leaves_out_is_left_out() {
        let spectrum = with(1.0, 0.1);
        let alone = |parallax, ruwe, binary| {
            combine(parallax, spectrum, (ruwe, binary), &LIMITS).map(|found| (found.has_parallax, found.has_spectrum))
        };
        assert_eq!(alone(with(0.3, 0.2), 1.0, false), Some((false, true)), "below twice its error");
        assert_eq!(alone(with(-0.3, 0.2), 1.0, false), Some((false, true)));
        assert_eq!(alone(with(0.3, 0.02), 1.5, false), Some((false, true)), "RUWE");
        assert_eq!(alone(with(0.3, 0.02), f64::NAN, false), Some((true, true)));
        assert_eq!(alone(with(0.3, 0.02), 1.0, true), Some((true, false)), "a binary");
        assert_eq!(alone(with(-0.3, 0.02), 1.0, true), None);
        assert!(!combine(with(0.3, 0.02), None, (1.0, false), &LIMITS).unwrap().has_spectrum);
        assert_eq!(combine(with(0.03, 0.02), None, (1.0, false), &LIMITS), None);
        assert_eq!(combine(None, None, (1.0, false), &LIMITS), None);
    }
}
