//! Inputs and folders that mean harm, or that somebody damaged: one partition never ends the others, no input
//! is written over, nothing that is not ours is replaced, and what was changed is not taken for finished.
#![cfg(unix)]

mod common;

use common::{fail, files, json, model, observations, photosphere, run, succeed, write};
use photosphere::table::{self, Column, ColumnSchema, Values};
use serde_json::Value;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};

/// A folder with three partitions of four stars in `in/`.
fn survey() -> TempDir {
    let folder = tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let table = observations(12);
    for (k, name) in ["a.parquet", "b.fits", "c.ecsv"].iter().enumerate() {
        write(&table.slice(4 * k..4 * k + 4), &folder.path().join("in"), name);
    }
    folder
}

fn fit(arguments: &str) -> String {
    format!("fit {} {arguments} --threads 1", model().display())
}

/// A run that must end with this exit code; gives what it printed as JSON, and what it logged.
fn ends(path: &Path, arguments: &str, code: i32) -> (Value, String) {
    let (found, out, error) = run(path, &format!("{arguments} --json"));
    assert_eq!(found, code, "{arguments}: {error}");
    (serde_json::from_str(&out).unwrap_or_default(), error)
}

fn bytes(path: &Path, name: &str) -> Vec<u8> {
    std::fs::read(path.join(name)).unwrap()
}

#[test]
fn a_partition_that_ended_two_processes_is_passed_by() {
    let folder = survey();
    let path = folder.path();
    // Large enough for a process to be killed while it works on it.
    write(&observations(3000).slice(12..3000), &path.join("in"), "b.parquet");
    std::fs::remove_file(path.join("in/b.fits")).unwrap();
    let lock = path.join("out/.photosphere/locks/b.parquet.lock");
    for n_killed in 1..=2 {
        let mut command = std::process::Command::new(photosphere(path).get_program());
        let arguments = fit("in -o out/ --resume");
        command.current_dir(path).args(arguments.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        let is_held = || std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&format!("process {} ", child.id())));
        while !is_held() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(lock.exists() && !path.join("out/b.parquet").exists(), "killed at work on it, {n_killed}");
    }
    for _ in 0..2 {
        let (summary, error) = ends(path, &fit("in -o out/ --resume"), 3);
        assert!(error.contains("in/b.parquet: found a partition on which 2 processes ended without a word"), "{error}");
        assert!(error.contains("--retry-lost"), "{error}");
        assert_eq!((summary["catalogues"].as_array().unwrap().len(), summary["failures"].as_array().unwrap().len()), (2, 1));
    }
    let (code, _, error) = run(path, "finalize out");
    assert!(code == 3 && error.contains("b.parquet: not done"), "{error}");
    let (_, error) = ends(path, &fit("in -o out/ --resume --retry-lost"), 0);
    assert!(error.contains("ended without a word"), "{error}");
    assert!(!lock.exists());
    succeed(path, "finalize out");
}

