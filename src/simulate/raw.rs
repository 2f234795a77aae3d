//! A simulated survey as the archives publish it: XP spectra as coefficients, and a catalogue with magnitudes
//! to be joined to them.

use super::columns::{Observed, id_column};
use super::near_infrared::INFRARED_BANDS;
use crate::error::Result;
use crate::survey::xp::{Band, Instrument};
use crate::table::{Column, ColumnSchema, Table, Values};
use std::f64::consts::LN_10;

/// Stars of a survey, in two tables with the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RawSurvey {
    /// Continuous spectra with the columns of the archive's `xp_continuous_mean_spectrum` that matter:
    /// identifier, and for BP and RP the basis, coefficients, errors and correlations.
    pub spectra: Table,
    /// Everything else: position, magnitudes, parallax, labels, reddening and the truth.
    pub catalogue: Table,
}

/// The table of spectra.
///
/// # Errors
/// When the instrument tables cannot be read.
pub(super) fn spectra(stars: &[Observed], spectra: &[[Band; 2]]) -> Result<Table> {
    let (bp, rp) = Instrument::standard()?.basis_function_ids();
    let mut table = Table::new(vec![id_column(stars)])?;
    for (position, (band, basis)) in [("bp", bp), ("rp", rp)].into_iter().enumerate() {
        let of = |spectrum: &[Band; 2]| spectrum[position].coefficients.len();
        let n = spectra.first().map_or(0, of);
        let schema = |name: &str, what: &str| ColumnSchema::new(format!("{band}_{name}"), "", format!("{what} of {band}"));
        let whole = |value: i32| Values::Int32(vec![value; stars.len()]);
        let single = |pick: &dyn Fn(&Band) -> &[f64]| {
            Values::Float32(spectra.iter().flat_map(|spectrum| pick(&spectrum[position])).map(|&value| value as f32).collect())
        };
        let deviations = spectra.iter().map(|spectrum| spectrum[position].standard_deviation).collect();
        let coefficients = spectra.iter().flat_map(|spectrum| &spectrum[position].coefficients).copied().collect();
        let errors = single(&|band| &band.errors);
        let correlations = single(&|band| band.correlations.as_deref().unwrap_or_default());
        for column in [
            Column::scalar(schema("basis_function_id", "Basis functions"), whole(basis as i32)),
            Column::scalar(schema("n_parameters", "Number of coefficients"), whole(n as i32)),
            Column::nullable(schema("standard_deviation", "Standard deviation"), deviations),
            Column::fixed(schema("coefficients", "Coefficients"), Values::Float64(coefficients), n),
            Column::fixed(schema("coefficient_errors", "Errors of the coefficients"), errors, n),
            Column::fixed(
                schema("coefficient_correlations", "Correlations (strict lower triangle, row by row)"),
                correlations,
                n * n.saturating_sub(1) / 2,
            ),
        ] {
            table.push(column)?;
        }
    }
    Ok(table)
}

/// Magnitudes and their errors from infrared fluxes and errors `[N, 5]`; a missing or negative flux has none.
/// `norm_dg`, the brightness of the neighbours, is null: bands that suffer from them are missing already.
pub(super) fn magnitudes(infrared: &[[(f64, f64); 5]]) -> Vec<Column> {
    let mut columns = Vec::new();
    for (position, band) in INFRARED_BANDS.iter().enumerate() {
        let values = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            let fluxes = infrared.iter().map(|fluxes| fluxes[position]);
            fluxes.map(|(flux, error)| if flux > 0.0 { of(flux, error) } else { f64::NAN }).collect()
        };
        let name = format!("{}_mag", band.name);
        let ucd = format!("phot.mag;em.IR.{}", band.name.to_uppercase());
        let schema = ColumnSchema::new(&name, "mag", format!("{} magnitude (Vega)", band.name));
        columns.push(Column::nullable(schema.with_ucd(&ucd), values(&|flux, _| band.magnitude(flux))));
        let schema = ColumnSchema::new(format!("{name}_error"), "mag", format!("Standard error of {name}"));
        let error = values(&|flux, error| error / (0.4 * LN_10 * flux));
        columns.push(Column::nullable(schema.with_ucd(format!("stat.error;{ucd}")), error));
    }
    let schema = ColumnSchema::new("norm_dg", "mag", "Brightness of neighbours; bands that suffer from them are missing already");
    columns.push(Column::nullable(schema, vec![f64::NAN; infrared.len()]));
    columns
}
