//! Direct networks as packages: `fit` makes catalogues with them.

use super::check::check_errors;
use super::model::RegressionModel;
use super::recipe::KIND;
use crate::catalogue::flags::description;
use crate::catalogue::{CatalogueColumns, Estimates};
use crate::error::{Error, Result};
use crate::infer::flags::{NOT_FITTED, OUTSIDE_TRAINING_RANGE, of_input};
use crate::model::Registry;
use crate::observations::{Grid, Observations, ReadOptions};
use crate::package::{Estimated, Estimator, FitStage, Kind, Package, Reached, Request};
use crate::table::{Column, ColumnSchema};
use crate::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Bits of `quality_flags` that are this kind's own.
pub mod flag {
    use crate::catalogue::flags::Flag;
    use crate::infer::flags::{BAD_CONSTRAINT, BAD_FLUX_FLAG, COVARIANCE_FLOORED_FLAG, NOT_FITTED, OUTSIDE_TRAINING_RANGE};

    /// Bit 17: the inputs lie outside the training domain.
    pub const OUTSIDE_DOMAIN: i32 = 1 << 17;

    /// Every bit of a catalogue of predictions.
    pub const FLAGS: [Flag; 6] = [
        Flag::new(OUTSIDE_TRAINING_RANGE, "outside_training_range", "a prediction outside the range of the training stars"),
        BAD_FLUX_FLAG,
        Flag::new(NOT_FITTED, "not_fitted", "no prediction (too few fluxes, or none that is possible or has a shape)"),
        Flag::new(BAD_CONSTRAINT, "bad_input", "a measured input had an impossible value or error"),
        COVARIANCE_FLOORED_FLAG,
        Flag::new(
            OUTSIDE_DOMAIN,
            "outside_domain",
            "inputs outside the domain of the training stars (domain_distance, domain_leftover), or fluxes that are none or of another normalisation",
        ),
    ];
}

/// Choices of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegressionOptions {
    /// Copies with noise for the errors, in place of the model's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// Seed of their noise, in place of the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

struct Predicting {
    model: Arc<RegressionModel>,
    options: RegressionOptions,
}

impl Package for RegressionModel {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn grid(&self) -> &Grid {
        &self.inputs.grid
    }

    fn parameters(&self) -> Vec<String> {
        self.target.parameters()
    }

    fn estimator(self: Arc<Self>, request: &Request) -> Result<Arc<dyn Estimator>> {
        request.require_no_fit(KIND)?;
        let mut options: RegressionOptions = request.options()?;
        options.seed = request.seed.or(options.seed);
        match request.values_alone {
            true => options.copies = Some(0),
            false => check_errors(&self.target, self.members.len(), options.copies.unwrap_or(self.copies))?,
        }
        let model = match (options.copies, options.seed) {
            (None, None) => self,
            (copies, seed) => {
                let own = (*self).clone();
                let (copies, seed) = (copies.unwrap_or(own.copies), seed.unwrap_or(own.seed));
                Arc::new(Self { copies, seed, ..own })
            }
        };
        Ok(Arc::new(Predicting { model, options }))
    }

    fn describe(&self) -> (String, Value) {
        let parameters = self.parameters();
        let n_weights = self.network.n_parameters().unwrap_or(0);
        let warnings: String = self.card.warnings.iter().map(|warning| format!("\nwarning: {warning}\n")).collect();
        let text = format!(
            "{KIND} {}\n  {}\n  inputs      {} from {} fluxes\n  networks    {} of {n_weights} weights, {} layers\n  parameters  {}\n  \
             trained on  {} stars, compared on {}\n\n{}{warnings}",
            self.id(),
            self.card.description,
            self.inputs.len(),
            self.inputs.grid.len(),
            self.members.len(),
            self.network.layers.len(),
            parameters.join(", "),
            self.card.n_training,
            self.card.n_validation,
            self.log.comparison,
        );
        let value = json!({
            "kind": KIND,
            "sha256": self.sha256,
            "parameters": parameters,
            "inputs": self.inputs.len(),
            "members": self.members.len(),
            "weights": n_weights,
            "card": self.card,
            "comparison": self.log.comparison,
        });
        (text, value)
    }
}

