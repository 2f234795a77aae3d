//! Sampled spectra of the archive (`xp_sampled_mean_spectrum`): 343 fluxes with errors, without their
//! correlations.

use super::lists::Lists;
use super::{FLUX_UNIT, Fault, archive_wavelengths};
use crate::error::{Error, Result};
use crate::quantity::{Notices, Quantity, Role, is_sentinel};
use crate::table::{Column, Table};
use crate::warning::warn_once;

/// The unit of the archive's sampled spectra.
const UNIT: &str = "W.m**-2.nm**-1";

/// Flux and error of one star at chosen wavelengths of the archive's, 1e-18 W m⁻² nm⁻¹; NaN where missing.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledSpectrum {
    pub flux: Vec<f64>,
    pub error: Vec<f64>,
}

/// A table of sampled spectra, row by row: columns `source_id`, `flux`, `flux_error` with 343 numbers each.
pub struct SampledReader<'a> {
    flux: Lists<'a>,
    error: Lists<'a>,
    /// What fluxes and errors are multiplied by to be in 1e-18 W m⁻² nm⁻¹.
    factors: [f64; 2],
    /// Positions of the wanted wavelengths among the archive's.
    nodes: Vec<usize>,
}

impl<'a> SampledReader<'a> {
    /// Fluxes and errors are converted, each by its own unit; without one they are in the archive's, errors
    /// in that of the fluxes (said once).
    ///
    /// # Errors
    /// When a column is absent, has the wrong type or a unit of another kind, or a wavelength (nm) is none of
    /// the archive's: there is no interpolation.
    pub fn new(table: &'a Table, wavelength: &[f64]) -> Result<Self> {
        let lists = |column: &'a Column| {
            Lists::new(column).map_err(|error| {
                error.remedy(
                    "Sampled spectra need one row per source with lists of 343 numbers, as in xp_sampled_mean_spectrum \
                     (DataLink: data_structure = RAW).",
                )
            })
        };
        let archive = archive_wavelengths();
        let node = |nm: &f64| {
            archive.iter().position(|node| (node - nm).abs() < 1e-6).ok_or_else(|| {
                Error::usage("prepare recipe, xp.grid")
                    .found(format!("{nm} nm, and sampled spectra"))
                    .expected("wavelengths at which these are sampled: 336, 338, \u{2026} 1020 nm")
                    .remedy("Choose such wavelengths, or use continuous spectra.")
            })
        };
        let nodes = wavelength.iter().map(node).collect::<Result<Vec<_>>>()?;
        warn_once(
            "sampled XP spectra: their errors are taken as uncorrelated, which they are not (neighbours share coefficients); \
             \u{3c7}\u{b2} and the errors of fits are wrong by that. Continuous spectra have the correlations.",
        );
        let (flux, error) = (table.column("flux")?, table.column("flux_error")?);
        let quantity = Quantity { unit: Some(UNIT.to_owned()), needs_unit: true, ..Quantity::of("flux") };
        let mut notices = Notices::default();
        let mut factor = |column: &Column, role: Role, partner: Option<&str>| {
            quantity.conversion(column, role, partner, &mut notices).map(|conversion| conversion.factor / FLUX_UNIT)
        };
        let factors = [factor(flux, Role::Value, None)?, factor(error, Role::Error, Some(&flux.schema.unit))?];
        notices.say_units("sampled XP spectra");
        Ok(Self { flux: lists(flux)?, error: lists(error)?, factors, nodes })
    }

    /// The spectrum of a row.
    ///
    /// # Errors
    /// Why the row cannot be used.
    pub fn spectrum(&self, row: usize) -> std::result::Result<SampledSpectrum, Fault> {
        let expected = archive_wavelengths().len();
        let Some(flux) = self.flux.row(row) else { return Err(Fault::NoBand) };
        let error = self.error.row(row).unwrap_or_default();
        for (what, values) in [("fluxes", &flux), ("errors", &error)] {
            if values.len() != expected {
                return Err(Fault::Length { band: "sampled spectrum", what, found: values.len(), expected });
            }
        }
        let mut spectrum = SampledSpectrum { flux: Vec::new(), error: Vec::new() };
        for &node in &self.nodes {
            // The number of the file means "no value", not the converted one.
            let is_no_value = is_sentinel(flux[node]);
            let (flux, error) = (flux[node] * self.factors[0], error[node] * self.factors[1]);
            // A sample goes alone, whatever is wrong with it.
            let present = flux.is_finite() && error.is_finite() && error > 0.0 && !is_no_value;
            spectrum.flux.push(if present { flux } else { f64::NAN });
            spectrum.error.push(if present { error } else { f64::NAN });
        }
        Ok(spectrum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ColumnSchema, Shape, Values};

    fn table(fluxes: &[f64], unit: &str) -> Table {
        let lists = |name: &str, factor: f64| Column {
            schema: ColumnSchema::new(name, unit, ""),
            values: Values::Float64(fluxes.iter().map(|flux| factor * flux).collect()),
            shape: Shape::Variable(vec![0, fluxes.len()]),
            valid: None,
        };
        let id = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![1]));
        Table::new(vec![id, lists("flux", 1.0), lists("flux_error", 0.1)]).unwrap()
    }

    #[test]
    fn nodes_are_taken_as_they_are() {
        let mut fluxes: Vec<f64> = (0..343).map(|k| 1e-18 * f64::from(k + 1)).collect();
        fluxes[330] = f64::NAN;
        let table = table(&fluxes, "W.m**-2.nm**-1");
        let reader = SampledReader::new(&table, &[336.0, 392.0, 996.0]).unwrap();
        let spectrum = reader.spectrum(0).unwrap();
        assert!((spectrum.flux[0] - 1.0).abs() < 1e-12 && (spectrum.flux[1] - 29.0).abs() < 1e-12 && spectrum.flux[2].is_nan());
        assert!((spectrum.error[1] - 2.9).abs() < 1e-12 && spectrum.error[2].is_nan());
    }

    #[test]
    fn a_sample_without_an_error_goes_alone() {
        let mut table = table(&[3e-18; 343], "W.m**-2.nm**-1");
        let Column { schema, .. } = table.column("flux_error").unwrap().clone();
        let mut errors = vec![3e-19; 343];
        (errors[0], errors[1], errors[2]) = (0.0, -9999.0, -1e-19);
        table.replace(Column { schema, ..Column::fixed(ColumnSchema::default(), Values::Float64(errors), 343) }).unwrap();
        let spectrum = SampledReader::new(&table, &[336.0, 338.0, 340.0, 342.0]).unwrap().spectrum(0).unwrap();
        assert!(spectrum.flux[..3].iter().all(|flux| flux.is_nan()) && (spectrum.flux[3] - 3.0).abs() < 1e-12);
    }

    #[test]
    fn other_units_of_flux_are_converted_each_by_its_own() {
        let of = |fluxes: f64, unit: &str, error_unit: &str| {
            let mut table = table(&[fluxes; 343], unit);
            let mut error = table.column("flux_error").unwrap().clone();
            error.schema.unit = error_unit.to_owned();
            table.replace(error).unwrap();
            let spectrum = SampledReader::new(&table, &[392.0]).unwrap().spectrum(0).unwrap();
            (spectrum.flux[0], spectrum.error[0])
        };
        // 1e-16 erg/s/cm²/Å are 1e-18 W/m²/nm.
        for (fluxes, unit, error_unit, error) in [
            (3e-18, "W.m**-2.nm**-1", "W/m2/nm", 0.3),
            (3e-18, "", "", 0.3),
            (3e-18, "not a unit", "", 0.3),
            (3e-16, "erg/s/cm2/AA", "", 0.3),
            (3e-16, "erg/s/cm2/AA", "1e-1 erg/s/cm2/AA", 0.03),
            (3.0, "10**-18 W.m**-2.nm**-1", "10**-18 W.m**-2.nm**-1", 0.3),
        ] {
            let found = of(fluxes, unit, error_unit);
            assert!((found.0 - 3.0).abs() < 1e-12 && (found.1 - error).abs() < 1e-12, "{unit}, {error_unit}: {found:?}");
        }
    }

    #[test]
    fn other_wavelengths_lengths_and_units_are_refused() {
        let good = vec![1e-18; 343];
        let new = |table: &Table, nm: f64| SampledReader::new(table, &[nm]).err().map(|e| e.to_string());
        assert!(new(&table(&good, ""), 393.0).unwrap_or_default().contains("393 nm"));
        let message = new(&table(&good, "Jy"), 392.0).unwrap_or_default();
        assert!(message.contains("column 'flux'") && message.contains("the unit 'Jy'"), "{message}");
        let short = table(&good[..342], "");
        let fault = SampledReader::new(&short, &[392.0]).unwrap().spectrum(0).unwrap_err();
        assert_eq!(fault.to_string(), "sampled spectrum: 342 fluxes where 343 belong to the coefficients");
    }
}
