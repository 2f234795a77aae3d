//! How stars are fitted: every choice of a run, with visible defaults.

use super::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{ParameterSpace, Transform};
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
    /// Whether the optimum is that in ln ϖ and ln E, the convention of the published catalogue (eq. 19: the Jacobians −2 ln ϖ − 2 ln E of
    /// flat priors). It shifts whole samples of stars with little dust, by about 1σ in E and what goes with it. By default the
    /// optimum is that in ϖ and E themselves, with E ≥ 0, which has no such shift.
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
    /// Most starting points of a star. All are evaluated; the optimiser runs from the best, and from others that promise another optimum.
    pub runs: usize,
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            constraints: vec!["parallax".into()],
            offsets: BTreeMap::new(),
            mixture_prior: true,
            jacobians: false,
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
        Self { draws: 768, runs: 10, seed: 1 }
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
        for (option, numbers) in [("hold", &self.hold), ("offsets", &self.offsets)] {
            if let Some((name, value)) = numbers.iter().find(|(_, value)| !value.is_finite()) {
                let place = format!("fit option {option}.{name}");
                return Err(Error::usage(place).found(value.to_string()).expected("a finite number"));
            }
        }
        self.optimiser.validate()
    }

    /// Checks every option, and that a model with these parameters can be fitted with them.
    ///
    /// # Errors
    /// As [`FitOptions::validate`]; also when an option names a parameter that the model does not have, or all are held.
    pub fn validate_for(&self, space: &ParameterSpace) -> Result<()> {
        self.validate()?;
        let names: Vec<&str> = space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let lists = [
            ("constraints", self.constraints.iter().collect::<Vec<_>>()),
            ("hold", self.hold.keys().collect()),
            ("offsets", self.offsets.keys().collect()),
            ("transforms", self.transforms.keys().collect()),
        ];
        for (option, used) in lists {
            if let Some(unknown) = used.into_iter().find(|name| !names.contains(&name.as_str())) {
                return Err(Error::usage(format!("fit option {option}"))
                    .found(format!("'{unknown}'"))
                    .expected(format!("parameters of the model ({})", names.join(", "))));
            }
        }
        if self.hold.len() == names.len() {
            return Err(Error::usage("fit option hold").found("every parameter of the model").expected("one left to be fitted"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parameter;

    #[test]
    fn what_no_fit_can_do_is_refused_by_name() {
        let space = ParameterSpace { parameters: ["teff", "logg", "parallax"].map(Parameter::label).to_vec() };
        let held = |values: &[(&str, f64)]| {
            let hold = values.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            FitOptions { hold, ..FitOptions::default() }.validate_for(&space)
        };
        assert!(held(&[("teff", 5000.0), ("logg", 4.0)]).is_ok());
        let all = held(&[("teff", 5000.0), ("logg", 4.0), ("parallax", 1.0)]).unwrap_err();
        assert!(all.to_string().contains("every parameter"), "{all}");
        for bad in [f64::NAN, f64::INFINITY] {
            let message = held(&[("teff", bad)]).unwrap_err().to_string();
            assert!(message.contains("hold.teff") && message.contains("finite"), "{message}");
        }
        let unknown = held(&[("feh", 0.0)]).unwrap_err();
        assert!(unknown.to_string().contains("'feh'") && unknown.exit_code() == 2, "{unknown}");
        let offsets = FitOptions { offsets: [("parallax".to_owned(), f64::NAN)].into(), ..FitOptions::default() };
        assert!(offsets.validate().is_err());
    }
}
