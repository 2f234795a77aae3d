//! `photosphere predict` with models of spectra: their fluxes at labels.

use super::predict::{Predicted, given, not_given};
use crate::error::{Error, Result};
use crate::observations::columns;
use crate::per_pixel::{emulate, is_beside_labels};
use crate::pixel_networks::SpectralCore;
use crate::quantity::{Facts, Notices};
use crate::table::{Column, ColumnSchema, Table};
use crate::warning::warn_once;
use ndarray::Array2;
use serde_json::json;
use std::collections::BTreeMap;

/// Refuses values that are held of what is no label.
///
/// # Errors
/// `Usage`, naming it.
pub(super) fn check(core: &SpectralCore, held: &BTreeMap<String, f64>) -> Result<()> {
    let names = &core.space().names;
    match held.iter().find(|(name, value)| !names.contains(name) || !value.is_finite()) {
        None => Ok(()),
        Some((name, value)) => Err(Error::usage("--hold")
            .found(format!("'{name}' = {value}"))
            .expected(format!("a finite number of one of {}", names.join(", ")))),
    }
}

/// Says which columns of what was fitted beside the labels take no part: spectra are predicted at rest, with
/// the line spread and the continuum of the training.
fn say_left_out(chunk: &Table) {
    let names = chunk.columns().iter().map(|column| column.schema.name.as_str());
    let found: Vec<&str> = names.filter(|name| is_beside_labels(name)).collect();
    if !found.is_empty() {
        warn_once(format!(
            "columns {}: left out. Fluxes are those at rest, with the lines and the continuum of the training; `photosphere inspect \
             --star` shows a fit as it was fitted",
            found.join(", ")
        ));
    }
}

/// The rows of a part of a table, which begins with its row `first`.
///
/// # Errors
/// When a label has neither a column nor a value that is held, or its unit measures something else.
pub(super) fn predicted(
    core: &SpectralCore,
    chunk: &Table,
    held: &BTreeMap<String, f64>,
    first: usize,
    notices: &mut Notices,
) -> Result<Predicted> {
    let (space, n, w) = (core.space(), chunk.n_rows(), core.card.grid.len());
    if first == 0 {
        say_left_out(chunk);
    }
    let mut labels = Array2::from_elem((n, space.len()), f64::NAN);
    for (k, name) in space.names.iter().enumerate() {
        let values = given((name, &space.units[k]), (chunk, first), held, notices)?;
        let values = values.ok_or_else(|| not_given(name, "labels", chunk))?;
        labels.column_mut(k).iter_mut().zip(values).for_each(|(label, value)| *label = value);
    }
    let is_complete: Vec<bool> = labels.rows().into_iter().map(|row| row.iter().all(|value| value.is_finite())).collect();
    let complete: Vec<usize> = (0..n).filter(|&row| is_complete[row]).collect();
    let whole = labels.select(ndarray::Axis(0), &complete);
    let fluxes = emulate(core.engine.as_ref(), whole.view());
    let is_beyond = space.scale(labels.view()).mapv(|scaled| scaled.abs() > 0.5);
    let (mut flux, mut error) = (vec![f64::NAN; n * w], vec![f64::NAN; n * w]);
    for (&row, values) in complete.iter().zip(fluxes.rows()) {
        for (i, value) in values.iter().enumerate().filter(|(i, _)| !core.card.untrained.contains(i)) {
            (flux[row * w + i], error[row * w + i]) = (f64::from(*value), 0.0);
        }
    }
    let column = |(k, name): (usize, &String)| {
        let schema = ColumnSchema::new(name, &space.units[k], Facts::of(name).description);
        Column::nullable(schema, labels.column(k).to_vec())
    };
    let grid = &core.card.grid;
    let texts = [
        (columns::MEDIUM, grid.medium.map(|medium| medium.name().to_owned())),
        (columns::CONTINUUM, grid.continuum.clone()),
        (columns::FLUX_UNIT, Some(core.card.flux_unit.clone())),
        (columns::WAVELENGTHS, Some(json!(grid.wavelength).to_string())),
        (columns::BANDS, Some(json!(grid.names).to_string())),
    ];
    Ok(Predicted {
        flux,
        error,
        unit: core.card.flux_unit.clone(),
        is_outside: (0..n).map(|row| is_complete[row] && is_beyond.row(row).iter().any(|beyond| *beyond)).collect(),
        is_complete,
        parameters: space.names.iter().enumerate().map(column).collect(),
        metadata: texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect(),
    })
}
