//! Starting points whose normal equations are known: where they lead, and minimisations that do not evaluate
//! them again.

use super::chunks::in_chunks;
use super::step::{Point, StepSolver};
use super::{Barrier, Bounds, Evaluator, Normal, NormalEquations, Problems, Proposal, prepare};
use crate::error::{Error, Result};
use ndarray::{Array2, Array3, ArrayView2, Axis, concatenate};

/// Problems evaluated at their starts; row `i` belongs to problem `i`.
pub struct Evaluated<'a> {
    problem: &'a dyn Problems,
    start: Array2<f64>,
    normal: Normal,
}

/// Where the local model of each start has its minimum inside the bounds.
pub struct Prediction {
    /// `[n, P]`.
    pub coordinates: Array2<f64>,
    /// The loss there `[n]`; that of the start where the curvature is singular.
    pub loss: Vec<f64>,
}

impl<'a> Evaluated<'a> {
    /// Evaluates every problem at its row of `start [n, P]`, moved into the bounds first, `chunk` at a time.
    ///
    /// # Errors
    /// `Usage` for impossible bounds, shapes or a `chunk` of zero; what the evaluation returns.
    pub fn new(problem: &'a dyn Problems, start: Array2<f64>, bounds: &Bounds, chunk: usize) -> Result<Self> {
        let (start, _) = prepare((problem.n_problems(), problem.n_parameters()), start, Some(bounds))?;
        let normal = evaluate_in_chunks(problem, &start, chunk)?;
        Ok(Self { problem, start, normal })
    }

    /// The starts `[n, P]`.
    pub fn start(&self) -> ArrayView2<'_, f64> {
        self.start.view()
    }

    /// Their losses `[n]`.
    pub fn loss(&self) -> &[f64] {
        &self.normal.loss
    }

    /// The minima of the local models.
    pub fn predict(&self, bounds: &Bounds) -> Prediction {
        let (n, p) = self.start.dim();
        let mut solver = StepSolver::new(p, self.problem.barriers());
        let mut coordinates = self.start.clone();
        let mut point = Point::new(p);
        let mut trial = vec![0.0; p];
        let loss = (0..n).map(|i| {
            point.set(self.start.row(i), &self.normal, i);
            let decrease = if point.is_finite() { solver.decrement(&point, bounds, &mut trial) } else { f64::INFINITY };
            if decrease.is_finite() {
                coordinates.row_mut(i).iter_mut().zip(&trial).for_each(|(to, from)| *to = *from);
            }
            point.loss - if decrease.is_finite() { decrease } else { 0.0 }
        });
        let loss = loss.collect();
        Prediction { coordinates, loss }
    }
}

impl NormalEquations for Evaluated<'_> {
    fn n_problems(&self) -> usize {
        self.problem.n_problems()
    }

    fn n_parameters(&self) -> usize {
        self.problem.n_parameters()
    }

    /// From memory where the coordinates are those of the starts.
    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        if problems.iter().zip(coordinates.rows()).all(|(&problem, row)| row == self.start.row(problem)) {
            return Ok(Normal {
                loss: problems.iter().map(|&problem| self.normal.loss[problem]).collect(),
                gradient: self.normal.gradient.select(Axis(0), problems),
                curvature: self.normal.curvature.select(Axis(0), problems),
            });
        }
        self.problem.normal_equations(problems, coordinates)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        self.problem.loss(problems, coordinates)
    }
}

impl Problems for Evaluated<'_> {
    fn gradient(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<(Vec<f64>, Array2<f64>)> {
        self.problem.gradient(problems, coordinates)
    }

    fn hessian(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Array3<f64>> {
        self.problem.hessian(problems, coordinates)
    }

    fn evaluator(&self) -> Option<Box<dyn Evaluator + '_>> {
        let inner = self.problem.evaluator()?;
        Some(Box::new(EvaluatedEvaluator { inner, evaluated: self }))
    }

    fn barriers(&self) -> Vec<Barrier> {
        self.problem.barriers()
    }

    fn may_stop(&self, problem: usize, proposal: &Proposal<'_>) -> bool {
        self.problem.may_stop(problem, proposal)
    }
}

