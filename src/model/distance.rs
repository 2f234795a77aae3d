//! Distance: flux falls with the square of the distance, f = ϖ² f_abs (spec 1 §1; Zhang, Green & Rix 2023, eq. 2).

use super::closed_form::ClosedForm;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{Parameter, Transform};
use crate::error::Result;
use crate::observations::Grid;
use crate::tensor::{WeightSpecification, Weights};
use serde::{Deserialize, Serialize};

/// Multiplies the flux with ϖ². The parallax is moved as ln ϖ, which keeps it positive, unless a run chooses otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {}

impl Effect for Distance {
    const KIND: &'static str = "distance";

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("parallax", "mas", "parallax").with_transform(Transform::Logarithm)]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, _grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        // ϖ² rather than exp(2 ln ϖ) where ϖ itself is the coordinate: it may pass through zero there.
        Ok(match star.transform("parallax")? {
            Transform::Logarithm => flux.multiply_exp(&star.ln("parallax")?.scale(2.0)),
            Transform::Identity => {
                let parallax = star.value("parallax")?;
                FluxJet::Linear(flux.linear().mul(&parallax.mul(&parallax)))
            }
        })
    }

    fn closed_form(&self, _grid: &Grid) -> Option<ClosedForm> {
        Some(ClosedForm::Distance { parallax: "parallax".into() })
    }
}
