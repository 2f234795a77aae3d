//! A convolutional network on simulated dwarfs like the Sun, beside the simpler regressions (Shen et al.
//! 2025, Table C.1).

use super::tests::{observed, recipe, trained};
use crate::simulate::line_list::{LineList, Population, SolarLikeSurvey, Synthesis};
use crate::table::Table;

/// SolarDis' network with fewer channels and neurons, and without pooling: of 120 pixels with unresolved
/// lines it would leave too little.
const REDUCED: &str = "
kind = 'regression'
description = 'labels of dwarfs by a small convolutional network'
layer = [
    { layer = 'convolution', channels = 6, kernel = 5 }, { layer = 'leaky_relu' },
    { layer = 'convolution', channels = 4, kernel = 3 }, { layer = 'leaky_relu' },
    { layer = 'flatten' },
    { layer = 'linear', outputs = 48 }, { layer = 'leaky_relu' }
]
[inputs]
interpolate = true
step = [{ step = 'replace_outside', minimum = 0.0, maximum = 1.2, value = 1.0 }, { step = 'standardise' }]
[target]
of = 'labels'
names = ['teff', 'logg', 'feh', 'absolute_magnitude', 'bp_rp_0']
loss = 'squared_error'
[training]
members = 1
batch = 64
optimiser = { method = 'adam_w', weight_decay = 0.02 }
plan = { epochs = 40, learning_rate = 3e-3, schedule = { shape = 'cosine', end_fraction = 0.02 } }
[errors]
copies = 3
[baselines]
boosting = false
";

/// What is left in reduced spectra: 7 km/s off the rest frame, continua off by 2 %; or nothing.
const REDUCTION: [f64; 2] = [7.0, 0.02];
const NOTHING: [f64; 2] = [0.0, 0.0];

/// Spectra of S/N 100 to 300.
fn survey(n: usize, n_pixels: usize, [velocity_error, continuum_error]: [f64; 2]) -> Table {
    let synthesis = Synthesis::new(&LineList { n_pixels, ..LineList::default() });
    let population = Population { seed: 7, wide: true };
    let survey = SolarLikeSurvey { population, ratios: [100.0, 300.0], velocity_error, continuum_error, first: 1 };
    survey.observations(&synthesis, n).unwrap()
}

/// Trains, prints the table, and gives the mean squared error over the variance by label, of the network and
/// of the others.
fn table(text: &str, stars: Table) -> Vec<(String, f64, Vec<f64>)> {
    let observations = observed(stars, &recipe(text));
    let start = std::time::Instant::now();
    let (model, _) = trained(text, &observations);
    println!("trained in {:.1} s\n{}", start.elapsed().as_secs_f64(), model.log.comparison);
    let of = |name: &str| {
        let errors = |is_network: bool| {
            let rows = model.log.comparison.rows.iter().filter(|row| row.parameter == name);
            let rows = rows.filter(|row| (row.method == "network") == is_network);
            rows.filter_map(|row| row.squared_error).collect::<Vec<_>>()
        };
        (name.to_owned(), errors(true)[0], errors(false))
    };
    ["teff", "logg", "feh", "absolute_magnitude", "bp_rp_0"].map(of).to_vec()
}

#[test]
fn a_convolutional_network_beats_linear_and_nearest_neighbours_in_every_label() {
    for (name, network, others) in table(REDUCED, survey(3000, 120, REDUCTION)) {
        assert!(others.len() == 2 && others.iter().all(|other| network < *other), "{name}: {network}, others {others:?}");
    }
}

/// `cargo test --release --lib regress::solar_like -- --ignored --nocapture`; STARS, PIXELS and RECIPE (a
/// file) in place of those of the documentation.
#[test]
#[ignore = "a measurement of minutes"]
fn the_table_of_the_documentation() {
    let number = |name: &str, default: usize| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let text = std::env::var("RECIPE").ok().map(|path| std::fs::read_to_string(path).unwrap());
    let text =
        text.unwrap_or_else(|| REDUCED.replace("members = 1", "members = 3").replace("boosting = false", "boosting = true"));
    for reduction in [REDUCTION, NOTHING] {
        println!("{reduction:?}");
        table(&text, survey(number("STARS", 6000), number("PIXELS", 120), reduction));
    }
}
