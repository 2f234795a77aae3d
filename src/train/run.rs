//! The training loop: stages one after the other, what each did to the loss, checkpoints.

use super::binaries;
use super::checkpoint::{self, Progress};
use super::clean::{CleaningReport, clean};
use super::recipe::{Recipe, Solve, Stage};
use super::star_step::{self, Losses};
use super::state::{Part, TrainingState};
use super::variation;
use super::wavelength_step;
use crate::error::{Error, Result};
use crate::learn::{Checkpoints, Walk};
use crate::observations::{Cut, Observations, select};
use crate::optimise::{LevenbergMarquardt, Method};
use crate::tensor::Weights;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::time::Instant;

/// Iterations with which the stars follow a step of the wavelength weights.
const FOLLOWING_ITERATIONS: u32 = 6;
const NOT_NORMALISED: &str = "the variation of the extinction curve was not brought to the scale of its prior: ξ, and what follows from \
    it, may be off by a factor. Give more stars behind dust, or leave the variation out";
/// Largest change of a star's coordinate in one of its steps, while the weights change too.
const LONGEST_STEP: f64 = 0.5;
/// The damping of a stage of kind `solve` falls to no less than this share of the first.
const SMALLEST_SHARE_OF_DAMPING: f64 = 0.01;

/// The outcome of the stages.
pub struct Outcome {
    pub state: TrainingState,
    pub cleanings: Vec<CleaningReport>,
    pub stages: Vec<StageRecord>,
    /// What its user should know of it.
    pub doubts: Vec<String>,
}

/// What a stage did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    pub stage: String,
    /// Mean loss per finite flux, constraints included, of the kept stopping stars at their optima after the
    /// stage.
    pub loss: f64,
    /// How often an epoch raised the loss so much that weights and stars returned to the best state.
    #[serde(default)]
    pub returns: u32,
    /// Whether the stage ended with the state with which it began, which was better than all that followed.
    #[serde(default)]
    pub gained_nothing: bool,
}

/// What is told after every epoch and stage: the fraction done and where the training stands. An error from
/// it ends the training, after a checkpoint (if there are any) from which it goes on to the same bits.
pub type Report<'a> = &'a mut dyn FnMut(f64, &str) -> Result<()>;

/// Runs all stages of a recipe from a started state.
///
/// # Errors
/// When a checkpoint cannot be read or written, a cut names an unknown quantity, a stage has no stars, or the
/// loss is not finite; and whatever `report` returns.
pub fn run(
    recipe: &Recipe,
    observations: &Observations,
    state: TrainingState,
    checkpoints: Option<Checkpoints<'_>>,
    report: Report<'_>,
) -> Result<Outcome> {
    let mut run = Run {
        recipe,
        observations,
        state,
        progress: Progress::default(),
        checkpoints,
        last_checkpoint: Cell::new(Instant::now()),
        epochs_before: 0,
        total: recipe.stages.iter().map(work).sum(),
    };
    if let Some(checkpoints) = &checkpoints {
        run.progress = checkpoint::read(checkpoints, &mut run.state)?.unwrap_or_default();
    }
    for (index, stage) in recipe.stages.iter().enumerate() {
        if index >= run.state.stage {
            let mut returns = 0;
            let gained_nothing = match stage {
                Stage::Learn(learn) => {
                    let learned = run.learn(learn, report)?;
                    run.progress.weights = None;
                    returns = learned.returns;
                    !learned.gained
                }
                Stage::Refine(refine) => {
                    let stars = run.state.kept_stars();
                    let held: Vec<String> = variation::waits(recipe, index, &run.state.model)?.into_iter().collect();
                    star_step::minimise_holding(&mut run.state, observations, recipe, (&stars, &held), &refine.stars)?;
                    binaries::estimate(&mut run.state, observations, recipe)?;
                    false
                }
                Stage::Solve(solve) => !run.solve(solve, report)?,
                Stage::Clean(stage) => {
                    let cleaning = clean(&mut run.state, observations, stage)?;
                    tracing::info!("{}: removed {} of {} stars", cleaning.stage, cleaning.n_removed, cleaning.n_before);
                    run.progress.cleanings.push(cleaning);
                    false
                }
            };
            if moves_all(stage) && variation::waits(recipe, index, &run.state.model)?.is_none() {
                variation::normalise(&mut run.state, observations, recipe)?;
            }
            let loss = run.loss_at_optima(stage.name())?.whole;
            tracing::debug!(loss, "{}", stage.name());
            run.progress.stages.push(StageRecord { stage: stage.name().into(), loss, returns, gained_nothing });
            run.state.stage = index + 1;
            run.checkpoint(None)?;
        }
        run.epochs_before += work(stage);
        report(run.done(0), stage.name())?;
    }
    // What is estimated from the stars wants all of them at their optima, whatever the last stage was.
    let stars = run.state.kept_stars();
    run.follow(&stars, FOLLOWING_ITERATIONS)?;
    let mut doubts = Vec::new();
    if !variation::normalise(&mut run.state, observations, recipe)? {
        doubts.push(NOT_NORMALISED.to_owned());
        tracing::warn!("{NOT_NORMALISED}");
    }
    Ok(Outcome { state: run.state, cleanings: run.progress.cleanings, stages: run.progress.stages, doubts })
}

