//! Where everything of a run lies.

use crate::error::{Error, Result};
use crate::table::{remove_leftovers, write_atomically};
use crate::text::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The output folder of a run over partitions.
#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// The run in the folder `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The catalogue of a partition.
    pub fn output(&self, partition: &str) -> PathBuf {
        self.root.join(partition)
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.bookkeeping().join("run.json")
    }

    /// The marker of a partition that is done.
    pub fn marker(&self, partition: &str) -> PathBuf {
        self.bookkeeping().join("done").join(format!("{}.json", flat(partition)))
    }

    /// The record of a finished file of that name in the folder, which is no partition.
    pub fn record(&self, file: &str) -> PathBuf {
        self.bookkeeping().join("files").join(format!("{}.json", flat(file)))
    }

    /// The lock of a partition.
    pub fn lock(&self, partition: &str) -> PathBuf {
        self.bookkeeping().join("locks").join(format!("{}.lock", flat(partition)))
    }

    /// The lock of the manifest.
    pub fn manifest_lock(&self) -> PathBuf {
        self.bookkeeping().join("run.lock")
    }

    /// The lock of who completes the run.
    pub fn finalize_lock(&self) -> PathBuf {
        self.bookkeeping().join("finalize.lock")
    }

    /// The folder of all that is not catalogue.
    pub fn bookkeeping(&self) -> PathBuf {
        self.root.join(".photosphere")
    }
}

/// A partition's name as that of a file, since HATS readers look for `Norder=…` in all folders; hashed where
/// it would be too long.
fn flat(partition: &str) -> String {
    const LONGEST: usize = 160;
    match partition.replace('%', "%25").replace('/', "%2F") {
        name if name.len() <= LONGEST => name,
        _ => hexadecimal(Sha256::new_with_prefix(partition)),
    }
}

/// Makes the folder of a file that is to be written.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Error::writing(folder, error))
}

/// Writes a file anew, in a folder that is made where it is absent. The caller alone writes that file.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    make_folder_of(path)?;
    remove_leftovers(path);
    write_atomically(path, true, |file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookkeeping_is_flat_and_one_to_one() {
        let folder = RunFolder::new(Path::new("out"));
        let names = ["a/b.parquet", "a%2Fb.parquet", "a%b.parquet", &"x/".repeat(200), &"x%".repeat(200)];
        let markers: std::collections::BTreeSet<PathBuf> = names.iter().map(|name| folder.marker(name)).collect();
        assert_eq!(markers.len(), names.len());
        assert!(markers.iter().all(|path| path.parent() == Some(Path::new("out/.photosphere/done"))), "{markers:?}");
        assert!(markers.iter().all(|path| path.file_name().unwrap().len() < 200), "{markers:?}");
    }
}
