//! That a partition is done: a small file with the hashes of what went in and what came out.

use super::RunFolder;
use super::folder::replace;
use super::manifest::read_json;
use super::provenance::{sha256_of_file, unreadable};
use super::tally::Tally;
use crate::error::{Error, Result};
use crate::residuals::ResidualSums;
use crate::table::file_of;
use crate::warning::warn_once;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A finished partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Hash over the settings of the run.
    pub settings_sha256: String,
    pub input: FileState,
    pub output: FileState,
    pub tally: Tally,
    /// Of a catalogue of fits; markers of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residuals: Option<ResidualSums>,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileState {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: Option<u64>,
    sha256: String,
}

impl FileState {
    /// The state of a file whose content has this hash.
    ///
    /// # Errors
    /// When the file is not there.
    fn of(path: &Path, sha256: String) -> Result<Self> {
        let metadata = file_of(path).metadata().map_err(|error| unreadable(path, error))?;
        let since = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let modified = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Ok(Self { path: path.to_owned(), bytes: metadata.len(), modified, sha256 })
    }

    /// The state of a file, whose content is read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        // Size and time first: a file that is changed while it is read looks changed afterwards.
        let state = Self::of(path, String::new())?;
        Ok(Self { sha256: sha256_of_file(path)?, ..state })
    }

    /// Hash of the content.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Fails when the file has another size or time by now.
    ///
    /// # Errors
    /// As said.
    pub fn require_unchanged(&self) -> Result<()> {
        match self.looks_like(&self.path) {
            true => Ok(()),
            false => Err(Error::data(self.path.display().to_string())
                .found("another size or time than when it was first read")
                .expected("an input that stays as it is")
                .remedy("It has changed while it was read: run the command again.")),
        }
    }

    /// Whether the file at `path` has the same content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_content_of(&self, path: &Path) -> Result<bool> {
        Ok(file_of(path).metadata().is_ok_and(|metadata| metadata.len() == self.bytes) && sha256_of_file(path)? == self.sha256)
    }

    /// Whether a file of the same size and time is there.
    fn looks_like(&self, path: &Path) -> bool {
        Self::of(path, String::new()).is_ok_and(|now| now.bytes == self.bytes && now.modified == self.modified)
    }
}

impl Marker {
    /// The marker of a partition, if it is done.
    ///
    /// # Errors
    /// When the marker is damaged.
    pub fn read(folder: &RunFolder, partition: &str) -> Result<Option<Self>> {
        let path = folder.marker(partition);
        if path.is_file() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// Writes the marker of a partition.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &RunFolder, partition: &str) -> Result<()> {
        let path = folder.marker(partition);
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::writing(&path, error))?;
        replace(&path, &text)
    }

    /// The sums over the residuals of all partitions of these names that are done with these settings, in the
    /// order of the names: the same whoever fitted them, and when. `None` where none has any.
    ///
    /// # Errors
    /// When two do not belong together. Damaged markers are passed by.
    pub fn residuals_of<'a>(
        folder: &RunFolder,
        settings_sha256: &str,
        partitions: impl IntoIterator<Item = &'a String>,
    ) -> Result<Option<ResidualSums>> {
        let mut names: Vec<&String> = partitions.into_iter().collect();
        names.sort();
        let (mut all, mut n_without) = (None::<ResidualSums>, 0);
        for name in names {
            let Ok(Some(marker)) = Self::read(folder, name) else { continue };
            if marker.settings_sha256 != settings_sha256 {
                continue;
            }
            let Some(sums) = marker.residuals.filter(ResidualSums::is_whole) else {
                n_without += 1;
                continue;
            };
            match &mut all {
                Some(all) => all.merge(&sums)?,
                None => all = Some(sums),
            }
        }
        // Models without fluxes have none at all.
        if all.is_some() && n_without > 0 {
            warn_once(format!(
                "the check of the catalogue is without {n_without} partitions, whose markers have no (whole) residuals"
            ));
        }
        Ok(all)
    }

    /// Fails when the partition was done with other settings, or from an input that has changed since. The
    /// input's content is read only where its size or time differs.
    ///
    /// # Errors
    /// `Usage`, saying which; or when the input has to be read and cannot be.
    pub fn require_same(&self, settings_sha256: &str, partition: &str, input: &Path) -> Result<()> {
        let refusal = |found: String| {
            Err(Error::usage(format!("partition {partition}"))
                .found(format!("a catalogue that was made {found}"))
                .expected("one of this run")
                .remedy("Give --overwrite to replace it, or name another output folder."))
        };
        if self.settings_sha256 != settings_sha256 {
            return refusal("with another model, other options or another version of the program".into());
        }
        if !self.input.looks_like(input) && file_of(input).exists() && !self.input.is_content_of(input)? {
            return refusal(format!("from another input (SHA-256 {}), which is now {}", self.input.sha256, input.display()));
        }
        Ok(())
    }

    /// Whether the catalogue is there as it was written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_output(&self, output: &Path) -> Result<bool> {
        self.output.is_content_of(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_count_by_content_and_outputs_too() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(scratch.path());
        let (input, output) = (scratch.path().join("in"), folder.output("x/a.parquet"));
        std::fs::create_dir(scratch.path().join("x")).unwrap();
        std::fs::write(&input, "stars").unwrap();
        std::fs::write(&output, "catalogue").unwrap();
        let state = |path| FileState::read(path).unwrap();
        state(&input).require_unchanged().unwrap();
        let marker = Marker {
            settings_sha256: "s".into(),
            input: state(&input),
            output: state(&output),
            tally: Tally::default(),
            residuals: None,
        };
        assert!(Marker::read(&folder, "x/a.parquet").unwrap().is_none());
        marker.write(&folder, "x/a.parquet").unwrap();
        assert_eq!(Marker::read(&folder, "x/a.parquet").unwrap().unwrap(), marker);

        let require = |settings| marker.require_same(settings, "x/a.parquet", &input);
        require("s").unwrap();
        assert!(require("t").unwrap_err().to_string().contains("another model"));
        let earlier = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        std::fs::File::options().write(true).open(&input).unwrap().set_modified(earlier).unwrap();
        require("s").unwrap();
        std::fs::write(&input, "STARS").unwrap();
        let error = require("s").unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("another input"), "{error}");

        assert!(marker.has_output(&output).unwrap());
        std::fs::write(&output, "cat").unwrap();
        assert!(!marker.has_output(&output).unwrap() && !marker.has_output(&input).unwrap());
    }
}
