//! Which entries a prediction comes from: integrated gradients (Sundararajan, Taly & Yan 2017), through the
//! stored steps down to the fluxes. The attributions of a star and a parameter sum to its prediction less
//! that of the baseline.

use super::inputs::Inputs;
use super::model::RegressionModel;
use super::rows::TOGETHER;
use super::target::{LabelLoss, Target};
use crate::error::{Error, Result};
use crate::tensor::{Device, to_f64};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Attributions of a star.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// By parameter and entry `[P, W]`, file units.
    pub values: Array2<f64>,
    /// Predictions of the star less those of the baseline `[P]`, which the attributions sum to.
    pub difference: Vec<f64>,
}

impl Attribution {
    /// Largest difference between a sum of attributions and what it should be, over the latter's modulus.
    pub fn incompleteness(&self) -> f64 {
        let rows = self.values.rows().into_iter().zip(&self.difference);
        rows.map(|(row, difference)| ((row.sum() - difference) / difference).abs()).fold(0.0, f64::max)
    }
}

impl RegressionModel {
    /// Attributions of the prediction at `flux [W]` beside that at `baseline [W]` (a mean spectrum, say), as
    /// the mean of all networks has them, along the line between the two in `points` steps; both have to be
    /// whole.
    ///
    /// # Errors
    /// When a flux is missing, the model has other inputs beside fluxes, or it predicts a mixture.
    pub fn attribution(&self, flux: &[f32], baseline: &[f32], points: usize) -> Result<Attribution> {
        let width = self.inputs.grid.len();
        if flux.len() != width || baseline.len() != width || flux.iter().chain(baseline).any(|value| !value.is_finite()) {
            return Err(Error::data("attribution")
                .found(format!("{} and {} fluxes, or missing ones", flux.len(), baseline.len()))
                .expected(format!("{width} numbers each"))
                .remedy("Fill what is missing, or take another star."));
        }
        self.require_attributable()?;
        let points = points.max(1);
        let mut values = Array2::<f64>::zeros((self.target.parameters().len(), width));
        for first in (0..points).step_by(TOGETHER) {
            let rows = Array2::from_shape_fn((TOGETHER.min(points - first), width), |(point, w)| {
                baseline[w] + (flux[w] - baseline[w]) * (((first + point) as f64 + 0.5) / points as f64) as f32
            });
            values += &self.slopes(rows.view())?;
        }
        values /= points as f64;
        for (mut column, (x, b)) in values.columns_mut().into_iter().zip(flux.iter().zip(baseline)) {
            column.mapv_inplace(|slope| slope * f64::from(x - b));
        }
        let (there, here) = (self.mean_at(flux), self.mean_at(baseline));
        Ok(Attribution { values, difference: there.iter().zip(here).map(|(a, b)| a - b).collect() })
    }

    /// Fails for a model whose predictions are not of fluxes alone.
    pub(super) fn require_attributable(&self) -> Result<()> {
        let has_more = self.inputs.recipe.indicators || !self.inputs.further.is_empty();
        if has_more || matches!(self.target, Target::MixtureOfMagnitudes(_)) {
            return Err(Error::usage("attribution")
                .found("a model with inputs beside fluxes, or of a mixture")
                .expected("labels or a luminosity from fluxes alone")
                .remedy("Train such a model."));
        }
        Ok(())
    }

    /// Mean prediction of the networks at a row of fluxes `[P]`.
    pub(super) fn mean_at(&self, row: &[f32]) -> Vec<f64> {
        let row = Array2::from_shape_fn((1, row.len()), |(_, w)| row[w]);
        let rows = through(&self.inputs, row.view()).pop().unwrap_or_else(|| Array2::zeros((1, 0)));
        let m = self.predictors.len() as f64;
        let mut mean = vec![0.0; self.target.parameters().len()];
        for predictor in &self.predictors {
            let outputs = predictor.predict(rows.view());
            let (values, _) = super::objective::meaning(&self.target, &self.scaling, &outputs.row(0).to_vec());
            mean.iter_mut().zip(values).for_each(|(mean, value)| *mean += value / m);
        }
        mean
    }

    /// Sum over rows `[N, W]` of ∂(mean prediction)/∂flux `[P, W]`.
    fn slopes(&self, rows: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        let (p, width) = (self.target.parameters().len(), rows.ncols());
        let stages = through(&self.inputs, rows);
        let last = &stages[stages.len() - 1];
        let shape = [last.nrows(), last.ncols()];
        let device = Device::cpu().taped();
        // By parameter, with the inputs of a network.
        let mut slopes = vec![Array2::<f64>::zeros(shape); p];
        for member in &self.members {
            let weights = member.to(&device);
            for (k, slopes) in slopes.iter_mut().enumerate() {
                let x = device.tensor_f32::<2>(last.iter().copied().collect(), shape).require_grad();
                let outputs = self.network.forward(&weights, x.clone(), None)?.narrow(1, k, 1);
                let at = to_f64(outputs.clone().inner());
                let Some(slope) = x.grad(&outputs.sum().backward()).map(to_f64) else { continue };
                for ((mut row, slope), at) in slopes.rows_mut().into_iter().zip(slope.chunks_exact(shape[1].max(1))).zip(at) {
                    let factor = self.slope_of_meaning(k, at) / self.members.len() as f64;
                    row.iter_mut().zip(slope).for_each(|(sum, slope)| *sum += factor * slope);
                }
            }
        }
        let pulled = |row: usize, k: usize| {
            let mut slope = slopes[k].row(row).to_vec();
            for (step, before) in self.inputs.steps.iter().zip(&stages).rev() {
                let before: Vec<f64> = before.row(row).iter().map(|value| f64::from(*value)).collect();
                slope = step.pull_back(&before, &slope);
            }
            slope
        };
        let all: Vec<Vec<Vec<f64>>> =
            (0..rows.nrows()).into_par_iter().map(|row| (0..p).map(|k| pulled(row, k)).collect()).collect();
        let mut found = Array2::<f64>::zeros((p, width));
        for (k, slope) in all.iter().flat_map(|of_row| of_row.iter().enumerate()) {
            found.row_mut(k).iter_mut().zip(slope).for_each(|(sum, slope)| *sum += slope);
        }
        Ok(found)
    }

    /// Slope of a parameter with the output that stands for it.
    fn slope_of_meaning(&self, k: usize, output: f64) -> f64 {
        match &self.target {
            Target::Labels { loss: LabelLoss::SquaredError | LabelLoss::Gaussian, .. } => self.scaling.scale[k],
            target => {
                // By a difference: the one place that knows what outputs mean.
                let at = |output: f64| super::objective::meaning(target, &self.scaling, &[output as f32]).0[0];
                (at(output + 1e-3) - at(output - 1e-3)) / 2e-3
            }
        }
    }
}

/// Rows `[N, W]` before each step, and after the last `[N, …]`.
fn through(inputs: &Inputs, rows: ArrayView2<'_, f32>) -> Vec<Array2<f32>> {
    let mut stages = vec![rows.to_owned()];
    for step in &inputs.steps {
        let next = step.apply(stages[stages.len() - 1].clone());
        stages.push(next);
    }
    stages
}
