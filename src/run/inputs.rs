//! An output is never an input of the same command, however either is named.

use crate::error::{Error, Result};
use crate::table::file_of;
use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// What a file is, whatever name or link leads to it: device and inode.
#[cfg(unix)]
type Identity = (u64, u64);
/// What a file is, whatever link leads to it.
#[cfg(not(unix))]
type Identity = PathBuf;

#[cfg(unix)]
fn identity(_: &Path, metadata: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path, _: &Metadata) -> Option<Identity> {
    path.canonicalize().ok()
}

/// The file or folder to which a path leads; none where there is none.
fn identity_at(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().and_then(|metadata| identity(path, &metadata))
}

/// The inputs of a command.
#[derive(Debug, Default)]
pub struct Inputs(HashMap<Identity, PathBuf>);

impl Inputs {
    /// The files and folders of these paths, which may choose tables (`a.fits[X]`); of a folder, the files in
    /// it too. What does not exist is reported by who reads it.
    pub fn of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut inputs = Self::default();
        for path in paths {
            let path = file_of(path.as_ref());
            // A folder that cannot be listed cannot be read from either.
            let inside = if path.is_dir() { std::fs::read_dir(&path).ok() } else { None };
            inside.into_iter().flatten().flatten().for_each(|entry| inputs.add(entry.path()));
            inputs.add(path);
        }
        inputs
    }

    /// Folders that are read from, without what is in them.
    pub fn of_folders(folders: &[PathBuf]) -> Self {
        let mut inputs = Self::default();
        folders.iter().for_each(|folder| inputs.add(folder.clone()));
        inputs
    }

    fn add(&mut self, path: PathBuf) {
        if let Some(identity) = identity_at(&path) {
            self.0.entry(identity).or_insert(path);
        }
    }

    /// Fails when the output is one of the inputs: by its own name, through a link, or as another name of the
    /// same file.
    ///
    /// # Errors
    /// `Usage`, naming both.
    pub fn require_other(&self, output: &Path) -> Result<()> {
        match identity_at(output).and_then(|identity| self.0.get(&identity)) {
            None => Ok(()),
            Some(input) => Err(Error::usage(output.display().to_string())
                .found(format!("an output that is the input {} itself", input.display()))
                .expected("another file")
                .remedy("Name another output: no option writes over an input.")),
        }
    }

    /// Fails when the output is a folder that holds an input, which would go with the folder when that is
    /// replaced.
    ///
    /// # Errors
    /// `Usage`, naming both.
    pub fn require_none_in(&self, folder: &Path) -> Result<()> {
        let Ok(folder_itself) = folder.canonicalize() else { return Ok(()) };
        let is_inside = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| path.starts_with(&folder_itself));
        match self.0.values().filter(is_inside).min() {
            None => Ok(()),
            Some(input) => Err(Error::usage(folder.display().to_string())
                .found(format!("an output folder that holds the input {}", input.display()))
                .expected("another folder")
                .remedy("Name another output: no option writes over an input.")),
        }
    }
}

/// Fails when an output's name cannot be told in messages, logs and JSON.
///
/// # Errors
/// `Usage`, when it is not UTF-8.
pub fn require_utf8(output: &Path) -> Result<()> {
    match output.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::usage(output.display().to_string())
            .found("a name that is not UTF-8")
            .expected("an output whose name is")
            .remedy("Name another output.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_found_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.fits"), "stars").unwrap();
        std::fs::create_dir(path("model")).unwrap();
        std::fs::write(path("model/model.toml"), "format = 1").unwrap();
        std::fs::hard_link(path("a.fits"), path("hard.fits")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("a.fits", path("soft.fits")).unwrap();
        let inputs = Inputs::of([path("a.fits[RVTAB]"), path("model"), path("absent")]);
        for name in ["a.fits", "model/../a.fits", "model/model.toml", "model"] {
            let error = inputs.require_other(&path(name)).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains("no option writes over an input"), "{error}");
        }
        #[cfg(unix)]
        for name in ["hard.fits", "soft.fits"] {
            assert!(inputs.require_other(&path(name)).is_err(), "{name}");
        }
        inputs.require_other(&path("absent")).unwrap();
        std::fs::write(path("b.fits"), "stars").unwrap();
        inputs.require_other(&path("b.fits")).unwrap();
        assert!(inputs.require_none_in(folder.path()).unwrap_err().to_string().contains("holds the input"));
        inputs.require_none_in(&path("elsewhere")).unwrap();
    }
}
