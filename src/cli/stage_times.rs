//! Where the processor time of a fit goes.

use crate::package::FitStage;
use crate::run::clock::thread_seconds;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Mutex;
use std::thread::ThreadId;

/// Processor time of all threads by stage, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StageTimes {
    /// Hashes of the inputs.
    pub hash: f64,
    /// Starting points.
    pub start: f64,
    /// Optima.
    pub optimise: f64,
    /// Covariances, exact Hessians and flags.
    pub describe: f64,
    /// Posteriors by weighted draws.
    pub posterior: f64,
    /// Catalogue to file.
    pub write: f64,
    /// Everything else: reading, parsing, preparing and whitening, and what an engine does in threads of its
    /// own (tensors, devices).
    pub rest: f64,
}

impl StageTimes {
    fn stages(&self) -> [(&'static str, f64); 7] {
        let Self { hash, start, optimise, describe, posterior, write, rest } = *self;
        [
            ("hash", hash),
            ("start", start),
            ("optimise", optimise),
            ("describe", describe),
            ("posterior", posterior),
            ("write", write),
            ("reading, whitening and the rest", rest),
        ]
    }

    /// All stages together.
    pub fn total(&self) -> f64 {
        self.stages().iter().map(|(_, seconds)| seconds).sum()
    }
}

impl std::fmt::Display for StageTimes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total = self.total();
        write!(formatter, "{total:.1} s of processor time")?;
        let stages = self.stages().into_iter().filter(|(name, seconds)| *name != "posterior" || *seconds > 0.0);
        for (position, (name, seconds)) in stages.enumerate() {
            let share = 100.0 * seconds / total.max(f64::MIN_POSITIVE);
            write!(formatter, "{} {name} {share:.0} %", if position == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl std::ops::AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.hash += other.hash;
        self.start += other.start;
        self.optimise += other.optimise;
        self.describe += other.describe;
        self.posterior += other.posterior;
        self.write += other.write;
        self.rest += other.rest;
    }
}

/// Times the stages of a fit, which several threads go through.
#[derive(Default)]
pub struct FitClock {
    laps: Mutex<Laps>,
    /// Whether stages are reached by one thread, whose work is done by all threads of the pool.
    is_of_pool: bool,
}

#[derive(Default)]
struct Laps {
    times: StageTimes,
    n_evaluations: u64,
    /// When each thread reached its last stage, by its own clock.
    last: HashMap<ThreadId, f64>,
}

impl FitClock {
    /// Of fits that one thread asks for and all threads of the pool work on, as those of models of spectra
    /// are. What these read at the same time, of raw files, counts for the stage.
    pub fn of_pool() -> Self {
        Self { is_of_pool: true, ..Self::default() }
    }

    /// Processor time of those that work for this thread.
    fn now(&self) -> f64 {
        if !self.is_of_pool {
            return thread_seconds();
        }
        let of_pool: f64 = rayon::broadcast(|_| thread_seconds()).iter().sum();
        if rayon::current_thread_index().is_some() { of_pool } else { of_pool + thread_seconds() }
    }

    /// What [`Fitter::fit_in_stages`](crate::infer::Fitter::fit_in_stages) calls.
    pub fn reached(&self, stage: FitStage) {
        let now = self.now();
        // A lap that another thread could not finish is lost with that thread.
        let Ok(mut laps) = self.laps.lock() else { return };
        let before = laps.last.insert(std::thread::current().id(), now).unwrap_or(now);
        let lap = now - before;
        match stage {
            FitStage::Begun => {}
            FitStage::Start => laps.times.start += lap,
            FitStage::Optimum { n_evaluations } => {
                laps.n_evaluations += n_evaluations;
                laps.times.optimise += lap;
            }
            FitStage::Description => laps.times.describe += lap,
            FitStage::Posterior => laps.times.posterior += lap,
        }
    }

    /// Times of start, optimum and description, and the evaluations of normal equations of a star.
    pub fn finish(self) -> (StageTimes, u64) {
        let Laps { times, n_evaluations, .. } = self.laps.into_inner().unwrap_or_default();
        (times, n_evaluations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The work of a parallel loop counts, whichever threads it ran on.
    #[test]
    fn work_of_the_pool_is_counted() {
        use rayon::prelude::*;
        let stages = |clock: FitClock| {
            clock.reached(FitStage::Begun);
            let begun = thread_seconds();
            let sum: f64 = (0..64)
                .into_par_iter()
                .map(|k| (0..200_000).map(|i| f64::from(std::hint::black_box(i + k)).sqrt()).sum::<f64>())
                .sum();
            assert!(sum > 0.0);
            let own = thread_seconds() - begun;
            clock.reached(FitStage::Optimum { n_evaluations: 1 });
            (clock.finish().0.optimise, own)
        };
        let (of_pool, own) = stages(FitClock::of_pool());
        assert!(of_pool > own + 1e-3 && of_pool > 2.0 * own, "{of_pool} {own}");
        let (of_thread, _) = stages(FitClock::default());
        assert!(of_thread < 0.5 * of_pool, "{of_thread}");
    }

    #[test]
    fn every_thread_has_laps_of_its_own() {
        let clock = FitClock::default();
        let work = || {
            clock.reached(FitStage::Begun);
            let sum: f64 = (0..400_000).map(|i| f64::from(std::hint::black_box(i)).sqrt()).sum();
            assert!(sum > 0.0);
            clock.reached(FitStage::Start);
            clock.reached(FitStage::Optimum { n_evaluations: 7 });
            clock.reached(FitStage::Description);
        };
        std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
        let (times, n_evaluations) = clock.finish();
        assert_eq!(n_evaluations, 14);
        assert!(times.start > 0.0 && times.start > 0.5 * times.total() && times.rest == 0.0, "{times:?}");
        let text = StageTimes { rest: 3.0, write: 1.0, ..StageTimes::default() }.to_string();
        assert_eq!(
            text,
            "4.0 s of processor time: hash 0 %, start 0 %, optimise 0 %, describe 0 %, write 25 %, reading, whitening and the rest 75 %"
        );
    }
}
