//! The cheat test: responses of labels to their truth, and to what other labels predict.

use super::Figure;
use super::axis::Axis;
use super::canvas::Stroke;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{MUTED, SERIES};
use crate::per_pixel::Response;
use crate::quantity::symbol;

/// Responses of models with the same labels.
#[derive(Debug, Clone, Copy)]
pub struct ResponseFigure<'a> {
    /// Names of the models, and their responses `[L]`.
    pub models: &'a [(&'a str, &'a [Response])],
}

impl ResponseFigure<'_> {
    /// b as points, which are at 1 of honest models, and c as bars from 0.
    pub fn figure(&self) -> Figure {
        let labels = self.models.first().map_or(&[][..], |(_, responses)| responses);
        let n = labels.len();
        let ticks = labels.iter().enumerate().map(|(k, response)| (k as f64, symbol(&response.label).into_owned()));
        let colors = || SERIES.iter().copied().cycle();
        let is_one = self.models.len() < 2;
        let legend = self.models.iter().zip(colors()).map(|((name, _), color)| Key::new(*name, color, Mark::Point));
        let legend = if is_one { Vec::new() } else { legend.collect() };
        let all = self.models.iter().flat_map(|(_, responses)| responses.iter());
        let all = all.flat_map(|response| [response.own, response.predicted]).filter(|value| value.is_finite());
        let y = Axis::covering("b and c", all.chain([0.0, 1.1]));
        Figure::draw("cheat-test", 980, 440, |canvas| {
            let bounds = canvas.bounds;
            let x = Axis::linear("", (-0.6, n.max(1) as f64 - 0.4)).with_ticks(ticks);
            let mut panel = Panel::new(canvas, bounds, &Heading::legend(legend), x, y);
            panel.horizontal(1.0, Stroke::dashed(MUTED, 1.0));
            panel.horizontal(0.0, Stroke::dashed(MUTED, 1.0));
            for (index, ((_, responses), color)) in self.models.iter().zip(colors()).enumerate() {
                let at: Vec<f64> = (0..n).map(|k| k as f64 + 0.2 * index as f64).collect();
                let own: Vec<f64> = responses.iter().map(|response| response.own).collect();
                let predicted: Vec<f64> = responses.iter().map(|response| response.predicted).collect();
                panel.points(&at, &own, 4.5, color);
                panel.error_bars(&at, &vec![0.0; n], &predicted, Stroke::solid(color, 2.0));
            }
            if !labels.iter().any(|response| response.own.is_finite()) {
                panel.note("no label that enough stars tell");
            }
        })
    }
}
