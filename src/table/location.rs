//! Which table of a file is meant: `stars.fits[RVTAB]`, `stars.fits[RVTAB+FIBERMAP]`, `stars.xml[2]`.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A file, and the tables in it that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file itself.
    pub file: PathBuf,
    /// Names (EXTNAME, or NAME and ID of a VOTable) or numbers of tables whose rows match; empty for the
    /// first table.
    pub tables: Vec<String>,
}

impl Location {
    /// Splits `stars.fits[RVTAB+FIBERMAP]` into the file and the names between the brackets. A file that has
    /// brackets in its own name is taken by that name.
    pub fn parse(path: &Path) -> Self {
        let whole = || Self { file: path.to_owned(), tables: Vec::new() };
        let Some(text) = path.to_str() else { return whole() };
        let Some((file, tables)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) else { return whole() };
        if path.exists() || file.is_empty() || tables.trim().is_empty() {
            return whole();
        }
        Self { file: file.into(), tables: tables.split('+').map(|name| name.trim().to_owned()).collect() }
    }

    /// An error where a table is chosen in a format whose files hold only one.
    ///
    /// # Errors
    /// When a table is named.
    pub(super) fn require_only_table(&self, format: &str) -> Result<()> {
        if self.tables.is_empty() {
            return Ok(());
        }
        Err(Error::usage(format!("{}[{}]", self.file.display(), self.tables.join("+")))
            .found(format!("a table chosen in a {format} file, which holds one"))
            .expected("the name of the file alone")
            .remedy("Leave out the brackets."))
    }
}

/// The file of a path that may choose a table in it; the path itself otherwise.
pub fn file_of(path: &Path) -> PathBuf {
    Location::parse(path).file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_choose_tables_unless_the_file_has_them() {
        let parsed = |text: &str| Location::parse(Path::new(text));
        assert_eq!(parsed("a/b.fits"), Location { file: "a/b.fits".into(), tables: Vec::new() });
        assert_eq!(parsed("b.fits[RVTAB + 2]"), Location { file: "b.fits".into(), tables: vec!["RVTAB".into(), "2".into()] });
        assert_eq!(parsed("b.fits[]").file, Path::new("b.fits[]"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stars[1]");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Location::parse(&path), Location { file: path.clone(), tables: Vec::new() });
        assert_eq!(file_of(&folder.path().join("stars[1][X]")), path);
        let error = parsed("a.csv[X]").require_only_table("CSV").unwrap_err().to_string();
        assert!(error.contains("a.csv[X]"), "{error}");
    }
}
