//! How well the zero points of a model are known: the covariance of δ(Θ) in f_model(Θ) ≈ f_true(Θ + δ(Θ)).

use super::parameter::{Parameter, ParameterSpace};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest asymmetry and negative eigenvalue, relative, that rounding makes.
const TOLERANCE: f64 = 1e-6;

/// Covariance of the zero-point errors of a model, which like stars share.
///
/// Training knows the scales of T_eff, [Fe/H], log g, E and ln ϖ only through noisy labels of finitely many
/// stars. What is wrong with them is no error of the flux (it hides in no residual), and it does not average
/// out over like stars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Covariance `[P, P]`, a list of rows in the order of the model's parameters and in model units (kK,
    /// dex, unit of E); the distance parameter as its logarithm (ln ϖ). Zero where training has no measured
    /// values.
    pub covariance: Vec<Vec<f64>>,
    /// Standard errors of its elements.
    pub standard_error: Vec<Vec<f64>>,
    /// The part of the covariance that all stars of a kind share (a cell of the Hertzsprung–Russell diagram):
    /// a mean of them keeps it. The rest differs between stars of a kind. Empty in models of earlier
    /// versions: all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Vec<f64>>,
    /// Regions of the labels with covariances of their own, in place of the first; together they hold all
    /// labels. None where all stars are alike.
    #[serde(default, rename = "region", skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<CalibrationRegion>,
}

/// The zero-point errors of the stars in a region of the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationRegion {
    /// Lowest (included) and highest value of labels, model units; a label without bounds is absent.
    pub bounds: BTreeMap<String, [f64; 2]>,
    /// As in [`Calibration`].
    pub covariance: Vec<Vec<f64>>,
    pub standard_error: Vec<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Vec<f64>>,
}

impl CalibrationRegion {
    fn contains(&self, space: &ParameterSpace, model_values: &[f64]) -> bool {
        self.bounds.iter().all(|(name, [low, high])| {
            space.position(name).is_ok_and(|position| model_values[position] >= *low && model_values[position] < *high)
        })
    }
}

impl Calibration {
    /// d(model value)/d(zero point): the value itself for the distance parameter, whose zero point is a
    /// factor (a grey error of the flux is one of ln ϖ); one for the others.
    pub fn slope(parameter: &Parameter, model_value: f64) -> f64 {
        if parameter.is_distance() { model_value } else { 1.0 }
    }

    /// The covariance at the parameters `model_values [P]` of a star, and the part of it that stars of its
    /// kind share.
    pub fn at(&self, space: &ParameterSpace, model_values: &[f64]) -> [&[Vec<f64>]; 2] {
        let region = self.regions.iter().find(|region| region.contains(space, model_values));
        let (covariance, shared) = region.map_or((&self.covariance, &self.shared), |region| (&region.covariance, &region.shared));
        [covariance, if shared.is_empty() { covariance } else { shared }]
    }

    /// Checks shapes, symmetry and signs.
    ///
    /// # Errors
    /// When there are not P × P finite elements, a matrix is not symmetric, a standard error is negative, or
    /// the covariance is not that of any errors (its smallest eigenvalue is negative).
    pub fn validate(&self, space: &ParameterSpace) -> Result<()> {
        check([&self.covariance, &self.standard_error, &self.shared], space)?;
        for (at, region) in self.regions.iter().enumerate() {
            let place = format!("calibration, region {}", at + 1);
            for (name, [low, high]) in &region.bounds {
                space.get(name).map_err(|error| error.within(&place))?;
                // A bound that is no number is not in order either.
                if !matches!(low.partial_cmp(high), Some(std::cmp::Ordering::Less)) {
                    return Err(Error::model(format!("{place}, bounds of '{name}'"))
                        .found(format!("[{low}, {high}]"))
                        .expected("two numbers, the smaller one first")
                        .remedy(REMEDY));
                }
            }
            check([&region.covariance, &region.standard_error, &region.shared], space).map_err(|error| error.within(place))?;
        }
        Ok(())
    }
}

const REMEDY: &str = "Train the model again, or remove [calibration] to leave the errors of its zero points out.";

