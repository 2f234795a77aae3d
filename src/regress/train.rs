//! A whole training: the division of the sample, inputs, networks, calibration, comparison.

use super::calibration::{ErrorCalibration, FEWEST as FEWEST_TO_CALIBRATE, ParallaxResidual, Residual};
use super::comparison::Comparison;
use super::domain::Domain;
use super::identification::Identification;
use super::inputs::Inputs;
use super::leftover::LeftoverLimit;
use super::model::{RegressionModel, TrainingLog};
use super::objective::{Objective, Scaling};
use super::recipe::RegressionRecipe;
use super::rows::median_flux;
use super::target::Target;
use crate::error::{Error, Result};
use crate::learn::{CheckpointFile, Checkpoints, Lesson, NetworkLearner, ensemble, is_held_out, member_seed};
use crate::model::ModelCard;
use crate::observations::{Sample, Stars, hash64, in_validation, select};
use crate::quantity::Facts;
use crate::statistics::percentiles;
use crate::table::{Column, ColumnSchema, Shape, Table, Values};
use crate::tensor::layers::Predictor;
use crate::tensor::{Device, Weights};
use crate::text::hexadecimal;
use crate::unit;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Fewest stars to learn from.
const FEWEST: usize = 20;
/// Seed of the hash that takes some of too many stars; independent of those of the parts.
const SOME: u64 = 0x5e_1e_c7;

/// The parts of a sample: positions of the stars that pass the cuts and teach something.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    pub training: Vec<usize>,
    pub held_out: Vec<usize>,
    pub validation: Vec<usize>,
}

impl Parts {
    /// Training stars and those held out: all that baselines learn from.
    pub fn taught(&self) -> Vec<usize> {
        let mut stars: Vec<usize> = self.training.iter().chain(&self.held_out).copied().collect();
        stars.sort_unstable();
        stars
    }

    /// Fails where the stars that are held out are too few to calibrate an error by: errors of networks are
    /// wrong by any factor before that.
    fn require_calibration(&self, target: &Target, observations: &Stars) -> Result<()> {
        let n_with = |name: &String| self.held_out.iter().filter(|&&star| observations.constraint(name, star).is_some()).count();
        let counted: Vec<(String, usize)> = match target {
            Target::Labels { names, .. } => {
                names.iter().map(|name| (format!("held-out stars with '{name}'"), n_with(name))).collect()
            }
            Target::Luminosity(of) => vec![("held-out stars with parallaxes".to_owned(), n_with(&of.parallax))],
            // Its scatters are part of the loss.
            Target::MixtureOfMagnitudes(_) => Vec::new(),
        };
        match counted.into_iter().find(|(_, n)| *n < FEWEST_TO_CALIBRATE) {
            None => Ok(()),
            Some((what, n)) => Err(Error::data(what)
                .found(format!("{n} of {}", observations.len()))
                .expected(format!("at least {FEWEST_TO_CALIBRATE}, by which the errors are calibrated"))
                .remedy("Raise data.held_out_fraction, give more stars, or take the target out of the recipe.")),
        }
    }
}

