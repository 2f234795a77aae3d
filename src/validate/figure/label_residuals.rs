//! Estimate minus reference against the reference, one panel a label.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Rect, Stroke};
use super::panel::{Heading, Panel};
use super::theme::{BLUE, INK, MUTED, VERMILLION};
use super::{Figure, values};
use crate::statistics::{equal_count_edges, median, percentiles, robust_scatter, running_median};
use crate::validate::number::significant;
use std::borrow::Cow;

/// One label's estimates and reference values.
#[derive(Debug, Clone)]
pub struct LabelResidual<'a> {
    /// Name as written on axes, such as "T_{eff}".
    pub name: Cow<'a, str>,
    /// Unit; empty for none.
    pub unit: &'a str,
    /// Reference (or true) values.
    pub reference: &'a [f64],
    /// Estimates of the same stars.
    pub estimate: &'a [f64],
}

/// Residuals of several labels.
#[derive(Debug, Clone, Copy)]
pub struct LabelResiduals<'a> {
    pub labels: &'a [LabelResidual<'a>],
}

impl LabelResiduals<'_> {
    /// Panels in two columns: residuals (a density for many stars) with the running median (line) and
    /// 16th–84th percentiles (dashed); median and robust scatter in the corner. Axes show the central 99 %.
    pub fn figure(&self) -> Figure {
        let columns = self.labels.len().clamp(1, 2);
        let rows = self.labels.len().div_ceil(2).max(1);
        Figure::draw("label-residuals", 520 * columns as u32, 350 * rows as u32, |canvas| {
            let bounds = canvas.bounds;
            for (i, label) in self.labels.iter().enumerate() {
                label.panel(canvas, bounds.cell((rows, columns), (i / columns, i % columns)));
            }
            if self.labels.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no labels to compare", super::theme::LABEL_SIZE, MUTED, Align::Centre);
            }
        })
    }
}

impl LabelResidual<'_> {
    fn panel(&self, canvas: &mut Canvas, cell: Rect) {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" ({})", self.unit) };
        let residuals: Vec<f64> = self.estimate.iter().zip(self.reference).map(|(e, r)| e - r).collect();
        let x = Axis::covering(format!("reference {}{unit}", self.name), percentiles(self.reference, [0.25, 99.75]));
        let y = Axis::covering(format!("Δ {}{unit}", self.name), values(&percentiles(&residuals, [0.5, 99.5])));
        let mut panel = Panel::new(canvas, cell, &Heading::default(), x, y);
        let outside = panel.scatter(self.reference, &residuals, BLUE);
        panel.horizontal(0.0, Stroke::solid(INK, 1.0));
        let n = residuals.iter().filter(|residual| residual.is_finite()).count();
        let bins = running_median(self.reference, &residuals, &equal_count_edges(self.reference, (n / 40).clamp(1, 15)));
        let centres: Vec<f64> = bins.iter().map(|bin| bin.centre).collect();
        let curve = |pick: fn(&crate::statistics::RunningBin) -> f64| bins.iter().map(pick).collect::<Vec<f64>>();
        panel.line(&centres, &curve(|bin| bin.median), Stroke::solid(VERMILLION, 2.0));
        panel.line(&centres, &curve(|bin| bin.low), Stroke::dashed(VERMILLION, 1.5));
        panel.line(&centres, &curve(|bin| bin.high), Stroke::dashed(VERMILLION, 1.5));
        if n == 0 {
            panel.note("no stars with both values");
            return;
        }
        let summary = format!(
            "{n} stars, median {}{space}{unit}, scatter {}{space}{unit}",
            significant(median(&residuals), 2),
            significant(robust_scatter(&residuals), 3),
            unit = self.unit,
            space = if self.unit.is_empty() { "" } else { " " },
        );
        panel.corner_text([summary.as_str()], Align::Left);
        panel.note_outside(outside);
    }
}
