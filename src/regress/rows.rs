//! From observations to the rows that networks see, with noise where copies are wanted.

use super::inputs::{Inputs, InputsRecipe};
use super::normals::normals;
use super::steps::fill;
use crate::error::{Error, Result};
use crate::observations::{Observations, Sample, hash64};
use crate::statistics::median;
use ndarray::{Array2, ArrayView1, ArrayViewMut2, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Stars that go through all steps together: their spectra stay in the caches of a core.
pub(super) const TOGETHER: usize = 32;

/// Rows of stars, and whose could not be made.
pub struct Rows {
    /// `[N, D]`, finite.
    pub values: Array2<f32>,
    /// Too few fluxes, or none that a step could make anything of (all the same, where their mean is taken
    /// off) `[N]`.
    pub is_unusable: Vec<bool>,
}

/// A noise to be added: the numbers of copy `copy` of each star, from its identifier and the seed.
#[derive(Debug, Clone, Copy)]
pub struct Copy {
    pub seed: u64,
    pub copy: u32,
}

impl Inputs {
    /// The rows of some stars, with noise added where a copy is wanted.
    ///
    /// # Errors
    /// When the grid is another, or a measured input is absent.
    pub fn rows(&self, observations: &Observations, stars: &[usize], copy: Option<Copy>) -> Result<Rows> {
        self.grid.require_same(&observations.grid)?;
        let mut values = Array2::zeros((stars.len(), self.len()));
        let is_unusable = self.write_all(observations, stars, copy, values.view_mut())?;
        Ok(Rows { values, is_unusable })
    }

    /// The rows of all stars of a sample, without noise.
    ///
    /// # Errors
    /// As [`Inputs::rows`], and when a file cannot be read.
    pub fn rows_of(&self, sample: &dyn Sample) -> Result<Array2<f32>> {
        let all: Vec<usize> = (0..sample.stars().len()).collect();
        let mut values = Array2::zeros((all.len(), self.len()));
        let mut first = 0;
        sample.visit(&all, &mut |part, stars| {
            self.write_all(part, stars, None, values.slice_mut(s![first..first + stars.len(), ..]))?;
            first += stars.len();
            Ok(())
        })?;
        Ok(values)
    }

    /// Writes the rows of some stars into `values`; returns whose could not be made.
    fn write_all(
        &self,
        observations: &Observations,
        stars: &[usize],
        copy: Option<Copy>,
        mut values: ArrayViewMut2<'_, f32>,
    ) -> Result<Vec<bool>> {
        let mut is_unusable = vec![false; stars.len()];
        let chunks = values.axis_chunks_iter_mut(Axis(0), TOGETHER).into_par_iter();
        let work = chunks.zip(stars.par_chunks(TOGETHER)).zip(is_unusable.par_chunks_mut(TOGETHER));
        work.try_for_each(|((values, stars), is_unusable)| self.write_rows(observations, stars, copy, values, is_unusable))?;
        Ok(is_unusable)
    }

    fn write_rows(
        &self,
        observations: &Observations,
        stars: &[usize],
        copy: Option<Copy>,
        mut values: ArrayViewMut2<'_, f32>,
        is_unusable: &mut [bool],
    ) -> Result<()> {
        let recipe = &self.recipe;
        let mut rows = fluxes(recipe, observations, stars, &self.untrained, copy);
        let raw = further_raw(recipe, observations, stars, &rows, copy)?;
        // Some steps put means in the place of what is missing: a star of which all is has none of its own.
        let has_none = |row: ArrayView1<'_, f32>| row.iter().all(|value| !value.is_finite());
        let mut is_lost = vec![false; stars.len()];
        let mut mark = |rows: &Array2<f32>| {
            is_lost.iter_mut().zip(rows.rows()).for_each(|(is_lost, row)| *is_lost |= has_none(row));
        };
        for step in &self.steps {
            mark(&rows);
            rows = step.apply(rows);
        }
        mark(&rows);
        fill(&mut rows, &self.fallback);
        let width = rows.ncols();
        values.slice_mut(s![.., ..width]).assign(&rows);
        for ((star, k), value) in raw.indexed_iter() {
            let [scale, mean, deviation] = self.further[k];
            let value = ((value / scale).asinh() - mean) / deviation;
            values[[star, width + k]] = if value.is_finite() { value as f32 } else { 0.0 };
        }
        let most = recipe.most_missing * self.grid.len() as f64;
        for (row, (&star, is_unusable)) in stars.iter().zip(is_unusable).enumerate() {
            let mut n_missing = observations.flux_error.row(star).iter().filter(|error| !error.is_finite()).count();
            n_missing += self.untrained.iter().filter(|&&entry| observations.flux_error[[star, entry]].is_finite()).count();
            *is_unusable = n_missing as f64 > most || is_lost[row];
            if recipe.indicators {
                let mut indicators = values.slice_mut(s![row, width + raw.ncols()..]);
                let errors = observations.flux_error.row(star);
                indicators.zip_mut_with(&errors, |to, error| *to = if error.is_finite() { 0.0 } else { 1.0 });
                self.untrained.iter().for_each(|&entry| indicators[entry] = 1.0);
            }
        }
        Ok(())
    }
}

/// The median absolute flux of a star over its good entries; NaN without any.
pub(super) fn median_flux(observations: &Observations, star: usize) -> f64 {
    let entries = observations.flux.row(star).into_iter().zip(observations.flux_error.row(star));
    median(&entries.filter(|(_, error)| error.is_finite()).map(|(flux, _)| f64::from(flux.abs())).collect::<Vec<_>>())
}

fn random_of(id: i64, copy: Copy) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(hash64(id, copy.seed));
    random.set_stream(u64::from(copy.copy));
    random
}

