//! Histograms of pulls, (estimate − truth)/σ, against N(0, 1).

use super::axis::Axis;
use super::canvas::{Align, Canvas, Rect, Stroke};
use super::histogram::Histogram;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, INK, LABEL_SIZE, MUTED, VERMILLION, faded};
use super::{Figure, values};
use crate::statistics::pull_statistics;
use crate::validate::number::{percent, with_error};
use std::borrow::Cow;

/// Pulls of one parameter.
#[derive(Debug, Clone)]
pub struct PullHistogram<'a> {
    /// Name as written in titles, such as "T_{eff}".
    pub name: Cow<'a, str>,
    /// (estimate − truth)/σ.
    pub pulls: &'a [f64],
    /// The same of another kind of fit, drawn as an outline; empty for none.
    pub beside: &'a [f64],
}

/// Pulls of several parameters.
#[derive(Debug, Clone, Copy)]
pub struct PullHistograms<'a> {
    pub parameters: &'a [PullHistogram<'a>],
    /// What `pulls` are, for the legend.
    pub pulls_name: &'a str,
    /// What `beside` are, for the legend; unused when all are empty.
    pub beside_name: &'a str,
}

/// Pulls are drawn within ± this.
const RANGE: f64 = 5.0;
const BINS: usize = 50;

impl PullHistograms<'_> {
    /// Up to three panels a row, each with median, scatter and 68 % coverage of `pulls` in its corner.
    pub fn figure(&self) -> Figure {
        let columns = self.parameters.len().clamp(1, 3);
        let rows = self.parameters.len().div_ceil(columns).max(1);
        let (width, height) = (370 * columns as u32, 340 * rows as u32);
        Figure::draw("pulls", width, height, |canvas| {
            let bounds = canvas.bounds;
            for (i, parameter) in self.parameters.iter().enumerate() {
                let cell = bounds.cell((rows, columns), (i / columns, i % columns));
                self.panel(canvas, cell, parameter);
            }
            if self.parameters.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no pulls", LABEL_SIZE, MUTED, Align::Centre);
            }
        })
    }

    fn panel(&self, canvas: &mut Canvas, cell: Rect, parameter: &PullHistogram) {
        let histogram = |pulls: &[f64]| Histogram::new(pulls, (-RANGE, RANGE), BINS);
        let (main, beside) = (histogram(parameter.pulls), histogram(parameter.beside));
        let grid: Vec<f64> = (0..=200).map(|i| RANGE * (f64::from(i) / 100.0 - 1.0)).collect();
        let normal: Vec<f64> = grid.iter().map(|x| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()).collect();
        let (main_density, beside_density) = (main.density(), beside.density());
        let highest = values(&main_density).chain(values(&beside_density)).fold(0.4, f64::max);

        let mut legend = vec![Key::new(self.pulls_name, faded(BLUE, 0.45), Mark::Band)];
        if !parameter.beside.is_empty() {
            legend.push(Key::new(self.beside_name, VERMILLION, Mark::Line));
        }
        legend.push(Key::new("N(0, 1)", INK, Mark::Dashed));
        let heading = Heading { title: parameter.name.to_string(), legend, colour_bar: false };
        let x = Axis::linear("(estimate − truth) / σ", (-RANGE, RANGE));
        // room above the histogram for the numbers
        let mut panel = Panel::new(canvas, cell, &heading, x, Axis::linear("density", (0.0, 1.55 * highest)));
        panel.steps(&main.edges, &main_density, Stroke::solid(BLUE, 1.0), Some(faded(BLUE, 0.35)));
        if !parameter.beside.is_empty() {
            panel.steps(&beside.edges, &beside_density, Stroke::solid(VERMILLION, 1.5), None);
        }
        panel.line(&grid, &normal, Stroke::dashed(INK, 1.5));
        let statistics = pull_statistics(parameter.pulls);
        if statistics.n == 0 {
            panel.note("no finite pull");
            return;
        }
        let beyond = main.outside as f64 / statistics.n as f64;
        let lines = [
            format!("median {}", with_error(statistics.median.value, statistics.median.error)),
            format!("MAD-σ {}", with_error(statistics.scatter.value, statistics.scatter.error)),
            format!("within 1σ {}", percent(statistics.within_68.value)),
            if main.outside > 0 { format!("beyond ±5σ {}", percent(beyond)) } else { String::new() },
        ];
        panel.corner_text(lines.iter().map(String::as_str), Align::Left);
        panel.corner_text([format!("{} stars", statistics.n).as_str()], Align::Right);
    }
}
