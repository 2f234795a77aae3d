//! One damped Gauss–Newton step of one problem inside a box.

use super::dense::{cholesky_in_place, cholesky_solve_in_place};
use super::walls::Walls;
use super::{Barrier, Bounds, Normal};
use ndarray::{ArrayView1, Axis};

/// Diagonal elements of the curvature below this fraction of the largest one are damped as if they were that
/// large.
const DIAGONAL_FLOOR: f64 = 1e-8;

/// Damping of the undamped step whose predicted decrease measures convergence: below it, curvature is
/// rounding noise.
const RIDGE: f64 = 1e-10;

/// A point of one problem with the local quadratic model of its loss.
#[derive(Debug, Clone)]
pub struct Point {
    pub coordinates: Vec<f64>,
    pub loss: f64,
    pub gradient: Vec<f64>,
    /// Row-major `[P, P]`.
    pub curvature: Vec<f64>,
}

impl Point {
    /// A point whose numbers are still to be filled in.
    pub fn new(n_parameters: usize) -> Self {
        Self {
            coordinates: vec![0.0; n_parameters],
            loss: f64::NAN,
            gradient: vec![0.0; n_parameters],
            curvature: vec![0.0; n_parameters * n_parameters],
        }
    }

    /// Row `row` of the normal equations at these coordinates.
    pub(super) fn set(&mut self, coordinates: ArrayView1<'_, f64>, normal: &Normal, row: usize) {
        let copy =
            |from: &mut dyn Iterator<Item = &f64>, to: &mut [f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        self.loss = normal.loss[row];
        copy(&mut coordinates.iter(), &mut self.coordinates);
        copy(&mut normal.gradient.row(row).iter(), &mut self.gradient);
        copy(&mut normal.curvature.index_axis(Axis(0), row).iter(), &mut self.curvature);
    }

    /// Whether loss, gradient and curvature are all finite.
    pub(super) fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.gradient.iter().chain(&self.curvature).all(|element| element.is_finite())
    }
}

/// Working memory of the step of one problem, reused for all.
#[derive(Debug)]
pub(super) struct StepSolver {
    barriers: Vec<Barrier>,
    free: Vec<usize>,
    scale: Vec<f64>,
    matrix: Vec<f64>,
    solution: Vec<f64>,
    /// A⁻¹e of the coordinates with barriers, one after the other.
    response: Vec<f64>,
    walls: Walls,
    displacement: Vec<f64>,
}

impl StepSolver {
    /// Of problems with so many coordinates, some of which may have `barriers`.
    pub fn new(n_parameters: usize, barriers: Vec<Barrier>) -> Self {
        Self {
            free: Vec::with_capacity(n_parameters),
            scale: vec![0.0; n_parameters],
            matrix: vec![0.0; n_parameters * n_parameters],
            solution: vec![0.0; n_parameters],
            response: vec![0.0; n_parameters * barriers.len()],
            walls: Walls::default(),
            barriers,
            displacement: vec![0.0; n_parameters],
        }
    }

    /// Minimises gᵀd + ½ dᵀ(H + `damping` D)d over the displacement d with `trial` = x + d in the bounds
    /// and |d_i| ≤ `max_step`, D = diag H (floored; Marquardt's scaling), and returns the decrease −gᵀd − ½
    /// dᵀHd that the undamped model predicts. With [`Barrier`]s, d is the displacement that they mean, and
    /// the model what they say.
    ///
    /// Coordinates on a bound whose gradient points outwards do not take part; those that the step would
    /// carry across a bound or beyond `max_step` stop there, and the others are solved for again. (Shortening
    /// the whole displacement instead would let one coordinate without information, such as ln E near E = 0,
    /// hold up all others.) `None` where the damped curvature is not positive-definite.
    pub fn solve(&mut self, point: &Point, bounds: &Bounds, damping: f64, max_step: f64, trial: &mut [f64]) -> Option<f64> {
        // With the order known to the compiler, the loops become straight code; they are written for one
        // barrier at most.
        let order = if self.barriers.len() > 1 { 0 } else { trial.len() };
        match order {
            4 => self.solve_free::<4>(point, bounds, damping, max_step, trial),
            5 => self.solve_free::<5>(point, bounds, damping, max_step, trial),
            6 => self.solve_free::<6>(point, bounds, damping, max_step, trial),
            _ => None,
        }
        .unwrap_or_else(|| self.solve_in_box(point, bounds, damping, max_step, trial))
    }

