//! Negative controls: the naive ways of doing it, on simulated stars, to show that they fail and that the
//! report would see it.

use super::context::{coordinates, inside_training_range, magnitude_offset, pick};
use crate::error::{Error, Result};
use crate::infer::{Estimates, FitOptions, fit, read_options};
use crate::model::Registry;
use crate::observations::{Cut, Observations, select};
use crate::simulate::{PhaseShares, SurveyConfig, simulate};
use crate::statistics::median;
use crate::train::{Recipe, TrainedModel, train};
use crate::validate::figure::{BiasComparison, BiasSeries};
use crate::validate::number::significant;
use crate::validate::report::Report;

/// The outcome of a negative control: the good way beside the naive way.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlResult {
    pub name: String,
    /// What was done and what it shows, for an astronomer.
    pub explanation: String,
    /// The quantity that is judged, what it is the naive way and the good way, and what is asked.
    pub quantity: String,
    pub found: String,
    pub asked: String,
    pub passed: bool,
    /// Measured numbers by name, with the unit in the name.
    pub numbers: Vec<(String, f64)>,
    /// Residuals of the good way and of the naive way.
    pub series: Vec<ControlSeries>,
    pub x_label: String,
    pub y_label: String,
    pub logarithmic: bool,
}

/// Residuals of one way of doing it, star by star.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSeries {
    pub name: String,
    pub x: Vec<f64>,
    pub residual: Vec<f64>,
}

/// Size of the controls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ControlOptions {
    /// Simulated new stars that are fitted in each control.
    pub n_new: usize,
    /// Seed of the simulated sky.
    pub seed: u64,
}

impl Default for ControlOptions {
    fn default() -> Self {
        Self { n_new: 1500, seed: 2 }
    }
}

/// ϖ/σ below which the naive way throws a training star away.
const NAIVE_PARALLAX_SIGNAL: f64 = 20.0;
/// Distance (kpc) above which, and log g below which, a star is a distant giant.
const DISTANT: f64 = 10.0;
const GIANT: f64 = 3.0;
/// True E above which the dust cannot be neglected.
const DUSTY: f64 = 0.3;
/// How many times worse the naive way must be.
const FACTOR: f64 = 3.0;

impl ControlResult {
    pub(super) fn section(&self, report: &mut Report) {
        report.section(format!("Negative control: {}", self.name), self.explanation.as_str());
        let series: Vec<BiasSeries<'_>> = self
            .series
            .iter()
            .map(|series| BiasSeries { name: &series.name, x: &series.x, residual: &series.residual })
            .collect();
        let (x_label, y_label) = (self.x_label.as_str(), self.y_label.as_str());
        let figure = BiasComparison { series: &series, x_label, y_label, logarithmic: self.logarithmic }.figure();
        let verdict = if self.passed { "as it must be" } else { "which is NOT what is asked" };
        let caption = format!(
            "Median residuals with their errors; bands hold 68 % of the stars. The {} is {}, {verdict}: {}.",
            self.quantity, self.found, self.asked
        );
        report.figure(caption, figure.named("control"));
        let rows = self.numbers.iter().map(|(name, value)| vec![name.clone(), significant(*value, 3)]).collect();
        report.table("Measured.", ["quantity", "value"], rows);
    }
}

/// Runs all controls on stars simulated with the data vector of the model; `training` are the simulated stars
/// that it was trained on.
///
/// # Errors
/// When the model has another data vector than simulated surveys have, or a training or a fit fails.
pub fn controls(
    trained: &TrainedModel,
    training: &Observations,
    registry: &Registry,
    options: &ControlOptions,
) -> Result<Vec<ControlResult>> {
    Ok(vec![extinction_control(trained, options)?, selection_control(trained, training, registry, options)?])
}

