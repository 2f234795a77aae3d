//! XP spectra and tables of photometry as a source of stars.

use super::recipe::expand;
use super::run::{EXAMPLES, as_text};
use super::{Preparation, Summary};
use crate::error::Result;
use crate::prefetch::prefetch;
use crate::survey::source::{Source, SourceChunk, SourceReader, Stars};
use crate::survey::xp::{DEFAULT_INSTRUMENT, SpectrumKind, columns_of_spectra};
use crate::table::{self, Table};
use std::path::{Path, PathBuf};

/// Stars held in memory at once (about 150 MB with XP spectra at 61 samples).
const CHUNK: usize = 2048;

impl Source for Preparation {
    fn files(&self) -> Result<Vec<PathBuf>> {
        match (&self.recipe.xp, self.recipe.tables.first()) {
            (Some(xp), _) => expand(&xp.files),
            (None, first) => expand(first.map_or(&[], |table| &table.files)),
        }
    }

    /// Continuous spectra: those that are sampled are taken for fluxes.
    fn takes(&self, file: &Path) -> Result<bool> {
        let schemas = table::read_schema(file)?;
        let kind = self.recipe.xp.as_ref().and_then(|xp| columns_of_spectra(&schemas, &xp.columns));
        Ok(kind.is_some_and(|(kind, _)| kind == SpectrumKind::Continuous))
    }

    fn n_stars(&self, file: &Path) -> Result<Option<usize>> {
        table::row_count(file)
    }

    /// The recipe in TOML without the names of its files, and its instrument.
    fn choices(&self) -> Result<String> {
        let mut recipe = self.recipe.clone();
        recipe.xp.iter_mut().for_each(|xp| xp.files.clear());
        recipe.tables.iter_mut().for_each(|table| table.files.clear());
        let mut text = as_text(&recipe)?;
        // What a file of that name contains, which may be another time than another.
        if let (Some(xp), Some(options)) = (&recipe.xp, self.maker.spectrum_options())
            && xp.instrument != DEFAULT_INSTRUMENT
        {
            text += &format!("# instrument {}\n", options.instrument.identity());
        }
        Ok(text)
    }

    fn joined_files(&self) -> Result<Vec<PathBuf>> {
        let files = self.tables.iter().map(|joined| expand(&joined.source.files)).collect::<Result<Vec<_>>>()?;
        Ok(files.concat())
    }

    fn reader(&self) -> Box<dyn SourceReader> {
        Box::new(PreparationReader { preparation: self.clone(), file: None, places: Vec::new() })
    }
}

/// Files that are prepared one after the other.
struct PreparationReader {
    preparation: Preparation,
    file: Option<OpenFile>,
    /// The first few files, for messages.
    places: Vec<String>,
}

struct OpenFile {
    path: PathBuf,
    chunks: Box<dyn Iterator<Item = Result<Table>> + Send>,
    n_rows: usize,
}

impl PreparationReader {
    fn open(&mut self, path: PathBuf) -> Result<OpenFile> {
        self.preparation.first_row = 0;
        let chunks = prefetch(self.preparation.read_chunks(&path, CHUNK)?, 1);
        if self.places.len() < EXAMPLES {
            self.places.push(path.display().to_string());
        }
        Ok(OpenFile { path, chunks, n_rows: 0 })
    }
}

impl SourceReader for PreparationReader {
    fn next(&mut self, files: &mut dyn FnMut() -> Option<PathBuf>, stars: &mut dyn Stars) -> Result<Option<SourceChunk>> {
        loop {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => match files() {
                    Some(path) => self.open(path)?,
                    None => break,
                },
            };
            let Some(chunk) = file.chunks.next() else { continue };
            let mut chunk = chunk?;
            let (first, n_read) = (file.n_rows, chunk.n_rows());
            file.n_rows += n_read;
            let place = format!("{}, rows {first}\u{2013}{}", file.path.display(), file.n_rows.saturating_sub(1));
            if self.preparation.recipe.xp.is_some() {
                let column = chunk.column("source_id").map_err(|error| error.within(file.path.display()))?;
                stars.note(column, &file.path, first)?;
                let ids = column.to_i64().map_err(|error| error.within(&place))?;
                let rows: Vec<usize> = (0..n_read).filter(|&row| stars.wants(ids[row])).collect();
                if rows.len() < n_read {
                    chunk = chunk.select(&rows);
                }
            }
            let table = self.preparation.chunk(chunk).map_err(|error| error.within(&place))?;
            let path = file.path.clone();
            self.file = Some(file);
            return Ok(Some(SourceChunk { file: path, place, n_read, table }));
        }
        self.preparation.require_usable().map_err(|error| error.within(self.places.join(", ")))?;
        Ok(None)
    }

    fn summary(self: Box<Self>) -> Summary {
        self.preparation.finish()
    }
}
