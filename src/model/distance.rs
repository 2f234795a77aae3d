//! Distance: flux falls with the square of the distance, f = ϖ² f_abs (spec 1 §1; Zhang, Green & Rix 2023, eq. 2).

use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{Parameter, Transform};
use crate::error::Result;
use crate::observations::Grid;
use crate::tensor::{WeightSpecification, Weights};
use serde::{Deserialize, Serialize};

/// Adds 2 ln ϖ to ln flux.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    /// Transform in which the parallax is moved; the default keeps it positive.
    #[serde(default = "positive")]
    pub transform: Transform,
}

pub(super) fn positive() -> Transform {
    Transform::Logarithm
}

impl Effect for Distance {
    const KIND: &'static str = "distance";

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("parallax", "mas", "parallax").with_transform(self.transform)]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, _grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        // ϖ² rather than exp(2 ln ϖ) where ϖ itself is the coordinate: it may pass through zero there.
        Ok(match self.transform {
            Transform::Logarithm => flux.multiply_exp(&star.ln("parallax")?.scale(2.0)),
            Transform::Identity => {
                let parallax = star.value("parallax")?;
                FluxJet::Linear(flux.linear().mul(&parallax.mul(&parallax)))
            }
        })
    }
}
