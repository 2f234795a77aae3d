//! From files to catalogues, through the program.

use super::*;
use crate::cli::{Program, run};
use crate::per_pixel::train::LabelErrors;
use crate::per_pixel::{LabelSpace, PixelNetworks};
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use crate::statistics::robust_scatter;
use crate::table::{self, Column, Values};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::path::Path;

/// Library, training and new spectra of a few pixels in a folder, with a recipe.
pub(super) fn files(folder: &Path) {
    let list = LineList { n_pixels: 40, ..LineList::default() };
    let (synthesis, population) = (Synthesis::new(&list), Population::default());
    let library = synthesis.library(population.references(References::Scattered, 60).view());
    library.write(&folder.join("library.safetensors"), false).unwrap();
    let labels = population.labels(700);
    let all = population.observe(&synthesis, labels.view(), [50.0, 150.0]);
    let part = |range: std::ops::Range<usize>| all.select(&range.collect::<Vec<_>>());
    table::write(&list.observations(&part(0..500), 1, true).unwrap(), &folder.join("training.parquet"), false).unwrap();
    let mut new = part(500..700);
    new.inverse_variance.row_mut(3).fill(0.0);
    table::write(&list.observations(&new, 5000, false).unwrap(), &folder.join("new.parquet"), false).unwrap();
    let recipe = PixelRecipe {
        labels: LABELS[..4].iter().map(|(name, _)| (*name).to_owned()).collect(),
        library: Some("library.safetensors".into()),
        resolution: list.resolution,
        training: crate::per_pixel::train::TrainingOptions { hidden: 8, ..Default::default() },
        ..PixelRecipe::default()
    };
    std::fs::write(folder.join("recipe.toml"), recipe.to_toml().unwrap()).unwrap();
}

pub(super) fn command(arguments: &str) -> u8 {
    let words = ["photosphere", "--quiet"].into_iter().chain(arguments.split(' ')).map(Into::into);
    run(Program::standard(), words.collect::<Vec<_>>())
}

