//! One star under any other kind of model that predicts fluxes: what its catalogue would say, the spectrum
//! with the fit (as it was fitted, broadened and shifted), the lines of a label.

use super::Arguments;
use super::star::{find, flux_label, observed_flux, typeset};
use crate::catalogue::flags::meanings;
use crate::cli::figure_file;
use crate::cli::outcome::Outcome;
use crate::error::{Error, Result};
use crate::observations::Observations;
use crate::optimise::dense::unpack_upper_triangle;
use crate::package::{Estimator, Package, Request};
use crate::quantity::symbol;
use crate::table::{Table, Values};
use crate::validate::figure::{FittedFlux, SpectrumFigure};
use crate::validate::number::{significant, with_error};
use ndarray::{Array2, ArrayView2};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// A line of a label is where its derivative is this part of the largest.
const LEAST_DERIVATIVE: f64 = 0.2;
/// Steps of numerical derivatives, in errors of the label.
const STEP: f64 = 0.1;

/// A parameter as the catalogue has it.
struct Parameter {
    name: String,
    unit: String,
    value: f64,
    error: f64,
}

/// Fits one star and describes the result.
pub fn inspect(arguments: &Arguments, star: i64, data: &Path, package: Arc<dyn Package>) -> Result<Outcome> {
    let kind = package.kind();
    let labels = package.parameters();
    if let Some(label) = arguments.mark.as_ref().filter(|label| !labels.contains(label)) {
        return Err(Error::usage("--mark")
            .found(format!("'{label}'"))
            .expected(format!("a label of the model: {}", labels.join(", "))));
    }
    let estimator = package.estimator(&Request { config: arguments.config.clone(), ..Request::default() })?;
    let place = data.display().to_string();
    let observations = Observations::from_table_of(&place, find(star, data)?, &estimator.read_options());
    let observations = observations.map_err(|error| error.within(&place))?;
    let estimated = estimator.estimate(&observations, &|_| Ok(()))?;
    let Some(fit) = estimator.flux(estimated.values.view())? else {
        return Err(Error::usage("inspect --star")
            .found(format!("a model of the kind '{kind}', which predicts no flux"))
            .expected("a model that is fitted to fluxes")
            .remedy("`photosphere fit` makes a catalogue with it."));
    };
    let parameters = parameters(&estimated.table)?;
    let bits = estimated.flags.first().copied().unwrap_or(0);
    let meanings = meanings(&estimated.table.column("quality_flags")?.schema.description, bits);
    if let Some(output) = &arguments.output {
        let lines = match arguments.mark.as_ref().and_then(|label| labels.iter().position(|name| name == label)) {
            Some(k) => {
                Some((labels[k].as_str(), lines(estimator.as_ref(), estimated.values.view(), k, &parameters, &observations)?))
            }
            None => None,
        };
        let (flux, flux_error) = observed_flux(&observations);
        // Of a square and its root the latter is what readers want.
        let is_shown = |one: &&Parameter| {
            let root = one.name.strip_suffix("_squared");
            !root.is_some_and(|root| parameters.iter().any(|other| other.name == root))
        };
        let shown = parameters.iter().filter(is_shown);
        let mut text: Vec<String> = shown.map(|one| one.described(&symbol(&one.name), &typeset(&one.unit))).collect();
        text.extend(meanings.iter().map(|(name, _)| format!("flag: {name}")));
        let figure = SpectrumFigure {
            title: &format!("source_id {star}"),
            fitted: FittedFlux {
                wavelength: &observations.grid.wavelength,
                flux: &flux,
                flux_error: &flux_error,
                fit: &fit.row(0).to_vec(),
                flux_label: &flux_label(&observations.flux_unit),
            },
            text: &text,
            lines: lines.as_ref().map(|(label, at)| (*label, at.as_slice())),
        };
        figure_file::save(&figure.figure(), output)?;
        tracing::info!("{}: figure of star {star}", output.display());
    }
    let number =
        |name: &str| estimated.table.column(name).ok().and_then(|column| column.to_f64().ok()).map_or(f64::NAN, |all| all[0]);
    let (chi_square, degrees) = (number("chi2"), number("n_dof"));
    let mut text = format!("star {star}\n");
    for one in &parameters {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}", one.described(&format!("{:<18}", one.name), &one.unit));
    }
    let _ = writeln!(text, "  χ² {} for {} degrees of freedom", significant(chi_square, 4), significant(degrees, 3));
    for (_, meaning) in &meanings {
        let _ = writeln!(text, "  flag: {meaning}");
    }
    let summary = json!({
        "kind": "star",
        "source_id": star,
        "parameters": parameters
            .iter()
            .map(|one| json!({ "name": one.name, "unit": one.unit, "value": one.value, "error": one.error }))
            .collect::<Vec<_>>(),
        "covariance": covariance(&estimated.table, estimated.values.ncols()),
        "chi2": chi_square,
        "n_dof": degrees,
        "quality_flags": bits,
        "flags": meanings.iter().map(|(_, meaning)| meaning).collect::<Vec<_>>(),
    });
    Ok(Outcome::answer(text, summary))
}

impl Parameter {
    fn described(&self, name: &str, unit: &str) -> String {
        let text = format!("{name} = {}", with_error(self.value, self.error));
        if unit.is_empty() { text } else { format!("{text} {unit}") }
    }
}

/// The columns of a catalogue of one star that have an error, in their order.
fn parameters(table: &Table) -> Result<Vec<Parameter>> {
    let columns = table.columns().iter();
    let with_error = columns.filter_map(|column| Some((column, table.column(&format!("{}_error", column.schema.name)).ok()?)));
    with_error
        .map(|(column, error)| {
            let [value, error] = [column.to_f64()?[0], error.to_f64()?[0]];
            Ok(Parameter { name: column.schema.name.clone(), unit: column.schema.unit.clone(), value, error })
        })
        .collect()
}

/// `[P × P]`; empty where a catalogue has none.
fn covariance(table: &Table, n: usize) -> Vec<f64> {
    match table.column("covariance_triu").map(|column| &column.values) {
        Ok(Values::Float64(packed)) if packed.len() == n * (n + 1) / 2 => unpack_upper_triangle(packed, n),
        _ => Vec::new(),
    }
}

/// Wavelengths at which the flux goes with a label most, among the pixels around.
fn lines(
    estimator: &dyn Estimator,
    values: ArrayView2<'_, f64>,
    k: usize,
    parameters: &[Parameter],
    observations: &Observations,
) -> Result<Vec<f64>> {
    let error = parameters.get(k).map_or(f64::NAN, |one| one.error);
    if !(error.is_finite() && error > 0.0) {
        return Ok(Vec::new());
    }
    let mut both = Array2::zeros((2, values.ncols()));
    for (mut row, sign) in both.outer_iter_mut().zip([1.0, -1.0]) {
        row.assign(&values.row(0));
        row[k] += sign * STEP * error;
    }
    let Some(flux) = estimator.flux(both.view())? else { return Ok(Vec::new()) };
    let derivative: Vec<f64> = flux.row(0).iter().zip(flux.row(1)).map(|(plus, minus)| (plus - minus).abs()).collect();
    let largest = derivative.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let is_line = |three: &[f64]| three[1] > three[0] && three[1] >= three[2] && three[1] > LEAST_DERIVATIVE * largest;
    let at = derivative.windows(3).enumerate().filter(|(_, three)| is_line(three));
    Ok(at.map(|(i, _)| observations.grid.wavelength[i + 1]).collect())
}
