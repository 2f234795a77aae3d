//! What happens to an output that exists already, and how a finished one is known again: by its hash, as the
//! partitions of a run are.

use super::provenance::RUN;
use super::tally::Tally;
use super::{FileState, RunFolder, read_json, replace};
use crate::error::{Error, Result};
use crate::residuals::ResidualSums;
use crate::table::{check_target, read_chunks};
use crate::warning::warn_once;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What may happen to an output that exists.
#[derive(Debug, Clone, Copy, Default)]
pub struct Existing {
    /// It may be replaced (`--overwrite`); an input of the command never is.
    pub overwrite: bool,
    /// It is kept where it is finished already, from the same inputs and options (`--resume`).
    pub resume: bool,
}

/// What is to be done about an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is there as this run wrote it; with the numbers of its stars, if they were recorded.
    Finished(Option<Tally>),
    /// It is to be written, in place of what is there if `overwrite`.
    Open { overwrite: bool },
}

impl Existing {
    /// How the table at `path` stands to the run with this hash. Only with `--resume` can it be finished:
    /// when a record of the run ([`record`]) says that its content is still the same. A torn one, or one of
    /// this run without a record, is made again.
    ///
    /// # Errors
    /// When it exists and may neither be kept (another run made it, or somebody changed it) nor replaced.
    pub fn standing(self, path: &Path, run: &str) -> Result<Standing> {
        if !(self.resume && path.is_file()) {
            check_target(path, self.overwrite)?;
            return Ok(Standing::Open { overwrite: self.overwrite });
        }
        let recorded = Record::read(path).filter(|record| record.run == run);
        if let Some(record) = &recorded
            && record.output.is_content_of(path)?
        {
            tracing::info!("{}: finished already", path.display());
            return Ok(Standing::Finished(record.tally));
        }
        let first = read_chunks(path, 1).and_then(|mut chunks| chunks.next().transpose());
        match (first, recorded) {
            (Ok(first), recorded) => {
                let found = first.as_ref().and_then(|table| table.metadata.get(RUN));
                if found.is_none() && recorded.is_some() {
                    return Err(Error::usage(path.display().to_string())
                        .found("other content than this run wrote")
                        .expected("the output as it was written")
                        .remedy("Give --overwrite to replace it, or name another output."));
                }
                require_same_run(path, found, run)?;
            }
            (Err(_), Some(_)) => {}
            (Err(error), None) => {
                return Err(error.remedy("It is no finished output: give --overwrite to replace it, or name another output."));
            }
        }
        warn_once(format!("{}: not known to be as it was written, and made again", path.display()));
        Ok(Standing::Open { overwrite: true })
    }
}

/// A finished output, in `.photosphere/files/` beside it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Hash over everything that decides the output.
    run: String,
    output: FileState,
    /// Of a catalogue; records of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tally: Option<Tally>,
    /// Of a catalogue of fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    residuals: Option<ResidualSums>,
}

impl Record {
    fn path(output: &Path) -> PathBuf {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        RunFolder::new(output.parent().unwrap_or(Path::new(""))).record(&name)
    }

    /// The record of an output; a damaged one is as good as none.
    fn read(output: &Path) -> Option<Self> {
        let path = Self::path(output);
        let record = if path.is_file() { read_json(&path) } else { return None };
        record.inspect_err(|error| warn_once(error.to_string())).ok()
    }
}

/// Records that `output` is finished, its content, and of a catalogue the numbers of its stars. The result
/// itself does not depend on it: a failure is only said.
pub fn record(output: &Path, run: &str, tally: Option<Tally>) {
    record_fit(output, run, tally, None);
}

/// As [`record()`], of a catalogue of fits with the sums over its residuals.
pub fn record_fit(output: &Path, run: &str, tally: Option<Tally>, residuals: Option<&ResidualSums>) {
    let write = || {
        let path = Record::path(output);
        let (run, residuals) = (run.to_owned(), residuals.cloned());
        let record = Record { run, output: FileState::read(output)?, tally, residuals };
        let text = serde_json::to_string_pretty(&record).map_err(|error| Error::writing(&path, error))?;
        replace(&path, &text)
    };
    if let Err(error) = write() {
        warn_once(format!("{}: --resume will not know it for finished: {error}", output.display()));
    }
}

/// The sums over residuals that were recorded of an output, if any.
pub fn recorded_residuals(output: &Path) -> Option<ResidualSums> {
    Record::read(output)?.residuals.filter(ResidualSums::is_whole)
}

/// Fails when an existing output was made from other inputs or with other options.
///
/// # Errors
/// `Usage`, naming the output.
pub fn require_same_run(path: &Path, found: Option<&String>, run: &str) -> Result<()> {
    if found.is_some_and(|found| found == run) {
        return Ok(());
    }
    Err(Error::usage(path.display().to_string())
        .found("the result of a run with other inputs, options or program version")
        .expected("that of this run")
        .remedy("Give --overwrite to replace it, or name another output."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, ColumnSchema, Table, Values, write};

    #[test]
    fn finished_outputs_are_known_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let resume = Existing { overwrite: false, resume: true };
        for name in ["a.parquet", "a.fits", "a.ecsv"] {
            let path = folder.path().join(name);
            let standing = |run: &str| resume.standing(&path, run);
            let mut table =
                Table::new(vec![Column::scalar(ColumnSchema::new("x", "", ""), Values::Float64(vec![1.5; 50]))]).unwrap();
            table.metadata.insert(RUN.into(), "one".into());
            assert_eq!(standing("one").unwrap(), Standing::Open { overwrite: false });
            write(&table, &path, false).unwrap();
            assert_eq!(standing("one").unwrap(), Standing::Open { overwrite: true }, "nothing tells that it is whole");
            record(&path, "one", None);
            assert_eq!(standing("one").unwrap(), Standing::Finished(None), "as records of before");
            let tally = Tally { stars: 50, basic_cut: 40, ..Tally::default() };
            record(&path, "one", Some(tally));
            assert_eq!(standing("one").unwrap(), Standing::Finished(Some(tally)));
            assert_eq!(standing("two").unwrap_err().exit_code(), 2);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            assert_eq!(standing("one").unwrap(), Standing::Open { overwrite: true }, "torn: {name}");
            table.metadata.clear();
            write(&table, &path, true).unwrap();
            assert_eq!(standing("one").unwrap_err().exit_code(), 2, "somebody else's: {name}");
            let torn_record = Record::path(&path);
            std::fs::write(&torn_record, "{").unwrap();
            assert_eq!(standing("one").unwrap_err().exit_code(), 2);
        }
        assert!(Existing::default().standing(&folder.path().join("a.fits"), "one").is_err());
    }
}
