//! The cheat test on spectra without noise whose abundances cannot be inferred from each other.

use super::gradients::MARGIN_OF_RATIOS;
use crate::error::{Error, Result};
use crate::per_pixel::{Response, SpectrumFitOptions, SpectrumFitter, responses};
use crate::pixel_networks::SpectralCore;
use crate::quantity::plain_symbol;
use crate::validate::figure::ResponseFigure;
use crate::validate::number::decimals;
use crate::validate::report::Report;
use ndarray::{Array2, ArrayView2, Axis};

/// Spectra without noise.
#[derive(Debug, Clone, Copy)]
pub struct CheatInput<'a> {
    /// What they are, for people.
    pub name: &'a str,
    /// True labels of the model `[N, L]`.
    pub truth: ArrayView2<'a, f64>,
    /// `[N, W]`; not finite where missing.
    pub flux: ArrayView2<'a, f32>,
    /// Labels of stars as they occur `[M, L]`: the training's.
    pub natural: ArrayView2<'a, f64>,
    /// Signal-to-noise ratio whose bounds say which stars tell a label.
    pub ratio: f64,
    /// What lets the test say little.
    pub remarks: &'a [String],
}

/// What was found.
#[derive(Debug, Clone)]
pub struct CheatTest {
    pub responses: Vec<Response>,
    /// Spectra that were fitted, and those left out: fits that did not end within their bounds.
    pub n_fitted: usize,
    pub n_left_out: usize,
}

impl CheatTest {
    /// Fits the spectra.
    ///
    /// # Errors
    /// When arrays do not belong to the model, or nothing can be fitted.
    pub fn of(core: &SpectralCore, input: &CheatInput<'_>) -> Result<Self> {
        let options = SpectrumFitOptions { margin: MARGIN_OF_RATIOS, ..SpectrumFitOptions::default() };
        let fitter = SpectrumFitter::new(core.engine.clone(), core.templates.view(), options)?;
        let inverse_variance = (input.ratio * input.ratio) as f32;
        let mut weight = input.flux.mapv(|flux| if flux.is_finite() { inverse_variance } else { 0.0 });
        core.card.untrained.iter().for_each(|&pixel| weight.column_mut(pixel).fill(0.0));
        let fits = fitter.fit(input.flux, weight.view())?;
        let (labels, errors) = (&fits.labels, fits.errors());
        let is_good = |star: &usize| {
            let is_known = |row: ndarray::ArrayView1<'_, f64>| row.iter().all(|value| value.is_finite());
            !fits.at_bound[*star] && is_known(labels.row(*star)) && is_known(input.truth.row(*star))
        };
        let good: Vec<usize> = (0..labels.nrows()).filter(is_good).collect();
        if good.is_empty() {
            return Err(Error::data(input.name)
                .found(format!("{} spectra, none fitted within the bounds of the labels", labels.nrows()))
                .expected("spectra of stars within the range of the training, normalised as its spectra")
                .remedy("Compare one with `photosphere inspect MODEL --star ID --data FILE -o star.png`."));
        }
        let pick = |of: ArrayView2<'_, f64>| -> Array2<f64> { of.select(Axis(0), &good) };
        let (labels, errors, truth) = (pick(labels.view()), pick(errors.view()), pick(input.truth));
        let responses = responses(core.space(), labels.view(), errors.view(), truth.view(), input.natural);
        Ok(Self { responses, n_fitted: good.len(), n_left_out: fits.labels.nrows() - good.len() })
    }
}

/// The section of the test.
pub fn section_of_cheat_test(report: &mut Report, test: &CheatTest, input: &CheatInput<'_>) {
    let left_out = match test.n_left_out {
        0 => String::new(),
        n => format!(" Left out: {n} that ended at a bound, or lack a label."),
    };
    let remarks: String = input.remarks.iter().map(|remark| format!(" Note: {remark}.")).collect();
    report.section(
        "Cheat test",
        format!(
            "Spectra without noise: {}, {} fitted.{left_out} estimate = a + b · truth + c · (what the other labels predict over the training \
             stars). An honest model has b = 1 and c = 0; one that reads an element off the lines of others has a small b and a large c. It \
             can only be told where abundances of these spectra do not follow each other as those of the training do: permuted ones, or \
             references that are scattered independently. A label is judged at the stars whose bound at S/N {:.0} is below 100 K, 0.1 dex or \
             0.1 km/s (of other units a tenth of the range), where at least twice as many as there are labels; where the spread of the \
             prediction is small, c says nothing.{remarks}",
            input.name, test.n_fitted, input.ratio
        ),
    );
    let row = |response: &Response| {
        let Response { label, n_stars, own, predicted, spread } = response;
        vec![plain_symbol(label), n_stars.to_string(), decimals(*own, 3), decimals(*predicted, 3), decimals(*spread, 3)]
    };
    report.table("Responses", ["label", "stars", "b", "c", "spread of the prediction"], test.responses.iter().map(row).collect());
    report.figure(
        "Response to the truth (b, points) and to what the other labels predict (c, bars from zero)",
        ResponseFigure { models: &[("model", &test.responses)] }.figure(),
    );
}
