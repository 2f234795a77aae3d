//! The marks of a panel: lines, points, error bars, bands and steps. Values that are not finite are left out,
//! lines break there; what lies outside the frame is cut off, and points are counted.

use super::canvas::{Align, Point, Rect, Stroke};
use super::panel::Panel;
use super::theme::{Color, ColorMap, TICK_SIZE, ink_on};

impl Panel<'_, '_> {
    /// A line through the points, clipped to the frame and broken at values that are not finite.
    pub fn line(&mut self, x: &[f64], y: &[f64], stroke: Stroke) {
        let pixels: Vec<Option<Point>> = x.iter().zip(y).map(|(&x, &y)| self.pixel(x, y)).collect();
        let mut run: Vec<Point> = Vec::new();
        for pair in pixels.windows(2) {
            let clipped = match pair {
                [Some(from), Some(to)] => clip(self.frame, *from, *to),
                _ => None,
            };
            let Some((from, to)) = clipped else {
                self.flush(&mut run, stroke);
                continue;
            };
            if run.last() != Some(&from) {
                self.flush(&mut run, stroke);
                run.push(from);
            }
            run.push(to);
        }
        self.flush(&mut run, stroke);
    }

    fn flush(&mut self, run: &mut Vec<Point>, stroke: Stroke) {
        if run.len() > 1 {
            self.canvas.path(run, stroke);
        }
        run.clear();
    }

    /// Circles. Returns how many points with finite coordinates lie outside the frame.
    pub fn points(&mut self, x: &[f64], y: &[f64], radius: f64, color: Color) -> usize {
        let mut outside = 0;
        for (&x, &y) in x.iter().zip(y) {
            match self.pixel(x, y) {
                Some(at) if self.contains(at) => self.canvas.circle(at, radius, color),
                Some(_) => outside += 1,
                None => {}
            }
        }
        outside
    }

    /// Circles coloured by a third quantity over `range`. Returns how many points lie outside the frame.
    pub fn coloured_points(&mut self, x: &[f64], y: &[f64], third: &[f64], range: (f64, f64), map: ColorMap) -> usize {
        let mut outside = 0;
        for ((&x, &y), &third) in x.iter().zip(y).zip(third) {
            match self.pixel(x, y) {
                Some(at) if self.contains(at) => {
                    self.canvas.circle(at, 2.0, map.at((third - range.0) / (range.1 - range.0)));
                }
                Some(_) => outside += 1,
                None => {}
            }
        }
        outside
    }

    /// Vertical bars from `low` to `high` at each x, cut at the frame.
    pub fn error_bars(&mut self, x: &[f64], low: &[f64], high: &[f64], stroke: Stroke) {
        for ((&x, &low), &high) in x.iter().zip(low).zip(high) {
            let (Some(from), Some(to)) = (self.pixel(x, low), self.pixel(x, high)) else { continue };
            if let Some((from, to)) = clip(self.frame, from, to) {
                self.canvas.path(&[from, to], stroke);
            }
        }
    }

    /// A filled band between `low` and `high`, broken where any value is not finite.
    pub fn band(&mut self, x: &[f64], low: &[f64], high: &[f64], color: Color) {
        let mut run: Vec<(Point, Point)> = Vec::new();
        let frame = self.frame;
        let clamp = |(x, y): Point| (x.clamp(frame.left, frame.right), y.clamp(frame.top, frame.bottom));
        for i in 0..=x.len().min(low.len()).min(high.len()) {
            let pair = (i < x.len().min(low.len()).min(high.len()))
                .then(|| Some((self.pixel(x[i], low[i])?, self.pixel(x[i], high[i])?)))
                .flatten();
            match pair {
                Some((low, high)) => run.push((clamp(low), clamp(high))),
                None if run.len() > 1 => {
                    let upper = run.iter().map(|pair| pair.1);
                    let lower = run.iter().rev().map(|pair| pair.0);
                    self.canvas.polygon(&upper.chain(lower).collect::<Vec<Point>>(), color);
                    run.clear();
                }
                None => run.clear(),
            }
        }
    }

