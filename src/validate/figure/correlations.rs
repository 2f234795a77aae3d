//! Correlation matrices side by side, such as those of fits with and without the parallax.

use super::Figure;
use super::axis::Axis;
use super::canvas::{Align, Rect};
use super::panel::{Heading, Panel};
use super::theme::{ColorMap, LABEL_SIZE, MUTED};
use ndarray::ArrayView2;

/// A correlation matrix with a title.
#[derive(Debug, Clone, Copy)]
pub struct NamedMatrix<'a> {
    pub title: &'a str,
    /// `[P, P]`.
    pub matrix: ArrayView2<'a, f64>,
}

/// Correlation matrices of the same parameters.
#[derive(Debug, Clone, Copy)]
pub struct CorrelationMatrices<'a> {
    /// Names of the P parameters.
    pub names: &'a [String],
    pub matrices: &'a [NamedMatrix<'a>],
}

impl CorrelationMatrices<'_> {
    /// Heat maps with numbers, up to two in a row.
    pub fn figure(&self) -> Figure {
        let columns = self.matrices.len().clamp(1, 2);
        let rows = self.matrices.len().div_ceil(columns).max(1);
        // the room around a frame is 174 × 88: the cells come out square
        let side = (58 * self.names.len() as u32).clamp(230, 460);
        Figure::draw("correlations", (side + 174) * columns as u32, (side + 96) * rows as u32, |canvas| {
            let bounds = canvas.bounds;
            if self.matrices.is_empty() || self.names.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no correlation matrix", LABEL_SIZE, MUTED, Align::Centre);
                return;
            }
            let n = self.names.len() as f64;
            let ticks = || self.names.iter().enumerate().map(|(i, name)| (i as f64 + 0.5, name.clone()));
            for (i, named) in self.matrices.iter().enumerate() {
                let cell: Rect = bounds.cell((rows, columns), (i / columns, i % columns));
                let heading = Heading { title: named.title.to_owned(), colour_bar: true, ..Heading::default() };
                let x = Axis::linear("", (0.0, n)).with_ticks(ticks());
                let y = Axis::linear("", (n, 0.0)).with_ticks(ticks());
                let mut panel = Panel::new(canvas, cell, &heading, x, y);
                let shown = named.matrix.dim() == (self.names.len(), self.names.len());
                if shown {
                    panel.heat_map(named.matrix, (-1.0, 1.0), ColorMap::Diverging, |value| match value.is_nan() {
                        true => "–".into(),
                        false => format!("{value:.2}").replace('-', "−"),
                    });
                } else {
                    let (rows, columns) = named.matrix.dim();
                    panel.note(&format!("a {rows} × {columns} matrix"));
                }
                panel.colour_bar(&Axis::linear("correlation", (-1.0, 1.0)), ColorMap::Diverging);
            }
        })
    }
}
