//! The training loop: stages, epochs, early stop, checkpoints.

use super::checkpoint::{self, Best, Progress};
use super::clean::{CleaningReport, clean};
use super::global_step::{self, BatchLoss};
use super::recipe::{Learn, Recipe, Solve, Stage, StarUpdate};
use super::star_step;
use super::state::{EpochRecord, TrainingState};
use super::wavelength_step;
use crate::error::{Error, Result};
use crate::model::ForwardModel;
use crate::observations::{Cut, Observations, select, shuffled};
use crate::optimise::{LevenbergMarquardt, Method};
use crate::tensor::{Descent, Device};
use std::path::Path;
use std::time::{Duration, Instant};

/// Iterations with which the stars follow a step of the wavelength weights.
const FOLLOWING_ITERATIONS: u32 = 6;
/// Largest change of a star's coordinate in one of its steps, while the weights change too.
const LONGEST_STEP: f64 = 0.5;
/// The damping of a stage of kind `solve` falls to no less than this share of the first.
const SMALLEST_SHARE_OF_DAMPING: f64 = 0.01;

/// Where checkpoints go and how often.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints<'a> {
    /// Output of the run; the checkpoint lies beside it.
    pub output: &'a Path,
    /// Shortest time between two checkpoints (they are written at ends of epochs and do not influence the result).
    pub interval: Duration,
    /// Whether an existing checkpoint is taken up.
    pub resume: bool,
}

impl Checkpoints<'_> {
    /// Removes the checkpoint of a run whose model is saved. That it is gone already is no fault.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(checkpoint::path(self.output));
    }
}

/// The outcome of the stages.
pub struct Outcome {
    pub state: TrainingState,
    pub cleanings: Vec<CleaningReport>,
}

/// Runs all stages of a recipe from a started state; `report` is called after every epoch and stage with the fraction done.
///
/// # Errors
/// When a checkpoint cannot be read or written, a cut names an unknown quantity, a stage has no stars, or the loss is not
/// finite.
pub fn run(
    recipe: &Recipe,
    observations: &Observations,
    state: TrainingState,
    checkpoints: Option<(Checkpoints<'_>, &str)>,
    report: &mut dyn FnMut(f64, &str),
) -> Result<Outcome> {
    let mut run = Run {
        recipe,
        observations,
        state,
        progress: Progress::default(),
        checkpoints,
        last_checkpoint: Instant::now(),
        epochs_before: 0,
    };
    if let Some((checkpoints, identity)) = checkpoints {
        let path = checkpoint::path(checkpoints.output);
        if checkpoints.resume && path.exists() {
            run.progress = checkpoint::read(&path, identity, &mut run.state)?;
        }
    }
    let work = |stage: &Stage| if let Stage::Learn(learn) = stage { learn.epochs } else { 1 };
    let total: u32 = recipe.stages.iter().map(work).sum();
    for (index, stage) in recipe.stages.iter().enumerate() {
        if index >= run.state.position.stage {
            match stage {
                Stage::Learn(learn) => run.learn(learn, total, report)?,
                Stage::Refine(refine) => {
                    let stars: Vec<usize> = (0..run.state.kept.len()).filter(|&star| run.state.kept[star]).collect();
                    star_step::minimise(&mut run.state, observations, recipe, &stars, &refine.stars)?;
                }
                Stage::Solve(solve) => run.solve(solve, total, report)?,
                Stage::Clean(stage) => {
                    let cleaning = clean(&mut run.state, observations, stage)?;
                    tracing::info!("{}: removed {} of {} stars", cleaning.stage, cleaning.n_removed, cleaning.n_before);
                    run.progress.cleanings.push(cleaning);
                }
            }
            run.state.position = super::state::Position { stage: index + 1, epoch: 0, since_best: 0 };
            run.progress.optimiser = None;
            run.progress.best = None;
            run.checkpoint()?;
        }
        run.epochs_before += work(stage);
        report(f64::from(run.epochs_before) / f64::from(total), stage.name());
    }
    Ok(Outcome { state: run.state, cleanings: run.progress.cleanings })
}

struct Run<'a> {
    recipe: &'a Recipe,
    observations: &'a Observations,
    state: TrainingState,
    progress: Progress,
    checkpoints: Option<(Checkpoints<'a>, &'a str)>,
    last_checkpoint: Instant,
    epochs_before: u32,
}