/// E held at zero: the reddening of dusty stars goes into T_eff.
///
/// # Errors
/// As [`controls`].
pub fn extinction_control(trained: &TrainedModel, options: &ControlOptions) -> Result<ControlResult> {
    let survey = simulate(&SurveyConfig {
        n_stars: options.n_new,
        seed: options.seed,
        first_star: FIRST_NEW_STAR,
        labelled_fraction: 0.0,
        binary_fraction: 0.0,
        ..SurveyConfig::default()
    })?;
    let free = FitOptions { exact_hessian: false, ..FitOptions::default() };
    let held = FitOptions { hold: [("extinction".to_owned(), 0.0)].into(), ..free.clone() };
    let observations = Observations::from_table(survey, &read_options(trained, &free))?;
    let (extinction, teff) = (truth(&observations, "extinction")?, truth(&observations, "teff")?);
    let stars = inside_training_range(&trained.model.space, &observations.auxiliary).unwrap_or_default();
    let residuals = |options: &FitOptions| -> Result<Vec<f64>> {
        let estimates = fit(trained, &observations, options)?;
        let fitted = values(&estimates, "teff")?;
        Ok(stars.iter().map(|&star| fitted[star] - teff[star]).collect())
    };
    let x: Vec<f64> = stars.iter().map(|&star| extinction[star]).collect();
    let (free, held) = (residuals(&free)?, residuals(&held)?);
    let dusty = |residuals: &[f64]| -> Vec<f64> {
        x.iter().zip(residuals).filter(|(extinction, _)| **extinction > DUSTY).map(|(_, residual)| *residual).collect()
    };
    let size = |residuals: &[f64]| median(&dusty(residuals).iter().map(|residual| residual.abs()).collect::<Vec<f64>>());
    let (good, naive) = (size(&free), size(&held));
    Ok(ControlResult {
        name: "no dust".into(),
        explanation: format!(
            "The same stars fitted with E free and with E held at zero. Without dust in the model, a reddened star must be a \
             cooler one: T_eff of stars behind E > {DUSTY} breaks down. It shows that the model separates dust from \
             temperature only because it fits both."
        ),
        quantity: format!("median |ΔT_eff| behind E > {DUSTY}"),
        found: format!("{} K instead of {} K", significant(naive, 3), significant(good, 3)),
        asked: format!("at least {FACTOR} times larger"),
        passed: naive >= FACTOR * good,
        numbers: vec![
            (format!("stars with true E > {DUSTY}"), dusty(&free).len() as f64),
            ("median |ΔT_eff| with E free (K)".into(), good),
            ("median |ΔT_eff| with E = 0 (K)".into(), naive),
            ("median ΔT_eff with E free (K)".into(), median(&dusty(&free))),
            ("median ΔT_eff with E = 0 (K)".into(), median(&dusty(&held))),
        ],
        series: vec![
            ControlSeries { name: "E free".into(), x: x.clone(), residual: free },
            ControlSeries { name: "control: E = 0".into(), x, residual: held },
        ],
        x_label: "true E (mag)".into(),
        y_label: "ΔT_{eff} (K)".into(),
        logarithmic: false,
    })
}

/// Number of the first simulated star that is fitted: none of them is in a training survey.
const FIRST_NEW_STAR: u64 = 1 << 30;

