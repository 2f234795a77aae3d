//! Whether observations have what a recipe asks for, before the first epoch: hours of training must not end
//! in a message that a look at the columns could have given.

use super::recipe::{Recipe, Stage};
use super::state::{Part, TrainingState};
use super::wavelength_step;
use crate::error::{Error, Result};
use crate::model::{Parameter, ParameterSpace, Transform};
use crate::observations::{Observations, input_flag, select};
use crate::text::shortened;

const REMEDY: &str = "Add the columns, take the name out of data.constraints, or name it in data.optional.";
/// Characters of names that messages show.
const NAMES_SHOWN: usize = 200;
/// Measured values of a parameter that are few.
const FEW_MEASURED: usize = 100;
/// Activations with which trainings or fits go worse than with tanh, and what is to be said of them.
const POOR_ACTIVATIONS: [(&str, &str); 2] = [
    (
        "sigmoid",
        "networks of sigmoids are the same functions as those of tanh and end at twice the loss by the same recipe: train with tanh, \
         unless the network is one from elsewhere",
    ),
    (
        "leaky_relu",
        "leaky_relu has kinks, at which searches of optima stall and curvatures are none: a fifth of the fits with such a model do not \
         converge (bit 6), and errors are too small. Train with tanh, unless the network is one from elsewhere",
    ),
];
/// The least range of a label, in its largest value: below, what differs is rounding.
const LEAST_RANGE: f64 = 1e-6;

/// Checks constraints, labels, fluxes, cuts and the number of stars.
///
/// # Errors
/// `Data`: when a constraint that is not optional is absent or has no measurement, a wavelength has no flux,
/// stages are without stars, or the mixture prior has too few; `Usage`: when a label has no constraint, a cut
/// names a quantity that is not there, or a step of the wavelength weights could not be held.
pub(super) fn check(recipe: &Recipe, observations: &Observations, state: &TrainingState) -> Result<()> {
    let space = &state.model.space;
    check_constraints(recipe, observations)?;
    check_labels(recipe, observations, space)?;
    check_fluxes(observations, state)?;
    if let Some(stage) = recipe.stages.iter().find(|stage| matches!(stage, Stage::Solve(_))) {
        wavelength_step::require_size(&state.model).map_err(|error| error.within(format!("stage '{}'", stage.name())))?;
    }
    for stage in &recipe.stages {
        let cuts = match stage {
            Stage::Learn(learn) => &learn.cuts,
            Stage::Solve(solve) => &solve.cuts,
            Stage::Refine(_) | Stage::Clean(_) => continue,
        };
        let place = format!("stage '{}'", stage.name());
        let passing = select(observations, cuts).map_err(|error| error.within(&place))?;
        for (part, name) in [(Part::Training, "training"), (Part::Stopping, "stopping")] {
            let n = passing.iter().filter(|&&star| state.part[star] == part).count();
            if n == 0 {
                let all = state.part.iter().filter(|&&other| other == part).count();
                return Err(Error::data(place)
                    .found(format!("no {name} stars: none of {all} passes its cuts"))
                    .expected("at least one")
                    .remedy("Loosen the cuts, give more stars, or check the errors in the observation file."));
            }
        }
    }
    check_prior(recipe, observations, state)
}

/// Fails where no star has any flux.
pub(super) fn require_flux(observations: &Observations) -> Result<()> {
    if observations.flux_error.iter().any(|error| error.is_finite()) {
        return Ok(());
    }
    Err(Error::data("column 'flux'")
        .found(format!("no flux with a positive finite error, of {} stars", observations.len()))
        .expected("fluxes to learn from")
        .remedy("Look at how the file was made: all of its fluxes or flux errors are missing or impossible."))
}

