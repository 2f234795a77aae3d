//! Levenberg–Marquardt for batches of independent problems.
//!
//! Every problem has its own damping λ, changed after each step by the gain ratio ρ = actual / predicted
//! decrease (Nielsen 1999, "Damping parameter in Marquardt's method"; Madsen, Nielsen & Tingleff 2004,
//! algorithm 3.16), with Marquardt's scaling by the diagonal of the curvature. A problem's path depends on
//! its own numbers only.

use super::step::StepSolver;
use super::walker::Walker;
use super::{Barrier, Bounds, Curvature, Minimiser, Problems, Solution, Status, check_setting, check_shape, prepare};
use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Settings of the damped Gauss–Newton method; the defaults suit −2 ln P of a star in coordinates of order
/// one.
///
/// The trial point is evaluated with its normal equations at once: an accepted step, as five of six are,
/// needs them there anyway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevenbergMarquardt {
    /// Largest number of trial steps of a problem.
    pub max_iterations: u32,
    /// λ of the first step, relative to the diagonal of the curvature.
    pub initial_damping: f64,
    /// λ never falls below this.
    pub minimum_damping: f64,
    /// λ above which a problem ends as [`Status::Stalled`].
    pub maximum_damping: f64,
    /// Smallest factor on λ after a successful step.
    pub damping_decrease: f64,
    /// Factor on λ after the first rejected step; it doubles with each further one.
    pub damping_increase: f64,
    /// A step is accepted where its gain ratio reaches this.
    pub minimum_gain: f64,
    /// Converged: no |∂loss/∂x_i| / √curvature_ii above this (0.01 is a shift of 0.007 σ in one coordinate
    /// alone) and …
    pub gradient_tolerance: f64,
    /// … the undamped step promises a decrease of the loss below this (1e-5 is a distance of 0.003 σ to the
    /// optimum).
    pub decrease_tolerance: f64,
    /// Noise of the loss relative to 1 + |loss|: smaller differences of the loss mean nothing, and the
    /// gradient judges instead. 3e-5 suits single precision (1e-5 stops more stars before their optimum, and
    /// takes more iterations for it); double precision bears 1e-12.
    pub loss_precision: f64,
    /// Largest change of any coordinate in one step. Steps that are long in ln E run into the plateau at E =
    /// 0, from where the way back is slow: on the simulated stars, 0.5 takes half the iterations of 3 and
    /// ends in fewer local minima. Steps of problems with a [`Barrier`] do not, and may be twice as long.
    pub max_step: f64,
}

impl Default for LevenbergMarquardt {
    fn default() -> Self {
        Self {
            max_iterations: 60,
            initial_damping: 1e-4,
            minimum_damping: 1e-7,
            maximum_damping: 1e10,
            damping_decrease: 1.0 / 3.0,
            damping_increase: 2.0,
            minimum_gain: 1e-3,
            gradient_tolerance: 1e-2,
            decrease_tolerance: 1e-5,
            loss_precision: 3e-5,
            max_step: 0.5,
        }
    }
}

impl LevenbergMarquardt {
    /// The settings for problems that may have `barriers`.
    ///
    /// # Errors
    /// `Usage` for impossible settings or an impossible barrier, or two of one coordinate.
    pub(super) fn for_problems(&self, n_parameters: usize, barriers: &[Barrier]) -> Result<Self> {
        self.validate()?;
        if barriers.is_empty() {
            return Ok(self.clone());
        }
        Barrier::validate_all(barriers, n_parameters)?;
        Ok(Self { max_step: 2.0 * self.max_step, ..self.clone() })
    }
}

impl Minimiser for LevenbergMarquardt {
    /// Checks every setting.
    ///
    /// # Errors
    /// `Usage`, naming the setting and its range.
    fn validate(&self) -> Result<()> {
        let positive = [
            ("initial_damping", self.initial_damping),
            ("minimum_damping", self.minimum_damping),
            ("max_step", self.max_step),
            ("gradient_tolerance", self.gradient_tolerance),
            ("decrease_tolerance", self.decrease_tolerance),
        ];
        for (name, value) in positive {
            check_setting(&format!("levenberg_marquardt.{name}"), value, value > 0.0, "a positive number")?;
        }
        let (maximum, precision, gain) = (self.maximum_damping, self.loss_precision, self.minimum_gain);
        let (decrease, increase) = (self.damping_decrease, self.damping_increase);
        check_setting(
            "levenberg_marquardt.maximum_damping",
            maximum,
            maximum >= self.initial_damping.max(self.minimum_damping),
            "at least initial_damping and minimum_damping",
        )?;
        check_setting("levenberg_marquardt.loss_precision", precision, precision >= 0.0, "zero or a positive number")?;
        check_setting("levenberg_marquardt.minimum_gain", gain, (0.0..1.0).contains(&gain), "a number in [0, 1)")?;
        check_setting("levenberg_marquardt.damping_decrease", decrease, decrease > 0.0 && decrease < 1.0, "a number in (0, 1)")?;
        check_setting("levenberg_marquardt.damping_increase", increase, increase > 1.0, "a number above 1")
    }

