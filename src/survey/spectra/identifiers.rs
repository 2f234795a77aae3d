//! Identifiers of spectra: those of the files, those of another catalogue, or, where a file has none, a
//! hash of its name.

use super::recipe::IdentifierTable;
use crate::error::{Error, Result};
use crate::survey::prepare::expand;
use crate::table::{self, Values};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

/// A positive identifier of 62 bits that depends on a text alone (SHA-256). Of ten million names, two share
/// one with a probability of 10⁻⁵.
pub(super) fn stable_id(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    let first: [u8; 8] = std::array::from_fn(|i| digest[i]);
    (u64::from_be_bytes(first) >> 2) as i64
}

/// A file's name as catalogues spell it: without `.gz`.
pub(super) fn file_key(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

/// Identifiers of another catalogue, by the names of files or by the spectra's own identifiers.
#[derive(Debug)]
pub(super) enum Identifiers {
    Own,
    ByName(HashMap<String, i64>),
    ById(HashMap<i64, i64>),
}

impl Identifiers {
    /// Reads the table, if there is one.
    ///
    /// # Errors
    /// When a file cannot be read or lacks a column, or a key stands for two identifiers.
    pub fn read(source: Option<&IdentifierTable>) -> Result<Self> {
        let Some(source) = source else { return Ok(Self::Own) };
        let (mut names, mut ids) = (HashMap::new(), HashMap::new());
        for file in expand(&source.files)? {
            for chunk in table::read_column_chunks(&file, &[&source.key, &source.id], 65_536)? {
                let chunk = chunk?;
                let (key, id) = (chunk.column(&source.key)?, chunk.column(&source.id)?);
                if id.schema.odd_cell.is_some() {
                    // The reader knows the line of the cell that is no identifier.
                    id.to_i64().map_err(|error| error.within(file.display()))?;
                }
                for row in (0..chunk.n_rows()).filter(|&row| key.is_valid(row) && id.is_valid(row)) {
                    let id = match &id.values {
                        Values::Int64(values) => values[row],
                        Values::Int32(values) => values[row].into(),
                        _ => return Err(of_floats(&source.id).within(file.display())),
                    };
                    let earlier = match &key.values {
                        Values::Text(texts) => names.insert(file_key(Path::new(&texts[row])), id),
                        Values::Int64(values) => ids.insert(values[row], id),
                        Values::Int32(values) => ids.insert(values[row].into(), id),
                        _ => return Err(of_floats(&source.key).within(file.display())),
                    };
                    if earlier.is_some_and(|earlier| earlier != id) {
                        return Err(Error::data(format!("{}, column '{}', row {row}", file.display(), source.key))
                            .found("a key that an earlier row has with another identifier")
                            .expected("one identifier for every spectrum")
                            .remedy("Remove the repeated rows."));
                    }
                }
            }
        }
        match (names.is_empty(), ids.is_empty()) {
            (false, true) => Ok(Self::ByName(names)),
            (true, false) => Ok(Self::ById(ids)),
            _ => Err(Error::data(format!("column '{}'", source.key))
                .found("no keys, or keys of two types")
                .expected("names of files, or identifiers")),
        }
    }

    /// The identifier of a spectrum of the file `key` with the identifier `own`.
    pub fn of(&self, key: &str, own: Option<i64>) -> Option<i64> {
        match self {
            Self::Own => own,
            Self::ByName(names) => names.get(key).copied(),
            Self::ById(ids) => own.and_then(|own| ids.get(&own).copied()),
        }
    }
}

fn of_floats(name: &str) -> Error {
    Error::data(format!("column '{name}'"))
        .found("numbers that are no integers")
        .expected("64-bit integers (or names of files as keys)")
        .remedy("Write identifiers as integers: a float holds 16 digits, an identifier has up to 19.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_stable_and_positive() {
        // hashlib: int.from_bytes(sha256(b"55862-B6212_sp6-18").digest()[:8], "big") >> 2.
        assert_eq!(stable_id("55862-B6212_sp6-18"), HASH);
        assert!((0..1000).all(|i| stable_id(&i.to_string()) > 0));
    }

    const HASH: i64 = 3_417_826_341_888_070_131;

    #[test]
    fn names_and_identifiers_lead_to_another_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str, key: &str| {
            let path = folder.path().join("ids.csv");
            std::fs::write(&path, text).unwrap();
            let source = IdentifierTable { files: vec![path], key: key.into(), id: "gaia".into() };
            Identifiers::read(Some(&source))
        };
        let names = read("file,gaia\nspec-1.fits,3698400000000000001\nspec-2.fits.gz,7\n", "file").unwrap();
        assert_eq!(names.of("spec-1.fits", Some(1)), Some(3_698_400_000_000_000_001));
        assert_eq!((names.of("spec-2.fits", None), names.of("spec-3.fits", Some(1))), (Some(7), None));
        let ids = read("target,gaia\n5,3698400000000000003\n", "target").unwrap();
        assert_eq!(
            (ids.of("x", Some(5)), ids.of("x", Some(6)), ids.of("x", None)),
            (Some(3_698_400_000_000_000_003), None, None)
        );
        assert!(read("file,gaia\na,1\na,2\n", "file").unwrap_err().to_string().contains("row 1"));
        assert!(read("file,gaia\na,1.5\n", "file").unwrap_err().to_string().contains("'gaia'"));
        assert_eq!(Identifiers::read(None).unwrap().of("x", Some(3)), Some(3));
        assert_eq!(file_key(Path::new("a/spec-1.fits.gz")), "spec-1.fits");
    }
}
