//! Scatter of labels against their Cramér–Rao bounds (Zhang et al. 2024, Fig. 9).

use super::Figure;
use super::axis::Axis;
use super::canvas::Stroke;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{MUTED, SERIES};
use crate::quantity::symbol;

/// A label in a bin of signal-to-noise ratios.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelPrecision {
    pub label: String,
    /// As figures have it: that of the label, but 100 K for temperatures.
    pub unit: &'static str,
    /// Stars, or pairs of spectra.
    pub n: usize,
    /// Median bound and robust scatter, in `unit`.
    pub bound: f64,
    pub scatter: f64,
    /// Robust scatter of the deviations over their bounds, and its error.
    pub ratio: f64,
    pub ratio_error: f64,
}

/// A bin of signal-to-noise ratios.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionBin {
    /// Least and largest signal-to-noise ratio.
    pub snr: [f64; 2],
    pub labels: Vec<LabelPrecision>,
}

/// Labels in bins of signal-to-noise ratios, the same labels in every bin.
#[derive(Debug, Clone, Copy)]
pub struct PrecisionChart<'a> {
    pub bins: &'a [PrecisionBin],
}

impl PrecisionBin {
    /// Its range for people.
    pub fn name(&self) -> String {
        if !self.snr.iter().all(|ratio| ratio.is_finite()) {
            return "S/N not known".into();
        }
        let [low, high] = self.snr.map(|ratio| format!("{ratio:.0}"));
        if low == high { format!("S/N {low}") } else { format!("S/N {low}–{high}") }
    }
}

impl PrecisionChart<'_> {
    /// Above, bounds (dashed) and scatters (points) of every bin; below, their ratios with errors.
    pub fn figure(&self) -> Figure {
        let labels = self.bins.first().map_or(&[][..], |bin| &bin.labels);
        let n = labels.len();
        let ticks = || labels.iter().enumerate().map(|(k, of)| (k as f64, symbol(&of.label).into_owned()));
        let x = || Axis::linear("", (-0.6, n.max(1) as f64 - 0.4)).with_ticks(ticks());
        let colors = || SERIES.iter().copied().cycle();
        let names = self.bins.iter().zip(colors()).map(|(bin, color)| Key::new(bin.name(), color, Mark::Point));
        let legend: Vec<Key> = names.chain(Some(Key::new("bound", MUTED, Mark::Dashed))).collect();
        let all = || self.bins.iter().flat_map(|bin| &bin.labels);
        let of_scatter = all().flat_map(|of| [of.bound, of.scatter]).collect::<Vec<f64>>();
        let of_ratio = all().flat_map(|of| [of.ratio - of.ratio_error, of.ratio + of.ratio_error]).collect::<Vec<f64>>();
        let n_bins = self.bins.len() as f64;
        // Wider than the points.
        let half = (0.32 / n_bins).max(0.12);
        let place = |k: usize, bin: usize| k as f64 + 0.16 * (bin as f64 - 0.5 * (n_bins - 1.0));
        Figure::draw("precision", 980, 620, |canvas| {
            let (upper, lower) = canvas.bounds.split_rows(0.56);
            let y = Axis::covering_logarithmic("scatter (100 K, dex, km/s)", of_scatter);
            let mut panel = Panel::new(canvas, upper, &Heading::legend(legend), x().without_numbers(), y);
            for (at, (bin, color)) in self.bins.iter().zip(colors()).enumerate() {
                for (k, of) in bin.labels.iter().enumerate() {
                    let ends = [place(k, at) - half, place(k, at) + half];
                    panel.line(&ends, &[of.bound; 2], Stroke::dashed(color, 2.0));
                }
                let centres: Vec<f64> = (0..n).map(|k| place(k, at)).collect();
                panel.points(&centres, &bin.labels.iter().map(|of| of.scatter).collect::<Vec<f64>>(), 4.0, color);
            }
            if n == 0 {
                panel.note("no label with a bound and a deviation");
            }
            let y = Axis::covering("scatter / bound", of_ratio.into_iter().chain([0.0, 1.5]));
            let mut panel = Panel::new(canvas, lower, &Heading::default(), x(), y);
            panel.horizontal(1.0, Stroke::dashed(MUTED, 1.0));
            for (at, (bin, color)) in self.bins.iter().zip(colors()).enumerate() {
                let centres: Vec<f64> = (0..n).map(|k| place(k, at)).collect();
                let of = |value: fn(&LabelPrecision) -> f64| bin.labels.iter().map(value).collect::<Vec<f64>>();
                let (low, high) = (of(|of| of.ratio - of.ratio_error), of(|of| of.ratio + of.ratio_error));
                panel.error_bars(&centres, &low, &high, Stroke::solid(color, 1.5));
                panel.points(&centres, &of(|of| of.ratio), 4.0, color);
            }
        })
    }
}
