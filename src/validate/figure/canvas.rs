//! A drawing surface in pixels with fractions: plotters' SVG backend on a grid eight times finer than a
//! pixel.

use super::theme::{Color, FONT_FAMILY, PAPER};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, Drawable, PathElement, PointCollection, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontDesc, FontFamily, FontStyle, FontTransform, ShapeStyle};

/// Backend units per pixel: plotters counts in integers, and whole pixels would make lines jagged.
const RESOLUTION: f64 = 8.0;

/// The SVG backend writes `size / 1.24` as the font size (points for pixels).
const FONT_SCALE: f64 = 1.24;

/// A point in pixels; x to the right, y down.
pub type Point = (f64, f64);

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    /// Rectangle from its edges.
    pub fn new(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self { left, top, right, bottom }
    }

    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// Cell `(row, column)` of a regular grid over the rectangle.
    pub fn cell(&self, (rows, columns): (usize, usize), (row, column): (usize, usize)) -> Self {
        let (width, height) = (self.width() / columns as f64, self.height() / rows as f64);
        let (left, top) = (self.left + width * column as f64, self.top + height * row as f64);
        Self::new(left, top, left + width, top + height)
    }

    /// Upper and lower part, the upper one with `fraction` of the height.
    pub fn split_rows(&self, fraction: f64) -> (Self, Self) {
        let middle = self.top + fraction * self.height();
        (Self { bottom: middle, ..*self }, Self { top: middle, ..*self })
    }

    /// Left and right part, the left one with `fraction` of the width.
    pub fn split_columns(&self, fraction: f64) -> (Self, Self) {
        let middle = self.left + fraction * self.width();
        (Self { right: middle, ..*self }, Self { left: middle, ..*self })
    }
}

/// Colour, width in pixels and whether it is dashed.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub color: Color,
    pub width: f64,
    pub dashed: bool,
}

impl Stroke {
    /// A solid line.
    pub fn solid(color: Color, width: f64) -> Self {
        Self { color, width, dashed: false }
    }

    /// A dashed line.
    pub fn dashed(color: Color, width: f64) -> Self {
        Self { color, width, dashed: true }
    }

    fn style(&self) -> ShapeStyle {
        self.color.stroke_width((self.width * RESOLUTION).round() as u32)
    }
}

/// Where a text sits relative to its point, horizontally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Centre,
    Right,
}

/// The surface that figures are drawn on. Text may hold `_{…}` and `^{…}` for sub- and superscripts.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    /// The whole surface.
    pub bounds: Rect,
}

fn backend((x, y): Point) -> (i32, i32) {
    ((x * RESOLUTION).round() as i32, (y * RESOLUTION).round() as i32)
}

impl<'a> Canvas<'a> {
    /// Draws on a surface of `width × height` pixels and returns the SVG document.
    pub fn draw(width: u32, height: u32, draw: impl FnOnce(&mut Canvas)) -> String {
        let mut svg = String::new();
        let size = (width * RESOLUTION as u32, height * RESOLUTION as u32);
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let bounds = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
            let mut canvas = Canvas { area, bounds };
            canvas.fill(bounds, PAPER);
            draw(&mut canvas);
        }
        let header = |size: (u32, u32)| format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
        typeset(&svg.replacen(&header(size), &header((width, height)), 1))
    }

    /// Writing into a string cannot fail, so plotters' result holds nothing to report.
    fn put<E>(&mut self, element: &E)
    where
        for<'b> &'b E: PointCollection<'b, (i32, i32)>,
        E: Drawable<SVGBackend<'a>>,
    {
        let _ = self.area.draw(element);
    }

    /// A polyline.
    pub fn path(&mut self, points: &[Point], stroke: Stroke) {
        let points: Vec<(i32, i32)> = points.iter().copied().map(backend).collect();
        if stroke.dashed {
            let (dash, gap) = ((5.0 * RESOLUTION) as i32, (4.0 * RESOLUTION) as i32);
            let _ = self.area.draw(&DashedPathElement::new(points, dash, gap, stroke.style()));
        } else {
            self.put(&PathElement::new(points, stroke.style()));
        }
    }

    /// A filled polygon.
    pub fn polygon(&mut self, points: &[Point], color: Color) {
        self.put(&Polygon::new(points.iter().copied().map(backend).collect::<Vec<_>>(), color.filled()));
    }

    /// A filled rectangle.
    pub fn fill(&mut self, rect: Rect, color: Color) {
        self.put(&Rectangle::new([backend((rect.left, rect.top)), backend((rect.right, rect.bottom))], color.filled()));
    }

    /// A filled circle.
    pub fn circle(&mut self, centre: Point, radius: f64, color: Color) {
        self.put(&Circle::new(backend(centre), (radius * RESOLUTION).round() as i32, color.filled()));
    }

    /// Text on one line, vertically centred on `at`.
    pub fn text(&mut self, at: Point, text: &str, size: f64, color: Color, align: Align) {
        self.write(at, text, size, color, align, FontTransform::None);
    }

    /// Text that reads upwards, centred on `at`.
    pub fn text_upwards(&mut self, at: Point, text: &str, size: f64, color: Color) {
        self.write(at, text, size, color, Align::Centre, FontTransform::Rotate270);
    }

    fn write(&mut self, at: Point, text: &str, size: f64, color: Color, align: Align, transform: FontTransform) {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let size = size * RESOLUTION * FONT_SCALE;
        let font = FontDesc::new(FontFamily::Name(FONT_FAMILY), size, FontStyle::Normal).transform(transform);
        let style = font.color(&color).pos(Pos::new(horizontal, VPos::Center));
        self.put(&Text::new(text.to_owned(), backend(at), style));
    }
}

