//! Files of spectra as a source of stars: what a recipe makes of them, and which files it names.

use super::SpectraSource;
use super::identifiers::Identifiers;
use super::observed::ReadOptions;
use super::prepare::Run;
use super::star::Pipeline;
use super::velocity::Velocities;
use crate::error::{Error, Result};
use crate::survey::prepare::{JoinedSource, PrepareRecipe, Used, as_text, expand};
use crate::survey::source::{Source, SourceReader};
use crate::table::file_of;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of flux and errors of a chunk of the output.
const CHUNK_BYTES: usize = 32 << 20;
/// Bytes of the stars that are open because exposures are to follow in other files, and of a pixel of one:
/// five sums for each of three arms.
const OPEN_BYTES: usize = 256 << 20;
const BYTES_OF_A_PIXEL: usize = 3 * 5 * 8;

/// A preparation of spectra that is set up: the recipe is valid, and tables are in memory. Its readers share
/// them.
#[derive(Debug, Clone)]
pub struct SpectraPreparation {
    shared: Arc<Shared>,
    tables: Vec<JoinedSource>,
}

/// What does not change while files are read.
#[derive(Debug)]
pub(super) struct Shared {
    pub recipe: PrepareRecipe,
    pub source: SpectraSource,
    /// The recipe as text, for the metadata.
    pub recipe_text: String,
    pub options: ReadOptions,
    pub identifiers: Identifiers,
    pub pipeline: Pipeline,
    pub velocities: Velocities,
    pub rows_per_chunk: usize,
    /// Stars of several files that may be open at once.
    pub most_open: usize,
}

impl SpectraPreparation {
    /// Validates the recipe and reads its tables.
    ///
    /// # Errors
    /// When the recipe is impossible or not of spectra, or a table cannot be used.
    pub fn new(recipe: PrepareRecipe) -> Result<Self> {
        recipe.validate()?;
        let source = recipe
            .spectra
            .clone()
            .ok_or_else(|| Error::usage("prepare recipe").found("no [spectra]").expected("a recipe of a survey's spectra"))?;
        let pipeline = Pipeline::new(&source)?;
        let used = Used::new(&recipe, &[]);
        let tables = JoinedSource::read_all(&recipe.tables, &used, recipe.duplicates)?;
        let options = ReadOptions {
            layout: source.layout,
            carry: source.carry.clone(),
            line_spread: source.line_spread,
            or_mask: source.or_mask,
            columns: source.columns.clone(),
        };
        let shared = Shared {
            recipe_text: as_text(&recipe)?,
            options,
            identifiers: Identifiers::read(source.identifiers.as_ref())?,
            rows_per_chunk: (CHUNK_BYTES / (8 * pipeline.grid().len())).clamp(16, 8192),
            most_open: (OPEN_BYTES / (BYTES_OF_A_PIXEL * pipeline.grid().len())).clamp(16, 65_536),
            pipeline,
            velocities: Velocities::new(&source.velocity, &tables)?,
            source,
            recipe,
        };
        Ok(Self { shared: Arc::new(shared), tables })
    }

    /// The same with another limit to the stars of several files that are open at once.
    #[cfg(test)]
    pub(super) fn with_most_open(mut self, most_open: usize) -> Self {
        Arc::get_mut(&mut self.shared).unwrap().most_open = most_open;
        self
    }
}

impl Source for SpectraPreparation {
    fn files(&self) -> Result<Vec<PathBuf>> {
        files(&self.shared.source)
    }

    /// Every file: one that is not of a survey is named by the reader.
    fn takes(&self, _file: &Path) -> Result<bool> {
        Ok(true)
    }

    fn n_stars(&self, _file: &Path) -> Result<Option<usize>> {
        Ok(None)
    }

    fn choices(&self) -> Result<String> {
        let mut recipe = self.shared.recipe.clone();
        if let Some(spectra) = &mut recipe.spectra {
            spectra.files.clear();
            spectra.identifiers.iter_mut().for_each(|identifiers| identifiers.files.clear());
        }
        recipe.tables.iter_mut().for_each(|table| table.files.clear());
        as_text(&recipe)
    }

    fn joined_files(&self) -> Result<Vec<PathBuf>> {
        let tables = self.shared.recipe.tables.iter().map(|table| &table.files);
        let identifiers = self.shared.source.identifiers.iter().map(|identifiers| &identifiers.files);
        Ok(tables.chain(identifiers).map(|files| expand(files)).collect::<Result<Vec<_>>>()?.concat())
    }

    fn reader(&self) -> Box<dyn SourceReader> {
        Box::new(Run::new(self.shared.clone(), self.tables.clone()))
    }
}

/// The files of the recipe, in the order of their names.
fn files(source: &SpectraSource) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if source.files.is_empty() {
        return Err(Error::usage("prepare recipe, spectra.files")
            .found("no files")
            .expected("at least one file or folder")
            .remedy("Name them."));
    }
    for entry in &source.files {
        if !entry.is_dir() {
            if !file_of(entry).is_file() {
                return Err(Error::data(entry.display().to_string())
                    .found("no such file or folder")
                    .remedy("Correct the path in the recipe; it is relative to the working directory."));
            }
            files.push(entry.clone());
            continue;
        }
        for found in walkdir::WalkDir::new(entry).follow_links(true).sort_by_file_name() {
            let found = found.map_err(|error| Error::data(entry.display().to_string()).found(error.to_string()).source(error))?;
            let name = found.file_name().to_string_lossy();
            if found.file_type().is_file() && !name.starts_with('.') && matches(&source.pattern, &name) {
                files.push(found.into_path());
            }
        }
    }
    match files.is_empty() {
        true => Err(Error::data("prepare recipe, spectra.files")
            .found(format!("no files whose names are as '{}'", source.pattern))
            .expected("at least one")
            .remedy("Correct the paths, or `pattern`.")),
        false => Ok(files),
    }
}

/// Whether a name is as a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod pattern_tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, is) in [
            ("*", "a.fits", true),
            ("coadd-*", "coadd-main-bright-1.fits", true),
            ("coadd-*", "redrock-main.fits", false),
            ("spec-*-*.fits.gz", "spec-1-2.fits.gz", true),
            ("*.fits", "a.fits.gz", false),
            ("a.fits", "a.fits", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
