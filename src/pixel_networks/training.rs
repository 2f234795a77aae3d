//! From observations with labels, and a gradient library, to a package.

use super::estimator::{fitted, inverse_variance, signal_to_noise};
use super::goodness::{Fitted, Goodness};
use super::history;
use super::line_spread::fault_of_line_spread;
use super::misfits::{chi_square_per_pixel, doubt_of_misfits};
use super::package::{PixelCard, SpectralPackage};
use super::recipe::SpectraRecipe;
use super::sample_checks;
use super::spectral_model::{SpectralModel, TrainingChoices};
use crate::error::{Error, ErrorKind, Result};
use crate::observations::{Observations, hash64, in_validation};
use crate::package::TrainingContext;
use crate::per_pixel::train::{Iteration, LabelErrors, Training, TrainingSet, free_labels};
use crate::per_pixel::{
    GradientLibrary, LabelSpace, LabelledSpectra, PixelModel, SpectrumFitOptions, SpectrumFitter, canonical_name,
};
use crate::quantity::Facts;
use crate::spectrum::Medium;
use crate::statistics::{MAD_SIGMA_ERROR, median};
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::{Array2, Axis};
use std::sync::Arc;

/// Å per nm.
pub(super) const ANGSTROM: f64 = 10.0;
/// Seed of the hash by which templates are chosen.
const TEMPLATE_SEED: u64 = 0x7e_3a_91;
/// χ² a pixel of spectra that were not trained on, above which a model is doubtful: …
const LARGEST_CHI_SQUARE: f64 = 2.0;
/// … or this, where it is more than so many times that of the training.
const LEAST_DOUBTFUL: f64 = 1.3;
const LARGEST_RATIO: f64 = 2.0;

/// A trained package, with what is worth a table of its own.
#[derive(Debug, Clone)]
pub struct TrainedSpectra<M> {
    pub package: SpectralPackage<M>,
    /// Labels of the training stars and whether they were for validation.
    pub stars: Table,
    /// How the training of every pixel went.
    pub pixels: Table,
    /// Mean losses of the iterations.
    pub history: Table,
}

/// Normal fluxes of spectra that are divided by their continuum, or by any one number of their order.
const NORMALISED: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// Fails where spectra are no normalised ones, or too few to say what each label does; warns where they are
/// fewer than the parameters of a network, which then follows single stars.
pub(super) fn check_spectra<M: SpectralModel>(recipe: &SpectraRecipe<M>, spectra: &LabelledSpectra) -> Result<()> {
    let (n, l) = spectra.labels.dim();
    if n <= l {
        return Err(Error::data("training stars")
            .found(format!("{n} for {l} labels"))
            .expected(format!("more than {l}, and some hundreds to be of use"))
            .remedy("Give more stars, or name fewer labels in the recipe."));
    }
    // Some of them tell the order of all.
    let step = spectra.flux.len().div_ceil(100_000).max(1);
    let good = spectra.flux.iter().zip(&spectra.inverse_variance).step_by(step).filter(|(_, weight)| **weight > 0.0);
    let fluxes: Vec<f64> = good.map(|(flux, _)| f64::from(*flux)).collect();
    let middle = median(&fluxes);
    if !(fluxes.is_empty() || NORMALISED.contains(&middle)) {
        return Err(Error::data("column 'flux'")
            .found(format!("a median of {middle:e}"))
            .expected("spectra divided by their continuum, of the order of 1")
            .remedy("Prepare them with a [continuum], or divide them by one number."));
    }
    let n_parameters = recipe.training.n_parameters(&recipe.labels);
    if n < n_parameters && recipe.library.is_none() {
        tracing::warn!("{n} training stars for {n_parameters} parameters of every pixel: {} may follow single stars", M::NAME);
    }
    Ok(())
}

/// Ratios of label errors beyond which a training warns, upwards or downwards, by more than three standard
/// errors.
const DOUBTFUL_ERRORS: f64 = 1.25;

/// What is wrong with the errors of a label, if something is.
pub(super) fn fault_of_errors(errors: &LabelErrors) -> Option<String> {
    let LabelErrors { label, ratio, n_stars, .. } = errors;
    let ratio = (*ratio)?;
    let doubtful = DOUBTFUL_ERRORS.ln() + 3.0 * MAD_SIGMA_ERROR / (*n_stars as f64).sqrt();
    let fault = match ratio.ln() {
        off if off > doubtful => "understated, or the spectra's are",
        off if off < -doubtful => "overstated",
        _ => return None,
    };
    Some(format!("errors of {label} are {fault}: labels moved by {ratio:.2} of what they should ({n_stars} stars)"))
}

