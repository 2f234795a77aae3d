//! The training on stars whose labels were measured.

use super::Agreement;
use super::classifier::{Classifier, Classifiers, calibrate};
use super::file::predictor;
use super::report::Report;
use crate::error::{Error, Result};
use crate::learn::{Lesson, LossSums, NetworkLearner, Plan, Plateau, Teacher, ensemble, is_held_out, member_seed};
use crate::observations::in_validation;
use crate::tensor::layers::{Layer, Network};
use crate::tensor::{DescentMethod, Device, Tensor};
use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Fewest bad estimates that teach what a bad one is, and fewest good ones.
const FEWEST: usize = 30;

/// How classifiers are trained (TOML).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfidenceOptions {
    /// Whether only estimates in the basic cut teach, as published: where most of the bad ones are flagged
    /// already, few are left to learn from.
    pub basic_cut: bool,
    /// Neurons of the hidden layers; the published 64, 64, 64.
    pub hidden: Vec<usize>,
    /// Probability with which an input of a hidden layer is left out in training.
    pub dropout: f64,
    pub weight_decay: f32,
    pub batch: usize,
    pub plan: Plan,
    /// Fraction of stars that nothing but the report sees, by a hash of the identifier.
    pub validation_fraction: f64,
    /// Fraction of the others that says when to stop and calibrates the probabilities, by another hash.
    pub held_out_fraction: f64,
}

impl Default for ConfidenceOptions {
    fn default() -> Self {
        let plateau = Some(Plateau { factor: 0.3, patience: 8 });
        Self {
            basic_cut: false,
            hidden: vec![64; 3],
            dropout: 0.1,
            weight_decay: 1e-3,
            batch: 512,
            plan: Plan { epochs: 200, learning_rate: 1e-3, patience: Some(20), plateau, ..Plan::default() },
            validation_fraction: 0.2,
            held_out_fraction: 0.25,
        }
    }
}

impl ConfidenceOptions {
    /// Checks every choice.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| Err(Error::usage(key).found(found).expected(expected));
        let is_fraction = |value: f64| value > 0.0 && value < 0.9;
        if self.hidden.is_empty() || self.hidden.len() > 10 || self.hidden.iter().any(|n| !(1..=4096).contains(n)) {
            return fault("hidden", format!("{:?}", self.hidden), "1 to 10 layers of 1 to 4096 neurons");
        }
        if !(0.0..0.9).contains(&self.dropout) {
            return fault("dropout", self.dropout.to_string(), "a number from 0 to 0.9");
        }
        if self.batch == 0 {
            return fault("batch", "0".into(), "at least 1");
        }
        for (key, value) in [("validation_fraction", self.validation_fraction), ("held_out_fraction", self.held_out_fraction)] {
            if !is_fraction(value) {
                return fault(key, value.to_string(), "a number between 0 and 0.9");
            }
        }
        self.method().validate("weight_decay")?;
        self.plan.validate().map_err(|error| error.within("plan"))
    }

    fn method(&self) -> DescentMethod {
        DescentMethod::AdamW { weight_decay: self.weight_decay }
    }

    fn network(&self, n_features: usize) -> Network {
        let hidden = self.hidden.iter().flat_map(|&outputs| {
            let dropout = (self.dropout > 0.0).then_some(Layer::Dropout { probability: self.dropout });
            dropout.into_iter().chain([Layer::Linear { outputs }, Layer::Relu])
        });
        Network { name: "network".into(), inputs: n_features, layers: hidden.chain([Layer::Linear { outputs: 1 }]).collect() }
    }
}

/// How the estimates of one label agree with measurements.
pub struct Measured {
    pub label: String,
    /// ε, file unit.
    pub floor: f64,
    /// Of every star.
    pub agreement: Vec<Agreement>,
}

impl Measured {
    fn count(&self, stars: impl IntoIterator<Item = usize>, kind: Agreement) -> usize {
        stars.into_iter().filter(|&star| self.agreement[star] == kind).count()
    }

    fn counted(&self) -> String {
        let count = |kind| self.count(0..self.agreement.len(), kind);
        format!("{}: {} good and {} bad", self.label, count(Agreement::Good), count(Agreement::Bad))
    }
}

/// Cross entropy of good (1) and bad (0) estimates.
struct Outcomes {
    is_good: Vec<f32>,
}

impl Teacher for Outcomes {
    fn loss(&self, outputs: Tensor<2>, stars: &[usize], device: &Device) -> LossSums {
        let n = stars.len();
        let targets = device.tensor_f32(stars.iter().map(|&star| self.is_good[star]).collect(), [n, 1]);
        // max(z, 0) + ln(1 + exp −|z|) − t z.
        let positive = outputs.clone().clamp_min(0.0);
        let each = positive + (outputs.clone().abs() * -1.0).exp().log1p() - outputs * targets;
        let sum = each.sum();
        LossSums { gradient: sum.clone(), judged: sum, count: n as f64 }
    }
}

