//! Pairs of stars with known mass ratios and singles, as `fit --second-star` sees them: at reduced size what
//! `scripts/second_star.py` measures.

use photosphere::infer::{Estimates, FitOptions, SecondStarOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::Observations;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::statistics::median;
use photosphere::table::Table;
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
        (n as f64 / stars.len() as f64, stars.len())
    };
    let singles = fitted(&stars(0.0, 600), &options);
    let false_alarms = share(&singles, &|_| true, flags::SECOND_STAR);
    println!("singles flagged: {false_alarms:?}");

    let table = stars(1.0, 900);
    let (ratio, logg) = (truth(&table, "mass_ratio"), truth(&table, "logg"));
    let pairs = fitted(&table, &options);
    let of =
        |low: f64, high: f64, bit: i32| share(&pairs, &|star: usize| logg[star] > 3.8 && (low..high).contains(&ratio[star]), bit);
    for (low, high) in [(0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)] {
        println!("{low}-{high}: {:?}, poor fits {:?}", of(low, high, flags::SECOND_STAR), of(low, high, flags::POOR_FIT));
    }
    // The second star of pairs that are found is the one that is there.
    let second = pairs.second_star.as_ref().unwrap();
    let column = second.names().position(|name| name == "companion_teff").unwrap();
    let companion = truth(&table, "companion_teff");
    let found = |star: &usize| pairs.flags[*star] & flags::SECOND_STAR != 0 && logg[*star] > 3.8 && ratio[*star] > 0.4;
    let difference: Vec<f64> =
        (0..pairs.len()).filter(found).map(|star| second.values[[star, column]] - companion[star]).collect();
    println!("companion_teff of {} found pairs: median {:.0} K off", difference.len(), median(&difference));
}