/// Checks a covariance, the errors of its elements and its shared part.
fn check([covariance, standard_error, shared]: [&[Vec<f64>]; 3], space: &ParameterSpace) -> Result<()> {
    let p = space.len();
    let fault =
        |place: String, found: String, expected: String| Err(Error::model(place).found(found).expected(expected).remedy(REMEDY));
    let matrices = [("covariance", covariance), ("standard_error", standard_error), ("shared", shared)];
    for (name, rows) in matrices.into_iter().filter(|(name, rows)| *name != "shared" || !rows.is_empty()) {
        let place = format!("calibration, {name}");
        if rows.len() != p || rows.iter().any(|row| row.len() != p) {
            let found = rows.iter().take(p + 1).map(|row| row.len().to_string()).collect::<Vec<_>>().join(", ");
            return fault(place, format!("{} rows of {found} numbers", rows.len()), format!("{p} rows of {p}"));
        }
        for (i, j) in (0..p).flat_map(|i| (0..p).map(move |j| (i, j))) {
            let (value, mirrored) = (rows[i][j], rows[j][i]);
            let element = || format!("{place}, element ({i}, {j})");
            if !value.is_finite() {
                return fault(element(), value.to_string(), "a finite number".into());
            }
            if value < 0.0 && (i == j || name == "standard_error") {
                return fault(element(), value.to_string(), "zero or a positive number".into());
            }
            if (value - mirrored).abs() > TOLERANCE * value.abs().max(mirrored.abs()) {
                return fault(element(), format!("{value}, and {mirrored} across the diagonal"), "a symmetric matrix".into());
            }
        }
    }
    for (name, rows) in [("covariance", covariance), ("shared", if shared.is_empty() { covariance } else { shared })] {
        let matrix = nalgebra::DMatrix::from_fn(p, p, |i, j| correlation(rows, i, j));
        let smallest = matrix.symmetric_eigenvalues().min();
        if smallest < -TOLERANCE {
            let found = format!("a matrix whose correlations have the eigenvalue {smallest:.2e}");
            let expected = "one without negative eigenvalues, as covariances are";
            return fault(format!("calibration, {name}"), found, expected.into());
        }
    }
    match (0..p).find(|&i| !shared.is_empty() && shared[i][i] > (1.0 + TOLERANCE) * covariance[i][i]) {
        None => Ok(()),
        Some(i) => fault(
            format!("calibration, shared, element ({i}, {i})"),
            shared[i][i].to_string(),
            format!("at most that of the covariance, {}", covariance[i][i]),
        ),
    }
}

/// An element in units of its variances; zero variances have zero covariances, or a correlation that is none.
fn correlation(covariance: &[Vec<f64>], i: usize, j: usize) -> f64 {
    let (value, scale) = (covariance[i][j], (covariance[i][i] * covariance[j][j]).sqrt());
    match (value == 0.0, scale > 0.0) {
        (true, _) => 0.0,
        (false, true) => value / scale,
        (false, false) => f64::MAX.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_covariance_is_refused() {
        let space = ParameterSpace { parameters: ["teff", "feh", "logg"].map(Parameter::label).to_vec() };
        let calibration = |covariance: [[f64; 3]; 3]| Calibration {
            covariance: covariance.map(|row| row.to_vec()).to_vec(),
            standard_error: vec![vec![0.1; 3]; 3],
            shared: Vec::new(),
            regions: Vec::new(),
        };
        let good = [[4.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
        calibration(good).validate(&space).unwrap();
        let changed = |changes: &[(usize, usize, f64)]| {
            let mut rows = good;
            changes.iter().for_each(|&(i, j, value)| rows[i][j] = value);
            calibration(rows).validate(&space).unwrap_err().to_string()
        };
        assert!(changed(&[(0, 1, 2.0)]).contains("symmetric"));
        assert!(changed(&[(0, 1, 3.0), (1, 0, 3.0)]).contains("eigenvalue -5.00e-1"), "{}", changed(&[(0, 1, 3.0), (1, 0, 3.0)]));
        assert!(changed(&[(0, 2, 1.0), (2, 0, 1.0)]).contains("eigenvalue"));
        assert!(changed(&[(1, 1, -1.0)]).contains("(1, 1)"));
        assert!(changed(&[(1, 1, f64::NAN)]).contains("finite"));
        let mut shared = calibration(good);
        shared.shared = [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]].map(|row| row.to_vec()).to_vec();
        shared.validate(&space).unwrap();
        shared.shared[1][1] = 1.5;
        assert!(shared.validate(&space).unwrap_err().to_string().contains("shared, element (1, 1)"));
        shared.shared[1][1] = 0.1;
        assert!(shared.validate(&space).unwrap_err().to_string().contains("eigenvalue"));
        let mut short = calibration(good);
        short.standard_error.pop();
        assert!(short.validate(&space).unwrap_err().to_string().contains("standard_error"));
    }

    #[test]
    fn a_star_has_the_covariance_of_its_region() {
        let space = ParameterSpace { parameters: ["teff", "logg"].map(Parameter::label).to_vec() };
        let matrix = |value: f64| vec![vec![value, 0.0], vec![0.0, value]];
        let region = |low: f64, high: f64, value: f64| CalibrationRegion {
            bounds: [("logg".into(), [low, high])].into(),
            covariance: matrix(value),
            standard_error: matrix(0.1),
            shared: if value > 5.0 { matrix(1.0) } else { Vec::new() },
        };
        let mut calibration = Calibration {
            covariance: matrix(1.0),
            standard_error: matrix(0.1),
            shared: matrix(0.5),
            regions: vec![region(f64::NEG_INFINITY, 3.0, 9.0), region(3.0, f64::INFINITY, 4.0)],
        };
        calibration.validate(&space).unwrap();
        for (gravity, expected) in [(1.0, [9.0, 1.0]), (3.0, [4.0, 4.0]), (f64::NAN, [1.0, 0.5])] {
            assert_eq!(calibration.at(&space, &[5.0, gravity]).map(|matrix| matrix[0][0]), expected);
        }
        let text = toml::to_string(&calibration).unwrap();
        assert_eq!(toml::from_str::<Calibration>(&text).unwrap(), calibration);
        calibration.regions[1] = region(3.0, 2.0, 4.0);
        assert!(calibration.validate(&space).unwrap_err().to_string().contains("region 2"));
    }
}
