//! Levenberg–Marquardt for all problems of a batch at once.

use super::step::{Points, StepSolver};
use super::{TensorNormal, TensorProblem, choose, ones};
use crate::error::Result;
use crate::optimise::levenberg_marquardt::LevenbergMarquardt;
use crate::optimise::walker::{HOPELESS, MEASURABLE_APPROACH};
use crate::optimise::{Bounds, Solution, Status, prepare};
use crate::tensor::{Device, Indices, Mask, Tensor, to_f64};
use ndarray::{Array2, Array3};

/// Iterations between two looks at which problems have ended.
const COMPACTION_INTERVAL: usize = 4;

/// Ended problems are taken out of the batch when they are at least this fraction of it.
const WORTH_COMPACTING: f64 = 0.25;

/// How problems end, as numbers on the device; 0 is a problem on its way.
const STATUSES: [Status; 4] = [Status::Converged, Status::Stalled, Status::IterationLimit, Status::Failed];

impl LevenbergMarquardt {
    /// Minimises every problem of a batch on its device from its row of `start [n, P]` (moved into the bounds
    /// first).
    ///
    /// The start is the only upload and the solution the only download, apart from the statuses every few
    /// iterations. A problem's path depends on its own numbers; its bits may depend on the batch where the
    /// device's matrix products do.
    ///
    /// # Errors
    /// `Usage` for impossible settings, bounds or shapes; what the problem's evaluation returns.
    pub fn minimise_on_device<P: TensorProblem>(
        &self,
        problem: &P,
        start: Array2<f64>,
        bounds: Option<&Bounds>,
    ) -> Result<Solution> {
        let settings = &self.for_problems(problem.n_parameters(), &problem.barriers())?;
        let device = problem.device();
        // Bounds that the device can represent: a coordinate on one compares equal to it.
        let rounded = bounds.map(|bounds| Bounds { lower: device.rounded(&bounds.lower), upper: device.rounded(&bounds.upper) });
        let (start, bounds) = prepare((problem.n_problems(), problem.n_parameters()), start, rounded.as_ref())?;
        let (n, p) = start.dim();
        let mut ended = Ended::default();
        if n > 0 {
            let flat: Vec<f64> = start.iter().copied().collect();
            let coordinates = device.tensor(&flat, [n, p]);
            let normal = problem.normal_equations(coordinates.clone())?;
            let solver = StepSolver::new(&bounds, &problem.barriers(), device);
            let mut walkers = Walkers::new(settings, &solver, Points { coordinates, normal });
            let mut members: Vec<usize> = (0..n).collect();
            let mut compacted: Option<P> = None;
            while !members.is_empty() {
                for _ in 0..COMPACTION_INTERVAL {
                    walkers.iterate(settings, &solver, compacted.as_ref().unwrap_or(problem))?;
                }
                if let Some(active) = ended.take_from(&mut walkers, &mut members, device) {
                    compacted = Some(compacted.as_ref().unwrap_or(problem).select(&active));
                }
            }
        }
        Ok(ended.collect(n, p, &bounds))
    }
}

/// `n` problems on their way; every tensor has one row a problem.
struct Walkers {
    points: Points,
    damping: Tensor<1>,
    /// Factor on λ at the next rejection.
    growth: Tensor<1>,
    /// Decrease that the undamped step from the point promises.
    decrement: Tensor<1>,
    n_iterations: Tensor<1>,
    /// 0 on the way, otherwise one more than the position in [`STATUSES`].
    status: Tensor<1>,
}

impl Walkers {
    /// Takes the evaluated start as the first point.
    fn new(settings: &LevenbergMarquardt, solver: &StepSolver, points: Points) -> Self {
        let zeros = points.normal.loss.zeros_like();
        let mut walkers = Self {
            damping: zeros.clone() + settings.initial_damping,
            growth: zeros.clone() + settings.damping_increase,
            decrement: solver.decrement(&points),
            n_iterations: zeros.clone(),
            status: zeros,
            points,
        };
        let undefined = walkers.points.are_finite().bool_not();
        walkers.end(undefined, Status::Failed);
        walkers
    }