#[test]
fn what_cannot_be_looked_at_does_not_stop_the_others() {
    let folder = survey();
    let path = folder.path();
    std::fs::create_dir_all(path.join("in/deep")).unwrap();
    symlink("..", path.join("in/deep/loop")).unwrap();
    let (_, error) = ends(path, &fit("in -o looped/"), 0);
    assert!(error.contains("in/deep/loop: passed over, a link to"), "{error}");
    symlink("nowhere", path.join("in/dangling.fits")).unwrap();
    std::fs::write(path.join("in").join(std::ffi::OsStr::from_bytes(b"caf\xe9.fits")), "x").unwrap();
    std::fs::write(path.join("in/torn.fits"), "SIMPLE  =").unwrap();
    let (summary, error) = ends(path, &fit("in -o out/"), 3);
    assert_eq!(summary["catalogues"].as_array().unwrap().len(), 3, "{error}");
    for words in ["dangling.fits: not fitted", "not UTF-8", "torn.fits: not fitted"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    // One catalogue of all cannot leave some out.
    fail(path, &fit("in -o all.parquet"), 1, &["in/caf", "not UTF-8"]);
    // The output folder of a run is no input of the next.
    std::fs::rename(path.join("out"), path.join("in/out")).unwrap();
    let (summary, error) = ends(path, &fit("in -o in/out/ --resume"), 3);
    assert!(error.contains("in/out: passed over, the output folder of a run"), "{error}");
    assert_eq!(summary["catalogues"].as_array().unwrap().len(), 3);
    if let Some(closed) = closed_folder(path) {
        let (summary, error) = ends(path, &fit("in -o second/"), 3);
        assert!(error.contains("in/closed: not fitted") && summary["catalogues"].as_array().unwrap().len() == 3, "{error}");
        std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// An input that was renamed leaves its catalogue behind, in which its stars are twice; who deletes that goes
/// on without it. What was never fitted is not let go so.
#[test]
fn a_renamed_input_is_said_and_its_old_catalogue_can_be_deleted() {
    let folder = survey();
    let path = folder.path();
    ends(path, &fit("in -o out/"), 0);
    std::fs::rename(path.join("in/a.parquet"), path.join("in/z.parquet")).unwrap();
    let (_, error) = ends(path, &fit("in -o out/ --resume"), 0);
    assert!(error.contains("the inputs of 1 of its partitions are gone, in/a.parquet for one"), "{error}");
    fail(path, "finalize out", 1, &["in a.parquet and in z.parquet", "The input of a.parquet is gone", "delete out/a.parquet"]);
    std::fs::remove_file(path.join("out/a.parquet")).unwrap();
    let (summary, error) = ends(path, "finalize out", 0);
    assert!(error.contains("a.parquet: no part of the run any more"), "{error}");
    assert_eq!((&summary["withdrawn"][0], &summary["tally"]["stars"]), (&Value::from("a.parquet"), &Value::from(12)));
    std::fs::remove_file(path.join("in/c.ecsv")).unwrap();
    std::fs::remove_file(path.join("out/.photosphere/done/c.parquet.json")).unwrap();
    let (summary, error) = ends(path, "finalize out", 3);
    assert!(error.contains("c.parquet: not done"), "{error}");
    assert_eq!(summary["missing"][0]["partition"], "c.parquet");
}

/// The list of pixels says what belongs to a HATS catalogue, its properties how many rows.
#[test]
fn a_catalogue_without_one_of_its_pixels_is_not_whole() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let pixels = path.join("in/dataset/Norder=0/Dir=0");
    std::fs::create_dir_all(&pixels).unwrap();
    let table = observations(8);
    for (k, name) in ["Npix=3.parquet", "Npix=5.parquet"].iter().enumerate() {
        write(&table.slice(4 * k..4 * k + 4), &pixels, name);
    }
    std::fs::write(path.join("in/hats.properties"), "dataproduct_type=object\nhats_nrows=9\n").unwrap();
    std::fs::write(path.join("in/partition_info.csv"), "Norder,Npix\n0,3\n0,4\n0,5\n").unwrap();
    let missing = "dataset/Norder=0/Dir=0/Npix=4.parquet";
    let (summary, error) = ends(path, &fit("in -o out/"), 3);
    assert!(error.contains("1 of the pixels in partition_info.csv have no file"), "{error}");
    assert!(summary["failures"][0]["input"].as_str().is_some_and(|input| input.ends_with(missing)), "{summary:#}");
    let (summary, _) = ends(path, "finalize out", 3);
    assert_eq!(summary["missing"][0]["partition"], missing);
    fail(path, &fit("in -o all.parquet"), 1, &["Npix=4.parquet"]);
    std::fs::write(path.join("in/partition_info.csv"), "Norder,Npix\n0,3\n0,5\n").unwrap();
    ends(path, &fit("in -o whole/"), 0);
    let (summary, error) = ends(path, "finalize whole", 0);
    assert!(error.contains("8 stars, where the properties of the input say hats_nrows = 9"), "{error}");
    assert_eq!(summary["input_rows_stated"], 9);
}

/// A folder among the inputs that may not be listed; none where everything may be (root).
fn closed_folder(path: &Path) -> Option<PathBuf> {
    let closed = path.join("in/closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    match std::fs::read_dir(&closed) {
        Ok(_) => {
            println!("notice: this user may list every folder; the trial of a closed one is left out");
            std::fs::remove_dir(&closed).unwrap();
            None
        }
        Err(_) => Some(closed),
    }
}

#[test]
fn damaged_bookkeeping_is_told_and_made_again() {
    let folder = survey();
    let path = folder.path();
    let run_fit = fit("in -o out/");
    succeed(path, &run_fit);
    let whole = bytes(path, "out/a.parquet");
    let marker = path.join("out/.photosphere/done/a.parquet.json");
    for damage in ["", "{", "{\"settings_sha256\": 3}", "\u{0}\u{1b}[2J"] {
        std::fs::write(&marker, damage).unwrap();
        let (code, _, error) = run(path, "finalize out");
        assert!(code == 3 && error.contains("a.parquet.json: found a damaged file") && error.contains("--resume"), "{error}");
        let (_, error) = ends(path, &format!("{run_fit} --resume"), 0);
        assert!(error.contains("damaged file of the run's bookkeeping") && !error.contains('\u{1b}'), "{error}");
        assert_eq!(bytes(path, "out/a.parquet"), whole);
    }
    let manifest = path.join("out/.photosphere/run.json");
    std::fs::write(&manifest, "[]").unwrap();
    let (code, _, error) = run(path, &format!("{run_fit} --resume"));
    assert!(code == 1 && error.contains("run.json: found a damaged file") && error.contains("--overwrite"), "{error}");
    succeed(path, &format!("{run_fit} --overwrite"));

    // A lock through a link would write over what it points to.
    std::fs::write(path.join("precious"), "theirs").unwrap();
    let locks = path.join("out/.photosphere/locks");
    symlink(path.join("precious"), locks.join("b.parquet.lock")).unwrap();
    let (summary, error) = ends(path, &format!("{run_fit} --overwrite"), 3);
    assert!(error.contains("b.parquet.lock: found a symbolic link") && error.contains("Remove it"), "{error}");
    assert_eq!((summary["catalogues"].as_array().unwrap().len(), bytes(path, "precious")), (2, b"theirs".to_vec()));
}

#[test]
fn no_option_writes_over_an_input() {
    let folder = survey();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), common::TINY_RECIPE).unwrap();
    std::fs::write(path.join("options.toml"), "chunk = 64\n").unwrap();
    let copied =
        std::process::Command::new("cp").args(["-r", &model().display().to_string(), "model"]).current_dir(path).status();
    assert!(copied.unwrap().success());
    write(&observations(4), path, "stars.parquet");
    std::fs::hard_link(path.join("stars.parquet"), path.join("hard.parquet")).unwrap();
    symlink("stars.parquet", path.join("soft.parquet")).unwrap();
    symlink("in", path.join("linked")).unwrap();
    let prepare = "labels = []\n[[tables]]\nfiles = [\"in/a.parquet\"]\n[photometry]\nsets = [\"2mass\"]\n";
    std::fs::write(path.join("prepare.toml"), prepare).unwrap();
    succeed(path, "fit model stars.parquet -o catalogue.parquet");
    let refused = |arguments: &str, outputs: &[&str]| {
        for output in outputs {
            for option in ["--overwrite", "--resume"] {
                if option == "--resume" && !(arguments.starts_with("fit") || arguments.starts_with("train")) {
                    continue;
                }
                let arguments = format!("{arguments} -o {output} {option}");
                let before = std::fs::read_dir(path).unwrap().count();
                let (code, _, error) = run(path, &arguments);
                assert!(code == 2 && error.contains("no option writes over an input"), "{arguments}: {code} {error}");
                assert_eq!(std::fs::read_dir(path).unwrap().count(), before, "{arguments}");
            }
        }
    };
    let stars = ["stars.parquet", "./in/../stars.parquet", "hard.parquet", "soft.parquet"];
    refused("fit model stars.parquet", &stars);
    refused("fit model soft.parquet", &stars);
    refused("fit model stars.parquet --config options.toml", &["model/weights.safetensors", "model/prior.toml", "options.toml"]);
    refused("fit model in", &["in/", "linked/", "in/../in/"]);
    refused("fit model in/a.parquet in/b.fits", &["in/"]);
    refused("train tiny.toml stars.parquet", &stars);
    refused("train tiny.toml model/training_stars.parquet", &["model"]);
    refused("prepare prepare.toml", &["in/a.parquet", "prepare.toml"]);
    std::fs::write(path.join("sky.toml"), "n_stars = 3\n").unwrap();
    refused("simulate --config sky.toml", &["sky.toml"]);
    refused("audit model stars.parquet catalogue.parquet", &["catalogue.parquet", "hard.parquet", "model/model.toml"]);
    assert_eq!(table::read(&path.join("stars.parquet")).unwrap().n_rows(), 4);
    assert_eq!(files(&path.join("in")), ["a.parquet", "b.fits", "c.ecsv"]);
    let (code, _, error) = run(path, "simulate --stars 3 -o new.parquet --raw ./new.parquet");
    assert!(code == 2 && error.contains("the same file"), "{error}");
}

