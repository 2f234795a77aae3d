//! One damped Gauss–Newton step of every problem inside a box.

use super::cholesky;
use super::{TensorNormal, choose, ones};
use crate::optimise::{Barrier, Bounds};
use crate::tensor::{Device, Mask, Precision, Tensor};

/// Diagonal elements of the curvature below this fraction of the largest one are damped as if they were that
/// large.
const DIAGONAL_FLOOR: f64 = 1e-8;

/// Damping of the undamped step whose predicted decrease measures convergence, where rounding does not ask
/// for more: below it, curvature is noise.
const RIDGE: f64 = 1e-10;

/// Solutions for the step, each without the coordinates that the one before carried across a wall of the box;
/// what the last one carries across is moved back to the wall. The host goes on until nothing crosses; to
/// know that, it would have to look at the device.
const N_SOLUTIONS: usize = 3;

/// Steps in which the pulls of several barriers are found.
const N_NEWTON_STEPS: usize = 24;

/// Points of `n` problems with the local quadratic models of their losses.
#[derive(Debug, Clone)]
pub(super) struct Points {
    /// `[n, P]`.
    pub coordinates: Tensor<2>,
    pub normal: TensorNormal,
}

impl Points {
    /// Whether loss, gradient and curvature of a problem are all finite, `[n]`.
    pub fn are_finite(&self) -> Mask<1> {
        let [n, p] = self.coordinates.dims();
        let normal = &self.normal;
        let sizes = normal.gradient.clone().abs().sum_dim(1).reshape([n])
            + normal.curvature.clone().reshape([n, p * p]).abs().sum_dim(1).reshape([n]);
        // False for NaN too.
        (normal.loss.clone().abs() + sizes).lower_elem(f32::MAX)
    }

    /// The points of `other` where the mask is set.
    pub fn replace(&mut self, mask: &Mask<1>, other: &Self) {
        self.coordinates = choose(mask, &other.coordinates, &self.coordinates);
        let (own, new) = (&mut self.normal, &other.normal);
        own.loss = choose(mask, &new.loss, &own.loss);
        own.gradient = choose(mask, &new.gradient, &own.gradient);
        own.curvature = choose(mask, &new.curvature, &own.curvature);
    }
}

/// The box of all problems, and what depends on the device's precision.
#[derive(Debug, Clone)]
pub(super) struct StepSolver {
    /// `[1, P]`.
    lower: Tensor<2>,
    upper: Tensor<2>,
    /// `[1, P, P]`.
    identity: Tensor<3>,
    walls: Vec<Wall>,
    /// 1/s of every wall `[1, K]`, and the identity `[1, K, K]`.
    inverse_scales: Tensor<2>,
    identity_of_walls: Tensor<3>,
    rounding: f64,
}

/// A [`Barrier`] and where it is.
#[derive(Debug, Clone)]
struct Wall {
    barrier: Barrier,
    /// 1 for its coordinate, `[1, P]`.
    unit: Tensor<2>,
}

impl Wall {
    /// Its component of every vector, `[n, P] → [n, 1]`.
    fn component(&self, vector: &Tensor<2>) -> Tensor<2> {
        (vector.clone() * self.unit.clone()).sum_dim(1)
    }

    /// `vector [n, P]` with another component `[n, 1]`.
    fn with_component(&self, vector: &Tensor<2>, component: Tensor<2>) -> Tensor<2> {
        let here = self.unit.clone().greater_elem(0.5).expand(vector.dims());
        vector.clone().mask_where(here, component.expand(vector.dims()))
    }

    /// Displacements of changes of coordinates, as [`Barrier::displacement`].
    fn displacement(&self, change: &Tensor<2>) -> Tensor<2> {
        let scale = self.barrier.scale;
        self.with_component(change, ((self.component(change) * scale).exp() - 1.0) / scale)
    }