    /// One step of every problem that is on its way.
    fn iterate<P: TensorProblem>(&mut self, settings: &LevenbergMarquardt, solver: &StepSolver, problem: &P) -> Result<()> {
        let converged = self.decrement.clone().lower_equal_elem(settings.decrease_tolerance);
        let level = solver.scaled_gradient(&self.points).lower_equal_elem(settings.gradient_tolerance);
        self.end(converged.bool_and(level), Status::Converged);
        self.end(self.n_iterations.clone().greater_equal_elem(settings.max_iterations), Status::IterationLimit);
        self.give_up(self.damping.clone().greater_elem(settings.maximum_damping), settings);

        let steps = solver.solve(&self.points, &self.damping, settings.max_step);
        let proposed = self.active().bool_and(steps.solvable).bool_and(steps.predicted.clone().greater_elem(0.0));
        self.n_iterations = self.n_iterations.clone() + ones(proposed.clone(), &self.n_iterations);
        let coordinates = choose(&proposed, &steps.trial, &self.points.coordinates);
        let normal = problem.normal_equations(coordinates.clone())?;
        self.judge(settings, solver, Points { coordinates, normal }, steps.predicted, proposed);
        Ok(())
    }

    /// Accepts or rejects the evaluated trial points of the problems that have one.
    fn judge(
        &mut self,
        settings: &LevenbergMarquardt,
        solver: &StepSolver,
        trials: Points,
        predicted: Tensor<1>,
        proposed: Mask<1>,
    ) {
        let active = self.active();
        let defined = proposed.bool_and(trials.are_finite());
        let loss = self.points.normal.loss.clone();
        let actual = loss.clone() - trials.normal.loss.clone();
        let gain = actual.clone() / predicted.clone();
        let decrement = solver.decrement(&trials);
        let gained = defined.clone().bool_and(gain.clone().greater_equal_elem(settings.minimum_gain));
        let noise = (loss.abs() + 1.0) * settings.loss_precision;
        let worse = predicted.clone().greater(noise.clone()).bool_or(actual.lower(noise.clone().neg()));
        // The losses cannot be told apart: go on as long as the gradient, which is far less noisy, says that
        // the optimum is nearer.
        let undecided = defined.bool_and(gained.clone().bool_not()).bool_and(worse.bool_not());
        let nearer = undecided.clone().bool_and(decrement.clone().lower_equal(self.decrement.clone() * MEASURABLE_APPROACH));
        // A shorter step may still be one that helps.
        let more_to_gain = self.decrement.clone().greater(self.negligible(settings));
        let shorter = more_to_gain.bool_and(predicted.greater(noise * HOPELESS));
        let hopeless = undecided.bool_and(nearer.clone().bool_not()).bool_and(shorter.bool_not());

        let accepted = gained.clone().bool_or(nearer);
        let rejected = active.bool_and(accepted.clone().bool_not()).bool_and(hopeless.clone().bool_not());
        // Nielsen's smooth rule: λ grows for gains below one half and shrinks above.
        let bend = gain * 2.0 - 1.0;
        let factor = ((bend.clone() * bend.clone() * bend).neg() + 1.0).clamp_min(settings.damping_decrease);
        let factor = factor.mask_fill(gained.bool_not(), settings.damping_decrease);
        let lowered = (self.damping.clone() * factor).clamp_min(settings.minimum_damping);
        let raised = choose(&rejected, &(self.damping.clone() * self.growth.clone()), &self.damping);
        self.damping = choose(&accepted, &lowered, &raised);
        let doubled = choose(&rejected, &(self.growth.clone() * 2.0), &self.growth);
        self.growth = doubled.mask_fill(accepted.clone(), settings.damping_increase);
        self.give_up(hopeless, settings);
        self.decrement = choose(&accepted, &decrement, &self.decrement);
        self.points.replace(&accepted, &trials);
    }

    /// Problems on their way.
    fn active(&self) -> Mask<1> {
        self.status.clone().lower_elem(0.5)
    }

    /// Predicted decrease below which a problem that cannot go on counts as converged.
    fn negligible(&self, settings: &LevenbergMarquardt) -> Tensor<1> {
        let noise = (self.points.normal.loss.clone().abs() + 1.0) * settings.loss_precision;
        noise.clamp_min(settings.decrease_tolerance)
    }

    /// Ends the problems of the mask that are on their way.
    fn end(&mut self, mask: Mask<1>, status: Status) {
        let code = STATUSES.iter().position(|other| *other == status).map_or(0, |position| position + 1);
        self.status = self.status.clone().mask_fill(mask.bool_and(self.active()), code as f64);
    }

