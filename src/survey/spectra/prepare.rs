//! The preparation of many spectra: file after file, in chunks of bounded size, the stars of a chunk in
//! parallel.

use super::fact::{Conversions, convert};
use super::identifiers::file_key;
use super::observed::{ObservedSpectrum, Spectra, read_spectra};
use super::output::Header;
use super::repeats::{Repeats, Turn};
use super::source::Shared;
use super::star::{Exposure, Finished, Star};
use crate::error::{Error, Result};
use crate::survey::prepare::{Duplicates, JoinedSource, Note, Summary, constraints, id_column};
use crate::survey::source::{SourceChunk, SourceReader, Stars};
use crate::table::{Table, file_of};
use crate::warning::warn_once;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Spectra taken at once.
const BATCH: usize = 64;
/// Examples of spectra and files that cannot be used, that the summary keeps.
const EXAMPLES: usize = 5;

/// Files that are being read.
pub(super) struct Run {
    shared: Arc<Shared>,
    tables: Vec<JoinedSource>,
    header: Header,
    /// Files that are open, the one that is read first; many only where each has one spectrum.
    opened: VecDeque<OpenFile>,
    /// Spectra that wait to be worked on.
    waiting: Vec<(i64, ObservedSpectrum)>,
    /// Stars of which exposures are to follow, by the identifiers of the file: two of them may be those of
    /// one star of another catalogue.
    open: HashMap<i64, OpenStar>,
    /// What is known of the stars of several files, where these are joined: they are open by the identifiers
    /// that they get.
    repeats: Option<Repeats>,
    n_opened: usize,
    finished: VecDeque<Finished>,
    /// The first few files, for messages, and their number.
    places: Vec<String>,
    n_files: usize,
    /// Spectra taken since the last chunk.
    n_spectra: usize,
    /// Whether a chunk was given, be it one without stars.
    has_given: bool,
    seen: HashSet<i64>,
    summary: Summary,
    first_fault: Option<Error>,
    /// Files that have failed.
    failed: HashSet<PathBuf>,
    n_read: usize,
}

/// A star of which exposures may follow.
struct OpenStar {
    /// As they came.
    number: usize,
    /// Whether no star before had its identifier.
    is_first: bool,
    star: Star,
}

/// A file that is being read, or could not be opened.
struct OpenFile {
    path: PathBuf,
    spectra: Result<Spectra>,
    /// Whether nothing of it has failed.
    is_whole: bool,
    /// Whether it is known how many of its fibres are no stars.
    is_begun: bool,
    /// How its facts come into the units of the files before.
    conversions: Conversions,
}

impl SourceReader for Run {
    fn next(&mut self, files: &mut dyn FnMut() -> Option<PathBuf>, stars: &mut dyn Stars) -> Result<Option<SourceChunk>> {
        while self.finished.len() < self.shared.rows_per_chunk {
            if self.opened.is_empty() && !self.open_next(files, stars)? {
                self.at_end()?;
                break;
            }
            self.read(stars)?;
        }
        let n = self.finished.len().min(self.shared.rows_per_chunk);
        if n == 0 && self.has_given {
            return Ok(None);
        }
        self.has_given = true;
        let rows: Vec<Finished> = self.finished.drain(..n).collect();
        let place = match rows.as_slice() {
            [] => self.places.join(", "),
            [one] => one.place.clone(),
            [first, .., last] => format!("{} to {}", first.place, last.place),
        };
        let file = PathBuf::from(self.places.first().map_or("", String::as_str));
        Ok(Some(SourceChunk { file, place, n_read: std::mem::take(&mut self.n_spectra), table: self.chunk(rows)? }))
    }

    fn summary(mut self: Box<Self>) -> Summary {
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
        self.summary
    }
}

impl Run {
    /// Before the first file.
    pub fn new(shared: Arc<Shared>, tables: Vec<JoinedSource>) -> Self {
        Self {
            header: Header::new(shared.recipe_text.clone(), &shared.source),
            repeats: shared.source.join_files.then(Repeats::default),
            shared,
            tables,
            opened: VecDeque::new(),
            waiting: Vec::new(),
            open: HashMap::new(),
            n_opened: 0,
            finished: VecDeque::new(),
            places: Vec::new(),
            n_files: 0,
            n_spectra: 0,
            has_given: false,
            seen: HashSet::new(),
            summary: Summary::default(),
            first_fault: None,
            failed: HashSet::new(),
            n_read: 0,
        }
    }

