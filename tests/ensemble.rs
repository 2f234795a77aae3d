//! Several trainings that differ in their seeds as one model: its errors know how far the members are from
//! one another, and the folder of all seeds tells of one run.

mod common;

use common::{fail, files, json, succeed};
use photosphere::infer::{Ensemble, Estimates, FitOptions, ensemble, fit};
use photosphere::model::{Registry, Transform};
use photosphere::observations::{Observations, ReadOptions, in_validation};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::tensor::Device;
use photosphere::train::{Recipe, TrainedModel, train};

/// The built-in recipe, shortened.
fn recipe_text() -> String {
    let text = include_str!("../models/recipes/xp.toml");
    text.replace("epochs = 30", "epochs = 12")
        .replace("epochs = 40", "epochs = 6")
        .replace("hidden = [32, 32, 32]", "hidden = [16, 16]")
}

/// As far as its first cleaning, for the command line.
fn shorter_text() -> String {
    let text = recipe_text();
    let end = text.find("[[stage]]\nkind = \"learn\"\nname = \"cleaned model and stars\"").unwrap();
    text[..end].to_owned()
}

const PARAMETERS: [&str; 5] = ["teff", "feh", "logg", "extinction", "parallax"];

fn survey(n_stars: usize, first_star: u64) -> Observations {
    let table = simulate(&SurveyConfig { n_stars, first_star, ..Default::default() }).unwrap();
    Observations::from_table(table, &ReadOptions { constraints: PARAMETERS.map(String::from).to_vec(), ..Default::default() })
        .unwrap()
}

fn recipe(seed: u64) -> Recipe {
    Recipe { seed, ..Recipe::parse(&recipe_text(), "test").unwrap() }
}

/// A fit as of new stars, where the reddening may be negative: at zero an optimum moves otherwise.
fn usual(model_error: bool) -> FitOptions {
    let transforms = [("extinction".to_owned(), Transform::Identity)].into();
    FitOptions { model_error, transforms, exact_hessian: false, ..FitOptions::default().likelihood_only() }
}

/// Root mean squares over stars, in units of their formal errors, of the expected distance of the chosen
/// member from the mean of all seeds, by fits with all members, and of the spread in the errors.
fn scatters(stars: &Observations, members: &[(u64, TrainedModel)], made: &Ensemble) -> Vec<(&'static str, [f64; 2])> {
    let formal: Vec<Estimates> = members.iter().map(|(_, member)| fit(member, stars, &usual(false)).unwrap()).collect();
    let chosen = &formal[made.chosen];
    let mut with_spread = members[made.chosen].1.clone();
    with_spread.model.calibration = Some(made.spread.covariance.clone());
    let of_spread = fit(&with_spread, stars, &usual(true)).unwrap();
    let good: Vec<usize> = (0..stars.len()).filter(|&star| formal.iter().all(|fits| fits.flags[star] < 8)).collect();
    assert!(good.len() > 200, "{} stars", good.len());
    let of_parameter = |(at, name): (usize, &&'static str)| {
        let variance = |star: usize| chosen.covariance[[star, at, at]];
        let refitted = |star: usize| {
            let values: Vec<f64> = formal.iter().map(|fits| fits.values[[star, at]]).collect();
            let (n, mean) = (values.len() as f64, values.iter().sum::<f64>() / values.len() as f64);
            let between = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            ((values[made.chosen] - mean).powi(2) + between / n) / variance(star)
        };
        let claimed = |star: usize| of_spread.covariance[[star, at, at]] / variance(star) - 1.0;
        let mean = |of: &dyn Fn(usize) -> f64| (good.iter().map(|&star| of(star)).sum::<f64>() / good.len() as f64).sqrt();
        (*name, [mean(&refitted), mean(&claimed)])
    };
    PARAMETERS.iter().enumerate().map(of_parameter).collect()
}