    /// Ends problems that no step helps any more: converged where what is left to gain is below the noise of
    /// the loss.
    fn give_up(&mut self, mask: Mask<1>, settings: &LevenbergMarquardt) {
        let negligible = self.decrement.clone().lower_equal(self.negligible(settings));
        self.end(mask.clone().bool_and(negligible), Status::Converged);
        self.end(mask, Status::Stalled);
    }

    fn select(&self, rows: &Indices) -> Self {
        let numbers = |tensor: &Tensor<1>| tensor.clone().select(0, rows.clone());
        let normal = &self.points.normal;
        Self {
            points: Points {
                coordinates: self.points.coordinates.clone().select(0, rows.clone()),
                normal: TensorNormal {
                    loss: numbers(&normal.loss),
                    gradient: normal.gradient.clone().select(0, rows.clone()),
                    curvature: normal.curvature.clone().select(0, rows.clone()),
                },
            },
            damping: numbers(&self.damping),
            growth: numbers(&self.growth),
            decrement: numbers(&self.decrement),
            n_iterations: numbers(&self.n_iterations),
            status: numbers(&self.status),
        }
    }

    /// Coordinates, loss, status and number of iterations side by side, `[n, P + 3]`.
    fn results(&self) -> Tensor<2> {
        let column = |tensor: &Tensor<1>| tensor.clone().unsqueeze_dim(1);
        let (loss, status, n_iterations) = (column(&self.points.normal.loss), column(&self.status), column(&self.n_iterations));
        Tensor::cat(vec![self.points.coordinates.clone(), loss, status, n_iterations], 1)
    }
}

/// Problems that have ended, still on the device.
#[derive(Default)]
struct Ended {
    problems: Vec<usize>,
    results: Vec<Tensor<2>>,
}

impl Ended {
    /// Takes the ended problems out of `walkers`, whose numbers in the batch are `members`, if there are
    /// enough of them; returns the positions of those that stay, if any were taken and any stay.
    fn take_from(&mut self, walkers: &mut Walkers, members: &mut Vec<usize>, device: &Device) -> Option<Indices> {
        let status = to_f64(walkers.status.clone());
        let (stay, leave): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(|&i| status[i] < 0.5);
        if !stay.is_empty() && (leave.len() as f64) < WORTH_COMPACTING * members.len() as f64 {
            return None;
        }
        self.problems.extend(leave.iter().map(|&i| members[i]));
        if stay.is_empty() {
            self.results.push(walkers.results());
            members.clear();
            return None;
        }
        self.results.push(walkers.results().select(0, device.indices(&leave)));
        *members = stay.iter().map(|&i| members[i]).collect();
        let stay = device.indices(&stay);
        *walkers = walkers.select(&stay);
        Some(stay)
    }

    /// The solution of all `n` problems: one download.
    fn collect(self, n: usize, p: usize, bounds: &Bounds) -> Solution {
        let mut solution = Solution {
            coordinates: Array2::zeros((n, p)),
            gradient: Array2::zeros((0, p)),
            curvature: Array3::zeros((0, p, p)),
            loss: vec![f64::NAN; n],
            status: vec![Status::Failed; n],
            n_iterations: vec![0; n],
        };
        if self.results.is_empty() {
            return solution;
        }
        let results = to_f64(Tensor::cat(self.results, 0));
        for (row, &problem) in results.chunks_exact(p + 3).zip(&self.problems) {
            let (coordinates, rest) = row.split_at(p);
            solution.coordinates.row_mut(problem).iter_mut().zip(coordinates).for_each(|(to, from)| *to = *from);
            solution.loss[problem] = rest[0];
            solution.status[problem] = match STATUSES[rest[1] as usize - 1] {
                Status::Converged if bounds.touched_by(coordinates) => Status::AtBound,
                status => status,
            };
            solution.n_iterations[problem] = rest[2] as u32;
        }
        solution
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimise::Minimiser;
    use crate::optimise::test_problems::{Function, Stars, rosenbrock, sum_of_squares};
    use crate::optimise::{Barrier, Problems};
    use crate::tensor::Precision;
    use ndarray::array;

    /// Problems of the host behind the interface of a device.
    struct Uploaded<'a, P> {
        problem: &'a P,
        members: Vec<usize>,
        device: Device,
    }

    impl<'a, P: Problems> Uploaded<'a, P> {
        fn new(problem: &'a P) -> Self {
            let device = Device::cpu().with_precision(Precision::Double);
            Self { problem, members: (0..problem.n_problems()).collect(), device }
        }
    }

