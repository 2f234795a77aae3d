//! What every survey is to who reads it: files that become rows of the observation file, chunk after chunk,
//! whatever they hold.
//!
//! `prepare` writes the rows to a file; `fit` fits them as they come. A new survey is one more [`Source`].

use super::prepare::Summary;
use crate::error::Result;
use crate::table::Column;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// A survey's files and what a recipe makes of them; tables that are joined are in memory.
pub trait Source: Debug + Send + Sync {
    /// The files of stars that the recipe names.
    ///
    /// # Errors
    /// When one does not exist, or there are none.
    fn files(&self) -> Result<Vec<PathBuf>>;

    /// Whether a file is of this survey; another may be one of observations already.
    ///
    /// # Errors
    /// When it cannot be read.
    fn takes(&self, file: &Path) -> Result<bool>;

    /// Number of stars in a file, of this survey or of observations, where it says so beforehand.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn n_stars(&self, file: &Path) -> Result<Option<usize>>;

    /// What, beside the content of files, decides the rows.
    ///
    /// # Errors
    /// When it cannot be written as text.
    fn choices(&self) -> Result<String>;

    /// The files whose content decides the rows too: joined tables and the like.
    ///
    /// # Errors
    /// When one has gone since they were read.
    fn joined_files(&self) -> Result<Vec<PathBuf>>;

    /// Begins to read.
    fn reader(&self) -> Box<dyn SourceReader>;
}

/// Files of a [`Source`] that are being read, one after the other.
pub trait SourceReader: Send {
    /// The next stars. Files are asked for as they are needed, and `stars` decides which stars are prepared;
    /// `None` once there are no more files, after which more may follow.
    ///
    /// # Errors
    /// When a file cannot be read or a star occurs twice. A star with bad data is no error: it is a row with
    /// missing values and notes.
    fn next(&mut self, files: &mut dyn FnMut() -> Option<PathBuf>, stars: &mut dyn Stars) -> Result<Option<SourceChunk>>;

    /// What was done, after the last chunk.
    fn summary(self: Box<Self>) -> Summary;
}

/// Stars of a source.
#[derive(Debug)]
pub struct SourceChunk {
    /// The file of the first of them.
    pub file: PathBuf,
    /// Where they stand, for messages.
    pub place: String,
    /// How many were read for it, those that were not wanted included.
    pub n_read: usize,
    /// Rows of the observation file.
    pub table: crate::table::Table,
}

/// What a reader is told of the stars that are wanted.
pub trait Stars {
    /// Takes note of identifiers as a file has them in a column, whose first row is row `first` of the file.
    ///
    /// # Errors
    /// When a star may not be there.
    fn note(&mut self, _ids: &Column, _file: &Path, _first: usize) -> Result<()> {
        Ok(())
    }

    /// Whether a star is wanted.
    fn wants(&self, _id: i64) -> bool {
        true
    }
}

/// All stars.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllStars;

impl Stars for AllStars {}

/// Hands all rows of the files that the recipe names to `sink`, in the order of the input.
///
/// # Errors
/// As [`Source::files`] and [`SourceReader::next`], and when `sink` fails.
pub fn read_all(source: &dyn Source, mut sink: impl FnMut(crate::table::Table) -> Result<()>) -> Result<Summary> {
    let mut files = source.files()?.into_iter();
    let mut reader = source.reader();
    while let Some(chunk) = reader.next(&mut || files.next(), &mut AllStars)? {
        sink(chunk.table)?;
    }
    Ok(reader.summary())
}
