//! The check of a catalogue after a fit: bands whose zero points are off are named, in the log, the JSON and
//! the metadata; whoever fitted which part.

mod common;

use common::{files, json, observations, run, succeed};
use photosphere::observations::Grid;
use photosphere::table::{self, Table, Values};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated")
}

/// The stars with bands that are fainter by so many magnitudes.
fn fainter(mut stars: Table, offsets: &[(&str, f64)]) -> Table {
    let grid = Grid::of_table(&stars).unwrap();
    let mut flux = stars.column("flux").unwrap().clone();
    let at = |name: &str| grid.names.iter().position(|band| band == name).unwrap();
    for (name, magnitudes) in offsets {
        let factor = 10.0_f64.powf(-0.4 * magnitudes);
        match &mut flux.values {
            Values::Float32(values) => values.iter_mut().skip(at(name)).step_by(grid.len()).for_each(|v| *v *= factor as f32),
            Values::Float64(values) => values.iter_mut().skip(at(name)).step_by(grid.len()).for_each(|v| *v *= factor),
            _ => panic!("fluxes are floats"),
        }
    }
    stars.replace(flux).unwrap();
    stars
}

fn said(check: &Value) -> Vec<&str> {
    check["offsets"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn bands_that_are_off_are_named_also_of_a_hundred_stars() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let model = model();
    let model = model.display();
    for n in [100, 600] {
        let stars = observations(n);
        table::write(&stars, &folder.join("clean.parquet"), true).unwrap();
        let offsets = [("h", 0.05), ("w1", -0.03)];
        table::write(&fainter(stars, &offsets), &folder.join("off.parquet"), true).unwrap();
        let clean = json(folder, &format!("fit {model} clean.parquet -o clean.fits --json --overwrite"));
        assert!(said(&clean["check"]).is_empty(), "{}", clean["check"]);
        let warnings = clean["warnings"].to_string();
        assert!(!warnings.contains("zero points"), "{warnings}");
        let off = json(folder, &format!("fit {model} off.parquet -o off.parq --json --overwrite"));
        assert_eq!(said(&off["check"]), ["h", "w1"], "{n}: {}", off["check"]);
        for (name, truth) in offsets {
            let [found, error] = [0, 1].map(|at| off["check"]["offsets"][name][at].as_f64().unwrap());
            assert!((found - truth).abs() < 4.0 * error + 0.005, "{n}: {name} {found} {error}");
        }
        let warnings = off["warnings"].to_string();
        assert!(warnings.contains("want other zero points") && warnings.contains("h +0.0"), "{warnings}");
    }
    // The same in the metadata of every format, where a resumed run finds what it needs to say it again.
    let expected = json(folder, &format!("fit {model} off.parquet -o off.parq --json --resume"));
    for name in ["off.parq", "again.fits", "again.fits.gz", "again.ecsv", "again.ecsv.gz"] {
        if name.starts_with("again") {
            succeed(folder, &format!("fit {model} off.parquet -o {name}"));
        }
        let catalogue = table::read(&folder.join(name)).unwrap();
        let check: Value = serde_json::from_str(catalogue.metadata_of("check").unwrap()).unwrap();
        assert_eq!(said(&check), ["h", "w1"], "{name}");
        assert_eq!(check["bands"], expected["check"]["bands"], "{name}");
        assert_eq!(catalogue.n_rows(), 600);
    }
    let (_, _, log) = run(folder, &format!("fit {model} off.parquet -o off.parq --resume"));
    assert_eq!(log.matches("want other zero points").count(), 1, "{log}");
}

#[test]
fn parts_of_a_run_add_up_whoever_made_them() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let model = model();
    let model = model.display();
    let stars = fainter(observations(400), &[("ks", 0.05)]);
    for (name, first) in [("a", 0), ("b", 100), ("c", 250)] {
        let last = [100, 250, 400].into_iter().find(|last| *last > first).unwrap();
        let rows: Vec<usize> = (first..last).collect();
        table::write(&stars.select(&rows), &folder.join(format!("{name}.parquet")), false).unwrap();
    }
    let names = "a.parquet b.parquet c.parquet";
    let one = json(folder, &format!("fit {model} {names} -o one/ --json --threads 1"));
    json(folder, &format!("fit {model} {names} -o parts/ --json --shard 0/2 --threads 2"));
    json(folder, &format!("fit {model} {names} -o parts/ --json --shard 1/2 --resume"));
    let (_, out, log) = run(folder, &format!("fit {model} {names} -o parts/ --json --resume"));
    let parts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(parts["check"], one["check"]);
    assert_eq!(said(&one["check"]), ["ks"], "{}", one["check"]);
    assert_eq!(one["check"]["stars"], 400);
    assert_eq!(log.matches("want other zero points").count(), 1, "one warning for all of them: {log}");
    let finalized = json(folder, "finalize one --json");
    assert_eq!(finalized["check"], one["check"]);
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("one/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["check"], one["check"]);
    assert!(files(&folder.join("one")).contains(&"b.parquet".to_owned()));
}

/// Mean difference of [Fe/H] between two catalogues of the same stars, over those in the basic cut of the
/// first.
fn shift(folder: &Path, one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(|name| table::read(&folder.join(name)).unwrap());
    let feh = |catalogue: &Table| catalogue.column("feh").unwrap().to_f64().unwrap();
    let flags = one.column("quality_flags").unwrap().to_i64().unwrap();
    let pairs = feh(&one).into_iter().zip(feh(&other)).zip(flags).filter(|(_, flags)| *flags < 8);
    let differences: Vec<f64> = pairs.map(|((one, other), _)| other - one).filter(|x| x.is_finite()).collect();
    differences.iter().sum::<f64>() / differences.len() as f64
}

#[test]
fn zero_points_of_a_catalogue_are_found_and_taken_off() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let model = model();
    let model = model.display();
    let stars = observations(1500);
    table::write(&stars, &folder.join("clean.parquet"), false).unwrap();
    let truth = [("j", 0.05), ("w1", -0.05), ("xp_392-482", 0.05)];
    // A block of XP samples too.
    let grid = Grid::of_table(&stars).unwrap();
    let blue = grid.names.iter().zip(&grid.wavelength).filter(|(name, nm)| name.starts_with("xp_") && **nm < 490.0);
    let mut offsets: Vec<(&str, f64)> = blue.map(|(name, _)| (name.as_str(), 0.05)).collect();
    offsets.extend(&truth[..2]);
    table::write(&fainter(stars, &offsets), &folder.join("off.parquet"), false).unwrap();
    let [clean, off] = ["clean", "off"].map(|name| {
        succeed(folder, &format!("fit {model} {name}.parquet -o {name}.fits"));
        json(folder, &format!("zero-points {model} {name}.parquet -o {name}.toml --json"))["solution"]["zero_points"].clone()
    });
    assert_eq!(clean.as_object().unwrap().len(), 9);
    for band in clean.as_object().unwrap().keys() {
        let [before, error] = ["offset", "error"].map(|key| clean[band][key].as_f64().unwrap());
        // The model's own zero points (2.9 % in parallax, which is 0.06 mag in all bands) are not in the
        // errors.
        assert!(before.abs() < 4.0 * error + 0.03 && error < 0.02, "{band}: {before} {error}");
        let put_in = truth.iter().find(|(other, _)| other == band).map_or(0.0, |(_, offset)| *offset);
        let found = off[band]["offset"].as_f64().unwrap() - before;
        assert!((found - put_in).abs() < 0.003, "{band}: {found} for {put_in}");
    }
    succeed(folder, &format!("fit {model} off.parquet -o mended.fits --zero-points off.toml"));
    let (off, mended) = (shift(folder, "clean.fits", "off.fits"), shift(folder, "clean.fits", "mended.fits"));
    assert!(off.abs() > 5.0 * mended.abs(), "[Fe/H] moves by {off} without, by {mended} with zero points");
    let mended = table::read(&folder.join("mended.fits")).unwrap();
    assert!(mended.metadata_of("options").unwrap().contains("zero_points"), "provenance knows them");
    let check: Value = serde_json::from_str(mended.metadata_of("check").unwrap()).unwrap();
    assert!(said(&check).is_empty(), "{check}");

    let words = "validate clean.fits clean.parquet --calibration calibration.ecsv --split nothing";
    let (code, _, said) = run(folder, words);
    assert!(code == 2 && said.contains("--split nothing: found no such column in the catalogue"), "{said}");
    let mut bare = table::read(&folder.join("clean.fits")).unwrap();
    let errors: Vec<String> = bare.columns().iter().map(|column| column.schema.name.clone()).collect();
    errors.iter().filter(|name| name.ends_with("_error")).for_each(|name| drop(bare.take(name)));
    table::write(&bare, &folder.join("bare.fits"), false).unwrap();
    let (code, _, said) = run(folder, "validate bare.fits clean.parquet --calibration calibration.ecsv");
    assert!(code == 2 && said.contains("no quantity with errors"), "{said}");

    // All bands together are a distance, which only parallaxes tell.
    let words = format!("zero-points {model} clean.parquet -o free.toml --constraint none --shard 0/4 --sigma 0.1");
    let free = json(folder, &format!("{words} --json"));
    let held = &free["solution"]["held"][0];
    assert!((held["error"].as_f64().unwrap() - 0.1).abs() < 0.003, "{}", free["solution"]);
    let parts = held["direction"].as_object().unwrap();
    assert!(parts.len() == 9 && parts.values().all(|part| (part.as_f64().unwrap() - 1.0 / 3.0).abs() < 0.02), "{held}");
    assert!(succeed(folder, &format!("{words} --overwrite")).contains("held by the prior"));
    let (code, _, said) = run(folder, &format!("fit {model} clean.parquet -o y.fits --zero-points free.toml"));
    assert!(
        code == 0 && said.contains("free.toml: these zero points were solved by fits with other options (constraints)"),
        "{said}"
    );
    let (_, _, said) = run(folder, &format!("fit {model} clean.parquet -o z.fits --zero-points free.toml --constraint none"));
    assert!(!said.contains("other options"), "{said}");
    let (code, _, said) = run(folder, &format!("zero-points {model} clean.parquet -o x.toml --band k --band j --band j"));
    assert!(code == 2 && said.contains("no such band of the model, expected some of xp_392-482"), "{said}");
    let (code, _, said) = run(folder, &format!("zero-points {model} clean.parquet -o x.toml --band j --band j"));
    assert!(code == 2 && said.contains("--band j: found it twice"), "{said}");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/photometry-lamost");
    let words = format!("fit {} clean.parquet -o x.fits --zero-points off.toml", other.display());
    let (code, _, said) = run(folder, &words);
    assert!(code == 2 && said.contains("another model"), "{said}");
}

