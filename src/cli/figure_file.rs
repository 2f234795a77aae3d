//! Figures as files of the ending that their name has.

use crate::error::{Error, Result};
use crate::validate::figure::Figure;
use std::path::Path;

/// Pixels of a PNG file across.
const PNG_WIDTH: u32 = 2480;

/// Fails for a name without an ending of figures.
pub fn require_ending(path: &Path) -> Result<()> {
    if is(path, "svg") || is(path, "png") {
        return Ok(());
    }
    Err(Error::usage(path.display().to_string())
        .found("another kind of figure")
        .expected(".svg or .png")
        .remedy("Name the figure with one of these endings."))
}

/// Writes a figure.
pub fn save(figure: &Figure, path: &Path) -> Result<()> {
    if is(path, "svg") { figure.save_svg(path) } else { figure.save_png(path, PNG_WIDTH) }
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}