/// Trains. The result does not depend on the order of the stars, on threads, nor on interruptions.
///
/// # Errors
/// When stars have no labels, the library does not belong to them, the training fails, or it is told to end.
pub fn train<M: SpectralModel>(
    recipe: &SpectraRecipe<M>,
    observations: &Observations,
    library: Option<GradientLibrary>,
    context: &TrainingContext<'_>,
) -> Result<TrainedSpectra<M>> {
    recipe.validate()?;
    let mut stars: Vec<usize> = (0..observations.len()).filter(|&star| is_labelled(&recipe.labels, observations, star)).collect();
    // Sums in single precision depend on the order.
    stars.sort_by_key(|&star| observations.ids[star]);
    let n_left_out = observations.len() - stars.len();
    if n_left_out > 0 {
        tracing::info!("{n_left_out} of {} stars have no flux or lack a label, and are left out", observations.len());
    }
    let (validation, training): (Vec<usize>, Vec<usize>) =
        stars.iter().partition(|&&star| in_validation(observations.ids[star], recipe.validation_fraction));
    if training.is_empty() {
        return Err(Error::data("training stars")
            .found(format!("{} stars, none with flux and all of {}", observations.len(), recipe.labels.join(", ")))
            .expected("stars with columns of these labels and of their errors (…_error)")
            .remedy("Join the labels with `photosphere prepare`, or name fewer labels in the recipe."));
    }
    let (mut spectra, mut validation_spectra) =
        (labelled(&recipe.labels, observations, &training), labelled(&recipe.labels, observations, &validation));
    check_spectra(recipe, &spectra)?;
    let outlying = sample_checks::outlying(&recipe.labels, &spectra);
    outlying.iter().for_each(|fault| tracing::warn!("{fault}"));
    let units = sample_checks::units_of_labels(&recipe.labels, observations);
    let space = LabelSpace::covering(&recipe.labels, &units, spectra.labels.view())?;
    let wavelength: Vec<f64> = observations.grid.wavelength.iter().map(|nm| ANGSTROM * nm).collect();
    let mut weaknesses = Vec::new();
    let library = match library {
        Some(_) if observations.grid.medium == Some(Medium::Air) => {
            return Err(Error::data("wavelengths of the observations")
                .found("air")
                .expected("vacuum, as in gradient libraries")
                .remedy("Prepare the spectra with `grid_medium = \"vacuum\"`."));
        }
        Some(library) => {
            weaknesses = library.require_agreement()?;
            let library = if recipe.smooth_library { library.smoothed_to(recipe.resolution)? } else { library };
            Some(library.for_training(&space, &wavelength, recipe.resolution)?)
        }
        None => None,
    };
    weaknesses.extend(library.iter().flat_map(|library| library.weaknesses(&space)));
    weaknesses.iter().for_each(|weakness| tracing::warn!("{} may cheat: {weakness}", M::NAME));
    let origin = library.as_ref().map_or_else(String::new, GradientLibrary::described);
    let fewest =
        sample_checks::fewest_of_a_pixel(training.len(), recipe.labels.len(), recipe.training.n_parameters(&recipe.labels));
    let few = sample_checks::without_enough(&spectra, fewest);
    let untrained: Vec<usize> = few.iter().map(|(pixel, _)| *pixel).collect();
    say_untrained(&few, fewest, wavelength.len())?;
    for spectra in [&mut spectra, &mut validation_spectra] {
        without(&untrained, &mut spectra.inverse_variance);
    }
    let set = TrainingSet { space: space.clone(), wavelength, spectra, validation: validation_spectra, library };
    let mut doubts = M::doubts(&set);
    let of_line_spread = fault_of_line_spread(observations, training.iter().copied(), recipe.resolution);
    doubts.extend(of_line_spread.map(|fault| format!("{fault}, the resolution of the recipe")));
    doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
    let trained = M::train(&set, &recipe.training, context)?;
    let compared = compared(&set, &recipe.training, &trained, context)?;
    let label_errors = match &trained.freed {
        Some(freed) => freed.errors.clone(),
        None => judged_errors(&set, trained.model.engine())?,
    };
    label_errors.iter().filter_map(fault_of_errors).for_each(|fault| tracing::warn!("{fault}"));

    let taught = trained.freed.as_ref().map_or(&set.spectra.labels, |freed| &freed.training);
    let templates = templates(recipe.templates, observations, &training, taught);
    let fitter = SpectrumFitter::new(trained.model.engine(), templates.view(), SpectrumFitOptions::default())?;
    // Those that were trained on are fitted better than any others.
    let good = observations.select(&validation);
    let mut weight = inverse_variance(&good);
    without(&untrained, &mut weight);
    let fits = fitter.fit(good.flux.view(), weight.view())?;
    let judged: Vec<Fitted> = (0..validation.len()).map(|star| fitted(&fits, star)).collect();
    let is_trained = are_trained(&untrained, trained.pixels.len());
    let mean = |value: &dyn Fn(usize) -> f64| {
        let values = (0..trained.pixels.len()).filter(|&pixel| is_trained[pixel]).map(value);
        values.sum::<f64>() / is_trained.iter().filter(|is_trained| **is_trained).count() as f64
    };
    let kept = |pixel: usize| trained.pixels[pixel].kept;
    let of_training = mean(&|pixel| kept(pixel).flux);
    let of_validation = (!validation.is_empty()).then(|| mean(&|pixel| kept(pixel).validation));
    let of_validation_labels = trained.freed.as_ref().map_or(&set.validation.labels, |freed| &freed.validation);
    let model = trained.model.engine();
    let of_stars = [(taught, &set.spectra), (of_validation_labels, &set.validation)]
        .map(|(labels, spectra)| chi_square_per_pixel(model.as_ref(), labels.view(), spectra));
    if let Some(doubt) = doubt_of_misfits(&of_stars[0], |star| observations.ids[training[star]]) {
        tracing::warn!("{doubt}");
        doubts.push(doubt);
    }
    if let Some(doubt) = of_validation.and_then(|of_validation| doubt_of(of_training, of_validation)) {
        tracing::warn!("{doubt}");
        doubts.push(doubt);
    }
    let card = PixelCard {
        description: recipe.description.clone(),
        resolution: recipe.resolution,
        n_training: training.len(),
        n_validation: validation.len(),
        library: origin,
        weaknesses,
        flux_unit: observations.flux_unit.clone(),
        metrics: [("chi-square of training", of_training), ("gradient term", mean(&|pixel| kept(pixel).gradient))]
            .into_iter()
            .chain(of_validation.map(|value| ("chi-square of validation", value)))
            .chain(compared)
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        goodness: Goodness::of(&signal_to_noise(&good), &judged),
        untrained,
        label_errors,
        doubts,
        windows_of: recipe.training.windows_of(),
        ..PixelCard::of_grid::<M>(observations.grid.clone())
    };
    Ok(TrainedSpectra {
        stars: table_of_stars(&set.space, observations, [&training, &validation], (&trained, &of_stars))?,
        pixels: table_of_pixels(&set.wavelength, &trained, of_validation.is_some(), &is_trained)?,
        history: history::table(&trained.history, of_validation.is_some())?,
        package: SpectralPackage::new(card, trained.model, templates)?,
    })
}

