//! One panel: frame, grid, ticks, labels, legend and the marks that data are drawn with. Values that are not finite are
//! left out, lines break there; marks outside the axes are left out and can be counted.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Point, Rect, Stroke, text_width};
use super::theme::{Color, ColorMap, GRID, INK, LABEL_SIZE, MUTED, PAPER, TICK_SIZE, TITLE_SIZE, faded};

/// How a series looks, for the legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Line,
    Dashed,
    Point,
    Band,
}

/// One entry of a legend.
#[derive(Debug, Clone)]
pub struct Key {
    pub label: String,
    pub color: Color,
    pub mark: Mark,
}

impl Key {
    /// An entry of a legend.
    pub fn new(label: impl Into<String>, color: Color, mark: Mark) -> Self {
        Self { label: label.into(), color, mark }
    }
}

/// What stands above a panel and what room is kept beside it.
#[derive(Debug, Clone, Default)]
pub struct Heading {
    /// Title on the left; none when empty.
    pub title: String,
    /// Legend in a row below the title.
    pub legend: Vec<Key>,
    /// Keeps room on the right for a colour bar.
    pub colour_bar: bool,
}

impl Heading {
    /// A title without legend.
    pub fn title(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A legend without title.
    pub fn legend(legend: Vec<Key>) -> Self {
        Self { legend, ..Self::default() }
    }
}

/// A set of axes on a canvas.
pub struct Panel<'c, 'a> {
    pub(super) canvas: &'c mut Canvas<'a>,
    /// The rectangle between the axes.
    pub frame: Rect,
    pub x: Axis,
    pub y: Axis,
}

/// Room in pixels that a panel keeps around its frame.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 18.0;
const RIGHT_WITH_COLOUR_BAR: f64 = 96.0;
const BOTTOM: f64 = 52.0;
const BOTTOM_WITHOUT_NUMBERS: f64 = 8.0;
const TOP: f64 = 12.0;
const TOP_ROW: f64 = 24.0;

/// Least distance in pixels that labelled ticks have, roughly.
const X_TICK_DISTANCE: f64 = 65.0;
pub(super) const Y_TICK_DISTANCE: f64 = 36.0;

impl<'c, 'a> Panel<'c, 'a> {
    /// Draws the empty panel into `cell`, labels and ticks included.
    pub fn new(canvas: &'c mut Canvas<'a>, cell: Rect, heading: &Heading, x: Axis, y: Axis) -> Self {
        let rows = f64::from(u8::from(!heading.title.is_empty()) + u8::from(!heading.legend.is_empty()));
        let frame = Rect::new(
            cell.left + LEFT,
            cell.top + TOP + rows * TOP_ROW,
            cell.right - if heading.colour_bar { RIGHT_WITH_COLOUR_BAR } else { RIGHT },
            cell.bottom - if x.show_numbers { BOTTOM } else { BOTTOM_WITHOUT_NUMBERS },
        );
        let mut panel = Self { canvas, frame, x, y };
        panel.draw_axes();
        panel.draw_heading(cell, heading);
        panel
    }

