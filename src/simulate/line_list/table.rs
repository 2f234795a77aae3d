//! Spectra of the benchmark as an observation file.

use super::lines::{LABELS, LineList, N_LABELS};
use crate::error::Result;
use crate::per_pixel::LabelledSpectra;
use crate::table::{Column, ColumnSchema, Table, Values};
use serde_json::json;

/// Errors that the file states of the labels, in dex, km/s and 1000 K: next to nothing, for labels are the
/// true ones.
const LABEL_ERROR: f64 = 1e-4;

impl LineList {
    /// An observation file of `spectra`, whose stars have identifiers from `first` on; labels stand as
    /// measured ones (`teff`, `teff_error`, …) or as the truth (`true_teff`, …).
    ///
    /// # Errors
    /// Never, of spectra on the pixels of the list.
    pub fn observations(&self, spectra: &LabelledSpectra, first: i64, are_measured: bool) -> Result<Table> {
        self.observations_with(spectra, first, are_measured, &std::array::from_fn::<_, N_LABELS, _>(|k| k))
    }

    /// The same with some of the labels only, by their indices in [`LABELS`].
    ///
    /// # Errors
    /// Never, of spectra on the pixels of the list.
    pub fn observations_with(
        &self,
        spectra: &LabelledSpectra,
        first: i64,
        are_measured: bool,
        labels: &[usize],
    ) -> Result<Table> {
        let n = spectra.len();
        let id = ColumnSchema::new("source_id", "", "identifier of the star").with_ucd("meta.id;meta.main");
        let mut table = Table::new(vec![Column::scalar(id, Values::Int64((first..first + n as i64).collect()))])?;
        let lists = |name: &str, description: &str, ucd: &str, values: Vec<f32>| {
            Column::fixed(ColumnSchema::new(name, "", description).with_ucd(ucd), Values::Float32(values), self.n_pixels)
        };
        let error = |weight: &f32| if *weight > 0.0 { weight.sqrt().recip() } else { f32::NAN };
        table.push(lists("flux", "normalised flux", "phot.flux.density;em.wl", spectra.flux.iter().copied().collect()))?;
        let errors = spectra.inverse_variance.iter().map(error).collect();
        table.push(lists("flux_error", "error of the flux", "stat.error;phot.flux.density;em.wl", errors))?;
        for (k, (name, unit)) in labels.iter().map(|&k| (k, LABELS[k])) {
            let unit = if unit == "dex" { "" } else { unit };
            let prefix = if are_measured { "" } else { "true_" };
            let schema = ColumnSchema::new(format!("{prefix}{name}"), unit, format!("{prefix}{name} of the simulated star"));
            table.push(Column::scalar(schema, Values::Float64(spectra.labels.column(k).to_vec())))?;
            if are_measured {
                let error = if k == 0 { 1e3 * LABEL_ERROR } else { LABEL_ERROR };
                let schema = ColumnSchema::new(format!("{name}_error"), unit, format!("error of {name}"));
                table.push(Column::scalar(schema.with_ucd("stat.error"), Values::Float64(vec![error; n])))?;
            }
        }
        let names: Vec<String> = (0..self.n_pixels).map(|pixel| format!("pixel_{pixel}")).collect();
        table.metadata = [
            ("wavelengths", json!(self.wavelength()).to_string()),
            ("wavelength_unit", "Angstrom".into()),
            ("wavelength_medium", "vacuum".into()),
            ("bands", json!(names).to_string()),
            ("flux_unit", String::new()),
            ("program", concat!("photosphere ", env!("CARGO_PKG_VERSION"), ", line list").into()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        Ok(table)
    }
}