#[test]
fn a_recipe_trains_and_the_package_makes_catalogues() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (recipe, training, model) = (path("recipe.toml"), path("training.parquet"), path("model"));
    assert_eq!(command(&format!("train {recipe} {training} -o {model}")), 0);
    assert_eq!(command(&format!("train {recipe} {training} -o {model}")), 1, "a model is not replaced");
    assert_eq!(command(&format!("train {recipe} {training} -o {model} --resume")), 0);
    assert_eq!(command(&format!("inspect {model}")), 0);
    let (stars, catalogue) = (path("new.parquet"), path("catalogue.fits"));
    assert_eq!(command(&format!("fit {model} {stars} -o {catalogue} --keep-truth")), 0);
    assert_eq!(command(&format!("fit {model} {stars} -o {catalogue} --resume --keep-truth")), 0);
    assert_eq!(command(&format!("fit {model} {stars} -o {} --keep-truth", path("run/"))), 0, "a run over partitions");
    assert_eq!(command(&format!("fit {model} {stars} -o {} --hold feh=0", path("held.fits"))), 2);
    assert_eq!(command(&format!("train {recipe} {stars} -o {}", path("none"))), 1, "the truth is no measurement");

    // The same stars in another order make the same model.
    let mut rows = table::read(Path::new(&training)).unwrap();
    rows = rows.select(&(0..rows.n_rows()).rev().collect::<Vec<_>>());
    table::write(&rows, &folder.path().join("reversed.parquet"), false).unwrap();
    let again = path("again");
    assert_eq!(command(&format!("train {recipe} {} -o {again}", path("reversed.parquet"))), 0);
    let load = |folder: &str| {
        let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
        <PixelPackage as crate::package::Kind>::load(Path::new(folder), &effects, &device).unwrap()
    };
    let (first, second) = (load(&model), load(&again));
    assert_eq!(first.model, second.model);
    assert_eq!(crate::package::Package::sha256(&first), crate::package::Package::sha256(&second));

    let found = table::read(Path::new(&catalogue)).unwrap();
    let column = |name: &str| found.column(name).unwrap().to_f64().unwrap();
    let bits = found.column("quality_flags").unwrap().to_i64().unwrap();
    assert!(bits[3] & (1 << 11) != 0 && column("teff")[3].is_nan());
    assert!(bits.iter().filter(|bits| **bits < 8).count() > 140, "{bits:?}");
    check_scatter(&column, &bits);

    // The other way round: fluxes at labels, in their own units.
    assert_eq!(command(&format!("predict {model} {training} -o {}", path("fluxes.fits"))), 0);
    assert_eq!(command(&format!("predict {model} {training} -o {} --hold parallax=1", path("more.fits"))), 2);
    let (fluxes, given) = (table::read(&folder.path().join("fluxes.fits")).unwrap(), table::read(Path::new(&training)).unwrap());
    let labels: Vec<Vec<f64>> =
        first.core.space().names.iter().map(|name| given.column(name).unwrap().to_f64().unwrap()).collect();
    let labels = ndarray::Array2::from_shape_fn((500, 4), |(i, k)| labels[k][i]);
    let expected = crate::per_pixel::emulate(first.core.engine.as_ref(), labels.view());
    let Values::Float64(found) = &fluxes.column("flux").unwrap().values else { panic!("double precision") };
    assert!(found.len() == expected.len());
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - f64::from(*expected)).abs() < 1e-6));

    // Without medians of good spectra, poor fits are those whose χ² noise does not make.
    let card = PixelCard { goodness: Goodness::default(), ..first.core.card.clone() };
    let bare = PixelPackage::new(card, first.model.clone(), first.core.templates.clone()).unwrap();
    bare.save(&folder.path().join("bare"), false, |_| Ok(())).unwrap();
    let mut emission = table::read(Path::new(&stars)).unwrap();
    let mut flux = emission.column("flux").unwrap().clone();
    let mut values: Vec<f64> = match &flux.values {
        Values::Float32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Values::Float64(values) => values.clone(),
        _ => panic!("fluxes are floats"),
    };
    (0..200).for_each(|star| values[40 * star + 10..40 * star + 14].fill(1.5));
    flux.values = Values::Float64(values);
    emission.replace(flux).unwrap();
    table::write(&emission, &folder.path().join("emission.parquet"), false).unwrap();
    let catalogue = path("emission_catalogue.fits");
    assert_eq!(command(&format!("fit {} {} -o {catalogue}", path("bare"), path("emission.parquet"))), 0);
    let found = table::read(Path::new(&catalogue)).unwrap();
    assert!(found.column("qflag_chi2").unwrap().to_f64().unwrap().iter().all(|value| value.is_nan()));
    let bits = found.column("quality_flags").unwrap().to_i64().unwrap();
    let (poor, not_fitted) = (i64::from(crate::infer::flags::POOR_FIT), i64::from(crate::infer::flags::NOT_FITTED));
    assert!(bits.iter().all(|bits| bits & (poor | not_fitted) != 0), "{bits:?}");
}

/// Four labels are fitted where fifteen are at work: scatter is above the bound, but far below that of the
/// stars.
fn check_scatter(column: &dyn Fn(&str) -> Vec<f64>, bits: &[i64]) {
    for name in ["teff", "v_mic", "feh"] {
        let (value, truth) = (column(name), column(&format!("true_{name}")));
        let good: Vec<usize> = (0..200).filter(|&i| bits[i] < 8).collect();
        let difference: Vec<f64> = good.iter().map(|&i| value[i] - truth[i]).collect();
        let spread = robust_scatter(&good.iter().map(|&i| truth[i]).collect::<Vec<_>>());
        println!("{name}: {:.3} of {spread:.3}", robust_scatter(&difference));
        assert!(robust_scatter(&difference) < 0.6 * spread, "{name}");
    }
}

