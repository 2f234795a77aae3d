//! Losses of networks' outputs, on tensors.

use super::mixture::{self, Mixture, MixtureOfMagnitudes};
use super::target::{LabelLoss, Luminosity, LuminosityOutput, Target};
use crate::error::{Error, Result};
use crate::learn::{LossSums, Teacher};
use crate::observations::Stars;
use crate::quantity::{Notices, Quantity, Role};
use crate::statistics::{median, robust_scatter};
use crate::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// ln 10 / 5: a magnitude as a change of ln(1/√L).
pub(super) const LN_LABEL_PER_MAGNITUDE: f64 = std::f64::consts::LN_10 / 5.0;
/// Variance, in units of that of the training labels, below which no prediction is believed.
const LEAST_VARIANCE: f64 = 1e-6;
/// ϖ/σ of the parallaxes that set the scale of outputs; they decide nothing else.
const WELL_MEASURED: f64 = 5.0;

/// Centre and scale of what outputs stand for, by parameter, in file units (in ln(1/√L) for luminosities).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    pub centre: Vec<f64>,
    pub scale: Vec<f64>,
}

/// What the stars of a sample have to teach, ready for batches.
#[derive(Debug, Clone)]
pub(super) enum Objective {
    /// Standardised labels, their errors, and 1 where measured `[N · P]`.
    Labels { loss: LabelLoss, value: Vec<f32>, error: Vec<f32>, measured: Vec<f32>, n_labels: usize },
    /// Parallax, error and 10^(2 − m/5) `[N]`; what is not measured has an infinite error.
    Luminosity { of: Luminosity, scaling: Scaling, parallax: Vec<f32>, error: Vec<f32>, root_flux: Vec<f32> },
    /// Nodes `[N · NODES]`: magnitudes in scaled units and ln weights; 1 where measured `[N]`.
    Mixture { scaling: Scaling, magnitude: Vec<f32>, ln_weight: Vec<f32>, measured: Vec<f32> },
}

/// Dereddened apparent magnitudes `[N]`, NaN where there is none or an impossible one.
///
/// # Errors
/// When a column is missing, or is in a unit other than magnitudes.
pub(super) fn magnitudes(stars: &Stars, magnitude: &str, extinction: Option<&str>) -> Result<Vec<f64>> {
    let mut notices = Notices::default();
    let mut column = |name: &str| -> Result<Vec<f64>> {
        let column = stars.auxiliary.column(name)?.clone();
        let read = Quantity::magnitude(name, None).read(column, Role::Value, None, &mut notices);
        read.map_err(|error| error.remedy("Name a column of magnitudes in the recipe."))?.to_f64()
    };
    let mut magnitudes = column(magnitude).map_err(|error| error.within("target.magnitude"))?;
    if let Some(extinction) = extinction {
        let extinctions = column(extinction).map_err(|error| error.within("target.extinction"))?;
        magnitudes.iter_mut().zip(extinctions).for_each(|(m, a)| *m -= a);
    }
    notices.say("magnitudes of the observations");
    magnitudes.iter_mut().filter(|m| !m.is_finite()).for_each(|m| *m = f64::NAN);
    Ok(magnitudes)
}

/// Parallax, its error and magnitude of every star `[N]`; NaN where one is missing.
pub(super) fn parallaxes(stars: &Stars, target: &Target) -> Result<Vec<[f64; 3]>> {
    let (parallax, magnitude, extinction) = match target {
        Target::Luminosity(of) => (&of.parallax, &of.magnitude, of.extinction.as_deref()),
        Target::MixtureOfMagnitudes(of) => (&of.parallax, &of.magnitude, of.extinction.as_deref()),
        Target::Labels { .. } => return Ok(Vec::new()),
    };
    let magnitudes = magnitudes(stars, magnitude, extinction)?;
    Ok((0..stars.len())
        .map(|star| match stars.constraint(parallax, star) {
            Some((value, error)) if magnitudes[star].is_finite() => [value, error, magnitudes[star]],
            _ => [f64::NAN; 3],
        })
        .collect())
}

