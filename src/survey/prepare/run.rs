//! The preparation of a whole catalogue, chunk after chunk.

use super::chunk::Parts;
use super::flux::FluxMaker;
use super::join::{JoinTable, Normalised, first_occurrences, id_column};
use super::samples::{FEWEST_SPECTRA, XpRows, all_refused, none_usable};
use super::used::Used;
use super::{Duplicates, Note, PrepareRecipe, TableSource, constraints};
use crate::error::{Error, Result};
use crate::quantity::Notices;
use crate::survey::source::{Source, read_all};
use crate::survey::spectra::SpectraPreparation;
use crate::survey::xp::{Fault, columns_of_spectra, refuse_epoch_spectra};
use crate::table::{self, Chunks, Table};
use crate::warning::warn_once;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Examples of unusable spectra that the summary keeps.
pub(super) const EXAMPLES: usize = 5;

/// What a preparation did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Stars written.
    pub n_stars: usize,
    /// Stars by note.
    pub noted: BTreeMap<Note, usize>,
    /// Why the first few unusable spectra are unusable.
    pub examples: Vec<String>,
    /// Rows dropped as duplicates.
    pub n_duplicates: usize,
    /// Rows of the stars' own files that are left out because they have no identifier.
    pub n_without_id: usize,
    /// Stars found in each joined table, by table (its first file).
    pub n_matched: BTreeMap<String, usize>,
    /// Rows of joined tables without a star, by table (its first file).
    pub n_unmatched: BTreeMap<String, usize>,
    /// Fibres that are no stars (sky, unassigned, stuck), left out.
    pub n_not_stars: usize,
    /// Files of spectra that could not be read, or not to their end.
    pub n_failed_files: usize,
    /// Why the first few could not.
    pub failed_files: Vec<String>,
}

impl Summary {
    /// Counts stars and their notes.
    pub(in crate::survey) fn count(&mut self, notes: impl ExactSizeIterator<Item = i32>) {
        self.n_stars += notes.len();
        for bits in notes {
            for note in Note::ALL.into_iter().filter(|note| bits & note.bit() != 0) {
                *self.noted.entry(note).or_default() += 1;
            }
        }
    }
}

/// A preparation that is set up: the recipe is valid and the tables to be joined are in memory. A clone
/// prepares other stars with the same tables, which it shares.
#[derive(Debug, Clone)]
pub struct Preparation {
    pub(super) recipe: PrepareRecipe,
    /// The recipe as text, for the metadata.
    recipe_text: String,
    /// Tables joined to the stars, with their sources.
    pub(super) tables: Vec<JoinedSource>,
    pub(super) maker: FluxMaker,
    /// The columns that are read as quantities.
    used: Used,
    seen: HashSet<i64>,
    /// Row of its file with which the next chunk of the first table begins.
    pub(super) first_row: usize,
    /// Of the first table, where it is that of the stars.
    notices: Notices,
    summary: Summary,
    /// The first spectrum of another instrument.
    of_other_instrument: Option<String>,
}

/// A table joined to the stars.
#[derive(Debug, Clone)]
pub(in crate::survey) struct JoinedSource {
    pub(super) source: TableSource,
    pub(in crate::survey) table: Arc<JoinTable>,
    /// Stars found in it so far.
    pub(in crate::survey) n_used: usize,
}

impl JoinedSource {
    /// Reads the tables of a recipe.
    ///
    /// # Errors
    /// When one cannot be read, lacks a column or has duplicate identifiers.
    pub(in crate::survey) fn read_all(sources: &[TableSource], used: &Used, duplicates: Duplicates) -> Result<Vec<Self>> {
        let read = |source: &TableSource| {
            let table = Arc::new(JoinTable::read(source, used, duplicates)?);
            Ok(Self { source: source.clone(), table, n_used: 0 })
        };
        sources.iter().map(read).collect()
    }

    /// Adds what was found in it to a summary.
    pub(in crate::survey) fn account(&self, summary: &mut Summary) {
        summary.n_duplicates += self.table.n_duplicates;
        let name = self.source.files.first().map_or_else(String::new, |file| file.display().to_string());
        *summary.n_matched.entry(name.clone()).or_default() += self.n_used;
        *summary.n_unmatched.entry(name).or_default() += self.table.n_stars() - self.n_used;
    }
}