    impl<P: Problems> TensorProblem for Uploaded<'_, P> {
        fn device(&self) -> &Device {
            &self.device
        }

        fn n_problems(&self) -> usize {
            self.members.len()
        }

        fn n_parameters(&self) -> usize {
            self.problem.n_parameters()
        }

        fn barriers(&self) -> Vec<Barrier> {
            self.problem.barriers()
        }

        fn normal_equations(&self, coordinates: Tensor<2>) -> Result<TensorNormal> {
            let [n, p] = coordinates.dims();
            let coordinates = Array2::from_shape_vec((n, p), to_f64(coordinates)).unwrap();
            let normal = self.problem.normal_equations(&self.members, coordinates.view())?;
            let flat = |values: &mut dyn Iterator<Item = &f64>| values.copied().collect::<Vec<f64>>();
            Ok(TensorNormal {
                loss: self.device.tensor(&normal.loss, [n]),
                gradient: self.device.tensor(&flat(&mut normal.gradient.iter()), [n, p]),
                curvature: self.device.tensor(&flat(&mut normal.curvature.iter()), [n, p, p]),
            })
        }

        fn select(&self, problems: &Indices) -> Self {
            let positions: Vec<i64> = problems.clone().into_data().iter::<i64>().collect();
            let members = positions.iter().map(|&position| self.members[position as usize]).collect();
            Self { problem: self.problem, members, device: self.device.clone() }
        }
    }

    #[test]
    fn paths_are_those_of_the_host() {
        let settings = LevenbergMarquardt::default();
        let bounds = Bounds { lower: vec![-2.0; 5], upper: vec![1.0; 5] };
        for (bounds, barrier, scale) in [(None, true, 1.0), (Some(&bounds), true, 1.0), (None, false, 1.0), (None, true, 0.6)] {
            let stars = Stars { barrier, scale, ..Stars::simulate(256, 7) };
            let host = settings.minimise(&stars, stars.start(), bounds).unwrap();
            let device = settings.minimise_on_device(&Uploaded::new(&stars), stars.start(), bounds).unwrap();
            let same_path = (0..256).filter(|&i| host.n_iterations[i] == device.n_iterations[i]).count();
            let worst = host.loss.iter().zip(&device.loss).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            println!("{same_path} of 256 with as many iterations, loss within {worst:.1e}");
            assert!(same_path >= 250 && worst < 1e-3);
            assert_eq!(host.status, device.status);
        }
    }

    #[test]
    fn hard_problems_end_as_on_the_host() {
        let exact = LevenbergMarquardt {
            decrease_tolerance: 1e-20,
            gradient_tolerance: 1e-9,
            loss_precision: 1e-14,
            ..LevenbergMarquardt::default()
        };
        let valley = rosenbrock(3);
        let start = array![[-1.2, 1.0], [f64::NAN, 0.0], [2.0, -1.0]];
        let found = exact.minimise_on_device(&Uploaded::new(&valley), start, None).unwrap();
        assert_eq!(found.status, [Status::Converged, Status::Failed, Status::Converged]);
        assert!((found.coordinates[[0, 1]] - 1.0).abs() < 1e-8 && (found.coordinates[[2, 0]] - 1.0).abs() < 1e-8, "{found:?}");

        // A step into an undefined region is rejected; a wrong gradient stalls; too few iterations are
        // reported.
        let logarithm = Function { n: 1, n_parameters: 1, at: |_, x: &[f64]| sum_of_squares(&[(x[0].ln(), [1.0 / x[0]])]) };
        let found = exact.minimise_on_device(&Uploaded::new(&logarithm), array![[5.0]], None).unwrap();
        assert!(found.status[0] == Status::Converged && (found.coordinates[[0, 0]] - 1.0).abs() < 1e-9);
        let wrong = Function { n: 1, n_parameters: 1, at: |_, x: &[f64]| sum_of_squares(&[(x[0], [-1.0])]) };
        let found = exact.minimise_on_device(&Uploaded::new(&wrong), array![[1.0]], None).unwrap();
        assert_eq!((found.status[0], found.coordinates[[0, 0]]), (Status::Stalled, 1.0));
        let one = LevenbergMarquardt { max_iterations: 1, ..exact };
        let found = one.minimise_on_device(&Uploaded::new(&rosenbrock(1)), array![[-1.2, 1.0]], None).unwrap();
        assert_eq!(found.status, [Status::IterationLimit]);
    }
}
