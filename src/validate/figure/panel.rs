//! One panel: frame, grid, ticks, labels, legend and remarks. What is drawn in it is in `marks` and
//! `density`.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Point, Rect, Stroke, text_width};
use super::theme::{Color, GRID, INK, LABEL_SIZE, MUTED, PAPER, TICK_SIZE, TITLE_SIZE, faded};

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

    /// Vertical lines over the whole height, labelled beside their tops. Labels that would overlap go to
    /// lower rows.
    pub fn verticals<S: AsRef<str>>(&mut self, marks: &[(f64, S)], stroke: Stroke) {
        let frame = self.frame;
        let shown: Vec<(f64, &str)> = (marks.iter())
            .filter_map(|(x, label)| Some((self.pixel_x(*x)?, label.as_ref())))
            .filter(|(at, _)| (frame.left..=frame.right).contains(at))
            .collect();
        for (at, _) in &shown {
            self.canvas.path(&[(*at, frame.top), (*at, frame.bottom)], stroke);
        }
        let mut row_ends: Vec<f64> = Vec::new();
        for (at, label) in shown {
            let width = text_width(label, TICK_SIZE);
            let from = if at + 6.0 + width < frame.right { at + 6.0 } else { at - 6.0 - width };
            let row = row_ends.iter().position(|&end| end + 8.0 < from).unwrap_or(row_ends.len());
            row_ends.resize(row_ends.len().max(row + 1), 0.0);
            row_ends[row] = from + width;
            self.boxed_text((from, frame.top + 10.0 + 18.0 * row as f64), label, stroke.color, Align::Left);
        }
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
        self.canvas.fill(Rect::new(left - 3.0, y - 9.0, left + width + 3.0, y + 9.0), faded(PAPER, 0.85));
        self.canvas.text((x, y), text, TICK_SIZE, color, align);
    }
}