/// Trains; returns the model with a table of its sample (which part each star was in). `report` gets the
/// fraction done and a text, and may stop the work.
///
/// # Errors
/// When recipe and observations do not fit each other, too few stars are left, the training diverges, or a
/// checkpoint cannot be read or written.
pub fn train(
    recipe: &RegressionRecipe,
    sample: &dyn Sample,
    device: &Device,
    checkpoints: Option<CheckpointFile<'_>>,
    report: &mut dyn FnMut(f64, &str) -> Result<()>,
) -> Result<(RegressionModel, Table)> {
    let as_written = recipe.to_toml()?;
    let data_sha256 = sample.sha256();
    let observations = sample.stars();
    let passing = select(observations, &recipe.data.cuts)?;
    let is_usable = |star: &&usize| usable(recipe, sample, **star);
    let in_training = |star: &&usize| !in_validation(observations.ids[**star], recipe.data.validation_fraction);
    let candidates: Vec<usize> = passing.iter().filter(is_usable).filter(in_training).copied().collect();
    let is_needed = "measured values with their errors, for the target of the recipe";
    let remedy = "Add the columns, or name others in the recipe.";
    recipe.target.measured().iter().try_for_each(|name| observations.require_measured(name, is_needed, remedy))?;
    let scaling = Scaling::of(&recipe.target, observations, &candidates)?;
    let objective = Objective::new(&recipe.target, &scaling, observations)?;
    let mut parts = Parts::default();
    for &star in passing.iter().filter(is_usable).filter(|star| objective.teaches(**star)) {
        let id = observations.ids[star];
        match (in_validation(id, recipe.data.validation_fraction), is_held_out(id, recipe.data.held_out_fraction)) {
            (true, _) => parts.validation.push(star),
            (false, true) => parts.held_out.push(star),
            (false, false) => parts.training.push(star),
        }
    }
    if parts.training.len() < FEWEST {
        return Err(Error::data("training stars")
            .found(format!("{} of {} stars", parts.training.len(), observations.len()))
            .expected(format!("at least {FEWEST} that pass the cuts, have enough fluxes and a target"))
            .remedy("Check the cuts of the recipe and the columns of the targets."));
    }
    parts.require_calibration(&recipe.target, observations)?;
    let inputs = {
        let (held, stars) = sample.held(&some_of(&parts.training, &observations.ids, recipe.inputs.most_stars))?;
        Inputs::fit(&recipe.inputs, &held, &stars, recipe.seed)?
    };
    let rows = inputs.rows_of(sample)?;
    let network = recipe.network(inputs.len())?;
    let lesson = Lesson {
        network: &network,
        optimiser: &recipe.training.optimiser,
        batch: recipe.training.batch,
        largest_gradient: recipe.training.largest_gradient,
        inputs: &rows,
        teacher: &objective,
        training: &parts.training,
        held_out: &parts.held_out,
        device,
    };
    let identity = {
        let mut hash = Sha256::new();
        for text in [as_written.as_str(), &data_sha256, env!("CARGO_PKG_VERSION")] {
            hash.update(text);
        }
        hexadecimal(hash)
    };
    let checkpoints = checkpoints.map(|file| Checkpoints { file, run: &identity });
    let start = |member| NetworkLearner::start(lesson, member_seed(recipe.seed, member));
    let trained = ensemble(recipe.training.members, &recipe.training.plan, checkpoints, start, report)?;
    let gave_up =
        trained.iter().enumerate().filter_map(|(member, trained)| trained.gave_up(member, &recipe.training.plan)).collect();

    let host = Device::cpu();
    let specifications = network.specifications(0)?;
    let mut members = Vec::new();
    for member in &trained {
        let mut weights = Weights::new(&specifications, &host)?;
        for specification in &specifications {
            weights.set(&specification.name, member.learned.numbers_of(&specification.name)?, &host)?;
        }
        members.push(weights);
    }
    let continuous = rows.slice(ndarray::s![.., ..inputs.n_continuous()]).select(ndarray::Axis(0), &parts.training);
    let mut domain = Domain::of(continuous.view())?;
    if recipe.inputs.has_components() {
        let [training, held_out] = [&parts.training, &parts.held_out].map(|stars| inputs.leftovers_of(sample, stars));
        let (training, held_out) = (training?, held_out?);
        domain.leftover = LeftoverLimit::of_training(&training).map(|limit| limit.widened(&training, &held_out));
    }
    if inputs.depend_on_brightness() {
        domain.flux = Domain::fluxes(&median_fluxes(sample, &parts.training)?);
    }
    let card = ModelCard {
        description: recipe.description.clone(),
        data: recipe.card.data.clone(),
        n_training: parts.taught().len(),
        n_validation: parts.validation.len(),
        data_sha256,
        limits: recipe.card.limits.clone(),
        licence: recipe.card.licence.clone(),
        citation: recipe.card.citation.clone(),
        program: concat!("photosphere ", env!("CARGO_PKG_VERSION")).into(),
        seed: recipe.seed,
        metrics: Default::default(),
        recipe: as_written,
        warnings: Vec::new(),
        ensemble: None,
    };
    let mut model = RegressionModel {
        flux_unit: observations.flux_unit.clone(),
        units: units_of(recipe, observations),
        offsets: recipe.data.offsets.clone(),
        fractional_error: recipe.data.fractional_error,
        target: recipe.target.clone(),
        predictors: members.iter().map(|weights| Predictor::new(&network, weights)).collect::<Result<_>>()?,
        scaling,
        network,
        members,
        copies: recipe.errors.copies,
        seed: recipe.seed,
        calibration: vec![ErrorCalibration::NONE; recipe.target.parameters().len()],
        domain,
        training_range: Vec::new(),
        card,
        log: TrainingLog { histories: trained.into_iter().map(|member| member.history).collect(), ..Default::default() },
        sha256: String::new(),
        inputs,
    };
    model.training_range = training_range(&model, sample, &parts.training)?;
    model.calibrate(sample, &parts.held_out)?;
    report(1.0, "comparison with other regressions")?;
    model.log.comparison = Comparison::new(&model, recipe, sample, &rows, &parts)?;
    model.card.metrics = model.log.comparison.metrics();
    model.card.warnings = gave_up;
    model.card.warnings.extend(model.log.comparison.warnings());
    if let Some(found) = Identification::of(&model, observations, &rows, &parts.held_out)? {
        model.card.metrics.extend(found.metrics());
        model.card.warnings.extend(found.warnings());
    }
    // As it is on disk, so that a model that is read again is the same.
    model.sha256 = model.hash()?;
    let stars = stars_table(observations, &parts)?;
    Ok((model, stars))
}

