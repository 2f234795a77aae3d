//! One catalogue: inputs are read, fitted and written in chunks, so that memory is bounded by the chunk.

use super::input::{Batch, Input, SharedSummary};
use super::offsets;
use crate::cli::progress::Progress;
use crate::cli::settings::Settings;
use crate::cli::stage_times::{FitClock, StageTimes};
use crate::error::{Error, Result};
use crate::observations::Observations;
use crate::package::{Estimator, Package};
use crate::pixel_networks::spectral_core;
use crate::residuals::{CatalogueCheck, ResidualSums};
use crate::run::FileState;
use crate::run::clock::{Clock, thread_seconds};
use crate::run::interrupt;
use crate::run::provenance::{self, Provenance, sha256_of_file};
use crate::run::shard::Shard;
use crate::run::tally::Tally;
use crate::run::{Existing, Standing, record_fit, recorded_residuals};
use crate::survey::Source;
use crate::table::{Column, Shape, Table, Writer, row_count};
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A catalogue to be made.
#[derive(Clone, Copy)]
pub struct CatalogueTask<'a> {
    pub package: &'a dyn Package,
    pub estimator: &'a dyn Estimator,
    pub model_path: &'a Path,
    pub inputs: &'a [PathBuf],
    /// How raw files of a survey among the inputs are prepared.
    pub source: Option<&'a Arc<dyn Source>>,
    pub output: &'a Path,
    pub existing: Existing,
    /// Whether the finished catalogue is recorded for `--resume`; that of a partition has a marker instead.
    pub has_record: bool,
    pub shard: Option<Shard>,
    pub keep: &'a [String],
    pub keep_truth: bool,
    /// Whether XP samples of another instrument than the model's are fitted.
    pub other_instrument: bool,
}

/// What was made, or was found finished.
pub struct Made {
    pub tally: Tally,
    /// The inputs as they were read.
    pub inputs: Vec<FileState>,
    /// Time on the clock for reading, fitting and writing, without the hashes of the inputs; zero where it
    /// was finished before, as are all times.
    pub seconds: f64,
    pub times: StageTimes,
    /// Stars found in each joined table; none where nothing was prepared, or there were no stars.
    pub matches: Option<BTreeMap<String, usize>>,
    /// Raw files that could not be read, or not to their end, while others could.
    pub n_failed_files: usize,
    /// What its residuals add up to, where the model predicts fluxes.
    pub residuals: Option<ResidualSums>,
}

impl Made {
    /// What was found finished.
    pub fn before(tally: Tally, inputs: Vec<FileState>) -> Self {
        Self { tally, inputs, seconds: 0.0, times: StageTimes::default(), matches: None, n_failed_files: 0, residuals: None }
    }

    /// For `--json`: numbers of stars, the catalogue, and how long it took.
    pub fn summary(&self, output: &Path) -> serde_json::Value {
        let mut summary = json!(self.tally);
        summary["output"] = json!(output.display().to_string());
        summary["seconds"] = self.seconds.into();
        summary["processor_seconds"] = json!(self.times);
        if let Some(residuals) = &self.residuals {
            summary["check"] = CatalogueCheck::of(residuals).summary();
        }
        summary
    }
}

