//! The end of a search by steps of the exact Hessian.
//!
//! Where residuals are large, the curvature of a sum of squares is not that of its Gauss–Newton part:
//! undamped steps overshoot, damped ones creep, and near the optimum neither lowers the loss by more than its
//! noise. A few Newton steps end such a search.

use super::step::{Point, StepSolver};
use super::{Bounds, LevenbergMarquardt, Problems, Solution, Status, hessian};
use crate::error::Result;
use ndarray::{Array2, Axis};

/// Newton steps of a problem at most. Where residuals are ten times their errors and the shape of an
/// extinction curve saturates, eight left one star in a thousand on its way.
const MAX_STEPS: u32 = 40;
/// Damping of the first step where the undamped one fails, and its growth from try to try: that multiple of
/// the Gauss–Newton curvature is added, which is positive also along directions in which the Hessian is not.
const DAMPING: [f64; 2] = [1e-3, 4.0];
/// Damping after which a problem is given up.
const MAX_DAMPING: f64 = 1e3;

/// Where second derivatives come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curvature {
    /// [`Problems::hessian`].
    Exact,
    /// Differences of gradients, for problems without second derivatives.
    Differences,
}

/// One problem with its local model of second order.
struct Walk<'a> {
    problem: &'a dyn Problems,
    row: usize,
    curvature: Curvature,
}

impl LevenbergMarquardt {
    /// Goes on with the problems of a `solution` that have stalled or used up their iterations, by damped
    /// Newton steps inside the bounds. One whose Newton step promises no more than the tolerance, or than the
    /// noise of the loss where no step lowers it, has converged.
    ///
    /// # Errors
    /// What the evaluation of the problem returns.
    pub(super) fn end_creeping(
        &self,
        problem: &dyn Problems,
        solution: &mut Solution,
        bounds: &Bounds,
        curvature: Curvature,
    ) -> Result<()> {
        for row in 0..solution.status.len() {
            let is_open = matches!(solution.status[row], Status::Stalled | Status::IterationLimit);
            if is_open && solution.loss[row].is_finite() {
                self.finish_one(&Walk { problem, row, curvature }, solution, bounds)?;
            }
        }
        Ok(())
    }

