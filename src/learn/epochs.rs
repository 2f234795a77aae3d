//! The walk over epochs.

use super::rate::{Plateau, Schedule};
use super::snapshot::Parts;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What learns an epoch.
pub trait Learner {
    /// Goes once over the training part at a learning rate. What it draws depends on `epoch` and its own seed
    /// alone.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn epoch(&mut self, epoch: u32, learning_rate: f64) -> Result<Losses>;

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
}

/// Mean losses of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    pub training: f64,
    /// Of the stars that say when to stop; that of training where there are none.
    pub validation: f64,
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
}

impl Default for Plan {
    fn default() -> Self {
        Self { epochs: 100, learning_rate: 1e-3, schedule: Schedule::default(), plateau: None, patience: Some(15) }
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
}

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Standing {
    /// Factor that plateaus have brought.
    pub factor: Option<f64>,
    pub since_best: u32,
    /// Epochs since the best or since the rate last fell.
    pub since_fall: u32,
    pub best_loss: Option<f64>,
    pub history: Vec<EpochRecord>,
}

/// A walk with the best epoch so far.
#[derive(Default)]
pub(super) struct Walk {
    pub standing: Standing,
    pub best: Option<Parts>,
}

impl Walk {
    /// Walks to the end of the plan and leaves the learner at its best epoch. `after` is called after every
    /// epoch.
    ///
    /// # Errors
    /// When a loss is not finite, and those of the learner and of `after`.
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
            let Losses { training, validation } = learner.epoch(epoch, learning_rate)?;
            if !(training.is_finite() && validation.is_finite()) {
                return Err(Error::numerical(format!("training, epoch {epoch}"))
                    .found("a loss that is not finite")
                    .expected("a number")
                    .remedy("Lower the learning rate."));
            }
            let record = EpochRecord { epoch, learning_rate, training_loss: training, validation_loss: validation };
            self.standing.history.push(record);
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
    }

    fn judge(&mut self, learner: &impl Learner, plan: &Plan, loss: f64) -> Result<()> {
        let standing = &mut self.standing;
        if standing.best_loss.is_none_or(|best| loss < best) {
            (standing.best_loss, standing.since_best, standing.since_fall) = (Some(loss), 0, 0);
            self.best = Some(learner.learned()?);
            return Ok(());
        }
        standing.since_best += 1;
        standing.since_fall += 1;
        if let Some(plateau) = plan.plateau.filter(|plateau| standing.since_fall >= plateau.patience) {
            standing.factor = Some(standing.factor.unwrap_or(1.0) * plateau.factor);
            standing.since_fall = 0;
        }
        Ok(())
    }
}
