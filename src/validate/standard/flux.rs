//! The model against the flux: extinction curve, residuals and model error per wavelength.

use super::context::{Context, booleans, coordinates, numbers, pick};
use super::training::rows_of;
use crate::error::Result;
use crate::model::LN_CURVE;
use crate::observations::Observations;
use crate::simulate::truth::MEAN_R_V;
use crate::spectrum::extinction_law::{CCM89_WAVELENGTHS, ccm89_optical_depth};
use crate::statistics::{largest, median};
use crate::validate::figure::{ExtinctionCurves, ModelErrorCurve, WavelengthResiduals};
use crate::validate::number::{percent, significant};
use crate::validate::report::Report;
use ndarray::{Array2, Axis};
use std::fmt;

pub(super) fn sections(context: &Context<'_>, report: &mut Report) -> Result<()> {
    extinction_curve(context, report)?;
    residuals(context, report)?;
    model_error(context, report);
    Ok(())
}

/// Learned R(λ) of the model, if it has an extinction curve.
fn learned_curve(context: &Context<'_>) -> Result<Option<Vec<f64>>> {
    let weights = &context.input.trained.model.weights;
    if !weights.names().iter().any(|name| *name == LN_CURVE) {
        return Ok(None);
    }
    Ok(Some(weights.values(LN_CURVE)?.iter().map(|ln| ln.exp()).collect()))
}

/// Longest wavelength (nm) at which dust is strong enough that parallaxes and labels alone say what R is.
const OPTICAL: f64 = 900.0;

/// A part of the wavelengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Up to [`OPTICAL`].
    Optical,
    Infrared,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if *self == Self::Optical { "up to" } else { "beyond" };
        write!(formatter, "{side} {OPTICAL} nm")
    }
}

/// A learned curve against a reference.
pub(super) struct CurveDeviation {
    /// The learned curve over the reference, in the median.
    pub scale: f64,
    /// Largest relative deviation from the scaled reference, in each part that the model has.
    pub largest: Vec<(Part, f64)>,
}

/// The learned curve, if the model has one, against `reference`.
pub(super) fn curve_deviation(context: &Context<'_>, reference: &[f64]) -> Result<Option<CurveDeviation>> {
    let Some(learned) = learned_curve(context)? else { return Ok(None) };
    let ratios: Vec<f64> = learned.iter().zip(reference).map(|(learned, reference)| learned / reference).collect();
    let scale = median(&ratios);
    let wavelength = &context.input.trained.model.grid.wavelength;
    let parts = [Part::Optical, Part::Infrared].into_iter().filter_map(|part| {
        let inside = |i: &usize| (wavelength[*i] <= OPTICAL) == (part == Part::Optical);
        let deviations: Vec<f64> = (0..ratios.len()).filter(inside).map(|i| (ratios[i] / scale - 1.0).abs()).collect();
        (!deviations.is_empty()).then(|| (part, largest(deviations.into_iter())))
    });
    Ok(Some(CurveDeviation { scale, largest: parts.collect() }))
}

fn extinction_curve(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let Some(learned) = learned_curve(context)? else { return Ok(()) };
    report.section(
        "Extinction curve",
        "The model learns how strongly dust dims each wavelength, R(λ), from the stars alone. The scale of R is tied to that \
         of the reddenings it was trained with; its shape is a measurement, compared here up to one factor.",
    );
    let order = context.ascending();
    let wavelength = pick(&context.input.trained.model.grid.wavelength, &order);
    let model_wavelength = &context.input.trained.model.grid.wavelength;
    let in_range = model_wavelength.iter().all(|nm| CCM89_WAVELENGTHS.contains(nm));
    let law = if in_range { Some(ccm89_optical_depth(model_wavelength, MEAN_R_V)?) } else { None };
    let same = |truth: &[f64], law: &[f64]| truth.iter().zip(law).all(|(truth, law)| (truth / law - 1.0).abs() < 1e-6);
    let law_name = format!("CCM89, R_{{V}} = {MEAN_R_V}");
    let mut references = Vec::new();
    match (context.input.truth_curve, law) {
        (Some(truth), Some(law)) if same(truth, &law) => references.push((law, format!("truth, which is {law_name}"))),
        (truth, law) => {
            references.extend(truth.map(|truth| (truth.to_vec(), "truth of the simulation".to_owned())));
            references.extend(law.map(|law| (law, law_name)));
        }
    }
    for (reference, name) in references {
        let Some(deviation) = curve_deviation(context, &reference)? else { continue };
        let (learned, reference) = (pick(&learned, &order), pick(&reference, &order));
        let curves =
            ExtinctionCurves { wavelength: &wavelength, learned: &learned, reference: &reference, reference_name: &name };
        let caption = format!(
            "Learned R(λ) against {} times {}; the largest deviation is {}.",
            significant(deviation.scale, 4),
            name.replace("R_{V}", "R_V"),
            deviation.largest.iter().map(|(part, most)| format!("{} {part}", percent(*most))).collect::<Vec<_>>().join(" and ")
        );
        report.figure(caption, curves.figure());
    }
    Ok(())
}