    fn finish_one(&self, walk: &Walk<'_>, solution: &mut Solution, bounds: &Bounds) -> Result<()> {
        let (row, p) = (walk.row, solution.coordinates.ncols());
        let mut solver = StepSolver::new(p, Vec::new());
        let mut trial = vec![0.0; p];
        let (mut point, mut gauss_newton) = walk.at(solution.coordinates.row(row).to_vec())?;
        let mut promised = solver.decrement(&point, bounds, &mut trial);
        let mut is_stuck = false;
        let mut least_damping = 0.0;
        for _ in 0..MAX_STEPS {
            if promised <= self.decrease_tolerance {
                break;
            }
            let noise = self.loss_noise(point.loss);
            let mut damping = least_damping;
            let mut next = None;
            while damping <= MAX_DAMPING && next.is_none() {
                let damped = damped(&point, &gauss_newton, damping);
                if solver.solve(&damped, bounds, 0.0, self.max_step, &mut trial).is_some_and(|decrease| decrease > 0.0) {
                    let (tried, curvature) = walk.at(trial.clone())?;
                    let promises = if tried.is_finite() { solver.decrement(&tried, bounds, &mut trial) } else { f64::INFINITY };
                    // Where losses cannot be told apart, the gradient says which point is nearer to the
                    // optimum.
                    let is_lower = tried.loss < point.loss - noise;
                    let is_nearer = tried.loss < point.loss + noise && promises < promised;
                    next = (tried.is_finite() && (is_lower || is_nearer)).then_some((tried, curvature, promises));
                }
                if next.is_some() {
                    // The next step may be a little bolder than this one.
                    least_damping = if damping > DAMPING[0] { damping / DAMPING[1] } else { 0.0 };
                }
                damping = if damping == 0.0 { DAMPING[0] } else { damping * DAMPING[1] };
            }
            solution.n_iterations[row] += 1;
            let Some((reached, curvature, promises)) = next else {
                is_stuck = true;
                break;
            };
            (point, gauss_newton, promised) = (reached, curvature, promises);
        }
        let limit = if is_stuck { self.negligible(point.loss) } else { self.decrease_tolerance };
        let converged = promised <= limit;
        let status = if bounds.touched_by(&point.coordinates) { Status::AtBound } else { Status::Converged };
        solution.status[row] = if converged { status } else { solution.status[row] };
        solution.loss[row] = point.loss;
        solution.gradient.row_mut(row).iter_mut().zip(&point.gradient).for_each(|(to, from)| *to = *from);
        solution.curvature.index_axis_mut(Axis(0), row).iter_mut().zip(gauss_newton).for_each(|(to, from)| *to = from);
        solution.coordinates.row_mut(row).iter_mut().zip(&point.coordinates).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

impl Walk<'_> {
    /// Loss and gradient at the coordinates, with the Hessian in place of the Gauss–Newton curvature, and
    /// that.
    fn at(&self, coordinates: Vec<f64>) -> Result<(Point, Vec<f64>)> {
        let at = Array2::from_shape_fn((1, coordinates.len()), |(_, p)| coordinates[p]);
        let mut normal = self.problem.normal_equations(&[self.row], at.view())?;
        let gauss_newton = normal.curvature.iter().copied().collect();
        if normal.loss[0].is_finite() {
            normal.curvature = match self.curvature {
                Curvature::Exact => self.problem.hessian(&[self.row], at.view())?,
                Curvature::Differences => hessian::by_differences(self.problem, &[self.row], at.view())?,
            };
        }
        let mut point = Point::new(coordinates.len());
        point.set(at.row(0), &normal, 0);
        Ok((point, gauss_newton))
    }
}

/// The point with a multiple of the Gauss–Newton curvature added to its own.
fn damped(point: &Point, gauss_newton: &[f64], damping: f64) -> Point {
    let curvature =
        point.curvature.iter().zip(gauss_newton).map(|(exact, gauss_newton)| exact + damping * gauss_newton).collect();
    Point { curvature, ..point.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::test_problems::{Function, sum_of_squares};
    use super::*;
    use crate::optimise::Minimiser;
    use ndarray::array;

    /// (x² + 100)² + (y − 1)²: with residuals that large, the Gauss–Newton curvature 8x² at the optimum x = 0
    /// is none, the exact one is 400.
    #[test]
    fn a_search_with_large_residuals_that_creeps_is_ended() {
        let at = |_: usize, x: &[f64]| sum_of_squares(&[(x[0] * x[0] + 100.0, [2.0 * x[0], 0.0]), (x[1] - 1.0, [0.0, 1.0])]);
        let problem = Function { n: 1, n_parameters: 2, at };
        let settings = LevenbergMarquardt { max_iterations: 12, loss_precision: 1e-12, ..Default::default() };
        let bounds = Bounds::unbounded(2);
        let mut solution = settings.minimise(&problem, array![[0.9, 0.0]], None).unwrap();
        assert!(solution.status[0] != Status::Converged && solution.coordinates[[0, 0]].abs() > 1e-3, "{solution:?}");
        settings.finish(&problem, &mut solution, &bounds, Curvature::Differences).unwrap();
        assert_eq!(solution.status[0], Status::Converged);
        assert!(solution.coordinates[[0, 0]].abs() < 1e-3 && (solution.coordinates[[0, 1]] - 1.0).abs() < 1e-3, "{solution:?}");
        // At a bound, the rest of the way is gone inside.
        let bounds = Bounds { lower: vec![0.5, -9.0], upper: vec![9.0, 9.0] };
        let mut solution = settings.minimise(&problem, array![[0.9, 0.0]], Some(&bounds)).unwrap();
        solution.status[0] = Status::Stalled;
        settings.finish(&problem, &mut solution, &bounds, Curvature::Differences).unwrap();
        assert_eq!((solution.status[0], solution.coordinates[[0, 0]]), (Status::AtBound, 0.5));
    }

    #[test]
    fn what_has_ended_stays() {
        let problem = Function { n: 1, n_parameters: 1, at: |_, x: &[f64]| sum_of_squares(&[(x[0] - 2.0, [1.0])]) };
        let settings = LevenbergMarquardt::default();
        let mut solution = settings.minimise(&problem, array![[0.0]], None).unwrap();
        let before = solution.clone();
        settings.finish(&problem, &mut solution, &Bounds::unbounded(1), Curvature::Differences).unwrap();
        assert_eq!(solution, before);
    }
}
