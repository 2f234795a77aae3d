//! The sample in the Kiel diagram: temperature and gravity, coloured by metallicity, and its density.

use super::axis::Axis;
use super::density::MOST_POINTS;
use super::panel::{Heading, Panel};
use super::theme::ColorMap;
use super::{Figure, has_finite, values};
use crate::statistics::percentiles;

/// The Kiel diagram of a sample.
#[derive(Debug, Clone, Copy)]
pub struct SampleDiagram<'a> {
    /// Effective temperature in K.
    pub teff: &'a [f64],
    /// Surface gravity log g in dex.
    pub logg: &'a [f64],
    /// Metallicity [Fe/H] in dex.
    pub feh: &'a [f64],
}

impl SampleDiagram<'_> {
    /// Two panels: coloured by [Fe/H] (means of bins for large samples) and number of stars. Both axes run
    /// backwards, so that giants are at the upper right.
    pub fn figure(&self) -> Figure {
        Figure::draw("sample", 1040, 470, |canvas| {
            let (left, right) = canvas.bounds.split_columns(0.5);
            let x = || Axis::covering("T_{eff} (K)", values(self.teff)).reversed();
            let y = || Axis::covering("log g (dex)", values(self.logg)).reversed();
            let [low, high] = percentiles(self.feh, [2.0, 98.0]);
            let scale = Axis::linear("[Fe/H] (dex)", (low, high));
            let heading = |title: String| Heading { title, colour_bar: true, ..Heading::default() };

            let mut panel = Panel::new(canvas, left, &heading("metallicity".into()), x(), y());
            if self.teff.len() > MOST_POINTS {
                panel.mean_map(self.teff, self.logg, self.feh, scale.range(), ColorMap::Sequential);
            } else {
                panel.coloured_points(self.teff, self.logg, self.feh, scale.range(), ColorMap::Sequential);
            }
            if has_finite(self.feh) {
                panel.colour_bar(&scale, ColorMap::Sequential);
            } else {
                panel.note("no finite [Fe/H]");
            }

            let stars = self.teff.iter().zip(self.logg).filter(|(teff, logg)| teff.is_finite() && logg.is_finite()).count();
            let mut panel = Panel::new(canvas, right, &heading(format!("{stars} stars")), x(), y());
            if stars > 0 {
                panel.density(self.teff, self.logg, Some("stars per bin"));
            } else {
                panel.note("no stars with T_{eff} and log g");
            }
        })
    }
}
