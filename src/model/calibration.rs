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

type Bounds = BTreeMap<String, [f64; 2]>;

/// Whether every point of a box of labels lies in one of the `regions`.
fn is_covered(bounds: &Bounds, regions: &[CalibrationRegion]) -> bool {
    let mut left = vec![bounds.clone()];
    for region in regions {
        left = left.into_iter().flat_map(|part| outside(part, &region.bounds)).collect();
    }
    left.is_empty()
}

/// Boxes that are together what lies in the first box and not in the other.
fn outside(mut rest: Bounds, other: &Bounds) -> Vec<Bounds> {
    let mut parts = Vec::new();
    for (name, &[low, high]) in other {
        let [from, to] = rest.get(name).copied().unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        if from.max(low) >= to.min(high) {
            parts.push(rest);
            return parts;
        }
        let with = |ends: [f64; 2]| rest.iter().map(|(name, ends)| (name.clone(), *ends)).chain([(name.clone(), ends)]).collect();
        parts.extend((from < low).then(|| with([from, low])));
        parts.extend((high < to).then(|| with([high, to])));
        rest.insert(name.clone(), [from.max(low), to.min(high)]);
    }
    parts
}

impl CalibrationRegion {
    fn contains(&self, space: &ParameterSpace, model_values: &[f64]) -> bool {
        self.bounds.iter().all(|(name, [low, high])| {
            space.position(name).is_ok_and(|position| model_values[position] >= *low && model_values[position] < *high)
        })
    }

    /// The bounds of what lies in both regions; `None` where nothing does.
    fn intersection(&self, other: &Self) -> Option<BTreeMap<String, [f64; 2]>> {
        let mut bounds = self.bounds.clone();
        for (name, [low, high]) in &other.bounds {
            let of = bounds.entry(name.clone()).or_insert([f64::NEG_INFINITY, f64::INFINITY]);
            *of = [of[0].max(*low), of[1].min(*high)];
        }
        bounds.values().all(|[low, high]| low < high).then_some(bounds)
    }

    /// The matrices of [`Calibration::at_least`] within `bounds`.
    fn at_least(&self, other: &Self, bounds: BTreeMap<String, [f64; 2]>) -> Self {
        let shared = |one: &Self| if one.shared.is_empty() { one.covariance.clone() } else { one.shared.clone() };
        let own = |one: &Self| element_by_element(&one.covariance, &shared(one), |a, b| a - b);
        let together = larger(&shared(self), &shared(other));
        Self {
            bounds,
            covariance: element_by_element(&together, &larger(&own(self), &own(other)), |a, b| a + b),
            standard_error: element_by_element(&self.standard_error, &other.standard_error, f64::max),
            shared: together,
        }
    }
}

fn element_by_element(a: &[Vec<f64>], b: &[Vec<f64>], of: impl Fn(f64, f64) -> f64) -> Vec<Vec<f64>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(&a, &b)| of(a, b)).collect()).collect()
}

