//! The figures of a bench, for people and for programs.

use super::machine::Machine;
use super::operations::{Operations, factor, spectrum};
use super::pipeline::{Pass, Stage};
use crate::error::Result;
use crate::statistics::percentiles;
use crate::validate::number::{aligned, significant};
use serde::Serialize;
use std::fmt;

/// All figures. Times of stages are processor time of one thread; what could not be had is null.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    pub stars: usize,
    pub model: String,
    pub device: String,
    pub threads: usize,
    pub machine: Machine,
    pub stages: Vec<StageReport>,
    /// Start, optimum, Fisher matrix and flags: microseconds per star, median of the repeats.
    pub fit_microseconds: f64,
    /// Per evaluation of the normal equations, the solve of the step included.
    pub step_microseconds: f64,
    pub steps_per_star: f64,
    pub engines: EngineReport,
    /// Largest resident memory of the process up to the end of the passes, all stars being held at once.
    pub peak_memory_bytes: Option<u64>,
}

/// One stage.
#[derive(Debug, Serialize)]
pub struct StageReport {
    pub stage: Stage,
    /// Smallest, median and largest of the repeats, processor time.
    pub microseconds_per_star: [f64; 3],
    pub stars_per_second_per_core: f64,
    /// Operations and bytes per star by formula, and their rates over the machine's peaks.
    pub operations: Option<f64>,
    pub fraction_of_product: Option<f64>,
    pub bytes: Option<f64>,
    pub fraction_of_copy: Option<f64>,
    /// Microseconds per star on the wall with one thread and with all.
    pub wall_microseconds: [f64; 2],
    pub speed_up: f64,
}

/// Largest |Δ|/σ of a parameter of a star against the tensor engine in double precision: median, 99th
/// percentile, largest.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EngineReport {
    /// To the optimum: engine and stopping rule.
    pub fit: [f64; 3],
    /// Of a Newton step at the same values: the engine alone.
    pub engine: [f64; 3],
}

impl StageReport {
    /// All stages, from passes on one thread and on all.
    ///
    /// # Errors
    /// When the instrument tables cannot be read.
    pub fn all(single: &[Pass], several: &[Pass], operations: Option<&Operations>, machine: &Machine) -> Result<Vec<Self>> {
        let Some(first) = single.first() else { return Ok(Vec::new()) };
        let n = first.observations.len() as f64;
        let steps = first.n_evaluations as f64 / n;
        let per_star = |bytes: u64| Some(bytes as f64 / n);
        let step = |count: f64, pick: fn(&Operations) -> f64| operations.map(|operations| count * pick(operations));
        let report = |stage: &Stage| -> Result<Self> {
            let (flop, bytes) = match stage {
                Stage::Read => (None, per_star(first.read_bytes)),
                Stage::Prepare => spectrum().map(|(flop, bytes)| (Some(flop), Some(bytes)))?,
                Stage::Whiten => (Some(factor().0), Some(factor().1)),
                Stage::Start => (None, None),
                Stage::Optimise => (step(steps, Operations::step), step(steps, Operations::data_bytes)),
                Stage::Fisher => (step(1.0, Operations::normal_equations), step(1.0, Operations::data_bytes)),
                Stage::Hessian => (step(1.0, Operations::hessian), step(1.0, Operations::data_bytes)),
                Stage::Write => (None, per_star(first.written_bytes)),
            };
            let microseconds = |passes: &[Pass], wall: bool| {
                let times = passes.iter().filter_map(|pass| pass.seconds.get(stage));
                let times: Vec<f64> = times.map(|time| 1e6 / n * if wall { time.wall } else { time.cpu }).collect();
                percentiles(&times, [0.0, 50.0, 100.0])
            };
            let cpu = microseconds(single, false);
            let wall = [single, several].map(|passes| microseconds(passes, true)[1]);
            Ok(Self {
                stage: *stage,
                microseconds_per_star: cpu,
                stars_per_second_per_core: 1e6 / cpu[1],
                operations: flop,
                fraction_of_product: flop.map(|flop| 1e6 * flop / cpu[1] / machine.flops),
                bytes,
                fraction_of_copy: bytes.map(|bytes| 1e6 * bytes / cpu[1] / machine.copied_bytes),
                wall_microseconds: wall,
                speed_up: wall[0] / wall[1],
            })
        };
        first.seconds.keys().map(report).collect()
    }

    fn row(&self) -> Vec<String> {
        let [low, middle, high] = self.microseconds_per_star.map(|time| significant(time, 3));
        let number = |value: Option<f64>, scale: f64| value.map_or("–".into(), |value| significant(scale * value, 3));
        vec![
            format!("{:?}", self.stage).to_lowercase(),
            middle,
            format!("{low} to {high}"),
            significant(self.stars_per_second_per_core, 3),
            number(self.operations, 1e-3),
            number(self.fraction_of_product, 100.0),
            number(self.bytes, 1e-3),
            number(self.fraction_of_copy, 100.0),
            significant(self.wall_microseconds[1], 3),
            significant(self.speed_up, 3),
        ]
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gflop, gbytes) = (significant(1e-9 * self.machine.flops, 3), significant(1e-9 * self.machine.copied_bytes, 3));
        writeln!(formatter, "{} simulated stars, model {}, {}, {} threads", self.stars, self.model, self.device, self.threads)?;
        writeln!(formatter, "peaks: {gflop} GFLOP/s in a matrix product (f32), {gbytes} GB/s in a copy, one thread\n")?;
        let head = [
            "stage",
            "µs/star",
            "spread",
            "stars/s/core",
            "kFLOP/star",
            "% of product",
            "kB/star",
            "% of copy",
            "µs/star, all",
            "speed-up",
        ];
        let head = head.map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(self.stages.iter().map(StageReport::row)).collect();
        formatter.write_str(&aligned(&rows))?;
        let (fit, step, steps) =
            (significant(self.fit_microseconds, 3), significant(self.step_microseconds, 3), significant(self.steps_per_star, 3));
        writeln!(formatter, "\nstart, optimise and fisher together: {fit} µs per star; {steps} steps per star, {step} µs each")?;
        let spread = |values: [f64; 3]| values.map(|value| significant(value, 2)).join(", ");
        writeln!(
            formatter,
            "largest shift of a parameter against double precision (tensor engine), in σ: median, 99 %, largest\n  \
             of the fit to its optimum: {}\n  of a step, by the rounding of the engine: {}",
            spread(self.engines.fit),
            spread(self.engines.engine)
        )?;
        match self.peak_memory_bytes {
            Some(bytes) => writeln!(formatter, "peak memory: {} MB, all stars held at once", significant(1e-6 * bytes as f64, 3)),
            None => Ok(()),
        }
    }
}
