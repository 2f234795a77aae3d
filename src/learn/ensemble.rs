//! Several learners that differ in their seeds, one after the other.

use super::epochs::{EpochRecord, Learner, Plan, Standing, Walk};
use super::snapshot::{Checkpoints, Parts};
use crate::error::{Error, Result};
use crate::observations::hash64;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The seed of a member.
pub fn member_seed(seed: u64, member: u32) -> u64 {
    hash64(i64::from(member), seed)
}

/// What one member has come to: its best epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub learned: Parts,
    pub history: Vec<EpochRecord>,
    /// Returns to the best epoch.
    pub returns: u32,
}

impl Trained {
    /// A warning where the guard's last return ended the learning of a member (from zero).
    pub fn gave_up(&self, member: usize, plan: &Plan) -> Option<String> {
        let guard = plan.guard.filter(|guard| self.returns >= guard.most_returns)?;
        Some(format!(
            "network {}: learning ended after {} of {} epochs, with the last of {} returns to the best one: lower the learning rate",
            member + 1,
            self.history.len(),
            plan.epochs,
            guard.most_returns
        ))
    }
}

/// What a checkpoint says beside the parts, as TOML, whose floats come back to the bit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    finished: Vec<Finished>,
    current: Standing,
}

/// A member that is finished.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finished {
    history: Vec<EpochRecord>,
    returns: u32,
}

/// Trains `members` learners; `start` makes one of its number. `report` gets the fraction done and a text
/// after every epoch, and may stop the work, which writes a checkpoint.
///
/// # Errors
/// When a checkpoint cannot be read or written, and those of the learners and of `report`.
pub fn ensemble<L: Learner>(
    members: u32,
    plan: &Plan,
    checkpoints: Option<Checkpoints<'_>>,
    mut start: impl FnMut(u32) -> Result<L>,
    report: &mut dyn FnMut(f64, &str) -> Result<()>,
) -> Result<Vec<Trained>> {
    let mut finished: Vec<Trained> = Vec::new();
    let mut taken = None;
    if let Some((header, parts)) = checkpoints.as_ref().map(Checkpoints::read).transpose()?.flatten() {
        let header: Header = toml::from_str(&header).map_err(|error| {
            let error = Error::data("header of the checkpoint").found(error.to_string()).source(error);
            error.expected("that of an ensemble").remedy("Start again with --overwrite.")
        })?;
        for (member, Finished { history, returns }) in header.finished.into_iter().enumerate() {
            finished.push(Trained { learned: parts.under(&format!("member_{member}")), history, returns });
        }
        taken = Some((header.current, parts));
    }
    let mut last = Instant::now();
    for member in finished.len() as u32..members {
        let mut learner = start(member)?;
        let mut walk = Walk::default();
        if let Some((standing, parts)) = taken.take().filter(|(standing, _)| !standing.history.is_empty()) {
            learner.restore(&parts.under("current"))?;
            if let Some(bytes) = parts.bytes.get("momentum") {
                learner.restore_momentum(bytes.clone())?;
            }
            walk = Walk { standing, best: Some(parts.under("best")) };
        }
        walk.run(&mut learner, plan, |learner, walk| {
            let of_member = walk.standing.history.len() as f64 / f64::from(plan.epochs);
            let record = walk.standing.history.last();
            let losses = record.map_or((f64::NAN, f64::NAN), |record| (record.training_loss, record.validation_loss));
            let text = format!(
                "network {} of {members}: loss {:.4} in training, {:.4} in the stars held out",
                member + 1,
                losses.0,
                losses.1
            );
            let goes_on = report((f64::from(member) + of_member) / f64::from(members), &text);
            let is_due = |checkpoints: &Checkpoints<'_>| goes_on.is_err() || last.elapsed() >= checkpoints.file.interval;
            if let Some(checkpoints) = checkpoints.filter(is_due) {
                write(&checkpoints, &finished, learner, walk)?;
                last = Instant::now();
            }
            goes_on
        })?;
        let Standing { history, returns, .. } = walk.standing;
        finished.push(Trained { learned: learner.learned()?, history, returns });
    }
    Ok(finished)
}

fn write(checkpoints: &Checkpoints<'_>, finished: &[Trained], learner: &impl Learner, walk: &Walk) -> Result<()> {
    let mut parts = Parts::default();
    for (member, trained) in finished.iter().enumerate() {
        parts.put(&format!("member_{member}"), &trained.learned);
    }
    parts.put("current", &learner.learned()?);
    parts.put("best", walk.best.as_ref().unwrap_or(&Parts::default()));
    parts.bytes.insert("momentum".into(), learner.momentum()?);
    let finished =
        finished.iter().map(|trained| Finished { history: trained.history.clone(), returns: trained.returns }).collect();
    let header = toml::to_string(&Header { finished, current: walk.standing.clone() })
        .map_err(|error| Error::output("header of the checkpoint").found(error.to_string()).source(error))?;
    checkpoints.write(&header, &parts)
}
