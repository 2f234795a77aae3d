//! Learning with a learner whose every step is known.

use super::*;
use crate::error::{Error, Result};
use std::time::Duration;

/// Loss (x − 1)² by gradient descent with momentum; its validation loss turns up after `turn` epochs.
struct Parabola {
    x: f64,
    velocity: f64,
    turn: u32,
}

impl Parabola {
    fn new(seed: u64) -> Self {
        Self { x: (seed % 97) as f64 / 97.0 + 2.0, velocity: 0.0, turn: u32::MAX }
    }
}

impl Learner for Parabola {
    fn epoch(&mut self, turn: &Turn) -> Result<Losses> {
        self.velocity = 0.5 * self.velocity - 2.0 * turn.learning_rate * (self.x - 1.0);
        self.x += self.velocity;
        let training = (self.x - 1.0).powi(2);
        let validation = if turn.epoch < self.turn { training } else { 100.0 + f64::from(turn.epoch) };
        Ok(Losses { training, validation: Judged::of(validation), terms: None })
    }

    fn learned(&self) -> Result<Parts> {
        Ok(Parts { numbers: [("x".to_owned(), vec![self.x])].into(), ..Default::default() })
    }

    fn restore(&mut self, learned: &Parts) -> Result<()> {
        self.x = learned.numbers_of("x")?[0];
        Ok(())
    }

    fn momentum(&self) -> Result<Vec<u8>> {
        Ok(self.velocity.to_le_bytes().to_vec())
    }

    fn restore_momentum(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.velocity = f64::from_le_bytes(bytes.try_into().unwrap());
        Ok(())
    }

    fn forget_momentum(&mut self) {
        self.velocity = 0.0;
    }
}

fn plan(epochs: u32) -> Plan {
    Plan { epochs, learning_rate: 0.05, patience: None, ..Default::default() }
}

