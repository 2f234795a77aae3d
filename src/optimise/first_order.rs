//! The published first-order method: one round of Adam, then rounds of gradient descent for what is not yet
//! at a minimum.
//!
//! Source: Zhang, Green & Rix 2023, sec. 4.2. The text gives the round of Adam twice (8192 steps halved every
//! 768, and 12 288 steps halved every 512). The default is 12 288 steps halved every 768: halved every 512,
//! an eighth of the stars stop short of their optimum.

use super::dense::smallest_eigenvalue;
use super::{Bounds, Minimiser, Problems, Solution, Status, check_setting, check_shape, prepare};
use crate::error::Result;
use ndarray::{Array2, Array3, Axis, Zip};
use serde::{Deserialize, Serialize};

/// Exponential decay of Adam's mean and mean square (Kingma & Ba 2015, algorithm 1).
const BETA: (f64, f64) = (0.9, 0.999);

/// Adam's guard against division by zero.
const EPSILON: f64 = 1e-8;

/// A run of steps whose length shrinks by halves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Learning rate of the first step.
    pub learning_rate: f64,
    /// Number of steps.
    pub n_steps: u32,
    /// The rate is halved after every so many steps.
    pub halve_every: u32,
}

impl Round {
    fn rate(&self, step: u32) -> f64 {
        self.learning_rate * 0.5_f64.powf(f64::from(step / self.halve_every))
    }

    fn validate(&self, name: &str) -> Result<()> {
        let (rate, every) = (self.learning_rate, f64::from(self.halve_every));
        check_setting(&format!("first_order.{name}.learning_rate"), rate, rate > 0.0 && rate.is_finite(), "a positive number")?;
        check_setting(&format!("first_order.{name}.halve_every"), every, every > 0.0, "at least 1")
    }
}

/// Adam, then rounds of plain gradient descent over the problems whose Hessian is not positive semi-definite.
///
/// It needs tens of thousands of evaluations where [`LevenbergMarquardt`](super::LevenbergMarquardt) needs
/// about ten, and is here to reproduce published results. A problem ends as `Converged` (or `AtBound`) where
/// its Hessian is positive semi-definite, the published criterion; as `Stalled` where a step met a loss that
/// is not finite (its last finite point is kept).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirstOrder {
    /// The round of Adam.
    pub adam: Round,
    /// The first round of gradient descent; the rate of the n-th is 2^(n−1) times smaller.
    pub gradient_descent: Round,
    /// Largest number of rounds, that of Adam included.
    pub max_rounds: u32,
    /// The rounds end when no more than this fraction of the batch has a Hessian that is not positive
    /// semi-definite.
    pub tolerated_fraction: f64,
}

impl Default for FirstOrder {
    fn default() -> Self {
        Self {
            adam: Round { learning_rate: 0.01, n_steps: 12_288, halve_every: 768 },
            gradient_descent: Round { learning_rate: 1e-5, n_steps: 12_288, halve_every: 4_096 },
            max_rounds: 8,
            tolerated_fraction: 1e-4,
        }
    }
}

impl Minimiser for FirstOrder {
    /// Checks every setting.
    ///
    /// # Errors
    /// `Usage`, naming the setting and its range.
    fn validate(&self) -> Result<()> {
        self.adam.validate("adam")?;
        self.gradient_descent.validate("gradient_descent")?;
        check_setting("first_order.max_rounds", f64::from(self.max_rounds), self.max_rounds > 0, "at least 1")?;
        let fraction = self.tolerated_fraction;
        check_setting("first_order.tolerated_fraction", fraction, (0.0..=1.0).contains(&fraction), "a number in [0, 1]")
    }

