//! Bad input, through the program: a clear error with exit code 1 or 2 or a flagged row; no panic, no partial
//! output, nothing lost.

mod common;

use common::{fail, files, json, model, observations, run, set, succeed, with_column, write};
use photosphere::infer::flags;
use photosphere::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// Fits `table` and gives the catalogue.
fn catalogue(table: &Table, options: &str) -> Table {
    let folder = tempdir().unwrap();
    write(table, folder.path(), "stars.parquet");
    succeed(folder.path(), &format!("fit {} stars.parquet -o catalogue.parquet {options}", model().display()));
    // The hidden folder has the hash by which --resume knows the catalogue again.
    assert_eq!(files(folder.path()), [".photosphere", "catalogue.parquet", "stars.parquet"]);
    table::read(&folder.path().join("catalogue.parquet")).unwrap()
}

fn quality_flags(catalogue: &Table) -> Vec<i32> {
    catalogue.column("quality_flags").unwrap().to_i64().unwrap().into_iter().map(|bits| bits as i32).collect()
}

fn numbers(catalogue: &Table, name: &str) -> Vec<f64> {
    catalogue.column(name).unwrap().to_f64().unwrap()
}

/// Fitting the file `name` must fail with exit code 1.
fn fit_fails(folder: &TempDir, name: &str, words: &[&str]) {
    fail(folder.path(), &format!("fit {} {name} -o catalogue.parquet", model().display()), 1, words);
}

#[test]
fn truncated_files() {
    let folder = tempdir().unwrap();
    for name in ["stars.ecsv.gz", "stars.fits", "stars.parquet", "stars.fits.gz"] {
        write(&observations(20), folder.path(), name);
        let path = folder.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        fit_fails(&folder, name, &[name]);
        fail(folder.path(), &format!("train xp {name} -o model"), 1, &[name]);
        fail(folder.path(), &format!("inspect {name}"), 1, &[name]);
    }
    std::fs::write(folder.path().join("empty.fits"), "").unwrap();
    fit_fails(&folder, "empty.fits", &["empty.fits"]);
    fit_fails(&folder, "absent.fits", &["absent.fits", "no such file"]);
}

#[test]
fn missing_and_wrongly_typed_columns() {
    let folder = tempdir().unwrap();
    for missing in ["source_id", "flux", "flux_error"] {
        let mut table = observations(5);
        table.take(missing);
        write(&table, folder.path(), "missing.fits");
        fit_fails(&folder, "missing.fits", &["missing.fits", missing, "no such column"]);
    }
    let as_float = with_column(observations(5), "source_id", |ids| ids.values = Values::Float64(vec![1.0, 2.0, 3.0, 4.0, 5.0]));
    write(&as_float, folder.path(), "float_ids.fits");
    fit_fails(&folder, "float_ids.fits", &["float_ids.fits", "source_id", "64-bit integers"]);
    let mut text = observations(2);
    text.take("parallax");
    let schema = ColumnSchema::new("parallax", "mas", "");
    text.push(Column::scalar(schema, Values::Text(vec!["far".into(), "near".into()]))).unwrap();
    write(&text, folder.path(), "text.fits");
    fit_fails(&folder, "text.fits", &["text.fits", "'parallax'", "text"]);
    let mut without = observations(2);
    without.metadata.clear();
    write(&without, folder.path(), "without.parquet");
    fit_fails(&folder, "without.parquet", &["without.parquet", "wavelengths", "photosphere prepare"]);
}

#[test]
fn wrong_array_lengths_and_another_grid() {
    let folder = tempdir().unwrap();
    let mut table = observations(3);
    let flux = table.take("flux").unwrap();
    let schema = flux.schema.clone();
    table.push(Column::fixed(schema, Values::Float32(vec![1.0; 3 * 65]), 65)).unwrap();
    write(&table, folder.path(), "short.fits");
    fit_fails(&folder, "short.fits", &["short.fits", "'flux'", "65 values", "66"]);
    let mut covariance = observations(3);
    let schema = covariance.take("xp_covariance_triu").unwrap().schema;
    covariance.push(Column::fixed(schema, Values::Float32(vec![1.0; 3 * 1890]), 1890)).unwrap();
    write(&covariance, folder.path(), "covariance.fits");
    fit_fails(&folder, "covariance.fits", &["covariance.fits", "xp_covariance_triu", "1890 values"]);
    let mut other = observations(3);
    other.metadata.insert("bands".into(), other.metadata["bands"].replace("xp_392", "xp_393"));
    write(&other, folder.path(), "grid.parquet");
    fit_fails(&folder, "grid.parquet", &["grid.parquet", "xp_393", "xp_392"]);
}

