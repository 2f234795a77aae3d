//! Many points: counts or means on a grid of small squares, and the colour bar that explains them; heat maps.

use super::axis::Axis;
use super::canvas::{Align, Rect, Stroke, text_width};
use super::panel::{Panel, Y_TICK_DISTANCE};
use super::theme::{Color, ColorMap, INK, LABEL_SIZE, TICK_SIZE, faded, ink_on};
use ndarray::ArrayView2;

/// More points than this are drawn as a density.
pub const MOST_POINTS: usize = 5000;

/// Side of a square bin in pixels.
const BIN: f64 = 5.0;

/// Counts and sums on a grid of square bins over a panel.
struct Bins {
    columns: usize,
    counts: Vec<usize>,
    sums: Vec<f64>,
    outside: usize,
}

impl Panel<'_, '_> {
    /// Points, or their density where there are more than [`MOST_POINTS`]. Returns how many lie outside the
    /// frame.
    pub fn scatter(&mut self, x: &[f64], y: &[f64], color: Color) -> usize {
        if x.len() > MOST_POINTS {
            self.density(x, y, None)
        } else {
            let (radius, opacity) = if x.len() > 500 { (1.5, 0.4) } else { (2.5, 0.7) };
            self.points(x, y, radius, faded(color, opacity))
        }
    }

    /// Density of points, logarithmic, with a colour bar where it has a label (room must have been kept in
    /// the heading). Returns how many points lie outside the frame.
    pub fn density(&mut self, x: &[f64], y: &[f64], colour_bar: Option<&str>) -> usize {
        let bins = self.bin(x, y, None);
        let most = bins.counts.iter().copied().max().unwrap_or(0).max(2) as f64;
        self.draw_bins(&bins, |count, _| ColorMap::Density.at((count as f64).ln() / most.ln()));
        if let Some(label) = colour_bar {
            self.colour_bar(&Axis::logarithmic(label, (1.0, most)), ColorMap::Density);
        }
        bins.outside
    }

    /// Mean of a third quantity on a grid of bins, coloured over `range`. Returns how many points lie outside
    /// the frame.
    pub fn mean_map(&mut self, x: &[f64], y: &[f64], third: &[f64], range: (f64, f64), map: ColorMap) -> usize {
        let bins = self.bin(x, y, Some(third));
        self.draw_bins(&bins, |count, sum| map.at((sum / count as f64 - range.0) / (range.1 - range.0)));
        bins.outside
    }

    /// Bins points with finite coordinates (and a finite third value, where one is given).
    fn bin(&self, x: &[f64], y: &[f64], third: Option<&[f64]>) -> Bins {
        let columns = (self.frame.width() / BIN).ceil() as usize;
        let rows = (self.frame.height() / BIN).ceil() as usize;
        let size = columns * rows;
        let mut bins = Bins { columns, counts: vec![0; size], sums: vec![0.0; size], outside: 0 };
        for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
            let third = third.map_or(0.0, |third| third.get(i).copied().unwrap_or(f64::NAN));
            let Some(at) = self.pixel(x, y).filter(|_| third.is_finite()) else { continue };
            if !self.contains(at) {
                bins.outside += 1;
                continue;
            }
            let column = (((at.0 - self.frame.left) / BIN) as usize).min(columns - 1);
            let row = (((at.1 - self.frame.top) / BIN) as usize).min(rows - 1);
            bins.counts[row * columns + column] += 1;
            bins.sums[row * columns + column] += third;
        }
        bins
    }

    fn draw_bins(&mut self, bins: &Bins, color: impl Fn(usize, f64) -> Color) {
        let frame = self.frame;
        for (i, (&count, &sum)) in bins.counts.iter().zip(&bins.sums).enumerate().filter(|(_, (count, _))| **count > 0) {
            let left = frame.left + BIN * (i % bins.columns) as f64;
            let top = frame.top + BIN * (i / bins.columns) as f64;
            let square = Rect::new(left, top, (left + BIN).min(frame.right), (top + BIN).min(frame.bottom));
            self.canvas.fill(square, color(count, sum));
        }
    }

    /// A colour bar to the right of the frame; `scale` gives its label, range and ticks.
    pub fn colour_bar(&mut self, scale: &Axis, map: ColorMap) {
        const STEPS: usize = 64;
        let frame = self.frame;
        let (left, right) = (frame.right + 14.0, frame.right + 28.0);
        let height = |position: f64| frame.bottom - position * frame.height();
        for step in 0..STEPS {
            let (from, to) = (step as f64 / STEPS as f64, (step + 1) as f64 / STEPS as f64);
            // half a pixel of overlap hides the seams between the steps
            let top = (height(to) - 0.5).max(frame.top);
            self.canvas.fill(Rect::new(left, top, right, height(from)), map.at((from + to) / 2.0));
        }
        let ticks = scale.ticks((frame.height() / Y_TICK_DISTANCE) as usize);
        let widest = ticks.iter().map(|tick| text_width(&tick.label, TICK_SIZE)).fold(0.0, f64::max);
        for tick in ticks {
            let Some(position) = scale.position(tick.value) else { continue };
            let y = height(position);
            self.canvas.path(&[(right, y), (right + 4.0, y)], Stroke::solid(INK, 1.0));
            self.canvas.text((right + 7.0, y), &tick.label, TICK_SIZE, INK, Align::Left);
        }
        let at = (right + widest + 22.0, (frame.top + frame.bottom) / 2.0);
        self.canvas.text_upwards(at, &scale.label, LABEL_SIZE, INK);
    }

    /// A matrix `[rows, columns]` as coloured cells, row 0 at the top; the panel's axes should run over
    /// 0…columns and rows…0. `write` gives each cell's text.
    pub fn heat_map(&mut self, matrix: ArrayView2<f64>, range: (f64, f64), map: ColorMap, write: impl Fn(f64) -> String) {
        for ((row, column), &value) in matrix.indexed_iter() {
            let corners = (self.pixel(column as f64, row as f64), self.pixel(column as f64 + 1.0, row as f64 + 1.0));
            let (Some((left, top)), Some((right, bottom))) = corners else { continue };
            let fraction = (value - range.0) / (range.1 - range.0);
            let color = map.at(fraction);
            self.canvas.fill(Rect::new(left + 0.5, top + 0.5, right - 0.5, bottom - 0.5), color);
            let size = TICK_SIZE.min((right - left) / 3.2);
            self.canvas.text(((left + right) / 2.0, (top + bottom) / 2.0), &write(value), size, ink_on(color), Align::Centre);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::figure::canvas::Canvas;
    use crate::validate::figure::panel::Heading;

    #[test]
    fn bins_count_every_point_once() {
        Canvas::draw(500, 400, |canvas| {
            let bounds = canvas.bounds;
            let axis = || Axis::linear("", (0.0, 1.0));
            let panel = Panel::new(canvas, bounds, &Heading::default(), axis(), axis());
            let x: Vec<f64> = (0..=1000).map(|i| f64::from(i) / 1000.0).chain([2.0, f64::NAN]).collect();
            let bins = panel.bin(&x, &x, None);
            assert_eq!((bins.counts.iter().sum::<usize>(), bins.outside), (1001, 1));
        });
    }
}