#[test]
fn training_replaces_models_and_nothing_else() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), common::TINY_RECIPE).unwrap();
    succeed(path, "simulate -o overlap.parquet --stars 300");
    let train = "train tiny.toml overlap.parquet";
    std::fs::create_dir(path.join("home")).unwrap();
    std::fs::write(path.join("home/thesis.tex"), "years").unwrap();
    std::fs::write(path.join("file"), "theirs").unwrap();
    fail(path, &format!("{train} -o home --overwrite"), 1, &["home", "thesis.tex", "a model directory or an empty folder"]);
    fail(path, &format!("{train} -o file --overwrite"), 1, &["file", "no folder"]);
    fail(path, &format!("{train} -o . --overwrite"), 2, &["holds the input"]);
    assert_eq!(std::fs::read_to_string(path.join("home/thesis.tex")).unwrap(), "years");
    std::fs::create_dir(path.join("model")).unwrap();
    succeed(path, &format!("{train} -o model --overwrite"));
    let finished = run(path, &format!("{train} -o model --resume"));
    assert!(finished.0 == 0 && finished.2.contains("finished already"), "{}", finished.2);
    std::fs::write(path.join("model/notes.md"), "mine").unwrap();
    fail(path, &format!("{train} -o model --overwrite"), 1, &["notes.md"]);
    std::fs::remove_file(path.join("model/notes.md")).unwrap();
    // A finished model that somebody changed is none.
    let weights = path.join("model/weights.safetensors");
    let mut changed = std::fs::read(&weights).unwrap();
    let last = changed.len() - 2;
    changed[last] ^= 1;
    std::fs::write(&weights, &changed).unwrap();
    fail(path, &format!("{train} -o model --resume"), 1, &["weights.safetensors", "not as it was written"]);
    succeed(path, &format!("{train} -o model --overwrite"));
    assert_ne!(std::fs::read(&weights).unwrap(), changed);
}

