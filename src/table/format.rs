//! Which format a file has.

use crate::error::{Error, Result};
use crate::warning::warn_once;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A table format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Parquet,
    Fits,
    Csv,
    Ecsv,
    /// Read only.
    VoTable,
    /// Read only, by programs built with the feature `hdf5`.
    Hdf5,
    /// Read only.
    Json,
    /// A zip archive with a table for every source. Read only.
    Bundle,
}

impl Format {
    /// The format that the extension names (after removing `.gz`), if it names one: `parquet`, `pq`, `parq`;
    /// `fits`, `fit`, `fts`; `csv`; `ecsv`; `xml`, `vot`, `votable`; `h5`, `hdf5`;
    /// `json`, `jsonl`, `ndjson`; `zip`.
    pub fn from_extension(path: &Path) -> Option<Self> {
        // What is not UTF-8 in a name stands before the extension.
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "parquet" | "pq" | "parq" => Some(Self::Parquet),
            "fits" | "fit" | "fts" => Some(Self::Fits),
            "csv" => Some(Self::Csv),
            "ecsv" => Some(Self::Ecsv),
            "xml" | "vot" | "votable" => Some(Self::VoTable),
            "h5" | "hdf5" => Some(Self::Hdf5),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            "zip" => Some(Self::Bundle),
            _ => None,
        }
    }

    /// The format that the first bytes of an uncompressed file show, if they show one.
    pub fn from_magic(start: &[u8]) -> Option<Self> {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let text = start.trim_ascii_start();
        if start.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if start.starts_with(b"SIMPLE  =") {
            Some(Self::Fits)
        } else if start.starts_with(b"# %ECSV") {
            Some(Self::Ecsv)
        } else if text.starts_with(b"<?xml") || text.starts_with(b"<VOTABLE") {
            Some(Self::VoTable)
        } else if text.starts_with(b"\x89HDF\r\n\x1a\n") {
            Some(Self::Hdf5)
        } else if start.starts_with(b"PK\x03\x04") {
            Some(Self::Bundle)
        } else if text.starts_with(b"{") || text.starts_with(b"[") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// The format of an existing file: by extension, or else by its first bytes, which may be compressed with
    /// gzip.
    ///
    /// # Errors
    /// When the file cannot be opened, or neither extension nor content shows a format.
    pub fn of_file(path: &Path) -> Result<Self> {
        if path.to_str().is_none() {
            warn_once(format!(
                "{}: the name is not UTF-8; where it is shown or stored, \u{fffd} stands for what is not",
                path.display()
            ));
        }
        if let Some(format) = Self::from_extension(path) {
            return Ok(format);
        }
        let mut start = Vec::new();
        super::gzip::open(path)?.take(64).read_to_end(&mut start).map_err(|error| Error::reading(path, error))?;
        Self::from_magic(&start).ok_or_else(|| unknown(path))
    }

    /// The format of a file to be written, by its extension.
    ///
    /// # Errors
    /// When the extension names no format, or one that is only read.
    pub fn of_output(path: &Path) -> Result<Self> {
        match Self::from_extension(path) {
            Some(Self::VoTable) => Err(only_read(path, "a VOTable")),
            Some(Self::Hdf5) => Err(only_read(path, "HDF5")),
            Some(Self::Json) => Err(only_read(path, "JSON")),
            Some(Self::Bundle) => Err(only_read(path, "a zip archive")),
            Some(format) => Ok(format),
            None => Err(unknown(path)),
        }
    }

    /// The format of an observation file to be written: it says what its fluxes are in its metadata.
    ///
    /// # Errors
    /// As [`Format::of_output`]; `Usage` for a format that keeps no metadata.
    pub fn of_observations(path: &Path) -> Result<Self> {
        match Self::of_output(path)? {
            Self::Csv => Err(Error::usage(path.display().to_string())
                .found("CSV, which keeps no metadata (wavelengths, bands, units)")
                .expected("an observation file that can be fitted")
                .remedy("Write .parquet, .fits or .ecsv.")),
            format => Ok(format),
        }
    }
}

fn only_read(path: &Path, found: &str) -> Error {
    Error::usage(path.display().to_string())
        .found(format!("{found}, which is only read"))
        .expected("a format that is written")
        .remedy("Write .parquet, .fits, .ecsv or .csv.")
}

fn unknown(path: &Path) -> Error {
    Error::usage(path.display().to_string())
        .found("a name that shows no table format")
        .expected(".parquet, .fits, .ecsv or .csv, also with .gz, or .xml (VOTable), .json, .zip or .h5, which are only read")
        .remedy("Give the file the extension of its format.")
}

/// Whether the name of an output asks for gzip.
pub(super) fn wants_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// Whether a file starts as gzip does, whatever its name; or is named so, but too short to tell.
///
/// # Errors
/// When it cannot be opened or read.
pub(super) fn is_gzip(path: &Path) -> Result<bool> {
    let reading = |error| Error::reading(path, error);
    let mut start = Vec::new();
    File::open(path).map_err(reading)?.take(2).read_to_end(&mut start).map_err(reading)?;
    Ok(start == [0x1f, 0x8b] || start.len() < 2 && wants_gzip(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_extension_and_by_content() {
        let by_name = |name: &str| Format::from_extension(Path::new(name));
        assert_eq!(by_name("dir.csv/XpContinuousMeanSpectrum_000000-003111.csv.gz"), Some(Format::Csv));
        assert_eq!(by_name("A.FITS"), Some(Format::Fits));
        assert_eq!(by_name("a.dat"), None);
        for name in ["a.xml", "a.json", "a.zip", "a.h5"] {
            assert!(Format::of_output(Path::new(name)).unwrap_err().to_string().contains("only read"));
        }

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("downloaded");
        std::fs::write(&path, "# %ECSV 1.0\n").unwrap();
        assert_eq!(Format::of_file(&path).unwrap(), Format::Ecsv);
        for (start, format) in
            [(&b"\xef\xbb\xbf# %ECSV 1.0"[..], Format::Ecsv), (b"PK\x03\x04", Format::Bundle), (b" {", Format::Json)]
        {
            std::fs::write(&path, start).unwrap();
            assert_eq!(Format::of_file(&path).unwrap(), format);
        }
        std::fs::write(&path, "no table").unwrap();
        assert!(Format::of_file(&path).unwrap_err().to_string().contains("shows no table format"));
        assert!(Format::of_file(&folder.path().join("absent")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_are_warned_of_and_read() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"stars-\xff.csv"));
        // Some file systems refuse such names.
        if std::fs::write(&path, "x\n1\n").is_err() {
            return;
        }
        assert_eq!(crate::table::read(&path).unwrap().n_rows(), 1);
        assert!(crate::warning::said().iter().any(|text| text.contains("stars-\u{fffd}.csv: the name is not UTF-8")));
    }
}
