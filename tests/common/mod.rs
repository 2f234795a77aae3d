//! What the tests of the command line share: the program, a tiny recipe, and one tiny trained model.

#![allow(dead_code)] // each test binary uses a part

use assert_cmd::Command;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::table::{self, Column, Table, Values};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A recipe that trains in a fraction of a second.
pub const TINY_RECIPE: &str = r#"
description = "a tiny model for tests"
seed = 3

[data]
constraints = ["teff", "feh", "logg", "parallax", "extinction"]

[transforms]
extinction = "identity"

[[effect]]
kind = "emulator"
hidden = [8]

[[effect]]
kind = "extinction"

[[effect]]
kind = "distance"

[[stage]]
kind = "learn"
name = "first model"
epochs = 12
learning_rate = 1e-2

[[stage]]
kind = "learn"
name = "model and stars"
epochs = 12
learning_rate = 5e-3
stars = { method = "levenberg_marquardt", iterations = 1 }

[[stage]]
kind = "refine"
name = "final stars"
"#;

/// The program, in a folder.
pub fn photosphere(folder: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("photosphere"));
    command.current_dir(folder);
    command
}

/// Runs with arguments separated by spaces; gives exit code, standard output and standard error. A panic
/// fails the test.
pub fn run(folder: &Path, arguments: &str) -> (i32, String, String) {
    let output = photosphere(folder).args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (code, out, error) = (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr));
    assert!(!error.contains("panicked") && !error.contains("a fault of the program"), "{arguments}: {error}");
    (code, out, error)
}

/// Runs what must succeed; gives standard output.
pub fn succeed(folder: &Path, arguments: &str) -> String {
    let (code, out, error) = run(folder, arguments);
    assert_eq!(code, 0, "{arguments}: {error}");
    out
}

/// Runs what must fail with `code`, say every one of `words`, and leave nothing but the files that were
/// there.
pub fn fail(folder: &Path, arguments: &str, code: i32, words: &[&str]) {
    let before = files(folder);
    let (found, out, error) = run(folder, arguments);
    assert_eq!(found, code, "{arguments}: {error}");
    assert!(out.is_empty(), "{arguments}: {out}");
    for word in words {
        assert!(error.contains(word), "{arguments}: '{word}' is not in: {error}");
    }
    assert_eq!(error.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{arguments}: {error}");
    assert_eq!(files(folder), before, "{arguments}");
}

/// The names in a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The JSON that a command prints.
pub fn json(folder: &Path, arguments: &str) -> serde_json::Value {
    serde_json::from_str(&succeed(folder, arguments)).unwrap()
}

/// The observation table of `n` simulated stars.
pub fn observations(n: usize) -> Table {
    simulate(&SurveyConfig { n_stars: n, first_star: 500_000, ..SurveyConfig::default() }).unwrap()
}

/// The tiny model, trained once a test binary.
pub fn model() -> &'static Path {
    static MODEL: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.toml"), TINY_RECIPE).unwrap();
        succeed(folder.path(), "simulate -o overlap.parquet --stars 300");
        succeed(folder.path(), "train tiny.toml overlap.parquet -o model");
        let path = folder.path().join("model");
        (folder, path)
    });
    path
}

/// Writes a table into a folder.
pub fn write(table: &Table, folder: &Path, name: &str) {
    table::write(table, &folder.join(name), true).unwrap();
}

/// A table with one column changed in place.
pub fn with_column(mut table: Table, name: &str, change: impl FnOnce(&mut Column)) -> Table {
    let mut column = table.take(name).unwrap();
    change(&mut column);
    table.push(column).unwrap();
    table
}

/// The numbers of a column of 32- or 64-bit floats, to be changed.
pub fn set(column: &mut Column, position: usize, value: f64) {
    match &mut column.values {
        Values::Float32(values) => values[position] = value as f32,
        Values::Float64(values) => values[position] = value,
        other => panic!("{:?} is no float column", other.value_type()),
    }
}