impl RegressionModel {
    /// How observations have to be read for its predictions.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            constraints: self.inputs.recipe.measured(),
            flux_unit: Some(self.flux_unit.clone()),
            model_error: vec![self.fractional_error; self.inputs.grid.len()],
            offsets: self.offsets.clone(),
            units: self.units.clone(),
            ..Default::default()
        }
    }
}

impl Kind for RegressionModel {
    const KIND: &'static str = KIND;

    fn load(directory: &Path, _effects: &Registry, _device: &Device) -> Result<Self> {
        Self::read(directory)
    }
}

impl Estimator for Predicting {
    fn read_options(&self) -> ReadOptions {
        self.model.read_options()
    }

    fn constraints(&self) -> Vec<String> {
        self.model.inputs.recipe.measured()
    }

    fn choices(&self) -> Result<String> {
        toml::to_string(&self.options).map_err(|error| Error::usage("options").found(error.to_string()).source(error))
    }

    fn estimate(&self, observations: &Observations, reached: Reached<'_>) -> Result<Estimated> {
        reached(FitStage::Begun)?;
        let model = &self.model;
        let n = observations.len();
        let stars: Vec<usize> = (0..n).collect();
        let predicted = model.predict(observations, &stars, &|| reached(FitStage::Description))?;
        let is_outside = |star: usize| {
            let mut pairs = predicted.values.row(star).into_iter().zip(&model.training_range);
            pairs.any(|(value, [low, high])| value < low || value > high)
        };
        let flags = (0..n)
            .map(|star| {
                let mut flags = of_input(observations.input_flags[star]);
                if predicted.values.row(star).iter().any(|value| !value.is_finite()) {
                    flags |= NOT_FITTED;
                }
                if is_outside(star) {
                    flags |= OUTSIDE_TRAINING_RANGE;
                }
                let is_left_over = model.domain.leftover.is_some_and(|found| predicted.leftover[star] > found.limit);
                let is_other = is_left_over || !predicted.has_light[star] || predicted.is_other_flux[star];
                if predicted.distance[star] > model.domain.threshold || is_other {
                    flags |= flag::OUTSIDE_DOMAIN;
                }
                flags
            })
            .collect();
        let parameters = model.parameters();
        let estimates = Estimates {
            ids: observations.ids.clone(),
            fitted: (0..parameters.len()).collect(),
            parameters: parameters.iter().map(|name| self.model.target.described(name, &self.model.units)).collect(),
            values: predicted.values,
            covariance: predicted.covariance,
            flags,
        };
        let distance = ColumnSchema::new(
            "domain_distance",
            "",
            "Mahalanobis distance of the inputs from those of the training stars, over the root of their number",
        );
        let leftover = ColumnSchema::new(
            "domain_leftover",
            "",
            "What components leave over of the inputs, in units of what they leave of noise and of a median training star",
        );
        let leftover = model.domain.leftover.map(|_| Column::nullable(leftover, predicted.leftover));
        let columns = CatalogueColumns {
            diagnostics: std::iter::once(Column::nullable(distance, predicted.distance)).chain(leftover).collect(),
            errors: "noise copies and scatter of the networks, calibrated".into(),
            covariances: "noise copies and the scatter of the networks, calibrated".into(),
            flags: description(&flag::FLAGS),
            ..Default::default()
        };
        let table = estimates.to_table(columns, model.id())?;
        reached(FitStage::Description)?;
        Ok(Estimated { table, flags: estimates.flags, values: estimates.values, residuals: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_bit() {
        let page = include_str!("../../docs/src/direct.md");
        crate::catalogue::flags::tests::check(&flag::FLAGS, page, |flag| format!("| {} | {} | ", flag.bit(), flag.value));
    }
}