#[test]
fn impossible_fluxes_and_errors_become_flags() {
    let table = with_column(observations(6), "flux", |flux| {
        set(flux, 62, f64::NAN);
        set(flux, 66 + 62, f64::INFINITY);
        set(flux, 2 * 66 + 62, -5.0);
        (0..66).for_each(|w| set(flux, 3 * 66 + w, f64::NAN));
    });
    let table = with_column(table, "flux_error", |error| {
        set(error, 4 * 66 + 62, 0.0);
        set(error, 5 * 66 + 62, -1.0);
    });
    let catalogue = catalogue(&table, "");
    let bits = quality_flags(&catalogue);
    let bad: Vec<bool> = bits.iter().map(|bits| bits & flags::BAD_FLUX != 0).collect();
    assert_eq!(bad, [false, true, false, false, true, true], "missing and negative fluxes are data");
    let fitted: Vec<bool> = bits.iter().map(|bits| bits & flags::NOT_FITTED == 0).collect();
    assert_eq!(fitted, [true, true, true, false, true, true]);
    assert_eq!(numbers(&catalogue, "teff").iter().map(|teff| teff.is_finite()).collect::<Vec<_>>(), fitted);
}

#[test]
fn covariance_that_is_not_positive_definite_is_floored_and_flagged() {
    // an off-diagonal element far above the geometric mean of its variances
    let table = with_column(observations(2), "xp_covariance_triu", |covariance| set(covariance, 1, 1e9));
    let catalogue = catalogue(&table, "");
    let bits = quality_flags(&catalogue);
    assert_eq!([bits[0] & flags::COVARIANCE_FLOORED, bits[1] & flags::COVARIANCE_FLOORED], [flags::COVARIANCE_FLOORED, 0]);
    assert!(numbers(&catalogue, "teff").iter().all(|teff| teff.is_finite()));
}

#[test]
fn parallaxes_negative_zero_or_with_impossible_errors() {
    let table = with_column(observations(4), "parallax", |parallax| {
        set(parallax, 0, -0.2);
        set(parallax, 1, 0.0);
    });
    let table = with_column(table, "parallax_error", |error| {
        set(error, 2, 0.0);
        set(error, 3, -0.1);
    });
    let catalogue = catalogue(&table, "");
    let bad: Vec<bool> = quality_flags(&catalogue).iter().map(|bits| bits & flags::BAD_CONSTRAINT != 0).collect();
    assert_eq!(bad, [false, false, true, true]);
    assert!(numbers(&catalogue, "parallax").iter().all(|parallax| *parallax > 0.0), "fitted parallaxes are positive");
}

#[test]
fn duplicate_identifiers() {
    let folder = tempdir().unwrap();
    let table = observations(4);
    write(&table.select(&[0, 1, 2, 0]), folder.path(), "twice.parquet");
    fit_fails(&folder, "twice.parquet", &["twice.parquet", "row 3", "more than once"]);
    fail(folder.path(), "train xp twice.parquet -o model", 1, &["twice.parquet", "more than once"]);
    write(&table.select(&[0, 1]), folder.path(), "a.parquet");
    write(&table.select(&[1, 2]), folder.path(), "b.parquet");
    fit_fails(&folder, "a.parquet b.parquet", &["b.parquet", "row 0", "more than once"]);
}

#[test]
fn labels_outside_the_training_range_are_flagged() {
    let bits = quality_flags(&catalogue(&observations(3), "--hold teff=30000"));
    assert!(bits.iter().all(|bits| bits & flags::OUTSIDE_TRAINING_RANGE != 0), "{bits:?}");
}

#[test]
fn recipes_and_options_with_unknown_keys_or_impossible_values() {
    let folder = tempdir().unwrap();
    write(&observations(20), folder.path(), "stars.parquet");
    for (change, words) in [
        (("epochs = 12", "epochs = 12\nepoch = 3"), ["recipe.toml", "epoch"]),
        (("learning_rate = 1e-2", "learning_rate = -1.0"), ["recipe.toml", "learning_rate"]),
        (("kind = \"extinction\"", "kind = \"extincton\""), ["extincton", "extinction"]),
        (("\"parallax\", ", "\"parallax\" "), ["recipe.toml", "constraints"]),
    ] {
        std::fs::write(folder.path().join("recipe.toml"), common::TINY_RECIPE.replacen(change.0, change.1, 1)).unwrap();
        fail(folder.path(), "train recipe.toml stars.parquet -o model", 2, &words);
    }
    std::fs::write(folder.path().join("options.toml"), "chunks = 3").unwrap();
    let fit = format!("fit {} stars.parquet -o catalogue.parquet", model().display());
    fail(folder.path(), &format!("{fit} --config options.toml"), 2, &["options.toml", "chunks"]);
    fail(folder.path(), &format!("{fit} --constraint tef"), 2, &["'tef'", "teff"]);
    fail(folder.path(), &format!("{fit} --hold mass=1"), 2, &["'mass'", "teff"]);
    fail(folder.path(), &format!("{fit} --hold extinction"), 2, &["extinction=0"]);
    fail(folder.path(), &format!("{fit} --shard 3/3"), 2, &["0/8"]);
    fail(folder.path(), &format!("{fit} --device tpu"), 2, &["tpu", "cpu"]);
    fail(folder.path(), &format!("{fit} --overwrite --resume"), 2, &["--resume"]);
    fail(folder.path(), &format!("{fit} --keep nothing"), 1, &["nothing", "no such column"]);
    fail(folder.path(), "train nonsense stars.parquet -o model", 2, &["nonsense", "xp"]);
    std::fs::write(folder.path().join("options.toml"), "binary_fraction = 2").unwrap();
    fail(folder.path(), "simulate --config options.toml -o a.parquet", 2, &["binary_fraction", "found 2"]);
    std::fs::write(folder.path().join("options.toml"), "labels = []\n[xp]\nfiles = [\"absent\"]").unwrap();
    fail(folder.path(), "prepare options.toml -o a.parquet", 1, &["absent", "no such file"]);
}

