//! A stage of epochs: the weights move by gradient descent, the stars follow, and the best state is kept.
//!
//! Steps of Adam have the length of the rate, whatever the gradient: an output layer of 32 neurons moves all
//! fluxes together by some 20 rates. Where errors of the flux are half a per cent, a rate of 2·10⁻³ lifts the
//! loss from 1 to 10, and it falls only as the rate does; stars follow the wrong weights meanwhile, and some
//! never return. So the loss of the stopping stars, which have followed the weights, is watched: an epoch
//! that raises it by more than `largest_increase` is undone, with all since the best, and the rate is halved.
//! Whatever happens, a stage ends with the best state that it met, the first one included.

use super::global_step::{self, BatchLoss};
use super::recipe::{Learn, StarUpdate};
use super::run::{Report, Run, no_stars};
use super::star_step::{self, Losses};
use super::state::{EpochRecord, Part};
use super::variation;
use super::weighting::weights_of;
use crate::error::{Error, ErrorKind, Result};
use crate::learn::{self, Guard, Learner, Parts, Plan, Turn, Walk};
use crate::model::ForwardModel;
use crate::observations::shuffled;
use crate::tensor::Descent;

/// Returns to the best state after which a stage ends: the rate is then a thousandth of the first.
const MOST_RETURNS: u32 = 10;
/// Iterations with which stars follow where they have not done so for long.
const FOLLOWING_ITERATIONS: u32 = 6;

/// What a stage of epochs came to.
pub(super) struct Learned {
    /// Whether the state that is kept is another than the first.
    pub gained: bool,
    /// Returns to the best state.
    pub returns: u32,
}

/// A stage as what learns: weights, and the stars that follow them.
struct StageLearner<'run, 'data> {
    run: &'run mut Run<'data>,
    stage: &'run Learn,
    training: Vec<usize>,
    stopping: Vec<usize>,
    descent: Descent,
    /// Parameters of the stars that stay.
    held: Vec<String>,
    /// Flux losses of the last epoch, in training and of the stopping stars.
    flux: [f64; 2],
}

