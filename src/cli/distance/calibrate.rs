//! `photosphere distance --calibrate`: error model and mixture of binaries, from stars with good parallaxes.

use super::catalogue::estimates;
use super::read::for_each_batch;
use crate::cli::outcome::Outcome;
use crate::cli::settings::Settings;
use crate::distance::error_model::{Calibration, CalibrationOptions, CalibrationStar, ErrorModel};
use crate::distance::mixture::{FittedMixture, MixtureStar};
use crate::distance::options::BinaryMixture;
use crate::distance::{DistanceRecipe, Estimate, Star};
use crate::error::{Error, Result};
use crate::run::Existing;
use crate::statistics::Measured;
use crate::table::{check_target, write_atomically};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Least ϖ/σ of stars that calibrate.
const PARALLAX_OVER_ERROR: f64 = 10.0;

/// Calibrates, and writes the recipe with what was found.
///
/// # Errors
/// When an input is bad, too few stars are good, or the recipe cannot be written.
pub fn run(
    recipe: &DistanceRecipe,
    inputs: &[PathBuf],
    output: &Path,
    existing: Existing,
    settings: &Settings,
) -> Result<Outcome> {
    check_target(output, existing.overwrite)?;
    let mut calibration = Vec::new();
    collect(recipe, inputs, |star, found| calibration.extend(calibration_star(star, found)))?;
    let mut options = CalibrationOptions::default();
    options.sampler.seed = settings.seed.unwrap_or(options.sampler.seed);
    let Calibration { model, errors, n_stars, n_kept, chain } = ErrorModel::calibrate(&calibration, &options)?;
    let mut calibrated = recipe.clone();
    calibrated.options.error_model = model;
    let mut mixture_stars = Vec::new();
    collect(&calibrated, inputs, |_, found| mixture_stars.extend(mixture_star(found)))?;
    let FittedMixture { mixture, errors: mixture_errors, .. } = BinaryMixture::default().fitted(&mixture_stars)?;
    calibrated.options.binary.mixture = mixture;
    let text = toml::to_string(&calibrated).map_err(|error| Error::output("recipe").found(error.to_string()).source(error))?;
    let head = format!(
        "# Calibrated by `photosphere distance --calibrate` on {n_kept} of {n_stars} stars with parallaxes of {PARALLAX_OVER_ERROR} sigma.\n\
         # Errors: slope {:.4}, shift {:.4}, intrinsic {:.4}, at_snr_100 {:.4};\n\
         # single_fraction {:.4}, shift {:.4}, offset {:.4}, single_scatter {:.4}, binary_scatter {:.4}.\n",
        errors[0],
        errors[1],
        errors[2],
        errors[3],
        mixture_errors[0],
        mixture_errors[1],
        mixture_errors[2],
        mixture_errors[3],
        mixture_errors[4]
    );
    write_atomically(output, existing.overwrite, |file| file.write_all(format!("{head}{text}").as_bytes()))?;
    tracing::info!("{}: {n_kept} of {n_stars} stars; {model:?}; {mixture:?}", output.display());
    let time = (0..4).map(|parameter| chain.autocorrelation(parameter)).fold(0.0, f64::max);
    Ok(Outcome::files(json!({
        "output": output.display().to_string(),
        "stars": n_stars,
        "kept": n_kept,
        "error_model": model,
        "error_model_errors": errors,
        "autocorrelation": time,
        "mixture": mixture,
        "mixture_errors": mixture_errors,
    })))
}

/// All stars of the inputs with their estimates.
fn collect(recipe: &DistanceRecipe, inputs: &[PathBuf], mut take: impl FnMut(&Star, &Estimate)) -> Result<()> {
    for_each_batch(recipe, inputs, |batch| {
        let found = estimates(&batch.stars, &recipe.options)?;
        batch.stars.iter().zip(&found).for_each(|(star, found)| take(star, found));
        Ok(())
    })
}

fn calibration_star(star: &Star, found: &Estimate) -> Option<CalibrationStar> {
    let known = |error: f64| if error.is_nan() { 0.0 } else { error };
    let error = known(star.magnitude.error).hypot(known(star.extinction.error));
    let dereddened = Measured { value: star.magnitude.value - star.extinction.value, error };
    Some(CalibrationStar {
        absolute_magnitude: star.absolute_magnitude.value,
        snr: star.snr,
        dereddened,
        parallax: found.parallax?,
    })
}

fn mixture_star(found: &Estimate) -> Option<MixtureStar> {
    let parallax = found.parallax.filter(|parallax| parallax.value >= PARALLAX_OVER_ERROR * parallax.error)?;
    let spectroscopic = found.spectroscopic_parallax?;
    let ln_distance = Measured { value: -spectroscopic.value.ln(), error: spectroscopic.error / spectroscopic.value };
    Some(MixtureStar { parallax, ln_distance })
}