    /// A filled rectangle, cut at the frame, with a text where it has that much room (width and height in
    /// pixels).
    pub fn rectangle(&mut self, x: [f64; 2], y: [f64; 2], color: Color, (text, room): (&str, (f64, f64))) {
        let (Some(from), Some(to)) = (self.pixel(x[0], y[0]), self.pixel(x[1], y[1])) else { return };
        let frame = self.frame;
        let [left, right] = [from.0.min(to.0), from.0.max(to.0)].map(|x| x.clamp(frame.left, frame.right));
        let [top, bottom] = [from.1.min(to.1), from.1.max(to.1)].map(|y| y.clamp(frame.top, frame.bottom));
        // A cell of equal values is a line of a pixel.
        let (right, bottom) = (right.max(left + 1.0), bottom.max(top + 1.0));
        self.canvas.fill(Rect::new(left, top, right, bottom), color);
        if right - left >= room.0 && bottom - top >= room.1 {
            let at = ((left + right) / 2.0, (top + bottom) / 2.0);
            self.canvas.text(at, text, TICK_SIZE - 2.0, ink_on(color), Align::Centre);
        }
    }

    /// The outline of a histogram with `heights.len() + 1` edges, and its filled area where `fill` is given.
    /// Empty bins have no outline.
    pub fn steps(&mut self, edges: &[f64], heights: &[f64], stroke: Stroke, fill: Option<Color>) {
        let floor = self.y.range().0;
        // empty bins lie below the frame, so that their outline is clipped away
        let below = self.y.value(-0.02);
        let mut x = Vec::with_capacity(2 * heights.len() + 2);
        let mut y = Vec::with_capacity(2 * heights.len() + 2);
        for (edges, &height) in edges.windows(2).zip(heights) {
            x.extend(edges);
            y.extend([if height > floor { height } else { below }; 2]);
        }
        if let (Some(color), false) = (fill, x.is_empty()) {
            self.band(&x, &vec![floor; x.len()], &y, color);
        }
        self.line(&x, &y, stroke);
    }
}

/// The part of the segment inside the rectangle (Liang & Barsky 1984), if any.
fn clip(rect: Rect, from: Point, to: Point) -> Option<(Point, Point)> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    let sides = [(-dx, from.0 - rect.left), (dx, rect.right - from.0), (-dy, from.1 - rect.top), (dy, rect.bottom - from.1)];
    for (direction, distance) in sides {
        if direction == 0.0 {
            if distance < 0.0 {
                return None;
            }
        } else if direction < 0.0 {
            enter = enter.max(distance / direction);
        } else {
            leave = leave.min(distance / direction);
        }
    }
    let at = |t: f64| (from.0 + t * dx, from.1 + t * dy);
    (enter <= leave).then(|| {
        let start = if enter == 0.0 { from } else { at(enter) };
        (start, if leave == 1.0 { to } else { at(leave) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::figure::axis::Axis;
    use crate::validate::figure::canvas::Canvas;
    use crate::validate::figure::panel::Heading;
    use crate::validate::figure::theme::GREEN;

    #[test]
    fn segments_are_cut_at_the_frame() {
        let frame = Rect::new(0.0, 0.0, 10.0, 10.0);
        assert_eq!(clip(frame, (-5.0, 5.0), (15.0, 5.0)), Some(((0.0, 5.0), (10.0, 5.0))));
        assert_eq!(clip(frame, (2.0, 2.0), (3.0, 3.0)), Some(((2.0, 2.0), (3.0, 3.0))));
        assert_eq!(clip(frame, (-5.0, -5.0), (-1.0, 20.0)), None);
        assert_eq!(clip(frame, (12.0, 1.0), (12.0, 2.0)), None);
    }

    #[test]
    fn lines_break_at_missing_values() {
        let svg = Canvas::draw(400, 300, |canvas| {
            let bounds = canvas.bounds;
            let axis = || Axis::linear("x", (0.0, 5.0));
            let mut panel = Panel::new(canvas, bounds, &Heading::default(), axis(), axis());
            let nan = f64::NAN;
            panel.line(&[0.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, nan, 1.0, 1.0], Stroke::solid(GREEN, 1.0));
        });
        assert_eq!(svg.matches("stroke=\"#009E73\"").count(), 2);
    }
}
