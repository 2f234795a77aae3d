//! Figures: SVG for the browser, PNG from the same SVG with an embedded font, so that both look alike on any
//! machine.
//!
//! A figure kind is a small struct of slices with a method `figure()`, one file each. Whatever the numbers
//! are (none, all NaN, a single one, all equal) it gives a figure, with a note where there is nothing to
//! draw. New kinds are built from [`canvas::Canvas`] (a surface in pixels), [`axis::Axis`] and
//! [`panel::Panel`] (axes with marks).

pub mod axis;
pub mod canvas;
pub mod density;
pub mod histogram;
mod marks;
pub mod panel;
pub mod theme;

mod bias;
mod bias_map;
mod cleaning;
mod correlations;
mod extinction;
mod gradients;
mod label_residuals;
mod losses;
mod model_error;
mod pit;
mod planes;
mod precision;
mod pulls;
mod responses;
mod sample;
mod spectrum;
mod star;
mod training;
mod wavelength_residuals;

pub use bias::{BiasComparison, BiasSeries};
pub use bias_map::{BiasMap, BiasMaps, MapCell};
pub use cleaning::CleaningBump;
pub use correlations::{CorrelationMatrices, NamedMatrix};
pub use extinction::ExtinctionCurves;
pub use gradients::{GradientComparison, LabelGradient};
pub use label_residuals::{LabelResidual, LabelResiduals};
pub use losses::LossCurves;
pub use model_error::ModelErrorCurve;
pub use pit::{Classes, PitHistogram, PitHistograms};
pub use planes::{AbundancePlane, AbundancePlanes, PlaneBins};
pub use precision::{LabelPrecision, PrecisionBin, PrecisionChart};
pub use pulls::{PullHistogram, PullHistograms};
pub use responses::ResponseFigure;
pub use sample::SampleDiagram;
pub use spectrum::{FittedFlux, SpectrumFigure};
pub use star::{StarEstimate, StarFigure};
pub use training::TrainingCurves;
pub use wavelength_residuals::WavelengthResiduals;

use crate::error::{Error, Result};
use crate::table::write_atomically;
use canvas::Canvas;
use resvg::{tiny_skia, usvg};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Latin, Greek, scripts and common mathematics of DejaVu Sans 2.37 (licence beside it).
const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");

static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// A finished figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name for files, lower case with hyphens.
    pub name: String,
    /// The SVG document.
    pub svg: String,
    /// Natural width in pixels.
    pub width: u32,
    /// Natural height in pixels.
    pub height: u32,
}

impl Figure {
    /// Draws a figure of `width × height` pixels.
    pub fn draw(name: impl Into<String>, width: u32, height: u32, draw: impl FnOnce(&mut Canvas)) -> Self {
        Self { name: name.into(), svg: Canvas::draw(width, height, draw), width, height }
    }

    /// The figure under another name, when a report holds several of a kind.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The figure as a PNG file of `width` pixels.
    ///
    /// # Errors
    /// When the width is zero or too large for memory.
    pub fn to_png(&self, width: u32) -> Result<Vec<u8>> {
        let failure = |what: String| {
            Error::output(format!("figure '{}' as PNG", self.name)).found(what).remedy("Write it as SVG (-o name.svg).")
        };
        let options = usvg::Options { fontdb: FONTS.clone(), font_family: "DejaVu Sans".into(), ..Default::default() };
        let tree = usvg::Tree::from_str(&self.svg, &options).map_err(|error| failure(error.to_string()))?;
        let scale = width as f32 / tree.size().width();
        let height = (tree.size().height() * scale).round() as u32;
        let mut pixels = tiny_skia::Pixmap::new(width, height)
            .ok_or_else(|| failure(format!("{width} × {height} pixels")).expected("a width between 1 and about 20 000"))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| failure(error.to_string()))
    }

    /// Writes the SVG document, replacing what is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_svg(&self, path: &Path) -> Result<()> {
        write_atomically(path, true, |file| file.write_all(self.svg.as_bytes()))
    }

    /// Writes a PNG file of `width` pixels, replacing what is there.
    ///
    /// # Errors
    /// When the width is impossible or the file cannot be written.
    pub fn save_png(&self, path: &Path, width: u32) -> Result<()> {
        let png = self.to_png(width)?;
        write_atomically(path, true, |file| file.write_all(&png))
    }
}

/// The values of a slice, for [`axis::Axis::covering`].
fn values(slice: &[f64]) -> impl Iterator<Item = f64> + '_ {
    slice.iter().copied()
}

/// Whether there is a finite value.
fn has_finite(slice: &[f64]) -> bool {
    slice.iter().any(|value| value.is_finite())
}

#[cfg(test)]
mod tests;
