//! Whether a description of a model can be that of a model: names, ranges, signs, lengths and sizes, before
//! anything is allocated for it.

use super::parameter::{Parameter, ParameterSpace, Transform};
use crate::error::{Error, ErrorKind, Result};
use crate::observations::{Grid, Observations};
use crate::quantity::Quantity;
use crate::statistics::median;
use crate::tensor::Weights;
use crate::text::first_repeated;
use std::collections::BTreeMap;
use std::path::Path;

/// Standard deviations from the centre of its own prior at which a parameter may be held.
const FARTHEST_HELD: f64 = 100.0;
/// Most weights of a model; the largest in use have a hundredth.
pub(super) const MOST_WEIGHTS: u128 = 1 << 27;
/// Effective temperatures in K that are a star's; what lies outside is in another unit.
pub(crate) const KELVIN: std::ops::RangeInclusive<f64> = 100.0..=300_000.0;

/// Errors of a model beyond this many times its flux are none.
const LARGEST_MODEL_ERROR: f64 = 100.0;
/// Smallest and, inverted, largest scale of a standardisation.
const SMALLEST_SCALE: f64 = 1e-9;
/// Of numbers in a Gaussian prior, model units.
const LARGEST: f64 = 1e6;

const REMEDY: &str = "Correct it, or train or export the model again.";

fn fault(place: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::model(place).found(found).expected(expected).remedy(REMEDY)
}

/// The grid has wavelengths and as many distinct names.
pub(crate) fn check_grid(grid: &Grid) -> Result<()> {
    Grid::new(grid.wavelength.clone(), grid.names.clone())
        .map_err(|error| error.within("grid").or_remedy(REMEDY).of_kind(ErrorKind::Model))?;
    match first_repeated(grid.names.iter().map(String::as_str)) {
        Some(name) => Err(fault("grid, names", format!("'{name}' twice"), "distinct names")),
        None => Ok(()),
    }
}

/// One error per wavelength, each a fraction that is zero or positive.
pub(super) fn check_model_error(model_error: &[f64], n_wavelengths: usize) -> Result<()> {
    if model_error.len() != n_wavelengths {
        return Err(fault(
            "model_error",
            format!("{} numbers", model_error.len()),
            format!("{n_wavelengths}, one per wavelength"),
        ));
    }
    match model_error.iter().enumerate().find(|(_, value)| !(0.0..=LARGEST_MODEL_ERROR).contains(*value)) {
        Some((entry, value)) => {
            let expected = format!("a fraction from 0 to {LARGEST_MODEL_ERROR}");
            Err(fault(format!("model_error, entry {entry}"), value.to_string(), expected))
        }
        None => Ok(()),
    }
}

/// The parameters of a file, which are those that the effects declare, in their order, with numbers that can
/// be used; what files do not say of them is as declared.
pub(super) fn checked_parameters(found: ParameterSpace, declared: &ParameterSpace) -> Result<ParameterSpace> {
    let names = |space: &ParameterSpace| space.parameters.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    if names(&found) != names(declared) {
        return Err(fault(
            "parameter",
            format!("parameters {:?}", names(&found)),
            format!("those of the effects, {:?}", names(declared)),
        ));
    }
    let pairs = found.parameters.into_iter().zip(&declared.parameters);
    let parameters = pairs.map(|(found, declared)| {
        check_parameter(&found, declared)?;
        Ok(found.as_declared(declared))
    });
    Ok(ParameterSpace { parameters: parameters.collect::<Result<_>>()? })
}

