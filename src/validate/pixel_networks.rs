//! The report of pixel networks: do labels come from their own lines, and are their errors right?

use super::diagnosis::{self, AbundanceStars, Precision};
use super::figure::{Figure, GradientComparison, LabelGradient, ResponseFigure};
use super::number::{aligned, significant};
use super::report::Report;
use crate::catalogue::flags::BASIC_CUT;
use crate::error::{Error, Result};
use crate::per_pixel::train::HistoryRow;
use crate::per_pixel::{Fidelity, Response, SpectrumFitOptions, SpectrumFitter, evaluate_all, gradient_fidelity, responses};
use crate::pixel_networks::SpectralCore;
use crate::quantity::symbol;
use crate::statistics::{median, robust_scatter};
use crate::table::Table;
use ndarray::{Array2, ArrayView2, ArrayView3};
use std::sync::Arc;

/// What a report is made of: models of the same labels, and stars whose truth is known and whose abundance
/// ratios are permuted.
pub struct PixelReportInput<'a> {
    /// Names and models: the first, and its controls.
    pub models: &'a [(&'a str, Arc<SpectralCore>)],
    /// Catalogues of the noisy spectra by them.
    pub catalogues: &'a [Table],
    /// True labels `[N, L]` of the stars.
    pub truth: ArrayView2<'a, f64>,
    /// Their spectra without noise `[N, W]`.
    pub clean: ArrayView2<'a, f32>,
    /// Labels of stars as they occur.
    pub natural: ArrayView2<'a, f64>,
    /// Labels at which gradients are compared, and the true gradients `[F, L, W]` per unit of the label.
    pub fresh: ArrayView2<'a, f64>,
    pub gradient: ArrayView3<'a, f64>,
    /// The label whose gradients are drawn.
    pub marked: &'a str,
    /// How the first model was trained.
    pub history: &'a [HistoryRow],
}

/// What was found of a model.
struct Found {
    fidelity: Vec<Fidelity>,
    responses: Vec<Response>,
    /// Robust scatter of (estimate − truth)/error, and the median error.
    pulls: Vec<f64>,
    errors: Vec<f64>,
}

/// The report, and its main table for a terminal.
///
/// # Errors
/// When a catalogue lacks a label.
pub fn pixel_report(input: &PixelReportInput) -> Result<(Report, String)> {
    let found = input.models.iter().zip(input.catalogues).map(|((_, package), catalogue)| judge(input, package, catalogue));
    let found = found.collect::<Result<Vec<Found>>>()?;
    let names = &input.models[0].1.space().names;
    let header: Vec<String> = ["label".to_owned()]
        .into_iter()
        .chain(input.models.iter().flat_map(|(name, _)| {
            ["b", "c", "gradients", "amplitude", "scatter/bound"].map(|what| match input.models.len() {
                1 => what.to_owned(),
                _ => format!("{what} {name}"),
            })
        }))
        .collect();
    let row = |k: usize| -> Vec<String> {
        let of = |found: &Found| {
            let (response, fidelity) = (&found.responses[k], &found.fidelity[k]);
            [response.own, response.predicted, fidelity.correlation, fidelity.amplitude, found.pulls[k]]
                .map(|value| if value.is_nan() { "–".to_owned() } else { format!("{value:.3}") })
        };
        [names[k].clone()].into_iter().chain(found.iter().flat_map(of)).collect()
    };
    let rows: Vec<Vec<String>> = (0..names.len()).map(row).collect();
    let first = &input.models[0].1;
    let mut report = Report::new("A model per pixel, held to physics");
    report.section(
        "What was done",
        format!(
            "{} pixels ({}: {}) were trained on {} blended spectra whose abundances all follow one [α/Fe], and held to the label gradients of a \
             synthesis at references with independently scattered abundances. The new stars' abundance ratios are permuted: no element can be \
             inferred from another. A model that reads an element off the lines of others gives itself away.",
            first.card.grid.len(),
            first.shape.0,
            first.shape.1,
            first.card.n_training
        ),
    );
    report.section(
        "Cheat test",
        "Spectra without noise; estimate = a + b · truth + c · (what the other labels predict). An honest model has b = 1 and c = 0. \
         Stars take part whose bound at S/N 100 is below 100 K, 0.1 dex or 0.1 km/s. Gradients are compared at stars with permuted \
         abundances: correlation and amplitude against the truth. Scatter is that of the noisy spectra, over the Cramér–Rao bound of the model's own gradients.",
    );
    report.table("The labels", header.clone(), rows.clone());
    report.figure("Response to the truth (b, filled) and to what the other labels predict (c, bars at zero).", {
        let models: Vec<(&str, &[Response])> =
            input.models.iter().zip(&found).map(|((name, _), found)| (*name, found.responses.as_slice())).collect();
        ResponseFigure { models: &models }.figure()
    });
    report.figure(
        format!("Gradient by {} of the first of the new stars, times the width of the label's range.", symbol(input.marked)),
        figure_of_gradients(input)?,
    );
    report.section("Errors", "Median Cramér–Rao bound of the new stars, and the scatter of pulls.");
    let errors =
        (0..names.len()).map(|k| vec![names[k].clone(), significant(found[0].errors[k], 3), format!("{:.3}", found[0].pulls[k])]);
    report.table("The first model", ["label", "median error", "pulls"], errors.collect());
    diagnosis::section_of_losses(&mut report, input.history);
    let stars = AbundanceStars::of(first, &input.catalogues[0], i64::from(BASIC_CUT))?;
    let precision = Precision::against_truth(&stars, input.truth)?;
    diagnosis::section_of_precision(&mut report, &precision, "the truth");
    diagnosis::sections_of_abundances(&mut report, &stars, diagnosis::LARGEST_ERROR);
    let text = aligned(&[header].into_iter().chain(rows).collect::<Vec<_>>());
    Ok((report, text))
}

