//! Which inputs networks see, and what their steps learn.

use super::rows::{fluxes, further_raw};
use super::steps::{FittedStep, Step, mean_and_deviation};
use crate::error::{Error, Result};
use crate::observations::{Grid, Observations};
use crate::statistics::median;
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
    /// Most training stars that steps learn from, by a hash of the identifier; all of these are in memory
    /// together.
    pub most_stars: usize,
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
            most_stars: 100_000,
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
        let further = further_raw(recipe, observations, stars, &rows, None)?;
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

    /// Whether inputs depend on how bright a star is: a step that is not linear, or that knows the training
    /// stars, before one that takes the brightness off.
    pub fn depend_on_brightness(&self) -> bool {
        for step in &self.recipe.steps {
            match step {
                Step::DivideByMedian | Step::UnitNorm => return false,
                Step::SubtractMean => {}
                _ => return true,
            }
        }
        true
    }

    /// Number of leading inputs that are no indicators, over which the domain is judged.
    pub fn n_continuous(&self) -> usize {
        self.fallback.len() + self.further.len()
    }
}