/// Fluxes `[N, W]`, NaN where missing; of a copy, with noise of the star's covariance.
pub(super) fn fluxes(
    recipe: &InputsRecipe,
    observations: &Observations,
    stars: &[usize],
    untrained: &[usize],
    copy: Option<Copy>,
) -> Array2<f32> {
    let mut rows = Array2::zeros((stars.len(), observations.grid.len()));
    rows.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(TOGETHER).zip(stars).for_each(|(mut row, &star)| {
        row.assign(&observations.flux.row(star));
        if let Some(copy) = copy {
            let noise = noise(observations, star, copy);
            row.iter_mut().zip(noise).for_each(|(value, noise)| *value += noise);
        }
        row.zip_mut_with(&observations.flux_error.row(star), |value, error| {
            *value = if error.is_finite() { *value } else { f32::NAN };
        });
        untrained.iter().for_each(|&entry| row[entry] = f32::NAN);
        if recipe.interpolate {
            interpolate(row.as_slice_mut().unwrap_or_default(), &observations.grid.wavelength);
        }
    });
    rows
}

/// A draw from the noise of a star's fluxes: L n = z with independent normal z, solved for n.
fn noise(observations: &Observations, star: usize, copy: Copy) -> Vec<f32> {
    let whitening = &observations.whitening;
    let (block, width) = (whitening.block, observations.grid.len());
    let of_star = |values: &[f32], length: usize| -> std::ops::Range<usize> {
        let first = (star * length).min(values.len());
        first..(first + length).min(values.len())
    };
    let triangle = &whitening.triangle[of_star(&whitening.triangle, block * (block + 1) / 2)];
    let diagonal = &whitening.diagonal[of_star(&whitening.diagonal, width - block)];
    let mut found = normals(&mut random_of(observations.ids[star], copy), width);
    let mut known: Vec<f64> = Vec::with_capacity(block);
    for i in 0..block {
        let row = &triangle[i * (i + 1) / 2..=i * (i + 3) / 2];
        let sum: f64 = row.iter().zip(&known).map(|(factor, noise)| f64::from(*factor) * noise).sum();
        let noise = if row[i] > 0.0 { (f64::from(found[i]) - sum) / f64::from(row[i]) } else { 0.0 };
        known.push(noise);
        found[i] = noise as f32;
    }
    for (noise, inverse) in found[block..].iter_mut().zip(diagonal) {
        *noise = if *inverse > 0.0 { *noise / inverse } else { 0.0 };
    }
    found
}

/// Replaces NaN between two numbers by the line between them, and at the ends by the nearest number.
fn interpolate(row: &mut [f32], wavelength: &[f64]) {
    if row.iter().all(|value| value.is_finite()) {
        return;
    }
    let present: Vec<usize> = (0..row.len()).filter(|&w| row[w].is_finite()).collect();
    let (Some(&first), Some(&last)) = (present.first(), present.last()) else { return };
    let (left, right) = (row[first], row[last]);
    row[..first].fill(left);
    row[last..].fill(right);
    for pair in present.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        for w in a + 1..b {
            let along = ((wavelength[w] - wavelength[a]) / (wavelength[b] - wavelength[a])) as f32;
            row[w] = row[a] + along * (row[b] - row[a]);
        }
    }
}

/// Measured quantities and ϖ/√flux `[N, …]`, NaN where missing. `fluxes` are those before any step, of a copy
/// with its noise: parallax and flux of a copy are noisy both.
pub(super) fn further_raw(
    recipe: &InputsRecipe,
    observations: &Observations,
    stars: &[usize],
    fluxes: &Array2<f32>,
    copy: Option<Copy>,
) -> Result<Array2<f64>> {
    let names = recipe.measured();
    let entry = match &recipe.luminosity {
        None => None,
        Some(input) => Some(observations.grid.names.iter().position(|name| *name == input.entry).ok_or_else(|| {
            Error::usage("inputs, luminosity")
                .found(format!("the entry '{}'", input.entry))
                .expected(format!("one of {}", observations.grid.names.join(", ")))
                .remedy("Name an entry of the observation file.")
        })?),
    };
    let mut raw = Array2::from_elem((stars.len(), names.len()), f64::NAN);
    for ((mut row, &star), fluxes) in raw.rows_mut().into_iter().zip(stars).zip(fluxes.rows()) {
        // A stream of its own, far from those of the fluxes.
        let mut random = copy.map(|copy| random_of(observations.ids[star], Copy { copy: copy.copy | 1 << 31, ..copy }));
        for (k, name) in names.iter().enumerate() {
            let Some((value, error)) = observations.constraint(name, star) else { continue };
            let noise = random
                .as_mut()
                .map_or(0.0, |random| error * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, random));
            row[k] = value + noise;
            if let Some(entry) = entry.filter(|_| k + 1 == names.len()) {
                let (flux, error) = (fluxes[entry], observations.flux_error[[star, entry]]);
                row[k] /= if error.is_finite() && flux > 0.0 { f64::from(flux).sqrt() } else { f64::NAN };
            }
        }
    }
    Ok(raw)
}
