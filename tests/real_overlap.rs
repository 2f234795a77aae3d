//! The shipped photometric model on the real overlap: LAMOST stars of the 20 % hash split that it never
//! trained on.
//!
//! Needs the real data (see CONTRIBUTING); skipped with a notice without them.

use ndarray::Array2;
use photosphere::infer::{Estimates, FitOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::{Observations, in_validation};
use photosphere::statistics::{median, pull_statistics, robust_scatter};
use photosphere::survey::prepare::{PrepareRecipe, source_of};
use photosphere::survey::read_all;
use photosphere::table::Table;
use photosphere::tensor::Device;
use photosphere::train::{Recipe, TrainedModel};
use photosphere::validate::nearest_neighbours::NearestNeighbours;
use std::path::PathBuf;

fn overlap() -> Option<Table> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("PHOTOSPHERE_SHARED_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let file = folder.join("overlap_photometry/lamost_overlap_8964.fits");
    if !file.exists() {
        assert!(std::env::var_os("PHOTOSPHERE_REQUIRE_DATA").is_none(), "{} is absent", file.display());
        eprintln!("notice: {} is absent; the real overlap is not tested", file.display());
        return None;
    }
    let text = std::fs::read_to_string(root.join("models/recipes/prepare-photometry-lamost.toml")).unwrap();
    let text = text.replace("lamost_overlap_8964.fits", file.to_str().unwrap());
    let mut whole: Option<Table> = None;
    let recipe = PrepareRecipe::parse(&text).unwrap();
    read_all(source_of(recipe).unwrap().as_ref(), |chunk| match &mut whole {
        None => {
            whole = Some(chunk);
            Ok(())
        }
        Some(table) => table.append(chunk),
    })
    .unwrap();
    whole
}

struct Overlap {
    trained: TrainedModel,
    all: Observations,
    validation: Observations,
    training: Vec<usize>,
}

fn load() -> Option<Overlap> {
    load_with(&FitOptions::default())
}

/// The overlap as these options read it.
fn load_with(options: &FitOptions) -> Option<Overlap> {
    let table = overlap()?;
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/photometry-lamost");
    let trained = TrainedModel::load(&directory, &Registry::standard(), &Device::cpu()).unwrap();
    let all = Observations::from_table(table, &read_options(&trained, options)).unwrap();
    let fraction = Recipe::parse(&trained.card.recipe, "model card").unwrap().data.validation_fraction;
    let (validation, training): (Vec<usize>, Vec<usize>) =
        (0..all.len()).partition(|&star| in_validation(all.ids[star], fraction));
    let validation = all.select(&validation);
    Some(Overlap { trained, all, validation, training })
}

/// Stars without serious flags that have a value in the catalogue; residuals fitted − catalogue, their pulls
/// with both errors, and the errors of the catalogue.
struct Residuals {
    stars: Vec<usize>,
    values: Vec<f64>,
    pulls: Vec<f64>,
    errors: Vec<f64>,
}

fn residuals(data: &Observations, estimates: &Estimates, parameter: usize) -> Residuals {
    let serious = flags::POOR_FIT | flags::UNLIKELY_LABELS | flags::NOT_CONVERGED | flags::NOT_FITTED;
    let mut residuals = Residuals { stars: Vec::new(), values: Vec::new(), pulls: Vec::new(), errors: Vec::new() };
    for star in (0..data.len()).filter(|&star| estimates.flags[star] & serious == 0) {
        if let Some((value, error)) = data.constraint(&estimates.parameters[parameter].0, star) {
            let residual = estimates.values[[star, parameter]] - value;
            residuals.stars.push(star);
            residuals.values.push(residual);
            residuals.pulls.push(residual / estimates.error(star, parameter).hypot(error));
            residuals.errors.push(error);
        }
    }
    residuals
}

/// Observed less predicted M_G of stars with ϖ/σ > 20, at the catalogue's labels, reddening and parallax,
/// with the parallaxes.
fn magnitude_residuals(trained: &TrainedModel, data: &Observations) -> Vec<(f64, f64)> {
    let model = &trained.model;
    let g = data.grid.names.iter().position(|name| name == "g").unwrap();
    let mut residuals = Vec::new();
    for star in 0..data.len() {
        let measured: Option<Vec<f64>> =
            model.space.parameters.iter().map(|p| Some(p.coordinate_from_file(data.constraint(&p.name, star)?.0))).collect();
        let (Some(coordinates), Some((parallax, error))) = (measured, data.constraint("parallax", star)) else { continue };
        if parallax > 20.0 * error && data.flux_error[[star, g]].is_finite() {
            let point = Array2::from_shape_vec((1, coordinates.len()), coordinates).unwrap();
            let predicted = model.predict(point.view()).unwrap()[[0, g]];
            residuals.push((-2.5 * (f64::from(data.flux[[star, g]]) / predicted).log10(), parallax));
        }
    }
    residuals.retain(|(residual, _)| residual.is_finite());
    residuals
}

#[test]
fn absolute_magnitudes_from_catalogue_labels_agree_with_parallaxes() {
    let Some(Overlap { trained, validation: data, .. }) = load() else { return };
    let residual: Vec<f64> = magnitude_residuals(&trained, &data).into_iter().map(|(residual, _)| residual).collect();
    println!("M_G: {} stars, median {:+.3}, 1.48 MAD {:.3} mag", residual.len(), median(&residual), robust_scatter(&residual));
    assert!(residual.len() > 500 && median(&residual).abs() < 0.05 && robust_scatter(&residual) <= 0.27);
}

/// The zero-point of DR2 parallaxes is known to about 0.02 mas. (That of Lindegren et al. 2021 is for EDR3
/// and needs ν_eff, the ecliptic latitude and the kind of solution, which the sample does not have.)
#[test]
fn the_parallax_zero_point_is_a_small_part_of_the_error() {
    let shift = 0.02;
    let loaded = |offset: f64| {
        let options = FitOptions { offsets: [("parallax".to_owned(), offset)].into(), ..FitOptions::default() };
        let Overlap { trained, validation, .. } = load_with(&options)?;
        let residuals = magnitude_residuals(&trained, &validation);
        let estimates = fit(&trained, &validation, &options).unwrap();
        let position = estimates.parameters.iter().position(|parameter| parameter.0 == "parallax").unwrap();
        Some((residuals, estimates.values.column(position).mapv(f64::ln)))
    };
    let Some((residuals, ln_parallax)) = loaded(0.0) else { return };
    let of = |residuals: &[(f64, f64)]| median(&residuals.iter().map(|(residual, _)| *residual).collect::<Vec<_>>());
    for offset in [-shift, shift] {
        let (shifted, shifted_ln_parallax) = loaded(offset).unwrap();
        let change = of(&shifted) - of(&residuals);
        let expected = residuals.iter().map(|(_, parallax)| 5.0 * (1.0 + offset / parallax).log10()).collect::<Vec<_>>();
        println!(
            "zero-point {offset:+} mas: median residual of M_G {change:+.4} mag (by the parallaxes {:+.4})",
            median(&expected)
        );
        // The selection by ϖ/σ > 20 moves a little too. The accepted bias is 0.05 mag.
        assert!(change.abs() < 0.05 && (change - median(&expected)).abs() < 0.01);
        let ln_distance = &ln_parallax - &shifted_ln_parallax;
        for (least, most) in [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, f64::INFINITY)] {
            let stars = (0..ln_distance.len()).filter(|&star| (least..most).contains(&(-ln_parallax[star]).exp()));
            let changes: Vec<(f64, f64)> = stars.map(|star| (ln_distance[star], -offset / ln_parallax[star].exp())).collect();
            let [found, alone] = [|pair: &(f64, f64)| pair.0, |pair: &(f64, f64)| pair.1]
                .map(|pick| median(&changes.iter().map(pick).collect::<Vec<_>>()));
            println!(
                "  {least}-{most} kpc: {} stars, distance {:+.2} % (parallax alone {:+.2} %)",
                changes.len(),
                100.0 * found,
                100.0 * alone
            );
            // Photometry holds against the parallax.
            assert!(found * alone > 0.0 && found.abs() < alone.abs());
        }
    }
}

