//! One catalogue: inputs are read, fitted and written in chunks, so that memory is bounded by the chunk.

use super::input::{Batch, Input};
use crate::cli::interrupt;
use crate::cli::output::Existing;
use crate::cli::progress::Progress;
use crate::cli::provenance::{self, Provenance, sha256_of_file};
use crate::cli::scan::scan;
use crate::cli::settings::Settings;
use crate::cli::shard::Shard;
use crate::cli::tally::Tally;
use crate::error::{Error, Result};
use crate::infer::{FitOptions, fit, read_options};
use crate::observations::Observations;
use crate::survey::prepare::Preparation;
use crate::table::{Column, Shape, Table, Writer};
use crate::train::TrainedModel;
use std::path::{Path, PathBuf};

/// A catalogue to be made.
#[derive(Clone, Copy)]
pub struct CatalogueTask<'a> {
    pub trained: &'a TrainedModel,
    pub model_path: &'a Path,
    pub options: &'a FitOptions,
    pub inputs: &'a [PathBuf],
    /// How raw XP spectra among the inputs are prepared.
    pub preparation: Option<&'a Preparation>,
    pub output: &'a Path,
    pub existing: Existing,
    pub shard: Option<Shard>,
    pub keep: &'a [String],
    pub keep_truth: bool,
}

/// What was made, or was found finished.
pub struct Made {
    pub tally: Tally,
    pub inputs: Vec<provenance::Input>,
    /// Time for reading, fitting and writing; zero where it was finished before.
    pub seconds: f64,
}

impl CatalogueTask<'_> {
    /// Fits and writes, or only counts where the same run is finished.
    ///
    /// # Errors
    /// When an input is damaged or does not fit the model, the output cannot be written, or a signal stops the work; nothing is left
    /// behind then.
    pub fn run(&self, settings: &Settings) -> Result<Made> {
        if !self.existing.resume {
            crate::table::check_target(self.output, self.existing.overwrite)?;
        }
        let (inputs, n_stars) = scan(self.inputs, self.shard)?;
        let provenance = self.provenance()?.with_inputs(&inputs);
        if self.existing.is_finished_table(self.output, &provenance.run())? {
            return Ok(Made { tally: Tally::of_table(self.output)?, inputs, seconds: 0.0 });
        }
        let mut writer = Writer::create(self.output, self.existing.overwrite)?;
        let mut progress = Progress::of_stars("fitting", n_stars, settings);
        let mut tally = Tally::default();
        let mut is_empty = true;
        for batch in self.input().batches() {
            let Batch { place, observations } = batch?;
            interrupt::check(|| self.output.display().to_string(), "Nothing was written; run the command again.")?;
            // A batch without stars of the shard adds nothing, but a catalogue of no stars still has columns.
            if observations.is_empty() && !(is_empty && n_stars == 0) {
                continue;
            }
            let mut table = self.fit(&observations, &mut tally).map_err(|error| error.within(place))?;
            table.metadata.extend(provenance.metadata());
            writer.write(&table)?;
            is_empty = false;
            progress.stars(tally.stars);
        }
        if tally.stars != n_stars {
            return Err(Error::data(self.output.display().to_string())
                .found(format!("{} stars", tally.stars))
                .expected(format!("{n_stars}, as at first"))
                .remedy("An input has changed while it was read: run the command again."));
        }
        writer.finish()?;
        let seconds = progress.seconds();
        let per_star = 1e3 * seconds / tally.stars.max(1) as f64;
        tracing::info!("{}: {tally}; {seconds:.1} s ({per_star:.2} ms a star)", self.output.display());
        Ok(Made { tally, inputs, seconds })
    }

    fn input(&self) -> Input {
        Input {
            paths: self.inputs.to_vec(),
            shard: self.shard,
            preparation: self.preparation.cloned(),
            options: read_options(self.trained, self.options),
        }
    }

    fn fit(&self, observations: &Observations, tally: &mut Tally) -> Result<Table> {
        let estimates = fit(self.trained, observations, self.options)?;
        tally.add(estimates.flags.iter().copied());
        let mut table = estimates.to_table(self.trained.id())?;
        for column in columns_beside(observations, self.keep, self.keep_truth)? {
            table.push(column)?;
        }
        Ok(table)
    }

    /// What decides the catalogue, except for the inputs.
    ///
    /// # Errors
    /// When the options cannot be written as TOML.
    pub fn provenance(&self) -> Result<Provenance> {
        let options =
            toml::to_string(self.options).map_err(|error| Error::usage("fit options").found(error.to_string()).source(error))?;
        let mut provenance = Provenance::new("fit")
            .with("model_sha256", &self.trained.sha256)
            .with("options", options)
            .with("kept_columns", self.keep.join(","))
            .with("kept_truth", self.keep_truth.to_string())
            .noted("model_path", self.model_path.display().to_string())
            .noted("seed", self.options.start.seed.to_string());
        if let Some(shard) = self.shard {
            provenance = provenance.with("shard", shard.to_string());
        }
        if let Some(preparation) = self.preparation {
            let joined = preparation.joined_files()?;
            let contents = joined.iter().map(|file| sha256_of_file(file)).collect::<Result<Vec<_>>>()?;
            provenance = provenance.with("prepare_recipe", preparation.choices()?).with("joined_tables", contents.join(" "));
        }
        Ok(provenance)
    }
}

/// Columns of the observations that a catalogue carries on: positions, what is named, and the truth if wanted.
///
/// # Errors
/// When a named column is absent or a list.
fn columns_beside(observations: &Observations, names: &[String], truth: bool) -> Result<Vec<Column>> {
    let beside = &observations.auxiliary;
    for name in names {
        if beside.column(name)?.shape != Shape::Scalar {
            return Err(Error::usage(format!("--keep {name}")).found("a column of lists").expected("one value per star"));
        }
    }
    let wanted = |name: &str| {
        ["ra", "dec"].contains(&name) || names.iter().any(|wanted| wanted == name) || (truth && name.starts_with("true_"))
    };
    let columns = beside.columns().iter();
    Ok(columns.filter(|column| wanted(&column.schema.name) && column.shape == Shape::Scalar).cloned().collect())
}
