//! Provenance of an output: what made it, from what, and a hash by which a finished run is recognised.

use super::interrupt;
use crate::error::{Error, Result};
use crate::table::{Location, Table, file_of};
use crate::text::hexadecimal;
use crate::text::{of_one_line, on_one_line};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are hashed at once.
const BLOCK: usize = 1 << 20;

/// Metadata key of the hash over everything that decides the output.
pub const RUN: &str = "run_sha256";

/// Entries for the output's metadata.
#[derive(Debug, Clone)]
pub struct Provenance {
    entries: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
}

/// An input file as it enters provenance.
#[derive(Debug, Clone)]
pub struct Input {
    pub path: PathBuf,
    /// `None` where only reading the whole file would show it.
    pub n_rows: Option<usize>,
    pub sha256: String,
}

impl Provenance {
    /// Provenance of the output of a command.
    pub fn new(command: &str) -> Self {
        let empty = Self { entries: BTreeMap::new(), settings: BTreeMap::new() };
        empty
            .with("program", concat!("photosphere ", env!("CARGO_PKG_VERSION")))
            .with("command", command)
            .noted("git_hash", option_env!("PHOTOSPHERE_GIT_HASH").unwrap_or("unknown"))
    }

    /// Adds an entry that decides the output.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        self.settings.insert(key.into(), value.clone());
        self.noted(key, value)
    }

    /// Adds an entry that does not (a file's name, say).
    pub fn noted(mut self, key: &str, value: impl Into<String>) -> Self {
        self.entries.insert(key.into(), value.into());
        self
    }

    /// Adds the input files: their content decides the output, their names do not.
    pub fn with_inputs(self, inputs: &[Input]) -> Self {
        let contents: Vec<String> = inputs.iter().map(|input| content(&input.path, &input.sha256)).collect();
        let list: Vec<serde_json::Value> = inputs
            .iter()
            .map(|input| {
                let name = input.path.file_name().unwrap_or_default().to_string_lossy();
                match input.n_rows {
                    Some(rows) => serde_json::json!({ "name": name, "rows": rows, "sha256": input.sha256 }),
                    None => serde_json::json!({ "name": name, "sha256": input.sha256 }),
                }
            })
            .collect();
        self.with("inputs", contents.join(" ")).noted("inputs", serde_json::Value::from(list).to_string())
    }

    /// The entries that decide the output.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// The hash over the entries that decide the output.
    pub fn run(&self) -> String {
        sha256_of_settings(&self.settings)
    }

    /// All entries and the hash.
    pub fn entries(&self) -> BTreeMap<String, String> {
        let mut entries = self.entries.clone();
        entries.insert(RUN.into(), self.run());
        entries
    }

    /// The same as a table's metadata, each on one line ([`on_one_line`]).
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.entries().into_iter().map(|(key, value)| (key, on_one_line(&value).into_owned())).collect()
    }
}

/// What of a file decides an output: the hash of its content, and the tables that the path chooses in it.
pub fn content(path: &Path, sha256: &str) -> String {
    match Location::parse(path).tables {
        tables if tables.is_empty() => sha256.to_owned(),
        tables => format!("{sha256}[{}]", tables.join("+")),
    }
}

/// Whether measured values of a parameter constrained the fit that made a table, as its metadata say; `None`
/// where they say nothing of it. `names`, in any case, are the parameter's own and the role by which options
/// may mean it: catalogues of before have these alone, in which names of roles are not resolved and held
/// parameters not left out.
pub fn was_constraint(table: &Table, names: &[&str]) -> Option<bool> {
    let is_meant = |other: &str| names.iter().any(|name| name.eq_ignore_ascii_case(other));
    if let Some(constraints) = table.metadata_of("constraints") {
        return Some(of_one_line(constraints).split(',').any(is_meant));
    }
    let options: toml::Table = of_one_line(table.metadata_of("options")?).parse().ok()?;
    let is_held = options.get("hold").and_then(toml::Value::as_table).is_some_and(|held| held.keys().any(|name| is_meant(name)));
    let constraints = options.get("constraints")?.as_array()?;
    Some(!is_held && constraints.iter().filter_map(toml::Value::as_str).any(is_meant))
}

