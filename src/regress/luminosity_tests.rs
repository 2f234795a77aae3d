//! Luminosities from noisy parallaxes, on a survey with known magnitudes.

use super::objective::{LN_LABEL_PER_MAGNITUDE, parallaxes};
use super::tests::{LUMINOSITY, numbers, recipe, trained};
use crate::observations::Observations;
use crate::package::{Package, Request};
use crate::statistics::{median, scatter_about_zero};
use crate::table::{Column, ColumnSchema};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// A survey like that of Li et al. (2025): spectra of 80 pixels with a signal-to-noise ratio of 30, whose
/// lines tell temperature, abundance and luminosity, of stars of 15 < G < 19, of whose parallaxes one in
/// seven is negative. With the true M.
pub(super) fn noisy(n: usize, first: usize) -> (Observations, Vec<f64>) {
    let width = 80;
    let wavelength: Vec<f64> = (0..width).map(|w| 500.0 + w as f64).collect();
    let names = (0..width).map(|w| format!("pixel_{w}")).collect();
    let grid = crate::observations::Grid::new(wavelength, names).unwrap();
    let (mut flux, mut truth, mut parallax, mut sigma, mut apparent) =
        (ndarray::Array2::<f32>::zeros((n, width)), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for star in 0..n {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64((first + star) as u64);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let (a, b, feh) = (normal(), normal(), -0.3 + 0.5 * normal());
        // Seven in ten are dwarfs, whose temperature follows their magnitude; giants have a narrow range of
        // it.
        let is_dwarf = normal() < 0.52;
        let (m, teff) = match is_dwarf {
            true => (5.2 + 1.2 * a, 0.9 - 0.45 * a + 0.1 * b - 0.1 * feh),
            false => (0.3 + 1.1 * a, -0.7 + 0.25 * a + 0.15 * b - 0.2 * feh),
        };
        let g = 17.3 + 0.7 * normal();
        let error = 0.05 * 10f64.powf(0.2 * (g - 16.0));
        let row = flux.row_mut(star);
        for (w, pixel) in row.into_iter().enumerate() {
            let x = w as f64;
            let line = |centre: f64, deep: f64| deep * (-0.5 * ((x - centre) / 1.8).powi(2)).exp();
            let lines = line(12.0, 0.25 * (teff + 1.0).max(0.0).tanh())
                + line(24.0, 0.15 * (1.0 - 0.7 * teff + feh).exp().min(4.0))
                + line(36.0, 0.10 * (0.25 * m - 0.4 * teff).exp())
                + line(48.0, 0.15 * (0.8 * feh - 0.15 * m).exp())
                + line(60.0, 0.12 * (0.5 - 0.3 * teff * teff + 0.1 * m).exp());
            *pixel = (1.0 - lines + 0.033 * normal()) as f32;
        }
        truth.push(m);
        parallax.push(10f64.powf(0.2 * (m - g + 10.0)) + error * normal());
        sigma.push(error);
        apparent.push(g);
    }
    let ids = (0..n).map(|star| ((first + star) as i64) << 20).collect();
    let errors = ndarray::Array2::from_elem((n, width), 0.033_f32);
    let mut observations =
        Observations::new(grid, ids, flux, errors).unwrap().with_constraint("parallax", parallax, sigma).unwrap();
    observations.auxiliary.push(Column::nullable(ColumnSchema::new("g_dereddened", "mag", ""), apparent)).unwrap();
    (observations, truth)
}

/// |z| that the largest of seven normal numbers exceeds with a probability of 0.01.
const LARGEST: f64 = 3.19;

fn luminosities(n: usize, text: &str, limits: [f64; 2]) {
    let recipe = recipe(text);
    let (observations, _) = noisy(n, 0);
    let all = parallaxes(&observations, &recipe.target).unwrap();
    let negative = all.iter().filter(|star| star[0] < 0.0).count() as f64 / n as f64;
    let start = std::time::Instant::now();
    let (model, _) = trained(text, &observations);
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.1} % negative parallaxes; trained in {seconds:.1} s\n{}", 100.0 * negative, model.log.comparison);
    assert!((0.08..0.22).contains(&negative), "{negative}");

    let (new, truth) = noisy(n.max(6000) / 3, 10_000_000);
    let estimator = Arc::new(model).estimator(&Request::default()).unwrap();
    let catalogue = estimator.estimate(&new, &|_| Ok(())).unwrap().table;
    let (found, error) = (numbers(&catalogue, "absolute_magnitude"), numbers(&catalogue, "absolute_magnitude_error"));
    let stars = parallaxes(&new, &recipe.target).unwrap();
    let distance = |m: f64, star: usize| 10f64.powf(0.2 * (stars[star][2] - m - 10.0));
    for (name, magnitudes, distances) in [
        ("dwarfs within 2 kpc", 2.8..10.0, 0.0..2.0),
        ("dwarfs beyond 2 kpc", 2.8..10.0, 2.0..20.0),
        ("giants of 5–10 kpc", -5.0..2.8, 5.0..10.0),
        ("giants of 10–30 kpc", -5.0..2.8, 10.0..30.0),
    ] {
        let inside = |star: &usize| magnitudes.contains(&truth[*star]) && distances.contains(&distance(truth[*star], *star));
        let differences: Vec<f64> = (0..found.len()).filter(inside).map(|star| found[star] - truth[star]).collect();
        println!("{name}: {} stars, median ΔM {:+.3}", differences.len(), median(&differences));
        let limit = if name.contains("dwarfs") { limits[0] } else { limits[1] };
        assert!(differences.len() < 50 || median(&differences).abs() < limit, "{name}");
    }
    // In bins of a distance that knows nothing of its star's parallax, parallaxes agree with it, if it is
    // right: z of the sum of their differences, and the magnitude (with its error) by which all predictions
    // of the bin would have to be moved. Networks err by some hundredths of a magnitude, for all stars of a
    // bin alike, which z makes as large as there are stars: the limit is that of the medians above, and
    // noise.
    let agreement = |magnitudes: &[f64], errors: &dyn Fn(usize) -> f64, [low, high]: [f64; 2]| {
        let (mut sum, mut weight, mut slope) = (0.0, 0.0, 0.0);
        for star in (0..found.len()).filter(|&star| (low..high).contains(&distance(magnitudes[star], star))) {
            let predicted = 1.0 / distance(magnitudes[star], star);
            // What the model's own error adds to that of the parallax.
            let variance = stars[star][1].powi(2) + (LN_LABEL_PER_MAGNITUDE * errors(star) * predicted).powi(2);
            sum += (stars[star][0] - predicted) / variance;
            weight += 1.0 / variance;
            slope += LN_LABEL_PER_MAGNITUDE * predicted / variance;
        }
        [sum / f64::sqrt(weight), sum / slope, f64::sqrt(weight) / slope]
    };
    for bin in [[0.0, 1.0], [1.0, 2.0], [2.0, 4.0], [4.0, 8.0], [8.0, 15.0], [15.0, 30.0], [30.0, 100.0]] {
        let [of_truth, ..] = agreement(&truth, &|_| 0.0, bin);
        let [of_network, moved, noise] = agreement(&found, &|star| error[star], bin);
        println!(
            "{}–{} kpc: z = {of_network:+.2} ({moved:+.3} ± {noise:.3} mag), in bins of the true distance {of_truth:+.2}",
            bin[0], bin[1]
        );
        // Of seven bins of noise the largest is above LARGEST in one of a hundred samples.
        assert!(of_truth.abs() < LARGEST, "the statistic itself, {bin:?}");
        // The limit of spec 3 A; of fewer training stars networks are further off.
        assert!(n < 100_000 || of_network.abs() < 3.0, "{bin:?}: z = {of_network}");
        assert!(moved.abs() < limits[0] + LARGEST * noise || bin[1] > 8.0, "{bin:?}: {moved} ± {noise}");
    }
    let pulls: Vec<f64> = (0..found.len()).map(|star| (found[star] - truth[star]) / error[star]).collect();
    let scatter = scatter_about_zero(&pulls);
    println!("pulls of M less the truth: {scatter:.2}");
    assert!((0.85..1.2).contains(&scatter), "{scatter}");
    // Of stars with predicted parallaxes below their errors little can be known (1.0 to 2.0, by the seed of a
    // simulation of this one in Python; before the copies scattered about their own mean: 0.5 for all stars).
    for [low, high] in [[0.0, 1.0], [1.0, 3.0], [3.0, 10.0], [10.0, 1000.0]] {
        let ratio = |star: usize| 1.0 / distance(found[star], star) / stars[star][1];
        let inside: Vec<f64> =
            (0..found.len()).filter(|&star| (low..high).contains(&ratio(star))).map(|star| pulls[star]).collect();
        let scatter = scatter_about_zero(&inside);
        println!("predicted parallax of {low}–{high} errors: {} stars, pulls {scatter:.2}", inside.len());
        let limit = if high > 1.0 { 0.75..1.35 } else { 0.75..2.2 };
        assert!(limit.contains(&scatter), "{low}–{high}: {scatter}");
    }
}

#[test]
fn noisy_parallaxes_teach_luminosities_without_bias() {
    luminosities(8000, LUMINOSITY, [0.12, 0.5]);
}

/// The benchmark of spec 3 A: five lines are in the spectra, and the components that have them are ten. With
/// all 80 pixels as inputs networks learn their noise from the giants, whose parallaxes weigh little: these
/// are predicted 0.26 mag too bright, with a scatter of 1.06 mag (the best that can be made of such spectra:
/// 0.01 and 0.36).
///
/// `cargo test --release --lib regress -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of minutes"]
fn luminosities_of_a_hundred_thousand_stars() {
    let text = LUMINOSITY.replace("outputs = 32", "outputs = 100").replace("batch = 256", "batch = 1024");
    let text = text.replace("{ step = 'standardise' }", "{ step = 'pca', components = 10 }, { step = 'standardise' }");
    luminosities(100_000, &text, [0.05, 0.2]);
}