impl Run<'_> {
    fn learn(&mut self, stage: &Learn, total: u32, report: &mut dyn FnMut(f64, &str)) -> Result<()> {
        let device = self.state.model.device().clone();
        let names = self.state.model.weights.names();
        if let Some(unknown) = stage.moves.iter().find(|prefix| !names.iter().any(|name| name.starts_with(prefix.as_str()))) {
            return Err(Error::usage(format!("stage '{}', moves", stage.name))
                .found(format!("'{unknown}'"))
                .expected(format!("the beginning of one of {}", names.join(", ")))
                .remedy("Name an effect (emulator, extinction), or leave moves out for all weights."));
        }
        let (training, validation) = self.stars_of(stage)?;
        let mut descent = match self.progress.optimiser.take() {
            Some(bytes) => Descent::from_bytes(&stage.optimiser, bytes, &device)?,
            None => Descent::new(&stage.optimiser),
        };
        while self.state.position.epoch < stage.epochs && !self.patience_is_spent(stage) {
            let epoch = self.state.position.epoch;
            let factor = stage.schedule.factor(epoch, stage.epochs);
            let rate = stage.learning_rate.map(|rate| rate * factor);
            if matches!(stage.stars, Some(StarUpdate::LevenbergMarquardt { .. })) {
                let all: Vec<usize> = training.iter().chain(&validation).copied().collect();
                self.update_stars(stage, &all, factor)?;
            }
            let training_loss = self.epoch(stage, &training, &mut descent, rate, factor, &device)?;
            if !matches!(stage.stars, Some(StarUpdate::LevenbergMarquardt { .. })) {
                self.update_stars(stage, &validation, factor)?;
            }
            let loss = &self.recipe.loss;
            let validation_loss =
                global_step::evaluate(&self.state.model, self.observations, &validation, &self.state.coordinates, loss)?.mean();
            if !(training_loss.mean().is_finite() && validation_loss.is_finite()) {
                return Err(Error::numerical(format!("stage '{}', epoch {epoch}", stage.name))
                    .found("a loss that is not finite")
                    .remedy("Lower the learning rate."));
            }
            self.state.history.push(EpochRecord {
                stage: stage.name.clone(),
                epoch: self.state.history.len() as u32,
                learning_rate: rate.unwrap_or(0.0),
                training_loss: training_loss.mean(),
                validation_loss,
            });
            self.state.position.epoch += 1;
            self.remember_best(stage, validation_loss);
            let done = f64::from(self.epochs_before + self.state.position.epoch) / f64::from(total);
            report(
                done,
                &format!("{}: loss {:.4} in training, {validation_loss:.4} in validation", stage.name, training_loss.mean()),
            );
            if self.checkpoint_is_due() {
                self.progress.optimiser = Some(descent.to_bytes()?);
                self.checkpoint()?;
            }
        }
        if let Some(best) = self.progress.best.take() {
            self.state.model.weights = best.weights;
            self.state.coordinates = best.coordinates;
        }
        Ok(())
    }

    /// Steps of the wavelength weights; a step that raises the profile loss of the training stars is undone and damped.
    fn solve(&mut self, stage: &Solve, total: u32, report: &mut dyn FnMut(f64, &str)) -> Result<()> {
        let training = self.stars_passing(&stage.cuts, false)?;
        if training.is_empty() {
            return Err(no_stars(&stage.name, "no training stars"));
        }
        let all: Vec<usize> = (0..self.state.kept.len()).filter(|&star| self.state.kept[star]).collect();
        self.follow(&all, FOLLOWING_ITERATIONS)?;
        let mut best = self.profile_loss(&training)?;
        let mut damping = stage.damping;
        for step in 1..=stage.steps {
            let before = (self.state.model.weights.clone(), self.state.coordinates.clone());
            self.state.model = wavelength_step::step(&self.state, self.observations, self.recipe, &training, damping)?;
            self.follow(&all, FOLLOWING_ITERATIONS)?;
            let loss = self.profile_loss(&training)?;
            if loss < best {
                best = loss;
                damping = (damping * 0.1).max(stage.damping * SMALLEST_SHARE_OF_DAMPING);
            } else {
                (self.state.model.weights, self.state.coordinates) = before;
                damping *= 100.0;
            }
            let done = f64::from(self.epochs_before) / f64::from(total);
            report(done, &format!("{}: step {step}, profile loss {best:.4}", stage.name));
            if damping >= 1.0 {
                // No step helps any more.
                break;
            }
        }
        Ok(())
    }

    /// Mean loss of the named stars per finite flux, constraints included.
    fn profile_loss(&self, stars: &[usize]) -> Result<f64> {
        let n_fluxes: usize = stars.iter().map(|&star| self.observations.n_fluxes(star)).sum();
        Ok(star_step::loss(&self.state, self.observations, self.recipe, stars)? / n_fluxes as f64)
    }

    /// One pass over the training stars; the weights move on a taped copy of the model.
    fn epoch(
        &mut self,
        stage: &Learn,
        training: &[usize],
        descent: &mut Descent,
        rate: Option<f64>,
        factor: f64,
        device: &Device,
    ) -> Result<BatchLoss> {
        let order = shuffled(training, self.recipe.seed, self.state.history.len() as u64);
        let mut sum = BatchLoss::default();
        let mut taped: ForwardModel = self.state.model.to(&device.taped());
        taped.weights.freeze_all_but(&stage.moves);
        for batch in order.chunks(stage.batch) {
            let (data, recipe) = (self.observations, self.recipe);
            if matches!(stage.stars, Some(StarUpdate::Profile { .. })) {
                self.state.model.weights = taped.weights.to(device);
                self.update_stars(stage, batch, factor)?;
            }
            if let Some(rate) = rate {
                let stars = &self.state.coordinates;
                let (loss, penalties, largest) = (&recipe.loss, &recipe.penalties, stage.largest_gradient);
                sum.add(global_step::step(&mut taped, descent, data, batch, stars, loss, penalties, rate, largest)?);
            }
            if matches!(stage.stars, Some(StarUpdate::GradientStep { .. })) {
                self.state.model.weights = taped.weights.to(device);
                self.update_stars(stage, batch, factor)?;
            }
        }
        self.state.model = taped.to(device);
        self.state.model.weights.freeze_all_but(&[]);
        if rate.is_none() {
            sum = global_step::evaluate(
                &self.state.model,
                self.observations,
                training,
                &self.state.coordinates,
                &self.recipe.loss,
            )?;
        }
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

    /// Levenberg–Marquardt iterations of the named stars.
    fn follow(&mut self, stars: &[usize], iterations: u32) -> Result<()> {
        let method = LevenbergMarquardt { max_iterations: iterations, max_step: LONGEST_STEP, ..LevenbergMarquardt::default() };
        star_step::minimise(&mut self.state, self.observations, self.recipe, stars, &Method::LevenbergMarquardt(method))
    }

    /// Kept stars of one part that pass the cuts.
    fn stars_passing(&self, cuts: &[Cut], validation: bool) -> Result<Vec<usize>> {
        let mut passes = vec![false; self.observations.len()];
        select(self.observations, cuts)?.into_iter().for_each(|star| passes[star] = true);
        Ok(self.state.stars(validation).into_iter().filter(|&star| passes[star]).collect())
    }

    /// Training and validation stars of a stage.
    fn stars_of(&self, stage: &Learn) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut passes = vec![false; self.observations.len()];
        select(self.observations, &stage.cuts)?.into_iter().for_each(|star| passes[star] = true);
        let pick =
            |validation: bool| -> Vec<usize> { self.state.stars(validation).into_iter().filter(|&star| passes[star]).collect() };
        let (training, validation) = (pick(false), pick(true));
        if training.is_empty() || validation.is_empty() {
            let found = format!("{} training and {} validation stars", training.len(), validation.len());
            return Err(no_stars(&stage.name, &found));
        }
        Ok((training, validation))
    }

    /// Keeps the best epoch of a stage with `patience`.
    fn remember_best(&mut self, stage: &Learn, validation_loss: f64) {
        if stage.patience.is_none() {
            return;
        }
        if self.progress.best.as_ref().is_none_or(|best| validation_loss < best.loss) {
            self.state.position.since_best = 0;
            self.progress.best = Some(Best {
                loss: validation_loss,
                weights: self.state.model.weights.clone(),
                coordinates: self.state.coordinates.clone(),
            });
        } else {
            self.state.position.since_best += 1;
        }
    }

    fn patience_is_spent(&self, stage: &Learn) -> bool {
        stage.patience.is_some_and(|patience| self.state.position.since_best >= patience)
    }

    fn checkpoint_is_due(&self) -> bool {
        self.checkpoints.is_some_and(|(checkpoints, _)| self.last_checkpoint.elapsed() >= checkpoints.interval)
    }

    fn checkpoint(&mut self) -> Result<()> {
        if let Some((checkpoints, identity)) = self.checkpoints {
            checkpoint::write(&checkpoint::path(checkpoints.output), identity, &self.state, &self.progress)?;
            self.last_checkpoint = Instant::now();
        }
        Ok(())
    }
}

fn no_stars(stage: &str, found: &str) -> Error {
    Error::data(format!("stage '{stage}'"))
        .found(format!("{found} after cuts and cleaning"))
        .expected("at least one of each")
        .remedy("Loosen the cuts, or check the errors in the observation file.")
}
