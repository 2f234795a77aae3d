//! Abundances over metallicity: numbers of stars, and the share of each in its column (Zhang et al. 2024,
//! Figs. 7 and 8).

use super::Figure;
use super::axis::Axis;
use super::canvas::{Align, Canvas, Rect, Stroke};
use super::panel::{Heading, Panel};
use super::theme::{ColorMap, LABEL_SIZE, MUTED, VERMILLION};
use crate::statistics::{RunningBin, percentiles, running_median};
use ndarray::Array2;
use std::borrow::Cow;

/// Fewest stars of a column whose shares are shown, and whose median is.
const LEAST_STARS: usize = 10;
/// Fewest stars of a plane.
const LEAST_OF_PLANE: usize = 3;
/// Bins of an axis: about a third of the root of the number of stars, between these.
const BINS: (usize, usize) = (8, 24);

/// Stars in bins over two quantities.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaneBins {
    /// Edges `[X + 1]` and `[Y + 1]`, rising.
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    /// `[X, Y]`.
    pub counts: Array2<usize>,
}

/// Which bin a value is in: all but the last are open above, as those of `numpy.histogram2d`.
fn bin(edges: &[f64], value: f64) -> Option<usize> {
    let (first, last) = (*edges.first()?, *edges.last()?);
    let is_inside = edges.len() > 1 && value >= first && value <= last;
    is_inside.then(|| edges.partition_point(|edge| *edge <= value).clamp(1, edges.len() - 1) - 1)
}

impl PlaneBins {
    /// Counts the stars that are within the edges.
    pub fn of(x: &[f64], y: &[f64], edges: [Vec<f64>; 2]) -> Self {
        let [x_edges, y_edges] = edges;
        let mut counts = Array2::zeros((x_edges.len().saturating_sub(1), y_edges.len().saturating_sub(1)));
        for (x, y) in x.iter().zip(y) {
            if let (Some(column), Some(row)) = (bin(&x_edges, *x), bin(&y_edges, *y)) {
                counts[[column, row]] += 1;
            }
        }
        Self { x: x_edges, y: y_edges, counts }
    }

    /// Shares of the stars of a column in its rows `[X, Y]`, whose sum is 1; NaN in columns with fewer than
    /// `least` stars.
    pub fn column_normalised(&self, least: usize) -> Array2<f64> {
        let of_column: Vec<usize> = self.counts.rows().into_iter().map(|column| column.sum()).collect();
        Array2::from_shape_fn(self.counts.dim(), |(column, row)| match of_column[column] {
            0 => f64::NAN,
            n if n < least => f64::NAN,
            n => self.counts[[column, row]] as f64 / n as f64,
        })
    }
}

/// The stars of an abundance that are shown.
#[derive(Debug, Clone)]
pub struct AbundancePlane<'a> {
    /// Such as "[Mg/Fe]".
    pub name: Cow<'a, str>,
    /// [Fe/H] and [X/Fe] of the same stars.
    pub feh: &'a [f64],
    pub ratio: &'a [f64],
}

/// Planes of several elements.
#[derive(Debug, Clone, Copy)]
pub struct AbundancePlanes<'a> {
    pub elements: &'a [AbundancePlane<'a>],
}

impl AbundancePlanes<'_> {
    /// Two elements in a row, of each the numbers (logarithmic colours) and the shares in columns of [Fe/H],
    /// with the median of the columns. Axes show the central 99 %.
    pub fn figure(&self) -> Figure {
        let rows = self.elements.len().div_ceil(2).max(1);
        Figure::draw("abundance-planes", 1240, 270 * rows as u32, |canvas| {
            let bounds = canvas.bounds;
            if self.elements.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no abundances", LABEL_SIZE, MUTED, Align::Centre);
            }
            for (at, element) in self.elements.iter().enumerate() {
                let cell = |column: usize| bounds.cell((rows, 4), (at / 2, 2 * (at % 2) + column));
                element.panels(canvas, [cell(0), cell(1)]);
            }
        })
    }
}

