//! The learned extinction curve R(λ) against a reference, with their ratio.

use super::axis::Axis;
use super::canvas::{Align, Stroke};
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, MUTED, VERMILLION, faded};
use super::{Figure, values};
use crate::statistics::median;
use crate::validate::number::significant;

/// A learned and a reference extinction curve at the same wavelengths.
#[derive(Debug, Clone, Copy)]
pub struct ExtinctionCurves<'a> {
    /// Wavelength in nm, ascending.
    pub wavelength: &'a [f64],
    /// Learned R(λ), optical depth per unit of extinction.
    pub learned: &'a [f64],
    /// Reference curve, in any unit.
    pub reference: &'a [f64],
    /// Name of the reference, such as "CCM89, R_V = 3.1".
    pub reference_name: &'a str,
}

impl ExtinctionCurves<'_> {
    /// The factor that brings the reference to the learned curve's scale: the median ratio. (The scale of R
    /// is degenerate with that of E, so only shapes can be compared.)
    pub fn scale(&self) -> f64 {
        median(&self.learned.iter().zip(self.reference).map(|(learned, reference)| learned / reference).collect::<Vec<f64>>())
    }

    /// Curves above, ratio below; wavelength logarithmic.
    pub fn figure(&self) -> Figure {
        let scale = self.scale();
        let scaled: Vec<f64> = self.reference.iter().map(|reference| scale * reference).collect();
        let ratio: Vec<f64> = self.learned.iter().zip(&scaled).map(|(learned, scaled)| learned / scaled).collect();
        let x = Axis::covering_logarithmic("wavelength (nm)", values(self.wavelength));
        let y = Axis::covering("R(λ)", values(self.learned).chain(values(&scaled)).chain([0.0]));
        let y_ratio = Axis::covering("learned / reference", values(&ratio).chain([0.97, 1.03]));
        let reference = format!("{} × {}", significant(scale, 3), self.reference_name);
        let legend = vec![Key::new("learned", BLUE, Mark::Point), Key::new(reference, VERMILLION, Mark::Line)];
        Figure::draw("extinction-curve", 820, 560, |canvas| {
            let (upper, lower) = canvas.bounds.split_rows(0.6);
            let mut panel = Panel::new(canvas, upper, &Heading::legend(legend), x.clone().without_numbers(), y);
            panel.line(self.wavelength, &scaled, Stroke::solid(VERMILLION, 1.75));
            panel.points(self.wavelength, self.learned, 2.5, BLUE);
            if !scale.is_finite() {
                panel.note("no wavelength with both curves");
            }
            let (shortest, longest) = x.range();
            let mut panel = Panel::new(canvas, lower, &Heading::default(), x, y_ratio);
            panel.band(&[shortest, longest], &[0.98; 2], &[1.02; 2], faded(MUTED, 0.15));
            panel.horizontal(1.0, Stroke::solid(MUTED, 1.0));
            panel.line(self.wavelength, &ratio, Stroke::solid(BLUE, 1.75));
            panel.points(self.wavelength, &ratio, 2.5, BLUE);
            panel.corner_text(["grey: ±2 %"], Align::Right);
        })
    }
}
