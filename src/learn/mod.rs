//! Learning by epochs, whatever learns: schedules, halving on plateaus, the best epoch, patience, checkpoints
//! of any state, folds, seeds, ensembles.
//!
//! What learns is a [`Learner`]; a walk goes through its epochs, returns to the best one where a guard says
//! so, and [`ensemble`] trains several of different
//! seeds, one after the other, as one run that can be taken up again to the same bits.

mod ensemble;
mod epochs;
mod folds;
mod network;
mod rate;
mod snapshot;
#[cfg(test)]
mod tests;

pub use ensemble::{Trained, ensemble, member_seed};
pub use epochs::{EpochRecord, Guard, Judged, Learner, LossTerms, Losses, Plan, Turn};
pub(crate) use epochs::{Standing, Walk};
pub use folds::{fold, is_held_out};
pub use network::{Lesson, LossSums, NetworkLearner, Teacher};
pub use rate::{Plateau, Schedule};
pub use snapshot::{CheckpointFile, Checkpoints, Parts};
