//! Raw XP spectra fitted directly: the same catalogue as from prepared observations, and bad stars that stay
//! in it.

mod common;

use common::{fail, json, model, observations, run, set, succeed, with_column, write};
use photosphere::simulate::{RawSurvey, Simulator, SurveyConfig};
use photosphere::table::{self, Shape, Table, Values};
use std::path::Path;
use tempfile::tempdir;

fn raw_survey(n: usize) -> RawSurvey {
    Simulator::new(SurveyConfig { n_stars: n, first_star: 700_000, ..SurveyConfig::default() }).unwrap().raw_table(0..n).unwrap()
}

/// Everything of a catalogue but its provenance.
fn columns(folder: &Path, name: &str) -> String {
    let table = table::read(&folder.join(name)).unwrap();
    format!("{:?}", table.columns())
}

fn fit(folder: &Path, arguments: &str) {
    succeed(folder, &format!("fit {} {arguments}", model().display()));
}

#[test]
fn raw_spectra_give_the_catalogue_of_prepared_ones() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let RawSurvey { spectra, catalogue } = raw_survey(70);
    for name in ["xp.ecsv.gz", "xp.csv.gz", "xp.parquet", "xp.fits"] {
        write(&spectra, path, name);
    }
    write(&catalogue, path, "stars.parquet");
    let recipe = "labels = []\n[xp]\nfiles = [\"xp.parquet\"]\n[[tables]]\nfiles = [\"stars.parquet\"]\n\
                  [photometry]\nsets = [\"2mass\", \"wise\"]\n";
    std::fs::write(path.join("recipe.toml"), recipe).unwrap();
    succeed(path, "prepare recipe.toml -o prepared.parquet");
    fit(path, "prepared.parquet -o expected.parquet");
    let expected = columns(path, "expected.parquet");
    for (name, options) in [
        ("xp.ecsv.gz", "--join stars.parquet --threads 1"),
        ("xp.parquet", "--prepare recipe.toml --threads 2"),
        ("xp.fits", "--join stars.parquet --threads 3"),
    ] {
        fit(path, &format!("{name} {options} -o found.parquet --overwrite"));
        assert!(columns(path, "found.parquet") == expected, "{name} {options}");
        let inputs = &table::read(&path.join("found.parquet")).unwrap().metadata["inputs"];
        assert!(inputs.contains(r#""sha256""#) && inputs.contains(r#""rows":70"#) != name.ends_with(".gz"), "{inputs}");
    }
    // Plain CSV does not say that errors and correlations are single precision: their last digits differ, and
    // the optimiser stops elsewhere within its tolerance, which the noise of the loss sets for this hastily
    // trained model (χ² of some hundreds in single precision).
    fit(path, "xp.csv.gz --join stars.parquet -o plain.parquet");
    let [plain, expected] = ["plain.parquet", "expected.parquet"].map(|name| table::read(&path.join(name)).unwrap());
    let numbers = |table: &Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
    for name in ["teff", "feh", "logg", "extinction", "parallax"] {
        let errors = numbers(&expected, &format!("{name}_error"));
        for ((plain, expected), error) in numbers(&plain, name).iter().zip(numbers(&expected, name)).zip(errors) {
            assert!((plain - expected).abs() <= 2e-2 * error, "{name}: {plain}, {expected} \u{b1} {error}");
        }
    }
    let shards: usize = (0..3)
        .map(|shard| {
            fit(path, &format!("xp.parquet --join stars.parquet --shard {shard}/3 -o shard.parquet --overwrite"));
            table::read(&path.join("shard.parquet")).unwrap().n_rows()
        })
        .sum();
    assert_eq!(shards, 70);
    // Without a table, the other bands are missing: 61 fluxes.
    fit(path, "xp.parquet -o alone.parquet");
    let alone = table::read(&path.join("alone.parquet")).unwrap();
    assert_eq!(alone.column("n_flux").unwrap().values, Values::Int32(vec![61; 70]));
    assert!(numbers(&alone, "n_dof").iter().all(|n_dof| (56.0..61.0).contains(n_dof)));
    let model = model().display();
    fail(path, &format!("fit {model} prepared.parquet --join stars.parquet -o x.parquet"), 2, &["no raw XP spectra"]);
    fail(path, &format!("fit {model} xp.parquet --join absent.parquet -o x.parquet"), 1, &["absent.parquet"]);
}

/// A fixed-length list column as lists of any length, with one row's last value dropped.
fn shortened(table: Table, name: &str, row: usize) -> Table {
    with_column(table, name, |column| {
        let Values::Float64(values) = &mut column.values else { panic!("floats") };
        let n_rows = values.len() / 55;
        values.remove(row * 55 + 54);
        let ends = (0..=n_rows).map(|end| end * 55 - usize::from(end > row));
        column.shape = Shape::Variable(ends.collect());
    })
}

#[test]
fn stars_with_bad_spectra_are_flagged_rows() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let n = 6;
    let mut spectra = raw_survey(n).spectra;
    spectra = with_column(spectra, "rp_coefficients", |column| set(column, 55, f64::NAN));
    spectra = shortened(spectra, "bp_coefficients", 2);
    for suffix in ["coefficients", "coefficient_errors", "coefficient_correlations"] {
        spectra = with_column(spectra, &format!("bp_{suffix}"), |column| {
            column.valid = Some((0..n).map(|row| row != 3).collect());
        });
    }
    spectra = with_column(spectra, "rp_coefficient_correlations", |column| {
        (4 * 1485..5 * 1485).for_each(|position| set(column, position, -0.9));
    });
    spectra = with_column(spectra, "rp_coefficient_errors", |column| {
        (4 * 55..5 * 55).for_each(|position| set(column, position, 1e5));
    });
    write(&spectra, path, "xp.parquet");
    write(&spectra, path, "xp.ecsv.gz");
    let summary = json(path, &format!("fit {} xp.parquet -o catalogue.parquet --json --keep input_notes", model().display()));
    assert_eq!((summary["stars"].as_u64(), summary["not_fitted"].as_u64()), (Some(6), Some(2)));
    let catalogue = table::read(&path.join("catalogue.parquet")).unwrap();
    assert_eq!(catalogue.column("source_id").unwrap().values, spectra.column("source_id").unwrap().values);
    let integers = |name: &str| -> Vec<i64> { catalogue.column(name).unwrap().to_i64().unwrap() };
    let (flags, notes, n_flux) = (integers("quality_flags"), integers("input_notes"), integers("n_flux"));
    let not_fitted: Vec<bool> = flags.iter().map(|flags| flags & 2048 != 0).collect();
    assert_eq!(not_fitted, [false, true, true, false, false, false], "{flags:?}");
    let (unusable, impossible) = ((1 << 0) | (1 << 9), 1 << 21);
    let expected = [0, unusable | impossible, unusable, 1 << 1, impossible, 0];
    assert_eq!(notes, expected, "NaN, a wrong length, no BP, a covariance that is none");
    assert_eq!(n_flux[3], 36, "RP alone");
    assert!(flags[4] & 8192 != 0 || n_flux[4] < 61, "a covariance that is not positive-definite: {flags:?} {n_flux:?}");
    // The same stars from text, where a null list and a short one are themselves.
    fit(path, "xp.ecsv.gz -o again.parquet --keep input_notes");
    assert!(columns(path, "again.parquet") == columns(path, "catalogue.parquet"));
}