/// Approximate width in pixels of `text` in the embedded font, sub- and superscripts counted as such.
pub fn text_width(text: &str, size: f64) -> f64 {
    let mut width = 0.0;
    let mut scale = 1.0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '_' | '^' if characters.peek() == Some(&'{') => {
                characters.next();
                scale = SCRIPT_SIZE;
            }
            '}' if scale < 1.0 => scale = 1.0,
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ' ' | '|' | '(' | ')' | '/' => width += 0.36 * scale,
            'm' | 'w' | 'M' | 'W' | '−' | '±' | '+' | '=' => width += 0.86 * scale,
            _ => width += 0.63 * scale,
        }
    }
    width * size
}

/// Size of sub- and superscripts over that of the text.
const SCRIPT_SIZE: f64 = 0.72;

/// Turns `_{…}` and `^{…}` in the text elements into smaller, shifted spans. The backend puts a text's
/// content on a line of its own, which is how it is told from markup.
fn typeset(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut size_of_text = None;
    for line in svg.lines() {
        if let Some(size) = size_of_text.take() {
            out.push_str(&typeset_line(line, size));
            continue;
        }
        out.push_str(line);
        // no line break before a text's content: it would be drawn as a leading space
        match line.starts_with("<text") {
            true => size_of_text = Some(font_size(line)),
            false => out.push('\n'),
        }
    }
    out
}

/// The size that a text element gives, in its own units.
fn font_size(element: &str) -> Option<f64> {
    let (_, rest) = element.split_once("font-size=\"")?;
    rest.split_once('"')?.0.trim_end_matches("px").parse().ok()
}

/// Sizes of scripts are numbers where that of the text is known: not every program knows others.
fn typeset_line(text: &str, size: Option<f64>) -> String {
    let script_size = match size {
        Some(size) => format!("{}", (100.0 * SCRIPT_SIZE * size).round() / 100.0),
        None => format!("{SCRIPT_SIZE}em"),
    };
    let mut out = String::new();
    let mut rest = text;
    let mut shift_back = 0.0;
    while let Some(start) = rest.find("_{").into_iter().chain(rest.find("^{")).min() {
        let Some(length) = rest[start..].find('}') else { break };
        let (before, script) = (&rest[..start], &rest[start + 2..start + length]);
        let shift = if rest[start..].starts_with('_') { 0.28 } else { -0.45 };
        out.push_str(&shifted(before, shift_back));
        // both shifts are in ems of their own span; an empty span between two scripts would be dropped, so
        // add the shifts
        let carried = if before.is_empty() { shift_back / SCRIPT_SIZE } else { 0.0 };
        out.push_str(&format!("<tspan dy=\"{:.3}em\" font-size=\"{script_size}\">{script}</tspan>", shift + carried));
        shift_back = -shift * SCRIPT_SIZE;
        rest = &rest[start + length + 1..];
    }
    out.push_str(&shifted(rest, shift_back));
    out
}

fn shifted(text: &str, shift: f64) -> String {
    match (text.is_empty(), shift == 0.0) {
        (true, _) => String::new(),
        (false, true) => text.to_owned(),
        (false, false) => format!("<tspan dy=\"{shift:.3}em\">{text}</tspan>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::figure::theme::{BLUE, INK};

    #[test]
    fn document_is_in_pixels_with_a_finer_view_box() {
        let svg = Canvas::draw(100, 50, |canvas| canvas.path(&[(0.5, 0.25), (10.0, 20.0)], Stroke::solid(BLUE, 1.5)));
        assert!(svg.starts_with("<svg width=\"100\" height=\"50\" viewBox=\"0 0 800 400\""), "{svg}");
        assert!(svg.contains("points=\"4,2 80,160 \"") && svg.contains("stroke-width=\"12\""), "{svg}");
    }

    #[test]
    fn scripts_become_spans_and_text_is_escaped() {
        let svg = Canvas::draw(100, 50, |canvas| {
            canvas.text((5.0, 5.0), "T_{eff} < 10^{−2} K", 14.0, INK, Align::Left);
            canvas.text((5.0, 5.0), "an open _{brace", 14.0, INK, Align::Left);
        });
        let expected = "T<tspan dy=\"0.280em\" font-size=\"80.64\">eff</tspan><tspan dy=\"-0.202em\"> &lt; 10</tspan>\
                        <tspan dy=\"-0.450em\" font-size=\"80.64\">−2</tspan><tspan dy=\"0.324em\"> K</tspan></text>";
        assert!(svg.contains(expected), "{svg}");
        assert!(svg.contains(">an open _{brace</text>"), "{svg}");
    }
}
