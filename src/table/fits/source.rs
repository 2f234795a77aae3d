//! The bytes of a FITS file: taken from the disk where they are wanted, or held in memory where the file is
//! compressed.

use crate::error::{Error, Result};
use crate::table::format::is_gzip;
use crate::table::gzip;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// An open FITS file, which threads may share. Nothing is read beyond its end, whatever its headers say.
#[derive(Debug)]
pub(super) struct Source {
    pub path: PathBuf,
    length: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Memory(Vec<u8>),
}

impl Source {
    /// Opens a file; gzip is seen through.
    ///
    /// # Errors
    /// When it cannot be opened, or its compressed content is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = |error| Error::reading(path, error);
        if is_gzip(path)? {
            return Ok(Self::from_bytes(path, gzip::read_all(path)?));
        }
        let file = File::open(path).map_err(reading)?;
        let length = file.metadata().map_err(reading)?.len();
        Ok(Self { path: path.to_owned(), length, content: Content::File(file) })
    }

    /// Bytes that are already in memory, under the name of a file.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), length: bytes.len() as u64, content: Content::Memory(bytes) }
    }

    /// Bytes of the file (decompressed).
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` with what stands from byte `start` on.
    ///
    /// # Errors
    /// When the file ends before, or cannot be read.
    pub fn read_at(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        let end = start.saturating_add(buffer.len() as u64);
        if end > self.length {
            return Err(self.truncated(end));
        }
        match &self.content {
            Content::Memory(bytes) => {
                // The end was compared with the length of the vector.
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                let part = bytes.get(start..).and_then(|rest| rest.get(..buffer.len())).ok_or_else(|| self.truncated(end))?;
                buffer.copy_from_slice(part);
            }
            Content::File(file) => read_exact_at(file, start, buffer).map_err(|error| gzip::damaged(&self.path, error))?,
        }
        Ok(())
    }

    /// The error for a file that ends before byte `needed`.
    pub fn truncated(&self, needed: u64) -> Error {
        Error::data(self.path.display().to_string())
            .found(format!("{} bytes", self.length))
            .expected(format!("{needed}, as its header says"))
            .remedy("The file is truncated: copy or download it again.")
    }
}

/// Reads at a position without the file's own, which threads that share the file would move for one another.
#[cfg(unix)]
fn read_exact_at(file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut start: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, start) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => (start, buffer) = (start + n as u64, &mut buffer[n..]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_share_a_file_read_what_they_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counted.fits");
        let bytes: Vec<u8> = (0..50_000_u32).flat_map(u32::to_be_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        let source = Source::open(&path).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let (source, bytes) = (&source, &bytes);
                scope.spawn(move || {
                    let mut buffer = vec![0; 400];
                    for i in 0..2_000 {
                        let start = (thread * 7_919 + i * 104_729) % (bytes.len() - buffer.len());
                        source.read_at(start as u64, &mut buffer).unwrap();
                        assert!(buffer == bytes[start..start + 400], "bytes from {start} on");
                    }
                });
            }
        });
        assert!(source.read_at(bytes.len() as u64, &mut [0]).unwrap_err().to_string().contains("200000 bytes"));
    }
}