/// Trains a classifier for every label that has enough bad and good estimates; the names of the others are
/// returned beside. `features [N, F]` and `ids` are of all stars; `report` gets the fraction done and a text.
///
/// # Errors
/// When no label has enough of both, or the training diverges or is told to end.
pub fn train(
    options: &ConfidenceOptions,
    (names, features): (Vec<String>, ArrayView2<'_, f64>),
    ids: &[i64],
    measured: &[Measured],
    (seed, device): (u64, &Device),
    report: &mut dyn FnMut(f64, &str) -> Result<()>,
) -> Result<(Classifiers, Vec<String>)> {
    options.validate()?;
    let is_training = |star: usize| !in_validation(ids[star], options.validation_fraction);
    let is_chosen = |star: &usize| is_training(*star) && features.row(*star).iter().any(|x| x.is_finite());
    let chosen: Vec<usize> = (0..features.nrows()).filter(is_chosen).collect();
    let (mean, deviation) = scales(features, &chosen);
    let mut classifiers = Classifiers::new(names, mean, deviation);
    let n_unknown = |k: usize| chosen.iter().filter(|&&star| !features[[star, k]].is_finite()).count();
    classifiers.unknown = (0..features.ncols()).map(|k| n_unknown(k) as f64 / chosen.len().max(1) as f64).collect();
    let rows = classifiers.standardised(features)?;
    let network = options.network(rows.ncols());
    let mut left_out = Vec::new();
    for (index, one) in measured.iter().enumerate() {
        let parts = Parts::of(one, ids, options);
        if !parts.is_enough(one) {
            left_out.push(one.label.clone());
            continue;
        }
        let outcomes = Outcomes { is_good: one.agreement.iter().map(|a| f32::from(u8::from(*a == Agreement::Good))).collect() };
        let lesson = Lesson {
            network: &network,
            optimiser: &options.method(),
            batch: options.batch,
            largest_gradient: Some(10.0),
            inputs: &rows,
            teacher: &outcomes,
            training: &parts.training,
            held_out: &parts.held_out,
            device,
        };
        let start = |_| NetworkLearner::start(lesson, member_seed(seed, index as u32));
        let say = &mut |done: f64, text: &str| {
            report((index as f64 + done) / measured.len() as f64, &format!("confidence of {}, {text}", one.label))
        };
        let trained = ensemble(1, &options.plan, None, start, say)?;
        let learned = trained.into_iter().next().map(|one| one.learned.numbers).unwrap_or_default();
        let weights: Vec<(String, Vec<f32>)> =
            learned.into_iter().map(|(name, values)| (name, values.into_iter().map(|value| value as f32).collect())).collect();
        let predictor = predictor(&network, &weights)?;
        let outputs = |stars: &[usize]| -> Vec<f64> {
            predictor.predict(rows.select(Axis(0), stars).view()).column(0).iter().map(|x| f64::from(*x)).collect()
        };
        let is_good: Vec<bool> = parts.held_out.iter().map(|&star| one.agreement[star] == Agreement::Good).collect();
        let (slope, offset) = calibrate(&outputs(&parts.held_out), &is_good);
        let of_validation = outputs(&parts.validation);
        let mut classifier = Classifier {
            label: one.label.clone(),
            floor: one.floor,
            network: network.clone(),
            weights,
            slope,
            offset,
            report: Report::default(),
        };
        let judged: Vec<(f64, Agreement)> = (parts.validation.iter().zip(of_validation))
            .map(|(&star, output)| (classifier.probability(output), one.agreement[star]))
            .collect();
        classifier.report = Report::of(&judged);
        match classifier.tells_something() {
            true => classifiers.push(classifier, predictor),
            false => left_out.push(one.label.clone()),
        }
    }
    match classifiers.labels.is_empty() {
        true => Err(Error::data("estimates that agree with measurements, and estimates that do not")
            .found(measured.iter().map(Measured::counted).collect::<Vec<_>>().join(", "))
            .expected(format!("of some label at least {FEWEST} of both in the training part, which features tell apart"))
            .remedy("Give more stars with measured labels; where hardly any estimate is wrong, there is nothing to learn.")),
        false => Ok((classifiers, left_out)),
    }
}

/// Positions of stars: those that teach, those that say when to stop and calibrate, and, whatever their
/// agreement, those that judge.
struct Parts {
    training: Vec<usize>,
    held_out: Vec<usize>,
    validation: Vec<usize>,
}

impl Parts {
    fn of(measured: &Measured, ids: &[i64], options: &ConfidenceOptions) -> Self {
        let mut parts = Self { training: Vec::new(), held_out: Vec::new(), validation: Vec::new() };
        for (star, (&id, agreement)) in ids.iter().zip(&measured.agreement).enumerate() {
            let is_decided = matches!(agreement, Agreement::Good | Agreement::Bad);
            match (in_validation(id, options.validation_fraction), is_held_out(id, options.held_out_fraction)) {
                (true, _) => parts.validation.push(star),
                (false, true) if is_decided => parts.held_out.push(star),
                (false, false) if is_decided => parts.training.push(star),
                _ => {}
            }
        }
        parts
    }

    fn is_enough(&self, measured: &Measured) -> bool {
        let count = |stars: &[usize], kind| measured.count(stars.iter().copied(), kind);
        [Agreement::Good, Agreement::Bad].into_iter().all(|kind| {
            count(&self.training, kind) >= FEWEST
                && [&self.held_out, &self.validation].into_iter().all(|part| count(part, kind) >= FEWEST / 3)
        })
    }
}

/// Mean and standard deviation of every feature among the `chosen` stars, robust against the few that are far
/// off.
fn scales(features: ArrayView2<'_, f64>, chosen: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let of = |k: usize| {
        let values: Vec<f64> = chosen.iter().map(|&star| features[[star, k]]).filter(|x| x.is_finite()).collect();
        let [low, middle, high] = crate::statistics::percentiles(&values, [15.87, 50.0, 84.13]);
        let deviation = 0.5 * (high - low);
        let middle = if middle.is_finite() { middle } else { 0.0 };
        (middle, if deviation > 1e-12 * middle.abs().max(1e-12) && deviation.is_finite() { deviation } else { 1.0 })
    };
    (0..features.ncols()).map(of).unzip()
}
