//! What the examples share: a small simulated survey that can be changed, and the shipped recipe with fewer
//! epochs.

// Each example uses a part of this.
#![allow(dead_code)]

use photosphere::error::Result;
use photosphere::infer::{Estimates, FitOptions, fit, read_options};
use photosphere::model::Registry;
use photosphere::observations::{Observations, ReadOptions};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::table::{Column, ColumnSchema, Shape, Table, Values};
use photosphere::tensor::Device;
use photosphere::train::{Recipe, Stage, TrainedModel, train};
use std::path::Path;

/// `n_stars` simulated stars from number `first_star` on, without unresolved binaries.
pub fn survey(n_stars: usize, first_star: u64) -> Result<Table> {
    simulate(&SurveyConfig { n_stars, first_star, binary_fraction: 0.0, ..SurveyConfig::default() })
}

/// The recipe for XP spectra, every stage cut to a few epochs and the prior to four Gaussians: enough to see
/// a model learn.
pub fn short_recipe(epochs: u32) -> Result<Recipe> {
    let mut recipe = Recipe::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recipes/xp.toml"))?;
    for stage in &mut recipe.stages {
        if let Stage::Learn(learn) = stage {
            learn.epochs = learn.epochs.min(epochs);
            learn.batch = 128;
        }
    }
    recipe.prior.n_components = 4;
    recipe.prior.n_restarts = 1;
    Ok(recipe)
}

/// Trains on a table.
pub fn train_on(table: Table, recipe: &Recipe, registry: &Registry) -> Result<TrainedModel> {
    let options = ReadOptions { constraints: recipe.constraints(registry)?, ..ReadOptions::default() };
    let observations = Observations::from_table(table, &options)?;
    let (trained, _) = train(recipe, &observations, registry, &Device::cpu(), None, &mut |_, _| Ok(()))?;
    let metric = |name: &str| trained.card.metrics.get(name).copied().unwrap_or(f64::NAN);
    println!(
        "trained {} weights on {} stars: loss per flux {:.2}, {:.2} on {} stars never trained on",
        trained.model.n_weights(),
        trained.card.n_training,
        metric("training_loss_per_flux"),
        metric("validation_loss_per_flux"),
        trained.card.n_validation
    );
    Ok(trained)
}

/// Fits every star of a table; returns the estimates and the columns that are neither flux nor noise.
pub fn fit_all(trained: &TrainedModel, table: Table, options: &FitOptions) -> Result<(Estimates, Table)> {
    let observations = Observations::from_table(table, &read_options(trained, options))?;
    let estimates = fit(trained, &observations, options)?;
    Ok((estimates, observations.stars.auxiliary))
}

/// Names of the fluxes of an observation table.
pub fn band_names(table: &Table) -> Vec<String> {
    table.metadata.get("bands").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Multiplies the flux of star `i` at entry `w` of the data vector by `factor(i, w)`; the errors stay.
pub fn scale_flux(mut table: Table, factor: impl Fn(usize, usize) -> f64) -> Result<Table> {
    if let Some(mut column) = table.take("flux") {
        if let (Values::Float32(flux), Shape::Fixed(width)) = (&mut column.values, &column.shape) {
            for (position, flux) in flux.iter_mut().enumerate() {
                *flux *= factor(position / width, position % width) as f32;
            }
        }
        table.push(column)?;
    }
    Ok(table)
}

/// The table with one more column of numbers.
pub fn with_column(mut table: Table, name: &str, unit: &str, description: &str, values: Vec<f64>) -> Result<Table> {
    table.push(Column::nullable(ColumnSchema::new(name, unit, description), values))?;
    Ok(table)
}

/// Pearson's correlation coefficient.
pub fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let moment = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    };
    moment(x, mean_x, y, mean_y) / (moment(x, mean_x, x, mean_x) * moment(y, mean_y, y, mean_y)).sqrt()
}
