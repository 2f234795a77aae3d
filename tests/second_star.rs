//! Pairs of stars with known mass ratios and singles, as `fit --second-star` sees them: at reduced size what
//! `scripts/second_star.py` measures.

mod common;

use common::{run, set, succeed, with_column, write};
use photosphere::infer::{Estimates, FitOptions, SecondStarOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::Observations;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::statistics::median;
use photosphere::table::{self, Table};
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use std::path::Path;

fn stars(binary_fraction: f64, n_stars: usize) -> Table {
    let config = SurveyConfig {
        n_stars,
        binary_fraction,
        mass_ratios: [0.2, 0.999],
        first_star: 9_000_000,
        labelled_fraction: 0.0,
        seed: 3,
        ..SurveyConfig::default()
    };
    simulate(&config).unwrap()
}

fn truth(table: &Table, name: &str) -> Vec<f64> {
    table.column(&format!("true_{name}")).unwrap().to_f64().unwrap()
}

fn fitted(table: &Table, options: &FitOptions) -> Estimates {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let trained = TrainedModel::load(&folder, &Registry::standard(), &Device::cpu()).unwrap();
    let observations = Observations::from_table(table.clone(), &read_options(&trained, options)).unwrap();
    fit(&trained, &observations, options).unwrap()
}

/// Observed (`scripts/second_star.py` has more stars): no single of 600 is flagged; of main-sequence pairs
/// with mass ratios of 0.4 to 0.8 about a half.
#[test]
fn pairs_are_found_by_their_mass_ratio_and_singles_are_not() {
    let options = FitOptions {
        second_star: SecondStarOptions { fit: true, ..SecondStarOptions::default() },
        exact_hessian: false,
        ..FitOptions::default()
    };
    let share = |estimates: &Estimates, chosen: &dyn Fn(usize) -> bool, bit: i32| {
        let stars: Vec<usize> = (0..estimates.len()).filter(|&star| chosen(star)).collect();
        let n = stars.iter().filter(|&&star| estimates.flags[star] & bit != 0).count();
        n as f64 / stars.len() as f64
    };
    let singles = fitted(&stars(0.0, 600), &options);
    let false_alarms = share(&singles, &|_| true, flags::SECOND_STAR);
    println!("singles flagged: {false_alarms:.4}");
    assert!(false_alarms < 0.02, "{false_alarms}");

    let table = stars(1.0, 900);
    let (ratio, logg) = (truth(&table, "mass_ratio"), truth(&table, "logg"));
    let pairs = fitted(&table, &options);
    let of = |low: f64, high: f64, bit: i32| share(&pairs, &|star| logg[star] > 3.8 && (low..high).contains(&ratio[star]), bit);
    let found = [(0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)].map(|(low, high)| {
        let shares = [flags::SECOND_STAR, flags::POOR_FIT].map(|bit| of(low, high, bit));
        println!("mass ratios of {low} to {high}: {shares:.3?} flagged as pairs, and as poor fits");
        shares
    });
    assert!(found[1][0] > 0.35 && found[2][0] > 0.3, "{found:?}");
    assert!(found[1][0] > 1.5 * found[1][1] && found[2][0] > 1.5 * found[2][1], "what chi-square alone tells: {found:?}");
    // Of pairs that are found, the labels of the first star are nearer to the truth than those of a single
    // star, and the second star is about the one that is there.
    let second = pairs.second_star.as_ref().unwrap();
    let column = |name: &str| second.names().position(|other| other == name).unwrap();
    let (teff, companion) = (truth(&table, "teff"), truth(&table, "companion_teff"));
    let is_found = |star: &usize| pairs.flags[*star] & flags::SECOND_STAR != 0 && logg[*star] > 3.8 && ratio[*star] > 0.4;
    let chosen: Vec<usize> = (0..pairs.len()).filter(is_found).collect();
    let off = |value: &dyn Fn(usize) -> f64| median(&chosen.iter().map(|&star| value(star).abs()).collect::<Vec<f64>>());
    let of_single = off(&|star| pairs.values[[star, 0]] - teff[star]);
    let of_first = off(&|star| second.values[[star, column("pair_teff")]] - teff[star]);
    let of_second = off(&|star| second.values[[star, column("companion_teff")]] - companion[star]);
    println!(
        "{} found pairs: teff {of_first:.0} K off (as single stars {of_single:.0}), companion_teff {of_second:.0}",
        chosen.len()
    );
    assert!(of_first < 0.7 * of_single && of_second < 500.0, "{of_first} {of_single} {of_second}");
}

/// The catalogue has its columns; a star that could not be fitted has none of it; another choice does not go
/// on with a catalogue.
#[test]
fn the_command_line_fits_two_stars() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/xp-simulated");
    let bad = with_column(stars(0.5, 30), "flux_error", |column| (0..66).for_each(|k| set(column, 7 * 66 + k, f64::NAN)));
    let bad = with_column(bad, "xp_covariance_triu", |column| (0..1891).for_each(|k| set(column, 7 * 1891 + k, f64::NAN)));
    write(&bad, folder, "stars.parquet");
    succeed(folder, &format!("fit {model} stars.parquet -o plain.parquet"));
    succeed(folder, &format!("fit {model} stars.parquet -o pairs.fits --second-star"));
    std::fs::write(folder.join("fit.toml"), "[second_star]\nfit = true\nflag_above = 0.0").unwrap();
    succeed(folder, &format!("fit {model} stars.parquet -o low.parquet --config fit.toml"));
    let [plain, pairs, low] = ["plain.parquet", "pairs.fits", "low.parquet"].map(|name| table::read(&folder.join(name)).unwrap());
    let numbers = |table: &Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
    assert!(plain.get("pair_delta_loss").is_none());
    let names = ["pair_delta_loss", "pair_chi2", "companion_flux_fraction", "pair_teff", "pair_parallax_error", "companion_logg"];
    for name in names {
        let values = numbers(&pairs, name);
        let missing: Vec<usize> = (0..30).filter(|&star| !values[star].is_finite()).collect();
        assert!(missing.contains(&7) && (missing.len() == 1 || name.ends_with("_error")), "{name}: {missing:?}");
    }
    assert_eq!(pairs.column("companion_teff").unwrap().schema.unit, "K");
    let (delta, flags_of_pairs, flags_of_low) =
        (numbers(&pairs, "pair_delta_loss"), numbers(&pairs, "quality_flags"), numbers(&low, "quality_flags"));
    for star in 0..30 {
        let is_set = |flags: &[f64]| flags[star] as i32 & flags::SECOND_STAR != 0;
        assert_eq!((is_set(&flags_of_pairs), is_set(&flags_of_low)), (delta[star] > 6.0, delta[star] > 0.0), "{star}");
    }
    let first = pairs.column("source_id").unwrap().to_i64().unwrap()[3];
    let second = numbers(&pairs, "companion_teff")[3];
    let inspected =
        common::json(folder, &format!("inspect {model} --star {first} --data stars.parquet --config fit.toml --json"));
    let of_star = &inspected["two_stars"]["parameters"][5];
    assert!(
        of_star["name"] == "companion_teff" && (of_star["value"].as_f64().unwrap() - second).abs() < 1e-6 * second,
        "{of_star}"
    );
    let text = succeed(folder, &format!("inspect {model} --star {first} --data stars.parquet --config fit.toml"));
    assert!(text.contains("as two stars") && text.contains("companion_logg"), "{text}");
    let (code, _, error) = run(folder, &format!("fit {model} stars.parquet -o plain.parquet --second-star --resume"));
    assert!(code != 0 && error.contains("plain.parquet"), "{code} {error}");
}
