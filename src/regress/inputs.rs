//! From observations to the rows that networks see.

use super::steps::{FittedStep, Step, fill, mean_and_deviation};
use crate::error::{Error, Result};
use crate::noise::WhiteningRow;
use crate::observations::{Grid, Observations, hash64};
use crate::statistics::median;
use ndarray::{Array2, Axis, concatenate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which inputs, and by which steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputsRecipe {
    /// Missing fluxes between two present ones are interpolated along the grid (spectra). Otherwise they stay
    /// missing, and become the mean of the training stars (photometry).
    pub interpolate: bool,
    /// Largest fraction of missing fluxes of a star for which anything is predicted.
    pub most_missing: f64,
    /// One more input per flux, 1 where it is missing.
    pub indicators: bool,
    /// Measured quantities that are inputs too, as asinh of their multiples of the median error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<String>,
    /// ϖ/√flux of an entry, for the luminosity as far as a parallax tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub luminosity: Option<LuminosityInput>,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// asinh of parallax/√flux in units of its median modulus: finite for negative parallaxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LuminosityInput {
    pub parallax: String,
    pub entry: String,
}

impl Default for InputsRecipe {
    fn default() -> Self {
        Self {
            interpolate: false,
            most_missing: 0.5,
            indicators: false,
            measured: Vec::new(),
            luminosity: None,
            steps: vec![Step::Asinh { errors: 1.0 }, Step::Standardise],
        }
    }
}

impl InputsRecipe {
    /// Measured quantities that have to be read.
    pub fn measured(&self) -> Vec<String> {
        let luminosity = self.luminosity.iter().map(|input| input.parallax.clone());
        self.measured.iter().cloned().chain(luminosity).collect()
    }
}

/// Inputs with what their steps have learned.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub recipe: InputsRecipe,
    pub grid: Grid,
    pub steps: Vec<FittedStep>,
    /// Means of the training stars after the steps, for what is still missing.
    pub fallback: Vec<f32>,
    /// Scale of each further input before asinh, and mean and deviation after it.
    pub further: Vec<[f64; 3]>,
    /// Positions of the entries that no training star had a flux for: those of new stars are missing too.
    pub untrained: Vec<usize>,
}

/// Rows of stars, and whose could not be made.
pub struct Rows {
    /// `[N, D]`, finite.
    pub values: Array2<f32>,
    /// Too few fluxes `[N]`.
    pub is_unusable: Vec<bool>,
}

/// A noise to be added: the numbers of copy `copy` of each star, from its identifier and the seed.
#[derive(Debug, Clone, Copy)]
pub struct Copy {
    pub seed: u64,
    pub copy: u32,
}