impl CatalogueTask<'_> {
    /// Fits and writes, or only counts where the same run is finished. Inputs are hashed first, since the
    /// hashes stand at the head of the catalogue, and then parsed once. `provenance` is that of
    /// [`CatalogueTask::provenance`].
    ///
    /// # Errors
    /// When an input is damaged, changes meanwhile, does not fit the model or has a star twice, the output
    /// cannot be written, or a signal stops the work; nothing is left behind then.
    pub fn run(&self, provenance: &Provenance, settings: &Settings) -> Result<Made> {
        if !self.existing.resume {
            crate::table::check_target(self.output, self.existing.overwrite)?;
        }
        let mut clock = Clock::start();
        let inputs = self.inputs.iter().map(|path| FileState::read(path)).collect::<Result<Vec<_>>>()?;
        let hash = clock.lap().cpu;
        let described = self.inputs.iter().zip(&inputs).map(|(path, state)| {
            let n_rows = match self.source {
                Some(source) => source.n_stars(path)?,
                None => row_count(path)?,
            };
            Ok(provenance::Input { path: path.clone(), n_rows, sha256: state.sha256().to_owned() })
        });
        let described = described.collect::<Result<Vec<_>>>()?;
        let provenance = provenance.clone().with_inputs(&described);
        let overwrite = match self.existing.standing(self.output, &provenance.run())? {
            Standing::Finished(tally) => {
                let made = Made::before(Tally::of_finished(tally, self.output)?, inputs);
                return Ok(Made { residuals: recorded_residuals(self.output), ..made });
            }
            Standing::Open { overwrite } => overwrite,
        };
        let mut writer = Writer::create(self.output, overwrite)?.with_late_metadata();
        let n_rows: Option<usize> = described.iter().map(|input| input.n_rows).sum();
        let mut progress = Progress::of_stars("fitting", n_rows, settings);
        let mut tally = Tally::default();
        let mut residuals: Option<ResidualSums> = None;
        let mut without_stars = None;
        // Forward models are fitted by threads that each go through the stages, models of spectra by all at
        // once.
        let stages = if spectral_core(self.package).is_some() { FitClock::of_pool() } else { FitClock::default() };
        let mut written = 0.0;
        let mut write = |batch: &Batch, tally: &mut Tally| {
            let estimated = self.estimator.estimate(&batch.observations, &|stage| {
                stages.reached(stage);
                self.check_interrupt()
            });
            let estimated = estimated.map_err(|error| error.within(&batch.place))?;
            if let Some(instrument) = &batch.other_instrument
                && tally.stars == 0
            {
                let flux = self.estimator.flux(estimated.values.view())?;
                offsets::log(self.package.grid(), instrument, &batch.observations, flux.as_ref());
            }
            let begun = thread_seconds();
            tally.add(estimated.flags.iter().copied());
            if let Some(found) = &estimated.residuals {
                residuals.get_or_insert_with(|| ResidualSums::new(&found.groups, &found.constraints)).add(found)?;
            }
            let table =
                self.table(estimated.table, &batch.observations, &provenance).map_err(|error| error.within(&batch.place))?;
            writer.write(&table)?;
            written += thread_seconds() - begun;
            Ok(())
        };
        let summary = SharedSummary::default();
        for batch in self.input().batches(summary.clone()) {
            let batch = batch?;
            self.check_interrupt()?;
            if !batch.observations.is_empty() {
                write(&batch, &mut tally)?;
            }
            progress.stars(batch.n_read, &batch.place);
            if batch.observations.is_empty() {
                without_stars.get_or_insert(batch);
            }
        }
        // A batch without stars (of the shard) adds nothing, but a catalogue of no stars still has columns.
        if let Some(batch) = without_stars.filter(|_| tally.stars == 0) {
            write(&batch, &mut tally)?;
        }
        inputs.iter().try_for_each(FileState::require_unchanged)?;
        let begun = thread_seconds();
        writer.finish_with(&late_metadata(residuals.as_ref()))?;
        if self.has_record {
            record_fit(self.output, &provenance.run(), Some(tally), residuals.as_ref());
        }
        let mut times = StageTimes { write: written + thread_seconds() - begun, ..stages.finish().0 };
        // The inputs are read in a thread of their own and whitened on all of them: what the other stages
        // leave.
        times.rest = (clock.lap().cpu - times.total()).max(0.0);
        times.hash = hash;
        let seconds = progress.seconds();
        let per_star = 1e3 * seconds / tally.stars.max(1) as f64;
        match tally.stars {
            0 => warn_once(format!("{}: the observations have no stars: the catalogue is empty", self.output.display())),
            _ => tracing::info!("{}: {tally}; {seconds:.1} s ({per_star:.2} ms a star), {times}", self.output.display()),
        }
        let summary = summary.take();
        let n_failed_files = summary.as_ref().map_or(0, |summary| summary.n_failed_files);
        let matches = summary.filter(|summary| summary.n_stars > 0).map(|summary| summary.n_matched);
        Ok(Made { tally, inputs, seconds, times, matches, n_failed_files, residuals })
    }

    /// Fails when a signal has come.
    fn check_interrupt(&self) -> Result<()> {
        interrupt::check(|| self.output.display().to_string(), "Nothing was written; run the command again.")
    }

    fn input(&self) -> Input {
        Input {
            paths: self.inputs.to_vec(),
            shard: self.shard,
            source: self.source.cloned(),
            options: self.estimator.read_options(),
            on_cpu: self.estimator.is_on_cpu(),
            accepted: self.other_instrument.then(|| self.package.grid().clone()),
        }
    }

    /// The catalogue's rows for a batch.
    fn table(&self, mut table: Table, observations: &Observations, provenance: &Provenance) -> Result<Table> {
        for mut column in columns_beside(observations, self.keep, self.keep_truth)? {
            // The estimates have the name of what was measured.
            let measured = format!("{MEASURED}{}", column.schema.name);
            if table.get(&column.schema.name).is_some() && table.get(&measured).is_none() {
                column.schema.name = measured;
            }
            let name = &column.schema.name;
            if table.get(name).is_some() {
                return Err(Error::usage(format!("--keep {name}"))
                    .found("a name that the catalogue has for a column of its own")
                    .expected("other names")
                    .remedy("Leave it out; the catalogue is joined to the observations on source_id."));
            }
            table.push(column)?;
        }
        table.metadata.extend(provenance.metadata());
        Ok(table)
    }

    /// What decides the catalogue, except for the inputs; the same for all catalogues of a run. Joined tables
    /// are hashed for it.
    ///
    /// # Errors
    /// When the options cannot be written as TOML, or a joined table cannot be read any more.
    pub fn provenance(&self) -> Result<Provenance> {
        let mut provenance = Provenance::new("fit")
            .with("model_sha256", self.package.sha256())
            .with("options", self.estimator.choices()?)
            .with("kept_columns", self.keep.join(","))
            .with("kept_truth", self.keep_truth.to_string())
            .noted("model_path", self.model_path.display().to_string());
        for (key, value) in self.estimator.notes() {
            provenance = provenance.noted(&key, value);
        }
        if self.other_instrument {
            provenance = provenance.with("other_instrument", "true");
        }
        if let Some(shard) = self.shard {
            provenance = provenance.with("shard", shard.to_string());
        }
        if let Some(source) = self.source {
            let joined = source.joined_files()?;
            let contents = joined.iter().map(|file| Ok(provenance::content(file, &sha256_of_file(file)?)));
            let contents = contents.collect::<Result<Vec<_>>>()?;
            provenance = provenance.with("prepare_recipe", source.choices()?).with("joined_tables", contents.join(" "));
        }
        Ok(provenance)
    }
}

