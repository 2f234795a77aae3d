//! Residuals of the flux at each wavelength: median and 16th–84th percentiles over stars.

use super::Figure;
use super::axis::Axis;
use super::canvas::{Canvas, Rect, Stroke};
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, MUTED, faded};
use crate::statistics::percentiles;
use ndarray::ArrayView2;

/// Residuals of the flux over stars, wavelength by wavelength.
#[derive(Debug, Clone, Copy)]
pub struct WavelengthResiduals<'a> {
    /// Wavelength in nm, ascending, `[W]`.
    pub wavelength: &'a [f64],
    /// (observed − predicted)/σ, `[N, W]`; NaN where not observed.
    pub normalised: ArrayView2<'a, f64>,
    /// (observed − predicted)/predicted, `[N, W]`; NaN where not observed.
    pub relative: ArrayView2<'a, f64>,
}

/// Label, factor from the given residuals to the label's unit, and dashed guide lines of one panel.
struct Kind {
    label: &'static str,
    scale: f64,
    guides: &'static [f64],
}

/// Neighbours closer than this factor in wavelength are joined by a line; others are bands of their own.
const JOINED: f64 = 1.08;

impl WavelengthResiduals<'_> {
    /// Normalised residuals above (dashed at ±1σ), relative ones in percent below.
    pub fn figure(&self) -> Figure {
        let legend = vec![Key::new("median", BLUE, Mark::Point), Key::new("16th–84th percentile", faded(BLUE, 0.3), Mark::Band)];
        Figure::draw("wavelength-residuals", 900, 600, |canvas| {
            let (upper, lower) = canvas.bounds.split_rows(0.5);
            let x = Axis::covering_logarithmic("wavelength (nm)", self.wavelength.iter().copied());
            let normalised = Kind { label: "(observed − predicted) / σ", scale: 1.0, guides: &[-1.0, 1.0] };
            let relative = Kind { label: "observed − predicted (%)", scale: 100.0, guides: &[] };
            let heading = Heading::legend(legend);
            self.panel(canvas, upper, &heading, x.clone().without_numbers(), normalised, self.normalised);
            self.panel(canvas, lower, &Heading::default(), x, relative, self.relative);
        })
    }

    fn panel(&self, canvas: &mut Canvas, cell: Rect, heading: &Heading, x: Axis, kind: Kind, residuals: ArrayView2<f64>) {
        let Kind { label, scale, guides } = kind;
        let n = self.wavelength.len().min(residuals.ncols());
        let mut curves = [Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n)];
        for column in residuals.columns().into_iter().take(n) {
            let scaled: Vec<f64> = column.iter().map(|residual| scale * residual).collect();
            for (curve, value) in curves.iter_mut().zip(percentiles(&scaled, [16.0, 50.0, 84.0])) {
                curve.push(value);
            }
        }
        let [low, middle, high] = &curves;
        let shown = curves.iter().flatten().chain(guides).copied().map(|value| 1.1 * value);
        let mut panel = Panel::new(canvas, cell, heading, x, Axis::covering(label, shown.chain([0.0])));
        panel.horizontal(0.0, Stroke::solid(MUTED, 1.0));
        for &guide in guides {
            panel.horizontal(guide, Stroke::dashed(MUTED, 1.0));
        }
        let mut start = 0;
        for end in 1..=n {
            if end < n && self.wavelength[end] / self.wavelength[end - 1] < JOINED {
                continue;
            }
            let wavelength = &self.wavelength[start..end];
            if end - start > 2 {
                panel.band(wavelength, &low[start..end], &high[start..end], faded(BLUE, 0.25));
                panel.line(wavelength, &middle[start..end], Stroke::solid(BLUE, 1.5));
            } else {
                panel.error_bars(wavelength, &low[start..end], &high[start..end], Stroke::solid(faded(BLUE, 0.4), 5.0));
            }
            panel.points(wavelength, &middle[start..end], 2.5, BLUE);
            start = end;
        }
        if !super::has_finite(middle) {
            panel.note("no finite residual");
        }
    }
}
