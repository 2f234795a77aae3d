//! What a run is: its settings and its partitions.

use super::folder::replace;
use super::hats::Properties;
use super::{Lock, RunFolder, Survey};
use crate::error::{Error, Result};
use crate::table::file_of;
use crate::warning::warn_once;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Version of the files in `.photosphere/`.
const FORMAT: u32 = 1;

/// The settings that all catalogues of a run share, and all its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Everything but the inputs that decides the catalogues: program, model, options, kept columns.
    pub settings: BTreeMap<String, String>,
    /// Inputs by the names of their partitions.
    pub partitions: BTreeMap<String, PathBuf>,
    /// Properties of the HATS catalogue that is fitted, if it is one.
    pub hats: Option<Properties>,
}

impl Manifest {
    /// The manifest of a survey to be fitted.
    pub fn new(settings: &BTreeMap<String, String>, survey: &Survey) -> Self {
        let partitions = survey.partitions.iter().map(|partition| (partition.name.clone(), partition.input.clone()));
        Self { format: FORMAT, settings: settings.clone(), partitions: partitions.collect(), hats: survey.hats.clone() }
    }

    /// Enters this run into the folder: begins a new one there, or joins the run that is there, to which it
    /// may add partitions.
    ///
    /// # Errors
    /// `Usage`, naming every difference, when the folder has a run with other settings and `overwrite` is
    /// false; and when the folder cannot be written to.
    pub fn enter(mut self, folder: &RunFolder, overwrite: bool) -> Result<Self> {
        let path = folder.manifest();
        let _lock = Lock::take(&folder.manifest_lock())?;
        // With `overwrite` a damaged manifest is replaced as one of another run is.
        let found = if path.exists() { Some(Self::read(folder)).filter(|found| found.is_ok() || !overwrite) } else { None };
        if let Some(found) = found.transpose()? {
            let differences = differences(&found.settings, &self.settings);
            if differences.is_empty() {
                self.hats = self.hats.filter(|_| found.hats.is_some());
                warn_of_gone(folder, &found.partitions, &self.partitions);
                let mut partitions = found.partitions.clone();
                partitions.append(&mut self.partitions);
                self.partitions = partitions;
                if self == found {
                    return Ok(self);
                }
            } else if !overwrite {
                return Err(Error::usage(folder.root().display().to_string())
                    .found(format!("a run with other settings ({})", differences.join("; ")))
                    .expected("those of this run")
                    .remedy("Give --overwrite to begin anew, or name another output folder."));
            }
        }
        let text = serde_json::to_string_pretty(&self).map_err(|error| Error::writing(&path, error))?;
        replace(&path, &text)?;
        Ok(self)
    }

    /// Reads the manifest of a run.
    ///
    /// # Errors
    /// `Usage` when the folder has none; when it is damaged or of another version.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let path = folder.manifest();
        if !path.is_file() {
            return Err(Error::usage(folder.root().display().to_string())
                .found(format!("no {}", path.strip_prefix(folder.root()).unwrap_or(&path).display()))
                .expected("the output folder of `photosphere fit`")
                .remedy("Name the folder that was given as --output, with more than one input or a name ending in /."));
        }
        let manifest: Self = read_json(&path)?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(Error::data(path.display().to_string())
                .found(format!("format {other}"))
                .expected(format!("format {FORMAT}"))
                .remedy("Use the program version that began the run.")),
        }
    }
}

/// Warns of partitions of the run that are no inputs any more, and whose inputs are not there.
fn warn_of_gone(folder: &RunFolder, found: &BTreeMap<String, PathBuf>, wanted: &BTreeMap<String, PathBuf>) {
    let mut gone = found.iter().filter(|(name, input)| !wanted.contains_key(*name) && is_gone(input));
    let Some((name, input)) = gone.next() else { return };
    warn_once(format!(
        "{}: the inputs of {} of its partitions are gone, {} for one: they stay part of the run; where they were renamed or removed for good, \
         delete their catalogues ({})",
        folder.root().display(),
        1 + gone.count(),
        input.display(),
        folder.output(name).display()
    ));
}

/// Whether an input is not there any more.
pub fn is_gone(input: &Path) -> bool {
    !file_of(input).exists()
}

/// Reads a file of `.photosphere/`.
///
/// # Errors
/// When it cannot be read or has other content.
pub fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let damaged = |error: String| {
        Error::data(path.display().to_string())
            .found(format!("a damaged file of the run's bookkeeping ({error})"))
            .expected("what this program wrote")
            .remedy("Remove that file and give --resume: what it told of is made again. Or begin anew with --overwrite.")
    };
    let text = std::fs::read_to_string(path).map_err(|error| damaged(error.to_string()).source(error))?;
    serde_json::from_str(&text).map_err(|error| damaged(error.to_string()).source(error))
}

/// Every setting that differs, with the lines that do.
fn differences(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let only =
        |one: &str, other: &str| match one.lines().filter(|line| !other.lines().any(|same| same == *line)).collect::<Vec<_>>() {
            lines if lines.is_empty() => "nothing".to_owned(),
            lines => lines.join(", "),
        };
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    keys.into_iter()
        .map(|key| (key, found.get(key).map_or("", String::as_str), wanted.get(key).map_or("", String::as_str)))
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(key, found, wanted)| match sorted(found) == sorted(wanted) {
            true => format!("{key}: the same in another order"),
            false => format!("{key}: {} in place of {}", only(found, wanted), only(wanted, found)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Partition;
    use super::*;

    fn manifest(options: &str, names: &[&str]) -> Manifest {
        let settings = BTreeMap::from([("options".to_owned(), options.to_owned())]);
        let partitions = names.iter().map(|name| Partition { name: (*name).into(), input: format!("in/{name}").into() });
        let partitions = partitions.collect();
        Manifest::new(&settings, &Survey { partitions, unlisted: Vec::new(), folders: Vec::new(), hats: None })
    }

    #[test]
    fn runs_are_joined_extended_refused_and_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(scratch.path());
        assert_eq!(Manifest::read(&folder).unwrap_err().exit_code(), 2);
        manifest("draws = 3\nruns = 4", &["a", "b"]).enter(&folder, false).unwrap();
        let joined = manifest("draws = 3\nruns = 4", &["b", "c"]).enter(&folder, false).unwrap();
        assert!(
            crate::warning::said().iter().any(|text| text.contains("the inputs of 1 of its partitions are gone, in/a for one"))
        );
        assert_eq!(joined.partitions.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(Manifest::read(&folder).unwrap(), joined);
        let error = manifest("draws = 5\nruns = 4", &["a"]).enter(&folder, false).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("options: draws = 3 in place of draws = 5)"), "{error}");
        assert_eq!(Manifest::read(&folder).unwrap(), joined);
        let error = manifest("runs = 4\ndraws = 3", &["a"]).enter(&folder, false).unwrap_err().to_string();
        assert!(error.contains("(options: the same in another order)"), "{error}");
        manifest("draws = 5\nruns = 4", &["a"]).enter(&folder, true).unwrap();
        assert_eq!(Manifest::read(&folder).unwrap().partitions.len(), 1);
        std::fs::write(folder.manifest(), "{").unwrap();
        let error = manifest("draws = 5\nruns = 4", &["a"]).enter(&folder, false).unwrap_err().to_string();
        assert!(error.contains("run.json") && error.contains("--overwrite"), "{error}");
        manifest("draws = 5\nruns = 4", &["a"]).enter(&folder, true).unwrap();
    }
}