/// Beginning of the names of kept columns whose own name is that of an estimate.
const MEASURED: &str = "measured_";

/// The check of a catalogue for its metadata.
fn late_metadata(residuals: Option<&ResidualSums>) -> BTreeMap<String, String> {
    // ASCII, as FITS headers have it without quotes.
    let text = |sums| CatalogueCheck::of(sums).summary().to_string().replace('\u{b1}', "+-");
    residuals.map(|sums| ("check".to_owned(), text(sums))).into_iter().collect()
}

/// Columns of the observations that a catalogue carries on: positions, what is named, and the truth if
/// wanted.
///
/// # Errors
/// When a named column is absent or a list.
fn columns_beside(observations: &Observations, names: &[String], truth: bool) -> Result<Vec<Column>> {
    let beside = &observations.auxiliary;
    for name in names {
        if beside.column(name)?.shape != Shape::Scalar {
            return Err(Error::usage(format!("--keep {name}"))
                .found("a column of lists")
                .expected("one value per star")
                .remedy("Leave it out; lists stay in the observations, which the catalogue is joined to on source_id."));
        }
    }
    let wanted = |name: &str| {
        ["ra", "dec"].contains(&name) || names.iter().any(|wanted| wanted == name) || (truth && name.starts_with("true_"))
    };
    let columns = beside.columns().iter();
    Ok(columns.filter(|column| wanted(&column.schema.name) && column.shape == Shape::Scalar).cloned().collect())
}