    /// Minimises every problem from its row of `start [n, P]` (moved into the bounds first, and back into
    /// them after each step).
    ///
    /// # Errors
    /// `Usage` for impossible settings, bounds or shapes; what the problem's evaluation returns.
    fn minimise(&self, problem: &dyn Problems, start: Array2<f64>, bounds: Option<&Bounds>) -> Result<Solution> {
        self.validate()?;
        let (start, bounds) = prepare((problem.n_problems(), problem.n_parameters()), start, bounds)?;
        let n = start.nrows();
        let solution = Solution {
            coordinates: start,
            gradient: Array2::zeros((0, problem.n_parameters())),
            curvature: Array3::zeros((0, problem.n_parameters(), problem.n_parameters())),
            loss: vec![f64::NAN; n],
            status: vec![Status::IterationLimit; n],
            n_iterations: vec![0; n],
        };
        let mut descent = Descent { problem, bounds, solution };
        let mut active = descent.evaluate_start()?;
        for round in 0..self.max_rounds {
            active = match round {
                0 => descent.run(active, self.adam, Rule::Adam)?,
                _ => {
                    let learning_rate = self.gradient_descent.learning_rate * 0.5_f64.powf(f64::from(round - 1));
                    descent.run(active, Round { learning_rate, ..self.gradient_descent }, Rule::Gradient)?
                }
            };
            active = descent.not_at_minimum(active)?;
            if active.len() as f64 <= self.tolerated_fraction * n as f64 {
                break;
            }
        }
        Ok(descent.solution)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Adam,
    Gradient,
}

struct Descent<'a> {
    problem: &'a dyn Problems,
    bounds: Bounds,
    solution: Solution,
}

