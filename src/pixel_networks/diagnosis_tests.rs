//! `photosphere diagnose`, from files to a report.

use super::tests::{command, files};
use super::*;
use crate::simulate::line_list::{LABELS, LineList};
use crate::table::{self, Column, ColumnSchema, Values};
use std::path::Path;

/// A model of six labels with a catalogue, in a folder of [`files`].
fn model(folder: &Path) {
    files(folder);
    let path = |name: &str| folder.join(name).display().to_string();
    let names = ["teff", "logg", "v_mic", "feh", "c_fe", "mg_fe"];
    assert!(names.iter().all(|name| LABELS.iter().any(|(label, _)| label == name)));
    let recipe = PixelRecipe {
        labels: names.map(str::to_owned).to_vec(),
        library: Some("library.safetensors".into()),
        resolution: LineList::default().resolution,
        training: crate::per_pixel::train::TrainingOptions { hidden: 8, oracle_pixels: 0, ..Default::default() },
        ..PixelRecipe::default()
    };
    std::fs::write(folder.join("six.toml"), recipe.to_toml().unwrap()).unwrap();
    assert_eq!(command(&format!("train {} {} -o {}", path("six.toml"), path("training.parquet"), path("model"))), 0);
    assert_eq!(command(&format!("fit {} {} -o {} --keep-truth", path("model"), path("new.parquet"), path("new.fits"))), 0);
}

#[test]
fn a_model_is_diagnosed_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (model, library, catalogue) = (path("model"), path("library.safetensors"), path("new.fits"));
    // The history's end is what the card says.
    let rows = read_history(&folder.path().join("model")).unwrap().unwrap();
    let last = rows.last().unwrap();
    let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
    let package = <PixelPackage as crate::package::Kind>::load(Path::new(&model), &effects, &device).unwrap();
    let metrics = &package.core.card.metrics;
    for (name, found) in
        [("chi-square of training", last.flux), ("gradient term", last.gradient), ("chi-square of validation", last.validation)]
    {
        assert!((metrics[name] / found - 1.0).abs() < 1e-9 && last.is_kept, "{name} {found}");
    }
    let stages: Vec<usize> = rows.iter().filter(|row| row.iteration == 0).map(|row| row.stage).collect();
    assert!(stages.starts_with(&[0, 1, 2]) && rows[0].n_training == 40 && rows[0].flux > 2.0 * last.flux, "{stages:?}");

    let report = path("report");
    let whole = format!("diagnose {model} -o {report} --library {library} --catalogue {catalogue}");
    assert_eq!(command(&format!("{whole} --mark mg_fe,teff --reference 3")), 0);
    assert_eq!(command(&whole), 1, "a report is not replaced");
    assert_eq!(command(&format!("{whole} --overwrite")), 0);
    let page = std::fs::read_to_string(Path::new(&report).join("report.html")).unwrap();
    for text in [
        "Losses",
        "references of the training",
        "Cheat test",
        "Cramér–Rao",
        "with quality_flags of 8 or more are left out",
        "Abundance planes",
    ] {
        assert!(page.contains(text), "no '{text}'");
    }
    for figure in ["losses", "gradients", "cheat-test", "precision", "kiel", "abundance-planes"] {
        assert!(Path::new(&report).join(format!("figures/{figure}.png")).exists(), "{figure}");
    }
    let other = |more: &str| command(&format!("diagnose {model} -o {} --overwrite {more}", path("other")));
    assert_eq!(other(&format!("--spectra {}", path("new.parquet"))), 0);
    assert_eq!(other(&format!("--library {library} --mark eu_fe")), 2);
    assert_eq!(other(&format!("--library {library} --reference 60")), 2);
    assert_eq!(other("--truth x.parquet"), 2, "a truth of no catalogue");
    assert_eq!(other(&format!("--catalogue {catalogue} --flags-below 0")), 1, "no star is left");
    assert_eq!(other(&format!("--catalogue {catalogue} --truth {}", path("training.parquet"))), 1, "no star in common");
    assert_eq!(other(&format!("--catalogue {catalogue} --truth {}", path("new.parquet"))), 0);
    assert_eq!(other(&format!("--catalogue {catalogue} --repeats object")), 2);
    assert_eq!(command(&format!("diagnose {model} -o {} --catalogue {}", path("new.fits"), path("new.fits"))), 2, "an input");

    // Spectra of the same star, a label that is not there, no history.
    let mut table = table::read(Path::new(&catalogue)).unwrap();
    let object = (0..200).map(|row| row / 2).collect();
    table.push(Column::scalar(ColumnSchema::new("object", "", "the star"), Values::Int64(object))).unwrap();
    table.take("mg_fe");
    table::write(&table, &folder.path().join("repeated.parquet"), false).unwrap();
    std::fs::remove_file(folder.path().join("model/training_history.parquet")).unwrap();
    assert_eq!(other(&format!("--catalogue {} --repeats object", path("repeated.parquet"))), 0);
    let page = std::fs::read_to_string(folder.path().join("other/report.html")).unwrap();
    assert!(page.contains("no history") && page.contains("No star tells [Mg/Fe]"), "{}", &page[..3000]);

    // Catalogues of other models.
    let ids = Values::Text(vec!["0123456789abcdef".into(); 200]);
    table.replace(Column::scalar(ColumnSchema::new("model_id", "", "model"), ids)).unwrap();
    table::write(&table, &folder.path().join("foreign.parquet"), false).unwrap();
    assert_eq!(other(&format!("--catalogue {}", path("foreign.parquet"))), 1);
}
