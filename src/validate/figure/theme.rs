//! Colours and sizes of all figures. The palette is Okabe & Ito's, the diverging map ColorBrewer's RdBu, the
//! sequential map viridis: all three can be told apart with the common kinds of colour blindness.

use plotters::style::{Color as _, RGBAColor, RGBColor};

/// An RGB colour with opacity.
pub type Color = RGBAColor;

const fn opaque(red: u8, green: u8, blue: u8) -> Color {
    RGBAColor(red, green, blue, 1.0)
}

pub const INK: Color = opaque(34, 34, 34);
pub const MUTED: Color = opaque(110, 110, 110);
pub const GRID: Color = opaque(232, 232, 232);
pub const PAPER: Color = opaque(255, 255, 255);
pub const BLUE: Color = opaque(0, 114, 178);
pub const VERMILLION: Color = opaque(213, 94, 0);
pub const GREEN: Color = opaque(0, 158, 115);
pub const PURPLE: Color = opaque(204, 121, 167);
pub const ORANGE: Color = opaque(230, 159, 0);

/// Colours of series in the order of use.
pub const SERIES: [Color; 5] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE];

/// Sizes of text in pixels.
pub const TITLE_SIZE: f64 = 15.0;
pub const LABEL_SIZE: f64 = 14.0;
pub const TICK_SIZE: f64 = 13.0;

/// Font families in order of preference; the first is the one embedded for PNG.
pub const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// The colour with another opacity.
pub fn faded(color: Color, opacity: f64) -> Color {
    color.mix(opacity)
}

/// The colour of text on a ground.
pub fn ink_on(ground: Color) -> Color {
    let lightness = 0.299 * f64::from(ground.0) + 0.587 * f64::from(ground.1) + 0.114 * f64::from(ground.2);
    if lightness < 130.0 { PAPER } else { INK }
}

/// A map from [0, 1] to colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMap {
    /// Viridis (matplotlib, CC0): for a quantity.
    Sequential,
    /// Pale to dark blue: for counts, where nothing is white.
    Density,
    /// Blue – white – red, white at 0.5: for a signed quantity.
    Diverging,
}

impl ColorMap {
    /// Anchor colours at equal steps.
    fn anchors(self) -> &'static [RGBColor] {
        match self {
            Self::Sequential => &[
                RGBColor(68, 1, 84),
                RGBColor(71, 45, 123),
                RGBColor(59, 82, 139),
                RGBColor(44, 114, 142),
                RGBColor(33, 145, 140),
                RGBColor(40, 174, 128),
                RGBColor(94, 201, 98),
                RGBColor(173, 220, 48),
                RGBColor(253, 231, 37),
            ],
            Self::Density => &[
                RGBColor(213, 226, 239),
                RGBColor(158, 202, 225),
                RGBColor(82, 157, 204),
                RGBColor(24, 100, 170),
                RGBColor(8, 48, 107),
            ],
            Self::Diverging => &[
                RGBColor(33, 102, 172),
                RGBColor(103, 169, 207),
                RGBColor(209, 229, 240),
                RGBColor(250, 250, 250),
                RGBColor(253, 219, 199),
                RGBColor(239, 138, 98),
                RGBColor(178, 24, 43),
            ],
        }
    }

    /// Colour at `fraction`, clamped to [0, 1] and linear between the anchors; not-a-number is the grid's
    /// grey.
    pub fn at(self, fraction: f64) -> Color {
        if fraction.is_nan() {
            return GRID;
        }
        let anchors = self.anchors();
        let position = fraction.clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
        let below = (position as usize).min(anchors.len() - 2);
        let weight = position - below as f64;
        let (a, b) = (anchors[below], anchors[below + 1]);
        let mix = |a: u8, b: u8| (f64::from(a) + weight * (f64::from(b) - f64::from(a))).round() as u8;
        RGBAColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_hit_their_ends_and_survive_anything() {
        assert_eq!(ColorMap::Sequential.at(0.0), opaque(68, 1, 84));
        assert_eq!(ColorMap::Sequential.at(7.0), opaque(253, 231, 37));
        assert_eq!(ColorMap::Diverging.at(0.5), opaque(250, 250, 250));
        assert_eq!(ColorMap::Density.at(f64::NAN), GRID);
    }
}