impl Descent<'_> {
    /// Marks the problems that cannot start, and returns the others.
    fn evaluate_start(&mut self) -> Result<Vec<usize>> {
        let all: Vec<usize> = (0..self.solution.loss.len()).collect();
        if all.is_empty() {
            return Ok(all);
        }
        self.solution.loss = self.problem.loss(&all, self.solution.coordinates.view())?;
        check_shape(&[self.solution.loss.len()], &[all.len()])?;
        for (status, loss) in self.solution.status.iter_mut().zip(&self.solution.loss) {
            if !loss.is_finite() {
                *status = Status::Failed;
            }
        }
        Ok(all.into_iter().filter(|&i| self.solution.loss[i].is_finite()).collect())
    }

    /// Takes the steps of one round and returns the problems that are still active.
    fn run(&mut self, mut active: Vec<usize>, round: Round, rule: Rule) -> Result<Vec<usize>> {
        let (n, p) = self.solution.coordinates.dim();
        let mut mean = Array2::<f64>::zeros((n, p));
        let mut square = Array2::<f64>::zeros((n, p));
        // Where each active problem was before its last step, to return to if the loss is not finite behind
        // it.
        let mut last = self.solution.coordinates.clone();
        for step in 0..=round.n_steps {
            if active.is_empty() {
                break;
            }
            let coordinates = self.solution.coordinates.select(Axis(0), &active);
            let (loss, gradient) = self.problem.gradient(&active, coordinates.view())?;
            check_shape(&[loss.len()], &[active.len()])?;
            check_shape(gradient.shape(), &[active.len(), p])?;
            let rate = round.rate(step);
            let mut survivors = Vec::with_capacity(active.len());
            for ((&i, loss), gradient) in active.iter().zip(loss).zip(gradient.axis_iter(Axis(0))) {
                let mut x = self.solution.coordinates.row_mut(i);
                if !loss.is_finite() || gradient.iter().any(|element| !element.is_finite()) {
                    x.assign(&last.row(i));
                    self.solution.status[i] = Status::Stalled;
                    continue;
                }
                self.solution.loss[i] = loss;
                survivors.push(i);
                if step == round.n_steps {
                    continue;
                }
                last.row_mut(i).assign(&x);
                self.solution.n_iterations[i] += 1;
                match rule {
                    Rule::Gradient => x.scaled_add(-rate, &gradient),
                    Rule::Adam => {
                        let correction = (1.0 - BETA.0.powi(step as i32 + 1), 1.0 - BETA.1.powi(step as i32 + 1));
                        Zip::from(&mut x).and(mean.row_mut(i)).and(square.row_mut(i)).and(&gradient).for_each(|x, m, v, g| {
                            *m = BETA.0 * *m + (1.0 - BETA.0) * g;
                            *v = BETA.1 * *v + (1.0 - BETA.1) * g * g;
                            *x -= rate * (*m / correction.0) / ((*v / correction.1).sqrt() + EPSILON);
                        });
                    }
                }
                Zip::from(&mut x).and(&self.bounds.lower[..]).and(&self.bounds.upper[..]).for_each(|x, lower, upper| {
                    *x = x.clamp(*lower, *upper);
                });
            }
            active = survivors;
        }
        Ok(active)
    }

    /// Sets the status of the problems that are at a minimum and returns the others.
    fn not_at_minimum(&mut self, active: Vec<usize>) -> Result<Vec<usize>> {
        if active.is_empty() {
            return Ok(active);
        }
        let p = self.problem.n_parameters();
        let coordinates = self.solution.coordinates.select(Axis(0), &active);
        let hessian = self.problem.hessian(&active, coordinates.view())?;
        check_shape(hessian.shape(), &[active.len(), p, p])?;
        let mut left = Vec::new();
        for ((&i, hessian), coordinates) in active.iter().zip(hessian.axis_iter(Axis(0))).zip(coordinates.axis_iter(Axis(0))) {
            let matrix: Vec<f64> = hessian.iter().copied().collect();
            if smallest_eigenvalue(&matrix, p) >= 0.0 {
                let on_bound = self.bounds.touched_by(&coordinates.to_vec());
                self.solution.status[i] = if on_bound { Status::AtBound } else { Status::Converged };
            } else {
                left.push(i);
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_problems::{Stars, diagonal, rosenbrock};
    use super::*;
    use crate::optimise::LevenbergMarquardt;
    use ndarray::array;

    const ADAM_AFTER_TEN: [f64; 2] = [0.28506908022778105, 0.28506907666662895];

    /// Ten steps of algorithm 1 of Kingma & Ba, computed with NumPy 2.4.6 in float64 (loss x² + 10 y² from
    /// (1, 1), rate 0.1, halved after 5 steps).
    #[test]
    fn adam_follows_its_published_recurrence() {
        let problem = diagonal([1.0, 10.0]);
        let adam = Round { learning_rate: 0.1, n_steps: 10, halve_every: 5 };
        let method = FirstOrder { adam, max_rounds: 1, ..FirstOrder::default() };
        let solution = method.minimise(&problem, array![[1.0, 1.0]], None).unwrap();
        for (found, expected) in solution.coordinates.iter().zip(ADAM_AFTER_TEN) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!((solution.n_iterations[0], solution.status[0]), (10, Status::Converged));
    }

    /// A record of what the published round does, not a wish: it comes near the optimum of degenerate
    /// problems without reaching it.
    #[test]
    fn the_published_round_ends_within_some_units_above_the_optimum() {
        let stars = Stars::simulate(4, 3);
        let exact = LevenbergMarquardt::default().minimise(&stars, stars.start(), None).unwrap();
        let first = FirstOrder { max_rounds: 1, ..Default::default() }.minimise(&stars, stars.start(), None).unwrap();
        let excess: Vec<f64> = first.loss.iter().zip(&exact.loss).map(|(first, exact)| first - exact).collect();
        assert!(excess.iter().all(|excess| *excess > -1e-3 && *excess < 20.0), "{excess:?}");
        assert_eq!(first.n_iterations, [12_288; 4]);
    }

    #[test]
    fn saddles_go_through_all_rounds_and_bad_points_keep_the_last_good_one() {
        // At (0.1, 1) the Hessian of Rosenbrock's function is indefinite; three tiny steps do not leave it.
        let short = Round { learning_rate: 1e-9, n_steps: 3, halve_every: 1 };
        let method = FirstOrder { adam: short, gradient_descent: short, max_rounds: 3, tolerated_fraction: 0.0 };
        let solution = method.minimise(&rosenbrock(2), array![[0.1, 1.0], [f64::NAN, 0.0]], None).unwrap();
        assert_eq!(solution.status, [Status::IterationLimit, Status::Failed]);
        assert_eq!(solution.n_iterations, [9, 0]);
        let wild = FirstOrder { adam: Round { learning_rate: 1e200, ..short }, ..method };
        let solution = wild.minimise(&rosenbrock(1), array![[0.5, 0.5]], None).unwrap();
        assert_eq!((solution.status[0], solution.coordinates), (Status::Stalled, array![[0.5, 0.5]]));
    }
}