    /// [`Self::solve`] where no bound and no limit of the step is met; `None` where one is.
    fn solve_free<const P: usize>(
        &mut self,
        point: &Point,
        bounds: &Bounds,
        damping: f64,
        max_step: f64,
        trial: &mut [f64],
    ) -> Option<Option<f64>> {
        let (x, g) = (point.coordinates.first_chunk::<P>()?, point.gradient.first_chunk::<P>()?);
        let (lower, upper) = (bounds.lower.first_chunk::<P>()?, bounds.upper.first_chunk::<P>()?);
        let curvature = point.curvature.get(..P * P)?;
        let mut largest = 0.0_f64;
        for i in 0..P {
            if x[i] <= lower[i] || x[i] >= upper[i] {
                return None;
            }
            largest = largest.max(curvature[i * P + i]);
        }
        let floor = if largest > 0.0 { DIAGONAL_FLOOR * largest } else { 1.0 };
        let scale: [f64; P] = std::array::from_fn(|i| curvature[i * P + i].max(floor));
        let mut damped: [f64; P] = std::array::from_fn(|i| curvature[i * P + i] + damping * scale[i]);
        let mut slope = *g;
        if let Some(&barrier) = self.barriers.first() {
            *damped.get_mut(barrier.position)? += barrier.curvature_of_data();
            slope[barrier.position] += barrier.gradient_of_data();
        }
        // LDLᵀ: `factor` is L below the diagonal, `scaled` LD.
        let (mut factor, mut scaled, mut inverse) = ([[0.0; P]; P], [[0.0; P]; P], [0.0; P]);
        for i in 0..P {
            for j in 0..i {
                let mut sum = curvature[i * P + j];
                for k in 0..j {
                    sum -= scaled[i][k] * factor[j][k];
                }
                scaled[i][j] = sum;
                factor[i][j] = sum * inverse[j];
            }
            let mut pivot = damped[i];
            for k in 0..i {
                pivot -= scaled[i][k] * factor[i][k];
            }
            // A pivot lost in the rounding of its own diagonal element means a numerically singular matrix.
            if !(pivot > f64::EPSILON * damped[i].abs() && pivot.is_finite()) {
                return Some(None);
            }
            inverse[i] = 1.0 / pivot;
        }
        let mut step = substituted(&factor, &inverse, slope.map(|slope| -slope));
        let mut change = step;
        let mut predicted = 0.0;
        if let Some(&barrier) = self.barriers.first() {
            let k = barrier.position;
            let mut response = [0.0; P];
            response[k] = 1.0;
            let response = substituted(&factor, &inverse, response);
            let ratio = barrier.ratio_at_minimum(step[k], response[k]);
            let pull = barrier.pull(ratio);
            for i in 0..P {
                step[i] += pull * response[i];
            }
            change = step;
            (step[k], change[k]) = barrier.step_to(ratio);
            predicted = 2.0 * barrier.scale * change[k] - 0.5 * pull * step[k];
        }
        for i in 0..P {
            let target = x[i] + change[i];
            if target < lower[i].max(x[i] - max_step) || target > upper[i].min(x[i] + max_step) || target.is_nan() {
                return None;
            }
            trial[i] = target;
            // With (H + λD) d = −g: −gᵀd − ½ dᵀHd = −½ gᵀd + ½ λ dᵀDd.
            predicted += 0.5 * step[i] * (damping * scale[i] * step[i] - slope[i]);
        }
        Some(Some(predicted))
    }

    /// [`Self::solve`] for any number of coordinates and any bounds that are met.
    fn solve_in_box(&mut self, point: &Point, bounds: &Bounds, damping: f64, max_step: f64, trial: &mut [f64]) -> Option<f64> {
        let p = trial.len();
        let x = &point.coordinates;
        self.prepare(point, bounds);
        self.displacement.fill(0.0);
        trial.copy_from_slice(x);
        loop {
            let m = self.free.len();
            for (row, &i) in self.free.iter().enumerate() {
                for (column, &j) in self.free[..=row].iter().enumerate() {
                    self.matrix[row * m + column] = point.curvature[i * p + j];
                }
                self.matrix[row * m + row] += damping * self.scale[i];
                // Free coordinates still have zero displacement here, so only the ones stopped on a bound
                // enter.
                let coupling: f64 = (0..p).map(|j| point.curvature[i * p + j] * self.displacement[j]).sum();
                self.solution[row] = -point.gradient[i] - coupling;
            }
            self.walls.clear();
            for &barrier in &self.barriers {
                if let Some(row) = self.free.iter().position(|&free| free == barrier.position) {
                    self.matrix[row * m + row] += barrier.curvature_of_data();
                    self.solution[row] -= barrier.gradient_of_data();
                    self.walls.push(barrier, row);
                }
            }
            if !cholesky_in_place(&mut self.matrix[..m * m], m) {
                return None;
            }
            cholesky_solve_in_place(&self.matrix[..m * m], m, &mut self.solution[..m]);
            self.walls.solve(&self.matrix[..m * m], &mut self.solution[..m], &mut self.response);
            let mut n_free = 0;
            for row in 0..m {
                let i = self.free[row];
                let lower = bounds.lower[i].max(x[i] - max_step);
                let upper = bounds.upper[i].min(x[i] + max_step);
                let barrier = self.walls.of_row(row);
                let target = x[i] + barrier.map_or(self.solution[row], |(_, change)| change);
                trial[i] = target;
                if target < lower || target > upper {
                    trial[i] = target.clamp(lower, upper);
                    let change = trial[i] - x[i];
                    self.displacement[i] = barrier.map_or(change, |(barrier, _)| barrier.displacement(change));
                } else {
                    self.solution[n_free] = self.solution[row];
                    self.free[n_free] = i;
                    n_free += 1;
                }
            }
            self.free.truncate(n_free);
            if n_free == m {
                break;
            }
        }
        for (row, &i) in self.free.iter().enumerate() {
            self.displacement[i] = self.solution[row];
        }
        Some(self.predicted_decrease(point, trial))
    }