    /// Opens the next file: of stars that are joined over files, after all have been counted, pass after
    /// pass; returns whether there is one.
    fn open_next(&mut self, files: &mut dyn FnMut() -> Option<PathBuf>, stars: &dyn Stars) -> Result<bool> {
        let Some(mut repeats) = self.repeats.take() else { return Ok(self.open_files(files)) };
        let shared = Arc::clone(&self.shared);
        repeats.begin(files, stars, (&shared.identifiers, &shared.options));
        let mut is_open = self.open_files(&mut || repeats.next_file());
        if !is_open {
            self.finish_open()?;
            is_open = repeats.end_pass() && self.open_files(&mut || repeats.next_file());
        }
        self.repeats = Some(repeats);
        Ok(is_open)
    }

    /// Opens the next file, and where that has one spectrum many at once; returns whether there is one.
    fn open_files(&mut self, files: &mut dyn FnMut() -> Option<PathBuf>) -> bool {
        let Some(first) = files() else { return false };
        let options = &self.shared.options;
        let open = |path: PathBuf| OpenFile {
            spectra: read_spectra(&path, options),
            path,
            is_whole: true,
            is_begun: false,
            conversions: Conversions::new(),
        };
        let first = open(first);
        let is_single = matches!(&first.spectra, Ok(spectra) if spectra.layout.is_single());
        let more: Vec<PathBuf> = if is_single { std::iter::from_fn(files).take(BATCH - 1).collect() } else { Vec::new() };
        let mut opened = vec![first];
        opened.par_extend(more.into_par_iter().map(open));
        self.n_files += opened.len();
        let places = opened.iter().map(|file| file.path.display().to_string());
        self.places.extend(places.take(EXAMPLES.saturating_sub(self.places.len())));
        self.opened = opened.into();
        true
    }

    /// Takes spectra of the first open file, to its end or as many as are worked on at once. One that breaks
    /// off gives what came before, and is named.
    fn read(&mut self, stars: &mut dyn Stars) -> Result<()> {
        let Some(mut file) = self.opened.pop_front() else { return Ok(()) };
        match std::mem::replace(&mut file.spectra, Err(Error::data(""))) {
            Err(error) => self.failed(&file.path, error),
            Ok(mut spectra) => {
                if !std::mem::replace(&mut file.is_begun, true) {
                    if self.is_first_pass() {
                        self.summary.n_not_stars += spectra.n_not_stars;
                    }
                    file.conversions = self.header.facts.learn_types(&spectra.fact_types, &file.path.display().to_string())?;
                }
                let key = file_key(&file_of(&file.path));
                let is_single = spectra.layout.is_single();
                while let Some(observed) = spectra.next() {
                    match observed {
                        Ok(mut observed) => {
                            convert(&mut observed.facts, &file.conversions);
                            self.take((&key, &file.path), observed, stars)?;
                        }
                        Err(error) => {
                            self.failed(&file.path, error);
                            file.is_whole = false;
                        }
                    }
                    if !is_single && self.waiting.len() >= BATCH {
                        file.spectra = Ok(spectra);
                        self.opened.push_front(file);
                        return self.work();
                    }
                }
                if file.is_whole {
                    self.n_read += 1;
                }
                if !is_single {
                    self.work()?;
                    if self.repeats.is_none() {
                        self.finish_open()?;
                    }
                }
            }
        }
        if self.opened.is_empty() { self.work() } else { Ok(()) }
    }

    /// Ends stars of which exposures were to follow that a damaged file does not have any more.
    fn finish_open(&mut self) -> Result<()> {
        let mut left: Vec<OpenStar> = self.open.drain().map(|(_, open)| open).collect();
        left.sort_unstable_by_key(|open| open.number);
        self.finish(left)
    }

    /// Whether files are read for the first time, as they always are where stars are not joined over files.
    fn is_first_pass(&self) -> bool {
        self.repeats.as_ref().is_none_or(Repeats::is_first_pass)
    }

    /// Once all files are read: fails when none could be, or none of the spectra comes into the rest frame.
    fn at_end(&mut self) -> Result<()> {
        if let Some(error) = self.first_fault.take_if(|_| self.n_read == 0) {
            return Err(error);
        }
        let without = self.summary.noted.get(&Note::VelocityMissing).copied().unwrap_or(0)
            + self.finished.iter().filter(|star| star.notes & Note::VelocityMissing.bit() != 0).count();
        let n_stars = self.summary.n_stars + self.finished.len();
        if n_stars == 0 || without < n_stars {
            return Ok(());
        }
        let more = if self.n_files > self.places.len() { ", …" } else { "" };
        Err(Error::usage(format!("{}{more}", self.places.join(", ")))
            .found("no spectrum with a radial velocity")
            .expected("velocities by which spectra come into the rest frame")
            .remedy(
                "Join a table that has them ([[tables]]) and name its column: velocity = { source = \"column\", column = \"VRAD\" } under \
                 [spectra]; or say velocity = { source = \"none\" } for spectra in the rest frame.",
            ))
    }

