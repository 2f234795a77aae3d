//! Maximum likelihood of a few parameters, by argmin: L-BFGS, and the simplex of Nelder & Mead where its line
//! search gives up.

use crate::error::{Error, Result};
use argmin::core::{CostFunction, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::neldermead::NelderMead;
use argmin::solver::quasinewton::LBFGS;
use std::cell::RefCell;

/// A log likelihood of parameters without bounds.
pub trait LogLikelihood {
    /// ln L per star and its gradient.
    fn value_and_gradient(&self, parameters: &[f64]) -> (f64, Vec<f64>);
}

/// A likelihood that remembers its last point: minimisers ask for the value and for the gradient there, one
/// after the other.
struct Remembered<'a, L> {
    likelihood: &'a L,
    last: RefCell<Option<Point>>,
}

/// Parameters, with the value and the gradient there.
#[derive(Clone)]
struct Point {
    parameters: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl<'a, L: LogLikelihood> Remembered<'a, L> {
    fn new(likelihood: &'a L) -> Self {
        Self { likelihood, last: RefCell::new(None) }
    }

    fn at(&self, parameters: &[f64]) -> Point {
        let mut last = self.last.borrow_mut();
        match last.as_ref().filter(|point| point.parameters == parameters) {
            Some(point) => point.clone(),
            None => {
                let (value, gradient) = self.likelihood.value_and_gradient(parameters);
                last.insert(Point { parameters: parameters.to_vec(), value, gradient }).clone()
            }
        }
    }
}

/// −ln L for argmin.
struct Problem<'a, L> {
    likelihood: &'a Remembered<'a, L>,
    /// What a value that is no number is taken for: none ends the search, because argmin's line search would
    /// go on for ever.
    instead: Option<f64>,
}

impl<L: LogLikelihood> CostFunction for Problem<'_, L> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, parameters: &Vec<f64>) -> std::result::Result<f64, argmin::core::Error> {
        let value = Some(-self.likelihood.at(parameters).value).filter(|value| value.is_finite());
        value.or(self.instead).ok_or_else(no_number)
    }
}

impl<L: LogLikelihood> Gradient for Problem<'_, L> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, parameters: &Vec<f64>) -> std::result::Result<Vec<f64>, argmin::core::Error> {
        let gradient: Vec<f64> = self.likelihood.at(parameters).gradient.into_iter().map(|slope| -slope).collect();
        if gradient.iter().all(|slope| slope.is_finite()) { Ok(gradient) } else { Err(no_number()) }
    }
}

fn no_number() -> argmin::core::Error {
    argmin::core::Error::msg("a likelihood that is no number")
}

/// Gradient per star below which a maximum is reached.
const FLAT: f64 = 1e-6;

/// The parameters of greatest likelihood, from a start. `place` names the fit in errors.
///
/// # Errors
/// `Numerical`, when neither method ends at a finite likelihood.
pub fn maximise(likelihood: &impl LogLikelihood, start: &[f64], place: &str) -> Result<Vec<f64>> {
    let likelihood = &Remembered::new(likelihood);
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), 6).with_tolerance_grad(FLAT);
    let solver = solver.map_err(|error| failed(place, error.to_string()))?;
    let run = Executor::new(Problem { likelihood, instead: None }, solver)
        .configure(|state| state.param(start.to_vec()).max_iters(200))
        .run();
    let found = run.ok().and_then(|result| result.state().get_best_param().cloned());
    let is_flat = |parameters: &Vec<f64>| {
        let Point { value, gradient, .. } = likelihood.at(parameters);
        value.is_finite() && gradient.iter().all(|slope| slope.abs() < 100.0 * FLAT)
    };
    match found {
        Some(found) if is_flat(&found) => Ok(found),
        found => simplex(likelihood, &found.unwrap_or_else(|| start.to_vec()), place),
    }
}

fn simplex<L: LogLikelihood>(likelihood: &Remembered<'_, L>, start: &[f64], place: &str) -> Result<Vec<f64>> {
    let corner = |moved: Option<usize>| {
        let mut corner = start.to_vec();
        if let Some(moved) = moved {
            corner[moved] += 0.1;
        }
        corner
    };
    let corners = std::iter::once(None).chain((0..start.len()).map(Some)).map(corner).collect();
    let solver = NelderMead::new(corners).with_sd_tolerance(1e-10).map_err(|error| failed(place, error.to_string()))?;
    let run =
        Executor::new(Problem { likelihood, instead: Some(f64::MAX) }, solver).configure(|state| state.max_iters(2000)).run();
    let result = run.map_err(|error| failed(place, error.to_string()))?;
    let found = result.state().get_best_param().filter(|found| likelihood.at(found).value.is_finite());
    found.cloned().ok_or_else(|| failed(place, "no finite likelihood".into()))
}

fn failed(place: &str, found: String) -> Error {
    Error::numerical(place)
        .found(found)
        .expected("a maximum of the likelihood")
        .remedy("Look at the stars that enter: their parallaxes, magnitudes and errors must be measurements.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// −(1 − x)² − 100 (y − x²)², Rosenbrock's function.
    struct Valley {
        has_gradient: bool,
        asked: RefCell<Vec<Vec<f64>>>,
    }

    impl Valley {
        fn new(has_gradient: bool) -> Self {
            Self { has_gradient, asked: RefCell::default() }
        }
    }

    impl LogLikelihood for Valley {
        fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
            self.asked.borrow_mut().push(at.to_vec());
            let (x, y) = (at[0], at[1]);
            let gradient = [2.0 * (1.0 - x) + 400.0 * x * (y - x * x), -200.0 * (y - x * x)];
            let scale = if self.has_gradient { 1.0 } else { f64::NAN };
            (-(1.0 - x).powi(2) - 100.0 * (y - x * x).powi(2), gradient.map(|slope| scale * slope).to_vec())
        }
    }

    #[test]
    fn both_methods_find_the_end_of_a_valley() {
        for (has_gradient, tolerance) in [(true, 1e-5), (false, 1e-4)] {
            let found = maximise(&Valley::new(has_gradient), &[-1.2, 1.0], "valley").unwrap();
            assert!(found.iter().all(|value| (value - 1.0).abs() < tolerance), "{found:?}");
        }
    }

    #[test]
    fn a_point_is_computed_once_for_value_and_gradient() {
        let valley = Valley::new(true);
        maximise(&valley, &[-1.2, 1.0], "valley").unwrap();
        let asked = valley.asked.into_inner();
        assert!(asked.len() > 20 && asked.windows(2).all(|pair| pair[0] != pair[1]), "{} points", asked.len());
    }

    #[test]
    fn what_has_no_maximum_is_an_error() {
        struct Nothing;
        impl LogLikelihood for Nothing {
            fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
                (f64::NAN, vec![f64::NAN; at.len()])
            }
        }
        assert!(maximise(&Nothing, &[0.0, 0.0], "nothing").unwrap_err().to_string().starts_with("nothing: found"));
    }
}
