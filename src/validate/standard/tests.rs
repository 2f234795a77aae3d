//! The report of a tiny model on a tiny survey: all sections, and nothing that is not a number in its text.

use super::*;
use crate::infer::{FitOptions, StartOptions, fit, read_options};
use crate::model::Registry;
use crate::observations::ReadOptions;
use crate::simulate::{SurveyConfig, simulate};
use crate::tensor::Device;
use crate::train::{Recipe, train};

const RECIPE: &str = "
description = 'tiny'
prior = { n_components = 1, threshold_samples = 1000 }
effect = [{ kind = 'emulator', labels = ['teff', 'feh', 'logg'], hidden = [8] }, { kind = 'extinction' }, { kind = 'distance' }]
stage = [
    { kind = 'learn', name = 'only', epochs = 4, batch = 32, learning_rate = 1e-2 },
    { kind = 'clean', name = 'cleaning', parameter_sigma = 1e3, flux_sigma = 1e4 },
]
";

/// A tiny trained model, its stars and observations, and new stars with their fits.
struct Tiny {
    trained: TrainedModel,
    stars: Table,
    training: Observations,
    new_stars: Observations,
    map: Estimates,
    likelihood: Estimates,
}

impl Tiny {
    fn new(columns_to_drop: &[&str]) -> Self {
        let recipe = Recipe::parse(RECIPE, "test").unwrap();
        let read = ReadOptions { constraints: recipe.constraints(&Registry::standard()).unwrap(), ..Default::default() };
        let survey = |n_stars, first_star| simulate(&SurveyConfig { n_stars, first_star, ..Default::default() }).unwrap();
        let training = Observations::from_table(survey(150, 0), &read).unwrap();
        let (trained, stars) =
            train(&recipe, &training, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
        let start = StartOptions { draws: 64, runs: 1, runs_without_distance: 1, ..StartOptions::default() };
        let options = FitOptions { start, ..FitOptions::default() };
        let mut table = survey(50, 10_000);
        columns_to_drop.iter().for_each(|name| {
            table.take(name);
        });
        let new_stars = Observations::from_table(table, &read_options(&trained, &options)).unwrap();
        let map = fit(&trained, &new_stars, &options).unwrap();
        let likelihood = fit(&trained, &new_stars, &options.likelihood_only()).unwrap();
        Self { trained, stars, training, new_stars, map, likelihood }
    }
}

/// The page as text, with what figures write in it.
fn page(input: &SurveyReportInput<'_>) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::read_to_string(survey_report(input).unwrap().write(folder.path(), false).unwrap()).unwrap()
}

const ALWAYS: [&str; 11] = [
    "Summary",
    "Training",
    "Training sample",
    "Self-cleaning",
    "Extinction curve",
    "Residuals per wavelength",
    "Model error",
    "Residuals per parameter",
    "Correlations",
    "Quality flags",
    "Example stars",
];

fn check(page: &str, sections: &[&str]) {
    for section in sections {
        assert!(page.contains(&format!(">{section}</h2>")), "no section '{section}'");
    }
    for bad in ["NaN", ">inf", " inf ", "−inf"] {
        assert!(!page.contains(bad), "the page says '{bad}'");
    }
}

#[test]
fn a_simulated_survey_has_all_sections_and_criteria() {
    let tiny = Tiny::new(&[]);
    let options = ControlOptions { n_new: 60, seed: 3 };
    let controls = controls(&tiny.trained, &tiny.training, &Registry::standard(), &options).unwrap();
    assert!(controls.iter().all(|control| control.numbers.len() >= 5 && control.series.len() == 2));
    let truth = crate::simulate::truth::true_extinction_curve(&tiny.trained.model.grid.wavelength).unwrap();
    let input = SurveyReportInput {
        truth_curve: Some(&truth),
        training: Some(&tiny.training),
        likelihood: Some(&tiny.likelihood),
        controls: &controls,
        ..SurveyReportInput::new(&tiny.trained, &tiny.stars, &tiny.new_stars, &tiny.map)
    };
    let page = page(&input);
    check(&page, &ALWAYS);
    check(&page, &["Pulls", "Negative control: no dust", "Negative control: only good parallaxes"]);
    for criterion in ["median pull of T_eff", "MAD-σ of the pulls of E", "median χ²/n_dof", "deviation of R(λ)", "fits converged"]
    {
        assert!(page.contains(criterion), "no criterion '{criterion}'");
    }
}

#[test]
fn real_stars_have_no_pulls_and_a_report_nevertheless() {
    let names = ["true_teff", "true_feh", "true_logg", "true_parallax", "true_extinction", "true_xi", "true_is_binary"];
    let tiny = Tiny::new(&[&names[..], &["parallax", "parallax_error"]].concat());
    let page = page(&SurveyReportInput::new(&tiny.trained, &tiny.stars, &tiny.new_stars, &tiny.map));
    check(&page, &ALWAYS);
    assert!(!page.contains(">Pulls</h2>") && page.contains("catalogue value"));

    let other = tiny.new_stars.select(&[0, 1]);
    let message = survey_report(&SurveyReportInput {
        new_stars: &other,
        ..SurveyReportInput::new(&tiny.trained, &tiny.stars, &other, &tiny.map)
    })
    .unwrap_err()
    .to_string();
    assert!(message.contains("50 stars") && message.contains("the 2 stars"), "{message}");
}

/// Spec 1 §7: the median corr(ϖ, log g) falls by at least 0.05 with the parallax. Flux that depends on 2 ln ϖ
/// − log g alone, up to one part in ten, has corr 0.994 without a parallax; one to 5 % leaves 0.703.
#[test]
fn taking_the_parallax_out_of_the_fisher_matrix_restores_the_degeneracy() {
    let flux = ndarray::array![[401.0, -200.0], [-200.0, 101.0]];
    let error = 0.05;
    let mut with_parallax = flux.clone();
    with_parallax[[0, 0]] += 1.0 / (error * error);
    let covariance = uncertainties::without_constraint(with_parallax.view(), 0, error).unwrap();
    // inverse of [[401, −200], [−200, 101]]: determinant 501
    for (found, expected) in covariance.iter().zip([101.0 / 501.0, 200.0 / 501.0, 200.0 / 501.0, 401.0 / 501.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
    let correlation = |m: &[f64]| m[1] / (m[0] * m[3]).sqrt();
    let without = correlation(&covariance);
    let with = 200.0 / (801.0_f64 * 101.0).sqrt();
    assert!((without - 0.993_79).abs() < 1e-4 && without - with > 0.05, "{without} {with}");
    // a matrix that never held the measurement is refused, not inverted to something
    assert!(uncertainties::without_constraint(flux.view(), 0, error).is_none());
}
