//! `train`, `fit` and `inspect` of a direct network from the command line: the same run again, partitions,
//! and what is refused.

use photosphere::cli::{Program, run};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::table;

const RECIPE: &str = "
kind = 'regression'
description = 'a test'
layer = [{ layer = 'linear', outputs = 8 }, { layer = 'tanh' }]
[inputs]
step = [{ step = 'asinh' }, { step = 'pca', components = 6 }, { step = 'standardise' }]
[target]
of = 'labels'
names = ['teff', 'feh']
[training]
members = 2
plan = { epochs = 3, learning_rate = 0.01 }
[errors]
copies = 2
";

#[test]
fn a_recipe_of_a_regression_trains_and_its_model_makes_catalogues() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let survey = |n_stars, first_star| simulate(&SurveyConfig { n_stars, first_star, ..Default::default() }).unwrap();
    table::write(&survey(400, 0), path("overlap.parquet").as_ref(), false).unwrap();
    table::write(&survey(60, 1_000_000), path("new.parquet").as_ref(), false).unwrap();
    std::fs::write(path("recipe.toml"), RECIPE).unwrap();
    std::fs::write(path("wrong.toml"), RECIPE.replace("members", "member")).unwrap();
    let command = |arguments: &str| {
        let words = ["photosphere", "--quiet"].into_iter().chain(arguments.split(' ')).map(Into::into);
        run(Program::standard(), words.collect::<Vec<_>>())
    };
    let (recipe, overlap, new, model) = (path("recipe.toml"), path("overlap.parquet"), path("new.parquet"), path("model"));
    assert_eq!(command(&format!("train {} {overlap} -o {model}", path("wrong.toml"))), 2);
    assert_eq!(command(&format!("train {recipe} {overlap} -o {model}")), 0);
    assert_eq!(command(&format!("train {recipe} {overlap} -o {model}")), 1, "it exists");
    assert_eq!(command(&format!("train {recipe} {overlap} -o {model} --resume")), 0, "the same run is finished");
    assert_eq!(command(&format!("train {recipe} {new} -o {model} --resume")), 2, "another run");
    assert_eq!(command(&format!("inspect {model}")), 0);
    let comparison = std::fs::read_to_string(folder.path().join("model/comparison.md")).unwrap();
    assert!(["network", "linear", "k-NN", "gradient boosting"].iter().all(|method| comparison.contains(method)));

    let (maps, figure) = (path("maps.fits"), path("maps.png"));
    let attribute = format!("attribute {model} {new} -o {maps} --figure {figure} --stars 12 --baselines 2 --points 4");
    assert_eq!((command(&attribute), command(&attribute)), (0, 1), "they exist");
    assert_eq!(command(&format!("{attribute} --overwrite --split age")), 2);
    assert_eq!(command(&format!("{attribute} --overwrite --figure {}", path("maps.pdf"))), 2);
    assert_eq!(
        command(&format!(
            "attribute {} {new} -o {}",
            concat!(env!("CARGO_MANIFEST_DIR"), "/models/xp-simulated"),
            path("no.fits")
        )),
        2
    );
    let maps = table::read(maps.as_ref()).unwrap();
    let (all, high) = (maps.column("teff").unwrap().to_f64().unwrap(), maps.column("feh_at_high_teff").unwrap());
    assert!(all.len() == 66 && all.iter().all(|value| *value >= 0.0) && all.iter().sum::<f64>() > 0.0);
    assert!(high.schema.description.contains("4 stars of teff"), "{}", high.schema.description);

    let several = format!("train {recipe} {overlap} -o {} --seeds 2", path("several"));
    assert_eq!((command(&several), command(&format!("{several} --resume"))), (0, 0));
    assert_eq!(command(&format!("train {recipe} {overlap} -o {model} --seeds 2")), 2, "a model is no folder of models");
    let figures = std::fs::read_to_string(folder.path().join("several/seeds.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    let scatter = &figures["figures"]["comparison.network, teff.scatter"];
    assert!(scatter["n"] == 2 && scatter["scatter"].as_f64().unwrap() > 0.0, "{figures}");
    assert_eq!(figures["figures"]["comparison.linear, teff.scatter"]["scatter"], 0.0, "no seed in it");
    assert_eq!(command(&format!("inspect {}", path("several/seed-2"))), 0);

    let catalogue = path("catalogue.fits");
    assert_eq!(command(&format!("fit {model} {new} -o {catalogue}")), 0);
    assert_eq!(command(&format!("fit {model} {new} -o {catalogue} --resume")), 0);
    assert_eq!(command(&format!("fit {model} {new} {overlap} -o {}", path("run/"))), 0, "a run over partitions");
    assert_eq!(command(&format!("fit {model} {new} -o {} --hold feh=0", path("held.fits"))), 2, "no fit, nothing to hold");
    // A forward model's fits start from it, if it predicts all labels.
    let forward = concat!(env!("CARGO_MANIFEST_DIR"), "/models/xp-simulated");
    let started = |from: &str, more: &str| command(&format!("fit {forward} {new} -o {}{more}{from}", path("started.parquet")));
    assert_eq!(started(&format!(" --start-from {model}"), ""), 2, "log g is missing");
    let (all_labels, complete) = (path("all_labels.toml"), path("complete"));
    std::fs::write(&all_labels, RECIPE.replace("'feh'", "'feh', 'logg', 'extinction'")).unwrap();
    assert_eq!(command(&format!("train {all_labels} {overlap} -o {complete}")), 0);
    let from = format!(" --start-from {complete}");
    assert_eq!(started(&from, ""), 0);
    assert_eq!(started(&from, " --resume"), 0, "the same run is finished");
    assert_ne!(started("", " --resume"), 0, "another run");
    let fitted = table::read(path("started.parquet").as_ref()).unwrap().column("teff").unwrap().to_f64().unwrap();
    assert!(fitted.iter().filter(|teff| teff.is_finite()).count() > 55);

    let catalogue = table::read(catalogue.as_ref()).unwrap();
    for name in ["teff", "teff_error", "feh", "domain_distance"] {
        let values = catalogue.column(name).unwrap().to_f64().unwrap();
        assert!(values.len() == 60 && values.iter().filter(|value| value.is_finite()).count() > 30, "{name}");
    }
}
