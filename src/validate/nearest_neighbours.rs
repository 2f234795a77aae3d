//! k-nearest-neighbour regression: the baseline that any trained model has to beat on the same inputs.

use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Mean of the targets of the k nearest training rows, in inputs standardised to zero mean and unit variance.
///
/// Missing inputs (NaN) are allowed: distances use the inputs that both rows have, scaled to the full number
/// of inputs (scikit-learn's `nan_euclidean_distances`). Brute force: for the 10–20 inputs of a photometric
/// sample a tree visits nearly every leaf, and 10⁴ × 10⁴ rows take seconds.
#[derive(Debug, Clone)]
pub struct NearestNeighbours {
    k: usize,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    inputs: Array2<f64>,
    targets: Array2<f64>,
}

impl NearestNeighbours {
    /// Keeps `inputs [N, D]`, standardised, and `targets [N, T]`. Training rows with a target that is not
    /// finite are left out.
    ///
    /// # Errors
    /// When the numbers of rows differ, k is zero, or fewer than k rows remain.
    pub fn fit(inputs: ArrayView2<f64>, targets: ArrayView2<f64>, k: usize) -> Result<Self> {
        if inputs.nrows() != targets.nrows() {
            return Err(Error::data("nearest-neighbour training set")
                .found(format!("{} rows of targets", targets.nrows()))
                .expected(format!("{}, one per row of inputs", inputs.nrows())));
        }
        let known: Vec<usize> = (0..targets.nrows()).filter(|&i| targets.row(i).iter().all(|t| t.is_finite())).collect();
        if k == 0 || known.len() < k {
            return Err(Error::data("nearest-neighbour training set")
                .found(format!("k = {k} with {} usable rows", known.len()))
                .expected("1 ≤ k ≤ number of rows"));
        }
        let inputs = inputs.select(Axis(0), &known);
        let (mean, deviation): (Vec<f64>, Vec<f64>) = inputs.columns().into_iter().map(mean_and_deviation).unzip();
        let mut regression = Self { k, mean, deviation, inputs, targets: targets.select(Axis(0), &known) };
        regression.inputs = regression.standardise(regression.inputs.view());
        Ok(regression)
    }

    /// Predicted targets `[M, T]` of `inputs [M, D]`; a row that shares no input with enough training rows
    /// gets NaN.
    ///
    /// # Errors
    /// When the number of inputs is not that of the training set.
    pub fn predict(&self, inputs: ArrayView2<f64>) -> Result<Array2<f64>> {
        if inputs.ncols() != self.inputs.ncols() {
            return Err(Error::data("nearest-neighbour inputs")
                .found(format!("{} columns", inputs.ncols()))
                .expected(format!("{}, as in training", self.inputs.ncols())));
        }
        let standardised = self.standardise(inputs);
        let mut predicted = Array2::from_elem((inputs.nrows(), self.targets.ncols()), f64::NAN);
        predicted.outer_iter_mut().into_par_iter().zip(standardised.outer_iter().into_par_iter()).for_each(
            |(mut predicted, row)| {
                let mut distances: Vec<(f64, usize)> = (self.inputs.outer_iter().enumerate())
                    .map(|(i, training)| (squared_distance(row, training), i))
                    .filter(|(distance, _)| distance.is_finite())
                    .collect();
                if distances.len() < self.k {
                    return;
                }
                distances.select_nth_unstable_by(self.k - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                predicted.fill(0.0);
                for &(_, i) in &distances[..self.k] {
                    predicted.scaled_add(1.0 / self.k as f64, &self.targets.row(i));
                }
            },
        );
        Ok(predicted)
    }

    fn standardise(&self, inputs: ArrayView2<f64>) -> Array2<f64> {
        Array2::from_shape_fn(inputs.dim(), |(i, j)| (inputs[[i, j]] - self.mean[j]) / self.deviation[j])
    }
}

/// Mean and standard deviation of the finite values; a constant column gets a deviation of one.
fn mean_and_deviation(column: ArrayView1<f64>) -> (f64, f64) {
    let finite: Vec<f64> = column.iter().copied().filter(|value| value.is_finite()).collect();
    let n = finite.len().max(1) as f64;
    let mean = finite.iter().sum::<f64>() / n;
    let variance = finite.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
}

/// Mean squared difference over the inputs that both rows have; NaN when there are none.
fn squared_distance(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let (sum, n) = a.iter().zip(b).fold((0.0, 0.0), |(sum, n), (a, b)| {
        let difference = a - b;
        if difference.is_finite() { (sum + difference * difference, n + 1.0) } else { (sum, n) }
    });
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, s};

    #[test]
    fn predictions_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1, standardised by np.nanmean, np.nanstd: nan_euclidean_distances(queries,
        // inputs), then the mean of the targets of the k nearest
        let nan = f64::NAN;
        let inputs = array![[1., 10., 0.1], [2., 11., 0.4], [3., 9., nan], [4., 14., 0.2], [5., 8., 0.9], [6., 13., 0.7]];
        let targets = array![[1., 5.], [2., 4.], [4., 6.], [3., 1.], [6., 2.], [9., 0.]];
        let queries = array![[2.4, 10.5, 0.3], [5.2, nan, 0.8], [3.5, 12., nan]];
        for (k, expected) in
            [(1, array![[2., 4.], [6., 2.], [3., 1.]]), (3, array![[7. / 3., 5.], [19. / 3., 8. / 3.], [3., 11. / 3.]])]
        {
            let found = NearestNeighbours::fit(inputs.view(), targets.view(), k).unwrap().predict(queries.view()).unwrap();
            assert!((&found - &expected).iter().all(|difference| difference.abs() < 1e-12), "k = {k}: {found}");
        }
    }

    #[test]
    fn rows_without_inputs_get_nan_and_bad_shapes_are_errors() {
        let inputs = array![[1.0, 2.0], [2.0, 2.0]];
        let targets = array![[1.0], [f64::NAN]];
        let fit = NearestNeighbours::fit(inputs.view(), targets.view(), 1).unwrap();
        let found = fit.predict(array![[f64::NAN, f64::NAN], [9.0, 2.0]].view()).unwrap();
        assert!(found[[0, 0]].is_nan() && found[[1, 0]] == 1.0);
        assert!(fit.predict(inputs.slice(s![.., ..1])).is_err());
        assert!(NearestNeighbours::fit(inputs.view(), targets.view(), 2).is_err());
        assert!(NearestNeighbours::fit(inputs.view(), targets.slice(s![..1, ..]), 1).is_err());
    }
}