    /// x over x₀ `[n, 1]`, as [`Barrier::ratio_at_minimum`].
    fn ratio_at_minimum(&self, displacement: &Tensor<2>, variance: &Tensor<2>) -> Tensor<2> {
        let scale = self.barrier.scale;
        let (ratio, square) = (displacement.clone() * scale + 1.0, variance.clone() * (8.0 * scale * scale));
        let sum = (ratio.clone() * ratio.clone() + square.clone()).sqrt() + ratio.clone().abs();
        let below = ratio.lower_elem(0.0);
        (sum.clone() * 0.5).mask_where(below, square / sum * 0.5)
    }
}

/// Steps of `n` problems.
pub(super) struct Steps {
    /// Where the steps lead, `[n, P]`.
    pub trial: Tensor<2>,
    /// Decrease of the loss that the undamped quadratic model predicts, `[n]`.
    pub predicted: Tensor<1>,
    /// Whether the damped curvature is positive-definite, `[n]`.
    pub solvable: Mask<1>,
}

impl StepSolver {
    pub fn new(bounds: &Bounds, barriers: &[Barrier], device: &Device) -> Self {
        let p = bounds.lower.len();
        let identity = |p: usize| -> Vec<f64> { (0..p * p).map(|index| f64::from(u8::from(index / p == index % p))).collect() };
        // Of one wall at least, since not every backend has tensors without elements; without walls nobody
        // asks for them.
        let k = barriers.len().max(1);
        let inverse_scales: Vec<f64> = (0..k).map(|i| barriers.get(i).map_or(1.0, |barrier| barrier.scale.recip())).collect();
        Self {
            inverse_scales: device.tensor(&inverse_scales, [1, k]),
            identity_of_walls: device.tensor(&identity(k), [1, k, k]),
            lower: device.tensor(&bounds.lower, [1, p]),
            upper: device.tensor(&bounds.upper, [1, p]),
            identity: device.tensor(&identity(p), [1, p, p]),
            walls: (barriers.iter())
                .map(|&barrier| {
                    let unit: Vec<f64> = (0..p).map(|i| f64::from(u8::from(i == barrier.position))).collect();
                    Wall { barrier, unit: device.tensor(&unit, [1, p]) }
                })
                .collect(),
            rounding: match device.precision() {
                Precision::Single => f64::from(f32::EPSILON),
                Precision::Double => f64::EPSILON,
            },
        }
    }

    /// Minimises gᵀd + ½ dᵀ(H + λD)d over displacements d with x + d in the box and |d_i| ≤ `max_step`, λ =
    /// `damping [n]`.
    ///
    /// Coordinates on a bound whose gradient points outwards do not take part; those that the step would
    /// carry across a wall stop there, and the others are solved for again. With [`Barrier`]s, d is the
    /// displacement that they mean.
    pub fn solve(&self, points: &Points, damping: &Tensor<1>, max_step: f64) -> Steps {
        let x = &points.coordinates;
        let [n, p] = x.dims();
        let (mut gradient, curvature) = (points.normal.gradient.clone(), &points.normal.curvature);
        let (mut free, scale) = (self.free(points), self.scale(points));
        let mut added = scale * damping.clone().reshape([n, 1]);
        for Wall { barrier, unit } in &self.walls {
            gradient = gradient + unit.clone() * barrier.gradient_of_data();
            added = added + unit.clone() * barrier.curvature_of_data();
        }
        let lower = (x.clone() - max_step).max_pair(self.lower.clone().expand([n, p]));
        let upper = (x.clone() + max_step).min_pair(self.upper.clone().expand([n, p]));
        // Where coordinates that have stopped are; the free ones are still at x.
        let mut stopped_at = x.clone();
        let mut trial = x.clone();
        let mut solvable = points.are_finite();
        for _ in 0..N_SOLUTIONS {
            // Rows and columns of coordinates that do not move are those of the identity.
            let moving = ones(free.clone(), x);
            let pairs = moving.clone().reshape([n, p, 1]) * moving.clone().reshape([n, 1, p]);
            let diagonal = moving.clone() * added.clone() + (moving.clone().neg() + 1.0);
            let matrix = curvature.clone() * pairs + self.identity.clone() * diagonal.reshape([n, p, 1]);
            let coupling = product(curvature, &self.displacement(&(stopped_at.clone() - x.clone())));
            let right = (gradient.clone() + coupling).neg() * moving.clone();
            let (solution, is_solvable) = self.solution(&matrix, right, &moving);
            solvable = solvable.bool_and(is_solvable);
            let target = x.clone() + solution;
            let inside = target.clone().max_pair(lower.clone()).min_pair(upper.clone());
            trial = stopped_at.clone().mask_where(free.clone(), inside.clone());
            let stops = inside.clone().not_equal(target).bool_and(free.clone());
            stopped_at = stopped_at.mask_where(stops.clone(), inside);
            free = free.bool_and(stops.bool_not());
        }
        let change = trial.clone() - x.clone();
        let displacement = self.displacement(&change);
        let slope = points.normal.gradient.clone() + product(curvature, &displacement) * 0.5;
        let mut above = (displacement.clone() * slope).sum_dim(1);
        for wall in &self.walls {
            // As `Barrier::above_parabola`, ln x being linear in the coordinate.
            let t = wall.component(&displacement) * wall.barrier.scale;
            let logarithm = wall.component(&change) * wall.barrier.scale;
            above = above + (t.clone() - logarithm) * 2.0 - t.clone() * t;
        }
        Steps { trial, predicted: above.reshape([n]).neg(), solvable }
    }