/// Fits and regressions on the same stars: those of the validation part whose fit is in the cut of
/// [`residuals`] and that have the value. `scripts/real_overlap.py` does it for five trainings, beside
/// boosting, which is the better regression.
#[test]
fn fits_without_labels_hold_against_nearest_neighbours_on_the_same_stars() {
    let Some(Overlap { trained, all, validation: data, training }) = load() else { return };
    let estimates = fit(&trained, &data, &FitOptions::default()).unwrap();
    let ln_flux = |observations: &Observations, star: usize, w: usize| {
        let is_measured = observations.flux_error[[star, w]].is_finite();
        if is_measured { f64::from(observations.flux[[star, w]]).ln() } else { f64::NAN }
    };
    // The same inputs for the regression: G magnitude, colours against G, and the parallax or what it makes
    // of G.
    let inputs = |observations: &Observations, absolute: bool| {
        Array2::from_shape_fn((observations.len(), 14), |(star, column)| {
            let g = ln_flux(observations, star, 0);
            let parallax = observations.constraint("parallax", star).map_or(f64::NAN, |(value, _)| value);
            match column {
                0 => g,
                13 if absolute => (parallax * (-0.5 * g).exp()).asinh(),
                13 => parallax,
                w => ln_flux(observations, star, w) - g,
            }
        })
    };
    let neighbours = all.select(&training);
    for (parameter, (name, unit, _)) in estimates.parameters.iter().enumerate().filter(|(_, p)| p.0 != "parallax") {
        let target = |observations: &Observations| {
            Array2::from_shape_fn((observations.len(), 1), |(star, _)| {
                observations.constraint(name, star).map_or(f64::NAN, |c| c.0)
            })
        };
        let fitted = residuals(&data, &estimates, parameter);
        let (ours, values) = (robust_scatter(&fitted.values), target(&data));
        println!(
            "{name}: {} stars, fit {:+.3}, {ours:.3} {unit}, catalogue error {:.3}",
            fitted.stars.len(),
            median(&fitted.values),
            median(&fitted.errors)
        );
        for (what, absolute) in [("parallax", false), ("absolute magnitude", true)] {
            let regression =
                NearestNeighbours::fit(inputs(&neighbours, absolute).view(), target(&neighbours).view(), 10).unwrap();
            let predicted = regression.predict(inputs(&data, absolute).view()).unwrap();
            let regressed: Vec<f64> = fitted.stars.iter().map(|&star| predicted[[star, 0]] - values[[star, 0]]).collect();
            assert!(regressed.iter().all(|value| value.is_finite()), "{name}: a regression for every star");
            let theirs = robust_scatter(&regressed);
            println!("  nearest neighbours with {what}: {:+.3}, {theirs:.3} {unit}", median(&regressed));
            // log g is as good as that of neighbours that see ϖ, no better: 0.169 beside 0.168.
            let limit = if name == "logg" { 1.02 } else { 1.0 };
            assert!(ours < limit * theirs, "{name}, {what}");
        }
    }
}