#[test]
fn the_errors_of_an_ensemble_know_how_far_its_members_are_from_one_another() {
    let stars = survey(3000, 0);
    let members: Vec<(u64, TrainedModel)> = (1..=4)
        .map(|seed| {
            (seed, train(&recipe(seed), &stars, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0)
        })
        .collect();
    let made = ensemble(&recipe(1), &members, &stars, &|_| Ok(())).unwrap();
    let card = made.trained.card.ensemble.clone().unwrap();
    assert_eq!(card.members.iter().map(|member| member.seed).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let distances: Vec<f64> = card.members.iter().map(|member| member.distance).collect();
    let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
    println!("distances {distances:.3?}, spread {:?}, shared {:?}, {} stars", card.spread, card.shared_spread, card.n_stars);
    println!("{} regions", made.spread.covariance.regions.len());
    assert!(distances[made.chosen] == nearest && (distances.iter().sum::<f64>() / 4.0 - 1.0).abs() < 1e-9);
    let single = &members[made.chosen].1;
    assert!(made.trained.sha256 != single.sha256 && made.trained.model.weights.names() == single.model.weights.names());

    // The scatter of the fits by the members about those by the chosen one, against what the errors say of
    // it: of the stars that told it, and of new ones.
    let held_out: Vec<usize> = (0..stars.len()).filter(|&star| in_validation(stars.ids[star], 0.2)).collect();
    let new = survey(1500, 1_000_000);
    for (which, sample) in [("held out", &stars.select(&held_out)), ("new", &new)] {
        for (name, [refitted, claimed]) in scatters(sample, &members, &made) {
            println!("{which}, {name}: refits scatter by {refitted:.3} errors, the spread says {claimed:.3}");
            // Observed: 0.91 to 1.08, parallaxes 0.73 and 0.80: four seeds are too few to divide the stars,
            // so that the spread is that of all of them, and outliers take no part in it.
            assert!((0.65..1.35).contains(&(claimed / refitted)), "{which}, {name}");
        }
    }

    // Nowhere smaller than those of the member alone, and larger where the calibration knew less.
    let [alone, together] = [single, &made.trained].map(|trained| fit(trained, &new, &usual(true)).unwrap());
    assert_eq!(alone.values, together.values);
    for star in (0..new.len()).filter(|&star| alone.error(star, 0).is_finite()) {
        for at in 0..5 {
            assert!(together.error(star, at) > 0.999_999 * alone.error(star, at), "{star}, {at}");
            let [one, all] = [&alone, &together].map(|fits| fits.shared.as_ref().unwrap()[[star, at, at]]);
            assert!(all > 0.999_99 * one, "{star}, {at}: {one} {all}");
        }
    }
    let good: Vec<usize> = (0..new.len()).filter(|&star| together.flags[star] < 8).collect();
    let ratio = |at: usize| {
        let mut ratios: Vec<f64> = good.iter().map(|&star| together.error(star, at) / alone.error(star, at)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    let ratios = [0, 1, 2, 3, 4].map(ratio);
    println!("median ratio of errors, ensemble over member: {ratios:.3?}");
    assert!(ratios.iter().all(|ratio| *ratio >= 1.0) && ratios[0] > 1.1);

    let folder = tempfile::tempdir().unwrap();
    made.trained.save(&folder.path().join("model"), false).unwrap();
    let read = TrainedModel::load(&folder.path().join("model"), &Registry::standard(), &Device::cpu()).unwrap();
    assert!(read.sha256 == made.trained.sha256 && read.card == made.trained.card);
    let error = ensemble(&recipe(1), &members[..1], &stars, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("at least two"), "{error}");
}

#[test]
fn a_folder_of_seeds_ends_with_a_model_and_tells_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("short.toml"), shorter_text()).unwrap();
    succeed(path, "simulate -o overlap.parquet --stars 1500");
    succeed(path, "simulate -o new.parquet --stars 60 --new --seed 7");
    fail(path, "train short.toml overlap.parquet -o all --ensemble", 2, &["--seeds"]);
    fail(path, "train short.toml overlap.parquet -o all --seeds 1 --ensemble", 2, &["at least two seeds"]);
    fail(path, "train specdis overlap.parquet -o all --seeds 2 --ensemble", 2, &["training.members"]);

    let made = json(path, "train short.toml overlap.parquet -o all --seeds 2 --ensemble --json");
    assert_eq!(files(&path.join("all")), ["ensemble", "seed-1", "seed-2", "seeds.json"]);
    let ensemble = &made["ensemble"]["summary"]["ensemble"];
    let predicts = |member: &serde_json::Value| member["predicts"].as_bool().unwrap();
    // Two are equally far from their mean.
    assert_eq!(ensemble["member"].as_array().unwrap().iter().map(predicts).collect::<Vec<_>>(), [true, false]);
    assert!(ensemble["spread"]["teff"].as_f64().unwrap() > 0.0 && ensemble["spread"]["parallax"].as_f64().unwrap() < 1.0);
    let text = succeed(path, "inspect all/ensemble");
    assert!(text.contains("an ensemble of 2 seeds") && text.matches("which predicts").count() == 1, "{text}");
    assert!(path.join("all/ensemble/training_stars.parquet").is_file());
    succeed(path, "fit all/ensemble new.parquet -o catalogue.parquet");
    let hash = |made: &serde_json::Value| made["ensemble"]["sha256"].as_str().unwrap().to_owned();

    let again = json(path, "train short.toml overlap.parquet -o all --seeds 2 --ensemble --resume --json");
    assert_eq!(hash(&again), hash(&made));
    let more = json(path, "train short.toml overlap.parquet -o all --seeds 3 --ensemble --resume --json");
    assert_ne!(hash(&more), hash(&made), "a third member");
    // Without --ensemble, the one that is there is told of where it is of these members.
    let kept = json(path, "train short.toml overlap.parquet -o all --seeds 3 --resume --json");
    assert_eq!(hash(&kept), hash(&more));
    let other = json(path, "train short.toml overlap.parquet -o all --seeds 2 --resume --json");
    assert!(other["ensemble"].is_null(), "{}", other["ensemble"]);

    // What the new ensemble would replace may not be what it is made from.
    let command = "train short.toml all/ensemble/training_stars.parquet -o all --seeds 2 --ensemble --overwrite";
    fail(path, command, 2, &["holds the input", "no option writes over an input"]);
    assert!(path.join("all/ensemble/training_stars.parquet").is_file());

    // Fewer seeds in place of more: those of the earlier run go, what is the user's stays.
    std::fs::create_dir(path.join("all/seed-9")).unwrap();
    std::fs::write(path.join("all/seed-9/thesis.tex"), "mine").unwrap();
    std::fs::write(path.join("all/seed-4.checkpoint"), "interrupted").unwrap();
    std::fs::write(path.join("all/notes.txt"), "mine").unwrap();
    // An input is the user's too.
    std::fs::rename(path.join("overlap.parquet"), path.join("all/seed-3/training_stars.parquet")).unwrap();
    succeed(path, "train short.toml all/seed-3/training_stars.parquet -o all --seeds 1 --overwrite");
    assert_eq!(files(&path.join("all")), ["notes.txt", "seed-1", "seed-3", "seed-9", "seeds.json"]);
}