    /// Largest |g_i| / √D_i over the coordinates that may move: the gradient in units of the conditional
    /// standard deviations.
    pub fn scaled_gradient(&mut self, point: &Point, bounds: &Bounds) -> f64 {
        self.prepare(point, bounds);
        self.free.iter().map(|&i| point.gradient[i].abs() / self.scale[i].sqrt()).fold(0.0, f64::max)
    }

    /// Decrease of the loss that the undamped step inside the box promises (half the squared Newton decrement
    /// where no bound is met); infinite where the curvature is singular.
    pub fn decrement(&mut self, point: &Point, bounds: &Bounds, trial: &mut [f64]) -> f64 {
        self.solve(point, bounds, RIDGE, f64::INFINITY, trial).filter(|decrease| decrease.is_finite()).unwrap_or(f64::INFINITY)
    }

    /// Sets the scale D and the list of coordinates that may move.
    fn prepare(&mut self, point: &Point, bounds: &Bounds) {
        let p = point.coordinates.len();
        let largest = (0..p).map(|i| point.curvature[i * p + i]).fold(0.0, f64::max);
        let floor = if largest > 0.0 { DIAGONAL_FLOOR * largest } else { 1.0 };
        self.free.clear();
        for i in 0..p {
            self.scale[i] = point.curvature[i * p + i].max(floor);
            let (x, gradient) = (point.coordinates[i], point.gradient[i]);
            let blocked_below = x <= bounds.lower[i] && gradient >= 0.0;
            let blocked_above = x >= bounds.upper[i] && gradient <= 0.0;
            if !blocked_below && !blocked_above {
                self.free.push(i);
            }
        }
    }

    fn predicted_decrease(&self, point: &Point, trial: &[f64]) -> f64 {
        let p = point.coordinates.len();
        let mut decrease = 0.0;
        for barrier in &self.barriers {
            let k = barrier.position;
            decrease -= barrier.above_parabola(self.displacement[k], trial[k] - point.coordinates[k]);
        }
        for i in 0..p {
            let curved: f64 = (0..p).map(|j| point.curvature[i * p + j] * self.displacement[j]).sum();
            decrease -= self.displacement[i] * (point.gradient[i] + 0.5 * curved);
        }
        decrease
    }
}

