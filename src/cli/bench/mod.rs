//! `photosphere bench`: how fast every stage is on this machine, and how far from what the machine can do.

mod direct;
mod machine;
mod operations;
mod pipeline;
mod pixel_networks;
mod report;

use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::infer::FitOptions;
use crate::infer::audit::{AuditOptions, audit};
use crate::package::read_toml;
use crate::statistics::percentiles;
use crate::train::TrainedModel;
use direct::DirectBench;
use machine::Machine;
use operations::Operations;
use pipeline::{Pass, Pipeline, Stage};
use pixel_networks::PixelBench;
use report::{BenchReport, EngineReport, StageReport};
use std::path::PathBuf;

/// Most stars and repeats.
const MOST: usize = 10_000_000;

/// Measure every stage from raw spectra to the catalogue on simulated stars, beside the peaks of this
/// machine.
///
/// Times per star are processor time on one thread; the speed-up compares the wall times of one thread and
/// of --threads.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory of the simulated survey.
    #[arg(long, value_name = "FOLDER", default_value = "models/xp-simulated")]
    model: PathBuf,
    /// Stars to simulate.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    stars: usize,
    /// How often everything is done.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
    /// Time direct networks instead: predictions from spectra with errors, principal components of --stars
    /// spectra, distances.
    #[arg(long, conflicts_with = "pixel_networks")]
    direct: bool,
    /// Time models of spectra instead, networks per pixel with these numbers of neurons (as 20,40), a
    /// structured polynomial and a joint network: training, emulated spectra, fits.
    #[arg(long, value_name = "NEURONS", value_delimiter = ',')]
    pixel_networks: Vec<usize>,
    /// Pixels of the spectra, with --pixel-networks and --direct.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pixels: usize,
    /// Labels, with --pixel-networks; other numbers than the 15 of the simulator are of models with random
    /// weights, which are not trained.
    #[arg(long, value_name = "N", default_value_t = 15)]
    labels: usize,
    /// Pixels that are trained, with --pixel-networks; the others repeat them.
    #[arg(long, value_name = "N", default_value_t = 64)]
    trained_pixels: usize,
    /// Options of the fit (TOML; `photosphere recipe fit` prints the defaults).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Measures.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    for (option, value) in [("--stars", arguments.stars), ("--repeats", arguments.repeats)] {
        if !(1..=MOST).contains(&value) {
            return Err(Error::usage(option)
                .found(value.to_string())
                .expected(format!("1 to {MOST}"))
                .remedy("Give another number; 4096 stars and 3 repeats are the defaults."));
        }
    }
    if arguments.direct {
        let bench = DirectBench {
            n_spectra: arguments.stars,
            n_pixels: arguments.pixels,
            repeats: arguments.repeats,
            seed: settings.seed.unwrap_or(1),
        };
        return bench.run();
    }
    if !arguments.pixel_networks.is_empty() {
        let bench = PixelBench {
            hidden: &arguments.pixel_networks,
            n_labels: arguments.labels,
            n_pixels: arguments.pixels,
            n_trained: arguments.trained_pixels,
            n_stars: arguments.stars,
            repeats: arguments.repeats,
            seed: settings.seed.unwrap_or(1),
        };
        return bench.run();
    }
    let options: FitOptions = match &arguments.config {
        Some(path) => read_toml(path)?,
        None => FitOptions::default(),
    };
    let package = settings.package(&arguments.model)?;
    let trained: &TrainedModel = package.require("bench")?;
    options.validate_for(&trained.model.space)?;
    tracing::info!("simulating {} stars", arguments.stars);
    let pipeline = Pipeline::new(trained, options.clone(), arguments.stars, settings.seed.unwrap_or(1))?;
    let passes = || (0..arguments.repeats).map(|_| pipeline.pass()).collect::<Result<Vec<Pass>>>();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let one_thread = one_thread.map_err(|error| Error::usage("threads").found(error.to_string()).source(error))?;
    tracing::info!("{} passes on one thread", arguments.repeats);
    let single = one_thread.install(passes)?;
    let peak_memory_bytes = crate::run::clock::peak_memory();
    tracing::info!("{} passes on {} threads", arguments.repeats, rayon::current_num_threads());
    let several = passes()?;
    tracing::info!("comparison with double precision, peaks of the machine");
    let machine = one_thread.install(|| Machine::measure(trained.model.device()));
    let report = BenchReport {
        stars: arguments.stars,
        model: trained.id().to_owned(),
        device: trained.model.device().to_string(),
        threads: rayon::current_num_threads(),
        machine,
        stages: StageReport::all(&single, &several, Operations::of(&trained.model)?.as_ref(), &machine)?,
        fit_microseconds: median(&single, arguments.stars, &[Stage::Start, Stage::Optimise, Stage::Fisher]),
        step_microseconds: median(&single, single[0].n_evaluations as usize, &[Stage::Optimise]),
        steps_per_star: single[0].n_evaluations as f64 / arguments.stars as f64,
        engines: engines(trained, &options, &single[0])?,
        peak_memory_bytes,
    };
    let summary =
        serde_json::to_value(&report).map_err(|error| Error::output("bench as JSON").found(error.to_string()).source(error))?;
    Ok(Outcome::answer(report.to_string(), summary))
}

/// Median processor time of these stages together, in microseconds per one of `n`.
fn median(passes: &[Pass], n: usize, stages: &[Stage]) -> f64 {
    let time = |pass: &Pass| stages.iter().filter_map(|stage| pass.seconds.get(stage)).map(|time| time.cpu).sum::<f64>();
    1e6 / n as f64 * percentiles(&passes.iter().map(time).collect::<Vec<_>>(), [50.0])[0]
}

/// How far the stars are from the nearest optimum in double precision.
fn engines(trained: &TrainedModel, options: &FitOptions, pass: &Pass) -> Result<EngineReport> {
    let found = (pass.estimates.values.view(), pass.estimates.covariance.view());
    let nearest = AuditOptions { starts: 0, ..AuditOptions::default() };
    let polished = audit(trained, &pass.observations, found, options, &nearest)?;
    let shifts: Vec<f64> = (0..polished.len()).map(|star| polished.shift(star)).collect();
    let spread = |values: &[f64]| percentiles(values, [50.0, 99.0, 100.0]);
    Ok(EngineReport { fit: spread(&shifts), engine: spread(&polished.rounding) })
}
