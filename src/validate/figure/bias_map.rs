//! Maps of biases over two quantities, such as T_eff and log g: of single stars in their errors, and of means
//! of many in theirs.

use super::Figure;
use super::axis::Axis;
use super::canvas::{Align, Canvas, Rect};
use super::panel::{Heading, Panel};
use super::theme::{ColorMap, LABEL_SIZE, MUTED};
use crate::statistics::percentiles;
use std::borrow::Cow;

/// The stars of a cell.
#[derive(Debug, Clone, Copy)]
pub struct MapCell {
    /// Least and largest value of the two quantities.
    pub x: [f64; 2],
    pub y: [f64; 2],
    /// Median of the pulls: the bias in errors of a single star.
    pub bias: f64,
    /// Mean of the pulls over its own error: N(0, 1) where errors are right.
    pub mean_pull: f64,
}

/// One parameter over the cells.
#[derive(Debug, Clone)]
pub struct BiasMap<'a> {
    /// Name as written in titles, such as "T_{eff}".
    pub name: Cow<'a, str>,
    pub cells: &'a [MapCell],
    /// What the errors of its means are, for titles.
    pub means_name: &'a str,
}

/// Several parameters over the same two quantities.
#[derive(Debug, Clone)]
pub struct BiasMaps<'a> {
    pub parameters: &'a [BiasMap<'a>],
    /// Labels with units of the two quantities, and whether their axes run backwards (as those of T_eff and
    /// log g do).
    pub axes: [(&'a str, bool); 2],
}

/// Biases in errors of single stars at the ends of the colours; more where cells have more.
const LEAST_BIAS: f64 = 0.5;
/// Pulls of means there.
const LEAST_PULL: f64 = 4.0;
/// Smallest cells, in pixels, that have room for their number.
const ROOM: (f64, f64) = (34.0, 15.0);

/// `least`, or what the cells have but for the one in twenty that are largest.
fn end_of_colours(values: impl Iterator<Item = f64>, least: f64) -> f64 {
    let sizes: Vec<f64> = values.map(f64::abs).filter(|value| value.is_finite()).collect();
    let [end] = percentiles(&sizes, [95.0]);
    if end > least { end } else { least }
}

impl BiasMaps<'_> {
    /// A row of two panels for each parameter.
    pub fn figure(&self) -> Figure {
        let rows = self.parameters.len().max(1);
        Figure::draw("bias-maps", 1180, 400 * rows as u32, |canvas| {
            let bounds = canvas.bounds;
            if self.parameters.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no cells", LABEL_SIZE, MUTED, Align::Centre);
            }
            for (row, parameter) in self.parameters.iter().enumerate() {
                let title = format!("{}: median bias in errors of a star", parameter.name);
                let end = end_of_colours(parameter.cells.iter().map(|cell| cell.bias), LEAST_BIAS);
                let scale = Axis::linear("median pull", (-end, end));
                self.panel(canvas, bounds.cell((rows, 2), (row, 0)), (title, scale), parameter.cells, |cell| cell.bias);
                let title = format!("{}: bias in errors of the mean{}", parameter.name, parameter.means_name);
                let end = end_of_colours(parameter.cells.iter().map(|cell| cell.mean_pull), LEAST_PULL);
                let scale = Axis::linear("pull of the mean", (-end, end));
                self.panel(canvas, bounds.cell((rows, 2), (row, 1)), (title, scale), parameter.cells, |cell| cell.mean_pull);
            }
        })
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        place: Rect,
        (title, scale): (String, Axis),
        cells: &[MapCell],
        of: impl Fn(&MapCell) -> f64,
    ) {
        let axis = |(label, is_reversed): (&str, bool), ends: &dyn Fn(&MapCell) -> [f64; 2]| {
            let axis = Axis::covering(label, cells.iter().flat_map(ends));
            if is_reversed { axis.reversed() } else { axis }
        };
        let (x, y) = (axis(self.axes[0], &|cell| cell.x), axis(self.axes[1], &|cell| cell.y));
        let heading = Heading { title, colour_bar: true, ..Heading::default() };
        let mut panel = Panel::new(canvas, place, &heading, x, y);
        let (low, high) = scale.range();
        let mut is_empty = true;
        for cell in cells {
            let value = of(cell);
            if value.is_nan() {
                continue;
            }
            is_empty = false;
            let digits = if high < 1.0 { 2 } else { 1 };
            let text = format!("{value:.digits$}").replace('-', "−");
            panel.rectangle(cell.x, cell.y, ColorMap::Diverging.at((value - low) / (high - low)), (&text, ROOM));
        }
        match is_empty {
            true => panel.note("no cell with a pull"),
            false => panel.colour_bar(&scale, ColorMap::Diverging),
        }
    }
}