/// (A + B + |A − B|)/2 of two covariances, with the absolute value in units of both variances together.
fn larger(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let p = a.len();
    let unit: Vec<f64> = (0..p).map(|i| (a[i][i] + b[i][i]).sqrt()).map(|unit| if unit > 0.0 { unit } else { 1.0 }).collect();
    let difference = nalgebra::DMatrix::from_fn(p, p, |i, j| (a[i][j] - b[i][j]) / (unit[i] * unit[j]));
    let eigen = nalgebra::SymmetricEigen::new(difference);
    let absolute =
        &eigen.eigenvectors * nalgebra::DMatrix::from_diagonal(&eigen.eigenvalues.abs()) * eigen.eigenvectors.transpose();
    let element = |i: usize, j: usize| {
        let beyond = 0.5 * (absolute[(i, j)] + absolute[(j, i)]) * unit[i] * unit[j];
        0.5 * (a[i][j] + b[i][j] + beyond)
    };
    (0..p).map(|i| (0..p).map(|j| element(i.min(j), i.max(j))).collect()).collect()
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

    /// The least errors that are nowhere smaller than either: of two estimates of what may be the same error,
    /// whose sum would count it twice.
    ///
    /// Of the parts that stars of a kind share and of those that differ between them, the larger of two
    /// matrices each: (A + B + |A − B|)/2, of all matrices that exceed both the one of the least trace (in
    /// units of their variances). Regions are those of both, and where only one has some, its own with the
    /// whole of the other.
    pub fn at_least(&self, other: &Self) -> Self {
        let whole = self.whole().at_least(&other.whole(), BTreeMap::new());
        // Of the regions that hold a star the first counts; the whole is that of stars in none.
        let parts = |one: &Self| -> Vec<CalibrationRegion> { one.regions.iter().cloned().chain([one.whole()]).collect() };
        let (parts, others) = (parts(self), parts(other));
        let n_pairs = parts.len() * others.len() - 1;
        let mut regions: Vec<CalibrationRegion> = Vec::new();
        for (one, other) in parts.iter().flat_map(|one| others.iter().map(move |other| (one, other))).take(n_pairs) {
            let common = one.intersection(other).filter(|bounds| !is_covered(bounds, &regions));
            regions.extend(common.map(|bounds| one.at_least(other, bounds)));
        }
        let CalibrationRegion { covariance, standard_error, shared, .. } = whole;
        Self { covariance, standard_error, shared, regions }
    }

    /// The errors of the zero points of these parameters (positions) alone.
    pub fn only(&self, positions: &[usize]) -> Self {
        let of = |matrix: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            let is_both = |i: usize, j: usize| positions.contains(&i) && positions.contains(&j);
            let row = |(i, row): (usize, &Vec<f64>)| {
                row.iter().enumerate().map(|(j, value)| if is_both(i, j) { *value } else { 0.0 }).collect()
            };
            matrix.iter().enumerate().map(row).collect()
        };
        let region = |region: &CalibrationRegion| CalibrationRegion {
            bounds: region.bounds.clone(),
            covariance: of(&region.covariance),
            standard_error: of(&region.standard_error),
            shared: of(&region.shared),
        };
        Self {
            covariance: of(&self.covariance),
            standard_error: of(&self.standard_error),
            shared: of(&self.shared),
            regions: self.regions.iter().map(region).collect(),
        }
    }

    fn whole(&self) -> CalibrationRegion {
        CalibrationRegion {
            bounds: BTreeMap::new(),
            covariance: self.covariance.clone(),
            standard_error: self.standard_error.clone(),
            shared: self.shared.clone(),
        }
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

    #[test]
    fn the_least_errors_that_exceed_two_are_no_sum() {
        let space = ParameterSpace { parameters: ["teff", "logg"].map(Parameter::label).to_vec() };
        let rows = |matrix: [[f64; 2]; 2]| matrix.map(|row| row.to_vec()).to_vec();
        let region = |bounds: [f64; 2], covariance: [[f64; 2]; 2], shared: [[f64; 2]; 2]| CalibrationRegion {
            bounds: [("logg".into(), bounds)].into(),
            covariance: rows(covariance),
            standard_error: rows([[0.1; 2]; 2]),
            shared: rows(shared),
        };
        let of = |regions: &[CalibrationRegion]| Calibration {
            covariance: rows([[1.0, 0.0], [0.0, 1.0]]),
            standard_error: rows([[0.1; 2]; 2]),
            shared: Vec::new(),
            regions: regions.to_vec(),
        };
        let [all, zero] = [[f64::NEG_INFINITY, f64::INFINITY], [0.0; 2]];
        let (mine, theirs) = ([[4.0, 1.0], [1.0, 1.0]], [[1.0, -0.5], [-0.5, 2.0]]);
        let a = of(&[region([all[0], 3.0], mine, mine), region([3.0, all[1]], mine, [zero; 2])]);
        let b = of(&[region([all[0], 2.0], theirs, [zero; 2]), region([2.0, all[1]], theirs, theirs)]);
        let both = a.at_least(&b);
        both.validate(&space).unwrap();
        assert_eq!(both.regions.len(), 3, "the fourth pair of regions has nothing in common");
        let matrix = |rows: &[Vec<f64>]| nalgebra::DMatrix::from_fn(2, 2, |i, j| rows[i][j]);
        for gravity in [1.0, 2.5, 4.0] {
            let [found, mine, theirs] = [&both, &a, &b].map(|one| one.at(&space, &[5.0, gravity]).map(matrix));
            for other in [&mine, &theirs] {
                (0..2).for_each(|part| assert!((&found[part] - &other[part]).symmetric_eigenvalues().min() > -1e-12));
            }
        }
        // Of some parameters alone: what one knows of the first and the other of the second.
        let apart = a.only(&[0]).at_least(&b.only(&[1]));
        apart.validate(&space).unwrap();
        for gravity in [1.0, 2.5, 4.0] {
            let [found, mine, theirs] = [&apart, &a, &b].map(|one| matrix(one.at(&space, &[5.0, gravity])[0]));
            let expected = nalgebra::DMatrix::from_row_slice(2, 2, &[mine[(0, 0)], 0.0, 0.0, theirs[(1, 1)]]);
            assert!((found - expected).amax() < 1e-12, "{gravity}");
        }
        // Where one has no region, its whole covariance counts there.
        let hole = of(&b.regions[1..]);
        for (both, one) in [(a.at_least(&hole), &a), (hole.at_least(&a), &a), (hole.at_least(&of(&[])), &of(&[]))] {
            both.validate(&space).unwrap();
            for gravity in [1.0, 2.5, 4.0] {
                let [found, one, other] = [&both, one, &hole].map(|one| one.at(&space, &[5.0, gravity]).map(matrix));
                for other in [&one, &other] {
                    (0..2).for_each(|part| assert!((&found[part] - &other[part]).symmetric_eigenvalues().min() > -1e-12));
                }
            }
        }
        assert_eq!(hole.at_least(&of(&[])).regions.len(), 1, "the rest is the whole of both");
        // numpy 2.4.6 in units of the sums of the variances: eigh(d), 0.5 (a + b + v |w| v^T)
        let both_shared = larger(&rows(mine), &rows(theirs));
        let expected = [[4.272_620_31, 0.414_894_91], [0.414_894_91, 2.255_768_35]];
        assert!((0..4).all(|at| (both_shared[at / 2][at % 2] - expected[at / 2][at % 2]).abs() < 1e-7));
        // Twice the same is itself, and nothing adds nothing.
        let nothing = Calibration { covariance: rows([zero; 2]), ..of(&[]) };
        let again = a.at_least(&a);
        assert!((matrix(again.at(&space, &[5.0, 1.0])[0]) - matrix(&rows(mine))).amax() < 1e-12);
        assert!((matrix(&of(&[]).at_least(&nothing).covariance) - matrix(&rows([[1.0, 0.0], [0.0, 1.0]]))).amax() < 1e-12);
    }
}
