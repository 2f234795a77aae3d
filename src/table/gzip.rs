//! Compressed input and output that looks like any other.

use super::atomic::AtomicFile;
use super::format::{is_gzip, wants_gzip};
use super::limits;
use crate::error::{Error, Result};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;

/// Opens a file for reading from start to end, decompressing it if it is gzip (by content; several members
/// are one stream).
///
/// # Errors
/// When it cannot be opened. A truncated stream, something after it that is not gzip, and one that becomes
/// more bytes than `--max-expansion` allows are errors of a later read, for which [`damaged`] has the words.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let compressed = is_gzip(path)?;
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    if !compressed {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, file)));
    }
    let file = BufReader::with_capacity(BUFFER, Counted { file, n_read: 0 });
    Ok(Box::new(Expanding { path: path.to_owned(), stream: MultiGzDecoder::new(file), n_expanded: 0 }))
}

/// A file that knows how much of it has been read.
struct Counted {
    file: File,
    n_read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.file.read(buffer)?;
        self.n_read += n_read as u64;
        Ok(n_read)
    }
}

/// A compressed stream that ends with an error once it has become too large for what has been read of the
/// file.
struct Expanding {
    path: PathBuf,
    stream: MultiGzDecoder<BufReader<Counted>>,
    n_expanded: u64,
}

impl Read for Expanding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = match self.stream.read(buffer) {
            Err(error) if self.n_expanded > 0 && error.kind() == io::ErrorKind::InvalidInput => {
                return Err(io::Error::other(
                    Error::data(self.path.display().to_string())
                        .found("bytes after the compressed data that are not compressed themselves, or are damaged")
                        .expected("the end of the file, or more compressed data")
                        .remedy("Copy or download the file again; or see with `gzip -t` what is wrong, and decompress it.")
                        .source(error),
                ));
            }
            result => result?,
        };
        self.n_expanded += n_read as u64;
        limits::check(&self.path, self.stream.get_ref().get_ref().n_read, self.n_expanded).map_err(io::Error::other)?;
        Ok(n_read)
    }
}

/// The whole content of a file, decompressed.
///
/// # Errors
/// When it cannot be read, or is truncated gzip, or becomes too large.
pub(super) fn read_all(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|error| damaged(path, error))?;
    Ok(bytes)
}

/// The error for a stream that ends too early or is otherwise damaged; one of our own as it is.
pub(super) fn damaged(path: &Path, error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(own) => return own,
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::data(path.display().to_string())
            .found("the end of the file in the middle of its data")
            .expected("a whole file")
            .remedy("The file is truncated: copy or download it again.")
            .source(error),
        _ => Error::reading(path, error)
            .remedy("Check that it is a file that can be read; if it is damaged, copy or download it again."),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::read;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn several_members_are_one_file() {
        let (_folder, path) = written(&[compressed(b"x,y\n1,"), compressed(b""), compressed(b"2\n3,4\n")].concat());
        assert_eq!(read(&path).unwrap().column("y").unwrap().to_i64().unwrap(), [2, 4]);
    }

    #[test]
    fn what_follows_the_compressed_data_is_refused() {
        for garbage in [&b"garbage that is not compressed"[..], &[0; 512]] {
            let (_folder, path) = written(&[&compressed(b"x\n1\n2\n"), garbage].concat());
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("a.csv.gz: found bytes after the compressed data"), "{error}");
        }
        let mut bytes = compressed(b"x\n1\n2\n");
        let n = bytes.len();
        bytes[n - 6] ^= 1; // the checksum
        let (_folder, path) = written(&bytes);
        assert!(read(&path).unwrap_err().to_string().contains("a.csv.gz"));
    }

    #[test]
    fn what_expands_without_end_is_refused_early() {
        let (_folder, path) = written(&compressed(&vec![b' '; 300 << 20]));
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
        let error = read_all(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains("--max-expansion"), "{error}");
    }
}