/// Windows of labels in trainings, which the model keeps, and in fits: of all commands.
#[test]
fn labels_with_windows_are_fitted_from_files() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let text = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    let mut recipe: PixelRecipe = PixelRecipe::parse(&text, "recipe").unwrap();
    recipe.training.windows_of = [("v_mic".to_owned(), vec![[5000.0, 5019.5]])].into();
    write("windows.toml", &recipe.to_toml().unwrap());
    let (training, stars) = (path("training.parquet"), path("new.parquet"));
    for (recipe, model) in [("recipe.toml", "model"), ("windows.toml", "windowed")] {
        assert_eq!(command(&format!("train {} {training} -o {}", path(recipe), path(model))), 0);
    }
    let card = std::fs::read_to_string(folder.path().join("windowed/model.toml")).unwrap();
    let plain = std::fs::read_to_string(folder.path().join("model/model.toml")).unwrap();
    assert!(card.contains("v_mic = [[5000.0, 5019.5]]") && !plain.contains("windows_of"), "{card}");
    assert_eq!(command(&format!("inspect {}", path("windowed"))), 0);

    write("feh.toml", "[windows_of]\nfeh = [[5003, 5012], [5020, 5035]]\n");
    write("v_mic.toml", "[windows_of]\nv_mic = [[5000, 5019.5]]\n");
    let fit = |model: &str, config: Option<&str>, to: &str| {
        let config = config.map_or_else(String::new, |config| format!(" --config {}", path(config)));
        command(&format!("fit {} {stars} -o {} --keep-truth{config}", path(model), path(to)))
    };
    for (model, config, to) in [
        ("model", None, "plain.parquet"),
        ("model", Some("feh.toml"), "feh.parquet"),
        ("windowed", None, "own.parquet"),
        ("windowed", Some("v_mic.toml"), "same.parquet"),
    ] {
        assert_eq!(fit(model, config, to), 0, "{to}");
    }
    let read = |name: &str| table::read(&folder.path().join(name)).unwrap();
    let column = |table: &table::Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
    let [plain, feh, own, same] = ["plain.parquet", "feh.parquet", "own.parquet", "same.parquet"].map(read);
    // Less is known of the label, and something of it outside.
    let schema = &feh.column("feh_outside").unwrap().schema;
    assert_eq!((schema.unit.as_str(), plain.column("feh_outside").is_err()), ("", true));
    let [before, within, outside] =
        [(&plain, "feh_error"), (&feh, "feh_error"), (&feh, "feh_outside_error")].map(|(table, name)| column(table, name));
    let all = (0..200).filter(|star| *star != 3);
    // Four labels where fifteen are at work: fits end elsewhere, where the derivatives are others.
    let [before, within] = [before, within].map(|errors| all.clone().map(|star| errors[star]).collect::<Vec<f64>>());
    assert!(crate::statistics::median(&within) > crate::statistics::median(&before), "{within:?} {before:?}");
    assert!(all.clone().all(|star| outside[star] > 0.0), "{outside:?}");
    let [degrees, fewer] = [&plain, &feh].map(|table| column(table, "n_dof"));
    assert!(all.clone().all(|star| degrees[star] == fewer[star] + 1.0) && column(&feh, "feh")[3].is_nan());
    assert!(feh.column("covariance_triu").unwrap().schema.description.contains("feh, feh_outside"));
    let bits = feh.column("quality_flags").unwrap().to_i64().unwrap();
    assert!(bits.iter().filter(|bits| **bits < 8).count() > 100, "{bits:?}");
    for name in ["teff", "v_mic", "feh", "feh_error", "chi2"] {
        assert_eq!(format!("{:?}", column(&own, name)), format!("{:?}", column(&same, name)), "{name}");
    }
    assert_eq!(command(&format!("predict {} {} -o {}", path("model"), path("feh.parquet"), path("fluxes.fits"))), 0);
    let inspect = format!("inspect {} --star 5001 --data {stars} --config {} --mark feh", path("model"), path("feh.toml"));
    assert_eq!(command(&format!("{inspect} -o {}", path("star.svg"))), 0);
    assert!(std::fs::read_to_string(folder.path().join("star.svg")).unwrap().contains("outside"));
    for (model, text) in [
        ("model", "xi = [[5003, 5012]]"),
        ("model", "feh = [[6003, 6012]]"),
        ("model", "feh = [[5003, 5003, 5004]]"),
        ("windowed", "v_mic = [[5025, 5035]]"),
    ] {
        write("wrong.toml", &format!("[windows_of]\n{text}\n"));
        assert_eq!(fit(model, Some("wrong.toml"), "none.parquet"), 2, "{text}");
    }
}

