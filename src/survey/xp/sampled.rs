//! Sampled spectra of the archive (`xp_sampled_mean_spectrum`): 343 fluxes with errors, without their correlations.

use super::lists::Lists;
use super::{FLUX_UNIT, Fault, archive_wavelengths};
use crate::error::{Error, Result};
use crate::table::{Column, Table};
use crate::warning::warn_once;

/// Spellings, without blanks, of the flux unit of these files; none is taken as that too.
const UNITS: [&str; 10] = [
    "",
    "W.m**-2.nm**-1",
    "W/m2/nm",
    "W/m**2/nm",
    "W.m-2.nm-1",
    "Wm-2nm-1",
    "W.m^-2.nm^-1",
    "W/(nmm2)",
    "W/(m2nm)",
    "Wm**-2nm**-1",
];

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
    /// Positions of the wanted wavelengths among the archive's.
    nodes: Vec<usize>,
}

impl<'a> SampledReader<'a> {
    /// # Errors
    /// When a column is absent, has the wrong type or another unit, or a wavelength (nm) is none of the archive's: there is no
    /// interpolation.
    pub fn new(table: &'a Table, wavelength: &[f64]) -> Result<Self> {
        let lists = |name: &str| {
            let column = table.column(name)?;
            require_flux_unit(column)?;
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
        Ok(Self { flux: lists("flux")?, error: lists("flux_error")?, nodes })
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
            let (flux, error) = (flux[node] / FLUX_UNIT, error[node] / FLUX_UNIT);
            if error <= 0.0 {
                return Err(Fault::ErrorNotPositive { band: "sampled spectrum" });
            }
            let present = flux.is_finite() && error.is_finite();
            spectrum.flux.push(if present { flux } else { f64::NAN });
            spectrum.error.push(if present { error } else { f64::NAN });
        }
        Ok(spectrum)
    }
}

fn require_flux_unit(column: &Column) -> Result<()> {
    let unit: String = column.schema.unit.chars().filter(|character| !character.is_whitespace()).collect();
    match UNITS.contains(&unit.as_str()) {
        true => Ok(()),
        false => Err(Error::data(format!("column '{}'", column.schema.name))
            .found(format!("the unit {}", column.schema.unit))
            .expected("W.m**-2.nm**-1, as the archive's sampled spectra have")
            .remedy("Convert the column.")),
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
    fn other_wavelengths_lengths_and_units_are_refused() {
        let good = vec![1e-18; 343];
        let new = |table: &Table, nm: f64| SampledReader::new(table, &[nm]).err().map(|e| e.to_string());
        assert!(new(&table(&good, ""), 393.0).unwrap_or_default().contains("393 nm"));
        assert!(new(&table(&good, "erg/s/cm2/AA"), 392.0).unwrap_or_default().contains("the unit erg/s/cm2/AA"));
        let short = table(&good[..342], "");
        let fault = SampledReader::new(&short, &[392.0]).unwrap().spectrum(0).unwrap_err();
        assert_eq!(fault.to_string(), "sampled spectrum: 342 fluxes where 343 belong to the coefficients");
    }
}