#[test]
fn single_catalogues_are_finished_by_their_content() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    write(&observations(8), path, "stars.parquet");
    for name in ["catalogue.parquet", "catalogue.fits", "catalogue.ecsv", "catalogue.csv"] {
        let command = fit(&format!("stars.parquet -o {name}"));
        succeed(path, &command);
        let whole = bytes(path, name);
        let again = || run(path, &format!("{command} --resume"));
        assert!(again().2.contains("finished already"), "{name}");
        std::fs::write(path.join(name), &whole[..whole.len() * 2 / 3]).unwrap();
        let (code, _, error) = again();
        assert!(code == 0 && error.contains("made again"), "{name}: {code} {error}");
        assert_eq!(bytes(path, name), whole, "{name}");
        // One digit, or one byte, changed in place.
        let mut changed = whole.clone();
        let at = changed.len() * 3 / 5;
        changed[at] = if changed[at].is_ascii_digit() { b'0' + (changed[at] - b'0' + 1) % 10 } else { changed[at] ^ 1 };
        std::fs::write(path.join(name), &changed).unwrap();
        let (_, _, error) = again();
        assert!(!error.contains("finished already"), "{name}: {error}");
        // Another's table under that name is never replaced.
        let theirs = table::Table::new(vec![Column::scalar(ColumnSchema::new("x", "", ""), Values::Int64(vec![1]))]).unwrap();
        write(&theirs, path, name);
        let theirs = bytes(path, name);
        assert_eq!(again().0, 2, "{name}");
        assert_eq!(bytes(path, name), theirs);
        std::fs::set_permissions(path.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        succeed(path, &format!("{command} --overwrite"));
        assert_eq!(std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "permissions stay");
        assert_eq!(bytes(path, name), whole);
    }
}

#[test]
fn nothing_from_a_file_reaches_the_terminal_raw() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}";
    let mut table = observations(2);
    table
        .push(Column::scalar(ColumnSchema::new(format!("a{hostile}"), hostile, hostile), Values::Text(vec![hostile.into(); 2])))
        .unwrap();
    table.metadata.insert(format!("k{hostile}"), hostile.into());
    write(&table, path, "stars.parquet");
    let is_clean = |text: &str| !text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']);
    let shown = succeed(path, "inspect stars.parquet");
    assert!(is_clean(&shown) && shown.contains("a\\x1b]0;owned\\x07\\x9b31m\\u{202e}"), "{shown}");
    let shown = succeed(path, "inspect stars.parquet --json");
    assert!(is_clean(&shown), "{shown}");
    let parsed: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(parsed["columns"].as_array().unwrap().last().unwrap()["name"], format!("a{hostile}"));
    let (code, _, error) = run(path, &fit(&format!("stars.parquet -o c.parquet --keep nothing{hostile}")));
    assert!(code == 1 && is_clean(&error) && error.contains("\\x1b"), "{code} {error}");
    let named = format!("stars{hostile}.parquet");
    std::fs::rename(path.join("stars.parquet"), path.join(&named)).unwrap();
    std::fs::create_dir(path.join("in")).unwrap();
    std::fs::rename(path.join(&named), path.join("in").join(&named)).unwrap();
    let (_, error) = ends(path, &fit("in -o out/ --keep ra"), 0);
    assert!(is_clean(&error), "{error}");
}