/// Another family of models goes through the same commands.
#[test]
fn polynomials_are_trained_fitted_and_inspected_like_networks() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    let text_of_recipe = text.clone();
    let networks: PixelRecipe = PixelRecipe::parse(&text, "recipe").unwrap();
    assert!(PolynomialRecipe::parse(&text, "recipe").unwrap_err().to_string().contains("pixel-polynomials"));
    let recipe = PolynomialRecipe {
        labels: networks.labels.clone(),
        library: networks.library.clone(),
        resolution: networks.resolution,
        ..PolynomialRecipe::default()
    };
    std::fs::write(folder.path().join("polynomials.toml"), recipe.to_toml().unwrap()).unwrap();
    let (model, training) = (path("model"), path("training.parquet"));
    assert_eq!(command(&format!("train {} {training} -o {model}", path("polynomials.toml"))), 0);
    assert_eq!(command(&format!("train {} {training} -o {model} --resume", path("polynomials.toml"))), 0);
    assert_eq!(command(&format!("train {} {training} -o {} --seeds 2", path("polynomials.toml"), path("seeds"))), 2, "no seed");
    assert_eq!(command(&format!("inspect {model}")), 0);
    let (stars, catalogue) = (path("new.parquet"), path("catalogue.fits"));
    assert_eq!(command(&format!("fit {model} {stars} -o {catalogue} --keep-truth")), 0);
    let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
    let package = <PolynomialPackage as crate::package::Kind>::load(Path::new(&model), &effects, &device).unwrap();
    let (text, summary) = crate::package::Package::describe(&package);
    assert!(text.contains("70 terms, degree 4") && text.contains("gradient term"), "{text}");
    assert_eq!(summary["terms"], 70);
    let found = table::read(Path::new(&catalogue)).unwrap();
    let column = |name: &str| found.column(name).unwrap().to_f64().unwrap();
    let bits = found.column("quality_flags").unwrap().to_i64().unwrap();
    assert!(bits[3] & (1 << 11) != 0 && bits.iter().filter(|bits| **bits < 8).count() > 140, "{bits:?}");
    check_scatter(&column, &bits);
    // Networks know what polynomials of the same physics reach, and take the place of a model of another
    // kind.
    let networks = path("networks");
    assert_eq!(command(&format!("train {} {training} -o {networks}", path("polynomials.toml"))), 0);
    assert_eq!(command(&format!("train {} {training} -o {networks} --overwrite", path("recipe.toml"))), 0);
    let package = <PixelPackage as crate::package::Kind>::load(Path::new(&networks), &effects, &device).unwrap();
    let metric = |name: &str| package.core.card.metrics[name];
    let [own, oracle] = ["", ", polynomials"].map(|of| metric(&format!("chi-square of validation, some pixels{of}")));
    println!("validation {own:.4}, polynomials {oracle:.4}");
    assert!((own / oracle - 1.0).abs() < 0.05, "{own} {oracle}");
    assert!(metric("gradient term, some pixels, polynomials") > 0.0);
    // Without stars for validation there is nothing to be said of them.
    assert!(text_of_recipe.contains("validation_fraction = 0.1"));
    let all = text_of_recipe.replace("validation_fraction = 0.1", "validation_fraction = 0.0");
    std::fs::write(folder.path().join("all.toml"), all).unwrap();
    assert_eq!(command(&format!("train {} {training} -o {}", path("all.toml"), path("all"))), 0);
    let package = <PixelPackage as crate::package::Kind>::load(Path::new(&path("all")), &effects, &device).unwrap();
    let metrics = &package.core.card.metrics;
    assert!(metrics.keys().all(|name| !name.contains("validation")), "{metrics:?}");
    assert!(metrics["gradient term, some pixels, polynomials"] > 0.0 && metrics["gradient term"] > 0.0);
    let pixels = table::read(&Path::new(&path("all")).join(PIXELS_FILE)).unwrap();
    assert!(pixels.column("chi2_validation").unwrap().to_f64().unwrap().iter().all(|value| value.is_nan()));
    // Fits of networks from the estimates of polynomials end where those from templates do, and sooner. (Of
    // four labels where fifteen are at work some have two optima.)
    let [own, guided] = [path("own.parquet"), path("guided.parquet")];
    assert_eq!(command(&format!("fit {networks} {stars} -o {own}")), 0);
    assert_eq!(command(&format!("fit {networks} {stars} -o {guided} --start-from {model}")), 0);
    assert_eq!(command(&format!("fit {networks} {stars} -o {guided} --resume")), 2, "another choice");
    let [own, guided] = [own, guided].map(|name| table::read(Path::new(&name)).unwrap());
    let of = |table: &table::Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
    let (error, bits) = (of(&own, "teff_error"), own.column("quality_flags").unwrap().to_i64().unwrap());
    let (a, b) = (of(&own, "teff"), of(&guided, "teff"));
    let good: Vec<usize> = (0..200).filter(|&i| bits[i] < 8).collect();
    let apart: Vec<f64> = good.iter().map(|&i| (a[i] - b[i]).abs() / error[i]).collect();
    let n_apart = apart.iter().filter(|apart| **apart > 0.1).count();
    println!("median {:.4}, {n_apart} of {} apart", crate::statistics::median(&apart), apart.len());
    assert!(crate::statistics::median(&apart) < 0.05 && 10 * n_apart < apart.len());
    let [own, guided] = [&own, &guided].map(|table| of(table, "n_iterations").iter().sum::<f64>() / 199.0);
    println!("iterations {own:.2}, from polynomials {guided:.2}");
    assert!(guided < own && b[3].is_nan());
    let direct = path("nothing");
    assert_ne!(command(&format!("fit {networks} {stars} -o {} --start-from {direct}", path("none.fits"))), 0);
    // The tensors of one family are no model of the other.
    std::fs::copy(Path::new(&networks).join("networks.safetensors"), Path::new(&model).join("polynomials.safetensors")).unwrap();
    assert_eq!(command(&format!("inspect {model}")), 1);
}