impl Inputs {
    /// Learns the steps from the given stars; returns their rows too.
    ///
    /// # Errors
    /// When an entry or a measured quantity is absent, or there are too few stars.
    pub fn fit(recipe: &InputsRecipe, observations: &Observations, stars: &[usize], seed: u64) -> Result<Self> {
        let grid = observations.grid.clone();
        for name in recipe.measured() {
            if !observations.constraints.contains_key(&name) {
                return Err(Error::data(format!("input '{name}'"))
                    .found("no columns of the quantity and its error")
                    .expected(format!("'{name}' and '{name}_error'"))
                    .remedy("Add them to the observation file, or leave the input out of the recipe."));
            }
        }
        let errors: Vec<f64> = (0..grid.len())
            .into_par_iter()
            .map(|w| {
                let present = stars.iter().map(|&star| f64::from(observations.flux_error[[star, w]]));
                median(&present.filter(|error| error.is_finite()).collect::<Vec<f64>>())
            })
            .collect();
        let mut names = grid.names.clone();
        let has_flux = |entry: usize| stars.iter().any(|&star| observations.flux_error[[star, entry]].is_finite());
        let untrained: Vec<usize> = (0..grid.len()).filter(|&entry| !has_flux(entry)).collect();
        if !untrained.is_empty() {
            let of = grid.len();
            tracing::info!("{} of {of} entries have no flux in any training star: predictions leave them out", untrained.len());
        }
        let mut rows = fluxes(recipe, observations, stars, &untrained, None);
        let mut steps = Vec::new();
        for step in &recipe.steps {
            if names.len() != grid.len() && matches!(step, Step::Asinh { .. }) {
                return Err(Error::usage("inputs, step 'asinh'")
                    .found("it after 'pca'")
                    .expected("it before, where entries are fluxes")
                    .remedy("Change the order of the steps."));
            }
            let fitted = step.fit(&rows, &errors, &names, seed)?;
            rows = fitted.apply(rows);
            if step.width(names.len()) != names.len() {
                names = (0..step.width(names.len())).map(|k| format!("component {k}")).collect();
            }
            steps.push(fitted);
        }
        let fallback: Vec<f32> = (0..rows.ncols()).map(|w| mean_and_deviation(&rows, w).0).collect();
        let further = further_raw(recipe, observations, stars, None)?;
        let further: Vec<[f64; 3]> = (0..further.ncols())
            .map(|k| {
                let present: Vec<f64> = further.column(k).iter().copied().filter(|value| value.is_finite()).collect();
                let scale = median(&present.iter().map(|value| value.abs()).collect::<Vec<_>>());
                let scale = if scale > 0.0 { scale } else { 1.0 };
                let softened: Vec<f64> = present.iter().map(|value| (value / scale).asinh()).collect();
                let n = softened.len().max(1) as f64;
                let mean = softened.iter().sum::<f64>() / n;
                let deviation = (softened.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
                [scale, mean, if deviation > 0.0 { deviation } else { 1.0 }]
            })
            .collect();
        Ok(Self { recipe: recipe.clone(), grid, steps, fallback, further, untrained })
    }

    /// Number of inputs D.
    pub fn len(&self) -> usize {
        self.fallback.len() + self.further.len() + if self.recipe.indicators { self.grid.len() } else { 0 }
    }

    /// Whether there are no inputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of leading inputs that are no indicators, over which the domain is judged.
    pub fn n_continuous(&self) -> usize {
        self.fallback.len() + self.further.len()
    }

    /// 1 for every entry of a star that is missing.
    fn missing(&self, observations: &Observations, star: usize) -> Vec<f32> {
        let of = |error: &f32| if error.is_finite() { 0.0 } else { 1.0 };
        let mut missing: Vec<f32> = observations.flux_error.row(star).iter().map(of).collect();
        self.untrained.iter().for_each(|&entry| missing[entry] = 1.0);
        missing
    }

    /// The rows of some stars, with noise added where a copy is wanted.
    ///
    /// # Errors
    /// When the grid is another, or a measured input is absent.
    pub fn rows(&self, observations: &Observations, stars: &[usize], copy: Option<Copy>) -> Result<Rows> {
        self.grid.require_same(&observations.grid)?;
        let recipe = &self.recipe;
        let mut rows = fluxes(recipe, observations, stars, &self.untrained, copy);
        let missing: Vec<Vec<f32>> = stars.iter().map(|&star| self.missing(observations, star)).collect();
        for step in &self.steps {
            rows = step.apply(rows);
        }
        fill(&mut rows, &self.fallback);
        let raw = further_raw(recipe, observations, stars, copy)?;
        let further = Array2::from_shape_fn(raw.dim(), |(star, k)| {
            let [scale, mean, deviation] = self.further[k];
            let value = ((raw[[star, k]] / scale).asinh() - mean) / deviation;
            if value.is_finite() { value as f32 } else { 0.0 }
        });
        let joined = concatenate(Axis(1), &[rows.view(), further.view()]);
        let mut values = joined.map_err(|error| Error::numerical("inputs").found(error.to_string()))?;
        if recipe.indicators {
            let indicators = Array2::from_shape_fn((stars.len(), self.grid.len()), |(star, w)| missing[star][w]);
            values = concatenate(Axis(1), &[values.view(), indicators.view()])
                .map_err(|error| Error::numerical("inputs").found(error.to_string()))?;
        }
        let most = recipe.most_missing * self.grid.len() as f64;
        let is_unusable = missing.iter().map(|row| row.iter().map(|&m| f64::from(m)).sum::<f64>() > most).collect();
        Ok(Rows { values, is_unusable })
    }
}

fn random_of(id: i64, copy: Copy) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(hash64(id, copy.seed));
    random.set_stream(u64::from(copy.copy));
    random
}