/// SHA-256 of settings, by key and value.
pub fn sha256_of_settings(settings: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for part in settings.iter().flat_map(|(key, value)| [key, value]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hexadecimal(hash)
}

/// SHA-256 of a file's content, the whole of it where the path chooses a table.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let kind = file_of(path).metadata().map_err(|error| unreadable(path, error))?;
    if !kind.is_file() && !kind.is_dir() {
        // It may have no end, and is read more than once.
        return Err(Error::data(path.display().to_string())
            .found("a pipe or a device")
            .expected("a file")
            .remedy("Write it into a file first."));
    }
    let mut file = File::open(file_of(path)).map_err(|error| unreadable(path, error))?;
    let mut block = vec![0; BLOCK];
    loop {
        interrupt::check(|| path.display().to_string(), "Nothing was written; run the command again.")?;
        match file.read(&mut block).map_err(|error| unreadable(path, error))? {
            0 => return Ok(hexadecimal(hash)),
            n => hash.update(&block[..n]),
        }
    }
}

/// The error for an input that cannot be opened or read.
pub fn unreadable(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::data(path.display().to_string())
            .found("no such file")
            .remedy("Correct the name; it is relative to the working directory.")
            .source(error),
        std::io::ErrorKind::IsADirectory => Error::data(path.display().to_string())
            .found("a folder")
            .expected("a file")
            .remedy("Name the file in it, or the files one by one.")
            .source(error),
        _ => Error::reading(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_depends_on_what_decides_it_alone() {
        let run = |options: &str, name: &str| {
            let inputs = [Input { path: name.into(), n_rows: Some(3), sha256: "aa".into() }];
            Provenance::new("fit").with("options", options).with_inputs(&inputs).noted("model_path", name).run()
        };
        assert_eq!(run("a", "x/1.fits"), run("a", "2.fits"));
        assert_ne!(run("a", "1.fits"), run("b", "1.fits"));
        assert_ne!(run("a", "1.fits"), run("a", "1.fits[RVTAB]"), "another table of the same file");
        let split = |a: &str, b: &str| Provenance::new("fit").with(a, b).run();
        assert_ne!(split("ab", "c"), split("a", "bc"));
    }

    #[test]
    fn constraints_of_fits_are_known_by_their_metadata() {
        let of = |metadata: &[(&str, &str)], names: &[&str]| {
            let mut table = Table::default();
            table.metadata = metadata.iter().map(|(key, text)| ((*key).into(), on_one_line(text).into_owned())).collect();
            was_constraint(&table, names)
        };
        let names = ["plx", "distance"];
        // What a fit writes: resolved names, in which a role would be a parameter of that name.
        let default = "constraints = [\"distance\"]\n\n[hold]\n";
        assert_eq!(of(&[("options", default), ("constraints", "teff,plx")], &names), Some(true));
        assert_eq!(of(&[("OPTIONS", default), ("CONSTRAINTS", "teff,plx")], &["PLX"]), Some(true), "copied to FITS");
        assert_eq!(of(&[("options", default), ("constraints", "")], &names), Some(false), "held");
        // Catalogues of before.
        assert_eq!(of(&[("options", default)], &names), Some(true));
        assert_eq!(of(&[("options", default)], &["teff"]), Some(false));
        assert_eq!(of(&[("options", "constraints = [\"distance\"]\n[hold]\nplx = 1.0\n")], &names), Some(false));
        assert_eq!(of(&[("options", "constraints = []")], &names), Some(false));
        for unknown in [&[][..], &[("options", "constraints = 3")], &[("options", "seed = 1")], &[("options", "?")]] {
            assert_eq!(of(unknown, &names), None, "{unknown:?}");
        }
    }

    #[test]
    fn files_hash_as_sha256sum_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1
        assert_eq!(sha256_of_file(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        if cfg!(unix) {
            let error = sha256_of_file(Path::new("/dev/zero")).unwrap_err();
            assert!(error.to_string().contains("a pipe or a device"), "{error}");
        }
        assert!(sha256_of_file(&folder.path().join("b")).unwrap_err().to_string().contains("no such file"));
    }
}
