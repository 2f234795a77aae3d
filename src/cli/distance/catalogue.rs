//! One catalogue of distances: files are read, worked on and written in chunks of rows.

use super::controls::Controls;
use super::read::{Batch, for_each_batch};
use crate::cli::progress::Progress;
use crate::cli::settings::Settings;
use crate::distance::catalogue::to_table;
use crate::distance::compatibility::{PaperNames, Rows};
use crate::distance::neighbours::catalogue::push_columns;
use crate::distance::neighbours::{NeighbourEstimate, NeighbourOptions};
use crate::distance::{DistanceEstimator, DistanceOptions, DistanceRecipe, Estimate, Star};
use crate::error::{Error, Result};
use crate::run::FileState;
use crate::run::provenance::{self, Provenance};
use crate::run::shard::Shard;
use crate::run::tally::Tally;
use crate::run::{Existing, Standing, record};
use crate::table::{Shape, Table, Writer, row_count};
use rayon::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Stars that one thread takes at a time.
const STARS: usize = 256;

/// What is the same for all catalogues of a run.
pub struct DistanceTask {
    pub recipe: DistanceRecipe,
    pub keep: Vec<String>,
    pub names: Option<PaperNames>,
    pub shard: Option<Shard>,
    /// Controls that extinctions and absolute magnitudes follow from, in place of columns.
    pub controls: Option<Controls>,
}

/// What was made, or was found finished.
pub struct Made {
    pub tally: Tally,
    /// The inputs as they were read.
    pub inputs: Vec<FileState>,
    pub seconds: f64,
}

impl Made {
    /// For `--json`.
    pub fn summary(&self, output: &Path) -> serde_json::Value {
        let Tally { stars, basic_cut, not_fitted, .. } = self.tally;
        json!({
            "output": output.display().to_string(),
            "stars": stars,
            "basic_cut": basic_cut,
            "without_distance": not_fitted,
            "seconds": self.seconds,
        })
    }
}

/// Estimates of stars, on all threads; each depends on its own star alone.
///
/// # Errors
/// When the options are impossible.
fn estimates(stars: &[Star], options: &DistanceOptions) -> Result<Vec<Estimate>> {
    let chunks = stars.par_chunks(STARS).map(|stars| {
        let mut estimator = DistanceEstimator::new(*options)?;
        Ok(stars.iter().map(|star| estimator.estimate(star)).collect())
    });
    Ok(chunks.collect::<Result<Vec<Vec<Estimate>>>>()?.concat())
}

impl DistanceTask {
    /// What decides the catalogue, except for the inputs.
    ///
    /// # Errors
    /// When the recipe cannot be written as TOML.
    pub fn provenance(&self) -> Result<Provenance> {
        let mut recipe = self.recipe.clone();
        if self.controls.is_none() {
            // They decide nothing, and what is not used shall not part runs.
            recipe.neighbours = NeighbourOptions::default();
        }
        let recipe = toml::to_string(&recipe)
            .map_err(|error| Error::usage("recipe of distances").found(error.to_string()).source(error))?;
        let mut provenance = Provenance::new("distance").with("recipe", recipe).with("kept_columns", self.keep.join(","));
        if let Some(names) = self.names {
            provenance = provenance.with("names", names.to_string());
        }
        if let Some(shard) = self.shard {
            provenance = provenance.with("shard", shard.to_string());
        }
        if let Some(controls) = &self.controls {
            provenance = provenance.with("controls", controls.contents());
        }
        Ok(provenance)
    }