/// The normal equations of every problem at its row of `coordinates [n, P]`, `chunk` at a time on the threads
/// of the current rayon pool.
///
/// # Errors
/// `Usage` for a `chunk` of zero; what the evaluation returns.
pub fn evaluate_in_chunks(problem: &dyn Problems, coordinates: &Array2<f64>, chunk: usize) -> Result<Normal> {
    let (n, p) = coordinates.dim();
    let parts = in_chunks(n, chunk, |rows| {
        let Some(mut evaluator) = problem.evaluator() else {
            return problem.normal_equations(rows, coordinates.select(Axis(0), rows).view());
        };
        let mut normal = Normal::zeros(rows.len(), p);
        let mut point = Point::new(p);
        for (row, &i) in rows.iter().enumerate() {
            point.coordinates.iter_mut().zip(coordinates.row(i)).for_each(|(to, from)| *to = *from);
            evaluator.evaluate(i, &mut point);
            normal.loss[row] = point.loss;
            normal.gradient.row_mut(row).iter_mut().zip(&point.gradient).for_each(|(to, from)| *to = *from);
            let mut curvature = normal.curvature.index_axis_mut(Axis(0), row);
            curvature.iter_mut().zip(&point.curvature).for_each(|(to, from)| *to = *from);
        }
        Ok(normal)
    })?;
    let join = |error: ndarray::ShapeError| Error::numerical("normal equations of several chunks").source(error);
    if parts.is_empty() {
        return Ok(Normal::zeros(0, p));
    }
    Ok(Normal {
        loss: parts.iter().flat_map(|part| part.loss.iter().copied()).collect(),
        gradient: concatenate(Axis(0), &parts.iter().map(|part| part.gradient.view()).collect::<Vec<_>>()).map_err(join)?,
        curvature: concatenate(Axis(0), &parts.iter().map(|part| part.curvature.view()).collect::<Vec<_>>()).map_err(join)?,
    })
}

/// Remembers the starts.
struct EvaluatedEvaluator<'a> {
    inner: Box<dyn Evaluator + 'a>,
    evaluated: &'a Evaluated<'a>,
}

impl Evaluator for EvaluatedEvaluator<'_> {
    fn evaluate(&mut self, problem: usize, point: &mut Point) {
        let start = self.evaluated.start.row(problem);
        if start.iter().eq(&point.coordinates) {
            point.set(start, &self.evaluated.normal, problem);
        } else {
            self.inner.evaluate(problem, point);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_problems::Stars;
    use super::super::{LevenbergMarquardt, Subset};
    use super::*;
    use crate::optimise::Minimiser;

    #[test]
    fn searches_from_evaluated_starts_are_the_same_to_the_bit() {
        let stars = Stars::simulate(40, 3);
        let bounds = Bounds { lower: vec![-2.0; 5], upper: vec![1.0; 5] };
        let evaluated = Evaluated::new(&stars, stars.start(), &bounds, 7).unwrap();
        let method = LevenbergMarquardt::default();
        let plain = method.minimise(&stars, stars.start(), Some(&bounds)).unwrap();
        assert_eq!(method.minimise(&evaluated, evaluated.start().to_owned(), Some(&bounds)).unwrap(), plain);
        let members = [31, 4, 17];
        let start = evaluated.start().select(Axis(0), &members);
        let some = method.minimise(&Subset::new(&evaluated, &members), start, Some(&bounds)).unwrap();
        assert_eq!(some.coordinates, plain.coordinates.select(Axis(0), &members));
    }

    #[test]
    fn the_minimum_of_a_parabola_is_predicted_at_once() {
        let stars = Stars::simulate(40, 3);
        let bounds = Bounds::unbounded(5);
        let solution = LevenbergMarquardt::default().minimise(&stars, stars.start(), None).unwrap();
        let near = &solution.coordinates + 1e-3;
        let prediction = Evaluated::new(&stars, near, &bounds, 64).unwrap().predict(&bounds);
        let worst = (0..40).map(|i| (prediction.loss[i] - solution.loss[i]).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-2, "{worst}");
    }
}