#[test]
fn errors_of_photometric_parallaxes_are_as_large_as_documented() {
    let Some(Overlap { trained, validation: data, .. }) = load() else { return };
    let options = FitOptions { constraints: Vec::new(), ..Default::default() }.likelihood_only();
    let estimates = fit(&trained, &data, &options).unwrap();
    let parallax = estimates.parameters.iter().position(|parameter| parameter.0 == "parallax").unwrap();
    // Without a prior and a parallax, photometry often leaves a second optimum (a dwarf, or a giant), of
    // which the covariance at the first knows nothing; the flag says so. The better the search, the more
    // often that other star is the likeliest one.
    let mut single = estimates.clone();
    for (flags, poor) in single.flags.iter_mut().zip(&estimates.flags) {
        *flags |= if poor & flags::SECOND_OPTIMUM != 0 { flags::NOT_CONVERGED } else { 0 };
    }
    for (name, estimates) in [("all", &estimates), ("without a second optimum", &single)] {
        let pulls = pull_statistics(&residuals(&data, estimates, parallax).pulls);
        let (median, scatter) = (pulls.median.value, pulls.scatter.value);
        println!("photometric parallaxes, {name}: {} stars, pulls {median:+.3}, MAD-sigma {scatter:.3}", pulls.n);
        // Observed 1.69 and 1.30: where fluxes alone tell the luminosity, posteriors are bent, and the
        // covariance at one optimum is too small. (A floor in the errors of the fluxes hid it: 1.27 and
        // 1.09.)
        assert!((0.85..if name == "all" { 1.8 } else { 1.4 }).contains(&scatter), "{name}");
    }
    for (label, edges) in [("teff", [4000.0, 5000.0, 6000.0, 7000.0]), ("logg", [1.0, 3.5, 4.2, 5.0])] {
        for bin in edges.windows(2) {
            let ratios: Vec<f64> = (0..data.len())
                .filter(|&star| data.constraint(label, star).is_some_and(|(value, _)| (bin[0]..bin[1]).contains(&value)))
                .filter_map(|star| {
                    let (value, error) = data.constraint("parallax", star)?;
                    (value > 10.0 * error).then(|| (estimates.values[[star, parallax]] / value).ln())
                })
                .filter(|ratio| ratio.is_finite())
                .collect();
            let scatter = robust_scatter(&ratios);
            println!(
                "  {label} {}-{}: {} stars, ln distance median {:+.3}, scatter {scatter:.3}",
                bin[0],
                bin[1],
                ratios.len(),
                -median(&ratios)
            );
        }
    }
}