fn residuals(context: &Context<'_>, report: &mut Report) -> Result<()> {
    report.section(
        "Residuals per wavelength",
        "Observed minus predicted flux, in units of the flux error (above) and in percent of the prediction (below). The \
         median shows what the model gets wrong for all stars alike; the band is ±1σ where errors are right.",
    );
    let space = &context.input.trained.model.space;
    if let (Some(training), Some((rows, values))) = (context.input.training, validation_stars(context)) {
        let caption = format!(
            "{} validation stars, at their parameters as fitted in training with all their constraints; flux errors without \
             the model's own error.",
            rows.len()
        );
        flux_residuals(context, training, &rows, coordinates(space, &values), caption, report)?;
    }
    let map = context.input.map;
    let stars = context.reliable();
    let values: Vec<Vec<f64>> = (0..space.len()).map(|position| pick(&map.values.column(position).to_vec(), &stars)).collect();
    let caption = format!(
        "{} new stars with reliable fits (flags 3 to 6 and 11 unset), at their fitted parameters; flux errors with the model's \
         own error.",
        stars.len()
    );
    flux_residuals(context, context.input.new_stars, &stars, coordinates(space, &values), caption, report)
}

/// Rows in the training observations and fitted values (file units, one vector a parameter) of the kept
/// validation stars.
fn validation_stars(context: &Context<'_>) -> Option<(Vec<usize>, Vec<Vec<f64>>)> {
    let stars = context.input.training_stars;
    let (rows, validation, kept) = (rows_of(context)?, booleans(stars, "is_validation")?, booleans(stars, "is_kept")?);
    let chosen: Vec<usize> = (0..stars.n_rows()).filter(|&star| validation[star] && kept[star] && rows[star].is_some()).collect();
    let fitted = context.input.trained.model.space.parameters.iter();
    let fitted: Option<Vec<Vec<f64>>> =
        fitted.map(|parameter| Some(pick(&numbers(stars, &format!("fitted_{}", parameter.name))?, &chosen))).collect();
    Some((chosen.iter().filter_map(|&star| rows[star]).collect(), fitted?))
}

fn flux_residuals(
    context: &Context<'_>,
    observations: &Observations,
    stars: &[usize],
    coordinates: Array2<f64>,
    caption: String,
    report: &mut Report,
) -> Result<()> {
    let predicted = context.input.trained.model.predict(coordinates.view())?;
    let order = context.ascending();
    let residual = |i: usize, w: usize| -> Option<(f64, f64, f64)> {
        let error = observations.flux_error[[stars[i], w]];
        error
            .is_finite()
            .then(|| (f64::from(observations.flux[[stars[i], w]]) - predicted[[i, w]], f64::from(error), predicted[[i, w]]))
    };
    let shape = (stars.len(), order.len());
    let normalised = Array2::from_shape_fn(shape, |(i, w)| residual(i, order[w]).map_or(f64::NAN, |(r, error, _)| r / error));
    let relative = Array2::from_shape_fn(shape, |(i, w)| residual(i, order[w]).map_or(f64::NAN, |(r, _, flux)| r / flux));
    let wavelength = pick(&context.input.trained.model.grid.wavelength, &order);
    let figure = WavelengthResiduals { wavelength: &wavelength, normalised: normalised.view(), relative: relative.view() };
    report.figure(caption, figure.figure());
    Ok(())
}

fn model_error(context: &Context<'_>, report: &mut Report) {
    report.section(
        "Model error",
        "No emulator is exact. Its own fractional error at each wavelength is what has to be added to the flux errors of the \
         validation stars to explain their residuals; it is stored with the model and widens the errors of every fit.",
    );
    let order = context.ascending();
    let (model, new_stars) = (&context.input.trained.model, context.input.new_stars);
    let typical = |w: usize| {
        let relative = new_stars
            .flux
            .index_axis(Axis(1), w)
            .iter()
            .zip(new_stars.flux_error.index_axis(Axis(1), w))
            .filter(|(_, error)| error.is_finite())
            .map(|(flux, error)| f64::from(error / flux))
            .collect::<Vec<f64>>();
        median(&relative)
    };
    let figure = ModelErrorCurve {
        wavelength: &pick(&model.grid.wavelength, &order),
        model_error: &pick(&model.model_error, &order),
        flux_error: &order.iter().map(|&w| typical(w)).collect::<Vec<f64>>(),
    };
    let caption = format!(
        "Fractional model error, beside the median flux error of the new stars (which contains it). The median over \
         wavelengths is {}.",
        percent(median(&model.model_error))
    );
    report.figure(caption, figure.figure());
}
