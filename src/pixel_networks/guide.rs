//! Starts of fits from what another model estimates from the same spectra: polynomials for networks, or a
//! direct network, in place of the most similar of some training stars.

use super::package::SpectralCore;
use crate::error::{Error, Result};
use crate::observations::{Observations, ReadOptions};
use crate::package::{Estimated, Estimator, Request, StartFrom};
use crate::unit;
use ndarray::Array2;
use std::sync::Arc;

/// A model that says where fits start.
pub(super) struct Guide {
    estimator: Arc<dyn Estimator>,
    pub sha256: String,
    /// Of its parameters, the position of every label.
    columns: Vec<usize>,
    /// Names and units of the labels.
    labels: Vec<(String, String)>,
}

impl Guide {
    /// For fits of a model.
    ///
    /// # Errors
    /// `Usage` when the guide has other pixels, another flux unit, or does not estimate a label.
    pub fn new(from: &StartFrom, core: &SpectralCore) -> Result<Self> {
        let package = &from.0;
        let space = core.space();
        core.card.grid.require_same_pixels(package.grid()).map_err(|error| error.within("--start-from"))?;
        let fault = |found: String, expected: String| {
            Error::usage("--start-from").found(found).expected(expected).remedy("Name a model of the same labels and pixels.")
        };
        let estimated = package.parameters();
        let column = |name: &String| {
            let position = estimated.iter().position(|other| other == name);
            position.ok_or_else(|| {
                fault(format!("a model of {}", estimated.join(", ")), format!("one that estimates the label '{name}' too"))
            })
        };
        let columns = space.names.iter().map(column).collect::<Result<_>>()?;
        let estimator = package.clone().estimator(&Request { values_alone: true, ..Request::default() })?;
        let own = &core.card.flux_unit;
        if let Some(unit) = estimator.read_options().flux_unit.filter(|unit| !own.is_empty() && unit != own) {
            return Err(fault(format!("fluxes in '{unit}'"), format!("fluxes in '{own}', as the model has them")));
        }
        let labels = space.names.iter().cloned().zip(space.units.iter().cloned()).collect();
        Ok(Self { estimator, sha256: package.sha256().to_owned(), columns, labels })
    }

    /// What is read so that it can estimate, besides what the fit wants.
    pub fn add_to(&self, options: &mut ReadOptions) {
        let wanted = self.estimator.read_options().constraints;
        let more: Vec<String> = wanted.into_iter().filter(|name| !options.constraints.contains(name)).collect();
        options.constraints.extend(more);
    }

    /// The labels `[N, L]` at which fits start; NaN where nothing is estimated.
    ///
    /// # Errors
    /// When the guide cannot be evaluated, or has other units.
    pub fn starts(&self, observations: &Observations) -> Result<Array2<f64>> {
        let Estimated { table, values, .. } = self.estimator.estimate(observations, &|_| Ok(()))?;
        for (name, expected) in &self.labels {
            let found = &table.column(name)?.schema.unit;
            let is_same = expected.is_empty() || unit::conversion(found, expected).is_some_and(|way| way.is_identity());
            if !is_same {
                return Err(Error::usage(format!("--start-from, label '{name}'"))
                    .found(format!("the unit '{found}'"))
                    .expected(format!("'{expected}', that of the model")));
            }
        }
        Ok(Array2::from_shape_fn((observations.len(), self.columns.len()), |(i, k)| values[[i, self.columns[k]]]))
    }
}
