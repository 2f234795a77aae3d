//! The self-cleaning bump: unresolved binaries of equal mass are 2.5 log10 2 = 0.753 mag brighter than a
//! single star.

use super::Figure;
use super::axis::Axis;
use super::canvas::Stroke;
use super::histogram::{Histogram, number_of_bins};
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, MUTED, VERMILLION, faded};
use crate::statistics::percentiles;

/// Offset of two equal stars from one, in magnitudes.
pub const EQUAL_MASS_BINARY: f64 = -0.752_574_989_159_953;

/// Observed minus predicted absolute magnitude of all stars and of those that self-cleaning removed
/// (Zhang, Green & Rix 2023, fig. 4).
#[derive(Debug, Clone, Copy)]
pub struct CleaningBump<'a> {
    /// Magnitude offset of every star; negative is brighter than predicted.
    pub all: &'a [f64],
    /// Magnitude offset of the removed stars.
    pub removed: &'a [f64],
}

impl CleaningBump<'_> {
    /// Histograms on a logarithmic scale, with the equal-mass binaries' offset marked.
    pub fn figure(&self) -> Figure {
        let [low, high] = percentiles(self.all, [0.2, 99.8]);
        let range = Axis::linear("", (low.min(-1.2), high.max(0.8))).range();
        // twice as fine as the rule for one peak, so that a second one shows
        let n_bins = (2 * number_of_bins(self.all, range)).min(100);
        let (all, removed) = (Histogram::new(self.all, range, n_bins), Histogram::new(self.removed, range, n_bins));
        let most = all.counts.iter().copied().fold(1.0, f64::max);
        let legend = vec![
            Key::new(format!("all ({})", self.all.len()), faded(BLUE, 0.45), Mark::Band),
            Key::new(format!("removed ({})", self.removed.len()), VERMILLION, Mark::Line),
        ];
        Figure::draw("self-cleaning", 820, 420, |canvas| {
            let bounds = canvas.bounds;
            let x = Axis::linear("ΔM, observed − predicted (mag)", range);
            let y = Axis::logarithmic("stars per bin", (0.7, 3.0 * most));
            let mut panel = Panel::new(canvas, bounds, &Heading::legend(legend), x, y);
            panel.steps(&all.edges, &all.counts, Stroke::solid(BLUE, 1.0), Some(faded(BLUE, 0.35)));
            if !self.removed.is_empty() {
                panel.steps(&removed.edges, &removed.counts, Stroke::solid(VERMILLION, 1.75), None);
            }
            panel.verticals(&[(EQUAL_MASS_BINARY, "equal-mass binary, −0.753")], Stroke::dashed(MUTED, 1.5));
            if all.counts.iter().all(|&count| count == 0.0) {
                panel.note("no finite magnitude offset");
            }
            panel.note_outside(all.outside);
        })
    }
}
