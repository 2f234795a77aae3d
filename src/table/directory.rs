//! Folders that appear under their final name only when they are complete, and that replace nothing but their
//! like.

use super::atomic::folder_of;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What a folder of a kind holds: one may be replaced when it holds nothing else.
#[derive(Debug, Clone, Copy)]
pub struct FolderKind {
    /// In words (`a model directory`).
    pub name: &'static str,
    /// The file that shows the kind.
    pub mark: &'static str,
    /// All files that such a folder may hold.
    pub files: &'static [&'static str],
}

/// Checks that the folder `target` may be written: it is absent or, with `overwrite`, empty or a folder of
/// the same kind.
///
/// # Errors
/// When it exists and `overwrite` is false; when it is a file, or holds anything that folders of the kind do
/// not hold; when it cannot be listed.
pub fn check_target_directory(target: &Path, overwrite: bool, kind: &FolderKind) -> Result<()> {
    let place = || target.display().to_string();
    if std::fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    if !overwrite {
        return Err(Error::output(place())
            .found("a file or folder of that name")
            .expected("none")
            .remedy("Give --overwrite to replace it, or name another output."));
    }
    let expected = format!("{} or an empty folder, which --overwrite may replace", kind.name);
    if !target.is_dir() {
        return Err(Error::output(place())
            .found("something that is no folder")
            .expected(expected)
            .remedy("Name another output, or remove it yourself."));
    }
    let entries = std::fs::read_dir(target).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| Error::reading(target, error))?;
    let is_foreign = |entry: &&std::fs::DirEntry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        !is_file || !kind.files.iter().any(|name| entry.file_name() == *name)
    };
    let foreign: Vec<String> =
        entries.iter().filter(is_foreign).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if let Some(first) = foreign.iter().min() {
        return Err(Error::output(place())
            .found(format!("a folder with other files ({} of {}, '{first}' for one)", foreign.len(), entries.len()))
            .expected(expected)
            .remedy("Name another output, or move the other files away."));
    }
    match entries.is_empty() || entries.iter().any(|entry| entry.file_name() == kind.mark) {
        true => Ok(()),
        false => Err(Error::output(place())
            .found(format!("a folder without {}", kind.mark))
            .expected(expected)
            .remedy("Name another output, or empty the folder.")),
    }
}

/// Fills a folder under a temporary name beside `target` and renames it when `fill` has succeeded. Where
/// `target` is a link to a folder, that folder is replaced and the link stays.
///
/// # Errors
/// As [`check_target_directory`]; when the parent of `target` is absent or not writable, or when `fill`
/// fails; then nothing is left behind and an existing folder is untouched.
#[expect(clippy::disallowed_methods, reason = "this is the atomic writer of folders")]
pub fn write_directory_atomically(
    target: &Path,
    overwrite: bool,
    kind: &FolderKind,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    check_target_directory(target, overwrite, kind)?;
    let target = &followed(target);
    let writing = |error| Error::writing(target, error);
    let temporary = tempfile::Builder::new().prefix(".photosphere-").tempdir_in(folder_of(target)).map_err(writing)?;
    let (fresh, old) = (temporary.path().join("new"), temporary.path().join("old"));
    std::fs::create_dir(&fresh).map_err(writing)?;
    fill(&fresh)?;
    if target.exists() {
        // Again, since the work may have taken hours.
        check_target_directory(target, overwrite, kind)?;
        std::fs::set_permissions(&fresh, std::fs::metadata(target).map_err(writing)?.permissions()).map_err(writing)?;
        for entry in std::fs::read_dir(&fresh).map_err(writing)? {
            let entry = entry.map_err(writing)?;
            if let Ok(replaced) = std::fs::metadata(target.join(entry.file_name())) {
                std::fs::set_permissions(entry.path(), replaced.permissions()).map_err(writing)?;
            }
        }
        std::fs::rename(target, &old).map_err(writing)?;
    }
    // The temporary folder, with what was replaced, is removed when it is dropped.
    std::fs::rename(&fresh, target).map_err(writing)
}

/// Writes a file in a folder that is not yet in its place, as [`write_directory_atomically`] fills it.
/// (Elsewhere, files are written by [`write_atomically`](super::write_atomically).)
///
/// # Errors
/// When it cannot be written.
#[expect(clippy::disallowed_methods, reason = "the folder appears whole or not at all")]
pub fn write_member(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, content).map_err(|error| Error::writing(path, error))
}

/// The folder itself where `target` exists, links resolved.
fn followed(target: &Path) -> PathBuf {
    target.canonicalize().unwrap_or_else(|_| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: FolderKind = FolderKind { name: "a model directory", mark: "a", files: &["a", "b"] };

    fn write(target: &Path, overwrite: bool, content: &str) -> Result<()> {
        write_directory_atomically(target, overwrite, &KIND, |folder| {
            std::fs::write(folder.join("a"), content).map_err(|error| Error::writing(folder, error))
        })
    }

    #[test]
    fn replaced_only_when_asked_and_when_complete() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().join("model");
        let content = || std::fs::read_to_string(target.join("a")).unwrap();
        write(&target, false, "first").unwrap();
        assert!(write(&target, false, "second").unwrap_err().to_string().contains("--overwrite"));
        let failed = write_directory_atomically(&target, true, &KIND, |_| Err(Error::output("x")));
        assert!(failed.is_err() && content() == "first");
        write(&target, true, "third").unwrap();
        assert_eq!(content(), "third");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing temporary is left");
        assert!(write(Path::new("/nonexistent/folder/model"), false, "x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn files_that_are_replaced_keep_their_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().join("model");
        write(&target, false, "first").unwrap();
        std::fs::set_permissions(target.join("a"), std::fs::Permissions::from_mode(0o640)).unwrap();
        write(&target, true, "second").unwrap();
        let mode = std::fs::metadata(target.join("a")).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, std::fs::read_to_string(target.join("a")).unwrap().as_str()), (0o640, "second"));
    }

    #[test]
    fn folders_of_other_things_are_never_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        let refused = |name: &str, words: &str| {
            let error = write(&path(name), true, "x").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        std::fs::write(path("file"), "theirs").unwrap();
        refused("file", "no folder");
        std::fs::create_dir(path("home")).unwrap();
        write(&path("home"), true, "an empty folder is replaced").unwrap();
        std::fs::write(path("home/thesis.tex"), "theirs").unwrap();
        refused("home", "1 of 2, 'thesis.tex' for one");
        std::fs::remove_file(path("home/thesis.tex")).unwrap();
        std::fs::create_dir(path("home/b")).unwrap();
        refused("home", "'b' for one");
        std::fs::create_dir(path("half")).unwrap();
        std::fs::write(path("half/b"), "").unwrap();
        refused("half", "without a");
        assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "theirs");
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links() {
        let scratch = tempfile::tempdir().unwrap();
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        write(&real, false, "first").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, true, "second").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(real.join("a")).unwrap(), "second");
    }
}
