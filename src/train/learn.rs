//! A stage of epochs: the weights move by gradient descent, the stars follow, and the best state is kept.
//!
//! Steps of Adam have the length of the rate, whatever the gradient: an output layer of 32 neurons moves all
//! fluxes together by some 20 rates. Where errors of the flux are half a per cent, a rate of 2·10⁻³ lifts the
//! loss from 1 to 10, and it falls only as the rate does; stars follow the wrong weights meanwhile, and some
//! never return. So the loss of the stopping stars, which have followed the weights, is watched: an epoch
//! that raises it by more than `largest_increase` is undone, with all since the best, and the rate is halved.
//! Whatever happens, a stage ends with the best state that it met, the first one included.

use super::checkpoint::Best;
use super::global_step::{self, BatchLoss};
use super::recipe::{Learn, StarUpdate};
use super::run::{Report, Run, no_stars};
use super::star_step::{self, Losses};
use super::state::{EpochRecord, Part};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ForwardModel;
use crate::observations::shuffled;
use crate::tensor::{Descent, Device};

/// Returns to the best state after which a stage ends: the rate is then a thousandth of the first.
const MOST_RETURNS: u32 = 10;
/// Iterations with which stars follow where they have not done so for long.
const FOLLOWING_ITERATIONS: u32 = 6;