/// Units of targets and measured inputs that the program does not know, as the columns state them.
fn units_of(recipe: &RegressionRecipe, observations: &Stars) -> BTreeMap<String, String> {
    let names = recipe.target.measured().into_iter().chain(recipe.inputs.measured());
    let unknown = names.filter(|name| Facts::of(name).unit.is_none());
    let stated = unknown.filter_map(|name| {
        let unit = unit::understood(&observations.auxiliary.get(&name)?.schema.unit)?.to_owned();
        Some((name, unit))
    });
    stated.collect()
}

/// Median absolute fluxes of some stars; NaN of those without any.
fn median_fluxes(sample: &dyn Sample, stars: &[usize]) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    sample.visit(stars, &mut |part, stars| {
        found.extend(stars.iter().map(|&star| median_flux(part, star)));
        Ok(())
    })?;
    Ok(found)
}

/// Whether a star has enough fluxes.
fn usable(recipe: &RegressionRecipe, sample: &dyn Sample, star: usize) -> bool {
    let of = sample.stars().grid.len();
    (of - sample.n_fluxes(star)) as f64 <= recipe.inputs.most_missing * of as f64
}

/// At most so many of the given stars, by a hash of the identifier, in the order in which they are given.
pub(super) fn some_of(stars: &[usize], ids: &[i64], most: usize) -> Vec<usize> {
    if stars.len() <= most {
        return stars.to_vec();
    }
    let mut by_hash: Vec<(u64, usize)> = stars.iter().map(|&star| (hash64(ids[star], SOME), star)).collect();
    by_hash.sort_unstable();
    by_hash.truncate(most);
    let mut some: Vec<usize> = by_hash.into_iter().map(|(_, star)| star).collect();
    some.sort_unstable();
    some
}

impl RegressionModel {
    /// Residuals of some stars in a parameter (file units): prediction less what was measured. Of
    /// luminosities, in magnitudes where the parallax that `chosen_by` (magnitudes of the same stars)
    /// predicts is ten times the error of the measured one: a choice by the measured one would bias.
    pub(super) fn residuals(
        &self,
        observations: &Stars,
        stars: &[usize],
        values: impl Fn(usize, usize) -> [f64; 2],
        chosen_by: impl Fn(usize) -> f64,
    ) -> Result<Vec<Vec<Residual>>> {
        let mut found = vec![Vec::new(); self.target.parameters().len()];
        match &self.target {
            Target::Labels { names, .. } => {
                for (row, &star) in stars.iter().enumerate() {
                    for (k, name) in names.iter().enumerate() {
                        if let Some((measured, error)) = observations.constraint(name, star) {
                            let [value, of_prediction] = values(row, k);
                            found[k].push(Residual { value: value - measured, of_measurement: error * error, of_prediction });
                        }
                    }
                }
            }
            target => {
                let all = super::objective::parallaxes(observations, target)?;
                for (row, &star) in stars.iter().enumerate() {
                    let ([parallax, error, magnitude], [value, of_prediction]) = (all[star], values(row, 0));
                    let predicted = 10f64.powf((chosen_by(row) - magnitude + 10.0) / 5.0);
                    if predicted > 10.0 * error && parallax > 0.0 {
                        let geometric = magnitude - 10.0 + 5.0 * parallax.log10();
                        let of_magnitude = error / predicted / super::objective::LN_LABEL_PER_MAGNITUDE;
                        let of_measurement = of_magnitude.powi(2);
                        found[0].push(Residual { value: value - geometric, of_measurement, of_prediction });
                    }
                }
            }
        }
        Ok(found)
    }

