//! Zero points of the bands of a whole catalogue, from the residuals of all its stars.
//!
//! With the scores g and information N of all stars at the zero points z₀ that were applied, a step δ
//! maximises the likelihood of the offsets together with their prior N(0, s²): (N + 1/s²) δ = g − z₀/s².
//! Stars are then fitted anew and the step repeated, until nothing moves. The parameters of the stars need no
//! place in the system: N has what they take up taken off.

use super::ResidualSums;
use crate::error::{Error, Result};
use crate::optimise::dense::invert_positive_semidefinite;
use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Layout of the file.
const FORMAT: u32 = 1;
/// A direction whose error is more than this part of the prior's is held by the prior.
const HELD: f64 = 0.5;
/// Parts of a direction that are told, of its largest.
const TOLD: f64 = 0.3;
/// Errors beyond this are none, mag.
const MOST_ERROR: f64 = 100.0;
const REMEDY: &str = "Solve them anew with `photosphere zero-points`.";
/// Largest zero point that is believed, mag.
pub const LARGEST: f64 = 1.0;

/// A zero point with its error, mag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPoint {
    /// What has to be taken off the magnitudes: positive where the data are too faint.
    pub offset: f64,
    pub error: f64,
}

/// A combination of zero points that the data tell little of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Error of the combination, mag; not much less than the prior's.
    pub error: f64,
    /// The parts of the bands in it: a unit vector, its larger parts.
    pub direction: BTreeMap<String, f64>,
}

/// Zero points of a catalogue under a model: a TOML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPoints {
    format: u32,
    pub program: String,
    pub model_sha256: String,
    /// The options of the fits that decide their estimates, as TOML; files of before do not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub solved_with: String,
    /// Stars that took part.
    pub n_stars: u64,
    /// Standard deviation of the prior of every zero point, mag.
    pub prior: f64,
    /// Fits of all stars.
    pub n_iterations: usize,
    /// Share of the stars that are taken for unresolved pairs; files of before do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_pairs: Option<f64>,
    /// By band, or by block of XP samples.
    pub zero_points: BTreeMap<String, ZeroPoint>,
    /// What the prior holds, where it holds anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
}

/// What one step comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct ZeroPointStep {
    /// By the names of groups.
    pub zero_points: BTreeMap<String, ZeroPoint>,
    pub held: Vec<Held>,
    /// Largest change of a zero point, and the same in errors.
    pub largest: [f64; 2],
}

impl ResidualSums {
    /// The zero points of the groups in `chosen` after one step from those that were applied (`before`, 0
    /// where absent), with a prior of standard deviation `prior` (mag).
    ///
    /// # Errors
    /// When a name is none of the groups', or the residuals are not finite.
    pub fn zero_point_step(&self, before: &BTreeMap<String, f64>, chosen: &[String], prior: f64) -> Result<ZeroPointStep> {
        let positions = chosen.iter().map(|name| {
            self.groups.iter().position(|group| group == name).ok_or_else(|| {
                Error::usage(format!("band '{name}'"))
                    .found("no such band of the model")
                    .expected(format!("one of {}", self.groups.join(", ")))
                    .remedy("Correct the name.")
            })
        });
        let positions = positions.collect::<Result<Vec<usize>>>()?;
        let m = positions.len();
        let precision = prior.powi(-2);
        let applied: Vec<f64> = chosen.iter().map(|name| before.get(name).copied().unwrap_or(0.0)).collect();
        let matrix = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            positions.iter().flat_map(|&a| positions.iter().map(move |&b| (a, b))).map(|(a, b)| of(a, b)).collect()
        };
        let information = matrix(&|a, b| self.information_of(a, b));
        let total: Vec<f64> = (0..m * m).map(|at| information[at] + if at % (m + 1) == 0 { precision } else { 0.0 }).collect();
        let failed = || Error::numerical("zero points").found("residuals that are not finite").expected("finite ones");
        let inverse = invert_positive_semidefinite(&total, m).ok_or_else(failed)?.matrix;
        let pull: Vec<f64> = positions.iter().zip(&applied).map(|(&a, z)| self.score[a] - precision * z).collect();
        let step: Vec<f64> = (0..m).map(|i| (0..m).map(|j| inverse[i * m + j] * pull[j]).sum()).collect();
        let covariance = self.covariance(&information, &inverse, &positions, precision);
        let errors: Vec<f64> = (0..m).map(|i| covariance[i * m + i].sqrt()).collect();
        let zero_point = |i: usize| (chosen[i].clone(), ZeroPoint { offset: applied[i] + step[i], error: errors[i] });
        let largest = |of: &dyn Fn(usize) -> f64| (0..m).map(of).fold(0.0, f64::max);
        Ok(ZeroPointStep {
            zero_points: (0..m).map(zero_point).collect(),
            held: held(&covariance, chosen, prior),
            largest: [largest(&|i| step[i].abs()), largest(&|i| step[i].abs() / errors[i])],
        })
    }

    /// P (k N + 1/s²) P with the inverse P of N + 1/s²: k ≥ 1 is by how much the scores scatter more between
    /// stars than errors of data make them.
    fn covariance(&self, information: &[f64], inverse: &[f64], positions: &[usize], precision: f64) -> Vec<f64> {
        let m = positions.len();
        let ratio = |&a: &usize| self.scatter_of(a, a) / self.information_of(a, a);
        let ratios = positions.iter().filter(|&&a| self.information_of(a, a) > 0.0).map(ratio);
        let factor = ratios.fold(1.0, f64::max);
        let middle: Vec<f64> =
            (0..m * m).map(|at| factor * information[at] + if at % (m + 1) == 0 { precision } else { 0.0 }).collect();
        let times = |a: &[f64], b: &[f64]| -> Vec<f64> {
            (0..m * m).map(|at| (0..m).map(|k| a[at / m * m + k] * b[k * m + at % m]).sum()).collect()
        };
        times(&times(inverse, &middle), inverse)
    }
}