    fn draw_axes(&mut self) {
        let frame = self.frame;
        let x_ticks = self.x.ticks((frame.width() / X_TICK_DISTANCE) as usize);
        let y_ticks = self.y.ticks((frame.height() / Y_TICK_DISTANCE) as usize);
        for tick in &x_ticks {
            let Some(x) = self.pixel_x(tick.value) else { continue };
            let length = if tick.label.is_empty() { 3.0 } else { 6.0 };
            if !tick.label.is_empty() {
                self.canvas.path(&[(x, frame.top), (x, frame.bottom)], Stroke::solid(GRID, 1.0));
            }
            self.canvas.path(&[(x, frame.bottom - length), (x, frame.bottom)], Stroke::solid(INK, 1.0));
            if self.x.show_numbers {
                self.canvas.text((x, frame.bottom + 13.0), &tick.label, TICK_SIZE, INK, Align::Centre);
            }
        }
        for tick in &y_ticks {
            let Some(y) = self.pixel_y(tick.value) else { continue };
            let length = if tick.label.is_empty() { 3.0 } else { 6.0 };
            if !tick.label.is_empty() {
                self.canvas.path(&[(frame.left, y), (frame.right, y)], Stroke::solid(GRID, 1.0));
            }
            self.canvas.path(&[(frame.left, y), (frame.left + length, y)], Stroke::solid(INK, 1.0));
            if self.y.show_numbers {
                self.canvas.text((frame.left - 6.0, y), &tick.label, TICK_SIZE, INK, Align::Right);
            }
        }
        let corners = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)];
        self.canvas.path(&corners, Stroke::solid(INK, 1.0));
        if self.x.show_numbers {
            let at = ((frame.left + frame.right) / 2.0, frame.bottom + 36.0);
            self.canvas.text(at, &self.x.label.clone(), LABEL_SIZE, INK, Align::Centre);
        }
        if self.y.show_numbers {
            let widest = y_ticks.iter().map(|tick| text_width(&tick.label, TICK_SIZE)).fold(0.0, f64::max);
            let at = ((frame.left - widest - 24.0).max(frame.left - LEFT + 12.0), (frame.top + frame.bottom) / 2.0);
            self.canvas.text_upwards(at, &self.y.label.clone(), LABEL_SIZE, INK);
        }
    }

    fn draw_heading(&mut self, cell: Rect, heading: &Heading) {
        let mut y = cell.top + TOP + 6.0;
        if !heading.title.is_empty() {
            self.canvas.text((self.frame.left, y), &heading.title, TITLE_SIZE, INK, Align::Left);
            y += TOP_ROW;
        }
        let mut x = self.frame.left;
        for key in &heading.legend {
            let sample = [(x, y), (x + 22.0, y)];
            match key.mark {
                Mark::Line => self.canvas.path(&sample, Stroke::solid(key.color, 2.0)),
                Mark::Dashed => self.canvas.path(&sample, Stroke::dashed(key.color, 2.0)),
                Mark::Point => self.canvas.circle((x + 11.0, y), 4.0, key.color),
                Mark::Band => self.canvas.fill(Rect::new(x, y - 6.0, x + 22.0, y + 6.0), key.color),
            }
            self.canvas.text((x + 28.0, y), &key.label, TICK_SIZE, INK, Align::Left);
            x += 28.0 + text_width(&key.label, TICK_SIZE) + 18.0;
        }
    }

    fn pixel_x(&self, value: f64) -> Option<f64> {
        self.x.position(value).map(|position| self.frame.left + position * self.frame.width())
    }

    fn pixel_y(&self, value: f64) -> Option<f64> {
        self.y.position(value).map(|position| self.frame.bottom - position * self.frame.height())
    }

    /// The pixel of a data point, inside the frame or not; `None` where it has none.
    pub(super) fn pixel(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.pixel_x(x)?, self.pixel_y(y)?))
    }

    pub(super) fn contains(&self, (x, y): Point) -> bool {
        let frame = self.frame;
        (frame.left - 0.1..=frame.right + 0.1).contains(&x) && (frame.top - 0.1..=frame.bottom + 0.1).contains(&y)
    }

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

    /// The outline of a histogram with `heights.len() + 1` edges, and its filled area where `fill` is given. Empty bins
    /// have no outline.
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

    /// A vertical line over the whole height, with a label beside it where one is given, `row` lines of text below the top.
    pub fn vertical(&mut self, x: f64, label: &str, row: usize, stroke: Stroke) {
        let Some((at, (from, _))) = self.vertical_label(x, label) else { return };
        self.canvas.path(&[(at, self.frame.top), (at, self.frame.bottom)], stroke);
        self.boxed_text((from, self.frame.top + 10.0 + 18.0 * row as f64), label, stroke.color, Align::Left);
    }

    /// Pixels of a vertical line and of both ends of its label, which is to the right where there is room; `None` outside
    /// the frame.
    pub(super) fn vertical_label(&self, x: f64, label: &str) -> Option<(f64, (f64, f64))> {
        let at = self.pixel_x(x).filter(|at| (self.frame.left..=self.frame.right).contains(at))?;
        let width = text_width(label, TICK_SIZE);
        let from = if at + 6.0 + width < self.frame.right { at + 6.0 } else { at - 6.0 - width };
        Some((at, (from, from + width)))
    }

    /// A horizontal line over the whole width.
    pub fn horizontal(&mut self, y: f64, stroke: Stroke) {
        let Some(at) = self.pixel_y(y).filter(|at| (self.frame.top..=self.frame.bottom).contains(at)) else { return };
        self.canvas.path(&[(self.frame.left, at), (self.frame.right, at)], stroke);
    }

    /// Lines of text in the upper left (`Align::Left`) or upper right corner of the frame, on a pale ground.
    pub fn corner_text<'t>(&mut self, lines: impl IntoIterator<Item = &'t str>, align: Align) {
        let x = match align {
            Align::Left => self.frame.left + 10.0,
            Align::Centre => (self.frame.left + self.frame.right) / 2.0,
            Align::Right => self.frame.right - 8.0,
        };
        for (i, line) in lines.into_iter().enumerate() {
            self.boxed_text((x, self.frame.top + 12.0 + 18.0 * i as f64), line, INK, align);
        }
    }

    /// A remark in the middle of the frame, for what cannot be drawn.
    pub fn note(&mut self, text: &str) {
        let at = ((self.frame.left + self.frame.right) / 2.0, (self.frame.top + self.frame.bottom) / 2.0);
        self.canvas.text(at, text, LABEL_SIZE, MUTED, Align::Centre);
    }

    /// A remark in the lower right corner about points beyond the axes; none when there are none.
    pub fn note_outside(&mut self, count: usize) {
        if count > 0 {
            let at = (self.frame.right - 8.0, self.frame.bottom - 14.0);
            self.boxed_text(at, &format!("{count} beyond the axes"), MUTED, Align::Right);
        }
    }

    fn boxed_text(&mut self, (x, y): Point, text: &str, color: Color, align: Align) {
        if text.is_empty() {
            return;
        }
        let width = text_width(text, TICK_SIZE);
        let left = match align {
            Align::Left => x,
            Align::Centre => x - width / 2.0,
            Align::Right => x - width,
        };
        self.canvas.fill(Rect::new(left - 3.0, y - 9.0, left + width + 3.0, y + 9.0), faded(PAPER, 0.8));
        self.canvas.text((x, y), text, TICK_SIZE, color, align);
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
            panel.line(&[0.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, nan, 1.0, 1.0], Stroke::solid(super::super::theme::GREEN, 1.0));
        });
        assert_eq!(svg.matches("stroke=\"#009E73\"").count(), 2);
    }
}