impl Run<'_> {
    /// Carries out a stage; returns whether the state that is kept is another than the first.
    pub fn learn(&mut self, stage: &Learn, report: Report<'_>) -> Result<bool> {
        let device = self.state.model.device().clone();
        self.check_names(stage)?;
        let training = self.stars_passing(&stage.cuts, Part::Training)?;
        let stopping = self.stars_passing(&stage.cuts, Part::Stopping)?;
        if training.is_empty() || stopping.is_empty() {
            return Err(no_stars(&stage.name, &format!("{} training and {} stopping stars", training.len(), stopping.len())));
        }
        let mut descent = match self.progress.optimiser.take() {
            Some(bytes) => Descent::from_bytes(&stage.optimiser, bytes, &device)?,
            None => Descent::new(&stage.optimiser),
        };
        if self.progress.best.is_none() {
            if follows(stage) {
                self.follow(&stopping, FOLLOWING_ITERATIONS)?;
            }
            let losses = self.losses(&stopping)?;
            self.remember(losses, 0);
        }
        while self.state.position.epoch < stage.epochs
            && self.state.position.returns < MOST_RETURNS
            && stage.patience.is_none_or(|patience| self.state.position.since_best < patience)
        {
            let factor = self.factor(stage);
            let rate = stage.learning_rate.map(|rate| rate * factor);
            if alternates(stage) {
                self.update_stars(stage, &training, factor)?;
            }
            let training_loss = self.epoch(stage, &training, &mut descent, rate, factor, &device)?;
            let losses = self.stopping_losses(stage, &stopping, factor, training_loss)?;
            self.state.position.epoch += 1;
            self.state.position.since_return += 1;
            if losses.is_finite() {
                self.state.history.push(EpochRecord {
                    stage: stage.name.clone(),
                    epoch: self.state.history.len() as u32,
                    learning_rate: rate.unwrap_or(0.0),
                    training_loss: training_loss.mean(),
                    validation_loss: losses.flux,
                });
            }
            if self.judge(stage, losses)? {
                descent = Descent::new(&stage.optimiser);
            }
            let (training_loss, loss) = (training_loss.mean(), losses.flux);
            let text = format!("{}: loss {training_loss:.4} in training, {loss:.4} in validation", stage.name);
            let goes_on = report(self.done(self.state.position.epoch), &text);
            if goes_on.is_err() || self.checkpoint_is_due() {
                self.progress.optimiser = Some(descent.to_bytes()?);
                self.checkpoint()?;
            }
            goes_on?;
        }
        let Some(best) = self.progress.best.take() else { return Ok(true) };
        self.state.model.weights = best.weights;
        self.state.coordinates = best.coordinates;
        if follows(stage) {
            // Only training and stopping stars have followed.
            let testing = self.state.stars(Part::Testing);
            self.follow(&testing, FOLLOWING_ITERATIONS)?;
        }
        Ok(best.epoch > 0)
    }

    /// The rate of this epoch as a fraction of that of the stage.
    fn factor(&self, stage: &Learn) -> f64 {
        let position = self.state.position;
        stage.schedule.factor(position.epoch, stage.epochs) * 0.5_f64.powi(position.returns as i32)
    }

    /// The losses of the stopping stars after an epoch; infinite where weights or stars have got lost.
    fn stopping_losses(&mut self, stage: &Learn, stars: &[usize], factor: f64, training_loss: BatchLoss) -> Result<Losses> {
        let lost = Losses { flux: f64::INFINITY, whole: f64::INFINITY, n_lost: stars.len() };
        if !training_loss.mean().is_finite() {
            return Ok(lost);
        }
        self.update_stars(stage, stars, factor)?;
        if !follows(stage) {
            let testing = self.state.stars(Part::Testing);
            self.update_stars(stage, &testing, factor)?;
        }
        self.losses(stars)
    }

    /// Keeps the state if it is the best of the stage; goes back to that if this one is much worse, and says
    /// so.
    fn judge(&mut self, stage: &Learn, losses: Losses) -> Result<bool> {
        let Some(best) = &self.progress.best else {
            self.remember(losses, self.state.position.epoch);
            return Ok(false);
        };
        if losses.lower_than(&best.losses) {
            self.state.position.since_best = 0;
            self.remember(losses, self.state.position.epoch);
            return Ok(false);
        }
        self.state.position.since_best += 1;
        let limit = if losses.is_finite() { stage.largest_increase } else { 0.0 };
        if !losses.exceed(&best.losses, limit) || limit.is_infinite() {
            return Ok(false);
        }
        if !best.losses.is_finite() {
            return Err(Error::numerical(format!("stage '{}', epoch {}", stage.name, self.state.position.epoch))
                .found("a loss that is not finite")
                .remedy("Lower the learning rate."));
        }
        tracing::debug!("{}: loss {:.3} after {:.3}; back, at half the rate", stage.name, losses.whole, best.losses.whole);
        self.state.model.weights = best.weights.clone();
        self.state.coordinates = best.coordinates.clone();
        self.state.position.returns += 1;
        self.state.position.since_return = 0;
        Ok(true)
    }

    fn remember(&mut self, losses: Losses, epoch: u32) {
        let (weights, coordinates) = (self.state.model.weights.clone(), self.state.coordinates.clone());
        self.progress.best = Some(Best { losses, epoch, weights, coordinates });
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

    /// One epoch of the weights, and of the stars batch by batch if the stage says so. The loss is not finite
    /// where a step led to fluxes that are not.
    fn epoch(
        &mut self,
        stage: &Learn,
        training: &[usize],
        descent: &mut Descent,
        rate: Option<f64>,
        factor: f64,
        device: &Device,
    ) -> Result<BatchLoss> {
        let Some(rate) = rate else {
            for batch in training.chunks(stage.batch).filter(|_| !alternates(stage)) {
                self.update_stars(stage, batch, factor)?;
            }
            let (model, stars) = (&self.state.model, &self.state.coordinates);
            return global_step::evaluate(model, self.observations, training, stars, &self.recipe.loss);
        };
        let order = shuffled(training, self.recipe.seed, self.state.history.len() as u64);
        let strengths = self.recipe.strengths(training.len());
        let mut sum = BatchLoss::default();
        let mut taped: ForwardModel = self.state.model.to(&device.taped());
        taped.weights.freeze_all_but(&stage.moves);
        let n_batches = order.len().div_ceil(stage.batch) as f64;
        for (step, batch) in order.chunks(stage.batch).enumerate() {
            if matches!(stage.stars, Some(StarUpdate::Profile { .. })) {
                self.state.model.weights = taped.weights.to(device);
                self.update_stars(stage, batch, factor)?;
            }
            let epochs = f64::from(self.state.position.since_return) + (step + 1) as f64 / n_batches;
            let rate = rate * if stage.warm_up > 0.0 { (epochs / stage.warm_up).min(1.0) } else { 1.0 };
            let (data, loss, stars) = (self.observations, &self.recipe.loss, &self.state.coordinates);
            match global_step::step(&mut taped, descent, data, batch, stars, loss, &strengths, rate, stage.largest_gradient) {
                Ok(loss) => sum.add(loss),
                Err(error) if error.kind() == ErrorKind::Numerical => {
                    tracing::debug!("{}: {error}", stage.name);
                    return Ok(BatchLoss { sum: f64::INFINITY, n_fluxes: 1 });
                }
                Err(error) => return Err(error),
            }
            if matches!(stage.stars, Some(StarUpdate::GradientStep { .. })) {
                self.state.model.weights = taped.weights.to(device);
                self.update_stars(stage, batch, factor)?;
            }
        }
        self.state.model = taped.to(device);
        self.state.model.weights.freeze_all_but(&[]);
        Ok(sum)
    }

    /// Moves the named stars as the stage says.
    fn update_stars(&mut self, stage: &Learn, stars: &[usize], factor: f64) -> Result<()> {
        match stage.stars {
            None => Ok(()),
            Some(StarUpdate::LevenbergMarquardt { iterations } | StarUpdate::Profile { iterations }) => {
                self.follow(stars, iterations)
            }
            Some(StarUpdate::GradientStep { learning_rate }) => {
                let (rate, largest) = (learning_rate * factor, stage.largest_gradient);
                star_step::descend(&mut self.state, self.observations, self.recipe, stars, rate, largest)
            }
        }
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