/// Fails where a label is to be moved by its logarithm that stars have at zero or below.
pub(super) fn check_transform(parameter: &Parameter, transform: Transform, observations: &Observations) -> Result<()> {
    if transform != Transform::Logarithm || !parameter.is_label() {
        return Ok(());
    }
    let measured = (0..observations.len()).filter_map(|star| observations.constraint(&parameter.name, star));
    let values: Vec<f64> = measured.map(|(value, _)| value).filter(|value| *value <= 0.0).collect();
    if values.is_empty() {
        return Ok(());
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    Err(Error::usage(format!("training recipe, transforms, {}", parameter.name))
        .found(format!("\"logarithm\", of a label that {} stars have at zero or below (down to {least})", values.len()))
        .expected("\"identity\", or positive values")
        .remedy("Leave the key out."))
}

/// Every constraint that is not optional is there, and measured for some star.
fn check_constraints(recipe: &Recipe, observations: &Observations) -> Result<()> {
    let mut required = recipe.data.constraints.iter().filter(|name| !recipe.data.optional.contains(name));
    let expected = "measured values with their errors, for data.constraints names it";
    required.try_for_each(|name| observations.require_measured(name, expected, REMEDY))
}

/// Every label has measured values: nothing else says what it is.
fn check_labels(recipe: &Recipe, observations: &Observations, space: &ParameterSpace) -> Result<()> {
    for position in space.label_positions() {
        let name = &space.parameters[position].name;
        if !recipe.data.constraints.contains(name) {
            return Err(Error::usage(format!("label '{name}'"))
                .found("no constraint of that name: nothing would say what the label means")
                .expected("it among data.constraints, with measured values")
                .remedy("Add it to data.constraints, or take it out of the labels of the effect."));
        }
        if !observations.constraints.contains_key(name) {
            return Err(Error::data(format!("columns '{name}' and '{name}_error'"))
                .found("neither")
                .expected("measured values of a label; they cannot be optional")
                .remedy("Add the columns, or take the label out of the effect."));
        }
    }
    Ok(())
}

/// Every flux is measured of some training star: of one that is not, the model would be what its weights
/// began with.
fn check_fluxes(observations: &Observations, state: &TrainingState) -> Result<()> {
    let stars = state.stars(Part::Training);
    let grid = &state.model.grid;
    let is_measured = |band: usize| {
        let is_flux =
            |&star: &usize| observations.flux[[star, band]].is_finite() && observations.flux_error[[star, band]].is_finite();
        stars.iter().any(is_flux)
    };
    let without: Vec<&str> = (0..grid.len()).filter(|&band| !is_measured(band)).map(|band| grid.names[band].as_str()).collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Error::data(format!("{} training stars", stars.len()))
        .found(format!("none with a flux in {}", shortened(&without.join(", "), NAMES_SHOWN)))
        .expected("measured fluxes of some of them at every wavelength of the model")
        .remedy(
            "Look at the columns flux and flux_error; leave out wavelengths that no star has when the observations are prepared.",
        ))
}

/// The mixture prior has enough stars, which differ in every label.
fn check_prior(recipe: &Recipe, observations: &Observations, state: &TrainingState) -> Result<()> {
    let labels: Vec<&str> = (state.model.space.parameters.iter())
        .filter(|parameter| parameter.is_label())
        .map(|parameter| parameter.name.as_str())
        .collect();
    let is_complete = |star: &usize| labels.iter().all(|label| observations.constraint(label, *star).is_some());
    let complete: Vec<usize> = state.stars(Part::Training).into_iter().filter(|star| is_complete(star)).collect();
    let n = complete.len();
    let needed = recipe.prior.fewest_stars(labels.len());
    if n < needed {
        let place = format!("columns of the labels ({})", labels.join(", "));
        return Err(Error::data(place)
            .found(format!("{n} training stars with all labels measured"))
            .expected(format!("at least {needed}, for a mixture prior of {} components", recipe.prior.n_components))
            .remedy("Give more stars, or ask for fewer components ([prior] n_components in the recipe)."));
    }
    for label in labels {
        let values = complete.iter().filter_map(|&star| observations.constraint(label, star)).map(|(value, _)| value);
        let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| [low.min(x), high.max(x)]);
        if high - low <= LEAST_RANGE * low.abs().max(high.abs()) {
            return Err(Error::data(format!("column '{label}'"))
                .found(format!("{low} for all {n} training stars that have all labels"))
                .expected("values that differ from star to star")
                .remedy("Take it out of the labels of the effect and of data.constraints, or give stars that differ in it."));
        }
    }
    Ok(())
}

/// What is not measured of the stars and would be needed, or is impossible: to be said before the first epoch
/// and in the model's report.
pub(super) fn doubts(recipe: &Recipe, observations: &Observations, space: &ParameterSpace) -> Vec<String> {
    let n_measured = |name: &String| match recipe.data.constraints.contains(name) {
        true => observations.n_measured(name),
        false => 0,
    };
    let is_open = |parameter: &&Parameter| (parameter.is_amount() || parameter.is_distance()) && parameter.prior.is_none();
    let of_open = |Parameter { name, .. }: &Parameter| {
        let found = match n_measured(name) {
            0 => format!("no star has a measured {name} among data.constraints: its scale and zero point are free"),
            n if n < FEW_MEASURED => format!("{n} stars only have a measured {name}: its scale and zero point rest on them"),
            _ => return None,
        };
        Some(format!(
            "{found}, other parameters follow them, and errors say nothing of it. Give measured values, with errors, of more of the stars"
        ))
    };
    let mut doubts: Vec<String> = space.parameters.iter().filter(is_open).filter_map(of_open).collect();
    let activation = |effect: &toml::Table| effect.get("activation").and_then(toml::Value::as_str).map(str::to_owned);
    for activation in recipe.effects.iter().filter_map(activation) {
        doubts.extend(POOR_ACTIVATIONS.iter().filter(|(name, _)| *name == activation).map(|(_, doubt)| (*doubt).to_owned()));
    }
    let impossible = observations.input_flags.iter().filter(|&&flags| flags & input_flag::BAD_CONSTRAINT != 0).count();
    if impossible > 0 {
        doubts.push(format!(
            "{impossible} of {} stars have an impossible value among those of {}, or an error of zero or less: these values take no part",
            observations.len(),
            recipe.data.constraints.join(", ")
        ));
    }
    doubts
}
