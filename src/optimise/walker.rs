//! One problem on its way through Levenberg–Marquardt: what it proposes, accepts and rejects, and how it
//! ends.

use super::levenberg_marquardt::LevenbergMarquardt;
use super::step::{Point, StepSolver};
use super::{Bounds, Problems, Proposal, Status};

/// Below the noise of the loss, a step counts as progress if it lowers the predicted decrease to this
/// fraction.
pub(super) const MEASURABLE_APPROACH: f64 = 0.9;

/// A rejected step whose predicted decrease is below this fraction of the noise of the loss is the last one
/// tried.
pub(super) const HOPELESS: f64 = 0.1;

/// One problem on its way. Its methods return whether the problem is still active.
#[derive(Debug)]
pub(super) struct Walker {
    pub point: Point,
    pub trial: Point,
    damping: f64,
    /// Factor on λ at the next rejection.
    growth: f64,
    /// Decrease that the undamped step from `point` promises, once it was asked for.
    decrement: Option<f64>,
    /// Decrease that the step to `trial` promises.
    predicted: f64,
    pub n_iterations: u32,
    pub status: Status,
    /// Room for steps that only measure convergence.
    spare: Vec<f64>,
}

impl Walker {
    pub fn new(n_parameters: usize, settings: &LevenbergMarquardt) -> Self {
        Self {
            point: Point::new(n_parameters),
            trial: Point::new(n_parameters),
            damping: settings.initial_damping,
            growth: settings.damping_increase,
            decrement: None,
            predicted: 0.0,
            n_iterations: 0,
            status: Status::IterationLimit,
            spare: vec![0.0; n_parameters],
        }
    }

    /// Takes the evaluated start as the first point.
    pub fn begin(&mut self) -> bool {
        std::mem::swap(&mut self.point, &mut self.trial);
        if !self.point.is_finite() {
            self.status = Status::Failed;
            return false;
        }
        true
    }

    fn decrement(&mut self, solver: &mut StepSolver, bounds: &Bounds) -> f64 {
        *self.decrement.get_or_insert_with(|| solver.decrement(&self.point, bounds, &mut self.spare))
    }

    /// Whether the undamped step promises too little and the gradient is small.
    fn has_converged(&mut self, settings: &LevenbergMarquardt, solver: &mut StepSolver, bounds: &Bounds) -> bool {
        self.decrement(solver, bounds) <= settings.decrease_tolerance
            && solver.scaled_gradient(&self.point, bounds) <= settings.gradient_tolerance
    }

    /// Ends the problem where it has converged or leads to a known optimum, or sets the next trial point.
    pub fn advance(
        &mut self,
        (problem, index): (&dyn Problems, usize),
        settings: &LevenbergMarquardt,
        solver: &mut StepSolver,
        bounds: &Bounds,
    ) -> bool {
        let proposes = self.propose(settings, solver, bounds);
        let known = match proposes {
            true => self.is_known(problem, index, &self.trial.coordinates, self.point.loss - self.predicted),
            // An optimum may be a known one.
            false => self.status == Status::Converged && self.is_known(problem, index, &self.point.coordinates, self.point.loss),
        };
        if known {
            self.status = Status::Known;
        }
        proposes && !known
    }

    /// Whether the problem, or a step that it could take, leads to a known optimum.
    fn is_known(&self, problem: &dyn Problems, index: usize, trial: &[f64], predicted_loss: f64) -> bool {
        let Point { coordinates, loss, .. } = &self.point;
        problem.may_stop(index, &Proposal { coordinates, loss: *loss, trial, predicted_loss })
    }

    fn propose(&mut self, settings: &LevenbergMarquardt, solver: &mut StepSolver, bounds: &Bounds) -> bool {
        // No damped step promises more than the undamped one, so that one that promises much shows that there
        // is a way to go.
        let mut is_on_its_way = false;
        while self.damping <= settings.maximum_damping {
            let predicted = solver.solve(&self.point, bounds, self.damping, settings.max_step, &mut self.trial.coordinates);
            let predicted = predicted.unwrap_or(0.0);
            if !is_on_its_way && predicted <= settings.decrease_tolerance && self.has_converged(settings, solver, bounds) {
                self.status = Status::Converged;
                return false;
            }
            is_on_its_way = true;
            if self.n_iterations >= settings.max_iterations {
                self.status = Status::IterationLimit;
                return false;
            }
            if predicted > 0.0 {
                self.predicted = predicted;
                return true;
            }
            self.raise_damping();
        }
        self.give_up(settings, solver, bounds)
    }

    /// Accepts or rejects the evaluated trial point.
    pub fn judge(&mut self, settings: &LevenbergMarquardt, solver: &mut StepSolver, bounds: &Bounds) -> bool {
        self.n_iterations += 1;
        if !self.trial.is_finite() {
            self.raise_damping();
            return true;
        }
        let actual = self.point.loss - self.trial.loss;
        let gain = actual / self.predicted;
        if gain >= settings.minimum_gain {
            // Nielsen's smooth rule: λ grows for gains below one half and shrinks above.
            let factor = (1.0 - (2.0 * gain - 1.0).powi(3)).max(settings.damping_decrease);
            self.accept(settings, None, factor);
            return true;
        }
        let noise = settings.loss_noise(self.point.loss);
        if self.predicted > noise || actual < -noise {
            self.raise_damping();
            return true;
        }
        // The losses cannot be told apart: go on as long as the gradient, which is far less noisy, says that
        // the optimum is nearer.
        let decrement = solver.decrement(&self.trial, bounds, &mut self.spare);
        if decrement <= MEASURABLE_APPROACH * self.decrement(solver, bounds) {
            self.accept(settings, Some(decrement), settings.damping_decrease);
            return true;
        }
        // A shorter step may still be one that helps.
        if self.decrement(solver, bounds) > settings.negligible(self.point.loss) && self.predicted > HOPELESS * noise {
            self.raise_damping();
            return true;
        }
        self.give_up(settings, solver, bounds)
    }

    fn accept(&mut self, settings: &LevenbergMarquardt, decrement: Option<f64>, factor: f64) {
        std::mem::swap(&mut self.point, &mut self.trial);
        self.decrement = decrement;
        self.damping = (self.damping * factor).max(settings.minimum_damping);
        self.growth = settings.damping_increase;
    }

    fn raise_damping(&mut self) {
        self.damping *= self.growth;
        self.growth *= 2.0;
    }

    /// No step helps any more: converged where what is left to gain is below the noise of the loss, stalled
    /// otherwise.
    fn give_up(&mut self, settings: &LevenbergMarquardt, solver: &mut StepSolver, bounds: &Bounds) -> bool {
        self.status = if self.decrement(solver, bounds) <= settings.negligible(self.point.loss) {
            Status::Converged
        } else {
            Status::Stalled
        };
        false
    }
}