fn check_parameter(found: &Parameter, declared: &Parameter) -> Result<()> {
    let place = |key: &str| format!("parameter '{}', {key}", found.name);
    let number = |key: &str, value: f64, is_allowed: bool, expected: &str| {
        if is_allowed && value.is_finite() { Ok(()) } else { Err(fault(place(key), value.to_string(), expected)) }
    };
    if found.unit != declared.unit {
        return Err(fault(place("unit"), format!("'{}'", found.unit), format!("'{}'", declared.unit)));
    }
    if found.is_label() != declared.is_label() {
        return Err(fault(place("is_label"), found.is_label().to_string(), declared.is_label().to_string()));
    }
    let factor = found.model_units_per_file_unit;
    number("model_units_per_file_unit", factor, factor > 0.0, "a positive number")?;
    number("centre", found.centre, true, "a finite number")?;
    let is_scale = (SMALLEST_SCALE..=SMALLEST_SCALE.recip()).contains(&found.scale);
    number("scale", found.scale, is_scale, "a positive number from 1e-9 to 1e9")?;
    if found.transform == Transform::Identity && (found.centre, found.scale) != (0.0, 1.0) {
        let quantity = Quantity::of(&found.name).with_unit(&found.unit);
        let is_possible = (quantity.range[0]..=quantity.range[1]).contains(&(found.centre / factor));
        number("centre", found.centre, is_possible, &format!("the model's value of {}", quantity.possible()))?;
        check_kelvin(found, found.centre / factor).map_err(|error| error.within(place("centre")))?;
    }
    match &found.prior {
        Some(prior) => {
            number("prior.mean", prior.mean, prior.mean.abs() <= LARGEST, "a number within a million")?;
            let width = prior.standard_deviation;
            number("prior.standard_deviation", width, width > 0.0 && width <= LARGEST, "a positive number up to a million")?;
        }
        None if declared.prior.is_some() => {
            let expected = "one: without it the data of most stars do not determine the parameter";
            return Err(fault(place("prior"), "none", expected));
        }
        None => {}
    }
    if let Some([low, _]) = found.training_range.filter(|_| found.is_label() && found.transform == Transform::Logarithm)
        && low <= 0.0
    {
        let expected = format!("\"identity\": the training range of the label begins at {}", low / factor);
        return Err(fault(place("transform"), "\"logarithm\", which no value of zero or below has", expected));
    }
    if let Some([low, high]) = found.training_range {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(fault(place("training_range"), format!("[{low}, {high}]"), "two finite numbers, the smaller one first"));
        }
        for value in [low, high] {
            check_kelvin(found, value / factor).map_err(|error| error.within(place("training_range")))?;
        }
    }
    Ok(())
}

/// Fails where a parameter in K is given a value (file unit) that no star has, but one in kK or mK would.
pub(crate) fn check_kelvin(parameter: &Parameter, value: f64) -> Result<()> {
    if parameter.unit != "K" || KELVIN.contains(&value) {
        return Ok(());
    }
    let guess = match value {
        value if KELVIN.contains(&(1e3 * value)) => ", which looks like kK",
        value if KELVIN.contains(&(1e-3 * value)) => ", which looks like a thousand times too much (K where kK belong)",
        _ => "",
    };
    Err(Error::model(format!("'{}'", parameter.name))
        .found(format!("{value} K{guess}"))
        .expected(format!("{} to {} K", KELVIN.start(), KELVIN.end()))
        .remedy("Give the values in K (in kK where the model itself is described)."))
}

/// Fails where a parameter cannot be held at a value (file unit): no star has it, or the parameter, moved
/// with `transform`, cannot reach it; `place` is what holds it, for the message.
///
/// # Errors
/// `Usage`, with what is possible.
pub(crate) fn check_held(place: &str, parameter: &Parameter, value: f64, transform: Transform) -> Result<()> {
    let usage = || Error::usage(place).found(value.to_string());
    check_kelvin(parameter, value).map_err(|error| error.within(place).of_kind(ErrorKind::Usage))?;
    let quantity = Quantity::of(&parameter.name).with_unit(&parameter.unit);
    if !(quantity.range[0]..=quantity.range[1]).contains(&value) {
        return Err(usage().expected(quantity.possible()).remedy("Give a value that a star can have."));
    }
    if let Some(prior) = &parameter.prior {
        let (mean, sigma) = (prior.mean, prior.standard_deviation);
        let away = (value * parameter.model_units_per_file_unit - mean) / sigma;
        if away.abs() > FARTHEST_HELD {
            let file_unit = parameter.model_units_per_file_unit;
            let expected = format!(
                "a value within {FARTHEST_HELD} standard deviations of its prior, {} ± {}",
                mean / file_unit,
                sigma / file_unit
            );
            return Err(usage().expected(expected).remedy("Give a value that a star can have."));
        }
    }
    let coordinate = parameter.clone().with_transform(transform).coordinate_from_file(value);
    // Zero is the limit of small amounts (extinction=0), but of no distance.
    let is_limit = value == 0.0 && parameter.is_amount();
    if coordinate.is_finite() || is_limit {
        return Ok(());
    }
    Err(usage()
        .expected(if parameter.is_amount() { "zero or a positive number" } else { "a positive number" })
        .remedy("Give another value, or transforms = { … = \"identity\" } in the options."))
}