/// Solution of L D Lᵀ x = `right`, with L below the diagonal of `factor` and D⁻¹ = `inverse`.
#[inline(always)]
fn substituted<const P: usize>(factor: &[[f64; P]; P], inverse: &[f64; P], right: [f64; P]) -> [f64; P] {
    let mut x = right;
    for i in 0..P {
        for j in 0..i {
            x[i] -= factor[i][j] * x[j];
        }
    }
    for i in (0..P).rev() {
        x[i] *= inverse[i];
        for j in i + 1..P {
            x[i] -= factor[j][i] * x[j];
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(coordinates: [f64; 2], gradient: [f64; 2], curvature: [f64; 4]) -> Point {
        Point { coordinates: coordinates.into(), loss: 0.0, gradient: gradient.into(), curvature: curvature.into() }
    }

    #[test]
    fn undamped_step_reaches_the_minimum_of_a_parabola_and_predicts_its_depth() {
        let mut trial = [0.0; 2];
        // (x − 1)² + (y − 2)² + (x − 1)(y − 2) from the origin: value there 1 + 4 + 2.
        let point = point([0.0, 0.0], [-4.0, -5.0], [2.0, 1.0, 1.0, 2.0]);
        let decrease = StepSolver::new(2, Vec::new()).solve(&point, &Bounds::unbounded(2), 0.0, 10.0, &mut trial).unwrap();
        assert!((trial[0] - 1.0).abs() < 1e-14 && (trial[1] - 2.0).abs() < 1e-14);
        assert!((decrease - 7.0).abs() < 1e-13);
    }

    #[test]
    fn a_coordinate_stopped_on_a_bound_moves_the_others_to_their_conditional_minimum() {
        let mut trial = [0.0; 2];
        let point = point([0.0, 0.0], [-4.0, -5.0], [2.0, 1.0, 1.0, 2.0]);
        let bounds = Bounds { lower: vec![-1.0; 2], upper: vec![5.0, 1.5] };
        StepSolver::new(2, Vec::new()).solve(&point, &bounds, 0.0, 10.0, &mut trial).unwrap();
        // With y = 1.5: 2(x − 1) + (y − 2) = 0.
        assert_eq!(trial[1], 1.5);
        assert!((trial[0] - 1.25).abs() < 1e-14);
    }

    #[test]
    fn blocked_coordinates_leave_the_gradient_test_and_long_steps_are_cut() {
        let mut solver = StepSolver::new(2, Vec::new());
        let point = point([0.0, 0.0], [8.0, -0.5], [4.0, 0.0, 0.0, 1.0]);
        let bounds = Bounds { lower: vec![0.0; 2], upper: vec![9.0; 2] };
        assert_eq!(solver.scaled_gradient(&point, &bounds), 0.5);
        let mut trial = [0.0; 2];
        solver.solve(&point, &bounds, 0.0, 0.1, &mut trial).unwrap();
        assert_eq!(trial, [0.0, 0.1]);
        let singular = self::point([0.0, 0.0], [1.0, 1.0], [1.0, 2.0, 2.0, 1.0]);
        assert!(solver.solve(&singular, &Bounds::unbounded(2), 0.0, 1.0, &mut trial).is_none());
    }

    /// Four coordinates have a way of their own where no wall is met.
    #[test]
    fn the_short_way_is_the_long_one() {
        let root = [[2.0, 0.3, -0.1, 0.4], [0.0, 1.5, 0.2, -0.3], [0.0, 0.0, 0.7, 0.6], [0.0, 0.0, 0.0, 1.1]];
        let product = |i: usize, j: usize| (0..4).map(|k| root[k][i] * root[k][j]).sum::<f64>();
        let point = Point {
            coordinates: vec![0.1, -0.2, 0.3, 0.0],
            loss: 0.0,
            gradient: vec![0.5, -0.7, 0.2, 0.1],
            curvature: (0..16).map(|ij| product(ij / 4, ij % 4) + if ij == 10 { 1.28 } else { 0.0 }).collect(),
        };
        let bounds = Bounds { lower: vec![-5.0; 4], upper: vec![5.0; 4] };
        let barriers = [None, Some(Barrier { position: 2, scale: 0.8 })];
        for (damping, barrier) in [0.0, 1e-4, 3.0].into_iter().flat_map(|damping| barriers.map(|barrier| (damping, barrier))) {
            let (mut short, mut long) = ([0.0; 4], [0.0; 4]);
            let mut solver = StepSolver::new(4, barrier.into_iter().collect());
            let predicted = solver.solve_free::<4>(&point, &bounds, damping, 9.0, &mut short).unwrap().unwrap();
            let expected = solver.solve_in_box(&point, &bounds, damping, 9.0, &mut long).unwrap();
            assert!((predicted / expected - 1.0).abs() < 1e-12, "{predicted} {expected}");
            assert!(short.iter().zip(long).all(|(short, long)| (short - long).abs() < 1e-13));
        }
        let mut trial = [0.0; 4];
        assert!(StepSolver::new(4, Vec::new()).solve_free::<4>(&point, &bounds, 0.0, 1e-3, &mut trial).is_none(), "too long");
        assert_eq!(
            StepSolver::new(4, Vec::new()).solve_free::<4>(
                &Point { curvature: vec![0.0; 16], ..point },
                &bounds,
                0.0,
                9.0,
                &mut trial
            ),
            Some(None)
        );
    }

    /// A loss gᵀy + ½ yᵀHy − 2 ln x with y = (.., x, ..) − centre: a parabola in x and the others.
    struct Dusty {
        scale: f64,
        centre: [f64; 3],
        root: [[f64; 3]; 3],
    }

    impl Dusty {
        fn new(scale: f64) -> Self {
            Self { scale, centre: [0.4, 0.05, -0.3], root: [[2.0, 9.0, -0.4], [0.0, 30.0, 4.0], [0.0, 0.0, 1.5]] }
        }

        /// Values of the parameters at coordinates: the second one is exp(s u).
        fn values(&self, u: &[f64]) -> [f64; 3] {
            [u[0], (self.scale * u[1]).exp(), u[2]]
        }

        fn residuals(&self, u: &[f64]) -> [f64; 3] {
            let x = self.values(u);
            self.root.map(|row| (0..3).map(|j| row[j] * (x[j] - self.centre[j])).sum())
        }

        fn loss(&self, u: &[f64]) -> f64 {
            self.residuals(u).iter().map(|r| r * r).sum::<f64>() - 2.0 * self.scale * u[1]
        }

        fn point(&self, u: [f64; 3]) -> Point {
            let slope = [1.0, self.scale * self.values(&u)[1], 1.0];
            let column = |j: usize| self.root.map(|row| row[j] * slope[j]);
            let residuals = self.residuals(&u);
            let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let mut gradient: Vec<f64> = (0..3).map(|j| 2.0 * dot(column(j), residuals)).collect();
            let mut curvature: Vec<f64> = (0..9).map(|ij| 2.0 * dot(column(ij / 3), column(ij % 3))).collect();
            gradient[1] -= 2.0 * self.scale;
            curvature[4] += 2.0 * self.scale * self.scale;
            Point { coordinates: u.to_vec(), loss: self.loss(&u), gradient, curvature }
        }
    }

    #[test]
    fn with_a_barrier_one_step_leads_to_the_optimum_and_its_decrease_is_exact() {
        for scale in [1.0, 0.3] {
            let dusty = Dusty::new(scale);
            let mut solver = StepSolver::new(3, vec![Barrier { position: 1, scale }]);
            let mut optimum = [0.0; 3];
            let start = dusty.point([0.0, -1.0 / scale, 0.5]);
            let decrease = solver.solve(&start, &Bounds::unbounded(3), 0.0, f64::INFINITY, &mut optimum).unwrap();
            assert!((decrease - (start.loss - dusty.loss(&optimum))).abs() < 1e-9 * decrease);
            assert!(dusty.point(optimum).gradient.iter().all(|gradient| gradient.abs() < 1e-9), "{optimum:?}");
            // From elsewhere to the same place.
            let mut again = [0.0; 3];
            solver.solve(&dusty.point([3.0, -9.0 / scale, -2.0]), &Bounds::unbounded(3), 0.0, f64::INFINITY, &mut again).unwrap();
            assert!(again.iter().zip(optimum).all(|(a, b)| (a - b).abs() < 1e-7), "{again:?} {optimum:?}");
        }
    }

    /// The promised decrease is that of the loss wherever a step stops, since the loss is what the model says
    /// it is.
    #[test]
    fn a_barrier_stopped_at_walls_promises_what_comes_true() {
        let scale = 0.7;
        let dusty = Dusty::new(scale);
        let mut solver = StepSolver::new(3, vec![Barrier { position: 1, scale }]);
        let (infinite, u) = (f64::INFINITY, -2.0 / scale);
        let boxes = [
            // Above, below and at the barrier's coordinate, another one stopped, a short step, and all of it.
            ([-infinite, u - 0.1, -infinite], [infinite; 3], infinite),
            ([-infinite; 3], [infinite, u + 0.1, infinite], infinite),
            ([-infinite, u, -infinite], [infinite; 3], infinite),
            ([-infinite; 3], [infinite, u, infinite], infinite),
            ([-0.01; 3].map(|x: f64| x - 5.0), [0.01, infinite, infinite], infinite),
            ([-infinite; 3], [infinite; 3], 0.05),
        ];
        for (lower, upper, max_step) in boxes {
            let bounds = Bounds { lower: lower.to_vec(), upper: upper.to_vec() };
            for damping in [0.0, 0.1] {
                let start = dusty.point([0.0, u, 0.5]);
                let mut trial = [0.0; 3];
                let decrease = solver.solve(&start, &bounds, damping, max_step, &mut trial).unwrap();
                let inside = (0..3).all(|i| trial[i] >= lower[i] && trial[i] <= upper[i]);
                assert!(inside && (0..3).all(|i| (trial[i] - start.coordinates[i]).abs() <= max_step * 1.0001), "{trial:?}");
                let came_true = start.loss - dusty.loss(&trial);
                assert!(decrease > 0.0 && (decrease - came_true).abs() < 1e-9 * (1.0 + decrease), "{decrease} {came_true}");
            }
        }
    }
}
