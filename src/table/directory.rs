//! Folders that appear under their final name only when they are complete.

use crate::error::{Error, Result};
use std::path::Path;

/// Fills a folder under a temporary name beside `target` and renames it when `fill` has succeeded.
///
/// # Errors
/// When `target` exists and `overwrite` is false, when its parent is absent or not writable, or when `fill` fails; then nothing
/// is left behind and an existing folder is untouched.
pub fn write_directory_atomically(target: &Path, overwrite: bool, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if target.exists() && !overwrite {
        return Err(Error::output(target.display().to_string())
            .found("a file or folder of that name")
            .expected("none")
            .remedy("Give --overwrite to replace it, or name another output."));
    }
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let temporary =
        tempfile::Builder::new().prefix(".photosphere-").tempdir_in(parent).map_err(|error| Error::writing(target, error))?;
    let (fresh, old) = (temporary.path().join("new"), temporary.path().join("old"));
    std::fs::create_dir(&fresh).map_err(|error| Error::writing(target, error))?;
    fill(&fresh)?;
    if target.exists() {
        std::fs::rename(target, &old).map_err(|error| Error::writing(target, error))?;
    }
    // The temporary folder, with what was replaced, is removed when it is dropped.
    std::fs::rename(&fresh, target).map_err(|error| Error::writing(target, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(target: &Path, overwrite: bool, content: &str) -> Result<()> {
        write_directory_atomically(target, overwrite, |folder| {
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
        let failed = write_directory_atomically(&target, true, |_| Err(Error::output("x")));
        assert!(failed.is_err() && content() == "first");
        write(&target, true, "third").unwrap();
        assert_eq!(content(), "third");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing temporary is left");
        assert!(write(Path::new("/nonexistent/folder/model"), false, "x").is_err());
    }
}