impl Run<'_> {
    /// Carries out a stage.
    pub fn learn(&mut self, stage: &Learn, report: Report<'_>) -> Result<Learned> {
        self.check_names(stage)?;
        let training = self.stars_passing(&stage.cuts, Part::Training)?;
        let stopping = self.stars_passing(&stage.cuts, Part::Stopping)?;
        if training.is_empty() || stopping.is_empty() {
            return Err(no_stars(&stage.name, &format!("{} training and {} stopping stars", training.len(), stopping.len())));
        }
        let plan = Plan {
            epochs: stage.epochs,
            learning_rate: stage.learning_rate.unwrap_or(0.0),
            schedule: stage.schedule.clone(),
            plateau: None,
            patience: stage.patience,
            guard: Some(Guard { largest_increase: stage.largest_increase, most_returns: MOST_RETURNS }),
        };
        let taken_up = self.progress.walk.take();
        let descent = Descent::new(&stage.optimiser);
        let held = self.held(stage)?;
        if taken_up.is_none() && !stage.weights.is_empty() {
            let weighted = (stage.name.as_str(), &stage.weights[..], &training[..]);
            self.progress.weights = Some(weights_of(&self.state, self.observations, self.recipe, weighted)?);
        }
        let mut learner = StageLearner { run: self, stage, training, stopping, descent, held, flux: [f64::NAN; 2] };
        let mut walk = match taken_up {
            Some((walk, momentum)) => {
                learner.restore_momentum(momentum)?;
                walk
            }
            None => {
                if follows(stage) {
                    learner.run.follow_holding((&learner.stopping, &learner.held), FOLLOWING_ITERATIONS)?;
                }
                let losses = learner.run.losses(&learner.stopping)?;
                Walk::from_here(&learner, losses.judged())?
            }
        };
        let walked = walk.run(&mut learner, &plan, |learner, walk| {
            let [training, validation] = learner.flux;
            let text = format!("{}: loss {training:.4} in training, {validation:.4} in validation", stage.name);
            let goes_on = report(learner.run.done(walk.standing.history.len() as u32), &text);
            if goes_on.is_err() || learner.run.checkpoint_is_due() {
                learner.run.checkpoint(Some((walk, learner.momentum()?)))?;
            }
            goes_on
        });
        walked.map_err(|error| {
            if error.kind() == ErrorKind::Numerical { error.within(format!("stage '{}'", stage.name)) } else { error }
        })?;
        if follows(stage) {
            // Only training and stopping stars have followed.
            let testing = learner.run.state.stars(Part::Testing);
            learner.run.follow_holding((&testing, &learner.held), FOLLOWING_ITERATIONS)?;
        }
        let standing = walk.standing;
        Ok(Learned { gained: standing.best.is_none_or(|best| best.epochs > 0), returns: standing.returns })
    }

    fn check_names(&self, stage: &Learn) -> Result<()> {
        let names = self.state.model.weights.names();
        match stage.moves.iter().find(|prefix| !names.iter().any(|name| name.starts_with(prefix.as_str()))) {
            None => Ok(()),
            Some(unknown) => Err(Error::usage(format!("stage '{}', moves", stage.name))
                .found(format!("'{unknown}'"))
                .expected(format!("the beginning of one of {}", names.join(", ")))
                .remedy("Name an effect (emulator, extinction), or leave moves out for all weights.")),
        }
    }

    /// The parameters of the stars that a stage does not move.
    fn held(&self, stage: &Learn) -> Result<Vec<String>> {
        let space = &self.state.model.space;
        if stage.star_parameters.is_empty() {
            return Ok(variation::waits(self.recipe, self.state.stage, &self.state.model)?.into_iter().collect());
        }
        let moved = space.named(&stage.star_parameters);
        let names = space.parameters.iter().map(|parameter| parameter.name.clone());
        Ok(names.filter(|name| !moved.contains(name)).collect())
    }

    /// Moves the named stars, but for the parameters in `held`, as the stage says.
    fn update_stars(&mut self, stage: &Learn, (stars, held): (&[usize], &[String]), factor: f64) -> Result<()> {
        match stage.stars {
            None => Ok(()),
            Some(StarUpdate::LevenbergMarquardt { iterations } | StarUpdate::Profile { iterations }) => {
                self.follow_holding((stars, held), iterations)
            }
            Some(StarUpdate::GradientStep { learning_rate }) => {
                let (rate, largest) = (learning_rate * factor, stage.largest_gradient);
                star_step::descend(&mut self.state, self.observations, self.recipe, (stars, held), rate, largest)
            }
        }
    }
}

impl Learner for StageLearner<'_, '_> {
    fn epoch(&mut self, turn: &Turn) -> Result<learn::Losses> {
        let (stage, factor) = (self.stage, turn.factor);
        if alternates(stage) {
            self.run.update_stars(stage, (&self.training, &self.held), factor)?;
        }
        let training = self.move_weights(turn)?.mean();
        let losses = self.stopping_losses(factor, training)?;
        self.flux = [training, losses.flux];
        if losses.is_finite() {
            let history = &mut self.run.state.history;
            history.push(EpochRecord {
                stage: stage.name.clone(),
                epoch: history.len() as u32,
                learning_rate: turn.learning_rate,
                training_loss: training,
                validation_loss: losses.flux,
            });
        }
        Ok(learn::Losses { training, validation: losses.judged(), terms: None })
    }

    fn learned(&self) -> Result<Parts> {
        self.run.state.learned()
    }

    fn restore(&mut self, learned: &Parts) -> Result<()> {
        self.run.state.restore(learned)
    }

    fn momentum(&self) -> Result<Vec<u8>> {
        self.descent.to_bytes()
    }

    fn restore_momentum(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.descent = Descent::from_bytes(&self.stage.optimiser, bytes, self.run.state.model.device())?;
        Ok(())
    }