/// The directions that the prior holds.
fn held(covariance: &[f64], names: &[String], prior: f64) -> Vec<Held> {
    let m = names.len();
    let eigen = SymmetricEigen::new(DMatrix::from_row_slice(m, m, covariance));
    let mut found: Vec<Held> = (0..m)
        .filter(|&k| eigen.eigenvalues[k].max(0.0).sqrt() > HELD * prior)
        .map(|k| {
            let vector = eigen.eigenvectors.column(k);
            let sign = if vector.iter().sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
            let largest = vector.amax();
            let parts = names.iter().zip(vector.iter()).filter(|(_, part)| part.abs() > TOLD * largest);
            let direction = parts.map(|(name, part)| (name.clone(), (1e3 * sign * part).round() / 1e3)).collect();
            Held { error: eigen.eigenvalues[k].sqrt(), direction }
        })
        .collect();
    found.sort_by(|one, other| other.error.total_cmp(&one.error));
    found
}

impl ZeroPoints {
    /// What was solved for.
    pub fn new(
        (model_sha256, solved_with): (&str, String),
        (prior, n_iterations): (f64, usize),
        (n_stars, share_of_pairs): (u64, f64),
        step: ZeroPointStep,
    ) -> Self {
        Self {
            format: FORMAT,
            program: concat!("photosphere ", env!("CARGO_PKG_VERSION")).into(),
            model_sha256: model_sha256.to_owned(),
            solved_with,
            n_stars,
            prior,
            n_iterations,
            share_of_pairs: Some(share_of_pairs),
            zero_points: step.zero_points,
            held: step.held,
        }
    }

    /// As TOML.
    ///
    /// # Errors
    /// When a number cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        let text = toml::to_string(self).map_err(|error| Error::output("zero points").found(error.to_string()).source(error))?;
        Ok(format!(
            "# Zero points of a catalogue in magnitudes, solved by `photosphere zero-points`: what is to be taken off its\n\
             # magnitudes (positive where it is too faint for the model). `photosphere fit --zero-points` does it.\n{text}"
        ))
    }

    /// Fails where a file's content is not for the model of this hash.
    ///
    /// # Errors
    /// When it is of another layout or model, or a zero point is beyond belief.
    pub fn check(&self, path: &Path, model_sha256: &str) -> Result<()> {
        let place = || Error::usage(path.display().to_string());
        if self.format != FORMAT {
            return Err(place().found(format!("format {}", self.format)).expected(format!("format {FORMAT}")).remedy(REMEDY));
        }
        if self.model_sha256 != model_sha256 {
            return Err(place()
                .found(format!("zero points that were solved with another model (SHA-256 {})", self.model_sha256))
                .expected(format!("this model ({model_sha256})"))
                .remedy(REMEDY));
        }
        if self.zero_points.is_empty() {
            return Err(place().found("no zero points").expected("some").remedy("Leave the option out."));
        }
        if !(self.prior > 0.0 && self.prior.is_finite()) {
            let found = format!("a prior of {} mag", self.prior);
            return Err(place().found(found).expected("a positive number").remedy(REMEDY));
        }
        let is_believed = |point: &ZeroPoint| point.offset.abs() <= LARGEST && (0.0..=MOST_ERROR).contains(&point.error);
        match self.zero_points.iter().find(|(_, point)| !is_believed(point)) {
            Some((name, point)) => Err(place()
                .found(format!("{name}: {} ± {} mag", point.offset, point.error))
                .expected(format!("zero points of at most {LARGEST} mag, with errors"))
                .remedy(REMEDY)),
            None => Ok(()),
        }
    }

    /// The options in which the fits that solved for these differ from others, by name; empty where the file
    /// does not say.
    pub fn other_options(&self, options: &str) -> Vec<String> {
        let read = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
        let (these, others) = (read(&self.solved_with), read(options));
        let names: BTreeSet<&String> = these.keys().chain(others.keys()).collect();
        let differs = |name: &&&String| these.get(**name) != others.get(**name);
        match self.solved_with.is_empty() {
            true => Vec::new(),
            false => names.iter().filter(differs).map(|name| (*name).clone()).collect(),
        }
    }

    /// The offsets by name.
    pub fn offsets(&self) -> BTreeMap<String, f64> {
        self.zero_points.iter().map(|(name, point)| (name.clone(), point.offset)).collect()
    }
}