impl Preparation {
    /// Validates the recipe and reads the tables that are joined to the stars.
    ///
    /// # Errors
    /// When the recipe is impossible or a table cannot be read, lacks a column or has duplicate identifiers.
    pub fn new(recipe: PrepareRecipe) -> Result<Self> {
        recipe.validate()?;
        if recipe.spectra.is_some() {
            return Err(Error::usage("prepare recipe, spectra")
                .found("spectra of a survey")
                .expected("XP spectra or photometry"));
        }
        let bands = recipe.photometry.bands()?;
        let used = Used::new(&recipe, &bands);
        let joined = &recipe.tables[usize::from(recipe.xp.is_none())..];
        let tables = JoinedSource::read_all(joined, &used, recipe.duplicates)?;
        let recipe_text = as_text(&recipe)?;
        let maker = FluxMaker::new(recipe.xp.clone(), bands)?;
        let (seen, notices, summary) = (HashSet::new(), Notices::default(), Summary::default());
        Ok(Self { recipe, recipe_text, tables, maker, used, seen, first_row: 0, notices, summary, of_other_instrument: None })
    }

    /// The same preparation with the data vector of a model: XP samples, then bands, by name and wavelength
    /// (nm). Bands that the recipe does not know are missing for every star.
    ///
    /// # Errors
    /// When the data vector does not begin with the recipe's XP samples, or lacks a band of the recipe or has
    /// it at another wavelength.
    pub fn for_data_vector(mut self, names: &[String], wavelengths: &[f64]) -> Result<Self> {
        self.maker.extend_to(names, wavelengths)?;
        Ok(self)
    }

    /// The chunks of a file of stars, of at most `rows` rows and with the columns that are used.
    pub(super) fn read_chunks(&self, file: &Path, rows: usize) -> Result<Chunks> {
        let Some(xp) = &self.recipe.xp else { return table::read_chunks(file, rows) };
        let schemas = table::read_schema(file)?;
        let names = schemas.iter().map(|schema| schema.name.as_str());
        refuse_epoch_spectra(names).map_err(|error| error.within(file.display()))?;
        let chunks = match columns_of_spectra(&schemas, &xp.columns) {
            Some((_, columns)) => table::read_column_chunks(file, &columns, rows)?,
            None => table::read_chunks(file, rows)?,
        };
        if xp.columns.is_empty() {
            return Ok(chunks);
        }
        let columns = xp.columns.clone();
        Ok(Box::new(chunks.map(move |chunk| columns.renamed(chunk?))))
    }

    /// Fails when there were spectra, none could be used and some were of another instrument: the file is
    /// then the wrong one, or its instrument was not named.
    pub(super) fn require_usable(&self) -> Result<()> {
        let (n, n_unusable) = (self.summary.n_stars, self.summary.noted.get(&Note::SpectrumUnusable).copied().unwrap_or(0));
        match (self.maker.spectrum_options(), &self.of_other_instrument) {
            (Some(options), Some(example)) if n == n_unusable => Err(all_refused(n, example, options)),
            (Some(_), None) if n == n_unusable && n >= FEWEST_SPECTRA => Err(none_usable(n)),
            _ => Ok(()),
        }
    }

    /// What has been done.
    pub(super) fn finish(self) -> Summary {
        let mut summary = self.summary;
        if let Some(source) = self.recipe.tables.first() {
            self.notices.say_beyond(&source.name());
            if summary.n_without_id > 0 {
                let place = source.name();
                warn_once(format!("{place}: {} rows without an identifier are left out", summary.n_without_id));
            }
        }
        self.tables.iter().for_each(|joined| joined.account(&mut summary));
        summary
    }