    fn forget_momentum(&mut self) {
        self.descent = Descent::new(&self.stage.optimiser);
    }
}

impl StageLearner<'_, '_> {
    /// The losses of the stopping stars after an epoch; infinite where weights or stars have got lost.
    fn stopping_losses(&mut self, factor: f64, training: f64) -> Result<Losses> {
        let (stage, stars) = (self.stage, &self.stopping);
        if !training.is_finite() {
            return Ok(Losses { flux: f64::INFINITY, whole: f64::INFINITY, n_lost: stars.len() });
        }
        self.run.update_stars(stage, (stars, &self.held), factor)?;
        if !follows(stage) {
            let testing = self.run.state.stars(Part::Testing);
            self.run.update_stars(stage, (&testing, &self.held), factor)?;
        }
        self.run.losses(stars)
    }

    /// One epoch of the weights, and of the stars batch by batch if the stage says so. The loss is not finite
    /// where a step led to fluxes that are not.
    fn move_weights(&mut self, turn: &Turn) -> Result<BatchLoss> {
        let (stage, run) = (self.stage, &mut *self.run);
        if stage.learning_rate.is_none() {
            for batch in self.training.chunks(stage.batch).filter(|_| !alternates(stage)) {
                run.update_stars(stage, (batch, &self.held), turn.factor)?;
            }
            let (model, stars) = (&run.state.model, &run.state.coordinates);
            return global_step::evaluate(model, run.observations, &self.training, stars, &run.recipe.loss);
        }
        let device = run.state.model.device().clone();
        let order = shuffled(&self.training, run.recipe.seed, run.state.history.len() as u64);
        let strengths = run.recipe.strengths(self.training.len());
        let mut sum = BatchLoss::default();
        let mut taped: ForwardModel = run.state.model.to(&device.taped());
        taped.weights.freeze_all_but(&stage.moves);
        let n_batches = order.len().div_ceil(stage.batch) as f64;
        for (step, batch) in order.chunks(stage.batch).enumerate() {
            if matches!(stage.stars, Some(StarUpdate::Profile { .. })) {
                run.state.model.weights = taped.weights.to(&device);
                run.update_stars(stage, (batch, &self.held), turn.factor)?;
            }
            let epochs = f64::from(turn.since_return) + (step + 1) as f64 / n_batches;
            let rate = turn.learning_rate * if stage.warm_up > 0.0 { (epochs / stage.warm_up).min(1.0) } else { 1.0 };
            let (data, loss, stars) = (run.observations, &run.recipe.loss, &run.state.coordinates);
            match global_step::step(
                &mut taped,
                &mut self.descent,
                data,
                (batch, run.progress.weights.as_deref()),
                stars,
                loss,
                &strengths,
                rate,
                stage.largest_gradient,
            ) {
                Ok(loss) => sum.add(loss),
                Err(error) if error.kind() == ErrorKind::Numerical => {
                    tracing::debug!("{}: {error}", stage.name);
                    return Ok(BatchLoss { sum: f64::INFINITY, n_fluxes: 1 });
                }
                Err(error) => return Err(error),
            }
            if matches!(stage.stars, Some(StarUpdate::GradientStep { .. })) {
                run.state.model.weights = taped.weights.to(&device);
                run.update_stars(stage, (batch, &self.held), turn.factor)?;
            }
        }
        run.state.model = taped.to(&device);
        run.state.model.weights.freeze_all_but(&[]);
        Ok(sum)
    }
}

/// Whether all stars move between epochs.
fn alternates(stage: &Learn) -> bool {
    matches!(stage.stars, Some(StarUpdate::LevenbergMarquardt { .. }))
}

/// Whether stars move to their optima, not by steps along the gradient.
fn follows(stage: &Learn) -> bool {
    matches!(stage.stars, Some(StarUpdate::LevenbergMarquardt { .. } | StarUpdate::Profile { .. }))
}