/// Fails where measured values are not in the unit of their parameter, by their median: temperatures of a few
/// K are given in kK.
pub(crate) fn check_measured(space: &ParameterSpace, observations: &Observations) -> Result<()> {
    for parameter in space.parameters.iter().filter(|parameter| parameter.unit == "K") {
        let measured = (0..observations.len()).filter_map(|star| observations.constraint(&parameter.name, star));
        let values: Vec<f64> = measured.map(|(value, _)| value).collect();
        // Other impossible values are those of bad stars, which are flagged or left out.
        if !values.is_empty() && KELVIN.contains(&(1e3 * median(&values))) && !KELVIN.contains(&median(&values)) {
            return Err(Error::data(format!("column '{}'", parameter.name))
                .found(format!("a median of {} K, which looks like kK", median(&values)))
                .expected(format!("{} to {} K", KELVIN.start(), KELVIN.end()))
                .remedy("Convert the column and its errors to K, or give it the unit kK."));
        }
    }
    Ok(())
}

/// The tensors that the description lists are those that the effects need, and the file of the weights can
/// hold them.
pub(super) fn check_tensors(listed: &BTreeMap<String, Vec<usize>>, weights: &Weights, file: &Path) -> Result<()> {
    for name in weights.names() {
        let needed = weights.shape(name)?;
        match listed.get(name) {
            Some(shape) if shape == needed => {}
            found => {
                let found = found.map_or_else(|| "none".to_owned(), |shape| format!("{shape:?}"));
                return Err(fault(format!("tensors, '{name}'"), found, format!("{needed:?}, as the effects need it")));
            }
        }
    }
    if let Some(extra) = listed.keys().find(|name| !weights.names().contains(name)) {
        return Err(fault(format!("tensors, '{extra}'"), "a tensor that no effect uses", weights.names().join(", ")));
    }
    let metadata = std::fs::metadata(file).map_err(|error| {
        Error::model(file.display().to_string())
            .found(error.to_string())
            .expected("the weights of the model")
            .remedy("Get the file again, or train or export the model again.")
            .source(error)
    })?;
    let bytes = metadata.len();
    match weights.n_values() as u64 * 4 {
        needed if bytes < needed => Err(Error::model(file.display().to_string())
            .found(format!("{bytes} bytes"))
            .expected(format!("at least {needed}, for {} weights", weights.n_values()))
            .remedy("Get the file again: it is cut, or belongs to another model.")),
        _ => Ok(()),
    }
}

/// Fails when the effects want more weights than any model has.
pub(super) fn check_size(n_weights: u128) -> Result<()> {
    if n_weights <= MOST_WEIGHTS {
        return Ok(());
    }
    let gigabytes = n_weights as f64 * 4e-9;
    Err(Error::usage("effects of the model")
        .found(format!("{n_weights} weights ({gigabytes:.1} GB as 32-bit floats)"))
        .expected(format!("at most {MOST_WEIGHTS}"))
        .remedy("Make the hidden layers narrower or fewer."))
}

/// Names of parameters that an effect of this kind takes from its table, by their keys: distinct, and none
/// empty.
pub(super) fn check_names(kind: &str, names: &[(&str, &String)]) -> Result<()> {
    let fault = |key: &str, found: String| {
        Err(Error::usage(format!("effect '{kind}', {key}"))
            .found(found)
            .expected("a name of its own")
            .remedy("Name the parameter as its column is named, or leave the key out."))
    };
    if let Some((key, _)) = names.iter().find(|(_, name)| name.trim().is_empty()) {
        return fault(key, "an empty name".into());
    }
    match first_repeated(names.iter().map(|(_, name)| name.as_str())) {
        Some(name) => fault(names[0].0, format!("'{name}' twice")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_in_the_wrong_unit_are_recognised() {
        let teff = Parameter::label("teff");
        check_kelvin(&teff, 5777.0).unwrap();
        assert!(check_kelvin(&teff, 5.777).unwrap_err().to_string().contains("looks like kK"));
        assert!(check_kelvin(&teff, 5.777e6).unwrap_err().to_string().contains("K where kK belong"));
        assert!(check_kelvin(&teff, -9999.0).is_err() && check_kelvin(&teff, f64::NAN).is_err());
        check_kelvin(&Parameter::label("feh"), -2.0).unwrap();
    }

    #[test]
    fn sizes_are_refused_with_numbers() {
        check_size(4484).unwrap();
        let message = check_size(3_000_000_000).unwrap_err().to_string();
        assert!(message.contains("3000000000 weights (12.0 GB"), "{message}");
    }
}
