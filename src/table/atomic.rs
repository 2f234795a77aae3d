//! Files that appear whole or not at all: written under a temporary name in the same folder, synced, and
//! renamed.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// End of every temporary name.
const TEMPORARY_SUFFIX: &str = ".partial";

/// A file being written under a temporary name. Dropped without [`AtomicFile::commit`] it leaves nothing
/// behind.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
    overwrite: bool,
}

impl AtomicFile {
    /// Opens the temporary file beside `target`.
    ///
    /// # Errors
    /// When `target` exists and `overwrite` is false, is a folder, or when its folder is absent or not
    /// writable.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self> {
        check_target(target, overwrite)?;
        let folder = folder_of(target);
        let mut builder = tempfile::Builder::new();
        let prefix = temporary_prefix(target);
        builder.prefix(&prefix).suffix(TEMPORARY_SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // the process's umask applies
        let temporary = builder.tempfile_in(&folder).map_err(|error| {
            let found =
                if folder.is_dir() { format!("a folder that cannot be written to ({error})") } else { "no such folder".into() };
            Error::output(target.display().to_string())
                .found(format!("{found}: {}", folder.display()))
                .expected("a folder that can be written to")
                .remedy("Create the folder or allow writing to it, or name another output.")
                .source(error)
        })?;
        Ok(Self { temporary, target: target.to_owned(), overwrite })
    }

    /// The temporary path, for libraries that write to a path by themselves.
    pub fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// The final path.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs the content to the disk and gives the file its final name, and the permissions of the file that
    /// it replaces.
    ///
    /// # Errors
    /// When syncing or renaming fails, or when `target` has come into being meanwhile and must not be
    /// overwritten.
    pub fn commit(self) -> Result<()> {
        let writing = |error: io::Error| Error::writing(&self.target, error);
        // Opened anew, since a library may have replaced the file at the temporary path.
        OpenOptions::new().write(true).open(self.temporary.path()).and_then(|file| file.sync_all()).map_err(writing)?;
        if self.overwrite {
            if let Ok(replaced) = std::fs::metadata(&self.target) {
                std::fs::set_permissions(self.temporary.path(), replaced.permissions()).map_err(writing)?;
            }
            self.temporary.persist(&self.target).map_err(|error| Error::writing(&self.target, error.error))?;
        } else {
            self.temporary.persist_noclobber(&self.target).map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => exists(&self.target),
                _ => Error::writing(&self.target, error.error),
            })?;
        }
        #[cfg(unix)]
        File::open(folder_of(&self.target))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::writing(&self.target, error))?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().flush()
    }
}

/// Writes a whole file through `write`: it appears at `path` complete, or not at all.
///
/// ```
/// # use std::io::Write;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("report.json");
/// use photosphere::table::write_atomically;
/// write_atomically(&path, false, |file| file.write_all(b"{}"))?;
/// # Ok::<(), photosphere::error::Error>(())
/// ```
///
/// # Errors
/// When `path` exists and `overwrite` is false, when its folder is absent or not writable, or when writing
/// fails.
pub fn write_atomically(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(&mut BufWriter<AtomicFile>) -> io::Result<()>,
) -> Result<()> {
    let mut file = BufWriter::new(AtomicFile::create(path, overwrite)?);
    write(&mut file).map_err(|error| Error::writing(path, error))?;
    file.into_inner().map_err(|error| Error::writing(path, error.into_error()))?.commit()
}

/// Checks that `target` may be written.
///
/// # Errors
/// When it exists and `overwrite` is false, or is a folder.
pub fn check_target(target: &Path, overwrite: bool) -> Result<()> {
    match std::fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => Err(Error::output(target.display().to_string())
            .found("a folder of that name")
            .expected("a file name")
            .remedy("Name a file in it, or another one.")),
        Ok(_) if !overwrite => Err(exists(target)),
        _ => Ok(()),
    }
}

fn exists(target: &Path) -> Error {
    Error::output(target.display().to_string())
        .found("a file of that name")
        .expected("none")
        .remedy("Give --overwrite to replace it, or name another output.")
}

/// Removes what processes that were killed left of `target` under temporary names. The caller sees to it that
/// no living process writes `target`. A leftover that cannot be removed harms nothing.
pub fn remove_leftovers(target: &Path) {
    let prefix = temporary_prefix(target);
    for entry in std::fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let random = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
        if random.is_some_and(|random| random.chars().all(char::is_alphanumeric)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Start of the temporary names of a target, which a random part follows.
fn temporary_prefix(target: &Path) -> String {
    format!(".photosphere-{}-", target.file_name().unwrap_or_default().to_string_lossy())
}

/// The folder that holds `target`.
pub(super) fn folder_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, false, |file| {
            assert!(!path.exists());
            file.write_all(b"first")
        })
        .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first");

        let error = write_atomically(&path, true, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn existing_absent_and_impossible_targets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, b"old").unwrap();
        let error = AtomicFile::create(&path, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert!(error.to_string().contains("--overwrite"), "{error}");
        write_atomically(&path, true, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");

        let error = AtomicFile::create(&folder.path().join("absent/b.json"), false).unwrap_err().to_string();
        assert!(error.contains("no such folder"), "{error}");
        let error = AtomicFile::create(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("found a folder of that name"), "{error}");
        // A file where a folder should be: not writable for anyone, whoever runs the test.
        assert!(AtomicFile::create(&path.join("c.json"), false).is_err());
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn leftovers_are_removed_by_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for target in ["a", "a-b"] {
            AtomicFile::create(&path(target), false).unwrap().temporary.keep().unwrap();
        }
        remove_leftovers(&path("a"));
        let left = names(folder.path());
        assert!(left.len() == 1 && left[0].starts_with(".photosphere-a-b-"), "{left:?}");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_of_a_replaced_file_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, b"old").unwrap();
        for mode in [0o640, 0o600, 0o444] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            write_atomically(&path, true, |file| file.write_all(b"new")).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let file = AtomicFile::create(&path, false).unwrap();
        std::fs::write(&path, b"theirs").unwrap();
        assert!(file.commit().unwrap_err().to_string().contains("--overwrite"));
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
    }
}
