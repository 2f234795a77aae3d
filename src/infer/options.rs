//! How stars are fitted: every choice of a run, with visible defaults.

use super::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Transform;
use crate::optimise::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of a fit (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitOptions {
    /// Parameters whose measured values constrain the fit; columns that a file lacks are skipped.
    pub constraints: Vec<String>,
    /// Constants added to measured values, by parameter (parallax zero-point, mas).
    pub offsets: BTreeMap<String, f64>,
    /// Whether the mixture prior of the labels enters.
    pub mixture_prior: bool,
    /// Whether −2 ln ϖ − 2 ln E, the Jacobians of flat priors on positive parameters, enter (eq. 19). With them the optimum is
    /// that of (ln ϖ, ln E); without them a positive parameter far from zero has no prior at all.
    pub jacobians: bool,
    /// Whether the model's own errors, estimated in training, count: the one per wavelength widens the flux errors, that of its zero
    /// points (its calibration) the covariances of the estimates.
    pub model_error: bool,
    /// Parameters held at a value (file units) instead of fitted.
    pub hold: BTreeMap<String, f64>,
    /// Transforms that differ from the model's (ln E or E), by parameter.
    pub transforms: BTreeMap<String, Transform>,
    pub start: StartOptions,
    pub optimiser: Method,
    /// Whether the exact Hessian's smallest eigenvalue is computed (eq. 20).
    pub exact_hessian: bool,
    /// Stars per chunk of the optimiser on a processor.
    pub chunk: usize,
    /// What carries out the minimisation.
    pub engine: Engine,
    /// Memory of an accelerator that a batch may take, GiB; it decides how many stars a batch has.
    pub device_memory: f64,
}

/// The search for starting points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartOptions {
    /// Draws of the prior that are scored for every star.
    pub draws: usize,
    /// Well-separated best draws from which the optimiser runs; the best optimum wins.
    pub runs: usize,
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            constraints: vec!["parallax".into()],
            offsets: BTreeMap::new(),
            mixture_prior: true,
            jacobians: true,
            model_error: true,
            hold: BTreeMap::new(),
            transforms: BTreeMap::new(),
            start: StartOptions::default(),
            optimiser: Method::default(),
            exact_hessian: true,
            chunk: 512,
            engine: Engine::default(),
            device_memory: 4.0,
        }
    }
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { draws: 768, runs: 4, seed: 1 }
    }
}

impl FitOptions {
    /// The options for a likelihood-only fit: mixture prior and Jacobians off.
    pub fn likelihood_only(self) -> Self {
        Self { mixture_prior: false, jacobians: false, ..self }
    }

    /// Checks every option.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("start.draws", self.start.draws), ("start.runs", self.start.runs), ("chunk", self.chunk)] {
            if value == 0 {
                return Err(Error::usage(format!("fit option {name}")).found("0").expected("at least 1"));
            }
        }
        if !(self.device_memory > 0.0 && self.device_memory.is_finite()) {
            let found = self.device_memory.to_string();
            return Err(Error::usage("fit option device_memory").found(found).expected("a positive number of GiB"));
        }
        self.engine.validate(&self.optimiser)?;
        self.optimiser.validate()
    }
}
