//! One star: its data, the fit, residuals and posterior.

use super::{Arguments, spectrum};
use crate::catalogue::flags::set;
use crate::cli::figure_file;
use crate::cli::outcome::Outcome;
use crate::cli::settings::Settings;
use crate::error::{Error, Result};
use crate::infer::{Estimates, FitOptions, Fitter, flags, read_options};
use crate::observations::{Observations, columns};
use crate::package::Request;
use crate::quantity::symbol;
use crate::run::inputs::{Inputs, require_utf8};
use crate::table::{Table, check_target, read_chunks};
use crate::train::TrainedModel;
use crate::validate::figure::{Figure, FittedFlux, StarEstimate, StarFigure};
use crate::validate::number::{significant, with_error};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// Rows in memory at once.
const CHUNK: usize = 1024;

/// Fits one star, with the defaults or the options of a file, and describes the result.
pub fn inspect(arguments: &Arguments, star: i64, data: &Path, settings: &Settings) -> Result<Outcome> {
    if let Some(output) = &arguments.output {
        require_utf8(output)?;
        Inputs::of([data, arguments.path.as_path()]).require_other(output)?;
        check_target(output, arguments.overwrite)?;
        figure_file::require_ending(output)?;
    }
    let package = settings.package(&arguments.path)?;
    let Ok(trained) = package.require::<TrainedModel>("inspect --star") else {
        return spectrum::inspect(arguments, star, data, package);
    };
    if arguments.mark.is_some() {
        return Err(Error::usage("--mark")
            .found("it with a forward model of few bands")
            .expected("a model of spectra, which has lines")
            .remedy("Leave the option out."));
    }
    let options = FitOptions::of(&Request { config: arguments.config.clone(), ..Request::default() })?;
    let row = find(star, data)?;
    let place = data.display().to_string();
    let observations = Observations::from_table_of(&place, row, &read_options(trained, &options));
    let observations = observations.map_err(|error| error.within(&place))?;
    let fitter = Fitter::new(trained.clone(), &options)?;
    let estimates = fitter.fit(&observations)?;
    if let Some(output) = &arguments.output {
        let fitted = fitter.model().predict(estimates.coordinates.view())?;
        let figure = figure(&observations, &estimates, &fitted.row(0).to_vec());
        figure_file::save(&figure, output)?;
        tracing::info!("{}: figure of star {star}", output.display());
    }
    Ok(Outcome::answer(text(star, &observations, &estimates), summary(star, &estimates)))
}

/// The row of a star.
pub(super) fn find(star: i64, data: &Path) -> Result<Table> {
    for chunk in read_chunks(data, CHUNK)? {
        let chunk = chunk?;
        let ids = chunk.column(columns::ID)?.to_i64().map_err(|error| error.within(data.display()))?;
        if let Some(row) = ids.iter().position(|&id| id == star) {
            return Ok(chunk.select(&[row]));
        }
    }
    Err(Error::data(data.display().to_string())
        .found(format!("no star with source_id {star}"))
        .expected("a row for it")
        .remedy("Name a star of the file, or the file that has this one."))
}

fn fitted(estimates: &Estimates) -> impl Iterator<Item = (&str, &str, f64, f64)> {
    estimates.fitted.iter().enumerate().map(|(index, &position)| {
        let (name, unit, _) = &estimates.parameters[position];
        (name.as_str(), unit.as_str(), estimates.values[[0, position]], estimates.error(0, index))
    })
}

fn text(star: i64, observations: &Observations, estimates: &Estimates) -> String {
    let mut text = format!("star {star}\n");
    for (name, unit, value, error) in fitted(estimates) {
        let measured = observations.constraint(name, 0);
        let measured = measured.map_or_else(String::new, |(value, error)| format!("   (measured {})", with_error(value, error)));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12}{} {unit}{measured}", with_error(value, error));
    }
    let (chi_square, degrees) = (estimates.chi_square[0], estimates.degrees_of_freedom[0]);
    let _ = writeln!(text, "  χ² {} for {} degrees of freedom", significant(chi_square, 4), significant(degrees, 3));
    if let Some(pair) = &estimates.second_star {
        let delta = significant(pair.delta_loss[0], 3);
        let _ = writeln!(text, "  as two stars: −2 ln P lower by {delta}, χ² {}", significant(pair.chi_square[0], 4));
        for (name, unit, value, error) in pair.parameters(0) {
            let _ = writeln!(text, "    {name:<16}{} {unit}", with_error(value, error));
        }
    }
    for meaning in set_flags(estimates.flags[0]) {
        let _ = writeln!(text, "  flag: {meaning}");
    }
    text
}

