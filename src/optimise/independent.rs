//! Levenberg–Marquardt against an optimiser that shares no line with it: L-BFGS of argmin, which knows losses
//! and gradients alone.

use super::test_problems::{Stars, rosenbrock};
use super::{LevenbergMarquardt, NormalEquations};
use crate::optimise::Minimiser;
use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::{Array2, ArrayView2, array};

/// One of several problems, in units of its curvature at the start: L-BFGS begins with a step as long as the
/// gradient.
struct One<'a, E> {
    problems: &'a E,
    which: usize,
    /// Coordinates over their units.
    scale: Vec<f64>,
}

impl<E: NormalEquations> One<'_, E> {
    fn coordinates(&self, y: &[f64]) -> Vec<f64> {
        y.iter().zip(&self.scale).map(|(y, scale)| y * scale).collect()
    }

    fn at(&self, y: &[f64]) -> Result<(f64, Vec<f64>), Error> {
        let x = self.coordinates(y);
        let normal = self.problems.normal_equations(&[self.which], ArrayView2::from_shape((1, x.len()), &x)?)?;
        let gradient = normal.gradient.row(0).iter().zip(&self.scale).map(|(slope, scale)| slope * scale).collect();
        // The line search wants numbers, however far it tries.
        if normal.loss[0].is_finite() { Ok((normal.loss[0], gradient)) } else { Ok((1e30, vec![0.0; x.len()])) }
    }
}

impl<E: NormalEquations> CostFunction for One<'_, E> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, y: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.at(y)?.0)
    }
}

impl<E: NormalEquations> Gradient for One<'_, E> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, y: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.at(y)?.1)
    }
}

/// Where L-BFGS ends, and the loss there.
fn lbfgs(problems: &impl NormalEquations, which: usize, start: &[f64]) -> (Vec<f64>, f64) {
    let normal = problems.normal_equations(&[which], ArrayView2::from_shape((1, start.len()), start).unwrap()).unwrap();
    let scale: Vec<f64> = (0..start.len()).map(|p| normal.curvature[[0, p, p]].sqrt().recip()).collect();
    let first = start.iter().zip(&scale).map(|(x, scale)| x / scale).collect::<Vec<f64>>();
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), 8).with_tolerance_grad(1e-7).unwrap();
    let run = Executor::new(One { problems, which, scale: scale.clone() }, solver)
        .configure(|state| state.param(first).max_iters(2000))
        .timer(false)
        .run()
        .unwrap();
    let found = run.state().get_best_param().unwrap().iter().zip(&scale).map(|(y, scale)| y * scale).collect();
    (found, run.state().get_best_cost())
}

/// To the flat bottom in double precision.
fn exact() -> LevenbergMarquardt {
    let settings = LevenbergMarquardt::default();
    LevenbergMarquardt { decrease_tolerance: 1e-20, gradient_tolerance: 1e-9, loss_precision: 1e-14, ..settings }
}

#[test]
fn a_valley_ends_at_the_same_place() {
    let (found, loss) = lbfgs(&rosenbrock(1), 0, &[-1.2, 1.0]);
    let ours = exact().minimise(&rosenbrock(1), array![[-1.2, 1.0]], None).unwrap();
    assert!(loss < 1e-12 && ours.loss[0] < 1e-12);
    assert!(found.iter().zip(&ours.coordinates).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {:?}", ours.coordinates);
}

/// From the same starts both find the same optima of almost all stars; where they do not, neither is the
/// better one.
#[test]
fn optima_of_stars_are_those_of_an_independent_optimiser() {
    const N: usize = 200;
    let stars = Stars::simulate(N, 23);
    let starts: Array2<f64> = stars.start();
    let ours = exact().minimise(&stars, starts.clone(), None).unwrap();
    let (mut n_same, mut n_worse, mut n_better, mut largest_shift) = (0, 0, 0, 0.0_f64);
    for star in 0..N {
        let (theirs, loss) = lbfgs(&stars, star, &starts.row(star).to_vec());
        let difference = ours.loss[star] - loss;
        if difference.abs() < 1e-6 {
            n_same += 1;
            let shift = theirs.iter().zip(ours.coordinates.row(star)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            largest_shift = largest_shift.max(shift);
        }
        n_worse += u32::from(difference > 1e-6);
        n_better += u32::from(difference < -1e-6);
    }
    println!("{n_same} of {N} at the same optimum, shifts up to {largest_shift:.1e}; {n_worse} worse, {n_better} better");
    assert!(n_same >= 180 && n_worse <= 5, "{n_same} the same, {n_worse} worse, {n_better} better");
    assert!(largest_shift < 1e-4, "{largest_shift}");
}
