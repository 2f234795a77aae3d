//! Observations that stay in their files.

use super::digest::Digest;
use super::read::{append_file, refuse_duplicates};
use super::{Observations, ReadOptions, Sample, Stars};
use crate::error::{Error, Result};
use crate::prefetch::prefetch;
use crate::table::{self, Shape, Table};
use crate::text::hexadecimal;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Fewest and most stars of a part.
const STARS_OF_A_PART: std::ops::RangeInclusive<usize> = 64..=65_536;
/// Bytes of a number while it is read, in whatever precision.
const BYTES_OF_A_NUMBER: usize = 8;

/// The stars of several files, of which only what is no flux is in memory; their fluxes are read anew, part
/// by part, for every walk.
///
/// They are the stars that the files make as one table, in that order, with the same numbers to the bit.
#[derive(Debug)]
pub struct ObservationFiles {
    paths: Vec<PathBuf>,
    options: ReadOptions,
    /// Columns, units and metadata of the first file, without rows: those of all.
    like: Table,
    stars_of_a_part: usize,
    stars: Stars,
    n_fluxes: Vec<u32>,
    sha256: String,
}

impl ObservationFiles {
    /// Walks over all files once. `options` says how they are read, from a table with the first row; a part
    /// takes about `bytes`.
    ///
    /// # Errors
    /// When there is no file or one cannot be read, files have other columns than the first or units of
    /// another kind, a row is impossible, or an identifier occurs twice.
    pub fn open(paths: &[PathBuf], bytes: usize, options: impl FnOnce(&Table) -> Result<ReadOptions>) -> Result<Self> {
        let first = paths.first().ok_or_else(|| {
            Error::usage("observations").found("no file").expected("at least one").remedy("Name the observation files.")
        })?;
        let beginning = table::read_chunks(first, 1)?.next().unwrap_or_else(|| Ok(Table::default()))?;
        let numbers: usize =
            beginning.columns().iter().filter(|column| column.n_rows() > 0).map(|column| column.range(0).len()).sum();
        let at_once = bytes / (BYTES_OF_A_NUMBER * numbers.max(1));
        let options = options(&beginning).map_err(|error| error.within(first.display()))?;
        let like = beginning.select(&[]);
        let nobody = Observations::from_table_of(&first.display().to_string(), like.clone(), &options)?;
        let mut files = Self {
            paths: paths.to_vec(),
            options,
            like,
            stars_of_a_part: at_once.clamp(*STARS_OF_A_PART.start(), *STARS_OF_A_PART.end()),
            stars: without_lists(nobody.stars),
            n_fluxes: Vec::new(),
            sha256: String::new(),
        };
        let (mut digest, mut stars) = (Digest::default(), files.stars.clone());
        for part in files.parts() {
            let part = part?;
            digest.add(&part);
            files.n_fluxes.extend((0..part.len()).map(|star| part.n_fluxes(star) as u32));
            stars.append(without_lists(part.stars))?;
        }
        refuse_duplicates(&stars.ids)?;
        files.sha256 = hexadecimal(digest.finish(&stars.grid));
        files.stars = stars;
        Ok(files)
    }

    /// All stars, part by part.
    fn parts(&self) -> impl Iterator<Item = Result<Observations>> + use<> {
        let (paths, rows) = (self.paths.clone(), self.stars_of_a_part);
        let chunks = paths.into_iter().flat_map(move |path| {
            let chunks = table::read_chunks(&path, rows).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))));
            chunks.map(move |chunk| Ok((path.clone(), chunk?)))
        });
        let (like, options) = (self.like.clone(), self.options.clone());
        prefetch(chunks, 1).map(move |chunk: Result<(PathBuf, Table)>| {
            let (path, chunk) = chunk?;
            part(&path, &like, chunk, &options).map_err(|error| error.within(path.display()))
        })
    }

    /// Fails where the stars of a part are not those that were there at the first walk.
    fn require_unchanged(&self, first: usize, part: &[i64]) -> Result<()> {
        match self.stars.ids.get(first..first + part.len()) == Some(part) {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    fn changed(&self) -> Error {
        let names: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        Error::data(names.join(", "))
            .found("other stars than a moment ago")
            .expected("files that stay as they are while a model is trained")
            .remedy("Start again when nothing writes them.")
    }
}

/// The stars of a chunk of a file, in the units of the first.
fn part(path: &Path, like: &Table, chunk: Table, options: &ReadOptions) -> Result<Observations> {
    let place = path.display().to_string();
    let mut table = like.clone();
    append_file(&mut table, chunk, &place)?;
    Observations::from_table_of(&place, table, options)
}

/// Lists may be as large as fluxes, and no cut or target looks at them.
fn without_lists(mut stars: Stars) -> Stars {
    let lists = stars.auxiliary.columns().iter().filter(|column| column.shape != Shape::Scalar);
    let names: Vec<String> = lists.map(|column| column.schema.name.clone()).collect();
    names.iter().for_each(|name| drop(stars.auxiliary.take(name)));
    stars
}

impl Sample for ObservationFiles {
    fn stars(&self) -> &Stars {
        &self.stars
    }

    fn n_fluxes(&self, star: usize) -> usize {
        self.n_fluxes[star] as usize
    }

    fn sha256(&self) -> String {
        self.sha256.clone()
    }

    fn visit(&self, stars: &[usize], visit: &mut dyn FnMut(&Observations, &[usize]) -> Result<()>) -> Result<()> {
        let (mut rest, mut first) = (stars, 0);
        let mut parts = self.parts();
        while !rest.is_empty() {
            let part = parts.next().ok_or_else(|| self.changed())??;
            self.require_unchanged(first, &part.ids)?;
            let (here, later) = rest.split_at(rest.partition_point(|&star| star < first + part.len()));
            if !here.is_empty() {
                visit(&part, &here.iter().map(|star| star - first).collect::<Vec<_>>())?;
            }
            (rest, first) = (later, first + part.len());
        }
        Ok(())
    }

    fn held(&self, stars: &[usize]) -> Result<(Cow<'_, Observations>, Vec<usize>)> {
        let mut held: Option<Observations> = None;
        self.visit(stars, &mut |part, rows| {
            let more = part.select(rows);
            match &mut held {
                Some(held) => held.append(more),
                None => {
                    held = Some(more);
                    Ok(())
                }
            }
        })?;
        let held = held.map_or_else(|| Observations::from_table(self.like.clone(), &self.options), Ok)?;
        Ok((Cow::Owned(held), (0..stars.len()).collect()))
    }
}