    fn failed(&mut self, file: &Path, error: Error) {
        if !self.failed.insert(file.to_owned()) {
            return;
        }
        let error = error.within(file.display());
        self.summary.n_failed_files += 1;
        if self.summary.failed_files.len() < EXAMPLES {
            self.summary.failed_files.push(error.to_string());
        }
        self.first_fault.get_or_insert(error);
    }

    fn take(&mut self, (key, file): (&str, &Path), mut observed: ObservedSpectrum, stars: &mut dyn Stars) -> Result<()> {
        let is_first_pass = self.is_first_pass();
        let Some(id) = self.shared.identifiers.of(key, observed.id) else {
            let n = usize::from(is_first_pass);
            self.summary.n_without_id += n;
            self.n_spectra += n * usize::from(observed.n_following == 0);
            return Ok(());
        };
        if !stars.wants(id) {
            self.n_spectra += usize::from(is_first_pass && observed.n_following == 0);
            return Ok(());
        }
        if let Some(repeats) = &mut self.repeats {
            match repeats.turn(id, file, self.shared.most_open) {
                Turn::Now(n_following) => observed.n_following = n_following,
                Turn::NotNow => return Ok(()),
            }
        }
        self.n_spectra += usize::from(observed.n_following == 0);
        self.header.require_unit(&observed.flux_unit, &observed.place)?;
        self.header.facts.learn_facts(&observed.facts);
        self.waiting.push((id, observed));
        Ok(())
    }

    /// Works on the spectra that wait: all in parallel, and then the stars that are complete.
    fn work(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let (pipeline, velocities) = (&self.shared.pipeline, &self.shared.velocities);
        let expose = |(id, observed): &(i64, ObservedSpectrum)| pipeline.expose(observed, velocities.of(*id, observed));
        let exposures: Vec<Result<Exposure>> = waiting.par_iter().map(expose).collect();
        let mut complete = Vec::new();
        for ((id, observed), exposure) in waiting.into_iter().zip(exposures) {
            let n_following = observed.n_following;
            let own = observed.id.filter(|_| self.repeats.is_none()).unwrap_or(id);
            let mut open = self.open.remove(&own).unwrap_or_else(|| {
                self.n_opened += 1;
                let is_first = self.seen.insert(id);
                OpenStar { number: self.n_opened, is_first, star: Star::new(id, observed.place, observed.facts) }
            });
            open.star.add(exposure?, pipeline.is_normalised());
            match n_following {
                0 => complete.push(open),
                _ => drop(self.open.insert(own, open)),
            }
        }
        self.finish(complete)
    }

    fn finish(&mut self, stars: Vec<OpenStar>) -> Result<()> {
        let mut first = Vec::with_capacity(stars.len());
        for OpenStar { is_first, star, .. } in stars {
            if is_first {
                first.push(star);
            } else if self.shared.recipe.duplicates == Duplicates::KeepFirst {
                self.summary.n_duplicates += 1;
            } else {
                return Err(Error::data(star.place)
                    .found(format!("the identifier {} again", star.id))
                    .expected("every star once")
                    .remedy(
                        "Leave one of the files out, keep the first spectrum of each star (duplicates = \"keep-first\" in the recipe), or \
                         join them as exposures: join_files = true under [spectra].",
                    ));
            }
        }
        let pipeline = &self.shared.pipeline;
        self.finished.par_extend(first.into_par_iter().map(|star| pipeline.finish(star)));
        Ok(())
    }

    fn chunk(&mut self, mut stars: Vec<Finished>) -> Result<Table> {
        let ids: Vec<i64> = stars.iter().map(|star| star.id).collect();
        let mut joined = Table::new(vec![id_column(&ids)])?;
        for source in &mut self.tables {
            source.n_used += source.table.join(&ids, &mut joined)?;
        }
        let mut notes: Vec<i32> = stars.iter().map(|star| star.notes).collect();
        let constraints = constraints::take(&self.shared.recipe, &mut joined, &mut notes)?;
        for (star, notes) in stars.iter_mut().zip(notes) {
            star.notes = notes;
            if let Some(fault) = star.fault.as_ref().filter(|_| self.summary.examples.len() < EXAMPLES) {
                self.summary.examples.push(format!("{}: {fault}", star.place));
            }
        }
        self.summary.count(stars.iter().map(|star| star.notes));
        self.header.table(stars, constraints, &joined, &self.shared.pipeline)
    }
}