/// Says which pixels too few training spectra have; fails where no other is left.
fn say_untrained(few: &[(usize, usize)], fewest: usize, n_pixels: usize) -> Result<()> {
    let without_any = few.iter().filter(|(_, n)| *n == 0).count();
    if few.len() == n_pixels {
        return Err(Error::data("training spectra")
            .found(format!("no pixel that {fewest} of them have"))
            .expected("pixels that can be trained: more spectra than labels, and as many as parameters or a tenth of the spectra")
            .remedy("Give more spectra, or prepare them on a grid that most of them cover."));
    }
    if without_any > 0 {
        tracing::info!("{without_any} of {n_pixels} pixels have no flux in any training spectrum: fits leave them out");
    }
    if few.len() > without_any {
        tracing::warn!(
            "{} of {n_pixels} pixels have flux in fewer than {fewest} training spectra: they are not trained, and fits leave them out",
            few.len() - without_any
        );
    }
    Ok(())
}

/// Empties pixels of `weight [N, W]`.
fn without(pixels: &[usize], weight: &mut Array2<f32>) {
    pixels.iter().for_each(|&pixel| weight.column_mut(pixel).fill(0.0));
}

fn are_trained(untrained: &[usize], n_pixels: usize) -> Vec<bool> {
    let mut is_trained = vec![true; n_pixels];
    untrained.iter().for_each(|&pixel| is_trained[pixel] = false);
    is_trained
}

