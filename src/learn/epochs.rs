//! The walk over epochs.

use super::rate::{Plateau, Schedule};
use super::snapshot::Parts;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// An epoch to be gone through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Its number, from zero.
    pub epoch: u32,
    pub learning_rate: f64,
    /// The rate as a fraction of that of the plan.
    pub factor: f64,
    /// Epochs since the walk last returned to its best one, or since the beginning.
    pub since_return: u32,
}

/// What learns an epoch.
pub trait Learner {
    /// Goes once over the training part. What it draws depends on the number of the epoch and its own seed
    /// alone.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn epoch(&mut self, turn: &Turn) -> Result<Losses>;

    /// What has been learned: what the best epoch brings back.
    ///
    /// # Errors
    /// When it cannot be copied to the host.
    fn learned(&self) -> Result<Parts>;

    /// Takes up what [`Learner::learned`] gave.
    ///
    /// # Errors
    /// When it is of something else.
    fn restore(&mut self, learned: &Parts) -> Result<()>;

    /// What going on to the same bits needs beside it (an optimiser's moments).
    ///
    /// # Errors
    /// When it cannot be written.
    fn momentum(&self) -> Result<Vec<u8>>;

    /// Takes up what [`Learner::momentum`] gave.
    ///
    /// # Errors
    /// When it is of something else.
    fn restore_momentum(&mut self, bytes: Vec<u8>) -> Result<()>;

    /// Begins anew with what goes on beside it: the walk has returned to its best epoch.
    fn forget_momentum(&mut self);
}

/// Mean losses of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    pub training: f64,
    pub validation: Judged,
    /// What a loss is the sum of, where that is worth a record.
    pub terms: Option<LossTerms>,
}

/// The parts of a loss that is held to data and to physics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossTerms {
    /// Of the fluxes that are trained on.
    pub flux: f64,
    /// Of label gradients.
    pub gradient: f64,
    /// Of the fluxes that say when to stop.
    pub validation: f64,
}

/// The loss of the stars that say when to stop; that of training where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Mean over the stars whose loss is finite.
    pub loss: f64,
    /// The others.
    pub n_lost: usize,
}

impl Judged {
    /// Of stars whose losses are all finite.
    pub fn of(loss: f64) -> Self {
        Self { loss, n_lost: 0 }
    }

    /// Whether this is lower than `other`, of the same stars: what loses stars is not.
    pub fn lower_than(&self, other: &Self) -> bool {
        self.loss.is_finite() && (!other.loss.is_finite() || (self.n_lost, self.loss) < (other.n_lost, other.loss))
    }

    /// Whether this exceeds `other`, of the same stars, by more than a fraction.
    fn exceeds(&self, other: &Self, fraction: f64) -> bool {
        let is_more = self.n_lost > other.n_lost || self.loss > other.loss + fraction * other.loss.abs();
        !self.loss.is_finite() || fraction.is_finite() && is_more
    }
}

/// When a walk returns to its best epoch. It then goes on from there, without momentum, at half the rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Largest fraction by which an epoch may exceed the best loss. Infinity: only losses that are not finite
    /// exceed it.
    pub largest_increase: f64,
    /// Returns after which learning ends.
    pub most_returns: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self { largest_increase: 0.2, most_returns: 10 }
    }
}

/// How many epochs at which rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// At most.
    pub epochs: u32,
    /// Rate of the first epoch.
    pub learning_rate: f64,
    pub schedule: Schedule,
    /// Lower rates where the loss does not fall, on top of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plateau: Option<Plateau>,
    /// Epochs without a better validation loss after which learning ends; the best epoch is kept either way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Undo epochs that raise the loss; without it, losses that are not finite end the learning as an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { epochs: 100, learning_rate: 1e-3, schedule: Schedule::default(), plateau: None, patience: Some(15), guard: None }
    }
}

impl Plan {
    /// # Errors
    /// `Usage`, naming what is impossible.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(key).found(found).expected(expected).remedy("Correct the recipe."))
        };
        if self.epochs == 0 {
            return fault("epochs", "0".into(), "at least one");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fault("learning_rate", self.learning_rate.to_string(), "a positive number");
        }
        if self.patience == Some(0) || self.plateau.is_some_and(|plateau| plateau.patience == 0) {
            return fault("patience", "0".into(), "at least one epoch");
        }
        if let Some(guard) = self.guard.filter(|guard| guard.largest_increase.is_nan() || guard.largest_increase < 0.0) {
            return fault("guard.largest_increase", guard.largest_increase.to_string(), "a fraction of at least 0, or inf");
        }
        if self.guard.is_some_and(|guard| guard.most_returns == 0) {
            return fault("guard.most_returns", "0".into(), "at least one: without any nothing is learned");
        }
        self.schedule.validate()?;
        self.plateau.as_ref().map_or(Ok(()), Plateau::validate)
    }
}

