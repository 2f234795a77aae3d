//! `photosphere distance --calibrate`: error model and mixture of binaries, from stars with good parallaxes.

use super::read::for_each_batch;
use crate::cli::outcome::Outcome;
use crate::cli::settings::Settings;
use crate::distance::error_model::{Calibration, CalibrationOptions, CalibrationStar, ErrorModel};
use crate::distance::mixture::{FittedMixture, MixtureStar};
use crate::distance::observables::Observables;
use crate::distance::options::BinaryMixture;
use crate::distance::{DistanceOptions, DistanceRecipe, Star};
use crate::error::{Error, Result};
use crate::run::Existing;
use crate::table::{check_target, write_atomically};
use crate::warning::warn_once;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Pairs of less are none, mag.
const LEAST_OFFSET: f64 = 0.3;

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
    let mut options = CalibrationOptions::default();
    options.sampler.seed = settings.seed.unwrap_or(options.sampler.seed);
    let mut good = GoodStars::read(recipe, inputs, options.parallax_over_error)?;
    let calibration: Vec<CalibrationStar> = good.iter().flat_map(|good| good.taken(CalibrationStar::of)).collect();
    let Calibration { model, errors, n_stars, n_kept, chain } = ErrorModel::calibrate(&calibration, &options)?;
    let mut calibrated = recipe.clone();
    calibrated.options.error_model = model;
    good.iter_mut().for_each(|good| good.options.error_model = model);
    let mixture_stars: Vec<MixtureStar> = good.iter().flat_map(|good| good.taken(MixtureStar::of)).collect();
    let FittedMixture { mixture, errors: mixture_errors, .. } = BinaryMixture::default().fitted(&mixture_stars)?;
    calibrated.options.binary.mixture = mixture;
    let text = toml::to_string(&calibrated).map_err(|error| Error::output("recipe").found(error.to_string()).source(error))?;
    let head = format!(
        "# Calibrated by `photosphere distance --calibrate` on {n_kept} of {n_stars} stars with parallaxes of {} sigma.\n\
         # Errors: slope {:.4}, shift {:.4}, intrinsic {:.4}, at_snr_100 {:.4};\n\
         # single_fraction {:.4}, shift {:.4}, offset {:.4}, single_scatter {:.4}, binary_scatter {:.4}.\n",
        options.parallax_over_error,
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
    tracing::info!(
        "{}: {n_kept} of {n_stars} stars; errors by slope {:.4}, shift {:.4}, intrinsic {:.4} mag, at_snr_100 {:.4}; {:.1} % single, pairs \
         {:.3} mag brighter",
        output.display(),
        model.slope,
        model.shift,
        model.intrinsic,
        model.at_snr_100,
        100.0 * mixture.single_fraction,
        mixture.offset
    );
    if mixture.offset < LEAST_OFFSET {
        warn_once(format!(
            "{}: the binaries of the mixture are {:.3} mag brighter than single stars, where two equal ones are 0.75: the sample shows \
             none. Keep the mixture of another sample ([options.binary.mixture]), or leave binaries out.",
            output.display(),
            mixture.offset
        ));
    }
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

/// Stars with good parallaxes, and the options for them.
struct GoodStars {
    stars: Vec<Star>,
    options: DistanceOptions,
}

impl GoodStars {
    /// Those of the inputs with parallaxes of at least so many errors.
    fn read(recipe: &DistanceRecipe, inputs: &[PathBuf], errors: f64) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for_each_batch(recipe, None, inputs, |batch| {
            let options = batch.options(&recipe.options);
            let mut stars = batch.stars;
            stars.retain(|star| Observables::of(star, &options).has_parallax_of(errors));
            stars.shrink_to_fit();
            all.push(Self { stars, options });
            Ok(())
        })?;
        Ok(all)
    }

    /// What `of` takes of them.
    fn taken<T>(&self, of: impl Fn(&Star, &DistanceOptions) -> Option<T>) -> impl Iterator<Item = T> {
        self.stars.iter().filter_map(move |star| of(star, &self.options))
    }
}