/// Noise about nothing, or nothing, is fitted by any star behind dust enough. Such stars are told, whatever
/// their parallaxes say.
#[test]
fn what_has_no_signal_is_not_in_the_basic_cut() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut stars = observations(200);
    let mut flux = stars.column("flux").unwrap().clone();
    let error: Vec<f64> = match &stars.column("flux_error").unwrap().values {
        Values::Float32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Values::Float64(values) => values.clone(),
        _ => panic!("errors are floats"),
    };
    for (name, of_noise) in [("noise", 1.0), ("nothing", 0.0)] {
        // Noise of a fixed sequence, of mean 0 and variance 1 (sums of twelve).
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let values: Vec<f64> =
            error.iter().map(|error| if error.is_finite() { of_noise * normal() * error } else { f64::NAN }).collect();
        flux.values = Values::Float64(values);
        stars.replace(flux.clone()).unwrap();
        drop(stars.take("xp_covariance_triu"));
        table::write(&stars, &folder.join("none.parquet"), true).unwrap();
        let fitted = json(folder, &format!("fit {} none.parquet -o {name}.parquet --json", model().display()));
        assert_eq!(fitted["stars"], 200);
        let flags =
            table::read(&folder.join(format!("{name}.parquet"))).unwrap().column("quality_flags").unwrap().to_i64().unwrap();
        // One in a million is five errors from nothing.
        assert_eq!(flags.iter().filter(|flags| **flags < 8).count(), 0, "{name}: {flags:?}");
    }
}
