//! The preparation of many spectra: file after file, in chunks of bounded size, the stars of a chunk in
//! parallel.

use super::SpectraSource;
use super::identifiers::{Identifiers, file_key};
use super::observed::{ObservedSpectrum, ReadOptions, Spectra, read_spectra};
use super::output::Header;
use super::star::{Exposure, Finished, Pipeline, Star};
use super::velocity::Velocities;
use crate::error::{Error, Result};
use crate::survey::prepare::{Duplicates, JoinedSource, Note, PrepareRecipe, Summary, Used, constraints, id_column};
use crate::table::{Table, file_of};
use crate::warning::warn_once;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Spectra taken at once.
const BATCH: usize = 64;
/// Bytes of flux and errors of a chunk of the output.
const CHUNK_BYTES: usize = 32 << 20;
/// Examples of spectra and files that cannot be used, that the summary keeps.
const EXAMPLES: usize = 5;

/// Prepares the spectra of a recipe and hands every chunk of the observation file to `sink`, in the order
/// of the input.
///
/// # Errors
/// When the recipe or a joined table cannot be used, no file could be read, an identifier occurs twice, or
/// `sink` fails. A file that cannot be read is left out and named in the summary; a spectrum that cannot be
/// used is a row without flux, with [`Note`]s.
pub(in crate::survey) fn prepare(
    recipe: &PrepareRecipe,
    source: &SpectraSource,
    recipe_text: String,
    mut sink: impl FnMut(Table) -> Result<()>,
) -> Result<Summary> {
    let mut run = Run::new(recipe, source, recipe_text)?;
    let files = files(source)?;
    let mut next = 0;
    while next < files.len() {
        // One spectrum a file: many files at once. Many spectra: one file after the other.
        let opened = run.open(&files[next]);
        let is_single = matches!(&opened, Ok(spectra) if spectra.layout.is_single());
        let end = if is_single { files.len().min(next + BATCH) } else { next + 1 };
        let mut batch = vec![opened];
        batch.par_extend(files[next + 1..end].par_iter().map(|file| run.open(file)));
        for (file, spectra) in files[next..end].iter().zip(batch) {
            run.file(file, spectra, &mut sink)?;
        }
        run.work(&mut sink)?;
        next = end;
    }
    run.close(&files, sink)
}

/// The files of the recipe, in the order of their names.
fn files(source: &SpectraSource) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
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

struct Run<'a> {
    recipe: &'a PrepareRecipe,
    pipeline: Pipeline,
    options: ReadOptions,
    identifiers: Identifiers,
    tables: Vec<JoinedSource>,
    velocities: Velocities,
    header: Header,
    /// Spectra that wait to be worked on, with the names of their files.
    waiting: Vec<(i64, ObservedSpectrum)>,
    /// Stars of which exposures are to follow, numbered as they came.
    open: HashMap<i64, (usize, Star)>,
    n_opened: usize,
    finished: Vec<Finished>,
    rows_per_chunk: usize,
    seen: HashSet<i64>,
    summary: Summary,
    first_fault: Option<Error>,
    n_read: usize,
}

impl<'a> Run<'a> {
    fn new(recipe: &'a PrepareRecipe, source: &SpectraSource, recipe_text: String) -> Result<Self> {
        let pipeline = Pipeline::new(source)?;
        let used = Used::new(recipe, &[]);
        let tables = JoinedSource::read_all(&recipe.tables, &used, recipe.duplicates)?;
        let rows_per_chunk = (CHUNK_BYTES / (8 * pipeline.grid().len())).clamp(16, 8192);
        Ok(Self {
            options: ReadOptions {
                layout: source.layout,
                carry: source.carry.clone(),
                line_spread: source.line_spread,
                or_mask: source.or_mask,
                columns: source.columns.clone(),
            },
            identifiers: Identifiers::read(source.identifiers.as_ref())?,
            header: Header::new(recipe_text, source),
            recipe,
            pipeline,
            velocities: Velocities::new(&source.velocity, &tables)?,
            tables,
            waiting: Vec::new(),
            open: HashMap::new(),
            n_opened: 0,
            finished: Vec::new(),
            rows_per_chunk,
            seen: HashSet::new(),
            summary: Summary::default(),
            first_fault: None,
            n_read: 0,
        })
    }

    fn open(&self, file: &Path) -> Result<Spectra> {
        read_spectra(file, &self.options)
    }

    /// Takes the spectra of a file. One that breaks off gives what came before, and is named.
    fn file(&mut self, file: &Path, spectra: Result<Spectra>, sink: &mut impl FnMut(Table) -> Result<()>) -> Result<()> {
        let spectra = match spectra {
            Ok(spectra) => spectra,
            Err(error) => {
                self.failed(file, error);
                return Ok(());
            }
        };
        self.summary.n_not_stars += spectra.n_not_stars;
        self.header.facts.learn_types(&spectra.fact_types);
        let key = file_key(&file_of(file));
        let is_single = spectra.layout.is_single();
        let mut is_whole = true;
        for observed in spectra {
            match observed {
                Ok(observed) => self.take(&key, observed)?,
                Err(error) => {
                    self.failed(file, error);
                    is_whole = false;
                }
            }
            if !is_single && self.waiting.len() >= BATCH {
                self.work(sink)?;
            }
        }
        if is_whole {
            self.n_read += 1;
        }
        if !is_single {
            self.work(sink)?;
            // Exposures that a damaged file does not have any more.
            let mut left: Vec<(usize, Star)> = self.open.drain().map(|(_, numbered)| numbered).collect();
            left.sort_unstable_by_key(|(number, _)| *number);
            self.finish(left.into_iter().map(|(_, star)| star).collect(), sink)?;
        }
        Ok(())
    }