    fn calibrate(&mut self, sample: &dyn Sample, held_out: &[usize]) -> Result<()> {
        // Geometric magnitudes contain binaries, which a mixture means to tell apart.
        if matches!(self.target, Target::MixtureOfMagnitudes(_)) {
            return Ok(());
        }
        let (observations, predicted) = (sample.stars(), self.predict_of(sample, held_out)?);
        let own = |row: usize, k: usize| [predicted.values[[row, k]], predicted.own[[row, k]]];
        self.calibration = match &self.target {
            Target::Labels { .. } => {
                let residuals = self.residuals(observations, held_out, own, |row| predicted.values[[row, 0]])?;
                residuals.iter().map(|residuals| ErrorCalibration::of(residuals)).collect()
            }
            target => {
                // In the parallax, whose errors are Gaussian, every star counts, negative parallaxes too.
                let all = super::objective::parallaxes(observations, target)?;
                let residual = |(row, &star): (usize, &usize)| {
                    let ([parallax, error, apparent], [magnitude, of_prediction]) = (all[star], own(row, 0));
                    let expected = 10f64.powf((magnitude - apparent + 10.0) / 5.0);
                    let slope = expected * super::objective::LN_LABEL_PER_MAGNITUDE;
                    ParallaxResidual { magnitude, difference: expected - parallax, error, slope, of_prediction }
                };
                vec![ErrorCalibration::of_parallaxes(&held_out.iter().enumerate().map(residual).collect::<Vec<_>>())]
            }
        };
        Ok(())
    }
}

/// What training stars had, by parameter; of luminosities, what is predicted for them.
fn training_range(model: &RegressionModel, sample: &dyn Sample, training: &[usize]) -> Result<Vec<[f64; 2]>> {
    let observations = sample.stars();
    let range = |values: &[f64]| percentiles(values, [0.5, 99.5]);
    if let Target::Labels { names, .. } = &model.target {
        let of = |name: &String| -> Vec<f64> {
            training.iter().filter_map(|&star| Some(observations.constraint(name, star)?.0)).collect()
        };
        return Ok(names.iter().map(|name| range(&of(name))).collect());
    }
    let without = RegressionModel { copies: 0, ..model.clone() };
    let predicted = without.predict_of(sample, training)?;
    Ok(predicted.values.columns().into_iter().map(|column| range(&column.to_vec())).collect())
}

/// One row per star: the part it was in, and the scalar columns of the file.
fn stars_table(observations: &Stars, parts: &Parts) -> Result<Table> {
    let n = observations.len();
    let column = |name: &str, text: &str, members: &[usize]| {
        let mut is_member = vec![false; n];
        members.iter().for_each(|&star| is_member[star] = true);
        Column::scalar(ColumnSchema::new(name, "", text), Values::Bool(is_member))
    };
    let mut table = Table::new(vec![
        Column::scalar(
            ColumnSchema::new("source_id", "", "identifier").with_ucd("meta.id;meta.main"),
            Values::Int64(observations.ids.clone()),
        ),
        column("is_training", "the networks learned from it", &parts.training),
        column("is_held_out", "said when to stop, and calibrated the errors", &parts.held_out),
        column("is_validation", "never trained on", &parts.validation),
    ])?;
    for column in observations.auxiliary.columns() {
        if column.shape == Shape::Scalar && table.get(&column.schema.name).is_none() {
            table.push(column.clone())?;
        }
    }
    Ok(table)
}