/// Spectra by which errors of labels are judged that a training took for exact.
const JUDGED: usize = 5000;

/// What spectra say of the errors of labels that were taken for exact, or for too small to matter: claims
/// that are too small would silence the very check that finds them. None where labels have no errors.
fn judged_errors(set: &TrainingSet, model: Arc<dyn PixelModel>) -> Result<Vec<LabelErrors>> {
    if set.spectra.label_errors.as_ref().is_none_or(|errors| errors.iter().all(|error| *error == 0.0)) {
        return Ok(Vec::new());
    }
    let some = |n: usize| (0..n.min(JUDGED)).map(|i| i * n / n.min(JUDGED)).collect::<Vec<_>>();
    let part = TrainingSet {
        space: set.space.clone(),
        wavelength: set.wavelength.clone(),
        spectra: set.spectra.select(&some(set.spectra.len())),
        validation: set.validation.select(&[]),
        library: None,
    };
    Ok(free_labels(&part, model)?.errors)
}

/// What χ² a pixel of spectra that were not trained on says against a model, beside that of the training.
fn doubt_of(training: f64, validation: f64) -> Option<String> {
    let (reason, limit) = match validation > LARGEST_RATIO * training {
        true => ("it follows the noise of single training spectra, or has failed", LEAST_DOUBTFUL),
        false => ("it has failed, or errors of fluxes or labels are too small", LARGEST_CHI_SQUARE),
    };
    let is_doubtful = validation.is_nan() || validation >= limit;
    is_doubtful.then(|| {
        format!(
            "chi-square of the validation spectra is {validation:.3} a pixel, of the training {training:.3}: the model \
             does not hold them within their errors; {reason}"
        )
    })
}

/// What a training is worth beside another family. It is there already: that of the other one may fail.
fn compared<M: SpectralModel>(
    set: &TrainingSet,
    choices: &M::Choices,
    trained: &Training<M>,
    context: &TrainingContext<'_>,
) -> Result<Vec<(&'static str, f64)>> {
    match M::compared(set, choices, trained, context) {
        Err(error) if !matches!(error.kind(), ErrorKind::Interrupted(_)) => {
            // A report may end a training by any error.
            (context.report)(1.0, "compared")?;
            tracing::warn!("{} are not compared with another family: {error}", M::NAME);
            Ok(Vec::new())
        }
        found => found,
    }
}

fn label(observations: &Observations, name: &str, star: usize) -> Option<f64> {
    observations.constraint(name, star).map(|(value, _)| value)
}

fn is_labelled(names: &[String], observations: &Observations, star: usize) -> bool {
    observations.n_fluxes(star) > 0 && names.iter().all(|name| label(observations, name, star).is_some())
}

fn labelled(names: &[String], observations: &Observations, stars: &[usize]) -> LabelledSpectra {
    let chosen = observations.select(stars);
    let measured = |(i, k): (usize, usize)| chosen.constraint(&names[k], i).unwrap_or((f64::NAN, f64::NAN));
    let shape = (stars.len(), names.len());
    LabelledSpectra {
        labels: Array2::from_shape_fn(shape, |at| measured(at).0),
        label_errors: Some(Array2::from_shape_fn(shape, |at| measured(at).1)),
        inverse_variance: inverse_variance(&chosen),
        flux: chosen.flux,
    }
}

/// Labels of some of the training stars, by a hash of their identifiers.
fn templates(n: usize, observations: &Observations, training: &[usize], labels: &Array2<f64>) -> Array2<f64> {
    let mut order: Vec<usize> = (0..training.len()).collect();
    order.sort_by_key(|&i| hash64(observations.ids[training[i]], TEMPLATE_SEED));
    order.truncate(n);
    labels.select(Axis(0), &order)
}

