//! Starts of fits from what another model (a direct network) predicts of the same data vector: one start a
//! star in place of the best of the prior's draws.
//!
//! Labels, and amounts where they are predicted, are taken as they are, inside the range of training; what is
//! not predicted starts where its parameter does. The distance is that at which the model at these labels has
//! the flux of the star: ln flux is linear in 2 ln ϖ.

use super::fit::Fitter;
use super::options::FitOptions;
use super::problem::Setup;
use super::reading::read_options;
use crate::error::{Error, Result};
use crate::model::{ForwardModel, Parameter};
use crate::observations::{Observations, ReadOptions};
use crate::package::{Estimated, Estimator, Kind, Request, StartFrom};
use crate::table::Table;
use crate::train::TrainedModel;
use crate::unit;
use ndarray::{Array1, Array2};
use std::sync::Arc;

/// Least error of ln flux: no entry alone decides the distance of a start.
const LEAST_ERROR: f64 = 0.03;
/// Fraction of its parameter's own start from which a predicted amount starts at least.
const SMALLEST: f64 = 0.1;
/// ln ϖ is moved by no more than this.
const FARTHEST: f64 = 12.0;

/// A model that says where fits start.
pub(super) struct Guide {
    estimator: Arc<dyn Estimator>,
    /// Of its predictions, the column of every parameter that the fit moves too.
    columns: Vec<(usize, usize)>,
    /// What the fit's model starts from where nothing is predicted: model values `[P]` as coordinates.
    reference: Vec<f64>,
    distance: Option<usize>,
}

impl Guide {
    /// For fits with this setup.
    ///
    /// # Errors
    /// `Usage` when the guide has another data vector or flux unit, other offsets of what both read, or does
    /// not predict a label of the fit.
    pub fn new(from: &StartFrom, setup: &Setup, options: &FitOptions) -> Result<Self> {
        let package = &from.0;
        let space = &setup.model.space;
        if package.kind() == TrainedModel::KIND {
            return Err(Error::usage("--start-from")
                .found("a forward model, whose stars would be fitted twice")
                .expected("a direct network")
                .remedy("Leave the option out, or name a model of the kind 'regression'."));
        }
        let fault = |found: String, expected: String| {
            Error::usage("--start-from").found(found).expected(expected).remedy("Name a direct network of the same data vector.")
        };
        setup.model.grid.require_same(package.grid()).map_err(|error| error.within("--start-from"))?;
        let predicted = package.parameters();
        let free = (0..space.len()).filter(|position| !setup.held.contains(position));
        let columns: Vec<(usize, usize)> = free
            .clone()
            .filter_map(|position| {
                let column = predicted.iter().position(|name| *name == space.parameters[position].name)?;
                Some((column, position))
            })
            .collect();
        let is_predicted = |position: &usize| columns.iter().any(|(_, other)| other == position);
        if let Some(label) = free.clone().filter(|&p| space.parameters[p].is_label()).find(|position| !is_predicted(position)) {
            let name = &space.parameters[label].name;
            return Err(fault(
                format!("a model of {}", predicted.join(", ")),
                format!("one that predicts the label '{name}' too"),
            ));
        }
        let estimator = package.clone().estimator(&Request { values_alone: true, ..Request::default() })?;
        let wanted = estimator.read_options();
        if let Some(unit) = wanted.flux_unit.filter(|unit| *unit != setup.model.flux_unit) {
            return Err(fault(
                format!("fluxes in '{unit}'"),
                format!("fluxes in '{}', as the model has them", setup.model.flux_unit),
            ));
        }
        let offset = |offsets: &std::collections::BTreeMap<String, f64>, name: &str| offsets.get(name).copied().unwrap_or(0.0);
        if let Some(name) = wanted.constraints.iter().find(|n| offset(&wanted.offsets, n) != offset(&options.offsets, n)) {
            let [found, expected] = [&wanted.offsets, &options.offsets].map(|offsets| offset(offsets, name));
            return Err(fault(
                format!("an offset of {found} of '{name}', which is an input there"),
                format!("the offset of the fit, {expected}"),
            ));
        }
        let mut reference = setup.fixed.clone();
        free.for_each(|position| reference[position] = space.parameters[position].start_coordinate());
        let distance = space.distance_position().filter(|position| !setup.held.contains(position) && !is_predicted(position));
        Ok(Self { estimator, columns, reference, distance })
    }

    /// What is read so that it can predict, besides what the fit wants.
    pub fn add_to(&self, options: &mut ReadOptions) {
        let wanted = self.estimator.read_options().constraints;
        let more: Vec<String> = wanted.into_iter().filter(|name| !options.constraints.contains(name)).collect();
        options.constraints.extend(more);
    }

    /// The start `[1, P]` of every star; `None` where nothing is predicted.
    ///
    /// # Errors
    /// When the guide or the model cannot be evaluated.
    pub fn starts(&self, model: &ForwardModel, observations: &Observations) -> Result<Vec<Option<Array2<f64>>>> {
        let Estimated { table, values: predicted, .. } = self.estimator.estimate(observations, &|_| Ok(()))?;
        let parameters = &model.space.parameters;
        self.columns.iter().try_for_each(|&(_, position)| require_unit(&table, &parameters[position]))?;
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
        let guide = Guide::new(from, &self.setup, &self.setup.options)?;
        self.guide = Some((guide, from.0.sha256().to_owned()));
        Ok(self)
    }

    /// How observations have to be read for this fit.
    pub fn read_options(&self) -> ReadOptions {
        let mut options = read_options(self.trained(), self.options());
        if let Some((guide, _)) = &self.guide {
            guide.add_to(&mut options);
        }
        options
    }

    /// Hash of the model that says where fits start.
    pub fn guide_sha256(&self) -> Option<&str> {
        self.guide.as_ref().map(|(_, sha256)| sha256.as_str())
    }
}

/// Refuses predictions of a parameter in another unit than its own, where both say one.
fn require_unit(predicted: &Table, parameter: &Parameter) -> Result<()> {
    let found = predicted.column(&parameter.name)?.schema.unit.as_str();
    let is_other = found != parameter.unit
        && !unit::is_absent(found)
        && !unit::is_absent(&parameter.unit)
        && unit::conversion(found, &parameter.unit).is_none_or(|conversion| !conversion.is_identity());
    if !is_other {
        return Ok(());
    }
    Err(Error::usage("--start-from")
        .found(format!("'{}' in '{found}'", parameter.name))
        .expected(format!("it in '{}', as the model of the fit has it", parameter.unit))
        .remedy("Name a direct network that was trained on labels in the same units."))
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