/// A joint network learns and fits.
#[test]
fn a_joint_network_is_trained_fitted_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    let networks: PixelRecipe = PixelRecipe::parse(&text, "recipe").unwrap();
    let mut recipe = JointRecipe {
        labels: networks.labels.clone(),
        library: networks.library.clone(),
        resolution: networks.resolution,
        ..JointRecipe::default()
    };
    recipe.training.hidden = vec![24, 16];
    recipe.training.plan.epochs = 300;
    recipe.training.plan.learning_rate = 0.005;
    recipe.training.batch = 32;
    std::fs::write(folder.path().join("joint.toml"), recipe.to_toml().unwrap()).unwrap();
    let (model, training) = (path("model"), path("training.parquet"));
    assert_eq!(command(&format!("train {} {training} -o {model}", path("joint.toml"))), 0);
    assert_eq!(command(&format!("inspect {model}")), 0);
    let (stars, catalogue) = (path("new.parquet"), path("catalogue.fits"));
    assert_eq!(command(&format!("fit {model} {stars} -o {catalogue} --keep-truth")), 0);
    let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
    let package = <JointPackage as crate::package::Kind>::load(Path::new(&model), &effects, &device).unwrap();
    let (text, summary) = crate::package::Package::describe(&package);
    println!("{text}");
    assert!(text.contains("[24, 16] neurons, sigmoid") && summary["hidden"][1] == 16, "{text}");
    let metrics = &package.core.card.metrics;
    assert!(metrics["chi-square of validation"] < 2.0, "{metrics:?}");
    let found = table::read(Path::new(&catalogue)).unwrap();
    let column = |name: &str| found.column(name).unwrap().to_f64().unwrap();
    let bits = found.column("quality_flags").unwrap().to_i64().unwrap();
    assert!(bits.iter().filter(|bits| **bits < 8).count() > 140, "{bits:?}");
    for name in ["teff", "feh"] {
        let (value, truth) = (column(name), column(&format!("true_{name}")));
        let good: Vec<usize> = (0..200).filter(|&i| bits[i] < 8).collect();
        let difference: Vec<f64> = good.iter().map(|&i| value[i] - truth[i]).collect();
        let spread = robust_scatter(&good.iter().map(|&i| truth[i]).collect::<Vec<_>>());
        println!("{name}: {:.3} of {spread:.3}", robust_scatter(&difference));
        assert!(robust_scatter(&difference) < 0.6 * spread, "{name}");
    }
}

#[test]
fn joint_networks_that_no_memory_holds_are_refused() {
    let options = JointOptions::default();
    assert_eq!(options.n_weights(25, 7214), 25 * 300 + 300 + 300 * 300 + 300 + 300 * 7214 + 7214);
    options.check_size(25, 7214).unwrap();
    let error = JointOptions { hidden: vec![8192; 8], ..options }.check_size(15, 5000).unwrap_err().to_string();
    assert!(error.contains("hidden") && error.contains("weights"), "{error}");
}