impl Scaling {
    /// From the training stars.
    ///
    /// # Errors
    /// When fewer than ten of them have a quantity.
    pub fn of(target: &Target, stars: &Stars, training: &[usize]) -> Result<Self> {
        let few = |name: &str, n: usize| {
            Err(Error::data(format!("target '{name}'"))
                .found(format!("{n} training stars that have it"))
                .expected("at least 10")
                .remedy("Give stars with measured values and errors, or take the target out of the recipe."))
        };
        let mut scaling = Self { centre: Vec::new(), scale: Vec::new() };
        if let Target::Labels { names, .. } = target {
            for name in names {
                let values: Vec<f64> = training.iter().filter_map(|&star| Some(stars.constraint(name, star)?.0)).collect();
                if values.len() < 10 {
                    return few(name, values.len());
                }
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
                scaling.centre.push(mean);
                scaling.scale.push(if deviation > 0.0 { deviation } else { 1.0 });
            }
            return Ok(scaling);
        }
        let all = parallaxes(stars, target)?;
        let well: Vec<f64> = training
            .iter()
            .map(|&star| all[star])
            .filter(|[parallax, error, _]| *parallax > WELL_MEASURED * error)
            .map(|[parallax, _, magnitude]| parallax.ln() + LN_LABEL_PER_MAGNITUDE * (magnitude - 10.0))
            .collect();
        if well.len() < 10 {
            return few(&format!("luminosity (parallax above {WELL_MEASURED} errors, with a magnitude)"), well.len());
        }
        let (centre, scale) = (median(&well), robust_scatter(&well));
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let unit = match target {
            Target::MixtureOfMagnitudes(_) => LN_LABEL_PER_MAGNITUDE,
            _ => 1.0,
        };
        let linear = matches!(target, Target::Luminosity(Luminosity { output: LuminosityOutput::Linear, .. }));
        let (centre, scale) = if linear { (0.0, centre.exp()) } else { (centre / unit, scale / unit) };
        Ok(Self { centre: vec![centre], scale: vec![scale] })
    }
}

impl Objective {
    /// # Errors
    /// When a column is missing.
    pub fn new(target: &Target, scaling: &Scaling, stars: &Stars) -> Result<Self> {
        let n = stars.len();
        Ok(match target {
            Target::Labels { names, loss } => {
                let cells = || (0..n).flat_map(|star| names.iter().enumerate().map(move |(k, name)| (star, k, name)));
                let of = |(star, k, name): (usize, usize, &String)| match stars.constraint(name, star) {
                    Some((value, error)) => {
                        [(value - scaling.centre[k]) / scaling.scale[k], error / scaling.scale[k], 1.0].map(|x| x as f32)
                    }
                    None => [0.0, 1.0, 0.0],
                };
                let column = |i: usize| cells().map(|cell| of(cell)[i]).collect::<Vec<f32>>();
                Self::Labels { loss: *loss, value: column(0), error: column(1), measured: column(2), n_labels: names.len() }
            }
            Target::Luminosity(of) => {
                let mut columns = [const { Vec::<f32>::new() }; 3];
                for [parallax, error, magnitude] in parallaxes(stars, target)? {
                    let row = match parallax.is_finite() {
                        true => [parallax, error, 10f64.powf(2.0 - magnitude / 5.0)],
                        // Weight zero in single precision.
                        false => [0.0, 1e15, 1.0],
                    };
                    columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value as f32));
                }
                let [parallax, error, root_flux] = columns;
                Self::Luminosity { of: of.clone(), scaling: scaling.clone(), parallax, error, root_flux }
            }
            Target::MixtureOfMagnitudes(_) => {
                let (mut magnitude, mut ln_weight, mut measured) = (Vec::new(), Vec::new(), Vec::new());
                for [parallax, error, m] in parallaxes(stars, target)? {
                    let is_measured = parallax.is_finite();
                    measured.push(if is_measured { 1.0 } else { 0.0 });
                    let nodes = if is_measured { mixture::nodes(m, parallax, error) } else { mixture::nodes(10.0, 1.0, 1.0) };
                    for [m, ln] in nodes {
                        magnitude.push(((m - scaling.centre[0]) / scaling.scale[0]) as f32);
                        ln_weight.push(ln as f32);
                    }
                }
                Self::Mixture { scaling: scaling.clone(), magnitude, ln_weight, measured }
            }
        })
    }

    /// Whether a star teaches anything.
    pub fn teaches(&self, star: usize) -> bool {
        match self {
            Self::Labels { measured, n_labels, .. } => measured[star * n_labels..(star + 1) * n_labels].contains(&1.0),
            Self::Luminosity { error, .. } => error[star] < 1e14,
            Self::Mixture { measured, .. } => measured[star] > 0.0,
        }
    }
}

