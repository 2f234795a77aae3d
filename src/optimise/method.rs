//! The choice of a method, as recipes write it.

use super::{Bounds, FirstOrder, LevenbergMarquardt, NormalEquations, Solution};
use crate::error::Result;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// How batches of small problems are minimised; in a recipe `method = "levenberg_marquardt"` (the default) or
/// `method = "first_order"`, with that method's settings beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    LevenbergMarquardt(LevenbergMarquardt),
    FirstOrder(FirstOrder),
}

impl Default for Method {
    fn default() -> Self {
        Self::LevenbergMarquardt(LevenbergMarquardt::default())
    }
}

impl Method {
    /// Checks every setting of the chosen method.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::LevenbergMarquardt(method) => method.validate(),
            Self::FirstOrder(method) => method.validate(),
        }
    }

    /// Minimises every problem from its row of `start [n, P]`; see [`LevenbergMarquardt::minimise`] and [`FirstOrder::minimise`].
    pub fn minimise(&self, problem: &dyn NormalEquations, start: Array2<f64>, bounds: Option<&Bounds>) -> Result<Solution> {
        match self {
            Self::LevenbergMarquardt(method) => method.minimise(problem, start, bounds),
            Self::FirstOrder(method) => method.minimise(problem, start, bounds),
        }
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
