//! The way of stars through the program, from the archive's files to a catalogue, stage by stage, as
//! `prepare` and `fit` go it.

use crate::cli::simulate::new_stars;
use crate::cli::stage_times::FitClock;
use crate::error::{Error, Result};
use crate::infer::{Estimates, FitOptions, Fitter, read_options};
use crate::observations::Observations;
use crate::run::clock::{Clock, Seconds};
use crate::simulate::{RawSurvey, Simulator, SurveyConfig};
use crate::survey::prepare::{Preparation, PrepareRecipe};
use crate::table::{Table, read_chunks, write};
use crate::train::TrainedModel;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Stars of a chunk of spectra.
const ROWS: usize = 1024;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Parsing the archive's compressed text.
    Read,
    /// Coefficients to flux and covariance, joined with photometry and parallaxes.
    Prepare,
    /// Covariance to the inverse Cholesky factor.
    Whiten,
    /// Starting points.
    Start,
    /// Optima.
    Optimise,
    /// Fisher matrices, covariances and flags.
    Fisher,
    /// Exact Hessians.
    Hessian,
    /// Catalogue to Parquet.
    Write,
}

/// Simulated files and what is done with them.
pub struct Pipeline<'a> {
    trained: &'a TrainedModel,
    options: FitOptions,
    folder: TempDir,
    recipe: PrepareRecipe,
    spectra: PathBuf,
}

/// One way through.
pub struct Pass {
    pub seconds: BTreeMap<Stage, Seconds>,
    /// Evaluations of normal equations, all stars together.
    pub n_evaluations: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub observations: Observations,
    pub estimates: Estimates,
}

impl<'a> Pipeline<'a> {
    /// Simulates the files.
    ///
    /// # Errors
    /// When they cannot be simulated or written.
    pub fn new(trained: &'a TrainedModel, options: FitOptions, n_stars: usize, seed: u64) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|error| {
            Error::output("a temporary folder")
                .found(error.to_string())
                .remedy("Set TMPDIR to a folder that can be written to.")
                .source(error)
        })?;
        let config = new_stars(SurveyConfig { n_stars, seed, ..SurveyConfig::default() });
        let RawSurvey { spectra, catalogue } = Simulator::new(config)?.raw_table(0..n_stars)?;
        let (spectra_path, catalogue_path) = (folder.path().join("spectra.ecsv.gz"), folder.path().join("catalogue.parquet"));
        write(&spectra, &spectra_path, false)?;
        write(&catalogue, &catalogue_path, false)?;
        let text = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let recipe = PrepareRecipe::parse(&format!(
            "labels = []\n[xp]\nfiles = [{}]\n[[tables]]\nfiles = [{}]\n[photometry]\nsets = [\"2mass\", \"wise\"]",
            text(&spectra_path),
            text(&catalogue_path)
        ))?;
        Ok(Self { trained, options, folder, recipe, spectra: spectra_path })
    }

    /// Goes the whole way once, on the threads of the current pool.
    ///
    /// # Errors
    /// When a stage fails: the model is not one of the simulated survey, say.
    pub fn pass(&self) -> Result<Pass> {
        let mut seconds = BTreeMap::new();
        let mut clock = Clock::start();
        let chunks = read_chunks(&self.spectra, ROWS)?.collect::<Result<Vec<Table>>>()?;
        seconds.insert(Stage::Read, clock.lap());

        let mut preparation = Preparation::new(self.recipe.clone())?;
        clock.lap();
        let prepared = chunks.into_iter().map(|chunk| preparation.chunk(chunk)).collect::<Result<Vec<Table>>>()?;
        seconds.insert(Stage::Prepare, clock.lap());

        let mut prepared = prepared.into_iter();
        let mut table = prepared.next().unwrap_or_default();
        prepared.try_for_each(|chunk| table.append(chunk))?;
        clock.lap();
        let observations = Observations::from_table(table, &read_options(self.trained, &self.options))?;
        seconds.insert(Stage::Whiten, clock.lap());

        let with_hessian = FitOptions { exact_hessian: true, ..self.options.clone() };
        let with_hessian = fit_timed(self.trained, &observations, &with_hessian)?;
        let without = FitOptions { exact_hessian: false, ..self.options.clone() };
        let FitTimes { start, optimise, describe, n_evaluations, estimates } = fit_timed(self.trained, &observations, &without)?;
        let hessian = Seconds { cpu: with_hessian.describe.cpu - describe.cpu, wall: with_hessian.describe.wall - describe.wall };
        seconds.extend([
            (Stage::Start, start),
            (Stage::Optimise, optimise),
            (Stage::Fisher, describe),
            (Stage::Hessian, hessian),
        ]);

        let catalogue = self.folder.path().join("fitted.parquet");
        let mut clock = Clock::start();
        write(&estimates.to_table(self.trained.id())?, &catalogue, true)?;
        seconds.insert(Stage::Write, clock.lap());
        let (read_bytes, written_bytes) = (size_of(&self.spectra)?, size_of(&catalogue)?);
        Ok(Pass { seconds, n_evaluations, read_bytes, written_bytes, observations, estimates })
    }
}

struct FitTimes {
    start: Seconds,
    optimise: Seconds,
    describe: Seconds,
    n_evaluations: u64,
    estimates: Estimates,
}

/// Times of the stages, which several threads go through: processor time of each, and the wall time of the
/// fit in proportion.
fn fit_timed(trained: &TrainedModel, observations: &Observations, options: &FitOptions) -> Result<FitTimes> {
    let fitter = Fitter::new(trained.clone(), options)?;
    let stages = FitClock::default();
    let mut clock = Clock::start();
    let estimates = fitter.fit_in_stages(observations, &|stage| {
        stages.reached(stage);
        Ok(())
    })?;
    let wall = clock.lap().wall;
    let (times, n_evaluations) = stages.finish();
    let per_second = wall / times.total();
    let [start, optimise, describe] =
        [times.start, times.optimise, times.describe].map(|cpu| Seconds { cpu, wall: cpu * per_second });
    Ok(FitTimes { start, optimise, describe, n_evaluations, estimates })
}

fn size_of(path: &Path) -> Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(|error| Error::reading(path, error))
}
