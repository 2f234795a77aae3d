//! Training: its history, its sample, and what self-cleaning took out.

use super::context::{Context, booleans, coordinates, magnitude_offset, numbers, pick};
use crate::error::Result;
use crate::statistics::median;
use crate::validate::figure::{CleaningBump, SampleDiagram, TrainingCurves};
use crate::validate::number::{percent, significant};
use crate::validate::report::Report;
use ndarray::Axis;
use std::collections::HashMap;

/// Least ϖ/σ of the stars in the figure of self-cleaning: their parallax is good to 0.1 mag.
const LEAST_PARALLAX_SIGNAL: f64 = 20.0;

pub(super) fn sections(context: &Context<'_>, report: &mut Report) -> Result<()> {
    history(context, report);
    sample(context, report);
    cleaning(context, report)
}

fn history(context: &Context<'_>, report: &mut Report) {
    let history = &context.input.trained.log.history;
    report.section(
        "Training",
        "The global weights (emulator and extinction curve) and the stars' own parameters are optimised in turn. Validation \
         stars never move the weights; where their loss stays at that of the training stars, the network does not learn the \
         noise.",
    );
    let of = |pick: fn(&crate::train::EpochRecord) -> f64| history.iter().map(pick).collect::<Vec<f64>>();
    let mut stages: Vec<(f64, String)> = Vec::new();
    for record in history {
        if stages.last().is_none_or(|(_, name)| *name != record.stage) {
            stages.push((f64::from(record.epoch), record.stage.clone()));
        }
    }
    let figure = TrainingCurves {
        epochs: &of(|record| f64::from(record.epoch)),
        training: &of(|record| record.training_loss),
        validation: &of(|record| record.validation_loss),
        stages: &stages,
        loss_label: "loss per finite flux",
    };
    report.figure(
        "Flux loss per finite flux of training and validation stars; dashed lines are the starts of stages.",
        figure.figure(),
    );
}

fn sample(context: &Context<'_>, report: &mut Report) {
    let stars = context.input.training_stars;
    report.section(
        "Training sample",
        "Where in the Kiel diagram the model has seen stars. Outside, it extrapolates: fits there carry a flag and should not \
         be used.",
    );
    let column = |name: &str| numbers(stars, name);
    if let (Some(teff), Some(logg), Some(feh)) = (column("teff"), column("logg"), column("feh")) {
        let figure = SampleDiagram { teff: &teff, logg: &logg, feh: &feh }.figure();
        report.figure(
            "Measured labels of the training sample (training and validation stars), coloured by metallicity, and their number.",
            figure,
        );
    }
}

fn cleaning(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let cleanings = &context.input.trained.log.cleanings;
    if cleanings.is_empty() {
        return Ok(());
    }
    report.section(
        "Self-cleaning",
        "Stars that disagree with their own labels, parallax or flux by more than the recipe's limit are removed before the \
         last stages of training. Unresolved binaries of two equal stars have the labels of one star and the light of two: \
         they are 0.753 mag too bright, and the removed stars must pile up there.",
    );
    let rows: Vec<Vec<String>> = (cleanings.iter())
        .map(|cleaning| {
            let fraction = percent(cleaning.n_removed as f64 / cleaning.n_before as f64);
            let counts = [cleaning.n_before, cleaning.n_parameters, cleaning.n_flux, cleaning.n_removed];
            std::iter::once(cleaning.stage.clone()).chain(counts.map(|count| count.to_string())).chain([fraction]).collect()
        })
        .collect();
    report.table("Cleanings.", ["stage", "stars before", "by labels or parallax", "by flux", "removed", "fraction"], rows);
    let Some(offsets) = magnitude_offsets(context)? else { return Ok(()) };
    let kept = booleans(context.input.training_stars, "is_kept").unwrap_or_default();
    let (mut all, mut removed) = (Vec::new(), Vec::new());
    for (offset, kept) in offsets.into_iter().zip(kept).filter(|(offset, _)| offset.is_finite()) {
        all.push(offset);
        if !kept {
            removed.push(offset);
        }
    }
    let binaries = removed.iter().filter(|offset| **offset < -0.4).count();
    let caption = format!(
        "Observed minus predicted magnitude (median over wavelengths; prediction at the measured labels, reddening and \
         parallax) of {} stars with ϖ/σ > {LEAST_PARALLAX_SIGNAL}; {binaries} of {} removed ones are brighter than predicted \
         by more than 0.4 mag, the median of all is {} mag.",
        all.len(),
        removed.len(),
        significant(median(&all), 2),
    );
    report.figure(caption, CleaningBump { all: &all, removed: &removed }.figure());
    Ok(())
}

/// Observed minus predicted magnitude of each row of the training stars at its measured parameters; NaN for
/// stars without good parallax or flux. `None` without the training observations or a measured parameter.
fn magnitude_offsets(context: &Context<'_>) -> Result<Option<Vec<f64>>> {
    let (Some(training), stars) = (context.input.training, context.input.training_stars) else { return Ok(None) };
    let model = &context.input.trained.model;
    let measured: Option<Vec<Vec<f64>>> =
        model.space.parameters.iter().map(|parameter| numbers(stars, &parameter.name)).collect();
    let (Some(measured), Some(parallax), Some(error), Some(rows)) =
        (measured, numbers(stars, "parallax"), numbers(stars, "parallax_error"), rows_of(context))
    else {
        return Ok(None);
    };
    let usable: Vec<usize> = (0..stars.n_rows())
        .filter(|&star| rows[star].is_some() && parallax[star] > LEAST_PARALLAX_SIGNAL * error[star])
        .filter(|&star| measured.iter().all(|values| values[star].is_finite()))
        .collect();
    let values: Vec<Vec<f64>> = measured.iter().map(|values| pick(values, &usable)).collect();
    let predicted = model.predict(coordinates(&model.space, &values).view())?;
    let mut offsets = vec![f64::NAN; stars.n_rows()];
    for (&star, predicted) in usable.iter().zip(predicted.axis_iter(Axis(0))) {
        let Some(row) = rows[star] else { continue };
        offsets[star] = magnitude_offset(training, row, predicted);
    }
    Ok(Some(offsets))
}

/// Row in the training observations of each row of the training stars.
pub(super) fn rows_of(context: &Context<'_>) -> Option<Vec<Option<usize>>> {
    let rows: HashMap<i64, usize> = context.input.training?.ids.iter().enumerate().map(|(row, &id)| (id, row)).collect();
    let ids = context.input.training_stars.get("source_id")?.to_i64().ok()?;
    Some(ids.iter().map(|id| rows.get(id).copied()).collect())
}
