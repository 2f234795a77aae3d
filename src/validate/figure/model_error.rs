//! The model's own error per wavelength, beside the errors of the flux.

use super::axis::Axis;
use super::canvas::Stroke;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, VERMILLION, faded};
use super::{Figure, has_finite};

/// Fractional errors per wavelength.
#[derive(Debug, Clone, Copy)]
pub struct ModelErrorCurve<'a> {
    /// Wavelength in nm, ascending.
    pub wavelength: &'a [f64],
    /// Fractional error of the model.
    pub model_error: &'a [f64],
    /// Typical fractional error of the flux; NaN where there is none.
    pub flux_error: &'a [f64],
}

impl ModelErrorCurve<'_> {
    /// Both in percent against the wavelength on a logarithmic axis.
    pub fn figure(&self) -> Figure {
        let percent = |fractions: &[f64]| fractions.iter().map(|fraction| 100.0 * fraction).collect::<Vec<f64>>();
        let (model, flux) = (percent(self.model_error), percent(self.flux_error));
        let x = Axis::covering_logarithmic("wavelength (nm)", self.wavelength.iter().copied());
        let y = Axis::covering("fractional error (%)", model.iter().chain(&flux).copied().chain([0.0]));
        let legend = vec![Key::new("model", BLUE, Mark::Point), Key::new("flux of a typical star", VERMILLION, Mark::Line)];
        Figure::draw("model-error", 820, 380, |canvas| {
            let bounds = canvas.bounds;
            let mut panel = Panel::new(canvas, bounds, &Heading::legend(legend), x, y);
            panel.line(self.wavelength, &flux, Stroke::solid(VERMILLION, 1.75));
            panel.line(self.wavelength, &model, Stroke::solid(faded(BLUE, 0.5), 1.0));
            panel.points(self.wavelength, &model, 3.0, BLUE);
            if !has_finite(&model) && !has_finite(&flux) {
                panel.note("no finite error");
            }
        })
    }
}
