//! Gradient boosting of trees, by the crate forust.

use super::baselines::Lesson;
use crate::error::{Error, Result};
use forust_ml::metric::Metric;
use forust_ml::objective::ObjectiveType;
use forust_ml::{GradientBooster, Matrix};
use ndarray::ArrayView2;

/// Trees at most; a tenth of the stars says when to stop.
const MOST_TREES: usize = 1000;
const LEARNING_RATE: f32 = 0.05;
/// Trees without a better loss after which it stops.
const PATIENCE: usize = 20;

/// Predictions `[M]` for inputs `[M, D]`.
pub(super) fn boosted(lesson: Lesson<'_>, new: ArrayView2<'_, f64>, seed: u64) -> Result<Vec<f64>> {
    let failed =
        |error: forust_ml::errors::ForustError| Error::numerical("gradient boosting").found(error.to_string()).source(error);
    let n = lesson.target.len();
    let (stop, learn): (Vec<usize>, Vec<usize>) = (0..n).partition(|star| star % 10 == 0);
    let columns = |rows: ArrayView2<'_, f64>, stars: &[usize]| -> Vec<f64> {
        rows.columns().into_iter().flat_map(|column| stars.iter().map(move |&star| column[star]).collect::<Vec<_>>()).collect()
    };
    let target = |stars: &[usize]| stars.iter().map(|&star| lesson.target[star]).collect::<Vec<f64>>();
    let width = lesson.inputs.ncols();
    let (x, y) = (columns(lesson.inputs, &learn), target(&learn));
    let (x_stop, y_stop) = (columns(lesson.inputs, &stop), target(&stop));
    let weights = vec![1.0; learn.len()];
    let weights_stop = vec![1.0; stop.len()];
    let mut booster = GradientBooster::default()
        .set_objective_type(ObjectiveType::SquaredLoss)
        .set_evaluation_metric(Some(Metric::RootMeanSquaredError))
        .set_initialize_base_score(true)
        .set_iterations(MOST_TREES)
        .set_learning_rate(LEARNING_RATE)
        .set_max_depth(6)
        .set_min_leaf_weight(20.0)
        .set_early_stopping_rounds(Some(PATIENCE))
        .set_parallel(true)
        .set_seed(seed);
    let watched = vec![(Matrix::new(&x_stop, stop.len(), width), y_stop.as_slice(), weights_stop.as_slice())];
    booster.fit(&Matrix::new(&x, learn.len(), width), &y, &weights, Some(watched)).map_err(failed)?;
    let everyone: Vec<usize> = (0..new.nrows()).collect();
    Ok(booster.predict(&Matrix::new(&columns(new, &everyone), new.nrows(), width), true))
}