    /// Minimises every problem from its row of `start [n, P]` (moved into the bounds first).
    ///
    /// # Errors
    /// `Usage` for impossible settings, bounds or shapes; what the problem's evaluation returns. A problem
    /// that cannot be minimised has its [`Status`], never an error.
    fn minimise(&self, problem: &dyn Problems, start: Array2<f64>, bounds: Option<&Bounds>) -> Result<Solution> {
        let settings = &self.for_problems(problem.n_parameters(), &problem.barriers())?;
        let (start, bounds) = prepare((problem.n_problems(), problem.n_parameters()), start, bounds)?;
        let (n, p) = start.dim();
        let mut walkers: Vec<Walker> = start.axis_iter(Axis(0)).map(|_| Walker::new(p, settings)).collect();
        let mut solver = StepSolver::new(p, problem.barriers());
        match problem.evaluator() {
            Some(mut evaluator) => {
                for (i, walker) in walkers.iter_mut().enumerate() {
                    walker.trial.coordinates.iter_mut().zip(start.row(i)).for_each(|(to, from)| *to = *from);
                    evaluator.evaluate(i, &mut walker.trial);
                    let mut is_active = walker.begin();
                    while is_active && walker.advance((problem, i), settings, &mut solver, &bounds) {
                        evaluator.evaluate(i, &mut walker.trial);
                        is_active = walker.judge(settings, &mut solver, &bounds);
                    }
                }
            }
            None => {
                let mut active: Vec<usize> = (0..n).collect();
                evaluate(problem, &active, start.view(), &mut walkers)?;
                active.retain(|&i| walkers[i].begin());
                let mut trials = Array2::zeros((n, p));
                while !active.is_empty() {
                    active.retain(|&i| walkers[i].advance((problem, i), settings, &mut solver, &bounds));
                    for (mut row, &i) in trials.axis_iter_mut(Axis(0)).zip(&active) {
                        row.iter_mut().zip(&walkers[i].trial.coordinates).for_each(|(slot, x)| *slot = *x);
                    }
                    evaluate(problem, &active, trials.slice(ndarray::s![..active.len(), ..]), &mut walkers)?;
                    active.retain(|&i| walkers[i].judge(settings, &mut solver, &bounds));
                }
            }
        }
        Ok(collect(&walkers, &bounds, p))
    }

    fn finish(&self, problem: &dyn Problems, solution: &mut Solution, bounds: &Bounds, curvature: Curvature) -> Result<()> {
        self.end_creeping(problem, solution, bounds, curvature)
    }

    fn on_device(&self) -> Option<&LevenbergMarquardt> {
        Some(self)
    }
}

/// Evaluates the named problems at `coordinates` into their trial points.
fn evaluate(problem: &dyn Problems, active: &[usize], coordinates: ArrayView2<'_, f64>, walkers: &mut [Walker]) -> Result<()> {
    if active.is_empty() {
        return Ok(());
    }
    let (n, p) = coordinates.dim();
    let normal = problem.normal_equations(active, coordinates)?;
    check_shape(&[normal.loss.len()], &[n])?;
    check_shape(normal.gradient.shape(), &[n, p])?;
    check_shape(normal.curvature.shape(), &[n, p, p])?;
    for (row, &i) in active.iter().enumerate() {
        walkers[i].trial.set(coordinates.row(row), &normal, row);
    }
    Ok(())
}

fn collect(walkers: &[Walker], bounds: &Bounds, n_parameters: usize) -> Solution {
    let p = n_parameters;
    let coordinates = Array2::from_shape_fn((walkers.len(), p), |(i, a)| walkers[i].point.coordinates[a]);
    let gradient = Array2::from_shape_fn((walkers.len(), p), |(i, a)| walkers[i].point.gradient[a]);
    let curvature = Array3::from_shape_fn((walkers.len(), p, p), |(i, a, b)| walkers[i].point.curvature[a * p + b]);
    let status = walkers.iter().map(|walker| match walker.status {
        Status::Converged if bounds.touched_by(&walker.point.coordinates) => Status::AtBound,
        status => status,
    });
    Solution {
        coordinates,
        gradient,
        loss: walkers.iter().map(|walker| walker.point.loss).collect(),
        status: status.collect(),
        n_iterations: walkers.iter().map(|walker| walker.n_iterations).collect(),
        curvature,
    }
}

