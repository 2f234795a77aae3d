//! Other regressions on the same inputs: a network has to beat them, or one should use them.

use super::boosting::boosted;
use super::recipe::RegressionRecipe;
use crate::error::{Error, Result};
use crate::validate::nearest_neighbours::NearestNeighbours;
use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, ArrayView2};

/// Ridge of the linear regression, relative to the mean square of an input.
const RIDGE: f64 = 1e-6;

/// What is learned from: inputs `[N, D]` and a target `[N]`.
#[derive(Clone, Copy)]
pub(super) struct Lesson<'a> {
    pub inputs: ArrayView2<'a, f64>,
    pub target: &'a [f64],
}

/// Predictions `[M]` of every baseline of a recipe for inputs `[M, D]`, by name.
pub(super) fn all(recipe: &RegressionRecipe, lesson: Lesson<'_>, new: ArrayView2<'_, f64>) -> Result<Vec<(String, Vec<f64>)>> {
    let mut found = Vec::new();
    if recipe.baselines.linear {
        found.push(("linear".to_owned(), linear(lesson, new)?));
    }
    let k = recipe.baselines.nearest_neighbours;
    if k > 0 && lesson.target.len() >= k {
        let targets = Array2::from_shape_fn((lesson.target.len(), 1), |(i, _)| lesson.target[i]);
        let predicted = NearestNeighbours::fit(lesson.inputs, targets.view(), k)?.predict(new)?;
        found.push((format!("k-NN (k = {k})"), predicted.column(0).to_vec()));
    }
    if recipe.baselines.boosting {
        found.push(("gradient boosting".to_owned(), boosted(lesson, new, recipe.seed)?));
    }
    Ok(found)
}

/// By least squares with a constant.
fn linear(lesson: Lesson<'_>, new: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
    let (n, width) = lesson.inputs.dim();
    let x = DMatrix::from_fn(n, width + 1, |i, j| if j == 0 { 1.0 } else { lesson.inputs[[i, j - 1]] });
    let y = DVector::from_column_slice(lesson.target);
    let mut normal = x.tr_mul(&x);
    let ridge = RIDGE * normal.trace() / (width + 1) as f64;
    (0..=width).for_each(|j| normal[(j, j)] += ridge);
    let coefficients = normal.cholesky().map(|factor| factor.solve(&x.tr_mul(&y))).ok_or_else(|| {
        Error::numerical("linear baseline").found("normal equations that are not positive-definite").expected("finite inputs")
    })?;
    let predict = |row: ndarray::ArrayView1<'_, f64>| {
        coefficients[0] + row.iter().zip(coefficients.iter().skip(1)).map(|(x, c)| x * c).sum::<f64>()
    };
    Ok(new.rows().into_iter().map(predict).collect())
}
