//! The one error type. Every error says where it happened, what was found, what was expected and what to do.

use crate::text::{printable, with_short_numbers};
use std::fmt;
use std::path::Path;

/// Result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of thing went wrong; decides the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Bad usage, recipe or configuration (exit code 2).
    Usage,
    /// A file that cannot be read or whose content is not what its format promises (exit code 1).
    Data,
    /// A model directory that is incomplete, inconsistent or of another version (exit code 1).
    Model,
    /// A device that is absent or cannot be used (exit code 1).
    Device,
    /// An output that cannot be written (exit code 1).
    Output,
    /// Arithmetic that cannot go on (exit code 1).
    Numerical,
    /// A fault of the program itself (exit code 1).
    Internal,
    /// A run that a signal of this number stopped (exit code 128 more, as shells have it).
    Interrupted(u8),
}

/// An error with its place, what was found, what was expected and the remedy; empty parts are left out of the
/// message.
///
/// ```
/// use photosphere::error::Error;
/// let error = Error::data("stars.fits, column 'teff'").found("text").expected("a number").remedy("Convert the column.");
/// assert_eq!(error.to_string(), "stars.fits, column 'teff': found text, expected a number. Convert the column.");
/// ```
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: ErrorKind,
    place: String,
    found: String,
    expected: String,
    remedy: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error of `kind` at `place` (a file, column, row, recipe key …).
    pub fn new(kind: ErrorKind, place: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            place: place.into(),
            found: String::new(),
            expected: String::new(),
            remedy: String::new(),
            source: None,
        }))
    }

    /// Bad usage or configuration.
    pub fn usage(place: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, place)
    }

    /// Bad input data.
    pub fn data(place: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, place)
    }

    /// Bad model directory or model definition.
    pub fn model(place: impl Into<String>) -> Self {
        Self::new(ErrorKind::Model, place)
    }

    /// Absent or unusable device.
    pub fn device(place: impl Into<String>) -> Self {
        Self::new(ErrorKind::Device, place)
    }

    /// Output that cannot be written.
    pub fn output(place: impl Into<String>) -> Self {
        Self::new(ErrorKind::Output, place)
    }

    /// Arithmetic that cannot go on.
    pub fn numerical(place: impl Into<String>) -> Self {
        Self::new(ErrorKind::Numerical, place)
    }

    /// A file that could not be opened, read or decoded, with the underlying error.
    pub fn reading(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let error = Self::data(path.display().to_string());
        if path.is_dir() {
            let remedy = "Name the file in it, or the files one by one.";
            return error.found("a folder").expected("a file").remedy(remedy).source(source);
        }
        error
            .found(format!("a read error ({source})"))
            .remedy("Check that the file is whole and may be read; if it is damaged, get it again.")
            .source(source)
    }

    /// A file that could not be written, with the underlying error.
    pub fn writing(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::output(path.display().to_string())
            .found(format!("a write error ({source})"))
            .remedy("Check that the folder exists, is writable and has space left.")
            .source(source)
    }

    /// Sets what was found.
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = found.into();
        self
    }

    /// Sets what was expected.
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = expected.into();
        self
    }

    /// Sets what to do about it (a full sentence).
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = remedy.into();
        self
    }

    /// Sets what to do about it where nothing is said yet.
    pub fn or_remedy(self, remedy: impl Into<String>) -> Self {
        if self.0.remedy.is_empty() { self.remedy(remedy) } else { self }
    }

    /// Attaches the underlying error.
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Puts an outer place (a file name, say) before the place already set.
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        let outer = outer.to_string();
        // A place that a reader has named already is not named twice.
        if !self.0.place.starts_with(&outer) {
            self.0.place = format!("{outer}, {}", self.0.place);
        }
        self
    }

    /// Says `name` wherever the path of a file stands that is only a copy of what the user knows by that
    /// name.
    pub fn renamed(mut self, path: &Path, name: &str) -> Self {
        let path = path.display().to_string();
        self.0.place = self.0.place.replace(&path, name);
        self.0.found = self.0.found.replace(&path, name);
        self
    }

    /// The same error as one of another kind: a value that is bad usage in a recipe is bad data in a file.
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Exit code of the command line: 2 for usage, 128 more than the number of a signal, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Interrupted(signal) => 128 + signal,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parts may hold what files say; no terminal shall obey that.
        let [place, found, expected, remedy] = [&self.0.place, &self.0.found, &self.0.expected, &self.0.remedy]
            .map(|part| with_short_numbers(&printable(part)).into_owned());
        write!(formatter, "{place}")?;
        match (found.is_empty(), expected.is_empty()) {
            (false, false) => write!(formatter, ": found {found}, expected {expected}.")?,
            (false, true) => write!(formatter, ": found {found}.")?,
            (true, false) => write!(formatter, ": expected {expected}.")?,
            (true, true) => {}
        }
        if !remedy.is_empty() {
            write!(formatter, " {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
