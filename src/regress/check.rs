//! What numbers of a `model.toml` have to be, beside fitting each other.

use super::directory::{Description, fault};
use super::steps::Step;
use super::target::{LabelLoss, LuminosityOutput, Target};
use crate::error::{Error, Result};
use crate::model::check_grid;

/// Most copies with noise of a star.
const MOST_COPIES: u32 = 10_000;

/// Checks a number of copies with noise: one has no scatter.
///
/// # Errors
/// `Usage`.
pub(super) fn check_copies(copies: u32) -> Result<()> {
    if copies != 1 && copies <= MOST_COPIES {
        return Ok(());
    }
    Err(Error::usage("copies")
        .found(copies.to_string())
        .expected(format!("0, or from 2 to {MOST_COPIES}"))
        .remedy("Choose another number."))
}

/// Checks that predictions have errors: of copies, of several networks, or of a loss that predicts them.
///
/// # Errors
/// `Usage`.
pub(super) fn check_errors(target: &Target, members: usize, copies: u32) -> Result<()> {
    check_copies(copies)?;
    let is_predicted = match target {
        Target::Labels { loss, .. } => *loss == LabelLoss::Gaussian,
        Target::Luminosity(_) => false,
        Target::MixtureOfMagnitudes(_) => true,
    };
    if is_predicted || copies > 0 || members > 1 {
        return Ok(());
    }
    Err(Error::usage("copies")
        .found("0, with one network and a loss that predicts no errors")
        .expected("something that errors can be found from")
        .remedy("Choose copies with noise, several networks (training.members), or the loss 'gaussian'."))
}

/// Checks numbers, names and lengths of a description; shapes of tensors are compared as these are taken.
///
/// # Errors
/// Names the key, what was found and what is possible.
pub(super) fn check(found: &Description) -> Result<()> {
    check_grid(&found.grid)?;
    found.target.validate()?;
    let p = found.target.parameters().len();
    let n_scales = if matches!(found.target, Target::Labels { .. }) { p } else { 1 };
    for (name, n, expected) in [
        ("calibration", found.calibration.len(), p),
        ("training_range", found.training_range.len(), p),
        ("scaling, centre", found.scaling.centre.len(), n_scales),
        ("scaling, scale", found.scaling.scale.len(), n_scales),
        ("further_inputs", found.further_inputs.len(), found.inputs.measured().len()),
        ("outputs of the network", found.network.n_outputs()?, found.target.n_outputs()),
    ] {
        if n != expected {
            return Err(fault(name, n.to_string(), expected.to_string()));
        }
    }
    let is_fraction = |value: f64| (0.0..1.0).contains(&value);
    let is_scale = |value: f64| value > 0.0 && value.is_finite();
    let factors = || found.calibration.iter().flat_map(|calibration| &calibration.factors);
    let numbers = [
        ("domain_threshold", vec![found.domain_threshold], is_scale as fn(f64) -> bool, "a positive number"),
        ("domain_flux", found.domain_flux.iter().flatten().copied().collect(), is_scale, "positive numbers"),
        ("domain_leftover", found.domain_leftover.iter().flatten().copied().collect(), is_scale, "positive numbers"),
        ("fractional_error", vec![found.fractional_error], is_fraction, "a fraction from 0 to below 1"),
        ("inputs, most_missing", vec![found.inputs.most_missing], |value| (0.0..=1.0).contains(&value), "a fraction"),
        ("offsets", found.offsets.values().copied().collect(), f64::is_finite, "finite numbers"),
        ("scaling, centre", found.scaling.centre.clone(), f64::is_finite, "finite numbers"),
        ("scaling, scale", found.scaling.scale.clone(), is_scale, "positive numbers"),
        ("calibration, factors", factors().map(|[_, factor]| *factor).collect(), is_scale, "positive numbers"),
        ("calibration, factors", factors().map(|[at, _]| *at).collect(), f64::is_finite, "finite values"),
        (
            "calibration, floor",
            found.calibration.iter().map(|calibration| calibration.floor).collect(),
            |value| value >= 0.0 && value.is_finite(),
            "numbers that are zero or positive",
        ),
        ("further_inputs, scale", found.further_inputs.iter().map(|x| x[0]).collect(), is_scale, "positive numbers"),
        ("further_inputs, mean", found.further_inputs.iter().map(|x| x[1]).collect(), f64::is_finite, "finite numbers"),
        ("further_inputs, deviation", found.further_inputs.iter().map(|x| x[2]).collect(), is_scale, "positive numbers"),
        ("training_range", found.training_range.iter().flatten().copied().collect(), f64::is_finite, "finite numbers"),
    ];
    for (name, values, is_possible, expected) in numbers {
        if let Some(value) = values.iter().find(|value| !is_possible(**value)) {
            return Err(fault(name, value.to_string(), expected));
        }
    }
    let is_rising = |factors: &[[f64; 2]]| factors.windows(2).all(|pair| pair[0][0] < pair[1][0]);
    if !found.calibration.iter().all(|calibration| is_rising(&calibration.factors)) {
        return Err(fault("calibration, factors", "values that do not rise", "each value above the one before"));
    }
    check_errors(&found.target, found.members, found.copies)?;
    if let Target::Luminosity(of) = &found.target
        && of.output == LuminosityOutput::Linear
        && found.scaling.centre[0] != 0.0
    {
        return Err(fault("scaling, centre", found.scaling.centre[0].to_string(), "0 for an output that is linear"));
    }
    if let Some(entry) = found.untrained.iter().find(|&&entry| entry >= found.grid.len()) {
        return Err(fault("untrained", entry.to_string(), format!("positions below {}", found.grid.len())));
    }
    found.inputs.steps.iter().try_for_each(Step::validate)?;
    Ok(())
}
