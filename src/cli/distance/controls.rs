//! Controls of `--by-neighbours`: read once, and kept.

use super::read::for_each_batch;
use crate::distance::DistanceRecipe;
use crate::distance::neighbours::columns::FoundLabels;
use crate::distance::neighbours::{Control, Neighbours};
use crate::error::{Error, Result};
use crate::run::{FileState, expand};
use rayon::prelude::*;
use std::path::PathBuf;

/// Controls, and the files that they are from.
pub struct Controls {
    neighbours: Neighbours,
    files: Vec<FileState>,
}

impl Controls {
    /// Those of files.
    ///
    /// # Errors
    /// When a file is damaged or lacks what is needed, or too few stars are controls.
    pub fn read(recipe: &DistanceRecipe, files: &[PathBuf]) -> Result<Self> {
        let paths = expand(files)?;
        let files = paths.iter().map(|path| FileState::read(path)).collect::<Result<Vec<_>>>()?;
        let options = &recipe.neighbours;
        let mut used: Option<Vec<usize>> = None;
        let mut controls = Vec::new();
        let mut n_stars = 0;
        for_each_batch(recipe, Some(options), &paths, |mut batch| {
            let found = FoundLabels::find(&batch.table, options)?;
            require_positions(&batch.columns, options.least_latitude, &batch.place)?;
            let has = found.has_bands();
            let bands: Vec<usize> = (0..has.len()).filter(|&band| has[band]).collect();
            if let Some(first) = used.as_ref().filter(|first| **first != bands) {
                let names =
                    |bands: &[usize]| bands.iter().map(|&band| options.bands[band].name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(Error::data(batch.place.clone())
                    .found(format!("controls with magnitudes in {}", names(&bands)))
                    .expected(format!("those of the other files, {}", names(first)))
                    .remedy("Give all files of controls the same bands."));
            }
            let bands = used.get_or_insert(bands);
            n_stars += batch.stars.len();
            let distance = batch.options(&recipe.options);
            let labelled = std::mem::take(&mut batch.labelled);
            let (ids, stars) = (batch.known_as(), &batch.stars);
            let of = |(row, labelled)| Control::of((ids[row], labelled, &stars[row]), bands, options, &distance);
            controls.par_extend(labelled.into_par_iter().enumerate().filter_map(of));
            Ok(())
        })?;
        let place = paths.first().map_or_else(String::new, |path| path.display().to_string());
        let neighbours =
            Neighbours::new(options.clone(), &controls, used.unwrap_or_default()).map_err(|error| error.within(place))?;
        let (colours, luminosities) = neighbours.counts();
        let of_bands: Vec<String> = luminosities.iter().map(|(band, n)| format!("{n} in {band}")).collect();
        tracing::info!(
            "{n_stars} stars of controls: intrinsic colours of {colours}, parallaxes and magnitudes of {}",
            of_bands.join(", ")
        );
        Ok(Self { neighbours, files })
    }

    /// What they say.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// Their contents, for what a run is known by.
    pub fn contents(&self) -> String {
        self.files.iter().map(FileState::sha256).collect::<Vec<_>>().join(",")
    }

    /// # Errors
    /// When a file has changed since it was read.
    pub fn require_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(FileState::require_unchanged)
    }
}

/// A least latitude needs positions.
fn require_positions(columns: &crate::distance::columns::FoundColumns, least: f64, place: &str) -> Result<()> {
    if least == 0.0 || columns.name("ra").is_some() && columns.name("dec").is_some() {
        return Ok(());
    }
    Err(Error::usage("columns.ra, columns.dec")
        .found("no such columns")
        .expected(format!("positions of the controls, whose |b| shall be above {least} deg"))
        .remedy("Name the columns in the recipe, or say least_latitude = 0.0 in [neighbours].")
        .within(place))
}