#[test]
fn bad_files_are_errors() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let spectra = raw_survey(40).spectra;
    write(&spectra, path, "xp.ecsv.gz");
    let bytes = std::fs::read(path.join("xp.ecsv.gz")).unwrap();
    std::fs::write(path.join("cut.ecsv.gz"), &bytes[..bytes.len() * 2 / 3]).unwrap();
    write(&spectra.select(&[0, 1, 0]), path, "twice.parquet");
    let mut without = spectra.clone();
    without.take("rp_coefficient_errors");
    write(&without, path, "without.parquet");
    let row = spectra.select(&[39]);
    write(&row, path, "again.ecsv.gz");
    let null = with_column(row, "source_id", |column| column.valid = Some(vec![false]));
    write(&null, path, "null.ecsv.gz");
    for (name, words) in [
        ("cut.ecsv.gz", ["cut.ecsv.gz", "truncated"]),
        ("twice.parquet", ["twice.parquet", "more than once"]),
        ("without.parquet", ["without.parquet", "'rp_coefficient_errors'"]),
        // Found while the first file is being fitted already.
        ("xp.ecsv.gz again.ecsv.gz", ["again.ecsv.gz, column 'source_id', row 0", "more than once"]),
        ("xp.ecsv.gz again.ecsv.gz --shard 0/2", ["again.ecsv.gz, column 'source_id', row 0", "more than once"]),
        ("xp.ecsv.gz null.ecsv.gz", ["null.ecsv.gz, column 'source_id', row 0", "null"]),
    ] {
        fail(path, &format!("fit {} {name} -o catalogue.parquet", model().display()), 1, &words);
    }
}

