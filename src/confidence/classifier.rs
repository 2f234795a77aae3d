//! Probabilities from features.

use super::report::Report;
use crate::error::{Error, Result};
use crate::tensor::layers::{Network, Predictor};
use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

/// Standardised features beyond this are cut: nothing further out was seen.
const FURTHEST: f64 = 8.0;

/// Share of the training stars that have, or lack, a measurement as a star does, below which nothing is known
/// of such stars.
const FEW_ALIKE: f64 = 0.02;

/// The name of the feature that says how well a quantity was measured.
pub fn measurement_feature(name: &str) -> String {
    format!("{name}{MEASUREMENT}")
}

/// The end of its name.
const MEASUREMENT: &str = "_over_error";

fn is_measurement(feature: &str) -> bool {
    feature.ends_with(MEASUREMENT) && feature != FLUX_FEATURE
}

/// The signal-to-noise ratio of the fluxes.
pub const FLUX_FEATURE: &str = "asinh_flux_over_error";

/// Layout of the file.
pub(super) const FORMAT: u32 = 1;

/// The classifiers of a model's labels, as they are in their file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classifiers {
    pub(super) format: u32,
    /// Names of the features, in their order `[F]`.
    pub features: Vec<String>,
    /// Mean and standard deviation of every feature among the training stars `[F]`.
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
    /// Shares of the training stars of which a feature is not known `[F]`; empty in files of before it was
    /// counted.
    #[serde(default)]
    pub unknown: Vec<f64>,
    pub labels: Vec<Classifier>,
    /// The options of the fits that taught them, as text: those of other fits are not judged.
    pub taught_with: String,
    /// The networks of the labels, ready to predict.
    #[serde(skip)]
    predictors: Vec<Predictor>,
}

/// That of one label.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    pub label: String,
    /// ε of the agreement, file unit.
    pub floor: f64,
    pub network: Network,
    /// Weights by name.
    pub weights: Vec<(String, Vec<f32>)>,
    /// ln p/(1 − p) = slope · output + offset.
    pub slope: f64,
    pub offset: f64,
    pub report: Report,
}

impl Classifiers {
    /// Of no label yet.
    pub(super) fn new(features: Vec<String>, mean: Vec<f64>, deviation: Vec<f64>) -> Self {
        let (labels, predictors, taught_with) = (Vec::new(), Vec::new(), String::new());
        Self { format: FORMAT, features, mean, deviation, unknown: Vec::new(), labels, taught_with, predictors }
    }

    /// Whether the training had stars like this one `[F]`: a measurement that (nearly) all of them had is not
    /// missing, nor is one there that (nearly) none had. Estimates with and without a parallax are of two
    /// kinds.
    pub fn knows(&self, features: ArrayView1<'_, f64>) -> bool {
        let measurements = self.features.iter().zip(&self.unknown).zip(features).filter(|((name, _), _)| is_measurement(name));
        measurements.into_iter().all(|((_, unknown), x)| {
            let alike = if x.is_finite() { 1.0 - unknown } else { *unknown };
            alike >= FEW_ALIKE
        })
    }

    /// With one more label.
    pub(super) fn push(&mut self, classifier: Classifier, predictor: Predictor) {
        self.labels.push(classifier);
        self.predictors.push(predictor);
    }

    /// Probabilities `[N, L]` that estimates are good, from features `[N, F]`. A feature that is not finite
    /// is unknown: it counts as its mean.
    ///
    /// # Errors
    /// When there are other features than those of the training.
    pub fn confidence(&self, features: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let rows = self.standardised(features)?;
        let mut found = Array2::zeros((rows.nrows(), self.labels.len()));
        for ((mut column, classifier), predictor) in found.columns_mut().into_iter().zip(&self.labels).zip(&self.predictors) {
            let outputs = predictor.predict(rows.view());
            column.iter_mut().zip(outputs.column(0)).for_each(|(to, output)| *to = classifier.probability(f64::from(*output)));
        }
        Ok(found)
    }

    pub(super) fn standardised(&self, features: ArrayView2<'_, f64>) -> Result<Array2<f32>> {
        if features.ncols() != self.features.len() {
            return Err(Error::numerical("features of confidences")
                .found(features.ncols().to_string())
                .expected(self.features.len().to_string()));
        }
        let of = |(i, k): (usize, usize)| {
            let x = (features[[i, k]] - self.mean[k]) / self.deviation[k];
            if x.is_finite() { x.clamp(-FURTHEST, FURTHEST) as f32 } else { 0.0 }
        };
        Ok(Array2::from_shape_fn(features.dim(), of))
    }
}

impl Classifier {
    /// Whether it is better than the constant that is right in the mean.
    pub(super) fn tells_something(&self) -> bool {
        self.slope > 0.0 && self.report.brier < self.report.brier_of_constant
    }

    /// The probability that an output of the network stands for.
    pub fn probability(&self, output: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * output + self.offset)).exp())
    }
}

/// Slope and offset with which outputs are logarithms of odds (Platt 1999, with his priors on the targets, so
/// that a sample without a single bad star makes no certainty): the maximum of the likelihood, by Newton's
/// steps.
pub(super) fn calibrate(outputs: &[f64], is_good: &[bool]) -> (f64, f64) {
    let n_good = is_good.iter().filter(|good| **good).count() as f64;
    let n_bad = is_good.len() as f64 - n_good;
    let (good, bad) = ((n_good + 1.0) / (n_good + 2.0), 1.0 / (n_bad + 2.0));
    let target = |is_good: bool| if is_good { good } else { bad };
    let misfit = |slope: f64, offset: f64| -> f64 {
        let of = |(x, is_good): (&f64, &bool)| {
            let z = slope * x + offset;
            // −t ln p − (1 − t) ln(1 − p).
            z.max(0.0) + (-z.abs()).exp().ln_1p() - target(*is_good) * z
        };
        outputs.iter().zip(is_good).map(of).sum::<f64>()
    };
    let (mut slope, mut offset) = (1.0, 0.0);
    let mut best = misfit(slope, offset);
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
        for (x, is_good) in outputs.iter().zip(is_good) {
            let p = 1.0 / (1.0 + (-(slope * x + offset)).exp());
            let (d, w) = (p - target(*is_good), p * (1.0 - p));
            g = [g[0] + d * x, g[1] + d];
            h = [h[0] + w * x * x, h[1] + w * x, h[2] + w];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        let mut length = 1.0;
        let lower = std::iter::repeat_with(|| {
            let moved = (slope - length * step[0], offset - length * step[1]);
            length *= 0.5;
            moved
        });
        let Some(moved) = lower.take(30).find(|moved| misfit(moved.0, moved.1) < best) else { break };
        let gain = best - misfit(moved.0, moved.1);
        (slope, offset, best) = (moved.0, moved.1, best - gain);
        if gain < 1e-9 * best.abs() {
            break;
        }
    }
    // A network that ranks the wrong way round says nothing.
    if slope > 0.0 { (slope, offset) } else { (0.0, (n_good + 1.0).ln() - (n_bad + 1.0).ln()) }
}
