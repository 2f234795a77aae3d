//! How raw files of surveys are prepared for a model.

use crate::cli::prepare::recipe;
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::quantity::{XP_SAMPLE, say_other_capitals};
use crate::run::expand;
use crate::run::provenance::Provenance;
use crate::survey::Source;
use crate::survey::photometry::{PhotometricBand, standard_set};
use crate::survey::prepare::{self, Duplicates, Preparation, PrepareRecipe, TableSource, XpSource};
use crate::survey::spectra::SpectraPreparation;
use crate::survey::xp::{ColumnMap, DEFAULT_INSTRUMENT, Instrument, SpectrumKind, columns_of_spectra, refuse_epoch_spectra};
use crate::table::read_schema;
use crate::warning::warn_once;
use clap::Args;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sets of bands that are taken from joined tables where the model has them.
const STANDARD_SETS: [&str; 2] = ["2mass", "wise"];

/// Options for observations as the archives publish them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Raw files of surveys (XP coefficients; spectra of DESI, LAMOST, SDSS, tables)")]
pub struct RawArguments {
    /// Prepare raw files by this recipe of `photosphere prepare` (its own files of stars are replaced by the
    /// observations). Spectra other than Gaia's need one; without it, XP spectra are sampled at the model's
    /// wavelengths with the usual calibration errors.
    #[arg(long, value_name = "RECIPE")]
    prepare: Option<String>,
    /// Join a table to raw files on source_id: parallax, parallax_error, j_mag, j_mag_error, ... ra, dec; may
    /// be repeated. Of a folder, all tables in it are read as one.
    #[arg(long, value_name = "FILE")]
    join: Vec<PathBuf>,
    /// The instrument of raw XP spectra: a built-in one (`photosphere instruments`) or an instrument file;
    /// otherwise the recipe's, or the model's where it is built in.
    #[arg(long, value_name = "NAME|FILE")]
    instrument: Option<String>,
    /// What to do with an identifier that occurs twice in a joined table [default: as the recipe of --prepare
    /// has it, or error].
    #[arg(long, value_name = "WHAT", requires = "join")]
    join_duplicates: Option<JoinDuplicates>,
}

/// What to do with duplicates.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum JoinDuplicates {
    /// Stop, and name them.
    Error,
    /// Use the first row.
    KeepFirst,
}

/// How the raw files among many inputs are prepared, found out when their turn comes: an input that cannot be
/// looked at is in nobody's way.
pub struct Preparations<'a> {
    arguments: &'a RawArguments,
    grid: &'a Grid,
    constraints: Vec<String>,
    keep: BTreeSet<String>,
    /// The one that `--prepare` and `--join` ask for.
    asked_for: Option<Arc<dyn Source>>,
    /// The one that follows from the model alone.
    usual: OnceCell<Arc<dyn Source>>,
}

impl<'a> Preparations<'a> {
    /// For a model with this data vector. The columns in `keep` come along.
    ///
    /// # Errors
    /// When a recipe does not fit the model, or a joined table cannot be read.
    pub fn new(arguments: &'a RawArguments, grid: &'a Grid, constraints: Vec<String>, keep: BTreeSet<String>) -> Result<Self> {
        let asked_for = match arguments.are_given() {
            true => Some(arguments.preparation(grid, &constraints, &keep)?),
            false => None,
        };
        Ok(Self { arguments, grid, constraints, keep, asked_for, usual: OnceCell::new() })
    }

    /// The one that the options ask for.
    pub fn asked_for(&self) -> Option<&Arc<dyn Source>> {
        self.asked_for.as_ref()
    }

    /// The preparation of an input; `None` where it holds no raw spectra, or cannot be read, as the run that
    /// needs it says.
    ///
    /// # Errors
    /// When the model has no XP samples, or an input without raw spectra is to be prepared.
    pub fn of(&self, input: &Path) -> Result<Option<&Arc<dyn Source>>> {
        match &self.asked_for {
            Some(asked_for) => match asked_for.takes(input) {
                Ok(false) => Err(not_raw(input)),
                Ok(true) | Err(_) => Ok(Some(asked_for)),
            },
            None if !is_raw(input).unwrap_or(false) => Ok(None),
            None => match self.usual.get() {
                Some(usual) => Ok(Some(usual)),
                None => {
                    let usual = self.arguments.preparation(self.grid, &self.constraints, &self.keep)?;
                    Ok(Some(self.usual.get_or_init(|| usual)))
                }
            },
        }
    }