impl AbundancePlane<'_> {
    fn panels(&self, canvas: &mut Canvas, cells: [Rect; 2]) {
        let both: Vec<(f64, f64)> = self.feh.iter().copied().zip(self.ratio.iter().copied()).collect();
        let both: Vec<(f64, f64)> = both.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let (x, y): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
        let n_bins = ((x.len() as f64).sqrt() / 3.0) as usize;
        let n_bins = n_bins.clamp(BINS.0, BINS.1);
        let axes = [("[Fe/H]".to_owned(), &x), (self.name.clone().into_owned(), &y)];
        let axes = axes.map(|(label, values)| Axis::covering(label, percentiles(values, [0.5, 99.5])));
        let edges = |axis: &Axis| (0..=n_bins).map(|i| axis.value(i as f64 / n_bins as f64)).collect::<Vec<f64>>();
        let bins = PlaneBins::of(&x, &y, [edges(&axes[0]), edges(&axes[1])]);
        let most = bins.counts.iter().copied().max().unwrap_or(0);
        let shares = bins.column_normalised(LEAST_STARS);
        let largest = shares.iter().copied().filter(|share| share.is_finite()).fold(0.0, f64::max);
        let of_counts = |column: usize, row: usize| match bins.counts[[column, row]] {
            0 => f64::NAN,
            count => (count as f64).ln() / (most.max(2) as f64).ln(),
        };
        let of_shares = |column: usize, row: usize| match shares[[column, row]] {
            share if share > 0.0 => share / largest,
            _ => f64::NAN,
        };
        let trend: Vec<RunningBin> = running_median(&x, &y, &bins.x).into_iter().filter(|bin| bin.n >= LEAST_STARS).collect();
        let titles = [format!("{} stars, {most} at most in a bin", x.len()), "share of the column".to_owned()];
        let values: [&dyn Fn(usize, usize) -> f64; 2] = [&of_counts, &of_shares];
        for ((cell, title), value) in cells.into_iter().zip(titles).zip(values) {
            let mut panel = Panel::new(canvas, cell, &Heading::title(title), axes[0].clone(), axes[1].clone());
            if x.len() < LEAST_OF_PLANE {
                panel.note("too few stars");
                continue;
            }
            if bins.counts.indexed_iter().all(|((column, row), _)| value(column, row).is_nan()) {
                panel.note(&format!("no column of {LEAST_STARS} stars"));
            }
            for ((column, row), _) in bins.counts.indexed_iter().filter(|((column, row), _)| !value(*column, *row).is_nan()) {
                let color = ColorMap::Density.at(value(column, row));
                let (x, y) = ([bins.x[column], bins.x[column + 1]], [bins.y[row], bins.y[row + 1]]);
                panel.rectangle(x, y, color, ("", (0.0, 0.0)));
            }
            let of = |pick: fn(&RunningBin) -> f64| trend.iter().map(pick).collect::<Vec<f64>>();
            panel.line(&of(|bin| bin.centre), &of(|bin| bin.median), Stroke::solid(VERMILLION, 1.75));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2.4.6: `i = numpy.arange(200); x = (37 * i % 101) / 50 - 1.5; y = (53 * i % 97) / 100 - 0.4`,
    /// `H, *_ = numpy.histogram2d(x, y, bins=[[-1.5, -1.0, -0.5, 0.0, 0.5], [-0.4, -0.1, 0.2, 0.5]])`,
    /// `H / H.sum(axis=1, keepdims=True)`.
    #[test]
    fn shares_of_columns_are_those_of_numpy() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(37 * i % 101) / 50.0 - 1.5).collect();
        let y: Vec<f64> = (0..200).map(|i| f64::from(53 * i % 97) / 100.0 - 0.4).collect();
        let edges = || [vec![-1.5, -1.0, -0.5, 0.0, 0.5], vec![-0.4, -0.1, 0.2, 0.5]];
        let bins = PlaneBins::of(&x, &y, edges());
        let counts = ndarray::array![[21, 12, 15], [11, 18, 15], [19, 14, 15], [14, 17, 17]];
        assert_eq!(bins.counts, counts);
        let shares = bins.column_normalised(1);
        let expected = ndarray::array![
            [0.4375, 0.25, 0.3125],
            [0.25, 0.4090909090909091, 0.3409090909090909],
            [0.3958333333333333, 0.2916666666666667, 0.3125],
            [0.2916666666666667, 0.3541666666666667, 0.3541666666666667]
        ];
        assert!(shares.iter().zip(&expected).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-12), "{shares}");
        // Columns with too few stars, stars beyond the edges and values that are not finite have none.
        let bins = PlaneBins::of(&[-1.2, 0.1, 9.0, f64::NAN, 0.5], &[0.0, 0.0, 0.0, 0.0, 0.5], edges());
        let shares = bins.column_normalised(2);
        assert!(shares.row(0).iter().all(|share| share.is_nan()) && shares.row(1).iter().all(|share| share.is_nan()));
        assert_eq!(shares.row(3).to_vec(), [0.0, 0.5, 0.5]);
    }
}
