//! Label gradients of models against those of a synthesis (Zhang et al. 2024, Fig. 4).

use super::axis::Axis;
use super::canvas::{Align, Stroke};
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{INK, LABEL_SIZE, MUTED, SERIES};
use super::{Figure, values};

/// Pixels on either side of the strongest line that are shown larger.
const CLOSE: usize = 30;
/// More pixels than three times as many make room for it.
const WORTH_A_CLOSER_LOOK: usize = 3 * (2 * CLOSE + 1);

/// The gradients by one label.
#[derive(Debug, Clone)]
pub struct LabelGradient<'a> {
    /// Such as "[Mg/Fe]", with what else stands above the panel.
    pub title: String,
    /// Of the synthesis `[W]`.
    pub truth: Vec<f64>,
    /// Of the models `[W]`, with their names; NaN where a model has no pixel.
    pub models: Vec<(&'a str, Vec<f64>)>,
}

/// Gradients by some labels at one place.
#[derive(Debug, Clone, Copy)]
pub struct GradientComparison<'a> {
    /// `[W]`, nm.
    pub wavelength: &'a [f64],
    pub labels: &'a [LabelGradient<'a>],
}

impl GradientComparison<'_> {
    /// A row for each label; of long spectra also the surroundings of the strongest line.
    pub fn figure(&self) -> Figure {
        let rows = self.labels.len().max(1);
        let is_long = self.wavelength.len() > WORTH_A_CLOSER_LOOK;
        Figure::draw("gradients", 1080, 300 * rows as u32, |canvas| {
            let bounds = canvas.bounds;
            if self.labels.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no labels to compare", LABEL_SIZE, MUTED, Align::Centre);
            }
            for (row, label) in self.labels.iter().enumerate() {
                let whole = bounds.cell((rows, 1), (row, 0));
                let parts = if is_long { whole.split_columns(0.66) } else { (whole, whole) };
                let colors = || SERIES.iter().copied().cycle();
                let names = label.models.iter().zip(colors()).map(|((name, _), color)| Key::new(*name, color, Mark::Line));
                let legend = Some(Key::new("synthesis", INK, Mark::Dashed)).into_iter().chain(names).collect();
                let heading = Heading { title: label.title.clone(), legend, colour_bar: false };
                let mut draw = |cell, heading: &Heading, y_label: &str, pixels: std::ops::Range<usize>| {
                    let inside = |of: &[f64]| of.get(pixels.clone()).unwrap_or_default().to_vec();
                    let wavelength = inside(self.wavelength);
                    let all = label.models.iter().map(|(_, of)| of).chain([&label.truth]).flat_map(|of| inside(of));
                    let y = Axis::covering(y_label, all.collect::<Vec<f64>>());
                    let x = Axis::covering("wavelength (nm)", values(&wavelength));
                    let mut panel = Panel::new(canvas, cell, heading, x, y);
                    panel.horizontal(0.0, Stroke::solid(MUTED, 0.75));
                    // The first model is on top.
                    let lines: Vec<_> = label.models.iter().zip(colors()).collect();
                    for ((_, gradient), color) in lines.into_iter().rev() {
                        panel.line(&wavelength, &inside(gradient), Stroke::solid(color, 1.5));
                    }
                    panel.line(&wavelength, &inside(&label.truth), Stroke::dashed(INK, 1.5));
                };
                draw(parts.0, &heading, "gradient", 0..self.wavelength.len());
                if is_long {
                    let line = strongest(&label.truth);
                    let heading = Heading { title: "strongest line".into(), ..heading.clone() };
                    let heading = Heading { legend: Vec::new(), ..heading };
                    draw(parts.1, &heading, "", line.saturating_sub(CLOSE)..(line + CLOSE + 1).min(self.wavelength.len()));
                }
            }
        })
    }
}

/// Where the gradient is largest.
fn strongest(gradient: &[f64]) -> usize {
    let larger = |(at, largest): (usize, f64), (i, value): (usize, &f64)| match value.abs() > largest {
        true => (i, value.abs()),
        false => (at, largest),
    };
    gradient.iter().enumerate().fold((0, 0.0), larger).0
}