fn judge(input: &PixelReportInput, package: &SpectralCore, catalogue: &Table) -> Result<Found> {
    let engine = &package.engine;
    let space = package.space();
    let options = SpectrumFitOptions { margin: 0.5, ..SpectrumFitOptions::default() };
    let fitter = SpectrumFitter::new(engine.clone(), package.templates.view(), options)?;
    let weight = Array2::from_elem(input.clean.dim(), 1e4);
    let fits = fitter.fit(input.clean, weight.view())?;
    let (mut pulls, mut errors) = (Vec::new(), Vec::new());
    for (k, name) in space.names.iter().enumerate() {
        let column = |name: &str| catalogue.column(name)?.to_f64();
        let (value, error) = (column(name)?, column(&format!("{name}_error"))?);
        let pull: Vec<f64> = (0..value.len()).map(|i| (value[i] - input.truth[[i, k]]) / error[i]).collect();
        pulls.push(robust_scatter(&pull));
        errors.push(median(&error));
    }
    Ok(Found {
        fidelity: gradient_fidelity(engine.as_ref(), input.fresh, input.gradient),
        responses: responses(space, fits.labels.view(), fits.errors().view(), input.truth, input.natural),
        pulls,
        errors,
    })
}

/// Of the first of the fresh stars.
fn figure_of_gradients(input: &PixelReportInput) -> Result<Figure> {
    let space = input.models[0].1.space();
    let Some(k) = space.names.iter().position(|name| name == input.marked) else {
        return Err(Error::usage("label to be marked")
            .found(format!("'{}'", input.marked))
            .expected(format!("one of {}", space.names.join(", "))));
    };
    let star = input.fresh.slice(ndarray::s![..1, ..]);
    let own = |package: &SpectralCore| -> Vec<f64> {
        let all = evaluate_all(package.engine.as_ref(), star);
        all.slice(ndarray::s![0, 1 + k, ..]).iter().map(|value| f64::from(*value)).collect()
    };
    let label = LabelGradient {
        title: symbol(input.marked).into_owned(),
        truth: input.gradient.slice(ndarray::s![0, k, ..]).iter().map(|value| value * space.width(k)).collect(),
        models: input.models.iter().map(|(name, package)| (*name, own(package))).collect(),
    };
    Ok(GradientComparison { wavelength: &input.models[0].1.card.grid.wavelength, labels: &[label] }.figure())
}