    /// Makes the catalogue of some files, or only counts where the same run is finished. `has_record` is for
    /// catalogues that are known again by a record beside them.
    ///
    /// # Errors
    /// When an input is damaged, changes meanwhile, lacks a column or has a star twice, the output cannot be
    /// written, or a signal stops the work; nothing is left behind then.
    pub fn make(
        &self,
        paths: &[PathBuf],
        output: &Path,
        existing: Existing,
        has_record: bool,
        settings: &Settings,
    ) -> Result<Made> {
        if !existing.resume {
            crate::table::check_target(output, existing.overwrite)?;
        }
        let inputs = paths.iter().map(|path| FileState::read(path)).collect::<Result<Vec<_>>>()?;
        let described = paths.iter().zip(&inputs).map(|(path, state)| {
            Ok(provenance::Input { path: path.clone(), n_rows: row_count(path)?, sha256: state.sha256().to_owned() })
        });
        let described = described.collect::<Result<Vec<_>>>()?;
        let provenance = self.provenance()?.with_inputs(&described);
        let overwrite = match existing.standing(output, &provenance.run())? {
            Standing::Finished(tally) => {
                return Ok(Made { tally: Tally::of_finished(tally, output)?, inputs, seconds: 0.0 });
            }
            Standing::Open { overwrite } => overwrite,
        };
        let mut writer = Writer::create(output, overwrite)?;
        let n_rows: Option<usize> = described.iter().map(|input| input.n_rows).sum();
        let mut progress = Progress::of_stars("distances", n_rows, settings);
        let mut tally = Tally::default();
        let beside = self.controls.as_ref().map(|controls| controls.neighbours().options());
        for_each_batch(&self.recipe, beside, paths, |batch| {
            let (n_read, place) = (batch.n_read, batch.place.clone());
            let mut table = self.table(batch, &mut tally).map_err(|error| error.within(&place))?;
            table.metadata.extend(provenance.metadata());
            writer.write(&table)?;
            progress.stars(n_read, &place);
            Ok(())
        })?;
        inputs.iter().try_for_each(FileState::require_unchanged)?;
        self.controls.iter().try_for_each(Controls::require_unchanged)?;
        writer.finish()?;
        if has_record {
            record(output, &provenance.run(), Some(tally));
        }
        let seconds = progress.seconds();
        let (n, good, without) = (tally.stars, tally.basic_cut, tally.not_fitted);
        tracing::info!(
            "{}: {n} stars, {good} pass the basic cut, {without} without a distance; {seconds:.1} s",
            output.display()
        );
        Ok(Made { tally, inputs, seconds })
    }

    /// The catalogue's rows for a batch.
    fn table(&self, mut batch: Batch, tally: &mut Tally) -> Result<Table> {
        if let Some(shard) = self.shard {
            let rows: Vec<usize> = (0..batch.ids.len()).filter(|&row| shard.contains(batch.ids[row])).collect();
            batch.select(&rows);
        }
        let beside = self.beside(&mut batch);
        let estimates = estimates(&batch.stars, &batch.options(&self.recipe.options))?;
        tally.add(estimates.iter().map(|estimate| estimate.flags));
        let mut table = match self.names {
            Some(names) => {
                let rows = Rows { input: &batch.table, ids: &batch.ids, stars: &batch.stars, estimates: &estimates };
                names.table(&rows)?
            }
            None => to_table(&batch.ids, &estimates)?,
        };
        if let Some(beside) = beside {
            push_columns(&mut table, &beside, &estimates)?;
        }
        self.push_kept(&mut table, &batch)?;
        Ok(table)
    }

    /// What neighbours say of the stars of a batch, which then have it.
    fn beside(&self, batch: &mut Batch) -> Option<Vec<NeighbourEstimate>> {
        let neighbours = self.controls.as_ref()?.neighbours();
        let stars = batch.known_as().par_iter().zip(&batch.labelled).with_min_len(STARS / 8);
        let found: Vec<NeighbourEstimate> = stars.map(|(id, star)| neighbours.estimate(*id, star)).collect();
        found.iter().zip(&mut batch.stars).for_each(|(found, star)| found.put_into(star));
        Some(found)
    }

    /// Positions, and columns that were asked for.
    fn push_kept(&self, table: &mut Table, batch: &Batch) -> Result<()> {
        for key in ["ra", "dec"].into_iter().filter(|_| self.names.is_none()) {
            if let Some(name) = batch.columns.name(key).filter(|name| table.get(name).is_none()) {
                table.push(batch.table.column(name)?.clone())?;
            }
        }
        for name in &self.keep {
            let column = batch.table.column(name)?;
            if column.shape != Shape::Scalar {
                return Err(Error::usage(format!("--keep {name}"))
                    .found("a column of lists")
                    .expected("one value per star")
                    .remedy("Leave it out; the catalogue is joined to its input on source_id."));
            }
            if table.get(name).is_none() {
                table.push(column.clone())?;
            }
        }
        Ok(())
    }
}