    /// The observation file's rows for a chunk of the stars' own file (XP spectra or the first table), in its
    /// order.
    ///
    /// # Errors
    /// When a column is absent or of the wrong type, or an identifier occurs twice.
    pub fn chunk(&mut self, chunk: Table) -> Result<Table> {
        let n_rows = chunk.n_rows();
        let Normalised { table: chunk, rows: file_rows } = match (&self.recipe.xp, self.recipe.tables.first()) {
            (None, Some(source)) => {
                let normalised = source.normalise(chunk, &self.used, self.first_row, &mut self.notices)?;
                source.say_unread(&normalised.table, &source.name());
                self.notices.say_units(&source.name());
                normalised
            }
            _ => Normalised { table: chunk, rows: (self.first_row..self.first_row + n_rows).collect() },
        };
        let options = self.maker.spectrum_options().cloned();
        self.first_row += n_rows;
        let ids = chunk.column("source_id")?.to_i64()?;
        self.summary.n_without_id += n_rows - ids.len();
        let rows = first_occurrences(&ids, &file_rows, self.recipe.duplicates, &mut self.seen)?;
        self.summary.n_duplicates += ids.len() - rows.len();
        let (chunk, ids) = match rows.len() == ids.len() {
            true => (chunk, ids),
            false => (chunk.select(&rows), rows.iter().map(|&row| ids[row]).collect()),
        };
        let (spectra, mut stars) = match &options {
            Some(options) => (Some(XpRows::new(&chunk, options, &self.maker)?), Table::new(vec![id_column(&ids)])?),
            None => (None, chunk),
        };
        for JoinedSource { table, n_used, .. } in &mut self.tables {
            *n_used += table.join(&ids, &mut stars)?;
        }
        let mut notes = vec![0; ids.len()];
        let flux = self.maker.make(spectra.as_ref(), &stars, &mut notes)?;
        let constraints = constraints::take(&self.recipe, &mut stars, &mut notes)?;
        self.summary.count(notes.iter().copied());
        let of_instrument =
            |(row, fault): &(usize, Fault)| fault.is_of_instrument().then(|| format!("source_id {}: {fault}", ids[*row]));
        if self.of_other_instrument.is_none() {
            self.of_other_instrument = flux.faults.iter().find_map(of_instrument);
        }
        let faults = flux.faults.iter().map(|(row, fault)| format!("source_id {}: {fault}", ids[*row]));
        let room = EXAMPLES - self.summary.examples.len();
        self.summary.examples.extend(faults.take(room));
        Parts { id: id_column(&ids), flux, constraints, notes, others: stars }.assemble(&self.maker, &self.recipe_text)
    }
}

/// A recipe as text, for the metadata. Names of files that are not UTF-8, which TOML cannot hold, are shown
/// as well as can be; whoever opens them warns.
///
/// # Errors
/// When it has other values that TOML cannot hold.
pub(in crate::survey) fn as_text(recipe: &PrepareRecipe) -> Result<String> {
    let mut recipe = recipe.clone();
    for file in recipe.files_mut().filter(|file| file.to_str().is_none()) {
        *file = file.to_string_lossy().into_owned().into();
    }
    toml::to_string(&recipe).map_err(|error| Error::usage("prepare recipe").found("values that TOML cannot hold").source(error))
}

/// What a recipe makes of its survey.
///
/// # Errors
/// When the recipe is impossible or a table cannot be read, lacks a column or has duplicate identifiers.
pub fn source_of(recipe: PrepareRecipe) -> Result<Box<dyn Source>> {
    match recipe.spectra {
        Some(_) => Ok(Box::new(SpectraPreparation::new(recipe)?)),
        None => Ok(Box::new(Preparation::new(recipe)?)),
    }
}

/// Prepares an observation file: reads the recipe's inputs and writes `output` (Parquet, FITS, ECSV or CSV by
/// its extension).
///
/// # Errors
/// As [`source_of`] and [`read_all`], and when the output exists without `overwrite` or cannot be written.
/// Nothing is left behind then.
pub fn prepare(recipe: PrepareRecipe, output: &Path, overwrite: bool) -> Result<Summary> {
    recipe.validate()?;
    let mut writer = table::Writer::create(output, overwrite)?;
    let summary = read_all(source_of(recipe)?.as_ref(), |chunk| writer.write(&chunk))?;
    writer.finish()?;
    Ok(summary)
}

#[cfg(test)]
mod tests;
