//! Statistics of a whole simulated survey.

use super::*;
use crate::noise::{EigenvalueFloor, WhiteningRow, triangle};
use crate::survey::prepare::PrepareRecipe;
use crate::table::{Column, Table, Values};

const N: usize = 4000;

fn survey(config: SurveyConfig) -> Table {
    simulate(&config).unwrap()
}

fn standard() -> &'static Table {
    static SURVEY: std::sync::OnceLock<Table> = std::sync::OnceLock::new();
    SURVEY.get_or_init(|| survey(SurveyConfig { n_stars: N, ..SurveyConfig::default() }))
}

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().to_f64().unwrap()
}

fn binary(table: &Table) -> Vec<bool> {
    match &table.column("true_is_binary").unwrap().values {
        Values::Bool(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

/// True flux `[66]` of every star, put together from the truth columns as a user would.
fn true_flux(table: &Table) -> Vec<Vec<f64>> {
    let wavelengths: Vec<f64> = serde_json::from_str(&table.metadata["wavelengths"]).unwrap();
    let curve: Vec<f64> = serde_json::from_str(&table.metadata["true_extinction_curve"]).unwrap();
    let model = spectral_energy::SpectralEnergy::new(&wavelengths);
    let [teff, feh, logg, parallax, extinction] =
        ["true_teff", "true_feh", "true_logg", "true_parallax", "true_extinction"].map(|name| numbers(table, name));
    let binary = binary(table);
    (0..table.n_rows())
        .map(|star| {
            let ln_flux = model.ln_flux(&Labels { teff: teff[star] / 1e3, feh: feh[star], logg: logg[star] });
            let scale = if binary[star] { 2.0 } else { 1.0 } * parallax[star].powi(2);
            ln_flux.iter().zip(&curve).map(|(value, curve)| scale * (value - extinction[star] * curve).exp()).collect()
        })
        .collect()
}

/// Kolmogorov–Smirnov distance of a sample from N(0, 1), times √n: above 1.63 with probability 1 %, above
/// 1.95 with 0.1 %.
fn kolmogorov_smirnov(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let distance = sample.iter().enumerate().map(|(rank, &value)| {
        let below = normal_cumulative(value);
        (below - rank as f64 / n).abs().max((below - (rank + 1) as f64 / n).abs())
    });
    distance.fold(0.0, f64::max) * n.sqrt()
}

/// Φ(x) from Abramowitz & Stegun 26.2.17 (error below 7.5e-8).
fn normal_cumulative(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let upper = series * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x > 0.0 { 1.0 - upper } else { upper }
}

#[test]
fn chunks_and_survey_length_do_not_change_a_star() {
    let config = SurveyConfig { n_stars: 50, seed: 9, r_v_scatter: 0.2, ..SurveyConfig::default() };
    let whole = survey(config.clone());
    let chunks: Vec<Table> = Simulator::new(config.clone()).unwrap().chunks(17).collect::<Result<_, _>>().unwrap();
    let mut start = 0;
    for chunk in &chunks {
        let rows: Vec<usize> = (start..start + chunk.n_rows()).collect();
        start += chunk.n_rows();
        // Missing fluxes are NaN, so compare the printed form.
        assert_eq!(format!("{:?}", whole.select(&rows).columns()), format!("{:?}", chunk.columns()));
    }
    assert_eq!(start, 50);
    let later = survey(SurveyConfig { n_stars: 10, first_star: 40, ..config });
    let rows: Vec<usize> = (40..50).collect();
    assert_eq!(format!("{:?}", whole.select(&rows).columns()), format!("{:?}", later.columns()));
}

#[test]
fn labels_do_not_change_the_star_that_they_describe() {
    let config = SurveyConfig { n_stars: 40, ..SurveyConfig::default() };
    let (labelled, new) = (survey(config.clone()), survey(SurveyConfig { labelled_fraction: 0.0, ..config }));
    for name in ["source_id", "flux", "parallax", "true_teff"] {
        let text = |table: &Table| format!("{:?}", table.column(name).unwrap());
        assert_eq!(text(&labelled), text(&new));
    }
    for name in ["teff", "teff_error", "feh", "logg_error", "extinction", "extinction_error"] {
        let column = new.column(name).unwrap();
        assert!((0..40).all(|star| !column.is_valid(star)), "{name} of a new star is null");
    }
}

#[test]
fn chi_square_and_infrared_pulls_are_those_of_the_stated_noise() {
    let table = standard();
    let truth = true_flux(table);
    let flux = table.column("flux").unwrap().to_matrix(66).unwrap();
    let error = table.column("flux_error").unwrap().to_matrix(66).unwrap();
    let covariance = table.column("xp_covariance_triu").unwrap().to_matrix(1891).unwrap();
    let mut sum = 0.0;
    for star in 0..N {
        let residual: Vec<f64> = (0..61).map(|sample| flux[[star, sample]] - truth[star][sample]).collect();
        let row = WhiteningRow::new(&covariance.row(star).to_vec(), &[], EigenvalueFloor::default()).unwrap();
        sum += row.chi_square(&residual);
        assert!((0..61).all(|sample| error[[star, sample]] > 0.0 && flux[[star, sample]].is_finite()));
    }
    let deviation = (sum / N as f64 - 61.0) / (122.0 / N as f64).sqrt();
    assert!(deviation.abs() < 4.0, "mean χ² {}", sum / N as f64); // observed: 60.84 ± 0.17
    for band in 61..66 {
        let present: Vec<usize> = (0..N).filter(|&star| flux[[star, band]].is_finite()).collect();
        let missing = 1.0 - present.len() as f64 / N as f64;
        assert!((0.08..0.27).contains(&missing), "{missing} missing in band {band}");
        assert!(present.iter().all(|&star| flux[[star, band]] != 0.0) && error.iter().all(|error| *error != 0.0));
        let pulls = present.iter().map(|&star| (flux[[star, band]] - truth[star][band]) / error[[star, band]]).collect();
        assert!(kolmogorov_smirnov(pulls) < 1.95, "pulls of band {band}");
    }
}

#[test]
fn catalogue_pulls_are_normal() {
    let table = standard();
    for name in ["parallax", "teff", "feh", "logg", "extinction"] {
        let [value, error, truth] =
            [name.to_owned(), format!("{name}_error"), format!("true_{name}")].map(|name| numbers(table, &name));
        assert!(value.iter().chain(&error).chain(&truth).all(|value| value.is_finite()), "{name} has no NaN");
        let pulls = (0..N).map(|star| (value[star] - truth[star]) / error[star]).collect();
        assert!(kolmogorov_smirnov(pulls) < 1.95, "pulls of {name}"); // observed: 0.7–1.0
    }
    let within = |name: &str, low: f64, high: f64| {
        let values = numbers(table, name);
        values.iter().all(|value| (low..=high).contains(value))
    };
    assert!(within("parallax_error", 0.01, 0.6) && within("teff_error", 10.0, 150.0) && within("logg_error", 0.02, 0.25));
    assert!(numbers(table, "parallax").iter().any(|parallax| *parallax < 0.0), "some parallaxes are negative");
    assert!(numbers(table, "extinction").iter().any(|extinction| *extinction < 0.0), "some reddenings are negative");
}

#[test]
fn the_survey_looks_like_one() {
    let table = standard();
    let fraction = |of: &dyn Fn(usize) -> bool| (0..N).filter(|&star| of(star)).count() as f64 / N as f64;
    let binaries = binary(table);
    let binary_fraction = fraction(&|star| binaries[star]);
    assert!((binary_fraction - 0.05).abs() < 4.0 * (0.05 * 0.95 / N as f64).sqrt(), "{binary_fraction}");
    let (g, logg, extinction) =
        (numbers(table, "phot_g_mean_mag"), numbers(table, "true_logg"), numbers(table, "true_extinction"));
    assert!(g.iter().all(|g| (9.5..18.0).contains(g)));
    let giants = fraction(&|star| logg[star] < 3.5);
    assert!((0.25..0.5).contains(&giants), "{giants}");
    assert!(extinction.iter().all(|value| *value > 0.0));
    let reddened = fraction(&|star| extinction[star] > 0.3);
    assert!((0.15..0.6).contains(&reddened), "{reddened}");
    assert!(fraction(&|star| extinction[star] > 1.5) < 0.05);
    let xi = numbers(table, "true_xi");
    assert!(xi.iter().all(|xi| *xi == 0.0), "no scatter of R_V by default");
}

#[test]
fn r_v_scatter_reddens_differently() {
    let config = SurveyConfig { n_stars: 200, r_v_scatter: 0.25, ..SurveyConfig::default() };
    let (varied, fixed) = (survey(config.clone()), survey(SurveyConfig { r_v_scatter: 0.0, ..config }));
    let xi = numbers(&varied, "true_xi");
    assert!(xi.iter().any(|xi| *xi > 1.0) && xi.iter().any(|xi| *xi < -1.0));
    let g = |table: &Table| numbers(table, "phot_g_mean_mag");
    for ((xi, varied), fixed) in xi.iter().zip(g(&varied)).zip(g(&fixed)) {
        assert!((varied - fixed) * xi >= 0.0, "more R_V at the same E(B−V) is more extinction");
    }
}

/// Prepared, the raw survey is the survey: the same fluxes, and covariances that differ only in the flux that
/// scales the inflation.
#[test]
fn raw_spectra_hold_the_same_fluxes() {
    let config = SurveyConfig { n_stars: 60, ..SurveyConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let [spectra, catalogue, prepared] = ["xp.parquet", "stars.parquet", "prepared.parquet"].map(|name| folder.path().join(name));
    let raw = Simulator::new(config.clone()).unwrap().raw_table(0..60).unwrap();
    crate::table::write(&raw.spectra, &spectra, false).unwrap();
    crate::table::write(&raw.catalogue, &catalogue, false).unwrap();
    let recipe =
        format!("[xp]\nfiles = [{spectra:?}]\n[[tables]]\nfiles = [{catalogue:?}]\n[photometry]\nsets = [\"2mass\", \"wise\"]");
    crate::survey::prepare::prepare(PrepareRecipe::parse(&recipe).unwrap(), &prepared, false).unwrap();
    let (expected, found) = (survey(config), crate::table::read(&prepared).unwrap());
    assert_eq!(expected.metadata["bands"], found.metadata["bands"]);
    let list = |table: &Table, name: &str, length: usize| table.column(name).unwrap().to_matrix(length).unwrap();
    let error = list(&expected, "flux_error", 66);
    for (name, tolerance) in [("flux", 1e-3), ("flux_error", 0.1)] {
        for ((expected, found), error) in list(&expected, name, 66).iter().zip(&list(&found, name, 66)).zip(&error) {
            assert!((expected - found).abs() <= tolerance * error || expected.is_nan() && found.is_nan(), "{expected} {found}");
        }
    }
    let (expected, found) = (list(&expected, "xp_covariance_triu", 1891), list(&found, "xp_covariance_triu", 1891));
    for star in 0..60 {
        let scale = (0..61).map(|sample| expected[[star, triangle::upper(sample, sample, 61)]]).fold(0.0, f64::max);
        let largest = expected.row(star).iter().zip(found.row(star)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest < 0.1 * scale, "star {star}: {largest} of {scale}");
    }
}

#[test]
fn impossible_surveys_are_refused() {
    assert!(Simulator::new(SurveyConfig { binary_fraction: f64::NAN, ..SurveyConfig::default() }).is_err());
    let simulator = Simulator::new(SurveyConfig { n_stars: 5, ..SurveyConfig::default() }).unwrap();
    assert!(simulator.table(0..6).is_err());
    let empty = survey(SurveyConfig { n_stars: 0, ..SurveyConfig::default() });
    assert!(empty.n_rows() == 0 && empty.columns().iter().all(|column: &Column| column.n_rows() == 0));
}
