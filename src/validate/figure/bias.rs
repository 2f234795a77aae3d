//! Bias against a quantity for several methods: a method and its negative control.

use super::axis::Axis;
use super::canvas::Stroke;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{MUTED, SERIES, faded};
use super::{Figure, has_finite, values};
use crate::statistics::{RunningBin, percentiles, running_median};

/// Residuals of one method.
#[derive(Debug, Clone, Copy)]
pub struct BiasSeries<'a> {
    /// What it is, for the legend.
    pub name: &'a str,
    /// The quantity that the bias depends on.
    pub x: &'a [f64],
    /// Residual of each star.
    pub residual: &'a [f64],
}

/// Median residual in bins of another quantity, for several methods.
#[derive(Debug, Clone, Copy)]
pub struct BiasComparison<'a> {
    pub series: &'a [BiasSeries<'a>],
    /// Label with unit of the quantity below, such as "true distance (kpc)".
    pub x_label: &'a str,
    /// Label with unit of the residual.
    pub y_label: &'a str,
    /// Whether the quantity is shown on a logarithmic axis.
    pub logarithmic: bool,
}

/// Number of bins over the central 99 % of the quantity, and the least number of stars that a bin needs.
const BINS: usize = 12;
const LEAST_STARS: usize = 10;

impl BiasComparison<'_> {
    /// Medians with their standard errors, joined by lines; 16th–84th percentiles as bands. All series share
    /// the bins.
    pub fn figure(&self) -> Figure {
        let all: Vec<f64> = self.series.iter().flat_map(|series| values(series.x)).collect();
        let usable: Vec<f64> = if self.logarithmic { all.into_iter().filter(|&x| x > 0.0).collect() } else { all };
        let range = percentiles(&usable, [0.5, 99.5]);
        let x = match self.logarithmic {
            true => Axis::covering_logarithmic(self.x_label, range),
            false => Axis::covering(self.x_label, range),
        };
        let edges: Vec<f64> = (0..=BINS).map(|i| x.value(i as f64 / BINS as f64)).collect();
        let bins: Vec<Vec<RunningBin>> = (self.series.iter())
            .map(|series| {
                let bins = running_median(series.x, series.residual, &edges);
                bins.into_iter().filter(|bin| bin.n >= LEAST_STARS).collect()
            })
            .collect();
        let shown = bins.iter().flatten().flat_map(|bin| [bin.low, bin.high]).chain([0.0]);
        let y = Axis::covering(self.y_label, shown);
        let colors = || SERIES.iter().copied().cycle();
        let legend = self.series.iter().zip(colors()).map(|(series, color)| Key::new(series.name, color, Mark::Line));
        Figure::draw("bias", 820, 460, |canvas| {
            let bounds = canvas.bounds;
            let mut panel = Panel::new(canvas, bounds, &Heading::legend(legend.collect()), x, y);
            panel.horizontal(0.0, Stroke::solid(MUTED, 1.0));
            let curve = |bins: &[RunningBin], pick: fn(&RunningBin) -> f64| bins.iter().map(pick).collect::<Vec<f64>>();
            for (bins, color) in bins.iter().zip(colors()) {
                let centres = curve(bins, |bin| bin.centre);
                panel.band(&centres, &curve(bins, |bin| bin.low), &curve(bins, |bin| bin.high), faded(color, 0.15));
            }
            for (bins, color) in bins.iter().zip(colors()) {
                let centres = curve(bins, |bin| bin.centre);
                let (low, high) =
                    (curve(bins, |bin| bin.median - bin.median_error), curve(bins, |bin| bin.median + bin.median_error));
                panel.line(&centres, &curve(bins, |bin| bin.median), Stroke::solid(color, 1.75));
                panel.error_bars(&centres, &low, &high, Stroke::solid(color, 1.5));
                panel.points(&centres, &curve(bins, |bin| bin.median), 3.5, color);
            }
            if bins.iter().all(Vec::is_empty) || !self.series.iter().any(|series| has_finite(series.residual)) {
                panel.note(&format!("no bin with {LEAST_STARS} stars"));
            }
        })
    }
}
