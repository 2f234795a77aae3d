//! Distance: flux falls with the square of the distance, f = ϖ² f_abs (spec 1 §1; Zhang, Green & Rix 2023,
//! eq. 2).

use super::check::check_names;
use super::closed_form::ClosedForm;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{Parameter, Transform};
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::tensor::{WeightSpecification, Weights};
use crate::unit;
use serde::{Deserialize, Serialize};

/// Multiplies the flux with the square of the parallax, or of another quantity in inverse proportion to the
/// distance. It is moved as its logarithm, which keeps it positive, unless a run chooses otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    /// Name of the parameter.
    #[serde(default = "parallax", skip_serializing_if = "is_parallax")]
    pub parameter: String,
    /// Its unit in files, empty for none; a flux of the emulator is that at a value of one.
    #[serde(default = "milliarcsecond", skip_serializing_if = "is_milliarcsecond")]
    pub unit: String,
    /// Value from which it starts where nothing is measured; a search goes from a ten-thousandth of it to ten
    /// thousand times as far.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub start: f64,
}

fn parallax() -> String {
    "parallax".into()
}

fn is_parallax(name: &String) -> bool {
    *name == parallax()
}

fn milliarcsecond() -> String {
    "mas".into()
}

fn is_milliarcsecond(unit: &String) -> bool {
    *unit == milliarcsecond()
}

fn one() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
fn is_one(start: &f64) -> bool {
    *start == one()
}

impl Default for Distance {
    fn default() -> Self {
        Self { parameter: parallax(), unit: milliarcsecond(), start: one() }
    }
}

impl Effect for Distance {
    const KIND: &'static str = "distance";

    fn validate(&self) -> Result<()> {
        check_names(Self::KIND, &[("parameter", &self.parameter)])?;
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("effect 'distance', {key}"))
                .found(found)
                .expected(expected)
                .remedy("Leave the key out for a parallax in mas, from 1 mas."))
        };
        if !(unit::is_absent(&self.unit) || unit::parse(&self.unit).is_ok_and(|unit| unit.scale == unit::Scale::Linear)) {
            return fault("unit", format!("'{}'", self.unit), "a linear unit such as mas, or none");
        }
        match self.start > 0.0 && self.start.is_finite() {
            true => Ok(()),
            false => fault("start", self.start.to_string(), "a positive number"),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let description =
            if is_parallax(&self.parameter) { "parallax" } else { "square root of the flux over that of the emulator" };
        vec![Parameter::distance(&self.parameter, &self.unit, description, self.start)]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, _grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        // ϖ² rather than exp(2 ln ϖ) where ϖ itself is the coordinate: it may pass through zero there.
        Ok(match star.transform(&self.parameter)? {
            Transform::Logarithm => flux.multiply_exp(&star.ln(&self.parameter)?.scale(2.0)),
            Transform::Identity => {
                let parallax = star.value(&self.parameter)?;
                FluxJet::Linear(flux.linear().mul(&parallax.mul(&parallax)))
            }
        })
    }

    fn closed_form(&self, _grid: &Grid) -> Option<ClosedForm> {
        Some(ClosedForm::Distance { parallax: self.parameter.clone() })
    }
}
