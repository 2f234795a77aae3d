//! Starts of fits from what another model (a direct network) predicts of the same data vector: one start a
//! star in place of the best of the prior's draws.
//!
//! Labels, and amounts where they are predicted, are taken as they are, inside the range of training; what is
//! not predicted starts where its parameter does. The distance is that at which the model at these labels has
//! the flux of the star: ln flux is linear in 2 ln ϖ.

use super::fit::Fitter;
use super::problem::Setup;
use super::reading::read_options;
use crate::error::Result;
use crate::model::ForwardModel;
use crate::observations::{Observations, ReadOptions};
use crate::package::{Estimated, Guide, Kind, StartFrom};
use crate::train::TrainedModel;
use ndarray::{Array1, Array2};

/// Least error of ln flux: no entry alone decides the distance of a start.
const LEAST_ERROR: f64 = 0.03;
/// Fraction of its parameter's own start from which a predicted amount starts at least.
const SMALLEST: f64 = 0.1;
/// ln ϖ is moved by no more than this.
const FARTHEST: f64 = 12.0;

const REMEDY: &str = "Name a direct network (kind = \"regression\") of the same data vector.";

/// A model that says where fits start.
pub(super) struct FitGuide {
    guide: Guide,
    /// Of its predictions, the column of every parameter that the fit moves too.
    columns: Vec<(usize, usize)>,
    /// What the fit's model starts from where nothing is predicted: model values `[P]` as coordinates.
    reference: Vec<f64>,
    distance: Option<usize>,
}

impl FitGuide {
    /// For fits with this setup, which read observations in a way of their `own`.
    ///
    /// # Errors
    /// `Usage` when the guide has another data vector or flux unit, other offsets of what both read, or does
    /// not predict a label of the fit.
    pub fn new(from: &StartFrom, setup: &Setup, own: &ReadOptions) -> Result<Self> {
        let space = &setup.model.space;
        from.require_other_than(TrainedModel::KIND, REMEDY)?;
        setup.model.grid.require_same(from.0.grid()).map_err(|error| error.within("--start-from"))?;
        let guide = from.guide(own, REMEDY)?;
        let free = || (0..space.len()).filter(|position| !setup.held.contains(position));
        let name = |position: usize| space.parameters[position].name.as_str();
        free().filter(|&p| space.parameters[p].is_label()).try_for_each(|p| guide.require_column(name(p)).map(drop))?;
        let columns: Vec<(usize, usize)> =
            free().filter_map(|position| Some((guide.column(name(position))?, position))).collect();
        let is_predicted = |position: &usize| columns.iter().any(|(_, other)| other == position);
        let mut reference = setup.fixed.clone();
        free().for_each(|position| reference[position] = space.parameters[position].start_coordinate());
        let distance = space.distance_position().filter(|position| !setup.held.contains(position) && !is_predicted(position));
        Ok(Self { guide, columns, reference, distance })
    }

    /// The start `[1, P]` of every star; `None` where nothing is predicted.
    ///
    /// # Errors
    /// When the guide or the model cannot be evaluated.
    pub fn starts(&self, model: &ForwardModel, observations: &Observations) -> Result<Vec<Option<Array2<f64>>>> {
        let Estimated { table, values: predicted, .. } = self.guide.estimate(observations)?;
        let parameters = &model.space.parameters;
        let unit = |&(_, position): &(usize, usize)| &parameters[position];
        self.columns.iter().map(unit).try_for_each(|own| self.guide.require_unit(&table, &own.name, &own.unit))?;
        let known: Vec<usize> = (0..observations.len())
            .filter(|&star| self.columns.iter().all(|(column, _)| predicted[[star, *column]].is_finite()))
            .collect();
        let mut starts = Array2::from_shape_fn((known.len(), parameters.len()), |(_, position)| self.reference[position]);
        for (&star, mut start) in known.iter().zip(starts.rows_mut()) {
            for &(column, position) in &self.columns {
                let parameter = &parameters[position];
                let value = predicted[[star, column]] * parameter.model_units_per_file_unit;
                let value = match parameter.training_range {
                    Some([low, high]) if parameter.is_label() => value.clamp(low, high),
                    _ if parameter.is_label() => value,
                    _ if parameter.is_amount() => value.max(SMALLEST * parameter.start),
                    _ => value,
                };
                start[position] = parameter.coordinate(value);
            }
        }
        if let Some(distance) = self.distance {
            let flux = model.predict(starts.view())?;
            for ((&star, mut start), flux) in known.iter().zip(starts.rows_mut()).zip(flux.rows()) {
                let value = parameters[distance].model_value(start[distance]);
                let moved = ln_parallax(observations, star, &flux.to_vec());
                start[distance] = parameters[distance].coordinate((value.ln() + moved).exp());
            }
        }
        let mut found = vec![None; observations.len()];
        for (star, start) in known.into_iter().zip(starts.rows()) {
            let is_possible = start.iter().all(|coordinate| coordinate.is_finite());
            found[star] = is_possible.then(|| row(start.to_owned()));
        }
        Ok(found)
    }
}

impl Fitter {
    /// With the predictions of another model of the same data vector in place of draws of the prior, for
    /// stars that have one.
    ///
    /// # Errors
    /// `Usage` when the other model does not fit this one.
    pub fn starting_from(mut self, from: &StartFrom) -> Result<Self> {
        let own = read_options(self.trained(), self.options());
        self.guide = Some(FitGuide::new(from, &self.setup, &own)?);
        Ok(self)
    }

    /// How observations have to be read for this fit.
    pub fn read_options(&self) -> ReadOptions {
        let mut options = read_options(self.trained(), self.options());
        if let Some(FitGuide { guide, .. }) = &self.guide {
            guide.add_to(&mut options);
        }
        options
    }

    /// Hash of the model that says where fits start.
    pub fn guide_sha256(&self) -> Option<&str> {
        self.guide.as_ref().map(|guide| guide.guide.sha256())
    }
}

fn row(start: Array1<f64>) -> Array2<f64> {
    start.insert_axis(ndarray::Axis(0))
}

/// By how much ln ϖ has to be moved for the model's `flux` to be the star's.
fn ln_parallax(observations: &Observations, star: usize, flux: &[f64]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (w, &expected) in flux.iter().enumerate() {
        let (measured, error) = (f64::from(observations.flux[[star, w]]), f64::from(observations.flux_error[[star, w]]));
        if measured > 0.0 && expected > 0.0 && error.is_finite() {
            let weight = ((error / measured).powi(2) + LEAST_ERROR.powi(2)).recip();
            sum += weight * (measured / expected).ln();
            weights += weight;
        }
    }
    if weights > 0.0 { (0.5 * sum / weights).clamp(-FARTHEST, FARTHEST) } else { 0.0 }
}
