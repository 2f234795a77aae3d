//! How well the zero points of a model are known: the covariance of δ(Θ) in f_model(Θ) ≈ f_true(Θ + δ(Θ)).

use super::parameter::{Parameter, ParameterSpace};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The parameter whose zero point is a factor: a grey error of the flux is one of ln ϖ.
const RELATIVE: &str = "parallax";

/// Covariance of the zero-point errors of a model, which like stars share.
///
/// Training knows the scales of T_eff, [Fe/H], log g, E and ln ϖ only through noisy labels of finitely many stars. What is wrong
/// with them is no error of the flux (it hides in no residual), and it does not average out over like stars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Covariance `[P, P]`, a list of rows in the order of the model's parameters and in model units (kK, dex, unit of E); the
    /// parallax as ln ϖ. Zero where training has no measured values.
    pub covariance: Vec<Vec<f64>>,
    /// Standard errors of its elements.
    pub standard_error: Vec<Vec<f64>>,
}

impl Calibration {
    /// d(model value)/d(zero point): the value itself for the parallax, one for the others.
    pub fn slope(parameter: &Parameter, model_value: f64) -> f64 {
        if parameter.name == RELATIVE { model_value } else { 1.0 }
    }

    /// Checks the shape and the variances.
    ///
    /// # Errors
    /// When there are not P × P finite elements, or a variance is negative.
    pub fn validate(&self, space: &ParameterSpace) -> Result<()> {
        let p = space.len();
        for (name, rows) in [("covariance", &self.covariance), ("standard_error", &self.standard_error)] {
            let place = || format!("calibration, {name}");
            if rows.len() != p || rows.iter().any(|row| row.len() != p) {
                let found = rows.iter().map(|row| row.len().to_string()).collect::<Vec<_>>().join(", ");
                return Err(Error::model(place()).found(format!("rows of {found} numbers")).expected(format!("{p} rows of {p}")));
            }
            if rows.iter().flatten().any(|value| !value.is_finite()) || (0..p).any(|i| rows[i][i] < 0.0) {
                return Err(Error::model(place()).found("a number that is not finite, or negative on the diagonal"));
            }
        }
        Ok(())
    }
}
