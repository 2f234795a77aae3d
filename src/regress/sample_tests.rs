//! Trainings whose stars stay in their files.

use super::tests::{LABELS, observed, recipe, survey};
use super::*;
use crate::observations::{Grid, ObservationFiles, Sample};
use crate::table::{self, Column, Table, Values};
use crate::tensor::Device;
use std::path::{Path, PathBuf};

/// Bytes of a part of the fewest stars.
const FEWEST: usize = 1;

/// Files of the given rows; the last has parallaxes in arcseconds.
fn files(table: &Table, folder: &Path, ends: &[usize]) -> Vec<PathBuf> {
    let mut first = 0;
    let parts = ends.iter().enumerate().map(|(index, &end)| {
        let mut part = table.slice(first..end);
        first = end;
        for name in ["parallax", "parallax_error"].into_iter().filter(|_| index + 1 == ends.len()) {
            let mut schema = part.column(name).unwrap().schema.clone();
            assert_eq!(schema.unit, "mas");
            schema.unit = "arcsec".into();
            let values = part.column(name).unwrap().to_f64().unwrap();
            part.replace(Column::nullable(schema, values.iter().map(|value| value / 1024.0).collect())).unwrap();
        }
        let path = folder.join(format!("part-{index}.parquet"));
        table::write(&part, &path, false).unwrap();
        path
    });
    parts.collect()
}

fn open(paths: &[PathBuf], recipe: &RegressionRecipe) -> crate::error::Result<ObservationFiles> {
    ObservationFiles::open(paths, FEWEST, |table| Ok(recipe.read_options(Grid::of_table(table)?.len())))
}

/// The whole training, of which each part sees other stars: steps (of some of the training stars), networks,
/// calibration, comparison.
#[test]
fn a_training_from_files_is_that_from_memory_to_the_bit() {
    let text = LABELS
        .replace("step = [{ step = 'asinh'", "measured = ['parallax']\nmost_stars = 300\nstep = [{ step = 'asinh'")
        .replace("epochs = 25", "epochs = 3");
    let recipe = recipe(&text);
    let folder = tempfile::tempdir().unwrap();
    let paths = files(&survey(900, 0), folder.path(), &[401, 402, 900]);
    let mut whole = table::read(&paths[0]).unwrap();
    for path in &paths[1..] {
        crate::quantity::append(&mut whole, table::read(path).unwrap(), "another file").unwrap();
    }
    let held = observed(whole, &recipe);
    let walked = open(&paths, &recipe).unwrap();
    assert_eq!((walked.stars().len(), walked.sha256()), (900, held.sha256()));
    let mut parts = Vec::new();
    let some = [3, 64, 65, 401, 899];
    walked
        .visit(&some, &mut |part, stars| {
            parts.push((part.len(), stars.to_vec()));
            Ok(())
        })
        .unwrap();
    assert_eq!(parts, [(64, vec![3]), (64, vec![0, 1]), (1, vec![0]), (50, vec![49])]);
    let (found, rows) = walked.held(&some).unwrap();
    let expected = held.select(&some);
    assert_eq!((&found.ids, &found.flux, rows), (&expected.ids, &expected.flux, vec![0, 1, 2, 3, 4]));
    assert_eq!((&found.whitening, &found.constraints), (&expected.whitening, &expected.constraints));
    assert_eq!(walked.whole().unwrap().whitening, held.whitening);

    let train = |sample: &dyn Sample| train(&recipe, sample, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
    let ((from_memory, stars), (from_files, same_stars)) = (train(&held), train(&walked));
    assert_eq!(from_files.sha256, from_memory.sha256);
    assert_eq!(from_files.card, from_memory.card);
    assert_eq!(from_files.log.comparison, from_memory.log.comparison);
    assert!(!from_memory.log.comparison.rows.is_empty());
    assert_eq!((same_stars.n_rows(), stars.n_rows()), (900, 900));
    for column in stars.columns() {
        assert_eq!(same_stars.column(&column.schema.name).unwrap().values.len(), column.values.len());
    }
    // The steps had looked at no more stars than they may, or the model would be that of all of them.
    let all = RegressionRecipe { inputs: InputsRecipe { most_stars: 100_000, ..recipe.inputs.clone() }, ..recipe.clone() };
    let of_all = super::train(&all, &held, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0;
    assert_ne!(of_all.sha256, from_memory.sha256);
}

#[test]
fn files_that_change_or_repeat_stars_are_refused() {
    let recipe = recipe(LABELS);
    let folder = tempfile::tempdir().unwrap();
    let table = survey(200, 0);
    let paths = files(&table, folder.path(), &[100, 200]);
    let walked = open(&paths, &recipe).unwrap();
    let all: Vec<usize> = (0..200).collect();
    let visit = |walked: &ObservationFiles| walked.visit(&all, &mut |_, _| Ok(())).unwrap_err().to_string();
    table::write(&table.slice(100..150), &paths[1], true).unwrap();
    assert!(visit(&walked).contains("other stars than a moment ago"), "{}", visit(&walked));
    table::write(&table.slice(0..100), &paths[1], true).unwrap();
    assert!(visit(&walked).contains("other stars than a moment ago"));
    assert!(open(&paths, &recipe).unwrap_err().to_string().contains("more than once"));
    let mut other = table.slice(100..200);
    let ids = Values::Int64((0..100).collect());
    other.replace(Column { values: ids, ..other.column("source_id").unwrap().clone() }).unwrap();
    other.take("parallax");
    table::write(&other, &paths[1], true).unwrap();
    let message = open(&paths, &recipe).unwrap_err().to_string();
    assert!(message.contains("part-1.parquet") && message.contains("as in the files before"), "{message}");
    assert!(open(&[], &recipe).unwrap_err().to_string().contains("at least one"));
    let nobody = table.slice(0..0);
    table::write(&nobody, &paths[1], true).unwrap();
    table::write(&nobody, &paths[0], true).unwrap();
    let walked = open(&paths, &recipe).unwrap();
    assert!(walked.stars().is_empty() && walked.whole().unwrap().is_empty());
}

/// What a recipe does not say.
#[test]
fn some_of_the_stars_are_the_same_in_whatever_order() {
    let ids: Vec<i64> = (0..1000).map(|i| 7 * i).collect();
    let stars: Vec<usize> = (0..1000).filter(|star| star % 3 != 0).collect();
    let some = super::train::some_of(&stars, &ids, 100);
    assert_eq!((some.len(), some.is_sorted()), (100, true));
    let turned: Vec<i64> = ids.iter().rev().copied().collect();
    let others: Vec<usize> = stars.iter().rev().map(|star| 999 - star).collect();
    let again: Vec<i64> = super::train::some_of(&others, &turned, 100).iter().map(|&star| turned[star]).collect();
    let mut found: Vec<i64> = some.iter().map(|&star| ids[star]).collect();
    found.reverse();
    assert_eq!(again, found);
    assert_eq!(super::train::some_of(&stars, &ids, 1000), stars);
}
