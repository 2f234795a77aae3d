//! One spectrum of many pixels: data, fit, residuals, what was fitted, and the pixels that a label moves.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Rect, Stroke};
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, INK, LABEL_SIZE, TICK_SIZE, TITLE_SIZE, VERMILLION, faded};
use super::{Figure, has_finite, values};

/// Part of the width that the panels have beside the text.
const PANELS: f64 = 0.76;
/// Distance of lines of text at most.
const LINE: f64 = 22.0;

/// Observed fluxes of a star and a fit, with which its figures begin.
#[derive(Debug, Clone, Copy)]
pub struct FittedFlux<'a> {
    /// Wavelength in nm.
    pub wavelength: &'a [f64],
    /// Observed flux; NaN where missing.
    pub flux: &'a [f64],
    /// 1σ errors; not finite where missing.
    pub flux_error: &'a [f64],
    /// Predicted flux at the estimate; NaN where there is none.
    pub fit: &'a [f64],
    /// Label of the flux axis with its unit.
    pub flux_label: &'a str,
}

impl FittedFlux<'_> {
    /// (f − f̂)/σ; NaN where there is none.
    pub fn residuals(&self) -> Vec<f64> {
        self.flux.iter().zip(self.fit).zip(self.flux_error).map(|((f, fit), e)| (f - fit) / e).collect()
    }
}

/// Data and fit of one spectrum.
#[derive(Debug, Clone, Copy)]
pub struct SpectrumFigure<'a> {
    pub title: &'a str,
    pub fitted: FittedFlux<'a>,
    /// What stands beside the panels.
    pub text: &'a [String],
    /// Wavelengths of the lines of a label, and its name; `None` for no such marks.
    pub lines: Option<(&'a str, &'a [f64])>,
}

impl SpectrumFigure<'_> {
    /// Spectrum and residuals on the left, text on the right.
    pub fn figure(&self) -> Figure {
        Figure::draw("spectrum", 1240, 620, |canvas| {
            canvas.text((78.0, 18.0), self.title, TITLE_SIZE, INK, Align::Left);
            let (left, right) = canvas.bounds.split_columns(PANELS);
            self.panels(canvas, Rect { top: 22.0, ..left });
            let spacing = LINE.min((right.height() - 48.0) / self.text.len().max(1) as f64);
            let size = if spacing < LINE { TICK_SIZE.min(0.75 * spacing) } else { LABEL_SIZE };
            for (i, line) in self.text.iter().enumerate() {
                canvas.text((right.left + 8.0, 48.0 + spacing * i as f64), line, size, INK, Align::Left);
            }
        })
    }

    fn panels(&self, canvas: &mut Canvas, cell: Rect) {
        let fitted = &self.fitted;
        let (upper, lower) = cell.split_rows(0.66);
        let x = Axis::covering("wavelength (nm)", values(fitted.wavelength));
        let y = Axis::covering(fitted.flux_label, values(fitted.flux).chain(values(fitted.fit)));
        let mut legend = vec![Key::new("observed", INK, Mark::Line), Key::new("fit", VERMILLION, Mark::Line)];
        legend.extend(self.lines.map(|(label, _)| Key::new(format!("lines of {label}"), BLUE, Mark::Line)));
        let mut panel = Panel::new(canvas, upper, &Heading::legend(legend), x.clone().without_numbers(), y);
        if let Some((_, at)) = self.lines {
            let unnamed: Vec<(f64, &str)> = at.iter().map(|at| (*at, "")).collect();
            panel.verticals(&unnamed, Stroke::solid(faded(BLUE, 0.35), 1.0));
        }
        panel.line(fitted.wavelength, fitted.flux, Stroke::solid(INK, 1.0));
        panel.line(fitted.wavelength, fitted.fit, Stroke::solid(VERMILLION, 1.5));
        if !has_finite(fitted.flux) {
            panel.note("no observed flux");
        }

        let residuals = fitted.residuals();
        let y = Axis::covering("(observed − fit) / σ", values(&residuals).chain([-3.0, 3.0]));
        let mut panel = Panel::new(canvas, lower, &Heading::default(), x, y);
        panel.line(fitted.wavelength, &residuals, Stroke::solid(INK, 1.0));
        panel.horizontal(0.0, Stroke::solid(VERMILLION, 1.5));
    }
}