#[test]
fn a_run_that_is_stopped_anywhere_goes_on_to_the_same_bits() {
    let start = |member| Ok(Parabola::new(member_seed(7, member)));
    let whole = ensemble(3, &plan(6), None, start, &mut |_, _| Ok(())).unwrap();
    assert!(whole[0].learned != whole[1].learned, "seeds differ");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    for stop in [1, 6, 7, 11] {
        // Being stopped writes one, however long ago the last was.
        let interval = if stop == 6 { Duration::from_secs(3600) } else { Duration::ZERO };
        let checkpoints = |resume| Some(Checkpoints { file: CheckpointFile { path: &path, interval, resume }, run: "this" });
        let mut epochs = 0;
        let stopped = ensemble(3, &plan(6), checkpoints(false), start, &mut |_, _| {
            epochs += 1;
            if epochs == stop { Err(Error::numerical("a test").found("a stop")) } else { Ok(()) }
        });
        assert!(stopped.is_err());
        assert_eq!(ensemble(3, &plan(6), checkpoints(true), start, &mut |_, _| Ok(())).unwrap(), whole, "stopped after {stop}");
    }
    let file = CheckpointFile { path: &path, interval: Duration::ZERO, resume: true };
    let other = Checkpoints { file, run: "other" };
    let error = ensemble(3, &plan(6), Some(other), start, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let same = Checkpoints { file, run: "this" };
    let resumed = || ensemble(3, &plan(6), Some(same), start, &mut |_, _| Ok(())).map_err(|error| error.to_string());
    // A number that was overwritten leaves a file that can be read.
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(resumed().unwrap_err().contains("another content than was written"));
    std::fs::write(&path, b"damaged").unwrap();
    assert!(resumed().unwrap_err().contains("--overwrite"));
}

#[test]
fn the_best_epoch_is_kept_and_patience_ends_the_walk() {
    let start = |_| Ok(Parabola { turn: 4, ..Parabola::new(3) });
    let patient = Plan { patience: Some(3), ..plan(50) };
    let found = ensemble(1, &patient, None, start, &mut |_, _| Ok(())).unwrap();
    assert_eq!(found[0].history.len(), 4 + 3);
    let four = ensemble(1, &plan(4), None, |_| Ok(Parabola::new(3)), &mut |_, _| Ok(())).unwrap();
    assert_eq!(found[0].learned, four[0].learned);
}

#[test]
fn plateaus_halve_the_rate_after_their_patience_and_again() {
    let start = |_| Ok(Parabola { turn: 1, ..Parabola::new(3) });
    let halving = Plan { plateau: Some(Plateau { factor: 0.5, patience: 2 }), ..plan(7) };
    let found = ensemble(1, &halving, None, start, &mut |_, _| Ok(())).unwrap();
    let rates: Vec<f64> = found[0].history.iter().map(|record| record.learning_rate / 0.05).collect();
    assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
}

#[test]
fn schedules_and_impossible_plans() {
    let steps = Schedule::Steps { epochs: vec![32, 64], factor: 0.1 };
    assert!((steps.factor(31, 128) - 1.0).abs() < 1e-15 && (steps.factor(64, 128) - 0.01).abs() < 1e-15);
    let cosine = Schedule::Cosine { end_fraction: 0.1 };
    assert!((cosine.factor(0, 10) - 1.0).abs() < 1e-15 && (cosine.factor(10, 10) - 0.1).abs() < 1e-15);
    for (plan, key) in [
        (Plan { epochs: 0, ..plan(1) }, "epochs"),
        (Plan { learning_rate: f64::NAN, ..plan(1) }, "learning_rate"),
        (Plan { patience: Some(0), ..plan(1) }, "patience"),
        (Plan { schedule: Schedule::Cosine { end_fraction: 1.5 }, ..plan(1) }, "end_fraction"),
        (Plan { plateau: Some(Plateau { factor: 0.0, patience: 1 }), ..plan(1) }, "plateau"),
        (Plan { guard: Some(Guard { most_returns: 0, ..Guard::default() }), ..plan(1) }, "guard.most_returns"),
        (Plan { guard: Some(Guard { largest_increase: -0.1, ..Guard::default() }), ..plan(1) }, "guard.largest_increase"),
    ] {
        let error = plan.validate().unwrap_err();
        assert!(error.to_string().contains(key) && error.exit_code() == 2, "{error}");
    }
    let steep = ensemble(1, &Plan { learning_rate: 1e200, ..plan(9) }, None, |_| Ok(Parabola::new(1)), &mut |_, _| Ok(()));
    assert!(steep.unwrap_err().to_string().contains("learning rate"));
}

#[test]
fn folds_are_even_and_independent_of_the_validation_part() {
    let n = 50_000;
    let mut counts = [[0_u32; 2]; 5];
    for id in (0..n).map(|i| i << 35) {
        counts[fold(id, 5) as usize][usize::from(crate::observations::in_validation(id, 0.2))] += 1;
    }
    for count in counts {
        // Binomial: 8 000 ± 82 and 2 000 ± 44
        assert!(
            (f64::from(count[0]) - 8000.0).abs() < 4.0 * 82.0 && (f64::from(count[1]) - 2000.0).abs() < 4.0 * 44.0,
            "{counts:?}"
        );
    }
    let held = (0..n).filter(|i| is_held_out(i << 35, 0.1) && !crate::observations::in_validation(i << 35, 0.2)).count() as f64;
    assert!((held - 4000.0).abs() < 4.0 * 61.0, "{held}");
    assert!(member_seed(1, 0) != member_seed(1, 1) && member_seed(1, 0) != member_seed(2, 0));
}

/// Steps of the first rate overshoot the minimum by ever more: without a guard they end at infinity, with one
/// at the minimum, by way of a rate that is low enough.
#[test]
fn a_guard_returns_to_the_best_epoch_at_half_the_rate() {
    let too_high = Plan { learning_rate: 2.0, ..plan(60) };
    let error = ensemble(1, &Plan { epochs: 2000, ..too_high.clone() }, None, |_| Ok(Parabola::new(1)), &mut |_, _| Ok(()));
    assert!(error.unwrap_err().to_string().contains("not finite"));
    let guarded = Plan { guard: Some(Guard::default()), ..too_high.clone() };
    let trained = ensemble(1, &guarded, None, |_| Ok(Parabola::new(1)), &mut |_, _| Ok(())).unwrap();
    let rates: Vec<f64> = trained[0].history.iter().map(|record| record.learning_rate).collect();
    // Gradient descent with this momentum diverges above a rate of 1.5.
    assert!(rates.is_sorted_by(|a, b| a >= b) && rates[0] == 2.0 && *rates.last().unwrap() <= 1.0, "{rates:?}");
    assert!((trained[0].learned.numbers["x"][0] - 1.0).abs() < 1e-3);
    // One that returns too often ends: the rate never gets low enough.
    let hopeless = Plan { learning_rate: 1e9, guard: Some(Guard { most_returns: 3, ..Guard::default() }), ..plan(60) };
    let trained = ensemble(1, &hopeless, None, |_| Ok(Parabola::new(1)), &mut |_, _| Ok(())).unwrap();
    assert_eq!(trained[0].history.len(), 4, "the first epoch is the best, three others are undone");
}