#[test]
fn labels_in_error_are_freed_and_the_package_says_so() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut rows = table::read(&folder.path().join("training.parquet")).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for (name, _) in &LABELS[..4] {
        let mut values = rows.column(name).unwrap().to_f64().unwrap();
        let error = 0.2 * robust_scatter(&values);
        for value in &mut values {
            let normal: f64 = StandardNormal.sample(&mut random);
            *value += error * normal;
        }
        let n = values.len();
        for (name, values) in [((*name).to_owned(), values), (format!("{name}_error"), vec![error; n])] {
            let schema = rows.column(&name).unwrap().schema.clone();
            rows.replace(Column::scalar(schema, Values::Float64(values))).unwrap();
        }
    }
    table::write(&rows, &folder.path().join("noisy.parquet"), false).unwrap();
    let recipe = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    assert!(recipe.contains("label_alternations = 2"));
    let exact = recipe.replace("label_alternations = 2", "label_alternations = 0");
    std::fs::write(folder.path().join("exact.toml"), exact).unwrap();
    for (recipe, is_freed) in [("recipe.toml", true), ("exact.toml", false)] {
        let model = path(&format!("model_{is_freed}"));
        assert_eq!(command(&format!("train {} {} -o {model}", path(recipe), path("noisy.parquet"))), 0);
        assert_eq!(command(&format!("inspect {model}")), 0);
        let stars = table::read(&Path::new(&model).join(STARS_FILE)).unwrap();
        assert_eq!(stars.get("teff_freed").is_some(), is_freed);
        let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
        let package = <PixelPackage as crate::package::Kind>::load(Path::new(&model), &effects, &device).unwrap();
        // What was taken for exact is judged all the same.
        assert_eq!(package.core.card.label_errors.len(), 4);
        let (text, _) = crate::package::Package::describe(&package);
        assert!(text.contains("of its lines"), "{text}");
        if is_freed {
            let truth = table::read(&folder.path().join("training.parquet")).unwrap();
            let of = |table: &table::Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
            let scatter = |values: Vec<f64>| {
                robust_scatter(&values.iter().zip(of(&truth, "feh")).map(|(value, truth)| value - truth).collect::<Vec<_>>())
            };
            let [given, freed] = ["feh", "feh_freed"].map(|name| scatter(of(&stars, name)));
            println!("[Fe/H]: given {given:.4}, freed {freed:.4}");
            assert!(freed < 0.8 * given, "{freed} of {given}");
        }
    }
    // Joint networks do not free them, and say so for good.
    let networks = PixelRecipe::parse(&recipe, "recipe").unwrap();
    let mut joint =
        JointRecipe { labels: networks.labels, library: networks.library, resolution: networks.resolution, ..Default::default() };
    joint.training.hidden = vec![4];
    joint.training.plan.epochs = 2;
    std::fs::write(folder.path().join("joint.toml"), joint.to_toml().unwrap()).unwrap();
    let model = path("joint");
    for (stars, n_doubts) in [("noisy.parquet", 1..=4), ("training.parquet", 0..=0)] {
        assert_eq!(command(&format!("train {} {} -o {model} --overwrite", path("joint.toml"), path(stars))), 0);
        let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
        let package = <JointPackage as crate::package::Kind>::load(Path::new(&model), &effects, &device).unwrap();
        // Two epochs are no training, and that is said too.
        let (of_labels, others): (Vec<&String>, Vec<&String>) =
            package.core.card.doubts.iter().partition(|doubt| doubt.contains("takes labels for exact"));
        assert!(n_doubts.contains(&of_labels.len()), "{of_labels:?}");
        assert!(others.len() == 1 && others[0].contains("has failed"), "{others:?}");
        let (text, _) = crate::package::Package::describe(&package);
        assert_eq!(text.contains("takes labels for exact"), *n_doubts.end() > 0, "{text}");
    }
    let fault = |ratio: f64| {
        let errors = LabelErrors { label: "feh".into(), attenuation: 0.9, ratio: Some(ratio), n_stars: 400 };
        training::fault_of_errors(&errors)
    };
    assert!(fault(1.2).is_none() && fault(2.0).unwrap().contains("understated") && fault(0.4).unwrap().contains("overstated"));
}