    /// Changes of the coordinates that are `moving [n, P]`, which solve `matrix [n, P, P]`, `right [n, P]`
    /// with the barriers among them; whether there is a solution, `[n]`.
    fn solution(&self, matrix: &Tensor<3>, right: Tensor<2>, moving: &Tensor<2>) -> (Tensor<2>, Mask<1>) {
        let [n, p] = right.dims();
        let mut sides = vec![right.reshape([n, p, 1])];
        sides.extend(self.walls.iter().map(|wall| wall.unit.clone().expand([n, p]).reshape([n, p, 1])));
        let solved = cholesky::solve(matrix, &Tensor::cat(sides, 2), self.rounding);
        let side = |r: usize| solved.solution.clone().slice([0..n, 0..p, r..r + 1]).reshape([n, p]);
        let mut solution = side(0);
        let responses: Vec<Tensor<2>> = (1..=self.walls.len()).map(side).collect();
        let (mut ratios, mut pulls) = (Vec::new(), Vec::new());
        for (k, wall) in self.walls.iter().enumerate() {
            let ratio = wall.ratio_at_minimum(&wall.component(&solution), &wall.component(&responses[k]));
            pulls.push(ratio.clone().recip() * (2.0 * wall.barrier.scale));
            ratios.push(ratio);
        }
        if self.walls.len() > 1 {
            let rows = |vector: &Tensor<2>| Tensor::cat(self.walls.iter().map(|wall| wall.component(vector)).collect(), 1);
            let together =
                self.joint_pulls(&rows(&solution), &responses.iter().map(rows).collect::<Vec<_>>(), Tensor::cat(pulls, 1));
            let column = |k: usize| together.clone().slice([0..n, k..k + 1]);
            pulls = (0..self.walls.len()).map(column).collect();
            ratios =
                pulls.iter().zip(&self.walls).map(|(pull, wall)| pull.clone().recip() * (2.0 * wall.barrier.scale)).collect();
        }
        for (pull, wall) in pulls.iter_mut().zip(&self.walls) {
            *pull = pull.clone() * wall.component(moving);
        }
        for (response, pull) in responses.iter().zip(&pulls) {
            solution = solution + response.clone() * pull.clone();
        }
        for (wall, ratio) in self.walls.iter().zip(ratios) {
            let change = ratio.log() / wall.barrier.scale * wall.component(moving);
            solution = wall.with_component(&solution, change);
        }
        (solution, solved.positive_definite)
    }

