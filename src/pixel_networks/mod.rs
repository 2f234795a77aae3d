//! Models of spectra as kinds of packages: trained by a recipe on observations with labels and a gradient
//! library, saved as a folder, fitted into the usual catalogues. Families differ in what a pixel predicts;
//! all else is here, once.
//!
//! | file | concept |
//! |---|---|
//! | `spectral_model` | what is needed of a family |
//! | `networks`, `polynomials`, `joint` | the families: a network per pixel, a polynomial per pixel, one network |
//! | `joint_training` | what a joint network learns by |
//! | `pixel_checkpoints` | finished pixels of the first two, in a file |
//! | `recipe` | what a training is told |
//! | `training`, `trainable` | from observations to a package |
//! | `sample_checks`, `line_spread` | what a sample tells of a training before it begins |
//! | `misfits` | single spectra of a training that its model does not describe |
//! | `package` | the folder, and what commands know of it |
//! | `on_device` | fits with everything on an accelerator |
//! | `estimator`, `guide` | catalogues; starts of fits from another model |
//! | `import` | models that were trained elsewhere |
//! | `history` | losses of the iterations as a table |
//! | `domain` | whether a star lies where the training had some |
//! | `goodness` | χ² against that of good spectra of the same signal-to-noise ratio |

#[cfg(test)]
mod broadening_tests;
#[cfg(test)]
mod diagnosis_tests;
mod domain;
mod estimator;
mod goodness;
mod guide;
mod history;
mod import;
mod joint;
mod joint_training;
mod line_spread;
mod misfits;
mod networks;
mod on_device;
mod package;
mod pixel_checkpoints;
mod polynomials;
mod recipe;
#[cfg(test)]
mod resume_tests;
mod sample_checks;
#[cfg(test)]
mod sample_tests;
mod spectral_model;
#[cfg(test)]
mod tests;
mod trainable;
mod training;

pub use estimator::{FLAGS, POOR_FIT_BEYOND};
pub use goodness::Goodness;
pub use history::read as read_history;
pub use import::{Import, import, labels_of as import_labels};
pub use joint::JointOptions;
pub use on_device::TensorModel;
pub use package::{HISTORY_FILE, PIXELS_FILE, STARS_FILE};
pub use package::{PixelCard, SpectralCore, SpectralPackage, spectral_core};
pub use recipe::SpectraRecipe;
pub use spectral_model::{SpectralModel, TrainingChoices, WindowsOf};
pub use training::{TrainedSpectra, train};

use crate::per_pixel::{JointNetwork, PixelNetworks, PixelPolynomials};

/// Networks per pixel.
pub type PixelPackage = SpectralPackage<PixelNetworks>;
/// How they are trained.
pub type PixelRecipe = SpectraRecipe<PixelNetworks>;
/// Polynomials per pixel.
pub type PolynomialPackage = SpectralPackage<PixelPolynomials>;
/// How they are trained.
pub type PolynomialRecipe = SpectraRecipe<PixelPolynomials>;
/// One network for all pixels.
pub type JointPackage = SpectralPackage<JointNetwork>;
/// How it is trained.
pub type JointRecipe = SpectraRecipe<JointNetwork>;