/// DR4 spectra have other numbers of coefficients on other bases: read with DR3's they would give a flux that
/// is finite and wrong.
#[test]
fn spectra_of_another_instrument_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let RawSurvey { mut spectra, catalogue } = raw_survey(3);
    write(&catalogue, path, "stars.parquet");
    for band in ["bp", "rp"] {
        spectra.take(&format!("{band}_basis_function_id"));
        spectra.take(&format!("{band}_n_parameters"));
    }
    for name in ["coefficients", "coefficient_errors", "coefficient_correlations"] {
        let length = if name == "coefficient_correlations" { 51 * 50 / 2 } else { 51 };
        let column = spectra.take(&format!("bp_{name}")).unwrap();
        let flat = column.flat_f64().unwrap();
        let cut = (0..column.n_rows()).flat_map(|row| flat[column.range(row)][..length].to_vec()).collect();
        spectra.push(table::Column::fixed(column.schema.clone(), Values::Float64(cut), length)).unwrap();
    }
    for name in ["cut.parquet", "cut.fits", "cut.ecsv"] {
        write(&spectra, path, name);
        let words = [name, "3 of 3", "51 coefficients and no bp_basis_function_id", "gaia-dr3"];
        fail(path, &format!("fit {} {name} --join stars.parquet -o x.parquet", model().display()), 1, &words);
        assert!(!path.join("x.parquet").exists());
    }
    let toy = format!("fit {} cut.fits --instrument gaia-cycle04-toy -o x.parquet", model().display());
    fail(path, &toy, 2, &["gaia-cycle04-toy", "no external calibration"]);
}

/// An observation file of another instrument than the model's is fitted when told, and the offsets of the
/// bands are logged.
#[test]
fn observations_of_another_instrument_are_fitted_when_told() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let mut stars = observations(20);
    write(&stars, path, "own.parquet");
    stars.metadata.insert("xp_instrument".into(), "gaia-dr4 sha256:0".into());
    write(&stars, path, "other.parquet");
    fit(path, "own.parquet -o own-catalogue.parquet");
    let words = ["other.parquet", "gaia-dr4 sha256:0", "gaia-dr3", "--other-instrument"];
    fail(path, &format!("fit {} other.parquet -o x.parquet", model().display()), 1, &words);
    let told = format!("fit {} other.parquet --other-instrument -o other-catalogue.parquet", model().display());
    let (code, _, log) = run(path, &told);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("BP, blue half: median") && log.contains("RP, red half: median"), "{log}");
    assert_eq!(columns(path, "other-catalogue.parquet"), columns(path, "own-catalogue.parquet"));
}
