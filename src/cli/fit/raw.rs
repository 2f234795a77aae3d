//! How raw XP spectra are prepared for a model.

use super::input::is_raw;
use crate::cli::prepare::recipe;
use crate::error::{Error, Result};
use crate::infer::FitOptions;
use crate::observations::Grid;
use crate::survey::photometry::{PhotometricBand, standard_set};
use crate::survey::prepare::{self, Preparation, PrepareRecipe, TableSource, XpSource};
use crate::survey::xp::{ColumnMap, DEFAULT_INSTRUMENT, Instrument};
use crate::table::read_schema;
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Sets of bands that are taken from joined tables where the model has them.
const STANDARD_SETS: [&str; 2] = ["2mass", "wise"];

/// Options for observations that are XP spectra as the archive publishes them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Raw XP spectra (bp_coefficients, ...)")]
pub struct RawArguments {
    /// Prepare raw XP spectra by this recipe of `photosphere prepare` (its own XP files are replaced by the observations); otherwise they
    /// are sampled at the model's wavelengths with the usual calibration errors.
    #[arg(long, value_name = "RECIPE")]
    prepare: Option<String>,
    /// Join a table to raw XP spectra on source_id: parallax, parallax_error, j_mag, j_mag_error, ... ra, dec; may be repeated.
    #[arg(long, value_name = "FILE")]
    join: Vec<PathBuf>,
    /// The instrument of raw XP spectra: a built-in one (`photosphere instruments`) or an instrument file; otherwise the recipe's, or the
    /// model's where it is built in.
    #[arg(long, value_name = "NAME|FILE")]
    instrument: Option<String>,
}

impl RawArguments {
    /// The preparation of the raw files among `inputs`; `None` where there are none. A file that cannot be read is none: the run that
    /// needs it says so.
    ///
    /// # Errors
    /// When the recipe does not fit the model, a joined table cannot be read, or there is a recipe or a table without raw files.
    pub fn preparation(
        &self,
        inputs: &[PathBuf],
        grid: &Grid,
        options: &FitOptions,
        keep: &BTreeSet<String>,
    ) -> Result<Option<Preparation>> {
        let mut recipe = match &self.prepare {
            Some(name_or_path) => recipe(name_or_path)?,
            None => PrepareRecipe::default(),
        };
        let columns = recipe.xp.as_ref().map_or_else(ColumnMap::default, |xp| xp.columns.clone());
        let raw: Vec<PathBuf> = inputs.iter().filter(|path| is_raw(path, &columns).unwrap_or(false)).cloned().collect();
        if raw.is_empty() {
            return match self.prepare.is_some() || !self.join.is_empty() || self.instrument.is_some() {
                true => Err(Error::usage("--prepare, --join and --instrument")
                    .found("no raw XP spectra among the observations")
                    .expected("files with bp_coefficients and rp_coefficients, where these options are given")),
                false => Ok(None),
            };
        }
        // Measured labels are not needed to fit, except where they constrain the fit.
        recipe.labels.retain(|label| self.prepare.is_some() && options.constraints.contains(label));
        match &mut recipe.xp {
            Some(xp) => xp.files = raw,
            None => {
                let instrument = instrument_of(grid)?;
                recipe.xp = Some(XpSource { files: raw, grid: samples(grid)?, instrument, ..XpSource::default() });
            }
        }
        if let (Some(xp), Some(instrument)) = (&mut recipe.xp, &self.instrument) {
            xp.instrument.clone_from(instrument);
        }
        for path in &self.join {
            let columns = wanted_columns(path, grid, keep)?;
            recipe.tables.push(TableSource { columns: Some(columns), ..TableSource::of_file(path.clone()) });
        }
        if self.prepare.is_none() {
            recipe.photometry.bands = self.bands(grid, &recipe)?;
        }
        Preparation::new(recipe)?.for_data_vector(&grid.names, &grid.wavelength).map(Some)
    }

    /// The model's bands of the standard sets whose columns the joined tables have.
    fn bands(&self, grid: &Grid, recipe: &PrepareRecipe) -> Result<Vec<PhotometricBand>> {
        let columns: BTreeSet<&String> = recipe.tables.iter().flat_map(|table| table.columns.iter().flatten()).collect();
        let mut bands: Vec<PhotometricBand> = standard_bands(grid).collect();
        bands.retain(|band| columns.contains(&band.magnitude_column) && columns.contains(&band.error_column));
        for band in &mut bands {
            band.crowding = band.crowding.take().filter(|cut| columns.contains(&cut.column));
        }
        let missing = grid.names.iter().filter(|name| !name.starts_with("xp_") && !bands.iter().any(|band| band.name == **name));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if !missing.is_empty() {
            tracing::warn!("no joined table has magnitudes of {}: missing for every star", missing.join(", "));
        }
        Ok(bands)
    }
}

/// The built-in instrument that is the model's, or the usual one.
fn instrument_of(grid: &Grid) -> Result<String> {
    let is_model = |instrument: &Instrument| grid.instrument.as_ref().is_some_and(|identity| *identity == instrument.identity());
    let instruments = Instrument::list()?;
    let found = instruments.iter().find(|instrument| is_model(instrument));
    Ok(found.map_or(DEFAULT_INSTRUMENT, |instrument| instrument.name()).to_owned())
}

/// The model's XP wavelengths, which lead its data vector.
fn samples(grid: &Grid) -> Result<prepare::Grid> {
    let n = grid.n_xp_samples();
    if n == 0 {
        return Err(Error::usage("raw XP spectra")
            .found(format!("a model of {}", grid.names.join(", ")))
            .expected("a model whose data vector begins with XP samples (xp_392, ...)"));
    }
    Ok(prepare::Grid::Wavelengths(grid.wavelength[..n].to_vec()))
}

/// Standard bands with the name and the wavelength of one of the model's.
fn standard_bands(grid: &Grid) -> impl Iterator<Item = PhotometricBand> + '_ {
    let bands = STANDARD_SETS.into_iter().filter_map(standard_set).flatten();
    bands.filter(|band| {
        let mut entries = grid.names.iter().zip(&grid.wavelength);
        entries.any(|(name, nm)| *name == band.name && (nm - band.wavelength).abs() <= 1e-6 * nm)
    })
}

/// The columns of a joined table that a fit uses or carries on.
fn wanted_columns(path: &Path, grid: &Grid, keep: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut wanted = keep.clone();
    for band in standard_bands(grid) {
        wanted.extend([band.magnitude_column, band.error_column]);
        wanted.extend(band.crowding.map(|cut| cut.column));
    }
    let truth = wanted.contains("true_*");
    let schemas = read_schema(path)?;
    let names = schemas.into_iter().map(|schema| schema.name);
    Ok(names.filter(|name| wanted.contains(name) || truth && name.starts_with("true_")).collect())
}