fn table_of_stars<M>(
    space: &LabelSpace,
    observations: &Observations,
    parts: [&[usize]; 2],
    (trained, chi_square): (&Training<M>, &[Vec<f64>; 2]),
) -> Result<Table> {
    // The star, its part and its place there, in the order of the identifiers.
    let rows = parts.iter().enumerate().flat_map(|(part, stars)| stars.iter().enumerate().map(move |(i, &star)| (star, part, i)));
    let mut rows: Vec<(usize, usize, usize)> = rows.collect();
    rows.sort_by_key(|&(star, ..)| observations.ids[star]);
    let stars: Vec<usize> = rows.iter().map(|row| row.0).collect();
    let ids: Vec<i64> = stars.iter().map(|&star| observations.ids[star]).collect();
    let is_validation = rows.iter().map(|row| row.1 == 1).collect();
    let id = ColumnSchema::new("source_id", "", "identifier of the star").with_ucd("meta.id;meta.main");
    let mut table = Table::new(vec![Column::scalar(id, Values::Int64(ids))])?;
    for (k, (name, unit)) in space.names.iter().zip(&space.units).enumerate() {
        let facts = Facts::of(&canonical_name(name));
        let values = stars.iter().map(|&star| label(observations, name, star).unwrap_or(f64::NAN)).collect();
        let schema = ColumnSchema::new(name, unit, &facts.description).with_ucd(&facts.ucd);
        table.push(Column::nullable(schema, values))?;
        if let Some(freed) = &trained.freed {
            let parts = [&freed.training, &freed.validation];
            let description = format!("{name} with which the model was taught: freed within its error");
            let schema = ColumnSchema::new(format!("{name}_freed"), unit, description).with_ucd(&facts.ucd);
            table.push(Column::nullable(schema, rows.iter().map(|&(_, part, i)| parts[part][[i, k]]).collect()))?;
        }
    }
    let schema =
        ColumnSchema::new("chi2_per_pixel", "", "chi-square a pixel under the model, at the labels with which it was taught")
            .with_ucd("stat.fit.chi2");
    table.push(Column::nullable(schema, rows.iter().map(|&(_, part, i)| chi_square[part][i]).collect()))?;
    let schema =
        ColumnSchema::new("in_validation", "", "whether the star decided when to stop, and did not train").with_ucd("meta.code");
    table.push(Column::scalar(schema, Values::Bool(is_validation)))?;
    Ok(table)
}

/// `is_trained [W]`: the other pixels have no figures.
fn table_of_pixels<M>(wavelength: &[f64], trained: &Training<M>, of_validation: bool, is_trained: &[bool]) -> Result<Table> {
    let schema = ColumnSchema::new("wavelength", "Angstrom", "wavelength of the pixel, in the medium of the observations")
        .with_ucd("em.wl");
    let mut table = Table::new(vec![Column::scalar(schema, Values::Float64(wavelength.to_vec()))])?;
    let of = |value: &dyn Fn(Iteration) -> f64| -> Vec<f64> {
        let pixels = trained.pixels.iter().zip(is_trained);
        pixels.map(|(pixel, is_trained)| if *is_trained { value(pixel.kept) } else { f64::NAN }).collect()
    };
    let validation = |kept: Iteration| if of_validation { kept.validation } else { f64::NAN };
    let columns: [(&str, &str, Vec<f64>); 3] = [
        ("chi2_training", "chi-square per training spectrum; null of pixels that were not trained", of(&|kept| kept.flux)),
        ("chi2_validation", "chi-square per validation spectrum; null of pixels that were not trained", of(&validation)),
        (
            "gradient_term",
            "gradient term of the loss, without smoothing; null of pixels that were not trained",
            of(&|kept| kept.gradient),
        ),
    ];
    for (name, description, values) in columns {
        table.push(Column::nullable(ColumnSchema::new(name, "", description).with_ucd("stat.fit.chi2"), values))?;
    }
    let iterations = trained.pixels.iter().map(|pixel| pixel.n_iterations as i32).collect();
    let schema = ColumnSchema::new("n_iterations", "", "iterations of the optimiser").with_ucd("meta.number");
    table.push(Column::scalar(schema, Values::Int32(iterations)))?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainings_that_failed_or_follow_the_noise_are_doubtful() {
        for (training, validation) in [(0.95, 1.05), (0.5, 1.2), (1.4, 1.9), (0.01, 0.2)] {
            assert_eq!(doubt_of(training, validation), None, "{training} {validation}");
        }
        for (training, validation) in [(0.0, 1569.9), (0.6, 1.31)] {
            assert!(doubt_of(training, validation).unwrap().contains("follows the noise"));
        }
        for (training, validation) in [(70.0, 74.0), (2.8e23, 2.8e23), (1.0, f64::NAN), (f64::NAN, f64::NAN)] {
            assert!(doubt_of(training, validation).unwrap().contains("has failed, or errors"));
        }
    }
}
