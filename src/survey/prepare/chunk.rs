//! One chunk of the observation file, put together.

use super::flux::{ChunkFlux, FluxMaker};
use super::{NOTES_COLUMN, Note};
use crate::error::{Error, Result};
use crate::noise::triangle;
use crate::quantity::{COVARIANCE_UNIT, FLUX_UNIT};
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::text::on_one_line;

/// Metadata: name and hash of the instrument with which XP spectra were sampled.
const INSTRUMENT_KEY: &str = "xp_instrument";

/// The parts of a chunk.
pub(super) struct Parts {
    pub(super) id: Column,
    pub(super) flux: ChunkFlux,
    pub(super) constraints: Vec<Column>,
    pub(super) notes: Vec<i32>,
    /// What is left of the joined columns; passed through.
    pub(super) others: Table,
}

impl Parts {
    /// The chunk's table with the file's metadata (see `docs/` on the observation file).
    ///
    /// # Errors
    /// When a column that is passed through has the name of one of the file's own.
    pub(super) fn assemble(self, maker: &FluxMaker, recipe: &str) -> Result<Table> {
        let (n_wavelengths, n_samples) = (maker.wavelengths().len(), maker.n_samples());
        let list = |name: &str, unit: &str, description: &str, ucd: &str, values: Vec<f32>, length: usize| {
            let schema = ColumnSchema::new(name, unit, description).with_ucd(ucd);
            Column::fixed(schema, Values::Float32(values), length)
        };
        let n_rows = self.notes.len();
        let mut table = Table::with_rows(n_rows);
        table.push(self.id)?;
        let described = "Flux at the wavelengths of the metadata; NaN where missing";
        table.push(list("flux", FLUX_UNIT, described, "phot.flux.density;em.wl", self.flux.flux, n_wavelengths))?;
        let described = "Error of the flux; NaN where missing";
        table.push(list(
            "flux_error",
            FLUX_UNIT,
            described,
            "stat.error;phot.flux.density;em.wl",
            self.flux.error,
            n_wavelengths,
        ))?;
        if n_samples > 0 {
            let described = "Covariance of the leading XP samples, calibration errors included: row-wise upper triangle";
            let length = triangle::length(n_samples);
            table.push(list(
                "xp_covariance_triu",
                COVARIANCE_UNIT,
                described,
                "stat.covariance",
                self.flux.covariance,
                length,
            ))?;
        }
        for column in self.constraints {
            table.push(column)?;
        }
        let schema = ColumnSchema::new(NOTES_COLUMN, "", "What was wrong with the star's input: bits as in the metadata");
        table.push(Column::scalar(schema.with_ucd("meta.code.qual"), Values::Int32(self.notes)))?;
        pass_through(&mut table, &self.others)?;
        let json = |value: serde_json::Value| value.to_string();
        table.metadata = [
            ("wavelengths", json(maker.wavelengths().into())),
            ("bands", json(maker.band_names().into())),
            ("flux_unit", FLUX_UNIT.into()),
            ("input_notes", Note::legend()),
            ("program", concat!("photosphere ", env!("CARGO_PKG_VERSION"), " prepare").into()),
            ("prepare_recipe", on_one_line(recipe).into_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if let Some(options) = maker.spectrum_options() {
            table.metadata.insert(INSTRUMENT_KEY.to_owned(), options.instrument.identity());
        }
        Ok(table)
    }
}

/// Adds the columns of joined tables that are carried along, all but the identifier.
///
/// # Errors
/// When one has the name of a column that the table has already.
pub(in crate::survey) fn pass_through(table: &mut Table, others: &Table) -> Result<()> {
    for column in others.columns().iter().filter(|column| column.schema.name != "source_id") {
        let name = &column.schema.name;
        table.push(column.clone()).map_err(|_| {
            Error::data(format!("column '{name}'"))
                .found("a name that the observation file uses itself")
                .expected("another name")
                .remedy("Rename the column in the recipe (tables.rename).")
        })?;
    }
    Ok(())
}
