//! One chunk of the observation file, put together.

use super::flux::{ChunkFlux, FluxMaker};
use super::observation::{flux_columns, list, metadata, notes_column, pass_through};
use crate::error::Result;
use crate::noise::triangle;
use crate::quantity::{COVARIANCE_UNIT, FLUX_UNIT};
use crate::table::{Column, Table};

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
        let mut table = Table::with_rows(self.notes.len());
        table.push(self.id)?;
        let what = "Flux at the wavelengths of the metadata";
        for column in flux_columns(FLUX_UNIT, what, self.flux.flux, self.flux.error, n_wavelengths) {
            table.push(column)?;
        }
        if n_samples > 0 {
            let described = "Covariance of the leading XP samples, calibration errors included: row-wise upper triangle";
            let (values, length) = (self.flux.covariance, triangle::length(n_samples));
            table.push(list("xp_covariance_triu", COVARIANCE_UNIT, described, "stat.covariance", values, length))?;
        }
        for column in self.constraints {
            table.push(column)?;
        }
        table.push(notes_column(self.notes))?;
        pass_through(&mut table, &self.others)?;
        table.metadata = metadata(&maker.wavelengths(), &maker.band_names(), FLUX_UNIT, recipe);
        if let Some(options) = maker.spectrum_options() {
            table.metadata.insert(INSTRUMENT_KEY.to_owned(), options.instrument.identity());
        }
        Ok(table)
    }
}
