//! What a method is, and the choice of one, as recipes write it.

use super::{Bounds, Curvature, FirstOrder, LevenbergMarquardt, Problems, Solution};
use crate::error::Result;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;

/// A way to minimise batches of independent problems.
pub trait Minimiser: Debug + Send + Sync {
    /// Checks its settings.
    ///
    /// # Errors
    /// `Usage`, naming the setting and its range.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Minimises every problem from its row of `start [n, P]`, inside the bounds. A problem's path must
    /// depend on itself alone, so that results do not depend on who is in a batch.
    ///
    /// # Errors
    /// `Usage` for impossible settings, shapes or bounds; what the evaluation of the problem returns. A
    /// problem that fails has a status.
    fn minimise(&self, problem: &dyn Problems, start: Array2<f64>, bounds: Option<&Bounds>) -> Result<Solution>;

    /// Goes on where [`Self::minimise`] gave up, by steps that cost more; most methods have none.
    ///
    /// # Errors
    /// What the evaluation of the problem returns.
    fn finish(&self, _: &dyn Problems, _: &mut Solution, _: &Bounds, _: Curvature) -> Result<()> {
        Ok(())
    }

    /// The same method with everything on an accelerator, where there is one.
    fn on_device(&self) -> Option<&LevenbergMarquardt> {
        None
    }
}

/// How batches of small problems are minimised; in a recipe `method = "levenberg_marquardt"` (the default) or
/// `method = "first_order"`, with that method's settings beside it. Programs may bring a method of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    LevenbergMarquardt(LevenbergMarquardt),
    FirstOrder(FirstOrder),
    /// A method of the program's own, which no recipe names.
    #[serde(skip)]
    Own(OwnMethod),
}

/// A method from outside the crate.
#[derive(Debug, Clone)]
pub struct OwnMethod(pub Arc<dyn Minimiser>);

impl PartialEq for OwnMethod {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Method {
    fn default() -> Self {
        Self::LevenbergMarquardt(LevenbergMarquardt::default())
    }
}

impl Method {
    fn chosen(&self) -> &dyn Minimiser {
        match self {
            Self::LevenbergMarquardt(method) => method,
            Self::FirstOrder(method) => method,
            Self::Own(method) => method.0.as_ref(),
        }
    }
}

impl Minimiser for Method {
    fn validate(&self) -> Result<()> {
        self.chosen().validate()
    }

    fn minimise(&self, problem: &dyn Problems, start: Array2<f64>, bounds: Option<&Bounds>) -> Result<Solution> {
        self.chosen().minimise(problem, start, bounds)
    }

    fn finish(&self, problem: &dyn Problems, solution: &mut Solution, bounds: &Bounds, curvature: Curvature) -> Result<()> {
        self.chosen().finish(problem, solution, bounds, curvature)
    }

    fn on_device(&self) -> Option<&LevenbergMarquardt> {
        self.chosen().on_device()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_name_the_method_and_only_what_differs_from_its_defaults() {
        let method: Method = toml::from_str("method = \"levenberg_marquardt\"\nmax_iterations = 9\ninitial_damping = 1").unwrap();
        let expected = LevenbergMarquardt { max_iterations: 9, initial_damping: 1.0, ..LevenbergMarquardt::default() };
        assert_eq!(method, Method::LevenbergMarquardt(expected));
        let printed = toml::to_string(&Method::FirstOrder(FirstOrder::default())).unwrap();
        assert_eq!(toml::from_str::<Method>(&printed).unwrap(), Method::FirstOrder(FirstOrder::default()));
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused_by_name() {
        let error = toml::from_str::<Method>("method = \"levenberg_marquardt\"\nmax_iteration = 9").unwrap_err();
        assert!(error.to_string().contains("max_iteration"), "{error}");
        let method: Method = toml::from_str("method = \"levenberg_marquardt\"\nminimum_gain = 2.0").unwrap();
        let message = method.validate().unwrap_err().to_string();
        assert!(message.starts_with("levenberg_marquardt.minimum_gain: found 2, expected a number in [0, 1)."), "{message}");
    }
}