    fn failed(&mut self, file: &Path, error: Error) {
        let error = error.within(file.display());
        self.summary.n_failed_files += 1;
        if self.summary.failed_files.len() < EXAMPLES {
            self.summary.failed_files.push(error.to_string());
        }
        self.first_fault.get_or_insert(error);
    }

    fn take(&mut self, key: &str, observed: ObservedSpectrum) -> Result<()> {
        let Some(id) = self.identifiers.of(key, observed.id) else {
            self.summary.n_without_id += 1;
            return Ok(());
        };
        self.header.require_unit(&observed.flux_unit, &observed.place)?;
        self.header.facts.learn_facts(&observed.facts);
        self.waiting.push((id, observed));
        Ok(())
    }

    /// Works on the spectra that wait: all in parallel, and then the stars that are complete.
    fn work(&mut self, sink: &mut impl FnMut(Table) -> Result<()>) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let (pipeline, velocities) = (&self.pipeline, &self.velocities);
        let expose = |(id, observed): &(i64, ObservedSpectrum)| pipeline.expose(observed, velocities.of(*id, observed));
        let exposures: Vec<Result<Exposure>> = waiting.par_iter().map(expose).collect();
        let mut complete = Vec::new();
        for ((id, observed), exposure) in waiting.into_iter().zip(exposures) {
            let n_following = observed.n_following;
            let (number, mut star) = self.open.remove(&id).unwrap_or_else(|| {
                self.n_opened += 1;
                (self.n_opened, Star::new(id, observed.place, observed.facts))
            });
            star.add(exposure?);
            match n_following {
                0 => complete.push(star),
                _ => drop(self.open.insert(id, (number, star))),
            }
        }
        self.finish(complete, sink)
    }

    fn finish(&mut self, stars: Vec<Star>, sink: &mut impl FnMut(Table) -> Result<()>) -> Result<()> {
        let mut first = Vec::with_capacity(stars.len());
        for star in stars {
            if self.seen.insert(star.id) {
                first.push(star);
            } else if self.recipe.duplicates == Duplicates::KeepFirst {
                self.summary.n_duplicates += 1;
            } else {
                return Err(Error::data(star.place)
                    .found(format!("the identifier {} again", star.id))
                    .expected("every star once")
                    .remedy("Leave one of the files out, or keep the first spectrum of each star: duplicates = \"keep-first\" in the recipe."));
            }
        }
        let pipeline = &self.pipeline;
        self.finished.par_extend(first.into_par_iter().map(|star| pipeline.finish(star)));
        while self.finished.len() >= self.rows_per_chunk {
            let rest = self.finished.split_off(self.rows_per_chunk);
            let chunk = std::mem::replace(&mut self.finished, rest);
            sink(self.chunk(chunk)?)?;
        }
        Ok(())
    }

    fn chunk(&mut self, mut stars: Vec<Finished>) -> Result<Table> {
        let ids: Vec<i64> = stars.iter().map(|star| star.id).collect();
        let mut joined = Table::new(vec![id_column(&ids)])?;
        for source in &mut self.tables {
            source.n_used += source.table.join(&ids, &mut joined)?;
        }
        let mut notes: Vec<i32> = stars.iter().map(|star| star.notes).collect();
        let constraints = constraints::take(self.recipe, &mut joined, &mut notes)?;
        for (star, notes) in stars.iter_mut().zip(notes) {
            star.notes = notes;
            if let Some(fault) = star.fault.as_ref().filter(|_| self.summary.examples.len() < EXAMPLES) {
                self.summary.examples.push(format!("{}: {fault}", star.place));
            }
        }
        self.summary.count(stars.iter().map(|star| star.notes));
        self.header.table(stars, constraints, &joined, &self.pipeline)
    }

    fn close(mut self, files: &[PathBuf], mut sink: impl FnMut(Table) -> Result<()>) -> Result<Summary> {
        if let Some(error) = self.first_fault.take_if(|_| self.n_read == 0) {
            return Err(error);
        }
        let rest = std::mem::take(&mut self.finished);
        if !rest.is_empty() || self.summary.n_stars == 0 {
            sink(self.chunk(rest)?)?;
        }
        let without = self.summary.noted.get(&Note::VelocityMissing).copied().unwrap_or(0);
        if self.summary.n_stars > 0 && without == self.summary.n_stars {
            let mut place: Vec<String> = files.iter().take(EXAMPLES).map(|file| file.display().to_string()).collect();
            if files.len() > EXAMPLES {
                place.push("…".into());
            }
            return Err(Error::usage(place.join(", "))
                .found("no spectrum with a radial velocity")
                .expected("velocities by which spectra come into the rest frame")
                .remedy(
                    "Join a table that has them ([[tables]]) and name its column: velocity = { source = \"column\", column = \"VRAD\" } under \
                     [spectra]; or say velocity = { source = \"none\" } for spectra in the rest frame.",
                ));
        }
        for (what, n) in [
            ("fibres that are no stars (sky, unassigned, stuck)", self.summary.n_not_stars),
            ("spectra without an identifier", self.summary.n_without_id),
        ] {
            if n > 0 {
                warn_once(format!("{n} {what} are left out"));
            }
        }
        for name in self.header.facts.unknown() {
            warn_once(format!("no file has '{name}' (spectra.carry): its column is empty"));
        }
        for joined in &self.tables {
            joined.account(&mut self.summary);
        }
        Ok(self.summary)
    }
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
