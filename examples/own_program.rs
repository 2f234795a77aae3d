//! A program of your own with every command of `photosphere`: one effect, and one line of `main`.
//!
//! The effect is an error of the flux that is common to all bands, so that a distance is no more certain than
//! the calibration. A recipe names it with `kind = "grey_error"`; `train`, `fit` (with `--resume`, on
//! folders, on HATS catalogues), `audit`, `inspect` and all others know it then. `.ci/own_program.sh` runs
//! them.
//!
//! `cargo run --release --example own_program -- help`

use photosphere::cli::main_with;
use photosphere::error::Result;
use photosphere::model::{Effect, FluxJet, GaussianPrior, Parameter, Registry, StarParameters};
use photosphere::observations::Grid;
use photosphere::tensor::{WeightSpecification, Weights};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GreyError {
    /// Standard deviation of ln flux.
    width: f64,
}

impl Effect for GreyError {
    const KIND: &'static str = "grey_error";

    fn parameters(&self) -> Vec<Parameter> {
        let prior = Some(GaussianPrior { mean: 0.0, standard_deviation: self.width });
        vec![Parameter { prior, ..Parameter::new("grey", "", "ln of an error of the flux common to all bands") }]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, _grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        Ok(flux.multiply_exp(&star.value("grey")?))
    }
}

fn main() -> ExitCode {
    main_with(Registry::standard().with::<GreyError>())
}