impl LevenbergMarquardt {
    pub(super) fn loss_noise(&self, loss: f64) -> f64 {
        self.loss_precision * (1.0 + loss.abs())
    }

    /// Predicted decrease below which a problem that cannot go on counts as converged.
    pub(super) fn negligible(&self, loss: f64) -> f64 {
        self.decrease_tolerance.max(self.loss_noise(loss))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_problems::{Function, Local, Stars, diagonal, rosenbrock, sum_of_squares};
    use super::*;
    use crate::optimise::{Normal, NormalEquations};
    use crate::prior::{Coordinate, GaussianConstraint, maximum_a_posteriori, positivity};
    use ndarray::{Array1, array};

    /// Settings for losses in full double precision.
    fn exact() -> LevenbergMarquardt {
        LevenbergMarquardt { decrease_tolerance: 1e-20, gradient_tolerance: 1e-9, loss_precision: 1e-14, ..Default::default() }
    }

    fn single(at: impl Fn(&[f64]) -> Local + Sync) -> impl Problems {
        let n_parameters = 1;
        Function { n: 1, n_parameters, at: move |_, x: &[f64]| at(x) }
    }

    /// a exp(−b t) + c through ten points.
    fn decay() -> impl Problems {
        let y = [5.1, 3.9, 3.2, 2.5, 2.1, 1.9, 1.6, 1.5, 1.3, 1.35];
        let at = move |_: usize, x: &[f64]| {
            let rows: Vec<(f64, [f64; 3])> = (0..10)
                .map(|k| {
                    let t = 0.5 * k as f64;
                    let decay = (-x[1] * t).exp();
                    (x[0] * decay + x[2] - y[k], [decay, -x[0] * t * decay, 1.0])
                })
                .collect();
            sum_of_squares(&rows)
        };
        Function { n: 1, n_parameters: 3, at }
    }

    #[test]
    fn linear_problems_need_two_steps() {
        let settings = LevenbergMarquardt { max_step: 10.0, ..Default::default() };
        let solution = settings.minimise(&diagonal([1.0, 1e4]), array![[2.0, -3.0]], None).unwrap();
        assert_eq!(solution.status, [Status::Converged]);
        assert!(solution.n_iterations[0] <= 2 && solution.loss[0] < 1e-5, "{solution:?}");
    }

    /// SciPy 1.17.1: least_squares(residuals, [1, 1, 1], jac=…, method="lm", xtol=ftol=gtol=1e-15), 16
    /// evaluations (10 with default tolerances); with bounds ([0, 0, 1.2], [4, 5, 9]) and method="trf" from
    /// [1, 1, 1.5].
    #[test]
    fn optima_with_and_without_bounds_agree_with_scipy() {
        let free = exact().minimise(&decay(), array![[1.0, 1.0, 1.0]], None).unwrap();
        let expected = [3.977356976141704, 0.6825771787149618, 1.1147670056911452];
        assert!(free.coordinates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-8), "{free:?}");
        assert!((free.loss[0] - 0.023615912772049268).abs() < 1e-14);
        assert_eq!(free.status, [Status::Converged]);
        assert!(free.n_iterations[0] <= 16, "{free:?}");

        let bounds = Bounds { lower: vec![0.0, 0.0, 1.2], upper: vec![4.0, 5.0, 9.0] };
        let bounded = exact().minimise(&decay(), array![[1.0, 1.0, -7.0]], Some(&bounds)).unwrap();
        let expected = [3.9162892618231084, 0.7242795102767273, 1.2];
        assert!(bounded.coordinates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-7), "{bounded:?}");
        assert_eq!((bounded.status[0], bounded.coordinates[[0, 2]]), (Status::AtBound, 1.2));
    }

    /// SciPy's MINPACK needs 21 evaluations from here.
    #[test]
    fn curved_valleys_are_followed_to_their_end() {
        let solution = exact().minimise(&rosenbrock(1), array![[-1.2, 1.0]], None).unwrap();
        assert!(solution.coordinates.iter().all(|x| (x - 1.0).abs() < 1e-8), "{solution:?}");
        assert!(solution.n_iterations[0] <= 30, "{solution:?}");
    }

    #[test]
    fn singular_and_vanishing_curvature_end_quietly() {
        // Only the sum of both coordinates is known: one of a line of optima, and the difference stays where
        // it started.
        let sum = Function { n: 1, n_parameters: 2, at: |_, x: &[f64]| sum_of_squares(&[(x[0] + x[1] - 1.0, [1.0, 1.0])]) };
        let solution = LevenbergMarquardt::default().minimise(&sum, array![[3.0, 1.0]], None).unwrap();
        assert_eq!(solution.status, [Status::Converged]);
        assert!((solution.coordinates.sum() - 1.0).abs() < 1e-2);
        assert!((solution.coordinates[[0, 0]] - solution.coordinates[[0, 1]] - 2.0).abs() < 1e-9);
        let flat = single(|_| Local { loss: 3.0, gradient: vec![0.0], curvature: vec![0.0] });
        assert_eq!(LevenbergMarquardt::default().minimise(&flat, array![[3.0]], None).unwrap().status, [Status::Converged]);
    }

    #[test]
    fn steps_into_undefined_regions_are_rejected_and_undefined_starts_fail() {
        // (ln x)²: the first Gauss–Newton step from 5 leads to 5 − 5 ln 5 < 0.
        let logarithm = |x: &[f64]| sum_of_squares(&[(x[0].ln(), [1.0 / x[0]])]);
        let problem = Function { n: 3, n_parameters: 1, at: move |_, x: &[f64]| logarithm(x) };
        let start = array![[5.0], [-1.0], [f64::NAN]];
        let solution = exact().minimise(&problem, start, None).unwrap();
        assert_eq!(solution.status, [Status::Converged, Status::Failed, Status::Failed]);
        assert!((solution.coordinates[[0, 0]] - 1.0).abs() < 1e-9);
        assert_eq!(solution.coordinates[[1, 0]], -1.0);
    }

    #[test]
    fn a_wrong_gradient_is_reported_as_stalled_not_as_converged() {
        let problem = single(|x| Local { loss: x[0] * x[0], gradient: vec![-2.0 * x[0]], curvature: vec![2.0] });
        let solution = LevenbergMarquardt::default().minimise(&problem, array![[1.0]], None).unwrap();
        assert_eq!((solution.status[0], solution.coordinates[[0, 0]]), (Status::Stalled, 1.0));
        let one = LevenbergMarquardt { max_iterations: 1, ..exact() };
        assert_eq!(one.minimise(&rosenbrock(1), array![[-1.2, 1.0]], None).unwrap().status, [Status::IterationLimit]);
        let impossible = LevenbergMarquardt { max_step: 0.0, ..exact() };
        assert!(impossible.minimise(&rosenbrock(1), array![[-1.2, 1.0]], None).is_err());
    }

    /// A step that knows of E > 0 saves iterations; the optima are the same.
    #[test]
    fn stars_need_about_six_iterations_with_the_barrier_and_eight_without() {
        let stars = Stars::simulate(512, 7);
        let run = |stars: &Stars| {
            let solution = LevenbergMarquardt::default().minimise(stars, stars.start(), None).unwrap();
            let mut iterations = solution.n_iterations.clone();
            iterations.sort_unstable();
            let n_converged = solution.status.iter().filter(|status| **status == Status::Converged).count();
            println!(
                "median {}, 99 % {}, largest {}, converged {n_converged}",
                iterations[256], iterations[507], iterations[511]
            );
            let mean = iterations.iter().sum::<u32>() as f64 / 512.0;
            assert!(n_converged >= 511);
            // Going on in full precision gains next to nothing.
            let further = exact().minimise(stars, solution.coordinates.clone(), None).unwrap();
            let gain: Array1<f64> = solution.loss.iter().zip(&further.loss).map(|(first, last)| first - last).collect();
            assert!(gain.iter().filter(|gain| **gain > 1e-3).count() <= 1, "{gain}");
            (solution, iterations[256], iterations[507], mean)
        };
        let (with, median, slow, mean) = run(&stars);
        let (without, .., mean_without) = run(&Stars { barrier: false, ..stars.clone() });
        println!("mean {mean} with the barrier, {mean_without} without");
        assert!(median <= 7 && slow <= 35 && mean < 0.9 * mean_without, "{median} {slow} {mean} {mean_without}");
        let n_worse = |a: &Solution, b: &Solution| a.loss.iter().zip(&b.loss).filter(|(a, b)| **a > **b + 1e-2).count();
        let (worse, better) = (n_worse(&with, &without), n_worse(&without, &with));
        println!("with the barrier, {worse} end at a worse optimum and {better} at a better one");
        assert!(worse <= 10 && better <= 10, "{worse} {better}");
    }

    #[test]
    fn noise_of_single_precision_in_the_loss_ends_as_converged_at_the_same_optimum() {
        let stars = Stars::simulate(128, 11);
        let at = |star: usize, x: &[f64]| {
            let mut local = stars.at(star, x);
            // Deterministic noise of ±1e-3 that no two points share, and gradients rounded to f32.
            let bits =
                x.iter().fold(star as u64, |hash, x| (hash ^ x.to_bits()).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23));
            local.loss = f64::from(local.loss as f32) + 2e-3 * (bits as f64 / u64::MAX as f64 - 0.5);
            local.gradient.iter_mut().chain(&mut local.curvature).for_each(|element| *element = f64::from(*element as f32));
            local
        };
        let noisy = Function { n: 128, n_parameters: 5, at };
        let settings = LevenbergMarquardt { loss_precision: 1e-4, ..Default::default() };
        let solution = settings.minimise(&noisy, stars.start(), None).unwrap();
        let reference = exact().minimise(&stars, stars.start(), None).unwrap();
        let n_converged = solution.status.iter().filter(|status| **status == Status::Converged).count();
        let exact_loss = stars.loss(&(0..128).collect::<Vec<_>>(), solution.coordinates.view()).unwrap();
        let n_above = exact_loss.iter().zip(&reference.loss).filter(|(found, best)| **found - **best > 2e-3).count();
        assert!(n_above <= 1 && n_converged == 128, "{n_above} above the optimum, {n_converged} converged");
    }

    /// A Gaussian constraint on E = exp(c + s u) with the Jacobian of a flat prior on E > 0, in coordinates
    /// with scale s.
    struct PositiveParameter {
        constraints: [(f64, f64); 4],
        scale: f64,
        barrier: bool,
    }

    impl NormalEquations for PositiveParameter {
        fn n_problems(&self) -> usize {
            self.constraints.len()
        }

        fn n_parameters(&self) -> usize {
            1
        }

        fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> crate::error::Result<Normal> {
            let at = |i: usize, u: &[f64]| {
                let (value, error) = self.constraints[problems[i]];
                let ln_x = self.scale * u[0];
                let constraint = GaussianConstraint::new(value, error).unwrap();
                let (data, flat) = (constraint.term(Coordinate::logarithmic(ln_x)), positivity(ln_x));
                Local {
                    loss: data.loss + flat.loss,
                    gradient: vec![self.scale * (data.gradient + flat.gradient)],
                    curvature: vec![self.scale.powi(2) * (data.curvature + flat.curvature)],
                }
            };
            let all: Vec<usize> = (0..problems.len()).collect();
            Function { n: problems.len(), n_parameters: 1, at }.normal_equations(&all, coordinates)
        }

        fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> crate::error::Result<Vec<f64>> {
            Ok(self.normal_equations(problems, coordinates)?.loss)
        }
    }

    impl Problems for PositiveParameter {
        fn barriers(&self) -> Vec<Barrier> {
            self.barrier.then_some(Barrier { position: 0, scale: self.scale }).into_iter().collect()
        }
    }

    /// Spec 1 §7: the optimum of such a parameter is a closed form; a step that knows the barrier leads there
    /// at once from anywhere.
    #[test]
    fn optimum_of_a_constrained_positive_parameter_is_the_closed_form() {
        for (scale, barrier) in [(1.0, true), (0.3, true), (1.0, false)] {
            let constraints = [(0.0, 0.05), (0.1, 0.05), (-0.1, 0.05), (-1.0, 0.05)];
            let problem = PositiveParameter { constraints, scale, barrier };
            let settings = LevenbergMarquardt { max_step: if barrier { 100.0 } else { 0.5 }, initial_damping: 1e-12, ..exact() };
            let solution = settings.minimise(&problem, Array2::from_elem((4, 1), -2.0 / scale), None).unwrap();
            for ((value, error), u) in constraints.iter().zip(&solution.coordinates) {
                let expected = maximum_a_posteriori(*value, *error);
                assert!(((scale * u).exp() / expected - 1.0).abs() < 1e-9, "{value}: {} {expected}", (scale * u).exp());
            }
            // One step to the optimum, and what rounding leaves of it.
            let most = if barrier { 3 } else { 15 };
            assert!(solution.n_iterations.iter().all(|n| *n <= most), "{:?}", solution.n_iterations);
        }
    }
}
