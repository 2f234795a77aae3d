//! Checkpoints of families whose pixels are trained one by one.

use crate::error::Result;
use crate::package::TrainingContext;
use crate::per_pixel::train::{Checkpoint, PixelResult, Place};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The pixels that are finished; told to the report of a training, and written now and then.
pub(super) struct PixelCheckpoints<'a> {
    context: &'a TrainingContext<'a>,
    n_pixels: usize,
    /// Those of an interrupted training that is taken up.
    pub finished: Checkpoint,
    state: Mutex<State>,
}

/// Finished pixels, and the last time that they were written.
struct State {
    checkpoint: Checkpoint,
    written: Instant,
    n_done: usize,
}

impl<'a> PixelCheckpoints<'a> {
    /// # Errors
    /// When there is a checkpoint that cannot be read, or of another training.
    pub fn new(context: &'a TrainingContext<'a>, n_pixels: usize) -> Result<Self> {
        let finished = match context.checkpoints.is_taken_up() {
            true => Checkpoint::read(context.checkpoints.path, context.run)?,
            false => Checkpoint::default(),
        };
        let state = Mutex::new(State { checkpoint: finished.clone(), written: Instant::now(), n_done: 0 });
        Ok(Self { context, n_pixels, finished, state })
    }

    /// A pixel is finished.
    ///
    /// # Errors
    /// That of the report, after a checkpoint.
    pub fn done(&self, place: Place, result: &PixelResult) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let n_pixels = place.n_rounds * self.n_pixels;
        state.n_done += 1;
        state.checkpoint.pixels.insert((place.round, place.pixel), result.clone());
        let text = format!("{} of {n_pixels} pixels", state.n_done);
        let goes_on = (self.context.report)(state.n_done as f64 / n_pixels as f64, &text);
        if goes_on.is_err() || state.written.elapsed() >= self.context.checkpoints.interval {
            // A training that cannot be gone on with is still a training.
            if let Err(error) = state.checkpoint.write(self.context.checkpoints.path, self.context.run) {
                tracing::warn!("{error}");
            }
            state.written = Instant::now();
        }
        goes_on
    }
}