/// Weights, coordinates and binaries of a state.
type Snapshot = (Weights, Array2<f64>, Option<binaries::Binaries>);

/// Whether a stage moves all parameters of the stars: before, the variation of the curve has not been found.
fn moves_all(stage: &Stage) -> bool {
    match stage {
        Stage::Learn(learn) => learn.stars.is_some() && learn.star_parameters.is_empty(),
        Stage::Refine(_) | Stage::Solve(_) => true,
        Stage::Clean(_) => false,
    }
}

/// Share of a stage in the progress that is shown.
fn work(stage: &Stage) -> u32 {
    if let Stage::Learn(learn) = stage { learn.epochs } else { 1 }
}

pub(super) struct Run<'a> {
    pub recipe: &'a Recipe,
    pub observations: &'a Observations,
    pub state: TrainingState,
    pub progress: Progress,
    checkpoints: Option<Checkpoints<'a>>,
    last_checkpoint: Cell<Instant>,
    epochs_before: u32,
    total: u32,
}

impl Run<'_> {
    /// Fraction of the run that is done, with `epochs` of this stage.
    pub fn done(&self, epochs: u32) -> f64 {
        f64::from(self.epochs_before + epochs) / f64::from(self.total)
    }

    /// Steps of the wavelength weights; a step that raises the profile loss of the training stars is undone
    /// and damped. Returns whether the best state, by the stopping stars, is another than the first.
    fn solve(&mut self, stage: &Solve, report: Report<'_>) -> Result<bool> {
        let training = self.stars_passing(&stage.cuts, Part::Training)?;
        let stopping = self.state.stars(Part::Stopping);
        if training.is_empty() || stopping.is_empty() {
            return Err(no_stars(&stage.name, &format!("{} training and {} stopping stars", training.len(), stopping.len())));
        }
        let all = self.state.kept_stars();
        self.follow(&all, FOLLOWING_ITERATIONS)?;
        let mut lowest = self.losses(&training)?;
        let mut best = self.losses(&stopping)?;
        let snapshot = |state: &TrainingState| -> Snapshot {
            (state.model.weights.clone(), state.coordinates.clone(), state.binaries.clone())
        };
        let mut best_state = snapshot(&self.state);
        let mut damping = stage.damping;
        let mut gained = false;
        for step in 1..=stage.steps {
            let before = (self.state.model.weights.clone(), self.state.coordinates.clone());
            self.state.model = wavelength_step::step(&self.state, self.observations, self.recipe, &training, damping)?;
            self.follow(&all, FOLLOWING_ITERATIONS)?;
            let losses = self.losses(&training)?;
            if losses.lower_than(&lowest) {
                damping = (damping * 0.1).max(stage.damping * SMALLEST_SHARE_OF_DAMPING);
                let there = self.losses(&stopping)?;
                let is_best = there.lower_than(&best);
                (lowest, best) = (losses, if is_best { there } else { best });
                // What is known of binaries follows the weights, and changes the losses a little.
                if binaries::estimate(&mut self.state, self.observations, self.recipe)? {
                    self.follow(&all, FOLLOWING_ITERATIONS)?;
                    lowest = self.losses(&training)?;
                    best = if is_best { self.losses(&stopping)? } else { self.losses_elsewhere(&best_state, &stopping)? };
                }
                if is_best {
                    gained = true;
                    best_state = snapshot(&self.state);
                }
            } else {
                (self.state.model.weights, self.state.coordinates) = before;
                damping *= 100.0;
            }
            // What is done of this stage is done again when the training goes on: it is seconds.
            report(self.done(0), &format!("{}: step {step}, profile loss {:.4}", stage.name, lowest.whole))?;
            if damping >= 1.0 {
                // No step helps any more.
                break;
            }
        }
        (self.state.model.weights, self.state.coordinates, self.state.binaries) = best_state;
        Ok(gained)
    }

    /// The losses of the named stars, at their optima, with the weights and coordinates of another state and
    /// with what is known of binaries now: losses under other constraints do not compare.
    fn losses_elsewhere(&mut self, other: &Snapshot, stars: &[usize]) -> Result<Losses> {
        let here = (self.state.model.weights.clone(), self.state.coordinates.clone());
        (self.state.model.weights, self.state.coordinates) = (other.0.clone(), other.1.clone());
        let losses = self.follow(stars, FOLLOWING_ITERATIONS).and_then(|()| self.losses(stars));
        (self.state.model.weights, self.state.coordinates) = here;
        losses
    }

    /// The losses of the named stars where they are.
    pub fn losses(&self, stars: &[usize]) -> Result<Losses> {
        star_step::losses(&self.state, self.observations, self.recipe, stars)
    }

    /// The losses of the kept stopping stars at their optima; the state stays as it is.
    fn loss_at_optima(&mut self, stage: &str) -> Result<Losses> {
        let stopping = self.state.stars(Part::Stopping);
        let coordinates = self.state.coordinates.clone();
        self.follow(&stopping, FOLLOWING_ITERATIONS)?;
        let losses = self.losses(&stopping)?;
        self.state.coordinates = coordinates;
        match losses.is_finite() {
            true => Ok(losses),
            false => Err(Error::numerical(format!("stage '{stage}'"))
                .found(format!("{} stopping stars, none with a finite loss", stopping.len()))
                .remedy("Lower the learning rates, give more stars, or a larger stopping_fraction.")),
        }
    }

    /// Levenberg–Marquardt iterations of the named stars.
    pub fn follow(&mut self, stars: &[usize], iterations: u32) -> Result<()> {
        self.follow_holding((stars, &[]), iterations)
    }

    /// The same, with the parameters in `held` where they are.
    pub fn follow_holding(&mut self, moved: (&[usize], &[String]), iterations: u32) -> Result<()> {
        let method = LevenbergMarquardt { max_iterations: iterations, max_step: LONGEST_STEP, ..LevenbergMarquardt::default() };
        let method = Method::LevenbergMarquardt(method);
        star_step::minimise_holding(&mut self.state, self.observations, self.recipe, moved, &method)
    }

    /// Kept stars of one part that pass the cuts.
    pub fn stars_passing(&self, cuts: &[Cut], part: Part) -> Result<Vec<usize>> {
        let mut passes = vec![false; self.observations.len()];
        select(self.observations, cuts)?.into_iter().for_each(|star| passes[star] = true);
        Ok(self.state.stars(part).into_iter().filter(|&star| passes[star]).collect())
    }

    pub fn checkpoint_is_due(&self) -> bool {
        self.checkpoints.is_some_and(|checkpoints| self.last_checkpoint.get().elapsed() >= checkpoints.file.interval)
    }

    /// Writes a checkpoint, if there are any; within a stage of epochs, with its walk and the optimiser's
    /// state.
    pub fn checkpoint(&self, walk: Option<(&Walk, Vec<u8>)>) -> Result<()> {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoint::write(checkpoints, &self.state, &self.progress, walk)?;
            self.last_checkpoint.set(Instant::now());
        }
        Ok(())
    }
}

/// The error for a stage without stars.
pub(super) fn no_stars(stage: &str, found: &str) -> Error {
    Error::data(format!("stage '{stage}'"))
        .found(format!("{found} after cuts and cleaning"))
        .expected("at least one of each")
        .remedy("Loosen the cuts, give more stars, or check the errors in the observation file.")
}