fn summary(star: i64, estimates: &Estimates) -> serde_json::Value {
    let parameters: Vec<serde_json::Value> = fitted(estimates)
        .map(|(name, unit, value, error)| json!({ "name": name, "unit": unit, "value": value, "error": error }))
        .collect();
    let covariance: Vec<f64> = estimates.covariance.iter().copied().collect();
    let two_stars = estimates.second_star.as_ref().map(|pair| {
        let parameters: Vec<serde_json::Value> = pair
            .parameters(0)
            .map(|(name, unit, value, error)| json!({ "name": name, "unit": unit, "value": value, "error": error }))
            .collect();
        json!({
            "pair_delta_loss": pair.delta_loss[0],
            "pair_chi2": pair.chi_square[0],
            "companion_flux_fraction": pair.flux_fraction[0],
            "parameters": parameters,
        })
    });
    json!({
        "kind": "star",
        "source_id": star,
        "parameters": parameters,
        "covariance": covariance,
        "chi2": estimates.chi_square[0],
        "n_dof": estimates.degrees_of_freedom[0],
        "quality_flags": estimates.flags[0],
        "flags": set_flags(estimates.flags[0]),
        "two_stars": two_stars,
    })
}

/// Meanings of the bits that are set.
fn set_flags(bits: i32) -> Vec<&'static str> {
    set(&flags::FLAGS, bits).map(|flag| flag.text).collect()
}

/// Data, `fit` (the predicted flux `[W]`) and posterior.
fn figure(observations: &Observations, estimates: &Estimates, fit: &[f64]) -> Figure {
    let (flux, flux_error) = observed_flux(observations);
    let shown: Vec<StarEstimate<'_>> =
        fitted(estimates).map(|(name, unit, value, error)| StarEstimate { name: symbol(name), unit, value, error }).collect();
    StarFigure {
        title: &format!("source_id {}", estimates.ids[0]),
        fitted: FittedFlux {
            wavelength: &observations.grid.wavelength,
            flux: &flux,
            flux_error: &flux_error,
            fit,
            flux_label: &flux_label(&observations.flux_unit),
        },
        estimates: &shown,
        covariance: Some(estimates.covariance.index_axis(ndarray::Axis(0), 0)),
    }
    .figure()
}

/// Flux of the first star, NaN where missing, and its errors.
pub(super) fn observed_flux(observations: &Observations) -> (Vec<f64>, Vec<f64>) {
    let wide = |row: ndarray::ArrayView1<'_, f32>| row.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let error = wide(observations.flux_error.row(0));
    let flux = wide(observations.flux.row(0)).into_iter().zip(&error).map(|(f, e)| if e.is_finite() { f } else { f64::NAN });
    (flux.collect(), error)
}

/// The label of an axis of fluxes.
pub(super) fn flux_label(unit: &str) -> String {
    if unit.is_empty() { "flux".to_owned() } else { format!("flux ({})", typeset(unit)) }
}

/// A VOUnit string as figures write it: `10**-18 W.m**-2` becomes `10^{−18} W m^{−2}`.
pub(super) fn typeset(unit: &str) -> String {
    let mut parts = unit.split("**");
    let mut text = parts.next().unwrap_or_default().replace('.', " ");
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(part.len());
        let (exponent, rest) = part.split_at(end);
        text.push_str(&format!("^{{{}}}{}", exponent.replace('-', "−"), rest.replace('.', " ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_typeset() {
        assert_eq!(typeset("10**-18 W.m**-2.nm**-1"), "10^{−18} W m^{−2} nm^{−1}");
        assert_eq!(typeset(""), "");
    }

    #[test]
    fn flags_say_what_they_mean() {
        assert_eq!(
            set_flags(flags::NOT_CONVERGED),
            ["not converged, or without errors or a signal: the data do not tell the parameters"]
        );
        assert_eq!(set_flags(flags::MISSING_CONSTRAINT | flags::POOR_FIT).len(), 2);
        assert_eq!(set_flags(flags::MISSING_CONSTRAINT), ["a requested constraint is missing whose column the file has"]);
        assert!(set_flags(0).is_empty());
    }
}