#[test]
fn names_of_any_length_are_shown() {
    let folder = tempdir().unwrap();
    let long = "x".repeat(70_000);
    std::fs::write(folder.path().join("long.csv"), format!("source_id,{long}\n1,2\n")).unwrap();
    let shown = succeed(folder.path(), "inspect long.csv");
    assert!(shown.contains(&format!("{}…", "x".repeat(70))) && shown.len() < 2000, "{} characters", shown.len());
}

#[test]
fn tables_without_a_star_in_common_have_an_exit_code() {
    use photosphere::simulate::{RawSurvey, Simulator, SurveyConfig};
    let folder = tempdir().unwrap();
    let path = folder.path();
    let config = SurveyConfig { n_stars: 6, first_star: 700_000, ..SurveyConfig::default() };
    let RawSurvey { spectra, catalogue } = Simulator::new(config).unwrap().raw_table(0..6).unwrap();
    write(&spectra, path, "xp.parquet");
    write(&catalogue, path, "stars.fits");
    let others = common::with_column(catalogue.clone(), "source_id", |ids| ids.values = Values::Int64((1..=6).collect()));
    write(&others, path, "others.fits");
    let (summary, error) = ends(path, &fit("xp.parquet --join others.fits -o c.parquet"), 4);
    assert!(error.contains("others.fits: NOTHING WAS JOINED"), "{error}");
    let warnings = summary["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|text| text.as_str().unwrap().contains("NOTHING WAS JOINED")), "{summary:#}");
    assert_eq!(ends(path, &fit("xp.parquet --join others.fits -o parts/"), 4).0["catalogues"][0]["stars"], 6);
    ends(path, &fit("xp.parquet --join stars.fits -o d.parquet"), 0);
    let recipe =
        "labels = []\n[xp]\nfiles = [\"xp.parquet\"]\n[[tables]]\nfiles = [\"others.fits\"]\n[photometry]\nsets = [\"2mass\"]\n";
    std::fs::write(path.join("prepare.toml"), recipe).unwrap();
    let (summary, _) = ends(path, "prepare prepare.toml -o prepared.parquet", 4);
    assert_eq!((&summary["matched_stars"]["others.fits"], &summary["unmatched_rows"]["others.fits"]), (&0.into(), &6.into()));

    // A star twice in a joined table.
    write(&catalogue.select(&[0, 1, 2, 3, 4, 5, 0]), path, "twice.fits");
    fail(path, &fit("xp.parquet --join twice.fits -o e.parquet"), 1, &["1 identifiers again", "--join-duplicates keep-first"]);
    let kept = json(path, &format!("{} --json", fit("xp.parquet --join twice.fits --join-duplicates keep-first -o e.parquet")));
    assert!(kept["warnings"].to_string().contains("1 rows dropped as duplicates"), "{kept:#}");
    // Of a folder, all tables are one.
    std::fs::create_dir(path.join("joined")).unwrap();
    write(&catalogue.slice(0..3), &path.join("joined"), "1.fits");
    write(&catalogue.slice(3..6), &path.join("joined"), "2.fits");
    let joined = json(path, &format!("{} --json", fit("xp.parquet --join joined -o f.parquet")));
    assert!(joined["warnings"].to_string().contains("its 2 tables (joined/1.fits, …) are read as one"), "{joined:#}");
    let columns = |name: &str| format!("{:?}", table::read(&path.join(name)).unwrap().columns());
    assert_eq!(columns("f.parquet"), columns("d.parquet"));
}

#[test]
fn outputs_have_names_that_can_be_told() {
    let folder = tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.parquet");
    let ended = photosphere(folder.path()).args(["simulate", "--stars", "3", "-o"]).arg(name).output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(2) && error.contains("not UTF-8"), "{error}");
    assert!(files(folder.path()).is_empty());
    // An input of such a name is read, with a warning.
    write(&observations(3), folder.path(), "stars.parquet");
    std::fs::rename(folder.path().join("stars.parquet"), folder.path().join(name)).unwrap();
    let fitted =
        photosphere(folder.path()).arg("fit").arg(model()).arg(name).args(["-o", "c.parquet", "--json"]).output().unwrap();
    let error = String::from_utf8(fitted.stderr).unwrap();
    assert!(fitted.status.success() && error.matches("not UTF-8").count() == 1, "{error}");
}