fn copy_of_the_model(folder: &Path) {
    let target = folder.join("model");
    std::fs::create_dir(&target).unwrap();
    for name in files(model()) {
        std::fs::copy(model().join(&name), target.join(&name)).unwrap();
    }
}

#[test]
fn incomplete_and_inconsistent_models() {
    use safetensors::{SafeTensors, serialize};
    let folder = tempdir().unwrap();
    copy_of_the_model(folder.path());
    write(&observations(5), folder.path(), "stars.parquet");
    let fit = "fit model stars.parquet -o catalogue.parquet";
    let weights = folder.path().join("model/weights.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let name = "extinction.ln_curve";
    std::fs::write(&weights, serialize(tensors.iter().filter(|(found, _)| found != name).cloned(), None).unwrap()).unwrap();
    fail(folder.path(), fit, 1, &["weights.safetensors", name, "no such tensor"]);
    let reshaped = tensors.iter().map(|(found, view)| {
        let shape = if found == name { vec![2, 33] } else { view.shape().to_vec() };
        (found.clone(), safetensors::tensor::TensorView::new(view.dtype(), shape, view.data()).unwrap())
    });
    std::fs::write(&weights, serialize(reshaped, None).unwrap()).unwrap();
    fail(folder.path(), fit, 1, &[name, "[2, 33]", "[66]"]);
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    fail(folder.path(), fit, 1, &["weights.safetensors"]);
    std::fs::write(&weights, &bytes).unwrap();
    let description = folder.path().join("model/model.toml");
    let text = std::fs::read_to_string(&description).unwrap();
    std::fs::write(&description, text.replacen("format = 2", "format = 99", 1)).unwrap();
    fail(folder.path(), fit, 1, &["model.toml", "format 99"]);
    std::fs::remove_file(&description).unwrap();
    fail(folder.path(), fit, 1, &["model.toml", "photosphere train"]);
    fail(folder.path(), "inspect model", 1, &["model.toml"]);
}

#[test]
fn outputs_that_cannot_be_written_or_exist() {
    let folder = tempdir().unwrap();
    write(&observations(3), folder.path(), "stars.parquet");
    write(&observations(1), folder.path(), "there.parquet");
    std::fs::write(folder.path().join("file"), "theirs").unwrap();
    std::fs::write(folder.path().join("tiny.toml"), common::TINY_RECIPE).unwrap();
    let fit = format!("fit {} stars.parquet", model().display());
    for command in ["simulate --stars 3", fit.as_str(), "train tiny.toml stars.parquet"] {
        // no such folder, a file where a folder should be, a file that exists
        for output in ["absent/a.parquet", "file/a.parquet", "there.parquet"] {
            fail(folder.path(), &format!("{command} -o {output}"), 1, &[output]);
        }
    }
    for command in ["simulate --stars 3", fit.as_str()] {
        fail(folder.path(), &format!("{command} -o a.table"), 2, &["a.table", ".parquet"]);
        fail(folder.path(), &format!("{command} -o a.xml"), 2, &["a.xml", "only read"]);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "theirs");
    let (code, _, error) = run(folder.path(), "simulate --stars 3 -o stars.parquet");
    assert!(code == 1 && error.contains("--overwrite"), "{error}");
    succeed(folder.path(), "simulate --stars 4 -o stars.parquet --overwrite");
    assert_eq!(json(folder.path(), "inspect stars.parquet --json")["rows"], 4);
}

#[test]
fn a_bad_partition_does_not_stop_the_others_and_leaves_no_catalogue() {
    let folder = tempdir().unwrap();
    let table = observations(6);
    write(&table.slice(0..3), folder.path(), "good.parquet");
    let mut bad = table.slice(3..6);
    bad.take("flux");
    write(&bad, folder.path(), "bad.parquet");
    let fit = format!("fit {} bad.parquet good.parquet", model().display());
    fail(folder.path(), &format!("{fit} -o one.parquet"), 1, &["bad.parquet", "'flux'"]);
    let (code, out, error) = run(folder.path(), &format!("{fit} -o parts/ --json"));
    assert_eq!(code, 3, "{error}");
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(summary["failures"][0]["input"] == "bad.parquet" && summary["catalogues"][0]["stars"] == 3, "{summary}");
    assert_eq!(files(&folder.path().join("parts")), [".photosphere", "good.parquet"]);
}
