//! Model directories that are damaged, or would do harm.

use super::tests::{LABELS, estimate, observed, recipe, survey, trained};
use super::*;
use crate::error::ErrorKind;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;

/// Tensors of a file by name: shape and bytes.
type Parts = std::collections::BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn rewrite(path: &Path, change: &dyn Fn(&mut Parts)) {
    let bytes = std::fs::read(path).unwrap();
    let mut parts: Parts = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut parts);
    let views = parts.iter().map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn damaged_and_hostile_directories_are_refused_by_what_is_wrong_with_them() {
    let text = LABELS.replace("epochs = 25", "epochs = 1");
    let (model, _) = trained(&text, &observed(survey(300, 0), &recipe(&text)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    model.save(&path, false).unwrap();
    let (description, weights) = (path.join("model.toml"), path.join("weights.safetensors"));
    let (whole, whole_weights) = (std::fs::read_to_string(&description).unwrap(), std::fs::read(&weights).unwrap());
    let refused = |place: &str| {
        let error = RegressionModel::read(&path).unwrap_err();
        assert!(error.to_string().contains(place), "{place}: {error}");
        assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    };
    let line = |key: &str| whole.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap().to_owned();
    let far = format!("outputs = {}", 1_u64 << 40);
    for (from, to, place) in [
        ("members = 2".to_owned(), "members = 3".to_owned(), "member"),
        ("members = 2".into(), "members = 0".into(), "members"),
        ("members = 2".into(), "members = 400000000000".into(), "members"),
        ("format = 1".into(), "format = 9".into(), "format"),
        ("outputs = 24".into(), "outputs = 25".into(), "tensor"),
        ("outputs = 24".into(), far, "layer"),
        ("outputs = 24".into(), "outputs = 1000000".into(), "numbers of the file"),
        ("components = 10".into(), "components = 0".into(), "components"),
        (line("domain_threshold"), "domain_threshold = nan".into(), "domain_threshold"),
        (line("domain_leftover"), "domain_leftover = [0.0, 1.0]".into(), "domain_leftover"),
        (line("fractional_error"), "fractional_error = -1.0".into(), "fractional_error"),
        (line("copies"), "copies = 4000000000".into(), "copies"),
        (line("training_range"), "training_range = [[0.0, inf], [0.0, 1.0], [0.0, 1.0]]".into(), "training_range"),
        (line("scale"), "scale = [1.0, 0.0, 1.0]".into(), "scale"),
        (line("centre"), "centre = [1.0, 0.0]".into(), "centre"),
        (line("floor"), "floor = -0.5".into(), "floor"),
        (line("factors"), "factors = [[2.0, 1.0], [1.0, 1.0]]".into(), "factors"),
        (line("factors"), "factors = [[2.0, 0.0]]".into(), "factors"),
    ] {
        let changed = whole.replacen(&from, &to, 1);
        assert_ne!(changed, whole, "{from}");
        std::fs::write(&description, changed).unwrap();
        refused(place);
    }
    std::fs::write(&description, &whole).unwrap();
    type Change<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Parts));
    let changes: [Change<'_>; 5] = [
        ("domain.mean", "length 0", &|parts| drop(parts.insert("domain.mean".into(), (vec![0, 1 << 60], vec![])))),
        ("inputs.fallback", "none of that name", &|parts| drop(parts.remove("inputs.fallback"))),
        ("more", "nothing uses", &|parts| drop(parts.insert("more".into(), (vec![1], vec![0; 4])))),
        ("inputs.step_3.deviation", "positive", &|parts| parts.get_mut("inputs.step_3.deviation").unwrap().1.fill(0)),
        ("domain.factor", "NaN", &|parts| {
            parts.get_mut("domain.factor").unwrap().1[..4].copy_from_slice(&f32::NAN.to_le_bytes())
        }),
    ];
    for (name, text, change) in changes {
        rewrite(&weights, change);
        refused(name);
        refused(text);
        std::fs::write(&weights, &whole_weights).unwrap();
    }
    assert_eq!(RegressionModel::read(&path).unwrap().sha256, model.sha256);
    std::fs::write(&weights, b"nothing").unwrap();
    refused("safetensors");
    std::fs::remove_file(&description).unwrap();
    refused("model.toml");
}

/// Whatever a new star has where no training star had a flux, its prediction is the same.
#[test]
fn entries_that_no_training_star_had_take_no_part() {
    let text = LABELS.replace("epochs = 25", "epochs = 1");
    let mut observations = observed(survey(300, 0), &recipe(&text));
    observations.flux_error.column_mut(7).fill(f32::INFINITY);
    let (model, _) = trained(&text, &observations);
    assert_eq!(model.inputs.untrained, [7]);
    let folder = tempfile::tempdir().unwrap();
    model.save(&folder.path().join("model"), false).unwrap();
    let read = RegressionModel::read(&folder.path().join("model")).unwrap();
    assert_eq!((read.inputs.untrained.as_slice(), &read.sha256), ([7].as_slice(), &model.sha256));
    let mut new = observed(survey(20, 5000), &recipe(&text));
    let values = |observations: &crate::observations::Observations| {
        let stars: Vec<usize> = (0..20).collect();
        read.predict(observations, &stars, &|| Ok(())).unwrap().values
    };
    let before = values(&new);
    new.flux.column_mut(7).fill(1e6);
    assert_eq!(before, values(&new));
    assert_eq!(estimate(&read, survey(20, 5000)).0.n_rows(), 20);
}
