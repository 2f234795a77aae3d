//! Pixel networks as a kind of package: trained by a recipe on observations with labels and a gradient
//! library, saved as a folder, fitted into the usual catalogues.
//!
//! | file | concept |
//! |---|---|
//! | `recipe` | what a training is told |
//! | `training` | from observations to a package |
//! | `package` | the folder, and what commands know of it |
//! | `estimator` | catalogues |
//! | `goodness` | χ² against that of good spectra of the same signal-to-noise ratio |

mod estimator;
mod goodness;
mod package;
mod recipe;
#[cfg(test)]
mod tests;
mod training;

pub use estimator::{FLAGS, POOR_FIT_BEYOND};
pub use goodness::Goodness;
pub use package::{PIXEL_FOLDER, PixelCard, PixelPackage};
pub use package::{PIXELS_FILE, STARS_FILE};
pub use recipe::PixelRecipe;
pub use training::{TrainedPixels, train};
