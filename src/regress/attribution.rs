//! Which entries a prediction comes from: integrated gradients (Sundararajan, Taly & Yan 2017), through the
//! stored steps down to the fluxes. The attributions of a star and a parameter sum to its prediction less
//! that of the baseline.

use super::inputs::Inputs;
use super::model::RegressionModel;
use super::target::{LabelLoss, Target};
use crate::error::{Error, Result};
use crate::tensor::{Device, to_f64};
use ndarray::{Array2, s};

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
        if self.inputs.recipe.indicators
            || !self.inputs.further.is_empty()
            || matches!(self.target, Target::MixtureOfMagnitudes(_))
        {
            return Err(Error::usage("attribution")
                .found("a model with inputs beside fluxes, or of a mixture")
                .expected("labels or a luminosity from fluxes alone")
                .remedy("Train such a model."));
        }
        let p = self.target.parameters().len();
        let points = points.max(1);
        let at = |part: f64| -> Vec<f32> { flux.iter().zip(baseline).map(|(x, b)| b + (x - b) * part as f32).collect() };
        let mut values = Array2::<f64>::zeros((p, width));
        for point in 0..points {
            let row = at((point as f64 + 0.5) / points as f64);
            values += &(self.slopes(&row)? / points as f64);
        }
        for (mut column, (x, b)) in values.columns_mut().into_iter().zip(flux.iter().zip(baseline)) {
            column.mapv_inplace(|slope| slope * f64::from(x - b));
        }
        let (there, here) = (self.mean_at(flux), self.mean_at(baseline));
        Ok(Attribution { values, difference: there.iter().zip(here).map(|(a, b)| a - b).collect() })
    }

    /// Mean prediction of the networks at a row of fluxes `[P]`.
    fn mean_at(&self, row: &[f32]) -> Vec<f64> {
        let rows = through(&self.inputs, row).pop().unwrap_or_else(|| Array2::zeros((1, 0)));
        let m = self.predictors.len() as f64;
        let mut mean = vec![0.0; self.target.parameters().len()];
        for predictor in &self.predictors {
            let outputs = predictor.predict(rows.view());
            let (values, _) = super::objective::meaning(&self.target, &self.scaling, &outputs.row(0).to_vec());
            mean.iter_mut().zip(values).for_each(|(mean, value)| *mean += value / m);
        }
        mean
    }

    /// ∂(mean prediction)/∂flux `[P, W]` at a row.
    fn slopes(&self, row: &[f32]) -> Result<Array2<f64>> {
        let p = self.target.parameters().len();
        let stages = through(&self.inputs, row);
        let inputs = stages.last().map_or_else(Vec::new, |last| last.row(0).to_vec());
        let n_inputs = inputs.len();
        let device = Device::cpu().taped();
        let mut slopes = Array2::<f64>::zeros((p, n_inputs));
        for member in &self.members {
            let weights = member.to(&device);
            for k in 0..p {
                let x = device.tensor_f32::<2>(inputs.clone(), [1, n_inputs]).require_grad();
                let outputs = self.network.forward(&weights, x.clone(), None)?;
                let output = to_f64(outputs.clone().inner())[k];
                let gradients = outputs.narrow(1, k, 1).sum().backward();
                let slope = x.grad(&gradients).map(to_f64).unwrap_or_else(|| vec![0.0; n_inputs]);
                let factor = self.slope_of_meaning(k, output) / self.members.len() as f64;
                slopes.row_mut(k).iter_mut().zip(slope).for_each(|(sum, slope)| *sum += factor * slope);
            }
        }
        let mut found = Array2::<f64>::zeros((p, row.len()));
        for k in 0..p {
            let mut slope = slopes.row(k).to_vec();
            for (step, before) in self.inputs.steps.iter().zip(&stages).rev() {
                let before: Vec<f64> = before.row(0).iter().map(|value| f64::from(*value)).collect();
                slope = step.pull_back(&before, &slope);
            }
            found.slice_mut(s![k, ..]).iter_mut().zip(slope).for_each(|(to, from)| *to = from);
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

/// A row before each step, and after the last `[1, …]` each.
fn through(inputs: &Inputs, row: &[f32]) -> Vec<Array2<f32>> {
    let mut stages = vec![Array2::from_shape_fn((1, row.len()), |(_, w)| row[w])];
    for step in &inputs.steps {
        let next = step.apply(stages[stages.len() - 1].clone());
        stages.push(next);
    }
    stages
}