/// One line of the history.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    pub epoch: u32,
    pub learning_rate: f64,
    pub training_loss: f64,
    pub validation_loss: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<LossTerms>,
}

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    /// Factor that plateaus and returns have brought.
    pub factor: Option<f64>,
    pub since_best: u32,
    /// Epochs since the best or since the rate last fell.
    pub since_fall: u32,
    /// Returns to the best epoch.
    pub returns: u32,
    /// Epochs since the last of them, or the beginning.
    pub since_return: u32,
    pub history: Vec<EpochRecord>,
    pub best: Option<Best>,
}

impl Standing {
    fn lower_rate(&mut self, factor: f64) {
        self.factor = Some(self.factor.unwrap_or(1.0) * factor);
        self.since_fall = 0;
    }
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Best {
    pub judged: Judged,
    /// How many epochs were over after it: none where it is the beginning.
    pub epochs: u32,
}

/// A walk with what was learned by its best epoch.
#[derive(Clone, Default)]
pub(crate) struct Walk {
    pub standing: Standing,
    pub best: Option<Parts>,
}

impl Walk {
    /// One whose best epoch is the beginning, until another is better.
    ///
    /// # Errors
    /// When what was learned before cannot be copied.
    pub fn from_here(learner: &impl Learner, judged: Judged) -> Result<Self> {
        let standing = Standing { best: Some(Best { judged, epochs: 0 }), ..Default::default() };
        Ok(Self { standing, best: Some(learner.learned()?) })
    }

    /// Walks to the end of the plan and leaves the learner at its best epoch. `after` is called after every
    /// epoch.
    ///
    /// # Errors
    /// When a loss is not finite and there is no guard, or nothing to return to; and those of the learner and
    /// of `after`.
    pub fn run<L: Learner>(
        &mut self,
        learner: &mut L,
        plan: &Plan,
        mut after: impl FnMut(&L, &Self) -> Result<()>,
    ) -> Result<()> {
        while self.standing.history.len() < plan.epochs as usize && !self.is_spent(plan) {
            let epoch = self.standing.history.len() as u32;
            let factor = self.standing.factor.unwrap_or(1.0) * plan.schedule.factor(epoch, plan.epochs);
            let learning_rate = plan.learning_rate * factor;
            let turn = Turn { epoch, learning_rate, factor, since_return: self.standing.since_return };
            let Losses { training, validation, terms } = learner.epoch(&turn)?;
            let is_finite = training.is_finite() && validation.loss.is_finite();
            if !is_finite && (plan.guard.is_none() || self.standing.best.is_none_or(|best| !best.judged.loss.is_finite())) {
                return Err(Error::numerical(format!("training, epoch {epoch}"))
                    .found("a loss that is not finite")
                    .expected("a number")
                    .remedy("Lower the learning rate."));
            }
            let validation_loss = validation.loss;
            let record = EpochRecord { epoch, learning_rate, training_loss: training, validation_loss, terms };
            self.standing.history.push(record);
            self.standing.since_return += 1;
            self.judge(learner, plan, validation)?;
            after(learner, self)?;
        }
        if let Some(best) = &self.best {
            learner.restore(best)?;
        }
        Ok(())
    }

    fn is_spent(&self, plan: &Plan) -> bool {
        plan.patience.is_some_and(|patience| self.standing.since_best >= patience)
            || plan.guard.is_some_and(|guard| self.standing.returns >= guard.most_returns)
    }

    fn judge(&mut self, learner: &mut impl Learner, plan: &Plan, judged: Judged) -> Result<()> {
        let standing = &mut self.standing;
        let Some(best) = standing.best.filter(|best| !judged.lower_than(&best.judged)) else {
            (standing.since_best, standing.since_fall) = (0, 0);
            standing.best = Some(Best { judged, epochs: standing.history.len() as u32 });
            self.best = Some(learner.learned()?);
            return Ok(());
        };
        standing.since_best += 1;
        standing.since_fall += 1;
        if plan.guard.is_some_and(|guard| judged.exceeds(&best.judged, guard.largest_increase)) {
            tracing::debug!("loss {:.3} after {:.3}; back, at half the rate", judged.loss, best.judged.loss);
            standing.lower_rate(0.5);
            (standing.returns, standing.since_return) = (standing.returns + 1, 0);
            if let Some(parts) = &self.best {
                learner.restore(parts)?;
            }
            learner.forget_momentum();
        } else if let Some(plateau) = plan.plateau.filter(|plateau| standing.since_fall >= plateau.patience) {
            standing.lower_rate(plateau.factor);
        }
        Ok(())
    }
}