/// Training on stars with ϖ/σ > 20 only: no distant giant is among them.
///
/// A second model is trained with the recipe of `trained` on those of its `training` stars that have
/// ϖ/σ > 20. Judged is the distance modulus that the flux of a distant giant gives at its true labels and
/// reddening: the bias of the model itself, without the noise of labels and the known shift of a weak
/// parallax by its prior.
///
/// # Errors
/// As [`controls`].
pub fn selection_control(
    trained: &TrainedModel,
    training: &Observations,
    registry: &Registry,
    options: &ControlOptions,
) -> Result<ControlResult> {
    let recipe = Recipe::parse(&trained.card.recipe, "recipe in the model card")?;
    let cut = Cut { quantity: "parallax_over_error".into(), minimum: Some(NAIVE_PARALLAX_SIGNAL), maximum: None };
    let near = training.select(&select(training, &[cut])?);
    let (naive, _) = train(&recipe, &near, registry, trained.model.device(), None, &mut |_, _| Ok(()))?;
    let giants = simulate(&SurveyConfig {
        n_stars: options.n_new,
        seed: options.seed,
        first_star: FIRST_NEW_STAR,
        binary_fraction: 0.0,
        g_limits: [12.0, 17.5],
        phases: PhaseShares { main_sequence: 0.0, subgiant: 0.0, red_giant: 0.7, red_clump: 0.3 },
        ..SurveyConfig::default()
    })?;
    let mut numbers = vec![
        ("training stars, all parallaxes".to_owned(), training.len() as f64),
        (format!("training stars, ϖ/σ > {NAIVE_PARALLAX_SIGNAL}"), near.len() as f64),
    ];
    let (mut series, mut biases) = (Vec::new(), Vec::new());
    for (name, model) in [("all parallaxes", trained), ("control: ϖ/σ > 20 only", &naive)] {
        let fit_options = FitOptions { exact_hessian: false, ..FitOptions::default() };
        let observations = Observations::from_table(giants.clone(), &read_options(model, &fit_options))?;
        let (parallax, logg) = (truth(&observations, "parallax")?, truth(&observations, "logg")?);
        let stars: Vec<usize> = (0..observations.len()).filter(|&star| logg[star] < GIANT).collect();
        let distance: Vec<f64> = stars.iter().map(|&star| 1.0 / parallax[star]).collect();
        let distant = |residual: &[f64]| -> Vec<f64> {
            distance.iter().zip(residual).filter(|(distance, _)| **distance > DISTANT).map(|(_, residual)| *residual).collect()
        };
        let from_labels = pick(&magnitude_residuals(model, &observations)?, &stars);
        let fitted = values(&fit(model, &observations, &fit_options)?, "parallax")?;
        let from_fits: Vec<f64> = stars.iter().map(|&star| -5.0 * (fitted[star] / parallax[star]).log10()).collect();
        if series.is_empty() {
            numbers.push((format!("giants beyond {DISTANT} kpc"), distant(&from_labels).len() as f64));
        }
        let bias = median(&distant(&from_labels));
        numbers.push((format!("median Δ distance modulus at true labels, {name} (mag)"), bias));
        numbers.push((format!("the same of full fits with the measured parallax, {name} (mag)"), median(&distant(&from_fits))));
        biases.push(bias);
        series.push(ControlSeries { name: name.to_owned(), x: distance, residual: from_labels });
    }
    let (good, naive) = (biases[0], biases[1]);
    Ok(ControlResult {
        name: "only good parallaxes".into(),
        explanation: format!(
            "The model of this report, trained on {} simulated stars, and one trained with the same recipe on those of them \
             with ϖ/σ > {NAIVE_PARALLAX_SIGNAL}. A cut on the signal-to-noise ratio of the parallax keeps what is near and \
             takes luminous giants out of the training sample, so that the distances of giants beyond {DISTANT} kpc rest on \
             extrapolation. The generative model needs no such cut: it weighs every parallax by its error.\n\n\
             Shown is the error of the distance modulus that the flux gives at the true labels and reddening. Full fits show \
             less of the difference, because the measured parallax holds both models and its prior shifts both alike.",
            training.len()
        ),
        quantity: format!("median Δ distance modulus of giants beyond {DISTANT} kpc"),
        found: format!("{} mag instead of {} mag", significant(naive, 2), significant(good, 2)),
        asked: format!("at least {FACTOR} times larger"),
        passed: naive.abs() >= FACTOR * good.abs(),
        numbers,
        series,
        x_label: "true distance (kpc)".into(),
        y_label: "Δ distance modulus (mag)".into(),
        logarithmic: true,
    })
}

/// Observed minus predicted magnitude at the true parameters, the median over wavelengths, of every simulated
/// star `[N]`: the error of the distance modulus that the model gives a star of known labels.
fn magnitude_residuals(trained: &TrainedModel, observations: &Observations) -> Result<Vec<f64>> {
    let model = &trained.model;
    let values: Vec<Vec<f64>> =
        model.space.parameters.iter().map(|parameter| truth(observations, &parameter.name)).collect::<Result<_>>()?;
    let predicted = model.predict(coordinates(&model.space, &values).view())?;
    Ok((0..observations.len()).map(|star| magnitude_offset(observations, star, predicted.row(star))).collect())
}

/// True values of a parameter of simulated stars.
fn truth(observations: &Observations, parameter: &str) -> Result<Vec<f64>> {
    observations.auxiliary.column(&format!("true_{parameter}"))?.to_f64()
}

/// Fitted values of a parameter.
fn values(estimates: &Estimates, parameter: &str) -> Result<Vec<f64>> {
    let position = estimates.parameters.iter().position(|known| known.0 == parameter).ok_or_else(|| {
        Error::model("negative control").found(format!("a model without '{parameter}'")).expected("a model of that parameter")
    })?;
    Ok(estimates.values.column(position).to_vec())
}
