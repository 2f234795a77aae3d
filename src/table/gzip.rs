//! Compressed input and output that looks like any other.

use super::atomic::AtomicFile;
use super::format::{is_gzip, wants_gzip};
use crate::error::{Error, Result};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

const BUFFER: usize = 1 << 18;

/// Opens a file for reading from start to end, decompressing it if it is gzip (by content; several members are one stream).
///
/// # Errors
/// When it cannot be opened. A truncated stream is an error of a later read.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let compressed = is_gzip(path)?;
    let file = BufReader::with_capacity(BUFFER, File::open(path).map_err(|error| Error::reading(path, error))?);
    Ok(if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// The whole content of a file, decompressed.
///
/// # Errors
/// When it cannot be read, or is truncated gzip.
pub(super) fn read_all(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|error| damaged(path, error))?;
    Ok(bytes)
}

/// The error for a stream that ends too early or is otherwise damaged.
pub(super) fn damaged(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::data(path.display().to_string())
            .found("the end of the file in the middle of its data")
            .expected("a whole file")
            .remedy("The file is truncated: copy or download it again.")
            .source(error),
        _ => Error::reading(path, error),
    }
}

/// An output file that appears whole under its name, compressed if the name ends in `.gz`.
pub(super) enum Output {
    Plain(BufWriter<AtomicFile>),
    Gzip(Box<GzEncoder<BufWriter<AtomicFile>>>),
}

impl Output {
    /// # Errors
    /// As [`AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, AtomicFile::create(path, overwrite)?);
        Ok(if wants_gzip(path) { Self::Gzip(Box::new(GzEncoder::new(file, Compression::default()))) } else { Self::Plain(file) })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the last bytes cannot be written or the file cannot be renamed.
    pub fn commit(self, path: &Path) -> Result<()> {
        let writing = |error| Error::writing(path, error);
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(encoder) => encoder.finish().map_err(writing)?,
        };
        file.into_inner().map_err(|error| writing(error.into_error()))?.commit()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}