/// A model that learned nothing does not depend on the labels: whatever comes out is flagged.
#[test]
fn stars_of_a_model_that_tells_no_labels_are_not_good() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    let recipe: PixelRecipe = PixelRecipe::parse(&text, "recipe").unwrap();
    let list = LineList { n_pixels: 40, ..LineList::default() };
    let units = recipe.labels.iter().map(|_| String::new()).collect();
    let space = LabelSpace::new(recipe.labels.clone(), units, vec![-1.0; 4], vec![1.0; 4]).unwrap();
    let architecture = crate::per_pixel::Architecture::new(4, &[2], crate::per_pixel::Activation::Tanh).unwrap();
    let wavelength = list.wavelength();
    for size in [0.0, 1e-30] {
        let parameters = ndarray::Array2::from_elem((40, architecture.n_parameters()), size);
        let networks = PixelNetworks::new(space.clone(), wavelength.clone(), architecture.clone(), parameters).unwrap();
        let grid = wavelength.iter().map(|angstrom| angstrom / 10.0).collect();
        let mut grid = crate::observations::Grid::new(grid, (0..40).map(|pixel| format!("pixel_{pixel}")).collect()).unwrap();
        grid.medium = Some(crate::spectrum::Medium::Vacuum);
        let card = PixelCard::of_grid::<PixelNetworks>(grid);
        let package = PixelPackage::new(card, networks, ndarray::array![[0.0; 4]]).unwrap();
        let (model, catalogue) = (format!("{}{size}", path("model")), format!("{}{size}.parquet", path("catalogue")));
        package.save(Path::new(&model), false, |_| Ok(())).unwrap();
        assert_eq!(command(&format!("fit {model} {} -o {catalogue}", path("new.parquet"))), 0);
        let bits = table::read(Path::new(&catalogue)).unwrap().column("quality_flags").unwrap().to_i64().unwrap();
        let not_converged = i64::from(crate::catalogue::flags::NOT_CONVERGED | crate::catalogue::flags::NOT_FITTED);
        assert!(bits.iter().all(|bits| bits & not_converged != 0), "{size}: {bits:?}");
    }
}

#[test]
fn a_damaged_package_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let networks = crate::per_pixel::Architecture::new(1, &[2], crate::per_pixel::Activation::Tanh).unwrap();
    let space = crate::per_pixel::LabelSpace::new(vec!["teff".into()], vec!["K".into()], vec![4000.0], vec![6000.0]).unwrap();
    let parameters = ndarray::Array2::from_elem((2, networks.n_parameters()), 0.1);
    let networks = crate::per_pixel::PixelNetworks::new(space, vec![5000.0, 5001.0], networks, parameters).unwrap();
    let grid = crate::observations::Grid::new(vec![500.0, 500.1], vec!["a".into(), "b".into()]).unwrap();
    let package = PixelPackage::new(
        PixelCard::of_grid::<crate::per_pixel::PixelNetworks>(grid.clone()),
        networks.clone(),
        ndarray::array![[5000.0]],
    )
    .unwrap();
    let model = folder.path().join("model");
    package.save(&model, false, |_| Ok(())).unwrap();
    let load = || {
        let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
        <PixelPackage as crate::package::Kind>::load(&model, &effects, &device)
    };
    assert_eq!(load().unwrap().model, networks);
    let description = std::fs::read_to_string(model.join("model.toml")).unwrap();
    std::fs::write(model.join("model.toml"), description.replace("format = 1", "format = 7")).unwrap();
    assert!(load().unwrap_err().to_string().contains("found 7"));
    std::fs::write(model.join("model.toml"), &description[..40]).unwrap();
    assert!(load().unwrap_err().to_string().contains("model.toml"));
    std::fs::write(model.join("model.toml"), &description).unwrap();
    std::fs::remove_file(model.join("templates.safetensors")).unwrap();
    assert!(load().unwrap_err().to_string().contains("templates.safetensors"));
    let short = crate::observations::Grid::new(vec![500.0], vec!["a".into()]).unwrap();
    assert!(
        PixelPackage::new(PixelCard::of_grid::<crate::per_pixel::PixelNetworks>(short), networks, ndarray::array![[5000.0]])
            .is_err()
    );
}

#[test]
fn spectra_that_are_not_normalised_and_too_few_stars_are_refused() {
    let list = LineList { n_pixels: 20, ..LineList::default() };
    let population = Population::default();
    let spectra = population.observe(&Synthesis::new(&list), population.labels(40).view(), [50.0, 150.0]);
    let recipe = PixelRecipe::default();
    training::check_spectra(&recipe, &spectra).unwrap();
    let mut counts = spectra.clone();
    counts.flux.mapv_inplace(|flux| flux * 1e30);
    let error = training::check_spectra(&recipe, &counts).unwrap_err().to_string();
    assert!(error.contains("'flux'") && error.contains("continuum"), "{error}");
    let error = training::check_spectra(&recipe, &spectra.select(&[0, 1, 2])).unwrap_err().to_string();
    assert!(error.contains("3 for 15 labels"), "{error}");
}