    /// The preparation of inputs that become one catalogue, of which some may be prepared already.
    ///
    /// # Errors
    /// As [`Preparations::of`], when none of them is raw.
    pub fn of_any(&self, inputs: &[PathBuf]) -> Result<Option<&Arc<dyn Source>>> {
        let takes = |input: &PathBuf| self.asked_for.as_ref().map_or_else(|| is_raw(input), |asked_for| asked_for.takes(input));
        let kinds: Vec<Result<bool>> = inputs.iter().map(takes).collect();
        match inputs.iter().zip(&kinds).find(|(_, kind)| matches!(kind, Ok(true))) {
            Some((raw, _)) => self.of(raw),
            // The reader says what is wrong with it.
            None if kinds.iter().any(Result::is_err) => Ok(self.asked_for.as_ref()),
            None if self.asked_for.is_some() => match inputs {
                [only] => Err(not_raw(only)),
                _ => Err(nothing_raw("--prepare, --join and --instrument".into(), "the observations")),
            },
            None => Ok(None),
        }
    }

    /// Provenance with the preparation that follows from the model, which settles it, in the notes.
    ///
    /// # Errors
    /// As [`Source::choices`].
    pub fn noted_in(&self, provenance: &Provenance, preparation: Option<&Arc<dyn Source>>) -> Result<Provenance> {
        match preparation.filter(|_| self.asked_for.is_none()) {
            Some(usual) => Ok(provenance.clone().noted("prepare_recipe", usual.choices()?)),
            None => Ok(provenance.clone()),
        }
    }
}

/// Whether a file holds XP spectra as coefficients.
///
/// # Errors
/// When it cannot be read.
fn is_raw(path: &Path) -> Result<bool> {
    let schemas = read_schema(path)?;
    let kind = columns_of_spectra(&schemas, &ColumnMap::default());
    Ok(kind.is_some_and(|(kind, _)| kind == SpectrumKind::Continuous))
}

/// The error for a file that was to be prepared, by what it holds.
fn not_raw(path: &Path) -> Error {
    let place = path.display().to_string();
    let usual = || nothing_raw(place.clone(), "it");
    let Ok(schemas) = read_schema(path) else { return usual() };
    if let Err(epoch) = refuse_epoch_spectra(schemas.iter().map(|schema| schema.name.as_str())) {
        return epoch.within(&place);
    }
    match columns_of_spectra(&schemas, &ColumnMap::default()) {
        Some((SpectrumKind::Sampled, _)) => Error::usage(place)
            .found("sampled spectra, without coefficients")
            .expected("files with bp_coefficients and rp_coefficients, where --prepare, --join or --instrument are given")
            .remedy("Prepare them first: `photosphere prepare prepare-xp FILE -o observations.parquet`, and fit what it writes."),
        _ => usual(),
    }
}

fn nothing_raw(place: String, among: &str) -> Error {
    Error::usage(place)
        .found(format!("no raw XP spectra among {among}"))
        .expected("files with bp_coefficients and rp_coefficients, where --prepare, --join or --instrument are given")
        .remedy(
            "Leave these options out for observations that are prepared already; of an archive or a file with several tables, name \
             that of the spectra (`b.zip[XP_CONTINUOUS]`).",
        )
}

impl RawArguments {
    fn are_given(&self) -> bool {
        self.prepare.is_some() || !self.join.is_empty() || self.instrument.is_some()
    }

    /// The recipe of `--prepare`, or an empty one.
    fn recipe(&self) -> Result<PrepareRecipe> {
        self.prepare.as_ref().map_or_else(|| Ok(PrepareRecipe::default()), |name_or_path| recipe(name_or_path))
    }