    /// Pulls `[n, K]` of several walls, from those that each would have alone: Newton's steps as in
    /// `pulls_at_minimum` of the host, a fixed number of them. Without the pulls the coordinates are
    /// displaced by `displacement [n, K]`; a unit pull of wall k moves them by `responses[k] [n, K]`.
    fn joint_pulls(&self, displacement: &Tensor<2>, responses: &[Tensor<2>], alone: Tensor<2>) -> Tensor<2> {
        let [n, k] = displacement.dims();
        let response = Tensor::cat(responses.iter().map(|response| response.clone().reshape([n, 1, k])).collect(), 1);
        let offset = displacement.clone() + self.inverse_scales.clone();
        let mut pulls = alone;
        for _ in 0..N_NEWTON_STEPS {
            let descent = pulls.clone().recip() * 2.0 - product(&response, &pulls) - offset.clone();
            let bend = (pulls.clone() * pulls.clone()).recip() * 2.0;
            let matrix = response.clone() + self.identity_of_walls.clone() * bend.reshape([n, k, 1]);
            let step = cholesky::solve(&matrix, &descent.reshape([n, k, 1]), self.rounding).solution.reshape([n, k]);
            // Nine tenths of the way to where the first pull would vanish, at most.
            let towards_zero = (step.clone().neg() / pulls.clone()).max_dim(1).clamp_min(1e-12);
            let length = (towards_zero.recip() * 0.9).clamp_max(1.0);
            pulls = pulls + step * length;
        }
        pulls
    }

    /// Displacements of changes of coordinates.
    fn displacement(&self, change: &Tensor<2>) -> Tensor<2> {
        self.walls.iter().fold(change.clone(), |change, wall| wall.displacement(&change))
    }

    /// Largest |g_i| / √D_i over the coordinates that may move `[n]`: the gradient in units of the
    /// conditional standard deviations.
    pub fn scaled_gradient(&self, points: &Points) -> Tensor<1> {
        let n = points.coordinates.dims()[0];
        let scaled = points.normal.gradient.clone().abs() / self.scale(points).sqrt();
        scaled.mask_fill(self.free(points).bool_not(), 0.0).max_dim(1).reshape([n])
    }

    /// Decrease of the loss that the undamped step inside the box promises `[n]`; infinite where the
    /// curvature is singular.
    pub fn decrement(&self, points: &Points) -> Tensor<1> {
        let ridge = points.normal.loss.ones_like() * RIDGE.max(8.0 * self.rounding);
        let steps = self.solve(points, &ridge, f64::INFINITY);
        steps.predicted.mask_fill(steps.solvable.bool_not(), f32::INFINITY)
    }

    /// D = diag H, floored, `[n, P]`.
    fn scale(&self, points: &Points) -> Tensor<2> {
        let [n, p] = points.coordinates.dims();
        let diagonal: Tensor<2> = (points.normal.curvature.clone() * self.identity.clone()).sum_dim(2).reshape([n, p]);
        let largest = diagonal.clone().max_dim(1);
        let none = largest.clone().lower_equal_elem(0.0);
        let floor = (largest * DIAGONAL_FLOOR).mask_fill(none, 1.0);
        diagonal.max_pair(floor.expand([n, p]))
    }

    /// Coordinates that are not held on a bound by a gradient that points outwards, `[n, P]`.
    fn free(&self, points: &Points) -> Mask<2> {
        let x = &points.coordinates;
        let gradient = &points.normal.gradient;
        let at_lower = x.clone().lower_equal(self.lower.clone().expand(x.dims()));
        let at_upper = x.clone().greater_equal(self.upper.clone().expand(x.dims()));
        let below = at_lower.bool_and(gradient.clone().greater_equal_elem(0.0));
        let above = at_upper.bool_and(gradient.clone().lower_equal_elem(0.0));
        below.bool_or(above).bool_not()
    }
}

/// Matrix times vector for every problem, `[n, P, P]·[n, P] → [n, P]`.
fn product(matrix: &Tensor<3>, vector: &Tensor<2>) -> Tensor<2> {
    let [n, p] = vector.dims();
    (matrix.clone() * vector.clone().reshape([n, 1, p])).sum_dim(2).reshape([n, p])
}