impl Teacher for Objective {
    fn loss(&self, outputs: Tensor<2>, stars: &[usize], device: &Device) -> LossSums {
        let n = stars.len();
        let pick = |values: &[f32], width: usize| -> Tensor<2> {
            let picked = stars.iter().flat_map(|&star| &values[star * width..(star + 1) * width]).copied().collect();
            device.tensor_f32(picked, [n, width])
        };
        let count = |values: &[f32], width: usize| -> f64 {
            stars.iter().flat_map(|&star| &values[star * width..(star + 1) * width]).map(|value| f64::from(*value)).sum()
        };
        match self {
            Self::Labels { loss, value, error, measured, n_labels } => {
                let p = *n_labels;
                let mask = pick(measured, p);
                let square = |centre: Tensor<2>| (centre - pick(value, p)).powi_scalar(2);
                let each = match loss {
                    LabelLoss::SquaredError => square(outputs),
                    LabelLoss::Gaussian => {
                        let variance = predicted_variance(outputs.clone().narrow(1, p, p)) + pick(error, p).powi_scalar(2);
                        square(outputs.narrow(1, 0, p)) / variance.clone() + variance.log()
                    }
                };
                let sum = (each * mask).sum();
                LossSums { gradient: sum.clone(), judged: sum, count: count(measured, p) }
            }
            Self::Luminosity { of, scaling, parallax, error, root_flux } => {
                let scaled = outputs * scaling.scale[0] + scaling.centre[0];
                let label = match of.output {
                    LuminosityOutput::Logarithm => scaled.clamp(-12.0, 12.0).exp(),
                    LuminosityOutput::Linear => scaled,
                };
                let predicted = label * pick(root_flux, 1);
                // The floor is a weight: its own slope, and weights by the measured parallax, would bias.
                let floor = predicted.clone().detach() * of.model_floor;
                let variance = floor.powi_scalar(2) + pick(error, 1).powi_scalar(2);
                let sum = ((predicted - pick(parallax, 1)).powi_scalar(2) / variance.clone()).sum();
                let is_measured = |star: &&usize| self.teaches(**star);
                let mask: Vec<f32> = stars.iter().map(|star| if self.teaches(*star) { 1.0 } else { 0.0 }).collect();
                let determinant = (variance.log() * device.tensor_f32(mask, [n, 1])).sum();
                let judged = if of.model_floor > 0.0 { sum.clone() + determinant } else { sum.clone() };
                LossSums { gradient: sum, judged, count: stars.iter().filter(is_measured).count() as f64 }
            }
            Self::Mixture { scaling, magnitude, ln_weight, measured } => {
                let k = mixture::NODES;
                let scale = scaling.scale[0];
                let (m, ln) = (pick(magnitude, k), pick(ln_weight, k));
                let column = |at: usize| outputs.clone().narrow(1, at, 1);
                let shape = |at: usize, first: f64| column(at) * mixture::PACE + first;
                let scatter = |at: usize| softplus(shape(at, mixture::FIRST_SCATTER)) + mixture::LEAST_SCATTER;
                let component = |ln_fraction: Tensor<2>, centre: Tensor<2>, scatter: Tensor<2>| {
                    let pull = (m.clone() - centre) * scale / scatter.clone();
                    let logs = ln.clone() - pull.powi_scalar(2) * 0.5;
                    log_sum(logs) + ln_fraction - scatter.log()
                };
                // ln of a logistic function and of its complement.
                let ln_logistic = |x: Tensor<2>| softplus(x * -1.0) * -1.0;
                let logit = shape(0, mixture::FIRST_LOGIT);
                let (single, binary) = (ln_logistic(logit.clone()), ln_logistic(logit * -1.0));
                let offset = ln_logistic(shape(2, 0.0)).exp() * (mixture::LARGEST_OFFSET / scale);
                let first = component(single, column(1), scatter(3));
                let second = component(binary, column(1) - offset, scatter(4));
                let both = log_sum(Tensor::cat(vec![first, second], 1));
                let sum = (both * pick(measured, 1)).sum() * -2.0;
                LossSums { gradient: sum.clone(), judged: sum, count: count(measured, 1) }
            }
        }
    }
}

/// Variance, in units of that of the training labels, of outputs that stand for its logarithm.
fn predicted_variance(outputs: Tensor<2>) -> Tensor<2> {
    outputs.clamp(-14.0, 6.0).exp() + LEAST_VARIANCE
}

/// ln Σ exp along the second axis, `[n, 1]`.
fn log_sum(x: Tensor<2>) -> Tensor<2> {
    let largest = x.clone().detach().max_dim(1);
    (x - largest.clone()).exp().sum_dim(1).log() + largest
}

fn softplus(x: Tensor<2>) -> Tensor<2> {
    x.clone().clamp_min(0.0) + (x.abs() * -1.0).exp().log1p()
}

/// What outputs of a network stand for: parameters in file units, and variances that the network itself
/// predicts.
pub(super) fn meaning(target: &Target, scaling: &Scaling, outputs: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let out = |k: usize| f64::from(outputs[k]);
    match target {
        Target::Labels { names, loss } => {
            let p = names.len();
            let value = |k: usize| scaling.centre[k] + scaling.scale[k] * out(k);
            let variance = |k: usize| match loss {
                LabelLoss::SquaredError => 0.0,
                LabelLoss::Gaussian => scaling.scale[k].powi(2) * (out(p + k).clamp(-14.0, 6.0).exp() + LEAST_VARIANCE),
            };
            ((0..p).map(value).collect(), (0..p).map(variance).collect())
        }
        Target::Luminosity(of) => {
            let scaled = scaling.centre[0] + scaling.scale[0] * out(0);
            let ln_label = match of.output {
                LuminosityOutput::Logarithm => scaled.clamp(-12.0, 12.0),
                LuminosityOutput::Linear => scaled.ln(),
            };
            (vec![ln_label / LN_LABEL_PER_MAGNITUDE], vec![0.0])
        }
        Target::MixtureOfMagnitudes(_) => {
            let outputs: Vec<f64> = (0..5).map(out).collect();
            let mixture = Mixture::of_outputs(&outputs, scaling.centre[0], scaling.scale[0]);
            (MixtureOfMagnitudes::parameters(&mixture).to_vec(), vec![0.0; 5])
        }
    }
}