    /// The files that the options name.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub fn inputs(&self) -> Result<Vec<PathBuf>> {
        let mut inputs = self.join.clone();
        if let Some(name_or_path) = &self.prepare {
            inputs.push(name_or_path.into());
            inputs.extend(recipe(name_or_path)?.paths().map(Path::to_owned));
        }
        Ok(inputs)
    }

    /// The preparation of raw files.
    ///
    /// # Errors
    /// When the recipe does not fit the model, or a joined table cannot be read.
    fn preparation(&self, grid: &Grid, constraints: &[String], keep: &BTreeSet<String>) -> Result<Arc<dyn Source>> {
        let mut recipe = self.recipe()?;
        // Measured labels are not needed to fit, except where they constrain the fit.
        recipe.labels.retain(|label| self.prepare.is_some() && constraints.contains(label));
        if recipe.spectra.is_some() {
            return self.of_spectra(recipe, keep);
        }
        match &mut recipe.xp {
            Some(xp) => xp.files.clear(),
            None => {
                let instrument = instrument_of(grid)?;
                recipe.xp = Some(XpSource { grid: samples(grid)?, instrument, ..XpSource::default() });
            }
        }
        if let (Some(xp), Some(instrument)) = (&mut recipe.xp, &self.instrument) {
            xp.instrument.clone_from(instrument);
        }
        self.set_duplicates(&mut recipe);
        for path in &self.join {
            recipe.tables.push(joined(path, with_bands(keep.clone(), grid))?);
        }
        if self.prepare.is_none() {
            recipe.photometry.bands = self.bands(grid, &recipe)?;
        }
        Ok(Arc::new(Preparation::new(recipe)?.for_data_vector(&grid.names, &grid.wavelength)?))
    }

    /// The preparation of files of spectra, on the pixels that the recipe says.
    fn of_spectra(&self, mut recipe: PrepareRecipe, keep: &BTreeSet<String>) -> Result<Arc<dyn Source>> {
        if let Some(instrument) = &self.instrument {
            return Err(Error::usage(format!("--instrument {instrument}"))
                .found("a recipe of spectra that are no XP spectra")
                .expected("no instrument")
                .remedy("Leave it out."));
        }
        self.set_duplicates(&mut recipe);
        let mut keep = keep.clone();
        if let Some(spectra) = &mut recipe.spectra {
            spectra.files.clear();
            let velocity = &spectra.velocity;
            keep.extend([&velocity.column, &velocity.error, &velocity.warning].into_iter().flatten().cloned());
        }
        for path in &self.join {
            recipe.tables.push(joined(path, keep.clone())?);
        }
        Ok(Arc::new(SpectraPreparation::new(recipe)?))
    }

    fn set_duplicates(&self, recipe: &mut PrepareRecipe) {
        match self.join_duplicates {
            Some(JoinDuplicates::Error) => recipe.duplicates = Duplicates::Error,
            Some(JoinDuplicates::KeepFirst) => recipe.duplicates = Duplicates::KeepFirst,
            None => {}
        }
    }

    /// The model's bands of the standard sets whose columns the joined tables have.
    fn bands(&self, grid: &Grid, recipe: &PrepareRecipe) -> Result<Vec<PhotometricBand>> {
        let columns: BTreeSet<&String> = recipe.tables.iter().flat_map(|table| table.columns.iter().flatten()).collect();
        let mut bands: Vec<PhotometricBand> = standard_bands(grid).collect();
        bands.retain(|band| columns.contains(&band.magnitude_column) && columns.contains(&band.error_column));
        for band in &mut bands {
            band.crowding = band.crowding.take().filter(|cut| columns.contains(&cut.column));
        }
        let missing =
            grid.names.iter().filter(|name| !name.starts_with(XP_SAMPLE) && !bands.iter().any(|band| band.name == **name));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if !missing.is_empty() {
            warn_once(format!("no joined table has magnitudes of {}: missing for every star", missing.join(", ")));
        }
        Ok(bands)
    }
}

/// Some names: of many, the first and the last.
fn ends(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 20 => format!("{} entries, {first} to {last}", names.len()),
        _ => names.join(", "),
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
            .found(format!("a model of {}", ends(&grid.names)))
            .expected("a model whose data vector begins with XP samples (xp_392, ...)")
            .remedy(
                "Spectra other than XP spectra need a recipe (--prepare); observations that are prepared already are fitted without --join, \
                 --prepare and --instrument.",
            ));
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

/// A table to be joined, or the tables in a folder as one.
fn joined(path: &Path, wanted: BTreeSet<String>) -> Result<TableSource> {
    let files = expand(&[path.to_owned()])?;
    let first = files.first().map_or(path, PathBuf::as_path);
    if files.len() > 1 {
        warn_once(format!("--join {}: its {} tables ({}, …) are read as one", path.display(), files.len(), first.display()));
    }
    let columns = wanted_columns(first, &wanted)?;
    Ok(TableSource { columns: Some(columns), files, ..TableSource::of_file(PathBuf::new()) })
}

/// These columns and those of the standard bands of a data vector.
fn with_bands(mut wanted: BTreeSet<String>, grid: &Grid) -> BTreeSet<String> {
    for band in standard_bands(grid) {
        wanted.extend([band.magnitude_column, band.error_column]);
        wanted.extend(band.crowding.map(|cut| cut.column));
    }
    wanted
}

/// The columns of a joined table that a fit uses or carries on: those `wanted` that it has.
fn wanted_columns(path: &Path, wanted: &BTreeSet<String>) -> Result<Vec<String>> {
    let truth = wanted.contains("true_*");
    let schemas = read_schema(path)?;
    for schema in &schemas {
        let in_other_capitals = wanted.iter().find(|name| schema.name.eq_ignore_ascii_case(name));
        if let Some(name) =
            in_other_capitals.filter(|name| **name != schema.name && schemas.iter().all(|other| other.name != **name))
        {
            say_other_capitals(&path.display().to_string(), &schema.name, name);
        }
    }
    let names = schemas.into_iter().map(|schema| schema.name);
    Ok(names.filter(|name| wanted.contains(name) || truth && name.starts_with("true_")).collect())
}