/// Fluxes `[N, W]`, NaN where missing; of a copy, with noise of the star's covariance.
fn fluxes(
    recipe: &InputsRecipe,
    observations: &Observations,
    stars: &[usize],
    untrained: &[usize],
    copy: Option<Copy>,
) -> Array2<f32> {
    let mut rows = Array2::zeros((stars.len(), observations.grid.len()));
    rows.axis_iter_mut(Axis(0)).into_par_iter().zip(stars).for_each(|(mut row, &star)| {
        let noise = copy.map(|copy| noise(observations, star, copy));
        for (w, value) in row.iter_mut().enumerate() {
            let is_present = observations.flux_error[[star, w]].is_finite();
            let added = noise.as_ref().map_or(0.0, |noise| noise[w] as f32);
            *value = if is_present { observations.flux[[star, w]] + added } else { f32::NAN };
        }
        untrained.iter().for_each(|&entry| row[entry] = f32::NAN);
        if recipe.interpolate {
            interpolate(row.as_slice_mut().unwrap_or_default(), &observations.grid.wavelength);
        }
    });
    rows
}

/// A draw from the noise of a star's fluxes: L n = z with independent normal z, solved for n.
fn noise(observations: &Observations, star: usize, copy: Copy) -> Vec<f64> {
    let WhiteningRow { triangle, diagonal, .. } = observations.whitening.row(star);
    let block = observations.grid.len() - diagonal.len();
    let mut random = random_of(observations.ids[star], copy);
    let mut found: Vec<f64> = Vec::with_capacity(observations.grid.len());
    for i in 0..block {
        let row = &triangle[i * (i + 1) / 2..=i * (i + 3) / 2];
        let z: f64 = StandardNormal.sample(&mut random);
        let known: f64 = row.iter().zip(&found).map(|(factor, noise)| factor * noise).sum();
        found.push(if row[i] > 0.0 { (z - known) / row[i] } else { 0.0 });
    }
    for inverse in diagonal {
        let z: f64 = StandardNormal.sample(&mut random);
        found.push(if inverse > 0.0 { z / inverse } else { 0.0 });
    }
    found
}

/// Replaces NaN between two numbers by the line between them, and at the ends by the nearest number.
fn interpolate(row: &mut [f32], wavelength: &[f64]) {
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

/// Measured quantities and ϖ/√flux `[N, …]`, NaN where missing.
fn further_raw(recipe: &InputsRecipe, observations: &Observations, stars: &[usize], copy: Option<Copy>) -> Result<Array2<f64>> {
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
    for (mut row, &star) in raw.rows_mut().into_iter().zip(stars) {
        // A stream of its own, far from those of the fluxes.
        let mut random = copy.map(|copy| random_of(observations.ids[star], Copy { copy: copy.copy | 1 << 31, ..copy }));
        for (k, name) in names.iter().enumerate() {
            let Some((value, error)) = observations.constraint(name, star) else { continue };
            let noise = random
                .as_mut()
                .map_or(0.0, |random| error * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, random));
            row[k] = value + noise;
            if let Some(entry) = entry.filter(|_| k + 1 == names.len()) {
                let (flux, error) = (observations.flux[[star, entry]], observations.flux_error[[star, entry]]);
                row[k] /= if error.is_finite() && flux > 0.0 { f64::from(flux).sqrt() } else { f64::NAN };
            }
        }
    }
    Ok(raw)
}
