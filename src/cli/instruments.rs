//! `photosphere instruments`: the XP instruments in the program, or in a file.

use super::outcome::Outcome;
use crate::error::Result;
use crate::survey::xp::{DEFAULT_INSTRUMENT, Instrument};
use serde_json::json;

/// List the instruments of Gaia XP spectra that are built in, or describe those named (a recipe takes one as
/// xp.instrument).
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Names of built-in instruments, or instrument files (scripts/make_xp_instrument.py makes them from
    /// configuration files).
    #[arg(value_name = "NAME|FILE")]
    instruments: Vec<String>,
}

/// Prints.
pub fn run(arguments: &Arguments) -> Result<Outcome> {
    let instruments = match arguments.instruments.is_empty() {
        true => Instrument::list()?,
        false => arguments.instruments.iter().map(|name| Instrument::open(name)).collect::<Result<_>>()?,
    };
    let text: Vec<String> = instruments.iter().map(|instrument| described(instrument)).collect();
    let summary: Vec<serde_json::Value> = instruments.iter().map(|instrument| summary(instrument)).collect();
    Ok(Outcome::answer(text.join("\n"), json!({ "instruments": summary })))
}

fn described(instrument: &Instrument) -> String {
    let ((n_bp, n_rp), (bp, rp), (bp_id, rp_id)) =
        (instrument.n_bases(), instrument.basis_kinds(), instrument.basis_function_ids());
    let fluxes = match instrument.wavelength_range() {
        Some(range) => format!("{} to {} nm", range.start(), range.end()),
        None => "none: no external calibration, pseudo-wavelength only".into(),
    };
    let default = if instrument.name() == DEFAULT_INSTRUMENT { ", used where none is named" } else { "" };
    let mut text = format!("{}  ({}{default})\n", instrument.name(), instrument.release());
    for (what, value) in [
        ("what", instrument.description()),
        ("BP", &format!("{n_bp} bases, {}, basis_function_id {bp_id}", bp.name())),
        ("RP", &format!("{n_rp} bases, {}, basis_function_id {rp_id}", rp.name())),
        ("fluxes", &fluxes),
        ("sha256", instrument.hash()),
        ("warning", instrument.warning().unwrap_or_default()),
    ] {
        if !value.is_empty() {
            text += &format!("  {what:<9}{value}\n");
        }
    }
    text
}

fn summary(instrument: &Instrument) -> serde_json::Value {
    let ((n_bp, n_rp), (bp, rp), (bp_id, rp_id)) =
        (instrument.n_bases(), instrument.basis_kinds(), instrument.basis_function_ids());
    json!({
        "name": instrument.name(),
        "release": instrument.release(),
        "description": instrument.description(),
        "warning": instrument.warning(),
        "bp": { "basis": bp.name(), "n_bases": n_bp, "basis_function_id": bp_id },
        "rp": { "basis": rp.name(), "n_bases": n_rp, "basis_function_id": rp_id },
        "wavelength_range": instrument.wavelength_range().map(|range| [*range.start(), *range.end()]),
        "archive_grid_tabulated": instrument.has_archive_sampling(),
        "sha256": instrument.hash(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_instruments_are_listed() {
        let outcome = run(&Arguments { instruments: Vec::new() }).unwrap();
        let names: Vec<&str> =
            outcome.summary["instruments"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, Instrument::names());
        assert!(outcome.text.contains("55 bases, hermite, basis_function_id 56") && outcome.text.contains("warning"));
        assert_eq!(outcome.summary["instruments"][0]["sha256"].as_str().map(str::len), Some(64));
        assert!(run(&Arguments { instruments: vec!["gaia-dr9".into()] }).is_err());
    }
}
